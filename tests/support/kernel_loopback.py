"""The part of Kaggle's API that is about kernels."""

import json
from dataclasses import dataclass, field
from typing import Any

from support.loopback import FILE, JSON, Kaggle, Reply, refusal

PUSHED = {"ref": "/code/x", "url": "https://www.kaggle.com/code/someone/x", "versionNumber": 1}
STATUSES = ("QUEUED", "RUNNING", "RUNNING", "COMPLETE")


def stream(events: list[str]) -> Reply:
    """Kaggle's way to tell events."""
    body = "".join(f"data: {event}\n\n" for event in events).encode()
    return Reply(body=body, headers={"Content-Type": "text/event-stream"})


@dataclass
class KernelKaggle(Kaggle):
    """A Kaggle whose kernels end as a test says."""

    # What a status question is answered with, one after the other; the last stays.
    statuses: list[dict[str, Any] | None] = field(default_factory=lambda: [None])
    pushes: list[dict[str, Any]] = field(default_factory=list)
    push_answer: dict[str, Any] = field(default_factory=lambda: dict(PUSHED))
    after_push: list[dict[str, Any] | None] = field(
        default_factory=lambda: [{"status": status} for status in STATUSES]
    )
    outputs: dict[str, bytes] = field(default_factory=dict)
    log: str = ""
    streams: list[list[str]] = field(default_factory=list)  # events of the log, request by request
    unknown: int = 404  # how a kernel that is not there is answered

    def answer(self, step: str, headers: dict[str, str], body: bytes) -> Reply:
        if step == "GetKernelSessionStatus":
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            return refusal(self.unknown) if status is None else Reply(body=status)
        if step == "SaveKernel":
            self.pushes.append(json.loads(body))
            if not self.push_answer.get("error"):
                self.statuses = list(self.after_push)
            return Reply(body=self.push_answer)
        if step == "ListKernelSessionOutput":
            files = [
                {"url": f"{self.url}/output/{number}", "fileName": name}
                for number, name in enumerate(self.outputs)
            ]
            return Reply(body={"files": files, "nextPageToken": ""})
        path = self.requests[-1][0]
        if "/kernels/logs/stream/" in path:
            if not self.streams:
                return Reply(body=self.log.encode(), headers=JSON)
            return stream(self.streams.pop(0))
        if step == "GET" and path.startswith("/output/"):
            content = list(self.outputs.values())[int(path.rsplit("/", 1)[1])]
            return Reply(body=content, headers=FILE)
        return super().answer(step, headers, body)

"""Kaggle's API on a loopback port: the documented shapes, redirects, ranges and failures."""

import contextlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

FILE = {
    **{"Content-Type": "application/zip", "Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT"},
    **{"ETag": '"one"', "Accept-Ranges": "bytes"},
}
JSON = {"Content-Type": "application/json"}


@dataclass
class Reply:
    """How a step is answered once, instead of well.

    ``acts`` does what was asked before the answer goes wrong; ``cut`` closes the connection after
    so many bytes of the body; ``hang`` waits for the server's end.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    acts: bool = False
    cut: int | None = None
    hang: bool = False


def refusal(status: int, message: str = "no", **headers: str) -> Reply:
    """Kaggle's way to say no."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"code": status, "message": message}, named)


@dataclass
class Kaggle:
    """What the loopback Kaggle knows, and everything that it was asked."""

    archive: bytes = b""
    left: int = 5
    # What becomes of new submissions: status, score and reason.
    verdict: dict[str, str] = field(
        default_factory=lambda: {"status": "COMPLETE", "publicScore": "0.99400"}
    )
    leaderboard: bytes = b""  # the zip; none is a refusal
    gpu_quota: dict[str, str] | None = None
    submissions: list[dict[str, Any]] = field(default_factory=list)
    replies: dict[str, list[Reply]] = field(default_factory=lambda: defaultdict(list))
    steps: list[str] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)  # of the requests' addresses
    blobs: list[bytes] = field(default_factory=list)
    url: str = ""
    end: threading.Event = field(default_factory=threading.Event)

    def answer(self, step: str, headers: dict[str, str], body: bytes) -> Reply:
        if step == "GET":
            start = int(headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
            return Reply(206 if start else 200, self.archive[start:], FILE)
        if step == "PUT":
            self.blobs.append(body)
            return Reply()
        if step == "CreateSubmission":
            return self._create(json.loads(body))
        location = f"{self.url}/files/digit-recognizer.zip?signed=1"
        made = {"numToday": 5 - self.left, "numTotal": 9, "numAllowedNow": self.left}
        answers = {
            "DownloadDataFiles": Reply(302, headers={"Location": location}),
            "IntrospectToken": {"active": True, "username": "someone"},
            "StartSubmissionUpload": {"token": "blob-1", "createUrl": f"{self.url}/upload/1"},
            "GetSubmissionLimits": made,
            "ListSubmissions": {"submissions": self.submissions[::-1], "nextPageToken": ""},
            "DownloadLeaderboard": self.leaderboard and Reply(body=self.leaderboard, headers=FILE),
            "GetAcceleratorQuotaStatistics": self.gpu_quota and {"gpuQuota": self.gpu_quota},
        }
        answer = answers.get(step) or refusal(404, f"unknown step {step}")
        return answer if isinstance(answer, Reply) else Reply(body=answer)

    def _create(self, asked: dict[str, Any]) -> Reply:
        submission = {
            "ref": 1000 + len(self.submissions),
            "date": "2026-01-01T00:00:00.123456789Z",
            "description": asked.get("submissionDescription", ""),
            "fileName": "submission.csv",
            **self.verdict,
        }
        self.submissions.append(submission)
        message = "Successfully submitted to Digit Recognizer"
        return Reply(body={"message": message, "ref": submission["ref"]})


@contextlib.contextmanager
def serve(kaggle: Kaggle | None = None) -> Iterator[Kaggle]:
    """A loopback Kaggle on a free port, also usable as an HTTP proxy, until the end."""
    kaggle = kaggle or Kaggle()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            path = urlsplit(self.path).path  # a proxy is asked for whole URLs
            step = path.rsplit("/", 1)[-1] if self.command == "POST" else self.command
            headers = dict(self.headers.items())
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kaggle.steps.append(step)
            kaggle.requests.append((path, headers, body))
            kaggle.queries.append(urlsplit(self.path).query)
            reply = kaggle.replies[step].pop(0) if kaggle.replies[step] else None
            if reply is None or reply.acts:
                good = kaggle.answer(step, headers, body)
                reply = reply or good
            if reply.hang:
                kaggle.end.wait(10)
                return
            self._send(reply)

        def _send(self, reply: Reply) -> None:
            plain = isinstance(reply.body, bytes)
            content = reply.body if plain else json.dumps(reply.body or {}).encode()
            if reply.cut is not None and reply.status == 200 and not content.strip(b"{}"):
                return  # the connection just ends
            self.send_response(reply.status)
            for name, value in {**({} if plain else JSON), **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: reply.cut])

        do_GET = do_POST = do_PUT = _handle  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # clients that give up are what some tests are about

    with Server(("127.0.0.1", 0), Handler) as server:
        kaggle.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield kaggle
        finally:
            kaggle.end.set()
            server.shutdown()

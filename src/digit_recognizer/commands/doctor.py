"""``doctor``: check what download, train and submit need, and say what to do."""

import platform
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from digit_recognizer.commands.console import echo
from digit_recognizer.commands.options import DeviceName, Folders
from digit_recognizer.errors import KaggleError
from digit_recognizer.kaggle.credentials import NO_TOKEN_HELP, find_credentials

FREE_SPACE = 1_000_000_000  # bytes: the data, unpacked and cached, and a few runs


@dataclass(frozen=True)
class Check:
    """The result of a check. ``needed``: download, train or submit fails without it."""

    name: str
    ok: bool
    found: str
    advice: str = ""
    needed: bool = True


def doctor(*, device: DeviceName = "auto", folders: Folders = Folders()) -> int:
    """Check what download, train and submit need."""
    local = [
        Check("Python", True, f"{platform.python_version()}, PyTorch {version('torch')}"),
        *_devices(device),
        _disk("disk, data", folders.data_dir),
        _disk("disk, submissions", folders.submissions_dir),
    ]
    checks = [*local, *_kaggle()]
    echo(f"train, predict, play: {_ready(local)}; download, submit: {_ready(checks)}")
    width = max(len(check.name) for check in checks)
    for check in checks:
        echo(f"{'✓' if check.ok else '✗'} {check.name:<{width}}  {check.found}")
        if check.advice:
            echo("  -> " + check.advice.replace("\n", "\n     "))
    return int(_ready(checks) != "ready")


def _ready(checks: Sequence[Check]) -> str:
    return "ready" if all(check.ok or not check.needed for check in checks) else "not ready"


def _devices(device: str) -> Iterator[Check]:
    """Say what a training would use: every GPU whose first operation works, or the CPU."""
    from digit_recognizer.training.device import probe_devices
    from digit_recognizer.training.parallel import worker_devices

    probes = probe_devices(device)
    is_needed = all(probe.failure for probe in probes)
    for probe in probes:
        if probe.failure:
            advice = "give --device cpu or another" if is_needed else "training does without it"
            yield Check("device", False, str(probe), advice, needed=is_needed)
        else:
            found, n_members = probe.device, len(worker_devices([probe.device], None))
            what = f"{found.name} ({found.hardware}) in {found.precision}"
            yield Check("device", True, f"{what}: works, members at a time: {n_members}")


def _disk(name: str, folder: Path) -> Check:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    ok = free >= FREE_SPACE
    advice = "" if ok else f"make room: {FREE_SPACE / 1e9:.0f} GB is enough"
    return Check(name, ok, f"{free / 1e9:.1f} GB free at {existing}", advice)


def _kaggle() -> Iterator[Check]:
    """Check the credentials and, with them, access to the data and today's submissions."""
    try:
        credentials = find_credentials()
    except KaggleError as error:
        yield Check("credentials", False, "found, and damaged", str(error))
        return
    if credentials is None:
        yield Check("credentials", False, "none found", NO_TOKEN_HELP)
        return
    found = f"{credentials.kind} in {credentials.location}"
    yield Check("credentials", True, found, credentials.warning)
    from digit_recognizer.kaggle.client import Kaggle

    try:
        kaggle = Kaggle()
        kaggle.check_access()
        remaining = kaggle.quota()
    except KaggleError as error:
        yield Check("access to Kaggle", False, "not confirmed", str(error))
        return
    yield Check("access to Kaggle", True, "credentials valid, rules accepted")
    advice = "" if remaining > 0 else "the next submission is possible from 00:00 UTC"
    yield Check("submissions left", remaining > 0, f"{remaining} today", advice, needed=False)
    with suppress(KaggleError):  # only `kernel` needs it
        hours, total = kaggle.gpu_hours()
        found = f"{hours:.1f} of {total:.0f} h left this week"
        yield Check("Kaggle's GPU", hours > 0, found, needed=False)

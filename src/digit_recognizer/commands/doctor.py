"""Check what download, train and submit need, and echo what to do."""

import platform
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.commands.console import echo
from digit_recognizer.commands.options import DeviceName, Folders
from digit_recognizer.errors import DeviceError, KaggleError
from digit_recognizer.kaggle.credentials import find_credentials, missing_credentials_error

if TYPE_CHECKING:
    from digit_recognizer.kaggle.client import Kaggle
    from digit_recognizer.training.device import Probe

LOCAL = ("Python", "packages", "device", "disk, data", "disk, submissions")
FREE_SPACE = 1_000_000_000  # bytes: the data, unpacked and cached, and a few runs


@dataclass(frozen=True)
class Check:
    """The result of a check. ``needed``: download or submit fail without it."""

    name: str
    ok: bool
    found: str
    advice: str = ""
    needed: bool = True


def doctor(*, device: DeviceName = "auto", folders: Folders = Folders()) -> int:
    """Check what download, train and submit need."""
    checks = [
        _python(),
        _packages(),
        *_devices(device),
        _disk("disk, data", folders.data_dir),
        _disk("disk, submissions", folders.submissions_dir),
        *_credentials(),
    ]
    echo(_ready(checks))
    echo(_table(checks))
    return int(any(check.needed and not check.ok for check in checks))


def _ready(checks: Sequence[Check]) -> str:
    """Return in a line what is ready: training needs only this machine."""
    ready = {True: "ready", False: "not ready"}
    local = all(check.ok for check in checks if check.needed and check.name in LOCAL)
    kaggle = local and all(check.ok for check in checks if check.needed)
    return f"train, predict, play: {ready[local]}; download, submit: {ready[kaggle]}"


def _table(checks: Sequence[Check]) -> str:
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{'✓' if check.ok else '✗'} {check.name:<{width}}  {check.found}")
        for number, line in enumerate(check.advice.splitlines()):
            lines.append(f"  {'   ' if number else '-> '}{line}")
    return "\n".join(lines)


def _python() -> Check:
    ok = (3, 11) <= sys.version_info[:2] <= (3, 14)
    advice = "" if ok else "give make PYTHON=/path/to/python3.12"
    return Check("Python", ok, platform.python_version(), advice)


def _packages() -> Check:
    found, missing = [], []
    for requirement in requires("digit-recognizer") or []:
        if "extra ==" in requirement:
            continue
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        try:
            version(name)
            found.append(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", False, f"missing: {', '.join(missing)}", "run 'make setup'")
    return Check("packages", True, f"{len(found)} installed, torch {version('torch')}")


def _devices(device: str) -> list[Check]:
    """Say what a training would use: every GPU whose first operation works, or the CPU."""
    from digit_recognizer.training.device import probe_devices

    try:
        probes = probe_devices(device)
    except DeviceError as error:
        return [Check("device", False, str(error), needed=False)]
    return [_probed(probe) for probe in probes]


def _probed(probe: "Probe") -> Check:
    from digit_recognizer.training.parallel import worker_devices

    if probe.failure:
        advice = "training does without it; --device names another"
        return Check("device", False, str(probe), advice, needed=False)
    device, n_members = probe.device, len(worker_devices([probe.device], None))
    works = f"works, {n_members} member{'s' if n_members > 1 else ''} at a time"
    return Check(
        "device", True, f"{device.name} ({device.hardware}) in {device.precision}: {works}"
    )


def _disk(name: str, folder: Path) -> Check:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    ok = free >= FREE_SPACE
    advice = "" if ok else f"make room: {FREE_SPACE / 1e9:.0f} GB is enough"
    return Check(name, ok, f"{free / 1e9:.1f} GB free at {existing}", advice)


def _credentials() -> list[Check]:
    """Check the credentials and, with them, the account."""
    try:
        credentials = find_credentials()
    except KaggleError as error:
        return [Check("credentials", False, "found, and damaged", str(error))]
    if credentials is None:
        return [Check("credentials", False, "none found", missing_credentials_error().advice)]
    checks = [Check("credentials", True, f"{credentials.kind} in {credentials.location}")]
    if credentials.warning:
        found = "readable by others"
        checks.append(Check("permissions", False, found, credentials.warning, needed=False))
    from digit_recognizer.kaggle.client import Kaggle

    try:
        kaggle = Kaggle()
    except KaggleError as error:
        return [*checks, _failed("credentials valid", error)]
    return [*checks, *_account(kaggle)]


def _account(kaggle: "Kaggle") -> list[Check]:
    """Ask Kaggle for the quota and for access to the data."""
    try:
        quota = kaggle.quota()
    except KaggleError as error:
        if error.status != 403:  # 403 is an account that Kaggle knows
            return [_failed("credentials valid", error)]
        left = Check("submissions left", False, "not known", "accept the rules first")
    else:
        advice = "" if quota.remaining > 0 else "the next is possible from 00:00 UTC"
        found = f"{quota.remaining} today"
        left = Check("submissions left", quota.remaining > 0, found, advice, needed=False)
    try:
        kaggle.check_access()
    except KaggleError as error:
        rules = _failed("rules accepted", error)
    else:
        rules = Check("rules accepted", True, "yes")
    return [Check("credentials valid", True, "yes"), rules, left, *_gpu_hours(kaggle)]


def _gpu_hours(kaggle: "Kaggle") -> list[Check]:
    """Tell what is left for `make kernel`, if Kaggle says so."""
    try:
        left, total = kaggle.gpu_hours()
    except KaggleError:
        return []
    advice = "" if left else "the quota begins anew each week"
    found = f"{left:.1f} of {total:.0f} h left this week"
    return [Check("Kaggle's GPU", left > 0, found, advice, needed=False)]


def _failed(name: str, error: KaggleError) -> Check:
    """Tell a refusal from a server that does not answer."""
    if error.status is None and not error.refused:
        return Check(name, False, "not known: Kaggle cannot be reached", str(error))
    found = "no" if error.status in (None, 401, 403) else "not known"
    return Check(name, False, found, str(error))

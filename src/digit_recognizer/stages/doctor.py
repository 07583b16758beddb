"""`make doctor`: is all there that download, train and submit need?"""

import platform
import re
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from digit_recognizer.remote.client import Kaggle
from digit_recognizer.remote.credentials import Credentials, find_credentials, no_credentials
from digit_recognizer.remote.errors import RemoteError
from digit_recognizer.remote.patience import Patience

ROOM = 1_000_000_000  # the data, unpacked and cached, and a few runs


@dataclass(frozen=True)
class Check:
    """One thing looked at. ``needed``: download or submit fail without it."""

    what: str
    well: bool
    found: str
    advice: str = ""
    needed: bool = True


def doctor(
    data_dir: Path, submissions_dir: Path, device: str = "auto", patience: Patience | None = None
) -> list[Check]:
    """Look at everything, in the order in which a user would mend it.

    Returns
    -------
    the checks; the machine is fit where all those that are needed are well
    """
    machine = [_python(), _packages(), _device(device)]
    disks = [_disk("disk, data", data_dir), _disk("disk, submissions", submissions_dir)]
    return [*machine, *disks, *_kaggle(patience)]


def _python() -> Check:
    good = (3, 11) <= sys.version_info[:2] <= (3, 14)
    advice = "" if good else "give make PYTHON=/path/to/python3.12"
    return Check("Python", good, platform.python_version(), advice)


def _packages() -> Check:
    found, missing = [], []
    for requirement in requires("digit-recognizer") or []:
        if "extra ==" in requirement:
            continue
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", False, f"missing: {', '.join(missing)}", "run 'make setup'")
    return Check("packages", True, ", ".join(found))


def _device(device: str) -> Check:
    from digit_recognizer.learning.device import DeviceError, find_placements

    try:
        placements, warning = find_placements(device)
    except DeviceError as error:
        return Check("device", False, str(error), needed=False)
    names = ", ".join(placement.device for placement in placements)
    found = f"{names} in {placements[0].precision}"
    return Check("device", warning is None, found, warning or "", needed=False)


def _disk(what: str, folder: Path) -> Check:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    good = free >= ROOM
    advice = "" if good else f"make room: {ROOM / 1e9:.0f} GB is enough"
    return Check(what, good, f"{free / 1e9:.1f} GB free at {there}", advice)


def _kaggle(patience: Patience | None) -> list[Check]:
    try:
        credentials = find_credentials()
    except RemoteError as error:
        return [Check("credentials", False, "found, and damaged", str(error))]
    if credentials is None:
        return [Check("credentials", False, "none found", no_credentials().advice)]
    found = Check("credentials", True, f"{credentials.kind} in {credentials.where}")
    checks = [found, *_permissions(credentials)]
    try:
        kaggle = Kaggle(patience)
    except RemoteError as error:
        return [*checks, _refused("credentials valid", error)]
    return [*checks, *_account(kaggle)]


def _permissions(credentials: Credentials) -> list[Check]:
    if credentials.warning is None:
        return []
    return [Check("permissions", False, "readable by others", credentials.warning, needed=False)]


def _account(kaggle: Kaggle) -> list[Check]:
    """What Kaggle says: one request for the quota, one for the data."""
    checks = []
    try:
        quota = kaggle.quota()
    except RemoteError as error:
        if error.status != 403:  # 403 is an account that Kaggle knows
            return [_refused("credentials valid", error)]
        left = Check("submissions left", False, "not known", "accept the rules first")
    else:
        good = quota.left > 0
        advice = "" if good else "the next is possible from 00:00 UTC"
        left = Check("submissions left", good, f"{quota.left} today", advice, needed=False)
    checks.append(Check("credentials valid", True, "yes"))
    try:
        kaggle.check_access()
    except RemoteError as error:
        checks.append(_refused("rules accepted", error))
    else:
        checks.append(Check("rules accepted", True, "yes"))
    return [*checks, left]


def _refused(what: str, error: RemoteError) -> Check:
    """A question that failed: Kaggle said no, or there was nobody to answer."""
    if error.status is None and not error.refused:
        return Check(what, False, "not known: Kaggle cannot be reached", str(error))
    return Check(what, False, "no" if error.status in (None, 401, 403) else "not known", str(error))

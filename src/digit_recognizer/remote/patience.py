"""How long and how often Kaggle is asked before giving up."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Patience:
    """Limits, in seconds. Kaggle's client itself would wait for ever and not repeat a 429."""

    connect: float = 10
    read: float = 60
    attempts: int = 6
    first_pause: float = 1  # then twice as long each time: 31 s in all
    longest_pause: float = 120  # a longer Retry-After is reported, not waited for
    score_pause: float = 3
    score_limit: float = 600  # Kaggle usually takes 5 to 60 s
    sleep: Callable[[float], None] = time.sleep

    def pause(self, attempt: int, retry_after: str | None) -> float | None:
        """Seconds to wait after failed attempt number `attempt`; None: it is not worth it."""
        if attempt >= self.attempts:
            return None
        asked = seconds_of(retry_after)
        if asked is not None and asked > self.longest_pause:
            return None
        grown = min(self.first_pause * 2 ** (attempt - 1), self.longest_pause)
        return grown if asked is None else asked


PATIENCE = Patience()


def seconds_of(retry_after: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date (RFC 9110, 10.2.3)."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None

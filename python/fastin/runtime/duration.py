"""How long one computation may take, and the refusal before it begins.

A computation whose work depends on a number of the input (the points of a grid times the pairs of each) estimates its
seconds first and calls `require_time`: a mistyped length, cutoff or resolution is then one line that names it, not an
hour without a word. Estimates are right to about a factor of three; the limit is `LONGEST`, or what the environment
variable ``FASTIN_SECONDS`` says.
"""

from __future__ import annotations

import math
import os

from fastin.errors import InputError, ResourceError

__all__ = ["LONGEST", "require_time", "seconds_allowed"]

ENVIRONMENT = "FASTIN_SECONDS"
#: Seconds that one computation may take by its estimate, where nothing else is said: an hour.
LONGEST = 3600.0


def seconds_allowed() -> float:
    """Seconds that one computation may take by its estimate.

    Raises:
        InputError: ``FASTIN_SECONDS`` is set to something that is no positive number.
    """
    text = os.environ.get(ENVIRONMENT, "").strip()
    if not text:
        return LONGEST
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds > 0.0:
        raise InputError(f"environment variable {ENVIRONMENT}: {text!r} is no positive number of seconds")
    return seconds


def duration_text(seconds: float) -> str:
    """``"50 s"``, ``"40 minutes"``, ``"3.2 hours"``, ``"12 days"``."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def require_time(seconds: float, what: str, remedy: str) -> None:
    """Refuses a computation that would take longer than is allowed.

    Args:
        seconds: estimated.
        what: the computation and the numbers that make it long.
        remedy: what to change.

    Raises:
        ResourceError: more than `seconds_allowed`.
    """
    if seconds <= 1.0:
        return
    allowed = seconds_allowed()
    if seconds > allowed:
        raise ResourceError(
            f"{what} would take about {duration_text(seconds)}, and {duration_text(allowed)} are allowed: {remedy}"
            f" (the limit in seconds: {ENVIRONMENT})"
        )

"""How many threads the core uses."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastin.errors import InputError
from fastin.runtime.openmp import _core, in_forked_child

_default: int | None = None
_ALWAYS = 16


def _cgroup_quota() -> int | None:
    """Whole CPUs that the cgroup (v2, then v1) allows, or None without a limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        try:
            quota = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text().strip()
            period = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        cpus = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return max(1, math.floor(cpus)) if cpus > 0 else None


def _automatic() -> int:
    text = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if text.isdigit() and int(text) > 0:
        return _granted(int(text))
    limits = [_core.max_threads()]
    if hasattr(os, "sched_getaffinity"):
        limits.append(len(os.sched_getaffinity(0)))
    quota = _cgroup_quota()
    if quota is not None:
        limits.append(quota)
    return max(1, min(limits))


def _granted(wish: int) -> int:
    """More threads than processors only cost: results do not depend on their number. A few are always granted."""
    return wish if wish <= _ALWAYS else min(wish, max(_ALWAYS, os.cpu_count() or 1))


def _checked(wish: object) -> int:
    try:
        if isinstance(wish, bool):
            raise TypeError
        count = operator.index(wish)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(f"num_threads must be a whole number of at least 1, not {wish!r}") from None
    if count < 1:
        raise InputError(f"num_threads must be at least 1, not {count}")
    return count


def resolve_threads(num_threads: int | None) -> int:
    """Thread count for one call.

    Args:
        num_threads: the caller's wish; ``None`` takes the default of `set_num_threads`, else ``OMP_NUM_THREADS``,
            else the smallest of the runtime's maximum, the CPU affinity and the cgroup quota. More than the machine
            has processors (and more than 16) are not started.

    Raises:
        InputError: no whole number, or below 1.
    """
    if num_threads is not None:
        wish = _checked(num_threads)
        return 1 if in_forked_child() else _granted(wish)
    if in_forked_child():
        return 1
    return _granted(_default) if _default is not None else _automatic()


def set_num_threads(num_threads: int | None) -> None:
    """Sets the default for every later call; ``None`` returns to the automatic choice."""
    global _default
    _default = None if num_threads is None else _checked(num_threads)


def get_num_threads() -> int:
    """The thread count that a call with ``num_threads=None`` uses."""
    return resolve_threads(None)


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Context manager: uses `n` threads by default inside the block."""
    global _default
    before = _default
    set_num_threads(n)
    try:
        yield
    finally:
        _default = before

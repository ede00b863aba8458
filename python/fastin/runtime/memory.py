"""How much memory one computation may take, and the refusal before it is taken.

The limit of a process is what `set_memory_limit` or the environment variable ``FASTIN_MEMORY`` says, else half of what
the machine, its control group and the address space limit leave at that moment. A computation whose size depends on a
number of the input (the points of a grid, the voids of an exact search) estimates its bytes first and calls `require`:
a mistyped cell length is then one line that names the number, not the end of the process.

Programs that run several computations at once (`screen`, `serve`) give each process `share_of_memory(processes)`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from fastin.errors import InputError, ResourceError

__all__ = [
    "available_memory",
    "format_bytes",
    "memory_limit",
    "parse_memory",
    "require",
    "set_memory_limit",
    "share_of_memory",
]

ENVIRONMENT = "FASTIN_MEMORY"

# A computation may use this part of what is free: the rest stays for the caller's own arrays and other programs.
_SHARE = 0.5
# All the processes of one program together.
_SHARE_OF_PROGRAM = 0.75
# Importing the package with its models takes about this much; less is no use to a worker.
_LEAST_SHARE = 512 * 2**20
# Smaller requests are granted without looking at the machine.
_UNASKED = 32 * 2**20

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}

_limit: int | None = None


def parse_memory(text: str | int) -> int:
    """Bytes of a size such as ``"2GB"``, ``"512 MiB"``, ``"1.5g"`` or a number of bytes.

    Raises:
        InputError: not a size, or not positive.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([kmgt]?i?)b?\s*", str(text).lower(), re.ASCII)
    size = 0
    if match is not None and match[2] in _UNITS and len(match[1]) < 20:
        size = int(float(match[1]) * _UNITS[match[2]])
    if size <= 0:
        raise InputError(f"{text!r} is no amount of memory: write for example 2GB, 512MiB or a number of bytes")
    return size


def format_bytes(size: float) -> str:
    """``"3.2 GB"``, ``"45 MB"``: decimal units, two digits."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.2g} {unit}" if size < 99.5 * scale else f"{size / scale:.0f} {unit}"
    return f"{size:.0f} bytes"


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # absent, or "max"
        return None


def _fields(path: str) -> dict[str, int]:
    """Names and numbers of a file of lines ``name number`` or ``name: number kB``; empty where it cannot be read."""
    found = {}
    try:
        for line in Path(path).read_text().splitlines():
            words = line.replace(":", " ").split()
            if len(words) >= 2 and words[1].isdigit():
                found[words[0]] = int(words[1]) * (1024 if words[2:] == ["kB"] else 1)
    except OSError:
        pass
    return found


def _left_in_cgroup() -> int | None:
    """Bytes that the control group (v2, then v1) leaves; its file cache counts as free."""
    for root, limit, used, cache in (
        ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        most = _number(f"{root}/{limit}")
        taken = _number(f"{root}/{used}")
        if most is not None and taken is not None:
            return max(0, most - taken + _fields(f"{root}/memory.stat").get(cache, 0))
    return None


def _left_of_address_space() -> int | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    if soft == resource.RLIM_INFINITY:
        return None
    try:
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        mapped = 0
    return max(0, int(soft) - mapped)


def _left_on_machine() -> int | None:
    free = _fields("/proc/meminfo").get("MemAvailable")
    if free is not None:
        return free
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def available_memory() -> int | None:
    """Bytes that this process could still take, or None where the system does not say.

    The smallest of what the machine has free, what the control group (a container, a batch system) leaves, and the
    rest of the address space limit (``ulimit -v``).
    """
    limits = [left for left in (_left_on_machine(), _left_in_cgroup(), _left_of_address_space()) if left is not None]
    return min(limits, default=None)


def set_memory_limit(limit: int | str | None) -> None:
    """What one computation of this process may take (bytes, or a text as for `parse_memory`); None: the automatic one.

    Raises:
        InputError: not a size.
    """
    global _limit
    _limit = None if limit is None else parse_memory(limit)


def memory_limit() -> int | None:
    """What one computation may take now (bytes); None where nothing is known.

    Raises:
        InputError: ``FASTIN_MEMORY`` is set to something that is no size.
    """
    if _limit is not None:
        return _limit
    text = os.environ.get(ENVIRONMENT, "").strip()
    if text:
        try:
            return parse_memory(text)
        except InputError as error:
            raise InputError(f"environment variable {ENVIRONMENT}: {error}") from None
    free = available_memory()
    return None if free is None else int(_SHARE * free)


def share_of_memory(processes: int, total: int | str | None = None) -> int | None:
    """What each of so many computing processes may take (bytes): the default of ``--memory`` divided among them.

    Args:
        processes: that run at the same time, at least 1.
        total: all of them together; None takes three quarters of what is available.

    Returns:
        At least 512 MiB each where no total was asked for, so that a worker can start at all; None where the system
        does not say what it has.

    Raises:
        InputError: `total` is no size.
    """
    processes = max(1, processes)
    if total is not None:
        return parse_memory(total) // processes
    free = available_memory()
    return None if free is None else max(_LEAST_SHARE, int(_SHARE_OF_PROGRAM * free) // processes)


def require(needed: float, what: str, remedy: str) -> None:
    """Refuses a computation that would take more than the limit.

    Args:
        needed: estimated bytes.
        what: the computation and the numbers that make it large.
        remedy: what to change.

    Raises:
        ResourceError: more than `memory_limit` allows.
    """
    if needed <= _UNASKED:
        return
    limit = memory_limit()
    if limit is None or needed <= limit:
        return
    raise ResourceError(
        f"{what} would take about {format_bytes(needed)} of memory, and {format_bytes(limit)} are allowed: {remedy}"
        f" (the limit: {ENVIRONMENT}, or fastin.runtime.memory.set_memory_limit)"
    )

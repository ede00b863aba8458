"""Settings of space groups by name or number, and which of them keep a cell's metric."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Largest change of the metric by an operation, relative: what the digits of a cell explain, and what they may at most.
KEEPS, NEARLY = 4e-3, 2e-2
_SUFFIX = re.compile(r"(.*?[\dmnabcde/)])\s*:?\s*(O?1|O?2|S|Z|H|R|HR|RS)")
_PREFERRED = {"O1": "1", "O2": "2", "S": "1", "Z": "2", "HR": "H", "RS": "R"}


class Operations(NamedTuple):
    """Operations ``x' = R x + t`` and what they are."""

    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]
    name: str


def from_group(operations: Any, name: str) -> Operations:
    """From gemmi's operations."""
    listed = list(operations)
    rotations = np.array([op.rot for op in listed], dtype=np.float64) / 24.0
    translations = np.array([op.tran for op in listed], dtype=np.float64) / 24.0
    return Operations(rotations, translations, name)


@lru_cache(maxsize=256)
def operations_of(hall: str, name: str) -> Operations:
    """Operations of a Hall symbol."""
    import gemmi

    return from_group(gemmi.symops_from_hall(hall), name)


def distortion(rotations: NDArray[np.float64], cell: NDArray[np.float64]) -> float:
    """Largest relative change of the cell's metric by an operation: 0 where all keep lengths and angles.

    Infinite for vectors too long or too short to be squared.
    """
    with np.errstate(all="ignore"):
        metric = cell @ cell.T
        scale = np.sqrt(np.diag(metric))
        changed = np.einsum("gji,jk,gkl->gil", rotations, metric, rotations) - metric
        largest = float(np.abs(changed / np.outer(scale, scale)).max())
    return largest if np.isfinite(largest) else np.inf


def settings_by_name(name: str, angles: tuple[float, float, float]) -> list[Any]:
    """Settings that a Hermann-Mauguin name may mean, likeliest first; empty where it is unknown."""
    import gemmi

    text = re.sub(r"\((\d)\)", r"\1", name.replace("_", "").strip())  # P4(2)/nmc, P4_2/nmc
    preferred = ""
    # Suffixes for the origin or axes: ":1", "S" (origin 1), "Z" (origin 2), "H", "R", "O1", "O2".
    match = _SUFFIX.fullmatch(text)
    if match and (":" in text[len(match[1]) :] or not text[-1].isdigit() or "O" in match[2]):
        text, suffix = match[1].strip(), match[2]
        preferred = _PREFERRED.get(suffix, suffix)
    found = None
    for spelling in (text, text.replace(" ", ""), _short_of_full(text)):
        found = found or (gemmi.find_spacegroup_by_name(spelling, angles[0], angles[2]) if spelling else None)
    if found is None:
        return []
    same = [s for s in _table(found.number) if s.hm == found.hm]
    if preferred:
        chosen = [s for s in same if s.ext == preferred]
        same = chosen + [s for s in same if s not in chosen] if chosen and preferred in "HR" else chosen or same
        if chosen:
            return same
    return likeliest_first(same, angles)


def _short_of_full(text: str) -> str:
    """``P 21/m 2/c 21/n`` is ``Pmcn``: of each direction's ``axis/plane`` the plane; empty where nothing changes."""
    parts = text.split()
    if len(parts) < 3 or sum("/" in p for p in parts[1:]) < 2:
        return ""
    return " ".join([parts[0]] + [p.partition("/")[2] or p for p in parts[1:]])


@lru_cache(maxsize=256)
def _table(number: int) -> tuple[Any, ...]:
    import gemmi

    return tuple(s for s in gemmi.spacegroup_table() if s.number == number)


def settings_by_number(number: int, angles: tuple[float, float, float]) -> list[Any]:
    """The reference setting of a number, with its origins or axes, likeliest first."""
    import gemmi

    reference = gemmi.find_spacegroup_by_number(number)
    return likeliest_first([s for s in _table(number) if s.hm == reference.hm], angles)


def other_settings(settings: list[Any], cell: NDArray[np.float64], limit: float) -> list[Any]:
    """Every setting of the same group that keeps the metric, those of the same short name first."""
    first = settings[0]
    short = {s.short_name() for s in settings} | {_bare(s.hm) for s in settings}
    kept = [s for s in _table(first.number) if distortion(operations_of(s.hall, s.xhm()).rotations, cell) <= limit]
    return sorted(kept, key=lambda s: _bare(s.hm) not in short and s.short_name() not in short)


def _bare(hm: str) -> str:
    """Name without blanks and without the 1 of unused axes: ``A 1 1 2/a`` and ``A 1 2/a 1`` are ``A2/a``."""
    head, *rest = hm.split()
    return head + "".join(part for part in rest if part != "1")


def likeliest_first(settings: list[Any], angles: tuple[float, float, float]) -> list[Any]:
    """Origin 2 before origin 1; of rhombohedral groups the axes that the angles say."""
    hexagonal = abs(angles[2] - 120.0) < 1e-2
    order = {"2": 0, "1": 1, "H": 0 if hexagonal else 1, "R": 1 if hexagonal else 0}
    return sorted(settings, key=lambda s: order.get(s.ext, 0))

"""States of kinds of atoms that add up to nothing: searches over their combinations, bounded in time."""

from __future__ import annotations

import math
from typing import NamedTuple

VARIABLE = frozenset(
    {*range(22, 30), *range(40, 48), *range(73, 80), 50, 51, 58, 59, 62, 63, 65, 69, 70, 81, 82, 83, 92, 93, 94}
)
_WINDOW = 16.0  # cost above the cheapest up to which neutral combinations are kept for the bonds to judge
_APART = 4.0  # further cost where the two states are more than one apart (Tl+ and Tl3+): they would order
_MAX_NODES = 20000  # search nodes; reached by no crystal known, it bounds the time
_MAX_KEPT = 200
_MAX_MIXED = 64  # combinations of the other elements' states, the likeliest, in which one element is averaged


class Kind(NamedTuple):
    """Rows of one element that play the same part."""

    number: int
    amount: float  # atoms a cell, occupancies counted
    states: tuple[tuple[float, float], ...]  # (charge, cost), cheapest first
    shared: bool = False  # an anion whose charge may lie between its shell's and none


def neutral(kinds: list[Kind], tolerance: float) -> list[tuple[float, list[float]]]:
    """Neutral combinations of known states with their costs, the cheapest first; those far costlier are left out."""
    order = sorted(range(len(kinds)), key=lambda k: len(kinds[k].states))
    low, high = _reach(kinds, order)
    least = [0.0] * (len(order) + 1)
    for at in range(len(order) - 1, -1, -1):
        least[at] = least[at + 1] + kinds[order[at]].states[0][1]
    chosen = [0.0] * len(kinds)
    found: list[tuple[float, list[float]]] = []
    cheapest = math.inf
    nodes = 0

    def descend(at: int, total: float, cost: float) -> None:
        nonlocal nodes, cheapest
        nodes += 1
        if cost + least[at] > cheapest + _WINDOW or nodes > _MAX_NODES:
            return
        if at == len(order):
            if abs(total) <= tolerance:
                cheapest = min(cheapest, cost)
                found.append((cost, list(chosen)))
            return
        if total + low[at] > tolerance or total + high[at] < -tolerance:
            return
        kind = kinds[order[at]]
        for charge, price in kind.states:
            chosen[order[at]] = charge
            descend(at + 1, total + kind.amount * charge, cost + price)

    descend(0, 0.0, 0.0)
    found.sort(key=lambda item: item[0])
    return [item for item in found[:_MAX_KEPT] if item[0] <= cheapest + _WINDOW]


def _reach(kinds: list[Kind], order: list[int]) -> tuple[list[float], list[float]]:
    """Lowest and highest charge that the kinds from each place of the order on can add up to."""
    low = [0.0] * (len(order) + 1)
    high = [0.0] * (len(order) + 1)
    for at in range(len(order) - 1, -1, -1):
        kind = kinds[order[at]]
        low[at] = low[at + 1] + kind.amount * min(q for q, _ in kind.states)
        high[at] = high[at + 1] + kind.amount * max(q for q, _ in kind.states)
    return low, high


def combinations(kinds: list[Kind], left_out: int, varied: list[int]) -> list[tuple[float, list[float]]]:
    """States of all kinds but one with their costs: the likeliest combinations of those that vary."""
    found = [(sum(kind.states[0][1] for k, kind in enumerate(kinds) if k != left_out), [k.states[0][0] for k in kinds])]
    for k in varied:
        if k == left_out:
            continue
        for before, charges in list(found):
            for charge, cost in kinds[k].states[1:]:
                other = list(charges)
                other[k] = charge
                found.append((before - kinds[k].states[0][1] + cost, other))
        found = sorted(found, key=lambda item: item[0])[:_MAX_MIXED]
    return found


def between(kind: Kind, needed: float) -> float | None:
    """Cost of an average state: linear between those below and above; None outside the known ones."""
    below = max(((q, c) for q, c in kind.states if 0 < q <= needed + 1e-9), default=None)
    above = min(((q, c) for q, c in kind.states if q >= needed - 1e-9 and q > 0), default=None)
    if below is None or above is None:
        return None
    gap = above[0] - below[0]
    share = (needed - below[0]) / gap if gap > 0 else 0.0
    return (1 - share) * below[1] + share * above[1] + (_APART if gap > 1 else 0.0)


def nearest_to_neutral(kinds: list[Kind]) -> list[float]:
    """Combination with the smallest residue, the likeliest of equals; only metals of variable valence are varied."""
    kinds = [k if k.number in VARIABLE else k._replace(states=k.states[:1]) for k in kinds]
    order = sorted(range(len(kinds)), key=lambda k: len(kinds[k].states))
    low, high = _reach(kinds, order)
    chosen = [0.0] * len(kinds)
    best: tuple[float, float, list[float]] = (math.inf, math.inf, [k.states[0][0] for k in kinds])
    nodes = 0

    def descend(at: int, total: float, cost: float) -> None:
        nonlocal best, nodes
        nodes += 1
        if at == len(order):
            if (round(abs(total), 6), cost) < best[:2]:
                best = (round(abs(total), 6), cost, list(chosen))
            return
        if max(total + low[at], -(total + high[at])) > best[0] + 1e-6 or nodes > _MAX_NODES:
            return
        kind = kinds[order[at]]
        for charge, price in kind.states:
            chosen[order[at]] = charge
            descend(at + 1, total + kind.amount * charge, cost + kind.amount * price)

    descend(0, 0.0, 0.0)
    return best[2]

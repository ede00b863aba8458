"""Reproducible splits: random, or grouped so that no group is on both sides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError
from fastin.runtime.files import refuse_special

Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Sorted indices of the three parts; `kind` and `seed` say how to make it again."""

    train: Index
    validation: Index
    test: Index
    kind: str
    seed: int

    def __repr__(self) -> str:
        return f"Split({self.kind}, seed {self.seed}: {len(self.train)}/{len(self.validation)}/{len(self.test)})"

    def save(self, path: Path | str, ids: Sequence[str]) -> None:
        """Writes the ids of each part as JSON."""
        parts = {name: [str(ids[i]) for i in getattr(self, name)] for name in ("train", "validation", "test")}
        Path(path).write_text(json.dumps({"kind": self.kind, "seed": self.seed, **parts}, indent=0))

    @classmethod
    def load(cls, path: Path | str, ids: Sequence[str]) -> Split:
        """Reads what `save` wrote, for a store with these ids; ids that are absent are left out.

        Raises:
            InputError: it cannot be read, or holds something else.
        """
        where = {str(name): i for i, name in enumerate(ids)}
        refuse_special(path)
        try:
            stored = json.loads(Path(path).read_text(encoding="utf-8"))
            parts = {
                name: np.array(sorted(where[i] for i in stored[name] if i in where), np.int64)
                for name in ("train", "validation", "test")
            }
            return cls(kind=str(stored["kind"]), seed=int(stored["seed"]), **parts)
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise InputError(f"{path}: not a split of fastin train ({type(error).__name__}: {error})") from None


def random_split(n: int, seed: int, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)) -> Split:
    """Each structure on its own (the seed paper's 8:1:1)."""
    return grouped_split(np.arange(n), seed, fractions, kind="random")


def grouped_split(
    groups: Sequence[Any] | NDArray[Any],
    seed: int,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    *,
    kind: str = "grouped",
) -> Split:
    """Whole groups (chemical systems, papers) go to one part.

    Groups are shuffled and dealt to test, then validation, until each holds its fraction; the rest trains. A group
    that would overshoot a part by more than half of itself goes on to the next. A part whose fraction is not zero is
    never empty: where no group fits, it gets the smallest one that is left.

    Raises:
        InputError: fractions that do not sum to one, or fewer than three groups.
    """
    if abs(sum(fractions) - 1.0) > 1e-9 or min(fractions) < 0:
        raise InputError(f"split fractions must be positive and sum to 1, not {fractions}")
    labels, inverse, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if len(labels) < 3:
        raise InputError(f"a split needs at least three groups, not {len(labels)}")
    order = np.random.default_rng(seed).permutation(len(labels))
    n = len(inverse)
    part = np.zeros(len(labels), np.int64)  # 0 train, 1 validation, 2 test
    position = 0
    for which, fraction in ((2, fractions[2]), (1, fractions[1])):
        filled = 0
        while position < len(order) and filled + counts[order[position]] / 2 <= fraction * n:
            part[order[position]] = which
            filled += counts[order[position]]
            position += 1
    for which, fraction in ((2, fractions[2]), (1, fractions[1])):
        left = order[part[order] == 0]
        if fraction > 0 and not (part == which).any() and len(left) > 1:
            part[left[np.argmin(counts[left])]] = which
    member = part[inverse]
    return Split(
        train=np.flatnonzero(member == 0),
        validation=np.flatnonzero(member == 1),
        test=np.flatnonzero(member == 2),
        kind=kind,
        seed=seed,
    )


def make_split(
    kind: str, groups: Sequence[Any] | NDArray[Any], seed: int, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
) -> Split:
    """``"random"`` or ``"grouped"`` by name."""
    if kind == "random":
        return random_split(len(groups), seed, fractions)
    if kind == "grouped":
        return grouped_split(groups, seed, fractions)
    raise InputError(f"unknown split {kind!r}: choose random or grouped")


def grouped_folds(groups: Sequence[Any] | NDArray[Any], folds: int, seed: int) -> Iterator[tuple[Index, Index]]:
    """(train, test) indices of grouped cross-validation: groups shuffled, each to the smallest fold so far."""
    labels, inverse, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if len(labels) < folds:
        raise InputError(f"{folds} folds need as many groups, not {len(labels)}")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    order = order[np.argsort(-counts[order], kind="stable")]
    sizes = np.zeros(folds, np.int64)
    fold = np.zeros(len(labels), np.int64)
    for g in order:
        fold[g] = np.argmin(sizes)
        sizes[fold[g]] += counts[g]
    member = fold[inverse]
    for k in range(folds):
        yield np.flatnonzero(member != k), np.flatnonzero(member == k)

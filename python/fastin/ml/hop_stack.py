"""A hop's relaxed barrier of one potential beside the forest: both on one line, in logarithms.

A potential errs in its own way (CHGNet's barriers are too low by a quarter of an eV), so the constants belong to one
potential. Where flags doubt the relaxed barrier the forest stays alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError
from fastin.ml.conductivity import model_folder
from fastin.ml.forest import Forest, compress, expand
from fastin.runtime.files import read_checked, write_text

FloatArray = NDArray[np.float64]

_SCALE = "energy"
_PULL = 0.02
"""eV by which slopes of 0 and 1 count as worse than one half each: with few hops both have their say."""


@dataclass(frozen=True)
class HopStack:
    """``log(E + 0.2) = a + b log(forest + 0.2) + c log(relaxed + 0.2)``, energies in eV.

    Attributes:
        potential: that the constants belong to.
        constants: a, b, c.
        doubt: flags of `fastin.relax.flags` with which a relaxed barrier does not count.
        card: facts about training set and scores, and the constants of the uncertainty (as in `Forest`).
    """

    potential: str
    constants: tuple[float, float, float]
    doubt: tuple[str, ...]
    card: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        potential: str,
        doubt: Iterable[str],
        forest: FloatArray,
        relaxed: FloatArray,
        y: FloatArray,
        card: dict[str, Any] | None = None,
    ) -> HopStack:
        """The constants with the smallest mean absolute error in eV.

        Args:
            potential: name.
            doubt: flags with which a relaxed barrier does not count; rows with them must not be given.
            forest: (n,) predictions of rows that the forest was not trained on, eV.
            relaxed: (n,) barriers of the potential, eV.
            y: (n,) published barriers, eV.
            card: facts to store.
        """
        from scipy.optimize import minimize

        one, other = compress(forest, _SCALE), compress(relaxed, _SCALE)

        def loss(c: FloatArray) -> float:
            error = np.abs(expand(c[0] + c[1] * one + c[2] * other, _SCALE) - y).mean()
            return float(error + _PULL * ((c[1] - 0.5) ** 2 + (c[2] - 0.5) ** 2))

        at = np.array([0.0, 0.5, 0.5])
        for _ in range(4):  # a simplex may collapse at an edge of absolute errors: a new one goes on
            at = minimize(loss, at, method="Nelder-Mead", options={"maxiter": 1000, "xatol": 1e-6, "fatol": 1e-8}).x
        a, b, c = (float(v) for v in at)
        return cls(potential, (a, b, c), tuple(sorted(doubt)), card or {})

    def counts(self, flags: Iterable[str]) -> bool:
        """Whether a relaxed barrier with these flags counts."""
        return not set(flags) & set(self.doubt)

    def combine(self, forest: FloatArray, relaxed: FloatArray) -> FloatArray:
        """Barriers, eV, of predictions of the forest and relaxed barriers of one shape."""
        a, b, c = self.constants
        return np.maximum(expand(a + b * compress(forest, _SCALE) + c * compress(relaxed, _SCALE), _SCALE), 0.0)

    def mean_and_spread(self, forest: Forest, x: NDArray[Any], relaxed: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(n,) barriers and deviations over the forest's members, eV.

        Args:
            forest: without a potential.
            x: (n, F) its features.
            relaxed: (n,) barriers of the potential, eV.
        """
        members = expand(forest.members(x), forest.card.get("scale", "identity"))
        mean = self.combine(forest.mean_and_spread(x)[0], relaxed)
        every = self.combine(members, np.broadcast_to(relaxed, members.shape))
        return mean, np.sqrt(forest.weight @ (every - mean) ** 2)

    def predict(self, forest: Forest, x: NDArray[Any], relaxed: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(n,) barriers and calibrated standard deviations, eV; arguments as for `mean_and_spread`."""
        mean, spread = self.mean_and_spread(forest, x, relaxed)
        fit = self.card["uncertainty"]
        return mean, np.hypot(fit["scale"] * spread, fit["floor"])

    def save(self, path: Path) -> None:
        """Writes JSON."""
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> HopStack:
        """Reads what `save` wrote.

        Raises:
            InputError: another kind of file, a damaged one, or numbers that are not finite.
        """
        try:
            held = json.loads(read_checked(path))
            a, b, c = (float(v) for v in held["constants"])
            limits = held["card"]["uncertainty"]
            numbers = [a, b, c, *(float(limits[k]) for k in ("scale", "floor", "two"))]
            if not np.isfinite(numbers).all():
                raise ValueError("a number that is not finite")
            return cls(str(held["potential"]), (a, b, c), tuple(map(str, held["doubt"])), dict(held["card"]))
        except (ValueError, LookupError, TypeError) as error:
            raise InputError(f"{path}: not a whole stack of fastin ({error})") from None


def shipped_stack(potential: str) -> HopStack | None:
    """The stack that this installation has for a potential, by its name."""
    path = model_folder() / f"neb_barrier-{potential}.json"
    return HopStack.load(path) if potential.isalnum() and path.is_file() else None

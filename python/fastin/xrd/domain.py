"""What a pattern classifier was trained on, and whether a new pattern lies within it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastin.xrd.dataset import LabelledSet, PatternSet
from fastin.xrd.profiles import smooth
from fastin.xrd.settings import COARSE_BINS, COARSE_FACTOR, PATTERN_STEP, coarsened

#: An element that this share of the training materials holds is required of new ones.
_REQUIRED_SHARE = 0.95
#: Similarity to the nearest labelled pattern below which a pattern is out of domain; `bench/experiments/xrd_formula.py`
#: prints scores by similarity.
LEAST_SIMILARITY = 0.7
_FWHM = 0.5  # degrees: broadening of patterns that are compared
_COARSE_STEP = COARSE_FACTOR * PATTERN_STEP


class DomainWarning(UserWarning):
    """A prediction for something unlike what the model was trained on."""


@dataclass(frozen=True, eq=False)
class Domain:
    """The training materials of a model.

    Attributes:
        elements: number of training materials that hold an element.
        required: elements that practically all of them hold.
        reference: (R, 901) labelled patterns in bins of 0.1 degrees, float16.
        formulas: (R,) of them.
        sigma: (R,) S/cm.
        floor: similarity to the nearest labelled pattern below which a pattern is out of domain.
    """

    elements: dict[str, int]
    required: tuple[str, ...]
    reference: NDArray[np.float16]
    formulas: tuple[str, ...]
    sigma: tuple[float, ...]
    floor: float

    @classmethod
    def of(cls, labelled: LabelledSet, unlabelled: PatternSet | None) -> Domain:
        """The domain of a model trained on these sets."""
        formulas = [*labelled.formulas, *(() if unlabelled is None else unlabelled.formulas)]
        counts = Counter(element for formula in formulas for element in elements_of(formula))
        reference = coarsened(np.asarray(labelled.patterns)).astype(np.float16)
        return cls(
            elements=dict(sorted(counts.items())),
            required=tuple(sorted(e for e, n in counts.items() if n >= _REQUIRED_SHARE * len(formulas))),
            reference=reference,
            formulas=labelled.formulas,
            sigma=tuple(float(x) for x in labelled.sigma),
            floor=LEAST_SIMILARITY,
        )

    @cached_property
    def _reference_rows(self) -> NDArray[np.float32]:
        return _unit_rows(self.reference, _FWHM)

    def nearest(self, patterns: ArrayLike) -> list[tuple[str, float, float]]:
        """(formula, similarity, S/cm) of the labelled material whose pattern is most similar, one a row."""
        close = _unit_rows(patterns, _FWHM) @ self._reference_rows.T
        best = close.argmax(axis=1).tolist()
        return [(self.formulas[j], float(row[j]), self.sigma[j]) for row, j in zip(close, best, strict=True)]

    def neighbours(self, pattern: ArrayLike, count: int = 3) -> list[tuple[str, float, float]]:
        """(formula, similarity, S/cm) of the labelled materials most similar to one pattern; equal formulas once."""
        close = (_unit_rows(pattern, _FWHM) @ self._reference_rows.T)[0]
        found: dict[str, tuple[str, float, float]] = {}
        for j in np.argsort(-close, kind="stable").tolist():
            found.setdefault(self.formulas[j], (self.formulas[j], float(close[j]), self.sigma[j]))
            if len(found) == count:
                break
        return list(found.values())

    def foreign(self, elements: Collection[str]) -> list[str]:
        """What a composition has or lacks that no training material did; the probability then means nothing."""
        reasons = []
        missing = [e for e in self.required if e not in elements]
        strangers = sorted(e for e in elements if e not in self.elements)
        if missing:
            reasons.append(f"holds no {' or '.join(missing)}, as all materials of the training do")
        if strangers:
            reasons.append(f"holds {', '.join(strangers)}, which no material of the training does")
        return reasons

    def objections(self, pattern: ArrayLike, elements: Collection[str] | None = None) -> list[str]:
        """Reasons not to trust the prediction for one pattern; empty where none is known.

        Args:
            pattern: (4501,) sticks or measured intensities.
            elements: symbols of the material's elements, ``None`` where they are unknown.
        """
        reasons = [] if elements is None else self.foreign(elements)
        formula, similarity, _ = self.nearest(pattern)[0]
        if similarity < self.floor:
            near = f"nearest {formula}, similarity {similarity:.2f} < {self.floor:.2f}"
            reasons.append(f"is unlike every labelled pattern ({near}): out of domain")
        return reasons

    def holds(self, pattern: ArrayLike, elements: Collection[str] | None = None) -> bool:
        """Whether a pattern lies in the domain: like a labelled one, of elements that the training knows."""
        return not self.objections(pattern, elements)

    def state(self) -> dict[str, Any]:
        """Tensors and plain values, for the model file."""
        import torch

        return {
            "elements": self.elements,
            "required": list(self.required),
            "reference": torch.from_numpy(np.array(self.reference)),
            "formulas": list(self.formulas),
            "sigma": list(self.sigma),
            "floor": self.floor,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Domain:
        """Inverse of `state`, from tensors or arrays."""
        reference = state["reference"]
        return cls(
            elements={str(k): int(v) for k, v in state["elements"].items()},
            required=tuple(state["required"]),
            reference=np.array(reference if isinstance(reference, np.ndarray) else reference.numpy()),
            formulas=tuple(state["formulas"]),
            sigma=tuple(float(x) for x in state["sigma"]),
            floor=float(state["floor"]),
        )


def elements_of(formula: str) -> set[str]:
    """Symbols in a formula."""
    return set(re.findall(r"[A-Z][a-z]?", formula))


def similarities(patterns: ArrayLike, labelled: ArrayLike, *, fwhm: float = _FWHM) -> NDArray[Any]:
    """(N, L) cosine similarity of the square roots of broadened patterns, from 5 degrees on.

    Args:
        patterns: (N, 4501) sticks, or (N, 901) of `fastin.xrd.settings.coarsened`.
        labelled: (L, 4501) or (L, 901).
        fwhm: broadening, degrees.
    """
    result: NDArray[np.float32] = _unit_rows(patterns, fwhm) @ _unit_rows(labelled, fwhm).T
    return result


def _unit_rows(sticks: ArrayLike, fwhm: float) -> NDArray[np.float32]:
    """Square roots of broadened patterns, each row of unit length."""
    values = np.atleast_2d(np.asarray(sticks, dtype=np.float32))
    coarse = values if values.shape[1] == COARSE_BINS else coarsened(values)
    broad = smooth(coarse, fwhm=fwhm, step=_COARSE_STEP)[:, 50::2]
    root = np.sqrt(np.maximum(broad, 0.0))
    norm = np.linalg.norm(root, axis=1, keepdims=True)
    return np.asarray(root / np.where(norm > 0, norm, 1.0), dtype=np.float32)

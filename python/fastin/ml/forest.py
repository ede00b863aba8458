"""Ensembles of regression trees as plain arrays: fitted by scikit-learn, stored without pickles, run with numpy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import ConvergenceError, InputError
from fastin.runtime.files import read_checked, read_npz
from fastin.runtime.openmp import _core

_LEAF = -1
_LOWEST_LOG10 = -12.0  # log10 of S/cm: lower measurements are extrapolations and count as this
_ENERGY_OFFSET = 0.2  # eV: below it the logarithm is about linear


def compress(y: NDArray[Any], scale: str) -> NDArray[np.float64]:
    """A quantity on the scale on which its trees are fitted.

    Rare extreme values otherwise decide most splits, as squared errors do.

    Args:
        y: values.
        scale: ``"identity"``; ``"log10_conductivity"``: minus the logarithm of 1 - y; ``"energy"``: logarithm of
            y + 0.2 eV.

    Raises:
        InputError: unknown scale.
    """
    y = np.asarray(y, np.float64)
    if scale == "identity":
        return y
    if scale == "log10_conductivity":
        return np.asarray(-np.log1p(-np.clip(y, _LOWEST_LOG10, 0.9)))
    if scale == "energy":
        return np.asarray(np.log(np.maximum(y, 0.0) + _ENERGY_OFFSET))
    raise InputError(f"unknown scale {scale!r}: choose identity, log10_conductivity or energy")


def expand(value: NDArray[Any], scale: str) -> NDArray[np.float64]:
    """The inverse of `compress`."""
    value = np.asarray(value, np.float64)
    if scale == "identity":
        return value
    if scale == "log10_conductivity":
        return np.asarray(-np.expm1(-value))
    return np.asarray(np.exp(value) - _ENERGY_OFFSET)


@dataclass(frozen=True, eq=False)
class Forest:
    """A weighted average of members; a member is one tree, or a base value plus the sum of many (boosted) trees.

    Attributes:
        names: feature of each column.
        fill: (F,) value that stands in for NaN (the training median).
        feature, threshold, left, right, value: (nodes,) of all trees one after the other; a leaf has feature -1.
        roots: (trees,) first node of each tree.
        member: (trees,) member that each tree belongs to, in rising order.
        base: (members,) value to which a member's trees add.
        weight: (members,) weights, sum 1.
        card: facts about target, training set and scores, the constants of the uncertainty, the ``"scale"`` (see
            `compress`) that the members predict, and ``"offset"``: feature -> share of its value on that scale to which
            every member adds.
    """

    names: list[str]
    fill: NDArray[np.float64]
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]
    roots: NDArray[np.int32]
    member: NDArray[np.int32]
    base: NDArray[np.float64]
    weight: NDArray[np.float64]
    card: dict[str, Any]

    @classmethod
    def fit(
        cls,
        names: list[str],
        x: NDArray[Any],
        y: NDArray[Any],
        card: dict[str, Any],
        *,
        trees: int = 300,
        boosted: int = 0,
        share: float = 0.0,
        scale: str = "identity",
        leaf: int = 2,
        max_features: float = 0.4,
        seed: int = 0,
        weight: NDArray[Any] | None = None,
        offset: Mapping[str, float] | None = None,
    ) -> Forest:
        """Extremely randomised trees and gradient-boosted trees on the rows of x.

        P. Geurts et al., Mach. Learn. 63, 3 (2006); J. H. Friedman, Comput. Stat. Data Anal. 38, 367 (2002).

        Args:
            names: feature of each column of x.
            x: (n, F) features, NaN where unknown.
            y: (n,) values.
            card: facts to store; ``"scale"`` is added.
            trees: extremely randomised trees.
            boosted: boosted models, of 400 trees each, that differ in their seeds.
            share: weight of the boosted models together.
            scale: see `compress`.
            leaf: smallest leaf of the randomised trees.
            max_features: share of the features that a split of the randomised trees looks at.
            seed: of the random choices.
            weight: (n,) weights of the rows; None: all alike.
            offset: feature -> share of its value, on the scale of y, that is taken off the target and added again to
                each prediction: a quantity that is nearly the target leaves the trees the difference.
        """
        from fastin.ml._require import require

        ensemble = require("sklearn.ensemble", "scikit-learn")
        x = np.asarray(x, np.float64)
        with np.errstate(all="ignore"):
            known = np.isfinite(x).any(axis=0)
            fill = np.zeros(x.shape[1])
            fill[known] = np.nanmedian(np.where(np.isfinite(x), x, np.nan)[:, known], axis=0)
        if offset:
            card = {**card, "offset": dict(offset)}
        inputs = _filled(x, fill)
        target = compress(y, scale) - _offset(names, inputs, offset or {}, scale)
        parts: list[tuple[float, float, list[Any], float]] = []  # weight, base, trees, factor
        for k in range(boosted):
            model = ensemble.GradientBoostingRegressor(
                n_estimators=400,
                learning_rate=0.04,
                max_depth=20,
                max_leaf_nodes=8,
                max_features=0.15,
                subsample=0.6,
                min_samples_leaf=8,
                random_state=seed * 1000 + k,
            ).fit(inputs, target, sample_weight=weight)
            start = float(model.init_.constant_[0, 0])
            parts.append((share / boosted, start, [e.tree_ for e in model.estimators_[:, 0]], model.learning_rate))
        if trees:
            model = ensemble.ExtraTreesRegressor(
                n_estimators=trees, min_samples_leaf=leaf, max_features=max_features, random_state=seed, n_jobs=1
            ).fit(inputs, target, sample_weight=weight)
            rest = 1.0 - share if boosted else 1.0
            parts += [(rest / trees, 0.0, [e.tree_], 1.0) for e in model.estimators_]
        return cls(names=list(names), fill=fill, card={**card, "scale": scale}, **_arrays(parts))

    @cached_property
    def _nodes(self) -> NDArray[np.int32]:
        """(nodes, 4) feature, bits of the threshold or of a leaf's value, children: what a step reads lies together."""
        leaf = self.feature == _LEAF
        number = np.where(leaf, self.value, self.threshold).astype(np.float32)
        return np.stack([self.feature.astype(np.int32), number.view(np.int32), self.left, self.right], axis=1)

    def members(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """(members, n) prediction of each member on the scale of the card; NaN in x (n, F) are filled."""
        x = np.asarray(x, np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.names):
            raise InputError(f"x must have {len(self.names)} columns, not shape {x.shape}")
        filled = _filled(x, self.fill)
        sums = _core.leaf_sums(self._nodes, self.roots, self.member, filled.astype(np.float32), len(self.base))
        known = _offset(self.names, filled, self.card.get("offset", {}), self.card.get("scale", "identity"))
        return np.asarray(sums + self.base[:, None] + known)

    def mean_and_spread(
        self, x: NDArray[Any], weight: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Prediction and weighted deviation of the members from it, for other weights of the members if given."""
        scale = self.card.get("scale", "identity")
        share = self.weight if weight is None else weight
        every = self.members(x)
        mean = expand(share @ every, scale)
        spread = np.sqrt(share @ (expand(every, scale) - mean) ** 2)
        if not (np.isfinite(mean).all() and np.isfinite(spread).all()):
            raise ConvergenceError(f"the trees of {', '.join(self.names[:3])}... give a value that is not finite")
        return mean, spread

    def predict(self, x: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and calibrated standard deviation for the rows of x."""
        mean, spread = self.mean_and_spread(x)
        fit = self.card.get("uncertainty", {"scale": 1.0, "floor": 0.0})
        return mean, np.hypot(fit["scale"] * spread, fit["floor"])

    def row(self, features: dict[str, float]) -> NDArray[np.float64]:
        """(1, F) row of named features; absent ones are NaN."""
        return np.array([list(map(features.get, self.names))], np.float64)  # None becomes NaN

    def save(self, path: Path | str) -> None:
        """Writes an ``.npz`` without pickles."""
        text = json.dumps({"names": self.names, "card": self.card})
        with Path(path).open("wb") as stream:
            arrays = {name: getattr(self, name) for name in _ARRAYS}
            np.savez_compressed(stream, text=np.frombuffer(text.encode(), np.uint8), **arrays)

    @classmethod
    def load(cls, path: Path | str) -> Forest:
        """Reads what `save` wrote.

        Raises:
            InputError: another kind of file, a damaged one, or values that are not finite.
        """
        path = Path(path)
        try:
            data = read_npz(path, ["text", *_ARRAYS], read_checked(path))
        except InputError as error:
            raise InputError(f"{error}; not a forest of fastin") from None
        try:
            text = json.loads(data["text"].tobytes().decode())
            forest = cls(names=list(text["names"]), card=dict(text["card"]), **{k: data[k] for k in _ARRAYS})
            forest.check()
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise InputError(f"{path}: not a whole forest of fastin ({error})") from None
        return forest

    def check(self) -> None:
        """Every tree ends, every column exists, every number is finite.

        Raises:
            ValueError: says what is wrong.
        """
        nodes, trees = len(self.feature), len(self.roots)
        per_node = (self.feature, self.threshold, self.left, self.right, self.value)
        if any(x.shape != (nodes,) for x in per_node) or self.fill.shape != (len(self.names),):
            raise ValueError("arrays of different lengths")
        if self.member.shape != (trees,) or self.base.shape != self.weight.shape or self.base.ndim != 1 or not trees:
            raise ValueError("trees and members do not fit")
        if not all(np.isfinite(x).all() for x in (self.fill, self.threshold, self.value, self.base, self.weight)):
            raise ValueError("values that are not finite")
        if self.feature.min() < _LEAF or self.feature.max() >= len(self.names):
            raise ValueError("a column that does not exist")
        inner, number = self.feature != _LEAF, np.arange(nodes)
        for child in (self.left, self.right):  # children stand behind their parent: no tree can go round in circles
            if ((child <= number) | (child >= nodes))[inner].any():
                raise ValueError("a node that points to no later one")
        if self.roots.min() < 0 or self.roots.max() >= nodes:
            raise ValueError("a root that does not exist")
        shares = self.card.get("offset", {})
        if any(name not in self.names or not np.isfinite(share) for name, share in shares.items()):
            raise ValueError("an offset of a column that does not exist")
        step = np.diff(self.member)
        if self.member[0] != 0 or self.member[-1] != len(self.base) - 1 or ((step != 0) & (step != 1)).any():
            raise ValueError("members out of order")


_ARRAYS = ("fill", "feature", "threshold", "left", "right", "value", "roots", "member", "base", "weight")


def _arrays(parts: Sequence[tuple[float, float, list[Any], float]]) -> dict[str, Any]:
    """The arrays of a forest from scikit-learn's trees: (weight, base, trees, factor of their values) a member."""
    columns: dict[str, list[NDArray[Any]]] = {k: [] for k in ("feature", "threshold", "left", "right", "value")}
    roots, member, first = [], [], 0
    for k, (_, _, trees, factor) in enumerate(parts):
        for tree in trees:
            leaf = tree.children_left < 0
            roots.append(first)
            member.append(k)
            columns["feature"].append(np.where(leaf, _LEAF, tree.feature).astype(np.int16))
            columns["threshold"].append(np.where(leaf, 0.0, tree.threshold).astype(np.float32))
            columns["left"].append(np.where(leaf, 0, tree.children_left + first).astype(np.int32))
            columns["right"].append(np.where(leaf, 0, tree.children_right + first).astype(np.int32))
            columns["value"].append(np.where(leaf, factor * tree.value[:, 0, 0], 0.0).astype(np.float32))
            first += tree.node_count
    return {
        **{k: np.concatenate(v) for k, v in columns.items()},
        "roots": np.array(roots, np.int32),
        "member": np.array(member, np.int32),
        "base": np.array([base for _, base, _, _ in parts]),
        "weight": np.array([weight for weight, _, _, _ in parts]),
    }


def _filled(x: NDArray[np.float64], fill: NDArray[np.float64]) -> NDArray[np.float64]:
    bounded = np.clip(np.where(np.isfinite(x), x, fill), -1e30, 1e30)
    return np.asarray(bounded)


def _offset(
    names: Sequence[str], filled: NDArray[np.float64], offset: Mapping[str, float], scale: str
) -> NDArray[np.float64]:
    """(n,) weighted sum of some columns on a scale."""
    found = np.zeros(len(filled))
    for name, share in offset.items():
        found += share * compress(filled[:, list(names).index(name)], scale)
    return found


_WITHIN_ONE = 0.6827  # of a normal distribution
_RATIOS = np.concatenate([[0.0], np.geomspace(0.1, 100.0, 121)])


def fit_uncertainty(error: NDArray[Any], spread: NDArray[Any]) -> dict[str, float]:
    """Constants of ``std = hypot(scale * spread, floor)``, fitted on predictions that were not trained on.

    The ratio of the two has the largest likelihood of Laplace-distributed errors (a few large errors do not decide
    it); then 68.27 % of the errors lie within one std, whatever their distribution.

    Args:
        error: (n,) errors of the mean prediction.
        spread: (n,) standard deviations over the members.
    """
    size, own = np.abs(np.asarray(error, float)), np.asarray(spread, float)
    typical = float(np.median(own)) if len(own) else 0.0
    best = (np.inf, 0.0, 1.0)
    for ratio in _RATIOS if typical > 0 else _RATIOS[:1]:
        shape = np.hypot(ratio * own / (typical or 1.0), 1.0)
        z = size / shape
        width = max(float(z.mean()), 1e-12)
        loss = float(np.log(width * shape).mean())  # the mean of error / width is 1 for every ratio
        if loss < best[0]:
            best = (loss, float(ratio), float(np.quantile(z, _WITHIN_ONE)))
    _, ratio, floor = best
    return {"scale": ratio * floor / (typical or 1.0), "floor": floor}

"""Forests of regression trees as plain arrays: fitted by scikit-learn, stored without pickles, evaluated with numpy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError

_LEAF = -1


@dataclass(frozen=True, eq=False)
class Forest:
    """An averaged forest.

    Attributes:
        names: feature of each column.
        fill: (F,) value that stands in for NaN (the training median).
        feature, threshold, left, right, value: (nodes,) of all trees one after the other; a leaf has feature -1.
        roots: (trees,) first node of each tree.
        card: facts about target, training set and scores, and the constants of the uncertainty.
    """

    names: list[str]
    fill: NDArray[np.float64]
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]
    roots: NDArray[np.int32]
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
        seed: int = 0,
    ) -> Forest:
        """Extremely randomised trees (P. Geurts et al., Mach. Learn. 63, 3 (2006)) on the rows of x."""
        from fastin.ml._require import require

        ensemble = require("sklearn.ensemble", "scikit-learn")
        x = np.asarray(x, np.float64)
        with np.errstate(all="ignore"):
            known = np.isfinite(x).any(axis=0)
            fill = np.zeros(x.shape[1])
            fill[known] = np.nanmedian(np.where(np.isfinite(x), x, np.nan)[:, known], axis=0)
        model = ensemble.ExtraTreesRegressor(
            n_estimators=trees, min_samples_leaf=2, max_features=0.4, random_state=seed, n_jobs=1
        )
        model.fit(_filled(x, fill), y)
        parts: dict[str, list[NDArray[Any]]] = {k: [] for k in ("feature", "threshold", "left", "right", "value")}
        roots, first = [], 0
        for estimator in model.estimators_:
            tree = estimator.tree_
            leaf = tree.children_left < 0
            roots.append(first)
            parts["feature"].append(np.where(leaf, _LEAF, tree.feature).astype(np.int16))
            parts["threshold"].append(tree.threshold.astype(np.float32))
            parts["left"].append(np.where(leaf, 0, tree.children_left + first).astype(np.int32))
            parts["right"].append(np.where(leaf, 0, tree.children_right + first).astype(np.int32))
            parts["value"].append(tree.value[:, 0, 0].astype(np.float32))
            first += tree.node_count
        arrays: dict[str, Any] = {k: np.concatenate(v) for k, v in parts.items()}
        return cls(names=list(names), fill=fill, roots=np.array(roots, np.int32), card=card, **arrays)

    def trees(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """(trees, n) prediction of each tree for the rows of x (n, F); NaN are filled."""
        x = np.asarray(x, np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.names):
            raise InputError(f"x must have {len(self.names)} columns, not shape {x.shape}")
        rows = _filled(x, self.fill).astype(np.float32)
        node = np.repeat(self.roots[:, None], len(rows), axis=1)
        number = np.arange(len(rows))[None, :]
        while True:
            feature = self.feature[node]
            inner = feature != _LEAF
            if not inner.any():
                return self.value[node].astype(np.float64)
            goes_left = rows[number, np.maximum(feature, 0)] <= self.threshold[node]
            node = np.where(inner, np.where(goes_left, self.left[node], self.right[node]), node)

    def predict(self, x: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and calibrated standard deviation for the rows of x."""
        every = self.trees(x)
        fit = self.card.get("uncertainty", {"scale": 1.0, "floor": 0.0})
        spread = every.std(axis=0)
        return every.mean(axis=0), np.hypot(fit["scale"] * spread, fit["floor"])

    def row(self, features: dict[str, float]) -> NDArray[np.float64]:
        """(1, F) row of named features; absent ones are NaN."""
        return np.array([[features.get(name, np.nan) for name in self.names]], np.float64)

    def save(self, path: Path | str) -> None:
        """Writes an ``.npz`` without pickles."""
        text = json.dumps({"names": self.names, "card": self.card})
        with Path(path).open("wb") as stream:
            np.savez_compressed(
                stream,
                text=np.frombuffer(text.encode(), np.uint8),
                fill=self.fill,
                feature=self.feature,
                threshold=self.threshold,
                left=self.left,
                right=self.right,
                value=self.value,
                roots=self.roots,
            )

    @classmethod
    def load(cls, path: Path | str) -> Forest:
        """Reads what `save` wrote.

        Raises:
            InputError: another kind of file.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                text = json.loads(bytes(data["text"]).decode())
                names = ("fill", "feature", "threshold", "left", "right", "value", "roots")
                return cls(names=text["names"], card=text["card"], **{k: data[k] for k in names})
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path}: not a forest of fastin ({error})") from None


def _filled(x: NDArray[np.float64], fill: NDArray[np.float64]) -> NDArray[np.float64]:
    bounded = np.clip(np.where(np.isfinite(x), x, fill), -1e30, 1e30)
    return np.asarray(bounded)


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

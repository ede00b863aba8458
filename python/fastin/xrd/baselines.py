"""Classical classifiers on broadened patterns: what a network has to beat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastin.errors import missing_extra
from fastin.xrd.profiles import smooth
from fastin.xrd.settings import PATTERN_STEP

#: name -> (broadening in degrees, every n-th bin, square root of the intensity?)
_FEATURES: dict[str, tuple[float, int, bool]] = {
    "logistic regression": (0.3, 10, False),
    "svm": (0.3, 10, False),
    "extra trees": (0.8, 10, False),
    "random forest": (0.8, 10, False),
    "nearest neighbours": (0.3, 10, True),
}
BASELINES = tuple(_FEATURES)


def smoothed_features(
    patterns: ArrayLike, *, fwhm: float = 0.3, every: int = 10, root: bool = False, first: float = 5.0
) -> NDArray[np.float32]:
    """(N, F) broadened patterns at every n-th bin from `first` degrees on, highest value 1.

    Raw sticks on a 0.02 degree grid share almost no bins between materials; broadening is what makes them comparable.
    """
    broad = smooth(np.atleast_2d(np.asarray(patterns, dtype=np.float32)), fwhm=fwhm, step=PATTERN_STEP)
    values = np.maximum(broad[:, round(first / PATTERN_STEP) :: every], 0.0)
    if root:
        values = np.sqrt(values)
    highest = values.max(axis=1, keepdims=True)
    return np.asarray(values / np.where(highest > 0, highest, 1.0), dtype=np.float32)


class Baseline:
    """A scikit-learn classifier on smoothed patterns, with `fit` and `predict_proba` like `XRDMatch`.

    Args:
        name: one of `BASELINES`.
        seed: of the trees and of the SVM's probability fit.
    """

    def __init__(self, name: str, seed: int = 0) -> None:
        if name not in _FEATURES:
            raise ValueError(f"unknown baseline {name!r}; use one of {', '.join(BASELINES)}")
        self.name = name
        self.seed = seed
        self._estimator: Any = None

    def _features(self, patterns: ArrayLike) -> NDArray[np.float32]:
        fwhm, every, root = _FEATURES[self.name]
        return smoothed_features(patterns, fwhm=fwhm, every=every, root=root)

    def fit(self, patterns: ArrayLike, labels: ArrayLike, unlabelled: ArrayLike | None = None) -> Baseline:
        """Fits; unlabelled patterns are of no use to it."""
        self._estimator = _estimators(self.seed)[self.name]()
        self._estimator.fit(self._features(patterns), np.asarray(labels))
        return self

    def predict_proba(self, patterns: ArrayLike) -> NDArray[np.float64]:
        """(N, 2) probabilities of (poor, superionic)."""
        return np.asarray(self._estimator.predict_proba(self._features(patterns)), dtype=np.float64)


def _estimators(seed: int) -> dict[str, Callable[[], Any]]:
    try:
        from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC
    except ImportError:
        raise missing_extra("scikit-learn", "ml") from None
    trees = {"n_estimators": 300, "min_samples_leaf": 2, "max_features": 0.1, "random_state": seed}
    return {
        "logistic regression": lambda: LogisticRegression(C=1.0, max_iter=3000, class_weight="balanced"),
        "svm": lambda: make_pipeline(
            StandardScaler(with_std=False), SVC(C=3.0, probability=True, class_weight="balanced", random_state=seed)
        ),
        "extra trees": lambda: ExtraTreesClassifier(class_weight="balanced", **trees),
        "random forest": lambda: RandomForestClassifier(class_weight="balanced", **trees),
        "nearest neighbours": lambda: KNeighborsClassifier(5, metric="cosine", weights="distance"),
    }

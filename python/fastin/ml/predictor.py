"""`Predictor`: any of the models in the manner of scikit-learn, for users' own structures and labels."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin

from fastin.errors import InputError
from fastin.ml.checkpoint import Trained, load_model, save_model
from fastin.ml.config import TrainConfig
from fastin.ml.dataset import graphs_of
from fastin.ml.models import MODELS
from fastin.ml.splits import Split, grouped_split
from fastin.ml.store import FREE, GraphStore
from fastin.ml.train import pick_device, predict_targets, train
from fastin.runtime.late import later

_SMALLEST_SET = 10


def _list_of(structures: Any) -> list[Any]:
    """The structures as a list; one structure alone is refused."""
    if (
        isinstance(structures, str | Path | bytes)
        or not hasattr(structures, "__len__")
        or any(hasattr(structures, name) for name in ("sites", "get_positions", "keys"))
    ):
        raise InputError(f"structures must be a list of structures, not one {type(structures).__name__}")
    return list(structures)


def _labels(y: ArrayLike, count: int) -> NDArray[np.float64]:
    """(count, T) labels.

    Raises:
        InputError: another shape, no numbers, or no finite one.
    """
    try:
        labels = np.asarray(y, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"y must be numbers: {error}") from None
    if labels.ndim not in (1, 2) or len(labels) != count or labels.size == 0:
        raise InputError(f"y must have shape ({count},) or ({count}, T), one row a structure, not {labels.shape}")
    if not np.isfinite(labels).any(axis=0).all() if labels.ndim == 2 else not np.isfinite(labels).any():
        raise InputError("y holds no finite label")
    return labels.reshape(count, -1)


class Predictor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Fits a graph model to labels of structures and predicts them for others.

    An estimator of scikit-learn: `clone`, `get_params`, `set_params`, `score` (R2) and `cross_val_score` work; the
    samples are structures.

    Args:
        model: a name of `fastin.ml.models.MODELS`.
        ion: mobile ion of the structures.
        members: models of the ensemble; each has its own seed and its own validation part.
        epochs, batch_size, learning_rate, patience: of the training.
        initial: model file to start from.
        seed: of the first member.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``.
        model_options: keyword arguments of the model.

    Attributes:
        trained_: the fitted ensemble; there after `fit`.

    Examples:
        >>> import fastin
        >>> from fastin.ml import Predictor
        >>> crystal = fastin.Crystal.from_file(fastin.examples()["LiCl"])
        >>> model = Predictor("in-gcn", members=1, epochs=1).fit([crystal] * 10, [0.1] * 10)
        >>> model.predict([crystal]).shape
        (1,)
    """

    def __init__(
        self,
        model: str = "percolation",
        *,
        ion: str | None = None,
        members: int = 3,
        epochs: int = 100,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        patience: int = 20,
        initial: str = "",
        seed: int = 0,
        device: str = "auto",
        model_options: dict[str, Any] | None = None,
    ) -> None:
        if model not in MODELS:
            raise InputError(f"unknown model {model!r}: choose from {', '.join(MODELS)}")
        # as given: scikit-learn's clone compares
        self.model = model
        self.ion = ion
        self.members = members
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.patience = patience
        self.initial = initial
        self.seed = seed
        self.device = device
        self.model_options = model_options

    def _store(self, structures: Sequence[Any]) -> GraphStore:
        crystals = self.model in ("crystal-gcn", "cgcnn", "deepergatgnn", "alignn")
        return GraphStore.from_entries(
            [graphs_of(s, self.ion, name=f"{i}", crystals=crystals) for i, s in enumerate(structures)]
        )

    def fit(self, structures: Sequence[Any], y: ArrayLike, *, groups: Sequence[Any] | None = None) -> Predictor:
        """Trains the ensemble.

        Args:
            structures: at least ten, whatever `fastin.Crystal` takes, or `InterstitialGraph`s.
            y: (n,) or (n, T) labels on the scale to predict; NaN where unknown.
            groups: (n,) groups that validation parts keep together; default: chemical systems.

        Raises:
            InputError: fewer than ten structures, labels or groups of another length or shape, no label at all.
        """
        structures = _list_of(structures)
        if len(structures) < _SMALLEST_SET:
            raise InputError(f"fit needs at least {_SMALLEST_SET} structures, not {len(structures)}")
        if self.members < 1:
            raise InputError(f"members must be at least 1, not {self.members}")
        targets = _labels(y, len(structures))
        if groups is not None and len(groups) != len(structures):
            raise InputError(f"groups must be one a structure: {len(structures)}, not {len(groups)}")
        store = self._store(structures)
        keys = np.asarray(store.systems if groups is None else [str(g) for g in groups])
        labelled = np.flatnonzero(np.isfinite(targets).any(axis=1))
        if len(np.unique(keys[labelled])) < 3:
            keys = np.arange(len(store)).astype(str)
        models = []
        card: dict[str, Any] = {}
        for member in range(self.members):
            parts = grouped_split(keys[labelled], self.seed + member, (0.85, 0.15, 0.0))
            chosen = labelled[parts.validation]
            split = Split(labelled[parts.train], chosen, chosen, "grouped", self.seed + member)
            with tempfile.TemporaryDirectory() as folder:
                config = TrainConfig(
                    model=self.model,
                    dataset="",
                    run=folder,
                    targets=(FREE,) * targets.shape[1],
                    model_options=dict(self.model_options or {}),
                    initial=self.initial,
                    epochs=self.epochs,
                    batch_size=self.batch_size,
                    learning_rate=self.learning_rate,
                    patience=self.patience,
                    seed=self.seed + member,
                    device=self.device,
                    checkpoint_every=self.epochs,
                )
                result = train(config, store, split=split, targets=targets)
            models += result.trained.models
            card = result.trained.card
        self.trained_ = Trained(models, self.model, (FREE,) * targets.shape[1], card)
        return self

    def predict(
        self, structures: Sequence[Any], *, return_std: bool = False
    ) -> NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n,) or (n, T) predictions; with `return_std` also the spread of the ensemble.

        Raises:
            InputError: not fitted yet, or no list of structures.
        """
        if not self._fitted():
            raise InputError("this Predictor is not fitted; call fit(structures, y) or Predictor.load(path)")
        structures = _list_of(structures)
        if not structures:
            raise InputError("predict needs at least one structure")
        tensors = self.trained_.tensors(self._store(structures), pick_device(self.device))
        every = predict_targets(self.trained_.models, tensors, np.arange(len(structures)))
        mean, std = every.mean(axis=0), every.std(axis=0, ddof=1 if len(every) > 1 else 0)
        if mean.shape[1] == 1:
            mean, std = mean[:, 0], std[:, 0]
        return (mean, std) if return_std else mean

    def plot(self, structures: Sequence[Any], y: ArrayLike, ax: Any = None) -> Any:
        """Predicted against given labels.

        Args:
            structures: as for `predict`.
            y: (n,) labels.
            ax: matplotlib axes to draw into; None makes a figure.

        Returns:
            The axes.

        Raises:
            InputError: not fitted yet, or labels of another length.
            MissingDependencyError: matplotlib is not installed (extra ``view``).
        """
        return later("plot predictor")(self, structures, y, ax)

    def _fitted(self) -> bool:
        return hasattr(self, "trained_")

    def save(self, path: Path | str) -> None:
        """Writes the ensemble (weights and settings, no pickled code)."""
        if not self._fitted():
            raise InputError("this Predictor is not fitted; there is nothing to save")
        options = dict(self.model_options or {})
        if self.model == "percolation":
            options["target_names"] = list(self.trained_.targets)
        save_model(path, self.trained_, options)

    @classmethod
    def load(cls, path: Path | str, *, ion: str | None = None, device: str = "auto") -> Predictor:
        """The ensemble that `save` wrote."""
        trained = load_model(path, str(pick_device(device)))
        made = cls(trained.name, ion=ion, members=len(trained.models), device=device)
        made.trained_ = trained
        return made

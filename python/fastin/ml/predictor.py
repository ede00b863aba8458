"""`Predictor`: any of the models in the manner of scikit-learn, for users' own structures and labels."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastin.errors import InputError
from fastin.ml.checkpoint import Trained, load_model, save_model
from fastin.ml.config import TrainConfig
from fastin.ml.dataset import graphs_of
from fastin.ml.models import MODELS
from fastin.ml.splits import Split, grouped_split
from fastin.ml.store import FREE, GraphStore
from fastin.ml.train import pick_device, predict_targets, train

_SMALLEST_SET = 10


class Predictor:
    """Fits a graph model to labels of structures and predicts them for others.

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
        trained_: the fitted ensemble.

    Example:
        >>> from fastin.ml import Predictor
        >>> model = Predictor("in-gcn", epochs=50).fit(structures, activation_energies)  # doctest: +SKIP
        >>> mean, std = model.predict(others, return_std=True)  # doctest: +SKIP
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
        self.model, self.ion, self.members = model, ion, members
        self.epochs, self.batch_size, self.learning_rate, self.patience = epochs, batch_size, learning_rate, patience
        self.initial, self.seed, self.device = initial, seed, device
        self.model_options = dict(model_options or {})
        self.trained_: Trained | None = None

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
            InputError: fewer than ten structures, or labels of another length.
        """
        targets = np.asarray(y, np.float64).reshape(len(structures), -1) if len(structures) else np.empty((0, 1))
        if len(structures) < _SMALLEST_SET:
            raise InputError(f"fit needs at least {_SMALLEST_SET} structures, not {len(structures)}")
        store = self._store(structures)
        keys = np.asarray(store.systems if groups is None else [str(g) for g in groups])
        if len(np.unique(keys)) < 3:
            keys = np.arange(len(store)).astype(str)
        models = []
        card: dict[str, Any] = {}
        for member in range(self.members):
            parts = grouped_split(keys, self.seed + member, (0.85, 0.15, 0.0))
            split = Split(parts.train, parts.validation, parts.validation, "grouped", self.seed + member)
            with tempfile.TemporaryDirectory() as folder:
                config = TrainConfig(
                    model=self.model,
                    dataset="",
                    run=folder,
                    targets=(FREE,) * targets.shape[1],
                    model_options=self.model_options,
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
            InputError: not fitted yet.
        """
        if self.trained_ is None:
            raise InputError("this Predictor is not fitted; call fit(structures, y) or Predictor.load(path)")
        tensors = self.trained_.tensors(self._store(structures), pick_device(self.device))
        every = predict_targets(self.trained_.models, tensors, np.arange(len(structures)))
        mean, std = every.mean(axis=0), every.std(axis=0, ddof=1 if len(every) > 1 else 0)
        if mean.shape[1] == 1:
            mean, std = mean[:, 0], std[:, 0]
        return (mean, std) if return_std else mean

    def save(self, path: Path | str) -> None:
        """Writes the ensemble (weights and settings, no pickled code)."""
        if self.trained_ is None:
            raise InputError("this Predictor is not fitted; there is nothing to save")
        options = dict(self.model_options)
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

"""Model files: weights, how to build the model, what it was trained on. Never a pickled model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fastin
from fastin.errors import InputError
from fastin.ml.data import TensorStore
from fastin.ml.inference import FORMAT, check_file, feature_table
from fastin.ml.models import GraphModel, build_model
from fastin.ml.store import GraphStore
from fastin.runtime.weights import DAMAGED, load_weights, refuse_damaged, save_weights


def pick_device(name: str) -> torch.device:
    """``"auto"`` is CUDA where there is one.

    Raises:
        InputError: CUDA was asked for and is not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device = cuda, but torch sees no CUDA device")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def predict_targets(models: list[GraphModel], tensors: TensorStore, index: Any, batch_size: int = 256) -> np.ndarray:
    """(members, n, T) predictions of the given graphs."""
    index = np.asarray(index, np.int64)
    out = []
    with torch.no_grad():
        for model in models:
            model.eval()
            parts = [
                model(tensors.batch(index[i : i + batch_size])).float().cpu().numpy()
                for i in range(0, len(index), batch_size)
            ]
            out.append(np.concatenate(parts) if parts else np.empty((0, model.targets)))
    return np.stack(out)


@dataclass(frozen=True, eq=False)
class Trained:
    """A model (or an ensemble of one kind) with the facts that go with it.

    Attributes:
        models: the members, in evaluation mode.
        name: model name.
        targets: label of each output.
        card: training set hash, split, scores, domain (elements and ranges seen), version.
    """

    models: list[GraphModel]
    name: str
    targets: tuple[str, ...]
    card: dict[str, Any]

    @property
    def kind(self) -> str:
        """Which graphs the model reads."""
        return self.models[0].kind

    @property
    def members(self) -> int:
        """How many networks."""
        return len(self.models)

    def predict(self, store: GraphStore, device: str | None = None) -> np.ndarray:
        """(members, G, T) predictions on a device (None or ``"auto"``: CUDA where there is one)."""
        tensors = self.tensors(store, pick_device(device or "auto"))
        return predict_targets(self.models, tensors, np.arange(len(store)))

    def tensors(self, store: GraphStore, device: torch.device | str = "cpu") -> TensorStore:
        """The graphs as this model reads them."""
        first = self.models[0]
        return TensorStore(store, self.kind, device=device, edge_margin=first.edge_margin, landscape=first.landscape)


def save_model(path: Path | str, trained: Trained, options: dict[str, Any]) -> None:
    """Writes weights in float32, the options and the card."""
    save_weights(
        path,
        {
            "format": FORMAT,
            "fastin": fastin.__version__,
            "model": trained.name,
            "options": json.dumps(options),
            "targets": list(trained.targets),
            "features": json.dumps(feature_table()),
            "card": json.dumps(trained.card),
            "members": [{k: v.detach().cpu().clone() for k, v in m.state_dict().items()} for m in trained.models],
        },
    )


def load_model(path: Path | str, device: str = "cpu") -> Trained:
    """Reads what `save_model` wrote; see `fastin.runtime.weights`.

    Raises:
        InputError: not such a file, a damaged one, weights that are not finite, or made with another table of features.
    """
    stored = load_weights(path, device)
    try:
        check_file(path, stored)
        return _trained(stored, device)
    except InputError:
        raise
    except DAMAGED as error:
        raise refuse_damaged(path, error) from None


def _trained(stored: dict[str, Any], device: str) -> Trained:
    options = json.loads(stored["options"])
    models = []
    for state in stored["members"]:
        model = build_model(stored["model"], len(stored["targets"]), options)
        model.load_state_dict(state)
        models.append(model.to(device).eval())
    return Trained(models, stored["model"], tuple(stored["targets"]), json.loads(stored["card"]))

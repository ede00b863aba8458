"""Model files: weights, how to build the model, what it was trained on. Never a pickled model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import fastin
from fastin.errors import InputError
from fastin.graph.graph import ATOM_SCALARS, EDGE_SCALARS, NEIGHBOUR_FEATURES, NODE_SCALARS, Feature
from fastin.ml.data import TensorStore
from fastin.ml.models import GraphModel, build_model
from fastin.ml.store import GraphStore
from fastin.runtime.weights import DAMAGED, load_weights, refuse_damaged, save_weights

_FORMAT = 1


def feature_table() -> dict[str, list[list[str]]]:
    """Names and units of all input features; a checkpoint from another table is refused."""

    def rows(features: tuple[Feature, ...]) -> list[list[str]]:
        return [[f.name, f.unit] for f in features]

    return {
        "node": rows(NODE_SCALARS),
        "edge": rows(EDGE_SCALARS),
        "neighbour": rows(NEIGHBOUR_FEATURES),
        "atom": rows(ATOM_SCALARS),
    }


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

    def tensors(self, store: GraphStore, device: torch.device | str = "cpu") -> TensorStore:
        """The graphs as this model reads them."""
        return TensorStore(store, self.kind, device=device, edge_margin=self.models[0].edge_margin)


def save_model(path: Path | str, trained: Trained, options: dict[str, Any]) -> None:
    """Writes weights in float32, the options and the card."""
    save_weights(
        path,
        {
            "format": _FORMAT,
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
    if stored.get("format") != _FORMAT:
        raise InputError(f"{path}: not a fastin model file of format {_FORMAT}")
    try:
        return _trained(path, stored, device)
    except InputError:
        raise
    except DAMAGED as error:
        raise refuse_damaged(path, error) from None


def _trained(path: Path | str, stored: dict[str, Any], device: str) -> Trained:
    if json.loads(stored["features"]) != feature_table():
        raise InputError(f"{path}: made with another feature table (fastin {stored['fastin']}); train it again")
    options = json.loads(stored["options"])
    models = []
    for state in stored["members"]:
        model = build_model(stored["model"], len(stored["targets"]), options)
        model.load_state_dict(state)
        models.append(model.to(device).eval())
    return Trained(models, stored["model"], tuple(stored["targets"]), json.loads(stored["card"]))

"""Model files for prediction alone: in numpy where the architecture has a form in it, without loading torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError
from fastin.graph.graph import ATOM_SCALARS, EDGE_SCALARS, NEIGHBOUR_FEATURES, NODE_SCALARS, Feature
from fastin.ml.landmarks import EDGE_ENERGIES, SITE_ENERGIES
from fastin.ml.numpy_percolation import NumpyPercolation
from fastin.ml.pair_terms import TERMS
from fastin.ml.store import GraphStore
from fastin.runtime.weights import DAMAGED, load_arrays, refuse_damaged

FORMAT = 1

#: Architectures with a form in numpy: name -> what builds it from weights, targets and options.
_IN_NUMPY: Mapping[str, Callable[[Sequence[Mapping[str, Any]], Sequence[str], Mapping[str, Any]], NumpyPercolation]] = {
    "percolation": NumpyPercolation
}


def feature_table() -> dict[str, list[list[str]]]:
    """Names and units of all input features; a model file made with another table is refused."""

    def rows(features: tuple[Feature, ...]) -> list[list[str]]:
        return [[f.name, f.unit] for f in features]

    return {
        "node": rows(NODE_SCALARS),
        "edge": rows(EDGE_SCALARS),
        "neighbour": rows(NEIGHBOUR_FEATURES),
        "atom": rows(ATOM_SCALARS),
        "pair": [[name, unit] for name, unit in TERMS.items()],
        "energy": [[name, "eV"] for name in (*SITE_ENERGIES, *EDGE_ENERGIES)],
    }


def check_file(path: Path | str, stored: Mapping[str, Any]) -> None:
    """Whether the content of a model file is of this version.

    Raises:
        InputError: another format, or made with another table of features.
    """
    if stored.get("format") != FORMAT:
        raise InputError(f"{path}: not a fastin model file of format {FORMAT}")
    if json.loads(stored["features"]) != feature_table():
        raise InputError(f"{path}: made with another feature table (fastin {stored['fastin']}); train it again")


@dataclass(frozen=True, eq=False)
class Light:
    """An ensemble that predicts in numpy; what a prediction needs of `fastin.ml.checkpoint.Trained`.

    Attributes:
        network: all members.
        name: model name.
        targets: label of each output.
        card: as `Trained.card`.
    """

    network: NumpyPercolation
    name: str
    targets: tuple[str, ...]
    card: dict[str, Any]

    @property
    def kind(self) -> str:
        """Which graphs the model reads."""
        return self.network.kind

    @property
    def members(self) -> int:
        """How many networks."""
        return self.network.members

    def predict(self, store: GraphStore, device: str | None = None) -> NDArray[np.float32]:
        """(members, G, T) predictions; `device` is the processor, whatever it says."""
        return self.network.predict(store)


def load_light(path: Path | str) -> Light | None:
    """The model of a file as far as it has a form in numpy; None where only torch can predict with it.

    Raises:
        InputError: as `fastin.ml.checkpoint.load_model`.
    """
    stored = load_arrays(path)
    try:
        check_file(path, stored)
        if stored["model"] not in _IN_NUMPY:
            return None
        targets, options = tuple(stored["targets"]), json.loads(stored["options"])
        card = json.loads(stored["card"])
        members = list(stored["members"])
    except InputError:
        raise
    except DAMAGED as error:
        raise refuse_damaged(path, error) from None
    try:
        network = _IN_NUMPY[stored["model"]](members, targets, options)
    except (KeyError, ValueError, IndexError, TypeError):
        return None  # another architecture of that name: torch knows, or says what is wrong
    return Light(network, stored["model"], targets, card)

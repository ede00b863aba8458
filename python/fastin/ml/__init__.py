"""Learning on interstitial networks and crystals (extra ``ml``: torch, torch-geometric, scikit-learn).

Names are loaded at first use; ``import fastin.ml`` imports no torch.
"""

from __future__ import annotations

from typing import Any

from fastin.ml._require import require
from fastin.runtime.late import lazy_names

_HOME = {
    "InGCN": "fastin.ml.models",
    "CrystalGCN": "fastin.ml.models",
    "build_model": "fastin.ml.models",
    "CGCNN": "fastin.ml.crystal_models",
    "DeeperGATGNN": "fastin.ml.crystal_models",
    "ALIGNN": "fastin.ml.crystal_models",
    "PercolationNetwork": "fastin.ml.percolation",
    "GraphStore": "fastin.ml.store",
    "Predictor": "fastin.ml.predictor",
    "TrainConfig": "fastin.ml.config",
    "build_dataset": "fastin.ml.dataset",
    "load_dataset": "fastin.ml.dataset",
    "load_model": "fastin.ml.checkpoint",
    "train": "fastin.ml.train",
}

__all__ = sorted(_HOME)


_load, __dir__ = lazy_names(__name__, _HOME, globals())


def __getattr__(name: str) -> Any:
    if name in _HOME:
        require("torch")
    return _load(name)

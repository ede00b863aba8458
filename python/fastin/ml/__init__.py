"""Learning on interstitial networks and crystals (extra ``ml``: torch, torch-geometric, scikit-learn).

Names are loaded at first use; ``import fastin.ml`` imports no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fastin.ml' has no attribute {name!r}")
    from fastin.ml._require import require

    require("torch")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

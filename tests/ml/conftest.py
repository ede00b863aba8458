"""The synthetic data set; skips where the ml extra is missing."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("torch_geometric")

import torch
from synthetic import synthetic_entry

from fastin.ml.store import GraphStore

# The models here are tiny: a second thread gains nothing, and where other programs want the cores its team waits in
# a busy loop (minutes instead of seconds).
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def store() -> GraphStore:
    """48 synthetic structures."""
    return GraphStore.from_entries([synthetic_entry(seed) for seed in range(48)])

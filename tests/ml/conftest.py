"""The synthetic data set; skips where the ml extra is missing."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("torch_geometric")

from synthetic import synthetic_entry

from fastin.ml.store import GraphStore


@pytest.fixture(scope="session")
def store() -> GraphStore:
    """48 synthetic structures."""
    return GraphStore.from_entries([synthetic_entry(seed) for seed in range(48)])

"""A pass that the grid has is not lost by the refinement."""

from __future__ import annotations

import gzip
import json

import pytest

import fastin


def test_cubic_germanate_on_a_fine_grid(shared):
    """At 0.1 A the polished passes of mp-1013749 once gave E3D 3.485 eV; the coarser grids give 0.289 eV."""
    with gzip.open(shared / "data" / "li_mp_ordered.jsonl.gz", "rt") as lines:
        row = next(json.loads(line) for line in lines if '"mp-1013749"' in line[:40])
    crystal = fastin.Crystal.from_cif_string(row["cif"])
    coarse = fastin.compute_barriers(crystal, "Li")
    fine = fastin.compute_barriers(crystal, "Li", resolution=0.1)
    assert coarse.e3d == pytest.approx(0.289, abs=0.002)
    assert fine.e3d == pytest.approx(coarse.e3d, abs=0.001)
    assert fine.refined
    assert not fine.flags

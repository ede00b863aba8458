"""Barriers against independent references on 43 crystals (``bvlain`` convention, cutoff 10 A, zero: global minimum).

* ``continuum_barriers_ev``: minima and saddles polished to stationary points by another program.
* ``periodic_grid_0p2``: percolation of an exact periodic grid, 26- and 6-connected, both zeros.
* ``bvlain_0p2``: what BVlain 0.24 itself prints. Its grid has floor(length / 0.2) points along each axis with both end
  planes, so its spacing is that of a periodic grid of one point less; it bisects 10 eV down to steps of 10/1024 eV and
  prints the upper end. Both facts together explain its numbers.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fastin
from fastin.bvse.grid import EnergyGrid, compute_bvse
from fastin.crystal.crystal import Crystal

BVLAIN_STEP = 10.0 / 1024
BVLAIN_RANGE = 10.0


@pytest.fixture(scope="module")
def references(shared: Path) -> list[tuple[dict[str, Any], Crystal]]:
    with gzip.open(shared / "reference" / "bvse" / "barriers.jsonl.gz", "rt") as lines:
        return [(record, Crystal.from_cif_string(record["cif"])) for record in map(json.loads, lines)]


def grid_of(record: dict[str, Any], crystal: Crystal, shape: tuple[int, int, int] | None = None) -> EnergyGrid:
    ion = "".join(c for c in record["mobile_ion"] if c.isalpha())
    return compute_bvse(crystal, ion, convention="bvlain", resolution=0.2, shape=shape, num_threads=1)


def array(values: list[float | None]) -> NDArray[np.float64]:
    return np.array([np.inf if v is None else v for v in values])


def test_refined_barriers_equal_the_continuum_limit(references: list[tuple[dict[str, Any], Crystal]]) -> None:
    errors, unflagged = [], []
    for record, crystal in references:
        barriers = fastin.compute_barriers(grid_of(record, crystal))
        expected = array(record["continuum_barriers_ev"])
        found = barriers.values("global")
        known = np.isfinite(expected)
        error = np.abs(found - expected)[known]
        errors.extend(error)
        if not barriers.flags:
            unflagged.extend(error)
        assert found[0] <= found[1] <= found[2]
    assert len(errors) >= 125
    assert np.mean(np.array(errors) < 0.005) >= 0.99
    assert max(unflagged) < 0.005


@pytest.mark.parametrize("connectivity", [26, 6])
def test_grid_barriers_equal_on_equal_grids(
    references: list[tuple[dict[str, Any], Crystal]], connectivity: int
) -> None:
    key = "barriers_ev" if connectivity == 26 else "barriers_6_connected_ev"
    for record, crystal in references:
        expected = record["periodic_grid_0p2"]
        grid = grid_of(record, crystal, tuple(expected["shape"]))
        barriers = fastin.compute_barriers(grid, refine=False, connectivity=connectivity)
        pairs = [(barriers.values("global"), expected[key])]
        if connectivity == 26:
            pairs.append((barriers.values("network"), expected["zero_network_ev"]))
        for found, values in pairs:
            known = np.isfinite(array(values))
            np.testing.assert_allclose(found[known], array(values)[known], atol=1e-3, err_msg=record["name"])


def test_bvlain_within_its_own_error(references: list[tuple[dict[str, Any], Crystal]]) -> None:
    inside, outliers = 0, []
    for record, crystal in references:
        lengths = np.linalg.norm(crystal.cell, axis=1)
        a, b, c = (int(length // 0.2) - 1 for length in lengths)
        found = fastin.compute_barriers(grid_of(record, crystal, (a, b, c)), refine=False).values("global")
        for ours, theirs in zip(found, array(record["bvlain_0p2"]["barriers_ev"]), strict=True):
            if not np.isfinite(theirs):
                assert ours > BVLAIN_RANGE  # its search stops there
            elif -5e-4 <= theirs - ours <= BVLAIN_STEP + 5e-4:
                inside += 1
            else:
                outliers.append((record["name"], theirs - ours))
    # One value is left, by 2 meV: LiSi2N3 is so dense that its 100 nearest neighbours do not reach the cutoff.
    assert inside >= 124
    assert [name for name, _ in outliers] in ([], ["obx_tka_LiSi2N3"])
    assert all(abs(error) < 0.005 for _, error in outliers)

"""The split sum (near pairs exactly, the rest a spline) against the sum over all pairs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_bvse_property import POINTS, crystals, field, smooth

import fastin
from fastin.bvse.field import CONVENTIONS, build_field
from fastin.bvse.symmetry import spline_shape
from fastin.crystal.crystal import Crystal
from fastin.runtime.openmp import _core

BOUND = _core.BvseSplit.error_bound
EXAMPLES = {"LiFePO4": "Li", "Li10GeP2S12": "Li", "Li7La3Zr2O12_tetragonal": "Li", "Li3N": "Li", "CaF2": "F"}


def split_of(core, cell, threads=1):
    shape = np.ceil(np.linalg.norm(cell, axis=1) / _core.BvseSplit.spacing).astype(int).tolist()
    return _core.BvseSplit(core, shape, np.zeros((0, 3, 3), np.int32), np.zeros((0, 3), np.int32), threads)


def test_the_bound_is_the_stated_one() -> None:
    assert BOUND == 2e-4


ON_AN_ATOM = (
    np.eye(3) * 3.0,
    np.array([[0.0, 0.0, 0.0], [0.625, -0.625, 0.0]]),
    np.array([1, 1], np.int32),
    np.array([0.25, 0.125]),
)


@given(crystals(), st.floats(4.0, 14.0))
@example(ON_AN_ATOM, 4.0)
@settings(max_examples=40)
def test_energies_and_their_slopes(crystal, cutoff):
    plain = field(*crystal, cutoff=cutoff)
    split = split_of(plain, crystal[0])
    exact = plain.derivatives(POINTS)[0]
    low = smooth(crystal, exact)
    exact, points = exact[low], np.ascontiguousarray(POINTS[low])
    energy, gradient, hessian = split.derivatives(points)
    # Random rows overlap: several atoms' worth of far part in one place.
    assert np.abs(energy - exact).max(initial=0.0) < 3 * BOUND
    np.testing.assert_allclose(hessian, hessian.transpose(0, 2, 1), atol=1e-9)
    step = 1e-4 * np.linalg.inv(crystal[0])
    for axis in range(3):
        above, below = (split.derivatives(np.ascontiguousarray(points + s * step[axis])) for s in (1, -1))
        np.testing.assert_allclose((above[0] - below[0]) / 2e-4, gradient[:, axis], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose((above[1] - below[1]) / 2e-4, hessian[:, axis], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_stay_within_the_bound(name: str, convention: str) -> None:
    crystal = Crystal.from_file(fastin.examples()[name])
    split, plain = (
        fastin.compute_bvse(crystal, EXAMPLES[name], convention=convention, resolution=0.25, plain_sum=plain_sum)
        for plain_sum in (False, True)
    )
    assert split.field is not None
    assert plain.field is not None
    assert split.field.split_for(split.shape) is not None
    assert plain.field.split_for(plain.shape) is None
    low = plain.values < 20
    assert np.abs(split.values - plain.values)[low].max() < BOUND
    assert (np.abs(split.values - plain.values) / np.abs(plain.values))[~low].max(initial=0.0) < 1e-4
    points = np.random.default_rng(3).random((300, 3))
    energy, gradient, _ = split.field.split_for(split.shape).derivatives(points)
    exact, slope, _ = plain.field.derivatives(points)
    assert np.abs(energy - exact)[exact < 20].max() < BOUND
    assert np.abs(gradient - slope)[exact < 5].max() < 2e-3


@pytest.mark.parametrize("name", ["LiFePO4", "CaF2", "Li3N"])
def test_barriers_are_those_of_the_plain_sum(name: str) -> None:
    split, plain = (
        fastin.compute_barriers(fastin.examples()[name], EXAMPLES[name], plain_sum=p) for p in (False, True)
    )
    np.testing.assert_allclose(split.levels, plain.levels, atol=1e-7)
    np.testing.assert_allclose(split.network_minimum, plain.network_minimum, atol=1e-7)
    assert split.flags == plain.flags == ()
    for ours, theirs in zip((split.path_1d, split.path_3d), (plain.path_1d, plain.path_3d), strict=True):
        assert (ours is None) == (theirs is None)
        if ours is None:
            continue
        assert ours.energy.max() == pytest.approx(theirs.energy.max(), abs=1e-7)
        assert split._grid is not None
        assert split._grid.field is not None
        zero = split.levels[0] - split.values()[0]
        energy = split._grid.field.energy(split.path_1d.frac % 1.0)
        np.testing.assert_allclose(energy, split.path_1d.energy + zero, atol=1e-8)


def test_plain_sum_where_it_is_the_cheaper() -> None:
    path = fastin.examples()["LiFePO4"]
    coarse = fastin.compute_bvse(path, "Li", resolution=0.5)
    assert coarse.field is not None
    assert coarse.field.split_for(coarse.shape) is None
    short = fastin.compute_bvse(path, "Li", cutoff=5.0)
    assert short.field is not None
    assert short.field.split_for(short.shape) is None
    fine = build_field(Crystal.from_file(path), "Li")
    assert fine.split_for((52, 32, 24)) is fine.split_for((60, 40, 30))  # built once


def test_spline_grid_maps_onto_itself() -> None:
    structure = build_field(Crystal.from_file(fastin.examples()["CaF2"]), "F")
    shape, (rotations, shifts) = spline_shape((10, 10, 10), structure.rotations, structure.translations)
    assert shape == (10, 10, 10)
    assert len(rotations) == len(structure.rotations)
    node = np.array([1, 2, 3])
    for rotation, shift in zip(rotations, shifts, strict=True):
        image = (rotation @ node + shift) / shape
        assert structure.energy(image[None]) == pytest.approx(structure.energy((node / shape)[None]), abs=1e-9)


def test_same_bits_for_any_number_of_threads() -> None:
    path = fastin.examples()["Li10GeP2S12"]
    one, two, three = (fastin.compute_bvse(path, "Li", num_threads=n).values for n in (1, 2, 3))
    assert np.array_equal(one, two)
    assert np.array_equal(one, three)


def test_a_hundred_crystals_of_four_ions_in_turn_through_the_conventions(shared: Path) -> None:
    """Energies at points within the bound, each crystal in one convention."""
    files = {"li_mp_ordered": "Li", "na_mp_ordered": "Na", "o_conductor_mp_ordered": "O", "f_conductor_mp_ordered": "F"}
    points = np.random.default_rng(0).random((100, 3))
    errors = []
    for name, ion in files.items():
        with gzip.open(shared / "data" / f"{name}.jsonl.gz", "rt") as lines:
            chosen = [line for i, line in enumerate(lines) if i % (8 if name[0] == "f" else 250) == 5]
        for i, line in enumerate(chosen):
            record = json.loads(line)
            if record["volume"] > 500:
                continue
            try:
                energy = build_field(Crystal.from_cif_string(record["cif"]), ion, convention=CONVENTIONS[i % 3])
            except fastin.FastinError:
                continue
            exact, _, _ = energy.derivatives(points)
            found, _, _ = split_of(energy.core, energy.cell).derivatives(points)
            errors.append((np.abs(found - exact)[exact < 20].max(initial=0.0), record["id"]))
    assert len(errors) > 120
    assert max(errors)[0] < BOUND, max(errors)

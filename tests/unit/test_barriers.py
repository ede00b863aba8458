"""compute_barriers: values, stationary points, paths, zeros, flags and errors."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure

import fastin
from fastin.bvse.grid import EnergyGrid, compute_bvse
from fastin.cli import main
from fastin.errors import InputError


def lithium_sulfide() -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.708), ["Li", "S"], [[0.25, 0.25, 0.25], [0, 0, 0]])


def lithium_nitride() -> Structure:
    sites = [[0, 0, 0], [0, 0, 0.5], [1 / 3, 2 / 3, 0]]
    return Structure.from_spacegroup("P6/mmm", Lattice.hexagonal(3.648, 3.875), ["N", "Li", "Li"], sites)


def lithium_cobaltate() -> Structure:
    sites = [[0, 0, 0.5], [0, 0, 0], [0, 0, 0.2395]]
    return Structure.from_spacegroup("R-3m", Lattice.hexagonal(2.8156, 14.0542), ["Co", "Li", "O"], sites)


@pytest.fixture(scope="module")
def layered() -> fastin.Barriers:
    return fastin.compute_barriers(lithium_cobaltate(), "Li", convention="bvlain", num_threads=1)


def given_grid(values: Any, cell: Any = None) -> EnergyGrid:
    return EnergyGrid(
        values=np.asarray(values, dtype=np.float32),
        cell=np.diag(np.array(np.shape(values)) * 0.2) if cell is None else np.asarray(cell, dtype=np.float64),
        ion=SimpleNamespace(symbol="Li+", element="Li", guest=False),  # type: ignore[arg-type]
        source="by hand",
        convention="",
        cutoff=float("nan"),
        screening=float("nan"),
        field=None,
    )


def test_fine_grids_converge_to_the_refined_barriers() -> None:
    # Independent of every search for stationary points: the plain percolation of ever finer grids. Its error falls
    # with the square of the spacing; at 0.05 A it is below 3 meV here, and the refined value must lie inside it.
    refined = fastin.compute_barriers(lithium_nitride(), "Li", resolution=0.2, num_threads=2).values("global")
    errors = []
    for resolution in (0.2, 0.1, 0.05):
        grid = compute_bvse(lithium_nitride(), "Li", resolution=resolution, num_threads=2)
        errors.append(np.abs(fastin.compute_barriers(grid, refine=False).values("global") - refined).max())
    assert errors[2] < 0.003
    assert errors[2] < errors[0]
    assert errors[0] > 0.005  # refinement has something to do


def test_same_barriers_from_grids_of_different_spacing() -> None:
    values = [
        fastin.compute_barriers(lithium_sulfide(), "Li", resolution=r, num_threads=1).values("global")
        for r in (0.25, 0.2, 0.13)
    ]
    assert np.ptp(values, axis=0).max() < 5e-4


def test_critical_points_are_stationary(layered: fastin.Barriers) -> None:
    field = compute_bvse(lithium_cobaltate(), "Li", convention="bvlain", num_threads=1).field
    assert field is not None
    energy, gradient, hessian = field.derivatives(layered.saddle_frac)
    np.testing.assert_allclose(energy, layered.levels, atol=1e-8)
    assert np.abs(gradient).max() < 1e-4
    assert (np.count_nonzero(np.linalg.eigvalsh(hessian) < 0.0, axis=1) == 1).all()
    energy, gradient, hessian = field.derivatives(layered.minimum_frac)
    np.testing.assert_allclose(energy, layered.network_minimum, atol=1e-8)
    assert np.abs(gradient).max() < 1e-4
    assert (np.linalg.eigvalsh(hessian) > 0.0).all()


def test_layered_oxide_conducts_in_its_planes(layered: fastin.Barriers) -> None:
    assert layered.e1d == pytest.approx(layered.e2d, abs=1e-6)
    assert layered.e2d < 2.0 < layered.e3d
    assert layered.dimensionality(0.5) == 0
    assert layered.dimensionality(2.0) == 2
    assert layered.dimensionality(100.0) == 3
    in_plane = layered.translations[1]
    assert in_plane.shape == (2, 3)
    assert (in_plane[:, 2] == 0).all()
    assert layered.translations[2].shape == (3, 3)
    assert layered.flags == ()
    assert layered.refined


def test_paths(layered: fastin.Barriers) -> None:
    field = compute_bvse(lithium_cobaltate(), "Li", convention="bvlain", num_threads=1).field
    assert field is not None
    for d, path in enumerate((layered.path_1d, layered.path_2d, layered.path_3d)):
        assert path is not None
        assert path.energy.max() == pytest.approx(layered.values()[d], abs=1e-9)
        np.testing.assert_allclose(path.frac[-1] - path.frac[0], path.translation, atol=1e-3)
        assert path.translation.any()
        zero = layered.levels[d] - layered.values()[d]
        np.testing.assert_allclose(field.energy(path.frac % 1.0), path.energy + zero, atol=1e-6)
        steps = np.linalg.norm(np.diff(path.frac, axis=0) @ layered.cell, axis=1)
        assert steps.max() < 0.5
        assert len(path) == len(path.energy)
    assert layered.path_3d is not None
    assert layered.path_3d.translation[2] != 0
    assert layered.path_1d is layered.path_1d  # traced once


def test_zero_of_a_channel_beside_a_deeper_pocket() -> None:
    values = np.full((8, 6, 8), 2000.0)
    values[2, :, 3] = 1.0
    values[2, 4, 3] = 2.0
    values[2, 1, 3] = -1.0
    values[6, 2, 6] = -5.0
    network = fastin.compute_barriers(given_grid(values), zero="network")
    assert (network.e1d, network.e2d, network.e3d) == (3.0, np.inf, np.inf)
    assert network.values("global").tolist() == [7.0, np.inf, np.inf]
    assert fastin.compute_barriers(given_grid(values), zero="global").e1d == 7.0
    assert network.energy_minimum == -5.0
    np.testing.assert_allclose(network.saddle_frac[0], [2 / 8, 4 / 6, 3 / 8])
    np.testing.assert_allclose(network.minimum_frac[0], [2 / 8, 1 / 6, 3 / 8])
    assert np.isnan(network.saddle_frac[1]).all()
    assert network.dimensionality(5.0) == 1
    assert not network.refined
    assert any("not refined" in note for note in network.notes)
    path = network.path_1d
    assert path is not None
    assert network.path_2d is None
    assert path.energy.max() == 3.0
    assert path.translation.tolist() in ([0, 1, 0], [0, -1, 0])


def test_barriers_never_fall_with_the_dimension() -> None:
    # A deep channel along a (zero -4, level 0) and a shallow net in b, c (zero -1, level 1): 2D must not be below 1D.
    values = np.full((10, 10, 10), 2000.0)
    values[:, 2, 2] = 0.0
    values[5, 2, 2] = -4.0
    values[5, :, 7] = 1.0
    values[5, 7, :] = 1.0
    values[5, 7, 7] = -1.0
    values[5, 2, 7] = values[5, 7, 2] = 2000.0
    values[5, 1:4, 6:9] = 2000.0
    values[5, 6:9, 1:4] = 2000.0
    values[5, 6:9, 6:9] = -1.0
    values[5, :, 8] = values[5, 8, :] = 1.0
    values[5, 2, 2:9] = 2000.0
    values[5, 2, 2] = -4.0
    for zero in ("network", "global"):
        e = fastin.compute_barriers(given_grid(values), zero=zero).values()
        assert e[0] <= e[1] <= e[2]


def test_no_percolation_at_all() -> None:
    values = np.full((6, 6, 6), 2000.0)
    values[3, 3, 3] = 0.0
    barriers = fastin.compute_barriers(given_grid(values))
    assert (barriers.e1d, barriers.e2d, barriers.e3d) == (np.inf,) * 3
    assert barriers.dimensionality(1e6) == 0
    assert barriers.path_1d is None
    text = json.dumps(barriers.to_dict(paths=True), allow_nan=False)
    assert json.loads(text)["e1d_eV"] is None


def test_to_dict_is_plain_json(layered: fastin.Barriers) -> None:
    out = json.loads(json.dumps(layered.to_dict(paths=True), allow_nan=False))
    assert out["e1d_eV"] == out["e1d_network_eV"] == pytest.approx(layered.e1d)
    assert out["e1d_global_eV"] == pytest.approx(layered.values("global")[0])
    assert max(out["path_2d"]["energy_eV"]) == pytest.approx(layered.e2d)
    assert "Barriers(" in repr(layered)
    assert "zero network" in repr(layered)


def test_arrays_are_read_only(layered: fastin.Barriers) -> None:
    with pytest.raises(ValueError, match="read-only"):
        layered.levels[0] = 0.0
    assert layered.path_1d is not None
    with pytest.raises(ValueError, match="read-only"):
        layered.path_1d.energy[0] = 0.0


def test_six_neighbours_on_the_grid_refine_to_the_same_barriers() -> None:
    six, all_neighbours = (
        fastin.compute_barriers(lithium_sulfide(), "Li", connectivity=c, num_threads=1) for c in (6, 26)
    )
    assert six.grid_levels[0] > all_neighbours.grid_levels[0]
    np.testing.assert_allclose(six.values(), all_neighbours.values(), atol=5e-4)


def test_refuses_unusable_arguments() -> None:
    grid = compute_bvse(lithium_sulfide(), "Li", resolution=0.4, num_threads=1)
    with pytest.raises(InputError, match="zero"):
        fastin.compute_barriers(grid, zero="bottom")
    with pytest.raises(InputError, match="connectivity"):
        fastin.compute_barriers(grid, connectivity=18)
    with pytest.raises(InputError, match="already fixed ion, cutoff"):
        fastin.compute_barriers(grid, "Li", cutoff=8.0)
    coarse = fastin.compute_barriers(lithium_sulfide(), "Li", shape=(3, 3, 3))
    assert not coarse.refined
    assert any("too coarse" in note for note in coarse.notes)


@pytest.mark.parametrize(("name", "published"), [("LiFePO4", 0.39), ("Li7La3Zr2O12_tetragonal", 0.46), ("Li3N", 0.21)])
def test_table_2_of_the_seed_paper(name: str, published: float) -> None:
    # spse convention, 1D, zero: minimum of the cell (the network's zero gives the same for these three). The paper's
    # values are grid readings in steps of about 0.01 eV.
    barriers = fastin.compute_barriers(fastin.examples()[name], "Li", convention="spse", zero="global")
    assert barriers.e1d == pytest.approx(published, abs=0.03)
    np.testing.assert_allclose(barriers.values("network"), barriers.values("global"), atol=1e-6)


def test_command_line(tmp_path: Any) -> None:
    good = tmp_path / "li2s.cif"
    lithium_sulfide().to(filename=str(good))
    bad = tmp_path / "empty.cif"
    bad.write_text("data_nothing\n")
    runner = CliRunner()
    done = runner.invoke(main, ["barriers", str(good), "--json", "--zero", "global"])
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)[0]
    expected = fastin.compute_barriers(good, zero="global")
    assert row["e3d_eV"] == pytest.approx(expected.e3d)
    assert row["zero"] == "global"
    plain = runner.invoke(main, ["barriers", str(good), "--json", "--zero", "global", "--plain-sum"])
    assert json.loads(plain.stdout)[0]["e3d_eV"] == pytest.approx(row["e3d_eV"], abs=1e-7)
    table = runner.invoke(main, ["barriers", str(good), str(bad), "--out", str(tmp_path / "out")])
    assert table.exit_code == 1
    assert "li2s.cif" in table.output
    written = json.loads((tmp_path / "out" / "li2s.barriers.json").read_text())
    assert max(written["path_1d"]["energy_eV"]) == pytest.approx(written["e1d_eV"])
    assert (tmp_path / "out" / "li2s.bvse.cube").stat().st_size > 1000
    assert runner.invoke(main, ["barriers"]).exit_code == 2
    assert runner.invoke(main, ["barriers", str(good), "--zero", "bottom"]).exit_code == 2

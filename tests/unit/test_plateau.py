"""Empty space: the energy is flat there, every point of it looks like a minimum, and none is a site."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import fastin
from fastin.errors import InputError
from fastin.transport.plateau import lies_on_surface, plateau_energy

A = 4.026  # LiF (C. W. F. T. Pistorius, Prog. Solid State Chem. 11, 1 (1976))


def slab(height: float, shift: float = 0.0) -> Structure:
    """Two layers of LiF (001) in a cell of that height."""
    z = A / 2 / height
    lithium = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, z], [0, 0.5, z]]
    fluorine = [[0.5, 0, 0], [0, 0.5, 0], [0, 0, z], [0.5, 0.5, z]]
    frac = np.add([*lithium, *fluorine], [shift, shift / 2, shift / 3])
    return Structure(Lattice.tetragonal(A, height), ["Li"] * 4 + ["F"] * 4, frac)


@pytest.mark.parametrize("shift", [0.0, 0.013, 0.2])
def test_no_sites_in_the_vacuum_of_a_slab(shift: float) -> None:
    paths = fastin.compute_paths(slab(30.0, shift), "Li")
    assert "flat-energy" in [warning.code for warning in paths.warnings]
    height = (np.asarray(paths.site_frac)[:, 2] - shift / 3 + 0.5) % 1.0 * 30.0 - 15.0
    assert (np.abs(height - A / 4) < 6.0).all()  # beside the layers at 0 and a/2
    assert len(height) == 8
    assert paths.energy_cutoff < plateau_energy(fastin.compute_bvse(slab(30.0, shift), "Li")) - paths.zero_energy


def test_the_slab_does_not_depend_on_how_much_vacuum_there_is() -> None:
    one, other = (fastin.compute_paths(slab(height), "Li") for height in (30.0, 36.0))
    assert len(one.site_energy) == len(other.site_energy)
    np.testing.assert_allclose(np.sort(one.hop_energy), np.sort(other.hop_energy), atol=1e-5)


@pytest.mark.parametrize("name", ["LiFePO4", "Li3N", "LiCoO2", "CaF2"])
def test_crystals_have_no_plateau(name: str) -> None:
    grid = fastin.compute_bvse(fastin.examples()[name])
    assert plateau_energy(grid) is None


BOX = Lattice.orthorhombic(13.0, 14.0, 15.0)


@pytest.mark.parametrize(
    ("species", "places"),
    [
        # Li2S as it is in the gas (a bent molecule): without lithium a single atom, with a sphere around it
        (["S", "Li", "Li"], [[0, 0, 0], [2.1, 0, 0], [-1.0, 1.8, 0]]),
        # LiO: a sphere around the only anion
        (["O", "Li"], [[0, 0, 0], [0.0, 0.0, 1.6]]),
    ],
)
def test_nothing_hops_around_an_atom_alone_in_a_box(species: list[str], places: list[list[float]]) -> None:
    molecule = Structure(BOX, species, np.add(places, [5.0, 6.0, 7.1]), coords_are_cartesian=True)
    molecule.add_oxidation_state_by_element({"S": -2, "Li": 1, "O": -1})
    assert lies_on_surface(fastin.compute_bvse(molecule, "Li", resolution=0.4))
    with pytest.raises(InputError, match="alone in empty space"):
        fastin.compute_paths(molecule, "Li", resolution=0.4)


def test_minima_of_crystals_and_slabs_are_points() -> None:
    for name in ("LiFePO4", "Li3N", "LiCoO2", "Li3OCl"):
        assert not lies_on_surface(fastin.compute_bvse(fastin.examples()[name], resolution=0.4))
    assert not lies_on_surface(fastin.compute_bvse(slab(20.0), "Li", resolution=0.4))

"""The potentials that the extra brings: forces of the fast wrapper, and one real barrier."""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import pytest

import fastin

chgnet = pytest.importorskip("chgnet", reason="the mlip extra is absent (pip install 'fastin[mlip]')")
FILES = fastin.examples()


def atoms_of(name, seed=0):
    from fastin.relax.cells import crystal_atoms

    atoms = crystal_atoms(fastin.Crystal.from_file(FILES[name]))
    atoms.rattle(0.05, seed=seed)
    return atoms


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["LiFePO4", "Li3N", "LiCl"])
def test_frozen_weights_give_the_stock_calculators_energies_and_forces(name):
    from chgnet.model.dynamics import CHGNetCalculator

    from fastin.relax.chgnet import CHGNetForces

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stock = CHGNetCalculator(use_device="cpu")
    ours = CHGNetForces()
    several = [atoms_of(name, seed) for seed in range(2)]
    for atoms, (energy, forces) in zip(several, ours.calculate_many(several), strict=True):
        atoms.calc = stock
        assert energy == pytest.approx(atoms.get_potential_energy(), abs=2e-4)
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-4)
        atoms.calc = ours
        np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-4)


def test_a_real_barrier():
    """The vacancy in Li3OCl, coarse: below BVSE's rigid 0.49 eV, near the 0.26 eV of the converged run."""
    found = fastin.relax_hops(FILES["Li3OCl"], "chgnet", images=1, supercell=7.0, fmax=0.15)
    assert 0.2 < found.barriers[2] < 0.32
    assert found.potential == "chgnet"
    assert "small-cell" in found.flags_of(3)


def test_sevennet_is_ready():
    pytest.importorskip("sevenn", reason="the mlip extra is absent (pip install 'fastin[mlip]')")
    from fastin.relax.potentials import load_potential

    potential = load_potential("sevennet")
    atoms = atoms_of("LiCl")
    atoms.calc = potential.calculator()
    from ase.calculators.fd import calculate_numerical_forces

    exact = calculate_numerical_forces(atoms, 1e-2, iatoms=[0])
    np.testing.assert_allclose(atoms.get_forces()[0], exact[0], atol=0.02)
    with pytest.raises(fastin.InputError, match="does not know Ra"):
        potential.refuse_unknown([3, 88], "a radium salt")


def test_pairs_in_slices_give_the_same_energies_and_forces():
    pytest.importorskip("sevenn", reason="the mlip extra is absent (pip install 'fastin[mlip]')")
    from fastin.relax.sevennet import sevennet_forces

    atoms = atoms_of("LiCl")
    found = []
    for pairs in (10**9, 100):
        atoms.calc = sevennet_forces(pairs=pairs)
        found.append((atoms.get_potential_energy(), atoms.get_forces()))
    assert found[1][0] == pytest.approx(found[0][0], abs=1e-5)
    np.testing.assert_allclose(found[1][1], found[0][1], atol=1e-5)

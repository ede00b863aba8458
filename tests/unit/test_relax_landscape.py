"""Landscapes from a calculator: a calculator that is the bond valence energy gives the bond valence barriers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes
from relax_support import MorseCrystal

import fastin
from fastin.bvse.field import build_field
from fastin.errors import DisorderError, InputError

FILES = fastin.examples()


class BondValence(Calculator):
    """The bond valence energy of the last atom in the crystal's frame."""

    implemented_properties = ("energy", "forces")

    def __init__(self, crystal, ion):
        super().__init__()
        self.field = build_field(crystal, ion)
        self.inverse = np.linalg.inv(crystal.cell)
        self.evaluations = 0

    def energy(self, points):
        return self.field.energy(np.ascontiguousarray(points @ self.inverse), num_threads=1)

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.evaluations += 1
        x = atoms.positions[-1]
        steps = 1e-4 * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
        e = self.energy(x + steps)
        forces = np.zeros((len(atoms), 3))
        forces[-1] = -(e[1:4] - e[4:]) / 2e-4
        self.results = {"energy": float(e[0]), "free_energy": float(e[0]), "forces": forces}


@pytest.mark.parametrize("name", ["LiCl", "Li3OCl", "LiFePO4", "CaF2"])
def test_the_bond_valence_energy_as_a_calculator_gives_its_own_barriers(name):
    crystal = fastin.Crystal.from_file(FILES[name])
    calculator = BondValence(crystal, None)
    exact = fastin.compute_barriers(crystal)
    ceiling = float(exact.e3d) + 0.4
    grid = fastin.EnergyGrid.from_calculator(crystal, None, calculator, ceiling=ceiling, supercell=1.0)
    found = fastin.compute_barriers(grid, refine=False)
    np.testing.assert_allclose(found.values(), exact.values(), atol=5e-3)
    rough = fastin.EnergyGrid.from_calculator(crystal, None, calculator, ceiling=ceiling, supercell=1.0, refine=False)
    counts = [
        int(re.match(r"(\d+) structures", note)[1]) for g in (grid, rough) for note in g.notes if "computed for" in note
    ]
    assert 0.9 * sum(counts) <= calculator.evaluations <= sum(counts)  # an arrangement asked for twice is computed once
    assert grid.convention == ""


def test_few_points_are_computed_and_images_agree():
    crystal = fastin.Crystal.from_file(FILES["LiCl"])
    calculator = MorseCrystal()
    seen = []
    grid = fastin.EnergyGrid.from_calculator(
        crystal, "Li", calculator, ceiling=1.0, supercell=4.0, refine=False, progress=lambda *done: seen.append(done)
    )
    assert calculator.evaluations < grid.values.size / 20
    assert seen[-1][0] == seen[-1][1] == calculator.evaluations
    np.testing.assert_allclose(grid.values, grid.values.transpose(1, 2, 0))  # the cubic axes
    full = fastin.EnergyGrid.from_calculator(
        crystal, "Li", calculator, ceiling=2.0, supercell=4.0, framework="full", refine=False
    )
    assert full.values[0, 0, 0] == 100.0  # an ion is there
    assert full.minimum == 0.0


def test_bad_input():
    calculator = MorseCrystal()
    for options, message in (
        ({"framework": "half"}, "framework"),
        ({"ceiling": -1.0}, "ceiling"),
        ({"ceiling": np.nan}, "ceiling"),
        ({"resolution": 3.0}, "resolution"),
    ):
        with pytest.raises(InputError, match=message):
            fastin.EnergyGrid.from_calculator(FILES["LiCl"], "Li", calculator, **options)
    with pytest.raises(InputError, match="does not know"):
        fastin.EnergyGrid.from_calculator(FILES["LiFePO4"], "Li", calculator)
    with pytest.raises(DisorderError, match="fastin order"):
        fastin.EnergyGrid.from_calculator(FILES["Li10GeP2S12"], "Li", calculator)

"""A crystal whose energies are known in closed form: pairs of ions with Morse and Born terms, smoothly cut off."""

from __future__ import annotations

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers
from ase.neighborlist import neighbor_list

#: pair of elements -> depth (eV), steepness (1/A), distance (A) of the Morse term.
PAIRS = {
    ("Cl", "Li"): (1.0, 1.6, 2.5),
    ("Cl", "Cl"): (0.10, 1.5, 3.7),
    ("Li", "Li"): (0.05, 1.5, 3.4),
    ("Br", "Li"): (1.0, 1.5, 2.7),
    ("Br", "Br"): (0.10, 1.5, 3.9),
    ("Br", "Cl"): (0.10, 1.5, 3.8),
}
CUTOFF = 6.0
TABLE = np.full((3, 36, 36), np.nan)
for (one, other), terms in PAIRS.items():
    for a, b in ((one, other), (other, one)):
        TABLE[:, atomic_numbers[a], atomic_numbers[b]] = terms


class MorseCrystal(Calculator):
    """Pair Morse terms, shifted in energy and force so that both vanish at the cutoff."""

    implemented_properties = ("energy", "forces")
    known_elements = (3, 17, 35)

    def __init__(self) -> None:
        super().__init__()
        self.evaluations = 0

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.evaluations += 1
        i, j, d, vector = neighbor_list("ijdD", atoms, CUTOFF)
        depth, steep, best = TABLE[:, atoms.numbers[i], atoms.numbers[j]]

        def morse(r):
            x = np.exp(-steep * (r - best))
            return depth * (x * x - 2 * x), depth * steep * (2 * x - 2 * x * x)

        energy, slope = morse(d)
        at_cut, slope_cut = morse(np.full_like(d, CUTOFF))
        energy = energy - at_cut - slope_cut * (d - CUTOFF)
        slope = slope - slope_cut
        forces = np.zeros((len(atoms), 3))
        pull = slope[:, None] * vector / d[:, None]
        for k in range(3):
            forces[:, k] = np.bincount(i, pull[:, k], minlength=len(atoms))
        total = 0.5 * float(energy.sum())
        self.results = {"energy": total, "free_energy": total, "forces": forces}


def make() -> MorseCrystal:
    """For ``relax_support:make``."""
    return MorseCrystal()

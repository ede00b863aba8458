"""Structures that several tests share."""

from __future__ import annotations

from pymatgen.core import Lattice, Structure


def low_symmetry() -> Structure:
    """A triclinic lithium phosphate oxide cell: no operation but the identity, so nothing is true by symmetry."""
    lattice = Lattice.from_parameters(5.1, 5.6, 6.3, 83.0, 98.0, 104.0)
    species = ["Li", "Li", "Li", "P", "O", "O", "O", "O"]
    frac = [
        [0.05, 0.11, 0.08], [0.55, 0.62, 0.13], [0.52, 0.09, 0.55], [0.02, 0.55, 0.49],
        [0.17, 0.79, 0.59], [0.13, 0.33, 0.63], [0.10, 0.52, 0.26], [0.71, 0.55, 0.48],
    ]  # fmt: skip
    return Structure(lattice, species, frac)

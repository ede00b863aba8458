"""Prototype crystals with seeded noise, written down in other ways: what degenerate geometry is tested on."""

from __future__ import annotations

from typing import Any

import numpy as np

_FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def _fcc(*shift: float) -> list[list[float]]:
    return ((_FCC + np.array(shift)) % 1.0).tolist()


#: name -> (a, b, c, alpha, beta, gamma), species, fractional coordinates. Ideal positions of the textbook types with
#: edges of about the real compounds; where an ion stands on another sublattice than in nature, the geometry is meant.
PROTOTYPES: dict[str, tuple[tuple[float, ...], list[str], list[list[float]]]] = {
    "sc": ((4.1,) * 3 + (90,) * 3, ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "fcc": ((5.13,) * 3 + (90,) * 3, ["Li"] * 4 + ["Cl"] * 4, _fcc(0, 0, 0) + _fcc(0.5, 0.5, 0.5)),
    "bcc": (
        (5.0,) * 3 + (90,) * 3,
        ["Li"] * 6 + ["O"] * 2,
        [
            [0.5, 0, 0.25],
            [0.25, 0.5, 0],
            [0, 0.25, 0.5],
            [0.5, 0, 0.75],
            [0.75, 0.5, 0],
            [0, 0.75, 0.5],
            [0, 0, 0],
            [0.5, 0.5, 0.5],
        ],
    ),
    "diamond": ((6.2,) * 3 + (90,) * 3, ["Li"] * 4 + ["F"] * 4, _fcc(0, 0, 0) + _fcc(0.25, 0.25, 0.25)),
    "hcp": (
        (3.8, 3.8, 6.2, 90, 90, 120),
        ["Li"] * 2 + ["Cl"] * 2,
        [[0, 0, 0], [0, 0, 0.5], [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]],
    ),
    "wurtzite": (
        (3.3, 3.3, 5.3, 90, 90, 120),
        ["Li"] * 2 + ["F"] * 2,
        [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 0.375], [2 / 3, 1 / 3, 0.875]],
    ),
    "fluorite": (
        (4.62,) * 3 + (90,) * 3,
        ["Li"] * 8 + ["O"] * 4,
        _fcc(0.25, 0.25, 0.25) + _fcc(0.75, 0.75, 0.75) + _fcc(0, 0, 0),
    ),
    "antiperovskite": (
        (3.9,) * 3 + (90,) * 3,
        ["Li", "Li", "Li", "O", "Cl"],
        [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0, 0, 0], [0.5, 0.5, 0.5]],
    ),
    "perovskite": (
        (3.9,) * 3 + (90,) * 3,
        ["Li", "Nb", "O", "O", "O"],
        [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]],
    ),
    "layered": (
        (2.82, 2.82, 14.05, 90, 90, 120),
        ["Li"] * 3 + ["Co"] * 3 + ["O"] * 6,
        [[0, 0, 0.5], [2 / 3, 1 / 3, 0.5 + 1 / 3 - 1], [1 / 3, 2 / 3, 0.5 + 2 / 3 - 1]]
        + [[0, 0, 0], [2 / 3, 1 / 3, 1 / 3], [1 / 3, 2 / 3, 2 / 3]]
        + [
            [x, y, z + s]
            for x, y, z in ((0, 0, 0), (2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3))
            for s in (0.26, -0.26)
        ],
    ),
}


def noisy(name: str, noise: float, rng: np.random.Generator) -> Any:
    """A prototype as a pymatgen Structure, every atom moved by up to `noise` angstrom along each axis."""
    from pymatgen.core import Lattice, Structure

    parameters, species, frac = PROTOTYPES[name]
    structure = Structure(Lattice.from_parameters(*parameters), species, frac)
    moved = structure.cart_coords + noise * rng.uniform(-1.0, 1.0, structure.cart_coords.shape)
    return Structure(structure.lattice, structure.species, moved, coords_are_cartesian=True)


def in_other_order(structure: Any, rng: np.random.Generator) -> Any:
    """The same atoms, shuffled."""
    from pymatgen.core import Structure

    order = rng.permutation(len(structure)).tolist()
    return Structure(
        structure.lattice, [structure[k].species for k in order], [structure[k].frac_coords for k in order]
    )


def shifted(structure: Any, rng: np.random.Generator) -> Any:
    """The same crystal from another origin."""
    from pymatgen.core import Structure

    return Structure(structure.lattice, structure.species, structure.frac_coords + rng.uniform(size=3))


def supercell(structure: Any, rng: np.random.Generator) -> Any:
    """Two or three cells of it along some axes."""
    out = structure.copy()
    choices = [(2, 1, 1), (1, 2, 1), (1, 1, 3), (2, 2, 1)]
    out.make_supercell(choices[int(rng.integers(len(choices)))])
    return out

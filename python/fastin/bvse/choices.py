"""Barriers where other species share the ion's positions: explicit choices of who sits where, each its own cell.

The energy of a mixed crystal leaves out what shares the ion's positions (`fastin.bvse.shared`), which is right as long
as it is little. Where it is much, the species block ways and change the energies of their neighbours, and no average
over one small cell shows that: here the positions that they hold are drawn at random in a supercell, as many as the
crystal has, and each choice gets an energy landscape of its own, with the species in full where they are and away
elsewhere. The median over the choices stands for a random arrangement, their range for what the arrangement decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastin.bvse.shared import sharing_partners
from fastin.crystal.elements import species_name
from fastin.errors import InputError
from fastin.runtime.arguments import checked_arguments

if TYPE_CHECKING:
    from fastin.crystal.crystal import Crystal
    from fastin.crystal.ions import IonName, MobileIon

# The supercell holds at least so many positions that are drawn, and is at least so wide (angstrom): as the ordered
# cells of bench/shared_sites.py.
_DRAWN, _WIDTH = 24, 7.5
_MOST_POSITIONS = 3000


@dataclass(frozen=True, eq=False)
class ChoiceBarriers:
    """Barriers of explicit choices, eV from the network zero.

    Attributes:
        ion: the mobile ion.
        mixed: (3,) of the mixed crystal, which leaves the other species out.
        values: (choices, 3) in 1, 2 and 3 dimensions; inf where the ion is shut in.
        supercell: multiples of the cell vectors.
        drawn: how many positions each species holds in it.
    """

    ion: MobileIon
    mixed: NDArray[np.float64]
    values: NDArray[np.float64]
    supercell: tuple[int, int, int]
    drawn: dict[str, int]

    @property
    def median(self) -> NDArray[np.float64]:
        """(3,) over the choices."""
        middle: NDArray[np.float64] = np.median(self.values, axis=0)
        return middle

    def __repr__(self) -> str:
        e = ", ".join(
            f"E{d}D {low:.2f} / {mid:.2f} / {high:.2f}"
            for d, (low, mid, high) in enumerate(
                zip(self.values.min(axis=0), self.median, self.values.max(axis=0), strict=True), 1
            )
        )
        held = ", ".join(f"{count} {name}" for name, count in self.drawn.items())
        return f"ChoiceBarriers({self.ion.symbol}, {len(self.values)} choices of {held}: {e} eV)"

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        return {
            "mixed_eV": self.mixed.tolist(),
            "values_eV": self.values.tolist(),
            "median_eV": self.median.tolist(),
            "supercell": list(self.supercell),
            "drawn": dict(self.drawn),
        }


@checked_arguments
def choice_barriers(
    source: Any,
    ion: IonName | None = None,
    *,
    choices: int = 5,
    seed: int = 0,
    supercell: Sequence[int] | None = None,
    num_threads: int | None = None,
    **options: Any,
) -> ChoiceBarriers:
    """Barriers with the positions that other species share with the ion drawn at random, each choice its own cell.

    Args:
        source: path, pymatgen ``Structure``, ASE ``Atoms`` or `Crystal`.
        ion: element or species; None takes the most usual mobile ion present.
        choices: how many to draw.
        seed: of the draws; choice k is the same whatever `choices` is.
        supercell: three multiples of the cell vectors; None takes at least 24 drawn positions and 7.5 A.
        num_threads: None takes the default.
        **options: of `compute_barriers` and `compute_bvse`.

    Raises:
        InputError: no species shares the ion's positions, numbers out of range, a supercell that is too large.
    """
    from fastin.bvse.barriers import compute_barriers
    from fastin.crystal.crystal import Crystal, as_crystal

    if choices < 1 or seed < 0:
        raise InputError(f"choices must be 1 or more and the seed not negative, not {choices} and {seed}")
    crystal = as_crystal(source)
    mixed = compute_barriers(crystal, ion, num_threads=num_threads, **options)
    draw = _Draw(crystal, mixed.ion, supercell)
    values = []
    for k in range(choices):
        cell = Crystal.from_structure(draw.structure(np.random.default_rng([seed, k])))
        values.append(compute_barriers(cell, mixed.ion.symbol, num_threads=num_threads, **options).values("network"))
    return ChoiceBarriers(mixed.ion, mixed.values("network"), np.array(values), draw.multiples, draw.counts())


class _Draw:
    """Choices of one crystal."""

    def __init__(self, crystal: Crystal, ion: MobileIon, supercell: Sequence[int] | None) -> None:
        self.crystal, self.ion = crystal, ion
        own = np.flatnonzero(crystal.number == ion.number)
        # rows of the species that share, with the ion's rows that each excludes
        self.partners = [(row, own[near]) for row, near in sharing_partners(crystal, ion)]
        if not self.partners:
            raise InputError(f"{crystal.source}: no species shares positions of {ion.symbol}: nothing to choose")
        self.multiples = self._multiples(supercell)
        self.cells = np.stack(np.meshgrid(*[np.arange(n) for n in self.multiples], indexing="ij"), -1).reshape(-1, 3)
        if len(crystal.first_rows) * len(self.cells) > _MOST_POSITIONS:
            raise InputError(
                f"{crystal.source}: a supercell of {self.multiples} holds more than {_MOST_POSITIONS} positions: give "
                "a smaller one"
            )
        self.classes: dict[tuple[int, float, float], list[int]] = {}
        for n, (row, _) in enumerate(self.partners):
            key = (int(crystal.number[row]), float(crystal.charge[row]), round(float(crystal.occupancy[row]), 4))
            self.classes.setdefault(key, []).append(n)

    def _multiples(self, supercell: Sequence[int] | None) -> tuple[int, int, int]:
        if supercell is not None:
            given = [int(v) for v in supercell]
            if len(given) != 3 or min(given) < 1:
                raise InputError(f"a supercell needs three multiples of 1 or more, not {tuple(supercell)}")
            return given[0], given[1], given[2]
        spacing = 1.0 / np.linalg.norm(np.linalg.inv(self.crystal.cell), axis=0)
        m = np.maximum(1, np.ceil(_WIDTH / spacing - 1e-9)).astype(int)
        places = len({int(self.crystal.position[row]) for row, _ in self.partners})
        while places * m.prod() < _DRAWN:
            m[int(np.argmin(spacing * m))] += 1
        return int(m[0]), int(m[1]), int(m[2])

    def _wanted(self, key: tuple[int, float, float]) -> int:
        return round(key[2] * len(self.classes[key]) * len(self.cells))

    def counts(self) -> dict[str, int]:
        out: dict[str, int] = {}
        for key in self.classes:
            name = species_name(key[0], key[1])
            out[name] = out.get(name, 0) + self._wanted(key)
        return out

    def structure(self, rng: np.random.Generator) -> Any:
        """One choice as a pymatgen structure."""
        from pymatgen.core import Lattice, Species, Structure

        from fastin.crystal.elements import symbol

        crystal, cells = self.crystal, len(self.cells)
        occupancy = np.tile(crystal.occupancy[:, None], (1, cells))
        blocked = np.zeros_like(occupancy)  # of the ion's rows: on average, and by this choice
        closed = np.zeros_like(occupancy, dtype=np.bool_)
        for row, near in self.partners:
            occupancy[row] = 0.0
            blocked[near] += crystal.occupancy[row]
        held = np.zeros((len(crystal.first_rows), cells), dtype=np.bool_)
        for key, members in self.classes.items():
            rows = np.array([self.partners[n][0] for n in members])
            free = np.argwhere(~held[crystal.position[rows]])
            for n, c in free[rng.permutation(len(free))[: self._wanted(key)]]:
                row, near = self.partners[members[n]]
                if held[crystal.position[row], c]:  # two rows of one position
                    continue
                held[crystal.position[row], c] = True
                occupancy[row, c] = 1.0
                closed[near, c] = True
        own = crystal.number == self.ion.number
        room = np.maximum(1.0 - blocked[own], 1e-3)
        occupancy[own] = np.where(closed[own], 0.0, np.minimum(1.0, occupancy[own] / room))
        species: list[dict[Any, float]] = []
        frac = []
        names = [
            Species(symbol(int(z)), float(round(q, 6)))
            for z, q in zip(crystal.number.tolist(), crystal.charge.tolist(), strict=True)
        ]
        for c in range(cells):
            for position in range(len(crystal.first_rows)):
                rows = np.flatnonzero(crystal.position == position)
                there: dict[Any, float] = {}
                for row in rows[occupancy[rows, c] > 0]:
                    there[names[row]] = there.get(names[row], 0.0) + float(occupancy[row, c])
                if there:
                    total = sum(there.values())
                    species.append({k: v / max(1.0, total) for k, v in there.items()})
                    frac.append((crystal.frac[rows[0]] + self.cells[c]) / np.array(self.multiples))
        return Structure(Lattice(crystal.cell * np.array(self.multiples)[:, None]), species, frac)

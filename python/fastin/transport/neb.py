"""Starting chains for nudged elastic band runs: the ions that move, everything else in place, the composition known.

The unit is a leg (`fastin.transport.legs`). By ``vacancy`` the cell holds one ion less than the crystal; by
``interstitial`` and ``exchange`` one more; where positions of the ion are partly filled the cell holds the crystal's
own content instead, ordered so that the ions keep apart. Ions that the way of a vacancy comes too near to are taken
out, and the chain says so; a way that comes too near to anything else is refused. Too near is below 0.6 of the shortest
distance between these two elements in the crystal.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastin.errors import DisorderError, GeometryError, InputError
from fastin.transport.arrangement import spread_out
from fastin.transport.chain_hops import Network, Steps, default_mechanism, leg, oriented, resolve
from fastin.transport.parts import FloatArray, periodic_distances
from fastin.transport.profiles import interpolate, join_profiles
from fastin.transport.ways import CONTACT, FILLED, shortest_contact

if TYPE_CHECKING:
    from pymatgen.core import Structure


_MOST_IMAGES = 999  # VASP numbers the folders of images with two digits; room to spare
_NEAREST = 1.2  # angstrom: ions of a partly filled crystal that cannot be kept farther apart are no ordered cell


@dataclass(frozen=True, eq=False)
class Chain:
    """Images of one leg.

    Attributes:
        images: pymatgen structures with the atoms in the same order, elements in blocks, the moving ions last.
        mechanism: by which the ions move.
        supercell: multiples of the cell vectors.
        formula: composition of every image.
        charge: of every image, in elementary charges, by the crystal's oxidation states.
        taken_out: ions beside the moving one that the crystal would hold there and the cell does not.
        moving: how many ions move.
    """

    images: list[Structure]
    mechanism: str
    supercell: tuple[int, int, int]
    formula: str
    charge: float
    taken_out: int
    moving: int

    def describe(self) -> str:
        """One line: what every image holds."""
        a, b, c = self.supercell
        out = (
            f", {self.taken_out} ion{'s' if self.taken_out > 1 else ''} on the way taken out" if self.taken_out else ""
        )
        return f"{self.formula}, charge {self.charge:+g}, {self.mechanism}, {a} x {b} x {c} cells{out}"


def supercell_for(cell: FloatArray, wanted: float | Sequence[int] | None) -> tuple[int, int, int]:
    """Multiples of the cell vectors.

    Args:
        cell: (3, 3) lattice vectors in rows, angstrom.
        wanted: None for the cell itself; three multiples; or the smallest distance (angstrom) that an ion must have to
            its own images, as the spacing between opposite faces.

    Raises:
        InputError: multiples below 1, a distance that is not positive.
    """
    if wanted is None:
        return 1, 1, 1
    if isinstance(wanted, int | float):
        if not (math.isfinite(wanted) and wanted > 0):
            raise InputError(f"the supercell's smallest distance must be positive, not {wanted} A")
        spacing = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
        a, b, c = (max(1, math.ceil(wanted / s - 1e-9)) for s in spacing)
        return a, b, c
    multiples = tuple(int(v) for v in wanted)
    if len(multiples) != 3 or min(multiples) < 1:
        raise InputError(f"a supercell needs three multiples of 1 or more, not {tuple(wanted)}")
    return multiples[0], multiples[1], multiples[2]


class _Builder:
    """Puts one chain together."""

    def __init__(self, paths: Network, mechanism: str, steps: Steps, stop: int, n: int) -> None:
        self.paths = paths
        self.mechanism = mechanism
        self.where = f"{paths.source}, hops {[h for h, _ in steps]}"
        parts = [steps[:stop], steps[stop:]] if stop else [steps]
        self.fixed = paths.crystal.number != paths.ion.number
        self._check_order()
        self.ways: list[FloatArray] = []  # (n + 2, 3) of each moving ion, fractional in the crystal's cell
        energies, at = [], None
        for part in parts:
            profile = _way(paths, part)
            shift = 0.0 if at is None else np.round(at - profile.frac[0])
            along = profile.distance[-1] * np.arange(n + 2) / (n + 1)
            self.ways.append(interpolate(along, profile.distance, profile.frac) + shift)
            energies.append(np.interp(along, profile.distance, profile.energy))
            at = self.ways[-1][-1]
        self.energy: FloatArray = np.max(energies, axis=0)

    def _check_order(self) -> None:
        from fastin.crystal.elements import symbol

        crystal = self.paths.crystal
        for row in np.flatnonzero(self.fixed & (crystal.occupancy < FILLED)):
            x = ", ".join(f"{v:.4f}" for v in crystal.frac[row])
            raise DisorderError(
                f"{crystal.source}: {symbol(int(crystal.number[row]))} at ({x}) has occupancy "
                f"{crystal.occupancy[row]:.3f}; a NEB run needs an ordered framework: give an ordered structure of the "
                "crystal (fastin order makes one)"
            )

    def stands(self) -> list[tuple[int, npt.NDArray[np.int64]]]:
        """Positions of the crystal that moving ions stand on at the ends, with their cells; each once."""
        if self.mechanism == "interstitial":
            return []
        points = [self.ways[0][0], self.ways[-1][-1]] if self.mechanism == "vacancy" else [self.ways[0][-1]]
        found: list[tuple[int, npt.NDArray[np.int64]]] = []
        for x in points:
            gap = x - self.paths.positions.frac
            distance = periodic_distances(self.paths.cell, x[None], self.paths.positions.frac)[0]
            k = self._owner(x, distance)
            cells = np.round(gap[k]).astype(np.int64)
            near = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
            best = np.linalg.norm((gap[k] - cells - near) @ self.paths.cell, axis=1).argmin()
            stand = (k, cells + near[best])
            if not any(k == other and (stand[1] == cell).all() for other, cell in found):
                found.append(stand)
        return found

    def _owner(self, x: FloatArray, distance: FloatArray) -> int:
        """The position whose site a point is."""
        sites = self.paths.sites
        site = int(periodic_distances(self.paths.cell, x[None], sites.frac)[0].argmin())
        own = self.paths.positions.basin_position[self.paths.positions.basin_site == site]
        return int(own[distance[own].argmin()])

    def multiples(self, wanted: float | Sequence[int] | None) -> tuple[int, int, int]:
        """The supercell: larger than wanted where the two ends would be one position of it."""
        m = list(supercell_for(self.paths.cell, wanted))
        ends = self.stands() if self.mechanism == "vacancy" else []
        if len(ends) == 1:
            raise GeometryError(
                f"{self.where}: start and end are two minima of one position of {self.paths.ion.symbol}: the way leads "
                "to no vacancy"
            )
        gap = ends[1][1] - ends[0][1] if len(ends) == 2 and ends[0][0] == ends[1][0] else np.zeros(3, dtype=np.int64)
        if gap.any() and not (gap % m).any():
            if wanted is not None and not isinstance(wanted, int | float):
                raise InputError(
                    f"{self.where}: start and end are one position of a supercell of {tuple(m)} cells, so there is no "
                    "vacancy to move into; take more cells along " + "".join(np.array(["a", "b", "c"])[gap != 0])
                )
            axis = int(np.flatnonzero(gap)[np.abs(gap[gap != 0]).argmin()])
            m[axis] = next(v for v in itertools.count(m[axis] + 1) if gap[axis] % v)
        return m[0], m[1], m[2]

    def build(self, wanted: float | Sequence[int] | None) -> Chain:
        """The chain in a supercell."""
        from pymatgen.core import Lattice, Structure

        from fastin.crystal.elements import symbol

        m = self.multiples(wanted)
        size = np.array(m)
        cell = self.paths.cell * size[:, None]
        cells = np.stack(np.meshgrid(*[np.arange(k) for k in m], indexing="ij"), axis=-1).reshape(-1, 3)
        crystal = self.paths.crystal
        moving = np.stack(self.ways) / size
        ions, taken_out = self._others(cell, cells, size, moving)
        names = [symbol(int(z)) for z in crystal.number[self.fixed]]
        blocks = sorted(range(len(names)), key=lambda row: names.index(names[row]))  # one block an element
        frame = ((crystal.frac[self.fixed][blocks][:, None, :] + cells[None]) / size).reshape(-1, 3)
        self._refuse_contacts(cell, frame, [names[r] for r in blocks for _ in cells], ions, moving)
        species = [names[r] for r in blocks for _ in cells]
        species += [self.paths.ion.element] * (len(ions) + len(moving))
        frame_charge = float(crystal.charge[self.fixed] @ crystal.occupancy[self.fixed]) * len(cells)
        charge = round(frame_charge + self.paths.ion.charge * (len(ions) + len(moving)), 4) + 0.0
        images = []
        for k, energy in enumerate(self.energy):
            positions = np.concatenate([frame, ions, moving[:, k]])
            image = Structure(Lattice(cell), species, positions, to_unit_cell=False)
            image.properties = {
                "bvse_energy": float(energy),
                "charge": charge,
                "mechanism": self.mechanism,
                "taken_out": taken_out,
            }
            images.append(image)
        count = Counter(species)
        formula = "".join(f"{e}{n}" for e, n in count.items())
        return Chain(images, self.mechanism, m, formula, charge, taken_out, len(moving))

    def _others(
        self, cell: FloatArray, cells: npt.NDArray[np.int64], size: npt.NDArray[np.int64], moving: FloatArray
    ) -> tuple[FloatArray, int]:
        """Ions that stay where they are, and how many full positions on the way are left empty."""
        positions = self.paths.positions
        if not len(positions):
            return np.zeros((0, 3)), 0
        free = np.ones((len(positions), len(cells)), dtype=np.bool_)
        for k, shift in self.stands():
            free[k, ((cells - shift) % size == 0).all(axis=1)] = False
        frac = (positions.frac[:, None, :] + cells[None]) / size
        occupancy = np.broadcast_to(positions.occupancy[:, None], free.shape)
        full = free & (occupancy >= FILLED)
        partial = free & ~full
        held = round(float(positions.occupancy.sum()) * len(cells))
        if not (positions.occupancy < FILLED).any():
            near = self._near(cell, frac[full], moving, CONTACT * shortest_contact(self.paths.cell, positions))
            if near.any() and self.mechanism != "vacancy":
                raise GeometryError(
                    f"{self.where}: the way of an {self.mechanism} comes within {CONTACT:g} of the shortest distance "
                    f"between {self.paths.ion.symbol} ions to {int(near.sum())} of them; by exchange they move along"
                )
            return frac[full][~near], int(near.sum())
        wanted = held - len(moving) - int(full.sum())
        start = moving[:, 0]
        chosen = spread_out(cell, frac[partial], occupancy[partial], wanted, np.concatenate([frac[full], start]))
        ions = np.concatenate([frac[full], frac[partial][chosen]])
        apart = _shortest(cell, np.concatenate([ions, start]))
        if apart < _NEAREST:
            raise DisorderError(
                f"{self.where}: {held} ions in {tuple(size.tolist())} cells cannot be kept {_NEAREST} A apart on the "
                "positions of the crystal; a larger supercell may hold them"
            )
        near = self._near(cell, frac[partial], moving, CONTACT * apart)
        chosen = spread_out(
            cell, frac[partial][~near], occupancy[partial][~near], wanted, np.concatenate([frac[full], start])
        )
        ions = np.concatenate([frac[full], frac[partial][~near][chosen]])
        crossed = self._near(cell, ions, moving, CONTACT * apart)
        return ions[~crossed], int(crossed.sum()) + max(0, wanted - int(chosen.sum()))

    def _near(self, cell: FloatArray, ions: FloatArray, moving: FloatArray, limit: float) -> npt.NDArray[np.bool_]:
        """Ions that a moving one comes nearer to than the limit."""
        if not len(ions):
            return np.zeros(0, dtype=np.bool_)
        near: npt.NDArray[np.bool_] = periodic_distances(cell, ions, moving.reshape(-1, 3)).min(axis=1) < limit
        return near

    def _refuse_contacts(
        self, cell: FloatArray, frame: FloatArray, names: list[str], ions: FloatArray, moving: FloatArray
    ) -> None:
        """Raises where a moving ion comes too near to the framework or to another moving one."""
        own = self.paths.positions.frac
        kinds = np.array(names)
        ends = moving[:, [0, -1]].reshape(-1, 3)
        distance = periodic_distances(cell, moving.reshape(-1, 3), frame)
        for name in dict.fromkeys(names):
            rows = kinds == name
            crystal = self.paths.crystal
            if len(own):
                held = crystal.frac[self.fixed][[n == name for n in self._frame_names()]]
                usual = float(periodic_distances(self.paths.cell, own, held).min())
            else:
                usual = float(periodic_distances(cell, ends, frame[rows]).min())
            nearest = float(distance[:, rows].min())
            if nearest < CONTACT * usual:
                raise GeometryError(
                    f"{self.where}: the way comes within {nearest:.2f} A of {name}, below {CONTACT:g} of the "
                    f"{usual:.2f} A that the crystal keeps: no chain to start from"
                )
        if len(moving) == 2:
            gap = [float(periodic_distances(cell, a[None], b[None])[0, 0]) for a, b in zip(*moving, strict=True)]
            usual = shortest_contact(self.paths.cell, self.paths.positions)
            if min(gap) < CONTACT * usual:
                raise GeometryError(
                    f"{self.where}: the two moving ions come within {min(gap):.2f} A of each other, below {CONTACT:g} "
                    f"of the {usual:.2f} A that the crystal keeps"
                )

    def _frame_names(self) -> list[str]:
        from fastin.crystal.elements import symbol

        return [symbol(int(z)) for z in self.paths.crystal.number[self.fixed]]


def _shortest(cell: FloatArray, points: FloatArray) -> float:
    distance = periodic_distances(cell, points, points)
    np.fill_diagonal(distance, math.inf)
    return float(min(distance.min(initial=math.inf), np.linalg.norm(cell, axis=1).min()))


def _way(paths: Network, steps: Steps) -> Any:
    ends = [(int(paths.hops.index[0, h]), int(paths.hops.index[1, h])) for h, _ in steps]
    profiles = paths.profiles([h for h, _ in steps])
    return join_profiles(0, (0, 0, 0), 0.0, steps, profiles, ends, paths.cell)


def neb_chain(
    paths: Network,
    hop: Any,
    n: int = 5,
    *,
    supercell: float | Sequence[int] | None = None,
    mechanism: str | None = None,
) -> Chain:
    """Images of a leg with what they hold; arguments and errors as for `neb_images`."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise InputError(f"a NEB chain needs at least one image between its ends, not {n}")
    if n > _MOST_IMAGES:
        raise InputError(f"a NEB chain of more than {_MOST_IMAGES} images ({n}) is of no use")
    chosen, steps, stop = resolve(paths, hop, mechanism)
    return _Builder(paths, chosen, steps, stop, int(n)).build(supercell)


def leg_stands(paths: Network, hop: Any) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """Positions of the crystal, with their cells, that the ions of a leg stand on.

    Start and end by vacancy, the one whose ion is pushed on by exchange, none by interstitial.
    """
    chosen, steps, stop = resolve(paths, hop, None)
    return _Builder(paths, chosen, steps, stop, 1).stands()


def neb_images(
    paths: Network,
    hop: Any,
    n: int = 5,
    *,
    supercell: float | Sequence[int] | None = None,
    mechanism: str | None = None,
) -> list[Structure]:
    """Images of a leg: the moving ions at equal shares of their ways, everything else in place.

    Args:
        paths: the transport network.
        hop: a leg of `TransportNetwork.legs`; the number of a hop: the lowest leg that runs over it; numbers of
            consecutive hops from place to place; or ``"1d"``, ``"2d"``, ``"3d"``: the hardest leg of that path.
        n: images between the two ends; n + 2 structures are returned, as VASP counts them (IMAGES = n).
        supercell: three multiples, or the smallest distance (angstrom) between images of the ion; None for the cell.
            The cell is doubled where the two ends would be one position of it (three multiples are refused instead).
        mechanism: of a hop that is no leg; None takes ``"vacancy"``, ``"interstitial"`` for a guest.

    Returns:
        n + 2 pymatgen structures with the atoms in the same order, elements in blocks, the moving ions last.
        ``properties`` hold ``bvse_energy`` (eV, on the network's zero; of an exchange the higher of
        its two ions), ``charge``, ``mechanism`` and ``taken_out`` (ions on the way that were left out).

    Raises:
        InputError: no such hop or leg, n below 1, bad supercell.
        DisorderError: the framework is disordered.
        GeometryError: the way comes too near to atoms that stay.
    """
    return neb_chain(paths, hop, n, supercell=supercell, mechanism=mechanism).images


__all__ = [
    "Chain",
    "default_mechanism",
    "leg",
    "leg_stands",
    "neb_chain",
    "neb_images",
    "oriented",
    "resolve",
    "supercell_for",
]

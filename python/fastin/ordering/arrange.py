"""Arrangements of ions on partly filled positions: Coulomb energies, exclusions, symmetry copies, search."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from fastin.crystal.data import CrystalData
from fastin.crystal.elements import column, symbol
from fastin.errors import DisorderError
from fastin.ordering.content import FULL, VACANCY, Content, Sublattice
from fastin.runtime.openmp import _core

FloatArray = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Called with the share of the work that is done, 0 to 1.
Progress = Callable[[float], None]

# Two positions closer than this are alternatives of one (split site), whatever their occupancies, angstrom.
SPLIT = 0.8
# Positions that need not be filled together (occupancies that add up to one at most) exclude each other within this
# share of the sum of their covalent radii: Li-Li 1.79 A, O-O 0.92, P-O 1.21, H-O 0.68.
CONTACT = 0.7
_ONE = 1.02
# All arrangements are listed when there are no more than this.
ENUMERATE = 40_000
_ROUNDS = 4
_REPLICAS = 4
_STEPS = (100_000, 1_500_000)  # fewest and most exchanges tried by a replica
_STEPS_A_POSITION = 4_000
_HOT, _COLD = 5.0, 0.02  # eV
_PENALTY = 100.0  # eV
_BATCH = 2_000


@dataclass(frozen=True)
class Problem:
    """A supercell with positions to fill.

    Attributes:
        multiples: of the cell vectors.
        frac: (P, 3) partly filled positions, fractions of the supercell; position ``c * K + k`` is the k-th partly
            filled position of the crystal in cell c.
        place: (K,) positions of the crystal's cell that these are.
        pool: (P,) group of each.
        species: (P,) one arrangement with the right content.
        charge: (S,) of the species, with mixed valences shifted so that the cell is neutral.
        fixed_frac: (F, 3) positions filled for certain.
        fixed_species: (F,).
        coulomb: (P, P) energy of two unit charges, eV.
        potential: (P,) of the certain ions, eV / e.
        base: energy of the certain ions among themselves, eV.
        exclusion: (2, X) pairs of positions that are not filled together, both directions.
    """

    multiples: tuple[int, int, int]
    frac: FloatArray
    place: Ints
    pool: npt.NDArray[np.int32]
    species: npt.NDArray[np.int32]
    charge: FloatArray
    fixed_frac: FloatArray
    fixed_species: Ints
    coulomb: FloatArray
    potential: FloatArray
    base: float
    exclusion: Ints

    def energies(self, rows: npt.NDArray[np.int32]) -> FloatArray:
        """(n,) Coulomb energies of arrangements (n, P), eV a supercell."""
        q = np.append(self.charge, 0.0)[rows]  # the vacancy is the last
        out: FloatArray = self.base + q @ self.potential + np.einsum("np,np->n", q @ self.coulomb, q)
        return out

    def allowed(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """(n,) whether arrangements fill no two positions that exclude each other."""
        i, j = self.exclusion
        filled = rows != VACANCY
        out: npt.NDArray[np.bool_] = ~(filled[:, i] & filled[:, j]).any(axis=1)
        return out


def _cells(multiples: tuple[int, int, int]) -> Ints:
    grid: Ints = np.stack(np.meshgrid(*[np.arange(m) for m in multiples], indexing="ij"), axis=-1).reshape(-1, 3)
    return grid


def build(crystal: CrystalData, lattice: Sublattice, content: Content) -> Problem:
    """Positions, energies and exclusions of a supercell.

    Raises:
        DisorderError: two positions that are filled for certain are nearer than the exclusion allows.
    """
    multiples, cells = content.multiples, _cells(content.multiples)
    unit = crystal.frac[crystal.first_rows]
    place = np.concatenate([g.positions for g in lattice.groups])
    pool = np.repeat(np.arange(len(lattice.groups)), [len(g.positions) for g in lattice.groups])
    frac = ((unit[place][None] + cells[:, None]) / multiples).reshape(-1, 3)
    pools = np.tile(pool, len(cells)).astype(np.int32)
    species = np.full(len(frac), VACANCY, dtype=np.int32)
    for g, (group, counts) in enumerate(zip(lattice.groups, content.counts, strict=True)):
        species[pools == g] = np.repeat(np.array(group.species, dtype=np.int32), counts)
    fixed_frac = ((unit[lattice.fixed][None] + cells[:, None]) / multiples).reshape(-1, 3)
    fixed_species = np.tile(lattice.fixed_species, len(cells))
    charge = _shifted(lattice, content, species, fixed_species)
    cell = crystal.cell * np.array(multiples)[:, None]
    full = _unit_energies(cell, np.concatenate([frac, fixed_frac]))
    n, q = len(frac), charge[fixed_species]
    return Problem(
        multiples,
        frac,
        place,
        pools,
        species,
        charge,
        fixed_frac,
        fixed_species,
        np.ascontiguousarray(full[:n, :n]),
        np.ascontiguousarray(2.0 * full[:n, n:] @ q),
        float(q @ full[n:, n:] @ q),
        _exclusions(crystal, cell, frac, np.tile(place, len(cells)), lattice),
    )


def _shifted(lattice: Sublattice, content: Content, species: npt.NDArray[np.int32], fixed: Ints) -> FloatArray:
    """Charges; mixed valences take up what is left of the total."""
    charge = lattice.charge.copy()
    rest = float(charge[fixed].sum() + charge[species[species != VACANCY]].sum())
    if lattice.mixed and abs(rest) > 0:
        atoms = int(np.isin(fixed, lattice.mixed).sum() + np.isin(species, lattice.mixed).sum())
        if atoms:
            charge[list(lattice.mixed)] -= rest / atoms
    return charge


def _unit_energies(cell: FloatArray, frac: FloatArray) -> FloatArray:
    """(N, N) Ewald energies of unit charges, eV: the sum over q_i q_j M_ij is the energy of a neutral cell."""
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core import Lattice, Structure

    structure = Structure(Lattice(cell), ["H+"] * len(frac), frac)
    matrix: FloatArray = np.array(EwaldSummation(structure).total_energy_matrix)
    return 0.5 * (matrix + matrix.T)


def _exclusions(crystal: CrystalData, cell: FloatArray, frac: FloatArray, place: Ints, lattice: Sublattice) -> Ints:
    occupancy = np.bincount(crystal.position, crystal.occupancy)
    radius = np.nan_to_num(column("covalent_radius"), nan=1.0)[crystal.number]
    mean = np.bincount(crystal.position, crystal.occupancy * radius) / occupancy
    reach = max(SPLIT, 2 * CONTACT * float(mean[place].max()))
    start, near, distance = _core.neighbours(np.ascontiguousarray(cell), np.ascontiguousarray(frac % 1.0), reach)
    i = np.repeat(np.arange(len(frac)), np.diff(start))
    a, b = place[i], place[near]
    alternatives = (occupancy[a] + occupancy[b] <= _ONE) & (distance < CONTACT * (mean[a] + mean[b]))
    split = (distance < SPLIT) & ((occupancy[a] < FULL) | (occupancy[b] < FULL))
    keep = (alternatives | split) & (i != near)
    pairs: Ints = np.unique(np.stack([i[keep], near[keep]]).astype(np.int64), axis=1)
    return pairs


# --- symmetry copies ---


def permutations(crystal: CrystalData, problem: Problem) -> Ints:
    """(G, P) where each operation of the crystal that keeps the supercell takes the partly filled positions."""
    cells, grid = _cells(problem.multiples), np.array(problem.multiples)
    unit = crystal.frac[crystal.first_rows][problem.place]
    count, out = len(unit), []
    for rotation, translation in zip(crystal.rotations, crystal.translations, strict=True):
        scaled = rotation * grid[None, :] / grid[:, None]  # in the basis of the supercell
        if np.abs(scaled - np.rint(scaled)).max() > 1e-9:
            continue
        moved = unit @ rotation.T + translation
        gap = moved[:, None, :] - unit[None]
        offset = np.rint(gap)
        distance = np.linalg.norm((gap - offset) @ crystal.cell, axis=-1)
        to = distance.argmin(axis=1)
        if len(np.unique(to)) != count or float(distance[np.arange(count), to].max()) > 0.1:
            continue
        jump = offset[np.arange(count), to].astype(np.int64)
        for shift in cells:
            where = (cells @ rotation.T + shift)[:, None, :] + jump[None]
            w = where % grid
            number = (w[..., 0] * grid[1] + w[..., 1]) * grid[2] + w[..., 2]
            out.append((number * count + to[None]).ravel())
    found: Ints = np.unique(np.array(out, dtype=np.int64), axis=0)
    return found


def canonical(row: npt.NDArray[np.int32], copies: Ints) -> bytes:
    """The same bytes for arrangements that an operation maps on each other."""
    images = np.empty((len(copies), len(row)), dtype=np.int32)
    np.put_along_axis(images, copies, np.broadcast_to(row, images.shape), axis=1)
    order = np.lexsort(images.T[::-1])
    first: bytes = images[order[0]].tobytes()
    return first


# --- search ---


def count(lattice: Sublattice, content: Content) -> float:
    """Arrangements with this content."""
    total = 0.0
    for counts in content.counts:
        total += math.lgamma(sum(counts) + 1) - sum(math.lgamma(n + 1) for n in counts)
    return math.exp(min(total, 700.0))


def _group_rows(positions: Ints, species: tuple[int, ...], counts: list[int]) -> Iterator[list[tuple[int, int]]]:
    """Every way to spread the species over the positions, as (position, species)."""
    if not species:
        yield []
        return
    for chosen in combinations(range(len(positions)), counts[0]):
        rest = np.delete(positions, list(chosen))
        here = [(int(positions[k]), species[0]) for k in chosen]
        for more in _group_rows(rest, species[1:], counts[1:]):
            yield here + more


def enumerate_all(lattice: Sublattice, content: Content, problem: Problem) -> tuple[FloatArray, npt.NDArray[np.int32]]:
    """All arrangements without violated exclusions: energies and rows, by rising energy."""
    rows = [np.full(len(problem.pool), VACANCY, dtype=np.int32)]
    for g, group in enumerate(lattice.groups):
        positions = np.flatnonzero(problem.pool == g)
        ways = list(_group_rows(positions, group.species, content.counts[g]))
        grown = []
        for row in rows:
            for way in ways:
                new = row.copy()
                for position, species in way:
                    new[position] = species
                grown.append(new)
        rows = grown
    table = np.array(rows)
    table = table[problem.allowed(table)]
    energy = np.concatenate(
        [problem.energies(table[k : k + _BATCH]) for k in range(0, len(table), _BATCH)] or [np.zeros(0)]
    )
    order = np.argsort(energy, kind="stable")
    return energy[order], table[order]


def search(
    problem: Problem, keep: int, seed: int, threads: int, progress: Progress
) -> tuple[FloatArray, npt.NDArray[np.int32]]:
    """Lowest arrangements of seeded annealing runs by rising energy: energies and rows; empty where none is allowed."""
    n = len(problem.pool)
    steps = int(np.clip(_STEPS_A_POSITION * n, *_STEPS))
    i, j = problem.exclusion
    start = np.concatenate([[0], np.cumsum(np.bincount(i, minlength=n))]).astype(np.int64)
    energy, rows = [np.zeros(0)], [np.zeros((0, n), dtype=np.int32)]
    for k in range(_ROUNDS):
        e, found, _ = _core.anneal(
            problem.coulomb,
            problem.potential,
            np.ascontiguousarray(problem.charge),
            problem.pool,
            problem.species,
            start,
            j[np.argsort(i, kind="stable")].astype(np.int32),
            replicas=_REPLICAS,
            steps=steps,
            hot=_HOT,
            cold=_COLD,
            penalty=_PENALTY,
            keep=keep,
            seed=seed * _ROUNDS + k,
            num_threads=threads,
        )
        energy.append(e + problem.base)
        rows.append(found)
        progress((k + 1) / _ROUNDS)
    total, table = np.concatenate(energy), np.concatenate(rows)
    order = np.argsort(total, kind="stable")
    return total[order], table[order]


def merged_pools(lattice: Sublattice, problem: Problem) -> npt.NDArray[np.int32]:
    """Pools in which groups that may hold the same species are one."""
    first: dict[tuple[int, ...], int] = {}
    names = [first.setdefault(tuple(sorted(g.species)), k) for k, g in enumerate(lattice.groups)]
    out: npt.NDArray[np.int32] = np.array(names, dtype=np.int32)[problem.pool]
    return out


def closest(structure: Any) -> tuple[tuple[str, str, float], float]:
    """The two atoms closest in relation to their covalent radii: elements, distance (A), and that relation."""
    numbers = np.array(structure.atomic_numbers)
    radius = np.nan_to_num(column("covalent_radius"), nan=1.0)[numbers]
    cell = np.ascontiguousarray(structure.lattice.matrix)
    frac = np.ascontiguousarray(structure.frac_coords % 1.0)
    start, near, distance = _core.neighbours(cell, frac, 2.0 * float(radius.max()))
    i = np.repeat(np.arange(len(frac)), np.diff(start))
    if not len(near):
        return ("", "", math.inf), math.inf
    share = distance / (radius[i] + radius[near])
    k = int(share.argmin())
    names = sorted((symbol(int(numbers[i[k]])), symbol(int(numbers[near[k]]))))
    return (names[0], names[1], float(distance[k])), float(share[k])


def split_only(crystal: CrystalData, problem: Problem) -> Ints:
    """The exclusions of split sites alone."""
    cell = crystal.cell * np.array(problem.multiples)[:, None]
    i, j = problem.exclusion
    gap = problem.frac[j] - problem.frac[i]
    near = np.stack(np.meshgrid(*[(-1.0, 0.0, 1.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    gap = gap - np.rint(gap)
    distance = np.linalg.norm((gap[:, None] + near) @ cell, axis=-1).min(axis=1)
    kept: Ints = problem.exclusion[:, distance < SPLIT]
    return kept


def refuse(crystal: CrystalData, lattice: Sublattice, problem: Problem) -> DisorderError:
    """The error where no arrangement avoids the exclusions: names the positions that take part in most of them."""
    i, _ = problem.exclusion
    worst = int(np.bincount(i, minlength=len(problem.pool)).argmax())
    k = problem.place[worst % len(problem.place)]
    group = lattice.groups[int(problem.pool[worst])]
    where = ", ".join(f"{v:.4f}" for v in crystal.frac[crystal.first_rows[k]])
    names = "/".join(lattice.name(s) for s in group.species if s != VACANCY)
    return DisorderError(
        f"{crystal.source}: the content finds no place: positions such as {names} at ({where}) have neighbours closer "
        f"than {SPLIT} A that would be filled with them; check the occupancies of split sites"
    )

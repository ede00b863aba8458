"""The framework that a mobile ion sees: split and mixed sites resolved, radii attached."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.coordination import TOO_NEAR, Shells, shells_of
from fastin.crystal.data import NEIGHBOUR_CUTOFF, CrystalData
from fastin.crystal.elements import species_name, symbol
from fastin.crystal.ions import MobileIon, Radii
from fastin.crystal.radii import Radius, Scale, atomic_radius, ionic_radius
from fastin.crystal.warnings import CrystalWarning, merge_warnings
from fastin.errors import DisorderError, FastinError, InputError
from fastin.runtime.arguments import real, real_array
from fastin.runtime.arrays import distinct, ranges, sum_by
from fastin.runtime.openmp import _core

SPLIT = 0.8  # A: framework sites nearer than this that exclude each other are one position
_EXCLUSIVE = 1.05  # total occupancy up to which near sites are alternatives of one atom
_MIN_OCCUPANCY = 0.2  # framework sites occupied less are no obstacle to the mobile ion
_MOST_DROPPED = 0.02  # of the framework's atoms: more on such sites is a warning
_ALTERNATIVES = 2.0  # A: places of one element nearer than this are not all filled at once
_PARTIAL = 0.95
_RESCUE = 0.5  # atoms that near faint places must hold together to be kept as obstacles
_NEAREST = 2.6  # A: where the nearest framework atom of a mobile ion is first looked for
_TIE = 1e-3  # A: neighbours whose distances differ by less are equally near

#: Lower thresholds of CAVD (A) for the narrowest bottleneck an ion was found to pass (DESIGN section 7).
CAVD_THRESHOLDS = {"Li": 0.5327, "Na": 0.9196, "Mg": 0.5680, "Al": 0.3666}
_PROBE_SHARE = 0.85


@dataclass(frozen=True, eq=False)
class Framework:
    """Everything but the mobile ion.

    Tessellation: one row per framework position (split sites resolved, mixed sites averaged over what they hold).
    Energy: one row per (position, species), every split position kept with its occupancy.

    Attributes:
        ion: the mobile ion.
        cell: (3, 3) lattice vectors in rows (A).
        source: path or description, for messages.
        notes: what was assumed, the crystal's notes first.
        frac: (N, 3) framework positions in [0, 1).
        radius: (N,) radii (A), occupancy-weighted, never negative.
        number: (N,) atomic number of the dominant species.
        species: names of the dominant species, "O2-".
        charge: (N,) occupancy-weighted oxidation state (e).
        coordination: (N,) coordination number used for the radius; 0 without counter-ions.
        energy_frac: (M, 3) positions of the (position, species) rows.
        energy_number: (M,) their atomic numbers.
        energy_charge: (M,) their oxidation states (e).
        energy_occupancy: (M,) their occupancies.
        mobile_frac: (K, 3) positions of the mobile ion.
        mobile_occupancy: (K,) its occupancies there.
        mobile_orbit: (K,) their symmetry classes, those of the crystal whatever the cell.
        mobile_radius: mean radius of the mobile ion over its symmetry-distinct sites (A); of six-fold coordination for
            a guest.
        alpha: how far the mobile ion is squeezed: min(1, mean over its symmetry-distinct sites of (distance to the
            nearest framework atom - its radius) / mobile radius).
        probe_radius: default probe for channels (A): CAVD's lower threshold (or the ionic radius) x 0.85 x alpha.
        rotations: (G, 3, 3) operations that map the framework onto itself.
        translations: (G, 3) their translations.
        warnings: those of the crystal and of the ion, and what leaving sites out may have done.
    """

    ion: MobileIon
    cell: NDArray[np.float64]
    source: str
    notes: tuple[str, ...]
    frac: NDArray[np.float64]
    radius: NDArray[np.float64]
    number: NDArray[np.int32]
    species: tuple[str, ...]
    charge: NDArray[np.float64]
    coordination: NDArray[np.int32]
    energy_frac: NDArray[np.float64]
    energy_number: NDArray[np.int32]
    energy_charge: NDArray[np.float64]
    energy_occupancy: NDArray[np.float64]
    mobile_frac: NDArray[np.float64]
    mobile_occupancy: NDArray[np.float64]
    mobile_orbit: NDArray[np.int32]
    mobile_radius: float
    alpha: float
    probe_radius: float
    rotations: NDArray[np.int32]
    translations: NDArray[np.float64]
    warnings: tuple[CrystalWarning, ...] = ()

    def __repr__(self) -> str:
        """Counts, not contents."""
        return (
            f"Framework({len(self.radius)} positions for {self.ion.symbol}, {len(self.mobile_frac)} mobile sites, "
            f"probe {self.probe_radius:.3f} A)"
        )


def build_framework(crystal: CrystalData, ion: MobileIon, radii: Radii) -> Framework:
    """See Crystal.framework."""
    notes, warnings = list(crystal.notes), [*crystal.warnings, *ion.warnings]
    mobile = crystal.number == ion.number
    if mobile.all():
        raise InputError(f"{crystal.source}: nothing is left without {ion.element}: there is no framework")
    if ion.guest:
        notes.append(f"{ion.symbol} is a guest: the crystal holds none, all of it is framework")
    shells = shells_of(crystal)
    coordination = shells.number
    rows = np.flatnonzero(~mobile)
    row_radius = _row_radii(crystal, rows, shells, radii, notes)
    kept, frac, radius = _tessellation_sites(crystal, rows, row_radius, radii, notes, warnings)
    if len(kept) == 0:
        raise DisorderError(
            f"{crystal.source}: every site beside {ion.element} is occupied by less than {_MIN_OCCUPANCY:g}: "
            "there is no framework"
        )
    dominant = np.array([m[0] if len(m) == 1 else m[crystal.occupancy[m].argmax()] for m in kept])
    charge = crystal.charge[dominant]
    for k, m in enumerate(kept):
        if len(m) > 1:
            charge[k] = np.average(crystal.charge[m], weights=crystal.occupancy[m])
    result = Framework(
        ion=ion,
        cell=crystal.cell,
        source=crystal.source,
        notes=(),
        frac=frac,
        radius=radius,
        number=crystal.number[dominant].astype(np.int32),
        species=tuple(
            species_name(z, q)
            for z, q in zip(crystal.number[dominant].tolist(), crystal.charge[dominant].tolist(), strict=True)
        ),
        charge=charge,
        coordination=coordination[crystal.position[dominant]].astype(np.int32),
        energy_frac=crystal.frac[rows],
        energy_number=crystal.number[rows],
        energy_charge=crystal.charge[rows],
        energy_occupancy=crystal.occupancy[rows],
        mobile_frac=crystal.frac[mobile],
        mobile_occupancy=crystal.occupancy[mobile],
        mobile_orbit=_orbits(crystal)[crystal.position[mobile]].astype(np.int32),
        mobile_radius=_mobile_radius(crystal, ion, shells, radii, notes),
        alpha=1.0,
        probe_radius=0.0,
        rotations=crystal.rotations,
        translations=crystal.translations,
    )
    alpha = _alpha(result, crystal, crystal.position[dominant])
    result = replace(result, alpha=alpha, probe_radius=_probe_radius(result, alpha, notes))
    result = _keep_symmetry(result, crystal, notes)
    for value in vars(result).values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return replace(result, notes=tuple(dict.fromkeys(notes)), warnings=merge_warnings(warnings))


def _row_radii(
    crystal: CrystalData, rows: NDArray[np.int64], shells: Shells, radii: Radii, notes: list[str]
) -> NDArray[np.float64]:
    """Radius of each of the rows (A); an array of radii is placed by _tessellation_sites instead."""
    if not isinstance(radii, str | Mapping):
        return np.zeros(len(rows))
    if isinstance(radii, str) and radii not in ("ionic", "effective", "atomic"):
        raise InputError(
            f'{crystal.source}: radii must be "ionic", "effective", "atomic", a mapping or an array, not {radii!r}'
        )
    known: dict[tuple[int, float, int], float] = {}

    def value(number: int, charge: float, shell: int) -> float:
        key = (number, charge, shell)
        if key not in known:
            found = _radius(*key, radii, crystal.source)
            if found.note:
                notes.append(found.note)
            if found.value < 0.0:
                notes.append(f"the negative radius of {species_name(number, charge)} is taken as 0")
            known[key] = max(found.value, 0.0)
        return known[key]

    out = np.empty(len(rows))
    positions = crystal.position[rows]
    at = positions.tolist()
    counts, charges = shells.number[positions].tolist(), np.round(crystal.charge[rows], 3).tolist()
    for row, (number, charge, shell) in enumerate(zip(crystal.number[rows].tolist(), charges, counts, strict=True)):
        if at[row] in shells.steps:
            out[row] = shells.between(at[row], partial(value, number, charge))
        else:
            out[row] = value(number, charge, shell)
    if shells.steps:
        _share_steps(crystal, rows, shells, out, notes)
    return out


def _share_steps(
    crystal: CrystalData, rows: NDArray[np.int64], shells: Shells, out: NDArray[np.float64], notes: list[str]
) -> None:
    """Equivalent positions at the edge of a shell get one radius, their mean, whatever the last digits are."""
    positions = crystal.position[rows]
    orbit = _orbits(crystal)[positions]
    unsure = np.isin(positions, list(shells.steps))
    order = np.argsort(orbit, kind="stable")
    labels = distinct(orbit[unsure])
    ends = np.stack([np.searchsorted(orbit[order], labels, side) for side in ("left", "right")], axis=1)
    for first, last in ends.tolist():
        members = order[first:last]
        names = sorted({crystal.label[rows[k]] for k in members.tolist()})
        steps = next(shells.steps[p] for p in positions[members].tolist() if p in shells.steps)
        notes.append(
            f"the coordination number of {names[0]} is between {steps[0][1]} and {steps[-1][1]}: so is its radius"
        )
        if len(members) == 1:
            continue
        kinds = np.stack([crystal.number[rows[members]], np.round(crystal.charge[rows[members]], 3)])
        for kind in np.unique(kinds, axis=1, return_index=True)[0].T:
            same = members[(kinds == kind[:, None]).all(axis=0)]
            out[same] = out[same].mean()


def _radius(number: int, charge: float, coordination: int, radii: str | Mapping[str, float], source: str) -> Radius:
    if isinstance(radii, Mapping):
        for name in (species_name(number, charge), symbol(number)):
            if name in radii:
                value = real(radii[name], f"{source}: the radius of {name}")
                if not math.isfinite(value) or value < 0.0:
                    raise InputError(f"{source}: the radius of {name} must be a number >= 0, not {value}")
                return Radius(value)
        raise InputError(
            f"{source}: radii has no entry for {species_name(number, charge)!r} or {symbol(number)!r}; add one"
        )
    try:
        if radii == "atomic":
            return atomic_radius(number)
        scale: Scale = "effective" if radii == "effective" else "crystal"
        return ionic_radius(number, charge, coordination, scale)
    except FastinError as error:
        raise type(error)(f"{source}: {error}") from None


def _tessellation_sites(
    crystal: CrystalData,
    rows: NDArray[np.int64],
    row_radius: NDArray[np.float64],
    radii: Radii,
    notes: list[str],
    warnings: list[CrystalWarning],
) -> tuple[list[NDArray[np.int64]], NDArray[np.float64], NDArray[np.float64]]:
    """Framework positions for the tessellation: rows of each, fractional position, radius."""
    held = crystal.position[rows]
    starts = np.concatenate([[True], held[1:] != held[:-1]])  # rows of one position follow each other
    positions, local, first = held[starts], np.cumsum(starts) - 1, np.flatnonzero(starts)
    total = sum_by(local, crystal.occupancy[rows])
    frac = np.ascontiguousarray(crystal.frac[rows[first]])
    if len(rows) == len(positions):
        radius = row_radius.copy()
        members = [rows[k : k + 1] for k in range(len(rows))]
    else:
        radius = sum_by(local, crystal.occupancy[rows] * row_radius) / total
        members = [rows[local == k] for k in range(len(positions))]
    if not isinstance(radii, str | Mapping):
        radius = _given_radii(radii, len(positions), crystal.source)
    if total.min() > 1.0 - 1e-9:
        return members, frac, radius
    keep = np.ones(len(positions), dtype=np.bool_)
    share = total.copy()
    for group in _split_groups(crystal.cell, frac, total):
        names = sorted({crystal.label[members[k][0]] for k in group})
        best = group[int(np.argmax(total[group]))]
        tied = group[np.abs(total[group] - total[best]) < 1e-3]
        if len(tied) > 1:  # equal alternatives: none wins, their mean keeps the symmetry
            delta = frac[tied] - frac[best]
            delta -= np.rint(delta)
            frac[best] = (frac[best] + delta.mean(axis=0)) % 1.0
            radius[best] = radius[tied].mean()
        share[best] = total[group].sum()
        keep[group] = False
        keep[best] = True
        notes.append(f"split sites {', '.join(names)} are one position in the tessellation")
    faint = keep & (share < _MIN_OCCUPANCY)
    if faint.any():
        dominant = np.array([crystal.number[m[crystal.occupancy[m].argmax()]] for m in members])
        rescued = _only_alternatives(crystal.cell, frac, dominant, share, keep, faint)
        if rescued.any():
            names = sorted({crystal.label[members[k][0]] for k in np.flatnonzero(rescued)})
            text = (
                f"sites {', '.join(names)}, occupied by less than {_MIN_OCCUPANCY:g}, are the only places of their "
                "atoms: all are obstacles in the tessellation, radii are lower bounds"
            )
            notes.append(text)
            warnings.append(CrystalWarning("framework-smeared", text, names[0]))
            faint &= ~rescued
    if faint.any():
        others = np.flatnonzero(
            np.bincount(rows, minlength=len(crystal.number)) == 0
        )  # the mobile ion: on its positions it is not lost
        lost = float(share[faint & ~np.isin(positions, crystal.position[others])].sum() / total.sum())
        names = sorted({crystal.label[members[k][0]] for k in np.flatnonzero(faint)})
        listed = ", ".join(names)
        text = f"sites {listed}, occupied by less than {_MIN_OCCUPANCY:g}, are ignored by the tessellation"
        notes.append(text)
        if lost > _MOST_DROPPED:
            text += f": {100 * lost:.1f} % of the framework"
            warnings.append(CrystalWarning("framework-dropped", text, names[0]))
        keep &= ~faint
    kept = np.flatnonzero(keep)
    return [members[k] for k in kept], frac[kept], radius[kept]


def _only_alternatives(
    cell: NDArray[np.float64],
    frac: NDArray[np.float64],
    number: NDArray[np.int32],
    share: NDArray[np.float64],
    keep: NDArray[np.bool_],
    faint: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Faint positions whose atoms would vanish: chains of near positions of one element, most of it on faint ones."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    offsets, index, distance = _core.neighbours(cell, frac, _ALTERNATIVES)
    source = np.repeat(np.arange(len(frac)), np.diff(offsets))
    near = keep[source] & keep[index] & (number[source] == number[index]) & (distance > 0.0)
    near &= (share[source] < _PARTIAL) & (share[index] < _PARTIAL)
    links = coo_array((np.ones(int(near.sum())), (source[near], index[near])), shape=(len(frac), len(frac)))
    _, cluster = connected_components(links, directed=False)
    dropped, held = sum_by(cluster, share * faint), sum_by(cluster, share * (keep & ~faint))
    lost: NDArray[np.bool_] = faint & (dropped > held)[cluster] & (dropped > _RESCUE)[cluster]
    return lost


def _given_radii(radii: Any, count: int, source: str) -> NDArray[np.float64]:
    values = real_array(radii, f"{source}: radii, where no mapping or name,").reshape(-1)
    if len(values) != count:
        raise InputError(f"{source}: radii has {len(values)} values for {count} framework positions")
    if not np.isfinite(values).all() or values.min() < 0.0:
        raise InputError(f"{source}: radii must be finite and not negative")
    return values


def _split_groups(
    cell: NDArray[np.float64], frac: NDArray[np.float64], total: NDArray[np.float64]
) -> list[NDArray[np.int64]]:
    """Sets of positions, each within 0.8 A of another of its set, that together hold one atom at most."""
    offsets, index, distance = _core.neighbours(cell, frac, SPLIT)
    source = np.repeat(np.arange(len(frac)), np.diff(offsets))
    pairs = (index > source) & (total[source] + total[index] <= _EXCLUSIVE)
    if not pairs.any():
        return []
    group = list(range(len(frac)))
    occupancy = total.tolist()
    order = np.argsort(distance[pairs], kind="stable")
    for i, j in zip(source[pairs][order].tolist(), index[pairs][order].tolist(), strict=True):
        a, b = group[i], group[j]
        if a == b or occupancy[a] + occupancy[b] > _EXCLUSIVE:
            continue
        occupancy[a] += occupancy[b]
        group = [a if g == b else g for g in group]
    labels = np.array(group)
    return [np.flatnonzero(labels == g) for g in distinct(labels) if (labels == g).sum() > 1]


def _mobile_radius(crystal: CrystalData, ion: MobileIon, shells: Shells, radii: Radii, notes: list[str]) -> float:
    rule = radii if isinstance(radii, str) and radii in ("effective", "atomic") else "ionic"

    def value(shell: int) -> float:
        found = _radius(ion.number, float(ion.charge), shell, rule, crystal.source)
        if found.note:
            notes.append(found.note)
        return found.value

    positions = crystal.position[crystal.number == ion.number]
    if len(positions) == 0:
        return value(6)
    return _mean_of_orbits(crystal, positions, np.array([shells.between(p, value) for p in positions.tolist()]))


def _alpha(framework: Framework, crystal: CrystalData, positions: NDArray[np.int64]) -> float:
    """See `Framework.alpha`; `positions` are the crystal's positions that the framework's stand for."""
    if framework.ion.guest or framework.mobile_radius <= 0.0:
        return 1.0
    mobile = crystal.position[crystal.number == framework.ion.number]
    count = len(mobile)
    gaps = np.full(count, math.inf)

    def look(
        lists: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
        rows: NDArray[np.int64],
        place: NDArray[np.int64],
        cutoff: float,
    ) -> None:
        """Gaps to framework atoms by neighbour lists: rows of the mobile ions, framework number or -1 of each index."""
        offsets, index, distance = lists
        number = offsets[rows + 1] - offsets[rows]
        source = np.repeat(np.arange(count), number)
        pair = ranges(offsets[rows], number)
        at = (place[index[pair]] >= 0) & (distance[pair] > TOO_NEAR)
        pair, source = pair[at], source[at]
        nearest = np.full(count, math.inf)
        np.minimum.at(nearest, source, distance[pair])
        near = distance[pair] <= np.minimum(nearest, cutoff)[source] + _TIE  # of atoms equally near, the largest
        pair, source = pair[near], source[near]
        np.minimum.at(gaps, source, distance[pair] - framework.radius[place[index[pair]]])
        gaps[nearest > cutoff] = math.inf

    cutoff = _NEAREST
    if np.array_equal(framework.frac, crystal.frac[crystal.first_rows[positions]]):  # none was merged or moved
        place = np.full(crystal.num_positions, -1)
        place[positions] = np.arange(len(positions))
        cutoff = NEIGHBOUR_CUTOFF - _TIE
        look(crystal.neighbours, mobile, place, cutoff)
    both = np.ascontiguousarray(np.concatenate([crystal.frac[crystal.first_rows[mobile]], framework.frac]))
    while cutoff < 80.0 and np.isinf(gaps).any():
        place = np.arange(len(both)) - count
        look(_core.neighbours(framework.cell, both, cutoff + _TIE), np.arange(count), place, cutoff)
        cutoff *= 2.0
    held = np.isfinite(gaps)
    if not held.any():
        return 1.0
    mean = _mean_of_orbits(crystal, mobile[held], gaps[held]) / framework.mobile_radius
    return min(1.0, max(mean, 0.0))


def _orbits(crystal: CrystalData) -> NDArray[np.int64]:
    """Symmetry class of every position."""
    return crystal.orbit if len(crystal.orbit) else np.arange(crystal.num_positions)


def _mean_of_orbits(crystal: CrystalData, positions: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """Mean over the symmetry classes of the positions of each one's mean: the same for any order and supercell."""
    _, which = np.unique(_orbits(crystal)[positions], return_inverse=True)
    which = which.reshape(-1)
    return float((sum_by(which, values) / np.bincount(which)).mean())


def _probe_radius(framework: Framework, alpha: float, notes: list[str]) -> float:
    base = CAVD_THRESHOLDS.get(framework.ion.element)
    if base is None:
        base = framework.mobile_radius
        notes.append(f"no threshold is known for {framework.ion.symbol}: the probe is 0.85 of its radius x alpha")
    return _PROBE_SHARE * base * alpha


def _keep_symmetry(framework: Framework, crystal: CrystalData, notes: list[str]) -> Framework:
    """Drops operations that a choice between split sites has broken."""
    if len(framework.frac) == len(distinct(crystal.position[crystal.number != framework.ion.number])):
        return framework
    tolerance = 0.05  # A
    good = []
    for rotation, translation in zip(framework.rotations, framework.translations, strict=True):
        images = framework.frac @ rotation.T + translation
        delta = images[:, None, :] - framework.frac[None, :, :]
        delta -= np.rint(delta)
        distance = np.linalg.norm(delta @ framework.cell, axis=2)
        partner = distance.argmin(axis=1)
        moved = distance[np.arange(len(partner)), partner].max() > tolerance
        good.append(not moved and bool(np.abs(framework.radius[partner] - framework.radius).max() < 1e-3))
    if all(good):
        return framework
    chosen = np.flatnonzero(good)
    notes.append(f"split sites break the symmetry: {len(chosen)} of {len(good)} operations are used")
    return replace(framework, rotations=framework.rotations[chosen], translations=framework.translations[chosen])

"""Species that share the mobile ion's own positions: dopants on its sublattice, mixed sites.

Positions that hold the mobile ion are its sites. Where another species sits on one of them (or within 0.8 A of it, as
an alternative), it is not there when the ion is; taken into the energy with its occupancy it would push the ion off its
own site by the repulsion of two ions on one point. So it is left out of the energy. What it does to the ion is to block
its share of the sites: as long as fewer are blocked than percolation of sites allows, the ion finds its way over the
others, with the barrier of the undoped crystal. Against ordered cells (bench/shared_sites.py) this holds within 0.12 eV
up to an eighth of the sites for Na in Li3OCl and for Al in cubic Li7La3Zr2O12, and for the one-dimensional barrier of
Li3xLa2/3-xTiO3; beyond, ordered cells have higher barriers in two and three dimensions, and so where each site has four
neighbours or fewer (mixed spinels). There `fastin.bvse.choices` averages over explicit choices, each with a landscape
of its own. `TransportNetwork.blocked_barriers` only blocks the positions on the network: where the ion is shut in.

Where less than 0.3 of a position is free of the other species (the threshold of site percolation is 0.31 on the simple
cubic lattice: D. Stauffer and A. Aharony, Introduction to Percolation Theory, 1994) the position belongs to the other
species, which counts in full: an antisite ion opens no channel through the cations that it replaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.elements import species_name
from fastin.crystal.framework import SPLIT
from fastin.crystal.warnings import CrystalWarning
from fastin.runtime.arrays import sum_by

if TYPE_CHECKING:
    from fastin.crystal.crystal import Crystal
    from fastin.crystal.ions import MobileIon

_LEAST_FREE = 0.3  # share of a position that must be free of other species for the ion to pass over it
_EXCLUSIVE = 1.05  # total occupancy up to which near positions are alternatives of one ion
_MUCH = 0.125  # blocked share from which ordered cells have clearly higher barriers


def _partners(crystal: Crystal, ion: MobileIon) -> tuple[NDArray[np.float64], list[tuple[int, NDArray[np.int64]]]]:
    """Share of each ion row's position that others hold; rows of the others with the ion rows that they touch."""
    own = crystal.number == ion.number
    like = ~own & (crystal.charge * ion.charge > 0)
    blocked = np.zeros(int(own.sum()))
    partners: list[tuple[int, NDArray[np.int64]]] = []
    if not own.any() or not like.any() or crystal.occupancy[like].min() > 1.0 - 1e-6:
        return blocked, partners
    ion_frac, ion_position = crystal.frac[own], crystal.position[own]
    held = sum_by(crystal.position, crystal.occupancy * own)
    other = sum_by(crystal.position, crystal.occupancy * like)
    near = np.indices((3, 3, 3)).reshape(3, -1).T[:, None] - 1
    for row in np.flatnonzero(like & (crystal.occupancy < 1.0 - 1e-6)):
        gap = crystal.frac[row] - ion_frac
        distance = np.linalg.norm((gap - np.round(gap) + near) @ crystal.cell, axis=2).min(axis=0)
        same = ion_position == crystal.position[row]
        apart = ~same & (distance < SPLIT) & (held[ion_position] + other[crystal.position[row]] <= _EXCLUSIVE)
        found = np.flatnonzero(same | apart)
        if len(found):
            blocked[found] += crystal.occupancy[row]
            partners.append((int(row), found))
    return blocked, partners


def sharing_rows(crystal: Crystal, ion: MobileIon) -> NDArray[np.bool_]:
    """Rows of the crystal that share a position of the ion, like-charged and on a position that is free enough.

    Args:
        crystal: with oxidation states.
        ion: the mobile ion.
    """
    known: dict[Any, NDArray[np.bool_]] = vars(crystal).setdefault("_sharing_rows", {})
    key = (ion.number, ion.charge)
    if key not in known:  # asked for by the field, its warnings and the graph
        sharing = np.zeros(len(crystal.number), dtype=np.bool_)
        sharing[[row for row, _ in sharing_partners(crystal, ion)]] = True
        sharing.setflags(write=False)
        known[key] = sharing
    return known[key]


def sharing_partners(crystal: Crystal, ion: MobileIon) -> list[tuple[int, NDArray[np.int64]]]:
    """`sharing_rows` by number, each with the rows of the ion (counted among those) that it excludes."""
    blocked, partners = _partners(crystal, ion)
    return [(row, found) for row, found in partners if (1.0 - blocked[found] >= _LEAST_FREE).any()]


def blocked_shares(crystal: Crystal, ion: MobileIon) -> NDArray[np.float64]:
    """(K,) how often each position of the ion, in the crystal's order, is held by a species that shares it."""
    blocked, partners = _partners(crystal, ion)
    shares: NDArray[np.float64] = np.clip(blocked, 0.0, 1.0) if partners else blocked
    return shares


def sharing_warnings(crystal: Crystal, ion: MobileIon, sharing: NDArray[np.bool_]) -> list[CrystalWarning]:
    """What is left out, one warning for all, and which positions of the ion count as another species'."""
    taken = _taken_warnings(crystal, ion)
    if not sharing.any():
        return taken
    ions = float(crystal.occupancy[crystal.number == ion.number].sum())
    names: dict[str, float] = {}
    for row in np.flatnonzero(sharing):
        name = species_name(int(crystal.number[row]), float(crystal.charge[row]))
        names[name] = names.get(name, 0.0) + float(crystal.occupancy[row])
    listed = ", ".join(f"{name} ({amount:.3g} a cell beside {ions:.3g} {ion.symbol})" for name, amount in names.items())
    share = sum(names.values()) / (sum(names.values()) + ions)
    text = f"{listed} on positions of {ion.symbol}: left out of the energy, where the ion is they are not"
    if share > _MUCH:
        text += "; so many change the ways of the others: take explicit choices (fastin barriers --choices 5)"
    where = ", ".join(dict.fromkeys(crystal.label[int(row)] for row in np.flatnonzero(sharing)))
    return [CrystalWarning("ion-shared-site", text, where), *taken]


def _taken_warnings(crystal: Crystal, ion: MobileIon) -> list[CrystalWarning]:
    """Said where much of the ion sits on positions that belong to another species, which counts in full there."""
    blocked, partners = _partners(crystal, ion)
    taken = 1.0 - blocked < _LEAST_FREE
    own = crystal.number == ion.number
    amount = crystal.occupancy[own]
    share = float(amount[taken].sum()) / float(amount.sum()) if len(partners) else 0.0
    if share <= _MUCH:
        return []
    rows = [row for row, found in partners if taken[found].any()]
    names = ", ".join(dict.fromkeys(species_name(int(crystal.number[row]), float(crystal.charge[row])) for row in rows))
    labels = ", ".join(dict.fromkeys(crystal.label[int(row)] for row in np.flatnonzero(own)[taken]))
    text = (
        f"positions with {100 * share:.0f} % of the {ion.symbol} belong to {names}, which fills over "
        f"{100 * (1 - _LEAST_FREE):.0f} % of each: it counts in full there, and the ways found lead past them"
    )
    return [CrystalWarning("ion-shared-site", text, labels)]

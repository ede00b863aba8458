"""What the bond valence tables say of a mobile ion beside each framework atom: constants of the pair, as inputs.

The same constants that `fastin.bvse.field` puts into its energy (``spse`` convention), for the atoms of a graph:

==========  =====================================================================================================
depth       D0 / 2 of the Morse term of a counter-ion, eV; 0 for like charges
rmin        its minimum, angstrom; 0 for like charges
alpha       1 / b, 1/angstrom; 0 for like charges
strength    s 14.4 |q q'| / sqrt(n n') of the screened Coulomb term of a like charge, eV angstrom; 0 for counter-ions
screening   f (r + r'), angstrom; 0 for counter-ions
known       1 where the tables hold (or derive) the pair, else 0 and so are the others
==========  =====================================================================================================

The factor s is taken over the whole crystal, whose mobile ions follow from neutrality. They are constants of pairs, as
ionic radii are constants of ions: no landscape is computed, and a pair without parameters is no error here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.bvse.pairs import COULOMB, element, softbv_radius
from fastin.bvse.parameters import pair_mixture
from fastin.crystal.element_features import element_table
from fastin.errors import FastinError

#: Constants of a pair and their units, in the order of the columns.
TERMS = {"depth": "eV", "rmin": "angstrom", "alpha": "1/angstrom", "strength": "eV angstrom"} | {
    "screening": "angstrom",
    "known": "",
}
_STRENGTH = list(TERMS).index("strength")
_SCREENING = 0.74  # f of `fastin.bvse.field.build_field`
_MOST = 1000.0  # eV; as the energy itself is cut
#: eV; energies are compressed by asinh(E / this) as inputs: linear in the wells, logarithmic on the Morse wall.
ENERGY_SCALE = 1.25
LINEAR = 3.0  # eV; as a learned level, a sum above this counts as its logarithm
SOFT = 0.1  # eV over which a bottleneck's level turns into that of its higher void

Floats = NDArray[np.float64]


@lru_cache(maxsize=256)
def parse_ion(name: str) -> tuple[int, float]:
    """Atomic number and charge of ``"Li+"``, ``"O2-"``."""
    symbol = name.rstrip("+-.0123456789")
    rest = name[len(symbol) :]
    size = float(rest[:-1]) if len(rest) > 1 else 1.0
    return element_table().symbol.index(symbol), size if rest.endswith("+") else -size


@lru_cache(maxsize=65536)
def _terms_of(ion: str, number: int, charge: float) -> tuple[float, float, float, float, float, float]:
    """`TERMS` of one species, the strength without the crystal's factor."""
    ion_number, ion_charge = parse_ion(ion)
    try:
        if charge * ion_charge > 0:
            mobile, other = element(ion_number), element(number)
            strength = COULOMB * abs(ion_charge * charge) / sqrt(mobile.n * other.n)
            radii = softbv_radius(ion_number, ion_charge) + softbv_radius(number, charge)
            return 0.0, 0.0, 0.0, strength, _SCREENING * radii, 1.0
        symbols = element(ion_number).symbol, element(number).symbol
        if ion_charge > 0:
            mixture = pair_mixture(symbols[0], ion_charge, symbols[1], charge)
        else:
            mixture = pair_mixture(symbols[1], charge, symbols[0], ion_charge)
    except (FastinError, KeyError):
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    total = sum(w for _, w in mixture)
    depth = 0.5 * sum(w * pair.d0 for pair, w in mixture)
    rmin = sum(w * pair.rmin for pair, w in mixture) / total
    alpha = sum(w / pair.b for pair, w in mixture) / total
    return depth, rmin, alpha, 0.0, 0.0, 1.0


@lru_cache(maxsize=512)
def _root(number: int) -> float:
    try:
        return sqrt(element(number).n)
    except (FastinError, KeyError):
        return 1.0


def pair_terms(ions: NDArray[np.str_], number: NDArray[np.int16], charge: Floats, pointer: NDArray[np.int64]) -> Floats:
    """(N, 6) columns `TERMS` of the framework atoms of several structures.

    Args:
        ions: (G,) mobile ion of each structure, e.g. ``"Li+"``.
        number: (N,) atomic numbers.
        charge: (N,) oxidation states.
        pointer: (G + 1,) first atom of each structure.
    """
    of = np.repeat(np.arange(len(ions)), np.diff(pointer))
    names, which = np.unique(np.asarray(ions, np.str_), return_inverse=True)
    q = np.round(np.asarray(charge, np.float64), 6)
    code = ((which[of] * 256 + np.asarray(number, np.int64)) << 32) + np.rint(q * 1e6).astype(np.int64)
    _, first, kind = np.unique(code, return_index=True, return_inverse=True)
    keys = [(str(names[which[of[k]]]), int(number[k]), float(q[k])) for k in first]
    table = np.array([_terms_of(*key) for key in keys]).reshape(-1, len(TERMS))
    roots = np.array([_root(z) for _, z, _ in keys])
    out = table[kind]
    ion_charge = np.array([parse_ion(str(name))[1] for name in names])
    ion_root = np.array([_root(parse_ion(str(name))[0]) for name in names])
    own, sign = ion_charge[which], np.sign(ion_charge[which])[of]
    weighted = np.abs(q) / roots[kind]
    count = len(ions)
    like = np.bincount(of, weighted * (q * sign > 0), count)
    counter = np.bincount(of, weighted * (q * sign < 0), count)
    # The mobile ions balance the framework; a surplus of the wrong sign (no neutral crystal) adds none.
    like += np.maximum(-np.bincount(of, q, count) * np.sign(own), 0.0) / ion_root[which]
    scale = np.divide(counter, like, out=np.ones(count), where=like > 0)
    out[:, _STRENGTH] *= scale[of]
    return out


def pairs_known(ion: str, number: NDArray[Any], charge: NDArray[Any]) -> bool:
    """Whether the tables know the pair of the ion with every one of these atoms."""
    species = set(zip(np.asarray(number).tolist(), np.round(np.asarray(charge, np.float64), 6).tolist(), strict=True))
    return all(_terms_of(ion, int(z), float(q))[-1] > 0 for z, q in species)


def _erfc(x: Floats) -> Floats:
    """Complementary error function of x >= 0 to 2e-7 (C. Hastings, 1955; Abramowitz and Stegun 7.1.26)."""
    t = 1.0 / (1.0 + 0.3275911 * x)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    out: Floats = series * np.exp(-x * x)
    return out


def point_sums(terms: Floats, neighbour: NDArray[np.int64], distance: Floats) -> NDArray[np.float32]:
    """(P, 2) Morse and Coulomb sums (eV, float32) over the nearest atoms of points.

    Args:
        terms: (N, 6) of the framework atoms.
        neighbour: (P, k) atoms.
        distance: (P, k) angstrom.
    """
    out: NDArray[np.float32] = np.zeros((len(neighbour), 2), np.float32)
    chunk = 1 << 16
    for first in range(0, len(neighbour), chunk):
        part = slice(first, first + chunk)
        depth, rmin, alpha, strength, screening, _ = np.moveaxis(terms[neighbour[part]], -1, 0)
        r = np.asarray(distance[part], np.float64)
        morse = depth * ((np.exp(np.minimum(alpha * (rmin - r), 20.0)) - 1.0) ** 2 - 1.0)
        coulomb = strength / np.maximum(r, 0.1) * _erfc(r / np.where(screening > 0, screening, 1.0))
        out[part, 0], out[part, 1] = morse.sum(axis=1), coulomb.sum(axis=1)
    out = np.clip(out, np.float32(-_MOST), np.float32(_MOST))
    return out


def graph_pairs(
    ions: NDArray[np.str_], pointers: Mapping[str, NDArray[np.int64]], arrays: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[np.float32]]:
    """Pair constants of the atoms and sums at the points of the structures of a `fastin.ml.store.GraphStore`.

    A structure with one atom whose pair is not known has zeros everywhere: half of a sum would be wrong.

    Returns:
        ``atom_terms`` (N, 6), ``site_pair`` (n, 2) and ``edge_pair`` (E, 2), float32.
    """
    atoms = pointers["atom"]
    terms = pair_terms(ions, arrays["atom_number"], arrays["atom_charge"], atoms)
    of = np.repeat(np.arange(len(ions)), np.diff(atoms))
    unknown = np.bincount(of, terms[:, -1] == 0, len(ions)) > 0
    terms[unknown[of]] = 0.0
    neighbour = [
        arrays[f"{group}_neighbour"] + np.repeat(atoms[:-1], np.diff(pointers[group]))[:, None]
        for group in ("site", "edge")
    ]
    distance = np.concatenate([arrays["site_distance"], arrays["edge_distance"]])
    sums = point_sums(terms, np.concatenate(neighbour), distance)
    sites = len(neighbour[0])
    return {"atom_terms": terms.astype(np.float32), "site_pair": sums[:sites], "edge_pair": sums[sites:]}

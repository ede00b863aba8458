"""What of a transport network does not depend on the choice of the cell, and the same crystal in other cells."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import spglib
from pymatgen.core import Structure
from scipy.optimize import linear_sum_assignment

from fastin.transport.network import TransportNetwork

ENERGY, LENGTH, DIFFUSIVITY = 2e-3, 0.05, 1e-3
MECHANISMS = ("vacancy", "interstitial", "exchange")
Signature = dict[str, np.ndarray]


def signature(paths: TransportNetwork) -> Signature:
    """What does not depend on the cell: one row a class, and the diffusivity."""
    crystal = paths.crystal
    cells = sum(1 for r in crystal.rotations if (r == np.eye(3)).all())
    hops: dict[int, list[int]] = {}
    for h, orbit in enumerate(paths.hop_orbit.tolist()):
        hops.setdefault(orbit, []).append(h)
    rows = []
    for members in hops.values():
        h = members[0]
        ends = np.sort(paths.site_energy[paths.hop_index[:, h]])
        rows.append([paths.hop_energy[h], *ends, paths.hop_length[h], len(members) / cells])
    sites = [
        [paths.site_energy[paths.site_orbit == o][0], np.sum(paths.site_orbit == o) / cells]
        for o in np.unique(paths.site_orbit)
    ]
    out = {"sites": np.array(sites), "hops": np.array(rows)}
    for mechanism in MECHANISMS:
        legs = paths.legs(mechanism) if len(paths.positions) or mechanism == "interstitial" else ()
        out[mechanism] = np.array(
            [
                [x.energy, *sorted((x.barrier, x.barrier_backward)), x.length, x.multiplicity / cells]
                + [float(d in x.opens) for d in (1, 2, 3)]
                for x in legs
            ]
        )
    if len(paths.conducting_sites):
        out["D"] = np.linalg.eigvalsh(paths.diffusivity(600.0))
    return out


TOLERANCES = {
    "sites": [ENERGY, 1e-6],
    "hops": [ENERGY, ENERGY, ENERGY, LENGTH, 1e-6],
    **{name: [ENERGY, ENERGY, ENERGY, 2 * LENGTH, 1e-6, 0.5, 0.5, 0.5] for name in MECHANISMS},
}


def differences(a: Signature, b: Signature) -> list[str]:
    """Names of what differs."""
    out = []
    for name, tolerance in TOLERANCES.items():
        if len(a[name]) != len(b[name]) or (len(a[name]) and not paired(a[name], b[name], np.array(tolerance))):
            out.append(name)
    apart = ("D" in a) != ("D" in b)
    if "D" in a and "D" in b:
        apart = bool(np.abs(a["D"] - b["D"]).max() > DIFFUSIVITY * np.abs(a["D"]).max())
    return [*out, "D"] if apart else out


def paired(a: np.ndarray, b: np.ndarray, tolerance: np.ndarray) -> bool:
    """Whether the rows can be put side by side."""
    far = (np.abs(a[:, None, :] - b[None]) > tolerance).any(axis=2)
    rows, columns = linear_sum_assignment(far)
    return not far[rows, columns].any()


def standard(structure: Structure, *, to_primitive: bool) -> Structure:
    """Spglib's standard cell, with the positions as they are: idealising them changes energies by some meV."""
    species = list(dict.fromkeys(site.specie for site in structure))
    numbers = [species.index(site.specie) + 1 for site in structure]
    cell = (structure.lattice.matrix, structure.frac_coords, numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the error handling to come
        found = spglib.standardize_cell(cell, to_primitive=to_primitive, no_idealize=True, symprec=0.01)
    if found is None:
        return structure
    lattice, frac, kinds = found
    return Structure(lattice, [species[k - 1] for k in kinds], frac)


def variants(structure: Structure, rng: np.random.Generator) -> Iterator[tuple[str, Structure]]:
    """The same crystal in other cells."""
    moved = structure.copy()
    moved.translate_sites(list(range(len(moved))), rng.random(3), to_unit_cell=True)
    yield "origin", moved
    yield "order", Structure.from_sites([structure[int(k)] for k in rng.permutation(len(structure))])
    yield "primitive", standard(structure, to_primitive=True)
    yield "conventional", standard(structure, to_primitive=False)
    axis = int(rng.integers(3))
    yield "supercell 2", structure * [1 + (k == axis) for k in range(3)]
    yield "supercell 2 x 2", structure * [1 + (k != axis) for k in range(3)]

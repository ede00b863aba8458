"""Networks as structures for viewers: voids and bottlenecks as dummy atoms in CIF and VASP files."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from fastin.network.data import NetworkData

# Points of a CIF closer than this are one, angstrom (readers merge sites at 1e-4 to 1e-2 of fractional coordinates).
_SAME_POINT = 0.05


def _element(species: str) -> str:
    """The element of a species: O of O2-."""
    match = re.match(r"[A-Z][a-z]?", species)
    return match.group(0) if match else "X"


def wrapped(frac: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Points in [0, 1)."""
    inside = np.mod(np.asarray(frac, dtype=np.float64), 1.0)
    return np.asarray(np.where(inside >= 1.0, 0.0, inside))


def to_cif(network: NetworkData) -> str:
    """P1 CIF: framework, voids (V1, V2, ...) and bottlenecks (B1, ...) as dummy atoms X, each with its radius.

    The radius stands in ``_atom_site_fastin_radius`` (angstrom); dummy atoms carry ``_atom_site_calc_flag dum``, as the
    CIF core dictionary has it. A bottleneck at the end of its edge coincides with the void (or another bottleneck): it
    is left out, because readers take two atoms on one position for an overfull site.
    """
    cell = np.asarray(network.cell, dtype=np.float64)
    lengths = np.linalg.norm(cell, axis=1)
    cosines = [cell[i] @ cell[j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    angles = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))
    lines = [
        "# framework, voids and bottlenecks of an interstitial network, written by fastin",
        "data_interstitial_network",
        *(f"_cell_length_{k} {v:.8f}" for k, v in zip("abc", lengths, strict=True)),
        *(f"_cell_angle_{k} {v:.8f}" for k, v in zip(("alpha", "beta", "gamma"), angles, strict=True)),
        "_space_group_name_H-M_alt 'P 1'",
        "_space_group_IT_number 1",
        "loop_",
        "_space_group_symop_operation_xyz",
        "'x, y, z'",
        "loop_",
        *(f"_atom_site_{name}" for name in ("label", "type_symbol", "fract_x", "fract_y", "fract_z")),
        *(f"_atom_site_{name}" for name in ("occupancy", "calc_flag", "fastin_radius")),
    ]
    framework = network.framework
    counts: dict[str, int] = {}
    for species, frac, radius in zip(framework.species, wrapped(framework.frac), framework.radius, strict=True):
        element = _element(species)
        counts[element] = counts.get(element, 0) + 1
        lines.append(_cif_row(f"{element}{counts[element]}", element, frac, "d", radius))
    site_frac, neck_frac = wrapped(network.site_frac), wrapped(network.edge_bottleneck_frac)
    for n, (frac, radius) in enumerate(zip(site_frac, network.site_radius, strict=True), 1):
        lines.append(_cif_row(f"V{n}", "X", frac, "dum", radius))
    distinct = _distinct(np.vstack([site_frac, neck_frac]), cell)[len(site_frac) :]
    for n, (frac, radius) in enumerate(zip(neck_frac, network.edge_bottleneck_radius, strict=True), 1):
        if distinct[n - 1]:
            lines.append(_cif_row(f"B{n}", "X", frac, "dum", radius))
    return "\n".join(lines) + "\n"


def _distinct(frac: npt.NDArray[np.float64], cell: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Mask of the points that no earlier point is within `_SAME_POINT` of, modulo the lattice."""
    keep = np.ones(len(frac), dtype=np.bool_)
    for n in range(1, len(frac)):
        step = frac[:n] - frac[n]
        step -= np.round(step)
        keep[n] = not (np.linalg.norm(step @ cell, axis=1) < _SAME_POINT).any()
    return keep


def _cif_row(label: str, symbol: str, frac: npt.NDArray[np.float64], flag: str, radius: float) -> str:
    x, y, z = frac
    return f"{label} {symbol} {x:.10f} {y:.10f} {z:.10f} 1 {flag} {float(radius):.6f}"


def to_vasp(network: NetworkData) -> str:
    """POSCAR: framework atoms, voids as He, bottlenecks as Ne; behind each position its radius and symbol."""
    framework = network.framework
    groups: dict[str, list[tuple[npt.NDArray[np.float64], float]]] = {}
    for species, frac, radius in zip(framework.species, wrapped(framework.frac), framework.radius, strict=True):
        groups.setdefault(_element(species), []).append((frac, float(radius)))
    voids = [(f, float(r)) for f, r in zip(wrapped(network.site_frac), network.site_radius, strict=True)]
    necks = zip(wrapped(network.edge_bottleneck_frac), network.edge_bottleneck_radius, strict=True)
    blocks = [*groups.items(), ("He", voids), ("Ne", [(f, float(r)) for f, r in necks])]
    blocks = [(symbol, rows) for symbol, rows in blocks if rows]
    lines = [
        f"interstitial network of {network.ion}: He = voids, Ne = bottlenecks, written by fastin",
        "1.0",
        *(" ".join(f"{v: .12f}" for v in vector) for vector in np.asarray(network.cell)),
        " ".join(symbol for symbol, _ in blocks),
        " ".join(str(len(rows)) for _, rows in blocks),
        "Direct",
    ]
    for symbol, rows in blocks:
        lines += [f"{f[0]:.12f} {f[1]:.12f} {f[2]:.12f} {r:.6f} {symbol}" for f, r in rows]
    return "\n".join(lines) + "\n"

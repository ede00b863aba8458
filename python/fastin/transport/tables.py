"""Rows of a transport network: inequivalent sites and hops, plain dictionaries, cells for notebooks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastin.crystal.warnings import CrystalWarning
from fastin.transport.parts import FloatArray, Hops, Ints, Sites

if TYPE_CHECKING:
    from fastin.bvse.barriers import Barriers
    from fastin.crystal.ions import MobileIon
    from fastin.transport.profiles import TransportPath

#: Columns of `hop_rows`.
HOP_COLUMNS = ("kind", "in cell", "sites", "barrier, eV", "back, eV", "length, Å", "clearance, Å", "path")


class _Network(Protocol):
    """What `to_dict` writes."""

    @property
    def source(self) -> str: ...
    @property
    def ion(self) -> MobileIon: ...
    @property
    def cell(self) -> FloatArray: ...
    @property
    def energy_cutoff(self) -> float: ...
    @property
    def zero_energy(self) -> float: ...
    @property
    def barriers(self) -> Barriers: ...
    @property
    def sites(self) -> Sites: ...
    @property
    def hops(self) -> Hops: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def warnings(self) -> tuple[CrystalWarning, ...]: ...
    def recovery(self) -> float: ...
    def site_classes(self) -> list[dict[str, Any]]: ...
    def hop_classes(self) -> list[dict[str, Any]]: ...
    def path(self, dimensions: int) -> TransportPath | None: ...


def site_classes(sites: Sites, wyckoff: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each kind of site: class, multiplicity, position, energy, clearance, what is there."""
    rows = []
    labels, first, counts = np.unique(sites.orbit, return_index=True, return_counts=True)
    for label, i, count in zip(labels.tolist(), first.tolist(), counts.tolist(), strict=True):
        rows.append(
            {
                "class": label,
                "multiplicity": count,
                "wyckoff": wyckoff[i],
                "frac": sites.frac[i].tolist(),
                "energy_eV": float(sites.energy[i]),
                "radius_A": float(sites.radius[i]),
                "occupancy": float(sites.occupancy[i]),
                "crystallographic": bool(sites.mobile[i] >= 0),
                "distance_to_position_A": float(sites.mobile_distance[i]),
            }
        )
    return rows


def hop_classes(hops: Hops, sites: Sites, dimensions: Ints) -> list[dict[str, Any]]:
    """One row for each kind of hop, cheapest saddle first.

    Args:
        hops: the hops.
        sites: the sites that they join.
        dimensions: (H,) smallest number of dimensions that a hop of the kind helps to open; 0 for none.
    """
    rows = []
    labels, first, counts = np.unique(hops.orbit, return_index=True, return_counts=True)
    order = np.argsort(first, kind="stable")  # hops are sorted by energy
    for label, h, count in zip(labels[order].tolist(), first[order].tolist(), counts[order].tolist(), strict=True):
        i, j = (int(v) for v in hops.index[:, h])
        rows.append(
            {
                "class": label,
                "multiplicity": count,
                "hop": h,
                "sites": [i, j],
                "site_classes": [int(sites.orbit[i]), int(sites.orbit[j])],
                "image": hops.image[h].tolist(),
                "saddle_frac": hops.saddle_frac[h].tolist(),
                "saddle_energy_eV": float(hops.energy[h]),
                "barrier_forward_eV": float(hops.energy[h] - sites.energy[i]),
                "barrier_backward_eV": float(hops.energy[h] - sites.energy[j]),
                "length_A": float(hops.length[h]),
                "bottleneck_radius_A": float(hops.radius[h]),
                "dimensions": int(dimensions[h]),
                "stationary": bool(hops.stationary[h]),
            }
        )
    return rows


def to_dict(paths: _Network) -> dict[str, Any]:
    """Plain lists and numbers; infinite energies become None."""

    def finite(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    out: dict[str, Any] = {
        "source": paths.source,
        "ion": paths.ion.symbol,
        "guest": paths.ion.guest,
        "cell": paths.cell.tolist(),
        "energy_cutoff_eV": paths.energy_cutoff,
        "zero_energy_eV": paths.zero_energy,
        **{f"e{d}d_eV": finite(e) for d, e in enumerate(paths.barriers.values("network"), start=1)},
        "recovery_rate": finite(paths.recovery()),
        "site_classes": paths.site_classes(),
        "hop_classes": paths.hop_classes(),
        "sites": {
            "frac": paths.sites.frac.tolist(),
            "energy_eV": paths.sites.energy.tolist(),
            "radius_A": paths.sites.radius.tolist(),
            "class": paths.sites.orbit.tolist(),
            "mobile_position": paths.sites.mobile.tolist(),
            "occupancy": paths.sites.occupancy.tolist(),
        },
        "hops": {
            "index": paths.hops.index.tolist(),
            "image": paths.hops.image.tolist(),
            "energy_eV": paths.hops.energy.tolist(),
            "saddle_frac": paths.hops.saddle_frac.tolist(),
            "length_A": paths.hops.length.tolist(),
            "bottleneck_radius_A": paths.hops.radius.tolist(),
            "class": paths.hops.orbit.tolist(),
        },
        "paths": {},
        "notes": list(paths.notes),
        "warnings": [w.to_dict() for w in paths.warnings],
    }
    for row in out["site_classes"]:
        row["distance_to_position_A"] = finite(row["distance_to_position_A"])
    for d in (1, 2, 3):
        path = paths.path(d)
        if path is not None:
            out["paths"][f"{d}d"] = {
                "translation": path.translation.tolist(),
                "hops": list(path.hops),
                "sites": list(path.sites),
                "barrier_eV": path.barrier,
                "length_A": float(path.distance[-1]),
                "frac": path.frac.tolist(),
                "distance_A": path.distance.tolist(),
                "energy_eV": path.energy.tolist(),
            }
    return out


def hop_rows(classes: Iterable[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Cells of `HOP_COLUMNS` for the rows of `hop_classes`."""
    return [
        (
            row["class"],
            row["multiplicity"],
            "{} – {}".format(*row["site_classes"]),
            f"{row['barrier_forward_eV']:.3f}",
            f"{row['barrier_backward_eV']:.3f}",
            f"{row['length_A']:.2f}",
            f"{row['bottleneck_radius_A']:.2f}",
            f"{row['dimensions']}D" if row["dimensions"] else "",
        )
        for row in classes
    ]

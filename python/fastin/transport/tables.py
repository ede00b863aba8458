"""Tables of the transport network: rows of inequivalent hops, plain dictionaries, HTML for notebooks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fastin.transport.paths import TransportNetwork


def site_classes(paths: TransportNetwork) -> list[dict[str, Any]]:
    """One row for each kind of site: class, multiplicity, position, energy, clearance, what is there."""
    rows = []
    labels, first, counts = np.unique(paths.site_orbit, return_index=True, return_counts=True)
    for label, i, count in zip(labels.tolist(), first.tolist(), counts.tolist(), strict=True):
        rows.append(
            {
                "class": label,
                "multiplicity": count,
                "frac": paths.site_frac[i].tolist(),
                "energy_eV": float(paths.site_energy[i]),
                "radius_A": float(paths.site_radius[i]),
                "occupancy": float(paths.site_occupancy[i]),
                "crystallographic": bool(paths.site_mobile[i] >= 0),
                "distance_to_position_A": float(paths.site_mobile_distance[i]),
            }
        )
    return rows


def hop_classes(paths: TransportNetwork) -> list[dict[str, Any]]:
    """One row for each kind of hop, cheapest saddle first."""
    rows = []
    labels, first, counts = np.unique(paths.hop_orbit, return_index=True, return_counts=True)
    order = np.argsort(first, kind="stable")  # hops are sorted by energy
    for label, h, count in zip(labels[order].tolist(), first[order].tolist(), counts[order].tolist(), strict=True):
        i, j = (int(v) for v in paths.hop_index[:, h])
        rows.append(
            {
                "class": label,
                "multiplicity": count,
                "hop": h,
                "sites": [i, j],
                "site_classes": [int(paths.site_orbit[i]), int(paths.site_orbit[j])],
                "image": paths.hop_image[h].tolist(),
                "saddle_frac": paths.hop_saddle_frac[h].tolist(),
                "saddle_energy_eV": float(paths.hop_energy[h]),
                "barrier_forward_eV": float(paths.barrier_forward[h]),
                "barrier_backward_eV": float(paths.barrier_backward[h]),
                "length_A": float(paths.hop_length[h]),
                "bottleneck_radius_A": float(paths.hop_radius[h]),
                "dimensions": int(paths.hop_dimensions[h]),
                "stationary": bool(paths.hop_stationary[h]),
            }
        )
    return rows


def to_dict(paths: TransportNetwork) -> dict[str, Any]:
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
        "site_classes": site_classes(paths),
        "hop_classes": hop_classes(paths),
        "sites": {
            "frac": paths.site_frac.tolist(),
            "energy_eV": paths.site_energy.tolist(),
            "radius_A": paths.site_radius.tolist(),
            "class": paths.site_orbit.tolist(),
            "mobile_position": paths.site_mobile.tolist(),
            "occupancy": paths.site_occupancy.tolist(),
        },
        "hops": {
            "index": paths.hop_index.tolist(),
            "image": paths.hop_image.tolist(),
            "energy_eV": paths.hop_energy.tolist(),
            "saddle_frac": paths.hop_saddle_frac.tolist(),
            "length_A": paths.hop_length.tolist(),
            "bottleneck_radius_A": paths.hop_radius.tolist(),
            "class": paths.hop_orbit.tolist(),
        },
        "paths": {},
        "notes": list(paths.notes),
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


def html(paths: TransportNetwork) -> str:
    """The inequivalent hops as an HTML table."""
    from fastin.runtime.html import table

    header = ("kind", "in cell", "sites", "barrier, eV", "back, eV", "length, Å", "clearance, Å", "path")
    rows = [
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
        for row in hop_classes(paths)
    ]
    return table(repr(paths), rows, header)

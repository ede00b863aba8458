"""What results show in Jupyter: a heading and a small table, as plain HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastin.bvse.barriers import Barriers
    from fastin.bvse.grid import EnergyGrid
    from fastin.crystal.crystal import Crystal
    from fastin.network.network import InterstitialNetwork
    from fastin.prediction import Prediction


def table(title: str, rows: Iterable[Sequence[Any]], header: Sequence[str] = ()) -> str:
    """A heading above a table; every cell is escaped.

    Args:
        title: heading.
        rows: cells of each row.
        header: column names; none for a table of names and values.
    """
    lines = [f"<div><b>{html.escape(title)}</b><table>"]
    if header:
        lines.append("<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in header) + "</tr>")
    for row in rows:
        lines.append("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>")
    return "".join(lines) + "</table></div>"


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _triple(values: Iterable[float]) -> str:
    return ", ".join(_number(float(v)) for v in values)


def crystal(result: Crystal) -> str:
    """Formula, symmetry, cell and species of a crystal."""
    amounts: dict[str, float] = {}
    from fastin.crystal.elements import species_name

    for number, charge, occupancy in zip(result.number, result.charge, result.occupancy, strict=True):
        name = species_name(int(number), float(charge))
        amounts[name] = amounts.get(name, 0.0) + float(occupancy)
    species = ", ".join(f"{name} {amount:g}" for name, amount in amounts.items())
    return table(
        f"Crystal {result.formula}",
        [
            ("source", result.source),
            ("space group", f"{result.space_group} ({result.space_group_number})"),
            ("volume, Å³", _number(result.volume, 1)),
            ("in the cell", species),
        ],
    )


def network(result: InterstitialNetwork) -> str:
    """Voids, bottlenecks and free spheres of an interstitial network."""
    channels = ", ".join(f"{c.dimensionality}D" for c in result.channels()) or "none"
    rows = [
        ("source", result.source),
        ("voids", f"{len(result.site_radius)}, {len(set(result.site_orbit.tolist()))} inequivalent"),
        ("bottlenecks", f"{len(result.edge_length)}, {len(set(result.edge_orbit.tolist()))} inequivalent"),
        ("largest sphere, Å", _number(result.largest_sphere_radius)),
        ("free sphere along a, b, c, Å", _triple(result.free_sphere_radii)),
        (f"channels for a probe of {_number(result.probe_radius)} Å", channels),
    ]
    if result.exact_free_sphere_radii is not None:
        rows.insert(5, ("exact free sphere along a, b, c, Å", _triple(result.exact_free_sphere_radii)))
    return table(f"InterstitialNetwork of {result.ion}", rows)


def grid(result: EnergyGrid) -> str:
    """Shape, convention and lowest energy of an energy grid."""
    return table(
        f"EnergyGrid of {result.ion.symbol}",
        [
            ("source", result.source),
            ("points", " × ".join(map(str, result.shape))),
            ("convention", result.convention or "given"),
            ("minimum, eV", _number(result.minimum)),
            ("at", _triple(result.minimum_frac)),
        ],
    )


def barriers(result: Barriers) -> str:
    """Barriers in one, two and three dimensions with their saddles."""
    rows = []
    for d, (value, saddle) in enumerate(zip(result.values(), result.saddle_frac, strict=True), start=1):
        rows.append((f"{d}D", _number(float(value)), _triple(saddle) if math.isfinite(value) else "–"))
    return table(
        f"Barriers of {result.ion.symbol} in {result.source} ({result.convention or 'given grid'}, zero {result.zero})",
        rows,
        ("dimensions", "barrier, eV", "saddle"),
    )


def prediction(result: Prediction) -> str:
    """Predicted quantities with their uncertainties."""
    own = zip(result.values, result.values_std, strict=True)
    rows = [("fitted label", _number(value), _number(std)) for value, std in own]
    if not rows:
        rows.append(("activation energy, eV", _number(result.activation_energy), _number(result.activation_energy_std)))
        for d, (value, std) in enumerate(zip(result.barriers, result.barriers_std, strict=True), start=1):
            rows.append((f"{d}D barrier, eV", _number(value), _number(std)))
    if result.log10_conductivity is not None:
        rows.append(
            ("log10 conductivity, S/cm, 300 K", _number(result.log10_conductivity, 2),
             _number(result.log10_conductivity_std, 2))
        )  # fmt: skip
    rows += [("warning", text, "") for text in result.warnings]
    return table(f"Prediction for {result.ion} in {result.formula} ({result.model})", rows, ("", "value", "±"))

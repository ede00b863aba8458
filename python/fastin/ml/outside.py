"""Structures unlike those of the training set: what is said of them, and how much wider their intervals are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastin.crystal.warnings import CrystalWarning

if TYPE_CHECKING:
    from fastin.graph.graph import InterstitialGraph
    from fastin.ml.store import Entry


def domain_warnings(entry: Entry, card: dict[str, Any]) -> tuple[CrystalWarning, ...]:
    """Why a structure lies outside the training set of a model card; empty when it does not."""
    from fastin.crystal.element_features import element_table
    from fastin.ml.pair_terms import pairs_known

    domain = card.get("domain", {})
    graph = entry.interstitial
    out = []
    known = set(domain.get("elements", []))
    unseen = sorted({int(z) for z in graph.atom_number} - known) if known else []
    if unseen:
        names = ", ".join(element_table().symbol[z] for z in unseen)
        out.append(f"the training set holds no {names} in the framework")
    served = domain.get("ions")
    if served and graph.ion not in served:
        known_ions = ", ".join(served)
        out.append(f"trained on {known_ions}, not on {graph.ion}: no barrier (fastin barriers computes it)")
    if names := uncharged(graph):
        out.append(
            f"{names} of the framework has no charge: a metal has no bond valence barrier, and none is predicted"
        )
    elif not pairs_known(graph.ion, graph.atom_number, graph.atom_charge):
        out.append(f"{graph.ion} has no bond valence parameters with a framework ion: predicted without any")
    for name, share in outside(graph, domain).items():
        if share > WIDER[0][0]:
            low, high = domain[name]
            what = {"site_radius": "void radius", "site_distance": "distance of an atom from a void"}[name]
            out.append(f"{100 * share:.0f} % of the values of {what} lie outside {low:.2f} to {high:.2f} angstrom")
    if any(warning.code == "vacuum" for warning in graph.warnings):
        out.append("no bulk crystal: the model has seen no vacuum, and gives no barrier (fastin barriers computes it)")
    largest = domain.get("largest_atoms", 0)
    if largest and len(graph.atom_number) > 2 * largest:
        out.append(f"{len(graph.atom_number)} framework atoms; the largest training cell has {largest}")
    return tuple(CrystalWarning("outside-training", text) for text in out)


#: Share of void radii, or of distances from voids, outside those of the training set, above which intervals are so many
#: times wider: 68 % of the errors then lie within theirs (``python bench/experiments/ml_outside.py DATA``).
WIDER = ((0.05, 1.4), (0.4, 2.7))


def outside(graph: InterstitialGraph, domain: Mapping[str, Any]) -> dict[str, float]:
    """Share of the values outside the range of the training set, for each quantity that has one."""
    values = {"site_radius": graph.site_radius, "site_distance": graph.site_distance}
    out = {}
    for name in values.keys() & domain.keys():
        low, high = domain[name]
        out[name] = float(np.mean((values[name] < low) | (values[name] > high)))
    return dict(sorted(out.items(), reverse=True))


def uncharged(graph: InterstitialGraph) -> str:
    """Framework elements without charge, as in alloys; empty where every atom is an ion."""
    from fastin.crystal.element_features import element_table

    bare = sorted({int(z) for z in graph.atom_number[graph.atom_charge == 0.0]})
    return ", ".join(element_table().symbol[z] for z in bare)


def widening(entry: Entry, card: dict[str, Any]) -> float:
    """By how much intervals grow where the structure has what the training set had not (measured, see the card)."""
    from fastin.ml.pair_terms import pairs_known

    graph, factor = entry.interstitial, 1.0
    known = set(card.get("domain", {}).get("elements", []))
    if known and not known.issuperset(graph.atom_number.tolist()):
        factor *= float(card.get("unseen_element", {}).get("factor", 1.0))
    if not pairs_known(graph.ion, graph.atom_number, graph.atom_charge):
        factor *= float(card.get("without_pairs", {}).get("factor", 1.0))
    elif entry.energies is None:
        factor *= float(card.get("without_energies", {}).get("factor", 1.0))
    share = max(outside(graph, card.get("domain", {})).values(), default=0.0)
    return factor * max((times for least, times in WIDER if share > least), default=1.0)

"""Superionic or poor, from pattern, formula and measurements together: what each says, and which of them decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastin.errors import FastinError

OUT = "out of domain"
_SAME_PHASE = 0.95  # similarity of patterns of one phase


def verdict(
    model: Any, path: Path, sticks: Any, amounts: Mapping[str, float] | None, missing: Sequence[str] = ()
) -> dict[str, Any]:
    """Probability of one pattern, what its formula says, and what speaks against trusting either.

    The class comes from a measurement (of the labelled pattern of the same composition and phase, or of the compound
    where its repeats agree), from pattern and formula together where the formula is known, else from the pattern; there
    is none for a pattern out of domain that was not measured.
    """
    probability = float(model.predict_proba(sticks)[0, 1])
    slope, intercept = model.calibration
    members = 1.0 / (1.0 + np.exp(-(slope * model.member_logits(sticks)[:, 0] + intercept)))
    elements = None if amounts is None else set(amounts)
    row: dict[str, Any] = {
        "file": str(path),
        "probability_superionic": probability,
        "spread": float(members.std()),
        "votes": float((members > model.decision_threshold).mean()),
        "members": len(members),
        "class": "superionic" if probability > model.decision_threshold else "poor",
        "class_by": "pattern",
        "decision_threshold": model.decision_threshold,
        "composition_checked": model.domain is not None and elements is not None,
        "formula": None,
        "probability_formula": None,
        "probability_both": None,
        "screening": _shortlist(model, "pattern", probability),
        "warnings": list(missing),
    }
    foreign = bool(model.domain is not None and elements is not None and model.domain.foreign(elements))
    if amounts is not None and not foreign and "with_formula" in model.notes:
        _add_formula(model, row, sticks, amounts)
    if model.domain is not None:
        near = [
            {"formula": name, "similarity": similarity, "sigma_S_per_cm": sigma}
            for name, similarity, sigma in model.domain.neighbours(sticks)
        ]
        row["nearest"], row["neighbours"] = near[0], near
        row["warnings"] += model.domain.objections(sticks, elements)
        if row["formula"] is not None and amounts is not None and _same_phase(near[0], amounts):
            _by_measurement(row, near[0]["sigma_S_per_cm"], float(model.notes["threshold_S_per_cm"]))
        if foreign or (near[0]["similarity"] < model.domain.floor and row["class_by"] != "measurement"):
            row["class"] = OUT
            row["probability_both"] = None
            row["screening"] = None
    return row


def _shortlist(model: Any, kind: str, probability: float) -> dict[str, Any] | None:
    """Whether a screening of the stated precision would take it, and the recall of that; None without constants."""
    found = model.notes.get("screening", {}).get(kind)
    return None if found is None else {**found, "by": kind, "shortlisted": bool(probability >= found["threshold"])}


def formulas_say(model: Any, formulas: Sequence[str]) -> tuple[Any, Any]:
    """What formulas say, for `fastin.xrd.report.rank_candidates`: decades above the threshold, measured log10 S/cm.

    The first is None for a model that was not joined with a model of formulas.
    """
    from fastin.ml.conductivity import decades_above_each, has_forests, measured_conductivities
    from fastin.ml.formula import parse_formula

    if not has_forests():
        return None, None
    amounts: list[dict[str, float] | None] = []
    for formula in formulas:
        try:
            amounts.append(parse_formula(formula))
        except FastinError:
            amounts.append(None)
    measured = measured_conductivities(amounts)
    if "formula" not in model.notes:
        return None, measured
    return decades_above_each(amounts, float(model.notes["threshold_S_per_cm"])), measured


def _add_formula(model: Any, row: dict[str, Any], sticks: Any, amounts: Mapping[str, float]) -> None:
    """Adds what the model of measured conductivities says of the composition, and both together."""
    from fastin.ml.conductivity import decades_above, has_forests, predict_amounts

    if not has_forests():
        return
    try:
        said = predict_amounts(amounts, row["file"])
    except FastinError as error:
        row["warnings"].append(f"formula not used: {error}")
        return
    threshold = float(model.notes["threshold_S_per_cm"])
    near = said.nearest[0]
    row["formula"] = {
        "nearest": {"formula": near.formula, "distance": near.distance, "doi": near.doi},
        "log10_conductivity": said.log10_conductivity,
        "origin": None if said.conductivity is None else said.conductivity.origin,
    }
    own = said.conductivity
    if own is not None and own.origin == "measured" and abs(own.value - math.log10(threshold)) > own.std:
        # repeats that scatter over the threshold (polymorphs, samples) decide nothing
        _by_measurement(row, 10.0**own.value, threshold)
        return
    decades = decades_above(amounts, threshold)
    if decades is None:
        row["warnings"] += [str(warning) for warning in said.warnings]
        return
    fit = model.notes["formula"]
    row["probability_formula"] = 1.0 / (1.0 + math.exp(-(fit["slope"] * decades + fit["intercept"])))
    both = row["probability_both"] = float(model.proba_with_formula(sticks, [decades])[0])
    row["class"] = "superionic" if both > 0.5 else "poor"
    row["class_by"] = "pattern and formula"
    row["screening"] = _shortlist(model, "both", both)


def _by_measurement(row: dict[str, Any], sigma: float, threshold: float) -> None:
    row["class"] = "superionic" if sigma >= threshold else "poor"
    row["class_by"] = "measurement"
    row["probability_both"] = row["screening"] = None


def _same_phase(near: Mapping[str, Any], amounts: Mapping[str, float]) -> bool:
    """Whether a labelled pattern is that of the same composition and, by its similarity, the same phase."""
    from fastin.ml.composition import atomic_fractions
    from fastin.ml.formula import parse_formula
    from fastin.ml.measured import SAME

    if near["similarity"] < _SAME_PHASE:
        return False
    try:
        known = parse_formula(near["formula"])
    except FastinError:
        return False
    return bool(np.abs(atomic_fractions(known) - atomic_fractions(amounts)).max() < SAME)

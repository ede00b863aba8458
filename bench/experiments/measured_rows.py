"""The measured rows that the models of measured quantities are fitted to, as columns: readable, one a paper."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from common import records, reduced

from fastin.errors import InputError
from fastin.ml.composition import composition_features, mover_profile
from fastin.ml.formula import check_compound, parse_formula

FAMILIES = {
    **{
        "argyrodites": "argyrodite",
        "perovskites": "perovskite",
        "garnet-like": "garnet",
        "anti-perovskite": "antiperovskite",
    },
    **{"halides": "halide", "chlorides": "halide", "phosphates": "phosphate"},
}
VAGUE = {"", "other", "oxides", "none"}
RELATIVE = 2.0  # a row without a family has that of the nearest row with one, if that is nearer than this
#: A formula of the tables that lost its indices to the end and reads as another compound.
GARBLED = {"Li OCl 3": "Li3OCl"}
FILES = ("obelix_train.jsonl.gz", "obelix_experimental_ea.csv", "measured_extra.csv")


def load(data: Path) -> dict[str, Any]:
    """Every usable row as columns."""
    rows: list[dict[str, Any]] = []
    with (data / "obelix_experimental_ea.csv").open() as stream:
        energies = {r["obelix_id"]: float(r["Ea_exp_eV"]) for r in csv.DictReader(stream)}
    for r in records(data / "obelix_train.jsonl.gz"):
        rows.append(
            {
                **{"formula": r["true_composition"], "y": r["log10_sigma"], "below": bool(r["censored"])},
                **{"doi": r["doi"], "family": r["family"], "obelix": True, "cif": bool(r["cif"])},
                **{"energy": energies.get(r["id"], np.nan), "repeat": False},
            }
        )
    dropped = Counter[str]()
    with (data / "measured_extra.csv").open() as stream:
        for r in csv.DictReader(stream):
            r["formula"] = GARBLED.get(r["formula"], r["formula"])
            try:
                amounts = parse_formula(r["formula"])
                check_compound(amounts, r["formula"])
            except InputError as error:
                dropped[str(error)] += 1
                continue
            if amounts.get("Li", 0.0) <= 0:
                continue
            rows.append(
                {
                    **{"formula": re.sub(r"\s+", "", r["formula"]), "y": float(r["log10_sigma_S_cm"] or "nan")},
                    **{"below": r["censored"] == "1", "doi": r["doi"], "family": r["family"], "obelix": False},
                    **{"cif": False, "energy": float(r["activation_energy_eV"] or "nan")},
                    "repeat": r["repeats_a_training_row"] == "1",
                }
            )
    rows = once_a_paper(rows)
    columns: dict[str, Any] = {
        k: np.array([r[k] for r in rows]) for k in rows[0] if k not in ("family", "doi", "formula")
    }
    amounts = [parse_formula(r["formula"]) for r in rows]
    columns["formula"] = [compact(a) for a in amounts]
    columns["doi"] = np.array([doi if doi.startswith("10.") else "" for doi in (str(r["doi"]).lower() for r in rows)])
    columns["amounts"] = amounts
    columns["composition"] = [reduced(a) for a in amounts]
    features = [composition_features(a) for a in amounts]
    columns["names"] = list(features[0])
    columns["x"] = np.array([list(f.values()) for f in features])
    columns["profile"] = np.array([mover_profile(a) for a in amounts])
    columns["distance"] = np.array([np.abs(columns["profile"] - p).sum(axis=1) for p in columns["profile"]])
    columns["family"] = families([str(r["family"] or "").lower() for r in rows], columns["distance"])
    columns["ratios"] = {}
    digest = hashlib.sha256()
    for name in FILES:
        digest.update((data / name).read_bytes())
    columns["sha256"] = digest.hexdigest()
    print(f"{len(rows)} rows, {sum(dropped.values())} formulas not readable")
    for reason in dropped:
        print("  ", reason)
    return columns


def once_a_paper(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each composition of a paper: the first, with the activation energy of a later one if it has none.

    The tables overlap, and the same measurement stands in two or three of them. Rows of one table that differ (samples
    of a series, polymorphs) stay.
    """
    first: dict[tuple[str, str], list[dict[str, Any]]] = {}
    kept = []
    for row in rows:
        key = (str(row["doi"] or row["formula"]).lower(), reduced(parse_formula(row["formula"])))
        earlier = first.setdefault(key, [])
        others = [
            r for r in earlier if r["obelix"] != row["obelix"] or r["family"] != row["family"] or r["y"] == row["y"]
        ]
        if others:
            if not np.isfinite(others[0]["energy"]):
                others[0]["energy"] = row["energy"]
            continue
        earlier.append(row)
        kept.append(row)
    return kept


def compact(amounts: dict[str, float]) -> str:
    """Formula with whole numbers divided by what they share: Li24P4S20Cl4 is Li6PS5Cl."""
    values = np.array(list(amounts.values()))
    if np.abs(values - np.rint(values)).max() < 1e-6:
        values = values / np.gcd.reduce(np.rint(values).astype(int))
    return "".join(f"{e}{'' if v == 1 else format(v, '.4g')}" for e, v in zip(amounts, values, strict=True))


def families(names: list[str], distance: np.ndarray) -> np.ndarray:
    """Family of each row; unlabelled rows take that of the nearest labelled one, else they stand alone."""
    family = np.array([FAMILIES.get(name, name) for name in names], dtype=object)
    known = np.array([name not in VAGUE for name in family])
    for i in np.flatnonzero(~known):
        j = int(np.where(known, distance[i], np.inf).argmin())
        family[i] = family[j] if distance[i, j] < RELATIVE else f"alone {i}"
    return family

"""What a powder pattern knows of a lithium conductor that its formula does not.

    python bench/experiments/xrd_formula.py --data DATA [--repeats 3] [--ship python/fastin/data/models/xrdmatch.pt]

Rows: the OBELiX training compounds with a CIF; superionic from 5e-5 S/cm. Five stratified folds; no paper and no
chemical system (set of elements) is on both sides. Every method sees the same folds:

* ``pattern``: one network of the shipped recipe; ``pattern, known conductors poor``: as before, with every
  unlabelled pattern counted as poor, those of known conductors too; ``pattern, more rows``: with the measured compounds
  that have no CIF of their own but one structure in the Materials Project; ``SVM on patterns``.
* ``formula``: conductivity predicted by the forest of `ml_measured.py`, fitted without the papers and chemical systems
  of the scored rows, on all its tables.
* ``formula and pattern``: logistic regression on both, its three constants fitted on the out-of-fold values of the
  other folds.

Decisions: predicted conductivity above the threshold (formula), calibrated probability above one half (the others).
Differences are paired; their errors come from a bootstrap over papers. Then: macro-F1 by similarity to the nearest
training pattern, and recall at stated precision. ``--ship`` writes the constants of the combination and the thresholds
of a screening into a trained model file.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ml_measured
import numpy as np
import torch
from common import RESULTS, components, records, reduced

from fastin.errors import InputError
from fastin.ml.formula import parse_formula
from fastin.xrd.baselines import Baseline
from fastin.xrd.dataset import SUPERIONIC, LabelledSet, PatternSet, chemical_system, load_labelled, load_unlabelled
from fastin.xrd.domain import LEAST_SIMILARITY, similarities
from fastin.xrd.evaluate import calibration_error, grouped_folds, metrics
from fastin.xrd.known import known_conductors
from fastin.xrd.match import XRDMatch, fit_platt
from fastin.xrd.model import coarsen
from fastin.xrd.training import TrainConfig

FOLDS = 5
LIMIT = float(np.log10(SUPERIONIC))
RECIPE = TrainConfig(algorithm="prior", network_settings={"fwhm": (0.3, 1.0)})
EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01)
PRECISIONS = (0.7, 0.8, 0.9)
SCREENING = 0.8  # precision that a shortlist is made for; less where a method never reaches it
#: Repeats of one composition that fall on both sides of the threshold make no label.
METHODS = ("pattern", "pattern, known conductors poor", "pattern, more rows", "SVM on patterns", "formula")


def coarse(patterns: PatternSet) -> np.ndarray:
    return np.asarray(coarsen(torch.from_numpy(np.array(patterns.patterns))).numpy())


def more_rows(folder: Path, labelled: LabelledSet, pool: PatternSet) -> list[dict[str, Any]]:
    """Measured compounds without a CIF whose composition has one structure (of the stated space group) in `pool`.

    Compositions of the labelled set are left out, and those whose repeats disagree on the class.
    """
    structures: dict[str, list[int]] = {}
    for k, formula in enumerate(pool.formulas):
        structures.setdefault(reduced(parse_formula(formula)), []).append(k)
    rows = [
        (r["true_composition"], float(r["log10_sigma"]), r["doi"], r["sg"])
        for r in records(folder / "obelix_train.jsonl.gz")
    ]
    with (folder / "measured_extra.csv").open() as stream:
        rows += [
            (r["formula"], float(r["log10_sigma_S_cm"]), r["doi"], r["space_group_number"])
            for r in csv.DictReader(stream)
            if r["log10_sigma_S_cm"]
        ]
    known = {
        reduced(parse_formula(r["true_composition"])) for r in records(folder / "obelix_train.jsonl.gz") if r["cif"]
    }
    found: dict[str, list[tuple[int, float, str]]] = {}
    for formula, sigma, doi, group in rows:
        try:
            key = reduced(parse_formula(formula))
        except InputError:
            continue
        if key in known or key not in structures:
            continue
        fits = structures[key]
        if group not in (None, ""):
            fits = [k for k in fits if pool.space_groups[k] == int(float(group))] or ([] if len(fits) > 1 else fits)
        if len(fits) == 1:
            found.setdefault(key, []).append((fits[0], sigma, str(doi).lower()))
    out = []
    for entries in found.values():
        classes = {sigma >= LIMIT for _, sigma, _ in entries}
        if len(classes) == 1:
            row = entries[0][0]
            out.append({"row": row, "label": int(classes.pop()), "dois": {d for *_, d in entries},
                        "system": chemical_system(pool.formulas[row])})  # fmt: skip
    return out


@dataclass(frozen=True)
class Told:
    """What a method says of every row in every repeat: probability, value to order by, decision (above one half)."""

    probability: np.ndarray
    order: np.ndarray
    decided: np.ndarray


class Study:
    """Data, groups and the methods."""

    def __init__(self, folder: Path) -> None:
        self.data = load_labelled(folder / "obelix_train.jsonl.gz")
        self.labels = self.data.labels()
        self.patterns = coarse(self.data)
        by_id = {r["id"]: r for r in records(folder / "obelix_train.jsonl.gz")}
        mine = [by_id[i] for i in self.data.ids]
        self.papers = np.array([str(r["doi"]).lower() for r in mine])
        self.systems = np.array([chemical_system(f) for f in self.data.formulas])
        self.groups = components(self.papers.tolist(), self.systems.tolist())
        pool = load_unlabelled(folder / "li_mp_ordered.jsonl.gz", num_threads=1)
        self.every = coarse(pool)
        self.measured = ml_measured.load(folder)
        table = self.measured
        conducting = np.isfinite(table["y"]) & (table["y"] >= LIMIT)
        known = known_conductors(pool.formulas, [f for f, c in zip(table["formula"], conducting, strict=True) if c])
        self.pool = self.every[~known]
        self.more = more_rows(folder, self.data, pool)
        amounts = [parse_formula(r["true_composition"]) for r in mine]
        self.features = np.array([list(ml_measured.composition_features(a).values()) for a in amounts])
        self.measured_systems = np.array(["-".join(sorted(a)) for a in table["amounts"]])
        self.facts = {
            "rows": len(self.labels), "superionic": int(self.labels.sum()), "groups": len(set(self.groups.tolist())),
            "papers": len(set(self.papers.tolist())), "unlabelled": len(self.every),
            "unlabelled of known conductors": int(known.sum()), "more rows": len(self.more),
            "more superionic rows": sum(r["label"] for r in self.more),
        }  # fmt: skip

    def scores(self, method: str, train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        """(n,) log odds of the test rows, or for ``formula`` decades above the threshold."""
        if method == "formula":
            return self.by_formula(test, seed)
        if method == "SVM on patterns":
            model = Baseline("svm").fit(self.data.patterns[train], self.labels[train])
            share = np.clip(model.predict_proba(self.data.patterns[test])[:, 1], 1e-6, 1 - 1e-6)
            return np.asarray(np.log(share / (1 - share)))
        rows, labels = self.patterns[train], self.labels[train]
        if method == "pattern, more rows":
            use = [
                r for r in self.more if r["system"] not in self.systems[test] and not r["dois"] & set(self.papers[test])
            ]
            rows = np.concatenate([rows, self.every[[r["row"] for r in use]]])
            labels = np.concatenate([labels, [r["label"] for r in use]])
        pool = self.every if method == "pattern, known conductors poor" else self.pool
        model = XRDMatch(replace(RECIPE, seed=100 * seed), 1).fit(rows, labels, pool)
        return np.asarray(model.member_logits(self.patterns[test])[0])

    def by_formula(self, test: np.ndarray, seed: int) -> np.ndarray:
        table = self.measured
        rows = np.flatnonzero(
            np.isfinite(table["y"])
            & ~np.isin(table["doi"], self.papers[test])
            & ~np.isin(self.measured_systems, self.systems[test])
        )
        forest = ml_measured.fit(table, rows, "log10_conductivity", seed)
        return np.asarray(forest.mean_and_spread(self.features[test])[0] - LIMIT)


def logistic(value: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-value)))


def combined(columns: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(N,) probabilities by logistic regression whose constants come from the rows of the other folds."""
    from sklearn.linear_model import LogisticRegression

    out = np.zeros(len(labels))
    for k in np.unique(fold):
        train, test = fold != k, fold == k
        scale = columns[train].std(axis=0)
        model = LogisticRegression(C=10.0).fit(columns[train] / scale, labels[train])
        out[test] = model.predict_proba(columns[test] / scale)[:, 1]
    return out


def platt(column: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(N,) calibrated probabilities, likewise."""
    out = np.zeros(len(labels))
    for k in np.unique(fold):
        slope, intercept = fit_platt(column[fold != k], labels[fold != k])
        out[fold == k] = logistic(slope * column[fold == k] + intercept)
    return out


def scored(labels: np.ndarray, told: Told, rows: np.ndarray) -> dict[str, float]:
    """Means over the repeats: decisions by their threshold, order by the raw values, Brier score by probabilities."""
    every = []
    for probability, order, decided in zip(told.probability, told.order, told.decided, strict=True):
        own = metrics(labels[rows], decided[rows])
        own["roc_auc"] = metrics(labels[rows], order[rows])["roc_auc"]
        own["brier"] = metrics(labels[rows], probability[rows])["brier"]
        every.append(own)
    return {k: float(np.mean([e[k] for e in every])) for k in every[0]}


def recalls(labels: np.ndarray, probability: np.ndarray) -> dict[str, Any]:
    """Recall and threshold where the precision of everything above the threshold is at least as stated."""
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(labels[order])
    precision = hits / np.arange(1, len(labels) + 1)
    out = {}
    for wanted in PRECISIONS:
        fits = np.flatnonzero(precision >= wanted)
        fits = fits[fits >= 4]  # five rows at least
        last = int(fits.max()) if len(fits) else -1
        out[str(wanted)] = {
            "recall": round(float(hits[last] / labels.sum()), 3) if last >= 0 else 0.0,
            "threshold": round(float(probability[order[last]]), 3) if last >= 0 else 1.0,
        }
    return out


def paired(labels: np.ndarray, one: Told, other: Told, papers: np.ndarray) -> dict[str, float]:
    """Differences of scores (means over the repeats) with their standard errors by a bootstrap over papers."""
    names = np.unique(papers)
    members = [np.flatnonzero(papers == n) for n in names]
    rng = np.random.default_rng(0)
    rows = [np.arange(len(labels))]
    rows += [np.concatenate([members[i] for i in rng.integers(0, len(names), len(names))]) for _ in range(300)]
    keys = ("macro_f1", "roc_auc", "brier")
    table = np.array([[scored(labels, one, p)[k] - scored(labels, other, p)[k] for k in keys] for p in rows])
    return {
        name: round(float(value), 4)
        for k, key in enumerate(keys)
        for name, value in ((key, table[0, k]), (f"{key}_error", table[1:, k].std()))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "xrd_formula.json")
    parser.add_argument("--ship", type=Path, help="model file to write the constants into")
    parser.add_argument("--runs", type=Path, default=Path("runs/xrd_formula.json"), help="finished runs, to go on from")
    options = parser.parse_args()
    torch.set_num_threads(1)
    study = Study(options.data)
    print(study.facts, flush=True)
    done: dict[str, list[float]] = json.loads(options.runs.read_text()) if options.runs.is_file() else {}
    labels, count = study.labels, len(study.labels)
    raw = {m: np.zeros((options.repeats, count)) for m in METHODS}
    fold = np.zeros((options.repeats, count), int)
    close = similarities(study.patterns, study.patterns)
    near = np.zeros((options.repeats, count))
    for r in range(options.repeats):
        for k, (train, test) in enumerate(grouped_folds(labels, study.groups, FOLDS, r)):
            fold[r, test] = k
            near[r, test] = close[np.ix_(test, train)].max(axis=1)
            for method in METHODS:
                name = f"{method} | {r} | {k}"
                if name not in done:
                    done[name] = study.scores(method, train, test, r).tolist()
                    options.runs.parent.mkdir(parents=True, exist_ok=True)
                    options.runs.write_text(json.dumps(done))
                    print(name, flush=True)
                raw[method][r, test] = done[name]
    result = summary(study, raw, fold, near)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    if options.ship:
        ship(options.ship, result["constants"])


def summary(study: Study, raw: dict[str, np.ndarray], fold: np.ndarray, near: np.ndarray) -> dict[str, Any]:
    """Every table of the result file, and the constants that ship."""
    labels, repeats = study.labels, range(len(fold))
    told = {}
    for method, x in raw.items():
        share = np.array([platt(x[r], labels, fold[r]) for r in repeats])
        told[method] = Told(share, x, logistic(x) if method == "formula" else share)
    for partner in ("pattern", "pattern, more rows"):
        both = [np.stack([raw["formula"][r], raw[partner][r]], axis=1) for r in repeats]
        share = np.array([combined(both[r], labels, fold[r]) for r in repeats])
        told[f"formula and {partner}"] = Told(share, share, share)
    result: dict[str, Any] = {"facts": study.facts, "methods": {}, "paired": {}}
    every = np.arange(len(labels))
    for method, own in told.items():
        single = [metrics(labels, d)["macro_f1"] for d in own.decided]
        result["methods"][method] = {
            **{k: round(v, 4) for k, v in scored(labels, own, every).items() if k not in ("superionic_f1", "pr_auc")},
            "macro_f1_deviation": round(float(np.std(single)), 4),
            "calibration_error": round(float(np.mean([calibration_error(labels, p) for p in own.probability])), 4),
            "recall_at_precision": recalls(np.tile(labels, len(fold)), own.probability.ravel()),
        }
    for one, other in (
        ("formula", "pattern"), ("formula and pattern", "formula"), ("formula and pattern", "pattern"),
        ("pattern", "pattern, known conductors poor"), ("pattern, more rows", "pattern"),
        ("pattern", "SVM on patterns"), ("formula and pattern, more rows", "formula and pattern"),
    ):  # fmt: skip
        result["paired"][f"{one} - {other}"] = paired(labels, told[one], told[other], study.papers)
    result["by similarity"] = [similar(labels, told, near, low, high) for low, high in itertools.pairwise(EDGES)]
    result["below the limit"] = similar(labels, told, near, 0.0, LEAST_SIMILARITY)
    result["above the limit"] = similar(labels, told, near, LEAST_SIMILARITY, 1.01)
    result["constants"] = constants(study, raw, result["methods"])
    return result


def similar(labels: np.ndarray, told: dict[str, Told], near: np.ndarray, low: float, high: float) -> dict[str, Any]:
    """Scores of the rows whose nearest training pattern is so similar."""
    mask = (near >= low) & (near < high)
    truth = np.broadcast_to(labels, mask.shape)[mask]
    row: dict[str, Any] = {"from": low, "to": min(high, 1.0), "rows": round(float(mask.sum() / len(near)), 1)}
    if len(truth) >= 5:
        row["superionic"] = round(float(truth.mean()), 3)
        for method in ("pattern", "formula", "formula and pattern"):
            row[method] = round(metrics(truth, told[method].decided[mask])["macro_f1"], 3)
    return row


def constants(study: Study, raw: dict[str, np.ndarray], methods: dict[str, Any]) -> dict[str, Any]:
    """What the shipped model needs: calibrations on all rows, and thresholds of a screening."""
    from sklearn.linear_model import LogisticRegression

    labels = np.tile(study.labels, len(raw["formula"]))
    columns = np.stack([raw["formula"].ravel(), raw["pattern"].ravel()], axis=1)
    model = LogisticRegression(C=1e4).fit(columns, labels)
    found: dict[str, Any] = {
        "with_formula": {
            "intercept": float(model.intercept_[0]),
            "decades": float(model.coef_[0, 0]),
            "logit": float(model.coef_[0, 1]),
        },
        "formula": dict(zip(("slope", "intercept"), fit_platt(raw["formula"].ravel(), labels), strict=True)),
        "pattern": dict(zip(("slope", "intercept"), fit_platt(raw["pattern"].ravel(), labels), strict=True)),
        "screening": {},
    }
    for name, method in (("pattern", "pattern"), ("formula", "formula"), ("both", "formula and pattern")):
        rows = methods[method]["recall_at_precision"]
        reached = [p for p in rows if float(p) <= SCREENING and rows[p]["recall"] > 0]
        precision = max(reached, key=float)
        found["screening"][name] = {"precision": float(precision), **rows[precision]}
    return found


def ship(path: Path, found: dict[str, Any]) -> None:
    """Writes the constants into a model file; the weights stay as they are."""
    model = XRDMatch.load(path)
    model.calibration = (found["pattern"]["slope"], found["pattern"]["intercept"])
    model.notes.update({k: found[k] for k in ("with_formula", "formula", "screening")} | {"decision_threshold": 0.5})
    model.save(path)


if __name__ == "__main__":
    main()

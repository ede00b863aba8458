"""Conductivities and activation energies of OBELiX by trees on several sets of features, grouped cross-validation.

    python bench/experiments/ml_experiments.py --shared DATA_FOLDER [--cache features.json] [--out RESULT.json]

Groups of the cross-validation are connected components of equal DOI or equal composition among the rows that have the
quantity: no paper or composition is on both sides. Models and features were chosen on folds of the seeds 100 to 102;
scores are of the folds of the seeds 0, 1, ..., the same rows dealt otherwise.
`--ship DIR` fits the winners on everything and writes the forests that fastin ships. Descriptors are computed once
and kept in the cache.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, components, records, reduced
from scipy.stats import spearmanr

import fastin
from fastin.ml.composition import composition_features
from fastin.ml.forest import Forest, fit_uncertainty
from fastin.ml.formula import parse_formula
from fastin.ml.metrics import calibration, regression_scores
from fastin.ml.splits import grouped_folds

FOLDS = 5
#: Results of `fastin.describe` that were tried as features of crystals.
STRUCTURE = ("barrier_3d_network_eV", "recovery_share", "mobile_site_occupancy_mean")
_HIGHEST_BARRIER = 6.0  # eV: higher ones, and none at all, count as this
_SYSTEMS = (2.5, 15.5, 74.5, 142.5, 167.5, 194.5)  # between the space groups of the crystal systems
SHARE = 0.6  # of the boosted models in a blend
SCALE = {
    "log10_conductivity": "log10_conductivity",
    "experimental_activation_energy": "energy",
}
#: Smallest standard deviation: the scatter of repeated measurements (0.41 in log10 for OBELiX's duplicates; the others
#: are estimates). Trees repeat what they were trained on, and their spread there says nothing of the measurement.
FLOOR = {"log10_conductivity": 0.41, "experimental_activation_energy": 0.05}
#: The model that is shipped: the better one in the folds of the seeds 100 to 102, and within 0.01 of the best after.
SHIPPED = {"log10_conductivity": "blend", "experimental_activation_energy": "blend"}
#: Features of each model for crystals; the first of each list needs the formula only.
SETS = {
    "log10_conductivity": {
        "formula": ("formula",),
        "formula + lattice": ("formula", "lattice"),
        "formula + lattice + structure": ("formula", "lattice", "structure"),
        "formula + lattice + describe": ("formula", "lattice", "describe"),
    },
}
SETS["experimental_activation_energy"] = SETS["log10_conductivity"]
FILES = {
    "formula": "composition",
    "formula + lattice": "lattice",
    "formula + lattice + structure": "structure",
}


def cached(cache: Path | None, jobs: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Results of jobs by name; what fails is an empty dictionary with its reason under "error"."""
    found: dict[str, Any] = json.loads(cache.read_text()) if cache is not None and cache.is_file() else {}
    for name, make in jobs.items():
        if name in found:
            continue
        try:
            found[name] = {k: repr(float(v)) for k, v in make().items()}
        except fastin.FastinError as error:
            found[name] = {"error": f"{type(error).__name__}: {error}"}
            print(f"{name}: {found[name]['error']}")
    if cache is not None:
        cache.write_text(json.dumps(found))
    return {k: {n: float(x) for n, x in found[k].items()} for k in jobs if "error" not in found[k]}


def matrix(data: dict[str, Any], features: str, target: str = "log10_conductivity") -> tuple[list[str], np.ndarray]:
    """Names and columns of a set of features."""
    blocks = [data[block] for block in SETS[target][features]]
    rows = [{k: v for part in parts for k, v in part.items()} for parts in zip(*blocks, strict=True)]
    names = sorted({name for row in rows for name in row})
    return names, np.array([[row.get(name, np.nan) for name in names] for row in rows], float)


def fitted(
    names: list[str],
    x: np.ndarray,
    y: np.ndarray,
    target: str,
    seed: int,
    card: dict[str, Any],
    *,
    boost: bool = True,
) -> Forest:
    return Forest.fit(
        names,
        x,
        y,
        card,
        trees=100,
        boosted=3 if boost else 0,
        share=SHARE if boost else 0.0,
        scale=SCALE[target],
        leaf=1,
        max_features=0.4,
        seed=seed,
    )


def boosted(x: np.ndarray, y: np.ndarray, new: np.ndarray, seed: int) -> np.ndarray:
    """Conductivities by the blend of trees, for `ml_finetune.py`."""
    forest = fitted([str(k) for k in range(x.shape[1])], x, y, "log10_conductivity", seed, {})
    return forest.predict(new)[0]


def weights(forest: Forest) -> dict[str, np.ndarray]:
    """Weights of the members for each of the models that one forest holds."""
    kinds = np.bincount(forest.member) > 1
    return {
        "extra trees": np.where(kinds, 0.0, 1.0) / (~kinds).sum(),
        "boosted trees": np.where(kinds, 1.0, 0.0) / max(kinds.sum(), 1),
        "blend": forest.weight,
    }


def cross_validate(
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    target: str,
    seeds: Sequence[int],
    models: Sequence[str] = ("extra trees", "boosted trees", "blend"),
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Out-of-fold predictions and spreads (repeats, n) of each model."""
    out: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    names = [str(k) for k in range(x.shape[1])]
    for i, seed in enumerate(seeds):
        for train, test in grouped_folds(groups, FOLDS, seed):
            forest = fitted(names, x[train], y[train], target, seed, {}, boost=list(models) != ["extra trees"])
            for model in models:
                weight = weights(forest)[model]
                shape = (len(seeds), len(y))
                mean, spread = out.setdefault(model, (np.full(shape, np.nan), np.full(shape, np.nan)))
                mean[i, test], spread[i, test] = forest.mean_and_spread(x[test], weight)
    return out


def repeated_scores(y: np.ndarray, predicted: np.ndarray, subset: np.ndarray) -> dict[str, Any]:
    """Scores on all rows and on those with a structure: mean over the repeats, deviation of the MAE."""
    scores: dict[str, Any] = {}
    for label, rows in (("all", np.ones(len(y), bool)), ("with structure", subset)):
        every = [regression_scores(y[rows], p[rows]) for p in predicted]
        scores[label] = {k: float(np.mean([e[k] for e in every])) for k in every[0]}
        scores[label]["mae_deviation"] = float(np.std([e["mae"] for e in every]))
        scores[label]["spearman"] = float(np.mean([spearmanr(y[rows], p[rows])[0] for p in predicted]))
    return scores


def study(target: str, data: dict[str, Any], ship: Path | None, seeds: Sequence[int]) -> dict[str, Any]:
    """Cross-validated scores of every model on every set of features; the winners fitted for shipping."""
    y, groups, subset = data["y"], data["groups"], data["with_structure"]
    result: dict[str, Any] = {
        "rows": len(y),
        "with_structure": int(subset.sum()),
        "groups": len(set(groups.tolist())),
        "largest_group": int(np.unique(groups, return_counts=True)[1].max()),
        "repeats": len(seeds),
        "baselines": baselines(data, seeds),
        "models": {},
    }
    kept: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
    for features in SETS[target]:
        _, x = matrix(data, features, target)
        for model, (mean, spread) in cross_validate(x, y, groups, target, seeds).items():
            scores = repeated_scores(y, mean, subset)
            result["models"][f"{model}, {features}"] = scores
            kept[features, model] = mean, spread
            own = scores["all"]
            said = f"MAE {own['mae']:.3f} +- {own['mae_deviation']:.3f}, R2 {own['r2']:.3f}"
            print(f"{target}: {model}, {features}: {said}; {scores['with structure']['mae']:.3f}", flush=True)
    if ship is not None:
        result["shipped"] = shipped(target, data, ship, result["models"], kept)
    return result


def shipped(
    target: str,
    data: dict[str, Any],
    ship: Path,
    scores: dict[str, Any],
    kept: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]],
) -> dict[str, Any]:
    """Fits the blend on the best features (for formulas too), with the spreads of the first repeat."""
    first = next(iter(SETS[target]))
    best = min(
        (f for f in SETS[target] if f != first and f in FILES),
        key=lambda f: scores[f"{SHIPPED[target]}, {f}"]["all"]["mae"],
    )
    model = SHIPPED[target]
    found = {}
    for features in [first, best]:
        names, x = matrix(data, features, target)
        if (features, model) not in kept:
            kept[features, model] = cross_validate(x, data["y"], data["groups"], target, [0], [model])[model]
        mean, spread = kept[features, model]
        found[features] = fit_forest(target, features, names, x, data, (mean[0], spread[0]), ship)
    return found


def baselines(data: dict[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    """The median of the training rows."""
    y, groups, subset = data["y"], data["groups"], data["with_structure"]
    median = np.full((len(seeds), len(y)), np.nan)
    for i, seed in enumerate(seeds):
        for train, test in grouped_folds(groups, FOLDS, seed):
            median[i, test] = np.median(y[train])
    return {"median": repeated_scores(y, median, subset)}


def fit_forest(
    target: str,
    features: str,
    names: list[str],
    x: np.ndarray,
    data: dict[str, Any],
    folds: tuple[np.ndarray, np.ndarray],
    ship: Path,
) -> dict[str, Any]:
    """Forest of all rows, with the uncertainty fitted on out-of-fold predictions."""
    y = data["y"]
    mean, spread = folds
    error = y - mean
    uncertainty = fit_uncertainty(error, spread)
    uncertainty["floor"] = max(uncertainty["floor"], FLOOR[target])
    std = np.hypot(uncertainty["scale"] * spread, uncertainty["floor"])
    model = SHIPPED[target]
    card = {
        "target": target,
        "model": "extremely randomised trees" if model == "extra trees" else "boosted and extremely randomised trees",
        "features": features,
        "rows": len(y),
        "cross_validation": regression_scores(y, mean),
        "calibration": calibration(y, mean, std),
        "uncertainty": uncertainty,
        "elements": sorted({e for amounts in data["amounts"] for e in amounts}),
        "data": data["source"],
        **data.get("card", {}),
    }
    forest = fitted(names, x, y, target, 0, card, boost=model != "extra trees")
    file = ship / f"{target}-{FILES[features]}.npz"
    forest.save(file)
    return {**card, "file": file.name, "bytes": file.stat().st_size}


def lattice_features(
    space_group: float, volume: float, amounts: Mapping[str, float], ion: str = "Li"
) -> dict[str, float]:
    """Features of a lattice that do not depend on the choice of its cell.

    Args:
        space_group: number of the space group.
        volume: of the cell, A^3.
        amounts: atoms of each element in that cell.
        ion: the mobile element.
    """
    return {
        "space_group_number": float(space_group),
        "crystal_system": float(np.searchsorted(_SYSTEMS, space_group)),
        "volume_per_atom_A3": volume / sum(amounts.values()),
        "mobile_density_per_nm3": 1000.0 * amounts.get(ion, 0.0) / volume,
    }


def structure_features(described: Mapping[str, float]) -> dict[str, float]:
    """The columns `STRUCTURE` of `fastin.describe`, barriers bounded; what is unknown is left out."""
    found = {}
    for name in STRUCTURE:
        value = described.get(name, math.nan)
        if not math.isnan(value):
            found[name] = min(value, _HIGHEST_BARRIER) if name.startswith("barrier") else value
    return found


def cell_volume(lengths: Sequence[float], angles: Sequence[float]) -> float:
    a, b, g = np.cos(np.radians(angles))
    return float(np.prod(lengths) * math.sqrt(1 - a * a - b * b - g * g + 2 * a * b * g))


def obelix(shared: Path, cache: Path | None = None) -> dict[str, dict[str, Any]]:
    rows = records(shared / "data" / "obelix_train.jsonl.gz")
    amounts = [parse_formula(r["true_composition"]) for r in rows]
    jobs = {
        f"obelix-{r['id']}": lambda r=r: fastin.describe(
            fastin.Crystal.from_cif_string(r["cif"], source=r["id"]), "Li", on_error="nan", resolution=0.25
        )
        for r in rows
        if r["cif"]
    }
    found = cached(cache, jobs) if cache is not None else {}
    described = [found.get(f"obelix-{r['id']}", {}) for r in rows]
    common = {
        "formula": [composition_features(a) for a in amounts],
        "lattice": [
            lattice_features(float(r["sg"]), cell_volume(r["abc"], r["angles"]), a)
            for r, a in zip(rows, amounts, strict=True)
        ],
        "structure": [structure_features(d) for d in described],
        "describe": [{k: max(min(v, 1e6), -1e6) for k, v in d.items()} for d in described],
        "groups": components([r["doi"] for r in rows], [reduced(a) for a in amounts]),
        "with_structure": np.array([bool(r["cif"]) for r in rows]),
        "amounts": amounts,
    }
    y = np.array([r["log10_sigma"] for r in rows])
    with (shared / "data" / "obelix_experimental_ea.csv").open() as stream:
        energies = {r["obelix_id"]: float(r["Ea_exp_eV"]) for r in csv.DictReader(stream)}
    chosen = [i for i, r in enumerate(rows) if r["id"] in energies]
    second = {k: v[chosen] if isinstance(v, np.ndarray) else [v[i] for i in chosen] for k, v in common.items()}
    second["groups"] = components([rows[i]["doi"] for i in chosen], [reduced(amounts[i]) for i in chosen])
    source = "OBELiX training split (CC BY 4.0)"
    return {
        "log10_conductivity": {**common, "y": y, "source": source},
        "experimental_activation_energy": {
            **second,
            "y": np.array([energies[rows[i]["id"]] for i in chosen]),
            "source": f"{source}; F. A. L. Laskowski et al., Energy Environ. Sci. 16, 1264 (2023)",
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("features.json"))
    parser.add_argument("--out", type=Path, default=RESULTS / "ml_experiments.json")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--ship", type=Path)
    parser.add_argument("--only-ship", action="store_true", help="scores from --out, forests of the winners anew")
    options = parser.parse_args()
    fastin.set_num_threads(1)
    results: dict[str, Any] = json.loads(options.out.read_text()) if options.out.is_file() else {}
    seeds = range(options.first_seed, options.first_seed + options.repeats)
    for name, data in obelix(options.shared, options.cache).items():
        if options.only_ship and options.ship is not None:
            results[name]["shipped"] = shipped(name, data, options.ship, results[name]["models"], {})
        else:
            results[name] = study(name, data, options.ship, seeds)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

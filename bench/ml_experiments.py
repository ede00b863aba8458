"""Item 5: conductivities, activation energies and NEB barriers from composition and `fastin.describe`, grouped CV.

    python bench/ml_experiments.py --shared ../shared --cache features.json --out bench/results/ml_experiments.json

Descriptors are computed once and kept in the cache (it continues where it stopped). Groups of the cross-validation
are connected components of equal DOI or equal reduced composition, so that no paper and no composition is on both
sides. `--ship DIR` fits the winner on everything and writes the forests that fastin ships.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

import fastin
from fastin.ml.composition import composition_features, composition_names, parse_formula
from fastin.ml.forest import Forest, fit_uncertainty
from fastin.ml.metrics import calibration, regression_scores
from fastin.ml.splits import grouped_folds

FOLDS = 5


def records(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream if line.strip()]


def described(cache: Path, jobs: dict[str, Any]) -> dict[str, dict[str, float]]:
    """`fastin.describe` of each structure by name; what fails is an empty dictionary with its reason under "error"."""
    found: dict[str, Any] = json.loads(cache.read_text()) if cache.is_file() else {}
    for count, (name, make) in enumerate(jobs.items()):
        if name in found:
            continue
        try:
            source, ion = make()
            row = fastin.describe(source, ion, on_error="nan", resolution=0.25)
            found[name] = {k: v if math.isfinite(v) else None for k, v in row.items()}
        except fastin.FastinError as error:
            found[name] = {"error": f"{type(error).__name__}: {error}"}
        if count % 20 == 0:
            cache.write_text(json.dumps(found))
            print(f"described {len(found)} of {len(jobs)}", flush=True)
    cache.write_text(json.dumps(found))
    return {k: {n: math.nan if x is None else x for n, x in v.items()} for k, v in found.items() if "error" not in v}


def neb_structure(row: dict[str, Any]) -> tuple[Any, str]:
    """The cell of a NEB path with the mobile ion on its first image (five positions of it are merged in the file)."""
    from pymatgen.core import Lattice, Structure

    ion = row["mobile"]
    keep = [0, *range(5, len(row["elements"]))]
    structure = Structure(Lattice(row["lattice"]), [row["elements"][i] for i in keep], [row["coords"][i] for i in keep])
    return structure, ion


def reduced(formula: str) -> str:
    amounts = parse_formula(formula)
    total = sum(amounts.values())
    return " ".join(f"{e}{v / total:.3f}" for e, v in sorted(amounts.items()))


def components(*keys: list[Any]) -> np.ndarray:
    """Group of each row: rows that share a value of any key are together; empty values join nothing."""
    parent = list(range(len(keys[0])))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for column in keys:
        first: dict[Any, int] = {}
        for i, value in enumerate(column):
            if value in (None, "", "nan"):
                continue
            parent[root(i)] = root(first.setdefault(value, i))
    return np.array([root(i) for i in range(len(parent))])


def table(rows: list[dict[str, float]]) -> tuple[list[str], np.ndarray]:
    names = sorted({name for row in rows for name in row}, key=lambda n: (n not in composition_names(), n))
    return names, np.array([[row.get(name, np.nan) for name in names] for row in rows], float)


def models() -> dict[str, Any]:
    from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    def filled(model: Any) -> Any:
        return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), model)

    return {
        "extra trees": lambda s: filled(ExtraTreesRegressor(300, min_samples_leaf=2, max_features=0.4, random_state=s)),
        "random forest": lambda s: filled(RandomForestRegressor(300, max_features=0.4, random_state=s)),
        "gradient boosting": lambda s: HistGradientBoostingRegressor(
            max_iter=200, learning_rate=0.05, max_leaf_nodes=15, l2_regularization=1.0, random_state=s
        ),
    }


def cross_validate(x: np.ndarray, y: np.ndarray, groups: np.ndarray, make: Any, repeats: int) -> np.ndarray:
    """(repeats, n) out-of-fold predictions."""
    out = np.full((repeats, len(y)), np.nan)
    for repeat in range(repeats):
        for train, test in grouped_folds(groups, FOLDS, repeat):
            out[repeat, test] = make(repeat).fit(x[train], y[train]).predict(x[test])
    return out


def study(name: str, data: dict[str, Any], ship: Path | None, repeats: int, chosen: list[str]) -> dict[str, Any]:
    """Cross-validated scores of every model on every set of features; the forest of the best for shipping."""
    y, groups, subset = data["y"], data["groups"], data["with_structure"]
    result: dict[str, Any] = {
        "repeats": repeats,
        "rows": len(y),
        "with_structure": int(subset.sum()),
        "groups": len(set(groups.tolist())),
    }
    constant = np.full_like(y, np.median(y))
    result["median constant"] = {"all": regression_scores(y, constant)}
    result["models"] = {}
    for kind in ("composition", "composition + structure"):
        rows = [
            dict(c) if kind == "composition" else {**c, **s}
            for c, s in zip(data["composition"], data["structure"], strict=True)
        ]
        names, x = table(rows)
        for model, make in ((m, models()[m]) for m in chosen):
            predicted = cross_validate(np.clip(x, -1e30, 1e30), y, groups, make, repeats)
            every = [regression_scores(y, p) for p in predicted]
            part = [regression_scores(y[subset], p[subset]) for p in predicted]
            scores = {
                "all": {k: float(np.mean([e[k] for e in every])) for k in every[0]},
                "with structure": {k: float(np.mean([e[k] for e in part])) for k in part[0]},
            }
            result["models"][f"{model}, {kind}"] = scores
            print(
                f"{name}: {model}, {kind}: MAE {scores['all']['mae']:.3f}, with structure "
                f"{scores['with structure']['mae']:.3f}",
                flush=True,
            )
        if ship is not None:
            result.setdefault("shipped", {})[kind] = fit_forest(name, kind, names, x, data, ship)
    return result


def fit_forest(
    name: str, kind: str, names: list[str], x: np.ndarray, data: dict[str, Any], ship: Path
) -> dict[str, Any]:
    """Forest of all rows, with the uncertainty fitted on out-of-fold predictions."""
    y, groups = data["y"], data["groups"]
    mean, spread = np.empty_like(y), np.empty_like(y)
    for train, test in grouped_folds(groups, FOLDS, 0):
        trees = Forest.fit(names, x[train], y[train], {}, trees=150).trees(x[test])
        mean[test], spread[test] = trees.mean(axis=0), trees.std(axis=0)
    uncertainty = fit_uncertainty(y - mean, spread)
    std = np.hypot(uncertainty["scale"] * spread, uncertainty["floor"])
    card = {
        "target": name,
        "features": kind,
        "rows": len(y),
        "cross_validation": regression_scores(y, mean),
        "calibration": calibration(y, mean, std),
        "uncertainty": uncertainty,
        "elements": sorted({e for f in data["formula"] for e in parse_formula(f)}),
        "data": data["source"],
    }
    forest = Forest.fit(names, x, y, card, trees=150)
    file = ship / f"{name}-{'structure' if 'structure' in kind else 'composition'}.npz"
    forest.save(file)
    return {**card, "file": file.name, "bytes": file.stat().st_size}


def obelix(shared: Path, cache: Path) -> dict[str, dict[str, Any]]:
    rows = records(shared / "data" / "obelix_train.jsonl.gz")
    jobs = {
        f"obelix-{r['id']}": lambda r=r: (fastin.Crystal.from_cif_string(r["cif"], source=r["id"]), "Li")
        for r in rows
        if r["cif"]
    }
    found = described(cache, jobs)
    extra = [
        {"space_group_given": float(r["sg"]), **{f"cell_{k}": float(v) for k, v in zip("abc", r["abc"], strict=True)}}
        for r in rows
    ]
    base = [{**composition_features(r["true_composition"]), **e} for r, e in zip(rows, extra, strict=True)]
    structure = [found.get(f"obelix-{r['id']}", {}) for r in rows]
    groups = components([r["doi"] for r in rows], [reduced(r["true_composition"]) for r in rows])
    common = {
        "composition": base,
        "structure": structure,
        "groups": groups,
        "with_structure": np.array([bool(r["cif"]) for r in rows]),
        "formula": [r["true_composition"] for r in rows],
        "source": "OBELiX training split (CC BY 4.0)",
    }
    y = np.array([r["log10_sigma"] for r in rows])
    with (shared / "data" / "obelix_experimental_ea.csv").open() as stream:
        energies = {r["obelix_id"]: float(r["Ea_exp_eV"]) for r in csv.DictReader(stream)}
    chosen = [i for i, r in enumerate(rows) if r["id"] in energies]

    def pick(values: Any) -> Any:
        return values[chosen] if isinstance(values, np.ndarray) else [values[i] for i in chosen]

    second = {k: v if k == "source" else pick(v) for k, v in common.items()}
    return {
        "log10_conductivity": {**common, "y": y},
        "experimental_activation_energy": {**second, "y": np.array([energies[rows[i]["id"]] for i in chosen])},
    }


def neb(shared: Path, cache: Path) -> dict[str, dict[str, Any]]:
    rows = records(shared / "data" / "neb_barriers_train.jsonl.gz")
    found = described(cache, {r["id"]: lambda r=r: neb_structure(r) for r in rows})
    base = []
    for r in rows:
        ion = r["mobile"]
        kinds = dict.fromkeys(r["elements"])
        amounts = {e: float(r["elements"][5:].count(e) + (e == ion)) for e in kinds}
        base.append({**composition_features(amounts, ion), "mobile_number": float(ord(ion[0]))})
    formulas = [
        "".join(f"{e}{(r['elements'][5:].count(e) + (e == r['elements'][0])):g}" for e in dict.fromkeys(r["elements"]))
        for r in rows
    ]
    data = {
        "composition": base,
        "structure": [found.get(r["id"], {}) for r in rows],
        "groups": components([reduced(f) for f in formulas], [r["sys_name"] for r in rows]),
        "with_structure": np.array([r["id"] in found for r in rows]),
        "formula": formulas,
        "source": "Devi et al., training split (MIT)",
        "y": np.array([float(r["Em_eV"]) for r in rows]),
    }
    return {"neb_barrier": data}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("features.json"))
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "results" / "ml_experiments.json")
    parser.add_argument("--sets", nargs="+", default=["obelix", "neb"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=["extra trees", "random forest", "gradient boosting"])
    parser.add_argument("--ship", type=Path)
    options = parser.parse_args()
    fastin.set_num_threads(1)
    results: dict[str, Any] = json.loads(options.out.read_text()) if options.out.is_file() else {}
    for which in options.sets:
        sets = obelix(options.shared, options.cache) if which == "obelix" else neb(options.shared, options.cache)
        for name, data in sets.items():
            results[name] = study(name, data, options.ship, options.repeats, options.models)
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

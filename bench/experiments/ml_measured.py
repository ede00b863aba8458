"""Measured conductivities and activation energies from compositions: grouped by paper, and whole families left out.

    python bench/experiments/ml_measured.py --data DATA [--ship DIR] [--repeats 3]

Rows: OBELiX training split with the activation energies joined to it, and the Liverpool and Laskowski tables without
the official test's papers and compositions (`measured_extra.csv`). Folds keep papers and compositions together; for
activation energies they are made of the rows that have one. Scores are of OBELiX rows (and of those with a CIF), as
means over rows and over papers with a bootstrap over papers; censored rows count as bounds, as `<1e-10` = 1e-10, and
as 1e-15 (OBELiX's loader). Domain constants are fitted on papers and on families left out.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, components, records, reduced

from fastin.errors import InputError
from fastin.ml.composition import composition_features, mover_profile
from fastin.ml.forest import Forest
from fastin.ml.formula import check_compound, parse_formula
from fastin.ml.measured import Domain, fit_domain, local_error, weighted_quantile
from fastin.ml.splits import grouped_folds

FOLDS = 5
SCALE = {"log10_conductivity": "log10_conductivity", "experimental_activation_energy": "energy"}
ENERGY = "experimental_activation_energy"
THROUGH = 0.7  # share of the activation energy that comes through the predicted conductivity
LIMIT = 4.0  # Element Mover's Distance beyond which nothing is predicted
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
SMALLEST_FAMILY = 8
OF_PAPERS = 0.7  # most questions are about relatives of what was measured
GIVEN = {
    "log10_conductivity": "conductivity: measured energy and recipe",
    "experimental_activation_energy": "energy: measured conductivity",
}
TABLE_HEAD = """\
# Measured lithium conductors near room temperature: what the models of this folder were fitted to.
# OBELiX training split (10.1039/D5DD00441A); F. A. L. Laskowski et al., Energy Environ. Sci. 16, 1264 (2023); Liverpool
# LiIonDatabase; the last two as carried by OBELiX. CC BY 4.0. below = 1: the conductivity is an upper bound.
"""
#: A formula of the tables that lost its indices to the end and reads as another compound.
GARBLED = {"Li OCl 3": "Li3OCl"}
FILES = ("obelix_train.jsonl.gz", "obelix_experimental_ea.csv", "measured_extra.csv")
ERROR_COLUMNS = ("log10_sigma_error", "activation_energy_error_eV")  # in the order of SCALE


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
    columns["errors"] = {}
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


def weights_of(data: dict[str, Any], rows: np.ndarray) -> np.ndarray:
    """Weight of each row, so that the repeats of a composition count as one and a half measurements together."""
    counts = Counter(data["composition"][i] for i in rows)
    return np.array([1.0 / counts[data["composition"][i]] ** 0.5 for i in rows])


def fit(data: dict[str, Any], rows: np.ndarray, target: str, seed: int, card: dict[str, Any] | None = None) -> Forest:
    y = data["y"] if target == "log10_conductivity" else data["energy"]
    return Forest.fit(
        data["names"], data["x"][rows], y[rows], card or {}, trees=100, boosted=3, share=0.6, scale=SCALE[target],
        leaf=1, max_features=0.4, seed=seed, weight=weights_of(data, rows),
    )  # fmt: skip


def conductivity_apart_from(data: dict[str, Any], test: np.ndarray, family: bool, seed: int) -> np.ndarray:
    """Conductivities of the rows, predicted from papers and compositions (and families) of other rows."""
    known = np.flatnonzero(np.isfinite(data["y"]))
    shared = np.isin(data["doi"][known], data["doi"][test])
    shared |= np.isin(data["composition"], [data["composition"][i] for i in test])[known]
    if family:
        shared |= np.isin(data["family"][known].astype(str), data["family"][test].astype(str))
    return fit(data, known[~shared], "log10_conductivity", seed).mean_and_spread(data["x"][test])[0]


def line_at(data: dict[str, Any], rows: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Activation energies of conductivities by the line on the measured pairs among the rows."""
    both = rows[np.isfinite(data["y"][rows]) & np.isfinite(data["energy"][rows]) & ~data["below"][rows]]
    slope, intercept = robust_line(data["y"][both], data["energy"][both])
    return intercept + slope * sigma


def left_out(
    data: dict[str, Any], target: str, pool: np.ndarray, groups: np.ndarray, seeds: range
) -> list[tuple[Any, ...]]:
    """(kind, row, value, deviation, distance, repeat) of rows whose paper, or whose family, was not in the training."""
    found: list[tuple[Any, ...]] = []

    def score(kind: str, train: np.ndarray, test: np.ndarray, seed: int) -> None:
        value, deviation = fit(data, train, target, seed).mean_and_spread(data["x"][test])
        if target == ENERGY:
            sigma = conductivity_apart_from(data, test, kind != "paper", seed)
            value = (1.0 - THROUGH) * value + THROUGH * line_at(data, train, sigma)
        near = data["distance"][np.ix_(test, train)].min(axis=1)
        found.extend((kind, *row, seed) for row in zip(test.tolist(), value, deviation, near, strict=True))

    for seed in seeds:
        for train, test in grouped_folds(groups[pool], FOLDS, seed):
            score("paper", pool[train], pool[test], seed)
    for name, count in Counter(data["family"][pool]).items():
        if count < SMALLEST_FAMILY:
            continue
        test = pool[data["family"][pool] == name]
        train = pool[~np.isin(groups[pool], groups[test]) & (data["family"][pool] != name)]
        score(f"family {name}", train, test, 0)
    return found


def own_errors(found: list[tuple[Any, ...]], y: np.ndarray) -> np.ndarray:
    """Mean absolute error of each row when its paper was left out; NaN for the others."""
    sums, counts = np.zeros(len(y)), np.zeros(len(y))
    for kind, row, value, *_ in found:
        if kind == "paper":
            sums[row] += abs(value - y[row])
            counts[row] += 1
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def local_errors(
    data: dict[str, Any], found: list[tuple[Any, ...]], error: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """`local_error` of each record, from rows of other groups; where its family was left out, of other families."""
    out = []
    for kind, row, *_ in found:
        other = groups != groups[row]
        if kind != "paper":
            other &= data["family"] != data["family"][row]
        out.append(float(local_error(data["distance"][row], np.where(other, error, np.nan))))
    return np.array(out)


def domain_of(
    records_: list[tuple[Any, ...]], y: np.ndarray, pool: np.ndarray, papers: np.ndarray, local: np.ndarray
) -> Domain:
    """Domain constants: every paper counts alike; papers left out have the weight OF_PAPERS, families the rest."""
    rows = np.array([r[1] for r in records_])
    by_family = np.array([r[0] != "paper" for r in records_])
    weight = np.empty(len(rows))
    for kind in (True, False):
        own = np.flatnonzero(by_family == kind)
        counts = Counter(papers[rows[own]])
        weight[own] = [1.0 / counts[papers[i]] for i in rows[own]]
        weight[own] *= (1.0 - OF_PAPERS if kind else OF_PAPERS) / weight[own].sum()
    value, deviation, near = (np.array([r[k] for r in records_]) for k in (2, 3, 4))
    return fit_domain(y[rows], value, deviation, near, local, weight, by_family, float(np.median(y[pool])), LIMIT)


def mean_over(error: np.ndarray, papers: np.ndarray) -> dict[str, float]:
    """Mean over rows and over papers, with the standard error of the first by a bootstrap over papers."""
    names = np.unique(papers)
    sums = np.array([error[papers == n].sum() for n in names])
    counts = np.array([(papers == n).sum() for n in names])
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(names), (1000, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return {
        "rows": len(error),
        "papers": len(names),
        "mae": round(float(error.mean()), 4),
        "mae_error_by_paper": round(float(means.std()), 4),
        "mae_mean_of_papers": round(float((sums / counts).mean()), 4),
    }


def coverage(inside: np.ndarray, papers: np.ndarray) -> float:
    """Share inside, every paper counting alike."""
    return round(float(np.mean([inside[papers == n].mean() for n in np.unique(papers)])), 3)


def study(data: dict[str, Any], target: str, seeds: range) -> tuple[dict[str, Any], Domain, dict[int, float]]:
    """Scores, domain constants and out-of-paper predictions of the first repeat."""
    y = data["y"] if target == "log10_conductivity" else data["energy"]
    pool = np.flatnonzero(np.isfinite(y))
    groups = np.full(len(y), -1)
    groups[pool] = components(data["doi"][pool].tolist(), [data["composition"][i] for i in pool])
    found = left_out(data, target, pool, groups, seeds)
    data["errors"][target] = own_errors(found, y)
    every_local = local_errors(data, found, data["errors"][target], groups)
    domain = domain_of(found, y, pool, data["doi"], every_local)
    result: dict[str, Any] = {"training rows": len(pool), "groups": len(set(groups[pool].tolist()))}
    result["domain"] = asdict(domain)
    median = float(np.median(y[pool]))
    for kind in ("paper", "family"):
        mine = [k for k, r in enumerate(found) if r[0].startswith(kind)]
        own, local = [found[k] for k in mine], every_local[mine]
        rows, value, deviation, near = (np.array([r[k] for r in own]) for k in (1, 2, 3, 4))
        rows = rows.astype(int)
        pulled, width = domain.pull(value, near), domain.width(deviation, near, local)
        error = np.abs(pulled - y[rows])
        bound = data["below"][rows] & (target == "log10_conductivity")
        as_bound = np.where(bound & (pulled <= y[rows]), 0.0, error)
        papers = data["doi"][rows]
        said = near <= domain.limit
        subsets = {
            "all rows": said,
            "OBELiX rows": said & data["obelix"][rows],
            "OBELiX rows with CIF": said & data["cif"][rows],
        }
        scores: dict[str, Any] = {"refused": int((~said).sum()), "predictions": len(rows)}
        for name, mask in subsets.items():
            if mask.sum() < 5:
                continue
            scores[name] = {
                **mean_over(error[mask], papers[mask]),
                "mae_bounds": round(float(as_bound[mask].mean()), 4),
                "mae_without_pull": round(float(np.abs(value - y[rows])[mask].mean()), 4),
                "mae_constant": round(float(np.abs(median - y[rows])[mask].mean()), 4),
                "within_68": coverage((error <= domain.one * width)[mask], papers[mask]),
                "within_90": coverage((error <= domain.two * width)[mask], papers[mask]),
            }
            if target == "log10_conductivity":
                low = np.where(bound & (y[rows] <= -9.99), -15.0, y[rows])
                scores[name]["mae_censored_at_1e-15"] = round(float(np.abs(pulled - low)[mask].mean()), 4)
        per_family = {}
        for name, count in Counter(data["family"][rows[said]]).most_common():
            mask = said & (data["family"][rows] == name)
            if count / (len(seeds) if kind == "paper" else 1) >= 20:
                per_family[name] = {
                    "predictions": int(mask.sum()),
                    "mae": round(float(error[mask].mean()), 3),
                    "within_68": round(float((error <= domain.one * width)[mask].mean()), 3),
                    "within_90": round(float((error <= domain.two * width)[mask].mean()), 3),
                }
        scores["families"] = per_family
        result[f"{kind} left out"] = scores
    first = {int(r[1]): float(domain.pull(r[2], r[4])) for r in found if r[0] == "paper" and r[5] == seeds[0]}
    return result, domain, first


def energies(data: dict[str, Any], sigma: dict[int, float], energy: dict[int, float]) -> dict[str, Any]:
    """The lines between measured pairs, and what one measured quantity says of the other."""
    both = np.flatnonzero(np.isfinite(data["y"]) & np.isfinite(data["energy"]) & ~data["below"])
    x, y = data["y"][both], data["energy"][both]
    slope, intercept = robust_line(x, y)
    back_slope, back_intercept = robust_line(y, x)
    rows = np.array([i for i in energy if i in sigma])
    truth, papers = data["energy"][rows], data["doi"][rows]
    guess = np.array([sigma[i] for i in rows])
    out: dict[str, Any] = {"line": [intercept, slope], "inverse_line": [back_intercept, back_slope], "pairs": len(both)}

    def score(name: str, value: np.ndarray, wanted: np.ndarray) -> None:
        error = np.abs(value - wanted)
        counts = Counter(papers)
        weight = np.array([1.0 / counts[p] for p in papers])
        out[name] = {
            **mean_over(error, papers),
            "bias": round(float((value - wanted).mean()), 4),
            "half_widths": [round(weighted_quantile(error, weight, q), 4) for q in (0.6827, 0.90)],
        }
        if wanted is truth:
            out[name]["mae_below_0.7_eV"] = round(float(error[truth < 0.7].mean()), 4)

    score("energy: constant", np.full(len(rows), np.median(truth)), truth)
    score("energy: shipped recipe, pulled", np.array([energy[i] for i in rows]), truth)
    score("energy: measured conductivity", intercept + slope * data["y"][rows], truth)
    told = back_intercept + back_slope * truth
    score("conductivity: shipped recipe, pulled", guess, data["y"][rows])
    score("conductivity: measured energy", told, data["y"][rows])
    score("conductivity: measured energy and recipe", 0.5 * (told + guess), data["y"][rows])
    return out


def robust_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and intercept with Huber's loss: a few wrong pairs do not decide them."""
    from sklearn.linear_model import HuberRegressor

    model = HuberRegressor(epsilon=1.35).fit(x[:, None], y)
    return float(model.coef_[0]), float(model.intercept_)


def sources(data: dict[str, Any], seeds: range) -> dict[str, Any]:
    """MAE on OBELiX rows of the trees alone, without and with the other tables: the same folds."""
    y = data["y"]
    pool = np.flatnonzero(np.isfinite(y))
    groups = components(data["doi"][pool].tolist(), [data["composition"][i] for i in pool])
    out = {}
    for name, use in (("OBELiX only", data["obelix"]), ("all tables", np.ones(len(y), bool))):
        errors = []
        for seed in seeds:
            for train, test in grouped_folds(groups, FOLDS, seed):
                rows, own = pool[train], pool[test]
                rows, own = rows[use[rows]], own[data["obelix"][own]]
                if len(own):
                    value, _ = fit(data, rows, "log10_conductivity", seed).mean_and_spread(data["x"][own])
                    errors += list(zip(own, np.abs(value - y[own]), strict=True))
        rows = np.array([i for i, _ in errors])
        error = np.array([e for _, e in errors])
        out[name] = {"all": mean_over(error, data["doi"][rows])}
        with_cif = data["cif"][rows]
        out[name]["with CIF"] = mean_over(error[with_cif], data["doi"][rows][with_cif])
    return out


def ship(
    data: dict[str, Any], domains: dict[str, Domain], lines: dict[str, Any], scores: dict[str, Any], folder: Path
) -> None:
    """Forests of all rows with their cards, and the table of the measured compounds."""
    for target, domain in domains.items():
        y = data["y"] if target == "log10_conductivity" else data["energy"]
        rows = np.flatnonzero(np.isfinite(y))
        card = {
            **{"target": target, "model": "boosted and extremely randomised trees", "features": "formula"},
            **{"rows": len(rows), "papers": len(set(data["doi"][rows].tolist()))},
            "elements": sorted({e for i in rows for e in data["amounts"][i]}),
            "domain": asdict(domain),
            "cross_validation": scores[target]["paper left out"]["OBELiX rows"],
            "families_left_out": scores[target]["family left out"]["all rows"],
            "line": lines["line"],
            "inverse_line": lines["inverse_line"],
            "through_conductivity": THROUGH,
            "half_widths_given_the_other": lines[GIVEN[target]]["half_widths"],
            "data": "OBELiX training split; F. A. L. Laskowski et al. (2023); Liverpool LiIonDatabase (CC BY 4.0)",
            "data_sha256": {"files": list(FILES), "sha256": data["sha256"]},
            "split": "trained on every row; scores: five folds, no paper and no composition on both sides",
        }
        fit(data, rows, target, 0, card).save(folder / f"{target}-composition.npz")
    with (folder / "measured_lithium.csv").open("w", newline="", encoding="utf-8") as stream:
        stream.write(
            "# Measured lithium conductors near room temperature, as the models of this folder were fitted to them.\n"
        )
        stream.write("# OBELiX training split (10.1039/D5DD00441A), Laskowski et al. (10.1039/D2EE03499F), Liverpool\n")
        stream.write(
            "# LiIonDatabase, as carried by OBELiX: CC BY 4.0. below = 1: the conductivity is an upper bound.\n"
        )
        writer = csv.writer(stream)
        writer.writerow(["formula", "log10_sigma_S_cm", "below", "activation_energy_eV", "doi", *ERROR_COLUMNS])
        for i in range(len(data["y"])):
            cells = [f"{v:.3f}" if np.isfinite(v) else "" for v in (data["y"][i], data["energy"][i])]
            errors = [f"{e[i]:.3f}" if np.isfinite(e[i]) else "" for e in data["errors"].values()]
            writer.writerow([data["formula"][i], cells[0], int(data["below"][i]), cells[1], data["doi"][i], *errors])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ship", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "ml_measured.json")
    options = parser.parse_args()
    seeds = range(options.repeats)
    data = load(options.data)
    results: dict[str, Any] = {"sources": sources(data, seeds)}
    domains, predictions = {}, {}
    for target in SCALE:
        results[target], domains[target], predictions[target] = study(data, target, seeds)
    results["through conductivity"] = energies(
        data, predictions["log10_conductivity"], predictions["experimental_activation_energy"]
    )
    text = json.dumps(results, indent=1)
    print(text)
    options.out.write_text(text + "\n")
    if options.ship:
        ship(data, domains, results["through conductivity"], results, options.ship)


if __name__ == "__main__":
    main()

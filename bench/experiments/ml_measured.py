"""Measured conductivities and activation energies from compositions: grouped by paper, and whole families left out.

    python bench/experiments/ml_measured.py --data DATA [--ship DIR] [--repeats 2] [--records DIR] [--sources]

Rows: OBELiX training split with the activation energies joined to it, and the Liverpool and Laskowski tables without
the official test's papers and compositions (`measured_extra.csv`). Folds keep papers and compositions together; for
activation energies they are made of the rows that have one. Scores are of OBELiX rows (and of those with a CIF), as
means over rows and over papers with a bootstrap over papers; censored rows count as bounds, as `<1e-10` = 1e-10, and
as 1e-15 (OBELiX's loader). Domain constants are fitted on papers and on families left out; the quantiles of each row's
intervals come from the errors of other groups.
"""

from __future__ import annotations

import argparse
import csv
import json
import pickle
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, components
from measured_rows import FILES, load

from fastin.ml.forest import Forest
from fastin.ml.measured import Domain, family_codes, family_quantiles, fit_domain, weighted_quantile
from fastin.ml.splits import grouped_folds

FOLDS = 5
SCALE = {"log10_conductivity": "log10_conductivity", "experimental_activation_energy": "energy"}
ENERGY = "experimental_activation_energy"
THROUGH = 0.7  # share of the activation energy that comes through the predicted conductivity
LIMIT = 4.0  # Element Mover's Distance beyond which nothing is predicted
SMALLEST_FAMILY = 8
OF_PAPERS = 0.7  # most questions are about relatives of what was measured
GIVEN = {
    "log10_conductivity": "conductivity: measured energy and recipe",
    "experimental_activation_energy": "energy: measured conductivity",
}
RATIO_COLUMNS = ("log10_sigma_error_over_width", "activation_energy_error_over_width")  # in the order of SCALE


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


def line_at(data: dict[str, Any], rows: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Activation energies of conductivities by the line on the measured pairs among the rows."""
    both = rows[np.isfinite(data["y"][rows]) & np.isfinite(data["energy"][rows]) & ~data["below"][rows]]
    slope, intercept = robust_line(data["y"][both], data["energy"][both])
    return intercept + slope * sigma


Record = tuple[str, int, float, float, float, int]  # kind, row, value, deviation, distance, repeat


def left_out(
    data: dict[str, Any], target: str, groups: np.ndarray, repeats: int, folder: Path | None, told: list[Record]
) -> list[Record]:
    """Predictions of rows whose paper, or whose family, was not in the training.

    Args:
        data: columns of the rows.
        target: quantity.
        groups: of each row, -1 for rows without the quantity.
        repeats: of the folds by paper; families are left out once.
        folder: where the predictions of each fit are kept, and taken from; None: nowhere.
        told: for activation energies, those of the conductivity: its rows too were without their papers (or families).
    """
    pool = np.flatnonzero(groups >= 0)
    by_kind: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for kind, row, value, _, _, repeat in told:
        by_kind.setdefault((kind, row), []).append((repeat, value))

    def score(kind: str, train: np.ndarray, test: np.ndarray, seed: int) -> list[Record]:
        kept = None if folder is None else folder / f"{target}-{kind.replace(' ', '_')}-{seed}-{test[0]}.pkl"
        if kept is not None and kept.is_file():
            found: list[Record] = pickle.loads(kept.read_bytes())
        else:
            value, deviation = fit(data, train, target, seed).mean_and_spread(data["x"][test])
            near = data["distance"][np.ix_(test, train)].min(axis=1)
            found = [(kind, *row, seed) for row in zip(test.tolist(), value, deviation, near, strict=True)]
            if kept is not None:
                kept.write_bytes(pickle.dumps(found))
        if target == ENERGY:
            sigma = np.array([dict(by_kind[kind, r[1]]).get(seed, by_kind[kind, r[1]][0][1]) for r in found])
            line = line_at(data, train, sigma)
            found = [(*r[:2], (1 - THROUGH) * r[2] + THROUGH * e, *r[3:]) for r, e in zip(found, line, strict=True)]
        return found

    out: list[Record] = []
    for seed in range(repeats):
        for train, test in grouped_folds(groups[pool], FOLDS, seed):
            out += score("paper", pool[train], pool[test], seed)
    for name, count in Counter(data["family"][pool]).items():
        if count < SMALLEST_FAMILY:
            continue
        test = pool[data["family"][pool] == name]
        train = pool[~np.isin(groups[pool], groups[test]) & (data["family"][pool] != name)]
        out += score(f"family {name}", train, test, 0)
    return out


def paper_names(data: dict[str, Any]) -> np.ndarray:
    """Paper of each row; a row without a DOI is a paper of its own."""
    return np.array([doi or f"row {i}" for i, doi in enumerate(data["doi"])])


def domain_of(found: list[Record], y: np.ndarray, pool: np.ndarray, papers: np.ndarray) -> Domain:
    """Domain constants: every paper counts alike; papers left out have the weight OF_PAPERS, families the rest."""
    rows = np.array([r[1] for r in found])
    by_family = np.array([r[0] != "paper" for r in found])
    weight = np.empty(len(rows))
    for kind in (True, False):
        own = np.flatnonzero(by_family == kind)
        counts = Counter(papers[rows[own]])
        weight[own] = [1.0 / counts[papers[i]] for i in rows[own]]
        weight[own] *= (1.0 - OF_PAPERS if kind else OF_PAPERS) / weight[own].sum()
    value, deviation, near = (np.array([r[k] for r in found]) for k in (2, 3, 4))
    return fit_domain(y[rows], value, deviation, near, weight, float(np.median(y[pool])), LIMIT)


def own_ratios(found: list[Record], y: np.ndarray, domain: Domain) -> np.ndarray:
    """Mean over the repeats of error over width when the row's paper was left out; NaN for rows beyond the limit."""
    sums, counts = np.zeros(len(y)), np.zeros(len(y))
    for kind, row, value, deviation, near, _ in found:
        if kind == "paper" and near <= domain.limit:
            sums[row] += abs(float(domain.pull(value, near)) - y[row]) / float(domain.width(deviation, near))
            counts[row] += 1
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def shown_families(data: dict[str, Any]) -> np.ndarray:
    """Families as the shipped table has them: "" for rows that stand alone."""
    return np.array(["" if str(name).startswith("alone ") else str(name) for name in data["family"]])


def half_widths(
    data: dict[str, Any], found: list[Record], domain: Domain, ratios: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """(n, 2) half widths of each record, from the ratios of other groups; where its family was left out, of others."""
    family, papers = family_codes(shown_families(data)), paper_names(data)
    counts = Counter(papers)
    weight = np.array([1.0 / counts[p] for p in papers])
    out = []
    for kind, row, _, deviation, near, _ in found:
        other = groups != groups[row]
        if kind != "paper":
            other &= data["family"] != data["family"][row]
        known = np.where(other, ratios, np.nan)
        quantiles = family_quantiles(data["distance"][row], known, family, weight)
        out.append(np.array(quantiles) * float(domain.width(deviation, near)))
    return np.array(out)


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


def coverage(inside: np.ndarray, papers: np.ndarray) -> tuple[float, float]:
    """Share inside, every paper counting alike, and its standard error by a bootstrap over papers."""
    shares = np.array([inside[papers == n].mean() for n in np.unique(papers)])
    drawn = np.random.default_rng(0).integers(0, len(shares), (1000, len(shares)))
    return round(float(shares.mean()), 3), round(float(shares[drawn].mean(axis=1).std()), 3)


def study(
    data: dict[str, Any], target: str, repeats: int, folder: Path | None, told: list[Record]
) -> tuple[dict[str, Any], Domain, dict[int, float], list[Record]]:
    """Scores, domain constants, out-of-paper predictions of the first repeat, and all records."""
    y = data["y"] if target == "log10_conductivity" else data["energy"]
    pool = np.flatnonzero(np.isfinite(y))
    groups = np.full(len(y), -1)
    groups[pool] = components(data["doi"][pool].tolist(), [data["composition"][i] for i in pool])
    found = left_out(data, target, groups, repeats, folder, told)
    papers_of = paper_names(data)
    domain = domain_of(found, y, pool, papers_of)
    data["ratios"][target] = own_ratios(found, y, domain)
    widths = half_widths(data, found, domain, data["ratios"][target], groups)
    result: dict[str, Any] = {"training rows": len(pool), "groups": len(set(groups[pool].tolist()))}
    result["domain"] = asdict(domain)
    median = float(np.median(y[pool]))
    for kind in ("paper", "family"):
        mine = [k for k, r in enumerate(found) if r[0].startswith(kind)]
        own = [found[k] for k in mine]
        rows, value, near = (np.array([r[k] for r in own]) for k in (1, 2, 4))
        pulled, papers = domain.pull(value, near), papers_of[rows]
        error = np.abs(pulled - y[rows])
        bound = data["below"][rows] & (target == "log10_conductivity")
        as_bound = np.where(bound & (pulled <= y[rows]), 0.0, error)
        said = near <= domain.limit
        in_68, in_90 = error <= widths[mine, 0], error <= widths[mine, 1]
        scores: dict[str, Any] = {"refused": int((~said).sum()), "predictions": len(rows)}
        subsets = {
            "all rows": np.ones(len(rows), bool),
            "OBELiX rows": data["obelix"][rows],
            "OBELiX rows with CIF": data["cif"][rows],
        }
        for name, subset in subsets.items():
            mask = subset & said
            scores[name] = {
                **mean_over(error[mask], papers[mask]),
                "mae_bounds": round(float(as_bound[mask].mean()), 4),
                "mae_without_pull": round(float(np.abs(value - y[rows])[mask].mean()), 4),
                "mae_constant": round(float(np.abs(median - y[rows])[mask].mean()), 4),
                "within_68": coverage(in_68[mask], papers[mask])[0],
                "within_90": coverage(in_90[mask], papers[mask])[0],
            }
            if target == "log10_conductivity":
                low = np.where(bound & (y[rows] <= -9.99), -15.0, y[rows])
                scores[name]["mae_censored_at_1e-15"] = round(float(np.abs(pulled - low)[mask].mean()), 4)
        per_family = {}
        for name, count in Counter(data["family"][rows[said]]).most_common():
            mask = said & (data["family"][rows] == name)
            if count / (repeats if kind == "paper" else 1) < 20:
                continue
            (one, one_error), (two, two_error) = (coverage(x[mask], papers[mask]) for x in (in_68, in_90))
            per_family[name] = {
                "rows": len(np.unique(rows[mask])),
                "papers": len(np.unique(papers[mask])),
                "mae": round(float(error[mask].mean()), 3),
                "bias": round(float((pulled - y[rows])[mask].mean()), 3),
                "within_68": one,
                "within_68_error_by_paper": one_error,
                "within_90": two,
                "within_90_error_by_paper": two_error,
                "rows_within_68": round(float(in_68[mask].mean()), 3),
                "rows_within_90": round(float(in_90[mask].mean()), 3),
                "half_width_68": round(float(np.median(widths[mine, 0][mask])), 3),
            }
        scores["families"] = per_family
        result[f"{kind} left out"] = scores
    first = {r[1]: float(domain.pull(r[2], r[4])) for r in found if r[0] == "paper" and r[5] == 0}
    return result, domain, first, found


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


def sources(data: dict[str, Any], repeats: int) -> dict[str, Any]:
    """MAE on OBELiX rows of the trees alone, without and with the other tables: the same folds."""
    y = data["y"]
    pool = np.flatnonzero(np.isfinite(y))
    groups = components(data["doi"][pool].tolist(), [data["composition"][i] for i in pool])
    out = {}
    for name, use in (("OBELiX only", data["obelix"]), ("all tables", np.ones(len(y), bool))):
        errors = []
        for seed in range(repeats):
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
        writer.writerow(
            ["formula", "log10_sigma_S_cm", "below", "activation_energy_eV", "doi", "family", *RATIO_COLUMNS]
        )
        family = shown_families(data)
        for i in range(len(data["y"])):
            cells = [f"{v:.3f}" if np.isfinite(v) else "" for v in (data["y"][i], data["energy"][i])]
            told = [f"{e[i]:.3f}" if np.isfinite(e[i]) else "" for e in data["ratios"].values()]
            writer.writerow(
                [data["formula"][i], cells[0], int(data["below"][i]), cells[1], data["doi"][i], family[i], *told]
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ship", type=Path)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--records", type=Path, help="folder: predictions of each fit, kept and taken from there")
    parser.add_argument("--sources", action="store_true", help="also what the tables beside OBELiX's bring")
    parser.add_argument("--out", type=Path, default=RESULTS / "ml_measured.json")
    options = parser.parse_args()
    if options.records is not None:
        options.records.mkdir(parents=True, exist_ok=True)
    data = load(options.data)
    results: dict[str, Any] = {"repeats": options.repeats}
    if options.sources:
        results["sources"] = sources(data, options.repeats)
    domains, predictions = {}, {}
    told: list[Record] = []
    for target in SCALE:
        results[target], domains[target], predictions[target], told = study(
            data, target, options.repeats, options.records, told
        )
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

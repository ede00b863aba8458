"""DFT-NEB barriers of single hops by trees: grouped by host, by chemical system, and by the data set's random split.

    python bench/experiments/ml_neb.py --data DATA [--repeats 2] [--ship DIR]

Rows: the published training split of R. Devi et al. (npj Comput. Mater. 2026, 10.1038/s41524-026-01972-8), Li, Na, K,
Rb, Mg, Ca, Zn, Al and Sr. Rows of unsound geometry are kept and scored, and not trained on. They are found by rule
(`flags`):

* ``contact``: the straight line between the ends (nearest image) passes within 1.2 A of an atom that stays;
* ``label``: above 5 eV;
* ``translation``: the ends are a whole lattice vector of the crystal apart while another site is nearer, and the label
  is less than half of the published MACE-MP NEB value: the label is that of the short hop.

The trees predict what is left of the target after a share of the bond valence barrier, both as logarithms; scores with
the share chosen inside each fold and without it stand beside.
Scores are means over rows and over hosts, with a bootstrap over hosts; intervals are made on the other hosts' errors.
The published MACE-MP NEB value is tried as one more feature (a barrier that a user's own potential would give); the
model that ships does without.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, components, records, reduced

import fastin
from fastin.crystal.crystal import as_crystal
from fastin.ml.composition import composition_features
from fastin.ml.forest import Forest, fit_uncertainty
from fastin.ml.measured import weighted_quantile
from fastin.ml.metrics import regression_scores
from fastin.ml.migration import SOUND_CONTACT, hop_features, nearest_image, straight_contact
from fastin.ml.splits import grouped_folds

FILE = "neb_barriers_train.jsonl.gz"
FOLDS = 5
HIGHEST = 5.0  # eV: labels above are no barriers
TREES, SHARE = 100, 0.2  # trees, and share of the features that a split looks at
BARRIER = "hop_spse_barrier_eV"
SHARES = (0.0, 0.1, 0.2, 0.3)  # of the bond valence barrier on the scale of the target, tried inside each fold
OFFSET = {BARRIER: 0.2}  # the share that ships
FLOOR = 0.05  # eV: smallest half width of a 68 % interval
EDGES = (0.0, 0.3, 0.6, 1.0, 2.0, 5.0)  # eV, of the published barrier
SAME = 0.1  # A within which a shifted atom meets another of its kind
Row = dict[str, Any]


def neb_hop(row: Row) -> tuple[Any, str, np.ndarray, np.ndarray]:
    """Cell of a path with the moving ion on its first image, the ion, and both ends.

    Five images of the moving ion are merged in the file; some rows hold it once more among the atoms that stay. The end
    is the image nearest to the start.
    """
    from pymatgen.core import Lattice, Structure

    lattice = Lattice(row["lattice"])
    start, end = np.array(row["coords"][0], float), np.array(row["coords"][4], float)
    end = nearest_image(lattice.matrix, start, end)
    rest = np.array(row["coords"][5:], float)
    species = np.array(row["elements"][5:])
    near = np.any(lattice.get_all_distances([start, end], rest) < 0.5, axis=0)
    twice = near & (species == row["elements"][0])
    kept = [row["elements"][0], *species[~twice]]
    return Structure(lattice, kept, [start, *rest[~twice]]), row["elements"][0], start, end


def flags(row: Row, structure: Any, ion: str, start: np.ndarray, end: np.ndarray) -> list[str]:
    """Why the geometry or the label of a row is unsound; empty where it is not."""
    found = []
    if straight_contact(as_crystal(structure), ion, start, end)[0] < SOUND_CONTACT:
        found.append("contact")
    if float(row["Em_eV"]) > HIGHEST:
        found.append("label")
    mace = float(row["Em_mace_neb"] or "nan")
    if float(row["Em_eV"]) < 0.5 * mace and _past_a_site(structure, ion, start, end):
        found.append("translation")
    return found


def _past_a_site(structure: Any, ion: str, start: np.ndarray, end: np.ndarray) -> bool:
    """Whether the hop is a translation of the framework and passes by a nearer site of the ion."""
    frac = structure.frac_coords[1:]
    kind = np.array([site.specie.symbol for site in structure][1:])
    cell = structure.lattice.matrix
    stays = kind != ion
    gap = frac[stays][None] - (frac[stays] + end - start)[:, None]
    apart = np.linalg.norm((gap - np.round(gap)) @ cell, axis=-1)
    apart[kind[stays][None] != kind[stays][:, None]] = np.inf
    if apart.min(axis=1).max(initial=0.0) > SAME:
        return False
    near = frac[~stays] - start
    sites = np.linalg.norm((near - np.round(near)) @ cell, axis=-1)
    return bool(sites.min(initial=np.inf) < 0.8 * np.linalg.norm((end - start) @ cell))


def load(data: Path, cache: Path | None = None) -> dict[str, Any]:
    """Features, labels, flags and groups of every row; one whose crystal cannot be read has features of its formula."""
    path = data / FILE
    rows = records(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = json.loads(cache.read_text()) if cache is not None and cache.is_file() else {}
    if known.get("sha256") != digest:
        known = {"sha256": digest, "rows": {}}
        for row in rows:
            structure, ion, start, end = neb_hop(row)
            own: Row = {"flags": [], "hop": {}}
            try:
                own["flags"] = flags(row, structure, ion, start, end)
                own["hop"] = hop_features(as_crystal(structure), ion, start, end, landscape=False)
            except fastin.FastinError as error:
                own["flags"].append("unreadable")
                print(f"{row['id']} {row['sys_name']}: {error}", flush=True)
            known["rows"][row["id"]] = own
        if cache is not None:
            cache.write_text(json.dumps(known))
    ions = [r["elements"][0] for r in rows]
    amounts = [
        {e: float(r["elements"][5:].count(e) + (e == ion)) for e in dict.fromkeys([ion, *r["elements"][5:]])}
        for r, ion in zip(rows, ions, strict=True)
    ]
    hosts = [{e: v for e, v in a.items() if e != ion} for a, ion in zip(amounts, ions, strict=True)]
    own = [known["rows"][r["id"]] for r in rows]
    features = [{**composition_features(a, i), **o["hop"]} for a, i, o in zip(amounts, ions, own, strict=True)]
    names = sorted({name for row in features for name in row})
    return {
        "names": names,
        "x": np.array([[row.get(name, np.nan) for name in names] for row in features], float),
        "y": np.array([float(r["Em_eV"]) for r in rows]),
        "mace": np.array([float(r["Em_mace_neb"] or "nan") for r in rows]),
        "flags": [o["flags"] for o in own],
        "sound": np.array([not o["flags"] for o in own]),
        "host": components([reduced(h) for h in hosts]),
        "system": components(["-".join(sorted(h)) for h in hosts]),
        "random": np.arange(len(rows)),
        "ion": np.array(ions),
        "amounts": amounts,
        "id": [r["id"] for r in rows],
        "sha256": digest,
    }


def fit(
    data: dict[str, Any],
    x: np.ndarray,
    rows: np.ndarray,
    seed: int,
    card: dict[str, Any] | None = None,
    trees: int = TREES,
) -> Forest:
    """Trees on the sound ones of some rows."""
    rows = rows[data["sound"][rows]]
    names = [*data["names"], *(str(k) for k in range(x.shape[1] - len(data["names"])))]
    return Forest.fit(
        *(names, x[rows], data["y"][rows], card or {}),
        **{"trees": trees, "scale": "energy", "leaf": 1, "max_features": SHARE, "seed": seed},
        offset=data.get("offset", OFFSET),
    )


def chosen_inside(
    data: dict[str, Any], x: np.ndarray, groups: np.ndarray, seeds: range
) -> tuple[np.ndarray, list[float]]:
    """Predictions of rows whose group was left out, with the share of the bond valence barrier chosen on the others."""
    out = np.full((len(seeds), len(data["y"])), np.nan)
    shares = []
    for i, seed in enumerate(seeds):
        for train, test in grouped_folds(groups, FOLDS, seed):
            loss = {}
            for share in SHARES:
                own = data | {"offset": {BARRIER: share}}
                left = np.full(len(data["y"]), np.nan)
                for a, b in grouped_folds(groups[train], 3, 100 + seed):
                    left[train[b]] = fit(own, x, train[a], seed, trees=40).mean_and_spread(x[train[b]])[0]
                loss[share] = float(np.abs(left - data["y"])[train[data["sound"][train]]].mean())
            shares.append(min(loss, key=loss.__getitem__))
            own = data | {"offset": {BARRIER: shares[-1]}}
            out[i, test] = fit(own, x, train, seed).mean_and_spread(x[test])[0]
    return out, shares


def out_of_fold(data: dict[str, Any], x: np.ndarray, groups: np.ndarray, seeds: range) -> tuple[np.ndarray, np.ndarray]:
    """(repeats, n) predictions and spreads of rows whose group was left out."""
    mean = np.full((len(seeds), len(data["y"])), np.nan)
    spread = mean.copy()
    for i, seed in enumerate(seeds):
        for train, test in grouped_folds(groups, FOLDS, seed):
            mean[i, test], spread[i, test] = fit(data, x, train, seed).mean_and_spread(x[test])
    return mean, spread


def constant(data: dict[str, Any], groups: np.ndarray, seeds: range) -> np.ndarray:
    out = np.full((len(seeds), len(data["y"])), np.nan)
    for i, seed in enumerate(seeds):
        for train, test in grouped_folds(groups, FOLDS, seed):
            out[i, test] = np.median(data["y"][train[data["sound"][train]]])
    return out


def scores(y: np.ndarray, predicted: np.ndarray, rows: np.ndarray, hosts: np.ndarray) -> dict[str, float]:
    """Means over the repeats; errors of the MAE by a bootstrap over hosts."""
    error = np.abs(predicted[:, rows] - y[rows]).mean(axis=0)
    names, number = np.unique(hosts[rows], return_inverse=True)
    sums, counts = np.bincount(number, error), np.bincount(number)
    drawn = np.random.default_rng(0).integers(0, len(names), (1000, len(names)))
    every = [regression_scores(y[rows], p[rows]) for p in predicted]
    low, said = y[rows] < 0.65, predicted[:, rows] < 0.65
    return {
        "rows": int(rows.sum()),
        "hosts": len(names),
        "mae": round(float(error.mean()), 4),
        "mae_error_by_host": round(float((sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)).std()), 4),
        "mae_mean_of_hosts": round(float((sums / counts).mean()), 4),
        "r2": round(float(np.mean([e["r2"] for e in every])), 4),
        "bias": round(float((predicted[:, rows] - y[rows]).mean()), 4),
        "accuracy_at_0.65_eV": round(float((said == low).mean()), 4),
    }


def paired(y: np.ndarray, new: np.ndarray, old: np.ndarray, data: dict[str, Any]) -> dict[str, float]:
    """Difference of two mean absolute errors on the sound rows, with its error by a bootstrap over hosts."""
    rows = data["sound"]
    gain = (np.abs(new - y) - np.abs(old - y)).mean(axis=0)[rows]
    _, number = np.unique(data["host"][rows], return_inverse=True)
    sums, counts = np.bincount(number, gain), np.bincount(number)
    drawn = np.random.default_rng(0).integers(0, len(sums), (2000, len(sums)))
    again = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return {"difference_eV": round(float(gain.mean()), 4), "error_eV": round(float(again.std()), 4)}


def widths(error: np.ndarray, spread: np.ndarray, hosts: np.ndarray) -> dict[str, float]:
    """Constants of the intervals: std and the factor of the 90 % one; every host counts alike."""
    found = fit_uncertainty(error, spread)
    found["floor"] = max(found["floor"], FLOOR)
    std = np.hypot(found["scale"] * spread, found["floor"])
    _, number, counts = np.unique(hosts, return_inverse=True, return_counts=True)
    ratio, weight = np.abs(error) / std, 1.0 / counts[number]
    one = weighted_quantile(ratio, weight, 0.6827)
    scaled = {"scale": found["scale"] * one, "floor": found["floor"] * one}
    return {**scaled, "two": weighted_quantile(ratio, weight, 0.90) / one}


def coverage(data: dict[str, Any], mean: np.ndarray, spread: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """Share of sound rows inside intervals whose constants come from the rows of other groups."""
    rows = np.flatnonzero(data["sound"])
    inside = np.full((2, len(mean), len(data["y"])), np.nan)
    for train, test in grouped_folds(groups[rows], FOLDS, 7):
        train, test = rows[train], rows[test]
        for i in range(len(mean)):
            error = data["y"] - mean[i]
            c = widths(error[train], spread[i][train], data["host"][train])
            std = np.hypot(c["scale"] * spread[i][test], c["floor"])
            inside[0, i, test] = np.abs(error[test]) <= std
            inside[1, i, test] = np.abs(error[test]) <= c["two"] * std
    both = inside.mean(axis=1)
    hosts = data["host"]

    def share(mask: np.ndarray) -> dict[str, float]:
        own = np.flatnonzero(mask & data["sound"])
        per_host = [both[:, own[hosts[own] == h]].mean(axis=1) for h in np.unique(hosts[own])]
        out = {"rows": len(own)}
        for k, name in enumerate(("68", "90")):
            out[f"within_{name}"] = round(float(both[k, own].mean()), 3)
            out[f"within_{name}_mean_of_hosts"] = round(float(np.mean([p[k] for p in per_host])), 3)
        return out

    names, counts = np.unique(data["ion"][rows], return_counts=True)
    found = {"all": share(np.ones(len(hosts), bool))}
    return found | {str(n): share(data["ion"] == n) for n, c in zip(names, counts, strict=True) if c >= 20}


def ship(data: dict[str, Any], x: np.ndarray, result: dict[str, Any], limits: dict[str, float], folder: Path) -> None:
    """Forest of all sound rows with its card."""
    rows = np.flatnonzero(data["sound"])
    length = data["x"][rows, data["names"].index("hop_length_A")]
    card = {
        "target": "neb_barrier",
        "model": "extremely randomised trees",
        "features": "formula + hop",
        "rows": len(rows),
        "rows_left_out": int((~data["sound"]).sum()),
        "hosts": len(set(data["host"][rows].tolist())),
        "split": "trained on every sound row; scores: five folds, no host composition on both sides",
        "cross_validation": result["host"]["trees, share chosen inside"]["sound rows"],
        "calibration": result["intervals"]["all"],
        "uncertainty": limits,
        "elements": sorted({e for i in rows for e in data["amounts"][i]}),
        "ions": sorted(set(data["ion"][rows].tolist())),
        "hop_length_A": [float(length.min()), float(length.max())],
        "contact_A": SOUND_CONTACT,
        "data": "R. Devi et al., npj Comput. Mater. 2026, 10.1038/s41524-026-01972-8, training split (MIT)",
        "data_sha256": data["sha256"],
    }
    fit(data, x, np.arange(len(data["y"])), 0, card).save(folder / "neb_barrier-hop.npz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="JSON file that keeps the features")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "ml_neb.json")
    parser.add_argument("--ship", type=Path)
    options = parser.parse_args()
    fastin.set_num_threads(1)
    seeds = range(options.repeats)
    data = load(options.data, options.cache)
    x, y = data["x"], data["y"]
    with_mace = np.column_stack([x, data["mace"]])
    result: dict[str, Any] = {
        "rows": len(y),
        "flags": {f: sum(f in own for own in data["flags"]) for f in ("contact", "label", "translation", "unreadable")},
        "sound_rows": int(data["sound"].sum()),
        "flagged": {i: own for i, own in zip(data["id"], data["flags"], strict=True) if own},
    }
    subsets = {"all rows": np.ones(len(y), bool), "sound rows": data["sound"]}
    for level in ("host", "system", "random"):
        groups = data[level]
        mean, spread = out_of_fold(data, x, groups, seeds)
        told = {
            "trees": mean,
            "trees, with the MACE-MP NEB value": out_of_fold(data, with_mace, groups, seeds)[0],
            "constant": constant(data, groups, seeds),
        }
        if level == "host":
            without = out_of_fold(data | {"offset": {}}, x, groups, seeds)[0]
            told["trees, no share of the bond valence barrier"] = without
            told["trees, share chosen inside"], shares = chosen_inside(data, x, groups, seeds)
            result["gain_of_the_share"] = paired(y, told["trees, share chosen inside"], without, data)
            result["shares_chosen"] = {str(share): shares.count(share) for share in SHARES}
        result[level] = {
            name: {kind: scores(y, p, rows, data["host"]) for kind, rows in subsets.items()} for name, p in told.items()
        }
        result[level]["groups"] = len(set(groups.tolist()))
        if level == "host":
            result["intervals"] = coverage(data, mean, spread, groups)
            result["by_barrier"] = [
                {
                    "from_eV": low,
                    "to_eV": high,
                    **scores(y, mean, data["sound"] & (y >= low) & (y < high), data["host"]),
                }
                for low, high in itertools.pairwise(EDGES)
            ]
            rows = np.flatnonzero(data["sound"])
            tiled = np.tile(data["host"][rows], len(mean))
            limits = widths((y - mean)[:, rows].ravel(), spread[:, rows].ravel(), tiled)
    known = np.isfinite(data["mace"])
    result["MACE-MP NEB, as published"] = {
        kind: scores(y, data["mace"][None], rows & known, data["host"]) for kind, rows in subsets.items()
    }
    print(json.dumps({k: v for k, v in result.items() if k != "flagged"}, indent=1))
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    if options.ship:
        ship(data, x, result, limits, options.ship)


if __name__ == "__main__":
    main()

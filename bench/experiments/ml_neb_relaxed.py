"""Does a relaxed barrier of CHGNet help the hop model? A stack and trees with it, hosts left out.

    python bench/experiments/relaxed_neb.py DATA --sound 100          # CHGNet of the sound rows, smallest cells first
    python bench/experiments/ml_neb_relaxed.py --data DATA [--cache FILE] [--repeats 2] [--ship DIR]

Scored on the sound rows that have a relaxed barrier, five folds without a host composition on both sides, every choice
made inside the folds:

* ``forest``: the model without a potential, trained on all sound rows of the other hosts.
* ``potential as it is``, and ``line``: its logarithm on a line fitted by absolute errors.
* ``stack``: `fastin.ml.hop_stack`: the forest (its predictions of hosts left out once more) and the relaxed barrier on
  one line, both as logarithms; where a flag doubts the relaxed barrier the forest alone. Which flags do, is chosen
  inside.
* ``trees``: the forest with the relaxed barriers, the profile and the flags as features, its target less a share of the
  relaxed barrier that is chosen inside.
* the same with the published MACE-MP NEB value of the very same rows in place of the relaxed barrier.

Differences are paired with the forest's errors; their errors come from a bootstrap over hosts.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS
from ml_neb import BARRIER, FOLDS, coverage, fit, load, paired, scores, widths

import fastin
from fastin.ml.hop_stack import HopStack
from fastin.ml.splits import grouped_folds

BARRIERS = RESULTS / "relaxed_neb.json"
#: Flags that may doubt a barrier, fewer and more; which is chosen inside each fold.
DOUBTS = (
    ("concerted", "end-in-other-site", "not-converged"),
    ("concerted", "end-in-other-site", "not-converged", "end-moved", "lower-on-the-way", "minimum-on-the-way"),
)
SHARES = (0.0, 0.3, 0.6)  # of the relaxed barrier, tried inside each fold
BVSE_SHARE = 0.1
INNER = 4
FEW_TREES = 40
"""Of forests that are only there to choose a share."""
RELAXED = "relaxed_barrier_eV"
HIGHEST = 10.0  # eV and eV/A: values above count as this


def potential_features(entry: dict[str, Any]) -> dict[str, float]:
    """What a relaxed hop says, the same for both directions."""
    profile = np.array(entry["profile_eV"])
    top, low = profile.max(), min(profile[0], profile[-1])
    inner = np.sort(profile[1:-1]) - low
    ahead, back = sorted((entry["barrier_eV"], entry["barrier_backward_eV"]))
    found = {
        RELAXED: entry["barrier_eV"],
        "relaxed_higher_barrier_eV": back,
        "relaxed_lower_barrier_eV": ahead,
        "relaxed_fitted_barrier_eV": entry["fitted_barrier_eV"],
        "relaxed_ends_difference_eV": back - ahead,
        "relaxed_lowest_eV": profile.min() - low,
        "relaxed_lower_image_eV": inner[0],
        "relaxed_image_over_top": inner[1] / max(top - low, 0.02),
        "relaxed_force_eV_per_A": entry["largest_force_eV_per_A"],
        "relaxed_way_A": entry["distance_A"][-1],
        "relaxed_steps": float(entry["steps"]),
        **{f"relaxed_{name}": float(name in entry["flags"]) for name in DOUBTS[1]},
    }
    return {k: float(np.clip(v, -HIGHEST, HIGHEST)) if k != "relaxed_steps" else v for k, v in found.items()}


def inside(
    data: dict[str, Any], x: np.ndarray, rows: np.ndarray, seed: int, trees: int, own: dict[str, Any]
) -> np.ndarray:
    """(n,) predictions of these rows, hosts left out among them; NaN elsewhere."""
    left = np.full(len(data["y"]), np.nan)
    for a, b in grouped_folds(data["host"][rows], INNER, 100 + seed):
        left[rows[b]] = fit(data | own, x, rows[a], seed, trees=trees).mean_and_spread(x[rows[b]])[0]
    return left


def stacked(
    name: str, doubts: tuple[tuple[str, ...], ...], forest: np.ndarray, relaxed: np.ndarray, flags: list[set[str]],
    y: np.ndarray, rows: np.ndarray,
) -> HopStack:  # fmt: skip
    """The stack of these rows, with the flags that make the smallest error."""
    best: tuple[float, HopStack] | None = None
    for doubt in doubts:
        clean = np.array([k for k in rows if not flags[k] & set(doubt)])
        made = HopStack.fit(name, doubt, forest[clean], relaxed[clean], y[clean])
        said = forest.copy()
        said[clean] = made.combine(forest[clean], relaxed[clean])
        loss = float(np.abs(said - y)[rows].mean())
        if best is None or loss < best[0]:
            best = (loss, made)
    assert best is not None
    return best[1]


def line(relaxed: np.ndarray, y: np.ndarray, rows: np.ndarray) -> HopStack:
    """The relaxed barrier alone: a stack in which it stands for the forest too."""
    return HopStack.fit("line", (), relaxed[rows], relaxed[rows], y[rows])


class Told:
    """(repeats, n) predictions and spreads by name."""

    def __init__(self, repeats: int, count: int) -> None:
        self.shape = (repeats, count)
        self.mean: dict[str, np.ndarray] = {}
        self.spread: dict[str, np.ndarray] = {}

    def put(self, name: str, repeat: int, rows: np.ndarray, mean: np.ndarray, spread: np.ndarray | float) -> None:
        for held, value in ((self.mean, mean), (self.spread, spread)):
            held.setdefault(name, np.full(self.shape, np.nan))[repeat, rows] = value


def compare(
    data: dict[str, Any], features: dict[str, dict[str, float]], flags: list[set[str]], seeds: range
) -> tuple[Told, list[Any]]:
    """Predictions of the rows with a relaxed barrier, whose hosts were left out, and what was chosen inside."""
    names = sorted({n for row in features.values() for n in row})
    extra = np.array([[features.get(i, {}).get(n, np.nan) for n in names] for i in data["id"]])
    relaxed, y = extra[:, names.index(RELAXED)], data["y"]
    has, known = np.isfinite(relaxed) & data["sound"], np.isfinite(data["mace"])
    x, with_it = data["x"], np.column_stack([data["x"], extra])
    own = data | {"names": [*data["names"], *names], "sound": has}
    with_mace = np.column_stack([x, data["mace"]])
    mace = data | {"sound": has, "names": [*data["names"], RELAXED]}
    no_flags: list[set[str]] = [set() if k else {"unknown"} for k in known]
    told, chosen = Told(len(seeds), len(y)), []
    for i, seed in enumerate(seeds):
        for train, test in grouped_folds(data["host"], FOLDS, seed):
            plain = fit(data, x, train, seed)
            test = test[has[test]]
            mean, spread = plain.mean_and_spread(x[test])
            told.put("forest", i, test, mean, spread)
            left = inside(data, x, train, seed, FEW_TREES, {})
            mine = train[has[train]]
            straight = line(relaxed, y, mine)
            told.put("line", i, test, straight.combine(relaxed[test], relaxed[test]), 0.0)
            for name, values, said, doubts in (
                ("stack", relaxed, flags, DOUBTS),
                ("stack, MACE-MP NEB instead", data["mace"], no_flags, (("unknown",),)),
            ):
                made = stacked(name, doubts, left, values, said, y, mine)
                told.put(name, i, test, *combined(made, plain, x[test], values[test], [said[k] for k in test]))
                if name == "stack":
                    chosen.append({"constants": np.round(made.constants, 3).tolist(), "doubts": len(made.doubt)})
            for name, kind, columns in (("trees", own, with_it), ("trees, MACE-MP NEB instead", mace, with_mace)):
                loss = {}
                for share in SHARES:
                    offset = {"offset": {RELAXED: share, BARRIER: BVSE_SHARE}}
                    loss[share] = np.abs(inside(kind, columns, mine, seed, FEW_TREES, offset) - y)[mine].mean()
                share = min(loss, key=loss.__getitem__)
                kind = kind | {"offset": {RELAXED: share, BARRIER: BVSE_SHARE}}
                told.put(name, i, test, *fit(kind, columns, mine, seed).mean_and_spread(columns[test]))
                if name == "trees":
                    chosen[-1]["share"] = share
    told.mean["mean of stack and trees"] = 0.5 * (told.mean["stack"] + told.mean["trees"])
    told.mean["potential as it is"] = np.tile(relaxed, (len(seeds), 1))
    told.mean["MACE-MP NEB as it is"] = np.tile(data["mace"], (len(seeds), 1))
    return told, chosen


def combined(
    stack: HopStack, forest: Any, x: np.ndarray, relaxed: np.ndarray, flags: list[set[str]]
) -> tuple[np.ndarray, np.ndarray]:
    """Barriers and spreads of the stack, of the forest where the relaxed barrier does not count."""
    mean, spread = forest.mean_and_spread(x)
    clean = np.array([stack.counts(own) for own in flags], dtype=bool)
    if clean.any():
        mean[clean], spread[clean] = stack.mean_and_spread(forest, x[clean], relaxed[clean])
    return mean, spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="JSON file that keeps the features of ml_neb.py")
    parser.add_argument("--barriers", type=Path, default=BARRIERS)
    parser.add_argument("--potential", default="chgnet")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "ml_neb_relaxed.json")
    parser.add_argument("--ship", type=Path)
    options = parser.parse_args()
    fastin.set_num_threads(1)
    data = load(options.data, options.cache)
    held = [e for e in json.loads(options.barriers.read_text()).values() if e["potential"] == options.potential]
    entries = {e["id"]: e for e in held if "barrier_eV" in e}
    flags = [set(entries[i]["flags"]) if i in entries else {"not-converged"} for i in data["id"]]
    features = {i: potential_features(e) for i, e in entries.items()}
    told, chosen = compare(data, features, flags, range(options.repeats))
    rows = data["sound"] & np.array([i in entries for i in data["id"]])
    known = rows & np.isfinite(data["mace"])
    clean = rows & np.array([not own & set(DOUBTS[0]) for own in flags])
    mine = data | {"sound": rows}
    result: dict[str, Any] = {
        "potential": options.potential,
        "failed": [e["id"] for e in held if "barrier_eV" not in e],
        "rows": {name: scores(data["y"], p, rows, data["host"]) for name, p in told.mean.items() if "MACE" not in name},
        "rows with a MACE value": {n: scores(data["y"], p, known, data["host"]) for n, p in told.mean.items()},
        "rows without doubt": {
            n: scores(data["y"], p, clean, data["host"]) for n, p in told.mean.items() if "MACE" not in n
        },
        "against the forest": {
            name: paired(data["y"], p, told.mean["forest"], data | {"sound": known if "MACE" in name else rows})
            for name, p in told.mean.items()
            if name != "forest"
        },
        "chosen": chosen,
        "intervals": {
            n: coverage(mine, told.mean[n], told.spread[n], data["host"])["all"] for n in ("forest", "stack")
        },
    }
    print(json.dumps({k: v for k, v in result.items() if k != "chosen"}, indent=1))
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    if options.ship:
        ship(data, entries, flags, told, result, options)


def ship(
    data: dict[str, Any], entries: dict[str, Any], flags: list[set[str]], told: Told, result: dict[str, Any],
    options: argparse.Namespace,
) -> None:  # fmt: skip
    """The stack of all rows with its card; the forest's part from hosts left out."""
    from fastin.runtime.files import digest

    rows = np.flatnonzero(data["sound"] & np.array([i in entries for i in data["id"]]))
    relaxed = np.array([entries[i]["barrier_eV"] if i in entries else np.nan for i in data["id"]])
    mean, y = told.mean["stack"], data["y"]
    made = stacked(options.potential, DOUBTS, told.mean["forest"].mean(axis=0), relaxed, flags, y, rows)
    tiled = np.tile(data["host"][rows], len(mean))
    clean = rows[[made.counts(flags[k]) for k in rows]]
    card = {
        "target": "neb_barrier",
        "rows": len(rows),
        "rows_that_count": len(clean),
        "hosts": len(set(data["host"][rows].tolist())),
        "split": "constants from all rows; scores: five folds, no host composition on both sides",
        "cross_validation": result["rows"]["stack"],
        "against_the_forest": result["against the forest"]["stack"],
        "calibration": result["intervals"]["stack"],
        "uncertainty": widths((y - mean)[:, rows].ravel(), told.spread["stack"][:, rows].ravel(), tiled),
        "images": 3,
        "data_sha256": data["sha256"],
        "barriers_sha256": digest(json.dumps(entries, sort_keys=True).encode()),
    }
    HopStack(made.potential, made.constants, made.doubt, card).save(options.ship / f"neb_barrier-{made.potential}.json")


if __name__ == "__main__":
    main()

"""The barrier model that fastin ships: trains its members and the runs that score the recipe, and writes the card.

    python bench/experiments/ml_ship.py --dataset DIR --runs FIRST --without-energies --train grouped:0:0 ...
    python bench/experiments/ml_ship.py --dataset DIR --runs RUNS --initial FIRST --epochs 8 --rate 2e-3 \\
        --train grouped:0:0 grouped:0:1 ...
    python bench/experiments/ml_ship.py --dataset DIR --runs RUNS --others FIRST --ship python/fastin/data/models

A run is KIND:SPLIT:SEED (random, grouped, or elements: eight drawn elements are never met); each continues where it
stopped. The second form goes on from the weights of the first. The
members are the finished runs grouped:0:* in RUNS, so that their test part holds chemical systems that no member has
seen; the other finished runs are single models. Where states or labels have changed since the training, DIR may be a
later build of the same structures: scores and intervals are then those of today's inputs and labels; its manifest says
``trained_on`` (version) and ``relabelled`` (ids whose labels differ by more than 1 meV). ``--ship`` prints the tables
and writes ``barrier-NAME.pt``, its card and ``bench/results/ml_ship.json``. Nothing was chosen on a test part;
intervals are fitted on validation and test part, and scored by fitting on one and counting in the other.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import SETTINGS, configure, held_out, run, write

from fastin.ml.checkpoint import Trained, load_model, save_model
from fastin.ml.dataset import load_dataset, read_manifest
from fastin.ml.intervals import fit_intervals, half_widths
from fastin.ml.labels import CEILING, FLOOR, label_columns, to_targets
from fastin.ml.levels import PASS_CLOSED, plain_levels
from fastin.ml.metrics import barrier_scores, by_barrier
from fastin.ml.seen import digest
from fastin.ml.splits import Split, make_split
from fastin.ml.store import GraphStore
from fastin.ml.train import domain, predict_targets, train

_LEFT_OUT = 8  # elements of a run KIND elements


def train_runs(options: argparse.Namespace, store: GraphStore) -> None:
    for name in options.train:
        kind, split, seed = name.split(":")
        folder = f"percolation-{kind}-{split}-seed-{seed}"
        if kind == "elements":
            train_without_elements(options, store, folder, int(split), int(seed))
            continue
        more: dict[str, Any] = {"learning_rate": options.rate} if options.rate else {}
        if options.without_energies:
            more["model_options"] = SETTINGS["percolation"]["model_options"] | {"hidden_energies": 1.0}
        if options.initial:
            more["initial"] = str(Path(options.initial) / folder / "model.pt")
        config = configure(
            "percolation", options, folder, split=kind, split_seed=int(split), seed=int(seed), exclude=held_out(store),
            **more,
        )  # fmt: skip
        run(config, store)


def train_without_elements(options: argparse.Namespace, store: GraphStore, folder: str, draw: int, seed: int) -> None:
    """A run that never met `_LEFT_OUT` framework elements, and no chemical system of its validation part."""
    present = [set(_atoms(store, g).tolist()) for g in range(len(store))]
    count = Counter(z for numbers in present for z in numbers)
    share = {z: n / len(store) for z, n in count.items()}
    usual = sorted(z for z, part in share.items() if 0.005 < part < 0.03)
    chosen = set(np.random.default_rng(draw).choice(usual, _LEFT_OUT, replace=False).tolist())
    hit = np.array([bool(numbers & chosen) for numbers in present])
    base = make_split("grouped", store.systems, draw)
    rows = [part[~hit[part]] for part in (np.union1d(base.train, base.test), base.validation)]
    split = Split(rows[0], rows[1], np.flatnonzero(hit), "elements", draw)
    config = configure("percolation", options, folder, split_seed=draw, seed=seed)
    train(config, store, split=split, report=lambda row: print(folder, row, flush=True))
    (Path(config.run) / "elements.json").write_text(json.dumps(sorted(chosen)))


def unseen_elements(runs: Path, store: GraphStore, ids: list[str]) -> dict[str, Any]:
    """Errors of the first target where a framework element was never met, and of unseen systems of met elements."""
    errors: dict[str, list[np.ndarray]] = {"unseen": [], "seen": []}
    elements: list[int] = []
    for folder in finished(runs, "percolation-elements-*"):
        elements += json.loads((folder / "elements.json").read_text())
        split, trained = Split.load(folder / "split.json", ids), load_model(folder / "model.pt")
        mean_embedding(trained.models, domain(store, split.train)["elements"])
        for name, rows in (("unseen", split.test), ("seen", split.validation)):
            part = store.select(rows)
            said = predict_targets(trained.models, trained.tensors(part), _all(rows))[0, :, 0]
            error = np.abs(to_targets(part.labels[:, label_columns(trained.targets[:1])])[:, 0] - said)
            errors[name].append(error[np.isfinite(error)])
    if not elements:
        return {"factor": 1.0}
    unseen, seen = (np.concatenate(errors[name]) for name in ("unseen", "seen"))
    return {
        "elements": sorted(set(elements)),
        "rows": len(unseen),
        "mae": float(unseen.mean()),
        "mae_seen": float(seen.mean()),
        "quantile_68": [float(np.quantile(unseen, 0.68)), float(np.quantile(seen, 0.68))],
        "factor": max(1.0, float(np.quantile(unseen, 0.68) / np.quantile(seen, 0.68))),
    }


def finished(runs: Path, pattern: str) -> list[Path]:
    return sorted(p.parent for p in runs.glob(f"{pattern}/metrics.json"))


def unseen_only(split: Split, store: GraphStore) -> Split:
    """A grouped split without the held-out compounds whose chemical systems are in training."""
    if split.kind != "grouped":
        return split
    seen = np.isin(store.systems[split.test], store.systems[split.train])
    return replace(split, test=split.test[~seen])


def of_ions(store: GraphStore, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Places in `rows` of each ion with at least 20 of them, and of all."""
    ions = store.ions[rows]
    places = {str(i): np.flatnonzero(ions == i) for i in np.unique(store.ions)}
    return {"all": np.arange(len(rows))} | {ion: at for ion, at in places.items() if len(at) >= 20}


def scores_by_ion(store: GraphStore, rows: np.ndarray, truth: np.ndarray, mean: np.ndarray) -> dict[str, Any]:
    """`barrier_scores` of one target for each ion."""
    return {ion: barrier_scores(truth[at], mean[at]) for ion, at in of_ions(store, rows).items() if len(at)}


def error_quantiles(store: GraphStore, rows: np.ndarray, truth: np.ndarray, mean: np.ndarray) -> dict[str, list[float]]:
    """Of each ion: the errors, eV, that 50, 90 and 99 % of the rows stay below."""
    error = np.abs(10.0**truth - 10.0**mean)
    out = {}
    for ion, at in of_ions(store, rows).items():
        known = error[at][np.isfinite(error[at])]
        if len(known):
            out[ion] = np.quantile(known, [0.5, 0.9, 0.99]).tolist()
    return out


def above_ceiling(truth: np.ndarray, mean: np.ndarray) -> dict[str, Any]:
    """How often "above the ceiling" is said and meant."""
    said, meant = mean > np.log10(CEILING), np.isposinf(truth)
    known = ~np.isnan(truth)
    both = int((said & meant).sum())
    return {
        "n": int((meant & known).sum()),
        "said": int((said & known).sum()),
        "precision": both / max(int((said & known).sum()), 1),
        "recall": both / max(int((meant & known).sum()), 1),
    }


def coverage(error: np.ndarray, widths: np.ndarray) -> dict[str, float]:
    """Share of the errors within the 68 and 90 % intervals."""
    return {"n": len(error), "68": float((error <= widths[:, 0]).mean()), "90": float((error <= widths[:, 1]).mean())}


def fit_and_count(
    store: GraphStore, parts: list[np.ndarray], truth: np.ndarray, every: np.ndarray
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Interval constants of one target from both parts; coverage by ion where each part is counted with the other's.

    Args:
        store: the graphs.
        parts: validation and test rows.
        truth: (n,) targets of these rows, one part after the other.
        every: (members, n) predictions.
    """
    rows = np.concatenate(parts)
    ions, mean = store.ions[rows], every.mean(axis=0)
    spread = every.std(axis=0, ddof=1) if len(every) > 1 else np.zeros_like(mean)
    known = np.isfinite(truth)
    first = np.arange(len(rows)) < len(parts[0])
    error, widths = np.abs(truth - mean), np.full((len(rows), 2), np.nan)
    for fit_on, count_in in ((first, ~first), (~first, first)):
        use = fit_on & known
        constants = fit_intervals(error[use], spread[use], mean[use], ions[use])
        widths[count_in] = half_widths(constants, spread[count_in], mean[count_in], ions[count_in])
    counted = {
        ion: coverage(error[at[known[at]]], widths[at[known[at]]])
        for ion, at in of_ions(store, rows).items()
        if known[at].any()
    }
    counted["low 1/3"] = coverage(*_third(error, widths, mean, known, low=True))
    counted["high 1/3"] = coverage(*_third(error, widths, mean, known, low=False))
    return fit_intervals(error[known], spread[known], mean[known], ions[known]), counted


def _third(error: Any, widths: Any, mean: Any, known: Any, *, low: bool) -> tuple[Any, Any]:
    edge = np.quantile(mean[known], 1 / 3 if low else 2 / 3)
    at = known & ((mean <= edge) if low else (mean >= edge))
    return error[at], widths[at]


def mean_embedding(models: list[Any], seen: list[int]) -> None:
    """An element that no training structure holds gets the mean vector of those that were seen, not noise."""
    for model in models:
        weight = model.encoder.element.weight
        unseen = [z for z in range(len(weight)) if z not in seen]
        with torch.no_grad():
            weight[unseen] = weight[seen].mean(dim=0)


def _atoms(store: GraphStore, g: int) -> np.ndarray:
    pointer = store.pointers["atom"]
    numbers: np.ndarray = store.arrays["atom_number"][pointer[g] : pointer[g + 1]]
    return numbers


def blind(trained: Trained, store: GraphStore, *, pairs: bool) -> np.ndarray:
    """(members, G) predictions of the first target with the energies (and the pair constants) hidden."""
    tensors = trained.tensors(store)
    tensors.levels = torch.zeros_like(tensors.levels)
    for name in ("site_landmark", "edge_landmark", *(("atom_terms", "site_pair", "edge_pair") if pairs else ())):
        tensors.fields[name] = torch.zeros_like(tensors.fields[name])
    said: np.ndarray = predict_targets(trained.models, tensors, _all(store.ids))[:, :, 0]
    return said


def plain_scores(store: GraphStore, rows: np.ndarray, truth: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    """Scores of the percolation of the energies alone, for each target."""
    levels = plain_levels(store.select(rows))[:, PASS_CLOSED]
    said = {n: levels[:, int(n[1]) - 1, 0 if n.endswith("global") else 1] for n in names}
    return {
        n: scores_by_ion(store, rows, truth[:, k], np.log10(np.clip(said[n], FLOOR, 1e3))) for k, n in enumerate(names)
    }


def widening(constants: dict[str, Any], every: np.ndarray, truth: np.ndarray, ions: np.ndarray) -> float:
    """What 68 % intervals are to be multiplied by to hold 68 % of these rows, at least 1.

    Args:
        constants: of the intervals.
        every: (members, n) predictions.
        truth: (n,) targets, NaN where unknown.
        ions: (n,) mobile ions.
    """
    mean, spread = every.mean(axis=0), every.std(axis=0, ddof=1) if len(every) > 1 else np.zeros(every.shape[1])
    share = np.abs(truth - mean) / half_widths(constants, spread, mean, ions)[:, 0]
    return max(1.0, float(np.quantile(share[np.isfinite(share)], 0.68)))


def _epochs(folder: Path) -> int:
    """Epochs of a run with those of the run that it went on from."""
    config = json.loads((folder / "config.json").read_text())
    own = int(json.loads((folder / "metrics.json").read_text())["epochs"])
    return own + (_epochs(Path(config["initial"]).parent) if config["initial"] else 0)


def singles(folders: list[Path], store: GraphStore, ids: list[str], names: tuple[str, ...]) -> dict[str, Any]:
    """Scores by ion of every finished run on its own test part; of runs of one name, those of the first folder."""
    out = {}
    found: dict[str, Path] = {}
    for runs in folders:
        found = {f.name: f for f in finished(runs, "percolation-[gr]*-seed-*")} | found
    for folder in found.values():
        split = unseen_only(Split.load(folder / "split.json", ids), store)
        trained = load_model(folder / "model.pt")
        said = predict_targets(trained.models, trained.tensors(store.select(split.test)), _all(split.test))[0]
        truth = to_targets(store.labels[split.test][:, label_columns(names)])
        name = f"{folder.name}, {_epochs(folder)} epochs"
        out[name] = {n: scores_by_ion(store, split.test, truth[:, k], said[:, k]) for k, n in enumerate(names)}
    return out


def ensembles(folders: list[Path], store: GraphStore, ids: list[str], names: tuple[str, ...]) -> dict[str, Any]:
    """Scores by ion of the mean of all finished runs of one split, on its test part."""
    members: dict[str, dict[str, Path]] = {}
    for runs in reversed(folders):
        for folder in finished(runs, "percolation-[gr]*-seed-*"):
            members.setdefault(folder.name.split("-seed-")[0], {})[folder.name] = folder
    out = {}
    for name, found in members.items():
        if len(found) < 2:
            continue
        split = unseen_only(Split.load(next(iter(found.values())) / "split.json", ids), store)
        said = []
        for folder in found.values():
            trained = load_model(folder / "model.pt")
            said.append(predict_targets(trained.models, trained.tensors(store.select(split.test)), _all(split.test))[0])
        mean = np.mean(said, axis=0)
        truth = to_targets(store.labels[split.test][:, label_columns(names)])
        out[f"{name}, {len(found)} members"] = {
            n: scores_by_ion(store, split.test, truth[:, k], mean[:, k]) for k, n in enumerate(names)
        }
    return out


def _all(rows: Any) -> np.ndarray:
    return np.arange(len(rows))


def show(title: str, rows: dict[str, Any]) -> None:
    print(f"\n{title}\n| ion | rows | R2, log10 E | MAE, eV |\n|---|---:|---:|---:|")
    for ion, s in rows.items():
        print(f"| {ion} | {s['n']} | {s['r2']:.3f} | {s['mae_ev']:.3f} |")


def ship(options: argparse.Namespace, store: GraphStore) -> None:
    runs, ids = Path(options.runs), [str(i) for i in store.ids]
    folders = finished(runs, "percolation-grouped-0-seed-*")
    splits = [(f / "split.json").read_bytes() for f in folders]
    if not folders or any(s != splits[0] for s in splits):
        raise SystemExit("no finished run grouped:0:*, or with different splits")
    config = json.loads((folders[0] / "config.json").read_text())
    split = unseen_only(Split.load(folders[0] / "split.json", ids), store)
    loaded = [load_model(f / "model.pt") for f in folders]
    trained = Trained([m for one in loaded for m in one.models], loaded[0].name, loaded[0].targets, {})
    covered = domain(store, split.train)
    mean_embedding(trained.models, covered["elements"])
    parts = [split.validation, split.test]
    rows, count = np.concatenate(parts), len(split.validation)
    every = predict_targets(trained.models, trained.tensors(store.select(rows)), _all(rows))
    truth = to_targets(store.labels[rows][:, label_columns(trained.targets)], censored=True)
    tests, uncertainty, counted, above, errors = {}, {}, {}, {}, {}
    for k, name in enumerate(trained.targets):
        mean = every[:, :, k].mean(axis=0)
        tests[name] = scores_by_ion(store, split.test, _finite(truth[count:, k]), mean[count:])
        uncertainty[name], counted[name] = fit_and_count(store, parts, _finite(truth[:, k]), every[:, :, k])
        above[name] = above_ceiling(truth[count:, k], mean[count:])
        errors[name] = error_quantiles(store, split.test, _finite(truth[count:, k]), mean[count:])
        show(f"{name}: ensemble of {len(folders)}, unseen chemical systems", tests[name])
        print("above 5 eV:", above[name])
        print("intervals:", {i: {q: round(v, 3) for q, v in c.items()} for i, c in counted[name].items()})
    first = _finite(truth[count:, 0])
    held, at = store.select(split.test), _all(split.test)
    hidden: dict[str, Any] = {}
    for name, pairs in (("without_energies", False), ("without_pairs", True)):
        said = blind(trained, held, pairs=pairs)
        bare = scores_by_ion(held, at, first, said.mean(axis=0))
        factor = widening(uncertainty[trained.targets[0]], said, first, held.ions)
        hidden[name] = {"test": bare, "factor": factor}
        show(f"e1d_global {name.replace('_', ' ')}: intervals times {factor:.2f}", bare)
    plain = plain_scores(held, at, _finite(truth[count:]), trained.targets)
    show("e1d_global: percolation of the energies alone", plain["e1d_global"])
    unseen = unseen_elements(runs, store, ids)
    print("unseen element:", unseen)
    scored_runs = [runs, *([Path(options.others)] if options.others else [])]
    others = singles(scored_runs, store, ids, trained.targets)
    together = ensembles(scored_runs, store, ids, trained.targets)
    for name, scored in (others | together).items():
        show(f"e1d_global: {name}", scored["e1d_global"])
    manifest = read_manifest(options.dataset)
    refused = Counter(
        text.split(": ", 1)[-1].split("(")[0].split(";")[0][-60:] for text in manifest["failures"].values()
    )
    counts = {str(i): int((store.ions == i).sum()) for i in np.unique(store.ions)}
    card = {
        "name": f"fastin-{options.name}",
        "members": len(trained.models),
        "dataset": {k: manifest[k] for k in ("version", "structures", "options", "labels")}
        | {"ions": counts, "left_out": len(manifest["failures"]), "relabelled": manifest.get("relabelled", [])},
        "split": {"kind": split.kind, "seed": split.seed, "train": len(split.train), "test": len(split.test)},
        "training": {k: config[k] for k in ("epochs", "learning_rate", "batch_size", "optimizer", "typical_nodes")}
        | {"epochs": _epochs(folders[0]), "exclude": config["exclude"]}
        | {"dataset": manifest.get("trained_on", manifest["version"])},
        "test": tests,
        "test_by_barrier": by_barrier(first, every[:, count:, 0].mean(axis=0)),
        "error_quantiles": errors,
        "above_ceiling": above,
        "calibration": counted,
        "uncertainty": uncertainty,
        **hidden,
        "plain": plain,
        "unseen_element": unseen,
        "domain": covered,
        "seen": digest(store.formulas[np.concatenate([split.train, split.validation])]),
    }
    trained.card.update(card)
    model_options = dict(config["model_options"]) | {"target_names": list(trained.targets)}
    out = Path(options.ship)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"barrier-{options.name}.pt"
    save_model(path, trained, model_options)
    (out / f"barrier-{options.name}.json").write_text(json.dumps(card, indent=1) + "\n")
    print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")
    card.pop("seen")
    found = {"card": card, "single_models": others, "ensembles": together, "refused": refused.most_common()}
    write("ml_ship", options, found)


def _finite(truth: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(truth), truth, np.nan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="joined data set (`fastin dataset join`)")
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--train", nargs="+", default=[], metavar="KIND:SPLIT:SEED")
    parser.add_argument("--ship", default="", help="folder for the model file and its card")
    parser.add_argument("--name", default="default")
    parser.add_argument("--threads", type=int, default=0, help="torch threads (0: torch's choice)")
    parser.add_argument("--epochs", type=int, default=0, help="instead of the recipe's number (0)")
    parser.add_argument("--initial", default="", help="folder of runs whose weights these go on from")
    parser.add_argument("--rate", type=float, default=0.0, help="largest learning rate, instead of the recipe's (0)")
    parser.add_argument(
        "--without-energies", action="store_true", help="models that never see energies (for weights to begin with)"
    )
    parser.add_argument("--others", default="", help="folder of runs to score beside the members")
    parser.add_argument("--out", default="", help="result file (default: bench/results/ml_ship.json)")
    options = parser.parse_args()
    options.device, options.limit = "cpu", 0
    if options.threads:
        torch.set_num_threads(options.threads)
    store = load_dataset(options.dataset)
    train_runs(options, store)
    if options.ship:
        ship(options, store)


if __name__ == "__main__":
    main()

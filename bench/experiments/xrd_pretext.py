"""Few labels on representations learnt without labels: computed properties as pretext, two views, self-training.

A network reads the patterns of the unlabelled structures and regresses what fastin computes for them: BVSE barriers,
descriptors, composition (`pretext`), or is trained so that two strong augmentations of a pattern get the same, spread
out representation (`views`: A. Bardes et al., VICReg, ICLR 2022). No unlabelled structure with the chemical system of
any labelled material is used. A ridge-penalised logistic regression with 10+10 or 20+20 labels then reads the network's
predicted barriers (`heads`) or its last hidden layer (`hidden`) beside the pattern itself on the axis of `ElasticNet`
(`axis`, which uses no unlabelled pattern but the mean). Classifying reads the pattern alone.

Protocol of xrd_learning_curve.py: the setting with the best macro-F1 on rows of one half of the chemical systems
(120 draws, three folds grouped by system) is scored on the other half with the draws of that script, and paired with
its supervised network, whose runs must be in its file.

    fastin screen DATA/li_mp_ordered.jsonl.gz -o screened.parquet
    python bench/experiments/xrd_pretext.py DATA screened.parquet \\
        bench/results/xrd_learning_curve.json bench/results/xrd_pretext.json

Trained networks' outputs are kept beside the screened table; a second call reads them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import spread
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from xrd_learning_curve import HALVES_SEED

from fastin.xrd import augment
from fastin.xrd.dataset import chemical_system, composition, load_labelled, load_unlabelled
from fastin.xrd.evaluate import draw_labelled, grouped_folds, metrics
from fastin.xrd.model import ElasticNet, SmallNet, coarsen

Array = NDArray[Any]

BARRIERS = (*(f"barrier_{d}d_network_eV" for d in (1, 2, 3)), "barrier_1d_global_eV", "barrier_3d_global_eV")
SHARES = (
    "conduction_dimensionality_below_500meV",
    "conduction_dimensionality_below_1eV",
    "accessible_share_500meV",
    "thermal_share_1000K",
)
STRUCTURE = (
    "volume_per_atom_A3",
    "density_g_cm3",
    "mobile_share_of_atoms",
    "mobile_density_per_nm3",
    "anion_electronegativity_mean",
    "framework_cation_electronegativity_mean",
    "framework_cation_charge_mean_e",
    "mobile_mobile_distance_A",
    "mobile_framework_distance_A",
    "percolation_radius_1d_A",
    "percolation_radius_3d_A",
    "channel_dimensionality",
    "void_radius_mean_A",
    "bottleneck_radius_mean_A",
    "edge_length_mean_A",
    "void_density_per_nm3",
    "sphere_volume_share",
    "cell_volume_of_atom_mean_A3",
    "space_group_number",
)
HEADS = len(BARRIERS) + len(SHARES)
CHOICE_DRAWS, SEEDS = 120, 3
STRAIN, EPOCHS, VIEW_EPOCHS, BATCH, HIDDEN = 0.03, 25, 10, 256, 64


def targets(screened: Path, ids: list[str], formulas: list[str]) -> Array:
    """(M, T) standardised properties of the unlabelled structures, NaN where a computation failed; barriers first."""
    import pyarrow.parquet as pq

    names = [*BARRIERS, *SHARES, *STRUCTURE]
    table = pq.read_table(screened, columns=["id", *names], filters=[("ion", "=", "Li+")])
    place = {name: row for row, name in enumerate(table["id"].to_pylist())}
    order = [place[name] for name in ids]
    values = np.stack([table[name].to_numpy().astype(np.float64)[order] for name in names], axis=1)
    barriers = values[:, : len(BARRIERS)]
    values[:, : len(BARRIERS)] = np.log10(np.clip(barriers, 0.01, 5.0))  # a blocked axis counts as 5 eV
    low, high = np.nanquantile(values, [0.005, 0.995], axis=0)
    values = np.clip(values, low, high)
    counts = Counter(element for formula in formulas for element in composition(formula))
    elements = sorted(element for element, n in counts.items() if 150 < n < len(formulas))
    shares = np.zeros((len(formulas), len(elements)))
    for row, formula in enumerate(formulas):
        amounts = composition(formula)
        shares[row] = [np.sqrt(amounts.get(e, 0.0) / sum(amounts.values())) for e in elements]
    values = np.concatenate([values, shares], axis=1)
    return ((values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)).astype(np.float32)


class Encoder(nn.Module):
    """Broadened channels and the elastic axis -> 256 -> 64 hidden units -> outputs."""

    def __init__(self, patterns: Tensor, outputs: int) -> None:
        super().__init__()
        self.front = SmallNet(fwhm=(0.3, 1.0)).front
        self.axis = ElasticNet(components=0)
        self.front.set_centre(patterns)
        self.axis.set_basis(patterns)
        size = self.front.channels * self.front.length + self.axis.centre.numel()
        first, second = nn.Linear(size, 256), nn.Linear(256, HIDDEN)
        self.body = nn.Sequential(first, nn.ReLU(), nn.Dropout(0.2), second, nn.ReLU())
        self.head = nn.Linear(HIDDEN, outputs)

    def hidden(self, patterns: Tensor) -> Tensor:
        rows = torch.cat([self.front(patterns).flatten(1), self.axis.encode(patterns)], dim=1)
        result: Tensor = self.body(4.0 * rows)
        return result

    def forward(self, patterns: Tensor) -> Tensor:
        result: Tensor = self.head(self.hidden(patterns))
        return result


def spread_out(first: Tensor, second: Tensor) -> Tensor:
    """VICReg's loss: the same for both views, each coordinate of deviation one, coordinates uncorrelated."""
    loss = 25.0 * functional.mse_loss(first, second)
    for rows in (first, second):
        rows = rows - rows.mean(dim=0)
        loss = loss + 25.0 * functional.relu(1.0 - (rows.var(dim=0) + 1e-4).sqrt()).mean()
        covariance = rows.T @ rows / (len(rows) - 1)
        loss = loss + (covariance.pow(2).sum() - covariance.diagonal().pow(2).sum()) / rows.shape[1]
    return loss


def train_encoder(patterns: Tensor, wanted: Tensor | None, seed: int) -> Encoder:
    """On `wanted` (M, T; NaN: unknown) as pretext, or on two views of each pattern where it is ``None``."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    preset = replace(augment.FIXED, stretch=STRAIN, scale_share=0.3)
    network = Encoder(patterns, 128 if wanted is None else wanted.shape[1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.5e-3, weight_decay=1e-2)
    batches = len(patterns) // BATCH
    epochs = VIEW_EPOCHS if wanted is None else EPOCHS
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches, eta_min=1e-5)
    for _ in range(epochs):
        for rows in torch.randperm(len(patterns), generator=generator)[: batches * BATCH].split(BATCH):
            if wanted is None:
                views = [augment.strong(patterns[rows], network.axis.step, preset, generator) for _ in range(2)]
                loss = spread_out(network(views[0]), network(views[1]))
            else:
                changed = augment.stretch(patterns[rows], network.axis.step, preset, generator)
                changed = augment.normalise(augment.rescale_peaks(changed, preset, generator))
                known = torch.isfinite(wanted[rows])
                gap = functional.smooth_l1_loss(network(changed), wanted[rows].nan_to_num(), reduction="none")
                loss = (gap * known).sum() / known.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def unit(rows: Array) -> Array:
    """Rows of root mean square length one."""
    return rows / np.sqrt((rows**2).sum(axis=1).mean())


@torch.no_grad()
def representations(known: Tensor, pool: Tensor, wanted: Tensor, progress: Path) -> dict[str, Array]:
    """Name -> (N, F) of the labelled patterns, mean over `SEEDS` networks (hidden layers side by side)."""
    blocks: dict[str, Array] = {}
    for width in (0.01, 0.02):
        network = ElasticNet(components=0, width=width)
        network.set_basis(pool)
        blocks[f"axis {width}"] = unit(network.encode(known).numpy())
    heads, hidden, views = [], [], []
    for seed in range(SEEDS):
        path = progress.with_suffix(f".xrd-{seed}.npz")
        if not path.is_file():
            with torch.enable_grad():
                pretext, twin = train_encoder(pool, wanted, seed), train_encoder(pool, None, seed)
            parts = {"heads": pretext(known)[:, :HEADS], "hidden": pretext.hidden(known), "views": twin.hidden(known)}
            inner = {"hidden": pretext.hidden(pool), "views": twin.hidden(pool)}
            scales = {f"{name} {what}": getattr(x, what)(0) for name, x in inner.items() for what in ("mean", "std")}
            np.savez(path, **{name: x.numpy() for name, x in (parts | scales).items()})
        found = np.load(path)
        heads.append(found["heads"])
        for rows, name in ((hidden, "hidden"), (views, "views")):
            rows.append((found[name] - found[f"{name} mean"]) / (found[f"{name} std"] + 1e-3))
    blocks["heads"] = unit(np.mean(heads, axis=0))
    blocks["hidden"], blocks["views"] = unit(np.concatenate(hidden, axis=1)), unit(np.concatenate(views, axis=1))
    return blocks


def logistic(kernel: Array, target: Array, weight: Array, penalty: float) -> tuple[Array, float]:
    """(coefficients, intercept) of weighted kernel logistic regression by Newton's method."""
    count = len(target)
    dual, offset = np.zeros(count), 0.0
    for _ in range(50):
        probability = 1.0 / (1.0 + np.exp(-(kernel @ dual + offset)))
        slope = np.maximum(probability * (1.0 - probability), 1e-6)
        system = np.ones((count + 1, count + 1))
        system[:count, :count] = kernel + penalty * np.diag(1.0 / (slope * weight))
        system[count, count] = 0.0
        goal = kernel @ dual + offset + (target - probability) / slope
        found = np.linalg.solve(system, np.append(goal, 0.0))
        change = np.abs(found[:count] - dual).max()
        dual, offset = found[:count], float(found[count])
        if change < 1e-6:
            break
    return dual, offset


#: Settings: blocks side by side, ridge, decision, rounds of self-training. "axis" alone uses no unlabelled pattern.
BLOCKS = (
    ("axis 0.01",),
    ("axis 0.02",),
    ("heads",),
    ("hidden",),
    ("views",),
    ("axis 0.02", "hidden"),
    ("axis 0.02", "views"),
    ("axis 0.01", "heads"),
    ("axis 0.02", "heads"),
    ("axis 0.02", "heads", "views"),
)
Setting = tuple[tuple[str, ...], float, str, int]
GRID: list[Setting] = list(itertools.product(BLOCKS, (0.1, 0.33), ("zero", "aligned"), (0, 2)))


def method_of(setting: Setting) -> str:
    """What a setting takes from unlabelled patterns."""
    blocks, _, decision, rounds = setting
    learnt = [name for name in ("heads", "hidden", "views") if name in blocks]
    if learnt:
        kind = {"heads": "barriers as pretext", "hidden": "barriers as pretext", "views": "two views"}[learnt[0]]
        return kind if rounds == 0 else f"{kind}, self-training"
    if rounds:
        return "self-training"
    return "decision aligned" if decision == "aligned" else "supervised, logistic"


def said(kernel: Array, labels: Array, rows: Array, free: Array, test: Array, setting: Setting) -> Array:
    """(T,) log odds of the test rows.

    Args:
        kernel: (N, N) of the labelled set's rows.
        labels: (N,), read for `rows` only.
        rows, test: labelled and scored rows.
        free: rows of the labelled half whose labels are not used: unlabelled patterns of known conductors' kind.
        setting: of `GRID`.
    """
    _, penalty, decision, rounds = setting
    used, target, weight = rows, labels[rows].astype(np.float64), np.ones(len(rows))
    for turn in range(rounds + 1):
        dual, offset = logistic(kernel[np.ix_(used, used)], target, weight, penalty)
        inner = kernel[np.ix_(free, used)] @ dual + offset
        if turn < rounds:  # the most confident third, as many of either class, as hard labels of half weight
            order, count = np.argsort(inner), max(1, len(free) // 6)
            used = np.concatenate([rows, free[order[:count]], free[order[-count:]]])
            target = np.concatenate([labels[rows], np.zeros(count), np.ones(count)])
            weight = np.concatenate([np.ones(len(rows)), np.full(2 * count, 0.5)])
    odds = kernel[np.ix_(test, used)] @ dual + offset
    if decision == "aligned":  # half way to the point that calls 45 % of the unlabelled rows superionic
        odds = odds - 0.5 * np.quantile(inner, 0.55)
    return odds


class Study:
    """Data, representations, and the choice and scores of every method."""

    def __init__(self, folder: Path, screened: Path) -> None:
        data = load_labelled(folder / "obelix_train.jsonl.gz")
        pool = load_unlabelled(folder / "li_mp_ordered.jsonl.gz", num_threads=1)
        self.labels, self.groups = data.labels(), data.groups("system")
        known = {chemical_system(formula) for formula in data.formulas}
        kept = np.array([chemical_system(formula) not in known for formula in pool.formulas])
        coarse = [augment.normalise(coarsen(torch.from_numpy(np.array(x.patterns)))) for x in (data, pool)]
        wanted = torch.from_numpy(targets(screened, list(pool.ids), list(pool.formulas)))
        self.unlabelled = int(kept.sum())
        self.blocks = representations(coarse[0], coarse[1][kept], wanted[kept], screened)
        first, second = grouped_folds(self.labels, self.groups, 2, HALVES_SEED)[0]
        self.halves = {"first": first, "second": second}

    def kernel(self, blocks: tuple[str, ...]) -> Array:
        rows = np.concatenate([self.blocks[name] for name in blocks], axis=1)
        return rows @ rows.T

    def choose(self, half: str) -> dict[str, dict[str, Any]]:
        """Method -> its best setting and macro-F1, by draws and folds inside one half."""
        rows = self.halves[half]
        kernels = {blocks: self.kernel(blocks) for blocks in BLOCKS}
        scores = np.zeros((CHOICE_DRAWS, len(GRID)))
        for draw in range(CHOICE_DRAWS):
            train, test = grouped_folds(self.labels[rows], self.groups[rows], 3, draw // 3)[draw % 3]
            picks = draw_labelled(self.labels, rows[train], 10, 1000 + draw)
            free = np.setdiff1d(rows[train], picks)
            for place, setting in enumerate(GRID):
                odds = said(kernels[setting[0]], self.labels, picks, free, rows[test], setting)
                scores[draw, place] = metrics(self.labels[rows[test]], odds, 0.0)["macro_f1"]
        best: dict[str, dict[str, Any]] = {}
        for setting, mean in zip(GRID, scores.mean(axis=0), strict=True):
            entry = {"setting": setting, "macro_f1": round(float(mean), 4)}
            for name in {method_of(setting), "best of all that use unlabelled patterns"}:
                if name.startswith("best") and method_of(setting) == "supervised, logistic":
                    continue
                if name not in best or entry["macro_f1"] > best[name]["macro_f1"]:
                    best[name] = entry
        return best

    def score(self, half: str, setting: Setting, each: int, draws: int) -> list[dict[str, float]]:
        """Scores of all rows of `half` with labels from the other, by the draws of the learning curve."""
        source, test = self.halves["second" if half == "first" else "first"], self.halves[half]
        kernel = self.kernel(setting[0])
        found = []
        for draw in range(draws):
            picks = draw_labelled(self.labels, source, each, draw)
            odds = said(kernel, self.labels, picks, np.setdiff1d(source, picks), test, setting)
            record = metrics(self.labels[test], odds, 0.0)
            found.append({key: record[key] for key in ("macro_f1", "superionic_f1", "roc_auc", "pr_auc")})
        return found


def gap(values: list[float], reference: list[float]) -> dict[str, Any]:
    """Paired difference over the draws; its error is that of the draws, not of the scored rows."""
    gaps = np.array(values) - np.array(reference)
    error = float(gaps.std(ddof=1) / np.sqrt(len(gaps)))
    difference = round(float(gaps.mean()), 4)
    return {
        "difference": difference,
        "standard_error": round(error, 4),
        "better_in": f"{(gaps > 0).sum()} of {len(gaps)}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("screened", type=Path)
    parser.add_argument("curve", type=Path, help="results of xrd_learning_curve.py")
    parser.add_argument("out", type=Path)
    parser.add_argument("--draws", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    study = Study(arguments.data, arguments.screened)
    runs = json.loads(arguments.curve.read_text())["runs"]
    result: dict[str, Any] = {"protocol": " ".join((__doc__ or "").split("\n\n")[2].split())}
    result["what_was_seen"] = (
        "targets, strain, depth, and which blocks stand side by side were drawn up by scores of rows of the first "
        "half; where that half is scored, its rows shaped the grid that the second half chooses from"
    )
    result |= {"unlabelled": study.unlabelled, "draws": arguments.draws, "choice": {}, "scores": {}}
    for half, chooser in (("second", "first"), ("first", "second")):
        chosen = study.choose(chooser)
        result["choice"][f"by {chooser} half"] = chosen
        for each in (10, 20):
            names = [f"curve | {each} | supervised | {half} | {draw}" for draw in range(arguments.draws)]
            reference = [runs[name]["macro_f1"] for name in names if name in runs]
            table: dict[str, Any] = {"supervised network": {"runs": len(reference), "macro_f1": spread(reference)}}
            for method, entry in chosen.items():
                records = study.score(half, entry["setting"], each, arguments.draws)
                row: dict[str, Any] = {key: spread([r[key] for r in records]) for key in records[0]}
                macro = [r["macro_f1"] for r in records]
                row["against the supervised network"] = gap(macro[: len(reference)], reference)
                table[method] = row
            result["scores"][f"{each}+{each} | {half} half"] = table
    result["cpu_s"] = round(time.process_time() - start, 1)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    for name, table in result["scores"].items():
        print(name)
        for method, row in table.items():
            paired = row.get("against the supervised network", {})
            line = f"{row['macro_f1']['mean']:.3f} +- {row['macro_f1']['deviation']:.3f}"
            extra = f"  {paired['difference']:+.3f} +- {paired['standard_error']:.3f}" if paired else ""
            print(f"  {method:42s} {line}{extra}")
    print(json.dumps(result["choice"]))


if __name__ == "__main__":
    main()

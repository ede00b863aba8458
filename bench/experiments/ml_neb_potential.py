"""Does a potential's quick look at a hop help the hop model? CHGNet features of each hop, hosts left out.

    python bench/experiments/ml_neb_potential.py --data DATA --compute [--atoms 112]     # 25 CPU minutes
    python bench/experiments/ml_neb_potential.py --data DATA [--cache FILE]                  # scores

A hop costs 9 to 12 structures: the ends and three images between them as they are; then the highest image relaxes three
steps, the ion in the plane across its way, and each end two. Sound rows of `ml_neb.py` whose cell has at most so many
atoms, in their own cell. What was computed is kept in ``results/ml_neb_potential_features.json``.

Scored on these rows, grouped by host, paired with the model without a potential: that is trained on all sound rows, the
one with the potential's features on those that have them, its target less shares of the potential's and of the bond
valence barrier (chosen inside each fold), alone and averaged with the other.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixedPlane
from ase.optimize import LBFGS
from common import RESULTS, records
from ml_neb import BARRIER, FOLDS, fit, load, neb_hop, out_of_fold, paired

import fastin
from fastin.crystal.crystal import as_crystal
from fastin.ml.splits import grouped_folds
from fastin.relax.band import Images
from fastin.relax.cells import Band
from fastin.relax.potentials import load_potential
from fastin.relax.single import hop_band

FEATURES = RESULTS / "ml_neb_potential_features.json"
IMAGES, TOP_STEPS, END_STEPS = 3, 3, 2
STIFFNESS = 40.0  # eV/A^2 that the first step assumes; softer ones overshoot in phosphate and sulphate groups
LONGEST_STEP = 0.2  # A an atom moves at most in one step
SAME_ENERGY, SAME_FORCE = 0.003, 0.03  # eV and eV/A within which both ends are one arrangement
HIGHEST = 30.0  # eV and eV/A: values above count as this
REACH = 8.0  # A: distances beyond count as this
QUICK = "potential_barrier_eV"
SHARES = (0.1, 0.2, 0.3, 0.4)  # of the potential's barrier, tried inside each fold
BVSE_SHARE = 0.1


def band_features(band: Band, calculator: Any) -> dict[str, float]:
    """Features of a hop from a band of three images before relaxing."""
    last = IMAGES + 1
    run = Images(calculator)
    images = {k: image(run, band, k) for k in (0, 1, 2, last)}
    same = alike(images[0], images[last])
    images[3] = images[1] if same else image(run, band, 3)
    static = np.array([images[k].get_potential_energy() for k in range(last + 1)])
    top = max((2, 1, 3), key=lambda k: round(static[k], 4))
    moving = band.moving[0]
    along = band.positions[top + 1][moving] - band.positions[top - 1][moving]
    pushed = images[top].get_forces()
    images[top].set_constraint(FixedPlane(moving, along / np.linalg.norm(along)))
    above = relax(images[top], TOP_STEPS)
    low = relax(images[0], END_STEPS)
    high = low if same else relax(images[last], END_STEPS)
    moved = [images[k].positions - band.positions[k] for k in ((0,) if same else (0, last))]
    return {
        **energies(static, above, low, high, top),
        **forces(band, images[top], pushed, np.concatenate(moved), top),
    }


def image(run: Images, band: Band, k: int) -> Atoms:
    made = run.add(Atoms(numbers=band.numbers, positions=band.positions[k], cell=band.cell, pbc=True))
    made.get_forces()
    return made


def alike(one: Atoms, other: Atoms) -> bool:
    """Whether two ends are one arrangement by energy and by the sizes of their forces."""
    sizes = [np.sort(np.linalg.norm(atoms.get_forces(), axis=1)) for atoms in (one, other)]
    apart = abs(one.get_potential_energy() - other.get_potential_energy())
    return apart < SAME_ENERGY and float(np.abs(sizes[0] - sizes[1]).max()) < SAME_FORCE


def relax(atoms: Atoms, steps: int) -> np.ndarray:
    """(steps + 1,) energies of an image that relaxes a few steps, none above the one before."""
    optimiser = LBFGS(atoms, logfile=None, maxstep=LONGEST_STEP, alpha=STIFFNESS)
    energy = [atoms.get_potential_energy() for _ in optimiser.irun(fmax=0.01, steps=steps)]
    energy += energy[-1:] * (steps + 1 - len(energy))
    return np.minimum.accumulate(np.array(energy))


def energies(static: np.ndarray, above: np.ndarray, low: np.ndarray, high: np.ndarray, top: int) -> dict[str, float]:
    ends = np.array([low[-1], high[-1]])
    zero = static[[0, -1]].min()
    found = {
        "static_barrier": static[top] - zero,
        "static_ends_difference": abs(static[-1] - static[0]),
        "static_beside_top": static[[k for k in (1, 2, 3) if k != top]].mean() - zero,
        "static_lowest": static.min() - zero,
        "barrier": above[-1] - ends.min(),
        "barrier_from_first": above[-1] - ends[0],
        "ends_difference": abs(ends[1] - ends[0]),
        "barrier_before_last_step": above[-2] - min(low[-2], high[-2]),
        "top_drop_first": above[0] - above[1],
        "top_drop_last": above[-2] - above[-1],
        "ends_drop": max(low[0] - low[-1], high[0] - high[-1]),
    }
    return {f"potential_{k}_eV": float(np.clip(v, -HIGHEST, HIGHEST)) for k, v in found.items()}


def forces(band: Band, atoms: Atoms, pushed: np.ndarray, moved: np.ndarray, top: int) -> dict[str, float]:
    moving = band.moving[0]
    rest = np.delete(np.arange(len(band.numbers)), moving)
    size = np.linalg.norm(pushed[rest], axis=1)
    shift = np.linalg.norm(atoms.positions - band.positions[top], axis=1)
    left = np.linalg.norm(atoms.get_forces(), axis=1)
    gap = (atoms.positions[rest] - atoms.positions[moving]) @ np.linalg.inv(band.cell)
    near = np.sort(np.linalg.norm((gap - np.round(gap)) @ band.cell, axis=1))
    near = np.minimum(np.append(near, [REACH] * 4), REACH)
    return {
        "potential_top_largest_force_eV_per_A": float(min(size.max(), HIGHEST)),
        "potential_top_force_sum_eV2_per_A2": float(min(np.square(size).sum(), HIGHEST**2)),
        "potential_top_atoms_pushed": float((size > 0.5).sum()),
        "potential_left_force_eV_per_A": float(min(left.max(), HIGHEST)),
        "potential_top_shift_ion_A": float(shift[moving]),
        "potential_top_shift_rest_A": float(shift[rest].max()),
        "potential_ends_shift_A": float(np.linalg.norm(moved, axis=1).max()),
        "potential_top_nearest_A": float(near[0]),
        "potential_top_nearest_four_A": float(near[:4].mean()),
        "potential_top_place": abs(top - 2) / 4.0,
    }


def compute(path: Path, sound: set[str], atoms: int, out: Path) -> None:
    """Features of the sound rows, the smallest cells first; goes on where it stood."""
    held = json.loads(out.read_text()) if out.is_file() else {}
    rows = [r for r in records(path) if r["id"] in sound and len(r["elements"]) - 4 <= atoms]
    calculator = load_potential("chgnet").calculator()
    for row in sorted(rows, key=lambda r: len(r["elements"])):
        if row["id"] in held:
            continue
        structure, ion, start, end = neb_hop(row)
        crystal = as_crystal(structure)
        band = hop_band(crystal, crystal.resolve_ion(ion), start, end, IMAGES, None)
        held[row["id"]] = {k: round(v, 4) for k, v in band_features(band, calculator).items()}
        write(held, out)
        print(f"{row['id']} {row['formula_images']}: {held[row['id']][QUICK]} eV, DFT {row['Em_eV']} eV", flush=True)


def write(held: dict[str, Any], out: Path) -> None:
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in held.items())
    out.write_text("{\n" + lines + "\n}\n")


def with_potential(data: dict[str, Any], groups: np.ndarray, seeds: range) -> tuple[np.ndarray, list[float]]:
    """(repeats, n) predictions of rows whose group was left out, and the shares chosen on the others."""
    x, y = data["x"], data["y"]
    out = np.full((len(seeds), len(y)), np.nan)
    shares = []
    for i, seed in enumerate(seeds):
        for train, test in grouped_folds(groups, FOLDS, seed):
            loss = {}
            for share in SHARES:
                own = data | {"offset": {QUICK: share, BARRIER: BVSE_SHARE}}
                left = np.full(len(y), np.nan)
                for a, b in grouped_folds(groups[train], 3, 100 + seed):
                    left[train[b]] = fit(own, x, train[a], seed, trees=40).mean_and_spread(x[train[b]])[0]
                loss[share] = float(np.abs(left - y)[train[data["sound"][train]]].mean())
            shares.append(min(loss, key=loss.__getitem__))
            own = data | {"offset": {QUICK: shares[-1], BARRIER: BVSE_SHARE}}
            out[i, test] = fit(own, x, train, seed).mean_and_spread(x[test])[0]
    return out, shares


def score(data: dict[str, Any], held: dict[str, Any], seeds: range) -> dict[str, Any]:
    names = sorted({name for row in held.values() for name in row})
    extra = np.array([[held.get(i, {}).get(n, np.nan) for n in names] for i in data["id"]])
    has = data["sound"] & np.isfinite(extra[:, 0])
    y, groups = data["y"], data["host"]
    plain = out_of_fold(data, data["x"], groups, seeds)[0]
    own = data | {"names": [*data["names"], *names], "x": np.column_stack([data["x"], extra]), "sound": has}
    found, shares = with_potential(own, groups, seeds)
    alone = out_of_fold(data | {"sound": has}, data["x"], groups, seeds)[0]
    told = {
        "without, trained on all sound rows": plain,
        "without, trained on the same rows": alone,
        "with the potential": found,
        "mean of with and without": 0.5 * (found + plain),
    }

    def log(v: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(v, 0.0) + 0.2)

    raw = {n: extra[:, names.index(n)] for n in ("potential_static_barrier_eV", QUICK)} | {"MACE-MP NEB": data["mace"]}
    known = has & np.isfinite(data["mace"])
    return {
        "rows": int(has.sum()),
        "hosts": len(set(groups[has].tolist())),
        "mae_eV": {name: round(float(np.abs(p - y)[:, has].mean()), 4) for name, p in told.items()},
        "median_eV": {name: round(float(np.median(np.abs(p - y)[:, has])), 4) for name, p in told.items()},
        "against_all_rows": {name: paired(y, p, plain, data | {"sound": has}) for name, p in told.items()},
        "against_same_rows": paired(y, found, alone, data | {"sound": has}),
        "unfitted_mae_eV": {n: round(float(np.abs(v - y)[known].mean()), 4) for n, v in raw.items()},
        "correlation_of_logarithms": {
            n: round(float(np.corrcoef(log(v[known]), log(y[known]))[0, 1]), 3) for n, v in raw.items()
        },
        "shares_chosen": {str(share): shares.count(share) for share in SHARES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="JSON file that keeps the features of ml_neb.py")
    parser.add_argument("--compute", action="store_true")
    parser.add_argument("--atoms", type=int, default=112)
    parser.add_argument("--features", type=Path, default=FEATURES)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "ml_neb_potential.json")
    options = parser.parse_args()
    fastin.set_num_threads(1)
    data = load(options.data, options.cache)
    if options.compute:
        sound = {i for i, ok in zip(data["id"], data["sound"], strict=True) if ok}
        compute(options.data / "neb_barriers_train.jsonl.gz", sound, options.atoms, options.features)
    result = score(data, json.loads(options.features.read_text()), range(options.repeats))
    print(json.dumps(result, indent=1))
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

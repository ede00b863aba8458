"""How well the shipped barrier model knows crystals unlike those it was fitted to: other volumes, other elements.

    python bench/experiments/ml_outside.py DATA [--count 300] [--seed 11]

DATA is the folder with the Materials Project sets. Each of `count` compounds is predicted and computed (1D barrier,
global zero) as it is, with its lengths scaled, and with a cation replaced by plutonium, which no training structure
holds. Printed are the shares of exact barriers within the intervals without the widening of `fastin.ml.outside` for
values out of range, the factor that takes 68 % of the errors in, and the errors, by change and by the share of values
out of range.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np

import fastin
from fastin import prediction
from fastin.crystal.crystal import Crystal, build_crystal
from fastin.crystal.sites import Sites
from fastin.ml import outside as rules

SETS = ("li_mp_ordered", "na_mp_ordered", "o_conductor_mp_ordered", "f_conductor_mp_ordered")
SCALES = (0.9, 0.95, 1.06, 1.12)
UNSEEN = 94
MOST_ATOMS = 60
CEILING = 5.0  # eV


@dataclass(frozen=True)
class Row:
    """One crystal: what was changed, the largest share of values out of range, error in units of both half widths."""

    change: str
    share: float
    one: float
    two: float
    error: float


def changed(crystal: Crystal, scale: float, number: np.ndarray) -> Crystal:
    """The crystal with other lengths or elements and the same charges."""
    sites = Sites(
        *(scale * crystal.cell, crystal.frac, number, crystal.occupancy, list(crystal.label)),
        charge=crystal.charge,
        charge_is_certain=True,
    )
    return build_crystal(sites, crystal.source)


def variants(crystal: Crystal, rng: random.Random) -> list[tuple[str, float, np.ndarray]]:
    """Name, scale and elements of each variant."""
    number = np.array(crystal.number)
    out = [("as it is", 1.0, number), *((f"scaled by {scale}", scale, number) for scale in SCALES)]
    cations = [z for z in sorted(set(number.tolist())) if 2.5 <= crystal.charge[number == z].mean() <= 4.2]
    if cations:
        out.append(
            ("unseen element", 1.0, np.where(number == rng.choice(cations), UNSEEN, number).astype(number.dtype))
        )
    return out


def measured(crystal: Crystal, change: str, shares: list[float]) -> Row | None:
    """Prediction beside the exact barrier; None where either is none or above the ceiling."""
    said = prediction.predict(crystal, experiment=False)
    exact = float(fastin.compute_barriers(crystal).values("global")[0])
    if not (math.isfinite(said.activation_energy) and 0.0 < exact < CEILING):
        return None
    error = abs(math.log10(said.activation_energy / exact))
    one, two = (0.5 * math.log10(high / low) for low, high in (said.activation_energy_68, said.activation_energy_90))
    return Row(change, shares[-1], error / one, error / two, abs(said.activation_energy - exact))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    records = []
    for name in SETS:
        with gzip.open(options.data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            records += list(map(json.loads, lines))
    rng = random.Random(options.seed)
    rows: list[Row] = []
    shares: list[float] = []
    look = rules.outside

    def outside(*arguments: object) -> dict[str, float]:
        found = look(*arguments)
        shares.append(max(found.values(), default=0.0))
        return found

    with patch.object(rules, "outside", outside), patch.object(rules, "WIDER", ((math.inf, 1.0),)):
        for record in rng.sample(records, options.count):
            try:
                crystal = Crystal.from_cif_string(record["cif"], source=record["id"])
            except fastin.FastinError:
                continue
            if len(crystal.number) > MOST_ATOMS:
                continue
            for change, scale, number in variants(crystal, rng):
                try:
                    row = measured(changed(crystal, scale, number), change, shares)
                except fastin.FastinError:
                    continue
                rows += [] if row is None else [row]
    groups = {
        change: [row for row in rows if row.change == change] for change in dict.fromkeys(row.change for row in rows)
    }
    for low, high in ((0.0, 0.05), (0.05, 0.4), (0.4, 1.0)):
        groups[f"{low:g} to {high:g} out of range"] = [
            row for row in rows if low < row.share <= high or low == row.share == 0
        ]
    for name, own in groups.items():
        if len(own) < 5:
            continue
        one, two, error = (np.array([getattr(row, key) for row in own]) for key in ("one", "two", "error"))
        print(
            f"{name:24s} {len(own):5d}  within 68 %: {np.mean(one <= 1):.2f}  90 %: {np.mean(two <= 1):.2f}  "
            f"factor {np.quantile(one, 0.68):.2f}  MAE {error.mean():.3f} eV"
        )


if __name__ == "__main__":
    main()

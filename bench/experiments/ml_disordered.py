"""How well the shipped barrier model, fitted to ordered crystals, knows disordered ones.

    python bench/experiments/ml_disordered.py DATA

DATA is the folder with ``obelix_train.jsonl.gz`` (keys ``id`` and ``cif``). Every CIF is predicted and computed (1D
barrier, global zero); printed are the errors and how many exact values lie within the 68 and 90 % intervals, by kind:
ordered, disordered, and with another species on the ion's own positions (where `fastin.predict` gives no barrier; this
script asks the model all the same).
"""

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import fastin
from fastin.crystal.crystal import Crystal
from fastin.ml.dataset import graphs_of
from fastin.prediction import load_predictor, predict_entries

SHARED = "ion-shared-site"


def main(data: Path) -> None:
    model = load_predictor("default")
    rows: dict[str, list[tuple[float, ...]]] = {"ordered": [], "disordered": [], "shared positions": []}
    failed = 0
    with gzip.open(data / "obelix_train.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [record for record in map(json.loads, lines) if record.get("cif")]
    for record in records:
        try:
            crystal = Crystal.from_cif_string(record["cif"], source=record["id"])
            entry = graphs_of(crystal, "Li", crystals=False)
            exact = fastin.compute_barriers(crystal, "Li", zero="global").e1d
        except fastin.FastinError as error:
            print(f"left out {record['id']}: {error}", file=sys.stderr)
            failed += 1
            continue
        said = entry.interstitial.warnings
        shared = any(warning.code == SHARED for warning in said)
        others = tuple(warning for warning in said if warning.code != SHARED)
        entry = replace(entry, interstitial=replace(entry.interstitial, warnings=others))
        found = predict_entries([entry], model)[0]
        kind = "shared positions" if shared else "ordered" if crystal.occupancy.min() > 1 - 1e-6 else "disordered"
        rows[kind].append((found.activation_energy, exact, *found.activation_energy_68, *found.activation_energy_90))
    print(f"{len(records)} CIFs, {failed} left out")
    for kind, values in rows.items():
        value, exact, low68, high68, low90, high90 = np.array(values).T
        error = np.abs(value - exact)[np.isfinite(value) & np.isfinite(exact)]
        within = [((low <= exact) & (exact <= high)).mean() for low, high in ((low68, high68), (low90, high90))]
        print(
            f"{kind}: {len(value)} crystals, MAE {error.mean():.3f} eV, median {np.median(error):.3f} eV, "
            f"within the 68 % interval {within[0]:.2f}, the 90 % interval {within[1]:.2f}"
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))

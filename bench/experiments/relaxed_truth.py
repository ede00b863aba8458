"""Relaxed barriers of textbook hops, with the published DFT numbers beside them.

    python bench/experiments/relaxed_truth.py [--cases LiFePO4 ...] [--potentials chgnet sevennet] [--keep FOLDER]

Each case is one `fastin.relax_hops` call on a bundled crystal; Li10GeP2S12 is ordered first (`fastin.order`, seed 0,
the lowest Ewald energy of three). LiCoO2 is computed twice: the leg of the network goes through the tetrahedron, for
which a second ion is taken out; with one vacancy the ion passes between two oxygen ions (`fastin.relax.single`).
Stages are kept in the folder: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import fastin
from fastin.transport.paths import compute_paths

Point = tuple[float, float, float]
RESULTS = Path(__file__).resolve().parents[1] / "results" / "relaxed_truth.json"

#: name -> crystal, smallest distance between images (A), dimension, DFT barrier (eV) as the literature is quoted;
#: the papers were not read again for this.
CASES: dict[str, tuple[str, float, int, str]] = {
    "LiFePO4 along b": ("LiFePO4", 8.0, 1, "0.27"),
    "Li3OCl, 2x2x2": ("Li3OCl", 7.0, 3, "0.37"),
    "Li3OCl, 3x3x3": ("Li3OCl", 8.0, 3, "0.37"),
    "Li3N in plane": ("Li3N", 7.0, 2, "0.004-0.02"),
    "LiCoO2, two vacancies": ("LiCoO2", 8.0, 2, "0.30"),
    "Li10GeP2S12 along c": ("Li10GeP2S12", 8.0, 1, "0.17-0.21"),
}

#: The same for single hops: name -> crystal, distance, start, end, DFT barrier.
HOPS: dict[str, tuple[str, float, Point, Point, str]] = {
    "LiCoO2, one vacancy": ("LiCoO2", 7.0, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0), "0.67"),
}


def run_hop(name: str, potential: str, keep: Path) -> dict[str, Any]:
    from fastin.relax.single import relax_hop

    crystal, distance, start, end, dft = HOPS[name]
    folder = keep / f"{name.replace(' ', '_')}-{potential}"
    leg = relax_hop(fastin.examples()[crystal], potential, start, end, supercell=distance, out=folder)
    return {"barrier_eV": leg.barrier, "bvse_eV": None, "dft_eV": dft, "source": crystal, "legs": [leg.to_dict()]}


def run(name: str, potential: str, keep: Path) -> dict[str, Any]:
    crystal, distance, dimension, dft = CASES[name]
    given: Any = fastin.examples()[crystal]
    if crystal == "Li10GeP2S12":
        given = fastin.order(given, n=3, seed=0)[0].structure
    paths = compute_paths(given)
    from fastin.relax.percolation import needed, places_of

    heights = {k: leg.energy for k, leg in enumerate(paths.legs("vacancy"))}
    legs = needed(places_of(paths.leg_finder, "vacancy"), heights, (dimension,))
    print(f"{name}, {potential}: legs {legs} of {len(heights)}", flush=True)
    found = fastin.relax_hops(
        paths, potential, mechanism="vacancy", legs=legs, supercell=distance,
        out=keep / f"{name.replace(' ', '_')}-{potential}",
    )  # fmt: skip
    return {
        "barrier_eV": float(found.barriers[dimension - 1]),
        "bvse_eV": float(paths.barriers.values("network")[dimension - 1]),
        "dft_eV": dft,
        **found.to_dict(),
        "source": crystal,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=[*CASES, *HOPS], help="beginnings of names")
    parser.add_argument("--potentials", nargs="+", default=["chgnet", "sevennet"])
    parser.add_argument("--keep", type=Path, default=Path("relaxed_truth"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    for potential in options.potentials:
        for name in (*CASES, *HOPS):
            if not any(name.startswith(case) for case in options.cases):
                continue
            found = (run if name in CASES else run_hop)(name, potential, options.keep)
            held: dict[str, Any] = json.loads(options.out.read_text()) if options.out.is_file() else {}
            held[f"{name}, {potential}"] = found
            options.out.write_text(json.dumps(held, indent=1) + "\n")
            legs = ", ".join(f"{leg['barrier_eV']:.3f} {leg['flags']}" for leg in found["legs"])
            print(f"{name}, {potential}: {found['barrier_eV']:.3f} eV (DFT {found['dft_eV']}); legs {legs}", flush=True)


if __name__ == "__main__":
    main()

"""The README's comparison table: fastin beside the peers that install from the package index, in one run.

Usage: python bench/peers.py [--json FILE] [--skip-large]

Tessellation: pyvoro2 (Voro++ behind Python) on the same spheres, one thread, symmetry off and on; the peer gives cells
only, fastin the merged complex with bottlenecks, clearances and percolation.
Barriers: bvlain on the same structure, oxidation states and 0.2 angstrom resolution; each side in a process of its
own: CPU seconds of the computation and peak memory above that of the process with its libraries
imported and warmed up on alpha-Li3N; reading the CIF counts on both sides.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastin
from fastin.crystal.crystal import as_crystal

TESSELLATION_CASES = ("Li3N", "LiFePO4", "Li10GeP2S12", "Li7La3Zr2O12_tetragonal")
BARRIER_CASES = ("LiFePO4", "Li7La3Zr2O12_tetragonal")


def median_ms(call: Callable[[], Any], repeat: int) -> float:
    """Median wall time of `call` in ms."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def tessellation_row(name: str, repeat: int = 15) -> dict[str, Any]:
    """Times of both sides on one bundled example."""
    from fastin.network.network import network_from_arrays

    f = as_crystal(fastin.examples()[name]).framework()
    row: dict[str, Any] = {"structure": name, "framework_atoms": len(f.radius)}
    ops = {"rotations": f.rotations, "translations": f.translations}
    row["fastin_no_symmetry_ms"] = median_ms(
        lambda: network_from_arrays(f.cell, f.frac, f.radius, num_threads=1, use_symmetry=False, **ops), repeat
    )
    row["fastin_symmetry_ms"] = median_ms(
        lambda: network_from_arrays(f.cell, f.frac, f.radius, num_threads=1, **ops), repeat
    )
    if importlib.util.find_spec("pyvoro2") is not None:
        import pyvoro2

        domain = pyvoro2.PeriodicCell(vectors=tuple(map(tuple, f.cell)))
        points = f.frac @ f.cell
        row["pyvoro2_ms"] = median_ms(
            lambda: pyvoro2.compute(points, domain=domain, mode="power", radii=f.radius), max(3, repeat // 3)
        )
    return row


def _fastin_barriers(path: str) -> list[float]:
    b = fastin.compute_barriers(path, resolution=0.2, convention="bvlain", num_threads=1)
    return [b.e1d, b.e2d, b.e3d]


def _bvlain_barriers(path: str) -> list[float]:
    from bvlain import Lain

    crystal = as_crystal(path)
    calc = Lain(verbose=False)
    calc.read_structure(crystal.to_structure(), oxi_check=False)
    ion = crystal.resolve_ion()
    calc.bvse_distribution(mobile_ion=f"{ion.element}{ion.charge}+", r_cut=10.0, resolution=0.2)
    result = calc.percolation_barriers(encut=10.0)
    return [float(result[k]) for k in ("E_1D", "E_2D", "E_3D")]


def _measured(which: str, path: str, queue: Any) -> None:
    """Runs one side in this process: CPU seconds and peak memory above the imports."""
    run = _bvlain_barriers if which == "bvlain" else _fastin_barriers
    run(str(fastin.examples()["Li3N"]))  # imports and parameter tables are not what is compared
    before = resource.getrusage(resource.RUSAGE_SELF)
    values = run(path)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    queue.put({"barriers_eV": values, "cpu_s": cpu, "peak_MB": (after.ru_maxrss - before.ru_maxrss) / 1024})


def barrier_row(name: str) -> dict[str, Any]:
    """Both sides on one bundled example, each in a fresh process."""
    row: dict[str, Any] = {"structure": name}
    context = multiprocessing.get_context("spawn")
    for which in ("fastin", "bvlain"):
        if which == "bvlain" and importlib.util.find_spec("bvlain") is None:
            continue
        queue = context.Queue()
        process = context.Process(target=_measured, args=(which, str(fastin.examples()[name]), queue))
        process.start()
        row[which] = queue.get(timeout=1200)
        process.join()
    if "bvlain" in row:
        row["cpu_ratio"] = row["bvlain"]["cpu_s"] / max(row["fastin"]["cpu_s"], 1e-4)
    return row


def main() -> None:
    """Prints the tables; writes JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--skip-large", action="store_true", help="leave out the 192-atom barrier case")
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, one thread, {fastin.runtime.openmp._core.simd_level()}\n")
    print("| structure | framework atoms | fastin network, symmetry off, ms | symmetry on, ms | pyvoro2 cells, ms |")
    print("|---|---:|---:|---:|---:|")
    tessellations = [tessellation_row(name) for name in TESSELLATION_CASES]
    for r in tessellations:
        peer = f"{r['pyvoro2_ms']:.2f}" if "pyvoro2_ms" in r else "not installed"
        print(
            f"| {r['structure']} | {r['framework_atoms']} | {r['fastin_no_symmetry_ms']:.2f} | "
            f"{r['fastin_symmetry_ms']:.2f} | {peer} |"
        )
    print("\n| structure | fastin CPU s | peak MB | bvlain CPU s | peak MB | CPU ratio | E1D/2D/3D fastin | bvlain |")
    print("|---|---:|---:|---:|---:|---:|---|---|")
    barriers = []
    for name in BARRIER_CASES[: 1 if args.skip_large else None]:
        r = barrier_row(name)
        barriers.append(r)
        ours, peer_row = r["fastin"], r.get("bvlain")
        text = f"| {name} | {ours['cpu_s']:.4f} | {ours['peak_MB']:.0f} | "
        values = "/".join(f"{e:.3f}" for e in ours["barriers_eV"])
        if peer_row is None:
            print(text + f"not installed | | | {values} | |")
            continue
        peers = "/".join(f"{e:.3f}" for e in peer_row["barriers_eV"])
        print(
            text + f"{peer_row['cpu_s']:.2f} | {peer_row['peak_MB']:.0f} | {r['cpu_ratio']:.0f} | {values} | {peers} |"
        )
    if args.json:
        args.json.write_text(json.dumps({"tessellation": tessellations, "barriers": barriers}, indent=1) + "\n")


if __name__ == "__main__":
    main()

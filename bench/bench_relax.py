"""Relaxed barriers against ASE's plain loop over the same leg with the potential's stock calculator, in one run.

    python bench/bench_relax.py --memory
    python bench/bench_relax.py [--crystals Li3OCl LiFePO4] [--supercell 7.0] [--images 3] [--start path]

The plain loop is what ASE's documentation shows: both ends relaxed with FIRE, NEB with the improved tangent and one
shared calculator, then a climbing image; the same forces as limits, the same cell. ``--start path`` gives it our first
images, so that both end on the same saddle; ``--start line`` its own straight line, which can stay on a higher one.
Prints CPU seconds of one thread, structures computed, both barriers and the peak memory. ``--memory`` prints peak
memory and seconds of one structure of 192 atoms, each in a process of its own, ours and the stock calculators.
``--tight`` relaxes the first end of both runs on, to a tenth of the force, and prints how far each falls and whether
they meet: a crystal that the potential holds for a maximum (flag parent-unstable; Li3OCl with CHGNet) is left at
another height by every optimiser, and no barrier from there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import subprocess
import sys
import time
import warnings

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.mep import NEB
from ase.optimize import FIRE

import fastin
from fastin.relax.hops import prepare
from fastin.relax.legs import END_SHARE, Kept, relax_leg
from fastin.relax.request import Request


def counted(calculator: Calculator) -> Calculator:
    """The calculator, counting its calls."""
    plain = calculator.calculate
    calculator.calls = 0

    def calculate(*args, **named):
        calculator.calls += 1
        return plain(*args, **named)

    calculator.calculate = calculate
    return calculator


def plain_loop(calculator: Calculator, band, fmax: float, line: bool) -> tuple[float, float, np.ndarray]:
    """Barrier, CPU seconds and first end of ASE's loop, on the straight line or from the same images."""
    start = time.process_time()
    images = [Atoms(numbers=band.numbers, positions=x, cell=band.cell, pbc=True) for x in band.positions]
    for atoms in (images[0], images[-1]):
        atoms.calc = calculator
        FIRE(atoms, logfile=None).run(END_SHARE * fmax, steps=300)
    neb = NEB(images, method="improvedtangent", allow_shared_calculator=True)
    if line:
        neb.interpolate()
    for image in images:
        image.calc = calculator
    FIRE(neb, logfile=None).run(4 * fmax, steps=300)
    neb.climb = True
    FIRE(neb, logfile=None).run(fmax, steps=300)
    energies = [image.get_potential_energy() for image in images]
    return max(energies) - energies[0], time.process_time() - start, images[0].positions


def settled(calculator: Calculator, band, positions: np.ndarray, fmax: float) -> tuple[float, float, float]:
    """Energy of an end relaxed on to a force, eV, by how much it fell, and how far an atom moved, angstrom."""
    from fastin.relax.band import relax_cell

    quiet = (lambda *_: None, "end")
    before = relax_cell(calculator, band.numbers, band.cell, positions, 1e6, 1, *quiet)
    after = relax_cell(calculator, band.numbers, band.cell, positions, fmax, 500, *quiet)
    moved = np.linalg.norm(after.positions - positions, axis=1).max()
    return after.energy, before.energy - after.energy, float(moved)


def stock_chgnet() -> Calculator:
    """As its documentation makes it."""
    with contextlib.redirect_stdout(io.StringIO()):
        from chgnet.model.dynamics import CHGNetCalculator

        return CHGNetCalculator(use_device="cpu")


def compare(crystal: str, options: argparse.Namespace) -> float:
    """Prints the line of one crystal; how many times less CPU ours takes."""
    request = Request(legs=[0], images=options.images, supercell=options.supercell, fmax=options.fmax)
    run = prepare(fastin.examples()[crystal], "chgnet", request)
    calculator = run.potential.calculator()
    displacement, *_ = run.parent(lambda *_: None)  # for both
    band = run.band(0, displacement)
    start = time.process_time()
    places = run.place_points(displacement)
    leg = relax_leg(0, band, calculator, run.settings, places, Kept(None, ""), lambda *_: None)
    ours = time.process_time() - start
    stock = counted(stock_chgnet())
    barrier, theirs, end = plain_loop(stock, band, options.fmax, options.start == "line")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{crystal}, {len(band.numbers)} atoms, {options.images} images: fastin {leg.barrier:.4f} eV, "
        f"{ours:.1f} s, {leg.calls} structures; ASE from the {options.start} {barrier:.4f} eV, {theirs:.1f} s, "
        f"{stock.calls} calls; ratio {theirs / ours:.2f}, difference {1000 * abs(barrier - leg.barrier):.1f} meV; "
        f"peak memory {peak:.0f} MB",
        flush=True,
    )
    if options.tight:
        limit = 0.1 * END_SHARE * options.fmax
        one, other = (settled(calculator, band, x, limit) for x in (leg.positions[0], end))
        print(
            f"  ends relaxed on to {limit:.3f} eV/A: fastin's falls {one[1]:.3f} eV ({one[2]:.2f} A), ASE's "
            f"{other[1]:.3f} eV ({other[2]:.2f} A), then they are {1000 * abs(one[0] - other[0]):.1f} meV apart",
            flush=True,
        )
    return theirs / ours


def measure(potential: str, stock: bool) -> None:
    """Prints the peak memory and the CPU seconds of one structure; in a process of its own."""
    from fastin.relax.cells import crystal_atoms
    from fastin.relax.potentials import load_potential

    atoms = crystal_atoms(fastin.Crystal.from_file(fastin.examples()["LiCoO2"])).repeat((4, 4, 1))
    if not stock:
        calculator = load_potential(potential).calculator()
    elif potential == "chgnet":
        calculator = stock_chgnet()
    else:
        from sevenn.calculator import SevenNetCalculator

        calculator = SevenNetCalculator("7net-l3i5", device="cpu")
    atoms.calc = calculator
    for seed in range(2):
        atoms.rattle(0.01, seed=seed)
        start = time.process_time()
        forces = atoms.get_forces()
        spent = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{potential}{', stock' if stock else ''}: {len(forces)} atoms of LiCoO2, {peak:.0f} MB, {spent:.1f} CPU s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crystals", nargs="+", default=["LiCl", "Li3OCl"])
    parser.add_argument("--supercell", type=float, default=7.0)
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--fmax", type=float, default=0.05)
    parser.add_argument("--start", choices=("path", "line"), default="path")
    parser.add_argument("--tight", action="store_true", help="relax the first ends on and compare them")
    parser.add_argument("--memory", action="store_true", help="of one large structure instead, ours and stock")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        for potential in ("chgnet", "sevennet"):
            for kind in ("ours", "stock"):
                subprocess.run([sys.executable, __file__, "--only", potential, kind], check=True)
        return
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    if options.only:
        measure(options.only[0], options.only[1] == "stock")
        return
    ratios = [compare(crystal, options) for crystal in options.crystals]
    print(f"median ratio {np.median(ratios):.2f}")


if __name__ == "__main__":
    main()

"""Relaxed barriers against ASE's plain loop over the same leg with the potential's stock calculator, in one run.

    python bench/bench_relax.py [--crystal LiCl] [--supercell 7.0] [--images 3]

The plain loop is what ASE's documentation shows: both ends relaxed with FIRE, linear interpolation, NEB with the
improved tangent and one shared calculator, then a climbing image; the same forces as limits, the same cell.
Prints CPU seconds of one thread, structures computed, both barriers and the peak memory.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import time
import warnings

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.mep import NEB
from ase.optimize import FIRE

import fastin
from fastin.relax.hops import prepare
from fastin.relax.legs import END_SHARE


def counted(calculator: Calculator) -> Calculator:
    """The calculator, counting its calls."""
    plain = calculator.calculate
    calculator.calls = 0

    def calculate(*args, **named):
        calculator.calls += 1
        return plain(*args, **named)

    calculator.calculate = calculate
    return calculator


def plain_loop(calculator: Calculator, band, fmax: float) -> tuple[float, float]:
    """Barrier and CPU seconds of ASE's loop from the same ends."""
    start = time.process_time()
    ends = [Atoms(numbers=band.numbers, positions=band.positions[k], cell=band.cell, pbc=True) for k in (0, -1)]
    for atoms in ends:
        atoms.calc = calculator
        FIRE(atoms, logfile=None).run(END_SHARE * fmax, steps=300)
    images = [ends[0], *(ends[0].copy() for _ in range(len(band.positions) - 2)), ends[1]]
    neb = NEB(images, method="improvedtangent", allow_shared_calculator=True)
    neb.interpolate()
    for image in images:
        image.calc = calculator
    FIRE(neb, logfile=None).run(4 * fmax, steps=300)
    neb.climb = True
    FIRE(neb, logfile=None).run(fmax, steps=300)
    energies = [image.get_potential_energy() for image in images]
    return max(energies) - energies[0], time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crystal", default="LiCl")
    parser.add_argument("--supercell", type=float, default=7.0)
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--fmax", type=float, default=0.05)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()):
        from chgnet.model.dynamics import CHGNetCalculator

        stock = counted(CHGNetCalculator(use_device="cpu"))
    run = prepare(
        fastin.examples()[options.crystal], "chgnet", legs=[0], images=options.images, supercell=options.supercell,
        fmax=options.fmax,
    )  # fmt: skip
    run.potential.calculator()
    displacement, *_ = run.parent(lambda *_: None)
    band = run.band(0, displacement)
    start = time.process_time()
    from fastin.relax.legs import Kept, relax_leg

    leg = relax_leg(
        0,
        band,
        run.potential.calculator(),
        run.settings,
        run.place_points(displacement),
        Kept(None, ""),
        lambda *_: None,
    )
    ours = time.process_time() - start
    barrier, theirs = plain_loop(stock, band, options.fmax)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{options.crystal}, {len(band.numbers)} atoms, {options.images} images: fastin {leg.barrier:.4f} eV, "
        f"{ours:.1f} s, {leg.calls} structures; ASE {barrier:.4f} eV, {theirs:.1f} s, {stock.calls} calls; ratio "
        f"{theirs / ours:.2f}, difference {1000 * abs(barrier - leg.barrier):.1f} meV; peak memory {peak:.0f} MB"
    )
    assert np.isfinite(barrier)


if __name__ == "__main__":
    main()

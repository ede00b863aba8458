"""Relaxing: one cell, and the band between two ends, with ASE's optimisers and nudged elastic band.

Everything here works on plain arrays and one calculator. Images carry their own results, so that a shared calculator
computes each arrangement once; where it offers ``calculate_many`` (several structures in one call) the images of a step
go through that, small ones together, large ones one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastin.errors import FastinError, InputError, missing_extra

try:
    from ase import Atoms
    from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
    from ase.constraints import FixAtoms
    from ase.mep import NEB
    from ase.optimize import FIRE, LBFGS
except ImportError as error:
    raise missing_extra("ase", "mlip") from error

from fastin.relax.journal import NOTHING, Journal

FloatArray = npt.NDArray[np.float64]
Watch = Callable[[str, int, float], None]
"""Called after every step with what relaxes, its number and the largest force (eV/A); may raise to stop."""

_CLIMB_FROM = 4.0  # the band climbs when its forces are below this multiple of fmax
_LONGEST_STEP = 0.1  # angstrom an atom moves at most in one step
_SPRING = 0.1  # eV/A^2
_ATOMS_AT_ONCE = 64  # of the structures in one call: more saves no time and takes memory
_BLOWN_UP = 100.0  # eV/A: forces above that after the first steps are no relaxation


@dataclass(frozen=True, eq=False)
class Relaxed:
    """One arrangement of atoms after relaxing.

    Attributes:
        positions: (N, 3) Cartesian, unwrapped, angstrom.
        energy: eV.
        forces: (N, 3) eV/A.
        converged: whether the largest force is below the limit.
        steps: of the optimiser.
        calls: structures computed.
    """

    positions: FloatArray
    energy: float
    forces: FloatArray
    converged: bool
    steps: int
    calls: int


@dataclass(frozen=True, eq=False)
class RelaxedBand:
    """A band after relaxing.

    Attributes:
        positions: (n + 2, N, 3) Cartesian, unwrapped, angstrom.
        energy: (n + 2,) eV.
        forces: (n + 2, N, 3) of the potential, eV/A.
        residual: largest force of the band, eV/A.
        converged: whether that is below the limit.
        steps: of the optimiser.
        calls: structures computed.
    """

    positions: FloatArray
    energy: FloatArray
    forces: FloatArray
    residual: float
    converged: bool
    steps: int
    calls: int


class Images:
    """The shared calculator and the images that it computes.

    Args:
        calculator: of ASE.
        journal: of what it has said.
    """

    def __init__(self, calculator: Any, journal: Journal = NOTHING) -> None:
        self.calculator = calculator
        self.journal = journal
        self.images: list[Atoms] = []
        self.calls = 0

    def add(self, atoms: Atoms) -> Atoms:
        """An image with a calculator of its own that asks the shared one."""
        atoms.calc = _Shared(self)
        self.images.append(atoms)
        return atoms

    def compute(self, wanted: Atoms) -> None:
        """Fills in the results of one image, or of all that moved where the calculator takes several."""
        many = hasattr(self.calculator, "calculate_many")
        stale = [a for a in self.images if a is wanted or a.calc.moved(a)] if many else [wanted]
        at_once = max(1, _ATOMS_AT_ONCE // len(wanted))
        for start in range(0, len(stale), at_once):
            part = stale[start : start + at_once]
            positions = [atoms.positions for atoms in part]
            found = self.journal.find(positions)
            if found is None:
                found = self._ask(part)
                self.journal.add(positions, found)
            self.calls += len(part)
            for atoms, (energy, forces) in zip(part, found, strict=True):
                atoms.calc.keep(atoms, energy, forces)

    def _ask(self, several: Sequence[Atoms]) -> list[tuple[float, FloatArray]]:
        many = getattr(self.calculator, "calculate_many", None)
        try:
            found = many(several) if many else [self._one(atoms) for atoms in several]
            return [
                _checked(energy, forces, len(atoms)) for atoms, (energy, forces) in zip(several, found, strict=True)
            ]
        except (FastinError, MemoryError):
            raise
        except PropertyNotImplementedError as error:
            raise InputError(f"the potential gives no energy or no forces ({error}): both are needed") from error
        except (Exception, SystemExit) as error:
            said = " ".join(str(error).split())[:300]
            raise InputError(f"the potential failed: {type(error).__name__}: {said}") from error

    def _one(self, atoms: Atoms) -> tuple[float, FloatArray]:
        bare = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        bare.calc = self.calculator
        forces = bare.get_forces()
        return bare.get_potential_energy(), forces


def _checked(energy: Any, forces: Any, atoms: int) -> tuple[float, FloatArray]:
    """What a potential says of so many atoms, as numbers.

    Raises:
        InputError: other shapes, or values that are no numbers.
    """
    total, each = np.asarray(energy, dtype=np.float64), np.array(forces, dtype=np.float64)
    if total.size != 1 or each.shape != (atoms, 3):
        raise InputError(
            f"the potential gives an energy of shape {total.shape} and forces of shape {each.shape} for {atoms} atoms; "
            f"one number and ({atoms}, 3) are needed"
        )
    if not (np.isfinite(total).all() and np.isfinite(each).all()):
        raise InputError("the potential gives energies or forces that are no numbers for this arrangement")
    return float(total.item()), each


class _Shared(Calculator):  # type: ignore[misc]
    """Results of one image."""

    implemented_properties = ("energy", "forces", "free_energy")

    def __init__(self, images: Images) -> None:
        super().__init__()
        self._images = images

    def moved(self, atoms: Atoms) -> bool:
        return "energy" not in self.results or bool(self.check_state(atoms))

    def keep(self, atoms: Atoms, energy: float, forces: FloatArray) -> None:
        self.atoms = atoms.copy()
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        wanted = next(a for a in self._images.images if a.calc is self)
        self._images.compute(wanted)


def _atoms(numbers: npt.NDArray[np.int64], cell: FloatArray, positions: FloatArray) -> Atoms:
    return Atoms(numbers=numbers, positions=positions, cell=cell, pbc=True)


def _run(optimiser: Any, fmax: float, steps: int, watch: Callable[[int, float], None]) -> bool:
    """Runs an optimiser, one call of `watch` a step; whether it converged."""
    for number, done in enumerate(optimiser.irun(fmax=fmax, steps=steps)):
        force = float(np.linalg.norm(optimiser.optimizable.get_gradient().reshape(-1, 3), axis=1).max())
        watch(number, force)
        if not np.isfinite(force) or (number > 2 and force > _BLOWN_UP):
            return False
        if done:
            return True
    return False


def relax_cell(
    calculator: Any,
    numbers: npt.NDArray[np.int64],
    cell: FloatArray,
    positions: FloatArray,
    fmax: float,
    steps: int,
    watch: Watch,
    what: str,
    journal: Journal = NOTHING,
) -> Relaxed:
    """Relaxes the atoms of one arrangement in a fixed cell.

    Args:
        calculator: of ASE.
        numbers: (N,) atomic numbers.
        cell: (3, 3) angstrom.
        positions: (N, 3) Cartesian, angstrom.
        fmax: largest force at which it stops, eV/A.
        steps: at most.
        watch: called after every step.
        what: the name it is called with.
        journal: of the structures computed before.
    """
    images = Images(calculator, journal)
    atoms = images.add(_atoms(numbers, cell, positions))
    optimiser = LBFGS(atoms, logfile=None, maxstep=_LONGEST_STEP)
    converged = _run(optimiser, fmax, steps, lambda n, force: watch(what, n, force))
    return Relaxed(
        positions=atoms.positions.copy(),
        energy=float(atoms.get_potential_energy()),
        forces=atoms.get_forces(),
        converged=converged,
        steps=int(optimiser.nsteps),
        calls=images.calls,
    )


def relax_band(
    calculator: Any,
    numbers: npt.NDArray[np.int64],
    cell: FloatArray,
    positions: FloatArray,
    ends: Sequence[Relaxed],
    fmax: float,
    steps: int,
    climb: bool,
    watch: Watch,
    free: Sequence[int] | None = None,
    journal: Journal = NOTHING,
) -> RelaxedBand:
    """Relaxes the images between two relaxed ends.

    Args:
        calculator: of ASE.
        numbers: (N,) atomic numbers.
        cell: (3, 3) angstrom.
        positions: (n + 2, N, 3) Cartesian, unwrapped, angstrom; those of the ends are taken from `ends`.
        ends: start and end.
        fmax: largest force of the band at which it stops, eV/A.
        steps: at most.
        climb: whether the highest image climbs to the saddle.
        watch: called after every step.
        free: rows that may move; None for all.
        journal: of the structures computed before.
    """
    images = Images(calculator, journal)
    band = [images.add(_atoms(numbers, cell, x)) for x in positions]
    for atoms, end in ((band[0], ends[0]), (band[-1], ends[1])):
        atoms.positions[:] = end.positions
        atoms.calc.keep(atoms, end.energy, end.forces)
    if free is not None:
        still = FixAtoms(np.setdiff1d(np.arange(len(numbers)), free))
        for atoms in band:
            atoms.set_constraint(still)
    # FIRE, since a band's forces are no gradient of anything
    neb = NEB(band, k=_SPRING, climb=False, method="improvedtangent")
    optimiser = FIRE(neb, logfile=None, maxstep=_LONGEST_STEP, downhill_check=False)
    done = 0
    first = fmax * _CLIMB_FROM if climb else fmax
    converged = _run(optimiser, first, steps, lambda n, force: watch("band", n, force))
    done += int(optimiser.nsteps)
    if climb and converged:
        neb.climb = True
        optimiser = FIRE(neb, logfile=None, maxstep=_LONGEST_STEP, downhill_check=False)
        converged = _run(optimiser, fmax, max(steps - done, 1), lambda n, force: watch("band", done + n, force))
        done += int(optimiser.nsteps)
    residual = float(np.linalg.norm(neb.get_forces().reshape(-1, 3), axis=1).max())
    return RelaxedBand(
        positions=np.stack([atoms.positions for atoms in band]),
        energy=np.array([atoms.get_potential_energy() for atoms in band]),
        forces=np.stack([atoms.get_forces() for atoms in band]),
        residual=residual,
        converged=converged,
        steps=done,
        calls=images.calls,
    )


def time_structure(calculator: Any, numbers: npt.NDArray[np.int64], cell: FloatArray, positions: FloatArray) -> float:
    """Seconds for energy and forces of one structure; the first call, which may compile, does not count."""
    import time

    images = Images(calculator)
    atoms = images.add(_atoms(numbers, cell, positions))
    atoms.get_forces()
    start = time.perf_counter()
    atoms.positions += 1e-3
    atoms.get_forces()
    return time.perf_counter() - start


def structures(
    calculator: Any, numbers: npt.NDArray[np.int64], cell: FloatArray, several: Sequence[FloatArray], batch: int
) -> tuple[FloatArray, FloatArray]:
    """(n,) energies and (n, N, 3) forces of arrangements of the same atoms, `batch` at once where that is possible."""
    energies, forces = [], []
    for start in range(0, len(several), batch):
        images = Images(calculator)
        made = [images.add(_atoms(numbers, cell, x)) for x in several[start : start + batch]]
        energies += [atoms.get_potential_energy() for atoms in made]
        forces += [atoms.get_forces() for atoms in made]
    return np.array(energies), np.array(forces)

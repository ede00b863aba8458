"""One leg from its first images to its barrier, in stages that are kept on disk as they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastin.relax.band import Relaxed, RelaxedBand, Watch, relax_band, relax_cell
from fastin.relax.cells import Band
from fastin.relax.flags import band_flags
from fastin.relax.journal import Journal
from fastin.runtime.files import digest, write_text
from fastin.transport.parts import FloatArray

END_SHARE = 0.6  # of fmax, at which ends and the parent stop: their energies are differences' zeros


@dataclass(frozen=True)
class Settings:
    """What the numbers of a leg depend on.

    Attributes:
        images: between the ends.
        fmax: largest force of the band, eV/A; ends stop at 0.6 of it.
        climb: whether the highest image climbs.
        end_steps: of an end or the parent, at most.
        band_steps: of the band, at most.
    """

    images: int = 5
    fmax: float = 0.05
    climb: bool = True
    end_steps: int = 300
    band_steps: int = 300


@dataclass(frozen=True, eq=False)
class RelaxedLeg:
    """A leg with everything relaxed.

    Attributes:
        number: of the leg in `TransportNetwork.legs`.
        barrier: from the start to the highest image, eV.
        barrier_backward: from the end, eV.
        fitted: barrier of the curve through energies and forces, eV; at least the highest image's within its error.
        profile: (n + 2,) energies of the images above the start, eV.
        bvse_profile: (n + 2,) of the bond valence landscape above its start, eV.
        distance: (n + 2,) way of the moving ions, angstrom.
        flags: reasons to doubt it (`fastin.relax.flags.FLAGS`).
        numbers: (N,) atomic numbers.
        cell: (3, 3) angstrom.
        positions: (n + 2, N, 3) Cartesian, unwrapped, angstrom.
        moving: rows of the ions that move.
        steps: of the optimisers.
        calls: structures computed.
        energies: (n + 2,) of the potential, eV.
        residual: largest force of the band, eV/A.
    """

    number: int
    barrier: float
    barrier_backward: float
    fitted: float
    profile: FloatArray
    bvse_profile: FloatArray
    distance: FloatArray
    flags: tuple[str, ...]
    numbers: Any
    cell: FloatArray
    positions: FloatArray
    moving: tuple[int, ...]
    steps: int
    calls: int
    energies: FloatArray
    residual: float

    def __repr__(self) -> str:
        flags = f", {', '.join(self.flags)}" if self.flags else ""
        return f"RelaxedLeg({self.number}: {self.barrier:.3f} eV, back {self.barrier_backward:.3f} eV{flags})"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers with units in the keys, without the positions."""
        return {
            "leg": self.number,
            "barrier_eV": self.barrier,
            "barrier_backward_eV": self.barrier_backward,
            "fitted_barrier_eV": self.fitted,
            "profile_eV": self.profile.tolist(),
            "bvse_profile_eV": self.bvse_profile.tolist(),
            "distance_A": self.distance.tolist(),
            "flags": list(self.flags),
            "atoms": len(self.numbers),
            "steps": self.steps,
            "structures_computed": self.calls,
            "largest_force_eV_per_A": self.residual,
        }


class Kept:
    """Results of stages in a folder, each written once it is there; in memory only without a folder.

    Args:
        folder: None keeps nothing.
        key: digest of all that the results depend on: results of another key are not used.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        self.folder = folder
        self.key = key

    def __call__(self, name: str, make: Callable[[Journal], dict[str, Any]]) -> dict[str, Any]:
        """The result of a stage: from its file, or made and written; `make` goes on from what its journal holds."""
        found = self.read(name)
        if found is not None:
            return found
        journal = Journal(None if self.folder is None else self.folder / f"{name}.steps", self.key)
        try:
            made = make(journal)
        finally:
            journal.close()
        # floats are written so that they are read back as they were: the next stage sees the same numbers either way
        text = json.dumps(made)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            whole = json.dumps({"key": self.key, "digest": digest(text.encode()), "result": made})
            write_text(self.folder / f"{name}.json", whole)
        journal.remove()
        result: dict[str, Any] = json.loads(text)
        return result

    def read(self, name: str) -> dict[str, Any] | None:
        """The result of a stage where a whole file of the same key holds it."""
        if self.folder is None:
            return None
        try:
            held = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
            same = held["key"] == self.key and held["digest"] == digest(json.dumps(held["result"]).encode())
        except (OSError, ValueError, KeyError, TypeError):
            return None
        result: dict[str, Any] | None = held["result"] if same else None
        return result


def to_plain(relaxed: Relaxed | RelaxedBand) -> dict[str, Any]:
    """Lists and numbers."""
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(relaxed).items()}


def from_plain(kind: Any, held: dict[str, Any]) -> Any:
    """`Relaxed` or `RelaxedBand` of what `to_plain` gave."""
    return kind(**{k: np.array(v, dtype=np.float64) if isinstance(v, list) else v for k, v in held.items()})


def relax_leg(
    number: int, band: Band, calculator: Any, settings: Settings, places: FloatArray, kept: Kept, watch: Watch
) -> RelaxedLeg:
    """Relaxes both ends and the band of a leg.

    Args:
        number: of the leg.
        band: before relaxing.
        calculator: of ASE.
        settings: how.
        places: (P, 3) Cartesian places of the ion in the supercell, angstrom, for the flags.
        kept: stages that are there already.
        watch: called after every step.
    """
    ends = []
    for name, k in (("start", 0), ("end", -1)):

        def make(journal: Journal, k: int = k, name: str = name) -> dict[str, Any]:
            found = relax_cell(
                calculator,
                band.numbers,
                band.cell,
                band.positions[k],
                END_SHARE * settings.fmax,
                settings.end_steps,
                watch,
                name,
                journal,
            )
            return to_plain(found)

        ends.append(from_plain(Relaxed, kept(name, make)))
    share = np.linspace(0.0, 1.0, len(band.positions))[:, None, None]
    first = ends[0].positions - band.positions[0]
    last = ends[1].positions - band.positions[-1]
    positions = band.positions + (1.0 - share) * first + share * last

    def make_band(journal: Journal) -> dict[str, Any]:
        found = relax_band(
            *(calculator, band.numbers, band.cell, positions, ends),
            *(settings.fmax, settings.band_steps, settings.climb, watch),
            journal=journal,
        )
        return to_plain(found)

    relaxed = from_plain(RelaxedBand, kept("band", make_band))
    return _leg(number, band, ends, relaxed, places)


def _leg(number: int, band: Band, ends: Sequence[Relaxed], relaxed: RelaxedBand, places: FloatArray) -> RelaxedLeg:
    energy = relaxed.energy
    top = float(energy.max())
    moving = list(band.moving)
    step = np.linalg.norm(np.diff(relaxed.positions[:, moving], axis=0), axis=2).sum(axis=1)
    return RelaxedLeg(
        number=number,
        barrier=top - float(energy[0]),
        barrier_backward=top - float(energy[-1]),
        fitted=fitted_barrier(relaxed, band.cell),
        profile=energy - energy[0],
        bvse_profile=band.bvse - band.bvse[0],
        distance=np.concatenate([[0.0], np.cumsum(step)]),
        flags=tuple(band_flags(band, ends, relaxed, places)),
        numbers=band.numbers,
        cell=band.cell,
        positions=relaxed.positions,
        moving=band.moving,
        steps=relaxed.steps + sum(end.steps for end in ends),
        calls=relaxed.calls + sum(end.calls for end in ends),
        energies=energy,
        residual=relaxed.residual,
    )


def fitted_barrier(relaxed: RelaxedBand, cell: FloatArray) -> float:
    """Highest point of ASE's curve through the images' energies and forces above the start, eV."""
    from ase.utils.forcecurve import fit_raw

    fit = fit_raw(relaxed.energy, relaxed.forces, relaxed.positions, cell, (True, True, True))
    return float(np.max(fit.fit_energies))

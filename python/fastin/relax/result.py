"""Relaxed barriers of a crystal, their percolation and kinetics, with what casts doubt on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastin.errors import InputError
from fastin.relax.flags import DROP, ENDS_DIFFER, FLAGS, REMARKS
from fastin.relax.legs import RelaxedLeg, Settings
from fastin.relax.percolation import Percolation, Places, hop_model, percolate, relaxed_edges
from fastin.runtime.arguments import checked_arguments
from fastin.runtime.late import later
from fastin.transport.kinetics import DEFAULT_PREFACTOR, HopModel, nernst_einstein
from fastin.transport.parts import FloatArray

if TYPE_CHECKING:
    from fastin.transport.network import TransportNetwork


@dataclass(frozen=True, eq=False)
class RelaxedHops:
    """Legs of a crystal relaxed with a potential.

    Attributes:
        source: what the crystal was read from.
        potential: name of the potential.
        mechanism: of the legs.
        supercell: multiples of the crystal's cell in which they were relaxed.
        settings: how.
        legs: by number of `TransportNetwork.legs`.
        left: number of a leg -> why it has no barrier, though it was asked for or can matter.
        closed: number of a leg that was not relaxed -> why it cannot change the percolation barriers.
        flags: of the crystal, for all legs.
        drop: eV by which the supercell of the crystal ends lower after it was shaken; NaN where that was not reached.
        percolation: of the relaxed legs.
        notes: what the percolation rests on and what it leaves open.
        paths: the transport network.
    """

    source: str
    potential: str
    mechanism: str
    supercell: tuple[int, int, int]
    settings: Settings
    legs: Mapping[int, RelaxedLeg]
    left: Mapping[int, str]
    closed: Mapping[int, str]
    flags: tuple[str, ...]
    drop: float
    percolation: Percolation
    notes: tuple[str, ...]
    paths: TransportNetwork
    _places: Places = field(repr=False)

    @classmethod
    def assemble(
        cls, run: Any, done: dict[int, RelaxedLeg], left: dict[int, str], closed: dict[int, str], flags: list[str],
        drop: float,
    ) -> RelaxedHops:  # fmt: skip
        """The result of a `fastin.relax.hops.Run`."""
        paths, potential = run.paths, run.potential
        unseen = potential.unseen([*paths.crystal.number.tolist(), paths.ion.number])
        common = [*flags, *(["unseen-element"] if unseen else [])]
        barriers = {k: (leg.barrier, leg.barrier_backward) for k, leg in done.items()}
        found = percolate(run.places, barriers, run.mechanism == "vacancy", _before(done))
        differ = _ends_that_differ(run.places, done)
        legs = {k: leg if k not in differ else _flagged(leg, "ends-differ") for k, leg in sorted(done.items())}
        notes = _notes(found, legs, left, closed, len(run.all_legs), run.request.softening, unseen)
        if drop > DROP:
            atoms = len(paths.crystal.number) * math.prod(run.supercell)
            said = (
                f"shaken, the crystal relaxes to {drop:.3f} eV less in {atoms} atoms: {potential.name} prefers another "
                "structure, and the barriers start from one that it does not hold"
            )
            notes = (said, *notes)
        return cls(
            paths.source, potential.name, run.mechanism, run.supercell, run.settings, legs, left, closed,
            tuple(common), drop, found, notes, paths, run.places,
        )  # fmt: skip

    def __repr__(self) -> str:
        levels = ", ".join(f"E{d}D {v:.3f}" for d, v in enumerate(self.percolation.barriers, 1) if math.isfinite(v))
        doubt = f", flags: {', '.join(self.all_flags)}" if self.all_flags else ""
        return (
            f"RelaxedHops({self.source}: {self.potential}, {self.mechanism}, {len(self.legs)} of "
            f"{len(self.legs) + len(self.left)} legs, {levels or 'no percolation'} eV{doubt})"
        )

    @property
    def barriers(self) -> FloatArray:
        """(3,) percolation barriers in 1, 2, 3 dimensions above the lowest place of the carrier, eV; inf for none."""
        return self.percolation.barriers

    @property
    def all_flags(self) -> tuple[str, ...]:
        """Flags of the crystal and of every leg, each once; remarks left out."""
        names = [*self.flags, *(f for leg in self.legs.values() for f in leg.flags)]
        return tuple(f for f in dict.fromkeys(names) if f not in REMARKS)

    @checked_arguments
    def flags_of(self, dimensions: int) -> tuple[str, ...]:
        """Flags that the barrier in so many dimensions rests on."""
        rests = self.percolation.legs[dimensions - 1]
        names = [*self.flags, *(f for k in rests for f in self.legs[k].flags)]
        return tuple(f for f in dict.fromkeys(names) if f not in REMARKS)

    @checked_arguments
    def hop_model(self, prefactor: float = DEFAULT_PREFACTOR) -> HopModel:
        """Places of the carrier (vacancy or added ion) and relaxed legs as a Markov chain.

        Raises:
            InputError: no leg was relaxed.
        """
        if not self.legs:
            raise InputError(
                f"{self.source}: no leg has a barrier: {next(iter(self.left.values()), 'none was relaxed')}"
            )
        saddles = {k: self._saddle(leg) for k, leg in sorted(self.legs.items(), key=lambda kept: len(kept[1].flags))}
        edges = relaxed_edges(self.paths.leg_finder, self.mechanism, self._places, saddles)
        return hop_model(self.paths.cell, self._places, self.percolation, edges, prefactor)

    def _saddle(self, leg: RelaxedLeg) -> FloatArray:
        """(3,) the moving ion (the mean of two) at the highest image, fractional, without the drift of the others."""
        k = int(leg.profile.argmax())
        rest = np.setdiff1d(np.arange(len(leg.numbers)), leg.moving)
        drift = (leg.positions[k] - leg.positions[0])[rest].mean(axis=0)
        place: FloatArray = (leg.positions[k, list(leg.moving)].mean(axis=0) - drift) @ np.linalg.inv(self.paths.cell)
        return place

    @checked_arguments
    def diffusivity(self, temperature: float, *, prefactor: float = DEFAULT_PREFACTOR) -> FloatArray:
        """(3, 3) diffusivity of the carrier (one vacancy, or one added ion), cm^2/s.

        Not that of all ions: times the share of carriers it gives theirs, less correlation.
        """
        return self.hop_model(prefactor).diffusivity(temperature)

    @checked_arguments
    def conductivity(
        self, temperature: float, *, carriers_per_cell: float, prefactor: float = DEFAULT_PREFACTOR
    ) -> FloatArray:
        """(3, 3) conductivity of so many independent carriers in the crystal's cell, S/cm.

        A potential gives the carriers' mobility, not their number: that is the caller's (doping, temperature).

        Args:
            temperature: K.
            carriers_per_cell: vacancies or added ions in the crystal's cell.
            prefactor: attempt frequency, Hz.

        Raises:
            InputError: a number of carriers that is not positive.
        """
        if not (math.isfinite(carriers_per_cell) and carriers_per_cell > 0):
            raise InputError(f"carriers_per_cell must be positive, not {carriers_per_cell}")
        d = self.diffusivity(temperature, prefactor=prefactor)
        return nernst_einstein(d, self.paths.cell, temperature, carriers_per_cell, self.paths.ion.charge)

    def write(self, folder: str | PathLike[str]) -> list[Path]:
        """Writes ``relaxed.json``, ``profiles.csv`` and the images of each leg; see `fastin.relax.output`."""
        from fastin.relax.output import write

        return write(self, Path(folder))

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Energy along a leg, relaxed and of the landscape.

        Args:
            ax: matplotlib axes to draw into; None makes a figure.
            **options: of `fastin.view.plots.plot_relaxed`: leg.

        Returns:
            The axes.

        Raises:
            MissingDependencyError: matplotlib is not installed (extra ``view``).
        """
        return later("plot relaxed")(self, ax, **options)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, units in the keys."""
        from fastin.relax.output import crystal_digest

        chosen = self.paths.legs(self.mechanism)
        return {
            "source": self.source,
            "crystal": crystal_digest(self.paths.crystal),
            "ion": self.paths.ion.symbol,
            "potential": self.potential,
            "mechanism": self.mechanism,
            "supercell": list(self.supercell),
            "images": self.settings.images,
            "fmax_eV_per_A": self.settings.fmax,
            "climb": self.settings.climb,
            "barriers_eV": [float(v) for v in self.barriers],
            "bvse_barriers_eV": [float(v) for v in self.paths.barriers.values("network")],
            "rests_on_legs": [list(legs) for legs in self.percolation.legs],
            "rests_on_flags": [list(self.flags_of(d)) for d in (1, 2, 3)],
            "flags": list(self.flags),
            "shaken_parent_drop_eV": self.drop,
            "legs": [
                {**leg.to_dict(), "bvse_barrier_eV": chosen[k].barrier, "places": list(chosen[k].places),
                 "multiplicity": chosen[k].multiplicity}
                for k, leg in self.legs.items()
            ],
            "left": {str(k): why for k, why in self.left.items()},
            "closed": {str(k): why for k, why in self.closed.items()},
            "notes": list(self.notes),
        }  # fmt: skip


def _flagged(leg: RelaxedLeg, flag: str) -> RelaxedLeg:
    from dataclasses import replace

    return replace(leg, flags=(*leg.flags, flag))


def _before(legs: Mapping[int, RelaxedLeg]) -> dict[int, float]:
    """Energies of the cells before the ion moves, eV, of the legs whose cells hold what most legs' cells hold."""
    atoms = {k: tuple(sorted(int(z) for z in leg.numbers)) for k, leg in sorted(legs.items())}
    held = list(atoms.values())
    usual = max(dict.fromkeys(held), key=held.count, default=())
    return {k: float(legs[k].energies[0]) for k, own in atoms.items() if own == usual}


def _ends_that_differ(places: Places, legs: Mapping[int, RelaxedLeg]) -> set[int]:
    """Legs whose ends are one class of places, or are said by other legs, but have other energies."""
    from fastin.relax.percolation import place_energies

    gaps = [(k, leg.barrier - leg.barrier_backward) for k, leg in legs.items()]
    _, misfit = place_energies(places, gaps)
    return {k for k, v in misfit.items() if v > ENDS_DIFFER}


def _notes(
    found: Percolation, legs: Mapping[int, RelaxedLeg], left: Mapping[int, str], closed: Mapping[int, str], count: int,
    softening: float, unseen: tuple[str, ...],
) -> tuple[str, ...]:  # fmt: skip
    notes = []
    if unseen:
        notes.append(f"the potential was not trained on {', '.join(unseen)}")
    for d in (2, 3):
        if found.own[d - 1] < found.barriers[d - 1]:
            notes.append(
                f"the places that conduct in {d} dimensions open {found.own[d - 1]:.3f} eV above the lowest of them, "
                f"which lies above that of E{d - 1}D: raised to that, as a carrier goes to the lowest places"
            )
    if found.apart > 1:
        notes.append(
            f"{found.apart} sets of places percolate that no relaxed leg joins, in cells of other atoms: which of them "
            "the carrier prefers is not known, and the barriers are the lowest of each"
        )
    rests = sorted({k for dimension in found.legs for k in dimension})
    doubted = [k for k in rests if set(legs[k].flags) - REMARKS]
    for k in doubted:
        said = "; ".join(FLAGS[f] for f in legs[k].flags if f not in REMARKS)
        notes.append(f"leg {k}, which percolation rests on: {said}")
    if closed:
        bound = f", if relaxing lowers no barrier of the landscape by more than {softening:g} eV"
        notes.append(
            f"{len(closed)} of {count} legs were not relaxed: they cannot change the percolation barriers"
            + (bound if math.isfinite(softening) else "")
        )
    more = count - len(legs) - len(closed)
    if more:
        notes.append(
            f"{more} of {count} legs have no relaxed barrier: one of them may be lower than those that percolation "
            "rests on"
        )
    if left:
        notes.append(f"legs asked for without a barrier: {', '.join(map(str, left))}")
    return tuple(notes)

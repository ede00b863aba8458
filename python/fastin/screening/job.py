"""One structure under computation, and what a task is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastin.crystal.warnings import CrystalWarning, merge_warnings
from fastin.errors import InputError

Scalar = float | int | bool | str | list[str] | None

NETWORK_OPTIONS = frozenset({"radii", "clearance", "exact"})
GRID_OPTIONS = frozenset({"resolution", "cutoff", "convention", "screening", "plain_sum"})
BARRIER_OPTIONS = frozenset({"refine", "connectivity", "zero"})

#: A crystal that every task can take: names the descriptors, warms up workers.
SMALL_CRYSTAL = """data_LiCl
_cell_length_a 5.13
_cell_length_b 5.13
_cell_length_c 5.13
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Li Li 0 0 0
Cl Cl 0.5 0.5 0.5
"""


class PartialError(Exception):
    """A task that failed in part: what it has, and why the rest is missing.

    Args:
        values: by column.
        cause: the error that the row shall name.
    """

    def __init__(self, values: Mapping[str, Any], cause: Exception) -> None:
        super().__init__(str(cause))
        self.values = values
        self.cause = cause


class Job:
    """One structure under computation; what several tasks need is computed once.

    Args:
        crystal: the structure.
        ion: the mobile ion, None for the default choice.
        options: keyword options for the tasks, as given to `fastin.screen`.
        num_threads: threads that the core may use.

    Attributes:
        paths_wanted: a task will ask for the barriers' paths: tracing them at once saves solving twice.
    """

    def __init__(self, crystal: Any, ion: str | None, options: Mapping[str, Any], num_threads: int = 1) -> None:
        self.crystal = crystal
        self.ion = ion
        self.options = options
        self.num_threads = num_threads
        self.paths_wanted = False
        self._results: dict[str, Any] = {}

    def _once(self, name: str, compute: Callable[[], Any]) -> Any:
        """The result of `compute`, remembered; so is its failure, which is raised again."""
        if name not in self._results:
            try:
                self._results[name] = compute()
            except Exception as error:
                self._results[name] = error
                raise
        result = self._results[name]
        if isinstance(result, Exception):
            raise result
        return result

    def chosen(self, names: frozenset[str]) -> dict[str, Any]:
        """The user's options among `names`."""
        return {name: value for name, value in self.options.items() if name in names}

    @property
    def strict(self) -> bool:
        """Whether severe warnings are errors."""
        return bool(self.options.get("strict", False))

    @property
    def warnings(self) -> tuple[CrystalWarning, ...]:
        """Those of the crystal and of every result so far."""
        results = [result for result in self._results.values() if hasattr(result, "warnings")]
        return merge_warnings(self.crystal.warnings, *(result.warnings for result in results))

    @property
    def network(self) -> Any:
        """The interstitial network."""
        from fastin.network.network import compute_network

        chosen = self.chosen(NETWORK_OPTIONS)
        return self._once(
            "network",
            lambda: compute_network(self.crystal, self.ion, num_threads=self.num_threads, strict=self.strict, **chosen),
        )

    @property
    def grid(self) -> Any:
        """The grid of bond valence site energies."""
        from fastin.bvse.grid import compute_bvse

        chosen = self.chosen(GRID_OPTIONS)
        return self._once(
            "grid",
            lambda: compute_bvse(self.crystal, self.ion, num_threads=self.num_threads, strict=self.strict, **chosen),
        )

    @property
    def barriers(self) -> Any:
        """The percolation barriers."""
        from fastin.bvse.barriers import compute_barriers

        grid, chosen = self.grid, self.chosen(BARRIER_OPTIONS) | {"paths": self.paths_wanted}
        return self._once("barriers", lambda: compute_barriers(grid, num_threads=self.num_threads, **chosen))


@dataclass(frozen=True)
class Task:
    """A named computation.

    Attributes:
        name: as given to `fastin.screen`.
        columns: (name, kind) of each value it returns, in order.
        run: `Job` -> values by column name; a column left out is null.
        needs: modules that must be importable, each with the extra that installs it.
        options: names of the keyword options that it takes; None takes any.
        check: refuses options that cannot work, before the run, and returns facts that the rows depend on beside the
            options (the digest of a model file).
        trial: called with the options in a worker process before its first structure, to load what the task needs, in
            place of a run on a small crystal: for tasks that would take minutes there.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    run: Callable[[Job], Mapping[str, Any]]
    needs: tuple[tuple[str, str], ...] = ()
    options: frozenset[str] | None = frozenset()
    check: Callable[[Mapping[str, Any]], dict[str, str]] | None = None
    trial: Callable[[Mapping[str, Any]], None] | None = None


def load_crystal(record: tuple[str, str, str, bytes]) -> Any:
    """Reads a record (uid, source, kind, payload).

    Raises:
        FastinError: the text cannot be read.
    """
    import pickle

    from fastin.crystal.crystal import Crystal, as_crystal, build_crystal
    from fastin.crystal.files import sites_from_bytes, unpacked
    from fastin.crystal.sites import decode

    _, source, kind, payload = record
    if kind == "broken":
        raise InputError(payload.decode("utf-8", "replace"))
    if kind == "object":
        return as_crystal(pickle.loads(payload))  # pickled by this run's own supervisor
    if kind == "cif":
        return Crystal.from_cif_string(decode(unpacked(payload, "", source)[0], source), source=source)
    return build_crystal(sites_from_bytes(payload, source), source)

"""What is computed for each structure: named tasks, each with the columns that it fills.

A task is a function of one `Job` (a crystal with its network, barriers... computed once and shared) that returns a flat
dictionary of scalars. The columns are declared, so that every part of the results has the same schema. A user's own
task is named ``package.module:function``; the function takes a `Job` and carries its columns as an attribute,
``function.columns = {"name": "float"}`` (float, int, bool or string).
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

from fastin.errors import FastinError, InputError, missing_extra

Scalar = float | int | bool | str | None
_KINDS = frozenset({"float", "int", "bool", "string"})
DEFAULT_TASKS = ("network", "barriers", "descriptors")

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
    def network(self) -> Any:
        """The interstitial network."""
        from fastin.network import compute_network

        chosen = self.chosen(_NETWORK_OPTIONS)
        return self._once(
            "network", lambda: compute_network(self.crystal, self.ion, num_threads=self.num_threads, **chosen)
        )

    @property
    def grid(self) -> Any:
        """The grid of bond valence site energies."""
        from fastin.bvse import compute_bvse

        chosen = self.chosen(_GRID_OPTIONS)
        return self._once("grid", lambda: compute_bvse(self.crystal, self.ion, num_threads=self.num_threads, **chosen))

    @property
    def barriers(self) -> Any:
        """The percolation barriers."""
        from fastin.barriers import compute_barriers

        grid, chosen = self.grid, self.chosen(_BARRIER_OPTIONS) | {"paths": self.paths_wanted}
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
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    run: Callable[[Job], Mapping[str, Any]]
    needs: tuple[tuple[str, str], ...] = ()
    options: frozenset[str] | None = frozenset()


def _crystal(job: Job) -> dict[str, Scalar]:
    crystal = job.crystal
    ion = crystal.resolve_ion(job.ion)
    return {
        "formula": crystal.formula,
        "ion": ion.symbol,
        "guest": ion.guest,
        "space_group": crystal.space_group,
        "space_group_number": crystal.space_group_number,
        "sites": len(set(crystal.position.tolist())),
        "volume_A3": crystal.volume,
        "notes": "; ".join(crystal.notes),
    }


_CRYSTAL = Task(
    "crystal",
    (
        ("formula", "string"),
        ("ion", "string"),
        ("guest", "bool"),
        ("space_group", "string"),
        ("space_group_number", "int"),
        ("sites", "int"),
        ("volume_A3", "float"),
        ("notes", "string"),
    ),
    _crystal,
)

_NETWORK_OPTIONS = frozenset({"radii", "clearance", "exact"})
_GRID_OPTIONS = frozenset({"resolution", "cutoff", "convention", "screening"})
_BARRIER_OPTIONS = frozenset({"refine", "connectivity", "zero"})


def _network(job: Job) -> dict[str, Scalar]:
    network = job.network
    channels = network.channels()
    free, percolation = network.free_sphere_radii, network.percolation_radii
    return {
        "voids": len(network.site_radius),
        "bottlenecks": len(network.edge_length),
        "inequivalent_voids": len(set(network.site_orbit.tolist())),
        "inequivalent_bottlenecks": len(set(network.edge_orbit.tolist())),
        "largest_sphere": network.largest_sphere_radius,
        "included_sphere": network.included_sphere_along_free_path,
        **{f"free_sphere_{axis}": float(free[k]) for k, axis in enumerate("abc")},
        **{f"percolation_radius_{k + 1}d": float(percolation[k]) for k in range(3)},
        "probe_radius": network.probe_radius,
        "channel_dimensionality": max((channel.dimensionality for channel in channels), default=0),
        "recovery": network.recovery() if len(network.mobile_frac) else None,
    }


_NETWORK = Task(
    "network",
    (
        ("voids", "int"),
        ("bottlenecks", "int"),
        ("inequivalent_voids", "int"),
        ("inequivalent_bottlenecks", "int"),
        ("largest_sphere", "float"),
        ("included_sphere", "float"),
        ("free_sphere_a", "float"),
        ("free_sphere_b", "float"),
        ("free_sphere_c", "float"),
        ("percolation_radius_1d", "float"),
        ("percolation_radius_2d", "float"),
        ("percolation_radius_3d", "float"),
        ("probe_radius", "float"),
        ("channel_dimensionality", "int"),
        ("recovery", "float"),
    ),
    _network,
    options=_NETWORK_OPTIONS,
)


def _barriers(job: Job) -> dict[str, Scalar]:
    barriers = job.barriers
    above_all = barriers.values("global")
    return {
        "e1d": barriers.e1d,
        "e2d": barriers.e2d,
        "e3d": barriers.e3d,
        **{f"e{d + 1}d_global": float(above_all[d]) for d in range(3)},
        "energy_minimum": barriers.energy_minimum,
        "barrier_flags": "; ".join(barriers.flags),
    }


_BARRIERS = Task(
    "barriers",
    (
        ("e1d", "float"),
        ("e2d", "float"),
        ("e3d", "float"),
        ("e1d_global", "float"),
        ("e2d_global", "float"),
        ("e3d_global", "float"),
        ("energy_minimum", "float"),
        ("barrier_flags", "string"),
    ),
    _barriers,
    options=_GRID_OPTIONS | _BARRIER_OPTIONS,
)

# Descriptors that another task gives under the same name are that task's.
_GIVEN = frozenset(name for task in (_CRYSTAL, _NETWORK, _BARRIERS) for name, _ in task.columns)


@cache
def _descriptor_names() -> tuple[str, ...]:
    from fastin.crystal import Crystal
    from fastin.descriptors import describe

    names = describe(Crystal.from_cif_string(SMALL_CRYSTAL), resolution=0.5, on_error="nan", num_threads=1)
    return tuple(name for name in names if name not in _GIVEN)


def _descriptors(job: Job) -> dict[str, Scalar]:
    from fastin.descriptors import describe

    failure: FastinError | None = None
    parts: dict[str, Any] = {}
    for name in ("network", "grid", "barriers"):
        try:
            parts[name] = getattr(job, name)
        except FastinError as error:
            failure = failure or error
    values: dict[str, float] | None = None
    if failure is None:
        try:
            values = describe(job.crystal, job.ion, num_threads=job.num_threads, **parts)
        except FastinError as error:
            failure = error
    if values is None:
        values = describe(job.crystal, job.ion, on_error="nan", num_threads=job.num_threads, **parts)
    kept: dict[str, Scalar] = {name: values[name] for name in _descriptor_names()}
    if failure is not None:
        raise PartialError(kept, failure)
    return kept


def _descriptor_task() -> Task:
    columns = tuple((name, "float") for name in _descriptor_names())
    return Task("descriptors", columns, _descriptors, options=_NETWORK_OPTIONS | _GRID_OPTIONS | _BARRIER_OPTIONS)


_PATH_OPTIONS = frozenset({"energy_cutoff"})


def _paths(job: Job) -> dict[str, Scalar]:
    from fastin.paths import compute_paths

    chosen = job.chosen(_PATH_OPTIONS | _GRID_OPTIONS | (_NETWORK_OPTIONS - {"exact"}))
    paths = compute_paths(job.crystal, job.ion, num_threads=job.num_threads, **chosen)
    row: dict[str, Scalar] = {
        "conduction_sites": len(paths.conducting_sites),
        "inequivalent_sites": len(set(paths.site_orbit.tolist())),
        "hops": len(paths.hop_energy),
        "inequivalent_hops": len(set(paths.hop_orbit.tolist())),
        "site_recovery": paths.recovery(),
    }
    for d in (1, 2, 3):
        cheapest = paths.path(d)
        if cheapest is not None:
            row[f"path_{d}d_hops"] = len(cheapest.hops)
            row[f"path_{d}d_length"] = float(cheapest.distance[-1])
    if row["conduction_sites"]:
        row["kinetic_activation_energy"] = paths.activation_energy()[1]
        tensor = paths.diffusivity(300.0)
        diffusivity = float(tensor.trace()) / 3.0
        row["log10_diffusivity_300K"] = math.log10(diffusivity) if diffusivity > 0 else None
    return row


_PATHS = Task(
    "paths",
    (
        ("conduction_sites", "int"),
        ("inequivalent_sites", "int"),
        ("hops", "int"),
        ("inequivalent_hops", "int"),
        ("site_recovery", "float"),
        *((f"path_{d}d_hops", "int") for d in (1, 2, 3)),
        *((f"path_{d}d_length", "float") for d in (1, 2, 3)),
        ("kinetic_activation_energy", "float"),
        ("log10_diffusivity_300K", "float"),
    ),
    _paths,
    options=_PATH_OPTIONS | _GRID_OPTIONS | (_NETWORK_OPTIONS - {"exact"}),
)


def _prediction(job: Job) -> dict[str, Scalar]:
    from fastin.prediction import predict

    found = predict(job.crystal, job.ion, **job.chosen(frozenset({"model"})))
    return {
        "predicted_activation_energy": found.activation_energy,
        "predicted_activation_energy_std": found.activation_energy_std,
        **{f"predicted_e{d}d": found.barriers[d - 1] for d in (1, 2, 3)},
        **{f"predicted_e{d}d_std": found.barriers_std[d - 1] for d in (1, 2, 3)},
        "predicted_experimental_energy": found.experimental_activation_energy,
        "predicted_log10_conductivity": found.log10_conductivity,
        "predicted_log10_conductivity_std": found.log10_conductivity_std,
        "prediction_warnings": "; ".join(found.warnings),
    }


_PREDICTION = Task(
    "prediction",
    (
        ("predicted_activation_energy", "float"),
        ("predicted_activation_energy_std", "float"),
        *((f"predicted_e{d}d", "float") for d in (1, 2, 3)),
        *((f"predicted_e{d}d_std", "float") for d in (1, 2, 3)),
        ("predicted_experimental_energy", "float"),
        ("predicted_log10_conductivity", "float"),
        ("predicted_log10_conductivity_std", "float"),
        ("prediction_warnings", "string"),
    ),
    _prediction,
    needs=(("torch", "ml"),),
    options=frozenset({"model"}),
)

_TASKS: dict[str, Callable[[], Task]] = {
    "crystal": lambda: _CRYSTAL,
    "network": lambda: _NETWORK,
    "barriers": lambda: _BARRIERS,
    "descriptors": _descriptor_task,
    "paths": lambda: _PATHS,
    "prediction": lambda: _PREDICTION,
}


def task_names() -> tuple[str, ...]:
    """Names of fastin's own tasks."""
    return tuple(_TASKS)


def _custom(name: str) -> Task:
    module_name, _, function_name = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"task {name!r}: {error}") from error
    columns = getattr(function, "columns", None)
    if not isinstance(columns, Mapping) or not columns or not set(columns.values()) <= _KINDS:
        raise InputError(f"task {name!r}: the function needs columns = {{name: 'float' | 'int' | 'bool' | 'string'}}")
    return Task(name, tuple(columns.items()), function, options=None)


def resolve_tasks(names: tuple[str, ...] | list[str]) -> list[Task]:
    """The tasks by name, "crystal" always first.

    Raises:
        InputError: an unknown task, one named twice, or two tasks that fill the same column.
        MissingDependencyError: an optional library that a task needs is not installed.
    """
    tasks: list[Task] = []
    for name in dict.fromkeys(("crystal", *names)):
        if name in _TASKS:
            task = _TASKS[name]()
        elif ":" in name:
            task = _custom(name)
        else:
            raise InputError(f"unknown task {name!r}; choose from {', '.join(_TASKS)}, or package.module:function")
        for module, extra in task.needs:
            if find_spec(module) is None:
                raise missing_extra(module, extra)
        tasks.append(task)
    owner: dict[str, str] = {}
    for task in tasks:
        for column, _ in task.columns:
            if column in owner:
                raise InputError(f"tasks {owner[column]!r} and {task.name!r} both fill the column {column!r}")
            owner[column] = task.name
    return tasks


def check_options(tasks: list[Task], options: Mapping[str, Any]) -> None:
    """Refuses options that no task takes.

    Raises:
        InputError: names the options that exist.
    """
    if any(task.options is None for task in tasks):
        return
    known = frozenset[str]().union(*(task.options or frozenset() for task in tasks))
    unknown = sorted(set(options) - known)
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        raise InputError(f"no task takes the option {', '.join(unknown)}; there are: {names}")


def _clean(value: Any, kind: str) -> Scalar:
    """A plain Python value of the column's kind; NaN becomes null, infinities stay."""
    if value is None:
        return None
    if kind == "string":
        return str(value).encode("utf-8", "replace").decode()
    if kind == "bool":
        return bool(value)
    if kind == "int":
        return int(value)
    number = float(value)
    return None if math.isnan(number) else number


def run_tasks(tasks: list[Task], load: Callable[[], Job]) -> dict[str, Scalar]:
    """Every task on one structure; a task that fails leaves its columns null and the others run.

    Returns:
        Values by column, with ``failed_tasks``, ``error_type`` and ``error_message`` (of the first) if any failed.
    """
    row: dict[str, Scalar] = {}
    failures: list[tuple[str, Exception]] = []
    try:
        job = load()
    except Exception as error:  # whatever a structure does to the code, it is that structure's row
        return _failure_columns([("read", error)])
    job.paths_wanted = any(task.name == "descriptors" for task in tasks)
    for task in tasks:
        kinds = dict(task.columns)
        values: Mapping[str, Any] = {}
        try:
            values = task.run(job)
        except PartialError as error:
            values = error.values
            failures.append((task.name, error.cause))
        except Exception as error:
            failures.append((task.name, error))
        row.update({name: _clean(value, kinds[name]) for name, value in values.items()})
    return row | _failure_columns(failures)


def _failure_columns(failures: list[tuple[str, Exception]]) -> dict[str, Scalar]:
    if not failures:
        return {}
    error = failures[0][1]
    return {
        "failed_tasks": ",".join(name for name, _ in failures),
        "error_type": type(error).__name__,
        "error_message": _clean(str(error)[:2000] or type(error).__name__, "string"),
    }


def job_loader(
    record: tuple[str, str, str, bytes], ion: str | None, options: Mapping[str, Any], threads: int
) -> Callable[[], Job]:
    """A function that reads the record (uid, source, kind, payload) into a `Job`."""
    return partial(_load, record, ion, options, threads)


def _load(record: tuple[str, str, str, bytes], ion: str | None, options: Mapping[str, Any], threads: int) -> Job:
    return Job(load_crystal(record), ion, options, threads)


def load_crystal(record: tuple[str, str, str, bytes]) -> Any:
    """Reads a record (uid, source, kind, payload).

    Raises:
        FastinError: the text cannot be read.
    """
    import pickle

    from fastin.crystal import Crystal, as_crystal

    _, source, kind, payload = record
    if kind == "broken":
        raise InputError(payload.decode("utf-8", "replace"))
    if kind == "object":
        return as_crystal(pickle.loads(payload))  # pickled by this run's own supervisor
    text = payload.decode("utf-8", "replace")
    if kind == "cif":
        return Crystal.from_cif_string(text, source=source)
    from pymatgen.core import Structure

    try:
        structure = Structure.from_str(text, fmt="poscar")
    except Exception as error:  # pymatgen raises many types on malformed text
        raise InputError(f"{source}: not a POSCAR: {error}") from error
    return Crystal.from_structure(structure, source=source)


# Label with unit and explanation of the columns, for tables and pages.
_HELP: dict[str, tuple[str, str]] = {
    "id": ("id", "Name of the structure in the input"),
    "e1d": ("E1D (eV)", "Barrier to percolation in one dimension, above the lowest point of what percolates"),
    "e2d": ("E2D (eV)", "Barrier to percolation in two dimensions"),
    "e3d": ("E3D (eV)", "Barrier to percolation in three dimensions"),
    "e1d_global": ("E1D, global zero (eV)", "Barrier in one dimension above the lowest energy of the cell"),
    "e2d_global": ("E2D, global zero (eV)", "Barrier in two dimensions above the lowest energy of the cell"),
    "e3d_global": ("E3D, global zero (eV)", "Barrier in three dimensions above the lowest energy of the cell"),
    "energy_minimum": ("lowest energy (eV)", "Lowest bond valence site energy of the cell"),
    "largest_sphere": ("largest sphere (Å)", "Radius of the largest void"),
    "included_sphere": ("included sphere (Å)", "Radius of the largest void on the widest path"),
    "free_sphere_a": ("free sphere a (Å)", "Radius of the widest path along a"),
    "free_sphere_b": ("free sphere b (Å)", "Radius of the widest path along b"),
    "free_sphere_c": ("free sphere c (Å)", "Radius of the widest path along c"),
    "percolation_radius_1d": ("free sphere 1D (Å)", "Radius of the widest path in any one direction"),
    "percolation_radius_2d": ("free sphere 2D (Å)", "Radius of the widest network in two directions"),
    "percolation_radius_3d": ("free sphere 3D (Å)", "Radius of the widest network in three directions"),
    "probe_radius": ("probe (Å)", "Radius of the probe for the channels"),
    "channel_dimensionality": ("channels (D)", "Directions in which the probe passes"),
    "kinetic_activation_energy": ("Ea, hop model (eV)", "Effective activation energy of the hop model, 300 to 600 K"),
    "log10_diffusivity_300K": ("lg D 300 K (cm²/s)", "Diffusivity of independent ions in the hop model"),
    "predicted_activation_energy": ("predicted Ea (eV)", "Activation energy from the model that comes with fastin"),
    "recovery": ("recovery", "Share of the mobile sites within 0.5 Å of the network"),
    "space_group": ("space group", "Space group of the whole crystal (spglib, symprec 0.01)"),
    "volume_A3": ("volume (Å³)", "Volume of the cell"),
    "failed_tasks": ("failed tasks", "Tasks that gave an error"),
    "error_type": ("error", "Type of the first error"),
    "error_message": ("message", "Message of the first error"),
}


def column_help(name: str) -> tuple[str, str]:
    """Label and explanation of a column."""
    label, text = _HELP.get(name, (name.replace("_", " "), ""))
    return label, text

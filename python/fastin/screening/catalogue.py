"""fastin's own tasks: which values each gives for a structure, and what its columns are called."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastin.errors import FastinError, InputError
from fastin.screening.job import (
    BARRIER_OPTIONS,
    GRID_OPTIONS,
    NETWORK_OPTIONS,
    SMALL_CRYSTAL,
    Job,
    PartialError,
    Scalar,
    Task,
)
from fastin.screening.labels import FORMER_NAMES, PREDICTED
from fastin.screening.relaxing import RELAX


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
        "cell_volume_A3": crystal.volume,
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
        ("cell_volume_A3", "float"),
        ("notes", "string"),
    ),
    _crystal,
    options=frozenset({"strict"}),
)


def _network(job: Job) -> dict[str, Scalar]:
    network = job.network
    channels = network.channels()
    free, percolation = network.free_sphere_radii, network.percolation_radii
    return {
        "voids": len(network.site_radius),
        "bottlenecks": len(network.edge_length),
        "inequivalent_voids": len(set(network.site_orbit.tolist())),
        "inequivalent_bottlenecks": len(set(network.edge_orbit.tolist())),
        "largest_sphere_radius_A": network.largest_sphere_radius,
        "included_sphere_radius_A": network.included_sphere_along_free_path,
        **{f"free_sphere_radius_{axis}_A": float(free[k]) for k, axis in enumerate("abc")},
        **{f"percolation_radius_{k + 1}d_A": float(percolation[k]) for k in range(3)},
        "probe_radius_A": network.probe_radius,
        "channel_dimensionality": max((channel.dimensionality for channel in channels), default=0),
        "recovery_share": network.recovery() if len(network.mobile_frac) else None,
    }


_NETWORK = Task(
    "network",
    (
        ("voids", "int"),
        ("bottlenecks", "int"),
        ("inequivalent_voids", "int"),
        ("inequivalent_bottlenecks", "int"),
        ("largest_sphere_radius_A", "float"),
        ("included_sphere_radius_A", "float"),
        ("free_sphere_radius_a_A", "float"),
        ("free_sphere_radius_b_A", "float"),
        ("free_sphere_radius_c_A", "float"),
        ("percolation_radius_1d_A", "float"),
        ("percolation_radius_2d_A", "float"),
        ("percolation_radius_3d_A", "float"),
        ("probe_radius_A", "float"),
        ("channel_dimensionality", "int"),
        ("recovery_share", "float"),
    ),
    _network,
    options=NETWORK_OPTIONS,
)


def _barriers(job: Job) -> dict[str, Scalar]:
    barriers = job.barriers
    above_all = barriers.values("global")
    return {
        "barrier_1d_network_eV": barriers.e1d,
        "barrier_2d_network_eV": barriers.e2d,
        "barrier_3d_network_eV": barriers.e3d,
        **{f"barrier_{d + 1}d_global_eV": float(above_all[d]) for d in range(3)},
        "energy_minimum_eV": barriers.energy_minimum,
        "barrier_flags": "; ".join(barriers.flags),
    }


_BARRIERS = Task(
    "barriers",
    (
        ("barrier_1d_network_eV", "float"),
        ("barrier_2d_network_eV", "float"),
        ("barrier_3d_network_eV", "float"),
        ("barrier_1d_global_eV", "float"),
        ("barrier_2d_global_eV", "float"),
        ("barrier_3d_global_eV", "float"),
        ("energy_minimum_eV", "float"),
        ("barrier_flags", "string"),
    ),
    _barriers,
    options=GRID_OPTIONS | BARRIER_OPTIONS,
)

# Descriptors that another task gives under the same name are that task's.
_GIVEN = frozenset(name for task in (_CRYSTAL, _NETWORK, _BARRIERS) for name, _ in task.columns)


@cache
def _descriptor_names() -> tuple[str, ...]:
    from fastin.crystal.crystal import Crystal
    from fastin.descriptors import describe

    small = Crystal.from_cif_string(SMALL_CRYSTAL)
    names = describe(small, resolution=0.5, on_error="nan", paths=True, num_threads=1)
    return tuple(name for name in names if sql_name(name) not in _GIVEN and name not in FORMER_NAMES)


@cache
def _descriptor_columns() -> tuple[tuple[str, str, str], ...]:
    """Name of each descriptor, its column and the column's kind."""
    return tuple((name, sql_name(name), _kind(name)) for name in _descriptor_names())


def sql_name(name: str) -> str:
    """A descriptor's column: "0.5eV" becomes "500meV", so that the name needs no quotes in SQL."""
    return re.sub(r"(\d+\.\d+)eV", lambda match: f"{1000 * float(match[1]):.0f}meV", name)


def _kind(name: str) -> str:
    counts = name in ("atoms_per_cell", "channels") or name.startswith("conduction_dimensionality")
    return "int" if counts else "float"


def _descriptors(job: Job) -> dict[str, Scalar]:
    from fastin.descriptors import describe

    failure: FastinError | None = None
    parts: dict[str, Any] = {"paths": bool(job.options.get("paths", False))}
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
    kept: dict[str, Scalar] = {}
    for name, column, kind in _descriptor_columns():
        value = values.get(name, math.nan)
        kept[column] = None if value != value else round(value) if kind == "int" else value
    if failure is not None:
        raise PartialError(kept, failure)
    return kept


def _scalar(kind: str, value: float) -> Scalar:
    if math.isnan(value):
        return None
    return round(value) if kind == "int" else value


def _descriptor_task() -> Task:
    columns = tuple((column, kind) for _, column, kind in _descriptor_columns())
    return Task(
        "descriptors", columns, _descriptors, options=NETWORK_OPTIONS | GRID_OPTIONS | BARRIER_OPTIONS | {"paths"}
    )


_PATH_OPTIONS = frozenset({"energy_cutoff"})


def _paths(job: Job) -> dict[str, Scalar]:
    from fastin.transport.paths import compute_paths

    chosen = job.chosen(_PATH_OPTIONS | GRID_OPTIONS | (NETWORK_OPTIONS - {"exact"}))
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
            row[f"path_{d}d_length_A"] = float(cheapest.distance[-1])
    if row["conduction_sites"]:
        row["kinetic_activation_energy_eV"] = paths.activation_energy()[1]
        tensor = paths.diffusivity(300.0)
        diffusivity = float(tensor.trace()) / 3.0
        row["log10_diffusivity_300K_cm2_per_s"] = math.log10(diffusivity) if diffusivity > 0 else None
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
        *((f"path_{d}d_length_A", "float") for d in (1, 2, 3)),
        ("kinetic_activation_energy_eV", "float"),
        ("log10_diffusivity_300K_cm2_per_s", "float"),
    ),
    _paths,
    options=_PATH_OPTIONS | GRID_OPTIONS | (NETWORK_OPTIONS - {"exact"}),
)


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def _check_prediction(options: Mapping[str, Any]) -> dict[str, str]:
    from fastin.prediction import load_predictor, model_path

    model = options.get("model", "default")
    load_predictor(model)  # what is missing or damaged is no fault of the structures
    return {"prediction model": _file_digest(model_path(model))}


_OF_THE_MODEL = frozenset({"outside-training", "ion-shared-site"})
_BOUNDS = ("low_68", "high_68")


def _prediction(job: Job) -> dict[str, Scalar]:
    from fastin.prediction import predict

    found = predict(job.crystal, job.ion, **job.chosen(frozenset({"model"})))
    said = found.experiment
    measured = [None, None] if said is None else [said.energy, said.conductivity]
    bounds = [found.activation_energy_68, *(found.barriers_68 or ((math.nan, math.nan),) * 3)]
    bounds += [(math.nan, math.nan) if q is None else (q.low_68, q.high_68) for q in measured]
    return {
        "predicted_activation_energy_eV": found.activation_energy,
        "predicted_activation_energy_std_eV": found.activation_energy_std,
        **{f"predicted_barrier_{d}d_eV": found.barriers[d - 1] for d in (1, 2, 3)},
        **{f"predicted_barrier_{d}d_std_eV": found.barriers_std[d - 1] for d in (1, 2, 3)},
        "predicted_experiment_activation_energy_eV": found.experimental_activation_energy,
        "predicted_log10_conductivity_S_per_cm": found.log10_conductivity,
        "predicted_log10_conductivity_std": found.log10_conductivity_std,
        **{
            f"{name}_{end}{unit}": _scalar("float", bound)
            for (name, unit), pair in zip(PREDICTED, bounds, strict=True)
            for end, bound in zip(_BOUNDS, pair, strict=True)
        },
        "predicted_experiment_activation_energy_origin": None if measured[0] is None else measured[0].origin,
        "predicted_log10_conductivity_origin": None if measured[1] is None else measured[1].origin,
        "prediction_warnings": "; ".join(str(w) for w in found.warnings if w.code in _OF_THE_MODEL),
    }


_PREDICTION = Task(
    "prediction",
    (
        ("predicted_activation_energy_eV", "float"),
        ("predicted_activation_energy_std_eV", "float"),
        *((f"predicted_barrier_{d}d_eV", "float") for d in (1, 2, 3)),
        *((f"predicted_barrier_{d}d_std_eV", "float") for d in (1, 2, 3)),
        ("predicted_experiment_activation_energy_eV", "float"),
        ("predicted_log10_conductivity_S_per_cm", "float"),
        ("predicted_log10_conductivity_std", "float"),
        *((f"{name}_{end}{unit}", "float") for name, unit in PREDICTED for end in _BOUNDS),
        ("predicted_experiment_activation_energy_origin", "string"),
        ("predicted_log10_conductivity_origin", "string"),
        ("prediction_warnings", "string"),
    ),
    _prediction,
    options=frozenset({"model"}),
    check=_check_prediction,
)


def _xrd_model() -> Path:
    return Path(str(resources.files("fastin") / "data" / "models" / "xrdmatch.pt"))


def _check_xrd(options: Mapping[str, Any]) -> dict[str, str]:
    if find_spec("fastin.xrd.match") is None or not _xrd_model().is_file():
        raise InputError("task 'xrd': this installation of fastin holds no trained pattern classifier")
    return {"xrd model": _file_digest(_xrd_model())}


def _xrd(job: Job) -> dict[str, Scalar]:
    from fastin.crystal.elements import symbol
    from fastin.verdict import OUT, verdict
    from fastin.xrd.match import XRDMatch
    from fastin.xrd.pattern import xrd_pattern

    crystal = job.crystal
    _, pattern = xrd_pattern(crystal)
    amounts: dict[str, float] = {}
    for z, occupancy in zip(crystal.number.tolist(), crystal.occupancy.tolist(), strict=True):
        amounts[symbol(z)] = amounts.get(symbol(z), 0.0) + occupancy
    said = verdict(XRDMatch.pretrained(), Path(crystal.source), pattern[None], amounts)
    probabilities = {
        "xrd_superionic_probability": said["probability_superionic"],
        "xrd_superionic_probability_formula": said["probability_formula"],
        "xrd_superionic_probability_both": said["probability_both"],
        "xrd_superionic_vote": said["votes"],
    }
    return {
        "xrd_class": said["class"],
        "xrd_class_by": said["class_by"],
        **(dict.fromkeys(probabilities) if said["class"] == OUT else probabilities),
        "xrd_nearest_similarity": said["nearest"]["similarity"],
    }


_XRD = Task(
    "xrd",
    (
        ("xrd_class", "string"),
        ("xrd_class_by", "string"),
        ("xrd_superionic_probability", "float"),
        ("xrd_superionic_probability_formula", "float"),
        ("xrd_superionic_probability_both", "float"),
        ("xrd_superionic_vote", "float"),
        ("xrd_nearest_similarity", "float"),
    ),
    _xrd,
    check=_check_xrd,
)

#: fastin's own tasks by name; functions, because some columns are known only when they are asked for.
TASKS: dict[str, Callable[[], Task]] = {
    "crystal": lambda: _CRYSTAL,
    "network": lambda: _NETWORK,
    "barriers": lambda: _BARRIERS,
    "descriptors": _descriptor_task,
    "paths": lambda: _PATHS,
    "prediction": lambda: _PREDICTION,
    "xrd": lambda: _XRD,
    "relax": lambda: RELAX,
}

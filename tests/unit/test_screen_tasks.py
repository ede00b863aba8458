"""The tasks: each fills exactly the columns that it declares, with the numbers of the functions behind it."""

from __future__ import annotations

import math
from typing import Any

import pytest

import fastin
from fastin.screening.catalogue import TASKS
from fastin.screening.job import SMALL_CRYSTAL, Job, PartialError, Task
from fastin.screening.labels import PREDICTED, column_help
from fastin.screening.tasks import job_loader, resolve_tasks, run_tasks

LFP = fastin.examples()["LiFePO4"]


def _row(*names: str, text: str | None = None, **options: Any) -> dict[str, Any]:
    payload = LFP.read_bytes() if text is None else text.encode()
    return run_tasks(resolve_tasks(list(names)), job_loader(("x", "x.cif", "cif", payload), None, options, 1))


def test_numbers_are_those_of_the_functions() -> None:
    row = _row("network", "barriers", "descriptors", "paths")
    network, barriers = fastin.compute_network(LFP), fastin.compute_barriers(LFP)
    facts, paths = fastin.describe(LFP), fastin.compute_paths(LFP)
    assert "error_type" not in row
    assert row["formula"] == "LiFePO4"
    assert row["barrier_1d_network_eV"] == pytest.approx(barriers.e1d, abs=1e-9)
    assert row["barrier_3d_global_eV"] == pytest.approx(barriers.values("global")[2], abs=1e-9)
    assert [row[f"free_sphere_radius_{axis}_A"] for axis in "abc"] == pytest.approx(network.free_sphere_radii.tolist())
    assert row["voids"] == len(network.site_radius)
    assert row["density_g_cm3"] == pytest.approx(facts["density_g_cm3"])
    assert row["path_length_1d_A"] is None
    traced = _row("descriptors", paths=True)
    assert traced["path_length_1d_A"] == pytest.approx(fastin.describe(LFP, paths=True)["path_length_1d_A"])
    assert row["inequivalent_hops"] == len(paths.hop_classes())
    assert row["kinetic_activation_energy_eV"] == pytest.approx(paths.activation_energy()[1])


@pytest.mark.parametrize("name", ["crystal", "network", "barriers", "descriptors", "paths", "prediction", "xrd"])
def test_declared_columns_are_what_comes(name: str) -> None:
    task = TASKS[name]()
    crystal = fastin.Crystal.from_cif_string(SMALL_CRYSTAL)
    values = task.run(Job(crystal, None, {}))
    assert set(values) <= {column for column, _ in task.columns}
    declared = dict(task.columns)
    for column, value in values.items():
        kind = {"float": (float, int), "int": int, "bool": bool, "string": str}[declared[column]]
        assert value is None or isinstance(value, kind), column
    assert all(column_help(column)[0] for column in declared)


def test_options_reach_the_functions() -> None:
    coarse, fine = _row("barriers", refine=False, resolution=0.5), _row("barriers", refine=False, resolution=0.25)
    assert coarse["barrier_1d_network_eV"] != fine["barrier_1d_network_eV"]
    assert _row("barriers", zero="global")["barrier_1d_network_eV"] == pytest.approx(
        _row("barriers")["barrier_1d_global_eV"]
    )
    assert _row("network", radii="effective")["largest_sphere_radius_A"] != _row("network")["largest_sphere_radius_A"]


def test_partial_failure_keeps_what_there_is() -> None:
    """Without bond valence parameters the network and the composition stay, and the error is named once."""
    text = SMALL_CRYSTAL.replace("Cl Cl", "Ar Ar")
    row = _row("network", "barriers", "descriptors", text=text)
    assert row["failed_tasks"] == "barriers,descriptors"
    assert row["error_type"] == "MissingParameterError"
    assert row["voids"] > 0
    assert row["density_g_cm3"] > 0
    assert row["accessible_share_500meV"] is None


def test_partial_error_and_values() -> None:
    def half(job: Job) -> dict[str, Any]:
        raise PartialError({"a": 1.0, "b": math.nan, "c": math.inf}, ValueError("the rest"))

    task = Task("half", (("a", "float"), ("b", "float"), ("c", "float")), half)
    row = run_tasks([task], job_loader(("x", "x", "cif", SMALL_CRYSTAL.encode()), None, {}, 1))
    assert row == {
        "a": 1.0, "b": None, "c": math.inf,
        "warnings": [], "failed_tasks": "half", "error_type": "ValueError", "error_message": "the rest",
    }  # fmt: skip


def test_undeclared_column_is_an_error() -> None:
    task = Task("loose", (("a", "float"),), lambda job: {"b": 1.0})
    row = run_tasks([task], job_loader(("x", "x", "cif", SMALL_CRYSTAL.encode()), None, {}, 1))
    assert row["error_type"] == "KeyError"


def test_predictions_come_with_their_intervals() -> None:
    row = _row("prediction")
    said = fastin.predict(LFP)
    assert said.experiment is not None
    assert said.experiment.energy is not None
    for name, unit in PREDICTED:
        low, high = row[f"{name}_low_68{unit}"], row[f"{name}_high_68{unit}"]
        assert low < row[f"{name}{unit}"] < high, name
        assert column_help(f"{name}_low_68{unit}")[1]
    assert row["predicted_barrier_3d_high_68_eV"] == pytest.approx(said.barriers_68[2][1])
    assert row["predicted_experiment_activation_energy_low_68_eV"] == pytest.approx(said.experiment.energy.low_68)
    assert row["predicted_log10_conductivity_origin"] == "measured"  # LiFePO4 is in the table
    assert row["predicted_experiment_activation_energy_origin"] == "model"


def test_what_has_no_prediction_has_no_interval() -> None:
    row = _row("prediction", text=fastin.examples()["CaF2"].read_text())
    assert row["predicted_log10_conductivity_low_68_S_per_cm"] is None
    assert row["predicted_log10_conductivity_origin"] is None


def test_the_class_rests_on_formula_and_pattern() -> None:
    pytest.importorskip("torch")
    row = _row("xrd")
    assert (row["xrd_class"], row["xrd_class_by"]) == ("poor", "measurement")
    lgps = _row("xrd", text=fastin.examples()["Li10GeP2S12"].read_text())
    assert lgps["xrd_class"] == "superionic"
    foreign = _row("xrd", text=fastin.examples()["CaF2"].read_text())
    assert foreign["xrd_class"] == "out of domain"
    assert foreign["xrd_superionic_probability"] is None

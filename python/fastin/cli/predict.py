"""``fastin predict``: barriers, conductivities and activation energies from the shipped models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from fastin.cli._batch import Limits, error_of, leave, limits, run_batch
from fastin.cli._common import (
    Finite,
    dump_json,
    expand_inputs,
    ion_legend,
    ion_mark,
    is_guessed,
    number,
    stderr_console,
    strict_option,
    warning_cell,
    warning_mark,
)
from fastin.cli._table import WARNING_COLUMN, Column, csv_option, print_csv, print_table, print_text, wide_option
from fastin.crystal.warnings import CrystalWarning
from fastin.errors import FastinError
from fastin.runtime.isolate import Failure, isolate

_FEW = 16  # files: more are worth a batch in one process

_LONGEST = 1e7  # seconds


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=str))
@click.option("--ion", help="Mobile ion; default: the most usual one present.")
@click.option("--model", default="default", show_default=True, help="Shipped model, or a .pt file.")
@click.option("--device", default=None, help="cpu or cuda. [default: cpu for models like the shipped one]")
@click.option("--formula", "formulas", multiple=True, help="Composition of a Li conductor without a structure.")
@click.option(
    "--hop",
    "hops",
    type=(float, float, float, float, float, float),
    multiple=True,
    help="Start and end of a hop (fractional): the barrier that DFT would be expected to give, in every file.",
)
@click.option(
    "--calculator",
    help="With --hop: relax every atom too, with sevennet, chgnet, mace:PATH or module:factory. The barrier of chgnet "
    "counts in the prediction; another potential's stands beside. Without a --time-limit of yours there is none.",
)
@click.option(
    "--experiment/--no-experiment",
    default=True,
    show_default=True,
    help="What an experiment would give too.",
)
@strict_option
@click.option(
    "--measured-sigma", type=Finite(min=0.0, min_open=True), help="Measured conductivity of the sample, S/cm."
)
@click.option("--measured-ea", type=Finite(min=0.0, min_open=True), help="Measured activation energy, eV.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@wide_option
@csv_option
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the predictions as JSON.")
@limits
def command(
    files: tuple[str, ...],
    ion: str | None,
    model: str,
    device: str | None,
    formulas: tuple[str, ...],
    hops: tuple[tuple[float, ...], ...],
    calculator: str | None,
    experiment: bool,
    measured_sigma: float | None,
    measured_ea: float | None,
    strict: bool,
    as_json: bool,
    wide: bool,
    as_csv: bool,
    out: Path | None,
    time_limit: float,
    memory: int | None,
) -> None:
    """Predict activation energies and conductivities of structures (files, or folders of them) or compositions."""
    if not files and not formulas:
        raise click.UsageError("give structure files, or --formula")
    if hops and not files:
        raise click.UsageError("--hop needs a structure file")
    measured = {"conductivity": measured_sigma, "activation_energy": measured_ea}
    told = {name: value for name, value in measured.items() if value is not None}
    if told and len(files) + len(formulas) != 1:
        raise click.UsageError("--measured-sigma and --measured-ea are of one sample: give one file or one --formula")
    usual = click.get_current_context().get_parameter_source("time_limit") == click.core.ParameterSource.DEFAULT
    # relaxing takes minutes to hours: the usual limit is that of the models
    given = Limits(_LONGEST if calculator is not None and usual else time_limit, memory, None)
    if calculator is not None:
        if not hops:
            raise click.UsageError("--calculator relaxes a hop: name one with --hop")
        from fastin.relax.potentials import load_potential

        load_potential(calculator)  # a wrong name is no file's fault
    if hops:
        _print_hops(files, ion, hops, calculator, as_json, given)
        return
    compositions, failures = _compositions(formulas, told)
    predictions: list[dict[str, Any]] = []
    if files:
        predictions, unusable = _structures(files, ion, model, device, experiment, strict, given, told)
        failures += unusable
    for message in failures:
        stderr_console().print(message, style="red", markup=False, soft_wrap=True)
    everything = predictions + compositions
    if out is not None and everything:
        out.write_text(dump_json(everything) + "\n", encoding="utf-8")
    if as_json:
        click.echo(dump_json(everything))
    elif as_csv:
        print_csv([_flat(p) for p in predictions] + [_flat_composition(said) for said in compositions])
    else:
        _print(predictions, compositions, ion, wide=wide)
    if failures:
        raise SystemExit(1)


def hop_worker(
    hops: tuple[tuple[float, ...], ...], ion: str | None, calculator: str | None, num_threads: int
) -> Callable[[Path], list[dict[str, Any]] | Failure]:
    """In a worker process: the function that gives the barriers of the hops in one structure."""
    from dataclasses import asdict

    from fastin.ml.migration import predict_hop

    def answer(path: Path) -> list[dict[str, Any]] | Failure:
        try:
            return [asdict(predict_hop(path, hop[:3], hop[3:], ion, calculator=calculator)) for hop in hops]
        except FastinError as error:
            return Failure(type(error).__name__, str(error))

    return answer


def _print_hops(
    files: tuple[str, ...],
    ion: str | None,
    hops: tuple[tuple[float, ...], ...],
    calculator: str | None,
    as_json: bool,
    given: Limits,
) -> None:
    """Barriers of single hops instead of the whole crystal's."""
    paths = expand_inputs(files)
    answers, interrupted = run_batch(
        "fastin.cli.predict:hop_worker", paths, {"hops": hops, "ion": ion, "calculator": calculator}, given
    )
    found: list[dict[str, Any]] = []
    failed = False
    for path, answer in zip(paths, answers, strict=True):
        if isinstance(answer, Failure):
            failed = True
            message = answer.message if str(path) in answer.message else error_of(path, answer)["message"]
            stderr_console().print(message, style="red", markup=False, soft_wrap=True)
        else:
            found += answer or []
    if as_json:
        click.echo(dump_json(found))
    elif found:
        columns = [Column("structure", "left", "left"), Column("ion", "left"), Column("length\nÅ")]
        columns += [Column("predicted\nE_a DFT-NEB\neV"), Column("computed\nE_a BVSE\neV")]
        rows = []
        for hop in found:
            said = _said(hop["barrier"], hop["barrier_std"])
            rows.append([hop["source"], hop["ion"], number(hop["length"]), said, number(hop["bvse_barrier"])])
            if calculator is not None:
                rows[-1] += [number(hop["relaxed_barrier"], 3), number(hop["relaxed_barrier_backward"], 3)]
        if calculator is not None:
            columns += [Column(f"relaxed\n{found[0]['potential']}\neV"), Column("back\neV")]
        print_table(columns, rows)
        for hop in found:
            if hop["relaxed_flags"]:
                print_text(f"{hop['source']}, relaxed: {', '.join(hop['relaxed_flags'])}")
            if hop["barrier"] != hop["barrier_without"]:
                print_text(f"{hop['source']}: {number(hop['barrier_without'])} eV without the relaxed barrier")
        for hop in found:
            for warning in hop["warnings"]:
                text = CrystalWarning(warning["code"], warning["message"], warning["where"])
                stderr_console().print(f"warning: {hop['source']}: {text}", style="yellow", markup=False)
        for model in dict.fromkeys(hop["model"] for hop in found):
            print_text(f"Model: {model}")
    leave(failed, interrupted, sum(answer is not None for answer in answers), len(paths))


def _compositions(formulas: tuple[str, ...], measured: dict[str, float]) -> tuple[list[dict[str, Any]], list[str]]:
    """Predictions, and a message for each formula that could not be used."""
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    if not formulas:
        return rows, failures
    from fastin.errors import InputError
    from fastin.ml.conductivity import load_forest, predict_composition

    load_forest("log10_conductivity", "composition")  # a missing or damaged model is not the formula's fault
    for formula in formulas:
        try:
            rows.append({"formula": formula, **predict_composition(formula, measured=measured).to_dict()})
        except InputError as error:
            failures.append(str(error))
    return rows, failures


def _structures(
    files: tuple[str, ...],
    ion: str | None,
    model: str,
    device: str | None,
    experiment: bool,
    strict: bool,
    given: Limits,
    measured: dict[str, float],
) -> tuple[list[dict[str, Any]], list[str]]:
    """Predictions, and a message for each file that could not be used."""
    paths = expand_inputs(files)
    if not measured and model == "default" and device in (None, "cpu") and len(paths) <= _FEW:
        return _in_workers(paths, {"ion": ion, "model": model, "experiment": experiment, "strict": strict}, given)
    from fastin.prediction import Prediction, predict, predict_each

    if measured:
        try:
            said = predict(files[0], ion, model=model, device=device, measured=measured, strict=strict)
            return [said.to_dict()], []
        except FastinError as error:
            return [], [str(error)]

    every = predict_each(
        paths, ion, model=model, device=device, experiment=experiment, strict=strict,
        time_limit=given.time_limit, memory=given.memory,
    )  # fmt: skip
    return (
        [p.to_dict() for p in every if isinstance(p, Prediction)],
        [str(p) for p in every if not isinstance(p, Prediction)],
    )


def _in_workers(
    paths: Sequence[Path], arguments: dict[str, Any], given: Limits
) -> tuple[list[dict[str, Any]], list[str]]:
    """As `_structures`, for a few files: this process starts without numpy, the worker's prediction is whole."""
    answers: dict[int, Any] = dict(
        isolate("fastin.prediction:whole_worker", paths, arguments, time_limit=given.time_limit, memory=given.memory)
    )
    predictions, failures = [], []
    for k, path in enumerate(paths):
        answer = answers[k]
        if isinstance(answer, Failure):
            failures.append(str(answer.error(str(path))))
        elif "refused" in answer:
            raise Failure(*answer["refused"]).error("")
        else:
            predictions.append(answer)
    return predictions, failures


def _barrier(value: float, within: tuple[float, float] = (math.nan, math.nan)) -> str:
    """A predicted barrier with an interval, if it has one: ``0.40 [0.36, 0.45]``, ``> 5``, ``4.10 [3.50, > 5]``."""

    def text(x: float) -> str:
        return "> 5" if x == math.inf else number(x)

    if math.isnan(value):
        return "-"
    if value == math.inf or math.isnan(within[0]):
        return text(value)
    return f"{text(value)} [{text(within[0])}, {text(within[1])}]"


def _said(value: float | None, std: float | None) -> str:
    """A predicted value with its uncertainty, where there is one: a model of one member has none."""
    if value is None:
        return "-"
    return f"{number(value)} ± {number(std)}" if std else number(value)


_ORIGIN = {"model": "", "measured": ", measured", "given": ", as given", "from the other": ""}


def _quantity(said: dict[str, Any] | None, name: str) -> str:
    """A quantity with its 68 % interval, and where it comes from if not from the model."""
    found = None if said is None else said[name]
    if found is None:
        return "-"
    if found["origin"] == "given":
        return f"{number(found['value'])}{_ORIGIN['given']}"
    return f"{number(found['value'])} [{number(found['low_68'])}, {number(found['high_68'])}]{_ORIGIN[found['origin']]}"


def _print_nearest(name: str, said: dict[str, Any], *, wide: bool) -> None:
    """90 % intervals (wide), and the nearest measured compounds with their values and papers."""
    if wide:
        for key, text in (("conductivity", "log10 sigma"), ("energy", "E_a")):
            if said[key] is not None and said[key]["origin"] != "given":
                print_text(f"{name}: 90 % of {text}: {number(said[key]['low_90'])} to {number(said[key]['high_90'])}")
    parts = []
    for near in said["nearest"]:
        values = []
        if near["log10_conductivity"] is not None:
            values.append(f"log10 sigma {'< ' if near['below'] else ''}{number(near['log10_conductivity'])}")
        if near["activation_energy"] is not None:
            values.append(f"E_a {number(near['activation_energy'])} eV")
        parts.append(f"{near['formula']} at {number(near['distance'])}: {', '.join(values)} ({near['doi']})")
    print_text(f"Measured compounds nearest to {name}: " + "; ".join(parts))


def _warnings(said: dict[str, Any]) -> list[CrystalWarning]:
    return [CrystalWarning.from_dict(warning) for warning in said["warnings"]]


def _print(
    predictions: list[dict[str, Any]], compositions: list[dict[str, Any]], ion: str | None, *, wide: bool
) -> None:
    if predictions:
        own = any(p["values"] for p in predictions)
        columns = [Column("structure", "left", "left"), Column("formula", "left", "right"), Column("ion", "left")]
        if own:
            columns.append(Column("predicted\nlabels", "left", "right"))
        else:
            columns += [Column("predicted\nE_1D BVSE\neV"), Column("predicted\nE_1D/2D/3D\neV", wide=True)]
        columns += [Column("predicted\nE_a exper.\neV"), Column("predicted\nlog10 sigma\nS/cm, 300 K")]
        rows, ions = [], []
        for p in predictions:
            bvse = [_barrier(p["activation_energy"], p["activation_energy_68"]), "/".join(map(_barrier, p["barriers"]))]
            fitted = "; ".join(_said(value, std) for value, std in zip(p["values"], p["values_std"], strict=True))
            said = p["experiment"]
            energy, sigma = _quantity(said, "energy"), _quantity(said, "conductivity")
            ions.append({"ion": p["ion"], "ion_guessed": is_guessed(ion, p["ion"], _warnings(p))})
            mobile = ion_mark(ions[-1])
            listed = p["warnings"]
            mobile += warning_mark(listed)
            rows.append(
                [p["source"], p["formula"], mobile, *([fitted] if own else bvse), energy, sigma, warning_cell(listed)]
            )
        if any(p["warnings"] for p in predictions):
            columns.append(WARNING_COLUMN)
        print_table(columns, rows, wide=wide)
        for line in ion_legend(ions):
            print_text(line)
        for p in predictions:
            for warning in _warnings(p):
                mark = "!!" if warning.severe else "!"
                stderr_console().print(f"{mark} {p['source']}: {warning.code}: {warning}", style="yellow", markup=False)
        if not own:
            print_text(
                "E_1D BVSE: spse convention, global zero, with the interval that holds 68 % in unseen chemical "
                "systems; E_1D/2D/3D (--wide): network zero."
            )
            if wide:
                for p in predictions:
                    print_text(
                        f"{p['source']}: 90 % of E_1D BVSE: "
                        f"{_barrier(p['activation_energy'], p['activation_energy_90'])}"
                    )
        print_text(
            "All values are predicted but where it says measured; E_a exper. and sigma: what a measurement would be "
            "expected to give, with the interval that holds 68 %."
        )
        for p in predictions:
            if p["experiment"] is not None:
                _print_nearest(p["source"], p["experiment"], wide=wide)
        print_text(f"Model: {predictions[0]['model']}")
        if predictions[0]["experiment_model"]:
            print_text(f"Of E_a exper. and sigma: {predictions[0]['experiment_model']}")
    if compositions:
        columns = [
            Column("composition", "left", "right"),
            Column("predicted\nE_a exper.\neV"),
            Column("predicted\nlog10 sigma\nS/cm, 300 K"),
        ]
        cells = [
            [
                row["formula"],
                _quantity(row, "energy"),
                _quantity(row, "conductivity"),
            ]
            for row in compositions
        ]
        print_table(columns, cells, wide=wide)
        for row in compositions:
            for warning in row["warnings"]:
                text = CrystalWarning(warning["code"], warning["message"], warning["where"])
                stderr_console().print(f"warning: {row['formula']}: {text}", style="yellow", markup=False)
        for row in compositions:
            _print_nearest(row["formula"], row, wide=wide)
        print_text(f"Model: {compositions[0]['model']}")


def _measured_columns(said: dict[str, Any] | None) -> dict[str, Any]:
    """Measured quantities with their intervals, under the names of a results table."""
    row: dict[str, Any] = {}
    for key, name, unit in (
        ("energy", "predicted_experiment_activation_energy", "_eV"),
        ("conductivity", "predicted_log10_conductivity", "_S_per_cm"),
    ):
        own = (said or {}).get(key) or {}
        row[f"{name}{unit}"] = own.get("value")
        for level in (68, 90):
            row |= {f"{name}_{end}_{level}{unit}": own.get(f"{end}_{level}") for end in ("low", "high")}
        row[f"{name}_origin"] = own.get("origin")
    row["predicted_log10_conductivity_std"] = ((said or {}).get("conductivity") or {}).get("std") or None
    return row


def _flat_composition(said: dict[str, Any]) -> dict[str, Any]:
    """The row of a formula for ``--csv``; the structure's columns are empty."""
    near = {
        f"nearest_{k}_{name}": one[key]
        for k, one in enumerate(said["nearest"], 1)
        for name, key in (("formula", "formula"), ("distance", "distance"), ("doi", "doi"))
    }
    warnings = said["warnings"]
    return {
        "source": "",
        "formula": said["formula"],
        "ion": "Li+",
        **_measured_columns(said),
        **near,
        "warnings": [warning["code"] for warning in warnings],
        "prediction_warnings": "; ".join(warning["message"] for warning in warnings),
    }


def _flat(prediction: dict[str, Any]) -> dict[str, Any]:
    """The row for ``--csv``, under the names of a results table."""
    row = {
        "source": prediction["source"],
        "formula": prediction["formula"],
        "ion": prediction["ion"],
        "predicted_activation_energy_eV": prediction["activation_energy"],
        "predicted_activation_energy_std_eV": prediction["activation_energy_std"] or None,
        **{
            f"predicted_activation_energy_{end}_{level}_eV": within[k]
            for level, within in ((68, prediction["activation_energy_68"]), (90, prediction["activation_energy_90"]))
            for k, end in enumerate(("low", "high"))
        },
        **{f"predicted_barrier_{d}d_eV": e for d, e in enumerate(prediction["barriers"], 1)},
        **{
            f"predicted_barrier_{d}d_{end}_{level}_eV": within[k]
            for level, three in ((68, prediction["barriers_68"]), (90, prediction["barriers_90"]))
            for d, within in enumerate(three, 1)
            for k, end in enumerate(("low", "high"))
        },
        **_measured_columns(prediction["experiment"]),
    }
    row |= {f"predicted_label_{k}": value for k, value in enumerate(prediction["values"], 1)}
    warnings = _warnings(prediction)
    told = "; ".join(map(str, warnings))
    return row | {"warnings": [warning.code for warning in warnings], "prediction_warnings": told}

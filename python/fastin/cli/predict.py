"""``fastin predict``: barriers and measured quantities from the shipped models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fastin.cli._batch import Limits, error_of, leave, limits, run_batch
from fastin.errors import FastinError
from fastin.runtime.isolate import Failure


@click.command()
@click.argument("files", nargs=-1)
@click.option("--ion", help="Mobile ion; default: the most usual one present.")
@click.option("--model", default="default", show_default=True, help="Shipped model, or a .pt file.")
@click.option("--device", default=None, help="cpu or cuda; default: CUDA where there is one.")
@click.option("--formula", "formulas", multiple=True, help="Composition of a Li conductor without a structure.")
@click.option(
    "--hop",
    "hops",
    type=(float, float, float, float, float, float),
    multiple=True,
    help="Start and end of a hop (fractional): the barrier that DFT would be expected to give, in every file.",
)
@click.option("--experiment/--no-experiment", default=True, show_default=True, help="Measured quantities too.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@limits
def command(
    files: tuple[str, ...],
    ion: str | None,
    model: str,
    device: str | None,
    formulas: tuple[str, ...],
    hops: tuple[tuple[float, ...], ...],
    experiment: bool,
    as_json: bool,
    time_limit: float,
    memory: int | None,
) -> None:
    """Predict activation energies and conductivities of structures (files, or folders of them) or compositions."""
    from fastin.cli._common import dump_json, stderr_console

    if not files and not formulas:
        raise click.UsageError("give structure files, or --formula")
    if hops and not files:
        raise click.UsageError("--hop needs a structure file")
    given = Limits(time_limit, memory, None)
    if hops:
        _print_hops(files, ion, hops, as_json, given)
        return
    compositions, failures = _compositions(formulas)
    predictions: list[Any] = []
    if files:
        predictions, unusable = _structures(files, ion, model, device, experiment, given)
        failures += unusable
    for message in failures:
        stderr_console().print(message, style="red", markup=False, soft_wrap=True)
    if as_json:
        click.echo(dump_json([p.to_dict() for p in predictions] + compositions))
    else:
        _print(predictions, compositions, ion)
    if failures:
        raise SystemExit(1)


def hop_worker(
    hops: tuple[tuple[float, ...], ...], ion: str | None, num_threads: int
) -> Callable[[Path], list[dict[str, Any]] | Failure]:
    """In a worker process: the function that gives the barriers of the hops in one structure."""
    from dataclasses import asdict

    from fastin.ml.migration import predict_hop

    def answer(path: Path) -> list[dict[str, Any]] | Failure:
        try:
            return [asdict(predict_hop(path, hop[:3], hop[3:], ion)) for hop in hops]
        except FastinError as error:
            return Failure(type(error).__name__, str(error))

    return answer


def _print_hops(
    files: tuple[str, ...], ion: str | None, hops: tuple[tuple[float, ...], ...], as_json: bool, given: Limits
) -> None:
    """Barriers of single hops instead of the whole crystal's."""
    from rich.table import Table

    from fastin.cli._common import dump_json, expand_inputs, number, stderr_console, stdout_console

    paths = expand_inputs(files)
    answers, interrupted = run_batch("fastin.cli.predict:hop_worker", paths, {"hops": hops, "ion": ion}, given)
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
        table = Table("structure", "ion", "length (A)", "Ea DFT-NEB (eV)", "Ea BVSE (eV)", "warnings")
        for hop in found:
            said = f"{number(hop['barrier'])} ± {number(hop['barrier_std'])}"
            texts = (number(hop["length"]), said, number(hop["bvse_barrier"]), "; ".join(map(str, hop["warnings"])))
            table.add_row(hop["source"], hop["ion"], *texts)
        stdout_console().print(table)
        stdout_console().print(f"Ea DFT-NEB: expected value. Model: {found[0]['model']}", markup=False)
    leave(failed, interrupted, sum(answer is not None for answer in answers), len(paths))


def _compositions(formulas: tuple[str, ...]) -> tuple[list[dict[str, Any]], list[str]]:
    """Predictions, and a message for each formula that could not be used."""
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    if not formulas:
        return rows, failures
    from dataclasses import asdict

    from fastin.errors import InputError
    from fastin.ml.conductivity import load_forest, predict_composition

    load_forest("log10_conductivity", "composition")  # a missing or damaged model is not the formula's fault
    for formula in formulas:
        try:
            rows.append({"formula": formula, **asdict(predict_composition(formula))})
        except InputError as error:
            failures.append(str(error))
    return rows, failures


def _structures(
    files: tuple[str, ...], ion: str | None, model: str, device: str | None, experiment: bool, given: Limits
) -> tuple[list[Any], list[str]]:
    """Predictions, and a message for each file that could not be used."""
    from fastin.cli._common import expand_inputs
    from fastin.prediction import Prediction, predict_each

    said = predict_each(
        expand_inputs(files), ion, model=model, device=device, experiment=experiment,
        time_limit=given.time_limit, memory=given.memory,
    )  # fmt: skip
    predictions = [p for p in said if isinstance(p, Prediction)]
    return predictions, [str(p) for p in said if not isinstance(p, Prediction)]


def _print(predictions: list[Any], compositions: list[dict[str, Any]], ion: str | None) -> None:
    from rich.table import Table

    from fastin.cli._common import ion_text, is_guessed, number, stdout_console

    console = stdout_console()

    def measured(value: float | None, std: float | None) -> str:
        return "-" if value is None else f"{number(value)} ± {number(std)}"

    if predictions:
        own = any(p.values for p in predictions)
        barriers = ("fitted labels",) if own else ("Ea BVSE (eV)", "1D / 2D / 3D (eV)")
        table = Table("structure", "formula", "ion", *barriers, "Ea measured (eV)", "log10 S/cm, 300 K", "warnings")
        for p in predictions:
            fitted = [measured(value, std) for value, std in zip(p.values, p.values_std, strict=True)]
            bvse = [measured(p.activation_energy, p.activation_energy_std), " / ".join(number(b) for b in p.barriers)]
            table.add_row(
                p.source,
                p.formula,
                ion_text({"ion": p.ion, "ion_guessed": is_guessed(ion, p.ion, p.warnings)}),
                *(["; ".join(fitted)] if own else bvse),
                measured(p.experimental_activation_energy, p.experimental_activation_energy_std),
                measured(p.log10_conductivity, p.log10_conductivity_std),
                "; ".join(map(str, p.warnings)),
            )
        console.print(table)
        text = "Ea BVSE: 1D barrier, spse convention, global zero; 1D / 2D / 3D: network zero"
        text = "fitted labels: mean and deviation of the members" if own else text
        console.print(f"{text}; measured: expected experimental values. Model: {predictions[0].model}", markup=False)
        if predictions[0].experiment_model:
            console.print(f"Measured quantities: {predictions[0].experiment_model}", markup=False)
    if compositions:
        table = Table("composition", "Ea measured (eV)", "log10 S/cm, 300 K", "warnings")
        for row in compositions:
            table.add_row(
                row["formula"],
                measured(row["activation_energy"], row["activation_energy_std"]),
                measured(row["log10_conductivity"], row["log10_conductivity_std"]),
                "; ".join(row["warnings"]),
            )
        console.print(table)
        console.print(f"Measured quantities: {compositions[0]['model']}", markup=False)

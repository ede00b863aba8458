"""``fastin predict``: barriers and measured quantities from the shipped models."""

from __future__ import annotations

from typing import Any

import click

from fastin.errors import FastinError


@click.command()
@click.argument("files", nargs=-1)
@click.option("--ion", help="Mobile ion; default: the most usual one present.")
@click.option("--model", default="default", show_default=True, help="Shipped model, or a .pt file.")
@click.option("--device", default=None, help="cpu or cuda; default: CUDA where there is one.")
@click.option("--formula", "formulas", multiple=True, help="Composition of a Li conductor without a structure.")
@click.option("--experiment/--no-experiment", default=True, show_default=True, help="Measured quantities too.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(
    files: tuple[str, ...],
    ion: str | None,
    model: str,
    device: str | None,
    formulas: tuple[str, ...],
    experiment: bool,
    as_json: bool,
) -> None:
    """Predict activation energies and conductivities of structures (files, or folders of them) or compositions."""
    from fastin.cli._common import dump_json, stderr_console

    if not files and not formulas:
        raise click.UsageError("give structure files, or --formula")
    try:
        compositions = _compositions(formulas)
        predictions, failures = _structures(files, ion, model, device, experiment) if files else ([], [])
    except FastinError as error:
        raise click.ClickException(str(error)) from None
    for message in failures:
        stderr_console().print(message, style="red", markup=False, soft_wrap=True)
    if as_json:
        click.echo(dump_json([p.to_dict() for p in predictions] + compositions))
    else:
        _print(predictions, compositions)
    if failures:
        raise SystemExit(1)


def _compositions(formulas: tuple[str, ...]) -> list[dict[str, Any]]:
    if not formulas:
        return []
    from dataclasses import asdict

    from fastin.ml.conductivity import predict_composition

    return [{"formula": formula, **asdict(predict_composition(formula))} for formula in formulas]


def _structures(
    files: tuple[str, ...], ion: str | None, model: str, device: str | None, experiment: bool
) -> tuple[list[Any], list[str]]:
    """Predictions, and a message for each file that could not be used."""
    from fastin.cli._common import expand_inputs
    from fastin.crystal import as_crystal
    from fastin.prediction import load_shipped, predict_entries, with_experiment

    trained = load_shipped(model, device)
    from fastin.ml.predictor import graphs_of

    entries, crystals, failures = [], [], []
    for path in expand_inputs(files):
        try:
            crystal = as_crystal(path)
            entries.append(graphs_of(crystal, ion, crystals=trained.kind == "crystal"))
            crystals.append(crystal)
        except FastinError as error:
            failures.append(str(error))
    predictions = predict_entries(entries, trained, device)
    if experiment:
        predictions = [with_experiment(p, c) for p, c in zip(predictions, crystals, strict=True)]
    return predictions, failures


def _print(predictions: list[Any], compositions: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from fastin.cli._common import number, stdout_console

    console = stdout_console()

    def measured(value: float | None, std: float | None) -> str:
        return "-" if value is None else f"{number(value)} ± {number(std)}"

    if predictions:
        columns = ("structure", "formula", "ion", "Ea BVSE (eV)", "1D / 2D / 3D (eV)")
        table = Table(*columns, "Ea measured (eV)", "log10 S/cm, 300 K", "warnings")
        for p in predictions:
            table.add_row(
                p.source,
                p.formula,
                p.ion,
                measured(p.activation_energy, p.activation_energy_std),
                " / ".join(number(b) for b in p.barriers),
                measured(p.experimental_activation_energy, p.experimental_activation_energy_std),
                measured(p.log10_conductivity, p.log10_conductivity_std),
                "; ".join(p.warnings),
            )
        console.print(table)
        text = "Ea BVSE: 1D barrier, spse convention, global zero; 1D / 2D / 3D: network zero; measured: expected"
        console.print(f"{text} experimental values. Model: {predictions[0].model}", markup=False)
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

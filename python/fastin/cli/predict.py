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
@click.option(
    "--hop",
    "hops",
    type=(float, float, float, float, float, float),
    multiple=True,
    help="Start and end of a hop (fractional): the barrier that DFT would be expected to give, in every file.",
)
@click.option("--experiment/--no-experiment", default=True, show_default=True, help="Measured quantities too.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(
    files: tuple[str, ...],
    ion: str | None,
    model: str,
    device: str | None,
    formulas: tuple[str, ...],
    hops: tuple[tuple[float, ...], ...],
    experiment: bool,
    as_json: bool,
) -> None:
    """Predict activation energies and conductivities of structures (files, or folders of them) or compositions."""
    from fastin.cli._common import dump_json, stderr_console

    if not files and not formulas:
        raise click.UsageError("give structure files, or --formula")
    if hops and not files:
        raise click.UsageError("--hop needs a structure file")
    if hops:
        _print_hops(files, ion, hops, as_json)
        return
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


def _print_hops(files: tuple[str, ...], ion: str | None, hops: tuple[tuple[float, ...], ...], as_json: bool) -> None:
    """Barriers of single hops instead of the whole crystal's."""
    from dataclasses import asdict

    from rich.table import Table

    from fastin.cli._common import dump_json, expand_inputs, number, stdout_console
    from fastin.ml.migration import predict_hop

    try:
        found = [predict_hop(path, hop[:3], hop[3:], ion) for path in expand_inputs(files) for hop in hops]
    except FastinError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(dump_json([asdict(hop) for hop in found]))
        return
    table = Table("structure", "ion", "length (A)", "Ea DFT-NEB (eV)", "Ea BVSE (eV)", "warnings")
    for hop in found:
        said = f"{number(hop.barrier)} ± {number(hop.barrier_std)}"
        table.add_row(
            hop.source, hop.ion, number(hop.length), said, number(hop.bvse_barrier), "; ".join(map(str, hop.warnings))
        )
    stdout_console().print(table)
    stdout_console().print(f"Ea DFT-NEB: expected value. Model: {found[0].model}", markup=False)


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
    from fastin.crystal.crystal import as_crystal
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
        own = any(p.values for p in predictions)
        barriers = ("fitted labels",) if own else ("Ea BVSE (eV)", "1D / 2D / 3D (eV)")
        table = Table("structure", "formula", "ion", *barriers, "Ea measured (eV)", "log10 S/cm, 300 K", "warnings")
        for p in predictions:
            fitted = [measured(value, std) for value, std in zip(p.values, p.values_std, strict=True)]
            bvse = [measured(p.activation_energy, p.activation_energy_std), " / ".join(number(b) for b in p.barriers)]
            table.add_row(
                p.source,
                p.formula,
                p.ion,
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

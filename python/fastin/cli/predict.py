"""``fastin predict``: barriers from the shipped model."""

from __future__ import annotations

import click

from fastin.errors import FastinError


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--ion", help="Mobile ion; default: the most usual one present.")
@click.option("--model", default="default", show_default=True, help="Shipped model, or a .pt file.")
@click.option("--device", default=None, help="cpu or cuda; default: CUDA where there is one.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(files: tuple[str, ...], ion: str | None, model: str, device: str | None, as_json: bool) -> None:
    """Predict the activation energy of each structure (files, or folders of them)."""
    from fastin.cli._common import dump_json, expand_inputs, number, stderr_console, stdout_console
    from fastin.prediction import load_shipped, predict_entries

    try:
        trained = load_shipped(model, device)
    except FastinError as error:
        raise click.ClickException(str(error)) from None
    from fastin.ml.predictor import graphs_of

    entries, failed = [], 0
    for path in expand_inputs(files):
        try:
            entries.append(graphs_of(path, ion, crystals=trained.kind == "crystal"))
        except FastinError as error:
            failed += 1
            stderr_console().print(f"{path}: {error}", style="red", markup=False)
    predictions = predict_entries(entries, trained, device)
    if as_json:
        click.echo(dump_json([p.to_dict() for p in predictions]))
    elif predictions:
        from rich.table import Table

        table = Table("structure", "formula", "ion", "Ea (eV)", "1D / 2D / 3D (eV)", "warnings")
        for p in predictions:
            barriers = " / ".join(number(b) for b in p.barriers)
            own = f"{number(p.activation_energy)} ± {number(p.activation_energy_std)}"
            table.add_row(p.source, p.formula, p.ion, own, barriers, "; ".join(p.warnings))
        stdout_console().print(table)
        stdout_console().print(
            f"Ea: 1D BVSE barrier, spse convention, global zero; barriers: network zero. Model: {predictions[0].model}",
            markup=False,
        )
    if failed:
        raise SystemExit(1)

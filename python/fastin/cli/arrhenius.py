"""``fastin arrhenius``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.markup import escape
from rich.table import Table

from fastin.cli._common import dump_json, number, stderr_console, stdout_console, unique_stems
from fastin.errors import FastinError

if TYPE_CHECKING:
    from fastin.transport.arrhenius import ArrheniusFit


def _prediction(structure: Path, ion: str | None, quantity: str, temperatures: Any) -> tuple[Any, dict[str, Any]]:
    """The network's conductivity or diffusivity (mean over the axes) at the temperatures, and its summary."""
    from fastin.transport.paths import compute_paths

    paths = compute_paths(structure, ion)
    if quantity == "conductivity":
        values = np.array([np.trace(paths.conductivity(float(t))) / 3 for t in temperatures])
    else:
        values = np.array([np.trace(paths.diffusivity(float(t))) / 3 for t in temperatures])
    energy = paths.activation_energy(float(min(temperatures)), float(max(temperatures)))[1]
    return values, {"structure": str(structure), "activation_energy_eV": energy}


def _read_and_fit(file: Path, error: float | None, reading: dict[str, Any]) -> tuple[ArrheniusFit, dict[str, Any]]:
    from fastin.transport.arrhenius import fit_arrhenius, read_table

    table = read_table(file, **reading)
    errors: Any = table.relative_error if error is None else error
    fit = fit_arrhenius(table.temperature, table.value, quantity=table.quantity, relative_error=errors)
    row = {"file": str(file), **fit.to_dict()}
    row["remarks"] = [*table.remarks, *row["remarks"]]
    return fit, row


@click.command("arrhenius")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--celsius", "temperature", flag_value="C", help="Temperatures without a unit are degrees Celsius.")
@click.option("--kelvin", "temperature", flag_value="K", help="Temperatures without a unit are kelvin.")
@click.option("--unit", help="Unit of values without one, e.g. mS/cm.")
@click.option("--quantity", type=click.Choice(["conductivity", "diffusivity"]), help="Of values without a heading.")
@click.option("--decimal", type=click.Choice([".", ","]), help="Decimal mark, where both would do.")
@click.option("--network", type=click.Path(path_type=Path), help="Structure whose network's prediction is put beside.")
@click.option("--ion", help="Mobile ion of that structure.")
@click.option(
    "--error", type=float, help="Relative standard uncertainty of each value; default: the file's, or scatter."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write the plot (.png, .pdf, .svg).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: an object, or a list for several files.")
def command(
    files: tuple[Path, ...],
    temperature: str | None,
    unit: str | None,
    quantity: str | None,
    decimal: str | None,
    network: Path | None,
    ion: str | None,
    error: float | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Activation energy, prefactor and 300 K value from tables of temperatures and conductivities (or D).

    Columns are found by their headings: T/K, "T (°C)", 1000/T; sigma (S/cm), sigma T, ln(sigma T), log10_sigma,
    D (cm2/s), a column of errors. Several FILEs come into one plot, each with its own line.
    """
    from fastin.transport.arrhenius import plot_arrhenius

    reading = {"temperature": temperature, "unit": unit, "quantity": quantity, "decimal": decimal}
    fits: dict[str, ArrheniusFit] = {}
    rows: list[dict[str, Any]] = []
    failed = False
    for file, stem in zip(files, unique_stems(files), strict=True):
        try:
            fits[stem], row = _read_and_fit(file, error, reading)
            rows.append(row)
        except FastinError as failure:
            failed = True
            stderr_console().print(f"[red]{type(failure).__name__}[/red]: {escape(str(failure))}")
    try:
        prediction = _put_beside(network, ion, fits, rows) if network is not None and rows else None
        if out is not None and fits:
            plot_arrhenius(next(iter(fits.values())) if len(files) == 1 else fits, out, prediction=prediction)
    except (FastinError, OSError) as failure:
        failed, out = True, None
        stderr_console().print(f"[red]{type(failure).__name__}[/red]: {escape(str(failure))}")
    if as_json and rows:
        click.echo(dump_json(rows[0] if len(files) == 1 else rows))
    elif rows:
        _print(rows, out)
    sys.exit(1 if failed else 0)


def _put_beside(
    structure: Path, ion: str | None, fits: dict[str, ArrheniusFit], rows: list[dict[str, Any]]
) -> tuple[Any, Any] | None:
    """The network's prediction over the range of all fits; its summary goes into each row."""
    temperatures = np.concatenate([fit.temperature for fit in fits.values()])
    quantity = rows[0]["quantity"]
    t = np.linspace(min(300.0, temperatures.min()), max(300.0, temperatures.max()), 40)
    values, found = _prediction(structure, ion, quantity, t)
    found[f"{quantity}_300K"] = float(np.interp(300.0, t, values))
    for row in rows:
        row["network"] = found
    return (t, values) if (values > 0).all() else None


def _cells(row: dict[str, Any]) -> dict[str, str]:
    quantity = row["quantity"]
    unit = "S/cm" if quantity == "conductivity" else "cm²/s"
    at_300 = next(v for k, v in row.items() if k.startswith(f"{quantity}_300K"))
    log_prefactor = next(v for k, v in row.items() if k.startswith("log10_prefactor_") and not k.endswith("std"))
    ea_std, a_std = number(row["activation_energy_std_eV"], 4), number(row["log10_prefactor_std"], 3)
    what = "sigma T, K S/cm" if quantity == "conductivity" else "D, cm²/s"
    cells = {
        "points": f"{row['points']}, {number(row['temperature_min_K'], 1)} to {number(row['temperature_max_K'], 1)} K",
        "activation energy": f"{row['activation_energy_eV']:.4f} ± {ea_std} eV",
        f"log10 prefactor of {what}": f"{log_prefactor:.3f} ± {a_std}",
        "at 300 K": f"{at_300:.3e} {unit} (log10 ± {number(row['log10_300K_std'], 3)})",
        "R²": number(row["r_squared"], 4),
    }
    if "network" in row:
        found = row["network"]
        cells["network's activation energy"] = f"{number(found['activation_energy_eV'], 4)} eV"
        cells["network's value at 300 K"] = f"{found[f'{quantity}_300K']:.3e} {unit}"
    return cells


def _print(rows: list[dict[str, Any]], out: Path | None) -> None:
    console = stdout_console()
    for k, row in enumerate(rows):
        table = Table(box=None, show_header=False, pad_edge=False)
        if len(rows) > 1:
            table.add_row("file", escape(row["file"]))
        for name, text in _cells(row).items():
            table.add_row(name, text)
        if k:
            console.print()
        console.print(table)
        for remark in row["remarks"]:
            stderr_console().print(f"[yellow]{escape(row['file'])}: {escape(remark)}[/yellow]", soft_wrap=True)
    if out is not None:
        console.print(f"wrote {escape(str(out))}")

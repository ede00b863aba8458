"""``fastin arrhenius``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.markup import escape
from rich.table import Table

from fastin.cli._common import dump_json, number, stderr_console, stdout_console
from fastin.errors import FastinError


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


@click.command("arrhenius")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--network", type=click.Path(path_type=Path), help="Structure whose network's prediction is put beside.")
@click.option("--ion", help="Mobile ion of that structure.")
@click.option("--error", type=float, help="Relative standard uncertainty of each value; default: from the scatter.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write the plot (.png, .pdf, .svg).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    file: Path, network: Path | None, ion: str | None, error: float | None, out: Path | None, as_json: bool
) -> None:
    """Activation energy, prefactor and 300 K value from FILE, a CSV of temperatures and conductivities (or D).

    Columns are found by name, e.g. temperature_K or "T (°C)", and sigma_S/cm, log10_sigma or D_cm2/s.
    """
    from fastin.transport.arrhenius import fit_arrhenius, plot_arrhenius, read_table

    try:
        table = read_table(file)
        fit = fit_arrhenius(table.temperature, table.value, quantity=table.quantity, relative_error=error)
        row = fit.to_dict()
        prediction = None
        if network is not None:
            t = np.linspace(min(300.0, table.temperature.min()), max(300.0, table.temperature.max()), 40)
            values, row["network"] = _prediction(network, ion, table.quantity, t)
            row["network"][f"{table.quantity}_300K"] = float(np.interp(300.0, t, values))
            prediction = (t, values) if (values > 0).all() else None
        if out is not None:
            plot_arrhenius(fit, out, prediction=prediction)
    except (FastinError, OSError) as failure:
        stderr_console().print(f"[red]{type(failure).__name__}[/red]: {escape(str(failure))}")
        sys.exit(1)
    if as_json:
        click.echo(dump_json(row))
        return
    _print(row, fit.quantity, out)


def _print(row: dict[str, Any], quantity: str, out: Path | None) -> None:
    unit = "S/cm" if quantity == "conductivity" else "cm²/s"
    at_300 = next(v for k, v in row.items() if k.startswith(f"{quantity}_300K"))
    log_prefactor = next(v for k, v in row.items() if k.startswith("log10_prefactor_") and not k.endswith("std"))
    console = stdout_console()
    table = Table(box=None, show_header=False, pad_edge=False)
    span = f"{number(row['temperature_min_K'], 1)} to {number(row['temperature_max_K'], 1)} K"
    table.add_row("points", f"{row['points']}, {span}")
    ea_std, a_std = number(row["activation_energy_std_eV"], 4), number(row["log10_prefactor_std"], 3)
    table.add_row("activation energy", f"{row['activation_energy_eV']:.4f} ± {ea_std} eV")
    what = "sigma T, K S/cm" if quantity == "conductivity" else "D, cm²/s"
    table.add_row(f"log10 prefactor of {what}", f"{log_prefactor:.3f} ± {a_std}")
    table.add_row("at 300 K", f"{at_300:.3e} {unit} (log10 ± {number(row['log10_300K_std'], 3)})")
    table.add_row("R²", number(row["r_squared"], 4))
    if "network" in row:
        found = row["network"]
        table.add_row("network's activation energy", f"{number(found['activation_energy_eV'], 4)} eV")
        table.add_row("network's value at 300 K", f"{found[f'{quantity}_300K']:.3e} {unit}")
    console.print(table)
    if out is not None:
        console.print(f"wrote {escape(str(out))}")

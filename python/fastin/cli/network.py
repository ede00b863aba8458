"""``fastin network``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.markup import escape
from rich.table import Table

from fastin.cli._batch import Limits, failed_row, limits, run_one
from fastin.cli._common import (
    Finite,
    block_option,
    dump_json,
    ion_option,
    ion_text,
    is_guessed,
    json_option,
    number,
    print_warnings,
    radii_option,
    stdout_console,
    strict_option,
    threads_option,
)
from fastin.errors import FastinError

if TYPE_CHECKING:
    from fastin.network.network import InterstitialNetwork


def _summary(network: InterstitialNetwork, probe: float, named: str | None) -> dict[str, Any]:
    out: dict[str, Any] = {
        "source": network.source,
        "ion": network.ion,
        "guest": network.guest,
        "ion_guessed": is_guessed(named, network.ion, network.warnings),
        "clearance": network.clearance,
        "n_sites": len(network.site_radius),
        "n_edges": len(network.edge_length),
        "n_site_classes": len(np.unique(network.site_orbit)),
        "n_edge_classes": len(np.unique(network.edge_orbit)),
        "largest_sphere_radius_A": network.largest_sphere_radius,
        "free_sphere_radii_A": network.free_sphere_radii,
        "percolation_radii_A": network.percolation_radii,
        "included_sphere_along_free_path_A": network.included_sphere_along_free_path,
        "exact_free_sphere_radii_A": network.exact_free_sphere_radii,
        "exact_percolation_radii_A": network.exact_percolation_radii,
        "probe_radius_A": probe,
        "channels": [
            {"dimensionality": c.dimensionality, "n_sites": len(c.site_ids), "n_edges": len(c.edge_ids)}
            for c in network.channels(probe)
        ],
        "recovery_rate": network.recovery() if len(network.mobile_frac) else None,
        "notes": list(network.notes),
        "warnings": [warning.to_dict() for warning in network.warnings],
    }
    return out


def _classes(network: InterstitialNetwork) -> dict[str, Any]:
    """One row for each symmetry class of voids and of bottlenecks."""
    reduced = network.reduce()
    sites = [
        {
            "class": int(network.site_orbit[i]),
            "multiplicity": int(m),
            "kind": "face centre" if network.site_kind[i] else "void",
            "frac": network.site_frac[i],
            "radius_A": network.site_radius[i],
        }
        for i, m in zip(reduced.site_ids, reduced.site_multiplicity, strict=True)
    ]
    edges = [
        {
            "class": int(network.edge_orbit[e]),
            "multiplicity": int(m),
            "joins": pair.tolist(),
            "image": network.edge_image[e],
            "length_A": network.edge_length[e],
            "bottleneck_frac": network.edge_bottleneck_frac[e],
            "bottleneck_radius_A": network.edge_bottleneck_radius[e],
        }
        for e, m, pair in zip(reduced.edge_ids, reduced.edge_multiplicity, reduced.edge_classes.T, strict=True)
    ]
    return {"site_classes": sites, "edge_classes": edges}


def _triple(values: Any, digits: int = 3) -> str:
    return "  ".join(number(float(v), digits) for v in values)


def _print_summary(row: dict[str, Any]) -> None:
    console = stdout_console()
    table = Table(box=None, show_header=False, pad_edge=False)
    ion = row["ion"] + " (guest: the crystal holds none)" if row["guest"] else ion_text(row)
    table.add_row("structure", escape(row["source"]))
    table.add_row("mobile ion", ion)
    table.add_row("voids", f"{row['n_sites']} ({row['n_site_classes']} inequivalent)")
    table.add_row("bottlenecks", f"{row['n_edges']} ({row['n_edge_classes']} inequivalent)")
    table.add_row("largest sphere", f"{number(row['largest_sphere_radius_A'], 3)} Å")
    table.add_row("free sphere along a, b, c", f"{_triple(row['free_sphere_radii_A'])} Å")
    table.add_row("free sphere in 1, 2, 3 dimensions", f"{_triple(row['percolation_radii_A'])} Å")
    if row["exact_free_sphere_radii_A"] is not None:
        table.add_row("exact free sphere along a, b, c", f"{_triple(row['exact_free_sphere_radii_A'])} Å")
        table.add_row("exact in 1, 2, 3 dimensions", f"{_triple(row['exact_percolation_radii_A'])} Å")
    channels = (
        ", ".join(f"{c['dimensionality']}D ({c['n_sites']} void{'s' * (c['n_sites'] != 1)})" for c in row["channels"])
        or "none"
    )
    table.add_row(f"channels for a probe of {number(row['probe_radius_A'], 3)} Å", channels)
    if row["recovery_rate"] is not None:
        table.add_row("mobile sites found by the voids", f"{100 * row['recovery_rate']:.0f} %")
    console.print(table)


def _print_classes(classes: dict[str, Any]) -> None:
    console = stdout_console()
    sites = Table(
        box=None, header_style="bold", pad_edge=False, title="voids, one a symmetry class", title_justify="left"
    )
    for name in ("class", "in cell", "frac a", "b", "c", "radius Å"):
        sites.add_column(name, justify="right")
    for s in classes["site_classes"]:
        frac = [number(float(v), 4) for v in s["frac"]]
        sites.add_row(str(s["class"]), str(s["multiplicity"]), *frac, number(float(s["radius_A"]), 3))
    edges = Table(box=None, header_style="bold", pad_edge=False, title="bottlenecks", title_justify="left")
    for name in ("class", "in cell", "joins", "length Å", "radius Å"):
        edges.add_column(name, justify="right")
    for e in sorted(classes["edge_classes"], key=lambda e: -e["bottleneck_radius_A"]):
        joins = f"{e['joins'][0]} - {e['joins'][1]}"
        length, radius = number(float(e["length_A"]), 3), number(float(e["bottleneck_radius_A"]), 3)
        edges.add_row(str(e["class"]), str(e["multiplicity"]), joins, length, radius)
    console.print()
    console.print(sites)
    console.print()
    console.print(edges)


def _check_suffixes(_: click.Context, parameter: click.Parameter, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    from fastin.network.files import WRITABLE

    for path in paths:
        if path.suffix.lower() not in WRITABLE:
            raise click.BadParameter(f"{path}: the suffixes are {', '.join(WRITABLE)}", param=parameter)
    return paths


def worker(
    ion: str | None,
    options: dict[str, Any],
    probe: float | None,
    classes: bool,
    out: tuple[Path, ...],
    block: str | None,
    num_threads: int,
) -> Callable[[Path], dict[str, Any]]:
    """In a worker process: the function that takes one path, writes its files and returns its row."""
    from fastin.crystal.crystal import Crystal
    from fastin.network.network import compute_network

    def answer(path: Path) -> dict[str, Any]:
        try:
            crystal = Crystal.from_file(path, block=block, strict=options["strict"])
            network = compute_network(crystal, ion, num_threads=num_threads, **options)
            row = _summary(network, network.probe_radius if probe is None else probe, ion)
            if classes:
                row |= _classes(network)
            for target in out:
                network.write(target)
        except (FastinError, OSError) as error:
            return failed_row(path, error)
        return row

    return answer


@click.command("network")
@click.argument("file", type=click.Path(path_type=Path))
@ion_option
@radii_option
@click.option(
    "--clearance",
    type=click.Choice(["all", "generators"]),
    default="all",
    show_default=True,
    help="Measure against all atoms, or against the owners only (CAVD's and Zeo++'s numbers).",
)
@click.option("--face-centers", is_flag=True, help="Centres of Voronoi faces become voids too.")
@click.option("--exact", is_flag=True, help="Add free spheres of the exact clearance (paths need not follow edges).")
@click.option("--probe", type=Finite(min=0.0), help="Probe radius of the channels, Å; default: the ion's own.")
@click.option("--reduce", "reduce_", is_flag=True, help="List one void and one bottleneck of each symmetry class.")
@click.option(
    "-o",
    "--out",
    multiple=True,
    type=click.Path(path_type=Path),
    callback=_check_suffixes,
    help="Write the network: .json, .net, .cif, .vasp or .graphml; may be given several times.",
)
@json_option
@strict_option
@block_option
@threads_option
@limits
def command(
    file: Path,
    ion: str | None,
    radii: str,
    clearance: Any,
    face_centers: bool,
    exact: bool,
    probe: float | None,
    reduce_: bool,
    out: tuple[Path, ...],
    as_json: bool,
    strict: bool,
    block: str | None,
    threads: int | None,
    time_limit: float,
    memory: int | None,
) -> None:
    """Voids and bottlenecks of FILE (CIF, POSCAR): free spheres, channels, symmetry classes; network files."""
    options = {"radii": radii, "clearance": clearance, "face_centers": face_centers, "exact": exact, "strict": strict}
    given = {"ion": ion, "options": options, "probe": probe, "classes": reduce_, "out": out, "block": block}
    row = run_one("fastin.cli.network:worker", file, file, given, Limits(time_limit, memory, threads))
    if as_json:
        click.echo(dump_json(row))
        return
    _print_summary(row)
    if reduce_:
        _print_classes(row)
    print_warnings(file.name, row["warnings"], True)
    for note in row["notes"]:
        stdout_console().print(f"note: {escape(note)}")
    for path in out:
        stdout_console().print(f"wrote {escape(str(path))}")

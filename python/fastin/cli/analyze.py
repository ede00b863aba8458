"""``fastin analyze``: the main job."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fastin.cli._batch import Limits, error_of, leave, limits, run_batch
from fastin.cli._common import (
    block_option,
    dump_json,
    ion_legend,
    ion_mark,
    ion_option,
    is_guessed,
    json_option,
    json_ready,
    notes_option,
    number,
    print_warnings,
    radii_option,
    stderr_console,
    stdout_console,
    strict_option,
    threads_option,
    unique_stems,
    warning_cell,
    warning_mark,
)
from fastin.cli._inputs import Source, expand_sources, open_source
from fastin.cli._table import WARNING_COLUMN, WIDTH, Column, csv_option, print_csv, print_table, wide_option
from fastin.errors import FastinError
from fastin.runtime.isolate import Failure

if TYPE_CHECKING:
    from fastin.bvse.barriers import Barriers
    from fastin.bvse.grid import EnergyGrid
    from fastin.crystal.crystal import Crystal
    from fastin.network.network import InterstitialNetwork
    from fastin.transport.paths import TransportNetwork

NETWORK_FILES = (".net", ".json", ".vasp", ".cif")


def analyze_one(
    structure: Any,
    name: str,
    ion: str | None,
    radii: str,
    with_barriers: bool,
    threads: int | None,
    strict: bool = False,
    relaxed: Path | None = None,
) -> dict[str, Any]:
    """Network, barriers and descriptors of one structure, and relaxed barriers where a folder holds them.

    Returns:
        The row that ``--json`` prints, plus the result objects under ``_network`` and ``_grid``.
    """
    from fastin.bvse.barriers import compute_barriers
    from fastin.bvse.grid import compute_bvse
    from fastin.crystal.crystal import as_crystal
    from fastin.crystal.warnings import merge_warnings
    from fastin.network.network import compute_network

    start = time.perf_counter()
    crystal = as_crystal(structure)
    mobile = crystal.resolve_ion(ion)
    network = compute_network(crystal, mobile, radii=radii, strict=strict, num_threads=threads)
    network_ms = 1e3 * (time.perf_counter() - start)
    channels = network.channels(network.probe_radius)
    row: dict[str, Any] = {
        "source": name,
        "formula": crystal.formula,
        "space_group": crystal.space_group,
        "ion": mobile.symbol,
        "guest": mobile.guest,
        "ion_guessed": is_guessed(ion, mobile.symbol, mobile.warnings),
        "n_voids": len(network.site_radius),
        "n_bottlenecks": len(network.edge_length),
        "n_inequivalent_voids": len(set(network.site_orbit.tolist())),
        "n_inequivalent_bottlenecks": len(set(network.edge_orbit.tolist())),
        "free_sphere_radii_A": network.free_sphere_radii,
        "percolation_radii_A": network.percolation_radii,
        "largest_sphere_radius_A": network.largest_sphere_radius,
        "probe_radius_A": network.probe_radius,
        "channel_dimensionality": max((c.dimensionality for c in channels), default=0),
        "channels": [{"dimensionality": c.dimensionality, "n_sites": len(c.site_ids)} for c in channels],
        "recovery_rate": network.recovery() if len(network.mobile_frac) else None,
        "network_ms": network_ms,
    }
    notes = [*crystal.notes, *(n for n in network.notes if n not in crystal.notes)]
    row["_network"] = network
    warnings = merge_warnings(crystal.warnings, network.warnings)
    if with_barriers:
        start = time.perf_counter()
        try:
            grid = compute_bvse(crystal, mobile, strict=strict, num_threads=threads)
            barriers = compute_barriers(grid, num_threads=threads)
            columns, paths = _path_columns(crystal, network, grid, barriers, threads)
        except FastinError as error:
            # The network stands on its own; the missing energies are said, not hidden.
            row["barriers_error"] = {"type": type(error).__name__, "message": str(error)}
        else:
            row["barriers"] = {
                "e1d_eV": barriers.e1d,
                "e2d_eV": barriers.e2d,
                "e3d_eV": barriers.e3d,
                "convention": grid.convention,
                "zero": barriers.zero,
                "conduction_dimensionality_below_1eV": barriers.dimensionality(1.0),
            }
            row["paths"], row["_paths"] = columns, paths
            notes += [n for n in (*grid.notes, *barriers.notes) if n not in notes]
            warnings = merge_warnings(warnings, row["_paths"].warnings)
            row["_grid"] = grid
            row["barriers_ms"] = 1e3 * (time.perf_counter() - start)
    if relaxed is not None:
        row["relaxed"] = _relaxed(relaxed, crystal, mobile.symbol)
    row["notes"] = notes
    row["warnings"] = [warning.to_dict() for warning in warnings]
    return row


def _path_columns(
    crystal: Crystal, network: InterstitialNetwork, grid: EnergyGrid, barriers: Barriers, threads: int | None
) -> tuple[dict[str, Any], TransportNetwork]:
    """Sites, inequivalent hops and the activation energy of diffusion (300 to 600 K, mean over the axes)."""
    from fastin.transport.paths import join_network

    paths = join_network(crystal, network, grid, barriers, num_threads=threads)
    conducts = len(paths.conducting_sites) > 0
    columns = {
        "n_sites": len(paths.site_energy),
        "n_hops": len(paths.hop_energy),
        "n_inequivalent_hops": len(set(paths.hop_orbit.tolist())),
        "activation_energy_eV": paths.activation_energy(300.0, 600.0)[1] if conducts else None,
    }
    return columns, paths


def _relaxed(folder: Path, crystal: Crystal, ion: str) -> dict[str, Any] | None:
    """Barriers that fastin relax wrote into a folder; None where it holds none for this structure."""
    from fastin.relax.output import read_results

    if not (folder / "relaxed.json").is_file():
        return None
    found = read_results(folder, crystal, ion)
    return {
        "potential": found["potential"],
        **{f"e{d}d_eV": value for d, value in enumerate(found["barriers_eV"], 1)},
        **{f"rests_on_flags_{d}d": flags for d, flags in enumerate(found["rests_on_flags"], 1)},
    }


def _public(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if not k.startswith("_")}


def worker(
    ion: str | None,
    radii: str,
    barriers: bool,
    out: Path | None,
    strict: bool,
    block: str | None,
    relaxed: Path | None,
    num_threads: int,
) -> Callable[[tuple[Source, str]], dict[str, Any]]:
    """In a worker process: the function that analyzes one (path, stem), writes its files and returns its row."""
    import fastin.bvse.barriers
    import fastin.crystal.crystal
    import fastin.transport.paths  # noqa: F401 - no structure's time limit shall pay for imports

    options = {"ion": ion, "radii": radii, "with_barriers": barriers, "strict": strict, "threads": num_threads}
    return partial(_answer, out=out, block=block, relaxed=relaxed, options=options)


def _answer(
    item: tuple[Source, str], *, out: Path | None, block: str | None, relaxed: Path | None, options: dict[str, Any]
) -> dict[str, Any]:
    source, stem = item
    own = relaxed  # the folder of one structure, or one with a folder for each
    if relaxed is not None and not (relaxed / "relaxed.json").is_file():
        own = relaxed / stem
    try:
        structure = open_source(source, block=block, strict=options["strict"])
        row = analyze_one(structure, source.name, relaxed=own, **options)
        if out is not None:
            _write_files(row, out, stem)
    except (FastinError, OSError) as error:
        return _failed(source.name, {"type": type(error).__name__, "message": str(error)})
    return json_ready(_public(row))  # type: ignore[no-any-return]


def _failed(path: Path | str, error: dict[str, str]) -> dict[str, Any]:
    return {"source": str(path), "error": error}


def _write_files(row: dict[str, Any], folder: Path, stem: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in NETWORK_FILES:
        row["_network"].write(folder / f"{stem}.network{suffix}")
    if "_grid" in row:
        row["_grid"].write(folder / f"{stem}.bvse.cube")
    if "_paths" in row:
        (folder / f"{stem}.paths.json").write_text(dump_json(row["_paths"].to_dict()) + "\n", encoding="utf-8")
    (folder / f"{stem}.analysis.json").write_text(dump_json(_public(row)) + "\n", encoding="utf-8")


_COLUMNS = (
    Column("structure", "left", "left"),
    Column("formula", "left", "right"),
    Column("ion", "left"),
    Column("voids", wide=True),
    Column("bottle-\nnecks", wide=True),
    *(Column(f"R_{axis}\nÅ", wide=True) for axis in "abc"),
    Column("R_1D\nÅ"),
    Column("chan-\nnels"),
)
_ENERGIES = (
    *(Column(f"E_{d}D\neV") for d in (1, 2, 3)),
    Column("perco-\nlates"),
    Column("hop\nkinds", wide=True),
    Column("E_a\neV"),
)


def _relaxed_columns(rows: list[dict[str, Any]]) -> tuple[Column, ...]:
    """E_1D and E_3D by the potential; none where no row has any."""
    names = dict.fromkeys(row["relaxed"]["potential"] for row in rows if row.get("relaxed"))
    if not names:
        return ()
    name = next(iter(names))
    if len(names) > 1 or len(name) > 9:
        name = "relaxed"
    return tuple(Column(f"E_{d}D\n({name})", wide=d == 2) for d in (1, 2, 3))


def _relaxed_texts(found: dict[str, Any] | None) -> list[str]:
    """A barrier with * rests on flags."""
    if not found:
        return [""] * 3
    return [number(found[f"e{d}d_eV"]) + ("*" if found[f"rests_on_flags_{d}d"] else "") for d in (1, 2, 3)]


def _relaxed_legend(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    names = dict.fromkeys(row["relaxed"]["potential"] for row in rows if row.get("relaxed"))
    if names:
        lines.append(
            f"E (relaxed): percolation barriers of legs relaxed with {', '.join(names)}, eV; *: rests on flags."
        )
    for row in rows:
        flags = [f for d in (1, 2, 3) for f in (row.get("relaxed") or {}).get(f"rests_on_flags_{d}d", ())]
        if flags:
            lines.append(f"{Path(row['source']).name} *: {', '.join(dict.fromkeys(flags))}")
    return lines


def _texts(row: dict[str, Any], label: str, with_barriers: bool, with_relaxed: bool = False) -> list[str]:
    if "error" in row:
        return [label, row["error"]["type"]]
    cells = [label, row["formula"], ion_mark(row) + warning_mark(row["warnings"])]
    cells += [str(row["n_voids"]), str(row["n_bottlenecks"])]
    cells += [number(r) for r in row["free_sphere_radii_A"]]
    cells += [number(row["percolation_radii_A"][0])]
    cells.append(f"{row['channel_dimensionality']}D" if row["channel_dimensionality"] else "none")
    if with_barriers:
        barriers = row.get("barriers")
        if barriers is None:
            cells += ["?"] * 6
        else:
            cells += [number(barriers[k]) for k in ("e1d_eV", "e2d_eV", "e3d_eV")]
            d = barriers["conduction_dimensionality_below_1eV"]
            cells.append(f"{d}D" if d else "no")
            cells += [str(row["paths"]["n_inequivalent_hops"]), number(row["paths"]["activation_energy_eV"])]
    if with_relaxed:
        cells += _relaxed_texts(row.get("relaxed"))
    cells.append(number(row["network_ms"] + row.get("barriers_ms", 0.0), 1))
    return [*cells, warning_cell(row["warnings"])]


def flat_row(row: dict[str, Any], label: str) -> dict[str, Any]:
    """The row for ``--csv``, under the names of a results table."""
    if "error" in row:
        return {"id": label, "error_type": row["error"]["type"], "error_message": row["error"]["message"]}
    inf = float("inf")
    barriers, paths = row.get("barriers"), row.get("paths") or {}
    flat: dict[str, Any] = {"id": label, "source": row["source"], "formula": row["formula"], "ion": row["ion"]}
    flat |= {"space_group": row["space_group"], "voids": row["n_voids"], "bottlenecks": row["n_bottlenecks"]}
    flat |= {f"free_sphere_radius_{axis}_A": r for axis, r in zip("abc", row["free_sphere_radii_A"], strict=True)}
    flat |= {f"percolation_radius_{d}d_A": row["percolation_radii_A"][d - 1] for d in (1, 2, 3)}
    flat["channel_dimensionality"] = row["channel_dimensionality"]
    if barriers is not None:  # null in JSON is an ion that cannot percolate
        energies = (barriers[f"e{d}d_eV"] for d in (1, 2, 3))
        flat |= {f"barrier_{d}d_network_eV": inf if e is None else e for d, e in enumerate(energies, 1)}
        flat["inequivalent_hops"] = paths.get("n_inequivalent_hops")
        flat["kinetic_activation_energy_eV"] = paths.get("activation_energy_eV")
    if row.get("relaxed"):
        held = row["relaxed"]
        flat |= {f"relaxed_barrier_{d}d_eV": inf if (e := held[f"e{d}d_eV"]) is None else e for d in (1, 2, 3)}
        rests = dict.fromkeys(flag for d in (1, 2, 3) for flag in held[f"rests_on_flags_{d}d"])
        flat |= {"relaxed_flags": ",".join(rests), "relaxed_potential": held["potential"]}
    flat["warnings"] = [w["code"] for w in row["warnings"]]
    if "barriers_error" in row:
        flat |= {"error_type": row["barriers_error"]["type"], "error_message": row["barriers_error"]["message"]}
    return flat


def _legend(rows: list[dict[str, Any]], with_barriers: bool) -> str:
    lines = [
        "R_1D: radius of the largest sphere that travels through the framework (--wide: R_a, R_b, R_c along the axes);",
        "channels: largest dimension of the voids connected for the ion's own probe sphere (CAVD's threshold).",
    ]
    if with_barriers:
        done = next((r["barriers"] for r in rows if "barriers" in r), None)
        if done is not None:
            lines.append(
                f"E_1D, E_2D, E_3D: bond valence site energy percolation barriers ({done['convention']} convention, "
                f"zero: {done['zero']}); '-': cannot percolate in that many dimensions; percolates: below 1 eV."
            )
            lines.append("E_a: activation energy of diffusion over all inequivalent hops, 300 to 600 K.")
    lines += _relaxed_legend(rows)
    lines += ion_legend(rows)
    return "\n".join(textwrap.fill(line, WIDTH) for line in lines)


@click.command("analyze")
@click.argument("files", nargs=-1, type=click.Path(path_type=str))
@click.option("--demo", is_flag=True, help="Run on the bundled example crystals.")
@ion_option
@radii_option
@click.option("--barriers/--no-barriers", default=True, show_default=True, help="BVSE percolation barriers.")
@json_option
@click.option(
    "--relaxed",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of fastin relax -o, or one that holds such a folder named after each FILE: its barriers beside.",
)
@click.option(
    "-o", "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for network, grid and JSON files."
)
@notes_option
@strict_option
@block_option
@wide_option
@csv_option
@threads_option
@limits
def command(
    files: tuple[str, ...],
    demo: bool,
    ion: str | None,
    radii: str,
    barriers: bool,
    as_json: bool,
    relaxed: Path | None,
    out: Path | None,
    show_notes: bool,
    strict: bool,
    block: str | None,
    wide: bool,
    as_csv: bool,
    threads: int | None,
    time_limit: float,
    memory: int | None,
) -> None:
    """Voids, bottlenecks, channels and migration barriers of each structure FILE (CIF, POSCAR, or a folder of them)."""
    sources = expand_sources(files)
    if demo:
        from fastin.crystal.examples import examples

        sources += [Source(str(path), name, path) for name, path in examples().items()]
    paths, labels = [Path(source.name) for source in sources], [source.label for source in sources]
    if not paths:
        raise click.UsageError("name at least one FILE, or use --demo")
    items = list(zip(sources, unique_stems(Path(label) for label in labels), strict=True))
    given = {
        "ion": ion,
        "radii": radii,
        "barriers": barriers,
        "out": out,
        "strict": strict,
        "block": block,
        "relaxed": relaxed,
    }
    answers, interrupted = _run(items, given, Limits(time_limit, memory, threads))
    done = [k for k, answer in enumerate(answers) if answer is not None]
    rows = [
        _failed(paths[k], error_of(paths[k], answers[k])) if isinstance(answers[k], Failure) else answers[k]
        for k in done
    ]
    if as_json:
        click.echo(dump_json(rows))
    elif as_csv:
        print_csv(flat_row(row, labels[k]) for k, row in zip(done, rows, strict=True))
    else:
        _print(rows, [labels[k] for k in done], barriers, out, show_notes, wide)
    failed = _print_errors(rows, as_json)
    leave(failed, interrupted, len(done), len(paths))


def _run(items: list[Any], given: dict[str, Any], limits: Limits) -> tuple[list[Any], bool]:
    """The rows, behind a progress bar where somebody looks."""
    errors = stderr_console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    quiet = not errors.is_terminal or len(items) < 3
    with Progress(*columns, console=errors, transient=True, disable=quiet) as progress:
        task = progress.add_task("analyzing", total=len(items))
        return run_batch(
            "fastin.cli.analyze:worker", items, given, limits, lambda done: progress.update(task, completed=done)
        )


def _print(
    rows: list[dict[str, Any]], labels: list[str], barriers: bool, out: Path | None, show_notes: bool, wide: bool
) -> None:
    console = stdout_console()
    computed = any("error" not in row for row in rows)
    beside = _relaxed_columns(rows)
    columns = (*_COLUMNS, *(_ENERGIES if barriers else ()), *beside, Column("time\nms", wide=True))
    if any(row.get("warnings") for row in rows):
        columns = (*columns, WARNING_COLUMN)
    if computed:
        print_table(
            columns,
            [_texts(r, label, barriers, bool(beside)) for r, label in zip(rows, labels, strict=True)],
            wide=wide,
        )
        console.print(_legend(rows, barriers), style="dim", soft_wrap=True)
    if out is not None and computed:
        console.print(f"files written to {escape(str(out))}", style="dim")
    for row in rows:
        print_warnings(Path(row["source"]).name, row.get("warnings", ()), show_notes)
    for row in rows if show_notes else ():
        for note in row.get("notes", ()):
            console.print(f"{escape(Path(row['source']).name)}: {escape(note)}", style="dim")


def _print_errors(rows: list[dict[str, Any]], as_json: bool) -> bool:
    """One line an error; True where there was one."""
    errors = stderr_console()
    failed = False
    for row in rows:
        if "error" in row:
            failed = True
            text = escape(row["error"]["message"])
            errors.print(f"[red]{escape(row['error']['type'])}[/red] {text}", soft_wrap=True)
    for row in rows:
        if "barriers_error" in row:
            failed = True
            if not as_json:
                problem = row["barriers_error"]
                text = escape(problem["message"])
                errors.print(f"[yellow]{problem['type']}[/yellow] no barriers: {text}", soft_wrap=True)
    return failed

"""``fastin paths``."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.markup import escape
from rich.table import Table

from fastin.cli._batch import Limits, complain, failed_row, limits, run_one
from fastin.cli._common import (
    Finite,
    block_option,
    dump_json,
    ion_option,
    ion_text,
    is_guessed,
    json_option,
    number,
    stderr_console,
    stdout_console,
    strict_option,
    threads_option,
    warning_cell,
)
from fastin.cli._table import print_text
from fastin.errors import FastinError, InputError
from fastin.transport.doubts import kinetic_doubts

if TYPE_CHECKING:
    from fastin.transport.paths import TransportNetwork

# Relative error of a simulated conductivity that --simulate takes more moves for.
_PRECISION = 0.2


_DIMENSIONS = ("1d", "2d", "3d")


def _check_hop(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None or value.lower() in (*_DIMENSIONS, "all") or value.isdecimal():
        return value if value is None else value.lower()
    raise click.BadParameter(f"{value!r} is neither a hop's number nor 1d, 2d, 3d or all", param=parameter)


def _kinetics(paths: TransportNetwork, temperature: float, prefactor: float) -> dict[str, Any] | None:
    """Diffusivity, conductivity and activation energy; None where nothing percolates below the cutoff."""
    if not len(paths.conducting_sites):
        return None
    model = paths.hop_model(prefactor)
    d = paths.diffusivity(temperature, prefactor=prefactor)
    along, mean = paths.activation_energy(temperature, 1.5 * temperature)
    out: dict[str, Any] = {
        "temperature_K": temperature,
        "prefactor_Hz": prefactor,
        "diffusivity_cm2_per_s": d,
        "diffusivity_along_abc_cm2_per_s": model.along(d),
        "activation_energy_xyz_eV": along,
        "activation_energy_eV": mean,
    }
    if len(paths.positions):
        out["ions_counted"] = paths.conducting_ions
        sigma = paths.conductivity(temperature, prefactor=prefactor)
        out["conductivity_S_per_cm"] = sigma
        out["conductivity_mean_S_per_cm"] = float(np.trace(sigma)) / 3
    full, said = kinetic_doubts(paths, temperature, float(np.trace(d)) / 3)
    out["needs_vacancies"], out["doubts"] = full, list(said)
    return out


def _print(shown: dict[str, Any], row: dict[str, Any]) -> None:
    console = stdout_console()
    print_text(shown["title"], "  ")
    console.print(f"mobile ion {ion_text(row)}")
    if row["warnings"]:
        console.print(f"warnings: {warning_cell(row['warnings'])}", markup=False)
    console.print(f"energies above the lowest site; cutoff {shown['cutoff']:.2f} eV\n")
    sites = Table(
        box=None, header_style="bold", pad_edge=False, title="sites, one a symmetry class", title_justify="left"
    )
    for name in ("class", "in\ncell", "Wyckoff", "energy\neV", "clearance\nÅ", "frac\na", "\nb", "\nc"):
        sites.add_column(name, justify="right")
    sites.add_column("ions on it")
    for s in row["site_classes"]:
        what = f"{s['occupancy']:.2f} {shown['ion']}" if s["crystallographic"] else "vacant"
        sites.add_row(
            str(s["class"]),
            str(s["multiplicity"]),
            s["wyckoff"],
            number(s["energy_eV"], 3),
            number(s["radius_A"], 3),
            *(number(v, 4) for v in s["frac"]),
            what,
        )
    hops = Table(box=None, header_style="bold", pad_edge=False, title="inequivalent hops", title_justify="left")
    for name in ("class", "in cell", "sites", "barrier eV", "back eV", "length Å", "clearance Å", "path", "hop"):
        hops.add_column(name, justify="right")
    for h in row["hop_classes"]:
        hops.add_row(
            str(h["class"]),
            str(h["multiplicity"]),
            "{} - {}".format(*h["site_classes"]),
            number(h["barrier_forward_eV"], 3),
            number(h["barrier_backward_eV"], 3),
            number(h["length_A"]),
            number(h["bottleneck_radius_A"], 3),
            f"{h['dimensions']}D" if h["dimensions"] else "",
            str(h["hop"]),
        )
    console.print(sites)
    console.print()
    console.print(hops)
    console.print()
    if row["legs"]:
        _print_legs(row["legs"])
    for d, path in row["paths"].items():
        along = " ".join(map(str, path["translation"]))
        console.print(
            f"{d.upper()} path along \\[{along}]: {len(path['hops'])} hops, {path['length_A']:.2f} Å, "
            f"barrier {path['barrier_eV']:.3f} eV"
        )
    if shown["shared"]:
        print_text(shown["shared"], "  ")
    if not row["paths"]:
        console.print("no path percolates below the cutoff (raise --cutoff-energy to see the hops)")
    _print_kinetics(row["kinetics"])


def _print_kinetics(kinetics: dict[str, Any] | None) -> None:
    if kinetics is None:
        return
    d = ", ".join(f"{v:.2e}" for v in kinetics["diffusivity_along_abc_cm2_per_s"])
    text = f"independent ions (dilute limit) at {kinetics['temperature_K']:.0f} K: D along a, b, c {d} cm²/s"
    if "conductivity_mean_S_per_cm" in kinetics:
        decade = kinetics["conductivity_mean_S_per_cm"]
        said = f"of the order of 1e{round(math.log10(decade)):d} S/cm" if decade > 0 else "none"
        if kinetics["needs_vacancies"] and decade > 0:
            said += " times the share of vacancies"
        text += f", conductivity {said} ({kinetics['ions_counted']:g} ions a cell)"
    print_text(f"{text}, effective activation energy {number(kinetics['activation_energy_eV'], 3)} eV", "  ")
    for doubt in kinetics["doubts"]:
        print_text(f"  note: {doubt}", "  ")


def _print_legs(legs: list[dict[str, Any]]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False, title_justify="left")
    table.title = f"inequivalent legs by {legs[0]['mechanism']}"
    for name in ("leg", "places", "barrier eV", "back eV", "length Å", "in cell", "hops", "opens"):
        table.add_column(name, justify="right")
    for k, leg in enumerate(legs):
        table.add_row(
            str(k),
            " - ".join(leg["places"]),
            number(leg["barrier_eV"], 3),
            number(leg["barrier_backward_eV"], 3),
            number(leg["length_A"]),
            str(leg["multiplicity"]),
            " ".join(map(str, leg["hops"])),
            " ".join(f"{d}D" for d in leg["opens"]),
        )
    console = stdout_console()
    console.print(table)
    console.print()


def _shared(paths: TransportNetwork) -> str | None:
    """Barriers with the shared positions blocked; None where no position is shared."""
    if all(w.code != "ion-shared-site" for w in paths.warnings):
        return None
    drawn = np.median(paths.blocked_barriers(), axis=0)
    said = ", ".join(f"{d}D {number(v, 3)} eV" if np.isfinite(v) else f"{d}D shut in" for d, v in enumerate(drawn, 1))
    return f"with the shared positions blocked at random (median of 9 draws): {said}"


def _simulation(paths: TransportNetwork, temperature: float, prefactor: float, threads: int | None) -> dict[str, Any]:
    """A kinetic Monte Carlo run, or why there is none: everything else is printed nevertheless."""
    try:
        run = paths.simulate(temperature, prefactor=prefactor, precision=_PRECISION, num_threads=threads)
    except FastinError as error:
        return {"error": str(error)}
    return run.to_dict()


def _print_simulation(run: dict[str, Any]) -> None:
    console = stdout_console()
    mean_field = float(np.trace(run["mean_field_conductivity"])) / 3
    console.print(f"\nlattice gas at {run['temperature']:g} K, {run['ions']} ions on {run['sites']} sites:")
    if run["events"]:  # else the notes say why nothing moves: zeros would look like a result
        console.print(f"  mean field: conductivity {mean_field:.2e} S/cm")
        print_text(
            f"  kinetic Monte Carlo, {run['events']} moves: conductivity {run['mean_conductivity']:.2e} +- "
            f"{run['mean_conductivity_error']:.1e} S/cm, tracer D {run['mean_tracer']:.2e} +- "
            f"{run['mean_tracer_error']:.1e} cm²/s, Haven ratio {run['haven']:.2f} +- {run['haven_error']:.2f}",
            "  ",
        )
    for note in run["notes"]:
        print_text(f"  note: {note}", "  ")


def _neb(
    paths: TransportNetwork, hop: str, folder: Path, images: int, supercell: float | None, mechanism: str | None
) -> list[str]:
    """Writes the images; says what it wrote."""
    from fastin.transport.neb import neb_chain
    from fastin.transport.neb_files import write_chain, write_legs

    if hop == "all":
        written, refused = write_legs(paths, folder, images, supercell=supercell, mechanism=mechanism)
        said = [
            f"leg {k}: {escape(chain.describe())}: {escape(str(files[0].parent.parent))}"
            for k, (chain, files) in written.items()
        ]
        said += [f"[yellow]leg {k} left out[/yellow]: {escape(str(error))}" for k, error in refused.items()]
        if not written:
            raise InputError(f"{paths.source}: no chain could be written")
        return said
    chain = neb_chain(paths, hop if hop in _DIMENSIONS else int(hop), images, supercell=supercell, mechanism=mechanism)
    files = write_chain(chain, folder, f"{paths.source} hop {hop}")
    return [f"wrote {len(files)} file(s): {escape(str(files[0]))} ...: {escape(chain.describe())}"]


def worker(num_threads: int, **given: Any) -> Callable[[Path], dict[str, Any]]:
    """In a worker process: `_answer` with all but the path, which writes its files and returns what is shown."""
    import fastin.transport.paths  # noqa: F401 - no structure's time limit shall pay for imports

    return partial(_answer, threads=num_threads, **given)


def _answer(
    path: Path,
    *,
    ion: str | None,
    options: dict[str, Any],
    block: str | None,
    kinetics: tuple[float, float],
    mechanism: str | None,
    simulate: bool,
    files: dict[str, Path],
    neb: dict[str, Any] | None,
    threads: int,
) -> dict[str, Any]:
    from fastin.crystal.crystal import Crystal
    from fastin.transport.neb import default_mechanism
    from fastin.transport.paths import compute_paths

    try:
        crystal = Crystal.from_file(path, block=block, strict=options["strict"])
        paths = compute_paths(crystal, ion, num_threads=threads, **options)
        row = paths.to_dict()
        row["ion_guessed"] = is_guessed(ion, paths.ion.symbol, paths.ion.warnings)
        row["legs"] = [leg.to_dict() for leg in paths.legs(default_mechanism(paths, mechanism))]
        row["kinetics"] = _kinetics(paths, *kinetics)
        if simulate:
            row["simulation"] = _simulation(paths, *kinetics, threads)
        shown = {"title": repr(paths), "cutoff": paths.energy_cutoff, "ion": paths.ion.symbol, "shared": _shared(paths)}
    except (FastinError, OSError) as error:
        return failed_row(path, error)
    said: list[str] = []
    failed: list[dict[str, str]] = []  # the table is printed whatever becomes of the files

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except (FastinError, OSError) as error:
            failed.append({"type": type(error).__name__, "message": str(error)})

    for what, target in files.items():
        if what == "json":
            attempt(partial(target.write_text, dump_json(row) + "\n", encoding="utf-8"))
        else:
            attempt(partial(paths.write, target, what=what, mechanism=mechanism, temperature=kinetics[0]))
    if neb is not None:
        attempt(lambda: said.extend(_neb(paths, mechanism=mechanism, **neb)))
    if simulate and "error" in row["simulation"]:
        failed.append({"type": "InputError", "message": row["simulation"]["error"]})
    said += [f"[yellow]{warning.code}[/yellow]: {escape(str(warning))}" for warning in paths.warnings]
    return {"row": row, "shown": shown, "said": said, "failed": failed}


@click.command("paths")
@click.argument("file", type=click.Path(path_type=Path))
@ion_option
@click.option("--cutoff-energy", type=float, help="Keep sites and hops up to this energy, eV.")
@click.option("--convention", type=click.Choice(["spse", "bvlain", "softbv"]), default="spse", show_default=True)
@click.option(
    "--resolution",
    type=Finite(0.0, 1.0, min_open=True),
    default=0.2,
    show_default=True,
    help="Spacing of the energy grid, Å; above 0.5 the barriers carry a warning.",
)
@click.option("--temperature", type=float, default=300.0, show_default=True, help="K, of the kinetics.")
@click.option("--prefactor", type=float, default=1e13, show_default=True, help="Attempt frequency, Hz.")
@click.option(
    "--neb",
    metavar="HOP",
    callback=_check_hop,
    help="Write NEB images of the leg over this hop (last column of its table), of a path's hardest leg (1d, 2d, 3d) "
    "or of all inequivalent legs.",
)
@click.option(
    "--mechanism",
    type=click.Choice(["vacancy", "interstitial", "exchange"]),
    help="Of the legs and the NEB images; default: vacancy, interstitial for a guest.",
)
@click.option(
    "--neb-out",
    type=click.Path(path_type=Path),
    default=Path("neb"),
    show_default=True,
    help="Folder for POSCARs, or a .extxyz file.",
)
@click.option("--images", type=click.IntRange(min=1), default=5, show_default=True, help="Images between the ends.")
@click.option("--supercell", type=float, help="Smallest distance between images of the ion in the NEB cell, Å.")
@click.option("--profile", type=click.Path(path_type=Path), help="CSV of the energy along the cheapest paths.")
@click.option("--legs-out", type=click.Path(path_type=Path), help="CSV of the legs.")
@click.option("--kmcpy", "kmcpy", type=click.Path(path_type=Path), help="Folder for the input of a kMCpy run.")
@click.option("--simulate", is_flag=True, help="Kinetic Monte Carlo at the crystal's own content, at --temperature.")
@json_option
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write the JSON, with sites, hops and profiles.")
@strict_option
@block_option
@threads_option
@limits
def command(
    file: Path,
    ion: str | None,
    cutoff_energy: float | None,
    convention: str,
    resolution: float,
    temperature: float,
    prefactor: float,
    neb: str | None,
    mechanism: str | None,
    neb_out: Path,
    images: int,
    supercell: float | None,
    profile: Path | None,
    legs_out: Path | None,
    kmcpy: Path | None,
    simulate: bool,
    as_json: bool,
    out: Path | None,
    strict: bool,
    block: str | None,
    threads: int | None,
    time_limit: float,
    memory: int | None,
) -> None:
    """Sites, inequivalent hops and legs, percolating paths of FILE with energies; hop kinetics; NEB images."""
    options = {
        "energy_cutoff": cutoff_energy,
        "convention": convention,
        "resolution": resolution,
        "strict": strict,
    }
    targets = {"json": out, "profile": profile, "legs": legs_out, "kmcpy": kmcpy}
    given = {
        "ion": ion,
        "options": options,
        "block": block,
        "kinetics": (temperature, prefactor),
        "mechanism": mechanism,
        "simulate": simulate,
        "files": {what: target for what, target in targets.items() if target is not None},
        "neb": None if neb is None else {"hop": neb, "folder": neb_out, "images": images, "supercell": supercell},
    }
    answer = run_one("fastin.cli.paths:worker", file, file, given, Limits(time_limit, memory, threads))
    row = answer["row"]
    for line in answer["said"]:
        stderr_console().print(line, soft_wrap=True)
    if as_json:
        click.echo(dump_json(row))
    else:
        _print(answer["shown"], row)
        if simulate and "error" not in row["simulation"]:
            _print_simulation(row["simulation"])
    for failure in answer["failed"]:
        complain(failure)
    sys.exit(1 if answer["failed"] else 0)

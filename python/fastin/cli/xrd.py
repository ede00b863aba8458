"""``fastin xrd``: powder pattern of a structure; classification and ranking by pattern."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.markup import escape
from rich.table import Table

from fastin import errors
from fastin.cli._batch import Limits, error_of, failed_row, leave, limits, run_batch, run_one
from fastin.cli._common import dump_json, stderr_console, stdout_console
from fastin.cli._table import Column, csv_option, print_csv, print_table, wide_option
from fastin.cli._verdict import flat, print_ranking, print_verdicts, share
from fastin.errors import FastinError, InputError, missing_extra
from fastin.runtime.isolate import Failure

#: Measurements that reach so far (2 theta of Cu K-alpha) shift probabilities by 0.04 (root mean square over 120 known
#: patterns) and change no class; those up to 60 degrees shift them by 0.13.
_COVERED = (12.0, 78.0)


class _PatternGroup(click.Group):
    """``fastin xrd FILE`` is ``fastin xrd pattern FILE``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            close = difflib.get_close_matches(args[0], list(self.commands), n=1)
            if close and not Path(args[0]).exists():
                raise click.UsageError(f"No such command or file {args[0]!r}. Did you mean {close[0]!r}?", ctx)
            args = ["pattern", *args]
        return super().parse_args(ctx, args)


_HELP = """Powder pattern of a structure (fastin xrd FILE); superionic classification of patterns.

\b
fastin xrd FILE               table of the strongest peaks
fastin xrd classify FILE...   probability of superionic conduction,
                              from structures or measured patterns
fastin xrd rank SET           candidates among many structures
"""


@click.group("xrd", cls=_PatternGroup, help=_HELP)
def command() -> None:
    """Powder pattern of a structure; superionic classification of patterns."""


def _range(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, float]:
    try:
        start, stop = (float(part) for part in value.split(":"))
    except ValueError:
        raise click.BadParameter("give START:STOP in degrees, e.g. 10:80") from None
    return start, stop


def _columns(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter("give numbers of columns, e.g. 1,3") from None


def _wavelength(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def peaks_worker(num_threads: int, **given: Any) -> Callable[[Path], dict[str, Any]]:
    """In a worker process: the function that takes one path, writes its pattern and returns its peaks."""
    import fastin.xrd.pattern  # noqa: F401 - no file's time limit shall pay for imports

    return partial(_peaks, **given)


def _peaks(
    path: Path, options: dict[str, Any], shape: dict[str, Any], out: Path | None, plot: Path | None
) -> dict[str, Any]:
    from fastin.xrd.pattern import scattering_atoms, xrd_pattern, xrd_peaks

    try:
        atoms = scattering_atoms(path)
        found = xrd_peaks(atoms, **options)
        angles, intensity = xrd_pattern(atoms, **options, **shape)
        if out is not None:
            np.savetxt(out, np.column_stack([angles, intensity]), fmt=("%.5f", "%.6g"))
        if plot is not None:
            _plot(plot, angles, intensity, found, path.name, sticks=shape["fwhm"] is None)
    except (FastinError, OSError) as error:
        return failed_row(path, error)
    return {"peaks": found}


@command.command("pattern")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--wavelength", default="CuKa", show_default=True, help="Name (CuKa, MoKa1, ...) or angstrom.")
@click.option("--range", "two_theta", default="0:90", show_default=True, callback=_range, help="2 theta, degrees.")
@click.option("--step", default=0.02, show_default=True, help="Degrees.")
@click.option("--fwhm", type=float, help="Peak width, degrees; default: sticks.")
@click.option(
    "--shape", type=click.Choice(["gaussian", "lorentzian", "pseudo-voigt"]), default="pseudo-voigt", show_default=True
)
@click.option("--debye-waller", type=float, help="Isotropic B of every atom, angstrom^2.")
@click.option("--peaks", default=20, show_default=True, help="Strongest peaks in the table.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write the pattern as two columns (.xy).")
@click.option("--plot", type=click.Path(path_type=Path), help="Write a figure (.png, .pdf, .svg).")
@click.option("--json", "as_json", is_flag=True, help="Every peak as JSON.")
@limits
def pattern(
    file: Path,
    wavelength: str,
    two_theta: tuple[float, float],
    step: float,
    fwhm: float | None,
    shape: str,
    debye_waller: float | None,
    peaks: int,
    out: Path | None,
    plot: Path | None,
    as_json: bool,
    time_limit: float,
    memory: int | None,
) -> None:
    """Peaks of a structure as a table; the pattern as a file or figure."""
    options = {"wavelength": _wavelength(wavelength), "two_theta": two_theta, "debye_waller": debye_waller}
    given = {"options": options, "shape": {"step": step, "fwhm": fwhm, "shape": shape}, "out": out, "plot": plot}
    found = run_one("fastin.cli.xrd:peaks_worker", file, file, given, Limits(time_limit, memory, None))["peaks"]
    if as_json:
        rows = [
            {
                "two_theta_deg": float(found.two_theta[i]),
                "intensity": float(found.intensity[i]),
                "d_A": float(found.spacing[i]),
                "hkl": found.hkl[i].tolist(),
                "multiplicity": int(found.multiplicity[i]),
            }
            for i in range(len(found))
        ]
        click.echo(dump_json({"file": str(file), "wavelength_A": found.wavelength, "peaks": rows}))
        return
    table = Table(
        box=None, header_style="bold", title=f"{file.name}, wavelength {found.wavelength:g} A", pad_edge=False
    )
    for name in ("2 theta", "intensity", "d (A)", "h k l", "multiplicity"):
        table.add_column(name, justify="right")
    strongest = np.sort(np.argsort(-found.intensity, kind="stable")[:peaks])
    for i in strongest.tolist():
        hkl = " ".join(str(x) for x in found.hkl[i].tolist())
        values = (f"{found.two_theta[i]:.3f}", f"{100 * found.intensity[i]:.2f}", f"{found.spacing[i]:.4f}")
        table.add_row(*values, hkl, str(int(found.multiplicity[i])))
    stdout_console().print(table)
    if len(found) > len(strongest):
        stdout_console().print(f"{len(found)} peaks in all (--peaks, --json)")


def _plot(path: Path, angles: Any, intensity: Any, peaks: Any, source: str, *, sticks: bool) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", "view") from None
    from fastin.view.plots import plot_peaks

    figure = Figure(figsize=(8, 3.5), layout="constrained")
    profile = None if sticks else (angles, intensity)
    plot_peaks(peaks, figure.add_subplot(), source=source, profile=profile, two_theta=(angles[0], angles[-1]))
    try:
        figure.savefig(path, dpi=200)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot write the figure ({error})") from None


def _model(path: Path | None) -> Any:
    from fastin.xrd.match import XRDMatch

    return XRDMatch.pretrained() if path is None else XRDMatch.load(path)


def pattern_worker(num_threads: int, **given: Any) -> Callable[[Path], tuple[Any, dict[str, float] | None, list[str]]]:
    """In a worker process: the function that turns one file into what `verdict` needs of it."""
    import fastin.xrd.measured
    import fastin.xrd.pattern  # noqa: F401 - no file's time limit shall pay for imports

    return partial(_input_pattern, **given)


def _input_pattern(
    path: Path,
    wavelength: str | None,
    background: float | None,
    k_alpha2: str | None,
    formula: str | None,
    reading: dict[str, Any],
) -> tuple[Any, dict[str, float] | None, list[str]]:
    """(4501,) pattern of a structure file or of a measurement, by suffix; the composition if known; what is missing."""
    from fastin.crystal.elements import symbol
    from fastin.ml.formula import parse_formula
    from fastin.xrd.measured import PATTERN_SUFFIXES, convert_wavelength, prepare_measured, read_pattern
    from fastin.xrd.pattern import resolve_wavelength, scattering_atoms, xrd_pattern

    stated_amounts = None if formula is None else parse_formula(formula)
    if path.suffix.lower() not in PATTERN_SUFFIXES:
        atoms = scattering_atoms(path)
        own = {symbol(int(z)): float(atoms.occupancy[atoms.number == z].sum()) for z in np.unique(atoms.number)}
        return xrd_pattern(atoms)[1], stated_amounts or own, []
    recorded = read_pattern(path, **reading)
    reasons = [f"is read so: {remark}" for remark in recorded.remarks]
    radiation: str | float = "CuKa" if recorded.wavelength is None else recorded.wavelength
    if wavelength is not None and recorded.absolute:
        reasons.append("gives Q or d, which need no wavelength: --wavelength is not used")
    elif wavelength is not None:
        radiation = _wavelength(wavelength)
        stated, given = recorded.wavelength, resolve_wavelength(radiation)
        if stated is not None and abs(stated - given) > 0.01 * given:
            reasons.append(f"states a wavelength of {stated:.5g} A; --wavelength {given:.5g} A is used")
    elif recorded.wavelength is None:
        reasons.append("states no wavelength: that of Cu K-alpha is taken (--wavelength)")
    measured = prepare_measured(recorded, wavelength=radiation, background_width=background, k_alpha2=k_alpha2)
    start, stop = convert_wavelength(recorded, radiation).two_theta[[0, -1]]
    if start > _COVERED[0] or stop < _COVERED[1]:
        reasons.append(
            f"covers {start:.4g} to {stop:.4g} degrees of Cu K-alpha; the model reads 5 to 90, the rest counts as empty"
        )
    return measured, stated_amounts, reasons


@command.command("classify")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", "model_path", type=click.Path(path_type=Path), help="Trained model; default: the shipped one.")
@click.option("--wavelength", help="Of measured patterns: name or angstrom.  [default: the file's own, else CuKa]")
@click.option("--x", "axis", help="First axis of measured patterns: 2theta, theta, Q, Q-nm, d, d-nm.")
@click.option("--columns", callback=_columns, help="Columns of angle, intensity (and uncertainty), e.g. 1,3.")
@click.option("--decimal", type=click.Choice([".", ","]), help="Decimal mark of measured patterns.")
@click.option("--background", default=2.0, show_default=True, help="Width for the background, degrees; 0: none.")
@click.option("--k-alpha2", "k_alpha2", help="Anode whose K-alpha2 part is removed from measured patterns, e.g. Cu.")
@click.option("--formula", help="Composition of a measured sample: it knows more than the pattern does.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@wide_option
@csv_option
@limits
def classify(
    files: tuple[Path, ...],
    model_path: Path | None,
    wavelength: str | None,
    axis: str | None,
    columns: tuple[int, ...] | None,
    decimal: str | None,
    background: float,
    k_alpha2: str | None,
    formula: str | None,
    as_json: bool,
    wide: bool,
    as_csv: bool,
    time_limit: float,
    memory: int | None,
) -> None:
    """Probability of superionic conduction of structures (CIF, POSCAR) or measured patterns (.xy, .xye, .csv).

    Where the composition is known (a structure, --formula), the class comes from pattern and formula together, or from
    the measurement of that very compound; the formula alone knows about as much. Without it, from the pattern alone.
    Materials without lithium or with elements that no training material holds, and patterns unlike all labelled ones,
    are out of domain: no class. --wide shows whether a screening for four true conductors of five would take it.
    """
    from fastin.verdict import verdict

    rows: list[dict[str, Any]] = []
    failed = False
    try:
        model = _model(model_path)
    except FastinError as error:
        stderr_console().print(f"[red]{escape(str(error))}[/red]")
        sys.exit(2)
    given = {
        "wavelength": wavelength,
        "background": background or None,
        "k_alpha2": k_alpha2,
        "formula": formula,
        "reading": {"x": axis, "columns": columns, "decimal": decimal},
    }
    answers, interrupted = run_batch("fastin.cli.xrd:pattern_worker", files, given, Limits(time_limit, memory, None))
    for path, answer in zip(files, answers, strict=True):
        if answer is None:
            continue
        if isinstance(answer, Failure):
            failed = True
            own = issubclass(getattr(errors, answer.kind, Failure), FastinError)
            rows.append({"file": str(path), "error": answer.message if own else _lost(path, answer)})
        else:
            rows.append(verdict(model, path, *answer))
    if as_json:
        click.echo(dump_json(rows))
    elif as_csv:
        print_csv(flat(row) for row in rows)
    else:
        print_verdicts(rows, wide=wide)
    leave(failed, interrupted, len(rows), len(files))


def _lost(path: Path, failure: Failure) -> str:
    error = error_of(path, failure)
    return f"{error['type']}: {error['message']}"


@command.command("rank")
@click.argument("unlabelled", type=click.Path(path_type=Path))
@click.option("--labelled", type=click.Path(path_type=Path), help="JSON lines with cif and sigma: nearest neighbours.")
@click.option("--model", "model_path", type=click.Path(path_type=Path), help="Trained model; default: the shipped one.")
@click.option("--top", default=50, show_default=True, help="Candidates.")
@click.option(
    "--family",
    type=click.Choice(["argyrodite", "LGPS", "garnet", "NASICON", "thiophosphate"]),
    help="Only this family of known conductors (by composition), with the rank among all.",
)
@click.option(
    "--by",
    type=click.Choice(["both", "formula", "pattern"]),
    default="both",
    show_default=True,
    help="What the rank rests on, where the formula says something; the pattern elsewhere.",
)
@click.option("--barriers", is_flag=True, help="Add BVSE barriers and the channels' dimensionality (slower).")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write the table as CSV.")
@wide_option
def rank(
    unlabelled: Path,
    labelled: Path | None,
    model_path: Path | None,
    top: int,
    family: str | None,
    by: str,
    barriers: bool,
    out: Path | None,
    wide: bool,
) -> None:
    """Ranks structures (JSON lines with id and cif, or a folder of CIFs) by their probability.

    Pattern and formula together decide, as in `classify`; patterns unlike every labelled one come last.
    """
    from fastin.verdict import formulas_say
    from fastin.xrd.dataset import load_labelled, load_unlabelled

    try:
        model = _model(model_path)
        pool = load_unlabelled(unlabelled)
        known = load_labelled(labelled) if labelled is not None else None
        from fastin.xrd.report import barrier_columns, rank_candidates, write_candidates

        describe = barrier_columns(unlabelled) if barriers else None
        decades, measured = formulas_say(model, pool.formulas)
        candidates = rank_candidates(
            model, pool, known, top=top, family=family, describe=describe, decades=decades, measured=measured, by=by
        )
        if out is not None:
            write_candidates(out, candidates)
    except (FastinError, OSError) as error:
        stderr_console().print(f"[red]{escape(str(error))}[/red]")
        sys.exit(1)
    columns = [Column("rank"), Column("id", "left", "left"), Column("formula", "left", "right")]
    columns += [Column("predicted\nsuperionic"), Column("by\npattern"), Column("by\nformula")]
    columns += [Column("short-\nlisted", "left"), Column("measured\nlog10 sigma\nS/cm")]
    columns += [Column("spread", wide=True), Column("flags", "left", wide=True)]
    columns += [Column("nearest labelled\n(similarity, S/cm)", "left", "right")]
    cells = []
    for c in candidates:
        near = "; ".join(f"{name} ({share:.2f}, {sigma:.1e})" for _, name, share, sigma in c.neighbours[:2])
        cells.append([str(c.rank), c.id, c.formula, f"{c.probability:.3f}", share(c.probability_pattern)])
        cells[-1] += [share(c.probability_formula), "-" if c.shortlisted is None else "yes" if c.shortlisted else "no"]
        cells[-1] += ["" if c.measured is None else f"{c.measured:.2f}", f"{c.spread:.3f}", " ".join(c.flags), near]
    print_table(columns, cells, wide=wide)
    print_ranking(model, candidates)
    for name, reason in pool.failed:
        stderr_console().print(f"[yellow]{escape(name)}: {escape(reason)}[/yellow]")
    sys.exit(1 if pool.failed else 0)

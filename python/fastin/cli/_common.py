"""What the subcommands share: input lists, error lines, JSON without NaN, consoles."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastin.crystal.warnings import CrystalWarning
from fastin.errors import InputError
from fastin.runtime.plain import plain, plain_json

if TYPE_CHECKING:
    from rich.console import Console

SUFFIXES = (
    *(".cif", ".mcif", ".vasp", ".poscar", ".contcar", ".cif.gz", ".mcif.gz"),
    *(".extxyz", ".xyz", ".res", ".cell", ".gen", ".xsf"),
)
STRUCTURE_NAMES = ("POSCAR", "CONTCAR")
_TABLE_WIDTH = 200


class Finite(click.FloatRange):
    """A range of numbers; click's own lets NaN through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, refused unless it is finite and in the range."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


def stdout_console() -> Console:
    """Console for results, never narrower than a table: a narrow terminal wraps lines, rich would cut the numbers."""
    from rich.console import Console  # a command that prints plain lines, and its worker, start without rich

    return Console(width=max(Console().width, _TABLE_WIDTH) if sys.stdout.isatty() else _TABLE_WIDTH, highlight=False)


def stderr_console() -> Console:
    """Console for progress, warnings and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def expand_inputs(arguments: Iterable[str]) -> list[Path]:
    """Files as given, and the structures directly inside the folders given (sorted).

    A folder that cannot be listed stays in the list: reading it gives the error that belongs to it.
    """
    paths: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        if not path.is_dir():
            paths.append(path)
            continue
        try:
            inside = sorted(
                p
                for p in path.iterdir()
                if p.is_file() and (p.name.lower().endswith(SUFFIXES) or p.name in STRUCTURE_NAMES)
            )
        except OSError:
            paths.append(path)
            continue
        if not inside:
            raise click.UsageError(f"the folder {path} holds no structure ({', '.join(SUFFIXES)})")
        paths.extend(inside)
    return paths


def refuse_folder(path: Path) -> None:
    """Raises the error of a file that is not there, or of a folder that `expand_inputs` could not list.

    Raises:
        InputError: it is a folder, or nothing.
    """
    if not path.exists():
        raise InputError(f"{path}: No such file or directory")
    if path.is_dir():
        try:
            next(path.iterdir(), None)
        except OSError as error:
            raise InputError(f"{path}: the folder cannot be listed ({error.strerror})") from None
        raise InputError(f"{path}: a folder, not a structure")


def unique_stems(paths: Iterable[Path]) -> list[str]:
    """A file stem for each path; equal ones get -2, -3, ... so that no result overwrites another."""
    used: set[str] = set()
    stems = []
    for path in paths:
        base = path.stem or path.name
        stem, k = base, 1
        while stem in used:
            k += 1
            stem = f"{base}-{k}"
        used.add(stem)
        stems.append(stem)
    return stems


def json_ready(value: Any) -> Any:
    """Plain JSON types; numbers that JSON lacks (inf, nan) become null."""
    if isinstance(value, dict):
        return {str(k): json_ready(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(v) for v in value]
    if hasattr(value, "tolist"):  # numpy, without its import: a tenth of a second in each parent
        return json_ready(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def dump_json(value: Any) -> str:
    """Indented JSON of `json_ready(value)`."""
    return plain_json(json.dumps(json_ready(value), indent=2, ensure_ascii=False, allow_nan=False))


def number(value: float | None, digits: int = 2) -> str:
    """A number for a table cell: '-' where there is none or it is infinite."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{round(value, digits) + 0.0:.{digits}f}"  # + 0.0: no "-0.00"


def is_guessed(named: str | None, ion: str, warnings: Iterable[CrystalWarning]) -> bool:
    """True where nobody named the ion and it is none of Li, Na, K, Ag, Cu, or another one is as likely."""
    from fastin.crystal.usual import MONOVALENT

    plain = ion.rstrip("+-.0123456789") in MONOVALENT and all(w.code != "ion-guessed" for w in warnings)
    return named is None and not plain


def ion_text(row: Mapping[str, Any]) -> str:
    """The ion of a row for a table: `F- (guessed; --ion)`, `Na+ (guest)`."""
    remark = " (guest)" if row.get("guest") else " (guessed; --ion)" if row.get("ion_guessed") else ""
    return str(row["ion"]) + remark


def ion_mark(row: Mapping[str, Any]) -> str:
    """The ion in a narrow table: `F- ?` where it was guessed, `Na+ *` where the crystal holds none."""
    return str(row["ion"]) + (" *" if row.get("guest") else " ?" if row.get("ion_guessed") else "")


def ion_legend(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the marks of `ion_mark` mean, of those that the rows have."""
    listed = list(rows)
    lines = []
    if any(row.get("ion_guessed") and not row.get("guest") for row in listed):
        lines.append("?: mobile ion guessed; choose with --ion.")
    if any(row.get("guest") for row in listed):
        lines.append("*: guest: the crystal holds none of this ion.")
    return lines


def warning_mark(warnings: Iterable[dict[str, Any]]) -> str:
    """The mark beside the ion: !! where a warning is severe, ! where one is not."""
    severe = [bool(w["severe"]) for w in warnings]
    return "!!" if any(severe) else "!" if severe else ""


def warning_cell(warnings: Iterable[dict[str, Any]]) -> str:
    """Codes of warnings for a table cell, severe ones marked with !!, others with !."""
    severe = dict.fromkeys(w["code"] for w in warnings if w["severe"])
    others = dict.fromkeys(w["code"] for w in warnings if not w["severe"])
    parts = [f"!! {', '.join(severe)}"] if severe else []
    return " ".join([*parts, *([f"! {', '.join(others)}"] if others else [])])


def print_warnings(name: str, warnings: Iterable[dict[str, Any]], everything: bool) -> None:
    """What severe warnings say, one line each, and the codes of the others; with `everything` all in full."""
    from rich.markup import escape

    listed, name = list(warnings), plain(name)
    for warning in listed:
        if warning["severe"] or everything:
            mark = "[red]!![/red]" if warning["severe"] else "[yellow]![/yellow]"
            text = escape(str(CrystalWarning.from_dict(warning)))
            stdout_console().print(f"{mark} {escape(name)}: {warning['code']}: {text}", soft_wrap=True)
    codes = dict.fromkeys(w["code"] for w in listed if not w["severe"])
    if codes and not everything:
        text = f"[yellow]![/yellow] {escape(name)}: {', '.join(codes)} (--notes says more)"
        stdout_console().print(text, soft_wrap=True)


ion_option = click.option(
    "--ion",
    help="Mobile ion, e.g. Li, na, F-; default: Li, Na, K, Ag or Cu, else a free anion, else Mg, Zn, Ca, Al, Rb, Cs.",
)
radii_option = click.option(
    "--radii",
    type=click.Choice(["ionic", "effective", "atomic"]),
    default="ionic",
    show_default=True,
    help="Radii of the framework.",
)
convention_option = click.option(
    "--convention",
    type=click.Choice(["spse", "bvlain", "softbv"]),
    default="spse",
    show_default=True,
    help="Of the bond valence energy.",
)
plain_sum_option = click.option(
    "--plain-sum",
    is_flag=True,
    help="Sum every pair at every grid point; by default the part beyond 4.5 A is interpolated (within 2e-4 eV).",
)
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), help="Threads of the core; default: all that this process may use."
)
strict_option = click.option("--strict", is_flag=True, help="A structure with severe warnings is an error.")
block_option = click.option(
    "--block", help="Of several, the data block to read (name or number); of a trajectory, the frame."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
notes_option = click.option("--notes", "show_notes", is_flag=True, help="Print what was assumed for each structure.")

"""What every subcommand gets when it is loaded: two examples under its help, one answer to a file that is not there."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

#: Two examples for each command, as one types them.
EXAMPLES: dict[str, tuple[str, str]] = {
    "": ("fastin analyze my.cif", "fastin view my.cif -o my.html"),
    "analyze": ("fastin analyze LiFePO4.cif --notes", "fastin analyze cifs/ more.jsonl.gz -o results --csv"),
    "network": ("fastin network LiFePO4.cif --reduce", "fastin network LiFePO4.cif -o LiFePO4.net -o LiFePO4.json"),
    "barriers": ("fastin barriers LiFePO4.cif", "fastin barriers cifs/ -o grids --grid cube --grid npz"),
    "bvse": ("fastin bvse LiFePO4.cif -o LiFePO4.cube", "fastin bvse LiFePO4.cif -o LOCPOT --resolution 0.1"),
    "paths": ("fastin paths LiFePO4.cif", "fastin paths LiFePO4.cif --neb 1d --neb-out images"),
    "predict": ("fastin predict LiFePO4.cif", "fastin predict --formula Li6PS5Cl"),
    "xrd": ("fastin xrd LiFePO4.cif --peaks 10", "fastin xrd classify measured.xy --formula Li10GeP2S12"),
    "xrd pattern": ("fastin xrd pattern LiFePO4.cif", "fastin xrd pattern LiFePO4.cif -o LiFePO4.xy --fwhm 0.1"),
    "xrd classify": ("fastin xrd classify LiFePO4.cif", "fastin xrd classify scan.csv --x Q --formula Li3PS4"),
    "xrd rank": ("fastin xrd rank cifs/ --top 20", "fastin xrd rank set.jsonl.gz --family argyrodite -o rank.csv"),
    "order": ("fastin order disordered.cif -o ordered", "fastin order disordered.cif -n 5 -o ordered"),
    "relax": ("fastin relax --demo", "fastin relax LiFePO4.cif --calculator chgnet -o LiFePO4-relaxed -j 2"),
    "screen": ("fastin screen cifs/ -o results.parquet", "fastin screen set.jsonl.gz -o results.parquet -t paths -j 4"),
    "top": (
        "fastin top results.parquet --by barrier_3d_network_eV",
        'fastin top results.parquet --by density_g_cm3 --where "barrier_3d_network_eV < 0.4" --csv',
    ),
    "report": ("fastin report results.parquet", "fastin report results.parquet -o page.html --title 'Li oxides'"),
    "serve": ("fastin serve", "fastin serve --results results.parquet --port 8080"),
    "view": ("fastin view LiFePO4.cif", "fastin view LiFePO4.cif --png LiFePO4.png --dpi 300"),
    "arrhenius": ("fastin arrhenius sigma.csv -o fit.png", "fastin arrhenius a.csv b.csv --celsius --unit mS/cm"),
    "dataset": ("fastin dataset build cifs/ -o my_set --ion Li", "fastin dataset mp -o mp_set --ion Li"),
    "dataset build": ("fastin dataset build cifs/ -o my_set", "fastin dataset build set.jsonl.gz -o my_set --ion Na"),
    "dataset mp": ("fastin dataset mp -o mp_set", "fastin dataset mp -o mp_set --ion Na"),
    "train": ("fastin train gcn.toml", "fastin train gcn.toml && fastin evaluate runs/gcn"),
    "evaluate": ("fastin evaluate runs/gcn", "fastin evaluate default --dataset my_set"),
    "examples": ("fastin examples", "fastin examples copy my_folder"),
    "examples list": ("fastin examples list", "fastin examples"),
    "examples copy": ("fastin examples copy my_folder", "fastin examples copy my_folder LiFePO4 Li3N"),
    "completion": ("fastin completion bash >> ~/.bashrc", "fastin completion zsh >> ~/.zshrc"),
    "info": ("fastin info", "fastin info | grep -i openmp"),
    "dataset join": ("fastin dataset join li_set na_set -o all", "fastin dataset join li_set o_set -o all"),
    "dataset info": ("fastin dataset info my_set", "fastin dataset info my_set | tail -3"),
}  # fmt: skip

# Options that name a file to write, by command; its folder must be there before anything is computed.
_WRITTEN = {
    "arrhenius": ("out",),
    "bvse": ("out",),
    "network": ("out",),
    "paths": ("out", "profile", "legs_out"),
    "report": ("out",),
    "view": ("out", "png", "svg", "pdf"),
    "xrd pattern": ("out", "plot"),
    "xrd rank": ("out",),
}

# Options that name a file to read; every argument that is a path does.
_READ = frozenset({"network", "labelled", "split", "dataset", "model_path"})


def polish(command: click.Command, name: str) -> click.Command:
    """Adds the examples and the answer to missing files to a command and what is under it."""
    found = EXAMPLES.get(name)
    if found is not None:
        command.epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in found)
    for parameter in command.params:
        path = isinstance(parameter.type, click.Path) and (
            isinstance(parameter, click.Argument) or parameter.name in _READ
        )
        listed = isinstance(parameter, click.Argument) and parameter.name in ("inputs", "results")
        if (path or listed) and name != "examples copy" and parameter.callback is None:
            parameter.callback = _existing
        if parameter.name in _WRITTEN.get(name, ()):
            parameter.callback = partial(_writable, first=parameter.callback)
    if isinstance(command, click.Group):
        for sub in command.commands.values():
            polish(sub, f"{name} {sub.name}".strip())
    return command


def _existing(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Refuses the command where none of the files that it is to read is there; some missing ones are its own affair."""
    several = value if isinstance(value, tuple) else () if value is None else (value,)
    missing = [path for path in several if not _is_there(str(path))]
    if missing and len(missing) == len(several):
        raise MissingFile(str(missing[0]))
    return value


def _writable(
    context: click.Context, parameter: click.Parameter, value: Any, first: Callable[..., Any] | None = None
) -> Any:
    """Refuses the command where a file to write has no folder, is one, or may not be written."""
    value = value if first is None else first(context, parameter, value)
    for path in value if isinstance(value, tuple) else () if value is None else (value,):
        place = Path(path)
        try:
            folder, there = place.parent.is_dir(), place.is_dir()
            allowed = os.access(place if place.exists() else place.parent, os.W_OK)
        except (OSError, ValueError):  # a name that no file can have
            folder, there, allowed = False, False, False
        if not folder:
            raise click.BadParameter(f"the folder {place.parent} is not there", context, parameter)
        if there or not allowed:
            raise click.BadParameter(f"{place} cannot be written", context, parameter)
    return value


def _is_there(path: str) -> bool:
    place = Path(path)
    try:
        if place.exists() or place.with_name(place.name + ".parts").exists():
            return True
        return bool(glob.glob(path, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute patterns
    except (OSError, ValueError):  # a name that no file can have
        return False


class MissingFile(click.ClickException):
    """A file that is not there, said as a shell says it."""

    exit_code = 2

    def __init__(self, path: str) -> None:
        shown = "".join(character if character.isprintable() else "?" for character in path)
        super().__init__(f"{shown}: No such file or directory")

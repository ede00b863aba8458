"""`fastin report`: a results table as one self-contained page that sorts, filters and draws 26,000 rows."""

from __future__ import annotations

import base64
import gzip
import html
import inspect
import json
import os
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

import fastin
from fastin.crystal.warnings import SEVERE_CODES
from fastin.errors import InputError
from fastin.runtime.plain import plain
from fastin.screening.labels import column_help, present_name
from fastin.screening.rows import WARNINGS
from fastin.screening.store import KEY, METADATA, SECONDS, read_results

_SHOWN = (
    "id", "formula", "ion", "space_group", *(f"barrier_{d}d_network_eV" for d in (1, 2, 3)),
    *(f"free_sphere_radius_{axis}_A" for axis in "abc"), "channel_dimensionality", "largest_sphere_radius_A",
    "predicted_activation_energy_eV", "predicted_log10_conductivity_S_per_cm", "warnings", "error_type",
)  # fmt: skip
_HIDDEN = frozenset({KEY, SECONDS})
_LINKS = "\0view"  # no column of a table is called that
_LINK = re.compile(r"https?://|[^:/?#\\]*([/?#]|$)", re.IGNORECASE)
_UNCLEAR = re.compile(r"[\x00-\x20\\]")
_NUMERIC = frozenset({"double", "int64", "bool", "float", "int32"})


def _first(names: list[str], *wanted: str) -> str:
    """The first of `wanted` that exists, else the first name."""
    found = (present_name(name, names) for name in wanted)
    return next((name for name in found if name is not None), names[0] if names else "")


def _is_link(address: str) -> bool:
    """True for http(s) and relative addresses: nothing that runs, nothing that browsers read otherwise than we do."""
    return bool(_LINK.match(address)) and not _UNCLEAR.search(address)


def _links(table: Any, views: Mapping[str, str]) -> list[str | None]:
    for address in views.values():
        if not _is_link(address):
            raise InputError(f"views must be http(s) or relative addresses, not {address!r}")
    return [views.get(uid) for uid in table["id"].to_pylist()]


def _pack(table: Any, links: list[str | None] | None = None) -> tuple[list[dict[str, Any]], bytes]:
    """Column descriptions and the block that holds their values; the links of the rows as a column apart."""
    columns: list[dict[str, Any]] = []
    blocks: list[bytes] = []
    size = 0

    def append(block: bytes) -> int:
        nonlocal size
        offset = size
        padded = block + b"\0" * (-len(block) % 4)
        blocks.append(padded)
        size += len(padded)
        return offset

    for name in table.column_names:
        if name in _HIDDEN:
            continue
        column = table[name].combine_chunks()
        label, help_text = column_help(name)
        description: dict[str, Any] = {"name": name, "label": label, "help": help_text}
        if str(column.type).startswith("list"):
            import pyarrow as pa

            column = pa.array([None if v is None else ", ".join(v) for v in column.to_pylist()], pa.string())
        if str(column.type) in _NUMERIC:
            values = np.asarray(column.cast("double").to_numpy(zero_copy_only=False), dtype="<f4")
            description |= {"type": "number", "offset": append(values.tobytes())}
        else:
            encoded = column.cast("string").dictionary_encode(null_encoding="encode")
            codes = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype="<u4")
            shown = [None if word is None else plain(word) for word in encoded.dictionary.to_pylist()]
            text = json.dumps(shown, ensure_ascii=False).encode("utf-8", "replace")
            description |= {"type": "text", "offset": append(codes.tobytes())}
            description |= {"words_offset": append(text), "words_bytes": len(text)}
        columns.append(description)
    if links is not None:
        words: dict[str | None, int] = {}
        codes = np.array([words.setdefault(link, len(words)) for link in links], dtype="<u4")
        text = json.dumps(list(words)).encode()
        description = {"name": _LINKS, "label": "", "help": "", "type": "text", "offset": append(codes.tobytes())}
        columns.append(description | {"words_offset": append(text), "words_bytes": len(text), "link": True})
    return columns, b"".join(blocks)


def _method(table: Any) -> list[str]:
    """How the numbers were made, as far as the table says: the programs, what was computed with which options."""
    from fastin.bvse.grid import compute_bvse
    from fastin.network.network import compute_network

    lines = [f"Page: fastin {fastin.__version__}"]
    try:
        made = json.loads((table.schema.metadata or {})[METADATA])
    except (KeyError, ValueError):
        return [*lines, "the table does not say how it was computed"]
    lines[0] += f", table: fastin {made.get('fastin', '?')}; mobile ion: {made.get('ion') or 'of each structure'}"
    per_task = made.get("per_task") or {}

    def options(task: str) -> Mapping[str, Any]:
        return dict((per_task.get(task) or {}).get("options") or {})

    def value(function: Any, given: Mapping[str, Any], name: str) -> Any:
        return given.get(name, inspect.signature(function).parameters[name].default)

    if "barriers" in per_task:
        given = options("barriers")
        convention, resolution = (value(compute_bvse, given, name) for name in ("convention", "resolution"))
        cutoff = value(compute_bvse, given, "cutoff")
        lines.append(
            f"Energies: bond valence site energy (BVSE), {convention} convention, grid of {resolution:g} Å or finer, "
            f"cut-off {cutoff:g} Å; network and global in a column's name: zero at the lowest point of the sites that "
            "conduct, or of the cell"
        )
    if "network" in per_task:
        radii = value(compute_network, options("network"), "radii")
        lines.append(f"Voids and spheres: radical Voronoi diagram, {radii if isinstance(radii, str) else 'own'} radii")
    rest = sorted(name for name in per_task if name not in ("barriers", "network"))
    said = []
    for name in rest:
        given = options(name)
        said.append(f"{name} ({', '.join(f'{k}={v}' for k, v in given.items())})" if given else name)
    return [*lines, f"Other tasks: {', '.join(said)}"] if said else lines


def without_severe(table: Any) -> tuple[Any, int]:
    """The table without the rows that hold severe warnings, and how many those are."""
    import pyarrow as pa

    if WARNINGS not in table.column_names:
        return table, 0
    keep = [not SEVERE_CODES & set(codes or ()) for codes in table[WARNINGS].to_pylist()]
    if all(keep):
        return table, 0
    if not any(keep):
        raise InputError(f"all {len(keep)} rows hold severe warnings; severe=True (--severe) shows them")
    return table.filter(pa.array(keep)), keep.count(False)


def report_html(
    results: str | os.PathLike[str] | Any,
    *,
    title: str | None = None,
    view_url: str | None = None,
    views: Mapping[str, str] | None = None,
    severe: bool = False,
) -> str:
    """The page as text.

    Args:
        results: path of a finished or running screening, or a `pyarrow.Table`.
        title: heading of the page.
        view_url: address of a structure's own page with ``{id}`` in it.
        views: address of a structure's own page by id (instead of `view_url`).
        severe: keep rows with severe warnings (`fastin.crystal.warnings`); else they are left out and counted.

    Raises:
        InputError: no such table, or one without rows.
    """
    given_path = not hasattr(results, "column_names")
    table: Any = read_results(results) if given_path else results
    if table.num_rows == 0:
        raise InputError("the table has no rows")
    table, left_out = (table, 0) if severe else without_severe(table)
    if view_url is not None and not (_is_link(view_url) and view_url.startswith(("http://", "https://", "/", "./"))):
        raise InputError(f"view_url must be an http(s) address or a relative path starting with ./, not {view_url!r}")
    columns, block = _pack(table, None if views is None else _links(table, views))
    numeric = [c["name"] for c in columns if c["type"] == "number"]
    failed = table["error_type"].is_valid().to_pylist().count(True) if "error_type" in table.column_names else 0
    barrier = _first(numeric, *(f"barrier_{d}d_network_eV" for d in (3, 2, 1)))
    sphere = _first(numeric, "percolation_radius_1d_A", "free_sphere_radius_a_A")
    meta = {
        "rows": table.num_rows,
        "columns": columns,
        "shown": [name for shown in _SHOWN if (name := present_name(shown, table.column_names))]
        or table.column_names[:12],
        "sort": barrier,
        "histograms": [barrier, sphere],
        "scatter": [sphere, barrier],
        "summary": f"{table.num_rows:,} structures, {failed:,} with an error; "
        + (f"{left_out:,} with severe warnings left out; " if left_out else "")
        + f"fastin {fastin.__version__}",
        "view_url": view_url,
        "method": _method(table),
    }
    heading = title or (f"Screening: {Path(str(results)).name}" if given_path else "Screening")
    page = (files("fastin.screening") / "assets" / "report.html").read_text(encoding="utf-8")
    assets = files("fastin.screening") / "assets"
    parts = {
        "script": (assets / "report.js").read_text(encoding="utf-8"),
        "charts": (assets / "report_charts.js").read_text(encoding="utf-8"),
        "data": base64.b64encode(gzip.compress(block, 6, mtime=0)).decode(),
        "meta": json.dumps(meta).replace("<", "\\u003c"),
    }
    for name, text in parts.items():  # from the bottom up; the last place is the page's own, whatever the texts hold
        before, _, after = page.rpartition("{{" + name + "}}")
        page = before + text + after
    page = page.replace("{{title}}", html.escape(plain(heading)), 2)
    return page


def write_report(results: str | os.PathLike[str] | Any, out: str | os.PathLike[str], **options: Any) -> Path:
    """Writes `report_html` to a file and returns its path."""
    path = Path(out)
    try:
        path.write_text(report_html(results, **options), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return path

"""What ``fastin xrd classify`` says of one pattern: pattern, formula, both, and whether they can know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from fastin.cli._common import stderr_console
from fastin.cli._table import Column, print_table, print_text
from fastin.verdict import OUT

_VERDICT = (
    Column("file", "left", "left"),
    Column("by\npattern"),
    Column("by\nformula"),
    Column("by\nboth"),
    Column("spread", wide=True),
    Column("votes", wide=True),
    Column("predicted\nclass", "left"),
    Column("short-\nlisted", "left", wide=True),
    Column("nearest labelled\n(similarity, S/cm)", "left", "right"),
)


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A verdict for ``--csv``."""
    out = {k: v for k, v in row.items() if k not in ("nearest", "neighbours", "formula", "screening")}
    near = {f"nearest_{name}": value for name, value in (row.get("nearest") or {}).items()}
    told = row.get("formula") or {}
    short = row.get("screening") or {}
    return out | {
        "log10_conductivity_formula": told.get("log10_conductivity"),
        "formula_origin": told.get("origin"),
        "shortlisted": short.get("shortlisted"),
        "shortlist_precision": short.get("precision"),
        **near,
    }


def share(value: float | None) -> str:
    """A probability for a table."""
    return "-" if value is None else f"{value:.3f}"


def _cells(row: dict[str, Any]) -> list[str]:
    near, told, short = row.get("nearest"), row["formula"] or {}, row["screening"]
    known = "" if near is None else f"{near['formula']} ({near['similarity']:.2f}, {near['sigma_S_per_cm']:.1e})"
    out = row["class"] == OUT
    formula = share(row["probability_formula"])
    if told.get("origin") == "measured":
        formula = f"measured {10.0 ** told['log10_conductivity']:.1e}"
    return [
        row["file"],
        "-" if out else share(row["probability_superionic"]),
        formula,
        "-" if out else share(row["probability_both"]),
        f"{row['spread']:.3f}" if row["members"] > 1 else "-",
        f"{row['votes']:.2f}",
        row["class"],
        "" if short is None else ("yes" if short["shortlisted"] else "no"),
        known,
    ]


def print_verdicts(rows: list[dict[str, Any]], *, wide: bool) -> None:
    """Table of the verdicts; errors and doubts on stderr."""
    cells = []
    for row in rows:
        if "error" in row:
            stderr_console().print(f"[red]{escape(row['error'])}[/red]")
            continue
        cells.append(_cells(row))
        for reason in row["warnings"]:
            text = escape(f"{row['file']} {reason}")
            stderr_console().print(f"[yellow]warning: {text}[/yellow]", soft_wrap=True)
        if row["class"] == OUT and row.get("neighbours"):
            near = "; ".join(
                f"{n['formula']} ({n['similarity']:.2f}, {n['sigma_S_per_cm']:.1e} S/cm)" for n in row["neighbours"]
            )
            stderr_console().print(escape(f"{row['file']} nearest known patterns: {near}"), soft_wrap=True)
    print_table(_VERDICT, cells, wide=wide)
    if any("error" not in row and not row["composition_checked"] for row in rows):
        text = "composition unknown: lithium compounds only (--formula checks it, and is better known than the pattern)"
        stderr_console().print(text, markup=False)


def print_ranking(model: Any, candidates: Sequence[Any]) -> None:
    """What the ranks rest on, and what a shortlist of them is worth."""
    ways = sorted({c.by for c in candidates})
    if ways:
        print_text(f"Ranked by {' / '.join(ways)}.")
    outside = sum("out-of-domain" in c.flags for c in candidates)
    if outside:
        print_text(f"{outside} of {len(candidates)} out of domain: patterns unlike every labelled one, no class; last.")
    for way in ("both", "formula", "pattern"):
        short = model.notes.get("screening", {}).get(way)
        if short is not None and any(c.by == _BY[way] for c in candidates):
            text = f"recall {short['recall']:.2f} at precision {short['precision']:.2f} in the cross-validation"
            print_text(f"Shortlisted by {_BY[way]}: {text}.")


_BY = {"both": "pattern and formula", "formula": "formula", "pattern": "pattern"}

"""The application's own pages. Every text that comes from outside passes `escape`."""

from __future__ import annotations

import math
from html import escape
from typing import Any
from urllib.parse import quote

from fastin.serve.compute import FILES
from fastin.serve.jobs import Job

_STYLE = """
body { margin: 0; font: 14px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: #1b2733;
  background: #f4f6f9; }
header { background: #fff; border-bottom: 1px solid #dde3ea; padding: 10px 22px; display: flex; gap: 20px;
  align-items: baseline; }
header b { font-size: 17px; } a { color: #1f6feb; text-decoration: none; } a:hover { text-decoration: underline; }
main { max-width: 1100px; margin: 18px auto; padding: 0 18px; display: grid; gap: 14px; }
section { background: #fff; border: 1px solid #dde3ea; border-radius: 9px; padding: 14px 18px; overflow-x: auto; }
h2 { font-size: 15px; margin: 0 0 8px; } .soft { color: #5c6b7a; } .bad { color: #b02a12; overflow-wrap: anywhere; }
input, button { font: inherit; padding: 4px 8px; border: 1px solid #cfd7e0; border-radius: 6px; background: #fff; }
button { background: #1f6feb; color: #fff; border-color: #1f6feb; cursor: pointer; }
label { margin-right: 14px; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 12px 3px 0; border-bottom: 1px solid #eef1f5; text-align: left; white-space: nowrap; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 2px 18px; margin: 0; } dt { color: #5c6b7a; }
dd { margin: 0; }
"""


def layout(title: str, *sections: str) -> str:
    """A whole page; `sections` are HTML already."""
    body = "".join(f"<section>{section}</section>" for section in sections)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><header><b>fastin</b><a href='/'>structures</a>"
        f"<a href='/results'>results</a></header><main>{body}</main></body></html>"
    )


def message(title: str, text: str) -> str:
    """A page that says one thing."""
    return layout(title, f"<h2>{escape(title)}</h2><p class='bad'>{escape(text)}</p>")


def home(jobs: list[Job], max_megabytes: float, has_results: bool) -> str:
    """The upload form and the latest structures."""
    form = (
        "<h2>A structure</h2><form action='/analyze' method='post' enctype='multipart/form-data'>"
        "<label><input type='file' name='file' accept='.cif,.mcif,.vasp,.poscar' required></label>"
        "<label>mobile ion <input name='ion' size='5' maxlength='12' placeholder='auto'></label>"
        "<button>analyze</button></form>"
        f"<p class='soft'>CIF or POSCAR, up to {max_megabytes:g} MB. It stays on this machine.</p>"
    )
    rows = "".join(
        f"<tr><td><a href='/job/{job.token}'>{escape(job.name)}</a></td>"
        f"<td>{escape(str(job.result.get('subtitle', '')))}</td>"
        f"<td class='bad'>{escape(str(job.result.get('error', ''))[:160])}</td></tr>"
        for job in jobs
    )
    latest = f"<h2>Latest</h2><table>{rows}</table>" if rows else "<p class='soft'>No structure yet.</p>"
    browse = "<p><a href='/results'>Browse the results table</a>, <a href='/query'>query it</a></p>"
    browse = browse if has_results else ""
    return layout("fastin", form, latest + browse)


def job_page(job: Job) -> str:
    """What came of one upload."""
    if "error" in job.result:
        return message(job.name, f"{job.result.get('type', 'Error')}: {job.result['error']}")
    facts = "".join(f"<dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd>" for k, v in job.result["facts"])
    links = "".join(
        f"<tr><td><a href='/job/{job.token}/file/{quote(name)}'>{escape(name)}</a></td>"
        f"<td class='soft'>{escape(what)}</td></tr>"
        for name, what in FILES.items()
        if job.file(name) is not None
    )
    remarks = "".join(f"<p class='soft'>{escape(text)}</p>" for text in [*job.result["problems"], *job.result["notes"]])
    return layout(
        job.name,
        f"<h2>{escape(job.name)}</h2><p>{escape(job.result['subtitle'])}</p>"
        f"<p><a href='/job/{job.token}/view'>Open the view page</a></p><dl>{facts}</dl>",
        f"<h2>Files</h2><table>{links}</table>{remarks}",
    )


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return "∞" if math.isinf(value) else f"{value:.4g}"
    return escape(str(value))


def query_page(columns: list[str], table: Any, by: str, where: str, limit: int, problem: str, linked: bool) -> str:
    """The query form and its rows; with links to the structures if their files are known."""
    options = "".join(
        f"<option value='{escape(c, quote=True)}'{' selected' if c == by else ''}>{escape(c)}</option>" for c in columns
    )
    form = (
        f"<h2>Best rows</h2><form action='/query'><label>by <select name='by'>{options}</select></label>"
        f"<label>where <input name='where' size='48' maxlength='1000' value='{escape(where, quote=True)}' "
        "placeholder='e3d &lt; 0.4 and free_sphere_a &gt; 0.6'></label>"
        f"<label>rows <input name='limit' size='4' value='{limit}'></label><button>show</button></form>"
    )
    if table is None:
        return layout("Query", form + (f"<p class='bad'>{escape(problem)}</p>" if problem else ""))
    head = "".join(f"<th>{escape(name)}</th>" for name in table.column_names)
    rows = []
    for row in table.to_pylist():
        cells = [f"<td>{_cell(value)}</td>" for value in row.values()]
        if linked and row.get("id") is not None:
            cells[0] = f"<td><a href='/structure?id={quote(str(row['id']), safe='')}'>{_cell(row['id'])}</a></td>"
        rows.append("<tr>" + "".join(cells) + "</tr>")
    return layout("Query", form, f"<table><tr>{head}</tr>{''.join(rows)}</table>")

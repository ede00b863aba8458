"""The application's own pages. Every text that comes from outside passes `escape`."""

from __future__ import annotations

import html
import math
from typing import Any
from urllib.parse import quote, urlencode

from fastin.bvse.field import CONVENTIONS
from fastin.crystal.examples import examples
from fastin.runtime.plain import plain
from fastin.serve import forms
from fastin.serve.compute import FILES
from fastin.serve.jobs import Job

_STYLE = """
body { margin: 0; font: 14px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: #1b2733;
  background: #f4f6f9; }
header { background: #fff; border-bottom: 1px solid #dde3ea; padding: 10px 22px; display: flex; gap: 20px;
  align-items: baseline; }
header b { font-size: 17px; } a { color: #1f6feb; text-decoration: none; } a:hover { text-decoration: underline; }
main { max-width: 1400px; margin: 18px auto; padding: 0 12px; display: grid; gap: 14px;
  grid-template-columns: minmax(0, 1fr); }
nav a { margin-right: 14px; }
section { background: #fff; border: 1px solid #dde3ea; border-radius: 9px; padding: 14px 18px; overflow-x: auto; }
h1 { font-size: 18px; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 15px; margin: 0 0 8px; } .soft { color: #5c6b7a; } .bad { color: #b02a12; overflow-wrap: anywhere; }
input, button { font: inherit; padding: 4px 8px; border: 1px solid #cfd7e0; border-radius: 6px; background: #fff; }
button { background: #1f6feb; color: #fff; border-color: #1f6feb; cursor: pointer; }
label { margin-right: 14px; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: #5c6b7a; }
th, td { padding: 3px 12px 3px 0; border-bottom: 1px solid #eef1f5; text-align: left; white-space: nowrap; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 2px 18px; margin: 0; } dt { color: #5c6b7a; }
dd { margin: 0; overflow-wrap: anywhere; }
.drop { display: grid; gap: 8px; position: relative; border: 2px dashed #8fa3b8; border-radius: 9px; padding: 18px;
  margin: 0 0 10px; }
.drop:hover, .drop:focus-within { border-color: #1f6feb; background: #f3f8ff; }
.drop input { border: 0; width: 100%; min-height: 76px; padding: 8px 0; cursor: pointer; }
details { margin: 0 0 10px; } summary { cursor: pointer; color: #1f6feb; }
textarea { width: 100%; box-sizing: border-box; font: 12px/1.4 ui-monospace, "DejaVu Sans Mono", monospace; }
fieldset { border: 1px solid #dde3ea; border-radius: 7px; display: flex; flex-wrap: wrap; gap: 8px 4px; margin: 0; }
legend { color: #5c6b7a; } select { font: inherit; padding: 3px 6px; }
button.plain { background: #fff; color: #134a9c; border-color: #a9c8fb; }
:focus-visible { outline: 3px solid #1f6feb; outline-offset: 1px; }
iframe { width: 100%; height: 1440px; border: 0; border-radius: 7px; }
.stages [aria-current] { font-weight: 600; }
@media (max-width: 700px) { header { padding: 10px 14px; } section { padding: 12px; } iframe { height: 2400px; }
  section:has(iframe) { padding: 4px; } }
"""


def escape(text: str, quote: bool = True) -> str:
    """The text as HTML, with what hides or turns text written out."""
    return html.escape(plain(text), quote)


def layout(title: str, *sections: str) -> str:
    """A whole page; `sections` are HTML already."""
    body = "".join(f"<section>{section}</section>" for section in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>"
        f"<style>{_STYLE}</style></head><body><header><b>fastin</b><nav><a href='/'>structures</a> "
        f"<a href='/results'>results</a></nav></header><main>{body}</main></body></html>"
    )


_BACK = "<p><a href='/' class='back'>← another structure</a></p>"


def message(title: str, text: str) -> str:
    """A page that says one thing, with the way back."""
    return layout(title, f"<h1>{escape(title)}</h1><p class='bad' role='alert'>{escape(text)}</p>{_BACK}")


def confirm_structure(uid: str) -> str:
    """What a link from elsewhere to the page of one row shows: nothing is computed before somebody here says so."""
    return layout(
        "Open a structure",
        f"<h1>Open a structure</h1><p>A link from another page asks for <b>{escape(uid[:120])}</b>.</p>"
        f"<form action='/structure' method='post'><input type='hidden' name='id' value='{escape(uid, quote=True)}'>"
        f"<button>compute it</button></form>{_BACK}",
    )


def _form(max_megabytes: float) -> str:
    conventions = "".join(f"<option>{escape(name)}</option>" for name in CONVENTIONS)
    parts = "".join(
        f"<label><input type='checkbox' name='part' value='{name}' checked> {escape(text)}</label>"
        for name, text in forms.PART_NAMES.items()
    )
    buttons = "".join(
        f"<button class='plain' name='example' value='{escape(name, quote=True)}'>{escape(name)}</button>"
        for name in examples()
    )
    return (
        "<h1>A structure</h1><form action='/analyze' method='post' enctype='multipart/form-data'>"
        "<label class='drop'><span>Choose a file, or drop one here</span>"
        "<input type='file' name='file' accept='.cif,.mcif,.vasp,.poscar,POSCAR,CONTCAR'></label>"
        "<details><summary>or paste its text</summary>"
        "<textarea name='text' rows='9' spellcheck='false' aria-label='text of a CIF or POSCAR' "
        "placeholder='data_...'></textarea></details>"
        "<fieldset><legend>Options</legend>"
        "<label>mobile ion <input name='ion' size='5' maxlength='12' placeholder='auto'></label>"
        f"<label>energies <select name='convention'>{conventions}</select></label>{parts}</fieldset>"
        "<p><button>analyze</button></p>"
        f"<fieldset class='examples'><legend>or an example</legend>{buttons}</fieldset></form>"
        f"<p class='soft'>CIF or POSCAR, up to {max_megabytes:g} MB. It stays on the machine that runs this server.</p>"
    )


def home(jobs: list[Job], max_megabytes: float, has_results: bool) -> str:
    """The upload form and the latest structures."""
    rows = "".join(
        f"<tr><td><a href='/job/{job.token}'>{escape(job.name)}</a></td>"
        f"<td>{escape(str(job.result.get('subtitle', '' if job.done else 'under computation')))}</td>"
        f"<td class='bad'>{escape(str(job.result.get('error', ''))[:160])}</td></tr>"
        for job in jobs
    )
    latest = f"<h2>Latest</h2><table>{rows}</table>" if rows else "<p class='soft'>No structure yet.</p>"
    browse = "<p><a href='/results'>Browse the results table</a>, <a href='/query'>query it</a></p>"
    browse = browse if has_results else ""
    return layout("fastin", _form(max_megabytes), latest + browse)


def running(job: Job) -> str:
    """The page of an upload that is under computation; it loads itself again."""
    stages = job.stages() or ["waiting for its turn"]
    lines = "".join(
        f"<li{' aria-current=step' if k == len(stages) - 1 else ''}>{escape(stage)}</li>"
        for k, stage in enumerate(stages)
    )
    return layout(
        f"{job.name}: under computation",
        f"<h1>{escape(job.name)}</h1><div role='status'><p>Under computation for {job.seconds():.0f} s.</p>"
        f"<ol class='stages'>{lines}</ol></div><p class='soft'>This page loads itself again every second.</p>{_BACK}",
    )


def job_page(job: Job) -> str:
    """What came of one upload."""
    if "error" in job.result:
        kind = str(job.result.get("type", "Error"))
        return message(job.name, f"{kind}: {job.result['error']}")
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
        f"{_BACK}<h1>{escape(job.name)}</h1><p>{escape(job.result['subtitle'])}</p><dl>{facts}</dl>",
        f"<p><a href='/job/{job.token}/view'>Open the picture on a page of its own</a></p>"
        f"<iframe src='/job/{job.token}/frame' title='picture of {escape(job.name, quote=True)}'></iframe>",
        f"<h2>Files</h2><table>{links}</table>{remarks}",
    )


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return "∞" if math.isinf(value) else f"{value:.4g}"
    return escape(str(value))


def _sorting_head(name: str, table: Any, by: str, where: str, limit: int) -> str:
    """A column's head: a link that sorts by it, or how the rows are sorted."""
    asked = urlencode({"by": name, "where": where, "limit": limit})
    order = "none"
    if name == by:
        values = [value for value in table[name].to_pylist() if value is not None]
        order = "descending" if values and values[0] > values[-1] else "ascending"
    return f"<th scope='col' aria-sort='{order}'><a href='/query?{escape(asked, quote=True)}'>{escape(name)}</a></th>"


def query_page(columns: list[str], table: Any, by: str, where: str, limit: int, problem: str, linked: bool) -> str:
    """The query form and its rows; with links to the structures if their files are known."""
    options = "".join(
        f"<option value='{escape(c, quote=True)}'{' selected' if c == by else ''}>{escape(c)}</option>" for c in columns
    )
    form = (
        f"<h2>Best rows</h2><form action='/query'><label>by <select name='by'>{options}</select></label>"
        f"<label>where <input name='where' size='48' maxlength='1000' value='{escape(where, quote=True)}' "
        "placeholder='barrier_3d_network_eV &lt; 0.4'></label>"
        f"<label>rows <input name='limit' size='4' value='{limit}'></label><button>show</button></form>"
    )
    if table is None:
        return layout("Query", form + (f"<p class='bad'>{escape(problem)}</p>" if problem else ""))
    head = "".join(_sorting_head(name, table, by, where, limit) for name in table.column_names)
    rows = []
    for row in table.to_pylist():
        cells = [f"<td>{_cell(value)}</td>" for value in row.values()]
        if linked and row.get("id") is not None:
            cells[0] = f"<td><a href='/structure?id={quote(str(row['id']), safe='')}'>{_cell(row['id'])}</a></td>"
        rows.append("<tr>" + "".join(cells) + "</tr>")
    caption = f"<caption>Best rows by {escape(by)}</caption>"
    return layout(
        "Query", form, f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )

"""fastin report: the page holds the table, draws it in a real browser, fast and without errors, and escapes text."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from browser import open_page
from screening_support import write_lines

from fastin.cli.report import command
from fastin.errors import InputError
from fastin.screening.report import report_html, write_report

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=document.title='owned'>"


def _table(rows: int) -> pa.Table:
    random = np.random.default_rng(5)
    radius = random.gamma(6, 0.12, rows)
    e3d = 2 * np.exp(-2 * radius) + random.gamma(1, 0.1, rows)
    e3d[::20] = np.inf
    columns = {
        "id": [f"mp-{i}" for i in range(rows)],
        "source": ["set.jsonl.gz"] * rows,
        "formula": [f"Li{i % 7 + 1}P{i % 13 + 1}S{i % 11 + 1}" for i in range(rows)],
        "space_group": ["Fm-3m" if i % 2 else "Pnma" for i in range(rows)],
        "percolation_radius_1d": radius,
        "e3d": e3d,
        "error_type": [None] * (rows - 1) + ["InputError"],
        "record_key": list(range(rows)),
    }
    columns |= {f"descriptor_{k}": random.normal(size=rows) for k in range(30)}
    return pa.table(columns)


def test_page_draws(tmp_path: Path) -> None:
    page = open_page(write_report(_table(500), tmp_path / "r.html"))
    assert page.console == []
    assert 'data-ready="' in page.dom
    assert "500 of 500 structures" in page.dom
    assert "500 structures, 1 with an error" in page.dom


def test_26000_rows_open_fast(tmp_path: Path) -> None:
    """Under 3 s beyond the browser's own start; only the rows in sight are in the document."""
    (tmp_path / "blank.html").write_text("<p>blank</p>")
    blank = min(open_page(tmp_path / "blank.html").seconds for _ in range(2))
    path = write_report(_table(26136), tmp_path / "r.html")
    pages = [open_page(path) for _ in range(2)]
    assert "26,136 of 26,136 structures" in pages[0].dom
    assert pages[0].dom.count('class="row"') < 100
    assert pages[0].console == []
    assert min(page.seconds for page in pages) - blank < 3.0


def test_foreign_text_is_escaped(tmp_path: Path) -> None:
    table = _table(3)
    evil = pa.array([EVIL] * 3)
    for name in ("id", "formula", "space_group"):
        table = table.set_column(table.column_names.index(name), name, evil)
    table = table.append_column(EVIL, pa.array([1.0, 2.0, 3.0]))
    page = open_page(write_report(table, tmp_path / "r.html", title=EVIL))
    assert page.console == []
    assert "owned</title>" not in page.dom
    assert "<img src=x" not in page.dom
    assert "3 of 3 structures" in page.dom


def test_links_and_addresses(tmp_path: Path) -> None:
    table = _table(2)
    page = open_page(write_report(table, tmp_path / "r.html", views={"mp-1": "views/1.html"}))
    assert 'href="views/1.html"' in page.dom
    page = open_page(write_report(table, tmp_path / "s.html", view_url="http://127.0.0.1:8000/structure?id={id}"))
    assert 'href="http://127.0.0.1:8000/structure?id=mp-1"' in page.dom
    with pytest.raises(InputError, match="view_url"):
        report_html(table, view_url="javascript:alert(1)//{id}")


def test_same_table_same_page() -> None:
    assert report_html(_table(50)) == report_html(_table(50))
    with pytest.raises(InputError, match="no rows"):
        report_html(_table(5).slice(0, 0))


def test_command_line(tmp_path: Path) -> None:
    pq.write_table(_table(20), tmp_path / "r.parquet")
    run = CliRunner().invoke(command, [str(tmp_path / "r.parquet"), "-o", str(tmp_path / "r.html")])
    assert run.exit_code == 0
    assert "<!doctype html>" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Screening: r.parquet" in (tmp_path / "r.html").read_text(encoding="utf-8")
    run = CliRunner().invoke(command, [str(tmp_path / "r.parquet"), "-o", "/proc/fastin/r.html"])
    assert run.exit_code == 2
    run = CliRunner().invoke(command, [str(tmp_path / "r.parquet"), "--views", str(tmp_path / "v")])
    assert run.exit_code == 2


def test_view_pages_of_the_best_rows(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "cells.jsonl.gz", 4)
    table = pa.table({"id": [f"cell-{i:04d}" for i in range(4)], "e3d": [0.4, 0.1, 0.3, 0.2], "formula": ["LiCl"] * 4})
    pq.write_table(table, tmp_path / "r.parquet")
    arguments = ["--views", str(tmp_path / "views"), "--input", str(lines), "--top", "2"]
    run = CliRunner().invoke(command, [str(tmp_path / "r.parquet"), "-o", str(tmp_path / "r.html"), *arguments])
    assert run.exit_code == 0, run.output
    pages = sorted(path.name for path in (tmp_path / "views").iterdir())
    assert len(pages) == 2
    dom = open_page(tmp_path / "r.html").dom
    assert sorted(re.findall(r'href="views/([^"]+)"', dom)) == pages
    assert re.search(r'href="views/[^"]+">cell-0001<', dom)
    assert re.search(r'href="views/[^"]+">cell-0003<', dom)


def test_browser_helper_sees_errors(tmp_path: Path) -> None:
    """The console check of these tests can fail."""
    (tmp_path / "bad.html").write_text("<script>throw new Error('seen')</script>")
    assert any("seen" in line for line in open_page(tmp_path / "bad.html").console)

"""fastin top: order, conditions, and a sandbox that reaches nothing but the table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fastin.cli.top import command
from fastin.errors import InputError
from fastin.screening.query import top


@pytest.fixture
def table() -> pa.Table:
    return pa.table(
        {
            "id": ["a", "b", "c", "d", "e"],
            "formula": ["LiCl", "Li3N", "<b>x</b>", "Grüße", None],
            "e3d": [0.5, 0.2, float("inf"), 0.2, None],
            "voids": [3, 1, 2, 5, 4],
            "record_key": [1, 2, 3, 4, 5],
        }
    )


def test_order_and_condition(table: pa.Table) -> None:
    assert top(table, "e3d")["id"].to_pylist() == ["b", "d", "a"]  # ties in input order, inf and null left out
    assert top(table, "E3D", descending=True, limit=1)["id"].to_pylist() == ["a"]
    assert top(table, "e3d", where="voids > 2 and formula like 'Li%'")["id"].to_pylist() == ["a"]
    assert top(table, "voids", where="e3d is null -- comment")["id"].to_pylist() == ["e"]
    assert top(table, "voids", columns=["formula"]).column_names == ["formula"]
    with pytest.raises(InputError, match="no column 'e4d'; there are: id, formula, e3d, voids"):
        top(table, "e4d")


def test_condition_reaches_nothing(table: pa.Table, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("x\n1\n")
    target = tmp_path / "written.csv"
    for where in (
        f"exists (select * from read_csv('{secret}'))",
        f"exists (select * from '{secret}')",
        f"1 in (select length(content) from read_text('{secret}'))",
        f"1=1); COPY results TO '{target}'; SELECT (1",
        "1=1); DROP TABLE results; SELECT (1",
        "exists (select * from table_of_the_caller)",
        "getenv('HOME') <> ''",
        "1=1) union all select * from duckdb_settings() where (true",
        "no_such_column = 1",
        ")",
    ):
        with pytest.raises(InputError, match="condition"):
            top(table, "e3d", where=where)
    assert not target.exists()
    table_of_the_caller = table  # visible to a replacement scan, were it on
    assert table_of_the_caller.num_rows == 5


def test_long_query_is_stopped(table: pa.Table) -> None:
    where = "(select count(*) from range(100000000) a, range(100000000) b where hash(a.range + b.range) = 7) > 0"
    with pytest.raises(InputError, match="longer than"):
        top(table, "e3d", where=where, time_limit=0.5)


def test_command_line(table: pa.Table, tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    pq.write_table(table, path)
    run = CliRunner().invoke(command, [str(path), "--by", "e3d"])
    assert run.exit_code == 0
    assert "Li3N" in run.output
    assert "  eV" in run.output
    run = CliRunner().invoke(command, [str(path), "--by", "voids", "--json", "-c", "id,e3d,formula"])
    rows = [json.loads(line) for line in run.output.splitlines()]
    assert [row["id"] for row in rows] == ["b", "c", "a", "e", "d"]
    assert rows[1]["e3d"] == "inf"
    run = CliRunner().invoke(command, [str(path), "--by", "voids", "--csv"])
    assert next(csv.reader(io.StringIO(run.output)))[0] == "id"
    run = CliRunner().invoke(command, [str(path), "--by", "e3d", "--where", "e3d < -5"])
    assert run.exit_code == 0
    assert "no row" in run.stderr
    assert CliRunner().invoke(command, [str(path), "--by", "nothing"]).exit_code == 2
    assert CliRunner().invoke(command, [str(tmp_path / "none.parquet"), "--by", "x"]).exit_code == 2
    (tmp_path / "text.parquet").write_text("no table")
    assert CliRunner().invoke(command, [str(tmp_path / "text.parquet"), "--by", "x"]).exit_code == 2


def test_former_names_are_views(table: pa.Table) -> None:
    """Old questions work on new tables, and today's on old ones."""
    new = table.rename_columns({"e3d": "barrier_3d_network_eV"})
    for given in (table, new):
        for name in ("e3d", "barrier_3d_network_eV"):
            found = top(given, name, where="e3d < 0.4 and barrier_3d_network_eV > 0.1")
            assert found["id"].to_pylist() == ["b", "d"]

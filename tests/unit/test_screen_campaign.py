"""fastin.screen: one row a structure whatever the structure does; exact resume; options checked first."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from screening_support import install_plugin, rocksalt, write_lines

import fastin
from fastin.cli.screen import command
from fastin.errors import InputError, MissingDependencyError
from fastin.screening import campaign, read_results, screen
from fastin.screening import tasks as tasks_module
from fastin.screening.labels import FORMER_NAMES
from fastin.screening.store import KEY

MISBEHAVE = "screening_plugin:misbehave"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    return install_plugin(tmp_path / "plugin", monkeypatch)


def _write(folder: Path, *anions: str) -> Path:
    folder.mkdir(exist_ok=True)
    for number, anion in enumerate(anions):
        (folder / f"{number:02d}-{anion}.cif").write_text(rocksalt(anion), encoding="utf-8")
    return folder


def test_crystal_facts(tmp_path: Path) -> None:
    result = screen(_write(tmp_path / "in", "Cl", "Cl"), tmp_path / "o.parquet", tasks=["crystal"], workers=1)
    assert (result.total, result.failed, result.computed) == (2, 0, 2)
    row = result.table.to_pylist()[0]
    assert row["id"] == "00-Cl"
    assert row["formula"] == "LiCl"
    assert row["ion"] == "Li+"
    assert row["space_group_number"] == 225
    assert row["sites"] == 8
    assert row["cell_volume_A3"] == pytest.approx(5.13**3, rel=1e-9)
    assert result.to_dataframe().shape[0] == 2
    assert "2 rows, 2 ok" in result._repr_html_()
    assert "<td>LiCl</td>" in result._repr_html_()


def test_poisoned_structures_cost_their_own_row(tmp_path: Path, plugin: str) -> None:
    """Killed, crashed, endless, raising and unreadable structures among good ones."""
    folder = _write(tmp_path / "in", "Cl", "Br", "Cl", "I", "Cl", "F", "Cl", "H", "Cl")
    (folder / "09-text.cif").write_text("no CIF at all")
    (folder / "10-binary.cif").write_bytes(bytes(range(256)) * 10)
    result = screen(folder, tmp_path / "o.parquet", tasks=[MISBEHAVE], workers=2, time_limit=3.0)
    rows = {row["id"]: row for row in result.table.to_pylist()}
    assert result.total == 11
    assert result.failed == 6
    assert [rows[f"{n:02d}-Cl"]["answer"] for n in (0, 2, 4, 6, 8)] == [42.0] * 5
    assert rows["00-Cl"]["text"] == "Grüße"
    assert rows["01-Br"]["error_type"] == "WorkerDied"
    assert "memory" in rows["01-Br"]["error_message"]
    assert rows["03-I"]["error_type"] == "WorkerDied"
    assert "SIGSEGV" in rows["03-I"]["error_message"]
    assert rows["05-F"]["error_type"] == "TimeoutError"
    assert rows["05-F"]["error_message"] == "exceeded the time limit of 3 s"
    assert rows["07-H"]["error_type"] == "ValueError"
    assert rows["07-H"]["failed_tasks"] == MISBEHAVE
    assert rows["07-H"]["formula"] == "LiH"  # what was computed before the failure is kept
    assert rows["09-text"]["failed_tasks"] == "read"
    assert rows["10-binary"]["error_type"] is not None


def test_resume_adds_replaces_and_keeps(tmp_path: Path) -> None:
    folder, out = _write(tmp_path / "in", "Cl", "Br"), tmp_path / "o.parquet"
    assert screen(folder, out, tasks=["crystal"], workers=1).computed == 2
    assert screen(folder, out, tasks=["crystal"], workers=1).computed == 0
    (folder / "02-F.cif").write_text(rocksalt("F"))
    (folder / "00-Cl.cif").write_text(rocksalt("Cl", a=5.2))
    (folder / "01-Br.cif").unlink()
    result = screen(folder, out, tasks=["crystal"], workers=1)
    assert result.computed == 2
    rows = result.table.to_pylist()
    assert [row["id"] for row in rows] == ["00-Cl", "02-F", "01-Br"]
    assert (result.total, result.others, result.replaced, result.dropped) == (2, 1, 1, 0)
    pruned = screen(folder, out, tasks=["crystal"], workers=1, prune=True)
    assert (pruned.computed, pruned.others, pruned.dropped) == (0, 0, 1)
    assert [row["id"] for row in pruned.table.to_pylist()] == ["00-Cl", "02-F"]
    assert rows[0]["cell_volume_A3"] == pytest.approx(5.2**3, rel=1e-9)


def test_another_input_joins_the_table(tmp_path: Path) -> None:
    out = tmp_path / "o.parquet"
    screen(_write(tmp_path / "a", "Cl", "Br"), out, tasks=["crystal"], workers=1)
    result = screen(_write(tmp_path / "b", "F"), out, tasks=["crystal"], workers=1)
    assert (result.computed, result.total, result.others) == (1, 1, 2)
    assert len(result.table) == 3


def test_another_task_computes_only_what_is_missing(tmp_path: Path, plugin: str) -> None:
    folder, out = _write(tmp_path / "in", "Cl", "H"), tmp_path / "o.parquet"
    first = screen(folder, out, tasks=["network"], workers=1).table
    (folder / "02-F.cif").write_text(rocksalt("Cl", a=5.5))
    slow = "screening_plugin:slow"
    second = screen(folder, out, tasks=["network", slow], workers=1)
    assert (second.computed, second.failed) == (3, 0)
    assert second.table["cell_volume"].to_pylist() == pytest.approx([5.13**3, 5.13**3, 5.5**3])
    assert second.table["tasks"].to_pylist() == [f"crystal,network,{slow}"] * 3
    assert second.table.slice(0, 2).select(first.column_names).drop_columns(["tasks"]) == first.drop_columns(["tasks"])
    assert screen(folder, out, tasks=["network", slow], workers=1).computed == 0
    fewer = screen(folder, out, tasks=["network"], workers=1)
    assert fewer.computed == 0
    assert fewer.table.column_names == second.table.column_names
    failing = screen(folder, out, tasks=[MISBEHAVE], workers=1)
    assert (failing.computed, failing.failed) == (3, 1)
    row = failing.table.to_pylist()[1]
    assert (row["failed_tasks"], row["voids"] is not None, row["answer"]) == (MISBEHAVE, True, None)
    with pytest.raises(InputError, match="options of network"):
        screen(folder, out, tasks=["network"], workers=1, options={"radii": "effective"})


def test_numbers_of_a_table(tmp_path: Path) -> None:
    """Names need no quotes, integers stay integers, what is unreachable is infinite, what is missing is null."""
    import fastin

    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("LiFePO4", "LiCl"):
        (folder / f"{name}.cif").write_text(fastin.examples()[name].read_text())
    (folder / "LiXe.cif").write_text(rocksalt("Xe"))
    table = screen(folder, tmp_path / "o.parquet", tasks=["network", "barriers", "descriptors"], workers=1).table
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in table.column_names)
    values = [
        tuple(map(str, table[name].to_pylist()))
        for name in table.column_names
        if table.schema.field(name).type == "double"
    ]
    assert not any("nan" in column for column in values)
    kinds = dict(zip(table.column_names, map(str, table.schema.types), strict=True))
    assert {kinds[n] for n in ("channels", "channel_dimensionality", "conduction_dimensionality_below_500meV")} == {
        "int64"
    }
    rows = {row["id"]: row for row in table.to_pylist()}
    assert rows["LiXe"]["barrier_3d_network_eV"] is None
    assert rows["LiFePO4"]["barrier_3d_network_eV"] > 1.0
    assert not set(FORMER_NAMES) & set(table.column_names)
    assert set(FORMER_NAMES.values()) - set(table.column_names) <= {
        name for name in FORMER_NAMES.values() if name.startswith(("predicted", "path", "kinetic", "log10"))
    }


def test_changed_options_and_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = _write(tmp_path / "in", "Cl"), tmp_path / "o.parquet"
    screen(folder, out, tasks=["crystal"], workers=1)
    with pytest.raises(InputError, match="ion: null before"):
        screen(folder, out, tasks=["crystal"], workers=1, ion="Li")
    assert screen(folder, out, tasks=["crystal"], workers=1, ion="Li", resume="recompute").computed == 1
    monkeypatch.setattr(fastin, "__version__", "99")
    with pytest.raises(InputError, match='"99" now'):
        screen(folder, out, tasks=["crystal"], workers=1, ion="Li")
    assert screen(folder, out, tasks=["crystal"], workers=1, ion="Li", resume=False).computed == 1


def test_retry_errors(tmp_path: Path, plugin: str) -> None:
    folder, out = _write(tmp_path / "in", "Cl", "H"), tmp_path / "o.parquet"
    first = screen(folder, out, tasks=[MISBEHAVE], workers=1)
    assert first.failed == 1
    assert screen(folder, out, tasks=[MISBEHAVE], workers=1).computed == 0
    again = screen(folder, out, tasks=[MISBEHAVE], workers=1, retry_errors=True)
    assert (again.computed, again.failed, again.total) == (1, 1, 2)


def test_iterator_of_structures_and_duplicates(tmp_path: Path) -> None:
    from pymatgen.core import Lattice, Structure

    def structures() -> Any:
        for a in (5.0, 5.1, 5.2):
            yield "salt", Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), ["Li", "Cl"], [[0, 0, 0], [0.5] * 3])

    result = screen(structures(), tmp_path / "o.parquet", tasks=["crystal"], workers=1)
    assert result.table["id"].to_pylist() == ["salt", "salt#2", "salt#3"]
    assert result.renamed == 2
    assert result.failed == 0
    assert screen(structures(), tmp_path / "o.parquet", tasks=["crystal"], workers=1).computed == 0


def test_folder_output_and_reading_while_it_grows(tmp_path: Path) -> None:
    result = screen(write_lines(tmp_path / "s.jsonl.gz", 30), tmp_path / "out", tasks=["crystal"], workers=2)
    table = read_results(result.path)
    assert table["id"].to_pylist() == [f"cell-{i:04d}" for i in range(30)]
    assert len(set(table[KEY].to_pylist())) == 30
    assert table["seconds"].null_count == 0


def test_workers_do_not_change_the_bytes(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "s.jsonl.gz", 40)
    paths = [screen(lines, tmp_path / f"{n}.parquet", tasks=["crystal"], workers=n).path for n in (1, 2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_usage_errors_come_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: str) -> None:
    folder = _write(tmp_path / "in", "Cl")
    for kwargs, message in (
        ({"tasks": ["nonsense"]}, "unknown task"),
        ({"tasks": ["screening_plugin:nothing"]}, "nothing"),
        ({"tasks": ["os.path:join"]}, "needs columns"),
        ({"tasks": ["crystal"], "workers": 0}, "at least 1"),
        ({"tasks": ["crystal"], "time_limit": 0}, "positive"),
        ({"tasks": ["crystal"], "time_limit": float("nan")}, "time_limit must be a number"),
        ({"tasks": ["crystal"], "resume": "maybe"}, "resume must be"),
        ({"tasks": ["network"], "options": {"resolution": 0.3}}, "no task takes the option resolution"),
        ({"tasks": ["prediction"], "options": {"model": "nowhere.pt"}}, "no such model file"),
    ):
        with pytest.raises(InputError, match=message):
            screen(folder, tmp_path / "o.parquet", **kwargs)
    task = tasks_module.Task("extra", (("x", "float"),), lambda job: {}, (("no_such_module", "ml"),))
    monkeypatch.setitem(tasks_module.TASKS, "extra", lambda: task)
    with pytest.raises(MissingDependencyError, match=r"fastin\[ml\]"):
        screen(folder, tmp_path / "o.parquet", tasks=["extra"])


def test_options_that_cannot_work_end_the_run(tmp_path: Path) -> None:
    folder = _write(tmp_path / "in", "Cl")
    for value, message in (("foo", "convention must be one of"), (3, "convention must be text")):
        with pytest.raises(fastin.FastinError, match=message):
            screen(folder, tmp_path / "o.parquet", tasks=["barriers"], workers=1, options={"convention": value})


def test_slow_source_is_not_waited_for(tmp_path: Path) -> None:
    """Rows of what came reach the disk while the iterator is still waiting for more."""
    crystal = fastin.Crystal.from_cif_string(rocksalt())
    seen: list[int] = []

    def source() -> Iterator[Any]:
        for number in range(6):
            time.sleep(0.7)
            seen.append(len(list((tmp_path / "out").glob("part-*.parquet"))))
            yield f"c{number}", crystal

    screen(source(), tmp_path / "out", tasks=["crystal"], workers=1)
    assert seen[-1] > 0


def test_no_more_workers_than_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _write(tmp_path / "in", "Cl", "Br")
    sizes: list[int] = []

    class Spy(campaign.Supervisor):
        def __init__(self, config: Any, workers: int, *rest: Any) -> None:
            sizes.append(workers)
            super().__init__(config, workers, *rest)

    monkeypatch.setattr(campaign, "Supervisor", Spy)
    screen(folder, tmp_path / "o.parquet", tasks=["crystal"], workers=64)
    assert sizes == [2]


def test_worker_that_cannot_start_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: str) -> None:
    """A task that only the supervisor can import: the run ends with the reason, no row is invented."""
    folder = _write(tmp_path / "in", "Cl")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != plugin])
    import importlib.util

    spec = importlib.util.spec_from_file_location("screening_plugin", Path(plugin) / "screening_plugin.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "screening_plugin", module)
    with pytest.raises(fastin.FastinError, match=r"cannot start.*screening_plugin"):
        screen(folder, tmp_path / "o.parquet", tasks=[MISBEHAVE], workers=1)


def test_failing_disk_keeps_the_store_resumable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastin.screening import store as store_module

    lines, out = write_lines(tmp_path / "s.jsonl.gz", 60), tmp_path / "o.parquet"
    monkeypatch.setattr("fastin.screening.campaign._FLUSH_ROWS", 10)
    written = []
    real = store_module._write_atomically

    def fills_up(path: Path, data: bytes) -> None:
        if len(written) >= 3 and path.name.startswith("part-"):
            raise OSError(28, "No space left on device")
        written.append(path)
        real(path, data)

    monkeypatch.setattr(store_module, "_write_atomically", fills_up)
    with pytest.raises(store_module.StoreError, match="No space left"):
        screen(lines, out, tasks=["crystal"], workers=1)
    monkeypatch.undo()
    assert threading.active_count() < 10
    result = screen(lines, out, tasks=["crystal"], workers=1)
    assert 0 < result.computed < 60
    assert result.table["id"].to_pylist() == [f"cell-{i:04d}" for i in range(60)]


def test_command_line(tmp_path: Path, plugin: str) -> None:
    folder = _write(tmp_path / "in", "Cl", "H")
    arguments = [str(folder), "-o", str(tmp_path / "o.parquet"), "-j", "1", "-t", f"crystal,{MISBEHAVE}"]
    run = CliRunner().invoke(command, arguments)
    assert run.exit_code == 1
    assert "2 rows, 1 ok, 1 with an error" in run.output
    assert CliRunner().invoke(command, [*arguments, "--quiet"]).output == ""
    assert CliRunner().invoke(command, [*arguments, "--ion", "Li"]).exit_code == 2
    assert CliRunner().invoke(command, ["nowhere.cif", "-o", str(tmp_path / "x.parquet")]).exit_code == 2
    assert CliRunner().invoke(command, [*arguments, "--option", "what"]).exit_code == 2
    log = tmp_path / "log.txt"
    fresh = [str(folder), "-o", str(tmp_path / "n.parquet"), "-j", "1", "-t", "crystal", "--log", str(log)]
    assert CliRunner().invoke(command, fresh).exit_code == 0
    assert log.exists()

"""Names that hide, turn or recolour text: written out on terminals and in pages, true in JSON."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import fastin
from fastin.cli import main
from fastin.runtime.plain import PlainStream, plain, plain_json

TURNING = ("\u202a", "\u202b", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069", "\u200e", "\u200f", "\u061c")
UNSEEN = ("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u2028", "\u2029", "\U000e0041")
CONTROL = tuple(chr(code) for code in (*range(1, 32), *range(127, 160)))


@pytest.mark.parametrize("character", [*TURNING, *UNSEEN, *CONTROL])
def test_written_out(character: str) -> None:
    shown = plain(f"Li{character}Cl")
    assert character not in shown
    assert shown.startswith("Li\\")
    assert shown.encode().decode("unicode_escape") == f"Li{character}Cl"  # nothing is lost
    assert json.loads(plain_json(json.dumps({"name": character}, ensure_ascii=False))) == {"name": character}


def test_other_writing_is_left() -> None:
    for text in ("LiFePO4", "Li₇La₃Zr₂O₁₂", "λ-MnO2", "固体電解質", "ליתיום", "café – 0.3 Å"):
        assert plain(text) == text


def test_a_stream_keeps_colours_and_lines() -> None:
    held = io.StringIO()
    stream = PlainStream(held)
    stream.write("\x1b[31mred\x1b[0m\tä\r\n")
    stream.writelines(["a\u202eb\n", "c\x9bd\n"])
    assert held.getvalue() == "\x1b[31mred\x1b[0m\tä\r\na\\u202eb\nc\\x9bd\n"
    assert not stream.isatty()


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    path = tmp_path / "a\u202efic.\x1b[31m\nx\u2067.cif"
    shutil.copy(fastin.examples()["LiCl"], path)
    return path


@pytest.mark.parametrize(
    "command", ["analyze", "analyze --notes", "barriers", "network", "xrd", "info", "analyze --csv", "paths"]
)
def test_on_a_terminal(command: str, evil: Path) -> None:
    name, *options = command.split()
    result = CliRunner().invoke(main, [name, *options, *([] if name == "info" else [str(evil)])], color=False)
    assert result.exit_code == 0, result.output
    for character in ("\u202e", "\u2067"):
        assert character not in result.output
        assert character not in result.stderr
    if name == "analyze" and not options:
        assert "\x1b" not in result.output


def test_json_is_true_and_safe(evil: Path) -> None:
    result = CliRunner().invoke(main, ["analyze", "--json", str(evil)])
    assert "\u202e" not in result.output
    assert Path(json.loads(result.stdout)[0]["source"]).name == evil.name


def test_errors_name_it_safely(evil: Path) -> None:
    evil.write_text("data_x\n_cell_length_a 5\n")
    with pytest.raises(fastin.InputError) as raised:
        fastin.Crystal.from_file(evil)
    assert plain(str(raised.value)) == str(raised.value)
    assert "\\u202e" in str(raised.value)


def test_in_a_page(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    result = CliRunner().invoke(main, ["view", str(fastin.examples()["LiCl"]), "-o", str(out), "--title", "a\u202eb"])
    text = out.read_text() if result.exit_code == 0 else fastin.view(fastin.examples()["LiCl"], title="a\u202eb").html
    assert "\u202e" not in text
    assert '\\u202e"' not in text.replace("\\\\u202e", "")  # JSON would turn it into the character again

"""The rooms of the C++ core: each includes only headers of rooms before it, or of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CPP = Path(__file__).parents[1] / "cpp"
ROOMS = (
    *("base", "geometry", "tessellation", "network", "bvse", "ordering"),
    *("percolation", "transport", "graph", "xrd"),
)
FUZZ = "fuzz"  # tests of every room together
#: Rooms that do not know each other although one stands later.
APART = {
    *(frozenset(pair) for pair in (("network", "bvse"), ("network", "ordering"), ("bvse", "ordering"))),
    *(frozenset(pair) for pair in (("transport", "graph"), ("graph", "xrd"), ("transport", "xrd"))),
}
INCLUDE = re.compile(r'^#include "fastin/(\w+)/(\w+\.hpp)"', re.MULTILINE)

pytestmark = pytest.mark.skipif(not CPP.is_dir(), reason="the C++ sources are not beside the tests")


def wrong_includes(room: str, text: str) -> list[str]:
    """Headers that a file of the room must not include."""
    if room == FUZZ:
        return []
    allowed = [r for r in ROOMS[: ROOMS.index(room) + 1] if frozenset((room, r)) not in APART]
    return [f"{other}/{name}" for other, name in INCLUDE.findall(text) if other not in allowed]


@pytest.mark.parametrize("folder", ["include/fastin", "src", "bindings", "tests"])
def test_each_room_includes_only_rooms_before_it(folder: str) -> None:
    files = [p for p in (CPP / folder).rglob("*.?pp") if p.parent != CPP / folder]
    assert len(files) >= 9
    assert {p.parent.name for p in files} <= {*ROOMS, FUZZ}
    wrong = {str(p.relative_to(CPP)): bad for p in files if (bad := wrong_includes(p.parent.name, p.read_text()))}
    assert not wrong


def test_the_check_can_fail() -> None:
    assert wrong_includes("geometry", '#include "fastin/bvse/bvse.hpp"\n') == ["bvse/bvse.hpp"]
    assert wrong_includes("bvse", '#include "fastin/network/network.hpp"\n') == ["network/network.hpp"]
    assert not wrong_includes("percolation", '#include "fastin/bvse/energy_field.hpp"\n')


def test_no_file_is_long() -> None:
    for path in [*CPP.rglob("*.cpp"), *CPP.rglob("*.hpp")]:
        assert path.read_text().count("\n") <= 500, path

"""The clones of the hot kernels: each runs, gives the same numbers, and is made of packed instructions."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fastin.runtime.openmp import _core

LEVELS = ("baseline", "x86-64-v3", "x86-64-v4")
SOURCES = Path(__file__).parents[1] / "cpp" / "src"
CMAKE = Path(__file__).parents[1] / "CMakeLists.txt"


def cloned() -> list[str]:
    """Every kernel that the sources build for all levels."""
    macro = re.compile(r"^FASTIN_(?:CLONED(?:_BY_LEVEL)?\(\s*[\w:]+\s*,|PAIR_KERNEL\()\s*(\w+)", re.MULTILINE)
    return [name for path in sorted(SOURCES.glob("*/*.cpp")) for name in macro.findall(path.read_text())]


x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="clones are for x86-64")

NUMBERS = """
import json, fastin
import numpy as np
from fastin.bvse.grid import build_field
path = fastin.examples()["LiFePO4"]
grid = fastin.compute_bvse(path, "Li", resolution=0.6, plain_sum=True, num_threads=1)
points = np.random.default_rng(0).random((40, 3))
energy, gradient, _ = build_field(fastin.Crystal.from_file(path), "Li").derivatives(points, num_threads=1)
network = fastin.compute_network(path, "Li")
barriers = fastin.compute_barriers(path, "Li")
split = fastin.compute_bvse(path, "Li", resolution=0.25, num_threads=1)
pattern = fastin.xrd_pattern(path)[1]
print(json.dumps({
    "level": fastin.show_config(as_dict=True)["simd"],
    "grid": np.minimum(grid.values, 20.0).ravel().tolist(),
    "split": np.minimum(split.values, 20.0).ravel().tolist(),
    "energy": np.minimum(energy, 20.0).tolist(),
    "gradient": gradient[energy < 20.0].ravel().tolist(),
    "spheres": [*network.free_sphere_radii, len(network.site_radius), len(network.edge_length)],
    "barriers": [barriers.e1d, barriers.e2d, barriers.e3d],
    "pattern": pattern.tolist(),
}))
"""


def numbers(level: str) -> dict[str, object]:
    out = subprocess.run(
        [sys.executable, "-c", NUMBERS],
        env={**os.environ, "FASTIN_SIMD": level},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(out.stdout))


@x86
def test_every_level_gives_the_same_numbers() -> None:
    highest = LEVELS.index(_core.simd_level())
    found = {level: numbers(level) for level in LEVELS[: highest + 1]}
    assert [f["level"] for f in found.values()] == list(LEVELS[: highest + 1])
    reference = found["baseline"]
    for level, other in found.items():
        for name in ("grid", "split", "energy", "gradient", "spheres", "barriers", "pattern"):
            a, b = np.array(reference[name]), np.array(other[name])
            np.testing.assert_allclose(b, a, rtol=2e-6, atol=2e-5, err_msg=f"{name} at {level}")


def test_an_unknown_level_is_an_error_that_names_it() -> None:
    code = "import fastin; fastin.show_config()"
    out = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "FASTIN_SIMD": "avx9"}, capture_output=True, text=True
    )
    assert out.returncode != 0
    assert "FASTIN_SIMD must be" in out.stderr


def instructions(library: str) -> dict[str, Counter[str]]:
    """Scalar and packed floating-point instructions of each function of a library, the packed ones also by register."""
    text = subprocess.run(
        ["objdump", "-d", "-C", "--no-show-raw-insn", library], capture_output=True, text=True, check=True
    ).stdout
    found: dict[str, Counter[str]] = {}
    name = ""
    # of numbers and masks, and what takes them apart
    masks = re.compile(r"\tv?(?:p(?:and|or|andn|xor|sll|srl|cmp|ternlog)\w*|(?:and|or|andn|xor|cmp\w*)p[sd])\b")
    single = re.compile(r"\tv?(?:u?comis[sd]|pextr[bwdq]|pinsr[bwdq]|extractps|insertps)\b")
    arithmetic = re.compile(r"\tv?(?:mul|add|sub|div|sqrt|fn?m(?:add|sub)\d{3})(ss|sd|ps|pd)\b.*%([xyz])mm")
    for line in text.splitlines():
        if header := re.match(r"[0-9a-f]+ <(?:.*::)?(\w+)\(", line):
            name = header.group(1)
            found.setdefault(name, Counter())
        elif masks.search(line):
            found.setdefault(name, Counter())["masks"] += 1
        elif single.search(line):
            found.setdefault(name, Counter())["single"] += 1
        elif got := arithmetic.search(line):
            counts = found[name]
            if got.group(1).startswith("s"):
                counts["scalar"] += 1
            else:
                counts.update(("packed", got.group(2)))
    return found


# Most of the code is around the loop: reductions, remainders.
SHORT_LOOP = {"enclose", "add_rows", "activate_rows", "finish_rows", "shoot_ray"}
NARROW = {"shoot_ray": "y"}  # eight planes at a time


@x86
@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump (binutils) is not installed")
def test_every_clone_is_made_of_packed_instructions() -> None:
    library = Path(__file__).parents[1] / "build" / "release" / "libfastin_core.a"  # wheels are stripped
    found = None
    for path in (Path(str(_core.__file__)), library):
        if found is None and path.is_file():
            seen = instructions(str(path))
            found = seen if any(name.startswith("add_morse") for name in seen) else None
    if found is None:
        pytest.skip("the extension is stripped, and the C++ library is not built (cmake --preset release)")
    kernels = cloned()
    assert {"add_morse", "add_coulomb_far_20", "add_near_morse", "spline_sums", "slots_within"} <= set(kernels)
    for kernel in kernels:
        for level, register, width in (("baseline", "x", 1), ("v3", "y", 2), ("v4", "z", 4)):
            counts = found.get(f"{kernel}_{level}")
            assert counts is not None, f"{kernel} has no clone for {level}"
            if counts["packed"] + counts["scalar"] == 0:
                # comparisons and bits alone
                assert counts["single"] <= counts["masks"], f"{kernel}_{level} is taken apart: {counts}"
                continue
            scalar = 0 if kernel in SHORT_LOOP else counts["scalar"]
            assert width * counts["packed"] > scalar, f"{kernel}_{level} is scalar code: {counts}"
            wide = counts[min(register, NARROW.get(kernel, register))]
            assert wide > 0.45 * counts["packed"], f"{kernel}_{level} leaves most of its registers empty: {counts}"


CROSS = "aarch64-linux-gnu-"


@pytest.mark.skipif(
    not all(map(shutil.which, (CROSS + "g++", CROSS + "objdump"))), reason="no cross compiler (g++-aarch64-linux-gnu)"
)
def test_kernels_of_the_energies_are_packed_on_aarch64(tmp_path: Path) -> None:
    options = re.search(r"bvse_kernels.cpp\s+PROPERTIES COMPILE_OPTIONS\s+\"[^:]*:[^:]*:([^>]*)>", CMAKE.read_text())
    assert options is not None
    for name, flags in (("bvse_kernels", options[1].split(";")), ("bvse_point", []), ("far_spline", [])):
        source, built = SOURCES / "bvse" / f"{name}.cpp", tmp_path / f"{name}.o"
        command = [CROSS + "g++", "-std=c++17", "-O3", "-fno-math-errno", "-fopenmp-simd", "-fno-trapping-math", *flags]
        subprocess.run([*command, f"-I{SOURCES.parent / 'include'}", "-c", str(source), "-o", str(built)], check=True)
        dump = [CROSS + "objdump", "-d", "-C", "--no-show-raw-insn", str(built)]
        text = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
        found: dict[str, Counter[str]] = {}
        function = ""
        for line in text.splitlines():
            if header := re.match(r"[0-9a-f]+ <(?:.*::)?(\w+)\(", line):
                function = header.group(1)
            elif got := re.search(r"\tf(?:n?mul|n?m?add|n?m?sub|ml[as]|sqrt|div)\t(\w)", line):
                found.setdefault(function, Counter())[got.group(1)] += 1
        kernels = [kernel for kernel in cloned() if kernel in found and kernel not in SHORT_LOOP]
        assert kernels
        for kernel in kernels:
            assert found[kernel]["v"] > found[kernel]["s"] + found[kernel]["d"], f"{kernel}: {found[kernel]}"

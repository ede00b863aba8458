"""Writes python/fastin/_core.pyi from the built module, or checks it: python cpp/bindings/stub.py [--check]."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

STUB = Path(__file__).resolve().parents[2] / "python" / "fastin" / "_core.pyi"


def generate() -> str:
    """The stub of the module that this interpreter imports, with Any where the bindings return bare containers."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", "fastin._core", "-o", folder]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
        text = (Path(folder) / "fastin" / "_core.pyi").read_text(encoding="utf-8")
    text = re.sub(r"\btuple(?!\[)(?=[:,)\]])", "tuple[typing.Any, ...]", text)
    text = re.sub(r"\bdict(?!\[)(?=[:,)\]])", "dict[str, typing.Any]", text)
    return re.sub(r"(?m)^has_openmp: bool = \w+$", "has_openmp: bool", text)


def main() -> int:
    """Exit status 1 when --check finds a difference."""
    text = generate()
    if "--check" not in sys.argv[1:]:
        STUB.write_text(text, encoding="utf-8")
        return 0
    if STUB.read_text(encoding="utf-8") == text:
        return 0
    print(f"{STUB.name} is not what the built module says; run: python cpp/bindings/stub.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

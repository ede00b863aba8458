"""Crystal structures bundled with fastin, typed in from the literature (each CIF names its source)."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "data" / "examples"


def examples() -> dict[str, Path]:
    """Name -> path of the bundled CIFs, in alphabetical order.

    Examples:
        >>> from fastin import Crystal, examples
        >>> Crystal.from_file(examples()["LiFePO4"])
        Crystal(LiFePO4, 28 positions, Pnma (62), 291.4 A^3)
    """
    return {path.stem: path for path in sorted(_FOLDER.glob("*.cif"))}

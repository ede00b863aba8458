"""Colours of the elements in pictures."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fastin.crystal import elements

# One, two, three dimensions; apart from each other also without red-green vision (M. Okabe and K. Ito, Color Universal
# Design, 2008: blue, orange; and a dark purple-red).
SERIES = ("#0072b2", "#e69f00", "#7a1f5c")
# Low to high energy: viridis (S. van der Walt and N. Smith, matplotlib, 2015), rising in lightness for every eye.
ENERGY = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725")

# Elements that are common in ionic conductors, apart from each other on a white ground.
_COLOURS = {
    "H": "#e6e6e6", "Li": "#b35ad0", "Na": "#e0a100", "K": "#6a2fb5", "Ag": "#9aa3ad", "Cu": "#c87533",
    "Mg": "#5bbf21", "Ca": "#3d9b7d", "Sr": "#2f8f6b", "Ba": "#1f7a4d", "Zn": "#7d80b0", "Al": "#a79aa8",
    "B": "#e89c8c", "C": "#4d4d4d", "N": "#3050f8", "O": "#e0322b", "F": "#6fbf3a", "Si": "#c9a97a",
    "P": "#f08c1a", "S": "#e8cf23", "Cl": "#35c135", "Br": "#9c3a2c", "I": "#8a2be2", "Ge": "#668f8f",
    "As": "#bd80e3", "Se": "#f0a000", "Sn": "#668080", "Sb": "#9e63b5", "Te": "#d47a00", "Bi": "#9e4fb5",
    "Ti": "#9aa6b5", "V": "#8a8fa3", "Cr": "#7f8fb8", "Mn": "#9c7ac7", "Fe": "#d3652b", "Co": "#3f55b0",
    "Ni": "#4fb04f", "Y": "#7fd6d6", "Zr": "#5fb8c4", "Nb": "#73c2c9", "Mo": "#54b5b5", "La": "#55b7e6",
    "Ce": "#d8d88a", "Ta": "#4da6ff", "W": "#2194d6", "Hf": "#4dc2ff", "Ga": "#c28f8f", "In": "#a67573",
    "Sc": "#b8b8c8", "Cs": "#57178f", "Rb": "#702eb0", "Be": "#a6d62c", "Pb": "#575961", "Tl": "#a6544d",
}  # fmt: skip


def colour(number: int) -> str:
    """Colour of an element as #rrggbb; the lanthanides and rare guests get one from their atomic number."""
    symbol = elements.symbol(number) if number > 0 else ""
    if symbol in _COLOURS:
        return _COLOURS[symbol]
    red, green, blue = colorsys.hls_to_rgb((number * 0.137) % 1.0, 0.58, 0.42)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


# Linear RGB as seen without the green-sensitive cones: G. M. Machado, M. M. Oliveira and L. A. F. Fernandes, IEEE
# Trans. Vis. Comput. Graph. 15, 1291 (2009), severity 1.
_DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # sRGB, D65
_APART = 18.0  # CIELAB units between two colours of one picture


def _lab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIELAB of linear sRGB."""
    ratio = _TO_XYZ @ np.clip(linear, 0, 1) / _TO_XYZ.sum(axis=1)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _looks(text: str) -> NDArray[np.float64]:
    """(2, 3) CIELAB of #rrggbb for full colour vision and without green-sensitive cones."""
    code = np.array([int(text[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return np.stack([_lab(linear), _lab(_DEUTERANOPIA @ linear)])


def _shades(text: str) -> list[str]:
    """A colour, then lighter and darker ones of the same hue."""
    hue, light, full = colorsys.rgb_to_hls(*(int(text[k : k + 2], 16) / 255 for k in (1, 3, 5)))
    found = [text]
    for step in np.arange(0.04, 0.5, 0.04):
        for level in (light + step, light - step):
            if 0.14 <= level <= 0.9:
                shade = colorsys.hls_to_rgb(hue, level, full)
                found.append("#" + "".join(f"{round(255 * part):02x}" for part in shade))
    return found


def colours_of(numbers: Iterable[int]) -> dict[int, str]:
    """Colours of the elements of one picture, told apart with and without red-green vision.

    Where two are too much alike, the second takes a lighter or darker shade of its own colour.
    """
    chosen: dict[int, str] = {}
    taken: list[NDArray[np.float64]] = []
    for number in numbers:
        best, widest = "", -1.0
        for shade in _shades(colour(number)):
            seen = _looks(shade)
            gap = min((float(np.linalg.norm(seen - other, axis=1).min()) for other in taken), default=np.inf)
            if gap > widest:
                best, widest = shade, gap
            if gap >= _APART:
                break
        chosen[number] = best
        taken.append(_looks(best))
    return chosen

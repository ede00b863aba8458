"""Colours of the elements in pictures."""

from __future__ import annotations

import colorsys

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

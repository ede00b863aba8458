"""Crystals: elements, radii, reading files, oxidation states, symmetry, and the framework that a mobile ion sees."""

"""Crystallographic information files: text in, expanded sites out, checked against what the file says about itself.

gemmi parses and knows the space groups, numpy expands. The parts: `document` (syntax, blocks), `tags` (values,
formula), `cell`, `atoms` (the atom loop), `symmetry` and `settings` (what operations a file may mean), `expand`
(orbits), `contents` and `choice` (which reading is right).
"""

from fastin.crystal.cif.read import parse_cif

__all__ = ["parse_cif"]

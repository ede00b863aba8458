#!/usr/bin/env bash
# ASE 3.29.0 reads a CIF that names its setting, _space_group_name_H-M_alt 'I 41/a c d :2' with _space_group_IT_number 142 and no
# list of operations, in origin choice 1, without a word: tetragonal Li7La3Zr2O12 comes back with 232 atoms, two of them 0.43
# angstrom apart; gemmi 0.7.5 reads the suffix and expands to 192. A relaxation or NEB begins from another crystal. Seen:
#   ase: 232 atoms, shortest distance 0.430
#   gemmi: 192 atoms
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "ase==3.29.0" "gemmi==0.7.5"
cd "$work"
cat > run.py <<'PY'
import sys

import gemmi
import numpy as np
from ase.io import read

# J. Awaka et al., J. Solid State Chem. 182, 2046 (2009), origin choice 2.
with open("garnet.cif", "w") as out:
    out.write("""data_garnet
_space_group_name_H-M_alt 'I 41/a c d :2'
_space_group_IT_number 142
_cell_length_a 13.134
_cell_length_b 13.134
_cell_length_c 12.663
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
SITES
""".replace("SITES", sys.stdin.read().strip()))
atoms = read("garnet.cif")
distance = atoms.get_all_distances(mic=True)
np.fill_diagonal(distance, np.inf)
expanded = len(gemmi.read_small_structure("garnet.cif").get_all_unit_cell_sites())
print(f"ase: {len(atoms)} atoms, shortest distance {distance.min():.3f}", file=sys.stderr)
print(f"gemmi: {expanded} atoms", file=sys.stderr)
sys.exit(not (len(atoms) == 232 and abs(distance.min() - 0.430) < 0.001 and expanded == 192))
PY
"$work/env/bin/python" run.py <<'SITES'
La1 La 0 0.25 0.125
La2 La 0.1270 0 0.25
Zr1 Zr 0 0 0
Li1 Li 0 0.25 0.375
Li2 Li 0.1797 0.4297 0.125
Li3 Li 0.0806 0.0857 0.8041
O1 O 0.9662 0.0548 0.1524
O2 O 0.0541 0.8529 0.5338
O3 O 0.1496 0.0276 0.4464
SITES

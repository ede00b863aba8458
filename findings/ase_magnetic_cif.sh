#!/usr/bin/env bash
# ASE 3.29.0 reads a magnetic CIF (magCIF, symmetry only as _space_group_symop_magn_operation.xyz) as the bare asymmetric unit in P1,
# without a warning: the six listed sites of LiFePO4 come back as six atoms, FeLiO3P, instead of the 28 of the cell. pymatgen 2026.10.24
# expands the same file to Li4Fe4P4O16. A number computed from the ASE structure (density, barriers) is wrong and looks right.
# Seen: "ase: FeLiO3P, 6 atoms, 0 warnings" and "pymatgen: Li4 Fe4 P4 O16".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "ase==3.29.0" "pymatgen==2026.10.24" "pymatgen-core==2026.10.16"
# LiFePO4, V. A. Streltsov et al., Acta Cryst. B49, 147 (1993); the operations of Pnma with time reversal +1.
cat > "$work/LiFePO4.mcif" <<'CIF'
data_LiFePO4
_chemical_formula_sum 'Li Fe P O4'
_cell_length_a 10.332
_cell_length_b 6.010
_cell_length_c 4.692
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_space_group_symop_magn_operation.id
_space_group_symop_magn_operation.xyz
1 x,y,z,+1
2 -x+1/2,-y,z+1/2,+1
3 -x,y+1/2,-z,+1
4 x+1/2,-y+1/2,-z+1/2,+1
5 -x,-y,-z,+1
6 x+1/2,y,-z+1/2,+1
7 x,-y+1/2,z,+1
8 -x+1/2,y+1/2,z+1/2,+1
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Li1 Li 0 0 0 1
Fe1 Fe 0.28222 0.25 0.97472 1
P1 P 0.09486 0.25 0.41820 1
O1 O 0.09678 0.25 0.74279 1
O2 O 0.45710 0.25 0.20602 1
O3 O 0.16558 0.04646 0.28478 1
CIF
"$work/env/bin/python" - "$work/LiFePO4.mcif" <<'PY'
import sys
import warnings

import ase.io
from pymatgen.io.cif import CifParser

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    atoms = ase.io.read(sys.argv[1], format="cif")
formula = atoms.get_chemical_formula(empirical=True)
print(f"ase: {formula}, {len(atoms)} atoms, {len(said)} warnings")
warnings.simplefilter("ignore")
composition = CifParser(sys.argv[1]).parse_structures(primitive=False)[0].composition
print(f"pymatgen: {composition.formula}")
same = formula == "FeLiO3P" and len(atoms) == 6 and not said and composition.formula == "Li4 Fe4 P4 O16"
sys.exit(0 if same else 1)
PY

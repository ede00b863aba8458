#!/usr/bin/env bash
# pyzeo 0.2.0 (Zeo++) does not apply the symmetry of a CIF whose loop of operations has the column _space_group_symop_id (core
# dictionary, beside the operations): LiFePO4 comes back as its six listed atoms and the largest free sphere (diameter) is 4.03
# angstrom instead of 0.11, without a word. Without that one column the same file gives 28 atoms. gemmi 0.7.5 expands both to 28.
# A screening on such files finds that everything conducts. Seen:
#   without id: pyzeo 28 atoms, free sphere 0.109; gemmi 28
#   with id: pyzeo 6 atoms, free sphere 4.031; gemmi 28
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "pyzeo==0.2.0" "gemmi==0.7.5"
cd "$work"
cat > run.py <<'PY'
import sys

import gemmi
from pyzeo.netstorage import AtomNetwork

# LiFePO4, V. A. Streltsov et al., Acta Cryst. B49, 147 (1993); the operations of Pnma.
OPERATIONS = (
    "x,y,z|-x+1/2,-y,z+1/2|-x,y+1/2,-z|x+1/2,-y+1/2,-z+1/2|-x,-y,-z|x+1/2,y,-z+1/2|x,-y+1/2,z|-x+1/2,y+1/2,z+1/2"
).split("|")
CELL = """data_LiFePO4
_cell_length_a 10.332
_cell_length_b 6.010
_cell_length_c 4.692
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
"""
SITES = """loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Li1 Li 0 0 0
Fe1 Fe 0.28222 0.25 0.97472
P1 P 0.09486 0.25 0.41820
O1 O 0.09678 0.25 0.74279
O2 O 0.45710 0.25 0.20602
O3 O 0.16558 0.04646 0.28478
"""


def look(name, numbered):
    columns = ["_space_group_symop_id"] * numbered + ["_space_group_symop_operation_xyz"]
    rows = [(f"{i} " if numbered else "") + f"'{text}'" for i, text in enumerate(OPERATIONS, 1)]
    with open(name, "w") as out:
        out.write(CELL + "\n".join(["loop_", *columns, *rows]) + "\n" + SITES)
    network = AtomNetwork.read_from_CIF(name, rad_flag=True)
    network.calculate_free_sphere_parameters("spheres.res")
    free = float(open("spheres.res").read().split()[2])
    return network.no_atoms, free, len(gemmi.read_small_structure(name).get_all_unit_cell_sites())


plain, numbered = look("plain.cif", False), look("numbered.cif", True)
for words, (atoms, free, others) in (("without id", plain), ("with id", numbered)):
    print(f"{words}: pyzeo {atoms} atoms, free sphere {free:.3f}; gemmi {others}", file=sys.stderr)
same = plain[0] == 28 and numbered[0] == 6 and plain[1] < 0.2 and numbered[1] > 4.0 and plain[2] == numbered[2] == 28
sys.exit(0 if same else 1)
PY
"$work/env/bin/python" run.py 2>&1 > /dev/null | cat

#!/usr/bin/env bash
# pymatgen 2026.10.24: Poscar reads a POSCAR whose scale is negative (VASP: the volume of the cell) and whose positions are Cartesian with
# atoms in the wrong places, without a word: the lattice is scaled to the volume, the positions are multiplied by the negative volume itself.
# VASP and ASE 3.29.0 multiply both by the same factor. Rock salt LiCl comes back with the right cell, right formula and density, and
# Li-Cl 0.81 angstrom instead of 2.57; written in fractions the same file is read right. Any energy, barrier or pattern of it is wrong. Seen:
#   pymatgen: volume 135.006, Li-Cl 0.813, 0 warnings; in fractions 2.565
#   ase: volume 135.006, Li-Cl 2.565
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "pymatgen==2026.10.24" "pymatgen-core==2026.10.16" "ase==3.29.0"
cd "$work"
for kind in Cartesian Direct; do
    # LiCl, a = 5.130 angstrom (R. W. G. Wyckoff, Crystal Structures 1, 1963); the vectors in units of a.
    cat > "POSCAR_$kind" <<POSCAR
LiCl
-135.005697
1 0 0
0 1 0
0 0 1
Li Cl
4 4
$kind
0 0 0
0.5 0.5 0
0.5 0 0.5
0 0.5 0.5
0.5 0.5 0.5
0 0 0.5
0 0.5 0
0.5 0 0
POSCAR
done
cat > run.py <<'PY'
import warnings

from ase.io import read
from pymatgen.io.vasp import Poscar

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    crystal = Poscar.from_file("POSCAR_Cartesian", check_for_potcar=False).structure
direct = Poscar.from_file("POSCAR_Direct", check_for_potcar=False).structure
atoms = read("POSCAR_Cartesian", format="vasp")
bonds = [crystal.distance_matrix[0, 4:].min(), direct.distance_matrix[0, 4:].min()]
other = atoms.get_distances(0, range(4, 8), mic=True).min()
print(f"pymatgen: volume {crystal.volume:.3f}, Li-Cl {bonds[0]:.3f}, {len(said)} warnings; in fractions {bonds[1]:.3f}")
print(f"ase: volume {atoms.get_volume():.3f}, Li-Cl {other:.3f}")
assert not said and abs(bonds[0] - 0.813) < 0.001 and abs(bonds[1] - 2.565) < 0.001 and abs(other - 2.565) < 0.001
PY
"$work/env/bin/python" run.py

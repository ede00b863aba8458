#!/usr/bin/env bash
# pymatgen 2026.10.24: Cssr (and Structure.from_file of a .cssr) reads the number of a site label as an oxidation state. In a CSSR file as Zeo++,
# Materials Studio and the Cambridge programs write it the atoms are called Na1, Na2, Cl5 ...: pymatgen makes Na+, Na2+ and Cl5+ of them, so that
# atoms of one element are of different species, chlorine is a cation, and the composition by species and any charge computed from it are
# nonsense, without a word. pymatgen's own writer leaves the numbers out, so that its round trip does not show it. Seen:
#   species Na+, Na2+, Na3+, Na4+, Cl5+, Cl6+, Cl7+, Cl8+; charge +36; 0 warnings
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "pymatgen==2026.10.24" "pymatgen-core==2026.10.16"
cd "$work"
# NaCl, a = 5.640 angstrom (R. W. G. Wyckoff, Crystal Structures 1, 1963)
cat > salt.cssr <<'CSSR'
                               5.640   5.640   5.640
                 90.000  90.000  90.000   SPGR =  1 P 1         OPT = 1
   8   0
0 NaCl
   1 Na1    0.00000  0.00000  0.00000    0   0   0   0   0   0   0   0   0.000
   2 Na2    0.00000  0.50000  0.50000    0   0   0   0   0   0   0   0   0.000
   3 Na3    0.50000  0.00000  0.50000    0   0   0   0   0   0   0   0   0.000
   4 Na4    0.50000  0.50000  0.00000    0   0   0   0   0   0   0   0   0.000
   5 Cl5    0.50000  0.50000  0.50000    0   0   0   0   0   0   0   0   0.000
   6 Cl6    0.50000  0.00000  0.00000    0   0   0   0   0   0   0   0   0.000
   7 Cl7    0.00000  0.50000  0.00000    0   0   0   0   0   0   0   0   0.000
   8 Cl8    0.00000  0.00000  0.50000    0   0   0   0   0   0   0   0   0.000
CSSR
cat > run.py <<'PY'
import warnings

from pymatgen.core import Structure

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    crystal = Structure.from_file("salt.cssr")
names = [str(site.specie) for site in crystal]
print(f"species {', '.join(names)}; charge {crystal.charge:+g}; {len(said)} warnings")
assert names == ["Na+", "Na2+", "Na3+", "Na4+", "Cl5+", "Cl6+", "Cl7+", "Cl8+"] and crystal.charge == 36 and not said
PY
"$work/env/bin/python" run.py

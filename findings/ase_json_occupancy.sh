#!/usr/bin/env bash
# ASE 3.29.0: partial occupancies of a CIF, which its Atoms carry in info["occupancy"], survive a trajectory and extended XYZ, but not ASE's own
# JSON and SQLite databases: Atoms written to .json or .db and read back hold every site full with its commonest element, without a word and
# with nothing in the file that would show it. A (Li,Na)Cl crystal with 40 % sodium comes back as LiCl: another formula, mass and density. Seen:
#   extxyz {'Li': 0.6, 'Na': 0.4}, traj {'Li': 0.6, 'Na': 0.4}, json nothing, db nothing; 0 warnings; json reads Cl4Li4
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "ase==3.29.0"
cd "$work"
cat > mixed.cif <<'CIF'
data_mixed
_cell_length_a 5.30
_cell_length_b 5.30
_cell_length_c 5.30
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
_space_group_IT_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Li1 Li 0 0 0 0.6
Na1 Na 0 0 0 0.4
Cl1 Cl 0.5 0.5 0.5 1
CIF
cat > run.py <<'PY'
import warnings

from ase.io import read, write

atoms = read("mixed.cif")
found = {}
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for suffix in ("extxyz", "traj", "json", "db"):
        write(f"mixed.{suffix}", atoms)
        back = read(f"mixed.{suffix}")
        found[suffix] = next(iter(back.info["occupancy"].values()), None) if "occupancy" in back.info else "nothing"
formula = read("mixed.json").get_chemical_formula()
print(", ".join(f"{suffix} {held}" for suffix, held in found.items()), f"; {len(said)} warnings; json reads {formula}", sep="")
assert found == {"extxyz": {"Li": 0.6, "Na": 0.4}, "traj": {"Li": 0.6, "Na": 0.4}, "json": "nothing", "db": "nothing"}
assert not said and formula == "Cl4Li4"
PY
"$work/env/bin/python" run.py

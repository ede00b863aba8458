#!/usr/bin/env bash
# ASE 3.29.0: the fitted barrier of a nudged elastic band (NEBTools.get_barrier, the default fit=True) is wrong, without a word, when the
# images were wrapped into the cell, as VASP and many files write them. fit_raw measures the lengths along the band with the minimum-image
# convention but takes the directions, on which it projects the forces, from plain differences of positions: where an atom crosses the
# cell's face the slopes at the images vanish, and the curve no longer rises above the images. Energies and forces are the same, the band is
# the same; only positions differ by whole lattice vectors.
# Seen, a vacancy in copper (EMT, two images): "unwrapped 0.747 eV, wrapped 0.596 eV, highest image 0.594 eV".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "ase==3.29.0" "numpy==2.4.6" "scipy==1.17.1"
cat > "$work/run.py" <<'PY'
import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.mep import NEB, NEBTools
from ase.optimize import FIRE

crystal = bulk("Cu", "fcc", cubic=True) * (2, 2, 2)
distance = crystal.get_all_distances(mic=True)[0]
vacancy = int(np.flatnonzero(np.isclose(distance, distance[distance > 0.1].min()))[-1])
step = crystal.get_distance(0, vacancy, mic=True, vector=True)  # across the face of the cell
start, end = crystal.copy(), crystal.copy()
end.positions[0] += step
for atoms in (start, end):
    del atoms[vacancy]
    atoms.calc = EMT()
    FIRE(atoms, logfile=None).run(0.02)
images = [start, start.copy(), start.copy(), end]
for image in images[1:-1]:
    image.calc = EMT()
neb = NEB(images, method="improvedtangent")
neb.interpolate()
FIRE(neb, logfile=None).run(0.03)


def frozen(image, wrap):
    copy = image.copy()
    if wrap:
        copy.wrap()
    copy.calc = SinglePointCalculator(copy, energy=image.get_potential_energy(), forces=image.get_forces())
    return copy


plain, wrapped = (NEBTools([frozen(i, wrap) for i in images]).get_barrier()[0] for wrap in (False, True))
top = NEBTools(images).get_barrier(fit=False)[0]
print(f"unwrapped {plain:.3f} eV, wrapped {wrapped:.3f} eV, highest image {top:.3f} eV")
assert abs(plain - 0.747) < 0.005 and abs(wrapped - 0.596) < 0.005 and abs(top - 0.594) < 0.005
PY
"$work/env/bin/python" "$work/run.py"

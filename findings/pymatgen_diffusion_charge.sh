#!/usr/bin/env bash
# pymatgen-analysis-diffusion 2026.9.23: DiffusionAnalyzer.conductivity takes as the ion's charge the number of electrons in the last entry
# of the element's list of subshells. For Li and Na that is 1. For Ag and Cu the list ends with 4d10 and 3d10: charge 10, a conductivity
# 100 times too high. F, Cl and Zn: 25 times, O and S: 4 times, Al: a ninth. Oxidation states on the structures change nothing. Expected, by
# the docstring of get_conversion_factor: "the oxidation state (where available), or else the number of valence electrons (usually a good
# guess, esp for main group ions)", and by Nernst-Einstein the charge 1. Seen for alpha-AgI (D = 1.44e-5 cm2/s at 500 K):
#   Ag: 8.2e+04 mS/cm, with Ag+ in the structures 8.2e+04, Nernst-Einstein with charge 1: 8.2e+02
#   squared charge over the right one: Ag 100, Cu 100, F 25, Cl 25, O 4, S 4, Zn 25, Al 0.11, Li 1, Na 1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "pymatgen-analysis-diffusion==2026.9.23" "pymatgen==2026.10.24" "pymatgen-core==2026.10.16"
cat > "$work/run.py" <<'PY'
import warnings

import numpy as np
from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer, get_conversion_factor
from pymatgen.core import Lattice, Species, Structure
from scipy.constants import e, k

warnings.simplefilter("ignore")
# The bcc iodide lattice of alpha-AgI, 5.07 angstrom (L. W. Strock, Z. Phys. Chem. B25, 441 (1934)), two of its tetrahedral sites
# filled; the silver ions walk at random, frames are 100 fs apart.
lattice = Lattice.cubic(5.07)
walk = np.random.default_rng(0).normal(scale=0.1, size=(200, 2, 3)).cumsum(axis=0) / 5.07
start = np.array([[0.25, 0.5, 0.0], [0.75, 0.0, 0.5], [0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])


def analyzer(silver, iodine):
    moved = [start + np.vstack([step, np.zeros((2, 3))]) for step in walk]
    frames = [Structure(lattice, [silver] * 2 + [iodine] * 2, positions) for positions in moved]
    return DiffusionAnalyzer.from_structures(frames, "Ag", 500, 100, 1, smoothed=False)


plain, charged = analyzer("Ag", "I"), analyzer(Species("Ag", 1), Species("I", -1))
right = 1e3 * plain.diffusivity * 2 / (lattice.volume * 1e-24) * e**2 / (k * 500)
print(f"Ag: {plain.conductivity:.1e} mS/cm, with Ag+ in the structures {charged.conductivity:.1e}, ", end="")
print(f"Nernst-Einstein with charge 1: {right:.1e}")
expected = {("Ag", 1): 100, ("Cu", 1): 100, ("F", -1): 25, ("Cl", -1): 25, ("O", -2): 4, ("S", -2): 4, ("Zn", 2): 25}
expected |= {("Al", 3): 1 / 9, ("Li", 1): 1, ("Na", 1): 1}
ratios = {}
for element, charge in expected:
    one, other = (
        get_conversion_factor(Structure(lattice, [species], [[0, 0, 0]]), species, 500)
        for species in (element, Species(element, charge))
    )
    ratios[element, charge] = one / other
print("squared charge over the right one: " + ", ".join(f"{key[0]} {ratio:.3g}" for key, ratio in ratios.items()))
assert abs(plain.conductivity / right - 100) < 1e-3 and abs(charged.conductivity / right - 100) < 1e-3
assert all(abs(ratios[key] - ratio) < 1e-6 for key, ratio in expected.items())
PY
"$work/env/bin/python" "$work/run.py"

#!/usr/bin/env bash
# pymatgen 2026.10.24: OptimadeStructureAdapter.get_structure reads neither the concentrations nor the chemical symbols of an OPTIMADE
# structure: the names in species_at_sites are taken for elements, every site as full, without a word. OPTIMADE 1.2 puts mixtures and
# vacancies into "species", and a name there is a free label. The public adapter of optimade 1.5.0 reads the same entry right. Disordered
# Li0.33La0.56TiO3, a perovskite with 11 percent of its A sites empty, comes back as full LaTiO3, without lithium and without vacancies:
# nothing can move in it. Seen:
#   pymatgen: La1 Ti1 O3, 0 warnings
#   optimade: Li0.33 La0.56 Ti1 O3
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "pymatgen==2026.10.24" "pymatgen-core==2026.10.16" "optimade==1.5.0"
cat > "$work/run.py" <<'PY'
import warnings

from optimade.adapters import Structure as OptimadeStructure
from pymatgen.io.optimade import OptimadeStructureAdapter

# Cubic Li0.33La0.56TiO3, 3.871 angstrom: Y. Inaguma et al., Solid State Commun. 86, 689 (1993). Provider fields as in the standard.
a = 3.871
sites = [[0, 0, 0], [a / 2, a / 2, a / 2], [a / 2, a / 2, 0], [a / 2, 0, a / 2], [0, a / 2, a / 2]]
attributes = {
    "lattice_vectors": [[a, 0, 0], [0, a, 0], [0, 0, a]],
    "dimension_types": [1, 1, 1],
    "nperiodic_dimensions": 3,
    "cartesian_site_positions": sites,
    "nsites": 5,
    "species_at_sites": ["La", "Ti", "O", "O", "O"],
    "species": [
        {"name": "La", "chemical_symbols": ["La", "Li", "vacancy"], "concentration": [0.56, 0.33, 0.11]},
        {"name": "Ti", "chemical_symbols": ["Ti"], "concentration": [1.0]},
        {"name": "O", "chemical_symbols": ["O"], "concentration": [1.0]},
    ],
    "elements": ["La", "Li", "O", "Ti"],
    "nelements": 4,
    "elements_ratios": [0.56 / 4.89, 0.33 / 4.89, 3 / 4.89, 1 / 4.89],
    "chemical_formula_reduced": "La56Li33O300Ti100",
    "chemical_formula_anonymous": "A300B100C56D33",
    "structure_features": ["disorder"],
    "last_modified": "2024-01-01T00:00:00Z",
}
entry = {"id": "llto", "type": "structures", "attributes": attributes}
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    crystal = OptimadeStructureAdapter.get_structure(entry)
warnings.simplefilter("ignore")
other = OptimadeStructure(entry).as_pymatgen
print(f"pymatgen: {crystal.composition.formula}, {len(said)} warnings")
print(f"optimade: {other.composition.formula}")
assert crystal.composition.formula == "La1 Ti1 O3" and not said
assert other.composition.formula == "Li0.33 La0.56 Ti1 O3"
PY
"$work/env/bin/python" "$work/run.py"

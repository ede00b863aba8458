"""Input of kMCpy (version 0.3): sites, events, barriers, an initial state and a configuration.

kMCpy: Z. Deng et al., Comput. Mater. Sci. 229, 112394 (2023). The files hold the sites of the ion only (rates do not
need the framework), the whole supercell as its template with ``supercell_shape`` 1 x 1 x 1:

================== ===================================================================================================
``structure.cif``  all sites of the supercell as the ion, P1
``events.json``    one event a hop; its local environment are the sites that exclude its two ends
``model.json``     ``LocalBarrierModel``: for each hop the barrier there and back (meV), valid where those sites are
                   empty; anything else has a barrier that is never overcome
``state.json``     0 for a filled, 1 for an empty site: an arrangement with the crystal's content, lowest sites first
``input.yaml``     configuration for ``run_kmc --input input.yaml``, to be run in the folder
================== ===================================================================================================

kMCpy takes the shortest way between two sites as the displacement of a hop, and one attempt frequency for all. The
supercell is therefore large enough that the shortest way is the right one, and the share of a valley that forks is put
into its barrier at the temperature of ``input.yaml``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastin.errors import InputError
from fastin.transport.kinetics import FloatArray, thermal_energy
from fastin.transport.lattice_gas import LatticeGas, checked_multiples

_NEVER = 1e6  # meV, a barrier that nothing overcomes
_SPACING = 12.0  # between opposite faces of the supercell, angstrom
_FORMAT = "kmcpy.active_site_order.v1"
_VACANCY = "X"
_MOST_EVENTS = 20_000  # kMCpy compares every event with every other


def _supercell(gas: LatticeGas) -> tuple[int, int, int]:
    """Multiples in which every hop and every exclusion is the shortest way between its sites."""
    model = gas.model
    i, j = model.hop_index
    pair_i, pair_j = gas.pairs.index
    steps = np.concatenate(
        [
            model.site_frac[j] + model.hop_image - model.site_frac[i],
            model.site_frac[pair_j] + gas.pairs.image - model.site_frac[pair_i],
        ]
    )
    reach = 2.0 * np.abs(steps).max(axis=0, initial=0.0)  # half of the supercell must be longer
    spacing = 1.0 / np.linalg.norm(np.linalg.inv(model.cell), axis=0)
    a, b, c = (
        max(1, math.ceil(_SPACING / s - 1e-9), math.floor(r + 1e-6) + 1) for s, r in zip(spacing, reach, strict=True)
    )
    return a, b, c


def _sites_filled(gas: LatticeGas, energy: FloatArray, ions: int, excluded: list[set[int]]) -> list[int]:
    """0 for filled, 1 for empty sites: from the lowest energy on, none beside one that excludes it."""
    state = [1] * len(energy)
    blocked = np.zeros(len(energy), dtype=bool)
    left = ions
    for s in np.argsort(energy, kind="stable").tolist():
        if left == 0:
            break
        if blocked[s]:
            continue
        state[s] = 0
        blocked[list(excluded[s])] = True
        left -= 1
    if left:
        raise InputError(
            f"{ions} ions find no place one after the other on {len(energy)} sites that exclude each other: lower the "
            "exclusion radius or the content"
        )
    return state


def write_kmcpy(
    gas: LatticeGas,
    folder: Path,
    *,
    source: str,
    element: str,
    temperature: float = 300.0,
    supercell: Sequence[int] | None = None,
) -> list[Path]:
    """Writes the input of a kMCpy run.

    Args:
        gas: sites, hops, content and exclusions; a repulsion is refused.
        folder: made where it is missing; its files of these names are replaced.
        source: name of the run.
        element: symbol of the ion.
        temperature: K.
        supercell: three multiples of the cell vectors; None takes 12 A between opposite faces, or more where a hop
            would not be the shortest way between its sites.

    Returns:
        The five files.

    Raises:
        InputError: a repulsion, a supercell too small or too large, ions that find no place.
    """
    if gas.repulsion is not None:
        raise InputError(f"{source}: kMCpy's local barriers hold no pair energies; leave out the repulsion")
    smallest = _supercell(gas)
    multiples = smallest if supercell is None else checked_multiples(supercell)
    most = int(np.isfinite(gas.model.hop_energy).sum()) * math.prod(multiples)
    if most > _MOST_EVENTS:
        raise InputError(f"{source}: {most} events are too many for kMCpy; give a smaller supercell")
    cell = _Cells(gas, np.array(multiples))
    events, rules, prefactor = _hops(cell, source, smallest, thermal_energy(temperature))
    energy = np.tile(gas.model.site_energy, len(cell.cells))
    state = _sites_filled(gas, energy, round(gas.ions_per_cell * len(cell.cells)), cell.excluded)
    frac = cell.frac()
    files = {
        "structure.cif": _cif(gas.model.cell * cell.grid[:, None], frac, element, source),
        "events.json": _dump({"events": events, **_event_lists(events), "index_metadata": _order(len(frac), element)}),
        "model.json": _dump(_model(rules, source)),
        "state.json": _dump({"occupations": state}),
        "input.yaml": _configuration(gas, source, element, temperature, prefactor, cell.grid),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in files]


class _Cells:
    """The sites of a supercell, numbered cell after cell, and which of them exclude each other."""

    def __init__(self, gas: LatticeGas, grid: npt.NDArray[np.int64]) -> None:
        self.gas = gas
        self.grid = grid  # (3,) multiples
        self.cells = np.stack(np.meshgrid(*[np.arange(m) for m in grid], indexing="ij"), axis=-1).reshape(-1, 3)
        self._wrapped = np.floor(gas.model.site_frac).astype(np.int64)
        self.excluded: list[set[int]] = [set() for _ in range(len(gas.model.site_energy) * len(self.cells))]
        for (i, j), image in zip(gas.pairs.index.T.tolist(), gas.pairs.image, strict=True):
            for cell in self.cells:
                a, b = self.number(cell, i), self.number(cell + image, j)
                self.excluded[a].add(b)
                self.excluded[b].add(a)

    def number(self, cell: npt.NDArray[np.int64], site: int) -> int:
        a, b, c = ((cell + self._wrapped[site]) % self.grid).tolist()
        return int(((a * self.grid[1] + b) * self.grid[2] + c) * len(self.gas.model.site_energy) + site)

    def frac(self) -> FloatArray:
        """(n, 3) fractional coordinates in the supercell."""
        frac: FloatArray = (self.gas.model.site_frac[None] % 1.0 + self.cells[:, None]) / self.grid
        return frac.reshape(-1, 3)


def _hops(
    cell: _Cells, source: str, smallest: tuple[int, int, int], kt: float
) -> tuple[list[dict[str, list[int]]], list[dict[str, Any]], float]:
    """Events and barrier rules of all hops of the supercell, and the attempt frequency (1/s) common to them."""
    gas, model = cell.gas, cell.gas.model
    open_hops = np.flatnonzero(np.isfinite(model.hop_energy))
    prefactor = np.broadcast_to(np.asarray(model.prefactor, dtype=np.float64), (len(model.hop_energy),))
    common = float(prefactor.max(initial=1e13))
    events, rules = [], []
    seen: set[tuple[int, int]] = set()
    for h in open_hops.tolist():
        i, j = (int(v) for v in model.hop_index[:, h])
        extra = -kt * math.log(float(prefactor[h]) / common)
        there = 1e3 * (float(gas.saddle_energy[h] - model.site_energy[i]) + extra)
        back = 1e3 * (float(gas.saddle_energy[h] - model.site_energy[j]) + extra)
        step = (model.site_frac[j] + model.hop_image[h] - model.site_frac[i]) / cell.grid
        for at in cell.cells:
            a, b = cell.number(at, i), cell.number(at + model.hop_image[h], j)
            key = (min(a, b), max(a, b))
            if key in seen or a == b or float(np.abs(step).max()) >= 0.5:
                shape = " x ".join(map(str, cell.grid.tolist()))
                raise InputError(
                    f"{source}: in a {shape} cell a hop is not the shortest way between its sites, or two hops join "
                    f"the same sites; take at least {' x '.join(map(str, smallest))}, or a larger one"
                )
            seen.add(key)
            events.append(_event(a, b, cell.excluded))
            rules += _rules(a, b, cell.excluded, there, back)
    return events, rules, common


def _dump(value: Any) -> str:
    return json.dumps(value) + "\n"


def _surroundings(a: int, b: int, excluded: list[set[int]]) -> list[int]:
    return sorted((excluded[a] | excluded[b]) - {a, b})


def _event(a: int, b: int, excluded: list[set[int]]) -> dict[str, list[int]]:
    return {"mobile_ion_indices": [a, b], "local_env_indices": _surroundings(a, b, excluded)}


def _rules(a: int, b: int, excluded: list[set[int]], there: float, back: float) -> list[dict[str, Any]]:
    """Barriers of a hop: the target's neighbours must be empty; those of the start are, but for the ion itself."""
    around = _surroundings(a, b, excluded)
    out = []
    for filled, target, barrier in (([0, 1], b, there), ([1, 0], a, back)):
        out.append(
            {
                "name": f"{a}-{b}" if target == b else f"{b}-{a}",
                "type": "pattern",
                "properties": {"barrier": barrier},
                "mobile_ion_indices": [a, b],
                "local_env_indices": around,
                "sites": "canonical",
                "pattern": [*filled, *(1 if k in excluded[target] else "*" for k in around)],
            }
        )
    return out


def _event_lists(events: list[dict[str, list[int]]]) -> dict[str, Any]:
    """Which events hold a site, and which events share a site with each."""
    holds: dict[int, list[int]] = {}
    for e, event in enumerate(events):
        for s in [*event["mobile_ion_indices"], *event["local_env_indices"]]:
            holds.setdefault(s, []).append(e)
    dependent = [
        sorted({e for s in [*v["mobile_ion_indices"], *v["local_env_indices"]] for e in holds[s]}) for v in events
    ]
    return {"event_dependencies": dependent, "site_to_events": {str(s): e for s, e in holds.items()}}


def _order(count: int, element: str) -> dict[str, Any]:
    """The description of the sites that kMCpy wants, with its fingerprint (`ActiveSiteOrder`)."""
    every = list(range(count))
    facts: dict[str, Any] = {
        "format": _FORMAT,
        "primitive_site_count": count,
        "original_site_count": count,
        "primitive_active_indices": every,
        "active_to_original": every,
        "active_to_primitive": every,
        "supercell_shape": [1, 1, 1],
        "species_by_primitive_site": [element] * count,
        "allowed_species_by_primitive_site": [[element, _VACANCY]] * count,
    }
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return {**facts, "fixed_original_indices": [], "fingerprint": hashlib.sha256(canonical.encode()).hexdigest()}


def _model(rules: list[dict[str, Any]], source: str) -> dict[str, Any]:
    return {
        "@module": "kmcpy.models.local_barrier_model",
        "@class": "LocalBarrierModel",
        "name": f"hops of {source}",
        "default_property": "barrier",
        "probability_mode": "barrier_arrhenius",
        "probability_property": "barrier",
        "default_properties": {"barrier": _NEVER},
        "site_species": {},
        "rules": rules,
    }


def _cif(cell: FloatArray, frac: FloatArray, element: str, source: str) -> str:
    lengths = np.linalg.norm(cell, axis=1)
    unit = cell / lengths[:, None]
    angles = np.degrees(np.arccos(np.clip([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]], -1, 1)))
    lines = [f"# sites of {element} in {' '.join(source.split())}, all filled", "data_sites"]
    lines += [f"_cell_length_{n} {v:.8f}" for n, v in zip("abc", lengths, strict=True)]
    lines += [f"_cell_angle_{n} {v:.8f}" for n, v in zip(("alpha", "beta", "gamma"), angles, strict=True)]
    lines += [
        "_symmetry_space_group_name_H-M 'P 1'",
        "_symmetry_Int_Tables_number 1",
        "loop_",
        "_symmetry_equiv_pos_as_xyz",
    ]
    lines += [" 'x, y, z'", "loop_"]
    lines += [f"_atom_site_{n}" for n in ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")]
    lines += [
        f"{element}{k} {element} {x[0]:.8f} {x[1]:.8f} {x[2]:.8f} 1" for k, x in enumerate(frac.tolist(), start=1)
    ]
    return "\n".join(lines) + "\n"


def _configuration(
    gas: LatticeGas, source: str, element: str, temperature: float, prefactor: float, grid: npt.NDArray[np.int64]
) -> str:
    steps = gas.model.displacements()
    hop = math.sqrt(float((steps**2).sum(axis=1).mean())) if len(steps) else 1.0
    name = json.dumps(" ".join(source.split()))
    return f"""# sites, hops and barriers of a {" x ".join(map(str, grid.tolist()))} supercell; run in this folder
kmc:
  type: default
  default:
    structure_file: structure.cif
    event_file: events.json
    model_file: model.json
    initial_state_file: state.json
    supercell_shape: [1, 1, 1]
    dimension: 3
    mobile_ion_specie: {element}
    mobile_ion_charge: {gas.charge}
    elementary_hop_distance: {hop:.6f}
    site_mapping:
      {element}: [{element}, {_VACANCY}]
    convert_to_primitive_cell: false
    temperature: {temperature}
    attempt_frequency: {prefactor!r}
    equilibration_passes: 100
    kmc_passes: 1000
    random_seed: 0
    name: {name}
"""

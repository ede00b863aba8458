"""Which ion of a crystal moves, where nobody says it, and what a caller means by a name.

The order, for the chemistry of solid electrolytes:

1. Li+, Na+, K+, Ag+, Cu+: small or soft monovalent cations. Silver and copper count as monovalent only: Cu2+ of a
   cuprate is framework.
2. Anions that are free: F-, O2-, Cl-, Br-, I-, H-, S2-, Se2-, Te2-, N3-. An anion is free where it is not bonded to the
   centre of a polyanion (O in PO4, F in BF4): the ninth and tenth oxygen of La9.33Si6O26 move, the oxygen of a
   phosphate does not.
3. Mg2+, Zn2+, Ca2+, Al3+, Rb+, Cs+.

A cation that only shares other cations' sites as a dopant is none: half of a full site or less (Na on the A site of
Na0.5Bi0.5TiO3, K on that of Ba0.6K0.4BiO3, Mg and Ca in LSGM and CSZ). Lithium, which moves between such sites, is a
dopant below a quarter; where the site has vacancies (Li0.36La0.55TiO3), no cation is.

If that leaves nothing, bound anions count, then dopants. The choice is in doubt (warning ``ion-guessed``) where

* another ion of group 1 is at least as abundant, or K+ (Rb+, Cs+) stands beside a free fluoride (KSn2F5 conducts F-);
* the free anion is divalent or trivalent and a free halide or hydride is there too (LaOCl), or Mg2+ or Zn2+ on sites of
  its own (spinels);
* two halides are free (PbFCl); two ions of group 3 are there; protons of an acid salt may move instead (CsHSO4).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.bonding import Rows, row_pairs, tables
from fastin.crystal.elements import numbers_by_symbol, species_name, symbol
from fastin.crystal.ions import MobileIon
from fastin.crystal.species import parse_species
from fastin.crystal.usual import MONOVALENT
from fastin.errors import InputError
from fastin.runtime.arrays import sum_by

if TYPE_CHECKING:
    from fastin.crystal.data import CrystalData

ANIONS = ("F", "O", "Cl", "Br", "I", "H", "S", "Se", "Te", "N")
OTHER_CATIONS = ("Mg", "Zn", "Ca", "Al", "Rb", "Cs")
#: Order in which a mobile ion is looked for when none is named.
USUAL_IONS = (*MONOVALENT, *ANIONS, *OTHER_CATIONS)

_SINGLY_NEGATIVE = frozenset({"F", "Cl", "Br", "I", "H"})
_CENTRES = frozenset({1, 5, 6, 7, 14, 15, 16, 17, 32, 33, 34, 35, 53})  # of polyanions; H of hydroxide
_BOND_REACH = 3.3  # A
_BOND_SLACK = 0.45  # A beyond the sum of covalent radii
_FULL = 0.98  # total occupancy of a site without vacancies
_DOPANT = 0.5 + 1e-6  # share of a site up to which a cation is a dopant
_DOPANT_LITHIUM = 0.25
_SOME = 0.01  # atoms a cell


def parse_ion(ion: Any, source: str) -> tuple[int, float]:
    """Atomic number and charge (NaN if not given) of what a caller names.

    Args:
        ion: ``"Li"``, ``"li+"``, ``"O2-"``, ``"O-2"``, or a pymatgen Element or Species.
        source: for the message.

    Raises:
        InputError: no element is named.
    """
    if isinstance(ion, str):
        found = parse_species(ion.strip())
    else:
        found = parse_species(name) if isinstance(name := getattr(ion, "symbol", None), str) else None
        state = getattr(ion, "oxi_state", None)
        if found is not None and isinstance(state, int | float):
            found = (found[0], float(state) if state else math.nan)
    if found is None:
        raise InputError(
            f'{source}: unknown ion {ion!r}; give an element or species: "Li", "Li+", "O2-", or one of pymatgen'
        )
    return found


def ion_name(ion: Any) -> str | None:
    """What a caller names, as text that can be stored: ``Li``, ``Li+``; None stays None.

    Raises:
        InputError: no element is named.
    """
    if ion is None:
        return None
    if isinstance(ion, MobileIon):
        return ion.symbol
    number, charge = parse_ion(ion, "ion")
    return symbol(number) if math.isnan(charge) else species_name(number, charge)


def choose_ion(crystal: CrystalData) -> tuple[int, str]:
    """Atomic number of the ion that probably moves, and why another one may be meant (empty: no doubt).

    Raises:
        InputError: none of the usual ions is present.
    """
    numbers = numbers_by_symbol()
    present = set(crystal.number.tolist())
    held = [name for name in USUAL_IONS if numbers[name] in present]
    if not held:
        raise InputError(
            f"{crystal.source}: none of the usual mobile ions ({', '.join(USUAL_IONS)}) is present; "
            'name one, for example ion="Li" for a guest'
        )
    cations = [name for name in held if name not in ANIONS and _carries(crystal, numbers[name])]
    own = [name for name in cations if not _is_dopant(crystal, numbers[name])]
    first = [name for name in own if name in MONOVALENT]
    if first and not _rivals_possible(first, present, numbers):
        return numbers[first[0]], ""
    free = _free_anions(crystal, [name for name in held if name in ANIONS])
    last = [name for name in own if name in OTHER_CATIONS]
    order = [*first, *free, *last]
    bound = [
        name for name in held if name in ANIONS and name not in free and crystal.charge[_rows(crystal, name)][0] < 0
    ]
    order += [name for name in (*bound, *cations, *held) if name not in order]
    return numbers[order[0]], _doubt(crystal, order[0], first, free, last)


def _rows(crystal: CrystalData, name: str) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = crystal.number == numbers_by_symbol()[name]
    return found


def _rivals_possible(first: list[str], present: set[int], numbers: dict[str, int]) -> bool:
    """Whether a doubt is possible at all beside the first monovalent cation."""
    return len(first) > 1 or (first[0] == "K" and numbers["F"] in present)


def _carries(crystal: CrystalData, number: int) -> bool:
    """A cation that can be the mobile one: silver and copper only near +1; any where nothing has charges."""
    rows = crystal.number == number
    mean = float(np.average(crystal.charge[rows], weights=crystal.occupancy[rows]))
    if not crystal.charge.any():
        return True
    return 0.0 < mean < 1.5 if number in (29, 47) else mean > 0.0


def _is_dopant(crystal: CrystalData, number: int) -> bool:
    """True where a cation only shares full sites of other cations, as their minor part."""
    mine = crystal.number == number
    positive = (crystal.charge > 0.0) & ~mine
    total = sum_by(crystal.position, crystal.occupancy)
    others = sum_by(crystal.position[positive], crystal.occupancy[positive], len(total))
    at = crystal.position[mine]
    if bool((others[at] < _SOME).any()) or bool((total[at] < _FULL).any()):
        return False
    share = float(crystal.occupancy[mine].sum() / total[at].sum())
    return share < _DOPANT_LITHIUM if number == 3 else share <= _DOPANT


def _free_anions(crystal: CrystalData, names: list[str]) -> list[str]:
    """Anions of which some atoms are bonded to no centre of a polyanion."""
    known = tables()
    number = crystal.number
    source, at, distance = row_pairs(Rows(number, crystal.occupancy, crystal.position, crystal.neighbours), _BOND_REACH)
    centre = np.isin(number, list(_CENTRES)) & (crystal.charge > 0.0)
    bonded = centre[at] & (distance < known.covalent[number[source]] + known.covalent[number[at]] + _BOND_SLACK)
    bound = np.zeros(len(number), dtype=np.bool_)
    bound[source[bonded]] = True
    free = (crystal.charge < 0.0) & ~bound
    return [name for name in names if float(crystal.occupancy[free & _rows(crystal, name)].sum()) > _SOME]


def _doubt(crystal: CrystalData, chosen: str, first: list[str], free: list[str], last: list[str]) -> str:
    """Why another ion may be the mobile one; empty where none is as likely."""

    def amount(name: str) -> float:
        return float(crystal.occupancy[_rows(crystal, name)].sum())

    rivals: list[str] = []
    if chosen in first:
        rivals = [name for name in first[1:] if amount(name) >= amount(chosen) - 1e-6]
        if chosen == "K" and "F" in free:
            rivals.append("F")
    elif chosen in free:
        rivals = [name for name in free if name != chosen and name in _SINGLY_NEGATIVE]
        if chosen not in _SINGLY_NEGATIVE:
            rivals += [name for name in last if name in ("Mg", "Zn")]
    elif chosen in last:
        rivals = [name for name in last if name != chosen]
        if chosen in ("Rb", "Cs") and bool((crystal.charge[_rows(crystal, "H")] > 0.0).any()):
            rivals.append("H")
    if not rivals:
        return ""
    names = ", ".join(_species(crystal, name) for name in rivals)
    return f"{_species(crystal, chosen)} is taken as the mobile ion; {names} may move as well: name it"


def _species(crystal: CrystalData, name: str) -> str:
    rows = _rows(crystal, name)
    charge = round(float(np.average(crystal.charge[rows], weights=crystal.occupancy[rows])))
    return species_name(numbers_by_symbol()[name], charge) if charge else symbol(numbers_by_symbol()[name])

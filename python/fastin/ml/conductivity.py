"""What experiments say: conductivity and activation energy of lithium conductors from the shipped forests.

BVSE barriers alone do not track measurements, so these models are fitted to the measurements themselves. They see the
composition only: lattice and structure added nothing that survives papers left out of the training
(``bench/experiments/ml_measured.py``). The activation energy comes mostly through the predicted conductivity, by the
line on measured pairs. A composition far from every measured one gets a wider interval, is pulled towards the median,
and beyond a limit gets no number (`fastin.ml.measured`); one that was measured gets the measurement.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.warnings import CrystalWarning
from fastin.errors import InputError
from fastin.ml.composition import composition_features
from fastin.ml.forest import Forest
from fastin.ml.formula import check_compound, parse_formula
from fastin.ml.measured import Domain, MeasuredTable, Neighbour, family_quantiles, load_measured, unlike_any

if TYPE_CHECKING:
    from fastin.crystal.crystal import Crystal

SIGMA, ENERGY = TARGETS = ("log10_conductivity", "experimental_activation_energy")
#: Scatter of repeats of one composition in different papers: decades, and eV.
REPEAT = {SIGMA: 0.65, ENERGY: 0.06}
#: Half width of a 90 % interval of a normal distribution, in standard deviations.
_NINETY = 1.645
#: Elements of several valences: their compounds are electrodes and catalysts rather than electrolytes.
_ELECTRONIC = frozenset(
    {"V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Tc", "Ru", "Rh", "Pd", "Re", "Os", "Ir", "Pt", "Mo", "U", "Pb", "Tl"}
)
_TABLE = "measured_lithium.csv"


@dataclass(frozen=True)
class Quantity:
    """One quantity: its value, where it comes from, and its intervals.

    Attributes:
        value: log10 of S/cm near 300 K, or eV.
        std: half width of the 68 % interval.
        low_68, high_68, low_90, high_90: the intervals; papers left out of the training fell into them as often.
        origin: ``"model"``, ``"measured"`` (the compound is in the table of measurements), ``"given"`` by the caller,
            or ``"from the other"``: from the measured quantity that the caller gave.
    """

    value: float
    std: float
    low_68: float
    high_68: float
    low_90: float
    high_90: float
    origin: str


@dataclass(frozen=True)
class Experiment:
    """Expected measurements of a lithium conductor.

    Attributes:
        conductivity: log10 of S/cm near 300 K; None where the composition is too far from every measured one.
        energy: activation energy, eV; None likewise.
        distance: Element Mover's Distance to the nearest measured composition.
        nearest: the nearest measured compounds, with their values and DOIs.
        model: what the models are, from their cards.
        warnings: why the numbers are to be doubted, or missing.
    """

    conductivity: Quantity | None
    energy: Quantity | None
    distance: float
    nearest: tuple[Neighbour, ...]
    model: str = ""
    warnings: tuple[CrystalWarning, ...] = ()

    @property
    def log10_conductivity(self) -> float | None:
        """Log10 of S/cm near 300 K."""
        return None if self.conductivity is None else self.conductivity.value

    @property
    def log10_conductivity_std(self) -> float | None:
        """Half width of its 68 % interval."""
        return None if self.conductivity is None else self.conductivity.std

    @property
    def activation_energy(self) -> float | None:
        """Activation energy in eV."""
        return None if self.energy is None else self.energy.value

    @property
    def activation_energy_std(self) -> float | None:
        """Half width of its 68 % interval."""
        return None if self.energy is None else self.energy.std

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        said = asdict(self) | {"warnings": [warning.to_dict() for warning in self.warnings]}
        for name in ("log10_conductivity", "log10_conductivity_std", "activation_energy", "activation_energy_std"):
            said[name] = getattr(self, name)
        return said


@cache
def model_folder() -> Path:
    """Where the shipped models are."""
    return Path(__file__).parents[1] / "data" / "models"


@cache
def load_forest(target: str, branch: str) -> Forest:
    """A shipped forest.

    Raises:
        InputError: this installation has none for the target and branch.
    """
    path = model_folder() / f"{target}-{branch}.npz"
    if not path.is_file():
        raise InputError(f"no shipped model of {target} from {branch}")
    return Forest.load(path)


def has_forests() -> bool:
    """Whether this installation predicts measured quantities."""
    return _holds_forests(model_folder())


@cache
def _holds_forests(folder: Path) -> bool:
    return (folder / _TABLE).is_file() and all((folder / f"{t}-composition.npz").is_file() for t in TARGETS)


def amounts_of(crystal: Crystal) -> dict[str, float]:
    """Atoms of each element in the cell, occupancies counted."""
    from fastin.crystal.element_features import element_table

    amounts: dict[str, float] = {}
    for z, occupancy in zip(crystal.number.tolist(), crystal.occupancy.tolist(), strict=True):
        symbol = element_table().symbol[z]
        amounts[symbol] = amounts.get(symbol, 0.0) + occupancy
    return amounts


def _interval(value: float, one: float, two: float, origin: str) -> Quantity:
    return Quantity(value, one, value - one, value + one, value - two, value + two, origin)


def _measured(table: MeasuredTable, rows: Any, target: str) -> Quantity | None:
    """Median over the papers that measured one composition, with the scatter of such repeats."""
    column = table.log10_conductivity if target == SIGMA else table.activation_energy
    papers: dict[str, list[float]] = {}
    for k in rows.tolist():
        if math.isfinite(column[k]):
            papers.setdefault(table.doi[k], []).append(float(column[k]))
    if not papers:
        return None
    values = [math.fsum(own) / len(own) for own in papers.values()]
    value = median(values)
    scatter = max(REPEAT[target], math.fsum(abs(own - value) for own in values) / len(values))
    return _interval(value, scatter, _NINETY * scatter, "measured")


_MEASURABLE = {
    "conductivity": (1e-30, 100.0, "it is in S/cm, not in mS/cm or as a logarithm"),
    "activation_energy": (1e-3, 5.0, "it is in eV, not in kJ/mol or meV"),
}


def _given(measured: Mapping[str, float]) -> dict[str, float]:
    """Checked values of `measured`: log10 of S/cm, eV."""
    out = {}
    for name, value in measured.items():
        if name not in ("conductivity", "activation_energy"):
            raise InputError(f"measured holds {name!r}; it may hold conductivity (S/cm) or activation_energy (eV)")
        number = float(value)
        if not math.isfinite(number) or number <= 0:
            raise InputError(f"a measured {name} must be a positive number, not {value}")
        low, high, hint = _MEASURABLE[name]
        if not low <= number <= high:
            raise InputError(f"a measured {name} of {number:g} is none that crystals have; {hint}")
        out[SIGMA if name == "conductivity" else ENERGY] = math.log10(number) if name == "conductivity" else number
    return out


def _modelled(amounts: Mapping[str, float], table: MeasuredTable, distance: Any) -> dict[str, Quantity]:
    """Both quantities by the forests, pulled and widened by the distances to the measured rows."""
    if unlike_any(amounts, table):
        return {}
    features = composition_features(amounts)
    forests = {target: load_forest(target, "composition") for target in TARGETS}
    means, deviations = {}, {}
    for target, forest in forests.items():
        mean, deviation = forest.mean_and_spread(forest.row(features))
        means[target], deviations[target] = float(mean[0]), float(deviation[0])
    card = forests[ENERGY].card
    intercept, slope = card["line"]
    share = card["through_conductivity"]
    means[ENERGY] = (1.0 - share) * means[ENERGY] + share * (intercept + slope * means[SIGMA])
    out: dict[str, Quantity] = {}
    for target, forest in forests.items():
        domain = Domain(**forest.card["domain"])
        known = _known(table, target)
        near = float(distance[known].min())
        width = float(domain.width(deviations[target], near))
        value = float(domain.pull(means[target], near))
        if near <= domain.limit:
            one, two = family_quantiles(distance, table.ratios[target], table.family_code, table.weight)
            out[target] = _interval(value, one * width, two * width, "model")
    return out


def _known(table: MeasuredTable, target: str) -> NDArray[np.bool_]:
    """Rows in which a quantity was measured."""
    return np.isfinite(table.log10_conductivity if target == SIGMA else table.activation_energy)


def _doubts(
    amounts: Mapping[str, float], table: MeasuredTable, distance: Any, found: Mapping[str, Quantity]
) -> list[str]:
    """What speaks against the numbers that are there."""
    out = []
    for target, said in found.items():
        domain = Domain(**load_forest(target, "composition").card["domain"])
        share = float(domain.share(float(distance[_known(table, target)].min())))
        if said.origin == "model" and share < 0.5:
            name = target.replace("_", " ")
            out.append(f"{name}: far from every measured compound: {100 * (1 - share):.0f} % of it is their median")
    electronic = {e: v for e, v in amounts.items() if e in _ELECTRONIC}
    modelled = any(said.origin == "model" for said in found.values())
    if modelled and sum(electronic.values()) > 0.05 * sum(amounts.values()):
        names = ", ".join(electronic)
        out.append(f"holds {names}: electrons may carry current too; the numbers are meant for the ions alone")
    return out


def _through(given: Mapping[str, float], modelled: Mapping[str, Quantity]) -> dict[str, Quantity]:
    """What one measured quantity says of the other."""
    out = {}
    if SIGMA in given and ENERGY not in given:
        card = load_forest(ENERGY, "composition").card
        intercept, slope = card["line"]
        one, two = card["half_widths_given_the_other"]
        out[ENERGY] = _interval(intercept + slope * given[SIGMA], one, two, "from the other")
    if ENERGY in given and SIGMA not in given:
        card = load_forest(SIGMA, "composition").card
        intercept, slope = card["inverse_line"]
        value = intercept + slope * given[ENERGY]
        if SIGMA in modelled:
            value = 0.5 * (value + modelled[SIGMA].value)
        one, two = card["half_widths_given_the_other"]
        out[SIGMA] = _interval(value, one, two, "from the other")
    return out


def predict_amounts(
    amounts: Mapping[str, float], name: str, *, measured: Mapping[str, float] | None = None, left: float | None = None
) -> Experiment:
    """Expected measurements of a composition.

    Args:
        amounts: amount of each element.
        name: formula or source, for messages.
        measured: what was measured of this very sample: ``conductivity`` (S/cm) or ``activation_energy`` (eV).
        left: what `check_compound` said of the amounts, where it was asked.

    Raises:
        InputError: no lithium, no ionic compound, a measured value that is no positive number.
    """
    if amounts.get("Li", 0.0) <= 0:
        raise InputError(f"{name}: the model of measured conductivities knows lithium conductors only")
    if left is None:
        left = check_compound(amounts, name)
    given = _given(measured or {})
    table = load_measured(model_folder() / _TABLE)
    distance = table.distances(amounts)
    nearest = table.nearest(distance)
    modelled = _modelled(amounts, table, distance)
    found: dict[str, Quantity] = dict(modelled)
    same = table.same(amounts)
    for target in TARGETS:
        own = _measured(table, same, target) if len(same) else None
        if own is not None:
            found[target] = own
    found |= _through(given, modelled)
    found |= {target: _interval(value, 0.0, 0.0, "given") for target, value in given.items()}
    warnings = []
    if left:
        text = f"{name}: its oxidation states leave {left:+.2g} charges a formula: are its amounts rounded?"
        warnings.append(CrystalWarning("outside-training", text))
    missing = [target for target in TARGETS if target not in found]
    if missing:
        known = _known(table, missing[0])
        near = table.row(int(np.argmin(np.where(known, distance, np.inf))))
        away = float(distance[known].min())
        reason = unlike_any(amounts, table)
        if reason is None or away > Domain(**load_forest(missing[0], "composition").card["domain"]).limit:
            reason = f"nothing like it was measured (distance {away:.1f} to {near.formula}, {near.doi})"
        text = f"{' and '.join(t.replace('_', ' ') for t in missing)}: {reason}: no number"
        warnings.append(CrystalWarning("outside-training", text))
    warnings += [CrystalWarning("outside-training", text) for text in _doubts(amounts, table, distance, found)]
    unseen = set(amounts) - set(load_forest(SIGMA, "composition").card.get("elements", amounts))
    if unseen:
        text = f"the measured compounds hold no {', '.join(sorted(unseen))}"
        warnings.append(CrystalWarning("outside-training", text))
    cards = [load_forest(target, "composition").card for target in TARGETS]
    models = dict.fromkeys(f"{card.get('model', 'trees')} on {card.get('features', 'formula')}" for card in cards)
    return Experiment(
        found.get(SIGMA), found.get(ENERGY), nearest[0].distance, nearest, " / ".join(models), tuple(warnings)
    )


def decades_above(amounts: Mapping[str, float], sigma: float) -> float | None:
    """Decades by which the conductivity that the trees predict for a composition lies above a value.

    Neither pulled towards the median nor replaced by a measurement: what `XRDMatch.proba_with_formula` was fitted to.

    Args:
        amounts: amount of each element.
        sigma: the value, S/cm.

    Returns:
        None for a composition too far from every measured one, or of no ionic lithium compound.
    """
    (said,) = decades_above_each([amounts], sigma).tolist()
    return None if math.isnan(said) else said


def decades_above_each(amounts: Sequence[Mapping[str, float] | None], sigma: float) -> NDArray[np.float64]:
    """(n,) as `decades_above` of many compositions; NaN where there is no number."""
    forest, table = load_forest(SIGMA, "composition"), load_measured(model_folder() / _TABLE)
    limit = Domain(**forest.card["domain"]).limit
    known = np.isfinite(table.log10_conductivity)
    out = np.full(len(amounts), np.nan)
    rows: dict[int, NDArray[np.float64]] = {}
    for k, own in enumerate(amounts):
        if own is None or not _is_lithium_compound(own) or unlike_any(own, table) is not None:
            continue
        if float(table.distances(own)[known].min()) <= limit:
            rows[k] = forest.row(composition_features(own))[0]
    if rows:
        mean, _ = forest.mean_and_spread(np.array(list(rows.values())))
        out[list(rows)] = mean - math.log10(sigma)
    return out


def _is_lithium_compound(amounts: Mapping[str, float]) -> bool:
    try:
        check_compound(amounts, "")
    except InputError:
        return False
    return amounts.get("Li", 0.0) > 0


def measured_conductivities(amounts: Sequence[Mapping[str, float] | None]) -> NDArray[np.float64]:
    """(n,) log10 of the measured conductivity of compositions, median over papers, S/cm; NaN where there is none."""
    table = load_measured(model_folder() / _TABLE)
    out = np.full(len(amounts), np.nan)
    for k, own in enumerate(amounts):
        found = None if own is None else _measured(table, table.same(own), SIGMA)
        if found is not None:
            out[k] = found.value
    return out


def predict_composition(formula: str, *, measured: Mapping[str, float] | None = None) -> Experiment:
    """Expected measurements of a lithium conductor of which only the composition is known; see `predict_amounts`.

    Raises:
        InputError: not the formula of one ionic compound, or no lithium in it.
    """
    return predict_amounts(parse_formula(formula), formula, measured=measured)


def predict_crystal(source: Any, *, measured: Mapping[str, float] | None = None) -> Experiment:
    """Expected measurements of a lithium conductor from the composition of its crystal; see `predict_amounts`.

    Args:
        source: path, pymatgen Structure, ASE Atoms or `Crystal`.
        measured: as `predict_amounts`.

    Returns:
        Without numbers, and with a warning that says why, where the composition is that of no ionic compound.

    Raises:
        InputError: no lithium in the structure.
    """
    from fastin.crystal.crystal import as_crystal

    crystal = as_crystal(source)
    amounts, left = amounts_of(crystal), None
    try:
        if amounts.get("Li", 0.0) > 0:
            left = check_compound(amounts, crystal.source)
    except InputError as error:  # its barriers stand without these numbers
        if measured:
            raise
        table = load_measured(model_folder() / _TABLE)
        nearest = table.nearest(table.distances(amounts))
        doubt = CrystalWarning("outside-training", f"{error}: no measured quantities")
        return Experiment(None, None, nearest[0].distance, nearest, warnings=(doubt,))
    return predict_amounts(amounts, crystal.source, measured=measured, left=left)

"""Candidate reports: unlabelled materials ranked by the probability of being superionic, with their neighbours."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastin.errors import FastinError, InputError
from fastin.runtime.isolate import Failure, isolate
from fastin.xrd.dataset import LabelledSet, PatternSet, chemical_system, composition
from fastin.xrd.domain import elements_of, similarities
from fastin.xrd.match import XRDMatch

_ARGYRODITE_CENTRES = frozenset({"P", "As", "Sb", "Si", "Ge", "Sn"})
_CHALCOGENS = frozenset({"S", "Se"})
_HALOGENS = frozenset({"Cl", "Br", "I"})
_WAYS = {"both": "pattern and formula", "formula": "formula", "pattern": "pattern"}
#: Flags of `family_flags`.
FAMILIES = ("argyrodite", "LGPS", "garnet", "NASICON", "thiophosphate")


@dataclass(frozen=True)
class Candidate:
    """One unlabelled material.

    Attributes:
        id, formula: of the material.
        rank: place among all unlabelled materials, 1 the most probable; those out of domain come last.
        probability: calibrated probability of superionic, by what `by` says; spread: standard deviation over the
            members that see the pattern.
        by: ``"pattern"``, ``"formula"`` or ``"pattern and formula"``: what the rank rests on.
        probability_pattern, probability_formula: of either alone; None where the formula says nothing.
        measured: log10 of the measured conductivity of this composition, S/cm; None where it was not measured.
        shortlisted: whether a screening of the precision in the model's notes would take it; None without constants.
        votes: share of the members that say superionic.
        neighbours: nearest labelled patterns: (id, formula, cosine similarity, S/cm).
        flags: families of known conductors that the composition belongs to; ``"known-elements"`` where a labelled
            material consists of the same elements.
        warnings: why the probability should not be trusted (`fastin.xrd.domain.Domain.objections`).
        extra: columns of other computations (BVSE barriers, dimensionality of the network).
    """

    id: str
    formula: str
    rank: int
    probability: float
    spread: float
    votes: float
    neighbours: tuple[tuple[str, str, float, float], ...]
    flags: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    by: str = "pattern"
    probability_pattern: float | None = None
    probability_formula: float | None = None
    measured: float | None = None
    shortlisted: bool | None = None


def family_flags(formula: str) -> tuple[str, ...]:
    """Known conductor families that a composition belongs to, from its elements and ratios alone.

    ``"argyrodite"``: about six Li, one of P, As, Sb, Si, Ge, Sn, and six anions in all of S or Se with Cl, Br or I
    (Li6PS5Cl; Li6AsSe5I and Li6AsS5I are of this family); ``"LGPS"``: Li10GeP2S12-like; ``"garnet"``: 12 O to about
    five cations other than Li; ``"NASICON"``: three PO4 and two other cations; ``"thiophosphate"``: Li, P and S only.
    """
    amounts = composition(formula)
    elements = set(amounts)
    if "Li" not in elements:
        return ()
    anions = sum(amounts.get(x, 0.0) for x in _CHALCOGENS | _HALOGENS)
    centres = sum(amounts.get(x, 0.0) for x in _ARGYRODITE_CENTRES)
    only = elements <= {"Li"} | _CHALCOGENS | _HALOGENS | _ARGYRODITE_CENTRES
    flags = []
    if only and elements & _HALOGENS and elements & _CHALCOGENS and centres > 0 and abs(anions / centres - 6.0) < 0.3:
        flags.append("argyrodite")
    no_halogen = not elements & _HALOGENS
    tetrahedra = elements & {"Ge", "Si", "Sn"}
    mixed = tetrahedra and elements & {"P", "As", "Sb"}
    if only and no_halogen and elements & _CHALCOGENS and mixed and abs(anions / centres - 4.0) < 0.1:
        flags.append("LGPS")
    oxygen = amounts.get("O", 0.0)
    if oxygen > 0 and elements & {"La", "Pr", "Nd", "Sm", "Eu", "Gd", "Tb", "Dy", "Y"}:
        framework = sum(v for k, v in amounts.items() if k not in ("Li", "O", "Al", "Ga"))
        if abs(framework / oxygen - 5.0 / 12.0) < 0.03:
            flags.append("garnet")
    phosphorus = sum(amounts.get(x, 0.0) for x in ("P", "Si"))
    if oxygen > 0 and phosphorus > 0 and abs(oxygen / phosphorus - 4.0) < 0.05 and not elements & (_HALOGENS | {"F"}):
        metals = sum(v for k, v in amounts.items() if k not in ("Li", "O", "P", "Si"))
        if abs(metals / phosphorus - 2.0 / 3.0) < 0.02:
            flags.append("NASICON")
    if elements <= {"Li", "P", "S"} and {"P", "S"} <= elements:
        flags.append("thiophosphate")
    return tuple(flags)


def rank_candidates(
    model: XRDMatch,
    unlabelled: PatternSet,
    labelled: LabelledSet | None = None,
    *,
    top: int | None = 100,
    nearest: int = 3,
    family: str | None = None,
    describe: Callable[[str], Mapping[str, Any]] | None = None,
    decades: ArrayLike | None = None,
    measured: ArrayLike | None = None,
    by: str = "both",
) -> list[Candidate]:
    """Unlabelled materials in order of falling probability, those out of the model's domain last.

    Args:
        model: the classifier.
        unlabelled: what to rank.
        labelled: known materials, for the neighbours.
        top: how many to return; ``None`` for all.
        nearest: neighbours of each.
        family: one of `FAMILIES`: its members only, each with its rank among all.
        describe: id -> further columns (for example `barrier_columns`), called for the returned rows only; one for
            which it raises `fastin.FastinError` carries the message.
        decades: (N,) by how many decades the conductivity that each formula predicts lies above the model's threshold
            (`fastin.ml.conductivity.decades_above_each`), NaN where it says nothing; None: the pattern alone.
        measured: (N,) log10 of measured conductivities in S/cm, NaN for the others; reported, not used.
        by: ``"both"``, ``"formula"`` or ``"pattern"``: what the rank rests on where the formula says something.

    Raises:
        InputError: unknown family, or formulas for a model that was not joined with a model of formulas.
    """
    if by not in _WAYS:
        raise InputError(f"unknown way {by!r} to rank; use one of {', '.join(_WAYS)}")
    if family is not None and family not in FAMILIES:
        raise InputError(f"unknown family {family!r}; use one of {', '.join(FAMILIES)}")
    members = model.member_proba(unlabelled.patterns)
    said = _probabilities(model, unlabelled, decades, by)
    spoken = np.isfinite(said["formula"])
    probability = np.where(spoken, said[by], said["pattern"])
    order = np.lexsort((-probability, _outside(model, unlabelled)))
    rank = {row: place for place, row in enumerate(order.tolist(), 1)}
    if family is not None:
        order = np.array([row for row in order if family in family_flags(unlabelled.formulas[row])], dtype=np.int64)
    order = order[: len(unlabelled) if top is None else top]
    close = None if labelled is None else similarities(unlabelled.patterns[order], labelled.patterns)
    systems = set() if labelled is None else {chemical_system(formula) for formula in labelled.formulas}
    candidates = []
    for place, row in enumerate(order.tolist()):
        neighbours: list[tuple[str, str, float, float]] = []
        if close is not None and labelled is not None:
            for j in np.argsort(-close[place], kind="stable")[:nearest].tolist():
                known = (labelled.ids[j], labelled.formulas[j], float(close[place, j]), float(labelled.sigma[j]))
                neighbours.append(known)
        formula = unlabelled.formulas[row]
        flags = family_flags(formula) + (("known-elements",) if chemical_system(formula) in systems else ())
        doubts: list[str] = []
        if model.domain is not None:
            doubts = model.domain.objections(unlabelled.patterns[row], elements_of(formula))
        flags += ("out-of-domain",) if doubts else ()
        way = by if spoken[row] else "pattern"
        short = model.notes.get("screening", {}).get(way)
        own = math.nan if measured is None else float(np.asarray(measured, float)[row])
        extra: dict[str, Any] = {}
        if describe is not None:
            try:
                extra = dict(describe(unlabelled.ids[row]))
            except FastinError as error:
                extra = {"error": str(error)}
        candidates.append(
            Candidate(
                id=unlabelled.ids[row],
                formula=formula,
                rank=rank[row],
                probability=float(probability[row]),
                spread=float(members[:, row].std()),
                votes=float((members[:, row] > 0.5).mean()),
                neighbours=tuple(neighbours),
                flags=flags,
                warnings=tuple(doubts),
                extra=extra,
                by=_WAYS[way],
                probability_pattern=float(said["pattern"][row]),
                probability_formula=float(said["formula"][row]) if spoken[row] else None,
                measured=None if math.isnan(own) else own,
                shortlisted=None if short is None or doubts else bool(probability[row] >= short["threshold"]),
            )
        )
    return candidates


def _probabilities(
    model: XRDMatch, unlabelled: PatternSet, decades: ArrayLike | None, by: str
) -> dict[str, NDArray[np.float64]]:
    """(N,) probabilities by pattern, by formula (NaN where it says nothing), and by both or what there is."""
    pattern = np.asarray(model.predict_proba(unlabelled.patterns)[:, 1], np.float64)
    if decades is None:
        if by == "formula":
            raise InputError("to rank by the formula, give what the formulas predict (decades)")
        return {"pattern": pattern, "formula": np.full(len(pattern), np.nan), "both": pattern}
    fit = model.notes.get("formula")
    if fit is None:
        raise InputError("this model was not joined with a model of formulas; only the shipped one is")
    above = np.asarray(decades, np.float64)
    known = np.isfinite(above)
    formula = 1.0 / (1.0 + np.exp(-(fit["slope"] * above + fit["intercept"])))
    both = pattern.copy()
    if known.any():
        both[known] = model.proba_with_formula(unlabelled.patterns[known], above[known])
    return {"pattern": pattern, "formula": formula, "both": both}


def _outside(model: XRDMatch, unlabelled: PatternSet) -> NDArray[np.bool_]:
    """(N,) materials out of the model's domain."""
    if model.domain is None:
        return np.zeros(len(unlabelled), bool)
    similarity = np.array([near[1] for near in model.domain.nearest(unlabelled.patterns)])
    foreign = [bool(model.domain.foreign(elements_of(formula))) for formula in unlabelled.formulas]
    return np.asarray((similarity < model.domain.floor) | np.array(foreign, bool))


def barrier_columns(path: str | Path) -> Callable[[str], Mapping[str, Any]]:
    """For `rank_candidates`: BVSE barriers of lithium and the dimensionality of its channels, by id of a record.

    Args:
        path: the JSON lines or folder that the unlabelled set was read from.
    """
    from fastin.xrd.dataset import read_records

    texts = {str(record["id"]): record["cif"] for record in read_records(path)}

    def columns(name: str) -> dict[str, Any]:
        ((_, answer),) = isolate("fastin.xrd.report:barrier_worker", [(name, texts[name])])
        if isinstance(answer, Failure):
            raise answer.error(name)
        return dict(answer)

    return columns


def barrier_worker(num_threads: int) -> Callable[[tuple[str, str]], dict[str, Any]]:
    """In a worker process: the function that computes the columns of one record (id, CIF)."""
    from fastin.bvse.barriers import compute_barriers
    from fastin.crystal.crystal import Crystal
    from fastin.network.network import compute_network

    def answer(record: tuple[str, str]) -> dict[str, Any]:
        crystal = Crystal.from_cif_string(record[1], source=record[0])
        barriers = compute_barriers(crystal, "Li", num_threads=num_threads)
        channels = compute_network(crystal, "Li", num_threads=num_threads).channels()
        return {
            "bvse_e1d_eV": barriers.e1d,
            "bvse_e3d_eV": barriers.e3d,
            "bvse_dimensionality_below_1eV": barriers.dimensionality(1.0),
            "network_dimensionality": max((channel.dimensionality for channel in channels), default=0),
        }

    return answer


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def write_candidates(path: str | Path, candidates: Sequence[Candidate]) -> None:
    """One CSV row a candidate; the neighbours as ``formula (similarity, S/cm)`` separated by semicolons."""
    extra = sorted({key for candidate in candidates for key in candidate.extra})
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        head = [
            "rank",
            "id",
            "formula",
            "probability",
            "by",
            "probability_pattern",
            "probability_formula",
            "measured_log10_conductivity_S_per_cm",
            "shortlisted",
            "spread",
            "votes",
            "flags",
            "nearest_labelled",
            "warnings",
            *extra,
        ]
        writer.writerow(head)
        for c in candidates:
            near = "; ".join(f"{name} ({share:.3f}, {sigma:.2g})" for _, name, share, sigma in c.neighbours)
            row = [
                c.rank,
                c.id,
                c.formula,
                f"{c.probability:.4f}",
                c.by,
                _cell(c.probability_pattern),
                _cell(c.probability_formula),
                _cell(c.measured),
                "" if c.shortlisted is None else str(c.shortlisted).lower(),
                f"{c.spread:.4f}",
                f"{c.votes:.2f}",
                " ".join(c.flags),
                near,
                "; ".join(c.warnings),
            ]
            writer.writerow([*row, *(c.extra.get(key, "") for key in extra)])

"""Formulas as people write them: hydrates, glasses, fractions, and what is no one compound.

The rule for joined parts (``·``, ``*``, a full stop, a dash, brackets with amounts). Water, ammonia and hydrogen
peroxide belong to the compound beside them. Compounds are one phase where all are salts of at most three elements that
share a cation or a complex anion (double salts, solid solutions), or where those without the alkali are binary and
share their anion with a binary salt that has it (oxides of a glass: ``Li2O·Al2O3·4SiO2``). All else is a composite of
two materials, and refused: ``LiI*Al2O3``, ``Li2SO4·Al2O3``, ``Li7La3Zr2O12-Li3BO3``. Amounts must be there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import cache

from fastin.crystal.element_features import element_table
from fastin.crystal.elements import element as facts
from fastin.crystal.elements import numbers_by_symbol
from fastin.errors import InputError

_TOKEN = re.compile(r"([A-Z][a-z]?)(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)?|([(\[{])|([)\]}])(\d+\.?\d*|\.\d+)?")
_BROKEN = re.compile(r"[\d.]\s+[\d.]")  # "(PO ) 4 3": two numbers, whose owners got lost
_WATER = r"\d*\.?\d*[HD]2O(?![\da-z])"
_JOINERS = "·•∙⋅*∗×"
_DASH = re.compile(r"[-‐‑–—−](?=[\d.]*[A-Z(\[])")
# A full stop joins before a capital, and before water where it is no decimal point: "LiCl.2H2O", "Li7La3Zr2O12.2H2O".
_STOP = re.compile(rf"\.(?=[A-Z(\[])|(?:(?<=[A-Za-z)\]])|(?<=[A-Za-z)\]][1-9])|(?<=[A-Za-z)\]][1-9]\d))\.(?={_WATER})")
_FACTOR = re.compile(r"(\d+\.?\d*|\.\d+)(?=[A-Z(\[])")
_SPACED_WATER = re.compile(rf"(?<=[A-Za-z)\]])\s+(?={_WATER}$)")
_LOOSE = re.compile(r"[A-Za-z)\]]\s+\d[\d.]*(?=[A-Z(\[])")  # "LiCl 2LiI": of the element before, or of what follows?
_ONE_OR_WATER = re.compile(r"(?<![\d.])1\.(?=\d*[HD]2O)")  # "LiCl1.5H2O": 1.5 water, or LiCl1 and 5 water?
_FEW_OR_MANY = re.compile(r"(?<=[A-Za-z)\]\d])\.(?:25|33|67|75)[HD]2O")  # a quarter of water, or 25?
_PART_OR_DECIMAL = re.compile(r"(?<=[A-Za-z)\]])\.(?=\d)|(?<=[A-Za-z)\]]\d)\.(?=\d)")
_SHARE = re.compile(r"(?<![\d.])(\d{1,2})/(\d{1,2})(?![\d.])")
_MOLAR = re.compile(r"[(\[]?\s*(?:in\s+)?mol(?:e|ar)?\.?\s*(?:%|percent)\s*[)\]]?", re.IGNORECASE)
_ISOTOPE = re.compile(r"(?:⁶|⁷|\^[67])(?=Li)|(?:²|\^2)(?=H)")
_MIXTURE = re.compile(
    r"\s\+\s|[/&;,:|@]|[A-Za-z\d)\]]\s*\+\s*\d*\.?\d*[A-Z(]|\b(?:wt|mol|vol|and|with|in|on|doped|coated)\b|%"
)
_UNKNOWN = re.compile(r"[xyzδ]|(?<![A-Z])n(?=[HD]2O|[A-Z(])")
#: Names of salts and glasses that read as formulas.
_ABBREVIATION = re.compile(r"Li(?:T?FSI|FTFSI|BOB|DFOB|BETI|PON|SiPON|PSON|PS|PO|BON)|LIPON|[A-Z]*[LQXJZ][A-Z]+")
_LARGEST = 1e6  # of an amount
_ROUNDED = 0.05  # charges an atom that rounded formulas may have left
_DEEPEST = 50  # brackets in brackets
_SIGNS = str.maketrans(
    {**{c: str(k) for k, c in enumerate("₀₁₂₃₄₅₆₇₈₉")}, "½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}
    | {"⁄": "/", "．": ".", "（": "(", "）": ")", "\u00a0": " ", "\u2009": " ", "\u200b": ""}
)
#: Molecules that a compound takes up as such.
_SOLVENTS = ({"H": 2.0, "O": 1.0}, {"N": 1.0, "H": 3.0}, {"H": 2.0, "O": 2.0})
#: Metals of electrodes: a compound with one and a compound without are two phases of a cell, not a solid solution.
_ELECTRODE = frozenset({"Cr", "Mn", "Fe", "Co", "Ni", "Cu"})
#: Elements that are the anion of a salt; others of negative oxidation states make alloys and Zintl phases.
_NEED_OXYGEN = frozenset({"N", "S", "Cl", "Se", "Br", "I"})
_REDOX = frozenset({*range(22, 30), *range(41, 47), *range(73, 79)})  # Ti to Cu, Nb to Pd, Ta to Pt
_PEROXIDES = frozenset({"H", "Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "O"})
_NONMETALS = frozenset({"H", "N", "O", "F", "P", "S", "Cl", "As", "Se", "Br", "Te", "I", "At"})
_LEAST_CHARGED = {"N": -1 / 3, "S": -1 / 4, "Se": -1 / 4, "Te": -1 / 4}  # azides, polysulfides
_ALKALI = frozenset({"Li", "Na", "K", "Rb", "Cs"})
_NO_CATION = _NONMETALS | {"B", "C", "Si", "Ge"}

Amounts = dict[str, float]
Part = tuple[float | None, Amounts]  # the number before it (None without), and what it holds


def parse_formula(formula: str) -> Amounts:
    """Amount of each element of a formula.

    Decimals, fractions (``"Li1/2La1/2TiO3"``), nested brackets, spaces, hydrates and what a dot, a star or a dash joins
    into one phase (``"LiOH*H2O"``, ``"0.5Li2O·0.5SiO2"``, ``"75Li2S-25P2S5 (mol%)"``; the rule is the module's).

    Raises:
        InputError: not a formula, an unknown element, two materials in one formula, unknown amounts.
    """
    text, molar = _plain(formula)
    if _MIXTURE.search(text):
        raise _two_materials(formula)
    if _BROKEN.search(text):
        raise InputError(f"cannot read the formula {formula!r}: two numbers follow each other; write it without spaces")
    if re.search(r"\d\.(?![\dA-Z(\[])|[^\d)\]A-Za-z]\.(?!\d)|\.\.|\.$", text) or _ONE_OR_WATER.search(text):
        raise InputError(f"cannot read the formula {formula!r}: a number ends in a full stop; join water by a star")
    if _ABBREVIATION.fullmatch(text):
        raise InputError(f"{formula!r} has no amounts, like an abbreviation: write the formula with them (Li1P1O1N1)")
    _refuse_pairs(text, formula)
    text = re.sub(r"\s+", "", _SPACED_WATER.sub("*", text))
    if _UNKNOWN.search(re.sub(r"[A-Z][a-z]?", "E", text)):
        raise InputError(f"cannot read the formula {formula!r}: it holds a variable; put in its value")
    _refuse_stops(text, formula)
    parts = _parts(text, formula)
    if len(parts) > 1:
        _refuse_composites([own for _, own in parts], _sum(parts), text, formula)
        if not _bracketed(text, formula):
            _refuse_unknown_amounts(parts, formula)
    if molar and (len(parts) == 1 or any(times is None for times, _ in parts)):
        raise InputError(f"cannot read the formula {formula!r}: mole percent of what else?")
    total = _sum(parts)
    if not all(amount <= _LARGEST for amount in total.values()):
        raise InputError(f"cannot read the formula {formula!r}: an amount above {_LARGEST:g}")
    total = {element: amount for element, amount in total.items() if amount > 0}
    if not total:
        raise InputError(f"cannot read the formula {formula!r}: it holds nothing")
    return total


def _plain(formula: str) -> tuple[str, bool]:
    """The formula in plain signs, and whether its amounts were called mole percent."""
    text = _ISOTOPE.sub("", formula.strip()).translate(_SIGNS)
    text, count = _MOLAR.subn("", text)
    if _SHARE.search(text) and not _reads_as_salt(text.split("/")[0]):
        text = _SHARE.sub(lambda m: format(int(m[1]) / int(m[2]), ".10g") if int(m[2]) else m[0], text)
    return text.strip(), count > 0


def _two_materials(formula: str, total: Mapping[str, float] | None = None) -> InputError:
    """The error, with the formula to write where it is one phase after all."""
    text = f"{formula!r} names two materials: a composite has no one composition; give one of them"
    if total is not None:
        whole = "".join(f"{e}{'' if v == 1 else format(v, '.6g')}" for e, v in total.items())
        text += f" (or, if this is one phase, its sum: {whole})"
    return InputError(text)


def _sum(parts: Sequence[Part]) -> Amounts:
    total: Amounts = {}
    for times, own in parts:
        for element, amount in own.items():
            total[element] = total.get(element, 0.0) + (1.0 if times is None else times) * amount
    return total


def _split(text: str) -> list[str]:
    """Pieces of a text between the joiners outside brackets."""
    depth, cuts = 0, []
    stops = {m.start() for m in _STOP.finditer(text)} | {m.start() for m in _DASH.finditer(text)}
    for k, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if depth == 0 and (sign in _JOINERS or k in stops):
            cuts.append(k)
    return [text[a + 1 : b] for a, b in zip([-1, *cuts], [*cuts, len(text)], strict=True)]


def _joined(text: str) -> bool:
    """Whether a joiner stands anywhere in the text."""
    return bool(_STOP.search(text) or _DASH.search(text)) or any(sign in _JOINERS for sign in text)


def _parts(text: str, formula: str, depth: int = 0) -> list[Part]:
    """The parts of a formula, those in brackets too: "30LiI·70(0.75Li2S·0.25P2S5)" has three."""
    if depth > _DEEPEST:
        raise InputError(f"cannot read the formula {formula[:80]!r}: too many brackets in each other")
    out: list[Part] = []
    for piece in _split(text):
        found = _FACTOR.match(piece)
        times = float(found.group(1)) if found else None
        rest = piece[found.end() :] if found else piece
        inner = re.fullmatch(r"[(\[{](.*)[)\]}](\d+\.?\d*|\.\d+)?", rest)
        if inner and _joined(inner[1]) and _balanced(inner[1]):
            factor = (1.0 if times is None else times) * float(inner[2] or 1.0)
            own = _parts(inner[1], formula, depth + 1)
            whole = sum(1.0 if t is None else t for t, _ in own)
            whole = 100.0 if abs(whole - 100.0) < 0.5 else 1.0  # per cent
            out += [(factor * (1.0 if t is None else t) / whole, amounts) for t, amounts in own]
            continue
        groups = _bracketed(rest, formula)
        if groups:
            out += [((1.0 if times is None else times) * factor, amounts) for factor, amounts in groups]
        else:
            out.append((times, _amounts(rest, formula)))
    return out


def _balanced(text: str) -> bool:
    """Whether no bracket closes before it opens."""
    depth = 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        if depth < 0:
            return False
    return depth == 0


def _bracketed(text: str, formula: str) -> list[tuple[float, Amounts]]:
    """Compounds in brackets, "(Li2S)60(SiS2)28(P2S5)12" or "LiI(Al2O3)0.4"; empty where they are parts of one."""
    groups = re.findall(r"\(([A-Za-z\d.]+)\)(\d+\.?\d*|\.\d+)?", text)
    if not groups:
        return []
    rest = re.sub(r"\(([A-Za-z\d.]+)\)(\d+\.?\d*|\.\d+)?", "", text)
    if not re.fullmatch(r"[A-Za-z\d.]*", rest):
        return []
    try:
        found = [(float(times or 1.0), _amounts(inner, formula)) for inner, times in groups]
        if rest:
            found.insert(0, (1.0, _amounts(rest, formula)))
    except InputError:
        return []
    return found if len(found) > 1 and all(_is_salt(own) for _, own in found) else []


def _refuse_stops(text: str, formula: str) -> None:
    """Refuses a full stop that may be a decimal point or join: "Li2O.2SiO2", "LiI.25H2O".

    Raises:
        InputError: names the formula.
    """
    unclear = bool(_FEW_OR_MANY.search(text))
    for part in _split(text):
        pieces = _PART_OR_DECIMAL.split(part)
        unclear |= len(pieces) > 1 and all(_reads_as_salt(piece) for piece in pieces)
    if unclear:
        raise InputError(
            f"cannot read the formula {formula!r}: its full stop may be a decimal point or join two parts: use a star"
        )


def _reads_as_salt(piece: str) -> bool:
    piece = re.sub(r"\s+", "", piece)
    try:
        found = _FACTOR.match(piece)
        return _is_salt(_amounts(piece[found.end() :] if found else piece, piece))
    except InputError:
        return False


def _refuse_pairs(text: str, formula: str) -> None:
    """Refuses compounds that a space alone separates; water is no second material.

    Raises:
        InputError: names the formula.
    """
    if _LOOSE.search(_SPACED_WATER.sub("*", text)) or re.search(r"[A-Za-z)\]]\s+\d[\d.]*\s+[HD]2O$", text):
        raise InputError(f"cannot read the formula {formula!r}: join its parts by a star, or leave out the spaces")
    words = text.split()
    if len(words) < 2 or not all(re.fullmatch(r"(?:[A-Z][a-z]?\d*\.?\d*|[()\[\]]\d*\.?\d*)+", w) for w in words):
        return
    try:
        whole = [_amounts(word, formula) for word in words if word not in ("H2O", "D2O")]
    except InputError:  # a bracket that is open over a space: one formula
        return
    if len(whole) > 1 and all(_is_salt(own) for own in whole):
        raise _two_materials(formula)


def _refuse_unknown_amounts(parts: Sequence[Part], formula: str) -> None:
    """Refuses compounds without amounts ("Li2S-P2S5").

    Raises:
        InputError: names the formula.
    """
    solid = [times for times, own in parts if not _is_solvent(own)]
    if len(solid) > 1 and all(times is None for times in solid):
        raise InputError(
            f"{formula!r} names two materials without amounts: write them, 0.75Li2S-0.25P2S5 or 1Li2O*1SiO2"
        )


def _sign(text: str) -> str:
    return "a dash" if _DASH.search(text) else "a full stop" if _STOP.search(text) else "a star or dot"


def _refuse_composites(
    parts: Sequence[Mapping[str, float]], total: Mapping[str, float], text: str, formula: str
) -> None:
    """Refuses parts that are no compounds ("LLZO-Ga"), and compounds that are two phases by the module's rule.

    Raises:
        InputError: names the formula.
    """
    if not all(_is_salt(own) for own in parts if not _is_solvent(own)):
        raise InputError(f"cannot read the formula {formula!r}: what {_sign(text)} joins must be compounds")
    solid = [set(own) for own in parts if not _is_solvent(own)]
    if len(solid) < 2:
        return
    shared = set.intersection(*solid) - _NO_CATION
    complex_anions = {frozenset(own & _NO_CATION) for own in solid}
    alike = len(complex_anions) == 1 and all(len(own & _NO_CATION) == 2 for own in solid)
    if (shared or alike) and all(len(own) <= 3 for own in solid):
        electrodes = [bool(own & _ELECTRODE) for own in solid]
        if all(electrodes) or not any(electrodes) or all(len(own) == 2 for own in solid):
            return
    binary = [own for own in solid if len(own) == 2]
    anions = {anion for own in binary if own & _ALKALI for anion in own & _NONMETALS}
    if len(binary) == len(solid) and not any(own & _ALKALI for own in solid):
        anions = set.intersection(*solid) & _NONMETALS
    if anions and all((own & _ALKALI and len(own) <= 3) or (len(own) == 2 and own & anions) for own in solid):
        return
    raise _two_materials(formula, total)


def _is_solvent(amounts: Mapping[str, float]) -> bool:
    """Whether this is a molecule that a compound takes up: water, ammonia, hydrogen peroxide."""
    return any(
        amounts.keys() == molecule.keys()
        and len({round(amounts[element] / count, 9) for element, count in molecule.items()}) == 1
        for molecule in _SOLVENTS
    )


def _is_salt(amounts: Mapping[str, float]) -> bool:
    """Whether an anion and charges that can balance are there."""
    try:
        check_compound(amounts, "")
    except InputError:
        return False
    return len(amounts) > 1


@cache
def _symbols() -> frozenset[str]:
    return frozenset(symbol for symbol in element_table().symbol if symbol)


def _amounts(text: str, formula: str) -> Amounts:
    """Amounts of one part of a formula."""
    stack: list[Amounts] = [{}]
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.end() == position:
            raise InputError(f"cannot read the formula {formula!r} at {text[position:]!r}")
        position = match.end()
        element, amount, opened, closed, factor = match.groups()
        if element:
            element = "H" if element == "D" else element
            if element not in _symbols():
                raise InputError(f"unknown element {element!r} in the formula {formula!r}")
            stack[-1][element] = stack[-1].get(element, 0.0) + (float(amount) if amount else 1.0)
        elif opened:
            stack.append({})
        elif closed:
            if len(stack) == 1:
                raise InputError(f"unbalanced brackets in the formula {formula!r}")
            for name, value in stack.pop().items():
                stack[-1][name] = stack[-1].get(name, 0.0) + value * (float(factor) if factor else 1.0)
    if len(stack) != 1 or not stack[0]:
        raise InputError(f"cannot read the formula {formula!r}")
    return stack[0]


def check_compound(amounts: Mapping[str, float], name: str) -> float:
    """Refuses what is no ionic compound: no anion, or charges that no known oxidation states can balance.

    Args:
        amounts: amount of each element.
        name: formula or source, for the message.

    Returns:
        Charge a formula that is left over where amounts are rounded or come from an analysis; 0 where they balance.

    Raises:
        InputError: a metal, an alloy, or a formula that cannot be neutral by more than 0.05 charges an atom.
    """
    present = {element for element, amount in amounts.items() if amount > 0}
    spans = [(amounts[element], *_span(element, present)) for element in sorted(present)]
    lowest, highest = math.fsum(x * low for x, low, _ in spans), math.fsum(x * high for x, _, high in spans)
    if not present & _NONMETALS:
        raise InputError(f"{name}: no anion in it: a metal, an alloy or a Zintl phase conducts electrons")
    left = lowest if lowest > 0 else min(highest, 0.0)
    size = math.fsum(amounts.values())
    if abs(left) > _ROUNDED * size + 1e-9:  # at the limit: as rounded, in whatever order the elements come
        span = f"{lowest:+.3g} to {highest:+.3g}"
        raise InputError(f"{name}: cannot be neutral: its oxidation states sum to {span} a formula; check the amounts")
    return left if abs(left) > 1e-3 * size else 0.0


def _span(element: str, present: set[str]) -> tuple[float, float]:
    """Lowest and highest oxidation state of an element among others.

    The lowest is a common state, or one of at least 8 % of the element's occurrences (3 % for redox-active metals); the
    highest of a metal is any that occurs. Nothing is positive without a more electronegative partner, and N, S, Se and
    the halogens not without O or F. Oxygen is above -2 with alkali and alkaline earth metals alone (peroxides),
    nitrogen and sulfur with one alkali metal (azides, polysulfides); boron below +3 with hydrogen (Li2B12H12).
    """
    number = numbers_by_symbol()[element]
    entry = facts(number)
    counts = {q: n for q, n in dict(entry.occurrences).items() if n > 0}
    share = (0.03 if number in _REDOX else 0.08) * max(sum(counts.values()), 1)
    states = {*entry.common_states, *(q for q, n in counts.items() if n >= share)} or {0}
    if element == "O":
        return -2.0, -0.5 if present <= _PEROXIDES else (2.0 if "F" in present else -2.0)
    if element in _LEAST_CHARGED and len(present) == 2 and present <= _ALKALI | {element}:
        return float(min(states)), _LEAST_CHARGED[element]
    if element == "B" and "H" in present:
        return 0.0, 3.0  # closo-borates: boron bound to boron
    table = element_table()
    chi = table.electronegativity[number]
    partners = {e for e in present if table.electronegativity[numbers_by_symbol()[e]] > chi}
    if element in _NEED_OXYGEN:
        partners &= {"O", "F"}
    if not partners and min(states) < 0:
        states = {q for q in states if q <= 0}
    elif element not in _NONMETALS:
        return float(min(states)), float(max({*states, *counts}))
    return float(min(states)), float(max(states))

"""The task of relaxed barriers: costly, so that a condition on the rigid ones can choose the structures that get it."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fastin.errors import InputError
from fastin.screening.job import BARRIER_OPTIONS, GRID_OPTIONS, NETWORK_OPTIONS, Job, Scalar, Task

_OPTIONS = frozenset({"calculator", "mechanism", "legs", "softening", "images", "supercell", "fmax", "where", "keep"})
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
}
_CONDITION = re.compile(r"\s*(\w+)\s*(<=|>=|==|<|>|=)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*")


def conditions(text: str) -> list[tuple[int, Callable[[float, float], bool], float]]:
    """What ``barrier_3d_network_eV < 0.6 and e1d > 0.1`` asks of the rigid barriers.

    Raises:
        InputError: another column, or no such form.
    """
    found = []
    for part in re.split(r"\s+and\s+", text.strip(), flags=re.IGNORECASE):
        match = _CONDITION.fullmatch(part)
        column = match and re.fullmatch(r"(?:barrier_([123])d_network_eV|e([123])d)", match[1])
        if match is None or column is None:
            raise InputError(
                f"where {text!r}: {part!r} is no condition on a rigid barrier such as barrier_3d_network_eV < 0.6; "
                "join several with and"
            )
        try:
            value = float(match[3])
        except ValueError:
            raise InputError(f"where {text!r}: {match[3]} is no number") from None
        found.append((int(column[1] or column[2]) - 1, _COMPARE[match[2]], value))
    return found


@cache
def _potential(spec: str) -> Any:
    from fastin.relax.potentials import load_potential

    return load_potential(spec)


def _load(options: Mapping[str, Any]) -> None:
    """The potential, made before the first structure's time runs; a band of a small crystal would take minutes."""
    _potential(str(options.get("calculator", "chgnet"))).calculator()


def _check(options: Mapping[str, Any]) -> dict[str, str]:
    from fastin.relax.potentials import load_potential
    from fastin.relax.request import Request

    spec = options.get("calculator", "chgnet")
    if not isinstance(spec, str):
        raise InputError("the task relax takes a calculator by name: sevennet, chgnet, mace:PATH or module:factory")
    load_potential(spec)
    if options.get("where") is not None:
        conditions(str(options["where"]))
    Request(
        **{k: options[k] for k in ("mechanism", "legs", "images", "supercell", "fmax", "softening") if k in options}
    )
    return {}


def _relax(job: Job) -> dict[str, Scalar]:
    from fastin.relax.hops import relax_hops
    from fastin.relax.output import crystal_digest
    from fastin.transport.paths import join_network

    options = dict(job.chosen(_OPTIONS))
    spec, where = str(options.pop("calculator", "chgnet")), options.pop("where", None)
    keep = options.pop("keep", None)
    rigid = job.barriers.values("network")
    if where is not None and not all(holds(float(rigid[d]), limit) for d, holds, limit in conditions(str(where))):
        return {}
    paths = join_network(job.crystal, job.network, job.grid, job.barriers, num_threads=job.num_threads)
    # stages of a structure that was stopped in the middle (a kill, the time limit) are there when it comes again
    out = None if keep is None else Path(str(keep)) / crystal_digest(job.crystal)[:16]
    found = relax_hops(paths, _potential(spec), out=out, **options)
    rests = dict.fromkeys(flag for d in (1, 2, 3) for flag in found.flags_of(d))
    return {
        **{f"relaxed_barrier_{d}d_eV": float(v) for d, v in enumerate(found.barriers, 1)},
        "relaxed_flags": ",".join(rests),
        "relaxed_potential": found.potential,
        "relaxed_legs": len(found.legs),
        "relaxed_legs_left": len(found.left),
    }


RELAX = Task(
    "relax",
    (
        *((f"relaxed_barrier_{d}d_eV", "float") for d in (1, 2, 3)),
        ("relaxed_flags", "string"),
        ("relaxed_potential", "string"),
        ("relaxed_legs", "int"),
        ("relaxed_legs_left", "int"),
    ),
    _relax,
    needs=(("ase", "mlip"),),
    options=_OPTIONS | GRID_OPTIONS | BARRIER_OPTIONS | NETWORK_OPTIONS,
    check=_check,
    trial=_load,
)

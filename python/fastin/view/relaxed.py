"""Relaxed barriers of a structure for its page: what a run wrote, in words where words are shown."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from fastin.relax.flags import FLAGS, REMARKS
from fastin.relax.output import read_results

if TYPE_CHECKING:
    from fastin.crystal.crystal import Crystal


def relaxed_data(folder: str | os.PathLike[str], crystal: Crystal, ion: str) -> dict[str, Any]:
    """Barriers, legs with both profiles, and flags with what they mean.

    Raises:
        InputError: as `fastin.relax.output.read_results`.
    """
    found = read_results(os.fspath(folder), crystal, ion)
    name = found["potential"]
    opens = {leg["leg"]: [d for d in (1, 2, 3) if leg["leg"] in found["rests_on_legs"][d - 1]] for leg in found["legs"]}
    barriers = []
    for d, (value, flags) in enumerate(zip(found["barriers_eV"], found["rests_on_flags"], strict=True), 1):
        doubt = f"; rests on {', '.join(flags)}" if flags else ""
        text = f"{value:.3f} eV{doubt}" if math.isfinite(value) else "no relaxed legs percolate"
        barriers.append([f"E{d}D ({name})", text])
    seen = dict.fromkeys([*found["flags"], *(flag for leg in found["legs"] for flag in leg["flags"])])
    return {
        "potential": name,
        "mechanism": found["mechanism"],
        "barriers": barriers,
        "legs": [
            {
                "number": leg["leg"],
                "name": f"leg {leg['leg']}: {' – '.join(leg['places'])}",
                "barrier": round(leg["barrier_eV"], 5),
                "backward": round(leg["barrier_backward_eV"], 5),
                "fitted": round(leg["fitted_barrier_eV"], 5),
                "rigid": None if leg.get("bvse_barrier_eV") is None else round(leg["bvse_barrier_eV"], 5),
                "opens": opens[leg["leg"]],
                "flags": leg["flags"],
                "distance": [round(x, 4) for x in leg["distance_A"]],
                "profile": [round(x, 5) for x in leg["profile_eV"]],
                "bvse": [round(x, 5) for x in leg["bvse_profile_eV"]],
            }
            for leg in found["legs"]
        ],
        "flags": [[flag, ("remark: " if flag in REMARKS else "") + FLAGS[flag]] for flag in seen],
        "notes": found["notes"],
    }

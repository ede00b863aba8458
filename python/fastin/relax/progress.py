"""Where a run stands, and the time that it has taken."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from fastin.relax.work import OutOfBudgetError


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        leg: number of the leg at work; -1 for the crystal itself.
        stage: ``"parent"``, ``"shaken"``, ``"start"``, ``"end"`` or ``"band"``; ``"done"`` where legs run side by side.
        step: of the optimiser.
        force: largest, eV/A.
        done: legs that are done.
        legs: in all; at most, where the barriers found decide which others matter.
        seconds: since the start.
        remaining: estimate of the seconds left; NaN before there is one.
    """

    leg: int
    stage: str
    step: int
    force: float
    done: int
    legs: int
    seconds: float
    remaining: float


class Clock:
    """Time spent and left, told to the caller.

    Args:
        budget: seconds, or None.
        progress: called with each `Progress`.
        legs: in all.
    """

    def __init__(self, budget: float | None, progress: Callable[[Progress], None] | None, legs: int) -> None:
        self.budget = budget
        self.progress = progress
        self.legs = legs
        self.done = 0
        self.since = time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds."""
        return time.monotonic() - self.since

    def tell(self, leg: int, stage: str, step: int, force: float) -> None:
        """Tells the caller."""
        if self.progress is not None:
            left = self.spent / self.done * (self.legs - self.done) if self.done else math.nan
            self.progress(Progress(leg, stage, step, force, self.done, self.legs, self.spent, left))

    def watch(self, leg: int) -> Callable[[str, int, float], None]:
        """What a stage of a leg calls after every step; it stops the stage when the budget is spent."""

        def after(stage: str, step: int, force: float) -> None:
            self.tell(leg, stage, step, force)
            if self.budget is not None and self.spent > self.budget:
                raise OutOfBudgetError

        return after

"""Pre-training on what unlabelled structures tell for free: composition, cell and symmetry read from the pattern.

A network that has learnt to tell sulfides from oxides, the volume per atom and the crystal system from a pattern
needs fewer conductivity labels. Only the encoder is kept; at use the pattern stays the only input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fastin.errors import InputError
from fastin.xrd import augment
from fastin.xrd.model import SmallNet
from fastin.xrd.pattern import ScatteringAtoms
from fastin.xrd.training import prepare

#: First space group of each crystal system, triclinic to cubic.
_SYSTEM_STARTS = (1, 3, 16, 75, 143, 168, 195)
_ELEMENTS = 98


@dataclass(frozen=True, eq=False)
class StructureTargets:
    """What is predicted, one row a structure.

    Attributes:
        elements: (N, 98) share of atoms above 0 as 0/1, by atomic number - 1.
        system: (N,) crystal system 0..6, -1 where unknown.
        numbers: (N, 4) log volume per atom, lithium share, mean atomic number, electrons per volume; standardised.
    """

    elements: NDArray[np.float32]
    system: NDArray[np.int64]
    numbers: NDArray[np.float32]


def structure_targets(
    crystals: Sequence[ScatteringAtoms], space_groups: Sequence[int | None] | None = None
) -> StructureTargets:
    """Targets of crystals; `space_groups` are international numbers."""
    elements = np.zeros((len(crystals), _ELEMENTS), dtype=np.float32)
    numbers = np.zeros((len(crystals), 4), dtype=np.float32)
    system = np.full(len(crystals), -1, dtype=np.int64)
    for i, crystal in enumerate(crystals):
        total = float(crystal.occupancy.sum())
        volume = abs(float(np.linalg.det(crystal.cell)))
        if total <= 0 or volume <= 0:
            raise InputError(f"{crystal.source}: a crystal without atoms or volume cannot be a target")
        elements[i, crystal.number[crystal.occupancy > 0.01] - 1] = 1.0
        electrons = float((crystal.number * crystal.occupancy).sum())
        lithium = float(crystal.occupancy[crystal.number == 3].sum()) / total
        numbers[i] = (math.log(volume / total), lithium, electrons / total, electrons / volume)
        group = space_groups[i] if space_groups is not None else None
        if group is not None:
            system[i] = sum(group >= start for start in _SYSTEM_STARTS) - 1
    spread = numbers.std(axis=0)
    numbers = (numbers - numbers.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return StructureTargets(elements, system, numbers.astype(np.float32))


def pretrain(
    patterns: Tensor,
    targets: StructureTargets,
    *,
    network_settings: dict[str, Any] | None = None,
    iterations: int = 2000,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    preset: str = "fixed",
    seed: int = 0,
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Trains a `SmallNet` on the targets.

    Args:
        patterns: (N, 4501) sticks or (N, 901) prepared ones.

    Returns:
        The encoder's state (without the head), and the losses every 100 steps.
    """
    settings = network_settings or {}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = SmallNet(**settings, outputs=_ELEMENTS + 7 + 4)
        state = _fit(network, patterns, targets, iterations, batch_size, learning_rate, preset, seed)
    encoder = {k: v for k, v in network.state_dict().items() if not k.startswith("head.")}
    return encoder, state


def _fit(
    network: SmallNet,
    patterns: Tensor,
    targets: StructureTargets,
    iterations: int,
    batch_size: int,
    learning_rate: float,
    preset: str,
    seed: int,
) -> list[dict[str, float]]:
    inputs = prepare(network, patterns)
    elements, system = torch.from_numpy(targets.elements), torch.from_numpy(targets.system)
    numbers = torch.from_numpy(targets.numbers)
    rule = augment.PRESETS[preset]
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=iterations)
    history = []
    network.train()
    for step in range(1, iterations + 1):
        rows = torch.randint(len(inputs), (batch_size,), generator=generator)
        change = augment.strong if step % 2 else augment.weak
        output = network(change(inputs[rows], network.step, rule, generator))
        composition = functional.binary_cross_entropy_with_logits(output[:, :_ELEMENTS], elements[rows])
        symmetry = functional.cross_entropy(output[:, _ELEMENTS : _ELEMENTS + 7], system[rows], ignore_index=-1)
        symmetry = torch.nan_to_num(symmetry)  # no known system in the batch
        values = functional.smooth_l1_loss(output[:, _ELEMENTS + 7 :], numbers[rows])
        loss = 10.0 * composition + 0.5 * symmetry + values
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == iterations:
            history.append(
                {
                    "step": float(step),
                    "composition": composition.item(),
                    "symmetry": symmetry.item(),
                    "values": values.item(),
                }
            )
    return history

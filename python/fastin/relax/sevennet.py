"""SevenNet-l3i5 for energies and forces in little memory.

The stock calculator keeps what every convolution computes for every pair of atoms until the forces are there: 4.7 GB at
192 atoms of LiCoO2. Here the pairs of a large structure go through a convolution in slices, and a slice is computed
again when its derivative is due (T. Chen et al., arXiv:1604.06174): the same sums in another order.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

_PAIRS = 3000  # of atoms at once; below that nothing is computed twice


def sevennet_forces(device: str = "cpu", pairs: int = _PAIRS) -> Any:
    """An ASE calculator of the shipped weights, frozen.

    Args:
        device: of torch.
        pairs: of atoms that go through a convolution at once.
    """
    logging.getLogger("matscipy").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the accelerators that are not there
        from sevenn.calculator import SevenNetCalculator

        made = SevenNetCalculator("7net-l3i5", device=device)
    for weight in made.model.parameters():
        weight.requires_grad_(False)
    _slice_convolutions(made.model, pairs)
    return made


def _slice_convolutions(model: Any, pairs: int) -> None:
    from sevenn.nn.convolution import IrrepsConvolution
    from torch import nn
    from torch.utils.checkpoint import checkpoint

    class Sliced(nn.Module):
        """One convolution, its pairs in slices."""

        def __init__(self, whole: Any) -> None:
            super().__init__()
            self.whole = whole

        def forward(self, data: Any) -> Any:
            whole = self.whole
            index = data[whole.key_edge_idx]
            count = index.shape[1]
            if count <= pairs:
                return whole(data)
            x, sums = data[whole.key_x], None
            for start in range(0, count, pairs):
                part = slice(start, start + pairs)
                given = (x, data[whole.key_filter][part], data[whole.key_weight_input][part], index[:, part])
                found = checkpoint(self._part, *given, use_reentrant=False)
                sums = found if sums is None else sums + found
            data[whole.key_x] = sums
            return data

        def _part(self, x: Any, along: Any, weight: Any, index: Any) -> Any:
            whole = self.whole
            given = {whole.key_x: x, whole.key_filter: along, whole.key_weight_input: weight}
            return whole({**given, whole.key_edge_idx: index})[whole.key_x]

    for name, module in list(model._modules.items()):
        if isinstance(module, IrrepsConvolution) and not module.is_parallel:
            model._modules[name] = Sliced(module)

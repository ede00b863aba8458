"""Weak and strong augmentations of stick patterns, whole batches at once.

All work on (B, N) tensors on one uniform grid of 2 theta and draw their random numbers from one generator, so a seed
fixes them. Lengths are given in degrees and turned into bins of the grid that a batch lives on.

`FAITHFUL` carries the published values (Q. Wan et al., Energy Environ. Sci. 17, 9487 (2024) and its released code):
shifts to higher angles only, noise switched off, no broadening. `FIXED` is the repaired set: both directions, noise
really on, broadening, an isotropic change of the lattice, no loss of the weak peaks, and displacements of the size of
real zero errors: shifts of degrees turn one material's pattern into another's (two repetitions:
0.02 to 0.04 of macro-F1, close to the noise).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from fastin.xrd.settings import FAITHFUL as FAITHFUL
from fastin.xrd.settings import FIXED as FIXED
from fastin.xrd.settings import PRESETS as PRESETS
from fastin.xrd.settings import AugmentPreset


def normalise(patterns: Tensor, cut: float = 0.0) -> Tensor:
    """Min-max to [0, 1] by row; values below `cut` become 0. Rows without contrast become 0."""
    low = patterns.amin(dim=-1, keepdim=True)
    span = patterns.amax(dim=-1, keepdim=True) - low
    scaled = torch.where(span > 0, (patterns - low) / span.clamp_min(1e-30), torch.zeros_like(patterns))
    return torch.where(scaled < cut, torch.zeros_like(scaled), scaled) if cut > 0 else scaled


def _uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype)


def _take(patterns: Tensor, index: Tensor) -> Tensor:
    """patterns[b, index[b, j]], 0 where the index lies outside."""
    bins = patterns.shape[-1]
    inside = (index >= 0) & (index < bins)
    return torch.where(inside, patterns.gather(1, index.clamp(0, bins - 1)), torch.zeros_like(patterns))


def shift(patterns: Tensor, step: float, preset: AugmentPreset, generator: torch.Generator) -> Tensor:
    """Moves half of the rows rigidly by a random amount; what leaves the grid is lost, zeros enter."""
    rows, bins = patterns.shape
    low, high = (max(0, round(x / step)) for x in preset.shift)
    size = torch.floor(low + (high - low + 1) * _uniform((rows, 1), patterns, generator)).clamp(max=high)
    active = _uniform((rows, 1), patterns, generator) < 0.5
    if preset.shift_both:
        size = torch.where(_uniform((rows, 1), patterns, generator) < 0.5, size, -size)
    size = torch.where(active, size, torch.zeros_like(size)).long()
    return _take(patterns, torch.arange(bins, device=patterns.device) - size)


def stretch(patterns: Tensor, step: float, preset: AugmentPreset, generator: torch.Generator) -> Tensor:
    """Scales the lattice: a peak at sin(theta) moves to sin(theta) / (1 + e), one e a row; intensity is kept."""
    if preset.stretch <= 0.0:
        return patterns
    rows, bins = patterns.shape
    strain = preset.stretch * (2.0 * _uniform((rows, 1), patterns, generator) - 1.0)
    angle = torch.deg2rad(torch.arange(bins, device=patterns.device, dtype=patterns.dtype) * step / 2.0)
    moved = torch.asin((torch.sin(angle) / (1.0 + strain)).clamp(-1.0, 1.0))
    target = torch.round(torch.rad2deg(moved) * 2.0 / step).long()
    inside = target < bins
    source = torch.where(inside, patterns, torch.zeros_like(patterns))
    return torch.zeros_like(patterns).scatter_add_(1, target.clamp(max=bins - 1), source)


def _choose_occupied(patterns: Tensor, share: float, exact: bool, generator: torch.Generator) -> Tensor:
    """Mask of at most `share` of the occupied bins of each row; the amount is uniform, half of the rows get none."""
    rows, _ = patterns.shape
    occupied = patterns > 0
    amount = share * _uniform((rows, 1), patterns, generator)
    active = _uniform((rows, 1), patterns, generator) < 0.5
    scores = _uniform(tuple(patterns.shape), patterns, generator)
    if not exact:
        return occupied & active & (scores < amount)
    count = torch.floor(amount * occupied.sum(dim=-1, keepdim=True)).long()
    scores = torch.where(occupied, scores, torch.full_like(scores, 2.0))
    rank = scores.argsort(dim=-1).argsort(dim=-1)
    return occupied & active & (rank < count)


def rescale_peaks(patterns: Tensor, preset: AugmentPreset, generator: torch.Generator) -> Tensor:
    """Multiplies some occupied bins by factors in [1, 1 + gain] (preferred orientation, occupancies)."""
    chosen = _choose_occupied(patterns, preset.scale_share, preset.exact_counts, generator)
    factor = 1.0 + preset.scale_gain * _uniform(tuple(patterns.shape), patterns, generator)
    if preset.scale_both:
        factor = torch.where(_uniform(tuple(patterns.shape), patterns, generator) < 0.5, factor, 1.0 / factor)
    return torch.where(chosen, patterns * factor, patterns)


def drop_peaks(patterns: Tensor, preset: AugmentPreset, generator: torch.Generator) -> Tensor:
    """Empties some occupied bins."""
    chosen = _choose_occupied(patterns, preset.drop_share, preset.exact_counts, generator)
    return torch.where(chosen, torch.zeros_like(patterns), patterns)


def shift_gap(patterns: Tensor, step: float, preset: AugmentPreset, generator: torch.Generator) -> Tensor:
    """Closes or opens an empty gap of half of the rows: one side of it moves by a random width.

    A gap wider than the drawn width is picked at random. Either that many empty bins before the peak that ends it are
    removed (everything above moves down), or as many zeros enter at the front and leave there (everything below
    moves up).
    """
    rows, bins = patterns.shape
    widest = max(1, round(preset.gap / step))
    position = torch.arange(bins, device=patterns.device)
    occupied = patterns > 0
    last = torch.where(occupied, position, torch.full_like(position, -1)).cummax(dim=-1).values
    previous = torch.cat([torch.full_like(last[:, :1], -1), last[:, :-1]], dim=1)
    width = torch.floor(1 + widest * _uniform((rows, 1), patterns, generator)).clamp(max=widest).long()
    scores = _uniform(tuple(patterns.shape), patterns, generator)
    eligible = occupied & (position - previous - 1 > width)
    best, peak = torch.where(eligible, scores, torch.full_like(scores, -1.0)).max(dim=-1, keepdim=True)
    active = (_uniform((rows, 1), patterns, generator) < 0.5) & (best >= 0)
    downwards = _uniform((rows, 1), patterns, generator) < 0.5
    down = torch.where(position < peak - width, position, position + width)
    up = torch.where(position < peak, position - width, position)
    moved = _take(patterns, torch.where(downwards, down, up))
    return torch.where(active, moved, patterns)


def broaden(patterns: Tensor, step: float, preset: AugmentPreset, generator: torch.Generator) -> Tensor:
    """Broadens half of the rows with a Gaussian of random width (small crystallites, instrument)."""
    if preset.broaden <= 0.0:
        return patterns
    rows, bins = patterns.shape
    reach = max(1, round(1.5 * preset.broaden / step))
    width = preset.broaden * _uniform((rows, 1), patterns, generator).clamp_min(1e-3)
    active = _uniform((rows, 1), patterns, generator) < 0.5
    offset = torch.arange(-reach, reach + 1, device=patterns.device, dtype=patterns.dtype) * step
    kernel = torch.exp(-4.0 * math.log(2.0) * (offset / width) ** 2)
    kernel = kernel / kernel.sum(dim=-1, keepdim=True)
    padded = functional.pad(patterns, (reach, reach))
    broad = torch.zeros_like(patterns)
    for k in range(2 * reach + 1):
        broad = broad + kernel[:, k : k + 1] * padded[:, k : k + bins]
    return torch.where(active, broad, patterns)


def add_noise(patterns: Tensor, preset: AugmentPreset, generator: torch.Generator) -> Tensor:
    """Adds uniform noise to a share of the bins of half of the rows."""
    if preset.noise_share <= 0.0 or preset.noise_height <= 0.0:
        return patterns
    rows, _ = patterns.shape
    shape = tuple(patterns.shape)
    active = _uniform((rows, 1), patterns, generator) < 0.5
    chosen = (_uniform(shape, patterns, generator) < preset.noise_share) & active
    return patterns + chosen * preset.noise_height * _uniform(shape, patterns, generator)


def weak(patterns: Tensor, step: float, preset: AugmentPreset, generator: torch.Generator) -> Tensor:
    """The weak augmentation: shift (and stretch); renormalised.

    Args:
        patterns: (B, N) sticks.
        step: degrees a bin.
        preset: `FAITHFUL`, `FIXED` or your own.
        generator: of the patterns' device; its state advances.

    Returns:
        (B, N), each row's range [0, 1].
    """
    base = normalise(patterns, preset.intensity_cut)
    return normalise(shift(stretch(base, step, preset, generator), step, preset, generator))


def strong(patterns: Tensor, step: float, preset: AugmentPreset, generator: torch.Generator) -> Tensor:
    """The strong augmentation: rescaled and lost peaks, a moved gap, noise; renormalised. See `weak`."""
    base = normalise(patterns, preset.intensity_cut)
    base = stretch(base, step, preset, generator)
    base = rescale_peaks(base, preset, generator)
    base = drop_peaks(base, preset, generator)
    base = shift_gap(normalise(base, preset.intensity_cut), step, preset, generator)
    base = broaden(base, step, preset, generator)
    return normalise(add_noise(normalise(base), preset, generator))

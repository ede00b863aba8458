"""How a network is trained and on which grid it reads patterns: plain values, without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError

#: Grid of the patterns that all networks take: 4501 bins of 0.02 degrees.
PATTERN_BINS = 4501
PATTERN_STEP = 0.02
#: The small networks first sum the sticks into bins five times as wide.
COARSE_FACTOR = 5
COARSE_BINS = (PATTERN_BINS - 1) // COARSE_FACTOR + 1


def coarsened(patterns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums (N, 4501) sticks into (N, 901) bins of 0.1 degrees, bin c from the five fine bins around 5 c."""
    half = COARSE_FACTOR // 2
    padded = np.pad(np.asarray(patterns, dtype=np.float32), ((0, 0), (half, half)))
    summed: NDArray[np.float32] = padded.reshape(len(padded), COARSE_BINS, COARSE_FACTOR).sum(axis=2)
    return summed


@dataclass(frozen=True)
class AugmentPreset:
    """Parameters of the augmentations; every step of the strong one is applied with probability one half.

    Attributes:
        name: for records.
        intensity_cut: intensities below it (of the strongest) are zeroed first.
        shift: weak: smallest and largest rigid shift, degrees (probability one half).
        shift_both: weak: either direction; otherwise to higher angles only.
        stretch: weak: largest relative change of the lattice parameters, uniform in [-stretch, stretch].
        broaden: strong: largest full width of a Gaussian that half of the rows are broadened with, degrees.
        scale_share: strong: at most this share of the occupied bins is rescaled ...
        scale_gain: ... by a factor uniform in [1, 1 + gain] ...
        scale_both: ... or its inverse, with equal chance.
        drop_share: strong: at most this share of the occupied bins is emptied.
        gap: strong: largest number of degrees removed from or inserted at an empty gap.
        noise_share: share of all bins that receive noise.
        noise_height: largest noise, of the strongest peak.
        exact_counts: a fixed number of bins is chosen (as published); otherwise each bin by an independent draw.
    """

    name: str
    intensity_cut: float = 0.1
    shift: tuple[float, float] = (1.0, 2.98)
    shift_both: bool = False
    stretch: float = 0.0
    broaden: float = 0.0
    scale_share: float = 0.15
    scale_gain: float = 2.0
    scale_both: bool = False
    drop_share: float = 0.15
    gap: float = 9.98
    noise_share: float = 0.0
    noise_height: float = 0.0
    exact_counts: bool = True


FAITHFUL = AugmentPreset("faithful")
FIXED = AugmentPreset(
    "fixed",
    intensity_cut=0.0,
    shift=(0.02, 0.1),
    shift_both=True,
    stretch=0.002,
    broaden=0.3,
    scale_share=0.6,
    scale_gain=2.0,
    scale_both=True,
    drop_share=0.2,
    gap=0.3,
    noise_share=0.02,
    noise_height=0.1,
    exact_counts=False,
)
PRESETS = {preset.name: preset for preset in (FAITHFUL, FIXED)}


ALGORITHMS = ("supervised", "prior", "fixmatch", "flexmatch")


@dataclass(frozen=True)
class TrainConfig:
    """How one network is trained. The class order is (poor, superionic).

    The loss is ``L = Ls + unlabelled_weight * Lu``: cross-entropy of weakly augmented labelled patterns, and of
    strongly augmented unlabelled ones against hard pseudo-labels made from their weakly augmented twins (K. Sohn et
    al., FixMatch, NeurIPS 2020), taken where the confidence reaches the threshold, which FlexMatch scales by class
    (B. Zhang et al., NeurIPS 2021).

    Attributes:
        algorithm: ``"supervised"``, ``"prior"``, ``"fixmatch"`` or ``"flexmatch"``. ``"prior"`` uses one thing that
            is known of the unlabelled rows: nearly all materials are poor conductors (see unlabelled_poor).
        unlabelled_poor: share of the poor half of the labelled loss that is taken over by unlabelled rows counted as
            poor; 0.3 for ``"prior"``, 0 otherwise, unless given (positive-unlabelled learning: C. Elkan, K. Noto, KDD
            2008).
        network: ``"small"``, ``"conv"``, ``"elastic"`` or ``"vgg11"``; network_settings are its arguments.
        ridge: factor of the squared weights of the linear layers in the loss (the optimiser's own weight decay hardly
            acts in a few hundred steps); what few labels need on an unlabelled representation.
        preset: augmentations, ``"fixed"`` or ``"faithful"``.
        augment_labelled: share of the labelled batch that gets the weak augmentation. None by default: on all labels
            and folds grouped by chemical system it cost 0.02 of macro-F1 (0.79 to 0.77, two repetitions).
        strong_labelled: share of the labelled batch that gets the strong augmentation.
        class_weights: of (poor, superionic); ``None`` balances them by the labelled counts.
        ema_decay: 0 keeps no average; otherwise the averaged weights make the predictions.
        teacher_ema: pseudo-labels come from the averaged network in evaluation mode; otherwise from the network in
            training mode (dropout and batch statistics active), as published.
        pool_size: number of unlabelled patterns that FlexMatch's counts refer to; 0 means the real one.
        fixed_unlabelled: draw that many unlabelled patterns once and reuse them; 0 draws anew every step.
        align: pseudo-label probabilities are rescaled so that their running mean matches the labelled class shares
            (D. Berthelot et al., ReMixMatch, ICLR 2020).
    """

    algorithm: str = "prior"
    unlabelled_poor: float | None = None
    network: str = "small"
    network_settings: dict[str, Any] = field(default_factory=dict)
    preset: str = "fixed"
    iterations: int = 300
    batch_size: int = 32
    unlabelled_ratio: int = 3
    learning_rate: float = 2e-3
    weight_decay: float = 5e-4
    ridge: float = 0.0
    augment_labelled: float = 0.0
    strong_labelled: float = 0.0
    threshold: float = 0.95
    unlabelled_weight: float = 1.0
    class_weights: tuple[float, float] | None = None
    label_smoothing: float = 0.0
    ema_decay: float = 0.99
    teacher_ema: bool = True
    pool_size: int = 0
    fixed_unlabelled: int = 0
    align: bool = False
    seed: int = 0
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise InputError(f"unknown algorithm {self.algorithm!r}; use one of {', '.join(ALGORITHMS)}")
        if self.preset not in PRESETS:
            raise InputError(f"unknown preset {self.preset!r}; use one of {', '.join(PRESETS)}")
        if self.iterations < 1 or self.batch_size < 1 or self.unlabelled_ratio < 1:
            raise InputError("iterations, batch_size and unlabelled_ratio must be at least 1")
        if not 0.0 <= self.ema_decay < 1.0 or not 0.0 < self.threshold <= 1.0:
            raise InputError("ema_decay must lie in [0, 1) and threshold in (0, 1]")
        if self.unlabelled_poor is None:
            object.__setattr__(self, "unlabelled_poor", 0.3 if self.algorithm == "prior" else 0.0)
        assert self.unlabelled_poor is not None
        if not 0.0 <= self.unlabelled_poor <= 1.0:
            raise InputError("unlabelled_poor must lie in [0, 1]")
        if self.teacher_ema and self.ema_decay == 0.0:
            object.__setattr__(self, "teacher_ema", False)

    @classmethod
    def faithful(cls, **changes: Any) -> TrainConfig:
        """The published run: VGG-11, FlexMatch with its counts against 10,000 rows, no averaging, 1000 steps.

        The released trainer takes the length of the unlabelled set from another data set (10,000), which keeps its
        adaptive thresholds below 0.053: every pseudo-label counts. It also reuses 960 unlabelled patterns.
        """
        published = cls(
            algorithm="flexmatch",
            network="vgg11",
            preset="faithful",
            iterations=1000,
            learning_rate=3e-4,
            augment_labelled=1.0,
            class_weights=(0.54, 0.46),
            ema_decay=0.0,
            teacher_ema=False,
            pool_size=10_000,
            fixed_unlabelled=960,
        )
        return replace(published, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints and records."""
        return asdict(self)

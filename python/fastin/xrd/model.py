"""Networks that read a powder pattern: the published VGG-11 and a small one that trains in minutes on a CPU."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fastin.errors import InputError
from fastin.xrd.settings import COARSE_BINS, COARSE_FACTOR, PATTERN_BINS, PATTERN_STEP

_SCALE = 0.25  # root mean square of a broadened channel
_KERNEL_REACH = 30  # bins to either side of a broadened stick


def coarsen(patterns: Tensor) -> Tensor:
    """Sums (B, 4501) sticks into (B, 901) bins of 0.1 degrees, bin c from the five fine bins around 5 c."""
    half = COARSE_FACTOR // 2
    padded = functional.pad(patterns, (half, half))
    return padded.unfold(-1, COARSE_FACTOR, COARSE_FACTOR).sum(dim=-1)


class VGG11(nn.Module):
    """The 1-D VGG-11 of XRDMatch (Q. Wan et al., Energy Environ. Sci. 17, 9487 (2024)): 10,854,786 parameters.

    Four blocks of two convolutions (stride 2 and 1) with batch norm, max-pooling and dropout 0.5; three linear layers
    (Xavier uniform, zero bias). Input (B, 4501), output (B, 2) logits.
    """

    step = PATTERN_STEP
    bins = PATTERN_BINS

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for channels, kernel in ((64, 16), (128, 12), (256, 8), (512, 4)):
            layers += [
                nn.Conv1d(before, channels, kernel, stride=2, padding=1),
                nn.BatchNorm1d(channels),
                nn.ReLU(),
                nn.Conv1d(channels, channels, kernel, padding=1),
                nn.BatchNorm1d(channels),
                nn.ReLU(),
                nn.MaxPool1d(2),
                nn.Dropout(0.5),
            ]
            before = channels
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 15, 1024),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(1024, 256),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(256, 2),
        )
        for module in self.classifier:
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def prepare(self, patterns: Tensor) -> Tensor:
        """The network reads the sticks as they are."""
        return patterns

    def forward(self, patterns: Tensor) -> Tensor:
        """(B, 4501) -> (B, 2) logits."""
        logits: Tensor = self.classifier(self.features(patterns.unsqueeze(1)).flatten(1))
        return logits


class _Broadened(nn.Module):
    """Front end without parameters: sticks in 0.1 degree bins -> broadened, rooted, scaled channels on 0.2 degrees.

    The square root makes weak peaks count; each channel has the same root mean square, and the mean pattern of the
    training set (`set_centre`) is taken off.
    """

    step = PATTERN_STEP * COARSE_FACTOR
    bins = COARSE_BINS

    def __init__(self, fwhm: tuple[float, ...], first: float) -> None:
        super().__init__()
        offset = torch.arange(-_KERNEL_REACH, _KERNEL_REACH + 1) * self.step
        kernels = [torch.exp(-4.0 * math.log(2.0) * (offset / width) ** 2) for width in fwhm]
        self.skip = round(first / self.step / 2)
        self.channels = len(fwhm)
        self.length = (self.bins + 1) // 2 - self.skip
        self.kernels: Tensor
        self.centre: Tensor
        self.register_buffer("kernels", torch.stack([k / k.sum() for k in kernels]).unsqueeze(1), persistent=False)
        self.register_buffer("centre", torch.zeros(self.channels, self.length))

    def rooted(self, patterns: Tensor) -> Tensor:
        """(B, 901) -> (B, channels, length), not centred."""
        broad = functional.conv1d(patterns.unsqueeze(1), self.kernels, padding=_KERNEL_REACH, stride=2)
        root = broad[:, :, self.skip :].clamp_min(0.0).add(1e-8).sqrt()
        scaled: Tensor = _SCALE * root / root.pow(2).mean(dim=-1, keepdim=True).sqrt()
        return scaled

    @torch.no_grad()
    def set_centre(self, patterns: Tensor) -> None:
        """Takes the mean of these (N, 901) patterns as the origin."""
        self.centre.copy_(self.rooted(patterns).mean(dim=0))

    def forward(self, patterns: Tensor) -> Tensor:
        """(B, 901) -> (B, channels, length)."""
        return self.rooted(patterns) - self.centre


class SmallNet(nn.Module):
    """One hidden layer on the broadened pattern: 55,000 parameters, trains in seconds.

    Which angles carry intensity matters more than local shapes, so nothing is pooled over angle.

    Args:
        hidden: units.
        fwhm: broadenings, degrees, one channel each.
        first: angles below it are not read, degrees.
        dropout: before the output.
    """

    step = _Broadened.step
    bins = _Broadened.bins

    def __init__(
        self, hidden: int = 128, fwhm: tuple[float, ...] = (0.3,), first: float = 5.0, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.front = _Broadened(tuple(fwhm), first)
        size = self.front.channels * self.front.length
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(size, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 2)
        )

    def prepare(self, patterns: Tensor) -> Tensor:
        """(B, 4501) sticks -> (B, 901)."""
        return coarsen(patterns)

    def set_centre(self, patterns: Tensor) -> None:
        """Takes the mean of these prepared patterns as the origin."""
        self.front.set_centre(patterns)

    def forward(self, patterns: Tensor) -> Tensor:
        """(B, 901) -> (B, 2) logits."""
        logits: Tensor = self.layers(self.front(patterns))
        return logits


class ConvNet(nn.Module):
    """Four strided convolutions on two broadenings of the pattern, then two linear layers: 80,000 parameters.

    Args:
        widths: channels of the four convolutions.
        hidden: units of the hidden linear layer.
        fwhm: broadenings, degrees, one channel each.
        dropout: before each linear layer.
    """

    step = _Broadened.step
    bins = _Broadened.bins

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (16, 32, 48, 64),
        hidden: int = 64,
        fwhm: tuple[float, ...] = (0.4, 1.2),
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.front = _Broadened(tuple(fwhm), 0.0)
        layers: list[nn.Module] = []
        before = self.front.channels
        for channels, kernel in zip(widths, (9, 7, 5, 3), strict=True):
            layers += [
                nn.Conv1d(before, channels, kernel, stride=2, padding=kernel // 2, bias=False),
                nn.BatchNorm1d(channels),
                nn.ReLU(),
            ]
            before = channels
        self.features = nn.Sequential(*layers, nn.AvgPool1d(2, ceil_mode=True), nn.Flatten())
        length = self.front.length
        for _ in widths:
            length = (length - 1) // 2 + 1
        size = before * ((length + 1) // 2)
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(size, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 2)
        )

    def prepare(self, patterns: Tensor) -> Tensor:
        """(B, 4501) sticks -> (B, 901)."""
        return coarsen(patterns)

    def forward(self, patterns: Tensor) -> Tensor:
        """(B, 901) -> (B, 2) logits."""
        logits: Tensor = self.head(self.features(self.front(patterns)))
        return logits


class ElasticNet(nn.Module):
    """A classifier on principal components of the unlabelled patterns, on an axis where a strained lattice is shifted.

    Sticks are smeared with a Gaussian of constant relative width in sin(theta), so that the same structure with
    another lattice parameter stays similar; the square root makes weak peaks count. The representation is fitted
    without labels (`set_basis`): the leading principal components of those patterns, partly whitened. Only the layers
    after it are trained on labels, which is what few labels can bear.

    Args:
        components: principal components kept; 0 keeps all of the axis (no basis, only the mean).
        width: relative standard deviation of the smearing.
        whiten: exponent; 0 keeps the components' own scale, 1 gives all the same.
        hidden: units of a hidden layer; 0 makes the classifier linear.
        points: of the axis.
        first: angles below it are not read, degrees.
        dropout: before the output.
    """

    step = PATTERN_STEP * COARSE_FACTOR
    bins = COARSE_BINS

    def __init__(
        self,
        components: int = 15,
        width: float = 0.01,
        whiten: float = 0.75,
        hidden: int = 0,
        points: int = 300,
        first: float = 8.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        angle = torch.deg2rad(torch.arange(self.bins, dtype=torch.float64) * self.step / 2)
        low, high = (math.log(math.sin(math.radians(x / 2))) for x in (first, 2 * math.degrees(float(angle[-1]))))
        axis = torch.linspace(low, high, points, dtype=torch.float64)
        position = torch.log(torch.sin(angle).clamp_min(1e-12))
        smear = torch.exp(-0.5 * ((position[:, None] - axis) / width) ** 2)
        smear[position < low - 4 * width] = 0.0
        self.whiten = whiten
        self.smear: Tensor
        self.centre: Tensor
        self.basis: Tensor
        self.register_buffer("smear", smear.float(), persistent=False)
        self.register_buffer("centre", torch.zeros(points))
        self.register_buffer("basis", torch.zeros(points, components))
        self.components = components
        size = components or points
        layers: list[nn.Module] = [] if hidden == 0 else [nn.Linear(size, hidden), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(hidden or size, 2))

    def prepare(self, patterns: Tensor) -> Tensor:
        """(B, 4501) sticks -> (B, 901)."""
        return coarsen(patterns)

    def rooted(self, patterns: Tensor) -> Tensor:
        """(B, 901) -> (B, points), every row with the same root mean square, not centred."""
        root = (patterns @ self.smear + 1e-6).sqrt()
        scaled: Tensor = _SCALE * root / root.pow(2).mean(dim=-1, keepdim=True).sqrt()
        return scaled

    @torch.no_grad()
    def set_basis(self, patterns: Tensor) -> None:
        """Fits mean and principal components to prepared (N, 901) patterns; no labels are involved."""
        starts = range(0, len(patterns), 2048)
        rows = torch.cat([self.rooted(patterns[start : start + 2048]) for start in starts])
        self.centre.copy_(rows.mean(dim=0))
        if self.components == 0:
            return
        rows = (rows - self.centre).double()
        values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
        values, vectors = values.flip(0)[: self.components].clamp_min(1e-12), vectors.flip(1)[:, : self.components]
        largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
        weights = values.pow(-0.5 * self.whiten)
        scale = (values * weights**2).sum().sqrt()  # rows of unit length, root mean square over the fitted ones
        self.basis.copy_(vectors * largest.sign() * weights / scale)

    def encode(self, patterns: Tensor) -> Tensor:
        """(B, 901) -> (B, components), or the centred axis without a basis."""
        rows = self.rooted(patterns) - self.centre
        return rows @ self.basis if self.components else rows

    def forward(self, patterns: Tensor) -> Tensor:
        """(B, 901) -> (B, 2) logits."""
        logits: Tensor = self.layers(self.encode(patterns))
        return logits


Network = VGG11 | SmallNet | ConvNet | ElasticNet


def build_network(name: str, **settings: Any) -> Network:
    """``"vgg11"`` (published), ``"small"`` (one hidden layer), ``"conv"`` or ``"elastic"`` (unlabelled basis)."""
    if name == "vgg11":
        return VGG11(**settings)
    if name == "small":
        return SmallNet(**settings)
    if name == "conv":
        return ConvNet(**settings)
    if name == "elastic":
        return ElasticNet(**settings)
    raise InputError(f"unknown network {name!r}; use 'vgg11', 'small', 'conv' or 'elastic'")

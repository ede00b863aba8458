"""Networks that read a powder pattern: the published VGG-11 and a small one that trains in minutes on a CPU."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Grid of the patterns that both networks take: 4501 bins of 0.02 degrees.
PATTERN_BINS = 4501
PATTERN_STEP = 0.02
#: The small network first sums the sticks into bins five times as wide.
COARSE_FACTOR = 5
COARSE_BINS = (PATTERN_BINS - 1) // COARSE_FACTOR + 1


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


class SmallNet(nn.Module):
    """Small convolutional network on broadened patterns.

    Sticks in bins of 0.1 degrees are broadened with two fixed Gaussians, their square root is taken (so that weak
    peaks count), and each channel is scaled to unit mean square. Four strided convolutions keep the position of a
    peak; two linear layers follow.

    Args:
        widths: channels of the four convolutions.
        hidden: units of the hidden linear layer.
        fwhm: the two broadenings, degrees.
        dropout: before each linear layer.
        outputs: logits; 2 for the classifier.
    """

    step = PATTERN_STEP * COARSE_FACTOR
    bins = COARSE_BINS

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (16, 32, 48, 64),
        hidden: int = 64,
        fwhm: tuple[float, float] = (0.4, 1.2),
        dropout: float = 0.3,
        outputs: int = 2,
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"widths": widths, "hidden": hidden, "fwhm": fwhm, "dropout": dropout}
        reach = 20
        offset = torch.arange(-reach, reach + 1) * self.step
        kernels = []
        for width in fwhm:
            kernel = torch.exp(-4.0 * math.log(2.0) * (offset / width) ** 2)
            kernels.append(kernel / kernel.sum())
        self.broadening: Tensor
        self.register_buffer("broadening", torch.stack(kernels).unsqueeze(1), persistent=False)
        layers: list[nn.Module] = []
        before = len(fwhm)
        for channels, kernel_size in zip(widths, (9, 7, 5, 3), strict=True):
            layers += [
                nn.Conv1d(before, channels, kernel_size, stride=2, padding=kernel_size // 2, bias=False),
                nn.BatchNorm1d(channels),
                nn.ReLU(),
            ]
            before = channels
        self.features = nn.Sequential(*layers, nn.AvgPool1d(2, ceil_mode=True))
        with torch.no_grad():
            size = self.features.eval()(torch.zeros(1, len(fwhm), (self.bins + 1) // 2)).numel()
        self.features.train()
        self.embed = nn.Sequential(nn.Dropout(dropout), nn.Linear(size, hidden), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, outputs))

    def prepare(self, patterns: Tensor) -> Tensor:
        """(B, 4501) sticks -> (B, 901)."""
        return coarsen(patterns)

    def embedding(self, patterns: Tensor) -> Tensor:
        """(B, 901) -> (B, hidden)."""
        reach = self.broadening.shape[-1] // 2
        broad = functional.conv1d(patterns.unsqueeze(1), self.broadening, padding=reach, stride=2)
        rooted = broad.clamp_min(0.0).add(1e-8).sqrt()
        rooted = rooted / rooted.pow(2).mean(dim=-1, keepdim=True).add(1e-12).sqrt()
        result: Tensor = self.embed(self.features(rooted).flatten(1))
        return result

    def forward(self, patterns: Tensor) -> Tensor:
        """(B, 901) -> (B, outputs) logits."""
        logits: Tensor = self.head(self.embedding(patterns))
        return logits


def build_network(name: str, **settings: Any) -> VGG11 | SmallNet:
    """``"vgg11"`` (published) or ``"small"``."""
    if name == "vgg11":
        return VGG11(**settings)
    if name == "small":
        return SmallNet(**settings)
    raise ValueError(f"unknown network {name!r}; use 'vgg11' or 'small'")

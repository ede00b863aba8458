"""Semi-supervised training of one network: supervised, FixMatch and FlexMatch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fastin.errors import InputError
from fastin.runtime.weights import DAMAGED, load_weights, refuse_damaged, save_weights
from fastin.xrd import augment
from fastin.xrd.model import ElasticNet, SmallNet, build_network
from fastin.xrd.settings import PATTERN_BINS
from fastin.xrd.settings import TrainConfig as TrainConfig


class FlexThresholds:
    """FlexMatch's learning status: how many unlabelled rows were once labelled with confidence as each class."""

    def __init__(self, pool_size: int, classes: int = 2) -> None:
        self.selected = torch.full((pool_size,), -1, dtype=torch.long)
        self.classes = classes

    def scale(self) -> Tensor:
        """(classes,) factors on the threshold: a / (2 - a), a = count / largest count (unused rows included)."""
        counts = torch.bincount(self.selected + 1, minlength=self.classes + 1).float()
        accuracy = counts[1:] / counts.max()
        return accuracy / (2.0 - accuracy)

    def update(self, rows: Tensor, labels: Tensor, confident: Tensor) -> None:
        """Records the rows whose pseudo-label passed the full threshold."""
        self.selected[rows[confident]] = labels[confident]


def semi_supervised_loss(
    labelled: Tensor,
    targets: Tensor,
    student: Tensor | None,
    pseudo: Tensor | None,
    mask: Tensor | None,
    *,
    class_weights: Tensor,
    unlabelled_weight: float,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """(L, Ls, Lu): plain means of class-weighted cross-entropies, the second over all unlabelled rows.

    Args:
        labelled: (B, 2) logits of labelled rows.
        targets: (B,) their classes.
        student: (U, 2) logits of strongly augmented unlabelled rows, or ``None``.
        pseudo: (U,) pseudo-labels.
        mask: (U,) 1 where they count.
        class_weights: (2,) factors of (poor, superionic).
        unlabelled_weight: factor of Lu.
        label_smoothing: of the labelled rows.
    """
    per_row = functional.cross_entropy(labelled, targets, reduction="none", label_smoothing=label_smoothing)
    supervised = (per_row * class_weights[targets]).mean()
    if student is None or pseudo is None or mask is None:
        return supervised, supervised, torch.zeros_like(supervised)
    rows = functional.cross_entropy(student, pseudo, reduction="none")
    unlabelled = (rows * class_weights[pseudo] * mask).mean()
    return supervised + unlabelled_weight * unlabelled, supervised, unlabelled


class Trainer:
    """Trains one network; everything that is random follows from the configuration's seed.

    Args:
        config: how to train.
        patterns: (N, 4501) labelled sticks.
        labels: (N,) 0 poor, 1 superionic.
        unlabelled: (M, 4501) sticks, needed unless the algorithm is ``"supervised"``; already prepared tensors
            (`prepare`) are accepted for both.
        device: where to train.
    """

    def __init__(
        self,
        config: TrainConfig,
        patterns: Tensor,
        labels: Tensor,
        unlabelled: Tensor | None = None,
        *,
        device: str | torch.device = "cpu",
    ) -> None:
        needs_pool = config.algorithm != "supervised" or (config.unlabelled_poor or 0.0) > 0.0
        if needs_pool and (unlabelled is None or len(unlabelled) == 0):
            raise InputError(f"{config.algorithm} needs unlabelled patterns")
        if set(labels.tolist()) != {0, 1}:
            raise InputError("the labels must hold both classes, 0 (poor) and 1 (superionic)")
        self.config = config
        self.device = torch.device(device)
        self.preset = augment.PRESETS[config.preset]
        self.generator = torch.Generator(device=self.device).manual_seed(config.seed)
        self.order = torch.Generator().manual_seed(config.seed + 1)
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.network = build_network(config.network, **config.network_settings).to(self.device)
            self._dropout_state = torch.get_rng_state()
        self.patterns = prepare(self.network, patterns).to(self.device)
        if isinstance(self.network, SmallNet):
            self.network.set_centre(augment.normalise(self.patterns))
        self.unlabelled = None if unlabelled is None else prepare(self.network, unlabelled).to(self.device)
        if isinstance(self.network, ElasticNet):
            self.network.set_basis(augment.normalise(self.patterns if self.unlabelled is None else self.unlabelled))
        self.average = copy.deepcopy(self.network).eval() if config.ema_decay > 0 else None
        self.labels = labels.to(self.device).long()
        self.by_class = [torch.nonzero(labels.cpu() == c).flatten() for c in (0, 1)]
        self.class_weights = self._weights().to(self.device)
        self.thresholds = FlexThresholds(config.pool_size or (0 if self.unlabelled is None else len(self.unlabelled)))
        self.fixed_rows = self._fixed_rows()
        self.pseudo_mean = self._labelled_shares().clone()
        self.optimizer = self._optimizer()
        self.step = 0
        self.history: list[dict[str, float]] = []

    def _labelled_shares(self) -> Tensor:
        counts = torch.bincount(self.labels, minlength=2).float()
        return counts / counts.sum()

    def _weights(self) -> Tensor:
        if self.config.class_weights is not None:
            return torch.tensor(self.config.class_weights)
        return 0.5 / self._labelled_shares()

    def _fixed_rows(self) -> Tensor | None:
        if self.config.fixed_unlabelled == 0 or self.unlabelled is None:
            return None
        return torch.randperm(len(self.unlabelled), generator=self.order)[: self.config.fixed_unlabelled]

    def _optimizer(self) -> torch.optim.AdamW:
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        plain = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": self.config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.config.learning_rate)

    def _labelled_batch(self) -> tuple[Tensor, Tensor]:
        """Rows with equal chance for either class; drawn with replacement."""
        size = self.config.batch_size
        picks = []
        for rows, count in zip(self.by_class, (size - size // 2, size // 2), strict=True):
            picks.append(rows[torch.randint(len(rows), (count,), generator=self.order)])
        rows = torch.cat(picks).to(self.device)
        patterns = self.patterns[rows]
        batch = augment.normalise(patterns, self.preset.intensity_cut)
        for share, change in (
            (self.config.augment_labelled, augment.weak),
            (self.config.strong_labelled, augment.strong),
        ):
            if share > 0:
                changed = change(patterns, self.network.step, self.preset, self.generator)
                chosen = torch.rand(len(rows), 1, generator=self.generator, device=self.device) < share
                batch = torch.where(chosen, changed, batch)
        return batch, self.labels[rows]

    def _unlabelled_rows(self) -> Tensor:
        assert self.unlabelled is not None
        count = self.config.batch_size * self.config.unlabelled_ratio
        pool = self.fixed_rows
        picks = torch.randint(len(self.unlabelled) if pool is None else len(pool), (count,), generator=self.order)
        return picks if pool is None else pool[picks]

    def _poor_loss(self) -> Tensor:
        """Mean cross-entropy of unlabelled rows counted as poor."""
        assert self.unlabelled is not None
        patterns = self.unlabelled[self._unlabelled_rows().to(self.device)]
        logits = self.network(augment.normalise(patterns, self.preset.intensity_cut))
        return functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=self.device))

    @torch.no_grad()
    def _pseudo_labels(self, batch: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Hard labels and the mask of those that count."""
        teacher: nn.Module = self.network
        if self.config.teacher_ema and self.average is not None:
            teacher = self.average
        probability = torch.softmax(teacher(batch), dim=-1)
        if self.config.align:
            self.pseudo_mean = 0.99 * self.pseudo_mean + 0.01 * probability.mean(dim=0)
            probability = probability * self._labelled_shares() / self.pseudo_mean
            probability = probability / probability.sum(dim=-1, keepdim=True)
        confidence, label = probability.max(dim=-1)
        threshold = torch.full_like(confidence, self.config.threshold)
        if self.config.algorithm == "flexmatch":
            threshold = threshold * self.thresholds.scale().to(self.device)[label]
            self.thresholds.update(rows, label.cpu(), (confidence >= self.config.threshold).cpu())
        return label, (confidence >= threshold).float()

    def train_step(self) -> dict[str, float]:
        """One step; returns its losses and the share of pseudo-labels that counted."""
        config = self.config
        rate = config.learning_rate * math.cos(7.0 * math.pi / 16.0 * self.step / config.iterations)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        batch, targets = self._labelled_batch()
        student = pseudo = mask = None
        if config.algorithm in ("fixmatch", "flexmatch"):
            assert self.unlabelled is not None
            rows = self._unlabelled_rows()
            patterns = self.unlabelled[rows.to(self.device)]
            easy = augment.weak(patterns, self.network.step, self.preset, self.generator)
            hard = augment.strong(patterns, self.network.step, self.preset, self.generator)
            pseudo, mask = self._pseudo_labels(easy, rows)
            logits, student = self.network(batch), self.network(hard)
        else:
            logits = self.network(batch)
        share = config.unlabelled_poor or 0.0
        weights = self.class_weights * torch.tensor([1.0 - share, 1.0], device=self.device)
        loss, supervised, unlabelled = semi_supervised_loss(
            logits,
            targets,
            student,
            pseudo,
            mask,
            class_weights=weights,
            unlabelled_weight=config.unlabelled_weight,
            label_smoothing=config.label_smoothing,
        )
        if config.ridge > 0.0:
            squares = [p.pow(2).sum() for p in self.network.parameters() if p.ndim > 1]
            loss = loss + config.ridge * torch.stack(squares).sum()
        if share > 0.0:
            loss = loss + 0.5 * share * self.class_weights[0] * self._poor_loss()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        if self.average is not None:
            self._update_average()
        record = {"step": float(self.step), "loss": loss.item(), "supervised": supervised.item()}
        record["unlabelled"] = unlabelled.item()
        record["used"] = 0.0 if mask is None else mask.mean().item()
        record["superionic"] = 0.0 if pseudo is None else pseudo.float().mean().item()
        return record

    @torch.no_grad()
    def _update_average(self) -> None:
        assert self.average is not None
        decay = min(self.config.ema_decay, self.step / (self.step + 10.0))
        own = self.network.state_dict()
        for name, value in self.average.state_dict().items():
            if value.dtype.is_floating_point:
                value.mul_(decay).add_(own[name], alpha=1.0 - decay)
            else:
                value.copy_(own[name])

    def run(
        self, checkpoint: Path | None = None, progress: Callable[[dict[str, float]], None] | None = None
    ) -> nn.Module:
        """Trains to the end, resuming from `checkpoint` where it exists; returns the network for predictions."""
        if checkpoint is not None and checkpoint.is_file():
            self.load(checkpoint)
        with torch.random.fork_rng():
            torch.set_rng_state(self._dropout_state)
            while self.step < self.config.iterations:
                record = self.train_step()
                self._dropout_state = torch.get_rng_state()
                if self.step % 20 == 0 or self.step == self.config.iterations:
                    self.history.append(record)
                    if progress is not None:
                        progress(record)
                if checkpoint is not None and self.step % self.config.checkpoint_every == 0:
                    self.save(checkpoint)
        if checkpoint is not None:
            self.save(checkpoint)
        return self.predictor

    @property
    def predictor(self) -> nn.Module:
        """The averaged network if there is one, in evaluation mode."""
        return (self.network if self.average is None else self.average).eval()

    def save(self, path: Path) -> None:
        """Writes everything that the rest of the run depends on (atomically)."""
        state = {
            "config": self.config.to_dict(),
            "step": self.step,
            "network": self.network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "order": self.order.get_state(),
            "dropout": self._dropout_state,
            "selected": self.thresholds.selected,
            "pseudo_mean": self.pseudo_mean,
            "history": self.history,
        }
        save_weights(path, state)

    def load(self, path: Path) -> None:
        """Continues a run written by `save`; the configuration must be the same.

        Raises:
            InputError: it is another one, or the file is damaged.
        """
        state = load_weights(path, finite=False)
        try:
            self._take(path, state)
        except InputError:
            raise
        except DAMAGED as error:
            raise refuse_damaged(path, error) from None

    def _take(self, path: Path, state: dict[str, Any]) -> None:
        if _plain(state["config"]) != _plain(self.config.to_dict()):
            raise InputError(f"{path} was written by another configuration; remove it or use its settings")
        self.step = int(state["step"])
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.order.set_state(state["order"])
        self._dropout_state = state["dropout"]
        self.thresholds.selected = state["selected"]
        self.pseudo_mean = state["pseudo_mean"]
        self.history = state["history"]


def _plain(value: Any) -> Any:
    """Tuples as lists, so that configurations compare after a round trip."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def prepare(network: nn.Module, patterns: Tensor) -> Tensor:
    """Sticks (N, 4501) on the network's own grid; tensors already on it pass."""
    if patterns.ndim != 2 or patterns.shape[1] not in (PATTERN_BINS, network.bins):
        raise InputError(f"patterns must be (N, {PATTERN_BINS}) on 0 to 90 degrees, not {tuple(patterns.shape)}")
    if patterns.shape[1] == network.bins:
        return patterns.float()
    result: Tensor = network.prepare(patterns.float())  # type: ignore[operator]
    return result

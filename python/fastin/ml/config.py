"""Settings of a training run, read from TOML."""

from __future__ import annotations

import math
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fastin.errors import InputError
from fastin.ml.store import FREE, LABELS
from fastin.runtime.files import refuse_special
from fastin.runtime.settings import read_settings


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
        model: a name of `fastin.ml.models.MODELS`.
        dataset: folder written by ``fastin dataset build``.
        run: folder for config, checkpoints, metrics and plots.
        targets: labels to learn (names of `fastin.ml.store.LABELS`), as log10 of eV.
        model_options: keyword arguments of the model.
        split: ``"random"`` or ``"grouped"`` (by chemical system).
        split_seed, fractions: which split.
        initial: model file to start from (fine-tuning): weights of the same name and shape are taken over.
        exclude: ids never trained on (held-out compounds).
        epochs, batch_size, learning_rate, weight_decay: of the optimiser. Defaults are the seed paper's.
        optimizer: ``"adam"`` or ``"adamw"``.
        schedule: ``"constant"``, ``"cosine"`` (to 1 % of the rate) or ``"onecycle"``.
        gradient_clip: largest norm of the gradient, 0 for none.
        patience: epochs without a better validation loss before training stops; 0 never stops.
        seed: of weights, dropout and the order of batches.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``.
        amp: mixed precision on CUDA (bfloat16); ignored on the CPU.
        deterministic: deterministic algorithms only.
        checkpoint_every: epochs between checkpoints.
        limit: use only so many structures, spread evenly over the set (0: all), for trials.
        typical_nodes: structures with more nodes and edges than this are left out of an epoch at random, the more often
            the larger they are, so that none costs more than one of this size; 0: every epoch has all structures.
    """

    model: str
    dataset: str
    run: str
    targets: tuple[str, ...] = ("e1d_global",)
    model_options: dict[str, Any] = field(default_factory=dict)
    initial: str = ""
    split: str = "random"
    split_seed: int = 0
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    exclude: tuple[str, ...] = ()
    epochs: int = 150
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    optimizer: str = "adam"
    schedule: str = "constant"
    gradient_clip: float = 0.0
    patience: int = 0
    seed: int = 0
    device: str = "auto"
    amp: bool = False
    deterministic: bool = True
    checkpoint_every: int = 1
    limit: int = 0
    typical_nodes: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (
            ("split", ("random", "grouped")),
            ("optimizer", ("adam", "adamw")),
            ("schedule", ("constant", "cosine", "onecycle")),
            ("device", ("auto", "cpu", "cuda")),
        ):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}")
        for target in self.targets:
            if target not in (*LABELS, FREE):
                raise InputError(f"unknown target {target!r}: choose from {', '.join(LABELS)}")
        for name in ("epochs", "batch_size", "learning_rate", "checkpoint_every"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} must be positive, not {getattr(self, name)}")
        if self.batch_size < 2:
            raise InputError("batch_size must be at least 2: batches of one structure are left out")
        for name in ("weight_decay", "gradient_clip", "patience", "limit", "seed", "split_seed", "typical_nodes"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} must not be negative, not {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary, tuples as lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str = "configuration") -> TrainConfig:
        """The settings of a dictionary.

        Raises:
            InputError: an unknown key, a missing one, or a value of another type or out of range; `where` is named.
        """
        return read_settings(cls, values, where)

    @classmethod
    def from_toml(cls, path: Path | str) -> TrainConfig:
        """The settings of a TOML file.

        Raises:
            InputError: no such file, not TOML, or as `from_dict`.
        """
        refuse_special(path)
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path}: {error}") from None
        return cls.from_dict(values, str(path))

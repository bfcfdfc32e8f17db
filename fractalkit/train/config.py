"""The settings of a training run: everything that its result depends on, beside the model and the data."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from fractalkit.errors import DataError, UsageError


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a run. Losses, and so gradients, are in nats per picture.

    Attributes:
        steps: how many there are in all; the schedule of the learning rate runs over them.
        batch: pictures a step, over all processes.
        parts: equal parts that each batch is computed in, by one process in turn or by several at once; each has noise
            of its own, so that the result does not depend on the number of processes.
        lr: peak learning rate of AdamW.
        warmup: steps over which it rises from zero.
        schedule: "cosine" falls to ``final`` x lr at the last step; "constant" stays.
        final: where the cosine ends, as a share of lr.
        beta1, beta2, eps: of AdamW.
        decay: decoupled weight decay; tensors with fewer than two axes (biases, gains) have none.
        clip: gradients of a larger norm are scaled down to it; 0 never.
        skip: a step whose gradient has a larger norm is left out; 0 never. One that is not finite is always left out.
        ema: decay of the moving average of the weights, reached after a warm-up; 0 has none.
        bf16: compute in bfloat16 where that is safe (autocast); weights stay float32.
        channels_last: memory format of convolutions.
        compile: compile the loss with torch.compile.
        seed: of weights, order and noise.
        log_every: steps that a line of the log averages over.
        valid_every: steps between validations; 0 only at the end.
        valid_items: pictures of the validation split used, always the same ones; 0 all.
        valid_batch: pictures at a time.
        save_every: steps between checkpoints; 0 by time only.
        save_minutes: minutes between checkpoints; 0 by steps only.

    Raises:
        UsageError: a value out of its range; the message names it.

    >>> TrainConfig(steps=100).with_changes({"lr": 1e-3}).lr
    0.001
    """

    steps: int = 20_000
    batch: int = 64
    parts: int = 1
    lr: float = 1e-3
    warmup: int = 500
    schedule: str = "cosine"
    final: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    decay: float = 0.01
    clip: float = 200.0
    skip: float = 0.0
    ema: float = 0.9995
    bf16: bool = True
    channels_last: bool = True
    compile: bool = False
    seed: int = 0
    log_every: int = 50
    valid_every: int = 1000
    valid_items: int = 1000
    valid_batch: int = 100
    save_every: int = 0
    save_minutes: float = 3.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value: Any = getattr(self, field.name)
            low, high = _RANGES.get(field.name, (-math.inf, math.inf))
            kind: Any = {"int": int, "float": (int, float), "bool": bool, "str": str}[str(field.type)]
            wrong = not isinstance(value, kind) or (isinstance(value, bool) and field.type != "bool")
            if wrong or (field.name in _RANGES and not low <= value <= high):
                within = f" from {low:g} to {high:g}" if field.name in _RANGES else ""
                raise UsageError(f"{field.name}: expected {_WORDS[str(field.type)]}{within}, got {value!r}")
        if self.schedule not in ("cosine", "constant"):
            raise UsageError(f"schedule: expected cosine or constant, got {self.schedule!r}")
        if self.batch % self.parts:
            raise UsageError(f"batch: {self.batch} pictures cannot be computed in {self.parts} equal parts")

    def with_changes(self, changes: dict[str, Any]) -> TrainConfig:
        """The same with some values replaced."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Name and value of every setting, as JSON can hold them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> TrainConfig:
        """From :meth:`to_dict`'s form; a DataError where a name is unknown or a value is of the wrong kind."""
        if not isinstance(data, dict):
            raise DataError("settings: expected an object")
        unknown = sorted(set(data) - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise DataError(f"settings: {unknown[0]!r} is unknown; a newer FractalKit may know it")
        try:
            return cls(**data)
        except UsageError as error:
            raise DataError(f"settings: {error}") from error


_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a word"}
_BIG = 10**9
_RANGES: dict[str, tuple[float, float]] = {
    "steps": (1, _BIG),
    "batch": (1, 10**6),
    "parts": (1, 10**6),
    "lr": (0, 10),
    "warmup": (0, _BIG),
    "final": (0, 1),
    "beta1": (0, 1 - 1e-9),
    "beta2": (0, 1 - 1e-9),
    "eps": (1e-16, 1),
    "decay": (0, 100),
    "clip": (0, 1e12),
    "skip": (0, 1e12),
    "ema": (0, 1 - 1e-9),
    "seed": (0, 2**63 - 1),
    "log_every": (1, _BIG),
    "valid_every": (0, _BIG),
    "valid_items": (0, _BIG),
    "valid_batch": (1, 10**6),
    "save_every": (0, _BIG),
    "save_minutes": (0, 1e6),
}


def learning_rate(config: TrainConfig, step: int) -> float:
    """The rate of a step, counted from 0: linear warm-up, then a half cosine or a constant.

    A function of the step alone, so that a run that was stopped goes on as if it had not been.

    >>> c = TrainConfig(steps=100, lr=1.0, warmup=10, final=0.0)
    >>> [round(learning_rate(c, s), 3) for s in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.lr
    share = min((step - config.warmup) / max(config.steps - config.warmup, 1), 1.0)
    return config.lr * (config.final + (1 - config.final) * (1 + math.cos(math.pi * share)) / 2)


def average_decay(config: TrainConfig, updates: int) -> float:
    """Decay of the moving average at an update, counted from 0: (1 + n) / (10 + n) until it reaches ``ema``."""
    return min(config.ema, (1 + updates) / (10 + updates))

"""Settings of a training run: everything that its result depends on besides the model and the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from fractalkit.checked import BELOW_ONE, CheckedSettings, one_of, within
from fractalkit.errors import UsageError

_BIG = 10**9


@dataclass(frozen=True)
class TrainConfig(CheckedSettings):
    """Settings of a run. Losses, and so gradients, are in nats per picture.

    Attributes:
        steps: total number of steps; the learning rate schedule spans all of them.
        batch: pictures per step, over all processes.
        parts: number of equal micro-batches that each batch is split into. One process computes them in turn, or
            several share them; each has its own noise, so the result does not depend on the number of processes.
        lr: peak learning rate of AdamW.
        warmup: steps over which the learning rate rises from zero.
        schedule: "cosine" falls to ``final`` x lr at the last step; "constant" stays.
        final: end of the cosine, as a share of lr.
        beta1, beta2, eps: parameters of AdamW.
        decay: decoupled weight decay; tensors with fewer than two axes (biases, gains) have none.
        clip: largest norm of the gradient; larger ones are scaled down to it. 0 disables clipping.
        skip: steps whose gradient norm is larger are skipped; 0 disables this. Steps whose gradient is not finite are
            always skipped.
        sigmas: steps are skipped whose log gradient norm is so many standard deviations above its running mean (over
            some 100 steps, the first 100 only counted); 0 disables this. Norms fall by orders of magnitude in training.
        flip: mirror each picture left to right with probability 1/2.
        only: train only the parameters whose names match this pattern, such as ``*.deep.*``; "" trains all.
        ema: decay of the moving average of the weights, reached after a warm-up; 0 averages nothing.
        bf16: compute in bfloat16 where that is safe (autocast); weights stay float32.
        channels_last: memory format of convolutions.
        compile: compile the loss with torch.compile.
        seed: seed of the weights, the order of pictures and the noise.
        log_every: steps averaged in each line of the log.
        valid_every: steps between validations; 0 validates at the end only.
        valid_items: pictures of the validation split used, always the same ones; 0 uses all.
        valid_batch: pictures per batch in validation.
        save_every: steps between checkpoints; 0 saves by time only.
        save_minutes: minutes between checkpoints; 0 saves by steps only.

    Raises:
        UsageError: a value out of range; the message names the field.

    >>> TrainConfig(steps=100).with_changes({"lr": 1e-3}).lr
    0.001
    """

    steps: int = within(20_000, 1, _BIG)
    batch: int = within(64, 1, 10**6)
    parts: int = within(1, 1, 10**6)
    lr: float = within(1e-3, 0, 10)
    warmup: int = within(500, 0, _BIG)
    schedule: str = one_of("cosine", "constant")
    final: float = within(0.01, 0, 1)
    beta1: float = within(0.9, 0, BELOW_ONE)
    beta2: float = within(0.95, 0, BELOW_ONE)
    eps: float = within(1e-8, 1e-16, 1)
    decay: float = within(0.01, 0, 100)
    clip: float = within(200.0, 0, 1e12)
    skip: float = within(0.0, 0, 1e12)
    sigmas: float = within(0.0, 0, 1e6)
    flip: bool = False
    only: str = ""
    ema: float = within(0.9995, 0, BELOW_ONE)
    bf16: bool = True
    channels_last: bool = True
    compile: bool = False
    seed: int = within(0, 0, 2**63 - 1)
    log_every: int = within(50, 1, _BIG)
    valid_every: int = within(1000, 0, _BIG)
    valid_items: int = within(1000, 0, _BIG)
    valid_batch: int = within(100, 1, 10**6)
    save_every: int = within(0, 0, _BIG)
    save_minutes: float = within(3.0, 0, 1e6)

    title: ClassVar = "settings"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch % self.parts:
            raise UsageError(f"batch: {self.batch} pictures cannot be computed in {self.parts} equal parts")


def learning_rate(config: TrainConfig, step: int) -> float:
    """Learning rate of a step, counted from 0: linear warm-up, then a half cosine or a constant.

    It depends on the step alone, so a resumed run continues exactly.

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
    """Decay of the moving average at update n, counted from 0: (1 + n) / (10 + n), at most ``ema``."""
    return min(config.ema, (1 + updates) / (10 + updates))

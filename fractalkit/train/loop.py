"""The training loop.

    each step:       batch from the stream -> loss and gradient of each micro-batch -> sum over micro-batches and
                     processes -> skip, or clip and AdamW -> moving average
    periodically:    line of the log -> validation of the average -> checkpoint      (always in this order)

Random choices are functions of the seed and the step, and a checkpoint holds everything else. A run that was killed and
resumed therefore ends with the same bits as an uninterrupted one (on the same hardware and number of threads).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from fractalkit.data.image_set import ImageSet
from fractalkit.errors import DataError, UsageError, first_line
from fractalkit.files import atomic_path
from fractalkit.train.config import TrainConfig, learning_rate
from fractalkit.train.folder import BEST, CHECKPOINT, LAST, LOG, own_folder
from fractalkit.train.log import JsonLog
from fractalkit.train.randomness import NOISE, items_at, seed_of
from fractalkit.train.ranks import Ranks
from fractalkit.train.state import TrainState, read_head
from fractalkit.train.validate import drawn, validate

SKIPS_ALLOWED = 100  # in a row
RESIDENT_BYTES = 4 << 30  # data sets up to this size are kept on the device


class Trainable(Protocol):
    """Methods that a network must have besides those of ``nn.Module``.

    An optional method ``compile_parts()`` applies torch.compile to parts of it; otherwise ``losses`` is compiled. An
    attribute ``classes`` above 0 asks for the keyword argument ``labels`` of ``losses``, the class of each picture.
    """

    def losses(self, x: Tensor, generator: torch.Generator, step: int) -> dict[str, Tensor]:
        """Losses of pictures ``[B, C, H, W]`` in [0, 1]: "loss", a scalar in nats per picture, and values to log."""

    def eval_losses(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of each picture, ``[B]``: "elbo" in nats, and values to log."""

    def save_pretrained(self, path: Path, metadata: dict[str, str]) -> None:
        """Write a safetensors file."""


@dataclass(frozen=True)
class TrainResult:
    """The outcome of a run.

    Attributes:
        step: steps done.
        reason: "steps" (all are done), "minutes" (time is up) or "interrupted".
        best, best_step: lowest validation loss, nats per picture, and its step; None without validation.
        seconds: time spent training, earlier starts included.
        skipped: steps skipped.
    """

    step: int
    reason: str
    best: float | None
    best_step: int
    seconds: float
    skipped: int


@dataclass(frozen=True)
class Hooks:
    """Functions that the first process calls.

    Attributes:
        show: is given the averaged network and the step after every ``every`` steps and the last one.
        every: steps; 0 for the last one only.
        log: is given the kind, the step and the values of each line of the log.
    """

    show: Callable[[nn.Module, int], None] | None = None
    every: int = 0
    log: Callable[[str, int, dict[str, Any]], None] | None = None


def existing_run(out: Path) -> dict[str, Any] | None:
    """The metadata of the checkpoint in a folder, None without one; a DataError where it is damaged."""
    return read_head(out / CHECKPOINT) if (out / CHECKPOINT).exists() else None


def train(
    model: nn.Module,
    data: ImageSet,
    out: Path,
    config: TrainConfig,
    *,
    valid: ImageSet | None = None,
    ranks: Ranks | None = None,
    about: dict[str, Any] | None = None,
    resume: bool = False,
    minutes: float | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int, dict[str, Any]], None] = lambda step, values: None,
    hooks: Hooks | None = None,
) -> TrainResult:
    """Train a model; write ``checkpoint.safetensors``, ``best.safetensors``, ``last.safetensors`` and ``log.jsonl``.

    Args:
        model: a :class:`Trainable` network with its initial weights; it is moved to the device.
        data: the training split.
        out: folder for the files; created if missing.
        config: the settings.
        valid: the validation split; None means no validation and no best weights.
        ranks: device and processes; None means one process on the CPU.
        about: stored in the checkpoint and with the weights, such as the names of the model and of the data set.
        resume: go on from the checkpoint in ``out`` if there is one; without ``resume``, an earlier run is replaced.
        minutes: stop with a checkpoint after this time.
        stop: called after every step; True ends the run with a checkpoint.
        progress: called by the first process with the step and the last logged values.
        hooks: further functions that the first process calls.

    Raises:
        DataError: a checkpoint of another model or data set, a full disk, or too many skipped steps in a row.
        UsageError: a number of micro-batches that the processes cannot share.
    """
    ranks = ranks or Ranks(torch.device("cpu"))
    if config.parts % ranks.world:
        raise UsageError(f"parts: {config.parts} cannot be shared by {ranks.world} processes; give a multiple of it")
    about = {"data": data.name, "data_fingerprint": data.fingerprint()} | (about or {})
    with own_folder(out) if ranks.first else contextlib.nullcontext():
        state = _begin(model, config, out, about, ranks, resume)
        run = _Run(state, data, out, config, valid, ranks, about, hooks or Hooks())
        with contextlib.closing(run), torch.random.fork_rng(_cuda(ranks.device)):
            reason = run.go(minutes, stop, progress)
    return TrainResult(state.step, reason, state.best, state.best_step, state.seconds, state.skipped)


def _begin(
    model: nn.Module, config: TrainConfig, out: Path, about: dict[str, Any], ranks: Ranks, resume: bool
) -> TrainState:
    """The state that the run begins or goes on with, the same in all processes."""
    form = torch.channels_last if config.channels_last else torch.contiguous_format
    model.to(device=ranks.device, memory_format=form)  # type: ignore[call-overload]
    model.train()
    freeze(model, config.only)
    state = TrainState(model, config)
    resume = resume and (out / CHECKPOINT).exists()
    if resume:
        _check_data(out / CHECKPOINT, about)
        state.load(out / CHECKPOINT, first=ranks.first)
    if not ranks.agree(f"{config} {about['data_fingerprint']} {state.step}"):
        raise DataError(
            f"{out}: the processes differ in settings, data or checkpoint; on several machines they need the same "
            "command and a folder that all of them share"
        )
    if not resume and ranks.first:
        for name in (CHECKPOINT, BEST, LAST, LOG):
            (out / name).unlink(missing_ok=True)
    ranks.share_([*model.parameters(), *state.average.parameters()])
    return state


class _Run:
    """One run of the loop."""

    def __init__(
        self, state: TrainState, data: ImageSet, out: Path, config: TrainConfig, valid: ImageSet | None, ranks: Ranks,
        about: dict[str, Any], hooks: Hooks,
    ) -> None:  # fmt: skip
        self.hooks = hooks
        self.state, self.out, self.config, self.valid, self.ranks, self.about = state, out, config, valid, ranks, about
        self.images = torch.from_numpy(data.images)
        if ranks.device.type != "cpu" and data.images.nbytes <= RESIDENT_BYTES:
            self.images = self.images.to(ranks.device)
        self.scale = 1.0 / (data.levels - 1)
        self.dynamic = data.dynamic
        self.labels: Tensor | None = None
        if getattr(state.model, "classes", 0):
            self.labels = torch.from_numpy(class_labels(data, state.model.classes)).to(ranks.device)  # type: ignore[arg-type]
        self.generator = torch.Generator(ranks.device)
        losses: Callable[..., dict[str, Tensor]] = state.model.losses  # type: ignore[assignment]
        if config.compile and hasattr(state.model, "compile_parts"):
            state.model.compile_parts()  # type: ignore[operator]
        elif config.compile:
            losses = torch.compile(losses)
        self.losses = losses
        self.log = JsonLog(out / LOG, state.step) if ranks.first else None
        self.saved_at = time.monotonic()

    def close(self) -> None:
        if self.log:
            self.log.close()

    def write(self, kind: str, **values: Any) -> None:
        if self.log and self.hooks.log is not None and kind != "start":
            self.hooks.log(kind, self.state.step, values)
        if self.log:
            try:
                self.log.write(kind, self.state.step, **values)
            except OSError as error:
                raise DataError(
                    f"{self.out / LOG}: cannot be written ({error.strerror or error}); the last checkpoint stands; "
                    "free some space, then go on with --resume"
                ) from error

    def go(
        self,
        minutes: float | None,
        stop: Callable[[], bool],
        progress: Callable[[int, dict[str, Any]], None],
    ) -> str:
        """Take steps until there is a reason to end, and return it."""
        state, config = self.state, self.config
        threads = torch.get_num_threads()
        self.write("start", about=self.about, config=config.to_dict(), device=str(self.ranks.device), threads=threads)
        began = time.monotonic()
        shown: dict[str, Any] = {}
        reason = "steps" if state.step >= config.steps else ""
        while not reason:
            clock = time.monotonic()
            self.step()
            state.seconds += time.monotonic() - clock
            shown |= self.report()
            if self.ranks.first:
                progress(state.step, shown)
            now = time.monotonic()
            stopped, late, due = self.ranks.any(
                stop(),
                minutes is not None and now - began >= 60 * minutes,
                bool(config.save_minutes) and now - self.saved_at >= 60 * config.save_minutes,
            )
            reason = "steps" if state.step >= config.steps else "interrupted" if stopped else "minutes" if late else ""
            if reason or due or self.is_turn(config.save_every):
                self.save()
        self.weights(LAST)
        self.write("end", reason=reason, best=state.best, best_step=state.best_step, seconds=state.seconds)
        return reason

    def is_turn(self, every: int) -> bool:
        """Whether something is due that is done every so many steps; 0 never."""
        return bool(every) and self.state.step % every == 0

    def report(self) -> dict[str, Any]:
        """Write a line of the log and validate where they are due; what they found."""
        last = self.state.step == self.config.steps
        shown = self.line() if last or self.is_turn(self.config.log_every) else {}
        if self.ranks.first and self.hooks.show is not None and (last or self.is_turn(self.hooks.every)):
            self.hooks.show(self.state.average, self.state.step)
        return shown | (self.validation() if last or self.is_turn(self.config.valid_every) else {})

    def step(self) -> None:
        """Take or skip one step of the optimiser."""
        state, config, ranks = self.state, self.config, self.ranks
        mine = config.parts // ranks.world
        each = config.batch // config.parts
        state.optimizer.zero_grad(set_to_none=True)
        given: list[dict[str, Tensor]] = []
        for part in range(ranks.rank * mine, (ranks.rank + 1) * mine):
            seed = seed_of(config.seed, NOISE, state.step, part)
            self.generator.manual_seed(seed)
            torch.manual_seed(seed)  # for a model with dropout
            x, more = self.batch(state.seen + part * each, each)
            with torch.autocast(ranks.device.type, torch.bfloat16, enabled=config.bf16):
                values = self.losses(x, self.generator, state.step, **more)
            (values["loss"] / config.parts).backward()
            given.append(values)
        parameters = list(state.named().values())
        if ranks.world > 1:
            for p in parameters:
                if p.grad is None:
                    p.grad = torch.zeros_like(p)
            ranks.sum_(p.grad for p in parameters if p.grad is not None)
        norm = float(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
        if not self.is_wild(norm):
            self.apply(parameters, norm)
            for values in given:
                state.window.add(values, 1 / config.parts)
            state.window.add({"grad_norm": torch.tensor(norm, device=ranks.device)}, 1 / ranks.world)
            state.window.steps += 1
        else:
            state.skipped += 1
            state.skipped_in_a_row += 1
        state.step += 1
        state.seen += config.batch
        if state.skipped_in_a_row >= SKIPS_ALLOWED:
            raise DataError(
                f"{SKIPS_ALLOWED} steps in a row, up to step {state.step:,}, had gradients that are not finite or "
                f"above --skip or --sigmas (the last norm is {norm:.4g}); lower --lr, or raise --skip; the last "
                "checkpoint stands"
            )

    def is_wild(self, norm: float) -> bool:
        """Whether a step with this norm of the gradient is skipped; it enters the running statistics."""
        if not math.isfinite(norm):
            return True
        high = self.state.norms.add(norm, self.config.sigmas)
        return high or bool(self.config.skip and norm > self.config.skip)

    def apply(self, parameters: list[nn.Parameter], norm: float) -> None:
        """Clip the gradient, apply AdamW, and update the moving average."""
        state, config = self.state, self.config
        if config.clip and norm > config.clip:
            torch._foreach_mul_([p.grad for p in parameters if p.grad is not None], config.clip / norm)
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(config, state.step)
        state.optimizer.step()
        state.update_average(config)
        state.updates += 1
        state.skipped_in_a_row = 0

    def batch(self, first: int, count: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Pictures from the stream, ``[count, C, H, W]`` float32 in [0, 1], on the device, and their "labels" if used.

        The generator has the seed of the micro-batch.
        """
        index = torch.from_numpy(items_at(self.config.seed, len(self.images), first, count))
        x = self.images[index.to(self.images.device)].to(self.ranks.device, non_blocking=True).float() * self.scale
        if self.dynamic:
            x = drawn(x, self.generator)
        if self.config.flip:
            turn = torch.rand(count, generator=self.generator, device=self.generator.device).to(x.device) < 0.5
            x = torch.where(turn[:, None, None, None], x.flip(-1), x)
        form = torch.channels_last if self.config.channels_last else torch.contiguous_format
        more = {} if self.labels is None else {"labels": self.labels[index.to(self.labels.device)]}
        return x.contiguous(memory_format=form), more

    def line(self) -> dict[str, Any]:
        """Write a line of the log, start the next one, and return the loss."""
        state, config = self.state, self.config
        self.ranks.sum_(state.window.sums.values())
        means = state.window.means()
        if isinstance(means.get("elbo"), float):
            means["bits_per_dim"] = abs(means["elbo"]) / self.images[0].numel() / math.log(2)
        self.write(
            "train", **means, epoch=state.seen / len(self.images), lr=learning_rate(config, state.step - 1),
            skipped=state.skipped, seconds=state.seconds,
        )  # fmt: skip
        state.window.sums, state.window.steps = {}, 0
        return {"loss": means.get("loss")}

    def validation(self) -> dict[str, Any]:
        """Validate the moving average, and save it if it is the best so far."""
        if self.valid is None:
            return {}
        state, config = self.state, self.config
        clock = time.monotonic()
        values = validate(state.average, self.valid, config, self.ranks)
        nats = values["nats"]
        if state.best is None or nats < state.best:
            state.best, state.best_step = nats, state.step
            self.weights(BEST)
        self.write("valid", **values, best=state.best, best_step=state.best_step, took=time.monotonic() - clock)
        return {"valid": nats, "best": state.best}

    def weights(self, name: str) -> None:
        """Save the moving average as a model."""
        if not self.ranks.first:
            return
        state = self.state
        about = {k: str(v) for k, v in self.about.items()}
        about |= {"step": str(state.step)}
        if state.best is not None:
            about |= {"best_valid_nats": repr(state.best), "best_step": str(state.best_step)}
        try:
            with atomic_path(self.out / name) as temporary:
                state.average.save_pretrained(temporary, about)  # type: ignore[operator]
        except (OSError, SafetensorError, DataError) as error:
            raise DataError(
                f"{self.out / name}: cannot be written ({first_line(error.__cause__ or error)}); "
                "the last checkpoint stands; "
                "free some space, then go on with --resume"
            ) from error

    def save(self) -> None:
        """Write the checkpoint."""
        sums = self.state.window.sums
        if self.ranks.world > 1 and sums:
            # the file holds sums over all processes; the first process keeps them, the others start from zero
            self.ranks.sum_(sums.values())
            if not self.ranks.first:
                self.state.window.sums = {k: torch.zeros_like(v) for k, v in sums.items()}
        if self.ranks.first:
            self.state.save(self.out / CHECKPOINT, self.config, self.about)
        self.saved_at = time.monotonic()


def freeze(model: nn.Module, only: str) -> None:
    """Leave only the parameters whose names match a pattern to be trained; "" leaves all.

    Raises:
        UsageError: no name matches.
    """
    if not only:
        return
    for name, p in model.named_parameters():
        p.requires_grad_(fnmatchcase(name, only))
    if not any(p.requires_grad for p in model.parameters()):
        raise UsageError(f"only: no parameter matches {only!r}; patterns are such as *.deep.* or head.*")


def class_labels(data: ImageSet, classes: int) -> np.ndarray:
    """The classes of the pictures, ``[N]`` int64.

    Raises:
        DataError: pictures without classes, or of more of them than the model knows.
    """
    if data.labels is None:
        raise DataError(f"{data.name}: has no classes, which the model needs; choose other data, or set classes=0")
    if int(data.labels.max()) >= classes:
        raise DataError(f"{data.name}: has {int(data.labels.max()) + 1} classes, the model {classes}; set classes")
    return data.labels.astype(np.int64)


def _check_data(path: Path, about: dict[str, Any]) -> None:
    head = read_head(path)["about"]
    for key, what in (("data", "data set"), ("data_fingerprint", "pictures")):
        if head.get(key) != about[key]:
            raise DataError(
                f"{path}: was trained on other data ({what} {head.get(key)}, not {about[key]}); "
                "give the same --data-dir, or start over with --fresh"
            )


def _cuda(device: torch.device) -> list[int]:
    return [device.index or 0] if device.type == "cuda" else []

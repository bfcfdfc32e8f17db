"""The training loop.

    for each step:   take a batch from the stream -> loss and gradient of each part -> sum over parts and processes
                     -> leave out, or clip and AdamW -> moving average
    now and then:    a line of the log -> validation of the average -> checkpoint      (always in this order)

Every random choice is a function of the seed and the step, and a checkpoint holds all the rest, so a run that was
killed and resumed ends with the same bits as one that was not (on one kind of machine, with one number of threads).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from fractalkit.data.image_sets import ImageSet
from fractalkit.errors import DataError, UsageError, first_line
from fractalkit.files import atomic_path
from fractalkit.train.config import TrainConfig, learning_rate
from fractalkit.train.folder import BEST, CHECKPOINT, LAST, LOG, own_folder
from fractalkit.train.log import JsonLog
from fractalkit.train.randomness import NOISE, items_at, seed_of
from fractalkit.train.ranks import Ranks
from fractalkit.train.state import TrainState, read_head
from fractalkit.train.validate import validate

SKIPS_ALLOWED = 100  # in a row
RESIDENT_BYTES = 4 << 30  # data sets up to this size are kept on the device


class Trainable(Protocol):
    """What a network must offer, beside being an ``nn.Module``.

    With ``compile_parts()`` it may say itself what torch.compile is to be used on; else it is ``losses`` as a whole.
    """

    def losses(self, x: Tensor, generator: torch.Generator, step: int) -> dict[str, Tensor]:
        """Of pictures ``[B, C, H, W]`` in [0, 1]: "loss", a scalar in nats a picture, and whatever is worth logging."""

    def eval_losses(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Of each picture, ``[B]``: "elbo" in nats, and whatever is worth logging."""

    def save_pretrained(self, path: Path, metadata: dict[str, str]) -> None:
        """Write a safetensors file."""


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        step: steps done.
        reason: "steps" (all done), "minutes" (the time is up) or "interrupted".
        best, best_step: lowest validation loss, nats a picture, and its step; None without a validation.
        seconds: of training, earlier starts included.
        skipped: steps left out.
    """

    step: int
    reason: str
    best: float | None
    best_step: int
    seconds: float
    skipped: int


def existing_run(out: Path) -> dict[str, Any] | None:
    """The head of the checkpoint in a folder, or None where there is none; a DataError where it is damaged."""
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
) -> TrainResult:
    """Train a model; write ``checkpoint.safetensors``, ``best.safetensors``, ``last.safetensors`` and ``log.jsonl``.

    Args:
        model: a :class:`Trainable` network, weights as they are to begin with; it is moved to the device.
        data: the training split.
        out: folder for the files; made where it is missing.
        config: the settings.
        valid: the validation split; None has no validation and no best weights.
        ranks: device and processes; None is one process on the CPU.
        about: kept in the checkpoint and with the weights: name of the model, of the data set.
        resume: go on from the checkpoint in ``out``, where there is one; otherwise whatever lies there is replaced.
        minutes: stop, with a checkpoint, after that time.
        stop: asked after every step; True ends the run, with a checkpoint.
        progress: called with the step and what was last logged, by the first process.

    Raises:
        DataError: a checkpoint of another model or data set, a disk that is full, or gradients that stay useless.
        UsageError: parts that the processes cannot share.
    """
    ranks = ranks or Ranks(torch.device("cpu"))
    if config.parts % ranks.world:
        raise UsageError(f"parts: {config.parts} cannot be shared by {ranks.world} processes; give a multiple of it")
    about = {"data": data.name, "data_fingerprint": data.fingerprint()} | (about or {})
    with own_folder(out) if ranks.first else contextlib.nullcontext():
        return _train(model, data, out, config, valid, ranks, about, resume, minutes, stop, progress)


def _train(
    model: nn.Module,
    data: ImageSet,
    out: Path,
    config: TrainConfig,
    valid: ImageSet | None,
    ranks: Ranks,
    about: dict[str, Any],
    resume: bool,
    minutes: float | None,
    stop: Callable[[], bool],
    progress: Callable[[int, dict[str, Any]], None],
) -> TrainResult:
    form = torch.channels_last if config.channels_last else torch.contiguous_format
    model.to(device=ranks.device, memory_format=form)  # type: ignore[call-overload]
    model.train()
    state = TrainState(model, config)
    if resume and (out / CHECKPOINT).exists():
        _check_data(out / CHECKPOINT, about)
        state.load(out / CHECKPOINT, first=ranks.first)
    if not ranks.agree(f"{config} {about['data_fingerprint']} {state.step}"):
        raise DataError(
            f"{out}: the processes differ in settings, data or checkpoint; on several machines they need a folder that "
            "all of them share, and the same command"
        )
    if not (resume and (out / CHECKPOINT).exists()) and ranks.first:
        for name in (CHECKPOINT, BEST, LAST, LOG):
            (out / name).unlink(missing_ok=True)
    ranks.share_([*model.parameters(), *state.average.parameters()])
    run = _Run(state, data, out, config, valid, ranks, about)
    with contextlib.closing(run), torch.random.fork_rng(_cuda(ranks.device)):
        reason = run.go(minutes, stop, progress)
    return TrainResult(state.step, reason, state.best, state.best_step, state.seconds, state.skipped)


class _Run:
    """What the loop has at hand."""

    def __init__(
        self,
        state: TrainState,
        data: ImageSet,
        out: Path,
        config: TrainConfig,
        valid: ImageSet | None,
        ranks: Ranks,
        about: dict[str, Any],
    ) -> None:
        self.state, self.out, self.config, self.valid, self.ranks, self.about = state, out, config, valid, ranks, about
        self.images = torch.from_numpy(data.images)
        if ranks.device.type != "cpu" and data.images.nbytes <= RESIDENT_BYTES:
            self.images = self.images.to(ranks.device)
        self.scale = 1.0 / (data.levels - 1)
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
        """Steps until there is a reason to end; that reason."""
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
            if state.step % config.log_every == 0 or state.step == config.steps:
                shown |= self.line()
            if state.step == config.steps or (config.valid_every and state.step % config.valid_every == 0):
                shown |= self.validation()
            if self.ranks.first:
                progress(state.step, shown)
            now = time.monotonic()
            stopped, late, due = self.ranks.any(
                stop(),
                minutes is not None and now - began >= 60 * minutes,
                bool(config.save_minutes) and now - self.saved_at >= 60 * config.save_minutes,
            )
            reason = "steps" if state.step >= config.steps else "interrupted" if stopped else "minutes" if late else ""
            if reason or due or (config.save_every and state.step % config.save_every == 0):
                self.save()
        self.weights(LAST)
        self.write("end", reason=reason, best=state.best, best_step=state.best_step, seconds=state.seconds)
        return reason

    def step(self) -> None:
        """One step of the optimiser, or one left out."""
        state, config, ranks = self.state, self.config, self.ranks
        mine = config.parts // ranks.world
        each = config.batch // config.parts
        state.optimizer.zero_grad(set_to_none=True)
        given: list[dict[str, Tensor]] = []
        for part in range(ranks.rank * mine, (ranks.rank + 1) * mine):
            seed = seed_of(config.seed, NOISE, state.step, part)
            self.generator.manual_seed(seed)
            torch.manual_seed(seed)  # for a model with dropout
            x = self.batch(state.seen + part * each, each)
            with torch.autocast(ranks.device.type, torch.bfloat16, enabled=config.bf16):
                values = self.losses(x, self.generator, state.step)
            (values["loss"] / config.parts).backward()
            given.append(values)
        parameters = list(state.named().values())
        if ranks.world > 1:
            for p in parameters:
                if p.grad is None:
                    p.grad = torch.zeros_like(p)
            ranks.sum_(p.grad for p in parameters if p.grad is not None)
        norm = float(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
        if math.isfinite(norm) and not (config.skip and norm > config.skip):
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
                f"above --skip (the last norm is {norm:.4g}); lower --lr, or raise --skip; the last checkpoint stands"
            )

    def apply(self, parameters: list[nn.Parameter], norm: float) -> None:
        """Clip, AdamW, moving average."""
        state, config = self.state, self.config
        if config.clip and norm > config.clip:
            torch._foreach_mul_([p.grad for p in parameters if p.grad is not None], config.clip / norm)
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(config, state.step)
        state.optimizer.step()
        state.update_average(config)
        state.updates += 1
        state.skipped_in_a_row = 0

    def batch(self, first: int, count: int) -> Tensor:
        """Pictures of the stream, ``[count, C, H, W]`` float32 in [0, 1], on the device."""
        index = torch.from_numpy(items_at(self.config.seed, len(self.images), first, count))
        x = self.images[index.to(self.images.device)].to(self.ranks.device, non_blocking=True)
        form = torch.channels_last if self.config.channels_last else torch.contiguous_format
        return (x.float() * self.scale).contiguous(memory_format=form)

    def line(self) -> dict[str, Any]:
        """Write a line of the log and begin the next; the means."""
        state, config = self.state, self.config
        self.ranks.sum_(state.window.sums.values())
        means = state.window.means()
        self.write(
            "train",
            **means,
            epoch=state.seen / len(self.images),
            lr=learning_rate(config, state.step - 1),
            skipped=state.skipped,
            seconds=state.seconds,
        )
        state.window.sums, state.window.steps = {}, 0
        return {"loss": means.get("loss")}

    def validation(self) -> dict[str, Any]:
        """Score the moving average; keep it where it is the best so far."""
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
        """Write the moving average as a model of its own."""
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
            # the file holds the sums over all processes; the first one goes on with them, the others with none
            self.ranks.sum_(sums.values())
            if not self.ranks.first:
                self.state.window.sums = {k: torch.zeros_like(v) for k, v in sums.items()}
        if self.ranks.first:
            self.state.save(self.out / CHECKPOINT, self.config, self.about)
        self.saved_at = time.monotonic()


def _check_data(path: Path, about: dict[str, Any]) -> None:
    head = read_head(path)["about"]
    for key, what in (("data", "data set"), ("data_fingerprint", "pictures")):
        if head.get(key) != about[key]:
            raise DataError(
                f"{path}: was trained on other data ({what} {head.get(key)}, not {about[key]}); "
                "give the same --data-dir, or start anew with --fresh"
            )


def _cuda(device: torch.device) -> list[int]:
    return [device.index or 0] if device.type == "cuda" else []

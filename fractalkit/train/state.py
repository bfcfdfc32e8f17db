"""The state of a run between two steps, and its checkpoint file."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fractalkit.errors import DataError, first_line
from fractalkit.files import atomic_path
from fractalkit.tensors import read_tensors
from fractalkit.train.config import TrainConfig, average_decay
from fractalkit.train.log import RunningMeans
from fractalkit.train.randomness import WEIGHTS, seed_of

FORMAT = "fractalkit-checkpoint"
VERSION = 1
SPAN = 100  # gradient norms that running statistics cover
LEAST_VARIANCE = 0.01  # of log norms: a tenth of the norm


@dataclass
class NormStatistics:
    """Running mean and variance of the logarithm of gradient norms.

    Attributes:
        count: norms seen.
        mean, variance: over about the last :data:`SPAN` of them.
    """

    count: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def add(self, norm: float, sigmas: float) -> bool:
        """Take a norm into account, and tell whether it is ``sigmas`` deviations above the mean; never for 0.

        Such a norm counts as much as one at the limit, so that lasting changes are followed.
        """
        value = math.log(max(norm, 1e-30))
        limit = self.mean + sigmas * math.sqrt(max(self.variance, LEAST_VARIANCE))
        high = sigmas > 0 and self.count >= SPAN and value > limit
        value = min(value, limit) if high else value
        self.count += 1
        weight = max(1 / self.count, 1 / SPAN)
        away = value - self.mean
        self.mean += weight * away
        self.variance = (1 - weight) * (self.variance + weight * away * away)
        return high

    def to_list(self) -> list[float]:
        """Count, mean and variance."""
        return [self.count, self.mean, self.variance]


class TrainState:
    """Weights, their moving average, AdamW's moments, and counters.

    Attributes:
        model: the network being trained, ``float32``.
        average: the same network with the moving average of the weights, in evaluation mode.
        step: steps done, skipped ones included.
        seen: pictures taken from the stream.
        updates: steps that changed the weights.
        skipped, skipped_in_a_row: steps skipped.
        best, best_step: lowest validation loss (nats per picture) and its step; None before the first validation.
        seconds: time spent training.
        norms: running statistics of gradient norms.
        window: values that the next line of the log averages.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.model = model
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimizer = adamw(model, config)
        self.step = self.seen = self.updates = self.skipped = self.skipped_in_a_row = 0
        self.best: float | None = None
        self.best_step = 0
        self.seconds = 0.0
        self.norms = NormStatistics()
        self.window = RunningMeans()

    @torch.no_grad()
    def update_average(self, config: TrainConfig) -> None:
        """Update the moving average; copy buffers."""
        weight = 1 - average_decay(config, self.updates)
        old: list[Tensor] = [p.detach() for p in self.average.parameters()]
        new: list[Tensor] = [p.detach() for p in self.model.parameters()]
        torch._foreach_lerp_(old, new, weight)
        for a, b in zip(self.average.buffers(), self.model.buffers(), strict=True):
            a.copy_(b)

    def named(self) -> dict[str, nn.Parameter]:
        """Trained parameters by name."""
        return {n: p for n, p in self.model.named_parameters() if p.requires_grad}

    # ---- the checkpoint

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the state by their names in the file; not copies."""
        out = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        out |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for name, p in self.named().items():
            moments = self.optimizer.state[p]
            out |= {f"adamw.{key}.{name}": moments[key] for key in ("exp_avg", "exp_avg_sq", "step")}
        return out

    def counters(self) -> dict[str, Any]:
        """The counters and the log's window, which are not tensors."""
        plain = ("step", "seen", "updates", "skipped", "skipped_in_a_row", "best", "best_step", "seconds")
        return {k: getattr(self, k) for k in plain} | {
            "norms": self.norms.to_list(), "window": self.window.to_dict(),
        }  # fmt: skip

    def save(self, path: Path, config: TrainConfig, about: dict[str, Any]) -> None:
        """Write the checkpoint to a temporary file, then rename it, so that a kill or a full disk keeps the older one.

        Raises:
            DataError: it cannot be written.
        """
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.tensors().items()}
        head = {
            "format": FORMAT, "version": str(VERSION), "state": json.dumps(self.counters()),
            "config": json.dumps(config.to_dict()), "about": json.dumps(about),
        }  # fmt: skip
        try:
            with atomic_path(path) as temporary:
                save_file(_unshared(tensors), temporary, head)
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
        except (DataError, SafetensorError) as error:
            stands = "the one before it stands" if path.exists() else "there is none yet"
            why = getattr(error.__cause__, "strerror", None) or first_line(error.__cause__ or error)
            raise DataError(
                f"{path}: the checkpoint of step {self.step:,} cannot be written ({why}); {stands}; "
                "free some space, then go on with --resume"
            ) from error

    def load(self, path: Path, *, first: bool = True) -> None:
        """Restore a checkpoint.

        Args:
            first: whether this is the first process, which keeps the sums for the log.

        Raises:
            DataError: a damaged checkpoint, or one of another model; the message names the tensor.
        """
        head = read_head(path)
        mine = self.tensors()
        try:
            with safe_open(path, "pt") as file:
                names = set(file.keys())
                for name in sorted(names ^ set(mine)):
                    where = "the checkpoint lacks" if name in mine else "the model lacks"
                    raise DataError(f"{path}: is of another model ({where} {name}); use --fresh or another --out")
                with torch.no_grad():
                    for name, target in mine.items():
                        value = file.get_tensor(name)
                        if value.shape != target.shape or value.dtype != target.dtype:
                            raise DataError(
                                f"{path}: is of another model ({name} is {value.dtype} {list(value.shape)}, "
                                f"not {target.dtype} {list(target.shape)}); use --fresh or another --out"
                            )
                        target.copy_(value)
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path}: is damaged ({error}); start over with --fresh") from error
        state = head["state"]
        for key, value in state.items():
            if key not in ("window", "norms"):
                setattr(self, key, value)
        self.norms = NormStatistics(*state["norms"])
        self.window.load(state["window"], next(self.model.parameters()).device, first=first)


def read_head(path: Path) -> dict[str, Any]:
    """Read the metadata of a checkpoint: ``state``, ``config`` and ``about``, all dictionaries.

    Raises:
        DataError: missing, damaged, or not a checkpoint.
    """
    try:
        with safe_open(path, "pt") as file:
            head = file.metadata() or {}
        if head.get("format") != FORMAT:
            raise DataError(f"{path}: is no checkpoint of a training run; weights are given with --init")
        if head.get("version") != str(VERSION):
            raise DataError(f"{path}: version {head.get('version')!r}; a newer FractalKit may read it")
        found = {key: json.loads(head[key]) for key in ("state", "config", "about")}
        if isinstance(found["state"], dict):
            found["state"].setdefault("norms", [0, 0.0, 0.0])  # older checkpoints have none
        _check_counters(found["state"])
        if not isinstance(found["about"], dict) or not isinstance(found["config"], dict):
            raise ValueError("its description is no object")
        return found
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: is damaged or no checkpoint ({error}); start over with --fresh") from error


def _check_counters(state: Any) -> None:
    """Raise a ValueError where these are not the counters of :meth:`TrainState.counters`."""
    wholes = ("step", "seen", "updates", "skipped", "skipped_in_a_row", "best_step")
    if not isinstance(state, dict) or set(state) != {*wholes, "best", "seconds", "norms", "window"}:
        raise ValueError("its counters are not those of a run")
    for key in wholes:
        if not _is_count(state[key]):
            raise ValueError(f"{key} is {str(state[key])[:40]!r}, expected a whole number")
    for key in ("seconds", *(["best"] if state["best"] is not None else [])):
        if not isinstance(state[key], (int, float)) or isinstance(state[key], bool) or not abs(state[key]) < 1e300:
            raise ValueError(f"{key} is {str(state[key])[:40]!r}, expected a number")
    numbers = state["norms"]
    if not isinstance(numbers, list) or len(numbers) != 3 or not all(isinstance(v, (int, float)) for v in numbers):
        raise ValueError("its statistics of gradient norms are damaged")
    _check_window(state["window"])


def _check_window(window: Any) -> None:
    damaged = ValueError("its window of the log is damaged")
    if not isinstance(window, dict) or not _is_count(window.get("steps")) or not isinstance(window.get("sums"), dict):
        raise damaged
    for value in window["sums"].values():
        if not isinstance(value, (int, float, list)):
            raise damaged
        torch.tensor(value, dtype=torch.float32)  # a TypeError or a ValueError where this is no array


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def initial_weights(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a network with the random weights of a seed; the global generator is left as it is."""
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(seed, WEIGHTS))
        return build()


def load_weights(model: nn.Module, path: Path) -> None:
    """Load weights into a model from a file of ``save_pretrained``, or the average of a checkpoint.

    Tensors that a file lacks keep their initial values where a method ``neutral(name)`` of the model says that the
    model does the same with and without them.

    Raises:
        DataError: not a safetensors file, or the tensors do not match; the message names the first that differs.
    """
    about, tensors = read_tensors(path, max_bytes=1 << 40)
    prefix = "average." if about.get("format") == FORMAT else ""
    found = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    mine = model.state_dict()
    neutral: Callable[[str], bool] = getattr(model, "neutral", lambda name: False)
    lacking = {k: v for k, v in mine.items() if k not in found and neutral(k)}
    found = lacking | found
    for name in sorted(set(mine) | set(found)):
        if name not in found or name not in mine or found[name].shape != mine[name].shape:
            has = list(found[name].shape) if name in found else "absent"
            want = list(mine[name].shape) if name in mine else "nothing of that name"
            raise DataError(f"{path}: is of another model ({name} is {has} there, {want} here); choose the other model")
    model.load_state_dict(found)


def adamw(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW with its moments allocated, so that checkpoints have the same tensors at every step.

    Biases, gains and parameters with the attribute ``no_decay`` have no weight decay.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for p in model.parameters():
        if p.requires_grad:
            (plain if p.ndim < 2 or getattr(p, "no_decay", False) else decayed).append(p)
    groups = [{"params": decayed, "weight_decay": config.decay}, {"params": plain, "weight_decay": 0.0}]
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps,
        fused=device.type in ("cpu", "cuda"),
    )  # fmt: skip
    for p in decayed + plain:
        optimizer.state[p] = {
            "step": torch.zeros((), dtype=torch.float32, device=device),
            "exp_avg": torch.zeros_like(p, memory_format=torch.preserve_format),
            "exp_avg_sq": torch.zeros_like(p, memory_format=torch.preserve_format),
        }
    return optimizer


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors with tied ones copied, as the format requires."""
    seen: set[int] = set()
    out = {}
    for name, t in tensors.items():
        place = t.untyped_storage().data_ptr()
        out[name] = t.clone() if place in seen else t
        seen.add(place)
    return out

"""All that a run consists of between two steps, and the one file it is kept in."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fractalkit.errors import DataError
from fractalkit.files import atomic_path
from fractalkit.train.config import TrainConfig, average_decay
from fractalkit.train.log import Window

FORMAT = "fractalkit-checkpoint"
VERSION = 1


class TrainState:
    """Weights, their moving average, AdamW's moments, and counters.

    Attributes:
        model: being trained, ``float32``.
        average: the same network with the moving average of the weights, in evaluation mode.
        step: steps done, those left out included.
        seen: pictures taken from the stream.
        updates: steps that changed the weights.
        skipped, skipped_in_a_row: steps left out.
        best, best_step: lowest validation loss (nats a picture) and its step; None before the first validation.
        seconds: spent training.
        window: what the next line of the log will average.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.model = model
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimizer = adamw(model, config)
        self.step = self.seen = self.updates = self.skipped = self.skipped_in_a_row = 0
        self.best: float | None = None
        self.best_step = 0
        self.seconds = 0.0
        self.window = Window()

    @torch.no_grad()
    def update_average(self, config: TrainConfig) -> None:
        """One step of the moving average; buffers are copied."""
        weight = 1 - average_decay(config, self.updates)
        old: list[Tensor] = [p.detach() for p in self.average.parameters()]
        new: list[Tensor] = [p.detach() for p in self.model.parameters()]
        torch._foreach_lerp_(old, new, weight)
        for a, b in zip(self.average.buffers(), self.model.buffers(), strict=True):
            a.copy_(b)

    def named(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained."""
        return {n: p for n, p in self.model.named_parameters() if p.requires_grad}

    # ---- the checkpoint

    def tensors(self) -> dict[str, Tensor]:
        """Everything that is a tensor, by the name it has in the file; the very tensors, not copies."""
        out = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        out |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for name, p in self.named().items():
            moments = self.optimizer.state[p]
            out |= {f"adamw.{key}.{name}": moments[key] for key in ("exp_avg", "exp_avg_sq", "step")}
        return out

    def counters(self) -> dict[str, Any]:
        """Everything else."""
        plain = ("step", "seen", "updates", "skipped", "skipped_in_a_row", "best", "best_step", "seconds")
        return {k: getattr(self, k) for k in plain} | {"window": self.window.to_dict()}

    def save(self, path: Path, config: TrainConfig, about: dict[str, Any]) -> None:
        """Write the checkpoint beside ``path``, then rename it: a kill or a full disk leaves the older one standing.

        Raises:
            DataError: it cannot be written.
        """
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.tensors().items()}
        head = {
            "format": FORMAT,
            "version": str(VERSION),
            "state": json.dumps(self.counters()),
            "config": json.dumps(config.to_dict()),
            "about": json.dumps(about),
        }
        try:
            with atomic_path(path) as temporary:
                save_file(_unshared(tensors), temporary, head)
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
        except (OSError, SafetensorError) as error:
            stands = "the one before it stands" if path.exists() else "there is none yet"
            why = (str(getattr(error, "strerror", None) or error).splitlines() or ["no reason given"])[0]
            raise DataError(
                f"{path}: the checkpoint of step {self.step:,} cannot be written ({why}); {stands}; "
                "free some space, then go on with --resume"
            ) from error

    def load(self, path: Path, *, first: bool = True) -> None:
        """Take up a checkpoint.

        Args:
            first: whether this is the first process, which keeps the sums of the log.

        Raises:
            DataError: it is damaged, or of another model; the message names the tensor.
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
            raise DataError(f"{path}: is damaged ({error}); start anew with --fresh") from error
        state = head["state"]
        for key, value in state.items():
            if key != "window":
                setattr(self, key, value)
        self.window.load(state["window"], next(self.model.parameters()).device, first=first)


def read_head(path: Path) -> dict[str, Any]:
    """What a checkpoint says of itself: ``state``, ``config`` (a dictionary) and ``about``.

    Raises:
        DataError: it is missing, damaged, or no checkpoint.
    """
    try:
        with safe_open(path, "pt") as file:
            head = file.metadata() or {}
        if head.get("format") != FORMAT:
            raise DataError(f"{path}: is no checkpoint of a training run; weights are given with --init")
        if head.get("version") != str(VERSION):
            raise DataError(f"{path}: version {head.get('version')!r}; a newer FractalKit may read it")
        found = {key: json.loads(head[key]) for key in ("state", "config", "about")}
        _check_counters(found["state"])
        if not isinstance(found["about"], dict) or not isinstance(found["config"], dict):
            raise ValueError("its description is no object")
        return found
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: is damaged or no checkpoint ({error}); start anew with --fresh") from error


def _check_counters(state: Any) -> None:
    """A ValueError where these are not what :meth:`TrainState.counters` gives."""
    wholes = ("step", "seen", "updates", "skipped", "skipped_in_a_row", "best_step")
    if not isinstance(state, dict) or set(state) != {*wholes, "best", "seconds", "window"}:
        raise ValueError("its counters are not those of a run")
    for key in wholes:
        if not isinstance(state[key], int) or isinstance(state[key], bool) or not 0 <= state[key] < 1 << 63:
            raise ValueError(f"{key} is {str(state[key])[:40]!r}, expected a whole number")
    for key in ("seconds", *(["best"] if state["best"] is not None else [])):
        if not isinstance(state[key], (int, float)) or isinstance(state[key], bool) or not abs(state[key]) < 1e300:
            raise ValueError(f"{key} is {str(state[key])[:40]!r}, expected a number")
    window = state["window"]
    if not isinstance(window, dict) or not isinstance(window.get("steps"), int) or not 0 <= window["steps"] < 1 << 63:
        raise ValueError("its window of the log is damaged")
    for value in window["sums"].values() if isinstance(window.get("sums"), dict) else [None]:
        if not isinstance(value, (int, float, list)):
            raise ValueError("its window of the log is damaged")
        torch.tensor(value, dtype=torch.float32)  # a TypeError or a ValueError for what is no array


def load_weights(model: nn.Module, path: Path) -> None:
    """Start a model from weights: a file of ``save_pretrained``, or a checkpoint, of which the average is taken.

    Raises:
        DataError: it is no safetensors file, or its tensors are not the model's; the message names the first.
    """
    try:
        with safe_open(path, "pt") as file:
            prefix = "average." if (file.metadata() or {}).get("format") == FORMAT else ""
            found = {k.removeprefix(prefix): file.get_tensor(k) for k in file.keys() if k.startswith(prefix)}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: is no safetensors file ({error}); give weights that FractalKit saved") from error
    mine = model.state_dict()
    for name in sorted(set(mine) | set(found)):
        if name not in found or name not in mine or found[name].shape != mine[name].shape:
            has = list(found[name].shape) if name in found else "absent"
            want = list(mine[name].shape) if name in mine else "nothing of that name"
            raise DataError(f"{path}: is of another model ({name} is {has} there, {want} here); choose the other model")
    model.load_state_dict(found)


def adamw(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW with its moments in place, so that a checkpoint has the same tensors at every step.

    Biases, gains and what sets ``no_decay`` on itself decay not at all.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for p in model.parameters():
        if p.requires_grad:
            (plain if p.ndim < 2 or getattr(p, "no_decay", False) else decayed).append(p)
    groups = [{"params": decayed, "weight_decay": config.decay}, {"params": plain, "weight_decay": 0.0}]
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(
        [g for g in groups if g["params"]],
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=device.type in ("cpu", "cuda"),
    )
    for p in decayed + plain:
        optimizer.state[p] = {
            "step": torch.zeros((), dtype=torch.float32, device=device),
            "exp_avg": torch.zeros_like(p, memory_format=torch.preserve_format),
            "exp_avg_sq": torch.zeros_like(p, memory_format=torch.preserve_format),
        }
    return optimizer


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same with tied tensors copied, which the format wants."""
    seen: set[int] = set()
    out = {}
    for name, t in tensors.items():
        place = t.untyped_storage().data_ptr()
        out[name] = t.clone() if place in seen else t
        seen.add(place)
    return out

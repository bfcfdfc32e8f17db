"""The log of a run: one JSON object a line, each with the step it belongs to."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fractalkit.files import atomic_path


class JsonLog:
    """Appends to ``path``; lines of steps beyond ``step`` are taken out first, as the run repeats those steps.

    A line cut off by a kill is taken out too.
    """

    def __init__(self, path: Path, step: int) -> None:
        kept = []
        if path.exists():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    if json.loads(line)["step"] <= step:
                        kept.append(line + "\n")
                except (ValueError, TypeError, KeyError, RecursionError):
                    continue
        with atomic_path(path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Add a line; numbers that JSON lacks become null."""
        self._file.write(json.dumps({"kind": kind, "step": step} | _plain(values), allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Window:
    """Means of what the steps since the last line gave; part of a checkpoint, so that a resumed log is the same."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps = 0

    def add(self, values: dict[str, Tensor], weight: float) -> None:
        """Add values, numbers or vectors, of one part of a step; they stay on their device, unread."""
        for key, value in values.items():
            term = value.detach().float() * weight
            self.sums[key] = self.sums[key] + term if key in self.sums else term

    def means(self) -> dict[str, Any]:
        """The mean of each over the steps, as numbers or lists."""
        return {k: (v / max(self.steps, 1)).tolist() for k, v in self.sums.items()}

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold of it, exactly."""
        return {"steps": self.steps, "sums": {k: v.tolist() for k, v in self.sums.items()}}

    def load(self, data: dict[str, Any], device: torch.device, *, first: bool) -> None:
        """Take up :meth:`to_dict`'s form, summed over all processes; only the first one goes on with those sums."""
        self.steps = int(data["steps"])
        self.sums = {k: torch.tensor(v, dtype=torch.float32, device=device) * first for k, v in data["sums"].items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return round_to(value) if math.isfinite(value) else None
    return value


def round_to(value: float, digits: int = 7) -> float:
    """A number to seven digits, all that float32 has."""
    return float(f"{value:.{digits}g}")

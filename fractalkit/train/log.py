"""The log of a run: one JSON object per line, each with its step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fractalkit.checked import json_plain
from fractalkit.files import atomic_path


class JsonLog:
    """Append to ``path``. Lines of steps after ``step`` are removed first, as a resumed run repeats those steps.

    Truncated lines are removed too.
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
        """Append a line; numbers have the seven digits of float32, or are null where they are not finite."""
        self._file.write(json.dumps({"kind": kind, "step": step} | json_plain(values, 7), allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class RunningMeans:
    """Means over the steps since the last line; part of a checkpoint, so that a resumed log is the same."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps = 0

    def add(self, values: dict[str, Tensor], weight: float) -> None:
        """Add scalars or vectors of one micro-batch; they stay on their device and are not read."""
        for key, value in values.items():
            term = value.detach().float() * weight
            self.sums[key] = self.sums[key] + term if key in self.sums else term

    def means(self) -> dict[str, Any]:
        """Mean of each value over the steps, as numbers or lists."""
        return {k: (v / max(self.steps, 1)).tolist() for k, v in self.sums.items()}

    def to_dict(self) -> dict[str, Any]:
        """The exact state, as JSON can hold it."""
        return {"steps": self.steps, "sums": {k: v.tolist() for k, v in self.sums.items()}}

    def load(self, data: dict[str, Any], device: torch.device, *, first: bool) -> None:
        """Restore :meth:`to_dict`'s form, which is summed over all processes; only the first process keeps the sums."""
        self.steps = int(data["steps"])
        self.sums = {k: torch.tensor(v, dtype=torch.float32, device=device) * first for k, v in data["sums"].items()}

"""Shared by all benchmarks: tables on stdout, JSON files, timing, and a description of the machine."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

import fractalkit

# folder of the results; set the variable for runs whose results are not to be kept
RESULTS = Path(os.environ.get("FRACTALKIT_RESULTS") or Path(__file__).parent / "results")


def machine() -> dict[str, Any]:
    """Describe the machine: processor, cores and versions."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    out = {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "fractalkit": fractalkit.__version__,
    }
    if torch.cuda.is_available():
        out["gpu"] = torch.cuda.get_device_name()
    return out


@dataclass
class Timing:
    """Wall seconds, and CPU seconds of all cores together."""

    wall: float = 0.0
    cpu: float = 0.0


@contextmanager
def timed() -> Iterator[Timing]:
    """Time a block, including child processes.

    >>> with timed() as t:
    ...     _ = sum(range(1000))
    >>> t.wall > 0
    True
    """
    t = Timing()
    wall, cpu = time.perf_counter(), _cpu()
    yield t
    t.wall, t.cpu = time.perf_counter() - wall, _cpu() - cpu


def _cpu() -> float:
    return sum(
        getattr(resource.getrusage(who), field)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        for field in ("ru_utime", "ru_stime")
    )


def peak_memory() -> float:
    """Peak resident memory of this process so far, in MiB."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def table(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Format a plain text table with numbers aligned to the right.

    >>> print(table([{"name": "fern", "ratio": 1.0042}], ["name", "ratio"]))
    name  ratio
    fern  1.004
    """
    cells = [columns] + [[_text(row.get(c, "")) for c in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    words = [all(not isinstance(r.get(c, ""), (int, float)) for r in rows) for c in columns]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if word else cell.rjust(w) for cell, w, word in zip(line, widths, words, strict=True)
        ).rstrip()
        for line in cells
    )


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def put(rows: list[dict[str, Any]]) -> None:
    """Print a table with the columns of its first row."""
    click.echo(table(rows, list(rows[0])))


def put_progress(row: dict[str, Any], columns: list[str] | None = None) -> None:
    """Print one row to standard error."""
    click.echo(table([row], columns or list(row)).split("\n")[1], err=True)


def save(name: str, rows: list[dict[str, Any]], **more: Any) -> Path:
    """Write rows to ``results/NAME.json`` with the command, the machine and the date."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    module = sys.modules["__main__"].__spec__
    command = " ".join(["python -m", module.name if module else sys.argv[0], *sys.argv[1:]])
    day = datetime.now(UTC).date().isoformat()
    data = {"command": command, "date": day, "machine": machine(), **more, "rows": rows}
    path.write_text(json.dumps(data, indent=1) + "\n")
    return path


def load(name: str) -> list[dict[str, Any]]:
    """Load the rows of ``results/NAME.json``; empty if there is no such file."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []

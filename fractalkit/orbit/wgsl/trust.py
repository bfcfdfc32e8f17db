"""Whether a machine's GPU is right and worth taking: a small flame drawn by it and by the CPU, once, and remembered."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_parts import Xform
from fractalkit.errors import FractalKitError, UsageError

SAMPLES = 400_000  # of a test; a rate is measured with ten times as many
NOISE = 1.15  # the most that a picture may differ from the CPU's, in differences between two seeds of the CPU's
DAYS = 30  # that a verdict is kept
_FORMAT = 1


@dataclass(frozen=True)
class Verdict:
    """What a test of the GPU found.

    Attributes:
        device: its name; ``software``: whether it is a program on the CPU.
        difference: of its picture from the CPU's, over that between two seeds of the CPU.
        rate, cpu_rate: samples a second of the two, with all of the CPU's threads.
        start: seconds until the first flame was drawn.
    """

    device: str
    software: bool
    difference: float
    rate: float
    cpu_rate: float
    start: float

    @property
    def right(self) -> bool:
        """Whether its picture is as near to the CPU's as another seed is."""
        return self.difference < NOISE

    @property
    def chosen(self) -> bool:
        """Whether ``--device auto`` takes it: a card that is right and faster."""
        return self.right and not self.software and self.rate > self.cpu_rate


def trial_flame() -> Flame:
    """A flame with roots, sines, exponentials, xaos, a final map and random numbers."""
    maps = (
        Xform(0.5, 0.1, 0.4, coefs=(0.7, 0.3, -0.3, 0.7, 0.2, 0.1), variations={"julian": 0.8, "linear": 0.1},
              parameters={"julian_power": 3.0}, chaos=(1.0, 0.5, 2.0)),
        Xform(1.0, 0.9, 0.6, opacity=0.5, coefs=(0.5, 0.2, -0.1, 0.6, -0.4, 0.3),
              variations={"spherical": 0.5, "sinusoidal": 0.6, "gaussian_blur": 0.05}),
        Xform(0.3, 0.5, 0.5, coefs=(0.9, 0.0, 0.0, 0.9, 1.0, 0.0), variations={"swirl": 0.7, "exponential": 0.2}),
    )  # fmt: skip
    palette = np.linspace(0, 1, 256)[:, None] * [1.0, 0.5, 0.2, 0.0] + [0, 0.1, 0.3, 1.0]
    final = Xform(color_speed=0.0, coefs=(1, 0, 0, 1, 0.2, 0), variations={"polar": 0.5, "linear": 0.5})
    return Flame(size=(64, 64), scale=16.0, palette=palette, xforms=maps, final=final)


def tested() -> Verdict:
    """Test the GPU now; takes some seconds, as the CPU's loop is compiled too.

    Raises:
        UsageError: there is none, or wgpu is not installed.
    """
    from fractalkit.orbit.flame import accumulate
    from fractalkit.orbit.wgsl.device import open_gpu

    began, flame = time.perf_counter(), trial_flame()
    gpu = open_gpu()
    drawn = accumulate(flame, SAMPLES, seed=3, device="gpu")
    start = time.perf_counter() - began
    one, two = (accumulate(flame, SAMPLES, seed=s, threads=1, compiled=True) for s in (1, 2))
    rates = []
    for options in ({"device": "gpu"}, {"compiled": True}):
        began = time.perf_counter()
        accumulate(flame, 10 * SAMPLES, seed=4, **options)  # type: ignore[arg-type]
        rates.append(10 * SAMPLES / (time.perf_counter() - began))
    difference = _apart(drawn, one) / _apart(two, one)
    return Verdict(str(gpu), gpu.software, difference, rates[0], rates[1], start)


def _apart(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    return float(np.abs(a.astype(np.float64) - b).sum())


def kept_file() -> Path:
    """Where a verdict is kept: in the folder of compiled loops."""
    return Path(os.environ.get("NUMBA_CACHE_DIR") or Path.home() / ".cache" / "fractalkit") / "gpu.json"


def keep(verdict: Verdict) -> None:
    """Remember a verdict, where the folder can be written."""
    path = kept_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}-{os.getpid()}")
        beside.write_text(json.dumps({"format": _FORMAT, "program": _program(), **asdict(verdict)}), encoding="utf-8")
        os.replace(beside, path)
    except OSError:
        return


def kept() -> Verdict | None:
    """The verdict that is remembered, of this version and not too old."""
    path = kept_file()
    try:
        if time.time() - path.stat().st_mtime > DAYS * 86400:
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if found.pop("format") != _FORMAT or found.pop("program") != _program():
            return None
        return Verdict(**found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _program() -> list[str]:
    from importlib.metadata import version

    from fractalkit import __version__

    return [__version__, version("wgpu")]


def chosen(name: str) -> str:
    """The device that draws where ``name`` is asked for: "auto" is a GPU that is trusted, or the CPU.

    Raises:
        UsageError: an unknown name, or a device that is not there.
    """
    if name == "auto":
        return "gpu" if trusted() else "cpu"
    if name == "gpu":
        from fractalkit.orbit.wgsl.device import open_gpu

        open_gpu()
    elif name in ("cuda", "mps"):
        import torch

        if not (torch.cuda if name == "cuda" else torch.backends.mps).is_available():
            raise UsageError(f"device: this machine has no usable {name}; use cpu")
    elif name != "cpu":
        raise UsageError(f"device: expected auto, cpu, gpu, cuda or mps, got {name!r}")
    return name


@cache
def trusted() -> bool:
    """Whether ``--device auto`` takes the GPU: by the verdict that is kept, or by a test now."""
    if importlib.util.find_spec("wgpu") is None:
        return False
    verdict = kept()
    if verdict is None:
        from fractalkit.orbit.wgsl.device import open_gpu

        try:
            gpu = open_gpu()
            # a program on the CPU is never chosen, so there is nothing to measure
            verdict = Verdict(str(gpu), True, 0.0, 0.0, 0.0, 0.0) if gpu.software else tested()
        except (RuntimeError, FractalKitError):  # there is none, or its driver fails
            return False
        keep(verdict)
    return verdict.chosen

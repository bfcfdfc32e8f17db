"""``fractalkit doctor``: what this machine has, for a report of a problem."""

from __future__ import annotations

import importlib.util
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from fractalkit.cli.common import answer
from fractalkit.cli.options import json_option

PACKAGES = ("torch", "numpy", "numba", "scipy", "pillow", "wgpu", "triton", "open3d-cpu", "open3d", "av", "gradio")


@click.command(
    epilog="""\b
Examples:
  fractalkit doctor
  fractalkit doctor --json"""
)
@json_option
def doctor(as_json: bool) -> None:
    """Print the versions, devices and engines of this machine, and test its GPU.

    The verdict on the GPU is kept; --device auto goes by it. It takes some seconds.
    """
    result = examined()
    answer(result, as_json, "\n".join(_lines(result)))


def examined() -> dict[str, Any]:
    """Versions, devices, engines, and what the GPU's test found; facts that JSON can hold."""
    import torch

    from fractalkit import __version__

    cuda = torch.cuda.is_available()
    return {
        "fractalkit": __version__, "python": platform.python_version(), "system": platform.platform(),
        "processors": os.cpu_count(), "packages": {name: _version(name) for name in PACKAGES},
        "cuda": [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())] if cuda else [],
        "metal": torch.backends.mps.is_available(),
        "engines": {
            "numba": True, "torch": True, "triton": cuda and importlib.util.find_spec("triton") is not None,
            "wgsl": importlib.util.find_spec("wgpu") is not None,
        },
        "gpu": _gpu(),
    }  # fmt: skip


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _gpu() -> dict[str, Any]:
    """The GPU's test, or why there is none."""
    from dataclasses import asdict

    from fractalkit.errors import FractalKitError
    from fractalkit.orbit.wgsl.device import open_gpu
    from fractalkit.orbit.wgsl.trust import keep, tested

    try:
        gpu = open_gpu()
        verdict = tested()
    except FractalKitError as error:
        return {"found": False, "reason": str(error)}
    except RuntimeError as error:  # of its driver
        return {"found": False, "reason": f"device gpu: its driver failed ({str(error).splitlines()[0]})"}
    keep(verdict)
    return {"found": True, "driver": gpu.driver, **asdict(verdict), "right": verdict.right, "auto": verdict.chosen}


def _lines(r: dict[str, Any]) -> list[str]:
    there = ", ".join(f"{name} {v}" for name, v in r["packages"].items() if v is not None)
    engines = ", ".join(f"{name} {'yes' if has else 'no'}" for name, has in r["engines"].items())
    lines = [
        f"FractalKit {r['fractalkit']}, Python {r['python']}, {r['system']}, {r['processors']} processors",
        f"packages  {there}",
        f"engines   {engines}",
        f"CUDA      {', '.join(r['cuda']) or 'none'}",
        f"Metal     {'yes' if r['metal'] else 'no'}",
    ]
    g = r["gpu"]
    if not g["found"]:
        return [*lines, f"GPU       none: {g['reason']}"]
    auto = (
        "takes it"
        if g["auto"]
        else "does not take it: "
        + (
            "it is a program on the CPU"
            if g["software"]
            else "it is slower than the CPU"
            if g["right"]
            else "it is wrong"
        )
    )
    return [
        *lines,
        f"GPU       {g['device']}, {g['driver']}",
        f"          its picture differs from the CPU's {g['difference']:.2f} x as much as another seed does: "
        f"{'right' if g['right'] else 'WRONG'}",
        f"          {g['rate'] / 1e6:,.1f} M samples/s, the CPU {g['cpu_rate'] / 1e6:,.1f} M; "
        f"first flame after {g['start']:.2f} s",
        f"          --device auto {auto}",
    ]

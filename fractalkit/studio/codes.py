"""Codes to and from the studio's flames: affine codes of the plane are flames whose maps are linear."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fractalkit.codes.flame import Flame, read_flames
from fractalkit.codes.flame_parts import IDENTITY, Xform
from fractalkit.errors import DataError, FileWarning

if TYPE_CHECKING:
    from fractalkit.codes.affine import AffineIFS

SIZE = (1200, 900)
_LINEAR = ("linear", "linear3D")
_FLAME_TEXT = (b"<", b"\xef\xbb\xbf<")


def opened(path: Path) -> list[Flame]:
    """The flames of a file, or of a code of the plane or of a preset as a flame.

    Raises:
        DataError: a file that holds neither; the message names it and says what does.
    """
    from fractalkit.codes.affine import AffineIFS
    from fractalkit.codes.open import is_preset_name, load_all

    if is_preset_name(path):
        from fractalkit.codes.presets import preset

        found: list[object] = [preset(str(path))]
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FileWarning)
            found = list(load_all(path))
    flames = []
    for code in found:
        if isinstance(code, Flame):
            flames.append(code)
        elif isinstance(code, AffineIFS) and code.dim == 2:
            flames.append(flame_of_code(code))
        else:
            what = "a code in space" if isinstance(code, AffineIFS) else "another kind of code"
            raise DataError(f"{path}: holds {what}; the studio edits flames and codes of the plane")
    return flames


def read_bytes(data: bytes, name: str) -> list[Flame]:
    """The flames of a file that was dropped on the page, or of pasted text; errors as :func:`opened`."""
    if data.lstrip()[:4].startswith(_FLAME_TEXT):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FileWarning)
            return read_flames(data, name)
    suffix = Path(name).suffix.lower()
    if data.lstrip()[:1] == b"{":
        suffix = ".json"
    if suffix not in (".json", ".png", ".flame", ".flam3", ".xml", ".safetensors", ".fk"):
        raise DataError(f"{name}: holds no flame or code; those are .flame, .ifs.json and PNG files with their code")
    with tempfile.TemporaryDirectory(prefix="fractalkit-studio-") as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(data)
        try:
            return opened(path)
        except DataError as error:
            raise DataError(str(error).replace(str(path), name)) from None


def flame_of_code(code: AffineIFS, size: tuple[int, int] = SIZE) -> Flame:
    """An affine code of the plane as a flame that shows all of its attractor."""
    from fractalkit.codes.bounds import bounding_ball
    from fractalkit.codes.flame_random import flame_of
    from fractalkit.render.flame_sheet import frame

    centre, radius = bounding_ball(code)
    half = centre.new_tensor([float(radius) * size[0] / size[1], float(radius)])
    flame = flame_of(code, size=size, low=centre - half, high=centre + half)
    found = frame(flame)
    return flame if found is None else replace(found, name=code.name)


def code_of_flame(flame: Flame) -> AffineIFS:
    """The affine code of a flame whose maps are all linear, for a ``.ifs.json`` file.

    The maps' colours are those of the palette at their places.

    Raises:
        DataError: a map that is not affine or does not contract, or what a code cannot hold; the message says which.
    """
    import torch

    from fractalkit.codes.affine import AffineIFS

    if flame.finals or flame.layers:
        raise DataError("a code of the plane has no final map and no layers; save a .flame, or take them off")
    flip = np.diag([1.0, -1.0])
    matrices, offsets, weights, colours = [], [], [], []
    for k, x in enumerate(flame.expanded().xforms):
        a, t = _affine(x, k)
        matrices.append(flip @ a @ flip)
        offsets.append(flip @ t)
        weights.append(x.weight)
        colours.append(np.clip(flame.palette[int(np.clip(x.color, 0, 1) * 255), :3], 0, 1))
    for k, a in enumerate(matrices):
        norm = np.linalg.norm(a, ord=2)
        if not norm < 1:
            raise DataError(f"map {k + 1} does not contract (its norm is {norm:.3g}); a code needs one below 1")
    speed = float(np.clip(np.mean([x.color_speed for x in flame.xforms]), 0.01, 1))
    tables = (matrices, offsets, weights, colours)
    linear, moved, often, rgb = (torch.tensor(np.array(v)) for v in tables)
    return AffineIFS(linear, moved, often, rgb, speed, name=flame.name, provenance={"made": "fractalkit studio"})


def _affine(x: Xform, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The affine map of a linear map, in the flame's coordinates (y down)."""
    strange = [n for n in x.variations if n not in _LINEAR]
    if strange:
        raise DataError(f"map {k + 1} has the variation {strange[0]}; a code of the plane has affine maps only")
    if x.is_solid or any(c != 1 for c in x.chaos):
        raise DataError(f"map {k + 1} has xaos or turns in space, which a code of the plane cannot hold")
    gain = sum(x.variations.values())
    a, d, b, e, c, f = x.coefs
    m, t = gain * np.array([[a, b], [d, e]]), gain * np.array([c, f])
    if x.post != IDENTITY:
        a, d, b, e, c, f = x.post
        p = np.array([[a, b], [d, e]])
        m, t = p @ m, p @ t + np.array([c, f])
    return m, t

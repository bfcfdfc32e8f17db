"""Codes to and from the studio's flames: affine codes of the plane and of space are flames whose maps are linear."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fractalkit.codes.flame import Flame, read_flames
from fractalkit.errors import DataError, FileWarning
from fractalkit.studio.solid import FLIP, affine_of, blocks_of

if TYPE_CHECKING:
    from fractalkit.codes.affine import AffineIFS

SIZE = (1200, 900)
_LINEAR = ("linear", "linear3D")
_FLAME_TEXT = (b"<", b"\xef\xbb\xbf<")


def opened(path: Path) -> list[Flame]:
    """The flames of a file, or an affine code or a preset as a flame.

    Raises:
        DataError: a file that holds neither; the message names it and says what does.
    """
    from fractalkit.codes.open import is_preset_name, load_all

    if is_preset_name(path):
        from fractalkit.codes.presets import preset

        found: list[object] = [preset(str(path))]
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FileWarning)
            found = list(load_all(path))
    return [code if isinstance(code, Flame) else _as_flame(code, path) for code in found]


def _as_flame(code: object, path: Path) -> Flame:
    """An affine code as a flame.

    Torch comes with the affine code: its import takes longer than all else until the first picture, and a file of
    flames needs none.
    """
    from fractalkit.codes.affine import AffineIFS

    if isinstance(code, AffineIFS) and code.dim in (2, 3):
        return flame_of_code(code)
    what = "a collage" if hasattr(code, "ranges") else "another kind of code"
    raise DataError(f"{path}: holds {what}; the studio edits flames and affine codes")


def read_bytes(data: bytes, name: str) -> list[Flame]:
    """The flames of a file that was dropped on the page, or of pasted text; errors as :func:`opened`."""
    if data.lstrip()[:4].startswith(_FLAME_TEXT):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FileWarning)
            return read_flames(data, name)
    suffix = Path(name).suffix.lower()
    if data.lstrip()[:1] == b"{":
        suffix = ".json"
    if suffix not in (".json", ".png", ".flame", ".flam3", ".xml", ".safetensors", ".ifs", ".fk"):
        raise DataError(f"{name}: holds no flame or code; those are .flame, .ifs.json and PNG files with their code")
    with tempfile.TemporaryDirectory(prefix="fractalkit-studio-") as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(data)
        try:
            return opened(path)
        except DataError as error:
            raise DataError(str(error).replace(str(path), name)) from None


def flame_of_code(code: AffineIFS, size: tuple[int, int] = SIZE) -> Flame:
    """An affine code as a flame that shows all of its attractor; one in space from above and a little from the side."""
    from fractalkit.codes.bounds import bounding_ball
    from fractalkit.codes.flame_random import flame_of
    from fractalkit.render.flame_sheet import frame

    centre, radius = bounding_ball(code)
    radius = float(radius) or 1.0  # one map: a point
    half = centre.new_tensor([radius * size[0] / size[1], radius])
    flat = code if code.dim == 2 else replace(code, matrices=code.matrices[:, :2, :2], offsets=code.offsets[:, :2])
    flame = flame_of(flat, size=size, low=centre[:2] - half, high=centre[:2] + half)
    if code.dim == 3:
        flame = _raised(flame, code, float(centre[2]))
    found = frame(flame)
    return flame if found is None else replace(found, name=code.name)


def _raised(flame: Flame, code: AffineIFS, middle: float) -> Flame:
    """The flame of a code's shadow with the code's own maps, and a camera in space."""
    a, t = code.matrices.detach().double().numpy(), code.offsets.detach().double().numpy()
    drawn = np.flatnonzero(code.probabilities.double().numpy() > 0)
    maps = tuple(
        replace(x, **blocks_of(FLIP @ a[k] @ FLIP, FLIP @ t[k]), variations={"linear3D": 1.0})
        for x, k in zip(flame.xforms, drawn, strict=True)
    )
    return replace(flame, xforms=maps, cam_pitch=1.25, cam_yaw=0.45, cam_zpos=middle)


def code_of_flame(flame: Flame) -> AffineIFS:
    """The affine code of a flame whose maps are all linear, for a ``.ifs.json`` file.

    The maps' colours are those of the palette at their places.

    Raises:
        DataError: a map that is not affine or does not contract, or what a code cannot hold; the message says which.
    """
    import torch

    from fractalkit.codes.affine import AffineIFS

    if flame.finals or flame.layers:
        raise DataError("a code has no final map and no layers; save a .flame, or take them off")
    for k, x in enumerate(flame.expanded().xforms):
        if any(c != 1 for c in x.chaos):
            raise DataError(f"map {k + 1} has xaos, which a code cannot hold")
    linear, moved, often = affine_tables(flame.expanded())
    for k, a in enumerate(linear):
        norm = np.linalg.norm(a, ord=2)
        if not norm < 1:
            raise DataError(f"map {k + 1} does not contract (its norm is {norm:.3g}); a code needs one below 1")
    places = [int(np.clip(x.color, 0, 1) * 255) for x in flame.expanded().xforms]
    colours = np.clip(flame.palette[places, :3], 0, 1)
    speed = float(np.clip(np.mean([x.color_speed for x in flame.xforms]), 0.01, 1))
    made = {"made": "fractalkit studio"}
    a, t, w, rgb = (torch.from_numpy(np.ascontiguousarray(v)) for v in (linear, moved, often, colours))
    return AffineIFS(a, t, w, rgb, speed, name=flame.name, provenance=made)


def affine_tables(flame: Flame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices ``[K, D, D]``, offsets ``[K, D]`` (y upwards) and weights ``[K]`` of a flame's maps.

    Raises:
        DataError: a map with a variation that is not affine.
    """
    deep = in_space(flame)
    d, flip = (3, FLIP) if deep else (2, FLIP[:2, :2])
    matrices, offsets = [], []
    for k, x in enumerate(flame.xforms):
        strange = [n for n in x.variations if n not in _LINEAR]
        if strange:
            raise DataError(f"map {k + 1} has the variation {strange[0]}; a code has affine maps only")
        a, t = affine_of(x)
        matrices.append(flip @ a[:d, :d] @ flip)
        offsets.append(flip @ t[:d])
    return np.array(matrices), np.array(offsets), np.array([x.weight for x in flame.xforms])


def in_space(flame: Flame) -> bool:
    """Whether a flame's maps move points in all three dimensions."""
    return any(x.is_solid or x.variations.get("linear3D") for x in flame.xforms)

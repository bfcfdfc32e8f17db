"""Still pictures of codes that are no flames: collages of clouds, and attractors in space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractalkit.errors import UsageError
from fractalkit.raster.png import CODE_KEY, COMMAND_KEY, SEED_KEY
from fractalkit.raster.view import Size

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from fractalkit.codes.affine import AffineIFS
    from fractalkit.codes.cloud_collage import CloudCollage

CODE_IN_PICTURE = 16 << 20  # characters of a code that a picture carries, at most
_FRAMED = 20_000  # points by which the camera is placed
_NO_CODES = (".flame", ".flam3", ".xml", ".csv")


def spatial_code(source: str | Path) -> AffineIFS | CloudCollage | None:
    """The collage of a cloud, or the affine code in space, that a source holds; None: something else, or nothing.

    Raises:
        DataError: a file that should hold a code is missing or damaged.
    """
    from fractalkit.codes.affine import AffineIFS
    from fractalkit.codes.cloud_collage import CloudCollage
    from fractalkit.codes.open import held, is_preset_name, kind_of, load

    if Path(source).suffix.lower() in _NO_CODES:
        return None
    if not is_preset_name(source):
        kind = kind_of(source)
        if kind is None or kind.name not in ("code", "compressed picture"):
            return None
    code = held(load(source), CloudCollage)
    if isinstance(code, CloudCollage) or (isinstance(code, AffineIFS) and code.dim == 3):
        return code
    return None


def draw_code(
    code: AffineIFS | CloudCollage,
    size: Size | None,
    *,
    quality: float | None,
    palette: str | None,
    seed: int,
    device: str = "cpu",
) -> npt.NDArray[np.uint8]:
    """Draw a code: uint8 ``[H, W, 3]``, lit points in space, a density in the plane.

    Args:
        size: None: 1000 x 1000.
        quality: points for each pixel; None as :func:`.attractor.draw_ifs` has them.
        palette: of :data:`.palette.PALETTES`, in place of the code's own colours.
        device: that draws the points; the CPU does for one that cannot (:func:`fractalkit.orbit.api.why_not`).

    Raises:
        UsageError: an option out of range.
    """
    from fractalkit.codes.affine import AffineIFS
    from fractalkit.orbit import sample
    from fractalkit.orbit.api import why_not
    from fractalkit.render.attractor import draw_ifs
    from fractalkit.render.camera import Camera

    w, h = (size or Size("longer", 1000, 1000)).pixels()
    points = None if quality is None else max(1, round(quality * w * h))
    camera = None
    if code.dim == 3:
        some = sample(code, _FRAMED, seed=seed).points.double().numpy()
        camera = Camera.frame(some, (w, h), up="auto", usual="z" if isinstance(code, AffineIFS) else None)
    where = "cpu" if why_not(code, device) else device
    return draw_ifs(code, size=(w, h), points=points, palette=palette, seed=seed, camera=camera, device=where)


def save_code_picture(
    source: str, code: AffineIFS | CloudCollage, target: Path, *, size: Size | None, quality: float | None,
    palette: str | None, seed: int, command: str, device: str = "cpu",
) -> dict[str, Any]:  # fmt: skip
    """Draw a code to a PNG file, which carries it unless it is larger than 16 MiB; facts, for the report.

    ``not_by_device`` says why the CPU drew it in place of the device, or nothing.

    Raises:
        UsageError: another suffix, or an option out of range.
    """
    from fractalkit.orbit.api import why_not
    from fractalkit.raster.png import save_png

    if target.suffix.lower() != ".png":
        raise UsageError(f"--out {target}: the picture of a code in space is a PNG; name it {target.stem}.png")
    pixels = draw_code(code, size, quality=quality, palette=palette, seed=seed, device=device)
    texts = {SEED_KEY: str(seed), COMMAND_KEY: command}
    text = code.to_json()
    if len(text) <= CODE_IN_PICTURE:
        texts[CODE_KEY] = text
    save_png(target, pixels, text=texts)
    return {"source": source, "output": str(target), "width": pixels.shape[1], "height": pixels.shape[0], "seed": seed,
            "mean": float(pixels.mean()) / 255, "command": command,
            "not_by_device": why_not(code, device)}  # fmt: skip


def refuse(source: str, given: dict[str, Any]) -> None:
    """A UsageError where an option has a value that is only for flames and codes in the plane."""
    for name, value in given.items():
        if value is not None and value is not False:
            raise UsageError(f"{name}: is only for flames and plain codes in the plane; {source} is neither")

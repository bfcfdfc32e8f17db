"""One type for pictures: an array that saves and shows itself."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fractalkit.arguments import contents, unknown, whole_number
from fractalkit.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

CHANNELS = (1, 3, 4)
# of Pillow's Image.save, for one format or another; a format ignores those of others
_OPTIONS = (
    "quality", "lossless", "method", "optimize", "progressive", "subsampling", "compress_level", "compression", "speed",
    "icc_profile", "exif", "dpi",
)  # fmt: skip
_OF_PILLOW = (
    "convert", "crop", "filter", "getpixel", "mode", "paste", "putpixel", "rotate", "show", "split", "thumbnail",
    "transform", "histogram", "point", "quantize", "getdata",
)  # fmt: skip
MOST_SIDE = 1 << 16
_TOP = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


class Picture(np.ndarray):
    """A picture ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]``: row 0 at the top, grey, RGB or RGBA, sRGB.

    It is a NumPy array of uint8, uint16, or float32 in [0, 1], and goes wherever an array goes. A notebook shows it.

    Args:
        samples: the array; float64 becomes float32.
        text: texts that :meth:`save` writes into PNG files, such as the code and the command.
        code: what the picture shows, if it was drawn from a code; ``fractalkit.render(picture, size)`` draws it anew.

    Raises:
        UsageError: another shape or type.

    >>> grey = Picture(np.zeros((4, 6), np.uint8))
    >>> grey.width, grey.height, grey.tensor().shape
    (6, 4, torch.Size([1, 4, 6]))
    """

    text: dict[str, str]
    code: Any

    def __new__(cls, samples: npt.ArrayLike, text: Mapping[str, str] | None = None, code: Any = None) -> Picture:
        a = np.asarray(samples)
        if a.dtype == np.float64:
            a = a.astype(np.float32)
        if a.dtype not in (np.uint8, np.uint16, np.float32):
            raise UsageError(f"picture: expected uint8, uint16 or float32 in [0, 1], got {a.dtype}")
        if a.ndim == 3 and a.shape[2] == 1:
            a = a[..., 0]
        if a.ndim not in (2, 3) or (a.ndim == 3 and a.shape[2] not in CHANNELS) or 0 in a.shape:
            raise UsageError(f"picture: expected [H, W], [H, W, 3] or [H, W, 4], got {list(a.shape)}")
        out = a.view(cls)
        out.text, out.code = dict(text or {}), code
        return out

    def __array_finalize__(self, parent: Any) -> None:
        self.text, self.code = getattr(parent, "text", {}), None  # a part of a picture shows another thing

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """What is computed from a picture is a plain array or number; a part of a picture is a picture."""
        plain = np.asarray(array)
        return plain[()] if return_scalar or plain.ndim == 0 else plain

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.shape[1]

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.shape[0]

    def resize(self, *size: Any, **options: Any) -> Picture:  # type: ignore[override]
        """The picture at another size, as Pillow resamples it: ``resize((width, height))``, in 8 bits.

        An array's ``resize``, which changes the array itself, is no use for a picture. :func:`fractalkit.render`
        draws :attr:`code` anew instead, and :func:`fractalkit.enlarge` adds detail.

        Args:
            size: (width, height).
            options: of Pillow's ``Image.resize``, such as ``resample``.

        Raises:
            UsageError: a size that is none.

        >>> Picture(np.zeros((4, 6), np.uint8)).resize((12, 8)).shape
        (8, 12)
        """
        sides = list(size[0] if len(size) == 1 and isinstance(size[0], Iterable) else size)
        if len(sides) != 2:
            raise UsageError(f"resize: expected (width, height), got {size}")
        width, height = (whole_number("resize", side, 1, MOST_SIDE) for side in sides)
        return Picture(np.asarray(self.pil.resize((width, height), **options)))

    def __getattr__(self, name: str) -> Any:
        message = f"a picture has no attribute {name!r}"
        if name in _OF_PILLOW:
            message += f"; it is a NumPy array, and picture.pil.{name} is Pillow's"
        raise AttributeError(message)

    def numpy(self) -> npt.NDArray[Any]:
        """The plain array; memory is shared."""
        return self.view(np.ndarray)

    def tensor(self) -> Tensor:
        """A float32 tensor ``[C, H, W]`` in [0, 1]."""
        import torch

        a = self.numpy()
        a = a[..., None] if a.ndim == 2 else a
        values = a.astype(np.float32) / np.float32(_TOP.get(a.dtype, 1))
        return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))

    def eight_bit(self) -> npt.NDArray[np.uint8]:
        """The samples as bytes, rounded."""
        a = self.numpy()
        if a.dtype == np.uint16:
            return (a // 257).astype(np.uint8)
        if a.dtype == np.float32:
            return np.rint(np.nan_to_num(a).clip(0, 1) * 255).astype(np.uint8)
        return a

    def whole_numbers(self) -> npt.NDArray[Any]:
        """The samples as they are in 8 or 16 bits; floating point as bytes."""
        return self.numpy() if self.dtype == np.uint16 else self.eight_bit()

    @property
    def pil(self) -> Image:
        """The picture as Pillow has it, with 8 bits a sample."""
        from PIL import Image

        return Image.fromarray(np.ascontiguousarray(self.eight_bit()))

    def save(self, path: str | Path | IO[bytes], format: str | None = None, **options: Any) -> None:
        """Write a picture in the format of the suffix: png (with its texts), jpg, webp, avif, tif, bmp, jp2, ppm, gif.

        Any other suffix writes :attr:`code`, if there is one, as its own ``save`` does.

        Args:
            path: or a file that is open for writing in bytes, with ``format``.
            format: Pillow's name, of an open file only; None: PNG.
            options: of Pillow's ``Image.save``, such as ``quality=80`` of jpg and webp.

        Raises:
            UsageError: another suffix.
            DataError: the file cannot be written.
        """
        if not isinstance(path, str | Path):
            self.pil.save(path, format or "PNG", **options)
            return
        if wrong := sorted(set(options) - set(_OPTIONS)):
            raise unknown("save", wrong[0], _OPTIONS)
        path = Path(path)
        if path.suffix.lower() == ".png" and self.dtype != np.uint16:
            from fractalkit.raster.png import save_png

            save_png(path, self.eight_bit(), self.text)
            return
        from fractalkit.data.pictures import SUFFIXES, write_picture

        if self.code is not None and path.suffix.lower() not in SUFFIXES:
            self.code.save(path)
            return
        write_picture(path, self.whole_numbers(), **options)

    def _repr_png_(self) -> bytes | None:
        if self.ndim not in (2, 3) or (self.ndim == 3 and self.shape[2] not in CHANNELS) or 0 in self.shape:
            return None  # a row, or a part of another shape
        buffer = io.BytesIO()
        self.pil.save(buffer, "PNG")
        return buffer.getvalue()


def as_picture(source: Any) -> Picture:
    """A picture from whatever holds one.

    Args:
        source: a path, the bytes of a file, a file open for reading, a Pillow image, an array ``[H, W]``,
            ``[H, W, C]`` or ``[C, H, W]``, or a tensor of these shapes or ``[1, C, H, W]``; truth values, integers of
            8 or 16 bits, or finite floating point in [0, 1]. Where both orders of a shape are possible, arrays are
            read as ``[H, W, C]`` and tensors as ``[C, H, W]``.

    Raises:
        DataError: a file that cannot be read as a picture.
        UsageError: another type or shape, or values out of range.
    """
    if isinstance(source, Picture):
        return source
    source = contents(source)
    if isinstance(source, bytes | str | Path):
        from fractalkit.data.pictures import read_picture

        return Picture(read_picture(Path(source) if isinstance(source, str) else source).samples)
    if hasattr(source, "getbands"):  # a Pillow image; Pillow need not be imported to know one
        if source.mode not in ("L", "RGB", "RGBA", "I;16"):
            source = source.convert("RGBA" if source.has_transparency_data else "RGB")
        return Picture(np.asarray(source))
    return Picture(np.ascontiguousarray(_in_range(_array(source))))


def _array(source: Any) -> npt.NDArray[Any]:
    """The array ``[H, W]`` or ``[H, W, C]`` of a tensor or an array."""
    first = hasattr(source, "detach")  # a tensor
    if first:
        try:
            source = source.detach().cpu()
            a = (source.float() if source.is_floating_point() else source).numpy()
        except (NotImplementedError, TypeError, RuntimeError):  # of the device meta, or sparse
            raise UsageError("picture: expected a dense tensor that holds its values") from None
        if a.ndim == 4 and len(a) == 1:
            a = a[0]
    elif isinstance(source, np.ndarray):
        a = source
    else:
        raise UsageError(f"picture: expected a path, a Pillow image, an array or a tensor, got {type(source).__name__}")
    if a.dtype.kind not in "biuf":
        raise UsageError(f"picture: expected numbers, got an array of {a.dtype}")
    if a.ndim == 3 and (a.shape[0] in CHANNELS and (first or a.shape[2] not in CHANNELS)):
        a = a.transpose(1, 2, 0)
    return a


def _in_range(a: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Samples of another type as bytes, 16 bits or float32.

    Raises:
        UsageError: values that are not finite, or far out of range.
    """
    kind = a.dtype.kind
    if kind == "b":
        return a.astype(np.uint8) * np.uint8(255)
    low, high = (a.min(), a.max()) if a.size else (0, 0)
    if kind in "iu" and a.dtype not in _TOP:
        if not 0 <= low <= high <= 65535:
            raise UsageError(f"picture: expected whole numbers of 0 to 255 or 65535, got {low} to {high}")
        return a.astype(np.uint8 if high <= 255 else np.uint16)
    if kind == "f":
        if not math.isfinite(float(low) + float(high)):
            raise UsageError("picture: holds numbers that are not finite")
        if not -0.5 <= low <= high <= 1.5:  # a little beyond is clipped
            raise UsageError(
                f"picture: expected floating point in [0, 1], got {low:.4g} to {high:.4g}; scale it, or give uint8"
            )
        return a.astype(np.float32) if a.dtype != np.float64 else a
    return a


def psnr(a: Any, b: Any) -> float:
    """Peak signal-to-noise ratio of two pictures of one size, as :func:`as_picture` takes them, in decibels.

    Raises:
        UsageError: another size or number of channels.

    >>> round(psnr(np.zeros((2, 2), np.uint8), np.full((2, 2), 16, np.uint8)), 2)
    24.05
    """
    x, y = (p.numpy() / np.float64(_TOP.get(p.dtype, 1)) for p in (as_picture(a), as_picture(b)))
    if x.shape != y.shape:
        raise UsageError(f"psnr: expected pictures of one size, got {list(x.shape)} and {list(y.shape)}")
    error = float(np.mean((x - y) ** 2))
    return 10 * math.log10(1 / error) if error else math.inf


def sheet(pictures: Any, columns: int | None = None) -> Picture:
    """Pictures side by side, row by row.

    Args:
        pictures: several of one size: a tensor ``[B, C, H, W]``, or a sequence of what :func:`as_picture` takes.
        columns: in a row; None: for a sheet as square as possible.

    Raises:
        UsageError: none, or of different sizes.
    """
    each = [as_picture(p) for p in pictures]
    if not each or len({(p.shape, p.dtype) for p in each}) > 1:
        raise UsageError("sheet: expected one picture or more, all of one size and type")
    columns = columns or math.ceil(math.sqrt(len(each)))
    blank = Picture(np.zeros_like(each[0].numpy()))
    rows = [each[k : k + columns] for k in range(0, len(each), columns)]
    rows[-1] += [blank] * (columns - len(rows[-1]))
    return Picture(np.concatenate([np.concatenate([p.numpy() for p in row], axis=1) for row in rows]))

"""PNG files that carry text: the code, the command and the seed that made the picture."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fractalkit.errors import DataError, UsageError, naming
from fractalkit.files import atomic_path

if TYPE_CHECKING:
    import numpy.typing as npt

# keys of the texts that FractalKit writes
CODE_KEY, FLAME_KEY = "fractalkit:code", "fractalkit:flame"
SEED_KEY, COMMAND_KEY = "fractalkit:seed", "fractalkit:command"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT_BYTES = 32 << 20  # of one text, unpacked; the largest code that may be loaded is 16 MiB
MAX_TEXTS = 64
_MAX_CHUNKS = 1 << 20


def save_png(path: str | Path, image: npt.ArrayLike, text: Mapping[str, str] | None = None) -> None:
    """Write uint8 ``[H, W, 3]``, ``[H, W, 4]`` or ``[H, W]``, and texts as compressed iTXt chunks (any Unicode).

    The file appears whole or not at all. Keys are 1 to 79 Latin-1 characters, as the PNG specification asks.

    Raises:
        UsageError: an array of another shape or type, or a bad key.
        DataError: the file cannot be written.
    """
    import numpy as np
    from PIL import Image, PngImagePlugin

    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise UsageError(f"image: expected uint8 [H, W], [H, W, 3] or [H, W, 4], got {array.dtype} {list(array.shape)}")
    if 0 in array.shape:
        raise UsageError(f"image: has no pixels, its shape is {list(array.shape)}")
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        check_key(key)
        info.add_itxt(key, value, zip=True)
    with atomic_path(path) as temporary:
        Image.fromarray(np.ascontiguousarray(array)).save(temporary, format="PNG", pnginfo=info, optimize=True)


def read_png_text(path: str | Path) -> dict[str, str]:
    """The texts of a PNG file, key to value, in file order; pixels are neither decoded nor checked.

    Raises:
        DataError: not a PNG, cut short, a checksum that does not match, or texts beyond :data:`MAX_TEXT_BYTES`.
    """
    with naming(path), Path(path).open("rb") as file:
        return _texts(file)


def _texts(file: BinaryIO) -> dict[str, str]:
    if file.read(8) != SIGNATURE:
        raise DataError("not a PNG file")
    size = file.seek(0, 2)
    file.seek(8)
    out: dict[str, str] = {}
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            raise DataError("cut short, the PNG has no end")
        length, kind = struct.unpack(">I4s", head)
        if length > size - file.tell() - 4:
            raise DataError(f"cut short inside a {kind.decode('latin-1')!r} chunk")
        if kind == b"IEND":
            return out
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            file.seek(length + 4, 1)
            continue
        if length > MAX_TEXT_BYTES or len(out) >= MAX_TEXTS:
            raise DataError("more text than a picture of ours holds")
        data = file.read(length)
        if zlib.crc32(data, zlib.crc32(kind)) != struct.unpack(">I", file.read(4))[0]:
            raise DataError("a text chunk is damaged, its checksum does not match")
        key, value = _text(kind, data)
        out[key] = value
    raise DataError("more chunks than a picture of ours holds")


def _text(kind: bytes, data: bytes) -> tuple[str, str]:
    key, mark, rest = data.partition(b"\0")
    if not mark:
        raise DataError("a text chunk without a key")
    try:
        if kind == b"tEXt":
            return key.decode("latin-1"), rest.decode("latin-1")
        if kind == b"zTXt":
            return key.decode("latin-1"), _unpack(rest[1:]).decode("latin-1")
        packed, rest = rest[:1] == b"\1", rest[2:]
        _language, _, rest = rest.partition(b"\0")
        _translated, _, rest = rest.partition(b"\0")
        return key.decode("latin-1"), (_unpack(rest) if packed else rest).decode("utf-8")
    except (UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"the text {key.decode('latin-1')!r} is damaged ({error})") from error


def _unpack(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    out = stream.decompress(data, MAX_TEXT_BYTES)
    if stream.unconsumed_tail:
        raise DataError(f"a text unpacks to more than {MAX_TEXT_BYTES >> 20} MiB")
    if not stream.eof:
        raise DataError("a text is cut short")
    return out


def check_key(key: str) -> None:
    """Raise a UsageError for what cannot be the key of a PNG text."""
    if not 1 <= len(key) <= 79 or key != key.strip() or not key.isprintable() or max(key) > "\xff":
        raise UsageError(f"text: {key!r} is no key for a PNG text (1 to 79 Latin-1 characters)")

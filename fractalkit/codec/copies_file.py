"""Files of pictures made of copies: a palette, if any, and one entropy-coded segment a strip.

The settings are:

    u8  flags          1: there is a palette; 2: pixels copy earlier ones (without, only their neighbours);
                       4: copies may be all but certain
    u16 colours - 1    of the palette, then the index of its background and its colours, range coded; or
    u16 x channels     the background colour
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from fractalkit.codec import container
from fractalkit.codec import copies_syntax as syntax
from fractalkit.codec.entropy import DECODE, ENCODE, coder, finish, models, raw
from fractalkit.codes.copies import CopyCode, CopyStrip, strip_rows
from fractalkit.errors import DataError

MAX_COLOURS = 256


@dataclass(frozen=True, eq=False)
class Colours:
    """What the symbols of a picture mean.

    Attributes:
        palette: ``[n, C]`` int64, sorted; None if symbols are packed channels.
        background: the most frequent symbol.
        channels, depth: of the picture.
        copies: whether pixels copy earlier ones.
        certain: whether a right copy may cost less than 5 10^-4 bits; not in files of version 1.
    """

    palette: np.ndarray | None
    background: int
    channels: int
    depth: int
    copies: bool = True
    certain: bool = True

    @property
    def count(self) -> int:
        """Size of the palette, or 0."""
        return 0 if self.palette is None else len(self.palette)

    def samples(self, symbols: np.ndarray) -> np.ndarray:
        """Sample values ``[..., C]`` int32 of symbols."""
        if self.palette is not None:
            return self.palette.astype(np.int32)[symbols]
        return np.stack([(symbols >> (16 * c)) & 0xFFFF for c in range(self.channels)], -1).astype(np.int32)


@dataclass(frozen=True, eq=False)
class CodedStrips(Sequence[CopyStrip]):
    """The strips of a picture, decoded on demand from their segments.

    Attributes:
        height, width: of the picture.
        colours: what symbols mean.
        segments: one a strip.
        name: of the file, for messages.
        partial: rows that truncated segments lack are background.
    """

    height: int
    width: int
    colours: Colours
    segments: tuple[bytes, ...]
    name: str = ".fk data"
    partial: bool = False

    def __len__(self) -> int:
        return len(self.segments)

    @overload
    def __getitem__(self, strip: int) -> CopyStrip: ...
    @overload
    def __getitem__(self, strip: slice) -> Sequence[CopyStrip]: ...
    def __getitem__(self, strip: int | slice) -> CopyStrip | Sequence[CopyStrip]:
        if isinstance(strip, slice):
            return [self[i] for i in range(*strip.indices(len(self)))]
        y0, y1 = strip_rows(self.height, self.width)[strip]
        symbols, source, whole = read_strip(self.segments[strip], y1 - y0, self.width, self.colours)
        if whole < y1 - y0:
            if not self.partial:
                raise DataError(f"{self.name}: damaged (strip {strip % len(self) + 1} ends early); fetch it again")
            symbols[whole:], source[whole:] = self.colours.background, -1
        samples = self.colours.samples(symbols)
        copied = samples.reshape(-1, samples.shape[2])[np.maximum(source, 0)]
        return CopyStrip(source, samples - np.where(source[..., None] >= 0, copied, 0))


def _models(pixels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return models(1 << syntax.context_bits(pixels), syntax.SETS)


def _depth(colours: Colours) -> int:
    return colours.depth if colours.palette is None else max(1, (colours.count - 1).bit_length())


def write_strip(symbols: np.ndarray, colours: Colours) -> bytes:
    """The segment of a strip's symbols ``[H, W]`` int64."""
    room = 1024 + symbols.size
    while True:
        state, data = coder(ENCODE, np.zeros(room, np.uint8))
        source = np.zeros(symbols.shape, np.int32)
        syntax.code_strip(
            state, data, *_models(symbols.size), symbols.copy(), source, colours.background, colours.count,
            colours.channels, _depth(colours), colours.copies, int(colours.certain),
        )  # fmt: skip
        n = finish(state, data)
        if n >= 0:
            return data[:n].tobytes()
        room *= 4


def read_strip(segment: bytes, height: int, width: int, colours: Colours) -> tuple[np.ndarray, np.ndarray, int]:
    """Symbols ``[H, W]`` int64 and sources ``[H, W]`` int32 of a strip, and how many rows are whole."""
    state, data = coder(DECODE, np.frombuffer(segment, np.uint8).copy())  # compiled code needs it writable
    symbols, source = np.zeros((height, width), np.int64), np.full((height, width), -1, np.int32)
    whole = syntax.code_strip(
        state, data, *_models(symbols.size), symbols, source, colours.background, colours.count, colours.channels,
        _depth(colours), colours.copies, int(colours.certain),
    )  # fmt: skip
    return symbols, source, int(whole)


def pack(colours: Colours) -> bytes:
    """Settings as in the file."""
    flags = (colours.palette is not None) + 2 * colours.copies + 4 * colours.certain
    if colours.palette is None:
        background = [(colours.background >> (16 * c)) & 0xFFFF for c in range(colours.channels)]
        return struct.pack(f"<B{colours.channels}H", flags, *background)
    room = 64 + 16 * colours.palette.size
    state, data = coder(ENCODE, np.zeros(room, np.uint8))
    _code_palette(state, data, colours.palette.copy(), colours.depth, colours.background)
    return struct.pack("<BH", flags, colours.count - 1) + data[: finish(state, data)].tobytes()


def unpack(data: bytes, channels: int, depth: int, name: str) -> Colours:
    """Colours from the bytes of :func:`pack`; a DataError if they are damaged."""
    bad = DataError(f"{name}: settings out of range; the file is damaged")
    if not data or data[0] > 7:
        raise bad
    copies, certain = bool(data[0] & 2), bool(data[0] & 4)
    if not data[0] & 1:
        if len(data) != 1 + 2 * channels:
            raise bad
        values = struct.unpack_from(f"<{channels}H", data, 1)
        if max(values) >> depth:
            raise bad
        packed = sum(v << (16 * c) for c, v in enumerate(values))
        return Colours(None, int(np.uint64(packed).astype(np.int64)), channels, depth, copies, certain)
    if len(data) < 3 or struct.unpack_from("<H", data, 1)[0] >= MAX_COLOURS:
        raise bad
    palette = np.zeros((struct.unpack_from("<H", data, 1)[0] + 1, channels), np.int64)
    state, body = coder(DECODE, np.frombuffer(data, np.uint8)[3:].copy())
    background = _code_palette(state, body, palette, depth, 0)
    return Colours(palette, min(background, len(palette) - 1), channels, depth, copies, certain)


def _code_palette(state: np.ndarray, data: np.ndarray, palette: np.ndarray, depth: int, background: int) -> int:
    """Code a palette in place, and the background's index, which is returned.

    Colours are sorted. The first channel is coded by its increase, the others by their difference from it.
    """
    learned = models(1 << 14, syntax.SETS)
    ctx, base = np.zeros(6, np.int64), np.zeros(6, np.int64)
    top, before = (1 << depth) - 1, 0
    background = raw(state, data, max(1, (len(palette) - 1).bit_length()), background)
    for i in range(len(palette)):
        for c in range(palette.shape[1]):
            guess = before if c == 0 else int(palette[i, 0]) if c < 3 else top
            base[:] = 1000 + 8 * c + (0 if c < 2 else 4 * int(palette[i, 1] == palette[i, 0]))
            base[1:] += np.arange(5) * 64
            d = syntax.code_difference(
                state, data, *learned, ctx, base, c, len(learned[0]) - 1, int(palette[i, c]) - guess
            )
            palette[i, c] = min(top, max(0, guess + d))
        before = int(palette[i, 0])
    return int(background)


def to_bytes(code: CopyCode) -> bytes:
    """The ``.fk`` file of a code; segments that were read from a file are written unchanged.

    Raises:
        DataError: the code was made by hand, so that its sources need not be those that a decoder would find.
    """
    if not isinstance(code.strips, CodedStrips):
        raise DataError("copies: only codes of fractalkit.fit.encode_copies, or of files, can be written")
    header = container.Header(
        "lossless", code.height, code.width, code.channels, code.depth, pack(code.strips.colours), code.metadata,
        version=3 if code.strips.colours.certain else 1,
    )  # fmt: skip
    return container.write(header, list(code.strips.segments))


def from_bytes(
    data: bytes, name: str = ".fk data", *, max_pixels: int = container.MAX_PIXELS, partial: bool = False
) -> CopyCode:
    """The code of a ``.fk`` file; ``partial`` accepts a truncated one.

    Raises:
        DataError: damaged, truncated, of another codec, or larger than ``max_pixels``; it begins with ``name``.
    """
    header, segments = container.read(data, name, max_pixels=max_pixels, partial=partial)
    if header.codec != "lossless":
        raise DataError(f"{name}: coded by {header.codec!r}, not without loss")
    colours = unpack(header.settings, header.channels, header.depth, name)
    if len(segments) != len(strip_rows(header.height, header.width)):
        raise DataError(f"{name}: {len(segments)} segments do not fit its strips; the file is damaged")
    strips = CodedStrips(header.height, header.width, colours, tuple(segments), name, partial)
    return CopyCode(header.height, header.width, header.channels, header.depth, strips, colours.count, header.metadata)


def load(path: str | Path, **options: object) -> CopyCode:
    """The code of a ``.fk`` file."""
    return from_bytes(container.read_file(path), str(path), **options)  # type: ignore[arg-type]

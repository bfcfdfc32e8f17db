"""The container format: round trips, and errors for anything else."""

import io
import zlib
from dataclasses import replace

import pytest

from fractalkit.codec.container import MAGIC, MAX_METADATA, Header, _metadata, read, read_header, write
from fractalkit.errors import DataError

HEADER = Header("quadtree", 300, 200, 3, 8, b"settings", {"icc": b"profile" * 40, "exif": b"Exif"})
SEGMENTS = [b"one", b"", b"three" * 100]


def test_round_trip():
    data = write(HEADER, SEGMENTS)
    header, segments = read(data)
    assert segments == SEGMENTS and header.metadata == HEADER.metadata and header.settings == b"settings"
    assert (header.height, header.width, header.channels, header.depth) == (300, 200, 3, 8)
    assert read_header(io.BytesIO(data)).segments == header.segments


def test_every_flipped_bit_is_noticed():
    data = write(HEADER, SEGMENTS)
    for i in range(len(data) * 8):
        b = bytearray(data)
        b[i // 8] ^= 1 << i % 8
        with pytest.raises(DataError, match=r"^x\.fk: "):
            read(bytes(b), "x.fk")


def test_every_cut_is_noticed_and_partial_takes_those_behind_the_header():
    data = write(HEADER, SEGMENTS)
    start = len(data) - sum(map(len, SEGMENTS))
    for n in range(len(data)):
        with pytest.raises(DataError):
            read(data[:n], "x.fk")
        if n < start:
            with pytest.raises(DataError):
                read(data[:n], "x.fk", partial=True)
        else:
            assert b"".join(read(data[:n], "x.fk", partial=True)[1]) == data[start:n]


def test_what_stands_behind_the_end_is_an_error():
    with pytest.raises(DataError, match="1 bytes too many"):
        read(write(HEADER, SEGMENTS) + b"x")


@pytest.mark.parametrize("channels", range(6))
@pytest.mark.parametrize("depth", [1, 7, 8, 9, 16])
def test_one_pixel_is_a_picture_and_none_is_not(channels, depth):
    one = replace(HEADER, height=1, width=1, channels=channels, depth=depth)
    if channels in (1, 3, 4) and depth in (8, 16):
        header, _ = read(write(one, SEGMENTS))
        assert (header.height, header.width, header.channels, header.depth) == (1, 1, channels, depth)
        for flat in (replace(one, height=0), replace(one, width=0)):
            with pytest.raises(DataError, match="no picture"):
                read(write(flat, SEGMENTS))
    else:
        with pytest.raises(DataError):
            read(write(one, SEGMENTS))


def test_metadata_that_ends_early_or_swells_is_damaged():
    packed = zlib.compress(b"\x03icc\x04same")
    assert _metadata(packed, "x.fk") == {"icc": b"same"}
    for bad in (packed[:-1], packed[:-5], zlib.compress(bytes(MAX_METADATA + 1)), packed[:4], b"\x00"):
        with pytest.raises(DataError, match=r"^x\.fk: damaged metadata"):
            _metadata(bad, "x.fk")


def test_limits():
    data = write(HEADER, SEGMENTS)
    with pytest.raises(DataError, match="--max-pixels"):
        read(data, max_pixels=59_999)
    read(data, max_pixels=60_000)
    with pytest.raises(DataError, match="its first bytes"):
        read(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match="empty"):
        read(b"")
    with pytest.raises(DataError, match="version 9"):
        read(MAGIC + bytes([9]) + data[5:])

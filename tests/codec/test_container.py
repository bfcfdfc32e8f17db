"""The container: what is written is read, and nothing else is."""

import io

import pytest

from fractalkit.codec.container import MAGIC, Header, read, read_header, write
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

"""Pictures without loss: bytes and back, damaged files, and what copies are worth."""

import struct

import numpy as np
import pytest

from fractalkit import fk
from fractalkit.codec import container
from fractalkit.codec import copies_file as files
from fractalkit.codes import copies as codes
from fractalkit.codes.copies import CopyCode, CopyStrip, strip_rows
from fractalkit.core import fixed_point
from fractalkit.errors import DataError, UsageError
from fractalkit.fit.copies import encode_copies
from fractalkit.maps.convert import to_map
from tests.pictures import scene

# files as the first version of this codec wrote them
STRIPES = "8f464b0a0105181e010806030100422382000110368c3c7c4d42b669b0814babf35d30c03e539d03195cf80f"
COLOURS = "8f464b0a01050808030807020000000000000001187603212377b1badde9b20e2cc99aefab150f83edd121b984959c530745c05332"


def glyphs(height: int = 96, width: int = 120, kinds: int = 6, seed: int = 0) -> np.ndarray:
    """A grey page on which a few glyphs of 8 x 6 pixels stand in random order."""
    rng = np.random.default_rng(seed)
    alphabet = np.where(rng.random((kinds, 8, 6)) < 0.4, rng.integers(0, 200, (kinds, 8, 6)), 255)
    page = np.full((height, width), 255, np.uint8)
    for y in range(4, height - 8, 11):
        for x in range(4, width - 6, 7):
            page[y : y + 8, x : x + 6] = alphabet[rng.integers(kinds)]
    return page


PICTURES = {
    "grey": lambda: scene(33, 47, 1),
    "rgb": lambda: scene(40, 31, 3),
    "rgba": lambda: scene(20, 30, 4),
    "deep grey": lambda: scene(21, 18, 1, deep=True),
    "deep rgba": lambda: scene(17, 23, 4, deep=True),
    "page": glyphs,
    "coloured page": lambda: np.stack([glyphs(), glyphs() // 2, 255 - glyphs()], -1),
    "two colours": lambda: np.where(scene(30, 50, 1) > 120, 255, 0).astype(np.uint8),
    "one colour": lambda: np.full((9, 11, 3), 77, np.uint8),
    "white deep rgba": lambda: np.full((5, 4, 4), 65535, np.uint16),
    "one pixel": lambda: np.array([[200]], np.uint8),
    "one row": lambda: scene(1, 70, 3),
    "one column": lambda: scene(70, 1, 1),
    "few deep rgba": lambda: np.random.default_rng(0).choice(np.array([0, 9, 65535], np.uint16), (12, 14, 4)),
}


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_comes_back(name, copies):
    a = PICTURES[name]()
    data = encode_copies(a, copies=copies, metadata={"icc": b"profile"}).to_bytes()
    code = fk.load(data)
    assert isinstance(code, CopyCode) and code.metadata == {"icc": b"profile"}
    made = fk.decode(code)
    assert made.dtype == a.dtype and np.array_equal(made, a)
    assert code.to_bytes() == data


def test_strips_are_coded_one_by_one(monkeypatch):
    a = scene(50, 40, 3)
    monkeypatch.setattr(codes, "STRIP", 600)
    data = encode_copies(a).to_bytes()
    code = fk.load(data)
    assert len(code.strips) == len(strip_rows(50, 40)) == 4
    assert np.array_equal(fk.decode(code), a)
    assert np.array_equal(fk.decode(code, window=(7, 9, 33, 41)), a[9:41, 7:33])


def test_other_sizes():
    page = glyphs()
    code = encode_copies(page)
    assert np.array_equal(fk.decode(code, 288, 360), page.repeat(3, 0).repeat(3, 1))  # few colours: squares
    half = fk.decode(code, 48, 60).astype(float)
    assert np.abs(half - page.reshape(48, 2, 60, 2).mean((1, 3))).max() <= 0.5
    a = scene(30, 40)
    big = fk.decode(encode_copies(a), 60, 80).astype(float)
    assert np.abs(big.reshape(30, 2, 40, 2, 3).mean((1, 3)) - a).mean() < 8  # many colours: interpolated
    with pytest.raises(UsageError, match="GiB"):
        fk.decode(code, 60_000, 60_000)


def test_the_code_is_what_its_map_says():
    a = glyphs()
    strip = encode_copies(a).strips[0]
    assert (strip.source[0, 0] == -1) and (strip.source.reshape(-1)[1:] >= 0).all()
    assert np.array_equal(fixed_point(to_map(strip))[0].numpy(), a)
    with pytest.raises(UsageError, match="size"):
        to_map(strip, (5, 5))
    again = fk.load(encode_copies(a).to_bytes()).strips[0]
    assert np.array_equal(again.source, strip.source) and np.array_equal(again.difference, strip.difference)


def test_copies_pay_where_glyphs_repeat():
    a = glyphs(200, 200)
    with_, without = (len(encode_copies(a, copies=c).to_bytes()) for c in (True, False))
    assert with_ < 0.6 * without
    noise = np.random.default_rng(1).integers(0, 256, (64, 64)).astype(np.uint8)
    tiled = np.tile(noise, (3, 3))
    assert len(encode_copies(tiled).to_bytes()) < 1.15 * noise.size


def test_a_code_by_hand_must_copy_earlier_pixels():
    difference = np.zeros((2, 3, 1), np.int32)
    for bad in (0, 5, -2):
        source = np.full((2, 3), -1, np.int32)
        source[0, 0] = bad
        with pytest.raises(DataError, match="earlier"):
            CopyStrip(source, difference)
    strip = CopyStrip(np.full((2, 3), -1, np.int32), difference)
    with pytest.raises(DataError, match="can be written"):
        CopyCode(2, 3, 1, 8, [strip]).to_bytes()
    with pytest.raises(DataError, match="strips"):
        CopyCode(2, 3, 1, 8, [strip, strip])


def test_summary():
    facts = encode_copies(glyphs()).summary()
    assert facts["copied pixels"] > 0.99 and facts["exact copies"] > 0.8


def repaired(header: container.Header, segments: list[bytes]) -> bytes:
    return container.write(header, segments)


def test_truncated_files():
    a = np.concatenate([glyphs(), scene(96, 120, 1)])
    data = encode_copies(a).to_bytes()
    cut = data[: len(data) * 2 // 3]
    with pytest.raises(DataError, match="cut off"):
        fk.load(cut)
    made = fk.decode(fk.load(cut, partial=True))
    right = int((made == a).all(1).argmin())
    assert right > 60 and np.array_equal(made[:right], a[:right])
    # the segment itself is short, although its checksum is right
    header, (segment,) = container.read(data)
    short = repaired(header, [segment[: len(segment) // 2]])
    with pytest.raises(DataError, match="ends early"):
        fk.decode(fk.load(short))


@pytest.mark.parametrize(
    "settings", [b"", b"\x04", b"\x00\x01", b"\x01\x00", b"\x01" + struct.pack("<H", 256), b"\x02\xff\xff"]
)
def test_settings_out_of_range(settings):
    header, segments = container.read(encode_copies(scene(8, 8, 1)).to_bytes())
    bad = container.Header("lossless", 8, 8, 1, 8, settings)
    with pytest.raises(DataError, match="settings"):
        fk.load(repaired(bad, segments))
    with pytest.raises(DataError, match="segments"):
        fk.load(repaired(header, segments * 2))


def test_any_bytes_give_a_picture_or_one_error():
    rng = np.random.default_rng(2)
    for n in range(60):
        a = glyphs(24, 30, seed=n) if n % 2 else scene(24, 30, 3, seed=n)
        header, (segment,) = container.read(encode_copies(a).to_bytes())
        body = np.frombuffer(segment, np.uint8).copy()
        body[rng.integers(len(body), size=3)] = rng.integers(0, 256, 3)
        try:
            made = fk.decode(fk.load(repaired(header, [body.tobytes()])))
        except DataError as error:
            assert "ends early" in str(error)
            continue
        assert made.shape == a.shape and made.dtype == a.dtype


def test_other_methods_options_are_refused():
    with pytest.raises(UsageError, match="quality"):
        fk.encode(glyphs(), method="lossless", quality=50)


def test_files_of_other_codecs_are_refused():
    data = fk.encode(scene(16, 16)).to_bytes()
    with pytest.raises(DataError, match="quadtree"):
        files.from_bytes(data)


def test_files_of_earlier_versions_open():
    y, x = np.indices((24, 30))
    stripes = np.where((y * x) % 7 < 3, 255, 0).astype(np.uint8)
    colours = np.stack([x * 5 + y, y * 9, x * y], -1)[:8, :8].astype(np.uint8)
    for text, a in ((STRIPES, stripes), (COLOURS, colours)):
        assert np.array_equal(fk.decode(fk.load(bytes.fromhex(text))), a)
        assert fk.load(bytes.fromhex(text)).to_bytes().hex() == text.replace(" ", "")
        assert encode_copies(a).to_bytes()[4] == 3  # older readers say that they are too old


def test_self_similar_pictures_cost_next_to_nothing():
    """Where nearly every pixel is right, it costs less than the 5 10^-4 bits of the first version."""
    cross = np.ones((1, 1), bool)
    for _ in range(6):
        empty = np.zeros_like(cross)
        cross = np.block([[empty, cross, empty], [cross, cross, cross], [empty, cross, empty]])
    a = np.where(cross, 255, 0).astype(np.uint8)
    data = encode_copies(a).to_bytes()
    assert len(data) < 320  # 303; 409 before
    assert np.array_equal(fk.decode(fk.load(data)), a)

"""Quadtree codes: bytes and back, prefixes. Damage is tested in tests/hardening."""

from dataclasses import replace

import numpy as np
import pytest

from fractalkit.codec import container
from fractalkit.codec.quadtree_file import pack, unpack
from fractalkit.codes.quadtree import QuadtreeCode, Settings, tiles
from fractalkit.errors import DataError, UsageError
from fractalkit.fit import quadtree as fit
from fractalkit.fit.quadtree import encode
from fractalkit.maps.quadtree_picture import decode
from tests.pictures import psnr, scene


def planes_equal(a, b):
    return all(
        (x.level == y.level).all() and (x.logs == y.logs).all() and (x.maps == y.maps).all()
        for i in range(len(a.tiles))
        for x, y in zip(a.planes(i), b.planes(i), strict=True)
    )


def test_bytes_and_back_with_metadata():
    code = encode(scene(70, 90), quality=55, metadata={"icc": b"p" * 99, "exif": b"Exif\0\0"})
    back = QuadtreeCode.from_bytes(code.to_bytes())
    assert back == code and planes_equal(back, code)
    assert back.metadata == {"icc": b"p" * 99, "exif": b"Exif\0\0"}
    assert back.to_bytes() == code.to_bytes()


def test_settings_round_trip():
    s = Settings(700, False, 4, 6, 3, 3, (1, -2, 3, -60, 5, 120), 512, (True, True), True)
    assert unpack(pack(s), "x") == s
    with pytest.raises(DataError):
        unpack(pack(s)[:-1], "x")


def test_a_prefix_shows_a_coarser_picture():
    a = scene(128, 160)
    data = encode(a, quality=55, effort=6).to_bytes()
    whole = psnr(a, decode(QuadtreeCode.from_bytes(data)))
    quality = []
    for share in (0.3, 0.55, 0.8, 0.95):
        part = QuadtreeCode.from_bytes(data[: int(share * len(data))], partial=True)
        quality.append(psnr(a, decode(part)))
    assert quality == sorted(quality) and 12 < quality[0] < quality[-1] < whole
    with pytest.raises(DataError, match="--partial"):
        QuadtreeCode.from_bytes(data[:-1])


def test_summary_counts_every_leaf():
    code = encode(scene(64, 64, 1), quality=50)
    facts = code.summary()
    area = sum(int(side) ** 2 * n for side, n in facts["leaves"].items())
    assert area == 64 * 64 and sum(facts["kinds"].values()) == sum(facts["leaves"].values())
    assert sum(facts["bytes by part"].values()) == sum(map(len, code.tile_planes.segments))


@pytest.mark.parametrize(("h", "w", "side"), [(1, 1, 1024), (1100, 30, 1024), (2049, 1025, 1024), (64, 64, 64)])
def test_tiles_cover_the_picture_once(h, w, side):
    seen = np.zeros((h, w), int)
    for t in tiles(h, w, side):
        seen[t.y : t.y + t.height, t.x : t.x + t.width] += 1
        assert t.height <= side and t.width <= side and t.y % 64 == t.x % 64 == 0
    assert (seen == 1).all()
    with pytest.raises(UsageError):
        tiles(0, 4, 64)


def test_another_codec_is_named():
    code = encode(scene(8, 8, 1))
    h = container.Header("coin", 8, 8, 1, 8, pack(code.settings))
    with pytest.raises(DataError, match="coded by 'coin'"):
        QuadtreeCode.from_bytes(container.write(h, list(code.tile_planes.segments)))


def test_a_code_of_planes_is_written_as_the_file_that_it_was_read_from():
    data = encode(scene(70, 90), quality=40).to_bytes()
    code = QuadtreeCode.from_bytes(data)
    plain = replace(code, tile_planes=[code.planes(i) for i in range(len(code.tiles))])
    assert plain.to_bytes() == data
    assert (decode(plain) == decode(code)).all()
    with pytest.raises(DataError, match="planes of 0 tiles, expected 1"):
        replace(code, tile_planes=[])


def test_tiles_are_decoded_on_demand(monkeypatch):
    import fractalkit.codec.quadtree_file as files

    monkeypatch.setattr(fit, "Settings", lambda *v, **k: replace(Settings(*v, **k), tile=64))
    code = QuadtreeCode.from_bytes(encode(scene(130, 70), quality=40, effort=1).to_bytes())
    assert len(code.tiles) > 3
    read = []
    original = files.read_planes
    monkeypatch.setattr(files, "read_planes", lambda *a: read.append(a[2]) or original(*a))
    decode(code, window=(0, 0, 5, 5))
    assert read == code.tiles[:1]

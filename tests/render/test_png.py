"""PNG text: round trips and malicious files."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from fractalkit.errors import DataError, UsageError
from fractalkit.raster import png
from fractalkit.raster.png import read_png_text, save_png

PICTURE = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_round_trip(tmp_path: Path) -> None:
    from PIL import Image

    text = {"code": '{"maps": [1, 2]}\n' * 1000, "title": "Фрактал ✓", "empty": ""}
    save_png(tmp_path / "a.png", PICTURE, text)
    assert read_png_text(tmp_path / "a.png") == text
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), PICTURE)
    assert (tmp_path / "a.png").stat().st_size < 2000
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_other_text_chunks(tmp_path: Path) -> None:
    body = png.SIGNATURE + chunk(b"tEXt", b"a\0plain") + chunk(b"zTXt", b"b\0\0" + zlib.compress(b"packed"))
    (tmp_path / "a.png").write_bytes(body + chunk(b"IEND", b""))
    assert read_png_text(tmp_path / "a.png") == {"a": "plain", "b": "packed"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"GIF89a", "not a PNG"),
        (png.SIGNATURE, "cut short"),
        (png.SIGNATURE + struct.pack(">I4s", 0xFFFFFFFF, b"tEXt") + b"a\0b", "cut short"),
        (png.SIGNATURE + chunk(b"tEXt", b"a\0b")[:-1] + b"!" + chunk(b"IEND", b""), "checksum"),
        (png.SIGNATURE + chunk(b"tEXt", b"no key") + chunk(b"IEND", b""), "without a key"),
        (png.SIGNATURE + chunk(b"zTXt", b"a\0\0not zlib") + chunk(b"IEND", b""), "damaged"),
        (png.SIGNATURE + chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 99)[:-6]) + chunk(b"IEND", b""), "cut short"),
        (png.SIGNATURE + chunk(b"iTXt", b"a\0\0\0\0\0\xff\xfe") + chunk(b"IEND", b""), "damaged"),
        (png.SIGNATURE + chunk(b"tEXt", b"a\0b") * 1, "no end"),
        (png.SIGNATURE + b"".join(chunk(b"tEXt", b"%d\0b" % i) for i in range(80)), "more text"),
    ],
)
def test_hostile(tmp_path: Path, body: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(body)
    with pytest.raises(DataError, match=words) as caught:
        read_png_text(tmp_path / "a.png")
    assert "a.png" in str(caught.value)


def test_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "MAX_TEXT_BYTES", 1000)
    body = png.SIGNATURE + chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 100_000)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(body)
    with pytest.raises(DataError, match="unpacks to more"):
        read_png_text(tmp_path / "a.png")


def test_refuses(tmp_path: Path) -> None:
    for bad in (PICTURE.astype(float), PICTURE[..., :2], PICTURE[:0], PICTURE[0, 0]):
        with pytest.raises(UsageError):
            save_png(tmp_path / "a.png", bad)
    for key in ("", "x" * 80, " a", "ключ"):
        with pytest.raises(UsageError, match="key"):
            save_png(tmp_path / "a.png", PICTURE, {key: "x"})
    with pytest.raises(DataError, match=r"none.a\.png"):
        save_png(tmp_path / "none" / "a.png", PICTURE)
    with pytest.raises(DataError, match="cannot be read"):
        read_png_text(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []

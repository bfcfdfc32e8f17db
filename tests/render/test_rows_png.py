"""PNG written row by row: round trips, and no partial file after a failure."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fractalkit.errors import DataError, UsageError
from fractalkit.files import atomic_path
from fractalkit.raster.png import read_png_text
from fractalkit.render import rows_png
from fractalkit.render.rows_png import PngRows


@pytest.mark.parametrize("shape", [(7, 5), (300, 4000), (40, 30, 3), (1, 1)])
def test_round_trip(tmp_path: Path, shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    channels = 1 if len(shape) == 2 else 3
    with PngRows(tmp_path / "a.png", shape[1], shape[0], channels=channels, text={"seed": "5 ✓"}) as png:
        for start in range(0, shape[0], 3):
            png.write(picture[start : start + 3])
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), picture)
    assert read_png_text(tmp_path / "a.png") == {"seed": "5 ✓"}
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"older")
    row = np.zeros((1, 4), np.uint8)
    with pytest.raises(KeyboardInterrupt), PngRows(path, 4, 2) as png:
        png.write(row)
        raise KeyboardInterrupt
    with pytest.raises(UsageError, match="1 rows of 2"), PngRows(path, 4, 2) as png:
        png.write(row)
    for wrong in (np.zeros((1, 5), np.uint8), np.zeros((3, 4), np.uint8), np.zeros((1, 4), np.float32)):
        with pytest.raises(UsageError, match="do not fit"), PngRows(path, 4, 2) as png:
            png.write(wrong)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert path.read_bytes() == b"older"


def test_sizes_a_png_cannot_have(tmp_path: Path) -> None:
    for width, height in ((0, 1), (1, 1 << 31)):
        with pytest.raises(UsageError, match="pixels a side"):
            PngRows(tmp_path / "a.png", width, height)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def full(path: Path):  # type: ignore[no-untyped-def]
        with atomic_path(path) as temporary:
            temporary.unlink()
            temporary.symlink_to("/dev/full")
            yield temporary

    monkeypatch.setattr(rows_png, "atomic_path", full)
    noise = np.random.default_rng(0).integers(0, 256, (300, 4000), dtype=np.uint8)
    with pytest.raises(DataError, match="the disk is full"), PngRows(tmp_path / "a.png", 4000, 300) as png:
        png.write(noise)
    with pytest.raises(DataError, match="the disk is full"), PngRows(tmp_path / "a.png", 4, 1) as png:
        png.write(noise[:1, :4])

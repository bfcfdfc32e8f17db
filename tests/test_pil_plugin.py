"""Pillow opens and saves .fk files."""

import io

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

import fractalkit.pil_plugin  # noqa: F401
from fractalkit.fit.quadtree import encode
from fractalkit.maps.quadtree import decode
from tests.pictures import psnr, scene


@pytest.mark.parametrize(
    ("channels", "deep", "mode"), [(1, False, "L"), (3, False, "RGB"), (4, False, "RGBA"), (1, True, "I;16")]
)
def test_open_is_lazy_and_gives_the_picture(tmp_path, channels, deep, mode, monkeypatch):
    code = encode(scene(40, 60, channels, deep=deep), quality=60, metadata={"icc": b"profile"})
    path = tmp_path / "a.fk"
    path.write_bytes(code.to_bytes())
    with Image.open(path) as image:
        assert image.format == "FK" and image.mode == mode and image.size == (60, 40)
        assert image.info["icc_profile"] == b"profile"
        assert (np.asarray(image) == decode(code)).all()


def test_draft_decodes_at_the_size_asked_for(tmp_path):
    code = encode(scene(40, 60), quality=60)
    path = tmp_path / "a.fk"
    path.write_bytes(code.to_bytes())
    for size in ((240, 160), (30, 20)):
        with Image.open(path) as image:
            image.draft(None, size)
            assert image.size == size
            assert (np.asarray(image) == decode(code, size[1], size[0])).all()


def test_save(tmp_path):
    a = scene(50, 50)
    Image.fromarray(a).save(tmp_path / "a.fk", quality=70)
    with Image.open(tmp_path / "a.fk") as image:
        assert psnr(a, np.asarray(image)) > 33
    buffer = io.BytesIO()
    Image.fromarray(a).convert("P").save(buffer, "FK", bytes=900)
    assert abs(len(buffer.getvalue()) - 900) < 20


def test_damage(tmp_path):
    data = encode(scene(20, 20)).to_bytes()
    (tmp_path / "a.fk").write_bytes(data[:20])
    with pytest.raises(UnidentifiedImageError):
        Image.open(tmp_path / "a.fk")
    (tmp_path / "b.fk").write_bytes(data[:-1])
    with Image.open(tmp_path / "b.fk") as image, pytest.raises(ValueError, match="cut off"):
        image.load()

"""Pillow opens and saves .fk files."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

import fractalkit.pil_plugin  # noqa: F401
from fractalkit import fk
from fractalkit.fit.quadtree import encode
from fractalkit.maps.quadtree_picture import decode
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


def test_damage(tmp_path, monkeypatch):
    a = scene(60, 60, 1)
    for method in ("quadtree", "lossless"):
        data = fk.encode(a, method=method).to_bytes()
        (tmp_path / "a.fk").write_bytes(data[:20])
        with pytest.raises(UnidentifiedImageError):
            Image.open(tmp_path / "a.fk")
        (tmp_path / "b.fk").write_bytes(data[: len(data) * 3 // 4])
        with Image.open(tmp_path / "b.fk") as image, pytest.raises(OSError, match=r"b\.fk: cut off"):
            image.load()
        with monkeypatch.context() as patch, Image.open(tmp_path / "b.fk") as image:
            patch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
            assert np.asarray(image).shape == (60, 60) and psnr(a[:20], np.asarray(image)[:20]) > 15


def test_metadata_is_kept(tmp_path):
    icc = bytes(16) + b"RGB " + bytes(108)
    known = {"icc_profile": icc, "xmp": b"<x:xmpmeta/>", "dpi": (300.0, 150.0), "exif": b"Exif\0\0MM\0*\0\0\0\b\0\0"}
    for options in ({}, {"lossless": True}):
        Image.fromarray(scene(20, 20)).save(tmp_path / "a.fk", **known, **options)
        with Image.open(tmp_path / "a.fk") as image:
            assert {k: image.info.get(k) for k in known} == known
            image.save(tmp_path / "b.jpg")
            image.save(tmp_path / "again.fk")
        with Image.open(tmp_path / "again.fk") as image:
            assert image.info["dpi"] == (300.0, 150.0) and image.info["icc_profile"] == icc


@pytest.mark.parametrize(("mode", "space"), [("CMYK", b"CMYK"), ("RGB", b"CMYK"), ("L", b"RGB "), ("RGBA", b"GRAY")])
def test_profiles_of_another_space_are_dropped(mode, space):
    buffer = io.BytesIO()
    Image.fromarray(scene(8, 8)).convert(mode).save(buffer, "FK", icc_profile=bytes(16) + space + bytes(108))
    assert "icc_profile" not in Image.open(buffer).info


def test_modes_without_a_place_are_refused():
    wide = np.arange(16, dtype=np.int32).reshape(4, 4)
    for image in (Image.fromarray(wide.astype(np.float32)), Image.fromarray(wide - 1), Image.fromarray(wide * 10_000)):
        with pytest.raises(OSError, match=f"cannot write mode {image.mode}"):
            image.save(io.BytesIO(), "FK")
    for a, mode in ((wide, "L"), (wide * 1000, "I;16"), (wide.astype(np.uint16), "I;16")):
        buffer = io.BytesIO()
        Image.fromarray(a).save(buffer, "FK", lossless=True)
        image = Image.open(buffer)
        assert image.mode == mode and np.array_equal(np.asarray(image), a)


def test_misuse_has_clean_errors(tmp_path):
    image = Image.fromarray(scene(16, 16))
    for options in ({"quality": "high"}, {"quality": 0}, {"psnr": 30, "bpp": 1}, {"method": "none"}):
        with pytest.raises(ValueError, match=r"quality|psnr|method"):
            image.save(tmp_path / "a.fk", **options)
        assert not (tmp_path / "a.fk").exists()
    image.save(tmp_path / "a.fk")
    with Image.open(tmp_path / "a.fk") as late:
        pass
    with pytest.raises(ValueError, match="closed"):
        late.load()
    with pytest.raises(OSError, match="2 frames"):
        image.save(tmp_path / "b.fk", save_all=True, append_images=[image])
    image.save(tmp_path / "c.fk", save_all=True)
    with Image.open(tmp_path / "c.fk") as one:
        assert one.size == (16, 16)

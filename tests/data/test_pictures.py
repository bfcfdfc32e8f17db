"""Reading and writing pictures: every mode, 16 bits, orientation, profiles, damage."""

import numpy as np
import pytest
from PIL import Image

from fractalkit.data.images import read_square
from fractalkit.data.pictures import read_picture, write_picture
from fractalkit.errors import DataError, UsageError
from fractalkit.render.colours_from import from_picture
from tests.pictures import scene


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_modes_become_grey_rgb_or_rgba(tmp_path, mode):
    image = Image.fromarray(scene(20, 30)).convert(mode)
    path = tmp_path / ("a.jpg" if mode in ("CMYK", "YCbCr") else "a.png")
    image.save(path)
    p = read_picture(path)
    want = {"1": (20, 30), "L": (20, 30), "LA": (20, 30, 4), "RGBA": (20, 30, 4)}.get(mode, (20, 30, 3))
    assert p.samples.shape == want and p.samples.dtype == np.uint8
    assert bool(p.warnings) == (mode == "CMYK")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_come_back(tmp_path, channels):
    a = scene(13, 17, channels, deep=True)
    assert write_picture(tmp_path / "a.png", a, {"icc": b"profile"}) == []
    p = read_picture(tmp_path / "a.png")
    assert (p.samples == a).all() and p.samples.dtype == np.uint16
    assert p.metadata.get("icc", b"profile") == b"profile"
    assert write_picture(tmp_path / "a.jpg", a)  # says what was lost


def test_grey_with_alpha_of_sixteen_bits(tmp_path):
    import png

    a = scene(6, 5, 4, deep=True)[..., [0, 3]]
    with (tmp_path / "la.png").open("wb") as f:
        png.Writer(5, 6, greyscale=True, alpha=True, bitdepth=16).write(f, a.reshape(6, 10))
    p = read_picture(tmp_path / "la.png").samples
    assert (p[..., [0, 3]] == a).all() and (p[..., 1] == a[..., 0]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path, orientation):
    a = scene(16, 24)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a scene"
    Image.fromarray(a).save(tmp_path / "a.png", exif=exif)
    p = read_picture(tmp_path / "a.png")
    from PIL import ImageOps

    with Image.open(tmp_path / "a.png") as image:
        assert (p.samples == np.asarray(ImageOps.exif_transpose(image))).all()
    kept = Image.Exif()
    kept.load(p.metadata["exif"])
    assert kept[0x0112] == 1 and kept[0x010E] == "a scene"


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.fromarray(scene(10, 12, seed=i)) for i in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    p = read_picture(tmp_path / "a.gif")
    assert p.samples.shape == (10, 12, 3) and "3 frames" in p.warnings[0]


def test_damage_is_one_sentence(tmp_path):
    good = tmp_path / "good.png"
    Image.fromarray(scene(40, 40)).save(good)
    data = good.read_bytes()
    cases = {"empty.png": b"", "cut.png": data[:300], "text.png": b"hello", "deep.png": data[:24] + b"\x10" + data[25:]}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as error:
            read_picture(tmp_path / name)
        assert name in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(DataError, match="no such file"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(DataError, match="folder"):
        read_picture(tmp_path)
    with pytest.raises(DataError, match="--max-pixels"):
        read_picture(good, max_pixels=1599)
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match="floating"):
        read_picture(tmp_path / "f.tif")


def test_what_formats_cannot_hold_is_said(tmp_path):
    notes = write_picture(tmp_path / "a.jpg", scene(8, 8, 4))
    assert "transparency" in notes[0]
    with pytest.raises(UsageError, match="suffix"):
        write_picture(tmp_path / "a.doc", scene(8, 8))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg"]


def test_programs_of_printers_are_not_run(tmp_path, monkeypatch):
    path = tmp_path / "photo.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    from PIL import EpsImagePlugin

    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *a, **k: started.append(a))
    for read in (read_picture, lambda p: read_square(p, 8, 3), from_picture):
        with pytest.raises(DataError, match=r"photo\.png: cannot be read"):
            read(path)
    assert not started

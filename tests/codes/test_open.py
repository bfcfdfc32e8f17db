"""Codes open themselves: every kind by its suffix, its first bytes or its mark."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from fractalkit import fk
from fractalkit.codes import AffineIFS, Code, CollageCode, Flame, QuadtreeCode, Xform, kind_of, load, load_all, preset
from fractalkit.codes import open as opening
from fractalkit.codes.flame import write_flames
from fractalkit.codes.flame_xml import to_xml
from fractalkit.errors import DataError, UsageError
from fractalkit.lazy import resolve
from fractalkit.raster.png import save_png

FLAME = Flame(name="a", xforms=(Xform(weight=1.0, variations={"swirl": 1.0}, extras={"mystery": "0.5"}),))
GREY = np.full((4, 4, 3), 127, np.uint8)


def collage() -> CollageCode:
    zeros = torch.zeros
    return CollageCode(zeros(1, 1, 2, 2, 1) + 0.5, zeros(1, 1, 2, 2), zeros(1, 1, 2, 2, 0), zeros(0, 1, 1, 1))


def fk_of_coin(folder: Path) -> Path:
    path = folder / "coin.fk"
    fk.encode(np.tile(GREY, (4, 4, 1)), method="coin", iterations=2).save(path)
    return path


@pytest.mark.filterwarnings("ignore:.*not known")
@pytest.mark.parametrize(
    ("code", "name", "kind"),
    [
        (preset("barnsley-fern"), "a.ifs.json", "code"),
        (FLAME, "a.flame", "flame"),
        (FLAME, "a.xml", "flame"),
        (collage(), "a.safetensors", "collage code"),
    ],
)
def test_what_a_code_saves_opens_as_its_kind(tmp_path: Path, code: Code, name: str, kind: str) -> None:
    assert isinstance(code, Code)
    code.save(tmp_path / name)
    found = kind_of(tmp_path / name)
    assert found is not None and found.name == kind
    opened = load(tmp_path / name)
    assert type(opened) is type(code) and opened.summary() == code.summary()
    assert type(code).load(tmp_path / name).summary() == code.summary()


def test_a_compressed_picture_opens_under_any_name(tmp_path: Path) -> None:
    code = fk.encode(GREY, method="quadtree", quality=50)
    data = code.to_bytes()
    assert isinstance(code, Code)
    code.save(tmp_path / "saved.fk")
    assert (tmp_path / "saved.fk").read_bytes() == data and QuadtreeCode.load(tmp_path / "saved.fk").to_bytes() == data
    with pytest.raises(DataError, match="not by the quadtree codec"):
        QuadtreeCode.load(fk_of_coin(tmp_path))
    for name in ("a.fk", "download", "a.bin"):
        (tmp_path / name).write_bytes(data)
        found = load(tmp_path / name)
        assert isinstance(found, QuadtreeCode) and found.to_bytes() == data
    with pytest.raises(DataError, match="limit of 8"):
        load(tmp_path / "a.fk", max_pixels=8)


@pytest.mark.filterwarnings("ignore:.*not known")
def test_pictures_hold_codes(tmp_path: Path) -> None:
    fern = preset("barnsley-fern")
    save_png(tmp_path / "fern.png", GREY, {"fractalkit:code": fern.to_json()})
    opened = load(tmp_path / "fern.png")
    assert isinstance(opened, AffineIFS) and opened.to_json() == fern.to_json()
    save_png(tmp_path / "sheet.png", GREY, {"fractalkit:flame": to_xml([FLAME, FLAME])})
    flames = load_all(tmp_path / "sheet.png")
    assert len(flames) == 2 and all(isinstance(f, Flame) and f.same(FLAME) for f in flames)
    save_png(tmp_path / "bad.png", GREY, {"fractalkit:code": '{"format": 1}'})
    with pytest.raises(DataError, match=r"bad\.png: the code in its text is damaged"):
        load(tmp_path / "bad.png")


def test_files_without_a_code_say_what_to_do(tmp_path: Path) -> None:
    save_png(tmp_path / "plain.png", GREY)
    (tmp_path / "a.safetensors").write_bytes(b"\xff" * 40)
    (tmp_path / "a.ply").write_text("ply\n")
    assert [kind_of(tmp_path / n) for n in ("plain.png", "a.safetensors", "a.ply")] == [None] * 3
    for name, word in (("plain.png", "fractalkit compress"), ("a.safetensors", "neither"), ("a.ply", "fractalkit ifs"),
                       ("no.ply", "no such file")):  # fmt: skip
        with pytest.raises(DataError, match=word):
            load(tmp_path / name)
    with pytest.raises(DataError, match="barnsley-fern"):
        load("barnsley-ferm")


@pytest.mark.filterwarnings("ignore:.*not known")
def test_one_flame_of_several(tmp_path: Path) -> None:
    write_flames(tmp_path / "two.flame", [FLAME, dataclasses.replace(FLAME, name="b")])
    assert [f.summary()["name"] for f in load_all(tmp_path / "two.flame")] == ["a", "b"]
    assert Flame.load(tmp_path / "two.flame", index=2).name == "b"
    assert FLAME.summary()["unknown_variations"] == ["mystery"]
    with pytest.raises(UsageError, match="there are 2 flames"):
        Flame.load(tmp_path / "two.flame", index=3)


def test_a_new_kind_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = opening.Kind("fern", (".fern",), "fractalkit.codes.affine:AffineIFS.load", magic=b'{\n "format"')
    monkeypatch.setattr(opening, "KINDS", (*opening.KINDS, kind))
    preset("barnsley-fern").save(tmp_path / "a.fern")
    assert kind_of(tmp_path / "a.fern") is kind and len(load(tmp_path / "a.fern")) == 4


def test_every_loader_exists() -> None:
    for kind in opening.KINDS:
        for where in filter(None, (kind.loader, kind.parser)):
            assert callable(resolve(where)), where

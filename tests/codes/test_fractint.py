"""Codes in the files of Fractint."""

from pathlib import Path

import pytest
import torch

from fractalkit.codes import load, preset
from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.fractint import load as read
from fractalkit.errors import DataError, FileWarning

FERN = """comment { made for a test: a { is not allowed here }
fern { ; Barnsley's
   0   0    0  .16 0   0 .01
 .85 .04 -.04 .85 0 1.6 .85   ; the large one
  .2 -.26 .23 .22 0 1.6 .07
-.15 .28  .26 .24 0 .44 .07
  }
"""
SPACE = "corner (3D) {\n.5 0 0 0 .5 0 0 0 .5 0 0 0 .5\n.5 0 0 0 .5 0 0 0 .25 1 2 3 .5 }\n"


def test_the_fern(tmp_path: Path) -> None:
    path = tmp_path / "a.ifs"
    path.write_bytes(FERN.replace(": a {", "").replace("\n", "\r\n").encode())
    code, fern = load(path), preset("barnsley-fern")
    assert isinstance(code, AffineIFS) and code.name == "fern"
    assert torch.allclose(code.matrices, fern.matrices) and torch.allclose(code.offsets, fern.offsets)
    assert torch.allclose(code.probabilities, fern.probabilities)


def test_space_and_several_codes(tmp_path: Path) -> None:
    path = tmp_path / "a.ifs"
    path.write_text("wild { 2 0 0 2 0 0 1 }\n" + SPACE + "dot{.5 0 0 .5 3 4 1}")
    with pytest.warns(FileWarning) as found:
        first, second = read(path)
    assert "left out wild" in str(found[0].message) and "2 codes (corner, dot)" in str(found[1].message)
    assert first.dim == 3 and first.matrices[1, 2, 2] == 0.25 and first.offsets[1].tolist() == [1, 2, 3]
    assert second.dim == 2 and second.offsets.tolist() == [[3, 4]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing", "holds no entry"), ("a { 1 2 3 }", "a: has 3 numbers; each map has 7"),
        ("a { x }", "a: could not convert"), ("a { 2 0 0 2 0 0 1 }", "a: .*does not contract"),
        ("a { nan 0 0 0 0 0 1 }", "a: .*not finite"), ("a {}", "has 0 numbers"),
    ],
)  # fmt: skip
def test_broken_files(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.ifs"
    path.write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")

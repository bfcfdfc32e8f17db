"""Whole pictures: attractors and previews."""

import numpy as np
import pytest
import torch

from fractalkit.codes import preset
from fractalkit.errors import DataError, UsageError
from fractalkit.orbit import sample
from fractalkit.render import draw_ifs, side_by_side
from fractalkit.render.preview import preview


@pytest.fixture(autouse=True)
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fractalkit.render.preview._ALONE", 5000)
    monkeypatch.setattr("fractalkit.render.preview._PIECES", 6000)


@pytest.mark.parametrize("name", ["sierpinski-triangle", "sierpinski-tetrahedron"])
@pytest.mark.parametrize("options", [{}, {"palette": "ember"}, {"background": "light"}])
def test_draw_ifs(name: str, options: dict[str, str]) -> None:
    a = draw_ifs(preset(name), size=(64, 48), points=40_000, seed=3, **options)
    assert a.shape == (48, 64, 3) and a.dtype == np.uint8
    assert np.array_equal(a, draw_ifs(preset(name), size=(64, 48), points=40_000, seed=3, **options))
    assert a.reshape(-1, 3).std(axis=0).max() > 12  # there is something to see


def test_rows_begin_at_the_top() -> None:
    # the triangle is broad at the foot and pointed at the head
    a = draw_ifs(preset("sierpinski-triangle"), size=(64, 64), points=60_000).astype(int).sum(axis=2)
    base = draw_ifs(preset("sierpinski-triangle"), size=(64, 64), points=0).astype(int).sum(axis=2)
    drawn = np.abs(a - base) > 40
    assert drawn[40:].sum() > 1.5 * drawn[:24].sum() > 0


@pytest.mark.parametrize("name", ["barnsley-fern", "tree-3d"])
@pytest.mark.parametrize("coloured", [False, True])
def test_preview(name: str, coloured: bool) -> None:
    ifs = preset(name)
    x = sample(ifs, 3000, depth=6)
    colours = ifs.colour_of(x.addresses.long()) if coloured else None
    a = preview(x.points, colours, ifs, title="a title " * 40, figures=["Chamfer 0.3 %", "K = 4"], panel=96)
    assert a.shape[0] > 96 and a.shape[1] == 3 * 96 and a.dtype == np.uint8
    assert np.array_equal(
        a, preview(x.points, colours, ifs, title="a title " * 40, figures=["Chamfer 0.3 %", "K = 4"], panel=96)
    )


def test_an_attractor_that_outgrows_its_input_stays_in_the_frame() -> None:
    ifs = preset("sierpinski-tetrahedron")
    a = preview(sample(ifs, 3000).points / 3, None, ifs, panel=96)[:96, 96:192].astype(int)
    frame = np.concatenate([a[:4].reshape(-1, 3), a[:, :4].reshape(-1, 3), a[:, -4:].reshape(-1, 3)])
    assert frame.max() < 60  # dark all around


@pytest.mark.parametrize("name", ["koch-curve", "menger-sponge"])
def test_preview_of_a_code_alone(name: str) -> None:
    a = preview(None, None, preset(name), panel=64)
    assert a.shape == (64, 128, 3)
    assert np.array_equal(a, preview(None, None, preset(name), panel=64, up="x")) == (preset(name).dim == 2)


def test_pieces_have_their_colours() -> None:
    x = sample(preset("sierpinski-triangle"), 4000).points
    a = preview(x, None, preset("sierpinski-triangle"), panel=96).astype(float)
    third = a[:, 192:]
    corners = [third[70:80, 15:30], third[70:80, 66:81], third[20:34, 40:56]]
    seen = [c.reshape(-1, 3)[c.sum(axis=2).argmax()] for c in corners]
    for i in range(3):
        assert np.abs(seen[i] - seen[i - 1]).max() > 30


def test_preview_refuses() -> None:
    with pytest.raises(UsageError, match="dimensions"):
        preview(torch.zeros(5, 2), None, preset("menger-sponge"))
    with pytest.raises(DataError, match="not finite"):
        preview(torch.full((5, 3), torch.nan), None, preset("menger-sponge"))


def test_side_by_side() -> None:
    a = np.zeros((40, 30, 3), np.uint8)
    assert side_by_side([a, a]).shape == (40, 60, 3)
    assert side_by_side([a, a], title="x").shape[0] > 40
    with pytest.raises(UsageError):
        side_by_side([a, np.zeros((41, 30, 3), np.uint8)])
    with pytest.raises(UsageError):
        side_by_side([])

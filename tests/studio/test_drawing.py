"""Pictures of a flame while it is edited: equal to render's, kept where only the tone changes, stopped by news."""

import io
import os
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fractalkit.compiled import on_disk
from fractalkit.errors import DataError
from fractalkit.render.flame import render_flame
from fractalkit.studio.drawing import LIVE_CELLS, Canvas, Painter, Request, glance
from fractalkit.studio.loops import MACHINE
from fractalkit.studio.offers import start
from tests.orbit.gpu import device

SIZE = (160, 120)


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(np.float64) / 255


def drawn(canvas, request, quality, *, rough=False):
    canvas.begin(request, rough=rough)
    canvas.goal = quality
    while canvas.quality < quality * 0.999:
        canvas.expose()
    return canvas.frame()


@pytest.mark.parametrize(
    ("name", "where"), [("lace", "cpu"), ("sierpinski", "cpu"), ("medusa", "cpu"), ("lace", "gpu")]
)
def test_the_page_shows_what_render_draws(name, where):
    if where == "gpu":
        device()
    flame = replace(start(name), oversample=1)
    frame = drawn(Canvas(print, where), Request(flame, SIZE), 60.0)
    # the estimation is in pixels of the whole picture
    whole = replace(flame, estimator_radius=flame.estimator_radius * SIZE[0] / flame.size[0])
    one, two = (render_flame(whole, size=SIZE, quality=60.0, threads=1, batches=1, seed=k) for k in range(2))
    noise = np.abs(one - two).mean()
    assert frame.size == SIZE and np.abs(pixels(frame.data) - one).mean() < 1.2 * noise + 0.004
    assert np.abs(pixels(frame.data)[::-1] - one).mean() > 2 * noise + 0.02


def test_pictures_are_alike_before_the_loops_are_compiled(monkeypatch):
    flame = replace(start("lace"), oversample=1, estimator_radius=0.0, vibrancy=0.8, highlight_power=0.5)
    usual = pixels(drawn(Canvas(print), Request(flame, SIZE), 24.0).data)
    monkeypatch.setattr(MACHINE, "absent", True)
    early = pixels(drawn(Canvas(print), Request(flame, SIZE), 24.0).data)
    blocks = [x.reshape(30, 4, 40, 4, 3).mean((1, 3)) for x in (usual, early)]
    assert np.abs(blocks[0] - blocks[1]).mean() < 0.02 < 0.2 * blocks[0].std()
    assert np.abs(usual.mean((0, 1)) - early.mean((0, 1))).max() < 0.01


def test_whether_loops_are_on_the_disk(tmp_path, monkeypatch):
    module, kept = tmp_path / "part" / "loops.py", tmp_path / "cache" / "part_0123"
    module.parent.mkdir()
    kept.mkdir(parents=True)
    module.write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    assert not on_disk(module)
    (kept / f"loops.run-7.py{sys.version_info.major}{sys.version_info.minor}.nbi").write_bytes(b"")
    assert on_disk(module) and not on_disk(module, "last")  # of a process that died before it
    os.utime(module, (2e9, 2e9))  # written since
    assert not on_disk(module)


def test_the_tone_alone_keeps_the_samples():
    canvas, flame = Canvas(print), start("lace")
    before = drawn(canvas, Request(flame, SIZE), 8.0)
    canvas.begin(Request(replace(flame, brightness=3 * flame.brightness), SIZE), rough=True)
    assert canvas.quality == pytest.approx(8.0, rel=0.01) and not canvas.rough
    assert pixels(canvas.frame().data).mean() > 1.1 * pixels(before.data).mean()
    canvas.begin(Request(replace(flame, scale=2 * flame.scale), SIZE), rough=True)
    assert canvas.quality == 0


def test_what_is_dragged_is_small_and_what_is_let_go_is_whole():
    canvas, size = Canvas(print), (640, 480)
    flame = start("sierpinski")
    live = drawn(canvas, Request(flame, size, live=True), 1.0, rough=True)
    assert live.size[0] * live.size[1] <= 1.01 * LIVE_CELLS and live.live
    assert drawn(canvas, Request(flame, size), 0.5).size == size
    toned = Request(replace(flame, gamma=2.0), size, live=True)
    canvas.begin(toned, rough=True)
    frame = canvas.frame()
    assert frame.size == (320, 240) and pixels(frame.data).mean() > 0.01


def test_the_painter_draws_the_latest_wish_and_says_what_is_wrong():
    got, news = [], threading.Event()

    def send(what):
        got.append(what)
        news.set()

    painter = Painter()
    painter.start()
    painter.join(1, send)
    try:
        painter.ask(1, Request(start("sierpinski"), (64, 48), serial=7, most=30.0))
        for _ in range(40):
            news.wait(1)
            news.clear()
            if got and not isinstance(got[-1], str) and got[-1].done:
                break
        assert got[-1].serial == 7 and got[-1].quality == pytest.approx(30.0, rel=0.02)
        news.clear()
        painter.ask(1, Request(replace(start("sierpinski"), gamma=-1.0), (64, 48)))
        news.wait(60)
        assert "gamma" in got[-1]
    finally:
        painter.stop()


def test_a_glance_of_what_cannot_be_drawn_is_black():
    assert pixels(glance(start("lace"), (40, 30), 8.0)).mean() > 0.02
    assert pixels(glance(replace(start("lace"), gamma=-1.0), (40, 30))).max() < 0.05


def test_a_starting_point_that_is_none_is_refused():
    with pytest.raises(DataError, match="no such starting point"):
        start("../../etc/passwd")

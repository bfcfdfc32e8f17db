"""Flames: tone mapping against its reference version, filters, exposures, 16-bit files, films, zooms."""

import json
import math
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch

from fractalkit.codes.flame import Flame, Xform
from fractalkit.codes.flame_blend import between, blend, turned
from fractalkit.codes.flame_random import breed, flame_of, mutate, random_flame
from fractalkit.codes.presets import preset
from fractalkit.errors import DataError, UsageError
from fractalkit.raster.png import read_png_text
from fractalkit.render.animate import Motion, draw_frame
from fractalkit.render.attractor import plane_window
from fractalkit.render.colours_from import colour_table, from_picture, names
from fractalkit.render.deep import save_png16, save_tiff
from fractalkit.render.film import missing, save_film, save_frame
from fractalkit.render.filters import KERNELS, filter_weights, filter_width
from fractalkit.render.flame import Exposure, render_flame, resized, save_flame_picture
from fractalkit.render.flame_sheet import children, interest, mutants, random_flames, trial
from fractalkit.render.flame_taste import taste
from fractalkit.render.flame_tone import Tone, develop
from fractalkit.render.viewer import save_viewer, tiles
from fractalkit.render.windows import open_source, windows_of
from fractalkit.render.zoom import Approach, interesting
from fractalkit.render.zoom_flame import FlameWindows
from fractalkit.render.zoom_ifs import IFSWindows
from tests.render import flame_twin


def sierpinski(**changes):
    at = [(0.5, 0.5), (-0.5, 0.5), (0.0, -0.5)]
    xforms = tuple(
        Xform(weight=1.0, color=k / 2, coefs=(0.5, 0.0, 0.0, 0.5, x, y), variations={"linear": 1.0})
        for k, (x, y) in enumerate(at)
    )
    t = np.linspace(0, 1, 256)[:, None]
    palette = np.concatenate(
        [np.array([[1.0, 0.3, 0.1]]) * (1 - t) + np.array([[0.1, 0.4, 1.0]]) * t, np.ones((256, 1))], 1
    )
    given = {"size": (40, 30), "scale": 16.0, "quality": 20.0, "estimator_radius": 0.0, "palette": palette}
    return Flame(xforms=xforms, **(given | changes))


LOOKS = [
    Tone(size=(12, 9), pixels_per_unit=5, quality=3, estimator_radius=0),
    Tone(size=(12, 9), pixels_per_unit=5, quality=3, estimator_radius=4, oversample=2, estimator_minimum=1),
    Tone(size=(7, 8), pixels_per_unit=5, quality=3, estimator_radius=3, oversample=3, filter_shape="mitchell"),
    Tone(size=(12, 9), pixels_per_unit=5, quality=1, estimator_radius=9, vibrancy=0.4, background=(0.2, 0.1, 0.4)),
    Tone(size=(12, 9), pixels_per_unit=5, quality=1, estimator_radius=0, brightness=80, highlight_power=1.0),
    Tone(size=(12, 9), pixels_per_unit=5, quality=1, estimator_radius=0, brightness=80, highlight_power=-0.4),
    Tone(
        size=(12, 9),
        pixels_per_unit=5,
        quality=1,
        estimator_radius=2,
        earlyclip=True,
        oversample=2,
        gamma_threshold=0.5,
    ),
    Tone(size=(12, 9), pixels_per_unit=5, quality=3, estimator_radius=0, transparent=True),
]


@pytest.mark.parametrize("look", LOOKS)
def test_the_loops_do_what_the_plain_twin_does(look):
    g = np.random.default_rng(0)
    hits = g.poisson(np.exp(g.normal(0, 2.5, look.cells))).astype(np.float32)
    b = np.concatenate([hits[..., None] * g.random((*look.cells, 3)), hits[..., None]], axis=2).astype(np.float32)
    assert np.abs(develop(b, look) - flame_twin.develop(b, look)).max() < 2e-4
    assert np.array_equal(develop(b, look, threads=1), develop(b, look, threads=2))


@pytest.mark.parametrize("shape", list(KERNELS))
def test_filters(shape):
    assert len(KERNELS) == 14
    for s in (1, 2, 3):
        w = filter_weights(shape, 0.8, s)
        assert len(w) == filter_width(shape, 0.8, s) and (len(w) - s) % 2 == 0
        assert abs(w.sum() - 1) < 1e-12
        if shape != "box":  # half open
            assert np.allclose(w, w[::-1])
    with pytest.raises(UsageError, match="filter_shape"):
        filter_weights("round", 1.0, 1)


def test_a_flame_is_the_same_for_a_seed_and_goes_on_from_its_buffer(tmp_path):
    flame = sierpinski()
    a = render_flame(flame, seed=3, threads=1)
    assert a.shape == (30, 40, 3) and a.dtype == np.float32 and 0.02 < a.mean() < 0.9
    assert np.array_equal(a, render_flame(flame, seed=3, threads=1))
    assert not np.array_equal(a, render_flame(flame, seed=4, threads=1))
    whole = Exposure.empty(flame, 3).expose(10, batches=4, threads=1).expose(30, batches=4, threads=1)
    part = Exposure.empty(flame, 3).expose(10, batches=4, threads=1)
    part.save(tmp_path / "a.safetensors")
    again = Exposure.load(tmp_path / "a.safetensors").expose(30, batches=4, threads=1)
    assert again.quality == 40 and np.array_equal(again.histogram, whole.histogram)
    shown = []
    Exposure.empty(flame).expose(5, batches=5, callback=lambda e, share: shown.append((share, e.develop().mean())))
    assert [round(s, 3) for s, _ in shown] == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_size_is_apart_from_quality():
    small, large = render_flame(sierpinski(), quality=200), render_flame(sierpinski(), size=(80, 60), quality=200)
    assert abs(float(small.mean()) - float(large.mean())) < 0.4 * float(small.mean())
    clear = render_flame(sierpinski(), transparent=True)
    assert clear.shape[2] == 4 and clear[0, 0, 3] == 0


def test_what_an_exposure_refuses(tmp_path):
    with pytest.raises(UsageError, match="quality"):
        Exposure.empty(sierpinski()).expose(0)
    with pytest.raises(UsageError, match="MiB"):
        Exposure.empty(sierpinski(size=(90_000, 90_000)))
    with pytest.raises(UsageError, match="size"):
        resized(sierpinski(), (0, 5))
    (tmp_path / "b.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="no safetensors file"):
        Exposure.load(tmp_path / "b.safetensors")
    with pytest.raises(DataError, match="shape"):
        develop(np.zeros((3, 3, 4)), Tone())


def test_deep_files(tmp_path):
    picture = np.linspace(0, 1, 5 * 4 * 3, dtype=np.float32).reshape(5, 4, 3)
    save_png16(tmp_path / "a.png", (picture * 65535).astype(np.uint16), {"k": "ü"})
    import png

    w, h, rows, about = png.Reader(bytes=(tmp_path / "a.png").read_bytes()).asDirect()
    got = np.vstack([np.array(r) for r in rows]).reshape(h, w, 3)
    assert about["bitdepth"] == 16 and np.array_equal(got, (picture * 65535).astype(np.uint16))
    assert read_png_text(tmp_path / "a.png") == {"k": "ü"}
    save_tiff(tmp_path / "a.tiff", picture, {"k": "v"})
    data = (tmp_path / "a.tiff").read_bytes()
    assert data[:4] == b"II*\0" and np.array_equal(np.frombuffer(data[8 : 8 + picture.nbytes], "<f4"), picture.ravel())
    at = struct.unpack("<I", data[4:8])[0]
    tags = {e[0]: e for e in (struct.unpack("<HHII", data[at + 2 + 12 * i : at + 14 + 12 * i]) for i in range(12))}
    assert (
        tags[256][3] == 4 and tags[257][3] == 5 and json.loads(data[tags[270][3] :][: tags[270][2] - 1]) == {"k": "v"}
    )
    save_flame_picture(tmp_path / "a.npy", picture)
    assert np.array_equal(np.load(tmp_path / "a.npy"), picture)
    with pytest.raises(UsageError, match=r"\.png"):
        save_flame_picture(tmp_path / "a.bmp", picture)


def test_palettes(tmp_path):
    assert len(names()) >= 12
    for name in [*names(), "viridis"]:
        table = colour_table(name)
        assert table.shape == (256, 3) and table.min() >= 0 and table.max() <= 1
    with pytest.raises(UsageError, match="opal"):
        colour_table("opall")
    save_flame_picture(tmp_path / "p.png", render_flame(sierpinski()))
    assert from_picture(tmp_path / "p.png").shape == (256, 3)


def test_flames_between_flames():
    a, b = sierpinski(), turned(sierpinski(brightness=8.0), 90)
    half = blend([a, b], [0.5, 0.5])
    x = half.xforms[0].coefs
    assert half.brightness == 6 and np.allclose(x[:4], 0.5 * np.array([1, 1, -1, 1]) / np.sqrt(2))
    assert between([a, b], [0, 1], 0) is a and between([a, b], [0, 1], 2.0) is b
    assert np.allclose(blend([a, a], [0.3, 0.7]).palette, a.palette, atol=1e-9)
    film = Motion((a,), 4, loop=True)
    assert np.allclose(film.at(1.0).xforms[0].coefs, film.at(0.0).xforms[0].coefs)
    first = draw_frame(Motion((a, b), 3, blur=2), 1, quality=5, threads=1)
    assert first.shape == (30, 40, 3) and np.array_equal(
        first, draw_frame(Motion((a, b), 3, blur=2), 1, quality=5, threads=1)
    )
    with pytest.raises(UsageError, match="loop"):
        Motion((a,), 4)


def test_random_flames_are_the_same_for_a_seed():
    table = colour_table("opal")
    a, b = (random_flame(np.random.default_rng(5), table) for _ in range(2))
    assert a.same(b) and not a.same(mutate(a, np.random.default_rng(1)))


def test_mutants_and_children_are_worth_seeing_and_unlike():
    table = colour_table("opal")
    one, two = random_flames(2, "opal", size=(48, 48), seed=3)
    assert min(interest(f) for f in (one, two)) > interest(random_flame(np.random.default_rng(0), table)) / 4
    for made in (mutants(one, 2, seed=1), children(one, two, 2, seed=1)):
        glances = [trial(f) for f in (one, *made)]
        assert all(g is not None for g in glances)
        for a, b in ((0, 1), (0, 2), (1, 2)):
            assert np.abs(glances[a] - glances[b]).mean() > 0.02
    again = children(one, two, 2, seed=1)
    assert all(a.same(b) for a, b in zip(made, again, strict=True))
    assert 2 <= len(breed(one, two, np.random.default_rng(4)).xforms) <= 12
    assert any(breed(one, two, np.random.default_rng(k)).palette is two.palette for k in range(8))
    for strength in (0.0, math.inf):
        with pytest.raises(UsageError):
            mutate(one, np.random.default_rng(1), strength)


def test_the_score_prefers_a_flame_to_shards_and_fog():
    y, x = np.mgrid[:96, :96] / 48 - 1
    shard = (np.abs(y - 0.3 * x) < 0.02)[..., None] * np.ones(3)
    fog = np.full((96, 96, 3), 0.5)
    assert taste(np.zeros((96, 96, 3))) == 0
    flame = trial(random_flames(1, "opal", size=(96, 96), seed=3)[0])
    assert taste(flame) > max(taste(shard), taste(fog))


def test_windows_of_a_flame_keep_their_brightness():
    """A film keeps its brightness in the depth, and has an end where nothing is."""
    maps = (
        Xform(1.0, 0.0, coefs=(0.6, 0.3, -0.3, 0.6, 0.3, 0.1), variations={"linear": 1.0}),
        Xform(1.0, 1.0, coefs=(0.5, -0.2, 0.2, 0.5, -0.5, 0.4), variations={"spherical": 0.4}),
    )
    windows = FlameWindows(Flame(size=(64, 48), scale=16.0, xforms=maps, estimator_radius=0.0), 8.0)
    at = interesting(windows, 1e4, side=48)
    assert windows.reach(at, 1e4, 64) == (1e4, "")
    assert windows.reach((0.999, 0.001), 1e4, 64)[1] == "nothing is there"
    assert windows.reach(at, 1e20, 64)[0] < 1e20
    windows.aim(at)
    means = [windows.window(*box, 64, 48).mean() for box in Approach(at, 1e4, 4, 0.75, windows.aspect)]
    assert min(means[1:]) > 0.3 * max(means) > 5  # much of the first frame is empty
    with pytest.raises(UsageError):
        windows.window(0.5, 0.5, 0.5, 0.5, 8, 8)


def test_a_code_as_a_flame():
    ifs = preset("barnsley-fern")
    low, high = plane_window(ifs, (60, 60))
    picture = render_flame(flame_of(ifs, size=(60, 60), low=low, high=high), quality=30)
    lit = picture.max(axis=2) > 0.2
    assert 0.05 < lit.mean() < 0.6
    assert lit[50:].sum() < lit[10:50].sum()  # the stem is below


def test_windows_of_a_code_agree_with_the_whole():
    z = IFSWindows(preset("sierpinski-triangle"), quality=60)
    whole = z.window(0, 0, 1, 1, 128, 128).astype(float)
    part = z.window(0.25, 0.25, 0.5, 0.5, 128, 128).astype(float)
    lit = whole[32:64, 32:64].max(axis=2) > 90
    near = part.reshape(32, 4, 32, 4, 3).max(axis=(1, 3, 4)) > 90
    assert (lit == near).mean() > 0.85
    deep = open_source("sierpinski-triangle", seed=1)
    at = interesting(deep, 1e9)
    for box in list(Approach(at, 1e9, 3, 1.0)):
        assert (deep.window(*box, 48, 48).max(axis=2) > 60).mean() > 0.01
    with pytest.raises(DataError, match="no such file"):
        open_source("a.txt")
    with pytest.raises(UsageError, match="no windows"):
        windows_of(object())


@pytest.mark.parametrize("pieces", [3, 9])
def test_windows_have_the_colours_of_positions(pieces):
    slopes = torch.tensor([[0.5, 0.25, 0.0], [0.0, 0.5, 0.25], [-2.0, 0.0, 0.75]], dtype=torch.float64)
    ifs = replace(
        preset("sierpinski-triangle"), colours=torch.full((3, 3), 0.5), colour_field=slopes.expand(pieces, 3, 3)
    )
    z = IFSWindows(ifs)
    for box in ((0.25, 0.25, 0.75, 0.75), (0.5, 0.0, 0.5 + 1 / 64, 1 / 64)):
        sums = np.zeros((16, 16, 4), np.float32)
        z.collect(box, 4000, sums)
        rows, columns = np.nonzero(sums[..., 3])
        cell = (box[2] - box[0]) / 16
        at = np.stack([box[0] + (columns + 0.5) * cell, box[3] - (rows + 0.5) * cell, np.ones(len(rows))])
        seen = sums[rows, columns, :3] / sums[rows, columns, 3:]
        assert len(rows) > 20
        assert np.abs(seen - (slopes.numpy() @ at).clip(0, 1).T).max() < 1.1 * cell + 1e-5


def test_films_and_pages(tmp_path):
    z = open_source("sierpinski-triangle")
    frames = [z.window(*b, 32, 32) for b in Approach((0.3, 0.4), 8, 3, 1.0)]
    save_film(iter(frames), tmp_path / "a.gif", fps=10)
    save_film(iter(frames), tmp_path / "a.mp4", fps=10)
    assert (tmp_path / "a.gif").stat().st_size > 100 and (tmp_path / "a.mp4").stat().st_size > 100
    (tmp_path / "f").mkdir()
    save_frame(frames[0], tmp_path / "f", 1)
    assert missing(tmp_path / "f", 3) == [0, 2]
    n = save_viewer(z, tmp_path / "p.html", at=(0.3, 0.4), depth=8, whole=2, near=1, note="<b>")
    text = (tmp_path / "p.html").read_text()
    assert n == len(tiles(1.0, 4, 2, (0.3, 0.4), 1)) and text.count("/9j/") >= n and "<b>" not in text
    with pytest.raises(UsageError, match="film"):
        save_film(iter(frames), tmp_path / "a.txt")


def test_tone_curves_act_on_the_finished_picture():
    flame = Flame(
        size=(32, 24), scale=10.0, quality=20.0,
        xforms=(Xform(weight=1.0, variations={"gaussian_blur": 1.0}), Xform(weight=1.0, variations={"square": 1.0})),
    )  # fmt: skip
    plain = render_flame(flame, plain=True)
    curved = render_flame(
        replace(flame, extras={"overall_curve": "0 1 1 0", "blue_curve": "0 0 1 0.5"}), plain=True
    )  # fmt: skip
    assert plain.std() > 0.05
    assert curved[..., :2] == pytest.approx(1 - plain[..., :2], abs=2e-3)
    assert curved[..., 2] == pytest.approx((1 - plain[..., 2]) / 2, abs=2e-3)

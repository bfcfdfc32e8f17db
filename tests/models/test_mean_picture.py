"""Mean pictures of collages: fused kernel against its reference version, sizes, windows, averages, memory."""

import tracemalloc

import numpy as np
import pytest
import torch

from fractalkit.codes.collage import CollageCode, Domain
from fractalkit.errors import UsageError
from fractalkit.maps.collage import decode
from fractalkit.models.mean_picture import MeanMap, MeanPicture, Still, draw, lattice, rows, to_bytes
from fractalkit.models.vdvae import VDVAE, VDVAEConfig
from fractalkit.raster.area import area_taps


def picture(
    grid: tuple[int, int] = (3, 3),
    *,
    channels: int = 5,
    patches: int = 2,
    order: int = 4,
    outputs: int = 1,
    shared: bool = True,
    size: int = 12,
    **options: object,
) -> MeanPicture:
    """A random picture, as sharp as that of a trained model."""
    g = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=g)

    code = CollageCode(
        contrast=CollageCode.bounded(normal(1, channels, *grid, len(options.get("domains", (0,)))), 0.7),  # type: ignore[arg-type]
        brightness=normal(1, channels, *grid),
        mixing=normal(1, channels if shared else 1, *grid, patches),
        patches=normal(patches, 1 if shared else channels, order, order) / order,
        **options,  # type: ignore[arg-type]
    )
    layers = normal(8, channels), normal(8), 2 * normal(outputs, 8), normal(outputs)

    def mean(f: torch.Tensor) -> torch.Tensor:
        w1, b1, w2, b2 = (t.to(f.dtype) for t in layers)
        hidden = torch.nn.functional.silu(torch.einsum("hc,bcyx->bhyx", w1, f) + b1[:, None, None])
        return torch.sigmoid(torch.einsum("oh,bhyx->boyx", w2, hidden) + b2[:, None, None])

    return MeanPicture(code, mean, size, layers)


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"grid": (7, 7), "channels": 16},
        {"grid": (2, 4), "channels": 1, "order": 1},
        {"grid": (3, 5), "order": 6, "outputs": 3},
        {"patches": 0, "order": 2},
        {"shared": False, "channels": 9},
    ],
)
def test_the_fused_engine_is_its_twin(kind: dict[str, object]) -> None:
    p = picture(**kind)  # type: ignore[arg-type]
    for size in ((12, 12), (5, 7), (50, 61), (200, 180)):
        fused, plain = (draw(p, *size, engine=e) for e in ("numba", "torch"))
        assert fused.shape == plain.shape and fused.shape[1:] == size
        assert np.ptp(plain) > 0.01
        assert np.abs(fused - plain).max() < 1e-5


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_a_window_is_a_part_of_the_picture(engine: str) -> None:
    p = picture((7, 7))
    whole = draw(p, 300, 410, engine=engine)
    for window in ((0, 0, 410, 300), (91, 37, 92, 38), (200, 10, 203, 290), (5, 120, 400, 200)):
        left, top, right, bottom = window
        part = draw(p, 300, 410, window=window, engine=engine)
        assert np.abs(part - whole[:, top:bottom, left:right]).max() < 1e-6


def test_deep_windows_agree() -> None:
    p = picture((7, 7))
    side = 10**9
    window = (987_654_321, 123_456_789, 987_654_351, 123_456_809)
    fused, plain = (draw(p, side, side, window=window, engine=e) for e in ("numba", "torch"))
    assert fused.shape == (1, 20, 30)
    assert np.abs(fused - plain).max() < 1e-4  # places differ by what float32 holds of the splines


def test_means_are_area_means_of_points() -> None:
    p = picture((3, 3), size=12)
    n, m, _ = lattice((3, 3), 12, 4, 6)
    assert (n, m) == (12, 12)
    points = p.mean(decode(p.code, n, m))[0]
    want = points.reshape(1, 4, 3, 6, 2).mean((2, 4)).numpy()
    assert np.abs(draw(p, 4, 6) - want).max() < 1e-6


def test_area_taps_cover_each_pixel_once() -> None:
    for n, points in ((7, 7), (5, 9), (28, 56), (1440, 1470), (10**12, 10**12 + 7)):
        start = n // 3
        stop = min(n, start + 5)
        first, end, taps = area_taps(n, points, start, stop)
        assert np.allclose(taps.weight.sum(1), 1, atol=1e-6)
        assert first == start * points // n and end == -(-stop * points // n)
        assert (taps.index[:, 0] + (taps.weight > 0).sum(1) <= end - first).all()


def test_pictures_that_the_kernel_does_not_know_take_the_twin() -> None:
    for p in (picture((4, 4), domains=(Domain(), Domain(2, 0, 1, 3))), picture(continuous=False)):
        assert not p.fast
        assert draw(p, 30, 24).shape == (1, 30, 24)
        with pytest.raises(UsageError, match="use torch"):
            draw(p, 30, 24, engine="numba")


def test_float64() -> None:
    p = picture()
    q = MeanPicture(p.code.to(dtype=torch.float64), p.mean, p.size, p.layers)
    assert not q.fast
    assert np.abs(draw(q, 50, 61) - draw(p, 50, 61)).max() < 1e-5


def test_threads_change_nothing() -> None:
    p = picture((7, 7), channels=16)
    one, three = (draw(p, 500, 700, threads=n) for n in (1, 3))
    assert np.array_equal(one, three)


def test_strips_in_bounded_memory() -> None:
    p = picture((7, 7), channels=4)
    next(rows(p, 60, 60))
    tracemalloc.start()
    count = 0
    for k, strip in enumerate(rows(p, 10**6, 40_000, threads=1)):
        count += strip.shape[1]
        if k == 3:
            break
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count >= 4
    assert peak < 120 << 20  # the picture itself would take 160 GB


def test_bytes() -> None:
    means = np.array([[[0.0, 0.4999, 0.5, 1.0]]], np.float32)
    assert to_bytes(means).tolist() == [[0, 127, 128, 255]]
    assert to_bytes(means, binarize=True).tolist() == [[0, 0, 255, 255]]
    assert to_bytes(means, invert=True).tolist() == [[255, 128, 127, 0]]
    assert to_bytes(np.zeros((3, 2, 5), np.float32)).shape == (2, 5, 3)


def test_refusals() -> None:
    p = picture()
    with pytest.raises(UsageError, match="height: expected 1"):
        rows(p, 0, 5)
    for window in ((0, 0, 6, 5), (2, 2, 4, 2), (0, -1, 2, 2)):
        with pytest.raises(UsageError, match="is not inside the 5 x 5 picture"):
            rows(p, 5, 5, window=window)
    with pytest.raises(UsageError, match="engine"):
        rows(p, 5, 5, engine="magic")
    still = Still(np.zeros((1, 8, 8), np.float32))
    assert draw(still, 8, 8, window=(2, 1, 8, 3)).shape == (1, 2, 6)
    with pytest.raises(UsageError, match="8 x 8 pixels only"):
        draw(still, 9, 8)


def test_a_model_at_its_own_size_draws_what_it_was_trained_on() -> None:
    tiny = VDVAEConfig(
        size=6, stem=2, encoder="3x1,3d3,1x1", decoder="1x1,3m1,3x1", width=8, latent=2, features=3, patches=1, cells=2
    )
    model = VDVAE(tiny).eval()
    h = model.features([torch.Generator().manual_seed(1)])
    with torch.no_grad():
        points = model.likelihood.mean(model._likelihood(h))
    want = torch.nn.functional.avg_pool2d(points, 2)[0].numpy()
    assert np.abs(draw(MeanPicture.of(model, h), 6, 6) - want).max() < 1e-5


def test_the_model_draws_what_the_command_draws() -> None:
    model = VDVAE.from_pretrained("vdvae_mnist")
    h = model.features([torch.Generator().manual_seed(s) for s in (0, 2)])
    for size in ((28, 28), (37, 61), (300, 300)):
        want = [draw(MeanPicture.of(model, one), *size) for one in h.split(1)]
        assert np.array_equal(model.draw(h, *size).numpy(), np.stack(want))


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_detail_beyond_training_is_left_out_or_blended_in(engine: str) -> None:
    p = picture((3, 3), size=12)
    none, half, full = (
        draw(MeanPicture(p.code, p.mean, p.size, p.layers, detail), 162, 150, engine=engine) for detail in (0, 0.5, 1)
    )
    assert np.array_equal(full, draw(p, 162, 150, engine=engine))
    assert np.abs(none - full).max() > 0.05 and np.abs(half - full).max() > 0.02
    part = draw(MeanPicture(p.code, p.mean, p.size, p.layers, 0.5), 162, 150, engine=engine, window=(5, 60, 80, 161))
    assert np.abs(part - half[:, 60:161, 5:80]).max() < 1e-6
    for detail in (0, 0.5, 1):  # at its own size, a picture is what training saw
        at_home = draw(MeanPicture(p.code, p.mean, p.size, p.layers, detail), 12, 12, engine=engine)
        assert np.array_equal(at_home, draw(p, 12, 12, engine=engine))


def test_the_fused_lift_is_the_network_after_the_plain_one() -> None:
    p = picture((3, 3), channels=5)
    fused, plain = (MeanMap(p, 27, 36, fused=f) for f in (True, False))
    for window in (None, (5, 3, 30, 20), (13, 8, 14, 9)):
        parts = [torch.rand(1, 5, b - t, r - l) for _, (l, t, r, b) in plain.needs(window)]
        assert torch.allclose(fused.lift(parts, window), plain.lift(parts, window), atol=1e-5)

"""Affine codes on the GPU, or on a program that plays one: the addresses, points and counts of the other engines."""

import numpy as np
import pytest
import torch

from fractalkit.codes import preset
from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import UsageError
from fractalkit.orbit import extent, histogram, sample, stream
from fractalkit.orbit.address import Addresses
from fractalkit.orbit.by_address import draw
from fractalkit.orbit.streams import CHAINS
from fractalkit.render.windows import windows_of
from tests.orbit.gpu import device
from tests.orbit.test_address import CODES


def fern() -> AffineIFS:
    code = preset("barnsley-fern")
    return AffineIFS(
        code.matrices, code.offsets, code.weights, torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    )


def solid() -> AffineIFS:
    g = torch.Generator().manual_seed(4)
    return AffineIFS(0.35 * torch.randn(5, 3, 3, generator=g).clamp(-1, 1), torch.randn(5, 3, generator=g))


@pytest.fixture(autouse=True)
def _there_is_a_device():
    device()


@pytest.mark.parametrize("make", [fern, solid])
def test_addresses_are_equal_and_points_agree(make):
    n = 3 * CHAINS + 17
    ours, theirs = (sample(make(), n, seed=2, depth=3, engine=e) for e in ("wgsl", "numba"))
    assert (ours.addresses.view(torch.int16) == theirs.addresses.view(torch.int16)).all()
    assert (ours.points - theirs.points).abs().max() < 1e-5 * theirs.points.abs().max()
    assert (sample(make(), n, seed=2, engine="wgsl").points == ours.points).all()


@pytest.mark.parametrize(("make", "shape"), [(fern, (90, 70)), (solid, (12, 11, 10))])
def test_counts_agree_but_for_rounding_at_edges(make, shape):
    code, n = make(), 5 * CHAINS + 777
    low, high = extent(code)
    bounds = (low, low + 0.8 * (high - low))  # some points lie outside
    ours, theirs = (histogram(code, n, shape=shape, bounds=bounds, seed=3, engine=e) for e in ("wgsl", "numba"))
    assert int(ours.counts.sum()) + ours.outside == n
    assert (ours.counts - theirs.counts).abs().sum() + abs(ours.outside - theirs.outside) < 200
    again = histogram(code, n, shape=shape, bounds=bounds, seed=3, device="gpu")
    assert (again.counts == ours.counts).all()


def test_colours_are_summed_beyond_32_bits():
    # a single cell: every sum is far above 2^32 in units of 2^-16
    code, n = fern(), 2 * CHAINS
    ours, theirs = (histogram(code, n, shape=(1, 1), colours=True, seed=1, engine=e) for e in ("wgsl", "numba"))
    assert float(ours.rgb.sum()) > 2**16 and torch.allclose(ours.rgb, theirs.rgb, rtol=1e-4)


@pytest.mark.parametrize("name", ["plane", "hidden ranges"])
def test_addresses_of_collages_are_equal(name):
    code = CODES[name]()
    for stratified in (False, True):
        ours, theirs = (
            sample(code, 3000, seed=7, depth=20, engine=e, colours=code.coloured, stratified=stratified)
            for e in ("wgsl", "numba")
        )
        assert torch.equal(ours.addresses.view(torch.int16), theirs.addresses.view(torch.int16))
        assert (ours.points - theirs.points).abs().max() < 2e-6 * theirs.points.abs().max()
        assert not code.coloured or torch.allclose(ours.colours, theirs.colours, atol=1e-5)


def test_pieces_and_counts_of_collages():
    code = CODES["plane"]()
    table = Addresses.of(code)
    starts = torch.arange(12).repeat(300).numpy()  # points of each range, as for windows
    ours, theirs = (
        draw(table, 5, 3600, seed=3, tolerance=1e-6 * table.size, starts=starts, depth=3, engine=e)
        for e in ("wgsl", "numba")
    )
    assert torch.equal(ours.addresses.view(torch.int16), theirs.addresses.view(torch.int16))
    assert (ours.points - theirs.points).abs().max() < 2e-6 * table.size
    low, high = extent(code)
    grid = {"shape": (40, 50), "bounds": (low, low + 0.8 * (high - low)), "colours": True, "seed": 3}
    ours, theirs = (histogram(code, 50_000, engine=e, **grid) for e in ("wgsl", "numba"))
    assert int(ours.counts.sum()) + ours.outside == 50_000 and theirs.outside > 1000
    assert (ours.counts - theirs.counts).abs().sum() + abs(ours.outside - theirs.outside) < 20
    assert torch.allclose(ours.rgb.sum((0, 1)), theirs.rgb.sum((0, 1)), rtol=1e-3)


@pytest.mark.parametrize("make", [fern, CODES["plane"]], ids=["code", "collage"])
def test_deep_windows_have_the_points_of_the_cpu(make):
    def windows(where):
        drawn = windows_of(make(), device=where, quality=8.0)
        x, y = drawn.focus()
        boxes = ((x - half, y - half, x + half, y + half) for half in (0.5, 0.5e-3, 0.5e-9))
        return [drawn.window(*box, 48, 48).astype(float) for box in boxes]

    for one, other in zip(windows("cpu"), windows("gpu"), strict=True):
        assert np.abs(one - other).mean() < 0.5 and one.std() > 10


def test_what_it_refuses():
    with pytest.raises(UsageError, match="float32"):
        sample(CODES["plane"](), 10, engine="wgsl", dtype=torch.float64)
    with pytest.raises(UsageError, match="float32"):
        sample(fern(), 10, engine="wgsl", dtype=torch.float64)
    with pytest.raises(UsageError, match="wgsl runs on gpu"):
        next(stream(fern(), 10, engine="numba", device="gpu"))

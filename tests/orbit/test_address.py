"""Points of collages by address: engines agree, every piece has its share, points lie on the attractor."""

import numpy as np
import pytest
import torch

from fractalkit.codes import CloudCollage, preset
from fractalkit.codes.moments import covariance, mean
from fractalkit.core import fixed_point
from fractalkit.errors import DataError, UsageError
from fractalkit.maps.convert import to_map
from fractalkit.orbit import even, extent, histogram, sample, stream
from tests.codes.test_cloud_collage import random_collage


def hidden(code: CloudCollage) -> CloudCollage:
    """The code with next to no mass on its first half."""
    shares = code.weights.clone()
    shares[: len(code) // 2] *= 1e-9
    return CloudCollage(code.matrices, code.offsets, code.domains, shares)


CODES = {
    "expanding map": lambda: random_collage(1, scale=0.25, colours=True),
    "plane": lambda: random_collage(3, scale=0.3, dim=2, colours=True),
    "wide norms": lambda: random_collage(3, scale=0.2, spread=1.2),
    "many ranges": lambda: random_collage(0, ranges=500, scale=0.3, spread=0.2, widest=0.1),
    "hidden ranges": lambda: hidden(random_collage(4, ranges=120, scale=0.3, spread=0.2)),
    "one range": lambda: random_collage(0, ranges=1, scale=0.3, spread=0.1),
}


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("stratified", [False, True])
def test_engines_agree_on_every_address(name, stratified):
    code = CODES[name]()
    plain, fast = (
        sample(code, 3000, seed=7, engine=engine, depth=20, dtype=torch.float64, colours=code.coloured,
               stratified=stratified) for engine in ("torch", "numba")
    )  # fmt: skip
    assert torch.equal(plain.addresses.view(torch.int16), fast.addresses.view(torch.int16))
    torch.testing.assert_close(plain.points, fast.points, rtol=1e-12, atol=1e-12)
    if code.coloured:
        torch.testing.assert_close(plain.colours, fast.colours)
        assert float(fast.colours.min()) >= 0 and float(fast.colours.max()) <= 1


@pytest.mark.parametrize("name", CODES)
def test_an_address_is_a_path_of_the_graph_and_gives_its_point(name):
    code = CODES[name]()
    orbit = sample(code, 500, seed=3, depth=64, dtype=torch.float64)
    words = orbit.addresses.to(torch.int64)
    first, last = code.domains[words[:, :-1]].unbind(2)
    assert ((words[:, 1:] >= first) & (words[:, 1:] < last)).all()
    centre, radius = code.bounds()
    x, left = centre[words[:, -1]], radius[words[:, -1]]
    for j in range(62, -1, -1):
        x = torch.einsum("nij,nj->ni", code.matrices[words[:, j]], x) + code.offsets[words[:, j]]
        left = left * code.norms()[words[:, j]]
    size = (orbit.points.amax(0) - orbit.points.amin(0)).max()
    assert ((orbit.points - x).norm(dim=1) <= left + 1e-12 * (1 + size)).all()


def test_every_piece_has_its_share_to_within_two():
    code = random_collage(0, ranges=60, scale=0.3, spread=0.2, widest=0.2)
    n = 20_000
    words = sample(code, n, depth=2, stratified=True, seed=5).addresses.to(torch.int64)
    ones = torch.bincount(words[:, 0], minlength=60)
    assert ((ones - n * code.weights).abs() < 2).all()
    twos = torch.bincount(words[:, 0] * 60 + words[:, 1], minlength=3600).view(60, 60)
    share = torch.zeros(60, 60, dtype=torch.float64)
    for r, (lo, hi) in enumerate(code.domains.tolist()):
        share[r, lo:hi] = code.weights[r] * code.weights[lo:hi] / code.weights[lo:hi].sum()
    assert ((twos - n * share).abs() < 2).all()
    # independent draws stray by the square root of their number
    drawn = torch.bincount(sample(code, n, depth=1, seed=5).addresses[:, 0].to(torch.int64), minlength=60)
    assert 2 < float((drawn - n * code.weights).abs().max()) < 5 * (n / 60) ** 0.5


def test_ranges_have_their_means():
    code = random_collage(0, ranges=20, scale=0.3, spread=0.2)
    orbit = sample(code, 200_000, depth=1, seed=2, dtype=torch.float64)
    first, centre = orbit.addresses[:, 0].to(torch.int64), code.bounds()[0]
    for r in range(20):
        x = orbit.points[first == r]
        assert (x.mean(0) - centre[r]).abs().max() < 5 * float(x.std(0).max()) / len(x) ** 0.5


@pytest.mark.parametrize("name", ["barnsley-fern", "sierpinski-triangle", "menger-sponge"])
def test_an_affine_ifs_has_its_own_measure(name):
    ifs = preset(name)
    orbit = sample(CloudCollage.of(ifs), 100_000, seed=1, dtype=torch.float64, stratified=True)
    spread = covariance(ifs).diagonal().sqrt().double()
    assert ((orbit.points.mean(0) - mean(ifs)).abs() < 5e-3 * spread).all()
    torch.testing.assert_close(
        orbit.points.T.cov(), covariance(ifs).double(), rtol=0.02, atol=0.01 * float(spread.max()) ** 2
    )
    again = sample(ifs, 100_000, seed=1, dtype=torch.float64, stratified=True)
    assert torch.equal(again.points, orbit.points)


def test_colours_of_an_affine_ifs_and_of_its_collage_agree():
    ifs = preset("barnsley-fern")
    orbit = sample(CloudCollage.of(ifs), 2000, seed=1, depth=40, colours=True)
    torch.testing.assert_close(orbit.colours, ifs.colour_of(orbit.addresses).float(), atol=1e-5, rtol=0)
    chaos = sample(ifs, 70_000, seed=1, depth=3, colours=True)
    assert chaos.colours.shape == (70_000, 3) and chaos.addresses.shape == (70_000, 3)
    plain = sample(ifs, 70_000, seed=1, depth=16)
    assert torch.equal(plain.points, chaos.points)
    torch.testing.assert_close(chaos.colours, ifs.colour_of(plain.addresses).float(), atol=1e-5, rtol=0)


def test_points_of_the_map_lie_among_points_by_address():
    from scipy.spatial import cKDTree

    code = random_collage(3, scale=0.3, dim=2)
    x = fixed_point(to_map(code, points=500))
    y = sample(code, 200_000, dtype=torch.float64, stratified=True).points
    size = float((y.amax(0) - y.amin(0)).max())
    assert cKDTree(y).query(x)[0].max() < 0.02 * size


def test_longer_samples_begin_with_shorter_ones_and_streams_cut_them():
    code = random_collage(1, scale=0.25, colours=True)
    whole = sample(code, 3000, seed=4, depth=2, colours=True)
    assert torch.equal(sample(code, 1000, seed=4).points, whole.points[:1000])
    for stratified in (False, True):
        whole = sample(code, 3000, seed=4, depth=2, colours=True, stratified=stratified)
        parts = list(stream(code, 3000, chunk=700, seed=4, depth=2, colours=True, stratified=stratified))
        assert [len(p) for p in parts] == [700] * 4 + [200]
        assert torch.equal(torch.cat([p.points for p in parts]), whole.points)
        assert torch.equal(torch.cat([p.colours for p in parts]), whole.colours)
    assert len(sample(code, 0, depth=3, colours=True)) == 0
    many = sample(code, (1 << 20) + 5, depth=1)
    assert many.points.shape == ((1 << 20) + 5, 3) and many.addresses.shape == ((1 << 20) + 5, 1)


def test_histograms_count_the_points_of_a_sample():
    code = random_collage(3, scale=0.3, dim=2, colours=True)
    n, (h, w) = 30_000, (37, 50)
    h2 = histogram(code, n, shape=(h, w), colours=True, seed=9)
    orbit = sample(code, n, seed=9, colours=True)
    f = (orbit.points.double() - h2.low) / (h2.high - h2.low) * torch.tensor([w, h])
    inside = ((f >= 0) & (f < torch.tensor([w, h]))).all(1)
    cell = (f[inside].long() * torch.tensor([1, w])).sum(1)
    counts = torch.bincount(cell, minlength=h * w).view(h, w)
    assert (h2.counts != counts).sum() <= 4 and h2.outside == n - int(inside.sum())  # but for points on edges
    assert h2.rgb.sum() == pytest.approx(float(orbit.colours[inside].double().sum()), rel=1e-4)


def test_even_points_are_as_far_apart_as_can_be():
    code = CloudCollage.of(preset("sierpinski-triangle"))
    from scipy.spatial import cKDTree

    x, y = even(code, 3000).points, sample(code, 3000).points
    near = [np.sort(cKDTree(p).query(p, 2)[0][:, 1])[150] for p in (x, y)]
    assert near[0] > 4 * near[1]


def test_the_extent_holds_the_sets():
    code = random_collage(1, scale=0.25)
    low, high = extent(code)
    centre, radius = code.bounds()
    assert (low >= (centre - radius[:, None]).amin(0) - 0.03 * (high - low)).all()
    assert (high <= (centre + radius[:, None]).amax(0) + 0.03 * (high - low)).all()


def test_refuses_bad_input():
    code = random_collage(1, scale=0.25)
    with pytest.raises(UsageError, match="colours: this code has none"):
        sample(code, 10, colours=True)
    with pytest.raises(UsageError, match="seed"):
        sample(code, 10, seed=2**70)
    with pytest.raises(UsageError, match="dtype"):
        sample(code, 10, dtype=torch.float16)
    with pytest.raises(DataError, match="does not contract"):
        sample(random_collage(2, scale=0.25), 10)

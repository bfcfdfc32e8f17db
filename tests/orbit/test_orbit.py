import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial import cKDTree

from fractalkit.codes import AffineIFS, preset
from fractalkit.codes.moments import covariance, mean
from fractalkit.errors import DataError, UsageError
from fractalkit.orbit import extent, histogram, sample, stream
from fractalkit.orbit.coverage import even
from fractalkit.orbit.streams import CHAINS, alias_table


def addresses(o):
    return o.addresses.to(torch.int32)


@pytest.mark.parametrize("name", ["barnsley-fern", "sierpinski-tetrahedron", "menger-sponge"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_engines_take_the_same_maps_to_the_same_points(name, dtype):
    ifs = preset(name)
    a, b = (sample(ifs, CHAINS + 5000, seed=7, depth=3, engine=e, dtype=dtype) for e in ("torch", "numba"))
    assert torch.equal(addresses(a), addresses(b))
    assert torch.allclose(a.points, b.points, atol=1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("engine", ["torch", "numba"])
def test_addresses_are_the_maps_that_made_the_points(engine):
    ifs = preset("heighway-dragon")
    o = sample(ifs, 2 * CHAINS + 100, seed=3, depth=40, engine=engine, dtype=torch.float64)
    tail = slice(2 * CHAINS - 50, None)
    x = torch.zeros_like(o.points[tail])
    for j in range(39, -1, -1):
        x = ifs.apply(x, addresses(o)[tail, j].long())
    assert torch.allclose(x, o.points[tail], atol=1e-5)
    later, earlier = o.points[CHAINS : CHAINS + 9], o.points[:9]  # point i + CHAINS is the image of point i
    assert torch.allclose(ifs.apply(earlier, addresses(o)[CHAINS : CHAINS + 9, 0].long()), later, atol=1e-12)


def test_seed_fixes_the_result_whatever_the_pieces():
    ifs = preset("tree-3d")
    n = 3 * CHAINS + 17
    whole = sample(ifs, n, seed=5)
    pieces = torch.cat([p.points for p in stream(ifs, n, chunk=CHAINS, seed=5)])
    assert torch.equal(whole.points, pieces)
    assert torch.equal(sample(ifs, 1000, seed=5).points, whole.points[:1000])
    assert not torch.equal(sample(ifs, 1000, seed=6).points, whole.points[:1000])
    with_depth = sample(ifs, n, seed=5, depth=2)
    assert torch.equal(with_depth.points, whole.points)
    g = torch.Generator().manual_seed(1)
    again = torch.Generator().manual_seed(1)
    assert torch.equal(sample(ifs, 10, seed=g).points, sample(ifs, 10, seed=again).points)


def test_threads_do_not_change_the_counts():
    import numba

    ifs = preset("maple-leaf")
    before = numba.get_num_threads()
    try:
        results = []
        for threads in (1, before):
            numba.set_num_threads(threads)
            results.append(histogram(ifs, 2 * CHAINS + 999, shape=(40, 30), colours=True, seed=2))
    finally:
        numba.set_num_threads(before)
    assert torch.equal(results[0].counts, results[1].counts) and torch.equal(results[0].rgb, results[1].rgb)


@pytest.mark.parametrize("engine", ["torch", "numba"])
@pytest.mark.parametrize(("name", "shape"), [("barnsley-fern", (37, 23)), ("fern-3d", (9, 8, 7))])
def test_counts_are_the_histogram_of_the_sample(engine, name, shape):
    ifs = preset(name)
    n = CHAINS + 1234
    low, high = extent(ifs)
    low = low + 0.1 * (high - low)  # some points fall outside
    h = histogram(ifs, n, shape=shape, bounds=(low, high), seed=4, engine=engine, dtype=torch.float64)
    x = sample(ifs, n, seed=4, engine=engine, dtype=torch.float64).points.numpy()
    edges = [np.linspace(float(low[c]), float(high[c]), s + 1) for c, s in reversed(list(enumerate(shape[::-1])))]
    expected, _ = np.histogramdd(x[:, ::-1], bins=edges)
    assert int(h.counts.sum()) + h.outside == n and h.outside > 0
    assert np.abs(h.counts.numpy() - expected).sum() <= 4  # rounding at cell borders


def test_colours_agree_with_the_addresses():
    ifs = preset("sierpinski-triangle")
    n = CHAINS
    bounds = extent(ifs)
    h = histogram(ifs, n, shape=(1, 1), bounds=bounds, colours=True)
    o = sample(ifs, n, depth=24, dtype=torch.float64)
    assert torch.allclose(h.rgb[0, 0] / n, ifs.colour_of(o.addresses).mean(0), atol=1e-4)
    plain = histogram(ifs, n, shape=(1, 1), bounds=bounds, colours=True, engine="torch")
    assert torch.allclose(plain.rgb, h.rgb, atol=n * 2**-15)


def test_moments_of_an_orbit_match_the_exact_ones():
    ifs = preset("barnsley-fern")
    x = sample(ifs, 1_000_000, dtype=torch.float64).points
    sigma = covariance(ifs).diagonal().sqrt() / 1000
    assert ((x.mean(0) - mean(ifs)).abs() < 8 * sigma).all()  # successive points of a chain are correlated
    assert torch.allclose(torch.cov(x.T), covariance(ifs), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("weights", [[0.1, 0.2, 0.7], [0.5, 0.5, 0.0], [1e-4, 0.3, 0.6999]])
def test_addresses_follow_the_weights(weights):
    base = preset("sierpinski-triangle")
    ifs = AffineIFS(base.matrices, base.offsets, torch.tensor(weights, dtype=torch.float64))
    n = CHAINS * 4
    counts = np.bincount(addresses(sample(ifs, n, depth=1))[:, 0].numpy(), minlength=3)
    expected = n * ifs.probabilities.numpy()
    used = expected > 0
    assert (counts[~used] == 0).all()
    assert stats.chisquare(counts[used], expected[used]).pvalue > 1e-4


def test_points_of_one_row_are_independent():
    o = sample(preset("sierpinski-triangle"), CHAINS, depth=2)
    a = addresses(o)
    pairs = np.bincount((a[:-1, 0] * 3 + a[1:, 0]).numpy(), minlength=9)
    assert stats.chisquare(pairs).pvalue > 1e-4
    own = np.bincount((a[:, 0] * 3 + a[:, 1]).numpy(), minlength=9)
    assert stats.chisquare(own).pvalue > 1e-4


@pytest.mark.parametrize("k", [1, 2, 3, 5, 64, 300])
def test_alias_table_gives_back_the_weights(k):
    p = np.random.default_rng(k).dirichlet(np.full(k, 0.5))
    p[p < 1e-3 / k] = 0
    p /= p.sum()
    threshold, pair = alias_table(p)
    got = np.zeros(k)
    share = threshold / 2**32
    np.add.at(got, pair[:, 0], share / len(share))
    np.add.at(got, pair[:, 1], (1 - share) / len(share))
    assert np.abs(got - p).max() < 1e-9 and (got[p == 0] == 0).all()


def test_edges():
    one = AffineIFS(torch.eye(2)[None] / 2, torch.ones(1, 2))
    assert torch.allclose(sample(one, 5).points, torch.full((5, 2), 2.0))
    assert sample(one, 0).points.shape == (0, 2) and sample(one, 0, depth=2).addresses.shape == (0, 2)
    assert int(histogram(one, 0, shape=(2, 2)).counts.sum()) == 0
    many = AffineIFS(torch.eye(2).expand(4096, 2, 2) / 99, torch.randn(4096, 2))
    a, b = sample(many, 500, depth=1, engine="torch"), sample(many, 500, depth=1)
    assert torch.equal(addresses(a), addresses(b)) and int(addresses(a).max()) > 2048


@pytest.mark.parametrize(
    "call",
    [
        lambda f: sample(f, -1),
        lambda f: sample(f, 5, engine="cuda"),
        lambda f: sample(f, 5, depth=999),
        lambda f: sample(f, 5, dtype=torch.float16),
        lambda f: sample(f, 5, seed=2**70),
        lambda f: sample(f, 5, burn_in=-3),
        lambda f: sample(f, 5, engine="numba", device="cuda"),
        lambda f: histogram(f, 5, shape=(0, 3)),
        lambda f: histogram(f, 5, shape=(3,)),
        lambda f: histogram(f, 5, shape=(1 << 20, 1 << 20)),
        lambda f: histogram(f, 5, shape=(2, 2), bounds=(torch.ones(2), torch.zeros(2))),
        lambda f: even(f, -1),
    ],
)
def test_refuses_bad_arguments(call):
    with pytest.raises(UsageError):
        call(preset("levy-c"))


def test_refuses_a_code_that_does_not_contract():
    with pytest.raises(DataError, match=r"maps\[1\]"):
        sample(AffineIFS(torch.stack([torch.eye(2) / 2, torch.eye(2) * 1.1]), torch.zeros(2, 2)), 5)


@pytest.mark.parametrize("name", ["barnsley-fern", "menger-sponge", "tree-3d"])
def test_even_points_are_evener_than_random_ones(name):
    ifs = preset(name)
    n = 5000
    points = {"even": even(ifs, n).points.double().numpy(), "random": sample(ifs, n).points.double().numpy()}
    probe = even(ifs, 20000).points.double().numpy()
    spread, hole = {}, {}
    for key, x in points.items():
        assert x.shape == (n, ifs.dim)
        gap = cKDTree(x).query(x, k=2)[0][:, 1]
        spread[key] = gap.std() / gap.mean()
        hole[key] = np.quantile(cKDTree(x).query(probe)[0], 0.999)
    assert spread["even"] < 0.6 * spread["random"] and hole["even"] < hole["random"]
    assert len(np.unique(points["even"], axis=0)) == n
    assert np.array_equal(even(ifs, n).points.double().numpy(), points["even"])


def test_even_with_addresses_and_degenerate_attractors():
    ifs = preset("vicsek")
    o = even(ifs, 777, depth=3)
    assert o.points.shape == (777, 2) and o.addresses.shape == (777, 3)
    point = AffineIFS(torch.eye(2)[None] / 2, torch.ones(1, 2))
    assert torch.allclose(even(point, 9).points, torch.full((9, 2), 2.0))
    assert even(ifs, 0).points.shape == (0, 2)

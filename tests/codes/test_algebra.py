"""Operations on codes and their effect on the attractor; bounds that contain it."""

import math

import pytest
import torch

from fractalkit.codes import AffineIFS, preset
from fractalkit.codes.algebra import compose, conjugate, interpolate, power
from fractalkit.codes.bounds import bounding_ball, bounding_box
from fractalkit.codes.dimension import box_dimension, similarity_dimension
from fractalkit.codes.moments import covariance, mean, raw_moments
from fractalkit.codes.presets import PRESETS
from fractalkit.codes.random import random_ifs
from fractalkit.errors import DataError, UsageError
from fractalkit.orbit import sample


def word(ifs, x, maps):
    """f_{maps[0]} f_{maps[1]} … (x)."""
    for k in reversed(maps):
        x = ifs.matrices[k] @ x + ifs.offsets[k]
    return x


def test_composition_is_one_map_after_another():
    f, g = preset("barnsley-fern"), preset("maple-leaf")
    fg = compose(f, g)
    x = torch.tensor([0.3, -0.2], dtype=torch.float64)
    assert len(fg) == len(f) * len(g)
    for i in range(len(f)):
        for j in range(len(g)):
            k = i * len(g) + j
            torch.testing.assert_close(word(fg, x, [k]), word(f, word(g, x, [j]), [i]))
            torch.testing.assert_close(fg.probabilities[k], f.probabilities[i] * g.probabilities[j])
    with pytest.raises(UsageError, match="dimension"):
        compose(f, preset("fern-3d"))


@pytest.mark.parametrize("name", ["barnsley-fern", "fern-3d"])
def test_a_power_has_the_same_measure(name):
    ifs = preset(name)
    cube = power(ifs, 3)
    assert len(cube) == len(ifs) ** 3
    torch.testing.assert_close(mean(cube), mean(ifs))
    torch.testing.assert_close(covariance(cube), covariance(ifs))
    with pytest.raises(UsageError):
        power(ifs, 0)
    with pytest.raises(UsageError, match="more than"):
        power(preset("menger-sponge"), 4)


def test_conjugation_moves_the_attractor():
    ifs = preset("barnsley-fern")
    m = torch.tensor([[0.0, -2.0], [2.0, 0.0]], dtype=torch.float64)
    v = torch.tensor([1.0, 5.0], dtype=torch.float64)
    moved = conjugate(ifs, m, v)
    torch.testing.assert_close(mean(moved), m @ mean(ifs) + v)
    torch.testing.assert_close(covariance(moved), m @ covariance(ifs) @ m.T)
    torch.testing.assert_close(moved.norms(), ifs.norms())
    a, b = sample(ifs, 500, seed=3).points, sample(moved, 500, seed=3).points
    torch.testing.assert_close(b, (a.double() @ m.T + v).to(b), atol=1e-4, rtol=1e-4)
    with pytest.raises(UsageError, match="invertible"):
        conjugate(ifs, torch.zeros(2, 2), v)


def test_interpolation_ends_where_it_should_and_contracts_on_the_way():
    a, b = preset("heighway-dragon"), preset("levy-c")
    for t, end in ((0.0, a), (1.0, b)):
        torch.testing.assert_close(interpolate(a, b, t).matrices, end.matrices)
        torch.testing.assert_close(interpolate(a, b, t).offsets, end.offsets)
    for t in (0.25, 0.5, 0.9):
        assert interpolate(a, b, t).lipschitz() <= max(a.lipschitz(), b.lipschitz()) + 1e-12
    with pytest.raises(UsageError, match="map-by-map"):
        interpolate(a, preset("terdragon"), 0.5)
    with pytest.raises(UsageError):
        interpolate(a, b, 1.5)


def test_interpolation_turns_by_the_short_way():
    def turned(degrees):
        c, s = math.cos(math.radians(degrees)) / 2, math.sin(math.radians(degrees)) / 2
        return AffineIFS(torch.tensor([[[c, -s], [s, c]]]).double(), torch.zeros(1, 2).double())

    torch.testing.assert_close(interpolate(turned(170), turned(-170), 0.5).matrices, turned(180).matrices)


@pytest.mark.parametrize("angle", [0.0, 1e-6, 0.4, 2.0, 3.1, math.pi])
def test_in_space_a_share_of_a_turn_is_a_turn_by_that_share(angle):
    axes = torch.randn(20, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    axes = torch.cat([torch.eye(3, dtype=torch.float64), -torch.eye(3, dtype=torch.float64), axes])
    axes = axes / axes.norm(dim=1, keepdim=True)
    skew = torch.linalg.cross(torch.eye(3, dtype=torch.float64).expand(len(axes), 3, 3), axes[:, None], dim=-1)
    whole, part = torch.matrix_exp(angle * skew), torch.matrix_exp(0.3 * angle * skew)
    offsets = torch.zeros(len(axes), 3, dtype=torch.float64)
    still = AffineIFS(0.5 * torch.eye(3, dtype=torch.float64).expand(len(axes), 3, 3), offsets)
    turned = AffineIFS(0.5 * whole, offsets)
    got = interpolate(still, turned, 0.3).matrices / 0.5
    if angle == math.pi:  # either way round is as short
        part = torch.where((got - part).abs().amax((1, 2), keepdim=True) < 1e-6, part, part.mT)
    assert torch.allclose(got, part, atol=1e-6)


def test_a_plane_is_no_place_to_conjugate_by():
    triangle = preset("sierpinski-triangle")
    flat = torch.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=torch.float64)
    for matrix, offset in ((flat, torch.zeros(2)), (torch.eye(3), torch.zeros(3)), (torch.eye(2), torch.zeros(3))):
        with pytest.raises(UsageError, match="conjugate"):
            conjugate(triangle, matrix, offset)
    small = conjugate(triangle, 0.5 * torch.eye(2), torch.zeros(2))  # of determinant 1/4, and invertible
    assert torch.allclose(small.offsets, triangle.offsets / 2)


def test_moments_of_the_cantor_set_in_closed_form():
    a = torch.tensor([[[1 / 3, 0.0], [0.0, 1 / 3]]] * 2, dtype=torch.float64)
    cantor = AffineIFS(a, torch.tensor([[0.0, 0.0], [2 / 3, 0.0]], dtype=torch.float64))
    m = raw_moments(cantor, 4)
    # E X = 1/2 and Var X = 1/8; the fourth central moment of Σ ±3^-n is Σ 1/81^n + 6 Σ_{n<m} 9^-(n+m)
    assert m[1, 0] == pytest.approx(0.5, abs=1e-14) and m[2, 0] - 0.25 == pytest.approx(0.125, abs=1e-14)
    s2, s4 = 1 / 8, 1 / 80
    fourth = s4 + 3 * (s2**2 - s4)
    central = m[4, 0] - 4 * m[3, 0] * 0.5 + 6 * m[2, 0] * 0.25 - 4 * m[1, 0] * 0.125 + 0.0625
    assert central == pytest.approx(fourth, abs=1e-14)
    assert m[0, 1] == m[1, 1] == 0


@pytest.mark.parametrize("name", ["barnsley-fern", "tree-3d"])
def test_moments_agree_with_a_sample(name):
    ifs = preset(name)
    x = sample(ifs, 200_000, seed=1).points.double()
    scale = x.std(0).max()
    torch.testing.assert_close(mean(ifs), x.mean(0), atol=0.02 * float(scale), rtol=0)
    torch.testing.assert_close(covariance(ifs), x.T.cov(), atol=0.02 * float(scale) ** 2, rtol=0)
    m = raw_moments(ifs, 2)
    unit = [tuple(int(i == j) for j in range(ifs.dim)) for i in range(ifs.dim)]
    torch.testing.assert_close(torch.tensor([m[e] for e in unit], dtype=torch.float64), mean(ifs))


@pytest.mark.parametrize(
    ("name", "dimension"),
    [
        ("sierpinski-triangle", math.log(3) / math.log(2)),
        ("sierpinski-carpet", math.log(8) / math.log(3)),
        ("menger-sponge", math.log(20) / math.log(3)),
        ("koch-curve", math.log(4) / math.log(3)),
        ("cantor-dust", math.log(4) / math.log(3)),
        ("heighway-dragon", 2.0),
        ("terdragon", 2.0),
        ("levy-c", 2.0),
        ("sierpinski-tetrahedron", 2.0),
        ("vicsek", math.log(5) / math.log(3)),
    ],
)
def test_similarity_dimension_in_closed_form(name, dimension):
    assert similarity_dimension(preset(name)) == pytest.approx(dimension, abs=1e-9)


@pytest.mark.parametrize("name", ["sierpinski-triangle", "sierpinski-tetrahedron", "koch-curve"])
def test_box_counting_comes_near(name):
    ifs = preset(name)
    points = sample(ifs, 400_000, seed=0).points
    assert box_dimension(points).dimension == pytest.approx(similarity_dimension(ifs), abs=0.12)


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_contracts_within_its_bounds(name):
    ifs = preset(name)
    assert ifs.lipschitz() < 1 and len(PRESETS[name].source) > 5 and ifs.colours is not None
    x = sample(ifs, 20_000, seed=0, dtype=torch.float64).points
    assert torch.isfinite(x).all()
    centre, radius = bounding_ball(ifs)
    assert float(torch.linalg.vector_norm(x - centre, dim=1).max()) <= radius * (1 + 1e-6)
    low, high = bounding_box(ifs)
    size = float((high - low).max())
    assert (x >= low - 1e-6 * size).all() and (x <= high + 1e-6 * size).all()
    # tight: some point of so many comes near each side
    assert (x.min(0).values - low < 0.1 * size).all() and (high - x.max(0).values < 0.1 * size).all()


def test_at_least_thirty_presets_and_the_near_miss_is_named():
    assert len(PRESETS) >= 30
    with pytest.raises((DataError, UsageError), match="barnsley-fern"):
        preset("barnsley-fren")


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("rule", ["singular-values", "variance", "scales"])
def test_random_codes_contract_and_follow_the_seed(rule, dim):
    for seed in range(10):
        a = random_ifs(3, dim, rule=rule, generator=torch.Generator().manual_seed(seed))
        b = random_ifs(3, dim, rule=rule, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(a.matrices, b.matrices) and torch.equal(a.offsets, b.offsets)
        assert a.lipschitz() < 1 and a.dim == dim and len(a) == 3


def test_the_singular_value_rule_keeps_its_factor():
    # Anderson and Farrell (2022): Σ_k (σ_1 + 2 σ_2) in the plane lies between (5 + K) / 2 and (6 + K) / 2
    for seed in range(20):
        ifs = random_ifs(4, 2, generator=torch.Generator().manual_seed(seed))
        sv = torch.linalg.svdvals(ifs.matrices)
        assert 4.5 - 1e-9 <= float((sv[:, 0] + 2 * sv[:, 1]).sum()) <= 5 + 1e-9


def test_the_rule_of_scales_keeps_its_range_and_reflects_half_the_maps():
    g = torch.Generator().manual_seed(1)
    a = torch.cat([random_ifs(6, 2, rule="scales", generator=g).matrices for _ in range(50)])
    sv = torch.linalg.svdvals(a)
    assert 0.1 <= float(sv.min()) < 0.12 and 0.78 < float(sv.max()) <= 0.8
    assert 0.4 < float((torch.linalg.det(a) < 0).double().mean()) < 0.6


def test_random_codes_refuse_what_makes_no_sense():
    for k, dim, rule in ((1, 2, "variance"), (65, 2, "variance"), (3, 4, "variance"), (3, 2, "luck")):
        with pytest.raises(UsageError):
            random_ifs(k, dim, rule=rule)

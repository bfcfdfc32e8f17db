"""CloudMap: fixed points on the attractor of a graph, its metric, and gradients."""

import pytest
import torch

from fractalkit.codes import CloudCollage, preset
from fractalkit.core import Implicit, fixed_point, solve
from fractalkit.errors import DataError, UsageError
from fractalkit.maps import CloudMap
from fractalkit.maps.convert import to_map
from tests.codes.test_cloud_collage import random_collage


def two_cells(expansion):
    """Two ranges that copy each other; the first map expands."""
    a = torch.tensor([expansion, 0.2], dtype=torch.float64)[:, None, None] * torch.eye(2, dtype=torch.float64)
    b = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    return CloudCollage(a, b, torch.tensor([[1, 2], [0, 1]]), torch.ones(2))


def test_a_map_that_expands_within_a_contracting_cycle_solves():
    code = two_cells(3.0)
    assert float(code.norms().max()) == 3.0
    x = fixed_point(to_map(code, points=2))
    # x0 = 3 x1 + (1, 0) and x1 = 0.2 x0 + (0, 1)
    torch.testing.assert_close(x, torch.tensor([[2.5, 7.5], [0.5, 2.5]], dtype=torch.float64))
    with pytest.raises(DataError, match="does not contract"):
        to_map(two_cells(6.0), points=2)


@pytest.mark.parametrize("name", ["sierpinski-triangle", "barnsley-fern", "menger-sponge"])
def test_presets_as_collages_have_the_same_attractor(name):
    ifs = preset(name)
    x = fixed_point(to_map(CloudCollage.of(ifs), points=2000, seed=1))
    # every point's own address, from its own point: exactly on the attractor
    m = to_map(CloudCollage.of(ifs), points=2000, seed=1)
    torch.testing.assert_close(
        ifs.apply(x[m.sources].to(ifs.matrices), m.ranges), x.to(ifs.matrices), atol=1e-9, rtol=0
    )
    counts = torch.bincount(m.ranges, minlength=len(ifs))
    assert ((counts - 2000 * ifs.probabilities.double()).abs() <= 1 + len(ifs)).all()


def test_ranges_have_points_by_weight_and_sources_in_their_domains():
    code = random_collage(0, ranges=40, scale=0.2, spread=0.4)
    m = CloudMap.stratified(code, 5000, seed=3)
    counts = torch.bincount(m.ranges, minlength=40)
    assert counts.sum() == 5000 and ((counts - 1 - (5000 - 40) * code.weights).abs() <= 1).all()
    r = 7
    lo, hi = code.domains[r].tolist()
    mine = m.ranges[m.sources[m.ranges == r]]
    share = code.weights[lo:hi] / code.weights[lo:hi].sum()
    assert ((torch.bincount(mine - lo, minlength=hi - lo) / len(mine) - share).abs() <= 1.01 / len(mine)).all()
    again = CloudMap.stratified(code, 5000, seed=3)
    assert torch.equal(m.sources, again.sources)


def test_gradients_reach_the_maps_through_the_fixed_point():
    code = random_collage(2, ranges=5, dim=2, scale=0.3, spread=0.4)

    def points(a, b):
        m = CloudMap.stratified(CloudCollage(a, b, code.domains, code.weights), 9, seed=1)
        return solve(m, tol=1e-12, adjoint=Implicit(tol=1e-12)).value

    a, b = code.matrices.clone().requires_grad_(), code.offsets.clone().requires_grad_()
    assert torch.autograd.gradcheck(points, (a, b), atol=1e-6)
    loss = fixed_point(CloudMap.stratified(CloudCollage(a, b, code.domains, code.weights), 9, seed=1)).square().sum()
    exact = torch.autograd.grad(points(a, b).square().sum(), (a, b))
    for mine, its in zip(torch.autograd.grad(loss, (a, b)), exact, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-6, atol=1e-8)


def test_refuses_bad_input():
    code = two_cells(0.5)
    with pytest.raises(UsageError, match="one a range"):
        to_map(code, points=1)
    with pytest.raises(UsageError, match="ranges must be in"):
        CloudMap(code, torch.tensor([0, 2]), torch.tensor([1, 0]))
    with pytest.raises(UsageError, match="in the domain of its own range"):
        CloudMap(code, torch.tensor([0, 1]), torch.tensor([0, 0]))

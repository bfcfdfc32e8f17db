"""One property test over every IteratedMap in the package: shape, Lipschitz bound, residual, uniqueness."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import torch

import fractalkit
from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.collage import WHOLE, CollageCode, Domain
from fractalkit.core import IteratedMap, solve
from fractalkit.core.iterated_map import FunctionMap
from fractalkit.maps import AddressedPoints, CloudMap
from fractalkit.maps.collage import CollageMap
from fractalkit.maps.copies import CopyMap
from fractalkit.maps.dense import DenseMap
from fractalkit.maps.enlarge import EnlargeMap
from fractalkit.maps.measure import MeasureMap
from fractalkit.maps.nodes import NodeMap, centre_nodes
from fractalkit.maps.orbits import OrbitMap
from fractalkit.maps.quadtree import QuadtreeMap
from fractalkit.maps.quadtree_copies import QuadtreeCopyMap
from fractalkit.maps.quadtree_directions import QuadtreeDirectionMap
from fractalkit.models.mean_picture import MeanMap, MeanPicture
from fractalkit.models.neural_collage import PlaneMap, Synthesis
from tests.codes.test_cloud_collage import random_collage


def quadtree(seed: int, slopes: bool = True) -> QuadtreeMap:
    from tests.maps.test_quadtree import plane

    return QuadtreeMap(plane(seed, slopes, 4), dtype=torch.float64)


def quadtree_copies(seed: int, slopes: bool = True) -> QuadtreeCopyMap:
    from tests.maps.test_quadtree_copies import plane

    return QuadtreeCopyMap(plane(seed, slopes), dtype=torch.float64)


def quadtree_directions(seed: int) -> QuadtreeDirectionMap:
    from tests.maps.test_quadtree_directions import plane

    return QuadtreeDirectionMap(plane(seed), dtype=torch.float64)


def plane_map(plane: int) -> PlaneMap:
    g = torch.Generator().manual_seed(plane)
    values, raw = (torch.randn(2, n, 2, 2, generator=g, dtype=torch.float64) for n in (384, 18))
    patches = torch.randn(2, 63, 63, generator=g, dtype=torch.float64)
    return PlaneMap(Synthesis(values, 0.4, raw, patches), plane)


def enlargement(detail: float, channels: int) -> EnlargeMap:
    from fractalkit.fit.enlargement import enlargement as fit

    picture = 255 * torch.rand(channels, 16, 14, generator=torch.Generator().manual_seed(3))
    return EnlargeMap(fit(picture, detail), dtype=torch.float64)


def skewed(dim: int, k: int = 3) -> AffineIFS:
    g = torch.Generator().manual_seed(dim)
    a = torch.randn(k, dim, dim, generator=g, dtype=torch.float64)
    a = a * torch.tensor([0.8, 0.5, 0.3][:k])[:, None, None] / torch.linalg.matrix_norm(a, ord=2)[:, None, None]
    return AffineIFS(a, torch.randn(k, dim, generator=g, dtype=torch.float64))


def collage(grid: tuple[int, int], *domains: Domain, continuous: bool = True) -> CollageCode:
    g = torch.Generator().manual_seed(sum(grid))
    raw, b, u, c = (torch.randn(2, 2, *grid, n, generator=g, dtype=torch.float64) for n in (len(domains), 1, 2, 3))
    contrast = CollageCode.bounded(3 * raw, 0.7)
    return CollageCode(contrast, b[..., 0], u[:, :1], c[:, :1, :2, :2, 0], domains, continuous)


def copies(seed: int) -> CopyMap:
    from tests.maps.test_copies import strip

    return CopyMap(strip(seed), dtype=torch.float64)


EXAMPLES = {
    AddressedPoints: [
        lambda: AddressedPoints.words(skewed(2), 3),
        lambda: AddressedPoints.words(skewed(3), 2),
        lambda: AddressedPoints.cycle(skewed(2), torch.tensor([0, 1, 2, 2, 0, 1, 1])),
        lambda: AddressedPoints.words(skewed(2, 1), 1),
    ],
    CloudMap: [
        lambda: CloudMap.stratified(random_collage(1, scale=0.25), 60),
        lambda: CloudMap.stratified(random_collage(3, scale=0.3, dim=2), 50),
        lambda: CloudMap.stratified(random_collage(3, scale=0.2, spread=1.2), 80),
    ],
    CollageMap: [
        lambda: CollageMap(collage((3, 3), WHOLE), 9, 9),
        lambda: CollageMap(collage((4, 2), WHOLE, Domain(isometry=6)), 8, 6),
        lambda: CollageMap(collage((4, 4), WHOLE, Domain(2, 1, 0, 5), continuous=False), 8, 8),
    ],
    CopyMap: [lambda: copies(0), lambda: copies(1)],
    EnlargeMap: [lambda: enlargement(1.0, 1), lambda: enlargement(2.0, 3), lambda: enlargement(0.0, 1)],
    DenseMap: [lambda: DenseMap(collage((3, 5), WHOLE)[:1], 9, 10)],
    MeanMap: [lambda: MeanMap(MeanPicture(collage((3, 3), WHOLE)[:1], torch.sigmoid, 9), 9, 9)],
    PlaneMap: [lambda: plane_map(0), lambda: plane_map(2)],
    OrbitMap: [
        lambda: OrbitMap(
            torch.randn(2, 3, 2, 3, dtype=torch.float64),
            0.7 * torch.rand(2, 1, 2, 3, dtype=torch.float64),
            np.array([1, 0, 4, 3, 2, 5]),
            torch.full((2,), 0.7, dtype=torch.float64),
            7,
        )
    ],
    MeasureMap: [
        lambda: MeasureMap(skewed(2), (6, 4)),
        lambda: MeasureMap(skewed(2), (8, 8)),
        lambda: MeasureMap(skewed(2, 1), (2, 3), torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 0.5])),
    ],
    QuadtreeMap: [lambda: quadtree(0), lambda: quadtree(1, False)],
    QuadtreeCopyMap: [lambda: quadtree_copies(0), lambda: quadtree_copies(1, False)],
    QuadtreeDirectionMap: [lambda: quadtree_directions(0), lambda: quadtree_directions(1)],
    NodeMap: [
        lambda: NodeMap(code := collage((3, 3), WHOLE, Domain(2, 0, 1, 3)), centre_nodes(code, 5, 7)),
        lambda: NodeMap(code := collage((3, 2), WHOLE, Domain(isometry=7), continuous=False), centre_nodes(code, 4, 7)),
    ],
}


def subclasses():
    found = set()
    for info in pkgutil.walk_packages(fractalkit.__path__, "fractalkit."):
        if info.name.endswith("__main__") or ".triton" in info.name:
            continue
        module = importlib.import_module(info.name)
        for _, c in inspect.getmembers(module, inspect.isclass):
            if issubclass(c, IteratedMap) and not inspect.isabstract(c):
                found.add(c)
    return found - {FunctionMap}  # of a user's function, which proves nothing


def test_every_map_has_an_example():
    missing = [c.__name__ for c in subclasses() if c not in EXAMPLES]
    assert not missing, f"add examples of {missing} to EXAMPLES"


CASES = [
    pytest.param(build, id=f"{c.__name__}-{i}") for c, builds in EXAMPLES.items() for i, build in enumerate(builds)
]


@pytest.mark.parametrize("build", CASES)
def test_step_keeps_shape_and_type(build):
    m = build()
    x = m.start()
    y = m.step(x)
    assert y.shape == x.shape and y.dtype == x.dtype and y.device == x.device
    assert m.distance(x, x).eq(0).all() and m.distance(x, y).shape == m.lipschitz().shape


@pytest.mark.parametrize("build", CASES)
def test_lipschitz_bound_holds_for_points_and_for_the_jacobian(build):
    m = build()
    rate = m.lipschitz()
    assert (rate < 1).all()
    x = m.start()
    for scale in (1e-3, 1.0, 1e3):
        u, v = x + scale * torch.randn_like(x), x + scale * torch.randn_like(x)
        assert (m.distance(m.step(u), m.step(v)) <= rate * m.distance(u, v) * (1 + 1e-9)).all()
    for _ in range(20):
        d = torch.randn_like(x)
        image = torch.autograd.functional.jvp(m.step, x, d)[1]  # the Jacobian at x times d
        zero = torch.zeros_like(x)
        assert (m.distance(image, zero) <= rate * m.distance(d, zero) * (1 + 1e-9)).all()


@pytest.mark.parametrize("build", CASES)
@pytest.mark.parametrize("solver", ["picard", "anderson"])
def test_solution_is_fixed_and_unique(build, solver):
    m = build()
    s = solve(m, solver=solver, tol=1e-9)
    assert s.converged and (m.distance(s.value, m.step(s.value)) <= 1e-9).all()
    other = solve(m, m.start() + 10 * torch.randn_like(m.start()), tol=1e-9).value
    assert (m.distance(s.value, other) <= 2e-9).all()

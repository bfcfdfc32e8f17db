"""The inverse problem end to end, at small sizes: known attractors, awkward clouds, bad input."""

import numpy as np
import pytest
import torch

from fractalkit.codes import preset
from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import DataError, UsageError
from fractalkit.fit import collage_bound, compare_clouds, fit_cloud
from fractalkit.orbit import sample


def draw(name, n=3000, seed=0):
    return sample(preset(name), n, seed=seed, dtype=torch.float64).points


def ratio(ifs, cloud, again):
    """Chamfer distance of the fitted attractor, relative to that of another sample of the true one."""
    points = sample(ifs, len(cloud), seed=9, dtype=torch.float64).points
    return compare_clouds(points, cloud).chamfer / compare_clouds(again, cloud).chamfer


@pytest.mark.parametrize(
    "name",
    ["sierpinski-triangle", pytest.param("heighway-dragon", marks=pytest.mark.slow), "sierpinski-tetrahedron"],
)
def test_known_attractors_are_found(name):
    truth = preset(name)
    cloud = draw(name)
    found = fit_cloud(cloud, maps=len(truth), effort=2)
    assert len(found) == len(truth) and found.dim == truth.dim
    assert ratio(found, cloud, draw(name, seed=1)) < 1.08
    # equal weights were drawn from, and are found
    torch.testing.assert_close(found.probabilities, truth.probabilities, atol=0.03, rtol=0)


@pytest.mark.slow
def test_weights_are_estimated():
    truth = preset("sierpinski-triangle")
    lopsided = type(truth)(truth.matrices, truth.offsets, torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64))
    found = fit_cloud(sample(lopsided, 4000, seed=0).points, maps=3, effort=2)
    torch.testing.assert_close(
        found.probabilities, torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64), atol=0.04, rtol=0
    )


@pytest.mark.slow
def test_auto_finds_the_number_of_maps():
    found = fit_cloud(draw("sierpinski-triangle"), maps="auto", effort=1)
    assert len(found) == 3 and "3" in found.provenance["maps_rule"]


@pytest.mark.slow
def test_auto_tells_flat_maps_apart():
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    matrices = torch.stack([0.6 * turn, torch.diag(torch.tensor([0.5, 0.1], dtype=torch.float64)), 0.3 * turn.T])
    offsets = torch.tensor([[0.0, 0.0], [1.0, 0.2], [0.3, 1.5]], dtype=torch.float64)
    truth = AffineIFS(torch.cat([matrices, 0.4 * matrices[:1]]), torch.cat([offsets, offsets.flip(1)[1:2]]))
    cloud, again = (sample(truth, 3000, seed=s, dtype=torch.float64).points for s in (0, 1))
    shares = []
    found = fit_cloud(cloud, maps="auto", effort=3, progress=lambda word, share: shares.append(share))
    assert len(found) == 4 and ratio(found, cloud, again) < 1.1
    assert max(shares) == shares[-1] == 1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_result():
    cloud = draw("heighway-dragon", 1000)
    a, b = (fit_cloud(cloud, maps=2, effort=0, seed=5) for _ in range(2))
    assert torch.equal(a.matrices, b.matrices) and torch.equal(a.offsets, b.offsets)


@pytest.mark.slow
def test_generators_in_the_same_state_give_the_same_result():
    cloud = draw("heighway-dragon", 1000)
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    c, d = (fit_cloud(cloud, maps=2, effort=0, generator=g) for g in generators)
    assert torch.equal(c.matrices, d.matrices) and c.to_json() == d.to_json()


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("shift", [0.0, 5e6])
def test_units_do_not_matter(scale, shift):
    cloud = (draw("sierpinski-triangle", 1000).numpy() + shift) * scale
    found = fit_cloud(cloud, maps=3, effort=0)
    assert torch.isfinite(found.matrices).all() and torch.isfinite(found.offsets).all() and found.lipschitz() <= 0.98501
    points = sample(found, 1000, seed=1, dtype=torch.float64).points.numpy()
    low, high = cloud.min(0), cloud.max(0)
    size = (high - low).max()
    assert (points > low - 0.2 * size).all() and (points < high + 0.2 * size).all()


@pytest.mark.slow
def test_colours_are_kept():
    # no symmetry, so that there is one code only and deep addresses are told apart as well
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    matrices = torch.stack([0.6 * turn, 0.5 * torch.eye(2, dtype=torch.float64), 0.3 * turn.T])
    offsets = torch.tensor([[0.0, 0.0], [1.0, 0.2], [0.3, 1.5]], dtype=torch.float64)
    paint = torch.eye(3, dtype=torch.float64)
    truth = AffineIFS(matrices, offsets, None, paint, 0.6)
    orbit = sample(truth, 3000, seed=0, depth=8)
    found = fit_cloud(orbit.points, colours=truth.colour_of(orbit.addresses), maps=3, effort=2)
    assert found.colours is not None
    nearest = torch.cdist(paint, found.colours).min(dim=1).values
    assert float(nearest.max()) < 0.05  # each map has found its own colour again


def test_a_planar_cloud_in_space_is_fitted_in_its_plane():
    flat = draw("sierpinski-triangle").numpy()
    u = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    cloud = np.pad(flat, ((0, 0), (0, 1))) @ u.T + [1, 2, 3]
    found = fit_cloud(cloud, maps=3, effort=1)
    assert any("planar" in note for note in found.provenance["notes"])
    points = sample(found, 2000, seed=0, dtype=torch.float64).points.numpy()
    assert np.abs((points - [1, 2, 3]) @ u[:, 2]).max() < 1e-6


@pytest.mark.parametrize("dim", [2, 3])
def test_a_line_is_fitted_on_its_line(dim):
    way = np.arange(1.0, dim + 1)
    cloud = np.random.default_rng(0).random((500, 1)) * way
    found = fit_cloud(cloud, maps=2, effort=0)
    assert any("line" in note for note in found.provenance["notes"])
    points = sample(found, 500, seed=0, dtype=torch.float64).points.numpy()
    assert np.abs(points - (points @ way)[:, None] * way / (way @ way)).max() < 1e-6
    assert compare_clouds(points, cloud).chamfer < 0.02


def test_what_was_dropped_is_said():
    cloud = draw("sierpinski-triangle", 500).numpy()
    dirty = np.concatenate([cloud, cloud[:50], np.full((7, 2), np.nan), [[np.inf, 0]]])
    notes = " ".join(fit_cloud(dirty, maps=3, effort=0).provenance["notes"])
    assert "8 points that are not finite" in notes and "50 duplicate" in notes


@pytest.mark.slow
def test_a_cloud_that_is_no_attractor_is_drawn_in_round_copies():
    rng = np.random.default_rng(0)
    u, v = 2 * np.pi * rng.random((2, 4000))
    r = 2 + 0.6 * np.cos(u)
    torus = np.stack([r * np.cos(v), r * np.sin(v), 0.6 * np.sin(u)], axis=1)
    found = fit_cloud(torus, maps=4, effort=0)
    sv = torch.linalg.svdvals(found.matrices)
    assert found.provenance["isotropy"] == 0.4 and float((sv[:, -1] / sv[:, 0]).min()) > 0.399


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((100, 2)),
        np.zeros((0, 3)),
        np.zeros((100, 4)),
        np.zeros(100),
        np.random.default_rng(0).random((19, 2)),
        np.full((100, 2), np.nan),
        np.random.default_rng(0).random((100, 2)) * 1.7e308 * np.array([1, -1]),
        np.array([["a", "b"]] * 30),
    ],
)
def test_useless_clouds_are_refused(points):
    with pytest.raises(DataError, match="points: "):
        fit_cloud(points, maps=2, effort=0)


@pytest.mark.parametrize(
    "options",
    [{"maps": 0}, {"maps": 65}, {"maps": True}, {"maps": "many"}, {"effort": 10}, {"effort": -1}, {"isotropy": 1.5}],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        fit_cloud(draw("sierpinski-triangle", 50), **options)


def test_colours_of_the_wrong_shape_are_refused():
    cloud = draw("sierpinski-triangle", 50)
    for bad in (np.zeros((49, 3)), np.zeros((50, 4)), np.full((50, 3), np.nan)):
        with pytest.raises(DataError, match="colours"):
            fit_cloud(cloud, colours=bad, maps=2, effort=0)


@pytest.mark.slow
def test_progress_rises_to_its_end():
    seen = []
    shown: list[AffineIFS] = []
    fit_cloud(
        draw("heighway-dragon", 500), maps=2, effort=0, progress=lambda word, share: seen.append(share),
        callback=shown.append,
    )  # fmt: skip
    assert shown and all(len(code) == 2 and code.dim == 2 for code in shown)
    assert shown[-1].matrices.abs().max() < 1.1
    assert seen == sorted(seen) and 0 < seen[-1] <= 1 and len(seen) > 3


def test_the_collage_bound_holds():
    truth = preset("sierpinski-triangle")
    cloud = draw("sierpinski-triangle", 2000)
    shifted = type(truth)(truth.matrices, truth.offsets + 0.01)
    points = sample(shifted, 20_000, seed=3, dtype=torch.float64).points
    x, y = cloud.numpy(), points.numpy()
    diagonal = np.linalg.norm(x.max(0) - x.min(0))
    assert compare_clouds(y, x, points=None).hausdorff * diagonal <= collage_bound(shifted, cloud) + 0.02


@pytest.mark.slow
def test_a_dust_smaller_than_the_cells_of_grids_is_found():
    a = torch.tensor([[[-0.25, -0.137], [-0.293, -0.037]], [[0.44, -0.385], [0.173, -0.697]]], dtype=torch.float64)
    t = torch.tensor([[-0.3485, -0.2286], [-0.2863, 0.7896]], dtype=torch.float64)
    truth = AffineIFS(a, t, torch.tensor([0.1145, 0.8855], dtype=torch.float64))
    found = fit_cloud(sample(truth, 20_000, seed=1).points, maps=2)
    order = np.argsort(found.probabilities.numpy())
    np.testing.assert_allclose(found.matrices.numpy()[order], a, atol=1e-3)
    np.testing.assert_allclose(found.probabilities.numpy()[order], truth.probabilities, atol=0.02)

import numpy as np
import pytest
import torch

from fractalkit.codes.random import random_ifs
from fractalkit.fit import compare_clouds, fit_cloud
from fractalkit.fit.amortised import chosen_sets, proposed_maps
from fractalkit.fit.density import Density
from fractalkit.fit.target import make_target
from fractalkit.orbit import sample


def density_of(points: np.ndarray) -> Density:
    return Density(make_target(points, limit=20_000, rng=np.random.default_rng(0)), cap=0.985)


def nearest(maps: np.ndarray, others: np.ndarray, points: np.ndarray) -> float:
    """Mean over maps of the distance between the images of points under it and under the nearest of the others."""
    a, b = (np.einsum("kij,pj->kpi", m[:, :2, :2], points) + m[:, None, :2, 3] for m in (maps, others))
    return float(np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=3).mean(axis=2)).min(axis=1).mean())


def test_proposals_are_nearer_to_the_maps_than_those_of_other_codes():
    found, guessed = [], []
    for seed in range(3):
        code = random_ifs(4, 2, rule="scales", seed=seed)
        density = density_of(sample(code, 3000, seed=seed).points.numpy())
        space = density.target.subspace
        a, t = code.matrices.numpy(), code.offsets.numpy()
        true = np.zeros((4, 3, 4))
        true[:, :2, :2], true[:, :2, 3] = a, (t + a @ space.centre - space.centre) / space.scale
        maps = proposed_maps(density)
        assert np.array_equal(maps, proposed_maps(density))
        z = density.points[:200, :2]
        # as many maps by the same rule, whose images of the cloud are anywhere in it
        many = random_ifs(64, 2, rule="scales", seed=100 + seed).matrices.numpy()
        blind = np.zeros((64, 3, 4))
        blind[:, :2, :2] = many
        blind[:, :2, 3] = z[:64] - many @ z.mean(axis=0)
        found.append(nearest(true, maps[:64], z))
        guessed.append(nearest(true, blind, z))
    assert np.mean(found) < 0.6 * np.mean(guessed), (found, guessed)


def test_sets_that_make_up_the_cloud_come_first():
    code = random_ifs(3, 2, rule="scales", seed=5)
    density = density_of(sample(code, 3000, seed=0).points.numpy())
    space = density.target.subspace
    a, t = code.matrices.numpy(), code.offsets.numpy()
    maps = np.zeros((30, 3, 4))
    maps[:3, :2, :2], maps[:3, :2, 3] = a, (t + a @ space.centre - space.centre) / space.scale
    maps[3:] = maps[np.arange(27) % 3]
    maps[3:, :2] += 0.2 * np.random.default_rng(0).standard_normal((27, 2, 4))
    masses = density.pieces(maps, density.starts, density.levels[0])
    sets = chosen_sets(density, masses, 3, np.random.default_rng(0), starts=30)
    assert sets[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("maps", [3, "auto"])
def test_a_code_is_found_without_a_search(maps):
    code = random_ifs(3, 2, rule="scales", seed=4)
    x, y, z = (sample(code, 3000, seed=s).points.numpy() for s in range(3))
    shown: list[int] = []
    found, again = (fit_cloud(x, maps=maps, effort=0, callback=lambda c: shown.append(len(c))) for _ in range(2))
    assert torch.equal(found.matrices, again.matrices)
    assert len(found) == shown[0] == 3
    ours = compare_clouds(sample(found, 3000, seed=5).points, y, points=None).chamfer
    assert ours < 1.1 * compare_clouds(z, y, points=None).chamfer


def test_a_line_has_no_proposals():
    s = np.linspace(0, 1, 200)
    target = make_target(np.stack([s, s**2 * 0.1], axis=1), limit=1000, rng=np.random.default_rng(0))
    density = Density(target, cap=0.985)
    density.starts = density.starts * [1.0, 0.0, 0.0]
    assert proposed_maps(density).shape == (0, 3, 4)

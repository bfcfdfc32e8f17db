"""Cells that an attractor touches."""

import numpy as np
import pytest
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.presets import preset
from fractalkit.errors import DataError, UsageError
from fractalkit.orbit import histogram, touched_cells


def code() -> AffineIFS:
    g = torch.Generator().manual_seed(3)
    a = 0.5 * torch.randn(3, 2, 2, generator=g, dtype=torch.float64)
    a = a * (0.7 / torch.linalg.matrix_norm(a, ord=2))[:, None, None]
    return AffineIFS(a, torch.rand(3, 2, generator=g, dtype=torch.float64))


def plainly(ifs, shape, low, high):
    """The cells reached from the fixed points, by sets of cells, each with the first point found in it."""
    a, t = ifs.matrices.numpy(), ifs.offsets.numpy()
    queue = [np.linalg.solve(np.eye(2) - a[k], t[k]) for k in range(len(a))]
    cell = (high - low) / np.array(shape[::-1])
    seen = {}
    for x in queue:  # grows
        key = tuple(np.floor((x - low) / cell).astype(int))
        assert 0 <= key[0] < shape[1] and 0 <= key[1] < shape[0]
        if key not in seen:
            seen[key] = x
            queue += [a[k] @ x + t[k] for k in range(len(a))]
    out = np.zeros(shape, bool)
    for i, j in seen:
        out[j, i] = True
    return out


def test_it_agrees_with_a_plain_version():
    ifs = code()
    low, high = np.array([-3.0, -3.0]), np.array([3.0, 3.0])
    found = touched_cells(ifs, (64, 64), low, high)
    same = (found.mask() == plainly(ifs, (64, 64), low, high)).mean()
    assert same > 0.995  # which point of a cell comes first depends on the order of the queue
    assert found.outside == 0


def test_every_point_is_the_image_of_its_parent_and_lies_in_its_cell():
    ifs = code()
    low, high = np.array([-1.0, -1.0]), np.array([1.5, 1.5])
    found = touched_cells(ifs, (100, 80), low, high)
    images = np.einsum("nij,nj->ni", ifs.matrices.numpy()[found.letters], found.points[found.parents])
    assert np.abs(images + ifs.offsets.numpy()[found.letters] - found.points).max() < 1e-12
    rows, columns = np.nonzero(found.index >= 0)
    x = found.points[found.index[rows, columns]]
    at = (x - low) / (high - low) * np.array([80, 100])
    assert (np.floor(at).astype(int) == np.stack([columns, rows], 1)).all()
    address, start = found.addresses(3)
    y = found.points[start]
    for j in (2, 1, 0):
        y = np.einsum("nij,nj->ni", ifs.matrices.numpy()[address[:, j]], y) + ifs.offsets.numpy()[address[:, j]]
    assert np.abs(y - found.points).max() < 1e-12


def test_it_touches_what_a_long_orbit_does():
    ifs = preset("barnsley-fern")
    low, high = torch.tensor([-3.0, -0.5]), torch.tensor([3.0, 10.5])
    often = histogram(ifs, 2_000_000, shape=(64, 32), bounds=(low, high)).counts.numpy() > 0
    found = touched_cells(ifs, (512, 256), low.numpy(), high.numpy()).mask(8)
    assert (often & found).sum() / (often | found).sum() > 0.97


def test_it_refuses():
    with pytest.raises(DataError, match="plane"):
        touched_cells(preset("menger-sponge"), (8, 8), np.zeros(2), np.ones(2))
    with pytest.raises(UsageError, match="window"):
        touched_cells(code(), (8, 8), np.ones(2), np.zeros(2))

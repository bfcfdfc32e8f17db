"""Divided ranges: the same attractor at first, the worst range, the right place, and cells shared out."""

import numpy as np

from fractalkit.fit.attractor import Graph, GraphRefiner
from fractalkit.fit.division import DividedGraph, division


def four_quarters():
    """A square of four quarters, each a copy of all."""
    maps = np.zeros((4, 3, 4))
    maps[:, :, :3] = np.eye(3) / 2
    maps[:, :2, 3] = [[0, 0], [0.5, 0], [0, 0.5], [0.5, 0.5]]
    return Graph(maps, np.tile([0, 4], (4, 1)), np.full(4, 0.25))


def test_the_range_that_strays_is_divided_and_covers_what_it_did():
    rng = np.random.default_rng(0)
    graph = four_quarters()
    x = rng.random((2000, 3)) * [1, 1, 0]
    refiner = GraphRefiner(x, np.tile(np.eye(3), (len(x), 1, 1)), 0.01, cap=0.9)
    graph.maps[2, 2, :] = [0, 0.3, 0, 0]  # tilts the third quarter
    sample = graph.sample(2000, rng)
    divided = DividedGraph.of(graph).divide(sample, refiner.pairs(sample.points), x, 1)
    assert divided.cell.tolist() == [0, 1, 2, 2, 3]
    new = divided.graph
    assert new.domains[[0, 1, 4]].tolist() == [[0, 5]] * 3
    assert new.domains[2, 0] == 0 and new.domains[2, 1] == new.domains[3, 0] and new.domains[3, 1] == 5
    np.testing.assert_allclose(new.weights[2] + new.weights[3], 0.25)
    again = new.sample(4000, rng)
    assert GraphRefiner(again.points, refiner.metric, 0.01, cap=0.9).pairs(sample.points).to_d.max() < 0.08
    # the parts share the points of their cell
    starts = np.arange(5) * 500
    parts, ends = divided.shares(x, starts, again)
    assert ends[[0, 1, 2, 4, 5]].tolist() == [0, 500, 1000, 1500, 2000] and 1000 < ends[3] < 1500
    np.testing.assert_array_equal(np.sort(parts[1000:1500], axis=0), np.sort(x[1000:1500], axis=0))
    # a division of what is divided already
    assert len(divided.divide(again, refiner.pairs(again.points), x, 2).cell) == 7


def test_a_fold_is_found():
    rng = np.random.default_rng(1)
    source = rng.random((600, 3)) * [8, 1, 0]
    origin = source[:, 0].astype(int)
    residual = np.zeros((600, 3))
    residual[:, 2] = np.abs(source[:, 0] - 3.0)
    assert division(source, origin, residual, 8) == 3

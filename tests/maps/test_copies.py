"""Maps of copies: the compiled sweep, plain steps and squaring agree, and the map is nilpotent."""

import numpy as np
import torch

from fractalkit.codes.copies import CopyStrip
from fractalkit.core import fixed_point, solve
from fractalkit.core.solvers import Squaring
from fractalkit.maps import copies_cpu as cpu
from fractalkit.maps.copies import CopyMap


def strip(seed: int, height: int = 5, width: int = 7, channels: int = 2, share: float = 0.9) -> CopyStrip:
    """A strip in which most pixels copy an earlier one drawn at random."""
    rng = np.random.default_rng(seed)
    n = height * width
    source = np.where(rng.random(n) < share, rng.integers(0, np.maximum(np.arange(n), 1)), -1)
    source[0] = -1
    difference = rng.integers(-50, 200, (height, width, channels))
    return CopyStrip(source.reshape(height, width).astype(np.int32), difference.astype(np.int32))


def by_hand(s: CopyStrip) -> np.ndarray:
    """``[H, W, C]``, pixel by pixel."""
    x = np.zeros((s.source.size, s.difference.shape[2]))
    for p, (q, e) in enumerate(zip(s.source.ravel(), s.difference.reshape(x.shape), strict=True)):
        x[p] = e + (x[q] if q >= 0 else 0)
    return x.reshape(s.difference.shape)


def test_sweep_steps_and_squares_have_one_fixed_point():
    s = strip(3, 12, 17, 3)
    want = torch.from_numpy(by_hand(s)).permute(2, 0, 1)
    m = CopyMap(s, dtype=torch.float64)
    assert torch.equal(fixed_point(m), want)
    assert torch.equal(fixed_point(m, (3, 2, 9, 11)), want[:, 2:11, 3:9])
    assert torch.equal(solve(m, tol=1e-6, max_steps=400).value, want)
    squared = solve(m, m.start()[None] * 0, solver=Squaring(), steps=8).value
    assert torch.equal(squared[0], want)


def test_the_map_is_nilpotent():
    s = strip(4, 6, 9, 1)
    m = CopyMap(s, dtype=torch.float64)
    depth = cpu.copies(s.source)
    x, y = (torch.randn(1, 6, 9, dtype=torch.float64) for _ in range(2))
    for k in range(int(depth.max()) + 1):
        # after k steps two starts differ only where more than k - 1 copies are chained
        assert ((x != y)[0].numpy() <= (depth >= k)).all() and (x != y).any()
        x, y = m.step(x), m.step(y)
    assert torch.equal(x, y)


def test_a_strip_without_copies_is_constant():
    s = strip(5, share=0)
    m = CopyMap(s)
    assert float(m.lipschitz()) == 0 and torch.equal(m.step(torch.randn(2, 5, 7)), m.start())
    assert torch.equal(fixed_point(m), m.start())


def test_long_chains_stay_below_one():
    n = 4000
    s = CopyStrip(np.arange(-1, n - 1, dtype=np.int32)[None], np.ones((1, n, 1), np.int32))
    m = CopyMap(s, dtype=torch.float64)
    assert 0.99 < float(m.lipschitz()) < 1
    assert torch.equal(fixed_point(m)[0, 0], torch.arange(1, n + 1, dtype=torch.float64))

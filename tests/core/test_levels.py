"""The one windowed recursion, on a signal whose fixed point is known."""

from collections import Counter

import pytest
import torch

from fractalkit.core import IteratedMap, Levels, ahead, fixed_point, solve
from fractalkit.core.levels import _merged
from fractalkit.errors import UsageError

DRAWN: Counter = Counter()  # pixels lifted at each size


class Square(IteratedMap):
    """f(x, y) = w f(2x mod 1, 2y mod 1) + b(range) on n x n pixels: four ranges, the whole picture the one domain."""

    w = 0.6
    b = torch.tensor([[0.1, 0.7], [-0.4, 0.2]], dtype=torch.float64)

    def __init__(self, n: int) -> None:
        self.n = n

    def start(self):
        return torch.zeros(1, 1, self.n, self.n, dtype=torch.float64)

    def step(self, x):
        small = torch.nn.functional.avg_pool2d(x, 2) if self.n > 1 else x
        if self.n == 1:
            return self.w * small + self.b.mean()
        return self.w * small.tile(2, 2) + self.b.kron(torch.ones(self.n // 2, self.n // 2, dtype=torch.float64))

    def distance(self, x, y):
        return (x - y).abs().amax()[None]

    def lipschitz(self):
        return torch.tensor([self.w], dtype=torch.float64)

    def whole(self):
        return 0, 0, self.n, self.n

    def level(self):
        return self.n

    def _runs(self, start, stop):
        m = self.n // 2
        if stop - start >= m:
            return [(0, m)]
        cut = -(-start // m) * m
        pieces = [(start, min(cut, stop)), (cut, stop)] if start < cut < stop else [(start, stop)]
        return [(a % m, a % m + b - a) for a, b in pieces if b > a]

    def needs(self, window):
        if self.n == 1:
            return None
        left, top, right, bottom = window
        return [
            (Square(self.n // 2), (x0, y0, x1, y1))
            for y0, y1 in self._runs(top, bottom)
            for x0, x1 in self._runs(left, right)
        ]

    def lift(self, parts, window):
        left, top, right, bottom = window
        m = self.n // 2
        DRAWN[self.n] += (bottom - top) * (right - left)
        source = torch.full((m, m), torch.nan, dtype=torch.float64)
        for part, (_, (x0, y0, x1, y1)) in zip(parts, self.needs(window), strict=True):
            source[y0:y1, x0:x1] = part[0, 0]
        y, x = torch.arange(top, bottom), torch.arange(left, right)
        return (self.w * source[y % m][:, x % m] + self.b[y // m][:, x // m])[None, None]


@pytest.fixture(autouse=True)
def fresh():
    DRAWN.clear()


def test_it_is_fixed_at_every_size():
    x = fixed_point(Square(64))
    assert torch.allclose(Square(64).step(x), x, atol=1e-12)
    assert Square(64).coarse().n == 32 and Square(1).coarse() is None


@pytest.mark.parametrize("window", [(0, 0, 1, 1), (30, 3, 34, 60), (5, 63, 64, 64), (0, 0, 64, 64)])
def test_a_window_is_a_part_of_the_whole(window):
    left, top, right, bottom = window
    assert torch.equal(fixed_point(Square(64), window), fixed_point(Square(64))[..., top:bottom, left:right])


def test_a_window_costs_what_it_shows():
    n = 1 << 10
    fixed_point(Square(n), (511, 511, 515, 515))  # across a border of ranges at every level
    assert DRAWN[n] == 16 and sum(DRAWN.values()) < 16 * 12


def test_coarse_levels_are_made_once():
    levels = Levels(keep=32 * 32)
    for y in range(0, 64, 4):
        levels.at(Square(64), (0, y, 64, y + 4))
    assert DRAWN[64] == 64 * 64 and DRAWN[32] == 32 * 32 and DRAWN[16] == 16 * 16


def test_prepared_levels_are_what_a_window_reads_and_are_used():
    levels = Levels()
    window = (40, 40, 48, 48)
    assert levels.prepare(Square(256), window, 64)
    assert not Levels().prepare(Square(256), window, 63)
    DRAWN.clear()
    part = levels.at(Square(256), window)
    assert set(DRAWN) == {256} and torch.equal(part, fixed_point(Square(256))[..., 40:48, 40:48])


def test_windows_that_overlap_are_drawn_as_one():
    a, b, far = (0, 0, 4, 4), (1, 0, 5, 4), (20, 20, 22, 22)
    m = Square(64)
    assert [w for _, w in _merged([(m, a), (m, far), (Square(64), b), (m, a)])] == [(0, 0, 5, 4), far]
    assert len(_merged([(m, a), (Square(32), a)])) == 2


def test_refusals():
    for window in [(0, 0, 0, 1), (0, 0, 65, 1), (-1, 0, 2, 2), (0, 5, 4, 1)]:
        with pytest.raises(UsageError, match=r"window: .* is not inside the 64 x 64 picture"):
            fixed_point(Square(64), window)


def test_ahead_keeps_the_order_and_passes_errors_on():
    assert list(ahead(lambda n: n * n, range(9), 3)) == [n * n for n in range(9)]
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda n: 1 // n, [2, 1, 0, 1], 2))


def test_the_coarsest_level_is_solved_once(monkeypatch):
    import fractalkit.core.levels as levels

    solved = []
    monkeypatch.setattr(levels, "solve", lambda m, *a, **k: solved.append(m.n) or solve(m, *a, **k))
    for window in ((0, 0, 1, 1), (31, 31, 33, 33)):  # of four ranges at once
        solved.clear()
        fixed_point(Square(64), window)
        assert solved == [1]

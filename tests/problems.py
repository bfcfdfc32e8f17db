"""Contractions whose fixed points are known in closed form."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fractalkit.core import IteratedMap


class Linear(IteratedMap):
    """x -> A x + b, batched; x* = (I - A)^-1 b. Contracts in the Euclidean norm by ||A||."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.a, self.b = a, b  # [B, n, n], [B, n]

    def start(self) -> Tensor:
        return torch.zeros_like(self.b)

    def step(self, x: Tensor) -> Tensor:
        return torch.einsum("bij,bj->bi", self.a, x) + self.b

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.linalg.vector_norm(x - y, dim=1)

    def lipschitz(self) -> Tensor:
        return torch.linalg.matrix_norm(self.a, ord=2)

    def exact(self) -> Tensor:
        eye = torch.eye(self.b.shape[1], dtype=self.b.dtype)
        return torch.linalg.solve(eye - self.a, self.b)


def linear(batch: int = 3, n: int = 6, rate: float = 0.9, dtype: torch.dtype = torch.float64) -> Linear:
    g = torch.Generator().manual_seed(1)
    a = torch.randn(batch, n, n, generator=g, dtype=dtype)
    a = rate * a / torch.linalg.matrix_norm(a, ord=2)[:, None, None]
    return Linear(a, torch.randn(batch, n, generator=g, dtype=dtype))


class CantorMoments(IteratedMap):
    """Raw moments m_0 … m_n of Cantor's measure: m_j = E[X^j], X = (X' + 2 e) / 3 with e a fair coin in {0, 1}.

    m_j = sum_i C(j, i) m_i c_{j-i} / 3^j with c_r = E[(2e)^r] (c_0 = 1, else 2^(r-1)). Known: mean 1/2, variance 1/8.
    In the metric that weighs moment j by w^j the coupling from below is as small as one likes.
    """

    def __init__(self, order: int) -> None:
        rows = torch.zeros(order + 1, order + 1, dtype=torch.float64)
        for j in range(1, order + 1):
            for i in range(1, j + 1):
                binomial = float(torch.special.gammaln(torch.tensor(j + 1.0, dtype=torch.float64)).exp())
                for r in (i, j - i):
                    binomial /= float(torch.special.gammaln(torch.tensor(r + 1.0, dtype=torch.float64)).exp())
                c = 1.0 if i == j else 2.0 ** (j - i - 1)
                rows[j, i] = binomial * c / 3.0**j
        self.a = rows[1:, 1:]
        self.b = torch.tensor([2.0 ** (j - 1) / 3.0**j for j in range(1, order + 1)], dtype=torch.float64)
        self.w = 0.25 ** torch.arange(1, order + 1, dtype=torch.float64)

    def start(self) -> Tensor:
        return torch.zeros_like(self.b)

    def step(self, x: Tensor) -> Tensor:
        return self.a @ x + self.b

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.w * (x - y).abs()).amax()[None]

    def lipschitz(self) -> Tensor:
        return (self.w[:, None] * self.a / self.w).sum(dim=1).amax()[None]


class Collage(IteratedMap):
    """f[R_i] = w_i pool_G(f) + b_i on [0, 1): G ranges, the whole signal the one domain, N = size samples.

    Pooling commutes with the step, so the mean-pooled fixed point is the fixed point at N / G; at one sample it is
    mean(b) / (1 - mean(w)). Exact at any size by recursion.
    """

    def __init__(self, w: Tensor, b: Tensor, size: int) -> None:
        self.w, self.b, self.size = w, b, size  # [G], [G]
        self.steps = 0

    def start(self) -> Tensor:
        return torch.zeros(self.size, dtype=self.b.dtype)

    def _place(self, g: Tensor) -> Tensor:
        return (self.w[:, None] * g + self.b[:, None]).reshape(-1)

    def step(self, x: Tensor) -> Tensor:
        self.steps += 1
        groups = len(self.w)
        if self.size == 1:
            return (self.w.mean() * x) + self.b.mean()
        return self._place(x.reshape(-1, groups).mean(dim=1))

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        return (x - y).abs().amax()[None]

    def lipschitz(self) -> Tensor:
        return self.w.abs().amax()[None]

    def level(self) -> int:
        return self.size

    def needs(self, window: None) -> list[tuple[IteratedMap, None]] | None:
        return [(Collage(self.w, self.b, self.size // len(self.w)), None)] if self.size > 1 else None

    def lift(self, parts: Sequence[Tensor], window: None) -> Tensor:
        return self._place(parts[0])

    def exact(self) -> Tensor:
        x = (self.b.mean() / (1 - self.w.mean()))[None]
        while len(x) < self.size:
            x = self._place(x)
        return x


def collage(size: int = 64) -> Collage:
    w = torch.tensor([0.8, -0.7, 0.5, 0.9], dtype=torch.float64)
    return Collage(w, torch.tensor([0.1, 0.5, -0.3, 0.2], dtype=torch.float64), size)

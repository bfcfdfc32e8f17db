"""The Hutchinson operator on point sets of fixed size: points that know their addresses."""

from __future__ import annotations

import torch
from torch import Tensor

from fractalkit.codes.affine import AffineIFS
from fractalkit.core import IteratedMap
from fractalkit.errors import UsageError

MAX_POINTS = 1 << 24


class AddressedPoints(IteratedMap):
    """N points, each the image of another under one map of an IFS: (T x)_n = f_{a_n}(x_{s(n)}).

    The Hutchinson operator X -> ∪ f_k(X) multiplies points; fixing which map makes each point from which other one
    keeps their number, and the fixed point then lies exactly on the attractor. In the metric max_n |x_n - y_n| the
    Lipschitz constant is max_k ||A_k||.

    Args:
        ifs: a contractive code; gradients flow to its matrices and offsets.
        symbols: a, ``[N]`` integers in 0 … K-1.
        sources: s, ``[N]`` integers in 0 … N-1.

    Raises:
        DataError: a map of the code does not contract.
        UsageError: symbols or sources out of range, or too many points.
    """

    def __init__(self, ifs: AffineIFS, symbols: Tensor, sources: Tensor) -> None:
        ifs.check_contractive()
        n = symbols.shape[0]
        if symbols.ndim != 1 or sources.shape != symbols.shape or not 1 <= n <= MAX_POINTS:
            raise UsageError(f"symbols and sources: expected equal shapes [N] with 1 <= N <= {MAX_POINTS}")
        if (
            int(symbols.min()) < 0
            or int(symbols.max()) >= len(ifs)
            or int(sources.min()) < 0
            or int(sources.max()) >= n
        ):
            raise UsageError(f"symbols must be in 0 … {len(ifs) - 1} and sources in 0 … {n - 1}")
        self.ifs, self.symbols, self.sources = ifs, symbols.long(), sources.long()

    @classmethod
    def words(cls, ifs: AffineIFS, length: int) -> AddressedPoints:
        """The fixed points of all K^length words f_{w_1} … f_{w_L}: point w is the image of w's cyclic shift under w_1.

        >>> import torch
        >>> half = torch.eye(2, dtype=torch.float64).expand(3, 2, 2) / 2
        >>> ifs = AffineIFS(half, torch.tensor([[0., 0.], [.5, 0.], [.25, .5]]))
        >>> AddressedPoints.words(ifs, 4).start().shape
        torch.Size([81, 2])
        """
        k = len(ifs)
        if length < 1 or k**length > MAX_POINTS:
            raise UsageError(f"length: {k} maps have {k}^{length} words, more than {MAX_POINTS} (or length below 1)")
        index = torch.arange(k**length, device=ifs.matrices.device)
        first = index // k ** (length - 1)
        return cls(ifs, first, (index % k ** (length - 1)) * k + first)

    @classmethod
    def cycle(cls, ifs: AffineIFS, symbols: Tensor) -> AddressedPoints:
        """A periodic orbit: point n is the image of point n-1 under f_{a_n}, cyclically. ``symbols [N]``."""
        n = symbols.shape[0]
        return cls(ifs, symbols, (torch.arange(n, device=symbols.device) - 1) % max(n, 1))

    def start(self) -> Tensor:
        """All points at the mean of the maps' offsets: ``[N, D]``."""
        return self.ifs.offsets.mean(dim=0).detach().expand(len(self.symbols), -1).clone()

    def step(self, x: Tensor) -> Tensor:
        """Points ``[N, D]`` -> ``[N, D]``."""
        return self.ifs.apply(x[self.sources], self.symbols)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """max_n |x_n - y_n|, ``[1]``."""
        return torch.linalg.vector_norm(x - y, dim=1).amax()[None]

    def lipschitz(self) -> Tensor:
        """max_k ||A_k||, ``[1]``."""
        return self.ifs.norms().amax().to(self.ifs.matrices)[None]

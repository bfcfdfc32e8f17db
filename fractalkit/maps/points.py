"""The Hutchinson operator on point sets of fixed size, whose points have fixed addresses."""

from __future__ import annotations

import torch
from torch import Tensor

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.errors import UsageError
from fractalkit.maps.cloud import MAX_POINTS, CloudMap


class AddressedPoints(CloudMap):
    """N points, each the image of another under one map of an IFS: ``(T x)_n = f_{a_n}(x_{s(n)})``.

    A :class:`CloudMap` of one vertex: any point may be the source of any other, the metric is max_n |x_n - y_n|, and
    the Lipschitz constant is max_k ||A_k||.

    Args:
        ifs: a contractive code; gradients flow to its matrices and offsets.
        symbols: a, ``[N]`` integers in 0 … K-1.
        sources: s, ``[N]`` integers in 0 … N-1.

    Raises:
        DataError: a map of the code does not contract.
        UsageError: symbols or sources out of range, or too many points.
    """

    def __init__(self, ifs: AffineIFS, symbols: Tensor, sources: Tensor) -> None:
        super().__init__(CloudCollage.of(ifs.check_contractive()), symbols, sources)

    @classmethod
    def words(cls, ifs: AffineIFS, length: int) -> AddressedPoints:
        """Fixed points of all K^length words ``f_{w_1} … f_{w_L}``: point w is the image of w's cyclic shift under w_1.

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
        """A periodic orbit: point n is the image of point n-1 under ``f_{a_n}``, cyclically. ``symbols [N]``."""
        n = symbols.shape[0]
        return cls(ifs, symbols, (torch.arange(n, device=symbols.device) - 1) % max(n, 1))

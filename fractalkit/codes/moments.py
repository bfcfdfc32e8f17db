"""Exact moments of an IFS's invariant measure."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations_with_replacement
from math import comb

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import UsageError


def mean(ifs: AffineIFS) -> Tensor:
    """E[X] ``[D]``: the solution of m = Σ p_k (A_k m + t_k)."""
    p = ifs.probabilities
    a = torch.einsum("k,kij->ij", p, ifs.matrices)
    return torch.linalg.solve(torch.eye(ifs.dim, dtype=a.dtype, device=a.device) - a, p @ ifs.offsets)


def covariance(ifs: AffineIFS) -> Tensor:
    """Cov[X] ``[D, D]``: the solution of C = Σ p_k (A_k C A_k^T + d_k d_k^T), d_k = f_k(m) - m.

    A linear system in the D^2 entries of C (Barnsley and Demko, 1985).
    """
    p, a, d = ifs.probabilities, ifs.matrices, ifs.dim
    shift = ifs.matrices @ mean(ifs) + ifs.offsets - mean(ifs)
    kron = torch.einsum("k,kij,klm->iljm", p, a, a).reshape(d * d, d * d)
    right = torch.einsum("k,ki,kj->ij", p, shift, shift).reshape(-1)
    c = torch.linalg.solve(torch.eye(d * d, dtype=a.dtype, device=a.device) - kron, right).reshape(d, d)
    return (c + c.mT) / 2


def raw_moments(ifs: AffineIFS, order: int) -> dict[tuple[int, ...], float]:
    """E[x^i y^j (z^l)] for all exponents of total degree up to ``order`` (at most 12), keyed by exponents.

    Moments of degree n depend on those of lower degree and, linearly, on each other; each degree is one linear system
    (Vrscay and Roehrig, *Iterated function systems and the inverse problem of fractal construction using moments*,
    1989).

    >>> half = torch.tensor([[[1 / 3, 0.], [0., 0.]]] * 2, dtype=torch.float64)
    >>> cantor = AffineIFS(half, torch.tensor([[0., 0.], [2 / 3, 0.]], dtype=torch.float64))
    >>> m = raw_moments(cantor, 2)
    >>> round(m[1, 0], 12), round(m[2, 0] - m[1, 0] ** 2, 12)
    (0.5, 0.125)
    """
    if not 0 <= order <= 12:
        raise UsageError(f"raw_moments: expected an order from 0 to 12, got {order}")
    d = ifs.dim
    p = ifs.probabilities.detach().double().cpu().numpy()
    a = ifs.matrices.detach().double().cpu().numpy()
    t = ifs.offsets.detach().double().cpu().numpy()
    known: dict[tuple[int, ...], float] = {(0,) * d: 1.0}
    for degree in range(1, order + 1):
        keys = _exponents(d, degree)
        index = {key: i for i, key in enumerate(keys)}
        system, right = np.eye(len(keys)), np.zeros(len(keys))
        for i, key in enumerate(keys):
            for k in range(len(p)):
                for exponents, c in _expanded(a[k], t[k], key).items():
                    if sum(exponents) == degree:
                        system[i, index[exponents]] -= p[k] * c
                    else:
                        right[i] += p[k] * c * known[exponents]
        known.update(zip(keys, np.linalg.solve(system, right).tolist(), strict=True))
    return known


@lru_cache(maxsize=64)
def _exponents(d: int, degree: int) -> list[tuple[int, ...]]:
    return [tuple(c.count(i) for i in range(d)) for c in combinations_with_replacement(range(d), degree)]


def _expanded(a: np.ndarray, t: np.ndarray, key: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    """The polynomial Π_i (Σ_j a_ij x_j + t_i)^key_i as {exponents: coefficient}."""
    d = len(t)
    out = {(0,) * d: 1.0}
    for i in range(d):
        line = [(tuple(int(j == c) for j in range(d)), float(a[i, c])) for c in range(d)] + [((0,) * d, float(t[i]))]
        for _ in range(key[i]):
            product: dict[tuple[int, ...], float] = {}
            for e, c in out.items():
                for f, b in line:
                    if b:
                        total = tuple(x + y for x, y in zip(e, f, strict=True))
                        product[total] = product.get(total, 0.0) + c * b
            out = product
    return out


def centred(moments: dict[tuple[int, ...], float], centre: tuple[float, ...]) -> dict[tuple[int, ...], float]:
    """Moments about ``centre`` from raw ones, by the binomial theorem; same keys."""
    out: dict[tuple[int, ...], float] = {}
    for key in moments:
        total = 0.0
        for sub in np.ndindex(*[e + 1 for e in key]):
            c = 1.0
            for e, s, m in zip(key, sub, centre, strict=True):
                c *= comb(e, s) * (-m) ** (e - s)
            total += c * moments[tuple(int(s) for s in sub)]
        out[key] = total
    return out

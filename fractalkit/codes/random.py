"""Random contractive codes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import UsageError


def random_ifs(
    k: int, dim: int = 2, *, rule: str = "singular-values", seed: int | None = None,
    generator: torch.Generator | None = None,
) -> AffineIFS:  # fmt: skip
    """A random contractive code of k maps in 2 or 3 dimensions, float64.

    Args:
        k: number of maps, 2 to 64.
        rule: "singular-values", the rule of Anderson and Farrell (*Improving fractal pre-training*, WACV 2022): with
            A = U diag(s) V, U and V random and orthogonal, the σ-factor Σ_k (s_1 + 2 s_2) is drawn uniformly from
            [(5 + k) / 2, (6 + k) / 2], the range they found to give well-spread images (in space, where they give none,
            the last two singular values share the factor two). Or "variance", the rule of PC-FractalDB (Yamada et al.,
            CVPR 2022): entries uniform in [-1, 1], codes redrawn until they contract and the measure's variance exceeds
            0.05 of its bounding scale along each axis. Or "scales": with A = U diag(s) V, U and V random and
            orthogonal, every singular value is uniform in [0.1, 0.8], a rule of the kind that trains networks to invert
            IFS of three to six maps.
        seed: fixes the code.
        generator: the source of randomness in place of a seed; the global one where both are None.

    Weights are proportional to |det A|, as both papers have it; offsets uniform in [-1, 1].

    Raises:
        UsageError: an unknown rule, a number out of range, or no code that meets the rule.
    """
    if not 2 <= k <= 64 or dim not in (2, 3):
        raise UsageError(f"random_ifs: expected 2 to 64 maps in 2 or 3 dimensions, got {k} in {dim}")
    draw = {"singular-values": _singular_values, "variance": _variance, "scales": _scales}
    if rule not in draw:
        raise UsageError(f"rule: unknown name {rule!r}, choose one of {', '.join(draw)}")
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
    return draw[rule](k, dim, generator)


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator | None) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)


def _orthogonal(k: int, dim: int, generator: torch.Generator | None) -> Tensor:
    """Haar-random orthogonal matrices ``[K, D, D]``: QR of Gaussian ones with the signs of R's diagonal."""
    q, r = torch.linalg.qr(torch.randn(k, dim, dim, generator=generator, dtype=torch.float64))
    return q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]


def _singular_values(k: int, dim: int, generator: torch.Generator | None) -> AffineIFS:
    """Rejection-free: split the factor over the maps by random shares, then each share over its singular values."""
    target = float(_uniform((), (5 + k) / 2, (6 + k) / 2, generator))
    top = 0.98
    most = 3 * top  # the factor of one map at full size
    target = min(target, 0.97 * most * k)
    share = torch.zeros(k, dtype=torch.float64)
    left = target
    for i, slot in enumerate(torch.randperm(k, generator=generator).tolist()):
        rest = (k - 1 - i) * most
        share[slot] = float(_uniform((), max(left - rest, 0.0), min(most, left), generator))
        left -= float(share[slot])
    # of a share f = s1 + 2 s2 with top >= s1 >= s2 >= 0: s2 from max(0, (f - top) / 2) to f / 3
    low = ((share - top) / 2).clamp_min(0)
    second = low + (share / 3 - low) * torch.rand(k, generator=generator, dtype=torch.float64)
    first = (share - 2 * second).clamp(max=top)
    values = [first, second]
    if dim == 3:
        third = second * torch.rand(k, generator=generator, dtype=torch.float64)
        values = [first, (2 * second - third).clamp(max=top), third]
    s = torch.stack(values, dim=1)
    signs = torch.where(torch.rand(k, dim, generator=generator, dtype=torch.float64) < 0.5, -1.0, 1.0)
    a = _orthogonal(k, dim, generator) @ ((s * signs)[:, :, None] * _orthogonal(k, dim, generator))
    return AffineIFS(a, _uniform((k, dim), -1, 1, generator), provenance={"random": "singular-values"})


def _scales(k: int, dim: int, generator: torch.Generator | None) -> AffineIFS:
    s = _uniform((k, dim), 0.1, 0.8, generator)
    a = _orthogonal(k, dim, generator) @ (s[:, :, None] * _orthogonal(k, dim, generator))
    return AffineIFS(a, _uniform((k, dim), -1, 1, generator), provenance={"random": "scales"})


def _variance(k: int, dim: int, generator: torch.Generator | None) -> AffineIFS:
    from fractalkit.codes.moments import covariance

    for _ in range(10_000):
        a = _uniform((k, dim, dim), -1, 1, generator)
        # entries in [-1, 1] seldom contract, all the less with many maps: each map is shrunk where it must be
        norm = torch.linalg.matrix_norm(a, ord=2)
        a = a * (_uniform((k,), 0.3, 0.95, generator) / norm).clamp(max=1.0)[:, None, None]
        ifs = AffineIFS(a, _uniform((k, dim), -1, 1, generator), provenance={"random": "variance"})
        c = covariance(ifs)
        scale = 12 * float(c.diagonal().max())  # the squared side of a box of that variance
        if math.isfinite(scale) and bool((c.diagonal() > 0.05 * scale / 12 * 2).all()):
            return ifs
    raise UsageError("random_ifs: no code met the variance rule in 10,000 draws; use fewer maps or the other rule")

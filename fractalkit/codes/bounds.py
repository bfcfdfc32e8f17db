"""Proven bounds of attractors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from fractalkit.codes.affine import AffineIFS


def bounding_ball(ifs: AffineIFS, *, iterations: int = 200) -> tuple[Tensor, float]:
    """A ball that holds the attractor: centre ``[D]`` and radius, in the attractor's units.

    The ball B(c, r) is mapped into itself, and so holds the attractor, once |f_k(c) - c| + ||A_k|| r <= r for all k,
    that is for r = max_k |f_k(c) - c| / (1 - ||A_k||). The centre is improved by subgradient steps of decreasing
    size on the map that decides the radius; the bound is proven for any c.

    Raises:
        DataError: a map does not contract.
    """
    ifs.check_contractive()
    a, t = ifs.matrices.detach().cpu().double(), ifs.offsets.detach().cpu().double()
    slack, p = 1 - ifs.norms(), ifs.probabilities.detach().cpu().double()
    eye = torch.eye(ifs.dim, dtype=a.dtype, device=a.device)
    c = torch.linalg.solve(eye - (p[:, None, None] * a).sum(0), p @ t)
    best, radius = c, float("inf")
    for i in range(iterations):
        gap = torch.linalg.vector_norm(a @ c + t - c, dim=1) / slack
        k = int(gap.argmax())
        r = float(gap[k])
        if r < radius:
            best, radius = c, r
        # the gradient of |(A - I) c + t| at the deciding map
        residual = a[k] @ c + t[k] - c
        g = (a[k] - eye).T @ residual / residual.norm().clamp_min(1e-300) / slack[k]
        c = c - g / g.norm().clamp_min(1e-300) * radius * 0.5 / (1 + i) ** 0.9
    return best.to(ifs.matrices), radius * (1 + 1e-12)


def bounding_box(
    ifs: AffineIFS, *, tol: float = 1e-6, max_steps: int = 2000, directions: int = 64
) -> tuple[Tensor, Tensor]:
    """Lower and upper corner ``[D]`` each of a box around the attractor, within about ``tol`` times its size of tight.

    The support function h(u) = max_{x in X} <u, x> obeys h(u) = max_k (h(A_k^T u) + <u, t_k>). Iteration keeps a box
    per coordinate axis and shrinks it by images of a set of points and boxes: starting from the ball of
    :func:`bounding_ball`, words are expanded breadth first, and only those whose ball may reach beyond what attractor
    points already reach are kept (branch and bound), so the bound is proven and tight.

    Raises:
        DataError: a map does not contract.
    """
    centre, radius = bounding_ball(ifs)
    a, t = ifs.matrices.detach().cpu().double(), ifs.offsets.detach().cpu().double()
    d = ifs.dim
    centre = centre.cpu().double()
    fixed = torch.linalg.solve(torch.eye(d, dtype=a.dtype, device=a.device) - a, t)  # [K, D], on the attractor
    low, high = torch.empty(d, dtype=a.dtype), torch.empty(d, dtype=a.dtype)
    for axis in range(d):
        for sign in (1.0, -1.0):
            u = torch.zeros(d, dtype=a.dtype, device=a.device)
            u[axis] = sign
            value = _support(a, t, u, centre, radius, fixed, tol * max(radius, 1e-300), max_steps, directions)
            (high if sign > 0 else low)[axis] = sign * value
    return low.to(ifs.matrices), high.to(ifs.matrices)


def _support(a, t, u, centre, radius, fixed, tol, max_steps, width) -> float:  # type: ignore[no-untyped-def]
    """An upper bound, within tol where ``width`` words a level suffice, on max <u, x> over the attractor.

    A word w contributes at most <u, f_w(c)> + |A_w^T u| r, and at least <u, f_w(fixed point)>.
    """
    rows, base = u[None], torch.zeros(1, dtype=a.dtype, device=a.device)  # A_w^T u and <u, t_w>
    least = -float("inf")
    closed = -float("inf")
    for _ in range(max_steps):
        least = max(least, float((base[:, None] + rows @ fixed.T).max()))
        upper = base + rows @ centre + torch.linalg.vector_norm(rows, dim=1) * radius
        alive = upper > least + tol
        if not bool(alive.any()):
            return max(closed, least + tol)
        rows, base, upper = rows[alive], base[alive], upper[alive]
        if len(rows) > width:
            # too many words: close the least promising ones at their present upper bound, which stays proven
            order = upper.argsort(descending=True)
            keep, drop = order[: width * len(a)], order[width * len(a) :]
            if len(drop):
                closed = max(closed, float(upper[drop].max()))
            rows, base = rows[keep], base[keep]
        base = (base[:, None] + rows @ t.T).flatten()
        rows = torch.einsum("wi,kij->wkj", rows, a).flatten(0, 1)
    return max(closed, float((base + rows @ centre + torch.linalg.vector_norm(rows, dim=1) * radius).max()))

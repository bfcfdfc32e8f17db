"""Fit the invariant measure of a code to a picture, by gradients through the noise-free rendering.

A chaos game has no gradient and its noise hides small differences. The Markov operator on a pixel grid
(:mod:`fractalkit.maps.measure`) makes the picture an exact, differentiable function of the code. Maps and weights start
from a code fitted to points drawn from the picture (:mod:`.cloud`) and follow the gradient, on a coarse grid first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import DataError, UsageError
from fractalkit.fit.cloud import MAX_FIT_MAPS, fit_cloud
from fractalkit.maps.measure import MeasureMap

POINTS = 12_000  # drawn from the picture for the initial fit
_CAP = 0.98  # upper bound of the maps' norms
_STEPS = 10  # applications of the operator that the gradient passes through


def fit_image(
    picture: Tensor | np.ndarray,
    *,
    maps: int | str = "auto",
    start: AffineIFS | None = None,
    side: int = 64,
    iterations: int = 150,
    effort: int = 2,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
    callback: Callable[[AffineIFS, float], None] | None = None,
) -> AffineIFS:
    """Fit a planar code whose measure is close to a picture's brightness.

    Args:
        picture: ``[H, W]`` or ``[H, W, 3]`` (averaged), nonnegative, light on dark; row 0 at the top.
        maps: K, or "auto", as for :func:`~fractalkit.fit.cloud.fit_cloud`.
        start: initial code; None fits one.
        side: cells of the finest grid along the picture's longer side, 16 to 512.
        iterations: gradient steps on each of two grids.
        effort: effort of the initial fit.
        seed: determines the result.
        callback: called with the code and its loss before each gradient step; it may raise to end the fit.

    Returns:
        The code, float64, every norm at most 0.98, in coordinates where the picture's longer side has length one, its
        lower left corner is the origin and y points up. ``provenance`` has the distances before and after, see
        :func:`measure_distance`.

    Raises:
        DataError: a picture that is empty, too small, negative or not finite.
        UsageError: an option out of range.
    """
    mu = _measure(picture)
    h, w = mu.shape
    if not 16 <= side <= 512 or iterations < 0:
        raise UsageError(f"side and iterations: expected 16 to 512 and 0 or more, got {side} and {iterations}")
    long = max(h, w)
    high = torch.tensor([w / long, h / long], dtype=torch.float64)
    if start is None:
        if not (maps == "auto" or (isinstance(maps, int) and 1 <= maps <= MAX_FIT_MAPS)):
            raise UsageError(f"maps: expected 1 to {MAX_FIT_MAPS} or 'auto', got {maps!r}")
        start = fit_cloud(draw_points(mu, POINTS, seed), maps=maps, effort=effort, seed=seed, progress=progress)
    code = start.to(dtype=torch.float64)
    if code.lipschitz() > _CAP:
        a = code.matrices.detach().clone()
        _bound(a)
        code = replace(code, matrices=a)
    grids = []
    for n in sorted({max(side // 2, 16), side}):
        shape = (max(2, round(n * h / long)), max(2, round(n * w / long)))
        grids.append((shape, _pooled(mu, shape)))
    before = measure_distance(code, grids[-1][1], high)
    best, least = code, before
    for level, (shape, target) in enumerate(grids):
        rate = 0.01 / (level + 1)
        found = _descend(
            best, target, shape, high, iterations, rate, lambda s: progress and progress("refine", s), callback
        )
        after = measure_distance(found, grids[-1][1], high)
        if after < least:
            best, least = found, after
    about = {"fit": "image", "seed": seed, "distance_start": before, "distance": least, "grid": list(grids[-1][0])}
    return AffineIFS(
        best.matrices.detach(), best.offsets.detach(), best.probabilities.detach(), None, name="", provenance=about
    )


def measure_distance(code: AffineIFS, target: Tensor, high: Tensor | None = None) -> float:
    """Distance of a code's measure from a target ``[H, W]`` of sum one (row 0 lowest): 0 if equal, 1 if disjoint.

    Half the l1 distance, averaged over blurs of 1, 3, 5 and 9 cells; 1 if the code does not contract on average.
    """
    if high is None:
        high = torch.tensor([target.shape[1], target.shape[0]], dtype=torch.float64) / max(target.shape)
    try:
        with torch.no_grad():
            x = MeasureMap(code, (target.shape[0], target.shape[1]), torch.zeros(2), high, proven=False).render()
    except DataError:
        return 1.0
    return float(_loss(x, target)) / 2


def draw_points(mu: Tensor, n: int, seed: int) -> Tensor:
    """Draw points ``[N, 2]`` from a measure on cells ``[H, W]`` (row 0 lowest), uniform within each cell."""
    g = torch.Generator().manual_seed(seed)
    h, w = mu.shape
    cells = torch.multinomial(mu.flatten(), n, replacement=True, generator=g)
    jitter = torch.rand(n, 2, generator=g, dtype=torch.float64)
    return (torch.stack([cells % w, cells // w], 1) + jitter) / max(h, w)


def _measure(picture: Tensor | np.ndarray) -> Tensor:
    x = torch.as_tensor(np.asarray(picture.detach().cpu() if isinstance(picture, Tensor) else picture)).double()
    if x.ndim == 3 and x.shape[2] in (3, 4):
        x = x[..., :3].mean(2)
    if x.ndim != 2 or min(x.shape) < 8:
        raise DataError(f"picture: expected [H, W] or [H, W, 3] of at least 8 x 8 pixels, got {list(x.shape)}")
    if not bool(torch.isfinite(x).all()) or float(x.min()) < 0:
        raise DataError("picture: expected finite numbers of at least 0")
    if int((x > 0).sum()) < 20:
        raise DataError("picture: fewer than 20 pixels are above zero, too few for a fit")
    return (x / x.sum()).flip(0)


def _pooled(mu: Tensor, shape: tuple[int, int]) -> Tensor:
    small = torch.nn.functional.adaptive_avg_pool2d(mu[None, None], shape)[0, 0]
    return small / small.sum()


def _loss(x: Tensor, target: Tensor) -> Tensor:
    """Sum of absolute differences, averaged over box blurs."""
    d = (x - target)[None, None]
    total = d.abs().sum()
    for reach in (1, 2, 4):
        k = torch.ones(1, 1, 2 * reach + 1, 1, dtype=d.dtype) / (2 * reach + 1)
        blurred = torch.nn.functional.conv2d(d, k, padding=(reach, 0))
        total = total + torch.nn.functional.conv2d(blurred, k.mT, padding=(0, reach)).abs().sum()
    return total / 4


def fit_weights(code: AffineIFS, mu: Tensor, *, side: int = 64, iterations: int = 60) -> tuple[AffineIFS, float]:
    """A code with the weights that bring its measure closest to ``mu [H, W]`` (row 0 lowest), and the distance.

    The maps are left alone, so the loss on a grid of ``side`` cells is that of K - 1 numbers.
    """
    h, w = mu.shape
    long = max(h, w)
    high = torch.tensor([w / long, h / long], dtype=torch.float64)
    shape = (max(2, round(min(side, long) * h / long)), max(2, round(min(side, long) * w / long)))
    target = _pooled(mu, shape)
    start = code.to(dtype=torch.float64)
    found = _descend(start, target, shape, high, iterations, 0.02, lambda share: None, None, fixed=True)
    best = min((start, found), key=lambda c: measure_distance(c, target, high))
    return replace(code, weights=best.probabilities), measure_distance(best, target, high)


def _descend(
    code: AffineIFS, target: Tensor, shape: tuple[int, int], high: Tensor, iterations: int, rate: float,
    report: Callable[[float], object], callback: Callable[[AffineIFS, float], None] | None, *, fixed: bool = False,
) -> AffineIFS:  # fmt: skip
    """Adam on weights, and on maps unless they are fixed; returns the code of least loss. ``report`` gets the share."""
    a = code.matrices.detach().clone().requires_grad_(not fixed)
    t = code.offsets.detach().clone().requires_grad_(not fixed)
    p = code.probabilities.detach().clamp_min(1e-4).log().requires_grad_()
    rates = {"maps": rate, "weights": 4 * rate}
    groups = [{"params": [p], "name": "weights"}] + ([] if fixed else [{"params": [a, t], "name": "maps"}])
    optimiser = torch.optim.Adam(groups, lr=rate)
    best, least = code, float("inf")
    low = torch.zeros(2, dtype=torch.float64)
    x: Tensor | None = None
    for k in range(iterations):
        for group in optimiser.param_groups:
            group["lr"] = rates[group["name"]] * (1 - k / iterations + 1e-4)
        m = MeasureMap(AffineIFS(a, t, p.softmax(0)), shape, low, high, proven=False)
        with torch.no_grad():
            x = m.render() if x is None else x
        y = x
        for _ in range(_STEPS):
            y = m.step(y)
        loss = _loss(y, target)
        value = float(loss.detach())
        now = AffineIFS(a.detach().clone(), t.detach().clone(), p.detach().softmax(0))
        if value < least:
            best, least = now, value
        if callback:
            callback(now, value / 2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        # warm start: the code changes little between steps
        x = y.detach()
        if not fixed:
            _bound(a)
        report((k + 1) / iterations)
    return best


def _bound(a: Tensor) -> None:
    """Clip the singular values of matrices ``[K, 2, 2]``, in place."""
    with torch.no_grad():
        u, s, v = torch.linalg.svd(a)
        a.copy_(u @ torch.diag_embed(s.clamp_max(_CAP)) @ v)

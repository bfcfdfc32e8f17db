"""From a picture to the code whose invariant measure it shows: gradients through the noise-free rendering.

A chaos game gives no gradient and shows differences only above its noise. The Markov operator on a pixel grid
(:mod:`fractalkit.maps.measure`) has neither fault: the picture is an exact, differentiable function of the code. A code
fitted to points drawn from the picture (:mod:`.cloud`) is the start; maps and weights then follow the gradient, on
coarse grids first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import DataError, UsageError
from fractalkit.fit.cloud import MAX_FIT_MAPS, fit_cloud
from fractalkit.maps.measure import MeasureMap

POINTS = 12_000  # drawn from the picture, for the start
_CAP = 0.95  # largest norm of a map
_STEPS = 10  # of the operator that the gradient goes through: what is older weighs rate^10


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
) -> AffineIFS:
    """The code of the plane whose measure is nearest to a picture's brightness.

    Args:
        picture: ``[H, W]`` or ``[H, W, 3]`` (its mean), not negative, light on dark; row 0 at the top.
        maps: K, or "auto", as :func:`~fractalkit.fit.cloud.fit_cloud` has it.
        start: a code to begin with, in place of a fitted one.
        side: cells of the finest grid along the picture's longer side, 16 to 512.
        iterations: gradient steps on each of two grids.
        effort: of the search for a start.
        seed: fixes the result.

    Returns:
        The code, float64, in a plane where the picture's longer side has length one, its lower left corner is the
        origin and y points up; ``provenance`` holds the distances before and after, see :func:`measure_distance`.

    Raises:
        DataError: a picture with nothing in it, or values that cannot be.
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
    grids = []
    for n in sorted({max(side // 2, 16), side}):
        shape = (max(2, round(n * h / long)), max(2, round(n * w / long)))
        grids.append((shape, _pooled(mu, shape)))
    before = measure_distance(code, grids[-1][1], high)
    best, least = code, before
    for level, (shape, target) in enumerate(grids):
        rate = 0.01 / (level + 1)
        found = _descend(best, target, shape, high, iterations, rate, lambda s: progress and progress("refine", s))
        after = measure_distance(found, grids[-1][1], high)
        if after < least:
            best, least = found, after
    about = {"fit": "image", "seed": seed, "distance_start": before, "distance": least, "grid": list(grids[-1][0])}
    return AffineIFS(
        best.matrices.detach(), best.offsets.detach(), best.probabilities.detach(), None, name="", provenance=about
    )


def measure_distance(code: AffineIFS, target: Tensor, high: Tensor | None = None) -> float:
    """How far a code's measure is from a target ``[H, W]`` of sum one (row 0 lowest): 0 alike, 1 apart.

    Half the l1 distances of both, averaged over blurs of 1, 2, 4 and 8 cells; one where the code does not contract.
    """
    if high is None:
        high = torch.tensor([target.shape[1], target.shape[0]], dtype=torch.float64) / max(target.shape)
    try:
        with torch.no_grad():
            x = MeasureMap(code, (target.shape[0], target.shape[1]), torch.zeros(2), high).render()
    except DataError:
        return 1.0
    return float(_loss(x, target)) / 2


def draw_points(mu: Tensor, n: int, seed: int) -> Tensor:
    """Points ``[N, 2]`` of a measure on cells ``[H, W]`` (row 0 lowest), spread evenly in their cells."""
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
        raise DataError(f"picture: expected [H, W] or [H, W, 3] of 8 pixels a side or more, got {list(x.shape)}")
    if not bool(torch.isfinite(x).all()) or float(x.min()) < 0:
        raise DataError("picture: expected finite numbers of at least 0")
    if int((x > 0).sum()) < 20:
        raise DataError("picture: fewer than 20 pixels are lit; there is nothing to fit")
    return (x / x.sum()).flip(0)


def _pooled(mu: Tensor, shape: tuple[int, int]) -> Tensor:
    small = torch.nn.functional.adaptive_avg_pool2d(mu[None, None], shape)[0, 0]
    return small / small.sum()


def _loss(x: Tensor, target: Tensor) -> Tensor:
    """Sum of absolute differences, averaged over blurs."""
    d = (x - target)[None, None]
    total = d.abs().sum()
    for reach in (1, 2, 4):
        k = torch.ones(1, 1, 2 * reach + 1, 1, dtype=d.dtype) / (2 * reach + 1)
        blurred = torch.nn.functional.conv2d(d, k, padding=(reach, 0))
        total = total + torch.nn.functional.conv2d(blurred, k.mT, padding=(0, reach)).abs().sum()
    return total / 4


def _descend(
    code: AffineIFS, target: Tensor, shape: tuple[int, int], high: Tensor, iterations: int, rate: float,
    told: Callable[[float], object],
) -> AffineIFS:  # fmt: skip
    a = code.matrices.detach().clone().requires_grad_()
    t = code.offsets.detach().clone().requires_grad_()
    p = code.probabilities.detach().clamp_min(1e-4).log().requires_grad_()
    optimiser = torch.optim.Adam([{"params": [a, t], "lr": rate}, {"params": [p], "lr": 4 * rate}])
    best, least = code, float("inf")
    low = torch.zeros(2, dtype=torch.float64)
    x: Tensor | None = None
    for k in range(iterations):
        for group, size in zip(optimiser.param_groups, (rate, 4 * rate), strict=True):
            group["lr"] = size * (1 - k / iterations) + 1e-4 * size
        now = AffineIFS(a, t, p.softmax(0))
        try:
            m = MeasureMap(now, shape, low, high)
        except DataError:  # it has left the codes that contract on average
            break
        with torch.no_grad():
            x = m.render() if x is None else x
        y = x
        for _ in range(_STEPS):
            y = m.step(y)
        loss = _loss(y, target)
        value = float(loss.detach())
        if value < least:
            best, least = AffineIFS(a.detach().clone(), t.detach().clone(), p.detach().softmax(0)), value
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            # the next step begins where this one ended: codes change little
            x = y.detach()
            norm = torch.linalg.matrix_norm(a, ord=2)
            a.mul_((_CAP / norm).clamp_max(1)[:, None, None])
        told((k + 1) / iterations)
    return best

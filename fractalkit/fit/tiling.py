"""Photomosaics of one picture: every tile shows the whole picture, in the tile's own colours, at every depth.

The code is a collage (Poli, Xu et al., NeurIPS 2022) with one domain, the whole picture: on tile i,

    f(x) = s_i f(t) + b_i + sum_k m_ik phi_k(t),          t in [0, 1]^2 the position in the tile,

for each channel. All terms but s are linear, so there is a closed form. The contrast s is what ``texture`` asks for, as
far as the tile's brightness leaves headroom. The brightness b makes the tile's mean that of the photograph there,
exactly, since the mean of f is known. The coefficients m add the photograph's own gradients and curvature to the tile
(``blend``). Clipping at black and white is measured by drawing the fixed point, and b is corrected for it a few times.

With a second picture (``style``) the tiles show that one too: it is an auxiliary patch, a constant of the map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import rearrange, reduce
from torch import Tensor

from fractalkit.codes.collage import MAX_COSINES, CollageCode
from fractalkit.errors import UsageError
from fractalkit.maps.collage import CollageMap, decode, valid_size
from fractalkit.raster.area import area_means
from fractalkit.raster.cosines import cosines

FIELD = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2), (0, 3), (3, 0))  # cosines that ``blend`` adds
MAX_CONTRAST = 0.9


def waves(n: int, count: int) -> Tensor:
    """cos(pi k (i + 1/2) / n) as ``[count, n]`` float64."""
    return torch.from_numpy(cosines(count, 2 * np.arange(n) + 1, 2 * n)).T


@dataclass(frozen=True)
class Style:
    """A second picture for the tiles to show.

    Attributes:
        picture: ``[3, H, W]`` in [0, 1].
        weight: weight of its contrast relative to that of the picture itself.
        turn: quarter turns counterclockwise.
        flip: whether to mirror it left to right.
    """

    picture: Tensor
    weight: float = 1.0
    turn: int = 0
    flip: bool = False

    def cosines(self) -> Tensor:
        """Cosine coefficients ``[C, K, K]`` of the picture, normalised to mean zero and standard deviation one."""
        p = torch.rot90(self.picture, self.turn, (1, 2))
        p = area_means(p.flip(2) if self.flip else p, 2 * MAX_COSINES, 2 * MAX_COSINES)
        p = (p - p.mean((1, 2), keepdim=True)) / p.std().clamp(min=1e-6)
        a = waves(2 * MAX_COSINES, MAX_COSINES)
        norm = torch.full((MAX_COSINES,), 2.0, dtype=torch.float64)
        norm[0] = 1.0
        c = a @ p @ a.T * (norm[:, None] * norm[None, :]) / (2 * MAX_COSINES) ** 2
        c[:, 0, 0] = 0
        # attenuate the highest frequencies so that edges do not ring
        k = torch.arange(MAX_COSINES, dtype=torch.float64) / MAX_COSINES
        fade = 0.5 + 0.5 * torch.cos(math.pi * k)
        return c * fade[:, None] * fade[None, :]


def fractalize(
    picture: Tensor,
    tiles: int = 48,
    *,
    texture: float = 0.5,
    blend: float = 0.5,
    iterations: int = 4,
    style: Style | None = None,
    self_weight: float = 1.0,
) -> CollageCode:
    """Compute the code of a picture that is a mosaic of itself.

    Args:
        picture: ``[3, H, W]`` (or ``[1, H, W]``) in [0, 1]; tiles have its aspect ratio.
        tiles: number along each side, 2 to 256.
        texture: contrast inside the tiles, 0 to 0.9: larger values show the tiles better, smaller ones the picture.
        blend: 0 for flat tiles, as in a mosaic; 1 for tiles that follow the picture's shading.
        iterations: number of corrections for clipping at black and white, 0 to 100.
        style: another picture for the tiles to show.
        self_weight: weight of the picture itself beside the style; 0 shows the style alone.

    Raises:
        UsageError: a number out of range, or a picture that is not finite.
    """
    _check(picture, tiles, texture, blend, iterations)
    weights = (self_weight, 0.0 if style is None else style.weight)
    if not all(0 <= w < math.inf for w in weights) or sum(weights) == 0:
        raise UsageError(f"self_weight and the style's weight: expected numbers from 0, not both 0, got {weights}")
    x = picture.double().clamp(0, 1)
    c = x.shape[0]
    q = 12  # samples per tile and side, enough for its cosines
    target = rearrange(area_means(x, tiles * q, tiles * q), "c (i y) (j x) -> c i j y x", y=q, x=q)
    mu = target.mean((3, 4))
    middle = mu.mean((1, 2))  # mean of the picture, and so of the fixed point
    contrast = _contrast(area_means(x, 4 * q, 4 * q), mu, middle, texture)
    share = self_weight / (self_weight + (style.weight if style else 0.0))
    field = _shading(target, blend)
    if style is not None:
        field = torch.cat([field, ((1 - share) * float(x.std()) * contrast)[..., None]], -1)
    patches = _patches(c, style)
    own = (share * contrast)[..., None]
    brightness = mu - own[..., 0] * middle[:, None, None]
    n = tiles * max(4, 480 // tiles)
    for step in range(iterations + 1):
        code = CollageCode(
            own[None].float(), brightness[None].float(), field[None].float(), patches.float(), continuous=False
        )
        if step == iterations:
            break
        shown = decode(code, n, n)[0].double().clamp(0, 1)
        brightness = brightness + (mu - reduce(shown, "c (i y) (j x) -> c i j", "mean", i=tiles, j=tiles))
    return code.check()


def _check(picture: Tensor, tiles: int, texture: float, blend: float, iterations: int) -> None:
    if picture.ndim != 3 or picture.shape[0] not in (1, 3) or 0 in picture.shape:
        raise UsageError(f"picture: expected [3, H, W] or [1, H, W], got {list(picture.shape)}")
    if not 2 <= tiles <= 256:
        raise UsageError(f"tiles: expected 2 to 256, got {tiles}")
    if not (0 <= texture <= MAX_CONTRAST and 0 <= blend <= 1 and 0 <= iterations <= 100):
        raise UsageError(
            f"texture {texture}, blend {blend}, iterations {iterations}: "
            f"expected 0 to {MAX_CONTRAST}, 0 to 1 and 0 to 100"
        )
    if not bool(picture.isfinite().all()):
        raise UsageError("picture: holds values that are not finite")


def _contrast(content: Tensor, mu: Tensor, middle: Tensor, texture: float) -> Tensor:
    """Contrast ``[C, G, G]`` of the tiles: ``texture``, limited by the headroom of each tile's mean ``mu``.

    ``content`` ``[C, h, w]`` is what the tiles show and ``middle`` ``[C]`` its mean.
    """
    low, high = (torch.quantile(content.flatten(1), v, dim=1) - middle for v in (0.02, 0.98))
    room = torch.minimum(mu / (-low).clamp(min=0.02)[:, None, None], (1 - mu) / high.clamp(min=0.02)[:, None, None])
    # black and white tiles show a little too; there clipping shifts the mean
    return torch.minimum(torch.full_like(mu, texture), room.clamp(min=0.12 * texture / MAX_CONTRAST))


def _shading(target: Tensor, blend: float) -> Tensor:
    """Coefficients ``[C, G, G, len(FIELD)]`` of each tile's cosines, from its samples ``[C, G, G, q, q]``."""
    field = torch.zeros(*target.shape[:3], len(FIELD), dtype=torch.float64)
    a = waves(target.shape[-1], 4)
    for i, (k, l) in enumerate(FIELD):
        phi = torch.outer(a[k], a[l])
        weight = blend * float(phi.square().mean()) ** -1
        field[..., i] = weight * (target * phi).mean((3, 4))
    return field


def _patches(channels: int, style: Style | None) -> Tensor:
    """Auxiliary patches as cosine coefficients ``[P, C, K, K]``: the cosines of FIELD, then the style."""
    order = 4 if style is None else MAX_COSINES
    patches = torch.zeros(len(FIELD) + (style is not None), channels if style else 1, order, order, dtype=torch.float64)
    for i, (k, l) in enumerate(FIELD):
        patches[i, :, k, l] = 1
    if style is not None:
        s = style.cosines()
        patches[-1] = s if s.shape[0] == channels else s.mean(0, keepdim=True).expand(channels, -1, -1)
    return patches


def draw(code: CollageCode, height: int, width: int, *, depth: int = 0, picture: Tensor | None = None) -> Tensor:
    """Draw the mosaic, ``[C, height, width]`` in [0, 1].

    Args:
        depth: 0 for the fixed point; 1 for tiles that show ``picture`` ``[C, H, W]``, 2 for tiles of such tiles.
    """
    g = code.grid[0]
    big = valid_size(code, height, width)
    if depth == 0:
        shown = decode(code, *big)[0]
    else:
        if picture is None:
            raise UsageError("depth: a depth above 0 needs the picture that the innermost tiles show")
        small = valid_size(code, max(1, big[0] // g), max(1, big[1] // g))
        x = area_means(picture.cpu(), *small).to(code.brightness)[None]  # Metal has no float64
        for _ in range(depth - 1):
            x = CollageMap(code, *small).step(x)
        big = small[0] * g, small[1] * g
        shown = CollageMap(code, *big).lift([x], None)[0]
    shown = shown.clamp(0, 1)
    return shown if big == (height, width) else area_means(shown.cpu(), height, width).to(shown)


def judge(code: CollageCode, picture: Tensor) -> dict[str, Any]:
    """Measure how well the mosaic reads from a distance and how well its tiles show the picture.

    Returns:
        "ssim": structural similarity (Wang et al., 2004, grey) of drawing and picture, both blurred to the tile's size
        (a Gaussian of half a tile). "correlation": the mean over tiles of the correlation of tile and whole picture,
        after the tile's own mean and shading have been projected out; "shown": the same without that projection.
    """
    from scipy.ndimage import gaussian_filter

    g = code.grid[0]
    q = max(8, 768 // g)
    n = g * q
    drawn = draw(code, n, n).double().mean(0).numpy()
    want = area_means(picture.double().clamp(0, 1), n, n).mean(0).numpy()
    a, b = (gaussian_filter(v, q / 2) for v in (drawn, want))

    def blur(v: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(v, 1.5 * n / 256))

    ma, mb = blur(a), blur(b)
    va, vb, cov = blur(a * a) - ma * ma, blur(b * b) - mb * mb, blur(a * b) - ma * mb
    ssim = np.mean((2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)))
    whole = area_means(picture.double(), q, q).mean(0).numpy()
    parts = rearrange(drawn, "(i y) (j x) -> (i j) y x", y=q, x=q)
    phi = np.stack([np.outer(u, v) for u in waves(q, 4).numpy() for v in waves(q, 4).numpy()]).reshape(16, -1)
    basis, _ = np.linalg.qr(phi.T)

    def rest(v: np.ndarray) -> np.ndarray:
        flat = v.reshape(-1, q * q)
        return np.asarray(flat - flat @ basis @ basis.T)

    def correlation(u: np.ndarray, v: np.ndarray) -> float:
        u, v = u - u.mean(1, keepdims=True), v - v.mean(1, keepdims=True)
        size = np.sqrt((u * u).sum(1) * (v * v).sum(1))
        return float(np.mean((u * v).sum(1) / np.maximum(size, 1e-9)))

    return {
        "ssim": float(ssim),
        "correlation": correlation(rest(parts), rest(whole[None])),
        "shown": correlation(parts.reshape(g * g, -1), whole.reshape(1, -1)),
    }

"""A photograph made of itself: every tile shows the whole picture, in the tile's own colours, at every depth.

The code is a collage (Poli, Xu et al., NeurIPS 2022) with one domain, the whole picture: on tile i,

    f(x) = s_i f(t) + b_i + sum_k m_ik phi_k(t),          t in [0, 1]^2 the place in the tile,

channel by channel. All but s is linear, so there is a closed form. The contrast s is what one asks for (``texture``),
as far as the tile's brightness leaves room; b makes the tile's mean that of the photograph there, exactly, since the
mean of f is known; m lays the photograph's own slopes and curves over the tile (``blend``). What is cut off at black
and white is found by drawing the fixed point, and b is corrected for it, a few times.

With a second picture (``style``) tiles show that one too: it is an auxiliary patch, a constant of the map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.collage import MAX_COSINES, CollageCode
from fractalkit.errors import UsageError
from fractalkit.maps.collage import CollageMap, decode, valid_size

FIELD = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2), (0, 3), (3, 0))  # cosines that blend lays on
MAX_CONTRAST = 0.9


def means(picture: Tensor, height: int, width: int) -> Tensor:
    """Area means ``[C, height, width]`` of ``[C, H, W]``, any sizes."""
    for dim, n in ((1, height), (2, width)):
        size = picture.shape[dim]
        edges = torch.arange(n + 1, dtype=torch.float64) * (size / n)
        low = edges.long().clamp(max=size - 1)
        part = edges - low
        total = torch.cat(
            [torch.zeros_like(picture.narrow(dim, 0, 1), dtype=torch.float64), picture.double().cumsum(dim)], dim
        )
        shape = [-1 if k == dim else 1 for k in range(3)]
        at = total.index_select(dim, low) * (1 - part).view(shape) + total.index_select(dim, low + 1) * part.view(shape)
        picture = at.diff(dim=dim) * (n / size)
    return picture


def waves(n: int, count: int) -> Tensor:
    """cos(pi k (i + 1/2) / n) as ``[count, n]`` float64."""
    k = torch.arange(count, dtype=torch.float64)[:, None]
    return torch.cos(math.pi * k * (torch.arange(n, dtype=torch.float64) + 0.5) / n)


@dataclass(frozen=True)
class Style:
    """A second picture in the tiles.

    Attributes:
        picture: ``[3, H, W]`` in [0, 1].
        weight: of its contrast, beside that of the picture itself.
        turn: quarter turns to the left.
        flip: mirrored, left to right.
    """

    picture: Tensor
    weight: float = 1.0
    turn: int = 0
    flip: bool = False

    def cosines(self) -> Tensor:
        """Coefficients ``[C, K, K]`` whose sum of cosines is the picture about its mean, with deviation one."""
        p = torch.rot90(self.picture, self.turn, (1, 2))
        p = means(p.flip(2) if self.flip else p, 2 * MAX_COSINES, 2 * MAX_COSINES)
        p = (p - p.mean((1, 2), keepdim=True)) / p.std().clamp(min=1e-6)
        a = waves(2 * MAX_COSINES, MAX_COSINES)
        norm = torch.full((MAX_COSINES,), 2.0, dtype=torch.float64)
        norm[0] = 1.0
        c = a @ p @ a.T * (norm[:, None] * norm[None, :]) / (2 * MAX_COSINES) ** 2
        c[:, 0, 0] = 0
        # the highest fade out, so that edges do not ring
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
    """The code of a picture that is made of itself.

    Args:
        picture: ``[3, H, W]`` (or ``[1, H, W]``) in [0, 1]; tiles have its proportions.
        tiles: along each side, 2 to 256.
        texture: contrast of what a tile shows, 0 to 0.9: more is more of the tiles, less is more of the picture.
        blend: 0 for flat tiles, like a mosaic; 1 for tiles that follow the picture's shades.
        iterations: corrections of what is cut off at black and white.
        style: another picture for the tiles to show, with ``self_weight`` to 0 to show it alone.

    Raises:
        UsageError: a number out of range, or a picture that is not finite.
    """
    if picture.ndim != 3 or picture.shape[0] not in (1, 3) or 0 in picture.shape:
        raise UsageError(f"picture: expected [3, H, W] or [1, H, W], got {list(picture.shape)}")
    if not 2 <= tiles <= 256:
        raise UsageError(f"tiles: expected 2 to 256, got {tiles}")
    if not (0 <= texture <= MAX_CONTRAST and 0 <= blend <= 1 and 0 <= iterations <= 100):
        raise UsageError(
            f"texture {texture}, blend {blend}, iterations {iterations}: "
            f"expected 0 to {MAX_CONTRAST}, 0 to 1 and 0 to 100"
        )
    if not (self_weight >= 0 and (style is None or style.weight >= 0)) or (style is None and self_weight == 0):
        raise UsageError("weights of the picture and of the style must not be negative, nor both zero")
    if not bool(picture.isfinite().all()):
        raise UsageError("picture: holds values that are not finite")
    x = picture.double().clamp(0, 1)
    c = x.shape[0]
    q = 12  # points of a tile along each side, enough for its cosines
    target = means(x, tiles * q, tiles * q).view(c, tiles, q, tiles, q).permute(0, 1, 3, 2, 4)  # [C, G, G, q, q]
    mu = target.mean((3, 4))
    share = self_weight / (self_weight + (style.weight if style else 0.0))
    content = means(x, 4 * q, 4 * q)
    middle = mu.mean((1, 2))  # of the picture, and so of the fixed point
    low, high = (torch.quantile(content.flatten(1), v, dim=1) - middle for v in (0.02, 0.98))
    room = torch.minimum(mu / (-low).clamp(min=0.02)[:, None, None], (1 - mu) / high.clamp(min=0.02)[:, None, None])
    # a little is always shown, even in black and in white: there the mean gives way by what is cut off
    contrast = torch.minimum(torch.full_like(mu, texture), room.clamp(min=0.12 * texture / MAX_CONTRAST))
    field = torch.zeros(c, tiles, tiles, len(FIELD), dtype=torch.float64)
    a = waves(q, 4)
    for i, (k, l) in enumerate(FIELD):
        phi = torch.outer(a[k], a[l])
        weight = blend * float(phi.square().mean()) ** -1
        field[..., i] = weight * (target * phi).mean((3, 4))
    order = 4 if style is None else MAX_COSINES
    patches = torch.zeros(len(FIELD) + (style is not None), c if style else 1, order, order, dtype=torch.float64)
    for i, (k, l) in enumerate(FIELD):
        patches[i, :, k, l] = 1
    if style is not None:
        s = style.cosines()
        patches[-1] = s if s.shape[0] == c else s.mean(0, keepdim=True).expand(c, -1, -1)
        spread = float(x.std())
        field = torch.cat([field, ((1 - share) * spread * contrast)[..., None]], -1)
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
        got = shown.view(c, tiles, n // tiles, tiles, n // tiles).mean((2, 4))
        brightness = brightness + (mu - got)
    return code.check()


def draw(code: CollageCode, height: int, width: int, *, depth: int = 0, picture: Tensor | None = None) -> Tensor:
    """The fractalised picture, ``[C, height, width]`` in [0, 1].

    Args:
        depth: 0 for the fixed point; 1 for tiles that show ``picture`` ``[C, H, W]``, 2 for tiles of such tiles.
    """
    g = code.grid[0]
    big = valid_size(code, height, width)
    if depth == 0:
        shown = decode(code, *big)[0]
    else:
        if picture is None:
            raise UsageError("depth: tiles that end need the picture that they end in")
        small = valid_size(code, max(1, big[0] // g), max(1, big[1] // g))
        x = means(picture, *small).to(code.brightness.dtype)[None]
        for _ in range(depth - 1):
            x = CollageMap(code, *small).step(x)
        big = small[0] * g, small[1] * g
        shown = CollageMap(code, *big).lift(x)[0]
    shown = shown.clamp(0, 1)
    return shown if big == (height, width) else means(shown, height, width).to(shown.dtype)


def judge(code: CollageCode, picture: Tensor) -> dict[str, Any]:
    """How well it reads from afar, and whether the tiles are the picture.

    Returns:
        "ssim": structural similarity (Wang et al., 2004, grey) of drawing and picture, both blurred to the tile's size
        (a Gaussian of half a tile). "correlation": the mean over tiles of the correlation of tile and whole picture,
        with what the tile's own place adds (its mean and blended shades) taken out; "shown": that of tiles as they are.
    """
    from scipy.ndimage import gaussian_filter

    g = code.grid[0]
    q = max(8, 768 // g)
    n = g * q
    drawn = draw(code, n, n).double().mean(0).numpy()
    want = means(picture.double().clamp(0, 1), n, n).mean(0).numpy()
    a, b = (gaussian_filter(v, q / 2) for v in (drawn, want))

    def blur(v: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(v, 1.5 * n / 256))

    ma, mb = blur(a), blur(b)
    va, vb, cov = blur(a * a) - ma * ma, blur(b * b) - mb * mb, blur(a * b) - ma * mb
    ssim = np.mean((2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)))
    whole = means(picture.double(), q, q).mean(0).numpy()
    parts = drawn.reshape(g, q, g, q).transpose(0, 2, 1, 3).reshape(g * g, q, q)
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

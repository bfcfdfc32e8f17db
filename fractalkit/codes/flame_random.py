"""Random flames, mutants of flames, and flames of affine codes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.flame import VARIATIONS, Flame, Xform
from fractalkit.errors import UsageError

# that often make something of a random affine map, without parameters that could spoil it
_OFTEN = (
    "linear", "sinusoidal", "spherical", "swirl", "horseshoe", "polar", "heart", "disc",
    "spiral", "hyperbolic", "diamond", "ex", "julia", "bent", "fisheye", "exponential",
    "eyefish", "bubble", "cylinder", "tangent", "cross", "juliascope", "julian", "rings",
    "curl", "pdj", "elliptic", "foci", "loonie", "polar2", "edisc", "bipolar",
    "mobius", "butterfly", "waves",
)  # fmt: skip


def random_flame(rng: np.random.Generator, palette: np.ndarray, *, size: tuple[int, int] = (256, 256)) -> Flame:
    """A flame of two to five maps, sometimes with a symmetry and a final map; its camera is yet to be found.

    Args:
        palette: ``[256, 3]`` sRGB.
        size: (W, H).
    """
    k = int(rng.choice([2, 3, 4, 5], p=[0.3, 0.4, 0.2, 0.1]))
    xforms = tuple(_random_map(rng, i / max(1, k - 1)) for i in range(k))
    final = None
    if rng.random() < 0.15:
        name = str(rng.choice(["spherical", "julia", "bubble", "polar", "sinusoidal", "bent"]))
        final = Xform(color=0.0, color_speed=0.0, coefs=_affine(rng, 0.6, 1.1), variations={name: 1.0})
    symmetry: tuple[int, ...] = ()
    if rng.random() < 0.3:
        symmetry = (int(rng.choice([2, 3, 4, 5, 6, -1, -2])),)
    return Flame(
        size=size, xforms=xforms, final=final, symmetry=symmetry, palette=_rgba(palette), quality=50.0,
        estimator_radius=9.0, oversample=1, gamma=float(rng.uniform(2.6, 4)), brightness=float(rng.uniform(4, 14)),
        highlight_power=1.0,
    )  # fmt: skip


def _random_map(rng: np.random.Generator, colour: float) -> Xform:
    names = rng.choice(_OFTEN, size=int(rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15])), replace=False)
    shares = rng.dirichlet(np.full(len(names), 1.2))
    parameters = {}
    for name in names:
        for p, value in VARIATIONS[str(name)].items():
            if p == "power":
                value = float(rng.choice([-3, -2, 2, 3, 4, 5]))
            elif p != "dist":
                value = float(np.round(rng.normal(value, 0.5), 4))
            parameters[f"{name}_{p}"] = value
    post = _affine(rng, 0.6, 1.0) if rng.random() < 0.25 else (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
    return Xform(
        weight=float(rng.uniform(0.3, 1)), color=colour, color_speed=float(rng.choice([0.5, 0.5, 0.3, 0.05])),
        coefs=_affine(rng, 0.35, 0.95), post=post,
        variations={str(n): float(s) for n, s in zip(names, shares, strict=True)}, parameters=parameters,
    )  # fmt: skip


def _affine(rng: np.random.Generator, low: float, high: float) -> tuple[float, ...]:
    """U diag(s) V with singular values between low and high, shifted within the unit disc: (a, d, b, e, c, f)."""
    s = rng.uniform(low, high, 2)
    u, v = (np.array([[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]]) for t in rng.uniform(0, 2 * math.pi, 2))
    m = u @ np.diag(s * [1, rng.choice([1, -1], p=[0.8, 0.2])]) @ v
    r, t = math.sqrt(rng.random()), rng.uniform(0, 2 * math.pi)
    values = (m[0, 0], m[1, 0], m[0, 1], m[1, 1], r * math.cos(t), r * math.sin(t))
    return tuple(float(np.round(x, 6)) for x in values)


def mutate(flame: Flame, rng: np.random.Generator, strength: float = 1.0) -> Flame:
    """A near relative: one or two of its maps shaken, or a variation, a weight, or the colours' order changed.

    Raises:
        UsageError: a strength that is not positive.
    """
    if not (strength > 0 and math.isfinite(strength)):
        raise UsageError(f"mutate: expected a positive strength, got {strength}")
    xforms = list(flame.xforms)
    for _ in range(int(rng.integers(1, 3))):
        i = int(rng.integers(len(xforms)))
        x = xforms[i]
        what = rng.random()
        if what < 0.5:
            shaken = np.array(x.coefs) + 0.12 * strength * rng.normal(size=6)
            xforms[i] = replace(x, coefs=tuple(float(np.round(v, 6)) for v in shaken))
        elif what < 0.75:
            share = float(rng.uniform(0.2, 0.6)) * min(strength, 1.5)
            mixed = {n: w * (1 - min(share, 1.0)) for n, w in x.variations.items()}
            donor = _random_map(rng, x.color)
            name = next(iter(donor.variations))
            size = sum(abs(w) for w in x.variations.values()) or 1.0
            mixed[name] = mixed.get(name, 0.0) + share * size
            own = {p: v for p, v in donor.parameters.items() if p.startswith(f"{name}_")}
            xforms[i] = replace(x, variations=mixed, parameters=own | x.parameters)
        elif what < 0.9:
            xforms[i] = replace(x, weight=x.weight * math.exp(0.6 * strength * float(rng.normal())))
        else:
            xforms[i] = replace(x, color=float(rng.random()))
    return replace(flame, xforms=tuple(xforms))


def flame_of(
    ifs: AffineIFS, *, size: tuple[int, int], low: torch.Tensor, high: torch.Tensor, palette: np.ndarray | None = None
) -> Flame:
    """An affine code of the plane as a flame that shows the window (y upwards, as codes have it).

    Colours are the palette's, along the order of maps, or the code's own: each map's colour has its place on it.

    Raises:
        UsageError: a code in space.
    """
    if ifs.dim != 2:
        raise UsageError("flame: codes of the plane can be drawn as flames, not those in space")
    k = len(ifs)
    a, t = ifs.matrices.detach().double().cpu().numpy(), ifs.offsets.detach().double().cpu().numpy()
    where = np.linspace(0, 1, k) if k > 1 else np.array([0.5])
    speed = ifs.colour_speed
    if palette is None and ifs.colours is not None:
        rgb = ifs.colours.detach().double().cpu().numpy()
        # neighbours on the palette ought to be alike: maps in the order of their lightness
        rank = np.argsort(np.argsort(rgb @ [0.3, 0.59, 0.11]))
        where = where[rank] if k > 1 else where
        order = np.argsort(where)
        at = np.linspace(0, 1, 256)
        palette = np.stack([np.interp(at, where[order], rgb[order, c]) for c in range(3)], axis=1)
    if palette is None:
        at = np.linspace(0.35, 1, 256)[:, None]
        palette = np.array([[0.55, 0.85, 0.45]]) * at + (1 - at) * np.array([[0.1, 0.3, 0.35]])
    xforms = tuple(
        Xform(
            weight=float(ifs.probabilities[i]), color=float(where[i]), color_speed=speed,
            # y' = -y of the code: off-diagonal entries and the vertical offset change sign
            coefs=(a[i, 0, 0], -a[i, 1, 0], -a[i, 0, 1], a[i, 1, 1], t[i, 0], -t[i, 1]),
            variations={"linear": 1.0},
        )
        for i in range(k) if float(ifs.probabilities[i]) > 0
    )  # fmt: skip
    middle = (low + high).double() / 2
    scale = size[0] / float(high[0] - low[0])
    return Flame(
        name=ifs.name, size=size, center=(float(middle[0]), -float(middle[1])), scale=scale, palette=_rgba(palette),
        xforms=xforms, quality=100.0, estimator_radius=0.0, filter=0.5, gamma=2.6, brightness=5.0, highlight_power=1.0,
    )  # fmt: skip


def _rgba(palette: np.ndarray) -> np.ndarray:
    return np.concatenate([np.asarray(palette, dtype=np.float64)[:, :3], np.ones((256, 1))], axis=1)

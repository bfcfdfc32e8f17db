"""Random flames, mutants of flames, and flames of affine codes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_blend import between
from fractalkit.codes.flame_parts import VARIATIONS, Xform
from fractalkit.errors import UsageError

# variations that often look good on a random affine map, without parameters that could spoil them
_OFTEN = (
    "linear", "sinusoidal", "spherical", "swirl", "horseshoe", "polar", "heart", "disc",
    "spiral", "hyperbolic", "diamond", "ex", "julia", "bent", "fisheye", "exponential",
    "eyefish", "bubble", "cylinder", "tangent", "cross", "juliascope", "julian", "rings",
    "curl", "pdj", "elliptic", "foci", "loonie", "polar2", "edisc", "bipolar",
    "mobius", "butterfly", "waves",
)  # fmt: skip


def random_flame(rng: np.random.Generator, palette: np.ndarray, *, size: tuple[int, int] = (256, 256)) -> Flame:
    """A flame of two to five maps, sometimes with a symmetry and a final map; its camera is not fitted.

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


def _check(name: str, *flames: object) -> None:
    for given in flames:
        if not isinstance(given, Flame):
            raise UsageError(f"{name}: expected a flame, got {type(given).__name__}; read_flames reads those of a file")


def _generator(name: str, seed: int | np.random.Generator) -> np.random.Generator:
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not isinstance(seed, np.random.Generator) and not (whole and seed >= 0):
        raise UsageError(f"{name}: expected a seed from 0 or a numpy generator, got {seed!r}")
    return np.random.default_rng(seed)


def mutate(flame: Flame, seed: int | np.random.Generator = 0, strength: float = 1.0) -> Flame:
    """A mutant: one change to the whole of a flame, or two, as Electric Sheep and Apophysis make them.

    One of: all maps get other variations; one map is replaced; all linear parts are shaken; maps get second linear
    parts; a symmetry comes or goes; the colours move; a map goes, or one comes; weights change.

    Args:
        seed: of the changes, or a generator that draws them.
        strength: 1 for a relative that is seen to be one; the share of what is new, and how far maps move, grow.

    Raises:
        UsageError: a strength that is not positive, another kind of code, or a seed that is none.
    """
    if not (strength > 0 and math.isfinite(strength)):
        raise UsageError(f"mutate: expected a positive strength, got {strength}")
    _check("mutate", flame)
    rng = _generator("mutate", seed)
    changes = list(_CHANGES)
    chances = np.array([_CHANGES[c] for c in changes])
    for k in rng.choice(len(changes), size=1 + int(rng.random() < 0.4), replace=False, p=chances / chances.sum()):
        flame = changes[k](flame, rng, strength)
    return flame


def _other_variations(flame: Flame, rng: np.random.Generator, strength: float) -> Flame:
    """Every map gets the variations of a random map beside its own."""
    share = min(0.75 * strength, 1.0)

    def mixed(x: Xform) -> Xform:
        donor = _random_map(rng, x.color)
        size = sum(abs(w) for w in x.variations.values()) or 1.0
        kept = {n: w * (1 - share) for n, w in x.variations.items()} if share < 1 else {}
        for n, w in donor.variations.items():
            kept[n] = kept.get(n, 0.0) + share * min(size, 1.5) * w
        return replace(x, variations=kept, parameters=donor.parameters | x.parameters)

    return replace(flame, xforms=tuple(mixed(x) if rng.random() < 0.8 else x for x in flame.xforms))


def _another_map(flame: Flame, rng: np.random.Generator, strength: float) -> Flame:
    """One map is replaced by a random one of the same weight and colour."""
    maps = list(flame.xforms)
    i = int(rng.integers(len(maps)))
    maps[i] = replace(_random_map(rng, maps[i].color), weight=max(maps[i].weight, 0.1), color_speed=maps[i].color_speed)
    return replace(flame, xforms=tuple(maps))


def _shaken(flame: Flame, rng: np.random.Generator, strength: float) -> Flame:
    """All linear parts are turned, scaled and moved."""

    def shake(x: Xform) -> Xform:
        a, d, b, e, c, f = x.coefs
        t, g = 0.5 * strength * rng.normal(), math.exp(0.18 * strength * rng.normal())
        m = g * np.array([[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]]) @ np.array([[a, b], [d, e]])
        m += 0.12 * strength * rng.normal(size=(2, 2))
        dx, dy = 0.3 * strength * rng.normal(size=2)
        moved = (m[0, 0], m[1, 0], m[0, 1], m[1, 1], c + dx, f + dy)
        return replace(x, coefs=tuple(float(np.round(v, 6)) for v in moved))

    return replace(flame, xforms=tuple(shake(x) for x in flame.xforms))


def _with_posts(flame: Flame, rng: np.random.Generator, strength: float) -> Flame:
    """Some maps get a second linear part."""
    low = max(0.3, 0.9 - 0.3 * strength)
    one = int(rng.integers(len(flame.xforms)))
    maps = [
        replace(x, post=_affine(rng, low, 1.1)) if k == one or rng.random() < 0.4 else x
        for k, x in enumerate(flame.xforms)
    ]
    return replace(flame, xforms=tuple(maps))


def _symmetric(flame: Flame, rng: np.random.Generator, strength: float) -> Flame:
    """A symmetry comes, or another one takes its place."""
    return replace(flame, symmetry=(int(rng.choice([2, 3, 4, 5, 6, 8, -1, -2, -3])),))


def _recoloured(flame: Flame, rng: np.random.Generator, strength: float) -> Flame:
    """The palette is turned, and each map has another place on it."""
    palette = np.roll(flame.palette, int(rng.integers(32, 224)), axis=0)
    if rng.random() < 0.5:
        palette = np.concatenate([palette[:, rng.permutation(3)], palette[:, 3:]], axis=1)
    maps = tuple(replace(x, color=float(rng.random())) for x in flame.xforms)
    return replace(flame, palette=palette, xforms=maps)


def _fewer_or_more(flame: Flame, rng: np.random.Generator, strength: float) -> Flame:
    """A map goes, or a random one comes."""
    maps = list(flame.xforms)
    if len(maps) > 2 and rng.random() < 0.5:
        del maps[int(rng.integers(len(maps)))]
    else:
        heaviest = max(x.weight for x in maps)
        maps.append(replace(_random_map(rng, float(rng.random())), weight=heaviest * float(rng.uniform(0.3, 1))))
    if not any(x.weight > 0 for x in maps):
        return flame
    return replace(flame, xforms=tuple(replace(x, chaos=()) for x in maps))


def _reweighted(flame: Flame, rng: np.random.Generator, strength: float) -> Flame:
    """Weights change by a factor, and maps follow each other more or less often."""
    n = len(flame.xforms)
    maps = [
        replace(
            x, weight=x.weight * math.exp(1.0 * strength * float(rng.normal())),
            chaos=tuple(float(v) for v in np.round(rng.choice([0.0, 0.5, 1, 2], size=n, p=[0.2, 0.2, 0.4, 0.2]), 2)),
        )
        for x in flame.xforms
    ]  # fmt: skip
    return replace(flame, xforms=tuple(maps))


# changes and their chances
_CHANGES = {
    _other_variations: 0.24, _another_map: 0.2, _shaken: 0.22, _with_posts: 0.1, _symmetric: 0.08, _recoloured: 0.02,
    _fewer_or_more: 0.1, _reweighted: 0.04,
}  # fmt: skip
MOST_BRED = 12  # maps of a child


def breed(one: Flame, two: Flame, seed: int | np.random.Generator = 0) -> Flame:
    """A child of two flames: the maps of both, every map from one or the other, or a flame between them.

    The palette, the final map and the look are those of one parent; the size and the camera those of the first.

    Args:
        seed: of the choices, or a generator that draws them.

    Raises:
        UsageError: another kind of code, or a seed that is none.
    """
    _check("breed", one, two)
    rng = _generator("breed", seed)
    first, second = (one, two) if rng.random() < 0.5 else (two, one)
    how = rng.random()
    if how < 0.25:
        maps = [*first.xforms, *second.xforms]
        picked = sorted(rng.permutation(len(maps))[:MOST_BRED])
        maps = [_scaled(maps[i], first if i < len(first.xforms) else second) for i in picked]
    elif how < 0.75:
        n = int(rng.integers(min(len(one.xforms), len(two.xforms)), max(len(one.xforms), len(two.xforms)) + 1))
        donors = rng.permutation([i % 2 for i in range(n)])
        maps = [_scaled(p.xforms[k % len(p.xforms)], p) for k, p in enumerate((first, second)[d] for d in donors)]
    else:
        plain = [replace(f.expanded() if f.symmetry else f, layers=(), layer_attributes=()) for f in (first, second)]
        child = between(plain, [0.0, 1.0], float(rng.uniform(0.25, 0.75)))
        maps = list(child.xforms)
    looks, coloured = (p if rng.random() < 0.5 else q for p, q in ((first, second), (second, first)))
    final = looks.final if rng.random() < 0.7 else None
    return replace(
        looks, name="", size=one.size, center=one.center, scale=one.scale, zoom=one.zoom, rotate=one.rotate,
        palette=coloured.palette, xforms=tuple(maps), final=final, more_finals=(), layers=(), layer_attributes=(),
        symmetry=looks.symmetry if how < 0.75 and rng.random() < 0.6 else (),
    )  # fmt: skip


def _scaled(x: Xform, of: Flame) -> Xform:
    """A map with its share of its flame's weights, free to follow any other."""
    total = sum(m.weight for m in of.xforms) or 1.0
    return replace(x, weight=max(x.weight / total, 0.02), chaos=())


def flame_of(
    ifs: AffineIFS, *, size: tuple[int, int], low: torch.Tensor, high: torch.Tensor, palette: np.ndarray | None = None
) -> Flame:
    """An affine code of the plane as a flame that shows the window (y upwards, as codes have it).

    Colours are those of the palette, in the order of the maps, or the code's own, as a palette of its maps' colours.

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
        # neighbours on the palette should be alike: order the maps by lightness
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

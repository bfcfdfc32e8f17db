"""Gallery pictures of codes made from codes: rings, tilings, sheets, details, and single flames from ``codes/``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Pillow
from PIL import ImageDraw

from fractalkit.codes import AffineIFS, preset
from fractalkit.codes.algebra import interpolate
from fractalkit.codes.flame import Flame, Xform, read_flames
from fractalkit.codes.flame_random import mutate
from fractalkit.codes.random import random_ifs
from fractalkit.maps import apply_variation
from fractalkit.orbit import sample
from fractalkit.render import draw_ifs
from fractalkit.render.colours_from import HUED, colour_table
from fractalkit.render.flame import render_flame, resized, to_8_bit
from fractalkit.render.flame_sheet import sheet, worth_seeing
from fractalkit.render.palette import encode
from fractalkit.render.preview import INK, font
from fractalkit.render.splat import backdrop
from fractalkit.render.tonemap import tone_map

Image = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]
SEED = 1
FLAMES = Path(__file__).resolve().parent / "codes"


def flame(name: str, side: int = 640, quality: float = 500.0) -> Image:
    """Render the flame ``codes/NAME.flame``."""
    return to_8_bit(render_flame(resized(load(name), (side, side)), quality=quality, seed=SEED, threads=1))


def load(name: str) -> Flame:
    """Read the flame ``codes/NAME.flame``."""
    return read_flames(FLAMES / f"{name}.flame")[0]


def raster(x: Array, y: Array, rgb: Array, half: float, side: int, cells: int = 2) -> Image:
    """Draw points of [-half, half]^2 (y up) with mean colours and brightness by density."""
    n = side * cells
    column, row = ((v / half + 1) / 2 * n for v in (x, -y))
    inside = (row >= 0) & (column >= 0) & (row < n) & (column < n)
    cell = row[inside].astype(np.int64) * n + column[inside].astype(np.int64)
    counts = np.bincount(cell, minlength=n * n).reshape(n, n)
    sums = [np.bincount(cell, rgb[inside, c], n * n).reshape(n, n) for c in range(3)]
    return tone_map(counts, np.stack(sums, -1), supersample=cells)


def wreath(side: int = 680) -> Image:
    """Barnsley's fern near its tip, in coordinates that turn the zoom into a ring."""
    fern = preset("barnsley-fern")
    a, t = fern.matrices[1].numpy(), fern.offsets[1].numpy()
    tip = np.linalg.solve(np.eye(2) - a, t)
    ring, hue = [], []
    for pairs, radius, points, ahead in ((86, 1.0, 14_000_000, 0.0), (43, 0.53, 7_000_000, 0.5)):
        orbit = sample(fern, points, seed=SEED + pairs, dtype=torch.float64, depth=1)
        assert orbit.addresses is not None
        # points of the other maps, continued by powers of the first map: the whole infinite fern
        z = (orbit.points[orbit.addresses[:, 0] != 1].numpy() - tip) @ np.array([1, 1j])
        z = z / (z / abs(z)).mean()
        w = 2j * np.pi * np.log(z) / (pairs * np.log(complex(a[0, 0], a[1, 0])))
        u = np.exp(w - w.real.mean() + 2j * np.pi * np.arange(len(w)) / pairs)
        ring.append(radius * u)
        hue.append((np.angle(u) / (2 * np.pi) + ahead) % 1)
    u = np.concatenate(ring)
    table = colour_table("meadow")
    rgb = np.concatenate([table, table[::-1]])[(np.concatenate(hue) * 511).astype(int)]
    return raster(u.real, u.imag, rgb, 1.24, side)


def tiling(side: int = 640, across: float = 5.2) -> Image:
    """Twindragons, one per Gaussian integer, which tile the plane."""
    dragon = preset("twindragon")
    orbit = sample(dragon, 1_500_000, seed=SEED, dtype=torch.float64, depth=9)
    assert orbit.addresses is not None
    m, v = dragon.matrices.numpy(), dragon.offsets.numpy()
    # z = b^-1 (z' + digit): the digits differ by one step of the lattice of tiles
    step = np.linalg.solve(m[0], v[1] - v[0])
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    lattice = np.stack([step, turn @ step], axis=1)
    unit = float(np.hypot(*step))
    x = orbit.points.numpy()
    address = orbit.addresses.numpy().astype(int)
    light = 0.72 + 0.28 * (address[:, :6] @ (0.5 ** np.arange(1, 7)))
    stops = colour_table("kingfisher")
    half = across * unit / 2
    n = 2 * side
    counts, sums = np.zeros(n * n), np.zeros((3, n * n))
    reach = math.ceil(across)
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            p = x + lattice @ np.array([i, j])
            column, row = (p[:, 0] / half + 1) * side, (1 - p[:, 1] / half) * side
            inside = (row >= 0) & (column >= 0) & (row < n) & (column < n)
            if not inside.any():
                continue
            colour = stops[int(((i + 3 * j) * 0.381966 % 1) * 255)]
            cell = row[inside].astype(np.int64) * n + column[inside].astype(np.int64)
            counts += np.bincount(cell, minlength=n * n)
            shade = np.bincount(cell, light[inside], n * n)
            for c in range(3):
                sums[c] += colour[c] * shade
    rgb = (sums / np.maximum(counts, 1)).T.reshape(side, 2, side, 2, 3).mean(axis=(1, 3))
    return (255 * rgb).round().clip(0, 255).astype(np.uint8)


def sunflower(side: int = 720, ferns: int = 89) -> Image:
    """A fern as the condensation set of one map, which shrinks and turns by the golden angle."""
    fern = preset("culcita-fern")
    points = sample(fern, 400_000, seed=SEED, dtype=torch.float64).points.numpy()
    low, high = points.min(0), points.max(0)
    z = ((points[:, 0] - (low[0] + high[0]) / 2) + 1j * (points[:, 1] - low[1])) / (high[1] - low[1])
    table = colour_table("autumn-walk")
    canvas = encode(backdrop((side, side), "dark")).astype(np.float64) / 255
    n = 2 * side
    for k in range(ferns):
        scale = 0.965**k
        # each fern stands on a circle and points outwards; later ferns are smaller and lie on top
        p = scale * np.exp(1j * (k * math.pi * (3 - math.sqrt(5)))) * (0.42 + 0.58 * z * -1j)
        column, row = (p.real / 1.03 + 1) * side, (1 - p.imag / 1.03) * side
        inside = (row >= 0) & (column >= 0) & (row < n) & (column < n)
        cell = row[inside].astype(np.int64) * n + column[inside].astype(np.int64)
        counts = np.bincount(cell, minlength=n * n).reshape(side, 2, side, 2)
        cover = (counts > 0).mean(axis=(1, 3))[..., None]
        weight = np.log1p(counts.sum(axis=(1, 3)))[..., None]
        colour = table[int(k / ferns * 255)] * (0.45 + 0.55 * np.clip(weight / 4, 0, 1))
        # a shadow below each fern separates it from those that it covers
        soft = np.asarray(Pillow.fromarray((255 * cover[..., 0]).astype(np.uint8)).resize((side // 6, side // 6)))
        wide = Pillow.fromarray(soft).resize((side, side), Pillow.Resampling.BICUBIC)
        canvas *= 1 - 0.45 * np.asarray(wide)[..., None] / 255
        canvas = canvas * (1 - cover) + cover * colour
    return (255 * canvas).round().clip(0, 255).astype(np.uint8)


def pearls(side: int = 700) -> Image:
    """The limit set of a Kleinian group of two generators, both of trace 1.91 + 0.05 i."""
    ta = tb = 1.91 + 0.05j
    p, q = -ta * tb, ta * ta + tb * tb
    tab = (-p - np.sqrt(p * p - 4 * q)) / 2
    z0 = (tab - 2) * tb / (tb * tab - 2 * ta + 2j * tab)
    b = np.array([[tb - 2j, tb], [tb, tb + 2j]]) / 2
    a = np.array([[tab / 2, (tab - 2) / (2 * z0)], [(tab + 2) * z0 / 2, tab / 2]]) @ np.linalg.inv(b)
    inverse = np.linalg.inv
    # drawn after z -> 1 / (z - 3.2), which maps distant parts into the frame
    h = np.array([[0, 1], [1, -3.2]], complex)
    a, b = h @ a @ inverse(h), h @ b @ inverse(h)

    def mobius(m: Array, weight: float, colour: float, speed: float, chaos: tuple[float, ...] = ()) -> Xform:
        m = m / np.sqrt(np.linalg.det(m) + 0j)
        entries = {"a": m[0, 0], "b": m[0, 1], "c": m[1, 0], "d": m[1, 1]}
        values = {f"mobius_re_{k}": float(v.real) for k, v in entries.items()}
        values |= {f"mobius_im_{k}": float(v.imag) for k, v in entries.items()}
        return Xform(weight, colour, speed, variations={"mobius": 1.0}, parameters=values, chaos=chaos)

    opposite = (1, 0, 3, 2)  # no map is followed by its own inverse
    maps = [
        mobius(m, 1.0, k / 3, 0.35, tuple(float(j != opposite[k]) for j in range(4)))
        for k, m in enumerate((a, inverse(a), b, inverse(b)))
    ]
    # the commutator is parabolic and creeps towards its cusp; its powers are there at once
    for n in (5, 17, 60):
        power = np.linalg.matrix_power(a @ b @ inverse(a) @ inverse(b), n)
        maps += [mobius(m, 0.1, 0.5, 0.0) for m in (power, inverse(power))]
    group = Flame(
        size=(side, side), center=(-0.19, 0.0), scale=1.5 * side, xforms=tuple(maps), oversample=2,
        estimator_radius=0.0, gamma=4.0, brightness=9.0, highlight_power=1.0,
        palette=np.c_[colour_table("stained-glass"), np.ones(256)],
    )  # fmt: skip
    return to_8_bit(render_flame(group, quality=900, seed=SEED, threads=1))


SHOWN = (
    "sinusoidal", "spherical", "swirl", "horseshoe", "polar", "handkerchief", "heart", "disc", "spiral", "hyperbolic",
    "diamond", "ex", "bent", "fisheye", "exponential", "power", "cosine", "eyefish", "bubble", "cylinder", "tangent",
    "cross", "secant2", "butterfly", "edisc", "elliptic", "foci", "loonie", "polar2", "scry", "exp", "log", "sin",
    "cos", "tan", "sinh", "cosh", "tanh", "sech", "csch",
)  # fmt: skip


def bent(side: int = 112, columns: int = 8) -> Image:
    """A square grid after each of forty variations."""
    lines = torch.linspace(-1.6, 1.6, 17, dtype=torch.float64)
    along = torch.linspace(-1.6, 1.6, 12_000, dtype=torch.float64)
    x, y = (g.flatten() for g in torch.meshgrid(lines, along, indexing="ij"))
    x, y = torch.cat([x, y]), torch.cat([y, x])
    angle = (torch.atan2(y, x) / (2 * math.pi) % 1).numpy()
    table = colour_table("coral-reef")
    rgb = np.concatenate([table, table[::-1]])[(angle * 511).astype(int)]
    pictures = []
    for name in SHOWN:
        u, v = apply_variation(name, x, y, seed=1)
        half = min(3.0, 1.08 * float(torch.quantile(torch.maximum(u.abs(), v.abs())[::7], 0.97)))
        pictures.append(raster(u.numpy(), -v.numpy(), rgb, half, side, 3))
    return labelled(pictures, list(SHOWN), columns)


def labelled(pictures: list[Image], names: list[str], columns: int, gap: int = 10, foot: int = 16) -> Image:
    """Arrange small pictures in a grid, each with its name below."""
    side = pictures[0].shape[0]
    rows = -(-len(pictures) // columns)
    canvas = Pillow.new("RGB", (columns * (side + gap) + gap, rows * (side + gap + foot) + gap), (16, 18, 22))
    pen = ImageDraw.Draw(canvas)
    for i, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        r, c = gap + i // columns * (side + gap + foot), gap + i % columns * (side + gap)
        canvas.paste(Pillow.fromarray(picture), (c, r))
        pen.text((c + side / 2, r + side + foot - 4), name, fill=INK["dark"][1], font=font(9), anchor="ms")
    return np.array(canvas)


def mutants(side: int = 190, n: int = 12) -> Image:
    """Mutants of one flame."""
    parent = resized(load("lace"), (side, side))
    found = worth_seeing(lambda rng: mutate(parent, rng, 1.2), n, seed=7, least=0.3)
    return sheet(found, quality=150, seed=SEED, threads=1)


def morphs(side: int = 92, steps: int = 7) -> Image:
    """Codes of two maps, interpolated between four presets."""
    corner = [preset(n).to(dtype=torch.float64) for n in ("levy-c", "heighway-dragon", "pythagoras-tree", "twindragon")]
    found = []
    for i in range(steps):
        for j in range(steps):
            s, t = i / (steps - 1), j / (steps - 1)
            between = interpolate(interpolate(corner[0], corner[1], t), interpolate(corner[2], corner[3], t), s)
            found.append(draw_ifs(between, size=(side, side), seed=SEED, supersample=3))
    return together(found, steps)


def together(pictures: list[Image], columns: int) -> Image:
    """Arrange pictures of codes on a common backdrop; the backdrop of each picture is subtracted."""
    side = pictures[0].shape[0]
    canvas = encode(backdrop((side * columns, side * (len(pictures) // columns)), "dark")).astype(np.int16)
    empty = encode(backdrop((side, side), "dark")).astype(np.int16)
    for k, picture in enumerate(pictures):
        y, x = k // columns * side, k % columns * side
        canvas[y : y + side, x : x + side] += picture.astype(np.int16) - empty
    return canvas.clip(0, 255).astype(np.uint8)


def strangers(side: int = 118, columns: int = 6, rows: int = 6) -> Image:
    """Random codes of two to five maps whose attractors fill 20 to 62 % of the frame."""
    g = torch.Generator().manual_seed(SEED)
    found: list[Image] = []
    tables = list(HUED)
    while len(found) < columns * rows:
        ifs = random_ifs(int(torch.randint(2, 6, (), generator=g)), generator=g)
        table = colour_table(tables[int(torch.randint(len(tables), (), generator=g))])
        colours = torch.from_numpy(table[np.linspace(20, 235, len(ifs)).astype(int)])
        ifs = AffineIFS(ifs.matrices, ifs.offsets, ifs.weights, colours, 0.35)
        trial = draw_ifs(ifs, size=(48, 48), seed=SEED, supersample=1, points=40_000)
        lit = float((trial.max(axis=2) > 70).mean())
        if 0.2 < lit < 0.62:
            found.append(draw_ifs(ifs, size=(side, side), seed=SEED, supersample=3))
    return together(found, columns)


def _single(name: str) -> Any:
    return lambda: flame(name, 570 if name in ("reef", "nebula") else 640)  # fine detail makes large files


SINGLE = {
    "lace": ("Lace", "A spiral and an inversion, two maps: `fractalkit render gallery/codes/lace.flame`."),
    "reef": ("Reef", "A spiral, an inversion and a cylinder; the flame that the notebook on flames ends with."),
    "crest": ("Crest", "A spiral, an inversion and a swirl."),
    "foam": ("Foam", "A spiral, an inversion and a square root."),
    "anemone": ("Anemone", "Spirals with a final transform."),
    "ruffles": ("Ruffles", "Roots of the complex plane (`julian`) in autumn colours."),
    "nebula": ("Nebula", "A random flame, chosen by eye."),
    "fountain": ("Fountain", "A 3D flame of `julia3D`, `spherical3D` and a stem, with a perspective camera."),
}
DESIGNS = {name: (_single(name), *words) for name, words in SINGLE.items()} | {
    "pearls": (
        pearls,
        "Pearls",
        "The limit set of a Kleinian group after D. Mumford, C. Series and D. Wright, Indra's Pearls (2002): four "
        "Möbius maps as a flame.",
    ),
    "wreath": (
        wreath,
        "A wreath",
        "A zoom into the tip of a fern, bent into a ring: one turn of the outer ring magnifies a million times, one "
        "turn of the inner ring a thousand times.",
    ),
    "sunflower": (sunflower, "A sunflower of ferns", "A fern, shrunk and turned by the golden angle again and again."),
    "tiling": (tiling, "Twindragons", "Copies of one attractor tile the plane; shades mark their pieces."),
    "variations": (bent, "Variations", "A square grid after each of forty variations."),
    "mutants": (mutants, "Mutants", "Mutants of *lace*: `fractalkit render gallery/codes/lace.flame --mutate 12`."),
    "morphs": (
        morphs,
        "Between four curves",
        "Interpolated codes of two maps; the corners are Lévy's curve, Heighway's dragon, the Pythagoras tree and the "
        "twindragon.",
    ),
    "strangers": (strangers, "Strangers", "Random affine codes by the rule of C. Anderson and R. Farrell (2022)."),
}  # fmt: skip

"""Pictures of five kinds, made by script, for ``python -m recipes.benchmarks.codec kinds``."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 512
WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "a",
    "is",
    "that",
    "it",
    "was",
    "for",
    "on",
    "are",
    "as",
    "with",
    "his",
    "they",
    "be",
    "at",
    "one",
    "have",
    "this",
    "from",
    "or",
    "had",
    "by",
    "word",
    "but",
    "what",
    "some",
    "we",
    "can",
    "out",
    "other",
    "were",
    "all",
    "there",
    "when",
    "up",
    "use",
    "your",
    "how",
    "said",
    "an",
    "each",
    "she",
    "which",
    "do",
    "their",
    "time",
    "if",
    "will",
    "way",
    "about",
    "many",
    "then",
    "them",
    "write",
    "would",
    "like",
    "so",
    "these",
    "her",
    "long",
    "make",
    "thing",
    "see",
    "him",
    "two",
    "has",
    "look",
    "more",
    "day",
    "could",
    "go",
    "come",
    "did",
    "number",
    "sound",
    "no",
    "most",
    "people",
    "my",
    "over",
    "know",
    "water",
    "than",
    "call",
    "first",
    "who",
    "may",
    "down",
    "side",
    "been",
    "now",
    "find",
]
Pictures = dict[tuple[str, str], np.ndarray]


def pictures(folder: Path) -> Pictures:
    """Twenty-one pictures by kind and name; the photographs are the first five of a folder, their middles."""
    from fractalkit.data.images import list_pictures
    from fractalkit.data.pictures import read_picture

    out: Pictures = {
        ("text", "page, 14 px"): page(0, 14),
        ("text", "page, 11 px"): page(1, 11),
        ("text", "serif, 16 px"): page(2, 16, "DejaVuSerif.ttf"),
        ("text", "monospaced, dark"): 255 - page(3, 13, "DejaVuSansMono.ttf"),
        ("text", "coloured"): page(4, 14, colour=True),
        ("text", "between pixels"): between_pixels(6),
        ("drawing", "three curves"): curves(0),
        ("drawing", "boxes"): boxes(0),
        ("texture", "tile of noise, 64 px"): tiled(noise(0, 64)),
        ("texture", "coloured tile, 48 px"): tiled(noise(1, 48, True)),
        ("texture", "bricks"): bricks(),
        ("texture", "tile, noisy copies"): np.clip(tiled(noise(2, 64)) + gauss(3, 2.0), 0, 255).astype(np.uint8),
        ("attractor", "gasket"): gasket(),
        ("attractor", "carpet"): substitution("111 101 111"),
        ("attractor", "Vicsek cross"): substitution("010 111 010"),
        ("attractor", "fern, chaos game"): fern(),
    }
    for path in list_pictures(folder)[:5]:
        a = read_picture(path).samples[..., :3]
        y, x = ((n - SIDE) // 2 for n in a.shape[:2])
        out["photograph", path.stem] = a[y : y + SIDE, x : x + SIDE]
    return out


def page(seed: int, size: int, font: str = "DejaVuSans.ttf", colour: bool = False) -> np.ndarray:
    """A page of common words in random order, by Pillow, in a font of Matplotlib."""
    import matplotlib

    rng = np.random.default_rng(seed)
    face = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / font, size)
    image = Image.new("RGB" if colour else "L", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(image)
    for y in range(8, SIDE - size - 4, size + 5):
        line = ""
        while face.getlength(line) < SIDE - 90:
            line += WORDS[rng.integers(len(WORDS))] + " "
        ink = ((20, 20, 120) if rng.random() < 0.2 else (0, 0, 0)) if colour else 0
        draw.text((10, y), line, font=face, fill=ink)
    return np.asarray(image)


def between_pixels(seed: int) -> np.ndarray:
    """A page of common words by Matplotlib, which places glyphs at fractions of a pixel, so that few are alike."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rng = np.random.default_rng(seed)
    lines = [" ".join(WORDS[k] for k in rng.integers(len(WORDS), size=14)) for _ in range(36)]
    fig = plt.figure(figsize=(SIDE / 100, SIDE / 100), dpi=100)
    fig.text(0.02, 0.98, "\n".join(lines), size=9, va="top", family="DejaVu Sans")
    fig.canvas.draw()
    a = np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
    plt.close(fig)
    return a


def curves(seed: int) -> np.ndarray:
    """Three sines, by Matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rng = np.random.default_rng(seed)
    fig, ax = plt.subplots(figsize=(SIDE / 100, SIDE / 100), dpi=100)
    t = np.linspace(0, 10, 200)
    for k in range(3):
        ax.plot(t, np.sin(t * rng.uniform(0.5, 2) + rng.uniform(0, 6)) * rng.uniform(0.5, 1), label=f"curve {k}")
    ax.set(xlabel="time, s", ylabel="value", title="Three curves")
    ax.legend()
    ax.grid(alpha=0.3)
    fig.canvas.draw()
    a = np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
    plt.close(fig)
    return a


def boxes(seed: int) -> np.ndarray:
    """Boxes with labels, joined by lines."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(image)
    places = [(int(x), int(y)) for x, y in rng.integers(20, SIDE - 130, (9, 2))]
    for (a, b), (c, d) in pairwise(places):
        draw.line((a + 50, b + 18, c + 50, d + 18), fill=(90, 90, 90), width=2)
    for n, (x, y) in enumerate(places):
        fill = tuple(int(v) for v in rng.integers(170, 255, 3))
        draw.rectangle((x, y, x + 100, y + 36), fill=fill, outline=(0, 0, 0), width=2)
        draw.text((x + 12, y + 12), f"{WORDS[rng.integers(len(WORDS))]} {n}", fill=(0, 0, 0))
    return np.asarray(image)


def gauss(seed: int, sigma: float) -> np.ndarray:
    """Gaussian noise ``[SIDE, SIDE]``."""
    return np.random.default_rng(seed).normal(0, sigma, (SIDE, SIDE))


def noise(seed: int, side: int, colour: bool = False) -> np.ndarray:
    """A tile of smooth noise that fits to itself."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    a = gaussian_filter(rng.standard_normal((side, side, 3 if colour else 1)), (1.2, 1.2, 0), mode="wrap")
    a = np.clip(128 + 40 * a / a.std(), 0, 255).astype(np.uint8)
    return a if colour else a[..., 0]


def tiled(tile: np.ndarray) -> np.ndarray:
    """A tile repeated over the picture."""
    n = -(-SIDE // tile.shape[0])
    return np.tile(tile, (n, n) + (1,) * (tile.ndim - 2))[:SIDE, :SIDE]


def bricks() -> np.ndarray:
    """A wall whose bricks are three textures in random order."""
    rng = np.random.default_rng(5)
    kinds = [noise(k, 64)[:24, :56] // 2 + 40 + 20 * k for k in range(3)]
    a = np.full((SIDE + 64, SIDE + 64), 200, np.uint8)
    for row, y in enumerate(range(0, SIDE, 28)):
        for x in range(0, SIDE, 60):
            at = x + 30 * (row % 2)
            a[y : y + 24, at : at + 56] = kinds[rng.integers(3)]
    return a[:SIDE, :SIDE]


def gasket() -> np.ndarray:
    """Sierpinski's gasket, as Pascal's triangle modulo 2."""
    y, x = np.indices((SIDE, SIDE))
    return np.where(y & x, 255, 0).astype(np.uint8)


def substitution(rule: str) -> np.ndarray:
    """A square in which each 1 of the rule is replaced by the rule, 729 pixels a side."""
    one = np.array([[int(c) for c in row] for row in rule.split()])
    a = one
    while len(a) < SIDE:
        a = np.kron(a, one)
    return np.where(a, 0, 255).astype(np.uint8)


def fern() -> np.ndarray:
    """Barnsley's fern, 200,000 points of the chaos game in pixels."""
    from fractalkit.codes.presets import preset
    from fractalkit.orbit import sample

    points = sample(preset("barnsley-fern"), 200_000, seed=0).points.numpy()
    low, high = points.min(0), points.max(0)
    place = ((points - low) / (high - low).max() * (SIDE - 1)).astype(int)
    a = np.full((SIDE, SIDE), 255, np.uint8)
    a[SIDE - 1 - place[:, 1], place[:, 0]] = 0
    return a


def contact_sheet(made: Pictures, path: Path) -> None:
    """The pictures in rows of five."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(-(-len(made) // 5), 5, figsize=(15, 3.15 * -(-len(made) // 5)), dpi=80)
    for ax, ((kind, name), a) in zip(axes.flat, made.items(), strict=False):
        ax.imshow(a, cmap="gray", vmin=0, vmax=255)
        ax.set_title(f"{kind}: {name}", fontsize=10)
    for ax in axes.flat:
        ax.axis("off")
    fig.tight_layout()
    fig.savefig(path)

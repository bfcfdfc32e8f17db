# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Infinite zoom
#
# A picture made of pixels ends at its pixels. A fixed point has no last pixel: a map that made the whole makes every
# part of it again, smaller, and any window at any depth is a finite sum. This notebook walks into four kinds of fixed
# point: a fern, a flame, a digit that a network drew, and photographs. It asks what a window costs, where numbers of
# 64 bits end, and how a film into the depth can come back to its first frame.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image, display
from matplotlib import cbook

from fractalkit import fk
from fractalkit.codes import preset
from fractalkit.codes.algebra import conjugate
from fractalkit.codes.flame import Flame, Xform
from fractalkit.fit.fractalize import fractalize
from fractalkit.models.vdvae import VDVAE
from fractalkit.orbit import sample
from fractalkit.render.collage import Picture
from fractalkit.render.colours_from import colour_table
from fractalkit.render.film import save_film
from fractalkit.render.tonemap import tone_map
from fractalkit.render.zoom import Approach, CodeWindows, CollageWindows, FlameWindows, FractalWindows, interesting
from fractalkit.render.zoom_ifs import IFSWindows

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # what tests run
SIDE = 48 if SMALL else 240
LADDER = [1, 10, 1e2] if SMALL else [1, 10, 1e2, 1e3, 1e4, 1e5, 1e6]


def strip(rows, titles, labels=("",)):
    """Rows of pictures of one size, as one figure."""
    fig, axes = plt.subplots(
        len(rows), len(rows[0]), figsize=(1.62 * len(rows[0]), 1.62 * len(rows) + 0.3), dpi=75, squeeze=False
    )
    for row, pictures, label in zip(axes, rows, labels, strict=True):
        for ax, picture in zip(row, pictures, strict=True):
            ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(label, fontsize=9)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=9)
    fig.tight_layout(pad=0.4)
    plt.show()


# %% [markdown]
# ## An address that goes on for ever
#
# Barnsley's fern is the union of four smaller ferns, one for each map. A point is named by the maps that lead to it,
# largest piece first: 2 1 3 ... is in the second piece, in that piece's first piece, and so on. The simplest endless
# address is one digit for ever. It names the fixed point of one map, $x = A x + t$, and two lines find it. The
# second map of the fern (number 1, from 0) carries the fern to the fern without its lowest pair of leaves. Its fixed
# point is the tip.

# %%
fern = preset("barnsley-fern")
A, t = fern.matrices[1].numpy(), fern.offsets[1].numpy()
tip = np.linalg.solve(np.eye(2) - A, t)
ratio, turn = np.hypot(*A[:, 0]), np.degrees(np.arctan2(A[1, 0], A[0, 0]))
print(f"the tip: {tip[0]:.4f}, {tip[1]:.4f}; the map shrinks to {ratio:.4f} and turns by {turn:.2f} degrees")
for m in LADDER[1:]:
    print(f"{m:9,.0f} x is {np.log(m) / -np.log(ratio):5.1f} maps deep")

# %% [markdown]
# `IFSWindows` draws any window of the fern. The ladder goes down by tens, always about the tip. Nothing comes to an end
# and nothing is blurred. The tip turns slowly, for each map turns it, and is otherwise the same tip again.


# %%
class About:
    """Windows about a point of a code's plane."""

    def __init__(self, ifs, point, quality=40.0):
        self.source = IFSWindows(ifs, quality=quality)
        x, y = (point - self.source.corner) / self.source.side
        self.middle = x, 1 - y  # shares of the whole's width, y down

    def box(self, width):
        """The window's edges, ``width`` in the plane's own units."""
        (x, y), half = self.middle, width / self.source.side / 2
        return x - half, y - half, x + half, y + half

    def draw(self, width, side=SIDE):
        return self.source.window(*self.box(width), side, side)


near = About(fern, tip)
strip([[near.draw(10 / m) for m in LADDER]], [f"{m:,.0f} x" for m in LADDER])

# %% [markdown]
# ## What a window costs
#
# The chaos game on the whole fern would have to wait for a point to fall into the window. The tip holds little: the
# share of points in it is the last column but one, and its inverse is how many one would draw for each that one sees.
# `IFSWindows` waits for nothing. It grows the addresses digit by digit, drops those whose piece misses the window,
# stops at those that are small beside it, and maps points of the whole fern by what is left. So the samples a pixel
# are the same at any depth; only the addresses become longer.

# %%
print(f"{'':>14s} {'pieces':>7s} {'share of the points':>20s} {'drawn for one seen':>20s}")
for m in [1, 1e2, 1e4, 1e6, 1e9, 1e12]:
    x0, y0, x1, y1 = near.box(10 / m)
    s = near.source
    left, right = s.corner[0] + s.side * x0, s.corner[0] + s.side * x1
    low, high = s.corner[1] + s.side * (1 - y1), s.corner[1] + s.side * (1 - y0)
    mass = s.words(left, low, right, high)[1]
    print(f"{m:12,.0e} x {len(mass):7d} {mass.sum():20.2e} {1 / mass.sum():20,.0f}")

# %% [markdown]
# ## Where 64 bits end
#
# A window is given by its edges, as shares of the whole. Numbers of 64 bits tell 0.5 from its neighbour at a distance
# of $10^{-16}$; a window of $10^{-13}$ has a thousand places left for its edges. There the package refuses, rather than
# to draw what it cannot know. Inside, nothing is lost on the way: maps of pieces are kept relative to the window's
# middle, not to the plane's origin.

# %%
for m in (1e12, 1e13, 1e14):
    try:
        picture = near.draw(10 / m, 48)
        print(f"{m:.0e} x: drawn, {(picture.max(axis=2) > 60).mean():.0%} of the pixels lit")
    except Exception as error:
        print(f"{m:.0e} x: {type(error).__name__}: {error}")

# %% [markdown]
# At a fixed point there is no need to go there. Between one depth and the next lies one map, so the picture at
# $10^{100}$ is the picture at some depth between 1 and 1.17. To look through the map itself, conjugate the code: with
# $h(x) = r^{-s} R^{-s} (x - x^*)$ the code $h f h^{-1}$ has the fern as seen after $s$ maps, turned back, the tip at
# the origin. At $s = 1$ that is the first picture again. Eight frames from 0 to 1 make a film that goes on for ever.


# %%
def after(s, width=0.5):
    """The tip after s maps, 0 to 1, in a window of that width at s = 0."""
    angle = np.radians(-turn * s)
    h = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * ratio**-s
    seen = conjugate(fern, torch.from_numpy(h), torch.from_numpy(-h @ tip))
    return About(seen, np.array([-0.7, -0.15]) * width / 2, quality=60.0).draw(width)


frames = [after(k / 8) for k in range(2 if SMALL else 8)]
first, last = after(0.0), after(1.0)
apart = np.abs(first.astype(float) - last).mean()
between = np.abs(first.astype(float) - after(0.5)).mean()
print(f"levels between s = 0 and 1: {apart:.1f}; between s = 0 and 1/2: {between:.1f}")
with tempfile.TemporaryDirectory() as folder:
    save_film(frames, Path(folder) / "tip.gif", fps=12)
    film = (Path(folder) / "tip.gif").read_bytes()
print(f"{len(film) / 1000:.0f} kB")
display(Image(data=film, format="gif"))

# %%
strip([[*frames[::2], last]], [f"s = {k / 8:g}" for k in range(0, len(frames), 2)] + ["s = 1"])

# %% [markdown]
# Between the first frame and the last there is no difference, not even noise: every address has lost its first digit,
# and what remains of the sum is the same.
#
# ## A flame
#
# The maps of a flame are not affine, and their pieces have no boxes. `FlameWindows` can only move the camera: the game
# is played on the whole, and what misses the window is lost. A spiral with an inversion shows how far that goes. The
# first row spends the same samples everywhere. The second spends $m^{1.5}$ times as many at magnification $m$, which
# is what it costs to see.

# %%
spiral = Xform(2.0, 0.0, 0.15, coefs=(0.86, 0.35, -0.35, 0.86, 0.3, 0.1), variations={"linear": 1.0})
invert = Xform(1.0, 1.0, 0.5, coefs=(0.8, 0.3, -0.3, 0.8, -0.5, 0.4), variations={"spherical": 0.55})
shell = Flame(
    size=(SIDE, SIDE), scale=SIDE / 5.0, center=(0.6, 0.6), estimator_radius=5.0, brightness=9.0, gamma=3.0,
    highlight_power=1.0, palette=np.c_[colour_table("frost-fire"), np.ones(256)], xforms=(spiral, invert),
)  # fmt: skip
at = interesting(FlameWindows(shell, 20.0, 1, 1), 8)
deep = [1, 4, 16] if SMALL else [1, 4, 16, 64, 256]
rows = []
for power in (0.0, 1.5):
    row = []
    for m in deep:
        way = Approach(at, 1e9, 2, 1.0, start=m * 1.0001)
        row.append(FlameWindows(shell, 20.0 * m**power, 1, 1).window(*way.box(0), SIDE, SIDE))
    rows.append(row)
strip(rows, [f"{m} x" for m in deep], ["same cost", "same quality"])
for m, few, many in zip(deep, *rows, strict=True):
    print(f"{m:4d} x: lit pixels {(few.max(axis=2) > 20).mean():4.0%} and {(many.max(axis=2) > 20).mean():4.0%}")

# %% [markdown]
# ## Pictures that are fixed points
#
# A digit of `vdvae_mnist`, a photograph in a `.fk` file, and the same photograph made of itself are fixed points too,
# of maps that act on brightness: each part is a paler copy of a larger part, plus something smooth. They all have a
# picture at a million times. What it shows is another matter. Each level multiplies contrast by a number below one,
# and after a few levels there is nothing the eye could see. The photograph made of itself keeps the most, since its
# tiles are meant to be seen: at a million times there is the portrait, if faint.

# %%
torch.set_num_threads(1)
with cbook.get_sample_data("grace_hopper.jpg") as file:
    photograph = plt.imread(file, format="jpg")
code = fk.load(fk.encode(photograph[40:360, 110:430], bpp=1.0).to_bytes())
net = VDVAE.from_pretrained("vdvae_mnist")
things = {
    "digit": CollageWindows(Picture.of(net, net.sample([torch.Generator().manual_seed(2)])), 1),
    ".fk": CodeWindows(code, code.height / code.width),
    "of itself": FractalWindows(
        fractalize(torch.from_numpy(photograph[40:360, 110:430].copy()).permute(2, 0, 1) / 255, 32), 1.0
    ),
}
rows = []
for name, thing in things.items():
    at = interesting(thing, 100)
    row = [thing.window(*Approach(at, 1e9, 2, 1.0, thing.aspect, start=m * 1.0001).box(0), SIDE, SIDE) for m in LADDER]
    print(f"{name:10s} spread of levels " + " ".join(f"{r.std(axis=(0, 1)).mean():6.1f}" for r in row))
    rows.append(row)
strip(rows, [f"{m:,.0f} x" for m in LADDER], list(things))

# %% [markdown]
# Collages count the whole's pixels, and allow $2^{40}$ a side: at 240 pixels a frame that is more than four thousand
# million times, and beyond it they refuse in a sentence. The decoder of `.fk` computes its fixed point with up to 64
# samples a pixel along each axis, and interpolates beyond: what came after would be flat.
#
# From the shell, `fractalkit zoom` makes a film of any of these, or a page that stands alone, with no server, to
# look around in:
#
#     fractalkit zoom barnsley-fern --depth 1e6 -o fern.mp4
#     fractalkit zoom photo.fk --at 0.4,0.3 -o frames/
#     fractalkit zoom sierpinski-triangle --depth 1e9 -o page.html
#
# ## Once around
#
# One more way to see all depths at once. Put the tip at 0 of the complex plane. The map is then $z \mapsto \lambda z$,
# and in $w = \log z$ it is a step, $w \mapsto w + \log \lambda$: the zoom is a walk in a straight line. Bend the line
# into a circle, $u = \exp(2 \pi i\, w / (N \log \lambda))$, so that $N$ maps are one time around. All of this keeps
# angles, so the leaves keep their shape. And every pair of leaves but the first is a copy of it: points whose first
# map is any but number 1, and $N$ turns of them, are the whole endless fern.


# %%
def wreath(n, points, seed=1):
    """The endless fern bent to a ring of n pairs of leaves: complex numbers about the unit circle."""
    orbit = sample(fern, points, seed=seed, dtype=torch.float64, depth=1)
    x = orbit.points[orbit.addresses[:, 0] != 1].numpy() - tip
    z = x @ np.array([1, 1j])
    z = z / (z / abs(z)).mean()  # the cut of the logarithm lies behind the tip
    w = 2j * np.pi * np.log(z) / (n * np.log(complex(A[0, 0], A[1, 0])))
    return np.exp(w - w.real.mean() + 2j * np.pi * np.arange(len(w)) / n)


side = 100 if SMALL else 900
u = np.concatenate([1.06 * wreath(86, side * side * 24), 0.56 * wreath(43, side * side * 12, seed=2)])
hue = np.angle(u) / (2 * np.pi) % 1
hue = np.where(np.arange(len(u)) < len(u) * 2 / 3, hue, (0.5 + hue) % 1)  # the inner ring half a turn ahead
colours = colour_table("meadow")
colours = np.concatenate([colours, colours[::-1]])[(hue * 511).astype(int)]
rows, columns = ((s / 1.3 + 1) * side for s in (-u.imag, u.real))  # two cells a pixel
inside = (np.minimum(rows, columns) >= 0) & (np.maximum(rows, columns) < 2 * side)
cell = rows[inside].astype(int) * 2 * side + columns[inside].astype(int)
counts, *sums = (np.bincount(cell, v, (2 * side) ** 2) for v in (None, *colours[inside].T))
picture = tone_map(counts.reshape(2 * side, -1), np.stack(sums, -1).reshape(2 * side, 2 * side, 3), supersample=2)
fig = plt.figure(figsize=(9, 9), dpi=100, facecolor="#121418")
ax = fig.add_axes((0, 0, 1, 1))
ax.imshow(picture)
ax.axis("off")
plt.show()
print(f"once around the outer ring: {ratio**-86.0:,.0f} x; around the inner: {ratio**-43.0:,.0f} x")

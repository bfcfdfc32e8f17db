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
# A picture made of pixels has a finite resolution. A fixed point does not: the map that made the whole also makes every
# part of it, at a smaller scale, and any window at any depth is a finite sum. This notebook zooms into four kinds of
# fixed points: a fern, a flame, a digit drawn by a network, and photographs. It shows what a window costs, where 64-bit
# numbers reach their limit, and how a zoom film can return to its first frame.

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
from fractalkit.fit.tiling import fractalize
from fractalkit.models.mean_picture import MeanPicture
from fractalkit.models.vdvae import VDVAE
from fractalkit.orbit import sample
from fractalkit.render.colours_from import colour_table
from fractalkit.render.film import save_film
from fractalkit.render.tonemap import tone_map
from fractalkit.render.windows import CodeWindows, CollageWindows, FractalWindows
from fractalkit.render.zoom import Approach, interesting
from fractalkit.render.zoom_flame import FlameWindows
from fractalkit.render.zoom_ifs import IFSWindows

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # used by the tests
SIDE = 48 if SMALL else 240
LADDER = [1, 10, 1e2] if SMALL else [1, 10, 1e2, 1e3, 1e4, 1e5, 1e6]


def strip(rows, titles, labels=("",)):
    """Show rows of pictures of the same size as one figure."""
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
# ## An infinite address
#
# Barnsley's fern is the union of four smaller ferns, one for each map. A point is named by the maps that lead to it,
# largest piece first: 2 1 3 ... is in the second piece, in that piece's first piece, and so on. The simplest infinite
# address repeats one digit. It names the fixed point of one map, $x = A x + t$, and two lines compute it. The second
# map of the fern (number 1, counting from 0) takes the fern to the fern without its lowest pair of leaves. Its fixed
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
# `IFSWindows` draws any window of the fern. Each picture magnifies the previous one ten times around the tip. Every one
# shows full detail. The tip rotates slowly, because each map rotates it, and otherwise looks the same.


# %%
class About:
    """Windows around a point in the plane of a code."""

    def __init__(self, ifs, point, quality=40.0):
        self.source = IFSWindows(ifs, quality=quality)
        x, y = (point - self.source.corner) / self.source.side
        self.middle = x, 1 - y  # relative to the width of the whole, y down

    def box(self, width):
        """Return the edges of the window; ``width`` is in units of the plane."""
        (x, y), half = self.middle, width / self.source.side / 2
        return x - half, y - half, x + half, y + half

    def draw(self, width, side=SIDE):
        return self.source.window(*self.box(width), side, side)


near = About(fern, tip)
strip([[near.draw(10 / m) for m in LADDER]], [f"{m:,.0f} x" for m in LADDER])

# %% [markdown]
# ## What a window costs
#
# A chaos game on the whole fern would have to wait until a point falls into the window. The tip has little mass: the
# last column but one is the share of points in it, and its inverse is the number of points to draw for each visible
# one. `IFSWindows` does not wait. It extends the addresses digit by digit, drops those whose piece misses the window,
# stops at those that are small relative to it, and maps points of the whole fern by the remaining addresses. So the
# samples per pixel are the same at any depth; only the addresses become longer.

# %%
print(f"{'':>14s} {'pieces':>7s} {'share of the points':>20s} {'drawn for one seen':>20s}")
for m in [1, 1e2, 1e4, 1e6, 1e9, 1e12]:
    x0, y0, x1, y1 = near.box(10 / m)
    s = near.source
    left, right = s.corner[0] + s.side * x0, s.corner[0] + s.side * x1
    low, high = s.corner[1] + s.side * (1 - y1), s.corner[1] + s.side * (1 - y0)
    mass = s.words(left, low, right, high).mass
    print(f"{m:12,.0e} x {len(mass):7d} {mass.sum():20.2e} {1 / mass.sum():20,.0f}")

# %% [markdown]
# ## The limit of 64 bits
#
# A window is given by its edges, relative to the whole. Near 0.5, 64-bit numbers have a spacing of about $10^{-16}$, so
# the edges of a window of width $10^{-13}$ can take about a thousand positions. At smaller windows the package raises
# an error, because it could no longer draw them correctly. Inside this limit nothing is lost on the way: the maps of
# the pieces are stored relative to the centre of the window, not to the origin of the plane.

# %%
for m in (1e12, 1e13, 1e14):
    try:
        picture = near.draw(10 / m, 48)
        print(f"{m:.0e} x: drawn, {(picture.max(axis=2) > 60).mean():.0%} of the pixels lit")
    except Exception as error:
        print(f"{m:.0e} x: {type(error).__name__}: {error}")

# %% [markdown]
# At a fixed point, deeper windows are not needed. One depth and the next differ by one map, so the picture at
# $10^{100}$ equals the picture at some depth between 1 and 1.17. To look through the map itself, conjugate the code:
# with $h(x) = r^{-s} R^{-s} (x - x^*)$, the attractor of the code $h f h^{-1}$ is the fern as seen after $s$ maps,
# rotated back, with the tip at the origin. At $s = 1$ it is the first picture again. Eight frames from 0 to 1 make an
# endless film.


# %%
def after(s, width=0.5):
    """Draw the tip after s maps, 0 to 1, in a window of that width at s = 0."""
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
# There is no difference between the first frame and the last, not even in the noise: every address has lost its first
# digit, and the rest of the sum is the same.
#
# ## A flame
#
# The maps of a flame are not affine, and no word of them has a known bounding box. Samples of a window come from those
# of a larger one instead. A sample is the end of a path, a start and the maps since, and where it ends is decided by
# the latest maps. So the starts of the paths that end in the larger window are drawn anew, those that end in the
# smaller one are kept, and so on, by half the size each time. All samples of the last window fall into it, with the
# density of the whole flame (Au and Beck, 2001, call this subset simulation). A spiral with an inversion, down to a
# millionth:

# %%
spiral = Xform(2.0, 0.0, 0.15, coefs=(0.86, 0.35, -0.35, 0.86, 0.3, 0.1), variations={"linear": 1.0})
invert = Xform(1.0, 1.0, 0.5, coefs=(0.8, 0.3, -0.3, 0.8, -0.5, 0.4), variations={"spherical": 0.55})
shell = Flame(
    size=(SIDE, SIDE), scale=SIDE / 5.0, center=(0.6, 0.6), estimator_radius=5.0, brightness=9.0, gamma=3.0,
    highlight_power=1.0, palette=np.c_[colour_table("frost-fire"), np.ones(256)], xforms=(spiral, invert),
)  # fmt: skip
windows = FlameWindows(shell, 20.0, 1, 1)
deepest = 1e3 if SMALL else 1e6
at = interesting(windows, deepest)
windows.aim(at)  # the exposure keeps the mean brightness about this point
way = Approach(at, deepest, 5, 1.0)
row = [windows.window(*box, SIDE, SIDE) for box in way]
strip([row], [f"{1 / (box[2] - box[0]):,.0f} x" for box in way])
box = way.box(4)
print(f"a plain chaos game would have to play {1 / windows.near.mass(box):.1e} steps for a sample of the last window")

# %% [markdown]
# ## Pictures that are fixed points
#
# A digit of `vdvae_mnist`, a photograph in a `.fk` file, and a photograph made of itself are also fixed points, of maps
# that act on brightness: each part is a paler copy of a larger part, plus something smooth. They all have a picture at
# a magnification of a million, but there may be little to see. Each level multiplies the contrast by a number below
# one, and after a few levels nothing is visible. The photograph made of itself keeps the most contrast, because its
# tiles are meant to be seen: at a magnification of a million the portrait is still visible, although faint.

# %%
torch.set_num_threads(1)
with cbook.get_sample_data("grace_hopper.jpg") as file:
    photograph = plt.imread(file, format="jpg")
code = fk.load(fk.encode(photograph[40:360, 110:430], bpp=1.0).to_bytes())
net = VDVAE.from_pretrained("vdvae_mnist")
things = {
    "digit": CollageWindows(MeanPicture.of(net, net.features([torch.Generator().manual_seed(2)]), detail=1.0), 1),
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
# Collages count the pixels of the whole picture, and allow $2^{40}$ per side: at 240 pixels per frame, this is a
# magnification of more than four billion, and beyond it they raise an error. The decoder of `.fk` files computes the
# fixed point with up to 64 samples per pixel along each axis, and interpolates beyond that, where the picture is flat.
#
# On the command line, `fractalkit zoom` makes a film of any of these, or a self-contained page for exploration, which
# needs no server:
#
#     fractalkit zoom barnsley-fern --depth 1e6 -o fern.mp4
#     fractalkit zoom photo.fk --at 0.4,0.3 -o frames/
#     fractalkit zoom sierpinski-triangle --depth 1e9 -o page.html
#
# ## All depths in one picture
#
# All depths can also be shown at once. Put the tip at 0 of the complex plane. The map is then $z \mapsto \lambda z$,
# and in $w = \log z$ it is a translation, $w \mapsto w + \log \lambda$: the zoom is a motion along a straight line.
# Bend the line into a circle, $u = \exp(2 \pi i\, w / (N \log \lambda))$, so that $N$ maps are one full turn. All of
# these maps are conformal, so the leaves keep their shape. And every pair of leaves but the first is a copy of the
# first: points whose first map is any but number 1, copied $N$ times around the ring, give the whole infinite fern.


# %%
def wreath(n, points, seed=1):
    """Bend the infinite fern into a ring of n pairs of leaves: complex numbers near the unit circle."""
    orbit = sample(fern, points, seed=seed, dtype=torch.float64, depth=1)
    x = orbit.points[orbit.addresses[:, 0] != 1].numpy() - tip
    z = x @ np.array([1, 1j])
    z = z / (z / abs(z)).mean()  # put the branch cut of the logarithm behind the tip
    w = 2j * np.pi * np.log(z) / (n * np.log(complex(A[0, 0], A[1, 0])))
    return np.exp(w - w.real.mean() + 2j * np.pi * np.arange(len(w)) / n)


side = 100 if SMALL else 900
u = np.concatenate([1.06 * wreath(86, side * side * 24), 0.56 * wreath(43, side * side * 12, seed=2)])
hue = np.angle(u) / (2 * np.pi) % 1
hue = np.where(np.arange(len(u)) < len(u) * 2 / 3, hue, (0.5 + hue) % 1)  # the inner ring is half a turn ahead
colours = colour_table("meadow")
colours = np.concatenate([colours, colours[::-1]])[(hue * 511).astype(int)]
rows, columns = ((s / 1.3 + 1) * side for s in (-u.imag, u.real))  # two cells per pixel
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

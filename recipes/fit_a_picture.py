# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Fit a picture by gradient descent
#
# A code is a few numbers; its attractor is a picture. If one of the numbers changes slightly, the picture changes
# slightly, at all scales at once. So there is a gradient, and gradient descent can lead from any code to one whose
# attractor resembles a given picture. The difficulty is that the picture is a fixed point, the limit of infinitely many
# steps. This notebook differentiates through the fixed point in three ways, and then makes a maple leaf of six small
# maple leaves.

# %%
import os
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image, display
from matplotlib.path import Path as Outline

from fractalkit.codes.affine import AffineIFS
from fractalkit.core import Implicit, solve
from fractalkit.fit import fit_cloud
from fractalkit.fit.image import draw_points, fit_image, measure_distance
from fractalkit.maps.measure import MeasureMap
from fractalkit.orbit import histogram, sample
from fractalkit.render import show
from fractalkit.render.attractor import piece_colours
from fractalkit.render.film import save_film
from fractalkit.render.tonemap import tone_map

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # used by the tests
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
LOW, HIGH = torch.zeros(2), torch.ones(2)  # the window of all pictures


def draw(code, side=200, points=400_000, **how):
    """Draw the attractor in the unit square and a small margin by the chaos game: [side, side, 3]."""
    window = (LOW - 0.03, HIGH + 0.03)
    n, by_map = points // 50 if SMALL else points, code.colours is not None
    cells = histogram(code, n, shape=(2 * side, 2 * side), bounds=window, seed=0, colours=by_map)
    rgb = None if cells.rgb is None else cells.rgb.flip(0).numpy()
    return tone_map(cells.counts.flip(0).numpy(), rgb, supersample=2, **how)


# %% [markdown]
# ## The target picture
#
# A maple leaf, given by its outline: half of the points, and their mirror images.

# %%
HALF = [(0, 1), (0.08, 0.82), (0.17, 0.86), (0.13, 0.60), (0.30, 0.74), (0.36, 0.68), (0.55, 0.72), (0.50, 0.60),
        (0.62, 0.54), (0.36, 0.33), (0.40, 0.25), (0.08, 0.26), (0.03, 0.25), (0.05, 0)]  # fmt: skip
outline = np.array(HALF + [(-x, y) for x, y in HALF[::-1]]) * [0.75, 0.92] + [0.5, 0.04]


def leaf(n):
    """Return the share of the leaf in each of n x n cells, row 0 at the bottom, as a measure with sum one."""
    at = (np.arange(4 * n) + 0.5) / (4 * n)
    points = np.stack(np.meshgrid(at, at), -1).reshape(-1, 2)
    inside = Outline(outline).contains_points(points).reshape(n, 4, n, 4).mean((1, 3))
    return torch.from_numpy(inside / inside.sum())


# %% [markdown]
# ## The picture of a code, without noise
#
# The chaos game gives a random picture, and random pictures have no useful gradient. `MeasureMap` avoids randomness: it
# takes the mass of every cell of a picture, moves it by every map, and distributes it over the four cells around the
# place where it lands. This map contracts, its fixed point is the picture of the code, and each step is differentiable.
#
# The start: five copies of the unit square at half size, rotated outwards like the lobes of the leaf, and a sixth for
# the stalk.


# %%
def turned(places, sizes, degrees):
    """Return maps that scale and rotate the unit square around its centre and move it."""
    angle, size = torch.deg2rad(torch.tensor(degrees)), torch.tensor(sizes)
    c, s = angle.cos() * size, angle.sin() * size
    a = torch.stack([torch.stack([c, -s], 1), torch.stack([s, c], 1)], 1)
    return a, torch.tensor(places) - a @ torch.tensor([0.5, 0.5])


PLACES = [(0.5, 0.72), (0.3, 0.6), (0.7, 0.6), (0.35, 0.38), (0.65, 0.38), (0.5, 0.15)]
matrices, offsets = turned(PLACES, [0.5, 0.45, 0.45, 0.4, 0.4, 0.2], [0.0, 50.0, -50.0, 100.0, -100.0, 0.0])
first = AffineIFS(matrices, offsets)
side = 24 if SMALL else 48
target = leaf(side)
picture = MeasureMap(first, (side, side), LOW, HIGH).render()
panels = [(name, plt.cm.magma((x / x.max()).flip(0))) for name, x in (("leaf", target), ("start, by masses", picture))]
show(*panels, ("start, by the chaos game", draw(first)), height=2.8, dark=True)

# %% [markdown]
# ## Through the fixed point
#
# By the implicit function theorem, the fixed point $\mu = T(\mu, c)$ has the derivative
# $d\mu/dc = (I - J)^{-1}\,\partial T/\partial c$ with $J = \partial T/\partial\mu$. Below is the change of the picture
# when the left lobe moves to the right: red gains mass, blue loses it. All the small copies of that lobe move with it.
#
# The gradient of a loss needs only $J$ transposed, and again this is a contraction that can be iterated: `solve` does
# so with `adjoint=Implicit()`, in the memory of a single step. Alternatively, one differentiates only the last $n$
# steps and ignores the earlier ones. The error of this truncation shrinks at the rate at which the map contracts: eight
# steps give three digits.

# %%
offsets.requires_grad_()
step = 1e-6
nudge = torch.zeros_like(offsets)
nudge[1, 0] = step


def rendered(t):
    """Compute the fixed point for offsets t, up to rounding."""
    return solve(MeasureMap(AffineIFS(matrices, t), (side, side), LOW, HIGH), tol=1e-12, max_steps=2000).value


with torch.no_grad():
    slope = (rendered(offsets + nudge) - rendered(offsets - nudge)) / (2 * step)
    slope_of_loss = float(((rendered(offsets) - target) * slope).sum())
m = MeasureMap(AffineIFS(matrices, offsets), (side, side), LOW, HIGH)
fixed = solve(m, tol=1e-9, adjoint=Implicit(tol=1e-10)).value
(exact,) = torch.autograd.grad(((fixed - target) ** 2).sum() / 2, offsets, retain_graph=True)
print(f"derivative by the left lobe's x: {float(exact[1, 0]):.6e}, by differences {slope_of_loss:.6e}")
for n in (1, 2, 4, 8, 16):
    x = fixed.detach()
    for _ in range(n):
        x = m.step(x)
    (some,) = torch.autograd.grad(((x - target) ** 2).sum() / 2, offsets, retain_graph=True)
    print(f"{n:2d} steps: relative error of the gradient {float((some - exact).norm() / exact.norm()):.1e}")
largest = float(slope.abs().max())
show(("one number's derivative", slope.flip(0)), height=3.4, cmap="RdBu_r", vmin=-largest, vmax=largest)

# %% [markdown]
# ## Gradient descent
#
# Twelve lines are enough. The loss is the sum of absolute differences of the two pictures, averaged over several blurs,
# so that a misplaced lobe gets a gradient towards its target. Coarse grids come first. Each round starts from the
# picture of the previous round, which is nearly right, takes eight steps, and differentiates through these eight.
# Afterwards, a map whose norm exceeds 0.92 is scaled back to 0.92.


# %%
def loss(x, y):
    """Return half the sum of absolute differences, averaged over four blurs: 0 is equal, 1 disjoint."""
    d = (x - y)[None, None]
    blurred = [d] + [torch.nn.functional.avg_pool2d(d, 2 * r + 1, 1, r) for r in (1, 2, 4)]
    return sum(b.abs().sum() for b in blurred) / 8


def descend(code, grids, rounds, rate=0.012):
    """Yield (loss, code) after each round."""
    a, t, p = (v.detach().clone().requires_grad_() for v in (code.matrices, code.offsets, code.probabilities.log()))
    for level, n in enumerate(grids):
        y, size = leaf(n), rate / (level + 1)
        x = MeasureMap(AffineIFS(a, t, p.softmax(0)), (n, n), LOW, HIGH).render().detach()
        adam = torch.optim.Adam([{"params": [a, t], "lr": size}, {"params": [p], "lr": 4 * size}])
        for k in range(rounds):
            adam.param_groups[0]["lr"] = size * (1 - 0.9 * k / rounds)
            now = MeasureMap(AffineIFS(a, t, p.softmax(0)), (n, n), LOW, HIGH)
            for _ in range(8):
                x = now.step(x)
            value = loss(x, y)
            yield n, float(value.detach()), AffineIFS(*(v.detach().clone() for v in (a, t, p.softmax(0))))
            adam.zero_grad()
            value.backward()
            adam.step()
            x = x.detach()
            with torch.no_grad():
                a.mul_((0.92 / torch.linalg.matrix_norm(a, ord=2)).clamp_max(1)[:, None, None])


began = time.perf_counter()
grids, rounds = ((16, 24), 6) if SMALL else ((24, 48, 80), 130)
way = list(descend(first, grids, rounds))
print(f"{len(way)} rounds in {time.perf_counter() - began:.0f} s")
for n in grids:
    values = [v for m, v, _ in way if m == n]
    print(f"grid of {n}: loss from {values[0]:.4f} to {values[-1]:.4f}")

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.2), dpi=80)
for i, n in enumerate(grids):
    at = np.arange(i * rounds, (i + 1) * rounds)
    ax.semilogy(at, [v for _, v, _ in way[i * rounds : (i + 1) * rounds]], color=plt.cm.magma(0.25 + 0.25 * i),
                label=f"{n} x {n} cells")  # fmt: skip
ax.set(xlabel="round", ylabel="loss", title="Descent")
ax.legend(frameon=False)
fig.tight_layout()
plt.show()

# %% [markdown]
# ## The descent as a film
#
# Most of the change happens early: after two dozen rounds the lobes are leaves. First some rounds, with the piece of
# each map in a separate colour, then all of them as an animation. The loss above jumps where a finer grid begins,
# because a finer grid resolves more detail.


# %%
def tinted(code, colours):
    """Return the code with one colour per map; the last map alone decides the colour of a point."""
    return AffineIFS(code.matrices, code.offsets, code.probabilities, torch.as_tensor(colours), colour_speed=1.0)


last = way[-1][2]
pieces = piece_colours(last)
stills = [min(int(len(way) * s), len(way) - 1) for s in (0, 0.02, 0.06, 0.12, 0.3, 1)]
show(*((f"round {k}", draw(tinted(way[k][2], pieces), 160)) for k in stills), height=1.9, dark=True)

# %%
frames = [way[min(int(len(way) * s**2.2), len(way) - 1)][2] for s in np.linspace(0, 1, 3 if SMALL else 40)]
with tempfile.TemporaryDirectory() as folder:
    save_film((draw(tinted(c, pieces), 150, 150_000) for c in frames), Path(folder) / "fit.gif", fps=10)
    film = (Path(folder) / "fit.gif").read_bytes()
display(Image(data=film, format="gif"))

# %% [markdown]
# ## The function in the package
#
# `fit_image` does the same from any start. It can continue from our code. It can also start from a code that
# `fit_cloud` finds for points sampled from the leaf, without any knowledge of lobes.

# %%
fine, pictured = 32 if SMALL else 80, leaf(128)
options = {"side": fine, "iterations": 4 if SMALL else 120}
strewn = draw_points(pictured, 300 if SMALL else 6000, seed=0)
cloud = fit_cloud(strewn, maps=6, effort=0 if SMALL else 2, seed=0)
found = {
    "ours": last,
    "ours, then fit_image": fit_image(pictured.flip(0), start=last, **options),
    "fit_cloud": cloud,
    "fit_cloud, then fit_image": fit_image(pictured.flip(0), start=cloud, **options),
}
for name, code in {"start": first, **found}.items():
    print(f"{name:26s} distance {measure_distance(code, leaf(fine), HIGH):.4f}, largest norm {code.lipschitz():.3f}")
show(*((name, draw(tinted(c, piece_colours(c)), 220, 1_000_000)) for name, c in found.items()), height=2.6, dark=True)

# %% [markdown]
# Both descents end at about the same distance, with very different leaves. The leaf that started as lobes is made of
# leaves. The other is nearly as good by the loss, but looks like a cloud: its maps contract little and overlap, which a
# loss on cells does not penalise. What the loss does not measure has to come from the start.
#
# ## Colours
#
# The colour of a point of the attractor is $\sum_j s\,(1-s)^{j-1}\,C_{a_j}$, where $a_1, a_2, \dots$ are the maps that
# led to it, the last one first, and $C_k$ is the colour of map $k$. This is linear in the $C_k$. So the colours that
# best match a painted leaf are a least-squares problem in $3 K$ unknowns: sample points of the attractor with their
# addresses, look up the painted colour at each point, and solve.


# %%
def painted(points):
    """Return the colours of an autumn leaf that change from one side to the other, [N, 3]."""
    t = points @ [0.9, 0.25] + 0.03 * np.sin(points @ [21.0, 13.0])
    stops = [(0.20, 0.42, 0.16), (0.55, 0.60, 0.15), (0.95, 0.72, 0.15), (0.92, 0.38, 0.08), (0.75, 0.08, 0.12)]
    return np.stack([np.interp(t, np.linspace(0.25, 0.9, 5), np.array(stops)[:, c]) for c in range(3)], 1)


best = min(found.values(), key=lambda c: measure_distance(c, leaf(fine), HIGH))
speed, depth = 0.45, 10
orbit = sample(best, 2_000 if SMALL else 60_000, seed=0, depth=depth)
a, shares = orbit.addresses.numpy().astype(int), speed * (1 - speed) ** np.arange(depth)
weights = np.stack([((a == k) * shares).sum(1) for k in range(len(best))], 1)  # [N, K]
wanted = painted(orbit.points.numpy())
solved, *_ = np.linalg.lstsq(weights, wanted, rcond=None)
coloured = AffineIFS(best.matrices, best.offsets, best.probabilities, torch.from_numpy(solved.clip(0, 1)), speed)
error = np.sqrt(np.mean((weights @ solved.clip(0, 1) - wanted) ** 2))
print(f"colours differ by {error:.3f} (rms, of 1); by one colour for all {wanted.std(0).mean():.3f}")
at = (np.arange(400) + 0.5) / 400
grid = np.stack(np.meshgrid(at, at), -1).reshape(-1, 2)
paint = np.where(Outline(outline).contains_points(grid)[:, None], painted(grid), 0.05).reshape(400, 400, 3)
show(("painted", paint[::-1]), ("coloured by its maps", draw(coloured, 260, 1_500_000)), height=3.6, dark=True)

# %% [markdown]
# ## A final picture
#
# The whole leaf. It has sixty numbers, and each of its lobes is again a maple leaf.

# %%
numbers = coloured.matrices.numel() + coloured.offsets.numel() + len(coloured) + coloured.colours.numel()
print(f"{numbers} numbers: {coloured.matrices.numel() + coloured.offsets.numel()} of maps, {len(coloured)} weights, "
      f"{coloured.colours.numel()} of colours")  # fmt: skip
fig = plt.figure(figsize=(8.4, 8.4), dpi=90, facecolor="#0b0d10")
ax = fig.add_axes((0, 0, 1, 1))
ax.imshow(draw(coloured, 100 if SMALL else 1200, 40_000_000, gamma=2.6), interpolation="antialiased")
ax.axis("off")
plt.show()

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Flames: design, mutate, animate
#
# A fern is a set of affine maps, applied one after the other in random order. A fractal flame adds two things to this
# chaos game: after the affine map, each point goes through a *variation*, a nonlinear function of the plane, and the
# counts are turned into brightness by a logarithm. Scott Draves invented both in 1992. This notebook starts from an
# affine code and ends with a flame, one decision at a time.

# %%
import os
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch

from fractalkit.codes.flame import Flame, Xform, read_flames
from fractalkit.codes.flame_blend import between
from fractalkit.codes.flame_random import mutate
from fractalkit.codes.flame_xml import to_xml
from fractalkit.maps import apply_variation
from fractalkit.render import show, show_figure
from fractalkit.render.animate import Motion
from fractalkit.render.colours_from import colour_table
from fractalkit.render.flame import Exposure, render_flame, to_8_bit
from fractalkit.render.flame_sheet import frame, worth_seeing

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # used by the tests
SIDE, QUALITY = (48, 4) if SMALL else (260, 120)


def draw(flame, quality=QUALITY, plain=SMALL):
    """Render a flame, [H, W, 3]; plain: without compiling it first."""
    return to_8_bit(render_flame(flame, quality=quality, seed=1, threads=1, batches=1, plain=plain))


# %% [markdown]
# ## One change
#
# There are two maps. The first rotates and shrinks a little, so points spiral in. The second throws them elsewhere, and
# they spiral in again. As affine maps they overlap and give a smooth cloud in the outline of a shell. Then one thing
# changes: the variation of the second map is no longer `linear` but `spherical`, $(x, y) / r^2$, the inversion in a
# circle. Distant points come close, lines become circles, and the cloud turns into lace.
#
# `coefs` are (a, d, b, e, c, f): x' = a x + b y + c, y' = d x + e y + f, where y points down. `frame` places the
# camera.


# %%
def palette(name):
    """Return 256 colours with alpha."""
    return np.c_[colour_table(name), np.ones(256)]


def turn(scale, degrees, x=0.0, y=0.0):
    """Scale, turn, then move."""
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return (c, s, -s, c, x, y)


inwards = Xform(weight=1.54, color=1.0, color_speed=0.15, coefs=turn(0.938, -18.2, -0.53, 0.51),
                variations={"linear": 1.0})  # fmt: skip
away = Xform(weight=1.0, color=0.0, color_speed=0.5, coefs=turn(1.057, 66.2, -0.33, -0.28),
             variations={"linear": 0.7})  # fmt: skip
affine = Flame(
    size=(SIDE, SIDE), xforms=(inwards, away), palette=palette("frost-fire"), brightness=8.0, gamma=3.2,
    highlight_power=1.0, estimator_radius=7.0,
)  # fmt: skip
lace = replace(affine, name="lace", xforms=(inwards, replace(away, variations={"spherical": 0.7})))
affine, lace = frame(affine), frame(lace)
show(*[draw(affine), draw(lace)], titles=["linear and linear", "linear and spherical"], height=3.6, jpeg=92)

# %% [markdown]
# ## Variations
#
# The package has more than three hundred variations, each written once, as a line or two of text. Here is a square grid
# after some of them. Colours show the original position of a point: orange on the left, blue on the right.

# %%
lines = torch.linspace(-1.5, 1.5, 13, dtype=torch.float64)
along = torch.linspace(-1.5, 1.5, 200 if SMALL else 4000, dtype=torch.float64)
x, y = (g.flatten() for g in torch.meshgrid(lines, along, indexing="ij"))
x, y = torch.cat([x, y]), torch.cat([y, x])
names = [
    "linear", "sinusoidal", "spherical", "swirl", "horseshoe", "polar", "handkerchief", "heart", "disc", "spiral",
    "hyperbolic", "diamond", "ex", "bent", "fisheye", "exponential", "power", "cosine", "bubble", "cylinder",
    "tangent", "cross", "secant2", "loonie",
]  # fmt: skip
fig, axes = plt.subplots(4, 6, figsize=(9, 6.4), dpi=80, facecolor="#101216")
for ax, name in zip(axes.flat, names, strict=True):
    u, v = apply_variation(name, x, y)
    ax.scatter(u, v, c=x, cmap="RdYlBu", s=0.3, linewidths=0, vmin=-1.8, vmax=1.8, rasterized=True)
    half = min(3.0, 1.1 * float(torch.quantile(torch.maximum(u.abs(), v.abs())[::7], 0.97)))
    ax.set(xlim=(-half, half), ylim=(half, -half), aspect="equal", xticks=[], yticks=[], facecolor="#101216")
    ax.spines[:].set_visible(False)
    ax.set_title(name, fontsize=9, color="#dddddd")
fig.tight_layout(pad=0.5)
plt.show()

# %% [markdown]
# ## From counts to brightness
#
# The chaos game gives a histogram: for each cell, the number of points and the sum of their colours. Displayed
# linearly, the counts are almost entirely black, because a few cells hold most of the points.

# %%
flame = replace(lace, oversample=1)
few = Exposure.empty(flame, seed=1).expose(QUALITY / 20, batches=1, threads=1, plain=SMALL)
many = Exposure.empty(flame, seed=1).expose(QUALITY, batches=1, threads=1, plain=SMALL)
counts = many.histogram[..., 3]
edge = (counts.shape[0] - SIDE) // 2  # margin of the histogram for the filters
counts = counts[edge : edge + SIDE, edge : edge + SIDE]
lit = counts[counts > 0]
top = np.sort(counts.ravel())[::-1].cumsum()
print(f"counts from {lit.min():.0f} to {lit.max():.0f}, median {np.median(lit):.0f}")
print(f"half of all points lie in {np.searchsorted(top, top[-1] / 2) / counts.size:.1%} of the cells")

# %% [markdown]
# The counts span sixteen octaves; the logarithm makes all of them visible. It also makes noise visible where points are
# few. *Density estimation* spreads each cell over a disc, which is wider for cells with fewer points, and leaves dense
# cells sharp. `Exposure` keeps the histogram: it can be developed again with other settings, saved, and exposed
# further.


# %%
def developed(exposure, **look):
    """Develop the same points with other settings."""
    again = replace(exposure, flame=replace(exposure.flame, **look))
    return to_8_bit(again.develop(threads=1))


without = replace(flame, estimator_radius=0.0)
plain_few = Exposure.empty(without, seed=1).expose(QUALITY / 20, batches=1, threads=1, plain=SMALL)
logs = np.log1p(counts)
show(
    counts / counts.max(), logs / logs.max(), developed(plain_few), developed(few), developed(many),
    developed(many, gamma=2.0), developed(many, brightness=30.0), developed(many, vibrancy=0.0),
    titles=[
        "counts", "log (1 + counts)", f"{QUALITY / 20:g} points a pixel", "and density estimation",
        f"{QUALITY} points a pixel", "gamma 2", "brightness 30", "vibrancy 0",
    ],
    columns=4, height=2.3, jpeg=92,
)  # fmt: skip

# %% [markdown]
# ## Colour
#
# Each map has a position on the palette and moves the colour of a point towards it, by its `color_speed`. So the colour
# shows which maps came last. A palette is any table of 256 colours: one of ours by name, one of matplotlib's, or
# colours taken from a photograph (`colour_table("photo.jpg")`). It changes only the mood of the picture.

# %%
moods = ["opal", "kingfisher", "autumn-walk", "aurora", "coral-reef", "stained-glass", "magma", "cividis"]
show(*[draw(replace(lace, palette=palette(m))) for m in moods], titles=moods, columns=4, height=2.3, jpeg=92)

# %% [markdown]
# ## Symmetry and the final transform
#
# `symmetry=(n,)` adds the rotations by 1 / n of a turn as maps; -n adds reflections as well. They rotate about the
# origin and are maps like all others, so the result is a different flame and not a kaleidoscope of the same one. A
# `final` map is not part of the iteration. It transforms each point on its way to the picture, like a lens.

# %%
hooks = Flame(
    size=(SIDE, SIDE), palette=palette("opal"), brightness=8.0, gamma=3.2, highlight_power=1.0, estimator_radius=5.0,
    xforms=(
        Xform(1.2, 1.0, coefs=turn(0.6, 35, 0.7, 0.15), variations={"linear": 1.0}),
        Xform(1.0, 0.0, coefs=turn(0.7, 70, 0.5, 0.6), variations={"swirl": 0.45}),
    ),
)  # fmt: skip
turned = {f"symmetry {n}": replace(hooks, symmetry=(n,)) for n in (2, 3, 5)}
lens = Xform(color_speed=0.0, coefs=turn(0.8, 30, 0.3, 0.2))
names = ("julia", "bubble", "sinusoidal", "elliptic")
bent = {f"lace, final {n}": replace(lace, final=replace(lens, variations={n: 1.0})) for n in names}
variants = {title: frame(f) for title, f in ({"two maps": hooks} | turned | bent).items()}
show(*[draw(f) for f in variants.values()], titles=list(variants), columns=4, height=2.3, jpeg=92)

# %% [markdown]
# ## Mutate and select
#
# Flames are hard to design by calculation alone. `mutate` perturbs a map or two, adds a variation, or changes a weight.
# `worth_seeing` draws small trial pictures and keeps those that are neither empty nor full and have structure. From
# these, select by eye. On the command line: `fractalkit render lace.flame --mutate 12 --seed 7`.

# %%
litter = worth_seeing(lambda rng: mutate(lace, rng, 1.2), 2 if SMALL else 12, seed=7, least=0.3)
show(*[draw(f, 60) for f in litter], titles=[f"{k}" for k in range(len(litter))], columns=6, height=1.7, jpeg=92)
PICK = 1 if SMALL else 2

# %% [markdown]
# ## Interpolation
#
# Flames with the same number of maps can be interpolated, map by map. The columns of the affine parts are interpolated
# in length and angle, so that maps rotate and do not collapse half-way.

# %%
ends = [lace, litter[PICK]]
steps = [0.0, 0.5, 1.0] if SMALL else [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
show(*[draw(between(ends, [0.0, 1.0], s), 60) for s in steps], titles=[f"{s:g}" for s in steps], height=1.7, jpeg=92)

# %% [markdown]
# `Motion` turns such an interpolation into a film, with motion blur if requested. With `loop=True`, a single flame
# moves too: its maps make one full turn, and the film ends where it starts.
# `fractalkit animate lace.flame --loop -o lace.mp4`.

# %%
film = Motion((lace,), 240, loop=True)
stills = [0, 120] if SMALL else [0, 2, 4, 236, 238, 240]
show(*[draw(film.at(film.share(k)), 60) for k in stills], titles=[f"frame {k}" for k in stills], height=1.7, jpeg=92)

# %% [markdown]
# ## 3D flames
#
# Some variations use a third coordinate. `julia3D` takes roots about the vertical axis, `hemisphere` makes domes. The
# camera is part of the flame: pitch and yaw in radians, perspective, and depth blur.

# %%
roots = Xform(weight=1.0, color=0.0, coefs=turn(0.98, 132.5, -0.39, -0.3), variations={"julia3D": 0.72},
              parameters={"julia3D_power": 5.0})  # fmt: skip
dome = Xform(weight=0.35, color=1.0, coefs=turn(1.26, 152.5, 0.47, 0.27), variations={"hemisphere": 0.9})
stem = Xform(weight=0.4, color=0.5, color_speed=0.3, coefs=turn(0.75, -30, 0.1, 0.05),
             variations={"linear3D": 0.8, "ztranslate": -0.15})  # fmt: skip
space = Flame(
    size=(SIDE, SIDE), xforms=(roots, dome, stem), palette=palette("coral-reef"), brightness=7.0, gamma=3.2,
    highlight_power=1.0, estimator_radius=4.0, cam_persp=0.15, cam_yaw=0.4,
)  # fmt: skip
views = [0.0, 0.5, 0.9, 1.3]
show(
    *[draw(frame(replace(space, cam_pitch=p))) for p in views],
    titles=[f"pitch {p:g}" for p in views],
    height=2.3,
    jpeg=92,
)

# %% [markdown]
# ## Files
#
# A `.flame` file is XML that flam3, Apophysis, Fractorium and JWildfire understand. Attributes that our reader does not
# know are kept and written back unchanged.

# %%
text = to_xml([replace(lace, extras={"nick": "someone"})])
print("\n".join(line[:116] + " ..." for line in text.splitlines()[1:5]))
back = read_flames(text.encode())[0]
print("the same after reading:", back.same(replace(lace, extras={"nick": "someone"})), "  kept:", back.extras)

# %% [markdown]
# ## A final picture
#
# The spiral and its inversion once more, rotated the other way, with a third map that rolls the plane into a cylinder.
# It uses twice the cells along each axis, and five times the points.

# %%
side, quality = (64, 4) if SMALL else (900, 600)
reef = Flame(
    name="reef", size=(side, side), center=(0.27, 0.61), scale=0.4 * side, oversample=2,
    palette=palette("stained-glass"), brightness=8.0, gamma=3.2, highlight_power=1.0, estimator_radius=7.0,
    xforms=(
        Xform(3.67, 1.0, 0.15, coefs=turn(0.8396, -30.6, -0.164, 0.588), variations={"linear": 1.0}),
        Xform(1.0, 0.0, coefs=turn(0.9605, 266.83, 0.766, -0.08), variations={"spherical": 0.541}),
        Xform(0.4, 0.5, coefs=turn(0.5842, 36.25, -0.643, -0.78), variations={"cylinder": 0.7}),
    ),
)  # fmt: skip
fig = plt.figure(figsize=(9, 9), dpi=100, facecolor="black")
ax = fig.add_axes((0, 0, 1, 1))
ax.imshow(draw(reef, quality))
ax.axis("off")
show_figure(fig, jpeg=92)

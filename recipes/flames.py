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
# A fern is a handful of affine maps, chosen by chance, one after the other. A fractal flame is the same game with two
# additions: after the affine map each point goes through a *variation*, a function that bends the plane, and the counts
# become light by a logarithm. Scott Draves found both in 1992. This notebook starts from an affine code and ends with a
# flame of our own, one decision at a time.

# %%
import io
import os
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image, display

from fractalkit.codes.flame import Flame, Xform
from fractalkit.codes.flame_blend import between
from fractalkit.codes.flame_random import mutate
from fractalkit.codes.flame_xml import read_flames, to_xml
from fractalkit.maps import variations
from fractalkit.render.animate import Motion
from fractalkit.render.colours_from import colour_table
from fractalkit.render.flame import Exposure, render_flame, to_8_bit
from fractalkit.render.flame_sheet import frame, worth_seeing

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # what tests run
SIDE, QUALITY = (48, 4) if SMALL else (260, 120)


def draw(flame, quality=QUALITY, plain=SMALL):
    """The picture of a flame, [H, W, 3]; plain: without compiling it first."""
    return to_8_bit(render_flame(flame, quality=quality, seed=1, threads=1, batches=1, plain=plain))


def show(pictures, titles, columns=None, inches=2.0):
    """Pictures in rows, each with a title."""
    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(inches * columns, (inches + 0.25) * rows), dpi=80, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, picture, title in zip(axes.flat, pictures, titles, strict=False):
        ax.imshow(picture, cmap="gray")
        ax.set_title(title, fontsize=9)
    fig.tight_layout(pad=0.9)
    put(fig)


def put(fig):
    """Show a figure as a JPEG: flames are noise to PNG."""
    file = io.BytesIO()
    fig.savefig(file, format="jpeg", facecolor=fig.get_facecolor(), pil_kwargs={"quality": 92})
    plt.close(fig)
    display(Image(file.getvalue(), format="jpeg"))


# %% [markdown]
# ## One word changed
#
# Two maps. The first turns and shrinks a little, so that points spiral in. The second throws them elsewhere, to spiral
# in anew. As affine maps they overlap, and make a smooth cloud in the outline of a shell. Then one word changes: the
# second map's variation is no longer `linear` but `spherical`, $(x, y) / r^2$, the inversion in a circle. What was far
# comes near, lines become circles, and the cloud parts into lace.
#
# `coefs` are (a, d, b, e, c, f): x' = a x + b y + c, y' = d x + e y + f, with y down. `frame` finds the camera.


# %%
def palette(name):
    """256 colours with alpha."""
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
show([draw(affine), draw(lace)], ["linear and linear", "linear and spherical"], inches=3.6)

# %% [markdown]
# ## What a variation does
#
# There are more than a hundred in the package, each written once, as a function of tensors. Here is a square grid after
# some of them. Colours tell where a point comes from: orange from the left, blue from the right.

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
    u, v = getattr(variations, f"v_{name}")(x, y, torch.tensor(1.0))
    ax.scatter(u, v, c=x, cmap="RdYlBu", s=0.3, linewidths=0, vmin=-1.8, vmax=1.8, rasterized=True)
    half = min(3.0, 1.1 * float(torch.quantile(torch.maximum(u.abs(), v.abs())[::7], 0.97)))
    ax.set(xlim=(-half, half), ylim=(half, -half), aspect="equal", xticks=[], yticks=[], facecolor="#101216")
    ax.spines[:].set_visible(False)
    ax.set_title(name, fontsize=9, color="#dddddd")
fig.tight_layout(pad=0.5)
plt.show()

# %% [markdown]
# ## From counts to light
#
# The game leaves a histogram: for each cell how many points fell there, and the sum of their colours. Shown as they
# are, counts are all but black, for a few cells hold most of them.

# %%
flame = replace(lace, oversample=1)
few = Exposure.empty(flame, seed=1).expose(QUALITY / 20, batches=1, threads=1, plain=SMALL)
many = Exposure.empty(flame, seed=1).expose(QUALITY, batches=1, threads=1, plain=SMALL)
counts = many.histogram[..., 3]
edge = (counts.shape[0] - SIDE) // 2  # cells beside the picture, for the filters
counts = counts[edge : edge + SIDE, edge : edge + SIDE]
lit = counts[counts > 0]
top = np.sort(counts.ravel())[::-1].cumsum()
print(f"counts from {lit.min():.0f} to {lit.max():.0f}, median {np.median(lit):.0f}")
print(f"half of all points lie in {np.searchsorted(top, top[-1] / 2) / counts.size:.1%} of the cells")

# %% [markdown]
# Sixteen octaves lie between the least and the most; the logarithm brings all of them into view. Where points are few
# it shows their noise, too. *Density estimation* spreads each cell over a disc, the wider the fewer points it holds,
# and leaves dense cells sharp. `Exposure` keeps the histogram: it can be developed again with another look, saved, and
# exposed further.


# %%
def developed(exposure, **look):
    """The same points in another look."""
    again = replace(exposure, flame=replace(exposure.flame, **look))
    return to_8_bit(again.develop(threads=1))


without = replace(flame, estimator_radius=0.0)
plain_few = Exposure.empty(without, seed=1).expose(QUALITY / 20, batches=1, threads=1, plain=SMALL)
show(
    [
        counts / counts.max(), np.log1p(counts), developed(plain_few), developed(few), developed(many),
        developed(many, gamma=2.0), developed(many, brightness=30.0), developed(many, vibrancy=0.0),
    ],
    [
        "counts", "log (1 + counts)", f"{QUALITY / 20:g} points a pixel", "and density estimation",
        f"{QUALITY} points a pixel", "gamma 2", "brightness 30", "vibrancy 0",
    ],
    columns=4, inches=2.3,
)  # fmt: skip

# %% [markdown]
# ## Colour
#
# Each map has a place on the palette, and pulls a point's colour towards it, by its `color_speed`. So colour says which
# maps came last. A palette is any table of 256 colours: ours by name, matplotlib's, or drawn from a photograph
# (`colour_table("photo.jpg")`). It changes nothing but the mood.

# %%
moods = ["opal", "kingfisher", "autumn-walk", "aurora", "coral-reef", "stained-glass", "magma", "cividis"]
show([draw(replace(lace, palette=palette(m))) for m in moods], moods, columns=4, inches=2.3)

# %% [markdown]
# ## Symmetry, and a last map
#
# `symmetry=(n,)` adds the turns by 1 / n as maps; -n mirrors as well. They turn about the origin, and they are maps
# like others, so that everything is in everything: not a kaleidoscope put over the picture, but another flame. A
# `final` map is not played. It bends each point on its way to the picture, as a lens does.

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
show([draw(f) for f in variants.values()], list(variants), columns=4, inches=2.3)

# %% [markdown]
# ## Mutate, look, pick
#
# Nobody designs a flame by arithmetic alone. `mutate` shakes a map or two, mixes in a variation, changes a weight;
# `worth_seeing` draws small trial pictures and keeps those that are neither empty nor full and have structure. The eye
# does the rest. From the shell: `fractalkit render lace.flame --mutate 12 --seed 7`.

# %%
litter = worth_seeing(lambda rng: mutate(lace, rng, 1.2), 2 if SMALL else 12, seed=7, least=0.3)
show([draw(f, 60) for f in litter], [f"{k}" for k in range(len(litter))], columns=6, inches=1.7)
PICK = 1 if SMALL else 2

# %% [markdown]
# ## Between two
#
# Flames of the same number of maps have flames between them, map by map. The columns of the affine parts go by size and
# angle, not straight, so that maps turn instead of collapsing half-way.

# %%
ends = [lace, litter[PICK]]
steps = [0.0, 0.5, 1.0] if SMALL else [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
show([draw(between(ends, [0.0, 1.0], s), 60) for s in steps], [f"{s:g}" for s in steps], inches=1.7)

# %% [markdown]
# `Motion` is such a way as a film, with motion blur if wanted. With `loop=True` a single flame moves as well: its maps
# turn once about, and the last frame goes over into the first. `fractalkit animate lace.flame --loop -o lace.mp4`.

# %%
film = Motion((lace,), 240, loop=True)
stills = [0, 120] if SMALL else [0, 2, 4, 236, 238, 240]
show([draw(film.at(film.share(k)), 60) for k in stills], [f"frame {k}" for k in stills], inches=1.7)

# %% [markdown]
# ## Into space
#
# Some variations have a third coordinate. `julia3D` takes roots about the vertical axis, `hemisphere` makes domes. The
# camera is part of the flame: pitch and yaw in radians, perspective, blur by depth.

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
show([draw(frame(replace(space, cam_pitch=p))) for p in views], [f"pitch {p:g}" for p in views], inches=2.3)

# %% [markdown]
# ## As a file
#
# A `.flame` file is XML that flam3, Apophysis, Fractorium and JWildfire understand. What our reader does not know it
# keeps, and writes back as it was.

# %%
text = to_xml([replace(lace, extras={"nick": "someone"})])
print("\n".join(line[:116] + " ..." for line in text.splitlines()[1:5]))
back = read_flames(text.encode())[0]
print("the same after reading:", back.same(replace(lace, extras={"nick": "someone"})), "  kept:", back.extras)

# %% [markdown]
# ## One to keep
#
# The spiral and its inversion once more, turned the other way, with a third map that rolls the plane to a cylinder.
# Twice the cells along each axis, and five times the points.

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
put(fig)

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # A photograph made of itself
#
# Divide a photograph into tiles. Let every tile show the whole photograph, reduced, in the colours of its own place.
# From a distance one sees the photograph, from close up a wall of photographs. But what do the small photographs show?
# If each is the *whole* picture, it is made of tiles too, and so on without end. This is a fixed point, and its code is
# a collage: on tile $i$, where $t \in [0, 1]^2$ is the position in the tile,
#
# $$f(x) = s_i\, f(t) + b_i + \sum_k m_{ik}\,\varphi_k(t).$$
#
# Here $s$ is the contrast of the copy, $b$ the brightness of the tile, and the $\varphi_k$ are a few smooth cosines.
# This is the code that `fractalkit fractalize photo.jpg` finds. This notebook takes it apart and varies it.

# %%
import os
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib import cbook
from matplotlib.colors import LightSource
from PIL import Image

from fractalkit.codes import preset
from fractalkit.fit.tiling import Style, draw, fractalize, judge
from fractalkit.maps.collage import decode
from fractalkit.raster.area import area_means
from fractalkit.render import draw_ifs, show, show_figure

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # used by the tests
torch.set_num_threads(1)
with cbook.get_sample_data("grace_hopper.jpg") as f, Image.open(f) as image:
    photo = torch.from_numpy(np.asarray(image.convert("RGB")) / 255.0).permute(2, 0, 1)  # [3, 600, 512] in [0, 1]

# %% [markdown]
# ## The parts of the map
#
# Twelve tiles per side. All unknowns are linear except for $s$, which is set by the user (`texture`). The mean of the
# fixed point is known before it is drawn, so $b$ can make the mean of each tile equal to that of the photograph
# exactly. The cosines carry the photograph's gradients and curves into the tile (`blend`). To see the parts, set the
# others to zero: every part alone is a valid code.

# %%
h, w = (120, 96) if SMALL else (480, 408)
code = fractalize(photo, 12, texture=0.5, blend=0.5)
none = torch.zeros_like
brightness = replace(code, contrast=none(code.contrast), mixing=none(code.mixing))
cosines = replace(code, contrast=none(code.contrast), brightness=none(code.brightness))
middle = photo.mean((1, 2), keepdim=True)
whole = draw(code, h, w)
print(f"12 x 12 tiles, {sum(getattr(code, k).numel() for k in ('contrast', 'brightness', 'mixing')):,} numbers")
low, mean, high = (float(v) for v in (code.contrast.min(), code.contrast.mean(), code.contrast.max()))
print(f"contrasts {low:.2f} to {high:.2f}, mean {mean:.2f}")
show(
    ("s, black is 0 and white 0.5", area_means(code.contrast[0, :, :, :, 0].mean(0, True), h, w).expand(3, h, w) / 0.5),
    ("b, the brightness", decode(brightness, h, w)[0]),
    ("the cosines, about grey", 0.5 + decode(cosines, h, w)[0]),
    ("the fixed point", whole),
    columns=4, jpeg=90,
)  # fmt: skip

# %% [markdown]
# In black and in white areas there is no room for a copy: whatever is added would be clipped. So $s$ is reduced there,
# for each colour separately, but never quite to zero. What is clipped all the same is measured by drawing the picture,
# and $b$ is corrected for it, four times.

# %%
fig, ax = plt.subplots(figsize=(6.4, 2.9), dpi=80)
fine = fractalize(photo, 40, texture=0.5, blend=0.5)
mosaic = area_means(photo, 40, 40)
for k, colour in enumerate(("#c8553d", "#3d9970", "#1b4965")):
    ax.plot(mosaic[k].flatten(), fine.contrast[0, k].flatten(), ".", color=colour, markersize=4, alpha=0.5)
ax.set(xlabel="brightness of the photograph in a tile", ylabel="contrast s", ylim=(0, 0.54))
ax.set_title("40 x 40 tiles, in red, green and blue", fontsize=9)
fig.tight_layout()
plt.show()

# %% [markdown]
# ## Depth
#
# `depth=1` draws tiles that show the photograph. With `depth=2`, tiles consist of such tiles. Depth 0 means all levels.
# No contrast here is above one half, so each level changes the picture at most half as much as the one before, and at a
# scale twelve times smaller. One tile, enlarged:

# %%
big = (144 * 2, 144 * 2) if SMALL else (144 * 24, 144 * 20)
row, column = 5, 5  # a tile of the cheek
tile = slice(row * big[0] // 12, (row + 1) * big[0] // 12), slice(column * big[1] // 12, (column + 1) * big[1] // 12)
deep = [draw(code, *big, depth=d, picture=photo)[:, *tile] for d in (1, 2, 3, 0)]
show(*zip(("depth 1: it ends in the photograph", "depth 2", "depth 3", "every depth"), deep, strict=True), jpeg=90)
for d, a in zip((1, 2, 3), deep, strict=False):
    print(f"depth {d}: {float((a - deep[3]).abs().mean()):.4f} from the fixed point, on average")

# %% [markdown]
# ## An endless film
#
# Zoom into a tile, then into the same tile of that tile, and so on. The map that takes the picture to one of its tiles
# has a fixed point, and the film zooms towards it. After each twelvefold step the picture returns, with half the
# contrast and redder, because its colours also converge to a fixed point. A window is decoded without its surroundings,
# so a frame costs only its own pixels, at any depth.

# %%
target = (row / 11, column / 11)  # the fixed point: tile (5, 5) of tile (5, 5) of ...
frames = []
for u in (0, 0.35, 0.7, 1, 1.5, 2):
    fh, fw = (60, 48) if SMALL else (240, 204)
    part = 12.0**-u
    # the size of the whole picture is such that its pixels are those of the frame
    all_h, all_w = round(fh / part / 12) * 12, round(fw / part / 12) * 12
    y, x = (round((n - m) * t) for n, m, t in ((all_h, fh, target[0]), (all_w, fw, target[1])))
    frames.append((f"x {12**u:.3g}", decode(code, all_h, all_w, window=(x, y, x + fw, y + fh))[0]))
show(*frames, columns=6, height=1.8, jpeg=90)

# %% [markdown]
# ## How many tiles, how strong
#
# `judge` measures two things: the structural similarity of the drawing and the photograph *from a distance*, that is,
# after both are blurred to the size of a tile; and the correlation of the individual *tiles* with the whole picture.
# The first is high everywhere, because the code is fitted for it; with more tiles, a shorter viewing distance is
# enough. `texture` sets the weight of the tiles against the picture. `blend` carries shades into the tiles, which
# sharpens the picture from close up and makes the tiles less similar to the picture.


# %%
def scores(**options):
    """Return the drawing at 480 x 408, its similarity from a distance, and the correlation of its tiles."""
    made = fractalize(photo, **options)
    got = judge(made, photo)
    return draw(made, h, w), got["ssim"], got["shown"]


SWEEPS = (
    ("tiles", (8, 20, 50), {"texture": 0.5, "blend": 0.5}),
    ("texture", (0.1, 0.4, 0.9), {"tiles": 24, "blend": 0.5}),
    ("blend", (0, 0.5, 1), {"tiles": 24, "texture": 0.5}),
)
for name, values, rest in SWEEPS[: 1 if SMALL else 3]:
    panels = []
    for value in values:
        x, from_afar, of_tiles = scores(**rest, **{name: value})
        panels.append((f"{name} {value}: {from_afar:.2f} from afar, tiles {of_tiles:.2f}", x))
    show(*panels, columns=3, height=3.5, jpeg=90)

# %% [markdown]
# ## Made of something else
#
# The tiles can show a second picture, as an auxiliary patch: a constant of the map. With `self_weight=0` they show only
# that picture and there is no recursion; with weights for both, they show the sum. Here are three: a fern and a maple
# leaf, which are attractors of four affine maps each, and a relief of a valley from matplotlib's elevation data. The
# last picture combines the fern and the photograph itself.


# %%
def leaf(name, size=(240, 288)):
    """Draw an attractor on a light background, [3, h, w]."""
    a = draw_ifs(preset(name), size=size, seed=0, background="light")
    return torch.from_numpy(a[..., :3] / 255.0).permute(2, 0, 1)


elevation = cbook.get_sample_data("jacksboro_fault_dem.npz")["elevation"].astype(float)
relief = LightSource(315, 45).shade(elevation, plt.cm.gist_earth, blend_mode="soft", vert_exag=0.1)[..., :3]
valley = torch.from_numpy(relief).permute(2, 0, 1)
styles = {"fern": leaf("barnsley-fern"), "leaf": leaf("maple-leaf"), "valley": valley}
show(*[(k, area_means(x, 288, 240)) for k, x in styles.items()], columns=3, height=2.4, jpeg=90)
tiles = 8 if SMALL else 18
show(
    *[
        (f"made of {k}", draw(fractalize(photo, tiles, texture=0.7, style=Style(x), self_weight=0), h, w))
        for k, x in styles.items()
    ],
    ("fern and itself", draw(fractalize(photo, tiles, texture=0.8, style=Style(styles["fern"])), h, w)),
    columns=4, jpeg=90,
)  # fmt: skip

# %% [markdown]
# ## Between two codes
#
# Two codes with the same number of tiles can be interpolated, $(1 - w)\,c_a + w\,c_b$. The contrasts of both are below
# one, so those of the mixture are too, and it has a fixed point. With one $w$ for all tiles this is nearly a
# cross-fade, and has to be: where the two contrasts agree, the fixed point is linear in all other parameters. With a
# different $w$ for each tile the result is new. Here $w$ grows from left to right. A tile at the far left belongs to
# the portrait alone, yet it shows the *whole* picture, including the hills.


# %%
def between(a, b, weight):
    """Interpolate from a to b by ``weight``, a number, or one per tile, [G, G]."""
    w = torch.as_tensor(weight, dtype=torch.float32)
    return replace(
        a,
        contrast=torch.lerp(a.contrast, b.contrast, w[..., None]),
        brightness=torch.lerp(a.brightness, b.brightness, w),
        mixing=torch.lerp(a.mixing, b.mixing, w[..., None]),
    )


portrait, land = (fractalize(x, tiles, texture=0.6) for x in (photo, valley))
ramp = torch.linspace(0, 1, tiles).expand(tiles, tiles)
half, across = between(portrait, land, 0.5), between(portrait, land, ramp)
th, tw = h // tiles * tiles, w // tiles * tiles  # one tile, enlarged
parts = []
for i, j in ((tiles // 8, 1), (tiles // 8, tiles - 3)):
    window = (j * tw, i * th, (j + 1) * tw, (i + 1) * th)
    parts.append(decode(across, tiles * th, tiles * tw, window=window)[0])
show(
    ("w = 0.5", draw(half, h, w)),
    ("w from 0 on the left to 1", draw(across, h, w)),
    ("one of its tiles, of the left", parts[0]),
    ("and one of the right", parts[1]),
    columns=4, jpeg=90,
)  # fmt: skip
half = draw(half, h, w)
fade = (draw(portrait, h, w) + draw(land, h, w)) / 2
near, afar = (float((area_means(half, *n) - area_means(fade, *n)).abs().mean()) for n in ((h, w), (tiles, tiles)))
print(f"w = 0.5 and the mean of the two ends differ by {afar:.4f} in the tiles' means, by {near:.4f} in pixels")

# %% [markdown]
# ## A final picture
#
# Fifty tiles per side, with the portrait in the middle and the valley around it. Every tile, even one in the hills,
# shows the portrait in the valley, and each of those is again made of 2,500 tiles. The poster can have any size:
# `code.save` writes the parameters, and `fractalkit.maps.collage.strips` draws them row by row at 30,000 pixels. (For a
# single photograph, the command line does both:
# `fractalkit fractalize photo.jpg --tiles 50 --res 30000 --code photo.safetensors`.) The right panel shows the sixteen
# tiles marked on the left, from the same poster at a height of 18,000 pixels.

# %%
tiles = 10 if SMALL else 50
portrait = fractalize(photo, tiles, texture=0.55, blend=0.6)
land = fractalize(valley, tiles, texture=0.55, blend=0.6)
at = torch.linspace(-1, 1, tiles)
radius = torch.hypot(at[:, None] + 0.12, at[None, :] * 1.05)
poster = between(portrait, land, ((radius - 0.62) / 0.3).clamp(0, 1))
ph, pw = (200, 160) if SMALL else (1500, 1250)
large = (ph * 12, pw * 12)
th, tw = large[0] // tiles, large[1] // tiles  # size of a tile in the poster
y, x = (3 * tiles // 10 * th, 16 * tiles // 25 * tw)
near = decode(poster, *large, window=(x, y, x + 4 * tw, y + 4 * th))[0]
fig, axes = plt.subplots(1, 2, figsize=(11.6, 6.9), dpi=105, facecolor="#111111")
for ax, a in zip(axes, (draw(poster, ph, pw), near), strict=True):
    ax.imshow(a.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="antialiased")
    ax.axis("off")
axes[0].add_patch(plt.Rectangle((x / 12, y / 12), tw / 3, th / 3, fill=False, color="white", linewidth=1))
fig.subplots_adjust(0.01, 0.01, 0.99, 0.99, 0.015, 0)
show_figure(fig, jpeg=90)

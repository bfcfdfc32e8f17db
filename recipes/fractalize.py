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
# Cut a photograph into tiles. Let every tile show the whole photograph, small, in the colours of its own place. From
# afar one sees the photograph, from nearby a wall of photographs. But what do the small ones show? If they are to be
# the *whole* picture, then each of them is made of tiles too, and so on without end. That is a fixed point, and its
# code is a collage: on tile $i$, with $t \in [0, 1]^2$ the place in the tile,
#
# $$f(x) = s_i\, f(t) + b_i + \sum_k m_{ik}\,\varphi_k(t).$$
#
# $s$ is the contrast of the copy, $b$ the tile's brightness, and $\varphi_k$ a few smooth cosines. This is what
# `fractalkit fractalize photo.jpg` finds. Here it is taken apart, and turned into other things.

# %%
import io
import os
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image as Shown
from IPython.display import display
from matplotlib import cbook
from matplotlib.colors import LightSource
from PIL import Image

from fractalkit.codes import preset
from fractalkit.fit.fractalize import Style, draw, fractalize, judge, means
from fractalkit.maps.collage import decode
from fractalkit.render import draw_ifs

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # what tests run
torch.set_num_threads(1)
with cbook.get_sample_data("grace_hopper.jpg") as f, Image.open(f) as image:
    photo = torch.from_numpy(np.asarray(image.convert("RGB")) / 255.0).permute(2, 0, 1)  # [3, 600, 512] in [0, 1]


def put(fig, quality=90):
    """Show a figure as a JPEG: tiles of tiles are noise to PNG."""
    file = io.BytesIO()
    fig.savefig(file, format="jpeg", facecolor=fig.get_facecolor(), pil_kwargs={"quality": quality})
    plt.close(fig)
    display(Shown(file.getvalue(), format="jpeg"))


def show(*panels, columns=4, width=2.25, dpi=100):
    """Pictures [3, h, w] in rows, each with its title."""
    rows = -(-len(panels) // columns)
    tall = width * panels[0][1].shape[1] / panels[0][1].shape[2] + 0.22
    fig, axes = plt.subplots(rows, columns, figsize=(width * columns, tall * rows), dpi=dpi, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, (title, x) in zip(axes.flat, panels, strict=False):
        ax.imshow(x.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="antialiased")
        ax.set_title(title, fontsize=9)
    fig.subplots_adjust(0, 0, 1, 1 - 0.2 / (tall * rows), 0.03, 0.25 / tall)
    put(fig)


# %% [markdown]
# ## The parts of the map
#
# Twelve tiles a side. All that is unknown is linear but for $s$, and $s$ is what one asks for (`texture`). The mean of
# a fixed point is known before it is drawn, so $b$ can make each tile's mean exactly that of the photograph. The
# cosines carry the photograph's own slopes and curves into the tile (`blend`). To see the parts, set the others to
# zero: every part alone is a code as well.

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
    ("s, black is 0 and white 0.5", means(code.contrast[0, :, :, :, 0].mean(0, True), h, w).expand(3, h, w) / 0.5),
    ("b, the brightness", decode(brightness, h, w)[0]),
    ("the cosines, about grey", 0.5 + decode(cosines, h, w)[0]),
    ("the fixed point", whole),
)

# %% [markdown]
# In black and in white there is no room for a copy: whatever is added would be cut off. So $s$ gives way there, each
# colour by itself, and never quite to nothing. What is cut off all the same is found by drawing, and $b$ is corrected
# for it, four times.

# %%
fig, ax = plt.subplots(figsize=(6.4, 2.9), dpi=80)
fine = fractalize(photo, 40, texture=0.5, blend=0.5)
for k, colour in enumerate(("#c8553d", "#3d9970", "#1b4965")):
    ax.plot(
        means(photo, 40, 40)[k].flatten(), fine.contrast[0, k].flatten(), ".", color=colour, markersize=4, alpha=0.5
    )
ax.set(xlabel="brightness of the photograph in a tile", ylabel="contrast s", ylim=(0, 0.54))
ax.set_title("40 x 40 tiles, in red, green and blue", fontsize=9)
fig.tight_layout()
plt.show()

# %% [markdown]
# ## Depth
#
# `depth=1` draws tiles that end in the photograph. `depth=2` has tiles of such tiles. Depth 0 stands for all of them.
# No contrast is above one half here, so that each depth changes the picture at most half as much as the one before, and
# at places twelve times smaller. One tile, enlarged:

# %%
big = (144 * 2, 144 * 2) if SMALL else (144 * 24, 144 * 20)
row, column = 5, 5  # a tile of the cheek
tile = slice(row * big[0] // 12, (row + 1) * big[0] // 12), slice(column * big[1] // 12, (column + 1) * big[1] // 12)
deep = [draw(code, *big, depth=d, picture=photo)[:, *tile] for d in (1, 2, 3, 0)]
show(*zip(("depth 1: it ends in the photograph", "depth 2", "depth 3", "every depth"), deep, strict=True))
for d, a in zip((1, 2, 3), deep, strict=False):
    print(f"depth {d}: {float((a - deep[3]).abs().mean()):.4f} from the fixed point, on average")

# %% [markdown]
# ## A film without end
#
# Go into a tile, then into the same tile of that tile, and so on. The map that takes the picture to one of its tiles
# has a fixed place, and the film dives there. After each twelvefold step the picture is back, its contrast halved and
# redder, for its colours too go to a fixed point. A window is decoded without its surroundings, so that a frame costs
# what its own pixels cost, however deep it is.

# %%
target = (row / 11, column / 11)  # where tile (5, 5) of tile (5, 5) of ... shrinks to
frames = []
for u in (0, 0.35, 0.7, 1, 1.5, 2):
    fh, fw = (60, 48) if SMALL else (240, 204)
    part = 12.0**-u
    # draw all of a whole whose pixels are those of the frame; the window stays the same share around the target
    all_h, all_w = round(fh / part / 12) * 12, round(fw / part / 12) * 12
    y, x = (round((n - m) * t) for n, m, t in ((all_h, fh, target[0]), (all_w, fw, target[1])))
    frames.append((f"x {12**u:.3g}", decode(code, all_h, all_w, window=(y, x, y + fh, x + fw))[0]))
show(*frames, columns=6, width=1.5)

# %% [markdown]
# ## How many tiles, how strong
#
# `judge` measures two things: the structural similarity of drawing and photograph *from afar*, that is, once both are
# blurred to the size of a tile; and how well the *tiles*, as they are, correlate with the whole picture. The first is
# high everywhere, for it is what the code is found by; more tiles only mean that one need not go so far away.
# `texture` weighs the tiles against the picture. `blend` carries shades into the tiles, sharpens the picture from
# nearby, and costs the tiles some of their own look.


# %%
def scores(**options):
    """The drawing at 480 x 408, its similarity from afar, and the correlation of its tiles with the picture."""
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
    show(*panels, columns=3, width=3.0)

# %% [markdown]
# ## Made of something else
#
# A second picture can be in the tiles, as an auxiliary patch: a constant of the map. With `self_weight=0` the tiles
# show it alone and there is no recursion left; with weights for both, tiles show the sum. Four styles, three of them
# drawn here: a fern and a maple leaf, which are attractors of four affine maps each, and a relief of a valley from
# matplotlib's elevation data.


# %%
def leaf(name, size=(288, 240)):
    """An attractor on paper, [3, h, w]."""
    a = draw_ifs(preset(name), size=size, seed=0, background="light")
    return torch.from_numpy(a[..., :3] / 255.0).permute(2, 0, 1)


elevation = cbook.get_sample_data("jacksboro_fault_dem.npz")["elevation"].astype(float)
relief = LightSource(315, 45).shade(elevation, plt.cm.gist_earth, blend_mode="soft", vert_exag=0.1)[..., :3]
valley = torch.from_numpy(relief).permute(2, 0, 1)
styles = {"fern": leaf("barnsley-fern"), "leaf": leaf("maple-leaf"), "valley": valley}
show(*[(k, means(x, 288, 240)) for k, x in styles.items()], columns=3, width=2.0)
tiles = 8 if SMALL else 18
show(
    *[
        (f"made of {k}", draw(fractalize(photo, tiles, texture=0.7, style=Style(x), self_weight=0), h, w))
        for k, x in styles.items()
    ],
    ("fern and itself", draw(fractalize(photo, tiles, texture=0.8, style=Style(styles["fern"])), h, w)),
)

# %% [markdown]
# ## Between two codes
#
# Two codes with as many tiles can be mixed number by number, $(1 - w)\,c_a + w\,c_b$. Contrasts of both are below one,
# so those of the mixture are, and it has a fixed point. With one $w$ for all this is nearly a cross fade, and has to
# be: where the two contrasts agree, the fixed point is linear in all that remains. With a $w$ for each tile it is
# something new. Here it grows from left to right, and a tile at the far left, which is of the portrait alone, shows the
# *whole* picture, hills and all.


# %%
def between(a, b, weight):
    """The collage a share ``weight`` of the way from a to b; a number, or one for each tile, [G, G]."""
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
    window = (i * th, j * tw, (i + 1) * th, (j + 1) * tw)
    parts.append(decode(across, tiles * th, tiles * tw, window=window)[0])
show(
    ("w = 0.5", draw(half, h, w)),
    ("w from 0 on the left to 1", draw(across, h, w)),
    ("one of its tiles, of the left", parts[0]),
    ("and one of the right", parts[1]),
)
half = draw(half, h, w)
fade = (draw(portrait, h, w) + draw(land, h, w)) / 2
near, afar = (float((means(half, *n) - means(fade, *n)).abs().mean()) for n in ((h, w), (tiles, tiles)))
print(f"w = 0.5 and the mean of the two ends differ by {afar:.4f} in the tiles' means, by {near:.4f} in pixels")

# %% [markdown]
# ## One to keep
#
# Fifty tiles a side, the portrait in the middle and the valley around it. Every tile, even one in the hills, shows the
# portrait in the valley, and each of those is made of 2,500 again. The poster has any size: `code.save` writes the
# numbers, and `fractalkit.maps.collage.strips` draws them row by row at 30,000 pixels. (Of a photograph alone, the
# shell does both: `fractalkit fractalize photo.jpg --tiles 50 --res 30000 --code photo.safetensors`.) On the right are
# the sixteen tiles marked on the left, from the same poster 18,000 pixels tall.

# %%
tiles = 10 if SMALL else 50
portrait = fractalize(photo, tiles, texture=0.55, blend=0.6)
land = fractalize(valley, tiles, texture=0.55, blend=0.6)
at = torch.linspace(-1, 1, tiles)
radius = torch.hypot(at[:, None] + 0.12, at[None, :] * 1.05)
poster = between(portrait, land, ((radius - 0.62) / 0.3).clamp(0, 1))
ph, pw = (200, 160) if SMALL else (1500, 1250)
large = (ph * 12, pw * 12)
th, tw = large[0] // tiles, large[1] // tiles  # of a tile, there
y, x = (3 * tiles // 10 * th, 16 * tiles // 25 * tw)
near = decode(poster, *large, window=(y, x, y + 4 * th, x + 4 * tw))[0]
fig, axes = plt.subplots(1, 2, figsize=(11.6, 6.9), dpi=105, facecolor="#111111")
for ax, a in zip(axes, (draw(poster, ph, pw), near), strict=True):
    ax.imshow(a.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="antialiased")
    ax.axis("off")
axes[0].add_patch(plt.Rectangle((x / 12, y / 12), tw / 3, th / 3, fill=False, color="white", linewidth=1))
fig.subplots_adjust(0.01, 0.01, 0.99, 0.99, 0.015, 0)
put(fig)

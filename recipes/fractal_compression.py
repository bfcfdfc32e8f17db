# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Fractal compression from first principles
#
# For each small block of a picture, store which *larger* block of the same picture it resembles, with what contrast and
# brightness. This list contains no pixels, and yet the picture can be recovered from it, starting from any picture at
# all. Arnaud Jacquin showed how in 1989. This notebook implements his coder in a few lines, explains why it works, and
# then turns to the package's codec and its `.fk` file: what the bytes contain, and how they compare with JPEG.

# %%
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib import cbook
from matplotlib.colors import LightSource
from PIL import Image

from fractalkit import fk
from fractalkit.codec.container import read_header
from fractalkit.fit.quadtree import Effort
from fractalkit.maps.quadtree_picture import trace
from fractalkit.render import show

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # used by the tests
GREY = {"cmap": "gray", "vmin": 0, "vmax": 255}
torch.set_num_threads(1)
SIDE, BPP = (64, 1.2) if SMALL else (256, 0.5)


def psnr(a, b):
    """Return the PSNR in dB of pictures from 0 to 255."""
    return 10 * np.log10(255**2 / np.mean((np.asarray(a, float) - b) ** 2))


# %% [markdown]
# The picture is a landscape in the hills of Tennessee: measured heights, shaded and coloured. Mountains look like their
# parts; we will see whether that helps.

# %%
with cbook.get_sample_data("jacksboro_fault_dem.npz") as f:
    heights = np.asarray(f["elevation"], float)
low, high = heights.min() - 150, heights.max() + 100
light = LightSource(315, 45)
relief = light.shade(heights, plt.cm.gist_earth, blend_mode="soft", vert_exag=0.03, vmin=low, vmax=high)[..., :3]
hills = (255 * relief).round().astype(np.uint8)[40 : 40 + SIDE, 60 : 60 + SIDE]
with cbook.get_sample_data("grace_hopper.jpg") as f, Image.open(f) as image:
    grace = np.asarray(image.crop((0, 0, 512, 512)).resize((SIDE, SIDE), Image.Resampling.BOX))
grey, face = (np.asarray(Image.fromarray(p).convert("L"), float) for p in (hills, grace))
show(("the hills", hills), ("in grey", grey), ("a picture to start from", face), height=2.3, **GREY)

# %% [markdown]
# ## The encoder
#
# *Ranges* are blocks of $n \times n$ pixels that tile the picture. *Domains* are blocks of $2n \times 2n$, reduced to
# $n \times n$ by averaging groups of four pixels. For a range $r$ and a domain $d$, least squares give
#
# $$s = \frac{\langle r - \bar r,\ d - \bar d\rangle}{|d - \bar d|^2}, \qquad o = \bar r - s\,\bar d,$$
#
# and leave the error $|r - \bar r|^2 - \langle r - \bar r, d - \bar d\rangle^2 / |d - \bar d|^2$. So the best domain is
# the one with the largest last term, and all pairs together are one matrix product. Contrasts are limited to
# $|s| \le 0.9$.

# %%
N = 8  # side of a range


def blocks(x, step):
    """Return all n x n blocks of a picture at distance ``step`` as rows."""
    return np.lib.stride_tricks.sliding_window_view(x, (N, N))[::step, ::step].reshape(-1, N * N)


def domains(x):
    """Return blocks of 2n x 2n at distance n, reduced to n x n."""
    return blocks((x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4, N // 2)


def encode(x):
    """Find domain, contrast and brightness for each range."""
    r, d = blocks(x, N), domains(x)
    r0, d0 = r - r.mean(1, keepdims=True), d - d.mean(1, keepdims=True)
    products, norms = r0 @ d0.T, (d0**2).sum(1) + 1e-9
    which = (products**2 / norms).argmax(1)
    s = (products[np.arange(len(r)), which] / norms[which]).clip(-0.9, 0.9)
    s = (s * 16).round() / 16
    o = (r.mean(1) - s * d.mean(1)[which]).round()
    return which, s, o


def apply(code, x):
    """Apply the map: every range becomes its domain of x, times s, plus o."""
    which, s, o = code
    g = x.shape[0] // N
    new = s[:, None] * domains(x)[which] + o[:, None]
    return new.reshape(g, g, N, N).transpose(0, 2, 1, 3).reshape(x.shape)


code = encode(grey)
which, s, o = code
print(f"{len(which)} ranges, {len(domains(grey))} domains; contrasts from {s.min():.2f} to {s.max():.2f}, "
      f"half of them within {np.median(np.abs(s)):.2f}")  # fmt: skip

# %% [markdown]
# Four ranges, and the domains that they are copies of.

# %%
g, across = SIDE // N, int(len(domains(grey)) ** 0.5)
busy = np.argsort(-blocks(grey, N).std(1))[: len(which) // 4]
fig, ax = plt.subplots(figsize=(5, 5), dpi=80)
ax.imshow(grey, cmap="gray")
picked = [k for k in busy if abs(k // g - which[k] // across) + abs(k % g - which[k] % across) > g // 3]
for k, colour in zip(picked[:: max(1, len(picked) // 4)], ("#ffb703", "#8ecae6", "#fb5607", "#b5e48c"), strict=False):
    (y, x), (v, u) = (N * np.array(divmod(k, g)), N * np.array(divmod(which[k], across)))
    for corner, side in (((x, y), N), ((u, v), 2 * N)):
        ax.add_patch(plt.Rectangle(corner, side, side, fill=False, color=colour, linewidth=2))
    ax.annotate("", (x + N / 2, y + N / 2), (u + N, v + N), arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.5})
ax.set_title("from domain to range", fontsize=10)
ax.axis("off")
plt.show()

# %% [markdown]
# ## The decoder
#
# The decoder applies the map again and again. Since every $|s|$ is below one, each step brings two pictures closer
# together, so all starts converge to the same picture, the only one that the map leaves unchanged.

# %%
for start in (face, np.random.default_rng(0).uniform(0, 255, grey.shape)):
    x, panels = start, [("start", start)]
    for k in range(1, 11):
        x = apply(code, x)
        if k in (1, 2, 4, 10):
            panels.append((f"{k} step{'s' * (k > 1)}, {psnr(grey, x):.1f} dB", x))
    show(*panels, height=2.1, **GREY)

# %% [markdown]
# Why is this picture close to the hills? The encoder never computed it. It made the *collage* $T x$ of the original, a
# single step, close to the original $x$. The collage theorem does the rest: $|x - x^*| \le |x - T x| / (1 - \ell)$,
# where $|\cdot|$ is the maximum norm and $\ell$ the largest contrast. The bound is far too pessimistic here, as it
# nearly always is.

# %%
fixed = x
rms = [float(np.sqrt(np.mean((a - b) ** 2))) for a, b in ((grey, apply(code, grey)), (grey, fixed))]
most = [float(np.abs(a - b).max()) for a, b in ((grey, apply(code, grey)), (grey, fixed))]
print(f"collage  {psnr(grey, apply(code, grey)):.2f} dB, rms error {rms[0]:.1f}, largest {most[0]:.0f}")
print(f"attractor {psnr(grey, fixed):.2f} dB, rms error {rms[1]:.1f}, largest {most[1]:.0f} "
      f"(at most {most[0] / (1 - np.abs(s).max()):.0f} by the theorem)")  # fmt: skip
bits = np.log2(len(domains(grey))) + np.log2(2 * 15 + 1) + np.log2(o.max() - o.min() + 1)
print(f"{bits:.1f} bits a range if all values were equally likely: {bits / N**2:.2f} bits a pixel")

# %% [markdown]
# ## The package's codec
#
# Plain fractal coders lose to JPEG, as shown below, for this reason: a range that resembles nothing still has to use
# the most similar domain. In a `.fk` file of the quadtree codec, a block can have any size from 4 to 64. It has as
# many cosines as are worth their bits, and a map only if it is worth its bits. The addresses of domains take more
# than twenty bits, which is nearly always more than they save. So a map of this codec copies the lines that reach the
# block's border from what lies above or to the left, in one of 33 directions: an address of some four bits. What it
# copies is added to the cosines, with its mean removed. No block depends on itself, so the map is provably a
# contraction, and the picture is its fixed point. `method="pifs"` provides the plain coder for comparison.

# %%
quadtree = fk.encode(hills, bpp=BPP, threads=1)
data = quadtree.to_bytes()
assert fk.load(data).to_bytes() == data
plain = fk.encode(hills, method="pifs", quality=50, threads=1)
rows = [("pixels", hills)]
for name, c in (("plain PIFS", plain), ("quadtree", quadtree)):
    size = len(c.to_bytes())
    rows.append((f"{name}: {8 * size / SIDE**2:.2f} bpp, {psnr(hills, fk.decode(c)):.1f} dB", fk.decode(c)))
show(*rows, height=2.8, **GREY)

# %% [markdown]
# ## The bytes of a file
#
# A file has a header with a checksum, then three segments for each tile of 1024 pixels, ordered so that each refines
# the picture: the tree with the means of its leaves, the luma, the chroma. Every decision is coded by an adaptive range
# coder that mixes probabilities from several contexts.

# %%
header = read_header(data)
print(" ".join(f"{b:02x}" for b in data[: header.size]))
print(f"{header.width} x {header.height}, {header.channels} channels of {header.depth} bits, codec {header.codec}, "
      f"a header of {header.size} of {len(data)} bytes")  # fmt: skip
for name, c in (("hills", quadtree), ("face", fk.encode(grace, bpp=BPP, threads=1))):
    facts = c.summary()
    print(f"\n{name}: bytes", facts["bytes by part"])
    print("leaves by side", facts["leaves"])
    print("leaves by kind", facts["kinds"])

# %% [markdown]
# In the face, nearly two leaves in five have a map; in the hills, one in eight. Mountains look like their parts to us,
# but pixel for pixel no part of these hills continues another so well that a reference costs less than a few cosines.
# The face has edges, and edges go on.
#
# On the command line, the same takes two commands.

# %%
with tempfile.TemporaryDirectory() as folder:
    Image.fromarray(hills).save(Path(folder) / "hills.png")
    for command in (f"compress hills.png --bpp {BPP}", "decompress hills.fk --res 2x -o large.png"):
        done = subprocess.run([sys.executable, "-m", "fractalkit", *command.split()], cwd=folder, text=True,
                              capture_output=True, check=True)  # fmt: skip
        print(f"$ fractalkit {command}\n{done.stdout or done.stderr}")
    with Image.open(Path(folder) / "large.png") as large:
        print("large.png is", large.size)

# %% [markdown]
# ## Comparison with JPEG
#
# JPEG as written by Pillow, with optimised Huffman tables and chroma at half resolution, for both pictures. The face is
# a photograph reduced by two, which removes the blocks of the JPEG that it came from. Bits are those of the whole file,
# headers included. The grey line is the quadtree codec without maps: leaves and cosines only.


# %%
def jpeg(picture, quality):
    """Return bits per pixel and PSNR of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, optimize=True)
    return 8 * file.tell() / SIDE**2, psnr(picture, np.asarray(Image.open(file)))


def ours(picture, **how):
    """Return bits per pixel and PSNR of a .fk file."""
    c = fk.encode(picture, threads=1, **how)
    return 8 * len(c.to_bytes()) / SIDE**2, psnr(picture, fk.decode(c))


qualities = (30, 50) if SMALL else (15, 25, 35, 45, 55, 62)
no_maps = Effort(1, top=6, maps=(), count=25)
lines = {}
for name, picture in (("hills", hills), ("face", grace)):
    lines[name, "JPEG"] = [jpeg(picture, q) for q in ((10, 50) if SMALL else (2, 5, 10, 20, 35, 50, 70, 82, 90))]
    lines[name, "plain PIFS"] = [ours(picture, method="pifs", quality=q) for q in (30, 50, 70)]
    lines[name, "quadtree"] = [ours(picture, quality=q, chroma="half") for q in qualities]
    lines[name, "without maps"] = [ours(picture, quality=q, effort=no_maps, chroma="half") for q in qualities]

# %%
looks = {"JPEG": "#b56576", "plain PIFS": "#444444", "without maps": "#bbbbbb", "quadtree": "#2a9d8f"}
fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), dpi=80)
for ax, name in zip(axes, ("hills", "face"), strict=True):
    for kind, colour in looks.items():
        ax.plot(*zip(*lines[name, kind], strict=True), "^:" if kind == "plain PIFS" else ".-", color=colour, label=kind)
    ax.set(title=name, xlabel="bits a pixel", ylabel="PSNR, dB", xlim=(0, 2.3))
axes[0].legend(frameon=False)
fig.tight_layout()
plt.show()


def rate_at(line, decibels):
    """Interpolate the bits per pixel at a PSNR."""
    b, d = np.array(line).T
    return np.exp(np.interp(decibels, d, np.log(b)))


for name in ("hills", "face"):
    print(f"{name}: plain PIFS " + ", ".join(f"{d:.1f} dB at {b:.2f} bpp" for b, d in lines[name, "plain PIFS"]))
for name, levels in (("hills", (25, 28, 31)), ("face", (27, 30, 33))):
    for level in levels:
        jpg, fko, bare = (rate_at(lines[name, k], level) for k in ("JPEG", "quadtree", "without maps"))
        print(f"{name} at {level} dB: JPEG {jpg:.2f} bpp, quadtree {fko:.2f} ({100 * fko / jpg:.0f} %), "
              f"without maps {bare:.2f}")  # fmt: skip

# %% [markdown]
# The quadtree file takes about half the bytes of a JPEG of the same quality, over the whole range. For the hills,
# none of this is due to maps: without them they take the same bytes, so the grey line is hidden under the other. The
# face takes 8 to 10 % less with maps. The rest comes from adaptive leaf sizes, the filter and the range coder. The
# plain PIFS, although its bits go through the same coder, is below JPEG at all but the lowest rates, and the size of
# its ranges limits its quality. JPEG is a standard of 1992; newer codecs are closer. PSNR does not measure everything
# that is visible, and both pictures are small.
#
# ## Four times larger
#
# JPEG decodes to its pixels. A code decodes to any size, because a map on blocks is a map on the unit square. Below is
# a window of a quarter of the side of the hills, four times larger.

# %%
w = SIDE // 4
y0, x0 = SIDE // 2, SIDE // 4
part = (4 * x0, 4 * y0, 4 * (x0 + w), 4 * (y0 + w))
good = fk.encode(hills, quality=60, threads=1)
fine = fk.encode(hills, method="pifs", quality=70, threads=1)
pixels = Image.fromarray(hills[y0 : y0 + w, x0 : x0 + w])
large = [(name, np.asarray(pixels.resize((4 * w, 4 * w), how))) for name, how in
         (("pixels", Image.Resampling.NEAREST), ("bicubic", Image.Resampling.BICUBIC))]  # fmt: skip
large += [(name, fk.decode(c, 4 * SIDE, window=part)) for name, c in
          ((f"plain PIFS, {8 * len(fine.to_bytes()) / SIDE**2:.1f} bpp", fine),
           (f"quadtree, {8 * len(good.to_bytes()) / SIDE**2:.1f} bpp", good))]  # fmt: skip
show(*large, height=2.9, **GREY)

# %% [markdown]
# In the plain coder, the seams of the ranges are visible: neighbours chose different domains, and the ridges break. The
# quadtree is as smooth as bicubic enlargement, from two bits per pixel where the pixels take 24. It contains no more
# information than the pixels.
#
# ## A final picture
#
# The reverse case: the map of the face, started from the hills. `trace` gives the iterates of any code. At the edge,
# pixels show the start; towards the centre, each pixel shows a later iterate, up to the fifth.

# %%
big, row, column = SIDE if SMALL else 512, 0.36, 0.49
with cbook.get_sample_data("grace_hopper.jpg") as f, Image.open(f) as image:
    portrait = np.asarray(image.crop((0, 0, 512, 512)).resize((big, big), Image.Resampling.BOX))
start = Image.fromarray((255 * relief[2:342, 30:370]).astype(np.uint8)).resize((big, big), Image.Resampling.LANCZOS)
code = fk.encode(portrait, method="pifs", quality=50, threads=1)
steps = np.array(list(trace(code, np.asarray(start), 5)), np.float32)  # [6, H, W, 3]
y, x = np.indices((big, big)) / big
radius = np.hypot((y - row) / 1.2, x - column)
t = 5 * np.clip((0.5 - radius) / 0.38, 0, 1)  # which iterate each pixel shows
k = np.minimum(t.astype(int), 4)
rows, columns = np.indices((big, big))
share = (t - k)[..., None]
vision = (1 - share) * steps[k, rows, columns] + share * steps[k + 1, rows, columns]
fig = plt.figure(figsize=(7.6, 7.6), dpi=84)
ax = fig.add_axes((0, 0, 1, 1))
ax.imshow(vision.round().astype(np.uint8), interpolation="lanczos")
ax.axis("off")
plt.show()

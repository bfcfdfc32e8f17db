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
# Tell each small block of a picture which *larger* block of the same picture it resembles, with what contrast and what
# brightness. That list of resemblances holds no pixels, and yet the picture can be got back from it, from any start
# whatever. Arnaud Jacquin found how in 1989. This notebook writes his coder in a dozen lines, looks at why it works,
# and goes on to the package's codec and its `.fk` file: what is in the bytes, and how they compare with JPEG.

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
from fractalkit.maps.quadtree import trace

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # what tests run
torch.set_num_threads(1)
SIDE, BPP = (64, 1.2) if SMALL else (256, 0.5)


def psnr(a, b):
    """Decibels, of pictures from 0 to 255."""
    return 10 * np.log10(255**2 / np.mean((np.asarray(a, float) - b) ** 2))


def show(*panels, inches=2.6, **how):
    """Pictures in a row, each with its title."""
    fig, axes = plt.subplots(1, len(panels), figsize=(inches * len(panels), inches + 0.35), dpi=72)
    for ax, (title, a) in zip(axes, panels, strict=True):
        ax.imshow(a, cmap="gray", vmin=0, vmax=255, **how)
        ax.set_title(title, fontsize=9)
        ax.axis("off")
    fig.tight_layout(pad=0.5)
    plt.show()


# %% [markdown]
# The picture is a landscape in the hills of Tennessee, measured heights with light and colour put on. Mountains look
# like their parts; we shall see whether that helps.

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
show(("the hills", hills), ("in grey", grey), ("a picture to start from", face), inches=2.3)

# %% [markdown]
# ## The coder
#
# *Ranges* are blocks of $n \times n$ pixels that tile the picture. *Domains* are blocks of $2n \times 2n$, shrunk to
# $n \times n$ by taking means of four. For a range $r$ and a domain $d$, least squares give
#
# $$s = \frac{\langle r - \bar r,\ d - \bar d\rangle}{|d - \bar d|^2}, \qquad o = \bar r - s\,\bar d,$$
#
# and leave the error $|r - \bar r|^2 - \langle r - \bar r, d - \bar d\rangle^2 / |d - \bar d|^2$. So the best domain is
# the one whose last term is largest, and all pairs together are one matrix product. Contrasts are held to
# $|s| \le 0.9$.

# %%
N = 8  # side of a range


def blocks(x, step):
    """All n x n blocks of a picture, ``step`` apart, as rows."""
    return np.lib.stride_tricks.sliding_window_view(x, (N, N))[::step, ::step].reshape(-1, N * N)


def domains(x):
    """Blocks of 2n x 2n, n apart, shrunk."""
    return blocks((x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4, N // 2)


def encode(x):
    """For each range: which domain, contrast, brightness."""
    r, d = blocks(x, N), domains(x)
    r0, d0 = r - r.mean(1, keepdims=True), d - d.mean(1, keepdims=True)
    products, norms = r0 @ d0.T, (d0**2).sum(1) + 1e-9
    which = (products**2 / norms).argmax(1)
    s = (products[np.arange(len(r)), which] / norms[which]).clip(-0.9, 0.9)
    s = (s * 16).round() / 16
    o = (r.mean(1) - s * d.mean(1)[which]).round()
    return which, s, o


def apply(code, x):
    """The map: every range becomes its domain of x, times s, plus o."""
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
# There is none: apply the map, again and again. Since every $|s|$ is below one, two pictures come nearer to each other
# with every step, so all starts end at the same picture, the only one that the map leaves as it is.

# %%
for start in (face, np.random.default_rng(0).uniform(0, 255, grey.shape)):
    x, panels = start, [("start", start)]
    for k in range(1, 11):
        x = apply(code, x)
        if k in (1, 2, 4, 10):
            panels.append((f"{k} step{'s' * (k > 1)}, {psnr(grey, x):.1f} dB", x))
    show(*panels, inches=2.1)

# %% [markdown]
# Why is this picture near the hills? The encoder never looked at it. It made the *collage* $T x$ of the original near
# the original $x$, one step only. The collage theorem does the rest: $|x - x^*| \le |x - T x| / (1 - \ell)$, where
# $|\cdot|$ is the largest difference of pixels and $\ell$ the largest contrast. The bound is far too careful here,
# as it nearly always is.

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
# Fractal coders of this kind lose to JPEG, as we shall see, and this is why: a range that resembles nothing has to take
# the nearest resemblance all the same. In a `.fk` file of the quadtree codec, a block
# may be of any size from 4 to 64, carries as many cosines as are worth their bits, and has a map only where a
# map is worth its own. What a map brings is added to the cosines, with the mean and the slopes left out of it. The map
# still contracts, by proof, and the picture is its fixed point. `method="pifs"` keeps the plain coder, to compare with.

# %%
quadtree = fk.encode(hills, bpp=BPP, threads=1)
data = quadtree.to_bytes()
assert fk.load(data).to_bytes() == data
plain = fk.encode(hills, method="pifs", quality=50, threads=1)
rows = [("pixels", hills)]
for name, c in (("plain PIFS", plain), ("quadtree", quadtree)):
    size = len(c.to_bytes())
    rows.append((f"{name}: {8 * size / SIDE**2:.2f} bpp, {psnr(hills, fk.decode(c)):.1f} dB", fk.decode(c)))
show(*rows, inches=2.8)

# %% [markdown]
# ## What is in the bytes
#
# A header with a checksum, then three segments for each tile of 1024 pixels, in the order in which they refine the
# picture: the tree with the means of its leaves, the luma, the chroma. Every decision goes through an adaptive range
# coder whose probabilities are mixed from several contexts.

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
# In the face about one leaf in eleven has a map. In the hills, one of thirty-nine. Mountains look like their parts to
# us, but no part of these looks so much like another, pixel for pixel, that to name it is cheaper than a few cosines.
#
# From the shell the same is two commands.

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
# ## Beside JPEG
#
# JPEG as Pillow writes it, with optimised Huffman tables and chroma at half the resolution, over two pictures. The face
# is a photograph reduced by two, so that nothing is left of the JPEG blocks that it came with. Bits are whole files,
# headers included. The grey line is the quadtree codec without a single map: leaves and cosines only.


# %%
def jpeg(picture, quality):
    """Bits a pixel and decibels of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, optimize=True)
    return 8 * file.tell() / SIDE**2, psnr(picture, np.asarray(Image.open(file)))


def ours(picture, **how):
    """The same of a .fk file."""
    c = fk.encode(picture, threads=1, **how)
    return 8 * len(c.to_bytes()) / SIDE**2, psnr(picture, fk.decode(c))


qualities = (30, 50) if SMALL else (15, 25, 35, 45, 55, 62)
no_maps = Effort(2, top=6, maps=(), count=25)
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
    """Bits a pixel at a quality, between measured points."""
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
# The quadtree file takes about half the bytes of the JPEG of the same quality, over the whole range. Hardly any of that
# is due to its maps: without them the hills take the same bytes and the face one hundredth of a bit more, so that the
# grey line hides under the other. It is due to leaves of fitting size and to the range coder. The plain PIFS, though
# its bits go through the same coder, is below JPEG at all but the lowest rates, and its smallest ranges end it. And
# JPEG is a standard of 1992; newer ones are nearer. PSNR is not all that eyes see, and both pictures are small.
#
# ## Four times larger
#
# JPEG decodes to its pixels. A code decodes to any size, for a map on blocks is a map on the square.
# Below is a quarter of a side of the hills, four times larger.

# %%
w = SIDE // 4
y0, x0 = SIDE // 2, SIDE // 4
part = (x0 / SIDE, y0 / SIDE, (x0 + w) / SIDE, (y0 + w) / SIDE)
good = fk.encode(hills, quality=60, threads=1)
fine = fk.encode(hills, method="pifs", quality=70, threads=1)
pixels = Image.fromarray(hills[y0 : y0 + w, x0 : x0 + w])
large = [(name, np.asarray(pixels.resize((4 * w, 4 * w), how))) for name, how in
         (("pixels", Image.Resampling.NEAREST), ("bicubic", Image.Resampling.BICUBIC))]  # fmt: skip
large += [(name, fk.decode(c, 4 * w, window=part)) for name, c in
          ((f"plain PIFS, {8 * len(fine.to_bytes()) / SIDE**2:.1f} bpp", fine),
           (f"quadtree, {8 * len(good.to_bytes()) / SIDE**2:.1f} bpp", good))]  # fmt: skip
show(*large, inches=2.9)

# %% [markdown]
# The plain coder shows the seams of its ranges: neighbours chose different domains, and the ridges break. The quadtree
# goes on as smoothly as bicubic enlargement does, from two bits a pixel where the pixels take 24. It does not know more
# than they do.
#
# ## One to keep
#
# Now the other way about: the map of the face, begun with the hills. `trace` gives the iterates of any code. At the rim
# nothing has happened yet, and towards the middle each pixel shows a later iterate, up to the fifth.

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

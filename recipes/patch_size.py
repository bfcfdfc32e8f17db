# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # How large should a tile be?
#
# A fractal code divides a picture into tiles, its *ranges*, and describes each as a copy of a larger part of the
# picture, with a contrast and a brightness. How large should a tile be? Small tiles are easy to match, but there are
# many of them to store. Large tiles cost less, but copies fit them badly. This notebook measures both effects, first
# for collages with tiles of one size, then for the quadtree codec, which can choose a size for each place.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib import cbook
from matplotlib.collections import LineCollection
from PIL import Image

from fractalkit import fk
from fractalkit.codec.weights_syntax import write_numbers
from fractalkit.codes.collage import CollageCode, Domain
from fractalkit.fit.quadtree import Effort
from fractalkit.maps.collage import decode
from fractalkit.raster.picture import psnr
from fractalkit.render import show

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # used by the tests
torch.set_num_threads(1)
SIDE = 96 if SMALL else 384
with cbook.get_sample_data("grace_hopper.jpg") as f, Image.open(f) as image:
    crop = image.crop((64, 20, 448, 404))


def sized(n):
    """The photograph at n x n pixels, uint8."""
    return np.asarray(crop.resize((n, n), Image.Resampling.BOX))


def bits(data, n=SIDE):
    """Return bits per pixel."""
    return 8 * len(data) / n**2


photo = sized(SIDE)

# %% [markdown]
# ## Tiles of one size
#
# Each tile of $n \times n$ pixels is a sum of copies of a few *domains*, reduced to the size of the tile: the whole
# picture and, optionally, its four quarters. The contrasts of a tile come from least squares on blocks with their mean
# removed. They are the same for red, green and blue, and the sum of their magnitudes is limited to 0.85, so that the
# map contracts. Then the tile's own colour is added. A tile of 4 and a tile of 32 therefore have the same number of
# parameters.
#
# The parameters are rounded, the colours of tiles are stored as differences from their neighbours, and the package's
# range coder turns them into bytes. Bits per pixel count these bytes.

# %%
WHOLE = (Domain(),)
QUARTERS = (*WHOLE, *(Domain(2, i, j) for i in (0, 1) for j in (0, 1)))


def collage(picture, n, domains=WHOLE, step=8):
    """Return the code with tiles of n x n pixels, and its bytes; colours are rounded to ``step`` of 256."""
    x = torch.from_numpy(picture / 255.0).permute(2, 0, 1)  # [3, H, H]
    h, g = x.shape[-1], x.shape[-1] // n
    parts = [x[:, h // d.scale * d.row :, h // d.scale * d.col :][:, : h // d.scale, : h // d.scale] for d in domains]
    shrunk = torch.stack([torch.nn.functional.adaptive_avg_pool2d(p, n) for p in parts])  # [D, 3, n, n]
    tiles = x.reshape(3, g, n, g, n).permute(1, 3, 0, 2, 4)  # [g, g, 3, n, n]
    mean, middle = tiles.mean((3, 4)), shrunk.mean((2, 3))
    a = (shrunk - middle[..., None, None]).flatten(1)  # [D, 3 n n]
    r = (tiles - mean[..., None, None]).flatten(2)
    gram = a @ a.T
    s = r @ torch.linalg.solve(gram + 1e-4 * gram.trace() * torch.eye(len(a)), a).T  # [g, g, D]
    s = s * (0.85 / s.abs().sum(-1, keepdim=True)).clamp_max(1)

    contrasts, colours = torch.trunc(s / 0.01 / step).numpy().astype(int), (mean * 255 / step).round().numpy()
    s = torch.from_numpy(contrasts * 0.01 * step)
    o = torch.from_numpy(colours * step / 255) - s @ middle
    none = x.new_zeros(1, 1, g, g, 0), x.new_zeros(0, 1, 1, 1)  # no auxiliary patches
    code = CollageCode(s[None, None], o.permute(2, 0, 1)[None], *none, tuple(domains), continuous=False)

    green = colours[..., 1:2]
    told = np.concatenate([green, colours[..., ::2] - green], 2).astype(int)
    told[:, 1:], told[1:, 0] = np.diff(told, axis=1), np.diff(told[:, 0], axis=0)
    numbers = np.concatenate([told, contrasts], 2)
    kinds = np.arange(numbers.shape[2], dtype=np.uint8).repeat(g * g)  # each kind has separate statistics
    return code, write_numbers(kinds, numbers.transpose(2, 0, 1).ravel())


def picture_of(code, n=SIDE):
    """The fixed point at n x n pixels, uint8."""
    return (255 * decode(code, n, n)[0].clamp(0, 1)).round().permute(1, 2, 0).byte().numpy()


SIZES = (32, 16, 8, 4)
panels = [("photograph", photo)]
for n in SIZES:
    code, data = collage(photo, n)
    x = picture_of(code)
    panels.append((f"tiles of {n}: {psnr(photo, x):.1f} dB, {bits(data):.2f} bpp", x))
    print(f"tiles of {n:2d}: {(SIDE // n) ** 2:5d} tiles, {len(data):6d} bytes, {psnr(photo, x):.2f} dB")
show(*panels, height=2.3)

# %% [markdown]
# Every picture here is a fixed point: its tiles are copies of the picture *as shown*, including the mosaic. Halving the
# side of a tile multiplies the number of tiles by four and the bytes by three and a half. It gains two decibels at
# first, and more than three at the end.
#
# ## The same number of bytes
#
# At a given file size, is it better to have more tiles or more parameters per tile? Each line below is one tile size,
# from coarse to fine rounding. Solid lines use copies of the whole picture, dashed lines copies of the whole and its
# quarters.

# %%
STEPS = (32, 8) if SMALL else (48, 32, 20, 12, 7, 4)
colours = dict(zip(SIZES, ("#355070", "#6d597a", "#b56576", "#e88c4a"), strict=True))
curves = {}
fig, ax = plt.subplots(figsize=(7, 4.2), dpi=80)
for domains, style in ((WHOLE, "-"), (QUARTERS, "--")):
    for n in SIZES:
        made = [collage(photo, n, domains, step) for step in STEPS]
        line = [(bits(data), psnr(photo, picture_of(code))) for code, data in made]
        curves[n, len(domains)] = line
        ax.semilogx(*zip(*line, strict=True), style, marker=".", color=colours[n],
                    label=f"tiles of {n}" if style == "-" else None)  # fmt: skip
ax.set(xlabel="bits a pixel", ylabel="PSNR, dB", title="Collages: the size of the tile sets the rate")
ax.legend(frameon=False)
fig.tight_layout()
plt.show()
for n in SIZES:
    a, b = curves[n, 1], curves[n, 5]
    print(f"tiles of {n:2d}, finest rounding: whole {a[-1][0]:.3f} bpp, {a[-1][1]:.2f} dB; "
          f"with quarters {b[-1][0]:.3f} bpp, {b[-1][1]:.2f} dB")  # fmt: skip

# %% [markdown]
# Finer rounding hardly helps: each line soon becomes flat, and the next smaller tile lies above its end. More domains
# help only up to a point: where the line of one domain is flat, five domains gain about another decibel, but at that
# rate smaller tiles gain more. In a pure collage, smaller tiles are the way to a better picture.
#
# ## Tiles with corrections
#
# The leaves of the quadtree codec hold more than a copy: as many cosines as are worth their bits, and a map if it is
# worth its bits. The codec can be restricted to leaves of one size with `Effort(top=k, bottom=k)`, where $k$ is
# $\log_2$ of the side. File format and range coder are the same; only the leaf sizes differ, and the last line may
# choose among all sizes. For comparison, the plain partitioned IFS of the literature has tiles of one size, each of
# which is a copy of the best of *all* blocks twice as large, and nothing else.


# %%
def encoded(picture, effort=5, **how):
    """(bits a pixel, decibels) of a ``.fk`` file, and its code."""
    code = fk.encode(picture, effort=effort, threads=1, **how)
    return (bits(code.to_bytes(), len(picture)), psnr(picture, fk.decode(code))), code


QUALITIES = (25, 50) if SMALL else (10, 20, 30, 40, 50, 60)
ADAPTIVE = Effort(1, top=5, bottom=2, maps=(2, 3, 4))
one_size = {1 << k: Effort(1, top=k, bottom=k, maps=(k,) if k < 5 else ()) for k in (5, 4, 3, 2)}
fixed = {n: [encoded(photo, e, quality=q)[0] for q in QUALITIES] for n, e in one_size.items()}
tree = [encoded(photo, ADAPTIVE, quality=q)[0] for q in QUALITIES]
plain = [encoded(photo, method="pifs", quality=q)[0] for q in (30, 50, 70)]

# %%
fig, axes = plt.subplots(1, 2, figsize=(10.4, 4.2), dpi=80, width_ratios=(1, 1))
for n in SIZES:
    axes[0].semilogx(*zip(*curves[n, 1], strict=True), color=colours[n], alpha=0.5)
    for ax in axes:
        ax.semilogx(*zip(*fixed[n], strict=True), marker=".", color=colours[n], label=f"leaves of {n}")
for ax in axes:
    ax.semilogx(*zip(*tree, strict=True), marker="o", color="#2a9d8f", linewidth=2, label="quadtree, 4 to 32")
    ax.set(xlabel="bits a pixel", ylabel="PSNR, dB")
axes[0].semilogx(*zip(*plain, strict=True), "k^:", label="plain PIFS, 16, 8, 4")
axes[0].set_title("Copies alone (faint, dotted), and with cosines", fontsize=10)
axes[0].legend(frameon=False, fontsize=8)
low, high = tree[0][0], tree[-1][0]
axes[1].set(xlim=(0.8 * low, 1.1 * high), ylim=(tree[0][1] - 2.5, tree[-1][1] + 0.5))
axes[1].set_title("The second kind, nearer", fontsize=10)
fig.tight_layout()
plt.show()


def at(line, rate):
    """Interpolate the PSNR at a rate between measured points; nan outside."""
    b, d = np.array(line).T
    return np.interp(np.log(rate), np.log(b), d, left=np.nan, right=np.nan)


print("plain PIFS: " + ", ".join(f"{d:.2f} dB at {b:.2f} bpp" for b, d in plain))
print("decibels at  " + "".join(f"{r:>8.2f} bpp" for r in (0.15, 0.3, 0.6)))
for name, line in [(f"leaves of {n}", fixed[n]) for n in SIZES] + [("quadtree", tree)]:
    print(f"{name:13s}" + "".join(f"{at(line, r):12.2f}" for r in (0.15, 0.3, 0.6)))

# %% [markdown]
# Cosines change the result. A large leaf can now hold any detail, at a price, so all sizes are within two decibels of
# each other: leaves of 16 are good at low rates, leaves of 8 at high rates. Choosing the size for each place beats the
# best single size at every rate, by 0.4 to 0.5 dB. This is the gain from the tree. Allowing corrections gains far more:
# the plain PIFS, with its search, is well above the collages with few domains, but it is three decibels below the
# quadtree at its low rate and twelve at its high rate.
#
# ## Where the small leaves are
#
# The tree uses small leaves where the picture has detail. But more bits do not only mean smaller leaves: from the
# second picture to the third, the bits grow almost threefold, but the number of leaves grows only by a quarter. The
# remaining bits are spent on cosines.


# %%
def leaves(code):
    """Return row, column and side of the luma leaves of a picture of one tile: ``[n, 3]``."""
    logs = code.planes(0)[0].logs
    out = []
    for k in range(2, 7):
        c = 1 << (k - 2)
        y, x = np.nonzero(logs[::c, ::c] == k)
        out.append(np.stack([y << k, x << k, np.full(len(y), 1 << k)], 1))
    return np.concatenate(out)


def borders(ax, squares, **how):
    """Draw the borders of squares."""
    y, x, n = squares.T - np.array([[0.5], [0.5], [0]])
    ways = np.stack([np.stack([x, x + n, x + n, x, x], 1), np.stack([y, y, y + n, y + n, y], 1)], 2)
    ax.add_collection(LineCollection(list(ways), **how))


fig, axes = plt.subplots(1, 3, figsize=(10.4, 3.8), dpi=80)
for ax, q in zip(axes, (20, 35, 50), strict=True):
    (rate, quality), code = encoded(photo, ADAPTIVE, quality=q)
    squares = leaves(code)
    ax.imshow(fk.decode(code))
    borders(ax, squares, colors="white", linewidths=0.35, alpha=0.8)
    ax.set_title(f"{rate:.2f} bpp, {quality:.1f} dB, {len(squares)} leaves", fontsize=9)
    ax.axis("off")
    counts = ", ".join(f"{int((squares[:, 2] == n).sum())} of {n}" for n in (32, 16, 8, 4))
    print(f"quality {q}: leaves {counts}")
fig.tight_layout(pad=0.5)
plt.show()

# %% [markdown]
# ## Other resolutions
#
# A code has no pixels, so it can be decoded at any size. How accurate is it there? For smaller sizes this is easy to
# test: decode at a quarter of the size, and compare with the reduced photograph. For larger sizes, we encode the
# photograph at half its size, with tiles of half as many pixels, decode it at twice that size, and compare with the
# original, which the code has never seen. The baseline is bicubic enlargement of the uncompressed half-size picture.

# %%
half = sized(SIDE // 2)
rows = {}
for n in SIZES:
    whole, small = (collage(p, m, step=4)[0] for p, m in ((photo, n), (half, max(2, n // 2))))
    rows[f"collage, tiles of {n}"] = picture_of, whole, small
for name, effort, q in (("leaves of 8", one_size[8], 50), ("quadtree", ADAPTIVE, 50), ("quadtree", ADAPTIVE, 90)):
    whole, small = (encoded(p, effort, quality=q)[1] for p in (photo, half))
    rows[f"{name}, quality {q}"] = (lambda c, n: fk.decode(c, n, n)), whole, small
bicubic = np.asarray(Image.fromarray(half).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
print(f"{'':25s}{'full':>8s}{'a half':>10s}{'a quarter':>12s}{'half to full':>15s}")
for name, (draw, whole, small) in rows.items():
    one, two, four = (psnr(sized(SIDE // k), draw(whole, SIDE // k)) for k in (1, 2, 4))
    print(f"{name:25s}{one:8.2f}{two:10.2f}{four:12.2f}{psnr(photo, draw(small, SIDE)):15.2f}")
print(f"{'bicubic, from pixels':55s}{psnr(photo, bicubic):15.2f}")

# %% [markdown]
# At smaller sizes every code gains, because codes describe means best. At a quarter of the size, a tile of 4 is a
# single pixel, whose colour is stored in the code: hence the 46 dB. At larger sizes, a collage found at half the size
# is as good as one found at full size, to a few hundredths of a decibel for tiles of 8 and more: its error is that of
# its tiles, which do not depend on the resolution. The quadtree at high quality is as good as bicubic enlargement, but
# not better. The detail that a fixed point shows between the pixels is made of parts of the picture itself. It is
# plausible and sharp, but it was never measured.
#
# Finally, beyond the original resolution: a window of one eighth of the picture's side, decoded eight times larger.

# %%
y0, x0, w = 5 * SIDE // 16, SIDE // 3, SIDE // 8
box = (8 * x0, 8 * y0, 8 * (x0 + w), 8 * (y0 + w))
near = [("pixels", photo[y0 : y0 + w, x0 : x0 + w])]
for n in SIZES[1:]:
    code = rows[f"collage, tiles of {n}"][1]
    x = decode(code, 8 * SIDE, 8 * SIDE, window=box)
    near.append((f"collage, tiles of {n}", x[0].clamp(0, 1).permute(1, 2, 0).numpy()))
near.append(("quadtree, quality 50", fk.decode(rows["quadtree, quality 50"][1], 8 * SIDE, window=box)))
show(*near, height=2.3, interpolation="nearest")

# %% [markdown]
# The tiles of the collages are visible as small pictures with borders. The borders of the quadtree are smoothed when it
# is enlarged.
#
# ## A final picture
#
# Finally, a collage whose tiles are the leaves of a tree that was built from means alone. Each leaf is the whole
# picture, reduced and tinted with the colour of its place. Large portraits fill the smooth areas and small ones draw
# the face, and each is made of all of them again.

# %%
_, code = encoded(photo, Effort(1, top=6, bottom=2, maps=(), reach=0), quality=15)
squares = leaves(code)
squares = squares[(squares[:, :2] < SIDE).all(1)]


def paint(whole, squares, scale, corner=(0, 0), size=SIDE):
    """Draw each leaf as a copy of ``whole`` with the leaf's mean: uint8, ``scale`` pixels per photograph pixel."""
    out = np.zeros((scale * size, scale * size, 3), np.float32)
    small, middle = {}, whole.mean((0, 1))
    for n in np.unique(squares[:, 2]):
        copy = Image.fromarray(whole).resize((n * scale, n * scale), Image.Resampling.BOX)
        small[n] = 0.5 * (np.asarray(copy, np.float32) - middle)
    for y, x, n in squares:
        copy = photo[y : y + n, x : x + n].mean((0, 1)) + small[n]
        ty, tx = (y - corner[0]) * scale, (x - corner[1]) * scale
        cut = copy[max(0, -ty) :, max(0, -tx) :]
        part = out[max(0, ty) :, max(0, tx) :][: len(cut), : cut.shape[1]]
        part[:] = cut[: len(part), : part.shape[1]]
    return out.clip(0, 255).round().astype(np.uint8)


picture = photo
for _ in range(4):  # any start will do: the map contracts by a half
    picture = paint(picture, squares, 3)
y0, x0, w = (SIDE * v // 16 for v in (5, 5, 3))
inside = (squares[:, 0] + squares[:, 2] > y0) & (squares[:, 0] < y0 + w)
inside &= (squares[:, 1] + squares[:, 2] > x0) & (squares[:, 1] < x0 + w)
near = paint(picture, squares[inside], 14, (y0, x0), w)
fig, axes = plt.subplots(1, 2, figsize=(11.4, 5.66), dpi=72, facecolor="#111111")
for ax, x in zip(axes, (picture, near), strict=True):
    ax.imshow(x, interpolation="antialiased")
    ax.axis("off")
axes[0].add_patch(plt.Rectangle((3 * x0, 3 * y0), 3 * w, 3 * w, fill=False, color="white"))
fig.subplots_adjust(0, 0, 1, 1, 0.015, 0)
plt.show()
print(f"{len(squares)} leaves")

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # The vector space of codes
#
# A neural collage turns a picture into integers in one forward pass: the parameters of a few contractive maps. All
# pictures of the same size have the same number of parameters, so a code is a point in a vector space, with distances,
# neighbours and straight lines. This notebook makes an album of fractal flames in families of four mutants, each
# shifted and rotated at random, encodes them, and looks at where the codes lie.
#
# The network was trained on aerial photographs. It has never seen a flame.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from fractalkit.codec.neural_syntax import ZIGZAG
from fractalkit.codes.flame_random import mutate, random_flame
from fractalkit.models.neural_code import between, encode_neural, vector
from fractalkit.render.colours_from import colour_table, names
from fractalkit.render.flame import render_flame, to_8_bit
from fractalkit.render.flame_sheet import worth_seeing

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # used by the tests
SIDE, FAMILIES, RELATIVES = (64, 2, 2) if SMALL else (256, 12, 4)


def one(rng):
    """A random flame."""
    return random_flame(rng, colour_table(str(rng.choice(names()))), size=(SIDE, SIDE))


album, family = [], []
for number, flame in enumerate(worth_seeing(one, FAMILIES, seed=5)):
    rng = np.random.default_rng(number)
    for k in range(RELATIVES):
        relative = flame if k == 0 else mutate(flame, rng, 0.35)
        a = to_8_bit(render_flame(relative, quality=5 if SMALL else 60, seed=k, threads=1))
        moved = np.roll(a, rng.integers(-SIDE // 3, SIDE // 3 + 1, 2), (0, 1))
        album.append(np.ascontiguousarray(np.rot90(moved, rng.integers(4))))
        family.append(number)
family = np.array(family)
codes = [encode_neural(a) for a in album]
sizes = [len(c.to_bytes()) for c in codes]
rate = 8 * np.mean(sizes) / SIDE**2
print(f"{len(album)} pictures of {SIDE} x {SIDE}; {np.mean(sizes):.0f} bytes a code, {rate:.2f} bits a pixel")

# %% [markdown]
# ## Neighbours
#
# Cosines are orthonormal, so distances between whole codes are distances between pictures. For nearest neighbours this
# is not useful: a flame shifted by one pixel is far away. But the parameters also show how much of each frequency a
# range contains. Their magnitudes, summed over the ranges, do not depend on position.


# %%
def texture(code):
    """Return the use of each of the 64 cosines in luma and chroma, and their means: ``[384]``, of unit length."""
    parts = []
    for p in code.planes:
        v = np.abs(p.reshape(-1, 64).astype(float))
        v[:, 0] = p.reshape(-1, 64)[:, 0]
        order = v.reshape(-1, 64)[:, np.argsort(ZIGZAG)].reshape(-1, 8, 8)
        v = (order + order.transpose(0, 2, 1)).reshape(-1, 64)  # a quarter turn swaps rows and columns
        parts += [np.log1p(np.abs(v.mean(0))) * np.sign(v.mean(0)), np.log1p(v.std(0))]
    out = np.concatenate(parts)
    return out / np.linalg.norm(out)


def found(points):
    """Return distances, and the share of pictures whose nearest neighbour is in the same family."""
    d = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(d, np.inf)
    return d, float(np.mean(family[d.argmin(1)] == family))


spaces = {
    "pixels": np.stack([a.ravel() / 255.0 for a in album]),
    "codes": np.stack([vector(c) for c in codes]),
    "texture of codes": np.stack([texture(c) for c in codes]),
}
for name, points in spaces.items():
    print(f"{name:17s} {points.shape[1]:7d} numbers   own family nearest: {100 * found(points)[1]:.0f} %")
print(f"{'by chance':17s} {'':15s}   own family nearest: {100 * (RELATIVES - 1) / (len(album) - 1):.0f} %")

# %%
d, _ = found(spaces["texture of codes"])
queries = range(0, len(album), max(1, len(album) // 5))
columns = min(6, len(album))
fig, axes = plt.subplots(len(queries), columns, figsize=(1.6 * columns, 1.65 * len(queries)), dpi=70, squeeze=False)
for row, q in zip(axes, queries, strict=True):
    for ax, i in zip(row, [q, *np.argsort(d[q])[: columns - 1]], strict=True):
        ax.imshow(album[i])
        ax.set_xticks([])
        ax.set_yticks([])
        for side in ax.spines.values():
            side.set(color="#d62728" if i == q else "#2ca02c" if family[i] == family[q] else "#bbbbbb", linewidth=2.5)
axes[0, 0].set_title("asked", fontsize=9)
axes[0, 1].set_title("nearest ...", fontsize=9)
fig.tight_layout()
plt.show()

# %% [markdown]
# Green frames mark members of the same family as the query, which has a red frame.
#
# ## A straight line
#
# Between two codes lie other codes. Each is a valid file, and can be drawn at any size. The result is close to a
# cross-fade, and has to be: where contrasts are small, the fixed point is nearly linear in the parameters. The number
# of bytes shows which code on the way contains the most information.

# %%
a, b = codes[0], codes[RELATIVES]
steps = (0.0, 0.25, 0.5, 0.75, 1.0)
way = [between(a, b, t) for t in steps]
fig, axes = plt.subplots(1, len(way), figsize=(2.2 * len(way), 2.5), dpi=80)
for ax, t, code in zip(axes, steps, way, strict=True):
    ax.imshow(code.decode(2 * SIDE, 2 * SIDE))
    ax.set_title(f"{t:g}: {len(code.to_bytes())} bytes", fontsize=9)
    ax.axis("off")
fig.tight_layout()
plt.show()
half = way[2].decode().astype(float)
fade = (a.decode().astype(float) + b.decode()) / 2
near = 10 * np.log10(255**2 / max(np.mean((half - fade) ** 2), 1e-9))
print(f"half way, against the mean of the two ends: {near:.1f} dB")

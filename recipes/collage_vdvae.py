# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Sampling digits at any resolution
#
# Generative models of pictures usually produce pixels, as many as in their training pictures. This one produces *maps*.
# It turns random numbers into the code of a collage, and the picture is the fixed point of that code, which has no
# fixed resolution: it can be decoded at 28 pixels or at 1120. The model is the Collage-VDVAE of Poli, Xu et al. (2022):
# the very deep variational autoencoder of Child (2021) with a Neural Collage as its last layer.
#
# picture → *encoder* → features at 7 x 7 and at 1 x 1
#
# random $z_1$ → $z_2$ → ... → features at 7 x 7 → **collage code** → fixed point of 16 channels → a small network at
# each point → the probability of ink
#
# First, a small model is trained on printed digits that are drawn here. Then the model of the package, which was
# trained on handwritten digits, is loaded.

# %%
import copy
import io
import math
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image as Shown
from IPython.display import display
from matplotlib.colors import LightSource, LinearSegmentedColormap
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from PIL import Image, ImageDraw

from fractalkit.maps.collage import decode
from fractalkit.models import mean_picture as view
from fractalkit.models.vdvae import VDVAE, Between, VDVAEConfig
from fractalkit.raster.picture import sheet
from fractalkit.render import show

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # used by the tests
torch.set_num_threads(1)


def printed(n, seed=0, side=28, fine=8):
    """Draw digits of three typefaces, slightly rotated and stretched, binary, [n, 1, 28, 28]."""
    rng = np.random.default_rng(seed)
    out = np.zeros((n, 1, side, side), np.float32)
    for i in range(n):
        family, weight = rng.choice(["DejaVu Sans", "DejaVu Serif", "STIXGeneral"]), rng.choice(["normal", "bold"])
        glyph = TextPath((0, 0), str(rng.integers(10)), size=100, prop=FontProperties(family=family, weight=weight))
        outlines = glyph.to_polygons(closed_only=True)
        low, high = (f(np.concatenate(outlines), 0) for f in (np.min, np.max))
        angle, slant, size = rng.normal(0, 0.08), rng.normal(0, 0.12), rng.uniform(17, 21) / (high - low)[1]
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        a = size * turn @ np.array([[rng.uniform(0.9, 1.15), slant], [0, 1]]) * [[1], [-1]]
        ink = np.zeros((side * fine, side * fine), bool)
        for line in outlines:
            part = Image.new("1", ink.shape)
            at = (line - (low + high) / 2) @ a.T + side / 2
            ImageDraw.Draw(part).polygon([tuple(p) for p in fine * at], fill=1)
            ink ^= np.array(part)  # an outline inside another is a hole
        share = ink.reshape(side, fine, side, fine).mean((1, 3))
        out[i, 0] = share > rng.random((side, side))
    return torch.from_numpy(out)


def seeded(*seeds):
    """Return one generator per picture, so that a picture depends on its own seed only."""
    return [torch.Generator().manual_seed(s) for s in seeds]


digits, held_out = printed(64 if SMALL else 5000), printed(16 if SMALL else 200, seed=1)
show(("printed digits", sheet(digits[:60], 20)), height=2.1)

# %% [markdown]
# ## The score
#
# How likely is a picture $x$? The model describes how it was generated: first the $z$, one after the other, each with a
# prior $p(z_l \mid z_{<l})$, then the ink of each pixel. The sum over all possible $z$ is intractable. The encoder
# proposes a suitable distribution, $q(z \mid x)$, and
#
# $$-\log p(x)\;\le\;\underbrace{-\log p(x \mid z)}_{\text{distortion}}\;+\;
# \underbrace{\textstyle\sum_l \mathrm{KL}\big(q(z_l \mid x, z_{<l})\,\|\,p(z_l \mid z_{<l})\big)}_{\text{rate}}.$$
#
# The unit is the nat, 1.44 bits: the rate is the cost of describing $z$, the distortion the cost of the pixels given
# $z$. The right side is the negative *evidence lower bound* (ELBO), which training minimises. The fixed point is
# decoded at 56 x 56, and a pixel of the picture is the mean of four of its points. A small penalty is added on
# variation *between* the points, which no pixel would show; without it, the fixed point contains grain ([the
# ablation](collage_vdvae_ablation.ipynb) has figures).
#
# ## A small model
#
# It has a ninth of the weights of the package's model. The training loop here is minimal;
# `fractalkit train vdvae_mnist` is the full one, with a moving average, checkpoints and validation.

# %%
STEPS = 4 if SMALL else 900
torch.manual_seed(0)
config = VDVAEConfig(width=64, encoder="7x2,7d7,1x1", decoder="1x1,7m1,7x3", warm=STEPS // 3)
model = VDVAE(config).to(memory_format=torch.channels_last)
adam = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.01)
noise, order = seeded(0, 1)
log, kept = [], {}
for step in range(STEPS):
    if step in (STEPS // 18, STEPS // 4):
        kept[step] = copy.deepcopy(model)
    adam.param_groups[0]["lr"] = 3e-3 * min(1, (step + 1) / 50) * (0.51 + 0.49 * math.cos(math.pi * step / STEPS))
    x = digits[torch.randint(len(digits), (32,), generator=order)]
    out = model.losses(x, noise, step)
    adam.zero_grad()
    out["loss"].backward()
    if torch.nn.utils.clip_grad_norm_(model.parameters(), 100.0) < 2000:
        adam.step()
    log.append([float(out[k]) for k in ("nll", "kl")])
kept[STEPS] = model.eval()
score = model.eval_losses(held_out, seeded(7)[0])
print(f"{sum(p.numel() for p in model.parameters()):,} weights")
print(f"new digits: -ELBO {float(score['elbo'].mean()):.1f} nats, of which distortion {float(score['nll'].mean()):.1f}")

# %%
nll, kl = np.array(log).T
smooth = np.ones(min(15, STEPS)) / min(15, STEPS)
fig, ax = plt.subplots(figsize=(6.6, 3), dpi=80)
ax.stackplot(
    np.arange(1 + STEPS - len(smooth)), *(np.convolve(v, smooth, "valid") for v in (kl, nll)),
    labels=("rate", "distortion"), colors=("#e07a5f", "#1b4965"),
)  # fmt: skip
ax.axhline(28 * 28 * math.log(2), color="#999999", linewidth=1)
ax.set(xlabel="step", ylabel="nats a picture", ylim=(0, 580), xlim=(0, None))
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# The grey line is the cost of 784 pixels without a model. The rate has a weight of zero at first, which rises to one
# over the first third of training, so the model first learns to use its $z$ and then to use it economically.
#
# The same eight seeds during training, drawn at 140 pixels, five times the size of the training pictures:

# %%
side = 56 if SMALL else 140
show(*[(f"{step} steps", sheet(m.draw(m.features(seeded(*range(8))), side, side), 4)) for step, m in kept.items()])
again = model.draw(model.infer(held_out[:8], seeded(*range(8))), side, side)
show(("new digits", sheet(held_out[:8], 8)), height=1.0, dpi=90)
show(("what the model makes of each", sheet(again, 8)), height=1.0, dpi=90)

# %% [markdown]
# After two minutes of training, the model draws strokes, corners and holes, and about half of its samples are digits.
# It reconstructs given pictures well and smoothly.
#
# ## Handwriting
#
# `vdvae_mnist` comes with the package. It has nine times the weights, was trained for forty times the steps on the
# 50,000 training digits of MNIST, and fine-tuned. Its card says how.

# %%
model = VDVAE.from_pretrained("vdvae_mnist")
print(f"{sum(p.numel() for p in model.parameters()):,} weights, made by `{model.about['command']}`")
many = seeded(*range(4 if SMALL else 40))
show(("seeds 0 to 39", sheet(model.draw(model.features(many), side, side), 2 if SMALL else 10)), height=4.0)

# %% [markdown]
# ## Where the nats are
#
# The model assigns a cost to any binary picture of 28 x 28. Here are four kinds: its own samples, with pixels drawn at
# random from their probabilities; the same upside down; the printed digits; and pure random noise. The bars show the
# rate of each layer: the first two $z$ are at 1 x 1, the other eight at 7 x 7.

# %%
own = model.draw(model.features(seeded(*range(100, 104 if SMALL else 164))), 56, 56)
own = torch.nn.functional.avg_pool2d(own, 2)  # as in the likelihood: a pixel is the mean of four points
coin = torch.rand(own.shape, generator=seeded(0)[0])
kinds = {
    "its own": (coin < own).float(),
    "upside down": (coin < own).float().flip(2),
    "printed": held_out[: len(own)],
    "coins": (coin < 0.5).float(),
}
fig, axes = plt.subplots(1, 4, figsize=(9, 2.6), dpi=80, sharey=True)
for ax, (name, x) in zip(axes, kinds.items(), strict=True):
    score = model.eval_losses(x, seeded(1)[0])
    elbo, nll, kl = (float(score[k].mean(0).sum()) for k in ("elbo", "nll", "kl"))
    ax.bar(range(1, 11), score["kl"].mean(0).numpy(), color=["#e07a5f"] * 2 + ["#1b4965"] * 8)
    ax.set_title(f"{name}\n{elbo:.0f} nats, rate {kl:.0f}", fontsize=9)
    print(f"{name}: {elbo:.1f} nats = {elbo / math.log(2):.0f} bits; distortion {nll:.1f}, rate {kl:.1f}")
axes[0].set(ylabel="nats of a layer", ylim=(0, 20))
fig.tight_layout()
plt.show()
few = kinds["its own"][: 2 if SMALL else 16]
one = float(model.eval_losses(few, seeded(1)[0])["elbo"].mean())
bound = float(model.importance_bound(few, seeded(1)[0], 4 if SMALL else 100).mean())
print(f"{len(few)} of its own: {one:.1f} nats by one story each, {bound:.1f} by a hundred")

# %% [markdown]
# Its own samples cost nine nats more than the test pictures of MNIST: they are softer than the training pictures, and
# random pixels with intermediate probabilities are hard to predict. Printed digits cost another fourteen nats and
# handwriting upside down twenty-one, in rate as well as in distortion: they need unusual $z$, and the ink is still not
# where these predict it. Random noise costs nearly five times the 543 nats of coding each pixel separately, because a
# model that is certain of the background pays a high price for every wrong pixel. Most of the information is at 7 x 7,
# in small amounts per layer. With a hundred samples of $z$ per picture the bound falls by four nats: at least this much
# of the score is due to the encoder, not to the pictures.
#
# ## From 28 to 1120 pixels
#
# One sample, drawn at 28 and at 1120 pixels, forty times the side length. Nothing is interpolated: both are the fixed
# point of one code.

# %%
h = model.features(seeded(2))
code = model.head.code(h)
numbers = sum(getattr(code, k).numel() for k in ("contrast", "brightness", "mixing"))
large = 280 if SMALL else 1120
picture = view.MeanPicture.of(model, h, detail=1.0)
small, big = view.draw(picture, 28, 28)[0], view.draw(picture, large, large)[0]
k = large // 28
print(f"{numbers:,} numbers; contrasts up to {float(code.lipschitz()):.2f}")
error = float(np.abs(big.reshape(28, k, 28, k).mean((1, 3)) - small).mean())
print(f"{large} pixels, averaged to 28, differ from the 28 by {error:.4f} on average")
show(("28 pixels", small), (f"{large} pixels", big), height=4.2, dpi=80)

# %% [markdown]
# ## Windows
#
# A window at full detail costs only its own pixels, whatever the size of the whole picture. Here it has 480 pixels and
# stays at one place of the stroke, while the whole picture grows to 28,000 pixels per side, a thousand times 28.

# %%
n = 96 if SMALL else 480
panels = []
for size in (1_120, 5_600, 28_000):
    top, left = round(0.6 * size) - n // 2, round(0.34 * size) - n // 2
    a = view.draw(picture, size, size, window=(left, top, left + n, top + n))[0]
    panels.append((f"{size:,} a side", a))
show(*panels, height=3.0, dpi=75)

# %% [markdown]
# The edge is clean, and becomes softer with magnification. The picture shows the probability of ink; at 28 pixels, the
# model cannot know exactly where the pen turned, and the soft edge shows this uncertainty.
#
# ## The copies
#
# The collage itself, before the small network, consists of sixteen fields. In some of them the copies are visible: rows
# of small spots, seven across.

# %%
points = 98 if SMALL else 392
with torch.no_grad():
    fields = decode(code, points, points)[0]
fig, axes = plt.subplots(2, 8, figsize=(11.2, 2.86), dpi=75)
for ax, f in zip(axes.flat, fields, strict=True):
    ax.imshow(f, cmap="magma")
    ax.axis("off")
fig.subplots_adjust(0, 0, 1, 1, 0.02, 0.02)
plt.show()

# %% [markdown]
# The largest contrast belongs to one range of one channel. Zoom into that range, and into the same range within it:

# %%
contrast = code.contrast[0, ..., 0].detach()
channel, i, j = np.unravel_index(int(contrast.abs().argmax()), contrast.shape)
print(f"channel {channel}, range ({i}, {j}): contrast {float(contrast[channel, i, j]):.2f}")
ranges, place = 1, np.zeros(2, int)
fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), dpi=80)
for ax, title in zip(axes, ("the channel", "its range, 7 times larger", "49 times"), strict=True):
    y, x = place * points
    with torch.no_grad():
        f = decode(code, points * ranges, points * ranges, window=(x, y, x + points, y + points))[0, channel]
    ax.imshow(f, cmap="magma")
    ax.set_title(title, fontsize=9)
    ax.axis("off")
    # alternate ranges are mirrored: find the position of the range within itself
    inner = [v if at % 2 == 0 else 6 - v for v, at in zip((i, j), place, strict=True)]
    if ranges < 49:
        ax.add_patch(
            plt.Rectangle([v * points / 7 for v in inner[::-1]], points / 7, points / 7, fill=False, color="white")
        )
    place, ranges = place * 7 + inner, ranges * 7
fig.tight_layout()
plt.show()

# %% [markdown]
# The contrast is negative, so the range is a negative of the channel. The range within the range, after two negative
# signs, is the channel again, tinted by its position. It also loses contrast, which the colours do not show because
# each panel has its own scale. Nobody drew this pattern: it follows from one number and continues to all depths.
#
# ## Between two digits
#
# A sample is determined by its noise. Move the noise of every layer from that of one seed to that of another,
# $\cos\alpha\,\epsilon_a + \sin\alpha\,\epsilon_b$. This is standard normal at every angle, so each picture on the way
# is as likely a sample as any other.

# %%
a, b = (0, 3)
angles = np.linspace(0, math.pi / 2, 4 if SMALL else 9)
way = torch.cat([model.features([Between(*seeded(a, b), angle)]) for angle in angles])
show((f"from seed {a} to seed {b}", sheet(model.draw(way, side, side), len(angles))), height=1.2)

# %% [markdown]
# ## A final picture
#
# A path through six seeds and back; the rows run alternately from left to right and from right to left. The last output
# of the network at each point is the log-odds of ink. It is drawn as a height map with light from the upper left:
# certain ink forms ridges, certain background is the sea, and uncertain areas lie in between.

# %%
seeds, columns, lines = (0, 3, 22, 35, 2, 29), 7, 5
side = 42 if SMALL else 252
colours = LinearSegmentedColormap.from_list(
    "dusk", ["#0b1026", "#12264a", "#1f4e79", "#3f8fa8", "#e8a33d", "#ffd98a", "#fffdf4"]
)
lamp = LightSource(315, 50)
tiles = []
for k in range(columns * lines):
    u = k * len(seeds) / (columns * lines)
    first, second = seeds[int(u)], seeds[(int(u) + 1) % len(seeds)]
    h = model.features([Between(*seeded(first, second), math.pi / 2 * (u % 1))])
    with torch.no_grad():
        odds = model.head(h, side, side)[0, 0].clamp(-14, 10).numpy()
    tiles.append(lamp.shade(odds, colours, blend_mode="soft", vert_exag=side / 200, vmin=-12, vmax=8)[..., :3])
rows = [tiles[columns * r : columns * (r + 1)][:: -1 if r % 2 else 1] for r in range(lines)]
fig, ax = plt.subplots(figsize=(10.5, 7.5), dpi=120, facecolor="#0b1026")
ax.imshow(np.concatenate([np.concatenate(row, 1) for row in rows]), interpolation="antialiased")
ax.axis("off")
fig.subplots_adjust(0.01, 0.01, 0.99, 0.99)
file = io.BytesIO()
fig.savefig(file, format="jpeg", facecolor=fig.get_facecolor(), pil_kwargs={"quality": 90})
plt.close(fig)
display(Shown(file.getvalue(), format="jpeg"))

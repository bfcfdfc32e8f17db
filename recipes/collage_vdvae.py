# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Digits without pixels
#
# A generative model of pictures makes pixels, as many as it has learned from. This one makes *maps*. It draws random
# numbers, turns them into the code of a collage, and the picture is the code's fixed point, which has no pixels: one
# decodes it at 28 or at 1120, whichever one needs. The model is the Collage-VDVAE of Poli, Xu et al. (2022): the very
# deep variational autoencoder of Child (2021) whose last layer is a Neural Collage.
#
# picture → *encoder* → what it looks like at 7 x 7 and at 1 x 1
#
# random $z_1$ → $z_2$ → ... → features at 7 x 7 → **collage code** → fixed point of 16 channels → a small network at
# each point → the probability of ink
#
# First a small one is trained on printed digits, drawn here. Then comes the package's, which has learned handwriting.

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
from fractalkit.models.vdvae import VDVAE, Between, VDVAEConfig
from fractalkit.render import collage as view

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # what tests run
torch.set_num_threads(1)


def printed(n, seed=0, side=28, fine=8):
    """Digits of three typefaces, tilted and stretched a little, binary, [n, 1, 28, 28]."""
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
            ink ^= np.array(part)  # an outline within another is a hole
        share = ink.reshape(side, fine, side, fine).mean((1, 3))
        out[i, 0] = share > rng.random((side, side))
    return torch.from_numpy(out)


def sheet(pictures, columns):
    """Pictures [N, 1, s, s] side by side, [rows s, columns s]."""
    n, _, s, _ = pictures.shape
    return pictures.reshape(n // columns, columns, s, s).permute(0, 2, 1, 3).reshape(-1, columns * s).numpy()


def show(*panels, height=2.3, dpi=90):
    """Grey pictures in a row, each with its title."""
    widths = [height * a.shape[1] / a.shape[0] for _, a in panels]
    fig, axes = plt.subplots(
        1, len(panels), figsize=(sum(widths), height + 0.25), dpi=dpi, width_ratios=widths, squeeze=False
    )
    for ax, (title, a) in zip(axes[0], panels, strict=True):
        ax.imshow(a, cmap="gray", vmin=0, vmax=1, interpolation="nearest" if a.shape[0] < 200 else "antialiased")
        ax.set_title(title, fontsize=9)
        ax.axis("off")
    fig.subplots_adjust(0, 0, 1, 1 - 0.25 / (height + 0.25), 0.03, 0)
    plt.show()


def seeded(*seeds):
    """One generator for each picture, so that a picture depends on its own seed alone."""
    return [torch.Generator().manual_seed(s) for s in seeds]


digits, held_out = printed(64 if SMALL else 5000), printed(16 if SMALL else 200, seed=1)
show(("printed digits", sheet(digits[:60], 20)), height=2.1)

# %% [markdown]
# ## What it is scored by
#
# How likely is a picture $x$? The model is a story of how it came about: first the $z$, one after the other, each with
# a prior $p(z_l \mid z_{<l})$, then the ink of each pixel. To sum over all stories is out of reach. The encoder
# proposes one that fits, $q(z \mid x)$, and
#
# $$-\log p(x)\;\le\;\underbrace{-\log p(x \mid z)}_{\text{distortion}}\;+\;
# \underbrace{\textstyle\sum_l \mathrm{KL}\big(q(z_l \mid x, z_{<l})\,\|\,p(z_l \mid z_{<l})\big)}_{\text{rate}}.$$
#
# It is a count of nats, 1.44 bits each: so many to say which $z$, so many to say which pixels differ from what $z$
# leads one to expect. The right side is minus the *evidence lower bound*, ELBO, and is what training minimises. The
# fixed point is decoded at 56 x 56, a pixel of the picture being the mean of four of its points. To that comes a small
# penalty on variation *between* the points, which no pixel would show; without it the fixed point fills up with grain
# ([the ablation](collage_vdvae_ablation.ipynb) has it in numbers).
#
# ## A small one
#
# A ninth of the weights of the package's. The loop is plain here; `fractalkit train vdvae_mnist` is the real one, with
# a moving average, checkpoints and validation.

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
# The grey line is what 784 pixels cost of which nothing is known. The rate counts for nothing at first and for all from
# a third of the way on, so the model learns to use its $z$ before it learns to save them.
#
# The same eight seeds while it learns, drawn at 140 pixels, five times what it sees:

# %%
side = 56 if SMALL else 140
show(*[(f"{step} steps", sheet(m.draw(m.sample(seeded(*range(8))), side, side), 4)) for step, m in kept.items()])
again = model.draw(model.infer(held_out[:8], seeded(*range(8))), side, side)
show(("new digits", sheet(held_out[:8], 8)), height=1.0)
show(("what the model makes of each", sheet(again, 8)), height=1.0)

# %% [markdown]
# Two minutes make it a printer's apprentice: it knows strokes, corners and holes, and about half of what it draws of
# its own are digits. What it is shown it redraws well, and smoothly.
#
# ## Handwriting
#
# `vdvae_mnist` comes with the package: nine times the weights, forty times the steps, the 50,000 digits of MNIST.

# %%
model = VDVAE.from_pretrained("vdvae_mnist")
print(
    f"{sum(p.numel() for p in model.parameters()):,} weights, {model.about['steps']:,} steps of {model.about['batch']}"
)
print(f"on MNIST's test pictures {model.about['test_nats']} nats")
many = seeded(*range(4 if SMALL else 40))
show(("seeds 0 to 39", sheet(model.draw(model.sample(many), side, side), 2 if SMALL else 10)), height=4.0)

# %% [markdown]
# ## Where the nats are
#
# Of anything binary, 28 x 28, the model says how surprised it is. Four kinds: pictures of its own, its pixels thrown
# like coins; these upside down; the printed digits; and coins alone. And it says at which layer: each bar is the rate
# of one $z$, the first two at 1 x 1, eight more at 7 x 7.

# %%
own = model.draw(model.sample(seeded(*range(100, 104 if SMALL else 164))), 56, 56)
own = torch.nn.functional.avg_pool2d(own, 2)  # as the likelihood has it, the mean of four points a pixel
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
# Its own cost nine nats more than MNIST's test pictures: they are softer than what it has learned from, and coins
# thrown for grey pixels are hard to guess. Print costs another fourteen, handwriting upside down twenty-one, in rate as
# well as in distortion: it takes unusual $z$, and the ink is still not where they say. Coins alone cost nearly five
# times the 543 nats of saying each pixel plainly, for a model that is sure of paper pays dearly for every speck. What
# there is to say is said at 7 x 7, and there in small portions. With a hundred stories to a picture the bound comes
# down by four nats: at least that much of the score is due to the encoder, not to the pictures.
#
# ## 28 pixels are 1120
#
# One sample, drawn at 28 and at 1120, forty times as many a side. Nothing is interpolated: both are the fixed point of
# one code. Its numbers:

# %%
h = model.sample(seeded(2))
code = model.head.code(h)
numbers = sum(getattr(code, k).numel() for k in ("contrast", "brightness", "mixing"))
large = 280 if SMALL else 1120
picture = view.Picture.of(model, h)
small, big = view.draw(picture, 28, 28)[0], view.draw(picture, large, large)[0]
k = large // 28
print(f"{numbers:,} numbers; contrasts up to {float(code.lipschitz()):.2f}")
error = float(np.abs(big.reshape(28, k, 28, k).mean((1, 3)) - small).mean())
print(f"{large} pixels, averaged to 28, differ from the 28 by {error:.4f} on average")
show(("28 pixels", small), (f"{large} pixels", big), height=4.2, dpi=80)

# %% [markdown]
# ## Any window
#
# A window at full detail costs what its own pixels cost, whatever the size of the whole. Here it has 480 pixels and
# stays on one place of the stroke, while the whole grows to 28,000 pixels a side, a thousand times the 28.

# %%
n = 96 if SMALL else 480
panels = []
for size in (1_120, 5_600, 28_000):
    top, left = round(0.6 * size) - n // 2, round(0.34 * size) - n // 2
    a = view.draw(picture, size, size, window=(top, left, top + n, left + n))[0]
    panels.append((f"{size:,} a side", a))
show(*panels, height=3.0, dpi=75)

# %% [markdown]
# A clean edge, and softer the nearer one comes. What is drawn is the probability of ink; where the pen turned at 28
# pixels the model does not know, and it says so.
#
# ## The copies
#
# The collage itself, before the small network reads it, is sixteen pictures, and in some of them the copies can be
# seen with the naked eye: rows of small blots, seven across.

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
# The strongest contrast of all belongs to one range of one channel. Into that range, and into the range of that range:

# %%
contrast = code.contrast[0, ..., 0].detach()
channel, i, j = np.unravel_index(int(contrast.abs().argmax()), contrast.shape)
print(f"channel {channel}, range ({i}, {j}): contrast {float(contrast[channel, i, j]):.2f}")
ranges, place = 1, np.zeros(2, int)
fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), dpi=80)
for ax, title in zip(axes, ("the channel", "its range, 7 times larger", "49 times"), strict=True):
    y, x = place * points
    with torch.no_grad():
        f = decode(code, points * ranges, points * ranges, window=(y, x, y + points, x + points))[0, channel]
    ax.imshow(f, cmap="magma")
    ax.set_title(title, fontsize=9)
    ax.axis("off")
    # alternate ranges are mirrored: where the range lies within itself
    inner = [v if at % 2 == 0 else 6 - v for v, at in zip((i, j), place, strict=True)]
    if ranges < 49:
        ax.add_patch(
            plt.Rectangle([v * points / 7 for v in inner[::-1]], points / 7, points / 7, fill=False, color="white")
        )
    place, ranges = place * 7 + inner, ranges * 7
fig.tight_layout()
plt.show()

# %% [markdown]
# The contrast is negative, so the range is the channel's negative, and the range of the range, after two signs, the
# channel again, tinted by where it lies. It pales, which the colours do not show, for each panel has its own scale. No
# one drew it: it follows from one number, and goes on for ever.
#
# ## Between two digits
#
# A sample is its noise. Turn the noise of every layer from one seed's to another's, $\cos\alpha\,\epsilon_a +
# \sin\alpha\,\epsilon_b$, which is standard normal at every angle, and each picture on the way is a sample as likely as
# any.

# %%
a, b = (0, 3)
angles = np.linspace(0, math.pi / 2, 4 if SMALL else 9)
way = torch.cat([model.sample([Between(*seeded(a, b), angle)]) for angle in angles])
show((f"from seed {a} to seed {b}", sheet(model.draw(way, side, side), len(angles))), height=1.2)

# %% [markdown]
# ## One to keep
#
# A walk through six seeds and back, to be read as the ox ploughs: left to right, right to left. The network's last
# number at each point is the logarithm of the odds of ink. Taken as height and lit from the upper left, sure ink is a
# ridge, sure paper the sea, and in between lies all that the model can imagine.

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
    h = model.sample([Between(*seeded(first, second), math.pi / 2 * (u % 1))])
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

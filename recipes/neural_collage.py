# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # One forward pass instead of a search
#
# To find the map whose fixed point is a given picture, fractal coders search: they compare every block with every
# other, for each picture anew. A *Neural Collage* (Poli, Xu et al., 2022) does not search. A network looks at the
# picture once and predicts the map. The cost is paid in training and shared by all pictures that are encoded later;
# this is called amortisation. First, this notebook writes such a network in about twenty lines, without patches, so
# that it has only copies of the picture to work with. Then it turns to the network of the package, which writes files.
#
# ## Training data
#
# Landscapes: a digital elevation model that comes with matplotlib, with random lighting and colours. The photograph is
# the test picture. The networks that are trained here never see it or any other photograph.

# %%
import copy
import io
import json
import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import cbook
from matplotlib.colors import LightSource
from PIL import Image
from torch import nn

from fractalkit import fk
from fractalkit.codes.collage import CollageCode, Domain
from fractalkit.data.image_set import ImageSet
from fractalkit.maps.collage import CollageMap, decode
from fractalkit.models.neural_code import encode_neural, learn_contexts
from fractalkit.models.neural_collage import NeuralCollage, NeuralCollageConfig
from fractalkit.models.pretrained import from_pretrained
from fractalkit.render import show
from fractalkit.train import TrainConfig
from fractalkit.train.loop import train

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # used by the tests
torch.set_num_threads(1)
with cbook.get_sample_data("grace_hopper.jpg") as f, Image.open(f) as image:
    size = (96, 128) if SMALL else (384, 448)
    photo = np.array(image.convert("RGB").crop((0, 0, 512, 597)).resize(size, Image.LANCZOS))  # [448, 384, 3]


def landscapes(n, side=128, seed=0):
    """Return squares [n, 3, side, side], uint8, cut from shaded reliefs."""
    rng = np.random.default_rng(seed)
    ground = cbook.get_sample_data("jacksboro_fault_dem.npz")["elevation"].astype(float)
    out = []
    while len(out) < n:
        lamp = LightSource(rng.uniform(0, 360), rng.uniform(25, 65))
        colours = plt.get_cmap(("gist_earth", "terrain", "copper", "cubehelix", "Spectral", "bone")[len(out) // 8 % 6])
        a = lamp.shade(ground, colours, blend_mode="soft", vert_exag=rng.uniform(0.02, 0.2))[..., :3]
        for _ in range(8):
            y, x = (rng.integers(m - side) for m in a.shape[:2])
            out.append(np.rint(255 * a[y : y + side, x : x + side]).astype(np.uint8).transpose(2, 0, 1))
    return np.stack(out[:n])


def psnr(a, b):
    """Return the PSNR in dB of pictures from 0 to 255."""
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


ground = landscapes(48 if SMALL else 960)
show(*[(f"landscape {i}", ground[i].transpose(1, 2, 0)) for i in (3, 12, 21, 37)], height=1.7)

# %% [markdown]
# ## Maps of small squares
#
# The picture is divided into squares of 32 x 32, and each has its own map: 8 x 8 *ranges* of 4 x 4 pixels, and the four
# quarters of the square as *domains*. On range $i$
#
# $$f = \sum_{d=1}^{4} s_{id}\, f|_{D_d} + b_i,\qquad \sum_d |s_{id}| \le 0.9.$$
#
# Each range has four contrasts and a colour: everything in a range except its mean colour is copied from elsewhere in
# its square, four times smaller. How good can this be? For a search, solve the least-squares problem of the collage
# theorem for each range: the map should change the picture as little as possible.

# %%
QUARTERS = tuple(Domain(2, i, j) for i in range(2) for j in range(2))


def squares(x):
    """Divide pictures [B, 3, H, W] into squares [N, 3, 32, 32]."""
    b, c, h, w = x.shape
    return x.reshape(b, c, h // 32, 32, w // 32, 32).permute(0, 2, 4, 1, 3, 5).reshape(-1, c, 32, 32)


def joined(x):
    """Join the squares [N, 3, s, s] of the photograph to a picture [H, W, 3]."""
    rows, side = photo.shape[0] // 32, x.shape[-1]
    return x.reshape(rows, -1, 3, side, side).permute(0, 3, 1, 4, 2).reshape(rows * side, -1, 3).numpy()


def blocks(x):
    """Return ranges [N, 64, 3, 16] and domains, halved twice, [N, 4, 3, 16], without their means; and the means."""
    ranges = x.reshape(-1, 3, 8, 4, 8, 4).permute(0, 2, 4, 1, 3, 5).reshape(-1, 64, 3, 16)
    domains = F.avg_pool2d(x, 4).reshape(-1, 3, 2, 4, 2, 4).permute(0, 2, 4, 1, 3, 5).reshape(-1, 4, 3, 16)
    r, d = ranges.mean(-1, keepdim=True), domains.mean(-1, keepdim=True)
    return ranges - r, domains - d, r[..., 0], d[..., 0]


def collage(contrast, mean, domain_mean):
    """Return the code with contrasts [N, 64, 4] and mean colours of ranges [N, 64, 3]."""
    n = len(mean)
    s = contrast.reshape(n, 1, 8, 8, 4)
    b = (mean - contrast @ domain_mean).mT.reshape(n, 3, 8, 8)
    return CollageCode(s, b, s.new_zeros(n, 1, 8, 8, 0), s.new_zeros(0, 1, 1, 1), QUARTERS, continuous=False)


def search(x, ridge=0.3, bound=0.9):
    """Find the code by least squares."""
    ranges, domains, mean, domain_mean = blocks(x)
    r, d = ranges.flatten(2), domains.flatten(2)
    s = torch.linalg.solve(d @ d.mT + ridge * torch.eye(4), d @ r.mT).mT
    return collage(CollageCode.bounded(s, bound), mean, domain_mean)


test = squares(torch.from_numpy(photo).permute(2, 0, 1)[None] / 255)
found = search(test)
fixed = joined(decode(found, 32, 32))
mosaic = joined(F.avg_pool2d(test, 4).repeat_interleave(4, 2).repeat_interleave(4, 3))
contrast = float(found.contrast.abs().sum(-1).mean())
print(f"{len(test)} squares, {64 * len(test):,} ranges, contrasts of {contrast:.2f}")
for name, a in (("means alone", mosaic), ("with copies", fixed)):
    print(f"{name}: {psnr(255 * a, photo):.2f} dB")
eye = np.s_[112:224, 128:240] if not SMALL else np.s_[:64, :64]
show(("the photograph", photo[eye]), ("means of ranges alone", mosaic[eye]), ("with copies of quarters", fixed[eye]))

# %% [markdown]
# ## A network with attention
#
# Which quarter does a range resemble? The answer is an inner product, and a network that takes inner products between
# parts of its input is *attention*. So a small network turns every range into a query and a mean colour, another turns
# every domain into a key, and the contrasts are their products, bounded so that the map contracts whatever the weights
# are.


# %%
def layers(*n):
    """A network of fully connected layers."""
    out = []
    for a, b in pairwise(n):
        out += [nn.Linear(a, b), nn.GELU()]
    return nn.Sequential(*out[:-1])


class Encoder(nn.Module):
    """Squares [N, 3, 32, 32] to collage codes."""

    def __init__(self, bound=0.9, width=96):
        super().__init__()
        self.bound = bound
        self.range, self.domain = layers(51, width, width, 3 + 48), layers(49, width, width, 48)

    def forward(self, x):
        ranges, domains, mean, domain_mean = blocks(x)
        size = domains.flatten(2).norm(dim=-1, keepdim=True) + 0.05
        key = self.domain(torch.cat([domains.flatten(2) / size, size.log()], -1))
        out = self.range(torch.cat([4 * ranges.flatten(2), 4 * (mean - 0.5)], -1))
        contrast = CollageCode.bounded(out[..., 3:] @ key.mT / 4, self.bound)
        return collage(contrast, 0.5 + out[..., :3] / 4, domain_mean)


print(f"{sum(p.numel() for p in Encoder().parameters()):,} weights")

# %% [markdown]
# ## Training by the collage theorem
#
# The quantity to minimise is the distance between the picture $x$ and the fixed point $x^*$. The theorem bounds it,
# $|x - x^*| \le |x - T x| / (1 - \ell)$, and $|x - T x|$ does not need the fixed point: apply the predicted map to the
# picture *once*, and measure the change. This is the whole loss. The factor $1 / (1 - \ell)$ makes the bound valid, but
# it is best left out of the loss: it penalises every contrast, even where it does no harm. Below are the loss without
# the factor, the loss with it, and for comparison the distance to the fixed point itself, differentiated through the
# decoder.

# %%
STEPS = 24 if SMALL else 3000
learn = squares(torch.from_numpy(ground).float() / 255)


def collage_loss(code, x):
    return (CollageMap(code, 32, 32).step(x) - x).square().mean()


def bound_loss(code, x):
    rate = code.contrast.abs().sum(-1).amax((1, 2, 3))
    return ((CollageMap(code, 32, 32).step(x) - x).square().mean((1, 2, 3)) / (1 - rate).square()).mean()


def fixed_point_loss(code, x):
    return (decode(code, 32, 32) - x).square().mean()


def fit(loss, steps, keep=(), seed=0):
    """Train; return the encoder, copies of it at the steps to keep, and PSNRs of the photograph during training."""
    torch.manual_seed(seed)
    net, order = Encoder(), torch.Generator().manual_seed(seed)
    adam = torch.optim.Adam(net.parameters())
    kept, curve = [], []
    for step in range(steps + 1):
        if step in keep:
            kept.append(copy.deepcopy(net))
        if step in (0, 5, 10, 20, 40, 80) or step % max(1, steps // 20) == 0:
            curve.append((max(step, 1), psnr(255 * joined(shown(net)), photo)))
        x = learn[torch.randint(len(learn), (32,), generator=order)]
        adam.param_groups[0]["lr"] = 2e-3 * min(1, (step + 1) / 50) * (1.01 - step / steps)
        adam.zero_grad()
        loss(net(x), x).backward()
        adam.step()
    return net, kept, curve


@torch.no_grad()
def shown(net, side=32):
    """Encode the photograph in one forward pass and decode it."""
    return decode(net(test), side, side)


fig, ax = plt.subplots(figsize=(6.6, 3.2), dpi=80)
for loss, label in ((fixed_point_loss, "fixed point"), (bound_loss, "bound"), (collage_loss, "one step of the map")):
    began = time.process_time()
    net, _, curve = fit(loss, STEPS // 4)
    each = 1000 * (time.process_time() - began) / (STEPS // 4)
    contrast = float(net(test).contrast.detach().abs().sum(-1).mean())
    ax.plot(*zip(*curve, strict=True), label=label)
    print(f"{label}: {curve[-1][1]:.2f} dB, contrasts of {contrast:.3f}, {each:.0f} ms a step")
for a in (mosaic, fixed):
    ax.axhline(psnr(255 * a, photo), color="#999999", linewidth=1)
ax.set(xscale="log", xlabel="step", ylabel="dB on the photograph", ylim=(12, 24.5))
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# The grey lines are the mosaic of means, and the search. Both the one-step loss and the fixed-point loss get above the
# mosaic, which requires copies. The bound never does, because it drives the contrasts to zero. One step of the map is
# the cheapest of the three. Now train four times as long, and look at the photograph during training:

# %%
columns = photo.shape[1] // 32
last = min(200, STEPS // 2)
moments = [0, *np.geomspace(max(1, last // 15), last, columns - 2).astype(int).tolist(), STEPS]
net, kept, curve = fit(collage_loss, STEPS, moments)
print(f"search {psnr(255 * fixed, photo):.2f} dB, one look {curve[-1][1]:.2f} dB")
panels = [(f"step {moments[k]}", joined(shown(kept[k]))) for k in (0, columns // 3, 2 * columns // 3, -1)]
show(*panels, ("search", fixed), height=1.8)

# %% [markdown]
# From landscapes, the network has learned which part of a face resembles which, and closes most of the gap between the
# mosaic and the search. This is not yet a file format: there are seven real numbers for sixteen pixels.
#
# ## Integers
#
# The package's `NeuralCollage` is made for files. Squares, quarters and contrasts are as above, with ranges of 8 x 8 in
# luma and 63 learned *patches* shared by all squares, so that a range can be described without copies. In between are
# integers:
#
# picture → *analysis* → numbers, **rounded** → *synthesis* → codes → fixed points.
#
# Both networks see neighbouring squares, so the synthesis can avoid seams in the code. The loss trades rate for
# distortion, rate + weight x squared error. The rate is the expected cost of the numbers under a learned prior, which
# depends on the magnitudes around each. The package does not start from a random network: its patches start as cosines
# and its networks as zero, which is a transform coder like JPEG, and a good one. `train` is the loop behind
# `fractalkit train`.

# %%
torch.manual_seed(0)
weight = 0.002  # bits per pixel for a squared error of one grey level
start = NeuralCollage(NeuralCollageConfig(weight=weight)).eval()
config = TrainConfig(
    steps=4 if SMALL else 720, batch=4, lr=2e-3, warmup=1 if SMALL else 50, final=0.02, decay=0.0, clip=1.0, ema=0.99,
    bf16=False, log_every=1 if SMALL else 20, valid_every=2 if SMALL else 40, valid_batch=3, save_minutes=0,
)  # fmt: skip
tiles = torch.from_numpy(photo).unfold(0, 64, 64).unfold(1, 64, 64).reshape(-1, 3, 64, 64).contiguous().numpy()
data, held_out = ImageSet(ground, 256, name="landscapes"), ImageSet(tiles, 256, name="photograph", split="valid")
with tempfile.TemporaryDirectory() as folder:
    run = Path(folder) / "run"
    print(train(copy.deepcopy(start), data, run, config, valid=held_out).reason)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    trained = from_pretrained(run / "last.safetensors")
learn_contexts(trained, ground[::8].transpose(0, 2, 3, 1))  # initial state of the entropy coder

# %%
fig, axes = plt.subplots(1, 2, figsize=(8.6, 2.9), dpi=80)
for kind, label in (("train", "landscapes"), ("valid", "the photograph")):
    some = [line for line in lines if line["kind"] == kind]
    axes[0].plot([v["step"] for v in some], [v["bpp"] for v in some], label=label)
    axes[1].plot([v["step"] for v in some], [v["loss"] for v in some], label=label)
axes[0].set(xlabel="step", ylabel="bits a pixel, expected", ylim=(0, 1.2))
axes[1].set(xlabel="step", ylabel="rate + weight x squared error", ylim=(0, 2.4))
axes[0].legend(frameon=False)
fig.tight_layout()
plt.show()
print({k: v for k, v in lines[-2].items() if k in ("kind", "step", "bpp", "psnr")})

# %% [markdown]
# ## Rate and distortion
#
# The size of the file decides. `encode_neural` runs the network once, rounds and codes; to meet a target rate, it tries
# a few steps of the quantiser. All bytes are counted, including the header. The weights are not counted, because
# encoder and decoder both have them. The network before and after training is compared with the three networks of the
# package (`nc_aerial_low`, `mid`, `high`), which were trained on aerial photographs for 12,000 to 20,000 steps, with
# the quadtree codec, which does search, and with JPEG.


# %%
def jpeg(a, bpp):
    """Return bytes and picture of Pillow's best JPEG of at most that rate, or None."""
    best = None
    for quality in range(1, 96):
        file = io.BytesIO()
        Image.fromarray(a).save(file, "jpeg", quality=quality, optimize=True, progressive=True)
        if 8 * len(file.getvalue()) <= bpp * a[..., 0].size:
            best = len(file.getvalue()), np.asarray(Image.open(file))
    return best


def neural(model):
    def coded(a, bpp):
        data = encode_neural(a, model=model, bpp=bpp).to_bytes()
        return len(data), fk.load(data).decode()

    return coded


def quadtree(a, bpp):
    data = fk.encode(a, bpp=bpp).to_bytes()
    return len(data), fk.decode(fk.load(data))


CODECS = {
    "JPEG": jpeg,
    "at its start": neural(start),
    "trained here": neural(trained),
    "the package's": neural("auto"),
    "quadtree": quadtree,
}
rates = (0.5, 1.0) if SMALL else (0.1, 0.15, 0.2, 0.3, 0.5)
fig, ax = plt.subplots(figsize=(6.6, 3.8), dpi=80)
pictures = {}
for name, codec in CODECS.items():
    points = []
    for bpp in rates:
        got = codec(photo, bpp)
        if got is not None:
            points.append((8 * got[0] / photo[..., 0].size, psnr(got[1], photo)))
            pictures[name, bpp] = got
    ax.plot(*zip(*points, strict=True), ".-", label=name)
    print(f"{name:13s}", "   ".join(f"{r:.3f} bpp {d:.2f} dB" for r, d in points))
ax.set(xlabel="bits a pixel of the whole file", ylabel="PSNR, dB")
ax.legend(frameon=False)
plt.show()

# %%
at = rates[1]
some = ("JPEG", "at its start", "trained here", "the package's", "quadtree")
face = np.s_[20:260, 90:290] if not SMALL else np.s_[:, :]
some = [(k, *pictures[k, at]) for k in some if (k, at) in pictures]
show(*[(f"{k}, {n:,} bytes", a[face]) for k, n, a in some], height=2.0)

# %% [markdown]
# On this portrait, two minutes of training on landscapes gain one decibel at 0.1 bits per pixel, three quarters at
# 0.15, and a third at 0.2: the network has learned how pictures continue across the borders of blocks, and the visible
# squares in the cheeks fade. From 0.3 on it is worse than before training, because it was trained for one rate, with
# half an octave of the quantiser's step to either side. The package's models, one for each of three rates, are better
# everywhere. The quadtree, which takes the time to search, is ahead of them by 0.4 to 1.2 dB. One forward pass does not
# give the best code, but it gives a good one immediately.
#
# ## The gain from copies, again
#
# The same weights with every contrast set to zero:

# %%
for name, net in (("trained here", trained), ("nc_aerial_low", from_pretrained("nc_aerial_low"))):
    plain = NeuralCollage(NeuralCollageConfig(**{**net.config.to_dict(), "rho": 0.0})).eval()
    plain.load_state_dict(net.state_dict())
    with torch.no_grad():
        numbers = net.parameters_of(torch.from_numpy(photo).permute(2, 0, 1)[None] / 255).round()
        a, b = (255 * m.synthesise(numbers).draw(14)[0].permute(1, 2, 0).clamp(0, 1).numpy() for m in (net, plain))
        contrast = float(net.synthesise(numbers).contrast.abs().sum(-1).mean())
    print(f"{name}: {psnr(a, photo):.2f} dB, without copies {psnr(b, photo):.2f} dB; contrasts of {contrast:.3f}")

# %% [markdown]
# The gain is zero. With 63 patches any range can be described, copies have nothing to add, and training reduces them to
# a fiftieth. Without patches, above, they gained 1.6 dB. Self-similarity is a strong prior for a code that has little
# else, and useless for a code that can describe everything. What the collage still provides is a picture of any size.
#
# ## A final picture
#
# The photograph as encoded by the copies-only network during training: twelve encoders, from step 0 on the left to the
# last step on the right, each for one column of squares, decoded at three times the size.

# %%
side = 32 if SMALL else 96
poster = torch.zeros(photo.shape[0] // 32, columns, 3, side, side)
for k, net in enumerate(kept):
    with torch.no_grad():
        poster[:, k] = decode(net(test.reshape(-1, columns, 3, 32, 32)[:, k]), side, side)
fig, ax = plt.subplots(figsize=(8.2, 9.57), dpi=80)
ax.imshow(joined(poster.flatten(0, 1)).clip(0, 1), interpolation="antialiased")
ax.axis("off")
fig.subplots_adjust(0, 0, 1, 1)
plt.show()

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # A prior over codes
#
# A generative model of pictures can be one of their collage codes: what it draws has every resolution. Here, a small
# network learns by flow matching (Lipman et al., 2023) to sample the codes of aerial photographs at 32 x 32 pixels, and
# the same network learns to sample the pixels themselves, for comparison.
#
# The codes are those of [codes_as_data.ipynb](codes_as_data.ipynb) on a grid of 8 x 8 ranges, one for each of Y, Cb and
# Cr: 27 numbers a range, 1,728 in all, against 3,072 pixels.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from fractalkit.data import load_images
from fractalkit.maps.collage import decode
from fractalkit.models.flow_prior import GridFlow, train_flow
from fractalkit.models.judge import frechet, picture_statistics
from fractalkit.models.on_codes import code_of, numbers, picture_codes
from fractalkit.raster.area import area_means

torch.set_num_threads(1)
SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # used by the tests
STEPS, WIDTH = (4, 16) if SMALL else (2000, 96)
GRID, SIDE, LARGE = 8, 32, 128
N_SAMPLES = 16 if SMALL else 200
TO_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def crops(split):
    """Crops of 128 x 128 pixels in [0, 1]."""
    if SMALL:
        noise = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(len(split)))
        return F.interpolate(noise, (LARGE, LARGE), mode="bicubic").clamp(0, 1)
    return torch.from_numpy(load_images("crops", split).images).float() / 255


def planes(x):
    """RGB to Y, Cb, Cr, each around 1/2."""
    return torch.einsum("ij,bjyx->biyx", TO_YCC, x - 0.5) + 0.5


def colours(x):
    """The inverse of planes, clipped."""
    return (torch.einsum("ij,bjyx->biyx", torch.linalg.inv(TO_YCC), x - 0.5) + 0.5).clamp(0, 1)


def to_codes(x):
    """RGB pictures to the numbers of their codes, ``[B, 27, 8, 8]``."""
    one = numbers(picture_codes(planes(x).flatten(0, 1)[:, None], GRID))
    return one.reshape(len(x), -1, GRID, GRID)


def from_codes(z, side):
    """Fixed points of codes at any size, RGB."""
    code = code_of(z.reshape(3 * len(z), -1, GRID, GRID))
    return colours(decode(code, side, side).reshape(len(z), 3, side, side))


def to_pixels(x):
    """RGB pictures to a grid of their pixels, ``[B, 48, 8, 8]``."""
    return F.pixel_unshuffle(planes(x), SIDE // GRID)


def from_pixels(z, side):
    """Back again, enlarged bicubically."""
    return F.interpolate(colours(F.pixel_shuffle(z, SIDE // GRID)), (side, side), mode="bicubic").clamp(0, 1)


data = {split: crops(split) for split in ("train", "valid")}
small = {split: area_means(x, SIDE, SIDE).float() for split, x in data.items()}
print({split: len(x) for split, x in data.items()}, "crops")

# %% [markdown]
# ## Training
#
# Both networks have four residual blocks of 96 channels on the grid of 8 x 8, and see the same number of pictures.

# %%
VIEWS = {"codes": (to_codes, from_codes), "pixels": (to_pixels, from_pixels)}
nets = {}
for name, (see, _) in VIEWS.items():
    x = torch.cat([see(part) for part in small["train"].split(500)])
    torch.manual_seed(0)
    nets[name] = net = GridFlow(x.shape[1], GRID, width=WIDTH)
    losses = train_flow(net, x, steps=STEPS)
    count = sum(p.numel() for p in net.parameters())
    print(f"{name:7s} {x.shape[1]} channels, {count:,} parameters, loss {np.mean(losses[-STEPS // 4 :]):.3f}")

# %% [markdown]
# ## Samples, at 32 and at 128 pixels
#
# The same samples twice: as large as the pictures of training, and four times that. Codes are drawn as fixed points,
# pixels are enlarged bicubically. Below them, held-out crops.

# %%
drawn = {}
for name, net in nets.items():
    z = torch.cat([net.sample(min(100, N_SAMPLES), steps=15, seed=s) for s in range(-(-N_SAMPLES // 100))])
    drawn[name] = {side: torch.cat([VIEWS[name][1](part, side) for part in z.split(50)]) for side in (SIDE, LARGE)}
real = {SIDE: small["valid"], LARGE: data["valid"]}
rows = [(n, s, drawn[n][s]) for n in nets for s in (SIDE, LARGE)] + [("held out", LARGE, real[LARGE])]
fig, axes = plt.subplots(len(rows), 10, figsize=(10, 5.4), dpi=110)
for line, (name, side, shown) in zip(axes, rows, strict=True):
    for ax, picture in zip(line, shown[:: max(1, len(shown) // 10)], strict=False):
        ax.imshow(picture.permute(1, 2, 0))
        ax.axis("off")
    line[0].set_title(f"{name}, {side}", fontsize=8, loc="left")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## How far from real pictures
#
# The Frechet distance of 18 simple features, each divided by its deviation over the held-out crops: mean and logarithm
# of the deviation of the three planes, and for luma at three scales the logarithms of the mean, the deviation and the
# largest value of its gradient, and of the mean of its Laplacian. It is comparable within this page only. A perfect
# prior would reach what the codes and the pixels keep: the fixed points of the codes of the held-out crops themselves,
# and these crops at 32 pixels, enlarged.

# %%
for side in (SIDE, LARGE):
    theirs = picture_statistics(real[side])
    spread = theirs.std(0)
    order = torch.randperm(len(theirs), generator=torch.Generator().manual_seed(0))
    one, other = (theirs[part] / spread for part in order.chunk(2))
    print(f"{side:4d} px: halves of the held-out crops {frechet(one, other):6.2f}")
    for name, (see, back) in VIEWS.items():
        kept = back(see(real[SIDE]), side)
        far = [frechet(picture_statistics(x) / spread, theirs / spread) for x in (drawn[name][side], kept)]
        print(f"         {name:7s} samples {far[0]:6.2f}, what the {name} keep {far[1]:6.2f}")

# %% [markdown]
# At the size of training the prior over pixels is the better one: the 27 numbers of a range depend on each other in
# ways that the small network has not learned after 2,000 steps, so neighbouring ranges differ in colour and the grid
# shows. At four times that size both are equally far from real pictures, for different reasons: codes could come much
# closer, as the fixed points of real pictures' codes do, while enlarged pixels lack fine detail and cannot. What is
# missing is a better prior, not a better code.

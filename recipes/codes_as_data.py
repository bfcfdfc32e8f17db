# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Codes as data
#
# A collage code describes a picture at every size by the same numbers. The authors of Neural Collages suggest to train
# deep models on such codes instead of pixels. Here, a small network classifies digits and clothes from codes alone, and
# the same network with about as many parameters classifies them from pixels.
#
# The codes are plain: 7 x 7 ranges, each a copy of the whole picture or of one of its quarters, whichever fits best,
# plus a constant and three cosines, all by least squares (`fractalkit.models.on_codes`). That is nine numbers a range,
# 441 in all, against 784 pixels.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from fractalkit.data import load_images
from fractalkit.errors import DataError
from fractalkit.maps.collage import decode
from fractalkit.models.on_codes import GridClassifier, accuracy, numbers, picture_codes, train_classifier

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # used by the tests
EPOCHS = 1 if SMALL else 4
N_TRAIN, N_TEST = (256, 100) if SMALL else (10_000, 2_000)


def drawn(split, n):
    """Squares, discs and crosses, where the data sets are not at hand."""
    rng = np.random.default_rng(0 if split == "train" else 1)
    y, x = np.mgrid[:28, :28] / 28
    out, labels = np.zeros((n, 1, 28, 28), np.float32), np.arange(n) % 3
    for k, label in enumerate(labels):
        (cy, cx), r = rng.uniform(0.35, 0.65, 2), rng.uniform(0.15, 0.3)
        dy, dx = abs(y - cy), abs(x - cx)
        shape = (np.maximum(dy, dx) < r, np.hypot(dy, dx) < r, (np.minimum(dy, dx) < r / 3) & (np.maximum(dy, dx) < r))
        out[k, 0] = shape[label]
    return torch.from_numpy(out), torch.from_numpy(labels)


def pictures(name, split, n):
    """Pictures in [0, 1] and their classes: the first n for training, n at even distances for a test."""
    if SMALL:
        return drawn(split, n)
    data = load_images(name, split)
    some = np.arange(n) if split == "train" else np.arange(n) * len(data) // n
    return torch.from_numpy(data.images[some]).float() / 255, torch.from_numpy(data.labels[some]).long()


def codes_of(x):
    """The codes of many pictures, as channels on the grid of ranges."""
    return torch.cat([numbers(picture_codes(part)) for part in x.split(1000)])


# %% [markdown]
# ## What a code keeps
#
# Digits, and the fixed points of their codes at 28 and at 196 pixels.

# %%
try:
    few, _ = pictures("mnist", "test", 8)
except DataError:  # no data set here and no network
    few, _ = drawn("test", 8)
code = picture_codes(few)
rows = [few, decode(code, 28, 28), decode(code, 196, 196)]
fig, axes = plt.subplots(3, 8, figsize=(8, 3.2), dpi=80)
for line, row in zip(axes, rows, strict=True):
    for ax, picture in zip(line, row, strict=True):
        ax.imshow(picture[0], cmap="gray", vmin=0, vmax=1)
        ax.axis("off")
fig.tight_layout()
plt.show()
error = float((rows[1] - few).square().mean())
most = float(code.lipschitz().max())
print(f"fixed point against the picture: {-10 * np.log10(error):.1f} dB; contrasts up to {most:.2f}")

# %% [markdown]
# ## The same network on codes and on pixels
#
# Two convolutions and a layer on a grid of 7 x 7. On pixels, each cell of the grid has the 16 pixels of its range; the
# numbers of parameters are within a tenth. Two variants of the codes show which numbers matter: *contrasts*
# leaves out everything but the copies, *constants* everything but the mean of each range.


# %%
def parameters(net):
    return sum(p.numel() for p in net.parameters())


def pixels_of(x):
    """Each range's 16 pixels as channels, the picture being averaged or enlarged to 28 x 28 before."""
    return F.pixel_unshuffle(x if x.shape[-1] == 28 else F.interpolate(x, (28, 28), mode="area"), 4)


VIEWS = {
    "pixels": (pixels_of, 16),
    "codes": (codes_of, 9),
    "contrasts alone": (lambda x: codes_of(x)[:, :5], 5),
    "constants alone": (lambda x: F.avg_pool2d(x, x.shape[-1] // 7), 1),
}
nets, table = {}, []
for name in ("shapes",) if SMALL else ("mnist", "fashion"):
    x, y = pictures(name, "train", N_TRAIN)
    tx, ty = pictures(name, "test", N_TEST)
    for view, (see, channels) in VIEWS.items():
        net = GridClassifier(channels, 16)
        train_classifier(net, see(x), y, epochs=EPOCHS)
        nets[name, view] = net
        table.append((name, view, parameters(net), accuracy(net, see(tx), ty)))
        print(f"{name:8s} {view:16s} {table[-1][2]:6,} parameters  {table[-1][3]:.2%}")

# %% [markdown]
# ## Test pictures of other sizes
#
# The test pictures at 28, 56 and 112 pixels, enlarged bicubically. *Codes* are fitted to each size anew. *Pixels* are
# averaged to 28 first, which is the best that can be done for them; *pixels as they are* shows the network the middle
# 28 x 28 of the larger picture, as a network that does not know the size would see it.

# %%
for name in ("shapes",) if SMALL else ("mnist", "fashion"):
    tx, ty = pictures(name, "test", N_TEST // 2)
    for side in (28, 56, 112):
        large = tx if side == 28 else F.interpolate(tx, (side, side), mode="bicubic").clamp(0, 1)
        a = (side - 28) // 2
        crop = large[..., a : a + 28, a : a + 28]
        scores = [
            accuracy(nets[name, "codes"], codes_of(large), ty),
            accuracy(nets[name, "pixels"], pixels_of(large), ty),
            accuracy(nets[name, "pixels"], pixels_of(crop), ty),
        ]
        own, averaged, middle = (f"{v:.2%}" for v in scores)
        print(f"{name:8s} {side:4d} px: codes {own}, pixels averaged {averaged}, as they are {middle}")

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Inverse problems with a code
#
# A compressed picture is the fixed point of a map, and the fixed point does not depend on the start of the iteration.
# So a noisy or damaged picture cannot be restored by *starting* from it: every start gives the same picture. Instead,
# the code itself has to be found from the known pixels,
#
# $$\min_{c}\ \sum_{i\ \mathrm{known}} (x(c)_i - y_i)^2 + \lambda\,R(c),$$
#
# where $x(c)$ is the fixed point of code $c$ and $R(c)$ its length in bits. Short codes cannot describe noise, and
# missing pixels are filled with what the shortest code predicts.

# %%
import os

import numpy as np
from matplotlib import cbook
from PIL import Image

from fractalkit.fit.quadtree import encode
from fractalkit.fit.restore import denoise, inpaint, noise_level
from fractalkit.maps.quadtree_picture import decode, mix, trace
from fractalkit.raster.picture import psnr
from fractalkit.render import show

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # used by the tests
side = 96 if SMALL else 288
with cbook.get_sample_data("grace_hopper.jpg") as f, Image.open(f) as image:
    photo = np.asarray(image)[40 : 40 + side, 120 : 120 + side].copy()

# %% [markdown]
# ## The start is forgotten
#
# In the plain partitioned IFS, every block is a copy of a larger block and nothing else. After a few steps, nothing is
# left of the start, whether it was noise or another picture.

# %%
code = encode(photo, quality=70, method="pifs")
noise = np.random.default_rng(0).integers(0, 256, photo.shape, np.uint8)
frames = list(trace(code, noise, 9))
show(
    ("start", frames[0]),
    ("1 step", frames[1]),
    ("3 steps", frames[3]),
    (f"9 steps, {psnr(photo, frames[9]):.1f} dB", frames[9]), height=3.4,
)  # fmt: skip

# %% [markdown]
# ## Noise
#
# The standard deviation $\sigma$ of white noise determines $\lambda$: the description length of picture and noise is
# $|x - y|^2 / 2\sigma^2 + R \ln 2$. Averaging over several shifts of the block grid removes block artefacts.

# %%
noisy = (photo + np.random.default_rng(1).normal(0, 20, photo.shape)).clip(0, 255).astype(np.uint8)
print(f"estimated noise {noise_level(noisy):.1f}")
clean = denoise(noisy, shifts=2 if SMALL else 8)
show(
    (f"noisy, {psnr(photo, noisy):.1f} dB", noisy),
    (f"denoised, {psnr(photo, clean):.1f} dB", clean), ("photograph", photo), height=3.4,
)  # fmt: skip

# %% [markdown]
# ## Missing pixels
#
# Three quarters of the pixels are missing. In each round, the gaps are filled with the picture of the current code, and
# the code is fitted again; $\lambda$ decreases, so large shapes come first.

# %%
known = np.random.default_rng(2).random(photo.shape[:2]) < 0.25
broken = np.where(known[..., None], photo, 0).astype(np.uint8)
filled = inpaint(broken, known, rounds=4 if SMALL else 40, finest=4)
show(
    ("one pixel in four", broken),
    (f"inpainted, {psnr(photo, filled):.1f} dB", filled),
    ("photograph", photo),
    height=3.4,
)

# %% [markdown]
# ## Mixing maps
#
# Two maps can be mixed, $(1 - w) T_a + w T_b$. Both contract, so the mixture does too. Its fixed point is a picture
# whose blocks are copies of parts *of itself*, chosen by both pictures. It is not the mean of the two.

# %%
other = encode(photo[::-1].transpose(1, 0, 2).copy(), quality=70, method="pifs")
ramp = np.broadcast_to(np.linspace(0, 1, photo.shape[1]), photo.shape[:2])
show(
    ("a", decode(code)),
    ("half and half", mix(code, other, 0.5)),
    ("from a to b", mix(code, other, ramp)),
    ("b", decode(other)), height=3.4,
)  # fmt: skip

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Ferns
#
# A fern is made of ferns: each frond is a smaller fern, bent to one side. In 1988, Barnsley described this with four
# affine maps; the fern is the only shape that these four maps leave unchanged. The code has about two dozen numbers.
# This notebook looks at the maps, interpolates between the codes of two ferns, and recovers a code from points.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch

from fractalkit.codes import preset
from fractalkit.codes.algebra import conjugate, interpolate
from fractalkit.codes.dimension import affinity_dimension
from fractalkit.fit import compare_clouds, fit_cloud, sampling_floor
from fractalkit.orbit import sample
from fractalkit.render import draw_ifs, show
from fractalkit.render.attractor import piece_colours, plane_window

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # used by the tests
HEIGHT = 120 if SMALL else 560
NAMES = ("barnsley-fern", "culcita-fern", "cyclosorus-fern", "fishbone-fern")
ferns = {name: preset(name) for name in NAMES}

drawn = [draw_ifs(f, size=(HEIGHT // 2, HEIGHT), points=1_500_000) for f in ferns.values()]
show(*drawn, titles=NAMES, height=5.2, dark=True)
for name, f in ferns.items():
    print(f"{name:16s} {len(f)} maps, {f.matrices.numel() + f.offsets.numel()} numbers and 4 weights, "
          f"largest norm {f.lipschitz():.3f}, affinity dimension {affinity_dimension(f):.2f}")  # fmt: skip

# %% [markdown]
# ## The maps
#
# Each map takes the whole fern to one piece of it, shown in a separate colour. The stem is a fern flattened to a line.
# The large map takes the fern to the fern without its stem and lowest fronds; the other two produce the lowest fronds.
# A point is coloured by its *address*, the sequence of maps that led to it: the last map sets the colour in the second
# picture, the second to last in the third, and so on. The frames in the first picture are the images of one frame
# around the whole fern.

# %%
fern = ferns["barnsley-fern"]
colours = piece_colours(fern)
orbit = sample(fern, 20_000 if SMALL else 150_000, seed=1, depth=4)
points, addresses = orbit.points.numpy(), orbit.addresses.numpy().astype(int)
low, high = (v.numpy() for v in plane_window(fern, (50, 100), margin=0.0))
box = np.array([[-2.2, 0], [2.7, 0], [2.7, 10], [-2.2, 10], [-2.2, 0]])
fig, axes = plt.subplots(1, 4, figsize=(10.4, 5.4), dpi=72)
for k, ax in enumerate(axes):
    if k == 0:
        ax.plot(*box.T, color="#999999", linewidth=1)
        for a, t, c in zip(fern.matrices.numpy(), fern.offsets.numpy(), colours, strict=True):
            image = box @ a.T + t
            ax.fill(*image.T, color=c, alpha=0.18)
            ax.plot(*image.T, color=c, linewidth=1.8)
            ax.scatter(*(points[::40] @ a.T + t).T, s=0.25, color=c)
    else:
        ax.scatter(*points.T, s=0.06, c=colours[addresses[:, k - 1]])
    ax.set(xlim=(-2.9, 3.2), ylim=(-0.5, 10.5), aspect="equal")
    ax.set_title(("four maps", "the last map", "the last but one", "the one before")[k], fontsize=10)
    ax.axis("off")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## From one fern to another
#
# Two codes with four maps each are two points in the same space, and `interpolate` moves between them. Offsets and
# weights are interpolated linearly, the linear parts by rotation and stretch, so that fronds turn and do not collapse.
# All codes in between are contractive, so each has a fern-like attractor. First, `conjugate` scales both ferns to the
# same height; it transforms the attractor and changes nothing else.


# %%
def upright(code):
    """Scale the fern to height one and move its base to the origin."""
    y = sample(code, 50_000).points.double()[:, 1]
    scale = 1 / float(y.max() - y.min())
    return conjugate(code, scale * torch.eye(2).double(), torch.tensor([0.0, -scale * float(y.min())]).double())


a, b = upright(ferns["barnsley-fern"]), upright(ferns["cyclosorus-fern"])
steps = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
way = [interpolate(a, b, t) for t in steps]
h = HEIGHT * 4 // 5
drawn = [draw_ifs(f, size=(h * 2 // 5, h), points=1_000_000) for f in way]
show(*drawn, titles=[f"{t:g}" for t in steps], height=4.6, dark=True)
print("largest norms on the way:", "  ".join(f"{f.lipschitz():.3f}" for f in way))

# %% [markdown]
# ## The inverse problem
#
# Now discard the code and keep only points. `fit_cloud` gets the points of a fern and the number of maps. How good can
# a fit be? Even two samples of the same fern differ. Their distance is the *sampling floor*; a fit that reaches it
# cannot be told from the data at this number of points.

# %%
cloud = sample(ferns["barnsley-fern"], 500 if SMALL else 3000, seed=3).points
found = fit_cloud(cloud, maps=4, effort=0 if SMALL else 2, seed=0)
floor = sampling_floor(cloud)
rows = {
    "sampling floor": floor,
    "fit": compare_clouds(sample(found, len(cloud), seed=4).points, cloud),
    "true code": compare_clouds(sample(ferns["barnsley-fern"], len(cloud), seed=5).points, cloud),
    "another fern": compare_clouds(sample(ferns["culcita-fern"], len(cloud), seed=5).points, cloud),
}
print("shares of the diagonal   Chamfer   Hausdorff")
for name, r in rows.items():
    print(f"{name:22s} {100 * r.chamfer:8.3f} % {100 * r.hausdorff:8.2f} %")
print(f"Chamfer of the fit over the floor: {rows['fit'].chamfer / floor.chamfer:.3f}")
for label, code in (("true", ferns["barnsley-fern"]), ("found", found)):
    order = np.argsort(-code.norms().numpy())
    print(f"{label:6s} norms", "  ".join(f"{code.norms()[k]:.3f}" for k in order))

# %%
h = HEIGHT * 9 // 10
own = {"points": 20_000 if SMALL else 400_000}
fig, axes = plt.subplots(1, 3, figsize=(8.4, 5.2), dpi=72)
dense = sample(found, own["points"], seed=1, depth=1)
pieces = piece_colours(found)[dense.addresses.numpy()[:, 0].astype(int)]
axes[0].scatter(*cloud.T, s=0.6, color="#1b4332")
axes[1].scatter(*dense.points.T, s=0.02, color="#1b4332")
axes[2].scatter(*dense.points.T, s=0.02, c=pieces)
for ax, title in zip(axes, (f"{len(cloud)} points", "the code found, more points", "its four maps"), strict=True):
    ax.set(xlim=(-2.9, 3.2), ylim=(-0.5, 10.5), aspect="equal")
    ax.set_title(title, fontsize=10)
    ax.axis("off")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## A final picture
#
# A bed of ferns: codes interpolated between all four, each moved and tilted with `conjugate`, and drawn together. The
# ferns in the background are smaller and darker.

# %%
rng = np.random.default_rng(12)
kinds = [upright(f) for f in ferns.values()]
W, H = (240, 120) if SMALL else (1100, 560)
canvas = np.zeros((H, W, 3))
canvas[:] = np.linspace(0.025, 0.05, H)[:, None, None] * np.array([0.55, 0.9, 1.0])
greens = plt.cm.YlGn(np.linspace(0.25, 0.75, 256))[:, :3]
count = 8 if SMALL else 46
for i in range(count):
    near = (i / (count - 1)) ** 1.4
    p, q = rng.choice(4, 2, p=[0.4, 0.25, 0.2, 0.15])
    code = interpolate(kinds[p], kinds[q], float(rng.random()))
    lean, size = float(rng.normal(0, 0.3)), (0.32 + 0.6 * near) * float(rng.uniform(0.8, 1.05)) * H
    c, s = np.cos(lean), np.sin(lean)
    mirror = np.diag([rng.choice([-1, 1]), 1.0])
    x = sample(code, 5000 if SMALL else int(40_000 + 210_000 * near), seed=i).points.numpy() @ mirror
    x = size * x @ np.array([[c, s], [-s, c]]) + [rng.uniform(-0.03, 1.03) * W, -0.06 * H * near]
    inside = (x[:, 0] >= 0) & (x[:, 0] < W) & (x[:, 1] >= 0) & (x[:, 1] < H)
    j, k = x[inside].astype(int).T
    mass = np.zeros((H, W))
    np.add.at(mass, (H - 1 - k, j), 1.0)
    cover = 1 - np.exp(-mass / (0.6 + 1.8 * near))
    tint = greens[int(rng.integers(256))] * (0.16 + 0.84 * near) * np.array([0.75 + 0.25 * near, 1, 1.15 - 0.35 * near])
    canvas = canvas * (1 - cover[..., None]) + cover[..., None] * tint * (0.55 + 0.45 * cover[..., None])
fig = plt.figure(figsize=(W / 100, H / 100), dpi=100)
ax = fig.add_axes((0, 0, 1, 1))
ax.imshow(np.clip(canvas, 0, 1) ** (1 / 1.25))
ax.axis("off")
plt.show()

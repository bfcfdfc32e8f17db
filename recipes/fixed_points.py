# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Data as a fixed point
#
# A contraction is a map that brings any two points closer together. It has exactly one fixed point: start anywhere,
# apply the map again and again, and the iterates converge to that point. The map therefore determines the point: store
# the map, and compute the point when it is needed. This notebook does so with a number, with a point in the plane, and
# with a photograph. FractalKit applies the same idea to clouds, pictures and samples of networks.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib import cbook
from PIL import Image

from fractalkit.codes.collage import CollageCode
from fractalkit.core import IteratedMap, collage_bound, solve
from fractalkit.maps.collage import CollageMap, decode
from fractalkit.render import show

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # used by the tests

# %% [markdown]
# ## A number
#
# The datum is 0.7. A map $x \mapsto a x + b$ with $|a| < 1$ has it as its fixed point if $b = (1 - a)\,0.7$. The number
# $a$ is free: its magnitude sets the rate of convergence, and its sign decides whether the iterates approach from one
# side or alternate between both.

# %%
datum = 0.7
fig, axes = plt.subplots(1, 2, figsize=(8, 4), dpi=75)
for ax, a in zip(axes, (0.6, -0.75), strict=True):
    b = (1 - a) * datum
    ax.plot([0, 1.4], [0, 1.4], color="#999999", linewidth=1)
    ax.plot([0, 1.4], [b, 1.4 * a + b], color="#1b4965", linewidth=2)
    for x, colour in ((0.04, "#e07a5f"), (1.36, "#3d9970")):
        way = [(x, x)]
        for _ in range(25):
            y = a * x + b
            way += [(x, y), (y, y)]
            x = y
        ax.plot(*zip(*way, strict=True), color=colour, linewidth=1)
        print(f"a = {a:5.2f}, b = {b:.3f}: from {way[0][0]:.2f}, after 25 steps {x:.6f}")
    ax.plot(datum, datum, "o", color="#1b4965", markersize=7)
    ax.set(title=f"x → {a:g} x + {b:.3g}", xlim=(0, 1.4), ylim=(0, 1.4), aspect="equal")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## A point in the plane
#
# The same with complex numbers. Now $a$ rotates as well, and every start spirals into the datum. In FractalKit this is
# an `IteratedMap`: a step, a metric, and a proven Lipschitz constant. `solve` needs nothing else. The collage theorem
# bounds the distance of any $x$ from the fixed point, from one step of the map alone:
# $|x - x^*| \le |x - T x| / (1 - |a|)$.


# %%
class Spiral(IteratedMap):
    """z -> a z + b."""

    def __init__(self, a, b):
        self.a, self.b = a, b

    def step(self, x):
        return self.a * x + self.b

    def start(self):
        return torch.zeros(1, dtype=torch.complex128)

    def distance(self, x, y):
        return (x - y).abs()

    def lipschitz(self):
        return torch.tensor([abs(self.a)], dtype=torch.float64)


point = 0.3 + 0.2j
a = 0.93 * np.exp(0.45j)
spiral = Spiral(a, (1 - a) * point)
solution = solve(spiral, tol=1e-9)
print(f"{solution.value[0].item():.9f} {solution.message}, error at most {float(solution.error_bound[0]):.1e}")
far = torch.tensor([5.0 - 3.0j], dtype=torch.complex128)
print(f"from {far[0].item()}: {float((far - point).abs()):.3f} away, at most {float(collage_bound(spiral, far)):.3f}")

# %%
starts = point + 1.6 * np.exp(2j * np.pi * np.arange(24) / 24)
ways = np.array([point + (starts - point) * a**k for k in np.linspace(0, 60, 900)])  # the steps, interpolated
fig, ax = plt.subplots(figsize=(5.2, 5.2), dpi=64, facecolor="#0d1321")
for k in range(ways.shape[1]):
    ax.plot(ways[:, k].real, ways[:, k].imag, color=plt.cm.twilight(k / 24), linewidth=1.1, alpha=0.9)
ax.plot(point.real, point.imag, "o", color="white", markersize=4)
ax.set_aspect("equal")
ax.axis("off")
plt.show()

# %% [markdown]
# ## A picture
#
# A picture of 729 x 729 pixels is a point in a space of 729 x 729 x 3 dimensions. The map is a *collage*: divide the
# picture into ranges; fill each range with the whole picture, reduced, with its contrast scaled by $s$ and a brightness
# $o$ added. The values of $s$ and $o$ solve a small least-squares problem per range: the collage of the photograph
# should be as close as possible to the photograph.

# %%
side = 81 if SMALL else 729
with cbook.get_sample_data("grace_hopper.jpg") as f, Image.open(f) as image:
    crop = image.crop((105, 15, 425, 335))


def sized(n):
    """The photograph at n x n pixels: ``[1, 3, n, n]`` in [0, 1]."""
    return torch.from_numpy(np.asarray(crop.resize((n, n), Image.LANCZOS)) / 255.0).permute(2, 0, 1)[None]


photo = sized(side)


def collage_of(x, g, contrasts=(-0.9, 0.9)):
    """Find the code of g x g ranges whose collage is closest to x, with the same contrasts for all three colours."""
    n = x.shape[-1] // g
    whole = torch.nn.functional.avg_pool2d(x, g)  # the domain, on n x n pixels
    ranges = x.reshape(1, 3, g, n, g, n).permute(0, 1, 2, 4, 3, 5)  # [1, 3, g, g, n, n]
    d = whole - whole.mean((2, 3), keepdim=True)
    s = (ranges * d[:, :, None, None]).sum((1, -1, -2)) / (d**2).sum()
    s = s.clamp(*contrasts)[:, None]  # [1, 1, g, g]
    o = ranges.mean((-1, -2)) - s * whole.mean((2, 3), keepdim=True)
    return CollageCode(s[..., None], o, x.new_zeros(1, 1, g, g, 0), x.new_zeros(0, 1, 1, 1), continuous=False)


coarse = collage_of(photo, 9)
operator = CollageMap(coarse, side, side)
only_o = CollageCode(0 * coarse.contrast, coarse.brightness, coarse.mixing, coarse.patches, continuous=False)
copies = CollageCode(coarse.contrast, 0 * coarse.brightness, coarse.mixing, coarse.patches, continuous=False)
show(
    ("x, the photograph", photo),
    ("its 81 copies, scaled by s", 0.5 + CollageMap(copies, side, side).step(photo - 0.5)),
    ("the brightness o", CollageMap(only_o, side, side).step(photo)),
    ("T x, their sum", operator.step(photo)),
)

# %% [markdown]
# ## From any start
#
# The start of the iteration does not matter. After one step there are 81 small copies of the start, after two steps
# 6561 fainter copies with a side of nine pixels. After three steps each copy is one pixel and almost invisible. What
# remains is the one picture that the map leaves unchanged.

# %%
generator = torch.Generator().manual_seed(0)
noise = torch.rand(photo.shape, generator=generator, dtype=torch.float64)
y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
rings = torch.stack([(torch.cos(14 * (x**2 + y**2) + shift) + 1) / 2 for shift in (0, 1, 2)])[None].double()
fig, axes = plt.subplots(2, 4, figsize=(10.4, 5.8), dpi=56)
for row, start in zip(axes, (rings, noise), strict=True):
    z = start
    for k, ax in enumerate(row):
        ax.imshow(z[0].permute(1, 2, 0).clamp(0, 1), interpolation="lanczos")
        ax.set_title("any start" if k == 0 else f"{k} step{'s' * (k > 1)}", fontsize=9)
        ax.axis("off")
        z = operator.step(z)
fig.tight_layout()
plt.show()

# %% [markdown]
# ## How large is the error?
#
# In the maximum norm, this map contracts by $\ell = \max |s|$, so the error falls at least as fast as $\ell^n$. The
# collage theorem gives more: after a step from $x$ to $T x$ the error is at most $\ell / (1 - \ell)\,|x - T x|$. This
# bound does not need the fixed point, and `solve` uses it to decide when to stop. Here it is compared with the true
# error.

# %%
exact = decode(coarse, side, side)
true, bound = [], []


def watch(step):
    """Record the error and its bound."""
    true.append(float((step.x - exact).abs().max()))
    bound.append(float(step.error_bound[0]))


found = solve(operator, noise, tol=1e-9, callback=watch)
print(found.message, f"of a map with l = {float(operator.lipschitz()):.3f}")
for k in (0, 1, 2, len(true) // 2, len(true) - 1):
    print(f"step {k + 1:3d}: error {true[k]:.2e}, proven {bound[k]:.2e}")
fig, ax = plt.subplots(figsize=(6.4, 3.4), dpi=80)
steps = np.arange(1, len(true) + 1)
ax.semilogy(steps, bound, color="#e07a5f", label="proven by the collage theorem")
ax.semilogy(steps, np.maximum(true, 1e-16), color="#1b4965", label="true error")
ax.set(xlabel="step", ylabel="largest difference of pixels")
ax.legend(frameon=False)
fig.tight_layout()
plt.show()
best = float((photo - exact).abs().mean())
print(f"the photograph and the fixed point differ by {best:.3f} on average")

# %% [markdown]
# With 81 ranges the fixed point resembles the photograph only roughly, although it is exactly what its code describes.
# The theorem has a second use: it bounds the distance between the *photograph* and the fixed point by how far the map
# moves the photograph. So it is enough to make the collage good, and this is how codes are found.
#
# ## A final picture
#
# More ranges, and contrasts that are large enough to see: a portrait made of 2025 portraits. It has no pixels of its
# own. Decoded four times larger, in a window around an eye, it shows the copies, each of which is made of 2025 copies.

# %%
parts, scale = (9, 1) if SMALL else (45, 4)
fine = collage_of(sized(18 * parts), parts, contrasts=(0.45, 0.75))
side = parts * parts
whole = decode(fine, side, side)
large = scale * side
w = min(6, parts // 2) * large // parts
y0, x0 = ((round(v * parts) * large // parts) for v in (0.43, 0.29))
near = decode(fine, large, large, window=(x0, y0, x0 + w, y0 + w))
fig, axes = plt.subplots(1, 2, figsize=(11.4, 5.66), dpi=63, facecolor="#111111")
for ax, picture in zip(axes, (whole, near), strict=True):
    ax.imshow(picture[0].permute(1, 2, 0).clamp(0, 1), interpolation="antialiased")
    ax.axis("off")
axes[0].add_patch(plt.Rectangle((x0 / scale, y0 / scale), w / scale, w / scale, fill=False, color="white"))
fig.subplots_adjust(0, 0, 1, 1, 0.015, 0)
plt.show()

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # A bunny of bunnies
#
# A scan of a bunny is no fractal: no part of it looks like the whole. A photograph is none either, and yet fractal
# compression stores photographs. Jacquin's idea of 1989 was to copy not the whole, but *parts* onto smaller parts. This
# notebook does the same with a cloud of points. The bunny is cut into cells, and each cell becomes an affine copy of a
# larger piece of the same bunny. The maps alone then determine the cloud, at any density.
#
# The bunny of this notebook is defined by a formula, and comes with the package. A scan of your own is read by
# `fractalkit.data.load_cloud`.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from fractalkit.data.figures import rabbit
from fractalkit.fit import compare_clouds, copies_of_whole, fit_cloud_collage
from fractalkit.maps.cloud import CloudMap
from fractalkit.orbit import even, sample
from fractalkit.render import Camera, draw_cloud, show

SMALL = bool(os.environ.get("FRACTALKIT_SMALL"))  # used by the tests
POINTS = 2_000 if SMALL else 100_000
COMPARED = 2_000 if SMALL else 20_000
HEIGHT = 90 if SMALL else 460
DENSE = 6_000 if SMALL else 150_000
points, colours = rabbit(POINTS, seed=1)
camera = Camera.frame(points, (HEIGHT * 4 // 5, HEIGHT), azimuth=35, elevation=12)


def picture(x, rgb=None, view=camera):
    """Draw a cloud; all pictures of this notebook have the same camera."""
    return draw_cloud(x, rgb, size=(HEIGHT * 4 // 5, HEIGHT), camera=view)


show(
    picture(points[:COMPARED]), picture(points), picture(points, colours),
    titles=[f"{COMPARED:,} points", f"{POINTS:,} points", "and their colours"], height=5.0, dark=True,
)  # fmt: skip

# %% [markdown]
# ## Parts as copies of larger parts
#
# `fit_cloud_collage` splits the cloud where it pays, searches for every cell a larger piece and an affine map that fits
# it onto the cell, and then moves the maps so that the attractor itself comes nearer to the cloud. The code has for
# each of its *ranges* $r$ a matrix $A_r$, an offset $b_r$, and a *domain* $D_r$, a set of ranges. The cloud is the
# solution of
#
# $$X_r = A_r \bigcup_{s \in D_r} X_s + b_r ,$$
#
# one equation for every range. Barnsley, Elton and Hardin called this a *recurrent*, Mauldin and Williams a
# *graph-directed* iterated function system. An ordinary one is the case in which every domain is the whole.

# %%
code = fit_cloud_collage(points, maps=16 if SMALL else 256, colours=colours, seed=0)
drawn = sample(code, DENSE, seed=2, depth=1, colours=True)
ranges = drawn.addresses[:, 0].numpy()
hues = np.random.default_rng(3).permutation(len(code)) / len(code)
palette = plt.cm.twilight_shifted(0.12 + 0.76 * hues)[:, :3]

# a large range with a large domain, on the side that one sees
place = drawn.points.double().numpy() - drawn.points.double().numpy().mean(axis=0)
mass = np.concatenate([[0], np.cumsum(code.weights.numpy())])
middle = np.stack([place[ranges == r].mean(axis=0) for r in range(len(code))]) @ -camera.basis()[2]
shares, domains = mass[code.domains[:, 1]] - mass[code.domains[:, 0]], code.domains.numpy()
seen = np.array([middle[first:last].mean() for first, last in domains])
chosen = int(np.argmax(code.weights.numpy() * shares * (middle > 0.25) * (seen > 0.15) * (shares < 0.25)))
first, last = domains[chosen]
marked = np.full((len(ranges), 3), 0.32)
marked[(ranges >= first) & (ranges < last)] = (0.95, 0.66, 0.28)
marked[ranges == chosen] = (0.36, 0.75, 0.95)
show(
    picture(drawn.points, drawn.colours), picture(drawn.points, palette[ranges]), picture(drawn.points, marked),
    titles=[f"the attractor of {len(code)} maps", "its ranges", "one range (blue), and the domain it copies (orange)"],
    height=5.0, dark=True,
)  # fmt: skip
print(f"{len(code)} maps, Lipschitz constant {code.lipschitz():.3f}, largest norm {float(code.norms().max()):.3f}")

# %% [markdown]
# ## From any start
#
# The map of the whole system is a contraction, so the start does not matter: here, all points begin at a single place.
# `CloudMap` is the operator on a fixed number of points. Each point knows of which other point it is the copy.

# %%
operator = CloudMap.stratified(code, max(DENSE // 5, len(code)))
x = operator.start()
steps, pictures, titles = (1, 2, 4, 12), [], []
for k in range(61):
    if k in steps:
        pictures.append(picture(x, palette[operator.ranges.numpy()]))
        titles.append(f"{k} step{'s' * (k > 1)}")
    before, x = x, operator.step(x)
show(*pictures, titles=titles, height=3.9, dark=True)
moved = float(operator.distance(x, before)[0])
print(f"after 60 steps, a step moves no point by more than {moved:.1e}, in the metric in which it contracts")

# %% [markdown]
# ## More maps
#
# The distances below are between *independent* samples: the attractor's points against points of the bunny that the fit
# has not seen. Two samples of the bunny itself have a distance too, the floor. A ratio of 1 cannot be told from the
# bunny, at this number of points.
#
# Between the ranges there are gaps. Each map is fitted to the points of its cell, and no map knows of its neighbours.

# %%
test, again = (rabbit(COMPARED, seed=s)[0] for s in (11, 12))
floor = compare_clouds(again, test, points=None)
pictures, titles = [], []
for maps in (4, 16) if SMALL else (16, 64, 256, 1024):
    fitted = fit_cloud_collage(points, maps=maps, colours=colours, seed=0)
    got = compare_clouds(sample(fitted, COMPARED, seed=3).points, test, points=None)
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(Path(folder) / "bunny.safetensors")
        size = (Path(folder) / "bunny.safetensors").stat().st_size
    print(f"{maps:5,} maps: Chamfer {got.chamfer / floor.chamfer:.2f} times its floor, F-score at 1 % {got.fscore:.3f} "
          f"(floor {floor.fscore:.3f}), {size:,} bytes")  # fmt: skip
    dense = even(fitted, DENSE, colours=True)
    pictures.append(picture(dense.points, dense.colours))
    titles.append(f"{maps:,} maps")
show(*pictures, titles=titles, height=3.9, dark=True)

# %% [markdown]
# ## Any density
#
# The points that were fitted lie far apart when one looks closely. The attractor has as many points as one asks for.
# What fills the gaps is not the true bunny, of which the code knows nothing at this scale, but small copies of larger
# parts of it, which are made of copies in turn.

# %%
near = Camera.frame(points[points[:, 2] > 0.75], (HEIGHT * 4 // 5, HEIGHT), azimuth=35, elevation=12)
many = sample(fitted, DENSE if SMALL else 20 * DENSE, seed=5, colours=True)
head = np.asarray(many.points[:, 2]) > 0.7
few = points[:, 2] > 0.7
show(
    picture(points[few], colours[few], near),
    picture(many.points.numpy()[head], many.colours.numpy()[head], near),
    titles=[f"{POINTS:,} points, as fitted", f"{len(head):,} points of the attractor"], height=5.0, dark=True,
)  # fmt: skip

# %% [markdown]
# ## The skin of another
#
# A code is data, and can be edited. Here the maps are those of the collage, but every range is told to copy the *whole*
# bunny into its cell: with $X = \bigcup X_r$, the domain of each range becomes all ranges, and a map brings the box of
# the whole onto the box of the cell. Now it really is a bunny made of bunnies.


# %%
few_ranges = fit_cloud_collage(points, maps=16 if SMALL else 300, seed=0)
cells = sample(few_ranges, DENSE, seed=6, depth=1)
bunnies = copies_of_whole(cells.points, cells.addresses[:, 0], size=1.25)
tint = sample(bunnies, 10 * DENSE, seed=7, depth=1)
show(
    picture(tint.points, palette[tint.addresses[:, 0].numpy() % len(palette)]), picture(tint.points, None, near),
    titles=[f"a bunny of {len(bunnies)} bunnies", "its head"], height=5.0, dark=True,
)  # fmt: skip

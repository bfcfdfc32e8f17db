"""The compiled loop and its plain twin draw the same distribution, variation by variation."""

import numpy as np
import pytest

from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_parts import KNOWN, Xform
from fractalkit.orbit import flame as orbit_flame
from fractalkit.orbit import flame_plain
from fractalkit.orbit.flame import accumulate

SIZE, ACROSS, TILES = 12, 4, 8
ORDER = [str(n) for n in np.random.default_rng(22).permutation(sorted(KNOWN))]
GROUPS = [ORDER[i : i + TILES] for i in range(0, len(ORDER), TILES)]


def tiled(names: list[str]) -> Flame:
    """A flame whose i-th map has one variation and puts its image, of radius two, into the i-th tile."""
    rng = np.random.default_rng(5)
    xforms = []
    for i, name in enumerate(names):
        x, y = i % ACROSS - (ACROSS - 1) / 2, i // ACROSS - 0.5
        t, s = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 0.9)
        coefs = (s * np.cos(t), s * np.sin(t), -s * np.sin(t), s * np.cos(t), *rng.uniform(-0.3, 0.3, 2))
        post = (0.25, 0.0, 0.0, 0.25, x, y)
        xforms.append(Xform(1.0, coefs=coefs, post=post, variations={name: 0.7}))
    size = (SIZE * ACROSS, SIZE * 2)
    return Flame(size=size, center=(0.0, 0.0), scale=float(SIZE), xforms=tuple(xforms))


@pytest.fixture(autouse=True, params=[0, 1 << 40], ids=["compiled", "instructions"])
def _both_loops(request, monkeypatch):
    """Every test has the loop of the flame's own, and that which looks up its instructions."""
    monkeypatch.setattr(orbit_flame, "FEW", request.param)


@pytest.fixture(autouse=True)
def _few_chains(monkeypatch):
    """As many as the loop has, so that both are as far from their starts."""
    monkeypatch.setitem(flame_plain.CHAINS, "cpu", 160)


def shares(flame: Flame, seed: int, plain: bool) -> np.ndarray:
    """Share of the samples in each cell of each tile ``[TILES, SIZE^2]``; what falls outside is missing."""
    n = 160_000
    h = accumulate(flame, n, seed=seed, threads=1, plain=plain)[..., 3] / n
    return h.reshape(2, SIZE, ACROSS, SIZE).transpose(0, 2, 1, 3).reshape(TILES, -1)


def compare(names: list[str]) -> None:
    flame = tiled(names)
    loop = [shares(flame, s, False) for s in (1, 2)]
    twin = [shares(flame, s, True) for s in (1, 2)]
    apart = np.abs((loop[0] + loop[1]) - (twin[0] + twin[1])).sum(1) / 2
    noise = np.maximum(np.abs(loop[0] - loop[1]).sum(1), np.abs(twin[0] - twin[1]).sum(1)) / 2
    for name, a, b in zip(names, apart, noise, strict=False):
        assert a <= 1.8 * b + 0.004, (name, float(a), float(b))


def test_three_variations():
    compare(["disc", "julian", "bubble"])


@pytest.mark.exhaustive
@pytest.mark.parametrize("group", range(len(GROUPS)))
def test_all_variations(group):
    compare(GROUPS[group])


@pytest.mark.parametrize("signs", [(-1, -1), (1, -1)])
def test_an_orbit_that_runs_into_the_origin(signs):
    """disc, linear and bubble without a translation: on the axes what comes next depends on the signs of zeros."""
    variations = {"linear": 0.43, "disc": 1.0, "bubble": 0.2}
    maps = (
        Xform(1.0, coefs=(0.6 * signs[0], 0.0, 0.0, 0.9 * signs[1], 0.0, 0.0), variations=variations),
        Xform(0.3, coefs=(0.7, 0.0, 0.0, 0.7, 0.2, 0.0), variations={"linear": 1.0}),
    )
    flame = Flame(size=(12, 12), center=(0.0, 0.0), scale=6.0, xforms=maps)
    a, b = (accumulate(flame, 200_000, seed=3, threads=1, plain=p)[..., 3].ravel() / 200_000 for p in (False, True))
    assert np.abs(a - b).sum() < 0.05

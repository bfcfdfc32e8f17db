"""Flames drawn from instructions: the same numbers and distributions as the plain twin."""

import numpy as np
import pytest
import torch

from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_parts import KNOWN, Xform
from fractalkit.codes.variation_list import catalogue
from fractalkit.codes.variation_text import read_variations
from fractalkit.maps.variation_code import find
from fractalkit.maps.variation_ops import MAX_DEPTH, PAINTED, Assembler, assemble
from fractalkit.orbit.flame import accumulate
from fractalkit.orbit.flame_machine import execute
from fractalkit.orbit.flame_ops import instructions
from fractalkit.orbit.flame_plain import PlainFlame, _unpainted
from tests.orbit.test_flame import strange

POINTS = 200
ORDER = [str(n) for n in np.random.default_rng(7).permutation(sorted(KNOWN))]


def run(flame: Flame, points: np.ndarray, place: int = 0) -> np.ndarray:
    told = instructions(flame)
    table = told.registers(points.shape[1])
    table[:4] = points
    state = np.arange(points.shape[1]).astype(np.uint64)
    turns = np.zeros(MAX_DEPTH, np.int64)
    n = points.shape[1]
    execute(told.code, told.scalars, table.ravel(), n, turns, state, 0, n, int(told.starts[place]))
    return table


def differences(name: str, place: str, space: bool) -> None:
    """Compare a map with a variation that draws no random numbers, point by point."""
    found = catalogue().find(place + name)
    if found is None or found[1].program.draws:
        return
    if found[1].before and find(found[1].before).program.draws:
        return
    spelled = str(catalogue().spelled(place + name))
    rng = np.random.default_rng([len(name), space])
    parameters = {f"{spelled}_{p}": v + float(rng.choice([0, 0.3])) for p, v in found[1].parameters.items()}
    x = Xform(
        1.0, 0.3, 0.4, coefs=(0.8, 0.3, -0.2, 0.9, 0.1, -0.2), post=(0.9, 0.1, 0.0, 0.8, 0.1, 0.2),
        variations={"sinusoidal": 0.3, spelled: 0.7}, parameters=parameters,
    )  # fmt: skip
    flame = Flame(xforms=(x,), cam_pitch=0.3 if space else 0.0)
    points = rng.normal(size=(4, POINTS))
    points[3] = rng.random(POINTS)
    if not flame.in_space():
        points[2] = 0
    twin = PlainFlame(flame, torch.Generator().manual_seed(1), device=torch.device("cpu"))
    theirs = [t.numpy() for t in twin.xform(x, *(torch.from_numpy(p) for p in points))]
    ours = run(flame, points)
    theirs[3], paint = (t.numpy() for t in _unpainted(torch.from_numpy(theirs[3])))
    assert (paint == ours[PAINTED]).mean() > 0.98, spelled
    for i in (0, 1, 2, 3) if flame.in_space() else (0, 1, 3):
        a, b = theirs[i], ours[i]
        wild = [~np.isfinite(v) | (np.abs(v) > 1e10) for v in (a, b)]
        close = np.isclose(a, b, rtol=1e-5, atol=1e-7) | (wild[0] & wild[1])
        assert (~close).mean() <= 0.02, (spelled, space, i, points[:, ~close][:, 0], a[~close][0], b[~close][0])
    if found[1].program.hides:
        assert (theirs[4] == (ours[4] != 0)).mean() > 0.98


def test_some_variations_point_by_point():
    for k, name in enumerate(ORDER[:12]):
        differences(name, ("", "pre_", "post_")[k % 3], k % 4 == 0)


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", range(8))
def test_all_variations_point_by_point(part):
    for k, name in enumerate(ORDER[part::8]):
        differences(name, ("", "pre_", "post_")[k % 3], k % 4 == 0)


def test_loops_branches_and_random_numbers():
    text = """
function twice(a): The sum of it with itself, by a loop within the loop that calls it.
    b = 0
    for j in range(2):
        b += a
    return b

variation odd(n=5): Loops, conditions and draws.
    s = 0
    t = x
    for k in range(n):
        if t > 2: break
        if y > 0 and not x > 1:
            t = twice(t) + 0.1
            s = s + k
        elif x < 0:
            t, s = s + 0.5, t - random()
        else:
            t = t % 0.7
    hidden = s > 3
    return w * t, w * s
"""
    odd = next(d for d in read_variations(text.replace("if t > 2: break", "if t > 2:\n            break"), "odd")
               if not d.function)  # fmt: skip
    asm = Assembler()
    values, _, hidden, _ = assemble(odd, asm, {"x": 0, "y": 1, "z": 2, "color": 3}, 2.0, {"p_n": 5.0})
    for row, v in zip((6, 7, 8), (*values, hidden), strict=True):
        asm.put("copy", v, to=row)
    asm.code.append([0] * 6)
    code, scalars, constants, rows = asm.finished()
    table = np.zeros((rows + len(constants), POINTS))
    table[rows:] = constants[:, None]
    rng = np.random.default_rng(1)
    table[:3] = rng.normal(size=(3, POINTS))
    execute(
        code,
        scalars,
        table.ravel(),
        POINTS,
        np.zeros(MAX_DEPTH, np.int64),
        np.arange(POINTS).astype(np.uint64),
        0,
        POINTS,
        0,
    )
    for x, y, u, v, h in table[[0, 1, 6, 7, 8]].T:
        s, t, drawn = 0.0, x, False
        for k in range(5):
            if t > 2:
                break
            if y > 0 and not x > 1:
                t, s = 2 * t + 0.1, s + k
            elif x < 0:
                drawn = True
                break
            else:
                t = t % 0.7
        if not drawn:
            assert (u, v, h) == pytest.approx((2 * t, 2 * s, float(s > 3)))


def test_both_loops_draw_the_same_flame():
    f, n = strange(), 400_000
    one, two = (accumulate(f, n, seed=s, threads=1, compiled=False).astype(float) for s in (1, 2))
    other = accumulate(f, n, seed=3, threads=1, compiled=True).astype(float)
    noise = np.sqrt(((one - two) ** 2).sum((0, 1)))
    assert (np.sqrt(((other - one) ** 2).sum((0, 1))) < 1.15 * noise).all()
    assert np.allclose(other.sum((0, 1)), one.sum((0, 1)), rtol=0.01)
    again = accumulate(f, n, seed=1, threads=1, compiled=False)
    assert (again == one).all()


def test_painted_points():
    """Points that a variation paints have that colour in both loops."""
    painting = sorted(n for n in KNOWN if catalogue().find(n)[1].program.paints)
    name = painting[int(np.random.default_rng(3).integers(len(painting)))]
    maps = (
        Xform(1.0, coefs=(0.6, 0.1, -0.1, 0.6, 0.3, 0.1), variations={name: 1.0}),
        Xform(1.0, coefs=(0.5, 0.0, 0.0, 0.5, -0.4, 0.2), variations={"sinusoidal": 1.0}),
    )
    palette = np.ones((256, 4)) * [1.0, 0.1, 0.3, 1.0]
    f = Flame(size=(16, 16), scale=6.0, palette=palette, xforms=maps)
    a, b = (accumulate(f, 200_000, seed=1, threads=1, compiled=c).sum((0, 1)) for c in (False, True))
    assert np.allclose(a, b, rtol=0.03), (name, a, b)


def test_escaping_orbits_and_hidden_points():
    f = Flame(size=(32, 32), xforms=(Xform(1.0, coefs=(3, 0, 0, 3, 1, 1), variations={"linear": 1.0}),))
    assert np.isfinite(accumulate(f, 20_000, threads=1, compiled=False)).all()

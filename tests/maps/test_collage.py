import math
from fractions import Fraction

import pytest
import torch

import fractalkit.maps.combine as combining
from fractalkit.codes.collage import WHOLE, CollageCode, Domain
from fractalkit.core import Implicit, fixed_point, solve
from fractalkit.errors import DataError, UsageError
from fractalkit.maps.collage import CollageMap, decode, good_size, strips, valid_size
from fractalkit.maps.dense import DenseMap

TURNED = Domain(isometry=7)
HALF, QUARTER = Domain(2, 1, 0, 6), Domain(4, 1, 3, 5)


def make(grid=(3, 3), *domains, b=2, c=2, a=2, rho=0.5, shared=False, continuous=True, dtype=torch.float64):
    g = torch.Generator().manual_seed(sum(grid))
    domains = domains or (WHOLE,)
    c1 = 1 if shared else c

    def draw(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)

    contrast = CollageCode.bounded(3 * draw(b, c1, *grid, len(domains)), rho)
    return CollageCode(contrast, draw(b, c, *grid), draw(b, c1, *grid, a), draw(a, c1, 3, 2), domains, continuous)


# ---- a continuous code against its equation, in exact coordinates


def by_definition(code: CollageCode, y: Fraction, x: Fraction, depth: int) -> torch.Tensor:
    """f(y, x) of every item and channel, ``[B, C]``, by the equation applied ``depth`` times from zero."""

    def axis(ranges, v):
        i = min(math.floor(v * ranges), ranges - 1)
        t = ranges * v - i if i % 2 == 0 else i + 1 - ranges * v
        place = float(v * ranges) - 0.5
        weights = [0.0] * ranges
        for j in range(-1, ranges + 1):  # quadratic B-splines on the centres, the outermost taking what lies beyond
            d = abs(place - j)
            weights[min(max(j, 0), ranges - 1)] += 0.75 - d * d if d < 0.5 else (1.5 - d) ** 2 / 2 if d < 1.5 else 0.0
        return t, torch.tensor(weights, dtype=torch.float64)

    (ty, wy), (tx, wx) = axis(code.grid[0], y), axis(code.grid[1], x)

    def field(numbers):  # [B, C, Gh, Gw, ...]
        return torch.einsum("bcij...,i,j->bc...", numbers, wy, wx)

    ky, kx = (torch.arange(k, dtype=torch.float64) for k in code.patches.shape[2:])
    cosines = torch.cos(math.pi * ky * float(ty))[:, None] * torch.cos(math.pi * kx * float(tx))
    out = field(code.brightness) + (field(code.mixing) * torch.einsum("ackl,kl->ca", code.patches, cosines)).sum(-1)
    if depth:
        for d, w in zip(code.domains, field(code.contrast).unbind(-1), strict=True):
            v, u = (tx, ty) if d.transposed else (ty, tx)
            v, u = (1 - v if d.flips[0] else v), (1 - u if d.flips[1] else u)
            out = out + w * by_definition(code, (d.row + v) / d.scale, (d.col + u) / d.scale, depth - 1)
    return out


@pytest.mark.parametrize(
    ("grid", "domains", "size"),
    [
        ((3, 3), (WHOLE,), (27, 18)),  # lifts down to 3 x 2
        ((3, 3), (WHOLE,), (24, 24)),  # one lift from points that are permuted
        ((7, 7), (WHOLE,), (56, 56)),
        ((4, 7), (WHOLE,), (28, 28)),  # rectangular ranges, points that fall into other ones at first
        ((2, 2), (WHOLE,), (12, 20)),
        ((3, 5), (WHOLE,), (10, 11)),  # no multiple of the grid
        ((6, 4), (TURNED,), (36, 24)),  # transposed, ranges that are not square
        ((4, 4), (HALF,), (16, 12)),
        ((5, 4), (HALF,), (10, 12)),  # a scale that does not divide the grid
        ((5, 5), (QUARTER,), (10, 10)),
        ((3, 3), (WHOLE, Domain(isometry=3)), (12, 15)),
        ((4, 4), (WHOLE, HALF, TURNED), (12, 20)),
        ((8, 8), (HALF, QUARTER), (24, 16)),
    ],
)
def test_continuous_decoding_satisfies_the_equation(grid, domains, size):
    depth = {1: 40, 2: 9, 3: 6}[len(domains)]
    rho = {1: 0.5, 2: 0.05, 3: 0.02}[len(domains)]
    code = make(grid, *domains, rho=rho)
    f = decode(code, *size)
    assert f.shape == (2, 2, *size) and f.dtype == torch.float64
    g = torch.Generator().manual_seed(0)
    for i, j in torch.stack([torch.randint(n, (3,), generator=g) for n in size], 1).tolist():
        want = by_definition(code, Fraction(2 * i + 1, 2 * size[0]), Fraction(2 * j + 1, 2 * size[1]), depth)
        assert torch.allclose(f[:, :, i, j], want, atol=1e-9)


def test_scales_that_do_not_divide_the_grid_are_interpolated_near_the_truth():
    """Several domains on a 5 x 5 grid, one of them a half: orbits of points never close, so the base interpolates."""
    code = make((5, 5), WHOLE, HALF, rho=0.1)
    f = decode(code, 25, 20)
    want = by_definition(code, Fraction(21, 50), Fraction(15, 40), 8)
    assert torch.allclose(f[:, :, 10, 7], want, atol=2e-3)


# ---- against plain steps


@pytest.mark.parametrize(
    ("grid", "domains", "size", "continuous"),
    [
        ((3, 3), (WHOLE,), (27, 27), True),
        ((7, 5), (TURNED,), (21, 15), True),
        ((5, 5), (Domain(isometry=2), Domain(isometry=5)), (25, 25), True),
        ((4, 4), (WHOLE,), (64, 64), False),
        ((4, 4), (WHOLE,), (28, 28), False),  # pixels cut by range borders at 7
        ((4, 7), (WHOLE,), (8, 28), False),
        ((4, 6), (WHOLE, HALF, TURNED), (24, 24), False),
        ((8, 8), (QUARTER, HALF), (64, 32), False),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_decoding_is_where_plain_steps_lead(grid, domains, size, continuous, shared):
    code = make(grid, *domains, rho=0.6, shared=shared, continuous=continuous)
    f = decode(code, *size)
    plain = solve(CollageMap(code, *size), tol=1e-11)
    assert plain.converged and (plain.value - f).abs().max() < 1e-9
    polished = solve(CollageMap(code, *size), f, tol=1e-10)
    assert polished.converged and (polished.value - f).abs().max() < 1e-9
    if len(domains) == 1:
        assert polished.steps <= 2 < plain.steps


def test_a_plain_step_is_the_collage_written_out():
    """A minimal version of Jacquin's operator: average the picture, scale it, add brightness and patches."""
    code = make((4, 4), WHOLE, Domain(2, 1, 0, 1), continuous=False)
    x = torch.rand(2, 2, 16, 16, dtype=torch.float64)
    whole = torch.nn.functional.avg_pool2d(x, 4)
    half = torch.nn.functional.avg_pool2d(x[:, :, 8:, :8], 2).flip(3)
    fine = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    c = torch.stack([torch.cos(math.pi * k * fine).reshape(4, 1000).mean(1) for k in range(3)])  # means over pixels
    patch = torch.einsum("ackl,ky,lx->acyx", code.patches, c, c[:2])
    got = CollageMap(code, 16, 16).step(x)
    for i in range(4):
        for j in range(4):
            w, u = code.contrast[:, :, i, j], code.mixing[:, :, i, j]
            want = (
                w[..., 0, None, None] * whole + w[..., 1, None, None] * half + code.brightness[:, :, i, j, None, None]
            )
            want = want + torch.einsum("bca,acyx->bcyx", u, patch)
            assert torch.allclose(got[:, :, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4], want, atol=1e-6)


def test_plain_pictures_are_means_of_finer_ones():
    code = make((4, 4), WHOLE, HALF, continuous=False)
    assert torch.allclose(torch.nn.functional.avg_pool2d(decode(code, 64, 48), 4), decode(code, 16, 12), atol=1e-12)
    assert torch.allclose(torch.nn.functional.avg_pool2d(decode(code, 20, 12), 2), decode(code, 10, 6), atol=1e-12)


def test_an_even_grid_steps_by_interpolation_and_ends_near():
    """Where centres are not mapped to centres, the step's fixed point differs; less so the finer the picture."""
    code = make((4, 4), rho=0.2)
    errors = []
    for n in (16, 64, 256):
        f = decode(code, n, n)
        errors.append(float((CollageMap(code, n, n).step(f) - f).abs().max()))
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.1 * float(f.abs().max())


def test_the_dense_form_is_the_same():
    code = make((5, 3), b=3, shared=True)
    code = CollageCode(code.contrast, code.brightness, code.mixing, code.patches)
    for size in [(20, 24), (5, 3), (25, 27)]:
        assert torch.allclose(fixed_point(DenseMap(code, *size)), decode(code, *size), atol=1e-10)


# ---- seams


def jumps(f: torch.Tensor, borders: list[int]) -> float:
    """Return the largest difference between the two columns at either side of a border."""
    return max(float((f[..., b] - f[..., b - 1]).abs().max()) for b in borders)


def test_continuous_codes_have_no_seams_and_plain_ones_do():
    smooth, plain = make((3, 3), rho=0.5), make((3, 3), rho=0.5, continuous=False)
    fine = [jumps(decode(smooth, n, n), [n // 3, 2 * n // 3]) for n in (27, 243, 729)]
    assert fine[1] < 0.5 * fine[0] and fine[2] < 0.5 * fine[1]
    other = decode(smooth, 729, 729).diff(dim=-1).abs()
    assert fine[2] <= float(other.max())  # a border is a place like any other
    assert jumps(decode(plain, 729, 729), [243, 486]) > 0.5 * jumps(decode(plain, 27, 27), [9, 18]) > 0.1


# ---- windows and strips


@pytest.mark.parametrize("continuous", [True, False])
@pytest.mark.parametrize(
    ("grid", "domains", "size"),
    [
        ((3, 3), (WHOLE,), (81, 54)),
        ((4, 4), (WHOLE,), (112, 64)),
        ((4, 4), (WHOLE, HALF), (64, 64)),
        ((4, 6), (TURNED,), (96, 96)),
        ((5, 5), (WHOLE,), (33, 38)),  # no multiple of the grid
    ],
)
def test_windows_and_strips_are_parts_of_the_picture(grid, domains, size, continuous):
    code = make(grid, *domains, rho=0.7, continuous=continuous)
    f = decode(code, *size)
    for y0, x0, y1, x1 in [(0, 0, 1, 1), (5, 7, 30, 9), (size[0] - 3, 0, *size), (10, 30, 12, 31)]:
        part = decode(code, *size, window=(x0, y0, x1, y1))
        assert torch.allclose(part, f[:, :, y0:y1, x0:x1], atol=1e-12)
    for rows in (7, None):
        end = 0
        for y0, strip in strips(code, *size, rows=rows):
            assert y0 == end and torch.allclose(strip, f[:, :, y0 : y0 + strip.shape[2]], atol=1e-12)
            end = y0 + strip.shape[2]
        assert end == size[0]


def test_float32_windows_agree_too():
    code = make((7, 7), rho=0.9, dtype=torch.float32)
    f = decode(code, 196, 196)
    assert f.dtype == torch.float32
    assert torch.allclose(decode(code, 196, 196, window=(60, 50, 150, 90)), f[:, :, 50:90, 60:150], atol=1e-4)


@pytest.mark.parametrize("n", [10**9, 3**19, 10**12])
def test_a_window_may_be_anywhere_at_any_depth(n):
    code = make((3, 3), b=1, rho=0.7)
    y0, x0 = n // 3 - 2, (2 * n) // 5
    f = decode(code, n, n, window=(x0, y0, x0 + 3, y0 + 5))
    for i, j in [(0, 0), (2, 1), (4, 2)]:
        want = by_definition(code, Fraction(2 * (y0 + i) + 1, 2 * n), Fraction(2 * (x0 + j) + 1, 2 * n), 75)
        assert torch.allclose(f[:, :, i, j], want, atol=1e-9)


def test_a_deep_window_of_several_domains_or_of_a_plain_code():
    code = make((3, 3), WHOLE, Domain(isometry=2), rho=0.05)
    n = 3**15
    f = decode(code, n, n, window=(77, n // 2, 79, n // 2 + 2))
    want = by_definition(code, Fraction(2 * (n // 2) + 1, 2 * n), Fraction(2 * 77 + 1, 2 * n), 9)
    assert torch.allclose(f[:, :, 0, 0], want, atol=1e-9)
    code = make((4, 4), continuous=False)
    n = good_size(code, 10**9, 10**9)[0]
    window = decode(code, n, n, window=(4000, 1000, 4008, 1004))
    assert torch.allclose(window.mean((2, 3)), decode(code, n // 4, n // 4, window=(1000, 250, 1002, 251)).mean((2, 3)))


# ---- gradients


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("grid", "domains", "size", "continuous", "shared"),
    [
        ((3, 3), (WHOLE,), (12, 6), True, False),
        ((4, 2), (WHOLE,), (12, 6), True, True),
        ((4, 2), (TURNED,), (8, 6), True, True),
        ((3, 4), (HALF,), (6, 12), True, False),
        ((4, 4), (WHOLE, HALF), (8, 12), True, False),
        ((3, 3), (WHOLE,), (12, 6), False, True),
    ],
)
def test_gradients(monkeypatch, fused, grid, domains, size, continuous, shared):
    monkeypatch.setattr(combining, "FUSED_FROM", 0 if fused else 1 << 60)
    code = make(grid, *domains, rho=0.6, shared=shared, continuous=continuous)
    tensors = [t.clone().requires_grad_() for t in (code.contrast, code.brightness, code.mixing, code.patches)]
    assert torch.autograd.gradcheck(
        lambda *t: decode(CollageCode(*t, domains, continuous), *size), tensors, fast_mode=True, atol=1e-6
    )


def test_gradients_of_a_window_and_through_the_solver():
    code = make((3, 3), rho=0.6)
    tensors = [t.clone().requires_grad_() for t in (code.contrast, code.brightness, code.mixing, code.patches)]

    def window(*t):
        return decode(CollageCode(*t), 27, 27, window=(3, 7, 10, 12))

    def solved(*t):
        return solve(CollageMap(CollageCode(*t), 6, 6), tol=1e-12, adjoint=Implicit(tol=1e-12)).value

    assert torch.autograd.gradcheck(window, tensors, fast_mode=True, atol=1e-6)
    assert torch.autograd.gradcheck(solved, tensors, fast_mode=True, atol=1e-6)


# ---- kernels, types, threads


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("grid", "domains", "a", "shared"),
    [((4, 6), (WHOLE, HALF), 3, False), ((2, 5), (WHOLE,), 2, True), ((3, 3), (WHOLE,), 0, True)],
)
def test_the_fused_loop_is_its_plain_twin(monkeypatch, dtype, grid, domains, a, shared):
    code = make(grid, *domains[: 1 if 2 in grid else 2], b=3, c=4, a=a, shared=shared, dtype=dtype)
    size = (grid[0] * 8, grid[1] * 10)
    out = []
    for fused in (True, False):
        monkeypatch.setattr(combining, "FUSED_FROM", 0 if fused else 1 << 60)
        tensors = [t.clone().requires_grad_() for t in (code.contrast, code.brightness, code.mixing, code.patches)]
        f = decode(CollageCode(*tensors, code.domains), *size)
        weights = torch.arange(f.numel(), dtype=dtype).reshape(f.shape).cos()
        out.append([f.detach(), *torch.autograd.grad((f * weights).sum(), tensors, allow_unused=a == 0)])
    tol = 1e-4 if dtype == torch.float32 else 1e-11
    for got, want in zip(*out, strict=True):
        if want is not None and want.numel():
            assert got.dtype == dtype and torch.allclose(got, want, rtol=tol, atol=tol * float(want.abs().max()))


def test_threads_change_nothing(monkeypatch):
    monkeypatch.setattr(combining, "FUSED_FROM", 0)
    code = make((4, 4), WHOLE, HALF, b=2, c=1)
    one = make((4, 4), b=1, c=1)
    threads = torch.get_num_threads()
    results = []
    try:
        for n in (1, 3):
            torch.set_num_threads(n)
            contrast = code.contrast.clone().requires_grad_()
            f = decode(CollageCode(contrast, code.brightness, code.mixing, code.patches, code.domains), 32, 32)
            (gradient,) = torch.autograd.grad(f.square().sum(), contrast)
            results.append((f.detach(), gradient, decode(one, 64, 64)))  # fewer items than threads: rows are shared out
    finally:
        torch.set_num_threads(threads)
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_autocast_and_half_precision_codes_are_decoded_in_float32():
    code = make((3, 3), b=1, dtype=torch.float32)
    want = decode(code, 18, 18)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = decode(code, 18, 18)
        stepped = CollageMap(code, 18, 18).step(want)
    assert got.dtype == torch.float32 and torch.equal(got, want) and torch.allclose(stepped, want, atol=1e-5)
    assert decode(code.to(dtype=torch.bfloat16), 18, 18).dtype == torch.float32


def test_items_do_not_depend_on_the_batch():
    code = make((3, 3), b=4)
    assert torch.allclose(decode(code, 18, 24)[2], decode(code.item(2), 18, 24)[0], atol=1e-13)


def test_no_contrast_and_constant_codes():
    flat = CollageCode(z(1, 1, 3, 3, 1), torch.full((1, 1, 3, 3), 0.25), z(1, 1, 3, 3, 0), z(0, 1, 1, 1))
    assert torch.allclose(decode(flat, 9, 9), torch.full((1, 1, 9, 9), 0.25))
    half = CollageCode(z(1, 1, 3, 3, 1) + 0.5, torch.ones(1, 1, 3, 3), z(1, 1, 3, 3, 0), z(0, 1, 1, 1))
    for n in (9, 10, 4):
        assert torch.allclose(decode(half, n, n), torch.full((1, 1, n, n), 2.0))
    near_one = CollageCode(z(1, 1, 3, 3, 1) + 0.999, torch.ones(1, 1, 3, 3), z(1, 1, 3, 3, 0), z(0, 1, 1, 1))
    assert torch.allclose(decode(near_one, 12, 12), torch.full((1, 1, 12, 12), 1000.0), rtol=1e-3)


def z(*shape):
    return torch.zeros(*shape)


# ---- sizes and refusals


def test_sizes():
    code = make((4, 7))
    assert valid_size(code, 28, 28) == (28, 28) and valid_size(code, 29, 1) == (32, 7)
    h, w = good_size(code, 1000, 1000)
    assert 1000 <= h <= 1050 and 1000 <= w <= 1050 and h % 16 == 0 and w % 49 == 0


def test_refusals():
    code = make()
    for call in (
        lambda: decode(code, 0, 9),
        lambda: CollageMap(code, 9, -1),
        lambda: valid_size(code, 0, 1),
        lambda: strips(code, 1 << 41, 9),
    ):
        with pytest.raises(UsageError, match=r"(height|width): expected 1 to"):
            call()
    for window in [(0, 0, 1, 0), (0, 0, 9, 10), (0, -1, 2, 2), (5, 0, 4, 1)]:
        with pytest.raises(UsageError, match=r"window: .* is not inside the 9 x 9 picture"):
            decode(code, 9, 9, window=window)
    with pytest.raises(UsageError, match="rows: expected at least 1"):
        strips(code, 9, 9, rows=0)
    loose = CollageCode(4 * code.contrast, code.brightness, code.mixing, code.patches)
    for call in (lambda: decode(loose, 9, 9), lambda: CollageMap(loose, 9, 9), lambda: strips(loose, 9, 9)):
        with pytest.raises(DataError, match="does not contract"):
            call()
    with pytest.raises(UsageError, match="more than 4096 pixels a side; decode at good_size"):
        decode(make((4, 4), continuous=False), 10**9, 10**9, window=(0, 0, 2, 2))


# ---- detail


def test_the_contrast_of_detail_falls_from_level_to_level():
    code = make((3, 3), rho=0.8)

    def drawn(height, width, detail):
        return fixed_point(CollageMap(code, height, width, detail=detail, native=(12, 12)))

    none, half, full = (drawn(36, 27, d) for d in (0, 0.5, 1))  # one level above the native size
    assert torch.equal(full, decode(code, 36, 27)) and (none - full).abs().max() > 0.01
    assert torch.allclose(half, (none + full) / 2, atol=1e-12)
    # two levels above it: the picture's own detail at half contrast is copied at half contrast
    second, finest = CollageMap(code, 108, 81), CollageMap(code, 108, 81, detail=0.5, native=(12, 12))
    plain = finest._enlarged(decode(code, 4, 4), code.domains[0], [(0, 36)], [(0, 27)])
    assert torch.allclose(drawn(108, 81, 0.5), second.lift([torch.lerp(plain, half, 0.5)], None), atol=1e-12)


def test_most_detail_still_contracts():
    code = make((3, 3), rho=0.5)
    rough = [
        fixed_point(CollageMap(code, n, n, detail=d, native=(12, 12))).diff(dim=-1).abs().mean() * n
        for d in (1, 1.5, 2)
        for n in (324,)
    ]
    assert rough[0] < rough[1] < rough[2]
    share = CollageMap(code, 36, 36, detail=2, native=(12, 12))._share
    assert torch.allclose(share.flatten() * code.lipschitz(), torch.tensor(0.97, dtype=torch.float64))


@pytest.mark.parametrize("domains", [(WHOLE,), (Domain(isometry=6),), (Domain(2, 1, 0, 5), WHOLE)])
@pytest.mark.parametrize("cells", [1, 2])
def test_no_detail_copies_an_enlargement_of_the_native_picture(domains, cells):
    code = make((4, 4), *domains, rho=0.3)
    plain = CollageMap(code, 64, 64, detail=0, native=(32, 32), cells=cells)
    below = [torch.nn.functional.avg_pool2d(decode(code, d.scale * 8, d.scale * 8), cells) for d in domains]
    enlarged = [
        torch.nn.functional.interpolate(x, scale_factor=2 * cells, mode="bicubic", align_corners=False) for x in below
    ]
    full = CollageMap(code, 64, 64)
    parts = []
    for (_, (left, top, right, bottom)), x in zip(full.needs(None), enlarged, strict=True):
        parts.append(x[..., top:bottom, left:right])
    got = fixed_point(plain)
    assert torch.allclose(got, full.lift(parts, None), atol=1e-9)
    window = (13, 5, 50, 21)
    assert torch.allclose(fixed_point(plain, window), got[..., 5:21, 13:50], atol=1e-12)


def test_detail_changes_nothing_at_the_native_size_or_below():
    code = make((3, 3), rho=0.8)
    for size in ((12, 12), (9, 12)):
        assert torch.equal(fixed_point(CollageMap(code, *size, detail=0, native=(12, 12))), decode(code, *size))


def test_detail_refusals():
    code = make((3, 3))
    for detail in (-0.1, 2.1, math.nan):
        with pytest.raises(UsageError, match="detail: expected 0 to 2"):
            CollageMap(code, 9, 9, detail=detail, native=(3, 3))
    with pytest.raises(UsageError, match="native"):
        CollageMap(code, 9, 9, detail=0.5)
    with pytest.raises(UsageError, match="no multiple of the grid"):
        fixed_point(CollageMap(code, 10, 9, detail=0.5, native=(3, 3)))

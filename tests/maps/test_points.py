import math

import pytest
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.core import Implicit, solve
from fractalkit.errors import DataError, UsageError
from fractalkit.maps import AddressedPoints


def sierpinski() -> AffineIFS:
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, math.sqrt(3) / 2]], dtype=torch.float64)
    return AffineIFS(torch.eye(2, dtype=torch.float64).expand(3, 2, 2) / 2, corners / 2)


def test_words_are_the_fixed_points_of_their_compositions():
    ifs = sierpinski()
    x = solve(AddressedPoints.words(ifs, 3), tol=1e-12).value
    for w in range(27):
        digits = [w // 9, w // 3 % 3, w % 3]
        p = x[w]
        for k in reversed(digits):
            p = ifs.matrices[k] @ p + ifs.offsets[k]
        assert torch.allclose(p, x[w], atol=1e-11)
    corners = x[[0, 13, 26]]  # 000, 111, 222: the triangle's own corners
    assert torch.allclose(corners, 2 * ifs.offsets, atol=1e-11)


def test_cycle_is_an_orbit():
    ifs = sierpinski()
    symbols = torch.tensor([0, 2, 1, 1, 0, 2, 2, 1])
    x = solve(AddressedPoints.cycle(ifs, symbols), tol=1e-12).value
    assert torch.allclose(ifs.apply(x.roll(1, 0), symbols), x, atol=1e-11)


def test_gradients_reach_the_code():
    ifs = sierpinski()

    def corners(a, t):
        return solve(AddressedPoints.words(AffineIFS(a, t), 2), tol=1e-12, adjoint=Implicit(tol=1e-12)).value

    a, t = ifs.matrices.clone().requires_grad_(), ifs.offsets.clone().requires_grad_()
    assert torch.autograd.gradcheck(corners, (a, t), atol=1e-6)


def test_refuses_bad_input():
    with pytest.raises(UsageError, match="words"):
        AddressedPoints.words(sierpinski(), 40)
    with pytest.raises(UsageError, match="ranges"):
        AddressedPoints.cycle(sierpinski(), torch.tensor([0, 3]))
    with pytest.raises(DataError, match=r"maps\[0\]"):
        AddressedPoints.words(AffineIFS(torch.eye(2)[None], torch.zeros(1, 2)), 1)

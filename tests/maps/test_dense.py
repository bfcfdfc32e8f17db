import pytest
import torch

from fractalkit.codes.collage import CollageCode, Domain
from fractalkit.core import fixed_point
from fractalkit.errors import UsageError
from fractalkit.maps.collage import decode
from fractalkit.maps.dense import DenseMap, is_dense


def code(b=2, c=3, gh=3, gw=5, a=2, dtype=torch.float64, shared=False) -> CollageCode:
    g = torch.Generator().manual_seed(gh * gw)

    def draw(*shape):
        return torch.randn(*shape, generator=g, dtype=dtype)

    one = 1 if shared else c
    return CollageCode(
        0.8 * torch.tanh(draw(b, one, gh, gw, 1)), draw(b, c, gh, gw), draw(b, one, gh, gw, a), draw(a, 1, 3, 2)
    )


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("size", [(3, 5), (6, 10), (12, 25), (27, 40), (90, 50)])
def test_it_is_the_general_decoding(size, shared):
    x = code(shared=shared)
    whole = fixed_point(DenseMap(x, *size))
    assert torch.allclose(whole, decode(x, *size), atol=1e-11)
    h, w = size
    window = (w // 5, h // 3, w, h // 3 + h // 2 + 1)
    part = fixed_point(DenseMap(x, *size), window)
    assert torch.allclose(part, whole[:, :, window[1] : window[3], window[0] :], atol=1e-12)


def test_without_patches_and_in_float32():
    x = code(a=0, dtype=torch.float32)
    assert torch.allclose(fixed_point(DenseMap(x, 12, 20)), decode(x, 12, 20), atol=1e-5)


def test_gradients():
    x = code(b=1, c=2, a=1)
    names = ("contrast", "brightness", "mixing", "patches")
    tensors = [getattr(x, n).clone().requires_grad_() for n in names]
    assert torch.autograd.gradcheck(
        lambda *t: fixed_point(DenseMap(CollageCode(*t), 6, 10, rho=0.8)), tensors, atol=1e-6
    )


def test_what_it_does_not_take():
    x = code()
    assert not is_dense(x, 7, 10)
    even = CollageCode(
        torch.zeros(1, 1, 2, 2, 1), torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, 0), torch.zeros(0, 1, 1, 1)
    )
    half = CollageCode(x.contrast, x.brightness, x.mixing, x.patches, (Domain(scale=2),))
    for bad in (even, half):
        with pytest.raises(UsageError, match="decode"):
            DenseMap(bad, 30, 30)
    with pytest.raises(UsageError, match="window"):
        fixed_point(DenseMap(x, 6, 10), (0, 0, 3, 7))

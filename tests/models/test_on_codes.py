"""Collage codes in closed form, classifiers on them, and the judge of samples."""

import pytest
import torch
import torch.nn.functional as F

from fractalkit.codes.collage import CollageCode
from fractalkit.errors import UsageError
from fractalkit.maps.collage import decode
from fractalkit.models.flow_prior import GridFlow, train_flow
from fractalkit.models.judge import Judge, frechet, judged, picture_statistics
from fractalkit.models.on_codes import (
    COSINES,
    DOMAINS,
    GridClassifier,
    _patches,
    accuracy,
    code_of,
    numbers,
    picture_codes,
    train_classifier,
)


def blobs(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Soft discs and rings at random places, with their classes."""
    g = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 28)] * 2, indexing="ij")
    centre = torch.rand(n, 2, generator=g) * 0.8 - 0.4
    r = torch.hypot(y - centre[:, :1, None], x - centre[:, 1:, None])
    kind = torch.arange(n) % 2
    disc, ring = torch.sigmoid(30 * (0.4 - r)), torch.exp(-((r - 0.4) * 10).square())
    return torch.where(kind[:, None, None] == 0, disc, ring)[:, None], kind


def random_code(n: int, seed: int = 0) -> CollageCode:
    g = torch.Generator().manual_seed(seed)
    best = torch.randint(0, len(DOMAINS), (n, 1, 7, 7, 1), generator=g)
    contrast = torch.zeros(n, 1, 7, 7, len(DOMAINS))
    contrast.scatter_(-1, best, torch.rand(best.shape, generator=g) * 1.2 - 0.6)
    return CollageCode(
        contrast=contrast, brightness=torch.rand(n, 1, 7, 7, generator=g),
        mixing=torch.zeros(n, 1, 7, 7, len(COSINES)), patches=_patches(), domains=DOMAINS, continuous=False,
    )  # fmt: skip


def test_the_codes_of_fixed_points_are_their_codes() -> None:
    code = random_code(3)
    found = picture_codes(decode(code, 56, 56))
    # cosines may explain what copies do, so pictures are compared, not numbers
    assert (decode(found, 56, 56) - decode(code, 56, 56)).abs().mean() < 0.02
    alike = (found.contrast - code.contrast).abs().amax(-1) < 0.02
    assert alike.float().mean() > 0.8


@pytest.mark.parametrize("side", [14, 28, 56])
def test_patches_have_the_weights_of_the_cosines(side: int) -> None:
    code = random_code(2)
    g = torch.Generator().manual_seed(3)
    code = CollageCode(
        0 * code.contrast, code.brightness, torch.randn(code.mixing.shape, generator=g), code.patches, DOMAINS, False
    )
    found = picture_codes(decode(code, side, side), bound=0.0)
    assert torch.allclose(found.mixing, code.mixing, atol=1e-4)
    assert torch.allclose(found.brightness, code.brightness, atol=1e-4)


def test_copies_reduce_the_error_of_one_step() -> None:
    x, _ = blobs(6)
    errors = [float((decode(picture_codes(x, bound=b), 28, 28) - x).square().mean()) for b in (0.0, 0.9)]
    assert errors[1] < 0.8 * errors[0]
    assert numbers(picture_codes(x)).shape == (6, len(DOMAINS) + 1 + len(COSINES), 7, 7)


def test_codes_and_pixels_can_be_classified() -> None:
    (x, y), (tx, ty) = blobs(512), blobs(200, seed=1)
    for see, channels in ((lambda v: numbers(picture_codes(v)), 9), (lambda v: v.unflatten(2, (7, 4)).unflatten(
        4, (7, 4)).permute(0, 1, 3, 5, 2, 4).flatten(1, 3), 16)):  # fmt: skip
        net = train_classifier(GridClassifier(channels, 8, classes=2), see(x), y, epochs=6, batch=32)
        assert accuracy(net, see(tx), ty) > 0.9


@pytest.mark.parametrize("shape", [(1, 3, 28, 28), (1, 1, 28, 56), (1, 1, 30, 30), (1, 1, 7, 7), (28, 28)])
def test_pictures_that_have_no_code(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"expected \[B, 1, S, S\]"):
        picture_codes(torch.zeros(shape))


def test_the_judge() -> None:
    (x, y), (tx, _) = blobs(512), blobs(200, seed=1)
    judge = Judge.trained(x, y, epochs=20)
    same, noise = (
        judged(judge, tx, x),
        judged(judge, torch.rand(tx.shape, generator=torch.Generator().manual_seed(0)), x),
    )
    assert same["sure"] > 0.8 and same["classes"] == pytest.approx([0.5, 0.5], abs=0.1)
    assert same["frechet"] < noise["frechet"] and same["frechet_real"] < noise["frechet"]


def test_frechet_distance_of_known_normals() -> None:
    g = torch.Generator().manual_seed(0)
    a = torch.randn(200_000, 2, generator=g)
    scaled = a * torch.tensor([2.0, 1.0])
    assert frechet(a, scaled) == pytest.approx(1.0, abs=0.05)  # (2 - 1)^2
    assert frechet(a, a) == pytest.approx(0.0, abs=1e-9)


def test_numbers_make_codes_that_contract():
    code = picture_codes(blobs(3)[0])
    assert torch.equal(numbers(code_of(numbers(code))), numbers(code))
    wild = code_of(3 * torch.randn(2, 9, 4, 4, generator=torch.Generator().manual_seed(0)))
    assert float(wild.lipschitz().max()) <= 0.9 + 1e-6 and torch.isfinite(decode(wild, 40, 40)).all()


def test_a_flow_learns_what_grids_have_in_common():
    g = torch.Generator().manual_seed(0)
    sign = torch.randint(0, 2, (512, 1, 1, 1), generator=g) * 2.0 - 1
    x = 5 + sign * torch.tensor([1.0, -2.0]).view(1, 2, 1, 1) + 0.05 * torch.randn(512, 2, 2, 2, generator=g)
    torch.manual_seed(0)
    net = GridFlow(2, 2, width=32, blocks=2)
    losses = train_flow(net, x, steps=300)
    assert sum(losses[-50:]) / 50 < sum(losses[:10]) / 20
    drawn = net.sample(200, steps=20, seed=1)
    assert torch.equal(net.sample(200, steps=20, seed=1), drawn) and drawn.shape == (200, 2, 2, 2)
    # two kinds, each about as often, whose channels and places agree
    first = torch.sign(drawn[:, 0].mean((1, 2)) - 5)
    assert 0.3 < float((first > 0).float().mean()) < 0.7
    off = (drawn - 5) * first[:, None, None, None] - torch.tensor([1.0, -2.0]).view(1, 2, 1, 1)
    assert float(off.abs().median()) < 0.2


def test_blur_is_far_in_statistics_of_pictures_and_a_shift_is_not():
    g = torch.Generator().manual_seed(0)
    x = F.interpolate(torch.rand(60, 3, 16, 16, generator=g), (48, 48), mode="bicubic").clamp(0, 1)
    blurred = F.avg_pool2d(x, 5, stride=1, padding=2, count_include_pad=False)
    real = picture_statistics(x)
    assert real.shape == (60, 18)
    spread = real.std(0)
    far, near = (frechet(picture_statistics(y) / spread, real / spread) for y in (blurred, x.roll(3, 3)))
    assert far > 10 * near

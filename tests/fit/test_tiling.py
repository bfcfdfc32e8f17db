"""Photomosaics of one picture: colours, tiles, depth, style."""

import math

import pytest
import torch

from fractalkit.core import solve
from fractalkit.errors import UsageError
from fractalkit.fit.tiling import Style, draw, fractalize, judge
from fractalkit.maps.collage import CollageMap, decode
from fractalkit.raster.area import area_means
from tests.pictures import scene


def photo(height: int = 90, width: int = 120, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(scene(height, width, seed=seed)).permute(2, 0, 1).double() / 255


@pytest.mark.parametrize("options", [{}, {"texture": 0.8, "blend": 1.0}, {"blend": 0.0}, {"texture": 0.2}])
def test_it_reads_from_afar_and_its_tiles_are_the_picture(options):
    x = photo()
    code = fractalize(x, 24, **options)
    score = judge(code, x)
    assert score["ssim"] > 0.9 and score["correlation"] > 0.8
    assert float(code.lipschitz()) <= 0.9


def test_each_tile_has_the_mean_of_its_place():
    x = 0.25 + 0.5 * photo()  # no clipping
    code = fractalize(x, 12, texture=0.4)
    shown = decode(code, 12 * 12, 12 * 12)[0].double()
    assert (area_means(shown, 12, 12) - area_means(x, 12, 12)).abs().max() < 2e-3


def test_it_is_the_fixed_point():
    code = fractalize(photo(), 6)
    s = solve(CollageMap(code, 36, 36), tol=1e-6)
    assert s.converged
    assert (s.value - decode(code, 36, 36)).abs().max() < 1e-4


def test_without_texture_it_is_a_mosaic():
    x = photo()
    shown = draw(fractalize(x, 8, texture=0.0, blend=0.0), 64, 64)
    tiles = shown.view(3, 8, 8, 8, 8)
    assert (tiles - tiles[:, :, :1, :, :1]).abs().max() < 1e-5


def test_depth_approaches_the_fixed_point():
    x = photo()
    code = fractalize(x, 6)
    whole = draw(code, 216, 216)
    off = [float((draw(code, 216, 216, depth=d, picture=x) - whole).abs().mean()) for d in (1, 2, 3)]
    assert off[0] > off[1] > off[2]
    with pytest.raises(UsageError):
        draw(code, 216, 216, depth=1)


def test_sizes():
    code = fractalize(photo(), 10)
    for h, w in ((7, 9), (100, 130), (333, 222)):
        shown = draw(code, h, w)
        assert shown.shape == (3, h, w) and float(shown.min()) >= 0 and float(shown.max()) <= 1


def test_style_shows_in_the_tiles():
    x, y = photo(), photo(seed=4).flip(1)
    code = fractalize(x, 12, style=Style(y, 1.0), self_weight=0.0, texture=0.6)
    assert float(code.lipschitz()) == 0
    shown = draw(code, 12 * 32, 12 * 32).double()
    tiles = shown.view(3, 12, 32, 12, 32).permute(1, 3, 0, 2, 4).reshape(144, 3, -1)
    want = area_means(y, 32, 32).reshape(3, -1)

    def correlation(a, b):
        a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
        return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)).clamp(min=1e-9)

    assert correlation(tiles, want).mean() > 0.75
    turned = fractalize(x, 12, style=Style(y, 1.0, 2, True))
    assert not torch.equal(turned.patches, fractalize(x, 12, style=Style(y, 1.0)).patches)


@pytest.mark.parametrize(
    "call",
    [
        lambda: fractalize(photo(), 1), lambda: fractalize(photo(), texture=1.0),
        lambda: fractalize(photo(), blend=-1), lambda: fractalize(photo()[:2]),
        lambda: fractalize(photo() * math.nan), lambda: fractalize(photo(), self_weight=0),
    ],
)  # fmt: skip
def test_bad_arguments(call):
    with pytest.raises(UsageError):
        call()

"""A network that proposes the maps of an IFS from a sample of its attractor in the plane, in one forward pass.

    cloud -> whitened, turned -> counts on a grid -> convolutions -> a mixture of Gaussians over affine maps

In coordinates in which the cloud is white, an affine change of the cloud leaves only a turn and perhaps a reflection,
so flat clouds are no harder than round ones. A map there is a point of six dimensions, the matrix and the offset, and
the squared distance of two of them is the mean squared distance between the images of the cloud.

The maps of a code are a set, and what a cloud tells about one of them is often a choice between several, such as a
piece and its mirror image. So the network does not name K maps: it gives the intensity of a Poisson process,
``sum_j rate_j N(map; mean_j, spread_j)``, whose likelihood needs neither an order of the maps nor their number. The
mixture of Bishop (*Mixture density networks*, 1994) takes the part of the matching of set prediction (Carion et al.,
2020). Which of the proposals explain the cloud together is for the fit to judge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fractalkit.checked import CheckedSettings, within
from fractalkit.errors import UsageError
from fractalkit.models.pretrained import Pretrained, register_model

NUMBERS = 6  # of a map: the matrix by rows, and the offset
_OUTPUTS = NUMBERS + 3  # and the logarithms of the rate and of the spreads of matrix and offset
_QUANTILE = 0.99  # of the points' largest coordinates, which lies
_REACH = 0.85  # at this share of the half side of the grid
_LEAST = 0.1  # of that quantile, where nearly all points are at one place
_FINEST, _WIDEST = -3.5, 1.0  # logarithms of spreads
_THIN = 1e-4  # ratio of the variances along a cloud's axes below which it is a line


@dataclass(frozen=True)
class InverseConfig(CheckedSettings):
    """Settings of :class:`InverseNet`.

    Attributes:
        side: cells on a side of the grid, a multiple of 16.
        width: channels of the first convolution.
        hidden: width of the layers behind the convolutions.
        slots: maps that are proposed.
    """

    side: int = within(48, 16, 512)
    width: int = within(24, 4, 512)
    hidden: int = within(512, 8, 8192)
    slots: int = within(48, 1, 4096)

    title: ClassVar = "settings"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.side % 16:
            raise UsageError(f"side: expected a multiple of 16, got {self.side}")


@dataclass(frozen=True)
class Views:
    """Clouds as the network sees them.

    Attributes:
        grid: ``[B, 2, S, S]`` float32, logarithms of the density and which cells hold points.
        facts: ``[B, 2]`` float32, of the number of points and of the size of a cell.
        frame: ``[B, 2, 3]`` float64, affine maps from the cloud's coordinates to those in which it is white.
    """

    grid: Tensor
    facts: Tensor
    frame: np.ndarray


@dataclass(frozen=True)
class Proposals:
    """Maps of clouds in their white coordinates.

    Attributes:
        maps: ``[B, J, 6]``.
        rate: ``[B, J]`` logarithms of the number of maps of the code that each stands for.
        spread: ``[B, J, 2]`` logarithms of the standard deviations of the numbers of matrix and offset.
    """

    maps: Tensor
    rate: Tensor
    spread: Tensor


def whitening(points: np.ndarray) -> np.ndarray:
    """Frames ``[B, 2, 3]`` that give clouds ``[B, N, 2]`` mean zero and covariance one; NaN for points on a line."""
    x, y = points[:, :, 0], points[:, :, 1]
    mean = np.stack([x.mean(axis=1), y.mean(axis=1)], axis=1)
    dx, dy = x - mean[:, :1], y - mean[:, 1:]
    xx, xy, yy = ((a * b).mean(axis=1) for a, b in ((dx, dx), (dx, dy), (dy, dy)))
    cov = np.stack([xx, xy, xy, yy], axis=1).reshape(-1, 2, 2)
    values, axes = np.linalg.eigh(np.where(np.isfinite(cov), cov, 0.0))
    thin = ~(values[:, :1] > _THIN * np.abs(values[:, 1:]))
    values = np.where(thin, np.nan, np.maximum(values, 1e-300))
    white = (axes / np.sqrt(values)[:, None]) @ axes.transpose(0, 2, 1)
    return np.concatenate([white, -white @ mean[:, :, None]], axis=2)


def views(points: np.ndarray, frames: np.ndarray, side: int) -> Views:
    """Clouds ``[B, N, 2]`` in frames ``[B, 2, 3]`` that make them white, on a grid."""
    count, n, _ = points.shape
    f = frames.astype(np.float32)[:, :, :, None]
    x, y = points[:, :, 0].astype(np.float32), points[:, :, 1].astype(np.float32)
    z = [f[:, i, 0] * x + f[:, i, 1] * y + f[:, i, 2] for i in range(2)]
    size = np.maximum(np.abs(z[0]), np.abs(z[1]))
    place = int(_QUANTILE * (n - 1))
    reach = np.maximum(np.partition(size, place, axis=1)[:, place], _LEAST) / _REACH
    # cells beyond the border are those of a margin
    col, row = (np.clip((v / reach[:, None] + 1) * (side / 2) + 1, 0, side + 1).astype(np.int32) for v in z)
    wide = side + 2
    index = (np.arange(count, dtype=np.int32)[:, None] * wide + row) * wide + col
    all_counts = np.bincount(index.ravel(), minlength=count * wide * wide).reshape(count, 1, wide, wide)
    counts = all_counts[:, :, 1:-1, 1:-1]
    seen = np.concatenate([np.log1p(counts * (4.0 * side * side / n)) / 2, counts > 0], axis=1)
    facts = np.stack([np.full(count, math.log(n / 5000)), 4 * np.log(reach / 2.4)], axis=1)
    return Views(torch.from_numpy(seen.astype(np.float32)), torch.from_numpy(facts.astype(np.float32)), frames)


def to_white(maps: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Maps ``[B, K, 2, 3]`` of the coordinates of clouds in white ones, ``[B, K, 6]``."""
    return map_numbers(_conjugated(maps, frames, _inverse(frames)))


def from_white(numbers: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Maps ``[B, K, 6]`` of white coordinates in those of the clouds, ``[B, K, 2, 3]``."""
    maps = np.concatenate([numbers[..., :4].reshape(*numbers.shape[:2], 2, 2), numbers[..., 4:, None]], axis=3)
    return _conjugated(maps, _inverse(frames), frames)


def map_numbers(maps: np.ndarray) -> np.ndarray:
    """The numbers ``[B, K, 6]`` of maps ``[B, K, 2, 3]``, the matrix by rows and the offset."""
    return np.concatenate([maps[..., :2].reshape(*maps.shape[:2], 4), maps[..., 2]], axis=2)


def _inverse(frames: np.ndarray) -> np.ndarray:
    back = np.linalg.inv(frames[:, :, :2])
    return np.concatenate([back, -back @ frames[:, :, 2:]], axis=2)


def _conjugated(maps: np.ndarray, out: np.ndarray, into: np.ndarray) -> np.ndarray:
    """The maps ``out o map o into``."""
    a = out[:, None, :, :2] @ maps[..., :2]
    t = out[:, None, :, :2] @ maps[..., 2:] + out[:, None, :, 2:]
    return np.concatenate([a @ into[:, None, :, :2], a @ into[:, None, :, 2:] + t], axis=3)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.conv(x)))


def _halved(before: int, after: int, kernel: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride=2, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())


@register_model("inverse-ifs")
class InverseNet(Pretrained):
    """Views of clouds to :class:`Proposals`."""

    config_type = InverseConfig

    def __init__(self, config: InverseConfig) -> None:
        super().__init__()
        self.config = config
        w, h = config.width, config.hidden
        self.body = nn.Sequential(
            _halved(2, w, 5), _halved(w, 2 * w), _halved(2 * w, 5 * w), _Residual(5 * w), _halved(5 * w, 8 * w),
            _Residual(8 * w), nn.Conv2d(8 * w, 4 * w, 1), nn.Flatten(),
        )  # fmt: skip
        self.first = nn.Linear(4 * w * (config.side // 16) ** 2 + 2, h)
        self.second = nn.Linear(h, h)
        self.head = nn.Linear(h, config.slots * _OUTPUTS)

    def forward(self, views: Views) -> Proposals:
        """What is proposed for each cloud."""
        x = self.body(views.grid.contiguous(memory_format=torch.channels_last))
        x = F.relu(self.first(torch.cat([x, views.facts], 1)))
        x = x + F.relu(self.second(x))
        out = self.head(x).float().unflatten(1, (self.config.slots, _OUTPUTS))
        maps, rate, spread = out.split((NUMBERS, 1, 2), dim=2)
        return Proposals(maps, rate[..., 0].clamp(-12, 3), spread.clamp(_FINEST, _WIDEST))

    @torch.no_grad()
    def start_at(self, maps: Tensor) -> None:
        """Let the slots stand for maps ``[J, 6]`` before training, such as a sample of those of codes."""
        j = self.config.slots
        rest = torch.tensor([math.log(5 / j), -0.7, -0.7]).expand(j, 3)
        self.head.bias.copy_(torch.cat([maps, rest], 1).flatten())
        self.head.weight.mul_(0.3)


def negative_likelihood(found: Proposals, maps: Tensor, weight: Tensor) -> Tensor:
    """Negative log-likelihood ``[B]`` of the maps ``[B, K, 6]`` of codes; those of ``weight [B, K]`` zero are none."""
    away = (maps[:, :, None] - found.maps[:, None]).square()
    spread = found.spread[:, None]
    square = torch.stack([away[..., :4].sum(-1), away[..., 4:].sum(-1)], -1)
    volume = 4 * spread[..., 0] + 2 * spread[..., 1]
    log = found.rate[:, None] - volume - 0.5 * (square * torch.exp(-2 * spread)).sum(-1)
    # a little everywhere, so that a map far from all others does not outweigh them
    log = torch.cat([log, torch.full_like(log[..., :1], -12.0)], -1)
    seen = (weight * torch.logsumexp(log, 2)).sum(1)
    return torch.exp(found.rate).sum(1) - seen

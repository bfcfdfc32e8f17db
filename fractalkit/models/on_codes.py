"""Networks on codes: pictures to plain collage codes in closed form, and a classifier that sees the codes alone.

A code of a picture is the same list of numbers at every size of the picture, so a network on codes does not see the
size (Poli, Xu et al., 2022, leave such training as an outlook). Each range of a grid is fitted to the best domain, a
constant and a few cosines by least squares; the chosen contrast, the brightness and the weights of the cosines are the
channels of a small picture of G x G numbers, which an ordinary network can read.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fractalkit.codes.collage import WHOLE, CollageCode, Domain
from fractalkit.errors import UsageError
from fractalkit.raster.area import area_means
from fractalkit.raster.cosines import block_cosines

DOMAINS = (WHOLE, *(Domain(2, i, j) for i in range(2) for j in range(2)))
COSINES = ((0, 1), (1, 0), (1, 1))
BOUND = 0.9  # of contrasts


def picture_codes(x: Tensor, grid: int = 7, *, bound: float = BOUND) -> CollageCode:
    """Plain collage codes of pictures, by least squares of each range on the best domain, a constant and three cosines.

    The domain is chosen range by range among the whole picture and its quarters (Jacquin, 1992); the contrasts of the
    others are zero. Domains are read from the picture itself, so the error is that of the collage theorem.

    Args:
        x: ``[B, 1, S, S]``, S a multiple of ``grid`` with at least two pixels to a range.
        grid: ranges on a side.
        bound: largest contrast, below 1.

    Raises:
        UsageError: another shape or bound.

    >>> code = picture_codes(torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    >>> code.contrast.shape, bool((code.lipschitz() <= 0.9).all())
    (torch.Size([2, 1, 7, 7, 5]), True)
    """
    if x.ndim != 4 or x.shape[1] != 1 or x.shape[2] != x.shape[3] or x.shape[2] % grid or x.shape[2] < 2 * grid:
        raise UsageError(f"x: expected [B, 1, S, S], S a multiple of {grid} from {2 * grid}, got {list(x.shape)}")
    if not 0 <= bound < 1:
        raise UsageError(f"bound: expected a number from 0 below 1, got {bound}")
    n = x.shape[2] // grid
    ranges = F.unfold(x, n, stride=n).mT  # [B, R, n n]
    domains = torch.stack([_domain(x, d, n) for d in DOMAINS], dim=1)  # [B, D, n n]
    basis = _cosines(n).to(x)  # [A, n n], orthonormal
    r, d = (_without(t - t.mean(-1, keepdim=True), basis) for t in (ranges, domains))
    inner, energy = r @ d.mT, d.square().sum(-1)[:, None]  # [B, R, D], [B, 1, D]
    weight = torch.where(energy > 1e-8, inner / energy.clamp_min(1e-8), 0.0).clamp(-bound, bound)
    gain = 2 * weight * inner - weight.square() * energy
    best = gain.argmax(-1, keepdim=True)
    contrast = torch.zeros_like(weight).scatter_(-1, best, weight.gather(-1, best))
    rest = ranges - contrast @ domains
    mixing = rest @ basis.mT * _scale(n)
    b = len(x)
    return CollageCode(
        contrast=contrast.reshape(b, 1, grid, grid, len(DOMAINS)),
        brightness=rest.mean(-1).reshape(b, 1, grid, grid),
        mixing=mixing.reshape(b, 1, grid, grid, len(COSINES)),
        patches=_patches().to(x), domains=DOMAINS, continuous=False,
    )  # fmt: skip


def _domain(x: Tensor, domain: Domain, n: int) -> Tensor:
    """A domain averaged to n x n pixels, ``[B, n n]``."""
    side = x.shape[-1] // domain.scale
    part = x[..., domain.row * side : (domain.row + 1) * side, domain.col * side : (domain.col + 1) * side]
    return area_means(part, n, n).flatten(1).to(x.dtype)


def _cosines(n: int) -> Tensor:
    """Cosines of a block of n x n pixels, ``[A, n n]``, orthonormal."""
    one = torch.from_numpy(block_cosines(n))
    return torch.stack([torch.outer(one[:, k], one[:, j]).flatten() for k, j in COSINES]).float()


def _scale(n: int) -> Tensor:
    """Weights of the patches of a code for one unit of each orthonormal cosine of n x n pixels: ``[A]``.

    A code's pixel is the mean of cos(pi k t) over it, its middle times sinc(k / 2n).
    """
    axis = [1 / math.sqrt(n), math.sqrt(2 / n) / float(torch.sinc(torch.tensor(0.5 / n)))]
    return torch.tensor([axis[k] * axis[j] for k, j in COSINES])


def _patches() -> Tensor:
    """The patches as cosine coefficients, ``[A, 1, 2, 2]``."""
    out = torch.zeros(len(COSINES), 1, 2, 2)
    for a, (k, j) in enumerate(COSINES):
        out[a, 0, k, j] = 1
    return out


def _without(t: Tensor, basis: Tensor) -> Tensor:
    """What orthonormal vectors ``[A, M]`` do not explain of ``[..., M]``."""
    return t - t @ basis.mT @ basis


def numbers(code: CollageCode) -> Tensor:
    """The numbers of codes as channels, ``[B, D + 1 + A, G, G]``: contrasts, brightness, weights of the patches."""
    parts = [code.contrast[:, 0].movedim(-1, 1), code.brightness, code.mixing[:, 0].movedim(-1, 1)]
    return torch.cat(parts, dim=1)


def code_of(x: Tensor, *, bound: float = BOUND) -> CollageCode:
    """Codes of numbers ``[B, 9, G, G]`` as :func:`numbers` has them, of a network for example.

    Contrasts of a range whose absolute values sum to more than ``bound`` are scaled to it, so that the codes contract.

    >>> code = picture_codes(torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    >>> torch.equal(numbers(code_of(numbers(code))), numbers(code))
    True
    """
    contrast, brightness, mixing = x.split([len(DOMAINS), 1, len(COSINES)], dim=1)
    total = contrast.abs().sum(1, keepdim=True)
    contrast = contrast * (bound / total.clamp_min(bound))
    return CollageCode(
        contrast=contrast.movedim(1, -1)[:, None], brightness=brightness, mixing=mixing.movedim(1, -1)[:, None],
        patches=_patches().to(x), domains=DOMAINS, continuous=False,
    )  # fmt: skip


class GridClassifier(nn.Module):
    """Two convolutions and a layer on a grid of numbers: ``[B, channels, G, G]`` -> ``[B, classes]`` logits."""

    def __init__(self, channels: int, width: int, grid: int = 7, classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(channels), nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True), nn.Flatten(),
            nn.Dropout(0.3), nn.Linear(2 * width * (-(-grid // 2)) ** 2, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        out: Tensor = self.layers(x)
        return out


def train_classifier(
    net: nn.Module, x: Tensor, y: Tensor, *, epochs: int, batch: int = 128, lr: float = 3e-3, seed: int = 0
) -> nn.Module:
    """Train a classifier of ``[N, ...]`` with classes ``[N]`` by AdamW on one cycle; it ends in evaluation mode.

    The global generator, which dropout uses, is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        steps = epochs * (len(x) // batch)
        optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=max(steps, 1))
        net.train()
        for _ in range(epochs):
            order = torch.randperm(len(x))
            for start in range(0, len(x) - batch + 1, batch):
                some = order[start : start + batch]
                loss = F.cross_entropy(net(x[some]), y[some], label_smoothing=0.05)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return net.eval()


@torch.no_grad()
def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of right answers."""
    return float(torch.cat([net(part).argmax(1) for part in x.split(1000)]).eq(y).float().mean())

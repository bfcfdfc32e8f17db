"""A small classifier as a judge of samples: how sure it is, which classes it sees, and a Frechet distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fractalkit.models.on_codes import train_classifier
from fractalkit.models.sampling import Sampler, pictures
from fractalkit.raster.colour import FROM_RGB

FEATURES = 64
SURE = 0.9
CHUNK = 500


class Judge(nn.Module):
    """A convolutional network with about 100,000 weights for small pictures, ``[B, C, S, S]`` in [0, 1].

    It is no Inception network: its distances compare samples of one data set with each other, and with nothing else.
    """

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        last = (side + 3) // 4
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Dropout(0.2), nn.Linear(32 * last**2, FEATURES), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[B, classes]``."""
        out: Tensor = self.head(self.body(x))
        return out

    @staticmethod
    def trained(x: Tensor, y: Tensor, *, epochs: int = 3, seed: int = 0) -> Judge:
        """A judge trained on pictures and their classes ``[N]``."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = Judge(x.shape[1], x.shape[-1], 1 + int(y.max()))
        train_classifier(net, x, y, epochs=epochs, lr=4e-3, seed=seed)
        return net

    @torch.no_grad()
    def views(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities ``[N, classes]`` and features ``[N, 64]``."""
        features = torch.cat([self.body(part) for part in x.split(CHUNK)])
        return torch.softmax(self.head(features), 1), features


def frechet(a: Tensor, b: Tensor) -> float:
    """The Frechet distance of the normal distributions with the moments of features ``[N, F]`` and ``[M, F]``.

    |m_a - m_b|^2 + tr(A + B - 2 (A B)^1/2), A and B the covariances (Dowson and Landau, 1982).

    >>> g = torch.Generator().manual_seed(0)
    >>> a = torch.randn(4000, 2, generator=g)
    >>> round(frechet(a, a + torch.tensor([3.0, 0.0])), 3)
    9.0
    """
    a, b = a.double(), b.double()
    ca, cb = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(ca)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cb @ root).clamp_min(0).sqrt().sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + ca.trace() + cb.trace() - 2 * cross)


def picture_statistics(x: Tensor) -> Tensor:
    """Simple statistics of RGB pictures in [0, 1], ``[B, 3, H, W]`` -> ``[B, 18]``, for Frechet distances.

    Mean and logarithm of the deviation of Y, Cb and Cr; for Y at three scales (averages of 1, 2 and 4
    pixels) the logarithms of the mean, the deviation and the largest value of the gradient's norm, and of the mean of
    the absolute Laplacian. Sides are at least 12.
    """
    planes = torch.einsum("ij,bjyx->biyx", torch.tensor(FROM_RGB).to(x), x - 0.5)
    out = [planes.mean((2, 3)) + 0.5, planes.std((2, 3)).clamp_min(1e-4).log()]
    y, laplacian = planes[:, :1], x.new_tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    for _ in range(3):
        slope = torch.hypot(y[..., 1:, :-1] - y[..., :-1, :-1], y[..., :-1, 1:] - y[..., :-1, :-1])
        parts = [slope.mean((1, 2, 3)), slope.std((1, 2, 3)), slope.amax((1, 2, 3))]
        parts.append(F.conv2d(y, laplacian).abs().mean((1, 2, 3)))
        out.append(torch.stack(parts, 1).clamp_min(1e-5).log())
        y = F.avg_pool2d(y, 2)
    return torch.cat(out, 1)


@torch.no_grad()
def judged(judge: Judge, drawn: Tensor, real: Tensor) -> dict[str, Any]:
    """Scores of samples beside real pictures, both ``[N, C, S, S]``.

    Returns:
        "sure", the share of samples with a probability above .9, and "sure_real"; "frechet", the distance of features,
        and "frechet_real", that of one half of the real pictures from the other; "classes", the share of each class.
    """
    p, features = judge.views(drawn)
    q, theirs = judge.views(real)
    first, second = theirs[torch.randperm(len(theirs), generator=torch.Generator().manual_seed(0))].chunk(2)
    counts = torch.bincount(p.argmax(1), minlength=p.shape[1]) / len(p)
    return {
        "sure": float((p.amax(1) > SURE).float().mean()), "sure_real": float((q.amax(1) > SURE).float().mean()),
        "frechet": frechet(features, theirs), "frechet_real": frechet(first, second),
        "classes": [round(v, 4) for v in counts.tolist()],
    }  # fmt: skip


def drawn_small(model: Sampler, seeds: Sequence[int], **options: Any) -> Tensor:
    """Mean pictures of seeds at the size of training, ``[N, C, S, S]``; options as of :func:`pictures`."""
    from fractalkit.models.mean_picture import draw

    shown = pictures(model, seeds, **options)
    return torch.stack([torch.from_numpy(draw(p, model.side, model.side, threads=1)) for p in shown])

"""Likelihoods of pictures, p(x | features of each pixel), in nats."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fractalkit.errors import UsageError
from fractalkit.models.blocks import full

COMPONENTS = 10  # of a logistic mixture, as in PixelCNN++


class Bernoulli:
    """Binary pixels with one logit each."""

    name = "bernoulli"

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.outputs = channels

    def log_prob(self, logits: Tensor, x: Tensor, cells: int = 1) -> Tensor:
        """log p(x) summed over the picture, ``[B]``.

        Args:
            logits: ``[B, C, s H, s W]``, s = ``cells``; the probability of a pixel is the mean over its s x s points.
            x: ``[B, C, H, W]`` in [0, 1].
        """
        logits = full(logits)
        if cells == 1:
            return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
        b, c, h, w = x.shape
        parts = logits.reshape(b, c, h, cells, w, cells)
        rest = math.log(cells * cells)
        yes = torch.logsumexp(F.logsigmoid(parts), dim=(3, 5)) - rest
        no = torch.logsumexp(F.logsigmoid(-parts), dim=(3, 5)) - rest
        return (x * yes + (1 - x) * no).flatten(1).sum(1)

    def mean(self, logits: Tensor) -> Tensor:
        """E[x], ``[B, C, H, W]`` in [0, 1]."""
        return torch.sigmoid(full(logits))


class LogisticMixture:
    """A mixture of ten discretised logistics (Salimans et al., PixelCNN++, 2017, eq. 2 and 3), 256 levels.

    For RGB, green depends linearly on red, and blue on both. Pixels are in [0, 1].
    """

    name = "logistic-mixture"

    def __init__(self, channels: int, components: int = COMPONENTS) -> None:
        if channels not in (1, 3):
            raise UsageError(f"likelihood: a logistic mixture is for 1 or 3 channels, got {channels}")
        self.channels, self.k = channels, components
        # log weight; mean and log scale for each channel; three couplings for RGB
        self.outputs = components * (1 + 2 * channels + (3 if channels == 3 else 0))

    def _parts(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        b, _, h, w = features.shape
        f = full(features).reshape(b, self.k, -1, h, w)
        c = self.channels
        weights, means = f[:, :, 0], f[:, :, 1 : 1 + c]
        scales = f[:, :, 1 + c : 1 + 2 * c].clamp_min(-7)
        return weights, means, scales, torch.tanh(f[:, :, 1 + 2 * c :]) if c == 3 else None

    def log_prob(self, features: Tensor, x: Tensor, cells: int = 1) -> Tensor:
        """log p(x) summed over the picture, ``[B]``; features ``[B, outputs, s H, s W]`` are averaged over s x s."""
        if cells > 1:
            features = F.avg_pool2d(full(features), cells)
        weights, means, scales, couple = self._parts(features)
        v = (2 * x - 1)[:, None]  # [B, 1, C, H, W] in [-1, 1]
        if couple is not None:
            means = torch.stack(
                [
                    means[:, :, 0],
                    means[:, :, 1] + couple[:, :, 0] * v[:, :, 0],
                    means[:, :, 2] + couple[:, :, 1] * v[:, :, 0] + couple[:, :, 2] * v[:, :, 1],
                ],
                dim=2,
            )
        centred, narrow = v - means, torch.exp(-scales)
        upper, lower = narrow * (centred + 1 / 255), narrow * (centred - 1 / 255)
        inside = torch.sigmoid(upper) - torch.sigmoid(lower)
        # where the mass of a bin is tiny, density times width is accurate and has a gradient
        middle = narrow * centred
        density = middle - scales - 2 * F.softplus(middle) - math.log(127.5)
        log_inside = torch.where(inside > 1e-5, torch.log(inside.clamp_min(1e-12)), density)
        bins = torch.where(
            v < -0.999, upper - F.softplus(upper), torch.where(v > 0.999, -F.softplus(lower), log_inside)
        )
        joint = bins.sum(2) + F.log_softmax(weights, dim=1)  # [B, K, H, W]
        return torch.logsumexp(joint, dim=1).flatten(1).sum(1)

    def mean(self, features: Tensor) -> Tensor:
        """E[x], clipped to [0, 1], ``[B, C, H, W]``; for RGB, channel by channel given the means before it."""
        weights, means, _, couple = self._parts(features)
        p = torch.softmax(weights, dim=1)
        if couple is None:
            out = (p[:, :, None] * means).sum(1)
        else:
            r = means[:, :, 0]
            g = means[:, :, 1] + couple[:, :, 0] * r
            b = means[:, :, 2] + couple[:, :, 1] * r + couple[:, :, 2] * g
            out = (p[:, :, None] * torch.stack([r, g, b], dim=2)).sum(1)
        return ((out + 1) / 2).clamp(0, 1)


LIKELIHOODS = {"bernoulli": Bernoulli, "logistic-mixture": LogisticMixture}

"""The trunk of a very deep VAE: an encoder, and stochastic layers from a constant to the features of a head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fractalkit.models.blocks import (
    Block,
    Layer,
    conv,
    full,
    gaussian,
    grow,
    kl_divergence,
    log_normal,
    shrink,
    space_to_depth,
    working,
)
from fractalkit.models.noise import Given, Noise, normal
from fractalkit.models.vdvae_config import VDVAEConfig


class Encoder(nn.Module):
    """Bottom-up network: the last activations at each side, which the posterior sees."""

    def __init__(self, config: VDVAEConfig, layers: list[Layer]) -> None:
        super().__init__()
        middle = max(1, round(config.width * config.bottleneck))
        self.factor = config.stem
        self.stem = conv(config.channels * config.stem**2, config.width, 3)
        n = sum(layer.kind == "block" for layer in layers)
        self.layers = layers
        self.blocks = nn.ModuleList(
            Block(config.width, middle, config.width, layer.size, residual=True, scale=1 / math.sqrt(n))
            for layer in layers
            if layer.kind == "block"
        )

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """Activations ``[B, width, side, side]`` by side, of pictures ``[B, C, S, S]`` in [0, 1]."""
        h = self.stem(space_to_depth(2 * x - 1, self.factor))
        out: dict[int, Tensor] = {h.shape[-1]: h}
        blocks = iter(self.blocks)
        for layer in self.layers:
            if layer.kind == "down":
                h = shrink(h, layer.other)
            else:
                h = next(blocks)(h)
            out[h.shape[-1]] = h
        return out


@dataclass(frozen=True, eq=False)
class Latents:
    """Latents of pictures, a tensor ``[B, z, side, side]`` for each layer from the top.

    Attributes:
        z: their values.
        noise: the standard normal numbers from which the prior draws these values.
    """

    z: list[Tensor]
    noise: list[Tensor]

    def given(self) -> list[Given]:
        """The noise of each picture, for :meth:`VDVAE.features`."""
        return [Given([layer[i] for layer in self.noise]) for i in range(len(self.noise[0]))]


class DeepPrior(nn.Module):
    """Blocks that add to a linear prior; they see the neighbours, the mean state, and the class.

    They begin as zero, so a trained model with linear priors, or with fewer blocks, stays what it is until it is
    trained on.

    Args:
        blocks: number of blocks, at least 1; all but the last are residual.
        classes: number of classes; the row after the last stands for none. Each has a vector that is added to the
            state, and a table that is added to the parameters (see :mod:`.class_priors`).
    """

    def __init__(self, width: int, middle: int, outputs: int, size: int, classes: int, blocks: int = 1) -> None:
        super().__init__()
        self.mean = conv(width, width, 1, zero=True)
        self.first = nn.ModuleList(
            Block(width, middle, width, size, residual=True, zero=True) for _ in range(blocks - 1)
        )
        self.block = Block(width, middle, outputs, size, zero=True)
        self.labels = nn.Parameter(torch.zeros(classes + 1, width)) if classes else None
        self.table = nn.Parameter(torch.zeros(classes + 1, outputs, size, size)) if classes else None

    def forward(self, h: Tensor, labels: Tensor | None) -> Tensor:
        """What is added to the parameters of the prior; state ``[B, width, s, s]``, classes as in :func:`of_class`."""
        x = h + self.mean(F.relu(h.mean((2, 3), keepdim=True)))
        if self.labels is not None:
            x = x + of_class(self.labels, labels)[:, :, None, None].to(x.dtype)
        for block in self.first:
            x = block(x)
        out: Tensor = self.block(x)
        if self.table is not None:
            out = full(out) + of_class(self.table, labels)
        return out


def of_class(rows: Tensor, labels: Tensor | None) -> Tensor:
    """The row of each picture's class, ``[B, …]``.

    Args:
        rows: one for each class, and a last one for none.
        labels: classes ``[B]``, weights of the rows ``[B, rows]`` for what is between classes, or None for none.
    """
    if labels is None:
        return rows[-1:]
    return torch.tensordot(labels, rows, 1) if labels.is_floating_point() else rows[labels]


class TopDown(nn.Module):
    """One stochastic layer: p(z | above), q(z | above, x), and the update of the state by z.

    The state is already a deep function of all z above, so a linear prior reads its parameters off it with one 1x1
    convolution; the posterior, which has to compare the state with the picture, gets a block.
    """

    def __init__(self, config: VDVAEConfig, size: int, n: int) -> None:
        super().__init__()
        w, z = config.width, config.latent
        middle = max(1, round(w * config.bottleneck))
        self.size, self.latent = size, z
        self.prior = conv(w, 2 * z, 1, zero=True)
        self.deep: DeepPrior | None = None
        if config.prior == "block":
            self.deep = DeepPrior(w, middle, 2 * z, size, config.classes, config.prior_blocks)
        self.posterior = Block(w, middle, 2 * z, size)
        self.inject = conv(z, w, 1, scale=1 / math.sqrt(n))
        self.block = Block(w, middle, w, size, residual=True, scale=1 / math.sqrt(n))

    def forward(
        self,
        h: Tensor,
        seen: Tensor | None,
        noise: Noise,
        temperature: float = 1.0,
        labels: Tensor | None = None,
        record: Latents | None = None,
        guidance: float = 1.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the state, the KL ``[B]`` (0 without ``seen``), and log p(z) - log q(z) at the sampled z ``[B]``.

        z, and the noise with which the prior would have drawn it, are added to ``record``.
        """
        parameters = self.prior(F.relu(h))
        pm, ps = gaussian(parameters if self.deep is None else parameters + self.deep(h, labels))
        if guidance != 1 and labels is not None and self.deep is not None:
            pm = torch.lerp(gaussian(parameters + self.deep(h, None))[0], pm, guidance)
        shape = pm.shape
        e = normal(shape, noise, h.device)
        if seen is None:
            z = pm + temperature * torch.exp(ps) * e
            kl = ratio = pm.new_zeros(shape[0])
        else:
            qm, qs = gaussian(self.posterior(h + seen))
            z = qm + torch.exp(qs) * e
            kl = kl_divergence(qm, qs, pm, ps).flatten(1).sum(1)
            ratio = (log_normal(z, pm, ps) - log_normal(z, qm, qs)).flatten(1).sum(1)
        if record is not None:
            record.z.append(z)
            record.noise.append((z - pm) * torch.exp(-ps))
        return self.block(h + self.inject(z.to(h.dtype))), kl, ratio


class Decoder(nn.Module):
    """Top-down network, from a learned constant to the features of the head."""

    def __init__(self, config: VDVAEConfig, layers: list[Layer]) -> None:
        super().__init__()
        n = sum(layer.kind == "block" for layer in layers)
        self.layers = layers
        self.constant = nn.Parameter(torch.zeros(1, config.width, layers[0].size, layers[0].size))
        self.blocks = nn.ModuleList(TopDown(config, layer.size, n) for layer in layers if layer.kind == "block")
        sides = [layer.size for layer in layers if layer.kind == "mix"]
        self.places = nn.ParameterList(nn.Parameter(torch.zeros(1, config.width, s, s)) for s in sides)

    def forward(
        self,
        batch: int,
        seen: dict[int, Tensor] | None,
        noise: Noise,
        temperature: Sequence[float] | None = None,
        labels: Tensor | None = None,
        record: Latents | None = None,
        guidance: float = 1.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return features ``[B, width, side, side]``, KL ``[B, layers]`` and log p(z) - log q(z) ``[B]``.

        Args:
            temperature: of each layer; None for 1.
            labels: the class of each picture, as in :func:`of_class`.
            record: receives the latents of each layer.
            guidance: factor of the distance of a class's prior means from those without a class.
        """
        h = working(self.constant.expand(batch, -1, -1, -1))
        kls, ratios = [], []
        blocks, places = iter(self.blocks), iter(self.places)
        heat = iter(temperature or [1.0] * len(self.blocks))
        for layer in self.layers:
            if layer.kind == "mix":
                h = working(grow(h, layer.size) + next(places))
                continue
            at = None if seen is None else seen[layer.size]
            h, kl, ratio = next(blocks)(h, at, noise, next(heat), labels, record, guidance)
            kls.append(kl)
            ratios.append(ratio)
        return h, torch.stack(kls, dim=1), torch.stack(ratios).sum(0)

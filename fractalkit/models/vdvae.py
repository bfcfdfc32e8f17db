"""The very deep VAE of Child (arXiv 2011.10650) with a collage for its last layer (Poli, Xu et al., NeurIPS 2022).

    x -> encoder: activations at each side, bottom up
    1x1 constant -> top-down blocks: prior and posterior of z, z added -> features h
    h -> head: a collage code, whose fixed point has any size (or convolutions: the same trunk, for comparison)
    fixed point -> a small network at each point -> p(x | z)

-ELBO = -E_q log p(x | z) + sum over layers of KL(q(z_l | x, z_<l) || p(z_l | z_<l)), in nats per picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fractalkit.codes.collage import CollageCode
from fractalkit.errors import DataError, UsageError
from fractalkit.models.blocks import (
    Block,
    Layer,
    conv,
    gaussian,
    kl_divergence,
    log_normal,
    parse_layers,
    space_to_depth,
    working,
)
from fractalkit.models.heads import CollageHead, ConvHead
from fractalkit.models.likelihoods import LIKELIHOODS


@dataclass(frozen=True)
class Between:
    """Noise on the way from one stream to another: cos(angle) of the first and sin(angle) of the second.

    Standard normal at every angle; 0 is the first stream, pi / 2 the second.
    """

    first: torch.Generator
    second: torch.Generator
    angle: float


Noise = torch.Generator | Sequence[torch.Generator | Between]


@dataclass(frozen=True)
class VDVAEConfig:
    """All that the weights do not say.

    Attributes:
        size, channels: of the pictures it learns from; square.
        stem: space-to-depth factor before the first convolution.
        encoder, decoder: layer strings, sides counted after the stem; the decoder's last side is the collage's grid.
        width, bottleneck: channels of the trunk, and the share of them inside blocks.
        latent: channels of z in each top-down block.
        head: "collage" or "conv".
        features, hidden: channels of the collage, and of the network at each point.
        patches, order, rho: see :class:`CollageHead`.
        cells: a training pixel is the mean over cells x cells points of the fixed point.
        continuous: the collage's fields are splines, without seams; else one number a range, as in the paper.
        likelihood: "bernoulli" or "logistic-mixture".
        smooth: weight of the penalty on variation that a training pixel cannot show, nats per pixel length.
        warm: steps over which the KL's weight grows to one.
        fine: share of the batch that the penalty is computed for.
    """

    size: int = 28
    channels: int = 1
    stem: int = 4
    encoder: str = "7x5,7d7,1x2"
    decoder: str = "1x2,7m1,7x8"
    width: int = 128
    bottleneck: float = 0.5
    latent: int = 8
    head: str = "collage"
    features: int = 16
    hidden: int = 24
    patches: int = 4
    order: int = 4
    rho: float = 0.7
    cells: int = 2
    continuous: bool = True
    likelihood: str = "bernoulli"
    smooth: float = 0.03
    warm: int = 1000
    fine: float = 0.125

    @classmethod
    def from_dict(cls, data: Any) -> VDVAEConfig:
        """From plain JSON values; a DataError names a field that is unknown, missing its type or out of range."""
        if not isinstance(data, dict):
            raise DataError("config: expected an object")
        known = {f.name: f for f in fields(cls)}
        for key, value in data.items():
            if key not in known:
                raise DataError(f"config: unknown field {key!r}; a newer FractalKit may know it")
            want = type(known[key].default)
            fits = isinstance(value, (int, float) if want is float else want)
            if not fits or (isinstance(value, bool) and want is not bool):
                raise DataError(f"config: {key} is {value!r}, expected {want.__name__}")
        made = cls(**data)
        limits = {
            "size": (4, 1024), "channels": (1, 4), "stem": (1, 16), "width": (1, 4096), "latent": (1, 1024),
            "features": (1, 1024), "hidden": (1, 4096), "patches": (0, 256), "order": (1, 32), "cells": (1, 8),
            "warm": (0, 10**9),
        }  # fmt: skip
        for key, (low, high) in limits.items():
            if not low <= getattr(made, key) <= high:
                raise DataError(f"config: {key} is {getattr(made, key)}, expected {low} to {high}")
        if not 0 <= made.rho < 1 or not 0 < made.bottleneck <= 4 or not math.isfinite(made.smooth):
            raise DataError("config: rho, bottleneck or smooth is out of range")
        if made.head not in ("collage", "conv") or made.likelihood not in LIKELIHOODS:
            raise DataError(f"config: unknown head {made.head!r} or likelihood {made.likelihood!r}")
        return made

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


class Encoder(nn.Module):
    """Bottom up: the activations that the posterior sees, the last of each side."""

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
        """Pictures ``[B, C, S, S]`` in [0, 1] -> side -> ``[B, width, side, side]``."""
        h = self.stem(space_to_depth(2 * x - 1, self.factor))
        out: dict[int, Tensor] = {h.shape[-1]: h}
        blocks = iter(self.blocks)
        for layer in self.layers:
            if layer.kind == "down":
                h = F.avg_pool2d(h, layer.other)
            else:
                h = next(blocks)(h)
            out[h.shape[-1]] = h
        return out


def normal(shape: Sequence[int], noise: Noise, device: torch.device) -> Tensor:
    """Standard normal numbers ``[B, …]``: one stream for the batch, or one for each item, whatever the batch."""
    if isinstance(noise, torch.Generator):
        return torch.randn(tuple(shape), generator=noise, device=noise.device).to(device)
    if len(noise) != shape[0]:
        raise UsageError(f"noise: {len(noise)} generators for a batch of {shape[0]}")
    return torch.stack([_normal(shape[1:], n, device) for n in noise])


def _normal(shape: Sequence[int], noise: torch.Generator | Between, device: torch.device) -> Tensor:
    if isinstance(noise, Between):
        a, b = (_normal(shape, g, device) for g in (noise.first, noise.second))
        return math.cos(noise.angle) * a + math.sin(noise.angle) * b
    return torch.randn(tuple(shape), generator=noise, device=noise.device).to(device)


class TopDown(nn.Module):
    """One stochastic layer: p(z | above), q(z | above, x), and what z does to the state.

    The state is already a deep function of all z above, so the prior reads its parameters off it with one 1x1
    convolution; the posterior, which has to compare the state with the picture, gets a block.
    """

    def __init__(self, config: VDVAEConfig, size: int, n: int) -> None:
        super().__init__()
        w, z = config.width, config.latent
        middle = max(1, round(w * config.bottleneck))
        self.size, self.latent = size, z
        self.prior = conv(w, 2 * z, 1, zero=True)
        self.posterior = Block(w, middle, 2 * z, size)
        self.inject = conv(z, w, 1, scale=1 / math.sqrt(n))
        self.block = Block(w, middle, w, size, residual=True, scale=1 / math.sqrt(n))

    def forward(
        self, h: Tensor, seen: Tensor | None, noise: Noise, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """State, KL ``[B]`` (0 without ``seen``), and log p(z) - log q(z) at the z drawn ``[B]``."""
        pm, ps = gaussian(self.prior(F.relu(h)))
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
        return self.block(h + self.inject(z.to(h.dtype))), kl, ratio


class Decoder(nn.Module):
    """Top down, from a learned constant to the features of the head."""

    def __init__(self, config: VDVAEConfig, layers: list[Layer]) -> None:
        super().__init__()
        n = sum(layer.kind == "block" for layer in layers)
        self.layers = layers
        self.constant = nn.Parameter(torch.zeros(1, config.width, layers[0].size, layers[0].size))
        self.blocks = nn.ModuleList(TopDown(config, layer.size, n) for layer in layers if layer.kind == "block")
        sides = [layer.size for layer in layers if layer.kind == "mix"]
        self.places = nn.ParameterList(nn.Parameter(torch.zeros(1, config.width, s, s)) for s in sides)

    def forward(
        self, batch: int, seen: dict[int, Tensor] | None, noise: Noise, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features ``[B, width, side, side]``, KL ``[B, layers]``, log p(z) - log q(z) ``[B]``."""
        h = working(self.constant.expand(batch, -1, -1, -1))
        kls, ratios = [], []
        blocks, places = iter(self.blocks), iter(self.places)
        for layer in self.layers:
            if layer.kind == "mix":
                h = working(F.interpolate(h, scale_factor=layer.size // h.shape[-1]) + next(places))
                continue
            h, kl, ratio = next(blocks)(h, None if seen is None else seen[layer.size], noise, temperature)
            kls.append(kl)
            ratios.append(ratio)
        return h, torch.stack(kls, dim=1), torch.stack(ratios).sum(0)


class VDVAE(nn.Module):
    """Collage-VDVAE, or with ``head="conv"`` the plain one on the same trunk.

    >>> tiny = VDVAEConfig(size=6, stem=2, encoder="3x1,3d3,1x1", decoder="1x1,3m1,3x1", width=8, latent=2, features=3)
    >>> model = VDVAE(tiny)
    >>> model.draw(model.sample([torch.Generator().manual_seed(5)]), 12, 12).shape
    torch.Size([1, 1, 12, 12])
    """

    def __init__(self, config: VDVAEConfig) -> None:
        super().__init__()
        self.config = config
        encoder, decoder = parse_layers(config.encoder), parse_layers(config.decoder)
        self._check(encoder, decoder)
        self.likelihood = LIKELIHOODS[config.likelihood](config.channels)
        self.encoder = Encoder(config, encoder)
        self.decoder = Decoder(config, decoder)
        outputs, grid = self.likelihood.outputs, decoder[-1].size
        if config.head == "collage":
            self.head: CollageHead | ConvHead = CollageHead(
                config.width, grid, features=config.features, hidden=config.hidden, outputs=outputs,
                patches=config.patches, order=config.order, rho=config.rho,
                continuous=config.continuous,
            )  # fmt: skip
        else:
            self.head = ConvHead(config.width, grid, config.size, features=config.features, outputs=outputs)

    def _check(self, encoder: list[Layer], decoder: list[Layer]) -> None:
        c = self.config
        if c.size % c.stem:
            raise DataError(f"config: size {c.size} is no multiple of stem {c.stem}")
        side, sides = c.size // c.stem, {c.size // c.stem}
        for layer in encoder:
            if layer.kind == "mix" or layer.size != side:
                raise DataError(f"config: encoder: a layer at side {layer.size} where the trunk is at {side}")
            if layer.kind == "down":
                side //= layer.other
                sides.add(side)
        side = decoder[0].size
        for layer in decoder:
            if layer.kind == "down" or (layer.kind == "mix" and layer.other != side):
                raise DataError("config: decoder: sides can only grow, each mix from the side before it")
            if layer.kind == "block" and (layer.size != side or layer.size not in sides):
                raise DataError(f"config: decoder: the encoder never passes side {layer.size} of a block")
            side = layer.size
        if decoder[-1].kind != "block" or all(layer.kind != "block" for layer in encoder):
            raise DataError("config: encoder and decoder must end with blocks")

    # ---- training

    def _posterior(self, x: Tensor, noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
        x = x.contiguous(memory_format=torch.channels_last)
        return self.decoder(len(x), self.encoder(x), noise)

    @property
    def cells(self) -> int:
        """Points along each side of a training pixel."""
        return self.config.cells if self.config.head == "collage" else 1

    def losses(self, x: Tensor, generator: Noise, step: int) -> dict[str, Tensor]:
        """What training minimises, nats per picture, and its parts; x ``[B, C, S, S]`` in [0, 1].

        "loss" = distortion + beta KL + smooth * excess variation, beta growing to one over ``warm`` steps.
        """
        c = self.config
        h, kl, _ = self._posterior(x, generator)
        beta = min(1.0, (step + 1) / c.warm) if c.warm else 1.0
        out: dict[str, Tensor] = {}
        if isinstance(self.head, CollageHead):
            n = c.size * self.cells
            code = self.head.code(h)
            parameters = self.head.pixels(self.head.fixed_point(code, n, n))
            excess = self._excess(code, parameters, generator)
            out["excess"] = excess.detach()
        else:
            parameters = self.head(h, c.size, c.size)
            excess = None
        nll = -self.likelihood.log_prob(parameters, x, self.cells).mean()
        per_layer = kl.mean(0)
        rate = per_layer.sum()
        loss = nll + beta * rate
        if excess is not None and c.smooth:
            loss = loss + c.smooth * excess
        return out | {
            "loss": loss,
            "elbo": (nll + rate).detach(),
            "nll": nll.detach(),
            "kl": rate.detach(),
        }

    def _excess(self, code: CollageCode, parameters: Tensor, noise: Noise) -> Tensor:
        """Variation of the fine picture beyond that of its own area averages, in pixel lengths, mean over pictures.

        Area averages can only lose variation; what they lose no training pixel ever sees, so nothing else would keep
        the fixed point from filling it with grain. Measured at the cells of a training pixel, and for a share of the
        batch in a window at four or eight points a pixel.
        """
        c = self.config
        total = excess_variation(self.likelihood.mean(parameters), self.cells)
        some = max(1, round(c.fine * len(parameters)))
        first = noise if isinstance(noise, torch.Generator) else noise[0]
        assert isinstance(first, torch.Generator)
        k, row, col = (int(v) for v in torch.randint(0, 1 << 30, (3,), generator=first, device=first.device))
        cells = (4, 4, 8)[k % 3]
        n = c.size * cells
        side = min(2 * c.size, n) // cells * cells
        y, x = row % ((n - side) // cells + 1) * cells, col % ((n - side) // cells + 1) * cells
        assert isinstance(self.head, CollageHead)
        fine = self.head.fixed_point(code[:some], n, n, (y, x, y + side, x + side))
        area = (n / side) ** 2  # the window stands for the whole picture
        return total + area * excess_variation(self.likelihood.mean(self.head.pixels(fine)), cells)

    @torch.no_grad()
    def eval_losses(self, x: Tensor, generator: Noise) -> dict[str, Tensor]:
        """-ELBO and its parts with one z for each picture: "elbo", "nll" ``[B]``, "kl" ``[B, layers]``, nats."""
        h, kl, ratio = self._posterior(x, generator)
        nll = -self.likelihood.log_prob(self._likelihood(h), x, self.cells)
        return {"elbo": nll + kl.sum(1), "nll": nll, "kl": kl, "log_weight": ratio - nll}

    @torch.no_grad()
    def importance_bound(self, x: Tensor, generator: Noise, k: int, *, chunk: int = 100) -> Tensor:
        """-log of the mean of k importance weights, ``[B]`` nats (Burda et al., IWAE, 2016, eq. 8)."""
        if k < 1:
            raise UsageError(f"k: expected at least 1 sample, got {k}")
        parts = []
        x = x.contiguous(memory_format=torch.channels_last)
        seen = self.encoder(x)
        for start in range(0, k, chunk):
            m = min(chunk, k - start)
            many = {side: a.repeat_interleave(m, dim=0) for side, a in seen.items()}
            if not isinstance(generator, torch.Generator):
                raise UsageError("generator: the importance bound draws from one stream")
            h, _, ratio = self.decoder(len(x) * m, many, generator)
            log_p = self.likelihood.log_prob(self._likelihood(h), x.repeat_interleave(m, dim=0), self.cells)
            parts.append((log_p + ratio).view(len(x), m))
        return math.log(k) - torch.logsumexp(torch.cat(parts, dim=1), dim=1)

    def _likelihood(self, h: Tensor) -> Tensor:
        n = self.config.size * self.cells
        return self.head(h, n, n)

    # ---- pictures

    @torch.no_grad()
    def sample(self, generators: Sequence[torch.Generator | Between], temperature: float = 1.0) -> Tensor:
        """Features ``[B, width, G, G]`` of new pictures, one for each generator.

        Item by item, so that an item is the same to the last bit whatever else is drawn with it. Temperature scales
        the standard deviation of every p(z | z above), 0 to draw the most likely.
        """
        if not temperature >= 0 or not math.isfinite(temperature):
            raise UsageError(f"temperature: expected a number from 0, got {temperature}")
        return torch.cat([self.decoder(1, None, [g], temperature)[0] for g in generators])

    @torch.no_grad()
    def infer(self, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Features of a reconstruction of each picture in ``[B, C, S, S]``: z drawn from q(z | x)."""
        return torch.cat([self._posterior(x[i : i + 1], [g])[0] for i, g in enumerate(generators)])

    @torch.no_grad()
    def draw(self, h: Tensor, height: int, width: int) -> Tensor:
        """Mean pictures ``[B, C, height, width]`` in [0, 1], any size for a collage (in memory; see render.collage).

        A pixel is the mean over the points in it, of which there are as many a side as a training picture has, or more.
        """
        from fractalkit.maps.collage import valid_size

        if not isinstance(self.head, CollageHead):
            return self.likelihood.mean(self.head(h, height, width))
        points = self.config.size * self.cells
        full = valid_size(self.head.code(h), max(height, points), max(width, points))
        mean = self.likelihood.mean(self.head(h, *full))
        return mean if full == (height, width) else F.interpolate(mean, (height, width), mode="area")

    def save_pretrained(
        self,
        path: str | Path,
        metadata: dict[str, Any] | None = None,
        *,
        state: dict[str, Tensor] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Write weights and configuration, see :func:`fractalkit.models.hub.save_pretrained`."""
        from fractalkit.models.hub import save_pretrained

        save_pretrained(self, path, metadata, state=state, dtype=dtype)

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Upload to ``owner/name``, see :func:`fractalkit.models.hub.push_to_hub`."""
        from fractalkit.models.hub import push_to_hub

        return push_to_hub(self, repository, **options)

    @staticmethod
    def from_pretrained(name: str | Path, *, device: torch.device | str = "cpu") -> VDVAE:
        """Load weights by name, path or hub id, see :func:`fractalkit.models.hub.from_pretrained`."""
        from fractalkit.models.hub import from_pretrained

        return from_pretrained(name, device=device, architecture="vdvae")

    def with_config(self, **changes: Any) -> VDVAE:
        """The same weights under another training configuration (smooth, warm, cells …)."""
        made = VDVAE(replace(self.config, **changes))
        made.load_state_dict(self.state_dict())
        return made


def excess_variation(p: Tensor, cells: int) -> Tensor:
    """Total variation of ``[B, C, s H, s W]`` less that of its s x s means, in coarse pixel lengths, batch mean."""
    if cells == 1:
        return p.new_zeros(())
    return (_variation(p) / cells - _variation(F.avg_pool2d(p, cells))) / len(p)


def _variation(p: Tensor) -> Tensor:
    return (p[..., 1:, :] - p[..., :-1, :]).abs().sum() + (p[..., 1:] - p[..., :-1]).abs().sum()

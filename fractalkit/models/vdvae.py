"""The very deep VAE of Child (arXiv 2011.10650) with a collage as its last layer (Poli, Xu et al., NeurIPS 2022).

    x -> encoder, bottom up: activations at each side
    1x1 constant -> top-down blocks: prior and posterior of z, z added -> features h
    h -> head: a collage code, whose fixed point has any size (or convolutions, for comparison)
    fixed point -> a small network at each point -> p(x | z)

-ELBO = -E_q log p(x | z) + sum over layers of KL(q(z_l | x, z_<l) || p(z_l | z_<l)), in nats per picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fractalkit.checked import BELOW_ONE, CheckedSettings, one_of, within
from fractalkit.codes.collage import CollageCode
from fractalkit.core import fixed_point
from fractalkit.errors import DataError, UsageError
from fractalkit.maps.collage import CollageMap
from fractalkit.models import mean_picture
from fractalkit.models.blocks import (
    Block,
    Layer,
    conv,
    full,
    gaussian,
    kl_divergence,
    log_normal,
    parse_layers,
    space_to_depth,
    working,
)
from fractalkit.models.heads import CollageHead, ConvHead
from fractalkit.models.likelihoods import LIKELIHOODS
from fractalkit.models.mean_picture import MeanPicture, Still, check_sharpness
from fractalkit.models.noise import Between, Given, Noise, normal, stream, temperatures
from fractalkit.models.pretrained import register_model
from fractalkit.models.sampling import Sampler

MOST_GUIDANCE = 10.0
SQUARES = 4.0  # weight of the square of a pixel's hidden variation beside its excess


@dataclass(frozen=True)
class VDVAEConfig(CheckedSettings):
    """Configuration of a VDVAE: all that its weights do not determine.

    Attributes:
        size, channels: side and channels of the square training pictures.
        stem: space-to-depth factor before the first convolution.
        encoder, decoder: layer strings, sides counted after the stem; the last side of the decoder is the grid.
        width, bottleneck: channels of the trunk, and the fraction of them inside blocks.
        latent: channels of z in each top-down block.
        prior: "linear", one 1x1 convolution of the state, or "block", which adds a block that also sees the mean state.
        classes: number of classes that samples can be asked for; 0 for a model without. Needs ``prior="block"``.
        unlabelled: share of the training pictures whose class is withheld, so that samples can do without one.
        head: "collage" or "conv".
        features, hidden: channels of the collage and of the network at each point.
        patches, order, rho: see :class:`CollageHead`.
        cells: a training pixel is the mean over cells x cells points of the fixed point.
        continuous: the fields of the collage are splines without seams, or, as in the paper, one number per range.
        likelihood: "bernoulli" or "logistic-mixture".
        smooth: weight of the penalty on variation finer than a training pixel, in nats per pixel length.
        warm: steps over which the weight of the KL grows to one.
        fine: fraction of the batch for which the penalty is computed.
    """

    size: int = within(28, 4, 1024)
    channels: int = within(1, 1, 4)
    stem: int = within(4, 1, 16)
    encoder: str = "7x5,7d7,1x2"
    decoder: str = "1x2,7m1,7x8"
    width: int = within(128, 1, 4096)
    bottleneck: float = within(0.5, 1e-6, 4)
    latent: int = within(8, 1, 1024)
    prior: str = one_of("linear", "block")
    classes: int = within(0, 0, 1000)
    unlabelled: float = within(0.5, 0, 1)
    head: str = one_of("collage", "conv")
    features: int = within(16, 1, 1024)
    hidden: int = within(24, 1, 4096)
    patches: int = within(4, 0, 256)
    order: int = within(4, 1, 32)
    rho: float = within(0.7, 0, BELOW_ONE)
    cells: int = within(2, 1, 8)
    continuous: bool = True
    likelihood: str = one_of(*LIKELIHOODS)
    smooth: float = within(0.03, -1e9, 1e9)
    warm: int = within(1000, 0, 10**9)
    fine: float = within(0.125, 0, 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes and self.prior != "block":
            raise UsageError('classes: only a prior "block" knows classes; set prior=block')


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
                h = F.avg_pool2d(h, layer.other)
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
    """A block that adds to a linear prior; it sees the neighbours, the mean state, and the class.

    It begins as zero, so a trained model with linear priors stays what it is until it is trained on.

    Args:
        classes: number of classes; the row after the last stands for none. Each has a vector that is added to the
            state, and a table that is added to the parameters (see :mod:`.class_priors`).
    """

    def __init__(self, width: int, middle: int, outputs: int, size: int, classes: int) -> None:
        super().__init__()
        self.mean = conv(width, width, 1, zero=True)
        self.block = Block(width, middle, outputs, size, zero=True)
        self.labels = nn.Parameter(torch.zeros(classes + 1, width)) if classes else None
        self.table = nn.Parameter(torch.zeros(classes + 1, outputs, size, size)) if classes else None

    def forward(self, h: Tensor, labels: Tensor | None) -> Tensor:
        """What is added to the parameters of the prior; state ``[B, width, s, s]``, classes ``[B]`` or None."""
        x = h + self.mean(F.relu(h.mean((2, 3), keepdim=True)))
        if self.labels is not None:
            rows = self.labels[-1:] if labels is None else self.labels[labels]
            x = x + rows[:, :, None, None].to(x.dtype)
        out: Tensor = self.block(x)
        if self.table is not None:
            out = full(out) + (self.table[-1:] if labels is None else self.table[labels])
        return out


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
        self.deep = DeepPrior(w, middle, 2 * z, size, config.classes) if config.prior == "block" else None
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
            labels: the class of each picture, ``[B]``; None for none.
            record: receives the latents of each layer.
            guidance: factor of the distance of a class's prior means from those without a class.
        """
        h = working(self.constant.expand(batch, -1, -1, -1))
        kls, ratios = [], []
        blocks, places = iter(self.blocks), iter(self.places)
        heat = iter(temperature or [1.0] * len(self.blocks))
        for layer in self.layers:
            if layer.kind == "mix":
                h = working(F.interpolate(h, scale_factor=layer.size // h.shape[-1]) + next(places))
                continue
            at = None if seen is None else seen[layer.size]
            h, kl, ratio = next(blocks)(h, at, noise, next(heat), labels, record, guidance)
            kls.append(kl)
            ratios.append(ratio)
        return h, torch.stack(kls, dim=1), torch.stack(ratios).sum(0)


@register_model("vdvae")
class VDVAE(Sampler):
    """Collage-VDVAE, or with ``head="conv"`` a plain VDVAE with the same trunk.

    >>> tiny = VDVAEConfig(size=6, stem=2, encoder="3x1,3d3,1x1", decoder="1x1,3m1,3x1", width=8, latent=2, features=3)
    >>> model = VDVAE(tiny)
    >>> model.draw(model.features([torch.Generator().manual_seed(5)]), 12, 12).shape
    torch.Size([1, 1, 12, 12])
    """

    config_type = VDVAEConfig

    def __init__(self, config: VDVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.side, self.channels = config.size, config.channels
        self.classes = config.classes
        self.any_size, self.light_on_dark = config.head == "collage", config.likelihood == "bernoulli"
        encoder, decoder = parse_layers(config.encoder), parse_layers(config.decoder)
        _check_layers(config, encoder, decoder)
        self.likelihood = LIKELIHOODS[config.likelihood](config.channels)
        self.encoder = Encoder(config, encoder)
        self.decoder = Decoder(config, decoder)
        self.layer_sides = [layer.size for layer in decoder if layer.kind == "block"]
        outputs, grid = self.likelihood.outputs, decoder[-1].size
        if config.head == "collage":
            self.head: CollageHead | ConvHead = CollageHead(
                config.width, grid, features=config.features, hidden=config.hidden, outputs=outputs,
                patches=config.patches, order=config.order, rho=config.rho,
                continuous=config.continuous,
            )  # fmt: skip
        else:
            self.head = ConvHead(config.width, grid, config.size, features=config.features, outputs=outputs)

    # ---- training

    @staticmethod
    def neutral(name: str) -> bool:
        """Whether a tensor changes nothing at its initial value, so that weights without it can be trained on."""
        return ".deep." in name

    def _posterior(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        x = x.contiguous(memory_format=torch.channels_last)
        return self.decoder(len(x), self.encoder(x), noise, labels=labels)

    def _withheld(self, labels: Tensor, noise: Noise) -> Tensor:
        """The labels, a share of them replaced by the row of no class."""
        first = stream(noise)
        hide = torch.rand(len(labels), generator=first, device=first.device).to(labels.device) < self.config.unlabelled
        return torch.where(hide, self.config.classes, labels.long())

    @property
    def cells(self) -> int:
        """Points along each side of a training pixel."""
        return self.config.cells if self.config.head == "collage" else 1

    def losses(self, x: Tensor, generator: Noise, step: int, labels: Tensor | None = None) -> dict[str, Tensor]:
        """The training loss and its parts in nats per picture; x ``[B, C, S, S]`` in [0, 1], labels ``[B]``.

        "loss" = distortion + beta KL + smooth * excess variation, beta growing to one over ``warm`` steps.
        """
        c = self.config
        if labels is not None:
            labels = self._withheld(labels, generator)
        h, kl, _ = self._posterior(x, generator, labels)
        beta = min(1.0, (step + 1) / c.warm) if c.warm else 1.0
        out: dict[str, Tensor] = {}
        if isinstance(self.head, CollageHead):
            n = c.size * self.cells
            code = self.head.code(h)
            parameters = self.head.pixels(self.head.fixed_point(code, n, n))
            excess = None
            if parameters.requires_grad:  # not while only priors are trained
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
            "loss": loss, "elbo": (nll + rate).detach(), "nll": nll.detach(), "kl": rate.detach(),
        }  # fmt: skip

    def _excess(self, code: CollageCode, parameters: Tensor, noise: Noise) -> Tensor:
        """Total variation of the fine picture less that of its area averages, in pixel lengths, mean over pictures.

        Area averages can only lose variation. Training pixels do not see this part, so nothing else keeps the fixed
        point from filling it with grain. It is measured at the cells of a training pixel, and for a fraction of the
        batch in a window at four or eight points per pixel: of the fixed point, or of the picture that is drawn
        without self-reference beyond the training resolution. There, a square of each pixel's part is added.
        """
        c = self.config
        total = excess_variation(self.likelihood.mean(parameters), self.cells)
        some = max(1, round(c.fine * len(parameters)))
        first = stream(noise)
        k, row, col = (int(v) for v in torch.randint(0, 1 << 30, (3,), generator=first, device=first.device))
        cells = (4, 4, 8)[k % 3]
        n, side = c.size, min(2 * c.size // cells, c.size)
        (top, bottom), (left, right) = (uniform_span(n, side, at) for at in (row, col))
        assert isinstance(self.head, CollageHead)
        window = (left * cells, top * cells, right * cells, bottom * cells)
        if k // 3 % 2:
            fine = self.head.fixed_point(code[:some], n * cells, n * cells, window)
        else:
            native = (n * self.cells, n * self.cells)
            fine = fixed_point(CollageMap(code[:some], n * cells, n * cells, detail=0.0, native=native), window)
        area = ((n + side - 1) / side) ** 2  # over the share of windows that cover a pixel
        p = self.likelihood.mean(self.head.pixels(fine))
        squares = hidden_variation(p, cells).square().sum() / some
        return total + area * (excess_variation(p, cells) + SQUARES * squares)

    @torch.no_grad()
    def eval_losses(self, x: Tensor, generator: Noise, labels: Tensor | None = None) -> dict[str, Tensor]:
        """-ELBO and its parts with one z for each picture: "elbo", "nll" ``[B]``, "kl" ``[B, layers]``, nats.

        With labels ``[B]``, it bounds -log p(x | class).
        """
        h, kl, ratio = self._posterior(x, generator, labels)
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

    def _labels(self, labels: Sequence[int | None] | Tensor | None, n: int) -> Tensor | None:
        """Classes ``[n]`` on the device, the one after the last for None."""
        if labels is None:
            return None
        given = [None if v is None else int(v) for v in labels]
        if not self.classes:
            raise UsageError("label: this model knows no classes; choose a model that was trained with them")
        if len(given) != n:
            raise UsageError(f"labels: {len(given)} for {n} pictures")
        for value in given:
            if value is not None and not 0 <= value < self.classes:
                raise UsageError(f"label: expected 0 to {self.classes - 1}, got {value}")
        device = next(self.parameters()).device
        return torch.tensor([self.classes if v is None else v for v in given], device=device)

    @torch.no_grad()
    def features(
        self,
        generators: Sequence[torch.Generator | Between | Given],
        temperature: float | Mapping[int, float] = 1.0,
        *,
        labels: Sequence[int | None] | None = None,
        layers: int | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """Features ``[B, width, G, G]`` of new pictures, one for each generator.

        Items are computed one by one, so that each is the same to the last bit in any batch.

        Args:
            temperature: scales the standard deviation of p(z | z above), of all layers or by their side; 0 takes means.
            labels: the class of each picture; None for any.
            layers: only the first so many layers are drawn; those below take their means.
            guidance: how much of a class: 1 samples its distribution, more moves the means further away from those
                without a class, for plainer examples of it (after Ho and Salimans, *Classifier-Free Diffusion
                Guidance*, 2022).

        Raises:
            UsageError: a value out of range, or labels for a model without classes.
        """
        heat = temperatures(temperature, self.layer_sides, layers)
        if not 0 <= guidance <= MOST_GUIDANCE:
            raise UsageError(f"guidance: expected a number from 0 to {MOST_GUIDANCE:g}, got {guidance}")
        classes = self._labels(labels, len(generators))
        each = [None] * len(generators) if classes is None else list(classes.split(1))
        drawn = [
            self.decoder(1, None, [g], heat, y, guidance=guidance)[0] for g, y in zip(generators, each, strict=True)
        ]
        return torch.cat(drawn)

    @torch.no_grad()
    def infer(self, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Features of a reconstruction of each picture in ``[B, C, S, S]``, with z sampled from q(z | x)."""
        return torch.cat([self._posterior(x[i : i + 1], [g])[0] for i, g in enumerate(generators)])

    @torch.no_grad()
    def latents(
        self, x: Tensor, generators: Sequence[torch.Generator], *, labels: Sequence[int | None] | None = None
    ) -> Latents:
        """Latents of pictures ``[B, C, S, S]``, sampled from q(z | x).

        ``model.features(latents.given(), labels=labels)`` has the features that :meth:`infer` finds; with other labels,
        it draws other classes from the same noise.
        """
        classes, record = self._labels(labels, len(x)), Latents([], [])
        seen = self.encoder(x.contiguous(memory_format=torch.channels_last))
        self.decoder(len(x), seen, generators, None, classes, record)
        return record

    @torch.no_grad()
    def redrawn(self, x: Tensor, generators: Sequence[torch.Generator], label: int, *, guidance: float = 1.0) -> Tensor:
        """Features of each picture drawn anew as another class: its noise under the class that explains it best."""
        own = self.class_scores(x).argmax(1).tolist()
        parts = []
        for i, g in enumerate(generators):
            given = self.latents(x[i : i + 1], [g], labels=[own[i]]).given()
            parts.append(self.features(given, labels=[label], guidance=guidance))
        return torch.cat(parts)

    @torch.no_grad()
    def class_scores(self, x: Tensor, seed: int = 0) -> Tensor:
        """ELBO of each picture under each class, nats up to a constant of the picture, ``[B, classes]``.

        The posterior does not depend on the class, so classes differ by their KL only. The largest entry is the class
        that explains a picture best.
        """
        if not self.classes:
            raise UsageError("label: this model knows no classes; choose a model that was trained with them")
        scores = []
        for value in range(self.classes):
            noise = torch.Generator(x.device).manual_seed(seed)
            labels = torch.full((len(x),), value, device=x.device)
            scores.append(-self._posterior(x, noise, labels)[1].sum(1))
        return torch.stack(scores, dim=1)

    def picture(self, h: Tensor, *, detail: float = 0.0, sharpness: float = 1.0) -> MeanPicture | Still:
        """The mean picture of features ``[1, width, G, G]``, to be drawn at any size if the head is a collage."""
        if self.any_size:
            return MeanPicture.of(self, h, detail=detail, sharpness=sharpness)
        return Still(self.draw(h, self.side, self.side, sharpness=sharpness)[0].cpu().numpy())

    @torch.no_grad()
    def draw(self, h: Tensor, height: int, width: int, *, detail: float = 0.0, sharpness: float = 1.0) -> Tensor:
        """Mean pictures ``[B, C, height, width]`` in [0, 1] of features: any size for a collage, in memory.

        ``fractalkit sample`` draws by the same function (:func:`fractalkit.models.mean_picture.rows`), strip by strip.

        Args:
            detail: contrast of copied detail that is finer than a training picture's, 0 to 2.
            sharpness: factor of the logits; see :meth:`MeanPicture.of`.
        """
        if not isinstance(self.head, CollageHead):
            check_sharpness(sharpness, self.likelihood.name == "bernoulli")
            return self.likelihood.mean(sharpness * self.head(h, height, width))
        shown = (MeanPicture.of(self, one, detail=detail, sharpness=sharpness) for one in h.split(1))
        drawn = [mean_picture.draw(one, height, width) for one in shown]
        return torch.from_numpy(np.stack(drawn)).to(h.device)


def _check_layers(config: VDVAEConfig, encoder: list[Layer], decoder: list[Layer]) -> None:
    """Raise a DataError where the layers of the trunk do not fit together."""
    if config.size % config.stem:
        raise DataError(f"config: size {config.size} is no multiple of stem {config.stem}")
    sides = _encoder_sides(config.size // config.stem, encoder)
    side = decoder[0].size
    for layer in decoder:
        if layer.kind == "down" or (layer.kind == "mix" and layer.other != side):
            raise DataError("config: decoder: sides can only grow, each mix from the side before it")
        if layer.kind == "block" and (layer.size != side or layer.size not in sides):
            raise DataError(f"config: decoder: the encoder never passes side {layer.size} of a block")
        side = layer.size
    if decoder[-1].kind != "block" or all(layer.kind != "block" for layer in encoder):
        raise DataError("config: encoder and decoder must end with blocks")


def _encoder_sides(side: int, encoder: list[Layer]) -> set[int]:
    """Sides of the activations of an encoder that begins at ``side``."""
    sides = {side}
    for layer in encoder:
        if layer.kind == "mix" or layer.size != side:
            raise DataError(f"config: encoder: a layer at side {layer.size} where the trunk is at {side}")
        if layer.kind == "down":
            side //= layer.other
            sides.add(side)
    return sides


def uniform_span(n: int, side: int, at: int) -> tuple[int, int]:
    """One of n + side - 1 spans of at most ``side`` pixels of n, such that each pixel lies in exactly ``side`` of them.

    Spans that begin inside would cover the pixels near the border less often than the others.

    >>> [uniform_span(4, 2, k) for k in range(5)]
    [(0, 1), (0, 2), (1, 3), (2, 4), (3, 4)]
    """
    start = at % (n + side - 1) - side + 1
    return max(start, 0), min(start + side, n)


def excess_variation(p: Tensor, cells: int) -> Tensor:
    """Total variation of ``[B, C, s H, s W]`` less that of its s x s means, in coarse pixel lengths, batch mean."""
    if cells == 1:
        return p.new_zeros(())
    return (_variation(p) / cells - _variation(F.avg_pool2d(p, cells))) / len(p)


def hidden_variation(p: Tensor, cells: int) -> Tensor:
    """Variation within each pixel of ``[B, C, s H, s W]`` beyond a monotone course, ``[B, C, H, W]``.

    The total variation along a line of s points less the difference of its ends, mean over the pixel's lines, the
    larger of rows and columns.

    >>> hidden_variation(torch.tensor([[[[0.0, 1.0, 0.0], [0.0, 0.5, 1.0], [0.0, 0.0, 0.0]]]]), 3).item()
    0.6666666865348816
    """
    b, c, h, w = p.shape
    parts = p.reshape(b, c, h // cells, cells, w // cells, cells)
    lines = []
    for along, across in ((3, 5), (5, 3)):
        ends = parts.select(along, cells - 1) - parts.select(along, 0)
        rest = parts.diff(dim=along).abs().sum(along) - ends.abs()
        lines.append(rest.mean(across - (across > along)))
    return torch.maximum(*lines)


def _variation(p: Tensor) -> Tensor:
    return (p[..., 1:, :] - p[..., :-1, :]).abs().sum() + (p[..., 1:] - p[..., :-1]).abs().sum()

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

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fractalkit.codes.collage import CollageCode
from fractalkit.core import fixed_point
from fractalkit.errors import UsageError
from fractalkit.maps.collage import CollageMap
from fractalkit.models import mean_picture
from fractalkit.models.blocks import parse_layers
from fractalkit.models.heads import CollageHead, ConvHead
from fractalkit.models.likelihoods import LIKELIHOODS
from fractalkit.models.mean_picture import MeanPicture, Still, check_sharpness
from fractalkit.models.noise import Between, Given, Noise, stream, temperatures
from fractalkit.models.pretrained import register_model
from fractalkit.models.sampling import Labels, Sampler
from fractalkit.models.trunk import Decoder, Encoder, Latents
from fractalkit.models.vdvae_config import VDVAEConfig, check_layers

MOST_GUIDANCE = 10.0
SQUARES = 4.0  # weight of the square of a pixel's hidden variation beside its excess


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
        check_layers(config, encoder, decoder)
        self.likelihood = LIKELIHOODS[config.likelihood](config.channels)
        self.encoder = Encoder(config, encoder)
        self.decoder = Decoder(config, decoder)
        self.layer_sides = [layer.size for layer in decoder if layer.kind == "block"]
        outputs, last = self.likelihood.outputs, decoder[-1].size
        if config.head == "collage":
            grid = config.grid or last
            self.head: CollageHead | ConvHead = CollageHead(
                config.width, grid, features=config.features, hidden=config.hidden, outputs=outputs,
                patches=config.patches, order=config.order, rho=config.rho,
                continuous=config.continuous, fold=last // grid,
            )  # fmt: skip
        else:
            self.head = ConvHead(config.width, last, config.size, features=config.features, outputs=outputs)

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

        "loss" = distortion + beta KL + smooth * excess variation, beta growing to one over ``warm`` steps. Layers whose
        mean KL is below ``free`` nats count as ``free``. Where only priors are trained, "loss" is the KL alone.
        """
        c = self.config
        if labels is not None:
            labels = self._withheld(labels, generator)
        h, kl, _ = self._posterior(x, generator, labels)
        beta = min(1.0, (step + 1) / c.warm) if c.warm else 1.0
        per_layer = kl.mean(0)
        rate, paid = per_layer.sum(), per_layer.clamp_min(c.free).sum()
        if not (h.requires_grad or any(p.requires_grad for p in self.head.parameters())):
            return {"loss": beta * paid, "kl": rate.detach()}  # only priors are trained: pictures stay what they are
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
        loss = nll + beta * paid
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
            native, shown = (n * self.cells, n * self.cells), code[:some]
            map = CollageMap(shown, n * cells, n * cells, detail=0.0, native=native, cells=self.cells)
            fine = fixed_point(map, window)
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

    def _labels(self, labels: Labels | None, n: int) -> Tensor | None:
        """Classes ``[n]`` on the device, the one after the last for None; or weights of these ``[n, classes + 1]``."""
        if labels is None:
            return None
        if len(labels) != n:
            raise UsageError(f"labels: {len(labels)} for {n} pictures")
        device = next(self.parameters()).device
        if isinstance(labels, Tensor) and labels.is_floating_point():
            return labels.to(device)
        given = [None if v is None else int(v) for v in labels]
        self.check_labels(given)
        return torch.tensor([self.classes if v is None else v for v in given], device=device)

    @torch.no_grad()
    def features(
        self,
        generators: Sequence[torch.Generator | Between | Given],
        temperature: float | Mapping[int, float] = 1.0,
        *,
        labels: Labels | None = None,
        layers: int | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """Features ``[B, width, G, G]`` of new pictures, one for each generator.

        Items are computed one by one, so that each is the same to the last bit in any batch.

        Args:
            temperature: scales the standard deviation of p(z | z above), of all layers or by their side; 0 takes means.
            labels: the class of each picture, None for none; or weights ``[B, classes + 1]`` of the classes and none.
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
        self.check_labels([])
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

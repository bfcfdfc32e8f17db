"""The tables of a class-conditional prior in closed form, from one pass over labelled pictures.

With the posterior and the trunk fixed, the best constant shift of the prior's mean, and of its log sigma, for each
class, layer, channel and place minimises the KL of a Gaussian, so it is a weighted mean:

    a = E[(m_q - m_p) / s_p^2] / E[1 / s_p^2],    b = 1/2 log E[((m_q - m_p - a)^2 + s_q^2) / s_p^2]

over the pictures of the class. No gradient is needed, and samples without a class stay as they are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fractalkit.errors import UsageError
from fractalkit.models.blocks import gaussian, grow, working
from fractalkit.models.trunk import DeepPrior, TopDown
from fractalkit.models.vdvae import VDVAE

BATCH = 100
LEAST = 20  # pictures of a class


@torch.no_grad()
def fit_class_tables(model: VDVAE, x: Tensor, y: Tensor, *, seed: int = 0) -> VDVAE:
    """Set the tables of all classes, layer after layer in one pass, and return the model.

    Args:
        model: a model with classes, whose tables are zero or are added to.
        x, y: pictures ``[N, C, S, S]`` in [0, 1] and their classes ``[N]``, at least 20 of each class.
        seed: of the latents.

    Raises:
        UsageError: a model without classes, or too few pictures of a class.
    """
    if not model.classes:
        raise UsageError("label: this model knows no classes; choose a model that was trained with them")
    counts = torch.bincount(y, minlength=model.classes)
    if len(counts) > model.classes or int(counts.min()) < LEAST:
        raise UsageError(f"labels: expected at least {LEAST} pictures of each of {model.classes} classes")
    sums = [_Sums(model.classes, block) for block in _blocks(model)]
    for start in range(0, len(x), BATCH):
        noise = torch.Generator().manual_seed(seed + start)
        _pass(model, x[start : start + BATCH], y[start : start + BATCH], noise, sums)
    for block, total in zip(_blocks(model), sums, strict=True):
        assert isinstance(block.deep, DeepPrior) and block.deep.table is not None
        block.deep.table[:-1] += total.shift()
    return model


def _blocks(model: VDVAE) -> list[TopDown]:
    return [block for block in model.decoder.blocks if isinstance(block, TopDown)]


class _Sums:
    """Sums over the pictures of each class, ``[classes, z, s, s]``: of w, w r, w r^2 and w s_q^2, with r = m_q - m_p
    and w = 1 / s_p^2, and the numbers of pictures."""

    def __init__(self, classes: int, block: TopDown) -> None:
        self.sums = torch.zeros(4, classes, block.latent, block.size, block.size)
        self.counts = torch.zeros(classes)

    def add(self, y: Tensor, prior: tuple[Tensor, Tensor], posterior: tuple[Tensor, Tensor]) -> None:
        w, r = torch.exp(-2 * prior[1]), posterior[0] - prior[0]
        for total, term in zip(self.sums, (w, w * r, w * r * r, w * torch.exp(2 * posterior[1])), strict=True):
            total.index_add_(0, y, term)
        self.counts.index_add_(0, y, torch.ones(len(y)))

    def shift(self) -> Tensor:
        """The best shifts of mean and log sigma, ``[classes, 2 z, s, s]``."""
        w, wr, wrr, ws = self.sums
        a = wr / w
        spread = (wrr - 2 * a * wr + a * a * w + ws) / self.counts[:, None, None, None]
        return torch.cat([a, 0.5 * torch.log(spread)], dim=1)


def _pass(model: VDVAE, x: Tensor, y: Tensor, noise: torch.Generator, sums: list[_Sums]) -> None:
    """Add a batch to the sums of each layer; latents are drawn from the posterior."""
    seen = model.encoder(x.contiguous(memory_format=torch.channels_last))
    decoder = model.decoder
    h = working(decoder.constant.expand(len(x), -1, -1, -1))
    blocks, places, totals = iter(_blocks(model)), iter(decoder.places), iter(sums)
    for layer in decoder.layers:
        if layer.kind == "mix":
            h = working(grow(h, layer.size) + next(places))
            continue
        block = next(blocks)
        assert isinstance(block.deep, DeepPrior)
        prior = gaussian(block.prior(F.relu(h)) + block.deep(h, y))
        posterior = gaussian(block.posterior(h + seen[layer.size]))
        next(totals).add(y, prior, posterior)
        z = posterior[0] + torch.exp(posterior[1]) * torch.randn(posterior[0].shape, generator=noise)
        h = block.block(h + block.inject(z.to(h.dtype)))

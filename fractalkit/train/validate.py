"""Score a model on held-out pictures, always the same ones with the same noise."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from fractalkit.data.image_set import ImageSet
from fractalkit.errors import DataError
from fractalkit.train.config import TrainConfig
from fractalkit.train.randomness import VALID_NOISE, seed_of, subset
from fractalkit.train.ranks import Ranks


@torch.no_grad()
def validate(model: nn.Module, data: ImageSet, config: TrainConfig, ranks: Ranks) -> dict[str, Any]:
    """Average all values of ``eval_losses`` over the validation pictures.

    Returns:
        The means, numbers or lists, with "nats" (-ELBO per picture), "bits_per_dim" and "items".

    Raises:
        DataError: the loss is not finite.
    """
    chosen = subset(config.seed, len(data), config.valid_items)
    batches = [chosen[i : i + config.valid_batch] for i in range(0, len(chosen), config.valid_batch)]
    generator = torch.Generator(ranks.device)
    sums: dict[str, Tensor] = {}
    # a process without a batch computes the first one with weight zero, so that all processes reduce the same sums
    mine = list(range(ranks.rank, len(batches), ranks.world))
    for number in mine or [0]:
        generator.manual_seed(seed_of(config.seed, VALID_NOISE, number))
        torch.manual_seed(0)
        x = torch.from_numpy(data.images[batches[number]]).to(ranks.device).float() / (data.levels - 1)
        if data.dynamic:
            x = drawn(x, generator)
        if config.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(ranks.device.type, torch.bfloat16, enabled=config.bf16):
            values = model.eval_losses(x, generator)  # type: ignore[operator]
        for key, value in values.items():
            v = value.float().cpu().double()
            total = v.sum(0) if v.ndim and len(v) == len(x) else v * len(x)
            total = total * bool(mine)
            sums[key] = sums[key] + total if key in sums else total
    ranks.sum_(sums.values())
    means: dict[str, Any] = {k: (v / len(chosen)).tolist() for k, v in sums.items()}
    # pictures are discrete, so their log-likelihood is negative; a positive ELBO has the other sign
    nats = abs(means["elbo"]) if "elbo" in means else means["loss"]
    if not math.isfinite(nats):
        raise DataError("the validation loss is not finite; lower --lr, or set --skip; the last checkpoint stands")
    dims = data.images[0].size
    return means | {"nats": nats, "bits_per_dim": nats / dims / math.log(2), "items": len(chosen)}


def drawn(p: Tensor, generator: torch.Generator) -> Tensor:
    """Zeros and ones with the given probabilities of a one."""
    return (torch.rand(p.shape, generator=generator, device=generator.device).to(p.device) < p).to(p.dtype)

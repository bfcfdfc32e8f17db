"""Scores of generative models on held-out pictures, in nats."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.errors import DataError
from fractalkit.models.sampling import Sampler

CHUNK = 400  # latents drawn at a time, over pictures and their k samples
Progress = Callable[[str, int, int, float], None]


def evaluate(
    net: Sampler,
    images: np.ndarray,
    levels: int,
    *,
    k: int = 1,
    k_items: int | None = None,
    batch: int = 100,
    seed: int = 0,
    progress: Progress = lambda label, done, total, nats: None,
) -> dict[str, Any]:
    """Evaluate a model: -ELBO, its parts, and for k above 1 the importance-weighted bound, each a mean over pictures.

    Args:
        images: ``[N, C, S, S]`` integers from 0 to ``levels`` - 1.
        k: samples of the importance-weighted bound (Burda et al., IWAE, 2016, eq. 8).
        k_items: pictures for this bound, at even distances; None uses all.
        batch: pictures at a time.
        seed: of the latents.
        progress: called after each batch with a label, the pictures done, their total, and the mean so far.

    Returns:
        "elbo", "nll", "kl", "kl_per_layer" and "bits_per_dim", and for k above 1 "k", "k_items" and "bound"; "_error"
        marks standard errors of the means.

    Raises:
        DataError: the -ELBO of some pictures is not finite.
    """
    result = _elbo(net, images, levels, batch, seed, progress)
    if k > 1:
        some = spread(images, k_items)
        mean, error = _bound(net, some, levels, k, seed, progress)
        result |= {"k": k, "k_items": len(some), "bound": mean, "bound_error": error}
    return result | {"bits_per_dim": result["elbo"] / images[0].size / math.log(2)}


def spread(images: np.ndarray, n: int | None) -> np.ndarray:
    """Choose n of the images at even distances; all of them for None."""
    if n is None or n >= len(images):
        return images
    return images[np.arange(n) * len(images) // n]


def _batches(
    net: Sampler, images: np.ndarray, levels: int, batch: int, seed: int
) -> Iterator[tuple[Tensor, torch.Generator]]:
    """Pictures ``[B, C, S, S]`` in [0, 1] on the device of the model, and the noise of each batch."""
    device = next(net.parameters()).device
    for start in range(0, len(images), batch):
        generator = torch.Generator(device).manual_seed(seed + start)
        yield torch.from_numpy(images[start : start + batch]).to(device).float() / (levels - 1), generator


def _elbo(net: Sampler, images: np.ndarray, levels: int, batch: int, seed: int, progress: Progress) -> dict[str, Any]:
    parts: dict[str, list[Tensor]] = {"elbo": [], "nll": [], "kl": []}
    done = 0
    for x, generator in _batches(net, images, levels, batch, seed):
        got = net.eval_losses(x, generator)
        for key, values in parts.items():
            values.append(got[key].cpu().double())
        done += len(x)
        progress("-ELBO", done, len(images), float(torch.cat(parts["elbo"]).mean()))
    elbo, nll, kl = (torch.cat(v) for v in parts.values())
    if not bool(torch.isfinite(elbo).all()):
        raise DataError("the -ELBO of some pictures is not finite; these weights cannot be used")
    per_layer = kl.mean(0).tolist()
    return {
        "elbo": float(elbo.mean()), "elbo_error": _error(elbo), "nll": float(nll.mean()), "kl": sum(per_layer),
        "kl_per_layer": [{"side": s, "kl": v} for s, v in zip(net.layer_sides, per_layer, strict=True)],
    }  # fmt: skip


def _bound(net: Sampler, images: np.ndarray, levels: int, k: int, seed: int, progress: Progress) -> tuple[float, float]:
    """Mean and standard error of the importance-weighted bound."""
    values: list[Tensor] = []
    done = 0
    for x, generator in _batches(net, images, levels, max(1, CHUNK // k), seed):
        values.append(net.importance_bound(x, generator, k, chunk=min(k, CHUNK)).cpu().double())
        done += len(x)
        progress(f"k = {k}", done, len(images), float(torch.cat(values).mean()))
    total = torch.cat(values)
    return float(total.mean()), _error(total)


def _error(values: Tensor) -> float:
    """Standard error of a mean."""
    return float(values.std() / math.sqrt(len(values))) if len(values) > 1 else math.nan

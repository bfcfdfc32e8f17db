"""Models that can be sampled: what commands ask of them, and pictures by seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fractalkit.errors import UsageError
from fractalkit.models.mean_picture import MeanPicture, Still, draw
from fractalkit.models.noise import Between, Given, Noise
from fractalkit.models.pretrained import Pretrained
from fractalkit.raster.batch import PictureTensor
from fractalkit.raster.view import SizeLike, size_in


class Sampler(Pretrained):
    """Base class of generative models of square pictures.

    Attributes:
        side, channels: of the pictures that the model was trained on.
        any_size: whether it draws pictures of any size; else of ``side`` only.
        light_on_dark: whether it knows light strokes on a dark ground only.
        classes: number of classes that can be asked for, 0 for none.
        layer_sides: side of each layer of latents, in the order of "kl" of :meth:`eval_losses`.
    """

    side: int
    channels: int
    any_size: bool
    light_on_dark: bool
    classes: int = 0
    layer_sides: list[int]

    def sample(
        self,
        n: int = 1,
        size: SizeLike = None,
        *,
        seed: int = 0,
        window: tuple[int, int, int, int] | None = None,
        digit: int | None = None,
        **options: Any,
    ) -> PictureTensor:
        """Draw n pictures, ``[n, C, H, W]`` in [0, 1].

        Args:
            n: number of pictures.
            size: (width, height), the longer side, or a text such as "4x"; None: as in training.
            seed: of the first picture; the next has ``seed + 1``, so none depends on the others.
            window: (left, top, right, bottom) in pixels, the part of each picture to draw.
            digit: the class to draw, of models of digits: another name of ``label``.
            options: of :func:`pictures`: label, guidance, temperature, detail, sharpness ...

        Raises:
            UsageError: an argument out of range.
        """
        if not (isinstance(n, int) and n >= 1):
            raise UsageError(f"n: expected a whole number from 1, got {n!r}")
        if not (isinstance(seed, int) and 0 <= seed < 2**63 - n):
            raise UsageError(f"seed: expected a whole number from 0 to 2^63 - n, got {seed!r}")
        width, height = size_in(size, (self.side, self.side))
        if digit is not None:
            options["label"] = digit
        drawn = pictures(self, [seed + k for k in range(n)], **options)
        return PictureTensor.of(
            torch.stack([torch.from_numpy(draw(picture, height, width, window=window)) for picture in drawn])
        )

    def features(
        self,
        generators: Sequence[torch.Generator | Between | Given],
        temperature: float | Mapping[int, float] = 1.0,
        *,
        labels: Sequence[int | None] | None = None,
        layers: int | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """Features of new pictures, ``[B, ...]``, one for each generator and independent of the others."""
        raise NotImplementedError

    def infer(self, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Features of a reconstruction of each picture in ``[B, C, S, S]``."""
        raise NotImplementedError

    def redrawn(self, x: Tensor, generators: Sequence[torch.Generator], label: int, *, guidance: float = 1.0) -> Tensor:
        """Features of each picture in ``[B, C, S, S]`` drawn anew as another class, from the same noise."""
        raise NotImplementedError

    def picture(self, h: Tensor, *, detail: float = 0.0, sharpness: float = 1.0) -> MeanPicture | Still:
        """The mean picture of features ``[1, ...]``."""
        raise NotImplementedError

    def eval_losses(self, x: Tensor, generator: Noise) -> dict[str, Tensor]:
        """-ELBO and its parts with one z for each picture: "elbo", "nll" ``[B]``, "kl" ``[B, layers]``, nats."""
        raise NotImplementedError

    def importance_bound(self, x: Tensor, generator: Noise, k: int, *, chunk: int = 100) -> Tensor:
        """-log of the mean of k importance weights, ``[B]`` nats."""
        raise NotImplementedError


def pictures(
    model: Sampler,
    seeds: Sequence[int],
    *,
    temperature: float | Mapping[int, float] = 1.0,
    like: Tensor | None = None,
    detail: float = 0.0,
    sharpness: float = 1.0,
    label: int | None = None,
    layers: int | None = None,
    guidance: float = 1.0,
) -> list[MeanPicture | Still]:
    """The sample of each seed, to be drawn at any size.

    Args:
        temperature: of the latents, one number or by the side of their layers; see :meth:`VDVAE.features`.
        like: a picture ``[1, C, S, S]`` in [0, 1] to reconstruct instead, each time from other noise.
        detail: how much of the self-reference shows beyond the training resolution, 0 to 2.
        sharpness: factor of the logits, for harder edges than those of the probabilities.
        label: the class to draw; with ``like``, that class in the hand of the picture.
        layers: draw the latents of the first so many layers only.
        guidance: how much of the class; see :meth:`VDVAE.features`.

    Raises:
        UsageError: a value out of range, or a label for a model without classes.
    """
    generators = [torch.Generator().manual_seed(s) for s in seeds]
    if like is None:
        labels = None if label is None else [label] * len(seeds)
        h = model.features(generators, temperature, labels=labels, layers=layers, guidance=guidance)
    else:
        x = like.expand(len(seeds), -1, -1, -1)
        h = model.infer(x, generators) if label is None else model.redrawn(x, generators, label, guidance=guidance)
    return [model.picture(one, detail=detail, sharpness=sharpness) for one in h.split(1)]


def walk(
    model: Sampler,
    ends: tuple[int, int],
    frames: int,
    *,
    temperature: float | Mapping[int, float] = 1.0,
    detail: float = 0.0,
    sharpness: float = 1.0,
    label: int | None = None,
    guidance: float = 1.0,
) -> Iterator[MeanPicture | Still]:
    """Pictures from one seed to another: the noise of every layer turns from the first's to the second's."""
    for k in range(frames):
        first, second = (torch.Generator().manual_seed(s) for s in ends)
        noise = Between(first, second, math.pi / 2 * k / (frames - 1))
        h = model.features([noise], temperature, labels=None if label is None else [label], guidance=guidance)
        yield model.picture(h, detail=detail, sharpness=sharpness)

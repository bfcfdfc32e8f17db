"""Models that can be sampled: what commands ask of them, and pictures by seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fractalkit.arguments import COUNTS, SEEDS, SIZES, known, seed_number, verb, whole_number
from fractalkit.errors import UsageError
from fractalkit.models.mean_picture import MeanPicture, Still, draw
from fractalkit.models.noise import Between, Given, Noise
from fractalkit.models.pretrained import Pretrained
from fractalkit.raster.batch import PictureTensor
from fractalkit.raster.view import SizeLike, WindowLike, size_in, window_in

Labels = Sequence[int | None] | Tensor
TURN = 1.2  # guidance where classes come in turn: fewer broken samples, and nearly all of the variety


class Sampler(Pretrained):
    """Base class of generative models of square pictures.

    Attributes:
        side, channels: of the pictures that the model was trained on.
        any_size: whether it draws pictures of any size; else of ``side`` only.
        light_on_dark: whether it knows light strokes on a dark ground only.
        classes: number of classes that can be asked for, 0 for none.
        layer_sides: side of each layer of latents, in the order of "kl" of :meth:`eval_losses`.
    """

    role: ClassVar = "generative model"
    side: int
    channels: int
    any_size: bool
    light_on_dark: bool
    classes: int = 0
    layer_sides: list[int]

    @verb(COUNTS, SIZES, SEEDS)
    def sample(
        self,
        n: int = 1,
        size: SizeLike = None,
        *,
        seed: Any = 0,
        window: WindowLike | None = None,
        digit: int | str | None = None,
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
        n = whole_number("n", n)
        seed = seed_number(seed, n)
        known("sample", options, pictures, besides=("n", "size", "seed", "window", "digit"))
        width, height = size_in(size, (self.side, self.side))
        window = None if window is None else window_in(window, (width, height))
        if digit is not None:
            options["label"] = digit
        drawn = pictures(self, [seed + k for k in range(n)], **options)
        return PictureTensor.of(
            torch.stack([torch.from_numpy(draw(picture, height, width, window=window)) for picture in drawn])
        )

    def check_labels(self, labels: Sequence[int | None]) -> None:
        """Raise a UsageError where a label is not one of the model's classes."""
        if not self.classes:
            raise UsageError("label: this model knows no classes; choose a model that was trained with them")
        for value in labels:
            if value is not None and not 0 <= value < self.classes:
                raise UsageError(f"label: expected 0 to {self.classes - 1}, got {value}")

    def features(
        self,
        generators: Sequence[torch.Generator | Between | Given],
        temperature: float | Mapping[int, float] = 1.0,
        *,
        labels: Labels | None = None,
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
    label: int | str | None = None,
    layers: int | None = None,
    guidance: float | None = None,
) -> list[MeanPicture | Still]:
    """The sample of each seed, to be drawn at any size.

    Args:
        temperature: of the latents, one number or by the side of their layers; see :meth:`VDVAE.features`.
        like: a picture ``[1, C, S, S]`` in [0, 1] to reconstruct instead, each time from other noise.
        detail: how much of the self-reference shows beyond the training resolution, 0 to 2.
        sharpness: factor of the logits, for harder edges than those of the probabilities.
        label: the class to draw; with ``like``, that class in the hand of the picture. By default, a model that knows
            classes draws them evenly, see :func:`class_of`; "none" samples without a class.
        layers: draw the latents of the first so many layers only.
        guidance: how much of the class; see :meth:`VDVAE.features`. None for 1, or 1.2 where classes come in turn.

    Raises:
        UsageError: a value out of range, or a label for a model without classes.
    """
    generators = [torch.Generator().manual_seed(s) for s in seeds]
    if like is None:
        labels = labels_of(model, seeds, label)
        far = guidance_of(label, guidance)
        h = model.features(generators, temperature, labels=labels, layers=layers, guidance=far)
    else:
        x = like.expand(len(seeds), -1, -1, -1)
        if isinstance(label, str):
            raise UsageError(f"label: expected a number beside a picture, got {label!r}")
        h = (
            model.infer(x, generators)
            if label is None
            else model.redrawn(x, generators, label, guidance=guidance_of(label, guidance))
        )
    return [model.picture(one, detail=detail, sharpness=sharpness) for one in h.split(1)]


def labels_of(model: Sampler, seeds: Sequence[int], label: int | str | None) -> list[int] | None:
    """The class of each sample; None for samples without classes.

    Raises:
        UsageError: a word other than "none".
    """
    if isinstance(label, str):
        if label != "none":
            raise UsageError(f'label: expected a number or "none", got {label!r}')
        return None
    if label is not None:
        return [label] * len(seeds)
    return [class_of(seed, model.classes) for seed in seeds] if model.classes else None


def guidance_of(label: int | str | None, guidance: float | None) -> float:
    """The guidance that is meant: 1, or a little more where classes come in turn, unless it is given."""
    if guidance is not None:
        return guidance
    return TURN if label is None else 1.0


def class_of(seed: int, classes: int) -> int:
    """The class of a seed: of each ``classes`` seeds in a row, from a multiple of it, every one has another.

    >>> [class_of(seed, 4) for seed in range(8)]
    [3, 0, 1, 2, 1, 2, 3, 0]
    """
    block, place = divmod(seed, classes)
    order = np.random.default_rng([classes, block]).permutation(classes)
    return int(order[place])


def walk(
    model: Sampler,
    ends: tuple[int, int],
    frames: int,
    *,
    temperature: float | Mapping[int, float] = 1.0,
    detail: float = 0.0,
    sharpness: float = 1.0,
    label: int | str | None = None,
    guidance: float | None = None,
) -> Iterator[MeanPicture | Still]:
    """Pictures from one seed to another: the noise of every layer turns from the first's to the second's.

    Classes that differ are weighted by the squares of the cosine and the sine of the angle.
    """
    labels = labels_of(model, ends, label)
    for k in range(frames):
        first, second = (torch.Generator().manual_seed(s) for s in ends)
        angle = math.pi / 2 * k / (frames - 1)
        mixed = None
        if labels is not None:
            model.check_labels(labels)
            mixed = torch.zeros(1, model.classes + 1)
            for y, weight in zip(labels, (math.cos(angle) ** 2, math.sin(angle) ** 2), strict=True):
                mixed[0, y] += weight
        far = guidance_of(label, guidance)
        h = model.features([Between(first, second, angle)], temperature, labels=mixed, guidance=far)
        yield model.picture(h, detail=detail, sharpness=sharpness)

"""Configurations of training by name: a model, its data set and the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fractalkit.errors import DataError, UsageError
from fractalkit.models.neural_collage import CROP, NeuralCollage, NeuralCollageConfig
from fractalkit.models.vdvae import VDVAE
from fractalkit.models.vdvae_config import VDVAEConfig
from fractalkit.train.config import TrainConfig


class Pictures(Protocol):
    """What a model has to know of its data, such as a :class:`fractalkit.data.ImageSet`."""

    @property
    def name(self) -> str: ...

    @property
    def images(self) -> NDArray[np.uint8]: ...

    @property
    def levels(self) -> int: ...

    @property
    def labels(self) -> NDArray[np.uint8] | None: ...

    @property
    def dynamic(self) -> bool: ...


@dataclass(frozen=True)
class Config:
    """A model, its data set, and the settings of training."""

    name: str
    dataset: str
    model: VDVAEConfig | NeuralCollageConfig
    train: TrainConfig

    def side(self, changes: Mapping[str, Any]) -> int | None:
        """Side of the pictures that the model takes; None where it takes any."""
        return self.model.with_changes(changes).size if isinstance(self.model, VDVAEConfig) else None

    def fit(self, changes: Mapping[str, Any], data: Pictures) -> dict[str, Any]:
        """Settings of the model for pictures of other sizes, channels, values and classes; those in ``changes`` stand.

        Raises:
            DataError: pictures that the model cannot take.
            UsageError: a setting in ``changes`` that contradicts the pictures.
        """
        _, channels, height, width = data.images.shape
        if height != width:
            raise DataError(f"{data.name}: its pictures are {width} x {height}; models take squares")
        out = dict(changes)
        if not isinstance(self.model, VDVAEConfig):
            if channels != 3 or height % CROP:
                raise DataError(
                    f"{data.name}: its pictures are {height} x {height} with {channels} channels; {self.name} takes "
                    f"RGB with sides that are multiples of {CROP}; choose such a --size"
                )
            return out
        model = self.model.with_changes(changes)
        out |= _stem_for(self.name, model, height, "size" in changes, data.name)
        there = 0 if data.labels is None else 1 + int(data.labels.max())
        enough = "classes" in changes and model.classes >= there > 0
        wanted = {
            "channels": channels,
            "likelihood": "bernoulli" if data.levels == 2 or data.dynamic else "logistic-mixture",
            "classes": model.classes if enough or not model.classes else there,
        }
        differing = {k: v for k, v in wanted.items() if getattr(model, k) != v}
        for name, value in differing.items():
            if name in changes:
                raise UsageError(f"--set {name}={changes[name]}: does not fit {data.name}, which needs {value}")
        return out | differing

    def build(self, changes: Mapping[str, Any] | None = None, *, trained: bool = False) -> nn.Module:
        """Build the network.

        Args:
            changes: settings of the model that differ.
            trained: it will get trained weights, which a warm-up of the KL would undo.
        """
        model = self.model
        if trained and isinstance(model, VDVAEConfig):
            model = replace(model, warm=0)
        model = model.with_changes(changes or {})
        return VDVAE(model) if isinstance(model, VDVAEConfig) else NeuralCollage(model)


def _stem_for(name: str, model: VDVAEConfig, side: int, fixed: bool, data: str) -> dict[str, int]:
    """The size and stem with which the trunk of a model takes pictures of another side; nothing if it takes them."""
    if side == model.size:
        return {}
    if fixed or side * model.stem % model.size:
        raise DataError(
            f"{data}: its pictures are {side} x {side}; {name} takes {model.size} x {model.size} or other multiples of "
            f"{model.size // model.stem}; choose another model or, for a folder, --size"
        )
    return {"size": side, "stem": side * model.stem // model.size}


def _collage(name: str, weight: float) -> Config:
    train = TrainConfig(
        steps=10_000, batch=8, lr=1e-3, warmup=200, decay=0.0, clip=1.0, ema=0.998, bf16=False, valid_every=1000,
        valid_items=90, valid_batch=30,
    )  # fmt: skip
    return Config(name, "crops", NeuralCollageConfig(weight=weight), train)


_MNIST = VDVAEConfig(prior="block", classes=10, smooth=0.1, fine=0.25)
_MNIST_TRAIN = TrainConfig(
    steps=20_000, batch=64, lr=1.5e-3, warmup=500, ema=0.9995, decay=0.01, clip=100.0, skip=2000.0, valid_items=2000
)
_MNIST_LARGE = replace(
    _MNIST, stem=2, encoder="14x2,14d2,7x5,7d2,4x2,4d4,1x2", decoder="1x2,4m1,4x3,7m4,7x7,14m7,14x3", grid=7, free=0.02,
)  # fmt: skip
_MNIST_LARGE_TRAIN = replace(_MNIST_TRAIN, batch=256, lr=2e-3, ema=0.999, skip=0.0, sigmas=6.0, valid_every=2000)
_FASHION = replace(
    _MNIST, features=24, hidden=48, patches=8, likelihood="logistic-mixture", smooth=0.0, latent=16
)  # fmt: skip
_CIFAR = VDVAEConfig(
    size=32, channels=3, stem=2, encoder="16x3,16d2,8x4,8d8,1x2", decoder="1x2,8m1,8x8,16m8,16x6", width=192,
    latent=16, features=48, hidden=96, patches=16, order=2, likelihood="logistic-mixture", smooth=0.0,
)  # fmt: skip

CONFIGS: dict[str, Config] = {
    c.name: c
    for c in (
        Config("vdvae_mnist", "mnist-dynamic", _MNIST, _MNIST_TRAIN),
        # three times the trunk, for a card: stages at 4 x 4 and at 14 x 14, which is folded to the same grid
        Config("vdvae_mnist_large", "mnist-dynamic", _MNIST_LARGE, _MNIST_LARGE_TRAIN),
        # the same trunk with a convolutional head, for comparison; draws 28 x 28 only
        Config("vdvae_mnist_conv", "mnist-dynamic", replace(_MNIST, head="conv"), _MNIST_TRAIN),
        Config("vdvae_fashion", "fashion", _FASHION, replace(_MNIST_TRAIN, clip=200.0, skip=0.0, sigmas=6.0)),
        Config(
            "vdvae_cifar10",
            "cifar10",
            _CIFAR,
            TrainConfig(steps=400_000, batch=32, lr=3e-4, warmup=500, clip=200.0, sigmas=6.0, flip=True),
        ),
        # three rates; the model cards tell which weights each began with
        _collage("nc_aerial_low", 0.0015),
        _collage("nc_aerial_mid", 0.005),
        _collage("nc_aerial_high", 0.016),
    )
}

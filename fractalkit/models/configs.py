"""Models that can be trained by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from fractalkit.models.neural_collage import NeuralCollage, NeuralCollageConfig
from fractalkit.models.vdvae import VDVAE, VDVAEConfig
from fractalkit.train.config import TrainConfig


@dataclass(frozen=True)
class Config:
    """A model, its data, and how it is trained."""

    name: str
    dataset: str
    build: Callable[[], nn.Module]
    train: TrainConfig


def _vdvae(name: str, dataset: str, config: VDVAEConfig, train: TrainConfig) -> Config:
    return Config(name, dataset, lambda: VDVAE(config), train)


def _collage(name: str, weight: float) -> Config:
    config = NeuralCollageConfig(weight=weight)
    train = TrainConfig(
        steps=10_000, batch=8, lr=1e-3, warmup=200, decay=0.0, clip=1.0, ema=0.998, bf16=False, valid_every=1000,
        valid_items=90, valid_batch=30,
    )  # fmt: skip
    return Config(name, "crops", lambda: NeuralCollage(config), train)


_MNIST = VDVAEConfig()
_MNIST_TRAIN = TrainConfig(
    steps=20_000, batch=64, lr=1.5e-3, warmup=500, ema=0.9995, decay=0.01, clip=100.0, skip=2000.0, valid_items=2000
)
_CIFAR = VDVAEConfig(
    size=32, channels=3, stem=2, encoder="16x3,16d2,8x4,8d8,1x2", decoder="1x2,8m1,8x8,16m8,16x6", width=192,
    latent=16, features=48, hidden=96, patches=16, order=2, likelihood="logistic-mixture", smooth=0.0,
)  # fmt: skip

CONFIGS: dict[str, Config] = {
    c.name: c
    for c in (
        _vdvae("vdvae_mnist", "mnist-static", _MNIST, _MNIST_TRAIN),
        # the same trunk with a convolutional head, for comparison; it draws 28 x 28 only
        _vdvae("vdvae_mnist_conv", "mnist-static", replace(_MNIST, head="conv"), _MNIST_TRAIN),
        _vdvae(
            "vdvae_cifar10", "cifar10", _CIFAR, TrainConfig(steps=400_000, batch=32, lr=3e-4, clip=200.0, skip=4000.0)
        ),
        # three rates; see the weights' cards for how each was begun from another
        _collage("nc_aerial_low", 0.0015),
        _collage("nc_aerial_mid", 0.005),
        _collage("nc_aerial_high", 0.016),
    )
}

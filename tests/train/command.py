"""The command line with one configuration, the tiny model on MNIST.

python -m tests.train.command train tiny --out DIR
"""

import sys
import types
from types import SimpleNamespace

import torch

from fractalkit.train import TrainConfig
from tests.train.tiny import TinyVAE

SETTINGS = TrainConfig(
    steps=12, batch=4, warmup=2, log_every=2, valid_every=5, valid_items=4, valid_batch=2, save_minutes=0, save_every=4
)


def _config(name: str, latent: int) -> SimpleNamespace:
    return SimpleNamespace(
        name=name, dataset="mnist-static", build=lambda *_, **__: TinyVAE(28, latent), train=SETTINGS,
        side=lambda changes: None, fit=lambda changes, data: changes,
    )  # fmt: skip


CONFIGS = {"tiny": _config("tiny", 3), "other": _config("other", 2)}


def configs_module() -> types.ModuleType:
    module = types.ModuleType("fractalkit.models.configs")
    module.CONFIGS = CONFIGS  # type: ignore[attr-defined]
    return module


if __name__ == "__main__":
    from fractalkit.cli.main import main

    sys.modules["fractalkit.models.configs"] = configs_module()
    torch.set_num_threads(1)
    main(sys.argv[1:])

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
CONFIGS = {
    "tiny": SimpleNamespace(name="tiny", dataset="mnist-static", build=lambda: TinyVAE(28), train=SETTINGS),
    "other": SimpleNamespace(name="other", dataset="mnist-static", build=lambda: TinyVAE(28, 2), train=SETTINGS),
}


def configs_module() -> types.ModuleType:
    module = types.ModuleType("fractalkit.models.configs")
    module.CONFIGS = CONFIGS  # type: ignore[attr-defined]
    return module


if __name__ == "__main__":
    from fractalkit.cli.main import main

    sys.modules["fractalkit.models.configs"] = configs_module()
    torch.set_num_threads(1)
    main(sys.argv[1:])

"""A variational autoencoder small enough to train in a test, its pictures, and a program that trains it.

python -m tests.train.tiny OUT '{"steps": 40}' [resume]
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from fractalkit.data.image_set import ImageSet

SETTINGS = {
    "steps": 30,
    "batch": 8,
    "lr": 1e-2,
    "warmup": 4,
    "log_every": 4,
    "valid_every": 10,
    "valid_items": 12,
    "valid_batch": 5,
    "save_minutes": 0.0,
    "save_every": 7,
}


class TinyVAE(nn.Module):
    """Bernoulli pixels, a convolution, one Gaussian layer, a linear map; dropout, to use torch's generator."""

    def __init__(self, side: int = 8, latent: int = 3) -> None:
        super().__init__()
        self.side, self.latent = side, latent
        self.conv = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.inner = nn.Linear(4 * (side // 2) ** 2, 2 * latent)
        self.out = nn.Linear(latent, side * side)
        self.drop = nn.Dropout(0.1)
        self.register_buffer("calls", torch.zeros(()))
        self.poison: set[int] = set()

    def terms(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        h = self.drop(F.gelu(self.conv(x)).flatten(1))
        mean, log_scale = self.inner(h).float().chunk(2, 1)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        z = mean + log_scale.exp() * noise
        kl = (0.5 * (mean**2 + (2 * log_scale).exp() - 1) - log_scale).sum(1)
        logits = self.out(z).float().view_as(x)
        nll = F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
        return nll, kl

    def losses(self, x: Tensor, generator: torch.Generator, step: int) -> dict[str, Tensor]:
        nll, kl = self.terms(x, generator)
        self.calls += 1
        loss = (nll + kl).mean()
        if step in self.poison:
            loss = loss * float("nan")
        return {"loss": loss, "kl": kl.mean(), "sides": torch.stack([nll.mean(), kl.mean()])}

    def eval_losses(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        nll, kl = self.terms(x, generator)
        return {"elbo": -(nll + kl), "kl": kl[:, None]}

    def save_pretrained(self, path: Path, metadata: dict[str, str]) -> None:
        save_file({k: v.cpu().contiguous() for k, v in self.state_dict().items()}, path, metadata)


def pictures(n: int = 37, side: int = 8, seed: int = 0) -> ImageSet:
    """Pictures of bars at random positions."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, 1, side, side), np.uint8)
    for i, at in enumerate(rng.integers(0, side, n)):
        images[i, 0, :, at] = 1
    return ImageSet(images, 2, None, "bars", "train")


def model(seed: int = 0) -> TinyVAE:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return TinyVAE()


def main(out: str, settings: str, *words: str) -> None:
    from fractalkit.train.config import TrainConfig
    from fractalkit.train.loop import train
    from fractalkit.train.ranks import processes

    torch.set_num_threads(1)
    extra = json.loads(settings)
    pause, last = extra.pop("pause", 0.0), extra.pop("stop", 0)
    done = [0]
    config = TrainConfig(**(SETTINGS | extra))

    def show(step: int, values: dict) -> None:
        done[0] = step
        print(step, flush=True)
        time.sleep(pause)

    with processes(torch.device("cpu")) as ranks:
        train(
            model(),
            pictures(),
            Path(out),
            config,
            valid=pictures(20, seed=1),
            ranks=ranks,
            resume="resume" in words,
            progress=show,
            stop=lambda: done[0] == last,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])

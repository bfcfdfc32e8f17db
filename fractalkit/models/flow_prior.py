"""A prior over grids of numbers, such as those of collage codes, by flow matching.

After Lipman et al., *Flow Matching for Generative Modeling* (ICLR 2023), with straight paths x_t = (1 - t) e + t x from
noise e to data x: a network learns the velocity x - e from (x_t, t), and a sample follows it from t = 0 to 1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FREQUENCIES = 16  # of the time
GROUPS = 8
LEAST_SPREAD = 1e-4  # of a channel; constant channels stay what they are


class GridFlow(nn.Module):
    """A velocity for grids ``[B, channels, G, G]``, and the scales of the data.

    Args:
        channels, grid: shape of the data.
        width: channels inside, a multiple of 8.
        blocks: number of residual blocks, each of two 3 x 3 convolutions.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, channels: int, grid: int, *, width: int = 96, blocks: int = 4) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.places = nn.Parameter(0.02 * torch.randn(1, width, grid, grid))
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, blocks * width))
        self.blocks = nn.ModuleList(_Residual(width) for _ in range(blocks))
        self.leave = nn.Sequential(nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(width, channels, 3, padding=1))
        nn.init.zeros_(self.leave[-1].weight)  # type: ignore[arg-type]
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("spread", torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Velocity of scaled grids ``[B, C, G, G]`` at times ``[B]``."""
        angle = t[:, None] * (math.pi * 1.5 ** torch.arange(FREQUENCIES, device=t.device) / 2)
        shifts = self.time(torch.cat([torch.cos(angle), torch.sin(angle)], dim=1)).chunk(len(self.blocks), dim=1)
        h = self.enter(x) + self.places
        for block, shift in zip(self.blocks, shifts, strict=True):
            h = block(h, shift[:, :, None, None])
        out: Tensor = self.leave(h)
        return out

    def losses(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Squared error of the velocity of each scaled grid, mean over its numbers, ``[B]``."""
        e = torch.randn(x.shape, generator=generator)
        t = torch.rand(len(x), generator=generator)
        at = t[:, None, None, None]
        return (self(torch.lerp(e, x, at), t) - (x - e)).square().flatten(1).mean(1)

    @torch.no_grad()
    def sample(self, n: int, *, steps: int = 40, seed: int = 0) -> Tensor:
        """Draw grids ``[n, channels, G, G]`` by ``steps`` steps of the midpoint rule."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(n, self.mean.shape[1], *self.places.shape[2:], generator=generator)
        for k in range(steps):
            t = torch.full((n,), k / steps)
            middle = x + self(x, t) / (2 * steps)
            x = x + self(middle, t + 0.5 / steps) / steps
        return x * self.spread + self.mean


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.n1, self.n2 = nn.GroupNorm(GROUPS, width), nn.GroupNorm(GROUPS, width)
        self.c1, self.c2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.c2.weight)

    def forward(self, h: Tensor, shift: Tensor) -> Tensor:
        return h + self.c2(F.silu(self.n2(self.c1(F.silu(self.n1(h))) + shift)))


def train_flow(
    net: GridFlow, x: Tensor, *, steps: int, batch: int = 64, lr: float = 2e-3, ema: float = 0.99, seed: int = 0
) -> list[float]:
    """Train on grids ``[N, C, G, G]``, each channel scaled to mean 0 and deviation 1; returns the loss of each step.

    The network ends with the moving average of its weights, in evaluation mode.
    """
    net.mean.copy_(x.mean((0, 2, 3), keepdim=True))
    net.spread.copy_(x.std((0, 2, 3), keepdim=True).clamp_min(LEAST_SPREAD))
    x = (x - net.mean) / net.spread
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    average = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(ema))
    found = []
    for _ in range(steps):
        some = x[torch.randint(len(x), (batch,), generator=generator)]
        loss = net.losses(some, generator).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(net)
        found.append(float(loss.detach()))
    net.load_state_dict(average.module.state_dict())
    net.eval()
    return found

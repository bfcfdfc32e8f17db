"""A VDVAE small enough for tests: 6 x 6 pictures, a 3 x 3 collage."""

import torch

from fractalkit.models.vdvae import VDVAE, VDVAEConfig

CONFIG = VDVAEConfig(
    size=6, stem=2, encoder="3x1,3d3,1x1", decoder="1x1,3m1,3x2", width=8, latent=2, features=3, hidden=5, patches=2,
    order=3, warm=0,
)  # fmt: skip


def build(**changes) -> VDVAE:
    torch.manual_seed(0)
    model = VDVAE(VDVAEConfig(**{**CONFIG.to_dict(), **changes}))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))  # nothing is zero, so that every part matters
    return model


def generators(n: int, first: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + i) for i in range(n)]


def pictures(n: int, channels: int = 1, size: int = 6) -> torch.Tensor:
    g = torch.Generator().manual_seed(7)
    return (torch.rand(n, channels, size, size, generator=g) > 0.6).float()

"""Neural Collage: pictures to collage codes in one forward pass, trained for rate and distortion.

After Poli, Xu et al., *Self-Similarity Priors: Neural Collages as Differentiable Fractal Representations* (2022). A
picture is cut into crops of 32 x 32; each is a collage (:class:`fractalkit.codes.collage.CollageCode`) of 4 x 4 ranges
for luma and 2 x 2 for each chroma, with the four quarters (chroma: the whole) as domains and 63 learned patches that
all crops share:

    x -> parameters y (analysis) -> integers (transmitted) -> collage codes (synthesis) -> fixed points

Analysis and synthesis are small networks on the grid of macroblocks of 16 x 16, across crops. The synthesis therefore
sees beyond the border of a crop and corrects the parameters there, so deblocking is part of the code and works at any
size. Contrasts are bounded by construction and inferred from the transmitted numbers. The mean of a range is a separate
parameter (brightness = mean - sum_d contrast_d mean of domain d), so that it does not drift with the contrasts.

The rate is that of a learned Laplace prior whose scale follows from neighbouring magnitudes (see :class:`Prior`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from fractalkit.checked import BELOW_ONE, CheckedSettings, within
from fractalkit.codec.neural_syntax import BANDS, SETS, TOTAL, ZIGZAG, K
from fractalkit.codes.collage import WHOLE, CollageCode, Domain
from fractalkit.core import IteratedMap, solve
from fractalkit.models.pretrained import Pretrained, register_model
from fractalkit.raster.colour import FROM_RGB, TO_RGB

CROP, RANGE, BLOCK = 32, 8, 16  # pixels: of a crop, of a luma range, of a macroblock (a chroma range)
QUARTERS = tuple(Domain(2, i, j) for i in range(2) for j in range(2))
NUMBERS = 6 * 64  # of a macroblock: four ranges of luma, one of each chroma
STEPS = 6  # of the map, in training


@dataclass(frozen=True)
class NeuralCollageConfig(CheckedSettings):
    """Configuration of a neural collage: all that its weights do not determine.

    Attributes:
        weight: of the distortion, in bits per pixel for a squared error of one grey level.
        analysis, synthesis: channels of the two networks.
        rho: bound on the contrasts of a range; 0 uses patches only, without domains (for comparison).
        collage_steps: first steps of training that use the bound of the collage theorem instead of the fixed point.
    """

    weight: float = within(0.01, 1e-9, 1e9)
    analysis: int = within(96, 1, 4096)
    synthesis: int = within(128, 1, 4096)
    rho: float = within(0.6, 0, BELOW_ONE)
    collage_steps: int = within(0, 0, 1 << 24)


@lru_cache
def cosines(n: int) -> Tensor:
    """Area means of the 8 x 8 cosines over n x n pixels, in zigzag order, orthonormal at n = 8: ``[64, n * n]``."""
    k = torch.arange(8, dtype=torch.float64)[:, None]
    edge = torch.arange(n + 1, dtype=torch.float64) / n
    integral = torch.where(k == 0, edge, torch.sin(math.pi * k * edge) / (math.pi * k.clamp(min=1)))
    mean = integral.diff(dim=1) * n  # of cos(pi k t) over each pixel
    mean = mean * _scale()[:, None]
    flat = torch.einsum("ky,lx->klyx", mean, mean).reshape(64, n * n)
    return flat[torch.from_numpy(ZIGZAG)].float()


def _scale() -> Tensor:
    """Factor of a cosine of each order that gives its means over 8 pixels norm one."""
    k = torch.arange(8, dtype=torch.float64)
    sinc = torch.where(k == 0, torch.ones_like(k), torch.sin(math.pi * k / 16) / (math.pi * k.clamp(min=1) / 16))
    return torch.where(k == 0, torch.full_like(k, math.sqrt(1 / 8)), torch.full_like(k, 0.5)) / sinc


def blocks(x: Tensor, side: int) -> Tensor:
    """Cut pictures into blocks: ``[B, H, W]`` -> ``[B, side^2, H / side, W / side]``."""
    return F.pixel_unshuffle(x[:, None], side)


def unblocks(x: Tensor, side: int) -> Tensor:
    """The inverse of :func:`blocks`: ``[B, side^2, h, w]`` -> ``[B, h side, w side]``."""
    return F.pixel_shuffle(x, side)[:, 0]


def split(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split numbers ``[B, 384, h, w]`` into luma ``[B, 64, 2 h, 2 w]``, Cb and Cr ``[B, 64, h, w]``."""
    luma = rearrange(y[:, :256], "b (ry rx k) h w -> b k (h ry) (w rx)", ry=2, rx=2)
    return luma, y[:, 256:320], y[:, 320:]


def join(luma: Tensor, cb: Tensor, cr: Tensor) -> Tensor:
    """The inverse of :func:`split`."""
    return torch.cat([rearrange(luma, "b k (h ry) (w rx) -> b (ry rx k) h w", ry=2, rx=2), cb, cr], 1)


class Prior(nn.Module):
    """Bits of the numbers under Laplace distributions. The scale is learned for each frequency and multiplied by one
    inferred for each band of a block, from the magnitudes of bands of the blocks left and above, of lower bands of the
    same block, and for chroma of the planes before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(3, 64))
        inputs = (4 * BANDS, 5 * BANDS, 6 * BANDS)
        self.around = nn.ModuleList(
            nn.Sequential(nn.Conv2d(n, 32, 1), nn.GELU(), nn.Conv2d(32, BANDS, 1)) for n in inputs
        )
        self.below = nn.Parameter(torch.zeros(3, BANDS, BANDS))
        start = torch.linspace(2.0, -2.0, 64)
        with torch.no_grad():
            self.scale[0] = start
            self.scale[1:] = start - 1.5

    def forward(self, y: Tensor, rounded: Tensor | None = None) -> Tensor:
        """Bits of each picture, ``[B, 384, h, w]`` -> ``[B]``; the context is ``rounded`` where given, else ``y``."""
        total = y.new_zeros(len(y))
        lower = torch.ones(BANDS, BANDS, device=y.device).tril(-1)
        spread = torch.tensor(np.diff(SETS), device=y.device)
        known = split(y if rounded is None else rounded)
        energies = [self._bands(p) for p in known]
        for i, (p, q, e) in enumerate(zip(split(y), known, energies, strict=True)):
            left, top = shifted(e, 0, 1), shifted(e, 1, 0)
            seen = [left, top, shifted(e, 1, 1), shifted(e, 1, -1)]
            if i:
                seen.append(F.avg_pool2d(energies[0], 2))
            if i == 2:
                seen.append(energies[1])
            logs = self.around[i](torch.cat(seen, 1)) + torch.einsum("ij,bjyx->biyx", self.below[i] * lower, e)
            logs = torch.repeat_interleave(logs, spread, dim=1) + self.scale[i][:, None, None]
            dc = p[:, :1] - guess(q[:, :1])
            total = total + laplace_bits(torch.cat([dc, p[:, 1:]], 1), logs).sum((1, 2, 3))
        return total

    @staticmethod
    def _bands(p: Tensor) -> Tensor:
        parts = [p[:, a:b].abs().mean(1, keepdim=True) for a, b in pairwise(SETS)]
        return torch.log(torch.cat([(p[:, :1] - guess(p[:, :1])).abs(), *parts[1:]], 1) + 0.05)


def shifted(x: Tensor, dy: int, dx: int) -> Tensor:
    """Shift x by (dy, dx) pixels, repeating the border."""
    h, w = x.shape[2:]
    x = F.pad(x, (max(dx, 0), max(-dx, 0), dy, 0), mode="replicate")
    return x[:, :, :h, max(-dx, 0) : max(-dx, 0) + w]


def guess(dc: Tensor) -> Tensor:
    """Predict means from those left and above, as the syntax does: 3/4 (left + top) - 1/2 corner."""
    left, top, corner = (F.pad(dc, p)[:, :, : dc.shape[2], : dc.shape[3]] for p in ((1, 0), (0, 0, 1, 0), (1, 0, 1, 0)))
    inside = 0.75 * (left + top) - 0.5 * corner
    first_row = torch.arange(dc.shape[2], device=dc.device)[:, None] == 0
    first_column = torch.arange(dc.shape[3], device=dc.device)[None, :] == 0
    return torch.where(first_row, left, torch.where(first_column, top, inside))


def laplace_bits(v: Tensor, log_scale: Tensor) -> Tensor:
    """-log2 of the mass of [v - 1/2, v + 1/2] under a Laplace distribution."""
    b = log_scale.clamp(-3, 6).exp()
    v = v.abs()
    tail = math.log(0.5) - (v - 0.5) / b + torch.log1p(-torch.exp(-1 / b) + 1e-12)
    near = v.clamp(max=0.5)
    middle = torch.log(1 - 0.5 * (torch.exp((near - 0.5) / b) + torch.exp(-(near + 0.5) / b)) + 1e-12)
    return -torch.where(v > 0.5, tail, middle) / math.log(2)


@register_model("neural-collage")
class NeuralCollage(Pretrained):
    """Encoder and decoder of one rate; see the module docstring."""

    config_type = NeuralCollageConfig

    def __init__(self, config: NeuralCollageConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NeuralCollageConfig()
        a, s = config.analysis, config.synthesis
        # the best quantiser step at high rate, in sample values of [0, 1]
        step = math.sqrt(6 / (math.log(2) * config.weight)) / 255
        self.log_step = nn.Parameter(torch.full((3, 64), math.log(step)))
        self.patches = nn.Parameter(torch.eye(63).repeat(2, 1, 1))  # luma, chroma; in orthonormal cosines
        self.analysis = nn.Sequential(
            nn.Conv2d(NUMBERS, a, 1), nn.GELU(), nn.Conv2d(a, a, 3, padding=1), nn.GELU(), nn.Conv2d(a, NUMBERS, 1)
        )
        self.synthesis = nn.Sequential(
            nn.Conv2d(NUMBERS, s, 1), nn.GELU(), nn.Conv2d(s, s, 3, padding=1), nn.GELU(),
            nn.Conv2d(s, s, 3, padding=1), nn.GELU(), nn.Conv2d(s, NUMBERS + 4 * 4 + 2, 1),
        )  # fmt: skip
        self.prior = Prior()
        for net in (self.analysis, self.synthesis):
            nn.init.zeros_(net[-1].weight)  # type: ignore[arg-type]
            nn.init.zeros_(net[-1].bias)  # type: ignore[arg-type]
        # initial state of the coder's contexts, set after training; integers that float16 represents exactly
        self.register_buffer("coder_prob", torch.full((TOTAL,), 512.0))
        self.register_buffer("coder_count", torch.zeros(TOTAL))
        self.register_buffer("coder_weight", torch.full((256, K), 307.0))

    # ---- picture <-> numbers

    def steps(self) -> Tensor:
        """Quantiser step of each number, ``[384, 1, 1]``."""
        s = self.log_step.exp()
        return torch.cat([s[0].repeat(4), s[1], s[2]])[:, None, None]

    @staticmethod
    def cosine_blocks(x: Tensor) -> Tensor:
        """Cosines ``[B, 384, H / 16, W / 16]`` of pictures ``[B, 3, H, W]`` in [0, 1], sides multiples of 16."""
        ycc = torch.einsum("ij,bjyx->biyx", x.new_tensor(FROM_RGB), x - 0.5)
        basis = cosines(RANGE).to(x)
        luma = torch.einsum("kp,bpyx->bkyx", basis, blocks(ycc[:, 0], RANGE))
        half = F.avg_pool2d(ycc[:, 1:], 2)
        cb, cr = (torch.einsum("kp,bpyx->bkyx", basis, blocks(half[:, i], RANGE)) for i in range(2))
        return join(luma, cb, cr)

    def parameters_of(self, x: Tensor, scale: Tensor | float = 1.0) -> Tensor:
        """Analysis: numbers ``[B, 384, h, w]`` of pictures, not yet rounded; ``scale`` multiplies the steps."""
        y = self.cosine_blocks(x) / (self.steps() * scale)
        return y + self.analysis(torch.asinh(y))

    def synthesise(self, y: Tensor, scale: Tensor | float = 1.0) -> Synthesis:
        """Parameters of collages from numbers ``[B, 384, h, w]``, h and w even."""
        out = self.synthesis(torch.asinh(y))
        values = (y + out[:, :NUMBERS]) * (self.steps() * scale)
        return Synthesis(values, self.config.rho, out[:, NUMBERS:], self.patches)

    # ---- training

    def losses(self, x: Tensor, generator: torch.Generator, step: int) -> dict[str, Tensor]:
        """Rate and distortion: "loss" in bits per pixel, "bpp" and "mse"."""
        if int(torch.randint(2, (1,), generator=generator, device=x.device)):
            x = x.flip(3)
        if int(torch.randint(2, (1,), generator=generator, device=x.device)):
            x = x.mT
        scale = 2 ** (torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device) - 0.5)
        y = self.parameters_of(x, scale)
        noisy = y + torch.rand(y.shape, generator=generator, device=x.device) - 0.5
        rounded = y + (y.round() - y).detach()
        pixels = x.shape[2] * x.shape[3]
        bpp = self.prior(noisy, rounded) / pixels
        made = self.synthesise(rounded, scale)
        drawn = made.collage_bound(x) if step < self.config.collage_steps else made.draw(STEPS) - x
        mse = 255**2 * drawn.square().mean((1, 2, 3))
        loss = (bpp + self.config.weight / scale.flatten() ** 2 * mse).mean()
        return {"loss": loss, "bpp": bpp.mean().detach(), "mse": mse.mean().detach()}

    @torch.no_grad()
    def eval_losses(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of each picture, ``[B]``, with rounded numbers and the fixed point clipped to [0, 1]."""
        y = self.parameters_of(x).round()
        bpp = self.prior(y) / (x.shape[2] * x.shape[3])
        mse = 255**2 * (self.synthesise(y).draw(12).clamp(0, 1) - x).square().mean((1, 2, 3))
        return {"loss": bpp + self.config.weight * mse, "bpp": bpp, "mse": mse,
                "psnr": 10 * torch.log10(255**2 / mse.clamp(min=1e-6))}  # fmt: skip


@dataclass
class Synthesis:
    """Collages of all crops of pictures, with gradients.

    Attributes:
        values: ``[B, 384, h, w]``, each range's mean and weights of patches, in orthonormal units.
        rho: bound on the contrasts.
        raw: ``[B, 18, h, w]``, contrasts before the bound.
        patches: ``[2, 63, 63]``.
    """

    values: Tensor
    rho: float
    raw: Tensor
    patches: Tensor

    def __post_init__(self) -> None:
        self.luma, self.cb, self.cr = split(self.values)
        if self.rho == 0:
            contrast = torch.zeros_like(self.raw)
        else:
            luma = CollageCode.bounded(rearrange(self.raw[:, :16], "b (r d) h w -> b r h w d", r=4), self.rho)
            chroma = self.rho * self.raw[:, 16:].tanh()
            contrast = torch.cat([rearrange(luma, "b r h w d -> b (r d) h w"), chroma], 1)
        # domains are numbered relative to the range: the quarter (i, j) that it lies in, beside, below, across
        relative = rearrange(
            contrast[:, :16], "b (ry rx dy dx) (y i) (x j) -> i j b y x ry rx dy dx", ry=2, rx=2, dy=2, dx=2, i=2, j=2
        )
        flipped = [relative[i, j].flip([d for d, odd in ((-2, i), (-1, j)) if odd]) for i in range(2) for j in range(2)]
        self.contrast = rearrange(
            torch.stack(flipped), "(i j) b y x ry rx dy dx -> b y x (i ry) (j rx) (dy dx)", i=2, j=2
        )
        self.chroma = rearrange(contrast[:, 16:], "b c (y i) (x j) -> b c y x i j", i=2, j=2)

    def _details(self, plane: int, side: int) -> Tensor:
        """Weighted sum of the patches, without means: ``[B, h side, w side]``."""
        values = (self.luma, self.cb, self.cr)[plane][:, 1:]
        ac = torch.cat([torch.zeros_like(self.patches[0, :, :1]), self.patches[min(plane, 1)]], 1)
        basis = ac @ cosines(side).to(values)  # [63, side^2]
        return unblocks(torch.einsum("kp,bkyx->bpyx", basis, values), side)

    def _flat(self, plane: int, coarser: int) -> Tensor:
        """Means of the ranges, as pictures ``[B, 2 H / coarser, 2 W / coarser]``."""
        mean = (self.luma, self.cb, self.cr)[plane][:, 0] / 8
        side = 2 * (RANGE, BLOCK, BLOCK)[plane] // coarser
        return mean.repeat_interleave(side, 1).repeat_interleave(side, 2)

    def planes(self, steps: int) -> Tensor:
        """Y, Cb, Cr centred on 0, ``[B, 3, H, W]``, after ``steps`` of the map from the patches alone."""
        out = []
        for i in range(3):
            map = PlaneMap(self, i)
            x = solve(map, steps=steps).value if self.rho else map.start()
            out.append(self._flat(i, 2) + x)
        return torch.stack(out, 1)

    def _copies(self, small: Tensor, plane: int) -> Tensor:
        """Contribution of the domains, sum_d contrast_d (pool D_d - its mean); ``small``: planes at half size."""
        b, hh, ww = small.shape
        h, w = 2 * hh // CROP, 2 * ww // CROP
        if plane == 0:
            cut = small.reshape(b, h, 2, 8, w, 2, 8)
            cut = cut - cut.mean((3, 6), keepdim=True)
            made = torch.einsum("bhwrcij,bhiywjx->bhrywcx", self.contrast.unflatten(-1, (2, 2)), cut)
        else:
            cut = small.reshape(b, h, 16, w, 16)
            cut = cut - cut.mean((2, 4), keepdim=True)
            made = torch.einsum("bhwrc,bhywx->bhrywcx", self.chroma[:, plane - 1], cut)
        return made.reshape(b, 2 * hh, 2 * ww)

    def draw(self, steps: int) -> Tensor:
        """RGB ``[B, 3, H, W]``, not clipped."""
        return rgb(self.planes(steps))

    def collage_bound(self, x: Tensor) -> Tensor:
        """(T x - x) / (1 - lipschitz) of data ``[B, 3, H, W]``, a bound on the error of the fixed point (collage
        theorem) by one application of the map."""
        data = torch.einsum("ij,bjyx->biyx", x.new_tensor(FROM_RGB), x - 0.5)
        planes = []
        for i in range(3):
            drawn = self._flat(i, 2) + self._details(i, (RANGE, BLOCK, BLOCK)[i])
            planes.append(drawn + self._copies(F.avg_pool2d(data[:, i : i + 1], 2)[:, 0], i) if self.rho else drawn)
        rate = self.contrast.abs().sum(-1).amax((1, 2, 3, 4))
        rate = torch.maximum(rate, self.chroma.abs().amax((1, 2, 3, 4, 5)))
        return (rgb(torch.stack(planes, 1)) - x) / (1 - rate[:, None, None, None])

    def part(self, rows: tuple[int, int], columns: tuple[int, int]) -> Synthesis:
        """Crops of a range of rows and of columns."""
        y, x = slice(2 * rows[0], 2 * rows[1]), slice(2 * columns[0], 2 * columns[1])
        return Synthesis(self.values[:, :, y, x], self.rho, self.raw[:, :, y, x], self.patches)

    def codes(self) -> tuple[CollageCode, CollageCode]:
        """Collage codes of all crops in row-major order: one of luma, one with both chroma as channels."""

        def crops(v: Tensor, side: int) -> Tensor:
            return rearrange(v, "b k (y i) (x j) -> (b y x) i j k", i=side, j=side)

        order = torch.from_numpy(np.argsort(ZIGZAG))
        scale = torch.outer(_scale(), _scale()).float()
        patches = []
        for i in range(2):
            ac = torch.cat([torch.zeros_like(self.patches[0, :, :1]), self.patches[i]], 1)
            patches.append(ac[:, order].reshape(63, 1, 8, 8) * scale.to(ac))
        luma = crops(self.luma, 4)
        contrast = rearrange(self.contrast, "b y x i j d -> (b y x) i j d")
        mean = luma[..., 0] / 8
        quarters = rearrange(F.avg_pool2d(mean[:, None], 2), "n 1 i j -> n 1 1 (i j)")
        y = CollageCode(
            contrast[:, None], (mean - (contrast * quarters).sum(-1))[:, None], luma[:, None, ..., 1:], patches[0],
            QUARTERS, continuous=False,
        )  # fmt: skip
        pair = torch.stack([crops(self.cb, 2), crops(self.cr, 2)], 1)
        contrast = rearrange(self.chroma, "b c y x i j -> (b y x) c i j")
        mean = pair[..., 0] / 8
        brightness = mean - contrast * mean.mean((2, 3), keepdim=True)
        return y, CollageCode(contrast[..., None], brightness, pair[..., 1:], patches[1], (WHOLE,), continuous=False)


class PlaneMap(IteratedMap):
    """The map of one plane of all crops, relative to the means of the ranges, which are fixed: ``[B, H, W]``.

    The same contraction as :meth:`Synthesis.codes` of the plane, in a few large products, for training and for decoding
    at the stored size; sup norm per picture.
    """

    def __init__(self, synthesis: Synthesis, plane: int) -> None:
        self.synthesis, self.plane = synthesis, plane
        self.detail = synthesis._details(plane, (RANGE, BLOCK, BLOCK)[plane])
        self.flat = synthesis._flat(plane, 4)

    def start(self) -> Tensor:
        """The patches without copies."""
        return self.detail

    def step(self, x: Tensor) -> Tensor:
        """Patches + sum_d contrast_d (pool D_d - its mean)."""
        return self.detail + self.synthesis._copies(F.avg_pool2d(x[:, None], 2)[:, 0] + self.flat, self.plane)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Largest absolute difference of each picture: ``[B]``."""
        return (x - y).abs().flatten(1).amax(1)

    def lipschitz(self) -> Tensor:
        """Twice the largest sum of contrasts, as a domain's mean is subtracted, ``[B]``."""
        contrast = self.synthesis.contrast if self.plane == 0 else self.synthesis.chroma[:, self.plane - 1, ..., None]
        return 2 * contrast.abs().sum(-1).flatten(1).amax(1)


def rgb(planes: Tensor) -> Tensor:
    """Convert Y, Cb, Cr centred on 0 to RGB."""
    return torch.einsum("ij,bjyx->biyx", planes.new_tensor(TO_RGB), planes) + 0.5

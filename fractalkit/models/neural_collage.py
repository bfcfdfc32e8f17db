"""Neural Collage: pictures to collage codes in one forward pass, trained for rate and distortion.

After Poli, Xu et al., *Self-Similarity Priors: Neural Collages as Differentiable Fractal Representations* (2022). A
picture is cut into crops of 32 x 32; each is a collage (:class:`fractalkit.codes.collage.CollageCode`) of 4 x 4 ranges
for luma and 2 x 2 for each chroma, with the four quarters (chroma: the whole) as domains and 63 learned patches that
all crops share:

    x -> parameters y (analysis) -> whole numbers (these are sent) -> collage codes (synthesis) -> fixed points

Analysis and synthesis are small networks on the grid of macroblocks of 16 x 16, across crops, so the synthesis sees
what lies behind a crop's border and corrects the parameters there: deblocking happens in the code and holds at any
size. Contrasts are bounded by construction, and are inferred from the numbers sent. A range's mean is a parameter of
its own (brightness = mean - sum_d contrast_d mean of domain d), so that it does not drift with the contrasts.

The rate is that of a learned prior: Laplace, its scale from the magnitudes around and before (see :class:`Prior`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fractalkit.codec.neural_syntax import BANDS, SETS, TOTAL, ZIGZAG, K
from fractalkit.codes.collage import WHOLE, CollageCode, Domain
from fractalkit.errors import DataError

CROP, RANGE, BLOCK = 32, 8, 16  # pixels: of a crop, of a luma range, of a macroblock (a chroma range)
QUARTERS = tuple(Domain(2, i, j) for i in range(2) for j in range(2))
NUMBERS = 6 * 64  # of a macroblock: four ranges of luma, one of each chroma
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
FROM_RGB = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
STEPS = 6  # of the map, in training


@dataclass(frozen=True)
class NeuralCollageConfig:
    """All that the weights do not say.

    Attributes:
        weight: of the distortion, bits a pixel for a squared error of one grey level.
        analysis, synthesis: channels of the two networks.
        rho: bound on the contrasts of a range; 0 has no domains, patches alone (for comparison).
        collage_steps: steps of training that use the collage theorem's bound before the fixed point itself.
    """

    weight: float = 0.01
    analysis: int = 96
    synthesis: int = 128
    rho: float = 0.6
    collage_steps: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> NeuralCollageConfig:
        """From :meth:`to_dict`'s form.

        Raises:
            DataError: a name that is unknown, or a value out of range.
        """
        if not isinstance(data, dict) or set(data) - {f.name for f in fields(cls)}:
            raise DataError("config: not that of a neural collage")
        out = cls(**data)
        numbers = (out.weight, out.rho)
        wholes = (out.analysis, out.synthesis, out.collage_steps)
        if (
            any(isinstance(v, bool) for v in numbers + wholes)
            or not all(isinstance(v, (int, float)) and abs(v) < 1e9 for v in numbers)
            or not all(isinstance(v, int) and 0 <= v <= 1 << 24 for v in wholes)
        ):
            raise DataError("config: a value of another kind")
        if not (out.weight > 0 and 0 <= out.rho < 1 and 1 <= out.analysis <= 4096 and 1 <= out.synthesis <= 4096):
            raise DataError("config: a value out of its range")
        return out


@lru_cache
def cosines(n: int) -> Tensor:
    """``[64, n * n]``: area means over n x n pixels of the 8 x 8 cosines in zigzag order; at n = 8 orthonormal."""
    k = torch.arange(8, dtype=torch.float64)[:, None]
    edge = torch.arange(n + 1, dtype=torch.float64) / n
    integral = torch.where(k == 0, edge, torch.sin(math.pi * k * edge) / (math.pi * k.clamp(min=1)))
    mean = integral.diff(dim=1) * n  # of cos(pi k t) over each pixel
    mean = mean * _scale()[:, None]
    flat = torch.einsum("ky,lx->klyx", mean, mean).reshape(64, n * n)
    return flat[torch.from_numpy(ZIGZAG)].float()


def _scale() -> Tensor:
    """What a cosine of each order is multiplied by so that its means over 8 pixels have norm one."""
    k = torch.arange(8, dtype=torch.float64)
    sinc = torch.where(k == 0, torch.ones_like(k), torch.sin(math.pi * k / 16) / (math.pi * k.clamp(min=1) / 16))
    return torch.where(k == 0, torch.full_like(k, math.sqrt(1 / 8)), torch.full_like(k, 0.5)) / sinc


def blocks(x: Tensor, side: int) -> Tensor:
    """``[B, H, W]`` -> ``[B, side^2, H / side, W / side]``."""
    return F.pixel_unshuffle(x[:, None], side)


def unblocks(x: Tensor, side: int) -> Tensor:
    """``[B, side^2, h, w]`` -> ``[B, h side, w side]``."""
    return F.pixel_shuffle(x, side)[:, 0]


def split(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers ``[B, 384, h, w]`` as luma ``[B, 64, 2 h, 2 w]`` and chroma ``[B, 64, h, w]``, twice."""
    b, _, h, w = y.shape
    luma = y[:, :256].reshape(b, 2, 2, 64, h, w).permute(0, 3, 4, 1, 5, 2).reshape(b, 64, 2 * h, 2 * w)
    return luma, y[:, 256:320], y[:, 320:]


def join(luma: Tensor, cb: Tensor, cr: Tensor) -> Tensor:
    """The inverse of :func:`split`."""
    b, _, h, w = cb.shape
    return torch.cat([luma.reshape(b, 64, h, 2, w, 2).permute(0, 3, 5, 1, 2, 4).reshape(b, 256, h, w), cb, cr], 1)


class Prior(nn.Module):
    """Bits of the numbers: Laplace with a learned scale for each frequency, times one inferred for each band of a block
    from the magnitudes of the bands of blocks left and above, of lower bands here, and (for chroma) of planes before.
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
        """``[B, 384, h, w]`` -> bits of each picture ``[B]``; the numbers around are ``rounded`` ones, where given."""
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
    """x at (row - dy, column - dx), the border repeated."""
    h, w = x.shape[2:]
    x = F.pad(x, (max(dx, 0), max(-dx, 0), dy, 0), mode="replicate")
    return x[:, :, :h, max(-dx, 0) : max(-dx, 0) + w]


def guess(dc: Tensor) -> Tensor:
    """Means predicted from those left and above, as the syntax does: 3/4 (left + top) - 1/2 corner."""
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


class NeuralCollage(nn.Module):
    """The encoder and decoder of one rate; see the top of this file."""

    def __init__(self, config: NeuralCollageConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NeuralCollageConfig()
        a, s = config.analysis, config.synthesis
        # the quantiser's step that is best at high rate, in sample values of [0, 1]
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
        # what the contexts of the coder begin with, filled after training; whole numbers that float16 holds exactly
        self.register_buffer("coder_prob", torch.full((TOTAL,), 512.0))
        self.register_buffer("coder_count", torch.zeros(TOTAL))
        self.register_buffer("coder_weight", torch.full((256, K), 307.0))

    # ---- picture <-> numbers

    def steps(self) -> Tensor:
        """The quantiser's step of each number, ``[384, 1, 1]``."""
        s = self.log_step.exp()
        return torch.cat([s[0].repeat(4), s[1], s[2]])[:, None, None]

    @staticmethod
    def cosine_blocks(x: Tensor) -> Tensor:
        """Pictures ``[B, 3, H, W]`` in [0, 1], sides multiples of 16, as cosines ``[B, 384, H / 16, W / 16]``."""
        ycc = torch.einsum("ij,bjyx->biyx", x.new_tensor(FROM_RGB), x - 0.5)
        basis = cosines(RANGE).to(x)
        luma = torch.einsum("kp,bpyx->bkyx", basis, blocks(ycc[:, 0], RANGE))
        half = F.avg_pool2d(ycc[:, 1:], 2)
        cb, cr = (torch.einsum("kp,bpyx->bkyx", basis, blocks(half[:, i], RANGE)) for i in range(2))
        return join(luma, cb, cr)

    def parameters_of(self, x: Tensor, scale: Tensor | float = 1.0) -> Tensor:
        """Analysis: pictures to numbers before they are rounded, ``[B, 384, h, w]``; ``scale`` is of the steps."""
        y = self.cosine_blocks(x) / (self.steps() * scale)
        return y + self.analysis(torch.asinh(y))

    def synthesise(self, y: Tensor, scale: Tensor | float = 1.0) -> Synthesis:
        """Numbers ``[B, 384, h, w]``, h and w even, to the parameters of collages."""
        out = self.synthesis(torch.asinh(y))
        values = (y + out[:, :NUMBERS]) * (self.steps() * scale)
        return Synthesis(values, self.config.rho, out[:, NUMBERS:], self.patches)

    # ---- training

    def losses(self, x: Tensor, generator: torch.Generator, step: int) -> dict[str, Tensor]:
        """Rate and distortion: "loss" in bits a pixel, "bpp" and "psnr"."""
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
        """The same with rounded numbers, ``[B]`` each, through the fixed point, clipped to [0, 1]."""
        y = self.parameters_of(x).round()
        bpp = self.prior(y) / (x.shape[2] * x.shape[3])
        mse = 255**2 * (self.synthesise(y).draw(12).clamp(0, 1) - x).square().mean((1, 2, 3))
        return {"loss": bpp + self.config.weight * mse, "bpp": bpp, "mse": mse,
                "psnr": 10 * torch.log10(255**2 / mse.clamp(min=1e-6))}  # fmt: skip

    # ---- files

    def save_pretrained(
        self,
        path: str | Path,
        metadata: dict[str, Any] | None = None,
        *,
        state: dict[str, Tensor] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Write weights and configuration, see :func:`fractalkit.models.hub.save_pretrained`."""
        from fractalkit.models.hub import save_pretrained

        save_pretrained(self, path, metadata, state=state, dtype=dtype)

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Upload to ``owner/name``, see :func:`fractalkit.models.hub.push_to_hub`."""
        from fractalkit.models.hub import push_to_hub

        return push_to_hub(self, repository, **options)


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
        b, _, h, w = self.raw.shape
        if self.rho == 0:
            contrast = torch.zeros_like(self.raw)
        else:
            luma = CollageCode.bounded(self.raw[:, :16].reshape(b, 4, 4, h, w).permute(0, 1, 3, 4, 2), self.rho)
            contrast = torch.cat(
                [luma.permute(0, 1, 4, 2, 3).reshape(b, 16, h, w), self.rho * self.raw[:, 16:].tanh()], 1
            )
        # a range names its domains from where it is: the quarter it lies in, beside, below, across
        per_range = contrast[:, :16].reshape(b, 2, 2, 2, 2, h // 2, 2, w // 2, 2)
        rows = []
        for i in range(2):
            cells = [per_range[..., i, :, j].flip([d for d, odd in ((3, i), (4, j)) if odd]) for j in range(2)]
            rows.append(torch.stack(cells, -1))
        # [b, ry, rx, dy, dx, h/2, w/2, i, j] -> [b, h/2, w/2, i, ry, j, rx, dy, dx]
        whole = torch.stack(rows, -2)
        self.contrast = whole.permute(0, 5, 6, 7, 1, 8, 2, 3, 4).reshape(b, h // 2, w // 2, 4, 4, 4)
        self.chroma = contrast[:, 16:].reshape(b, 2, h // 2, 2, w // 2, 2).permute(0, 1, 2, 4, 3, 5)

    def _details(self, plane: int, side: int) -> Tensor:
        """Patches, weighted, without the mean: ``[B, h side, w side]``."""
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
        """Y, Cb, Cr about 1/2, ``[B, 3, H, W]``, after ``steps`` of the map from the picture without copies."""
        out = []
        for i in range(3):
            detail = self._details(i, (RANGE, BLOCK, BLOCK)[i])
            x = detail
            if self.rho:
                for _ in range(steps):  # the mean of each range stays what it is; only what is about it moves
                    x = detail + self._copies(F.avg_pool2d(x[:, None], 2)[:, 0] + self._flat(i, 4), i)
            out.append(self._flat(i, 2) + x)
        return torch.stack(out, 1)

    def _copies(self, small: Tensor, plane: int) -> Tensor:
        """What the domains bring, sum_d contrast_d (pool D_d - its mean), of planes at half size ``[B, H/2, W/2]``."""
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
        """(T x - x) / (1 - lipschitz) of data ``[B, 3, H, W]``, which bounds the fixed point's error (collage theorem);
        one application of the map, to the data, no iteration."""
        data = torch.einsum("ij,bjyx->biyx", x.new_tensor(FROM_RGB), x - 0.5)
        planes = []
        for i in range(3):
            drawn = self._flat(i, 2) + self._details(i, (RANGE, BLOCK, BLOCK)[i])
            planes.append(drawn + self._copies(F.avg_pool2d(data[:, i : i + 1], 2)[:, 0], i) if self.rho else drawn)
        rate = self.contrast.abs().sum(-1).amax((1, 2, 3, 4))
        rate = torch.maximum(rate, self.chroma.abs().amax((1, 2, 3, 4, 5)))
        return (rgb(torch.stack(planes, 1)) - x) / (1 - rate[:, None, None, None])

    def part(self, rows: tuple[int, int], columns: tuple[int, int]) -> Synthesis:
        """The crops of some rows and columns."""
        y, x = slice(2 * rows[0], 2 * rows[1]), slice(2 * columns[0], 2 * columns[1])
        return Synthesis(self.values[:, :, y, x], self.rho, self.raw[:, :, y, x], self.patches)

    def codes(self) -> tuple[CollageCode, CollageCode]:
        """Collage codes of all crops, rows of crops after rows: luma, and the two chroma as channels."""
        b, _, h, w = self.raw.shape
        n = b * (h // 2) * (w // 2)

        def crops(v: Tensor, side: int) -> Tensor:  # [b, k, h', w'] -> [n, side, side, k]
            k, hh, ww = v.shape[1:]
            v = v.reshape(b, k, hh // side, side, ww // side, side)
            return v.permute(0, 2, 4, 3, 5, 1).reshape(n, side, side, k)

        order = torch.from_numpy(np.argsort(ZIGZAG))
        scale = torch.outer(_scale(), _scale()).float()
        patches = []
        for i in range(2):
            ac = torch.cat([torch.zeros_like(self.patches[0, :, :1]), self.patches[i]], 1)
            patches.append(ac[:, order].reshape(63, 1, 8, 8) * scale.to(ac))
        luma = crops(self.luma, 4)
        contrast = self.contrast.reshape(n, 4, 4, 4)
        mean = luma[..., 0] / 8
        quarters = F.avg_pool2d(mean[:, None], 2)[:, 0].reshape(n, 1, 1, 4)
        y = CollageCode(
            contrast[:, None], (mean - (contrast * quarters).sum(-1))[:, None], luma[:, None, ..., 1:], patches[0],
            QUARTERS, continuous=False,
        )  # fmt: skip
        pair = torch.stack([crops(self.cb, 2), crops(self.cr, 2)], 1)
        contrast = self.chroma.permute(0, 2, 3, 1, 4, 5).reshape(n, 2, 2, 2)
        mean = pair[..., 0] / 8
        brightness = mean - contrast * mean.mean((2, 3), keepdim=True)
        return y, CollageCode(contrast[..., None], brightness, pair[..., 1:], patches[1], (WHOLE,), continuous=False)


def rgb(planes: Tensor) -> Tensor:
    """Y, Cb, Cr about 1/2 to RGB."""
    return torch.einsum("ij,bjyx->biyx", planes.new_tensor(TO_RGB), planes) + 0.5

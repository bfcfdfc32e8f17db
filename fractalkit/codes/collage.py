"""The code of a collage: a picture on the unit square, as contrasts and brightnesses of copies of itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fractalkit.errors import DataError, naming
from fractalkit.files import refuse_picture
from fractalkit.lazy import Shown
from fractalkit.tensors import read_tensors, save_tensors

FORMAT = "fractalkit-collage"
VERSION = 1
MAX_GRID = 4096  # ranges on a side
MAX_DOMAINS = 256
MAX_PATCHES = 1024
MAX_COSINES = 64  # on a side
MAX_FILE_BYTES = 1 << 30
TENSORS = ("contrast", "brightness", "mixing", "patches")


@dataclass(frozen=True)
class Domain:
    """A square of the picture that ranges are copies of: a cell of a scale x scale division of the unit square.

    Args:
        scale: 1 is the whole picture, 2 a quarter of its area (a half on each side), 4 a sixteenth.
        row, col: which cell, from 0 to scale - 1, from the top and the left.
        isometry: one of the 8 of the square, a sum of 4 (transpose, done first), 2 (flip rows), 1 (flip columns).

    The point (y, x) of a range, in [0, 1]^2, shows the picture at ((row + y') / scale, (col + x') / scale), where
    (y', x') is (y, x), or (x, y) with 4, then y' -> 1 - y' with 2, x' -> 1 - x' with 1.
    """

    scale: int = 1
    row: int = 0
    col: int = 0
    isometry: int = 0

    def __post_init__(self) -> None:
        for name in ("scale", "row", "col", "isometry"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise DataError(f"{name}: expected an integer, got {value!r}")
        if not 1 <= self.scale <= MAX_GRID:
            raise DataError(f"scale: expected 1 to {MAX_GRID}, got {self.scale}")
        for name in ("row", "col"):
            if not 0 <= getattr(self, name) < self.scale:
                raise DataError(f"{name}: expected 0 to {self.scale - 1}, got {getattr(self, name)}")
        if not 0 <= self.isometry < 8:
            raise DataError(f"isometry: expected 0 to 7, got {self.isometry}")

    @property
    def transposed(self) -> bool:
        """Whether rows of the range show columns of the picture."""
        return bool(self.isometry & 4)

    @property
    def flips(self) -> tuple[bool, bool]:
        """Whether the picture's rows and its columns are read backwards."""
        return bool(self.isometry & 2), bool(self.isometry & 1)


WHOLE = Domain()


@dataclass(frozen=True, eq=False)
class CollageCode(Shown):
    """A batch of collages: B pictures of C channels on the unit square, which a Gh x Gw grid divides into ranges.

    Every picture f satisfies, at the point x of range (i, j) with coordinates t in [0, 1]^2 there,

        f(x) = sum_d contrast_d f(D_d(t)) + brightness + sum_a mixing_a patch_a(t)

    (Jacquin 1992; Poli et al., *Self-Similarity Priors: Neural Collages as Differentiable Fractal Representations*,
    2022). There are two kinds. A plain code has one number per range, and its pixels are area means. A continuous code,
    the default, has no seams: its numbers are coefficients of fields over the whole picture, quadratic B-splines on the
    ranges' centres (constant beyond the outermost), and alternate ranges are mirrored, t = G x - i for even i,
    i + 1 - G x for odd, so that the operator maps continuous functions to continuous functions, as in Barnsley's
    fractal interpolation (1986); its pixels are point samples at pixel centres.

    Args:
        contrast: ``[B, C or 1, Gh, Gw, D]``, or without the last axis for a single domain; contractive where
            sum_d |contrast| < 1 everywhere (see :meth:`bounded`).
        brightness: ``[B, C, Gh, Gw]``.
        mixing: ``[B, C or 1, Gh, Gw, A]``, weights of the auxiliary patches; None, with patches, for none.
        patches: ``[A, C or 1, Kh, Kw]`` cosine coefficients c, shared by the batch: patch(y, x) =
            sum_kl c_kl cos(pi k y) cos(pi l x) on the unit square, so a patch has every resolution.
        domains: D of them, each larger than a range: ``scale`` below Gh and Gw.
        continuous: the kind of code.

    The four are floating point on one device. Contractivity is tested by :meth:`check`, by
    :meth:`load` and by every map, not on construction.

    Raises:
        DataError: a wrong shape, type or domain; the message names the field.

    >>> contrast, brightness = torch.full((1, 1, 2, 2, 1), 0.5), torch.ones(1, 1, 2, 2)
    >>> code = CollageCode(contrast, brightness)
    >>> code.batch, code.channels, code.grid, code.lipschitz()
    (1, 1, (2, 2), tensor([0.5000]))
    """

    contrast: Tensor
    brightness: Tensor
    mixing: Tensor = None  # type: ignore[assignment]  # no patches, set below
    patches: Tensor = None  # type: ignore[assignment]
    domains: tuple[Domain, ...] = (WHOLE,)
    continuous: bool = True

    def _fill_in(self) -> None:
        """Give contrasts of one domain their last axis, and a code without patches its empty tensors."""
        a, b = self.contrast, self.brightness
        if isinstance(a, Tensor) and a.ndim == 4 and len(self.domains) == 1:
            object.__setattr__(self, "contrast", a[..., None])
        if self.patches is None and self.mixing is None and isinstance(b, Tensor) and b.ndim == 4:
            object.__setattr__(self, "patches", b.new_zeros(0, 1, 1, 1))
            object.__setattr__(self, "mixing", b.new_zeros(b.shape[0], 1, *b.shape[2:], 0))

    def __post_init__(self) -> None:
        object.__setattr__(self, "domains", tuple(self.domains))
        self._fill_in()
        for name in TENSORS:
            value = getattr(self, name)
            if not isinstance(value, Tensor) or not value.is_floating_point():
                raise DataError(f"{name}: expected a floating-point tensor, got {getattr(value, 'dtype', type(value))}")
            if value.device != self.brightness.device:
                raise DataError(f"{name}: is on {value.device}, brightness on {self.brightness.device}; use to()")
        shape = tuple(self.brightness.shape)
        if len(shape) != 4 or 0 in shape[:2] or not all(2 <= g <= MAX_GRID for g in shape[2:]):
            raise DataError(
                f"brightness: expected [B, C, Gh, Gw] with 2 to {MAX_GRID} ranges a side, got {list(shape)}"
            )
        b, c, gh, gw = shape
        _check_domains(self.domains, (gh, gw))
        kernels = self.patches.shape
        if len(kernels) != 4 or kernels[0] > MAX_PATCHES or not all(1 <= k <= MAX_COSINES for k in kernels[2:]):
            raise DataError(
                f"patches: expected [A, C or 1, Kh, Kw], at most {MAX_PATCHES} patches of 1 to {MAX_COSINES} cosines a "
                f"side, got {list(kernels)}"
            )
        _expect("contrast", self.contrast, (b, (c, 1), gh, gw, len(self.domains)))
        _expect("patches", self.patches, (kernels[0], (c, 1), *kernels[2:]))
        _expect("mixing", self.mixing, (b, (c, 1), gh, gw, kernels[0]))

    # ---- shape and type

    @property
    def batch(self) -> int:
        """B, the number of pictures."""
        return self.brightness.shape[0]

    @property
    def channels(self) -> int:
        """C."""
        return self.brightness.shape[1]

    @property
    def grid(self) -> tuple[int, int]:
        """(Gh, Gw), the ranges on a side."""
        return self.brightness.shape[2], self.brightness.shape[3]

    def __len__(self) -> int:
        return self.batch

    def __getitem__(self, index: int | slice) -> CollageCode:
        """Item ``index`` as a code of batch 1, or a slice of the batch."""
        if isinstance(index, int):
            return self.item(index)
        return replace(
            self, contrast=self.contrast[index], brightness=self.brightness[index], mixing=self.mixing[index]
        )

    def item(self, index: int) -> CollageCode:
        """Item ``index`` as a code of batch 1; negative counts from the end.

        Raises:
            IndexError: there is no such item.
        """
        if not -self.batch <= index < self.batch:
            raise IndexError(f"item {index} of a batch of {self.batch}")
        index %= self.batch
        return self[index : index + 1]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> CollageCode:
        """The same code on another device or in another floating-point type."""
        return replace(self, **{name: getattr(self, name).to(device=device, dtype=dtype) for name in TENSORS})

    # ---- contraction

    def lipschitz(self) -> Tensor:
        """max over ranges and channels of sum_d |contrast|: ``[B]``, no gradient.

        For a plain code that is the step's Lipschitz constant in the sup norm. For a continuous one it bounds it, as
        splines that are positive and sum to one cannot exceed their coefficients, and is it where neighbours agree.
        """
        w = self.contrast.detach()
        return w.abs().sum(dim=-1, dtype=torch.promote_types(w.dtype, torch.float32)).flatten(1).amax(dim=1)

    def check(self) -> CollageCode:
        """Return self if every value is finite and every item contracts.

        Raises:
            DataError: naming the field, the item and the range at fault.
        """
        for name in TENSORS:
            value = getattr(self, name).detach()
            bad = ~torch.isfinite(value)
            if bool(bad.any()):
                at = bad.nonzero()[0].tolist()
                where = f"patch {at[0]}" if name == "patches" else f"item {at[0]}, range ({at[2]}, {at[3]})"
                raise DataError(f"{name}: holds a value that is not finite ({where})")
        rate = self.lipschitz()
        if not bool((rate < 1).all()):
            total = self.contrast.detach().abs().sum(dim=-1)
            item, channel, i, j = (total >= 1).nonzero()[0].tolist()
            raise DataError(
                f"contrast: item {item}, range ({i}, {j}), channel {channel} has a sum of absolute values of "
                f"{float(total[item, channel, i, j]):.6g}, so the collage does not contract; it must be below 1"
            )
        return self

    @staticmethod
    def bounded(raw: Tensor, rho: float = 0.95) -> Tensor:
        """Contrasts from any numbers: ``[..., D]`` -> ``[..., D]`` with sum_d |contrast| = rho tanh(sum_d |raw|).

        Near zero it is rho times the identity, for D = 1 it is rho tanh; the ratios between domains are kept.

        Raises:
            DataError: rho is not in (0, 1).

        >>> CollageCode.bounded(torch.tensor([[9.0, -1.0], [0.0, 0.0]]), 0.8)
        tensor([[ 0.7200, -0.0800],
                [ 0.0000,  0.0000]])
        """
        if not 0 < rho < 1:
            raise DataError(f"rho: expected a number between 0 and 1, got {rho}")
        raw = raw.to(torch.promote_types(raw.dtype, torch.float32))
        if raw.shape[-1] == 1:
            return rho * raw.tanh()
        total = raw.abs().sum(dim=-1, keepdim=True)
        small = total < 1e-4  # where tanh(t) / t is 1 to rounding, and its gradient 0
        safe = torch.where(small, torch.ones_like(total), total)
        return rho * raw * torch.where(small, torch.ones_like(total), safe.tanh() / safe)

    # ---- files

    def summary(self) -> dict[str, Any]:
        """Sizes and Lipschitz constants; facts that JSON can hold."""
        height, width = self.grid
        return {
            "pictures": self.batch, "channels": self.channels, "grid": f"{height} x {width}",
            "domains": len(self.domains), "patches": len(self.patches), "continuous": self.continuous,
            "lipschitz": self.lipschitz().tolist()[:16],
            "numbers": sum(getattr(self, name).numel() for name in TENSORS),
        }  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Write a ``.safetensors`` file, whole or not at all; the domains and the kind are in its metadata.

        Raises:
            DataError: the folder is missing or cannot be written to.
            UsageError: the suffix of a picture.
        """
        refuse_picture(path, "a collage code is a .safetensors file")
        tensors = {name: getattr(self, name).detach().cpu().contiguous().clone() for name in TENSORS}
        config = {"domains": [[d.scale, d.row, d.col, d.isometry] for d in self.domains], "continuous": self.continuous}
        save_tensors(path, tensors, {"format": FORMAT, "version": str(VERSION), "config": json.dumps(config)})

    @classmethod
    def load(cls, path: str | Path, *, device: torch.device | str = "cpu") -> CollageCode:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: not such a file, truncated, above 1 GiB, or its code is refused; the message names the file.
        """
        metadata, tensors = read_tensors(path, max_bytes=MAX_FILE_BYTES)
        with naming(path):
            if metadata.get("format") != FORMAT:
                raise DataError(f'format: expected metadata "format": "{FORMAT}", got {metadata.get("format")!r}')
            if metadata.get("version") != str(VERSION):
                raise DataError(
                    f"version: expected {VERSION}, got {metadata.get('version')!r}; a newer FractalKit may read it"
                )
            if set(tensors) != set(TENSORS):
                names = ", ".join(sorted(tensors)) or "none"
                raise DataError(f"expected the tensors {', '.join(TENSORS)}, got {names}")
            values: dict[str, Any] = tensors | _config(metadata.get("config", ""))
            return cls(**values).check().to(device)


def _check_domains(domains: tuple[Domain, ...], grid: tuple[int, int]) -> None:
    if not 1 <= len(domains) <= MAX_DOMAINS:
        raise DataError(f"domains: expected 1 to {MAX_DOMAINS}, got {len(domains)}")
    for k, domain in enumerate(domains):
        if not isinstance(domain, Domain):
            raise DataError(f"domains[{k}]: expected a Domain, got {domain!r}")
        if domain.scale >= min(grid):
            raise DataError(
                f"domains[{k}].scale: {domain.scale} makes it no larger than a range of the {grid[0]} x {grid[1]} "
                f"grid; it must be below {min(grid)}"
            )


def _config(text: str) -> dict[str, Any]:
    """Domains and kind from the metadata's JSON."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"config: not valid JSON ({str(error) or 'nested too deeply'})") from error
    names = [field.name for field in fields(Domain)]
    if not isinstance(config, dict) or not isinstance(config.get("domains"), list):
        raise DataError("config: expected an object with a list of domains")
    if not isinstance(config.get("continuous"), bool):
        raise DataError("config.continuous: expected true or false")
    domains = []
    for k, numbers in enumerate(config["domains"]):
        if not isinstance(numbers, list) or len(numbers) != len(names):
            raise DataError(f"config.domains[{k}]: expected {len(names)} integers: {', '.join(names)}")
        try:
            domains.append(Domain(*numbers))
        except DataError as error:
            raise DataError(f"config.domains[{k}].{error}") from error
    return {"domains": tuple(domains), "continuous": config["continuous"]}


def _expect(name: str, value: Tensor, wanted: tuple[int | tuple[int, int], ...]) -> None:
    """Refuse a shape other than ``wanted``, where a pair lists two sizes allowed."""
    sizes = tuple(w if isinstance(w, tuple) else (w,) for w in wanted)
    if value.ndim != len(sizes) or any(n not in s for n, s in zip(value.shape, sizes, strict=True)):
        text = ", ".join(" or ".join(map(str, dict.fromkeys(s))) for s in sizes)
        raise DataError(f"{name}: expected shape [{text}], got {list(value.shape)}")

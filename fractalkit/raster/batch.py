"""Several pictures, or points, as one tensor that saves and shows itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fractalkit.lazy import resolve
from fractalkit.raster.picture import Picture, as_picture, sheet


def _seen_as(kind: type[Tensor], values: Tensor) -> Any:
    """The same memory as another class; a tensor with its own dispatch, such as PyTorch's fake ones, stays as it is."""
    own = type(values).__torch_dispatch__ is not Tensor.__torch_dispatch__
    return values if own else values.as_subclass(kind)


class PointTensor(Tensor):
    """Points ``[N, D]`` that save themselves; what is computed from them is a plain tensor.

    >>> three = PointTensor.of(torch.zeros(3, 2))
    >>> type(three * 2) is Tensor, type(three[:2]) is PointTensor
    (True, True)
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def of(values: Tensor) -> PointTensor:
        """The same memory as points."""
        return _seen_as(PointTensor, values)  # type: ignore[no-any-return]

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        return PointTensor.of(part) if part.ndim == 2 and part.shape[1] == self.shape[-1] else part

    def __deepcopy__(self, memo: Any) -> PointTensor:
        return PointTensor.of(self.as_subclass(Tensor).clone())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.as_subclass(Tensor).__reduce_ex__(protocol)

    def save(self, path: str | Path) -> None:
        """Write the points in the format of the suffix, as :func:`fractalkit.save` does."""
        resolve("fractalkit.api:save")(self.as_subclass(Tensor), path)  # a layer above


class PictureTensor(Tensor):
    """Pictures ``[B, C, H, W]``, or one ``[C, H, W]``, in [0, 1]; what is computed from them is a plain tensor.

    >>> two = PictureTensor.of(torch.zeros(2, 1, 4, 6))
    >>> two.picture().shape, two[0].picture().shape, type(two + 1) is Tensor
    ((4, 12), (4, 6), True)
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def of(values: Tensor) -> PictureTensor:
        """The same memory as pictures."""
        return _seen_as(PictureTensor, values)  # type: ignore[no-any-return]

    def __getitem__(self, key: Any) -> Any:
        return PictureTensor.of(super().__getitem__(key))

    def __iter__(self) -> Iterator[PictureTensor]:  # type: ignore[override]
        return (self[k] for k in range(len(self)))

    def __deepcopy__(self, memo: Any) -> PictureTensor:
        return PictureTensor.of(self.as_subclass(Tensor).clone())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.as_subclass(Tensor).__reduce_ex__(protocol)

    def picture(self) -> Picture:
        """One :class:`Picture`; several become a sheet, row by row."""
        plain = self.as_subclass(Tensor)
        return sheet(plain) if self.ndim == 4 else as_picture(plain)

    @property
    def pil(self) -> Any:
        """The picture, or the sheet, as Pillow has it."""
        return self.picture().pil

    def save(self, path: str | Path) -> None:
        """Write the picture, or the sheet, in the format of the suffix; see :meth:`Picture.save`."""
        self.picture().save(path)

    def _repr_png_(self) -> bytes | None:
        return self.picture()._repr_png_() if self.ndim in (3, 4) and self.shape[-3] in (1, 3, 4) else None

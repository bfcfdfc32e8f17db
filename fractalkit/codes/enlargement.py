"""The code of an enlargement: a small picture, what to copy into it, and how much."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fractalkit.errors import DataError, UsageError, naming
from fractalkit.tensors import read_tensors, save_tensors

FORMAT = "fractalkit-enlargement"
VERSION = "1"
ANGLES, COHERENCES, STRENGTHS = 12, 3, 4
CLASSES = ANGLES * COHERENCES * STRENGTHS
SIDE = 5  # pixels a side of the neighbourhood that a filter reads
MAX_DETAIL = 2.0


@dataclass(frozen=True)
class EnlargementCode:
    """A picture and filters that predict finer detail from it; its map is :class:`fractalkit.maps.enlarge.EnlargeMap`.

    Attributes:
        picture: ``[C, H, W]`` float32 from 0 to 255: area averages. One channel is grey, three are RGB.
        filters: ``[CLASSES + 1, SIDE^2, 4]`` float32: a linear map from a neighbourhood of luma to the four quarters of
            its pixel, one for each class of neighbourhood, and last the one for all.
        detail: 0 for the smoothest picture with these averages, 1 for the likeliest, 2 for the richest.
    """

    picture: Tensor
    filters: Tensor
    detail: float = 1.0

    def check(self) -> EnlargementCode:
        """Return self.

        Raises:
            UsageError: shapes or a detail out of range, or values that are not finite.
        """
        p, f = self.picture, self.filters
        if p.ndim != 3 or p.shape[0] not in (1, 3) or 0 in p.shape:
            raise UsageError(f"picture: expected [1, H, W] or [3, H, W], got {list(p.shape)}")
        if f.shape != (CLASSES + 1, SIDE**2, 4):
            raise UsageError(f"filters: expected [{CLASSES + 1}, {SIDE**2}, 4], got {list(f.shape)}")
        if not 0 <= self.detail <= MAX_DETAIL:
            raise UsageError(f"detail: expected 0 to {MAX_DETAIL:g}, got {self.detail:g}")
        if not (bool(p.isfinite().all()) and bool(f.isfinite().all())):
            raise UsageError("picture and filters: expected finite values")
        return self

    def with_detail(self, detail: float) -> EnlargementCode:
        """The same code with another amount of detail."""
        return replace(self, detail=float(detail)).check()

    def summary(self) -> dict[str, Any]:
        """Facts that JSON can hold."""
        c, h, w = self.picture.shape
        return {"width": w, "height": h, "channels": c, "detail": self.detail, "filters": len(self.filters)}

    def save(self, path: str | Path) -> None:
        """Write a ``.safetensors`` file, whole or not at all.

        Raises:
            DataError: the file cannot be written.
        """
        tensors = {"picture": self.picture.contiguous(), "filters": self.filters.contiguous()}
        save_tensors(path, tensors, {"format": FORMAT, "version": VERSION, "detail": repr(float(self.detail))})

    @classmethod
    def load(cls, path: str | Path) -> EnlargementCode:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: not such a file, or one that is damaged; the message names it.
        """
        metadata, tensors = read_tensors(path)
        with naming(path):
            if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
                raise DataError(f'expected the metadata "format": "{FORMAT}" and "version": "{VERSION}"')
            if set(tensors) != {"picture", "filters"} or any(t.dtype != torch.float32 for t in tensors.values()):
                raise DataError("expected the float32 tensors picture and filters")
            try:
                return cls(tensors["picture"], tensors["filters"], float(metadata.get("detail", "nan"))).check()
            except (UsageError, ValueError) as error:
                raise DataError(str(error)) from error

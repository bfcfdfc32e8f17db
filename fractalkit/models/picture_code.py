"""Base class of the codes of pictures that networks draw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from fractalkit.codec.container import FileCode
from fractalkit.raster.part import Part


@dataclass(frozen=True)
class PictureCode(FileCode, ABC):
    """Base class of codes whose ``decode_part`` draws any part at any size.

    Attributes:
        height, width, channels, depth: of the stored picture; bits per sample.
    """

    height: int
    width: int
    channels: int
    depth: int

    def decode(
        self,
        height: int | None = None,
        width: int | None = None,
        *,
        window: tuple[int, int, int, int] | None = None,
    ) -> np.ndarray:
        """Pixels ``[H, W]`` or ``[H, W, C]``, uint8 or uint16, at any size.

        Args:
            height, width: of the whole picture; one alone keeps the proportions; neither, the stored size.
            window: (left, top, right, bottom) in these pixels; only this part is computed.

        Raises:
            UsageError: a size or a window out of range.
        """
        return self.decode_part(Part.of((self.width, self.height), height, width, window))

    @abstractmethod
    def decode_part(self, part: Part, deblock: bool | None = None) -> np.ndarray:
        """Pixels of a part whose corners need not be whole pixels; ``deblock`` has no effect without blocks."""

    @property
    def top(self) -> int:
        """The largest sample value."""
        return (1 << self.depth) - 1

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Type of the samples."""
        return np.uint8 if self.depth == 8 else np.uint16

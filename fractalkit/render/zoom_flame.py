"""Windows of a flame: all samples of each fall into it, however deep it is (:mod:`fractalkit.orbit.flame_window`)."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.errors import UsageError
from fractalkit.render.flame import look_of, render_flame, to_8_bit
from fractalkit.render.flame_tone import develop

if TYPE_CHECKING:
    from fractalkit.orbit.flame_window import FlameWindow

_PLAIN = 1.5  # magnification up to which the chaos game of the whole is played
_LAYERS = 64.0  # deepest magnification of flames with layers
_FINEST = 1e-13  # least side of a pixel, in widths of the whole
_STUCK = 0.5  # most samples that may have no other like them


class FlameWindows:
    """A flame whose windows can be drawn at any magnification.

    The density of a fractal grows without end as one comes nearer, so a film or a page has an exposure for each
    magnification: that which keeps the mean density about a point, see :meth:`aim`. Without one, windows are as bright
    as the same part of the whole picture.

    Args:
        quality: samples a pixel.
        seed: fixes the samples.
        device: that plays the chaos game of the whole; deep windows need float64 and are drawn by the CPU.
    """

    def __init__(
        self, flame: Flame, quality: float = 12.0, seed: int = 0, threads: int | None = None, device: str | None = None
    ) -> None:
        self.flame, self.quality, self.seed, self.threads, self.device = flame, quality, seed, threads, device
        self.at: tuple[float, float] | None = None
        self._density: dict[int, float] = {}

    @property
    def aspect(self) -> float:
        """Height over width."""
        return float(self.flame.size[1] / self.flame.size[0])

    @cached_property
    def near(self) -> FlameWindow:
        """The sampler of windows."""
        from fractalkit.orbit.flame_window import FlameWindow

        return FlameWindow(self.flame, self.seed)

    def aim(self, at: tuple[float, float]) -> None:
        """Set the exposure of each magnification by the density about a point (shares of the width, y down)."""
        if at != self.at:
            self.at = at
            self._density.clear()

    def reach(self, at: tuple[float, float], depth: float, width: int) -> tuple[float, str]:
        """The magnification up to which windows of so many pixels about a point can be drawn, and what ends it, if
        it is less than ``depth``."""
        if self.flame.layers and depth > _LAYERS:
            return _LAYERS, "flames with layers are drawn as a whole"
        most = 1 / (_FINEST * width)
        kept, why = min(depth, most), "numbers have no more digits" if depth > most else ""
        side, m = self.aspect, 2.0
        while m < 2 * kept:
            half = 0.5 / m
            box = (at[0] - half, at[1] - half * side, at[0] + half, at[1] + half * side)
            crowd = self.near.crowd(box)
            if crowd.mass == 0:
                return m / 2, "nothing is there"
            if crowd.stuck > _STUCK:
                return m / 2, "its maps do not contract there"
            m *= 2
        return kept, why

    def gain(self, share: float) -> float:
        """Factor of the exposure of a window that is this share of the whole wide."""
        if self.at is None or share >= 1:
            return 1.0
        level = -math.log2(share)
        low = int(level)
        t = level - low
        a, b = (self._density_at(k) for k in (low, low + 1))
        return self._density_at(0) / (a ** (1 - t) * b**t)

    def _density_at(self, level: int) -> float:
        """Mass over area of the window of 2^-level about the point."""
        if level not in self._density:
            assert self.at is not None
            half, (x, y) = 0.5**level / 2, self.at
            box = (x - half, y - half * self.aspect, x + half, y + half * self.aspect)
            mass = self.near.mass(box)
            before = self._density_at(level - 1) if level else 1.0
            # where nothing is: as bright as one level before
            self._density[level] = mass / (4 * half * half * self.aspect) if mass > 0 else before
        return self._density[level]

    def window(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> npt.NDArray[np.uint8]:
        """Draw a window by samples that fall into it.

        Raises:
            UsageError: an empty window, or one whose edges float64 cannot tell apart.
        """
        if not (x1 - x0 > _FINEST * width and y1 > y0):
            raise UsageError(f"window: {x0:g},{y0:g},{x1:g},{y1:g} is empty, or deeper than float64 can tell")
        near, gain = self._camera(x0, y0, x1, y1, width, height), self.gain(x1 - x0)
        if self.flame.layers or x1 - x0 > 1 / _PLAIN:
            picture = render_flame(
                near, quality=self.quality, seed=self.seed, threads=self.threads, batches=1, device=self.device
            )
            return to_8_bit(picture)
        look = look_of(near, 1.0)
        cells = look.cells
        margin = look.gutter * (x1 - x0) / (width * near.oversample)
        box = (x0 - margin, y0 - margin, x1 + margin, y1 + margin)
        histogram, got, mass = self.near.expose(box, *cells, round(self.quality * width * height))
        if got == 0:
            look = replace(look, quality=1.0)
        else:
            look = replace(look, quality=got / (mass * width * height * gain))
        return to_8_bit(develop(histogram, look, threads=self.threads))

    def _camera(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> Flame:
        """The flame with its camera on a window."""
        f = self.flame
        unit = f.size[0] / f.pixels_per_unit  # of the plane, across the whole
        turn = math.radians(f.rotate)
        dx, dy = ((x0 + x1) / 2 - 0.5) * unit, ((y0 + y1) / 2 - 0.5 * self.aspect) * unit
        c, s = math.cos(turn), math.sin(turn)
        return replace(
            f, size=(width, height), scale=width / (unit * (x1 - x0)), zoom=0.0, cam_zoom=1.0,
            center=(f.center[0] + c * dx + s * dy, f.center[1] - s * dx + c * dy),
        )  # fmt: skip

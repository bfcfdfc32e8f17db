"""Orbits: the chaos game by three engines, points by address, and even coverage of an attractor."""

from typing import TYPE_CHECKING

from fractalkit.lazy import attach

if TYPE_CHECKING:
    from fractalkit.orbit.api import extent, histogram, sample, stream
    from fractalkit.orbit.coverage import even
    from fractalkit.orbit.records import Histogram, Orbit
    from fractalkit.orbit.touched import Touched, touched_cells

__all__ = ["Histogram", "Orbit", "Touched", "even", "extent", "histogram", "sample", "stream", "touched_cells"]

# flames need no torch, and some of these compile their loops with Numba: all are imported on first use
_HOMES = {
    "Histogram": ".records", "Orbit": ".records", "Touched": ".touched", "even": ".coverage", "extent": ".api",
    "histogram": ".api", "sample": ".api", "stream": ".api", "touched_cells": ".touched",
}  # fmt: skip
__getattr__, __dir__ = attach(__name__, _HOMES)

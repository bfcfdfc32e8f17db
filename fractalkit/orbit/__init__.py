"""Orbits: the chaos game by three engines, points by address, and even coverage of an attractor."""

from fractalkit.lazy import attach
from fractalkit.orbit.api import extent, histogram, sample, stream
from fractalkit.orbit.records import Histogram, Orbit

__all__ = ["Histogram", "Orbit", "Touched", "even", "extent", "histogram", "sample", "stream", "touched_cells"]

# these compile their loops with Numba, which is imported on first use
_HOMES = {"even": ".coverage", "Touched": ".touched", "touched_cells": ".touched"}
__getattr__, __dir__ = attach(__name__, _HOMES)

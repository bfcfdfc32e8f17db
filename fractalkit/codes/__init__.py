"""Codes: frozen dataclasses of tensors that say what a map is; they know nothing of algorithms."""

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.collage import CollageCode, Domain
from fractalkit.codes.presets import PRESETS, preset

__all__ = ["PRESETS", "AffineIFS", "CollageCode", "Domain", "preset"]

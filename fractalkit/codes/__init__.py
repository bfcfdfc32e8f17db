"""Codes: frozen dataclasses of tensors that say what a map is, and know nothing of algorithms or files' owners."""

from fractalkit.codes.affine import AffineIFS

__all__ = ["AffineIFS"]

"""Codes made executable: each map here is an :class:`fractalkit.core.IteratedMap`."""

from fractalkit.maps.points import AddressedPoints

__all__ = ["AddressedPoints"]

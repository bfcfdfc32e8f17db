"""Codes made executable: each map here is an :class:`fractalkit.core.IteratedMap`."""

from fractalkit.maps.collage import CollageMap, decode, good_size, strips, valid_size
from fractalkit.maps.points import AddressedPoints

__all__ = ["AddressedPoints", "CollageMap", "decode", "good_size", "strips", "valid_size"]

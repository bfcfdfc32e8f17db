"""Codes made executable: each map here is an :class:`fractalkit.core.IteratedMap`."""

from typing import TYPE_CHECKING

from fractalkit.lazy import attach

if TYPE_CHECKING:
    from fractalkit.maps.cloud import CloudMap
    from fractalkit.maps.collage import CollageMap, decode, good_size, strips, valid_size
    from fractalkit.maps.convert import register_map, to_map
    from fractalkit.maps.enlarge import EnlargeMap
    from fractalkit.maps.own_variations import known_variations, load_variations, register_variation
    from fractalkit.maps.points import AddressedPoints
    from fractalkit.maps.varied import apply_variation

__all__ = [
    "AddressedPoints", "CloudMap", "CollageMap", "EnlargeMap", "apply_variation", "decode", "good_size",
    "known_variations", "load_variations", "register_map", "register_variation", "strips", "to_map", "valid_size",
]  # fmt: skip

# flames need no torch, so that the maps of other codes are imported on first use
_HOMES = {
    "AddressedPoints": ".points", "CloudMap": ".cloud", "CollageMap": ".collage", "EnlargeMap": ".enlarge",
    "apply_variation": ".varied", "decode": ".collage", "good_size": ".collage", "known_variations": ".own_variations",
    "load_variations": ".own_variations", "register_map": ".convert", "register_variation": ".own_variations",
    "strips": ".collage", "to_map": ".convert", "valid_size": ".collage",
}  # fmt: skip
__getattr__, __dir__ = attach(__name__, _HOMES)

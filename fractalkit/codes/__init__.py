"""Codes: frozen dataclasses that describe a map and open themselves; they know nothing of algorithms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fractalkit.lazy import attach

if TYPE_CHECKING:
    from fractalkit.codes.affine import AffineIFS
    from fractalkit.codes.cloud_collage import CloudCollage
    from fractalkit.codes.collage import CollageCode, Domain
    from fractalkit.codes.copies import CopyCode
    from fractalkit.codes.enlargement import EnlargementCode
    from fractalkit.codes.flame import Flame, read_flames, write_flames
    from fractalkit.codes.flame_parts import Xform
    from fractalkit.codes.flame_random import breed, mutate
    from fractalkit.codes.open import Code, kind_of, load, load_all
    from fractalkit.codes.presets import PRESETS, preset
    from fractalkit.codes.quadtree import QuadtreeCode

__all__ = [
    "PRESETS", "AffineIFS", "CloudCollage", "Code", "CollageCode", "CopyCode", "Domain", "EnlargementCode", "Flame",
    "QuadtreeCode", "Xform", "breed", "kind_of", "load", "load_all", "mutate", "preset", "read_flames", "write_flames",
]  # fmt: skip

# numpy, torch and Pillow are imported with the first code that needs them
_HOMES = {
    "PRESETS": ".presets", "AffineIFS": ".affine", "CloudCollage": ".cloud_collage", "Code": ".open",
    "CollageCode": ".collage", "CopyCode": ".copies", "Domain": ".collage", "EnlargementCode": ".enlargement",
    "Flame": ".flame",
    "QuadtreeCode": ".quadtree", "Xform": ".flame_parts", "breed": ".flame_random",
    "kind_of": ".open", "load": ".open", "load_all": ".open",
    "mutate": ".flame_random",
    "preset": ".presets", "read_flames": ".flame", "write_flames": ".flame",
}  # fmt: skip
__getattr__, __dir__ = attach(__name__, _HOMES)

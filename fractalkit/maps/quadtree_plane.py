"""The map of a quadtree plane, of whichever kind."""

from __future__ import annotations

from typing import Any

from fractalkit.codes.quadtree import QuadtreePlane
from fractalkit.maps.quadtree import QuadtreeMap
from fractalkit.maps.quadtree_copies import QuadtreeCopyMap
from fractalkit.maps.quadtree_directions import QuadtreeDirectionMap


def plane_map(plane: QuadtreePlane, scale: int = 1, **options: Any) -> QuadtreeMap | QuadtreeCopyMap:
    """The map of a plane, by what its leaves may copy; arguments as of :class:`.QuadtreeMap`."""
    kind = QuadtreeCopyMap if plane.copies else QuadtreeDirectionMap if plane.directed else QuadtreeMap
    return kind(plane, scale, **options)

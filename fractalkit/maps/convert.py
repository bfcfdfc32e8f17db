"""Codes made executable: one function from a code to its map, by type."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any, TypeVar

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.codes.collage import CollageCode
from fractalkit.codes.copies import CopyStrip
from fractalkit.codes.enlargement import EnlargementCode
from fractalkit.codes.quadtree import QuadtreePlane
from fractalkit.core import IteratedMap
from fractalkit.errors import UsageError
from fractalkit.maps.cloud import CloudMap
from fractalkit.maps.collage import CollageMap
from fractalkit.maps.copies import CopyMap
from fractalkit.maps.enlarge import EnlargeMap
from fractalkit.maps.measure import MeasureMap
from fractalkit.maps.quadtree import QuadtreeMap
from fractalkit.maps.quadtree_copies import QuadtreeCopyMap
from fractalkit.maps.quadtree_plane import plane_map

F = TypeVar("F", bound=Callable[..., IteratedMap])


@singledispatch
def to_map(code: Any, size: tuple[int, int] | None = None, **options: Any) -> IteratedMap:
    """The map that a code stands for, on a raster or on points; :func:`fractalkit.core.fixed_point` decodes it.

    Args:
        code: a collage, an affine IFS of the plane (its invariant measure), a plane of a quadtree, an enlargement, a
            strip of copies, a collage of clouds.
        size: (width, height) of the whole raster; a collage of clouds has ``points`` and ``seed`` instead.
        options: of the map: :class:`CollageMap`, :class:`MeasureMap`, :class:`QuadtreeMap`, :class:`CopyMap`,
            :class:`CloudMap`.

    Raises:
        UsageError: a code that no map is registered for, such as a flame, which need not contract.

    >>> import torch
    >>> from fractalkit.core import fixed_point
    >>> half = torch.eye(2).expand(4, 2, 2) / 2
    >>> ifs = AffineIFS(half, torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5], [0.5, 0.5]]))
    >>> fixed_point(to_map(ifs, (8, 4))).shape
    torch.Size([4, 8])
    """
    raise UsageError(f"{type(code).__name__}: has no map to decode; register one with fractalkit.register_map")


def register_map(kind: type) -> Callable[[F], F]:
    """Register the map of a new kind of code, so that :func:`to_map` and ``fractalkit.render`` know it.

    Args:
        kind: the class of the codes.

    Returns:
        A decorator for a function ``(code, size, **options) -> IteratedMap``, with ``size`` (width, height) of the
        raster. ``render`` draws fixed points ``[H, W]``, ``[C, H, W]`` or ``[1, C, H, W]`` in [0, 1].

    Raises:
        UsageError: another function is registered for this class.
    """

    def register(function: F) -> F:
        before = to_map.registry.get(kind)
        if before is not None and before.__qualname__ != function.__qualname__:
            raise UsageError(f"map: {kind.__name__} has a map already, {before.__qualname__}")
        to_map.register(kind)(function)
        return function

    return register


def has_map(code: Any) -> bool:
    """Whether a map is registered for a code's class."""
    return to_map.dispatch(type(code)) is not to_map.dispatch(object)


@to_map.register
def _(code: CollageCode, size: tuple[int, int], **options: Any) -> CollageMap:
    return CollageMap(code, size[1], size[0], **options)


@to_map.register
def _(code: AffineIFS, size: tuple[int, int], **options: Any) -> MeasureMap:
    return MeasureMap(code, (size[1], size[0]), **options)


@to_map.register
def _(code: QuadtreePlane, size: tuple[int, int], **options: Any) -> QuadtreeMap | QuadtreeCopyMap:
    h, w = code.level.shape
    scale = size[0] // w
    if size != (w * scale, h * scale) or scale < 1 or scale & (scale - 1):
        raise UsageError(f"size: expected {w} x {h} times a power of two, got {size[0]} x {size[1]}")
    return plane_map(code, scale, **options)


@to_map.register
def _(code: CopyStrip, size: tuple[int, int] | None = None, **options: Any) -> CopyMap:
    if size is not None and size != code.source.shape[::-1]:
        raise UsageError(f"size: a picture without loss has its own, {code.source.shape[1]} x {code.source.shape[0]}")
    return CopyMap(code, **options)


@to_map.register
def _(code: EnlargementCode, size: tuple[int, int], **options: Any) -> EnlargeMap:
    _, h, w = code.picture.shape
    times = size[0] // w
    if size != (w * times, h * times) or times < 1 or times & (times - 1):
        raise UsageError(f"size: expected {w} x {h} times a power of two, got {size[0]} x {size[1]}")
    return EnlargeMap(code, times.bit_length() - 1, **options)


@to_map.register
def _(code: CloudCollage, *, points: int = 20_000, seed: int = 0) -> CloudMap:
    return CloudMap.stratified(code, points, seed)

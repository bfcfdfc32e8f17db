"""Binary glTF 2.0 (Khronos, 2017): the triangles of its scene, with their nodes' transforms and vertex colours.

Open3D 0.20 finds no vertices in GLB files that it wrote itself, hence this reader. It does not read Draco and meshopt
compression, sparse accessors, or buffers in other files; the error names which of them a file needs.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fractalkit.data.columns import RawCloud, check_count
from fractalkit.data.ply import strips
from fractalkit.errors import DataError

_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
# extensions that do not change vertices
_READ = {"KHR_mesh_quantization", "KHR_materials_unlit", "KHR_texture_transform"}
MAX_NODES = 100_000
MAX_BYTES = 1 << 31


def read_glb(path: Path, *, max_points: int) -> RawCloud:
    """Read vertices in world coordinates, their colours if every part has them, and triangles.

    Raises:
        DataError: a container or an accessor with a wrong size, no vertices, or an unsupported feature; the caller adds
            the file's name.
    """
    if path.stat().st_size > MAX_BYTES:
        raise DataError("is larger than 2 GiB; convert the mesh to PLY")
    scene, binary = _container(path.read_bytes())
    try:
        raw = _Reader(scene, binary, max_points).read()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, binascii.Error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"is a GLB file with a damaged description ({type(error).__name__}); export it again") from None
    raw.kind = "GLB mesh"
    return raw


def _container(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the JSON chunk and the binary chunk."""
    if len(data) < 20:
        raise DataError("is too short for a GLB file; export it again")
    magic, version, length, size, kind = struct.unpack_from("<4sIII4s", data)
    if magic != b"glTF" or version != 2 or length != len(data) or kind != b"JSON" or size > len(data) - 20:
        raise DataError("is not a complete GLB file of version 2 (its header does not fit its size); export it again")
    try:
        scene = json.loads(data[20 : 20 + size])
    except (ValueError, RecursionError):
        scene = None
    if not isinstance(scene, dict):
        raise DataError("is a GLB file with a damaged description; export it again")
    rest = data[20 + size :]
    if len(rest) < 8:
        return scene, b""
    size, kind = struct.unpack_from("<I4s", rest)
    return scene, rest[8 : 8 + size] if kind == b"BIN\0" else b""


class _Reader:
    """Reader of one file."""

    def __init__(self, scene: dict[str, Any], binary: bytes, max_points: int) -> None:
        self.scene, self.binary, self.max_points = scene, binary, max_points
        self.vertices: list[np.ndarray] = []
        self.colours: list[np.ndarray | None] = []
        self.triangles: list[np.ndarray] = []
        self.count = 0

    def read(self) -> RawCloud:
        """Read every mesh of the scene."""
        unread = set(self.scene.get("extensionsRequired", [])) - _READ
        if unread:
            raise DataError(f"needs {', '.join(map(str, sorted(unread)))[:80]}, which is not read; export without it")
        for node, world in self.nodes():
            if "mesh" in node:
                for primitive in self.scene["meshes"][node["mesh"]]["primitives"]:
                    self.primitive(primitive, world)
        if not self.count:
            raise DataError("holds no vertices; check that it has a mesh and export it again")
        coloured = [c for c in self.colours if c is not None]
        colours = np.concatenate(coloured) if len(coloured) == len(self.colours) else None
        triangles = np.concatenate(self.triangles) if self.triangles else None
        return RawCloud(np.concatenate(self.vertices), colours, None, triangles)

    def nodes(self) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Yield the scene's nodes with their matrices ``[4, 4]`` to world coordinates."""
        nodes = self.scene.get("nodes", [])
        children = {c for n in nodes for c in n.get("children", [])}
        scenes = self.scene.get("scenes", [])
        roots = scenes[self.scene.get("scene", 0)].get("nodes", []) if scenes else set(range(len(nodes))) - children
        waiting = [(int(i), np.eye(4)) for i in roots]
        visited = 0
        while waiting:
            i, above = waiting.pop()
            visited += 1
            if visited > min(MAX_NODES, len(nodes)):  # a tree visits each node once
                raise DataError("is a GLB file whose nodes form a cycle; export it again")
            world = above @ _transform(nodes[i])
            yield nodes[i], world
            waiting += [(int(c), world) for c in nodes[i].get("children", [])]

    def primitive(self, primitive: dict[str, Any], world: np.ndarray) -> None:
        """Add the vertices, colours and triangles of a primitive."""
        attributes = primitive["attributes"]
        if "POSITION" not in attributes:
            return
        x = self.accessor(attributes["POSITION"])
        if x.shape[1] != 3:
            raise DataError("has positions without 3 coordinates; export it again")
        self.vertices.append(x @ world[:3, :3].T + world[:3, 3])
        colour = self.accessor(attributes["COLOR_0"]) if "COLOR_0" in attributes else None
        if colour is not None and colour.shape != (len(x), colour.shape[1]):
            raise DataError("has colours for only some vertices; export it again")
        self.colours.append(None if colour is None else np.clip(np.nan_to_num(colour[:, :3]), 0, 1).astype(np.float32))
        mode = primitive.get("mode", 4)
        if mode in (4, 5, 6):
            order = np.arange(len(x))
            if "indices" in primitive:
                order = self.accessor(primitive["indices"])[:, 0].astype(np.int64)
            if order.size and int(order.max()) >= len(x):
                raise DataError(
                    f"has a face with vertex {int(order.max()):,}, but only {len(x):,}; the mesh is damaged"
                )
            if mode == 4:
                found = order[: len(order) // 3 * 3].reshape(-1, 3)
            elif mode == 5:
                found = strips(order, np.array([len(order)]))
            else:
                found = np.stack([np.full(max(len(order) - 2, 0), order[0]), order[1:-1], order[2:]], axis=1)
            self.triangles.append(found + self.count)
        self.count += len(x)
        check_count(self.count, self.max_points)

    def accessor(self, index: int) -> np.ndarray:
        """Values ``[N, C]`` of an accessor, float64; every length is checked against the buffer."""
        a = self.scene["accessors"][index]
        if "sparse" in a or "bufferView" not in a:
            raise DataError("has sparse accessors, which are not read; export it without them")
        view = self.scene["bufferViews"][a["bufferView"]]
        data = self.buffer(view.get("buffer", 0))
        kind = np.dtype(_COMPONENTS[a["componentType"]])
        width, count = _WIDTHS[a["type"]], int(a["count"])
        stride = int(view.get("byteStride", 0)) or width * kind.itemsize
        start = int(view.get("byteOffset", 0)) + int(a.get("byteOffset", 0))
        end = start + (count - 1) * stride + width * kind.itemsize
        if count < 1 or start < 0 or stride < width * kind.itemsize or end > len(data):
            raise DataError(f"promises {count:,} values that its {len(data):,} bytes do not hold; export it again")
        values = np.ndarray((count, width), kind, data, start, (stride, kind.itemsize)).astype(np.float64)
        if a.get("normalized"):
            values = np.maximum(values / np.iinfo(kind).max, -1.0)
        return values

    def buffer(self, index: int) -> bytes:
        """Contents of a buffer: the binary chunk or a data URI."""
        uri = self.scene["buffers"][index].get("uri")
        if uri is None:
            return self.binary
        head, comma, body = uri.partition(",")
        if not (comma and head.startswith("data:") and head.endswith(";base64")):
            raise DataError("keeps its vertices in another file; export it as one file")
        return base64.b64decode(body)


def _transform(node: dict[str, Any]) -> np.ndarray:
    """Matrix ``[4, 4]`` of a node: given column by column, or translation x rotation x scale."""
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", [0, 0, 0, 1])
    out = np.eye(4)
    out[:3, :3] = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    ) @ np.diag(np.array(node.get("scale", [1, 1, 1]), dtype=np.float64))
    out[:3, 3] = node.get("translation", [0, 0, 0])
    return out

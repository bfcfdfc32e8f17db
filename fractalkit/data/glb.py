"""glTF 2.0 (Khronos, 2017), binary or as JSON: the triangles of its scene, with transforms and vertex colours.

Open3D 0.20 finds no vertices in GLB files that it wrote itself, hence this reader. It does not read sparse accessors,
nor meshes compressed by Draco or meshopt; the error names which of them a file has, if its meshes do have it.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np

from fractalkit.data.columns import RawCloud, check_count
from fractalkit.data.ply import strips
from fractalkit.errors import DataError

_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
# beginnings of the names of extensions that do not change vertices, and of those that are found where they are used
_HARMLESS = ("KHR_mesh_quantization", "KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_", "KHR_xmp")
_DRACO, _MESHOPT = "KHR_draco_mesh_compression", "EXT_meshopt_compression"
_REMEDY = "`gltf-transform cp` or Blender writes it without"
MAX_NODES = 100_000
MAX_BYTES = 1 << 31


def read_glb(path: Path, *, max_points: int) -> RawCloud:
    """Read vertices in world coordinates, their colours if every part has them, and triangles.

    Raises:
        DataError: a container or an accessor with a wrong size, no vertices, or an unsupported feature; the caller adds
            the file's name.
    """
    return _read(*_container(_bytes(path)), path, max_points, "GLB mesh")


def read_gltf(path: Path, *, max_points: int) -> RawCloud:
    """Read glTF as JSON, whose buffers are in it or in files of the same folder or below; otherwise as a GLB.

    Raises:
        DataError: as for :func:`read_glb`, or a buffer's file that is missing, elsewhere or too short.
    """
    return _read(_description(_bytes(path)), b"", path, max_points, "glTF mesh")


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > MAX_BYTES:
        raise DataError("is larger than 2 GiB; convert the mesh to PLY")
    return path.read_bytes()


def _read(scene: dict[str, Any], binary: bytes, path: Path, max_points: int, kind: str) -> RawCloud:
    try:
        raw = _Reader(scene, binary, path.parent, max_points).read()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, binascii.Error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"is glTF with a damaged description ({type(error).__name__}); export it again") from None
    raw.kind = kind
    return raw


def _description(text: bytes) -> dict[str, Any]:
    """The JSON of a file."""
    try:
        scene = json.loads(text)
    except (ValueError, RecursionError):
        scene = None
    if not isinstance(scene, dict):
        raise DataError("is glTF with a damaged description; export it again")
    return scene


def _container(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the JSON chunk and the binary chunk."""
    if len(data) < 20:
        raise DataError("is too short for a GLB file; export it again")
    magic, version, length, size, kind = struct.unpack_from("<4sIII4s", data)
    if magic != b"glTF" or version != 2 or length != len(data) or kind != b"JSON" or size > len(data) - 20:
        raise DataError("is not a complete GLB file of version 2 (its header does not fit its size); export it again")
    scene = _description(data[20 : 20 + size])
    rest = data[20 + size :]
    if len(rest) < 8:
        return scene, b""
    size, kind = struct.unpack_from("<I4s", rest)
    return scene, rest[8 : 8 + size] if kind == b"BIN\0" else b""


class _Reader:
    """Reader of one file."""

    def __init__(self, scene: dict[str, Any], binary: bytes, folder: Path, max_points: int) -> None:
        self.scene, self.binary, self.folder, self.max_points = scene, binary, folder, max_points
        self.buffers: dict[int, bytes] = {}
        self.vertices: list[np.ndarray] = []
        self.colours: list[np.ndarray | None] = []
        self.triangles: list[np.ndarray] = []
        self.count = 0

    def read(self) -> RawCloud:
        """Read every mesh of the scene."""
        required = {str(name) for name in self.scene.get("extensionsRequired", [])} - {_DRACO, _MESHOPT}
        unread = sorted(name for name in required if not name.startswith(_HARMLESS))
        if unread:
            raise DataError(f"needs {', '.join(unread)[:80]}, which is not read; export without it")
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
        place = self.scene["accessors"][attributes["POSITION"]]
        if _DRACO in primitive.get("extensions", {}) and "bufferView" not in place:
            raise DataError(f"has a mesh compressed by Draco, which is not read; {_REMEDY}")
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
        if _MESHOPT in view.get("extensions", {}):
            raise DataError(f"has a mesh compressed by meshopt, which is not read; {_REMEDY}")
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
        """Contents of a buffer: the binary chunk, a data URI, or a file in the folder."""
        uri = self.scene["buffers"][index].get("uri")
        if uri is None:
            return self.binary
        if index not in self.buffers:
            head, comma, body = uri.partition(",")
            inside = comma and head.startswith("data:") and head.endswith(";base64")
            self.buffers[index] = base64.b64decode(body) if inside else self.beside(uri)
        return self.buffers[index]

    def beside(self, uri: str) -> bytes:
        """Contents of a file that is named relative to the folder, in it or below."""
        name = PurePosixPath(unquote(uri))
        path = self.folder / name
        if ":" in uri or "\\" in uri or "\0" in str(name) or name.is_absolute() or ".." in name.parts:
            raise DataError(f"keeps its vertices at {uri[:60]!a}, not beside it; export it as one file, a GLB")
        try:
            if not path.is_file():
                raise DataError(f"needs the file {uri[:60]!a} beside it, which is missing; copy it too")
            return _bytes(path)
        except OSError as error:
            raise DataError(f"needs the file {uri[:60]!a}, which cannot be read ({error.strerror})") from None


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

"""Triangle meshes and their files: OBJ, STL, GLB, PLY and OFF."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fractalkit.data.writers import byte_colours, needs_double
from fractalkit.errors import DataError, UsageError
from fractalkit.files import atomic_path

MESH_SUFFIXES = (".obj", ".stl", ".glb", ".off", ".ply")
ALWAYS_MESHES = MESH_SUFFIXES[:-1]  # PLY holds clouds too


@dataclass(frozen=True)
class Mesh:
    """Triangles in space.

    Attributes:
        vertices: ``[V, 3]`` float64.
        triangles: ``[M, 3]`` int64 indices, counter-clockwise seen from outside.
        colours: ``[V, 3]`` float32 in 0..1, or None.
        notes: sentences about how it was made.

    Raises:
        DataError: arrays of other shapes, or an index out of range.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    colours: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        v, t, c = self.vertices, self.triangles, self.colours
        if v.ndim != 2 or v.shape[1] != 3 or t.ndim != 2 or t.shape[1] != 3 or (c is not None and c.shape != v.shape):
            raise DataError("a mesh has vertices [V, 3], triangles [M, 3] and, if any, colours [V, 3]")
        if t.size and not 0 <= int(t.min()) <= int(t.max()) < len(v):
            raise DataError(f"a triangle of the mesh has a corner that is none of its {len(v):,} vertices")

    @property
    def faces(self) -> np.ndarray:
        """:attr:`triangles`, by the name that other programs give them."""
        return self.triangles

    def edges(self) -> np.ndarray:
        """Directed edges ``[3 M, 2]``."""
        return np.concatenate([self.triangles[:, [i, (i + 1) % 3]] for i in range(3)])

    def is_closed(self) -> bool:
        """Whether every edge lies between exactly two triangles, which run along it in opposite directions.

        Such a surface has no border and bounds a volume. An empty mesh is not closed.
        """
        edges = self.edges().astype(np.int64)
        n = len(self.vertices)
        there, back = edges[:, 0] * n + edges[:, 1], edges[:, 1] * n + edges[:, 0]
        there.sort()
        back.sort()
        return len(there) > 0 and bool((np.diff(there) > 0).all()) and bool((there == back).all())

    def volume(self) -> float:
        """Volume of the inside of a closed mesh, negative if its triangles are clockwise seen from outside."""
        a, b, c = (self.vertices[self.triangles[:, i]] - self.vertices.mean(axis=0) for i in range(3))
        return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def check_mesh_suffix(path: Path) -> None:
    """Raise a UsageError if no mesh can be written with the suffix of this name."""
    if path.suffix.lower() not in MESH_SUFFIXES:
        raise UsageError(f"{path}: cannot write a mesh with this suffix; use {', '.join(s[1:] for s in MESH_SUFFIXES)}")


def load_mesh(path: str | Path, *, max_points: int = 50_000_000) -> Mesh:
    """Read the vertices, triangles and colours of a mesh: ply, obj, off, stl or glb.

    Raises:
        DataError: a file that is missing, damaged or holds no triangles.
    """
    from fractalkit.data.clouds import load_raw

    raw = load_raw(Path(path), max_points=max_points)
    if raw.triangles is None or not len(raw.triangles):
        raise DataError(f"{path}: holds points only; a mesh has triangles")
    return Mesh(raw.points, raw.triangles, raw.colours)


def save_mesh(path: str | Path, mesh: Mesh, comment: str = "") -> None:
    """Write a mesh; the suffix decides the format. Colours go to OBJ, GLB, PLY and OFF; STL has none.

    OBJ has ``v x y z r g b`` lines, which Blender and MeshLab read; PLY and STL are binary; the vertex colours of GLB
    are linear, as glTF 2.0 prescribes, those of the others sRGB.

    Raises:
        UsageError: an unknown suffix, or STL or GLB, which have only float32, for a mesh too far from the origin.
        DataError: a mesh without triangles, or a file that cannot be written.
    """
    path = Path(path)
    writers = {".obj": _obj, ".stl": _stl, ".glb": _glb, ".ply": _ply, ".off": _off}
    check_mesh_suffix(path)
    if not len(mesh.triangles):
        raise DataError(f"{path}: the mesh has no triangles")
    if path.suffix.lower() in (".stl", ".glb") and _far(mesh):
        raise UsageError(f"{path}: so far from the origin {path.suffix[1:]} would lose the shape; use obj, ply or off")
    with atomic_path(path) as temporary:
        temporary.write_bytes(writers[path.suffix.lower()](mesh, comment.encode("ascii", "replace").decode()))


def _far(mesh: Mesh) -> bool:
    return needs_double(mesh.vertices.min(axis=0), mesh.vertices.max(axis=0))


def _lines(form: str, *columns: np.ndarray) -> bytes:
    """Rows of text by one format; columns of whole numbers stay whole."""
    rows = zip(*(c for column in columns for c in column.T.tolist()), strict=True)
    return "".join([form % row for row in rows]).encode()


def _obj(mesh: Mesh, comment: str) -> bytes:
    head = f"# {comment}\n".encode() if comment else b""
    if mesh.colours is None:
        vertices = _lines("v %.12g %.12g %.12g\n", mesh.vertices)
    else:
        vertices = _lines("v %.12g %.12g %.12g %.4f %.4f %.4f\n", mesh.vertices, mesh.colours.clip(0, 1))
    return head + vertices + _lines("f %d %d %d\n", mesh.triangles + 1)


def _off(mesh: Mesh, comment: str) -> bytes:
    coloured = mesh.colours is not None
    head = f"{'C' if coloured else ''}OFF\n" + (f"# {comment}\n" if comment else "")
    head += f"{len(mesh.vertices)} {len(mesh.triangles)} 0\n"
    if mesh.colours is None:
        vertices = _lines("%.12g %.12g %.12g\n", mesh.vertices)
    else:
        vertices = _lines(
            "%.12g %.12g %.12g %d %d %d 255\n", mesh.vertices, byte_colours(mesh.colours).astype(np.int64)
        )
    return head.encode() + vertices + _lines("3 %d %d %d\n", mesh.triangles)


def _stl(mesh: Mesh, comment: str) -> bytes:
    corners = mesh.vertices[mesh.triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    table = np.zeros(len(corners), np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]))
    table["normal"], table["corners"] = normal / np.where(length > 0, length, 1), corners
    # a header that begins with "solid" would say that the file is text
    return f"binary STL {comment}"[:80].ljust(80).encode() + struct.pack("<I", len(table)) + table.tobytes()


def _ply(mesh: Mesh, comment: str) -> bytes:
    kind = "double" if _far(mesh) else "float"
    fields: list[tuple] = [(a, "<f8" if kind == "double" else "<f4") for a in "xyz"]
    names = ("red", "green", "blue") if mesh.colours is not None else ()
    table = np.zeros(len(mesh.vertices), np.dtype(fields + [(c, "u1") for c in names]))
    for i, axis in enumerate("xyz"):
        table[axis] = mesh.vertices[:, i]
    if mesh.colours is not None:
        levels = byte_colours(mesh.colours)
        for i, name in enumerate(names):
            table[name] = levels[:, i]
    faces = np.zeros(len(mesh.triangles), np.dtype([("n", "u1"), ("v", "<i4", 3)]))
    faces["n"], faces["v"] = 3, mesh.triangles
    lines = ["ply", "format binary_little_endian 1.0", *([f"comment {comment}"] if comment else [])]
    lines += [f"element vertex {len(table)}", *(f"property {kind} {a}" for a in "xyz")]
    lines += [f"property uchar {c}" for c in names]
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    return ("\n".join(lines) + "\n").encode() + table.tobytes() + faces.tobytes()


def _glb(mesh: Mesh, comment: str) -> bytes:
    """One buffer of positions, normals, colours and indices (glTF 2.0, Khronos, 2017, sections 3.6 and 4.4)."""
    position = mesh.vertices.astype("<f4")
    parts: list[tuple[str, np.ndarray, int, str]] = [("POSITION", position, 5126, "VEC3")]
    parts.append(("NORMAL", _normals(mesh).astype("<f4"), 5126, "VEC3"))
    if mesh.colours is not None:
        c = mesh.colours.clip(0, 1).astype(np.float64)
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        parts.append(("COLOR_0", linear.astype("<f4"), 5126, "VEC3"))
    parts.append(("", mesh.triangles.astype("<u4").reshape(-1), 5125, "SCALAR"))
    views, accessors, data, place = [], [], [], 0
    for i, (name, array, component, kind) in enumerate(parts):
        views.append({"buffer": 0, "byteOffset": place, "byteLength": array.nbytes, "target": 34962 if name else 34963})
        accessors.append({"bufferView": i, "componentType": component, "count": len(array), "type": kind})
        data.append(array.tobytes())
        place += array.nbytes
    accessors[0] |= {"min": position.min(axis=0).tolist(), "max": position.max(axis=0).tolist()}
    primitive = {
        "attributes": {name: i for i, (name, *_) in enumerate(parts) if name}, "indices": len(parts) - 1, "material": 0
    }  # fmt: skip
    scene = {
        "asset": {"version": "2.0", "generator": comment or "FractalKit"}, "scene": 0, "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive]}], "accessors": accessors, "bufferViews": views,
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 0.8}}],
        "buffers": [{"byteLength": place}],
    }  # fmt: skip
    text = json.dumps(scene, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary = b"".join(data)
    total = 12 + 8 + len(text) + 8 + len(binary)
    head = b"glTF" + struct.pack("<II", 2, total) + struct.pack("<I", len(text)) + b"JSON"
    return head + text + struct.pack("<I", len(binary)) + b"BIN\x00" + binary


def _normals(mesh: Mesh) -> np.ndarray:
    """Unit normals of the vertices ``[V, 3]``, means of their triangles' by area."""
    corners = mesh.vertices[mesh.triangles]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.stack(
        [np.bincount(mesh.triangles.reshape(-1), np.repeat(flat[:, k], 3), len(mesh.vertices)) for k in range(3)], 1
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 0, total / np.where(length > 0, length, 1), [0.0, 0.0, 1.0])

"""3MF (3MF Consortium, 2015), the format of programs for printers: a ZIP of XML with triangles and placed copies."""

from __future__ import annotations

import posixpath
import zipfile
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from fractalkit.data.arrays import ARCHIVE_ERRORS
from fractalkit.data.columns import RawCloud, check_count
from fractalkit.errors import DataError, first_line

MAX_BYTES = 1 << 30  # of the unpacked descriptions
MAX_COPIES = 100_000
_PIECE = 1 << 20
Copy = tuple[tuple[str, str], np.ndarray]  # part and number of an object, and the matrix [4, 3] that places it


@dataclass
class _Object:
    """An object: a mesh, or copies of others."""

    vertices: array = field(default_factory=lambda: array("d"))
    triangles: array = field(default_factory=lambda: array("q"))
    copies: list[Copy] = field(default_factory=list)


def read_3mf(path: Path, *, max_points: int) -> RawCloud:
    """Read the triangles of all items that are to be built, in place; coordinates are in the file's unit.

    Raises:
        DataError: a damaged archive or description, or no mesh; the caller adds the file's name.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            reader = _Reader(max_points)
            for info in archive.infolist():
                if info.filename.endswith(".model"):
                    reader.part("/" + info.filename.lstrip("/"), archive, info)
    except DataError:
        raise
    except (*ARCHIVE_ERRORS, expat.ExpatError) as error:
        raise DataError(f"is a 3MF file with a damaged archive or description ({first_line(error)})") from None
    return reader.assembled()


class _Reader:
    """Reader of the parts of one file."""

    def __init__(self, max_points: int) -> None:
        self.max_points = max_points
        self.objects: dict[tuple[str, str], _Object] = {}
        self.items: list[Copy] = []
        self.name, self.current, self.bytes, self.vertices = "", _Object(), 0, 0

    def part(self, name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        """Read one description; what it unpacks to is counted."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self.element
        parser.StartDoctypeDeclHandler = _refuse
        parser.buffer_text = True
        self.name, self.current = name, _Object()
        with archive.open(info) as file:
            while piece := file.read(_PIECE):
                self.bytes += len(piece)
                if self.bytes > MAX_BYTES:
                    raise DataError(f"unpacks to more than {MAX_BYTES >> 30} GiB; convert the mesh to PLY")
                parser.Parse(piece)
        parser.Parse(b"", True)

    def element(self, tag: str, values: dict[str, str]) -> None:
        """Take in one element of a description."""
        match tag.rpartition(" ")[2]:
            case "object":
                self.current = self.objects[self.name, values["id"]] = _Object()
            case "vertex":
                self.current.vertices.extend(float(values[a]) for a in "xyz")
                self.vertices += 1
                check_count(self.vertices, self.max_points)
            case "triangle":
                self.current.triangles.extend(int(values[v]) for v in ("v1", "v2", "v3"))
            case "component":
                self.current.copies.append(self.copy(values))
            case "item":
                self.items.append(self.copy(values))

    def copy(self, values: dict[str, str]) -> Copy:
        """The object that a component or an item places, and its matrix."""
        other = next((v for k, v in values.items() if k.rpartition(" ")[2] == "path"), None)
        part = self.name if other is None else posixpath.normpath("/" + other.lstrip("/"))
        matrix = np.eye(4)[:, :3]
        if "transform" in values:
            matrix = np.array([float(w) for w in values["transform"].split()]).reshape(4, 3)
        return (part, values["objectid"]), matrix

    def assembled(self) -> RawCloud:
        """All copies of meshes that the items place; a DataError where there are none, or too many."""
        points: list[np.ndarray] = []
        faces: list[np.ndarray] = []
        count = visited = 0
        waiting = [(key, matrix) for key, matrix in reversed(self.items)]
        while waiting:
            key, matrix = waiting.pop()
            visited += 1
            if key not in self.objects or visited > MAX_COPIES:
                why = "places an object that is not there" if key not in self.objects else "places too many copies"
                raise DataError(f"{why}; the file is damaged")
            thing = self.objects[key]
            waiting += [(inner, _product(own, matrix)) for inner, own in reversed(thing.copies)]
            if not thing.vertices:
                continue
            x = np.array(thing.vertices).reshape(-1, 3)
            t = np.array(thing.triangles, dtype=np.int64).reshape(-1, 3)
            if t.size and not 0 <= int(t.min()) <= int(t.max()) < len(x):
                raise DataError(f"has a face with a vertex that is none of {len(x):,}; the mesh is damaged")
            points.append(x @ matrix[:3] + matrix[3])
            faces.append(t + count)
            count += len(x)
            check_count(count, self.max_points)
        if not count:
            raise DataError("places no mesh; check that it has one and export it again")
        return RawCloud(np.concatenate(points), None, None, np.concatenate(faces), "3MF mesh")


def _product(inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """The matrix ``[4, 3]`` of rows x -> (x inner) outer."""
    out = inner @ outer[:3]
    out[3] += outer[3]
    return out


def _refuse(*_: Any) -> None:
    raise DataError("has a document type in its description, which is not read; export it again")

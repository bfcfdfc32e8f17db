"""PLY files (Turk, 1994): ascii and binary of either byte order, lists, faces and triangle strips.

Every count in the header is checked against the size of the file before memory is allocated, so that a hostile or
broken header ends in a clear error.
"""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fractalkit.data.columns import RawCloud, check_count, from_named
from fractalkit.errors import DataError

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8", "int64": "i8", "uint64": "u8", "long": "i8", "ulong": "u8",
}  # fmt: skip
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
MAX_HEADER = 1 << 20
_MARK = b"\xef\xbb\xbf"  # byte-order mark of UTF-8
FLAT = "fractalkit dimension 2"  # comment that marks a planar cloud written with z = 0
_FACE_LISTS = ("vertex_indices", "vertex_index")


@dataclass
class Property:
    """A property; ``count`` is the type of the list length, None for a scalar."""

    name: str
    type: str
    count: str | None = None


@dataclass
class Element:
    """An element of the header: name, number of rows, and properties."""

    name: str
    rows: int
    properties: list[Property] = field(default_factory=list)

    def least(self, ascii: bool) -> int:
        """Minimum size of a row in bytes."""
        if ascii:
            return 2 * len(self.properties)
        return sum(np.dtype(p.count or p.type).itemsize for p in self.properties)


@dataclass
class PlyHeader:
    """A parsed header; ``size`` is the offset of the body in bytes."""

    format: str
    elements: list[Element]
    comments: list[str]
    size: int


def read_header(file: BinaryIO) -> PlyHeader:
    """Read a PLY header, including the line ``end_header``; lines end as on Unix, Windows or the old Macintosh.

    Raises:
        DataError: not a PLY header; the message says what was expected.
    """
    start = file.read(20)
    mark = len(_MARK) if start.startswith(_MARK) else 0
    end = b"\r" if re.match(rb"ply[ \t]*\r(?!\n)", start[mark:]) else b"\n"
    first, found, _ = start[mark:].partition(end)
    if not found or first.strip() != b"ply":
        raise DataError("is not a PLY file (its first line is not 'ply'); check what the file really is")
    file.seek(mark + len(first) + 1)
    header = PlyHeader("", [], [], 0)
    while True:
        line = _line(file, end)
        if not line.endswith(end) or file.tell() > MAX_HEADER:
            raise DataError("has a PLY header without an end_header line; the file is cut off or damaged")
        words = line.decode("latin-1").split()
        if words == ["end_header"]:
            break
        if words:
            _header_line(words, line, header)
    if not header.format:
        raise DataError("has a PLY header without a format line; write it again as ascii or binary_little_endian")
    for element in header.elements:
        names = [p.name for p in element.properties]
        if len(set(names)) < len(names):
            raise DataError(f"element {element.name}: the header gives two properties the same name")
    header.size = file.tell()
    return header


def _line(file: BinaryIO, end: bytes) -> bytes:
    """The next line with its end, of 4,096 bytes at most."""
    if end == b"\n":
        return file.readline(4096)
    at = file.tell()
    first, found, _ = file.read(4096).partition(end)
    file.seek(at + len(first) + len(found))
    return first + found


def _header_line(words: list[str], line: bytes, header: PlyHeader) -> None:
    """Add one line of the header, given also as ``words``."""
    elements = header.elements
    match words:
        case ["comment" | "obj_info", *_]:
            header.comments.append(line.decode("utf-8", "replace").strip().partition(" ")[2])
        case ["format", name, *_] if name in _FORMATS:
            header.format = name
        case ["element", name, rows] if rows.isdecimal():
            elements.append(Element(name, int(rows)))
        case ["property", "list", count, type_, name] if elements:
            if not _type(count).startswith(("i", "u")):
                raise DataError(f"property {name}: the length of a list cannot be of type {count}")
            elements[-1].properties.append(Property(name, _type(type_), _type(count)))
        case ["property", type_, name] if elements:
            elements[-1].properties.append(Property(name, _type(type_)))
        case _:
            shown = line[:60].decode("latin-1").strip()
            raise DataError(f"has an unknown PLY header line: {shown!a}")


def read_ply(path: Path, *, max_points: int) -> RawCloud:
    """Read vertices, their colours and normals, and triangles if there are faces or strips.

    Where the list of faces is cut off, the vertices are returned with a warning; so are those that make sense only in
    the byte order that the header does not name.

    Raises:
        DataError: a broken header or body, no vertices, or more than ``max_points``; the caller adds the file's name.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header = read_header(file)
        vertex = _vertex(header, size, max_points)
        needed = [e for e in header.elements if e is vertex or e.name in _CONNECTIVITY]
        raw: RawCloud | None = None
        triangles: list[np.ndarray] = []
        reader = _Text(file, size) if header.format == "ascii" else _Binary(file, size, _FORMATS[header.format])
        for element in header.elements:
            try:
                scalars, lists = reader.element(element)
            except DataError as error:
                if raw is None:
                    raise
                raw.warnings.append(f"{error}; its {len(raw.points):,} points are whole and were read without faces")
                triangles = []
                break
            if element is vertex:
                swapped = isinstance(reader, _Binary) and reader.swapped(scalars)
                raw = from_named(scalars, flat=FLAT in header.comments)
                if swapped:
                    raw.warnings.append("its header names the wrong byte order; the other one was taken")
            elif element.rows:
                triangles += _triangles(element, lists)
            if element is needed[-1]:
                break
    assert raw is not None
    raw.kind = f"PLY, {header.format.replace('_', ' ')}"
    raw.comments = [c for c in header.comments if c.strip(".") and c != FLAT]  # without the two of CloudWriter
    raw.triangles = np.concatenate(triangles) if triangles else None
    return raw


def _triangles(element: Element, lists: Lists) -> list[np.ndarray]:
    """Triangles of faces or strips, if the element has such a list."""
    if element.name not in _CONNECTIVITY:
        return []
    return [_CONNECTIVITY[element.name](*lists[n]) for n in _FACE_LISTS if n in lists][:1]


def _vertex(header: PlyHeader, size: int, max_points: int) -> Element:
    """Return the vertex element if its number of rows is possible and allowed."""
    vertex = next((e for e in header.elements if e.name == "vertex"), None)
    if vertex is None:
        raise DataError("declares no vertex element, so it holds no points; export the cloud again")
    if not vertex.rows:
        raise DataError("holds no points (its header declares 0 vertices); export a cloud that has some")
    if vertex.rows > max_points:
        _fits(vertex, header.format == "ascii", size - header.size)
        check_count(vertex.rows, max_points)
    return vertex


def fan(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Triangulate polygons, given as concatenated indices and the length of each polygon: ``[M, 3]``.

    >>> fan(np.array([0, 1, 2, 3]), np.array([4])).tolist()
    [[0, 1, 2], [0, 2, 3]]
    """
    starts = np.cumsum(lengths) - lengths
    pieces = np.maximum(lengths - 2, 0)
    first = np.repeat(starts, pieces)
    step = np.arange(len(first)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return np.stack([values[first], values[first + step + 1], values[first + step + 2]], axis=1).astype(np.int64)


def strips(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Triangles ``[M, 3]`` of triangle strips; -1 ends a strip within a list. Orientation is not preserved."""
    apart = np.insert(values.astype(np.int64), np.cumsum(lengths), -1)
    if len(apart) < 3:
        return np.zeros((0, 3), np.int64)
    triples = np.stack([apart[:-2], apart[1:-1], apart[2:]], axis=1)
    return triples[(triples >= 0).all(axis=1)]


def _type(name: str) -> str:
    if name not in _TYPES:
        raise DataError(f"has a property of unknown type {ascii(name)[:40]}; PLY has float, double, uchar, int …")
    return _TYPES[name]


def _fits(element: Element, ascii: bool, left: int) -> None:
    # the last line of a text may lack its newline
    if element.rows * element.least(ascii) > left + ascii:
        raise DataError(
            f"declares {element.rows:,} rows of {element.name}, but only {max(left, 0):,} bytes are left for them; "
            "the file is cut off or its header is wrong"
        )


_CONNECTIVITY = {"face": fan, "tristrips": strips}
Columns = dict[str, np.ndarray]
Lists = dict[str, tuple[np.ndarray, np.ndarray]]


class _Binary:
    """Reader of a binary body. Rows with lists are read in runs of equal list lengths, one array per run."""

    def __init__(self, file: BinaryIO, size: int, order: str) -> None:
        self.file, self.size, self.order = file, size, order

    def element(self, element: Element) -> tuple[Columns, Lists]:
        _fits(element, False, self.size - self.file.tell())
        if not element.properties:
            return {}, {}
        if all(p.count is None for p in element.properties):
            row = np.dtype([(p.name, self.order + p.type) for p in element.properties])
            table = np.frombuffer(self.file.read(element.rows * row.itemsize), row)
            return {name: table[name] for name in table.dtype.names or ()}, {}
        start = self.file.tell()
        tables, used = self.runs(element, self.file.read())
        self.file.seek(start + used)
        columns: Columns = {}
        lists: Lists = {}
        for p in element.properties:
            parts = [t[p.name] for t in tables]
            if p.count is None:
                columns[p.name] = np.concatenate(parts) if parts else np.zeros(0)
            elif not parts:
                lists[p.name] = np.zeros(0, np.int64), np.zeros(0, np.int64)
            else:
                counts = [np.full(len(x), x.shape[1], np.int64) for x in parts]
                lists[p.name] = np.concatenate([x.reshape(-1) for x in parts]), np.concatenate(counts)
        return columns, lists

    def swapped(self, columns: Columns) -> bool:
        """Whether coordinates make sense only in the other byte order, which is then taken, for the columns too."""
        places = [c for n, c in columns.items() if n in ("x", "y", "z") and c.dtype.kind == "f"]
        other = [c.view(c.dtype.newbyteorder("S")) for c in places]  # swapped
        if not places or _odd(places) < 0.2 or _odd(other) > 0.01:
            return False
        self.order = {"<": ">", ">": "<"}[self.order]
        columns.update({n: c.view(c.dtype.newbyteorder("S")) for n, c in columns.items()})
        return True

    def runs(self, element: Element, body: bytes) -> tuple[list[np.ndarray], int]:
        """Return tables of rows with equal layout, and their total size in bytes."""
        tables: list[np.ndarray] = []
        at, done, window = 0, 0, 1
        while done < element.rows:
            row, fixed = self.layout(element, body, at, done)
            take = min(window, element.rows - done, (len(body) - at) // row.itemsize)
            if take < 1:
                raise _short(element, done)
            table = np.frombuffer(body, row, take, at)
            same = np.ones(take, bool)
            for name, length in fixed.items():
                same &= table["#" + name] == length
            good = take if bool(same.all()) else int(np.argmin(same))
            window = window * 2 if good == take else max(1, good)
            tables.append(table[:good])
            at += good * row.itemsize
            done += good
        return tables, at

    def layout(self, element: Element, body: bytes, at: int, done: int) -> tuple[np.dtype, dict[str, int]]:
        """Return the layout of the row that begins at ``at``, and the lengths of its lists."""
        fields: list[tuple] = []
        lengths: dict[str, int] = {}
        for p in element.properties:
            if p.count is None:
                fields.append((p.name, self.order + p.type))
                at += np.dtype(p.type).itemsize
                continue
            width = np.dtype(p.count).itemsize
            if at + width > len(body):
                raise _short(element, done)
            n = int(np.frombuffer(body, self.order + p.count, 1, at)[0])
            at += width + n * np.dtype(p.type).itemsize
            if n < 0 or at > len(body):
                raise _short(element, done)
            lengths[p.name] = n
            fields += [("#" + p.name, self.order + p.count), (p.name, self.order + p.type, (n,))]
        return np.dtype(fields), lengths


def _odd(columns: list[np.ndarray]) -> float:
    """Share of values that no scan has: not finite, or of a size beyond 1e15 or below 1e-15 but for zero."""
    size = np.abs(np.concatenate([c[:100_000] for c in columns]).astype(np.float64))
    return float((~(size < 1e15) | ((size > 0) & (size < 1e-15))).mean())


class _Text:
    """Reader of an ascii body, one row per line."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.left = size - file.tell()
        self.lines: Iterator[str] = (s for s in io.TextIOWrapper(file, "latin-1") if not s.isspace())

    def element(self, element: Element) -> tuple[Columns, Lists]:
        _fits(element, True, self.left)
        if not element.rows or not element.properties:
            return {}, {}
        rows = itertools.islice(self.lines, element.rows)
        names = [p.name for p in element.properties]
        if all(p.count is None for p in element.properties):
            table = text_table(rows, element.name, usecols=range(len(names)))
            if len(table) < element.rows:
                raise _short(element, len(table))
            return dict(zip(names, map(_typed, table.T, element.properties), strict=True)), {}
        return self.with_lists(element, rows)

    def with_lists(self, element: Element, rows: Iterator[str]) -> tuple[Columns, Lists]:
        """Read rows of scalars and lists."""
        values: dict[str, list[float]] = {p.name: [] for p in element.properties}
        lengths: dict[str, list[int]] = {p.name: [] for p in element.properties if p.count is not None}
        done = 0
        for done, line in enumerate(rows, 1):
            words = line.split()
            try:
                _text_row(element, words, values, lengths)
            except IndexError:
                raise DataError(
                    f"{element.name} row {done} has {len(words)} values, fewer than the header's properties need; "
                    "the header or the row is wrong"
                ) from None
            except ValueError:
                raise DataError(f"{element.name} row {done} is not numeric: {line.strip()[:40]!a}") from None
        if done < element.rows:
            raise _short(element, done)
        columns = {p.name: _typed(np.array(values[p.name]), p) for p in element.properties if p.count is None}
        return columns, {n: (_whole(values[n], element), np.array(k, np.int64)) for n, k in lengths.items()}


def _text_row(
    element: Element, words: list[str], values: dict[str, list[float]], lengths: dict[str, list[int]]
) -> None:
    """Append one row to the values of each property and to the lengths of each list."""
    at = 0
    for p in element.properties:
        n = 1
        if p.count is not None:
            n = int(words[at])
            at += 1
            if n < 0:
                raise IndexError
            lengths[p.name].append(n)
        if at + n > len(words):
            raise IndexError
        values[p.name] += map(float, words[at : at + n])
        at += n


def text_table(rows: Iterator[str], what: str, **options) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Parse lines of text as numbers ``[N, C]``; a DataError names the row that is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "no data", which the caller reports
            return np.loadtxt(rows, ndmin=2, comments=None, **options)
    except (ValueError, IndexError) as error:
        raise DataError(f"{what}: {_plain(str(error))}") from None


def _plain(message: str) -> str:
    """NumPy's error message in one printable line, with rows counted from 1."""
    first = message.split(";")[0].removesuffix(".")
    first = re.sub(r"at row (\d+), column", lambda m: f"at row {int(m[1]) + 1}, column", first)
    return first.encode("ascii", "backslashreplace").decode()[:160] + "; the file is damaged or in another format"


def _typed(column: np.ndarray, p: Property) -> np.ndarray:
    """Convert a text column to its declared type, which distinguishes colours in 0..255 from 0..1."""
    if p.type[0] in "iu":
        info = np.iinfo(p.type)
        return np.clip(np.nan_to_num(column), info.min, info.max).astype(p.type)
    return column


def _whole(values: list[float], element: Element) -> np.ndarray:
    array = np.array(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise DataError(f"{element.name}: a list holds a value that is not finite")
    return array.astype(np.int64)


def _short(element: Element, done: int) -> DataError:
    return DataError(
        f"ends after {done:,} of the {element.rows:,} rows of {element.name} that its header declares; "
        "the file is cut off or damaged, so copy or export it again"
    )

"""Clouds as plain text: xyz, xyzn, xyzrgb, pts, txt and csv, with or without a line of column names."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from fractalkit.data.columns import KNOWN, RawCloud, check_count, from_columns, from_named
from fractalkit.data.ply import FLAT, text_table
from fractalkit.errors import DataError

MAX_LINE = 1 << 16
_COMMA_NUMBER = re.compile(r"[+-]?\d+(,\d+)?([eE][+-]?\d+)?")


def read_text(path: Path, *, max_points: int) -> RawCloud:
    """Read one point per line; numbers are separated by commas, semicolons, tabs or blanks.

    Lines that start with # or // are comments. A line of names decides what the columns are, and others than positions,
    colours and normals may hold text; otherwise :func:`~fractalkit.data.columns.from_columns` decides. A first line of
    one integer, as in .pts, is the number of points and is checked.

    Raises:
        DataError: no numbers, rows of different lengths, or more than ``max_points``; the caller adds the file's name.
    """
    kind = path.suffix.lower().lstrip(".")
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        comments: list[str] = []
        lines = _lines(file, comments)
        first = _next(lines, "holds no points")
        declared: int | None = None
        if kind in ("pts", "xyz", "txt") and re.fullmatch(r"\d{1,15}", first.strip()):
            declared = int(first)
            first = _next(lines, "holds no points")
        _refuse_commas(first)
        separator = next((s for s in (",", ";", "\t") if s in first), None)
        names = _names(first, separator)
        if names:
            first = _next(lines, "holds no points after its line of names")
            _refuse_commas(first)
            _check_width(first, separator, names)
        rows = itertools.islice(itertools.chain([first], lines), max_points + 1)
        used = [i for i, name in enumerate(names) if name in KNOWN] if names else None
        table = _table(rows, separator, used)
    check_count(len(table), max_points)
    if declared is not None and declared != len(table):
        raise DataError(f"declares {declared:,} points on its first line but holds {len(table):,}; the file is cut off")
    raw = _raw(table, [n for n in names if n in KNOWN], kind, flat=any(FLAT in c for c in comments))
    raw.kind = "text"
    raw.comments = [c for line in comments[:100] if (c := line.lstrip("#/").strip()) and c != FLAT]
    return raw


def _refuse_commas(row: str) -> None:
    """Raise a DataError for a row such as ``1,5; 2,5``."""
    words = [w for w in re.split(r"[;\t ]+", row.strip()) if w]
    if len(words) > 1 and "," in row and all(_COMMA_NUMBER.fullmatch(w) for w in words):
        raise DataError(f"writes decimals with commas ({row.strip()[:40]!a}); write them with points, as in 0.5")


def _check_width(row: str, separator: str | None, names: list[str]) -> None:
    """Raise a DataError for a row with another number of values than there are names."""
    width = len(next(csv.reader([row], delimiter=separator))) if separator else len(row.split())
    if width != len(names):
        raise DataError(f"names {len(names)} columns but has {width}; correct its first line")


def _table(rows: Iterator[str], separator: str | None, used: list[int] | None) -> np.ndarray:
    """The columns ``used``, or all, as numbers; a DataError that says where text stands in place of a number."""
    try:
        return text_table(rows, "rows", delimiter=separator, usecols=used, quotechar='"')
    except DataError as error:
        found = re.search(r"could not convert string (.*) to float64 at row (\d+), column (\d+)", str(error))
        if found is None:
            raise
        word, row, column = found[1][:60], found[2], found[3]
        raise DataError(
            f"row {row} of the points has {word} in column {column}, where a number is needed; remove the text, or "
            "name the columns x, y, z … on the first line, and others may hold text"
        ) from None


def _next(lines: Iterator[str], otherwise: str) -> str:
    line = next(lines, None)
    if line is None:
        raise DataError(f"{otherwise}; export a cloud that has some")
    return line


def _raw(table: np.ndarray, names: list[str], kind: str, *, flat: bool) -> RawCloud:
    """Interpret the columns by their names, or by their number if there are none."""
    if not names:
        raw = from_columns(table, kind=kind)
        raw.points = raw.points[:, :2] if flat else raw.points
        return raw
    return from_named(dict(zip(names, table.T, strict=True)), flat=flat)


def _lines(file: TextIO, comments: list[str]) -> Iterator[str]:
    """Yield lines of data and collect comments."""
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise DataError("has a line of more than 65,536 characters; it is not a text of points")
        if "\0" in line:
            raise DataError("is not a text file; check what it really is")
        if line.startswith(("#", "//")):
            comments.append(line)
        elif not line.isspace():
            yield line


def _names(line: str, separator: str | None) -> list[str]:
    """Column names in lower case, or an empty list for a line of numbers."""
    words = line.split(separator)
    try:
        [float(w) for w in words]
    except ValueError:
        names = [w.strip().strip('"').lower() for w in words]
        if "x" not in names or "y" not in names:
            raise DataError(
                f"begins with {line.strip()[:40]!a}, neither numbers nor column names with x and y; "
                "give one point per line, as in '0.1 0.2 0.3'"
            ) from None
        return names
    return []

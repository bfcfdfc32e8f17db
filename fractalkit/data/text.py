"""Clouds as plain text: xyz, xyzn, xyzrgb, pts, txt and csv, with or without a line of names."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from fractalkit.data.columns import RawCloud, from_columns, from_named
from fractalkit.data.ply import FLAT, text_table
from fractalkit.errors import DataError

MAX_LINE = 1 << 16


def read_text(path: Path, *, max_points: int) -> RawCloud:
    """One point a line; commas, semicolons, tabs or blanks between numbers; lines of # or // are comments.

    A line of names decides what the columns are, else :func:`~fractalkit.data.columns.from_columns` does. A first line
    of one whole number, as .pts has it, is the number of points and is held against what follows.

    Raises:
        DataError: no numbers, rows of different lengths, or more than ``max_points``; the caller adds the file's name.
    """
    kind = path.suffix.lower().lstrip(".")
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        comments: list[str] = []
        lines = _lines(file, comments)
        names: list[str] = []
        declared: int | None = None
        first = next(lines, None)
        if first is not None and kind in ("pts", "xyz", "txt") and re.fullmatch(r"\d{1,15}", first.strip()):
            declared = int(first)
            first = next(lines, None)
        if first is None:
            raise DataError("holds no points; export a cloud that has some")
        separator = next((s for s in (",", ";", "\t") if s in first), None)
        if not _numeric(first, separator):
            names = [w.strip().strip('"').lower() for w in (first.split(separator) if separator else first.split())]
            if "x" not in names or "y" not in names:
                raise DataError(
                    f"begins with {first.strip()[:40]!a}, neither numbers nor names of columns with x and y; "
                    "give one point a line, as in '0.1 0.2 0.3'"
                )
            first = next(lines, None)
            if first is None:
                raise DataError("holds no points after its line of names; export a cloud that has some")
        rows = itertools.islice(itertools.chain([first], lines), max_points + 1)
        table = text_table(rows, "rows", delimiter=separator)
    if len(table) > max_points:
        raise DataError(f"holds more than the {max_points:,} points allowed; thin it out first")
    if declared is not None and declared != len(table):
        raise DataError(f"declares {declared:,} points on its first line but holds {len(table):,}; the file is cut off")
    flat = any(FLAT in c for c in comments)
    if names:
        if len(names) != table.shape[1]:
            raise DataError(f"names {len(names)} columns but has {table.shape[1]}; correct its first line")
        raw = from_named(dict(zip(names, table.T, strict=True)), flat=flat)
    else:
        raw = from_columns(table, kind=kind)
        raw.points = raw.points[:, :2] if flat else raw.points
    raw.kind = "text"
    raw.comments = [c for line in comments[:100] if (c := line.lstrip("#/").strip()) and c != FLAT]
    return raw


def _lines(file: TextIO, comments: list[str]) -> Iterator[str]:
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise DataError("has a line of more than 65,536 characters; it is no text of points")
        if "\0" in line:
            raise DataError("is not a text; check what the file really is")
        if line.startswith(("#", "//")):
            comments.append(line)
        elif not line.isspace():
            yield line


def _numeric(line: str, separator: str | None) -> bool:
    try:
        [float(w) for w in (line.split(separator) if separator else line.split())]
    except ValueError:
        return False
    return True

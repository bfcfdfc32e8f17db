"""Codes as csv files, in the layout of FractalDB and of its 3D versions."""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from einops import rearrange

from fractalkit.errors import DataError, first_line, naming

MAX_BYTES = 16 << 20
COLUMNS = {7: 2, 13: 3}  # numbers per row: dimension


def read_rows(path: str | Path) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Read matrices ``[K, D, D]``, offsets ``[K, D]`` and weights ``[K]``, float64, from a csv file.

    Each row is a map: a, b, c, d, e, f, p for x' = a x + b y + e, y' = c x + d y + f (H. Kataoka et al., *Pre-training
    without natural images*, 2020). In 3D these are the nine entries of the matrix, row by row, the offset, and p.

    Raises:
        DataError: no such file, or not rows of 7 or of 13 numbers; the message names the line.
    """
    rows: list[list[float]] = []
    with naming(path):
        for i, (number, row) in enumerate(_lines(Path(path))):
            try:
                numbers = [float(c) for c in row]
            except ValueError:
                if i == 0:  # column names
                    continue
                raise DataError(f"line {number}: expected numbers, got {','.join(row)[:60]!r}") from None
            if len(numbers) not in COLUMNS or (rows and len(numbers) != len(rows[0])):
                raise DataError(f"line {number}: expected 7 numbers (2D) or 13 (3D) per row, got {len(numbers)}")
            rows.append(numbers)
        if not rows:
            raise DataError("holds no rows of numbers")
    x = torch.tensor(rows, dtype=torch.float64)
    d = COLUMNS[x.shape[1]]
    return rearrange(x[:, : d * d], "k (i j) -> k i j", i=d), x[:, d * d : d * d + d], x[:, -1]


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Number and cells of each line that is not empty."""
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"larger than {MAX_BYTES >> 20} MiB, too large for a code")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [(n, row) for n, row in enumerate(csv.reader(file), 1) if any(c.strip() for c in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"not a text of comma-separated numbers ({first_line(error)})") from error

"""Codes as rows of numbers, as FractalDB and its sets in space publish them."""

from __future__ import annotations

import csv
from pathlib import Path

import torch

from fractalkit.errors import DataError

MAX_BYTES = 16 << 20
COLUMNS = {7: 2, 13: 3}  # numbers a row: dimension


def read_rows(path: str | Path) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Matrices ``[K, D, D]``, offsets ``[K, D]`` and weights ``[K]``, float64, of a csv file.

    A row is a map: a, b, c, d, e, f, p for x' = a x + b y + e, y' = c x + d y + f (H. Kataoka et al., *Pre-training
    without natural images*, 2020); in space nine numbers of the matrix, row by row, three of the offset, and p.

    Raises:
        DataError: no such file, or not rows of 7 or of 13 finite numbers; the message names the line.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which no code needs")
        with path.open(encoding="utf-8", newline="") as file:
            lines = [(n, row) for n, row in enumerate(csv.reader(file), 1) if any(c.strip() for c in row)]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: no text of comma-separated numbers ({error})") from error
    rows: list[list[float]] = []
    for n, row in lines:
        try:
            numbers = [float(c) for c in row]
        except ValueError:
            if n == lines[0][0]:  # a line of names
                continue
            raise DataError(f"{path}: line {n}: expected numbers, got {','.join(row)[:60]!r}") from None
        if len(numbers) not in COLUMNS or (rows and len(numbers) != len(rows[0])):
            raise DataError(f"{path}: line {n}: expected 7 numbers (plane) or 13 (space) a row, got {len(numbers)}")
        rows.append(numbers)
    if not rows:
        raise DataError(f"{path}: holds no rows of numbers")
    x = torch.tensor(rows, dtype=torch.float64)
    d = COLUMNS[x.shape[1]]
    return x[:, : d * d].reshape(-1, d, d), x[:, d * d : d * d + d], x[:, -1]

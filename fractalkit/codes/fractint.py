"""Codes in the text files of Fractint (``fractint.ifs``): named entries in braces, a map a line."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import torch

from fractalkit.codes.affine import MAX_MAPS, AffineIFS
from fractalkit.errors import DataError, FileWarning, naming

MAX_FILE_BYTES = 4 << 20
_ENTRY = re.compile(r"([^{}]*)\{([^{}]*)\}")


def load(path: str | Path) -> list[AffineIFS]:
    """All codes of a file, in its order, without those whose maps do not contract (a warning names them).

    A map of the plane is a b c d e f p: x' = a x + b y + e, y' = c x + d y + f, with probability p. One of space, in an
    entry marked (3D), has the nine numbers of its matrix in rows, three of its offset, and p. What follows a semicolon
    is a comment, and so is an entry of that name.

    Raises:
        DataError: no entry, or one that is damaged; the message names the file and the entry.
    """
    with naming(path):
        if Path(path).stat().st_size > MAX_FILE_BYTES:
            raise DataError(f"larger than {MAX_FILE_BYTES >> 20} MiB, which no file of codes is")
        text = re.sub(r";[^\n]*", "", Path(path).read_bytes().decode("latin-1").replace("\r", "\n"))
        codes: list[AffineIFS] = []
        lost: list[str] = []
        why = "holds no entry such as 'name { .5 0 0 .5 0 0 1 }'; check what the file really is"
        for head, body in _ENTRY.findall(text):
            words = head.split()
            if not words or words[0].lower() == "comment":
                continue
            try:
                codes.append(_code(words[0], "(3d)" in head.lower(), body))
            except DataError as error:
                why = f"{words[0]}: {error}"
                if "contract" not in why:
                    raise DataError(why) from None
                lost.append(words[0])
        if not codes:
            raise DataError(why)
    if lost:
        warnings.warn(FileWarning(f"{path}: left out {', '.join(lost)[:200]}, which do not contract"), stacklevel=2)
    if len(codes) > 1:
        names = ", ".join(code.name for code in codes)
        warnings.warn(FileWarning(f"{path}: holds {len(codes)} codes ({names[:300]}); the first is used"), stacklevel=2)
    return codes


def _code(name: str, space: bool, body: str) -> AffineIFS:
    """One entry."""
    width, d = (13, 3) if space else (7, 2)
    try:
        numbers = [float(w) for w in body.split()]
    except ValueError as error:
        raise DataError(f"{str(error)[:80]}; an entry holds numbers only") from None
    if not numbers or len(numbers) % width or len(numbers) > width * MAX_MAPS:
        raise DataError(f"has {len(numbers):,} numbers; each map has {width}")
    rows = torch.tensor(numbers, dtype=torch.float64).view(-1, width)
    matrices, offsets, weights = rows[:, : d * d].reshape(-1, d, d), rows[:, d * d : -1], rows[:, -1]
    made = {"source": "Fractint"}
    return AffineIFS(matrices, offsets, weights, name=name, provenance=made).check_contractive()

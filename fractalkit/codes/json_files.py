"""``.ifs.json`` files: an affine IFS or a collage of clouds, as their "format" says."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.cloud_collage import FORMAT, CloudCollage
from fractalkit.codes.presets import PRESETS
from fractalkit.errors import DataError, naming

_HEAD = 1 << 16
_COLLAGE = re.compile(rb'"format"\s*:\s*"%s"' % FORMAT.encode())


def load(path: str | Path) -> AffineIFS | CloudCollage:
    """Read a ``.ifs.json`` file; a DataError names the file and the bad field."""
    with naming(path), Path(path).open("rb") as file:
        head = file.read(_HEAD)
    return CloudCollage.load(path) if _COLLAGE.search(head) else AffineIFS.load(path)


def from_json(text: bytes) -> AffineIFS | CloudCollage:
    """The code of a text; a DataError names the bad field."""
    return CloudCollage.from_json(text) if _COLLAGE.search(text[:_HEAD]) else AffineIFS.from_json(text)


def checksum(code: AffineIFS | CloudCollage) -> int:
    """CRC-32 of the numbers of a code's maps, the same after a file was written and read."""
    crc = 0
    for tensor in (code.matrices, code.offsets, code.weights):
        if tensor is not None:
            crc = zlib.crc32(tensor.detach().cpu().double().contiguous().numpy().tobytes(), crc)
    return crc


def is_untouched(path: Path) -> bool:
    """Whether a file is as FractalKit wrote it: a preset, or a fit whose maps were not edited since."""
    try:
        code = load(path)
    except DataError:
        return False
    if "checksum" in code.provenance:
        return bool(code.provenance["checksum"] == checksum(code))
    preset = PRESETS.get(code.name)
    return preset is not None and checksum(preset.build()) == checksum(code)

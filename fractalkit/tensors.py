"""Safetensors files: written whole or not at all, and checked before anything large is allocated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fractalkit.errors import DataError, first_line, naming
from fractalkit.files import atomic_path

if TYPE_CHECKING:
    import torch

MAX_BYTES = 4 << 30
MAX_HEADER = 4 << 20


def save_tensors(path: str | Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write contiguous tensors and texts.

    Raises:
        DataError: the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata)
        except SafetensorError as error:
            raise DataError(f"{path}: cannot be written ({first_line(error)})") from error


def read_tensors(path: str | Path, *, max_bytes: int = MAX_BYTES) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Texts and tensors of a file.

    Raises:
        DataError: no such file, too large, or not safetensors; pickles are never opened.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    with naming(path):
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(9)
        length = int.from_bytes(head[:8], "little")
        if len(head) < 9 or head[8:] != b"{" or length > min(size - 8, MAX_HEADER):
            # only then: the length of a good header may begin with the same bytes
            if head[:2] == b"PK" or head[:1] == b"\x80":
                raise DataError("is a pickle or a zip, which could run code; only safetensors files are opened")
            raise DataError("is no safetensors file, or is cut short; fetch it again")
        if size > max_bytes:
            raise DataError(f"larger than {max_bytes >> 30} GiB, the limit")
        try:
            with safe_open(path, framework="pt") as opened:
                metadata = dict(opened.metadata() or {})
                return metadata, {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, ValueError, OSError) as error:
            raise DataError(f"is no whole safetensors file ({error}); fetch it again") from error

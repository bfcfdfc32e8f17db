"""What codes with a ``.fk`` file share; the bytes are made by modules of :mod:`fractalkit.codec`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self

from fractalkit.files import atomic_path, refuse_picture
from fractalkit.lazy import Shown


class FkFile(Shown):
    """Mixin of codes whose ``to_bytes`` are those of a ``.fk`` file."""

    to_bytes: Any

    def __bytes__(self) -> bytes:
        return bytes(self.to_bytes())

    def __len__(self) -> int:
        """Length of the ``.fk`` file in bytes."""
        return len(self.to_bytes())

    def __bool__(self) -> bool:
        return True

    def save(self, path: str | Path) -> None:
        """Write the ``.fk`` file, whole or not at all; a UsageError where the suffix is a picture's."""
        refuse_picture(path, "a compressed picture is a .fk file, and decompress makes a picture of it")
        with atomic_path(path) as temporary:
            temporary.write_bytes(self.to_bytes())


class CodedElsewhere(FkFile):
    """Mixin of codes whose files a module of the layer above writes and reads; it is imported on use.

    Attributes:
        codec: name of the module, with functions ``to_bytes``, ``from_bytes`` and ``load``.
    """

    codec: ClassVar[str]

    def to_bytes(self) -> bytes:
        """The ``.fk`` file."""
        return bytes(import_module(self.codec).to_bytes(self))

    @classmethod
    def from_bytes(cls, data: bytes, name: str = ".fk data", **options: Any) -> Self:
        """Read the bytes of a ``.fk`` file; options and errors as ``from_bytes`` of the module."""
        code: Self = import_module(cls.codec).from_bytes(data, name, **options)
        return code

    @classmethod
    def load(cls, path: str | Path, **options: Any) -> Self:
        """Read a ``.fk`` file of this codec; options and errors as :meth:`from_bytes`."""
        code: Self = import_module(cls.codec).load(path, **options)
        return code

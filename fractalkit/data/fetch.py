"""Downloads of bounded size, verified, and visible under their name only when complete."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from fractalkit.errors import DataError
from fractalkit.files import atomic_path

CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds without data


@dataclass(frozen=True)
class Remote:
    """A file on a mirror.

    Attributes:
        url: address.
        size: exact size in bytes.
        md5: checksum given by the publishers; "" if they give none.
    """

    url: str
    size: int
    md5: str = ""

    @property
    def name(self) -> str:
        """File name, the last part of the address."""
        return self.url.rsplit("/", 1)[1]


def fetch_all(folder: Path, files: list[Remote]) -> list[Path]:
    """Download the files that the folder lacks, and return the paths in order.

    Raises:
        DataError: no network, or an unexpected file; the message names the folder and the required files.
    """
    wanted = ", ".join(f.name for f in files)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be created ({error.strerror or error}); set FRACTALKIT_DATA") from error
    out = []
    for file in files:
        path = folder / file.name
        if not path.is_file():
            try:
                fetch(file, path)
            except DataError as error:
                raise DataError(f"{error}; or put {wanted} into {folder} yourself") from error
        out.append(path)
    return out


def fetch(file: Remote, path: Path) -> None:
    """Download one file to ``path``, completely or not at all.

    Raises:
        DataError: the address cannot be reached, or the size or the checksum differs.
    """
    total, digest = 0, hashlib.md5(usedforsecurity=False)
    with atomic_path(path) as temporary:
        try:
            with urllib.request.urlopen(file.url, timeout=TIMEOUT) as reply, temporary.open("wb") as out:
                while chunk := reply.read(min(CHUNK, file.size - total + 1)):
                    total += len(chunk)
                    if total > file.size:
                        break
                    digest.update(chunk)
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = str(getattr(error, "reason", None) or error) or type(error).__name__
            raise DataError(
                f"{file.url}: cannot be downloaded ({why[:120]}); check the network and try again"
            ) from error
        if total != file.size:
            more = "more than" if total > file.size else f"{total:,} of"
            raise DataError(f"{file.url}: sent {more} {file.size:,} bytes; try again")
        if file.md5 and digest.hexdigest() != file.md5:
            raise DataError(f"{file.url}: sent a different file (MD5 {digest.hexdigest()}, not {file.md5}); try later")

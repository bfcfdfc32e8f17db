"""Errors that a user can cause, each one clear sentence with an exit code for the command line."""

import errno
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

MAX_LENGTH = 1000
# errors of Pillow's decoders on damaged files
PILLOW_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, struct.error, OverflowError, TypeError, KeyError, IndexError,
    RuntimeError, AttributeError, ZeroDivisionError, MemoryError,
)  # fmt: skip


class FractalKitError(Exception):
    """Base class of errors that FractalKit raises on purpose; ``exit_code`` is the exit code of the command line."""

    exit_code = 1

    def __str__(self) -> str:
        return one_line(super().__str__())


def one_line(text: str) -> str:
    """Format text as one printable line of bounded length; quotes from damaged files may contain anything.

    >>> one_line("a.png: bad\\n\\x1b[2J")
    'a.png: bad\\\\n\\\\x1b[2J'
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:10_000])
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 160]} ... {text[-150:]}"


def first_line(error: BaseException) -> str:
    """First line of another library's error, or the name of its class if it has no message.

    >>> first_line(OSError("cannot decode\\nhint: try again"))
    'cannot decode'
    """
    return one_line((str(error).splitlines() or [type(error).__name__])[0])[:200]


def did_you_mean(name: str, known: Iterable[str], n: int = 1) -> str:
    """A hint that names the known names nearest to a wrong one, or nothing.

    >>> did_you_mean("barnsly", ["barnsley", "koch"])
    '; did you mean barnsley?'
    """
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=n, cutoff=0.6 if n == 1 else 0.4)
    return f"; did you mean {', '.join(near)}?" if near else ""


class DataError(FractalKitError, ValueError):
    """A file or an array that cannot be used; the message names it and a remedy (exit code 1)."""


class UsageError(FractalKitError, ValueError):
    """Contradictory options, or options out of range (exit code 2)."""

    exit_code = 2


@contextmanager
def naming(where: object) -> Iterator[None]:
    """Put the name of a file in front of the DataErrors of the ``with`` block; errors of the system become DataErrors.

    >>> with naming("a.ply"):
    ...     raise DataError("is empty")
    Traceback (most recent call last):
    fractalkit.errors.DataError: a.ply: is empty
    """
    try:
        yield
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror or error})") from error


def full_disk(error: OSError) -> str:
    """What to do about a full disk or quota; empty for any other error of the system."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "the disk is full; free some space or write elsewhere" if full else ""


class FileWarning(UserWarning):
    """A file was read, but not all of it as it stands; the message names it and what was mended or left out."""

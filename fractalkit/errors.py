"""The errors a user can cause, each one clear sentence; the command line turns them into exit codes."""

import struct

MAX_LENGTH = 1000
# what Pillow's decoders raise at damaged files, each in its own way
PILLOW_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, struct.error, OverflowError, TypeError, KeyError, IndexError,
    RuntimeError, AttributeError, ZeroDivisionError, MemoryError,
)  # fmt: skip


class FractalKitError(Exception):
    """Base of every error that FractalKit raises on purpose; ``exit_code`` is what the command line returns."""

    exit_code = 1

    def __str__(self) -> str:
        return one_line(super().__str__())


def one_line(text: str) -> str:
    """The text as one printable line of bounded length: what it quotes of a damaged file may hold anything.

    >>> one_line("a.png: bad\\n\\x1b[2J")
    'a.png: bad\\\\n\\\\x1b[2J'
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:10_000])
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 160]} ... {text[-150:]}"


def first_line(error: BaseException) -> str:
    """What another library's error says in its first line, or its kind where it says nothing.

    >>> first_line(OSError("cannot decode\\nhint: try again"))
    'cannot decode'
    """
    return one_line((str(error).splitlines() or [type(error).__name__])[0])[:200]


class DataError(FractalKitError, ValueError):
    """A file or an array that cannot be used; the message names it and the remedy (exit code 1)."""


class UsageError(FractalKitError, ValueError):
    """Options that contradict each other or are out of range (exit code 2)."""

    exit_code = 2

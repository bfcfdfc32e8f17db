"""What several commands share: options, devices, progress, sources of codes."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.errors import DataError, UsageError

if TYPE_CHECKING:
    import torch

    from fractalkit.codes.affine import AffineIFS

CODE_KEY, SEED_KEY, COMMAND_KEY = "fractalkit:code", "fractalkit:seed", "fractalkit:command"


WHERE = {
    "--cluster": 1,
    "--jobs": 1,
    "--force": 0,
}  # options that say where the work is done, not what, and their values


def command_line(ctx: click.Context) -> str:
    """How this command was called, as one would type it again; where the work was done is left out."""
    return shlex.join(["fractalkit", *without((ctx.obj or {}).get("args", []), WHERE)])


def without(words: Sequence[str], options: Mapping[str, int]) -> list[str]:
    """The words of a command less some options, each given with the number of values that follow it.

    >>> without(["sample", "-n", "3", "--seed=5", "--grid", "--cluster", "a"], {"-n": 1, "--seed": 1, "--cluster": 1})
    ['sample', '--grid']
    """
    out: list[str] = []
    rest = iter(words)
    for word in rest:
        name, joined, _ = word.partition("=")
        if name not in options or (joined and not name.startswith("--")):
            out.append(word)
        elif not joined:
            for _ in range(options[name]):
                next(rest, None)
    return out


def pick_device(name: str) -> torch.device:
    """The device that a name stands for; "auto" takes CUDA where there is one.

    Raises:
        UsageError: a device that this machine lacks.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: this machine has no usable CUDA device; use --device cpu")
    if name == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: this machine has no usable Metal device; use --device cpu")
    return torch.device(name)


class Progress:
    """One line on standard error that says how far the work is; silent where that is no terminal."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.shown = ""

    def __call__(self, word: str, share: float) -> None:
        text = f"{word} {min(max(share, 0.0), 1.0):4.0%}"
        if self.live and text != self.shown:
            self.shown = text
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self.live and self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def load_code(path: Path) -> AffineIFS:
    """A code from a JSON file, or from the text of a picture that we made.

    Raises:
        DataError: neither; the message names the file.
    """
    from fractalkit.codes.affine import AffineIFS

    if path.suffix.lower() != ".png":
        return AffineIFS.load(path)
    from fractalkit.render.png import read_png_text

    text = read_png_text(path).get(CODE_KEY)
    if text is None:
        raise DataError(f"{path}: this picture carries no code; only those that FractalKit made do")
    try:
        return AffineIFS.from_dict(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: the code in its text is damaged ({error})") from error


def emit(result: dict[str, Any]) -> None:
    """Print one JSON object; numbers that JSON lacks become null."""
    click.echo(json.dumps(_plain(result), indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value

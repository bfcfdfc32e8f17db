"""Shared by the commands: the command line, devices, reports, progress bars."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from fractalkit.checked import json_plain
from fractalkit.errors import UsageError

if TYPE_CHECKING:
    import torch

WHERE = {"--cluster": 1, "--jobs": 1, "--force": 0}  # options that do not affect the result: number of their values


def command_line(ctx: click.Context) -> str:
    """The command line of this call, without the options that do not affect the result."""
    return shlex.join(["fractalkit", *without((ctx.obj or {}).get("args", []), WHERE)])


def without(words: Sequence[str], options: Mapping[str, int]) -> list[str]:
    """The words of a command line without some options, each given with its number of values.

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
    """The device of that name; "auto" is CUDA where it is available.

    Raises:
        UsageError: the device is not available.
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
    """A tqdm bar of shares from 0 to 1 on standard error; silent where that is not a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, word: str, share: float) -> None:
        if self._bar is None:
            if not sys.stderr.isatty():
                return
            from tqdm import tqdm

            self._bar = tqdm(
                total=100, bar_format="{desc} {percentage:3.0f}% |{bar}| {elapsed} < {remaining}", leave=False
            )
        done = round(100 * min(max(share, 0.0), 1.0))
        if done < self._bar.n:
            self._bar.reset()
        self._bar.set_description(word, refresh=False)
        self._bar.update(done - self._bar.n)

    def clear(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def answer(result: dict[str, Any], as_json: bool, text: str) -> None:
    """Print the text, or with ``--json`` the result as one JSON object."""
    emit(result) if as_json else click.echo(text)


def warn(sentence: str) -> None:
    """Print a warning on standard error."""
    click.echo(f"fractalkit: warning: {sentence}", err=True)


def emit(result: dict[str, Any]) -> None:
    """Print one JSON object; NaN and infinity become null."""
    click.echo(json.dumps(json_plain(result), indent=1, allow_nan=False))

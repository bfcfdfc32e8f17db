"""Shared by the commands: the command line, devices, reports, progress bars."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
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
    if name == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # results are those of float32
    if name == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: this machine has no usable Metal device; use --device cpu")
    return torch.device(name)


class Remaining:
    """How long work still takes, where that can be told: the estimates of the whole agree since half of the way.

    >>> steady, stalled = Remaining(), Remaining()
    >>> [steady.seconds(share, 100 * share) for share in (0.05, 0.1, 0.2)]
    [None, 90.0, 80.0]
    >>> [stalled.seconds(share, now) for share, now in ((0.1, 1.0), (0.2, 2.0), (0.3, 30.0))]
    [9.0, 8.0, None]
    """

    LEAST, APART = 0.1, 1.4  # share done before anything is said; ratio of estimates that agree

    def __init__(self) -> None:
        self._wholes: list[tuple[float, float]] = []

    def seconds(self, share: float, elapsed: float) -> float | None:
        """Seconds left after so many, with this share done; None where nobody can tell."""
        if share <= 0:
            return None
        whole = elapsed / share
        self._wholes.append((share, whole))
        late = [w for s, w in self._wholes if s >= max(share / 2, self.LEAST)]
        if share < self.LEAST or max(late) > self.APART * min(late):
            return None
        return round(whole - elapsed, 3)


def pick_tensors(name: str, what: str) -> torch.device:
    """The device of a command's tensors: "auto" is the CPU, as no such command was found to be faster on a card.

    Args:
        what: is computed with tensors, for the sentence that refuses "gpu".

    Raises:
        UsageError: the device is not available, or "gpu", which is WebGPU and has no tensors.
    """
    if name == "gpu":
        raise UsageError(f"--device gpu: {what} with tensors, which WebGPU has not; use cuda, mps or cpu")
    return pick_device("cpu" if name == "auto" else name)


def only_cpu(name: str, what: str) -> None:
    """Refuse a device where only the CPU does the work.

    Raises:
        UsageError: another device was asked for by name.
    """
    if name not in ("auto", "cpu"):
        raise UsageError(f"--device {name}: {what} by the CPU only; use --device cpu or leave the option out")


def pick_engine(name: str) -> tuple[str, str]:
    """The device that draws, and what the report calls it; "auto" is a GPU that was found right and faster, or the CPU.

    Raises:
        UsageError: the device is not available.
    """
    if name == "auto":
        from fractalkit.orbit.wgsl.trust import chosen

        name = chosen(name)
    if name == "gpu":
        from fractalkit.orbit.wgsl.device import open_gpu

        return "gpu", str(open_gpu())
    if name == "cpu":
        return "cpu", "CPU"
    import torch

    where = pick_device(name)
    return name, torch.cuda.get_device_name(where) if where.type == "cuda" else "Metal by torch"


def drew(asked: str, engine: str, why: str, note: Callable[[str], object]) -> str:
    """What drew the points of a code, for the report.

    Args:
        asked: the value of ``--device``.
        engine: of :func:`pick_engine`.
        why: why it did not draw them (:func:`fractalkit.orbit.api.why_not`), so that the CPU did; "" where it did.
        note: called with a sentence if the CPU drew what another device was asked to.
    """
    if why and asked != "auto":
        note(f"--device {asked}: the CPU drew the points; {why}")
    return "CPU" if why else engine


def on(engine: str) -> str:
    """The end of a report's line: what drew, unless it was the CPU."""
    return "" if engine == "CPU" else f" on {engine}"


class Progress:
    """A tqdm bar of shares from 0 to 1 on standard error; silent where that is not a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._began, self._left = 0.0, Remaining()

    def __call__(self, word: str, share: float) -> None:
        if self._bar is None:
            if not sys.stderr.isatty():
                return
            from tqdm import tqdm

            self._bar = tqdm(total=100, bar_format="{desc} {percentage:3.0f}% |{bar}| {elapsed}{postfix}", leave=False)
            self._began = time.monotonic()
        share = min(max(share, 0.0), 1.0)
        done = round(100 * share)
        if done < self._bar.n:
            self._bar.reset()
            self._began, self._left = time.monotonic(), Remaining()
        left = self._left.seconds(share, time.monotonic() - self._began)
        self._bar.set_description(word, refresh=False)
        self._bar.set_postfix_str("" if left is None else f"about {left:.0f} s left", refresh=False)
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

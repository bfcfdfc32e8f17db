"""The command ``fractalkit``: imports subcommands on use and reports errors as sentences and exit codes."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from fractalkit import __version__
from fractalkit.errors import FileWarning, FractalKitError, UsageError, first_line, full_disk
from fractalkit.interrupts import again, later

# each is a module of this package, with a function of the same name
COMMANDS = (
    "ifs", "sample", "evaluate", "compress", "decompress", "enlarge", "fractalize", "render", "zoom", "animate", "info",
    "train", "studio", "demo", "doctor", "completion",
)  # fmt: skip


class LazyGroup(click.Group):
    """A group that imports its commands on use and reports each error as one sentence.

    Exit codes: 0 done, 1 data or machine, 2 usage, 130 interrupted. FRACTALKIT_DEBUG=1 shows the traceback.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return getattr(importlib.import_module(f"fractalkit.cli.{cmd_name}"), cmd_name)

    def main(self, args: Any = None, prog_name: str | None = None, **extra: Any) -> Any:  # type: ignore[override]
        words = list(args) if args is not None else sys.argv[1:]
        extra["standalone_mode"] = False
        _let_threads_sleep()
        with _interrupts() as interrupted, _sentences():
            try:
                if "" in words:
                    raise UsageError("one of the words is empty; check the variable that it came from")
                # commands record the command line in their outputs
                code = super().main(args=words, prog_name=prog_name or "fractalkit", obj={"args": words}, **extra)
                sys.stdout.flush()
            except Exception as error:
                # other libraries may turn an interrupt into another exception
                _leave(click.exceptions.Abort() if interrupted() else error)
        sys.exit(code if isinstance(code, int) else 0)


def _let_threads_sleep() -> None:
    """Idle threads of OpenMP sleep: by default they spin, and take the processor from the threads that work.

    It works before the first library with OpenMP is loaded, and in the processes that are started from here.
    """
    for name, value in {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}.items():
        os.environ.setdefault(name, value)


@contextmanager
def _sentences() -> Iterator[None]:
    """Print remarks about files as sentences, without a line of the program."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **other: Any) -> None:
        if issubclass(category, FileWarning):
            click.echo(f"fractalkit: warning: {message}", err=True)
        else:
            before(message, category, *where, **other)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether Ctrl-C was pressed; interrupts lost in callbacks are sent again."""
    came = False

    def handle(number: int, frame: Any) -> None:
        nonlocal came
        if later(frame):
            return
        came = True
        raise KeyboardInterrupt

    def lost(what: Any) -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            again()  # exceptions raised in a hook are lost too
        else:
            hook(what)

    hook = sys.unraisablehook
    try:
        before = signal.signal(signal.SIGINT, handle)
    except ValueError:  # not the main thread
        yield lambda: False
        return
    sys.unraisablehook = lost
    try:
        yield lambda: came
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, before)


def _leave(error: Exception) -> NoReturn:
    if os.environ.get("FRACTALKIT_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        sys.exit(2)
    if isinstance(error, BrokenPipeError):
        # the reader of our output is gone; avoid a second error at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sentence, code = explain(error)
    click.echo(f"fractalkit: error: {sentence}", err=True)
    sys.exit(code)


def explain(error: Exception) -> tuple[str, int]:
    """One sentence for an error, and its exit code."""
    if isinstance(error, FractalKitError):
        return str(error), error.exit_code
    if isinstance(error, click.exceptions.Abort):
        return "interrupted; no incomplete files were left", 130
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "fractalkit"
        return f"{error.format_message().rstrip('.')}; see {path} --help", 2
    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "not enough memory; ask for fewer --points or a smaller --res, or leave out --even", 1
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{full_disk(error) or error.strerror or error}", 1
    return f"unexpected {type(error).__name__}: {first_line(error)} (FRACTALKIT_DEBUG=1 shows where)", 1


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True},
    epilog="Errors are one sentence and exit code 1 (data) or 2 (usage); FRACTALKIT_DEBUG=1 adds the traceback.",
)
@click.version_option(__version__, prog_name="fractalkit", message="%(prog)s %(version)s")
def main() -> None:
    """Draw fractal art, turn scans and photographs into fractals, compress and enlarge pictures.

    \b
    fractalkit ifs barnsley-fern                    draw a preset
    fractalkit ifs bunny.ply                        a fractal that approximates a scan
    fractalkit render --random 12 -o sheet.png      twelve fractal flames
    fractalkit zoom barnsley-fern -o dive.gif       a zoom film
    fractalkit fractalize photo.jpg                 a photograph made of small copies of itself
    fractalkit enlarge photo.jpg --res 4x           a photograph, four times larger
    fractalkit compress photo.png --bpp 0.5         photo.fk, half a bit per pixel
    fractalkit decompress photo.fk --res 4x         photo.fk, four times larger
    fractalkit sample --model vdvae_mnist           a digit that a network draws
    fractalkit info bunny.ifs.json                  describe a file
    fractalkit studio                               edit flames and codes in the browser
    fractalkit demo                                 try FractalKit in the browser
    """

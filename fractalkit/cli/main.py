"""The command ``fractalkit``: finds its sub-commands late and turns errors into sentences and exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from fractalkit import __version__
from fractalkit.errors import FractalKitError
from fractalkit.interrupts import again, later

COMMANDS = {
    "ifs": "fractalkit.cli.ifs:ifs",
    "sample": "fractalkit.cli.sample:sample",
    "evaluate": "fractalkit.cli.evaluate:evaluate",
    "compress": "fractalkit.cli.compress:compress",
    "decompress": "fractalkit.cli.decompress:decompress",
    "fractalize": "fractalkit.cli.fractalize:fractalize",
    "render": "fractalkit.cli.render:render",
    "zoom": "fractalkit.cli.zoom:zoom",
    "animate": "fractalkit.cli.animate:animate",
    "info": "fractalkit.cli.info:info",
    "train": "fractalkit.cli.train:train",
    "demo": "fractalkit.cli.demo:demo",
    "completion": "fractalkit.cli.completion:completion",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when asked for, and whose errors are one sentence each.

    Exit codes: 0 done, 1 data or machine, 2 usage, 130 interrupted. FRACTALKIT_DEBUG=1 shows the traceback.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        return getattr(importlib.import_module(module), name)

    def main(self, args: Any = None, prog_name: str | None = None, **extra: Any) -> Any:  # type: ignore[override]
        words = list(args) if args is not None else sys.argv[1:]
        extra["standalone_mode"] = False
        with _interrupts() as interrupted:
            try:
                # commands record in their outputs how they were called
                code = super().main(args=words, prog_name=prog_name or "fractalkit", obj={"args": words}, **extra)
                sys.stdout.flush()
            except Exception as error:
                # an interrupt in the middle of another library may come out of it as something else
                _leave(click.exceptions.Abort() if interrupted() else error)
        sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """A function that says whether a Ctrl-C came; one that is lost in a callback, where nothing can be raised, is sent
    again."""
    came = False

    def handle(number: int, frame: Any) -> None:
        nonlocal came
        if later(frame):
            return
        came = True
        raise KeyboardInterrupt

    def lost(what: Any) -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            again()  # not here: what is raised in a hook is lost as well
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
        # whoever read our output has left; keep Python from complaining once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sentence, code = explain(error)
    click.echo(f"fractalkit: error: {sentence}", err=True)
    sys.exit(code)


def explain(error: Exception) -> tuple[str, int]:
    """One sentence for an error, and the exit code that belongs to it."""
    if isinstance(error, FractalKitError):
        return str(error), error.exit_code
    if isinstance(error, click.exceptions.Abort):
        return "interrupted; nothing half-written was left behind", 130
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "fractalkit"
        return f"{error.format_message().rstrip('.')}; see {path} --help", 2
    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "not enough memory; ask for fewer --points or a smaller --res, or leave out --even", 1
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"{where}the disk is full; free some space or write elsewhere", 1
        return f"{where}{error.strerror or error}", 1
    first = (str(error).splitlines() or ["no message"])[0]
    return f"unexpected {type(error).__name__}: {first} (FRACTALKIT_DEBUG=1 shows where)", 1


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Errors are one sentence and exit code 1 (data) or 2 (usage); FRACTALKIT_DEBUG=1 adds the traceback.",
)
@click.version_option(__version__, prog_name="fractalkit", message="%(prog)s %(version)s")
def main() -> None:
    """Data as the fixed point of a contractive map.

    \b
    fractalkit ifs bunny.ply --maps 16      a cloud in, its fractal out
    fractalkit ifs barnsley-fern            a preset, drawn
    fractalkit sample --model vdvae_mnist --res 1440        a digit at any size
    fractalkit compress photo.png --bpp 0.5                 photo.fk
    fractalkit decompress photo.fk --res 4x                 and back, larger
    fractalkit fractalize photo.jpg                         a photograph made of itself
    fractalkit render --random 12 -o sheet.png              twelve flames
    fractalkit zoom barnsley-fern -o dive.gif               without an end
    fractalkit info bunny.ifs.json          what a file holds
    fractalkit demo                         to play with, in the browser
    """

"""Types of parameters, and options that several commands have."""

from __future__ import annotations

import glob
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fractalkit.errors import DataError, UsageError
from fractalkit.raster.view import Region, Size

F = TypeVar("F", bound=Callable[..., Any])


class Whole(click.IntRange):
    """A whole number in a range; N in the help."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "N"


class Real(click.FloatRange):
    """A finite number in a range; X in the help."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "X"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"{value} is not a finite number.", param, ctx)


PATH = click.Path(path_type=Path)
SEED = Whole(0, 2**63 - 3)
QUALITY = Real(0, 1e9, min_open=True)  # samples per pixel


def source_argument(name: str, **options: Any) -> Callable[[F], F]:
    """An argument that names files, or presets and models; a missing file is reported before any option is read."""

    def there(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        for word in [value] if isinstance(value, str | Path) else value or ():
            path = Path(word)
            if (path.suffix or path.name != str(word)) and not path.exists() and not glob.has_magic(str(word)):
                raise DataError(f"{path}: there is no such file; check the name")
        return value

    return click.argument(name, is_eager=True, callback=there, **options)


class SizeType(click.ParamType):
    """A size: see :mod:`fractalkit.raster.view`."""

    name = "N|WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Size:
        """Parse it."""
        return value if isinstance(value, Size) else Size.parse(str(value))


class WindowType(click.ParamType):
    """A window: see :mod:`fractalkit.raster.view`."""

    name = "x0,y0,x1,y1"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Region:
        """Parse it."""
        return value if isinstance(value, Region) else Region.parse(str(value))


def res_option(default: str, *, times: bool = False, old: bool = False) -> Callable[[F], F]:
    """The option ``--res``.

    Args:
        default: the default as shown in the help.
        times: accept multiples of the original.
        old: also accept its former name ``--size``, where one number means a square.
    """

    def square(ctx: click.Context, param: click.Parameter, value: Size | None) -> None:
        if value is not None:
            click.echo("fractalkit: note: --size is now --res, where one number is the longer side", err=True)
            ctx.meta["fractalkit.size"] = Size("both", value.width, value.height)

    def chosen(ctx: click.Context, param: click.Parameter, value: Size | None) -> Size | None:
        old = ctx.meta.get("fractalkit.size")
        if old is not None and value is not None:
            raise UsageError("--size is the old name of --res; give one of them")
        return old if value is None else value

    what = (
        "the longer side, WIDTHxHEIGHT, or a multiple of the original such as 4x"
        if times
        else "the longer side, or WIDTHxHEIGHT"
    )

    def add(command: F) -> F:
        command = click.option(
            "--res", type=SizeType(), metavar="N|WxH|Kx" if times else "N|WxH", callback=chosen,
            help=f"Size of the whole picture in pixels: {what}.  [default: {default}]",
        )(command)  # fmt: skip
        if old:
            command = click.option(
                "--size", type=SizeType(), hidden=True, expose_value=False, is_eager=True, callback=square
            )(command)
        return command

    return add


def window_option(command: F) -> F:
    """The option ``--window``."""
    return click.option(
        "--window", type=WindowType(), metavar="x0,y0,x1,y1",
        help="Only this part of the picture: in pixels of --res, or in shares such as 40%,20%,60%,40%.",
    )(command)  # fmt: skip


def detail_option(default: float | None) -> Callable[[F], F]:
    """The option ``--detail``."""
    return click.option(
        "--detail", type=Real(0, 2), default=default,
        help="Detail of an enlargement: 0 for the smoothest, 1 for the likeliest, 2 for the richest."
        + ("" if default is not None else "  [default: that of the stored map]"),
    )  # fmt: skip


def device_option(*names: str, told: str = "") -> Callable[[F], F]:
    """The option ``--device``; ``told``: its help, where it is not the usual one."""
    if not told and "gpu" in names:
        told = "Where to draw: gpu is any card, by WebGPU; auto takes one that was found right and faster."
    return click.option(
        "--device", type=click.Choice(["auto", *names]), default="auto", help=told or "Where to compute."
    )


def threads_option(command: F) -> F:
    """The option ``--threads``."""
    return click.option("--threads", type=Whole(1, 4096), help="Processor threads.")(command)


def max_pixels_option(command: F) -> F:
    """The option ``--max-pixels``."""
    return click.option(
        "--max-pixels", type=Whole(1), default=1 << 28, show_default=False, help="Refuse larger input pictures."
    )(command)


def json_option(command: F) -> F:
    """The flag ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the report.")(command)


def variations_option(command: F) -> F:
    """The option ``--variations``: files of one's own variations, read before anything else."""

    def read(ctx: click.Context, param: click.Parameter, paths: tuple[Path, ...]) -> None:
        if paths and not ctx.resilient_parsing:
            from fractalkit.maps.own_variations import load_variations

            for path in paths:
                load_variations(path)

    return click.option(
        "--variations", type=PATH, multiple=True, expose_value=False, callback=read, is_eager=True,
        help="File of your own variations of flames; may be repeated.",
    )(command)  # fmt: skip


def spread_options(what: str) -> Callable[[F], F]:
    """The options ``--jobs``, ``--cluster`` and ``--force`` of commands that write many files."""

    def add(command: F) -> F:
        for option in (
            click.option("--force", is_flag=True, help=f"Write {what} that exist already again."),
            click.option("--cluster", metavar="ADDRESS", help=f"Spread the {what} over a Dask cluster."),
            click.option("--jobs", type=Whole(1, 4096), help="Processes, of one thread each."),
        ):
            command = option(command)
        return command

    return add

"""``fractalkit studio``: an editor of flames and codes in the browser."""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
import webbrowser
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fractalkit.cli.common import answer, on, pick_engine
from fractalkit.cli.options import PATH, Whole, device_option, source_argument, variations_option
from fractalkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from fractalkit.codes.flame import Flame


@click.command(
    epilog="""\b
Examples:
  fractalkit studio                        the last work, or a choice of starting points
  fractalkit studio nebula.flame           a flame; a PNG that holds its flame will do
  fractalkit studio nautilus               a preset, or a code of the plane or of space (.ifs.json)
  fractalkit studio --new --no-open        an empty history; prints the address

Every change is written to a journal at once; if the browser or the server dies, the work is there again. Everything
runs on this machine, without a network, and the page is reachable from this machine only. Ctrl-C stops it. Requires
pip install "fractalkit[demo]"."""
)
@source_argument("file", required=False, metavar="[FILE]")
@click.option("--port", type=Whole(1, 65535), help="Port of the page.  [default: the first free one from 7960]")
@click.option("--work", type=PATH, help="Folder of the journal.  [default: ~/.local/share/fractalkit/studio]")
@click.option("--new", is_flag=True, help="Begin with an empty history; the old journal is kept beside the new one.")
@click.option("--cluster", metavar="ADDRESS", help="Offer to draw large pictures on a Dask cluster.")
@click.option("--open/--no-open", "open_", default=True, help="Open the page in the browser.")
@device_option("cpu", "gpu")
@variations_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the address.")
def studio(
    file: str | None, port: int | None, work: Path | None, new: bool, cluster: str | None, open_: bool,
    device: str, as_json: bool,
) -> None:  # fmt: skip
    """Edit flames and codes in the browser: drag their maps and see.

    FILE is a .flame, a code (.ifs.json), a PNG that holds one of these, or a preset. Without one, the last work opens.
    A browser with WebGPU draws on its own card; --device chooses what draws the server's pictures and films of flames.
    """
    for name in ("starlette", "uvicorn", "websockets"):
        if find_spec(name) is None:
            raise UsageError(f'studio: requires {name}; pip install "fractalkit[demo]"')
    from fractalkit.studio.journal import open_journal
    from fractalkit.studio.server import bound, serve
    from fractalkit.studio.studio import Studio, default_folder

    start = None if file is None else _first(file)
    where, engine = pick_engine(device)
    with ExitStack() as stack:
        journal = stack.enter_context(open_journal(work or default_folder(), new=new))
        socket = stack.enter_context(bound(port))
        made = Studio(journal, start, label=f"open {Path(file).name}" if file else "open", cluster=cluster,
                      device=where)  # fmt: skip
        stack.callback(made.close)
        token = secrets.token_urlsafe(18)
        url = f"http://127.0.0.1:{socket.getsockname()[1]}/{token}/"

        def ready() -> None:
            facts = {"url": url, "port": socket.getsockname()[1], "journal": str(journal.path), "engine": engine}
            answer(facts, as_json, f"{url}{on(engine)}   (Ctrl-C to stop)")
            made.compile_ahead()
            if open_:
                webbrowser.open(url)

        try:
            serve(made, socket, token, ready)
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
    _leave_threads()


def _leave_threads() -> None:
    """Exit at once where a picture is still being computed: compiled code that goes on while the interpreter ends would
    abort the process, and everything is on the disk.
    """
    end = time.monotonic() + 2
    for thread in threading.enumerate():
        if thread.daemon:
            thread.join(max(0.0, end - time.monotonic()))
    if any(t.daemon for t in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _first(file: str) -> Flame:
    """The first flame of a file or a preset."""
    from fractalkit.studio.codes import opened

    try:
        return opened(Path(file))[0]
    except IndexError:
        raise DataError(f"{file}: holds no flame") from None

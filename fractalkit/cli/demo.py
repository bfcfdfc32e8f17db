"""``fractalkit demo``: a page in the browser to play with."""

from __future__ import annotations

import os
import threading
import webbrowser

import click

from fractalkit.cli.common import emit
from fractalkit.errors import DataError, UsageError

FIRST_PORT, PORTS = 7860, 100


@click.command(
    epilog="""\b
Examples:
  fractalkit demo                          a free port from 7860, and the browser
  fractalkit demo --port 9000 --no-open

Tabs: sample digits and look into them, make a photograph of itself, find a cloud's fractal, compress and zoom, breed
flames. Everything happens on this machine, without a network; only this machine can reach the page. Ctrl-C ends it.
Needs Gradio: pip install "gradio>=6,<7"."""
)
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="[default: the first free one from 7860]")
@click.option("--open/--no-open", "open_", default=True, show_default=True, help="Open the page in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the address.")
def demo(port: int | None, open_: bool, as_json: bool) -> None:
    """Play with FractalKit in the browser."""
    # before Gradio is imported, which reads them once
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    port = _free_port(port)
    from fractalkit.demo.shelf import Shelf

    with Shelf() as shelf:
        os.environ["GRADIO_TEMP_DIR"] = str(shelf.root / "uploads")
        try:
            import gradio  # noqa: F401
        except ImportError:
            raise UsageError('demo: the page needs Gradio; pip install "gradio>=6,<7"') from None
        import torch

        from fractalkit.demo.page import CSS, HEAD, UPLOAD, build, theme

        torch.set_num_threads(1)  # small layers lose by being shared; what is large has threads of its own
        page = build(shelf)
        try:
            _, url, _ = page.launch(
                server_name="127.0.0.1", server_port=port, share=False, inbrowser=False, quiet=True, show_error=True,
                prevent_thread_lock=True, max_file_size=UPLOAD, ssr_mode=False, theme=theme(), css=CSS, head=HEAD,
                state_session_capacity=64, footer_links=[], enable_monitoring=False, pwa=False, mcp_server=False,
            )  # fmt: skip
        except OSError as error:
            raise DataError(f"port {port}: {error}; name another --port") from None
        url = url.rstrip("/")
        if as_json:
            emit({"url": url, "port": port})
        else:
            click.echo(f"{url}   (Ctrl-C ends it)")
        if open_:
            webbrowser.open(url)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("ended", err=True)
        finally:
            page.close(verbose=False)


def _free_port(wanted: int | None) -> int:
    """The wanted one, or the first that is free.

    Raises:
        DataError: it is taken, or all are.
    """
    import socket

    for port in [wanted] if wanted is not None else range(FIRST_PORT, FIRST_PORT + PORTS):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError as error:
                if wanted is not None:
                    reason = (error.strerror or str(error)).lower()
                    raise DataError(f"--port {port}: {reason}; name another one, or leave it out") from None
                continue
        return port
    raise DataError(f"ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are all taken; name another --port")

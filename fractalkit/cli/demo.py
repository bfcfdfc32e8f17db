"""``fractalkit demo``: an interactive demo in the browser."""

from __future__ import annotations

import os
import threading
import webbrowser

import click

from fractalkit.cli.common import answer
from fractalkit.cli.options import Whole
from fractalkit.errors import DataError, UsageError

FIRST_PORT, PORTS = 7860, 100


@click.command(
    epilog="""\b
Examples:
  fractalkit demo                          a free port from 7860; opens the browser
  fractalkit demo --port 9000 --no-open

Tabs: sample digits and zoom into them, fractalize a photograph, fit an IFS to a point cloud, compress and zoom, evolve
flames. Everything runs on this machine, without a network, and the page is reachable from this machine only. Ctrl-C
stops it. Requires Gradio: pip install "gradio>=6,<7"."""
)
@click.option("--port", type=Whole(1, 65535), help="Port of the page.  [default: the first free one from 7860]")
@click.option("--open/--no-open", "open_", default=True, help="Open the page in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the address.")
def demo(port: int | None, open_: bool, as_json: bool) -> None:
    """Open an interactive demo in the browser."""
    # read by Gradio once, on import
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    port = _free_port(port)
    from fractalkit.demo.shelf import Shelf

    with Shelf() as shelf:
        os.environ["GRADIO_TEMP_DIR"] = str(shelf.root / "uploads")
        try:
            import gradio  # noqa: F401
        except ImportError:
            raise UsageError('demo: requires Gradio; pip install "gradio>=6,<7"') from None
        import torch

        from fractalkit.demo.page import CSS, HEAD, UPLOAD, build, theme

        torch.set_num_threads(1)  # small layers are slower on several threads; large work sets its own number
        page = build(shelf)
        try:
            _, url, _ = page.launch(
                server_name="127.0.0.1", server_port=port, share=False, inbrowser=False, quiet=True, show_error=True,
                prevent_thread_lock=True, max_file_size=UPLOAD, ssr_mode=False, theme=theme(), css=CSS, head=HEAD,
                state_session_capacity=64, footer_links=[], enable_monitoring=False, pwa=False, mcp_server=False,
            )  # fmt: skip
        except OSError as error:
            raise DataError(f"port {port}: {error}; give another --port") from None
        url = url.rstrip("/")
        answer({"url": url, "port": port}, as_json, f"{url}   (Ctrl-C to stop)")
        if open_:
            webbrowser.open(url)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
        finally:
            page.close(verbose=False)


def _free_port(wanted: int | None) -> int:
    """The requested port, or the first free one.

    Raises:
        DataError: it is in use, or all are.
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
                    raise DataError(f"--port {port}: {reason}; give another port, or leave the option out") from None
                continue
        return port
    raise DataError(f"ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are all in use; give another --port")

"""The studio's web server, on 127.0.0.1 only."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fractalkit.errors import DataError
from fractalkit.studio.studio import Studio

FIRST_PORT, PORTS = 7960, 100


def bound(wanted: int | None) -> socket.socket:
    """A socket at the requested port of 127.0.0.1, or at the first free one.

    Raises:
        DataError: it is in use, or all are.
    """
    for port in [wanted] if wanted is not None else range(FIRST_PORT, FIRST_PORT + PORTS):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError as error:
            s.close()
            if wanted is not None:
                reason = (error.strerror or str(error)).lower()
                raise DataError(f"--port {port}: {reason}; give another port, or leave the option out") from None
            continue
        s.listen(128)
        return s
    raise DataError(f"ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are all in use; give another --port")


def serve(studio: Studio, at: socket.socket, token: str, ready: Callable[[], Any]) -> None:
    """Serve until Ctrl-C; ``ready`` is called once pages can be opened."""
    import uvicorn

    from fractalkit.studio.routes import MAX_MESSAGE, application

    config = uvicorn.Config(
        application(studio, token, at.getsockname()[1]), log_level="warning", access_log=False, ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE, server_header=False, date_header=False, lifespan="off", timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    # this thread hears Ctrl-C; the server's loop runs in another, where it installs no handlers of its own
    over = threading.Event()  # an interrupted Thread.join takes the thread for ended
    threading.Thread(target=_until_told, args=(server, at, over), name="server", daemon=True).start()
    try:
        ready()
        while not over.wait(0.5):
            pass
    finally:
        # requests that the end cuts short are no errors; uvicorn would print a traceback for each
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        server.should_exit = True
        over.wait(5)


def _until_told(server: Any, at: socket.socket, over: threading.Event) -> None:
    """Run the server; where the end cuts requests short, that cancels its own task too."""
    try:
        with suppress(asyncio.CancelledError):
            server.run(sockets=[at])
    finally:
        over.set()

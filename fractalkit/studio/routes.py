"""The studio over HTTP: the page and its files, a WebSocket for edits and pictures, and files in and out.

Everything lies below ``/TOKEN/``. Requests by another host name (DNS rebinding), from another page (Origin) or without
the token are refused; the page may fetch nothing from elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import struct
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from fractalkit.errors import DataError, FractalKitError, first_line
from fractalkit.studio import offers
from fractalkit.studio.drawing import Frame
from fractalkit.studio.fields import real, whole
from fractalkit.studio.plain import from_plain, palette_text, to_plain
from fractalkit.studio.studio import Studio

STATIC = Path(__file__).with_name("static")
MAX_UPLOAD = 64 << 20  # bytes
MAX_MESSAGE = 8 << 20
WAITING = 200  # messages that a page may be behind
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Guard:
    """Refuses requests that do not come from the studio's own page, and adds the headers that keep the page apart."""

    def __init__(self, app: Any, hosts: set[str], token: str) -> None:
        self.app, self.hosts, self.token = app, hosts, token

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        why = self._refused(scope, headers)
        if why and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4403, "reason": why})
            return
        if why:
            await PlainTextResponse(why, 403)(scope, receive, send)
            return
        policy = POLICY.format(host=headers["host"]).encode()

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"], (b"content-security-policy", policy), (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"), (b"cross-origin-resource-policy", b"same-origin"),
                    (b"cross-origin-opener-policy", b"same-origin"),
                ]  # fmt: skip
            await send(message)

        await self.app(scope, receive, guarded)

    def _refused(self, scope: Any, headers: dict[str, str]) -> str:
        if headers.get("host", "") not in self.hosts:
            return "this is another host's address; open the address that the studio printed"
        origin = headers.get("origin")
        outside = origin is not None and origin not in {f"http://{h}" for h in self.hosts}
        if outside or (origin is None and scope["type"] == "websocket"):
            return "the studio talks to its own page only"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return "the studio talks to its own page only"
        if not scope["path"].startswith(f"/{self.token}/"):
            return "the address lacks the studio's token; open the address that the studio printed"
        return ""


def application(studio: Studio, token: str, port: int) -> Any:
    """The ASGI application."""
    app = Starlette(
        routes=[
            Mount(
                f"/{token}",
                routes=[
                    Route("/", _index), WebSocketRoute("/live", _live), Route("/variations.json", _variations),
                    Route("/variation/{name}.png", _variation), Route("/palettes.json", _palettes),
                    Route("/starts.json", _starts), Route("/start/{name}.json", _start),
                    Route("/history/{number:int}.jpg", _history), Route("/import", _import, methods=["POST"]),
                    Route("/palette", _palette, methods=["POST"]), Route("/frame", _frame, methods=["POST"]),
                    Route("/export/{kind}", _export, methods=["POST"]),
                    Route("/subject", _subject, methods=["POST"]), Route("/photo", _photo, methods=["POST"]),
                    Route("/photo/{number:int}.jpg", _view),
                    Route("/task/{number:int}/{name}", _file), Route("/engine.js", _engine),
                    Route("/structure", _structure, methods=["POST"]),
                    Mount("/starts", StaticFiles(directory=offers.STARTS)),
                    Mount("/static", StaticFiles(directory=STATIC)),
                ],
            )
        ],
        exception_handlers={FractalKitError: _sentence},
    )  # fmt: skip
    app.state.studio = studio
    app.state.gate = asyncio.Semaphore(1)  # hundreds of small pictures must not keep edits waiting
    return Guard(app, {f"127.0.0.1:{port}", f"localhost:{port}"}, token)


async def _sentence(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _index(request: Request) -> Response:
    return FileResponse(STATIC / "index.html", headers={"cache-control": "no-store"})


def _json(make: Callable[[], Any]) -> Callable[[], Awaitable[Response]]:
    def answer() -> Response:
        try:
            return JSONResponse(make())
        except FractalKitError:
            raise
        except Exception as error:  # a file may be bad in ways that nobody thought of
            raise DataError(f"unexpected {type(error).__name__}: {first_line(error)}") from error

    return lambda: run_in_threadpool(answer)


async def _variations(request: Request) -> Response:
    return await _json(offers.variations)()


async def _palettes(request: Request) -> Response:
    return await _json(offers.palettes)()


async def _starts(request: Request) -> Response:
    return await _json(offers.starts)()


async def _start(request: Request) -> Response:
    return await _json(lambda: to_plain(offers.start(request.path_params["name"])))()


async def _frame(request: Request) -> Response:
    """The camera that frames a flame's samples."""
    data, _ = await _body(request)

    def found() -> Any:
        from fractalkit.render.flame_sheet import frame

        framed = frame(from_plain(parsed(data)))
        if framed is None:
            raise DataError("there is nothing to frame: the points run away, or gather in one place")
        plain = to_plain(framed)["settings"]
        return {"settings": {n: plain[n] for n in ("center", "scale", "zoom", "rotate", "cam_zoom")}}

    return await _json(found)()


async def _variation(request: Request) -> Response:
    async with request.app.state.gate:
        data = await run_in_threadpool(offers.variation_picture, request.path_params["name"])
    return Response(data, media_type="image/png", headers={"cache-control": "max-age=86400"})


async def _history(request: Request) -> Response:
    studio: Studio = request.app.state.studio
    async with request.app.state.gate:
        data = await run_in_threadpool(studio.thumbnail, request.path_params["number"])
    return Response(data, media_type="image/jpeg", headers={"cache-control": "max-age=86400"})


async def _body(request: Request) -> tuple[bytes, str]:
    """The bytes of an upload and its name.

    Raises:
        DataError: it is too large; the rest is not read.
    """
    given = request.query_params.get("name", "")[-200:]
    name = "".join(c for c in given if c.isprintable()) or "file"
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_UPLOAD:
            raise DataError(f"{name}: larger than {MAX_UPLOAD >> 20} MiB; open it with the command line")
        parts.append(part)
    return b"".join(parts), name


async def _import(request: Request) -> Response:
    """Flames of a dropped file or of pasted text, in their plain form; nothing is changed by it."""
    data, name = await _body(request)

    def read() -> Any:
        from fractalkit.studio.codes import read_bytes

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flames = read_bytes(data, name)[:200]
        return {"flames": [to_plain(f) for f in flames], "notes": [n for f in flames[:1] for n in f.notes()]}

    return await _json(read)()


async def _palette(request: Request) -> Response:
    """The palette of an uploaded picture."""
    data, name = await _body(request)

    def read() -> Any:
        import tempfile

        from fractalkit.render.colours_from import from_picture

        with tempfile.NamedTemporaryFile(prefix="fractalkit-studio-", suffix=Path(name).suffix[:8]) as file:
            file.write(data)
            file.flush()
            try:
                return {"palette": palette_text(from_picture(Path(file.name), max_pixels=1 << 26))}
            except DataError as error:
                raise DataError(str(error).replace(file.name, name)) from None

    return await _json(read)()


async def _subject(request: Request) -> Response:
    """Take up what is to be fitted: a cloud, a mesh, or a picture of a subject on a plain ground."""
    data, name = await _body(request)
    studio: Studio = request.app.state.studio

    def read() -> Any:
        from fractalkit.studio.fitting import read_subject

        subject = read_subject(data, name)
        return {"id": studio.drops.put_subject(subject), **subject.facts()}

    return await _json(read)()


async def _photo(request: Request) -> Response:
    """Take up a photograph for a collage, or a ``.fk`` file."""
    data, name = await _body(request)
    studio: Studio = request.app.state.studio

    def read() -> Any:
        from fractalkit.studio.collages import read_photo

        photo = read_photo(data, name)
        return {"id": studio.drops.put_photo(photo), **photo.facts()}

    return await _json(read)()


async def _view(request: Request) -> Response:
    """A part of a collage, or of a ``.fk`` file's picture, by the numbers in the query."""
    drops = request.app.state.studio.drops
    photo = drops.photo(request.path_params["number"])
    asked = {name: _number(text) for name, text in request.query_params.items()}

    def made() -> bytes:
        from fractalkit.studio.collages import MAX_SHOWN, MAX_ZOOM, CollageView, Wish, shown
        from fractalkit.studio.works import wish_of

        look = CollageView(
            (real(asked, "x", 0, 1), real(asked, "y", 0, 1)), real(asked, "zoom", 1, MAX_ZOOM),
            (whole(asked, "width", 16, 4096), whole(asked, "height", 16, 4096)),
        )  # fmt: skip
        if look.size[0] * look.size[1] > MAX_SHOWN:
            raise DataError(f"width, height: expected at most {MAX_SHOWN:,} pixels")
        detail = real(asked, "detail", -1, 2)
        return shown(photo, look, Wish() if photo.code else wish_of(asked, drops), None if detail < 0 else detail)

    data = await run_in_threadpool(made)
    return Response(data, media_type="image/jpeg", headers={"cache-control": "no-store"})


def _number(text: str) -> int | float | None:
    """A number of a query, None where the text is none."""
    try:
        value = float(text[:30])
    except ValueError:
        return None
    return int(value) if value.is_integer() and "." not in text else value


async def _export(request: Request) -> Response:
    """The text of a flame's file: ``flame`` or ``ifs.json``; the flame comes as the body."""
    data, _ = await _body(request)
    kind = request.path_params["kind"]
    if kind not in ("flame", "ifs.json"):
        raise DataError("export: expected flame or ifs.json")

    def text() -> Any:
        from fractalkit.codes.flame_xml import to_xml
        from fractalkit.studio.codes import code_of_flame

        flame = from_plain(parsed(data))
        return {"text": to_xml([flame]) if kind == "flame" else code_of_flame(flame).to_json()}

    return await _json(text)()


async def _structure(request: Request) -> Response:
    """What the page's WebGPU engine draws of a flame."""
    data, _ = await _body(request)
    asked = {n: int(v) if (v := request.query_params.get(n, "")).isdecimal() and len(v) < 6 else None
             for n in ("width", "height")}  # fmt: skip
    size = (whole(asked, "width", 1, 4096), whole(asked, "height", 1, 4096))

    def made() -> Any:
        from fractalkit.web import structure

        return structure(from_plain(parsed(data)), size=size)

    return await _json(made)()


async def _engine(request: Request) -> Response:
    from fractalkit.web import engine_path

    return FileResponse(engine_path(), media_type="text/javascript")


async def _file(request: Request) -> Response:
    studio: Studio = request.app.state.studio
    task = studio.tasks.all.get(request.path_params["number"])
    name = request.path_params["name"]
    if task is None or name not in task.files:
        raise DataError("this file is gone; make it again")
    # a page among the files must not run as part of the studio's
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
    return FileResponse(task.folder / name, headers=headers)


def parsed(data: str | bytes) -> Any:
    """JSON of a page.

    Raises:
        DataError: it is none.
    """

    def refuse(text: str) -> float:
        raise ValueError(text)

    try:
        return json.loads(data, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise DataError("the page sent something that is not JSON; load it again") from None


async def _live(socket: WebSocket) -> None:
    """Edits and wishes in, states and pictures out: a picture is a length, a JSON header, and a JPEG."""
    studio: Studio = socket.app.state.studio
    await socket.accept()
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[dict[str, Any] | Frame] = asyncio.Queue()

    def send(message: dict[str, Any] | Frame) -> None:
        try:
            loop.call_soon_threadsafe(put, message)
        except RuntimeError:
            return  # the loop has ended

    def put(message: dict[str, Any] | Frame) -> None:
        if not (isinstance(message, Frame) and queue.qsize() > WAITING):
            queue.put_nowait(message)

    async def out() -> None:
        while True:
            message = await queue.get()
            if isinstance(message, Frame):
                await socket.send_bytes(packed(message))
            else:
                await socket.send_text(json.dumps(message))

    page = studio.join(send)
    sender = asyncio.create_task(out())
    try:
        while True:
            text = await socket.receive_text()
            await _handled(studio, page, text, put)
    except (WebSocketDisconnect, KeyError):  # KeyError: bytes where text is expected
        pass
    finally:
        sender.cancel()
        studio.leave(page)


async def _handled(studio: Studio, page: int, text: str, put: Callable[[dict[str, Any]], None]) -> None:
    """Do what a message asks for; what is wrong with it is one sentence."""
    try:
        message = parsed(text)
        if not isinstance(message, dict):
            raise DataError("the page sent something that is not an object; load it again")
        if message.get("type") == "draw":
            studio.handle(page, message)
        else:
            await run_in_threadpool(studio.handle, page, message)
    except FractalKitError as error:
        put({"type": "error", "message": str(error)})
    except Exception as error:  # a page must not end the others' studio
        put({"type": "error", "message": f"unexpected {type(error).__name__}: {first_line(error)}"})


def packed(frame: Frame) -> bytes:
    """A picture as one binary message."""
    head = json.dumps({
        "serial": frame.serial, "quality": frame.quality, "done": frame.done, "live": frame.live,
        "width": frame.size[0], "height": frame.size[1],
    }).encode()  # fmt: skip
    return struct.pack("<I", len(head)) + head + frame.data

"""The studio in a headless Chromium: from the command to the first picture, and from a drag to its picture.

    python -m recipes.benchmarks.studio

Needs Chromium and the extra ``test``. The server's CPU draws at 640 x 480 pixels; Chromium, which has no card here,
shows the page by its own program beside it. Wall times count all that runs on the machine, so its load is saved beside
them; CPU seconds are those of the server, for the first picture without a browser, with its loops on the disk ("first
cpu s") and, for one flame, with nothing compiled yet ("cold cpu s"). A drag's time is from the edit to the shown
picture of it, as the page measures it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import click
import numpy as np

from recipes.benchmarks.report import save

STARTS = Path(__file__).resolve().parents[2] / "fractalkit" / "studio" / "starts"
NAMES = ("sierpinski", "lace", "nebula", "medusa")
WAIT = 300.0  # seconds
MOVES = 30
FIRST = "() => Boolean(window.studio) && studio.last.pictures > 0"
SIZE = """() => { const s = document.querySelector('#stage'), p = document.querySelector('#picture');
    return [p.getBoundingClientRect().width, p.getBoundingClientRect().height, s.clientWidth, s.clientHeight]; }"""


class Server:
    """A studio's process and its address."""

    def __init__(self, folder: str, file: Path, cache: str | None = None) -> None:
        command = [sys.executable, "-m", "fractalkit", "studio", str(file), "--no-open", "--json", "--work", folder]
        self.begun = time.time()
        environment = os.environ | ({} if cache is None else {"NUMBA_CACHE_DIR": cache})
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        answer = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            answer += line
            if line == "}\n":
                break
        self.url = str(json.loads(answer)["url"])

    def cpu(self) -> float:
        """CPU seconds so far, of all threads."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(file: Path, cache: str | None = None) -> Iterator[Server]:
    """A studio on a flame, with an empty history."""
    with tempfile.TemporaryDirectory() as folder:
        made = Server(folder, file, cache)
        try:
            yield made
        finally:
            made.process.kill()
            made.process.wait()


def first_cpu(name: str, cache: str | None = None) -> float:
    """CPU seconds of the server until its first picture is there, asked for without a browser.

    Args:
        cache: folder of compiled loops; None for the usual one.
    """
    from websockets.sync.client import connect

    with server(STARTS / f"{name}.flame", cache) as studio:
        host, live = studio.url.rsplit("/", 2)[0], studio.url.replace("http", "ws", 1) + "live"
        with connect(live, origin=cast(Any, host), max_size=None) as socket:
            flame = json.loads(socket.recv())["flame"]
            wish = {"type": "draw", "flame": flame, "width": 640, "height": 480, "live": False, "serial": 1}
            socket.send(json.dumps(wish))
            while not isinstance(socket.recv(), bytes):
                pass
            return studio.cpu()


def compile_first() -> None:
    """Have the loops of pictures on the disk, as every studio but the first has them."""
    code = "from fractalkit.studio.loops import _load; _load()"
    subprocess.run([sys.executable, "-c", code], check=True)


def until(page: Any, what: str) -> None:
    """Wait until something is true."""
    end = time.monotonic() + WAIT
    while not page.evaluate(what):
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.01)


def one(chromium: Any, name: str) -> dict[str, Any]:
    """Open a flame and drag a corner of its first map."""
    with server(STARTS / f"{name}.flame") as studio:
        page = chromium.new_page(viewport={"width": 348 + 680, "height": 48 + 520})
        page.set_default_timeout(1000 * WAIT)
        page.goto(studio.url)
        until(page, FIRST)
        first = page.evaluate("() => studio.last.first") / 1000 - studio.begun
        until(page, "() => studio.last.done")
        box = page.locator("#triangles .active circle.corner[data-part=x]").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.evaluate("() => { studio.times.length = 0; }")
        before = studio.cpu()
        for k in range(MOVES):  # each once the picture of the one before is there
            page.mouse.move(x - 2 * k - 2, y + k + 1)
            until(page, f"() => studio.times.length > {k}")
        spent = studio.cpu() - before
        times = page.evaluate("() => studio.times")[:MOVES]
        page.mouse.up()
        width, height = page.evaluate(SIZE)[:2]
        page.close()
    low, high = np.percentile(times, (50, 90))
    return {
        "flame": name, "size": f"{width:.0f} x {height:.0f}", "first s": round(first, 2),
        "first cpu s": round(first_cpu(name), 2),
        "drag ms": round(float(low)), "drag ms, 90 %": round(float(high)), "drag cpu ms": round(1000 * spent / MOVES),
    }  # fmt: skip


@click.command()
@click.option("--name", "names", multiple=True, default=NAMES, show_default=True, help="Starting points.")
def main(names: tuple[str, ...]) -> None:
    """From the command to the first picture, and from a drag to its picture."""
    from playwright.sync_api import sync_playwright

    program = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
    with (
        sync_playwright() as play,
        play.chromium.launch(executable_path=program, args=["--no-sandbox"]) as chromium,
    ):
        compile_first()
        rows = [one(chromium, name) for name in names]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        rows[0]["cold cpu s"] = round(first_cpu(names[0], cache), 2)
    save("studio", rows, load=round(os.getloadavg()[0], 1))


if __name__ == "__main__":
    main()

"""A film of a session in ``fractalkit studio``, driven in a headless Chromium (needs the extra ``test``).

From two bare maps to a picture: corners are dragged, variations are added, a relative is chosen, and it is rendered.
"""

from __future__ import annotations

import io
import json
import math
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE, SHOWN = (1120, 700), (640, 400)
FPS = 8
WAIT = 600.0  # seconds
RELATIVE = 5  # of the nine, the one that is chosen
POINTER = """() => {
  const dot = document.createElement("div");
  dot.id = "pointer";
  dot.setAttribute("aria-hidden", "true");
  Object.assign(dot.style, { position: "fixed", zIndex: 99, width: "22px", height: "22px", margin: "-11px 0 0 -11px",
    borderRadius: "50%", border: "2px solid #fff", background: "rgb(255 255 255 / .25)", pointerEvents: "none",
    left: "560px", top: "350px", boxShadow: "0 1px 6px #000" });
  document.body.append(dot);
  addEventListener("mousemove", (e) => {
    (document.querySelector("dialog[open]") ?? document.body).append(dot);
    Object.assign(dot.style, { left: `${e.clientX}px`, top: `${e.clientY}px` });
  }, true);
  addEventListener("mousedown", () => { dot.style.background = "#e9a655"; }, true);
  addEventListener("mouseup", () => { dot.style.background = "rgb(255 255 255 / .25)"; }, true);
  Math.random = () => 0.4; // relatives by a seed
}"""


@contextmanager
def studio() -> Iterator[str]:
    """The address of a studio with an empty history."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "fractalkit", "studio", "--no-open", "--json", "--work", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            answer = ""
            for line in server.stdout:
                answer += line
                if line == "}\n":
                    break
            try:
                yield json.loads(answer)["url"]
            finally:
                server.send_signal(signal.SIGINT)


class Session:
    """A page, its pointer, and the frames that were taken of it."""

    def __init__(self, page: Any) -> None:
        self.page, self.at = page, (SIZE[0] / 2, SIZE[1] / 2)
        self.frames: list[tuple[Image.Image, int]] = []

    def shoot(self, frames: float = 1) -> None:
        """Take a frame that is shown for so many frames' time."""
        shot = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        self.frames.append((shot.resize(SHOWN, Image.Resampling.LANCZOS), round(1000 * frames / FPS)))

    def until(self, what: str) -> None:
        """Wait until something is true on the page."""
        end = time.monotonic() + WAIT
        while not self.page.evaluate(what):
            if time.monotonic() > end:
                raise TimeoutError(what)
            self.page.wait_for_timeout(50)

    def drawn(self, quality: float = 12) -> None:
        """Wait for a picture of the present flame."""
        self.page.wait_for_timeout(150)
        self.until(f"() => !studio.last.live && (studio.last.quality > {quality} || studio.last.done)")
        self.page.wait_for_timeout(80)

    def glide(self, x: float, y: float, steps: int = 3, act: Callable[[], None] | None = None) -> None:
        """Move the pointer, a frame a step."""
        x0, y0 = self.at
        for k in range(1, steps + 1):
            s = k / steps
            s = s * s * (3 - 2 * s)
            self.page.mouse.move(x0 + (x - x0) * s, y0 + (y - y0) * s)
            if act:
                act()
            self.shoot()
        self.at = (x, y)

    def middle(self, selector: str) -> tuple[float, float]:
        """Where an element is."""
        target = self.page.locator(selector).first
        target.scroll_into_view_if_needed()
        box = target.bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def press(self, selector: str, steps: int = 3) -> None:
        """Glide to an element and click it."""
        self.glide(*self.middle(selector), steps)
        self.page.mouse.down()
        self.page.mouse.up()

    def drag(self, selector: str, dx: float, dy: float, steps: int = 7) -> None:
        """Drag an element; the picture follows."""
        x, y = self.middle(selector)
        self.glide(x, y, 2)
        self.page.mouse.down()

        def followed() -> None:
            before = self.page.evaluate("() => studio.last.pictures")
            self.page.wait_for_timeout(60)
            self.until(f"() => studio.last.pictures > {before} || studio.last.done")

        self.glide(x + dx, y + dy, steps, followed)
        self.page.mouse.up()
        self.drawn()
        self.shoot(4)


def corner(part: str) -> str:
    """A corner or handle of the selected map."""
    return f"#triangles .active [tabindex][data-part={part}]"


def play(s: Session) -> Image.Image:
    """The session; returns the rendered picture."""
    page = s.page
    s.until("() => document.querySelectorAll('.start img').length > 5")
    page.wait_for_timeout(700)
    s.shoot(8)
    s.press(".start:has-text('From scratch')", 4)
    s.until("() => studio.work.flame.xforms.length == 2 && !document.querySelector('dialog')")
    s.drawn()
    s.shoot(5)
    s.drag(corner("x"), 60, -70)
    variation(s, "horseshoe")
    s.press(".chip >> nth=1", 2)
    variation(s, "spherical")
    s.press("#fit", 2)
    s.until("() => studio.work.states.at(-1).label == 'frame the picture'")
    s.drawn()
    s.shoot(4)
    s.drag(corner("turn"), 50, 70)
    s.press("#tab-Breed")
    s.until("() => document.querySelectorAll('.relative').length == 9")
    page.wait_for_timeout(400)
    s.shoot(8)
    s.press(f".relative .go >> nth={RELATIVE}", 3)
    s.drawn(20)
    s.shoot(7)
    s.press("#tab-Out", 3)
    page.get_by_label("Quality").first.select_option("100")
    s.shoot(3)
    s.press("#render", 3)
    s.until("() => document.querySelector('.task') !== null")
    for _ in range(4):
        page.wait_for_timeout(700)
        s.shoot(1)
    s.until("() => document.querySelector('.task a') !== null")
    page.evaluate("() => document.querySelector('.task').scrollIntoView()")
    s.shoot(6)
    with page.expect_download() as saving:
        page.click(".task a")
    return Image.open(saving.value.path()).convert("RGB")


def variation(s: Session, name: str) -> None:
    """Add a variation to the selected map."""
    page = s.page
    s.press("text=Add a variation", 3)
    page.locator("input[type=search]").wait_for()
    page.keyboard.type(name)
    page.wait_for_timeout(900)
    s.shoot(5)
    s.press(".variations button >> nth=0", 2)
    s.drawn()
    s.shoot(5)


def film() -> list[tuple[Image.Image, int]]:
    """Record the session; frames with their times in milliseconds."""
    from playwright.sync_api import sync_playwright

    browser = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
    with (
        studio() as url,
        sync_playwright() as play_,
        play_.chromium.launch(executable_path=browser, args=["--no-sandbox"]) as chromium,
    ):
        page = chromium.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, accept_downloads=True)
        page.set_default_timeout(1000 * WAIT)
        page.goto(url)
        page.evaluate(POINTER)
        session = Session(page)
        session.frames.append((smaller(play(session)), 3000))
        return session.frames


def smaller(picture: Image.Image) -> Image.Image:
    """The whole picture on a frame, averaged in linear light so that thin lines keep their brightness."""
    k = max(1, -(-picture.height // SHOWN[1]))
    w, h = picture.width // k, picture.height // k
    x = (np.asarray(picture, np.float32)[: h * k, : w * k] / 255) ** 2.2
    small = x.reshape(h, k, w, k, 3).mean((1, 3)) ** (1 / 2.2)
    frame = Image.new("RGB", SHOWN)
    frame.paste(Image.fromarray((255 * small).astype(np.uint8)), ((SHOWN[0] - w) // 2, (SHOWN[1] - h) // 2))
    return frame


def palette_of(pictures: list[Image.Image], colours: int) -> Image.Image:
    """One palette for all frames; a colour counts by the root of its number, as most of the page is dark."""
    pixels = np.concatenate([np.asarray(p)[::2, ::2].reshape(-1, 3) for p in pictures[::2]])
    bins = (pixels >> 3).astype(np.int64) @ [1024, 32, 1]
    _, first, counts = np.unique(bins, return_index=True, return_counts=True)
    sample = np.repeat(pixels[first], np.sqrt(counts).astype(int), axis=0)
    side = math.ceil(math.sqrt(len(sample)))
    return Image.fromarray(np.resize(sample, (side, side, 3))).quantize(colours, Image.Quantize.MEDIANCUT)


def save(frames: list[tuple[Image.Image, int]], path: Path, *, colours: int = 224) -> None:
    """Write the frames as a GIF with one palette and without dithering, so that what rests takes no bytes."""
    pictures, times = [f for f, _ in frames], [t for _, t in frames]
    palette = palette_of(pictures, colours)
    small = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    small[0].save(path, save_all=True, append_images=small[1:], duration=times, loop=0, optimize=True)


def record(path: Path) -> None:
    """Record the session and write it as a GIF."""
    save(film(), path)

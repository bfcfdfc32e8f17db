"""A film of a session in ``fractalkit studio``, driven in a headless Chromium (needs the extra ``test``).

    python gallery/session.py gallery/session.gif

From two bare maps to a picture: corners are dragged, variations are added, a relative is chosen, and it is rendered.
"""

from __future__ import annotations

import io
import json
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

from PIL import Image

SIZE, SHOWN = (1120, 700), (640, 400)
FPS = 8
WAIT = 240.0  # seconds
RELATIVE = 4  # of the nine, the one that is chosen
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
        made = play(session)
        last = Image.new("RGB", SHOWN)
        made.thumbnail(SHOWN, Image.Resampling.LANCZOS)
        last.paste(made, ((SHOWN[0] - made.width) // 2, (SHOWN[1] - made.height) // 2))
        session.frames.append((last, 3000))
        return session.frames


def save(frames: list[tuple[Image.Image, int]], path: Path, *, colours: int = 96) -> None:
    """Write the frames as a GIF with one palette without dithering, or as WebP."""
    pictures, times = [f for f, _ in frames], [t for _, t in frames]
    if path.suffix == ".webp":
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=times, loop=0, quality=55, method=6)
        return
    sheet = Image.new("RGB", (SHOWN[0], SHOWN[1] * 6))
    for k in range(6):
        sheet.paste(pictures[(k + 1) * len(pictures) // 6 - 1], (0, k * SHOWN[1]))
    palette = sheet.quantize(colours, Image.Quantize.MEDIANCUT)
    small = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    small[0].save(path, save_all=True, append_images=small[1:], duration=times, loop=0, optimize=True)


if __name__ == "__main__":
    save(film(), Path(sys.argv[1]))

"""Screenshots of ``fractalkit studio`` and ``demo``, taken with a headless Chromium (needs the extra ``test``)."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from session import Session, corner
from session import studio as served

Image = npt.NDArray[np.uint8]
WAIT = 300_000  # ms


def demo() -> Image:
    """Two tabs side by side: a 3D fractal fitted to a cloud, and flames to breed."""
    from playwright.sync_api import sync_playwright

    browser = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
    command = [sys.executable, "-m", "fractalkit", "demo", "--no-open", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as play:
        assert server.stdout is not None
        answer = ""
        for line in server.stdout:
            answer += line
            if line == "}\n":
                break
        arguments = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        chromium = play.chromium.launch(executable_path=browser, args=arguments)
        try:
            page = chromium.new_page(viewport={"width": 1280, "height": 1100}, color_scheme="dark")
            page.set_default_timeout(WAIT)
            page.goto(json.loads(answer)["url"])
            page.get_by_role("tab", name="Cloud").click()
            page.locator("#cloud-example input").click()
            page.get_by_role("option", name="nautilus").click()
            page.locator("#cloud-maps input[type=number]").fill("15")
            page.locator("#cloud-maps input[type=number]").blur()
            page.click("#cloud-go")
            page.wait_for_selector("#cloud-picture img")
            page.wait_for_timeout(20_000)  # the 3D view loads later
            shots = [page.screenshot()]
            page.get_by_role("tab", name="Flames").click()
            page.locator("#flames-seed input").fill("9")
            page.click("#flames-go")
            page.wait_for_selector("#flames-picture img")
            page.locator("#flames-sheet img").nth(3).click()
            page.wait_for_timeout(4_000)
            shots.append(page.screenshot())
        finally:
            chromium.close()
            server.send_signal(signal.SIGINT)
    pictures = [Pillow.open(io.BytesIO(s)).convert("RGB").crop((10, 20, 1270, 1090)) for s in shots]
    small = [
        np.asarray(p.resize((p.width * 55 // 100, p.height * 55 // 100), Pillow.Resampling.LANCZOS)) for p in pictures
    ]
    return np.concatenate(small, axis=1)


def studio() -> Image:
    """A flame with the triangles of its maps, whose history has some others."""
    from playwright.sync_api import sync_playwright

    browser = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
    with (
        served() as url,
        sync_playwright() as play,
        play.chromium.launch(executable_path=browser, args=["--no-sandbox"]) as chromium,
    ):
        page = chromium.new_page(viewport={"width": 1200, "height": 760})
        page.set_default_timeout(WAIT)
        page.goto(url)
        session = Session(page)
        for k, title in enumerate(HISTORY):
            if k:
                page.click("#new")
            page.click(f".start:has-text('{title}')")
            session.until(f"() => studio.work.states.length == {k + 2}")
            session.drawn()
        page.click(".chip >> nth=1")
        session.drag(corner("x"), 14, 10, 2)
        page.keyboard.press("h")
        session.until("() => [...document.querySelectorAll('#strip img')].filter(i => i.naturalWidth > 0).length > 4")
        session.drawn(60)
        page.mouse.move(1000, 720)
        page.evaluate("() => document.activeElement.blur()")
        page.wait_for_timeout(1000)
        return np.asarray(Pillow.open(io.BytesIO(page.screenshot())).convert("RGB"))


HISTORY = ("Lace", "Reef", "Medusa", "Nebula")  # starting points; the last one is shown
PAGE = {
    "studio": (studio, "The studio", "A flame with the triangles of its maps; below, where one has been."),
    "demo": (demo, "The browser demo", "Two of the five tabs: a fractal fitted to a cloud, and flames to breed."),
}

"""A screenshot of ``fractalkit demo``, taken with a headless Chromium (needs the extra ``test``)."""

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


PAGE = {"demo": (demo, "The browser demo", "Two of the five tabs: a fractal fitted to a cloud, and flames to breed.")}

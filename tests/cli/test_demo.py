"""The demo in a headless browser: use every tab and check the pictures."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")

from click.testing import CliRunner  # noqa: E402

from fractalkit.cli.main import main  # noqa: E402

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
SLOW = 100_000  # ms, for a machine that compiles the kernels meanwhile
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    log = tmp_path_factory.mktemp("demo") / "stderr.txt"
    command = [sys.executable, "-m", "fractalkit", "demo", "--no-open", "--json"]
    with (
        log.open("w") as err,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True) as process,
    ):
        try:
            answer = ""
            for line in process.stdout:  # until the object is whole, or the command has ended
                answer += line
                if line == "}\n":
                    break
            assert answer, log.read_text()
            yield json.loads(answer)["url"], process
        finally:
            process.send_signal(signal.SIGINT)
            process.stdout.close()
        assert process.wait(60) == 0, log.read_text()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as p:
        arguments = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        with p.chromium.launch(executable_path=CHROMIUM, args=arguments) as b:
            yield b


@pytest.fixture
def page(server, browser):
    """A browser session that must not send requests to other machines."""
    context = browser.new_context(viewport={"width": 1360, "height": 1000})
    new = context.new_page()
    new.set_default_timeout(SLOW)
    asked = []
    new.on("request", lambda r: asked.append(r.url))
    new.goto(server[0])
    new.wait_for_selector("#sample-go")
    yield new
    context.close()
    assert asked
    assert [url for url in asked if not url.startswith((server[0], "data:", "blob:"))] == []


def picture(page, where):
    """Fetch the picture of an element from the server."""
    image = page.locator(f"{where} img").first
    image.wait_for()
    source = image.get_attribute("src")
    with urllib.request.urlopen(source, timeout=60) as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB")).astype(float)


def tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()


def says(page, name):
    return page.inner_text(f"#{name}-where p").strip()


def act(page, name, click):
    """Perform an action, wait for a new picture, and return the magnification that the page displays."""
    old, said = page.locator(f"#{name}-0 img").get_attribute("src"), says(page, name)
    click()
    page.wait_for_function(
        "([where, old]) => { const i = document.querySelector(where); return i && i.src != old; }",
        arg=[f"#{name}-0 img", old],
    )
    with contextlib.suppress(playwright.TimeoutError):  # the text may come after the picture, or stay as it is
        other = "([where, old]) => document.querySelector(where).innerText.trim() != old"
        page.wait_for_function(other, arg=[f"#{name}-where p", said], timeout=5_000)
    return says(page, name)


def near(page, name):
    """Click on the centre of a picture."""
    return act(page, name, page.locator(f"#{name}-0 img").click)


def give(page, where, path, taken):
    """Upload a file until ``taken`` is true; a tab that has just been opened may miss the first upload."""
    for _ in range(12):
        page.set_input_files(f"{where} input[type=file]", path)
        try:
            taken(5_000)
        except playwright.TimeoutError:
            continue
        return
    raise AssertionError(f"{path.name} was not taken")


def upload(page, where, path):
    """Replace a picture by another."""
    page.locator(f"{where} img").wait_for()  # the one that was there before
    there = "([where, name]) => (document.querySelector(where)?.src ?? '').includes(name)"
    arguments = [f"{where} img", path.stem]
    give(page, where, path, lambda wait: page.wait_for_function(there, arg=arguments, timeout=wait))


def press(page, button, where):
    """Wait until a tab shows its first example, press a button, and wait for another picture."""
    picture(page, where)
    old = page.locator(f"{where} img").first.get_attribute("src")
    page.click(button)
    page.wait_for_function(
        "([where, old]) => { const i = document.querySelector(where); return i && i.src != old; }",
        arg=[f"{where} img", old],
    )


def type_into(page, where, value):
    box = page.locator(f"{where} input[type=number]").first
    box.fill(str(value))
    box.blur()


@needs_browser
def test_a_digit_is_drawn_and_looked_into(page):
    whole = picture(page, "#sample-0")  # without a click
    assert whole.shape == (720, 720, 3)
    assert 0.02 < (whole > 128).mean() < 0.5  # a light stroke on dark
    assert page.locator("#sample-sheet img").count() == 16
    assert near(page, "sample").startswith("Magnified 3 times")
    assert near(page, "sample").startswith("Magnified 9 times: the whole picture would be 6,480 pixels wide")
    assert act(page, "sample", lambda: page.click("#sample-out")).startswith("Magnified 3 times")
    assert act(page, "sample", lambda: page.click("#sample-whole")).startswith("Click into the picture")
    assert np.abs(picture(page, "#sample-0") - whole).max() == 0


@needs_browser
def test_a_photograph_is_made_of_itself_and_saved(page, tmp_path):
    original = np.zeros((96, 128, 3), np.uint8)
    original[:, 64:] = (230, 120, 40)
    Image.fromarray(original).save(tmp_path / "halves.png")
    tab(page, "Fractalize")
    upload(page, "#fractalize-in", tmp_path / "halves.png")
    type_into(page, "#fractalize-tiles", 16)
    press(page, "#fractalize-go", "#fractalize-0")
    made = picture(page, "#fractalize-0")
    assert made.shape == (540, 720, 3)
    assert made[:, :360].mean() < 60 < made[:, 360:, 0].mean()  # from afar it is what it was
    assert near(page, "fractalize").startswith("Magnified 3 times")
    page.click("#fractalize-save")
    link = page.locator("#fractalize-file a[href]").first
    link.wait_for()
    with urllib.request.urlopen(link.get_attribute("href"), timeout=60) as answer:
        assert Image.open(io.BytesIO(answer.read())).size == (2048, 1536)


@needs_browser
def test_a_cloud_is_fitted_and_shown_in_space(page):
    tab(page, "Cloud")
    shown = picture(page, "#cloud-picture")
    assert shown.std() > 10
    rows = page.inner_text("#cloud-table")
    assert "similarity dimension" in rows and "Chamfer" in rows
    assert page.locator("#cloud-files a[href]").count() == 2
    canvas = page.locator("#cloud-space canvas")
    canvas.wait_for()
    for _ in range(60):  # the view comes when the browser has loaded it
        page.wait_for_timeout(1000)
        seen = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")).astype(float)
        coloured = seen.max(2) - seen.min(2) > 40
        if coloured.mean() > 0.01:
            break
    assert 0.01 < coloured.mean() < 0.9  # points of several colours before the ground


@needs_browser
def test_a_photograph_is_compressed_and_looked_into(page):
    tab(page, "Compress")
    packed, original = picture(page, "#compress-0"), picture(page, "#compress-1")
    assert packed.shape == original.shape
    assert 10 * np.log10(255**2 / np.mean((packed - original) ** 2)) > 28
    report = page.inner_text("#compress-report")
    assert "0.5" in report and "the best JPEG of that size" in report
    assert near(page, "compress").startswith("Magnified 3 times")
    assert page.locator("#compress-file a[href]").count() == 1


@needs_browser
def test_flames_are_made_bred_and_rendered(page):
    tab(page, "Flames")
    picture(page, "#flames-picture")
    press(page, "#flames-go", "#flames-picture")
    first = picture(page, "#flames-picture")
    assert first.mean() > 1
    sheet = page.locator("#flames-sheet img")
    assert sheet.count() == 9
    old = page.locator("#flames-picture img").get_attribute("src")
    sheet.nth(4).click()
    page.wait_for_function("old => document.querySelector('#flames-picture img').src != old", arg=old)
    assert np.abs(picture(page, "#flames-picture") - first).mean() > 1
    for label, value in (("Width", 320), ("Height", 200)):
        page.get_by_label(label, exact=True).fill(str(value))
    page.click("#flames-render")
    page.wait_for_selector("#flames-files a[href]")
    assert page.locator("#flames-files a[href]").count() == 2
    assert picture(page, "#flames-picture").shape == (200, 320, 3)
    before = sheet.nth(3).get_attribute("src")
    page.click("#flames-breed")
    page.wait_for_function("old => document.querySelectorAll('#flames-sheet img')[3].src != old", arg=before)
    marked = page.locator("#flames-sheet .selected")
    assert marked.count() == 1 and "1" in marked.inner_text()  # the parent
    mutants = [sheet.nth(k).get_attribute("src") for k in range(9)]
    page.click("#flames-breed")  # new ones are new
    page.wait_for_function("old => document.querySelectorAll('#flames-sheet img')[3].src != old", arg=mutants[3])
    assert {sheet.nth(k).get_attribute("src") for k in range(9)} & set(mutants) <= {mutants[0]}
    kept = [sheet.nth(k).get_attribute("src") for k in range(9)]
    page.reload()
    page.wait_for_selector("#sample-go")
    tab(page, "Flames")
    picture(page, "#flames-picture")
    assert [sheet.nth(k).get_attribute("src") for k in range(9)] == kept


@needs_browser
def test_it_fits_a_phone(server, browser):
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.set_default_timeout(SLOW)
    page.goto(server[0])
    for name, shown in {
        "Sample": "#sample-0", "Fractalize": "#fractalize-0", "Compress": "#compress-0",
        "Flames": "#flames-picture",
    }.items():  # fmt: skip
        page.get_by_role("tab", name=name, exact=True).tap()
        assert picture(page, shown).std() > 3
        assert page.evaluate("document.documentElement.scrollWidth") <= 362
        box = page.locator(f"{shown} img").first.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 362
    context.close()


@needs_browser
def test_two_users_at_once(server, browser):
    contexts = [browser.new_context(viewport={"width": 1360, "height": 1000}) for _ in range(2)]
    pages = [c.new_page() for c in contexts]
    for seed, page in zip((2, 7), pages, strict=True):
        page.set_default_timeout(SLOW)
        page.goto(server[0])
        picture(page, "#sample-0")  # what is typed before the page is whole is lost
        type_into(page, "#sample-seed", seed)
    for page in pages:
        press(page, "#sample-go", "#sample-0")
    shown = [picture(page, "#sample-0") for page in pages]
    assert np.abs(shown[0] - shown[1]).mean() > 1  # each has their own
    contexts[1].close()  # one leaves, the other goes on
    assert near(pages[0], "sample").startswith("Magnified 3 times")
    contexts[0].close()


@needs_browser
def test_what_cannot_be_used_is_told_by_the_name_that_it_has(page, tmp_path):
    (tmp_path / "broken.ply").write_bytes(
        b"ply\nformat binary_little_endian 1.0\nelement vertex 1000000000\nend_header\n"
    )
    tab(page, "Cloud")
    cloud = tmp_path / "broken.ply"
    give(page, "#cloud-in", cloud, lambda wait: page.wait_for_selector("#cloud-in a", timeout=wait))
    picture(page, "#cloud-picture")
    page.click("#cloud-go")
    toast = page.get_by_test_id("toast-text").first
    toast.wait_for()
    assert toast.inner_text().startswith("broken.ply: ")
    # a name that says one thing and bytes that say another
    (tmp_path / "photo.png").write_bytes(os.urandom(3000))
    tab(page, "Compress")
    upload(page, "#compress-in", tmp_path / "photo.png")
    picture(page, "#compress-0")
    page.click("#compress-go")
    page.get_by_test_id("toast-text").filter(has_text="photo.png: ").first.wait_for()


@needs_browser
def test_nobody_else_gets_in(server):
    port = server[0].rsplit(":", 1)[1]
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    addresses = [f[1] for f in listening if f[3] == "0A" and int(f[1].split(":")[1], 16) == int(port)]
    assert addresses == [f"0100007F:{int(port):04X}"]  # 127.0.0.1 alone


def test_a_port_that_is_taken(server):
    port = server[0].rsplit(":", 1)[1]
    answer = CliRunner().invoke(main, ["demo", "--port", port, "--no-open"])
    assert answer.exit_code == 1
    assert f"--port {port}" in answer.output and "give another port" in answer.output


def test_without_gradio(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    answer = CliRunner().invoke(main, ["demo", "--no-open"])
    assert answer.exit_code == 2
    assert 'pip install "gradio>=6,<7"' in answer.output

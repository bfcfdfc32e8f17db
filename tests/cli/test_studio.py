"""The studio in a headless browser: drag, undo, save, kill the server, come back, render; two tabs; a phone."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("websockets")

from click.testing import CliRunner

from fractalkit.cli.main import main
from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.flame import read_flames
from fractalkit.codes.presets import preset
from fractalkit.orbit import sample
from fractalkit.raster.png import save_png
from fractalkit.studio.offers import STARTS

try:
    from playwright import sync_api as playwright
except ImportError:
    playwright = None

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
in_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or playwright is None, reason="no Chromium, or no Playwright, on this machine"),
]
PLAYED = [  # a card played by a program; a canvas of WebGPU is shown only where the browser itself draws by it
    "--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--use-gl=angle",
    "--use-angle=swiftshader", "--use-vulkan=swiftshader", "--enable-features=Vulkan", "--disable-vulkan-surface",
]  # fmt: skip
WAIT = 100.0  # seconds, for a machine that compiles the kernels meanwhile


@contextmanager
def running(work, *arguments):
    """A studio's process and its address."""
    command = [sys.executable, "-m", "fractalkit", "studio", "--no-open", "--json", "--work", str(work), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        answer = ""
        for line in process.stdout:
            answer += line
            if line == "}\n":
                break
        try:
            yield process, json.loads(answer)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.stdout.close()


@pytest.fixture(scope="module")
def browser():
    with (
        playwright.sync_playwright() as p,
        p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as b,
    ):
        yield b


@contextmanager
def visiting(browser, url, *, size=(1280, 800), quiet=True, touch=False):
    """A page that must not ask elsewhere for anything, nor complain; it is given once there is a picture."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, accept_downloads=True, has_touch=touch
    )
    page = context.new_page()
    page.set_default_timeout(1000 * WAIT)
    asked, said = [], []
    page.on("request", lambda r: asked.append(r.url))
    odd = ("error", "warning")  # that this machine has no graphics card is no fault of the page
    page.on("console", lambda m: said.append(m.text) if m.type in odd and "adapters" not in m.text else None)
    page.on("pageerror", lambda e: said.append(str(e)))
    page.goto(url)
    until(page, "() => window.studio && studio.last.pictures > 0")
    yield page
    context.close()
    root = url.split("//")[1].split("/")[0]
    assert (
        asked and [u for u in asked if not u.startswith((f"http://{root}/", f"ws://{root}/", "data:", "blob:"))] == []
    )
    assert not quiet or said == []


def until(page, what):
    """Wait until something is true; the page forbids what Playwright's own way would need."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        if page.evaluate(what):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {what}")


def corner(page, part):
    box, end = None, time.monotonic() + WAIT
    while box is None and time.monotonic() < end:  # None: it was drawn anew meanwhile
        box = page.locator(f"#triangles .active circle.corner[data-part={part}]").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, start, move, steps=6):
    page.mouse.move(*start)
    page.mouse.down()
    for k in range(1, steps + 1):
        page.mouse.move(start[0] + move[0] * k / steps, start[1] + move[1] * k / steps)
        page.wait_for_timeout(30)
    page.mouse.up()


def coefs(page):
    return page.evaluate("() => studio.work.flame.xforms[0].coefs")


def saved(journal):
    """The last state of a journal file that is whole."""
    lines = [json.loads(line) for line in Path(journal).read_text(encoding="utf-8").splitlines()]
    at = lines[-1].get("at", lines[-1].get("id"))
    return next(line["flame"] for line in lines if line.get("id") == at)


class TestInTheBrowser:
    pytestmark = in_browser

    def test_drag_undo_save_kill_and_come_back(self, browser, tmp_path):
        work, file = tmp_path / "work", STARTS / "sierpinski.flame"
        with running(work, str(file)) as (process, facts):
            with visiting(browser, facts["url"], quiet=False) as page:
                before = coefs(page)
                drag(page, corner(page, "x"), (60, -20))
                until(page, "() => studio.work.states.length == 2")
                after = coefs(page)
                assert after[0] > before[0] + 0.05 and after[1] < before[1] - 0.01
                assert after[2:] == pytest.approx(before[2:])
                page.keyboard.press("Control+z")
                until(page, "() => studio.work.redo")
                assert coefs(page) == before
                page.keyboard.press("Control+Shift+z")
                until(page, "() => !studio.work.redo")
                with page.expect_download() as saving:
                    page.click("#save")
                flame = read_flames(saving.value.path().read_bytes())[0]
                assert list(flame.xforms[0].coefs) == pytest.approx(after)
                process.send_signal(signal.SIGKILL)
                process.wait(20)
                until(page, "() => document.body.classList.contains('away')")
            assert saved(facts["journal"])["xforms"][0]["coefs"] == after
        with running(work) as (_, facts), visiting(browser, facts["url"]) as page:
            assert coefs(page) == after and page.evaluate("() => studio.work.undo")
            page.click("#undo")
            until(page, "() => studio.work.redo")
            assert coefs(page) == before

    def test_a_new_flame_is_edited_bred_and_rendered(self, browser, tmp_path):
        with running(tmp_path) as (_, facts), visiting(browser, facts["url"]) as page:
            page.click(".start:has-text('From scratch')")
            until(page, "() => studio.work.flame.xforms.length == 2")
            page.keyboard.press("a")
            until(page, "() => studio.work.flame.xforms.length == 3")
            page.click("text=Add a variation")
            page.fill("input[type=search]", "swirl")
            page.click(".variations button >> nth=0")
            until(page, "() => studio.work.flame.xforms[2].variations.some(v => v[0] == 'swirl')")
            number = page.get_by_role("spinbutton", name="swirl")
            number.fill("0.8")
            number.press("Enter")
            until(page, "() => studio.work.flame.xforms[2].variations.some(v => v[0] == 'swirl' && v[1] == 0.8)")
            page.click("#tab-Colour")
            page.click(".palettes button[aria-label='Palette ember']")
            until(page, "() => studio.work.states.at(-1).label == 'palette ember'")
            page.click("#tab-Look")
            page.get_by_role("spinbutton", name="Gamma").fill("3.5")
            page.get_by_role("spinbutton", name="Gamma").press("Enter")
            until(page, "() => studio.work.flame.settings.gamma == 3.5")
            drawn = page.evaluate("() => studio.last.pictures")
            until(page, f"() => studio.last.pictures > {drawn}")
            page.click("#tab-Breed")
            until(page, "() => document.querySelectorAll('.relative').length == 9")
            page.click(".relative .go >> nth=0")
            until(page, "() => studio.work.states.at(-1).label == 'a relative'")
            page.click("#tab-Out")
            page.get_by_label("Width").first.fill("96")
            page.get_by_label("Quality").first.select_option("100")
            page.click("#render")
            with page.expect_download() as saving:
                page.click(".task a")
            path = tmp_path / "out.png"
            saving.value.save_as(path)
            result = CliRunner().invoke(main, ["info", str(path), "--json"])
            assert result.exit_code == 0 and json.loads(result.output)["width"] == 96
            page.keyboard.press("h")
            until(page, "() => [...document.querySelectorAll('#strip img')].filter(i => i.naturalWidth > 0).length > 5")
            page.click("#strip button >> nth=1")
            until(page, "() => studio.work.flame.xforms.length == 2")

    def test_camera_snap_keys_and_red_maps(self, browser, tmp_path):
        file = STARTS / "sierpinski.flame"
        with running(tmp_path, str(file)) as (_, facts), visiting(browser, facts["url"]) as page:
            scale = page.evaluate("() => studio.work.flame.settings.scale")
            page.mouse.move(300, 300)
            page.mouse.wheel(0, -200)
            until(page, "() => studio.work.states.at(-1).label == 'zoom'")
            assert page.evaluate("() => studio.work.flame.settings.scale") > scale
            drag(page, (120, 700), (40, 0))
            until(page, "() => studio.work.states.at(-1).label == 'move the camera'")
            page.click("#fit")
            until(page, "() => studio.work.states.at(-1).label == 'frame the picture'")
            page.keyboard.press("2")
            x = page.evaluate("() => studio.work.flame.xforms[1].coefs[4]")
            page.keyboard.press("ArrowRight")
            until(page, "() => studio.work.states.at(-1).label == 'move a map'")
            assert page.evaluate("() => studio.work.flame.xforms[1].coefs[4]") == pytest.approx(x + 0.02)
            assert page.locator(".reason").is_hidden()
            page.click("text=Triangle")
            page.get_by_role("spinbutton", name="X length").first.fill("1.3")
            page.get_by_role("spinbutton", name="X length").first.press("Enter")
            assert "its norm is 1.300" in page.locator(".reason").inner_text()
            assert page.locator("#triangles .active.stretches").count() == 1
            page.keyboard.press("Control+z")
            until(page, "() => document.querySelector('.reason').hidden")
            page.keyboard.press("g")
            drag(page, corner(page, "o"), (33, 17))
            page.wait_for_timeout(200)
            at = page.evaluate("() => studio.work.flame.xforms[1].coefs.slice(4)")
            assert all(abs(v * 20 - round(v * 20)) < 1e-6 for v in at)

    def test_a_dropped_cloud_is_fitted_and_a_pulled_map_is_refined_again(self, browser, tmp_path):
        cloud = tmp_path / "triangle.xyz"
        np.savetxt(cloud, sample(preset("sierpinski-triangle"), 3000, seed=1).points.double().numpy())
        with running(tmp_path / "w", str(STARTS / "lace.flame")) as (_, facts), visiting(browser, facts["url"]) as page:
            page.evaluate("() => { const s = document.querySelector('#fit-maps'); s.value = '3'; "
                          "s.dispatchEvent(new Event('change')); }")  # fmt: skip
            before = page.evaluate("() => JSON.stringify(studio.work.flame)")
            page.set_input_files("#file", cloud)
            until(page, "() => studio.work.flame.xforms.length == 3")  # the best maps so far, of a search that goes on
            page.click("#fit-stop")
            until(page, "() => !studio.fit.running && studio.work.undo")  # what was found is a state
            page.wait_for_timeout(300)
            while page.evaluate("() => studio.work.undo"):
                page.click("#undo")
                page.wait_for_timeout(300)
            until(page, f"() => JSON.stringify(studio.work.flame) == {json.dumps(before)}")
            page.click("#fit-find")
            until(page, "() => studio.fit.agreement > 0.9 && !studio.fit.running")
            assert page.evaluate("() => studio.work.flame.xforms.length") == 3
            assert page.evaluate("() => !document.querySelector('#target').hidden")
            drag(page, corner(page, "x"), (60, -40))
            until(page, "() => studio.work.states.at(-1).label == 'move a corner'")
            moved = coefs(page)
            until(page, "() => studio.work.states.at(-1).label == 'refine' && studio.fit.agreement > 0.9")
            assert coefs(page) != moved

    def test_a_photograph_becomes_a_collage_that_follows_its_sliders(self, browser, tmp_path):
        photo = tmp_path / "photo.png"
        save_png(photo, np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8))
        with running(tmp_path / "w", str(STARTS / "lace.flame")) as (_, facts), visiting(browser, facts["url"]) as page:
            page.set_input_files("#file", photo)
            page.click("[data-use=collage]")
            until(page, "() => studio.collage.drawn > 0")
            page.fill("#collage-tiles", "8")
            page.press("#collage-tiles", "Enter")
            until(page, "() => studio.collage.drawn > 1 && studio.collage.wish.tiles == 8")
            page.focus("#collage")
            page.keyboard.press("+")
            until(page, "() => studio.collage.look.zoom > 1")
            page.click("#tab-Maps")
            assert page.locator("#collage").is_hidden() and page.locator("#triangles .active").count() == 1

    def test_a_code_in_space_is_walked_around_and_dragged(self, browser, tmp_path):
        with running(tmp_path, "sierpinski-tetrahedron") as (_, facts), visiting(browser, facts["url"]) as page:
            pitch = page.evaluate("() => studio.work.flame.settings.cam_pitch")
            drag(page, (60, 700), (60, -60))
            until(page, "() => studio.work.states.at(-1).label == 'orbit'")
            assert page.evaluate("() => studio.work.flame.settings.cam_pitch") != pitch
            x, y = corner(page, "z")
            drag(page, (x, y), (40, -50))
            until(page, "() => studio.work.states.at(-1).label == 'move a corner'")
            assert corner(page, "z") == pytest.approx((x + 40, y - 50), abs=2)
            page.click("text=In space")
            cell = page.get_by_label("Origin, up")
            cell.fill("0.125")
            cell.press("Enter")
            with page.expect_download() as saving:
                page.click("#tab-Out")
                page.click("text=.ifs.json")
            code = AffineIFS.from_json(saving.value.path().read_text())
            assert code.dim == 3 and float(code.offsets[0, 2]) == pytest.approx(0.125)

    def test_fingers_drag_pinch_turn_and_press(self, browser, tmp_path):
        file = STARTS / "sierpinski.flame"
        with (
            running(tmp_path, str(file)) as (_, facts),
            visiting(browser, facts["url"], size=(390, 780), touch=True) as page,
        ):
            touch = page.context.new_cdp_session(page)

            def fingers(kind, *points):
                places = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(points)]
                touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
                page.wait_for_timeout(25)

            def settings():
                return page.evaluate("() => studio.work.flame.settings")

            def said(label):
                until(page, f"() => studio.work.states.at(-1).label == '{label}'")

            box = page.locator("#picture").bounding_box()
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            page.click("#show")  # the triangles are out of the way
            before = settings()
            fingers("touchStart", (x - 40, y))
            fingers("touchStart", (x - 40, y), (x + 40, y))
            for k in range(1, 9):  # apart to twice as far, and a quarter turn
                t = k * np.pi / 16
                u, v = (40 + 5 * k) * np.cos(t), (40 + 5 * k) * np.sin(t)
                fingers("touchMove", (x - u, y - v), (x + u, y + v))
            fingers("touchEnd")
            said("move the camera")
            after = settings()
            assert after["scale"] == pytest.approx(2 * before["scale"], rel=0.02)
            assert abs(after["rotate"] - before["rotate"]) == pytest.approx(90, abs=2)
            fingers("touchStart", (x, y))
            for k in range(1, 6):
                fingers("touchMove", (x + 8 * k, y))
            fingers("touchEnd")
            until(page, "() => studio.work.states.length == 3")
            assert np.hypot(*np.subtract(settings()["center"], after["center"])) * after["scale"] > 30
            while page.evaluate("() => studio.work.undo"):
                page.click("#undo")
                page.wait_for_timeout(100)
            page.click("#show")
            old, at = coefs(page), corner(page, "x")
            fingers("touchStart", at)
            for k in range(1, 6):
                fingers("touchMove", (at[0] + 5 * k, at[1]))
            fingers("touchEnd")
            said("move a corner")
            assert coefs(page)[0] > old[0]
            fingers("touchStart", corner(page, "o"))
            page.wait_for_timeout(800)
            fingers("touchEnd")
            page.get_by_role("menuitem", name="Double").click()
            said("double a map")
            assert page.evaluate("() => studio.work.flame.xforms.length") == 4
            page.mouse.click(30, 70, button="right")
            page.get_by_role("menuitem", name="Add a map here").press("Enter")
            said("add a map")

    def test_a_card_draws_and_is_lost(self, tmp_path):
        """By the program that plays a card in Chromium; the server draws again once it is gone."""
        file = STARTS / "sierpinski.flame"
        with (
            playwright.sync_playwright() as p,
            p.chromium.launch(executable_path=CHROMIUM, args=PLAYED) as b,
            running(tmp_path, str(file)) as (_, facts),
            visiting(b, facts["url"] + "?gpu=software") as page,
        ):
            if not page.evaluate("navigator.gpu?.requestAdapter().then(a => !!a) ?? false"):
                pytest.skip("this Chromium plays no card")
            until(page, "() => studio.card.drawing && studio.last.quality > 1")
            assert "by the graphics card" in page.locator("#progress").inner_text()
            lit = """() => { const c = document.querySelector('#picture');
                return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 0 && v < 255); }"""
            drag(page, corner(page, "x"), (40, 0))
            until(page, "() => studio.work.states.length == 2 && studio.card.drawing")
            assert page.evaluate("() => studio.card.engine.device.destroy()") is None
            until(page, "() => !studio.card.engine && !studio.card.drawing")
            seen = page.evaluate("() => studio.last.pictures")
            until(page, f"() => studio.last.pictures > {seen} + 1")
            assert "graphics card" not in page.locator("#progress").inner_text() and page.evaluate(lit)
            drag(page, corner(page, "x"), (-40, 0))
            until(page, "() => studio.work.states.length == 3")

    def test_two_tabs_show_one_work(self, browser, tmp_path):
        file = STARTS / "lace.flame"
        with (
            running(tmp_path, str(file)) as (_, facts),
            visiting(browser, facts["url"]) as one,
            visiting(browser, facts["url"]) as two,
        ):
            one.fill("#name", "shared")
            one.press("#name", "Enter")
            one.locator("#name").blur()
            until(two, "() => studio.work.flame.settings.name == 'shared'")
            two.click("#undo")
            until(one, "() => studio.work.flame.settings.name == ''")

    @pytest.mark.parametrize("size", [(360, 740), (3840, 2160)])
    def test_narrow_and_wide(self, browser, tmp_path, size):
        file = STARTS / "lace.flame"
        with running(tmp_path, str(file)) as (_, facts), visiting(browser, facts["url"], size=size) as page:
            for tab in ("Maps", "Colour", "Look", "Breed", "Fit", "Collage", "Out"):
                page.click(f"#tab-{tab}")
                assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
                assert page.evaluate(
                    "() => { const s = document.querySelector('#sheets'); return s.scrollWidth <= s.clientWidth; }"
                )
            assert page.locator("#picture").bounding_box()["width"] > 0.4 * size[0]

    def test_every_control_has_a_name_and_a_key(self, browser, tmp_path):
        names = """() => [...document.querySelectorAll('button, input, select, textarea, [role=button], [role=tab]')]
            .filter(e => e.checkVisibility() && !e.hidden && e.type != 'file')
            .filter(e => !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim() || e.title))
            .map(e => e.outerHTML)"""
        unreached = """() => [...document.querySelectorAll('button, select, input[type=number], input[type=color]')]
            .filter(e => e.checkVisibility() && !e.disabled && e.tabIndex < 0 && e.getAttribute('role') != 'tab')
            .map(e => e.outerHTML)"""
        file = STARTS / "nebula.flame"
        with running(tmp_path, str(file)) as (_, facts), visiting(browser, facts["url"]) as page:
            for tab in ("Maps", "Colour", "Look", "Fit", "Collage", "Out"):
                page.click(f"#tab-{tab}")
                page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
                assert page.evaluate(names) == [] and page.evaluate(unreached) == []

    def test_hostile_files_and_foreign_text_change_nothing(self, browser, tmp_path):
        bad = tmp_path / "bad.flame"
        bad.write_text("<flame><xform coefs='nan'/></flame>")
        work = tmp_path / "work"
        with (
            running(work, str(STARTS / "lace.flame")) as (_, facts),
            visiting(browser, facts["url"], quiet=False) as page,
        ):
            before = page.evaluate("() => JSON.stringify(studio.work.flame)")
            page.set_input_files("#file", bad)
            page.locator(".toast.bad").first.wait_for()
            assert "bad.flame" in page.locator(".toast.bad").first.inner_text()
            page.set_input_files("#file", STARTS / "reef.flame")
            until(page, "() => studio.work.states.length == 2")
            page.click("#undo")
            until(page, "() => studio.work.redo")
            assert page.evaluate("() => JSON.stringify(studio.work.flame)") == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["no-such.flame"], 1, "no such file"),
        (["no-such-preset"], 1, "no-such-preset"),
        (["--port", "0"], 2, "--port"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["studio", "--no-open", "--work", str(tmp_path / "w"), *arguments])
    assert result.exit_code == code, result.output
    assert words in result.output and result.output.count("\n") == 1


def test_a_port_in_use_is_said(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(main, ["studio", "--no-open", "--work", str(tmp_path), "--port", port])
    assert result.exit_code == 1 and f"--port {port}" in result.output


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_that_is_not_writable_is_said(tmp_path):
    tmp_path.chmod(0o500)
    result = CliRunner().invoke(main, ["studio", "--no-open", "--work", str(tmp_path / "w")])
    tmp_path.chmod(0o700)
    assert result.exit_code == 1 and "not writable" in result.output

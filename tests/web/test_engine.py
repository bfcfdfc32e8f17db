"""The browser's engine: what it is given, and its pictures in headless Chromium, whose SwiftShader plays a card."""

import base64
import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fractalkit.codes import preset
from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import UsageError
from fractalkit.orbit.flame import accumulate
from fractalkit.render.flame import look_of
from fractalkit.render.flame_tone import develop
from fractalkit.render.viewer import save_viewer
from fractalkit.render.zoom_ifs import IFSWindows
from fractalkit.web import card_script, engine_path, structure
from tests.orbit.test_flame import painted, strange, triangle
from tests.orbit.test_wgsl_flame import coloured, solid

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
ARGUMENTS = [
    "--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader",
    # a canvas of WebGPU is shown only where the browser itself draws by the same Vulkan
    "--use-gl=angle", "--use-angle=swiftshader", "--use-vulkan=swiftshader", "--enable-features=Vulkan",
    "--disable-vulkan-surface",
]  # fmt: skip
PAGE = """<!doctype html><canvas></canvas>
<script type=module>
import { Engine } from './engine.js';
import { Deep } from './deep.js';
Object.assign(window, { Engine, Deep });
</script>"""
N = 300_000


def numbers(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.float32)


def test_what_the_engine_is_given():
    s = json.loads(json.dumps(structure(strange(), size=(96, 64))))
    assert s["size"] == [96, 64] and s["maps"] == 3 and s["left_out"] == ["density estimation"]
    values, x = numbers(s["numbers"]), strange().xforms[1]
    assert values[[s["places"][f"1.coefs.{k}"] for k in range(6)]] == pytest.approx(x.coefs)
    assert values[s["places"]["1.variations.noise"]] == pytest.approx(0.1)
    assert values[s["places"]["final0.coefs.4"]] == pytest.approx(0.2)
    assert numbers(s["palette"]).shape == (1024,) and s["key"] != structure(triangle())["key"]


def test_codes_of_the_plane_and_no_others():
    s = structure(preset("barnsley-fern"))
    assert s["maps"] == 4 and s["size"] == [1280, 720]
    with pytest.raises(UsageError, match="in space"):
        structure(AffineIFS(torch.eye(3)[None] / 2, torch.zeros(1, 3)))


@pytest.fixture(scope="module")
def page():
    """A page with the module, in a browser that must not send requests to other machines."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    answers = {"/": ("text/html", PAGE)}
    for name in ("engine.js", "deep.js"):
        answers[f"/{name}"] = ("text/javascript", engine_path().with_name(name).read_text(encoding="utf-8"))

    def answer(route):
        kind, body = answers.get("/" + route.request.url.split("/", 3)[3], ("text/plain", ""))
        route.fulfill(body=body, content_type=kind)

    with (
        playwright.sync_playwright() as play,
        play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS) as browser,
    ):
        one = browser.new_page()
        one.set_default_timeout(120_000)
        one.route("**/*", answer)
        one.goto("http://localhost/")
        one.wait_for_function("() => window.Engine !== undefined")
        if not one.evaluate("navigator.gpu?.requestAdapter().then(a => !!a) ?? false"):
            pytest.skip("this Chromium has no WebGPU")
        create = "Engine.create(document.querySelector('canvas'), { software: true, chains: 1024 })"
        one.evaluate(f"async () => {{ window.engine = await {create} }}")
        yield one


def drawn(page, flame, samples=N):
    """The histogram of the browser."""
    draw = """async ([s, n]) => { await engine.load(s); engine.draw(n); const h = await engine.histogram();
        return btoa(Array.from(new Uint8Array(h.buffer), c => String.fromCharCode(c)).join('')) }"""
    return numbers(page.evaluate(draw, [structure(flame), samples])).reshape(flame.size[1], flame.size[0], 4)


@pytest.mark.parametrize(
    "make", [strange, *(pytest.param(f, marks=pytest.mark.slow) for f in (solid, coloured, painted))],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_it_draws_what_the_loops_for_the_cpu_draw(page, make):
    f = make()
    one, two = (accumulate(f, N, seed=s, threads=1).astype(float) for s in (1, 2))
    seen = drawn(page, f).astype(float)
    seen *= N / page.evaluate("engine.samples")
    noise = np.abs(one - two).sum((0, 1))
    assert (np.abs(seen - one).sum((0, 1)) < 1.15 * noise + 1e-9).all()


def test_numbers_change_without_a_new_shader(page):
    f = triangle()
    before = drawn(page, f)
    assert (before == drawn(page, f)).all()
    assert page.evaluate("engine.get('2.coefs.5')") == 0.5
    page.evaluate("engine.set('2.coefs.5', -0.5); engine.draw(100000)")
    moved = structure(f)
    histogram = page.evaluate("engine.histogram().then(h => Array.from(h))")
    assert np.abs(np.reshape(histogram, before.shape) / 1e5 - before / N).sum() > 1
    assert page.evaluate("s => engine.update(s)", moved) is True
    assert page.evaluate("s => engine.update(s)", structure(strange())) is False


def test_the_picture_on_the_canvas(page):
    f = triangle()
    page.evaluate("s => engine.load(s)", structure(f))
    page.evaluate(
        "() => new Promise(done => engine.run({ quality: 20, budget: 400, onprogress: p => p >= 1 && done() }))"
    )
    # headless browsers do not show a canvas of WebGPU, but they save its picture
    save = """async () => { engine.draw(1); const b = await new Promise(done => engine.canvas.toBlob(done));
        return btoa(Array.from(new Uint8Array(await b.arrayBuffer()), c => String.fromCharCode(c)).join('')) }"""
    picture = Image.open(io.BytesIO(base64.b64decode(page.evaluate(save))))
    seen = np.asarray(picture.convert("RGB"), np.float64)
    plain = replace(look_of(f, 20), estimator_radius=0.0, filter_radius=0.0)
    histogram = accumulate(f, 20 * 64 * 64, gutter=plain.gutter, threads=1)
    want = 255 * develop(histogram, plain)
    assert np.abs(seen - want).mean() < 4 and want.mean() > 10


def test_what_it_refuses(page):
    fails = "f => f().then(() => '', e => e.message)"
    assert "no number" in page.evaluate("() => { try { engine.set('9.coefs.0', 1) } catch (e) { return e.message } }")
    assert "software" in page.evaluate(f"() => ({fails})(() => Engine.create(document.createElement('canvas')))")
    broken = structure(triangle()) | {"shader": "fn main( {", "key": "broken"}
    assert "line 1" in page.evaluate(f"s => ({fails})(() => engine.load(s))", broken)


SAVED = """  const b = await new Promise(done => canvas.toBlob(done));
  return btoa(Array.from(new Uint8Array(await b.arrayBuffer()), c => String.fromCharCode(c)).join('')) }"""
DEEP = (
    """async ([code, x, y, w]) => {
  const canvas = document.createElement("canvas");
  canvas.width = 96; canvas.height = 64;
  const deep = await Deep.create(canvas, code, { software: true });
  if (deep.draw(x, y, w, 60) < 4) throw new Error("few pieces");
"""
    + SAVED
)


def saved(data: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), np.float64)


def is_window(seen: np.ndarray, views: IFSWindows, x: float, y: float, w: float) -> bool:
    """Whether a picture of 96 x 64 is that window, which has another seed and a filter's blur."""
    want = views.window(x - w / 2, y - w / 3, x + w / 2, y + w / 3, 96, 64).astype(np.float64)
    return want.std() > 20 and np.abs(seen - want).mean() < 0.3 * np.abs(seen - want[::-1]).mean()


def test_windows_of_codes_at_any_depth(page):
    for name, depth in (("sierpinski-triangle", 1.0), ("barnsley-fern", 1e9)):
        views = IFSWindows(preset(name), quality=60.0)
        at = (0.5, 0.5) if depth == 1 else views.focus()
        seen = saved(page.evaluate(DEEP, [views.for_browser(), *at, 1 / depth]))
        assert is_window(seen, views, *at, 1 / depth), (name, depth)


def test_a_page_of_a_code_draws_by_itself_where_there_is_a_card(page, tmp_path):
    path, errors = tmp_path / "zoom.html", []
    views = IFSWindows(preset("barnsley-fern"))
    x, y = views.focus()
    save_viewer(views, path, at=(x, y), depth=2.0, whole=1, near=0, card=card_script(views))
    with page.context.browser.new_page(viewport={"width": 96, "height": 64}) as one:
        one.on("pageerror", lambda e: errors.append(str(e)))
        one.goto(f"file://{path}?gpu=off#{x},{y},8")
        one.wait_for_function("() => document.getElementById('m').textContent == 'x 8.000'")
        assert one.evaluate("card === null") is True
        # headless browsers do not copy a canvas of WebGPU, so that a page would keep to its tiles
        one.add_init_script("CanvasRenderingContext2D.prototype.getImageData = () => ({ data: [1] })")
        one.goto(f"file://{path}?gpu=software#{x},{y},2000")
        one.wait_for_function("() => card && document.getElementById('m').textContent == 'x 2000'")
        seen = saved(one.evaluate("async () => { const canvas = card.canvas; fine = -1; draw();" + SAVED))
        assert is_window(seen, views, x, y, 1 / 2000)
    assert not errors

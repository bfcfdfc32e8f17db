"""The page: five Gradio tabs over the functions of :mod:`fractalkit.demo.work`."""

from __future__ import annotations

import os
import secrets
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from fractalkit.demo import work
from fractalkit.demo.desk import Desk
from fractalkit.demo.shelf import Shelf
from fractalkit.errors import FractalKitError, first_line

UPLOAD = "32mb"
WAITING = 24  # length of the queue; further requests are refused
PRESETS = ("sierpinski-tetrahedron", "barnsley-fern", "heighway-dragon", "fern-3d", "tree-3d", "nautilus")
ZOOM = 3.0  # magnification per click

# heavy work and zooming have separate queues, so that a fit of half a minute does not block a zoom
WORK: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "work"}
OPEN: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "open"}  # so that no click waits for a first example
LOOK: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "look", "show_progress": "minimal"}

# on some machines browsers offer WebGPU, which then fails and leaves the 3D view black; WebGL suffices for points
# for phones: one column, nothing wider than the screen (Gradio drops media queries from its own argument for styles)
PHONE = """
@media (max-width: 640px) {
  .gradio-container, .gradio-container > .main { padding: 6px !important; }
  gradio-app .gradio-container, gradio-app .gradio-container main, gradio-app .gradio-container .wrap {
    max-width: 100vw !important; min-width: 0 !important; overflow-x: hidden;
  }
  #head h1 { font-size: 1.4rem; margin: 0; }
  .tab-container button { padding: 6px 4px !important; font-size: .82rem !important; }
  .tab-wrapper { overflow: hidden; }
  .gradio-container .row { flex-wrap: wrap !important; }
  .gradio-container .form { flex-direction: column !important; }
  .gradio-container .row > *, .gradio-container .column, .gradio-container .form, .gradio-container .form > * {
    min-width: 0 !important; max-width: 100%; flex-basis: 100%;
  }
  #sample-sheet .grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)) !important; }
  #flames-sheet .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr)) !important; }
  #cloud-space { height: 300px !important; }
}
"""
HEAD = f"<script>delete Navigator.prototype.gpu;</script><style>{PHONE}</style>"

CSS = """
.gradio-container { max-width: 1240px !important; margin: auto; }
#head h1 { font-size: 1.9rem; margin: .3em 0 0; letter-spacing: -.02em; }
#head p { opacity: .75; margin: .2em 0 .6em; }
.looked img { cursor: zoom-in; image-rendering: auto; }
footer { display: none !important; }
"""


def theme() -> Any:
    """A theme with system fonts, so that the page needs no network."""
    fonts = ("ui-sans-serif", "system-ui", "sans-serif")
    return gr.themes.Base(
        primary_hue="teal", secondary_hue="teal", neutral_hue="slate", font=fonts,
        font_mono=("ui-monospace", "Menlo", "monospace"), radius_size="lg",
    ).set(button_primary_background_fill="*primary_600", button_primary_text_color="white")  # fmt: skip


@contextmanager
def told(*paths: str | None) -> Iterator[None]:
    """Report errors as one sentence on the page, with file names instead of the paths of uploads."""
    try:
        yield
    except Exception as error:
        if os.environ.get("FRACTALKIT_DEBUG"):
            traceback.print_exception(error)
        if isinstance(error, FractalKitError):
            sentence = str(error)
        elif isinstance(error, MemoryError):
            sentence = "not enough memory; use a smaller picture"
        else:
            sentence = f"unexpected {type(error).__name__}: {first_line(error)}"
        for path in paths:
            if path:
                sentence = sentence.replace(path, Path(path).name)
        raise gr.Error(sentence, duration=None, title="Error", print_exception=False) from None


def saying(progress: gr.Progress) -> Callable[[str, float], None]:
    """Return a progress callback that moves the bar of the page."""
    return lambda word, share: progress(min(max(share, 0.0), 1.0), desc=word)


def photograph(name: str) -> Any:
    """Input for a photograph, passed on as a path: the reader of the package checks format and size."""
    image = gr.Image(_photo(), sources=["upload", "clipboard"], label="Photograph", elem_id=name)
    # Gradio would decode it first, whatever its size; for a subclass, Gradio would write files into the package
    setattr(image, "preprocess", lambda payload: None if payload is None else payload.path)  # noqa: B010
    return image


class LookedAt:
    """Pictures to zoom into with a click, and buttons to zoom out."""

    def __init__(self, name: str, labels: tuple[str, ...]) -> None:
        self.state = gr.State(None, time_to_live=3600)
        with gr.Row():
            self.images = [
                gr.Image(
                    label=label, format="png", interactive=False, elem_id=f"{name}-{k}", elem_classes="looked",
                    alt_text=f"{label}; click to zoom in", buttons=["download", "fullscreen"],
                )
                for k, label in enumerate(labels)
            ]  # fmt: skip
        with gr.Row():
            self.out = gr.Button("Zoom out", size="sm", elem_id=f"{name}-out")
            self.whole = gr.Button("Whole picture", size="sm", elem_id=f"{name}-whole")
        self.where = gr.Markdown("Click into the picture to zoom in.", elem_id=f"{name}-where")
        self.outputs = [self.state, self.where, *self.images]
        for image in self.images:
            image.select(self._nearer, self.state, self.outputs, show_progress_on=self.images, **LOOK)
        self.out.click(self._farther, self.state, self.outputs, show_progress_on=self.images, **LOOK)
        self.whole.click(self._all, self.state, self.outputs, show_progress_on=self.images, **LOOK)

    def show(self, look: work.Look) -> list[Any]:
        """Values of ``outputs``."""
        m = look.magnification
        side = work.SIDE * m
        text = f"Magnified {m:,.3g} times: the whole picture would be {side:,.0f} pixels wide. Click to zoom in."
        if m >= look.deepest * 0.999:
            text = f"Magnified {m:,.3g} times, the maximum."
        return [look, text if m > 1.001 else "Click into the picture to zoom in.", *look.pictures()]

    def _nearer(self, look: work.Look | None, event: gr.SelectData) -> list[Any]:
        def near(look: work.Look) -> work.Look:
            width, height = look.size()
            return look.nearer(event.index[0] / width, event.index[1] / height, ZOOM)

        return self._to(look, near)

    def _farther(self, look: work.Look | None) -> list[Any]:
        return self._to(look, lambda look: look.nearer(0.5, 0.5, 1 / ZOOM))

    def _all(self, look: work.Look | None) -> list[Any]:
        return self._to(look, lambda look: work.Look.at(*look.things, deepest=look.deepest))

    def _to(self, look: work.Look | None, other: Callable[[work.Look], work.Look]) -> list[Any]:
        """Values of ``outputs`` for another view; no changes if there is no picture yet."""
        if look is None:
            return [gr.skip()] * len(self.outputs)
        with told():
            return self.show(other(look))


def build(shelf: Shelf) -> gr.Blocks:
    """Build the page; files to download are kept on the shelf."""
    desk = Desk()
    with gr.Blocks(title="FractalKit", analytics_enabled=False, delete_cache=(1800, 3600)) as page:
        browser = gr.BrowserState("", storage_key="fractalkit-demo")
        gr.Markdown(
            "# FractalKit\nFractals, and pictures and scans made of themselves. Everything runs on this machine, and "
            "no data leaves it.",
            elem_id="head",
        )
        with gr.Tab("Sample", id="sample"):
            first = _sample(desk, browser)
        for title, build_tab in TABS.items():
            with gr.Tab(title, id=build_tab.__name__.strip("_")) as tab:
                opening = build_tab(shelf, desk, browser)
            tab.select(**opening, **OPEN)
        page.load(lambda name: name or secrets.token_hex(16), browser, browser).then(**first, **OPEN)
    page.queue(max_size=WAITING, api_open=False)
    return page


def _photo() -> str:
    """Path of an example picture, from matplotlib."""
    from matplotlib import cbook

    return str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


def opening(
    desk: Desk, tab: str, make: Callable[..., list[Any]], inputs: list[Any], outputs: list[Any], *, on: Any,
    restored: Any = None,
) -> dict[str, Any]:  # fmt: skip
    """The event of a tab that is opened: the first time it shows what the browser made there before, or an example.

    Args:
        make: takes the values of ``inputs``, of which the first is the browser, begins work on the desk, and returns
            those of ``outputs``.
        on: what shows the progress.
        restored: an input that is kept as well, as the first of the desk's values. An example leaves it alone, and so
            does a tab that was opened before: the user may have given another one meanwhile.
    """
    opened, given = gr.State(False), gr.State(None)
    if restored is not None:
        # by a state of its own: as an output that is skipped, the input would be made anew, without its preprocessing
        given.change(lambda value: value, given, restored, **OPEN)

    def show(opened: bool, browser: str, *values: Any) -> list[Any]:
        nothing = [gr.skip()] * len(outputs)
        if opened:
            return [True, gr.skip(), *nothing]
        before = desk.kept(browser, tab)
        if before:
            again = [dict(v) if isinstance(v, dict) else v for v in before]
            return [True, *([] if restored is not None else [None]), *again]
        number = desk.latest(browser, tab)
        made = make(browser, *values)
        if desk.latest(browser, tab) > number + 1:  # the user has begun something else, which comes or has come
            return [True, gr.skip(), *nothing]
        return [True, None, *made]

    return {"fn": show, "inputs": [opened, *inputs], "outputs": [opened, given, *outputs], "show_progress_on": on}


def _sample(desk: Desk, browser: Any) -> dict[str, Any]:
    gr.Markdown(
        "A network trained on handwritten digits of 28 x 28 pixels draws new ones as fixed points, at any resolution. "
        "Choose one and zoom in."
    )
    with gr.Row():
        with gr.Column(scale=2):
            with gr.Row():
                seed = gr.Number(0, label="First seed", precision=0, minimum=0, maximum=2**40, elem_id="sample-seed")
                temperature = gr.Slider(0, 1.2, 1.0, step=0.05, label="Temperature")
            button = gr.Button("Draw 16 samples", variant="primary", elem_id="sample-go")
            sheet = gr.Gallery(
                label="Samples", columns=4, height=470, allow_preview=False, format="png", elem_id="sample-sheet",
                object_fit="contain", interactive=False, buttons=[],
            )  # fmt: skip
        with gr.Column(scale=3):
            looked = LookedAt("sample", ("Selected digit",))

    drawn = gr.State((0, 1.0))  # seed and temperature of the sheet

    def many(
        browser: str, seed: int, temperature: float, progress: gr.Progress = gr.Progress()  # noqa: B008
    ) -> list[Any]:  # fmt: skip
        with told():
            number, seed = desk.begin(browser, "sample"), int(seed or 0)
            made = work.digits(seed, 16, temperature, saying(progress))
            values = [(seed, temperature), made, *looked.show(work.digit(seed, temperature))]
            desk.keep(browser, "sample", number, values)
            return values

    def one(browser: str, drawn: tuple[int, float], event: gr.SelectData) -> list[Any]:
        with told():
            shown = looked.show(work.digit(drawn[0] + event.index, drawn[1]))
            before = desk.kept(browser, "sample")
            if before:
                desk.keep(browser, "sample", desk.latest(browser, "sample"), [*before[:2], *shown])
            return shown

    inputs, outputs = [browser, seed, temperature], [drawn, sheet, *looked.outputs]
    button.click(many, inputs, outputs, show_progress_on=sheet, **WORK)
    sheet.select(one, [browser, drawn], looked.outputs, show_progress_on=looked.images, **LOOK)
    return opening(desk, "sample", many, inputs, outputs, on=sheet)


def _fractalize(shelf: Shelf, desk: Desk, browser: Any) -> dict[str, Any]:
    gr.Markdown("Every tile shows the whole picture, whose tiles show it again, at every depth.")
    with gr.Row():
        with gr.Column(scale=2):
            source = photograph("fractalize-in")
            tiles = gr.Slider(4, 128, 48, step=1, label="Tiles per side", elem_id="fractalize-tiles")
            texture = gr.Slider(0, 0.9, 0.5, step=0.05, label="Texture: contrast of the tiles")
            blend = gr.Slider(0, 1, 0.5, step=0.05, label="Blend: how closely tiles follow the shades of the picture")
            button = gr.Button("Fractalize", variant="primary", elem_id="fractalize-go")
        with gr.Column(scale=3):
            looked = LookedAt("fractalize", ("Fractalized photograph",))
            with gr.Row():
                side = gr.Number(2048, label="Longer side in pixels", precision=0, minimum=16, maximum=work.MAX_SIDE)
                save = gr.Button("Save the whole picture as PNG", elem_id="fractalize-save")
            file = gr.File(label="Whole picture", interactive=False, visible=False, elem_id="fractalize-file")

    def make(browser: str, path: str | None, tiles: float, texture: float, blend: float) -> list[Any]:
        with told(path):
            number = desk.begin(browser, "fractalize")
            shown = looked.show(work.fractal(path, int(tiles), texture, blend))
            desk.keep(browser, "fractalize", number, [path, *shown])
            return shown

    def keep(look: work.Look | None, side: float) -> Any:
        with told():
            if look is None:
                raise FractalKitError("fractalize a photograph first")
            return gr.File(str(work.save_whole(look, int(side or 0), shelf.folder())), visible=True)

    inputs = [browser, source, tiles, texture, blend]
    button.click(make, inputs, looked.outputs, show_progress_on=looked.images, **WORK)
    save.click(keep, [looked.state, side], file, **WORK)
    return opening(desk, "fractalize", make, inputs, looked.outputs, on=looked.images, restored=source)


def _cloud(shelf: Shelf, desk: Desk, browser: Any) -> dict[str, Any]:
    gr.Markdown(
        "Fit an iterated function system to a point cloud or a mesh: its attractor, made of small copies of itself, "
        "approximates the input. Without a file, the input is 20,000 points of a known fractal."
    )
    with gr.Row():
        with gr.Column(scale=2):
            source = gr.File(
                label="Cloud or mesh: ply, pcd, xyz, csv, npy, las, laz, e57, obj, stl, glb, 3mf …",
                type="filepath", elem_id="cloud-in",
                file_types=[
                    ".ply", ".pcd", ".xyz", ".pts", ".txt", ".csv", ".npy", ".npz", ".las", ".laz", ".e57", ".splat",
                    ".obj", ".off", ".stl", ".glb", ".3mf",
                ],
            )  # fmt: skip
            example = gr.Dropdown(
                list(PRESETS), value=PRESETS[0], label="Or points of a preset", elem_id="cloud-example"
            )
            maps = gr.Slider(1, work.MAX_MAPS, 4, step=1, label="Maps", elem_id="cloud-maps")
            effort = gr.Slider(
                0, work.MAX_EFFORT, 1, step=1, label="Effort: each step doubles the time", elem_id="cloud-effort"
            )
            with gr.Row():
                up = gr.Dropdown(["auto", "x", "y", "z"], value="auto", label="Up")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**40)
            button = gr.Button("Fit", variant="primary", elem_id="cloud-go")
            table = gr.Dataframe(
                headers=["measure", "value"], interactive=False, label="Quality of the fit", elem_id="cloud-table",
                wrap=True,
            )  # fmt: skip
        with gr.Column(scale=3):
            picture = gr.Image(
                label="Input, attractor, its pieces", format="png", interactive=False, elem_id="cloud-picture",
                alt_text="The input beside the attractor, and the attractor coloured by its maps",
                buttons=["download", "fullscreen"],
            )  # fmt: skip
            space = gr.Model3D(
                label="Attractor in 3D: drag to rotate, scroll to zoom", height=460, elem_id="cloud-space",
                clear_color=(0.055, 0.06, 0.075, 1.0), interactive=False, display_mode="solid",
                camera_position=(55, 72, 2.9),
            )  # fmt: skip
            files = gr.File(label="Code and cloud", interactive=False, file_count="multiple", elem_id="cloud-files")

    def find(
        browser: str, path: str | None, example: str, maps: float, effort: float, up: str, seed: float,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:  # fmt: skip
        with told(path):
            number = desk.begin(browser, "cloud")
            made = work.fit(path, example, int(maps), int(effort), int(seed or 0), up, shelf.folder(), saying(progress))
            values = [made.preview, str(made.view), [str(f) for f in made.files], [list(row) for row in made.rows]]
            desk.keep(browser, "cloud", number, values)
            return values

    def first(browser: str, path: str | None, example: str, maps: float, effort: float, *rest: Any) -> list[Any]:
        return find(browser, path, example, maps, 0, *rest)  # the quickest fit

    inputs, outputs = [browser, source, example, maps, effort, up, seed], [picture, space, files, table]
    button.click(find, inputs, outputs, show_progress_on=picture, **WORK)
    return opening(desk, "cloud", first, inputs, outputs, on=picture)


def _compress(shelf: Shelf, desk: Desk, browser: Any) -> dict[str, Any]:
    gr.Markdown(
        "Compress a photograph to a quadtree of maps, in a small file that stores no pixels. Zoom in to compare its "
        "decoding with bicubic interpolation of the original."
    )
    with gr.Row():
        with gr.Column(scale=1):
            source = photograph("compress-in")
            bits = gr.Slider(0.1, 3.0, 0.5, step=0.05, label="Bits per pixel", elem_id="compress-bits")
            button = gr.Button("Compress", variant="primary", elem_id="compress-go")
            report = gr.Markdown(elem_id="compress-report")
            file = gr.File(label=".fk file", interactive=False, elem_id="compress-file")
        with gr.Column(scale=3):
            looked = LookedAt("compress", ("Decoded from the .fk file", "Original, bicubic"))

    def pack(browser: str, path: str | None, bits: float) -> list[Any]:
        with told(path):
            number = desk.begin(browser, "compress")
            made = work.compress(path, bits, shelf.folder())
            jpeg = "no JPEG is that small" if made.jpeg is None else f"the best JPEG of that size: {made.jpeg:.2f} dB"
            text = f"**{made.size:,} bytes**, {made.bits:.3f} bits per pixel, {made.psnr:.2f} dB; {jpeg}."
            values = [text, str(made.file), *looked.show(made.look)]
            desk.keep(browser, "compress", number, [path, *values])
            return values

    inputs, outputs = [browser, source, bits], [report, file, *looked.outputs]
    button.click(pack, inputs, outputs, show_progress_on=looked.images, **WORK)
    return opening(desk, "compress", pack, inputs, outputs, on=looked.images, restored=source)


def _flames(shelf: Shelf, desk: Desk, browser: Any) -> dict[str, Any]:
    from fractalkit.render.colours_from import names

    gr.Markdown("Make random flames, click on one, mutate it and render it in high quality. Or upload a `.flame` file.")
    chosen, shown = gr.State(None), gr.State([])
    with gr.Row():
        with gr.Column(scale=3):
            with gr.Row():
                seed = gr.Number(1, label="Next seed", precision=0, minimum=0, maximum=2**40, elem_id="flames-seed")
                palette = gr.Dropdown(["any", *names()], value="any", label="Palette")
                strength = gr.Slider(0.1, 3, 1.0, step=0.1, label="Mutation strength")
            with gr.Row():
                make = gr.Button("Nine random flames", variant="primary", elem_id="flames-go")
                breed = gr.Button("Eight mutants of the selected flame", elem_id="flames-breed")
            sheet = gr.Gallery(
                label="Flames", columns=3, height=600, allow_preview=False, format="png", elem_id="flames-sheet",
                object_fit="cover", interactive=False, buttons=[],
            )  # fmt: skip
            upload = gr.File(
                label=".flame file", type="filepath", elem_id="flames-in", height=110,
                file_types=[".flame", ".flam3", ".xml"],
            )  # fmt: skip
        with gr.Column(scale=3):
            picture = gr.Image(
                label="Selected flame", format="png", interactive=False, elem_id="flames-picture",
                alt_text="The selected flame", buttons=["download", "fullscreen"],
            )  # fmt: skip
            with gr.Row():
                width = gr.Number(1280, label="Width", precision=0, minimum=16, maximum=work.MAX_SIDE)
                height = gr.Number(1280, label="Height", precision=0, minimum=16, maximum=work.MAX_SIDE)
                quality = gr.Number(80, label="Samples per pixel", minimum=1, maximum=work.MAX_QUALITY)
            draw = gr.Button("Render", variant="primary", elem_id="flames-render")
            files = gr.File(label="Picture and flame", interactive=False, file_count="multiple", elem_id="flames-files")

    def show(browser: str, number: int, flames: list[Any], say: Callable[[str, float], None], seed: int) -> list[Any]:
        """The first flame is the one that is chosen; ``seed`` is that of the next flames."""
        pictures = [(p, f"{k + 1}") for k, p in enumerate(work.thumbnails(flames, say))]
        large = work.thumbnails(flames[:1], say, work.CHOSEN)[0]
        sheet = gr.update(value=pictures, selected_index=0)
        values = [flames, sheet, flames[0], large, seed]
        desk.keep(browser, "flames", number, [flames, dict(sheet), *values[2:]])  # Gradio empties what it is given
        return values

    def new(
        browser: str, seed: float, palette: str, progress: gr.Progress = gr.Progress()  # noqa: B008
    ) -> list[Any]:  # fmt: skip
        with told():
            number, say = desk.begin(browser, "flames"), saying(progress)
            return show(browser, number, work.new_flames(9, int(seed or 0), palette, say), say, int(seed or 0) + 1)

    def first(browser: str, seed: float, palette: str) -> list[Any]:
        return [*new(browser, 0, palette)[:-1], gr.skip()]

    def relatives(
        browser: str, parent: Any, seed: float, strength: float, progress: gr.Progress = gr.Progress()  # noqa: B008
    ) -> list[Any]:  # fmt: skip
        with told():
            if parent is None:
                raise FractalKitError("make flames first, and click on one")
            number, say = desk.begin(browser, "flames"), saying(progress)
            made = work.relatives(parent, 8, int(seed or 0), strength, say)
            return show(browser, number, [parent, *made], say, int(seed or 0) + 1)

    def opened(
        browser: str, path: str | None, seed: float, progress: gr.Progress = gr.Progress()  # noqa: B008
    ) -> list[Any]:  # fmt: skip
        if path is None:
            return [gr.skip()] * 5
        with told(path):
            number = desk.begin(browser, "flames")
            return show(browser, number, work.read_flame(path), saying(progress), int(seed or 0))

    def pick(browser: str, flames: list[Any], event: gr.SelectData) -> list[Any]:
        if not flames or event.index >= len(flames):
            return [gr.skip(), gr.skip()]
        with told():
            quiet = lambda word, share: None  # noqa: E731
            chosen = flames[event.index]
            large = work.thumbnails([chosen], quiet, work.CHOSEN)[0]
            before = desk.kept(browser, "flames")
            if before:
                sheet = gr.update(value=before[1]["value"], selected_index=event.index)
                values = [before[0], sheet, chosen, large, before[4]]
                desk.keep(browser, "flames", desk.latest(browser, "flames"), values)
            return [chosen, large]

    def large(
        flame: Any, width: float, height: float, quality: float, seed: float,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:  # fmt: skip
        with told():
            made = work.render(
                flame, int(width or 0), int(height or 0), float(quality or 0), int(seed or 0), shelf.folder(),
                saying(progress),
            )  # fmt: skip
            return [str(made[0]), [str(f) for f in made]]

    inputs, outputs = [browser, seed, palette], [shown, sheet, chosen, picture, seed]
    make.click(new, inputs, outputs, show_progress_on=sheet, **WORK)
    breed.click(relatives, [browser, chosen, seed, strength], outputs, show_progress_on=sheet, **WORK)
    upload.upload(opened, [browser, upload, seed], outputs, show_progress_on=sheet, **WORK)
    sheet.select(pick, [browser, shown], [chosen, picture], **WORK)
    draw.click(large, [chosen, width, height, quality, seed], [picture, files], show_progress_on=picture, **WORK)
    return opening(desk, "flames", first, inputs, outputs, on=sheet)


TABS = {
    "Fractalize": _fractalize,
    "Cloud": _cloud,
    "Compress": _compress,
    "Flames": _flames,
}

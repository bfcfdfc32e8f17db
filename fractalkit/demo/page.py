"""The page: five Gradio tabs over the functions of :mod:`fractalkit.demo.work`."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from fractalkit.demo import work
from fractalkit.demo.shelf import Shelf
from fractalkit.errors import FractalKitError, first_line

UPLOAD = "32mb"
WAITING = 24  # length of the queue; further requests are refused
PRESETS = ("sierpinski-tetrahedron", "barnsley-fern", "heighway-dragon", "fern-3d", "tree-3d", "nautilus")
ZOOM = 3.0  # magnification per click

# heavy work and zooming have separate queues, so that a fit of half a minute does not block a zoom
WORK: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "work"}
LOOK: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "look", "show_progress": "minimal"}

# on some machines browsers offer WebGPU, which then fails and leaves the 3D view black; WebGL suffices for points
HEAD = "<script>delete Navigator.prototype.gpu;</script>"

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
    with gr.Blocks(title="FractalKit", analytics_enabled=False, delete_cache=(1800, 3600)) as page:
        gr.Markdown(
            "# FractalKit\nData as the fixed point of a contractive map. Everything runs on this machine, and no data "
            "leaves it.",
            elem_id="head",
        )
        with gr.Tab("Sample", id="sample"):
            _sample()
        with gr.Tab("Fractalize", id="fractalize"):
            _fractalize(shelf)
        with gr.Tab("Cloud to fractal", id="cloud"):
            _cloud(shelf)
        with gr.Tab("Compress and zoom", id="compress"):
            _compress(shelf)
        with gr.Tab("Flames", id="flames"):
            _flames(shelf)
    page.queue(max_size=WAITING, api_open=False)
    return page


def _photo() -> str:
    """Path of an example picture, from matplotlib."""
    from matplotlib import cbook

    return str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


def _sample() -> None:
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

    def many(seed: int, temperature: float, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
        with told():
            made = work.digits(int(seed or 0), 16, temperature, saying(progress))
            return [made, *looked.show(work.digit(int(seed or 0), temperature))]

    def one(seed: int, temperature: float, event: gr.SelectData) -> list[Any]:
        with told():
            return looked.show(work.digit(int(seed or 0) + event.index, temperature))

    button.click(many, [seed, temperature], [sheet, *looked.outputs], show_progress_on=sheet, **WORK)
    sheet.select(one, [seed, temperature], looked.outputs, show_progress_on=looked.images, **LOOK)


def _fractalize(shelf: Shelf) -> None:
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

    def make(path: str | None, tiles: float, texture: float, blend: float) -> list[Any]:
        with told(path):
            return looked.show(work.fractal(path, int(tiles), texture, blend))

    def keep(look: work.Look | None, side: float) -> Any:
        with told():
            if look is None:
                raise FractalKitError("fractalize a photograph first")
            return gr.File(str(work.save_whole(look, int(side or 0), shelf.folder())), visible=True)

    button.click(make, [source, tiles, texture, blend], looked.outputs, show_progress_on=looked.images, **WORK)
    save.click(keep, [looked.state, side], file, **WORK)


def _cloud(shelf: Shelf) -> None:
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
                camera_position=(55, 72, None),
            )  # fmt: skip
            files = gr.File(label="Code and cloud", interactive=False, file_count="multiple", elem_id="cloud-files")

    def find(
        path: str | None, example: str, maps: float, effort: float, up: str, seed: float,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:  # fmt: skip
        with told(path):
            made = work.fit(path, example, int(maps), int(effort), int(seed or 0), up, shelf.folder(), saying(progress))
            return [made.preview, str(made.view), [str(f) for f in made.files], [list(row) for row in made.rows]]

    button.click(
        find, [source, example, maps, effort, up, seed], [picture, space, files, table], show_progress_on=picture,
        **WORK,
    )  # fmt: skip


def _compress(shelf: Shelf) -> None:
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

    def pack(path: str | None, bits: float) -> list[Any]:
        with told(path):
            made = work.compress(path, bits, shelf.folder())
            jpeg = "no JPEG is that small" if made.jpeg is None else f"the best JPEG of that size: {made.jpeg:.2f} dB"
            text = f"**{made.size:,} bytes**, {made.bits:.3f} bits per pixel, {made.psnr:.2f} dB; {jpeg}."
            return [text, str(made.file), *looked.show(made.look)]

    button.click(pack, [source, bits], [report, file, *looked.outputs], **WORK)


def _flames(shelf: Shelf) -> None:
    from fractalkit.render.colours_from import names

    gr.Markdown("Make random flames, click on one, mutate it and render it in high quality. Or upload a `.flame` file.")
    chosen, shown = gr.State(None), gr.State([])
    with gr.Row():
        with gr.Column(scale=3):
            with gr.Row():
                seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**40, elem_id="flames-seed")
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

    def show(flames: list[Any], say: Callable[[str, float], None]) -> list[Any]:
        pictures = work.thumbnails(flames, say)
        large = work.thumbnails(flames[:1], say, work.CHOSEN)[0]
        return [flames, [(p, f"{k + 1}") for k, p in enumerate(pictures)], flames[0], large]

    def new(seed: float, palette: str, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
        with told():
            say = saying(progress)
            return show(work.new_flames(9, int(seed or 0), palette, say), say)

    def relatives(
        parent: Any, seed: float, strength: float, progress: gr.Progress = gr.Progress()  # noqa: B008
    ) -> list[Any]:  # fmt: skip
        with told():
            if parent is None:
                raise FractalKitError("make flames first, and click on one")
            say = saying(progress)
            return show([parent, *work.relatives(parent, 8, int(seed or 0), strength, say)], say)

    def opened(path: str | None, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
        if path is None:
            return [gr.skip()] * 4
        with told(path):
            return show(work.read_flame(path), saying(progress))

    def pick(flames: list[Any], event: gr.SelectData) -> list[Any]:
        if not flames or event.index >= len(flames):
            return [gr.skip(), gr.skip()]
        with told():
            quiet = lambda word, share: None  # noqa: E731
            return [flames[event.index], work.thumbnails([flames[event.index]], quiet, work.CHOSEN)[0]]

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

    outputs = [shown, sheet, chosen, picture]
    make.click(new, [seed, palette], outputs, show_progress_on=sheet, **WORK)
    breed.click(relatives, [chosen, seed, strength], outputs, show_progress_on=sheet, **WORK)
    upload.upload(opened, upload, outputs, show_progress_on=sheet, **WORK)
    sheet.select(pick, shown, [chosen, picture], **WORK)
    draw.click(large, [chosen, width, height, quality, seed], [picture, files], show_progress_on=picture, **WORK)

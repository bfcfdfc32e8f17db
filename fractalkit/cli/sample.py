"""``fractalkit sample``: pictures of a model, new or reconstructed, of any size, as files, a sheet or an animation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.common import Progress, answer, command_line, pick_device
from fractalkit.cli.completion import models
from fractalkit.cli.options import (
    PATH,
    Real,
    Whole,
    device_option,
    json_option,
    res_option,
    spread_options,
    threads_option,
    window_option,
)
from fractalkit.cli.sample_jobs import draw, read, spread
from fractalkit.errors import UsageError
from fractalkit.raster.png import COMMAND_KEY, SEED_KEY
from fractalkit.raster.view import Region, Size

if TYPE_CHECKING:
    import numpy as np

    from fractalkit.models import Sampler
    from fractalkit.render.pictures import View

MODEL_KEY = "fractalkit:model"
MAX_PIXELS = 1 << 34  # of one file
MAX_FRAME = 1 << 26  # pixels of a frame of an animation
MAX_WALK = 1 << 33  # pixels of all frames
MAX_ITEMS = 100_000
FRAMES = 48
GUIDANCE = 3.0  # with --digit, for plain examples
SHARPNESS = 3.0  # of black and white pixels; the probabilities alone look out of focus when they are large
Temperature = float | dict[int, float]


class TemperatureType(click.ParamType):
    """A number, or numbers by the side of layers: ``1:0.8,7:1``."""

    name = "X|SIDE:X,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Temperature:
        """Parse it."""
        try:
            if ":" not in str(value):
                return self._number(value)
            parts = [part.split(":") for part in str(value).split(",")]
            return {int(side): self._number(number) for side, number in parts}
        except ValueError:
            self.fail(f"{value}: expected a number from 0, or numbers by side such as 1:0.8,7:1", param, ctx)

    @staticmethod
    def _number(text: str) -> float:
        number = float(text)
        if not 0 <= number < float("inf"):
            raise ValueError(text)
        return number


class LabelType(click.ParamType):
    """The number of a class, or ``none``."""

    name = "N|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Parse it."""
        if str(value) == "none":
            return "none"
        if str(value).isascii() and str(value).isdigit():
            return int(value)
        self.fail(f"{value}: expected the number of a class, from 0, or none", param, ctx)


@click.command(
    epilog="""\b
Examples:
  fractalkit sample --model vdvae_mnist --digit 8 --res 1440    vdvae_mnist-0.png
  fractalkit sample --model vdvae_mnist -n 16 --grid            16 digits on one sheet
  fractalkit sample --model vdvae_mnist -n 64 --res 28 -o sheet.png
  fractalkit sample --model vdvae_mnist --res 1440x900 --seed 5 -n 3 -o "nine-{seed}.png"
  fractalkit sample --model vdvae_mnist --res 6000 --window 4000,800,5440,2240
  fractalkit sample --model vdvae_mnist --interpolate 3 8 --frames 60 -o walk.gif
  fractalkit sample --model vdvae_mnist --from digit.png --res 700
  fractalkit sample --model vdvae_mnist --digit 7 -n 16 --grid --res 240
  fractalkit sample --model vdvae_mnist --from digit.png --digit 4       a 4 in the handwriting of digit.png
  fractalkit sample --model vdvae_mnist --res 30000 -o poster.png
  fractalkit sample --model vdvae_mnist -n 64 --res 28 -o "{seed}.png" --cluster tcp://10.0.0.1:8786

A model that knows classes draws each in turn, in shuffled order. Item i of a run has seed SEED + i: item 5 of
"--seed 0 -n 64" is "--seed 5 -n 1", at every size. Pictures carry their seed and command, which fractalkit info shows.
A name that contains {seed} (or {frame}) is a pattern; one name for several pictures is a sheet. With
--jobs or --cluster, existing pictures are not drawn again."""
)
@click.option(
    "--model", metavar="NAME|FILE", shell_complete=models,
    help="A model of the package, a safetensors file, or OWNER/NAME on the hub.",
)  # fmt: skip
@res_option("1440")
@click.option("-n", "count", type=Whole(1, MAX_ITEMS), help="Number of pictures.  [default: 1]")
@click.option(
    "--temperature", type=TemperatureType(), default="1",
    help="Scales sigma of each latent: one number, or by the side of the layer, such as 1:0.8,7:1.",
)  # fmt: skip
@click.option(
    "--digit", "--label", "label", type=LabelType(),
    help="Class to draw, of a model that knows classes; none samples without.  [default: each in turn, shuffled]",
)  # fmt: skip
@click.option(
    "--guidance", type=Real(0, 10),
    help="How typical of its class; 1 samples all kinds.  [default: 1.2; with --digit: 3]",
)  # fmt: skip
@click.option(
    "--layers", type=Whole(0), metavar="N", help="Draw the first N layers of latents, the others at their mean."
)
@click.option("--seed", type=Whole(0, 2**63 - 1 - MAX_ITEMS), default=0, help="Seed of the first picture.")
@click.option(
    "--mean/--binarize", "mean", default=True, show_default="mean",
    help="Probabilities as grey, or each pixel's likelier value: black below 1/2, white from it on.",
)  # fmt: skip
@click.option(
    "--sharpness", type=Real(0, 100, min_open=True),
    help="Hardness of edges, a factor of the logits; 1 draws the probabilities.  [default: 3; colours and greys: 1]",
)  # fmt: skip
@click.option("--invert", is_flag=True, help="Draw dark on light.")
@click.option("--grid", is_flag=True, help="Put all pictures on one sheet.")
@click.option("-o", "--out", type=PATH, help="PNG file, or a pattern.  [default: MODEL-{seed}.png]")
@window_option
@click.option(
    "--detail", type=Real(0, 2), default=0.0,
    help="Self-reference beyond the training resolution: 0 none, 1 the fixed point, 2 the most that contracts.",
)  # fmt: skip
@click.option("--interpolate", type=Whole(0, 2**63 - 1), nargs=2, metavar="A B", help="Walk from seed A to seed B.")
@click.option("--frames", type=Whole(2, 100_000), help="Frames of the walk.  [default: 48]")
@click.option("--fps", type=Real(0.1, 100), help="Frames per second.  [default: 24]")
@click.option("--from", "source", type=PATH, help="Reconstruct this picture, light on dark.")
@device_option("cpu", "cuda", "mps")
@threads_option
@spread_options("pictures")
@json_option
@click.option("--list", "list_", is_flag=True, help="List the models of the package.")
@click.pass_context
def sample(ctx: click.Context, model: str | None, as_json: bool, list_: bool, **options: Any) -> None:
    """Draw pictures from a model, at any size.

    Each sample is the fixed point of a collage, which has every resolution: the same digit at 28 pixels, at 1440, or a
    window of it at a million. The picture shows the probability of each pixel; --sharpness makes its edges
    harder.
    """
    if list_:
        _list(as_json)
        return
    if model is None:
        raise UsageError("give --model: a name (--list shows them) or a safetensors file")
    started = time.perf_counter()
    job = _SampleJob(model, **options)
    job.check()
    progress = Progress()
    result = job.run(ctx, progress)
    result |= {"outputs": [str(p) for p in job.paths()], "seconds": round(time.perf_counter() - started, 3)}
    progress.clear()
    answer(result, as_json, _report(result))


@dataclass
class _SampleJob:
    """The options of one call, and values derived from them."""

    model: str
    res: Size | None
    count: int | None
    temperature: Temperature
    seed: int
    mean: bool
    sharpness: float | None
    label: int | str | None
    guidance: float | None
    layers: int | None
    invert: bool
    grid: bool
    out: Path | None
    window: Region | None
    detail: float
    interpolate: tuple[int, int] | None
    frames: int | None
    fps: float | None
    source: Path | None
    device: str
    threads: int | None
    jobs: int | None
    cluster: str | None
    force: bool

    @property
    def n(self) -> int:
        """Number of pictures."""
        return self.count or 1

    @property
    def spread(self) -> bool:
        """Whether the pictures are shared out over processes."""
        return self.cluster is not None or self.jobs is not None

    @property
    def sheet(self) -> bool:
        """Whether several pictures go into one file."""
        return self.interpolate is None and self.n > 1 and "{seed}" not in self.pattern.name

    @property
    def stem(self) -> str:
        """Name of the model in file names."""
        return Path(self.model).name.removesuffix(".safetensors")

    @property
    def pattern(self) -> Path:
        """The name of the output, {seed} and {frame} not filled in."""
        if self.out is not None:
            return self.out
        if self.interpolate is not None:
            return Path(f"{self.stem}-{self.interpolate[0]}-{self.interpolate[1]}.gif")
        return Path(f"{self.stem}-grid.png" if self.grid else f"{self.stem}-{{seed}}.png")

    def paths(self) -> list[Path]:
        """Output paths."""
        if self.interpolate is not None or "{seed}" not in self.pattern.name:
            return [self.pattern]
        name = self.pattern.name
        return [self.pattern.with_name(name.replace("{seed}", str(self.seed + i))) for i in range(self.n)]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of a picture."""
        return (self.res or Size.parse("1440")).pixels()

    def view(self, side: int | None = None) -> View:
        """The view to draw; ``side`` is the size of a model that draws one size only."""
        from fractalkit.render.pictures import View

        width, height = (side, side) if side else self.size
        window = None if self.window is None else self.window.pixels((width, height))
        return View(height, width, window, binarize=not self.mean, invert=self.invert)

    def check(self) -> None:
        """Refuse contradicting options, outputs that cannot be written, and sizes that no disk can hold."""
        from fractalkit.files import check_writable

        self._check_walk()
        self._check_name()
        check_writable(self.paths()[0])
        if self.spread and (self.sheet or self.interpolate is not None):
            raise UsageError("--cluster and --jobs share out pictures of their own; name them by a pattern with {seed}")
        frames = 0 if self.interpolate is None else self.frames or FRAMES
        window = None if self.window is None else self.window.pixels(self.size)
        _affordable(self.size, window, self.n if self.sheet else 1, frames)

    def _check_walk(self) -> None:
        if self.interpolate is None and (self.frames is not None or self.fps is not None):
            raise UsageError("--frames and --fps belong to --interpolate A B")
        if self.interpolate is not None and (self.count is not None or self.source is not None or self.grid):
            raise UsageError("--interpolate draws one walk; it goes with neither -n, --grid nor --from")
        if self.guidance is not None and self.label == "none":
            raise UsageError("--guidance: is towards a class; it does not go with --digit none")
        if self.label == "none" and self.source is not None:
            raise UsageError("--digit none: is for new samples; leave it out to reconstruct --from")
        if self.layers is not None and (self.interpolate is not None or self.source is not None):
            raise UsageError("--layers is for new samples; it goes with neither --interpolate nor --from")

    def _check_name(self) -> None:
        name = self.pattern
        if self.interpolate is not None:
            if "{frame}" not in name.name and name.suffix.lower() not in (".gif", ".png", ".webp"):
                raise UsageError(
                    f"-o {name}: a walk is a .gif, .png or .webp file, or frames named like walk-{{frame}}.png"
                )
        elif name.suffix.lower() != ".png":
            raise UsageError(f"-o {name}: pictures are PNG; name it {name.stem}.png")
        elif self.grid and "{seed}" in name.name:
            raise UsageError(f"-o {name}: a sheet is one file; leave out {{seed}} or --grid")

    def run(self, ctx: click.Context, progress: Progress) -> dict[str, Any]:
        """Draw and write the pictures, and return facts for the report."""
        import torch

        from fractalkit.models import Sampler, from_pretrained

        before = torch.get_num_threads()
        many = self.threads or before
        ctx.call_on_close(lambda: torch.set_num_threads(before))
        # a layer of 7 x 7 is slower on several threads, a hundredfold on a busy machine; strips are faster
        torch.set_num_threads(1)
        net = from_pretrained(self.model, device=pick_device(self.device), kind=Sampler)
        if not net.any_size and self.res is not None and self.res.pixels() != (net.side, net.side):
            raise UsageError(f"{self.model}: has no collage, so it draws {net.side} x {net.side} only; leave out --res")
        self._check_model(net)
        view = self.view(None if net.any_size else net.side)
        texts = {COMMAND_KEY: command_line(ctx), MODEL_KEY: self.stem}
        result: dict[str, Any] = {
            "model": self.model, "width": view.shape[1], "height": view.shape[0],
            "temperature": self.temperature, "detail": self.detail, "sharpness": self.sharp(net),
            "kind": "mean" if self.mean else "binary",
        }  # fmt: skip
        if self.label is not None:
            result |= {"label": self.label, "guidance": self.how(net)["guidance"]}
        if self.source is not None:
            result["from"] = str(self.source)
        if self.interpolate is not None:
            self._walk(net, self.interpolate, view, texts, many, progress)
            return result | {"interpolate": list(self.interpolate), "frames": self.frames or FRAMES}
        seeds = [self.seed + i for i in range(self.n)]
        result["seeds"] = seeds
        if self.spread:
            return result | {"drawn": self._spread(net, seeds, view, texts)}
        self._pictures(net, seeds, view, texts, many, progress)
        return result

    def _check_model(self, net: Sampler) -> None:
        """Refuse options that are not for this model."""
        if self.guidance is not None and not net.classes:
            raise UsageError(f"--guidance: {self.model} knows no classes")
        if isinstance(self.label, int) and self.label >= net.classes:
            what = f"knows the classes 0 to {net.classes - 1}" if net.classes else "knows no classes"
            raise UsageError(f"--digit {self.label}: {self.model} {what}")
        if not self.mean and not net.light_on_dark:
            raise UsageError(
                f"--binarize: {self.model} draws colours or greys; only black and white pixels have a likelier value"
            )
        if self.detail and not net.any_size:
            raise UsageError(f"--detail: {self.model} has no collage, so it draws one size only")
        from fractalkit.models.noise import temperatures

        temperatures(self.temperature, net.layer_sides, self.layers)

    def sharp(self, net: Sampler) -> float:
        """The sharpness, by default one that suits large pictures of black and white pixels."""
        if self.sharpness is not None:
            return self.sharpness
        return SHARPNESS if net.light_on_dark else 1.0

    def how(self, net: Sampler) -> dict[str, Any]:
        """Options of :func:`fractalkit.models.pictures`."""
        return {
            "temperature": self.temperature, "detail": self.detail, "sharpness": self.sharp(net), "label": self.label,
            "guidance": GUIDANCE if self.guidance is None and self.label is not None else self.guidance,
        }  # fmt: skip

    def _pictures(
        self, net: Sampler, seeds: list[int], view: View, texts: dict[str, str], many: int, progress: Progress
    ) -> None:
        import torch

        from fractalkit.render.pictures import save_pictures, save_sheet

        source = None if self.source is None else str(self.source)
        pictures = draw(net, seeds, source, self.how(net) | {"layers": self.layers})
        if not getattr(pictures[0], "fast", True):
            torch.set_num_threads(many)
        if self.sheet:
            text = texts | {SEED_KEY: f"{seeds[0]}-{seeds[-1]}"}
            save_sheet(pictures, self.pattern, view, text=text, threads=many)
        else:
            each = [texts | {SEED_KEY: str(s)} for s in seeds]
            save_pictures(pictures, self.paths(), view, each, threads=many, progress=progress)

    def _spread(self, net: Sampler, seeds: list[int], view: View, texts: dict[str, str]) -> int:
        if self.source is not None:
            read(self.source, net)  # a bad picture is reported here, once
        return spread(
            self.model, seeds, self.paths(), view, texts, how=self.how(net) | {"layers": self.layers},
            source=self.source, device=self.device, jobs=self.jobs, cluster=self.cluster, force=self.force,
        )  # fmt: skip

    def _walk(
        self, net: Sampler, ends: tuple[int, int], view: View, texts: dict[str, str], many: int, progress: Progress
    ) -> None:
        from fractalkit.models.sampling import walk

        number = self.frames or FRAMES

        def frames() -> Iterator[np.ndarray]:
            steps = walk(net, ends, number, **self.how(net))
            for k, picture in enumerate(steps):
                yield view.pixels(picture, threads=many)
                progress("walk", (k + 1) / number)

        texts = texts | {SEED_KEY: "-".join(map(str, ends))}
        _save_walk(frames(), self.pattern, self.fps or 24.0, number, texts)


def _list(as_json: bool) -> None:
    from fractalkit.models import Sampler, names

    found = names(Sampler)
    answer({"models": found}, as_json, "\n".join(found) or "no models come with this package")


def _affordable(res: tuple[int, int], window: tuple[int, int, int, int] | None, n: int, frames: int) -> None:
    """Refuse sizes that no disk or viewer can hold."""
    width, height = res if window is None else (window[2] - window[0], window[3] - window[1])
    limit = MAX_FRAME if frames else MAX_PIXELS
    if width * height * n > limit:
        size = width * height * n / 2**30
        what = "a frame" if frames else "the picture" if n == 1 else f"a sheet of {n}"
        raise UsageError(
            f"--res {res[0]}x{res[1]}: {what} would have {width * height * n:,} pixels, {size:,.0f} GiB; "
            f"the limit is {limit / 2**30:.3g} GiB; draw a part with --window x0,y0,x1,y1"
        )
    if width * height * frames > MAX_WALK:
        size = width * height * frames / 2**30
        raise UsageError(f"{frames} frames of {width}x{height} are {size:.1f} GiB; take fewer, or a smaller --res")


def _save_walk(drawn: Iterator[np.ndarray], path: Path, fps: float, frames: int, texts: dict[str, str]) -> None:
    from fractalkit.raster.png import save_png
    from fractalkit.render.pictures import save_animation

    if "{frame}" not in path.name:
        save_animation(drawn, path, fps=fps, text=texts)
        return
    digits = len(str(frames - 1))
    for k, pixels in enumerate(drawn):
        save_png(path.with_name(path.name.replace("{frame}", f"{k:0{digits}d}")), pixels, texts)


def _report(result: dict[str, Any]) -> str:
    outputs = result["outputs"]
    if "frames" in result:
        what = f"{result['frames']} frames"
    else:
        n = len(result["seeds"])
        what = "1 picture" if n == 1 else f"{n} pictures"
    names = outputs[0] if len(outputs) == 1 else f"{outputs[0]} … {outputs[-1]}"
    now = f", {result['drawn']} drawn now," if "drawn" in result else ""
    return f"{names}: {what} of {result['width']} x {result['height']}{now} in {result['seconds']:.2f} s"

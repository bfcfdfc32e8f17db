"""``fractalkit render``: a flame, a code or random ones, as a picture."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.common import Progress, answer, command_line, drew, on, pick_engine, warn
from fractalkit.cli.completion import presets
from fractalkit.cli.options import (
    PATH,
    QUALITY,
    SEED,
    Whole,
    device_option,
    json_option,
    res_option,
    source_argument,
    spread_options,
    threads_option,
    variations_option,
)
from fractalkit.errors import UsageError, one_line
from fractalkit.raster.png import COMMAND_KEY, FLAME_KEY, SEED_KEY
from fractalkit.raster.view import Size

if TYPE_CHECKING:
    from fractalkit.render.flame import Exposure


@click.command(
    epilog="""\b
Examples:
  fractalkit render sheep.flame --res 1920x1080 --quality 500
  fractalkit render pack.flame --name comet -o comet.png --bits 16
  fractalkit render barnsley-fern --res 2000 --palette viridis
  fractalkit render scan.ifs.json --res 1600         a collage, or the .fk file of a cloud
  fractalkit render maps.csv                         rows of FractalDB
  fractalkit render sheep.flame --buffer sheep.safetensors --preview look.png
  fractalkit render sheep.safetensors --add-quality 500 -o sheep.png
  fractalkit render sheep.flame pack.flame --all -o pictures   one picture per flame, and a sheet; skips existing ones
  fractalkit render "*.flame" -o "{name}.tiff" --cluster tcp://10.0.0.1:8786
  fractalkit render --random 16 --seed 3 -o sheet.png          and sheet.flame
  fractalkit render sheep.flame --mutate 9 -o relatives.png
  fractalkit render --breed 6 a.flame b.flame -o children.png

A palette is one of those that --palettes lists, a colour map of matplotlib, or a picture."""
)
@source_argument("sources", nargs=-1, metavar="[SOURCE]...", shell_complete=presets)
@click.option("--index", type=Whole(1), help="Number of the flame in a file of several, from 1.")
@click.option("--name", help="Name of the flame in a file of several.")
@click.option("-o", "--out", type=PATH, help="png, jpg, webp; npy or tiff (both float32).  [default: NAME.png]")
@res_option("the flame's own; 1000 for codes", old=True)
@click.option("--quality", type=QUALITY, help="Samples per pixel.  [default: the flame's own; 100 for codes]")
@click.option("--add-quality", type=QUALITY, help="Add samples per pixel to a buffer, given as SOURCE.")
@click.option("--buffer", type=PATH, help="Write the samples to a buffer, .safetensors, that --add-quality continues.")
@click.option("--preview", type=PATH, help="PNG file that is updated while the picture is drawn.")
@click.option("--palette", help="Colours instead of the source's own.")
@click.option("--palettes", is_flag=True, help="List the palettes.")
@click.option("--bits", type=click.Choice(["8", "16"]), default="8", help="Bits per channel of a PNG file.")
@click.option("--transparent", is_flag=True, help="Write an alpha channel instead of the background.")
@click.option("--oversample", type=Whole(1, 16), help="Histogram cells per pixel and axis.  [default: the flame's own]")
@click.option("--random", type=Whole(1, 400), help="Draw a sheet of N random flames.")
@click.option("--mutate", type=Whole(1, 400), help="Draw a sheet of N mutants of the flame.")
@click.option("--breed", metavar="[N]", help="Draw a sheet of N children of two flames.  [default: 9]")
@click.option("--strength", type=float, default=1.0, help="Strength of the mutations.")
@click.option("--seed", type=SEED, default=0, help="Random seed.")
@device_option("cpu", "gpu", "cuda", "mps")
@threads_option
@click.option("--all", "every", is_flag=True, help="Draw every flame of every file, a contact sheet and a report.")
@click.option("--strict", is_flag=True, help="Refuse flames with parts that are mended or cannot be drawn.")
@variations_option
@spread_options("pictures")
@json_option
@click.pass_context
def render(ctx: click.Context, sources: tuple[str, ...], palettes: bool, as_json: bool, **options: Any) -> None:
    """Render a flame or a code as a picture of any size.

    SOURCE is a .flame file, a code (.ifs.json, a collage, the .fk file of a cloud, a picture made by FractalKit, the
    name of a preset), a csv file of FractalDB, or a buffer that --buffer wrote. Several of them, a folder or a pattern
    give one picture each.
    """
    started = time.perf_counter()
    options["breed"], sources = _breed(options["breed"], sources)
    if palettes:
        from fractalkit.render.colours_from import names

        click.echo("\n".join(names()))
        return
    job = _Job(ctx, sources, **options)
    if job.several:
        job.render_several(as_json)
        return
    sheet = any(n is not None for n in (job.random, job.mutate, job.breed))
    result = job.render_sheet() if sheet else job.render_still()
    result["seconds"] = round(time.perf_counter() - started, 3)
    r = result
    quality = "" if r["quality"] is None else f"quality {r['quality']:g}, "
    answer(
        result,
        as_json,
        f"{r['output']}: {r['width']} x {r['height']}, {quality}{r['seconds']:.1f} s{on(r['engine'])}",
    )


@dataclass
class _Job:
    """The options of one call."""

    ctx: click.Context
    sources: tuple[str, ...]
    index: int | None
    name: str | None
    out: Path | None
    res: Size | None
    quality: float | None
    add_quality: float | None
    buffer: Path | None
    preview: Path | None
    palette: str | None
    bits: str
    transparent: bool
    oversample: int | None
    random: int | None
    mutate: int | None
    breed: int | None
    strength: float
    seed: int
    device: str
    threads: int | None
    every: bool
    strict: bool
    jobs: int | None
    cluster: str | None
    force: bool

    @property
    def several(self) -> bool:
        """Whether more than one picture is asked for."""
        many = self.breed is None and _are_many(self.sources)
        return self.every or self.cluster is not None or self.jobs is not None or many

    @property
    def source(self) -> str | None:
        """The only source."""
        return self.sources[0] if self.sources else None

    @cached_property
    def engine(self) -> tuple[str, str]:
        """The device that draws, and its name."""
        return pick_engine(self.device)

    @property
    def _told(self) -> str | None:
        """The device of a command that draws the same, None for the usual one."""
        return None if self.device == "auto" and self.engine[0] == "cpu" else self.engine[0]

    def render_several(self, as_json: bool) -> None:
        """Render one picture per source, in several processes."""
        from fractalkit.cli.batch import report
        from fractalkit.cli.render_many import contact_sheets, line, render_all

        single = {
            "--index": self.index, "--name": self.name, "--add-quality": self.add_quality, "--buffer": self.buffer,
            "--preview": self.preview, "--random": self.random, "--mutate": self.mutate,
            "--breed": self.breed,
        }  # fmt: skip
        for label, value in single.items():
            if value is not None:
                raise UsageError(
                    f"{label}: applies to a single picture, not to several sources, --all, --jobs or --cluster"
                )
        if not self.sources:
            raise UsageError("give a SOURCE: flames, codes, names of presets, a folder or a pattern")
        options = {
            "size": self.res, "quality": self.quality, "palette": self.palette, "bits": int(self.bits),
            "transparent": self.transparent, "oversample": self.oversample, "seed": self.seed, "device": self._told,
            "threads": self.threads or 1, "strict": self.strict,
        }  # fmt: skip
        results, failures = render_all(
            self.sources, self.out, self.every, options, jobs=self.jobs, cluster=self.cluster, force=self.force
        )
        made = contact_sheets(results, self.out) if self.every and len(results) > 1 else {}
        last = "{whole} of {pictures} are drawn whole; see {sheets[0]} and {report}".format_map(made) if made else ""
        report(results, failures, line, as_json, last=last, more=made)

    # ---- one picture

    def render_still(self) -> dict[str, Any]:
        """Render one picture, or continue a buffer."""
        from fractalkit.render.code_picture import spatial_code
        from fractalkit.render.flame import save_flame_picture
        from fractalkit.render.still import develop, texts

        source = self._one_source()
        path = Path(source)
        code = spatial_code(source)
        if code is not None:
            return self._render_code(source, code)
        assert self.engine  # refuses a device that is not there before any work
        exposure, wish, stem = self._buffered(path) if path.suffix == ".safetensors" else self._begun(source)
        buffer = self.buffer or (path if path.suffix == ".safetensors" and wish else None)
        out = self.out or Path(f"{stem}.png")
        self._check_outputs(path, out, buffer)
        self._expose(exposure, wish)
        if not float(exposure.histogram[..., 3].max()) > 0:
            warn(f"{source}: no sample falls into the picture; its orbit escapes, or the camera points elsewhere")
        if buffer is not None:
            exposure.save(buffer)
        picture = develop(exposure, source, transparent=self.transparent, threads=self.threads)
        command = command_line(self.ctx)
        text = texts(exposure.flame, exposure.seed, command)
        save_flame_picture(out, picture, bits=int(self.bits), text=text)
        h, w = picture.shape[:2]
        return {
            "source": source, "output": str(out), "width": w, "height": h, "quality": exposure.quality,
            "seed": exposure.seed, "samples": round(exposure.quality * 4**exposure.flame.zoom * w * h),
            "mean": float(picture[..., :3].mean()), "buffer": None if buffer is None else str(buffer),
            "command": command, "whole": exposure.flame.whole, "notes": exposure.flame.notes(),
            "engine": self.engine[1],
        }  # fmt: skip

    def _render_code(self, source: str, code: Any) -> dict[str, Any]:
        """Render a code that is no flame: a collage of a cloud, or an attractor in space."""
        from fractalkit.render.code_picture import refuse, save_code_picture

        refuse(source, {
            "--index": self.index, "--name": self.name, "--add-quality": self.add_quality, "--buffer": self.buffer,
            "--preview": self.preview, "--oversample": self.oversample, "--transparent": self.transparent,
            "--bits": None if self.bits == "8" else self.bits,
        })  # fmt: skip
        out = self.out or Path(f"{Path(source).name.split('.')[0]}.png")
        self._check_outputs(Path(source), out, None)
        made = save_code_picture(
            source, code, out, size=self.res, quality=self.quality, palette=self.palette, seed=self.seed,
            command=command_line(self.ctx), device=self.engine[0],
        )  # fmt: skip
        made["engine"] = drew(self.device, self.engine[1], made.pop("not_by_device"), _note)
        return made | {"quality": self.quality, "buffer": None, "whole": True, "notes": []}

    def _one_source(self) -> str:
        if self.source is None:
            raise UsageError("give a SOURCE: a flame, a code, a csv of FractalDB or a preset; or --random N")
        return self.source

    def _buffered(self, path: Path) -> tuple[Exposure, float, str]:
        """The exposure of a buffer, the quality to add, and the stem of the output name."""
        from fractalkit.render.flame import Exposure

        if any(v is not None for v in (self.res, self.oversample, self.palette, self.quality)):
            raise UsageError(f"{path}: the size, quality and colours of a buffer are fixed; only --add-quality applies")
        return Exposure.load(path), self.add_quality or 0.0, path.stem

    def _begun(self, source: str) -> tuple[Exposure, float, str]:
        """An empty exposure of a flame or a code, the requested quality, and the stem of the output name."""
        from fractalkit.render.flame import Exposure
        from fractalkit.render.still import prepared

        if self.add_quality is not None:
            raise UsageError(
                "--add-quality: continues a buffer; give the .safetensors file written by --buffer as SOURCE"
            )
        flame = prepared(
            source, self.index, self.name, size=self.res, palette=self.palette, oversample=self.oversample, note=_note,
            strict=self.strict,
        )  # fmt: skip
        named = flame.name and "/" not in flame.name and not Path(source).suffix
        stem = flame.name if named else Path(source).name.split(".")[0]
        return Exposure.empty(flame, self.seed), flame.quality if self.quality is None else self.quality, stem

    def _check_outputs(self, path: Path, out: Path, buffer: Path | None) -> None:
        """Refuse wrong suffixes, outputs that cannot be written, and outputs that are the input."""
        from fractalkit.files import check_writable
        from fractalkit.render.flame import WRITTEN

        if out.suffix.lower() not in WRITTEN:
            raise UsageError(f"--out {out}: expected {', '.join(WRITTEN)}")
        if self.transparent and out.suffix.lower() in (".jpg", ".jpeg"):
            raise UsageError(f"--transparent: JPEG has no transparency; name it {out.stem}.png")
        if self.buffer is not None and self.buffer.suffix != ".safetensors":
            raise UsageError(f"--buffer {self.buffer}: buffers are .safetensors")
        if self.preview is not None and self.preview.suffix.lower() != ".png":
            raise UsageError(f"--preview {self.preview}: pictures are PNG; name it {self.preview.stem}.png")
        for target in (out, buffer, self.preview):
            if target is not None:
                check_writable(target)
                if target.exists() and path.exists() and target.samefile(path) and target is not buffer:
                    raise UsageError(f"{target}: would overwrite the input; give it another name")

    def _expose(self, exposure: Exposure, wish: float) -> None:
        """Add samples, with a progress bar, and update the preview every two seconds."""
        from fractalkit.render.flame import save_flame_picture

        progress = Progress()
        last = time.perf_counter()

        def show(e: Exposure, share: float) -> None:
            nonlocal last
            progress("draw", share)
            if self.preview is not None and (share >= 1 or time.perf_counter() - last > 2):
                save_flame_picture(self.preview, e.develop(transparent=self.transparent, threads=self.threads))
                last = time.perf_counter()

        try:
            if wish:
                exposure.expose(wish, threads=self.threads, device=self.engine[0], callback=show)
        finally:
            progress.clear()

    # ---- sheets

    def render_sheet(self) -> dict[str, Any]:
        """Render a sheet of random flames, of mutants or of children."""
        from fractalkit.codes.flame import write_flames
        from fractalkit.codes.flame_xml import to_xml
        from fractalkit.raster.png import save_png
        from fractalkit.render.flame_sheet import sheet

        if self.random is not None and (self.source is not None or self.mutate is not None):
            raise UsageError("--random: takes neither SOURCE nor --mutate")
        if self.breed is not None and (self.random is not None or self.mutate is not None or len(self.sources) != 2):
            raise UsageError("--breed: takes two flames, as in --breed 6 a.flame b.flame, without --random or --mutate")
        if self.random is None:
            self._one_source()
        assert self.engine  # refuses a device that is not there before any work
        kind = "mutants" if self.breed is None else "children"
        stem = "random" if self.source is None else f"{Path(self.source).name.split('.')[0]}-{kind}"
        out = self.out or Path(f"{stem}.png")
        beside = self._check_sheet(out)
        size = (256, 256) if self.res is None else self.res.pixels()
        progress = Progress()
        try:
            flames = [replace(f, name=f"{out.stem}-{k + 1}") for k, f in enumerate(self._flames(size, progress))]
            q = self.quality or 60.0
            image = sheet(
                flames, quality=q, seed=self.seed, threads=self.threads, progress=progress, device=self.engine[0]
            )
        finally:
            progress.clear()
        command = command_line(self.ctx)
        save_png(out, image, {FLAME_KEY: to_xml(flames), SEED_KEY: str(self.seed), COMMAND_KEY: command})
        write_flames(beside, flames)
        return {
            "source": self.source, "output": str(out), "flames": str(beside), "count": len(flames),
            "width": image.shape[1], "height": image.shape[0], "quality": q, "seed": self.seed, "command": command,
            "engine": self.engine[1],
        }  # fmt: skip

    def _check_sheet(self, out: Path) -> Path:
        """Check that the picture and the .flame file beside it can be written, and return the path of the latter."""
        from fractalkit.files import check_writable

        if out.suffix.lower() != ".png":
            raise UsageError(f"--out {out}: a sheet is a PNG; name it {out.stem}.png")
        beside = out.with_suffix(".flame")
        for target in (out, beside):
            check_writable(target)
        for source in self.sources:
            if beside.exists() and Path(source).exists() and beside.samefile(source):
                raise UsageError(f"{beside}: the new flames would overwrite the input; give --out another name")
        return beside

    def _flames(self, size: tuple[int, int], progress: Progress) -> list[Any]:
        from fractalkit.render.flame_sheet import children, mutants, random_flames

        if self.source is None:
            assert self.random is not None
            return random_flames(self.random, self.palette, size=size, seed=self.seed, progress=progress)
        parents = [self._parent(s, size) for s in self.sources]
        if self.breed is not None:
            return children(parents[0], parents[1], self.breed, seed=self.seed, progress=progress)
        assert self.mutate is not None
        return mutants(parents[0], self.mutate, strength=self.strength, seed=self.seed, progress=progress)

    def _parent(self, source: str, size: tuple[int, int]) -> Any:
        from fractalkit.render.flame import resized
        from fractalkit.render.still import load_flame

        parent = load_flame(
            source, self.index, self.name, size=Size("both", *size), palette=self.palette, note=_note,
            strict=self.strict,
        )  # fmt: skip
        return resized(parent, size)


def _breed(given: str | None, sources: tuple[str, ...]) -> tuple[int | None, tuple[str, ...]]:
    """The number of children, and the sources: what follows --breed may be the first of them.

    Raises:
        UsageError: a number out of range.
    """
    if given is None:
        return None, sources
    try:
        n = int(given)
    except ValueError:
        return 9, (given, *sources)
    if not 1 <= n <= 400:
        raise UsageError(f"--breed {n}: expected 1 to 400 children")
    return n, sources


def _note(sentence: str) -> None:
    click.echo(f"fractalkit: note: {one_line(sentence)}", err=True)


def _are_many(sources: tuple[str, ...]) -> bool:
    """Whether there are several sources, or a folder or pattern."""
    if len(sources) != 1:
        return len(sources) > 1
    path = Path(sources[0])
    return path.is_dir() or (has_magic(sources[0]) and not path.exists())

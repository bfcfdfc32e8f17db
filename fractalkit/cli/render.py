"""``fractalkit render``: a flame, a code or random ones, as a picture."""

from __future__ import annotations

import time
from dataclasses import replace
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.common import CODE_KEY, COMMAND_KEY, SEED_KEY, Progress, command_line, emit, load_code
from fractalkit.cli.completion import presets
from fractalkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from fractalkit.codes.affine import AffineIFS
    from fractalkit.codes.flame import Flame
    from fractalkit.render.flame import Exposure

FLAME_KEY = "fractalkit:flame"
MAX_SIDE = 100_000


class Size(click.ParamType):
    """WIDTHxHEIGHT in pixels."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        parts = str(value).lower().replace("×", "x").split("x")
        if len(parts) == 1:
            parts = parts * 2
        if len(parts) != 2 or not all(p.strip().isdecimal() for p in parts):
            self.fail(f"{value!r} is no size; write 1920x1080, or 512 for a square", param, ctx)
        w, h = (int(p) for p in parts)
        if not (1 <= w <= MAX_SIDE and 1 <= h <= MAX_SIDE):
            self.fail(f"{value!r}: a side has 1 to {MAX_SIDE:,} pixels", param, ctx)
        return w, h


@click.command(
    epilog="""\b
Examples:
  fractalkit render sheep.flame --size 1920x1080 --quality 500
  fractalkit render pack.flame --name comet -o comet.png --bits 16
  fractalkit render barnsley-fern --size 2000 --palette viridis
  fractalkit render maps.csv                         rows of FractalDB
  fractalkit render sheep.flame --buffer sheep.safetensors --preview look.png
  fractalkit render sheep.safetensors --add-quality 500 -o sheep.png
  fractalkit render sheep.flame pack.flame --all -o pictures   a picture of each flame; done ones are skipped
  fractalkit render "*.flame" -o "{name}.tiff" --cluster tcp://10.0.0.1:8786
  fractalkit render --random 16 --seed 3 -o sheet.png          and sheet.flame
  fractalkit render sheep.flame --mutate 9 -o relatives.png

Palettes: --palettes lists ours; any colour map of matplotlib, or a picture, will do as well."""
)
@click.argument("sources", nargs=-1, metavar="[SOURCE]...", shell_complete=presets)
@click.option("--index", type=click.IntRange(1), help="Which flame of a file of several, from 1.")
@click.option("--name", "wanted", help="The flame of that name.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="png, npy or tiff (both float32).  [default: NAME.png]"
)
@click.option("--size", type=Size(), help="Pixels.  [default: the flame's own; 1000x1000 for codes]")
@click.option("--quality", type=float, help="Samples a pixel.  [default: the flame's own; 100 for codes]")
@click.option("--add-quality", type=float, help="Go on with a buffer (SOURCE) by so many samples a pixel.")
@click.option("--buffer", type=click.Path(path_type=Path), help="Keep the samples, to go on with: .safetensors.")
@click.option("--preview", type=click.Path(path_type=Path), help="PNG that is renewed while the picture is drawn.")
@click.option("--palette", help="Colours instead of the source's own.")
@click.option("--palettes", is_flag=True, help="List our palettes.")
@click.option("--bits", type=click.Choice(["8", "16"]), default="8", show_default=True, help="Of a PNG.")
@click.option("--transparent", is_flag=True, help="Alpha in place of the background.")
@click.option("--oversample", type=click.IntRange(1, 16), help="Cells a pixel and axis, instead of the flame's.")
@click.option("--random", "random_", type=click.IntRange(1, 400), metavar="N", help="A sheet of N random flames.")
@click.option("--mutate", type=click.IntRange(1, 400), metavar="N", help="A sheet of N mutants of the flame.")
@click.option("--strength", type=float, default=1.0, show_default=True, help="Of --mutate.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 3), default=0, show_default=True, help="Fixes the picture.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1), help="[default: all; 1 where several are drawn]")
@click.option("--all", "every", is_flag=True, help="Every flame of a file of several.")
@click.option(
    "--jobs", type=click.IntRange(1, 4096), metavar="N", help="Processes, for several.  [default: one a core]"
)
@click.option("--cluster", metavar="ADDRESS", help="Spread several over a Dask cluster.")
@click.option("--force", is_flag=True, help="Of several, draw anew those that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the report.")
@click.pass_context
def render(
    ctx: click.Context,
    sources: tuple[str, ...],
    index: int | None,
    wanted: str | None,
    out: Path | None,
    size: tuple[int, int] | None,
    quality: float | None,
    add_quality: float | None,
    buffer: Path | None,
    preview: Path | None,
    palette: str | None,
    palettes: bool,
    bits: str,
    transparent: bool,
    oversample: int | None,
    random_: int | None,
    mutate: int | None,
    strength: float,
    seed: int,
    device: str,
    threads: int | None,
    every: bool,
    jobs: int | None,
    cluster: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """A flame or a code, as a picture of any size.

    SOURCE is a .flame file, a code (.ifs.json, a picture of ours, the name of a preset), a csv of FractalDB's rows, or
    a buffer that --buffer wrote. Several of them, a folder or a pattern give a picture each.
    """
    started = time.perf_counter()
    if palettes:
        from fractalkit.render.colours_from import names

        click.echo("\n".join(names()))
        return
    for label, value in (("--quality", quality), ("--add-quality", add_quality)):
        if value is not None and not 0 < value <= 1e9:
            raise UsageError(f"{label}: expected a positive number of samples a pixel, got {value:g}")
    source = sources[0] if sources else None
    if every or cluster is not None or jobs is not None or _are_many(sources):
        alone = {
            "--index": index, "--name": wanted, "--add-quality": add_quality, "--buffer": buffer, "--preview": preview,
            "--random": random_, "--mutate": mutate,
        }  # fmt: skip
        options = {
            "size": size, "quality": quality, "palette": palette, "bits": int(bits), "transparent": transparent,
            "oversample": oversample, "seed": seed, "device": None if device == "auto" else device,
            "threads": threads or 1,
        }  # fmt: skip
        _many(sources, out, every, alone, options, jobs, cluster, force, as_json)
        return
    if random_ is not None and (source is not None or mutate is not None):
        raise UsageError("--random: draws flames of its own; give no SOURCE and no --mutate with it")
    if source is None and random_ is None:
        raise UsageError("give a SOURCE: a flame, a code, a csv of FractalDB or the name of a preset; or --random N")
    if buffer is not None and buffer.suffix != ".safetensors":
        raise UsageError(f"--buffer {buffer}: buffers are .safetensors")
    if preview is not None and preview.suffix.lower() != ".png":
        raise UsageError(f"--preview {preview}: pictures are PNG; name it {preview.stem}.png")
    where = None if device == "auto" else device
    if random_ is not None or mutate is not None:
        result = _sheet(
            ctx, source, index, wanted, out, size, quality, palette, random_, mutate, strength, seed, threads
        )
    else:
        assert source is not None
        result = _still(
            ctx, source, index, wanted, out, size, quality, add_quality, buffer, preview, palette, int(bits),
            transparent, oversample, seed, where, threads,
        )  # fmt: skip
    result["seconds"] = round(time.perf_counter() - started, 3)
    if as_json:
        emit(result)
    else:
        click.echo(f"{result['output']}: {result['width']} x {result['height']}, quality {result['quality']:g}, "
                   f"{result['seconds']:.1f} s")  # fmt: skip


def _are_many(sources: tuple[str, ...]) -> bool:
    """Whether there are several, or one that stands for several: a folder or a pattern."""
    if len(sources) != 1:
        return len(sources) > 1
    path = Path(sources[0])
    return path.is_dir() or (has_magic(sources[0]) and not path.exists())


def _many(
    sources: tuple[str, ...], out: Path | None, every: bool, alone: dict[str, Any], options: dict[str, Any],
    jobs: int | None, cluster: str | None, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """A picture of each; ``alone`` are options that this does not go with."""
    from fractalkit.cli.batch import report_failures
    from fractalkit.cli.render_many import render_all, report

    for label, value in alone.items():
        if value is not None:
            raise UsageError(f"{label}: is for a single picture, not for several, --all, --jobs or --cluster")
    if not sources:
        raise UsageError("give a SOURCE: flames, codes, names of presets, a folder or a pattern")
    results, failures = render_all(sources, out, every, options, jobs=jobs, cluster=cluster, force=force)
    if not as_json:
        report(results, failures)
        return
    emit({"files": results, "failed": failures})
    report_failures(failures, len(results) + len(failures))


def _still(
    ctx: click.Context, source: str, index: int | None, wanted: str | None, out: Path | None,
    size: tuple[int, int] | None, quality: float | None, add_quality: float | None, buffer: Path | None,
    preview: Path | None, palette: str | None,
    bits: int, transparent: bool, oversample: int | None, seed: int, device: str | None, threads: int | None,
) -> dict[str, Any]:  # fmt: skip
    from fractalkit.files import check_writable
    from fractalkit.render.flame import Exposure, save_flame_picture

    path = Path(source)
    exposure: Exposure
    if path.suffix == ".safetensors":
        if add_quality is None:
            add_quality = 0.0
        if size is not None or oversample is not None or palette is not None or quality is not None:
            raise UsageError(f"{path}: a buffer has its size, quality and colours; only --add-quality changes it")
        exposure = Exposure.load(path)
        wish = add_quality
        buffer = buffer or (path if add_quality else None)
        stem = path.stem
    else:
        if add_quality is not None:
            raise UsageError(
                "--add-quality: goes on with a buffer; give as SOURCE the .safetensors that --buffer wrote"
            )
        flame = prepared(source, index, wanted, size=size, palette=palette, oversample=oversample)
        wish = quality if quality is not None else flame.quality
        exposure = Exposure.empty(flame, seed)
        stem = flame.name if flame.name and "/" not in flame.name and not path.suffix else path.name.split(".")[0]
    out = out or Path(f"{stem}.png")
    if out.suffix.lower() not in (".png", ".npy", ".tif", ".tiff"):
        raise UsageError(f"--out {out}: expected .png, .npy or .tiff")
    for target in (out, buffer, preview):
        if target is not None:
            check_writable(target)
            if target.exists() and path.exists() and target.samefile(path) and target is not buffer:
                raise UsageError(f"{target}: would overwrite the input; give it another name")
    progress = Progress()
    last = time.perf_counter()

    def show(e: Exposure, share: float) -> None:
        nonlocal last
        progress("draw", share)
        if preview is not None and (share >= 1 or time.perf_counter() - last > 2):
            save_flame_picture(preview, e.develop(transparent=transparent, threads=threads))
            last = time.perf_counter()

    try:
        if wish:
            exposure.expose(wish, threads=threads, device=device, callback=show)
    finally:
        progress.clear()
    if not float(exposure.histogram[..., 3].max()) > 0:
        click.echo(f"fractalkit: warning: {source}: no sample fell into the picture; its orbit escapes, or the camera "
                   "looks elsewhere", err=True)  # fmt: skip
    if buffer is not None:
        exposure.save(buffer)
    picture = develop(exposure, source, transparent=transparent, threads=threads)
    save_flame_picture(out, picture, bits=bits, text=texts(exposure.flame, exposure.seed, command_line(ctx)))
    h, w = picture.shape[:2]
    return {
        "source": source, "output": str(out), "width": w, "height": h, "quality": exposure.quality,
        "seed": exposure.seed, "samples": round(exposure.quality * 4**exposure.flame.zoom * w * h),
        "mean": float(picture[..., :3].mean()), "buffer": None if buffer is None else str(buffer),
        "command": command_line(ctx),
    }  # fmt: skip


def develop(exposure: Exposure, source: str, *, transparent: bool = False, threads: int | None = None) -> Any:
    """The picture of what was drawn; where its numbers overflow, a DataError that names the source."""
    try:
        return exposure.develop(transparent=transparent, threads=threads)
    except DataError as error:
        raise DataError(f"{source}: {error}; its brightness, gamma or weights are out of all proportion") from error


def _sheet(
    ctx: click.Context, source: str | None, index: int | None, wanted: str | None, out: Path | None,
    size: tuple[int, int] | None, quality: float | None, palette: str | None, random_: int | None, mutate: int | None,
    strength: float, seed: int, threads: int | None,
) -> dict[str, Any]:  # fmt: skip
    from fractalkit.codes.flame_xml import to_xml, write_flames
    from fractalkit.files import check_writable
    from fractalkit.render.flame import resized
    from fractalkit.render.flame_sheet import mutants, random_flames, sheet
    from fractalkit.render.png import save_png

    size = size or (256, 256)
    out = out or Path("random.png" if source is None else f"{Path(source).name.split('.')[0]}-mutants.png")
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: a sheet is a PNG; name it {out.stem}.png")
    beside = out.with_suffix(".flame")
    for target in (out, beside):
        check_writable(target)
    if source is not None and beside.exists() and Path(source).exists() and beside.samefile(source):
        raise UsageError(f"{beside}: the mutants would overwrite the input; give --out another name")
    progress = Progress()
    try:
        if source is None:
            assert random_ is not None
            flames = random_flames(random_, palette, size=size, seed=seed, progress=progress)
        else:
            assert mutate is not None
            parent = resized(load_flame(source, index, wanted, size=size, palette=palette), size)
            flames = mutants(parent, mutate, strength=strength, seed=seed, progress=progress)
        flames = [replace(f, name=f"{out.stem}-{k + 1}") for k, f in enumerate(flames)]
        q = quality or 60.0
        image = sheet(flames, quality=q, seed=seed, threads=threads, progress=progress)
    finally:
        progress.clear()
    save_png(out, image, {FLAME_KEY: to_xml(flames), SEED_KEY: str(seed), COMMAND_KEY: command_line(ctx)})
    write_flames(beside, flames)
    return {
        "source": source, "output": str(out), "flames": str(beside), "count": len(flames), "width": image.shape[1],
        "height": image.shape[0], "quality": q, "seed": seed, "command": command_line(ctx),
    }  # fmt: skip


def prepared(
    source: str, index: int | None = None, wanted: str | None = None, *, size: tuple[int, int] | None,
    palette: str | None, oversample: int | None,
) -> Flame:  # fmt: skip
    """The flame that a source holds, as the options want it drawn; errors as :func:`load_flame`."""
    from fractalkit.render.flame import resized

    flame = load_flame(source, index, wanted, size=size, palette=palette)
    if size is not None:
        flame = resized(flame, size)
    return flame if oversample is None else replace(flame, oversample=oversample)


def load_flame(
    source: str, index: int | None = None, wanted: str | None = None, *, size: tuple[int, int] | None = None,
    palette: str | None = None,
) -> Flame:  # fmt: skip
    """The flame that a source holds: one of a .flame file, or an affine code as a flame.

    Raises:
        DataError: the file cannot be used, or holds no such flame.
        UsageError: several flames, and none chosen.
    """
    import numpy as np

    path = Path(source)
    table = None
    if palette is not None:
        from fractalkit.render.colours_from import colour_table

        table = colour_table(palette)
    if path.suffix.lower() in (".flame", ".flam3", ".xml"):
        from fractalkit.codes.flame_xml import read_flames

        flame = choose(read_flames(path), path, index, wanted)
        if table is not None:
            flame = replace(flame, palette=np.concatenate([table, np.ones((256, 1))], axis=1), hue=0.0)
        return flame
    if index is not None or wanted is not None:
        raise UsageError(f"{source}: --index and --name choose among the flames of a file; this is none")
    if path.suffix.lower() == ".png" and path.is_file():
        from fractalkit.codes.flame_xml import read_flames
        from fractalkit.render.png import read_png_text

        text = read_png_text(path)
        if FLAME_KEY in text and CODE_KEY not in text:
            return choose(read_flames(text[FLAME_KEY].encode(), str(path)), path, index, wanted)
    ifs = load_affine(source)
    if ifs.dim != 2:
        raise UsageError(f"{source}: a code in space; fractalkit ifs draws it")
    from fractalkit.codes.flame_random import flame_of
    from fractalkit.render.attractor import plane_window

    w, h = size or (1000, 1000)
    low, high = plane_window(ifs, (h, w))
    return replace(flame_of(ifs, size=(w, h), low=low, high=high, palette=table), oversample=2)


def choose(flames: list[Flame], path: Path, index: int | None, wanted: str | None) -> Flame:
    """The one that was asked for, or the only one."""
    if wanted is not None:
        named = [f for f in flames if f.name == wanted]
        if not named:
            some = ", ".join(f.name or "(no name)" for f in flames[:8])
            raise UsageError(f"{path}: --name: no flame {wanted!r} among {some}{' ...' if len(flames) > 8 else ''}")
        return named[0]
    if index is not None:
        if index > len(flames):
            raise UsageError(f"{path}: --index {index}: there are {len(flames)} flames")
        return flames[index - 1]
    if len(flames) > 1:
        click.echo(f"fractalkit: note: {path} holds {len(flames)} flames; this is the first, --index or --name choose",
                   err=True)  # fmt: skip
    return flames[0]


def load_affine(source: str) -> AffineIFS:
    """A code from a file, from rows of FractalDB, or a preset."""
    path = Path(source)
    if path.suffix.lower() == ".csv":
        from fractalkit.codes.affine import AffineIFS
        from fractalkit.data.fractaldb import read_rows

        a, t, p = read_rows(path)
        try:
            return AffineIFS(a, t, p, name=path.stem).check_contractive()
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
    if path.suffix or path.name != source or path.exists():
        return load_code(path)
    from fractalkit.codes.presets import preset

    return preset(source)


def texts(flame: Flame, seed: int, command: str) -> dict[str, str]:
    """What the picture says of itself: its flame, its seed, the command."""
    from fractalkit.codes.flame_xml import to_xml

    return {FLAME_KEY: to_xml([flame]), SEED_KEY: str(seed), COMMAND_KEY: command}

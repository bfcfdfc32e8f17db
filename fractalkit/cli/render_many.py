"""Stills of many flames and codes, over processes or over the machines of a Dask cluster."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fractalkit.cli.batch import Item, is_made, report_failures, run, sources
from fractalkit.cli.common import COMMAND_KEY, SEED_KEY
from fractalkit.errors import UsageError

SUFFIXES = (".flame", ".flam3", ".ifs.json", ".csv")  # of what is looked for in folders
PICTURES = (".png", ".tif", ".tiff", ".npy")


def render_all(
    given: Sequence[str],
    out: Path | None,
    every: bool,
    options: dict[str, Any],
    *,
    jobs: int | None,
    cluster: str | None,
    force: bool,
) -> tuple[list[Item], list[str]]:
    """Draw each source, or every flame of each; results in order, and a sentence for each that failed.

    A picture carries the command that draws it alone, and is its picture to the last bit.

    Args:
        given: files, folders, patterns and names of presets.
        out: a folder, or a file whose name holds {name}; None is the current folder.
        options: size, quality, palette, bits, transparent, oversample, seed, device, threads.
        force: those too that are there.

    Raises:
        UsageError: names that do not fit together. DataError: a file that cannot be read.
    """
    wanted = [w for text in given for w in _pictures(text, every)]
    items: list[Item] = []
    seen: dict[Path, str] = {}
    for source, index, name in wanted:
        target = _target(out, name)
        if target in seen:
            raise UsageError(f"{seen[target]} and {source} would both become {target}; rename one, or use two folders")
        if target.exists() and Path(source).exists() and target.samefile(source):
            raise UsageError(f"{target}: would overwrite the input; give --out another name")
        seen[target] = source
        item = {"source": source, "target": str(target), "index": index, "options": options}
        items.append(item | {"command": _command(item)})
    return run(render_one, items, jobs=jobs, cluster=cluster, force=force, bar="draw", done=is_drawn)


def render_one(item: Item) -> Item:
    """One picture; importable, so that other processes can draw it."""
    from fractalkit.cli.render import develop, prepared, texts
    from fractalkit.render.flame import Exposure, save_flame_picture

    began = time.perf_counter()
    o = item["options"]
    flame = prepared(item["source"], item["index"], size=o["size"], palette=o["palette"], oversample=o["oversample"])
    exposure = Exposure.empty(flame, o["seed"])
    exposure.expose(flame.quality if o["quality"] is None else o["quality"], threads=o["threads"], device=o["device"])
    picture = develop(exposure, item["source"], transparent=o["transparent"], threads=o["threads"])
    text = texts(exposure.flame, exposure.seed, item["command"])
    save_flame_picture(item["target"], picture, bits=o["bits"], text=text)
    h, w = picture.shape[:2]
    return {
        "source": item["source"], "target": item["target"], "width": w, "height": h, "quality": exposure.quality,
        "empty": not float(exposure.histogram[..., 3].max()) > 0, "seed": o["seed"],
        "seconds": round(time.perf_counter() - began, 3),
    }  # fmt: skip


def is_drawn(item: Item) -> bool:
    """Whether a picture is there, drawn by the same command, and no younger file is its source."""
    target = Path(item["target"])
    if target.suffix.lower() != ".png":  # the others carry no text, or none that is read back
        return target.is_file()
    texts = {COMMAND_KEY: item["command"], SEED_KEY: str(item["options"]["seed"])}
    return is_made(target, texts, [item["source"]], {})


def report(results: list[Item], failures: list[str]) -> None:
    """A line for each picture, and what failed on standard error."""
    for r in results:
        if r.get("skipped"):
            click.echo(f"{r['target']}: there already, skipped (--force draws it anew)")
            continue
        click.echo(f"{r['target']}: {r['width']} x {r['height']}, quality {r['quality']:g}, {r['seconds']:.1f} s")
        if r["empty"]:
            click.echo(f"fractalkit: warning: {r['source']}: no sample fell into the picture", err=True)
    report_failures(failures, len(results) + len(failures))


def _pictures(text: str, every: bool) -> list[tuple[str, int | None, str]]:
    """(source, number of the flame in it or None, name without a suffix) of all that a word of the command means."""
    from fractalkit.codes.flame_xml import read_flames
    from fractalkit.codes.presets import PRESETS

    if text in PRESETS and not Path(text).exists():
        return [(text, None, text)]
    out: list[tuple[str, int | None, str]] = []
    for path, name in sources([text], SUFFIXES):
        plain = str(name.with_name(name.name.split(".")[0]))
        count = len(read_flames(path)) if every and path.suffix.lower() in (".flame", ".flam3", ".xml") else 1
        if count == 1:
            out.append((str(path), None, plain))
        else:
            digits = len(str(count))
            out += [(str(path), k, f"{plain}-{k:0{digits}d}") for k in range(1, count + 1)]
    return out


def _target(out: Path | None, name: str) -> Path:
    if out is None:
        return Path(f"{name}.png")
    if "{name}" in out.name:
        if out.suffix.lower() not in PICTURES:
            raise UsageError(f"--out {out}: expected .png, .npy or .tiff")
        return out.with_name(out.name.replace("{name}", "{}").format(Path(name).name))
    if out.suffix and not out.is_dir():
        raise UsageError(f"--out {out}: is one file for several pictures; give a folder, or a name that holds {{name}}")
    return out / f"{name}.png"


def _command(item: Item) -> str:
    """The command that draws this picture alone."""
    o = item["options"]
    words = ["fractalkit", "render", item["source"], "-o", item["target"], "--seed", str(o["seed"])]
    words += ["--threads", str(o["threads"])]
    if item["index"] is not None:
        words += ["--index", str(item["index"])]
    if o["size"] is not None:
        words += ["--size", "{}x{}".format(*o["size"])]
    for name in ("quality", "palette", "oversample", "device"):
        value = o[name]
        if value is not None:
            words += [f"--{name}", str(int(value) if isinstance(value, float) and value.is_integer() else value)]
    if o["bits"] != 8:
        words += ["--bits", str(o["bits"])]
    if o["transparent"]:
        words.append("--transparent")
    return shlex.join(words)

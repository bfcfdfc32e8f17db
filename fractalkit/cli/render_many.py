"""Stills of many flames and codes, in several processes or on a Dask cluster."""

from __future__ import annotations

import json
import shlex
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fractalkit.cli.batch import Item, is_made, run, sources
from fractalkit.cli.common import drew, on, pick_engine
from fractalkit.errors import DataError, FileWarning, UsageError, one_line
from fractalkit.files import atomic_path
from fractalkit.raster.png import COMMAND_KEY, SEED_KEY

SUFFIXES = (".flame", ".flam3", ".ifs.json", ".csv")  # files searched for in folders
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".npy")


def render_all(
    given: Sequence[str], out: Path | None, every: bool, options: dict[str, Any], *, jobs: int | None,
    cluster: str | None, force: bool,
) -> tuple[list[Item], list[str]]:  # fmt: skip
    """Draw each source, or every flame of each; return the results in order and the errors, one sentence each.

    The command stored in a picture draws it alone, bit for bit the same.

    Args:
        given: files, folders, patterns and names of presets.
        out: a folder, or a file name that contains {name}; None is the current folder.
        options: size, quality, palette, bits, transparent, oversample, seed, device, threads, strict.
        force: draw existing pictures too.

    Raises:
        UsageError: outputs that coincide or are an input.
        DataError: a file cannot be read.
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
    """Draw one picture; at the top level of the module, so that other processes can call it."""
    from fractalkit.render.code_picture import save_code_picture, spatial_code
    from fractalkit.render.flame import Exposure, save_flame_picture
    from fractalkit.render.still import develop, prepared, texts

    began = time.perf_counter()
    o = item["options"]
    engine = pick_engine(o["device"] or "cpu")
    code = spatial_code(item["source"])
    if code is not None:
        made = save_code_picture(
            item["source"], code, Path(item["target"]), size=o["size"], quality=o["quality"], palette=o["palette"],
            seed=o["seed"], command=item["command"], device=engine[0],
        )  # fmt: skip
        notes: list[str] = []
        made["engine"] = drew(engine[0], engine[1], made.pop("not_by_device"), notes.append)
        return made | {"target": item["target"], "quality": o["quality"], "empty": False, "whole": True, "notes": [],
                       "seconds": round(time.perf_counter() - began, 3), "warnings": notes}  # fmt: skip
    flame = prepared(
        item["source"], item["index"], size=o["size"], palette=o["palette"], oversample=o["oversample"],
        note=lambda sentence: None, strict=o["strict"],
    )  # fmt: skip
    exposure = Exposure.empty(flame, o["seed"])
    exposure.expose(flame.quality if o["quality"] is None else o["quality"], threads=o["threads"], device=engine[0])
    picture = develop(exposure, item["source"], transparent=o["transparent"], threads=o["threads"])
    text = texts(exposure.flame, exposure.seed, item["command"])
    save_flame_picture(item["target"], picture, bits=o["bits"], text=text)
    h, w = picture.shape[:2]
    empty = not float(exposure.histogram[..., 3].max()) > 0
    remarks = (["no sample falls into the picture"] if empty else []) + flame.notes()
    return {
        "source": item["source"], "target": item["target"], "width": w, "height": h, "quality": exposure.quality,
        "empty": empty, "seed": o["seed"], "seconds": round(time.perf_counter() - began, 3),
        "whole": flame.whole, "notes": flame.notes(), "warnings": [one_line(f"{item['source']}: {w}") for w in remarks],
        "engine": engine[1],
    }  # fmt: skip


def is_drawn(item: Item) -> bool:
    """Whether the picture exists, drawn by the same command and not older than its source."""
    target = Path(item["target"])
    if target.suffix.lower() != ".png":  # other formats have no text that could be read back
        return target.is_file()
    texts = {COMMAND_KEY: item["command"], SEED_KEY: str(item["options"]["seed"])}
    return is_made(target, texts, [item["source"]], {})


def line(r: Item) -> str:
    """The report of one picture."""
    quality = "" if r["quality"] is None else f"quality {r['quality']:g}, "
    return f"{r['target']}: {r['width']} x {r['height']}, {quality}{r['seconds']:.1f} s{on(r['engine'])}"


def contact_sheets(results: list[Item], out: Path | None) -> dict[str, Any]:
    """Write contact sheets of the pictures and a report beside them; the paths, and how many are drawn whole.

    Pictures that were drawn before tell by their own text what is not drawn of them.
    """
    from fractalkit.raster.png import save_png
    from fractalkit.render.contact_sheet import MOST, Entry, contact_sheet

    folder = Path() if out is None else out.parent if "{name}" in out.name else out
    for r in results:
        if "whole" not in r:
            r |= _facts(Path(r["target"]))
    entries = [
        Entry(p if (p := Path(r["target"])).suffix.lower() == ".png" else None, p.stem, r["whole"]) for r in results
    ]
    sheets = []
    for k in range(0, len(entries), MOST):
        name = "contact-sheet.png" if len(entries) <= MOST else f"contact-sheet-{k // MOST + 1}.png"
        save_png(folder / name, contact_sheet(entries[k : k + MOST]), {})
        sheets.append(str(folder / name))
    whole = sum(r["whole"] for r in results)
    made = {"sheets": sheets, "report": str(folder / "report.json"), "whole": whole, "pictures": len(results)}
    facts = [{key: r[key] for key in ("source", "target", "whole", "notes")} for r in results]
    with atomic_path(folder / "report.json") as temporary:
        temporary.write_text(json.dumps(made | {"files": facts}, indent=1) + "\n", encoding="utf-8")
    return made


def _facts(target: Path) -> dict[str, Any]:
    """What the flame in an existing picture says: whether it is drawn whole, and what is left out."""
    from fractalkit.codes.flame import read_flames
    from fractalkit.raster.png import FLAME_KEY, read_png_text

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FileWarning)
        try:
            flame = read_flames(read_png_text(target)[FLAME_KEY].encode(), str(target))[0]
        except (DataError, KeyError, OSError):
            return {"whole": True, "notes": []}
    return {"whole": flame.whole, "notes": flame.notes()}


def _pictures(text: str, every: bool) -> list[tuple[str, int | None, str]]:
    """(source, number of the flame in it or None, name without suffix) of all pictures of one argument."""
    from fractalkit.codes.presets import PRESETS

    if text in PRESETS and not Path(text).exists():
        return [(text, None, text)]
    out: list[tuple[str, int | None, str]] = []
    for path, name in sources([text], SUFFIXES):
        plain = str(name.with_name(name.name.split(".")[0]))
        count = _count(path) if every and path.suffix.lower() in (".flame", ".flam3", ".xml") else 1
        if count == 1:
            out.append((str(path), None, plain))
        else:
            digits = len(str(count))
            out += [(str(path), k, f"{plain}-{k:0{digits}d}") for k in range(1, count + 1)]
    return out


def _count(path: Path) -> int:
    """The number of flames of a file; 1 where it cannot be read, which is reported when its turn comes."""
    from fractalkit.codes.flame import read_flames

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FileWarning)
        try:
            return len(read_flames(path))
        except DataError:
            return 1


def _target(out: Path | None, name: str) -> Path:
    if out is None:
        return Path(f"{name}.png")
    if "{name}" in out.name:
        if out.suffix.lower() not in PICTURES:
            raise UsageError(f"--out {out}: expected {', '.join(PICTURES)}")
        return out.with_name(out.name.replace("{name}", "{}").format(Path(name).name))
    if out.suffix and not out.is_dir():
        raise UsageError(
            f"--out {out}: is a single file for several pictures; give a folder, or a name that contains {{name}}"
        )
    return out / f"{name}.png"


def _command(item: Item) -> str:
    """The command that draws this picture alone."""
    o = item["options"]
    words = ["fractalkit", "render", item["source"], "-o", item["target"], "--seed", str(o["seed"])]
    words += ["--threads", str(o["threads"])]
    if item["index"] is not None:
        words += ["--index", str(item["index"])]
    if o["size"] is not None:
        words += ["--res", str(o["size"])]
    for name in ("quality", "palette", "oversample", "device"):
        value = o[name]
        if value is not None:
            words += [f"--{name}", str(int(value) if isinstance(value, float) and value.is_integer() else value)]
    if o["bits"] != 8:
        words += ["--bits", str(o["bits"])]
    words += [f"--{name}" for name in ("transparent", "strict") if o[name]]
    return shlex.join(words)

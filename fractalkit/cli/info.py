"""``fractalkit info``: describe a file."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import click

from fractalkit.cli.common import answer
from fractalkit.cli.options import PATH, json_option, source_argument, variations_option
from fractalkit.raster.png import COMMAND_KEY, SEED_KEY


@click.command(
    epilog="""\b
Examples:
  fractalkit info bunny.ifs.json
  fractalkit info bunny.ifs.png --json
  fractalkit info photo.fk
  fractalkit info pack.flame
  fractalkit info runs/a/best.safetensors
  fractalkit info scan.ply"""
)
@source_argument("file", type=PATH)
@variations_option
@json_option
def info(file: Path, as_json: bool) -> None:
    """Describe FILE: a code (.ifs.json, .flame), a picture (.png, .fk), a model or collage (.safetensors), a cloud."""
    result = describe(file)
    answer(result, as_json, "\n".join(_lines(result)))


def describe(path: Path) -> dict[str, Any]:
    """Facts about a file: those of its codes, a picture, tensors or a cloud; the kind decides.

    Raises:
        DataError: the file is missing, damaged or of no known kind.
    """
    from fractalkit.codes.open import kind_of, load_all
    from fractalkit.data.pictures import SUFFIXES

    if path.suffix.lower() in SUFFIXES:
        return describe_picture(path)
    kind = kind_of(path)
    if kind is None:
        return describe_tensors(path) if path.suffix.lower() == ".safetensors" else describe_cloud(path)
    result: dict[str, Any] = {"file": str(path), "kind": kind.name}
    if kind.name == "compressed picture":
        result |= describe_header(path)
        if result["codec"] == "cloud":
            result["kind"] = "compressed cloud"
    if kind.name == "model":
        result["bytes"] = path.stat().st_size
    with warnings.catch_warnings():  # what a reader warns of is in the summaries
        warnings.simplefilter("ignore")
        codes = load_all(path)
    return result | _summaries(kind.name, codes)


def _summaries(name: str, codes: list[Any]) -> dict[str, Any]:
    """The summary of one code, or a list of them by the plural of their name."""
    if len(codes) == 1:
        return dict(codes[0].summary())
    return {"count": len(codes), f"{name}s": [code.summary() for code in codes]}


def describe_picture(path: Path) -> dict[str, Any]:
    """Size of a picture, and the codes, the seed and the command in the text of a PNG."""
    from fractalkit.codes.open import PICTURE, kind_of, load_all
    from fractalkit.files import checked_picture
    from fractalkit.raster.png import read_png_text

    texts = read_png_text(path) if path.suffix.lower() == PICTURE else {}
    with checked_picture(path, max_pixels=1 << 62) as image:
        width, height = image.size
    result: dict[str, Any] = {"file": str(path), "kind": "picture", "width": width, "height": height}
    for key in (SEED_KEY, COMMAND_KEY):
        if key in texts:
            result[key.partition(":")[2]] = texts.pop(key)
    kind = kind_of(path)
    if kind is not None:
        del texts[kind.text]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result[kind.name] = _summaries(kind.name, load_all(path))
    others = {k: v[:200] for k, v in texts.items()}
    return result | ({"text": others} if others else {})


def describe_header(path: Path) -> dict[str, Any]:
    """Codec, size, bits per pixel and metadata of a compressed picture; codec and bytes of a compressed cloud."""
    from fractalkit.codec.container import read_header

    with path.open("rb") as f:
        header = read_header(f, str(path))
    size = path.stat().st_size
    if header.codec == "cloud":
        return {"codec": header.codec, "bytes": size}
    return {
        "codec": header.codec, "width": header.width, "height": header.height, "channels": header.channels,
        "depth": header.depth, "bytes": size, "bits_per_pixel": 8 * size / (header.width * header.height),
        "metadata": {k: f"{len(v)} bytes" for k, v in header.metadata.items()},
    }  # fmt: skip


def describe_tensors(path: Path) -> dict[str, Any]:
    """Number and size of the tensors of a safetensors file that holds no code, such as a training checkpoint."""
    from fractalkit.tensors import read_tensors

    about, tensors = read_tensors(path)
    return {
        "file": str(path), "kind": about.get("format", "safetensors"), "tensors": len(tensors),
        "numbers": sum(t.numel() for t in tensors.values()), "metadata": {k: v[:200] for k, v in about.items()},
    }  # fmt: skip


def describe_cloud(path: Path) -> dict[str, Any]:
    """Points, bounds, colours, normals, triangles and comments."""
    from fractalkit.data import load_cloud

    cloud = load_cloud(path, mesh_samples=0)
    low, high = cloud.points.min(axis=0), cloud.points.max(axis=0)
    return {
        "file": str(path), "kind": "mesh" if cloud.triangles else "cloud", "format": cloud.kind, "points": len(cloud),
        "dimension": cloud.dim, "triangles": cloud.triangles, "colours": cloud.colours is not None,
        "normals": cloud.normals is not None, "low": low.tolist(), "high": high.tolist(), "comments": cloud.comments,
        "warnings": cloud.warnings,
    }  # fmt: skip


def _lines(result: dict[str, Any], indent: str = "") -> list[str]:
    out = []
    for key, value in result.items():
        label = key.replace("_", " ")
        if isinstance(value, list) and value and isinstance(value[0], dict):
            out += _lines({f"{label.removesuffix('s')} {i + 1}": part for i, part in enumerate(value)}, indent)
        elif isinstance(value, dict) and value:
            out.append(f"{indent}{label}")
            out += _lines(value, indent + "  ")
        elif value in ("", [], {}):
            continue
        else:
            out.append(f"{indent}{label:22s} {_show(value)}")
    return out


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(v if isinstance(v, str) else _show(v) for v in value)
    return value if isinstance(value, str) else json.dumps(value)

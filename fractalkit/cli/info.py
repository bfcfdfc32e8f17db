"""``fractalkit info``: what a file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.common import CODE_KEY, COMMAND_KEY, SEED_KEY, emit, load_code
from fractalkit.errors import DataError

if TYPE_CHECKING:
    from fractalkit.codes.affine import AffineIFS


@click.command(
    epilog="""\b
Examples:
  fractalkit info bunny.ifs.json
  fractalkit info bunny.ifs.png --json
  fractalkit info photo.fk
  fractalkit info runs/a/best.safetensors
  fractalkit info scan.ply"""
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(file: Path, as_json: bool) -> None:
    """Describe FILE: a code (.ifs.json), a picture (.png, .fk), weights or a collage (.safetensors), a cloud."""
    suffix = file.suffix.lower()
    if not file.exists():
        raise DataError(f"{file}: there is no such file; check the name")
    if suffix == ".json":
        result = {"file": str(file), "kind": "code", **describe_code(load_code(file))}
    elif suffix == ".png":
        result = describe_picture(file)
    elif suffix == ".fk":
        result = describe_fk(file)
    elif suffix == ".safetensors":
        result = {"file": str(file), **describe_tensors(file)}
    else:
        result = describe_cloud(file)
    if as_json:
        emit(result)
    else:
        click.echo("\n".join(_lines(result)))


def describe_code(ifs: AffineIFS) -> dict[str, Any]:
    """Maps, norms, dimensions and a ball that holds the attractor."""
    from fractalkit.codes.bounds import bounding_ball
    from fractalkit.codes.dimension import affinity_dimension, similarity_dimension

    centre, radius = bounding_ball(ifs)
    return {
        "name": ifs.name,
        "maps": len(ifs),
        "dimension": ifs.dim,
        "coloured": ifs.colours is not None,
        "norms": ifs.norms().tolist(),
        "weights": ifs.probabilities.tolist(),
        "similarity_dimension": similarity_dimension(ifs),
        "affinity_dimension": affinity_dimension(ifs),
        "bounding_ball": {"centre": centre.tolist(), "radius": float(radius)},
        "provenance": ifs.provenance,
    }


def describe_picture(path: Path) -> dict[str, Any]:
    """Size of a PNG, and the code, seed and command in its text."""
    from PIL import Image

    from fractalkit.render.png import read_png_text

    texts = read_png_text(path)
    try:
        with Image.open(path, formats=["PNG"]) as image:
            width, height = image.size
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: is no picture that can be read ({error})") from error
    result: dict[str, Any] = {"file": str(path), "kind": "picture", "width": width, "height": height}
    if SEED_KEY in texts:
        result["seed"] = texts[SEED_KEY]
    if COMMAND_KEY in texts:
        result["command"] = texts[COMMAND_KEY]
    if CODE_KEY in texts:
        result["code"] = describe_code(load_code(path))
    others = {k: v[:200] for k, v in texts.items() if k not in (CODE_KEY, SEED_KEY, COMMAND_KEY)}
    return result | ({"text": others} if others else {})


def describe_fk(path: Path) -> dict[str, Any]:
    """Codec, size, bits by part, leaves by size and kind, and the proof that the map contracts."""
    from fractalkit import fk
    from fractalkit.codec.container import read_header

    with path.open("rb") as f:
        header = read_header(f, str(path))
    size = path.stat().st_size
    result: dict[str, Any] = {
        "file": str(path), "kind": "compressed picture", "codec": header.codec, "width": header.width,
        "height": header.height, "channels": header.channels, "depth": header.depth, "bytes": size,
        "bits_per_pixel": 8 * size / (header.width * header.height),
        "metadata": {k: f"{len(v)} bytes" for k, v in header.metadata.items()},
    }  # fmt: skip
    return result | fk.load(path).summary()


def describe_tensors(path: Path) -> dict[str, Any]:
    """A model's architecture, size and provenance; a collage code's shape; a training checkpoint's step."""
    from fractalkit.codes.collage import FORMAT as COLLAGE
    from fractalkit.codes.collage import CollageCode
    from fractalkit.models.hub import FORMAT, from_pretrained, read_file

    about, tensors = read_file(path)
    numbers = sum(t.numel() for t in tensors.values())
    if about.get("format") == FORMAT:
        model = from_pretrained(path)
        known = {"architecture": about.get("architecture", ""), "parameters": numbers, "config": model.config.to_dict()}
        return {"kind": "model", "bytes": path.stat().st_size, **known, "about": getattr(model, "about", {})}
    if about.get("format") == COLLAGE:
        code = CollageCode.load(path)
        height, width = code.grid
        return {
            "kind": "collage code",
            "pictures": code.batch,
            "channels": code.channels,
            "grid": f"{height} x {width}",
            "domains": len(code.domains),
            "patches": len(code.patches),
            "continuous": code.continuous,
            "lipschitz": code.lipschitz().tolist()[:16],
            "numbers": numbers,
        }
    kind = about.get("format", "safetensors")
    return {
        "kind": str(kind),
        "tensors": len(tensors),
        "numbers": numbers,
        "metadata": {k: v[:200] for k, v in about.items()},
    }


def describe_cloud(path: Path) -> dict[str, Any]:
    """Points, bounds, colours, normals, triangles and comments."""
    from fractalkit.data import load_cloud

    cloud = load_cloud(path, mesh_samples=0)
    low, high = cloud.points.min(axis=0), cloud.points.max(axis=0)
    return {
        "file": str(path),
        "kind": "mesh" if cloud.triangles else "cloud",
        "format": cloud.kind,
        "points": len(cloud),
        "dimension": cloud.dim,
        "triangles": cloud.triangles,
        "colours": cloud.colours is not None,
        "normals": cloud.normals is not None,
        "low": low.tolist(),
        "high": high.tolist(),
        "comments": cloud.comments,
        "warnings": cloud.warnings,
    }


def _lines(result: dict[str, Any], indent: str = "") -> list[str]:
    out = []
    for key, value in result.items():
        label = key.replace("_", " ")
        if isinstance(value, dict) and value:
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

"""Compare flames of JWildfire with the small pictures that lie beside them (``a.flame`` and ``a.jpg``).

    python -m recipes.benchmarks.flames swan DIR --out swan.json --sheet swan.png

The pictures are square, whatever the size of the flame; the plane is scaled by the mean of the ratios of the sides,
as JWildfire does. Their program, JWildfire Swan, differs from JWildfire in some ways, which were found from the
pictures and are the same for all of them: a point has the colour c that it had before its last map, from row
floor(256 c) of the palette; a flame with depth of field is drawn in the plane, without its camera and its maps'
affine maps in other planes; variations that JWildfire does not mark as known to Swan (``swan_undrawn.txt``, from the
types of its variations) are left out; remainders have the sign of the divisor, as in shaders; and pictures are
brighter. Three numbers say how, fitted once over the flames whose shapes agree: log densities times ``BRIGHTER``,
colours times ``GAIN`` / white level in place of 200 / white level, and the glow ``GLOW`` times that of ``SAMPLES``
samples a pixel. Ours are drawn at 512 pixels and made smaller as theirs are, since the mean of a logarithm is not the
logarithm of a mean; and with as many samples, ``SAMPLES`` a pixel, since that depends on them too: with a quarter of
them dim places come out darker, unless cells with few samples are spread (density estimation of radius 1), which blurs
lines. A remaining shift of at most 2 pixels of 64 is taken out.

Reported are, for flames drawn whole and for the others apart: the ratio of the mean levels, and the RMSE at 64 pixels.
"""

from __future__ import annotations

import argparse
import ast
import json
import textwrap
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fractalkit.codes.flame import Flame, read_flames
from fractalkit.codes.flame_parts import CAMERA, IDENTITY, Xform
from fractalkit.codes.variation_list import catalogue
from fractalkit.codes.variation_text import Declared
from fractalkit.errors import FileWarning, FractalKitError
from fractalkit.orbit.flame import accumulate
from fractalkit.render.flame import Exposure, drawn_layers, look_of, to_8_bit

BRIGHTER, GAIN, GLOW = 4.0, 266.0, 5.0
SAMPLES = 160.0  # a pixel
UNDRAWN = frozenset(Path(__file__).with_name("swan_undrawn.txt").read_text(encoding="utf-8").lower().split())
SIDE = 64  # pixels at which pictures are compared
DRAWN = 512  # and at which ours are drawn
MEAN, RMSE = 0.05, 12.0


def in_the_plane(flame: Flame) -> Flame:
    """The flame without its camera in space and its maps' affine maps in other planes."""
    others: dict[str, Any] = dict.fromkeys(("yz_coefs", "zx_coefs", "yz_post", "zx_post"), IDENTITY)
    flat: dict[str, Any] = dict.fromkeys(CAMERA, 0.0)
    return replace(
        flame, xforms=tuple(replace(x, **others) for x in flame.xforms),
        final=None if flame.final is None else replace(flame.final, **others),
        more_finals=tuple(replace(x, **others) for x in flame.more_finals), **flat,
    )  # fmt: skip


class _Remainders(ast.NodeTransformer):
    """Writes ``fmod(a, b)`` as ``a % b``."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "fmod":
            return ast.BinOp(node.args[0], ast.Mod(), node.args[1])
        return node


def as_computed_there(declared: Declared) -> Declared:
    """A variation with remainders of the sign of the divisor."""
    tree = ast.parse("if 1:\n" + declared.text)
    body = ast.fix_missing_locations(_Remainders().visit(tree)).body[0].body
    text = textwrap.indent("\n".join(map(ast.unparse, body)), "    ")
    return replace(declared, name=f"{declared.name}_swan", text=text)


def as_known_there(flame: Flame) -> Flame:
    """The flame without the variations that Swan does not know, and the others as it computes them."""

    def known(x: Xform) -> Xform:
        kept: dict[str, float] = {}
        named = dict(x.parameters)
        for key, weight in x.variations.items():
            found = catalogue().find(key)
            if found is None or key.split("#")[0].lower() in UNDRAWN:
                continue
            place, declared = found
            name = key
            if "fmod(" in declared.text and not place:
                there = as_computed_there(declared)
                catalogue().put(there)
                name = key.replace(declared.name, there.name, 1)
                told = [p for p in declared.parameters if f"{key}_{p}" in x.parameters]
                named |= {f"{name}_{p}": x.parameters[f"{key}_{p}"] for p in told}
            kept[name] = weight
        return replace(x, variations=kept, parameters=named)

    return replace(
        flame, xforms=tuple(map(known, flame.xforms)), more_finals=tuple(map(known, flame.more_finals)),
        final=None if flame.final is None else known(flame.final),
    )  # fmt: skip


def seen_there(flame: Flame, quality: float) -> Flame:
    """The flame in the square picture of its gallery, with the brightness that pictures have there."""
    w, h = flame.size
    flame = as_known_there(flame)
    if flame.cam_dof != 0:
        flame = in_the_plane(flame)
    return replace(
        flame, size=(DRAWN, DRAWN), scale=flame.scale * (DRAWN / w + DRAWN / h) / 2, filter=0.3, oversample=1,
        white_level=flame.white_level * 200 * 255 / 256 / GAIN, brightness=flame.brightness * BRIGHTER,
        low_density_brightness=flame.low_density_brightness * BRIGHTER * GLOW * (quality / SAMPLES) ** 2,
        estimator_radius=1.0 if quality < SAMPLES / 2 else 0.0, estimator_curve=0.5,
    )  # fmt: skip


def drawn_there(flame: Flame, quality: float) -> np.ndarray:
    """The picture, as bytes ``[DRAWN, DRAWN, 3]``."""
    exposure = Exposure.empty(seen_there(flame, quality))
    gutter = look_of(exposure.flame, 1.0).gutter
    for i, layer in enumerate(drawn_layers(exposure.flame)):
        samples = round(quality * DRAWN * DRAWN)
        accumulate(layer, samples, gutter=gutter, seed=i + 1, threads=1, late=True, out=exposure.histogram)
    exposure.quality = quality
    return to_8_bit(exposure.develop(threads=1))


def smaller(picture: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Mean of blocks: ``[side, side, 3]``."""
    n = picture.shape[0] // side
    return picture.reshape(side, n, side, n, 3).mean(axis=(1, 3))


def registered(ours: np.ndarray, theirs: np.ndarray, reach: int = 2) -> tuple[float, tuple[int, int]]:
    """The least RMSE over shifts of at most ``reach`` pixels, without the border, and the shift."""
    inner = theirs[reach:-reach, reach:-reach]
    found = []
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            part = ours[reach + dy : SIDE - reach + dy, reach + dx : SIDE - reach + dx]
            found.append((float(np.sqrt(((part - inner) ** 2).mean())), (dy, dx)))
    return min(found)


def compare(path: Path, quality: float) -> tuple[dict[str, Any], np.ndarray | None]:
    """A row of the table, and theirs beside ours."""
    from PIL import Image

    row: dict[str, Any] = {"flame": path.stem}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FileWarning)
            flame = read_flames(path)[0]
        row |= {"unknown": flame.unknown, "unread": flame.unread, "in_space": flame.in_space()}
        start = time.process_time()
        drawn = drawn_there(flame, quality)
        row["cpu_seconds"] = round(time.process_time() - start, 3)
    except FractalKitError as error:
        return row | {"failed": str(error)}, None
    with Image.open(path.with_suffix(".jpg")) as image:
        theirs = smaller(np.asarray(image.convert("RGB"), dtype=np.float64))
    ours = smaller(drawn.astype(np.float64))
    rmse, shift = registered(ours, theirs)
    mean = theirs.mean()
    row |= {
        "rmse": rmse, "shift": shift, "mean_theirs": float(mean), "mean_ratio": float(ours.mean() / max(mean, 1e-9)),
        "correlation": float(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]) if ours.std() > 0 else 0.0,
    }  # fmt: skip
    return row, np.concatenate([theirs, ours], axis=1).clip(0, 255).astype(np.uint8)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many of the rows meet the two limits."""
    done = [r for r in rows if "rmse" in r]
    if not done:
        return {"flames": len(rows)}
    means = np.array([abs(r["mean_ratio"] - 1) for r in done])
    errors = np.array([r["rmse"] for r in done])
    return {
        "flames": len(rows), "failed": len(rows) - len(done), "rmse_median": float(np.median(errors)),
        "mean_within_5_percent": float((means <= MEAN).mean()), "rmse_at_most_12": float((errors <= RMSE).mean()),
        "both": float(((means <= MEAN) & (errors <= RMSE)).mean()),
    }  # fmt: skip


def save_sheet(pairs: list[tuple[dict[str, Any], np.ndarray]], path: Path, columns: int = 8) -> None:
    """Theirs on the left and ours on the right, with name, RMSE and ratio of means; orange where not drawn whole."""
    from PIL import Image, ImageDraw

    w, h = 2 * SIDE + 8, SIDE + 14
    sheet = Image.new("RGB", (columns * w, -(-len(pairs) // columns) * h), (24, 24, 24))
    pen = ImageDraw.Draw(sheet)
    for k, (row, pair) in enumerate(pairs):
        x, y = k % columns * w, k // columns * h
        sheet.paste(Image.fromarray(pair), (x, y))
        colour = (255, 170, 60) if row["unknown"] or row["unread"] else (200, 200, 200)
        label = f"{row['flame'].removeprefix('example')}: {row['rmse']:.0f}, {row['mean_ratio']:.2f}"
        pen.text((x, y + SIDE), label, fill=colour)
    sheet.save(path)


def main(words: list[str]) -> None:
    """The command, without its first two words."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quality", type=float, default=SAMPLES)
    parser.add_argument("--only", default="", help="only files whose name contains one of these, with commas between")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args(words)
    rows, pairs = [], []
    for path in sorted(options.folder.glob("*.flame")):
        if path.with_suffix(".jpg").is_file() and any(word in path.name for word in options.only.split(",")):
            row, pair = compare(path, options.quality)
            rows.append(row)
            pairs += [] if pair is None else [(row, pair)]
            figures = row.get("failed") or f"rmse {row['rmse']:6.2f}  mean {row['mean_ratio']:6.3f}"
            print(f"{row['flame']:24s} {figures}  {' '.join([*row['unknown'], *row['unread']])}", flush=True)
    known = [r for r in rows if not r.get("unknown")]
    whole = [r for r in known if not r.get("unread")]
    result = {
        "quality": options.quality, "brighter": BRIGHTER, "gain": GAIN, "glow": GLOW,
        "all": summary(rows), "variations_known": summary(known),
        "whole": summary(whole), "others": summary([r for r in rows if r not in whole]), "rows": rows,
    }  # fmt: skip
    print(json.dumps({k: v for k, v in result.items() if k != "rows"}, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    if options.sheet and pairs:
        save_sheet(pairs, options.sheet)

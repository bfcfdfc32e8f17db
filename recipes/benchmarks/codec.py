"""The fractal codec compared with others: rate and distortion, speed, memory.

    python -m recipes.benchmarks.codec rd FOLDER [--plot FILE.png]   PSNR at five rates, full size
    python -m recipes.benchmarks.codec luma FOLDER                   grey, 512 x 512 centres
    python -m recipes.benchmarks.codec parts FOLDER                  ablation of the codec's parts
    python -m recipes.benchmarks.codec speed PICTURE                 seconds; beside the plain least-squares search
    python -m recipes.benchmarks.codec memory                        100 megapixels
    python -m recipes.benchmarks.codec filter FOLDER                 what the filter of decoded planes gains
    python -m recipes.benchmarks.codec kinds FOLDER [--sheet FILE.png]   what maps and copies save, by kind of picture

Rates are those of whole files. Codecs without a rate target are run at many settings, and their PSNR is interpolated
linearly in the logarithm of the rate for each picture; ours is given the rate. PSNR is over all samples of RGB, or over
luma (BT.601) for Y. SSIM is that of Wang et al. (2004), with Gaussian windows of 11 x 11, of luma.
"""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from fractalkit import fk
from fractalkit.codes.quadtree import QuadtreeCode
from fractalkit.data.images import list_pictures
from fractalkit.data.pictures import read_picture
from fractalkit.fit.quadtree import EFFORTS, Effort, encode
from fractalkit.maps.quadtree_picture import decode
from recipes.benchmarks.report import RESULTS, peak_memory, put, save

RATES = (0.15, 0.25, 0.5, 0.75, 1.0)
COIN = ((0.037, 22.41), (0.074, 23.21), (0.160, 24.64), (0.307, 26.41), (0.611, 28.41), (1.209, 30.64))
PUBLISHED = {  # (bits per pixel, mean RGB PSNR) over the 24 pictures of Kodak
    "JPEG 2000 (published, all 24)": ((0.15, 26.94), (0.25, 28.57), (0.5, 31.27), (1.0, 34.71)),
    "BPG 4:4:4 (published, all 24)": ((0.15, 28.48), (0.25, 30.32), (0.5, 33.32), (1.0, 37.16)),
    "VTM (published, all 24)": ((0.15, 29.49), (0.25, 31.27), (0.5, 34.37), (1.0, 38.24)),
    "COIN++ (published, all 24)": ((0.15, 25.14), (0.25, 26.03), (0.5, 27.62)),
}
_DEFAULT: dict[str, Any] = {}
_HALF: dict[str, Any] = {"bpp": 0.5}
Measures = tuple[float, float, float]  # RGB PSNR, Y PSNR, SSIM


@click.group()
def main() -> None:
    """Benchmarks of the codec."""


def luma(a: np.ndarray) -> np.ndarray:
    """Luma (BT.601)."""
    return a.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) if a.ndim == 3 else a.astype(np.float64)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR of 8-bit samples, in dB."""
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(np.float64) - b) ** 2))))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of 8-bit luma."""

    def blur(v: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(v, 1.5, truncate=3.34))

    ma, mb = blur(a), blur(b)
    va, vb, cov = blur(a * a) - ma * ma, blur(b * b) - mb * mb, blur(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(np.mean((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))))


def measures(a: np.ndarray, b: np.ndarray) -> Measures:
    """RGB PSNR, Y PSNR, SSIM."""
    return psnr(a, b), psnr(luma(a), luma(b)), ssim(luma(a), luma(b))


def through_pillow(a: np.ndarray, fmt: str, **options: Any) -> tuple[float, np.ndarray]:
    """Bits per pixel and the decoded picture."""
    buffer = io.BytesIO()
    Image.fromarray(a).save(buffer, fmt, **options)
    size = len(buffer.getvalue())
    return 8 * size / (a.shape[0] * a.shape[1]), np.asarray(Image.open(buffer).convert("RGB" if a.ndim == 3 else "L"))


def peers(grey: bool) -> dict[str, list[Callable[[np.ndarray], tuple[float, np.ndarray]]]]:
    """Pillow's codecs, each at many settings."""

    def p(fmt: str, **o: Any) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        return lambda a: through_pillow(a, fmt, **o)

    jpeg: dict[str, Any] = {"optimize": True, "progressive": True}
    wavelet: dict[str, Any] = {"quality_mode": "rates", "irreversible": True} | ({} if grey else {"mct": 1})
    qualities = (2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 36, 43, 50, 58, 66, 74, 80, 85, 90, 93)
    ratios = [
        (8 if grey else 24) / r for r in (0.08, 0.11, 0.15, 0.2, 0.25, 0.33, 0.42, 0.5, 0.62, 0.75, 0.9, 1.0, 1.3, 1.7)
    ]
    out = {"JPEG 4:2:0": [p("JPEG", quality=q, subsampling=2, **jpeg) for q in qualities]}
    if not grey:
        out["JPEG 4:4:4"] = [p("JPEG", quality=q, subsampling=0, **jpeg) for q in qualities]
    out["JPEG 2000"] = [p("JPEG2000", quality_layers=[r], **wavelet) for r in ratios]
    out["WebP"] = [p("WEBP", quality=q, method=6) for q in (0, 2, 5, 9, 14, 20, 28, 36, 45, 55, 65, 74, 80, 86, 91, 95)]
    out["AVIF"] = [p("AVIF", quality=q, speed=6) for q in (8, 14, 20, 26, 32, 38, 44, 50, 56, 62, 68, 74, 80, 86)]
    return out


def at_rates(points: list[tuple[float, Measures]], rates: tuple[float, ...]) -> list[Measures | None]:
    """Measures at the rates, interpolated in log rate; None outside the measured range."""
    points = sorted(points)
    x = np.log([r for r, _ in points])
    out: list[Measures | None] = []
    for rate in rates:
        if not points[0][0] * 0.98 <= rate <= points[-1][0] * 1.02:
            out.append(None)
            continue
        a, b, c = (float(np.interp(math.log(rate), x, [m[i] for _, m in points])) for i in range(3))
        out.append((a, b, c))
    return out


def ours(a: np.ndarray, rate: float, effort: int | Effort, **options: Any) -> tuple[float, np.ndarray]:
    """Encode at a target rate: bits per pixel and the picture decoded from the file."""
    data = encode(a, bpp=rate, effort=effort, **options).to_bytes()
    return 8 * len(data) / (a.shape[0] * a.shape[1]), decode(QuadtreeCode.from_bytes(data))


def corrected(m: Measures, got: float, rate: float) -> Measures:
    """Correct measures to the exact rate by 3 dB per octave (0.02 of SSIM); files are within 1 % of it."""
    off = math.log2(rate / got)
    return m[0] + 3 * off, m[1] + 3 * off, m[2] + 0.02 * off


def load(folder: Path, crop: bool) -> dict[str, np.ndarray]:
    """Pictures by name."""
    out = {}
    for path in list_pictures(folder):
        a = read_picture(path).samples
        if crop:
            g = np.rint(luma(a)).astype(np.uint8)
            y, x = (g.shape[0] - 512) // 2, (g.shape[1] - 512) // 2
            out[path.stem] = g[y : y + 512, x : x + 512]
        else:
            out[path.stem] = a[..., :3]
    return out


def encoders() -> dict[str, str]:
    """Versions of Pillow and of the libraries by which it encodes."""
    import PIL
    from PIL import features

    names = ("libjpeg_turbo", "jpg_2000", "webp", "avif")
    return {"Pillow": PIL.__version__} | {name: str(features.version(name)) for name in names}


def kept_peers() -> dict[str, Any]:
    """The rows of other codecs in the file of results, if the same libraries made them."""
    held = json.loads((RESULTS / "codec_rd.json").read_text())
    if held.get("encoders") != encoders():
        raise click.ClickException("other libraries made the stored rows of other codecs; run without --keep-peers")
    return {codec: v for codec, v in held["results"].items() if not codec.startswith("FractalKit")}


def compare(
    pictures: dict[str, np.ndarray], rates: tuple[float, ...], efforts: tuple[int, ...], grey: bool,
    others: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Codec -> mean measures at each rate, and those of each picture."""
    results: dict[str, dict[str, list[Measures | None]]] = {}
    for name, a in pictures.items():
        for effort in efforts:
            row: list[Measures | None] = []
            for rate in rates:
                got, b = ours(a, rate, effort)
                row.append(corrected(measures(a, b), got, rate))
            results.setdefault(f"FractalKit, effort {effort}", {})[name] = row
        for codec, settings in (peers(grey) if others else {}).items():
            points = [(r, measures(a, b)) for r, b in (s(a) for s in settings)]
            results.setdefault(codec, {})[name] = at_rates(points, rates)
        click.echo(f"{name} done", err=True)
    return {
        codec: {
            "mean": [mean_of(values) for values in zip(*rows.values(), strict=True)],
            "pictures": {n: [[round(v, 4) for v in m] if m else None for m in row] for n, row in rows.items()},
        }
        for codec, rows in results.items()
    }


def mean_of(values: Sequence[Measures | None]) -> list[float] | None:
    """Mean measures over pictures; None if one of them lacks the rate."""
    known = [v for v in values if v is not None]
    return [round(float(np.mean(m)), 4) for m in zip(*known, strict=True)] if len(known) == len(values) else None


def show(results: dict[str, Any], rates: tuple[float, ...]) -> None:
    """Print three tables."""
    for k, title in enumerate(("RGB PSNR, dB", "Y PSNR, dB", "SSIM of luma")):
        rows = [
            {
                "codec (" + title + ")": codec,
                **{f"{r:g} bpp": (m[k] if m else None) for r, m in zip(rates, v["mean"], strict=True)},
            }
            for codec, v in results.items()
        ]
        put(rows)
        click.echo("")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--plot", type=click.Path(path_type=Path))
@click.option("--efforts", default="5,1", show_default=True)
@click.option("--keep-peers", is_flag=True, help="Keep the stored rows of other codecs.")
def rd(folder: Path, plot: Path | None, efforts: str, keep_peers: bool) -> None:
    """Colour pictures at full size."""
    kept = kept_peers() if keep_peers else {}
    chosen = tuple(int(e) for e in efforts.split(","))
    results = compare(load(folder, False), RATES, chosen, False, not keep_peers) | kept
    show(results, RATES)
    save(
        "codec_rd", flat(results), rates=RATES, results=results, coin=COIN, published=PUBLISHED, encoders=encoders()
    )  # fmt: skip
    if plot:
        draw(results, plot)


@main.command(name="luma")
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
def luma_(folder: Path) -> None:
    """Central 512 x 512 pixels in grey."""
    results = compare(load(folder, True), RATES, (5,), True)
    show(results, RATES)
    save("codec_luma", flat(results), rates=RATES, results=results)


def flat(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per codec: mean RGB PSNR at each rate."""
    return [
        {"codec": codec, **{f"{r:g} bpp": (m[0] if m else None) for r, m in zip(RATES, v["mean"], strict=True)}}
        for codec, v in results.items()
    ]


def draw(results: dict[str, Any], path: Path) -> None:
    """Plot RGB PSNR against rate."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(9, 6), dpi=120)
    colours = {
        "JPEG 4:2:0": "#999999",
        "JPEG 4:4:4": "#bbbbbb",
        "JPEG 2000": "#4c78a8",
        "WebP": "#54a24b",
        "AVIF": "#b279a2",
    }
    for codec, v in results.items():
        points = [(r, m[0]) for r, m in zip(RATES, v["mean"], strict=True) if m]
        mine = codec.startswith("FractalKit")
        ax.plot(
            *zip(*points, strict=True), marker="o", ms=4, lw=2.6 if mine else 1.5, label=codec,
            color="#d62728" if codec.endswith("5") else "#ff9896" if mine else colours.get(codec),
        )  # fmt: skip
    ax.plot(*zip(*COIN, strict=True), "--", lw=1, color="black", label="COIN (published, all 24)")
    for (name, points_), style in zip(PUBLISHED.items(), (":", ":", ":", "--"), strict=True):
        ax.plot(*zip(*points_, strict=True), style, lw=1, label=name)
    save_plot(fig, ax, path, xlim=(0.1, 1.05), ylim=(23, 38))


def save_plot(fig: Any, ax: Any, path: Path, **options: Any) -> None:
    """Label the axes of a plot of PSNR against rate, and save it."""
    ax.set(xlabel="bits per pixel of the file", ylabel="RGB PSNR, dB, mean over pictures", **options)
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8, frameon=False)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    fig.tight_layout()
    fig.savefig(path)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
def parts(folder: Path) -> None:
    """Ablation of the codec's parts."""
    pictures = load(folder, False)
    base = replace(EFFORTS[5], directions=0, maps=(3, 4), grid=3, count=25)
    plans = {
        "all": EFFORTS[5],
        "domains twice as large in place of directions": base,
        "neither": replace(base, maps=()),
        "slopes and maps, no cosines": replace(base, reach=1, maps=(2, 3, 4), grid=2),
        "slopes only": replace(base, reach=1, maps=()),
        "means and maps": replace(base, reach=0, maps=(2, 3, 4), grid=2),
        "means only": replace(base, reach=0, maps=()),
        "leaves 32 to 4": replace(EFFORTS[5], top=5),
        "leaves of 8 only": replace(EFFORTS[5], top=3, bottom=3),
    }
    codecs: dict[str, tuple[int | Effort, dict[str, Any]]] = {name: (plan, {}) for name, plan in plans.items()}
    codecs |= {"no deblocking": (5, {"deblock": False}), "chroma in full": (5, {"chroma": "full"})}
    rows = []
    for name, (effort, options) in codecs.items():
        row: dict[str, Any] = {"codec": name}
        for rate in (0.25, 0.5):
            values = []
            for a in pictures.values():
                got, b = ours(a, rate, effort, **options)
                values.append(psnr(a, b) + 3 * math.log2(rate / got))
            row[f"{rate:g} bpp"] = round(float(np.mean(values)), 3)
        rows.append(row)
        click.echo(f"{row}", err=True)
    put(rows)
    save("codec_parts", rows)


def lstsq_search(a: np.ndarray, seconds: float) -> float:
    """CPU seconds of the plain search for a grey picture, extrapolated from a part of it.

    For each 4 x 4 range and each non-overlapping 8 x 8 domain in eight isometries, contrast and brightness are solved
    by least squares.
    """
    h, w = a.shape
    pooled = a.reshape(h // 2, 2, w // 2, 2).mean((1, 3))
    domains = []
    for y in range(0, h // 2, 4):
        for x in range(0, w // 2, 4):
            d = pooled[y : y + 4, x : x + 4]
            domains += [t for k in range(4) for t in (np.rot90(d, k), np.rot90(d.T, k))]
    ranges = [a[y : y + 4, x : x + 4] for y in range(0, h, 4) for x in range(0, w, 4)]
    began = time.process_time()
    pairs = 0
    one = np.ones(16)
    while time.process_time() - began < seconds:
        r = ranges[pairs * 7919 % len(ranges)].ravel()
        d = domains[pairs % len(domains)]
        np.linalg.lstsq(np.stack([d.ravel(), one], 1), r, rcond=None)
        pairs += 1
    return (time.process_time() - began) / pairs * len(ranges) * len(domains)


@main.command()
@click.argument("picture", type=click.Path(path_type=Path, exists=True))
def speed(picture: Path) -> None:
    """CPU and wall seconds of one picture."""
    a = read_picture(picture).samples[..., :3]
    encode(a[:64, :64], effort=6)  # compile
    decode(encode(a[:64, :64], effort=1), 200, 200)
    rows = []
    for effort in (0, 1, 3, 5, 7, 9):
        for what, options in (("quality 50", _DEFAULT), ("0.5 bpp", _HALF)):
            wall, cpu = time.perf_counter(), time.process_time()
            code = encode(a, effort=effort, **options)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            data = code.to_bytes()
            dwall, dcpu = time.perf_counter(), time.process_time()
            b = decode(QuadtreeCode.from_bytes(data))
            dwall, dcpu = time.perf_counter() - dwall, time.process_time() - dcpu
            rows.append(
                {
                    "effort": effort,
                    "target": what,
                    "encode s": round(wall, 3),
                    "CPU s": round(cpu, 3),
                    "decode s": round(dwall, 3),
                    "decode CPU s": round(dcpu, 3),
                    "bpp": 8 * len(data) / a[..., 0].size,
                    "RGB dB": psnr(a, b),
                }
            )
    put(rows)
    small = np.rint(luma(a)[128:384, 128:384])
    cpu = time.process_time()
    encode(small.astype(np.uint8), quality=70, method="pifs", threads=1)
    plain = time.process_time() - cpu
    cpu = time.process_time()
    encode(small.astype(np.uint8), effort=5, threads=1)
    mine = time.process_time() - cpu
    search = lstsq_search(small, 4.0)
    extra = {
        "plain least-squares search, 256 x 256 grey, CPU s (extrapolated)": search,
        "plain PIFS here": plain,
        "quadtree, effort 5": mine,
        "ratio to effort 5": search / mine,
        "ratio to plain PIFS here": search / plain,
    }
    put([{"what": k, "value": v} for k, v in extra.items()])
    save("codec_speed", rows, search=extra, picture=f"{a.shape[1]} x {a.shape[0]}")


def large(side: int) -> np.ndarray:
    """Synthesise a picture of ``side`` x ``side`` pixels with texture everywhere, tile by tile."""
    rng = np.random.default_rng(0)
    tile = gaussian_filter(rng.standard_normal((1000, 1000, 3)), (3, 3, 0), mode="wrap")
    tile = tile / tile.std() * 40
    out = np.empty((side, side, 3), np.uint8)
    ramp = np.linspace(0, 60, side)
    for y in range(0, side, 1000):
        rows = min(1000, side - y)
        wide = np.tile(tile[:rows], (1, -(-side // 1000), 1))[:, :side]
        out[y : y + rows] = np.clip(100 + wide + ramp[None, :, None] + ramp[y : y + rows, None, None] / 2, 0, 255)
    return out


@main.command()
@click.option("--side", default=10_000, show_default=True)
@click.option("--effort", default=1, show_default=True)
@click.option("--inside", hidden=True, type=click.Path(path_type=Path))
def memory(side: int, effort: int, inside: Path | None) -> None:
    """Peak memory and seconds of one large picture, in a separate process that does not make the picture."""
    if inside is None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "large.npy"
            np.save(path, large(side))
            words = [sys.executable, "-m", "recipes.benchmarks.codec", "memory", "--inside", str(path)]
            words += ["--side", str(side), "--effort", str(effort)]
            result = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
        put([result])
        save("codec_memory", [result])
        return

    a = np.load(inside)
    encode(a[:128, :128], effort=effort)  # compile
    before = peak_memory()
    wall, cpu = time.perf_counter(), time.process_time()
    data = encode(a, quality=40, effort=effort, threads=2).to_bytes()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        json.dumps(
            {
                "megapixels": side * side / 1e6,
                "effort": effort,
                "input MiB": a.nbytes / 2**20,
                "before MiB": before,
                "peak MiB": peak_memory(),
                "seconds": round(wall, 1),
                "CPU seconds": round(cpu, 1),
                "bytes": len(data),
            }
        )
    )


@main.command(name="filter")
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
def filter_(folder: Path) -> None:
    """The same files shown with and without the learned filter, at effort 1 and two qualities a picture.

    The qualities are those of 28 to 52 whose files come nearest to 0.25 and 0.5 bits per pixel.
    """
    rows: list[dict[str, Any]] = []
    for name, a in load(folder, False).items():
        made: list[tuple[float, QuadtreeCode]] = []
        for quality in (28, 36, 44, 52):
            code = encode(a, quality=quality, effort=1)
            made.append((8 * len(code.to_bytes()) / (a.shape[0] * a.shape[1]), code))
        for rate in (0.25, 0.5):
            got, code = min(made, key=lambda m: abs(math.log(m[0] / rate)))
            plain = replace(code, settings=replace(code.settings, filtered=(False, False)))
            with_, without = psnr(a, decode(code)), psnr(a, decode(plain))
            rows.append({"picture": name, "about": rate, "bpp": got, "filtered": with_, "plain": without})
            click.echo(f"{rows[-1]}", err=True)
    means = [
        {"about": r, "gain": float(np.mean([v["filtered"] - v["plain"] for v in rows if v["about"] == r]))}
        for r in (0.25, 0.5)
    ]
    put(means)
    save("codec_filter", rows, means=means)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--sheet", type=click.Path(path_type=Path), help="Draw the twenty pictures.")
def kinds(folder: Path, sheet: Path | None) -> None:
    """Twenty-one pictures: text, drawings, textures, attractors, and photographs of FOLDER.

    Each is coded as `fractalkit compress --quality 50` would, and again without maps and copies: without loss where
    the first file is a copy of pixels, else at its PSNR (interpolated). Beside them lossless WebP, and for text and
    drawings the PSNR at 0.4 bits per pixel.
    """
    from fractalkit.fit.choice import encode_best
    from fractalkit.fit.copies import encode_copies
    from recipes.benchmarks.codec_kinds import contact_sheet, pictures

    made = pictures(folder)
    rows = []
    for (kind, name), a in made.items():
        best = encode_best(a)
        data = best.to_bytes()
        shown = psnr(a, fk.decode(fk.load(data)))
        copied = not isinstance(best, QuadtreeCode)
        exact = copied and np.array_equal(fk.decode(best), a)
        plain = len(encode_copies(fk.decode(best), copies=False).to_bytes()) if copied else bytes_without_maps(a, shown)
        row = {
            "kind": kind, "picture": name, "size": f"{a.shape[1]} x {a.shape[0]}", "bytes": len(data),
            "dB": "lossless" if exact else round(shown, 2), "without maps and copies": round(plain),
            "saved %": 100 * (1 - len(data) / plain), "lossless WebP": len(lossless_webp(a)),
            "FractalKit lossless": len(data) if exact else len(encode_copies(a).to_bytes()),
        }  # fmt: skip
        if kind in ("text", "drawing"):
            row["dB at 0.4"] = min(99.0, psnr(a, fk.decode(encode_best(a, bpp=0.4))))
            row["AVIF at 0.4"] = avif_at(a, 0.4)
        rows.append(row)
        click.echo(f"{row}", err=True)
    put(rows)
    means = [
        {"kind": k, "saved %": float(np.mean([r["saved %"] for r in rows if r["kind"] == k]))}
        for k in dict.fromkeys(r["kind"] for r in rows)
    ]
    put(means)
    save("codec_kinds", rows, means=means)
    if sheet:
        contact_sheet(made, sheet)


def lossless_webp(a: np.ndarray) -> bytes:
    """The lossless WebP file, at most effort."""
    buffer = io.BytesIO()
    Image.fromarray(a).save(buffer, "WEBP", lossless=True, quality=100, method=6)
    return buffer.getvalue()


def bytes_without_maps(a: np.ndarray, wanted: float) -> float:
    """Bytes of the quadtree without maps and copies at a PSNR, interpolated between the two nearest of three steps."""
    points = []
    for quality in (47, 50, 53):
        code = encode(a, quality=quality, effort=replace(EFFORTS[5], maps=(), directions=0))
        points.append((psnr(a, decode(code)), math.log(len(code.to_bytes()))))
    (x0, y0), (x1, y1) = points[:2] if wanted < points[1][0] else points[1:]
    return math.exp(y0 + (wanted - x0) / (x1 - x0) * (y1 - y0))


def avif_at(a: np.ndarray, rate: float) -> float | None:
    """PSNR of AVIF at a rate, in dB; None if no quality reaches it."""
    points = [(r, measures(a, b)) for r, b in (f(a) for f in peers(a.ndim == 2)["AVIF"])]
    found = at_rates(points, (rate,))[0]
    return None if found is None else found[0]


if __name__ == "__main__":
    main()

"""The fractal codec beside its peers: rate and distortion, speed, memory, and how it takes damaged files.

    python -m recipes.benchmarks.codec rd FOLDER [--plot FILE.png]   PSNR at five rates, files as they are
    python -m recipes.benchmarks.codec luma FOLDER                   grey, 512 x 512 centres
    python -m recipes.benchmarks.codec parts FOLDER                  what each part of the codec brings
    python -m recipes.benchmarks.codec speed PICTURE                 seconds; beside the plain least-squares search
    python -m recipes.benchmarks.codec memory                        100 megapixels
    python -m recipes.benchmarks.codec fuzz -n 20000                 damaged files

Rates are those of whole files. A codec without a target is run at many settings and its PSNR interpolated linearly in
the logarithm of the rate, picture by picture; ours is asked for the rate. PSNR is over all samples of RGB, or of luma
(BT.601) for Y; SSIM is that of Wang et al. (2004), Gaussian windows of 11 x 11, of luma.
"""

from __future__ import annotations

import io
import json
import math
import random
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from fractalkit.codes.quadtree import QuadtreeCode
from fractalkit.data.images import list_pictures
from fractalkit.data.pictures import read_picture
from fractalkit.errors import FractalKitError
from fractalkit.fit.quadtree import EFFORTS, Effort, encode
from fractalkit.maps.quadtree import decode
from recipes.benchmarks.report import peak_memory, save, table

RATES = (0.15, 0.25, 0.5, 0.75, 1.0)
COIN = ((0.037, 22.41), (0.074, 23.21), (0.160, 24.64), (0.307, 26.41), (0.611, 28.41), (1.209, 30.64))
PUBLISHED = {  # mean RGB PSNR over the 24 pictures of Kodak, at 0.15, 0.25, 0.5 and 1 bit a pixel
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


def put(rows: list[dict[str, Any]]) -> None:
    """A table of rows with the columns of the first."""
    click.echo(table(rows, list(rows[0])))


def luma(a: np.ndarray) -> np.ndarray:
    """BT.601."""
    return a.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) if a.ndim == 3 else a.astype(np.float64)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Decibels for 8 bits."""
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(np.float64) - b) ** 2))))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Of luma, 8 bits."""

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
    """Bits a pixel and the picture as decoded."""
    buffer = io.BytesIO()
    Image.fromarray(a).save(buffer, fmt, **options)
    size = len(buffer.getvalue())
    return 8 * size / (a.shape[0] * a.shape[1]), np.asarray(Image.open(buffer).convert("RGB" if a.ndim == 3 else "L"))


def peers(grey: bool) -> dict[str, list[Callable[[np.ndarray], tuple[float, np.ndarray]]]]:
    """Codecs of Pillow, each at many settings."""

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
    """Measures at the rates, interpolated in log rate; None outside what was run."""
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
    """Asked for the rate; through the bytes of the file."""
    data = encode(a, bpp=rate, effort=effort, **options).to_bytes()
    return 8 * len(data) / (a.shape[0] * a.shape[1]), decode(QuadtreeCode.from_bytes(data))


def corrected(m: Measures, got: float, rate: float) -> Measures:
    """To the exact rate, by 3 dB an octave (0.02 of SSIM); ours lands within a per cent of it."""
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


def compare(
    pictures: dict[str, np.ndarray], rates: tuple[float, ...], efforts: tuple[int, ...], grey: bool
) -> dict[str, Any]:
    """Codec -> rate -> mean measures, and each picture's."""
    results: dict[str, dict[str, list[Measures | None]]] = {}
    for name, a in pictures.items():
        for effort in efforts:
            row: list[Measures | None] = []
            for rate in rates:
                got, b = ours(a, rate, effort)
                row.append(corrected(measures(a, b), got, rate))
            results.setdefault(f"FractalKit, effort {effort}", {})[name] = row
        for codec, settings in peers(grey).items():
            points = [(r, measures(a, b)) for r, b in (s(a) for s in settings)]
            results.setdefault(codec, {})[name] = at_rates(points, rates)
        click.echo(f"{name} done", err=True)
    out: dict[str, Any] = {}
    for codec, rows in results.items():
        mean = []
        for i in range(len(rates)):
            values = [row[i] for row in rows.values()]
            known = [v for v in values if v is not None]
            mean.append(
                [round(float(np.mean([v[k] for v in known])), 4) for k in range(3)]
                if len(known) == len(values)
                else None
            )
        out[codec] = {
            "mean": mean,
            "pictures": {n: [[round(v, 4) for v in m] if m else None for m in row] for n, row in rows.items()},
        }
    return out


def show(results: dict[str, Any], rates: tuple[float, ...]) -> None:
    """Three tables."""
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
def rd(folder: Path, plot: Path | None, efforts: str) -> None:
    """Colour, full size."""
    results = compare(load(folder, False), RATES, tuple(int(e) for e in efforts.split(",")), False)
    show(results, RATES)
    save("codec_rd", flat(results), rates=RATES, results=results, coin=COIN, published=PUBLISHED)
    if plot:
        draw(results, plot)


@main.command(name="luma")
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
def luma_(folder: Path) -> None:
    """Grey, 512 x 512 centres."""
    results = compare(load(folder, True), RATES, (5,), True)
    show(results, RATES)
    save("codec_luma", flat(results), rates=RATES, results=results)


def flat(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each codec: mean RGB PSNR at each rate."""
    return [
        {"codec": codec, **{f"{r:g} bpp": (m[0] if m else None) for r, m in zip(RATES, v["mean"], strict=True)}}
        for codec, v in results.items()
    ]


def draw(results: dict[str, Any], path: Path) -> None:
    """Rate against RGB PSNR."""
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
    ax.set(
        xlim=(0.1, 1.05), ylim=(23, 38), xlabel="bits a pixel of the file", ylabel="RGB PSNR, dB, mean over pictures"
    )
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8, frameon=False)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    fig.tight_layout()
    fig.savefig(path)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
def parts(folder: Path) -> None:
    """The codec without this or that."""
    pictures = load(folder, False)
    base = EFFORTS[5]
    from dataclasses import replace

    plans = {
        "all": base,
        "no maps": replace(base, maps=()),
        "one isometry": replace(base, isometries=1),
        "slopes and maps, no cosines": replace(base, reach=1, maps=(2, 3, 4), grid=2),
        "slopes only": replace(base, reach=1, maps=()),
        "means and maps": replace(base, reach=0, maps=(2, 3, 4), grid=2),
        "means only": replace(base, reach=0, maps=()),
        "leaves 32 to 4": replace(base, top=5),
        "leaves of 8 only": replace(base, top=3, bottom=3, maps=(3,)),
    }
    rows = []
    for name, plan in plans.items():
        row: dict[str, Any] = {"codec": name}
        for rate in (0.25, 0.5):
            values = []
            for a in pictures.values():
                got, b = ours(a, rate, plan)
                values.append(psnr(a, b) + 3 * math.log2(rate / got))
            row[f"{rate:g} bpp"] = round(float(np.mean(values)), 3)
        rows.append(row)
        click.echo(f"{row}", err=True)
    for name, option in (("no deblocking", {"deblock": False}), ("chroma in full", {"chroma": "full"})):
        row = {"codec": name}
        for rate in (0.25, 0.5):
            values = [
                psnr(a, b) + 3 * math.log2(rate / got)
                for a in pictures.values()
                for got, b in [ours(a, rate, 5, **option)]
            ]
            row[f"{rate:g} bpp"] = round(float(np.mean(values)), 3)
        rows.append(row)
    put(rows)
    save("codec_parts", rows)


def lstsq_search(a: np.ndarray, seconds: float) -> float:
    """CPU-seconds that the plain search needs for a grey picture, extrapolated from a part of it.

    For each range of 4 x 4 and every domain of 8 x 8 that does not overlap, in eight isometries, a least-squares
    solution for contrast and brightness.
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
    """CPU-seconds and wall seconds of one picture."""
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
                    "asked": what,
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
    """A picture of ``side`` squared with structure everywhere, made piece by piece."""
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
@click.option("--inside", is_flag=True, hidden=True)
def memory(side: int, effort: int, inside: bool) -> None:
    """Peak memory and seconds of one large picture, in a process of its own."""
    if not inside:
        words = [sys.executable, "-m", "recipes.benchmarks.codec", "memory", "--inside", "--side", str(side)]
        result = json.loads(
            subprocess.run([*words, "--effort", str(effort)], stdout=subprocess.PIPE, check=True).stdout
        )
        put([result])
        save("codec_memory", [result])
        return

    a = large(side)
    encode(a[:128, :128], effort=effort)
    wall, cpu = time.perf_counter(), time.process_time()
    data = encode(a, quality=40, effort=effort, threads=2).to_bytes()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        json.dumps(
            {
                "megapixels": side * side / 1e6,
                "effort": effort,
                "input MiB": a.nbytes / 2**20,
                "peak MiB": peak_memory(),
                "seconds": round(wall, 1),
                "CPU seconds": round(cpu, 1),
                "bytes": len(data),
            }
        )
    )


def mutated(data: bytes, rng: random.Random, others: list[bytes]) -> tuple[bytes, str]:
    """A damaged file, and how; half of those that keep their length get their checksums repaired."""
    kind = rng.choice(("flip", "flip", "cut", "splice", "grow", "zero", "header"))
    b = bytearray(data)
    if kind == "flip":
        for _ in range(rng.choice((1, 1, 2, 8, 64))):
            b[rng.randrange(len(b))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del b[rng.randrange(len(b)) :]
    elif kind == "splice":
        other = rng.choice(others)
        i, j = rng.randrange(len(b)), rng.randrange(len(other))
        n = rng.randrange(1, 200)
        b[i : i + n] = other[j : j + n]
    elif kind == "grow":
        i = rng.randrange(len(b) + 1)
        b[i:i] = rng.randbytes(rng.randrange(1, 100))
    elif kind == "zero":
        i = rng.randrange(len(b))
        n = rng.randrange(1, 400)
        b[i : i + n] = bytes(len(b[i : i + n]))
    else:
        b[rng.randrange(4, min(len(b), 48))] = rng.randrange(256)
    if rng.random() < 0.5:
        repaired = repair(bytes(b))
        if repaired is not None:
            return repaired, kind + ", checksums repaired"
    return bytes(b), kind


def repair(data: bytes) -> bytes | None:
    """The file with the checksums that its bytes should have, or None where its header cannot be walked."""
    b = bytearray(data)
    try:
        at = 6

        def varint() -> int:
            nonlocal at
            out = shift = 0
            while True:
                byte = b[at]
                at += 1
                out |= (byte & 127) << shift
                shift += 7
                if byte < 128 or shift > 35:
                    return out

        for _ in range(4):
            varint()
        for _ in range(2):
            n = varint()
            at += n
        places = []
        for _ in range(min(varint(), 10_000)):
            n = varint()
            places.append((at, n))
            at += 4
        start = at + 4
        for place, n in places:
            b[place : place + 4] = zlib.crc32(b[start : start + n]).to_bytes(4, "little")
            start += n
        b[at : at + 4] = zlib.crc32(b[:at]).to_bytes(4, "little")
    except IndexError:
        return None
    return bytes(b) if len(b) >= at + 4 else None


def fuzz_pictures() -> list[bytes]:
    """Small files of many kinds."""
    rng = np.random.default_rng(0)
    y, x = np.indices((72, 88))
    base = 120 + 60 * np.sin(x / 7) * np.cos(y / 9) + 20 * ((x // 12 + y // 12) % 2)
    rgb = np.stack([base, np.roll(base, 9, 0), np.roll(base, 9, 1)], -1) + rng.normal(0, 4, (72, 88, 3))
    a = rgb.clip(0, 255).astype(np.uint8)
    alpha = np.dstack([a, (255 * (x > 30)).astype(np.uint8)])
    deep = (rgb.clip(0, 255) * 257).astype(np.uint16)
    made = [
        encode(a, quality=50, effort=6),
        encode(a, quality=70, effort=1, chroma="full"),
        encode(a[..., 0], quality=40, effort=6),
        encode(alpha, quality=45, effort=4),
        encode(deep, quality=45, effort=1),
        encode(a[:1, :1]),
        encode(a, quality=50, method="pifs"),
        encode(a, quality=50, effort=6, metadata={"icc": rng.bytes(200), "exif": b"Exif\0\0" + rng.bytes(50)}),
    ]
    return [c.to_bytes() for c in made]


@main.command()
@click.option("-n", default=20_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
def fuzz(n: int, seed: int) -> None:
    """Each damaged file gives a sentence or a picture, in bounded time and memory."""
    rng = random.Random(seed)
    files = fuzz_pictures()
    outcome: dict[str, dict[str, int]] = {}
    slowest = 0.0
    limit = 1 << 18
    tracemalloc.start()
    most = 0
    for i in range(n):
        data, kind = mutated(files[i % len(files)], rng, files)
        partial = rng.random() < 0.3
        began = time.process_time()
        try:
            picture = decode(QuadtreeCode.from_bytes(data, max_pixels=limit, partial=partial))
            assert picture.size > 0
            what = "picture"
        except FractalKitError as error:
            assert str(error) and "\n" not in str(error)
            what = "sentence"
        slowest = max(slowest, time.process_time() - began)
        row = outcome.setdefault(kind, {"picture": 0, "sentence": 0})
        row[what] += 1
        if i % 500 == 0:
            most = max(most, tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
            click.echo(f"{i} of {n}", err=True)
    most = max(most, tracemalloc.get_traced_memory()[1])
    rows: list[dict[str, Any]] = [{"damage": k, **v} for k, v in sorted(outcome.items())]
    put(rows)
    total = {k: sum(int(r[k]) for r in rows) for k in ("picture", "sentence")}
    summary = {
        "files": n,
        **total,
        "other": n - sum(total.values()),
        "slowest CPU s": slowest,
        "peak traced MiB": most / 2**20,
    }
    put([summary])
    save("codec_fuzz", rows, summary=summary, max_pixels=limit, seed=seed)


if __name__ == "__main__":
    main()

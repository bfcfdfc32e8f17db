"""Neural collages compared with the quadtree codec, plain PIFS, COIN and JPEG: rate, distortion, time, ablation.

    python -m recipes.benchmarks.neural rd FOLDER --held-out     aerial pictures outside the training set
    python -m recipes.benchmarks.neural rd FOLDER                all pictures of a folder, such as Kodak's
    python -m recipes.benchmarks.neural times PICTURE            CPU seconds of one picture
    python -m recipes.benchmarks.neural parts FOLDER             ablation with small variants: losses, domains

Rates are those of whole files. COIN takes minutes per picture, so it runs on --coin pictures spread over the folder;
all codecs are also reported on this subset.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from fractalkit import fk
from fractalkit.data.crops import crop_splits, load_crops, rgb
from fractalkit.data.images import list_pictures
from fractalkit.data.pictures import read_picture
from fractalkit.models.coin import encode_coin
from fractalkit.models.neural_code import MODELS, encode_neural, load_network
from fractalkit.models.neural_collage import NeuralCollage, NeuralCollageConfig
from recipes.benchmarks.codec import at_rates, lstsq_search, measures, peers, psnr, save_plot
from recipes.benchmarks.report import RESULTS, put, save

RATES = (0.15, 0.25, 0.5, 0.75, 1.0)
PIFS = (20, 35, 50)  # qualities that have ranges of 16, 8 and 4
Curve = list[float | None]


@click.group()
def main() -> None:
    """Benchmarks of neural collages."""


def through_file(a: np.ndarray, **options: Any) -> tuple[float, np.ndarray, float, float]:
    """Bits per pixel, the decoded picture, and the CPU seconds of encoding and decoding."""
    t0 = time.process_time()
    data = fk.encode(a, **options).to_bytes()
    t1 = time.process_time()
    b = fk.decode(fk.load(data))
    return 8 * len(data) / (a.shape[0] * a.shape[1]), b, t1 - t0, time.process_time() - t1


def aimed(a: np.ndarray, **options: Any) -> Curve:
    """PSNR at the rates, corrected to the exact rate by 3 dB per octave."""
    out: Curve = []
    for rate in RATES:
        got, b, _, _ = through_file(a, bpp=rate, **options)
        out.append(psnr(a, b) + 3 * math.log2(rate / got))
    return out


def means(curves: list[Curve]) -> Curve:
    """Mean PSNR at each rate that all pictures have."""
    return [
        None if any(v is None for v in c) else float(np.mean([v for v in c if v is not None]))
        for c in zip(*curves, strict=True)
    ]


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--held-out", is_flag=True, help="Only the test split of the data set crops.")
@click.option("--coin", "coins", default=2, help="Number of pictures for COIN.")
@click.option("--iterations", default=2000, help="Iterations of COIN.")
@click.option("--name", help="Name of the results.  [default: the folder's]")
def rd(folder: Path, held_out: bool, coins: int, iterations: int, name: str | None) -> None:
    """Rate and distortion."""
    torch.set_num_threads(1)
    files = crop_splits(folder)["test"] if held_out else list_pictures(folder)
    some = [int(i) for i in np.linspace(0, len(files) - 1, coins + 2)[1:-1]]
    curves: dict[str, list[Curve]] = {}
    fixed: dict[str, list[tuple[float, float]]] = {}
    for number, file in enumerate(files):
        a = rgb(read_picture(file).samples)
        for codec, curve in curves_of(a).items():
            curves.setdefault(codec, []).append(curve)
        if number in some:
            curves.setdefault("COIN", []).append(aimed(a, method="coin", iterations=iterations))
        for quality in PIFS:
            got, b, _, _ = through_file(a, method="pifs", quality=quality)
            fixed.setdefault(f"PIFS, quality {quality}", []).append((got, psnr(a, b)))
        click.echo(f"{file.name}: neural {curves['neural'][-1]}", err=True)
    rows: list[dict[str, Any]] = [{"codec": codec, "pictures": len(c)} | _row(means(c)) for codec, c in curves.items()]
    for codec in ("neural", "quadtree", "JPEG 4:4:4") if some else ():
        there = means([curves[codec][i] for i in some])
        rows.append({"codec": f"{codec}, where COIN ran", "pictures": len(some)} | _row(there))
    put(rows)
    pifs = []
    for codec, points in fixed.items():
        bpp, quality_ = np.mean(points, axis=0)
        pifs.append({"codec": codec, "pictures": len(points), "bpp": float(bpp), "psnr": float(quality_)})
    put(pifs)
    name = name or folder.name
    draw(rows, pifs, RESULTS / f"neural_rd_{name}.png", f"{name}, {len(files)} pictures")
    click.echo(str(save(f"neural_rd_{name}", rows + pifs, iterations_of_coin=iterations)))


def curves_of(a: np.ndarray) -> dict[str, Curve]:
    """PSNR at the rates of neural collages, the quadtree codec and JPEG."""
    out = {"neural": aimed(a, method="neural"), "quadtree": aimed(a, effort=5, threads=1)}
    for codec in ("JPEG 4:2:0", "JPEG 4:4:4"):
        points = [(rate, measures(a, b)) for f in peers(False)[codec] for rate, b in [f(a)]]
        out[codec] = [m and m[0] for m in at_rates(points, RATES)]
    return out


def _row(curve: Curve) -> dict[str, Any]:
    return {f"{r:g} bpp": None if v is None else round(v, 2) for r, v in zip(RATES, curve, strict=True)}


def draw(rows: list[dict[str, Any]], pifs: list[dict[str, Any]], path: Path, title: str) -> None:
    """Plot PSNR against rate."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colours = {
        "neural": "#d62728",
        "quadtree": "#1f77b4",
        "JPEG 4:2:0": "#999999",
        "JPEG 4:4:4": "#c4c4c4",
        "COIN": "#2ca02c",
    }
    fig, ax = plt.subplots(figsize=(8, 5.2), dpi=120)
    for row in rows:
        codec = row["codec"]
        few = codec == "COIN" or codec.endswith("ran")
        points = [(r, row[f"{r:g} bpp"]) for r in RATES if row[f"{r:g} bpp"] is not None]
        label = f"{codec} ({row['pictures']} pictures)" if codec == "COIN" else codec
        ax.plot(
            *zip(*points, strict=True), "--" if few else "-", marker="o", ms=3.5, lw=1 if few else 2.2, label=label,
            color=colours[codec.split(",")[0]], alpha=0.7 if few else 1,
        )  # fmt: skip
    ax.plot([p["bpp"] for p in pifs], [p["psnr"] for p in pifs], "s", color="#9467bd", label="plain PIFS")
    save_plot(fig, ax, path, title=title)


@main.command()
@click.argument("picture", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--iterations", default=200, help="Iterations of COIN, extrapolated to 2,000 and 50,000.")
@click.option("--repeat", default=9, help="Number of runs; the median is reported.")
def times(picture: Path, iterations: int, repeat: int) -> None:
    """CPU seconds of one picture on one thread, and pixels per second on all cores."""
    torch.set_num_threads(1)
    a = rgb(read_picture(picture).samples)
    pixels = a.shape[0] * a.shape[1]
    for options in ({"method": "neural"}, {"effort": 5, "threads": 1}):  # compile and load
        through_file(a, **options)

    def median(**options: Any) -> tuple[float, float]:
        runs = [through_file(a, **options)[2:] for _ in range(repeat)]
        return float(np.median([r[0] for r in runs])), float(np.median([r[1] for r in runs]))

    rows: list[dict[str, Any]] = []

    def add(codec: str, encode: float, decode: float | None) -> None:
        ratio = encode / rows[0]["encode, CPU s"] if rows else 1.0
        rows.append(
            {"codec": codec, "encode, CPU s": encode, "decode, CPU s": decode, "Mpixel/s": pixels / encode / 1e6,
             "encode over neural": ratio}
        )  # fmt: skip

    add("neural", *median(method="neural"))
    t = time.process_time()
    for _ in range(repeat):
        encode_neural(a, model=MODELS[1])
    add("neural, network alone", (time.process_time() - t) / repeat, None)
    add("neural, to a rate", *median(method="neural", bpp=0.5))
    add("quadtree, effort 1, by quality", *median(effort=1, threads=1, quality=50))
    add("quadtree, effort 5, by quality", *median(effort=5, threads=1, quality=50))
    add("plain PIFS, this package", *median(method="pifs", quality=50))
    side = 256
    grey = a[:side, :side].astype(np.float64).mean(2)
    plain = lstsq_search(grey, 8.0) * pixels / grey.size
    add("plain PIFS, least squares for each pair (extrapolated, grey, per picture of 256 x 256)", plain, None)
    t = time.process_time()
    code = encode_coin(a, bpp=0.5, iterations=iterations)
    step = (time.process_time() - t) / iterations
    t = time.process_time()
    code.decode()
    decode = time.process_time() - t
    add("COIN, 2,000 iterations (extrapolated)", 2000 * step, decode)
    add("COIN, 50,000 iterations as in the paper (extrapolated)", 50_000 * step, decode)
    threads = torch.multiprocessing.cpu_count()
    large = np.tile(a, (math.ceil(1500 / a.shape[0]), math.ceil(2000 / a.shape[1]), 1))[:1536, :2048]
    torch.set_num_threads(threads)
    walls = []
    for _ in range(3):
        t = time.perf_counter()
        encode_neural(large, model=MODELS[1]).to_bytes()
        walls.append(time.perf_counter() - t)
    put(rows)
    rate = large.shape[0] * large.shape[1] / min(walls) / 1e6
    click.echo(f"{threads} threads, 3 megapixels, including the file: {rate:.2f} Mpixel/s")
    click.echo(str(save("neural_times", rows, megapixels_a_second=rate, threads=threads)))


VARIANTS: dict[str, dict[str, Any]] = {
    "fixed point": {},
    "collage theorem": {"collage_steps": 1 << 20},
    "collage theorem, then fixed point": {"collage_steps": -1},
    "no domains (patches alone)": {"rho": 0.0},
}


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--steps", default=1500)
def parts(folder: Path, steps: int) -> None:
    """Train small variants of nc_aerial_mid on --steps batches of 8 crops; measure the error of unrolled gradients."""
    torch.set_num_threads(1)
    train = torch.from_numpy(load_crops(folder, "train").images).float().div(255)
    valid = torch.from_numpy(load_crops(folder, "valid").images[:90]).float().div(255)
    rows = []
    for name, changes in VARIANTS.items():
        changes = {k: steps // 2 if v == -1 else v for k, v in changes.items()}
        torch.manual_seed(0)
        net = NeuralCollage(NeuralCollageConfig(weight=0.005, **changes))
        optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
        noise, order = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
        began = time.process_time()
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = 1e-3 * min(1, (step + 1) / 100) * (0.505 + 0.495 * math.cos(math.pi * step / steps))
            x = train[torch.randint(len(train), (8,), generator=order)]
            loss = net.losses(x, noise, step)["loss"]
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
        cpu = time.process_time() - began
        net.eval()
        got = {
            k: torch.cat([net.eval_losses(v, noise)[k] for v in valid.split(30)]).mean().item()
            for k in ("loss", "bpp", "psnr")
        }
        with torch.no_grad():
            made = net.synthesise(net.parameters_of(valid[:30]).round())
            contrast = float(made.contrast.abs().sum(-1).mean()) if net.config.rho else 0.0
        rows.append({"variant": name, **got, "ms per step": 1000 * cpu / steps, "mean contrast": contrast})
        click.echo(f"{rows[-1]}", err=True)
    put(rows)
    exact = gradient_error(train[:8])
    put(exact)
    click.echo(str(save("neural_parts", rows, gradients=exact, steps=steps)))


def gradient_error(x: torch.Tensor) -> list[dict[str, Any]]:
    """Error of the gradient through a few unrolled steps, relative to that of the fixed point (200 steps)."""
    net, _ = load_network(MODELS[1])
    net = NeuralCollage(net.config)
    net.load_state_dict(load_network(MODELS[1])[0].state_dict())

    def gradient(steps: int) -> torch.Tensor:
        net.zero_grad()
        (net.synthesise(net.parameters_of(x).round()).draw(steps) - x).square().mean().backward()
        return torch.cat([p.grad.flatten() for p in net.synthesis.parameters() if p.grad is not None]).clone()

    exact = gradient(200)
    out = []
    for steps in (1, 2, 4, 6, 8, 14):
        g = gradient(steps)
        out.append({"steps": steps, "relative error": float((g - exact).norm() / exact.norm()),
                    "cosine": float(torch.cosine_similarity(g, exact, dim=0))})  # fmt: skip
    return out


if __name__ == "__main__":
    main()

"""Samples of a collage model: speed of decoding, and whether large and small samples show the same picture.

    python -m recipes.benchmarks.samples speed      against 20 plain steps; 1 to 100 megapixels; memory; the command
    python -m recipes.benchmarks.samples poster     30,000 x 30,000 pixels into a PNG
    python -m recipes.benchmarks.samples quality --data-dir DATA     64 samples at 1440 and at 28 pixels
    python -m recipes.benchmarks.samples whole      256 samples at 1120: specks, and variation inside a training pixel

Times are CPU seconds of one thread by default, because wall time is unreliable on a busy machine. Methods take turns,
and ratios are those of medians. Plain steps are those of the authors' torch module: pool the domain to the size of a
range, multiply and add for each range, assemble the ranges, 20 times at full size.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fractalkit.maps.collage import decode, valid_size
from fractalkit.models.mean_picture import MeanPicture, draw, lattice, rows, to_bytes
from fractalkit.models.pretrained import from_pretrained
from fractalkit.models.sampling import pictures
from fractalkit.models.vdvae import VDVAE, hidden_variation
from fractalkit.raster.area import area_means
from fractalkit.render.rows_png import PngRows
from recipes.benchmarks.chaos import child
from recipes.benchmarks.report import peak_memory, put, save, timed

STEPS = 20
SIDE, SMALL, WHOLE = 1440, 28, 1120
SPECK = 4.0  # area in pixels at 28 x 28; smaller components are specks
model_option = click.option("--model", default="vdvae_mnist", show_default=True, help="Name or file.")


@click.group()
def main() -> None:
    """Benchmarks of sampling."""


def picture_of(model: VDVAE, seed: int, **options: Any) -> MeanPicture:
    """The sample of one seed; options as of :func:`fractalkit.models.sampling.pictures`."""
    picture = pictures(model, [seed], **options)[0]
    assert isinstance(picture, MeanPicture)
    return picture


def plain_steps(picture: MeanPicture, side: int, steps: int = STEPS) -> Tensor:
    """Apply the collage operator at full size as in the authors' torch module: ``[1, C, side, side]``."""
    code = picture.code
    g = code.grid[0]
    weight = code.contrast[0, :, :, :, 0].flatten(1)[:, None]  # [C, D = 1, R]
    bias = code.brightness[0].flatten(1)  # [C, R]
    c, m = code.channels, side // g
    z = torch.zeros(1, c, side, side)
    for _ in range(steps):
        pooled = F.avg_pool2d(z, g)[:, :, None]  # [1, C, D, m, m]
        ranges = torch.einsum("bcdhw,cdr->bcrhw", pooled, weight) + bias[None, :, :, None, None]
        z = ranges.view(1, c, g, g, m, m).permute(0, 1, 2, 4, 3, 5).reshape(1, c, side, side)
    return z


def spend(work: Callable[[], Any]) -> float:
    """CPU seconds of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


@main.command()
@model_option
@click.option("--repeats", default=7, show_default=True)
@click.option("--threads", default=1, show_default=True)
def speed(model: str, repeats: int, threads: int) -> None:
    """Decoding compared with plain steps, cost per pixel, memory, and the whole command."""
    torch.set_num_threads(threads)
    net = from_pretrained(model)
    picture = picture_of(net, 0)
    side = valid_size(picture.code, SIDE, SIDE)[0]
    channels = picture.code.channels
    points = lattice(picture.code.grid, picture.size, SIDE, SIDE)[0]

    def network(f: Tensor) -> Tensor:
        with torch.no_grad():
            return picture.mean(f)

    plain = f"{STEPS} plain steps, {channels} x {side}^2"
    runs: dict[str, Callable[[], Any]] = {
        plain: lambda: plain_steps(picture, side),
        f"{plain}, and the network": lambda: network(plain_steps(picture, side)),
        f"picture of {SIDE}^2, network and averages included": lambda: draw(picture, SIDE, SIDE, threads=threads),
        f"its plain version in torch, at {points}^2": lambda: draw(picture, SIDE, SIDE, engine="torch"),
        f"features only, {channels} x {side}^2, by decode": lambda: decode(picture.code, side, side),
    }
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, work in runs.items():
            seconds = spend(work)
            if turn:
                spent[name].append(seconds)
    rows_ = [
        {"name": n, "median ms": 1e3 * statistics.median(s), "best": 1e3 * min(s), "worst": 1e3 * max(s)}
        for n, s in spent.items()
    ]
    put(rows_)
    middle = [statistics.median(s) for s in spent.values()]
    scale = megapixels(picture, threads)
    click.echo("")
    put(scale)
    memory = child_memory(model)
    command = whole_command(model)
    verdicts = [
        {"figure": f"picture, over {STEPS} plain steps", "value": middle[0] / middle[2], "target": "at least 20"},
        {"figure": "picture, over these and the network", "value": middle[1] / middle[2], "target": ""},
        {"figure": "features, over plain steps", "value": middle[0] / middle[4], "target": "at least 20"},
        {"figure": "cost per pixel, highest over lowest, 1 to 100 MP",
         "value": max(r["ns/pixel"] for r in scale) / min(r["ns/pixel"] for r in scale), "target": "flat"},
        {"figure": "memory for one of 1440^2 over its float32 output", "value": memory["ratio"], "target": "at most 3"},
        {"figure": "fractalkit sample --res 1440 -n 16, wall s", "value": command["wall s"], "target": "below 10"},
        {"figure": "the same, CPU s", "value": command["cpu s"], "target": ""},
    ]  # fmt: skip
    click.echo("")
    put(verdicts)
    more = {"summary": verdicts, "scale": scale, "memory": memory, "end_to_end": command, "spent": spent}
    click.echo(str(save("samples_speed", rows_, model=model, threads=threads, **more)))


def megapixels(picture: MeanPicture, threads: int) -> list[dict[str, Any]]:
    """Cost per pixel from 1 to 100 megapixels: means alone, and including the PNG."""
    out = []
    for megas in (1, 2, 5, 10, 20, 50, 100):
        side = round((megas * 1e6) ** 0.5)
        best = min(spend(partial(consume, picture, side, threads)) for _ in range(5 if megas < 20 else 2))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.png"
            packed = spend(partial(to_png, picture, side, path, threads))
            size = path.stat().st_size
        out.append(
            {
                "megapixels": megas, "side": side, "lattice": lattice(picture.code.grid, picture.size, side, side)[0],
                "ns/pixel": best / side**2 * 1e9, "to PNG": packed / side**2 * 1e9, "file MiB": size / 2**20,
            }
        )  # fmt: skip
    return out


def consume(picture: MeanPicture, side: int, threads: int) -> None:
    """Draw all strips and discard them."""
    for _ in rows(picture, side, side, threads=threads):
        pass


def to_png(picture: MeanPicture, side: int, path: Path, threads: int) -> None:
    """Draw to a PNG file."""
    with PngRows(path, side, side) as png:
        for strip in rows(picture, side, side, threads=threads):
            png.write(to_bytes(strip))


def child_memory(model: str) -> dict[str, float]:
    """Growth of peak resident memory while one picture of 1440^2 is decoded, in a separate process."""
    words = [sys.executable, "-m", "recipes.benchmarks.samples", "peak", "--model", model]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    before, after = (float(v) for v in done.stdout.split())
    output = SIDE * SIDE * 4 / 2**20
    return {"before MiB": before, "peak MiB": after, "output MiB": output, "ratio": (after - before) / output}


@main.command(hidden=True)
@model_option
def peak(model: str) -> None:
    """Print the peak memory before and after one picture is drawn."""
    picture = picture_of(from_pretrained(model), 0)
    draw(picture, 64, 64, threads=1)  # compile and load
    before = resident()
    out = draw(picture, SIDE, SIDE, threads=1)
    assert out.shape == (1, SIDE, SIDE)
    click.echo(f"{before} {resident(most=True)}")


def resident(*, most: bool = False) -> float:
    """Resident MiB now, resetting the peak (on Linux), or the peak since then if ``most``."""
    status = Path("/proc/self/status")
    if not status.exists():
        return peak_memory()
    if not most:
        Path("/proc/self/clear_refs").write_text("5")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(lines["VmHWM" if most else "VmRSS"].split()[0]) / 1024


def whole_command(model: str) -> dict[str, float]:
    """The command that draws 16 pictures of 1440^2, including imports; the best of three runs."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "{seed}.png")
        words = ["-m", "fractalkit", "sample", "--model", model, "--res", str(SIDE), "-n", "16", "-o", out]
        return min((child(words) for _ in range(3)), key=lambda r: r["wall s"])


@main.command()
@model_option
@click.option("--side", default=30_000, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Folder for the PNG, which is deleted afterwards.")
def poster(model: str, side: int, folder: Path | None) -> None:
    """Seconds and peak memory of one very large PNG."""
    from PIL import Image

    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "poster.png"
        words = ["-m", "fractalkit", "sample", "--model", model, "--res", str(side), "-o", str(path)]
        got = child(words)
        Image.MAX_IMAGE_PIXELS = None
        with Image.open(path) as image:
            assert image.size == (side, side)
        row = {"name": f"{side} x {side}", "file MiB": path.stat().st_size / 2**20, **got}
    row["MiB, target"] = 2e9 / 2**20
    put([row])
    click.echo(str(save("samples_poster", [row], model=model)))


# ---- quality


class Classifier(nn.Module):
    """A small convolutional network for digits with about 100,000 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Dropout(0.2), nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 1, 28, 28]`` in [0, 1] -> ``[B, 10]``."""
        return self.layers(x)


def train_classifier(data_dir: Path | None, epochs: int, seed: int = 0) -> tuple[Classifier, float]:
    """Train a classifier on MNIST; returns it and its accuracy on the test split."""
    from fractalkit.data.image_sets import load_images

    torch.manual_seed(seed)
    train, test = (load_images("mnist", split, folder=data_dir) for split in ("train", "test"))
    assert train.labels is not None and test.labels is not None
    x, y = torch.from_numpy(train.images), torch.from_numpy(train.labels).long()
    net = Classifier()
    batch = 128
    steps = epochs * (len(x) // batch)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x) - batch + 1, batch):
            some = order[start : start + batch]
            loss = F.cross_entropy(net(x[some].float() / 255), y[some], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        guess = torch.cat([net(torch.from_numpy(b).float() / 255).argmax(1) for b in np.array_split(test.images, 20)])
    return net, float((guess.numpy() == test.labels).mean())


def components(picture: np.ndarray, speck: float = 0.0) -> int:
    """Number of connected components (8 neighbours) above 1/2 with an area of at least ``speck`` pixels."""
    from scipy.ndimage import label

    parts, n = label(picture >= 0.5, structure=np.ones((3, 3)))
    return int((np.bincount(parts.ravel(), minlength=n + 1)[1:] >= speck).sum())


@main.command()
@model_option
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder with MNIST.  [default: $FRACTALKIT_DATA]")
@click.option("--seeds", default=64, show_default=True)
@click.option("--epochs", default=4, show_default=True, help="Epochs of the classifier.")
@click.option("--side", default=SIDE, show_default=True)
def quality(model: str, data_dir: Path | None, seeds: int, epochs: int, side: int) -> None:
    """Compare samples at 1440 and at 28 pixels: by pixels, by components, by a classifier."""
    net = from_pretrained(model)
    with timed() as t:
        judge, accuracy = train_classifier(data_dir, epochs)
    click.echo(f"classifier: {accuracy:.2%} of the test split, {t.cpu:.0f} CPU-s", err=True)
    rows_: list[dict[str, Any]] = []
    for seed in range(seeds):
        picture = picture_of(net, seed)
        large, small = draw(picture, side, side)[0], draw(picture, SMALL, SMALL)[0]
        back = area_means(torch.from_numpy(large), SMALL, SMALL).float().numpy()
        scale = (side / SMALL) ** 2
        with torch.no_grad():
            verdict = [torch.softmax(judge(torch.from_numpy(p)[None, None]), 1)[0] for p in (back, small)]
        rows_.append(
            {
                "seed": seed,
                "error": float(np.abs(back - small).mean()),
                "parts": components(large), "parts at 28": components(small),
                "no specks": components(large, SPECK * scale), "no specks at 28": components(small, SPECK),
                "digit": int(verdict[0].argmax()), "digit at 28": int(verdict[1].argmax()),
                "sure at 28": float(verdict[1].max()),
            }
        )  # fmt: skip
    put(rows_)

    def ratio(a: str, b: str) -> list[float]:
        return [max(r[a], 1) / max(r[b], 1) for r in rows_]

    errors = [r["error"] for r in rows_]
    both, bare = ratio("parts", "parts at 28"), ratio("no specks", "no specks at 28")
    agree = statistics.mean(r["digit"] == r["digit at 28"] for r in rows_)
    verdicts = [
        {
            "figure": "mean absolute error, 1440 averaged to 28",
            "value": statistics.mean(errors),
            "target": "at most 0.03",
        },
        {"figure": "the same, worst sample", "value": max(errors), "target": ""},
        {"figure": "components over those at 28, median", "value": statistics.median(both), "target": "at most 2"},
        {"figure": "the same, worst sample", "value": max(both), "target": ""},
        {"figure": "without specks under 4 px, median", "value": statistics.median(bare), "target": "at most 2"},
        {"figure": "the same, worst sample", "value": max(bare), "target": ""},
        {"figure": "classifier agrees", "value": agree, "target": "at least 0.98"},
        {"figure": "its accuracy on the test split", "value": accuracy, "target": ""},
    ]
    click.echo("")
    put(verdicts)
    click.echo(str(save("samples_quality", rows_, summary=verdicts, model=model)))


@main.command()
@model_option
@click.option("--seeds", default=256, show_default=True)
@click.option("--detail", default=0.0, show_default=True)
@click.option("--sharpness", default=1.0, show_default=True)
def whole(model: str, seeds: int, detail: float, sharpness: float) -> None:
    """Whether digits are whole at 40 times the training size: specks and pinholes, and variation inside a pixel.

    A speck or pinhole is a component of the binarised picture, or of its ground, smaller than one training pixel beside
    a larger one. The hidden variation of a training pixel is the total variation along a line through it beyond the
    difference of its ends, mean over the pixel's lines.
    """
    net = from_pretrained(model)
    cells = WHOLE // SMALL
    rows_: list[dict[str, Any]] = []
    by_row = np.zeros(SMALL)
    for seed in range(seeds):
        p = draw(picture_of(net, seed, detail=detail, sharpness=sharpness), WHOLE, WHOLE)[0]
        hidden = hidden_variation(torch.from_numpy(p)[None, None], cells)[0, 0].numpy()
        by_row += hidden.mean(1) / seeds
        rows_.append({"seed": seed, "specks": small_parts(p, cells**2), "hidden": float(hidden.max())})
    share = {
        "specks or pinholes": statistics.mean(r["specks"] > 0 for r in rows_),
        "hidden variation above .2": statistics.mean(r["hidden"] > 0.2 for r in rows_),
        "above .5": statistics.mean(r["hidden"] > 0.5 for r in rows_),
    }
    targets = ("at most 0.02", "at most 0.10", "0")
    verdicts = [
        {"figure": f"samples with {k}", "value": v, "target": t}
        for (k, v), t in zip(share.items(), targets, strict=True)
    ]
    put(verdicts)
    click.echo("hidden variation by row, thousandths: " + " ".join(f"{1e3 * v:.0f}" for v in by_row))
    how = {"model": model, "seeds": seeds, "detail": detail, "sharpness": sharpness}
    click.echo(str(save("samples_whole", rows_, summary=verdicts, rows_of_pixels=by_row.tolist(), **how)))


def small_parts(picture: np.ndarray, area: float) -> int:
    """Number of components above and below 1/2 with fewer than ``area`` pixels, beside larger ones."""
    from scipy.ndimage import label

    found = 0
    for side in (picture > 0.5, picture <= 0.5):
        parts, n = label(side)
        sizes = np.bincount(parts.ravel(), minlength=n + 1)[1:]
        found += int((sizes < area).sum()) if n > 1 else 0
    return found


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()

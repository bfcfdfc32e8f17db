"""``fractalkit evaluate``: likelihood bounds of a model on a data set, in nats."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.common import answer, command_line, pick_device
from fractalkit.cli.completion import models
from fractalkit.cli.options import PATH, Whole, device_option, json_option, threads_option
from fractalkit.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from fractalkit.models import Sampler


@click.command(
    epilog="""\b
Examples:
  fractalkit evaluate --model vdvae_mnist --data-dir ~/data
  fractalkit evaluate --model runs/a/best.safetensors --split valid --items 1000
  fractalkit evaluate --model vdvae_mnist --k 1000 --k-items 200 --json
  fractalkit evaluate --model vdvae_mnist --data mnist-static --samples 1000

-ELBO is an upper bound on -log p(x); the importance-weighted bound tightens it as k grows. Both are means over
pictures, with the standard error of that mean. With --items, pictures are taken at even distances, so that a split
sorted by class is sampled evenly. --samples reports how many of them a classifier is sure of (above .9), the
shares of the classes, and the Frechet distance of its 64 features, which is not comparable with FID."""
)
@click.option(
    "--model", required=True, metavar="NAME|FILE", shell_complete=models, help="A model, as for fractalkit sample."
)
@click.option("--data-dir", type=PATH, help="Folder with the data.  [default: $FRACTALKIT_DATA]")
@click.option("--data", "dataset", metavar="NAME", help="Data set.  [default: what the model was trained on]")
@click.option("--split", type=click.Choice(["train", "valid", "test"]), default="test")
@click.option("--items", type=Whole(1), help="Number of pictures.  [default: all]")
@click.option("--k", type=Whole(1, 100_000), default=1, help="Samples per picture of the importance-weighted bound.")
@click.option("--k-items", type=Whole(1), help="Number of pictures for that bound.  [default: as --items]")
@click.option("--batch", type=Whole(1, 100_000), default=100)
@click.option("--seed", type=Whole(0, 2**31), default=0, help="Random seed of the latents.")
@click.option("--samples", type=Whole(100, 100_000),
              help="Also judge this many samples by a small classifier, trained on the data for this.")  # fmt: skip
@device_option("cpu", "cuda", "mps")
@threads_option
@json_option
@click.pass_context
def evaluate(
    ctx: click.Context, model: str, data_dir: Path | None, dataset: str | None, split: str, items: int | None, k: int,
    k_items: int | None, batch: int, seed: int, samples: int | None, device: str, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Report -ELBO, importance-weighted bound, KL per layer and bits per dimension of a model on a data set."""
    import torch

    from fractalkit.data.image_sets import load_images
    from fractalkit.models import Sampler, from_pretrained
    from fractalkit.models.scores import evaluate as scores
    from fractalkit.models.scores import spread

    if k == 1 and k_items is not None:
        raise UsageError("--k-items belongs to --k above 1")
    if threads:
        torch.set_num_threads(threads)
    started = time.perf_counter()
    net = from_pretrained(model, device=pick_device(device), kind=Sampler)
    name = dataset or _dataset(net, model)
    data = load_images(name, split, folder=data_dir, size=net.side)
    want = (net.channels, net.side, net.side)
    if data.images.shape[1:] != want:
        raise DataError(f"{name}: its pictures are {list(data.images.shape[1:])}, the model's {list(want)}; use --data")
    binary = data.levels == 2 or data.dynamic
    if binary != net.light_on_dark:
        what = "black and white pixels" if net.light_on_dark else "greys or colours"
        raise DataError(f"{name}: is not of {what}, which {model} gives probabilities of; choose another --data")
    images = spread(data.images, items)
    levels = data.levels
    if data.dynamic:
        images, levels = _binarised(images, seed), 2
    result: dict[str, Any] = {
        "model": model, "data": name, "split": split, "items": len(images), "seed": seed, "command": command_line(ctx)
    }  # fmt: skip
    with _bars() as progress:
        result |= scores(net, images, levels, k=k, k_items=k_items, batch=batch, seed=seed, progress=progress)
    if samples is not None:
        result |= _judged(net, name, data_dir, samples, seed)
    result["seconds"] = round(time.perf_counter() - started, 2)
    answer(result, as_json, "\n".join(_lines(result)))


def _binarised(images: np.ndarray, seed: int) -> np.ndarray:
    """One draw of pixels whose grey values are their probabilities."""
    import numpy as np

    return (np.random.default_rng(seed).integers(0, 255, images.shape) < images).astype(np.uint8)


def _judged(net: Sampler, name: str, folder: Path | None, samples: int, seed: int) -> dict[str, Any]:
    """Scores of samples by a classifier of the grey or coloured pictures."""
    import torch

    from fractalkit.data.image_sets import load_images
    from fractalkit.models.judge import Judge, drawn_small, judged

    source = "mnist" if name.startswith("mnist-") else name
    train, test = (load_images(source, split, folder=folder) for split in ("train", "test"))
    if train.labels is None:
        raise UsageError(f"--samples: {source} has no classes to train a classifier on")
    x, real = (torch.from_numpy(d.images).float() / 255 for d in (train, test))
    judge = Judge.trained(x, torch.from_numpy(train.labels).long())
    some = real[torch.arange(min(len(real), 5000)) * len(real) // min(len(real), 5000)]
    drawn = drawn_small(net, range(seed, seed + samples))
    return {"samples": samples} | judged(judge, drawn, some)


def _dataset(net: Sampler, model: str) -> str:
    """The data set that a model was trained on, by its file or by the name of its configuration."""
    from fractalkit.data.image_sets import DATA_SETS
    from fractalkit.models.configs import CONFIGS

    about = getattr(net, "about", None)
    known = about if isinstance(about, dict) else {}
    if known.get("data") in DATA_SETS:
        return str(known["data"])
    for name in (known.get("model"), Path(model).name.removesuffix(".safetensors")):
        if name in CONFIGS:
            return CONFIGS[name].dataset
    if net.light_on_dark and (net.side, net.channels) == (28, 1):
        return "mnist-static"
    raise UsageError(f"{model}: does not say what it was trained on; give --data")


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int, float], None]]:
    """Show a progress bar for each bound on standard error, where that is a terminal."""
    from tqdm import tqdm

    bars: dict[str, tqdm[Any]] = {}
    with ExitStack() as stack:

        def show(label: str, done: int, total: int, nats: float) -> None:
            if label not in bars:
                bar = tqdm(total=total, disable=None, unit="picture", dynamic_ncols=True, desc=label, leave=False)
                bars[label] = stack.enter_context(bar)
            bars[label].update(done - bars[label].n)
            bars[label].set_postfix(nats=f"{nats:.3f}", refresh=False)

        yield show


def _lines(result: dict[str, Any]) -> list[str]:
    r = result
    out = [
        f"{r['model']} on {r['data']}, {r['split']}, {r['items']:,} pictures, {r['seconds']:.0f} s",
        f"-ELBO           {r['elbo']:9.3f} ± {r['elbo_error']:.3f} nats",
    ]
    if "k" in r:
        label = f"bound, k = {r['k']}"
        out.append(f"{label:15s} {r['bound']:9.3f} ± {r['bound_error']:.3f} nats, {r['k_items']:,} pictures")
    out += [f"distortion      {r['nll']:9.3f} nats", f"rate (KL)       {r['kl']:9.3f} nats"]
    for number, layer in enumerate(r["kl_per_layer"], 1):
        label = f"layer {number}, {layer['side']}x{layer['side']}"
        out.append(f"  {label:13s} {layer['kl']:9.3f}")
    out.append(f"bits/dim        {r['bits_per_dim']:9.4f}")
    if "samples" in r:
        out.append(f"{r['samples']:,} samples: a classifier is sure of {r['sure']:.1%} (real {r['sure_real']:.1%})")
        out.append(f"Frechet distance of its features {r['frechet']:.2f} (real {r['frechet_real']:.2f})")
        out.append("classes " + " ".join(f"{v:.1%}" for v in r["classes"]))
    return out

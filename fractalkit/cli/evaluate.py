"""``fractalkit evaluate``: how well a model knows a data set, in nats."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.common import command_line, emit, pick_device
from fractalkit.cli.completion import models
from fractalkit.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from fractalkit.models.vdvae import VDVAE

CHUNK = 400  # latents drawn at a time, over pictures and their k samples


@click.command(
    epilog="""\b
Examples:
  fractalkit evaluate --model vdvae_mnist --data-dir ~/data
  fractalkit evaluate --model runs/a/best.safetensors --split valid --items 1000
  fractalkit evaluate --model vdvae_mnist --k 1000 --k-items 200 --json

-ELBO is an upper bound on -log p(x); the importance-weighted bound tightens it as k grows. Both are means over
pictures, with the standard error of that mean. Fewer --items than there are are taken at even distances, so that a
split sorted by class is taken fairly."""
)
@click.option("--model", required=True, metavar="NAME|FILE", shell_complete=models, help="As for fractalkit sample.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder with the data.  [default: $FRACTALKIT_DATA]")
@click.option("--data", "dataset", metavar="NAME", help="Data set.  [default: what the model was trained on]")
@click.option("--split", type=click.Choice(["train", "valid", "test"]), default="test", show_default=True)
@click.option("--items", type=click.IntRange(1), metavar="N", help="Pictures.  [default: all]")
@click.option("--k", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Samples of the bound.")
@click.option("--k-items", type=click.IntRange(1), metavar="N", help="Pictures for that bound.  [default: as --items]")
@click.option("--batch", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**31), default=0, show_default=True, help="Of the latents.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1, 4096), metavar="N", help="Processor threads.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def evaluate(
    ctx: click.Context,
    model: str,
    data_dir: Path | None,
    dataset: str | None,
    split: str,
    items: int | None,
    k: int,
    k_items: int | None,
    batch: int,
    seed: int,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """-ELBO, importance-weighted bound, KL per layer and bits per dimension of a model on a data set."""
    import torch

    from fractalkit.data.image_sets import load_images
    from fractalkit.models.hub import from_pretrained

    if k == 1 and k_items is not None:
        raise UsageError("--k-items belongs to --k above 1")
    if threads:
        torch.set_num_threads(threads)
    started = time.perf_counter()
    net = from_pretrained(model, device=pick_device(device), architecture="vdvae")
    name = dataset or _dataset(net, model)
    data = load_images(name, split, folder=data_dir, size=net.config.size)
    want = (net.config.channels, net.config.size, net.config.size)
    if data.images.shape[1:] != want:
        raise DataError(f"{name}: its pictures are {list(data.images.shape[1:])}, the model's {list(want)}; use --data")
    images = _spread(data.images, items)
    result: dict[str, Any] = {
        "model": model, "data": name, "split": split, "items": len(images), "seed": seed, "command": command_line(ctx)
    }  # fmt: skip
    result |= _elbo(net, images, data.levels, batch, seed)
    if k > 1:
        some = _spread(images, k_items)
        mean, error = _bound(net, some, data.levels, k, seed)
        result |= {"k": k, "k_items": len(some), "bound": mean, "bound_error": error}
    dims = images[0].size
    result["bits_per_dim"] = result["elbo"] / dims / math.log(2)
    result["seconds"] = round(time.perf_counter() - started, 2)
    if as_json:
        emit(result)
    else:
        click.echo("\n".join(_lines(result)))


def _dataset(net: VDVAE, model: str) -> str:
    """What a model was trained on: as its file says, or by the name of its configuration."""
    from fractalkit.data.image_sets import DATA_SETS
    from fractalkit.models.configs import CONFIGS

    about = getattr(net, "about", None)
    known = about if isinstance(about, dict) else {}
    if known.get("data") in DATA_SETS:
        return str(known["data"])
    for name in (known.get("model"), Path(model).name.removesuffix(".safetensors")):
        if name in CONFIGS:
            return CONFIGS[name].dataset
    if net.config.likelihood == "bernoulli" and (net.config.size, net.config.channels) == (28, 1):
        return "mnist-static"
    raise UsageError(f"{model}: does not say what it was trained on; give --data")


def _spread(images: np.ndarray, n: int | None) -> np.ndarray:
    """n of them at even distances."""
    import numpy as np

    if n is None or n >= len(images):
        return images
    return images[np.arange(n) * len(images) // n]


def _elbo(net: VDVAE, images: np.ndarray, levels: int, batch: int, seed: int) -> dict[str, Any]:
    import torch
    from tqdm import tqdm

    device = next(net.parameters()).device
    elbo, kl, nll = [], [], []
    with tqdm(total=len(images), disable=None, unit="picture", dynamic_ncols=True, desc="-ELBO", leave=False) as line:
        for start in range(0, len(images), batch):
            generator = torch.Generator(device).manual_seed(seed + start)
            x = torch.from_numpy(images[start : start + batch]).to(device).float() / (levels - 1)
            got = net.eval_losses(x, generator)
            elbo.append(got["elbo"].double().cpu())
            nll.append(got["nll"].double().cpu())
            kl.append(got["kl"].double().cpu())
            line.update(len(x))
            line.set_postfix(nats=f"{float(torch.cat(elbo).mean()):.3f}", refresh=False)
    total = torch.cat(elbo)
    if not bool(torch.isfinite(total).all()):
        raise DataError("the -ELBO of some pictures is not finite; these weights cannot be used")
    sides = [layer.size for layer in net.decoder.layers if layer.kind == "block"]
    per_layer = torch.cat(kl).mean(0).tolist()
    return {
        "elbo": float(total.mean()),
        "elbo_error": _error(total),
        "nll": float(torch.cat(nll).mean()),
        "kl": sum(per_layer),
        "kl_per_layer": [{"side": s, "kl": v} for s, v in zip(sides, per_layer, strict=True)],
    }


def _bound(net: VDVAE, images: np.ndarray, levels: int, k: int, seed: int) -> tuple[float, float]:
    import torch
    from tqdm import tqdm

    device = next(net.parameters()).device
    batch = max(1, CHUNK // k)
    values = []
    with tqdm(
        total=len(images), disable=None, unit="picture", dynamic_ncols=True, desc=f"k = {k}", leave=False
    ) as line:
        for start in range(0, len(images), batch):
            generator = torch.Generator(device).manual_seed(seed + start)
            x = torch.from_numpy(images[start : start + batch]).to(device).float() / (levels - 1)
            values.append(net.importance_bound(x, generator, k, chunk=min(k, CHUNK)).double().cpu())
            line.update(len(x))
            line.set_postfix(nats=f"{float(torch.cat(values).mean()):.3f}", refresh=False)
    total = torch.cat(values)
    return float(total.mean()), _error(total)


def _error(values: Any) -> float:
    """Standard error of a mean."""
    return float(values.std() / math.sqrt(len(values))) if len(values) > 1 else math.nan


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
    return out

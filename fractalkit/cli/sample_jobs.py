"""Samples of a model over processes or the machines of a Dask cluster, a few pictures per job."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractalkit.cli.batch import full_name, is_made
from fractalkit.cli.common import pick_device, warn
from fractalkit.errors import DataError
from fractalkit.jobs import map_items
from fractalkit.raster.png import SEED_KEY

if TYPE_CHECKING:
    import torch

    from fractalkit.models.sampling import Sampler
    from fractalkit.render.pictures import View

PIXELS = 1 << 22  # per job: a second or less, so that little is lost with a worker
MOST = 64  # pictures per job
FREE = {
    "-n": 1, "--seed": 1, "--threads": 1, "--json": 0,
}  # options that do not affect a picture whose own seed is known  # fmt: skip


def spread(
    model: str, seeds: Sequence[int], paths: Sequence[Path], view: View, texts: dict[str, str], *, how: dict[str, Any],
    source: Path | None, device: str, jobs: int | None, cluster: str | None, force: bool,
) -> int:  # fmt: skip
    """Draw the picture of each seed to its path, skipping existing ones, and return how many were drawn.

    Args:
        model: name or file, ``source``: a picture to reconstruct; on a cluster, files that all machines share.
        texts: metadata of each picture, beside its seed.
        how: options of :func:`fractalkit.models.pictures`.
        force: draw existing pictures too.

    Raises:
        DataError: some pictures could not be drawn; the others are written.
    """
    from tqdm import tqdm

    rows, columns = view.shape
    each = max(1, min(MOST, PIXELS // (rows * columns)))
    if cluster is None:
        each = max(1, min(each, len(seeds) // (jobs or os.cpu_count() or 1)))
    common: dict[str, Any] = {
        "model": full_name(model), "from": None if source is None else full_name(source), "view": view, "texts": texts,
        "how": how, "device": device, "force": force,
    }  # fmt: skip
    left = [(s, os.path.abspath(p)) for s, p in zip(seeds, paths, strict=True) if force or not _is_there(common, s, p)]
    items: list[dict[str, Any]] = [common | {"pictures": left[i : i + each]} for i in range(0, len(left), each)]
    drawn, failures = 0, []
    with tqdm(total=len(left), desc="draw", unit="picture", disable=None) as bar:
        for k, result in map_items(draw_some, items, jobs=jobs, cluster=cluster):
            bar.update(len(items[k]["pictures"]))
            if isinstance(result, Exception):
                failures.append(str(result))
            else:
                drawn += result
    if failures:
        raise DataError(
            f"{len(failures)} of {len(items)} jobs failed, the first with: {failures[0]}; the others are done"
        )
    return drawn


def draw_some(item: dict[str, Any]) -> int:
    """Draw the missing pictures of a job and return their number."""
    import torch

    from fractalkit.render.pictures import save_picture

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # an item of a worker that died may be repeated with some of its pictures done
        left = [(s, Path(p)) for s, p in item["pictures"] if item["force"] or not _is_there(item, s, p)]
        if not left:
            return 0
        pictures = draw(_model(item["model"], item["device"]), [s for s, _ in left], item["from"], item["how"])
        for picture, (seed, path) in zip(pictures, left, strict=True):
            save_picture(picture, path, item["view"], text=item["texts"] | {SEED_KEY: str(seed)}, threads=1)
        return len(left)
    finally:
        torch.set_num_threads(before)


def draw(net: Sampler, seeds: Sequence[int], source: str | None, how: dict[str, Any]) -> list[Any]:
    """Sample each seed, or reconstruct a picture with its noise."""
    from fractalkit.models.sampling import pictures

    like = None if source is None else read(Path(source), net)
    return pictures(net, seeds, like=like, **how)


def read(path: Path, net: Sampler) -> torch.Tensor:
    """Read a picture as input of a model, ``[1, C, S, S]`` in [0, 1]; warn if it looks like a negative."""
    import torch

    from fractalkit.data.images import read_square

    if not path.is_file():
        raise DataError(f"{path}: there is no such file; check the name")
    x = torch.from_numpy(read_square(path, net.side, net.channels).copy()).float()[None] / 255
    border = torch.cat([x[..., 0, :].flatten(), x[..., -1, :].flatten(), x[..., 0].flatten(), x[..., -1].flatten()])
    if net.light_on_dark and float(border.mean()) > 0.5:
        warn(
            f"{path}: has a light border, but the model knows light strokes on dark ground; "
            "invert it if the reconstruction is poor"
        )
    return x.to(next(net.parameters()).device)


@lru_cache(maxsize=2)
def _model(name: str, device: str) -> Sampler:
    """Load a model, cached between the jobs of a process."""
    from fractalkit.models import Sampler, from_pretrained

    return from_pretrained(name, device=pick_device(device), kind=Sampler)


def _is_there(item: dict[str, Any], seed: int, path: str | Path) -> bool:
    texts = item["texts"] | {SEED_KEY: str(seed)}
    return is_made(Path(path), texts, [item["model"], item["from"] or ""], FREE)

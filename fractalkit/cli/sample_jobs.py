"""Samples of a model over processes, or over the machines of a Dask cluster: a few pictures a job."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractalkit.cli.batch import full_name, is_made
from fractalkit.cli.common import SEED_KEY
from fractalkit.errors import DataError
from fractalkit.jobs import map_items

if TYPE_CHECKING:
    from fractalkit.models.vdvae import VDVAE
    from fractalkit.render.pictures import View

PIXELS = 1 << 22  # of a job, about: a second or less, and so little is lost with a worker
MOST = 64  # pictures of a job
FREE = {"-n": 1, "--seed": 1, "--threads": 1, "--json": 0}  # what a picture does not depend on, its own seed apart


def spread(
    model: str,
    seeds: Sequence[int],
    paths: Sequence[Path],
    view: View,
    texts: dict[str, str],
    *,
    temperature: float,
    source: Path | None,
    device: str,
    jobs: int | None,
    cluster: str | None,
    force: bool,
) -> int:
    """Draw the picture of each seed into its path, those apart that are there; how many were drawn.

    Args:
        model: name or file, ``source``: a picture to reconstruct; on a cluster, files that all machines share.
        texts: what each picture carries, beside its seed.
        force: draw them all.

    Raises:
        DataError: some could not be drawn; the others are there.
    """
    from tqdm import tqdm

    rows, columns = view.shape
    each = max(1, min(MOST, PIXELS // (rows * columns)))
    if cluster is None:
        each = max(1, min(each, len(seeds) // (jobs or os.cpu_count() or 1)))
    common: dict[str, Any] = {
        "model": full_name(model), "from": None if source is None else full_name(source), "view": view, "texts": texts,
        "temperature": temperature, "device": device, "force": force,
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
    """The pictures of a job that are not there; how many were drawn."""
    import torch

    from fractalkit.render.pictures import save_picture

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # an item may come again whose worker died, with some of its pictures done
        left = [(s, Path(p)) for s, p in item["pictures"] if item["force"] or not _is_there(item, s, p)]
        if not left:
            return 0
        pictures = draw(_model(item["model"], item["device"]), [s for s, _ in left], item["temperature"], item["from"])
        for picture, (seed, path) in zip(pictures, left, strict=True):
            save_picture(picture, path, item["view"], text=item["texts"] | {SEED_KEY: str(seed)}, threads=1)
        return len(left)
    finally:
        torch.set_num_threads(before)


def draw(net: VDVAE, seeds: Sequence[int], temperature: float, source: str | None) -> list[Any]:
    """The sample of each seed, or what each makes of a picture, to be drawn at any size."""
    import torch

    from fractalkit.cli.sample import picture_of, read

    generators = [torch.Generator().manual_seed(s) for s in seeds]
    if source is not None:
        h = net.infer(read(Path(source), net).expand(len(seeds), -1, -1, -1), generators)
    else:
        h = net.sample(generators, temperature)
    return [picture_of(net, h[i : i + 1]) for i in range(len(seeds))]


@lru_cache(maxsize=2)
def _model(name: str, device: str) -> VDVAE:
    """Kept between the jobs of a process."""
    from fractalkit.cli.common import pick_device
    from fractalkit.models.hub import from_pretrained

    model: VDVAE = from_pretrained(name, device=pick_device(device), architecture="vdvae")
    return model


def _is_there(item: dict[str, Any], seed: int, path: str | Path) -> bool:
    texts = item["texts"] | {SEED_KEY: str(seed)}
    return is_made(Path(path), texts, [item["model"], item["from"] or ""], FREE)

"""``fractalkit train``: a configuration by name, its data, and the loop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.common import command_line, emit, pick_device
from fractalkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import nn

    from fractalkit.train.config import TrainConfig

SETTINGS: dict[str, tuple[Any, str]] = {
    "steps": (int, "Steps in all."),
    "batch": (int, "Pictures a step, over all processes."),
    "parts": (int, "Compute each batch in so many parts: less memory, or several processes."),
    "lr": (float, "Peak learning rate."),
    "warmup": (int, "Steps over which the learning rate rises."),
    "schedule": (click.Choice(["cosine", "constant"]), "What the learning rate does then."),
    "final": (float, "Where the cosine ends, as a share of --lr."),
    "decay": (float, "Weight decay."),
    "clip": (float, "Largest norm of the gradient; 0 for any."),
    "skip": (float, "Leave out steps whose gradient has a larger norm; 0 for none."),
    "ema": (float, "Decay of the moving average of the weights."),
    "bf16": (bool, "Compute in bfloat16 where that is safe."),
    "channels_last": (bool, "Memory format of convolutions."),
    "compile": (bool, "Compile with torch.compile."),
    "seed": (int, "Fixes weights, order and noise."),
    "log_every": (int, "Steps a line of the log averages over."),
    "valid_every": (int, "Steps between validations; 0 only at the end."),
    "valid_items": (int, "Pictures to validate on; 0 for all."),
    "valid_batch": (int, "Of those, how many at a time."),
    "save_every": (int, "Steps between checkpoints; 0 by time only."),
    "save_minutes": (float, "Minutes between checkpoints; 0 by steps only."),
}


def settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for every setting of the loop, None where it is not given."""
    for name, (kind, text) in reversed(SETTINGS.items()):
        dashed = name.replace("_", "-")
        flag = f"--{dashed}/--no-{dashed}" if kind is bool else f"--{dashed}"
        extra: dict[str, Any] = {} if kind is bool else {"type": kind}
        if kind in (int, float):
            extra["metavar"] = "N" if kind is int else "X"
        command = click.option(flag, name, default=None, help=text, **extra)(command)
    return command


@click.command(
    epilog="""\b
Examples:
  fractalkit train vdvae_mnist                       into runs/vdvae_mnist; fetches MNIST
  fractalkit train vdvae_mnist --data-dir ~/data --out runs/a --steps 20000 --seed 1
  fractalkit train vdvae_mnist --out runs/a --resume       goes on after a stop or a kill
  fractalkit train vdvae_mnist --out runs/b --init runs/a/best.safetensors --lr 1e-4
  torchrun --nproc-per-node 2 -m fractalkit train vdvae_mnist --out runs/c

Settings not given are those of the model's configuration, or with --resume those the run began with.
A run that was stopped, killed or moved and then resumed gives the weights of one that was not."""
)
@click.argument("model", required=False)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder with the data.  [default: $FRACTALKIT_DATA]")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/MODEL]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, or begin where there is none.")
@click.option("--fresh", is_flag=True, help="Begin anew; replaces the run in --out.")
@click.option("--init", type=click.Path(path_type=Path), help="Weights to begin with, safetensors.")
@click.option("--size", type=click.IntRange(1, 4096), help="Side of the pictures, for a folder of your own.")
@click.option("--minutes", type=click.FloatRange(0), metavar="X", help="Stop after so long, with a checkpoint.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1, 4096), metavar="N", help="Processor threads.")
@settings
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
@click.option("--list", "list_", is_flag=True, help="List the configurations.")
@click.pass_context
def train(
    ctx: click.Context,
    model: str | None,
    data_dir: Path | None,
    out: Path | None,
    resume: bool,
    fresh: bool,
    init: Path | None,
    size: int | None,
    minutes: float | None,
    device: str,
    threads: int | None,
    as_json: bool,
    list_: bool,
    **given: Any,
) -> int:
    """Train MODEL, a configuration by name (see --list).

    Written into the folder of the run are checkpoint.safetensors (all that is needed to go on), best.safetensors (the
    averaged weights that did best in validation), last.safetensors and log.jsonl.
    """
    from fractalkit.models.configs import CONFIGS

    if list_:
        _list(CONFIGS, as_json)
        return 0
    if model is None or model not in CONFIGS:
        what = "give a MODEL" if model is None else f"model {model!r} is unknown"
        raise UsageError(f"{what}; there are {', '.join(CONFIGS)} (--list says more)")
    if resume and fresh:
        raise UsageError("--resume and --fresh contradict each other; give one of them")
    chosen = CONFIGS[model]
    folder = out or Path("runs") / model
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; give --out the name of a folder")
    changes = {k: v for k, v in given.items() if v is not None}
    where = pick_device(device)

    import torch

    from fractalkit.data.image_sets import load_images
    from fractalkit.train.loop import BEST, LAST
    from fractalkit.train.loop import train as run
    from fractalkit.train.randomness import WEIGHTS, seed_of
    from fractalkit.train.ranks import processes

    if threads:
        torch.set_num_threads(threads)
    config = _config(chosen.train, changes, folder, model, resume, fresh)
    data, valid = (load_images(chosen.dataset, s, folder=data_dir, size=size) for s in ("train", "valid"))
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(config.seed, WEIGHTS))
        net: nn.Module = chosen.build()
    about = {"model": model, "command": command_line(ctx)}
    if init is not None:
        from fractalkit.train.state import load_weights

        load_weights(net, init)
        about["init"] = str(init)
    with processes(where) as ranks, stop_signal() as stopped:
        with bar(config.steps, ranks.first) as progress, enough_memory():
            result = run(
                net,
                data,
                folder,
                config,
                valid=valid,
                ranks=ranks,
                about=about,
                resume=resume,
                minutes=minutes,
                stop=stopped,
                progress=progress,
            )
        if not ranks.first:
            return 130 if result.reason == "interrupted" else 0
    weights = folder / (LAST if result.best is None else BEST)
    if as_json:
        emit(
            {
                "model": model,
                "out": str(folder),
                "parameters": sum(p.numel() for p in net.parameters()),
                "step": result.step,
                "steps": config.steps,
                "reason": result.reason,
                "best_valid_nats": result.best,
                "best_step": result.best_step,
                "skipped": result.skipped,
                "seconds": result.seconds,
                "weights": str(weights),
                "config": config.to_dict(),
            }
        )
    elif result.reason != "interrupted":
        best = "" if result.best is None else f"; best validation {result.best:.3f} nats at step {result.best_step:,}"
        left_out = f"; {result.skipped:,} left out" if result.skipped else ""
        click.echo(f"{result.step:,} of {config.steps:,} steps in {_duration(result.seconds)}{left_out}{best}")
        click.echo(str(weights) if result.reason == "steps" else f"time is up; --out {folder} --resume goes on")
    if result.reason == "interrupted":
        click.echo(
            f"fractalkit: interrupted after step {result.step:,}, which is saved; --out {folder} --resume goes on",
            err=True,
        )
        return 130
    return 0


def _config(
    default: TrainConfig, changes: dict[str, Any], folder: Path, model: str, resume: bool, fresh: bool
) -> TrainConfig:
    """The settings: the configuration's, or the run's own where it is resumed, with those given on top."""
    from fractalkit.train.config import TrainConfig
    from fractalkit.train.loop import CHECKPOINT, existing_run

    base = default
    if not fresh and (head := existing_run(folder)) is not None:
        step = head["state"]["step"]
        if not resume:
            raise UsageError(f"{folder}: holds a run at step {step:,}; --resume goes on, --fresh replaces it")
        if head["about"].get("model") != model:
            raise DataError(f"{folder}: holds a run of {head['about'].get('model')}, not of {model}; use another --out")
        try:
            base = TrainConfig.from_dict(head["config"])
        except DataError as error:
            raise DataError(f"{folder / CHECKPOINT}: {error}") from error
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if "parts" not in changes and base.parts % world:
        changes = changes | {"parts": world}
    return base.with_changes(changes)


def _list(configs: Any, as_json: bool) -> None:
    rows = [{"name": n, "data": c.dataset, "steps": c.train.steps, "batch": c.train.batch} for n, c in configs.items()]
    if as_json:
        emit({"configurations": rows})
        return
    wide = max(len(str(row["name"])) for row in rows)
    click.echo(f"{'name':{wide}s}  {'data':12s}  {'steps':>9s}  batch")
    for row in rows:
        click.echo(f"{row['name']:{wide}s}  {row['data']:12s}  {row['steps']:9,d}  {row['batch']:5d}")


@contextmanager
def stop_signal() -> Iterator[Callable[[], bool]]:
    """A function that says whether the run was asked to end, by Ctrl-C or SIGTERM; a second Ctrl-C ends it at once."""
    asked = threading.Event()

    def handle(number: int, frame: Any) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def enough_memory() -> Iterator[None]:
    """Say what helps where the memory, of the machine or of its GPU, is not enough."""
    import torch

    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise DataError(
            "not enough memory; double --parts (the result is of the same quality), or lower --batch"
        ) from error


@contextmanager
def bar(steps: int, show: bool) -> Iterator[Callable[[int, dict[str, Any]], None]]:
    """A progress bar on standard error, where that is a terminal."""
    from tqdm import tqdm

    with tqdm(total=steps, disable=None if show else True, unit="step", dynamic_ncols=True) as line:

        def update(step: int, values: dict[str, Any]) -> None:
            if line.n == 0 and step > 1:
                line.initial = step - 1  # a resumed run: leave the steps done before out of the rate
                line.n = step - 1
            shown = {k: f"{v:.2f}" for k, v in values.items() if isinstance(v, float)}
            line.set_postfix(shown, refresh=False)
            line.update(step - line.n)

        yield update


def _duration(seconds: float) -> str:
    """As a person says it.

    >>> _duration(59.2), _duration(3725)
    ('59.2 s', '1 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"

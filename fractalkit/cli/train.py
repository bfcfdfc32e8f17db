"""``fractalkit train``: a configuration by name, its data, and the loop."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.common import command_line, emit, pick_device
from fractalkit.cli.options import PATH, Real, Whole, device_option, json_option, threads_option
from fractalkit.cli.train_files import SETTINGS_FILE, RunSettings, sheets, tensorboard
from fractalkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import nn

    from fractalkit.data.image_set import ImageSet
    from fractalkit.models.configs import Config
    from fractalkit.train import TrainConfig, TrainResult

SETTINGS: dict[str, tuple[Any, str]] = {
    "steps": (int, "Total number of steps."),
    "batch": (int, "Pictures per step, over all processes."),
    "parts": (int, "Micro-batches per batch, to save memory or for several processes."),
    "lr": (float, "Peak learning rate."),
    "warmup": (int, "Steps over which the learning rate rises."),
    "schedule": (click.Choice(["cosine", "constant"]), "Learning rate after the warm-up."),
    "final": (float, "End of the cosine, as a share of --lr."),
    "decay": (float, "Weight decay."),
    "clip": (float, "Largest norm of the gradient; 0 disables clipping."),
    "skip": (float, "Skip steps whose gradient has a larger norm; 0 skips none."),
    "sigmas": (float, "Skip steps whose log gradient norm is X deviations above its running mean; 0 skips none."),
    "flip": (bool, "Mirror each picture with probability 1/2."),
    "only": (str, "Train only parameters whose names match this pattern, such as '*.deep.*'."),
    "ema": (float, "Decay of the moving average of the weights."),
    "bf16": (bool, "Use bfloat16 autocast."),
    "channels_last": (bool, "Memory format of convolutions."),
    "compile": (bool, "Compile with torch.compile."),
    "seed": (int, "Seed of weights, order and noise."),
    "log_every": (int, "Steps averaged in each line of the log."),
    "valid_every": (int, "Steps between validations; 0 only at the end."),
    "valid_items": (int, "Number of validation pictures; 0 for all."),
    "valid_batch": (int, "Pictures per batch in validation."),
    "save_every": (int, "Steps between checkpoints; 0 by time only."),
    "save_minutes": (float, "Minutes between checkpoints; 0 by steps only."),
}


def settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for every setting of the loop; None where it is not given."""
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
  fractalkit train vdvae_mnist --out runs/a --resume       continues after a stop or a kill
  fractalkit train vdvae_mnist --out runs/b --init runs/a/best.safetensors --lr 1e-4
  fractalkit train vdvae_mnist --out runs/c --set width=192 --set smooth=0.1
  fractalkit train vdvae_mnist --data fashion --out runs/clothes --sample-every 500
  fractalkit train vdvae_cifar10 --data ~/photos --size 64     the middle square of each photograph
  fractalkit train --config runs/c/run.toml --out runs/d --steps 5000
  torchrun --nproc-per-node 2 -m fractalkit train vdvae_mnist --out runs/c

Settings default to those of --config and of the model's configuration, or with --resume to those of the run. The
model is fitted to the data: size, channels, classes, and the likelihood, of black and white or of greys and colours.
A run that was stopped, killed or moved and then resumed gives the same weights as an uninterrupted one."""
)
@click.argument("model", required=False)
@click.option("--data-dir", type=PATH, help="Folder with the data.  [default: $FRACTALKIT_DATA]")
@click.option("-o", "--out", type=PATH, help="Folder of the run.  [default: runs/MODEL]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, or begin one.")
@click.option("--fresh", is_flag=True, help="Start over, replacing the run in --out.")
@click.option("--init", type=PATH, help="Initial weights, a safetensors file.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE",
              help="Change a setting of the model, such as width=192; may be repeated.")  # fmt: skip
@click.option("--data", "dataset", metavar="NAME|FOLDER",
              help="Data set, or a folder of pictures.  [default: the configuration's]")  # fmt: skip
@click.option("--config", "config_file", type=PATH, help="Settings, a TOML file such as the run.toml of another run.")
@click.option("--sample-every", type=Whole(0), default=0, help="Steps between sheets of samples; 0 draws none.")
@click.option("--tensorboard", "board", is_flag=True, help="Also log for TensorBoard, which must be installed.")
@click.option("--size", type=Whole(1, 4096), help="Side of the pictures, for your own folder.")
@click.option("--minutes", type=Real(0), help="Stop after this time with a checkpoint.")
@device_option("cpu", "cuda", "mps")
@threads_option
@settings
@json_option
@click.option("--list", "list_", is_flag=True, help="List the configurations.")
@click.pass_context
def train(
    ctx: click.Context, model: str | None, data_dir: Path | None, out: Path | None, resume: bool, fresh: bool,
    init: Path | None, changes: tuple[str, ...], dataset: str | None, config_file: Path | None, sample_every: int,
    board: bool, size: int | None, minutes: float | None, device: str, threads: int | None, as_json: bool, list_: bool,
    **given: Any,
) -> int:  # fmt: skip
    """Train MODEL, a configuration by name (see --list).

    The folder of the run receives checkpoint.safetensors (all that is needed to go on), best.safetensors (the averaged
    weights with the best validation), last.safetensors, log.jsonl, and run.toml, its settings for --config.
    """
    from fractalkit.models.configs import CONFIGS

    if list_:
        _list(CONFIGS, as_json)
        return 0
    file = RunSettings() if config_file is None else RunSettings.read(config_file)
    chosen = _chosen(CONFIGS, model or file.model)
    if resume and fresh:
        raise UsageError("--resume and --fresh contradict each other; give one of them")
    folder = out or Path("runs") / chosen.name
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; give --out the name of a folder")
    where = pick_device(device)

    import torch

    from fractalkit.train import Hooks, processes
    from fractalkit.train import train as run

    if threads:
        torch.set_num_threads(threads)
    options = {k: v for k, v in given.items() if v is not None}
    plan = _Plan.of(chosen, folder, file, resume, fresh, options, _parsed(changes), dataset, data_dir, size, init)
    plan.about["command"] = command_line(ctx)
    net, config = plan.network(init), plan.config
    folder.mkdir(parents=True, exist_ok=True)
    hooks = Hooks(sheets(folder) if sample_every else None, sample_every, tensorboard(folder) if board else None)
    with (
        processes(where) as ranks,
        stop_signal() as stopped,
        bar(config.steps, ranks.first) as progress,
        enough_memory(),
    ):
        if ranks.first:
            plan.settings().write(folder / SETTINGS_FILE)
        result = run(
            net, plan.data, folder, config, valid=plan.valid, ranks=ranks, about=plan.about, resume=resume,
            minutes=minutes, stop=stopped, progress=progress, hooks=hooks,
        )  # fmt: skip
    if ranks.first:
        _report(result, config, {"model": chosen.name, "out": str(folder), "parameters": _count(net)}, as_json)
    return 130 if result.reason == "interrupted" else 0


@dataclass(frozen=True)
class _Plan:
    """What a run is made of: the settings of the model and the loop, and the data."""

    chosen: Config
    config: TrainConfig
    set: dict[str, Any]
    source: str
    data: ImageSet
    valid: ImageSet
    about: dict[str, Any]

    @staticmethod
    def of(
        chosen: Config, folder: Path, file: RunSettings, resume: bool, fresh: bool, options: dict[str, Any],
        changes: dict[str, Any], dataset: str | None, data_dir: Path | None, size: int | None, init: Path | None,
    ) -> _Plan:  # fmt: skip
        """Join the options, the file of settings, and what the run in the folder began with."""
        from fractalkit.train.loop import existing_run

        head = None if fresh else existing_run(folder)
        known = (head or {}).get("about", {})
        config = _config(chosen.train, file.train | options, folder, chosen.name, resume, head)
        changes = _model_changes(changes if head else file.set | changes, head)
        began_on = known.get("data_from")
        source = dataset or file.data or began_on or chosen.dataset
        if began_on not in (None, source):
            raise DataError(
                f"{folder}: holds a run on {began_on}, not on {source}; leave --data out, or use another --out"
            )
        data, valid = _images(source, data_dir, size or chosen.side(changes), changes.get("channels"))
        changes = chosen.fit(changes, data)
        about = {"model": chosen.name, "set": json.dumps(changes), "data_from": source}
        begun_with = str(init) if init is not None else known.get("init")
        if begun_with is not None:
            about["init"] = begun_with
        return _Plan(chosen, config, changes, source, data, valid, about)

    def network(self, init: Path | None) -> nn.Module:
        """The network with its initial weights."""
        from fractalkit.train import load_weights
        from fractalkit.train.state import initial_weights

        trained = "init" in self.about
        net = initial_weights(lambda: self.chosen.build(self.set, trained=trained), self.config.seed)
        if init is not None:
            load_weights(net, init)
        return net

    def settings(self) -> RunSettings:
        """The run as a file."""
        return RunSettings(self.chosen.name, self.source, self.set, self.config.to_dict())


def _images(source: str, folder: Path | None, size: int | None, channels: int | None) -> list[ImageSet]:
    """The splits for training and validation of a data set by name, or of a folder of pictures."""
    from fractalkit.data.image_sets import DATA_SETS, load_images

    name = source
    if source not in DATA_SETS:
        if not Path(source).is_dir():
            there = "is no folder" if Path(source).exists() or len(Path(source).parts) > 1 else "is unknown"
            raise UsageError(f"--data {source}: {there}; give a folder of pictures or one of {', '.join(DATA_SETS)}")
        if folder is not None:
            raise UsageError("--data-dir: is for data sets by name; --data names a folder already")
        name, folder = "images", Path(source)
    return [load_images(name, split, folder=folder, size=size, channels=channels) for split in ("train", "valid")]


def _chosen(configs: Mapping[str, Config], model: str | None) -> Config:
    if model is None or model not in configs:
        what = "give a MODEL" if model is None else f"model {model!r} is unknown"
        raise UsageError(f"{what}; there are {', '.join(configs)} (--list says more)")
    return configs[model]


def _count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def _report(result: TrainResult, config: TrainConfig, facts: dict[str, Any], as_json: bool) -> None:
    """Print the outcome of a run."""
    from fractalkit.train.loop import BEST, LAST

    folder = facts["out"]
    weights = Path(folder) / (LAST if result.best is None else BEST)
    if as_json:
        figures = {
            "step": result.step, "steps": config.steps, "reason": result.reason, "best_valid_nats": result.best,
            "best_step": result.best_step, "skipped": result.skipped, "seconds": result.seconds,
            "weights": str(weights), "config": config.to_dict(),
        }  # fmt: skip
        emit(facts | figures)
    elif result.reason != "interrupted":
        best = "" if result.best is None else f"; best validation {result.best:.3f} nats at step {result.best_step:,}"
        skipped = f"; {result.skipped:,} skipped" if result.skipped else ""
        click.echo(f"{result.step:,} of {config.steps:,} steps in {_duration(result.seconds)}{skipped}{best}")
        click.echo(str(weights) if result.reason == "steps" else f"time is up; --out {folder} --resume continues it")
    if result.reason == "interrupted":
        click.echo(
            f"fractalkit: interrupted after step {result.step:,}, which is saved; --out {folder} --resume continues it",
            err=True,
        )


def _config(
    default: TrainConfig, changes: dict[str, Any], folder: Path, model: str, resume: bool, head: dict[str, Any] | None
) -> TrainConfig:
    """Settings of the configuration, or of the run that is resumed, with the given ones on top."""
    from fractalkit.train.config import TrainConfig
    from fractalkit.train.loop import CHECKPOINT

    base = default
    if head is not None:
        step = head["state"]["step"]
        if not resume:
            raise UsageError(f"{folder}: holds a run at step {step:,}; --resume continues it, --fresh replaces it")
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


def _model_changes(changes: dict[str, Any], head: dict[str, Any] | None) -> dict[str, Any]:
    """Settings of the model that differ from its configuration: the given ones, or those of the run that is resumed."""
    if head is None:
        return changes
    try:
        stored = json.loads(head["about"].get("set", "{}"))
    except (TypeError, ValueError):
        stored = None
    if not isinstance(stored, dict):
        raise DataError("the checkpoint in --out: its settings of the model are damaged; start over with --fresh")
    if any(name not in stored or stored[name] != value for name, value in changes.items()):
        raise UsageError("--set: the run in --out has other settings of the model; leave --set out to resume it")
    return stored


def _parsed(given: tuple[str, ...]) -> dict[str, Any]:
    """``NAME=VALUE`` texts by name; values are numbers, true, false or words."""
    out: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {text}: expected NAME=VALUE, such as width=192")
        try:
            out[name.strip()] = json.loads(value)
        except ValueError:
            out[name.strip()] = value.strip()
    return out


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
    """Yield a function that tells whether Ctrl-C or SIGTERM asked the run to end; a second Ctrl-C ends it at once."""
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
    """Turn a lack of memory, of the machine or of its GPU, into advice."""
    import torch

    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise DataError(
            "not enough memory; double --parts (the result is of the same quality), or lower --batch"
        ) from error


@contextmanager
def bar(steps: int, show: bool) -> Iterator[Callable[[int, dict[str, Any]], None]]:
    """Show a progress bar on standard error, where that is a terminal."""
    from tqdm import tqdm

    with tqdm(total=steps, disable=None if show else True, unit="step", dynamic_ncols=True) as line:

        def update(step: int, values: dict[str, Any]) -> None:
            if line.n == 0 and step > 1:
                line.initial = step - 1  # a resumed run: earlier steps do not count towards the rate
                line.n = step - 1
            shown = {k: f"{v:.2f}" for k, v in values.items() if isinstance(v, float)}
            line.set_postfix(shown, refresh=False)
            line.update(step - line.n)

        yield update


def _duration(seconds: float) -> str:
    """Format a duration for people.

    >>> _duration(59.2), _duration(3725)
    ('59.2 s', '1 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"

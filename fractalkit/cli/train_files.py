"""Files beside a run: its settings as TOML, sheets of samples, and events for TensorBoard."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractalkit.errors import DataError, UsageError, first_line, naming
from fractalkit.files import atomic_path

if TYPE_CHECKING:
    from torch import nn

SETTINGS_FILE = "run.toml"
SHEETS = "samples"
SAMPLES = 16  # on a sheet
MAX_CONFIG = 1 << 20  # bytes


@dataclass(frozen=True)
class RunSettings:
    """A run as a file of settings holds it.

    Attributes:
        model, data: names; None where the file says nothing.
        set: settings of the model that differ from its configuration.
        train: settings of the loop that differ.
    """

    model: str | None = None
    data: str | None = None
    set: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def read(path: Path) -> RunSettings:
        """Read a TOML file with the keys model and data and the tables [set] and [train].

        Raises:
            DataError: no such file, no TOML, or values of another kind.
            UsageError: an unknown key.
        """
        with naming(path):
            if path.stat().st_size > MAX_CONFIG:
                raise DataError("is too large for a file of settings")
            try:
                found = tomllib.loads(path.read_text(encoding="utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
                raise DataError(f"is no TOML ({first_line(error)})") from error
        if unknown := sorted(set(found) - {"model", "data", "set", "train"}):
            raise UsageError(f"{path}: {unknown[0]!r} is unknown; there are model, data, [set] and [train]")
        for key, kind, words in (("model", str, "a word"), ("data", str, "a word"), ("set", dict, "a table"),
                                 ("train", dict, "a table")):  # fmt: skip
            if key in found and not isinstance(found[key], kind):
                raise DataError(f"{path}: {key}: expected {words}")
        return RunSettings(**found)

    def write(self, path: Path) -> None:
        """Write the file that :meth:`read` reads."""
        lines = [f"{key} = {json.dumps(value)}" for key, value in (("model", self.model), ("data", self.data)) if value]
        for name, table in (("set", self.set), ("train", self.train)):
            lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        with atomic_path(path) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def sheets(folder: Path) -> Callable[[nn.Module, int], None]:
    """A function that draws a sheet of samples of a network at a step: ``samples/step-000500.png``, seeds 0 to 15."""

    def draw(net: nn.Module, step: int) -> None:
        import torch

        from fractalkit.models import Sampler, pictures
        from fractalkit.render.pictures import View, save_sheet

        if not isinstance(net, Sampler):
            raise UsageError("--sample-every: is for models that draw samples")
        (folder / SHEETS).mkdir(exist_ok=True)
        side = 4 * net.side if net.any_size else net.side
        with torch.no_grad():
            drawn = pictures(net, range(SAMPLES))
        save_sheet(drawn, folder / SHEETS / f"step-{step:06d}.png", View(side, side), threads=1)

    return draw


def tensorboard(folder: Path) -> Callable[[str, int, dict[str, Any]], None]:
    """A function that writes the numbers of the log as TensorBoard's events, into ``tensorboard``.

    Raises:
        UsageError: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError("--tensorboard: needs the package tensorboard; `pip install tensorboard`") from error
    writer = SummaryWriter(str(folder / "tensorboard"))

    def write(kind: str, step: int, values: dict[str, Any]) -> None:
        for key, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                writer.add_scalar(f"{kind}/{key}", value, step)
        writer.flush()

    return write

"""Training: one loop with a moving average, exact resume, several processes and a log.

It knows no model by name: a network only has to offer the methods of :class:`Trainable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fractalkit.lazy import attach

if TYPE_CHECKING:
    from fractalkit.train.config import TrainConfig
    from fractalkit.train.loop import Hooks, Trainable, TrainResult, train
    from fractalkit.train.ranks import Ranks, processes
    from fractalkit.train.state import load_weights

__all__ = ["Hooks", "Ranks", "TrainConfig", "TrainResult", "Trainable", "load_weights", "processes", "train"]

_HOMES = {
    "Hooks": ".loop", "Ranks": ".ranks", "TrainConfig": ".config", "TrainResult": ".loop", "Trainable": ".loop",
    "load_weights": ".state", "processes": ".ranks", "train": ".loop",
}  # fmt: skip
__getattr__, __dir__ = attach(__name__, _HOMES)

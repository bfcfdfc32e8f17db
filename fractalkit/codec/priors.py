"""Initial states of the contexts of a syntax, learned from other files of its kind.

They are part of the format: a file can only be read with the priors it was written with. ``recipes/codec_priors.py``
and ``recipes/cloud_priors.py`` made them by coding many pictures, or clouds, one after the other and saving the final
state of the contexts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources

import numpy as np

from fractalkit.codec.entropy import models

Models = tuple[np.ndarray, np.ndarray, np.ndarray]
TRUST = 30  # uses that a learned probability counts as, at most


@dataclass(frozen=True, eq=False)
class Priors:
    """The priors of one syntax.

    Attributes:
        file: their ``.npz`` file in this package.
        shapes: numbers of contexts and of weight sets, by the name of a segment.
    """

    file: str
    shapes: Mapping[str, tuple[int, int]]

    def fresh(self, name: str) -> Models:
        """Models in their initial state, without priors."""
        return models(*self.shapes[name])

    def learned(self, name: str) -> Models:
        """Models with the priors, as copies that may be changed."""
        prob, count, weight = self._learned[name]
        return prob.copy(), count.copy(), weight.copy()

    @cached_property
    def _learned(self) -> dict[str, Models]:
        out = {}
        with resources.files("fractalkit.codec").joinpath(self.file).open("rb") as f:
            data = np.load(f, allow_pickle=False)
            for name in self.shapes:
                prob, count, _ = self.fresh(name)
                used = data[f"{name} used"]
                prob[used], count[used] = data[f"{name} prob"], data[f"{name} count"]
                out[name] = prob, count, data[f"{name} weight"].astype(np.int64)
        return out

    @staticmethod
    def packed(states: dict[str, Models]) -> dict[str, np.ndarray]:
        """The arrays of the file from trained models."""
        out = {}
        for name, (prob, count, weight) in states.items():
            used = np.nonzero(count)[0]
            out[f"{name} used"] = used.astype(np.uint32)
            out[f"{name} prob"] = prob[used].astype(np.uint16)
            out[f"{name} count"] = np.minimum(count[used], TRUST).astype(np.uint8)
            out[f"{name} weight"] = weight.astype(np.int32)
        return out

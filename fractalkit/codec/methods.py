"""The methods of compression. A new one is a module with its code and its encoder, and an entry in :data:`METHODS`.

Objects are named as ``module:name`` and imported on use, because their layers lie above this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Method:
    """One method of compression.

    Attributes:
        number: of the syntax, in the header of a ``.fk`` file; methods with the same syntax share it.
        code: class of the codes, with ``to_bytes`` and ``from_bytes``.
        encoder: function that takes a picture, ``metadata`` and the options, and returns a code.
        options: keyword arguments of the encoder that users may give.
        fixed: keyword arguments of the encoder that the method sets.
    """

    number: int
    code: str
    encoder: str
    options: tuple[str, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)


_QUADTREE = ("quality", "bpp", "bytes", "psnr", "effort", "tune", "chroma", "deblock", "threads", "device", "callback")
METHODS = {
    "quadtree": Method(1, "fractalkit.codes.quadtree:QuadtreeCode", "fractalkit.fit.quadtree:encode", _QUADTREE),
    "auto": Method(1, "fractalkit.codes.quadtree:QuadtreeCode", "fractalkit.fit.choice:encode_best", _QUADTREE),
    "pifs": Method(1, "fractalkit.codes.quadtree:QuadtreeCode", "fractalkit.fit.quadtree:encode", _QUADTREE,
                   {"method": "pifs"}),
    "neural": Method(2, "fractalkit.models.neural_code:NeuralCode", "fractalkit.models.neural_code:encode_neural",
                     ("bpp", "bytes", "psnr", "model")),
    "coin": Method(3, "fractalkit.models.coin:CoinCode", "fractalkit.models.coin:encode_coin",
                   ("bpp", "bytes", "iterations", "seed", "callback")),
    "cloud": Method(4, "fractalkit.codec.cloud_file:CloudCode", "fractalkit.fit.cloud_codec:encode_cloud",
                    ("quality", "bytes", "effort", "seed", "callback")),
    "lossless": Method(5, "fractalkit.codes.copies:CopyCode", "fractalkit.fit.copies:encode_copies", ("callback",)),
}  # fmt: skip
# number -> name of the syntax, that of the first method that has it
CODECS = {method.number: name for name, method in reversed(METHODS.items())}

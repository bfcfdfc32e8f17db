"""What the contexts of the quadtree syntax begin with: probabilities learned from other pictures.

Part of the format: a file can only be read with the priors it was written with. They were made by
``recipes/codec_priors.py``, which codes many pictures one after the other and keeps what the contexts have learned.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import numpy as np

from fractalkit.codec import quadtree_syntax as syntax
from fractalkit.codec.entropy import models

Models = tuple[np.ndarray, np.ndarray, np.ndarray]
SHAPES = {
    "tree": (syntax.TREE_CONTEXTS, syntax.TREE_SETS),
    "chroma tree": (syntax.TREE_CONTEXTS, syntax.TREE_SETS),
    "cosines": (syntax.COSINE_CONTEXTS, syntax.COSINE_SETS),
    "chroma cosines": (syntax.COSINE_CONTEXTS, syntax.COSINE_SETS),
}
TRUST = 30


def fresh(name: str) -> Models:
    """Models that know nothing."""
    return models(*SHAPES[name])


@lru_cache(maxsize=1)
def _learned() -> dict[str, Models]:
    with resources.files("fractalkit.codec").joinpath("priors.npz").open("rb") as f:
        data = np.load(f, allow_pickle=False)
        out = {}
        for name in SHAPES:
            prob, count, _ = fresh(name)
            used = data[f"{name} used"]
            prob[used] = data[f"{name} prob"]
            count[used] = data[f"{name} count"]
            out[name] = prob, count, data[f"{name} weight"].astype(np.int64)
    return out


def learned(name: str) -> Models:
    """Models that begin with the priors, to be changed freely."""
    prob, count, weight = _learned()[name]
    return prob.copy(), count.copy(), weight.copy()


def packed(states: dict[str, Models]) -> dict[str, np.ndarray]:
    """Arrays of ``priors.npz`` from models that have learned."""
    out = {}
    for name, (prob, count, weight) in states.items():
        used = np.nonzero(count)[0]
        out[f"{name} used"] = used.astype(np.uint32)
        out[f"{name} prob"] = prob[used].astype(np.uint16)
        out[f"{name} count"] = np.minimum(count[used], TRUST).astype(np.uint8)
        out[f"{name} weight"] = weight.astype(np.int32)
    return out

"""A score of flames learned from those that artists published: how likely a trial picture is one of theirs.

It is a logistic model of fifteen features of a picture of 96 pixels, and of their squares. ``recipes/flame_taste.py``
fits it to the pictures of artists' flames against those of random ones, and writes its coefficients beside this file.
"""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FILE = Path(__file__).with_suffix(".json")
SIDE = 96  # pixels of the longer side of a trial picture
QUALITY = 16.0
FILLED, ROUGH = 0.25, 0.16  # lit share and roughness below which the score falls
NAMES = (
    "lit", "lit squared", "entropy", "roughness", "roughness of halves", "roughness of quarters", "hues", "saturation",
    "level", "contrast", "edges", "reach", "slenderness", "thinness", "burnt",
)  # fmt: skip

Floats = npt.NDArray[np.float64]


def features(picture: npt.NDArray[np.floating[Any]]) -> Floats | None:
    """The features NAMES of a picture ``[H, W, 3]`` in [0, 1]; None if there is hardly anything on it."""
    level = picture.max(axis=2).astype(np.float64)
    on = level > 0.08
    lit = float(on.mean())
    if lit < 0.01:
        return None
    counts = np.histogram(level[level > 0.03], bins=24, range=(0, 1))[0].astype(np.float64)
    p = counts / counts.sum()
    entropy = float(-(p[p > 0] * np.log(p[p > 0])).sum() / np.log(24))
    weight = level / max(float(level.sum()), 1e-9)
    chroma = picture - picture.mean(axis=2, keepdims=True)
    mean = (weight[..., None] * chroma).sum((0, 1))
    hues = float(np.sqrt((weight[..., None] * (chroma - mean) ** 2).sum()))
    saturation = float((weight * (picture.max(2) - picture.min(2)) / np.maximum(level, 1e-3)).sum())
    edges = np.concatenate([level[0], level[-1], level[:, 0], level[:, -1]])
    h, w = level.shape
    y, x = np.mgrid[:h, :w] / max(h, w)
    cy, cx = float((weight * y).sum()), float((weight * x).sum())
    moments = [float((weight * a * b).sum()) for a, b in ((x - cx, x - cx), (x - cx, y - cy), (y - cy, y - cy))]
    low, high = np.linalg.eigvalsh(np.array([[moments[0], moments[1]], [moments[1], moments[2]]]))
    inner = on[1:-1, 1:-1] & on[:-2, 1:-1] & on[2:, 1:-1] & on[1:-1, :-2] & on[1:-1, 2:]
    return np.array([
        lit, lit * lit, entropy, *(_roughness(_halved(level, k)) for k in range(3)), hues, saturation,
        float(level[on].mean()), float(level.std()), float((edges > 0.25).mean()), math.sqrt(max(low + high, 0.0)),
        math.log(max(high, 1e-6) / max(low, 1e-6)), 1 - float(inner.sum()) / max(1, int(on.sum())),
        float((level > 0.97).mean()),
    ])  # fmt: skip


def _halved(level: Floats, times: int) -> Floats:
    for _ in range(times):
        h, w = level.shape[0] // 2 * 2, level.shape[1] // 2 * 2
        level = level[:h, :w].reshape(h // 2, 2, w // 2, 2).mean((1, 3))
    return level


def _roughness(level: Floats) -> float:
    """The difference of neighbours relative to that of random pixels: small for smoke, 1 for noise."""
    steps = (np.abs(np.diff(level, axis=0)).mean() + np.abs(np.diff(level, axis=1)).mean()) / 2
    others = level.ravel()[np.random.default_rng(0).permutation(level.size)].reshape(level.shape)
    return float(steps / max(float(np.abs(level - others).mean()), 1e-9))


@cache
def model() -> dict[str, Any]:
    """The coefficients: ``mean`` and ``scale`` of the features, ``weights``, ``bias``, and ``median``, the score that
    half of the artists' flames reach."""
    return dict(json.loads(FILE.read_text(encoding="utf-8")))


def taste(picture: npt.NDArray[np.floating[Any]]) -> float:
    """The score of a trial picture, 0 to 1."""
    f = features(picture)
    if f is None:
        return 0.0
    m = model()
    at = np.clip((f - np.array(m["mean"])) / np.array(m["scale"]), -4, 4)
    at = np.concatenate([at, at * at])
    score = 1 / (1 + np.exp(-np.clip(at @ np.array(m["weights"]) + m["bias"], -30, 30)))
    # artists kept thin figures too, but one by one; on a wall of random ones few are meant to be, and fog never is
    lit, halves, saturation = f[0], f[4], f[7]
    return float(score * min(lit / FILLED, 1.0) * min(halves / ROUGH, 1.0) * min((saturation + 0.2) / 0.4, 1.0))

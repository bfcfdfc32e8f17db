"""Fit the score of flames in ``fractalkit/render/flame_taste.py`` to the flames of artists.

    python -m recipes.flame_taste DIR...        writes fractalkit/render/flame_taste.json

The folders hold .flame files by artists. Each flame is drawn as a trial picture, framed as random flames are, so that
the artist's camera tells nothing; and so are as many of :func:`fractalkit.codes.flame_random.random_flame`. A logistic
model with a ridge tells them apart; every fifth flame is kept for the test.
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from fractalkit.codes.flame import Flame, read_flames
from fractalkit.codes.flame_random import random_flame
from fractalkit.errors import FractalKitError
from fractalkit.render.colours_from import colour_table, names
from fractalkit.render.flame_sheet import frame, trial
from fractalkit.render.flame_taste import FILE, NAMES, features

RIDGE = 3.0


def of_artists(folder: Path) -> list[np.ndarray]:
    """Features of all flames of a folder that are drawn whole."""
    out = []
    for path in sorted([*folder.rglob("*.flame"), *folder.rglob("*.flam3")]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                flames = read_flames(path)
            except FractalKitError:
                continue
        out += [f for flame in flames if (f := of(flame)) is not None]
    return out


def of(flame: Flame) -> np.ndarray | None:
    """Features of a flame in a square, framed as random ones are."""
    framed = frame(replace(flame, size=(256, 256)))
    picture = None if framed is None else trial(framed)
    return None if picture is None else features(picture)


def of_chance(n: int) -> list[np.ndarray]:
    """Features of random flames."""
    out: list[np.ndarray] = []
    k = 0
    while len(out) < n:
        rng = np.random.default_rng([2026, k])
        f = of(random_flame(rng, colour_table(str(rng.choice(names())))))
        out += [] if f is None else [f]
        k += 1
    return out


def fitted(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights and bias of a logistic model with a ridge, by Newton's method; both kinds count as much."""
    a = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    share = np.where(y == 1, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    w, ridge = np.zeros(a.shape[1]), np.diag([*[RIDGE] * x.shape[1], 0.0])
    for _ in range(30):
        p = 1 / (1 + np.exp(-a @ w))
        step = np.linalg.solve((a.T * (share * p * (1 - p))) @ a + ridge, a.T @ (share * (y - p)) - ridge @ w)
        w = w + step
    return w[:-1], float(w[-1])


def ranked(scores: np.ndarray, y: np.ndarray) -> float:
    """The chance that an artist's flame has a higher score than a random one."""
    a, b = scores[y == 1], scores[y == 0]
    return float((a[:, None] > b[None]).mean() + 0.5 * (a[:, None] == b[None]).mean())


def main() -> None:
    """The command."""
    good = [f for folder in sys.argv[1:] for f in of_artists(Path(folder))]
    x = np.stack([*good, *of_chance(len(good))])
    y = np.repeat([1.0, 0.0], [len(good), len(x) - len(good)])
    test = np.arange(len(x)) % 5 == 0
    mean, scale = x[~test].mean(0), x[~test].std(0)
    z = np.clip((x - mean) / scale, -4, 4)
    z = np.concatenate([z, z * z], axis=1)
    weights, bias = fitted(z[~test], y[~test])
    scores = 1 / (1 + np.exp(-(z @ weights + bias)))
    told = {
        "features": NAMES, "mean": mean.round(5).tolist(), "scale": scale.round(5).tolist(),
        "weights": weights.round(4).tolist(), "bias": round(bias, 4),
        "median": round(float(np.median(scores[y == 1])), 4), "artists": len(good),
        "ranked": {"fit": round(ranked(scores[~test], y[~test]), 4), "test": round(ranked(scores[test], y[test]), 4)},
    }  # fmt: skip
    FILE.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print({k: told[k] for k in ("artists", "median", "ranked")})
    print({str(q): round(float(np.quantile(scores[y == 0], q)), 3) for q in (0.5, 0.9, 0.97)})


if __name__ == "__main__":
    main()

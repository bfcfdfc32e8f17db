"""Learn the priors of the cloud codec, the initial state of its contexts.

    python -m recipes.cloud_priors [-o fractalkit/codec/cloud_priors.npz]

Closed surfaces, terrains and trees are made by a rule from seeds, coloured, and coded one after the other at several
sizes, with models that keep adapting. Their final state is saved. Changing the priors changes the file format.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest.mock import patch

import numpy as np

from fractalkit.codec.cloud_file import CLOUD
from fractalkit.codec.priors import Priors
from fractalkit.fit import cloud_codec

POINTS = 30_000


def bumps(x: np.ndarray, rng: np.random.Generator, waves: int, power: float) -> np.ndarray:
    """A random smooth function of points ``[N, D]``: waves of falling height."""
    out = np.zeros(len(x))
    for k in range(1, waves + 1):
        out += np.sin(x @ rng.normal(size=x.shape[1]) * k + rng.uniform(0, 7)) / k**power
    return out


def surface(rng: np.random.Generator) -> np.ndarray:
    """Several bodies that overlap, without what lies inside the others: bumpy ellipsoids."""
    count = int(rng.integers(1, 7))
    parts, shapes = [], []
    for _ in range(count):
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        radii = np.exp(rng.normal(size=3) * 0.6) * 0.5
        shapes.append((rng.normal(size=3) * 0.6, turn / radii))
    for centre, shape in shapes:
        d = rng.normal(size=(POINTS, 3))
        d /= np.linalg.norm(d, axis=1, keepdims=True)
        d *= 1 + 0.12 * bumps(d * 2, rng, 6, 1.4)[:, None]
        x = centre + d @ np.linalg.inv(shape).T
        # uniform by area: a point stands for an area that grows with the radii
        keep = np.ones(len(x), bool)
        for other, its in shapes:
            if other is not centre:
                keep &= np.linalg.norm((x - other) @ its.T, axis=1) > 1
        parts.append(x[keep])
    x = np.concatenate(parts)
    return x[rng.choice(len(x), min(POINTS, len(x)), replace=False)]


def terrain(rng: np.random.Generator) -> np.ndarray:
    """Hills over a square, with a little noise."""
    u = rng.random((POINTS, 2))
    return np.column_stack([u, 0.08 * bumps(u * 5, rng, 9, 1.2) + rng.normal(size=POINTS) * 0.002])


def tree(rng: np.random.Generator) -> np.ndarray:
    """Branches that branch, with leaves at their ends."""
    ends: list[tuple[np.ndarray, np.ndarray, float, int]] = [(np.zeros(3), np.array([0.0, 0.0, 1.0]), 1.0, 0)]
    parts = []
    while ends:
        at, way, size, depth = ends.pop()
        n = int(6000 * size**2.2) + 4
        t = rng.random((n, 1))
        parts.append(at + t * way * size + rng.normal(size=(n, 3)) * 0.03 * size)
        if depth == 5:
            parts.append(at + way * size + rng.normal(size=(int(rng.integers(20, 60)), 3)) * 0.05)
            continue
        for _ in range(int(rng.integers(2, 5))):
            new = way + rng.normal(size=3) * 0.55
            ends.append((at + way * size * rng.uniform(0.5, 1), new / np.linalg.norm(new), size * 0.68, depth + 1))
    x = np.concatenate(parts)
    return x[rng.choice(len(x), min(POINTS, len(x)), replace=False)]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=Path("fractalkit/codec/cloud_priors.npz"))
    parser.add_argument("--clouds", type=int, default=18)
    options = parser.parse_args()
    states = {name: CLOUD.fresh(name) for name in CLOUD.shapes}
    total = 0
    with patch.object(Priors, "learned", lambda _, name: states[name]):
        for i in range(options.clouds):
            rng = np.random.default_rng(i)
            x = (surface, tree, terrain)[(0, 0, 1, 0, 1, 2)[i % 6]](rng)
            size = np.linalg.norm(x.max(axis=0) - x.min(axis=0))
            colours = np.column_stack([bumps(x * 4 / size, rng, 5, 1.0) for _ in range(3)]) * 0.12 + rng.random(3)
            colours += rng.normal(size=x.shape) * 0.05
            coder = cloud_codec.prepare(x, colours.clip(0, 1), i)
            for leaves in ((60, 500), (250, 1000))[i % 2]:
                total += len(coder.encode(leaves).to_bytes())
    np.savez_compressed(options.out, **CLOUD.packed(states))  # type: ignore[arg-type]
    print(f"{options.out}: {options.out.stat().st_size} bytes, from {options.clouds} clouds of {total} bytes in all")


if __name__ == "__main__":
    main()

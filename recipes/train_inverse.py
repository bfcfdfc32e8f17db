"""Train the network that proposes the maps of an IFS from a cloud, on random codes without end.

    python -m recipes.train_inverse RUN --steps 20000                goes on where RUN stopped, to the same bits
    python -m recipes.train_inverse RUN --steps 20000 -o fractalkit/models/weights/inverse_plane.safetensors

Codes have 2 to 8 maps with singular values by several laws, half of them uniform in [0.1, 0.8] for 3 to 6 maps. Each is
sampled by the chaos game and seen in several turns and reflections. Every batch follows from the seed and the step.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numba as nb
import numpy as np
import torch
from torch import Tensor

from fractalkit.models.inverse import (
    InverseConfig,
    InverseNet,
    Views,
    negative_likelihood,
    to_white,
    views,
    whitening,
)
from fractalkit.train.config import TrainConfig, learning_rate
from fractalkit.train.folder import CHECKPOINT, LOG, own_folder
from fractalkit.train.log import JsonLog
from fractalkit.train.randomness import NOISE, VALID_NOISE, seed_of
from fractalkit.train.state import TrainState, initial_weights

MOST = 8  # maps of a code
POINTS = (1500, 16_000)  # of a cloud, least and most
TURNS = 2  # views of each cloud
VALID = 1024  # views by which the network is judged, always the same
NEAR = 0.3  # distance, in standard deviations of the cloud, within which a map is found
FIRST = 16  # proposals that are looked at
SETTINGS = TrainConfig(
    steps=14_000, batch=128, lr=1.5e-3, warmup=300, decay=0.02, clip=20.0, ema=0.999, log_every=100, valid_every=500,
    save_minutes=3.0,
)  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """Views of clouds with the maps of their codes ``[B, 8, 6]`` and how much each counts, ``[B, 8]``."""

    seen: Views
    maps: Tensor
    weight: Tensor


def random_codes(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Maps ``[B, 8, 2, 3]`` and weights ``[B, 8]`` of random codes; those beyond a code's number have weight zero."""
    law = rng.choice(5, count, p=[0.5, 0.2, 0.1, 0.1, 0.1])
    k = np.where(law == 0, rng.integers(3, 7, count), rng.integers(2, MOST + 1, count))
    sv = _singular_values(law, k, rng)
    angle = rng.uniform(0, 2 * np.pi, (2, count, MOST))
    u, v = (np.stack([np.cos(a), -np.sin(a), np.sin(a), np.cos(a)], -1).reshape(count, MOST, 2, 2) for a in angle)
    sv[..., 1] *= rng.choice([-1.0, 1.0], (count, MOST))
    a = u @ (sv[..., None] * v)
    loose = law == 3  # entries uniform, shrunk to a norm
    free = rng.uniform(-1, 1, a.shape)
    norm = np.linalg.norm(free, ord=2, axis=(2, 3))
    free *= np.minimum(rng.uniform(0.3, 0.95, norm.shape) / norm, 1)[..., None, None]
    a = np.where(loose[:, None, None, None], free, a)
    maps = np.concatenate([a, rng.uniform(-1, 1, (count, MOST, 2, 1))], axis=3)
    weight = np.abs(np.linalg.det(a)) + 1e-9
    odd = rng.random(count) < 0.15  # other weights than the volumes
    tilt = np.where(odd, rng.uniform(0, 1.2, count), 1.0)[:, None]
    weight = weight**tilt * np.exp(odd[:, None] * 0.4 * rng.standard_normal(weight.shape))
    weight *= np.arange(MOST) < k[:, None]
    return maps, weight / weight.sum(axis=1, keepdims=True)


def _singular_values(law: np.ndarray, k: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Singular values ``[B, 8, 2]``, the first one the larger."""
    shape = (len(law), MOST)
    uniform = rng.uniform(0.1, 0.8, (*shape, 2))
    # flat and unequal ones
    large = rng.uniform(0.05, 0.95, shape)
    unequal = np.stack([large, large * rng.random(shape)], -1)
    round_ = np.repeat(rng.uniform(0.1, 0.85, shape)[..., None], 2, 2)
    # a given sum of s1 + 2 s2 (Anderson and Farrell, 2022), shared at random
    share = rng.dirichlet(np.full(MOST, 2.0), len(law)) * (np.arange(MOST) < k[:, None])
    share *= (rng.uniform(5, 6, len(law)) + k)[:, None] / 2 / np.maximum(share.sum(axis=1, keepdims=True), 1e-9)
    share = np.minimum(share, 2.9)
    low = np.maximum((share - 0.98) / 2, 0)
    second = low + (share / 3 - low) * rng.random(shape)
    summed = np.stack([np.minimum(share - 2 * second, 0.98), second], -1)
    found = np.select([(law == i)[:, None, None] for i in (1, 2, 4)], [summed, unequal, round_], uniform)
    return np.sort(found, axis=2)[..., ::-1].copy()


@nb.njit(cache=True)
def _clouds(maps, weight, points, seed):  # type: ignore[no-untyped-def]
    """Chaos games of codes: ``[B, N, 2]`` float64."""
    np.random.seed(seed)  # noqa: NPY002 - the generator that Numba compiles
    count, k = weight.shape
    out = np.empty((count, points, 2))
    for b in range(count):
        x, y = 0.0, 0.0
        for n in range(-60, points):
            u = np.random.random()  # noqa: NPY002
            i = 0
            while i < k - 1 and u >= weight[b, i]:
                u -= weight[b, i]
                i += 1
            m = maps[b, i]
            x, y = m[0, 0] * x + m[0, 1] * y + m[0, 2], m[1, 0] * x + m[1, 1] * y + m[1, 2]
            if n >= 0:
                out[b, n, 0] = x
                out[b, n, 1] = y
    return out


def batch_of(count: int, seed: int, side: int) -> Batch:
    """The batch of a seed; codes whose attractor is a line give way to others of the batch."""
    rng = np.random.default_rng(seed)
    codes = -(-count // TURNS)
    maps, weight = random_codes(codes, rng)
    n = int(np.exp(rng.uniform(*np.log(POINTS))))
    clouds = _clouds(maps, weight, n, int(rng.integers(1 << 31)))
    frames = whitening(clouds)
    fit = np.flatnonzero(np.isfinite(frames).all(axis=(1, 2)))
    pick = np.tile(fit[np.arange(codes) % len(fit)], TURNS)[:count]
    angle = rng.uniform(0, 2 * np.pi, count)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(count, 2, 2)
    turn[rng.random(count) < 0.5, :, 1] *= -1
    frames = turn @ frames[pick]
    seen = views(clouds[pick], frames, side)
    numbers = np.clip(to_white(maps[pick], frames), -9, 9)
    counted = np.minimum(weight[pick] / 0.02, 1.0)
    return Batch(seen, torch.from_numpy(numbers.astype(np.float32)), torch.from_numpy(counted.astype(np.float32)))


@torch.no_grad()
def judged(net: InverseNet, batches: list[Batch]) -> dict[str, float]:
    """Means over batches: the loss, the share of maps near a first proposal, and the distance of the nearest one."""
    loss, near, gap, whole = 0.0, 0.0, 0.0, 0.0
    for b in batches:
        found = net(b.seen)
        loss += float(negative_likelihood(found, b.maps, b.weight).mean()) / len(batches)
        first = found.rate.topk(min(FIRST, found.rate.shape[1]), dim=1).indices
        maps = found.maps.gather(1, first[:, :, None].expand(-1, -1, found.maps.shape[2]))
        least = torch.cdist(b.maps, maps).amin(2)
        near += float(((least < NEAR) * b.weight).sum())
        gap += float((least.clamp(max=2) * b.weight).sum())
        whole += float(b.weight.sum())
    return {"loss": loss, "near": near / whole, "gap": gap / whole}


def step(state: TrainState, config: TrainConfig, net: InverseNet) -> None:
    """One step of the optimiser."""
    b = batch_of(config.batch, seed_of(config.seed, NOISE, state.step), net.config.side)
    state.optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
        found = net(b.seen)
    loss = negative_likelihood(found, b.maps, b.weight).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(net.parameters(), config.clip)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(config, state.step)
    state.optimizer.step()
    state.update_average(config)
    state.updates += 1
    state.window.add({"loss": loss, "grad_norm": norm}, 1.0)
    state.window.steps += 1
    state.step += 1
    state.seen += config.batch


def starting_network(model: InverseConfig, config: TrainConfig) -> InverseNet:
    """A network whose slots stand for maps of random codes."""

    def build() -> InverseNet:
        net = InverseNet(model)
        maps = batch_of(4 * model.slots, seed_of(config.seed, VALID_NOISE, 1), model.side).maps[:, 0]
        net.start_at(maps[: model.slots].clamp(-2, 2))
        return net

    return initial_weights(build, config.seed)  # type: ignore[return-value]


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option("--steps", default=SETTINGS.steps, show_default=True)
@click.option("--lr", default=SETTINGS.lr, show_default=True)
@click.option("--width", default=24, show_default=True, help="Channels of the first convolution.")
@click.option("--slots", default=48, show_default=True, help="Maps that are proposed.")
@click.option("--minutes", type=float, help="Stop with a checkpoint after this time.")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Weights in float16.")
def main(run: Path, steps: int, lr: float, width: int, slots: int, minutes: float | None, out: Path | None) -> None:
    """Train in the folder RUN, or go on there, and write the averaged weights."""
    torch.set_num_threads(1)
    config = SETTINGS.with_changes({"steps": steps, "lr": lr})
    net = starting_network(InverseConfig(width=width, slots=slots), config)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with own_folder(run):
        state = TrainState(net.train(), config)
        if (run / CHECKPOINT).exists():
            state.load(run / CHECKPOINT)
        _go(state, config, net, run, minutes)
    if out is not None:
        average: Any = state.average
        about = {"data": "random codes", "command": "python -m recipes.train_inverse", "step": str(state.step)}
        average.save_pretrained(out, about, dtype=torch.float16)


def _go(state: TrainState, config: TrainConfig, net: InverseNet, run: Path, minutes: float | None) -> None:
    log = JsonLog(run / LOG, state.step)
    held = [
        batch_of(config.batch, seed_of(config.seed, VALID_NOISE, 0, i), net.config.side)
        for i in range(VALID // config.batch)
    ]
    began = saved = time.monotonic()
    cpu = time.process_time()
    before = state.seconds
    while state.step < config.steps and (minutes is None or time.monotonic() - began < 60 * minutes):
        step(state, config, net)
        state.seconds = before + time.process_time() - cpu
        last = state.step == config.steps
        if last or state.step % config.log_every == 0:
            log.write("train", state.step, **state.window.means(), lr=learning_rate(config, state.step - 1),
                      seconds=state.seconds)  # fmt: skip
            state.window.sums, state.window.steps = {}, 0
        if last or state.step % config.valid_every == 0:
            values = judged(state.average, held)  # type: ignore[arg-type]
            log.write("valid", state.step, **values)
            click.echo(f"{state.step} {state.seconds:.0f} CPU s " + " ".join(f"{k} {v:.3f}" for k, v in values.items()))
        if last or time.monotonic() - saved > 60 * config.save_minutes:
            state.save(run / CHECKPOINT, config, {"data": "random codes"})
            saved = time.monotonic()
    if state.step < config.steps:
        state.save(run / CHECKPOINT, config, {"data": "random codes"})
    log.close()


if __name__ == "__main__":
    main()

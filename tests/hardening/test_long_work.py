"""Simulated long runs: many rounds in one process, and counters at the values of a 24-hour run."""

import gc
import json
import os
import re
import sys
import threading
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fractalkit import fk
from fractalkit.codes import AffineIFS, preset
from fractalkit.codes.flame import read_flames, write_flames
from fractalkit.data import load_cloud, save_cloud
from fractalkit.data.pictures import read_picture, write_picture
from fractalkit.errors import DataError, UsageError
from fractalkit.models.pretrained import from_pretrained
from fractalkit.orbit import flame_loop, histogram, sample, stream
from fractalkit.orbit.api import _walker
from fractalkit.orbit.streams import CHAINS, MOST, plan
from fractalkit.raster.png import read_png_text, save_png
from fractalkit.render.flame import Exposure, render_flame
from fractalkit.render.rows_png import PngRows
from fractalkit.train.config import TrainConfig, average_decay, learning_rate
from fractalkit.train.log import JsonLog
from fractalkit.train.loop import BEST, CHECKPOINT, LAST, existing_run, train
from fractalkit.train.randomness import NOISE, ORDER, items_at, seed_of
from tests.pictures import scene
from tests.train.tiny import SETTINGS, model, pictures

DAY = 24 * 3600
FLAME = """<flame size="24 20" scale="10" quality="5"><xform weight="1" color="0" linear="1"
 coefs="0.5 0 0 0.5 0.2 0"/><xform weight="1" color="1" spherical="0.5" coefs="0.6 0.3 -0.3 0.6 0 0.5"/></flame>"""


pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


# ---- a thousand rounds

Round = Callable[[Path, int], None]


def codec_round(folder: Path, k: int) -> None:
    a = scene(16, 24, seed=k % 7)
    write_picture(folder / "a.png", a)
    code = fk.encode(read_picture(folder / "a.png").samples, effort=1, quality=20 + k % 60)
    (folder / "a.fk").write_bytes(code.to_bytes())
    assert fk.decode(fk.load(folder / "a.fk"), 30 + k % 20).shape[0] == 30 + k % 20


def chaos_round(folder: Path, k: int) -> None:
    ifs = preset("barnsley-fern")
    ifs.save(folder / "a.ifs.json")
    ifs = AffineIFS.load(folder / "a.ifs.json")
    points = sample(ifs, 3000, seed=k).points
    save_cloud(folder / "a.ply", points)
    assert len(load_cloud(folder / "a.ply")) == 3000
    assert int(histogram(ifs, 3000, shape=(20, 20), seed=k).counts.sum()) > 0


def flame_round(folder: Path, k: int) -> None:
    flames = read_flames(FLAME.replace("0.2", f"0.{k % 9 + 1}").encode())
    write_flames(folder / "a.flame", flames)
    picture = render_flame(read_flames(folder / "a.flame")[0], quality=1, seed=k, threads=1)
    save_png(folder / "a.png", (picture * 255).astype(np.uint8), {"seed": str(k)})
    assert read_png_text(folder / "a.png") == {"seed": str(k)}


def sample_round(folder: Path, k: int, net=[]) -> None:  # noqa: B006 - the model is read once
    if not net:
        net.append(from_pretrained("vdvae_mnist"))
    with torch.no_grad():
        h = net[0].features([torch.Generator().manual_seed(k)])
    with PngRows(folder / "a.png", 8, 8) as out:
        out.write(np.full((8, 8), k % 256, np.uint8))
    assert h is not None


def refused_round(folder: Path, k: int) -> None:
    """Errors must not keep their subjects alive."""
    (folder / "bad.ply").write_bytes(b"ply\nformat ascii 1.0\nelement vertex 9\n" + os.urandom(50) * 1000)
    (folder / "bad.fk").write_bytes(os.urandom(100_000))
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(100_000))
    for name, read in (("bad.ply", load_cloud), ("bad.fk", fk.load), ("bad.png", read_picture)):
        with pytest.raises(DataError, match=name):
            read(folder / name)


ROUNDS: list[tuple[Round, int]] = [
    (codec_round, 300), (chaos_round, 40), (flame_round, 200), (sample_round, 80), (refused_round, 400),
]  # fmt: skip


def held() -> tuple[int, int, float]:
    """Numbers of file handles and threads, and resident MiB."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found is not None
    return len(os.listdir("/proc/self/fd")), threading.active_count(), int(found[1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")
@pytest.mark.skipif(sys.gettrace() is not None, reason="coverage holds on to memory itself")
@pytest.mark.parametrize(("work", "n"), ROUNDS, ids=lambda x: getattr(x, "__name__", ""))
def test_rounds_hold_on_to_nothing(tmp_path: Path, work: Round, n: int) -> None:
    for k in range(n // 5):  # caches fill
        work(tmp_path, k)
    before = held()
    tracemalloc.start()
    for k in range(n // 20):  # those of tracemalloc too
        work(tmp_path, k)
    gc.collect()
    first = tracemalloc.get_traced_memory()[0]
    for k in range(n // 4):
        work(tmp_path, k)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    for k in range(n // 2):
        work(tmp_path, k)
    after = held()
    assert after[:2] == before[:2]
    assert grown < 100_000, f"{grown:,} bytes of Python's in {n // 4} rounds"
    assert after[2] - before[2] < 24, f"{after[2] - before[2]:.1f} MiB in {n} rounds"


def test_loops_of_random_flames_are_let_go() -> None:
    """Each structure of a flame is compiled separately; a day of random ones makes tens of thousands."""
    before = set(sys.modules)
    for k in range(300):
        assert flame_loop._load(f"def run():\n    return {k}\n")() == k
    assert len(set(sys.modules) - before) <= flame_loop.KEPT
    assert flame_loop._load("def run():\n    return 0\n")() == 0


# ---- counters after a day


@pytest.mark.parametrize("t", [2**31 - 3, 2**32 - 1024 - 3])
@pytest.mark.parametrize("name", ["barnsley-fern", "sierpinski-tetrahedron"])
def test_chains_walk_alike_after_a_day_and_longer(name: str, t: int) -> None:
    """10^9 points per second for a day are 1.3 million steps per chain; this tests thousands of times more."""
    ifs = preset(name)
    p = plan(ifs, 5)
    got = []
    for engine, kind in (("numba", np), ("torch", torch)):
        walker = _walker(p, engine, torch.float64, torch.device("cpu"))
        walker.t = t
        points = kind.empty((6, CHAINS, ifs.dim), dtype=kind.float64)
        walker.points(6, points, None)
        got.append(np.asarray(points))
    assert np.allclose(got[0], got[1], rtol=0, atol=1e-12)
    assert len(np.unique(got[0][:, 0], axis=0)) == 6


def test_more_points_than_a_seed_has_are_refused() -> None:
    with pytest.raises(UsageError, match="take several seeds"):
        next(stream(preset("barnsley-fern"), MOST + 1))
    with pytest.raises(UsageError, match="take several seeds"):
        histogram(preset("barnsley-fern"), MOST + 1, shape=(4, 4))
    assert len(next(stream(preset("barnsley-fern"), MOST, chunk=CHAINS))) == CHAINS
    assert 2e9 * DAY < MOST  # two thousand million a second


def test_large_seeds_are_all_different() -> None:
    ifs = preset("barnsley-fern")
    seeds = [0, 1, 2**31, 2**32, 2**32 + 1, 2**53, 2**53 + 1, 2**63 - 3, 2**63 - 4]
    clouds = [sample(ifs, 10, seed=s).points for s in seeds]
    assert len({c.numpy().tobytes() for c in clouds}) == len(seeds)
    flame = read_flames(FLAME.encode())[0]
    assert len({render_flame(flame, quality=1, seed=s, threads=1).tobytes() for s in seeds}) == len(seeds)


def test_random_choices_of_training_far_on() -> None:
    steps = [0, 1, 4_320_000, 2**24, 2**24 + 1, 10**9 - 1]
    found = {seed_of(s, NOISE, k, p) for s in (0, 1, 2**32 + 1, 2**63 - 1) for k in steps for p in (0, 1, 7)}
    assert len(found) == 4 * len(steps) * 3
    for first in (2**31 - 5, 2**32 - 5, 2**53 - 5, 10**15):
        start = -(-first // 37) * 37
        assert sorted(items_at(3, 37, start, 37).tolist()) == list(range(37))
        assert items_at(3, 37, first, 80).tolist() == [int(items_at(3, 37, first + i, 1)[0]) for i in range(80)]
    assert seed_of(0, ORDER, 2**31) != seed_of(0, ORDER, 2**31 + 1)
    c = TrainConfig(steps=10**9, lr=1.0, warmup=500, final=0.01)
    rates = [learning_rate(c, k) for k in (10**8, 5 * 10**8, 10**9 - 1, 2 * 10**9)]
    assert rates == sorted(rates, reverse=True) and abs(rates[-1] - 0.01) < 1e-9
    assert average_decay(c, 10**9) == c.ema


def aged(folder: Path, step: int) -> None:
    """Set a run's counters to their values after a day at 50 steps per second, and to 2^32 images."""
    path = folder / CHECKPOINT
    with safe_open(path, "pt") as file:
        head = file.metadata()
    state = json.loads(head["state"])
    state |= {"step": step, "seen": 2**32 + 5, "updates": step - 3, "skipped": 3, "seconds": float(DAY)}
    state["best_step"] = step - step % 10
    tensors = load_file(path)
    for key in tensors:
        if key.startswith("adamw.step."):
            tensors[key] = torch.tensor(float(step))
    save_file(tensors, path, head | {"state": json.dumps(state)})


@pytest.mark.parametrize("step", [50 * DAY, 2**24 - 2])  # AdamW's own counters are float32
def test_a_run_of_a_day_goes_on_exactly(tmp_path: Path, step: int) -> None:
    config = TrainConfig(**(SETTINGS | {"steps": step + 12, "schedule": "constant"}))
    begin = TrainConfig(**(SETTINGS | {"steps": 7, "schedule": "constant"}))
    for name in ("whole", "cut"):
        train(model(), pictures(), tmp_path / name, begin, valid=pictures(20, seed=1))
        aged(tmp_path / name, step)
    train(model(), pictures(), tmp_path / "whole", config, valid=pictures(20, seed=1), resume=True)
    asked = iter(range(100))
    cut = train(
        model(), pictures(), tmp_path / "cut", config, valid=pictures(20, seed=1), resume=True,
        stop=lambda: next(asked) == 4,
    )  # fmt: skip
    assert (cut.step, cut.reason) == (step + 5, "interrupted")
    result = train(model(), pictures(), tmp_path / "cut", config, valid=pictures(20, seed=1), resume=True)
    assert (result.step, result.reason) == (step + 12, "steps") and result.seconds > DAY
    for name in (CHECKPOINT, LAST):
        a, b = load_file(tmp_path / "whole" / name), load_file(tmp_path / "cut" / name)
        assert all(torch.equal(a[k], b[k]) and bool(torch.isfinite(a[k]).all()) for k in a)
    assert (tmp_path / "cut" / BEST).exists()
    state = existing_run(tmp_path / "cut")["state"]
    assert state["seen"] == 2**32 + 5 + 12 * 8 and state["skipped"] == 3
    logged = [json.loads(line)["step"] for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert logged == sorted(logged) and logged[-1] == step + 12


def test_a_log_of_a_day(tmp_path: Path) -> None:
    """50 steps per second, one line every 50 steps."""
    path = tmp_path / "log.jsonl"
    line = '{"kind": "train", "step": %d, "loss": 97.25, "lr": 0.0003, "seconds": 1.5}\n'
    path.write_text("".join(line % (50 * k) for k in range(DAY)) + '{"kind": "tr')
    tracemalloc.start()
    log = JsonLog(path, 50 * (DAY - 100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    log.write("train", 50 * (DAY - 99), loss=1.0)
    log.close()
    kept = path.read_text().splitlines()
    assert len(kept) == DAY - 100 + 2 and json.loads(kept[-1])["step"] == 50 * (DAY - 99)
    assert peak < 6 * path.stat().st_size
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_flame_exposed_for_a_day_goes_on_counting() -> None:
    """Cells are float32: incremented by one they would stop at 2^24."""
    flame = read_flames(FLAME.encode())[0]
    fresh, old = Exposure.empty(flame, 1), Exposure.empty(flame, 1)
    fresh.expose(2000, threads=1, batches=4)
    old.histogram[:] = 2.0**24
    old.quality = 1e7
    old.expose(2000, threads=1, batches=4)
    gained = old.histogram.astype(np.float64)[..., 3].sum() - old.histogram[..., 3].size * 2.0**24
    assert fresh.histogram[..., 3].sum() > 1e5
    assert abs(gained / float(fresh.histogram[..., 3].sum(dtype=np.float64)) - 1) < 1e-3
    assert np.isfinite(old.develop(threads=1)).all()
    assert old.quality == pytest.approx(1e7 + 2000) and old.batches == 4


def test_a_picture_of_counts_beyond_32_bits() -> None:
    """Points counted on a grid are 64-bit sums of 32-bit pieces."""
    ifs = preset("sierpinski-triangle")
    one = histogram(ifs, 10_000, shape=(2, 2), seed=1).counts
    assert one.dtype == torch.int64 and int(one.sum()) <= 10_000
    total = torch.zeros(5, dtype=torch.int64)
    from fractalkit.orbit.api import _count

    total[:] = 2**40
    walker = _walker(plan(ifs, 1), "numba", torch.float32, torch.device("cpu"))
    grid = (np.array([2.0, 2.0]), np.zeros(2), np.array([2, 2]))
    _count(walker, "numba", 3, 0, grid, np.zeros((3, 3)), 0.5, total, None)
    assert int(total.sum()) == 5 * 2**40 + 3 * CHAINS


def test_nothing_warns_of_numbers(tmp_path: Path) -> None:
    """Overflows would cause NumPy warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan(preset("barnsley-fern"), 2**64 - 1)
        items_at(2**63 - 1, 1000, 2**60, 10)

"""Rates of one core, efficiency of two processes, and network traffic, for estimates of larger machines.

    python -m recipes.benchmarks.scale                    about 5 minutes
    python -m recipes.benchmarks.scale --seconds 0.1 --jobs 6 --steps 3 --repeats 1          small

The first table has rates of one thread per CPU second, without compilation. The second is for a Dask scheduler with
one or two workers of one thread on this machine, which take turns: jobs per wall second between the first and the last
to finish, and the CPU seconds per job of the worker, and of client and scheduler together. The third is for torchrun
with one or two processes, from the fastest quarter of the steps. Efficiency compares two processes with one, by wall
time and by CPU seconds: the cost of a job with one worker over its total cost with two. Wall times are unreliable on a
busy machine, so its load is recorded. Relays between client, scheduler and workers count bytes. CPU seconds and bytes
per job are marginal: the difference between many jobs and few, without start-up.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
import torch

from recipes.benchmarks.__main__ import FLAMES, ROOT, make_photographs
from recipes.benchmarks.report import put, save, table, timed

ENV = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
SIDE = 1440
BATCH = 64  # of training
FEW = 4  # jobs or steps whose cost is subtracted from that of many
H200_BF16, H200_BYTES = 989e12, 4.8e12  # dense operations and bytes per second, from its data sheet


def rate(work: Callable[[], float], seconds: float) -> float:
    """Amount of work, as returned by ``work``, per CPU second; runs once to warm up, then for ``seconds``."""
    work()
    done, start = 0.0, time.process_time()
    while time.process_time() - start < seconds:
        done += work()
    return done / (time.process_time() - start)


def row(what: str, value: float, unit: str, **more: Any) -> dict[str, Any]:
    """One row of a table."""
    return {"what": what, "value": value, "unit": unit, **more}


# ---- one core


def one_core(seconds: float, steps: int) -> list[dict[str, Any]]:
    """Rates of one thread."""
    from fractalkit.models.pretrained import from_pretrained

    torch.set_num_threads(1)
    net = from_pretrained("vdvae_mnist")
    rows = [*sampling(net, seconds), *codec(seconds), *flames(seconds)]
    return [*rows, *training(steps)]


def sampling(net: Any, seconds: float) -> list[dict[str, Any]]:
    """Rates of codes from noise, and of pictures from codes."""
    from torch.utils.flop_counter import FlopCounterMode

    from fractalkit.models.mean_picture import MeanPicture, draw

    def codes() -> float:
        net.features([torch.Generator().manual_seed(s) for s in range(BATCH)])
        return BATCH

    picture = MeanPicture.of(net, net.features([torch.Generator().manual_seed(0)]))

    def pixels(side: int) -> Callable[[], float]:
        return lambda: draw(picture, side, side, threads=1).size

    def whole() -> float:
        for s in range(8):
            some = MeanPicture.of(net, net.features([torch.Generator().manual_seed(s)]))
            draw(some, 28, 28, threads=1)
        return 8.0

    with FlopCounterMode(display=False) as flops:
        net.features([torch.Generator().manual_seed(0)])
    with FlopCounterMode(display=False) as drawn:
        draw(picture, 280, 280, engine="torch")
    return [
        row("vdvae_mnist: codes, 64 at a time", rate(codes, seconds), "samples/s",
            flops=flops.get_total_flops(), of="a code"),
        row("the same, one at a time, and drawn at 28 px", rate(whole, seconds), "samples/s"),
        row(f"decoding a sample at {SIDE} px", rate(pixels(SIDE), seconds) / 1e6, "Mpx/s",
            flops=drawn.get_total_flops() / 280**2, of="a pixel"),
    ]  # fmt: skip


def codec(seconds: float) -> list[dict[str, Any]]:
    """Rates of compression and decompression for a picture of 768 x 512."""
    from PIL import Image

    from fractalkit import fk

    with tempfile.TemporaryDirectory() as folder:
        path = make_photographs(Path(folder)) / "made0.png"
        with Image.open(path) as image:
            a = np.asarray(image.resize((768, 512), Image.Resampling.BICUBIC))
    pixels = a.shape[0] * a.shape[1]
    out = []
    for effort in (1, 5):
        made: list[Any] = []

        def pack(effort: int = effort, made: list[Any] = made) -> float:
            made[:] = [fk.encode(a, effort=effort, threads=1)]
            return pixels

        out.append(row(f"compress, effort {effort}", rate(pack, seconds) / 1e6, "Mpx/s"))
    code = made[0]

    def unpack() -> float:
        fk.decode(code)
        return pixels

    return [*out, row("decompress", rate(unpack, seconds) / 1e6, "Mpx/s")]


def flames(seconds: float) -> list[dict[str, Any]]:
    """Median rate of samples over the flames of the gallery."""
    from fractalkit.codes.flame import read_flames
    from fractalkit.orbit.flame import accumulate

    rates = []
    for path in sorted(FLAMES.glob("*.flame")):
        flame = read_flames(path)[0].expanded()
        w, h = flame.size
        out = np.zeros((h * flame.oversample, w * flame.oversample, 4), np.float32)

        def some(flame: Any = flame, out: Any = out) -> float:
            accumulate(flame, 1 << 20, threads=1, compiled=True, out=out)
            return float(1 << 20)

        rates.append(rate(some, seconds / 2))
    return [
        row(f"flames, the middle one of {len(rates)}", float(np.median(rates)) / 1e6, "M samples/s",
            least=min(rates) / 1e6, most=max(rates) / 1e6)
    ]  # fmt: skip


def training(steps: int) -> list[dict[str, Any]]:
    """Rate of the training loop with the model and settings of vdvae_mnist."""
    from dataclasses import replace

    from torch.utils.flop_counter import FlopCounterMode

    from fractalkit.data.image_set import ImageSet
    from fractalkit.models.configs import CONFIGS
    from fractalkit.train.loop import train

    config = replace(CONFIGS["vdvae_mnist"].train, steps=steps + 1, batch=BATCH, valid_every=0)
    images = np.random.default_rng(0).integers(0, 2, (256, 1, 28, 28), np.uint8)
    net: Any = CONFIGS["vdvae_mnist"].build()
    clock: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        train(
            net, ImageSet(images, 2, name="noise"), Path(folder), config,
            progress=lambda step, values: clock.append(time.process_time()),
        )  # fmt: skip
    x = torch.from_numpy(images[:8]).float()
    with FlopCounterMode(display=False) as flops:
        net.losses(x, torch.Generator().manual_seed(0), 0)["loss"].backward()
    parameters = sum(p.numel() for p in net.parameters())
    return [
        row(f"training vdvae_mnist, batch {BATCH}", BATCH * steps / (clock[-1] - clock[0]), "images/s",
            flops=flops.get_total_flops() / 8, of="an image, forward and backward", parameters=parameters)
    ]  # fmt: skip


# ---- processes


class Relay:
    """Forwards connections to a port of this machine and counts the bytes."""

    def __init__(self, target: int) -> None:
        self.target, self.bytes = target, 0
        self.lock = threading.Lock()
        self.ends: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        """Accept connections until the listener is closed."""
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            self.ends += [near, far]
            for a, b in ((near, far), (far, near)):
                a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.pass_on, args=(a, b), daemon=True).start()

    def pass_on(self, a: socket.socket, b: socket.socket) -> None:
        """Forward data from one socket to the other until it ends."""
        try:
            while data := a.recv(1 << 16):
                with self.lock:
                    self.bytes += len(data)
                b.sendall(data)
        except OSError:
            pass
        with suppress(OSError):
            b.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Stop forwarding."""
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the waiting thread
        for s in (self.listener, *self.ends):
            s.close()


def free_port() -> int:
    """Find a free port."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Dask:
    """A scheduler and workers of one thread, with relays between all of them."""

    def __init__(self, workers: int, folder: Path) -> None:
        from distributed import Client

        self.folder = folder
        self.relays: list[Relay] = []
        port = free_port()
        self.address = f"tcp://127.0.0.1:{self.relay(port)}"
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", str(port))
        while self.scheduler.poll() is None:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.1)
        self.workers = []
        for _ in range(workers):
            own = free_port()
            words = ["--listen-address", f"tcp://127.0.0.1:{own}"]
            words += ["--contact-address", f"tcp://127.0.0.1:{self.relay(own)}", "--nthreads", "1", "--no-nanny"]
            self.workers.append(self.start("worker", self.address, *words))
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)

    def relay(self, port: int) -> int:
        """Start a relay to a port and return its own port."""
        self.relays.append(Relay(port))
        return self.relays[-1].port

    def start(self, kind: str, *words: str) -> psutil.Popen:
        """Start one of Dask's programs."""
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words, "--no-dashboard"]
        quiet = subprocess.DEVNULL
        return psutil.Popen(command, cwd=self.folder, env=ENV, stdout=quiet, stderr=quiet)

    def cpu(self) -> tuple[float, float]:
        """CPU seconds so far of the workers, and of the scheduler and this process together."""
        return sum(_cpu(w) for w in self.workers), _cpu(self.scheduler) + time.process_time()

    def bytes(self) -> int:
        """Bytes forwarded so far."""
        return sum(r.bytes for r in self.relays)

    def close(self) -> None:
        """Stop all processes and relays."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        for r in self.relays:
            r.close()


def _cpu(process: psutil.Popen) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


Jobs = Callable[[int], list[dict[str, Any]]]


def kinds(folder: Path) -> dict[str, tuple[Callable[[Any], Any], Jobs]]:
    """For each command, the function that workers run and a function that makes n of its items."""
    from PIL import Image

    from fractalkit.cli.compress import compress_file
    from fractalkit.cli.render_many import render_one
    from fractalkit.cli.sample_jobs import draw_some
    from fractalkit.render.animate import frame_job
    from fractalkit.render.pictures import View

    flame = sorted(FLAMES.glob("*.flame"))[0]
    with Image.open(make_photographs(folder) / "made0.png") as image:
        image.resize((512, 384), Image.Resampling.BICUBIC).save(folder / "picture.png")

    def compress(n: int) -> list[dict[str, Any]]:
        none: dict[str, Any] = dict.fromkeys(
            ("effort", "model", "iterations", "chroma", "deblock", "device", "seed", "bpp", "bytes")
        )
        options = none | {"quality": None, "psnr": None, "method": "quadtree"}
        one = {"source": str(folder / "picture.png"), "options": options, "max_pixels": 1 << 28, "alone": False}
        return [one | {"target": str(folder / f"{k}.fk")} for k in range(n)]

    def render(n: int) -> list[dict[str, Any]]:
        options: dict[str, Any] = dict.fromkeys(("palette", "oversample", "device"))
        options |= {"size": (320, 240), "quality": 100.0, "bits": 8, "transparent": False, "seed": 0, "threads": 1}
        one: dict[str, Any] = {"source": str(flame), "index": None, "options": options, "command": "fractalkit render"}
        return [one | {"target": str(folder / f"still{k}.png")} for k in range(n)]

    def sample(n: int) -> list[dict[str, Any]]:
        one: dict[str, Any] = {
            "model": "vdvae_mnist", "from": None, "view": View(2048, 2048), "texts": {}, "how": {},
            "device": "cpu", "force": True,
        }  # fmt: skip
        return [one | {"pictures": [(k, str(folder / f"{k}.png"))]} for k in range(n)]

    def animate(n: int) -> list[dict[str, Any]]:
        (folder / "film").mkdir(exist_ok=True)
        for old in (folder / "film").glob("*.png"):
            old.unlink()
        motion = {"frames": n, "times": None, "loop": True, "blur": 1, "shutter": 0.5}
        draw = {"size": (320, 240), "quality": 100.0, "seed": 0, "threads": 1}
        one: dict[str, Any] = {
            "flames": flame.read_text(),
            "folder": str(folder / "film"),
            "options": {"motion": motion, "draw": draw},
        }
        return [one | {"frame": k} for k in range(n)]

    return {
        "compress": (compress_file, compress), "render": (render_one, render), "sample": (draw_some, sample),
        "animate": (frame_job, animate),
    }  # fmt: skip


def over_dask(jobs: int, repeats: int) -> list[dict[str, Any]]:
    """Run each kind of job with one and with two workers; efficiency by wall time and by total CPU cost."""
    out: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        clusters = {n: Dask(n, folder) for n in (1, 2)}
        try:
            for name, (function, items) in kinds(folder).items():
                got: dict[int, list[dict[str, float]]] = {1: [], 2: []}
                for cluster in clusters.values():  # compile in each worker
                    drive(cluster, function, items(FEW))
                for _ in range(repeats):
                    for n, cluster in clusters.items():
                        got[n].append(drive(cluster, function, items(jobs)))
                few = {n: drive(cluster, function, items(FEW)) for n, cluster in clusters.items()}
                one, two = (max(g["rate"] for g in got[n]) for n in (1, 2))

                def margin(what: str, n: int, got: Any = got, few: Any = few) -> float:
                    return (min(g[what] for g in got[n]) - few[n][what]) / (jobs - FEW)

                cost = [margin("worker", n) for n in (1, 2)]
                rest = margin("rest", 2)
                out.append(
                    {
                        "job": name, "one worker, jobs/s": one, "two": two, "by wall": two / (2 * one),
                        "CPU s per job, one": cost[0], "CPU s, two": cost[1], "client and scheduler": rest,
                        "by CPU": cost[0] / (cost[1] + rest), "bytes per job": round(margin("bytes", 2)),
                    }
                )  # fmt: skip
        finally:
            for cluster in clusters.values():
                cluster.close()
    return out


def drive(cluster: Dask, function: Callable[[Any], Any], items: list[dict[str, Any]]) -> dict[str, float]:
    """Jobs per wall second, from the first to the last to finish; CPU seconds of workers and of the rest; bytes."""
    from fractalkit.jobs import map_items

    worker, rest = cluster.cpu()
    before = cluster.bytes()
    done = []
    for _, result in map_items(function, items, cluster=cluster.address):
        if isinstance(result, Exception):
            raise result
        done.append(time.perf_counter())
    after, rest_after = cluster.cpu()
    return {
        "rate": (len(done) - 1) / max(done[-1] - done[0], 1e-9), "worker": after - worker, "rest": rest_after - rest,
        "bytes": cluster.bytes() - before,
    }  # fmt: skip


def over_ranks(steps: int) -> list[dict[str, Any]]:
    """Train with torchrun in one and in two processes of one thread each, on the same batches."""
    from fractalkit.data.mnist import PACKED

    rates, cost = {}, {}
    with tempfile.TemporaryDirectory() as place:
        bits = np.random.default_rng(0).integers(0, 256, (512, 98), np.uint8)
        np.savez(Path(place) / PACKED, train=bits, valid=bits[:8], test=bits[:8])
        for number in (1, 2):
            few, _ = torchrun(number, FEW, Path(place))
            many, clock = torchrun(number, FEW + steps, Path(place))
            rates[number] = BATCH / float(np.quantile(np.diff(clock), 0.25))
            cost[number] = (many - few) / (steps * BATCH)
    return [
        {
            "job": "training", "one process, images/s": rates[1], "two": rates[2], "by wall": rates[2] / (2 * rates[1]),
            "CPU s per image, one": cost[1], "CPU s, two": cost[2], "by CPU": cost[1] / cost[2],
        }
    ]  # fmt: skip


def torchrun(number: int, steps: int, place: Path) -> tuple[float, list[float]]:
    """Train in ``number`` processes: CPU seconds, and the time of the loop after each step."""
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number), "-m", "fractalkit"]
    words += ["train", "vdvae_mnist", "--data-dir", str(place), "--out", f"{place}/run", "--fresh", "--parts", "2"]
    words += ["--batch", str(BATCH), "--steps", str(steps), "--log-every", "1", "--valid-every", "0"]
    words += ["--valid-items", "8", "--valid-batch", "8", "--threads", "1"]
    with timed() as t:
        subprocess.run([sys.executable, *words], env=ENV, check=True, capture_output=True)
    lines = [json.loads(line) for line in (place / "run" / "log.jsonl").read_text().splitlines()]
    return t.cpu, [line["seconds"] for line in lines if line["kind"] == "train"]


# ---- estimates


def reckon(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Upper bounds for an H200: its peak rate from the data sheet over the operations, for matrix products."""
    return [
        {
            "what": r["what"], "operations": r["flops"], "of": r["of"],
            "here, G operations/s": r["flops"] * r["value"] * (1e6 if r["unit"] == "Mpx/s" else 1) / 1e9,
            "an H200 at its peak, per second": H200_BF16 / r["flops"],
        }
        for r in rows
        if "flops" in r
    ]  # fmt: skip


@click.command(help=__doc__)
@click.option("--seconds", default=2.0, show_default=True, help="CPU seconds per rate.")
@click.option("--jobs", default=16, show_default=True, type=click.IntRange(5), help="Jobs of each kind.")
@click.option("--steps", default=20, show_default=True, help="Training steps.")
@click.option("--repeats", default=2, show_default=True, help="Repeats of the jobs; the best counts.")
def main(seconds: float, jobs: int, steps: int, repeats: int) -> None:
    load = [os.getloadavg()]
    core = one_core(seconds, steps)
    click.echo(table(core, ["what", "value", "unit"]))
    bounds = reckon(core)
    click.echo("")
    put(bounds)
    load.append(os.getloadavg())
    jobs_rows = over_dask(jobs, repeats)
    click.echo("")
    put(jobs_rows)
    ranks = over_ranks(steps)
    click.echo("")
    put(ranks)
    load.append(os.getloadavg())
    loads = [round(one, 2) for one, _, _ in load]
    click.echo(f"\nload of the machine before, between and after: {', '.join(map(str, loads))}")
    click.echo(str(save("scale", core, reckoned=bounds, dask=jobs_rows, torchrun=ranks, load=loads)))


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()

"""Jobs on a local Dask cluster with a scheduler and two workers, one of which is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fractalkit.cli.main import main
from tests.cli.test_render import FLAME
from tests.pictures import scene

pytest.importorskip("distributed")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
ENV = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


class Cluster:
    """A scheduler and its workers, each a process with a separate current folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        note = folder / "scheduler.json"
        self.scheduler = self.start("scheduler", "--port", "0", "--scheduler-file", str(note))
        while not note.exists() or not note.read_text():
            assert self.scheduler.poll() is None
            time.sleep(0.02)
        self.address = json.loads(note.read_text())["address"]

    def start(self, kind: str, *words: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            f"distributed.cli.dask_{kind}",
            *words,
            "--host",
            "127.0.0.1",
            "--no-dashboard",
        ]
        log = (self.folder / f"{kind}.log").open("ab")
        return subprocess.Popen(command, cwd=self.folder, env=ENV, stdout=log, stderr=log)

    def fill(self, client) -> None:
        """Start workers until there are two."""
        for name in ("a", "b"):
            if name not in self.workers:
                self.workers[name] = self.start("worker", self.address, "--name", name, "--nthreads", "1", "--no-nanny")
        client.wait_for_workers(2, timeout=60)

    def kill(self, name: str) -> None:
        worker = self.workers.pop(name)
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    def close(self) -> None:
        for process in (*self.workers.values(), self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()


@pytest.fixture
def client(running):
    from distributed import Client

    with Client(running.address, set_as_default=False) as client:
        running.fill(client)
        yield client


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Input files, and two output folders."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album").mkdir()
    for k in range(3):
        Image.fromarray(scene(48, 64, 3, seed=k)).save(tmp_path / "album" / f"{k}.png")
    for name, x in (("a", "12"), ("b", "9")):
        (tmp_path / f"{name}.flame").write_text(FLAME.replace('scale="12"', f'scale="{x}"'))
    (tmp_path / "pack.flame").write_text("<flames>" + FLAME + FLAME.replace('scale="12"', 'scale="7"') + "</flames>")
    for folder in ("here", "there"):
        (tmp_path / folder / "out").mkdir(parents=True)
    return tmp_path


# words, how the local run is done, and how many outputs there are; {..} is the folder above
COMMANDS = {
    "compress": ("compress ../album -o out --quality 40", "--jobs 1", 3),
    "render": ("render ../pack.flame ../a.flame sierpinski-triangle --all -o out --res 40x30", "--jobs 1", 4),
    "sample": ("sample --model vdvae_mnist -n 5 --res 40 -o out/{seed}.png", "", 5),
    "animate": ("animate ../a.flame ../b.flame --frames 4 -o out", "--jobs 1", 4),
}  # fmt: skip


def call(folder: Path, words: str) -> dict:
    before = Path.cwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(main, [*words.split(), "--json"])
    finally:
        os.chdir(before)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in outputs(folder)}


def outputs(folder: Path) -> list[Path]:
    """List completed files of jobs; the names of incomplete ones begin with a dot, and a contact sheet is no job's."""
    done = (p for p in folder.iterdir() if p.suffix in (".png", ".fk") and not p.name.startswith("."))
    return sorted(p for p in done if p.stem != "contact-sheet")


def inodes(folder: Path) -> dict[str, tuple[int, int]]:
    """Identify the versions of files: a file that is rewritten has another inode."""
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in outputs(folder)}


def executed(client) -> int:
    """Count the jobs that the workers have run."""
    return sum(client.run(lambda dask_worker: dask_worker.state.executed_count).values())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_cluster_gives_what_this_machine_gives_and_gives_it_once(name, here, running, client):
    words, locally, count = COMMANDS[name]
    there = here / "there" / "out"
    call(here / "here", f"{words} {locally}")
    before = executed(client)
    call(here / "there", f"{words} --cluster {running.address}")
    jobs = executed(client) - before
    assert 1 <= jobs <= count
    made = contents(there)
    assert len(made) == count and made == contents(here / "here" / "out")
    was = inodes(there)
    call(here / "there", f"{words} --cluster {running.address}")
    assert inodes(there) == was and executed(client) - before == jobs, "done twice"
    outputs(there)[0].unlink()
    call(here / "there", f"{words} --cluster {running.address}")
    assert contents(there) == made and executed(client) - before == jobs + 1
    assert sum(inodes(there)[n] == was[n] for n in was) == count - 1


def test_a_picture_carries_the_command_that_draws_it_alone(here, running, client):
    words = COMMANDS["render"][0]
    call(here / "there", f"{words} --cluster {running.address}")
    for name, picture in contents(here / "there" / "out").items():
        told = json.loads(CliRunner().invoke(main, ["info", str(here / "there" / "out" / name), "--json"]).stdout)
        call_alone = told["command"].removeprefix("fractalkit ")
        before = Path.cwd()
        os.chdir(here / "here")
        try:
            done = CliRunner().invoke(main, call_alone.split())
        finally:
            os.chdir(before)
        assert done.exit_code == 0, done.output
        assert (here / "here" / "out" / name).read_bytes() == picture


def test_another_command_or_a_younger_source_is_drawn_anew(here, running, client):
    there, flame = here / "there" / "out", here / "a.flame"
    words = f"render ../a.flame ../b.flame -o out --cluster {running.address}"
    call(here / "there", words)
    first = contents(there)
    call(here / "there", f"{words} --seed 1")
    assert all(contents(there)[n] != first[n] for n in first)
    call(here / "there", words)
    assert contents(there) == first
    flame.write_text(flame.read_text().replace('scale="12"', 'scale="5"'))
    was = inodes(there)
    call(here / "there", words)
    now = inodes(there)
    assert now["b.png"] == was["b.png"] and now["a.png"] != was["a.png"]
    assert contents(there)["a.png"] != first["a.png"]


def test_a_killed_worker_loses_nothing_and_nothing_is_done_twice(here, running, client):
    count = 10
    rng = np.random.default_rng(0)
    for k in range(count):
        flame = FLAME.replace('scale="12"', f'scale="{rng.uniform(6, 12):.3f}"')
        (here / "album" / f"flame{k}.flame").write_text(flame)
    words = "render ../album -o out --res 320x240 --quality 150"
    there = here / "there" / "out"
    names = {w["name"]: address for address, w in client.scheduler_info(n_workers=-1)["workers"].items()}
    command = [sys.executable, "-m", "fractalkit", *words.split(), "--json", "--cluster", running.address]
    with subprocess.Popen(command, cwd=here / "there", env=ENV, stdout=subprocess.PIPE, text=True) as process:
        while len(outputs(there)) < 2 and process.poll() is None:
            time.sleep(0.005)
        busy = client.processing()[names["a"]]
        running.kill("a")
        finished = inodes(there)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert busy and 2 <= len(finished) < count, "the worker was killed when there was no more work for it"
    report = json.loads(out)
    assert sorted(Path(f["target"]).name for f in report["files"]) == sorted(f"flame{k}.png" for k in range(count))
    assert not report["failed"]
    call(here / "here", f"{words} --jobs 1")
    assert contents(there) == contents(here / "here" / "out") and len(contents(there)) == count
    now = inodes(there)
    assert all(now[name] == finished[name] for name in finished), "done twice"


def test_an_item_that_comes_again_is_left_alone(here):
    """A worker dies after it completed an item and before it could report it."""
    from fractalkit.cli import sample_jobs
    from fractalkit.cli.batch import _do_once
    from fractalkit.cli.render_many import is_drawn, render_one
    from fractalkit.render.animate import frame_job
    from fractalkit.render.pictures import View

    options = dict.fromkeys(("size", "palette", "oversample", "quality", "device"), None)
    options |= {"bits": 8, "transparent": False, "seed": 0, "threads": 1, "strict": False}
    still = {"source": "a.flame", "target": "out.png", "index": None, "options": options, "command": "fractalkit"}
    assert _do_once(render_one, is_drawn, still)["width"] == 32
    frame = {"flames": FLAME, "frame": 2, "folder": str(here / "there")}
    frame["options"] = {"motion": {"frames": 4, "loop": True}, "draw": {"threads": 1}}
    assert frame_job(frame) == 2
    some = {"model": "vdvae_mnist", "from": None, "view": View(20, 20), "texts": {}, "how": {}}
    some |= {"device": "cpu", "force": False, "pictures": [(s, str(here / "here" / f"{s}.png")) for s in (3, 4)]}
    assert sample_jobs.draw_some(some) == 2
    was = [inodes(f) for f in (here, here / "here", here / "there")]
    assert [len(w) for w in was] == [1, 2, 1]
    assert _do_once(render_one, is_drawn, still)["skipped"] and frame_job(frame) == 2
    assert sample_jobs.draw_some(some) == 0
    assert [inodes(f) for f in (here, here / "here", here / "there")] == was


def test_what_cannot_be_shared_out_is_refused(here, running):
    for words, what in (
        ("sample --model vdvae_mnist -n 3 --grid", "pattern with {seed}"),
        ("sample --model vdvae_mnist --interpolate 1 2", "pattern with {seed}"),
        ("render a.flame --mutate 2", "--mutate: applies to a single picture"),
        ("render a.flame b.flame -o one.png", "is a single file for several pictures"),
        ("render", "give a SOURCE"),
    ):
        done = CliRunner().invoke(main, [*words.split(), "--cluster", running.address])
        assert done.exit_code == 2 and what in done.stderr and done.stderr.count("\n") == 1, done.stderr
    (here / "bad.flame").write_text("<flame")
    words = "render a.flame bad.flame b.flame -o there/out --cluster"
    done = CliRunner().invoke(main, [*words.split(), running.address])
    assert done.exit_code == 1 and "bad.flame" in done.stderr and "1 of 3 files failed" in done.stderr
    assert set(contents(here / "there" / "out")) == {"a.png", "b.png"}

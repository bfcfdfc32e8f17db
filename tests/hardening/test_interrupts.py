"""Long jobs that are interrupted, killed, run twice, or run out of disk: complete outputs or none, and clear errors.

Tests of training are in tests/train and tests/cli.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fractalkit import fk
from fractalkit.data import load_cloud
from tests.pictures import scene

ROOT = Path(__file__).resolve().parents[2]
ENV = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
INTERRUPTED = "fractalkit: error: interrupted; no incomplete files were left"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork"),
]


class Zygote:
    """A process that forks commands, see zygote.py."""

    def __init__(self) -> None:
        words = [sys.executable, "-m", "tests.hardening.zygote"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, cwd=ROOT, env=ENV, stdin=pipe, stdout=pipe, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"

    def ask(self, **what):
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    z = Zygote()
    yield z
    z.close()


@dataclass
class Running:
    """A command running in a folder."""

    zygote: Zygote
    folder: Path
    pid: int
    out: Path
    err: Path

    def until(self, ready: Callable[[Path], bool], seconds: float = 60) -> None:
        """Wait until it is in the middle of its work."""
        end = time.monotonic() + seconds
        while not ready(self.folder):
            code = self.zygote.ask(poll=self.pid)
            assert code is None, f"ended with {code} before it was to be stopped: {self.err.read_text()}"
            assert time.monotonic() < end, "it has not begun"
            time.sleep(0.01)

    def wait(self) -> tuple[int, str]:
        """Exit code and standard error without empty lines."""
        code = self.zygote.ask(wait=self.pid)
        return code, "\n".join(line for line in self.err.read_text().splitlines() if line.strip())

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        os.killpg(self.pid, number)
        return self.wait()


def start(zygote: Zygote, folder: Path, words: list[str], **more) -> Running:
    count = len(list(folder.parent.glob("*.err")))
    out, err = folder.parent / f"{count}.out", folder.parent / f"{count}.err"
    err.touch()
    spec = {"folder": str(folder), "words": words, "out": str(out), "err": str(err), **more}
    return Running(zygote, folder, zygote.ask(start=spec), out, err)


def finished(zygote: Zygote, folder: Path, words: list[str], **more) -> tuple[int, str]:
    return start(zygote, folder, words, **more).wait()


def strays(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if p.name.startswith(".")]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# ---- the jobs

FLAME = """<flame size="48 48" scale="20" quality="{q}"><xform weight="1" color="0" linear="1"
 coefs="0.5 0 0 0.5 {x} 0"/><xform weight="1" color="1" spherical="0.5" coefs="0.6 0.3 -0.3 0.6 0 0.5"/></flame>"""


def album(folder: Path, n: int = 6, side: int = 96) -> None:
    (folder / "album").mkdir()
    for i in range(n):
        Image.fromarray(scene(side, side, seed=i)).save(folder / "album" / f"p{i}.png")


def cloud(folder: Path) -> None:
    np.savetxt(folder / "a.xyz", np.random.default_rng(0).normal(size=(2000, 3)))


def two_flames(folder: Path, q: int = 400) -> None:
    for name, x in (("a", 0.2), ("b", 0.9)):
        (folder / f"{name}.flame").write_text(FLAME.format(q=q, x=x))


def photograph(folder: Path) -> None:
    Image.fromarray(scene(300, 400)).save(folder / "photo.png")


def has(*patterns: str) -> Callable[[Path], bool]:
    return lambda folder: all(named(folder, p) for p in patterns)


def named(folder: Path, pattern: str) -> set[str]:
    """Files that match a pattern, except temporary ones, whose names begin with a dot."""
    found = {str(p.relative_to(folder)) for p in folder.glob(pattern)}
    return {p for p in found if pattern.startswith(".") or not Path(p).name.startswith(".")}


def grows(folder: Path) -> bool:
    """A temporary file that is being written."""
    return any(p.name.startswith(".") and p.stat().st_size > 1000 for p in folder.iterdir())


def waits(seconds: float) -> Callable[[Path], bool]:
    """For jobs that write nothing until they are done: wait some time."""
    begun: list[float] = []

    def ready(folder: Path) -> bool:
        begun.append(time.monotonic())
        return begun[-1] - begun[0] > seconds

    return ready


@dataclass(frozen=True)
class Job:
    """A command that takes minutes, and how to see that it is in the middle.

    Attributes:
        whole: what may be there when it was stopped; all else was there before.
        done: a pattern and how many files of it a run that goes on has at the end; None: it cannot go on.
    """

    words: str
    ready: Callable[[], Callable[[Path], bool]]
    given: Callable[[Path], None] = lambda folder: None
    whole: tuple[str, ...] = ()
    again: str = ""
    done: tuple[str, int] = ("", 0)
    env: dict = field(default_factory=dict)


JOBS = {
    "compress": Job(
        "compress album -o packed --jobs 1 --effort 9", lambda: has("packed/*.fk"), lambda f: album(f, 5, 256),
        ("packed/*.fk",), "compress album -o packed --jobs 1 --effort 1", ("packed/*.fk", 5),
    ),
    "coin": Job("compress photo.png --method coin --iterations 1000000", lambda: waits(0.5), photograph),
    "fit": Job("ifs a.xyz --maps 6 --effort 9", lambda: waits(1.0), cloud),
    "points": Job("ifs nautilus --points 1e9 -o a.ply --no-preview", lambda: grows),
    "poster": Job("sample --model vdvae_mnist --res 60000 -o p.png", lambda: grows),
    "samples": Job(
        "sample --model vdvae_mnist -n 500 --res 600 -o s-{seed}.png", lambda: has("s-0.png"), whole=("s-*.png",)
    ),
    "render": Job(
        "render barnsley-fern --quality 1e7 --res 200x200 -o a.png --buffer b.safetensors", lambda: waits(1.0)
    ),
    "zoom": Job("zoom barnsley-fern -o z.gif --res 96x64 --frames 5000", lambda: has(".z-*")),
    "animate": Job(
        "animate a.flame b.flame --frames 12 --jobs 1 --quality 2e5 -o a.gif", lambda: has("a.gif.frames/frame-*.png"),
        two_flames, ("a.gif.frames/frame-*.png", "a.gif.frames/film.sha256"),
    ),
}  # fmt: skip


def check_whole(path: Path) -> None:
    if path.suffix == ".png":
        with Image.open(path) as image:
            image.load()
    elif path.suffix == ".fk":
        fk.decode(fk.load(path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupt", "kill"])
@pytest.mark.parametrize("name", JOBS)
def test_a_stopped_job_leaves_whole_files_only(zygote: Zygote, tmp_path: Path, name: str, number) -> None:
    job, here = JOBS[name], tmp_path / "here"
    here.mkdir()
    job.given(here)
    before = files(here)
    running = start(zygote, here, job.words.split())
    running.until(job.ready())
    code, err = running.stop(number)
    if number == signal.SIGINT:
        assert (code, err) == (130, INTERRUPTED)
        assert strays(here) == []
    else:
        assert code == -signal.SIGKILL
    after = files(here)
    for path, data in before.items():
        assert after.pop(path) == data
    allowed = {p for pattern in job.whole for p in named(here, pattern)}
    assert {p for p in after if not Path(p).name.startswith(".")} <= allowed
    for path in allowed:
        check_whole(here / path)
    if job.again:
        code, err = finished(zygote, here, job.again.split())
        assert code == 0, err
        pattern, n = job.done
        assert len(named(here, pattern)) == n
        kept = [p for p in allowed if p in after]
        assert kept and all((here / p).read_bytes() == after[p] for p in kept)  # what was done was not done again


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupt", "kill"])
def test_a_film_that_was_stopped_goes_on_to_the_same_film(zygote: Zygote, tmp_path: Path, number) -> None:
    words = ["animate", "a.flame", "b.flame", "--frames", "6", "--jobs", "1", "--quality", "3e3", "-o", "film"]
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        two_flames(tmp_path / name)
    assert finished(zygote, tmp_path / "whole", words)[0] == 0
    running = start(zygote, tmp_path / "stopped", words)
    running.until(has("film/frame-000001.png"))
    running.stop(number)
    first = files(tmp_path / "stopped")
    assert "film/frame-000005.png" not in first
    assert finished(zygote, tmp_path / "stopped", words)[0] == 0
    a, b = files(tmp_path / "whole"), files(tmp_path / "stopped")
    assert {k: v for k, v in b.items() if not Path(k).name.startswith(".")} == a
    assert b["film/frame-000001.png"] == first["film/frame-000001.png"]


@pytest.mark.skipif(sys.gettrace() is not None, reason="coverage warns on stderr")
def test_ctrl_c_stops_all_processes_of_a_job(tmp_path: Path) -> None:
    """As in a terminal, the whole process group gets the signal, including workers that are still importing."""
    album(tmp_path, 9, 256)
    words = [sys.executable, "-m", "fractalkit", "compress", "album", "-o", "packed", "--jobs", "2", "--effort", "7"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, cwd=tmp_path, env=ENV, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        end = time.monotonic() + 60
        while not list((tmp_path / "packed").glob("*.fk")):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == "" and err.strip() == INTERRUPTED
    assert len(list((tmp_path / "packed").glob("*.fk"))) < 8
    assert strays(tmp_path) == []


# ---- two at once


def test_two_processes_with_one_output_leave_one_whole_file(zygote: Zygote, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    words = "ifs barnsley-fern --points 1e6 -o {} --no-preview --code {}.json --seed {}"
    alone = {}
    for seed in (1, 2):
        assert finished(zygote, here, words.format(f"{seed}.ply", seed, seed).split())[0] == 0
        alone[seed] = (here / f"{seed}.ply").read_bytes()
    both = [start(zygote, here, words.format("same.ply", "same", seed).split()) for seed in (1, 2)]
    assert [r.wait()[0] for r in both] == [0, 0]
    # the comment in the header has the command, of the same length for both
    body = (here / "same.ply").read_bytes()
    n = 1_000_000 * 12
    assert body[-n:] in (alone[1][-n:], alone[2][-n:]) and len(load_cloud(here / "same.ply")) == 1_000_000
    assert strays(here) == []


def test_two_processes_over_one_folder_do_it_all(zygote: Zygote, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    album(here, 8, 64)
    words = "compress album -o {} --jobs 1 --effort 1"
    both = [start(zygote, here, words.format("packed").split()) for _ in range(2)]
    assert [r.wait()[0] for r in both] == [0, 0]
    assert finished(zygote, here, words.format("alone").split())[0] == 0
    assert files(here / "packed") == files(here / "alone") and len(files(here / "packed")) == 8


def test_two_processes_drawing_one_film(zygote: Zygote, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    two_flames(here)
    words = "animate a.flame b.flame --frames 6 --jobs 1 --quality 1e3 -o {}"
    assert finished(zygote, here, words.format("alone.gif").split())[0] == 0
    both = [start(zygote, here, words.format("film.gif").split()) for _ in range(2)]
    ends = [r.wait() for r in both]
    assert 0 in [code for code, _ in ends], ends
    for code, err in ends:
        assert code == 0 or (code == 1 and err.startswith("fractalkit: error: ") and err.count("\n") == 0), err
    with Image.open(here / "film.gif") as film, Image.open(here / "alone.gif") as alone:
        assert film.n_frames == alone.n_frames
    assert strays(here) == [] and not (here / "film.gif.frames").exists()


# ---- no room, no right

DRAWN = {
    "render": "render a.flame --res 300x300 --quality 2 -o out/a.png",
    "render-16": "render a.flame --res 300x300 --quality 2 --bits 16 -o out/a.png",
    "render-npy": "render a.flame --res 300x300 --quality 2 -o out/a.npy",
    "render-tiff": "render a.flame --res 300x300 --quality 2 -o out/a.tiff",
    "buffer": "render a.flame --res 300x300 --quality 2 -o b.png --buffer out/a.safetensors",
    "sheet": "render a.flame --mutate 4 --res 128x128 --quality 5 -o out/a.png",
    "animate": "animate a.flame b.flame --frames 2 --jobs 1 --res 300x300 -o out/film",
    "video": "animate a.flame b.flame --frames 2 --jobs 1 --res 300x300 -o out/a.mp4",
}
WRITES = {
    "compress": ("compress photo.png -o out/photo.fk --effort 1", photograph),
    "decompress": ("decompress a.fk -o out/a.png", lambda f: fk_file(f)),
    "points": ("ifs barnsley-fern --points 1e5 -o out/a.ply --no-preview", lambda f: None),
    "text": ("ifs barnsley-fern --points 1e5 -o out/a.csv --no-preview", lambda f: None),
    "preview": ("ifs barnsley-fern --points 1e3 -o out/a.ply --preview out/a.png", lambda f: None),
    "sample": ("sample --model vdvae_mnist --res 2000 -o out/a.png", lambda f: None),
    "poster": ("sample --model vdvae_mnist --res 9000 -o out/a.png", lambda f: None),
    "walk": ("sample --model vdvae_mnist --interpolate 1 2 --frames 20 --res 200 -o out/a.gif", lambda f: None),
    "zoom": ("zoom barnsley-fern --frames 4 --res 200x200 -o out/a.gif", lambda f: None),
    "page": ("zoom vdvae_mnist --levels 1 -o out/a.html", lambda f: None),
    "fractalize": ("fractalize photo.png --tiles 8 --res 600 -o out/a.png", photograph),
    "collage": ("fractalize photo.png --tiles 8 --res 20 -o a.png --code out/a.safetensors", photograph),
    **{name: (words, two_flames) for name, words in DRAWN.items()},
}  # fmt: skip


def fk_file(folder: Path) -> None:
    (folder / "a.fk").write_bytes(fk.encode(scene(300, 400), effort=0).to_bytes())


def one_sentence(err: str) -> None:
    lines = [line for line in err.splitlines() if not line.startswith("fractalkit: note: ")]
    assert len(lines) == 1 and lines[0].startswith("fractalkit: error: "), err
    assert "Traceback" not in err and "unexpected" not in err


@pytest.mark.parametrize("name", [n for n in WRITES if n != "page"])  # which takes long to get as far as its file
def test_a_full_disk_is_one_sentence_and_no_file(zygote: Zygote, tmp_path: Path, name: str) -> None:
    """Limit files to 2,000 bytes."""
    words, given = WRITES[name]
    here = tmp_path / "here"
    (here / "out").mkdir(parents=True)
    given(here)
    before = files(here)
    code, err = finished(zygote, here, words.split(), largest=2000)
    assert code == 1, err
    one_sentence(err)
    target = next(w for w in reversed(words.split()) if w.startswith("out/"))
    assert not (here / target).is_file() and strays(here) == []
    for path in files(here / "out"):  # frames and codes that did fit
        assert Path(path).name.startswith(("frame-", "film.sha256", "a.ifs.json")), path
        check_whole(here / "out" / path)
    assert all(files(here)[k] == v for k, v in before.items())


@pytest.mark.parametrize("name", ["compress", "points", "sample", "render", "buffer", "animate", "video"])
def test_a_disk_that_fills_up(zygote: Zygote, tmp_path: Path, name: str) -> None:
    """A real full disk of 4 KiB, if the system allows one."""
    words, given = WRITES[name]
    here = tmp_path / "here"
    (here / "out").mkdir(parents=True)
    given(here)
    running = start(zygote, here, words.split(), disk=[str(here / "out"), 4096])
    code, err = running.wait()
    if code == 77:
        pytest.skip("the system allows no small disk")
    assert code == 1, err
    one_sentence(err)
    left = json.loads(running.out.read_text().splitlines()[-1])
    assert set(left) <= {"film", "a.mp4.frames"}, left


@pytest.mark.parametrize("name", WRITES)
def test_a_read_only_folder_is_one_sentence(zygote: Zygote, tmp_path: Path, name: str) -> None:
    words, given = WRITES[name]
    here = tmp_path / "here"
    (here / "out").mkdir(parents=True)
    given(here)
    (here / "out").chmod(0o555)
    try:
        if os.geteuid() != 0 and os.access(here / "out", os.W_OK):
            pytest.skip("this file system knows no permissions")
        code, err = finished(zygote, here, words.split(), obey=True)
        assert code == 1, err
        one_sentence(err)
        assert "out" in err
        assert list((here / "out").iterdir()) == []
    finally:
        (here / "out").chmod(0o755)

"""Items in processes and on a Dask cluster, including workers that die."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fractalkit.errors import DataError, UsageError
from fractalkit.jobs import map_items


def square(n: int) -> int:
    if n == 7:
        raise DataError("seven: not liked")
    return n * n


def die_once(path: str) -> str:
    """The first worker that gets this item is killed; the second completes it."""
    mark = Path(path)
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return "done"
    if mark.name.startswith("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("jobs", [1, 2])
def test_all_are_done_and_ours_are_results(jobs):
    got = dict(map_items(square, list(range(10)), jobs=jobs))
    assert isinstance(got.pop(7), DataError)
    assert got == {n: n * n for n in range(10) if n != 7}


def test_a_killed_process_loses_nothing(tmp_path):
    names = [str(tmp_path / n) for n in ("a", "deadly", "b", "c")]
    assert dict(map_items(die_once, names, jobs=2)) == dict.fromkeys(range(4), "done")


def test_an_item_that_always_kills_is_named():
    with pytest.raises(DataError, match="its process died"):
        list(map_items(die, [0, 1], jobs=2))


def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        "from fractalkit.errors import one_line\nfrom fractalkit.jobs import map_items\n"
        "print(dict(map_items(one_line, ['a', 'b'], jobs=2)))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert "UsageError: workers: each of them runs your script again" in done.stderr
    assert done.stderr.count("Traceback") == 1 and done.stdout == ""
    guarded = script.read_text().replace("print", "if __name__ == '__main__':\n    print")
    script.write_text(guarded)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and "'a'" in done.stdout


def test_no_cluster_there():
    with pytest.raises(UsageError, match="no scheduler answers"):
        list(map_items(square, [1], cluster="tcp://127.0.0.1:9"))


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_with_a_killed_worker(tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        names = [str(tmp_path / n) for n in ("a", "deadly", "b", "c", "d")]
        got = dict(map_items(die_once, names, cluster=cluster.scheduler_address))
    assert got == dict.fromkeys(range(5), "done")


@pytest.mark.filterwarnings("ignore")
def test_a_film_drawn_on_a_cluster_is_the_film_drawn_here(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    from click.testing import CliRunner

    from fractalkit.cli.main import main

    one = """<flame size="24 24" scale="10" quality="5">
    <xform weight="1" color="0" linear="1" coefs="0.5 0 0 0.5 {x} 0"/>
    <xform weight="1" color="1" spherical="0.5" coefs="0.6 0.3 -0.3 0.6 0 0.5"/></flame>"""
    monkeypatch.chdir(tmp_path)
    for name, x in (("a", 0.2), ("b", 0.9)):
        (tmp_path / f"{name}.flame").write_text(one.format(x=x))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        for options in (["-o", "there", "--cluster", cluster.scheduler_address], ["-o", "here", "--jobs", "1"]):
            r = CliRunner().invoke(main, ["animate", "a.flame", "b.flame", "--frames", "4", *options])
            assert r.exit_code == 0, r.output
    names = sorted(p.name for p in (tmp_path / "here").glob("*.png"))
    assert len(names) == 4
    for name in names:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()

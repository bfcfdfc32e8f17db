"""Training with torchrun in two processes that are killed: it restarts by itself, with bit-identical results."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch

from fractalkit.data.mnist import PACKED
from fractalkit.errors import DataError
from fractalkit.train.loop import LOG, existing_run
from fractalkit.train.ranks import processes
from fractalkit.train.rendezvous import meet
from tests.train.test_loop import lines, run, same_files

pytestmark = pytest.mark.slow

psutil = pytest.importorskip("psutil")
ROOT = Path(__file__).resolve().parents[2]
STEPS = 240


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Digits, and an uninterrupted run."""
    root = tmp_path_factory.mktemp("elastic")
    bits = np.random.default_rng(0).integers(0, 256, (20, 98), np.uint8)
    np.savez(root / PACKED, train=bits, valid=bits[:6], test=bits[:6])
    with started(root, "whole") as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return root


def started(root: Path, name: str, restarts: int = 1) -> subprocess.Popen[str]:
    """Start ``torchrun ... fractalkit train tiny``."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [
        "--max-restarts",
        str(restarts),
        "-m",
        "tests.train.command",
        "train",
        "tiny",
        "--out",
        str(root / name),
    ]
    command += ["--resume", "--steps", str(STEPS), "--save-every", "20", "--valid-every", "60"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "FRACTALKIT_DATA": str(root)}
    return subprocess.Popen(command, cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_processes_are_replaced_and_the_weights_are_the_same(folder):
    out = folder / "killed"
    with started(folder, "killed", restarts=2) as process:
        for rank, after in ((1, 40), (0, 140)):
            while process.poll() is None and step_of(out) < after:
                time.sleep(0.01)
            workers = psutil.Process(process.pid).children()
            (victim,) = [w for w in workers if w.environ().get("RANK") == str(rank)]
            victim.send_signal(signal.SIGKILL)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert err.count("exitcode: -9") == 2, err
    assert "SIGABRT" not in err and "terminate called" not in err and "Traceback" not in err, err
    same_files(folder / "whole", out)
    assert step_of(out) == STEPS
    # each start after the first is at a checkpoint
    starts = [s["step"] for s in lines(out, "start")]
    assert len(starts) == 3 and starts[0] == 0 and starts[1] >= 40 and starts[2] >= 140, starts
    assert all(s % 20 == 0 for s in starts)
    # those that were left said so in one sentence
    said = [line for line in err.splitlines() if line.startswith("fractalkit: error: ")]
    assert all(re.search("another process of this run is gone .*--resume goes on", line) for line in said), err


def step_of(out: Path) -> int:
    head = existing_run(out)
    return 0 if head is None else head["state"]["step"]


def test_processes_that_see_different_things_are_refused(folder, tmp_path):
    """Machines without a shared folder: one has a checkpoint, the other has none."""
    run(tmp_path / "with", steps=7, parts=2)
    port = free_port()
    pipes = []
    for rank, name in enumerate(("with", "without")):
        mine, theirs = get_context("fork").Pipe()
        get_context("fork").Process(target=alone, args=(rank, port, tmp_path / name, theirs)).start()
        pipes.append(mine)
    for pipe in pipes:
        assert pipe.poll(60) and "differ in settings, data or checkpoint" in pipe.recv()
    assert not (tmp_path / "without" / LOG).exists() and existing_run(tmp_path / "with")["state"]["step"] == 7


def alone(rank: int, port: int, out: Path, pipe) -> None:
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = str(port)
    try:
        with processes(torch.device("cpu")) as ranks:
            run(out, ranks=ranks, steps=14, parts=2, resume=True)
    except DataError as error:
        pipe.send(str(error))


def test_a_meeting_waits_for_those_of_this_start():
    """The message of a killed process is still in the store when the others restart."""
    from torch.distributed import HashStore

    store = HashStore()
    for start in range(3):
        with ThreadPoolExecutor(3) as pool:
            early = [pool.submit(meet, store, rank, 3) for rank in (0, 1)]
            time.sleep(0.1)
            assert not any(e.done() for e in early), "met one that is not there"
            parts = [f.result(20) for f in (*early, pool.submit(meet, store, 2, 3))]
        parts[0].set("key", str(start))
        assert [p.get("key") for p in parts] == [str(start).encode()] * 3
    with pytest.raises(DataError, match="the 3 processes of this run did not all start within 0 s"):
        meet(store, 0, 3, patience=0.2)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]

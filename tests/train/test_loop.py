"""The loop: resume is exact after a kill, several processes compute what one does, useless steps are left out."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fractalkit.train.config import TrainConfig
from fractalkit.train.loop import BEST, CHECKPOINT, LAST, LOG, existing_run, train
from tests.train.tiny import SETTINGS, TinyVAE, model, pictures

ROOT = Path(__file__).resolve().parents[2]
ENV = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(out: Path, *, steps: int = 30, resume: bool = False, net: TinyVAE | None = None, **extra):
    keys = {"stop", "minutes", "valid", "data", "progress"}
    settings = SETTINGS | {"steps": steps} | {k: v for k, v in extra.items() if k not in keys}
    given = {"valid": pictures(20, seed=1)} | {k: v for k, v in extra.items() if k in keys - {"data"}}
    return train(net or model(), extra.get("data") or pictures(), out, TrainConfig(**settings), resume=resume, **given)


def lines(out: Path, kind: str) -> list[dict]:
    return [r for r in map(json.loads, (out / LOG).read_text().splitlines()) if r["kind"] == kind]


def timeless(records: list[dict]) -> list[dict]:
    return [{k: v for k, v in r.items() if k not in ("seconds", "took")} for r in records]


def same_files(a: Path, b: Path) -> None:
    for name in (CHECKPOINT, BEST, LAST):
        x, y = load_file(a / name), load_file(b / name)
        assert x.keys() == y.keys()
        assert all(torch.equal(x[k], y[k]) for k in x), name
    for kind in ("train", "valid"):
        assert timeless(lines(a, kind)) == timeless(lines(b, kind))


def test_it_learns_and_writes_what_it_says(tmp_path):
    result = run(tmp_path, steps=200, parts=2)
    first, last = lines(tmp_path, "valid")[0], lines(tmp_path, "valid")[-1]
    assert result.step == 200 and result.reason == "steps" and result.skipped == 0
    assert last["nats"] < 0.7 * first["nats"]
    assert math.isclose(result.best, min(r["nats"] for r in lines(tmp_path, "valid")), rel_tol=1e-6)
    assert last["items"] == 12 and math.isclose(last["bits_per_dim"], last["nats"] / 64 / math.log(2), rel_tol=1e-5)
    assert len(lines(tmp_path, "train")) == 50 and len(lines(tmp_path, "train")[0]["sides"]) == 2
    assert existing_run(tmp_path)["state"]["step"] == 200
    assert set(load_file(tmp_path / BEST)) == set(model().state_dict())


def test_resume_is_exact_wherever_it_stopped(tmp_path):
    run(tmp_path / "whole")
    for cut in (1, 6, 10, 29):
        asked = iter(range(1, 100))
        done = run(tmp_path / "cut", stop=lambda asked=asked, cut=cut: next(asked) == cut)
        assert (done.step, done.reason) == (cut, "interrupted")
        assert run(tmp_path / "cut", resume=True).reason == "steps"
        same_files(tmp_path / "whole", tmp_path / "cut")


def test_resume_is_exact_after_a_kill(tmp_path):
    command = [sys.executable, "-m", "tests.train.tiny", str(tmp_path / "killed"), '{"pause": 0.05}']
    with subprocess.Popen(command, cwd=ROOT, env=ENV, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 18:
                process.send_signal(signal.SIGKILL)
    assert existing_run(tmp_path / "killed")["state"]["step"] in (14, 7)
    run(tmp_path / "killed", resume=True)
    run(tmp_path / "whole")
    same_files(tmp_path / "whole", tmp_path / "killed")

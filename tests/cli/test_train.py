"""``fractalkit train``: options, exit codes, signals; the loop itself is tested in tests/train."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from fractalkit.cli.main import main
from fractalkit.data.mnist import PACKED
from tests.train.command import configs_module

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with digits, the current one, and the configurations of the tests."""
    bits = np.random.default_rng(0).integers(0, 256, (20, 98), np.uint8)
    np.savez(tmp_path / PACKED, train=bits, valid=bits[:6], test=bits[:6])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRACTALKIT_DATA", str(tmp_path))
    monkeypatch.setitem(sys.modules, "fractalkit.models.configs", configs_module())
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, args)])


def refused(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == "" and result.stderr.startswith("fractalkit: error: ")
    assert result.stderr.count("\n") == 1 and all(w in result.stderr for w in words), result.stderr


def test_a_run_its_files_and_going_on(here: Path) -> None:
    done = run("tiny", "--threads", 1, "--steps", 6)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("6 of 6 steps in ") and done.stdout.endswith("runs/tiny/best.safetensors\n")
    assert {p.name for p in (here / "runs" / "tiny").iterdir()} >= {"best.safetensors", "log.jsonl"}
    refused(run("tiny"), 2, "runs/tiny: holds a run at step 6; --resume goes on, --fresh replaces it")
    again = run("tiny", "--resume", "--steps", 8, "--json")
    report = json.loads(again.stdout)
    assert (report["step"], report["reason"], report["config"]["batch"]) == (8, "steps", 4)
    # what the run began with stands, where it is not given
    assert report["config"]["lr"] == 1e-3 and Path(report["weights"]).is_file()
    refused(run("other", "--out", "runs/tiny", "--resume"), 1, "holds a run of tiny, not of other")
    assert json.loads(run("tiny", "--fresh", "--steps", 2, "--seed", 9, "--json").stdout)["step"] == 2


def test_weights_and_settings_are_taken(here: Path) -> None:
    a = run("tiny", "--out", "a", "--steps", 3, "--no-bf16", "--lr", 0.1, "--clip", 0, "--parts", 2, "--json")
    config = json.loads(a.stdout)["config"]
    assert (config["bf16"], config["lr"], config["clip"], config["parts"]) == (False, 0.1, 0.0, 2)
    b = run("tiny", "--out", "b", "--steps", 3, "--lr", 0, "--init", "a/last.safetensors", "--json")
    assert b.exit_code == 0, b.stderr
    refused(run("other", "--out", "c", "--init", "a/last.safetensors"), 1, "is of another model")
    refused(run("tiny", "--out", "c", "--init", "none"), 1, "none")


def test_list(here: Path) -> None:
    assert "tiny   mnist-static" in run("--list").stdout
    assert json.loads(run("--list", "--json").stdout)["configurations"][0]["steps"] == 12


def test_what_is_refused(here: Path) -> None:
    refused(run(), 2, "give a MODEL; there are tiny, other")
    refused(run("huge"), 2, "'huge' is unknown; there are tiny, other")
    refused(run("tiny", "--resume", "--fresh"), 2, "contradict")
    refused(run("tiny", "--lr", -1), 2, "lr: expected a number from 0 to 10")
    refused(run("tiny", "--batch", 5, "--parts", 2), 2, "2 equal parts")
    refused(run("tiny", "--data-dir", here / "runs"), 1, "runs: is no folder")
    (here / "empty").mkdir()
    refused(run("tiny", "--data-dir", "empty"), 1, f"empty: holds neither {PACKED} nor binarized_mnist_train.amat")
    refused(run("tiny", "--out", PACKED), 1, "is a file")
    (here / "bad").mkdir()
    (here / "bad" / "checkpoint.safetensors").write_bytes(b"\x80\x04K\x01.")
    refused(run("tiny", "--out", "bad", "--resume"), 1, "damaged or no checkpoint", "--fresh")
    assert run("tiny", "--out", "bad", "--fresh", "--steps", 1).exit_code == 0


def test_too_little_memory(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("tests.train.tiny.TinyVAE.losses", full)
    refused(run("tiny"), 1, "not enough memory; double --parts")


def test_minutes(here: Path) -> None:
    done = run("tiny", "--minutes", 0, "--out", "m")
    assert done.exit_code == 0 and "1 of 12 steps" in done.stdout and "--out m --resume goes on" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_a_checkpoint(here: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "tests.train.command", "train", "tiny", "--steps", "1000000", "--json"]
    command += ["--out", str(here / "run")]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (here / "run" / "checkpoint.safetensors").exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    report = json.loads(out)
    step = report["step"]
    assert report["reason"] == "interrupted"
    assert err == (
        f"fractalkit: interrupted after step {step:,}, which is saved; --out {here / 'run'} --resume goes on\n"
    )
    more = run("tiny", "--out", here / "run", "--resume", "--steps", step + 1)
    assert more.exit_code == 0 and f"{step + 1:,} of {step + 1:,} steps" in more.stdout

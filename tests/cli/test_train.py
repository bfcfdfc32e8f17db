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
from PIL import Image

from fractalkit.cli.main import main
from fractalkit.data.mnist import PACKED
from fractalkit.models import from_pretrained
from tests.train.command import configs_module

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a current folder with digits, and the test configurations."""
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
    refused(run("tiny"), 2, "runs/tiny: holds a run at step 6; --resume continues it, --fresh replaces it")
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


def test_settings_of_the_model(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fractalkit.models.configs")  # the real ones
    small = ("--data", "mnist-static", "--batch", 4, "--valid-batch", 2, "--warmup", 1, "--no-bf16")
    trunk = [w for t in ("encoder=7x1,7d7,1x1", "decoder=1x1,7m1,7x1", "width=8", "latent=2") for w in ("--set", t)]
    assert run("vdvae_mnist", "--out", "a", "--steps", 1, *small, *trunk).exit_code == 0
    net = from_pretrained("a/last.safetensors")
    assert (net.config.width, net.config.warm) == (8, 1000)
    # a resumed run keeps them; trained weights are not warmed up again, nor after a stop
    done = run("vdvae_mnist", "--out", "b", "--steps", 1, *small, *trunk, "--init", "a/last.safetensors")
    assert done.exit_code == 0, done.stderr
    done = run("vdvae_mnist", "--out", "b", "--steps", 2, "--resume")
    assert done.exit_code == 0, done.stderr
    net = from_pretrained("b/last.safetensors")
    assert (net.config.width, net.config.warm) == (8, 0)
    refused(run("vdvae_mnist", "--out", "b", "--resume", "--set", "width=9"), 2, "--set", "other settings")
    refused(run("vdvae_mnist", "--out", "c", "--set", "wide=9"), 2, "wide: is no setting")
    refused(run("vdvae_mnist", "--out", "c", "--set", "width"), 2, "--set width: expected NAME=VALUE")


def test_list(here: Path) -> None:
    assert "tiny   mnist-static" in run("--list").stdout
    assert json.loads(run("--list", "--json").stdout)["configurations"][0]["steps"] == 12


def test_what_is_refused(here: Path) -> None:
    refused(run(), 2, "give a MODEL; there are tiny, other")
    refused(run("huge"), 2, "'huge' is unknown; there are tiny, other")
    refused(run("tiny", "--resume", "--fresh"), 2, "contradict")
    refused(run("tiny", "--lr", -1), 2, "lr: expected a number from 0 to 10")
    refused(run("tiny", "--batch", 5, "--parts", 2), 2, "2 equal parts")
    refused(run("tiny", "--data-dir", here / "runs"), 1, "runs: is not a folder")
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
    assert done.exit_code == 0 and "1 of 12 steps" in done.stdout and "--out m --resume continues it" in done.stdout


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
        f"fractalkit: interrupted after step {step:,}, which is saved; --out {here / 'run'} --resume continues it\n"
    )
    more = run("tiny", "--out", here / "run", "--resume", "--steps", step + 1)
    assert more.exit_code == 0 and f"{step + 1:,} of {step + 1:,} steps" in more.stdout


# ---- any data, settings in files


TRUNK = [w for t in ("encoder=7x1,7d7,1x1", "decoder=1x1,7m1,7x1", "width=8", "latent=2", "hidden=4", "features=4")
         for w in ("--set", t)]  # fmt: skip
SMALL = ("--steps", 1, "--batch", 4, "--valid-batch", 2, "--warmup", 1, "--no-bf16")


@pytest.fixture
def real(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, with clothes and photographs, and the configurations of the package."""
    monkeypatch.delitem(sys.modules, "fractalkit.models.configs")
    rng = np.random.default_rng(0)
    (here / "fashion").mkdir()
    for name, n in (("train", 24), ("t10k", 6)):
        head = b"\0\0\x08\x03" + b"".join(v.to_bytes(4, "big") for v in (n, 28, 28))
        (here / "fashion" / f"{name}-images-idx3-ubyte").write_bytes(head + rng.bytes(n * 784))
        labels = b"\0\0\x08\x01" + n.to_bytes(4, "big") + bytes(k % 5 for k in range(n))
        (here / "fashion" / f"{name}-labels-idx1-ubyte").write_bytes(labels)
    (here / "photos").mkdir()
    for k in range(24):
        size = tuple(rng.integers(20, 90, 2)) + ((3,) if k % 2 else ())
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(here / "photos" / f"{k}.{('png', 'jpg')[k % 3 > 0]}")
    return here


def test_grey_pictures_with_classes(real: Path) -> None:
    done = run("vdvae_mnist", "--data", "fashion", "--out", "a", "--sample-every", 1, *SMALL, *TRUNK)
    assert done.exit_code == 0, done.stderr
    net = from_pretrained("a/last.safetensors")
    assert (net.config.likelihood, net.classes, net.config.prior) == ("logistic-mixture", 5, "block")
    with Image.open("a/samples/step-000001.png") as image:
        assert image.size == (448, 448)
    # its settings, written and read
    again = run("--config", "a/run.toml", "--out", "b", "--json")
    assert again.exit_code == 0, again.stderr
    assert from_pretrained("b/last.safetensors").config == net.config
    assert json.loads(again.stdout)["config"]["batch"] == 4
    assert run("vdvae_mnist", "--out", "a", "--resume", "--steps", 2).exit_code == 0
    refused(
        run("vdvae_mnist", "--out", "a", "--resume", "--data", "mnist-static"),
        1,
        "a run on fashion, not on mnist-static",
    )


def test_a_folder_of_pictures(real: Path) -> None:
    trunk = [t.replace("7", "4") if "coder" in t else t for t in TRUNK]
    done = run("vdvae_cifar10", "--data", "photos", "--set", "size=16", "--out", "a", "--set", "stem=4", *SMALL, *trunk)
    assert done.exit_code == 0, done.stderr
    assert from_pretrained("a/last.safetensors").config.size == 16
    grey = run("vdvae_mnist", "--data", "photos", "--set", "channels=1", "--out", "g", "--size", 14, *SMALL, *TRUNK)
    assert grey.exit_code == 0, grey.stderr
    config = from_pretrained("g/last.safetensors").config
    assert (config.channels, config.size, config.stem, config.classes) == (1, 14, 2, 0)


def test_data_that_do_not_fit_are_refused(real: Path) -> None:
    refused(run("vdvae_mnist", "--data", "absent"), 2, "--data absent: is unknown", "fashion")
    refused(run("vdvae_mnist", "--data", "photos/0.png"), 2, "is no folder")
    refused(run("vdvae_mnist", "--data", "photos", "--data-dir", "."), 2, "--data names a folder already")
    refused(run("vdvae_mnist", "--data", "photos", "--size", 30), 1, "takes 28 x 28 or other multiples of 7")
    refused(run("nc_aerial_mid", "--data-dir", "photos", "--size", 28), 1, "multiples of 32")
    refused(run("vdvae_mnist", "--data", "fashion", "--set", "likelihood=bernoulli"), 2, "needs logistic-mixture")
    refused(run("vdvae_mnist", "--data", "fashion", "--set", "classes=2"), 2, "needs 5")
    refused(run("vdvae_mnist", "--config", "absent.toml"), 1, "absent.toml")
    for text, code, words in (("steps = ", 1, "is no TOML"), ("steps = 3", 2, "'steps' is unknown"),
                              ("set = 3", 1, "a table"), ("[train]\nstep = 3", 2, "step: is no setting")):  # fmt: skip
        (real / "bad.toml").write_text(text)
        refused(run("vdvae_mnist", "--config", "bad.toml"), code, words)
    assert not (real / "runs").exists()

"""The training loop: exact resume after a kill, the same result for several processes, skipped steps."""

import errno
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

from fractalkit.data.image_set import ImageSet
from fractalkit.errors import DataError, UsageError
from fractalkit.train.config import TrainConfig, average_decay, learning_rate
from fractalkit.train.loop import BEST, CHECKPOINT, LAST, LOG, Hooks, existing_run, train
from fractalkit.train.randomness import items_at, subset
from fractalkit.train.ranks import Ranks
from fractalkit.train.state import NormStatistics, adamw, load_weights
from tests.train.tiny import SETTINGS, TinyVAE, model, pictures

ROOT = Path(__file__).resolve().parents[2]
ENV = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


pytestmark = pytest.mark.usefixtures("one_thread")


def run(out: Path, *, steps: int = 30, resume: bool = False, net: TinyVAE | None = None, **extra):
    keys = {"hooks", "stop", "minutes", "valid", "data", "progress", "ranks"}
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
    result = run(tmp_path, steps=120, lr=2e-2, parts=2)
    first, last = lines(tmp_path, "valid")[0], lines(tmp_path, "valid")[-1]
    assert result.step == 120 and result.reason == "steps" and result.skipped == 0
    assert last["nats"] < 0.7 * first["nats"]
    assert math.isclose(result.best, min(r["nats"] for r in lines(tmp_path, "valid")), rel_tol=1e-6)
    assert last["items"] == 12 and math.isclose(last["bits_per_dim"], last["nats"] / 64 / math.log(2), rel_tol=1e-5)
    assert len(lines(tmp_path, "train")) == 30 and len(lines(tmp_path, "train")[0]["sides"]) == 2
    assert existing_run(tmp_path)["state"]["step"] == 120
    assert set(load_file(tmp_path / BEST)) == set(model().state_dict())


def test_resume_is_exact_wherever_it_stopped(tmp_path):
    run(tmp_path / "whole")
    for cut in (6, 10, 29):
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
    # a line half written, as a kill may leave it
    with (tmp_path / "killed" / LOG).open("a") as log:
        log.write('{"kind": "train", "step": 1')
    assert existing_run(tmp_path / "killed")["state"]["step"] in (14, 7)
    run(tmp_path / "killed", resume=True)
    run(tmp_path / "whole")
    same_files(tmp_path / "whole", tmp_path / "killed")


def test_two_processes_compute_what_one_does_and_one_goes_on_from_two(tmp_path):
    two = tmp_path / "two"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += ["-m", "tests.train.tiny", str(two), '{"parts": 2, "stop": 18}']
    done = subprocess.run(command, cwd=ROOT, env=ENV, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert existing_run(two)["state"]["step"] == 18
    run(two, parts=2, resume=True)
    run(tmp_path / "one", parts=2)
    a, b = load_file(two / BEST), load_file(tmp_path / "one" / BEST)
    assert all(torch.allclose(a[k], b[k], rtol=1e-4, atol=1e-6) for k in a if k != "calls")
    for kind in ("train", "valid"):
        for x, y in zip(lines(two, kind), lines(tmp_path / "one", kind), strict=True):
            key = "loss" if kind == "train" else "nats"
            assert x["step"] == y["step"] and math.isclose(x[key], y[key], rel_tol=1e-5)


def test_parts_are_shared_evenly(tmp_path):
    with pytest.raises(UsageError, match="cannot be shared by 2"):
        train(model(), pictures(), tmp_path, TrainConfig(parts=1), ranks=Ranks(torch.device("cpu"), 0, 2))


def test_steps_that_are_not_finite_or_too_large_are_left_out(tmp_path):
    poisoned, clean = model(), model()
    poisoned.poison = {3, 4}
    result = run(tmp_path / "a", net=poisoned, save_every=5)
    assert (result.skipped, result.step) == (2, 30)
    assert all(torch.isfinite(v).all() for v in load_file(tmp_path / "a" / LAST).values())
    assert all(math.isfinite(r["loss"]) for r in lines(tmp_path / "a", "train"))
    before = {k: v.clone() for k, v in clean.state_dict().items() if k != "calls"}
    assert run(tmp_path / "b", net=clean, skip=1e-6, steps=9).skipped == 9
    assert all(torch.equal(v, clean.state_dict()[k]) for k, v in before.items())
    with pytest.raises(DataError, match=r"100 steps in a row, up to step 100, .* lower --lr"):
        run(tmp_path / "c", skip=1e-6, steps=200)
    assert existing_run(tmp_path / "c")["state"]["step"] == 98


def test_norms_far_above_the_running_ones_are_left_out():
    norms = NormStatistics()
    rng = np.random.default_rng(0)
    falling = 1e5 * np.exp(-np.arange(300) / 100) * np.exp(0.3 * rng.normal(size=300))
    assert not any(norms.add(float(v), 6.0) for v in falling)
    assert norms.mean == pytest.approx(math.log(falling[-1]), abs=1.5)
    assert norms.add(1e3 * falling[-1], 6.0) and not norms.add(falling[-1], 6.0)
    assert not any(norms.add(1e9, 0.0) for _ in range(3))
    # a lasting change is followed
    steady = NormStatistics()
    assert not any(steady.add(1.0, 6.0) for _ in range(150))
    later = [steady.add(50.0, 6.0) for _ in range(100)]
    assert later[0] and not any(later[-20:])


def test_running_norms_survive_a_resume(tmp_path):
    whole = run(tmp_path / "whole", steps=130, sigmas=2.0, flip=True)
    asked = iter(range(1, 200))
    run(tmp_path / "cut", steps=130, sigmas=2.0, flip=True, stop=lambda: next(asked) == 110)
    assert run(tmp_path / "cut", steps=130, sigmas=2.0, flip=True, resume=True).skipped == whole.skipped
    same_files(tmp_path / "whole", tmp_path / "cut")


def test_only_some_parameters_are_trained(tmp_path):
    net = model()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    run(tmp_path, steps=4, net=net, only="inner.*", ema=0.0)
    after = load_file(tmp_path / LAST)
    moved = {k for k in before if k != "calls" and not torch.equal(before[k], after[k])}
    assert moved == {"inner.weight", "inner.bias"}
    assert run(tmp_path, steps=6, only="inner.*", resume=True).step == 6
    with pytest.raises(UsageError, match="no parameter matches 'outer"):
        run(tmp_path / "none", only="outer.*")


def test_hooks(tmp_path):
    shown, logged = [], []
    hooks = Hooks(lambda net, step: shown.append(step), 12, lambda kind, step, values: logged.append((kind, step)))
    run(tmp_path, steps=30, hooks=hooks)
    assert shown == [12, 24, 30] and ("valid", 30) in logged and ("train", 4) in logged


def test_dynamic_pictures_are_drawn_anew(tmp_path):
    grey = ImageSet(np.full((8, 1, 8, 8), 128, np.uint8), 256, dynamic=True)
    seen = []

    class Watching(TinyVAE):
        def losses(self, x, generator, step):
            seen.append(x)
            return super().losses(x, generator, step)

    run(tmp_path, steps=3, net=Watching(), data=grey, valid=grey)
    assert all(set(x.unique().tolist()) == {0.0, 1.0} for x in seen) and not torch.equal(seen[0], seen[1])
    assert 0.4 < float(torch.stack(seen).mean()) < 0.6


def test_bfloat16_and_other_formats_run(tmp_path):
    for settings in ({"bf16": False}, {"channels_last": False}, {"schedule": "constant", "ema": 0.0, "clip": 0.0}):
        assert run(tmp_path, steps=3, **settings).step == 3
    # without decay of the average it is the weights themselves
    done = load_file(tmp_path / CHECKPOINT)
    assert torch.equal(done["model.out.weight"], done["average.out.weight"])


def test_minutes_end_a_run_with_a_checkpoint(tmp_path):
    result = run(tmp_path, minutes=0.0)
    assert (result.step, result.reason) == (1, "minutes") and existing_run(tmp_path)["state"]["step"] == 1


def test_without_validation_there_are_no_best_weights(tmp_path):
    assert run(tmp_path, valid=None, steps=3).best is None
    assert not (tmp_path / BEST).exists() and (tmp_path / LAST).exists()


def test_one_run_at_a_time_and_nothing_left_over(tmp_path):
    (tmp_path / ".checkpoint-abcd1234.safetensors").write_bytes(b"half")
    (tmp_path / ".mine-abcd1234.safetensors").write_bytes(b"")

    def inner(step: int, values: dict) -> None:
        with pytest.raises(DataError, match="another process is training into it"):
            run(tmp_path, steps=1)

    run(tmp_path, steps=2, progress=inner)
    assert sorted(p.name for p in tmp_path.glob(".*")) == [".mine-abcd1234.safetensors"]


def test_a_new_run_replaces_the_old_one(tmp_path):
    run(tmp_path, steps=12)
    run(tmp_path, steps=2, valid=None)
    assert sorted(p.name for p in tmp_path.iterdir()) == [CHECKPOINT, LAST, LOG]
    assert [r["step"] for r in lines(tmp_path, "train")] == [2]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda b: b[:-10], "is damaged"),
        (lambda b: b"\x80\x04K\x01.", "is damaged or no checkpoint"),
        (lambda b: b"", "is damaged or no checkpoint"),
        (lambda b: save({"a": torch.zeros(1)}), "is no checkpoint of a training run"),
        (lambda b: b.replace(b'"version":"1"', b'"version":"9"'), "version '9'"),
    ],
)
def test_a_bad_checkpoint_is_one_sentence(tmp_path, damage, words):
    run(tmp_path, steps=2)
    path = tmp_path / CHECKPOINT
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=words) as found:
        run(tmp_path, resume=True)
    assert str(path) in str(found.value)


def test_another_model_or_other_data_are_refused(tmp_path):
    run(tmp_path, steps=2)
    with pytest.raises(DataError, match=r"of another model \(model.inner.weight is .*\[6, 64\], not .*\[8, 64\]\)"):
        run(tmp_path, resume=True, net=TinyVAE(latent=4))
    with pytest.raises(DataError, match=r"trained on other data \(pictures 37x1x8x8-.*, not 36x1x8x8"):
        run(tmp_path, resume=True, data=pictures(36))


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    run(tmp_path, steps=7)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("fractalkit.train.state.save_file", full)
    with pytest.raises(DataError, match=r"step 14 cannot be written \(No space left on device\); the one before it"):
        run(tmp_path, resume=True)
    monkeypatch.undo()
    assert existing_run(tmp_path)["state"]["step"] == 7
    assert run(tmp_path, resume=True).step == 30
    run(tmp_path / "whole")
    for name in (LAST, CHECKPOINT):
        a, b = load_file(tmp_path / name), load_file(tmp_path / "whole" / name)
        assert all(torch.isfinite(v).all() and v.shape == b[k].shape for k, v in a.items())


def test_weights_to_begin_with(tmp_path):
    run(tmp_path, steps=3)
    for name in (LAST, CHECKPOINT):
        net = model(5)
        load_weights(net, tmp_path / name)
        assert all(torch.equal(v, net.state_dict()[k]) for k, v in load_file(tmp_path / LAST).items())
    with pytest.raises(DataError, match=r"of another model \(inner.bias is \[6\] there, \[8\] here\)"):
        load_weights(TinyVAE(latent=4), tmp_path / LAST)
    (tmp_path / "x").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(DataError, match="is a pickle"):
        load_weights(model(), tmp_path / "x")


def test_gains_and_biases_do_not_decay(tmp_path):
    optimizer = adamw(model(), TrainConfig(decay=0.5))
    assert [(g["weight_decay"], {p.ndim for p in g["params"]}) for g in optimizer.param_groups] == [
        (0.5, {2, 4}),
        (0.0, {1}),
    ]


def test_the_stream_visits_every_item_once_an_epoch():
    whole = items_at(3, 10, 0, 30)
    assert all(sorted(whole[i : i + 10]) == list(range(10)) for i in (0, 10, 20))
    assert (whole[:10] != whole[10:20]).any()
    assert whole[7:25].tolist() == items_at(3, 10, 7, 18).tolist()
    assert items_at(4, 10, 0, 10).tolist() != whole[:10].tolist()
    assert len(set(subset(0, 100, 7))) == 7 and subset(0, 5, 0).tolist() == [0, 1, 2, 3, 4]


def test_schedule_and_average():
    c = TrainConfig(steps=100, lr=2.0, warmup=0, final=0.1)
    assert learning_rate(c, 0) == 2.0 and math.isclose(learning_rate(c, 100), 0.2)
    assert learning_rate(c.with_changes({"schedule": "constant"}), 99) == 2.0
    assert math.isclose(average_decay(c, 0), 0.1) and average_decay(c, 10**6) == c.ema


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "steps: expected a whole number from 1"),
        ({"lr": float("nan")}, "lr: expected a number from 0 to 10, got nan"),
        ({"batch": 2.5}, "batch: expected a whole number"),
        ({"bf16": 1}, "bf16: expected true or false"),
        ({"schedule": "step"}, "schedule: expected cosine or constant"),
        ({"batch": 10, "parts": 4}, "10 pictures cannot be computed in 4 equal parts"),
        ({"ema": 1.0}, "ema: expected a number from 0 to 1"),
    ],
)
def test_bad_settings(change, words):
    with pytest.raises(UsageError, match=words):
        TrainConfig(**change)
    with pytest.raises(DataError, match="settings: "):
        TrainConfig.from_dict(change | {"steps": change.get("steps", 5)})


def test_settings_survive_json():
    c = TrainConfig(lr=0.1, seed=7)
    assert TrainConfig.from_dict(json.loads(json.dumps(c.to_dict()))) == c
    with pytest.raises(DataError, match="'colour' is unknown"):
        TrainConfig.from_dict({"colour": 1})

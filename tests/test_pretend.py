"""The paths of torch on a device that refuses what accelerators refuse: see :mod:`tests.pretend`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FAULTS = """
from tests.pretend import DEVICE, present, pytest_configure
import torch
pytest_configure()
g = torch.Generator
with present():
    far, near = torch.ones(3, device=DEVICE), torch.ones(3)
    assert far.device.type == "pretend" and (far + 1).cpu().tolist() == [2, 2, 2] and far.sum().item() == 3
    assert far[near.long()].device == far.device and (far * torch.tensor(2.0)).device == far.device
    for fault in (
        lambda: far + near, lambda: far.double(), lambda: far.numpy(), lambda: near[far.long()],
        lambda: torch.rand(3, generator=g(), device=DEVICE),
        lambda: torch.rand(3, generator=torch.Generator(DEVICE)),
    ):
        try:
            fault()
        except (RuntimeError, TypeError):
            continue
        raise AssertionError("was not refused")
"""


def run(*words: str) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": ""}
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_it_refuses_what_accelerators_refuse():
    run("-c", FAULTS)


SOME = "addresses or evaluation or codec or step_of or domains or models"


@pytest.mark.parametrize("which", [SOME, pytest.param(f"not ({SOME})", marks=pytest.mark.slow)], ids=["some", "others"])
def test_the_paths_of_torch_on_it(which):
    words = ("-q", "-p", "no:cacheprovider", "-p", "tests.pretend", "--device", "pretend", "-k", which)
    run("-m", "pytest", *words, "tests/test_device.py")

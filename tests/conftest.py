"""Shared fixtures."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--device``, ``--slow`` and ``--exhaustive``."""
    parser.addoption("--slow", action="store_true", help="also run tests that take more than some ten seconds")
    parser.addoption("--exhaustive", action="store_true", help="also run tests that go through hundreds of cases")
    parser.addoption("--device", default="cpu", help="cpu, cuda or mps: where tests that take a device run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip slow and exhaustive tests, and those that need an accelerator, unless they were asked for."""
    option = config.getoption
    named = any("::" in arg for arg in config.args)  # whoever names one test means it
    left_out = {
        "slow": not (option("--slow") or named or "slow" in option("-m")),
        "exhaustive": not option("--exhaustive"),
        "gpu": option("--device") == "cpu",
    }
    reasons = {
        "slow": "takes more than some ten seconds; run it with --slow",
        "exhaustive": "goes through hundreds of cases; run it with --exhaustive",
        "gpu": "needs an accelerator; name it with --device",
    }
    for mark in [mark for mark, out in left_out.items() if out]:
        skip = pytest.mark.skip(reason=reasons[mark])
        for item in items:
            if item.get_closest_marker(mark):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device that ``--device`` names; tests skip where torch cannot use it."""
    name = request.config.getoption("--device")
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        pytest.skip(f"--device {name}: {error}")
    return torch.device(name)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Run torch on one thread: small networks are slower on several, and their sums may differ."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data next to a developer's checkout; skip the test if there is none."""
    root = Path(os.environ.get("FRACTALKIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (root / "data").is_dir():
        pytest.skip(f"needs the data folder at {root / 'data'}; set FRACTALKIT_SHARED")
    return root / "data"

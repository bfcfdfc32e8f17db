"""Shared fixtures."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--device`` and ``--exhaustive``."""
    parser.addoption("--exhaustive", action="store_true", help="also run tests that go through hundreds of cases")
    parser.addoption("--device", default="cpu", help="cpu, cuda or mps: where tests that take a device run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs an accelerator unless one was named, and exhaustive tests unless asked for."""
    if not config.getoption("--exhaustive"):
        skip = pytest.mark.skip(reason="goes through hundreds of cases; run it with --exhaustive")
        for item in items:
            if item.get_closest_marker("exhaustive"):
                item.add_marker(skip)
    if config.getoption("--device") == "cpu":
        skip = pytest.mark.skip(reason="needs an accelerator; name it with --device")
        for item in items:
            if item.get_closest_marker("gpu"):
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

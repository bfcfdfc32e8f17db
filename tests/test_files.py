"""Files written whole or not at all."""

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest

from fractalkit.files import atomic_path
from fractalkit.interrupts import LATER, later


@pytest.fixture
def interrupts():
    """Handle SIGINT as the command line does, and put the handler that was there back."""

    def handle(number, frame):
        if not later(frame):
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted_after(function):
    """Return ``function`` with a Ctrl-C right after its work, before its caller sees the result."""

    def call(*arguments, **named):
        result = function(*arguments, **named)
        signal.raise_signal(signal.SIGINT)
        return result

    return call


@pytest.mark.parametrize("moment", ["create", "rename"])
def test_ctrl_c_leaves_no_temporary_file(tmp_path: Path, monkeypatch, interrupts, moment: str) -> None:
    if moment == "create":
        monkeypatch.setattr(tempfile, "mkstemp", interrupted_after(tempfile.mkstemp))
    else:
        monkeypatch.setattr(os, "replace", interrupted_after(os.replace))
    with pytest.raises(KeyboardInterrupt):
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("done")
            if moment == "create":
                time.sleep(20 * LATER)
        time.sleep(20 * LATER)
    left = [p.name for p in tmp_path.iterdir()]
    assert left == ([] if moment == "create" else ["a.txt"])


def test_an_error_in_the_block_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError, match="half"), atomic_path(path) as temporary:
        temporary.write_text("new")
        raise ValueError("half")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and path.read_text() == "old"

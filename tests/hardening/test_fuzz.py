"""Fuzz every parser briefly; the full run is python -m recipes.benchmarks.fuzz."""

import gc
import random
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from fractalkit.errors import DataError
from recipes.benchmarks.fuzz import DAMAGE, cases, damaged, fuzz, judge
from recipes.benchmarks.fuzz_seeds import PARSERS, Parser, Seed

SLOW = {"flame-palettes": 100, "fk-neural": 100}  # fewer where the reader takes longer
TOLERANT = {"flame-palettes", "training-log"}  # these read what can be read


@pytest.mark.parametrize("parser", PARSERS, ids=lambda p: p.name)
def test_every_damaged_file_is_an_object_or_a_sentence(parser: Parser) -> None:
    tally = fuzz(parser, SLOW.get(parser.name, 260), 17)
    assert tally.wrong == 0, tally.faults.most_common()
    assert set(tally.undamaged) == {"accepted"}
    assert tally.accepted > 0 and (tally.refused > 20 or parser.name in TOLERANT), tally.row()


def parser_of(read, errors=(DataError,)) -> Parser:
    return Parser("made", "for this test", lambda: [Seed("a.bin", (b"12 34 56",))], read, errors=errors)


def quotes(path: Path) -> None:
    raise DataError(f"{path}: holds \x1b[2J{path.read_bytes()!r}")


def hides_memory(path: Path) -> None:
    try:
        raise MemoryError
    except MemoryError:
        raise DataError(f"{path}: too large") from None


def warns(path: Path) -> None:
    np.float32(1e30) * np.float32(1e30)


def spins(path: Path) -> None:
    began = time.process_time()
    while time.process_time() - began < 30:
        with suppress(Exception):  # what a parser may do, and what must not keep it from being ended
            sum(range(1000))


def works_long(path: Path) -> None:
    began = time.process_time()
    while time.process_time() - began < 0.2:
        sum(range(1000))


def allocates(path: Path) -> None:
    np.ones(300 << 20, np.uint8).sum()


def fails(error: type[Exception]):
    def read(path: Path) -> None:
        raise error("no name")

    return read


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (fails(KeyError), "KeyError"),
        (fails(AssertionError), "AssertionError"),
        (fails(DataError), "does not name the file"),
        (hides_memory, "more memory"),
        (warns, "RuntimeWarning"),
        (spins, "CPU seconds"),
        (works_long, "more than 0.1 CPU seconds"),
        pytest.param(
            allocates, "memory grew", marks=pytest.mark.skipif(sys.gettrace() is not None, reason="coverage is on")
        ),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, read, words: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"1")
    gc.collect()  # what the tests before have left, which could be given back while this one looks for growth
    outcome, why, _, _ = judge(parser_of(read), path, seconds=5 if read is allocates else 0.1, growth=20)
    assert outcome == "wrong" and words in why


def test_what_is_right_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"1")
    assert judge(parser_of(Path.read_bytes), path)[:2] == ("accepted", "")
    assert judge(parser_of(quotes), path)[:2] == ("refused", "")  # errors escape what they quote


def test_cases_are_fixed_by_the_seed_and_differ() -> None:
    ply = next(p for p in PARSERS if p.name == "ply")
    first, again, other = (list(cases(ply, 60, s)) for s in (3, 3, 4))
    assert first == again and first != other
    assert list(cases(ply, 30, 3)) == first[: len(ply.seeds()) + 30]
    assert len({data for _, data, _ in first}) > 60


def test_every_kind_of_damage_does_something() -> None:
    rng = random.Random(0)
    data = b"".join(b"element %d\n" % k for k in range(50))
    for kind in DAMAGE:
        assert any(kind(bytearray(data), rng, [data]) != data for _ in range(20)), kind
        for tiny in (b"", b"1"):
            for _ in range(50):
                kind(bytearray(tiny), rng, [tiny])
    assert len({damaged(data, rng, [data])[1] for _ in range(400)}) == len(set(DAMAGE))


def test_no_warning_of_the_parsers_is_lost() -> None:
    """The warning filters of judge are removed afterwards."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        judge(parser_of(lambda path: None), Path("none"))
        warnings.warn("here", UserWarning, stacklevel=1)
    assert [str(w.message) for w in found] == ["here"]

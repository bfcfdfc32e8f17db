"""Fuzz every parser with damaged files: each must return a valid object or one sentence that names the file.

    python -m recipes.benchmarks.fuzz                        2,000 damaged files per parser
    python -m recipes.benchmarks.fuzz --only glb --cases 500 --seed 7 --keep bad
    python -m recipes.benchmarks.fuzz --list

Valid files of each kind are generated (``fuzz_seeds``) and then damaged: truncated, bits flipped, parts of another file
inserted, parts repeated, removed or zeroed, lengths and numbers overwritten by huge or impossible ones, random bytes.
Half of the damage is done before compression and checksums are applied.

An outcome is *accepted* (an object that passes its parser's check), *refused* (an error of the package, in one
printable line with the file's name in it) or *wrong*: any other exception, a NumPy warning, an invalid object, a bad
message, more than 5 CPU seconds, or memory growth above 256 MiB. Each parser runs in a separate process, so that
crashes are counted too.
"""

from __future__ import annotations

import gc
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import click

from recipes.benchmarks.fuzz_seeds import PARSERS, Parser, Seed
from recipes.benchmarks.report import peak_memory, put, save

SECONDS = 5.0  # of CPU time per file
GROWTH = 256  # MiB per file
ADDRESSES = 4 << 30  # limit of additional address space, in bytes
MAX_MESSAGE = 1000


class TooLong(BaseException):
    """Time limit exceeded; not caught by any ``except Exception`` in the package."""


# ---- damage

_WIDE = (1, 2, 4, 8)
_NUMBERS = (
    b"-1", b"0", b"1e999", b"-1e308", b"nan", b"inf", b"1e-320", b"99999999999999999999", b"2147483648", b"65536",
    b"4096", b"0.5", b"", b"true", b"null", b"[]", b"{}", b'""', b"7" * 4400, b"0x10", b"1_000", b"\xd9\xa1",
)  # fmt: skip
_BYTES = (
    b"\0",
    b"\xff",
    b"\x1b[2J",
    b"\r",
    b"\n\n",
    b'"',
    b"<",
    b"&#0;",
    b"[" * 5000,
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
)


def damaged(data: bytes, rng: random.Random, others: Sequence[bytes]) -> tuple[bytes, str]:
    """Apply one to three kinds of damage; returns the bytes and the first kind."""
    kinds = [rng.choice(DAMAGE) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    b = bytearray(data)
    for kind in kinds:
        b = bytearray(kind(b, rng, others))
    return bytes(b), kinds[0].__name__.strip("_")


def _cut(b: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    return bytes(b[: rng.randrange(len(b) + 1)])


def _flip(b: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 8, 64)) if b else 0):
        b[rng.randrange(len(b))] ^= 1 << rng.randrange(8)
    return bytes(b)


def _head(b: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Change one of the first 64 bytes, where lengths and types are."""
    if b:
        b[rng.randrange(min(len(b), 64))] = rng.randrange(256)
    return bytes(b)


def _splice(b: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others)
    i, j = rng.randrange(len(b) + 1), rng.randrange(len(other) + 1)
    b[i : i + rng.randrange(300)] = other[j : j + rng.randrange(300)]
    return bytes(b)


def _twice(b: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    i = rng.randrange(len(b) + 1)
    j = i + rng.randrange(1 + len(b))
    return bytes(b[:j] + b[i:j] * rng.choice((1, 1, 2, 20)) + b[j:])


def _without(b: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    i = rng.randrange(len(b) + 1)
    del b[i : i + rng.randrange(200)]
    return bytes(b)


def _grow(b: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    i = rng.randrange(len(b) + 1)
    b[i:i] = rng.choice(_BYTES) if rng.random() < 0.5 else rng.randbytes(rng.randrange(1, 100))
    return bytes(b)


def _zero(b: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    i = rng.randrange(len(b) + 1)
    part = slice(i, i + rng.randrange(400))
    b[part] = bytes([rng.choice((0, 255))]) * len(b[part])
    return bytes(b)


def _length(b: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Overwrite or insert an integer of 1 to 8 bytes: huge, negative, or near a power of two."""
    width = rng.choice(_WIDE)
    number = rng.choice((0, 1, -1, 1 << (8 * width - 1), (1 << (8 * width - 1)) - 1, (1 << 8 * width) // 3, 65535, 256))
    text = (number % (1 << 8 * width)).to_bytes(width, rng.choice(("little", "big")))
    i = rng.randrange(min(len(b), rng.choice((64, 1 << 30))) + 1)
    b[i : i + rng.choice((0, width, width))] = text
    return bytes(b)


def _number(b: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Replace a number in text by an impossible one; flip bits if there are no numbers."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?([eE][+-]?\d+)?", b[: 1 << 16]))
    if not found:
        return _flip(b, rng, others)
    m = rng.choice(found[: rng.choice((8, 1 << 30))])
    return bytes(b[: m.start()] + rng.choice(_NUMBERS) + b[m.end() :])


def _line(b: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Duplicate, drop, move or lengthen a line or an element of text."""
    cut = rng.choice((b"\n", b" ", b",", b">", b'"'))
    words = bytes(b).split(cut)
    i, j = rng.randrange(len(words)), rng.randrange(len(words))
    what = rng.randrange(4)
    if what == 0:
        words.insert(j, words[i])
    elif what == 1:
        del words[i]
    elif what == 2:
        words[i], words[j] = words[j], words[i]
    else:
        words[i] = words[i] * rng.choice((2, 50)) if len(words[i]) < 1000 else words[i][:5]
    return cut.join(words)


def _random(b: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    head = rng.choice((0, 4, 8, 16, 64))
    return bytes(b[:head]) + rng.randbytes(rng.choice((0, 1, 20, 300, 3000)))


DAMAGE: tuple[Callable[[bytearray, random.Random, Sequence[bytes]], bytes], ...] = (
    _cut, _flip, _flip, _head, _splice, _twice, _without, _grow, _zero, _length, _length, _number, _number, _line,
    _random,
)  # fmt: skip


def cases(parser: Parser, n: int, seed: int) -> Iterator[tuple[str, bytes, str]]:
    """Yield name, bytes and kind of damage of each file; the undamaged seeds come first."""
    seeds = parser.seeds()
    wholes = [s.data() for s in seeds]
    for s, data in zip(seeds, wholes, strict=True):
        yield s.name, data, "none"
    for i in range(n):
        # one random stream per file, so that a file does not depend on the ones before
        rng = random.Random(f"{parser.name} {seed} {i}")
        k = i % len(seeds)
        yield (seeds[k].name, *_one(parser, seeds[k], wholes[k], rng, wholes))


def _one(parser: Parser, seed: Seed, whole: bytes, rng: random.Random, wholes: Sequence[bytes]) -> tuple[bytes, str]:
    if seed.pack is not None and rng.random() < 0.5:
        parts = list(seed.parts)
        i = rng.randrange(len(parts))
        parts[i], kind = damaged(parts[i], rng, [*parts, rng.choice(wholes)])
        return seed.pack(parts), kind + ", packed"
    data, kind = damaged(whole, rng, wholes)
    if parser.repair is not None and rng.random() < 0.5:
        repaired = parser.repair(data)
        if repaired is not None:
            return repaired, kind + ", checksums repaired"
    return data, kind


# ---- judgement


@dataclass
class Tally:
    """Outcomes of a parser's files."""

    parser: str
    accepted: int = 0
    refused: int = 0
    wrong: int = 0
    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    slowest: float = 0.0
    growth: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    undamaged: list[str] = field(default_factory=list)  # outcomes of the seeds

    @property
    def cases(self) -> int:
        return self.accepted + self.refused + self.wrong

    def row(self) -> dict[str, Any]:
        """Row of the table and of the JSON file."""
        return {
            "parser": self.parser, "cases": self.cases, "accepted": self.accepted, "refused": self.refused,
            "wrong": self.wrong, "slowest CPU s": round(self.slowest, 3), "growth MiB": round(self.growth, 1),
        }  # fmt: skip


def fuzz(parser: Parser, n: int, seed: int, *, keep: Path | None = None) -> Tally:
    """Test a parser on ``n`` damaged files; wrong ones are copied to the folder ``keep``."""
    tally = Tally(parser.name)
    with tempfile.TemporaryDirectory() as scratch, limits():
        folder = Path(scratch)
        for i, (name, data, kind) in enumerate(cases(parser, n, seed)):
            path = folder / name
            path.write_bytes(data)
            if keep is not None:  # in case the process crashes
                (keep / f"{parser.name}.last").write_bytes(data)
            outcome, why, seconds, growth = judge(parser, path)
            if kind == "none":  # includes imports and compilation
                tally.undamaged.append(f"{outcome} {why}".strip())
                continue
            tally.slowest, tally.growth = max(tally.slowest, seconds), max(tally.growth, growth)
            setattr(tally, outcome, getattr(tally, outcome) + 1)
            tally.kinds.setdefault(kind.split(",")[0], Counter())[outcome] += 1
            if outcome == "wrong":
                tally.faults[why] += 1
                if keep is not None and tally.faults[why] == 1:
                    (keep / f"{parser.name}-{i}-{name}").write_bytes(data)
            for left in folder.iterdir():
                left.unlink()
        if keep is not None:
            (keep / f"{parser.name}.last").unlink(missing_ok=True)
    return tally


def judge(
    parser: Parser, path: Path, seconds: float = SECONDS, growth: float = GROWTH
) -> tuple[str, str, float, float]:
    """Outcome, fault, CPU seconds and memory growth in MiB of one file."""
    before = _forget_peak()
    began = time.process_time()
    why = ""
    try:
        with warnings.catch_warnings(), at_most(4 * seconds):
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)  # NumPy's would be printed beside the message
            parser.read(path)
        outcome = "accepted"
    except parser.errors as error:
        outcome, why = "refused", _fault(error, path)
    except TooLong:
        outcome, why = "wrong", f"more than {4 * seconds:g} CPU seconds"
    except Exception as error:
        outcome, why = "wrong", _where(error)
    took = time.process_time() - began
    grown = _peak() - before
    if not why and took > seconds:
        why = f"more than {seconds:g} CPU seconds"
    if not why and grown > growth:
        why = f"memory grew by more than {growth:g} MiB"
    if grown > growth / 2:
        gc.collect()
    return ("wrong" if why else outcome), why, took, grown


def _fault(error: BaseException, path: Path) -> str:
    """Describe what is wrong with a refusal; empty if it is good."""
    text = str(error)
    place = _place(error)
    if path.name not in text and str(path.parent) not in text:  # runs and data sets are folders
        return f"the message does not name the file: {_tidy(text)} ({place})"
    if not text.isprintable() or len(text) > MAX_MESSAGE:
        return f"the message is not one printable line of at most {MAX_MESSAGE} characters ({place})"
    inner: BaseException | None = error
    while inner is not None:
        frames = traceback.extract_tb(inner.__traceback__)
        # Pillow's decoders raise it for sizes that they refuse
        if isinstance(inner, MemoryError) and "PIL" not in Path(frames[-1].filename).parts:
            return f"requested more memory than the limit ({place})"
        inner = inner.__cause__ or inner.__context__
    return ""


def _where(error: BaseException) -> str:
    return f"{type(error).__name__}: {_tidy(str(error))} ({_place(error)})"


def _tidy(text: str) -> str:
    return ascii(re.sub(r"\d+", "#", (text.splitlines() or [""])[0]))[1:-1][-90:]


def _place(error: BaseException) -> str:
    """Innermost line of the package in the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "fractalkit" in Path(f.filename).parts] or frames[-1:]
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TooLong in the block after this many CPU seconds."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def limits() -> Iterator[None]:
    """Limit additional address space to ADDRESSES bytes, on Linux."""
    import resource

    status = Path("/proc/self/statm")
    if not status.exists():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(status.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    top = now + ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (top if before[1] < 0 else min(top, before[1]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _forget_peak() -> float:
    """Reset the peak of resident memory, on Linux, and return the current value in MiB."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return peak_memory()
    return _peak()


def _peak() -> float:
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
        return int(found[1]) / 1024 if found else peak_memory()
    except OSError:
        return peak_memory()


# ---- the command


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--cases", "n", type=click.IntRange(1), default=2000, show_default=True, help="Files per parser.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--only", multiple=True, type=click.Choice([p.name for p in PARSERS]), help="Only this; may be repeated.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for files whose outcome is wrong.")
@click.option("--list", "list_", is_flag=True, help="List the parsers.")
@click.option("--inside", hidden=True, is_flag=True)
def main(n: int, seed: int, only: tuple[str, ...], keep: Path | None, list_: bool, inside: bool) -> None:
    chosen = [p for p in PARSERS if not only or p.name in only]
    if list_:
        click.echo("\n".join(f"{p.name:22s} {p.what}" for p in chosen))
        return
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    if inside:
        t = fuzz(chosen[0], n, seed, keep=keep)
        done = {"row": t.row(), "kinds": t.kinds, "faults": t.faults.most_common(), "undamaged": t.undamaged}
        click.echo(json.dumps(done))
        return
    rows: list[dict[str, Any]] = []
    faults: dict[str, list[Any]] = {}
    by_kind: dict[str, Counter[str]] = {}
    for p in chosen:
        found = in_process(p, n, seed, keep)
        rows.append(found["row"])
        for kind, counts in found["kinds"].items():
            by_kind.setdefault(kind, Counter(accepted=0, refused=0, wrong=0)).update(counts)
        bad = found["faults"] + [["an undamaged file: " + u, 1] for u in found["undamaged"] if u != "accepted"]
        if bad:
            faults[p.name] = bad
        click.echo(f"{p.name}: {found['row']}", err=True)
    total: dict[str, Any] = {k: sum(r[k] for r in rows) for k in ("cases", "accepted", "refused", "wrong")}
    total |= {"parser": "all"} | {k: max(r.get(k, 0) for r in rows) for k in ("slowest CPU s", "growth MiB")}
    put([*rows, total])
    for name, why, count in ((name, *fault) for name, bad in faults.items() for fault in bad):
        click.echo(f"{name}: {count} x {why}", err=True)
    bounds = {"CPU s": SECONDS, "MiB": GROWTH}
    save("fuzz", rows, total=total, seed=seed, bounds=bounds, damage=dict(sorted(by_kind.items())), faults=faults)
    if faults:
        sys.exit(1)


def in_process(parser: Parser, n: int, seed: int, keep: Path | None) -> dict[str, Any]:
    """Fuzz one parser in a separate process: its row, outcomes by kind of damage, and faults."""
    words = [sys.executable, "-m", "recipes.benchmarks.fuzz", "--inside", "--only", parser.name]
    words += ["--cases", str(n), "--seed", str(seed), *(["--keep", str(keep)] if keep else [])]
    ended = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        row = {"parser": parser.name, "cases": n, "accepted": 0, "refused": 0, "wrong": n}
        return {"row": row, "kinds": {}, "faults": [[f"the process ended with {ended.returncode}", n]], "undamaged": []}
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()

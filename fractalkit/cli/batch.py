"""What commands over many files share: which files are meant, where results go, and the work itself with its bar."""

from __future__ import annotations

import glob
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from fractalkit.cli.common import COMMAND_KEY, SEED_KEY, without
from fractalkit.errors import DataError, UsageError
from fractalkit.jobs import map_items


def sources(given: Sequence[str], suffixes: tuple[str, ...]) -> list[tuple[Path, Path]]:
    """(file, name relative to what was given) of files, folders (searched below, by suffix) and patterns.

    Raises:
        UsageError: nothing given, or a pattern that matches nothing.
        DataError: a file that does not exist, or a folder without a fitting file.
    """
    out: list[tuple[Path, Path]] = []
    for text in given:
        path = Path(text)
        if path.is_dir():
            found = []
            for at, folders, files in os.walk(path):
                folders[:] = sorted(f for f in folders if not f.startswith("."))
                found += [Path(at, f) for f in sorted(files) if f.lower().endswith(suffixes) and not f.startswith(".")]
            if not found:
                raise DataError(f"{path}: holds no file that ends in {', '.join(suffixes)}; name another folder")
            out += [(f, f.relative_to(path)) for f in found]
        elif not path.exists() and glob.has_magic(text):
            matched = sorted(Path(m) for m in glob.glob(text, recursive=True) if Path(m).is_file())
            if not matched:
                raise UsageError(f"{text}: no file matches this pattern")
            out += [(m, Path(m.name)) for m in matched]
        elif not path.exists():
            raise DataError(f"{path}: there is no such file; check the name")
        else:
            out.append((path, Path(path.name)))
    if not out:
        raise UsageError("name at least one file, folder or pattern")
    return list(dict.fromkeys(out))


def targets(found: list[tuple[Path, Path]], out: Path | None, suffix: str) -> list[Path]:
    """Where each result goes: beside its source, into the folder ``out``, or to the file ``out``.

    Raises:
        UsageError: several files for one name, or two results of one name.
    """
    if out is None:
        made = [f.with_suffix(suffix) for f, _ in found]
    elif len(found) == 1 and not out.is_dir() and out.suffix:
        made = [out]
    else:
        if out.suffix and not out.is_dir():
            raise UsageError(f"{len(found)} files cannot all become {out}; give a folder")
        made = [out / name.with_suffix(suffix) for _, name in found]
    seen: dict[Path, Path] = {}
    for (source, _), target in zip(found, made, strict=True):
        if target in seen:
            raise UsageError(f"{seen[target]} and {source} would both become {target}; rename one, or use two folders")
        if target.resolve() == source.resolve():
            raise UsageError(f"{target}: input and output are one file; give another --out")
        seen[target] = source
    return made


Item = dict[str, Any]


def full_name(name: str | Path) -> str:
    """The full name of a file, as machines work in folders of their own; another, such as a model's, as it is."""
    return os.path.abspath(name) if os.path.isfile(name) else str(name)


def is_there(item: Item) -> bool:
    """Whether an item's ``target`` exists."""
    return Path(item["target"]).exists()


def is_made(path: Path, texts: Mapping[str, str], inputs: Sequence[str | Path], free: Mapping[str, int]) -> bool:
    """Whether a picture is there, of the same seed and command, and none of what it is made of is younger.

    Args:
        texts: what the picture would carry.
        inputs: files; names that are none are passed over.
        free: options that the commands may differ in, with the number of values each has.
    """
    from fractalkit.render.png import read_png_text

    try:
        made = path.stat().st_mtime_ns
        if any(os.stat(f).st_mtime_ns > made for f in inputs if os.path.exists(f)):
            return False
        there = read_png_text(path)
    except (OSError, DataError):
        return False
    commands = [without(shlex.split(t.get(COMMAND_KEY, "")), free) for t in (there, texts)]
    return commands[0] == commands[1] and there.get(SEED_KEY) == texts.get(SEED_KEY)


def run(
    work: Callable[[Item], Item],
    items: list[Item],
    *,
    jobs: int | None,
    cluster: str | None,
    force: bool,
    bar: str,
    done: Callable[[Item], bool] = is_there,
) -> tuple[list[Item], list[str]]:
    """Do the items that are not yet done; results in order, and a sentence for each that failed.

    Args:
        work: makes an item's ``target`` of its ``source``; importable by its name.
        done: whether that was done before; importable by its name. Asked here, and once more where the work is about to
            be done: an item may come again whose worker died after it, before it could say so.
        force: do them all.
    """
    from tqdm import tqdm

    results: dict[int, Item] = {}
    failures: dict[int, str] = {}
    waiting = []
    once = len(items) > 1 and not force
    for i, item in enumerate(items):
        if once and done(item):
            results[i] = _skipped(item)
        else:
            Path(item["target"]).parent.mkdir(parents=True, exist_ok=True)
            waiting.append(i)
    if len(waiting) == 1 and cluster is None:
        jobs = 1
    # machines of a cluster work in folders of their own
    sent = [items[i] if cluster is None else items[i] | _absolute(items[i]) for i in waiting]
    each = partial(_do_once, work, done) if once else work
    with tqdm(total=len(waiting), desc=bar, unit="file", disable=len(items) == 1 or None) as progress:
        for k, result in map_items(each, sent, jobs=jobs, cluster=cluster):
            progress.update()
            i = waiting[k]
            if isinstance(result, Exception):
                if len(items) == 1:
                    raise result
                failures[i] = str(result)
            else:
                results[i] = result | {name: items[i][name] for name in ("source", "target")}
    return [results[i] for i in sorted(results)], [failures[i] for i in sorted(failures)]


def _skipped(item: Item) -> Item:
    return {"source": str(item["source"]), "target": str(item["target"]), "skipped": True}


def _do_once(work: Callable[[Item], Item], done: Callable[[Item], bool], item: Item) -> Item:
    return _skipped(item) if done(item) else work(item)


def _absolute(item: Item) -> Item:
    """The item's files by their full names; a source that is no file, such as a preset, keeps its name."""
    paths = {"source": str(item["source"]), "target": str(item["target"])}
    return {k: os.path.abspath(v) if k == "target" or os.path.exists(v) else v for k, v in paths.items()}


def report_failures(failures: list[str], total: int) -> None:
    """Name each on stderr, and leave with exit code 1 where there are any."""
    for sentence in failures:
        click.echo(f"fractalkit: error: {sentence}", err=True)
    if failures:
        raise DataError(f"{len(failures)} of {total} files failed; the others are done")

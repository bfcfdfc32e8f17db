"""Input files, output paths, processing and reports of commands that take many files."""

from __future__ import annotations

import glob
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from fractalkit.cli.common import emit, warn, without
from fractalkit.errors import DataError, UsageError
from fractalkit.jobs import map_items
from fractalkit.raster.png import COMMAND_KEY, SEED_KEY


def sources(given: Sequence[str], suffixes: tuple[str, ...]) -> list[tuple[Path, Path]]:
    """List the files of file names, folders (searched recursively, by suffix) and patterns.

    Returns:
        (file, path relative to the given folder, or the name of the file) of each, without repetitions.

    Raises:
        UsageError: nothing is given, or a pattern matches nothing.
        DataError: a file does not exist, or a folder has no file with one of the suffixes.
    """
    if not given:
        raise UsageError("name at least one file, folder or pattern")
    return list(dict.fromkeys(pair for text in given for pair in _expanded(text, suffixes)))


def _expanded(text: str, suffixes: tuple[str, ...]) -> list[tuple[Path, Path]]:
    """Expand one argument, as in :func:`sources`."""
    path = Path(text)
    if path.is_dir():
        return [(f, f.relative_to(path)) for f in _in_folder(path, suffixes)]
    if path.exists():
        return [(path, Path(path.name))]
    if not glob.has_magic(text):
        raise DataError(f"{path}: there is no such file; check the name")
    matched = sorted(Path(m) for m in glob.glob(text, recursive=True) if Path(m).is_file())
    if not matched:
        raise UsageError(f"{text}: no file matches this pattern")
    return [(m, Path(m.name)) for m in matched]


def _in_folder(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """List files below a folder by suffix, without hidden files and folders."""
    found: list[Path] = []
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        found += [Path(at, f) for f in sorted(files) if f.lower().endswith(suffixes) and not f.startswith(".")]
    if not found:
        raise DataError(f"{folder}: contains no file with the suffix {', '.join(suffixes)}; name another folder")
    return found


def targets(found: list[tuple[Path, Path]], out: Path | None, suffix: str) -> list[Path]:
    """Output paths: beside the sources, in the folder ``out``, or the file ``out``.

    Raises:
        UsageError: one output file for several sources, two equal outputs, or an output that is its source.
    """
    if out is None:
        made = [f.with_suffix(suffix) for f, _ in found]
    elif out.is_dir() or not out.suffix:
        made = [out / name.with_suffix(suffix) for _, name in found]
    elif len(found) == 1:
        made = [out]
    else:
        raise UsageError(f"{len(found)} files cannot all become {out}; give a folder")
    seen: dict[Path, Path] = {}
    for (source, _), target in zip(found, made, strict=True):
        if target in seen:
            raise UsageError(f"{seen[target]} and {source} would both become {target}; rename one, or use two folders")
        if target.resolve() == source.resolve():
            raise UsageError(f"{target}: input and output are the same file; give another --out, or another SOURCE")
        seen[target] = source
    return made


Item = dict[str, Any]


def full_name(name: str | Path) -> str:
    """The absolute path of a file, for machines with another working directory; other names, as of models, stay."""
    return os.path.abspath(name) if os.path.isfile(name) else str(name)


def is_there(item: Item) -> bool:
    """Whether an item's ``target`` exists."""
    return Path(item["target"]).exists()


def is_made(path: Path, texts: Mapping[str, str], inputs: Sequence[str | Path], free: Mapping[str, int]) -> bool:
    """Whether a picture with the same seed and command exists and none of its inputs is newer.

    Args:
        texts: metadata that the picture would have.
        inputs: files; names of things that are not files are ignored.
        free: options in which the commands may differ, each with its number of values.
    """
    from fractalkit.raster.png import read_png_text

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
    work: Callable[[Item], Item], items: list[Item], *, jobs: int | None, cluster: str | None, force: bool, bar: str,
    done: Callable[[Item], bool] = is_there,
) -> tuple[list[Item], list[str]]:  # fmt: skip
    """Process the items that are not done yet, and return the results in order and the errors, one sentence each.

    Args:
        work: makes the ``target`` of an item from its ``source``; a function at the top level of a module.
        done: tells whether an item is done; a function at the top level of a module. It is asked here and again just
            before the work, because the item of a worker that died after finishing it may be repeated.
        force: process all items.
    """
    once = len(items) > 1 and not force
    results = {i: _skipped(item) for i, item in enumerate(items) if once and done(item)}
    waiting = sorted({*range(len(items))} - {*results})
    for i in waiting:
        Path(items[i]["target"]).parent.mkdir(parents=True, exist_ok=True)
    # machines of a cluster have working directories of their own
    sent = [items[i] if cluster is None else items[i] | _absolute(items[i]) for i in waiting]
    if len(sent) == 1 and cluster is None:
        jobs = 1
    each = partial(_do_once, work, done) if once else work
    failures: dict[int, str] = {}
    for k, result in _with_bar(map_items(each, sent, jobs=jobs, cluster=cluster), len(sent), bar, len(items) == 1):
        i = waiting[k]
        if not isinstance(result, Exception):
            results[i] = result | {name: items[i][name] for name in ("source", "target")}
        elif len(items) == 1:
            raise result
        else:
            failures[i] = str(result)
    return _ordered(results), _ordered(failures)


def _ordered(values: dict[int, Any]) -> list[Any]:
    return [values[i] for i in sorted(values)]


def _with_bar(results: Iterator[tuple[int, Any]], total: int, word: str, silent: bool) -> Iterator[tuple[int, Any]]:
    """Yield the results and show a progress bar on standard error, where that is a terminal."""
    from tqdm import tqdm

    with tqdm(total=total, desc=word, unit="file", disable=silent or None) as progress:
        for result in results:
            progress.update()
            yield result


def _skipped(item: Item) -> Item:
    return {"source": str(item["source"]), "target": str(item["target"]), "skipped": True}


def _do_once(work: Callable[[Item], Item], done: Callable[[Item], bool], item: Item) -> Item:
    return _skipped(item) if done(item) else work(item)


def _absolute(item: Item) -> Item:
    """Absolute paths of the files of an item; a source that is not a file, such as a preset, keeps its name."""
    paths = {"source": str(item["source"]), "target": str(item["target"])}
    return {k: os.path.abspath(v) if k == "target" or os.path.exists(v) else v for k, v in paths.items()}


def report(
    results: list[Item], failures: list[str], line: Callable[[Item], str], as_json: bool, *,
    last: str = "", more: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Print warnings on standard error, and a line per result or one JSON object; fail if a file failed.

    Args:
        last: a line after the others.
        more: further entries of the object.
    """
    for r in results:
        for note in r.get("warnings", ()):
            warn(note)
        if not as_json:
            skipped = f"{r['target']}: exists already, skipped (--force writes it again)"
            click.echo(skipped if r.get("skipped") else line(r))
    if as_json:
        emit({"files": results, "failed": failures, **(more or {})})
    elif last:
        click.echo(last)
    for sentence in failures:
        click.echo(f"fractalkit: error: {sentence}", err=True)
    if failures:
        raise DataError(f"{len(failures)} of {len(results) + len(failures)} files failed; the others are done")

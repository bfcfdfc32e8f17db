"""What commands over many files share: which files are meant, where results go, and the work itself with its bar."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

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


def run(
    work: Callable[[dict[str, Any]], dict[str, Any]],
    items: list[dict[str, Any]],
    *,
    jobs: int | None,
    cluster: str | None,
    force: bool,
    bar: str,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Do the items whose ``target`` is not yet there; results in order, and a sentence for each that failed."""
    from tqdm import tqdm

    results: dict[int, dict[str, Any]] = {}
    failures: dict[int, str] = {}
    waiting = []
    for i, item in enumerate(items):
        if len(items) > 1 and not force and Path(item["target"]).exists():
            results[i] = {"source": str(item["source"]), "target": str(item["target"]), "skipped": True}
        else:
            Path(item["target"]).parent.mkdir(parents=True, exist_ok=True)
            waiting.append(i)
    if len(waiting) == 1 and cluster is None:
        jobs = 1
    with tqdm(total=len(waiting), desc=bar, unit="file", disable=len(items) == 1 or None) as progress:
        for k, result in map_items(work, [items[i] for i in waiting], jobs=jobs, cluster=cluster):
            progress.update()
            if isinstance(result, Exception):
                if len(items) == 1:
                    raise result
                failures[waiting[k]] = str(result)
            else:
                results[waiting[k]] = result
    return [results[i] for i in sorted(results)], [failures[i] for i in sorted(failures)]


def report_failures(failures: list[str], total: int) -> None:
    """Name each on stderr, and leave with exit code 1 where there are any."""
    for sentence in failures:
        click.echo(f"fractalkit: error: {sentence}", err=True)
    if failures:
        raise DataError(f"{len(failures)} of {total} files failed; the others are done")

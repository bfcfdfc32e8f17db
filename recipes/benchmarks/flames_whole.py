"""Count the flames of folders that are drawn whole.

    python -m recipes.benchmarks.flames whole DIR...

For each folder: the flames, those whose variations are all known, those of which no attribute is without effect either,
and then the variations that are missing, by the number of flames that have them.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from pathlib import Path

from fractalkit.codes.flame import read_flames
from fractalkit.errors import DataError, FileWarning

SUFFIXES = (".flame", ".flam3")


def count(folder: Path) -> tuple[Counter[str], Counter[str]]:
    """The counts of a folder's flames (flames, known, whole, refused), and of the variations they miss."""
    totals: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for path in sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FileWarning)
                flames = read_flames(path)
        except DataError:
            totals["refused"] += 1
            continue
        for flame in flames:
            totals["flames"] += 1
            totals["known"] += not flame.unknown
            totals["whole"] += flame.whole
            missing.update(flame.unknown)
    return totals, missing


def main(words: list[str]) -> None:
    """The command, without its first two words."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    missing: Counter[str] = Counter()
    for folder in parser.parse_args(words).folders:
        totals, names = count(folder)
        missing += names
        print(f"{folder.name:16s}", "  ".join(f"{k} {totals[k]}" for k in ("flames", "known", "whole", "refused")))
    print("missing:", ", ".join(f"{n} {k}" if k > 1 else n for n, k in missing.most_common()))

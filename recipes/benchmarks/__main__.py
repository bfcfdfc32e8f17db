"""Run all benchmarks, small in a few minutes or in full, and write one JSON file and one Markdown page.

    python -m recipes.benchmarks                                 small, on synthetic data
    python -m recipes.benchmarks --only codec -o out             some of them
    python -m recipes.benchmarks --full --photographs DIR --clouds DIR --mnist DIR --flames DIR

Each benchmark runs in a separate process, one after the other, because they measure time. The page lists benchmarks
that fail or lack their data; they do not stop the others. Small runs check that everything works and show rough speeds;
for comparisons use the full runs in recipes/benchmarks/results.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from recipes.benchmarks.report import machine

ROOT = Path(__file__).resolve().parents[2]
FLAMES = ROOT / "gallery" / "codes"


@dataclass(frozen=True)
class Entry:
    """A benchmark's commands. Words in braces stand for paths: photographs, picture, clouds, mnist, flames."""

    title: str
    small: str | None  # None: full runs only
    full: str | None  # None: small runs only


ENTRIES = {
    "startup": Entry("Start-up time", "chaos startup --repeats 3", "chaos startup"),
    "rates": Entry(
        "Chaos game", "chaos rates --points 2e7 --slow 2e6 --stored 5e6 --quality 20 --repeats 2", "chaos rates"
    ),
    "gpu": Entry("The GPU engine", "gpu rates --samples 1e6 --points 2e7 --most 2", "gpu rates"),
    "cuda": Entry("What a CUDA card tells", "cuda --dry --only limits,engines,flames", "cuda"),
    "memory": Entry("Memory of the chaos game", "chaos memory --points 1e6 --counted 1e8", "chaos memory"),
    "inverse": Entry(
        "The inverse problem", "inverse known --seeds 1 --effort 2 --name triangle --name dragon --name tetrahedron",
        "inverse known",
    ),
    "inverse_auto": Entry("Number of maps found", None, "inverse auto"),
    "scans": Entry("Scans", None, "inverse clouds {clouds}"),
    "cloud_codec": Entry("Compressed scans and Draco", None, "cloud_codec {clouds}"),
    "cloud_collage": Entry("Scans as collages", None, "cloud_collage {clouds}"),
    "samples": Entry("Samples of a collage model", "samples speed --repeats 1", "samples speed"),
    "poster": Entry("A poster of one sample", "samples poster --side 4000", "samples poster"),
    "whole": Entry("Whole digits", "samples whole --seeds 8", "samples whole"),
    "quality": Entry("Samples at 1440 px", None, "samples quality --data-dir {mnist}"),
    "codec": Entry("Compression and other codecs", "codec rd {photographs} --efforts 1", "codec rd {photographs}"),
    "codec_parts": Entry("Ablation of the codec", None, "codec parts {photographs}"),
    "codec_speed": Entry("Speed of the codec", "codec speed {picture}", "codec speed {picture}"),
    "fuzz": Entry(
        "Damaged files", "fuzz --cases 100 --only fk-quadtree --only ply --only flame-xml --only model", "fuzz"
    ),
    "neural": Entry(
        "Neural collages", "neural rd {photographs} --coin 1 --iterations 30 --name small",
        "neural rd {photographs} --coin 1",
    ),
    "neural_times": Entry("Times of neural collages", None, "neural times {picture}"),
    "enlarge": Entry("Enlargement", "enlarge {photographs}", "enlarge {photographs}"),
    "tune": Entry("The codec tuned for the eye", "tune {photographs} --effort 1", "tune {photographs}"),
    "fractalize": Entry("Photomosaics", "fractalize {photographs}", "fractalize {photographs}"),
    "studio": Entry("The studio", None, "studio"),
    "flames": Entry("Flames compared with flam3", None, "flames {flames}"),
    "scale": Entry(
        "One core, two processes, and network traffic",
        "scale --seconds 0.1 --jobs 6 --steps 3 --repeats 1", "scale",
    ),
    "flame_speed": Entry("Speed of flames", "flame_speed samples {flames} --most 3", "flame_speed samples {flames}"),
}  # fmt: skip


def make_photographs(folder: Path) -> Path:
    """Synthesise two small pictures with edges, gradients and texture."""
    from PIL import Image

    for n, (height, width) in enumerate(((192, 256), (256, 192))):
        rng = np.random.default_rng(n)
        y, x = np.mgrid[0:height, 0:width] / 256
        waves = [np.sin(rng.uniform(4, 40) * x + rng.uniform(4, 40) * y + rng.uniform(0, 6)) for _ in range(6)]
        field = sum(w / (i + 1.5) for i, w in enumerate(waves))
        disc = (x - 0.45) ** 2 + (y - 0.4) ** 2 < 0.07
        base = np.stack([field + 1.4 * disc, 0.8 * field + y, x - 0.5 * field * disc], -1)
        a = 120 + 45 * base + rng.normal(0, 3, base.shape)
        Image.fromarray(a.clip(0, 255).astype(np.uint8)).save(folder / f"made{n}.png")
    return folder


def run(name: str, words: list[str], results: Path) -> dict[str, Any]:
    """Run one benchmark: its table, results and wall seconds."""
    before = {p: p.stat().st_mtime_ns for p in results.glob("*.json")}
    begun = time.perf_counter()
    command = [sys.executable, "-m", f"recipes.benchmarks.{words[0]}", *words[1:]]
    environment = {**os.environ, "FRACTALKIT_RESULTS": str(results), "MPLBACKEND": "Agg"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    out: dict[str, Any] = {
        "command": " ".join(["python -m", f"recipes.benchmarks.{words[0]}", *words[1:]]),
        "seconds": round(time.perf_counter() - begun, 1),
        "exit_code": done.returncode,
        "table": "\n".join(line for line in done.stdout.splitlines() if not line.endswith(".json")).rstrip(),
    }
    if done.returncode:
        out["error"] = (done.stderr.strip().splitlines() or ["no message"])[-1]
    made = [p for p in results.glob("*.json") if p.stat().st_mtime_ns != before.get(p)]
    out["results"] = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in made}
    return out


def page(found: dict[str, dict[str, Any]], title: str) -> str:
    """The Markdown page."""
    lines = [f"# {title}", "", *(f"- {key}: {value}" for key, value in machine().items()), ""]
    lines += ["| benchmark | seconds | |", "|---|---|---|"]
    for name, entry in found.items():
        state = entry.get("error") or entry.get("left out") or "done"
        lines.append(f"| {ENTRIES[name].title} | {entry.get('seconds', '')} | {state} |")
    for name, entry in found.items():
        if "table" in entry:
            lines += ["", f"## {ENTRIES[name].title}", "", f"`{entry['command']}`", ""]
            lines += ["```text", entry["table"], "```"]
    return "\n".join(lines) + "\n"


def run_all(
    names: Iterable[str], full: bool, folders: dict[str, Path | None], results: Path
) -> dict[str, dict[str, Any]]:
    """Run benchmarks by name; those without their data are reported as left out."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        line = ENTRIES[name].full if full else ENTRIES[name].small
        if line is None:
            continue
        lacks = [k for k, v in folders.items() if "{" + k + "}" in line and v is None]
        if lacks:
            needs = "photographs" if lacks == ["picture"] else lacks[0]
            found[name] = {"left out": f"needs --{needs}"}
            continue
        words = [w.format(**{k: str(v) for k, v in folders.items()}) for w in line.split()]
        click.echo(f"{ENTRIES[name].title} …", err=True)
        found[name] = run(name, words, results)
        if found[name].get("error"):
            click.echo(f"  failed: {found[name]['error']}", err=True)
    return found


@click.command(help=__doc__)
@click.option("--full", is_flag=True, help="Full runs, which take hours.")
@click.option("--only", multiple=True, type=click.Choice(list(ENTRIES)), help="Run only this one; may be repeated.")
@click.option("--photographs", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder.")
@click.option("--clouds", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of scans.")
@click.option("--mnist", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of MNIST.")
@click.option("--flames", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of .flame files.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("benchmarks"), show_default=True,
              help="Folder for benchmarks.json and benchmarks.md.")  # fmt: skip
def main(
    full: bool, only: tuple[str, ...], photographs: Path | None, clouds: Path | None, mnist: Path | None,
    flames: Path | None, out: Path,
) -> None:  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        if photographs is None and not full:
            photographs = make_photographs(Path(scratch))
        picture = next(iter(sorted(photographs.glob("*.png"))), None) if photographs else None
        folders = {
            "photographs": photographs, "picture": picture, "clouds": clouds, "mnist": mnist,
            "flames": flames or (FLAMES if FLAMES.is_dir() else None),
        }  # fmt: skip
        found = run_all(only or ENTRIES, full, folders, Path(scratch) / "results")
    text = page(found, "Benchmarks, full" if full else "Benchmarks, small")
    (out / "benchmarks.md").write_text(text, encoding="utf-8")
    whole = {"machine": machine(), "full": full, "benchmarks": found}
    (out / "benchmarks.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    click.echo(text)
    if any(entry.get("exit_code") for entry in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()

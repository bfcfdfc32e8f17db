"""Generate commands.md and licences.md.

python docs/make.py              write both pages
python docs/make.py --check      exit with code 1 if commands.md is out of date
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib import metadata
from pathlib import Path

import click

from fractalkit.cli.main import COMMANDS, main

HERE = Path(__file__).resolve().parent
WIDTH = 100
PROJECT = "fractalkit"


def commands() -> str:
    """Return the command reference: the ``--help`` of every command."""
    context = click.Context(main, info_name="fractalkit", terminal_width=WIDTH, **main.context_settings)
    parts = [
        "# Commands\n\nThe output of `fractalkit COMMAND --help`. `python docs/make.py` generates this page.\n",
        f"```text\n{main.get_help(context).rstrip()}\n```\n",
    ]
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context, terminal_width=WIDTH, max_content_width=WIDTH)
        parts.append(f"## {name}\n\n```text\n{command.get_help(inner).rstrip()}\n```\n")
    return "\n".join(parts)


def requirements(name: str, extras: set[str]) -> list[tuple[str, set[str]]]:
    """List the requirements of an installed distribution on this platform, each with the extras that it asks for."""
    from packaging.requirements import Requirement

    out = []
    for text in metadata.requires(name) or []:
        need = Requirement(text)
        if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in (extras or {""}) | {""}):
            out.append((re.sub(r"[-_.]+", "-", need.name).lower(), set(need.extras)))
    return out


def closure(extras: set[str]) -> dict[str, str]:
    """Map each distribution that an installation with these extras needs to the one that requires it."""
    found: dict[str, str] = {}
    todo = [(PROJECT, extras, "")]
    seen = set()
    while todo:
        name, wanted, parent = todo.pop()
        key = (name, frozenset(wanted))
        if key in seen:
            continue
        seen.add(key)
        if name != PROJECT:
            found.setdefault(name, parent)
        try:
            needs = requirements(name, wanted)
        except metadata.PackageNotFoundError:
            found.pop(name, None)  # for another platform or Python version
            continue
        todo += [(n, e, name) for n, e in needs]
    return found


SPDX = {
    "Apache Software License": "Apache-2.0", "MIT License": "MIT", "BSD License": "BSD",
    "Python Software Foundation License": "PSF-2.0", "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "ISC License (ISCL)": "ISC", "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "The Unlicense (Unlicense)": "Unlicense", "Apache License 2.0": "Apache-2.0", "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0", "BSD 3-Clause License": "BSD-3-Clause", "new BSD": "BSD-3-Clause",
}  # fmt: skip


def licence(name: str) -> str:
    """Return the licence in a distribution's metadata: SPDX expression, classifiers, or the first line of the text."""
    about = metadata.metadata(name)
    expression = about.get("License-Expression")
    if expression:
        return expression
    classes = [c.split(" :: ")[-1] for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
    classes = [SPDX.get(c, c) for c in classes if c != "OSI Approved"]
    text = (about.get("License") or "").strip().splitlines()
    first = text[0].strip() if text else ""
    if classes:
        return " and ".join(dict.fromkeys(classes))
    return SPDX.get(first, first)[:60] or "not stated"


def licences() -> str:
    """Return the table of all dependencies that are installed in this environment."""
    from packaging.requirements import Requirement

    extras = {e for e in metadata.metadata(PROJECT).get_all("Provides-Extra") or [] if e not in ("dev", "test")}
    plain, full, tests = closure(set()), closure(extras), closure({*extras, "test"})
    direct = {re.sub(r"[-_.]+", "-", Requirement(t).name).lower() for t in metadata.requires(PROJECT) or []}
    lines = [
        "# Licences\n",
        "FractalKit is under the [MIT licence](../LICENSE). The tables list the distributions that are installed with",
        "it and the licence that each names in its metadata. `python docs/make.py` generates this page, on Linux with",
        "the CPU build of PyTorch. None of their code is copied into the package.\n",
    ]
    heads = (
        ("With `pip install .`", plain),
        ("Added by the extras for users", {k: v for k, v in full.items() if k not in plain}),
        ("Added by the extra `test`", {k: v for k, v in tests.items() if k not in full}),
    )
    for title, group in heads:
        lines += [f"\n## {title}\n", "| distribution | licence | needed by |", "|---|---|---|"]
        for name in sorted(group):
            by = "FractalKit" if name in direct and group[name] == PROJECT else group[name]
            lines.append(f"| {'**' + name + '**' if by == 'FractalKit' else name} | {licence(name)} | {by} |")
    return "\n".join(lines) + "\n"


def run() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    page = HERE / "commands.md"
    if parser.parse_args().check:
        same = page.exists() and page.read_text(encoding="utf-8") == commands()
        if not same:
            print("docs/commands.md is out of date; run python docs/make.py", file=sys.stderr)
        return 0 if same else 1
    page.write_text(commands(), encoding="utf-8")
    (HERE / "licences.md").write_text(licences(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(run())

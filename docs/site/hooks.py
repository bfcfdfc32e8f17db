"""What the site takes from outside docs/: notebooks, gallery, benchmarks, cards of models, and the project's pages."""

from __future__ import annotations

import base64
import json
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

try:
    from latex2mathml.converter import convert
except ImportError:  # formulas stay in TeX
    convert = None

ROOT = Path(__file__).resolve().parents[2]
TAKEN = (
    "recipes/benchmarks/README.md", "recipes/benchmarks/results/*.png", "gallery/README.md",
    "gallery/*.png", "gallery/*.jpg", "gallery/*.gif", "gallery/*.webp", "fractalkit/models/weights/*.md",
    "CHANGELOG.md", "CONTRIBUTING.md",
)  # fmt: skip
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+(?:\n[^$\n]+)?)\$", re.S)
_MARKS = {c: f"&#{ord(c)};" for c in "*_|{}[]"}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Any, config: Any) -> Any:
    """Add them under their paths in the repository."""
    for pattern in TAKEN:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    for path in sorted(ROOT.glob("recipes/*.ipynb")):
        text, pictures = page_of(path)
        files.append(File.generated(config, f"recipes/{path.stem}.md", content=text))
        for name, data in pictures.items():
            files.append(File.generated(config, f"recipes/{name}", content=data))
    return files


def page_of(notebook: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as a page: its Markdown, and the pictures of its outputs by name."""
    pictures: dict[str, bytes] = {}
    parts: list[str] = []
    elsewhere = badges(f"recipes/{notebook.name}", os.environ.get("GITHUB_REPOSITORY", ""))
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            parts.append(with_formulas(source))
        elif source:
            parts.append(f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            for kind in ("png", "gif", "jpeg", "webp"):
                if f"image/{kind}" in data:
                    name = f"{notebook.stem}-{len(pictures)}.{kind}"
                    pictures[name] = base64.b64decode("".join(data[f"image/{kind}"]))
                    parts.append(f"![output]({name})")
                    break
            else:
                text = "".join(output.get("text", data.get("text/plain", []))).rstrip()
                if text and output.get("name") != "stderr":
                    parts.append(f"```text\n{text}\n```")
    parts[1:1] = elsewhere  # below the introduction
    return "\n\n".join(parts) + "\n", pictures


def with_formulas(markdown: str) -> str:
    """The Markdown with its formulas in TeX as MathML, which browsers draw without a script or the network."""

    def drawn(m: re.Match[str]) -> str:
        tex, display = (m[1], "block") if m[1] else (m[2], "inline")
        text = convert(tex.strip(), display=display)
        # what Markdown would read as its own marks
        text = re.sub(r">([^<>&;]+)<", lambda n: f">{''.join(_MARKS.get(c, c) for c in n[1])}<", text)
        return f"\n\n<div>{text}</div>\n\n" if m[1] else text

    return markdown if convert is None else _FORMULA.sub(drawn, markdown)


def badges(path: str, repository: str) -> list[str]:
    """Links that open a notebook elsewhere, where the repository's address is known."""
    if not repository:
        return []
    colab = f"https://colab.research.google.com/github/{repository}/blob/main/{path}"
    binder = f"https://mybinder.org/v2/gh/{repository}/main?labpath={path}"
    return [f"[Open in Colab]({colab}) · [Open in Binder]({binder})"]


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links at the site's own pages; the text of a link to a file that the site lacks stays without the link."""
    here = posixpath.dirname(page.file.src_uri)
    inside = page.file.src_uri.split("/")[0] not in (
        "recipes",
        "gallery",
        "fractalkit",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
    )
    in_repository = posixpath.join("docs", here) if inside else here

    def link(m: re.Match[str]) -> str:
        target, _, anchor = m[3].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return m[0]
        wanted = posixpath.normpath(posixpath.join(in_repository, target))
        wanted = re.sub(r"^(recipes/\w+)\.ipynb$", r"\1.md", wanted)
        wanted = {"README.md": "index.md"}.get(wanted, wanted).removeprefix("docs/")
        if files.get_file_from_path(wanted) is None:
            return m[2]
        path = posixpath.relpath(wanted, here or ".") + (f"#{anchor}" if anchor else "")
        return f"{m[1]}[{m[2]}]({path})"

    return _LINK.sub(link, markdown)

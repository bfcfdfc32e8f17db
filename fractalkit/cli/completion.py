"""``fractalkit completion``: the script that lets a shell complete our commands, options and names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

import fractalkit

ROOT = Path(fractalkit.__file__).parent
SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="""\b
Examples:
  fractalkit completion bash >> ~/.bashrc
  fractalkit completion zsh >> ~/.zshrc
  fractalkit completion fish > ~/.config/fish/completions/fractalkit.fish

Open a new shell after that. Presets, models and files are completed too."""
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands in SHELL."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "fractalkit", "_FRACTALKIT_COMPLETE").source())


def presets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Names of presets that begin so, and files."""
    # read off their source, since to import them takes a second and a half, which is long between two keys
    source = (ROOT / "codes" / "presets.py").read_text(encoding="utf-8")
    return _named(re.findall(r'^@_preset\("([^"]+)"', source, re.M), incomplete)


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Names of the package's models that begin so, and files."""
    return _named([p.stem for p in (ROOT / "models" / "weights").glob("*.safetensors")], incomplete)


def _named(names: list[str], incomplete: str) -> list[Any]:
    """Those names that begin so, and the mark that tells the shell to complete a path itself."""
    from click.shell_completion import CompletionItem

    found = [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]
    return [*found, CompletionItem(incomplete, type="file")]

"""``fractalkit completion``: shell completion of commands, options and names."""

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

Then open a new shell. Names of presets, models and files are completed as well."""
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "fractalkit", "_FRACTALKIT_COMPLETE").source())


def presets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete names of presets, and files."""
    # parsed from the source: importing it takes 1.5 s, too slow for completion
    source = (ROOT / "codes" / "presets.py").read_text(encoding="utf-8")
    return _named(re.findall(r'^(?:@_preset|    Preset|    )\("([^"]+)", "', source, re.M), incomplete)


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete names of the models of the package, and files."""
    return _named([p.stem for p in (ROOT / "models" / "weights").glob("*.safetensors")], incomplete)


def _named(names: list[str], incomplete: str) -> list[Any]:
    """Matching names, and a marker that makes the shell complete paths."""
    from click.shell_completion import CompletionItem

    found = [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]
    return [*found, CompletionItem(incomplete, type="file")]

"""Shell completion of commands, options, presets and models, run in each shell."""

import os
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from fractalkit.cli.completion import SHELLS
from fractalkit.cli.main import main
from fractalkit.codes.presets import PRESETS
from fractalkit.models.pretrained import names


def complete(line: str) -> list[str]:
    """Return bash's completions of ``line``."""
    words = line.split(" ")
    env = {
        **os.environ,
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_FRACTALKIT_COMPLETE": "bash_complete",
    }
    code = "import sys; sys.argv = ['fractalkit']; from fractalkit.cli.main import main; main(prog_name='fractalkit')"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return [entry.split(",", 1)[1] for entry in done.stdout.splitlines() if entry.startswith("plain,")]


def test_names_are_those_there_are():
    assert complete("fractalkit comp") == ["compress", "completion"]
    assert complete("fractalkit ifs ") == sorted(PRESETS)
    assert complete("fractalkit zoom barn") == ["barnsley-fern"]
    assert complete("fractalkit sample --model ") == names()
    assert complete("fractalkit sample --bin") == ["--binarize"]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_takes_its_script(shell, tmp_path):
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0 and "_FRACTALKIT_COMPLETE" in result.stdout
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(result.stdout)
    done = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_other_shells_are_refused():
    result = CliRunner().invoke(main, ["completion", "csh"])
    assert result.exit_code == 2 and "'csh' is not one of" in result.stderr

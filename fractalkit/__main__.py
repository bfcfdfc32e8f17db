"""``python -m fractalkit``, the same as the command ``fractalkit``."""

from fractalkit.cli.main import main

if __name__ == "__main__":
    main(prog_name="fractalkit")

"""The errors a user can cause, each one clear sentence; the command line turns them into exit codes."""


class FractalKitError(Exception):
    """Base of every error that FractalKit raises on purpose; ``exit_code`` is what the command line returns."""

    exit_code = 1


class DataError(FractalKitError, ValueError):
    """A file or an array that cannot be used; the message names it and the remedy (exit code 1)."""


class UsageError(FractalKitError, ValueError):
    """Options that contradict each other or are out of range (exit code 2)."""

    exit_code = 2

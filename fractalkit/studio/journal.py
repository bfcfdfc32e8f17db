"""The work of a studio on disk: every state of the document, appended line by line and flushed to the disk.

A line is whole or it does not count, so that nothing but the last edit can be lost, whenever the process dies::

    {"id": 3, "parent": 2, "label": "move a map", "time": 1700000000.0, "flame": {...}}      a new state
    {"at": 2}                                                                               undo, redo, or a step back
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fractalkit.errors import DataError, full_disk
from fractalkit.files import atomic_path, locked_folder

MAX_LINE = 8 << 20
KEPT = 4000  # states that a journal is cut down to when it is opened with twice as many


@dataclass(frozen=True)
class State:
    """A state of the document: its number, that of the one it came from, what was done, when, and the flame as JSON."""

    id: int
    parent: int
    label: str
    time: float
    text: str

    @property
    def flame(self) -> dict[str, Any]:
        """The flame's plain form."""
        plain: dict[str, Any] = json.loads(self.text)
        return plain


class Journal:
    """The states of a document in the order in which they were made, with undo and redo.

    Undo goes to the state that the present one came from, redo to the one last left by undo; a new state after an undo
    begins a branch, and what was there stays in the history.

    Args:
        path: the file, made if it is missing; None keeps everything in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.states: dict[int, State] = {}
        self.at = 0
        self.ahead: list[int] = []
        self.lost = ""  # why the last change could not be written
        if path is not None and path.exists():
            self._read(path)

    # ---- reading

    def _read(self, path: Path) -> None:
        try:
            ended = True
            with path.open("rb") as file:
                while line := file.readline(MAX_LINE):
                    self._take(line)
                    ended = line.endswith(b"\n")
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error}); name another --work") from None
        if len(self.states) > 2 * KEPT:
            self._cut(path)
        elif not ended:
            self._write("")  # ends the line that was cut short

    def _take(self, line: bytes) -> None:
        """Apply a line; one that is cut short or damaged does not count."""
        try:
            record = json.loads(line)
            if "at" in record:
                self._move(int(record["at"]))
                return
            state = State(
                int(record["id"]), int(record["parent"]), str(record["label"])[:200], float(record["time"]),
                json.dumps(record["flame"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        self.states[state.id] = state
        self.at, self.ahead = state.id, []

    def _cut(self, path: Path) -> None:
        kept = list(self.states.values())[-KEPT:]
        if self.at not in {s.id for s in kept}:
            kept.append(self.states[self.at])
        self.states = {s.id: s for s in kept}
        with atomic_path(path) as temporary:
            temporary.write_text("".join(_line(s) for s in kept) + json.dumps({"at": self.at}) + "\n", encoding="utf-8")

    # ---- the present

    @property
    def now(self) -> State | None:
        """The present state; None: nothing has been made yet."""
        return self.states.get(self.at)

    def commit(self, flame: dict[str, Any], label: str) -> State:
        """Make a new state; one that equals the present one is the present one."""
        text = json.dumps(flame, allow_nan=False)
        if self.now is not None and self.now.text == text:
            return self.now
        state = State(max(self.states, default=0) + 1, self.at, label[:200], time.time(), text)
        self.states[state.id] = state
        self.at, self.ahead = state.id, []
        self._write(_line(state))
        return state

    def undo(self) -> State | None:
        """Go to the state that this one came from."""
        return self.go(self.now.parent) if self.can_undo and self.now is not None else None

    def redo(self) -> State | None:
        """Go to the state that was last left by undo."""
        return self.go(self.ahead[-1]) if self.ahead else None

    def go(self, number: int) -> State | None:
        """Go to a state; None if there is none of that number."""
        if number not in self.states:
            return None
        self._move(number)
        self._write(json.dumps({"at": number}) + "\n")
        return self.now

    def _move(self, number: int) -> None:
        if number not in self.states:
            return
        if self.now is not None and self.now.parent == number:
            self.ahead.append(self.at)
        elif self.ahead and self.ahead[-1] == number:
            self.ahead.pop()
        else:
            self.ahead = []
        self.at = number

    @property
    def can_undo(self) -> bool:
        """Whether there is a state to go back to."""
        return self.now is not None and self.now.parent in self.states

    @property
    def can_redo(self) -> bool:
        """Whether a state was left by undo."""
        return bool(self.ahead)

    # ---- writing

    def _write(self, text: str) -> None:
        if self.path is None:
            return
        try:
            with self.path.open("ab") as file:
                # the line before may have been cut short by a full disk
                file.write((b"\n" if self.lost or not text else b"") + text.encode())
                file.flush()
                os.fsync(file.fileno())
            self.lost = ""
        except OSError as error:
            self.lost = f"{self.path}: {full_disk(error) or error.strerror or error}; the last changes are not saved"


def _line(state: State) -> str:
    head = {"id": state.id, "parent": state.parent, "label": state.label, "time": state.time}
    return json.dumps(head)[:-1] + f', "flame": {state.text}}}\n'


@contextmanager
def open_journal(folder: Path, *, new: bool = False) -> Iterator[Journal]:
    """The journal of a folder; where another studio has it, the next one in the same folder.

    Args:
        new: begin an empty one; the last is kept with its date in its name.

    Raises:
        DataError: the folder cannot be made or written to.
    """
    check = folder.parent
    if not folder.exists() and check.exists() and not os.access(check, os.W_OK):
        raise DataError(f"{folder}: the folder {check} is not writable; name another --work")
    for number in range(1, 100):
        place = folder / f"work-{number}"
        with ExitStack() as stack:
            try:
                stack.enter_context(locked_folder(place, "taken"))
            except DataError as error:
                if str(error).endswith("taken"):
                    continue
                raise
            path = place / "journal.jsonl"
            if new and path.exists():
                path.rename(place / f"journal-{time.strftime('%Y%m%d-%H%M%S')}.jsonl")
            yield Journal(path)
            return
    raise DataError(f"{folder}: a hundred studios are open already; close some")

"""Work in the background: one task at a time, with a bar on every page, files to download, and a way to stop it."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fractalkit.errors import FractalKitError, first_line

KEPT = 40  # finished tasks whose files are kept
WAITING = 16


class Stopped(Exception):
    """Raised inside a task that somebody stopped."""


@dataclass
class Task:
    """A task: what it does, how far it is, and what it made.

    Attributes:
        say: reports a word and the share done, and raises :class:`Stopped` where the task was stopped.
        files: the files it made, to download.
        result: other facts that JSON can hold.
        private: told to one page alone.
    """

    id: int
    title: str
    work: Callable[[Task], Any]
    tell: Callable[[dict[str, Any]], None]
    folder: Path
    word: str = "waiting"
    share: float = 0.0
    state: str = "waiting"
    error: str = ""
    files: list[str] = field(default_factory=list)
    result: Any = None
    private: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)

    def say(self, word: str, share: float) -> None:
        """Report progress."""
        if self.stopped.is_set():
            raise Stopped
        share = min(max(share, 0.0), 1.0)
        if word != self.word or abs(share - self.share) > 0.004:
            self.word, self.share = word, share
            self.tell(self.facts())

    def facts(self) -> dict[str, Any]:
        """What pages are told."""
        return {
            "type": "task", "id": self.id, "title": self.title, "word": self.word, "share": self.share,
            "state": self.state, "error": self.error, "files": self.files, "result": self.result,
        }  # fmt: skip


class Tasks:
    """Tasks in the order in which they were asked for, done by one thread.

    Args:
        tell: called with the facts of a task whenever they change.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._numbers = itertools.count(1)
        self._waiting: deque[Task] = deque()
        self._news = threading.Condition()
        self._ended = False
        self.all: dict[int, Task] = {}
        self.root = Path(tempfile.mkdtemp(prefix="fractalkit-studio-"))
        self._thread = threading.Thread(target=self._run, name="tasks", daemon=True)
        self._thread.start()

    def add(
        self,
        title: str,
        work: Callable[[Task], Any],
        tell: Callable[[dict[str, Any]], None] | None = None,
        *,
        private: bool = False,
    ) -> Task:
        """Append a task; ``work`` gets it, and what it returns becomes its ``result``.

        Raises:
            FractalKitError: too many are waiting.
        """
        with self._news:
            if len(self._waiting) >= WAITING:
                raise FractalKitError(f"{WAITING} tasks are waiting; stop one, or try again when one is done")
            number = next(self._numbers)
            task = Task(number, title, work, tell or self._tell, self.root / str(number), private=private)
            self.all[number] = task
            self._waiting.append(task)
            self._news.notify()
        task.tell(task.facts())
        return task

    def stop(self, number: int) -> None:
        """Stop a task, whether it waits or runs."""
        task = self.all.get(number)
        if task is not None:
            task.stopped.set()

    def close(self) -> None:
        """Stop everything and remove the files."""
        with self._news:
            self._ended = True
            for task in self.all.values():
                task.stopped.set()
            self._news.notify()
        self._thread.join(5)
        shutil.rmtree(self.root, ignore_errors=True)

    def _run(self) -> None:
        while True:
            with self._news:
                while not self._waiting and not self._ended:
                    self._news.wait()
                if self._ended:
                    return
                task = self._waiting.popleft()
            self._do(task)
            self._forget()

    def _do(self, task: Task) -> None:
        try:
            task.state = "running"
            task.folder.mkdir(parents=True, exist_ok=True)
            task.say("begins", 0.0)
            task.result = task.work(task)
            task.state, task.share, task.word = "done", 1.0, "done"
            task.files = sorted(p.name for p in task.folder.iterdir() if p.is_file())
        except Stopped:
            task.state, task.word = "stopped", "stopped"
        except Exception as error:
            task.state = "failed"
            known = isinstance(error, FractalKitError)
            sentence = str(error) if known else f"unexpected {type(error).__name__}: {first_line(error)}"
            task.error = sentence.replace(f"{task.folder}/", "")
        task.tell(task.facts())

    def _forget(self) -> None:
        done = [t for t in self.all.values() if t.state not in ("waiting", "running")]
        for task in done[:-KEPT]:
            shutil.rmtree(task.folder, ignore_errors=True)
            self.all.pop(task.id, None)

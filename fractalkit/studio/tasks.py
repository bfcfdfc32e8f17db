"""Work in the background, with a bar on every page, files to download, and a way to stop it.

Tasks of one lane are done one after the other, and those of different lanes side by side: relatives need not wait until
a large picture is drawn, nor either of them for a fit.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fractalkit.errors import FractalKitError, first_line

KEPT = 40  # finished tasks whose files are kept
WAITING = 16
QUICK = "quick"  # the lane of tasks that somebody waits for
NICE = 10  # of the others' threads


class Stopped(Exception):
    """Raised inside a task that somebody stopped."""


@dataclass(eq=False)
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

    def say(self, word: str, share: float, *, force: bool = False) -> None:
        """Report progress; with ``force`` also where it is as it was told last, but the result is another."""
        if self.stopped.is_set():
            raise Stopped
        share = min(max(share, 0.0), 1.0)
        if force or word != self.word or abs(share - self.share) > 0.004:
            self.word, self.share = word, share
            self.tell(self.facts())

    def facts(self) -> dict[str, Any]:
        """What pages are told."""
        return {
            "type": "task", "id": self.id, "title": self.title, "word": self.word, "share": self.share,
            "state": self.state, "error": self.error, "files": self.files, "result": self.result,
        }  # fmt: skip


class Tasks:
    """Tasks in the order in which they were asked for, done by one thread for each lane.

    Args:
        tell: called with the facts of a task whenever they change.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._numbers = itertools.count(1)
        self._lanes: dict[str, deque[Task]] = {}
        self._threads: list[threading.Thread] = []
        self._news = threading.Condition()
        self._ended = False
        self.all: dict[int, Task] = {}
        self.root = Path(tempfile.mkdtemp(prefix="fractalkit-studio-"))

    def add(
        self,
        title: str,
        work: Callable[[Task], Any],
        tell: Callable[[dict[str, Any]], None] | None = None,
        *,
        private: bool = False,
        lane: str = "slow",
    ) -> Task:
        """Append a task to a lane; ``work`` gets it, and what it returns becomes its ``result``.

        Raises:
            FractalKitError: too many are waiting.
        """
        with self._news:
            if sum(map(len, self._lanes.values())) >= WAITING:
                raise FractalKitError(f"{WAITING} tasks are waiting; stop one, or try again when one is done")
            number = next(self._numbers)
            task = Task(number, title, work, tell or self._tell, self.root / str(number), private=private)
            self.all[number] = task
            self._lane(lane).append(task)
            self._news.notify_all()
        task.tell(task.facts())
        return task

    def _lane(self, name: str) -> deque[Task]:
        """The waiting tasks of a lane, which has a thread from then on."""
        if name not in self._lanes:
            self._lanes[name] = deque()
            thread = threading.Thread(target=self._run, args=(name,), name=f"tasks-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self._lanes[name]

    def stop(self, number: int) -> None:
        """Stop a task: at once where it waits, soon where it runs."""
        with self._news:
            task = self.all.get(number)
            lane = next((waiting for waiting in self._lanes.values() if task in waiting), None)
            if lane is not None and task is not None:
                lane.remove(task)
                task.state = task.word = "stopped"
        if task is not None:
            task.stopped.set()
            if lane is not None:
                task.tell(task.facts())

    def close(self) -> None:
        """Stop everything and remove the files."""
        with self._news:
            self._ended = True
            for task in self.all.values():
                task.stopped.set()
            self._news.notify_all()
        for thread in self._threads:
            thread.join(5)
        shutil.rmtree(self.root, ignore_errors=True)

    def _run(self, lane: str) -> None:
        waiting = self._lanes[lane]
        if lane != QUICK and sys.platform == "linux":  # of this thread, and of those that it starts
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while True:
            with self._news:
                while not waiting and not self._ended:
                    self._news.wait()
                if self._ended:
                    return
                task = waiting.popleft()
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
        with self._news:
            done = [t for t in self.all.values() if t.state not in ("waiting", "running")]
            for task in done[:-KEPT]:
                shutil.rmtree(task.folder, ignore_errors=True)
                self.all.pop(task.id, None)

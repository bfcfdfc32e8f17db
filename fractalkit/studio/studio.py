"""The studio itself: the document, the pages that look at it, the painter, and the tasks; it knows nothing of HTTP."""

from __future__ import annotations

import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fractalkit.codes.flame import Flame
from fractalkit.errors import DataError
from fractalkit.studio.drawing import Frame, Painter, Request, glance
from fractalkit.studio.drops import Drops
from fractalkit.studio.fields import whole
from fractalkit.studio.journal import Journal, State
from fractalkit.studio.loops import FITS, MACHINE, compiled
from fractalkit.studio.offers import first_start
from fractalkit.studio.plain import from_plain, to_plain
from fractalkit.studio.tasks import Tasks
from fractalkit.studio.works import begin

Send = Callable[[dict[str, Any] | Frame], None]


class Studio:
    """A document with the pages that show it.

    Args:
        journal: the document's states.
        start: the flame to begin with, whatever the journal holds; None: the journal's last state, or a starting point.
        label: of the state that ``start`` becomes.
        cluster: address of a Dask scheduler for large pictures.
        device: that draws flames, as :func:`fractalkit.orbit.flame.accumulate` takes it.
    """

    def __init__(
        self, journal: Journal, start: Flame | None = None, *, label: str = "open", cluster: str | None = None,
        device: str = "cpu",
    ) -> None:  # fmt: skip
        self.journal = journal
        self.painter = Painter(device)
        self.tasks = Tasks(self.tell)
        self.drops = Drops(cluster, device)
        self._pages: dict[int, Send] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._thumbs: OrderedDict[int, bytes] = OrderedDict()
        self.fresh = start is None and journal.now is None  # pages then offer starting points
        if self.fresh:
            start, label = first_start(), "begin"
        if start is not None:
            journal.commit(to_plain(start), label)
        self.painter.start()

    def close(self) -> None:
        """Stop the threads, and the process of fits."""
        self.painter.stop()
        MACHINE.close()
        self.drops.close()
        self.tasks.close()

    def compile_ahead(self) -> None:
        """Where the loops of fits are not on the disk, have them compiled once pictures are drawn."""

        def wait() -> None:
            if MACHINE.ready.wait(120) and not compiled(FITS):
                self.drops.fitter.warm()

        threading.Thread(target=wait, name="ahead", daemon=True).start()

    # ---- pages

    def join(self, send: Send) -> int:
        """A page comes; ``send`` takes messages and pictures from any thread. Returns its number."""
        page = next(self._numbers)

        def painted(what: Frame | str) -> None:
            send({"type": "error", "message": what} if isinstance(what, str) else what)

        with self._lock:
            self._pages[page] = send
        self.painter.join(page, painted)
        states = [_brief(s) for s in self.journal.states.values()]
        send({"type": "state", **self.facts(), "states": states, "page": page, "fresh": self.fresh and len(states) < 2,
              "cluster": self.drops.cluster is not None})  # fmt: skip
        for task in list(self.tasks.all.values()):
            if not task.private:
                send(task.facts())
        return page

    def leave(self, page: int) -> None:
        """A page goes."""
        self.painter.leave(page)
        with self._lock:
            self._pages.pop(page, None)

    def tell(self, message: dict[str, Any]) -> None:
        """Tell all pages."""
        with self._lock:
            pages = list(self._pages.values())
        for send in pages:
            send(message)

    def facts(self) -> dict[str, Any]:
        """The present state, as pages are told."""
        now = self.journal.now
        return {
            "flame": None if now is None else now.flame, "at": self.journal.at, "undo": self.journal.can_undo,
            "redo": self.journal.can_redo, "lost": self.journal.lost,
        }  # fmt: skip

    # ---- what pages ask for

    def handle(self, page: int, message: dict[str, Any]) -> None:
        """Do what a page asks for.

        Raises:
            FractalKitError: it cannot be done; one sentence for that page.
        """
        kind = message.get("type")
        act = _ACTS.get(kind) if isinstance(kind, str) else None
        if act is None:
            raise DataError(f"the page asked for {str(kind)[:40]!r}, which the studio does not know")
        act(self, page, message)

    def draw(self, page: int, message: dict[str, Any]) -> None:
        """A picture of a flame that may be in the middle of a change."""
        w, h = whole(message, "width", 16, 4096), whole(message, "height", 16, 4096)
        shrink = min(1.0, (4_000_000 / (w * h)) ** 0.5)
        size = (max(16, int(w * shrink)), max(16, int(h * shrink)))
        request = Request(
            from_plain(message.get("flame")), size, whole(message, "serial", 0, 1 << 52), message.get("live") is True
        )
        self.painter.ask(page, request)

    def rest(self, page: int, message: dict[str, Any]) -> None:
        """The page draws by itself now."""
        self.painter.rest(page)

    def commit(self, page: int, message: dict[str, Any]) -> None:
        """A change is done: it becomes the present state."""
        label = message.get("label")
        self.put(message.get("flame"), label if isinstance(label, str) else "change", page)

    def put(self, plain: Any, label: str, page: int = 0) -> None:
        """Make a new state of a flame's plain form and tell all pages."""
        from_plain(plain)  # checked
        with self._lock:
            state = self.journal.commit(plain, label)
        self.tell({"type": "state", **self.facts(), "new": _brief(state), "by": page})

    def _stepped(self, state: State | None, page: int) -> None:
        if state is not None:
            self.tell({"type": "state", **self.facts(), "by": -page})

    def undo(self, page: int, message: dict[str, Any]) -> None:
        """One state back."""
        with self._lock:
            state = self.journal.undo()
        self._stepped(state, page)

    def redo(self, page: int, message: dict[str, Any]) -> None:
        """One state forward again."""
        with self._lock:
            state = self.journal.redo()
        self._stepped(state, page)

    def go(self, page: int, message: dict[str, Any]) -> None:
        """To a state of the history."""
        with self._lock:
            state = self.journal.go(whole(message, "id", 0, 1 << 52))
        self._stepped(state, page)

    def warm(self, page: int, message: dict[str, Any]) -> None:
        """A fit may be wanted soon."""
        self.drops.fitter.warm()

    def stop(self, page: int, message: dict[str, Any]) -> None:
        """Stop a task."""
        self.tasks.stop(whole(message, "id", 0, 1 << 52))

    def task(self, page: int, message: dict[str, Any]) -> None:
        """Begin a task in the background."""
        begin(self.tasks, message, self.tell, self.page_sender(page), self.drops)

    def pull(self, page: int, message: dict[str, Any]) -> None:
        """A hand in a fit that goes on: the flame as it was pulled, and the maps that are held."""
        hand = self.drops.find_hand(whole(message, "id", 0, 1 << 52))
        if hand is not None:
            held = message.get("held")
            given = held if isinstance(held, list) else []
            hand.give(from_plain(message.get("flame")), tuple(k for k in given if isinstance(k, int) and k >= 0))

    def page_sender(self, page: int) -> Send:
        """Sends to one page, as long as it is there."""

        def send(message: dict[str, Any] | Frame) -> None:
            with self._lock:
                found = self._pages.get(page)
            if found is not None:
                found(message)

        return send

    def thumbnail(self, number: int) -> bytes:
        """A small picture of a state, as JPEG.

        Raises:
            DataError: there is no such state.
        """
        with self._lock:
            if number in self._thumbs:
                return self._thumbs[number]
            state = self.journal.states.get(number)
        if state is None:
            raise DataError("there is no such state in the history")
        made = glance(from_plain(state.flame))
        with self._lock:
            self._thumbs[number] = made
            while len(self._thumbs) > 500:
                self._thumbs.popitem(last=False)
        return made


_ACTS: dict[str, Callable[[Studio, int, dict[str, Any]], None]] = {
    "draw": Studio.draw, "rest": Studio.rest, "commit": Studio.commit, "undo": Studio.undo, "redo": Studio.redo,
    "go": Studio.go, "warm": Studio.warm,
    "stop": Studio.stop, "task": Studio.task, "pull": Studio.pull,
}  # fmt: skip


def _brief(state: State) -> dict[str, Any]:
    return {"id": state.id, "parent": state.parent, "label": state.label, "time": state.time}


def default_folder() -> Path:
    """Where the work is kept: ``$XDG_DATA_HOME/fractalkit/studio`` or ``~/.local/share/fractalkit/studio``."""
    root = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(root) / "fractalkit" / "studio"

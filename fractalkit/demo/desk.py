"""What each browser has made, so that a reload of the page shows it again."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class _Browser:
    begun: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    values: dict[str, list[Any]] = field(default_factory=dict)


class Desk:
    """The last values of each tab, for a limited number of browsers.

    Work that is begun later than other work wins, whichever of them ends first.

    >>> desk = Desk(most=2)
    >>> for browser in ("a", "b", "c"):
    ...     desk.keep(browser, "flames", desk.begin(browser, "flames"), [1])
    >>> desk.kept("a", "flames"), desk.kept("c", "flames"), desk.kept("c", "sample")
    (None, [1], None)
    >>> early, late = desk.begin("c", "flames"), desk.begin("c", "flames")
    >>> desk.keep("c", "flames", late, [3]); desk.keep("c", "flames", early, [2])
    >>> desk.kept("c", "flames"), desk.latest("c", "flames") == late
    ([3], True)
    """

    def __init__(self, most: int = 16) -> None:
        self.most = most
        self._browsers: OrderedDict[str, _Browser] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, browser: str, tab: str) -> int:
        """The number of new work in a tab."""
        with self._lock:
            mine = self._of(browser)
            mine.begun[tab] += 1
            return mine.begun[tab]

    def latest(self, browser: str, tab: str) -> int:
        """The number of the work in a tab that was begun last, 0 for none."""
        with self._lock:
            return self._of(browser).begun[tab]

    def keep(self, browser: str, tab: str, number: int, values: Sequence[Any]) -> None:
        """Remember the values of a tab unless other work was begun since; those of a nameless browser are not kept."""
        with self._lock:
            mine = self._of(browser)
            if browser and number == mine.begun[tab]:
                mine.values[tab] = list(values)

    def kept(self, browser: str, tab: str) -> list[Any] | None:
        """The values of a tab, or None where there are none or a file of theirs was removed."""
        with self._lock:
            values = self._of(browser).values.get(tab)
        return None if values is None or not all(map(_there, values)) else values

    def _of(self, browser: str) -> _Browser:
        found = self._browsers.setdefault(browser, _Browser())
        self._browsers.move_to_end(browser)
        if len(self._browsers) > self.most:
            self._browsers.popitem(last=False)
        return found


def _there(value: Any) -> bool:
    """Whether a value can still be shown: all the files that it names exist."""
    if isinstance(value, list | tuple):
        return all(map(_there, value))
    path = Path(value) if isinstance(value, str) and value.startswith(os.sep) else value
    return not isinstance(path, Path) or path.exists()

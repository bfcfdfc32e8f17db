"""What each browser has made, so that a reload of the page shows it again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Desk:
    """The last values of each tab, for a limited number of browsers.

    >>> desk = Desk(most=2)
    >>> _ = [desk.keep(browser, "flames", [1]) for browser in ("a", "b", "c")]
    >>> desk.kept("a", "flames"), desk.kept("c", "flames"), desk.kept("c", "sample")
    (None, [1], None)
    """

    def __init__(self, most: int = 16) -> None:
        self.most = most
        self._values: OrderedDict[str, dict[str, list[Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, browser: str, tab: str, values: Sequence[Any]) -> list[Any]:
        """Remember the values of a tab, and return them; those of a browser without a name are not kept."""
        kept = list(values)
        if browser:
            with self._lock:
                self._values.setdefault(browser, {})[tab] = kept
                self._values.move_to_end(browser)
                if len(self._values) > self.most:
                    self._values.popitem(last=False)
        return kept

    def kept(self, browser: str, tab: str) -> list[Any] | None:
        """The values of a tab, or None where there are none or a file of theirs was removed."""
        with self._lock:
            values = self._values.get(browser, {}).get(tab)
        return None if values is None or not all(map(_there, values)) else values


def _there(value: Any) -> bool:
    """Whether a value can still be shown: all the files that it names exist."""
    if isinstance(value, list | tuple):
        return all(map(_there, value))
    return not isinstance(value, Path) or value.exists()

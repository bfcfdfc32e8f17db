"""What was dropped on the pages and is no flame: subjects of fits and photographs, the last few of each."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from fractalkit.errors import DataError

if TYPE_CHECKING:
    from fractalkit.studio.collages import Photo
    from fractalkit.studio.fitter import Fitter
    from fractalkit.studio.fitting import Hand, Subject

KEPT = 8
T = TypeVar("T")


class Drops:
    """Numbered things, in memory only; what is older than the last :data:`KEPT` of its kind is gone.

    Args:
        cluster: address of the Dask scheduler whose workers may draw large pictures.
        device: that draws flames.
    """

    def __init__(self, cluster: str | None = None, device: str = "cpu") -> None:
        self.cluster, self.device = cluster, device
        self._numbers = itertools.count(1)
        self._subjects: OrderedDict[int, Subject] = OrderedDict()
        self._photos: OrderedDict[int, Photo] = OrderedDict()
        self._hands: dict[int, Hand] = {}
        self._lock = threading.Lock()
        self._fitter: Fitter | None = None

    @property
    def fitter(self) -> Fitter:
        """The process of fits."""
        from fractalkit.studio.fitter import Fitter

        with self._lock:
            self._fitter = self._fitter or Fitter()
            return self._fitter

    def close(self) -> None:
        """End the process of fits."""
        if self._fitter is not None:
            self._fitter.close()

    def _put(self, where: OrderedDict[int, T], thing: T) -> int:
        with self._lock:
            number = next(self._numbers)
            where[number] = thing
            while len(where) > KEPT:
                where.popitem(last=False)
        return number

    def _get(self, where: OrderedDict[int, T], number: int, what: str) -> T:
        with self._lock:
            if number not in where:
                raise DataError(f"the {what} is gone from the studio; drop it again")
            where.move_to_end(number)
            return where[number]

    def put_subject(self, subject: Subject) -> int:
        """Keep a subject; its number."""
        return self._put(self._subjects, subject)

    def subject(self, number: int) -> Subject:
        """A subject by its number; a DataError where it is gone."""
        return self._get(self._subjects, number, "subject")

    def put_photo(self, photo: Photo) -> int:
        """Keep a photograph; its number."""
        return self._put(self._photos, photo)

    def photo(self, number: int) -> Photo:
        """A photograph by its number; a DataError where it is gone."""
        return self._get(self._photos, number, "photograph")

    @contextmanager
    def hand(self, task: int) -> Iterator[Hand]:
        """The hand of a fit, which pages move by the task's number as long as it lasts."""
        from fractalkit.studio.fitting import Hand

        hand = self._hands.setdefault(task, Hand())
        try:
            yield hand
        finally:
            self._hands.pop(task, None)

    def find_hand(self, task: int) -> Hand | None:
        """The hand of a fit that goes on, or None."""
        return self._hands.get(task)

"""Orbits: the chaos game by three engines, and even coverage of an attractor."""

from fractalkit.orbit.api import Histogram, Orbit, extent, histogram, sample, stream

__all__ = ["Histogram", "Orbit", "even", "extent", "histogram", "sample", "stream"]


def __getattr__(name: str):  # type: ignore[no-untyped-def]
    # even() compiles its loops with Numba, which is imported only for those who ask
    if name == "even":
        from fractalkit.orbit.even import even

        globals()["even"] = even  # the module of that name would stand in its place
        return even
    raise AttributeError(name)

"""What the tests of the GPU engine share."""

import functools

import pytest


@functools.cache
def opened():
    """The device, a program on the CPU if there is no other, or why there is none."""
    from fractalkit.errors import UsageError
    from fractalkit.orbit.wgsl.device import open_gpu

    try:
        return open_gpu(), ""
    except UsageError as error:
        return None, str(error)


def device():
    """The device; skips the test where there is none."""
    gpu, why = opened()
    if gpu is None:
        pytest.skip(why)
    return gpu

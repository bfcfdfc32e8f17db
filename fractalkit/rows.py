"""Copies of arrays in compiled code."""

from __future__ import annotations

import numba as nb

# mypy: disable-error-code="no-untyped-def"


@nb.njit(cache=True, nogil=True, inline="always")
def copy_row(values, out):
    """``out[:] = values`` for vectors of one length.

    Numba's own assignment of an array compares the shapes, and the code of its error message takes 3 s to compile.

    >>> import numpy as np
    >>> out = np.zeros(3)
    >>> copy_row(np.arange(3.0), out)
    >>> out
    array([0., 1., 2.])
    """
    for i in range(out.shape[0]):
        out[i] = values[i]


@nb.njit(cache=True, nogil=True, inline="always")
def copy_rows(values, out):
    """``out[:] = values`` for matrices of one shape."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = values[i, j]

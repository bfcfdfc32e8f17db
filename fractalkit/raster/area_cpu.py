"""Area means on a CPU, compiled by Numba. The plain twin is :meth:`fractalkit.raster.area.Taps.apply`."""

from __future__ import annotations

import numba as nb
import numpy as np

# mypy: disable-error-code="no-untyped-def, untyped-decorator"


@nb.njit(cache=True, fastmath={"contract"}, nogil=True)
def resample(values, y_first, y_weight, x_first, x_weight, out):
    """Area means: ``values [O, R, X]`` to ``out [O, rows, columns]``, weights ``[rows, taps]``, ``[columns, taps]``."""
    line = np.empty(values.shape[2], np.float32)
    for o in range(out.shape[0]):
        for y in range(out.shape[1]):
            line[:] = 0
            for k in range(y_weight.shape[1]):
                weight = y_weight[y, k]
                if weight != 0:
                    row = values[o, y_first[y] + k]
                    for x in range(line.shape[0]):
                        line[x] += weight * row[x]
            for x in range(out.shape[2]):
                total = np.float32(0)
                for k in range(x_weight.shape[1]):
                    if x_weight[x, k] != 0:
                        total += x_weight[x, k] * line[x_first[x] + k]
                out[o, y, x] = total

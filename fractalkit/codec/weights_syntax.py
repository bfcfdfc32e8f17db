"""The syntax of a network's quantised weights: whole numbers, each by its length in bits, sign and bits."""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.codec.entropy import DECODE, ENCODE, MODELS, SPENT, STATE, code, coder, finish, models, raw
from fractalkit.errors import DataError

# mypy: disable-error-code="no-untyped-def, call-arg, operator, assignment, call-overload"

KINDS = 256  # of tensors, each with contexts of its own
MAX_BITS = 20
_SIZE = 512


@nb.njit(f"void({STATE}, {MODELS}, uint8[::1], int64[::1])", cache=True)
def _numbers(state, data, prob, count, weight, kinds, values):
    ctx = np.zeros(6, np.int64)
    writing = state[0] == 0
    before = np.int64(0)  # lengths of the two numbers before
    last = -1
    for i in range(len(values)):
        if state[SPENT] and not writing:
            return
        v = values[i] if writing else np.int64(0)
        if kinds[i] != last:
            before, last = 0, kinds[i]
        base = np.int64(kinds[i]) * _SIZE
        size = 0
        while abs(v) >> size:
            size += 1
        n = 0
        while n < MAX_BITS:
            ctx[0] = base + n
            ctx[1] = base + 32 + n * 8 + min(before >> 1, 7)
            if not code(state, data, prob, count, weight, ctx, 2, kinds[i], 1 if size > n else 0):
                break
            n += 1
        before = ((before >> 1) & 7) + n
        if n == 0:
            values[i] = 0
            continue
        out = np.int64(1)
        for b in range(n - 2, -1, -1):
            bit = (abs(v) >> b) & 1
            if n - 2 - b < 2:
                ctx[0] = base + 256 + n * 4 + (out & 3 if n - 2 - b else 0) + (2 if n - 2 - b else 0)
                bit = code(state, data, prob, count, weight, ctx, 1, kinds[i], bit)
            else:
                bit = raw(state, data, 1, bit)
            out = (out << 1) | bit
        if raw(state, data, 1, 1 if v < 0 else 0):
            out = -out
        values[i] = out


def write_numbers(kinds: np.ndarray, values: np.ndarray) -> bytes:
    """Encode whole numbers below 2^20 in magnitude; ``kinds`` is the index of each number's contexts."""
    if len(values) and int(np.abs(values).max()) >= 1 << MAX_BITS:
        raise DataError(f"a number has more than {MAX_BITS} bits")
    state, data = coder(ENCODE, np.zeros(64 + 8 * len(values), np.uint8))
    _numbers(state, data, *models(KINDS * _SIZE, KINDS), kinds, values.astype(np.int64))
    return data[: finish(state, data)].tobytes()


def read_numbers(data: bytes, kinds: np.ndarray) -> np.ndarray:
    """Decode the numbers, int64; it never fails, and what the bytes lack is zero."""
    out = np.zeros(len(kinds), np.int64)
    state, room = coder(DECODE, np.frombuffer(data, np.uint8).copy())
    _numbers(state, room, *models(KINDS * _SIZE, KINDS), kinds, out)
    return out

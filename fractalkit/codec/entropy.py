"""An adaptive binary range coder whose probabilities are mixed from several contexts, in integers throughout.

Each binary decision is predicted in up to K contexts. A context holds a probability that learns from the bits seen in
it, fast at first; the K predictions are mixed in the logistic domain, p = squash(sum_k w_k stretch(p_k)), with weights
that learn by gradient descent on the code length (Mahoney, PAQ, Florida Tech CS-2005-16). The bits go through a
carryless 32-bit range coder. No floating point is involved, so that the same decisions give the same bytes everywhere.

One function, :func:`code`, encodes or decodes depending on the state's mode, so that a syntax is written only once.
Decoding never fails: past the end of the bytes it reads zeros and sets a flag that callers may check.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from fractalkit.compiled import inner

# mypy: disable-error-code="no-untyped-def, call-arg, operator"

K = 6  # contexts of a decision, at most
ENCODE, DECODE = 0, 1
MODE, LOW, HIGH, VALUE, POSITION, END, SPENT = range(7)  # indices into the state
SCRATCH = 8  # first of K places for what the contexts of a decision say
_STEPS = 4096
_FINEST = 3072  # of the logistic domain, in 1/256, where decisions may be all but certain
_ONE = 22  # bits of a probability in the coder

# explicit argument types: otherwise each combination of types at a call would be compiled separately
STATE = "int64[::1], uint8[::1]"
MODELS = "uint16[::1], uint8[::1], int64[:, ::1]"


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # rounding to integers removes differences between mathematical libraries
    squash = [min(65535 - 24, max(24, round(65536 / (1 + math.exp(-(i - 2048) / 256))))) for i in range(_STEPS)]
    stretch = [round(256 * math.log((i + 0.5) / (_STEPS - i - 0.5))) for i in range(_STEPS)]
    rate = [round(65536 / (n + 1.6)) for n in range(256)]
    # in few bytes, so that all tables stay in the cache closest to the core
    return np.array(squash, np.uint16), np.clip(stretch, -2047, 2047).astype(np.int16), np.array(rate, np.uint16)


_SQUASH, _STRETCH, _RATE = _tables()
_FINE = np.array(
    [min((1 << _ONE) - 16, max(16, round((1 << _ONE) / (1 + math.exp(-i / 256))))) for i in range(-_FINEST, _FINEST)],
    np.int32,
)
_LIMIT = 160  # a context's probability moves by at least 1 / (limit + 1.6) of the way


@inner()
def bits_of(v):
    """Number of bits of a number of at least 0."""
    n = 0
    while v > 0:
        v >>= 1
        n += 1
    return n


def coder(mode: int, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """State and bytes of a coder; ``data`` is uint8, to read from or to write to."""
    state = np.zeros(SCRATCH + K, np.int64)
    state[MODE] = mode
    state[HIGH] = 0xFFFFFFFF
    state[END] = len(data)
    if mode == DECODE:
        _begin(state, data)
    return state, data


def models(contexts: int, sets: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Initial probabilities ``[contexts]`` (of 65536), counts of their use, and mixing weights ``[sets, K]``."""
    return (
        np.full(contexts, 32768, np.uint16),
        np.zeros(contexts, np.uint8),
        np.full((sets, K), round(65536 * 0.3), np.int64),
    )


@inner()
def _next(state, data):
    at = state[POSITION]
    state[POSITION] = at + 1
    if at < state[END]:
        return np.int64(data[at])
    if at >= state[END] + 4:
        state[SPENT] = 1  # the coder looks four bytes ahead; beyond that the bits are made up
    return np.int64(0)


@nb.njit(f"void({STATE})", cache=True)
def _begin(state, data):
    value = 0
    for _ in range(4):
        value = (value << 8) | _next(state, data)
    state[VALUE] = value


@inner(f"void({STATE})")
def _shift(state, data):
    """Write or read the leading bytes that both ends of the interval have in common."""
    low, high = state[LOW], state[HIGH]
    while (low ^ high) & 0xFF000000 == 0:
        if state[MODE] == 0:
            if state[POSITION] < state[END]:
                data[state[POSITION]] = np.uint8(high >> 24)
            else:
                state[SPENT] = 1
            state[POSITION] += 1
        else:
            state[VALUE] = ((state[VALUE] << 8) & 0xFFFFFFFF) | _next(state, data)
        low = (low << 8) & 0xFFFFFFFF
        high = ((high << 8) & 0xFFFFFFFF) | 255
    state[LOW], state[HIGH] = low, high


@inner(f"int64({STATE}, int64, int64)")
def _narrow(state, data, p, bit):
    """Narrow the interval by a bit that is 1 with probability p / 2^22, and return the bit."""
    low, high = state[LOW], state[HIGH]
    middle = low + (((high - low) * p) >> _ONE)
    if state[MODE] == 1:
        bit = 1 if state[VALUE] <= middle else 0
    if bit:
        state[HIGH] = middle
    else:
        state[LOW] = middle + 1
    _shift(state, data)
    return bit


@inner(f"int64({STATE}, {MODELS}, int64[::1], int64, int64)")
def _mixed(state, data, prob, count, weight, context, k, wset):
    """What the contexts say, mixed in the logistic domain, in 1/256; kept in the state for :func:`_learn`."""
    dot = np.int64(0)
    for i in range(k):
        s = np.int64(_STRETCH[prob[context[i]] >> 4])
        state[SCRATCH + i] = s
        dot += weight[wset, i] * s
    return dot >> 16


@inner(f"void({STATE}, {MODELS}, int64[::1], int64, int64, int64, int64)")
def _learn(state, data, prob, count, weight, context, k, wset, p, bit):
    """Teach weights and contexts the bit that was predicted with probability p / 65536."""
    error = ((bit << 16) - p) * 12
    for i in range(k):
        weight[wset, i] += (state[SCRATCH + i] * error + (1 << 17)) >> 18
        c = context[i]
        q = np.int64(prob[c])
        q += (((bit << 16) - q) * np.int64(_RATE[count[c]])) >> 16
        prob[c] = min(np.int64(65503), max(np.int64(32), q))
        if count[c] < _LIMIT:
            count[c] += 1


@nb.njit(f"int64({STATE}, {MODELS}, int64[::1], int64, int64, int64)", cache=True)
def code(state, data, prob, count, weight, context, k, wset, bit):
    """Encode ``bit``, or decode it, and return it; the first ``k`` of ``context`` are mixed by the weights ``wset``."""
    x = min(2047, max(-2047, _mixed(state, data, prob, count, weight, context, k, wset)))
    p = np.int64(_SQUASH[x + 2048])
    bit = _narrow(state, data, p << (_ONE - 16), bit)
    _learn(state, data, prob, count, weight, context, k, wset, p, bit)
    return bit


@inner(f"int64({STATE}, {MODELS}, int64[::1], int64, int64, int64)")
def code_certain(state, data, prob, count, weight, context, k, wset, bit):
    """:func:`code` of a decision that may be all but certain: it costs down to 10^-5 bits instead of 5 10^-4."""
    x = min(_FINEST - 1, max(1 - _FINEST, _mixed(state, data, prob, count, weight, context, k, wset)))
    p = np.int64(_FINE[x + _FINEST])
    bit = _narrow(state, data, p, bit)
    _learn(state, data, prob, count, weight, context, k, wset, p >> (_ONE - 16), bit)
    return bit


@nb.njit(f"int64({STATE}, int64, int64)", cache=True)
def raw(state, data, bits, value):
    """Code ``bits`` bits of an integer without a model, most significant first."""
    out = np.int64(0)
    for i in range(bits - 1, -1, -1):
        out = (out << 1) | _narrow(state, data, 1 << (_ONE - 1), (value >> i) & 1)
    return out


@nb.njit(f"int64({STATE})", cache=True)
def finish(state, data):
    """End encoding; returns the number of bytes, or -1 if ``data`` was too short."""
    # write the fewest bytes that, followed by zeros, lie within the interval
    low, high = state[LOW], state[HIGH]
    for size in range(1, 5):
        shift = 32 - 8 * size
        value = ((low + (1 << shift) - 1) >> shift) << shift
        if value <= high:
            for i in range(size):
                if state[POSITION] >= state[END]:
                    return -1
                data[state[POSITION]] = np.uint8((value >> (24 - 8 * i)) & 255)
                state[POSITION] += 1
            break
    return state[POSITION] if state[SPENT] == 0 else -1

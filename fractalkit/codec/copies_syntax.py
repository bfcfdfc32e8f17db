"""The syntax of pictures made of copies: the decisions of each pixel and their contexts, for encoding and decoding.

Pixels are coded row by row. For each one several vectors to earlier pixels are weighed: those of the neighbours, and
those at which tables of hashed neighbourhoods say that the same surroundings occurred last. The vector whose
surroundings agree furthest, and which has been right longest, is the pixel's source. So addresses cost nothing: they
follow from what is known already. What is coded is whether the copy is right, and if not the colour: another candidate,
an index of the palette, or differences from a prediction by channel.

A *symbol* is an index of the palette, or the channels packed 16 bits each.

Decoding never fails: any bytes give values in their ranges. The state's SPENT says whether the bytes have ended.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.codec.entropy import END, MODELS, POSITION, SPENT, STATE, bits_of, code, code_certain
from fractalkit.compiled import inner
from fractalkit.rows import copy_row

# mypy: disable-error-code="no-untyped-def, call-arg, operator, assignment, call-overload"

SIDE = 8  # columns of background to either side
ABOVE = 4  # rows of background above
# neighbours in the order in which surroundings are compared: rows up, columns to the right
NEAR = np.array([
    (0, -1), (1, 0), (1, -1), (1, 1), (0, -2), (2, 0), (1, 2), (2, 1), (2, -1), (1, -2), (0, -3), (1, 3),
    (2, 2), (2, -2), (3, 0), (1, 4), (0, -4), (3, 1), (3, -1), (1, -3), (2, 3), (0, -5), (3, 2), (1, 5),
], np.int64)  # fmt: skip
PREFIXES = np.array([2, 4, 6, 10, 16, 24], np.int64)  # sizes of the neighbourhoods that are hashed
_HASHES = len(PREFIXES)
_MANY = len(NEAR)
_TRUST = 255
_CANDIDATES = 7
_MULTIPLIER = 0x2545F4914F6CDD1D

# sets of mixing weights
_HIT_SETS, _ESCAPE_SETS, _OTHER_SETS, _INDEX_SETS = 64, 8, 8, 8
_ESCAPE = _HIT_SETS
_OTHER = _ESCAPE + _ESCAPE_SETS
_INDEX = _OTHER + _OTHER_SETS
_ZERO = _INDEX + _INDEX_SETS
_SIGN = _ZERO + 4
_SIZE = _SIGN + 4
_BITS = _SIZE + 4 * 20
SETS = _BITS + 4


def context_bits(pixels: int) -> int:
    """log2 of the number of contexts for a strip of so many pixels."""
    return min(22, max(14, int(pixels - 1).bit_length() + 3))


@inner()
def _mix(h, v):
    """Hash a number into a hash of 64 bits."""
    h = (h ^ (v + 0x9E3779B9)) * _MULTIPLIER
    return h ^ ((h >> 29) & 0x7FFFFFFFF)


@inner()
def _slot(h, which, mask):
    """The context of a hash, for one kind of decision."""
    h = (h + which * 0x3C6EF372FE94F82B) * _MULTIPLIER
    return (h >> 32) & mask


@inner()
def _surroundings(symbols, p, offsets, hashes):
    """Hash neighbourhoods of growing size around a pixel."""
    h = np.int64(1)
    k = 0
    for i in range(_MANY):
        h = _mix(h, symbols[p + offsets[i]])
        if i + 1 == PREFIXES[k]:
            hashes[k] = h
            k += 1


@inner()
def _runs(symbols, p, x, width, stride, runs):
    """Hash the distances to the borders around a pixel: of the run to the left, above, and along the row above.

    ``runs`` ``[width + 2]``: for each column how many pixels up to the last coded one have its colour; then the column
    from which the row above shows another colour than above this pixel, and the length of the run to the left.
    """
    here = symbols[p - stride]
    if runs[width] <= x:
        k = x + 1
        while k < width and symbols[p - stride + k - x] == here:
            k += 1
        runs[width] = k
    h = _mix(_mix(min(runs[width + 1], 4095), min(runs[x], 4095)), min(runs[width] - x, 255))
    return _mix(_mix(h, symbols[p - 1]), here)


@inner()
def _agreement(symbols, p, s, offsets):
    """How many neighbours of two pixels agree before the first that does not."""
    for i in range(_MANY):
        if symbols[p + offsets[i]] != symbols[s + offsets[i]]:
            return i
    return _MANY


@inner()
def _consider(symbols, p, y, x, width, stride, dy, dx, trust, offsets, best):
    """Weigh the vector (dy rows up, dx columns to the right), and keep the best, and the best that says another colour.

    ``best`` ``[2, 5]``: score, symbol, dy, dx, trust; a score below 0 is none.
    """
    if dy < 0 or dy > y or x + dx < 0 or x + dx >= width or (dy == 0 and dx >= 0):
        return
    s = p - dy * stride + dx
    score = _agreement(symbols, p, s, offsets) * 256 + trust
    symbol = symbols[s]
    if score > best[0, 0]:
        if symbol != best[0, 1]:
            copy_row(best[0], best[1])
        best[0, 0], best[0, 1], best[0, 2], best[0, 3], best[0, 4] = score, symbol, dy, dx, trust
    elif score > best[1, 0] and symbol != best[0, 1]:
        best[1, 0], best[1, 1], best[1, 2], best[1, 3], best[1, 4] = score, symbol, dy, dx, trust


@inner()
def _sources(symbols, p, y, x, width, stride, vectors, tables, hashes, run, offsets, best):
    """Find the best two sources of a pixel: by its neighbours' vectors, and by tables of hashed surroundings.

    ``vectors`` ``[2, width + 2, 3]``: dy, dx and trust of the pixels of the row above, and of this row.
    """
    best[0, 0] = best[1, 0] = -1
    best[0, 1] = best[1, 1] = -1
    for k in range(4):
        # the pixels to the left, above left, above and above right; there is a column before the first
        v = vectors[1, x] if k == 0 else vectors[0, x + k - 1]
        if v[0] > 0 or v[1] < 0:
            _consider(symbols, p, y, x, width, stride, v[0], v[1], v[2], offsets, best)
    mask = tables.shape[1] - 1
    for k in range(tables.shape[0]):
        at = ((run if k == 0 else hashes[_HASHES - k]) >> 20) & mask
        s = np.int64(tables[k, at])
        if s > 0:
            sy, sx = s // stride - ABOVE, s % stride - SIDE
            _consider(symbols, p, y, x, width, stride, y - sy, sx - x, 0, offsets, best)
        tables[k, at] = p
    if best[0, 0] < 0 and x + y > 0:
        # the pixel to the left or above is a copy too
        best[0, 0], best[0, 1], best[0, 4] = 0, symbols[p - 1] if x > 0 else symbols[p - stride], 0
        best[0, 2], best[0, 3] = (0, -1) if x > 0 else (1, 0)


@inner()
def _others(symbols, p, stride, best, tried, out):
    """The colours that a pixel may have if its copy is wrong, most likely first; their number."""
    n = 0
    for k in range(_CANDIDATES):
        if k == 0:
            if best[1, 0] < 0:
                continue
            c = best[1, 1]
        elif k == 1:
            c = symbols[p - 1]
        elif k == 2:
            c = symbols[p - stride]
        elif k == 3:
            c = symbols[p - stride + 1]
        elif k == 4:
            c = symbols[p - stride - 1]
        elif k == 5:
            c = symbols[p - 2]
        else:
            c = symbols[p - 2 * stride]
        new = c != tried
        for i in range(n):
            if out[i] == c:
                new = False
        if new:
            out[n] = c
            n += 1
    return n


@inner(f"int64({STATE}, {MODELS}, int64[::1], int64[:, ::1], int64[::1], int64, int64, int64, int64, int64, int64)")
def _code_hit(state, data, prob, count, weight, ctx, best, hashes, run, w, n, mask, certain, bit):
    """Code whether the best source has the pixel's colour."""
    symbol = best[0, 1]
    agree, trust = best[0, 0] >> 8, min(7, bits_of(best[0, 4]))
    second = 0 if best[1, 0] < 0 else 1 + min(11, (best[1, 0] >> 8) >> 1)
    same = (1 if symbol == w else 0) + (2 if symbol == n else 0)
    ctx[0] = _slot((((agree * 8 + trust) * 4 + same) * 13 + second), 0, mask)
    ctx[1] = _slot(_mix(run, symbol), 1, mask)
    ctx[2] = _slot(_mix(hashes[2], symbol), 2, mask)
    ctx[3] = _slot(_mix(hashes[3], symbol), 3, mask)
    ctx[4] = _slot(_mix(hashes[4], symbol), 4, mask)
    ctx[5] = _slot(_mix(_mix(hashes[5], symbol), trust), 5, mask)
    wset = min(7, agree >> 1 if agree < 12 else 6 + (agree == _MANY)) * 8 + trust
    if certain:
        return code_certain(state, data, prob, count, weight, ctx, 6, wset, bit)
    return code(state, data, prob, count, weight, ctx, 6, wset, bit)


@inner(f"int64({STATE}, {MODELS}, int64[::1], int64, int64, int64, int64[::1], int64, int64, int64)")
def _code_other(state, data, prob, count, weight, ctx, k, candidate, tried, hashes, mask, wset, bit):
    """Code whether the pixel has the colour of candidate k; ``tried`` is the colour that the copy had."""
    ctx[0] = _slot(_mix(hashes[0], candidate), 8 + k, mask)
    ctx[1] = _slot(_mix(hashes[1], candidate), 8, mask)
    ctx[2] = _slot(_mix(hashes[2], candidate), 9, mask)
    ctx[3] = _slot(_mix(candidate, tried), 10, mask)
    ctx[4] = _slot(k, 16, mask)
    return code(state, data, prob, count, weight, ctx, 5, wset, bit)


@inner(f"int64({STATE}, {MODELS}, int64[::1], int64, int64, int64[::1], int64, int64, int64)")
def _code_index(state, data, prob, count, weight, ctx, w, n, hashes, depth, mask, value):
    """Code an index of the palette, from its highest bit."""
    node = np.int64(1)
    for i in range(depth - 1, -1, -1):
        ctx[0] = _slot(node, 17, mask)
        ctx[1] = _slot(_mix(node, w), 18, mask)
        ctx[2] = _slot(_mix(node, n), 19, mask)
        ctx[3] = _slot(_mix(hashes[0], node), 20, mask)
        ctx[4] = _slot(_mix(hashes[1], node), 21, mask)
        bit = code(state, data, prob, count, weight, ctx, 5, _INDEX + i, (value >> i) & 1)
        node = (node << 1) | bit
    return node - (np.int64(1) << depth)


@nb.njit(f"int64({STATE}, {MODELS}, int64[::1], int64[::1], int64, int64, int64)", cache=True)
def code_difference(state, data, prob, count, weight, ctx, base, channel, mask, value):
    """Code a difference of either sign, in six hashed contexts ``base``: zero, sign, length in unary, bits."""
    for i in range(6):
        ctx[i] = _slot(base[i], 32 + i, mask)
    if not code(state, data, prob, count, weight, ctx, 6, _ZERO + channel, 1 if value != 0 else 0):
        return np.int64(0)
    for i in range(6):
        ctx[i] = _slot(base[i], 40 + i, mask)
    negative = code(state, data, prob, count, weight, ctx, 6, _SIGN + channel, 1 if value < 0 else 0)
    a = abs(value)
    want = bits_of(a)
    n = np.int64(1)
    while n < 17:
        for i in range(6):
            ctx[i] = _slot(base[i] + n * 0x5851F42D4C957F2D + negative, 48 + i, mask)
        if not code(state, data, prob, count, weight, ctx, 6, _SIZE + channel * 20 + n, 1 if want > n else 0):
            break
        n += 1
    out = np.int64(1)
    for i in range(n - 2, -1, -1):
        # the highest two bits in contexts, the others by length and place alone
        fine = n - 2 - i < 2
        h = (n * 32 + i) * 8 + (out if fine else 0)
        ctx[0] = _slot(h * 4 + channel, 56, mask)
        ctx[1] = _slot(_mix(base[0], h), 57, mask)
        ctx[2] = _slot(_mix(base[1], h), 58, mask)
        bit = code(state, data, prob, count, weight, ctx, 3 if fine else 1, _BITS + channel, (a >> i) & 1)
        out = (out << 1) | bit
    return -out if negative else out


@inner()
def _median(w, n, nw):
    """The median of W, N and W + N - NW (Martucci 1990, as in JPEG-LS)."""
    low, high = min(w, n), max(w, n)
    return low if nw >= high else (high if nw <= low else w + n - nw)


@inner()
def _classed(v):
    """Class of a difference: sign and length."""
    a = abs(v)
    c = a if a < 4 else (3 + bits_of(a >> 1))
    return -c if v < 0 else c


@inner(
    f"int64({STATE}, {MODELS}, int64[::1], int64[::1], int32[:, ::1], int32[:, ::1], int64, int64, int64[:, ::1], "
    "int64, int64, int64)",
)  # fmt: skip
def _code_channels(state, data, prob, count, weight, ctx, base, planes, errors, p, stride, best, depth, mask, value):
    """Code the channels of a pixel by differences from a prediction; green first, red and blue relative to it."""
    top = (np.int64(1) << depth) - 1
    channels = len(planes)
    symbol = np.int64(0)
    known = np.int64(0)  # green at this pixel
    before = np.int64(0)  # the difference coded last
    for i in range(channels):
        c = i if channels == 1 or i == 3 else (1 if i == 0 else (0 if i == 1 else 2))
        v, g = planes[c], planes[1]
        relative = channels > 1 and (i == 1 or i == 2)
        w, n = np.int64(v[p - 1]), np.int64(v[p - stride])
        nw, ne = np.int64(v[p - stride - 1]), np.int64(v[p - stride + 1])
        ww, nn = np.int64(v[p - 2]), np.int64(v[p - 2 * stride])
        source = (best[0, 1] >> (16 * c)) & 0xFFFF if best[0, 0] >= 0 else w
        if relative:
            w, n, nw, ne = w - g[p - 1], n - g[p - stride], nw - g[p - stride - 1], ne - g[p - stride + 1]
            ww, nn = ww - g[p - 2], nn - g[p - 2 * stride]
        guess = _median(w, n, nw)
        e = errors[c]
        spread = np.int64(abs(e[p - 1]) + abs(e[p - stride]))
        spread += np.int64(abs(e[p - stride + 1]) + abs(e[p - stride - 1])) >> 1
        slope = abs(w - nw) + abs(n - nw) + abs(n - ne)
        shown = min(top, max(0, guess + known)) if relative else min(top, max(0, guess))
        near = source - shown
        b = _classed(before)
        base[0] = (bits_of(2 * slope) * 64 + bits_of(3 * spread)) * 4 + i
        base[1] = _mix(bits_of(spread) * 4 + i, _classed(w - guess) * 64 + _classed(n - guess))
        base[2] = _mix(bits_of(slope + spread) * 4 + i, b)
        base[3] = _mix(_mix(i, min(12, max(-12, (w - guess) >> 1))), min(12, max(-12, (ne - n) >> 1)))
        base[4] = _mix(_mix(4 + i, _classed(near) * 32 + min(7, best[0, 0] >> 9)), bits_of(spread))
        base[5] = _mix(_mix(8 + i, _classed(2 * w - ww - guess)), _classed(2 * n - nn - guess) * 64 + bits_of(spread))
        want = ((value >> (16 * c)) & 0xFFFF) - shown
        d = code_difference(state, data, prob, count, weight, ctx, base, i, mask, want)
        made = min(top, max(0, shown + d))
        e[p] = made - shown
        before = made - shown
        if i == 0:
            known = made
        symbol |= made << (16 * c)
    return symbol


@inner(
    f"int64({STATE}, {MODELS}, int64[::1], int64[::1], int64[::1], int32[:, ::1], int32[:, ::1], int64[:, ::1], "
    "int64[::1], int64, int64, int64, int64, int64, int64)",
)  # fmt: skip
def _code_missed(
    state, data, prob, count, weight, ctx, base, symbols, planes, errors, best, hashes, p, stride, colours, depth,
    mask, value,
):  # fmt: skip
    """Code a colour that is not that of the best source: another candidate, or an escape and the colour itself."""
    tried = best[0, 1] if best[0, 0] >= 0 else np.int64(-1)
    others = np.empty(_CANDIDATES, np.int64)
    n = _others(symbols, p, stride, best, tried, others)
    if colours == 2 and tried >= 0:
        return 1 - tried
    hit = np.int64(-1)
    for i in range(n):
        if others[i] == value:
            hit = i
    lately = np.int64(0)
    for k in range(4):
        o = 1 if k == 0 else (stride if k == 1 else (stride - 1 if k == 2 else stride + 1))
        lately = lately * 2 + (1 if errors[len(errors) - 1, p - o] != 0 else 0)
    ctx[0] = _slot(lately, 24, mask)
    ctx[1] = _slot(_mix(hashes[0], n), 25, mask)
    ctx[2] = _slot(_mix(hashes[1], 1), 26, mask)
    ctx[3] = _slot(n * 32 + max(np.int64(0), best[0, 0] >> 8), 27, mask)
    wset = _ESCAPE + min(7, n)
    escape = n == 0 or code(state, data, prob, count, weight, ctx, 4, wset, 1 if hit < 0 else 0) == 1
    if escape:
        errors[len(errors) - 1, p] = 1
        if colours > 0:
            w, above = symbols[p - 1], symbols[p - stride]
            i = _code_index(state, data, prob, count, weight, ctx, w, above, hashes, depth, mask, value)
            return min(i, colours - 1)
        return _code_channels(
            state, data, prob, count, weight, ctx, base, planes, errors, p, stride, best, depth, mask, value
        )
    for k in range(n - 1):
        wset = _OTHER + k
        if _code_other(
            state, data, prob, count, weight, ctx, k, others[k], tried, hashes, mask, wset, 1 if hit == k else 0
        ):
            return others[k]
    return others[n - 1]


@inner()
def _store(planes, p, symbol, colours):
    """The channels of a symbol, where they are needed."""
    if colours == 0:
        for c in range(len(planes)):
            planes[c, p] = (symbol >> (16 * c)) & 0xFFFF


@inner()
def _planes(size, background, channels):
    """The channels of the background, ``[channels, size]``; one empty plane for none."""
    planes = np.zeros((max(1, channels), size if channels else 1), np.int32)
    for c in range(channels):
        planes[c] = (background >> (16 * c)) & 0xFFFF
    return planes


@inner()
def _kept(vector, best, news, hit, y, x, width):
    """Keep a pixel's vector for its neighbours, and return its source, counted row by row, or -1.

    Trust grows with every right copy that the neighbours alone did not tell, and is lost with the first wrong one.
    """
    if best[0, 0] < 0:
        vector[:] = 0
        return -1
    vector[0], vector[1] = best[0, 2], best[0, 3]
    vector[2] = min(_TRUST, best[0, 4] + (1 if news else 0)) if hit else 0
    return (y - vector[0]) * width + x + vector[1]


@nb.njit(cache=True, nogil=True)
def code_strip(
    state, data, prob, count, weight, target, source, background, colours, channels, depth, copies, certain
):  # fmt: skip
    """Code a strip of a picture, or decode it.

    Args:
        target: ``[height, width]`` int64 symbols, read when encoding, written when decoding.
        source: ``[height, width]`` int32, written: the pixel that each one copies, counted row by row, or -1.
        background: the symbol beyond the borders.
        colours: size of the palette, or 0 if symbols are packed channels.
        channels: number of channels, of packed symbols.
        depth: bits of an index, or of a channel.
        copies: whether there are copies; without, only the neighbours' colours are candidates.
        certain: 1 if hits may be all but certain, 0 as in files of version 1.

    Returns:
        The number of rows that the bytes hold in whole; all when encoding.
    """
    whole = np.int64(-1)
    height, width = target.shape
    stride = width + 2 * SIDE
    writing = state[0] == 0
    mask = len(prob) - 1
    symbols = np.full((height + ABOVE) * stride, background, np.int64)
    packed = colours == 0
    planes = _planes(len(symbols), background, channels if packed else 0)
    errors = np.zeros((channels + 1 if packed else 1, len(symbols)), np.int32)
    tables = np.zeros((4 if copies else 0, 1 << min(20, max(12, bits_of(height * width)))), np.int32)
    vectors = np.zeros((2, width + 2, 3), np.int64)
    offsets = NEAR[:, 1] - NEAR[:, 0] * stride
    hashes = np.zeros(_HASHES, np.int64)
    best = np.zeros((2, 5), np.int64)
    ctx = np.zeros(6, np.int64)
    base = np.zeros(6, np.int64)
    runs = np.zeros(width + 2, np.int64)
    for y in range(height):
        runs[width] = runs[width + 1] = 0
        for x in range(width):
            p = (y + ABOVE) * stride + x + SIDE
            _surroundings(symbols, p, offsets, hashes)
            run = _runs(symbols, p, x, width, stride, runs)
            _sources(symbols, p, y, x, width, stride, vectors, tables, hashes, run, offsets, best)
            value = target[y, x] if writing else np.int64(0)
            w, n = symbols[p - 1], symbols[p - stride]
            hit = np.int64(0)
            if best[0, 0] >= 0:
                bit = 1 if value == best[0, 1] else 0
                hit = _code_hit(state, data, prob, count, weight, ctx, best, hashes, run, w, n, mask, certain, bit)
            if hit:
                symbol = best[0, 1]
            else:
                symbol = _code_missed(
                    state, data, prob, count, weight, ctx, base, symbols, planes, errors, best, hashes, p, stride,
                    colours, depth, mask, value,
                )  # fmt: skip
            symbols[p] = symbol
            runs[x] = runs[x] + 1 if symbol == n else 1
            runs[width + 1] = runs[width + 1] + 1 if symbol == w else 1
            _store(planes, p, symbol, colours)
            target[y, x] = symbol
            source[y, x] = _kept(vectors[1, x + 1], best, hit and (symbol != w or symbol != n), hit, y, x, width)
        vectors[0] = vectors[1]
        vectors[1, 0] = 0
        if not writing:
            if whole < 0 and state[POSITION] > state[END]:
                whole = y  # the coder looks ahead: if bytes are missing, rows from here on are made up
            if state[SPENT]:
                return whole
    return height

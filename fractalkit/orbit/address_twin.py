"""The plain engine of points by address: eager torch, any device; the compiled one is tested against it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fractalkit.orbit.address import MAX_WORD, Addresses, end_of, spread
from fractalkit.orbit.records import Orbit
from fractalkit.orbit.streams import MIX1, MIX2, STRIDE, chain_keys

_MASK, _LOW = 0xFFFFFFFF, 0x7FFFFFFF


def draw(
    code: Addresses, first: int, n: int, seed: int, of: int, tolerance: float, starts: np.ndarray | None, depth: int,
    colours: bool, device: torch.device,
) -> Orbit:  # fmt: skip
    """As :func:`fractalkit.orbit.by_address.draw`, all points side by side, a range at a time."""

    def put(x: np.ndarray) -> Tensor:
        return torch.as_tensor(x).to(device)

    keys = chain_keys(seed, first, n)
    key1, key2 = put((keys & _MASK).astype(np.int64)), put((keys >> np.uint64(32)).astype(np.int64))

    def bits(step: int) -> Tensor:
        return _hash(step, key1, key2) >> 1

    place = bits(0) << 31 | bits(1)
    if of:
        (q, f, b), i = spread(of), torch.arange(first, first + n, device=device)
        place = i * q + (i * f >> b) + (q >> 31) * bits(0) + ((q & _LOW) * bits(0) >> 31)
    edges, domains, steps = put(code.edges), put(code.domains), put(code.steps)
    size, end = torch.zeros_like(place), end_of(tolerance)
    low, high = torch.zeros_like(place), torch.full_like(place, len(code.norms))
    none = torch.zeros_like(place)
    if starts is not None:
        begun = put(starts)
        low, high = domains[begun].unbind(1)
        size = steps[begun, 4]
        place = edges[low] + _scaled(place, none, none, steps[begun, 2], steps[begun, 3])
    words: list[Tensor] = []
    live = torch.ones(n, dtype=torch.bool, device=device)
    for step in range(2, 2 + MAX_WORD):
        s = torch.clamp(torch.searchsorted(edges, place, right=True) - 1, low, high - 1)
        words.append(torch.where(live, s, -1))
        live = live & (size + steps[s, 5] > end)
        if not bool(live.any()):
            break
        size = size + steps[s, 4]
        low, high = domains[s].unbind(1)
        more, rest = bits(step), bits(step + MAX_WORD)
        place = edges[low] + _scaled(place - edges[s], more, rest, steps[s, 0], steps[s, 1])
    return _evaluated(code, torch.stack(words, dim=1), starts, depth, colours, device)


def _evaluated(
    code: Addresses, words: Tensor, starts: np.ndarray | None, depth: int, colours: bool, device: torch.device
) -> Orbit:
    """Points and colours of words ``[n, L]``; shorter words are filled up with -1."""
    if starts is not None:
        words = torch.cat([torch.as_tensor(starts).to(device)[:, None], words], dim=1)
    after = torch.as_tensor(code.after).to(device)
    for j in range(1, max(words.shape[1], 1)):
        words[:, j] = torch.where(words[:, j] < 0, after[words[:, j - 1]], words[:, j])

    def walk(maps: np.ndarray, ends: np.ndarray) -> Tensor:
        table, x = torch.as_tensor(maps).to(device), torch.as_tensor(ends).to(device)[words[:, -1]]
        for j in range(words.shape[1] - 2, -1, -1):
            m = table[words[:, j]]
            x = torch.einsum("nij,nj->ni", m[:, :, :-1], x) + m[:, :, -1]
        return x

    long = words
    while long.shape[1] < depth:
        long = torch.cat([long, after[long[:, -1:]]], dim=1)
    return Orbit(
        walk(code.maps, code.anchors),
        long[:, :depth].to(torch.int32).to(torch.uint16) if depth else None,
        walk(code.tints, code.shades).clamp(0, 1).float() if colours else None,
    )


def _scaled(place: Tensor, more: Tensor, rest: Tensor, m: Tensor, e: Tensor) -> Tensor:
    """(place + more / 2^31) m 2^(e - 31) rounded down; ``rest``: 31 bits after those of ``more``."""
    low = (place & _LOW) * m + (more * m >> 31)
    high, low = (place >> 31) * m + (low >> 31), low & _LOW
    up, few = high << e.clamp(0, 61), low >> (31 - e).clamp(0, 62)
    many = low << (e - 31).clamp(0, 31) | rest >> (62 - e).clamp(0, 62)
    return torch.where(e < 0, high >> (-e).clamp(0, 62), up | torch.where(e < 31, few, many))


def _hash(step: int | Tensor, key1: Tensor, key2: Tensor) -> Tensor:
    """32 bits of chains at a step, as :mod:`.streams` says; 32-bit arithmetic in int64."""
    u = (key1 + (step * STRIDE & _MASK)) & _MASK
    u = ((u ^ (u >> 16)) * MIX1) & _MASK
    u = ((u ^ (u >> 15)) + key2) & _MASK
    u = (u * MIX2) & _MASK
    return u ^ (u >> 15)

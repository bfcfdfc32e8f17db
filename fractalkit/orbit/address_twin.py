"""The plain engine of points by address: eager torch, any device; the compiled one is tested against it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fractalkit.orbit.address import BELOW_ONE, COARSE, MAX_WORD, QUANTUM, Addresses
from fractalkit.orbit.records import Orbit
from fractalkit.orbit.streams import MIX1, MIX2, STRIDE, chain_keys

_MASK = 0xFFFFFFFF


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
        return _hash(step, key1, key2)

    u = ((bits(0) << 21) + (bits(1) >> 11)).double() * QUANTUM
    if of:
        u = (torch.arange(first, first + n, dtype=torch.float64, device=device) + u) / of
    running, domains, norms, radii = put(code.running), put(code.domains), put(code.norms), put(code.radii)
    quantum, shrink = torch.full_like(u, QUANTUM), torch.ones_like(u)
    low, high = torch.zeros(n, dtype=torch.int64, device=device), torch.full((n,), len(norms), device=device)
    if starts is not None:
        low, high = domains[put(starts)].unbind(1)
        shrink = norms[put(starts)]
    words: list[Tensor] = []
    live = torch.ones(n, dtype=torch.bool, device=device)
    drawn = torch.full((n,), 2, device=device)
    s = torch.zeros_like(low)
    for _ in range(MAX_WORD):
        fill = quantum > COARSE
        u = torch.where(fill, (u + _hash(drawn, key1, key2).double() * 2.0**-32 * quantum).clamp_max(BELOW_ONE), u)
        quantum, drawn = torch.where(fill, QUANTUM, quantum), drawn + fill
        base, span = running[low], running[high] - running[low]
        at = base + u * span
        s = torch.where(live, torch.clamp(torch.searchsorted(running, at, right=True) - 1, low, high - 1), -1)
        share = running[s + 1] - running[s]
        u = ((at - running[s]) / share).clamp(0, BELOW_ONE)
        quantum = (quantum * span + QUANTUM) / share
        words.append(s)
        live = live & (shrink * radii[s] > tolerance)
        if not bool(live.any()):
            break
        shrink = shrink * norms[s]
        low, high = domains[s].unbind(1)
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


def _hash(step: int | Tensor, key1: Tensor, key2: Tensor) -> Tensor:
    """32 bits of chains at a step, as :mod:`.streams` says; 32-bit arithmetic in int64."""
    u = (key1 + (step * STRIDE & _MASK)) & _MASK
    u = ((u ^ (u >> 16)) * MIX1) & _MASK
    u = ((u ^ (u >> 15)) + key2) & _MASK
    u = (u * MIX2) & _MASK
    return u ^ (u >> 15)

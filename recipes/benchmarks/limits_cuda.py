"""Limit of a histogram on a CUDA device: atomic increments alone. Needs Triton."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

# mypy: disable-error-code="no-untyped-def"

BLOCK = 1024
PER_PROGRAM = 64  # blocks of places per program


@triton.jit
def _increments(places, counts, m, total, BLOCK: tl.constexpr, PER_PROGRAM: tl.constexpr):
    first = tl.program_id(0).to(tl.int64) * BLOCK * PER_PROGRAM
    for b in range(PER_PROGRAM):
        i = first + b * BLOCK + tl.arange(0, BLOCK)
        live = i < total
        place = tl.load(places + i % m, mask=live, other=0)
        tl.atomic_add(counts + place, tl.full((BLOCK,), 1, tl.int64), mask=live)


def atomic_increments(places: torch.Tensor, cells: int, n: int) -> torch.Tensor:
    """Count ``places [M]`` int32 repeatedly, n in total, into ``[cells]`` int64 by atomic additions."""
    counts = torch.zeros(cells, dtype=torch.int64, device=places.device)
    grid = (triton.cdiv(n, BLOCK * PER_PROGRAM),)
    _increments[grid](places, counts, len(places), n, BLOCK=BLOCK, PER_PROGRAM=PER_PROGRAM)
    return counts

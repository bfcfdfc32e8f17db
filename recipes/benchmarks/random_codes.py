"""Random codes for benchmarks of the inverse problem, on clouds and on pictures.

A number determines a case: the rule by which its code is drawn, the number of maps, and the code. The rules take turns,
and nothing about a code decides whether it is drawn. :func:`kinds` says what kinds of maps it has, so that results can
be told apart by kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.random import random_ifs

# rule of fractalkit.codes.random, least and greatest number of maps
RULES = {
    "singular-values": (2, 8),  # Anderson and Farrell, WACV 2022
    "variance": (2, 8),  # PC-FractalDB, Yamada et al., CVPR 2022
    "scales": (3, 6),  # of the kind that trains networks to invert codes
}
# the benchmarks' own cases; all other numbers are free for a judgement of what was tuned on these
PLANE, SPACE = range(40), range(20)


@dataclass(frozen=True)
class Case:
    """A random code with the number that determines it, its rule and the kinds of its maps."""

    number: int
    rule: str
    code: AffineIFS
    kinds: tuple[str, ...]

    @property
    def maps(self) -> int:
        """K."""
        return len(self.code)


def draw_case(number: int, dim: int = 2) -> Case:
    """The case of a number in 2 or 3 dimensions."""
    rule = list(RULES)[number % len(RULES)]
    low, high = RULES[rule]
    g = torch.Generator().manual_seed(1_000_003 * dim + number)
    k = int(torch.randint(low, high + 1, (), generator=g))
    code = random_ifs(k, dim, rule=rule, generator=g)
    return Case(number, rule, code, kinds(code))


def kinds(code: AffineIFS) -> tuple[str, ...]:
    """Kinds of maps that a code has, any of "flat", "degenerate", "reflected", "overlapping" and "unequal".

    Flat: a map with a probability of at least 0.02 is more than six times as long as wide. Degenerate: a map is more
    than 30 times as long as wide. Reflected: one has a negative determinant. Overlapping: the volumes of the images of
    any set sum to more than its own. Unequal: the greatest determinant is more than ten times the least.
    """
    sv = torch.linalg.svdvals(code.matrices)  # [K, D]
    ratio = sv[:, 0] / sv[:, -1].clamp_min(1e-12)
    det = torch.linalg.det(code.matrices)
    size = det.abs()
    found = {
        "flat": bool((ratio[code.probabilities >= 0.02] > 6).any()),
        "degenerate": bool((ratio > 30).any()),
        "reflected": bool((det < 0).any()),
        "overlapping": float(size.sum()) > 1,
        "unequal": float(size.max()) > 10 * float(size.min()),
    }
    return tuple(name for name, holds in found.items() if holds)

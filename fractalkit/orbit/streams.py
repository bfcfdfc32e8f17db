"""Parts shared by the three engines: their random numbers and the choice of maps.

Chain c of :data:`CHAINS` makes points c, c + CHAINS, c + 2 CHAINS, … of a sample, so that a longer sample begins with a
shorter one, neighbours in a sample come from different chains, and samples of up to CHAINS points are independent
draws. Step t of chain c draws the 32 bits

    u = mix(t φ + k1_c, k2_c),    φ = 2^32 / golden ratio,

a hash of the counter with a key of 64 bits (k1, k2) a chain. Walker's alias method turns u into a map: all integers,
so that engines agree on every address.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import UsageError

CHAINS = 1 << 16
MOST = CHAINS * ((1 << 32) - 1024)  # points of one seed: after 2^32 steps the numbers of a chain come again
STRIDE = 0x9E3779B9  # φ above
MIX1, MIX2 = 0x21F0AAAD, 0xD35A2D97  # odd multipliers with good avalanche in 32 bits
_MIXING = 1e-6  # what is left of the start's influence after the burn-in, on average
_BURN = (64, 512)  # at least as deep as an address may be


@dataclass(frozen=True)
class Plan:
    """Everything an engine needs, as plain arrays: tables of maps, the alias table, keys and the chains' start."""

    dim: int
    maps: np.ndarray  # [K, D, D + 1] float64, linear part beside offset
    threshold: np.ndarray  # [2^m] uint32
    pair: np.ndarray  # [2^m, 2] int32, the two maps of each column of the alias table
    key1: np.ndarray  # [CHAINS] uint32
    key2: np.ndarray  # [CHAINS] uint32
    start: np.ndarray  # [CHAINS, D] float64, points of the attractor
    burn: int  # steps before the first point


def plan(ifs: AffineIFS, seed: int | torch.Generator, burn_in: int | None = None) -> Plan:
    """Prepare a chaos game.

    Chains start at fixed points of maps, which lie on the attractor: no burn-in is needed to reach it, only to forget
    which map it was. The default burn-in lets that memory fade to 1e-6, by the average contraction exp(Σ p log ||A||),
    within 64 to 512 steps.

    Raises:
        DataError: a map does not contract.
        UsageError: a seed outside 64 bits, or a negative burn-in.
    """
    ifs.check_contractive()
    seed = seed_of(seed)
    a = ifs.matrices.detach().cpu().double().numpy()
    t = ifs.offsets.detach().cpu().double().numpy()
    p = ifs.probabilities.detach().cpu().double().numpy()
    if burn_in is None:
        norms = np.maximum(ifs.norms().numpy(), 1e-12)
        rate = math.exp(float(p @ np.log(norms)))
        burn_in = min(max(math.ceil(math.log(_MIXING) / math.log(rate)), _BURN[0]), _BURN[1])
    if burn_in < 0:
        raise UsageError(f"burn_in: expected 0 or more, got {burn_in}")
    threshold, pair = alias_table(p)
    key = chain_keys(seed, 0, CHAINS)
    fixed = np.linalg.solve(np.eye(ifs.dim) - a, t[..., None])[..., 0]  # [K, D]
    return Plan(
        ifs.dim,
        np.concatenate([a, t[..., None]], axis=2),
        threshold,
        pair,
        (key & np.uint64(0xFFFFFFFF)).astype(np.uint32),
        (key >> np.uint64(32)).astype(np.uint32),
        fixed[np.flatnonzero(p)[np.arange(CHAINS) % np.count_nonzero(p)]],
        burn_in,
    )


def seed_of(seed: int | torch.Generator) -> int:
    """A seed of 64 bits: the number itself, or one drawn from a generator; UsageError: out of range."""
    if isinstance(seed, torch.Generator):
        seed = int(torch.randint(0, 2**62, (), generator=seed, device=seed.device))
    if not -(2**63) <= seed < 2**64:
        raise UsageError(f"seed: expected a 64-bit integer, got {seed}")
    return seed


def finest(device: torch.device) -> torch.dtype:
    """float64 on devices that are known to have it; Metal has none."""
    return torch.float64 if device.type in ("cpu", "cuda") else torch.float32


def chain_keys(seed: int, first: int, n: int) -> np.ndarray:
    """Keys of 64 bits, k1 the lower half and k2 the upper, of chains first … first + n - 1: ``[n]`` uint64."""
    with np.errstate(over="ignore"):
        return _splitmix(np.uint64(counter(seed, first)) + np.arange(n, dtype=np.uint64))


def counter(seed: int, first: int) -> int:
    """The number of 64 bits that the key of chain ``first`` is made of; the next chain has the next one."""
    return (seed * 0xD1342543DE82EF95 + first) % 2**64


def _splitmix(x: np.ndarray) -> np.ndarray:
    """Splitmix64 (Steele, Lea and Flood, 2014): 64 well-mixed bits from a counter; wraps by intent."""
    with np.errstate(over="ignore"):
        x = x * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def alias_table(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Walker's alias table (1977, built as Vose, 1991), padded with empty columns to 2^m of them.

    The top m bits of u name the column j; the rest, shifted up, is compared with threshold[j]: below it the column's
    own map is taken, else alias[j]. Padding makes this two shifts, and a column that is never taken has threshold 0.
    A map of weight zero is never drawn.

    Returns:
        threshold ``[2^m]`` uint32 and the pair of maps of each column, ``[2^m, 2]`` int32.
    """
    size = max(2, 1 << (len(p) - 1).bit_length())
    scaled = np.zeros(size)
    scaled[: len(p)] = p * size
    threshold, pair = np.zeros(size, np.uint32), np.repeat(np.arange(size, dtype=np.int32)[:, None], 2, axis=1)
    small = [i for i in range(size) if scaled[i] < 1]
    large = [i for i in range(size) if scaled[i] >= 1]
    while small and large:
        s, g = small.pop(), large.pop()
        threshold[s] = min(round(scaled[s] * 2**32), 0xFFFFFFFF)
        pair[s, 1] = g
        scaled[g] -= 1 - scaled[s]
        (small if scaled[g] < 1 else large).append(g)
    heaviest = int(np.argmax(p))
    for i in small:  # left over by rounding alone: full columns, or, where a column is padding, never to be taken
        pair[i] = i if i < len(p) and p[i] > 0 else heaviest
    return threshold, np.where(pair < len(p), pair, heaviest).astype(np.int32)

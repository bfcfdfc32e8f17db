"""The range coder: round trips, and file sizes close to the entropy."""

import hashlib

import numba as nb
import numpy as np
import pytest

from fractalkit.codec import entropy


@nb.njit
def run(state, data, prob, count, weight, bits, out):
    context = np.zeros(6, np.int64)
    before = 0
    for i in range(len(bits)):
        context[0], context[1] = before, 4 + (i & 3)
        out[i] = entropy.code(state, data, prob, count, weight, context, 2, 0, bits[i])
        if i % 50 == 0:
            entropy.raw(state, data, 7, i % 128)
        before = (before * 2 + out[i]) & 3


def both_ways(bits: np.ndarray) -> tuple[np.ndarray, int, np.ndarray]:
    state, data = entropy.coder(entropy.ENCODE, np.zeros(len(bits) // 4 + 100, np.uint8))
    run(state, data, *entropy.models(8, 1), bits, np.empty_like(bits))
    n = entropy.finish(state, data)
    state, _ = entropy.coder(entropy.DECODE, data[:n].copy())
    out = np.empty_like(bits)
    run(state, data[:n].copy(), *entropy.models(8, 1), np.zeros_like(bits), out)
    return out, n, state


@pytest.mark.parametrize("p", [0.5, 0.9, 0.02, 0.001])
def test_bits_come_back_in_about_their_entropy(p):
    bits = (np.random.default_rng(1).random(40_000) < p).astype(np.int64)
    out, n, state = both_ways(bits)
    assert (out == bits).all() and not state[entropy.SPENT]
    ideal = -(p * np.log2(p) + (1 - p) * np.log2(1 - p)) * len(bits) / 8 + 800 * 7 / 8
    assert ideal * 0.97 - 20 < n < ideal * 1.04 + 30


@pytest.mark.parametrize("n", range(0, 40, 3))
def test_short_messages(n):
    bits = np.random.default_rng(n).integers(0, 2, n)
    out, _, state = both_ways(bits)
    assert (out == bits).all() and not state[entropy.SPENT]


def test_contexts_learn_a_pattern():
    bits = np.tile([0, 0, 1, 1], 5000).astype(np.int64)
    _, n, _ = both_ways(bits)
    assert n < 800 * 7 / 8 + 200  # beside what the raw bits take


def test_past_the_end_it_says_so_and_goes_on():
    state, data = entropy.coder(entropy.DECODE, np.array([7], np.uint8))
    bits = np.zeros(5000, np.int64)
    run(state, data, *entropy.models(8, 1), bits, np.empty_like(bits))
    assert state[entropy.SPENT]


def test_too_little_room_is_told():
    bits = np.random.default_rng(0).integers(0, 2, 4000)
    state, data = entropy.coder(entropy.ENCODE, np.zeros(20, np.uint8))
    run(state, data, *entropy.models(8, 1), bits, np.empty_like(bits))
    assert entropy.finish(state, data) == -1


def test_the_tables_are_those_that_files_were_written_with():
    tables = np.concatenate([entropy._SQUASH, entropy._STRETCH, entropy._RATE])
    assert hashlib.sha256(tables.astype("<i8").tobytes()).hexdigest()[:16] == "cd3204b848e70423"

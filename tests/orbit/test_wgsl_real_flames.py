"""Flames that people drew: the GPU's pictures differ from the CPU's as those of two seeds do."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fractalkit.codes.flame import read_flames
from fractalkit.orbit.flame import accumulate
from fractalkit.render.flame import resized
from tests.orbit.gpu import device

OURS = Path(__file__).resolve().parents[2] / "gallery" / "codes"
SIDE, COARSE = 96, 4  # pixels, and those of a cell
REAL = (
    "flam3/test.flam3", *(f"jwildfire/TINA{k:04d}.flame" for k in range(1, 9)),
    "fractorium/b33rheart_examples.flame", "fractorium/b33rheart_sierpinski.flame", "fractorium/c-91_examples.flame",
    "fractorium/golubaja_rippingfrominside_complexcode.flame", "fractorium/mfeemster_basicmemory.flame",
    "fractorium/pillemaster_hexagonal_tilings.flame", "fractorium/plangkye_examples.flame",
    "fractorium/tatasz_examples.flame", "fractorium/tatasz_substitution.flame",
    "fractorium/triptychaos_examples.flame", "fractorium/tyrantwave_base_forms.flame",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _there_is_a_device():
    device()


def apart(path: Path, samples: int) -> tuple[float, float]:
    """Differences of shares of samples and colours in coarse cells: of the GPU from the CPU, and of the CPU's seeds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flame = read_flames(path)[0].expanded()
    flame = replace(resized(flame, (SIDE, SIDE)), oversample=1)

    def shares(seed: int, **how) -> np.ndarray:
        h = accumulate(flame, samples, seed=seed, **how).astype(np.float64)
        n = SIDE // COARSE
        return h.reshape(n, COARSE, n, COARSE, 4).sum((1, 3)) / max(h[..., 3].sum(), 1e-9)

    one, two = (shares(s, threads=1, compiled=False) for s in (1, 2))
    return float(np.abs(shares(3, device="gpu") - one).sum()), float(np.abs(two - one).sum())


@pytest.mark.parametrize("name", ["anemone", "reef", "lace"])
def test_flames_of_the_gallery(name):
    gpu, noise = apart(OURS / f"{name}.flame", 150_000)
    assert 0 < gpu < 1.2 * noise


@pytest.mark.slow
def test_twenty_flames_of_other_programs(shared_data):
    found = {name: apart(shared_data / "flames" / name, 400_000) for name in REAL}
    ratios = {name: gpu / noise for name, (gpu, noise) in found.items()}
    assert len(ratios) == 20 and max(ratios.values()) < 1.3, ratios
    assert np.median(list(ratios.values())) < 1.1

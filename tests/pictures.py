"""Synthetic test pictures: waves, edges, texture and noise."""

import numpy as np


def scene(height: int, width: int, channels: int = 3, *, deep: bool = False, seed: int = 0) -> np.ndarray:
    """``[H, W]`` or ``[H, W, channels]``, uint8 or uint16."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((height, width))
    base = 118 + 55 * np.sin(x / 9 + 0.3 * np.sin(y / 5)) * np.cos(y / 13) + 24 * ((x // 11 + y // 17) % 2)
    base = np.where(
        (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(height, width) / 4) ** 2, 215 - 0.4 * base, base
    )
    layers = [base, 0.7 * np.roll(base, 5, 0) + 30, 0.5 * np.roll(base, 7, 1) + 60, 255.0 * (x > width / 3)][:channels]
    a = np.stack(layers, -1) + rng.normal(0, 2.5, (height, width, channels)) * (np.arange(channels) < 3)
    a = a.clip(0, 255)
    if channels == 1:
        a = a[..., 0]
    return (a * 257).astype(np.uint16) if deep else a.astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Return the PSNR in dB, relative to the largest value of the type."""
    top = float(np.iinfo(a.dtype).max)
    return float(10 * np.log10(top**2 / max(1e-9, np.mean((a.astype(np.float64) - b) ** 2))))

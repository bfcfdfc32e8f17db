"""The filter of decoded planes, its compiled loops against plain ones, and files from before there was one."""

import base64

import numpy as np
import pytest

from fractalkit import fk
from fractalkit.codec.quadtree_file import pack, unpack
from fractalkit.codes.quadtree import Settings
from fractalkit.errors import DataError
from fractalkit.fit.quadtree import encode
from fractalkit.maps import quadtree_filter as filters
from fractalkit.maps import quadtree_filter_cpu as cpu
from fractalkit.maps.quadtree_picture import decode, plane_at
from tests.maps.test_quadtree import plane
from tests.pictures import psnr, scene

OLD = {
    1: (
        "k48%h0RbQ=0SFH%1P=fM0|E^Q1q}!V00aO73-8kAJ23BQ5IFz<0001Z*2Txxj3HnEvX_&W7t#dFc3p@8Y`A1R&trZNgpH`|KK7|F*bix}>6?uk"
        "VbcO$Vpq9D{Ma~ldlh$?Hva",
        (32, 40), 159505, [131, 131, 131, 131, 121, 119, 116, 116, 96, 96, 96, 96],
    ),
    2: (
        "k48%h0s$~M0SFIi1Q!AZ0s{>Q1q}!V00aO74>UyVVpCdSDTM$40001pRApsHkMy+WFDU#=Kcn#rY=RP~-oQfjetaF~Xw8zV0<}d*Kk?*5-"
        "?&*^R16Qg0TPtPLar83lVkjemFG-sM{XYr3d=RGUtN>hcvcY7WlLy~NiGn{<kxCZB1E8a6rAs>d;",
        (48, 56), 341142, [99, 76, 75, 103, 105, 79, 84, 120, 164, 205, 199, 155],
    ),
}  # fmt: skip


@pytest.mark.parametrize("version", OLD)
def test_old_files_decode_to_the_same_pictures(version):
    text, shape, total, first = OLD[version]
    data = base64.b85decode(text)
    made = fk.decode(fk.load(data))
    assert data[4] == version and made.shape == shape
    assert np.abs(made.reshape(-1)[: len(first)].astype(int) - first).max() <= 1  # another machine may round otherwise
    assert abs(int(made.sum(dtype=int)) - total) < 0.02 * made.size
    assert fk.load(data).to_bytes() == data


def plainly(x: np.ndarray, step: float) -> np.ndarray:
    """The filter of luma, sample by sample."""
    q = filters.in_units(x, step).astype(np.int64)
    w = filters.weights(False).astype(np.int64)
    height, width = x.shape
    out = x.astype(np.float64)

    def gradients(y: int, z: int) -> np.ndarray:
        # squares of 2 x 2 beyond the border are those inside it
        y, z = (v + 2 if v < 0 else v - 2 if v >= -(-n // 4) * 4 else v for v, n in ((y, height), (z, width)))
        y, z = min(y, height - 1) + cpu.PAD, min(z, width - 1) + cpu.PAD
        ways = ((0, 1), (1, 0), (1, 1), (1, -1))
        return np.array([min(4096, abs(2 * q[y, z] - q[y - a, z - b] - q[y + a, z + b])) for a, b in ways])

    for cy in range(-(-height // 4)):
        for cx in range(-(-width // 4)):
            around = np.indices((8, 8)).reshape(2, -1).T + np.array([4 * cy - 2, 4 * cx - 2])
            h, v, a, b = sum(gradients(y, z) for y, z in around)
            activity = int((h + v >= cpu.LEVELS).sum())
            straight, slanted = max(h, v) / (min(h, v) + 1e-9), max(a, b) / (min(a, b) + 1e-9)
            ratio, way = (slanted, 2 + (a <= b)) if slanted > straight else (straight, 0 + (h <= v))
            kind = 9 * activity + (0 if ratio <= 1.5 else 2 * way + (2 if ratio > 3 else 1))
            for y in range(4 * cy, min(4 * cy + 4, height)):
                for z in range(4 * cx, min(4 * cx + 4, width)):
                    i, j = y + cpu.PAD, z + cpu.PAD
                    for (dy, dx), (far, near) in zip(filters.LUMA.tolist(), w[kind].tolist(), strict=True):
                        for s in (1, -1):
                            d = int(q[i + s * dy, j + s * dx] - q[i, j])
                            moved = far * max(-cpu.FAR, min(cpu.FAR, d)) + near * max(-cpu.NEAR, min(cpu.NEAR, d))
                            out[y, z] += moved * step / cpu.UNITS / filters.SCALE
    return out


def test_the_kernel_is_the_twin():
    rng = np.random.default_rng(0)
    y, z = np.mgrid[0:22, 0:31]
    x = (100 + 60 * np.sin(z / 3 + y / 9) + rng.normal(0, 9, (22, 31)) * (z > 16)).astype(np.float32)
    got = x.copy()
    filters.refine(got, 10.0, False)
    assert np.abs(got - plainly(x, 10.0)).max() < 1e-3 and np.abs(got - x).max() > 0.5


def test_what_is_flat_stays_and_large_values_do_not_overflow():
    for value in (0.0, 65535.0):
        x = np.full((9, 13), value, np.float32)
        filters.refine(x, 1 / 16, True)
        assert (x == value).all()
    x = np.where(np.indices((16, 16)).sum(0) % 2, 65535, 0).astype(np.float32)
    before = x.copy()
    filters.refine(x, 1 / 16, False)
    assert np.abs(x - before).max() < 2 * 24 * cpu.FAR / cpu.UNITS / 16


@pytest.mark.parametrize("kind", ["luma", "chroma"])
def test_a_window_is_a_part_of_the_whole(kind):
    p = plane(5)
    for deblock in (0, 4):
        whole = plane_at(p, deblock=deblock, filtered=kind)
        assert np.abs(whole - plane_at(p, deblock=deblock)).max() > 0.1
        for y0, x0, y1, x1 in ((20, 30, 37, 41), (0, 0, 9, 3), (50, 60, 61, 64), (33, 1, 34, 2)):
            part = plane_at(p, deblock=deblock, box=(y0, x0, y1, x1), filtered=kind)
            assert np.abs(part - whole[y0:y1, x0:x1]).max() < 2e-3


def test_it_is_used_where_it_helps_and_told_in_the_file():
    rng = np.random.default_rng(2)
    a = (scene(96, 128).astype(float) + rng.normal(0, 6, (96, 128, 1))).clip(0, 255).astype(np.uint8)
    code = encode(a, quality=40, effort=1)
    data = code.to_bytes()
    assert code.settings.filtered[0] and data[4] == 3
    again = fk.load(data)
    assert again.settings == code.settings
    assert psnr(a, decode(again)) > psnr(a, decode(again, deblock=False))
    plain = encode(a, quality=40, effort=1, deblock=False)
    assert plain.settings.filtered == (False, False) and plain.to_bytes()[4] == 1


def test_settings_come_back_and_others_are_refused():
    for filtered in ((False, True), (True, False), (True, True)):
        s = Settings(500, filtered=filtered)
        assert unpack(pack(s), "x.fk") == s
    data = bytearray(pack(Settings(500)))
    data[3] = 16  # strength of deblocking
    with pytest.raises(DataError, match=r"^x\.fk: settings out of range"):
        unpack(bytes(data), "x.fk")

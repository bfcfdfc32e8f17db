"""The codec of clouds: round trips, moments, prefixes, and whatever bytes."""

import random

import numpy as np
import pytest
import torch

from fractalkit import fk
from fractalkit.codec import cloud_file as file
from fractalkit.codec import cloud_geometry as geometry
from fractalkit.codec import cloud_syntax as syntax
from fractalkit.codec.cloud_file import CloudCode, CloudSettings
from fractalkit.errors import DataError, FractalKitError, UsageError
from fractalkit.fit.cloud_codec import encode_cloud, measure, plain_measure
from fractalkit.fit.metrics import compare_clouds
from fractalkit.maps.convert import to_map
from recipes.benchmarks.fuzz_seeds import repair_fk


def wave(n: int = 6000, seed: int = 0) -> np.ndarray:
    """A curved sheet ``[N, 3]``."""
    u = np.random.default_rng(seed).random((n, 2))
    return np.column_stack([u, 0.2 * np.sin(6 * u[:, 0]) * np.cos(4 * u[:, 1])])


def points_of(code: CloudCode, n: int = 6000) -> np.ndarray:
    """Points of the attractor, by the operator itself."""
    step = to_map(code.collage, points=n)
    x = step.start()
    for _ in range(60):
        x = step.step(x)
    return x.numpy()


CLOUDS = {
    "sheet": lambda: wave(),
    "far and small": lambda: wave(2000) * 1e-4 + [4e5, -5e6, 30],
    "plane": lambda: wave(2000)[:, :2],
    "flat in space": lambda: wave(2000) * [1, 1, 0] + [0, 0, 7],
    "line": lambda: np.linspace(0, 1, 500)[:, None] * [[1.0, 2.0, -1.0]],
    "blob": lambda: np.random.default_rng(0).normal(size=(2000, 3)),
    "two far apart": lambda: np.vstack([wave(1000), wave(1000) + 50]),
    "outliers": lambda: np.vstack([wave(2000), wave(7) * 1e6]),
    "twenty": lambda: wave(20),
    "three": lambda: wave(3),
    "one": lambda: wave(1),
    "one many times": lambda: np.ones((50, 3)),
    "duplicates": lambda: np.repeat(wave(100), 20, axis=0),
    "mixed scales": lambda: np.vstack([wave(1000) * 10.0**-k for k in range(6)]),
    "huge": lambda: wave(500) * 1e100,
    "tiny": lambda: wave(500) * 1e-100,
}


@pytest.mark.parametrize("name", CLOUDS)
def test_what_is_written_is_read(name):
    cloud = CLOUDS[name]()
    code = encode_cloud(cloud, quality=20)
    data = code.to_bytes()
    again = fk.load(data)
    assert isinstance(again, CloudCode) and again.to_bytes() == data and again.settings == code.settings
    assert again.settings.points == len(cloud) and again.collage.dim == cloud.shape[1]
    assert len(again.collage) == again.settings.leaves
    again.collage.check_contractive()
    # no coded number lies further from the cloud than its size
    low, high = cloud.min(axis=0), cloud.max(axis=0)
    size = np.linalg.norm(high - low) + 1e-5 * np.abs(cloud).max() + 1e-300
    centre, _ = again.collage.bounds()
    assert ((centre.numpy() > low - 0.5 * size) & (centre.numpy() < high + 0.5 * size)).all()


def test_the_fixed_point_has_the_moments_that_were_coded():
    code = encode_cloud(wave(), quality=30)
    tree = code.tree
    s = code.settings
    sigma, axes = tree.axes()
    domain = file.chosen(tree, sigma, s.ranks)
    a, b = file.maps_of(tree, sigma, axes, domain, file.step_of(s.steps[3]) / 4)
    mean, cov = tree.mean[tree.order], tree.cov[tree.order]
    exact = np.abs(a @ tree.cov[domain] @ a.transpose(0, 2, 1) - cov).max(axis=(1, 2)) < 1e-9
    assert np.allclose(np.einsum("rij,rj->ri", a, tree.mean[domain]) + b, mean, atol=1e-12)
    assert exact.mean() > 0.7  # but where the map would not contract


def test_the_cloud_comes_back():
    cloud = wave(20_000)
    errors, sizes = [], []
    for quality in (10, 30, 50):
        code = encode_cloud(cloud, quality=quality)
        errors.append(compare_clouds(points_of(code, 20_000), cloud).chamfer)
        sizes.append(len(code.to_bytes()))
    floor = compare_clouds(wave(20_000, 1), cloud).chamfer
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1.3 * floor and errors[0] < 6 * floor
    assert sizes[0] < sizes[1] < sizes[2] < 3500


def test_lines_and_single_points_come_back():
    turn = np.random.default_rng(3).random(3000) * 10
    for line in (turn[:, None] * [[1.0, 2.0, 3.0]], np.column_stack([np.cos(turn), np.sin(turn), turn / 5])):
        for size in (300, 600):
            assert compare_clouds(points_of(encode_cloud(line, bytes=size), 3000), line).chamfer < 0.002
    few = np.random.default_rng(4).normal(size=(20, 3))
    found = np.unique(points_of(encode_cloud(few), 2000), axis=0)
    np.testing.assert_allclose(found[np.lexsort(found.T)], few[np.lexsort(few.T)], atol=1e-3)


@pytest.mark.parametrize("size", [300, 1000, 2500])
def test_bytes_are_met_from_below(size):
    code = encode_cloud(wave(12_000), bytes=size)
    assert 0.97 * size <= len(code.to_bytes()) <= size


def test_too_few_bytes_are_refused():
    with pytest.raises(UsageError, match="at least"):
        encode_cloud(wave(100), bytes=10)


def test_quality_is_monotone():
    cloud = wave(3000)
    sizes = [len(encode_cloud(cloud, quality=q).to_bytes()) for q in (1, 5, 12, 20, 27, 35)]
    assert sizes == sorted(sizes)


def test_the_seed_determines_the_file():
    cloud = wave(2000)
    a, b = (encode_cloud(cloud, quality=20, seed=3).to_bytes() for _ in range(2))
    assert a == b


@pytest.mark.parametrize("colour", ["gradient", "constant"])
def test_colours_come_back(colour):
    cloud = wave(8000)
    rgb = (
        np.column_stack([cloud[:, 0], cloud[:, 1], 1 - cloud[:, 0]])
        if colour == "gradient"
        else np.full((8000, 3), 0.4)
    )
    code = fk.load(encode_cloud(cloud, colours=rgb, quality=40).to_bytes())
    tree = code.tree
    own = file.to_rgb(tree.colour[tree.order])
    place = tree.mean[tree.order] + code.settings.centre / code.settings.scale
    place = place * code.settings.scale
    want = (
        np.column_stack([place[:, 0], place[:, 1], 1 - place[:, 0]])
        if colour == "gradient"
        else np.full(own.shape, 0.4)
    )
    assert np.abs(own - want).mean() < 0.03
    assert code.collage.coloured and len(code.segments["colours"][0]) < (60 if colour == "constant" else 2000)


def test_a_prefix_is_a_coarser_cloud():
    cloud = wave(12_000)
    code = encode_cloud(cloud, quality=40)
    data = code.to_bytes()
    header = len(data) - sum(len(d) for d, _ in code.segments.values())
    errors, leaves = [], []
    for share in (0.02, 0.1, 0.3, 0.6, 1.0):
        part = fk.load(data[: header + int(share * (len(data) - header))], partial=True)
        errors.append(compare_clouds(points_of(part), cloud).chamfer)
        leaves.append(len(part.tree.order))
    assert leaves == sorted(leaves) and leaves[0] < 20
    assert errors[0] > 2 * errors[2] and errors[2] > errors[4] and errors[3] > errors[4]
    with pytest.raises(DataError, match="partial"):
        fk.load(data[:-1])


def test_mutations_are_refused_or_read():
    """Any damage, with checksums repaired so that it reaches the syntax."""
    u = wave(600)
    seeds = [
        encode_cloud(u, quality=10).to_bytes(),
        encode_cloud(u, quality=5, colours=np.abs(u).clip(0, 1)).to_bytes(),
        encode_cloud(u[:, :2], quality=5).to_bytes(),
    ]
    rng = random.Random(0)
    read = 0
    for i in range(150):
        data = bytearray(seeds[i % 3])
        for _ in range(rng.choice((1, 2, 8))):
            data[rng.randrange(6, len(data))] = rng.randrange(256)
        fixed = repair_fk(bytes(data))
        if fixed is None:
            continue
        try:
            code = fk.load(fixed, partial=i % 2 == 0)
            assert isinstance(code, CloudCode)
            collage = code.collage.check_contractive()
        except FractalKitError as error:
            assert "\n" not in str(error) and len(str(error)) < 300
            continue
        read += 1
        assert collage.matrices.isfinite().all() and collage.offsets.isfinite().all()
        assert len(collage) <= code.settings.leaves
    assert read > 30


@pytest.mark.parametrize("data", [b"", b"\0" * 500, b"\xff" * 500, bytes(range(256)) * 8])
def test_any_bytes_are_a_tree_of_bounded_size(data):
    s = CloudSettings(3, True, 0, (0, 0, 0), 1000, 500, (40, 48, 40, 48), 32, 9)
    code = CloudCode(s, dict.fromkeys(file.SEGMENTS, (data, True)))
    assert 1 <= len(code.tree.order) <= 500
    assert code.collage.matrices.isfinite().all()
    assert torch.linalg.matrix_norm(code.collage.matrices, ord=2).max() <= file.CAP + 1e-9


@pytest.mark.parametrize(
    "change", [{"dim": 1}, {"points": 0}, {"exponent": 2000}, {"base": 60}, {"ranks": 0}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(change):
    from dataclasses import replace

    s = CloudSettings(3, False, 0, (0, 0, 0), 10, 5, (40, 48, 40, 48), 32, 3)
    assert CloudSettings.unpack(s.pack(), "x") == s
    with pytest.raises(DataError, match=r"^x: settings"):
        CloudSettings.unpack(replace(s, **change).pack(), "x")
    for n in range(len(s.pack())):
        with pytest.raises(DataError, match=r"^x: settings"):
            CloudSettings.unpack(s.pack()[:n], "x")


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.zeros((5, 4)), np.zeros(5), np.full((3, 3), np.nan)])
def test_what_is_no_cloud_is_refused(bad):
    with pytest.raises(DataError, match="cloud"):
        encode_cloud(bad)


@pytest.mark.parametrize("options", [{"quality": 0}, {"quality": 101}, {"effort": 10}, {"quality": 5, "bytes": 900}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError):
        encode_cloud(wave(10), **options)


def test_a_cloud_is_no_picture():
    import io

    from PIL import Image, UnidentifiedImageError

    import fractalkit.pil_plugin  # noqa: F401

    code = encode_cloud(wave(100), quality=5)
    with pytest.raises(UsageError, match="cloud"):
        fk.decode(code)
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(code.to_bytes()))


# ---- geometry


@pytest.mark.parametrize("seed", range(4))
def test_principal_axes_are_those_of_a_library(seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(3, 3)) * [1, 10.0**-seed, 0.1]
    c = a @ a.T
    values, vectors = np.zeros(3), np.zeros((3, 3))
    geometry.principal(c.copy(), values, vectors)
    assert np.allclose(values, np.linalg.eigvalsh(c)[::-1]) and (np.diff(values) <= 0).all()
    assert np.allclose(vectors @ np.diag(values) @ vectors.T, c) and np.allclose(vectors.T @ vectors, np.eye(3))
    assert (vectors[np.abs(vectors).argmax(axis=0), range(3)] > 0).all()


def test_neighbours_are_the_nearest():
    tree = encode_cloud(wave(4000), quality=30).tree
    m = len(tree.live)
    low, high = np.zeros((m, 3)), np.zeros((m, 3))
    geometry.boxes(tree.kids, tree.live, m, tree.mean, low, high)
    found, far, stack = np.zeros(10, np.int64), np.zeros(10), np.zeros(128, np.int64)
    leaves = tree.mean[tree.order]
    for i in tree.order[::7]:
        n = geometry.neighbours(tree.kids, tree.live, tree.mean, low, high, tree.mean[i], found, far, stack)
        want = np.sort(((leaves - tree.mean[i]) ** 2).sum(axis=1))[:10]
        assert n == 10 and np.allclose(far, want) and found[0] == i


def test_halving_a_uniform_box():
    guess, out = np.diag([4.0, 1.0, 0.25]) / 12, np.zeros((3, 3))
    for share in (0.5, 0.25, 0.9):
        geometry.halve(guess, np.array([1.0, 0.0, 0.0]), share, out)  # the parts' means are half the length apart
        assert np.allclose(out, np.diag([4.0 * share**2, 1.0, 0.25]) / 12)


def test_moments_of_nodes_are_those_of_their_leaves():
    tree = encode_cloud(wave(2000), quality=20).tree
    tree.axes()
    w, leaf = tree.mass()[tree.order], tree.order
    mean = w @ tree.mean[leaf]
    spread = tree.mean[leaf] - mean
    cov = np.einsum("r,rij->ij", w, tree.cov[leaf] + spread[:, :, None] * spread[:, None])
    assert np.allclose(tree.mean[0], mean) and np.allclose(tree.cov[0], cov) and w.sum() == pytest.approx(1)
    assert (tree.span[0] == [0, len(leaf)]).all()
    assert (np.diff(tree.span[leaf, 0]) == 1).all()


def test_numbers_of_any_size_come_back():
    from fractalkit.codec.entropy import DECODE, ENCODE, coder, finish, models

    values = [0, 1, -1, 2, 3, -7, 8, 100, -1000, 65_535, -(1 << 20), 1 << 20, 0, 0, 5]
    out = None
    for mode in (ENCODE, DECODE):
        state, data = coder(mode, np.zeros(1000, np.uint8) if out is None else out)
        tables = models(3 * 64, syntax.SETS)
        got = [syntax.number(state, data, *tables, 0, 64, 128, 0, v if out is None else 0) for v in values]
        if out is None:
            out = data[: finish(state, data)].copy()
    assert got == values


def test_the_search_measures_as_its_plain_twin():
    rng = np.random.default_rng(0)
    target, white = rng.normal(size=(40, 3)) * 0.1, rng.normal(size=(3, 64, 3))
    sigma, inverse = np.array([0.1, 0.05, 0.01]), 1 / np.array([[0.5, 0.3, 0.02], [0.2, 0.18, 0.1], [0.08, 0.5, 0.5]])
    turns, out = file.turns(), np.zeros((3, 32))
    measure(target, sigma, white, turns, inverse, out)
    for d in range(3):
        for t in range(32):
            shrink = sigma[:, None] * turns[t] * inverse[d]
            if np.linalg.norm(shrink[:2, :2], 2) > file.CAP:
                assert out[d, t] >= 1e30
                continue
            thick = min(sigma[2], file.CAP / inverse[d, 2]) / sigma[2]
            image = (white[d] @ turns[t].T) * sigma * [1, 1, thick]
            assert out[d, t] == pytest.approx(plain_measure(target, image))
    assert (out < 1e30).any() and (out >= 1e30).any()


def test_steps_are_powers_of_an_eighth_of_an_octave():
    assert [file.index_of(file.step_of(i)) for i in range(256)] == list(range(256))
    assert file.step_of(8) == 0.5 and file.step_of(12) == pytest.approx(2**-1.5)


def test_luma_and_back():
    rgb = np.random.default_rng(0).random((20, 3))
    assert np.allclose(file.to_rgb(file.to_luma(rgb)), rgb)
    assert np.allclose(file.to_luma(np.full((1, 3), 0.3)), [[0.3, 0, 0]])


def test_effort_changes_the_search_for_maps_alone():
    cloud = wave(3000)
    quick, slow = (encode_cloud(cloud, quality=20, effort=e) for e in (0, 8))
    assert quick.segments["tree"] == slow.segments["tree"] and quick.segments["shapes"] == slow.segments["shapes"]
    assert quick.segments["maps"] != slow.segments["maps"]

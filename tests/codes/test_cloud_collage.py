"""CloudCollage: validation, files, the Lipschitz constant of the graph, and the bounds of its sets."""

import json

import numpy as np
import pytest
import torch

from fractalkit.codes import CloudCollage, load, preset
from fractalkit.codes.graph import contraction, interval_max, interval_sum, worst_cycle
from fractalkit.errors import DataError


def random_collage(seed, ranges=12, dim=3, scale=0.4, spread=1.0, colours=False, widest=1.0):
    """Maps of norms around ``scale``, some above one, and random intervals as domains."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(ranges, dim, dim))
    a *= (scale * np.exp(spread * rng.normal(size=ranges)) / np.linalg.norm(a, 2, axis=(1, 2)))[:, None, None]
    low = rng.integers(0, ranges, ranges)
    high = np.minimum(low + 1 + rng.integers(0, max(int(ranges * widest), 1), ranges), ranges)
    m = o = None
    if colours:
        m = 0.5 * torch.eye(3, dtype=torch.float64).expand(ranges, 3, 3)
        o = torch.from_numpy(rng.random((ranges, 3)) / 2)
    return CloudCollage(
        torch.from_numpy(a), torch.from_numpy(rng.normal(size=(ranges, dim))),
        torch.from_numpy(np.stack([low, high], 1)), torch.from_numpy(rng.random(ranges) + 0.1), m, o,
    )  # fmt: skip


def largest_cycle_mean(norms, domains):
    """Karp's formula (1978), over every range as the source."""
    n = len(norms)
    w = np.full((n, n), -np.inf)
    for r, (lo, hi) in enumerate(domains):
        w[r, lo:hi] = np.log(norms[r])
    walks = [np.zeros(n)]
    for _ in range(n):
        walks.append((w + walks[-1]).max(1))
    return np.exp(max(min((walks[n][v] - walks[k][v]) / (n - k) for k in range(n)) for v in range(n)))


@pytest.mark.parametrize("seed", range(12))
def test_the_constant_is_the_largest_mean_of_a_cycle_and_is_proven(seed):
    code = random_collage(seed, ranges=6 + seed)
    norms, domains = code.norms().numpy(), code.domains.numpy()
    constant, v = code.lipschitz(), code.scales().numpy()
    assert (norms * np.array([v[lo:hi].max() for lo, hi in domains]) <= constant * v).all()
    assert constant == pytest.approx(largest_cycle_mean(norms, domains), rel=3e-6)
    cycle = worst_cycle(norms, domains)
    assert all(domains[r, 0] <= s < domains[r, 1] for r, s in zip(cycle, cycle[1:] + cycle[:1], strict=True))


def test_a_map_may_expand_where_its_cycle_contracts():
    a = torch.tensor([2.0, 0.1])[:, None, None] * torch.eye(2)
    code = CloudCollage(a, torch.rand(2, 2), torch.tensor([[1, 2], [0, 1]]), torch.ones(2))
    assert code.check_contractive().lipschitz() == pytest.approx(0.2**0.5, rel=1e-5)
    both = CloudCollage(a, torch.rand(2, 2), torch.tensor([[1, 2], [0, 2]]), torch.ones(2))
    assert both.lipschitz() == pytest.approx(0.2**0.5, rel=1e-5)
    loose = CloudCollage(a, torch.rand(2, 2), torch.tensor([[0, 2], [0, 1]]), torch.ones(2))
    with pytest.raises(DataError, match=r"multiply lengths by 2 .* ranges 0 <- 0"):
        loose.check_contractive()


def test_degenerate_graphs_have_constants():
    zero, one = np.zeros(3), np.array([[0, 3]] * 3)
    v, constant = contraction(zero, one)
    assert constant < 1 and (v > 0).all()
    # a path without a cycle but for a constant map at its end
    v, constant = contraction(np.array([1e9, 1e9, 0.0]), np.array([[1, 2], [2, 3], [2, 3]]))
    assert constant < 1 and np.isfinite(v).all()
    v, constant = contraction(np.array([1e200, 1e200]), np.array([[0, 2], [0, 2]]))
    assert constant > 1


def test_intervals():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(37, 2))
    low = rng.integers(0, 37, 50)
    domains = np.stack([low, low + 1 + (rng.random(50) * (37 - low)).astype(int)], 1)
    domains[:, 1] = np.minimum(domains[:, 1], 37)
    np.testing.assert_array_equal(interval_max(x, domains), np.array([x[a:b].max(0) for a, b in domains]))
    np.testing.assert_allclose(interval_sum(x, domains), np.array([x[a:b].sum(0) for a, b in domains]), atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_balls_hold_the_sets(seed):
    code = random_collage(seed, scale=0.3, spread=0.5)
    centre, radius = code.bounds()
    a, b, domains = code.matrices, code.offsets, code.domains.tolist()
    generator = torch.Generator().manual_seed(seed)
    x = centre[:, None].repeat(1, 64, 1)
    for _ in range(60):  # points of each set, with random sources in its domain
        new = torch.empty_like(x)
        for r, (lo, hi) in enumerate(domains):
            s = torch.randint(lo, hi, (64,), generator=generator)
            j = torch.randint(0, 64, (64,), generator=generator)
            new[r] = x[s, j] @ a[r].T + b[r]
        x = new
    assert ((x - centre[:, None]).norm(dim=2) <= radius[:, None] * (1 + 1e-9)).all()


@pytest.mark.parametrize("name", ["barnsley-fern", "sierpinski-triangle"])
def test_an_affine_ifs_is_the_case_of_one_vertex(name):
    ifs = preset(name)
    code = CloudCollage.of(ifs)
    assert code.lipschitz() == pytest.approx(ifs.lipschitz(), rel=1e-6)
    assert (code.domains == torch.tensor([0, len(ifs)])).all() and code.coloured == (ifs.colours is not None)


@pytest.mark.parametrize("suffix", [".ifs.json", ".safetensors"])
@pytest.mark.parametrize("colours", [False, True])
def test_files_keep_every_bit(tmp_path, suffix, colours):
    code = random_collage(1, scale=0.2, spread=0.3, colours=colours)
    path = tmp_path / f"code{suffix}"
    code.save(path)
    back = load(path)
    assert isinstance(back, CloudCollage) and back.coloured == colours
    for name in ("matrices", "offsets", "domains", "weights", "colour_matrices", "colour_offsets"):
        mine, its = getattr(code, name), getattr(back, name)
        assert (mine is None and its is None) or torch.equal(mine, its)
    json.dumps(back.summary(), allow_nan=False)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def fields(**changes):
    """Arguments of a small collage, some of them changed."""
    good = {
        "matrices": torch.eye(2).repeat(3, 1, 1) / 2, "offsets": torch.zeros(3, 2),
        "domains": torch.tensor([[0, 3]] * 3), "weights": torch.ones(3),
    }  # fmt: skip
    return good | changes


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"matrices": torch.zeros(0, 2, 2)}, "matrices"),
        ({"matrices": torch.zeros(1, 4, 4)}, "matrices"),
        ({"matrices": torch.zeros((1 << 16) + 1, 2, 2)}, "65,536"),
        ({"matrices": torch.full((3, 2, 2), torch.nan)}, "matrices: holds a value that is not finite"),
        ({"offsets": torch.zeros(2, 2)}, "offsets"),
        ({"domains": torch.tensor([[0, 3], [0, 4], [0, 1]])}, r"domains\[1\]"),
        ({"domains": torch.tensor([[-1, 3], [0, 3], [0, 1]])}, r"domains\[0\]"),
        ({"domains": torch.tensor([[0, 3], [2, 2], [0, 1]])}, r"domains\[1\]"),
        ({"domains": torch.zeros(3, 2)}, "domains: expected integers"),
        ({"weights": torch.tensor([1.0, 0.0, 1.0])}, "weights: expected positive"),
        ({"weights": torch.tensor([1.0, torch.inf, 1.0])}, "weights: holds"),
        ({"colour_offsets": torch.zeros(3, 3)}, "both or neither"),
    ],
)
def test_bad_fields_are_named(changes, word):
    with pytest.raises(DataError, match=word):
        CloudCollage(**fields(**changes))


def test_colours_that_expand_are_refused():
    code = CloudCollage(**fields(colour_matrices=torch.eye(3).repeat(3, 1, 1), colour_offsets=torch.zeros(3, 3)))
    with pytest.raises(DataError, match="colour_matrices: the collage does not contract"):
        code.check_contractive()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["ranges"][1].pop("domain"),
        lambda d: d["ranges"][1].update(domain=[0, 99]),
        lambda d: d["ranges"][1].update(domain=[0.5, 1]),
        lambda d: d["ranges"][1].update(matrix=[[1, 2], [3]]),
        lambda d: d["ranges"][1].update(offset=["a", 0, 0]),
        lambda d: d["ranges"][1].update(weight=-1),
        lambda d: d["ranges"][1].update(weight=10**400),
        lambda d: d["ranges"][1].update(weight=float("nan")),
        lambda d: d["ranges"].__setitem__(1, 7),
        lambda d: d.update(ranges=[]),
        lambda d: d.update(version=2),
        lambda d: d.update(dimension=4),
        lambda d: d.update(provenance=[]),
    ],
)
def test_bad_json_is_refused_with_the_file_and_the_field(tmp_path, change):
    path = tmp_path / "bad.ifs.json"
    data = json.loads(random_collage(1, scale=0.2, spread=0.3).to_json())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"bad\.ifs\.json: "):
        load(path)


def test_damaged_safetensors_are_refused(tmp_path):
    path = tmp_path / "code.safetensors"
    random_collage(1, scale=0.2, spread=0.3).save(path)
    whole = path.read_bytes()
    for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"code\.safetensors: "):
            load(path)

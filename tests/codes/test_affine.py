"""AffineIFS: validation, JSON round trips, errors."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fractalkit.codes import AffineIFS, preset
from fractalkit.errors import DataError


def triangle(**more):
    return AffineIFS(
        torch.eye(2, dtype=torch.float64).expand(3, 2, 2) / 2,
        torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.25, 0.5]], dtype=torch.float64),
        **more,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_json_round_trip_is_exact(tmp_path, dtype):
    g = torch.Generator().manual_seed(0)
    a = 0.3 * torch.randn(5, 3, 3, generator=g, dtype=dtype).clamp(-1, 1)
    ifs = AffineIFS(
        a / a.norm(), torch.randn(5, 3, generator=g, dtype=dtype), colours=torch.rand(5, 3, generator=g, dtype=dtype),
        name="five", provenance={"seed": 7},
    )  # fmt: skip
    ifs.save(tmp_path / "five.ifs.json")
    back = AffineIFS.load(tmp_path / "five.ifs.json", dtype=dtype)
    for field in ("matrices", "offsets", "colours"):
        assert torch.equal(getattr(ifs, field), getattr(back, field))
    torch.testing.assert_close(ifs.weights, back.weights, rtol=1e-6, atol=0)
    assert back.name == "five" and back.provenance == {"seed": 7} and back.colour_speed == ifs.colour_speed
    assert [p.name for p in tmp_path.iterdir()] == ["five.ifs.json"]


def test_save_leaves_the_old_file_where_it_fails(tmp_path):
    path = tmp_path / "a.ifs.json"
    path.write_text("old")
    with pytest.raises(ValueError, match="JSON"):
        triangle(provenance={"bad": math.nan}).save(path)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_weights_are_areas_with_a_floor():
    torch.testing.assert_close(triangle().probabilities, torch.full((3,), 1 / 3, dtype=torch.float64))
    fern = preset("barnsley-fern")
    flat = AffineIFS(fern.matrices, fern.offsets)  # the stem has no area at all
    assert float(flat.probabilities.min()) > 0.005 and float(flat.probabilities.sum()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("matrices", torch.zeros(3, 2, 3), "matrices: expected shape"),
        ("matrices", torch.zeros(3, 4, 4), "matrices: expected shape"),
        ("matrices", torch.zeros(0, 2, 2), "matrices: expected shape"),
        ("matrices", torch.zeros(3, 2, 2, dtype=torch.int64), "floating-point"),
        ("matrices", torch.full((3, 2, 2), math.nan), "matrices: holds a value that is not finite"),
        ("offsets", torch.zeros(2, 2), "offsets: expected shape"),
        ("offsets", torch.tensor([[0, 0], [0, math.inf], [0, 0]]), "offsets: holds a value that is not finite"),
        ("weights", torch.ones(2), "weights: expected shape"),
        ("weights", torch.tensor([1.0, -1.0, 1.0]), "weights"),
        ("weights", torch.zeros(3), "weights"),
        ("colours", torch.zeros(3, 4), "colours: expected shape"),
        ("colours", torch.full((3, 3), 2.0), "colours"),
        ("colour_speed", 0.0, "colour_speed"),
    ],
)
def test_bad_fields_are_named(field, value, message):
    fields = {"matrices": torch.eye(2).expand(3, 2, 2) / 2, "offsets": torch.zeros(3, 2)}
    with pytest.raises(DataError, match=message):
        AffineIFS(**{**fields, field: value})


def broken(**changes):
    data = json.loads(triangle().to_json())
    for path, value in changes.items():
        *way, last = path.split("__")
        at = data
        for step in way:
            at = at[int(step) if step.isdigit() else step]
        at[int(last) if last.isdigit() else last] = value
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "format"),
        (broken(format="flame"), "format"),
        (broken(version=99), "version: expected 1, got 99"),
        (broken(dimension=4), "dimension: expected 2 or 3, got 4"),
        (broken(dimension=True), "dimension"),
        (broken(maps=[]), "maps: expected a list"),
        (broken(maps=None), "maps: expected a list"),
        (broken(maps__1=3), r"maps\[1\]: expected an object"),
        (broken(maps__1__matrix=[[1, 2]]), r"maps\[1\].matrix: expected 2 rows"),
        (broken(maps__1__matrix__0=[1, "2"]), r"maps\[1\].matrix\[0\]: expected finite numbers, got '2'"),
        (broken(maps__2__offset=[1]), r"maps\[2\].offset: expected 2 numbers"),
        (broken(maps__2__offset=[10**400, 0]), r"maps\[2\].offset: expected finite numbers"),
        (broken(maps__0__weight="much"), r"maps\[0\].weight"),
        (broken(maps__0__colour=[0, 0, 0]), "colour is given for 1 of 3 maps"),
        (broken(name=3), "name: expected a string"),
        (broken(provenance=[]), "provenance: expected an object"),
        (broken(maps__1__matrix=[[1.5, 0], [0, 0.5]]), r"maps\[1\].matrix: its norm is 1.5"),
        (broken(maps__1__matrix=[[1, 0], [0, 0.5]]), r"maps\[1\].matrix: its norm is 1"),
    ],
)
def test_malformed_json_is_refused_with_the_path_of_the_field(data, message):
    with pytest.raises(DataError, match=message):
        AffineIFS.from_dict(data)


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"format": NaN}', "\x00\xff", '{"format": "fractalkit-ifs", "version": 1}']
)
def test_files_that_are_no_codes_are_named(tmp_path, text):
    path = tmp_path / "x.ifs.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"x\.ifs\.json"):
        AffineIFS.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.ifs\.json"):
        AffineIFS.load(tmp_path / "none.ifs.json")


json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["matrix", "offset", "weight", "colour"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries({"dimension": st.sampled_from([2, 3]) | json_like, "maps": st.lists(json_like, max_size=3)})
)
def test_nothing_but_a_data_error_comes_of_hostile_objects(data):
    try:
        ifs = AffineIFS.from_dict({"format": "fractalkit-ifs", "version": 1, **data})
    except DataError:
        return
    assert ifs.lipschitz() < 1


def test_maps_and_hutchinson_agree():
    fern = preset("barnsley-fern")
    x = torch.rand(10, 2, dtype=torch.float64)
    union = fern.hutchinson(x)
    assert union.shape == (4, 10, 2)
    for k in range(4):
        torch.testing.assert_close(fern.apply(x, torch.full((10,), k)), union[k])


def test_colours_blend_along_addresses():
    ifs = triangle(colours=torch.eye(3, dtype=torch.float64), colour_speed=0.5)
    rgb = ifs.colour_of(torch.tensor([[0, 1], [2, 2]]))
    torch.testing.assert_close(rgb[0], torch.tensor([0.5, 0.25, 0.0], dtype=torch.float64) + 0.25 / 3)
    torch.testing.assert_close(rgb[1], torch.tensor([0.0, 0.0, 0.75], dtype=torch.float64) + 0.25 / 3)
    with pytest.raises(DataError, match="no colours"):
        triangle().colour_of(torch.tensor([[0]]))

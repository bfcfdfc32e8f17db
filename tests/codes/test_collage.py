import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from fractalkit.codes.collage import FORMAT, WHOLE, CollageCode, Domain
from fractalkit.errors import DataError

DOMAINS = (WHOLE, Domain(2, 1, 0, 5))


def make(b=2, c=3, gh=4, gw=3, a=2, k=3, domains=DOMAINS, shared=False, **changes) -> CollageCode:
    g = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    c1 = 1 if shared else c
    tensors = {
        "contrast": CollageCode.bounded(3 * draw(b, c1, gh, gw, len(domains)), 0.9),
        "brightness": draw(b, c, gh, gw),
        "mixing": draw(b, c1, gh, gw, a),
        "patches": draw(a, c1, k, k),
    }
    return CollageCode(**{**tensors, "domains": domains, **changes})


def test_shape_and_items():
    code = make(shared=True)
    assert (code.batch, code.channels, code.grid, len(code)) == (2, 3, (4, 3), 2)
    one = code[1]
    assert one.batch == 1 and torch.equal(one.contrast, code.contrast[1:]) and one.patches is code.patches
    assert torch.equal(code.item(-1).brightness, one.brightness) and code[:1].batch == 1
    with pytest.raises(IndexError, match="item 2 of a batch of 2"):
        code.item(2)
    half = code.to(dtype=torch.float32)
    assert {getattr(half, n).dtype for n in ("contrast", "brightness", "mixing", "patches")} == {torch.float32}
    assert half.domains == code.domains and half.continuous


def test_domain_says_what_it_shows():
    assert Domain(1, 0, 0, 0) == WHOLE and not WHOLE.transposed and WHOLE.flips == (False, False)
    assert Domain(isometry=6).transposed and Domain(isometry=6).flips == (True, False)
    assert Domain(isometry=1).flips == (False, True)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 0, 0, 0), "scale: expected 1 to"),
        ((2, 2, 0, 0), "row: expected 0 to 1"),
        ((2, 0, -1, 0), "col: expected 0 to 1"),
        ((1, 0, 0, 8), "isometry: expected 0 to 7"),
        ((1.0, 0, 0, 0), "scale: expected an integer"),
        ((True, 0, 0, 0), "scale: expected an integer"),
    ],
)
def test_domain_refuses(numbers, message):
    with pytest.raises(DataError, match=message):
        Domain(*numbers)


def z(*shape):
    return torch.zeros(*shape, dtype=torch.float64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"brightness": z(2, 3, 4)}, "brightness: expected"),
        ({"brightness": z(0, 3, 4, 3)}, "brightness: expected"),
        ({"brightness": z(2, 3, 4, 1)}, "brightness: expected"),
        ({"brightness": z(2, 3, 4, 3).long()}, "brightness: expected a floating-point"),
        ({"contrast": z(2, 3, 4, 3, 1)}, r"contrast: expected shape \[2, 3 or 1, 4, 3, 2\], got \[2, 3, 4, 3, 1\]"),
        ({"contrast": z(2, 2, 4, 3, 2)}, "contrast: expected shape"),
        ({"contrast": [1.0]}, "contrast: expected a floating-point tensor"),
        ({"mixing": z(2, 3, 4, 3, 1)}, "mixing: expected shape"),
        ({"mixing": z(2, 3, 4, 3)}, "mixing: expected shape"),
        ({"patches": z(2, 2, 3, 3)}, "patches: expected shape"),
        ({"patches": z(2, 1, 0, 3)}, "patches: expected"),
        ({"patches": z(2, 1, 3)}, "patches: expected"),
        ({"patches": torch.tensor(0.0)}, "patches: expected"),
        ({"brightness": z(2, 3, 4, 3).to("meta")}, "is on cpu, brightness on meta"),
        ({"domains": ()}, "domains: expected 1 to"),
        ({"domains": (WHOLE, (1, 0, 0, 0))}, r"domains\[1\]: expected a Domain"),
        ({"domains": (WHOLE, Domain(3))}, r"domains\[1\].scale: 3 makes it no larger than a range of the 4 x 3 grid"),
    ],
)
def test_refuses_shapes(changes, message):
    with pytest.raises(DataError, match=message):
        make(**changes)


def test_lipschitz_is_the_largest_sum_over_domains():
    code = make()
    assert torch.allclose(code.lipschitz(), code.contrast.abs().sum(-1).flatten(1).amax(1))
    assert code.check() is code


def test_check_names_what_is_wrong():
    code = make()
    code.contrast[1, 2, 3, 0] = torch.tensor([0.7, -0.5])
    with pytest.raises(DataError, match=r"contrast: item 1, range \(3, 0\), channel 2 has a sum .* of 1.2"):
        code.check()
    for name, at, where in [
        ("contrast", (0, 1, 2, 1, 0), r"item 0, range \(2, 1\)"),
        ("brightness", (1, 0, 0, 2), r"item 1, range \(0, 2\)"),
        ("mixing", (1, 0, 3, 2, 1), r"item 1, range \(3, 2\)"),
        ("patches", (1, 0, 0, 0), "patch 1"),
    ]:
        for value in (float("nan"), float("inf")):
            code = make()
            getattr(code, name)[at] = value
            with pytest.raises(DataError, match=f"{name}: holds a value that is not finite .*{where}"):
                code.check()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=5), st.floats(0.01, 0.99))
def test_bounded_contracts_whatever_it_is_given(raw, rho):
    w = CollageCode.bounded(torch.tensor(raw), rho)
    assert torch.isfinite(w).all() and w.abs().sum() <= rho * (1 + 1e-6)


def test_bounded_is_smooth_and_keeps_ratios():
    raw = torch.tensor([[1e-3, -2e-3], [0.0, 0.0], [3.0, 1.0]], dtype=torch.float64, requires_grad=True)
    w = CollageCode.bounded(raw, 0.8)
    assert torch.allclose(w[0], 0.8 * raw[0], rtol=1e-4) and torch.allclose(w[2, 0], 3 * w[2, 1])
    assert torch.autograd.gradcheck(lambda r: CollageCode.bounded(r[::2], 0.8), raw)
    (gradient,) = torch.autograd.grad(w.sum(), raw)
    assert torch.isfinite(gradient).all()
    assert CollageCode.bounded(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32
    for rho in (0.0, 1.0, float("nan")):
        with pytest.raises(DataError, match="rho"):
            CollageCode.bounded(raw, rho)


@pytest.mark.parametrize("continuous", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_file_gives_back_the_code(tmp_path, continuous, dtype):
    code = make(shared=True, continuous=continuous).to(dtype=dtype)
    path = tmp_path / "code.safetensors"
    code.save(path)
    back = CollageCode.load(path)
    for name in ("contrast", "brightness", "mixing", "patches"):
        assert torch.equal(getattr(back, name), getattr(code, name)) and getattr(back, name).dtype == dtype
    assert back.domains == code.domains and back.continuous is continuous
    assert [p.name for p in tmp_path.iterdir()] == ["code.safetensors"]


def test_a_code_without_patches_and_an_expanded_one_can_be_saved(tmp_path):
    code = make(a=0)
    code = CollageCode(
        code.contrast[:, :1].expand(-1, 3, -1, -1, -1), code.brightness, code.mixing, code.patches, DOMAINS
    )
    code.save(tmp_path / "a.safetensors")
    assert torch.equal(CollageCode.load(tmp_path / "a.safetensors").contrast, code.contrast)


def test_every_truncation_and_change_of_a_file_is_one_clear_error_or_another_code(tmp_path):
    path = tmp_path / "code.safetensors"
    make(b=1, c=1).save(path)
    good = path.read_bytes()
    bad = tmp_path / "bad.safetensors"
    for n in [0, 1, 7, 8, 20, len(good) // 2, len(good) - 1]:
        bad.write_bytes(good[:n])
        with pytest.raises(DataError, match=r"bad\.safetensors"):
            CollageCode.load(bad)
    g = torch.Generator().manual_seed(0)
    for at in torch.randint(len(good), (150,), generator=g).tolist():
        bad.write_bytes(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
        try:
            CollageCode.load(bad).check()
        except DataError as error:
            assert "bad.safetensors" in str(error)


def test_load_refuses(tmp_path):
    def refused(message, path=tmp_path / "x.safetensors"):
        with pytest.raises(DataError, match=message):
            CollageCode.load(path)

    refused("cannot be read", tmp_path / "missing")
    refused("cannot be read", tmp_path)
    (tmp_path / "x.safetensors").write_bytes(b"\x80\x04\x95 pickle")
    refused("is a pickle")
    path = tmp_path / "x.safetensors"
    code = make()
    tensors = {n: getattr(code, n).contiguous() for n in ("contrast", "brightness", "mixing", "patches")}
    config = {"domains": [[1, 0, 0, 0], [2, 1, 0, 5]], "continuous": True}
    metadata = {"format": FORMAT, "version": "1", "config": json.dumps(config)}

    def write(tensors=tensors, **changes):
        save_file(tensors, path, metadata={**metadata, **changes})

    write()
    assert CollageCode.load(path).batch == 2
    write(format="other")
    refused("x.safetensors: format: expected")
    write(version="2")
    refused("version: expected 1, got '2'")
    write(tensors={"contrast": tensors["contrast"]})
    refused("expected the tensors contrast, brightness, mixing, patches, got contrast")
    write(tensors={**tensors, "contrast": 2 * tensors["contrast"]})
    refused("contrast: item .* does not contract")
    write(tensors={**tensors, "mixing": tensors["mixing"].int()})
    refused("mixing: expected a floating-point")
    for config, message in [
        ("", "config: not valid JSON"),
        ("[" * 100000, "config: not valid JSON"),
        ("[]", "config: expected an object"),
        ('{"domains": [], "continuous": 1}', "config.continuous: expected true or false"),
        ('{"domains": [], "continuous": true}', "domains: expected 1 to"),
        ('{"domains": [[1, 0]], "continuous": true}', r"config.domains\[0\]: expected 4 integers"),
        ('{"domains": [[1, 0, 0, 9]], "continuous": true}', r"config.domains\[0\].isometry: expected 0 to 7"),
        ('{"domains": [[1, 0, 0, "a"]], "continuous": true}', r"config.domains\[0\].isometry: expected an integer"),
    ]:
        write(config=config)
        refused(message)


def test_save_refuses_a_missing_folder(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        make().save(tmp_path / "no" / "code.safetensors")

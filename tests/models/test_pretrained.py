import json
import pickle
from dataclasses import dataclass

import pytest
import torch

from fractalkit.checked import CheckedSettings, within
from fractalkit.errors import DataError, UsageError
from fractalkit.models import pretrained
from fractalkit.models.pretrained import Pretrained, from_pretrained, names, register_model
from fractalkit.models.sampling import Sampler
from fractalkit.models.vdvae import VDVAE
from fractalkit.tensors import read_tensors
from tests.models.tiny import build, generators


def test_a_model_survives_the_round_trip(tmp_path):
    model = build()
    model.save_pretrained(tmp_path / "m.safetensors", {"data": "none", "steps": 3})
    again = VDVAE.from_pretrained(tmp_path / "m.safetensors")
    assert again.config == model.config and again.about == {"data": "none", "steps": 3}
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    assert torch.equal(again.features(generators(1)), model.features(generators(1)))
    assert VDVAE.from_pretrained(tmp_path).config == model.config  # the folder of one file


def test_half_precision_halves_the_file(tmp_path):
    model = build(width=64)
    model.save_pretrained(tmp_path / "a.safetensors")
    model.save_pretrained(tmp_path / "b.safetensors", dtype=torch.float16)
    sizes = [(tmp_path / f"{n}.safetensors").stat().st_size for n in "ab"]
    assert sizes[1] < 0.6 * sizes[0]
    weight = VDVAE.from_pretrained(tmp_path / "b.safetensors").encoder.stem.weight
    assert weight.dtype == torch.float32 and torch.allclose(weight, model.encoder.stem.weight, atol=1e-3)


def test_unknown_names_list_the_known():
    with pytest.raises(UsageError, match="known are"):
        from_pretrained("vdvae_of_nothing")
    with pytest.raises(DataError, match="no such file"):
        from_pretrained("nothing.safetensors")


@pytest.mark.parametrize("cut", [0, 4, 9, 200, -1])
def test_a_truncated_file_is_refused(tmp_path, cut):
    path = tmp_path / "m.safetensors"
    build().save_pretrained(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"m\.safetensors"):
        from_pretrained(path)


def test_a_pickle_is_never_opened(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "zip.pt")
    (tmp_path / "raw.pkl").write_bytes(pickle.dumps({"a": 1}))
    for name in ("zip.pt", "raw.pkl"):
        with pytest.raises(DataError, match="pickle"):
            from_pretrained(tmp_path / name)


def test_another_architecture_is_named(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    save_file({"w": torch.ones(2)}, path)
    with pytest.raises(DataError, match="no FractalKit model"):
        from_pretrained(path)
    build().save_pretrained(path)
    about, tensors = read_tensors(path)
    for change, message in (
        ({"config": json.dumps({**json.loads(about["config"]), "width": 16})}, "do not fit"),
        ({"config": "{"}, "configuration"),
        ({"architecture": "resnet"}, "known architecture"),
    ):
        save_file(tensors, path, metadata={**about, **change})
        with pytest.raises(DataError, match=message):
            from_pretrained(path)
    tensors["decoder.constant"] = tensors["decoder.constant"] * float("nan")
    save_file(tensors, path, metadata=about)
    with pytest.raises(DataError, match="finite"):
        from_pretrained(path)


@pytest.mark.parametrize("name", [n for n in names() if n.startswith("vdvae")])
def test_models_of_the_package_draw(name):
    model = from_pretrained(name)
    picture = model.draw(model.features(generators(1)), 28, 28)
    assert picture.shape == (1, 1, 28, 28) and 0.02 < float(picture.mean()) < 0.7  # ink; clothes fill more than digits


def test_a_new_architecture_is_a_class_and_a_name(tmp_path):
    @dataclass(frozen=True)
    class DotConfig(CheckedSettings):
        size: int = within(3, 1, 9)

    @register_model("dot")
    class Dot(Pretrained):
        config_type = DotConfig

        def __init__(self, config: DotConfig) -> None:
            super().__init__()
            self.config = config
            self.value = torch.nn.Parameter(torch.ones(config.size))

    try:
        Dot(DotConfig(5)).save_pretrained(tmp_path / "dot.safetensors", {"steps": 1})
        again = from_pretrained(tmp_path / "dot.safetensors")
        assert isinstance(again, Dot) and again.config.size == 5 and again.about == {"steps": 1}
        assert again.summary()["parameters"] == 5
        with pytest.raises(UsageError, match="is a dot, and what is needed here is a generative model"):
            from_pretrained(tmp_path / "dot.safetensors", kind=Sampler)
        with pytest.raises(DataError, match="size: expected a whole number from 1 to 9, got 10"):
            DotConfig.from_dict({"size": 10})
        with pytest.raises(UsageError, match="is Dot already"):
            register_model("dot")(type("Other", (Pretrained,), {}))
    finally:
        pretrained._REGISTRY.pop("dot")


def test_names_by_class():
    assert names(Sampler) == ["vdvae_fashion", "vdvae_mnist"] and set(names(Sampler)) < set(names())

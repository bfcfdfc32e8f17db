import numpy as np
import torch
from click.testing import CliRunner

from fractalkit.models.inverse import InverseNet
from recipes.train_inverse import MOST, batch_of, main, random_codes


def test_codes_are_those_of_their_number_and_contract():
    maps, weight = random_codes(400, np.random.default_rng(0))
    assert maps.shape == (400, MOST, 2, 3) and set((weight > 0).sum(axis=1)) == set(range(2, MOST + 1))
    np.testing.assert_allclose(weight.sum(axis=1), 1)
    assert np.linalg.norm(maps[..., :2], ord=2, axis=(2, 3)).max() <= 0.98 + 1e-9


def test_the_maps_of_a_batch_are_those_of_its_clouds():
    b = batch_of(64, 3, 32)
    assert b.seen.grid.shape == (64, 2, 32, 32) and torch.isfinite(b.maps).all()
    assert torch.equal(b.seen.grid, batch_of(64, 3, 32).seen.grid)
    assert not torch.equal(b.seen.grid, batch_of(64, 4, 32).seen.grid)
    # the mean of the measure, zero in white coordinates, is that of its images
    weight = random_codes(32, np.random.default_rng(3))[1]
    assert bool(((b.weight > 0).numpy() == np.tile(weight > 0, (2, 1))).all())
    mean = np.einsum("bk,bki->bi", np.tile(weight, (2, 1)), b.maps[:, :, 4:].numpy())
    assert np.median(np.linalg.norm(mean, axis=1)) < 0.05 and np.linalg.norm(mean, axis=1).max() < 0.5


def test_a_run_goes_on_to_the_same_bits(tmp_path):
    def call(run: str, steps: int, *more: str) -> None:
        done = CliRunner().invoke(
            main, [str(tmp_path / run), "--width", "4", "--slots", "6", "--steps", str(steps), *more]
        )
        assert done.exit_code == 0, done.output

    call("a", 3, "-o", str(tmp_path / "a.safetensors"))
    call("b", 3, "--minutes", "0", "-o", str(tmp_path / "none.safetensors"))
    call("b", 3, "-o", str(tmp_path / "b.safetensors"))
    a, b = (InverseNet.from_pretrained(tmp_path / f"{n}.safetensors") for n in "ab")
    assert all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    assert a.config.slots == 6 and a.about["step"] == "3"

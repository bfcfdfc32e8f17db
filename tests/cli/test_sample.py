"""fractalkit sample and evaluate: files, seeds, sizes, and errors for bad input."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from fractalkit.cli.main import main
from fractalkit.models.sampling import class_of
from fractalkit.models.vdvae import VDVAE, VDVAEConfig
from fractalkit.raster.png import read_png_text

TINY = {
    "size": 28, "stem": 4, "encoder": "7x1,7d7,1x1", "decoder": "1x1,7m1,7x1", "width": 8, "latent": 2, "features": 3,
    "hidden": 4, "patches": 1, "order": 2,
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two small untrained models."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    for name, head in (("tiny", "collage"), ("conv", "conv")):
        model = VDVAE(VDVAEConfig(**TINY, head=head))  # type: ignore[arg-type]
        with torch.no_grad():
            for p in model.decoder.parameters():
                p.add_(0.3 * torch.randn_like(p))
            if head == "collage":
                model.head.pixel2.mul_(30)  # type: ignore[operator]
        model.save_pretrained(f"{name}.safetensors")
    return tmp_path


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def sample(*args: object) -> Result:
    result = run("sample", "--model", "tiny.safetensors", *args)
    assert result.exit_code == 0, result.output
    return result


def refused(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("fractalkit: error: ") and result.stderr.count("\n") == 1
    assert all(w in result.stderr for w in words), result.stderr


def pixels(name: str) -> np.ndarray:
    with Image.open(name) as image:
        return np.asarray(image)


def test_files_sheet_and_seeds(here: Path) -> None:
    sample("--res", 60, "-n", 6)
    files = sorted(p.name for p in here.glob("tiny-*.png"))
    assert files == [f"tiny-{i}.png" for i in range(6)]
    sixth = pixels("tiny-5.png")
    assert sixth.shape == (60, 60) and np.ptp(sixth) > 50
    assert not np.array_equal(sixth, pixels("tiny-4.png"))
    # item 5 of a run is the picture of seed 5, alone, at the end of another run, or on a sheet
    sample("--res", 60, "--seed", 5, "-o", "alone.png")
    assert np.array_equal(pixels("alone.png"), sixth)
    sample("--res", 60, "-n", 6, "-o", "sheet.png")
    sheet = pixels("sheet.png")
    assert sheet.shape == (120, 180)
    assert np.array_equal(sheet[60:, 120:], sixth)
    sample("--res", 60, "-n", 5, "--grid", "--invert")
    assert np.array_equal(255 - pixels("tiny-grid.png")[:60, :60], pixels("tiny-0.png"))
    assert (pixels("tiny-grid.png")[60:, 120:] == 255).all()
    texts = read_png_text("alone.png")
    assert texts["fractalkit:seed"] == "5" and texts["fractalkit:model"] == "tiny"
    assert texts["fractalkit:command"].startswith("fractalkit sample --model tiny.safetensors")
    assert "seed" in run("info", "alone.png").stdout


def test_sizes_and_windows(here: Path) -> None:
    sample("--res", "75x40", "-o", "a.png")
    assert pixels("a.png").shape == (40, 75)
    sample("--res", "75x40", "--window", "10,5,70,33", "-o", "b.png")
    assert np.array_equal(pixels("b.png"), pixels("a.png")[5:33, 10:70])
    got = json.loads(sample("--res", "1e6", "--window", "5000,6000,5020,6010", "-o", "c.png", "--json").stdout)
    assert (got["width"], got["height"]) == (20, 10) and got["outputs"] == ["c.png"] and got["seeds"] == [0]
    # a large picture, averaged, is the small one
    sample("--res", 280, "-o", "d.png")
    sample("--res", 28, "-o", "e.png")
    means = pixels("d.png").reshape(28, 10, 28, 10).mean((1, 3))
    assert np.abs(means - pixels("e.png")).mean() < 8
    sample("--res", 60, "--binarize", "-o", "f.png")
    assert set(np.unique(pixels("f.png"))) <= {0, 255}


def test_sharpness(here: Path) -> None:
    for value in (1, 3):
        sample("--res", 60, "--sharpness", value, "-o", f"{value}.png")
    sample("--res", 60, "-o", "default.png")
    assert np.array_equal(pixels("default.png"), pixels("3.png"))
    grey = [np.abs(pixels(f"{v}.png").astype(float) - 127.5).mean() for v in (1, 3)]
    assert grey[1] > grey[0]
    refused(run("sample", "--model", "tiny.safetensors", "--sharpness", 0), 2, "sharpness")
    refused(run("sample", "--model", "tiny.safetensors", "--detail", 2.5), 2, "detail")


def test_classes(here: Path) -> None:
    torch.manual_seed(1)
    model = VDVAE(VDVAEConfig(**TINY, prior="block", classes=3))  # type: ignore[arg-type]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    model.save_pretrained("known.safetensors")
    known = ("sample", "--model", "known.safetensors", "--res", 56)
    for words in (("--digit", 1, "-n", 2, "--jobs", 1), ("--label", 2, "-o", "two.png"), ("-o", "any.png")):
        assert run(*known, *words).exit_code == 0
    first = pixels("known-0.png")
    assert not np.array_equal(first, pixels("two.png")) and not np.array_equal(first, pixels("any.png"))
    assert json.loads(run(*known, "--digit", 1, "-o", "one.png", "--json").stdout)["label"] == 1
    assert np.array_equal(first, pixels("one.png"))
    assert run(*known, "--from", "one.png", "--digit", 2, "-o", "hand.png").exit_code == 0
    assert not np.array_equal(pixels("hand.png"), pixels("two.png"))
    assert run(*known, "--interpolate", 0, 1, "--digit", 1, "--frames", 3, "-o", "{frame}.png").exit_code == 0
    assert np.array_equal(pixels("0.png"), first)
    assert run(*known, "--digit", 1, "--guidance", 1, "-o", "wide.png").exit_code == 0
    assert not np.array_equal(pixels("wide.png"), first)
    # without --digit, the seed's class, in nearly full variety; a walk ends with the pictures of its seeds
    seeds = class_of(0, 3), class_of(1, 3)
    assert run(*known, "--digit", seeds[0], "--guidance", 1.2, "-o", "own.png").exit_code == 0
    assert np.array_equal(pixels("any.png"), pixels("own.png"))
    assert run(*known, "--digit", "none", "-o", "none.png").exit_code == 0
    assert not np.array_equal(pixels("none.png"), pixels("any.png"))
    assert run(*known, "--interpolate", 0, 1, "--frames", 2, "-o", "end-{frame}.png").exit_code == 0
    assert run(*known, "--seed", 1, "-o", "last.png").exit_code == 0
    assert np.array_equal(pixels("end-0.png"), pixels("any.png"))
    assert np.abs(pixels("end-1.png").astype(int) - pixels("last.png")).max() <= 1
    refused(run(*known, "--guidance", 1, "--digit", "none"), 2, "does not go with --digit none")
    refused(run(*known, "--digit", "x"), 2, "expected the number of a class, from 0, or none")
    refused(run("sample", "--model", "tiny.safetensors", "--guidance", 1), 2, "--guidance", "knows no classes")
    refused(run(*known, "--digit", 3), 2, "--digit 3", "the classes 0 to 2")
    refused(run("sample", "--model", "tiny.safetensors", "--digit", 3), 2, "--digit 3", "knows no classes")


def test_layers_and_temperature_by_side(here: Path) -> None:
    sample("--res", 30, "--layers", 1, "-o", "a.png")
    sample("--res", 30, "--temperature", "7:0", "-o", "b.png")
    sample("--res", 30, "-o", "c.png")
    assert np.array_equal(pixels("a.png"), pixels("b.png")) and not np.array_equal(pixels("a.png"), pixels("c.png"))
    model = ("sample", "--model", "tiny.safetensors")
    refused(run(*model, "--temperature", "5:1"), 2, "no layer of latents has side 5")
    refused(run(*model, "--temperature", "7:warm"), 2, "expected a number")
    refused(run(*model, "--temperature", -1), 2, "from 0")
    refused(run(*model, "--layers", 9), 2, "layers: expected 0 to 2")
    refused(run(*model, "--layers", 1, "--interpolate", 0, 1), 2, "--layers is for new samples")


def test_what_one_size_and_colours_cannot(here: Path) -> None:
    refused(run("sample", "--model", "conv.safetensors", "--detail", 1), 2, "no collage")
    torch.manual_seed(1)
    VDVAE(VDVAEConfig(**TINY, channels=3, likelihood="logistic-mixture")).save_pretrained("colour.safetensors")  # type: ignore[arg-type]
    assert run("sample", "--model", "colour.safetensors", "--res", 40, "-o", "a.png").exit_code == 0
    refused(run("sample", "--model", "colour.safetensors", "--binarize"), 2, "--binarize", "colours or greys")
    refused(run("sample", "--model", "colour.safetensors", "--sharpness", 2), 2, "sharpness", "colours or greys")


def test_temperature_zero_has_one_picture(here: Path) -> None:
    sample("--res", 30, "-n", 2, "--temperature", 0)
    assert np.array_equal(pixels("tiny-0.png"), pixels("tiny-1.png"))


def test_walk(here: Path) -> None:
    sample("--res", 40, "--interpolate", 3, 4, "--frames", 5, "-o", "{frame}.png")
    sample("--res", 40, "--seed", 3, "-n", 2)
    assert np.array_equal(pixels("0.png"), pixels("tiny-3.png"))
    assert np.abs(pixels("4.png").astype(int) - pixels("tiny-4.png")).max() <= 1
    for name in ("walk.gif", "walk.png"):
        sample("--res", 40, "--interpolate", 3, 4, "--frames", 5, "-o", name)
        with Image.open(name) as image:
            assert image.n_frames == 5 and image.size == (40, 40)
    assert read_png_text("walk.png")["fractalkit:seed"] == "3-4"


def test_reconstruction(here: Path) -> None:
    digit = np.zeros((90, 90), np.uint8)
    digit[20:70, 40:50] = 255
    Image.fromarray(digit).save("digit.png")
    assert sample("--from", "digit.png", "--res", 56, "-o", "back.png").stderr == ""
    assert pixels("back.png").shape == (56, 56)
    Image.fromarray(255 - digit).save("negative.png")
    assert "light border" in sample("--from", "negative.png", "--res", 56, "-o", "back.png").stderr
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    model = ("sample", "--model", "tiny.safetensors")
    refused(run(*model, "--from", "broken.png"), 1, "broken.png", "cannot be read as a picture")
    refused(run(*model, "--from", "absent.png"), 1, "absent.png: there is no such file")


def test_a_plain_head_draws_its_own_size(here: Path) -> None:
    assert run("sample", "--model", "conv.safetensors", "-o", "a.png").exit_code == 0
    assert pixels("a.png").shape == (28, 28)
    refused(run("sample", "--model", "conv.safetensors", "--res", 56), 2, "28 x 28 only")


def test_bad_models(here: Path) -> None:
    refused(run("sample"), 2, "--model")
    refused(run("sample", "--model", "nonsense"), 2, "unknown name 'nonsense'", "known are")
    refused(run("sample", "--model", "absent.safetensors"), 1, "absent.safetensors: there is no such file")
    whole = Path("tiny.safetensors").read_bytes()
    for name, content, words in (
        ("short.safetensors", whole[: len(whole) // 2], "short"),
        ("empty.safetensors", b"", "cut short"),
        ("pickle.safetensors", pickle.dumps({"a": 1}), "pickle"),
        ("zip.pt", b"PK\x03\x04" + bytes(64), "pickle"),
    ):
        Path(name).write_bytes(content)
        refused(run("sample", "--model", name), 1, name, words)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(3)}, "other.safetensors")
    refused(run("sample", "--model", "other.safetensors"), 1, "no FractalKit model")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--res", 0), "sides of 1 to 2^40 pixels"),
        (("--res", -5), "sides of 1 to 2^40 pixels"),
        (("--res", "12x"), "needs an original size"),
        (("--res", "3x4x5"), "expected a factor such as 4x"),
        (("--res", "1e6"), "931 GiB"),
        (("--res", "1e6"), "--window"),
        (("--res", "1e13", "--window", "0,0,1,1"), "2^40"),
        (("--res", 100, "--window", "0,0,101,5"), "leaves the picture"),
        (("--res", 100, "--window", "5,5,5,9"), "empty"),
        (("--window", "1,2,3"), "expected x0,y0,x1,y1"),
        (("--res", 30000, "-n", 64, "--grid"), "a sheet of 64"),
        (("-n", 0), "-n"),
        (("--temperature", -1), "--temperature"),
        (("--frames", 5), "--interpolate"),
        (("--interpolate", 1, 2, "-n", 3), "--grid nor --from"),
        (("--interpolate", 1, 2, "-o", "walk.jpg"), "walk.jpg"),
        (("-o", "a.jpg"), "pictures are PNG"),
        (("-n", 2, "--grid", "-o", "{seed}.png"), "a sheet is one file"),
    ],
)
def test_bad_options(here: Path, options: tuple[object, ...], words: str) -> None:
    refused(run("sample", "--model", "tiny.safetensors", *options), 2, words)
    assert not list(here.glob("*.png"))


def test_a_folder_that_is_not_there(here: Path) -> None:
    refused(run("sample", "--model", "tiny.safetensors", "-o", "no/a.png"), 1, "the folder no does not exist")


def data_folder(folder: Path, n: int = 12) -> Path:
    rng = np.random.default_rng(0)
    bits = {s: np.packbits(rng.random((n, 784)) < 0.2, axis=1) for s in ("train", "valid", "test")}
    np.savez(folder / "binarized_mnist_packed.npz", **bits)
    return folder


def test_evaluate(here: Path) -> None:
    data_folder(here)
    words = ("evaluate", "--model", "tiny.safetensors", "--data-dir", here)
    got = json.loads(run(*words, "--k", 20, "--k-items", 4, "--json").stdout)
    assert got["items"] == 12 and got["k_items"] == 4 and got["data"] == "mnist-static" and got["split"] == "test"
    assert got["elbo"] == pytest.approx(got["nll"] + got["kl"], rel=1e-5)
    assert got["kl"] == pytest.approx(sum(layer["kl"] for layer in got["kl_per_layer"]))
    assert got["bits_per_dim"] == pytest.approx(got["elbo"] / 784 / np.log(2))
    assert [layer["side"] for layer in got["kl_per_layer"]] == [1, 7]
    # the same pictures: the bound is below -ELBO, up to the noise of both
    few = json.loads(run(*words, "--items", 4, "--k", 50, "--json").stdout)
    assert few["items"] == 4 and few["bound"] < few["elbo"] + 3 * few["elbo_error"]
    again = json.loads(run(*words, "--items", 4, "--k", 50, "--json").stdout)
    assert (again["elbo"], again["bound"]) == (few["elbo"], few["bound"])
    text = run(*words).stdout
    assert "-ELBO" in text and "bits/dim" in text and "layer 2, 7x7" in text


def grey_digits(folder: Path) -> None:
    """Blobs in the files of MNIST, with two classes."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:28, :28]
    for name, n in (("train", 300), ("t10k", 60)):
        at = rng.uniform(8, 20, (n, 2, 1, 1))
        wide = np.where(np.arange(n) % 2, 3, 9)[:, None, None]
        values = 255 * np.exp(-((y - at[:, 0]) ** 2 + (x - at[:, 1]) ** 2) / wide)
        head = b"\0\0\x08\x03" + b"".join(v.to_bytes(4, "big") for v in (n, 28, 28))
        (folder / f"{name}-images-idx3-ubyte").write_bytes(head + values.astype(np.uint8).tobytes())
        labels = bytes(k % 2 for k in range(n))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + n.to_bytes(4, "big") + labels)


def test_evaluate_on_pixels_that_are_drawn_and_its_judge(here: Path) -> None:
    grey_digits(here)
    words = ("evaluate", "--model", "tiny.safetensors", "--data-dir", here)
    refused(run(*words, "--data", "mnist"), 1, "mnist: is not of black and white pixels", "choose another --data")
    got = json.loads(run(*words, "--data", "mnist-dynamic", "--samples", 100, "--json").stdout)
    assert got["items"] == 60 and got["samples"] == 100
    assert sum(got["classes"]) == pytest.approx(1, abs=0.01) and got["frechet"] > got["frechet_real"] > 0
    other = json.loads(run(*words, "--data", "mnist-dynamic", "--seed", 1, "--json").stdout)
    assert other["elbo"] != got["elbo"]


def test_evaluate_refuses(here: Path) -> None:
    words = ("evaluate", "--model", "tiny.safetensors")
    refused(run(*words, "--data-dir", here / "no"), 1, "is not a folder")
    refused(run(*words, "--data-dir", here), 1, "binarized_mnist_packed.npz")
    refused(run(*words, "--data", "sudoku"), 2, "sudoku", "mnist-static")
    refused(run(*words, "--k-items", 3), 2, "--k-items")


def test_info_on_weights_and_collages(here: Path) -> None:
    got = json.loads(run("info", "tiny.safetensors", "--json").stdout)
    assert got["kind"] == "model" and got["config"]["width"] == 8 and got["parameters"] > 1000
    model = VDVAE.from_pretrained("tiny.safetensors")
    model.head.code(model.features([torch.Generator().manual_seed(0)])).save("a.safetensors")  # type: ignore[operator, union-attr]
    got = json.loads(run("info", "a.safetensors", "--json").stdout)
    assert got["kind"] == "collage code" and got["grid"] == "7 x 7" and got["channels"] == 3
    Path("b.safetensors").write_bytes(b"nothing")
    refused(run("info", "b.safetensors"), 1, "no safetensors file")

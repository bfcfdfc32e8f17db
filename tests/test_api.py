"""Public names: those in the README's table exist, and the top-level functions work."""

import ast
import copy
import importlib
import inspect
import math
import pkgutil
import re
import subprocess
import sys
import types
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fractalkit
from fractalkit import codes
from fractalkit.codes import AffineIFS, CollageCode, Flame, QuadtreeCode, Xform
from fractalkit.core import IteratedMap
from fractalkit.errors import DataError, UsageError
from fractalkit.fit import encode
from fractalkit.maps import apply_variation

ROOT = Path(fractalkit.__file__).parent
PACKAGES = sorted(f"fractalkit.{p.name}" for p in pkgutil.iter_modules(fractalkit.__path__) if p.ispkg)


def promised() -> list[tuple[str, str]]:
    """List the (package, name) pairs in the README's table of packages."""
    text = (ROOT.parent / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| package | contents |") :].split("\n\n")[0]
    out = []
    for row in table.splitlines()[2:]:
        package, content = (cell.strip() for cell in row.strip("|").split("|"))
        out += [(package.strip("`"), name) for name in re.findall(r"`([A-Za-z_]\w*)`", content)]
    assert len(out) > 40
    return out


@pytest.mark.parametrize(("package", "name"), promised())
def test_what_the_readme_promises_is_exported(package: str, name: str) -> None:
    home = importlib.import_module(package)
    try:
        value = getattr(home, name)
    except AttributeError:
        value = importlib.import_module(f"{package}.{name}")
    assert isinstance(value, types.ModuleType) or name in home.__all__
    assert name in dir(home)


@pytest.mark.parametrize("package", ["fractalkit", *PACKAGES])
def test_exports_exist_and_hide_no_module(package: str) -> None:
    home = importlib.import_module(package)
    modules = {p.name for p in pkgutil.iter_modules(home.__path__)}
    for name in getattr(home, "__all__", []):
        value = getattr(home, name)
        assert name not in modules or isinstance(value, types.ModuleType), f"{package}.{name} hides the module"
        assert name in dir(home)


def test_no_two_classes_share_a_public_name() -> None:
    homes = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))
    shared = {name: paths for name, paths in homes.items() if len(paths) > 1}
    assert not shared, shared


def test_the_package_is_light_and_complete() -> None:
    code = """
import sys, fractalkit
assert set(fractalkit.__all__) <= set(dir(fractalkit)) and len(fractalkit.__all__) == 22
print(sorted({"torch", "numpy", "PIL", "scipy", "numba"} & set(sys.modules)))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fractalkit.nothing  # noqa: B018


def test_a_cloud_is_fitted_saved_loaded_and_sampled(tmp_path: Path) -> None:
    triangle = fractalkit.preset("sierpinski-triangle")
    points = fractalkit.sample(triangle, 600, seed=3)
    assert points.shape == (600, 2) and points.equal(fractalkit.sample("sierpinski-triangle", 600, seed=3))
    assert not points.equal(fractalkit.sample(triangle, 600, seed=4))
    found = fractalkit.fit_cloud(points, maps=3, effort=0, seed=0)
    found.save(tmp_path / "a.ifs.json")
    again = fractalkit.load(tmp_path / "a.ifs.json")
    assert isinstance(again, AffineIFS) and again.matrices.equal(found.matrices)
    assert fractalkit.sample(tmp_path / "a.ifs.json", 50, seed=1).equal(fractalkit.sample(found, 50, seed=1))


def test_a_picture_is_compressed_and_decoded_at_any_size(tmp_path: Path) -> None:
    y, x = np.mgrid[:40, :56]
    picture = np.stack([x * 4, y * 6, x + y], axis=2).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    codes = [fractalkit.compress(p, quality=70) for p in (picture, Image.fromarray(picture), tmp_path / "a.png")]
    assert isinstance(codes[0], QuadtreeCode) and len({c.to_bytes() for c in codes}) == 1
    (tmp_path / "a.fk").write_bytes(codes[0].to_bytes())
    same = fractalkit.decompress(tmp_path / "a.fk")
    assert same.shape == (40, 56, 3) and np.abs(same.astype(float) - picture).mean() < 4
    assert fractalkit.decompress(codes[0], (112, 80)).shape == (80, 112, 3)
    assert fractalkit.compress(Image.new("P", (16, 16)), quality=50).channels == 3
    with pytest.raises(UsageError, match="quality"):
        fractalkit.compress(picture, method="coin", quality=3)
    with pytest.raises(UsageError, match="AffineIFS"):
        fractalkit.decompress("barnsley-fern")


def test_a_photograph_becomes_a_mosaic_of_itself() -> None:
    picture = torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(0))
    mosaic = fractalkit.fractalize(picture, tiles=6, size="3x")
    assert isinstance(mosaic.code, CollageCode) and mosaic.shape == (96, 144, 3) and mosaic.std() > 20
    assert fractalkit.decompress(mosaic.code, (96, 64)).shape == (64, 96, 3)
    assert fractalkit.render(mosaic, 72).shape == (48, 72, 3)
    assert np.abs(fractalkit.render(mosaic, "1x").astype(float) - mosaic).mean() < 3
    with pytest.raises(UsageError, match="size"):
        fractalkit.decompress(mosaic.code)
    with pytest.raises(UsageError, match=r"2\^26"):
        fractalkit.fractalize(picture, tiles=6, size=20000)


def test_codes_are_rendered(tmp_path: Path) -> None:
    fern = fractalkit.render("barnsley-fern", (60, 40), seed=1)
    assert fern.shape == (40, 60, 3) and fern.dtype == np.uint8 and fern.std() > 5
    assert np.array_equal(fern, fractalkit.render(fractalkit.preset("barnsley-fern"), (60, 40), seed=1))
    maps = (Xform(weight=1.0, coefs=(0.5, 0, 0, 0.5, 0.5, 0), variations={"linear": 1.0}),
            Xform(weight=1.0, coefs=(0.5, 0, 0, 0.5, -0.5, 0.3), variations={"swirl": 1.0}))  # fmt: skip
    Flame(xforms=maps, size=(40, 30), scale=10.0, quality=20.0).save(tmp_path / "a.flame")
    own = fractalkit.render(tmp_path / "a.flame")
    assert own.shape == (30, 40, 3) and own.max() > 50
    assert fractalkit.render(tmp_path / "a.flame", (20, 50), palette="viridis").shape == (50, 20, 3)
    with pytest.raises(UsageError, match="quality"):
        fractalkit.render("barnsley-fern", quality=3)
    with pytest.raises(DataError, match="no preset"):
        fractalkit.render("no-such-thing")
    assert inspect.ismodule(fractalkit.render) and fractalkit.render.save_png


def test_a_model_is_sampled() -> None:
    two = fractalkit.sample("vdvae_mnist", 2, (30, 44), seed=5)
    assert two.shape == (2, 1, 44, 30) and -1e-6 < float(two.min()) < float(two.max()) < 1 + 1e-6
    assert two[1:].equal(fractalkit.sample("vdvae_mnist", 1, (30, 44), seed=6))
    with pytest.raises(UsageError, match="Flame"):
        fractalkit.sample(Flame())
    with pytest.raises(UsageError, match="points"):
        fractalkit.sample("barnsley-fern", 3, (4, 4))


def test_a_model_gives_pictures_that_save_and_show_themselves(tmp_path: Path) -> None:
    model = fractalkit.open("vdvae_mnist")
    three = model.sample(3, 40, seed=5)
    assert three.equal(fractalkit.sample("vdvae_mnist", 3, (40, 40), seed=5)) and three.shape == (3, 1, 40, 40)
    three.save(tmp_path / "sheet.png")
    assert fractalkit.open(tmp_path / "sheet.png").shape == (80, 80)
    for k, one in enumerate(three):
        one.save(tmp_path / f"{k}.png")
        assert np.array_equal(fractalkit.open(tmp_path / f"{k}.png"), one.picture().eight_bit())
    assert three._repr_png_().startswith(b"\x89PNG") and three[0].pil.size == (40, 40)
    assert type(three.mean(0)) is torch.Tensor and type(1 - three) is torch.Tensor
    assert torch.equal(copy.deepcopy(three), three)
    with pytest.raises(UsageError, match="n: expected a whole number"):
        model.sample([torch.Generator()])


def test_sizes_are_written_as_in_the_shell() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    code = fractalkit.compress(picture, quality=80)
    sizes = {"2x": (24, 32, 3), 8: (6, 8, 3), (10, 20): (20, 10, 3), "40x30": (30, 40, 3), None: (12, 16, 3)}
    for size, shape in sizes.items():
        assert fractalkit.decompress(code, size).shape == shape
    assert fractalkit.enlarge(picture, "3x", detail=0).shape == (36, 48, 3)
    for wrong in ("large", 0, (1, 2, 3), True, "2y"):
        with pytest.raises(UsageError, match=r"^size"):
            fractalkit.decompress(code, wrong)


def test_a_code_and_a_map_of_ones_own_are_drawn() -> None:
    class Stripes:
        pass

    class StripesMap(IteratedMap):
        def __init__(self, width: int, height: int) -> None:
            self.shape = (3, height, width)

        def start(self) -> torch.Tensor:
            return torch.zeros(self.shape)

        def step(self, x: torch.Tensor) -> torch.Tensor:
            return x / 2 + torch.arange(self.shape[1])[:, None] % 2 / 4

    @fractalkit.register_map(Stripes)
    def stripes(code: Stripes, size: tuple[int, int]) -> StripesMap:
        return StripesMap(*size)

    picture = fractalkit.render(Stripes(), (7, 4))
    assert picture.shape == (4, 7, 3) and np.allclose(picture[:, 0, 0], [0, 0.5, 0, 0.5], atol=1e-3)
    with pytest.raises(UsageError, match="Stripes has a map already"):
        fractalkit.register_map(Stripes)(lambda code, size: None)


def test_a_variation_of_ones_own_is_registered() -> None:
    name = fractalkit.register_variation("api_wave", "w * (x + sin(rate * y)), w * y", rate=3)
    assert name == fractalkit.register_variation("api_wave", "w * (x + sin(rate * y)), w * y", rate=3)
    x, y = apply_variation("api_wave", torch.tensor([0.5]), torch.tensor([0.25]))
    assert float(x) == pytest.approx(0.5 + math.sin(0.75)) and float(y) == 0.25
    long = """
        s = 1 / (r2 + shift)
        return w * x * s, w * y * s
    """
    assert fractalkit.register_variation("api_shell", long, shift=0.5) == "api_shell"
    with pytest.raises(DataError, match="there is a variation api_wave already"):
        fractalkit.register_variation("api_wave", "w, w")
    with pytest.raises(DataError, match="variation api_broken"):
        fractalkit.register_variation("api_broken", "w * nothing, w")


def test_whatever_holds_a_picture_is_encoded(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (16, 24, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    each = (picture, Image.fromarray(picture), tensor, tensor / 255, tmp_path / "a.png")
    assert len({encode(x, quality=60).to_bytes() for x in each}) == 1


def test_gradients_of_points_are_those_of_finite_differences():
    """The mean of the points by one number of a matrix and of an offset, from the same stream."""
    matrices = torch.tensor([[[0.5, 0.1], [0.0, 0.4]], [[0.3, -0.2], [0.2, 0.5]]], dtype=torch.float64)
    offsets = torch.tensor([[0.0, 0.0], [1.0, 0.5]], dtype=torch.float64)

    def mean(step: float, which: int) -> torch.Tensor:
        a, t = matrices.clone(), offsets.clone()
        (a if which == 0 else t)[1, 0] += step
        return fractalkit.sample(AffineIFS(a, t, torch.ones(2)), 2000, seed=3, dtype=torch.float64)[:, 0].mean()

    a, t = matrices.clone().requires_grad_(), offsets.clone().requires_grad_()
    points = fractalkit.sample(AffineIFS(a, t, torch.ones(2)), 2000, seed=3, dtype=torch.float64)
    assert points.detach().equal(
        fractalkit.sample(AffineIFS(matrices, offsets, torch.ones(2)), 2000, seed=3, dtype=torch.float64)
    )
    points[:, 0].mean().backward()
    for which, gradient in enumerate((a.grad[1, 0].sum(), t.grad[1, 0])):
        assert abs(gradient - (mean(1e-5, which) - mean(-1e-5, which)) / 2e-5) < 1e-4


def test_a_film_from_code_to_code_fills_the_picture_half_way(tmp_path: Path) -> None:
    codes = ["barnsley-fern", "sierpinski-triangle"]
    fractalkit.animate(codes, tmp_path / "frames", frames=4, size=64, quality=20)
    for frame in sorted((tmp_path / "frames").iterdir()):
        lit = np.asarray(Image.open(frame).convert("L")) > 30
        sides = [np.flatnonzero(lit.any(axis)) for axis in (0, 1)]
        assert max(np.ptp(side) for side in sides) > 48
        assert all(abs(side.min() + side.max() - 63) < 10 for side in sides)


def test_wrong_arguments_are_told_in_one_sentence(tmp_path: Path) -> None:
    flame = codes.read_flames(b'<flame size="8 8" center="0 0" scale="4"><xform weight="1" linear="0.5"/></flame>')[0]
    points = np.random.default_rng(0).random((100, 3))
    cloud = fractalkit.compress(points, method="cloud", bytes=200)
    picture = fractalkit.compress(np.zeros((8, 8), np.uint8))
    gif = tmp_path / "a.gif"
    for wrong in (
        lambda: fractalkit.decompress(5),
        lambda: fractalkit.decompress(picture, points=5),
        *(partial(fractalkit.decompress, cloud, points=n) for n in (0, "x", 1.5, math.nan, True)),
        lambda: fractalkit.decompress(cloud, window=(0, 0, 1, 1)),
        *(partial(fractalkit.compress, points, method="cloud", bytes=n) for n in ("x", math.nan, 1e300, -1)),
        *(partial(codes.mutate, flame, seed) for seed in (-1, "x", math.nan, None)),
        lambda: codes.mutate("x"),
        lambda: fractalkit.render("nautilus", 16, up="q"),
        lambda: fractalkit.render("nautilus", 16, seed="x"),
        lambda: fractalkit.render("nautilus", 16, up="y", window=(0, 0, 8, 8)),
        lambda: fractalkit.sample("nautilus", 10**15),
        lambda: flame.save(tmp_path / "a.png"),
        lambda: codes.breed(flame, None),
        lambda: codes.Flame([codes.Xform(weight=1)]),
        lambda: fractalkit.decompress(picture, size=(5,)),
        lambda: fractalkit.sample("vdvae_mnist", device="toaster"),
        lambda: fractalkit.open(np.zeros((8, 8), np.uint8)).resize(3),
        *(partial(fractalkit.animate, flame, gif, **{k: v}) for k, v in (
            ("fps", 0), ("fps", math.nan), ("fps", "x"), ("frames", 1.5), ("frames", 0), ("quality", "x"), ("seed", -1),
            ("depth", "x"),
        )),
    ):  # fmt: skip
        with pytest.raises(UsageError) as told:
            wrong()
        assert 10 < len(str(told.value)) < 200
    assert not gif.exists()
    assert fractalkit.compress(np.zeros((8, 8), np.uint8), bytes=1e308).to_bytes()


def test_names_that_are_none_are_told_with_the_nearest(tmp_path: Path) -> None:
    grey = np.zeros((8, 8), np.uint8)
    for call, name in (
        (lambda: fractalkit.render("maple-leaf", siez=3), "size"),
        (lambda: fractalkit.render("maple-leaf", shape=(3, 4)), r"size=\(width, height\)"),
        (lambda: fractalkit.compress(grey, bits=3), "bytes"),
        (lambda: fractalkit.sample("maple-leaf", 10, sed=3), "seed"),
        (lambda: fractalkit.sample("vdvae_mnist", temprature=3), "temperature"),
        (lambda: fractalkit.fit(np.zeros((30, 2)), efort=3), "effort"),
        (lambda: fractalkit.fractalize(grey, tile=3), "tiles"),
        (lambda: fractalkit.fractalize(grey, texure=3), "texture"),
        (lambda: fractalkit.enlarge(grey, details=3), "detail"),
        (lambda: fractalkit.enlarge(grey, output="a.png"), r"save\(path\)"),
        (lambda: fractalkit.animate("maple-leaf", tmp_path / "x.gif", dept=3), "depth"),
        (lambda: fractalkit.save(grey, tmp_path / "x.jpg", qualty=3), "quality"),
        (lambda: fractalkit.solve(torch.cos, 0.0, tolerence=3), "tol"),
        (lambda: fractalkit.open("maple-leaf", max_point=3), "max_points"),
    ):
        with pytest.raises(UsageError, match=name) as told:
            call()
        assert isinstance(told.value, TypeError)
    for call, name in (
        (lambda: fractalkit.render("maple-leaf", 40, res=40), "res"),
        (lambda: fractalkit.enlarge(grey, width=40, scale=2), "scale"),
        (lambda: fractalkit.preset("maple-leaf").save(tmp_path / "a.ply"), "sample"),
        (lambda: fractalkit.save(np.zeros((9, 3)), tmp_path / "a.obj"), "surface"),
        (lambda: fractalkit.compress(np.full((4, 4), np.nan)), "finite"),
        (lambda: fractalkit.compress(np.full((4, 4), 255.0)), "uint8"),
        (lambda: fractalkit.solve(torch.cos), "x0"),
        (lambda: fractalkit.solve(3), "int"),
    ):
        with pytest.raises((UsageError, TypeError), match=name):
            call()
    assert not any(tmp_path.iterdir())

"""Write the files of a fit: the attractor's points, its code, a picture, and the figures of the fit."""

from __future__ import annotations

import hashlib
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fractalkit import __version__
from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.codes.dimension import similarity_dimension
from fractalkit.codes.json_files import checksum
from fractalkit.data.clouds import Cloud
from fractalkit.data.mesh_files import save_mesh
from fractalkit.data.writers import CloudWriter, needs_double
from fractalkit.errors import DataError, UsageError, naming
from fractalkit.fit import collage_bound, compare_clouds, fit_attractor, fit_cloud_style, sampling_floor
from fractalkit.fit.method import default_ranges
from fractalkit.fit.metrics import explained
from fractalkit.fit.strays import strays
from fractalkit.fit.target import named_strays
from fractalkit.orbit import extent, sample, stream
from fractalkit.orbit.api import why_not
from fractalkit.orbit.coverage import even as even_points
from fractalkit.raster.png import CODE_KEY, COMMAND_KEY, SEED_KEY, save_png
from fractalkit.render.code_picture import CODE_IN_PICTURE
from fractalkit.render.meshing import FEWEST, surface
from fractalkit.render.preview import preview as draw_preview

POINTS_OF_A_CODE = 1_000_000
EVEN_UP_TO = 2_000_000  # points of a fit that are drawn evenly by default
EVEN_AT_MOST = 20_000_000
MESH_POINTS = 200_000
MESH_POINTS_AT_MOST = 2_000_000
COMPARED = 20_000  # points of each cloud that is compared

Progress = Callable[[str, float], None]


@dataclass
class Clock:
    """Seconds spent on each stage of the work."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 3)


def write_fractal(
    source: Cloud | AffineIFS | CloudCollage, cloud_path: Path, *, code_path: Path | None = None,
    preview_path: Path | None = None, name: str = "", maps: int | str = "auto", method: str = "auto", effort: int = 5,
    points: int | None = None, even: bool | None = None, seed: int = 0, device: torch.device | str = "cpu",
    up: str = "auto", mesh: bool = False, style: Cloud | None = None, keep_strays: bool = False, command: str = "",
    clock: Clock | None = None, progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:  # fmt: skip
    """Fit a code to a cloud, or take a code; write its attractor, the code and a preview; return the report.

    Args:
        source: a cloud, which is fitted, or a code.
        cloud_path, code_path, preview_path: outputs; None is not written.
        name: of a code without a name, in the report and the preview; a fit is named after its cloud's file.
        maps, method, effort: of :func:`fractalkit.fit.fit_attractor`.
        points: of the attractor; None takes as many as the cloud has, or 1,000,000 for a code.
        even: cover the attractor evenly, else by its weights; None: evenly for plain fits of up to 2,000,000 points.
        device: to draw the points on, as torch names it, or "gpu"; see :func:`fractalkit.orbit.api.why_not`.
        up: axis that points up in the preview of a cloud in space, or "auto".
        style: a cloud of whose parts the fitted collage is made (:func:`fractalkit.fit.fit_cloud_style`).
        keep_strays: fit the points of a cloud that lie far from all others too.
        mesh: write a closed surface around 200,000 points of the attractor, or ``points``, instead of the points.
        command: kept in the code and the preview.
        progress: called with the stage and the share that is done.

    Returns:
        Facts that JSON can hold: sizes, distances as shares of the diagonal, their sampling floors, outputs, seconds.

    Raises:
        DataError: the cloud cannot be fitted, or an output cannot be written.
        UsageError: too many points for even coverage, or an option out of range.
    """
    clock = clock or Clock()
    cloud, far = _bulk(source, keep_strays) if isinstance(source, Cloud) else (None, None)
    name = Path(source.source).stem if isinstance(source, Cloud) else source.name or name
    if mesh:
        points, even = check_mesh(source, name, points), even is not False
    n = _points(cloud, points, even)
    options: dict[str, Any] = {"effort": effort, "seed": seed, "keep_strays": keep_strays, "progress": progress}
    ifs: AffineIFS | CloudCollage
    if isinstance(source, Cloud):
        assert cloud is not None
        with clock("fit"), naming(cloud.source):
            if style is not None:
                ifs = _styled(cloud, style, maps, options)
            else:
                ifs = fit_attractor(cloud.points, method=method, maps=maps, colours=cloud.colours, **options)
    else:
        ifs = source
    if even is None:  # a collage has the density of its scan
        even = cloud is not None and isinstance(ifs, AffineIFS) and n <= EVEN_UP_TO
    with clock("measure"):
        result = _describe(ifs, name, cloud, far) | (
            measure(ifs, None, seed) if cloud is None else measure(ifs, cloud.points, seed, cloud.colours)
        )
    result |= {"command": command, "seed": seed, "points": n, "even": even}
    if cloud is not None:
        ifs = _with_provenance(ifs, result, cloud)
    with clock("draw"):
        write = write_mesh if mesh else write_points
        result["not_by_device"] = why_not(ifs, device, double=_double(ifs), even=even)
        notes = write(cloud_path, ifs, n, even=even, seed=seed, device=device, progress=progress)
        result["notes"] += notes or ()
    if code_path is not None:
        _save_code(ifs, code_path)
        result["code_bytes"] = code_path.stat().st_size
    if preview_path is not None:
        with clock("picture"):
            _save_preview(preview_path, ifs, cloud, result, up, lambda share: progress("picture", share))
    paths = {"mesh" if mesh else "cloud": cloud_path, "code": code_path, "preview": preview_path}
    result["outputs"] = {kind: str(path) for kind, path in paths.items() if path is not None}
    return result | {"seconds": clock.seconds}


def _points(cloud: Cloud | None, points: int | None, even: bool | None) -> int:
    """The number of points, by the defaults of :func:`write_fractal`."""
    n = points or (len(cloud) if cloud is not None else POINTS_OF_A_CODE)
    if even and n > EVEN_AT_MOST:
        raise UsageError(f"--even holds all points in memory, at most {EVEN_AT_MOST:,}; use --chaos for {n:,}")
    return n


def _bulk(cloud: Cloud, keep_strays: bool) -> tuple[Cloud, str | None]:
    """The cloud without its strays, and a sentence that names them."""
    far = np.zeros(0, np.int64) if keep_strays else strays(cloud.points)
    return (cloud.without(far), named_strays(cloud.points, far)) if len(far) else (cloud, None)


def _styled(cloud: Cloud, style: Cloud, maps: int | str, options: dict[str, Any]) -> CloudCollage:
    ranges = default_ranges(cloud.points, options["effort"]) if maps == "auto" else int(maps)
    code = fit_cloud_style(
        cloud.points, style.points, maps=ranges,
        colours=cloud.colours, style_colours=style.colours, **options,
    )  # fmt: skip
    hidden = code.provenance["style_ranges"]
    made = {
        "method": "collage", "maps_rule": "auto" if maps == "auto" else "given",
        "reason": f"its parts are those of {Path(style.source).name}, which {hidden:,} of the ranges are",
    }  # fmt: skip
    return replace(code, provenance=code.provenance | made)


def _save_code(code: AffineIFS | CloudCollage, path: Path) -> None:
    """Write a code; a plain IFS as a collage of one vertex where the file is to hold tensors."""
    if isinstance(code, AffineIFS) and path.suffix.lower() == ".safetensors":
        code = CloudCollage.of(code)
    code.save(path)


def measure(
    ifs: AffineIFS | CloudCollage, points: np.ndarray | None, seed: int, rgb: np.ndarray | None = None
) -> dict[str, Any]:
    """Distances over the diagonal of the bounding box of the input, or of the attractor, and their sampling floors.

    ``floor_attractor`` compares two independent samples of the attractor, ``floor_input`` the input with itself, each
    point against the others; ``collage_bound`` bounds the Hausdorff distance by the collage theorem. Of colours
    ``rgb [N, 3]``, ``colours_explained`` is R^2, of the attractor's points against the nearest ones of the input.
    """
    n = COMPARED if points is None else min(COMPARED, len(points))
    first = sample(ifs, n, seed=seed + 1, colours=ifs.coloured and rgb is not None)
    a, b = (o.points.double().cpu().numpy() for o in (first, sample(ifs, n, seed=seed + 2)))
    out: dict[str, Any] = {"compared_points": n, "floor_attractor": compare_clouds(a, b, seed=seed).to_dict()}
    if points is None:
        return out
    some = points
    if len(points) > n:
        some = points[np.random.default_rng(seed).choice(len(points), n, replace=False)]
    diagonal = float(np.linalg.norm(points.max(axis=0) - points.min(axis=0))) or 1.0
    if first.colours is not None and rgb is not None:
        out["colours_explained"] = explained(a, first.colours.double().cpu().numpy(), points, rgb)
    out["comparison"] = compare_clouds(a, some, seed=seed).to_dict()
    out["floor_input"] = sampling_floor(some, seed=seed).to_dict()
    if isinstance(ifs, AffineIFS):
        out["collage_bound"] = collage_bound(ifs, some) / diagonal
    elif "collage_bound" in ifs.provenance:
        out["collage_bound"] = float(ifs.provenance["collage_bound"]) / diagonal
    return out


def figures(result: dict[str, Any]) -> list[str]:
    """Short strings for the caption of a preview."""
    out = [f"{result['maps']:,} maps"]
    if result.get("similarity_dimension", math.inf) <= result["dimension"]:
        out.append(f"dimension {result['similarity_dimension']:.3f}")
    if "comparison" in result:
        out.append(f"Chamfer {result['comparison']['chamfer']:.3%} (floor {result['floor_input']['chamfer']:.3%})")
        out.append(f"F-score at 1 % {result['comparison']['fscore']:.3f}")
    return out


def _describe(ifs: AffineIFS | CloudCollage, name: str, cloud: Cloud | None, far: str | None) -> dict[str, Any]:
    fitted = cloud is not None
    result: dict[str, Any] = {
        "name": name,
        "maps": len(ifs),
        "dimension": ifs.dim,
        "method": "collage" if isinstance(ifs, CloudCollage) else "ifs",
        "reason": ifs.provenance.get("reason", "") if fitted else "",
        "maps_rule": ifs.provenance.get("maps_rule", "given") if fitted else "a code",
        "lipschitz": ifs.lipschitz(),
        "coloured": ifs.coloured,
        "notes": list(ifs.provenance.get("notes", [])) if fitted else [],
        "warnings": [] if cloud is None else list(cloud.warnings),
    }
    if isinstance(ifs, AffineIFS):
        result["similarity_dimension"] = similarity_dimension(ifs)
    if far is not None:
        result["notes"].append(f"{far}; --keep-strays fits them too")
    if cloud is not None:
        if cloud.triangles:
            result["notes"].append(f"a mesh of {cloud.triangles:,} triangles, from whose surface points were drawn")
        result["input"] = {"kind": cloud.kind, "points": len(cloud), "triangles": cloud.triangles}
    return result


def _with_provenance(ifs: AffineIFS | CloudCollage, result: dict[str, Any], cloud: Cloud) -> AffineIFS | CloudCollage:
    """A fitted code with its name, its input and its figures."""
    keys = ("comparison", "floor_input", "floor_attractor", "collage_bound", "colours_explained")
    shown = {k: result[k] for k in keys if k in result}
    made = {"source": Path(cloud.source).name, "command": result["command"], "version": __version__,
            "checksum": checksum(ifs)}  # fmt: skip
    return replace(ifs, name=result["name"], provenance={**ifs.provenance, **made, "figures": shown})


def write_points(
    path: Path,
    ifs: AffineIFS | CloudCollage,
    n: int,
    *,
    even: bool = False,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress = lambda stage, share: None,
) -> None:
    """Write n points of an attractor; those by weight in pieces, so that memory does not grow with n.

    Coordinates are float64 where float32 would round them visibly. Points of a collage by weight are stratified.
    """
    double = _double(ifs)
    dtype = torch.float64 if double else torch.float32
    collage = isinstance(ifs, CloudCollage)
    if why_not(ifs, device, double=double, even=even):
        device = "cpu"
    coloured = ifs.coloured
    pieces = (
        iter([even_points(ifs, n, dtype=dtype, colours=coloured)])
        if even
        else stream(ifs, n, seed=seed, dtype=dtype, device=device, colours=coloured, stratified=collage)
    )
    with CloudWriter(path, dim=ifs.dim, colours=coloured, double=double, comment=_comment(ifs, even, seed)) as out:
        for piece in pieces:
            rgb = None if piece.colours is None else piece.colours.cpu().numpy()
            out.write(piece.points.cpu().numpy(), rgb)
            progress("draw", out.count / n)


def _double(ifs: AffineIFS | CloudCollage) -> bool:
    """Whether float32 would round the coordinates visibly."""
    low, high = extent(ifs)
    return needs_double(low.numpy(), high.numpy())


def check_mesh(source: Cloud | AffineIFS | CloudCollage, name: str, points: int | None) -> int:
    """The number of points that a surface is wrapped around; call it before the work.

    Raises:
        DataError: a source in the plane.
        UsageError: too few or too many points.
    """
    if source.dim == 2:
        raise DataError(f"{name}: lies in the plane and has no surface; write a cloud, or look at the picture")
    if points is not None and not FEWEST <= points <= MESH_POINTS_AT_MOST:
        raise UsageError(f"--points: a mesh needs {FEWEST} to {MESH_POINTS_AT_MOST:,} points, got {points:,}")
    return points or MESH_POINTS


def write_mesh(path: Path, ifs: AffineIFS | CloudCollage, n: int, *, seed: int = 0, **options: Any) -> list[str]:
    """Write the closed surface of n points of an attractor, and say how it was made; options of write_points."""
    with tempfile.TemporaryDirectory() as folder:
        write_points(Path(folder) / "points.npy", ifs, n, seed=seed, **options)
        table = np.load(Path(folder) / "points.npy", allow_pickle=False)
    made = surface(table[:, :3], table[:, 3:6] if table.shape[1] == 6 else None)
    save_mesh(path, made, _comment(ifs, bool(options.get("even")), seed))
    return [f"{len(made.triangles):,} triangles: {note}" for note in made.notes]


def _comment(ifs: AffineIFS | CloudCollage, even: bool, seed: int) -> str:
    digest = hashlib.sha256(ifs.to_json().encode()).hexdigest()
    drawn = "by address" if isinstance(ifs, CloudCollage) else "chaos game"
    method = "even" if even else f"{drawn}, seed {seed}"
    return f"FractalKit {__version__}, attractor of {ifs.name or 'a code'}, {method}, code sha256 {digest}"


def _save_preview(
    path: Path, ifs: AffineIFS | CloudCollage, cloud: Cloud | None, result: dict[str, Any], up: str,
    progress: Callable[[float], None],
) -> None:  # fmt: skip
    image = draw_preview(
        None if cloud is None else cloud.points,
        None if cloud is None else cloud.colours,
        ifs,
        title=result["name"],
        figures=figures(result),
        seed=result["seed"],
        up=up,
        usual=None if cloud is None else cloud.up,
        progress=progress,
    )
    texts = {SEED_KEY: str(result["seed"]), COMMAND_KEY: result["command"]}
    code = ifs.to_json()
    if len(code) <= CODE_IN_PICTURE:
        texts[CODE_KEY] = code
    else:
        result["notes"].append(f"the code is too large for the picture to carry; {path.name} holds none")
    save_png(path, image, text=texts)

"""The tables of variations that simulate before they draw, of the numbers and texts that a flame has for them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from fractalkit.codes.chords import MOST_CHORDS, chords
from fractalkit.codes.formula_values import values_of
from fractalkit.codes.java_formula import expression
from fractalkit.codes.l_systems import lines_of
from fractalkit.codes.metaballs import MOST_BALLS, metaballs
from fractalkit.codes.simulations import (
    MOST_CURL,
    MOST_PARTICLES,
    MOST_STEPS,
    JavaRandom,
    closed_tube,
    cluster,
    crystal,
    curliecue,
    depths,
    polygons,
    terrain,
    tube,
    turned_lattice,
)
from fractalkit.codes.solids import finer, smooth, solid
from fractalkit.errors import DataError

Numbers = Mapping[str, float]
Texts = Mapping[str, str]
Table = tuple[list[float], tuple[str, ...]]  # its numbers, and what is to be said
MOST_MANDALA = 362  # points of a side, whose square is as many numbers as a table may have
MOST_LATTICE = 2896  # points of a side of the lattice about them, 2^23 in all
WRAPS = (0.0, 12.0, 8.0, 6.0, 4.0, 3.0, 2.0, 1.5, 1.0)
# what maurer_lines is drawn with; other modes are not known
MAURER: dict[str, tuple[int, ...]] = {
    "render_mode": (0, 1, 2, 3, 4, 5), "render_submode": (0, 1), "cosets_mode": (0,), "meta_mode": (0,),
    "number_of_filters": (0,), "diff_mode": (0,), "show_curve": (0,), "tangent_submode": tuple(range(13)),
}  # fmt: skip
MOST_TRIANGLES = 14_000
MOST_PIXELS, MOST_SIDE = 50_000_000, 256
PRIMITIVES = (
    "ball", "capsule", "cone", "diamond", "torus", "box", "", "icosahedron", "tetrahedron", "octahedron",
    "dodecahedron", "", "icosidodecahedron", "cubeoctahedron",
)  # fmt: skip
SKEWS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 23, 24, 25, 31, 32, 36, 47, 48, 63, 64)


@dataclass(frozen=True)
class Simulated:
    """How a table is made.

    Attributes:
        table: its name in the formula.
        make: from the numbers and texts, the table.
        numbers: parameters that it depends on, with their defaults; texts: attributes that are texts.
        plain: texts that are taken as the hexadecimal digits that they are.
    """

    table: str
    make: Callable[[Numbers, Texts], Table]
    numbers: dict[str, float]
    texts: dict[str, str] = field(default_factory=dict)
    plain: tuple[str, ...] = ()


def _rows(head: float, rows: np.ndarray) -> list[float]:
    return [float(head), *np.asarray(rows, np.float64).ravel().tolist()]


def _cut(name: str, wanted: float, most: int) -> tuple[str, ...]:
    return (f"{name} {wanted:,.0f} is more than is simulated; {most:,} are",) if wanted > most else ()


def _dla(n: Numbers, texts: Texts) -> Table:
    size = max(int(n["buffer_size"]), 8)
    points, _ = cluster(int(n["max_iter"]) + 1, int(n["seed"]), space=False, half=size // 2)
    return _rows(len(points), points / size), _cut("dla_wf_max_iter", n["max_iter"], MOST_PARTICLES)


def _dla3d(n: Numbers, texts: Texts) -> Table:
    points, parents = cluster(
        int(n["max_iter"]), int(n["seed"]), space=True, glue=min(max(n["glue_radius"], 0.1), 10.0),
        force=[n[f"force_{axis}"] for axis in "xyz"],
    )  # fmt: skip
    rows = np.column_stack([points, depths(parents), parents])
    return _rows(len(rows), rows), _cut("dla3d_wf_max_iter", n["max_iter"], MOST_PARTICLES)


def _snowflake(n: Numbers, texts: Texts) -> Table:
    rows = crystal(
        int(n["buffer_size"]), int(n["max_iter"]), n["bg_freeze_level"], n["fg_freeze_speed"], n["diffusion_speed"],
        n["diffusion_asymmetry"], n["rnd_bg_noise"], n["threshold"], int(n["seed"]),
    )  # fmt: skip
    if not len(rows) or not np.isfinite(rows).all():
        raise DataError("no point of the crystal is above the threshold")
    return _rows(len(rows), rows), _cut("snowflake_wf_max_iter", n["max_iter"], MOST_STEPS)


def _terrain(n: Numbers, texts: Texts) -> Table:
    heights = terrain(
        int(n["Size (N PowersOf 2)"]), n["roughness"], int(n["seed"]), int(n["subdiv_level"]),
        int(n["subdiv_smooth_passes"]), n["subdiv_smooth_lambda"], n["subdiv_smooth_mu"],
    )  # fmt: skip
    if not np.isfinite(heights).all():
        raise DataError("the heights are not finite")
    return _rows(len(heights) - 1, heights), ()


def _mandala(n: Numbers, texts: Texts) -> Table:
    wrap = WRAPS[int(n["wrap_range"]) % len(WRAPS)]
    most = min(MOST_MANDALA, int(MOST_LATTICE / wrap)) if wrap else MOST_MANDALA
    width = int(min(max(n["width"], 8), most))
    parts, turns = int(min(max(n["denom"], 3), 17)), int(min(max(n["num"], 1), 16))
    orbit = turned_lattice(
        width, turns, parts, n["minsky"] == 1, 10 ** (-6 + 0.5 * n["wobble"]) if 0 < n["wobble"] < 9 else 0.0,
        wrap, SKEWS[int(n["hskew"]) % len(SKEWS)],
    )  # fmt: skip
    return _rows(width, np.log(orbit) % 1), _cut("mandala_width", n["width"], most)


def _gpattern(n: Numbers, texts: Texts) -> Table:
    given = [int(s) if s.strip().isdecimal() and len(s.strip()) < 5 else 0 for s in texts["string"].split(",")]
    rows = polygons(
        [s if 3 <= s <= 20 else 3 for s in given], int(n["seed"]), min(max(n["width"], 0), 10),
        min(max(n["height"], 0), 10), min(max(n["lineheight"], 0.01), 1.5), n["randPos"], n["randSize"],
        fill=n["fill"] == 1, outline=n["ouline"] == 1, color=n["fill color"], speed=n["fill color speed"],
        edge=n["outline color"],
    )  # fmt: skip
    if not len(rows):
        raise DataError("neither fill nor outline is on")
    return _rows(len(rows), rows), ()


def _field(n: Numbers, texts: Texts, arguments: str) -> Callable[..., tuple[float, float, float]]:
    """The three formulas as a function of ``arguments``, names of one letter."""
    if not all(texts[f"{axis}formula"].strip() for axis in "xyz"):
        raise DataError("has no formulas")
    fixed = {f"a_{name}": value for name, value in n.items() if name.startswith("param_")}
    names = {name: f"a_{name}" for name in arguments} | {name[2:]: name for name in fixed}
    parts = [values_of(expression(texts[f"{a}formula"], names, f"{a}formula"), fixed, f"{a}formula") for a in "xyz"]

    def at(*given: float) -> tuple[float, float, float]:
        point = {f"a_{name}": value for name, value in zip(arguments, given, strict=True)}
        return parts[0](point), parts[1](point), parts[2](point)

    return at


def _attractor(n: Numbers, texts: Texts) -> Table:
    start = [n[f"start_{axis}"] for axis in "xyz"]
    rows = tube(_field(n, texts, "xyz"), start, n["stepTime"], int(1000 * n["steps"]), int(n["warmup"]))
    if not len(rows) or not np.isfinite(rows).all():
        raise DataError("the way of its point leaves all bounds")
    return _rows(len(rows), rows), _cut("the places of sattractor3D,", 1000 * n["steps"], len(rows))


def _knot(n: Numbers, texts: Texts) -> Table:
    rows = closed_tube(_field(n, texts, "t"), int(n["steps"]))
    if not (np.abs(rows) < 1e9).all():
        raise DataError("its curve is not finite everywhere")
    return _rows(len(rows), rows), _cut("knots3D_steps", n["steps"], len(rows))


def _curliecue(n: Numbers, texts: Texts) -> Table:
    rows = curliecue(int(n["Points"]), JavaRandom(int(n["seed"])).uniform(), min(max(n["eccentricity"], 0), 1))
    return _rows(len(rows) - 1, rows), ()


def _curliecue2(n: Numbers, texts: Texts) -> Table:
    rows = curliecue(MOST_CURL, JavaRandom(int(n["seed"])).uniform(), 0, 0.001)[1:]
    return _rows(len(rows), rows), ()


def _metaballs(n: Numbers, texts: Texts) -> Table:
    table = metaballs(n)
    if not table[0] or not np.isfinite(table).all():
        raise DataError("no point is within its balls")
    return table, _cut("metaballs3d_wf_mb_count", n["mb_count"], MOST_BALLS)


def _lsystem(n: Numbers, texts: Texts) -> Table:
    if not texts["grammar"].strip():
        raise DataError("has no grammar")
    rows = np.array(lines_of(texts["grammar"], int(n["iters"]), n["step"], n["angle"]))
    return _rows(len(rows), rows), ()


def _mesh(n: Numbers, texts: Texts) -> Table:
    known = dict(enumerate(PRIMITIVES))
    if int(n["primitive"]) not in known or not known[int(n["primitive"])]:
        raise DataError(f"its primitive {n['primitive']:.0f} is not known")
    points, faces = solid(known[int(n["primitive"])])
    for _ in range(int(min(max(n["subdiv_level"], 0), 6))):
        if 4 * len(faces) > MOST_TRIANGLES:
            break
        points, faces = finer(points, faces)
        passes = int(min(max(n["subdiv_smooth_passes"], 0), 24))
        points = smooth(points, faces, passes, n["subdiv_smooth_lambda"], n["subdiv_smooth_mu"])
    if not np.isfinite(points).all():
        raise DataError("its mesh is smoothed out of all bounds")
    return _rows(len(faces), points[faces]), ()


def _image(n: Numbers, texts: Texts) -> Table:
    """The brightness of an image, at most 256 pixels a side."""
    from PIL import Image

    if not texts["inlined_image"].strip():
        raise DataError("has no image of its own")
    try:
        with Image.open(
            io.BytesIO(bytes.fromhex(texts["inlined_image"])), formats=("JPEG", "PNG", "BMP", "GIF")
        ) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(f"its image of {image.width} x {image.height} pixels is too large")
            image.draft("RGB", (MOST_SIDE, MOST_SIDE))
            small = image.convert("RGB")
            small.thumbnail((MOST_SIDE, MOST_SIDE))
    except DataError:
        raise
    except Exception as error:  # whatever a decoder raises
        raise DataError(f"its image cannot be read ({type(error).__name__})") from None
    light = np.asarray(small, np.float64) @ [0.299, 0.588, 0.113] / 255
    return _rows(light.shape[1], np.concatenate([[light.shape[0]], light.ravel()])), ()


def _maurer(n: Numbers, texts: Texts) -> Table:
    for name, known in MAURER.items():
        if n[name] not in known:
            raise DataError(f"its {name} {n[name]:g} is not known")
    head, rows = chords(n)
    return [*head, *rows.ravel().tolist()], _cut("maurer_lines_line_count", n["line_count"], MOST_CHORDS)


_MESH = {"colormap_filename": "", "displ_map_filename": ""}
SIMULATED: dict[str, Simulated] = {
    "dla_wf": Simulated("dla_table", _dla, {"buffer_size": 800, "max_iter": 6000, "seed": 666}),
    "dla3d_wf": Simulated(
        "dla3d_table", _dla3d,
        {"max_iter": 320, "seed": 0, "glue_radius": 1, "force_x": 0, "force_y": 0, "force_z": 0, "single_thread": 0},
        {f"{part}_{kind}_filename": "" for part in ("node", "junct") for kind in ("obj", "colormap")},
    ),
    "snowflake_wf": Simulated(
        "snow_table", _snowflake,
        {"buffer_size": 128, "max_iter": 500, "bg_freeze_level": 0.5, "fg_freeze_speed": 0.0005,
         "diffusion_speed": 0.01, "diffusion_asymmetry": 1, "rnd_bg_noise": 0.25, "threshold": 0.65, "seed": 12345},
    ),
    "terrain3D": Simulated(
        "terrain_table", _terrain,
        {"roughness": 0.5, "Size (N PowersOf 2)": 5, "seed": 0, "subdiv_level": 0, "subdiv_smooth_passes": 12,
         "subdiv_smooth_lambda": 0.42, "subdiv_smooth_mu": -0.45}, dict(_MESH),
    ),
    "mandala": Simulated(
        "mandala_table", _mandala,
        {"width": 300, "num": 1, "denom": 3, "minsky": 0, "wobble": 0, "wrap_range": 0, "hskew": 0},
    ),
    "gpattern": Simulated(
        "gpattern_table", _gpattern,
        {"seed": 10000, "width": 4, "height": 2, "lineheight": 0.15, "randPos": 0, "randSize": 0, "fill": 1,
         "ouline": 0, "fill color": 0, "fill color speed": 1, "outline color": 0}, {"string": "3,4,5,6,5,4,3"},
    ),
    "sattractor3D": Simulated(
        "attractor3D_table", _attractor,
        {"presetId": -1, "steps": 1, "stepTime": 0.05, "start_x": 0.1, "start_y": 1, "start_z": 1, "warmup": 1000,
         **{f"param_{c}": 1.0 for c in "abcdefgh"}},
        {**{f"{axis}formula": "" for axis in "xyz"}, "presetId_reference": "", **_MESH},
    ),
    "knots3D": Simulated(
        "knot_table", _knot, {"presetId": -1, "steps": 1500, **{f"param_{c}": 1.0 for c in "abcdefgh"}},
        {**{f"{axis}formula": "" for axis in "xyz"}, "presetId_reference": "", **_MESH},
    ),
    "curliecue": Simulated("curliecue_table", _curliecue, {"Points": 500, "seed": 1000, "eccentricity": 0}),
    "curliecue2": Simulated("curliecue2_table", _curliecue2, {"seed": 1000}),
    "metaballs3d_wf": Simulated(
        "metaballs_table", _metaballs,
        {"mb_mode": 0, "mb_count": 64, "mb_min_radius": 0.35, "mb_max_radius": 0.75, "mb_negative": 0.3,
         "mb_seed": 1234, "mb_sharpness": 2.75, "border_size": 0.42, **{f"{a}min": -np.pi for a in "xyz"},
         **{f"{a}max": np.pi for a in "xyz"}, "max_iter": 160, "direct_color": 1, "color_mode": 9, "blend_colormap": 0},
        {"colormap_filename": ""},
    ),
    "lsystem_js": Simulated(
        "lsystem_table", _lsystem, {"iters": 1, "step": 0.1, "angle": 0, "presetId": -1},
        {"grammar": "", "presetId_reference": ""},
    ),
    "maurer_lines": Simulated(
        "maurer_table", _maurer,
        {"a": 2, "b": 1, "c": 0, "d": 1, "e": 1, "f": 1, "g": 1, "h": 1, "curve_mode": 3, "theta_step_size": 71,
         "initial_theta": 0, "line_count": 360, "irrationalize": 0, "direct_color_measure": 1,
         "direct_color_thresholding": 0, "color_low_threshold": 0.3, "color_high_threshold": 2,
         **dict.fromkeys(MAURER, 0)},
    ),
    "obj_mesh_primitive_wf": Simulated(
        "mesh_table", _mesh,
        {"primitive": 0, "subdiv_level": 0, "subdiv_smooth_passes": 12, "subdiv_smooth_lambda": 0.42,
         "subdiv_smooth_mu": -0.45}, {**_MESH, "primitive_reference": ""},
    ),
    "post_bumpmap_wf": Simulated(
        "image_table", _image, {}, {"image_filename": "", "inlined_image": ""}, plain=("inlined_image",)
    ),
}  # fmt: skip

"""``fractalkit ifs``: fit a code to a cloud, or take a code; write its attractor, the code and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit.cli.common import Progress, answer, command_line, drew, emit, pick_engine, warn
from fractalkit.cli.completion import presets
from fractalkit.cli.options import PATH, SEED, Real, Whole, device_option, json_option, source_argument
from fractalkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from fractalkit.cli.outputs import Outputs
    from fractalkit.codes.affine import AffineIFS
    from fractalkit.codes.cloud_collage import CloudCollage
    from fractalkit.data import Cloud
    from fractalkit.render.fractal_files import Clock

IFS_MAPS, COLLAGE_MAPS = 64, 1 << 16
JSON_MAPS = 4096  # a code of more is written as tensors
LABELS = {"chamfer": "Chamfer", "hausdorff95": "Hausdorff 95 %", "hausdorff": "Hausdorff", "fscore": "F-score at 1 %"}


class MapCount(click.ParamType):
    """A whole number from 1, or the word auto."""

    name = "INT|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value == "auto" or (isinstance(value, int) and value >= 1):
            return value
        if str(value).isdecimal() and int(value) >= 1:
            return int(value)
        self.fail(f"{value!r} is neither a whole number from 1 nor 'auto'", param, ctx)


@click.command(
    epilog="""\b
Examples:
  fractalkit ifs bunny.ply                      fit; bunny.ifs.ply, .ifs.json and .ifs.png
  fractalkit ifs scan.ply --maps 4096           a collage of 4,096 ranges
  fractalkit ifs bunny.ply --method ifs --maps 16
  fractalkit ifs horse.ply --style bunny.ply    a horse made of parts of a bunny
  fractalkit ifs scan.pcd -o fractal.pcd        the attractor as PCD, code and picture beside it
  fractalkit ifs leaf.csv --effort 2 --seed 7   faster, less accurate
  fractalkit ifs leaf.png --maps 6              a picture: what differs from its ground is fitted
  fractalkit ifs bunny.ifs.json --points 1e8 -o big.ply --no-preview
  fractalkit ifs bunny.ifs.json -o bunny.stl    a watertight surface, to print; needs Open3D
  fractalkit ifs scan.fk --code scan.ifs.json   a compressed cloud, as a code
  fractalkit ifs barnsley-fern                  a preset; --list shows them all
  fractalkit ifs bunny.ifs.png                  pictures carry their code

Distances are shares of the diagonal of the input's bounding box. Read them beside their sampling
floor, the distance between two samples of the same set."""
)
@source_argument("source", required=False, shell_complete=presets)
@click.option(
    "--method", type=click.Choice(["auto", "ifs", "collage"]), default=None,
    help="A plain IFS, the union of copies of the whole; a collage, whose ranges are copies of parts; or auto: a plain "
    "IFS where the cloud is an attractor, else a collage.  [default: auto]",
)  # fmt: skip
@click.option("--maps", type=MapCount(), default=None,
              help="Number of maps to fit: up to 64, or 65,536 of a collage.  [default: auto]")  # fmt: skip
@click.option("--threshold", type=Real(0, 1),
              help="Of a picture: pixels lighter than this, darker on a light ground, or more opaque, are fitted."
              "  [default: by Otsu's rule]")  # fmt: skip
@click.option("--kind", type=click.Choice(["auto", "set", "measure"]), default=None,
              help="Of a picture: fit its outline, or its brightness too.  [default: auto]")  # fmt: skip
@click.option("--style", type=PATH, help="Another cloud or mesh, whose parts the collage is made of.")
@click.option("--keep-strays", is_flag=True, help="Fit points far from all others too, which are left out otherwise.")
@click.option("--points", type=float, metavar="N", help="Points of the output cloud.  "
              "[default: as many as the input has, or 1,000,000 for a code]")  # fmt: skip
@click.option("-o", "--out", type=PATH, help="Cloud: ply, pcd, xyz, pts, txt, csv or npy. Mesh: obj, stl, glb or off.")
@click.option("--mesh", is_flag=True, help="Write a closed surface instead of points, as PLY too; needs Open3D.")
@click.option("--view", is_flag=True, help="Show the result in a window of Open3D.")
@click.option("--code", type=PATH, help="Code, as JSON or safetensors.")
@click.option("--preview", type=PATH, help="Picture, as PNG: input and attractor side by side.")
@click.option("--no-preview", is_flag=True, help="Write no picture.")
@click.option("--up", type=click.Choice(["auto", "x", "y", "z"]), default="auto",
              help="Axis that points up in the picture of a cloud in space.")  # fmt: skip
@click.option("--seed", type=SEED, default=0, help="Random seed; fixes every result.")
@click.option(
    "--effort", type=Whole(0, 9), help="Effort of the fit; each step doubles it.  [default: 5, of a picture 3]"
)
@device_option("cpu", "gpu", "cuda", "mps")
@click.option("--even/--chaos", "evenly", default=None,
              help="Cover the attractor evenly, or by its weights as the chaos game does."
              "  [default: even for a plain fit of up to 2,000,000 points, else chaos]")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a code that was edited since it was written.")
@json_option
@click.option("--list", "list_", is_flag=True, help="List the presets.")
@click.pass_context
def ifs(
    ctx: click.Context, source: str | None, method: str | None, maps: int | str | None, threshold: float | None,
    kind: str | None, style: Path | None, keep_strays: bool, points: float | None, out: Path | None, mesh: bool,
    view: bool, code: Path | None, preview: Path | None, no_preview: bool, up: str, seed: int, effort: int | None,
    device: str, evenly: bool | None, force: bool, as_json: bool, list_: bool,
) -> None:  # fmt: skip
    """Draw a code, or fit one to a cloud or a picture.

    SOURCE is a cloud or mesh (ply, pcd, xyz, pts, txt, csv, npy, npz, las, laz, e57, bin, splat; obj, off, stl, glb,
    gltf, 3mf) or a picture (png, jpg, tif ...; transparent, or of a subject on a plain ground), which is fitted; or a
    code (.ifs.json, .safetensors, the .ifs of Fractint, the .fk file of a cloud, a picture that FractalKit made, a
    preset), which is drawn. The outputs are the attractor as a cloud, its code, and a picture: NAME.ifs.ply,
    NAME.ifs.json, NAME.ifs.png in the current folder by default.
    """
    if list_:
        _list(as_json)
        return
    if source is None:
        raise UsageError("give a SOURCE: a cloud, a code, or the name of a preset (--list shows them)")
    path, pictured = Path(source), _is_picture(source)
    ifs_code = None if pictured else _open(source)
    _check_fitted(ifs_code is not None, method, maps, effort, style)
    if pictured and style is not None:
        raise UsageError("--style: is for clouds; of pictures, `fractalkit fractalize --style` takes one")
    _check_pictured(pictured, {"--threshold": threshold, "--kind": kind}, method, mesh, view)
    _check_maps(maps, "ifs" if pictured else method)
    if no_preview and preview is not None:
        raise UsageError("--preview and --no-preview contradict each other; give one of them")
    count = None if points is None else _whole(points)
    from fractalkit.cli.outputs import plan_outputs

    keep_code = ifs_code is None or not path.is_file()
    planned = plan_outputs(
        source,
        out=out,
        code=code,
        preview=preview,
        keep_code=keep_code,
        picture=not no_preview,
        mesh=mesh,
        many=isinstance(maps, int) and maps > JSON_MAPS,
        force=force,
    )
    if view:
        from fractalkit.render.window import check_screen

        check_screen("--view")
    where, engine = pick_engine(device)
    from fractalkit.render.fractal_files import Clock, write_fractal

    clock, progress = Clock(), Progress()
    try:
        common: dict[str, Any] = {
            "code_path": planned.code, "preview_path": planned.preview, "maps": maps or "auto", "points": count,
            "even": evenly, "seed": seed, "command": command_line(ctx), "clock": clock, "progress": progress,
            "device": where,
        }  # fmt: skip
        if pictured:
            result = _of_picture(path, planned, effort, threshold=threshold, kind=kind or "auto", **common)
        else:
            other = None if style is None else _read(style, seed, clock)
            result = write_fractal(
                ifs_code if ifs_code is not None else _read(path, seed, clock), planned.cloud,
                name=path.name.removesuffix(".ifs.json").removesuffix(".fk"), method=method or "auto",
                effort=5 if effort is None else effort, up=up, mesh=planned.mesh, style=other,
                keep_strays=keep_strays, **common,
            )  # fmt: skip
    finally:
        progress.clear()
    result["source"] = source
    result["engine"] = drew(device, engine, result.pop("not_by_device"), result["notes"].append)
    answer(result, as_json, "\n".join(report_lines(result)))
    if view:
        from fractalkit.render.window import show_file

        show_file(planned.cloud, mesh=planned.mesh)


def _check_maps(maps: int | str | None, method: str | None) -> None:
    """Raise a UsageError for more maps than the method takes."""
    if method == "ifs" and isinstance(maps, int) and maps > IFS_MAPS:
        raise UsageError(f"--maps {maps}: a plain IFS has at most {IFS_MAPS}; --method collage takes more")
    if isinstance(maps, int) and maps > COLLAGE_MAPS:
        raise UsageError(f"--maps {maps:,}: at most {COLLAGE_MAPS:,}")


def _is_picture(source: str) -> bool:
    """Whether a source is a picture that carries no code."""
    from fractalkit.codes.open import kind_of
    from fractalkit.data.pictures import SUFFIXES

    path = Path(source)
    return path.suffix.lower() in SUFFIXES and path.is_file() and kind_of(path) is None


def _check_pictured(pictured: bool, options: dict[str, Any], method: str | None, mesh: bool, view: bool) -> None:
    """Raise a UsageError for options of pictures that are given for something else, and the other way round."""
    given = [name for name, value in options.items() if value is not None]
    if not pictured and given:
        raise UsageError(f"{given[0]} is for fitting a picture")
    if pictured and (method in ("auto", "collage") or mesh or view):
        wrong = f"--method {method}" if method in ("auto", "collage") else "--mesh" if mesh else "--view"
        raise UsageError(f"{wrong} is for clouds; a picture is fitted by a plain IFS of the plane")


def _of_picture(path: Path, planned: Outputs, effort: int | None, **options: Any) -> dict[str, Any]:
    """Fit a picture and write its files."""
    from fractalkit.data.pictures import read_picture
    from fractalkit.render.picture_files import write_picture_fractal

    read = read_picture(path)
    for warning in read.warnings:
        warn(warning)
    effort = 3 if effort is None else effort
    return write_picture_fractal(read.samples, planned.cloud, source=str(path), effort=effort, **options)


def _check_fitted(given: bool, *options: Any) -> None:
    """Refuse options of a fit, of which the first is the method and the last the style, where they do not apply."""
    if given and any(option is not None for option in options):
        raise UsageError("--method, --maps, --style and --effort are for fitting a cloud; a code has its maps already")
    if options[-1] is not None and options[0] == "ifs":
        raise UsageError("--style: makes a collage, which --method ifs does not; leave one of them out")


def _open(source: str) -> AffineIFS | CloudCollage | None:
    """The code that a source names, or None for a cloud, of which only the existence is checked.

    Raises:
        DataError: a missing file, a picture without a code, or a code of another kind.
    """
    from fractalkit.codes.open import is_code, load_as

    if not is_code(source):
        if not Path(source).exists():
            raise DataError(f"{source}: there is no such file; check the name")
        return None
    from fractalkit.codes.affine import AffineIFS
    from fractalkit.codes.cloud_collage import CloudCollage

    kinds: tuple[type[AffineIFS | CloudCollage], ...] = (AffineIFS, CloudCollage)
    return load_as(kinds, source)


def _read(path: Path, seed: int, clock: Clock) -> Cloud:
    """Load a cloud and print its warnings."""
    from fractalkit.data import load_cloud

    with clock("read"):
        cloud = load_cloud(path, seed=seed)
    for warning in cloud.warnings:
        warn(warning)
    return cloud


def _whole(points: float) -> int:
    if not 1 <= points <= 1e12 or points != int(points):
        raise UsageError(f"--points: expected a whole number from 1 to 1e12, got {points:g}")
    return int(points)


def _list(as_json: bool) -> None:
    from fractalkit.codes.presets import PRESETS

    rows = []
    for entry in PRESETS.values():
        built = entry.build()
        rows.append({"name": entry.name, "title": entry.title, "maps": len(built), "dimension": built.dim})
    if as_json:
        emit({"presets": [row | {"source": PRESETS[str(row["name"])].source} for row in rows]})
        return
    wide = max(len(str(row["name"])) for row in rows)
    click.echo(f"{'name':{wide}s}  maps  dim  title")
    for row in rows:
        click.echo(f"{row['name']:{wide}s}  {row['maps']:4d}  {row['dimension']}D   {row['title']}")


def report_lines(result: dict[str, Any]) -> list[str]:
    """Format the report that the command prints."""
    if result["method"] == "picture":
        return _picture_lines(result)
    space, similarity = result["dimension"], result.get("similarity_dimension")
    what = "ranges of a collage" if result["method"] == "collage" else "maps"
    facts = [f"Lipschitz constant {result['lipschitz']:.4f}" if similarity is None else _dimension(result)]
    if "code_bytes" in result:
        facts.append(f"code of {result['code_bytes']:,} bytes")
    return [
        f"{result['name']}: {result['maps']:,} {what} in {space}D ({result['maps_rule']})",
        *([f"  {result['reason']}"] if result["reason"] not in ("", "as asked") else []),
        *(f"  warning: {w}" for w in result["warnings"]),
        *(f"  note: {n}" for n in result["notes"]),
        *_drawn_on(result),
        f"  {', '.join(facts)}",
        "",
        *_distances(result),
        "",
        *_outputs(result),
    ]


def _picture_lines(result: dict[str, Any]) -> list[str]:
    height, width = result["input"]["size"]
    return [
        f"{result['name']}: {result['maps']} maps of a picture of {width} x {height} ({result['maps_rule']})",
        f"  the subject, {result['input']['pixels']:,} pixels, is {result['rule']}; fitted as a {result['kind']}",
        *(f"  note: {n}" for n in result["notes"]),
        *_drawn_on(result),
        f"  {_dimension(result)}",
        f"  pixels that agree  {result['iou']:.2%}  (both lit and touched, over those that are either)",
        *([f"  measure, distance  {result['distance']:.4f}"] if "distance" in result else []),
        "",
        *_outputs(result),
    ]


def _drawn_on(result: dict[str, Any]) -> list[str]:
    return [f"  points drawn on {result['engine']}"] if result.get("engine", "CPU") != "CPU" else []


def _dimension(result: dict[str, Any]) -> str:
    similarity, space = result["similarity_dimension"], result["dimension"]
    beyond = f" (an upper bound; the space has {space})" if similarity > space else ""
    return f"similarity dimension {similarity:.4f}{beyond}, largest norm {result['lipschitz']:.4f}"


def _distances(result: dict[str, Any]) -> list[str]:
    """A table of distances: the fit and its sampling floors."""
    heads = {"comparison": "fit", "floor_input": "input, itself", "floor_attractor": "attractor, twice"}
    shown = [k for k in heads if k in result]
    out = [f"  {'share of the diagonal':24s}" + "".join(f"{heads[k]:>18s}" for k in shown)]
    for key, label in LABELS.items():
        digits = ".4f" if key == "fscore" else ".4%"
        out.append(f"  {label:24s}" + "".join(f"{format(result[k][key], digits):>18s}" for k in shown))
    if result.get("colours_explained") is not None:
        out.append(f"  {'colours, R^2':24s}{result['colours_explained']:>18.4f}")
    if "collage_bound" in result:
        out.append(f"  {'Hausdorff, at most':24s}{result['collage_bound']:>18.4%}   (collage theorem)")
    return out


def _outputs(result: dict[str, Any]) -> list[str]:
    out = []
    for kind, path in result["outputs"].items():
        size = f"  {result['points']:,} points" if kind in ("cloud", "mesh") else ""
        out.append(f"  {kind:8s} {path}{size}")
    return [*out, "  seconds  " + ", ".join(f"{stage} {value:.1f}" for stage, value in result["seconds"].items())]

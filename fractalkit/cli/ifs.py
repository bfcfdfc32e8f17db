"""``fractalkit ifs``: a cloud in, its code, its attractor and a picture out; or a code, drawn."""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fractalkit import __version__
from fractalkit.cli.common import CODE_KEY, COMMAND_KEY, SEED_KEY, Progress, command_line, emit, load_code, pick_device
from fractalkit.cli.completion import presets
from fractalkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from fractalkit.codes.affine import AffineIFS
    from fractalkit.data.clouds import Cloud

FOR_CODES = 1_000_000  # points drawn from a code unless told
EVEN_UP_TO = 2_000_000  # points drawn evenly from a fit unless told
EVEN_AT_MOST = 20_000_000
DEPTH = 16  # maps of an address that a colour is blended from


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
  fractalkit ifs bunny.ply --maps 16            fit; bunny.ifs.ply, .ifs.json and .ifs.png
  fractalkit ifs scan.pcd -o fractal.pcd        the attractor as PCD, code and picture beside it
  fractalkit ifs leaf.csv --effort 2 --seed 7   sooner, rougher
  fractalkit ifs bunny.ifs.json --points 1e8 -o big.ply --no-preview
  fractalkit ifs barnsley-fern                  a preset; --list shows them all
  fractalkit ifs bunny.ifs.png                  pictures carry their code

Distances are shares of the diagonal of the input's bounding box. Read them beside their sampling
floor: two samples of one and the same set are that far apart."""
)
@click.argument("source", required=False, shell_complete=presets)
@click.option("--maps", type=MapCount(), default=None, help="Number of maps to fit.  [default: auto]")
@click.option(
    "--points",
    type=float,
    metavar="N",
    help="Points of the output cloud.  [default: as many as the input has, or 1,000,000 for a code]",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Cloud: ply, pcd, xyz, pts, txt, csv or npy.")
@click.option("--code", type=click.Path(path_type=Path), help="Code, as JSON.")
@click.option("--preview", type=click.Path(path_type=Path), help="Picture, as PNG: input and attractor side by side.")
@click.option("--no-preview", is_flag=True, help="Write no picture.")
@click.option(
    "--up",
    type=click.Choice(["auto", "x", "y", "z"]),
    default="auto",
    show_default=True,
    help="Axis that points up in the picture of a cloud in space.",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 3), default=0, show_default=True, help="Fixes every result.")
@click.option(
    "--effort", type=click.IntRange(0, 9), default=None, help="Of the fit; one more doubles it.  [default: 5]"
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True, help="To draw on."
)
@click.option(
    "--even/--chaos",
    "evenly",
    default=None,
    help="Cover the attractor evenly, or by its weights as the chaos game does."
    "  [default: even for a fit of up to 2,000,000 points, else chaos]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the report.")
@click.option("--list", "list_", is_flag=True, help="List the presets.")
@click.pass_context
def ifs(
    ctx: click.Context,
    source: str | None,
    maps: int | str | None,
    points: float | None,
    out: Path | None,
    code: Path | None,
    preview: Path | None,
    no_preview: bool,
    up: str,
    seed: int,
    effort: int | None,
    device: str,
    evenly: bool | None,
    as_json: bool,
    list_: bool,
) -> None:
    """A point cloud in, its fractal out.

    SOURCE is a cloud or mesh (ply, pcd, xyz, pts, txt, csv, npy, npz, obj, off, stl, glb), which is fitted; or a code
    (.ifs.json, a picture of ours, the name of a preset), which is drawn. Written are the attractor as a cloud, its
    code, and a picture: NAME.ifs.ply, NAME.ifs.json, NAME.ifs.png in the current folder unless told otherwise.
    """
    if list_:
        _list(as_json)
        return
    if source is None:
        raise UsageError("give a SOURCE: a cloud, a code, or the name of a preset (--list shows them)")
    if no_preview and preview is not None:
        raise UsageError("--preview and --no-preview contradict each other; give one of them")
    count = None if points is None else _whole(points)
    clock = Clock()
    path = Path(source)
    is_file = path.is_file()
    is_code = is_file and path.suffix.lower() in (".json", ".png")
    if path.is_dir() or (not is_file and (path.suffix or path.name != source)):
        # something that was meant as a file; the reader says best what is wrong with it
        is_code = path.suffix.lower() in (".json", ".png")
        is_file = True
    fitting = is_file and not is_code
    if not fitting and (maps is not None or effort is not None):
        raise UsageError("--maps and --effort are for fitting a cloud; a code has its maps already")

    from fractalkit.cli.outputs import plan_outputs

    cloud: Cloud | None = None
    code_found = None if fitting else _code(source, path if is_file else None)
    planned = plan_outputs(
        source, out=out, code=code, preview=preview, keep_code=fitting or not is_file, picture=not no_preview
    )
    where = pick_device(device)
    progress = Progress()
    if code_found is None:
        from fractalkit.data import load_cloud
        from fractalkit.fit.cloud import fit_cloud

        with clock("read"):
            cloud = load_cloud(path, seed=seed)
        for warning in cloud.warnings:
            click.echo(f"fractalkit: warning: {warning}", err=True)
        with clock("fit"):
            try:
                found = fit_cloud(
                    cloud.points,
                    maps=maps or "auto",
                    colours=cloud.colours,
                    effort=5 if effort is None else effort,
                    seed=seed,
                    progress=progress,
                )
            except DataError as error:
                raise DataError(f"{path}: {error}") from error
            finally:
                progress.clear()
    else:
        found = code_found
    name = path.stem if fitting else (found.name or path.name.removesuffix(".ifs.json"))
    n = count or (len(cloud) if cloud is not None else FOR_CODES)
    if evenly is None:
        evenly = fitting and n <= EVEN_UP_TO
    result = _describe(found, name, cloud, seed, fitting, clock)
    result |= {"source": source, "command": command_line(ctx), "seed": seed, "points": n, "even": evenly}
    found = _with_provenance(found, result, cloud)
    with clock("draw"):
        try:
            _draw(found, n, planned.cloud, evenly=evenly, seed=seed, device=where, progress=progress)
        finally:
            progress.clear()
    if planned.code is not None:
        found.save(planned.code)
    if planned.preview is not None:
        with clock("picture"):
            _picture(planned.preview, found, cloud, result, up)
    result["outputs"] = {what: str(p) for what, p in planned.given().items()}
    result["seconds"] = clock.spent
    if as_json:
        emit(result)
    else:
        from fractalkit.cli.report import lines

        click.echo("\n".join(lines(result)))


class Clock:
    """Seconds spent on each part of the work."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.spent[what] = round(time.perf_counter() - start, 3)


def _whole(points: float) -> int:
    if not 1 <= points <= 1e12 or points != int(points):
        raise UsageError(f"--points: expected a whole number from 1 to 1e12, got {points:g}")
    return int(points)


def _code(source: str, path: Path | None) -> AffineIFS:
    if path is None:
        from fractalkit.codes.presets import preset

        return preset(source)
    return load_code(path)


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


def _describe(
    found: AffineIFS, name: str, cloud: Cloud | None, seed: int, fitting: bool, clock: Clock
) -> dict[str, Any]:
    from fractalkit.cli.report import measure
    from fractalkit.codes.dimension import similarity_dimension

    result: dict[str, Any] = {
        "name": name,
        "maps": len(found),
        "dimension": found.dim,
        "maps_rule": found.provenance.get("maps_rule", "given") if fitting else "a code",
        "similarity_dimension": similarity_dimension(found),
        "lipschitz": found.lipschitz(),
        "coloured": found.colours is not None,
        "notes": list(found.provenance.get("notes", [])) if fitting else [],
        "warnings": [] if cloud is None else list(cloud.warnings),
    }
    if cloud is not None:
        if cloud.triangles:
            result["notes"].append(f"a mesh of {cloud.triangles:,} triangles, from whose surface points were drawn")
        result["input"] = {"kind": cloud.kind, "points": len(cloud), "triangles": cloud.triangles}
    with clock("measure"):
        return result | measure(found, None if cloud is None else cloud.points, seed)


def _with_provenance(found: AffineIFS, result: dict[str, Any], cloud: Cloud | None) -> AffineIFS:
    """A fitted code with its name, its input and its figures; any other as it is."""
    if cloud is None:
        return found
    from dataclasses import replace

    figures = {k: result[k] for k in ("comparison", "floor_input", "floor_attractor", "collage_bound")}
    made = {"source": Path(cloud.source).name, "command": result["command"], "version": __version__}
    return replace(found, name=result["name"], provenance={**found.provenance, **made, "figures": figures})


def _draw(
    found: AffineIFS, n: int, path: Path, *, evenly: bool, seed: int, device: torch.device, progress: Progress
) -> None:
    """Write n points of the attractor; by the chaos game in pieces, so that memory does not grow with n."""
    import torch

    from fractalkit.data.writers import CloudWriter, needs_double
    from fractalkit.orbit import extent, stream
    from fractalkit.orbit.even import even

    if evenly and n > EVEN_AT_MOST:
        raise UsageError(f"--even holds all points in memory, at most {EVEN_AT_MOST:,}; use --chaos for {n:,}")
    low, high = extent(found)
    double = needs_double(low.numpy(), high.numpy())
    dtype = torch.float64 if double else torch.float32
    if double and device.type == "mps":
        device = torch.device("cpu")  # Metal has no float64
    depth = 0 if found.colours is None else DEPTH
    digest = hashlib.sha256(found.to_json().encode()).hexdigest()
    way = "even" if evenly else f"chaos game, seed {seed}"
    comment = f"FractalKit {__version__}, attractor of {found.name or 'a code'}, {way}, code sha256 {digest}"
    coloured = found.colours is not None
    with CloudWriter(path, dim=found.dim, colours=coloured, double=double, comment=comment) as out:
        if evenly:
            pieces = iter([even(found, n, dtype=dtype, depth=depth)])
        else:
            pieces = stream(found, n, seed=seed, dtype=dtype, device=device, depth=depth)
        here = found.to(device="cpu", dtype=torch.float32)
        for piece in pieces:
            rgb = None
            if piece.addresses is not None and coloured:
                rgb = here.colour_of(piece.addresses.cpu()).numpy()
            out.write(piece.points.cpu().numpy(), rgb)
            progress("draw", out.count / n)


def _picture(path: Path, found: AffineIFS, cloud: Cloud | None, result: dict[str, Any], up: str) -> None:
    from fractalkit.cli.report import figures
    from fractalkit.render.png import save_png
    from fractalkit.render.preview import preview

    image = preview(
        None if cloud is None else cloud.points,
        None if cloud is None else cloud.colours,
        found,
        title=result["name"],
        figures=figures(result),
        seed=result["seed"],
        up=up,
    )
    texts = {CODE_KEY: found.to_json(), SEED_KEY: str(result["seed"]), COMMAND_KEY: result["command"]}
    save_png(path, image, text=texts)

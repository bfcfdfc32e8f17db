"""The studio's tasks in the background: relatives, pictures to keep, films, deep-zoom pages, fits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fractalkit.codes.flame import Flame
from fractalkit.errors import DataError
from fractalkit.studio.drops import Drops
from fractalkit.studio.fields import real, whole
from fractalkit.studio.plain import from_plain, to_plain
from fractalkit.studio.tasks import QUICK, Task, Tasks

if TYPE_CHECKING:
    from fractalkit.studio.collages import Wish

MAX_SIDE, MAX_PIXELS = 16_384, 1 << 27
MAX_FRAMES = 3_000
MOST_RELATIVES = 24
MAX_POINTS, MESH_POINTS = 100_000_000, 200_000
Tell = Callable[[dict[str, Any]], None]


def begin(tasks: Tasks, message: dict[str, Any], everybody: Tell, page: Tell, drops: Drops) -> None:
    """Begin the task that a page asks for; relatives and fits are told to that page alone, all else to everybody.

    Raises:
        DataError: an unknown task, or options out of range.
    """
    work = message.get("work")
    prepare = _WORKS.get(work) if isinstance(work, str) else None
    if prepare is None:
        raise DataError(f"the page asked for the task {str(work)[:40]!r}, which the studio does not know")
    title, run, private = prepare(message, drops)
    key = message.get("key")

    def tell(facts: dict[str, Any]) -> None:
        (page if private else everybody)(facts | {"work": work, "key": key if isinstance(key, int) else 0})

    tasks.add(title, run, tell, private=private, lane=_LANES.get(str(work), "slow"))


Prepared = tuple[str, Callable[[Task], Any], bool]


def _relatives(message: dict[str, Any], drops: Drops) -> Prepared:
    """Mutants of a flame, children of two, or random flames: each is told as soon as it is drawn."""
    kind = message.get("kind")
    if kind not in ("mutants", "cross", "random"):
        raise DataError("kind: expected mutants, cross or random")
    n, seed = whole(message, "count", 1, MOST_RELATIVES), whole(message, "seed", 0, 1 << 40)
    strength = real(message, "strength", 0.05, 3.0) if kind == "mutants" else 1.0
    one = from_plain(message.get("flame"))
    two = from_plain(message.get("other")) if kind == "cross" else None
    name = message.get("palette")
    palette = name if isinstance(name, str) and len(name) < 60 and re.fullmatch(r"[\w-]+", name) else None

    def run(task: Task) -> Any:
        from fractalkit.render.flame_sheet import children, mutants, random_flames
        from fractalkit.studio.drawing import as_url, glance

        def searched(word: str, share: float) -> None:
            task.say(word, 0.7 * share)

        if kind == "random":
            found = random_flames(n, palette, size=one.size, seed=seed, progress=searched)
            found = [replace(f, quality=100.0, estimator_radius=9.0) for f in found]
        elif kind == "cross":
            assert two is not None
            found = children(one, two, n, seed=seed, progress=searched)
        else:
            found = mutants(one, n, strength=strength, seed=seed, progress=searched)
        out = []
        for k, flame in enumerate(found):
            out.append({"flame": to_plain(flame), "picture": as_url(glance(flame, (224, 224), 16.0))})
            task.result = out
            task.say(f"draws {k + 1}", 0.7 + 0.3 * (k + 1) / len(found))
        return out

    return "relatives", run, True


def file_name(flame: Flame) -> str:
    """A name for a flame's files, of letters, digits and hyphens."""
    return re.sub(r"[^\w-]+", "-", flame.name).strip("-")[:60] or "flame"


def _size(message: dict[str, Any]) -> tuple[int, int]:
    w, h = whole(message, "width", 16, MAX_SIDE), whole(message, "height", 16, MAX_SIDE)
    if w * h > MAX_PIXELS:
        raise DataError(f"{w:,} x {h:,} pixels are more than {MAX_PIXELS:,}; use `fractalkit render` for such")
    return w, h


def _render(message: dict[str, Any], drops: Drops) -> Prepared:
    """A picture as PNG that holds its flame, at any size and quality."""
    size, quality = _size(message), real(message, "quality", 1, 5000)
    oversample = whole(message, "oversample", 1, 3)
    transparent, deep = message.get("transparent") is True, message.get("deep") is True
    flame = from_plain(message.get("flame"))
    cluster = drops.cluster if message.get("cluster") is True else None

    def run(task: Task) -> Any:
        from fractalkit.render.flame import render_flame, resized
        from fractalkit.studio.spread import render_over

        drawn = replace(resized(flame, size), oversample=oversample, quality=quality)
        if cluster is not None:
            picture = render_over(drawn, quality, cluster, task.say, transparent=transparent)
            return _written(task, flame, drawn, picture, deep)
        batches = max(16, min(1000, round(size[0] * size[1] * quality / 2e7)))
        picture = render_flame(
            drawn, transparent=transparent, batches=batches, device=drops.device,
            callback=lambda _, share: task.say("draws", 0.98 * share),
        )  # fmt: skip
        return _written(task, flame, drawn, picture, deep)

    return f"picture {size[0]} x {size[1]}", run, False


def _written(task: Task, flame: Flame, drawn: Flame, picture: Any, deep: bool) -> dict[str, int]:
    """Write a picture with its flame inside."""
    from fractalkit.codes.flame_xml import to_xml
    from fractalkit.raster.png import FLAME_KEY
    from fractalkit.render.flame import save_flame_picture

    width, height = drawn.size
    path = task.folder / f"{file_name(flame)}-{width}x{height}.png"
    text = {FLAME_KEY: to_xml([drawn]), "software": "FractalKit"}
    save_flame_picture(path, picture, bits=16 if deep else 8, text=text)
    return {"width": width, "height": height}


def _film(message: dict[str, Any], drops: Drops) -> Prepared:
    """A film through keyframes, or of one flame that turns."""
    size, quality = _size(message), real(message, "quality", 1, 2000)
    frames, fps = whole(message, "frames", 2, MAX_FRAMES), whole(message, "fps", 1, 120)
    given = message.get("flames")
    if not isinstance(given, list) or not 1 <= len(given) <= 50:
        raise DataError("flames: expected 1 to 50 keyframes")
    flames = tuple(from_plain(f) for f in given)
    loop = message.get("loop") is True or len(flames) == 1
    form = message.get("format")
    if form not in ("gif", "webp", "png", "mp4"):
        raise DataError("format: expected gif, webp, png or mp4")

    def run(task: Task) -> Any:
        from fractalkit.render.animate import Motion, draw_frame
        from fractalkit.render.film import save_film, with_progress

        motion = Motion(flames, frames, loop=loop)
        pixels = (draw_frame(motion, k, size=size, quality=quality, device=drops.device) for k in range(frames))
        path = task.folder / f"{file_name(flames[0])}.{form}"
        save_film(with_progress(pixels, frames, lambda word, share: task.say("films", 0.99 * share)), path, fps=fps)
        return {"frames": frames}

    return f"film of {frames} frames", run, False


def _zoom(message: dict[str, Any], drops: Drops) -> Prepared:
    """A deep-zoom page about the point where there is most to see."""
    depth, quality = real(message, "depth", 2, 1e6), real(message, "quality", 1, 200)
    flame = from_plain(message.get("flame"))

    def run(task: Task) -> Any:
        from fractalkit.render.viewer import save_viewer
        from fractalkit.render.windows import windows_of
        from fractalkit.render.zoom import interesting

        task.say("looks for a point", 0.0)
        thing = windows_of(flame, quality=quality, device=drops.device)
        at = interesting(thing, depth)
        kept, why = thing.reach(at, depth, 1024) if hasattr(thing, "reach") else (depth, "")
        if kept <= 1:
            raise DataError(f"there is nothing to zoom into here ({why})")
        if hasattr(thing, "aim"):
            thing.aim(at)
        path = task.folder / f"{file_name(flame)}-zoom.html"
        count = save_viewer(
            thing, path, at=at, depth=kept, whole=4, title=flame.name or "flame", progress=lambda w, s: task.say(w, s)
        )
        return {"tiles": count, "depth": kept, "why": why}

    return f"deep-zoom page, x {depth:g}", run, False


def _fit(message: dict[str, Any], drops: Drops) -> Prepared:
    """Fit maps to a subject, or refine a flame's own towards it; told step by step."""
    from fractalkit.studio.fitting import MAX_MAPS

    subject = drops.subject(whole(message, "subject", 1, 1 << 52))
    count, seed = whole(message, "maps", 0, MAX_MAPS), whole(message, "seed", 0, 1 << 40)
    given = None if message.get("flame") is None else from_plain(message["flame"])

    def run(task: Task) -> Any:
        from fractalkit.studio.fitter import FitStep, Job

        def result(flame: Flame, agreement: float | None) -> dict[str, Any]:
            known = None if agreement is None else round(agreement, 4)
            return {"flame": to_plain(flame), "agreement": known, "subject": message["subject"]}

        def heard(step: FitStep) -> None:
            if step.flame is not None:
                task.result = result(step.flame, step.agreement)
            if step.share < 0:  # no news
                task.say(task.word, task.share)
                return
            word = step.word if not step.agreement else f"{step.word}, {step.agreement:.1%}"
            task.say(word, step.share, force=step.flame is not None)

        with drops.hand(task.id) as hand:
            done = drops.fitter.run(Job(subject, count, seed, given), hand, heard)
        return result(done.flame, done.agreement)

    return f"{'fit' if given is None else 'refine'} {subject.name}"[:80], run, True


def _points(message: dict[str, Any], drops: Drops) -> Prepared:
    """Points of a code, written as they are drawn."""
    from fractalkit.studio.codes import code_of_flame

    count, form = whole(message, "count", 1, MAX_POINTS), message.get("format")
    if form not in ("ply", "xyz", "csv", "npy"):
        raise DataError("format: expected ply, xyz, csv or npy")
    flame = from_plain(message.get("flame"))
    code = code_of_flame(flame)

    def run(task: Task) -> Any:
        from fractalkit.data.writers import CloudWriter
        from fractalkit.orbit import stream

        with CloudWriter(task.folder / f"{file_name(flame)}.{form}", dim=code.dim, colours=True) as out:
            done = 0
            for piece in stream(code, count, seed=0, colours=True):
                out.write(piece.points, piece.colours)
                done += len(piece.points)
                task.say("draws", done / count)
        return {"points": count}

    return f"{count:,} points", run, False


def _mesh(message: dict[str, Any], drops: Drops) -> Prepared:
    """The closed surface of a code in space."""
    from importlib.util import find_spec

    from fractalkit.studio.codes import code_of_flame

    form = message.get("format")
    if form not in ("stl", "glb", "obj", "ply"):
        raise DataError("format: expected stl, glb, obj or ply")
    flame = from_plain(message.get("flame"))
    code = code_of_flame(flame)
    if code.dim != 3:
        raise DataError("a mesh is the surface of a code in space, and this one lies in the plane")
    if find_spec("open3d") is None:
        raise DataError('a mesh needs Open3D, which is not installed: pip install "fractalkit[mesh]"')

    def run(task: Task) -> Any:
        from fractalkit.data.mesh_files import save_mesh
        from fractalkit.orbit.coverage import even
        from fractalkit.render.meshing import surface

        task.say("draws points", 0.1)
        orbit = even(code, MESH_POINTS, colours=True)
        task.say("wraps them", 0.4)
        made = surface(orbit.points, orbit.colours)
        save_mesh(task.folder / f"{file_name(flame)}.{form}", made)
        return {"triangles": len(made.triangles)}

    return "mesh", run, False


def wish_of(message: dict[str, Any], drops: Drops) -> Wish:
    """A collage's options in a message.

    Raises:
        DataError: one is missing or out of range.
    """
    from fractalkit.studio.collages import Wish

    style = whole(message, "style", 0, 1 << 52)
    other = drops.photo(style) if style else None
    if other is not None and other.pixels is None:
        raise DataError(f"{other.name}: is a .fk file; a style is a photograph")
    return Wish(
        whole(message, "tiles", 2, 128), real(message, "texture", 0, 0.9), real(message, "blend", 0, 1),
        whole(message, "depth", 0, 4), other, real(message, "own", 0, 4), whole(message, "turn", 0, 3),
        whole(message, "flip", 0, 1) == 1,
    )  # fmt: skip


def _collage(message: dict[str, Any], drops: Drops) -> Prepared:
    """A collage as a large PNG."""
    from fractalkit.studio.collages import write_collage

    photo, wish, size = drops.photo(whole(message, "photo", 1, 1 << 52)), wish_of(message, drops), _size(message)
    if photo.pixels is None:
        raise DataError(f"{photo.name}: `fractalkit decompress` writes its picture at any size")
    if wish.depth and size[0] * size[1] > 1 << 24:
        raise DataError(f"a depth above 0 is drawn up to {1 << 24:,} pixels; ask for fewer, or take depth 0")

    def run(task: Task) -> Any:
        name = re.sub(r"[^\w-]+", "-", photo.name.rpartition(".")[0]).strip("-")[:60] or "photo"
        write_collage(photo, wish, size, task.folder / f"{name}-collage.png", task.say)

    return f"collage {size[0]} x {size[1]}", run, False


_LANES = {"relatives": QUICK, "fit": "fit"}  # what is told to one page alone, which waits for it
_WORKS: dict[str, Callable[[dict[str, Any], Drops], Prepared]] = {
    "relatives": _relatives, "render": _render, "film": _film, "zoom": _zoom, "fit": _fit,
    "collage": _collage, "points": _points, "mesh": _mesh,
}  # fmt: skip

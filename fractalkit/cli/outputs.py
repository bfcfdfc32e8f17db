"""Output paths of a command; none may overwrite the input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fractalkit.codes.json_files import is_untouched
from fractalkit.data.mesh_files import ALWAYS_MESHES, check_mesh_suffix
from fractalkit.data.open3d_io import check_open3d
from fractalkit.data.writers import check_suffix
from fractalkit.errors import UsageError
from fractalkit.files import check_writable


@dataclass(frozen=True)
class Outputs:
    """Paths of the cloud, the code and the picture; None if not written."""

    cloud: Path
    code: Path | None
    preview: Path | None
    mesh: bool = False  # the cloud is written as a surface

    def given(self) -> dict[str, Path]:
        """Requested output paths by kind."""
        named = {"mesh" if self.mesh else "cloud": self.cloud, "code": self.code, "preview": self.preview}
        return {what: path for what, path in named.items() if path is not None}


def plan_outputs(
    source: str, *, out: Path | None = None, code: Path | None = None, preview: Path | None = None,
    keep_code: bool = True, picture: bool = True, mesh: bool = False, many: bool = False, force: bool = False,
) -> Outputs:  # fmt: skip
    """Output paths: those given, and by default NAME.ifs.ply, NAME.ifs.json and NAME.ifs.png.

    NAME is the name of the source, in the current folder, or the name of ``out``, in its folder.

    Args:
        keep_code: write the code even without a given name.
        picture: write a picture.
        many: the code is large, so that its default is NAME.ifs.safetensors.
        force: replace a code that was edited, or that FractalKit did not write.
        mesh: write a surface; names that end in obj, stl, glb or off always mean one.

    Raises:
        UsageError: a mesh without Open3D, two equal outputs, an output that is the input, a wrong suffix, or a code
            that would be lost.
        DataError: a folder does not exist or is not writable.

    >>> [str(p) for p in plan_outputs("scans/bunny.ply").given().values()]
    ['bunny.ifs.ply', 'bunny.ifs.json', 'bunny.ifs.png']
    """
    if out is not None:
        base = out.parent / out.stem.removesuffix(".ifs")
    else:
        name = Path(source).name
        bare = name.removesuffix(".ifs.json").removesuffix(".ifs.safetensors")
        base = Path(bare if bare != name else Path(name).stem)
    cloud = out or base.parent / f"{base.name}.ifs.{'obj' if mesh else 'ply'}"
    mesh = mesh or cloud.suffix.lower() in ALWAYS_MESHES
    if code is None and keep_code:
        code = base.parent / f"{base.name}.ifs.{'safetensors' if many else 'json'}"
    if picture and preview is None:
        preview = base.parent / f"{base.name}.ifs.png"
    planned = Outputs(cloud, code, preview if picture else None, mesh)
    _check_suffixes(planned)
    seen: set[Path] = set()
    for what, path in planned.given().items():
        check_writable(path)
        if path.exists() and Path(source).exists() and path.samefile(source):
            raise UsageError(f"{path}: the {what} would overwrite the input; give it another name (see --help)")
        if path.resolve() in seen:
            raise UsageError(f"{path}: is named for two outputs; give each its own name")
        seen.add(path.resolve())
    kept = planned.code
    if kept is not None and not force and kept.suffix.lower() == ".json" and kept.exists() and not is_untouched(kept):
        raise UsageError(
            f"{kept}: exists and was edited, or is not from FractalKit; give --code another name, or --force to "
            "replace it"
        )
    return planned


def _check_suffixes(planned: Outputs) -> None:
    """Raise a UsageError for names that do not suit what is written, or for a mesh without Open3D."""
    if planned.mesh:
        check_mesh_suffix(planned.cloud)
        check_open3d(f"{planned.cloud}: a mesh")
    else:
        check_suffix(planned.cloud)
    if planned.code is not None and planned.code.suffix.lower() not in (".json", ".safetensors"):
        raise UsageError(f"--code {planned.code}: codes are JSON or safetensors; name it {planned.code.stem}.ifs.json")
    if planned.preview is not None and planned.preview.suffix.lower() != ".png":
        raise UsageError(f"--preview {planned.preview}: pictures are PNG; name it {planned.preview.stem}.png")

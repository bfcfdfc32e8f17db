"""What the outputs of a command are called, and that none of them takes the input's place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fractalkit.data.writers import check_suffix
from fractalkit.errors import UsageError
from fractalkit.files import check_writable


@dataclass(frozen=True)
class Outputs:
    """Where the cloud, the code and the picture go; None: not written."""

    cloud: Path
    code: Path | None
    preview: Path | None

    def given(self) -> dict[str, Path]:
        """Those that are written, by what they are."""
        named = {"cloud": self.cloud, "code": self.code, "preview": self.preview}
        return {what: path for what, path in named.items() if path is not None}


def plan_outputs(
    source: str,
    *,
    out: Path | None = None,
    code: Path | None = None,
    preview: Path | None = None,
    keep_code: bool = True,
    picture: bool = True,
) -> Outputs:
    """Names given stand; the others are NAME.ifs.ply, NAME.ifs.json and NAME.ifs.png.

    NAME is that of the source, in the current folder, or that of the cloud, beside it, where ``out`` says so.

    Args:
        keep_code: write the code even if no name is given for it.
        picture: write a picture.

    Raises:
        UsageError: two outputs of one name, an output that is the input, or a suffix that does not fit.
        DataError: a folder that is missing or cannot be written to.

    >>> [str(p) for p in plan_outputs("scans/bunny.ply").given().values()]
    ['bunny.ifs.ply', 'bunny.ifs.json', 'bunny.ifs.png']
    """
    if out is not None:
        base = out.parent / out.stem.removesuffix(".ifs")
    else:
        name = Path(source).name
        base = Path(name.removesuffix(".ifs.json") if name.endswith(".ifs.json") else Path(source).stem)
    cloud = out or base.parent / f"{base.name}.ifs.ply"
    if code is None and keep_code:
        code = base.parent / f"{base.name}.ifs.json"
    if picture and preview is None:
        preview = base.parent / f"{base.name}.ifs.png"
    planned = Outputs(cloud, code, preview if picture else None)
    check_suffix(cloud)
    if planned.code is not None and planned.code.suffix.lower() != ".json":
        raise UsageError(f"--code {planned.code}: codes are JSON; name it {planned.code.stem}.ifs.json")
    if planned.preview is not None and planned.preview.suffix.lower() != ".png":
        raise UsageError(f"--preview {planned.preview}: pictures are PNG; name it {planned.preview.stem}.png")
    seen: set[Path] = set()
    for what, path in planned.given().items():
        check_writable(path)
        if path.exists() and Path(source).exists() and path.samefile(source):
            raise UsageError(f"{path}: the {what} would overwrite the input; give it another name (see --help)")
        if path.resolve() in seen:
            raise UsageError(f"{path}: is named for two outputs; give each its own name")
        seen.add(path.resolve())
    return planned

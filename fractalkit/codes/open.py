"""Open any code: one registry of the kinds of files that hold one, by suffix, first bytes and mark.

Two containers hold several kinds: PNG pictures, whose text has a key for each kind, and safetensors files, whose
metadata names a format. A new kind of code is one line in :data:`KINDS`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar, cast, runtime_checkable

from fractalkit.errors import DataError
from fractalkit.lazy import resolve
from fractalkit.raster.png import CODE_KEY, FLAME_KEY, read_png_text

C = TypeVar("C")
MAX_HEADER = 4 << 20  # bytes of a safetensors header


@runtime_checkable
class Code(Protocol):
    """What every code can do: be written, read, and described by facts that JSON can hold."""

    def save(self, path: str | Path) -> None:
        """Write the code's own kind of file, whole or not at all."""

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote; a DataError names the file and the fault."""
        ...

    def summary(self) -> dict[str, Any]:
        """Facts of the code by name."""
        ...


@dataclass(frozen=True)
class Kind:
    """One kind of file that holds a code, or several of one kind.

    Attributes:
        name: what users call it.
        suffixes: lower case, with the dot.
        loader: ``module:name`` of the function that takes a path; imported on use, as its layer may lie above.
        magic: first bytes of every such file; empty: only the suffix tells.
        format: "format" in the metadata of a safetensors file.
        text: key of the text of a PNG picture that holds such a code, and ``parser``, ``module:name`` of the function
            that takes the text as bytes.
        use: the command for such files.
    """

    name: str
    suffixes: tuple[str, ...]
    loader: str
    magic: bytes = b""
    format: str = ""
    text: str = ""
    parser: str = ""
    use: str = ""


KINDS = (
    Kind("code", (".json",), "fractalkit.codes.json_files:load", text=CODE_KEY,
         parser="fractalkit.codes.json_files:from_json", use="fractalkit ifs"),
    Kind("code", (".ifs",), "fractalkit.codes.fractint:load", use="fractalkit ifs"),
    Kind("flame", (".flame", ".flam3", ".xml"), "fractalkit.codes.flame:read_flames", text=FLAME_KEY,
         parser="fractalkit.codes.flame:read_flames", use="fractalkit render"),
    Kind("compressed picture", (".fk",), "fractalkit.fk:load", magic=b"\x8fFK\n", use="fractalkit decompress"),
    Kind("collage code", (".safetensors",), "fractalkit.codes.collage:CollageCode.load", format="fractalkit-collage",
         use="fractalkit zoom"),
    Kind("code", (".safetensors",), "fractalkit.codes.cloud_collage:CloudCollage.load",
         format="fractalkit-cloud-collage", use="fractalkit ifs"),
    Kind("enlargement", (".safetensors",), "fractalkit.codes.enlargement:EnlargementCode.load",
         format="fractalkit-enlargement", use="fractalkit info"),
    Kind("model", (".safetensors",), "fractalkit.models.pretrained:from_pretrained", format="fractalkit-model",
         use="fractalkit sample"),
)  # fmt: skip
PICTURE = ".png"
MODELS = "fractalkit.models.pretrained"  # a layer above, imported on use
SUFFIXES = frozenset(s for kind in KINDS for s in kind.suffixes) | {PICTURE}


def kind_of(path: str | Path) -> Kind | None:
    """The kind of code that a file holds; None: none that is known, such as a cloud or a plain picture.

    The suffix decides, then the first bytes. The contents are not checked further.

    Raises:
        DataError: a picture or a safetensors file that is missing or damaged.

    >>> kind_of("bunny.ifs.json").name, kind_of("bunny.ply")
    ('code', None)
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == PICTURE:
        keys = read_png_text(path)
        return next((kind for kind in KINDS if kind.text and kind.text in keys), None)
    found = [kind for kind in KINDS if suffix in kind.suffixes]
    if any(kind.format for kind in found):
        form = _format(path)
        return next((kind for kind in found if kind.format == form), None)
    return found[0] if found else _by_magic(path)


def load_all(path: str | Path, **options: Any) -> list[Code]:
    """All codes of a file: several where it holds several flames, or is of Fractint, else one.

    Args:
        path: ``.ifs.json``, ``.ifs``, ``.flame``, ``.fk``, ``.safetensors``, or a PNG picture that FractalKit made.
        options: of the kind's loader, such as ``max_pixels`` of compressed pictures.

    Raises:
        DataError: no code, damaged, or missing; the message names the file and what to do.
    """
    path = Path(path)
    kind = kind_of(path)
    if kind is None:
        raise DataError(f"{path}: {_what_else(path)}")
    if path.suffix.lower() == PICTURE:
        found = _parsed(kind, read_png_text(path)[kind.text], path)
    else:
        found = resolve(kind.loader)(path, **options)
    return found if isinstance(found, list) else [found]


def load(path: str | Path, **options: Any) -> Code:
    """The code of a file, the first where it holds several flames, or the preset or the model of that name.

    Arguments and errors as :func:`load_all`.

    >>> len(load("barnsley-fern"))
    4
    """
    if is_preset_name(path):
        from fractalkit.codes.presets import PRESETS, preset

        if str(path) not in PRESETS and str(path) in resolve(f"{MODELS}:names")():
            return cast(Code, resolve(f"{MODELS}:from_pretrained")(path))
        return preset(str(path))
    return load_all(path, **options)[0]


def load_as(kind: type[C] | tuple[type[C], ...], source: str | Path, **options: Any) -> C:
    """The code of a source if it is of one class, or of one of several; arguments and errors as :func:`load`.

    Of a compressed cloud the collage is taken that it holds.

    Raises:
        DataError: a code of another class.
    """
    code = held(load(source, **options), kind)
    if not isinstance(code, kind):
        name = kind_of(source)
        what = "another kind of code" if name is None else f"a {name.name}"
        remedy = f"`{name.use}` takes it" if name is not None and name.use else "`fractalkit info` describes it"
        raise DataError(f"{source}: holds {what}, which is not what is needed here; {remedy}")
    return code


def held(code: Any, kind: type[Any] | tuple[type[Any], ...]) -> Any:
    """The collage inside a compressed cloud, where that is of the class asked for; else the code itself."""
    inner = None if isinstance(code, kind) else getattr(code, "collage", None)
    return inner if isinstance(inner, kind) else code


def is_preset_name(source: str | Path) -> bool:
    """Whether a source is meant as the name of a preset: no suffix, no folder, and no such file."""
    path = Path(source)
    return not path.suffix and path.name == str(source) and not path.exists()


def is_code(source: str | Path) -> bool:
    """Whether a source is meant as a code: the name of a preset, or a file by its suffix or first bytes."""
    return is_preset_name(source) or Path(source).suffix.lower() in SUFFIXES or _by_magic(Path(source)) is not None


def _by_magic(path: Path) -> Kind | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(16)
    return next((kind for kind in KINDS if kind.magic and head.startswith(kind.magic)), None)


def _format(path: Path) -> str:
    """ "format" in a safetensors file's metadata; empty where there is none or the header is damaged."""
    try:
        with path.open("rb") as file:
            header = file.read(min(int.from_bytes(file.read(8), "little"), MAX_HEADER))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        return str(json.loads(header)["__metadata__"]["format"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _parsed(kind: Kind, text: str, path: Path) -> Any:
    try:
        return resolve(kind.parser)(text.encode())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: the code in its text is damaged ({error})") from error


def _what_else(path: Path) -> str:
    """Say why a file does not open as a code, and what the user can do."""
    if path.suffix.lower() == PICTURE:
        return (
            "this picture carries no code, as only those that FractalKit made do; `fractalkit compress` makes a code "
            "of any picture"
        )
    if not path.exists():
        return "there is no such file; check the name"
    if path.is_dir():
        return "is a folder; name a file in it"
    if path.suffix.lower() == ".safetensors":
        return "holds neither a collage nor a FractalKit model, or is damaged"
    return f"holds no code; those are {', '.join(sorted(SUFFIXES))} files. `fractalkit ifs` fits one to a cloud"

"""The code of an affine iterated function system: K affine contractions, their weights and colours."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fractalkit.codes.affine_maps import AffineMaps, as_tensor, checked_dimension, parse_json, shares
from fractalkit.errors import DataError, naming
from fractalkit.files import atomic_path, refuse_picture

FORMAT = "fractalkit-ifs"
VERSION = 1
MAX_MAPS = 4096
MAX_FILE_BYTES = 16 << 20


@dataclass(frozen=True, eq=False)
class AffineIFS(AffineMaps):
    """K affine maps f_k(x) = A_k x + t_k of the plane or of space, with probabilities p_k.

    Its attractor is the one compact set with X = f_1(X) ∪ … ∪ f_K(X) (Hutchinson, *Fractals and self-similarity*,
    1981), and its invariant measure the one with mu = Σ p_k mu∘f_k^-1 (Barnsley and Demko, 1985).

    Args:
        matrices: linear parts A, ``[K, D, D]`` with D = 2 or 3. Arrays and lists become tensors.
        offsets: translations t, ``[K, D]``, in the units of the attractor.
        weights: probabilities p, ``[K]``, non-negative; normalised to sum to one. ``None`` takes them proportional to
            |det A_k| with a floor, the usual rule for even coverage.
        colours: RGB of each map in [0, 1], ``[K, 3]``, or ``None``. A point with address a_1 a_2 … (most recent map
            first) has colour Σ_j s (1-s)^(j-1) C[a_j], with s = ``colour_speed``: colour per address, blended.
        colour_speed: s in (0, 1].
        name: a label.
        provenance: metadata that JSON can hold (source, seed, metrics).
        colour_field: affine functions of the position in place of the blend, ``[K, 3, D + 1]`` or
            ``[K * K, 3, D + 1]``, or ``None``: a point x with address a_1 a_2 … has the colour F x + f, cut to [0, 1],
            with the matrix F | f of a_1, or of K a_1 + a_2. Such a code has ``colours`` too, for deep zooms.

    All tensors are floating point, of one dtype and device (weights and colours are moved to those of ``matrices``).

    Raises:
        DataError: a wrong shape, a value that is not finite, a negative weight; the message names the field.

    >>> ifs = AffineIFS(torch.eye(2).expand(3, 2, 2) / 2, torch.tensor([[0., 0.], [.5, 0.], [.25, .5]]))
    >>> len(ifs), ifs.dim, round(ifs.lipschitz(), 3)
    (3, 2, 0.5)
    """

    matrices: Tensor
    offsets: Tensor
    weights: Tensor | None = None
    colours: Tensor | None = None
    colour_speed: float = 0.5
    name: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    colour_field: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("matrices", "offsets", "weights", "colours", "colour_field"):
            object.__setattr__(self, name, as_tensor(name, getattr(self, name)))
        a = self.matrices
        if a.ndim != 3 or a.shape[1] != a.shape[2] or a.shape[1] not in (2, 3) or not 1 <= a.shape[0] <= MAX_MAPS:
            raise DataError(
                f"matrices: expected shape [K, D, D] with D = 2 or 3 and 1 to {MAX_MAPS} maps, got {list(a.shape)}"
            )
        if not a.is_floating_point():
            raise DataError(f"matrices: expected a floating-point tensor, got {a.dtype}")
        k, d = a.shape[0], a.shape[1]
        _expect("offsets", self.offsets, (k, d))
        t = self.offsets.to(a)
        p = _area_weights(a) if self.weights is None else self.weights.to(a)
        _expect("weights", p, (k,))
        c = None if self.colours is None else self.colours.to(a)
        if c is not None:
            _expect("colours", c, (k, 3))
        f = None if self.colour_field is None else self.colour_field.to(a)
        if f is not None:
            if c is None:
                raise DataError("colour_field: needs colours too")
            _expect("colour_field", f, (k * k if f.ndim == 3 and f.shape[0] == k * k else k, 3, d + 1))
        fields = {"matrices": a, "offsets": t, "weights": p, "colours": c, "colour_field": f}
        _check_values(fields, self.colour_speed)
        object.__setattr__(self, "offsets", t)
        object.__setattr__(self, "weights", shares(p))
        object.__setattr__(self, "colours", c)
        object.__setattr__(self, "colour_field", f)

    def __repr__(self) -> str:
        named = f"{self.name!r}, " if self.name else ""
        return f"AffineIFS({named}{len(self)} maps in {self.dim}D{', coloured' if self.coloured else ''})"

    # ---- shape and type

    @property
    def coloured(self) -> bool:
        """Whether the maps have colours."""
        return self.colours is not None

    @property
    def probabilities(self) -> Tensor:
        """The weights ``[K]``, never ``None`` and summing to one."""
        assert self.weights is not None
        return self.weights

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> AffineIFS:
        """The same code on another device or in another floating-point type."""
        return replace(self, matrices=self.matrices.to(device=device, dtype=dtype))

    # ---- the maps

    def hutchinson(self, points: Tensor) -> Tensor:
        """The Hutchinson operator on a finite set: all f_k(x), points ``[N, D]`` -> ``[K, N, D]``."""
        return torch.einsum("kij,nj->kni", self.matrices, points) + self.offsets[:, None]

    def lipschitz(self) -> float:
        """max_k ||A_k||, the Hutchinson operator's Lipschitz constant in the Hausdorff metric."""
        return float(self.norms().max())

    def check_contractive(self) -> AffineIFS:
        """Return self, or raise a DataError naming the first map that does not contract, and its norm."""
        for k, norm in enumerate(self.norms().tolist()):
            if not norm < 1:
                raise DataError(
                    f"maps[{k}].matrix: its norm is {norm:.6g}, so the map does not contract; "
                    "scale it below 1 or conjugate the code to a metric in which it does"
                )
        return self

    def colour_of(self, addresses: Tensor, points: Tensor | None = None) -> Tensor:
        """Blend map colours along addresses: integer ``[N, L]``, most recent map first -> RGB ``[N, 3]`` in [0, 1].

        What lies beyond depth L counts as the mean colour of the code. Where the code has a ``colour_field`` and
        ``points [N, D]`` are given, with L of at least 2, that decides.
        """
        if self.colours is None:
            raise DataError("this code has no colours")
        if self.colour_field is not None and points is not None:
            piece = addresses[:, 0].long()
            if len(self.colour_field) > len(self):
                piece = piece * len(self) + addresses[:, 1].long()
            f = self.colour_field.to(points)[piece]
            return (torch.einsum("nij,nj->ni", f[:, :, :-1], points) + f[:, :, -1]).clamp(0, 1).to(self.colours)
        s = self.colour_speed
        rgb = self.colours.new_zeros(addresses.shape[0], 3)
        for j in range(addresses.shape[1]):
            rgb += s * (1 - s) ** j * self.colours[addresses[:, j].long()]
        return rgb + (1 - s) ** addresses.shape[1] * (self.probabilities @ self.colours)

    def summary(self) -> dict[str, Any]:
        """Maps, norms, dimensions and a ball that holds the attractor; facts that JSON can hold."""
        from fractalkit.codes.bounds import bounding_ball
        from fractalkit.codes.dimension import affinity_dimension, similarity_dimension

        centre, radius = bounding_ball(self)
        return {
            "name": self.name, "maps": len(self), "dimension": self.dim, "coloured": self.coloured,
            "norms": self.norms().tolist(), "weights": self.probabilities.tolist(),
            "similarity_dimension": similarity_dimension(self), "affinity_dimension": affinity_dimension(self),
            "bounding_ball": {"centre": centre.tolist(), "radius": float(radius)}, "provenance": self.provenance,
        }  # fmt: skip

    # ---- JSON

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, the content of a ``.ifs.json`` file (all numbers as Python floats)."""
        maps: list[dict[str, Any]] = []
        for k in range(len(self)):
            entry: dict[str, Any] = {
                "matrix": self.matrices[k].tolist(),
                "offset": self.offsets[k].tolist(),
                "weight": float(self.probabilities[k]),
            }
            if self.colours is not None:
                entry["colour"] = self.colours[k].tolist()
            if self.colour_field is not None:
                rows = len(self.colour_field) // len(self)
                entry["colour_fields"] = self.colour_field[k * rows : (k + 1) * rows].tolist()
            maps.append(entry)
        out: dict[str, Any] = {"format": FORMAT, "version": VERSION, "dimension": self.dim, "name": self.name}
        if self.colours is not None:
            out["colour_speed"] = self.colour_speed
        return out | {"maps": maps, "provenance": self.provenance}

    @classmethod
    def from_dict(cls, data: Any, *, dtype: torch.dtype = torch.float64) -> AffineIFS:
        """Build from :meth:`to_dict`'s form, refusing what is malformed with the path of the bad field."""
        d = checked_dimension(data, FORMAT, VERSION)
        maps = data.get("maps")
        if not isinstance(maps, list) or not 1 <= len(maps) <= MAX_MAPS:
            raise DataError(f"maps: expected a list of 1 to {MAX_MAPS} maps")
        a, t, p, c, f = _maps(maps, d)
        speed = _numbers([data.get("colour_speed", 0.5)], 1, "colour_speed")[0]
        name, provenance = data.get("name", ""), data.get("provenance", {})
        if not isinstance(name, str):
            raise DataError("name: expected a string")
        if not isinstance(provenance, dict):
            raise DataError("provenance: expected an object")
        return cls(
            torch.tensor(a, dtype=dtype), torch.tensor(t, dtype=dtype), torch.tensor(p, dtype=dtype) if p else None,
            torch.tensor(c, dtype=dtype) if c else None, speed, name, provenance,
            torch.tensor(f, dtype=dtype) if f else None,
        ).check_contractive()  # fmt: skip

    @classmethod
    def from_json(cls, text: str | bytes, *, dtype: torch.dtype = torch.float64) -> AffineIFS:
        """Build from the text of a ``.ifs.json`` file; a DataError names the bad field."""
        return cls.from_dict(parse_json(text, parse_constant=_refuse_constant), dtype=dtype)

    def to_json(self) -> str:
        """The text of a ``.ifs.json`` file; float64 values survive the round trip bit for bit."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"

    def save(self, path: str | Path) -> None:
        """Write a ``.ifs.json`` file, whole or not at all; a DataError where its folder cannot be written to."""
        refuse_picture(path, "an affine code is a .ifs.json file")
        with atomic_path(path) as temporary:
            temporary.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path, *, dtype: torch.dtype = torch.float64) -> AffineIFS:
        """Read a ``.ifs.json`` file; a DataError names the file and the bad field."""
        with naming(path):
            if Path(path).stat().st_size > MAX_FILE_BYTES:
                raise DataError(f"larger than {MAX_FILE_BYTES >> 20} MiB, which no code needs")
            try:
                text = Path(path).read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise DataError("not text, so no code") from error
            return cls.from_json(text, dtype=dtype)


def _expect(label: str, value: Tensor, shape: tuple[int, ...]) -> None:
    if value.shape != shape:
        raise DataError(f"{label}: expected shape {list(shape)}, got {list(value.shape)}")


def _check_values(fields: Mapping[str, Tensor | None], colour_speed: float) -> None:
    for label, value in fields.items():
        if value is not None and not bool(torch.isfinite(value).all()):
            raise DataError(f"{label}: holds a value that is not finite")
    p, c = fields["weights"], fields["colours"]
    assert p is not None
    if bool((p < 0).any()) or not float(p.detach().sum()) > 0:
        raise DataError("weights: expected non-negative numbers with a positive sum")
    if c is not None and bool(((c < 0) | (c > 1)).any()):
        raise DataError("colours: expected values from 0 to 1")
    if not 0 < colour_speed <= 1:
        raise DataError(f"colour_speed: expected a number in (0, 1], got {colour_speed}")


def _area_weights(matrices: Tensor, floor: float = 0.01) -> Tensor:
    """p proportional to |det A|, at least ``floor`` of the largest, so that flat maps (a stem) are drawn too."""
    area = matrices.detach().cpu().double().det().abs()
    top = float(area.max())
    weights = torch.ones_like(area) if top == 0 or not math.isfinite(top) else area.clamp_min(floor * top)
    return (weights / weights.sum()).to(matrices)


def _maps(maps: list[Any], d: int) -> tuple[list[Any], list[Any], list[float], list[Any], list[Any]]:
    """Matrices, offsets, weights, colours and fields of a file's maps; the last three empty where no map has any."""
    a, t, p, c = [], [], [], []
    f: list[Any] = []
    fields = 0
    for k, entry in enumerate(maps):
        path = f"maps[{k}]"
        if not isinstance(entry, dict):
            raise DataError(f"{path}: expected an object with matrix and offset")
        a.append([_numbers(row, d, f"{path}.matrix[{i}]") for i, row in enumerate(_rows(entry, d, path))])
        t.append(_numbers(entry.get("offset"), d, f"{path}.offset"))
        if "weight" in entry:
            p.append(_numbers([entry["weight"]], 1, f"{path}.weight")[0])
        if "colour" in entry:
            c.append(_numbers(entry["colour"], 3, f"{path}.colour"))
        if "colour_fields" in entry:
            fields += 1
            f += _fields(entry["colour_fields"], len(maps), d, f"{path}.colour_fields")
    for label, got in (("weight", len(p)), ("colour", len(c)), ("colour_fields", fields)):
        if got and got != len(maps):
            raise DataError(f"maps: {label} is given for {got} of {len(maps)} maps; give it for all or none")
    return a, t, p, c, f


def _fields(value: Any, maps: int, d: int, path: str) -> list[Any]:
    """Affine functions of the position, one or one for each map, of 3 rows of D + 1 numbers."""
    if not isinstance(value, list) or len(value) not in (1, maps):
        raise DataError(f"{path}: expected 1 or {maps} matrices")
    for i, rows in enumerate(value):
        if not isinstance(rows, list) or len(rows) != 3:
            raise DataError(f"{path}[{i}]: expected 3 rows of {d + 1} numbers")
    return [[_numbers(row, d + 1, f"{path}[{i}][{j}]") for j, row in enumerate(rows)] for i, rows in enumerate(value)]


def _rows(entry: dict[str, Any], d: int, path: str) -> Sequence[Any]:
    rows = entry.get("matrix")
    if not isinstance(rows, list) or len(rows) != d:
        raise DataError(f"{path}.matrix: expected {d} rows of {d} numbers")
    return rows


def _numbers(value: Any, n: int, path: str) -> list[float]:
    if not isinstance(value, list) or len(value) != n:
        raise DataError(f"{path}: expected {n} numbers")
    out = []
    for x in value:
        try:
            number = float(x) if isinstance(x, (int, float)) and not isinstance(x, bool) else math.nan
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise DataError(f"{path}: expected finite numbers, got {x!r}")
        out.append(number)
    return out


def _refuse_constant(text: str) -> float:
    raise DataError(f"{text} is not a number that JSON allows")

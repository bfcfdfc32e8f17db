"""The code of a collage of clouds: every range of a cloud is an affine copy of a union of ranges."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes import graph
from fractalkit.codes.affine_maps import AffineMaps, checked_dimension, parse_json, shares
from fractalkit.errors import DataError, naming
from fractalkit.files import atomic_path, refuse_picture
from fractalkit.tensors import read_tensors, save_tensors

if TYPE_CHECKING:
    from fractalkit.codes.affine import AffineIFS

FORMAT = "fractalkit-cloud-collage"
VERSION = 1
MAX_RANGES = 1 << 16
MAX_FILE_BYTES = 256 << 20
TENSORS = ("matrices", "offsets", "domains", "weights")
COLOURS = ("colour_matrices", "colour_offsets")


@dataclass(frozen=True, eq=False)
class CloudCollage(AffineMaps):
    """R ranges, each the affine copy f_r(x) = A_r x + b_r of its domain, a union of ranges.

    The sets X_r = f_r(∪ X_s), s in the domain of r, are the attractor of a graph-directed IFS (Mauldin and Williams,
    *Hausdorff dimension in graph directed constructions*, 1988; Barnsley, Elton and Hardin, *Recurrent iterated
    function systems*, 1989): Jacquin's partitioned IFS (1992) for clouds. The cloud is their union, with the measure
    Σ w_r mu_r, where mu_r is the image under f_r of Σ w_s mu_s / Σ w_s, s in the domain. An :class:`AffineIFS` is the
    case where every domain is everything.

    Args:
        matrices: A, ``[R, D, D]`` with D = 2 or 3.
        offsets: b, ``[R, D]``, in the units of the cloud.
        domains: ``[R, 2]`` int64: range r copies the ranges domains[r, 0] <= s < domains[r, 1], at least one. Ranges in
            the order of the leaves of a tree make every cell of the tree such an interval.
        weights: w, ``[R]``, positive shares of the mass; normalised to sum to one.
        colour_matrices, colour_offsets: M ``[R, 3, 3]`` and o ``[R, 3]``, or ``None``: a point of colour c (sRGB from 0
            to 1) has a copy of colour M c + o, clipped on output only.
        provenance: metadata that JSON can hold (source, seed, metrics).
        name: a label.

    All but ``domains`` are converted to float64, on the device of ``matrices``. Single maps may expand;
    :meth:`check_contractive`, :meth:`load` and every map test the whole.

    Raises:
        DataError: a wrong shape, too many ranges, a value that is not finite, a range that is not there; the message
            names the field.

    >>> half = torch.eye(2).expand(3, 2, 2) / 2
    >>> corners = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.25, 0.5]])
    >>> code = CloudCollage(half, corners, torch.tensor([[0, 3], [0, 2], [1, 3]]), torch.ones(3))
    >>> len(code), code.dim, round(code.lipschitz(), 6)
    (3, 2, 0.5)
    """

    matrices: Tensor
    offsets: Tensor
    domains: Tensor
    weights: Tensor
    colour_matrices: Tensor | None = None
    colour_offsets: Tensor | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        a = self.matrices
        if a.ndim != 3 or a.shape[1] != a.shape[2] or a.shape[1] not in (2, 3) or not 1 <= a.shape[0] <= MAX_RANGES:
            raise DataError(
                f"matrices: expected [R, D, D] with D = 2 or 3 and 1 to {MAX_RANGES:,} ranges, got {list(a.shape)}"
            )
        if (self.colour_matrices is None) != (self.colour_offsets is None):
            raise DataError("colour_matrices and colour_offsets: give both or neither")
        r, d = a.shape[0], a.shape[1]
        shapes = {"matrices": (r, d, d), "offsets": (r, d), "weights": (r,), "colour_matrices": (r, 3, 3),
                  "colour_offsets": (r, 3)}  # fmt: skip
        for label, shape in shapes.items():
            value = getattr(self, label)
            if value is not None:
                object.__setattr__(self, label, _floats(label, value, shape).to(a.device, torch.float64))
        object.__setattr__(self, "domains", _intervals(self.domains, r))
        w = self.weights
        if not bool((w > 0).all()):
            raise DataError("weights: expected positive numbers")
        object.__setattr__(self, "weights", shares(w))

    @classmethod
    def of(cls, ifs: AffineIFS) -> CloudCollage:
        """An affine IFS as a collage: each of its maps copies everything. Maps of weight zero get 1e-12.

        Colours are those of the maps; a ``colour_field`` has no place in a collage.
        """
        k = len(ifs)
        m = o = None
        if ifs.colours is not None:
            s = ifs.colour_speed
            m = (1 - s) * torch.eye(3, dtype=torch.float64).expand(k, 3, 3)
            o = s * ifs.colours.double()
        weights = ifs.probabilities.double().clamp_min(1e-12)
        everything = torch.tensor([[0, k]]).expand(k, 2)
        return cls(ifs.matrices, ifs.offsets, everything, weights, m, o, dict(ifs.provenance), ifs.name)

    # ---- shape and type

    def __repr__(self) -> str:
        return f"CloudCollage({len(self)} ranges in {self.dim}D{', coloured' if self.coloured else ''})"

    @property
    def coloured(self) -> bool:
        """Whether colours are copied too."""
        return self.colour_matrices is not None

    def to(self, *, device: torch.device | str | None = None) -> CloudCollage:
        """The same code on another device."""
        tensors = {name: getattr(self, name) for name in (*TENSORS, *COLOURS)}
        moved: dict[str, Any] = {name: v if v is None else v.to(device=device) for name, v in tensors.items()}
        return replace(self, **moved)

    # ---- contraction

    @cached_property
    def _contraction(self) -> tuple[np.ndarray, float]:
        return graph.contraction(self.norms().numpy(), self.domains.cpu().numpy())

    def scales(self) -> Tensor:
        """v ``[R]``, positive: the lengths by which :meth:`lipschitz` measures each range."""
        return torch.from_numpy(self._contraction[0]).to(self.matrices)

    def lipschitz(self) -> float:
        """max_r |A_r| max_s v_s / v_r, s in the domain of r: Lipschitz constant in the metric max_r h(X_r, Y_r) / v_r.

        It is valid for any positive v; with :meth:`scales` it is, but for 1e-6, the largest geometric mean of the norms
        along a cycle of the graph, below which no v can get.
        """
        return self._contraction[1]

    def check_contractive(self) -> CloudCollage:
        """Return self, or raise a DataError naming a cycle of ranges that expands, of points or of colours."""
        tables = [("matrices", self.matrices)]
        if self.colour_matrices is not None:
            tables.append(("colour_matrices", self.colour_matrices))
        for label, table in tables:
            norms = torch.linalg.matrix_norm(table.detach(), ord=2).cpu().numpy()
            if norms.max() < 1:
                continue
            domains = self.domains.cpu().numpy()
            _, constant = graph.contraction(norms, domains) if label != "matrices" else self._contraction
            if not constant < 1:
                cycle = graph.worst_cycle(norms, domains)
                raise DataError(
                    f"{label}: the collage does not contract: its maps multiply lengths by {constant:.6g} on average "
                    f"along the ranges {' <- '.join(map(str, [*cycle[:8], cycle[0]]))}; it must be below 1"
                )
        return self

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Centres ``[R, D]`` and radii ``[R]`` of balls that hold the sets X_r; the centres are their means.

        Raises:
            DataError: the collage does not contract.
        """
        self.check_contractive()
        a, b = self.matrices.detach().cpu().numpy(), self.offsets.detach().cpu().numpy()
        w, domains = self.weights.detach().cpu().numpy(), self.domains.cpu().numpy()
        means = graph.means(a, b, w, domains)
        radii = graph.radii(a, means, b, self.norms().numpy(), domains, self._contraction)
        return torch.from_numpy(means).to(self.matrices), torch.from_numpy(radii).to(self.matrices)

    # ---- files

    def summary(self) -> dict[str, Any]:
        """Ranges, norms, sizes of domains and a box that holds the cloud; facts that JSON can hold."""
        norms, sizes = self.norms(), (self.domains[:, 1] - self.domains[:, 0]).double()
        centre, radius = self.bounds()
        return {
            "name": self.name, "ranges": len(self), "dimension": self.dim, "coloured": self.coloured,
            "lipschitz": self.lipschitz(), "largest_norm": float(norms.max()), "median_norm": float(norms.median()),
            "domain_sizes": [int(sizes.min()), float(sizes.median()), int(sizes.max())],
            "numbers": sum(v.numel() for n in (*TENSORS, *COLOURS) if (v := getattr(self, n)) is not None),
            "low": (centre - radius[:, None]).amin(0).tolist(), "high": (centre + radius[:, None]).amax(0).tolist(),
            "provenance": self.provenance,
        }  # fmt: skip

    def to_json(self) -> str:
        """The text of a ``.ifs.json`` file, a range a line; float64 values survive the round trip bit for bit."""
        head = {"format": FORMAT, "version": VERSION, "dimension": self.dim, "name": self.name,
                "provenance": self.provenance}  # fmt: skip
        columns = {"matrix": self.matrices, "offset": self.offsets, "domain": self.domains, "weight": self.weights,
                   "colour_matrix": self.colour_matrices, "colour_offset": self.colour_offsets}  # fmt: skip
        lists = {key: value.tolist() for key, value in columns.items() if value is not None}
        rows = (json.dumps(dict(zip(lists, row, strict=True))) for row in zip(*lists.values(), strict=True))
        text = json.dumps(head, indent=1, allow_nan=False)
        return f'{text[:-2]},\n "ranges": [\n  ' + ",\n  ".join(rows) + "\n ]\n}\n"

    @classmethod
    def from_dict(cls, data: Any) -> CloudCollage:
        """Build from the object that :meth:`to_json` writes, refusing what is malformed with the path of the field."""
        d = checked_dimension(data, FORMAT, VERSION)
        rows = data.get("ranges")
        if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_RANGES:
            raise DataError(f"ranges: expected a list of 1 to {MAX_RANGES:,} ranges")
        name, provenance = data.get("name", ""), data.get("provenance", {})
        if not isinstance(name, str) or not isinstance(provenance, dict):
            raise DataError("name: expected a string, and provenance an object")
        coloured = isinstance(rows[0], dict) and "colour_matrix" in rows[0]
        return cls(
            _column(rows, "matrix", (d, d)), _column(rows, "offset", (d,)), _column(rows, "domain", (2,)),
            _column(rows, "weight", ()), _column(rows, "colour_matrix", (3, 3)) if coloured else None,
            _column(rows, "colour_offset", (3,)) if coloured else None, provenance, name,
        ).check_contractive()  # fmt: skip

    @classmethod
    def from_json(cls, text: str | bytes) -> CloudCollage:
        """Build from the text of a ``.ifs.json`` file; a DataError names the bad field."""
        return cls.from_dict(parse_json(text))

    def save(self, path: str | Path) -> None:
        """Write a ``.json`` or, with that suffix, a ``.safetensors`` file, whole or not at all.

        Raises:
            DataError: the folder is missing or cannot be written to.
            UsageError: the suffix of a picture.
        """
        refuse_picture(path, "a collage of clouds is a .ifs.json or a .safetensors file")
        if Path(path).suffix.lower() != ".safetensors":
            with atomic_path(path) as temporary:
                temporary.write_text(self.to_json(), encoding="utf-8")
            return
        values = {name: getattr(self, name) for name in (*TENSORS, *COLOURS)}
        tensors = {name: v.detach().cpu().contiguous().clone() for name, v in values.items() if v is not None}
        about = {"name": self.name, "provenance": self.provenance}
        save_tensors(path, tensors, {"format": FORMAT, "version": str(VERSION), "config": json.dumps(about)})

    @classmethod
    def load(cls, path: str | Path) -> CloudCollage:
        """Read what :meth:`save` wrote; a DataError names the file and the fault."""
        path = Path(path)
        if path.suffix.lower() == ".safetensors":
            metadata, tensors = read_tensors(path, max_bytes=1 << 30)
            with naming(path):
                return cls._from_tensors(metadata, tensors)
        with naming(path):
            if path.stat().st_size > MAX_FILE_BYTES:
                raise DataError(f"larger than {MAX_FILE_BYTES >> 20} MiB, which no code needs")
            return cls.from_json(path.read_bytes())

    @classmethod
    def _from_tensors(cls, metadata: dict[str, str], tensors: dict[str, Tensor]) -> CloudCollage:
        if metadata.get("format") != FORMAT or metadata.get("version") != str(VERSION):
            raise DataError(f'format: expected metadata "format": "{FORMAT}", version {VERSION}')
        missing = [name for name in TENSORS if name not in tensors]
        if missing:
            raise DataError(f"{missing[0]}: missing")
        try:
            about = json.loads(metadata.get("config", "{}"))
            name, provenance = str(about.get("name", "")), dict(about.get("provenance", {}))
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            raise DataError("config: not valid JSON") from error
        known = {key: value for key, value in tensors.items() if key in (*TENSORS, *COLOURS)}
        return cls(**known, provenance=provenance, name=name).check_contractive()


def _floats(label: str, value: Any, shape: tuple[int, ...]) -> Tensor:
    """A floating-point tensor of that shape with finite values."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise DataError(f"{label}: expected a floating-point tensor, got {getattr(value, 'dtype', type(value))}")
    if value.shape != shape:
        raise DataError(f"{label}: expected shape {list(shape)}, got {list(value.shape)}")
    if not bool(torch.isfinite(value).all()):
        raise DataError(f"{label}: holds a value that is not finite")
    return value


def _intervals(domains: Any, ranges: int) -> Tensor:
    """Domains as int64, each a non-empty interval of ranges that are there."""
    if not isinstance(domains, Tensor) or domains.is_floating_point() or domains.shape != (ranges, 2):
        raise DataError(f"domains: expected integers of shape [{ranges}, 2], got {getattr(domains, 'shape', domains)}")
    domains = domains.long()
    first, last = domains.unbind(1)
    bad = (first < 0) | (last > ranges) | (first >= last)
    if bool(bad.any()):
        r = int(bad.nonzero()[0])
        raise DataError(f"domains[{r}]: expected an interval of the ranges 0 to {ranges}, got {domains[r].tolist()}")
    return domains


def _column(rows: list[Any], key: str, shape: tuple[int, ...]) -> Tensor:
    """One field of every range, as a tensor."""
    kinds = (int,) if key == "domain" else (int, float)
    what = f"{' x '.join(map(str, shape))} finite numbers" if shape else "a finite number"
    for r, row in enumerate(rows):
        if not isinstance(row, dict) or not _numeric(row.get(key), shape, kinds):
            raise DataError(f"ranges[{r}].{key}: expected {what}")
    try:
        return torch.tensor([row[key] for row in rows], dtype=torch.int64 if key == "domain" else torch.float64)
    except (OverflowError, RuntimeError) as error:
        raise DataError(f"ranges: {key} expects {what}") from error


def _numeric(value: Any, shape: tuple[int, ...], kinds: tuple[type, ...]) -> bool:
    """Whether nested lists of JSON have that shape and hold numbers only."""
    if not shape:
        return isinstance(value, kinds) and not isinstance(value, bool) and -1e300 < value < 1e300  # type: ignore[operator]
    return isinstance(value, list) and len(value) == shape[0] and all(_numeric(v, shape[1:], kinds) for v in value)

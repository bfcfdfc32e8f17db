"""Files of neural collages: encoding in one forward pass, entropy coding, and decoding at any size."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from fractalkit.codec import container
from fractalkit.codec.entropy import DECODE, ENCODE, coder, finish
from fractalkit.codec.neural_syntax import code_plane
from fractalkit.core import fixed_point
from fractalkit.errors import DataError, UsageError
from fractalkit.maps.convert import to_map
from fractalkit.models.neural_collage import BLOCK, CROP, NeuralCollage, join, rgb, split
from fractalkit.models.picture_code import PictureCode
from fractalkit.raster.area import resample
from fractalkit.raster.part import Part
from fractalkit.raster.samples import checked_samples

MODELS = ("nc_aerial_low", "nc_aerial_mid", "nc_aerial_high")  # coarse to fine
SCALES = 16  # quantiser steps per octave
MIDDLE = 64
STRIP = 64  # macroblock rows per segment
HALO = 4  # macroblock rows around a strip that the networks see; even, so that crops stay whole
DEAD_ZONE = 0.08  # subtracted from magnitudes before rounding
STEPS = 14  # of the map at the stored size
TRUST = 30
MAX_OUTPUT = 1 << 31
Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class NeuralCode(PictureCode):
    """Parameters of all collages of a picture.

    Attributes:
        height, width, channels, depth: of the picture; 1 channel has no chroma.
        model: name of the weights.
        check: checksum of the weights, see :func:`fingerprint`.
        scale: index of the quantiser step, 2^((scale - 64) / 16) times that of the model.
        planes: int32 ``[4 h, 4 w, 64]`` for luma and ``[2 h, 2 w, 64]`` for each chroma, of h x w crops.
        metadata: "icc" and "exif", as bytes.
    """

    model: str
    check: int
    scale: int
    planes: Planes = field(repr=False)
    metadata: dict[str, bytes] = field(default_factory=dict, repr=False)

    def to_bytes(self) -> bytes:
        """The ``.fk`` file."""
        net = _network(self.model, self.check, "model")
        name = self.model.encode()
        settings = struct.pack("<BIB", self.scale, self.check, len(name)) + name
        header = container.Header("neural", self.height, self.width, self.channels, self.depth, settings, self.metadata)
        segments = []
        for part in _strips(self.planes):
            room = np.zeros(64 + 8 * sum(p.size for p in part), np.uint8)
            state, data = coder(ENCODE, room)
            _code(state, data, net, part, self.channels)
            segments.append(data[: finish(state, data)].tobytes())
        return container.write(header, segments)

    @classmethod
    def from_bytes(
        cls, data: bytes, name: str = ".fk data", *, max_pixels: int = container.MAX_PIXELS, partial: bool = False
    ) -> NeuralCode:
        """Read a ``.fk`` file; with ``partial``, what a truncated file lacks is grey.

        Raises:
            DataError: damaged, truncated, of another codec, too large, or made with weights that are missing.
        """
        header, segments = container.read(data, name, max_pixels=max_pixels, partial=partial)
        if header.codec != "neural":
            raise DataError(f"{name}: coded by {header.codec!r}, not by a neural collage")
        bad = DataError(f"{name}: settings out of range; the file is damaged")
        if len(header.settings) < 6 or header.channels not in (1, 3):
            raise bad
        scale, check, n = struct.unpack_from("<BIB", header.settings)
        if len(header.settings) != 6 + n or scale > 2 * MIDDLE:
            raise bad
        try:
            model = header.settings[6:].decode("ascii")
        except UnicodeDecodeError:
            raise bad from None
        net = _network(model, check, name)
        h, w = -(-header.height // CROP), -(-header.width // CROP)
        planes = tuple(np.zeros((k * h, k * w, 64), np.int32) for k in (4, 2, 2))
        parts = list(_strips(planes))  # type: ignore[arg-type]
        if len(segments) != len(parts):
            raise DataError(f"{name}: {len(segments)} segments for {len(parts)} strips; the file is damaged")
        for part, segment in zip(parts, segments, strict=True):
            state, room = coder(DECODE, np.frombuffer(segment, np.uint8).copy())
            _code(state, room, net, part, header.channels)
        return cls(
            header.height, header.width, header.channels, header.depth, model, check, scale, planes,  # type: ignore[arg-type]
            header.metadata,
        )  # fmt: skip

    @torch.no_grad()
    def decode_part(self, part: Part, deblock: bool | None = None) -> np.ndarray:
        if part.height * part.width * self.channels > MAX_OUTPUT:
            raise UsageError(f"size {part.width} x {part.height}: more than memory holds; decode windows of it instead")
        scale = part.scale
        left, top, right, bottom = part.box
        rows, columns = _crops(top, bottom), _crops(left, right)
        side = CROP * scale
        shape = ((rows[1] - rows[0]) * side, (columns[1] - columns[0]) * side)
        tail = () if self.channels == 1 else (3,)
        out = np.zeros(shape + tail, self.dtype)
        net = _network(self.model, self.check, "model")
        step = max(1, STRIP // 2 // scale**2)
        for row in range(rows[0], rows[1], step):
            end = min(row + step, rows[1])
            x = self._draw(net, (row, end), columns, scale)
            x = x.mean(0, keepdim=True) if self.channels == 1 else x
            made = rearrange((x.clamp(0, 1) * self.top).round(), "c h w -> h w c").numpy()
            at = slice((row - rows[0]) * side, (end - rows[0]) * side)
            out[at] = made[..., 0] if self.channels == 1 else made
        x0, y0 = columns[0] * CROP, rows[0] * CROP
        box = ((left - x0) * scale, (top - y0) * scale, (right - x0) * scale, (bottom - y0) * scale)
        if all(float(v).is_integer() for v in box) and (box[3] - box[1], box[2] - box[0]) == (part.height, part.width):
            return np.ascontiguousarray(out[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])])
        return resample(out, part.height, part.width, box)

    def _draw(self, net: NeuralCollage, rows: tuple[int, int], columns: tuple[int, int], scale: int) -> Tensor:
        """Draw crops of rows x columns as one picture ``[3, h, w]``."""
        high, wide = self.planes[1].shape[0] // 2, self.planes[1].shape[1] // 2
        halo = HALO // 2
        r0, r1 = max(0, rows[0] - halo), min(high, rows[1] + halo)
        c0, c1 = max(0, columns[0] - halo), min(wide, columns[1] + halo)
        part = [
            rearrange(torch.from_numpy(p[k * r0 : k * r1, k * c0 : k * c1]).float(), "h w n -> 1 n h w")
            for p, k in zip(self.planes, (4, 2, 2), strict=True)
        ]
        made = net.synthesise(join(*part), 2 ** ((self.scale - MIDDLE) / SCALES))
        made = made.part((rows[0] - r0, rows[1] - r0), (columns[0] - c0, columns[1] - c0))
        if scale == 1:
            return made.draw(STEPS)[0]
        h, w = rows[1] - rows[0], columns[1] - columns[0]
        side = CROP * scale
        planes = torch.cat([fixed_point(to_map(code, (side, side))) for code in made.codes()], 1)
        return rgb(rearrange(planes, "(h w) c y x -> 1 c (h y) (w x)", h=h, w=w))[0]

    def summary(self) -> dict[str, Any]:
        """Facts of the code by name. The paper counts 9 bits for each number that is not zero (two digits and a sign)
        and none for the positions of these numbers."""
        h, w = self.planes[1].shape[0] // 2, self.planes[1].shape[1] // 2
        ranges = h * w * (16 + (8 if self.channels == 3 else 0))
        used = sum(int(np.count_nonzero(p)) for p in self.planes)
        return {
            "model": self.model,
            "step": round(2 ** ((self.scale - MIDDLE) / SCALES), 4),
            "crops": h * w,
            "ranges": ranges,
            "numbers": sum(p.size for p in self.planes) if self.channels == 3 else self.planes[0].size,
            "numbers that are not zero": used,
            "bits per pixel by the paper's count": round(9 * used / (self.height * self.width), 4),
        }


def vector(code: NeuralCode) -> np.ndarray:
    """The numbers of a code as one vector, float32, in sample values of [0, 1]. Cosines are orthonormal, so distances
    between such vectors are distances between the pictures, up to quantisation."""
    net = _network(code.model, code.check, "model")
    steps = net.steps().detach().numpy().reshape(384) * 2 ** ((code.scale - MIDDLE) / SCALES)
    parts = [p * steps[at : at + 64] for p, at in zip(code.planes, (0, 256, 320), strict=True)]
    return np.concatenate([p.ravel() for p in parts]).astype(np.float32)


def between(a: NeuralCode, b: NeuralCode, t: float) -> NeuralCode:
    """Interpolate between two codes, from a at t = 0 to b at t = 1; numbers are rounded, so the result has a file.

    Raises:
        UsageError: they differ in size, channels, depth, model or step.
    """
    for name in ("height", "width", "channels", "depth", "model", "check", "scale"):
        if getattr(a, name) != getattr(b, name):
            raise UsageError(
                f"the codes differ in {name}; make both from pictures of one size, with one model and step"
            )
    planes = tuple(np.rint((1 - t) * p + t * q).astype(np.int32) for p, q in zip(a.planes, b.planes, strict=True))
    return replace(a, planes=planes)  # type: ignore[arg-type]


def _crops(a: float, b: float) -> tuple[int, int]:
    return int(a // CROP), -int(-b // CROP)


def _strips(planes: Planes) -> Iterable[Planes]:
    rows = planes[1].shape[0]
    for y in range(0, rows, STRIP):
        yield planes[0][2 * y : 2 * (y + STRIP)], planes[1][y : y + STRIP], planes[2][y : y + STRIP]


def _code(state: Any, data: np.ndarray, net: NeuralCollage, planes: Planes, channels: int, models: Any = None) -> None:
    models = coder_models(net) if models is None else models
    for i in range(3 if channels == 3 else 1):
        code_plane(state, data, *models, i, planes[i], planes[0], planes[1])  # type: ignore[call-arg]


def coder_models(net: NeuralCollage) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Initial state of the contexts of the coder: probabilities, counts, mixing weights."""
    prob = np.clip(np.rint(net.coder_prob.double().numpy() * 64), 32, 65503).astype(np.uint16)  # type: ignore[operator]
    count = np.clip(net.coder_count.numpy(), 0, 255).astype(np.uint8)  # type: ignore[operator]
    weight = np.clip(np.rint(net.coder_weight.double().numpy() * 64), -(1 << 24), 1 << 24)  # type: ignore[operator]
    return prob, count, weight.astype(np.int64)


def fingerprint(net: NeuralCollage) -> int:
    """A checksum of the weights; files name the weights they need by it."""
    out = 0
    for name, value in sorted(net.state_dict().items()):
        out = zlib.crc32(name.encode(), out)
        out = zlib.crc32(value.detach().cpu().numpy().astype("<f4").tobytes(), out)
    return out


_KNOWN: dict[tuple[str, int], NeuralCollage] = {}


@lru_cache(maxsize=8)
def load_network(name: str) -> tuple[NeuralCollage, int]:
    """Weights by name or path, and their fingerprint.

    Raises:
        UsageError, DataError: as :func:`fractalkit.models.pretrained.from_pretrained`; other architectures.
    """
    from fractalkit.models.pretrained import from_pretrained

    net: NeuralCollage = from_pretrained(name, kind=NeuralCollage)
    return net, fingerprint(net)


def use(net: NeuralCollage, name: str) -> int:
    """Let codes of this process refer to a network that is in memory only; return its fingerprint."""
    check = fingerprint(net)
    _KNOWN[name, check] = net
    return check


def _network(model: str, check: int, name: str) -> NeuralCollage:
    if (model, check) in _KNOWN:
        return _KNOWN[model, check]
    try:
        if "/" in model or "\\" in model:  # a file must not make us open other files or ask the hub
            raise UsageError("a path")
        net, have = load_network(model)
    except (DataError, UsageError):
        raise DataError(f"{name}: needs the model {model!r}, which is not in this FractalKit; update it") from None
    if have != check:
        raise DataError(
            f"{name}: made with other weights of {model!r} ({check:08x}, here are {have:08x}); "
            "use the FractalKit that wrote it"
        )
    return net


@torch.no_grad()
def encode_neural(
    image: np.ndarray,
    *,
    model: str | NeuralCollage = "auto",
    bpp: float | None = None,
    bytes: int | None = None,
    psnr: float | None = None,
    scale: int = MIDDLE,
    metadata: dict[str, Any] | None = None,
) -> NeuralCode:
    """Encode a picture in one forward pass, or a few where a size or a quality is given.

    Args:
        image: ``[H, W]`` or ``[H, W, 3]``, uint8 or uint16.
        model: a name, or a network; "auto" takes the middle one of the package, or the one nearest to the aim.
        bpp, bytes: largest size in bits per pixel or in bytes; the finest step within it is taken.
        psnr: smallest PSNR in decibels over all channels; the coarsest step that reaches it is taken.
        scale: see :class:`NeuralCode`; used without an aim only.
        metadata: "icc" and "exif", as bytes.

    Raises:
        UsageError: an image of another shape or type, an unknown model, or an aim out of range or out of reach.
    """
    image, _ = checked_samples(image, alpha=False)
    aims = _checked_aims(bpp=bpp, bytes=bytes, psnr=psnr)
    if not 0 <= scale <= 2 * MIDDLE:
        raise UsageError(f"scale: expected 0 to {2 * MIDDLE}, got {scale}")
    nets = _networks(model, several=bool(aims))
    metadata = metadata or {}
    if not aims:
        return _encode(image, nets[0], scale, metadata)
    if psnr is not None:
        return _reach(image, nets, psnr, metadata)
    pixels = image.shape[0] * image.shape[1]
    return _keep_to(image, nets, bpp * pixels / 8 if bpp is not None else float(bytes or 0), metadata)


def _checked_aims(**given: float | None) -> dict[str, float]:
    """The aim that is given, at most one; the others are None."""
    aims = {name: value for name, value in given.items() if value is not None}
    if len(aims) > 1:
        raise UsageError(f"{' and '.join(aims)} were given together; give one")
    for name, value in aims.items():
        if not (value > 0 and math.isfinite(value)):
            raise UsageError(f"{name}: expected a number above 0, got {value}")
    return aims


@dataclass(frozen=True)
class _Network:
    net: NeuralCollage
    name: str
    check: int


def _networks(model: str | NeuralCollage, *, several: bool) -> list[_Network]:
    """The networks to choose from; "auto" means all of the package if ``several``, else the middle one."""
    if isinstance(model, NeuralCollage):
        return [_Network(model, "own", use(model, "own"))]
    names = (MODELS if several else MODELS[1:2]) if model == "auto" else (model,)
    return [_Network(net, name, check) for name in names for net, check in [load_network(name)]]


def _keep_to(image: np.ndarray, nets: list[_Network], size: float, metadata: dict[str, Any]) -> NeuralCode:
    """The code of the finest step within ``size`` bytes, by the model whose own step comes nearest to them."""

    def bytes_of(code: NeuralCode) -> int:
        return len(code.to_bytes())

    network = min(nets, key=lambda n: abs(math.log(bytes_of(_encode(image, n, MIDDLE, metadata)) / size)))
    return _first_that_fits(
        lambda k: _encode(image, network, k, metadata),
        lambda code: bytes_of(code) <= size,
        lambda code: f"{size:.0f} bytes: too few for this picture; {bytes_of(code)} are the least",
    )


def _reach(image: np.ndarray, nets: list[_Network], psnr: float, metadata: dict[str, Any]) -> NeuralCode:
    """The code of the coarsest step that reaches ``psnr``, by the model whose own step comes nearest to it."""

    def decibels(code: NeuralCode) -> float:
        error = float(np.mean((code.decode().astype(np.float64) - image) ** 2))
        return 10 * math.log10(float(code.top) ** 2 / max(error, 1e-12))

    network = min(nets, key=lambda n: abs(decibels(_encode(image, n, MIDDLE, metadata)) - psnr))
    return _first_that_fits(
        lambda k: _encode(image, network, 2 * MIDDLE - k, metadata),
        lambda code: decibels(code) >= psnr,
        lambda code: f"{psnr:g} dB: more than these models reach, {decibels(code):.1f}; use the quadtree codec",
    )


def _first_that_fits(
    code_of: Callable[[int], NeuralCode], fits: Callable[[NeuralCode], bool], refusal: Callable[[NeuralCode], str]
) -> NeuralCode:
    """The code of the lowest index, 0 to 2 ``MIDDLE``, that fits, found by bisection."""
    best = None
    low, high = 0, 2 * MIDDLE + 1
    while low < high:
        middle = (low + high) // 2
        code = code_of(middle)
        if fits(code):
            best, high = code, middle
        elif middle == 2 * MIDDLE:
            raise UsageError(refusal(code))
        else:
            low = middle + 1
    assert best is not None
    return best


def _encode(image: np.ndarray, network: _Network, scale: int, metadata: dict[str, Any]) -> NeuralCode:
    net = network.net
    h, w = image.shape[:2]
    channels = 1 if image.ndim == 2 else 3
    high, wide = -(-h // CROP), -(-w // CROP)
    depth = 8 if image.dtype == np.uint8 else 16
    planes = tuple(np.zeros((k * high, k * wide, 64), np.int32) for k in (4, 2, 2))
    rows = _mirror(h, high * CROP)
    columns = _mirror(w, wide * CROP)
    factor = 2 ** ((scale - MIDDLE) / SCALES)
    for y in range(0, 2 * high, STRIP):
        y0, y1 = max(0, y - HALO), min(2 * high, y + STRIP + HALO)
        part = image.reshape(h, w, channels)[rows[y0 * BLOCK : y1 * BLOCK]][:, columns]
        x = rearrange(torch.from_numpy(part.astype(np.float32)), "h w c -> 1 c h w") / (2**depth - 1)
        numbers = net.parameters_of(x.expand(1, 3, -1, -1), factor)
        numbers = numbers[:, :, y - y0 : y - y0 + min(STRIP, 2 * high - y)]
        for i, p in enumerate(split(numbers)[:channels]):
            v = rearrange(p[0], "k h w -> h w k")
            whole = v.sign() * (v.abs() - DEAD_ZONE).round().clamp(min=0)
            whole[..., 0] = v[..., 0].round()
            k = 2 if i == 0 else 1
            planes[i][k * y : k * y + whole.shape[0]] = whole.clamp(-1e6, 1e6).int().numpy()
    return NeuralCode(h, w, channels, depth, network.name, network.check, scale, planes, metadata)  # type: ignore[arg-type]


def _mirror(n: int, want: int) -> np.ndarray:
    i = np.arange(want) % (2 * n)
    return np.asarray(np.minimum(i, 2 * n - 1 - i))


def learn_contexts(net: NeuralCollage, pictures: Iterable[np.ndarray], scales: tuple[int, ...] = (56, 64, 72)) -> int:
    """Train the initial state of the contexts: code all pictures in turn and keep the final state. Return the bytes of
    all of them. This changes the fingerprint of the network.
    """
    net.coder_prob.fill_(512)  # type: ignore[operator]
    net.coder_count.zero_()  # type: ignore[operator]
    net.coder_weight.fill_(307)  # type: ignore[operator]
    models = coder_models(net)
    total = 0
    for i, picture in enumerate(pictures):
        code = _encode(picture, _Network(net, "", 0), scales[i % len(scales)], {})
        for part in _strips(code.planes):
            state, data = coder(ENCODE, np.zeros(64 + 8 * sum(p.size for p in part), np.uint8))
            _code(state, data, net, part, code.channels, models)
            total += int(finish(state, data))
    prob, count, weight = models
    net.coder_prob.copy_(torch.from_numpy(np.rint(prob / 64)))  # type: ignore[operator]
    net.coder_count.copy_(torch.from_numpy(np.minimum(count, TRUST)))  # type: ignore[operator]
    net.coder_weight.copy_(torch.from_numpy(np.clip(np.rint(weight / 64), -2048, 2048)))  # type: ignore[operator]
    return total

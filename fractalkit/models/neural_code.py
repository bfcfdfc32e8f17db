"""Files of neural collages: a picture to whole numbers in one forward pass, to bytes, and back at any size."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.codec import container
from fractalkit.codec.entropy import DECODE, ENCODE, coder, finish
from fractalkit.codec.neural_syntax import code_plane
from fractalkit.errors import DataError, UsageError
from fractalkit.maps.collage import decode as decode_collage
from fractalkit.maps.quadtree import resample
from fractalkit.models.neural_collage import BLOCK, CROP, NeuralCollage, join, rgb, split

MODELS = ("nc_aerial_low", "nc_aerial_mid", "nc_aerial_high")  # coarse to fine
SCALES = 16  # of the quantiser's step, to an octave
MIDDLE = 64
STRIP = 64  # macroblock rows of a segment
HALO = 4  # macroblock rows that the networks look beyond a strip; even, so that crops stay whole
DEAD_ZONE = 0.08  # magnitudes are rounded down by so much more
STEPS = 14  # of the map at the picture's own size
TRUST = 30
MAX_OUTPUT = 1 << 31
Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class NeuralCode:
    """The parameters of all collages of a picture.

    Attributes:
        height, width, channels, depth: of the picture; 1 channel has no chroma.
        model: name of the weights.
        check: of the weights, see :func:`fingerprint`.
        scale: index of the quantiser's step, 2^((scale - 64) / 16) times the model's own.
        planes: int32 ``[4 h, 4 w, 64]`` for luma and ``[2 h, 2 w, 64]`` for each chroma, of h x w crops.
        metadata: "icc" and "exif", as bytes.
    """

    height: int
    width: int
    channels: int
    depth: int
    model: str
    check: int
    scale: int
    planes: Planes
    metadata: dict[str, bytes] = field(default_factory=dict)

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
        """From a ``.fk`` file; with ``partial``, what a beginning does not say is grey.

        Raises:
            DataError: damaged, cut off, of another codec, too large, or made with weights that are not at hand.
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
    def decode(
        self,
        height: int | None = None,
        width: int | None = None,
        *,
        window: tuple[float, float, float, float] | None = None,
        deblock: bool | None = None,
    ) -> np.ndarray:
        """``[H, W]`` or ``[H, W, 3]`` uint8 or uint16, at any size.

        Args:
            height, width: of the result; one alone keeps the proportions, neither takes the picture's own pixels.
            window: x0, y0, x1, y1 in [0, 1]; only its crops are drawn.
            deblock: has no meaning here: the synthesis looks across crops.

        Raises:
            UsageError: a size or a window out of range.
        """
        x0, y0, x1, y1 = window or (0.0, 0.0, 1.0, 1.0)
        if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
            raise UsageError(f"window {x0},{y0},{x1},{y1}: expected 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1")
        part_h, part_w = (y1 - y0) * self.height, (x1 - x0) * self.width
        if height is None:
            height = max(1, round(part_h if width is None else width * part_h / part_w))
        if width is None:
            width = max(1, round(height * part_w / part_h))
        if height < 1 or width < 1 or height * width * self.channels > MAX_OUTPUT:
            raise UsageError(f"size {width} x {height}: expected at least one pixel either way, and what memory holds")
        scale = 1
        while scale < 64 and (scale * part_h < height or scale * part_w < width):
            scale *= 2
        net = _network(self.model, self.check, "model")
        rows = _crops(y0 * self.height, y1 * self.height)
        columns = _crops(x0 * self.width, x1 * self.width)
        side = CROP * scale
        shape = ((rows[1] - rows[0]) * side, (columns[1] - columns[0]) * side)
        tail = () if self.channels == 1 else (3,)
        out = np.zeros(shape + tail, np.uint8 if self.depth == 8 else np.uint16)
        top = 255 if self.depth == 8 else 65535
        step = max(1, STRIP // 2 // scale**2)
        for row in range(rows[0], rows[1], step):
            end = min(row + step, rows[1])
            x = self._draw(net, (row, end), columns, scale)
            x = x.mean(0, keepdim=True) if self.channels == 1 else x
            made = (x.clamp(0, 1) * top).round().permute(1, 2, 0).numpy()
            at = slice((row - rows[0]) * side, (end - rows[0]) * side)
            out[at] = made[..., 0] if self.channels == 1 else made
        box = (
            (x0 * self.width - columns[0] * CROP) * scale, (y0 * self.height - rows[0] * CROP) * scale,
            (x1 * self.width - columns[0] * CROP) * scale, (y1 * self.height - rows[0] * CROP) * scale,
        )  # fmt: skip
        if all(float(v).is_integer() for v in box) and (box[3] - box[1], box[2] - box[0]) == (height, width):
            return np.ascontiguousarray(out[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])])
        return resample(out, height, width, box)

    def _draw(self, net: NeuralCollage, rows: tuple[int, int], columns: tuple[int, int], scale: int) -> Tensor:
        """Crops of rows x columns as one picture ``[3, h, w]``."""
        high, wide = self.planes[1].shape[0] // 2, self.planes[1].shape[1] // 2
        halo = HALO // 2
        r0, r1 = max(0, rows[0] - halo), min(high, rows[1] + halo)
        c0, c1 = max(0, columns[0] - halo), min(wide, columns[1] + halo)
        part = [
            torch.from_numpy(p[k * r0 : k * r1, k * c0 : k * c1]).float().permute(2, 0, 1)[None]
            for p, k in zip(self.planes, (4, 2, 2), strict=True)
        ]
        made = net.synthesise(join(*part), 2 ** ((self.scale - MIDDLE) / SCALES))
        made = made.part((rows[0] - r0, rows[1] - r0), (columns[0] - c0, columns[1] - c0))
        if scale == 1:
            return made.draw(STEPS)[0]
        h, w = rows[1] - rows[0], columns[1] - columns[0]
        side = CROP * scale
        planes = torch.cat([decode_collage(code, side, side) for code in made.codes()], 1)  # [h w, 3, side, side]
        whole = planes.reshape(h, w, 3, side, side).permute(2, 0, 3, 1, 4).reshape(1, 3, h * side, w * side)
        return rgb(whole)[0]

    def summary(self) -> dict[str, Any]:
        """Plain facts, and beside the file's bits those of the paper's way of counting: so many for each number that is
        not zero (9, for two digits and a sign), and nothing for which numbers these are."""
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
    """The code as a point, float32: its numbers in sample values of [0, 1]. Cosines are orthonormal, so that distances
    between the points of pictures of one size are those between the pictures, but for what was rounded away."""
    net = _network(code.model, code.check, "model")
    steps = net.steps().detach().numpy().reshape(384) * 2 ** ((code.scale - MIDDLE) / SCALES)
    parts = [p * steps[at : at + 64] for p, at in zip(code.planes, (0, 256, 320), strict=True)]
    return np.concatenate([p.ravel() for p in parts]).astype(np.float32)


def between(a: NeuralCode, b: NeuralCode, t: float) -> NeuralCode:
    """The code a share ``t`` of the way from a to b; its numbers are whole, so it can be written as a file.

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
    """What the coder's contexts begin with: probabilities, counts, mixing weights."""
    prob = np.clip(np.rint(net.coder_prob.double().numpy() * 64), 32, 65503).astype(np.int64)  # type: ignore[operator]
    count = np.clip(net.coder_count.numpy(), 0, 255).astype(np.uint8)  # type: ignore[operator]
    weight = np.clip(np.rint(net.coder_weight.double().numpy() * 64), -(1 << 24), 1 << 24)  # type: ignore[operator]
    return prob, count, weight.astype(np.int64)


def fingerprint(net: NeuralCollage) -> int:
    """A checksum of the weights, by which a file knows its own."""
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
        UsageError, DataError: as :func:`fractalkit.models.hub.from_pretrained`; other architectures.
    """
    from fractalkit.models.hub import from_pretrained

    net: NeuralCollage = from_pretrained(name, architecture="neural-collage")
    return net, fingerprint(net)


def use(net: NeuralCollage, name: str) -> int:
    """Let files of this process refer to a network that is in memory only; its fingerprint."""
    check = fingerprint(net)
    _KNOWN[name, check] = net
    return check


def _network(model: str, check: int, name: str) -> NeuralCollage:
    if (model, check) in _KNOWN:
        return _KNOWN[model, check]
    try:
        if "/" in model or "\\" in model:  # a file must not have us open others, nor ask the hub
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
    """A picture to a code, in one forward pass (a few, where something is aimed at).

    Args:
        image: ``[H, W]`` or ``[H, W, 3]``, uint8 or uint16.
        model: a name, or a network; "auto" takes the middle one of the package, or the one that suits the aim.
        bpp, bytes: bits a pixel, or bytes, that the file may have: the finest step within them is taken.
        psnr: decibels over all channels that the decoded picture is to have: the coarsest step that reaches them.
        scale: see :class:`NeuralCode`; without an aim only.
        metadata: "icc" and "exif", as bytes.

    Raises:
        UsageError: no such picture or model, or an aim that is out of range or out of reach.
    """
    if image.ndim not in (2, 3) or 0 in image.shape or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise UsageError(
            f"image: expected [H, W] or [H, W, 3], got {list(image.shape)}; the quadtree codec has transparency"
        )
    if image.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"image: expected uint8 or uint16, got {image.dtype}")
    aims = {k: v for k, v in (("bpp", bpp), ("bytes", bytes), ("psnr", psnr)) if v is not None}
    if len(aims) > 1:
        raise UsageError(f"{' and '.join(aims)} were given together; give one")
    for name, value in aims.items():
        if not (value > 0 and math.isfinite(value)):
            raise UsageError(f"{name}: expected a number above 0, got {value}")
    if not 0 <= scale <= 2 * MIDDLE:
        raise UsageError(f"scale: expected 0 to {2 * MIDDLE}, got {scale}")
    if isinstance(model, NeuralCollage):
        nets = [_Network(model, "own", use(model, "own"))]
    else:
        names = (MODELS if aims else MODELS[1:2]) if model == "auto" else (model,)
        nets = [_Network(net, name, check) for name in names for net, check in [load_network(name)]]
    metadata = metadata or {}
    if psnr is not None:
        return _reach(image, nets, psnr, metadata)
    if aims:
        pixels = image.shape[0] * image.shape[1]
        return _keep_to(image, nets, bpp * pixels / 8 if bpp is not None else float(bytes or 0), metadata)
    return _encode(image, nets[0], scale, metadata)


@dataclass(frozen=True)
class _Network:
    net: NeuralCollage
    name: str
    check: int


def _keep_to(image: np.ndarray, nets: list[_Network], size: float, metadata: dict[str, Any]) -> NeuralCode:
    """The finest step within ``size`` bytes, of the model whose own step comes nearest to them."""
    sizes = [len(_encode(image, n, MIDDLE, metadata).to_bytes()) for n in nets]
    network = nets[int(np.argmin([abs(math.log(s / size)) for s in sizes]))]
    best = None
    low, high = 0, 2 * MIDDLE + 1  # finest and coarsest
    while low < high:
        middle = (low + high) // 2
        code = _encode(image, network, min(middle, 2 * MIDDLE), metadata)
        if len(code.to_bytes()) <= size:
            best, high = code, middle
        elif middle >= 2 * MIDDLE:
            raise UsageError(f"{size:.0f} bytes: too few for this picture; {len(code.to_bytes())} are the least")
        else:
            low = middle + 1
    assert best is not None
    return best


def _reach(image: np.ndarray, nets: list[_Network], psnr: float, metadata: dict[str, Any]) -> NeuralCode:
    """The coarsest step that reaches ``psnr``, of the model whose own step comes nearest to it."""

    def decibels(code: NeuralCode) -> float:
        top = 255.0 if code.depth == 8 else 65535.0
        error = float(np.mean((code.decode().astype(np.float64).reshape(image.shape) - image) ** 2))
        return 10 * math.log10(top**2 / max(error, 1e-12))

    at = [decibels(_encode(image, n, MIDDLE, metadata)) for n in nets]
    network = nets[int(np.argmin([abs(a - psnr) for a in at]))]
    best = None
    low, high = -1, 2 * MIDDLE
    while low < high:
        middle = (low + high + 1) // 2
        code = _encode(image, network, max(middle, 0), metadata)
        if decibels(code) >= psnr:
            best, low = code, middle
        elif middle <= 0:
            raise UsageError(f"{psnr:g} dB: more than these models reach, {decibels(code):.1f}; use the quadtree codec")
        else:
            high = middle - 1
    assert best is not None
    return best


def _encode(image: np.ndarray, network: _Network, scale: int, metadata: dict[str, Any]) -> NeuralCode:
    net = network.net
    h, w = image.shape[:2]
    channels = 1 if image.ndim == 2 or image.shape[2] == 1 else 3
    high, wide = -(-h // CROP), -(-w // CROP)
    depth = 8 if image.dtype == np.uint8 else 16
    planes = tuple(np.zeros((k * high, k * wide, 64), np.int32) for k in (4, 2, 2))
    rows = _mirror(h, high * CROP)
    columns = _mirror(w, wide * CROP)
    factor = 2 ** ((scale - MIDDLE) / SCALES)
    for y in range(0, 2 * high, STRIP):
        y0, y1 = max(0, y - HALO), min(2 * high, y + STRIP + HALO)
        part = image.reshape(h, w, channels)[rows[y0 * BLOCK : y1 * BLOCK]][:, columns]
        x = torch.from_numpy(part.astype(np.float32)).permute(2, 0, 1)[None] / (2**depth - 1)
        numbers = net.parameters_of(x.expand(1, 3, -1, -1), factor)
        numbers = numbers[:, :, y - y0 : y - y0 + min(STRIP, 2 * high - y)]
        for i, p in enumerate(split(numbers)[:channels]):
            v = p[0].permute(1, 2, 0)
            whole = v.sign() * (v.abs() - DEAD_ZONE).round().clamp(min=0)
            whole[..., 0] = v[..., 0].round()
            k = 2 if i == 0 else 1
            planes[i][k * y : k * y + whole.shape[0]] = whole.clamp(-1e6, 1e6).int().numpy()
    return NeuralCode(h, w, channels, depth, network.name, network.check, scale, planes, metadata)  # type: ignore[arg-type]


def _mirror(n: int, want: int) -> np.ndarray:
    i = np.arange(want) % (2 * n)
    return np.asarray(np.minimum(i, 2 * n - 1 - i))


def learn_contexts(net: NeuralCollage, pictures: Iterable[np.ndarray], scales: tuple[int, ...] = (56, 64, 72)) -> int:
    """Fill in what the coder's contexts begin with: all pictures are coded one after the other, and what the contexts
    have learned in the end is kept. Returns the bytes that all of them took. Changes the network's fingerprint.
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

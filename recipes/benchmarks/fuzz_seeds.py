"""The parsers that ``fuzz`` tests, and generators of valid files for each."""

from __future__ import annotations

import functools
import gzip
import io
import json
import os
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fractalkit.errors import FractalKitError

Pack = Callable[[Sequence[bytes]], bytes]
MAX_PIXELS = 1 << 18


@dataclass(frozen=True)
class Seed:
    """A valid file: its name and its parts; ``pack`` applies containers, compression and checksums."""

    name: str
    parts: tuple[bytes, ...]
    pack: Pack | None = None

    def data(self) -> bytes:
        """Contents of the file."""
        return b"".join(self.parts) if self.pack is None else self.pack(self.parts)


@dataclass(frozen=True)
class Parser:
    """A parser under test.

    Attributes:
        read: reads a file, uses the result as the commands do, and asserts that it is valid.
        repair: returns a damaged file with correct checksums, or None if that is impossible.
        errors: errors that it may raise.
    """

    name: str
    what: str
    seeds: Callable[[], list[Seed]]
    read: Callable[[Path], None]
    repair: Callable[[bytes], bytes | None] | None = None
    errors: tuple[type[Exception], ...] = (FractalKitError,)


# ---- packing


def zipped(names: Sequence[str]) -> Pack:
    """Pack parts as uncompressed members of a zip archive."""

    def pack(parts: Sequence[bytes]) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, part in zip(names, parts, strict=True):
                archive.writestr(zipfile.ZipInfo(name), part)
        return out.getvalue()

    return pack


def gzipped(parts: Sequence[bytes]) -> bytes:
    """Pack all parts as one gzip stream."""
    return gzip.compress(b"".join(parts), 1, mtime=0)


def tarred(names: Sequence[str]) -> Pack:
    """Pack parts as files of a gzipped tar archive."""

    def pack(parts: Sequence[bytes]) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name, part in zip(names, parts, strict=True):
                info = tarfile.TarInfo(name)
                info.size = len(part)
                archive.addfile(info, io.BytesIO(part))
        return gzipped([out.getvalue()])

    return pack


def safe_parts(data: bytes) -> tuple[bytes, bytes]:
    """Header and tensors of a safetensors file."""
    n = int.from_bytes(data[:8], "little")
    return data[8 : 8 + n], data[8 + n :]


def safe_pack(parts: Sequence[bytes]) -> bytes:
    """Pack header and tensors as a safetensors file with the correct header length."""
    return len(parts[0]).to_bytes(8, "little") + parts[0] + parts[1]


def metadata_seed(name: str, data: bytes, key: str) -> Seed:
    """A safetensors file whose only part is one text of its metadata."""
    head, body = safe_parts(data)
    table = json.loads(head)

    def pack(parts: Sequence[bytes]) -> bytes:
        table["__metadata__"][key] = parts[0].decode("utf-8", "replace")
        return safe_pack([json.dumps(table).encode(), body])

    return Seed(name, (table["__metadata__"][key].encode(),), pack)


def png_pack(kinds: Sequence[bytes]) -> Pack:
    """Pack parts as chunks of a PNG with their checksums."""

    def pack(parts: Sequence[bytes]) -> bytes:
        out = b"\x89PNG\r\n\x1a\n"
        for kind, part in zip(kinds, parts, strict=True):
            out += struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(part, zlib.crc32(kind)))
        return out

    return pack


def png_seed(name: str, data: bytes) -> Seed:
    """Split a PNG into its chunks."""
    kinds, parts, at = [], [], 8
    while at < len(data):
        n = int.from_bytes(data[at : at + 4], "big")
        kinds.append(data[at + 4 : at + 8])
        parts.append(data[at + 8 : at + 8 + n])
        at += 12 + n
    return Seed(name, tuple(parts), png_pack(kinds))


def glb_pack(parts: Sequence[bytes]) -> bytes:
    """Pack a JSON and a binary chunk as GLB."""
    text, body = parts[0] + b" " * (-len(parts[0]) % 4), parts[1] + bytes(-len(parts[1]) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(body), b"BIN\0") + body
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def repair_fk(data: bytes) -> bytes | None:
    """Correct the checksums of a ``.fk`` file; None if its header cannot be parsed."""
    b = bytearray(data)
    try:
        at = 6

        def varint() -> int:
            nonlocal at
            out = shift = 0
            while True:
                byte = b[at]
                at += 1
                out |= (byte & 127) << shift
                shift += 7
                if byte < 128 or shift > 35:
                    return out

        for _ in range(4):
            varint()
        for _ in range(2):
            n = varint()
            at += n
        places = []
        for _ in range(min(varint(), 10_000)):
            n = varint()
            places.append((at, n))
            at += 4
        start = at + 4
        for place, n in places:
            b[place : place + 4] = zlib.crc32(b[start : start + n]).to_bytes(4, "little")
            start += n
        b[at : at + 4] = zlib.crc32(b[:at]).to_bytes(4, "little")
    except IndexError:
        return None
    return bytes(b) if len(b) >= at + 4 else None


# ---- pictures and .fk


def scene(height: int = 72, width: int = 88) -> np.ndarray:
    """Picture of waves, a checkerboard and noise: ``[H, W, 3]`` uint8."""
    rng = np.random.default_rng(0)
    y, x = np.indices((height, width))
    base = 120 + 60 * np.sin(x / 7) * np.cos(y / 9) + 20 * ((x // 12 + y // 12) % 2)
    rgb = np.stack([base, np.roll(base, 9, 0), np.roll(base, 9, 1)], -1) + rng.normal(0, 4, (height, width, 3))
    return rgb.clip(0, 255).astype(np.uint8)


def fk_quadtree() -> list[Seed]:
    """Small files of many kinds."""
    from fractalkit.fit.quadtree import encode

    rng = np.random.default_rng(0)
    a = scene()
    alpha = np.dstack([a, (255 * (np.indices(a.shape[:2])[1] > 30)).astype(np.uint8)])
    made = [
        encode(a, quality=50, effort=6),
        encode(a, quality=70, effort=1, chroma="full"),
        encode(a[..., 0], quality=40, effort=6),
        encode(alpha, quality=45, effort=4),
        encode(a.astype(np.uint16) * 257, quality=45, effort=1),
        encode(a[:1, :1]),
        encode(a, quality=50, method="pifs"),
        encode(np.tile(a[:24, :30], (4, 3, 1)), quality=40, effort=5),
        encode(a, quality=50, effort=6, metadata={"icc": rng.bytes(200), "exif": b"Exif\0\0" + rng.bytes(50)}),
    ]
    return [Seed("a.fk", (c.to_bytes(),)) for c in made]


def fk_lossless() -> list[Seed]:
    """With and without a palette, copies, transparency, 16 bits."""
    from fractalkit.fit.copies import encode_copies

    rng = np.random.default_rng(0)
    a = scene(40, 48)
    glyphs = np.tile(np.where(rng.random((10, 8)) < 0.4, rng.integers(0, 200, (10, 8)), 255), (5, 7)).astype(np.uint8)
    made = [
        encode_copies(a),
        encode_copies(a[..., 0], copies=False),
        encode_copies(glyphs),
        encode_copies(np.dstack([a, a[..., :1]]), metadata={"icc": rng.bytes(200)}),
        encode_copies(a.astype(np.uint16) * 257),
        encode_copies(np.where(a[..., 0] > 120, 255, 0).astype(np.uint8)),
        encode_copies(np.tile(a[:12, :12] // 64, (4, 4, 1))),
        encode_copies(a[:1, :1]),
    ]
    return [Seed("a.fk", (c.to_bytes(),)) for c in made]


def fk_neural() -> list[Seed]:
    """Two pictures by two networks."""
    from fractalkit.models.neural_code import encode_neural

    a = scene()
    made = [encode_neural(a[:40, :50]), encode_neural(a[:20, :20, 1], model="nc_aerial_low", metadata={"icc": b"p"})]
    return [Seed("a.fk", (c.to_bytes(),)) for c in made]


def fk_coin() -> list[Seed]:
    """Grey and coloured."""
    from fractalkit.models.coin import encode_coin

    a = scene(24, 32)
    made = [encode_coin(a, bpp=8, iterations=3), encode_coin(a[..., 1], bpp=8, iterations=3, metadata={"icc": b"p"})]
    return [Seed("a.fk", (c.to_bytes(),)) for c in made]


def fk_cloud() -> list[Seed]:
    """Clouds in space and in the plane, coloured, far from the origin, and of few points."""
    from fractalkit.fit.cloud_codec import encode_cloud

    rng = np.random.default_rng(0)
    u = rng.random((3000, 2))
    sheet = np.column_stack([u, 0.2 * np.sin(6 * u[:, 0]) * np.cos(4 * u[:, 1])])
    made = [
        encode_cloud(sheet, quality=20),
        encode_cloud(sheet * 1e-3 + [4e5, -5e6, 30], bytes=300, colours=np.column_stack([u, 1 - u[:, 0]])),
        encode_cloud(u[u.sum(axis=1) < 1], quality=10),
        encode_cloud(sheet[:1]),
        encode_cloud(sheet[:20], metadata={"exif": b"Exif"}),
        encode_cloud(np.vstack([sheet, sheet[:40] + 1e6]), quality=15),
    ]
    return [Seed("a.fk", (c.to_bytes(),)) for c in made]


def read_fk_cloud(path: Path) -> None:
    """As decompress and info do."""
    from fractalkit import fk

    code = fk.load(path, partial=path.stat().st_size % 3 == 0)
    if not hasattr(code, "collage"):  # the damage made another codec of it
        return
    collage = code.collage.check_contractive()
    assert collage.matrices.isfinite().all() and collage.offsets.isfinite().all()
    assert len(collage) <= code.settings.leaves <= 1 << 16
    assert json.dumps(code.summary())


def read_fk(path: Path) -> None:
    """As decompress and info do."""
    from fractalkit import fk

    code = fk.load(path, max_pixels=MAX_PIXELS, partial=path.stat().st_size % 3 == 0)
    picture = fk.decode(code)
    assert picture.dtype in (np.uint8, np.uint16)
    assert picture.shape[:2] == (code.height, code.width)
    assert json.dumps(code.summary())


def pictures() -> list[Seed]:
    """Every format that is read."""
    from PIL import Image

    a = scene(24, 30)
    rgb, grey = Image.fromarray(a), Image.fromarray(a[..., 0])
    alpha = Image.fromarray(np.dstack([a, a[..., 0]]))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a scene"
    out = []

    def add(image: Image.Image, name: str, kind: str, **options: Any) -> None:
        file = io.BytesIO()
        image.save(file, kind, **options)
        data = file.getvalue()
        out.append(png_seed(name, data) if kind == "PNG" else Seed(name, (data,)))

    add(rgb, "a.png", "PNG", exif=exif, icc_profile=b"profile" * 9)
    add(alpha, "a.png", "PNG")
    add(grey.convert("1"), "a.png", "PNG")
    add(rgb.convert("P"), "a.png", "PNG")
    add(Image.fromarray(a[..., 0].astype(np.uint16) * 257), "a.png", "PNG")
    out.append(png_seed("a.png", _deep_png(a)))
    add(rgb, "a.jpg", "JPEG", exif=exif, icc_profile=b"profile" * 9)
    add(rgb.convert("CMYK"), "a.jpg", "JPEG", progressive=True)
    add(alpha, "a.webp", "WEBP", exif=exif)
    add(rgb, "a.tif", "TIFF", compression="tiff_lzw")
    add(Image.fromarray(a[..., 0].astype(np.uint16) * 257), "a.tif", "TIFF")
    add(rgb, "a.bmp", "BMP")
    add(rgb.convert("P"), "a.gif", "GIF", save_all=True, append_images=[grey.convert("P")])
    add(rgb, "a.jp2", "JPEG2000")
    add(rgb, "a.ppm", "PPM")
    add(grey, "a.pgm", "PPM")
    add(rgb, "a.avif", "AVIF", speed=9)
    return out


def _deep_png(a: np.ndarray) -> bytes:
    import png

    file = io.BytesIO()
    h, w = a.shape[:2]
    png.Writer(w, h, greyscale=False, bitdepth=16).write(file, (a.astype(np.uint16) * 257).reshape(h, -1))
    return file.getvalue()


def read_pictures(path: Path) -> None:
    """As compress does."""
    from fractalkit.data.pictures import read_picture

    p = read_picture(path, max_pixels=MAX_PIXELS)
    assert p.samples.dtype in (np.uint8, np.uint16) and p.samples.ndim in (2, 3) and p.samples.size
    assert p.samples.ndim == 2 or p.samples.shape[2] in (3, 4)


def read_squares(path: Path) -> None:
    """As training does."""
    from fractalkit.data.images import read_square

    for channels in (1, 3):
        square = read_square(path, 16, channels, max_pixels=MAX_PIXELS)
        assert square.shape == (channels, 16, 16) and square.dtype == np.uint8


def read_colours(path: Path) -> None:
    """Colours of a palette from a picture."""
    from fractalkit.render.colours_from import from_picture

    table = from_picture(path, colours=4, max_pixels=MAX_PIXELS)
    assert table.shape == (256, 3) and np.isfinite(table).all() and table.min() >= 0 and table.max() <= 1


# ---- codes


def ifs_json() -> list[Seed]:
    """Plane and space, with colours."""
    from fractalkit.codes import preset

    plain = [preset(n).to_json().encode() for n in ("barnsley-fern", "sierpinski-tetrahedron", "nautilus")]
    data = json.loads(plain[0])
    for k, m in enumerate(data["maps"]):
        m["colour"] = [0.1 * k, 0.5, 1]
    return [Seed("a.ifs.json", (p,)) for p in [*plain, json.dumps(data).encode()]]


def ifs_fractint() -> list[Seed]:
    """Codes of the plane and of space, with comments."""
    plane = "fern { ; a comment\n0 0 0 .16 0 0 .01\n.85 .04 -.04 .85 0 1.6 .85\n.2 -.26 .23 .22 0 1.6 .14 }\n"
    space = "corner (3D) {\n.5 0 0 0 .5 0 0 0 .5 0 0 0 .5\n.5 0 0 0 .5 0 0 0 .25 1 2 3 .5 }\n"
    return [Seed("a.ifs", (t.encode(),)) for t in (plane, space, f"comment {{ two }}\n{plane}{space}")]


def ifs_png() -> list[Seed]:
    """A code in the text of a picture."""
    from fractalkit.codes import preset
    from fractalkit.raster.png import CODE_KEY, save_png

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.png")
        save_png(path, scene(8, 8), {CODE_KEY: preset("barnsley-fern").to_json()})
        data = path.read_bytes()
    seed = png_seed("a.png", data)

    def texts(parts: Sequence[bytes]) -> bytes:
        body = CODE_KEY.encode() + b"\0\1\0\0\0" + zlib.compress(parts[0])
        return png_pack([b"IHDR", b"iTXt", b"IDAT", b"IEND"])([seed.parts[0], body, seed.parts[-2], b""])

    return [seed, Seed("a.png", (preset("koch-curve").to_json().encode(),), texts)]


def read_ifs(path: Path) -> None:
    """As ifs and info do."""
    from fractalkit.codes import AffineIFS
    from fractalkit.codes.open import load_as

    code = load_as(AffineIFS, path)
    assert code.lipschitz() < 1 and abs(float(code.probabilities.sum()) - 1) < 1e-6
    assert AffineIFS.from_dict(json.loads(code.to_json())).to_json() == code.to_json()
    code.summary()


def rows_csv() -> list[Seed]:
    """Plane, space, and with a line of names."""
    plane = "0.5,0,0,0.5,0,0,0.3\n0.5,0,0,0.5,0.5,0,0.3\n0.5,0.1,0,0.5,0.2,0.5,0.4\n"
    space = "0.5,0,0,0,0.5,0,0,0,0.5,0,0,0,0.5\n0.4,0,0,0,0.4,0,0,0,0.4,0.5,0,0.1,0.5\n"
    return [Seed("a.csv", (t.encode(),)) for t in (plane, space, "a,b,c,d,e,f,p\n" + plane)]


def read_rows(path: Path) -> None:
    """As render does."""
    from fractalkit.render.still import load_affine

    assert load_affine(str(path)).lipschitz() < 1


_FLAME = """<flames><flame name="a" size="40 30" center="0 0.1" scale="20" quality="4" oversample="1" brightness="4"
 gamma="4" background="0 0.1 0.2" filter="0.5" estimator_radius="9" time="3" hue="0.2">
 <xform weight="0.5" color="0" linear="0.5" julian="0.5" julian_power="3" julian_dist="1" coefs="0.5 0 0 0.5 0 0"
  post="1 0 0 1 0 0" chaos="1 0.5"/>
 <xform weight="1" color="1" symmetry="0.5" spherical="0.5" swirl="0.2" coefs="0.6 0.3 -0.3 0.6 0 0.5"
  mystery="3" var_color="1"><motion motion_frequency="1" motion_function="sin"/></xform>
 <finalxform color="0" color_speed="0" linear="1" coefs="1 0 0 1 0 0"/><symmetry kind="2"/><edit date="x"/>
 {palette}</flame>{more}</flames>"""


def flames() -> list[Seed]:
    """Five encodings of the palette."""
    digits = bytes(range(256)).hex() * 3
    lines = "\n".join(digits[i : i + 48] for i in range(0, len(digits), 48))
    apart = "".join(f'<color index="{i}" rgb="{i} {255 - i} 7"/>' for i in range(0, 256, 5))
    palettes = [
        f'<palette count="256" format="RGB">\n{lines}\n</palette>',
        f'<palette count="256" format="RGBA">{bytes(range(256)).hex() * 4}</palette>',
        f'<colors count="256" data="{("00" + "7f20e0") * 256}"/>',
        apart,
        '<color index="3" rgba="9 8 7 100"/><color index="90" rgb="200 30 3"/>',
        "",
    ]
    texts = [_FLAME.format(palette=p, more="") for p in palettes]
    legacy = '<flame><xform weight="1" var1="2" coefs="1 0 0 1 0 0"/></flame>'
    legacy += '<flame palette="7"><xform weight="1" var="0.5 0 0.5" coefs="0.5 0 0 1 0 0"/></flame>'
    texts.append(_FLAME.format(palette=palettes[2], more=legacy))
    texts.append('<?xml version="1.0"?>' + legacy)
    return [Seed("a.flame", (t.encode(),)) for t in texts]


def read_flame(path: Path) -> None:
    """As render does; what was read is written and read again."""
    from fractalkit.codes.flame import read_flames
    from fractalkit.codes.flame_xml import to_xml

    found = read_flames(path)
    again = read_flames(to_xml(found).encode())
    for a, b in zip(found, again, strict=True):
        assert a.palette.shape == (256, 4) and np.allclose(a.palette, b.palette, rtol=0, atol=1e-12)
        assert to_xml([replace(b, palette=a.palette)]) == to_xml([a])
        a.expanded()


def palette_list() -> list[Seed]:
    """A list of numbered palettes."""
    rows = ["\n".join(f"00{i:02x}{255 - i:02x}{k:02x}" for i in range(256)) for k in range(3)]
    body = "".join(f'<palette number="{k}" name="p{k}" data="{row}"/>\n' for k, row in enumerate(rows))
    return [Seed("palettes.xml", (f"<palettes>\n{body}</palettes>\n".encode(),))]


def read_palettes(path: Path) -> None:
    """Read as for a flame that names a palette number; unreadable lists are ignored."""
    from fractalkit.codes import flame_palettes

    before = os.environ.get("flam3_palettes")  # noqa: SIM112
    os.environ["flam3_palettes"] = str(path)  # noqa: SIM112
    flame_palettes._read.cache_clear()
    try:
        for k in range(3):
            rgb = flame_palettes.numbered(k, 0.3)
            assert rgb is None or (rgb.shape == (256, 3) and rgb.min() >= 0 and rgb.max() <= 1)
    finally:
        flame_palettes._read.cache_clear()
        os.environ.pop("flam3_palettes")
        if before is not None:
            os.environ["flam3_palettes"] = before  # noqa: SIM112


def collage_code() -> list[Seed]:
    """A collage file, and the text of its configuration."""
    import torch

    from fractalkit.fit.tiling import fractalize

    a = torch.from_numpy(scene(32, 32)).permute(2, 0, 1).float() / 255
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.safetensors")
        fractalize(a, tiles=4).save(path)
        data = path.read_bytes()
    return [Seed("a.safetensors", safe_parts(data), safe_pack), metadata_seed("a.safetensors", data, "config")]


def read_collage(path: Path) -> None:
    """As info and zoom do."""
    from fractalkit.codes.collage import CollageCode

    code = CollageCode.load(path)
    assert float(code.lipschitz().max()) < 1 and code.batch >= 1


def flame_buffer() -> list[Seed]:
    """Samples of an interrupted render."""
    from fractalkit.codes.flame import read_flames
    from fractalkit.render.flame import Exposure

    flame = read_flames(_FLAME.format(palette="", more="").replace("mystery", "version").encode())[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.safetensors")
        exposure = Exposure.empty(flame, 3)
        exposure.expose(1, threads=1)
        exposure.save(path)
        data = path.read_bytes()
    texts = [metadata_seed("a.safetensors", data, k) for k in ("flame", "state")]
    return [Seed("a.safetensors", safe_parts(data), safe_pack), *texts]


def read_buffer(path: Path) -> None:
    """As render does with a buffer."""
    from fractalkit.render.flame import Exposure
    from fractalkit.render.still import develop

    e = Exposure.load(path)
    if e.quality > 0:
        assert np.isfinite(develop(e, str(path), threads=1)).all()


# ---- clouds


@functools.cache
def _points() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 3)), rng.random((60, 3))


def _written(suffix: str, **options: Any) -> bytes:
    from fractalkit.data import save_cloud

    x, rgb = _points()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a" + suffix)
        save_cloud(path, x[:, : options.get("dim", 3)], rgb if options.get("colours") else None, comment="a comment")
        return path.read_bytes()


_FACES = ((0, 1, 2), (1, 2, 3), (2, 3, 4, 5))


def ply() -> list[Seed]:
    """Ascii and binary of both orders, with lists, faces and strips."""
    x, rgb = _points()
    head = "ply\nformat {} 1.0\ncomment made\nelement vertex 20\nproperty float x\nproperty float y\nproperty float z\n"
    colour = "property uchar red\nproperty uchar green\nproperty uchar blue\n"
    faces = "element face 3\nproperty list uchar int vertex_indices\n"
    end = "end_header\n"
    levels = (rgb[:20] * 255).astype(int)
    lines = "\n".join(
        f"{a:.6g} {b:.6g} {c:.6g} {r} {g} {d}"
        for (a, b, c), (r, g, d) in zip(x[:20].tolist(), levels.tolist(), strict=True)
    )
    text = head.format("ascii") + colour + faces + end + lines + "\n"
    text += "\n".join(" ".join(map(str, (len(f), *f))) for f in _FACES) + "\n"

    def binary(order: str, kind: str) -> bytes:
        body = b"".join(struct.pack(order + "3f", *map(float, p)) for p in x[:20])
        body += b"".join(struct.pack(f"{order}B{len(f)}i", len(f), *f) for f in _FACES)
        return (head.format(kind) + faces + end).encode() + body

    strips = head.format("binary_little_endian") + "element tristrips 1\nproperty list int int vertex_indices\n" + end
    strip_body = b"".join(struct.pack("<3f", *map(float, p)) for p in x[:20]) + struct.pack(
        "<i6i", 6, 0, 1, 2, 3, -1, 4
    )
    made = [
        text.encode(), binary("<", "binary_little_endian"), binary(">", "binary_big_endian"),
        strips.encode() + strip_body, _written(".ply", colours=True), _written(".ply", dim=2),
        text.replace("\n", "\r").encode(), b"\xef\xbb\xbf" + text.encode(),
        text.replace("red", "f_dc_0").replace("green", "f_dc_1").replace("blue", "f_dc_2").encode(),
    ]  # fmt: skip
    return [Seed("a.ply", (m,)) for m in made]


def pcd() -> list[Seed]:
    """Ascii, binary and compressed."""
    x, _ = _points()
    head = "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z rgb _\nSIZE 4 4 4 4 1\nTYPE F F F U U\nCOUNT 1 1 1 1 3\n"
    head += "WIDTH 12\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 12\nDATA "
    text = head + "ascii\n" + "\n".join(f"{a:.5g} {b:.5g} {c:.5g} 16711935 0 0 0" for a, b, c in x[:12].tolist()) + "\n"
    columns = x[:12].T.astype("<f4").tobytes() + np.full(12, 0xFF8040, "<u4").tobytes() + bytes(36)
    body = b"".join(bytes([len(p) - 1]) + p for p in (columns[i : i + 32] for i in range(0, len(columns) - 36, 32)))
    body += bytes([1, 0, 0]) + bytes([7 << 5, 25, 0])  # two literal zeros, then 34 copied from one back
    packed = (head + "binary_compressed\n").encode() + struct.pack("<II", len(body), len(columns)) + body
    made = [text.encode(), packed, _written(".pcd", colours=True), _written(".pcd", dim=2)]
    return [Seed("a.pcd", (m,)) for m in made]


def texts() -> list[Seed]:
    """Every suffix of a text."""
    out = [Seed("a" + s, (_written(s, colours=c),)) for s in (".xyz", ".pts", ".txt", ".csv") for c in (False, True)]
    out.append(Seed("a.xyzrgb", (_written(".xyzrgb", colours=True),)))
    x, _ = _points()
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    rows = "".join(" ".join(f"{v:.5g}" for v in row) + "\n" for row in np.concatenate([x, unit], 1)[:20].tolist())
    return [*out, Seed("a.xyzn", (rows.encode(),)), Seed("a.csv", (b"x;y;red;green;blue\n1;2;3;4;5\n2;1;5;4;3\n",))]


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def npy() -> list[Seed]:
    """Plain, organised, of named fields, big endian, Fortran order."""
    x, rgb = _points()
    named = np.zeros(9, [("x", "f4"), ("y", "f4"), ("z", "f8"), ("red", "u1"), ("green", "u1"), ("blue", "u1")])
    made = [
        x, np.concatenate([x, rgb], 1).astype("f4"), named, x.reshape(6, 10, 3), x.astype(">f4"), np.asfortranarray(x),
        x[:, :2].astype("i2"),
    ]  # fmt: skip
    return [Seed("a.npy", (_npy(m),)) for m in made]


def npz() -> list[Seed]:
    """With colours and faces; packed."""
    x, rgb = _points()
    faces = np.array([f[:3] for f in _FACES])
    names = ("points.npy", "colours.npy", "faces.npy")
    file = io.BytesIO()
    np.savez_compressed(file, xyz=x, normals=x)
    return [
        Seed("a.npz", (_npy(x), _npy(rgb), _npy(faces)), zipped(names)),
        Seed("a.npz", (_npy(x),), zipped(("anything.npy",))),
        Seed("a.npz", (file.getvalue(),)),
    ]


def meshes() -> list[Seed]:
    """OBJ, OFF and STL."""
    x, _ = _points()
    corners = x[:6].round(4).tolist()
    vertices = "".join("v " + " ".join(map(str, v)) + " 0.1 0.2 0.3\n" for v in corners)
    obj = f"# made\n{vertices}vt 0 0\nf 1/1 2/1 3/1\nf 2 3 4\nf -1 -2 -3\n"
    rows = "".join(" ".join(map(str, v)) + "\n" for v in corners)
    off = f"OFF\n6 3 0\n{rows}" + "".join(" ".join(map(str, (len(f), *f))) + "\n" for f in _FACES)
    triangles = [[corners[i] for i in f[:3]] for f in _FACES]
    ascii_stl = "solid a\n" + "".join(
        "facet normal 0 0 1\nouter loop\n" + "".join("vertex " + " ".join(map(str, v)) + "\n" for v in t)
        + "endloop\nendfacet\n" for t in triangles
    ) + "endsolid a\n"  # fmt: skip
    stl = b"made".ljust(80) + struct.pack("<I", 3)
    stl += b"".join(struct.pack("<12fH", 0, 0, 1, *(c for v in t for c in v), 0) for t in triangles)
    coff = off.replace("OFF", "COFF", 1).replace("\n", " 0.5 0.5 0.5 1\n").replace("6 3 0 0.5", "6 3 0 #", 1)
    made = [("a.obj", obj), ("a.off", off), ("a.off", coff.replace("COFF 0.5 0.5 0.5 1", "COFF", 1))]
    return [Seed(n, (t.encode(),)) for n, t in [*made, ("a.stl", ascii_stl)]] + [Seed("a.stl", (stl,))]


def glb() -> list[Seed]:
    """Two nodes, colours, indices; without indices; vertices in the text itself."""
    import base64

    x = _points()[0][:6].astype("<f4")
    body = x.tobytes() + np.array([0, 1, 2, 1, 2, 3], "<u2").tobytes() + bytes(range(24))
    scene_: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "nodes": [
            {"mesh": 0, "translation": [1, 0, 0], "rotation": [0, 0, 0, 1], "scale": [1, 2, 1], "children": [1]},
            {"mesh": 0, "matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 2}, "indices": 1, "mode": 4}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 6, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 6, "type": "SCALAR"},
            {"bufferView": 2, "componentType": 5121, "count": 6, "type": "VEC4", "normalized": True},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 72},
            {"buffer": 0, "byteOffset": 72, "byteLength": 12},
            {"buffer": 0, "byteOffset": 84, "byteLength": 24, "byteStride": 4},
        ],
        "buffers": [{"byteLength": len(body)}],
    }
    bare = json.loads(json.dumps(scene_))
    bare["meshes"][0]["primitives"] = [{"attributes": {"POSITION": 0}, "mode": m} for m in (5, 6, 4)]
    own = json.loads(json.dumps(scene_))
    own["buffers"][0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(body).decode()
    return [Seed("a.glb", (json.dumps(s).encode(), body), glb_pack) for s in (scene_, bare, own)]


def gltf() -> list[Seed]:
    """The same as JSON, whose vertices are in the text."""
    return [Seed("a.gltf", (glb()[2].parts[0],))]


def las_file(
    suffix: str, version: str, format: int, points: np.ndarray, colours: np.ndarray | None,
    classes: np.ndarray | None = None,
) -> bytes:  # fmt: skip
    """A LAS or LAZ file of points ``[N, 3]`` and uint16 colours, as laspy writes it."""
    import laspy

    las = laspy.create(point_format=format, file_version=version)
    las.header.offsets, las.header.scales = points.min(axis=0), np.full(3, 0.001)
    las.x, las.y, las.z = points.T
    if colours is not None:
        las.red, las.green, las.blue = colours.T
    if classes is not None:
        las.classification = classes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a" + suffix)
        las.write(str(path))
        return path.read_bytes()


def las() -> list[Seed]:
    """LAS of several formats."""
    x, rgb = _points()
    levels = (rgb * 65535).astype(np.uint16)
    made = [las_file(".las", v, f, x, levels if f in (2, 7) else None) for v, f in (("1.2", 0), ("1.2", 2), ("1.4", 7))]
    return [Seed("a.las", (m,)) for m in made]


def laz() -> list[Seed]:
    """LAZ, by points and by layers."""
    x, rgb = _points()
    levels = (rgb * 65535).astype(np.uint16)
    return [Seed("a.laz", (las_file(".laz", v, f, x, levels),)) for v, f in (("1.2", 2), ("1.4", 7))]


def e57_file(
    points: np.ndarray, colours: np.ndarray, *, rotation: np.ndarray | None = None, shift: np.ndarray | None = None
) -> bytes:
    """An E57 file of one scan, as pye57 writes it; colours from 0 to 255."""
    import pye57

    data = {f"cartesian{a}": points[:, i].astype(np.float64) for i, a in enumerate("XYZ")}
    data |= {f"color{c}": colours[:, i].astype(np.uint8) for i, c in enumerate(("Red", "Green", "Blue"))}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.e57")
        with pye57.E57(str(path), mode="w") as file:
            file.write_scan_raw(data, rotation=rotation, translation=shift)
        return path.read_bytes()


def e57() -> list[Seed]:
    """One scan with colours."""
    x, rgb = _points()
    return [Seed("a.e57", (e57_file(x, rgb * 255),))]


def records() -> list[Seed]:
    """A scan of KITTI, splats of 32 bytes."""
    x, rgb = _points()
    scan = np.concatenate([10 * x, rgb[:, :1]], axis=1).astype("<f4").tobytes()
    splats = b"".join(struct.pack("<6f8B", *p, 1, 1, 1, *range(8)) for p in x.tolist())
    return [Seed("a.bin", (scan,)), Seed("a.splat", (splats,))]


_3MF = (
    '<?xml version="1.0"?><model xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"><resources>'
    '<object id="1"><mesh><vertices><vertex x="0" y="0" z="0"/><vertex x="1" y="0" z="0"/><vertex x="0" y="1" z="0"/>'
    '<vertex x="0" y="0" z="1"/></vertices><triangles><triangle v1="0" v2="1" v3="2"/><triangle v1="0" v2="1" v3="3"/>'
    '<triangle v1="0" v2="2" v3="3"/><triangle v1="1" v2="2" v3="3"/></triangles></mesh></object><object id="2">'
    '<components><component objectid="1" transform="2 0 0 0 2 0 0 0 2 0 0 0"/></components></object></resources>'
    '<build><item objectid="2" transform="1 0 0 0 1 0 0 0 1 10 0 0"/><item objectid="1"/></build></model>'
)


def threemf_file() -> bytes:
    """A tetrahedron twice: doubled and moved by way of a component, and as it is."""
    return zipped(("3D/3dmodel.model",))((_3MF.encode(),))


def threemf() -> list[Seed]:
    """The same; packed."""
    return [Seed("a.3mf", (_3MF.encode(),), zipped(("3D/3dmodel.model",)))]


def read_cloud(path: Path) -> None:
    """As ifs does."""
    from fractalkit.data import load_cloud

    c = load_cloud(path, mesh_samples=500)
    assert c.points.dtype == np.float64 and c.points.ndim == 2 and c.dim in (2, 3) and len(c)
    assert np.isfinite(c.points).all()
    if c.colours is not None:
        assert c.colours.shape == (len(c), 3) and c.colours.min() >= 0 and c.colours.max() <= 1
    assert c.normals is None or c.normals.shape == (len(c), 3)


# ---- models and training


@functools.cache
def _model_files() -> dict[str, bytes]:
    import torch

    from fractalkit.models.neural_collage import NeuralCollage, NeuralCollageConfig
    from fractalkit.models.pretrained import save_pretrained
    from fractalkit.models.vdvae import VDVAE, VDVAEConfig

    small = VDVAEConfig(
        size=6, stem=2, encoder="3x1,3d3,1x1", decoder="1x1,3m1,3x2", width=8, latent=2, features=3, hidden=5,
        patches=2, order=3, warm=0,
    )  # fmt: skip
    out = {}
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        torch.manual_seed(0)
        for name, model in (("vdvae", VDVAE(small)), ("collage", NeuralCollage(NeuralCollageConfig(0.01, 4, 4)))):
            path = Path(folder, "a.safetensors")
            save_pretrained(model, path, {"data": "made"})
            out[name] = path.read_bytes()
    return out


def models() -> list[Seed]:
    """A small network of each architecture, and the texts of their configurations."""
    files = _model_files()
    whole = [Seed("a.safetensors", safe_parts(files[n]), safe_pack) for n in ("vdvae", "collage")]
    keys = [(n, k) for n in files for k in ("config", "about")]
    return whole + [metadata_seed("a.safetensors", files[n], k) for n, k in keys]


def read_model(path: Path) -> None:
    """As sample and info do."""
    from fractalkit.models.pretrained import from_pretrained

    net = from_pretrained(str(path))
    assert all(bool(p.isfinite().all()) for p in net.parameters()) and isinstance(net.about, dict)


@functools.cache
def _net() -> Any:
    import torch
    from torch import nn

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2))


def checkpoints() -> list[Seed]:
    """A checkpoint, and the texts of its metadata: counters, settings, description."""
    from fractalkit.train.config import TrainConfig
    from fractalkit.train.state import TrainState

    config = TrainConfig(steps=10)
    state = TrainState(_net(), config)
    state.step, state.seen, state.best = 3, 192, 7.5
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint.safetensors")
        state.save(path, config, {"model": "tiny", "command": "train tiny"})
        data = path.read_bytes()
    name = "checkpoint.safetensors"
    texts = [metadata_seed(name, data, k) for k in ("state", "config", "about")]
    return [Seed(name, safe_parts(data), safe_pack), *texts]


def read_checkpoint(path: Path) -> None:
    """Read as train --resume does (settings, state, schedule) and as --init does."""
    import math

    from fractalkit.cli.train import _config, _model_changes
    from fractalkit.train.config import TrainConfig, average_decay, learning_rate
    from fractalkit.train.loop import existing_run
    from fractalkit.train.state import TrainState, load_weights

    head = existing_run(path.parent)
    config = _config(TrainConfig(), {}, path.parent, "tiny", True, head)
    _model_changes({}, head)
    state = TrainState(_net(), config)
    state.load(path)
    assert math.isfinite(learning_rate(config, state.step)) and 0 <= average_decay(config, state.updates) < 1
    json.dumps(state.counters())
    state.window.means()
    load_weights(_net(), path)


def logs() -> list[Seed]:
    """The log of a run."""
    lines = [json.dumps({"kind": "train", "step": k, "loss": 100.0 / (k + 1), "sides": [1, 2]}) for k in range(30)]
    return [Seed("log.jsonl", ("\n".join(lines).encode() + b"\n",))]


def read_log(path: Path) -> None:
    """Read as a resumed run does: unreadable lines and those after the step are removed."""
    from fractalkit.train.log import JsonLog

    log = JsonLog(path, 20)
    log.write("train", 21, loss=float("nan"))
    log.close()
    kept = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert all(r["step"] <= 21 for r in kept) and kept[-1] == {"kind": "train", "step": 21, "loss": None}


def idx() -> list[Seed]:
    """MNIST's files, plain and gzipped."""
    images = bytes([0, 0, 8, 3]) + struct.pack(">3I", 5, 28, 28) + np.random.default_rng(0).bytes(5 * 784)
    labels = bytes([0, 0, 8, 1]) + struct.pack(">I", 5) + bytes(range(5))
    return [
        Seed("a-idx3", (images,)), Seed("a-idx3.gz", (images,), gzipped),
        Seed("a-idx1", (labels,)), Seed("a-idx1.gz", (labels,), gzipped),
    ]  # fmt: skip


def read_idx(path: Path) -> None:
    """As the loader of MNIST does."""
    from fractalkit.data import mnist

    n = 3 if "idx3" in path.name else 1
    values = mnist.read_idx(path, n)
    assert values.ndim == n and values.dtype == np.uint8 and values.size


def static() -> list[Seed]:
    """MNIST binarised: the packed archive, and the text."""
    bits = np.random.default_rng(0).integers(0, 256, (6, 98), np.uint8)
    rows = np.unpackbits(bits, axis=1)[:2, :784]
    text = "\n".join(" ".join(map(str, r)) for r in rows.tolist()) + "\n"
    file = io.BytesIO()
    np.savez_compressed(file, train=bits, valid=bits, test=bits)
    names = ("train.npy", "valid.npy")
    return [
        Seed("a.npz", (_npy(bits), _npy(bits)), zipped(names)), Seed("a.npz", (file.getvalue(),)),
        Seed("a.amat", (text.encode(),)),
    ]  # fmt: skip


def read_static(path: Path) -> None:
    """As the loader of binarised MNIST does."""
    from fractalkit.data import mnist

    flat = mnist.read_packed(path, "train") if path.suffix == ".npz" else mnist.read_amat(path)
    assert flat.shape[1] == 784 and flat.max() <= 1 and len(flat)


def cifar() -> list[Seed]:
    """CIFAR-10: a plain file, and an archive."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.integers(0, 10, (2, 1)), rng.integers(0, 256, (2, 3072))], 1).astype(np.uint8).tobytes()
    names = ("cifar-10-batches-bin/readme.html", "cifar-10-batches-bin/test_batch.bin")
    return [Seed("test_batch.bin", (rows,)), Seed("cifar-10-binary.tar.gz", (b"<html>", rows), tarred(names))]


def read_cifar(path: Path) -> None:
    """As the loader of CIFAR-10 does."""
    from fractalkit.data.cifar import load_cifar

    found = load_cifar(path.parent, "test")
    assert found.images.shape[1:] == (3, 32, 32) and found.labels is not None and found.labels.max() < 10


PARSERS: tuple[Parser, ...] = (
    Parser("fk-quadtree", ".fk of the quadtree and of PIFS", fk_quadtree, read_fk, repair_fk),
    Parser("fk-lossless", ".fk without loss", fk_lossless, read_fk, repair_fk),
    Parser("fk-neural", ".fk of neural collages", fk_neural, read_fk, repair_fk),
    Parser("fk-cloud", ".fk of clouds", fk_cloud, read_fk_cloud, repair_fk),
    Parser("fk-coin", ".fk of COIN", fk_coin, read_fk, repair_fk),
    Parser("ifs-json", "codes as JSON", ifs_json, read_ifs),
    Parser("ifs-fractint", "codes of Fractint", ifs_fractint, read_ifs),
    Parser("ifs-png", "codes in the text of a PNG", ifs_png, read_ifs),
    Parser("fractaldb-csv", "codes as rows", rows_csv, read_rows),
    Parser("flame-xml", ".flame", flames, read_flame),
    Parser("flame-palettes", "a list of numbered palettes", palette_list, read_palettes),
    Parser("flame-buffer", "samples of a flame, safetensors", flame_buffer, read_buffer),
    Parser("collage", "collage codes, safetensors", collage_code, read_collage),
    Parser("ply", "clouds and meshes", ply, read_cloud),
    Parser("pcd", "clouds", pcd, read_cloud),
    Parser("text", "xyz, xyzn, xyzrgb, pts, txt, csv", texts, read_cloud),
    Parser("npy", "clouds as an array", npy, read_cloud),
    Parser("npz", "clouds as an archive", npz, read_cloud),
    Parser("mesh", "obj, off, stl", meshes, read_cloud),
    Parser("glb", "meshes", glb, read_cloud),
    Parser("gltf", "meshes as JSON", gltf, read_cloud),
    Parser("3mf", "meshes to print", threemf, read_cloud),
    Parser("las", "scans", las, read_cloud),
    Parser("laz", "compressed scans", laz, read_cloud),
    Parser("e57", "scans", e57, read_cloud),
    Parser("kitti-splat", "scans of KITTI, splats of 32 bytes", records, read_cloud),
    Parser("picture", "png, jpg, webp, avif, tif, bmp, gif, jp2, ppm, pgm to compress", pictures, read_pictures),
    Parser("picture-square", "the same, to train on", pictures, read_squares),
    Parser("picture-palette", "the same, for their colours", pictures, read_colours),
    Parser("model", "weights, safetensors", models, read_model),
    Parser("checkpoint", "a training run's state and settings, safetensors", checkpoints, read_checkpoint),
    Parser("training-log", "log.jsonl", logs, read_log),
    Parser("idx", "MNIST", idx, read_idx),
    Parser("mnist-static", "MNIST binarised, npz and amat", static, read_static),
    Parser("cifar", "CIFAR-10, bin and tar.gz", cifar, read_cifar),
)

"""Clouds from files: round trips of every format, errors of broken files, and Open3D as a second reader."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from fractalkit.data import load_cloud, save_cloud
from fractalkit.data.clouds import READERS
from fractalkit.data.meshes import sample_surface
from fractalkit.data.pcd import lzf
from fractalkit.data.ply import fan, strips
from fractalkit.data.writers import SUFFIXES, CloudWriter
from fractalkit.errors import DataError, UsageError
from fractalkit.files import atomic_path

HEADER = "ply\nformat {format} 1.0\nelement vertex {n}\n{properties}end_header\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"


def ply(n: int, body: bytes | str, *, format: str = "ascii", properties: str = XYZ) -> bytes:
    head = HEADER.format(format=format, n=n, properties=properties).encode()
    return head + (body.encode() if isinstance(body, str) else body)


def pcd(fields: str, size: str, types: str, n: int, data: str, body: bytes, width: int | None = None) -> bytes:
    counts = " ".join("1" for _ in fields.split())
    width = width or max(n, 1)
    return (
        f"VERSION 0.7\nFIELDS {fields}\nSIZE {size}\nTYPE {types}\nCOUNT {counts}\n"
        f"WIDTH {width}\nHEIGHT {n // width}\nPOINTS {n}\nDATA {data}\n"
    ).encode() + body


@pytest.fixture
def write(tmp_path: Path):
    def write(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


# ---- round trips


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s != ".xyzrgb"])
@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("offset", [0.0, 5e6])
@pytest.mark.parametrize("coloured", [False, True])
def test_round_trip(tmp_path: Path, suffix: str, dim: int, offset: float, coloured: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, dim)) + offset
    rgb = rng.integers(0, 256, (100, 3)).astype(np.float32) / 255 if coloured else None
    save_cloud(tmp_path / f"a{suffix}", x, rgb, "by a test")
    cloud = load_cloud(tmp_path / f"a{suffix}")
    assert cloud.dim == (3 if suffix == ".pts" else dim)  # .pts has no place to say that z = 0 means nothing
    # float64 survives far from the origin, float32 elsewhere
    assert np.abs(cloud.points[:, :dim] - x).max() <= (0 if offset else 3e-7)
    assert (cloud.colours is None) == (rgb is None)
    if rgb is not None:
        assert np.abs(cloud.colours - rgb).max() < 1e-6
    assert not cloud.warnings


def test_open3d_reads_our_files_bit_for_bit(tmp_path: Path) -> None:
    o3d = pytest.importorskip("fractalkit.data.open3d_io").import_open3d()
    rng = np.random.default_rng(1)
    x = rng.standard_normal((50, 3)).astype(np.float32)
    rgb = rng.integers(0, 256, (50, 3)).astype(np.uint8)
    for suffix in (".ply", ".pcd"):
        save_cloud(tmp_path / f"a{suffix}", x, rgb / 255)
        read = o3d.t.io.read_point_cloud(str(tmp_path / f"a{suffix}"))
        assert (read.point.positions.numpy() == x).all()
        assert (read.point.colors.numpy() == rgb).all()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pieces_make_the_same_file_as_the_whole(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(2)
    x, rgb = rng.standard_normal((1003, 3)), rng.random((1003, 3))
    save_cloud(tmp_path / f"whole{suffix}", x, rgb)
    with CloudWriter(tmp_path / f"parts{suffix}", dim=3, colours=True) as out:
        for i in range(0, 1003, 100):
            out.write(x[i : i + 100], rgb[i : i + 100])
        out.write(x[:0], rgb[:0])
    assert (tmp_path / f"whole{suffix}").read_bytes() == (tmp_path / f"parts{suffix}").read_bytes()


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    path.write_text("old")
    with pytest.raises(RuntimeError), CloudWriter(path, dim=3) as out:
        out.write(np.zeros((5, 3)))
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.ply"]


def test_writer_refusals(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="suffix"):
        save_cloud(tmp_path / "a.docx", np.zeros((1, 3)))
    with pytest.raises(UsageError, match="colours"):
        save_cloud(tmp_path / "a.xyzrgb", np.zeros((1, 3)))
    with pytest.raises(DataError, match="does not exist"):
        save_cloud(tmp_path / "no" / "a.ply", np.zeros((1, 3)))
    with pytest.raises(DataError, match="folder"), atomic_path(tmp_path):
        pass
    with pytest.raises(DataError, match=r"\[N, 3\]"), CloudWriter(tmp_path / "a.ply", dim=3) as out:
        out.write(np.zeros((4, 2)))
    assert not list(tmp_path.iterdir())


# ---- PLY


@pytest.mark.parametrize(("format", "order"), [("binary_little_endian", "<"), ("binary_big_endian", ">")])
def test_ply_of_either_byte_order_with_other_elements_around(write, format: str, order: str) -> None:
    x = np.array([[1.5, 2, 3], [-4, 5e6, 6]])
    properties = (
        "property double x\nproperty double y\nproperty double z\nproperty uchar diffuse_red\n"
        "property uchar diffuse_green\nproperty uchar diffuse_blue\nproperty short mark\n"
    )
    rows = b"".join(struct.pack(f"{order}3d3Bh", *row, 255, 0, 51, -7) for row in x)
    path = write("a.ply", ply(2, rows, format=format, properties=properties))
    cloud = load_cloud(path)
    assert (cloud.points == x).all()
    assert np.allclose(cloud.colours, [[1, 0, 0.2]] * 2)


def test_ply_header_may_end_its_lines_as_windows_does(write) -> None:
    body = ply(1, b"", format="binary_little_endian").replace(b"\n", b"\r\n") + struct.pack("<3f", 1, 2, 10)
    assert load_cloud(write("a.ply", body)).points.tolist() == [[1, 2, 10]]


def test_ply_colours_of_floats_are_not_divided(write) -> None:
    properties = XYZ + "property float red\nproperty float green\nproperty float blue\n"
    cloud = load_cloud(write("a.ply", ply(2, "0 0 0 0.5 0 1\n1 1 1 1 1 0\n", properties=properties)))
    assert np.allclose(cloud.colours, [[0.5, 0, 1], [1, 1, 0]])


def test_ply_without_z_is_a_plane_cloud(write) -> None:
    path = write("a.ply", ply(2, "1 2\n3 4\n", properties="property float x\nproperty float y\n"))
    assert load_cloud(path).points.tolist() == [[1, 2], [3, 4]]


def test_ply_rows_that_are_not_finite_are_dropped_with_a_warning(write) -> None:
    cloud = load_cloud(write("a.ply", ply(3, "0 0 0\nnan inf -inf\n1 2 3\n")))
    assert cloud.points.tolist() == [[0, 0, 0], [1, 2, 3]]
    assert "1 of 3" in cloud.warnings[0]


MIXED = XYZ + "element face 3\nproperty list uchar int vertex_indices\nproperty uchar flag\n"
CORNERS = [(0, 0, 0), (2, 0, 0), (2, 1, 0), (0, 1, 0), (1, 2, 0)]
FACES = [(0, 1, 2, 3), (3, 2, 4), (0, 1, 2)]


@pytest.mark.parametrize("format", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply_faces_of_different_lengths_are_sampled(write, format: str) -> None:
    if format == "ascii":
        rows = [" ".join(map(str, c)) for c in CORNERS] + [f"{len(f)} {' '.join(map(str, f))} 9" for f in FACES]
        body: bytes | str = "\n".join(rows)
    else:
        o = "<" if "little" in format else ">"
        body = b"".join(struct.pack(f"{o}3f", *c) for c in CORNERS)
        body += b"".join(struct.pack(f"{o}B{len(f)}iB", len(f), *f, 9) for f in FACES)
    path = write("a.ply", ply(5, body, format=format, properties=MIXED))
    cloud = load_cloud(path, mesh_samples=4000)
    assert len(cloud) == 4000 and cloud.triangles == 4
    # areas: 1 + 1 of the rectangle, 1 of the gable, 1 once more below the rectangle's diagonal
    x, y, z = cloud.points.T
    assert np.abs(z).max() == 0
    assert abs((y > 1).mean() - 0.25) < 0.03
    assert abs(((y < 1) & (y < x / 2)).mean() - 0.5) < 0.03
    assert (load_cloud(path, mesh_samples=4000).points == cloud.points).all()
    assert len(load_cloud(path, mesh_samples=0)) == 5


def test_fans_and_strips() -> None:
    assert fan(np.array([5, 6, 7, 8, 1, 2, 3]), np.array([4, 3])).tolist() == [[5, 6, 7], [5, 7, 8], [1, 2, 3]]
    assert strips(np.array([0, 1, 2, 3, -1, 4, 5, 6]), np.array([8])).tolist() == [[0, 1, 2], [1, 2, 3], [4, 5, 6]]


GOOD = ply(2, "0 0 0\n1 1 1\n")
BROKEN_PLY = {
    "empty": (b"", "empty"),
    "magic": (b"plyx\n" + GOOD[4:], "not a PLY"),
    "no end": (GOOD.replace(b"end_header\n", b""), "unknown PLY header line"),
    "cut header": (GOOD[:60], "end_header"),
    "no format": (GOOD.replace(b"format ascii 1.0\n", b""), "format line"),
    "no vertex": (b"ply\nformat ascii 1.0\nend_header\n", "no vertex element"),
    "no rows": (ply(0, ""), "holds no points"),
    "no x": (ply(1, "1\n", properties="property float a\n"), "no x and y"),
    "type": (GOOD.replace(b"float y", b"quaternion y"), "unknown type"),
    "twice": (GOOD.replace(b"float y", b"float x"), "same name"),
    "fewer": (ply(5, "0 0 0\n1 1 1\n"), "declares 5 rows"),
    "fewer, long": (ply(3, "0.000000000 0 0\n1 1 1\n"), "ends after 2"),
    "word": (ply(2, "0 0 0\n1 abc 2\n"), "'abc'.*row 2"),
    "narrow": (ply(2, "0 0 0\n1 1\n  \n"), "row 2"),
    "binary as ascii": (ply(100, np.random.default_rng(0).bytes(1200)), "vertex"),
    "cut binary": (ply(100, bytes(700), format="binary_little_endian"), "700 bytes"),
    "hostile": (ply(10**12, bytes(1200), format="binary_little_endian"), "1,200 bytes"),
    "hostile ascii": (ply(10**12, "0 0 0\n"), "bytes are left"),
    "hostile list": (
        ply(1, struct.pack("<3fI", 0, 0, 0, 2**32 - 1), format="binary_little_endian",
            properties=XYZ + "property list uint int a\n"),
        "ends after 0",
    ),
    "bad index": (
        ply(3, "0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n",
            properties=XYZ + "element face 1\nproperty list uchar int vertex_indices\n"),
        "vertex 7",
    ),
    "list row": (ply(1, "0.0 0.0 0.0\n", properties=XYZ + "property list uchar int a\n"), "fewer than"),
    "no area": (
        ply(3, "0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n",
            properties=XYZ + "element face 1\nproperty list uchar int vertex_indices\n"),
        "without area",
    ),
    "all nan": (ply(1, "nan 0 0\n"), "no point with finite"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_PLY)
def test_broken_ply_says_what_is_wrong_in_one_sentence(write, case: str) -> None:
    content, words = BROKEN_PLY[case]
    path = write("a.ply", content)
    with pytest.raises(DataError, match=words) as caught:
        load_cloud(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", range(1, 180, 7))
def test_a_cut_ply_never_ends_in_another_error(write, cut: int) -> None:
    body = b"".join(struct.pack("<3f", *c) for c in CORNERS)
    body += b"".join(struct.pack(f"<B{len(f)}iB", len(f), *f, 9) for f in FACES)
    path = write("a.ply", ply(5, body, format="binary_little_endian", properties=MIXED)[:-cut])
    if cut <= 46:  # in the faces, without which the vertices are whole
        assert load_cloud(path).points.tolist() == [list(c) for c in CORNERS]
    else:
        with pytest.raises(DataError):
            load_cloud(path)


# ---- PCD


def lzf_literals(data: bytes) -> bytes:
    pieces = [data[i : i + 32] for i in range(0, len(data), 32)]
    return b"".join(bytes([len(p) - 1]) + p for p in pieces)


def test_pcd_of_every_kind(write) -> None:
    x = np.arange(18, dtype="<f4").reshape(6, 3)
    rgb = (np.arange(6, dtype="<u4") << 16) + 0x00FF33
    table = np.zeros(6, np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")]))
    for i, name in enumerate("xyz"):
        table[name] = x[:, i]
    table["rgb"] = rgb
    columns = b"".join(np.ascontiguousarray(table[n]).tobytes() for n in ("x", "y", "z", "rgb"))
    packed = lzf_literals(columns)
    bodies = {
        "ascii": "\n".join(f"{a} {b} {c} {d}" for a, b, c, d in table.tolist()).encode(),
        "binary": table.tobytes(),
        "binary_compressed": struct.pack("<II", len(packed), len(columns)) + packed,
    }
    for kind in ("U", "F"):  # the same bits as whole numbers, or as floats
        for data, body in bodies.items():
            if kind == "F" and data == "ascii":
                floats = rgb.view("<f4").tolist()
                body = "\n".join(f"{a} {b} {c} {d!r}" for (a, b, c), d in zip(x.tolist(), floats, strict=True)).encode()
            cloud = load_cloud(write("a.pcd", pcd("x y z rgb", "4 4 4 4", f"F F F {kind}", 6, data, body, width=3)))
            assert (cloud.points == x).all(), (kind, data)
            assert np.allclose(cloud.colours * 255, [[i, 255, 0x33] for i in range(6)]), (kind, data)


def test_lzf_copies_that_overlap() -> None:
    # "ab", then 7 from 2 back, then 12 from 9 back in the long form
    packed = bytes([1]) + b"ab" + bytes([5 << 5, 1]) + bytes([7 << 5, 3, 8])
    assert lzf(packed, 21) == b"ababababa" + (b"ababababa" * 2)[:12]
    for bad in (packed[:-1], packed + b"\x05a", bytes([32, 9])):
        with pytest.raises(DataError):
            lzf(bad, 21)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello\n", "not a PCD"),
        (pcd("x y z", "4 4 4", "F F F", 10**12, "binary", bytes(24)), "bytes are left"),
        (pcd("x y z", "4 4 4", "F F F", 0, "binary", b""), "no points"),
        (pcd("x y z", "4 4", "F F F", 2, "binary", bytes(24)), "differ in length"),
        (pcd("x y z", "4 4 3", "F F F", 2, "binary", bytes(24)), "impossible"),
        (pcd("x y z", "4 4 4", "F F F", 2, "zipped", bytes(24)), "unknown kind"),
        (pcd("x y z", "4 4 4", "F F F", 2, "ascii", b"1 2 3\n4 5\n"), "row|column"),
        (pcd("x y z", "4 4 4", "F F F", 2, "binary_compressed", struct.pack("<II", 4, 24) + b"\x01ab"), "declares"),
        (pcd("x y z", "4 4 4", "F F F", 2, "binary_compressed", struct.pack("<II", 3, 24) + b"\x01ab"), "damaged"),
        (pcd("a b c", "4 4 4", "F F F", 2, "binary", bytes(24)), "no x and y"),
    ],
)
def test_broken_pcd(write, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_cloud(write("a.pcd", content))


# ---- text and arrays


@pytest.mark.parametrize(
    ("name", "content", "points", "colours", "normals"),
    [
        ("a.xyz", "1 2\n3 4\n", [[1, 2], [3, 4]], None, None),
        ("a.xyz", "# hello\n\n1 2 3\n// more\n3 4 5\n", [[1, 2, 3], [3, 4, 5]], None, None),
        ("a.xyz", "1 2 3 255 0 51 255\n", [[1, 2, 3]], [[1, 0, 0.2]], None),
        ("a.xyz", "1 2 3 0 -1 0\n", [[1, 2, 3]], None, [[0, -1, 0]]),
        ("a.xyzn", "1 2 3 0 1 0\n", [[1, 2, 3]], None, [[0, 1, 0]]),
        ("a.xyzrgb", "1 2 3 0.5 1 0\n", [[1, 2, 3]], [[0.5, 1, 0]], None),
        ("a.pts", "2\n1 2 3 9 255 0 0\n4 5 6 9 0 0 255\n", [[1, 2, 3], [4, 5, 6]], [[1, 0, 0], [0, 0, 1]], None),
        ("a.csv", "id;y;x\n7;2;1\n", [[1, 2]], None, None),
        ("a.csv", "\ufeffX,Y,Z,r,g,b\n1,2,3,0,0,255\n", [[1, 2, 3]], [[0, 0, 1]], None),
        ("a.txt", "1\t2\t3\r\n4\t5\t6\r\n", [[1, 2, 3], [4, 5, 6]], None, None),
    ],
)
def test_text(write, name: str, content: str, points, colours, normals) -> None:
    cloud = load_cloud(write(name, content))
    assert cloud.points.tolist() == points
    for got, wanted in ((cloud.colours, colours), (cloud.normals, normals)):
        assert (got is None) == (wanted is None)
        assert wanted is None or np.allclose(got, wanted)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xyz", "# only a comment\n", "no points"), ("a.csv", "x,y,z\n", "no points"),
        ("a.csv", "lon,lat\n1,2\n", "column names"), ("a.csv", "x,y,z\n1,2\n", "columns"),
        ("a.xyz", "C 1 2 3\n", "neither numbers"), ("a.xyz", "1 2 3\n4 5\n", "column"),
        ("a.xyz", "1 2 3\n4 five 6\n", "five"), ("a.xyz", "1\n2\n", "declares|needs x and y"),
        ("a.pts", "5\n1 2 3\n", "declares 5"), ("a.xyz", "\x00\x01\x02", "not a text"),
        ("a.txt", "1 " * 40_000, "65,536"), ("a.obj", "# nothing\n", "no vertices"), ("a.obj", "v 1 2 x\n", "line 1"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nf 1 2 9\n", "vertex 8"), ("a.off", "NO\n", "not an OFF"),
        ("a.off", "OFF\n1000000000000 1 0\n", "cannot hold"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n", "missing"),
        ("a.stl", b"\0" * 80 + struct.pack("<I", 10**9), "cannot hold"),
        ("a.stl", "solid x\nvertex 1 2\n", "missing"),
    ],
)  # fmt: skip
def test_broken_text_and_meshes(write, name: str, content: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_cloud(write(name, content))


def test_arrays(tmp_path: Path) -> None:
    x = np.arange(12.0).reshape(4, 3)
    np.save(tmp_path / "a.npy", x)
    assert (load_cloud(tmp_path / "a.npy").points == x).all()
    np.save(tmp_path / "a.npy", np.asfortranarray(x[:, :2]).astype(np.float16))
    assert (load_cloud(tmp_path / "a.npy").points == x[:, :2]).all()
    np.save(tmp_path / "a.npy", x.reshape(2, 2, 3))
    assert (load_cloud(tmp_path / "a.npy").points == x).all()
    np.savez_compressed(tmp_path / "a.npz", points=x, colors=np.full((4, 3), 51, np.uint8))
    cloud = load_cloud(tmp_path / "a.npz")
    assert (cloud.points == x).all() and np.allclose(cloud.colours, 0.2)


def test_broken_arrays(tmp_path: Path, write) -> None:
    path = tmp_path / "a.npy"
    for array, words in (
        (np.array([{"a": 1}], dtype=object), "bjects"),
        (np.zeros(5), "shape"),
        (np.zeros((3, 100)), "transpose"),
        (np.zeros((4, 3), complex), "real numbers"),
        (np.zeros((0, 3)), "no point"),
    ):
        np.save(path, array, allow_pickle=True)
        with pytest.raises(DataError, match=words):
            load_cloud(path)
    np.save(path, np.zeros((4, 3)))
    hostile = path.read_bytes().replace(b"(4, 3)", b"(999999999999, 3)")
    with pytest.raises(DataError):
        load_cloud(write("b.npy", hostile))
    with pytest.raises(DataError):
        load_cloud(write("c.npy", path.read_bytes()[:-8]))
    np.savez(tmp_path / "a.npz", first=np.zeros((4, 3)), second=np.zeros((4, 3)))
    with pytest.raises(DataError, match="named points"):
        load_cloud(tmp_path / "a.npz")
    with pytest.raises(DataError, match="archive"):
        load_cloud(write("b.npz", b"PK\x03\x04 no"))


# ---- meshes


def test_a_tetrahedron_in_every_mesh_format(write) -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    faces = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]])
    rows = [" ".join(map(str, c)) for c in corners]
    obj = "\n".join([f"v {r}" for r in rows] + ["f " + " ".join(f"{i + 1}//1" for i in f) for f in faces])
    off = "\n".join(["OFF", "4 4 6", *rows, *("3 " + " ".join(map(str, f)) for f in faces)])
    facets = b"".join(struct.pack("<12fH", 0, 0, 0, *corners[f].ravel(), 0) for f in faces)
    stl = b"solid no".ljust(80) + struct.pack("<I", 4) + facets
    text = "solid t\n" + "".join(
        "facet normal 0 0 0\nouter loop\n"
        + "".join(f"vertex {' '.join(map(str, c))}\n" for c in corners[f])
        + "endloop\nendfacet\n"
        for f in faces
    )
    for name, content in (("a.obj", obj), ("a.off", off), ("a.stl", stl), ("b.stl", text)):
        cloud = load_cloud(write(name, content), mesh_samples=3000)
        assert cloud.triangles == 4 and len(cloud) == 3000
        slanted = np.abs(cloud.points.sum(axis=1) - 1) < 1e-6
        assert ((np.abs(cloud.points) < 1e-6).any(axis=1) | slanted).all()
        assert abs(slanted.mean() - 3**0.5 / (3 + 3**0.5)) < 0.03  # that face is √3 times as large as the others


def glb(scene: dict, binary: bytes) -> bytes:
    text = json.dumps(scene).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def triangle_scene() -> tuple[dict, bytes]:
    binary = (
        struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0) + struct.pack("<3H", 0, 1, 2) + bytes(2) + b"\xff\0\x33\0" * 3
    )
    scene = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [
            {"translation": [10, 0, 0], "children": [1]},
            # a quarter turn about z takes (1, 0, 0) to (0, 1, 0)
            {"mesh": 0, "rotation": [0, 0, 0.5**0.5, 0.5**0.5], "scale": [2, 1, 1]},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 2}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"},
            {"bufferView": 2, "componentType": 5121, "normalized": True, "count": 3, "type": "VEC3"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 6},
            {"buffer": 0, "byteOffset": 44, "byteLength": 12, "byteStride": 4},
        ],
        "buffers": [{"byteLength": len(binary)}],
    }
    return scene, binary


def test_glb_with_nested_nodes_and_colours(write) -> None:
    path = write("a.glb", glb(*triangle_scene()))
    corners = load_cloud(path, mesh_samples=0)
    assert np.allclose(corners.points, [[10, 0, 0], [10, 2, 0], [9, 0, 0]])
    assert np.allclose(corners.colours, [[1, 0, 0.2]] * 3)
    cloud = load_cloud(path, mesh_samples=500)
    assert cloud.triangles == 1
    x, y, _ = (cloud.points - [10, 0, 0]).T
    assert (-x + y / 2 < 1 + 1e-9).all() and (x <= 1e-9).all() and (y >= -1e-9).all()


def test_broken_glb(write) -> None:
    whole = glb(*triangle_scene())
    with pytest.raises(DataError, match="complete GLB"):
        load_cloud(write("a.glb", whole[:-10]))
    for words, change in (
        ("promises 999", lambda s: s["accessors"][0].update(count=999_999_999_999)),
        ("cycle", lambda s: s["nodes"][1].update(children=[0])),
        ("EXT_mesh_gpu", lambda s: s.update(extensionsRequired=["EXT_mesh_gpu_instancing"])),
        ("'mesh.bin' beside it", lambda s: s["buffers"][0].update(uri="mesh.bin")),
        ("damaged", lambda s: s["nodes"][1].update(mesh=7)),
        ("damaged", lambda s: s["accessors"][0].update(type="MAT9")),
        ("no vertices", lambda s: s["nodes"][1].pop("mesh")),
        ("face with vertex", lambda s: s["accessors"][1].update(bufferView=0, byteOffset=14)),
    ):
        scene, binary = triangle_scene()
        change(scene)
        with pytest.raises(DataError, match=words):
            load_cloud(write("a.glb", glb(scene, binary)))


def test_open3d_and_we_write_and_read_the_same_box(tmp_path: Path, capfd) -> None:
    from fractalkit.data.open3d_io import import_open3d, silent_stdout

    o3d = import_open3d()
    mesh = o3d.geometry.TriangleMesh.create_box()
    for suffix in (".glb", ".ply", ".off", ".obj"):
        path = tmp_path / f"box{suffix}"
        with silent_stdout():
            assert o3d.io.write_triangle_mesh(str(path), mesh)
        cloud = load_cloud(path, mesh_samples=500)
        assert cloud.triangles == 12, suffix
        on_a_side = np.isclose(cloud.points, 0, atol=1e-6) | np.isclose(cloud.points, 1, atol=1e-6)
        assert on_a_side.any(axis=1).all()
    assert capfd.readouterr().out == ""


def test_samples_of_a_far_away_surface_keep_their_digits() -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]) + 5e6
    x, _ = sample_surface(corners, np.array([[0, 1, 2], [0, 2, 3], [0, 0, 0]]), 2000)
    assert np.abs((x - 5e6).mean(axis=0) - [0.5, 0.5, 0]).max() < 0.03


# ---- what is no cloud


def test_paths_that_are_no_cloud(tmp_path: Path, write) -> None:
    for path, words in (
        (tmp_path, "is a folder"),
        (tmp_path / "no.ply", "no such file"),
        (write("a.docx", "x"), "suffix .docx is unknown"),
    ):
        with pytest.raises(DataError, match=words):
            load_cloud(path)
    with pytest.raises(DataError, match="more than 1 points, the limit"):
        load_cloud(write("a.ply", GOOD), max_points=1)
    assert set(READERS) >= {".ply", ".pcd", ".xyz", ".npz", ".glb"}


def test_real_files(shared_data: Path) -> None:
    for path in sorted((shared_data / "clouds" / "valid").iterdir()):
        if path.name.startswith("zero_vertices"):
            with pytest.raises(DataError, match="no points"):
                load_cloud(path)
        else:
            assert np.isfinite(load_cloud(path, mesh_samples=1000).points).all()
    for path in sorted((shared_data / "clouds" / "malformed").iterdir()):
        if path.name == "syn_nan_inf_ascii.ply":
            assert load_cloud(path).warnings
        else:
            with pytest.raises(DataError) as caught:
                load_cloud(path)
            assert path.name in str(caught.value)

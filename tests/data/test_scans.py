"""Files of scanners and printers, written by the libraries of their formats where there are some; damaged ones too."""

import io
import json
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fractalkit.data import load_cloud
from fractalkit.errors import DataError, UsageError
from recipes.benchmarks.fuzz_seeds import e57_file, las_file, threemf_file

RNG = np.random.default_rng(0)
POINTS = RNG.integers(-5000, 5000, (50, 3)) / 1000 + [4e5, 5e6, 100]
BYTES = RNG.integers(0, 256, (50, 3))


@pytest.fixture
def write(tmp_path: Path):
    def write(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


# ---- LAS and LAZ


@pytest.mark.parametrize("suffix", [".las", ".laz"])
@pytest.mark.parametrize(("version", "format"), [("1.2", 0), ("1.2", 2), ("1.2", 3), ("1.4", 6), ("1.4", 7)])
def test_las_of_every_kind(write, suffix: str, version: str, format: int) -> None:
    coloured = format in (2, 3, 7)
    path = write(f"a{suffix}", las_file(suffix, version, format, POINTS, BYTES * 257 if coloured else None))
    cloud = load_cloud(path)
    assert np.abs(cloud.points - POINTS).max() < 1e-9 + 1e-9 * 5e6
    assert (cloud.colours is not None) == coloured
    if coloured:
        assert np.abs(cloud.colours * 255 - BYTES).max() < 1e-3
    assert cloud.kind == suffix[1:].upper() and not cloud.warnings


def test_las_colours_of_eight_bits_and_none(write) -> None:
    cloud = load_cloud(write("a.las", las_file(".las", "1.2", 2, POINTS, BYTES)))
    assert np.abs(cloud.colours * 255 - BYTES).max() < 1e-3
    assert load_cloud(write("a.las", las_file(".las", "1.2", 2, POINTS, BYTES * 0))).colours is None


@pytest.mark.parametrize(("version", "format"), [("1.2", 0), ("1.4", 6)])
def test_las_noise_is_left_out(write, version: str, format: int) -> None:
    noise = np.zeros(50, np.uint8)
    noise[[3, 8]] = 7
    cloud = load_cloud(write("a.las", las_file(".las", version, format, POINTS, None, noise)))
    assert len(cloud) == 48 and "2 of 50 points are classified as noise" in cloud.warnings[0]
    assert len(load_cloud(write("a.las", las_file(".las", version, format, POINTS, None, noise * 0 + 7)))) == 50


def test_broken_las(write) -> None:
    whole, packed = las_file(".las", "1.2", 2, POINTS, BYTES), las_file(".laz", "1.2", 2, POINTS, BYTES)
    many = bytearray(whole)
    many[107:111] = struct.pack("<I", 4_000_000_000)
    lost = bytearray(packed)
    lost[lost.index(b"laszip encoded") + 16] ^= 1
    for name, data, words in (
        ("a.las", b"LASX" + whole[4:], "begin with LASF"),
        ("a.las", whole[:-1], "bytes are left"),
        ("a.las", bytes(many), "bytes are left"),
        ("a.las", whole[:104] + b"\x15" + whole[105:], "format 21"),
        ("a.las", whole[:131] + struct.pack("<d", np.nan) + whole[139:], "not finite"),
        ("a.laz", packed[:-20], "cut off"),
        ("a.laz", bytes(lost), "says not how"),
    ):
        with pytest.raises(DataError, match=words):
            load_cloud(write(name, data))
    with pytest.raises(DataError, match="more than 49 points"):
        load_cloud(write("a.las", whole), max_points=49)


def test_without_the_libraries_a_sentence_says_what_to_install(write, monkeypatch) -> None:
    for name, data, module in (
        ("a.laz", las_file(".laz", "1.2", 2, POINTS, BYTES), "lazrs"),
        ("a.e57", e57_file(POINTS, BYTES), "pye57"),
    ):
        path = write(name, data)
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(UsageError, match=r"fractalkit\[scan\]"):
            load_cloud(path)


# ---- E57


def test_e57_scans_come_in_the_common_frame(write) -> None:
    half = np.sqrt(0.5)
    # a quarter turn about z takes x to y
    data = e57_file(
        POINTS - POINTS.mean(axis=0), BYTES, rotation=np.array([half, 0, 0, half]), shift=np.array([5, 0, 0])
    )
    cloud = load_cloud(write("a.e57", data))
    x, y, z = (POINTS - POINTS.mean(axis=0)).T
    assert np.abs(cloud.points - np.stack([5 - y, x, z], axis=1)).max() < 1e-5
    assert np.abs(cloud.colours * 255 - BYTES).max() < 1e-3


def test_broken_e57(write) -> None:
    whole = e57_file(POINTS, BYTES)
    flipped = bytearray(whole)
    flipped[200] ^= 1
    for data, words in (
        (b"nothing" * 30, "begin with ASTM-E57"), (whole[:-1024], "cannot be read"), (bytes(flipped), "cannot be read"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=words):
            load_cloud(write("a.e57", data))
    with pytest.raises(DataError, match="more than 49 points"):
        load_cloud(write("a.e57", whole), max_points=49)


# ---- splats, KITTI


def splat_ply(opacity: np.ndarray) -> bytes:
    names = ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "f_rest_0", "opacity", "scale_0", "rot_0")
    head = "".join(f"property float {n}\n" for n in names)
    table = np.zeros((len(opacity), len(names)), "<f4")
    table[:, :3], table[:, 3:6], table[:, 7] = np.arange(len(opacity))[:, None], [1, 0, -9], opacity
    return f"ply\nformat binary_little_endian 1.0\nelement vertex {len(table)}\n{head}end_header\n".encode() + bytes(
        table
    )


def test_gaussian_splats_have_colours_and_lose_the_transparent(write) -> None:
    cloud = load_cloud(write("a.ply", splat_ply(np.array([5, -5, 0.0]))))
    assert cloud.points[:, 0].tolist() == [0, 2]
    assert np.allclose(cloud.colours, [[0.5 + 0.28209479, 0.5, 0]] * 2, atol=1e-6)
    assert "1 of 3 splats have an opacity below 0.1" in cloud.warnings[0]
    assert len(load_cloud(write("a.ply", splat_ply(np.array([-5, -6.0]))))) == 2  # nothing would be left


def test_splats_of_32_bytes(write) -> None:
    rows = [struct.pack("<6f8B", i, 2, 3, 1, 1, 1, 255, 0, 51, alpha, 0, 0, 0, 0) for i, alpha in ((1, 255), (2, 3))]
    cloud = load_cloud(write("a.splat", b"".join(rows)))
    assert cloud.points.tolist() == [[1, 2, 3]] and np.allclose(cloud.colours, [[1, 0, 0.2]])
    with pytest.raises(DataError, match="no multiple of 32 bytes"):
        load_cloud(write("a.splat", b"".join(rows)[:-1]))
    packed = "ply\nformat ascii 1.0\nelement vertex 1\nproperty uint packed_position\nend_header\n7\n"
    with pytest.raises(DataError, match="splat-transform"):
        load_cloud(write("a.ply", packed))


def test_a_scan_of_kitti(write) -> None:
    x = RNG.uniform(-80, 80, (30, 4)).astype("<f4")
    assert (load_cloud(write("a.bin", x.tobytes())).points == x[:, :3]).all()
    with pytest.raises(DataError, match="no distances"):
        load_cloud(write("a.bin", RNG.bytes(1600)))
    with pytest.raises(DataError, match="no multiple of 16"):
        load_cloud(write("a.bin", x.tobytes()[:-1]))


# ---- glTF, 3MF


def triangle(uri: str) -> str:
    scene = {
        "asset": {"version": "2.0"}, "nodes": [{"mesh": 0, "translation": [1, 0, 0]}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}], "buffers": [{"byteLength": 36, "uri": uri}],
    }  # fmt: skip
    return json.dumps(scene)


def test_gltf_with_its_buffer_beside_it(write, tmp_path: Path) -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4")
    write("a mesh.bin", corners.tobytes())
    path = write("a.gltf", triangle("a%20mesh.bin"))
    cloud = load_cloud(path, mesh_samples=0)
    assert (cloud.points - [1, 0, 0] == corners).all() and cloud.triangles == 1
    for uri, words in (
        ("none.bin", "missing"), ("../a.bin", "not beside"), ("/etc/passwd", "not beside"), ("%2e%2e/a", "not beside"),
        ("https://a.org/b.bin", "not beside"), ("a%00b", "not beside"), (".", "missing"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=words):
            load_cloud(write("b.gltf", triangle(uri)))
    write("a mesh.bin", corners.tobytes()[:-4])
    with pytest.raises(DataError, match="do not hold"):
        load_cloud(path)


def test_draco_is_blamed_where_it_is_used(write) -> None:
    write("a.bin", np.eye(3, dtype="<f4").tobytes())
    scene = json.loads(triangle("a.bin"))
    scene["extensionsRequired"] = scene["extensionsUsed"] = ["KHR_draco_mesh_compression", "KHR_materials_specular"]
    assert load_cloud(write("a.gltf", json.dumps(scene))).triangles == 1
    del scene["extensionsRequired"], scene["accessors"][0]["bufferView"]
    scene["meshes"][0]["primitives"][0]["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0}}
    with pytest.raises(DataError, match=r"compressed by Draco.*gltf-transform"):
        load_cloud(write("a.gltf", json.dumps(scene)))


def test_3mf_places_its_items_and_components(write) -> None:
    cloud = load_cloud(write("a.3mf", threemf_file()), mesh_samples=0)
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    # the component doubles, the item moves by (10, 0, 0) thereafter; a second item is the mesh itself
    assert (cloud.points == np.concatenate([2 * corners + [10, 0, 0], corners])).all()
    assert cloud.triangles == 8


def test_broken_3mf(write) -> None:
    def packed(text: str) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("3D/3dmodel.model", text)
        return file.getvalue()

    mesh = '<object id="1"><mesh><vertices><vertex x="0" y="0" z="0"/></vertices></mesh></object>'
    for data, words in (
        (b"PK nothing", "damaged archive"),
        (packed("<model>"), "damaged archive or description"),
        (packed("<model/>"), "places no mesh"),
        (packed('<!DOCTYPE a [<!ENTITY b "c">]><model/>'), "document type"),
        (packed('<model><build><item objectid="9"/></build></model>'), "not there"),
        (packed('<model><object id="1"><components><component objectid="1"/></components></object>'
                '<build><item objectid="1"/></build></model>'), "too many copies"),
        (packed(f'<model>{mesh.replace("/></v", "/></v")}<build><item objectid="1" transform="1 2"/></build></model>'),
         "damaged archive or description"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=words):
            load_cloud(write("a.3mf", data))


# ---- what programs write a little differently


def test_ply_with_lines_of_the_old_macintosh_or_a_byte_order_mark(write) -> None:
    text = b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nend_header\n1 2\n3 4\n"
    for changed in (text.replace(b"\n", b"\r"), b"\xef\xbb\xbf" + text, b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n")):
        assert load_cloud(write("a.ply", changed)).points.tolist() == [[1, 2], [3, 4]]
    head = text[: text.index(b"1 2")].replace(b"ascii", b"binary_little_endian").replace(b"\n", b"\r")
    body = b"\n\n\r\x41" + struct.pack("<3f", 2, 3, 4)  # a first number that looks like ends of lines
    assert load_cloud(write("a.ply", head + body)).points[:, 1].tolist() == [2, 4]


def test_a_cut_list_of_faces_leaves_the_vertices(write) -> None:
    head = "ply\nformat {} 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    head += "element face 9\nproperty list uchar int vertex_indices\nend_header\n"
    corners = np.eye(3, dtype="<f4")
    binary = head.format("binary_little_endian").encode() + corners.tobytes() + struct.pack("<B3i", 3, 0, 1, 2)
    text = head.format("ascii") + "1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n3 0 1\n"
    for data in (binary, binary[:-2], text.encode()):
        cloud = load_cloud(write("a.ply", data))
        assert (cloud.points == corners).all() and not cloud.triangles
        assert "3 points are whole" in cloud.warnings[0]


def test_a_byte_order_that_is_misdeclared(write) -> None:
    x = RNG.normal(size=(200, 3)).astype("<f4")
    head = (
        "ply\nformat binary_big_endian 1.0\nelement vertex 200\nproperty float x\nproperty float y\nproperty float z\n"
    )
    cloud = load_cloud(write("a.ply", (head + "end_header\n").encode() + x.tobytes()))
    assert (cloud.points == x).all() and "wrong byte order" in cloud.warnings[0]


def test_pcd_colours_that_are_no_numbers(write) -> None:
    head = "FIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\nWIDTH 2\nHEIGHT 1\nPOINTS 2\nDATA ascii\n"
    cloud = load_cloud(write("a.pcd", head + "1 2 3 nan\n4 5 6 nan\n"))
    assert cloud.colours is None and "none of its colours is a number" in cloud.warnings[0]
    cloud = load_cloud(write("a.pcd", head + "1 2 3 nan\n4 5 6 16711731\n"))  # 0xFF0033
    assert np.allclose(cloud.colours, [[1, 0, 0.2]] * 2) and "1 of 2 colours" in cloud.warnings[0]


def test_csv_with_text(write) -> None:
    cloud = load_cloud(write("a.csv", 'name,x,y,z,note\n"a, b",1,2,3,tree\nc,4,5,6,\n'))
    assert cloud.points.tolist() == [[1, 2, 3], [4, 5, 6]]
    for name, text, words in (
        ("a.csv", "1,2,3,tree\n4,5,6,bush\n", "neither numbers"),
        ("a.csv", "1,2,3\n4,5,tree\n", "row 2 of the points has 'tree' in column 3"),
        ("a.csv", "x;y;z\n1,5;2,5;3,5\n", "decimals with commas"),
        ("a.csv", "1,5;2,5;3,5\n", "decimals with commas"),
        ("a.xyz", "1,5 2 -3,5e2\n", "decimals with commas"),
    ):
        with pytest.raises(DataError, match=words):
            load_cloud(write(name, text))
    assert load_cloud(write("a.csv", "1, 2, 3\n")).points.tolist() == [[1, 2, 3]]


def test_what_is_not_read_names_a_program_that_converts_it(write) -> None:
    for suffix, program in ((".fbx", "Blender"), (".rcp", "ReCap"), (".spz", "splat-transform"), (".step", "FreeCAD")):
        with pytest.raises(DataError, match=f"{program} converts them"):
            load_cloud(write(f"a{suffix}", "x"))

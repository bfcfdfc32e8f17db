"""Simulations of variations of flames: clusters, crystals, terrains, orbits, ways through space, L-systems, solids."""

import contextlib
import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fractalkit.codes.chords import CURVES, chords
from fractalkit.codes.flame import read_flames
from fractalkit.codes.flame_xml import to_xml
from fractalkit.codes.formula_values import values_of
from fractalkit.codes.l_systems import expanded, lines_of, read_grammar
from fractalkit.codes.metaballs import MarsagliaRandom, balls, reached
from fractalkit.codes.simulated_tables import PRIMITIVES, SIMULATED
from fractalkit.codes.simulations import (
    JavaRandom,
    closed_tube,
    cluster,
    crystal,
    curliecue,
    depths,
    polygons,
    terrain,
    tube,
    turned_lattice,
)
from fractalkit.codes.solids import finer, smooth, solid
from fractalkit.errors import DataError
from fractalkit.maps import apply_variation
from fractalkit.orbit.flame_plain import PlainFlame

PAGE = '<flame size="64 64" scale="16"><xform weight="1" color="0.3" {} coefs="1 0 0 1 0 0"/></flame>'


def flame(attributes: str):
    return read_flames(PAGE.format(attributes).encode())[0]


def test_numbers_of_java():
    random = JavaRandom(42)
    assert [random.uniform() for _ in range(2)] == [0.7275636800328681, 0.6832234717598454]


@pytest.mark.parametrize("space", [False, True])
def test_a_cluster_touches_itself(space):
    points, parents = cluster(300, 5, space=space, glue=1.2, half=0 if space else 200)
    assert len(points) == 300 and parents[0] == -1 and (parents[1:] < np.arange(1, 300)).all()
    far = np.linalg.norm(points[1:] - points[parents[1:]], axis=1)
    assert far.max() <= (1.2 if space else 1) + 1e-6 and len(np.unique(points.round(9), axis=0)) == 300
    # branched: of a disc or ball it would be 9.8 or 4
    assert np.linalg.norm(points, axis=1).max() > (6 if space else 16)
    again, _ = cluster(300, 5, space=space, glue=1.2, half=0 if space else 200)
    assert (again == points).all() and (cluster(300, 6, space=space)[0] != points).any()
    d = depths(parents)
    assert d[0] == 0 and d.max() == 1 and (d[parents[1:]] <= d[1:]).all()


def test_a_crystal_has_the_symmetry_of_its_lattice():
    rows = crystal(32, 150, 0.5, 0.001, 0.1, 1.0, 0.0, 0.9, 1)
    x, y, thick = rows.T
    assert len(rows) > 150 and thick.min() > 0
    # in hexagonal symmetry the moments of inertia about all axes are alike
    moments = np.cov(x, y)
    assert abs(moments[0, 0] / moments[1, 1] - 1) < 0.05 and abs(moments[0, 1]) < 0.05 * moments[0, 0]
    assert len(crystal(32, 300, 0.5, 0.001, 0.1, 1.0, 0.0, 0.9, 1)) > 1.3 * len(rows)  # and it grows


def test_a_terrain_by_hand_and_smoothed():
    rough = terrain(1, 0.5, 7, 0, 0, 0, 0)
    random = JavaRandom(7)
    c = [2 * random.uniform() - 1 for _ in range(9)]
    by_hand = np.zeros((3, 3))
    by_hand[0, 0], by_hand[0, 2], by_hand[2, 2], by_hand[2, 0] = c[:4]
    by_hand[1, 1] = sum(c[:4]) / 4 + 0.5 * c[4]
    for (i, j), of, more in (
        ((0, 1), [(0, 0), (0, 2), (1, 1)], c[5]),
        ((1, 0), [(0, 0), (2, 0), (1, 1)], c[6]),
        ((1, 2), [(0, 2), (2, 2), (1, 1)], c[7]),
        ((2, 1), [(2, 0), (2, 2), (1, 1)], c[8]),
    ):
        by_hand[i, j] = sum(by_hand[p] for p in of) / 3 + 0.5 * more
    assert np.allclose(rough, (by_hand - by_hand.min()) / np.ptp(by_hand))
    fine = terrain(4, 0.8, 7, 1, 12, 0.42, -0.45)
    plain = terrain(4, 0.8, 7, 1, 0, 0.42, -0.45)
    assert fine.shape == (33, 33) and (plain[::2, ::2] == terrain(4, 0.8, 7, 0, 0, 0, 0)).all()
    assert np.abs(np.diff(fine, 2)).mean() < 0.6 * np.abs(np.diff(plain, 2)).mean()


def test_orbits_of_a_turned_lattice():
    orbit = turned_lattice(12, 1, 3, False, 0.0, 0.0, 0)
    s = math.sin(2 * math.pi / 3)
    t = (math.cos(2 * math.pi / 3) - 1) / s

    def turned(x: int, y: int) -> tuple[int, int]:
        for _ in range(3):
            x += math.floor(t * y + 0.5)
            y += math.floor(s * x + 1e-8 + 0.5)
            x += math.floor(t * y + 0.5)
        return x, y

    assert turned_lattice(12, 1, 4, False, 0.0, 0.0, 0).max() == 1  # quarters are exact
    for i, j in ((6, 6), (2, 9), (11, 0), (4, 7)):
        start = (i - 6, j - 6)
        at, steps = turned(*start), 1
        while at != start:
            at, steps = turned(*at), steps + 1
        assert orbit[i, j] == steps


def test_a_frame_along_a_way():
    rows = tube(lambda x, y, z: (-y, x, 0.5), (1.0, 0.0, 0.0), 0.01, 50, 10)
    place, normal, across = rows[:, :3], rows[:, 3:6], rows[:, 6:]
    ways = np.diff(place, axis=0)
    assert np.allclose((normal * across).sum(1), 0) and np.allclose(np.linalg.norm(rows[:, 3:6], axis=1), 1)
    assert (
        np.abs((normal[1:] * ways).sum(1)).max() < 1e-5 and np.abs(np.linalg.norm(place[:, :2], axis=1) - 1).max() < 0.1
    )
    assert len(tube(lambda x, y, z: (x * x, 0.0, 0.0), (1.0, 0.0, 0.0), 1.0, 50, 10)) == 0  # it flies away


def test_a_frame_along_a_closed_curve():
    rows = closed_tube(lambda t: (math.cos(t), 2 * math.sin(t), 0.5 * math.sin(2 * t)), 90)
    place, normal, across = rows[:, :3], rows[:, 3:6], rows[:, 6:]
    assert len(rows) == 91 and (rows[0] == rows[-1]).all() and np.allclose((normal * across).sum(1), 0)
    ways = np.roll(place[:-1], -1, 0) - np.roll(place[:-1], 1, 0)
    assert np.abs((normal[:-1] * ways).sum(1)).max() < 1e-9 and ((normal[1:-1] * normal[:-2]).sum(1) > 0.9).all()


def test_columns_of_polygons():
    rows = polygons([3, 5], 1, 1.0, 0.5, 0.5, 0.0, 0.0, fill=True, outline=True, color=0.5, speed=0.0, edge=0.25)
    assert rows[:, 0].tolist() == [3, 3, 5, 5] * 3 and set(rows[:, 2]) == {0.0, 0.5, 1.0} and (rows[:, 1] == 0.25).all()
    assert (rows[:, 4] == np.where(rows[:, 5] > 0, 0.25, 0.5)).all()


def test_chords_of_curves():
    n = dict.fromkeys("abcdefgh", 1.0) | {
        "theta_step_size": 90, "initial_theta": 45, "line_count": 4, "irrationalize": 0, "direct_color_measure": 1,
        "direct_color_thresholding": 0, "color_low_threshold": 0.5, "color_high_threshold": 1,
    }  # fmt: skip
    head, rows = chords(n | {"curve_mode": 0})
    assert np.allclose(head, [4, -2, math.sqrt(2), math.sqrt(2)])  # a square, whose sides are all as long
    assert np.allclose(rows[2], np.array([1, 1, -1, 1]) / math.sqrt(2)) and np.allclose(rows[1:, :2], rows[:-1, 2:])
    head, rows = chords(n | {"curve_mode": 3, "a": 2, "c": 0, "direct_color_thresholding": 1})  # a rose of four leaves
    assert head[2:] == [0.5, 1] and np.allclose(rows, 0, atol=1e-9)  # between its leaves
    # a circle that rolls on another as large draws a heart; inside one of twice its size it goes to and fro
    heart = chords(n | {"curve_mode": 4, "theta_step_size": 180, "initial_theta": 0})[1]
    assert np.allclose(np.sort(np.unique(heart[:, 0].round(9))), [-3, 1])
    line = chords(n | {"curve_mode": 5, "a": 2, "theta_step_size": 31})[1]
    assert np.allclose(line[:, 1], 0)
    for mode in range(len(CURVES)):
        assert np.isfinite(chords(n | {"curve_mode": mode, "a": 3, "line_count": 1e9, "theta_step_size": 7.1})[1]).all()


def test_grammars_and_turtles():
    axiom, angle, rules = read_grammar("Koch { ; of H. von Koch\nAngle 6 ; sixths\nAxiom F\nF=F+F--F+F\n}")
    assert (axiom, angle, expanded(axiom, rules, 2).count("F")) == ("F", 60.0, 16)
    lines = np.array(lines_of("Angle 6\nAxiom F\nF=F+F--F+F", 4, 3.0**-4))
    assert len(lines) == 256 and np.allclose(lines[-1, 2:4], (1, 0))
    # @ scales, | turns back, [ and ] take back, \ turns by degrees, C sets the colour
    some = np.array(lines_of("Axiom f@I2f|@Q4f[\\90C128f]f", 0, 1.0))
    assert np.allclose(some[:, 2], [1, 1.5, 0.5, 0.5, -0.5]) and np.allclose(some[:, 3], [0, 0, 0, -1, 0])
    assert some[:, 4].tolist() == [0, 0, 0, 0.5, 0]
    for text, why in (("F=FF", "without an axiom"), ("Axiom +", "draws nothing")):
        with pytest.raises(DataError, match=why):
            lines_of(text, 3, 1.0)
    assert len(lines_of("Axiom F\nF=FFFFFFFF[", 90, 1.0)) <= 26_000


def test_hostile_grammars_and_formulas_take_little_time_and_memory():
    assert len(expanded("F", {"F": "F" * 100_000}, 3)) == 200_000  # 10^10 symbols in the next step
    many = "9" * 400
    lines = lines_of(f"Angle 0.{'0' * 320}1\nAxiom F+F\\{many}F@{many}@{many}F@I{many}FC{many}F", 0, 1e9)
    assert np.isfinite(np.array(lines)).all()
    huge = "floor(x * 1e9)"
    for text in (f"{huge} ** {huge}", f"{huge} ** 30 * {huge} ** 30 + 0.5", "floor(1e300) * floor(1e300) * 0.5"):
        assert not abs(values_of(text, {}, "f")({"x": 2.0})) < 1e300
    for mode in range(len(CURVES)):  # divided by 0
        zero = dict.fromkeys("abcdefgh", 0.0) | {"curve_mode": mode}
        with contextlib.suppress(DataError):
            assert np.isfinite(chords(SIMULATED["maurer_lines"].numbers | zero)[1]).all()


@pytest.mark.filterwarnings("ignore::fractalkit.errors.FileWarning")
def test_a_file_has_so_many_simulations_and_no_more():
    maps = "".join(f'<xform weight="1" linear="1" lsystem_js="1" lsystem_js_step="{k + 2}"'
                   f' lsystem_js_grammar="{b"Axiom F".hex()}"/>' for k in range(50))  # fmt: skip
    found = read_flames(f'<flame size="8 8" center="0 0" scale="1">{maps}</flame>'.encode())[0]
    assert sum(len(x.variations) == 2 for x in found.xforms) == 40 and any(
        "more than 40 simulations" in note for note in found.notes()
    )


def test_values_of_formulas():
    value = values_of("real_power(x, 2) + a * (1 if x > 1 and not x > 3 else 2) % 4 - sqrt(0 - x)", {"a": 3.0}, "f")
    assert math.isnan(value({"x": 2.0})) and value({"x": 0.0}) == 2.0
    for text in ("__import__('os')", "x.real", "x[0]", "lambda: 1", "x +", "'a'"):
        with pytest.raises(DataError):
            values_of(text, {}, "f")


def formulas(base: str, *texts: str) -> str:
    return "".join(f' {base}_{a}formula="{t.encode().hex()}"' for a, t in zip("xyz", texts, strict=True))


ATTRIBUTES = {
    "dla_wf": 'dla_wf_max_iter="60" dla_wf_jitter="0.05"', "dla3d_wf": 'dla3d_wf_max_iter="30" dla3d_wf_seed="3"',
    "snowflake_wf": 'snowflake_wf_buffer_size="16" snowflake_wf_max_iter="50"', "gpattern": 'gpattern_fill color="0.5"',
    "terrain3D": 'terrain3D_Size (N PowersOf 2)="2" terrain3D_seed="8"', "mandala": 'mandala_width="20"',
    "sattractor3D": 'sattractor3D_radius="0.1"' + formulas("sattractor3D", "-y", "x", "0.1"),
    "obj_mesh_primitive_wf": 'obj_mesh_primitive_wf_primitive="4" obj_mesh_primitive_wf_subdiv_level="1"',
    "maurer_lines": 'maurer_lines_curve_mode="2" maurer_lines_b="0.5" maurer_lines_render_mode="5"',
    "curliecue": 'curliecue_Points="40" curliecue_symmetry="4" curliecue_type="1"',
    "curliecue2": 'curliecue2_seed="7"',
    "metaballs3d_wf": 'metaballs3d_wf_mb_count="9" metaballs3d_wf_mb_mode="2" metaballs3d_wf_mb_negative="0"',
    "knots3D": 'knots3D_steps="60"' + formulas("knots3D", "9*sin(t)", "param_a*9*cos(t)", "sin(2*t)"),
    "lsystem_js": f'lsystem_js_iters="2" lsystem_js_grammar="{b"Axiom F+F".hex()}"',
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::fractalkit.errors.FileWarning")
@pytest.mark.parametrize("base", ATTRIBUTES)
def test_a_flame_brings_numbers_and_gets_its_simulation(base):
    text = f'{base}="0.5" {base}_fx_priority="0" {ATTRIBUTES[base]}'
    f = flame(text)
    assert f.whole and read_flames(to_xml([f]).encode())[0].same(f)
    name = next(iter(f.xforms[0].variations))
    assert name.startswith(base + "_") and next(iter(flame(text).xforms[0].variations)) == name
    zero = torch.zeros(500, dtype=torch.float64)
    made, usual = (torch.stack(apply_variation(n, zero, zero)) for n in (name, base))
    assert made.isfinite().all() and usual.isfinite().all() and made.std(1)[:2].min() > 0.01 and (made != usual).any()


def test_an_image_that_a_flame_brings_raises_z():
    shades = np.array([[0, 255], [0, 128]], np.uint8)
    file = io.BytesIO()
    Image.fromarray(shades).save(file, "PNG")
    told = f'post_bumpmap_wf_scale_z="2" post_bumpmap_wf_inlined_image="{file.getvalue().hex().upper()}"'
    f = flame(f'linear3D="1" post_bumpmap_wf="1" {told}')
    assert (
        f.whole and read_flames(to_xml([f]).encode())[0].same(f) and set(SIMULATED) == {*ATTRIBUTES, "post_bumpmap_wf"}
    )
    plain = PlainFlame(replace(f, cam_pitch=0.5), torch.Generator(), device=torch.device("cpu"))
    x = torch.tensor([0.9, -0.9, 0.9, 3.0], dtype=torch.float64)
    y = torch.tensor([-0.9, -0.9, 0.9, 0.0], dtype=torch.float64)
    z = plain.xform(f.xforms[0], x, y, torch.ones_like(x), x)[2]
    assert torch.allclose(z, torch.tensor([3.0, 1.0, 2.0, 1.0], dtype=z.dtype), atol=0.01)


def test_solids_are_closed_and_stay_so():
    for name in filter(None, PRIMITIVES):
        points, faces = solid(name)
        edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
        count = np.unique(edges, axis=0, return_counts=True)[1]
        assert (count == 2).all() and len(points) - len(count) + len(faces) == (0 if name == "torus" else 2), name
        sizes = np.linalg.norm(np.cross(*(points[faces[:, k]] - points[faces[:, 0]] for k in (1, 2))), axis=1)
        assert sizes.min() > 1e-4, name
    points, faces = solid("box")
    more, finest = finer(points, faces)
    assert len(finest) == 48 and len(more) == 8 + 18 and np.ptp(more, 0).tolist() == [1, 1, 1]
    round_ = smooth(more, finest, 12, 0.42, -0.45)
    far = [np.linalg.norm(p, axis=1) for p in (more, round_)]
    assert far[1].max() / far[1].min() < 0.8 * far[0].max() / far[0].min()
    with pytest.raises(DataError, match="no solid ham"):
        solid("ham")


@pytest.mark.filterwarnings("ignore::fractalkit.errors.FileWarning")
def test_what_cannot_be_simulated_is_a_variation_that_is_not_known():
    assert all(flame(f'{base}="1"').whole for base in SIMULATED)  # the examples of the catalogue
    for text in ('lsystem_js="1" lsystem_js_presetId="3"', 'dla_wf="1" dla_wf_seed="x"',
                 'sattractor3D="1" sattractor3D_steps="1"',
                 f'dla3d_wf="1" dla3d_wf_node_obj_filename="{b"a.obj".hex()}"', 'gpattern="1" gpattern_fill="0"',
                 'snowflake_wf="1" snowflake_wf_threshold="9"',
                 'post_bumpmap_wf="1" post_bumpmap_wf_inlined_image="FFD8"',
                 'maurer_lines="1" maurer_lines_render_mode="12"', 'maurer_lines="1" maurer_lines_curve_mode="40"',
                 'obj_mesh_primitive_wf="1" obj_mesh_primitive_wf_primitive="24"'):  # fmt: skip
        assert len(flame(text).unknown) == 1, text
    assert flame('terrain3D="1" terrain3D_roughness="1e9" terrain3D_Size (N PowersOf 2)="99"').whole


def test_a_curlicue_turns_by_an_angle_that_grows():
    rows = curliecue(4, 0.25, 0.5)
    assert np.allclose(rows, [[0.5, 0.5], [0.51, 0.5], [0.52, 0.5], [0.52, 0.51], [0.52, 0.5]])
    assert len(curliecue(10**9, 0.1, 0)) == 10_001


def test_metaballs_reach_all_cells_where_their_field_is_strong():
    first = ((36969 << 16) + 1) & 0xFFFFFFFF
    assert MarsagliaRandom(1).uniform() == min(first, (1 << 32) - first) / 0x7FFFFFFF
    numbers = SIMULATED["metaballs3d_wf"].numbers
    low, high = np.full(3, -3.0), np.array([3.0, 2.0, 3.0])
    for mode in range(3):
        rows = balls(numbers | {"mb_mode": mode}, low, high)
        assert len(rows) == 64 and 0.1 < (rows[:, 3] < 0).mean() < 0.5
        at = np.random.default_rng(mode).uniform(low, high, (20_000, 3))
        field = (rows[:, 3] / ((at[:, None] - rows[:, :3]) ** 2).sum(2)).sum(1)
        index = ((at - low) / (high - low) * 8).astype(int) @ [1, 8, 64]
        cells = reached(rows, low, high, 2.75, 8)
        inside = field > 2.75
        assert inside.any() and np.isin(index[inside], cells).all() and len(cells) < 512

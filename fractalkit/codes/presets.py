"""Named codes: the classics of the plane and space, built from their mathematics.

Three-dimensional presets stand upright along z. Weights give even density unless a source fixes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.build import about, code, copies, from_points, natural, path, planar, turn
from fractalkit.errors import DataError, did_you_mean

PHI = (1 + math.sqrt(5)) / 2


@dataclass(frozen=True)
class Preset:
    """A named code: ``build()`` makes it; ``source`` credits its author and publication."""

    name: str
    title: str
    source: str
    build: Callable[[], AffineIFS]


PRESETS: dict[str, Preset] = {}


def preset(name: str) -> AffineIFS:
    """The code of that name, float64.

    Raises:
        DataError: no such preset; the message lists near names.

    >>> len(preset("barnsley-fern"))
    4
    """
    if name not in PRESETS:
        hint = did_you_mean(name, PRESETS, 4)
        raise DataError(f"{name}: no preset of that name{hint} (fractalkit ifs --list shows them all)")
    p = PRESETS[name]
    return replace(p.build(), name=name, provenance={"preset": name, "source": p.source}).check_contractive()


def _add(*presets: Preset) -> None:
    """Register presets that one expression builds."""
    PRESETS.update({p.name: p for p in presets})


def _preset(name: str, title: str) -> Callable[[Callable[[], AffineIFS]], Callable[[], AffineIFS]]:
    """Register a builder; its docstring is the source."""

    def register(build: Callable[[], AffineIFS]) -> Callable[[], AffineIFS]:
        source = " ".join((build.__doc__ or "").split())
        PRESETS[name] = Preset(name, title, source, build)
        return build

    return register


# ---- ferns and leaves


def _fern(rows: Sequence[tuple[float, ...]], colours: str = "moss") -> AffineIFS:
    """Rows of (a, b, c, d, e, f, p): x' = a x + b y + e, y' = c x + d y + f."""
    return code(
        [[[r[0], r[1]], [r[2], r[3]]] for r in rows], [[r[4], r[5]] for r in rows], [r[6] for r in rows], colours
    )


@_preset("barnsley-fern", "Barnsley's fern")
def _() -> AffineIFS:
    """M. Barnsley, Fractals Everywhere (1988): black spleenwort, his coefficients and weights."""
    return _fern([
        (0, 0, 0, 0.16, 0, 0, 0.01), (0.85, 0.04, -0.04, 0.85, 0, 1.6, 0.85),
        (0.2, -0.26, 0.23, 0.22, 0, 1.6, 0.07), (-0.15, 0.28, 0.26, 0.24, 0, 0.44, 0.07),
    ])  # fmt: skip


# name, title, what it is after, colours, and each map's (a, b, c, d, e, f, p)
_FERNS = (
    ("cyclosorus-fern", "Cyclosorus, a marsh fern", "after the family Thelypteridaceae", "moss", (
        (0, 0, 0, 0.25, 0, -0.4, 0.02), (0.95, 0.005, -0.005, 0.93, -0.002, 0.5, 0.84),
        (0.035, -0.2, 0.16, 0.04, -0.09, 0.02, 0.07), (-0.04, 0.2, 0.16, 0.04, 0.083, 0.12, 0.07),
    )),
    ("fishbone-fern", "Fishbone fern", "with stiff, narrow fronds (Nephrolepis)", "lagoon", (
        (0, 0, 0, 0.25, 0, -0.4, 0.02), (0.95, 0.002, -0.002, 0.93, -0.002, 0.5, 0.84),
        (0.035, -0.11, 0.27, 0.01, -0.05, 0.005, 0.07), (-0.04, 0.11, 0.27, 0.01, 0.047, 0.06, 0.07),
    )),
    ("culcita-fern", "Culcita, a tree fern", "after the tree fern Culcita", "moss", (
        (0, 0, 0, 0.25, 0, -0.14, 0.02), (0.85, 0.02, -0.02, 0.83, 0, 1, 0.84),
        (0.09, -0.28, 0.3, 0.11, 0, 0.6, 0.07), (-0.09, 0.28, 0.3, 0.09, 0, 0.7, 0.07),
    )),
)  # fmt: skip
for _name, _title, _like, _colours, _rows in _FERNS:
    _source = f"Folklore variation on Barnsley's fern {_like}, in circulation since the 1990s."
    PRESETS[_name] = Preset(_name, _title, _source, partial(_fern, _rows, _colours))


@_preset("maple-leaf", "Maple leaf")
def _() -> AffineIFS:
    """After the leaf collages of Barnsley, Fractals Everywhere (1988), ch. III; widely used coefficients."""
    return _fern([
        (0.14, 0.01, 0, 0.51, -0.08, -1.31, 0.10), (0.43, 0.52, -0.45, 0.5, 1.49, -0.75, 0.35),
        (0.45, -0.49, 0.47, 0.47, -1.62, -0.74, 0.35), (0.49, 0, 0, 0.51, 0.02, 1.62, 0.20),
    ], "ember")  # fmt: skip


# ---- gaskets, carpets and dusts


def _polygon(n: int, start: float = 90.0) -> list[tuple[float, float]]:
    return [(turn(start + 360 * i / n).real, turn(start + 360 * i / n).imag) for i in range(n)]


_add(
    Preset("sierpinski-triangle", "Sierpinski's triangle",
           "W. Sierpinski, Sur une courbe dont tout point est un point de ramification (1915).",
           lambda: copies(_polygon(3), 0.5, "dusk")),
    Preset("sierpinski-carpet", "Sierpinski's carpet",
           "W. Sierpinski (1916): the square without its middle ninth, for ever.",
           lambda: copies([(x, y) for x in (0, 0.5, 1) for y in (0, 0.5, 1) if (x, y) != (0.5, 0.5)], 1 / 3, "lagoon")),
    Preset("sierpinski-pentagon", "Sierpinski's pentagon",
           "Folklore (Dürer's pentagons, 1525, drew the first steps): five copies of ratio 1/φ² at the corners.",
           lambda: copies(_polygon(5), 1 / PHI**2, "iris")),
    Preset("hexaflake", "Hexaflake", "Folklore: six hexagons of ratio 1/3 at the corners and one in the middle.",
           lambda: copies([*_polygon(6), (0, 0)], 1 / 3, "frost")),
    Preset("vicsek", "Vicsek's cross",
           "T. Vicsek, Fractal models for diffusion controlled aggregation (1983): centre and four sides.",
           lambda: copies([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)], 1 / 3, "ochre")),
    Preset("vicsek-saltire", "Vicsek's saltire", "T. Vicsek (1983), the other form: centre and four corners.",
           lambda: copies([(0, 0), (1, 1), (-1, 1), (-1, -1), (1, -1)], 1 / 3, "ochre")),
    Preset("cantor-dust", "Cantor dust", "G. Cantor (1883), squared: the product of two middle-third sets.",
           lambda: copies([(0, 0), (1, 0), (0, 1), (1, 1)], 1 / 3, "frost")),
)  # fmt: skip


# ---- curves


@_preset("koch-curve", "Koch's curve")
def _() -> AffineIFS:
    """H. von Koch, Sur une courbe continue sans tangente (1904)."""
    return path([1, turn(60), turn(-60), 1], "frost")


@_preset("koch-snowflake", "Koch's snowflake")
def _() -> AffineIFS:
    """Koch (1904) as a solid: one copy of ratio 1/√3 turned by 30° and six of ratio 1/3 around it (folklore)."""
    ring = [(complex(1 / 3, 0), turn(60 * i + 30) * 2 / 3) for i in range(6)]
    return planar([(turn(30) / math.sqrt(3), 0j), *ring], "frost")


_add(
    Preset("heighway-dragon", "Heighway's dragon",
           "J. Heighway, B. Banks and W. Harter (1966), described by M. Gardner, Scientific American (1967).",
           lambda: planar([(turn(45) / math.sqrt(2), 0j), (turn(135) / math.sqrt(2), 1 + 0j)], "ember")),
    Preset("twindragon", "Twindragon",
           "C. Davis and D. Knuth, Number representations and dragon curves (1970): base 1 - i, digits 0 and 1.",
           lambda: planar([((1 + 1j) / 2, 0j), ((1 + 1j) / 2, (1 - 1j) / 2)], "dusk")),
    Preset("terdragon", "Terdragon", "C. Davis and D. Knuth (1970): three thirds, turned by 30°, -90° and 30°.",
           lambda: path([1, turn(-120), 1], "lagoon")),
)  # fmt: skip


@_preset("golden-dragon", "Golden dragon")
def _() -> AffineIFS:
    """Folklore, analysed by L. Riddle: ratios r and r² with r = φ^(-1/φ), so that the dimension is φ."""
    r = (1 / PHI) ** (1 / PHI)
    a = math.degrees(math.acos((1 + r**2 - r**4) / (2 * r)))
    b = math.degrees(math.acos((1 + r**4 - r**2) / (2 * r**2)))
    return planar([(r * turn(a), 0j), (r**2 * turn(180 - b), 1 + 0j)], "ochre")


_add(
    Preset("levy-c", "Lévy's C",
           "P. Lévy, Les courbes planes ou gauches … composées de parties semblables au tout (1938).",
           lambda: path([turn(45), turn(-45)], "ember")),
    Preset("pentadendrite", "Pentadendrite",
           "W. McWorter; G. Edgar, Measure, Topology, and Fractal Geometry (1990), p. 197: turns of 72°, -72°, -144°, "
           "72°, 72°.", lambda: path([turn(a) for a in (0, 72, 0, -144, -72, 0)], "iris")),
    Preset("mcworter-pentigree", "McWorter's pentigree",
           "W. McWorter and J. Tazelaar, Creating fractals, Byte (1987): 36°, 108°, -36°, -108°, -36°, 36°, ratio "
           "1/φ².", lambda: path([turn(a) for a in (36, 108, -36, -108, -36, 36)], "iris")),
)  # fmt: skip


def _pinwheel_maps() -> list[tuple[np.ndarray, np.ndarray]]:
    """The five similitudes of ratio 1/√5 that cut the triangle (0,0) (0,1) (2,0) into copies; the last is the
    middle one.
    """
    right, short, long = np.array([0.0, 0.0]), np.array([0.0, 1.0]), np.array([2.0, 0.0])
    foot = short + (long - short) / 5  # of the height on the hypotenuse
    corner = [right, short, long]
    big = [foot, right, long]  # the larger part, ratio 2/√5, is halved once more into four
    maps = [from_points(corner, [foot, short, right])]
    maps += [from_points(corner, [(big[j] + big[i]) / 2 for j in range(3)]) for i in range(3)]
    middle = [(big[1] + big[2]) / 2, (big[0] + big[2]) / 2, (big[0] + big[1]) / 2]
    return [*maps, from_points(corner, middle)]


@_preset("pinwheel", "Pinwheel fractal")
def _() -> AffineIFS:
    """J. Conway's triangle of sides 1, 2, √5 cut into five (C. Radin, The pinwheel tilings of the plane, 1994),
    the middle one removed.
    """
    maps = _pinwheel_maps()[:4]
    return code([a for a, _ in maps], [t for _, t in maps], [1.0] * 4, "dusk")


@_preset("mcworter-pinwheel", "McWorter's pinwheel")
def _() -> AffineIFS:
    """After W. McWorter's five-fold curves (Byte, 1987): five pentigree arms about a centre, each map followed by
    the turn of 72° that carries arm to arm.
    """
    r = 1 / PHI**2
    arm = [turn(a) * r for a in (36, 108, -36, -108, -36, 36)]
    tip = arm[0] + arm[1]
    maps = [(r * turn(72 * i + 36), tip * turn(72 * i)) for i in range(5)]
    return planar([*maps, (r * turn(180), 0j)], "iris")


@_preset("gosper-island", "Gosper's island")
def _() -> AffineIFS:
    """W. Gosper's flowsnake (M. Gardner, Scientific American, 1976): seven hexagons, ratio 1/√7."""
    m = 1 / (2.5 + 1j * math.sqrt(3) / 2)
    return planar([(m, 0j), *[(m, m * turn(60 * i)) for i in range(6)]], "lagoon")


@_preset("fudgeflake", "Fudgeflake")
def _() -> AffineIFS:
    """B. Mandelbrot, The Fractal Geometry of Nature (1982): the rep-3 tile, ratio 1/√3."""
    m = turn(30) / math.sqrt(3)
    return planar([(m, turn(120 * i) * 0.5) for i in range(3)], "nacre")


@_preset("rauzy", "Rauzy's fractal")
def _() -> AffineIFS:
    """G. Rauzy, Nombres algébriques et substitutions (1982): the tribonacci tile, maps z -> b z, b² z + 1, b³ z +
    1 + b.
    """
    # the complex root of b³ + b² + b = 1, from the real root of x³ = x² + x + 1
    real = next(float(x.real) for x in np.roots([1, -1, -1, -1]) if abs(x.imag) < 1e-9)
    b = next(complex(x) for x in np.roots([1, -1, -1, -1]) if x.imag > 1e-9)
    assert abs(abs(b) - real**-0.5) < 1e-9
    return planar([(b, 0j), (b**2, 1 + 0j), (b**3, 1 + b)], "iris")


@_preset("chair", "Chair tile")
def _() -> AffineIFS:
    """S. Golomb, Replicating figures in the plane (1964): the L of three squares, four half-size copies of itself."""
    maps = [(0.5 + 0j, 0j), (0.5 + 0j, 0.5 + 0.5j), (0.5j, 2 + 0j), (-0.5j, 2j)]
    return planar(maps, "ochre")


# ---- trees and spirals of the plane


@_preset("binary-tree", "Symmetric binary tree")
def _() -> AffineIFS:
    """B. Mandelbrot and M. Frame, The canopy and shortest path in a self-contacting fractal tree (1999); trunk as
    a flat map.
    """
    r, a = 0.62, 34.0
    trunk = 0.42
    maps = [[[0.018, 0], [0, trunk]]]
    for sign in (1, -1):
        m = r * turn(sign * a)
        maps.append([[m.real, -m.imag], [m.imag, m.real]])
    return code(maps, [[0, 0], [0, trunk], [0, trunk]], [0.12, 0.44, 0.44], "bark", 0.35)


@_preset("windy-tree", "Tree in the wind")
def _() -> AffineIFS:
    """After the trees of P. Oppenheimer, Real time design and animation of fractal plants and trees (1986), in the
    plane.
    """
    trunk = 0.36
    rows = [[[0.022, 0.03], [0, trunk]]]
    places = [[0.0, 0.0]]
    for r, angle, height in ((0.66, -14, 1.0), (0.52, 38, 0.94), (0.50, -52, 0.80), (0.34, 62, 0.60)):
        m = r * turn(angle)
        rows.append([[m.real, -m.imag], [m.imag, m.real]])
        places.append([0.03 * height, trunk * height])
    return code(rows, places, [0.09, 0.36, 0.24, 0.21, 0.10], "bark", 0.35)


@_preset("pythagoras-tree", "Pythagoras tree, leaves")
def _() -> AffineIFS:
    """A. Bosman (1942): the limit of the squares on the sides of right triangles with sides 3, 4, 5."""
    c, s = 0.8, 0.6
    left, right = c * (c + 1j * s), s * (s - 1j * c)
    return planar([(left, 1j), (right, 1j + left)], "bark")


@_preset("spiral", "Spiral of spirals")
def _() -> AffineIFS:
    """After the spirals of Barnsley, Fractals Everywhere (1988), ch. III: a turning map and two buds."""
    return planar([(0.93 * turn(22), 0j), (0.21 * turn(40), 0.95 + 0j), (0.13 * turn(-80), 0.62 + 0.3j)], "dusk")


# ---- solids


@_preset("sierpinski-tetrahedron", "Sierpinski's tetrahedron")
def _() -> AffineIFS:
    """Sierpinski's triangle in space (B. Mandelbrot's skewed web, 1982): four halves; its dimension is 2."""
    base = [(x * math.sqrt(8) / 3, y * math.sqrt(8) / 3, -1 / 3) for x, y in _polygon(3)]
    return copies([(0, 0, 1), *base], 0.5, "dusk")


_add(
    Preset("sierpinski-pyramid", "Sierpinski's pyramid", "Folklore: the square pyramid made of five halves.",
           lambda: copies([(1, 1, 0), (-1, 1, 0), (-1, -1, 0), (1, -1, 0), (0, 0, math.sqrt(2))], 0.5, "ochre")),
    Preset("octahedron-flake", "Octahedron flake", "Folklore: six halves at the vertices of an octahedron.",
           lambda: copies([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)], 0.5, "lagoon")),
)  # fmt: skip


def _icosahedron() -> list[tuple[float, float, float]]:
    out = []
    for a in (-1, 1):
        for b in (-PHI, PHI):
            out += [(0.0, a, b), (a, b, 0.0), (b, 0.0, a)]
    return out


@_preset("icosahedron-flake", "Icosahedron flake")
def _() -> AffineIFS:
    """Folklore: twelve copies of ratio 1/(1 + φ) at the vertices of an icosahedron."""
    return copies(_icosahedron(), 1 / (1 + PHI), "iris")


@_preset("dodecahedron-flake", "Dodecahedron flake")
def _() -> AffineIFS:
    """Folklore: twenty copies of ratio 1/(2 + φ) at the vertices of a dodecahedron."""
    out: list[tuple[float, float, float]] = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    for a in (-1 / PHI, 1 / PHI):
        for b in (-PHI, PHI):
            out += [(0, a, b), (a, b, 0), (b, 0, a)]
    return copies(out, 1 / (2 + PHI), "nacre")


_THIRDS = [(x, y, z) for x in (0, 0.5, 1) for y in (0, 0.5, 1) for z in (0, 0.5, 1)]


_add(
    Preset("menger-sponge", "Menger's sponge",
           "K. Menger, Allgemeine Räume und Cartesische Räume (1926): twenty of the 27 small cubes.",
           lambda: copies([c for c in _THIRDS if sum(v == 0.5 for v in c) < 2], 1 / 3, "ochre")),
    Preset("mosely-snowflake", "Mosely's snowflake",
           "J. Mosely (2006): the cube without its eight corners and its centre, eighteen thirds.",
           lambda: copies([c for c in _THIRDS if 0 < sum(v == 0.5 for v in c) < 3], 1 / 3, "frost")),
)  # fmt: skip


@_preset("jerusalem-cube", "Jerusalem cube")
def _() -> AffineIFS:
    """E. Baird (2011): eight cubes of ratio √2 - 1 at the corners, twelve of its square on the edges."""
    r = math.sqrt(2) - 1
    corners = [c for c in _THIRDS if all(v != 0.5 for v in c)]
    edges = [c for c in _THIRDS if sum(v == 0.5 for v in c) == 1]
    return copies([*corners, *edges], [r] * 8 + [r * r] * 12, "lagoon")


_add(
    Preset("vicsek-3d", "Vicsek's cross in space", "T. Vicsek (1983), in space: centre and six faces.",
           lambda: copies([(0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)], 1 / 3,
               "ember")),
    Preset("cantor-dust-3d", "Cantor dust in space", "G. Cantor (1883), cubed: the product of three middle-third sets.",
           lambda: copies([c for c in _THIRDS if all(v != 0.5 for v in c)], 1 / 3, "frost")),
)  # fmt: skip


# ---- plants and shells in space


def _limb(ratio: float, lean: float, around: float, height: float, roll: float = 0.0) -> tuple[np.ndarray, list[float]]:
    """A copy of the plant of the given ratio, leaning by ``lean`` degrees towards azimuth ``around``, at a height."""
    a = ratio * about("z", around) @ about("y", lean) @ about("z", roll - around)
    return a, [0.0, 0.0, height]


def _plant(stem: tuple[float, float], stem_weight: float, limbs: list[tuple[np.ndarray, list[float]]],
           weights: list[float], colours: str, speed: float) -> AffineIFS:  # fmt: skip
    """A stem (thickness, height of the copy along z) and limbs."""
    a = [np.diag([stem[0], stem[0], stem[1]]), *[m for m, _ in limbs]]
    t = [[0.0, 0.0, 0.0], *[v for _, v in limbs]]
    total = sum(weights)
    return code(a, t, [stem_weight, *[(1 - stem_weight) * w / total for w in weights]], colours, speed)


@_preset("tree-3d", "Broadleaf tree in space")
def _() -> AffineIFS:
    """After P. Oppenheimer (1986) and H. Honda, Description of the form of trees (1971): trunk, leader, three
    boughs.
    """
    limbs = [_limb(0.62, 6, 20, 0.38, 85)]
    limbs += [_limb(0.56, 48, 30 + 120 * i, 0.30 + 0.035 * i, 40 * i) for i in range(3)]
    tree = _plant((0.042, 0.40), 0.10, limbs, [0.30, 0.24, 0.24, 0.24], "bark", 0.35)
    # the trunk is the whole tree made slender and stood on its head: broad at the foot, slim under the crown
    matrices, offsets = tree.matrices.clone(), tree.offsets.clone()
    matrices[0, 2, 2], offsets[0, 2] = -0.40, 0.40
    return replace(tree, matrices=matrices, offsets=offsets)


@_preset("pine-3d", "Conifer in space")
def _() -> AffineIFS:
    """After H. Honda (1971): a long leader and whorls of five nearly level branches; our own proportions."""
    limbs = [_limb(0.84, 0, 0, 0.16, 36)]
    limbs += [_limb(0.30, 98, 72 * i, 0.13, 0) for i in range(5)]
    return _plant((0.016, 0.16), 0.03, limbs, [0.72] + [0.1] * 5, "moss", 0.4)


@_preset("fern-3d", "Fern in space")
def _() -> AffineIFS:
    """Barnsley's fern (1988) lifted: the rachis bends and twists, fronds stand out of the plane; our own
    coefficients.
    """
    leader = 0.84 * about("x", 5.0) @ about("z", 4.0)
    left = np.array([[0.20, 0.0, -0.25], [0.0, 0.30, 0.0], [0.24, 0.0, 0.21]])
    right = np.array([[-0.17, 0.0, 0.27], [0.0, 0.30, 0.0], [0.25, 0.0, 0.23]])
    stem = np.diag([0.004, 0.004, 0.17])
    return code(
        [stem, leader, about("x", -14) @ left, about("x", -14) @ right],
        [[0, 0, 0], [0, 0, 1.6], [0, 0, 1.5], [0, 0, 0.7]], [0.02, 0.80, 0.09, 0.09], "moss", 0.4,
    )  # fmt: skip


@_preset("romanesco", "Romanesco")
def _() -> AffineIFS:
    """Phyllotaxis by the golden angle (H. Vogel, 1979) on a cone: one map climbs the spiral, one sets a bud; our
    own form.
    """
    s, bud = 0.958, 0.345
    climb = s * about("z", 360 / PHI**2)
    floret = bud * about("y", 58.0)
    apex = np.array([0.0, 0.0, 1.25])
    plain = code([climb, floret], [(1 - s) * apex, [0.60, 0.0, 0.02]], natural([s, bud]), "moss", 0.3)
    return replace(plain, colours=torch.tensor([[0.78, 0.88, 0.46], [0.34, 0.60, 0.22]], dtype=torch.float64))


def _shell(climb: np.ndarray, fixed: np.ndarray, tiles: list[tuple[np.ndarray, np.ndarray]], growth: float,
           stripes: list[tuple[float, float, float]], speed: float) -> AffineIFS:  # fmt: skip
    """A tube that coils about a fixed point: the climb, and tiles, flattened shells that close one ring of it.

    A ring's area shrinks by growth² a step, and so do the weights: even density.
    """
    maps, places = [climb], [fixed - climb @ fixed]
    for a, centre in tiles:
        maps.append(a)
        places.append(centre)
    w = [growth**2] + [(1 - growth**2) / len(tiles)] * len(tiles)
    return replace(code(maps, places, w, "nacre", speed), colours=torch.tensor(stripes, dtype=torch.float64))


def _tile(
    middle: np.ndarray, target: np.ndarray, axes: np.ndarray, scales: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The map that sends x, y, z to the columns of ``axes``, scaled, and ``middle`` to ``target``."""
    a = axes * np.array(scales)
    return a, target - a @ middle


@_preset("nautilus", "Nautilus shell")
def _() -> AffineIFS:
    """D'Arcy Thompson, On Growth and Form (1917): the equiangular spiral, tripling at each turn; its tube a ring
    of flat shells.
    """
    step, ring, radius = 14.0, 14, 0.47
    s = 3.0 ** (-step / 360)
    tiles, colours = [], [(0.96, 0.90, 0.80)]
    for i in range(ring):
        u = 2 * math.pi * i / ring
        normal = np.array([0.80 * math.cos(u), math.sin(u), 0.0]) / math.hypot(0.80 * math.cos(u), math.sin(u))
        along = np.array([-normal[1], normal[0], 0.0])
        centre = np.array([1 + radius * math.cos(u), 0.80 * radius * math.sin(u), 0.0])
        # the coil lies in the plane of x and z: they span the tile, y becomes its thickness
        axes = np.stack([np.array([0, 0, 1.0]), normal, along], axis=1)
        sweep = (1 + radius * math.cos(u)) * 0.145
        tiles.append(_tile(np.array([0.12, 0.0, 0.0]), centre, axes, (sweep, 0.03, 0.140)))
        colours.append((0.66, 0.30, 0.20) if math.cos(u) > 0.2 else (0.98, 0.94, 0.87))
    return _shell(s * about("y", -step), np.zeros(3), tiles, s, colours, 0.45)


@_preset("turritella", "Turret shell")
def _() -> AffineIFS:
    """D'Arcy Thompson (1917), the helico-spiral: the same growth about a cone's apex; our own proportions."""
    step, ring, radius = 15.0, 12, 0.60
    s = 1.42 ** (-step / 360)
    tiles, colours = [], [(0.93, 0.80, 0.64)]
    for i in range(ring):
        u = 2 * math.pi * i / ring
        normal = np.array([math.cos(u), 0.0, math.sin(u)])
        along = np.array([-math.sin(u), 0.0, math.cos(u)])
        centre = np.array([0.64, 0.0, 0.0]) + radius * normal
        axes = np.stack([np.array([0, 1.0, 0]), normal, along], axis=1)
        sweep = 0.05 + 0.17 * centre[0] / 1.24
        tiles.append(_tile(np.array([0.0, 0.0, 1.7]), centre, axes, (sweep, 0.03, 0.105)))
        colours.append((0.62, 0.34, 0.22) if i % 4 == 1 else (0.97, 0.90, 0.78))
    return _shell(s * about("z", step), np.array([0.0, 0.0, 4.2]), tiles, s, colours, 0.45)


@_preset("coral", "Coral")
def _() -> AffineIFS:
    """Original: three leaning limbs that twist around each other, without a trunk."""
    limbs = [_limb(0.60, 30, 120 * i + 15, 0.46, 25 + 50 * i) for i in range(3)]
    return _plant((0.07, 0.46), 0.16, limbs, [1, 1, 1], "dusk", 0.45)

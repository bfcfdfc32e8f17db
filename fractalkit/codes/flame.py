"""Fractal flames: what a ``.flame`` file holds (Draves and Reckase, *The Fractal Flame Algorithm*, 2003).

A flame is an iterated function system whose maps are mixtures of variations of an affine map, with colours and the
settings of its rendering. Reading and writing is in :mod:`fractalkit.codes.flame_xml`. Everything that a file says is
kept: what is not known here stands in ``extras`` and is written back as it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from fractalkit.errors import DataError

IDENTITY = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
MAX_SIZE = 100_000
MAX_XFORMS = 1000

# the variations of flam3, in its order, each with its parameters and their defaults
VARIATIONS: dict[str, dict[str, float]] = {
    **{
        key: {}
        for key in [
            "linear",
            "sinusoidal",
            "spherical",
            "swirl",
            "horseshoe",
            "polar",
            "handkerchief",
            "heart",
            "disc",
            "spiral",
            "hyperbolic",
            "diamond",
            "ex",
            "julia",
            "bent",
            "waves",
            "fisheye",
            "popcorn",
            "exponential",
            "power",
            "cosine",
            "rings",
            "fan",
        ]
    },
    "blob": {"low": 0.0, "high": 1.0, "waves": 1.0},
    "pdj": {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0},
    "fan2": {"x": 0.0, "y": 0.0},
    "rings2": {"val": 0.0},
    **{key: {} for key in ("eyefish", "bubble", "cylinder")},
    "perspective": {"angle": 0.0, "dist": 0.0},
    "noise": {},
    "julian": {"power": 1.0, "dist": 1.0},
    "juliascope": {"power": 1.0, "dist": 1.0},
    **{key: {} for key in ("blur", "gaussian_blur")},
    "radial_blur": {"angle": 0.0},
    "pie": {"slices": 6.0, "rotation": 0.0, "thickness": 0.5},
    "ngon": {"sides": 5.0, "power": 3.0, "circle": 1.0, "corners": 2.0},
    "curl": {"c1": 1.0, "c2": 0.0},
    "rectangles": {"x": 1.0, "y": 1.0},
    **{key: {} for key in ("arch", "tangent", "square", "rays", "blade", "secant2", "twintrian", "cross")},
    "disc2": {"rot": 0.0, "twist": 0.0},
    "super_shape": {"rnd": 0.0, "m": 0.0, "n1": 1.0, "n2": 1.0, "n3": 1.0, "holes": 0.0},
    "flower": {"petals": 0.0, "holes": 0.0},
    "conic": {"eccentricity": 1.0, "holes": 0.0},
    "parabola": {"height": 0.0, "width": 0.0},
    "bent2": {"x": 1.0, "y": 1.0},
    "bipolar": {"shift": 0.0},
    **{key: {} for key in ("boarders", "butterfly")},
    "cell": {"size": 1.0},
    "cpow": {"r": 1.0, "i": 0.0, "power": 1.0},
    "curve": {"xamp": 0.0, "yamp": 0.0, "xlength": 1.0, "ylength": 1.0},
    **{key: {} for key in ("edisc", "elliptic")},
    "escher": {"beta": 0.0},
    "foci": {},
    "lazysusan": {"spin": 0.0, "space": 0.0, "twist": 0.0, "x": 0.0, "y": 0.0},
    **{key: {} for key in ("loonie", "pre_blur")},
    "modulus": {"x": 0.0, "y": 0.0},
    "oscilloscope": {"separation": 1.0, "frequency": math.pi, "amplitude": 1.0, "damping": 0.0},
    "polar2": {},
    "popcorn2": {"x": 0.0, "y": 0.0, "c": 0.0},
    "scry": {},
    "separation": {"x": 0.0, "xinside": 0.0, "y": 0.0, "yinside": 0.0},
    "split": {"xsize": 0.0, "ysize": 0.0},
    "splits": {"x": 0.0, "y": 0.0},
    "stripes": {"space": 0.0, "warp": 0.0},
    "wedge": {"angle": 0.0, "hole": 0.0, "count": 1.0, "swirl": 0.0},
    "wedge_julia": {"angle": 0.0, "count": 1.0, "power": 1.0, "dist": 0.0},
    "wedge_sph": {"angle": 0.0, "hole": 0.0, "count": 1.0, "swirl": 0.0},
    "whorl": {"inside": 0.0, "outside": 0.0},
    "waves2": {"freqx": 0.0, "scalex": 0.0, "freqy": 0.0, "scaley": 0.0},
    **{
        key: {}
        for key in [
            "exp",
            "log",
            "sin",
            "cos",
            "tan",
            "sec",
            "csc",
            "cot",
            "sinh",
            "cosh",
            "tanh",
            "sech",
            "csch",
            "coth",
        ]
    },
    "auger": {"sym": 0.0, "weight": 0.5, "freq": 1.0, "scale": 0.1},
    "flux": {"spread": 0.0},
    "mobius": {f"{part}_{k}": float(part == "re" and k in "ad") for k in "abcd" for part in ("re", "im")},
}
# those that exist in space only; bubble, cylinder and linear have forms in space beside those in the plane
VARIATIONS_3D: dict[str, dict[str, float]] = {
    "linear3D": {},
    "julia3D": {"power": 2.0},
    "julia3Dz": {"power": 2.0},
    **{key: {} for key in ("spherical3D", "sinusoidal3D", "hemisphere", "zscale", "ztranslate", "zcone")},
    "curl3D": {"cx": 0.0, "cy": 0.0, "cz": 0.0},
    "flatten": {},
}
# what these do to x and y does not need z, nor a formula in space: they alone need no drawing in space
_DEPTH_ONLY = frozenset(["linear3D", "zscale", "ztranslate", "zcone", "flatten"])
CAMERA = ("cam_pitch", "cam_yaw", "cam_persp", "cam_zpos", "cam_dof")
KNOWN = VARIATIONS | VARIATIONS_3D
PARAMETERS = {f"{name}_{p}": (name, p) for name, ps in KNOWN.items() for p in ps}


@dataclass(frozen=True)
class Xform:
    """One map: affine, variations of its result, affine again.

    Attributes:
        weight: of being chosen.
        color, color_speed: where the colour coordinate is drawn to, and how far it goes: c' = s color + (1 - s) c.
        opacity: 0 to 1, how much of a sample is plotted.
        animate: whether it turns in a loop.
        coefs, post: ``(a, d, b, e, c, f)`` for x' = a x + b y + c, y' = d x + e y + f; y points down.
        variations: name -> weight, in the file's order, of those in VARIATIONS and VARIATIONS_3D.
        parameters: full name (``blob_low``) -> value; what is missing has the default.
        chaos: factors of the weights of the next map (xaos), or empty.
        motions: (attributes of a ``<motion>`` element, as they were).
        extras: attributes that are not known here, as they were; unknown variations among them.
    """

    weight: float = 0.0
    color: float = 0.0
    color_speed: float = 0.5
    opacity: float = 1.0
    animate: float = 1.0
    coefs: tuple[float, ...] = IDENTITY
    post: tuple[float, ...] = IDENTITY
    variations: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, float] = field(default_factory=dict)
    chaos: tuple[float, ...] = ()
    motions: tuple[dict[str, str], ...] = ()
    extras: dict[str, str] = field(default_factory=dict)

    def parameter(self, name: str) -> float:
        """A parameter's value, or its default.

        >>> Xform().parameter("curl_c1")
        1.0
        """
        variation, short = PARAMETERS[name]
        return self.parameters.get(name, KNOWN[variation][short])


@dataclass(frozen=True, eq=False)
class Flame:
    """A flame and the settings of its picture; lengths in the plane unless told otherwise.

    Attributes:
        size: width and height, pixels.
        center, scale, zoom, rotate: camera; ``scale * 2^zoom`` pixels a unit, rotated by degrees about the centre.
        cam_pitch, cam_yaw: radians; the camera in space: the plane is turned by yaw about z, then tilted by pitch about
            x; 0 looks down on the plane, pi / 2 along it.
        cam_persp: 1 / the camera's distance from the focal plane; 0: no perspective.
        cam_zpos: the z of the focal plane before it is turned.
        cam_dof: depth blur: a point at depth z is blurred over a disc of radius 0.1 cam_dof |z|, before perspective.
        palette: ``[256, 4]`` float64, RGBA in [0, 1].
        symmetry: kinds of ``<symmetry>`` elements, see :meth:`expanded`.
        extras: attributes not known here, as they were; ``children``: elements not known here, as text.
    """

    name: str = ""
    time: float = 0.0
    size: tuple[int, int] = (100, 100)
    center: tuple[float, float] = (0.0, 0.0)
    scale: float = 50.0
    zoom: float = 0.0
    rotate: float = 0.0
    quality: float = 1.0
    oversample: int = 1
    filter: float = 0.5
    filter_shape: str = "gaussian"
    temporal_samples: int = 1000
    temporal_filter_type: str = "box"
    temporal_filter_width: float = 1.0
    temporal_filter_exp: float = 0.0
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    brightness: float = 4.0
    gamma: float = 4.0
    gamma_threshold: float = 0.01
    vibrancy: float = 1.0
    highlight_power: float = -1.0
    estimator_radius: float = 9.0
    estimator_minimum: float = 0.0
    estimator_curve: float = 0.4
    palette_mode: str = "step"
    interpolation: str = "linear"
    interpolation_type: str = "log"
    hue: float = 0.0
    cam_pitch: float = 0.0
    cam_yaw: float = 0.0
    cam_persp: float = 0.0
    cam_zpos: float = 0.0
    cam_dof: float = 0.0
    palette: np.ndarray = field(default_factory=lambda: np.ones((256, 4)))
    xforms: tuple[Xform, ...] = ()
    final: Xform | None = None
    symmetry: tuple[int, ...] = ()
    extras: dict[str, str] = field(default_factory=dict)
    children: tuple[str, ...] = ()

    def same(self, other: Flame) -> bool:
        """Whether all fields are equal, palettes to 1e-9."""
        mine, theirs = dict(self.__dict__), dict(other.__dict__)
        a, b = mine.pop("palette"), theirs.pop("palette")
        return mine == theirs and a.shape == b.shape and bool(np.abs(a - b).max() < 1e-9)

    def in_space(self) -> bool:
        """Whether the picture depends on z: the camera is not at rest, or a map has a variation of space.

        Maps of variations of the plane, linear3D, zscale, ztranslate, zcone and flatten move x and y as in the plane;
        seen from above without perspective they need no z.

        >>> Flame(xforms=(Xform(variations={"linear3D": 1.0}),)).in_space()
        False
        >>> Flame(xforms=(Xform(variations={"linear3D": 1.0}),), cam_pitch=0.5).in_space()
        True
        """
        maps = self.xforms if self.final is None else (*self.xforms, self.final)
        return any(getattr(self, c) != 0 for c in CAMERA) or any(
            w != 0 and n in VARIATIONS_3D and n not in _DEPTH_ONLY for x in maps for n, w in x.variations.items()
        )

    def expanded(self) -> Flame:
        """The same with its symmetries as maps: rotations by multiples of 360 / |n| degrees, a mirror for n < 0.

        In space they turn about the z axis.

        A symmetry of kind 0 or +-1 without a mirror adds nothing.
        """
        added = []
        for kind in self.symmetry:
            n = max(1, abs(kind))
            if kind < 0:
                added.append((-1.0, 0.0, 0.0, 1.0, 0.0, 0.0))
            for k in range(1, n):
                c, s = math.cos(2 * math.pi * k / n), math.sin(2 * math.pi * k / n)
                added.append((c, s, -s, c, 0.0, 0.0))
        linear = "linear3D" if self.in_space() else "linear"  # linear would lay all copies in the plane z = 0
        made = tuple(
            Xform(1.0, i / max(1, len(added) - 1), 0.0, animate=0.0, coefs=c, variations={linear: 1.0})
            for i, c in enumerate(added)
        )
        return replace(self, xforms=self.xforms + made, symmetry=())

    def matrix(self) -> np.ndarray:
        """Probabilities of the next map, by the last: ``[K + 1, K]``, the last row for the first step.

        Raises:
            DataError: no map has a weight.
        """
        w = np.array([x.weight for x in self.xforms])
        if not len(w) or not (w > 0).any():
            raise DataError(f"flame {self.name!r}: no xform has a weight above zero")
        rows = []
        for x in self.xforms:
            factors = np.ones(len(w))
            factors[: len(x.chaos)] = x.chaos[: len(w)]
            row = w * factors
            rows.append(row if row.sum() > 0 else w)
        rows.append(w)
        m = np.array(rows)
        return np.asarray(m / m.sum(1, keepdims=True))

"""The parts of a flame: its maps, the settings of its picture, and the names and parameters of the variations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fractalkit.codes.flame_unread import unread_of_map
from fractalkit.codes.variation_list import Attributes, Parameters
from fractalkit.lazy import Shown

IDENTITY = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
MAX_SIZE = 100_000
MAX_XFORMS = 1000
MAX_FINALS = 20

# the variations of flam3, in its order, each with its parameters and their defaults
VARIATIONS = Parameters((
    "linear", "sinusoidal", "spherical", "swirl", "horseshoe", "polar", "handkerchief", "heart", "disc", "spiral",
    "hyperbolic", "diamond", "ex", "julia", "bent", "waves", "fisheye", "popcorn", "exponential", "power", "cosine",
    "rings", "fan", "blob", "pdj", "fan2", "rings2", "eyefish", "bubble", "cylinder", "perspective", "noise", "julian",
    "juliascope", "blur", "gaussian_blur", "radial_blur", "pie", "ngon", "curl", "rectangles", "arch", "tangent",
    "square", "rays", "blade", "secant2", "twintrian", "cross", "disc2", "super_shape", "flower", "conic", "parabola",
    "bent2", "bipolar", "boarders", "butterfly", "cell", "cpow", "curve", "edisc", "elliptic", "escher", "foci",
    "lazysusan", "loonie", "pre_blur", "modulus", "oscilloscope", "polar2", "popcorn2", "scry", "separation", "split",
    "splits", "stripes", "wedge", "wedge_julia", "wedge_sph", "whorl", "waves2", "exp", "log", "sin", "cos", "tan",
    "sec", "csc", "cot", "sinh", "cosh", "tanh", "sech", "csch", "coth", "auger", "flux", "mobius",
))  # fmt: skip
# all of the catalogue, with their pre_ and post_ forms
KNOWN = Parameters()
CAMERA = ("cam_pitch", "cam_yaw", "cam_roll", "cam_persp", "cam_zpos", "cam_dof")
# settings of the picture that JWildfire alone has
JWILDFIRE = (
    "contrast", "white_level", "low_density_brightness", "balancing_red", "balancing_green", "balancing_blue",
    "fg_opacity", "saturation",
)  # fmt: skip
PARAMETERS = Attributes()


@dataclass(frozen=True)
class Xform:
    """One map: an affine map, a sum of variations of its result, and a second affine map.

    Attributes:
        weight: relative probability of being chosen.
        color, color_speed: the map's colour coordinate and its share s of the blend: c' = s color + (1 - s) c.
        opacity: 0 to 1, how much of a sample is plotted.
        animate: whether the map rotates in a loop.
        coefs, post: ``(a, d, b, e, c, f)`` for x' = a x + b y + c, y' = d x + e y + f; y points down.
        yz_coefs, zx_coefs, yz_post, zx_post: the like in the other planes, JWildfire's, see :meth:`solid`.
        variations: name -> weight, in the file's order, of those in KNOWN, by the names of the catalogue.
        parameters: full name (``blob_low``) -> value; missing ones have their defaults.
        chaos: factors of the weights of the next map (xaos), or empty.
        motions: the attributes of each ``<motion>`` element, verbatim.
        extras: unknown attributes, verbatim; unknown variations among them.
    """

    weight: float = 0.0
    color: float = 0.0
    color_speed: float = 0.5
    opacity: float = 1.0
    animate: float = 1.0
    coefs: tuple[float, ...] = IDENTITY
    post: tuple[float, ...] = IDENTITY
    yz_coefs: tuple[float, ...] = IDENTITY
    zx_coefs: tuple[float, ...] = IDENTITY
    yz_post: tuple[float, ...] = IDENTITY
    zx_post: tuple[float, ...] = IDENTITY
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

    @property
    def is_solid(self) -> bool:
        """Whether one of its affine maps turns x or y towards z."""
        return any(c != IDENTITY for c in (self.yz_coefs, self.zx_coefs, self.yz_post, self.zx_post))

    def solid(self, x: Any, y: Any, z: Any, *, post: bool = False) -> tuple[Any, Any, Any]:
        """The point after the affine maps of all three planes, before the variations or (``post``) after them.

        The linear parts act one after the other, on (x, y), (y, z) and (z, x), and the offsets come last::

            x, y = a x + b y, d x + e y;  y, z = a' y + b' z, d' y + e' z;  x, z = a" x + b" z, d" x + e" z
            x + c + c", y + f + c', z + f' + f"
        """
        a, d, b, e, c, f = self.post if post else self.coefs
        if not self.is_solid:
            if post and self.post == IDENTITY:
                return x, y, z
            return a * x + b * y + c, d * x + e * y + f, z
        yz, zx = (self.yz_post, self.zx_post) if post else (self.yz_coefs, self.zx_coefs)
        x, y = a * x + b * y, d * x + e * y
        y, z = yz[0] * y + yz[2] * z, yz[1] * y + yz[3] * z
        x, z = zx[0] * x + zx[2] * z, zx[1] * x + zx[3] * z
        return x + c + zx[4], y + f + yz[4], z + yz[5] + zx[5]

    @property
    def unknown(self) -> set[str]:
        """Variations of the file that this program lacks; rendering leaves them out.

        >>> sorted(Xform(extras={"mystery": "0.5", "pre_mystery": "1", "mystery_x": "1", "note": "a"}).unknown)
        ['mystery', 'pre_mystery']
        """
        return set(unread_of_map(self.extras, self.variations)[0])

    @property
    def unread(self) -> list[str]:
        """Other attributes of the file that have no effect here, sorted.

        >>> Xform(extras={"mystery": "0.5", "mystery_x": "1", "note": "a"}).unread
        ['note']
        """
        return unread_of_map(self.extras, self.variations)[1]


@dataclass(frozen=True, eq=False)
class FlameSettings(Shown):
    """The attributes of a flame that are one number, word or tuple; a ``<flame>`` element has them by these names.

    Those from contrast to saturation are JWildfire's, see :mod:`fractalkit.render.flame_tone`, and act on its flames.

    Attributes:
        size: width and height, pixels.
        center, scale, zoom, rotate: camera; ``scale cam_zoom 2^zoom`` pixels a unit, rotated by degrees about the
            centre. JWildfire's cameras in space turn about the origin.
        cam_pitch, cam_yaw: radians; the camera in space: the plane is turned by yaw about z, then tilted by pitch about
            x; 0 looks down on the plane, pi / 2 along it.
        cam_persp: 1 / the camera's distance from the focal plane; 0: no perspective.
        cam_zpos: the z of the focal plane before it is turned.
        cam_roll: radians; JWildfire's third angle, about y between yaw and pitch.
        cam_dof: depth blur: a point at depth z is blurred over a disc of radius 0.1 cam_dof |z|, before perspective.
        blur_curve: Fractorium's p, by which the depth blur grows towards the edges, see :mod:`fractalkit.orbit.flame`;
            0: it is the same everywhere.
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
    cam_zoom: float = 1.0
    cam_roll: float = 0.0
    contrast: float = 1.0
    white_level: float = 220.0
    low_density_brightness: float = 0.24
    balancing_red: float = 1.0
    balancing_green: float = 1.0
    balancing_blue: float = 1.0
    fg_opacity: float = 1.0
    saturation: float = 1.0
    blur_curve: float = 0.0

"""An orbit camera for point clouds: perspective, framing, automatic view, and an estimate of the up direction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fractalkit.errors import UsageError

Array = npt.NDArray[np.float64]
AXES = ("x", "y", "z")
_MOST = 40_000  # points used for framing
_ROLLS = {"z": 0, "x": 1, "y": 2}  # cyclic shift of the coordinates that takes z to the axis
_THIN = 0.01  # thickness of a planar cloud, in its length
_FLAT = 0.7  # share of a cloud's outline that its lowest points span, where that side is flat
_SQUARE = 1.15  # ratio of the sides of a cross-section, up to which it is square, as that of a tower


@dataclass(frozen=True)
class Camera:
    """A perspective camera on a sphere around its target.

    Args:
        target: the point ``[3]`` at the centre of the picture.
        distance: from the target to the eye, in the units of the cloud.
        azimuth: degrees about the up axis; 0 looks along +y from -y when z is up, 90 from +x.
        elevation: degrees above the horizon, between -89 and 89.
        fov: degrees across the picture's shorter side.
        up: "x", "y" or "z".
    """

    target: tuple[float, float, float] = (0.0, 0.0, 0.0)
    distance: float = 4.0
    azimuth: float = 30.0
    elevation: float = 18.0
    fov: float = 26.0
    up: str = "z"

    def __post_init__(self) -> None:
        if self.up not in AXES:
            raise UsageError(f"up: expected x, y or z, got {self.up!r}")
        if not 0 < self.fov < 170:
            raise UsageError(f"fov: expected degrees between 0 and 170, got {self.fov}")
        if not -89 <= self.elevation <= 89:
            raise UsageError(f"elevation: expected -89 to 89 degrees, got {self.elevation}")
        if not (self.distance > 0 and math.isfinite(self.distance)):
            raise UsageError(f"distance: expected a positive number, got {self.distance}")

    def basis(self) -> Array:
        """Rows right, up, forward ``[3, 3]``, orthonormal; forward points from the eye into the scene."""
        return view_basis(self.azimuth, self.elevation, self.up)

    @property
    def eye(self) -> Array:
        """Position of the camera, ``[3]``."""
        return np.asarray(self.target, dtype=np.float64) - self.distance * self.basis()[2]

    def focal(self, size: tuple[int, int]) -> float:
        """Focal length in pixels of a picture of size (width, height)."""
        return 0.5 * min(size) / math.tan(math.radians(self.fov) / 2)

    def view(self, points: npt.ArrayLike) -> Array:
        """Points ``[N, 3]`` in the camera's frame: to the right, up, and into the depth; the eye is the origin."""
        # the target is subtracted first: coordinates of 5e6 keep their digits
        x = np.asarray(points, dtype=np.float64) - np.asarray(self.target, dtype=np.float64)
        out: Array = x @ self.basis().T
        out[:, 2] += self.distance
        return out

    def project(self, points: npt.ArrayLike, size: tuple[int, int]) -> tuple[Array, Array]:
        """Pixel positions ``[N, 2]`` (column, row; (0, 0) the top left corner of the picture) and depths ``[N]``.

        Points behind the eye have a depth of at most 0 and positions that are not finite.

        >>> Camera(distance=5).project([[0, 0, 0]], (200, 100))[0].tolist()
        [[100.0, 50.0]]
        """
        v = self.view(points)
        depth = v[:, 2]
        scale = self.focal(size) / np.where(depth > 0, depth, np.nan)
        return np.stack([size[0] / 2 + scale * v[:, 0], size[1] / 2 - scale * v[:, 1]], axis=1), depth

    @classmethod
    def frame(
        cls,
        points: npt.ArrayLike,
        size: tuple[int, int] = (1, 1),
        *,
        azimuth: float | None = None,
        elevation: float | None = None,
        fov: float = 26.0,
        up: str = "z",
        usual: str | None = None,
        margin: float = 0.06,
    ) -> Camera:
        """The camera that shows the whole cloud, centred, ignoring outliers.

        Outliers are points beyond the 0.5 % quantiles of an axis by more than 15 % of their span, such as stray points
        of a scan. If no azimuth is given, the three-quarter view in which the cloud covers the largest area is chosen.

        Args:
            points: ``[N, 3]``, finite; an empty cloud gives the default camera.
            size: (width, height) of the picture; only the ratio counts.
            margin: free space on each side, as a share of the picture's shorter side.
            up: "x", "y", "z", or "auto": a planar cloud is looked at from in front (:func:`facing`), and any other
                stands as is usual for its kind of file, or by :func:`guess_up`.
            usual: the axis that points up by the convention of the cloud's file, or None.
        """
        x = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        if len(x) == 0:
            return cls(fov=fov, up="z" if up == "auto" else up, azimuth=azimuth or 30.0, elevation=elevation or 18.0)
        x = x[:: max(1, len(x) // _MOST)]
        x = _without_strays(x)
        if up == "auto":
            pose = facing(x) if azimuth is None and elevation is None else None
            if pose is not None:
                up, azimuth, elevation = pose
            else:
                up = usual or guess_up(x)
        elevation = 16.0 if elevation is None else elevation
        if azimuth is None:
            azimuth = _good_azimuth(x, elevation, up)
        basis = view_basis(azimuth, elevation, up)
        middle = (x.min(axis=0) + x.max(axis=0)) / 2
        v = (x - middle) @ basis.T
        if float(np.abs(v).max()) == 0:  # a single point
            return cls(tuple(middle.tolist()), max(1.0, float(np.abs(middle).max())), azimuth, elevation, fov, up)
        w, h = size
        half = math.tan(math.radians(fov) / 2) * (1 - 2 * margin)
        tan_x, tan_y = half * w / min(size), half * h / min(size)
        # |v_x - c_x| <= tan_x (d + v_z) for every point, and so for y: the least d, with the best centre for it
        centre = np.zeros(3)
        distance = 0.0
        for _ in range(24):
            rest = v - centre
            need_x = np.abs(rest[:, 0]) / tan_x - rest[:, 2]
            need_y = np.abs(rest[:, 1]) / tan_y - rest[:, 2]
            distance = max(float(need_x.max()), float(need_y.max()))
            depth = np.maximum(distance + rest[:, 2], 1e-3 * distance)
            for c in (0, 1):
                slope = rest[:, c] / depth
                centre[c] += (slope.max() + slope.min()) / 2 * distance * 0.9
        distance = max(distance, 1.02 * float(-(v - centre)[:, 2].min()), 1e-12)
        target = middle + centre @ basis
        return cls(tuple(target.tolist()), distance, azimuth, elevation, fov, up)


def facing(points: npt.ArrayLike) -> tuple[str, float, float] | None:
    """The axis up, azimuth and elevation from which a planar cloud ``[N, 3]`` is seen from in front and upright.

    A drawing in the plane of x and y has y up, any other z; x points to the right, or y where the plane holds no x.
    None for clouds thicker than a hundredth of their length, and for lines.
    """
    x = np.asarray(points, dtype=np.float64)
    if len(x) < 3:
        return None
    x = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x)
    thin, wide, long = np.sqrt(np.maximum(values, 0))
    if not (thin <= _THIN * long and wide > 2 * thin and wide > _THIN * long):
        return None
    normal = vectors[:, 0]
    up = "y" if abs(normal[2]) > max(abs(normal[0]), abs(normal[1])) else "z"
    roll = _ROLLS[up]
    for sign in (1, -1):
        p, q, r = np.roll(sign * normal, -roll)
        azimuth = math.degrees(math.atan2(p, -q))
        right = view_basis(azimuth, 0.0, up)[0]
        if right[0] > 0.05 or (abs(right[0]) <= 0.05 and right[1] > 0):
            break
    return up, azimuth, float(np.clip(math.degrees(math.asin(max(-1.0, min(1.0, r)))), -89, 89))


def view_basis(azimuth: float, elevation: float, up: str) -> Array:
    """Rows right, up, forward of a camera at these angles (degrees)."""
    a, e = math.radians(azimuth), math.radians(elevation)
    right = np.array([math.cos(a), math.sin(a), 0.0])
    forward = np.array([-math.sin(a) * math.cos(e), math.cos(a) * math.cos(e), -math.sin(e)])
    basis = np.stack([right, np.cross(right, forward), forward])
    # written for z up; cyclic permutations of the axes keep the handedness
    return np.roll(basis, _ROLLS[up], axis=1)


def _without_strays(x: Array) -> Array:
    low, high = np.quantile(x, [0.005, 0.995], axis=0)
    pad = 0.15 * float((high - low).max()) + 1e-300
    inside = ((x >= low - pad) & (x <= high + pad)).all(axis=1)
    return x[inside] if inside.any() else x


def _covered(x: Array, azimuth: float, elevation: float, up: str, cells: int = 56) -> float:
    """Area of the silhouette on a coarse grid whose cells are the same for all angles."""
    v = (x - x.mean(axis=0)) @ view_basis(azimuth, elevation, up).T[:, :2]
    reach = float(np.linalg.norm(x - x.mean(axis=0), axis=1).max()) + 1e-300
    cell = ((v / reach + 1) * 0.5 * (cells - 1)).astype(np.int64)
    return float(len(np.unique(cell[:, 0] * cells + cell[:, 1])))


def _good_azimuth(x: Array, elevation: float, up: str) -> float:
    """The azimuth of the largest silhouette, turned by 12 degrees towards the larger of its neighbours."""
    x = x[:: max(1, len(x) // 6000)]
    angles = np.arange(0, 360, 15)
    area = np.array([_covered(x, float(a), elevation, up) for a in angles])
    if area.max() < 1.06 * area.min():  # about the same from all sides, as of trees: the usual three-quarter view
        return 30.0
    # opposite sides have equal silhouettes: prefer the half from which +x points to the right
    score = area * np.where(np.cos(np.radians(angles)) >= -1e-9, 1.0, 0.9)
    best = int(score.argmax())
    turned = [(area[(best + s) % len(angles)], s) for s in (-2, 2)]
    return float((angles[best] + 0.8 * 15 * max(turned)[1]) % 360)


def guess_up(points: npt.ArrayLike) -> str:
    """Guess whether y or z points up.

    Scans and codes have z up, many meshes y. If the cloud is much flatter or much longer along z than across, as
    terrain and trees are, it is z; but a long cloud lies on its longest side if that is flat, and the cross-section is
    not square, as those of cars are. Otherwise it is the axis along which the cloud stands more firmly on its lowest
    6 %: its centre of mass is above the footprint, and the footprint is broad. Ties go to z.
    """
    x = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    if len(x) < 16:
        return "z"
    x = _without_strays(x[:: max(1, len(x) // 8000)])
    span = x.max(axis=0) - x.min(axis=0)
    if span[2] <= 0.35 * min(span[0], span[1]):
        return "z"
    for along, other in ((2, 1), (1, 2)):
        across = span[0], span[other]
        if span[along] >= 2.2 * max(across):
            lies = max(across) > _SQUARE * min(across) and _footprint(x, other) > _FLAT
            return AXES[other if lies else along]
    # one point per cell, as vertices of meshes are denser where the mesh is finer
    cell = np.floor((x - x.min(axis=0)) * (24 / float(span.max()) if span.max() > 0 else 0.0)).astype(np.int64)
    x = x[np.unique(cell, axis=0, return_index=True)[1]]
    return "y" if _firmness(x, 1) > _firmness(x, 2) + 0.08 else "z"


def _foot(x: Array, axis: int) -> tuple[Array, Array]:
    """The other two coordinates of the lowest 6 % along an axis, and the share of the cloud's that each spans."""
    across = [a for a in range(3) if a != axis]
    low = x[:, axis].min()
    foot = x[x[:, axis] <= low + 0.06 * (x[:, axis].max() - low)][:, across]
    return foot, np.ptp(foot, axis=0) / (np.ptp(x[:, across], axis=0) + 1e-300)


def _footprint(x: Array, axis: int) -> float:
    """Share of the cloud's outline, seen along an axis, that the box of its lowest points fills."""
    return float(_foot(x, axis)[1].prod())


def _firmness(x: Array, axis: int) -> float:
    """How firmly the cloud stands along an axis: 1 if its mass is above the middle of a broad footprint."""
    across = [a for a in range(3) if a != axis]
    foot, broad = _foot(x, axis)
    centre = (x[:, across].mean(axis=0) - foot.min(axis=0)) / (foot.max(axis=0) - foot.min(axis=0) + 1e-300)
    over = float(np.clip(1 - 2 * np.abs(centre - 0.5), -1, 1).min())
    return over * math.sqrt(float(broad.prod()))

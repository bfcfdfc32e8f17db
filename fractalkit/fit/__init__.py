"""Inverse problems: from data to codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fractalkit.lazy import attach, make_callable

if TYPE_CHECKING:
    from fractalkit.fit.choice import encode_best
    from fractalkit.fit.cloud import fit_cloud
    from fractalkit.fit.cloud_collage import fit_cloud_collage
    from fractalkit.fit.cloud_style import copies_of_whole, fit_cloud_style
    from fractalkit.fit.copies import encode_copies
    from fractalkit.fit.enlargement import enlarge, enlarged_rows
    from fractalkit.fit.foreground import Foreground, foreground_of
    from fractalkit.fit.image import fit_image, measure_distance
    from fractalkit.fit.method import fit_attractor
    from fractalkit.fit.metrics import Comparison, collage_bound, compare_clouds, density_distance, sampling_floor
    from fractalkit.fit.picture import fit_picture
    from fractalkit.fit.quadtree import Effort, encode
    from fractalkit.fit.restore import denoise, inpaint, noise_level
    from fractalkit.fit.tiling import Style, fractalize

__all__ = [
    "Comparison", "Effort", "Foreground", "Style", "collage_bound", "compare_clouds", "copies_of_whole", "denoise",
    "density_distance", "encode", "encode_best", "encode_copies", "enlarge", "enlarged_rows", "fit_attractor",
    "fit_cloud", "fit_cloud_collage", "fit_cloud_style", "fit_image", "fit_picture", "foreground_of", "fractalize",
    "inpaint", "measure_distance", "noise_level", "sampling_floor",
]  # fmt: skip

# each fit compiles its own kernels with Numba
_HOMES = {
    "Comparison": ".metrics", "Effort": ".quadtree", "Style": ".tiling", "collage_bound": ".metrics",
    "Foreground": ".foreground", "compare_clouds": ".metrics", "copies_of_whole": ".cloud_style",
    "denoise": ".restore", "density_distance": ".metrics",
    "encode": ".quadtree", "encode_best": ".choice", "encode_copies": ".copies", "enlarge": ".enlargement",
    "enlarged_rows": ".enlargement", "fit_attractor": ".method", "fit_cloud": ".cloud",
    "fit_cloud_collage": ".cloud_collage", "fit_cloud_style": ".cloud_style", "fit_image": ".image",
    "fit_picture": ".picture", "foreground_of": ".foreground", "fractalize": ".tiling", "inpaint": ".restore",
    "measure_distance": ".image",
    "noise_level": ".restore", "sampling_floor": ".metrics",
}  # fmt: skip
__getattr__, __dir__ = attach(__name__, _HOMES)
make_callable(__name__, "fractalkit.api", "fit")  # fractalkit.fit(cloud)

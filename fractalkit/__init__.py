"""FractalKit: data as the fixed point of a contractive map.

The map is what is stored; its fixed point is what is shown. Data flows one way:
codes -> maps -> solve -> render and files. See :mod:`fractalkit.core` for the one abstraction.

>>> import fractalkit
>>> fern = fractalkit.preset("barnsley-fern")  # or fractalkit.load("found.ifs.json")
>>> fractalkit.sample(fern, 1000, seed=1).shape
torch.Size([1000, 2])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fractalkit.lazy import attach

if TYPE_CHECKING:
    from fractalkit import fit, render
    from fractalkit.api import animate, compress, decompress, enlarge, fractalize, open, sample, save
    from fractalkit.codes import AffineIFS, load, preset
    from fractalkit.core import IteratedMap, solve
    from fractalkit.fit import fit_cloud
    from fractalkit.maps import load_variations, register_map, register_variation
    from fractalkit.models import register_model
    from fractalkit.raster.picture import Picture

__version__ = "0.2.0"
__all__ = [
    "AffineIFS", "IteratedMap", "Picture", "__version__",
    "animate", "compress", "decompress", "enlarge", "fit", "fit_cloud", "fractalize",
    "load", "load_variations", "open", "preset", "register_map", "register_model", "register_variation", "render",
    "sample", "save", "solve",
]  # fmt: skip

# fit and render are packages that can be called: fractalkit.render(fern) draws
_HOMES = {
    "AffineIFS": ".codes", "IteratedMap": ".core", "Picture": ".raster.picture",
    "animate": ".api", "compress": ".api", "decompress": ".api", "enlarge": ".api",
    "fit": ".fit:", "fit_cloud": ".fit", "fractalize": ".api", "load": ".codes", "load_variations": ".maps",
    "open": ".api", "preset": ".codes", "register_map": ".maps", "register_model": ".models",
    "register_variation": ".maps", "render": ".render:", "sample": ".api",
    "save": ".api", "solve": ".core",
    # packages, so that fractalkit.codes.Flame needs no import of its own
    "codes": ".codes:", "core": ".core:", "data": ".data:", "maps": ".maps:", "models": ".models:", "orbit": ".orbit:",
    "train": ".train:",
}  # fmt: skip
__getattr__, __dir__ = attach(__name__, _HOMES)

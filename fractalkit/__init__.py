"""FractalKit: data as the fixed point of a contractive map.

The map is what is stored; its fixed point is what is shown. Data flows one way:
codes -> maps -> solve -> render and files. See :mod:`fractalkit.core` for the one abstraction.
"""

__version__ = "0.1.0"

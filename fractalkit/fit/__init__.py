"""From data to codes: the inverse problem."""

from fractalkit.fit.cloud import collage_bound, fit_cloud
from fractalkit.fit.metrics import Comparison, compare_clouds, sampling_floor

__all__ = ["Comparison", "collage_bound", "compare_clouds", "fit_cloud", "sampling_floor"]

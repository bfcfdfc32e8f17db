"""Notebooks, scripts that make the package's weights, and benchmarks."""

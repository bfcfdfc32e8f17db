"""Recipes: what to cook with FractalKit, and the benchmarks that its figures come from."""

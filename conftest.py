"""Doctests are collected from every module; those that need a package of CUDA machines are left out elsewhere."""

import importlib.util

collect_ignore = [] if importlib.util.find_spec("triton") else ["fractalkit/orbit/triton_cuda.py"]

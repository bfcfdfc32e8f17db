"""Orbits on a GPU by WebGPU, on cards of every maker, and the same shaders for the browser (extra ``gpu``)."""

"""Benchmarks. Each prints a table and writes its figures and a description of the machine as JSON."""

"""Pixels: averages over areas, bases of cosines, colour spaces, sizes and windows."""

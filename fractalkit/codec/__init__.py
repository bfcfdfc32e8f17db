"""Codes to bytes and back: the container, the entropy coder, and the syntax of each codec."""

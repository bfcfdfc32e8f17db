"""Networks that emit codes: what they return is a map's code, and its fixed point is the picture."""

"""Write a point cloud as a GLB file (binary glTF 2.0), for viewers in browsers."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fractalkit.files import atomic_path

_FLOAT, _UNSIGNED_BYTE, _ARRAY_BUFFER, _POINTS = 5126, 5121, 34962, 0


def save_points_glb(path: str | Path, points: npt.ArrayLike, colours: npt.ArrayLike) -> None:
    """Write points ``[N, 2 or 3]``, z up, with sRGB colours uint8 ``[N, 3]``, as one primitive of mode POINTS.

    glTF has y up and linear colours, so axes and colours are converted. The cloud is centred and scaled to a
    diagonal of 2, the size for which viewers choose their distance.
    """
    x = np.asarray(points, dtype=np.float64)
    if x.shape[1] == 2:
        x = np.column_stack([x[:, 0], np.zeros(len(x)), x[:, 1]])  # draw the plane upright
    low, high = x.min(0), x.max(0)
    x = (x - (low + high) / 2) * (2 / max(float(np.linalg.norm(high - low)), 1e-12))
    place = np.column_stack([x[:, 0], x[:, 2], -x[:, 1]]).astype("<f4")
    c = np.asarray(colours, dtype=np.float64) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    rgba = np.column_stack([np.round(linear * 255), np.full(len(c), 255)]).astype(np.uint8)
    binary = place.tobytes() + rgba.tobytes()
    scene = {
        "asset": {"version": "2.0", "generator": "FractalKit"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 1}, "material": 0, "mode": _POINTS}]}],
        "materials": [{"extensions": {"KHR_materials_unlit": {}}}],
        "buffers": [{"byteLength": len(binary)}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": place.nbytes, "target": _ARRAY_BUFFER},
            {"buffer": 0, "byteOffset": place.nbytes, "byteLength": rgba.nbytes, "target": _ARRAY_BUFFER},
        ],
        "accessors": [
            {
                "bufferView": 0, "componentType": _FLOAT, "count": len(x), "type": "VEC3",
                "min": [float(v) for v in place.min(0)], "max": [float(v) for v in place.max(0)],
            },
            {"bufferView": 1, "componentType": _UNSIGNED_BYTE, "normalized": True, "count": len(x), "type": "VEC4"},
        ],
    }  # fmt: skip
    text = json.dumps(scene, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(binary)))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", len(binary), b"BIN\0") + binary)

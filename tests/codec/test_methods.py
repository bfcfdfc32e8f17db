"""Methods of compression: their objects exist, and a new one is a module and an entry."""

import inspect
import sys
from types import SimpleNamespace

import numpy as np

from fractalkit import fk
from fractalkit.codec import container
from fractalkit.codec.methods import CODECS, METHODS, Method
from fractalkit.lazy import resolve


def test_the_numbers_of_files_never_change():
    assert CODECS == {1: "quadtree", 2: "neural", 3: "coin", 4: "cloud", 5: "lossless"}


def test_every_method_has_its_code_and_encoder():
    for method in METHODS.values():
        code, encoder = resolve(method.code), resolve(method.encoder)
        assert callable(code.from_bytes) and callable(code.to_bytes)
        known = set(inspect.signature(encoder).parameters)
        assert {*method.options, *method.fixed, "metadata"} <= known, encoder


def test_a_new_method_is_a_module_and_an_entry(monkeypatch):
    class Raw:
        """Samples as they are."""

        def __init__(self, image):
            self.image = image

        def to_bytes(self):
            header = container.Header("raw", *self.image.shape[:2], 1, 8, b"")
            return container.write(header, [self.image.tobytes()])

        @classmethod
        def from_bytes(cls, data, name, *, max_pixels, partial):
            header, (segment,) = container.read(data, name, max_pixels=max_pixels, partial=partial)
            return cls(np.frombuffer(segment, np.uint8).reshape(header.height, header.width))

    def encode_raw(image, *, metadata=None, level=1):
        return Raw(image // level)

    monkeypatch.setitem(sys.modules, "fractalkit.codec.raw", SimpleNamespace(Raw=Raw, encode_raw=encode_raw))
    new = Method(200, "fractalkit.codec.raw:Raw", "fractalkit.codec.raw:encode_raw", ("level",))
    monkeypatch.setitem(METHODS, "raw", new)
    monkeypatch.setitem(CODECS, 200, "raw")
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    data = fk.encode(image, method="raw", level=2).to_bytes()
    assert np.array_equal(fk.load(data).image, image // 2)

"""What the verbs at the top level say of sources that hold no picture, cloud or code."""

import io

import numpy as np
import pytest
import torch

import fractalkit
from fractalkit.errors import DataError, UsageError


class Gone(io.RawIOBase):
    """A file whose disk is gone."""

    def read(self, size=-1):
        raise OSError("the disk is gone")


def closed():
    f = io.BytesIO(b"x")
    f.close()
    return f


HOSTILE = {
    "rows of two lengths": [[1, 2], [3]],
    "words": ["a", "b"],
    "objects": np.array([[object()] * 3] * 3),
    "fields": np.zeros(3, [("a", "f4")]),
    "dates": np.zeros((3, 3), "M8[s]"),
    "complex": np.zeros((8, 8), complex),
    "without values": torch.zeros(3, 4, 4, device="meta"),
    "sparse": torch.eye(4).to_sparse(),
    "gaps": np.ma.masked_array(np.ones((8, 8)), mask=np.eye(8) > 0),
    "a name too long": "x" * 5000,
    "a closed file": closed(),
    "a lost file": Gone(),
}


@pytest.mark.parametrize("verb", ["open", "fit", "compress", "decompress", "enlarge", "fractalize", "render", "sample"])
def test_hostile_sources_get_a_sentence(verb):
    for what, source in HOSTILE.items():
        with pytest.raises((DataError, UsageError)) as caught:
            getattr(fractalkit, verb)(source)
        assert len(str(caught.value)) < 400 and "\n" not in str(caught.value), what


def test_few_scattered_points_are_fitted_with_many_maps():
    points = np.random.default_rng(1).random((50, 3))
    code = fractalkit.fit(points, maps=13, effort=0, method="ifs", seed=0)
    assert code.matrices.shape == (13, 3, 3)

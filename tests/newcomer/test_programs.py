"""The programs of :mod:`tests.newcomer.programs` run at the first try."""

import numpy as np
import pytest
from PIL import Image

from fractalkit.codes import preset
from fractalkit.data import save_cloud
from fractalkit.orbit import sample
from tests.cli.test_render import FLAME
from tests.newcomer.programs import PROGRAMS
from tests.pictures import scene


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", PROGRAMS)
def test_it_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cloud = sample(preset("sierpinski-tetrahedron"), 300, seed=1).points.numpy()
    save_cloud("cloud.ply", cloud, np.abs(cloud) / np.abs(cloud).max())
    np.savetxt("leaf.csv", sample(preset("maple-leaf"), 400, seed=1).points.numpy(), delimiter=",")
    Image.fromarray(scene(48, 64)).save("photo.jpg")
    (tmp_path / "two.flame").write_text("<flames>" + FLAME + FLAME.replace('name="a"', 'name="b"') + "</flames>")
    program, fact = PROGRAMS[name]
    assert program.strip().count("\n") < 10
    names = {"Image": Image, "__name__": "__main__"}
    exec(compile(program, f"<{name}>", "exec"), names)
    assert eval(fact, names)

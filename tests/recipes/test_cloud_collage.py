"""The benchmark of scans as collages: independent samples, measures of a known attractor, the plot."""

import numpy as np
import pytest

from fractalkit.codes import preset
from fractalkit.data import save_cloud
from fractalkit.orbit import sample
from recipes.benchmarks import cloud_collage


def _cloud(path, n):
    save_cloud(path, sample(preset("sierpinski-tetrahedron"), n, seed=5).points)
    return path


def test_samples_of_a_cloud_share_no_point(tmp_path):
    scan = cloud_collage.read_scan(_cloud(tmp_path / "a.ply", 3001), points=2000)
    parts = [{tuple(p) for p in part} for part in (scan.fitted, scan.test, scan.again)]
    assert [len(p) for p in parts] == [1000] * 3
    assert len(set().union(*parts)) == 3000 and len(scan.fine) == 3001 and scan.surface is None


def test_samples_of_a_mesh_are_drawn_from_its_surface(tmp_path):
    (tmp_path / "a.off").write_text("OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n")
    scan = cloud_collage.read_scan(tmp_path / "a.off", points=500)
    assert scan.surface is not None and len(scan.fine) == cloud_collage.FINE
    assert not {tuple(p) for p in scan.fitted} & {tuple(p) for p in scan.test}
    assert cloud_collage.distance_to(scan, scan.again).max() < 1e-6
    outside = np.array([[-2.0, 0, 0], [0.25, 0.25, -0.5]])
    assert cloud_collage.distance_to(scan, outside) == pytest.approx([2, 0.5], abs=1e-5)


def test_the_true_code_is_at_the_floor_and_another_is_not(tmp_path):
    truth = preset("sierpinski-tetrahedron")
    scan = cloud_collage.read_scan(_cloud(tmp_path / "a.ply", 6000))
    right = cloud_collage.measure(truth, scan)
    assert right["over floor"] == pytest.approx(1, abs=0.05) and right["F"] == pytest.approx(right["F floor"], abs=0.05)
    assert right["hole"] < right["hole of input"] and right["off %"] < right["floor %"]
    wrong = cloud_collage.measure(type(truth)(truth.matrices * 0.9, truth.offsets), scan)
    assert wrong["over floor"] > 1.3 and wrong["hole"] > 1.3 * right["hole"] and wrong["off %"] > 1.3 * right["off %"]


def test_the_plot_has_a_line_for_each_scan(tmp_path):
    rows = [
        {"scan": s, "maps": m, "over floor": 60 / m, "F": 0.9, "largest over floor": 3.0}
        for s in ("bunny", "tree")
        for m in (64, 256)
    ]
    cloud_collage.draw(rows, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000

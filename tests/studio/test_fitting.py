"""Fits with a hand in them: subjects of clouds and pictures, refinement, and maps that are held."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.presets import preset
from fractalkit.errors import DataError
from fractalkit.orbit import sample
from fractalkit.studio.codes import flame_of_code
from fractalkit.studio.fitter import Fitter, Job
from fractalkit.studio.fitting import Hand, maps_of, read_subject, refine, search, subject_of_points, with_maps

CORNERS = np.array([[0.0, 0.0], [0.5, 0.0], [0.2, 0.4]])
TRUE = AffineIFS(np.array([[[0.5, 0.0], [0.0, 0.5]]] * 3), CORNERS)


def cloud(code, name="a.xyz", count=3000):
    text = io.StringIO()
    np.savetxt(text, sample(code, count, seed=1).points.double().numpy())
    return read_subject(text.getvalue().encode(), name)


def pushed(flame, far=0.04):
    a, t, w = maps_of(flame)
    rng = np.random.default_rng(0)
    return with_maps(flame, (a + far * rng.normal(size=a.shape), t + far * rng.normal(size=t.shape), w))


def in_units(subject, code):
    """The code in the units of the subject, whose points are scaled and moved."""
    x = sample(code, 3000, seed=1).points.double().numpy()
    low, high = x.min(0), x.max(0)
    k, c = 2 / np.linalg.norm(high - low), (low + high) / 2
    a = code.matrices.numpy()
    return AffineIFS(a, k * (code.offsets.numpy() + a @ c - c))


def test_refinement_finds_the_maps_again_and_a_pulled_map_is_held():
    subject = cloud(TRUE)
    truth = flame_of_code(in_units(subject, TRUE))
    said = []
    found, agreement = refine(subject, pushed(truth), Hand(), lambda f, a, s: said.append((a, s)))
    assert agreement > 0.9 > said[0][0] and said[-1][1] <= 1
    assert np.abs(maps_of(found)[1] - maps_of(truth)[1]).max() < 0.02
    hand, held, steps = Hand(), pushed(truth, 0.1), []
    hand.give(held, (1,))

    def tell(flame, agreement, share):
        steps.append(maps_of(flame))
        if len(steps) == 6:
            hand.give(None, ())

    refine(subject, truth, hand, tell, steps=3)
    want = maps_of(held)
    assert all(np.allclose(a[1], want[0][1]) and np.allclose(t[1], want[1][1]) for a, t, _ in steps[:5])
    assert not np.allclose(steps[4][1][0], want[1][0]) and not np.allclose(steps[-1][1][1], want[1][1])


def test_maps_of_other_dimensions_are_not_refined():
    solid = flame_of_code(preset("sierpinski-pyramid"))
    with pytest.raises(DataError, match="2 dimensions"):
        refine(cloud(TRUE), solid, Hand(), lambda f, a, s: None)
    with pytest.raises(DataError, match="up to 100"):
        refine(cloud(TRUE), replace(solid, xforms=solid.xforms * 30), Hand(), lambda f, a, s: None)
    hand, flat = Hand(), flame_of_code(in_units(cloud(TRUE), TRUE))
    hand.give(replace(solid, xforms=solid.xforms[:3]), ())  # in a hand they count for nothing
    assert refine(cloud(TRUE), flat, hand, lambda f, a, s: None, steps=2)[1] > 0.5


def test_a_shape_is_refined_by_its_pixels():
    image = Image.new("L", (200, 100), 255)
    ImageDraw.Draw(image).rectangle((20, 20, 179, 79), fill=0)
    data = io.BytesIO()
    image.save(data, "PNG")
    subject = read_subject(data.getvalue(), "a.png")
    facts = subject.facts()
    assert facts["kind"] == "picture" and subject.lit is not None and len(facts["points"]) > 1000
    h = np.abs(subject.points).max(0)
    quarters = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]]) * h / 2
    truth = flame_of_code(AffineIFS(np.array([np.eye(2) / 2] * 4), quarters))
    first = []
    _, agreement = refine(subject, pushed(truth), Hand(), lambda f, a, s: first.append(a))
    assert agreement > 0.93 > first[0]


@pytest.mark.slow
def test_a_shape_is_searched_for_as_a_set():
    image = Image.new("L", (200, 100), 255)
    ImageDraw.Draw(image).polygon([(20, 90), (180, 80), (60, 10)], fill=0)
    data = io.BytesIO()
    image.save(data, "PNG")
    subject, shown = read_subject(data.getvalue(), "b.png"), []
    code = search(subject, "auto", 0, lambda word, share: None, shown.append, effort=0)
    assert code.name == "b" and shown and code.provenance["kind"] == "set" and code.provenance["iou"] > 0.9
    points, drawn = subject.points, sample(code, 3000, seed=1).points.double().numpy()
    assert np.abs(drawn.min(0) - points.min(0)).max() < 0.06 > np.abs(drawn.max(0) - points.max(0)).max()


def test_clouds_in_space_are_refined_too():
    corners = np.array([[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    code = AffineIFS(np.array([np.eye(3) / 2] * 4), corners)
    subject = cloud(code)
    assert subject.facts()["dimension"] == 3
    truth = flame_of_code(in_units(subject, code))
    _, agreement = refine(subject, pushed(truth, 0.03), Hand(), lambda f, a, s: None, steps=12)
    assert agreement > 0.9


def test_coloured_clouds_keep_their_colours():
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.random((50, 3)), rng.integers(0, 255, (50, 3))])
    text = io.StringIO()
    np.savetxt(text, rows, fmt="%.6f %.6f %.6f %d %d %d")
    subject = read_subject(text.getvalue().encode(), "a.xyzrgb")
    assert subject.colours is not None and subject.colours.shape == (50, 3)
    assert np.linalg.norm(np.ptp(subject.points, axis=0)) == pytest.approx(2)


def test_a_fit_in_a_process_of_its_own_shows_its_best_and_is_stopped_and_pulled_at():
    subject, fitter, steps = subject_of_points(sample(TRUE, 800, seed=1).points.double().numpy()), Fitter(), []

    class Stop(Exception):
        pass

    def until_there_is_something(step):
        steps.append(step)
        if step.flame is not None:
            raise Stop

    try:
        with pytest.raises(Stop):
            fitter.run(Job(subject, 3, 0), Hand(), until_there_is_something)
        assert steps[-1].agreement is None and len(steps[-1].flame.xforms) == 3  # while it is searched
        hand, words = Hand(), []

        def pull(step):
            words.append(step.word)
            if step.flame is not None and step.agreement is None and not hand.held:
                hand.give(pushed(flame_of_code(in_units(subject, TRUE)), 0.02), (0,))
            elif step.agreement and hand.held:
                hand.give(None, ())

        done = fitter.run(Job(subject, 3, 0), hand, pull)  # the process that was stopped is replaced
        assert done.agreement > 0.9 and "refines" in words
        with pytest.raises(DataError, match="2 dimensions"):
            fitter.run(Job(subject, flame=flame_of_code(preset("sierpinski-pyramid"))), Hand(), lambda step: None)
    finally:
        fitter.close()

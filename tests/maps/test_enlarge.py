"""Enlargement: one lift is the fixed point, windows are parts of the whole, averages are kept, and loops agree."""

import numpy as np
import pytest
import torch

from fractalkit.codes import EnlargementCode, load
from fractalkit.codes.enlargement import CLASSES
from fractalkit.core import Levels, fixed_point, solve
from fractalkit.errors import DataError, UsageError
from fractalkit.fit.enlargement import enlarge, enlarged_rows, enlargement
from fractalkit.maps import enlarge_cpu as cpu
from fractalkit.maps import enlarge_parts as parts
from fractalkit.maps.convert import to_map
from fractalkit.maps.enlarge import COPIES, NEARBY, EnlargeMap, bounds, project
from tests.pictures import psnr, scene


def picture(height: int, width: int, channels: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.atleast_3d(scene(height, width, channels)).transpose(2, 0, 1).astype(np.float32))


@pytest.mark.parametrize(("detail", "channels"), [(0.0, 3), (1.0, 1), (1.0, 3), (2.0, 3)])
def test_one_lift_is_the_fixed_point_of_the_map_in_torch(detail, channels):
    code = enlargement(picture(30, 37, channels), detail)
    map = EnlargeMap(code, 1, dtype=torch.float64)
    x = solve(map, torch.randn_like(map.start()), tol=1e-6).value
    assert (fixed_point(EnlargeMap(code, 1)).double() - x).abs().max() < 2e-3


@pytest.mark.parametrize("detail", [0.0, 1.0, 1.7])
def test_averages_are_the_picture(detail):
    code = enlargement(picture(34, 29), detail)
    x = fixed_point(to_map(code, (116, 136)))
    assert torch.allclose(torch.nn.functional.avg_pool2d(x, 4), code.picture, atol=1e-3)


@pytest.mark.parametrize("box", [(0, 0, 50, 41), (301, 200, 420, 333), (460, 470, 600, 520), (0, 0, 600, 520)])
def test_windows_are_parts_of_the_whole(box):
    code = enlargement(picture(130, 150))
    left, top, right, bottom = box
    whole, part = fixed_point(EnlargeMap(code, 2)), fixed_point(EnlargeMap(code, 2), box)
    assert (whole[:, top:bottom, left:right] - part).abs().max() < 0.02


def test_a_window_reads_a_margin_of_the_level_below_only():
    map = EnlargeMap(enlargement(picture(300, 300)), 1)
    (_, (left, top, right, bottom)), *_ = map.needs((260, 300, 264, 304))
    assert right - left < 130 and bottom - top < 130
    assert Levels().at(map, (260, 300, 264, 304)).shape == (3, 4, 4)


def test_detail_brings_back_some_of_what_was_averaged_away():
    rng = np.random.default_rng(5)
    y, x = np.indices((960, 960)) / 4
    fine = np.full((960, 960), 128.0)
    for _ in range(40):
        cy, cx, r = rng.uniform(0, 240), rng.uniform(0, 240), rng.uniform(6, 50)
        fine[np.hypot(y - cy, x - cx) < r] = rng.uniform(0, 255)
    fine = fine.reshape(240, 4, 240, 4).mean((1, 3)).round().astype(np.uint8)
    small = fine.reshape(120, 2, 120, 2).mean((1, 3)).round().astype(np.uint8)
    plain, likely = (psnr(fine, enlarge(small, 240, detail=d)) for d in (0, 1))
    assert likely > plain + 0.3


def test_detail_moves_on_from_the_base():
    small = scene(60, 80)
    base = enlarge(small, 120, detail=0).astype(float)
    far = [np.abs(enlarge(small, 120, detail=d) - base).mean() for d in (0.5, 1, 1.5, 2)]
    assert 0.1 < far[0] < far[1] < far[2] < far[3]


def test_values_stay_near_their_neighbourhood_and_in_range():
    code = enlargement(picture(60, 80), 2.0)
    x = fixed_point(EnlargeMap(code, 1))
    low, high = (v.repeat_interleave(2, 1).repeat_interleave(2, 2) for v in bounds(code.picture))
    assert ((x <= high + 1e-3) & (x >= low - 1e-3)).all() and x.min() >= 0 and x.max() <= 255
    assert ((x - low) < 1e-3).any() and ((high - x) < 1e-3).any()


def test_projection_keeps_averages_and_is_the_nearest():
    y = picture(9, 11)
    x = y.repeat_interleave(2, 1).repeat_interleave(2, 2) + 60 * torch.randn(3, 18, 22)
    x = x.double()
    made = project(x, y.double())
    low, high = (v.double() for v in bounds(y))
    assert torch.allclose(torch.nn.functional.avg_pool2d(made, 2), y.double(), atol=1e-9)
    # Karush, Kuhn and Tucker: values off the bounds of their pixel have moved by the same amount
    moved = (made - x).view(3, 9, 2, 11, 2).permute(0, 1, 3, 2, 4).reshape(3, 9, 11, 4)
    at = made.view(3, 9, 2, 11, 2).permute(0, 1, 3, 2, 4).reshape(3, 9, 11, 4)
    free = (at > low[..., None] + 1e-9) & (at < high[..., None] - 1e-9)
    lifted, lowered = moved.masked_fill(~free, -torch.inf).amax(-1), moved.masked_fill(~free, torch.inf).amin(-1)
    assert (lifted - lowered)[free.any(-1)].max() < 1e-9
    assert ((at >= low[..., None] - 1e-9) & (at <= high[..., None] + 1e-9)).all()
    compiled = x.float().numpy()
    cpu.project(compiled, y.numpy(), low.float().numpy(), high.float().numpy())
    assert np.allclose(compiled, made, atol=1e-3)


def test_search_finds_the_best_domains():
    y = parts.luma(picture(26, 31))
    p = parts.pooled(y)
    shape = (26, 31, COPIES)
    place, contrast, weight = np.zeros(shape, np.int32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    f = np.float32
    cpu.search(y.numpy(), p.numpy(), 0, 0, 26, 31, NEARBY, f(0), f(4), f(0.1), f(30), f(1), place, contrast, weight)
    wide = torch.nn.functional.pad(y[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    for i, j in ((0, 0), (12, 20), (25, 30), (7, 30)):
        r = (wide[i : i + 3, j : j + 3] - wide[i : i + 3, j : j + 3].mean()).double()
        found = []
        for a in range(max(i - NEARBY, 2), min(i + NEARBY, 22) + 1):
            for b in range(max(j - NEARBY, 2), min(j + NEARBY, 27) + 1):
                d = p[a - 2 : a + 3 : 2, b - 2 : b + 3 : 2].double()
                d = d - d.mean()
                s = ((r * d).sum() / (d.square().sum() + 30)).clamp(0, 1)
                found.append((float((r - s * d).square().sum()), a * 30 + b, float(s)))
        found.sort()
        errors = {at: e for e, at, _ in found}
        assert [errors[at] for at in place[i, j].tolist()] == pytest.approx([e for e, *_ in found[:COPIES]], rel=1e-3)
        assert contrast[i, j, 0] == pytest.approx(found[0][2], abs=1e-3)


def test_details_of_domains_agree_and_sum_to_zero():
    x = picture(21, 18)
    plain = parts.details(x)
    assert np.allclose(cpu.details(x.numpy()).transpose(2, 0, 1, 3), plain, atol=1e-3)
    assert plain.sum(-1).abs().max() < 1e-3


def test_classes_turn_with_the_picture():
    from fractalkit.codes.enlargement import ANGLES

    y = parts.luma(picture(40, 40)).double()
    here, turned = parts.classes(y, 1), parts.classes(torch.rot90(y), 1)
    angle, other = here % ANGLES, torch.rot90(turned, -1) % ANGLES
    assert ((angle + ANGLES // 2) % ANGLES == other).double().mean() > 0.99


def test_filters_of_a_turned_picture_predict_the_turned_detail():
    x = picture(64, 64, 1)
    a = fixed_point(EnlargeMap(enlargement(x), 1))
    b = fixed_point(EnlargeMap(enlargement(torch.rot90(x, 1, (1, 2))), 1))
    detail = (a - fixed_point(EnlargeMap(enlargement(x), 1, plain=1))).abs().mean()
    # equal but for ties between copies, and cells of the local filters that begin a pixel later
    assert (torch.rot90(a, 1, (1, 2)) - b).abs().mean() < 0.15 * detail


def test_any_size_and_window_of_samples():
    small = scene(50, 64, 4)
    whole = enlarge(small, 117, 150)
    assert whole.shape == (117, 150, 4) and whole.dtype == np.uint8
    part = enlarge(small, 117, 150, window=(30, 17, 91, 117))
    assert np.abs(whole[17:117, 30:91].astype(int) - part).max() <= 1
    deep = enlarge(scene(20, 30, 1, deep=True), 40)
    assert deep.dtype == np.uint16 and deep.shape == (40, 60)
    assert np.array_equal(enlarge(small, 50), small)
    assert enlarge(small[:3, :5], 24).shape == (24, 40, 4)


def test_strips_join(monkeypatch):
    from fractalkit.fit import enlargement as module

    small = scene(60, 90)
    whole = enlarge(small, 240)
    monkeypatch.setattr(module, "TILE", 100)
    strips = list(enlarged_rows(small, 240))
    assert [len(s) for s in strips] == [100, 100, 40]
    assert np.abs(np.concatenate(strips).astype(int) - whole).max() <= 1


def test_codes_are_saved_and_opened(tmp_path):
    code = enlargement(picture(20, 24), 1.5)
    code.save(tmp_path / "a.safetensors")
    again = load(tmp_path / "a.safetensors")
    assert isinstance(again, EnlargementCode) and again.detail == 1.5 and again.summary()["width"] == 24
    assert torch.equal(again.picture, code.picture) and torch.equal(again.filters, code.filters)
    from fractalkit.tensors import save_tensors

    tensors = {"picture": code.picture.contiguous(), "filters": code.filters[:3].contiguous()}
    save_tensors(
        tmp_path / "b.safetensors", tensors, {"format": "fractalkit-enlargement", "version": "1", "detail": "1"}
    )
    with pytest.raises(DataError, match=r"b\.safetensors: filters"):
        EnlargementCode.load(tmp_path / "b.safetensors")


def test_bad_arguments():
    x = picture(20, 24)
    with pytest.raises(UsageError, match="detail"):
        enlargement(x, 2.5)
    with pytest.raises(UsageError, match="picture"):
        enlargement(x[0])
    with pytest.raises(UsageError, match="size"):
        to_map(enlargement(x), (72, 60))
    with pytest.raises(UsageError, match="at most 256 times"):
        enlarge(scene(8, 8), 9000)
    with pytest.raises(UsageError, match="window"):
        enlarge(scene(8, 8), 16, window=(3, 3, 3, 9))
    assert len(enlargement(x).filters) == CLASSES + 1

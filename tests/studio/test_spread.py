"""Pictures of flames on a cluster: shares of the samples add up to the picture that one machine draws."""

from dataclasses import replace

import numpy as np
import pytest

from fractalkit.render.flame import render_flame
from fractalkit.studio.offers import start
from fractalkit.studio.spread import SHARES, render_over

distributed = pytest.importorskip("distributed")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_shares_on_a_cluster_make_the_picture():
    flame = replace(start("lace"), size=(80, 60), scale=25.0, oversample=1, estimator_radius=0.0)
    said = []
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        made = render_over(flame, 64.0, cluster.scheduler_address, lambda word, share: said.append(share))
    one, two = (render_flame(flame, quality=64.0, threads=1, seed=k) for k in range(2))
    assert made.shape == (60, 80, 3) and said[-1] == 1 and len(said) == SHARES + 1
    assert np.abs(made - one).mean() < 1.3 * np.abs(one - two).mean() + 0.002

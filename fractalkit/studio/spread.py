"""Large pictures of flames on a Dask cluster: workers draw shares of the samples, and the histograms are added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame

SHARES = 16


def share_job(item: dict[str, Any]) -> npt.NDArray[np.float32]:
    """The histogram of one share; an item of :func:`fractalkit.jobs.map_items`, whose flame is given as XML."""
    from fractalkit.codes.flame import read_flames
    from fractalkit.render.flame import Exposure

    exposure = Exposure.empty(read_flames(str(item["flame"]).encode())[0], int(item["seed"]))
    return exposure.expose(float(item["quality"]), batches=1).histogram


def render_over(
    flame: Flame, quality: float, cluster: str, say: Callable[[str, float], None], *, transparent: bool = False
) -> npt.NDArray[np.float32]:
    """Draw a flame over a cluster: display values ``[H, W, 3 or 4]``.

    Raises:
        UsageError: the cluster cannot be reached, or the picture is too large.
        DataError: a share killed its worker several times.
    """
    from fractalkit.codes.flame_xml import to_xml
    from fractalkit.jobs import map_items
    from fractalkit.render.flame import Exposure

    exposure = Exposure.empty(flame)
    text = to_xml([flame])
    items = [{"flame": text, "seed": k + 1, "quality": quality / SHARES} for k in range(SHARES)]
    say("sends it to the cluster", 0.0)
    for done, (_, made) in enumerate(map_items(share_job, items, cluster=cluster)):
        if isinstance(made, BaseException):
            raise made
        exposure.histogram += made
        exposure.quality += quality / SHARES
        say("draws on the cluster", (done + 1) / SHARES)
    return exposure.develop(transparent=transparent)

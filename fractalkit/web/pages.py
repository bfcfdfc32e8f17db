"""The script by which a deep-zoom page draws on a graphics card."""

from __future__ import annotations

import json
from typing import Any

from fractalkit.web.structures import engine_path

_CARD = """<script type="module">
%MODULES%
const wish = new URL(location.href).searchParams.get("gpu"), canvas = document.createElement("canvas");
canvas.width = canvas.height = 64;
try {
  if (wish === "off") throw new Error("as asked");
  const deep = await Deep.create(canvas, %CODE%, { software: wish === "software" });
  const small = document.createElement("canvas").getContext("2d");
  deep.draw(0.5, 0.5, 1, 20);
  small.drawImage(canvas, 0, 0);
  // some browsers without a card of their own give no picture of such a canvas
  if (small.getImageData(0, 0, 64, 64).data.every((v, k) => k % 4 === 3 || v === 0)) throw new Error("nothing to see");
  card = { deep, canvas };
  deep.lost.then(() => { card = null; later(); });
  begin(); // tiles may not be as deep
} catch { card = null; }
</script>
"""


def card_script(source: Any) -> str:
    """The script for a page of :func:`fractalkit.render.viewer.save_viewer`; "" where browsers cannot draw the source.

    With ``?gpu=off`` the page keeps to its tiles; ``?gpu=software`` takes a card that a program plays.

    Args:
        source: windows, of which those of codes of the plane say what a browser needs (``for_browser``).
    """
    code = source.for_browser() if hasattr(source, "for_browser") else None
    if code is None:
        return ""
    texts = [engine_path().with_name(name).read_text(encoding="utf-8") for name in ("engine.js", "deep.js")]
    # one script has no imports, and exports nothing
    lines = [line.removeprefix("export ") for text in texts for line in text.splitlines()]
    modules = "\n".join(line for line in lines if not line.startswith("import "))
    return _CARD.replace("%MODULES%", modules).replace("%CODE%", json.dumps(code))

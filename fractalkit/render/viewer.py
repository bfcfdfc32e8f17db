"""A deep-zoom page: a pyramid of tiles about a point and a viewer, in one HTML file that opens from disk.

Level l consists of tiles of 256 pixels, 2^l across the picture. The first levels are complete. Deeper ones have tiles
near the point only, so the number of tiles grows with the logarithm of the depth.

Where the browser has a graphics card, the page of a code of the plane can draw by itself instead, at any place and
depth (:func:`fractalkit.web.card_script`).
"""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

from fractalkit.errors import UsageError
from fractalkit.files import atomic_path
from fractalkit.render.windows import Zoomable
from fractalkit.render.zoom import rgb

TILE = 256
MAX_TILES = 6000


def tiles(aspect: float, levels: int, whole: int, at: tuple[float, float], near: int = 1) -> list[tuple[int, int, int]]:
    """(level, column, row) of every tile: all tiles below level ``whole``, and those within ``near`` of the point's.

    >>> len(tiles(1.0, 3, 2, (0.5, 0.5), 1))
    14
    """
    out = []
    for level in range(levels):
        n = 1 << level
        rows = math.ceil(n * aspect)
        columns_at, rows_at = min(int(at[0] * n), n - 1), min(int(at[1] * n), rows - 1)
        for row in range(rows) if level < whole else range(max(rows_at - near, 0), min(rows_at + near + 1, rows)):
            first, last = (0, n) if level < whole else (max(columns_at - near, 0), min(columns_at + near + 1, n))
            out += [(level, column, row) for column in range(first, last)]
    return out


def save_viewer(
    source: Zoomable, path: Path, *, at: tuple[float, float], depth: float, whole: int = 4, near: int = 2,
    title: str = "", note: str = "", card: str = "", progress: Callable[[str, float], None] | None = None,
) -> int:  # fmt: skip
    """Write the page, and return the number of tiles.

    Args:
        at: the point to zoom into, in shares of the picture's width.
        depth: approximate magnification of the last level.
        whole: number of complete levels.
        near: number of tiles on each side of the point's tile on deeper levels.
        title, note: texts of the page.
        card: a script by which it draws on a graphics card: :func:`fractalkit.web.card_script`.

    Raises:
        UsageError: more than :data:`MAX_TILES` tiles.
    """
    from PIL import Image

    levels = max(whole, math.ceil(math.log2(max(depth, 1))) + 1)
    wanted = tiles(source.aspect, levels, whole, at, near)
    if len(wanted) > MAX_TILES:
        raise UsageError(f"--depth or --levels: {len(wanted):,} tiles, more than {MAX_TILES:,}; lower one of them")
    data = {}
    for k, (level, column, row) in enumerate(wanted):
        n = 1 << level
        # tiles end at the picture's lower edge
        high = min((row + 1) / n, source.aspect)
        height = max(1, round((high - row / n) * n * TILE))
        pixels = rgb(source.window(column / n, row / n, (column + 1) / n, high, TILE, height))
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=88, optimize=True)
        data[f"{level}/{column}/{row}"] = base64.b64encode(buffer.getvalue()).decode()
        if progress is not None:
            progress("draw", (k + 1) / len(wanted))
    page = (
        _PAGE.replace("%TITLE%", html.escape(title or path.stem))
        .replace("%NOTE%", html.escape(note))
        .replace("%SETUP%", json.dumps({"aspect": source.aspect, "levels": levels, "at": list(at), "tile": TILE}))
        .replace("%TILES%", json.dumps(data))
        .replace("%CARD%", card)
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return len(wanted)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>%TITLE%</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
html, body { margin: 0; height: 100%; background: #0b0d10; overflow: hidden; font: 13px system-ui, sans-serif; }
canvas { display: block; width: 100vw; height: 100vh; cursor: grab; touch-action: none; }
#bar { position: fixed; left: 12px; bottom: 12px; color: #dde3ea; background: #10141acc; padding: 6px 10px;
       border-radius: 8px; }
#bar button { background: #263140; color: inherit; border: 0; border-radius: 5px; padding: 3px 9px; margin-right: 6px;
       font: inherit; cursor: pointer; }
#note { position: fixed; right: 12px; bottom: 12px; color: #8fa0b3; max-width: 60vw; text-align: right; }
</style></head><body>
<canvas id="c"></canvas>
<div id="bar"><button id="home">whole</button><button id="dive">dive</button><span id="m"></span></div>
<div id="note">%NOTE%</div>
<script>
"use strict";
const S = %SETUP%, T = %TILES%, images = new Map();
const c = document.getElementById("c"), g = c.getContext("2d"), m = document.getElementById("m");
let view = {x: 0.5, y: S.aspect / 2, w: 1}, diving = false, waiting = false, card = null, fine = 0;
function image(key) {
  let i = images.get(key);
  if (!i && T[key]) {
    i = new Image(); i.onload = later; i.src = "data:image/jpeg;base64," + T[key]; images.set(key, i);
    if (images.size > 600) { const old = images.keys().next().value; images.delete(old); }
  }
  return i && i.complete && i.naturalWidth ? i : null;
}
function later() { clearTimeout(fine); fine = 0; if (!waiting) { waiting = true; requestAnimationFrame(draw); } }
function fit() { const r = devicePixelRatio || 1; c.width = innerWidth * r; c.height = innerHeight * r; later(); }
function clamp() {
  const least = card ? 1e-12 : 0.25 / Math.pow(2, S.levels - 1);
  const most = Math.max(1, S.aspect * c.width / c.height) * 1.2;
  view.w = Math.min(Math.max(view.w, least), most);
  view.x = Math.min(Math.max(view.x, 0), 1); view.y = Math.min(Math.max(view.y, 0), S.aspect);
}
function draw() {
  waiting = false; clamp();
  if (card) onCard(); else fromTiles();
  m.textContent = "x " + (1 / view.w).toPrecision(4).replace("e+", " e");
  if (diving) step();
}
function onCard() { // few points while it moves, more when it rests
  const k = card.canvas, still = fine < 0;
  if (k.width !== c.width || k.height !== c.height) { k.width = c.width; k.height = c.height; }
  card.deep.draw(view.x, view.y, view.w, still ? 100 : 16);
  g.drawImage(k, 0, 0);
  if (!still && !diving) fine = setTimeout(() => { fine = -1; draw(); }, 150);
}
function fromTiles() {
  const px = c.width / view.w, x0 = view.x - view.w / 2, y0 = view.y - c.height / px / 2;
  g.fillStyle = "#0b0d10"; g.fillRect(0, 0, c.width, c.height);
  const fine = Math.min(S.levels - 1, Math.max(0, Math.ceil(Math.log2(px / S.tile) - 0.2)));
  for (let l = 0; l <= fine; l++) {
    const n = Math.pow(2, l), side = px / n;
    if (side > 64 * Math.max(c.width, c.height) && l < fine - 6) continue;
    const a = Math.max(0, Math.floor(x0 * n)), b = Math.min(n - 1, Math.floor((x0 + view.w) * n));
    const p = Math.max(0, Math.floor(y0 * n)), q = Math.min(Math.ceil(n * S.aspect) - 1,
      Math.floor((y0 + c.height / px) * n));
    for (let j = p; j <= q; j++) for (let i = a; i <= b; i++) {
      const t = image(l + "/" + i + "/" + j);
      if (t) g.drawImage(t, (i / n - x0) * px, (j / n - y0) * px, side + 0.6,
        side * t.naturalHeight / t.naturalWidth + 0.6);
    }
  }
}
function step() {
  const goal = 1 / Math.pow(2, S.levels - 1);
  if (view.w <= goal) { diving = false; return; }
  const f = 0.985, near = 1 - Math.pow(f, 3);
  view.w *= f; view.x += (S.at[0] - view.x) * near; view.y += (S.at[1] - view.y) * near; later();
}
function zoom(f, cx, cy) {
  const px = c.width / view.w, r = devicePixelRatio || 1;
  const x = view.x + (cx * r - c.width / 2) / px, y = view.y + (cy * r - c.height / 2) / px;
  view.w *= f; clamp();
  const now = c.width / view.w;
  view.x = x - (cx * r - c.width / 2) / now; view.y = y - (cy * r - c.height / 2) / now; later();
}
c.addEventListener("wheel", e => { e.preventDefault(); diving = false;
  zoom(Math.exp(Math.sign(e.deltaY) * Math.min(Math.abs(e.deltaY), 100) / 400), e.clientX, e.clientY); },
  {passive: false});
const held = new Map();
c.addEventListener("pointerdown", e => { held.set(e.pointerId, [e.clientX, e.clientY]);
  c.setPointerCapture(e.pointerId); diving = false; });
c.addEventListener("pointermove", e => {
  const old = held.get(e.pointerId); if (!old) return;
  const px = c.width / view.w / (devicePixelRatio || 1);
  if (held.size === 1) { view.x -= (e.clientX - old[0]) / px; view.y -= (e.clientY - old[1]) / px; }
  else { const o = [...held].find(h => h[0] !== e.pointerId)[1];
    const d = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) + 1;
    zoom(d(old, o) / d([e.clientX, e.clientY], o), (o[0] + e.clientX) / 2, (o[1] + e.clientY) / 2); }
  held.set(e.pointerId, [e.clientX, e.clientY]); later(); });
for (const k of ["pointerup", "pointercancel"]) c.addEventListener(k, e => held.delete(e.pointerId));
document.getElementById("home").onclick = () => { diving = false; view = {x: 0.5, y: S.aspect / 2, w: 1}; later(); };
document.getElementById("dive").onclick = () => { diving = !diving; later(); };
addEventListener("resize", fit); fit();
function begin() {
  const start = location.hash.match(/^#([0-9.e+-]+),([0-9.e+-]+),([0-9.e+-]+)$/);
  if (start) view = {x: +start[1], y: +start[2], w: 1 / +start[3]};
  later();
}
begin();
</script>
%CARD%</body></html>
"""

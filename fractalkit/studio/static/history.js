// The history as a strip of pictures: all that was made, the present one marked; a click goes there.

import * as net from "./net.js";
import { el } from "./widgets.js";
import { watch, work } from "./work.js";

const strip = document.querySelector("#strip");
const tiles = new Map();
const SHOWN = 400;

export function toggleHistory(on = strip.hidden) {
  strip.hidden = !on;
  document.querySelector("#history-toggle").setAttribute("aria-pressed", String(on));
  localStorage.setItem("history", on ? "1" : "");
  fill();
}

function fill() {
  if (strip.hidden) return;
  const shown = work.states.slice(-SHOWN);
  for (const state of shown) {
    if (tiles.has(state.id)) continue;
    const time = new Date(state.time * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const tile = el("button", { type: "button", title: `${state.label}, ${time}`, "aria-label": `${state.label}, ${time}` },
      el("img", { src: `history/${state.id}.jpg?${state.time}`, alt: "", loading: "lazy", width: 80, height: 60 }), el("span", {}, state.label));
    tile.addEventListener("click", () => net.send({ type: "go", id: state.id }));
    tiles.set(state.id, tile);
    strip.append(tile);
  }
  while (strip.children.length > SHOWN) strip.firstChild.remove();
  let here = null;
  for (const [id, tile] of tiles) {
    const now = id === work.at;
    tile.setAttribute("aria-current", String(now));
    if (now) here = tile;
  }
  here?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

let soon = 0;
watch((what) => {
  if (what !== "state" && what !== "history") return;
  clearTimeout(soon);
  soon = setTimeout(fill, 150);
});

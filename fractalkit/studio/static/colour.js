// The panel of colours: the palette's stops, ready palettes, and colours from a picture.

import { colourAt, cssGradient, gradient, hex, mapColour, mapKeys, chosenMap, nameOf, oklab, fromOklab } from "./flame.js";
import { paintPalette } from "./maps.js";
import * as net from "./net.js";
import { el, button, section, toast } from "./widgets.js";
import { apply, commit, edit, select, watch, work } from "./work.js";

let stops = null; // of the palette they were last seen to give
let made = "";
let active = 0;
let refresh = () => {};

export function colourPanel() {
  const sheet = el("div", { class: "sheet", id: "colour" });
  watch((what) => {
    if (!work.flame) return;
    if (!sheet.firstChild) build(sheet);
    if (what === "live" || what === "state") refresh();
  });
  return sheet;
}

/** Stops that come close to a palette: where straight lines between them would miss it. */
function stopsOf(palette) {
  const lab = [...Array(256).keys()].map((k) => oklab(colourAt(palette, k / 255)));
  const kept = [0, 255];
  while (kept.length < 12) {
    let worst = 0, at = -1;
    for (let s = 1; s < kept.length; s++) {
      const [i, j] = [kept[s - 1], kept[s]];
      for (let k = i + 1; k < j; k++) {
        const u = (k - i) / (j - i);
        const miss = Math.hypot(...[0, 1, 2].map((c) => lab[k][c] - lab[i][c] - u * (lab[j][c] - lab[i][c])));
        if (miss > worst) [worst, at] = [miss, k];
      }
    }
    if (worst < 0.02) break;
    kept.push(at);
    kept.sort((a, b) => a - b);
  }
  return kept.map((k) => [k / 255, hex(colourAt(palette, k / 255))]);
}

function build(sheet) {
  const bar = el("canvas", { width: 256, height: 1, class: "palette", "aria-hidden": "true" });
  const pins = el("div", { class: "pins" });
  const marks = el("div", { class: "marks" });
  const colour = el("input", { type: "color", "aria-label": "Colour of the stop" });
  const place = el("input", { type: "number", min: "0", max: "100", step: "0.5", "aria-label": "Place of the stop, percent" });
  const remove = button("Remove stop", () => {
    if (stops.length < 3) return;
    stops.splice(active, 1);
    active = Math.max(0, active - 1);
    use("remove a stop");
  }, { class: "small" });
  const put = () => { made = gradient(stops); work.flame.palette = made; };
  const use = (label) => { edit(put); commit(label); };
  refresh = () => {
    if (work.flame.palette !== made) {
      stops = stopsOf(work.flame.palette);
      made = work.flame.palette;
      active = Math.min(active, stops.length - 1);
    }
    paintPalette(bar, work.flame.palette);
    drawPins();
    drawMarks();
    colour.value = stops[active][1];
    if (document.activeElement !== place) place.value = (stops[active][0] * 100).toFixed(1);
  };
  const share = (event) => {
    const box = bar.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
  };
  const drawPins = () => {
    while (pins.children.length > stops.length) pins.lastChild.remove();
    stops.forEach(([t, c], k) => {
      const pin = pins.children[k] ?? pins.appendChild(newPin(k));
      pin.style.left = `${t * 100}%`;
      pin.style.setProperty("--c", c);
      pin.setAttribute("aria-label", `Stop ${k + 1} at ${(t * 100).toFixed(0)} percent, ${c}`);
      pin.setAttribute("aria-pressed", String(k === active));
    });
  };
  const newPin = (k) => {
    const pin = el("button", { type: "button", class: "pin" });
    pin.addEventListener("pointerdown", (event) => { active = k; pin.setPointerCapture(event.pointerId); refresh(); });
    pin.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      const low = k ? stops[k - 1][0] : 0, high = k < stops.length - 1 ? stops[k + 1][0] : 1;
      stops[k][0] = Math.max(low, Math.min(high, share(event)));
      pin.moved = true;
      edit(put);
    });
    pin.addEventListener("pointerup", () => { if (pin.moved) commit("move a stop"); pin.moved = false; });
    pin.addEventListener("focus", () => { active = k; refresh(); });
    pin.addEventListener("dblclick", () => colour.click());
    pin.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.01, ArrowRight: 0.01 }[event.key];
      if (event.key === "Delete") { event.stopPropagation(); remove.click(); }
      if (!step) return;
      event.preventDefault();
      stops[k][0] = Math.max(k ? stops[k - 1][0] : 0, Math.min(k < stops.length - 1 ? stops[k + 1][0] : 1, stops[k][0] + step));
      use("move a stop");
    });
    return pin;
  };
  bar.addEventListener("dblclick", (event) => {
    const t = share(event);
    stops.push([t, hex(colourAt(work.flame.palette, t))]);
    stops.sort((a, b) => a[0] - b[0]);
    active = stops.findIndex(([at]) => at === t);
    use("add a stop");
  });
  colour.addEventListener("input", () => { stops[active][1] = colour.value; edit(put); });
  colour.addEventListener("change", () => commit("colour of a stop"));
  place.addEventListener("change", () => { stops[active][0] = Math.max(0, Math.min(1, Number(place.value) / 100)); stops.sort((a, b) => a[0] - b[0]); use("move a stop"); });
  const drawMarks = () => {
    const keys = mapKeys(work.flame);
    while (marks.children.length > keys.length) marks.lastChild.remove();
    keys.forEach((key, k) => {
      const mark = marks.children[k] ?? marks.appendChild(newMark());
      const map = chosenMap(work.flame, key);
      mark.key = key;
      mark.textContent = nameOf(key);
      mark.style.left = `${Math.max(0, Math.min(1, map.color)) * 100}%`;
      mark.style.setProperty("--c", mapColour(work.flame, map));
      mark.setAttribute("aria-label", `Map ${nameOf(key)} at ${(map.color * 100).toFixed(0)} percent`);
    });
  };
  const newMark = () => {
    const mark = el("button", { type: "button", class: "mark", title: "Drag: where this map takes its colour" });
    mark.addEventListener("pointerdown", (event) => { mark.setPointerCapture(event.pointerId); select(mark.key); });
    mark.addEventListener("pointermove", (event) => { if (event.buttons) { mark.moved = true; edit((f) => { chosenMap(f, mark.key).color = Number(share(event).toFixed(4)); }); } });
    mark.addEventListener("pointerup", () => { if (mark.moved) commit("colour"); mark.moved = false; });
    mark.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.01, ArrowRight: 0.01 }[event.key];
      if (!step) return;
      event.preventDefault();
      edit((f) => { const m = chosenMap(f, mark.key); m.color = Math.max(0, Math.min(1, m.color + step)); });
      commit("colour");
    });
    return mark;
  };
  const whole = (label, change) => button(label, () => apply(label.toLowerCase() + " the palette", (f) => { f.palette = change(entries(f.palette)).join(""); }), { class: "small" });
  const acts = el("div", { class: "buttons" },
    whole("Reverse", (e) => e.reverse()), whole("Shift", (e) => [...e.slice(16), ...e.slice(0, 16)]),
    whole("Hue", (e) => e.map((c) => turn(c, 30))), whole("Lighter", (e) => e.map((c) => lab(c, ([L, a, b]) => [Math.min(1, L * 1.06 + 0.01), a, b]))),
    whole("Darker", (e) => e.map((c) => lab(c, ([L, a, b]) => [L / 1.06, a, b]))), whole("Richer", (e) => e.map((c) => lab(c, ([L, a, b]) => [L, a * 1.15, b * 1.15]))),
    whole("Paler", (e) => e.map((c) => lab(c, ([L, a, b]) => [L, a / 1.15, b / 1.15]))));
  const file = el("input", { type: "file", accept: "image/*", hidden: true, "aria-label": "Picture to take colours from" });
  file.addEventListener("change", async () => { if (file.files[0]) await paletteFrom(file.files[0]); file.value = ""; });
  sheet.append(
    el("div", { class: "block palettebox" }, marks, bar, pins),
    el("div", { class: "row stop" }, colour, place, el("span", { class: "unit" }, "%"), remove),
    el("p", { class: "hint" }, "Drag the pins. Double-click the palette for another one. The numbers above it are the maps: drag them too."),
    acts, el("div", { class: "buttons" }, button("From a picture", () => file.click(), { class: "wide quiet" }), file),
    section("Palettes", gallery()),
  );
}

export async function paletteFrom(file) {
  try {
    const { palette } = await net.post(`palette?name=${encodeURIComponent(file.name)}`, file);
    apply("palette of a picture", (f) => { f.palette = palette; });
  } catch (error) {
    toast(error.message, "bad");
  }
}

const entries = (palette) => palette.match(palette.length === 2048 ? /.{8}/g : /.{6}/g);
const lab = (entry, change) => hex(fromOklab(change(oklab([0, 2, 4].map((i) => parseInt(entry.substr(i, 2), 16)))))).slice(1) + entry.slice(6);
const turn = (entry, degrees) => lab(entry, ([L, a, b]) => {
  const t = (degrees * Math.PI) / 180;
  return [L, a * Math.cos(t) - b * Math.sin(t), a * Math.sin(t) + b * Math.cos(t)];
});

function gallery() {
  const box = el("div", { class: "palettes" });
  let asked = false;
  const fill = async () => {
    if (asked) return;
    asked = true;
    try {
      const list = await net.offer("palettes.json");
      box.replaceChildren(...list.map(({ name, family, colours }) => {
        const tile = el("button", { type: "button", title: `${name} (${family})`, "aria-label": `Palette ${name}` });
        tile.style.background = cssGradient(colours);
        tile.addEventListener("click", () => apply(`palette ${name}`, (f) => { f.palette = colours; }));
        return tile;
      }));
    } catch (error) {
      asked = false;
      toast(error.message, "bad");
    }
  };
  new IntersectionObserver((seen) => { if (seen.some((s) => s.isIntersecting)) fill(); }).observe(box);
  return box;
}

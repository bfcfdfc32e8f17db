// The panel of maps: their list, and of the selected one triangle, variations, colour, post map and xaos.

import { IDENTITY, chosenMap, copy, fromCorners, mapColour, mapKeys, nameOf, plainMap, polar, turned } from "./flame.js";
import { bodyOf, isBody, isSolid, putBody, stretch } from "./solid.js";
import { el, button, icon, iconButton, section, slider } from "./widgets.js";
import { chooseVariation, variationRows } from "./variations.js";
import { apply, chosen, commit, edit, select, watch, work } from "./work.js";

const opened = { Triangle: false, "In space": false, Variations: true, Colour: true, "After the variations": false, "Next map (xaos)": false };
let syncs = [];
let sheet = null;

export function mapsPanel() {
  sheet = el("div", { class: "sheet", id: "maps" });
  watch((what) => {
    if (!work.flame) return;
    if (what === "state" || what === "select") build();
    else if (what === "live") sync();
  });
  return sheet;
}

const sync = () => syncs.forEach((act) => act());
const track = (row) => { syncs.push(row.sync); return row; };
const set = (change) => (value) => change(chosen(), value);

function remember(title, children, extra) {
  const made = section(title, children, { open: opened[title], extra });
  made.addEventListener("toggle", () => { opened[title] = made.open; });
  return made;
}

function build() {
  const top = sheet.parentElement?.scrollTop ?? 0;
  syncs = [];
  const map = chosen();
  sheet.replaceChildren(list());
  if (map) {
    sheet.append(
      head(map), remember("Variations", variations(map)), remember("Colour", colour()), isBody(map) ? remember("In space", body()) : remember("Triangle", triangle("coefs")),
      isBody(map) ? "" : remember("After the variations", post()), typeof work.selected === "number" && work.flame.xforms.length > 1 ? remember("Next map (xaos)", xaos()) : "",
    );
  }
  if (sheet.parentElement) sheet.parentElement.scrollTop = top;
}

// ---- the list

function list() {
  const box = el("div", { class: "maps", role: "listbox", "aria-label": "Maps", "aria-orientation": "horizontal" });
  for (const key of mapKeys(work.flame)) {
    const chip = el("button", { type: "button", class: "chip", role: "option", onclick: () => select(key) }, el("b", {}, nameOf(key)), el("i", {}));
    chip.title = typeof key === "string" ? "Final map: applied to every point that is drawn" : `Map ${nameOf(key)}`;
    chip.setAttribute("aria-label", chip.title);
    const show = () => {
      const map = chosenMap(work.flame, key);
      if (!map) return;
      const most = Math.max(...work.flame.xforms.map((x) => x.weight), 1e-9);
      chip.style.setProperty("--c", mapColour(work.flame, map));
      chip.style.setProperty("--w", String(typeof key === "string" ? 1 : map.weight / most));
      chip.classList.toggle("stretches", stretch(map) !== "");
      chip.classList.toggle("off", map.opacity === 0 || (typeof key === "number" && map.weight === 0));
      chip.setAttribute("aria-selected", String(key === work.selected));
    };
    show();
    syncs.push(show);
    box.append(chip);
  }
  box.append(
    iconButton("plus", "Add a map (A)", addMap, { class: "chip add" }),
    work.flame.finals.length ? "" : button("+F", addFinal, { class: "chip add", title: "Add a final map: applied to every point that is drawn", "aria-label": "Add a final map" }),
  );
  return box;
}

/** Add a map, at a point of the plane or beside the others. */
export function addMap(at) {
  const n = work.flame.xforms.length;
  const mean = work.flame.xforms.reduce((s, x) => s + x.weight, 0) / Math.max(1, n) || 0.5;
  work.selected = n;
  apply("add a map", (flame) => {
    const k = 0.618 * n;
    const made = plainMap({ weight: mean, color: n ? (k % 1) : 0, coefs: [0.5, 0, 0, 0.5, ...(Array.isArray(at) ? at : [0.4 * Math.cos(2.4 * n), 0.4 * Math.sin(2.4 * n)])] });
    if (isSolid(flame)) putBody(made, { o: [0.4 * Math.cos(2.4 * n), 0.4 * Math.sin(2.4 * n), 0.3], columns: [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]] });
    flame.xforms.push(made);
  });
}

function addFinal() {
  work.selected = "f0";
  apply("add a final map", (flame) => { flame.finals.push(plainMap({ weight: 0, color_speed: 0 })); });
}

export function removeMap() {
  const key = work.selected;
  if (typeof key === "number" && work.flame.xforms.length < 2) return;
  work.selected = typeof key === "string" ? 0 : Math.max(0, key - 1);
  apply("remove a map", (flame) => {
    if (typeof key === "string") flame.finals.splice(Number(key.slice(1)), 1);
    else {
      flame.xforms.splice(key, 1);
      for (const x of flame.xforms) if (x.chaos.length > key) x.chaos.splice(key, 1);
      if (!flame.xforms.some((x) => x.weight > 0)) flame.xforms[0].weight = 1;
    }
  });
}

export function doubleMap() {
  const map = copy(chosen()), key = work.selected;
  if (typeof key === "string") return;
  work.selected = work.flame.xforms.length;
  apply("double a map", (flame) => {
    map.coefs = turned(map.coefs, 30);
    flame.xforms.push(map);
  });
}

function head(map) {
  const last = typeof work.selected === "number" && work.flame.xforms.length < 2;
  const row = el("div", { class: "maphead" },
    el("h3", {}, typeof work.selected === "string" ? "Final map" : `Map ${nameOf(work.selected)}`),
    el("div", { class: "group" },
      typeof work.selected === "number" ? iconButton("copy", "Double this map (D)", doubleMap) : "",
      iconButton("bin", "Remove this map (Delete)", removeMap, { disabled: last })));
  const reason = el("p", { class: "reason" });
  syncs.push(() => {
    reason.textContent = stretch(chosen() ?? map);
    reason.hidden = !reason.textContent;
  });
  syncs.at(-1)();
  const parts = [row, reason];
  if (typeof work.selected === "number") {
    parts.push(track(slider({ label: "Weight", min: 0, max: 2, step: 0.01, hard: [0, 1e9], get: () => chosen()?.weight ?? 0, set: set((m, v) => { m.weight = v; }), hint: "How often this map is chosen" })));
  }
  return el("div", { class: "block" }, parts);
}

// ---- sections

function variations(map) {
  const add = button("Add a variation", () => chooseVariation((name, parameters) => {
    apply(`add ${name}`, () => {
      const m = chosen();
      if (m.variations.some(([n]) => n === name)) return;
      if (m.variations.length === 1 && m.variations[0][0] === "linear" && m.variations[0][1] === 1) m.variations[0][1] = 0.5;
      m.variations.push([name, 0.5]);
      for (const [p, v] of Object.entries(parameters)) m.parameters[`${name}_${p}`] ??= v;
    });
  }), { class: "wide quiet" });
  add.prepend(icon("plus"));
  return [...variationRows(map, track), add];
}

function colour() {
  return [
    track(slider({ label: "Colour", min: 0, max: 1, step: 0.005, get: () => chosen()?.color ?? 0, set: set((m, v) => { m.color = v; }), hint: "Place on the palette" })),
    strip(),
    track(slider({ label: "Speed", min: 0, max: 1, step: 0.005, name: "colour speed", get: () => chosen()?.color_speed ?? 0, set: set((m, v) => { m.color_speed = v; }), hint: "How much a point takes on this map's colour" })),
    track(slider({ label: "Opacity", min: 0, max: 1, step: 0.005, hard: [0, 1e6], get: () => chosen()?.opacity ?? 1, set: set((m, v) => { m.opacity = v; }), hint: "How strongly its points are drawn" })),
  ];
}

/** The palette, to pick a map's colour from. */
function strip() {
  const bar = el("canvas", { class: "strip", width: 256, height: 1, "aria-hidden": "true" });
  const pick = (event) => {
    const box = bar.getBoundingClientRect();
    edit(() => { chosen().color = Number(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)).toFixed(4)); });
  };
  bar.addEventListener("pointerdown", (event) => { bar.setPointerCapture(event.pointerId); pick(event); });
  bar.addEventListener("pointermove", (event) => { if (event.buttons) pick(event); });
  bar.addEventListener("pointerup", () => commit("colour"));
  let drawn = "";
  const show = () => {
    if (drawn === work.flame.palette) return;
    drawn = work.flame.palette;
    paintPalette(bar, drawn);
  };
  show();
  syncs.push(show);
  return bar;
}

export function paintPalette(bar, palette) {
  const wide = palette.length === 2048 ? 8 : 6, pen = bar.getContext("2d"), image = pen.createImageData(256, 1);
  for (let k = 0; k < 256; k++) {
    for (let c = 0; c < 3; c++) image.data[4 * k + c] = parseInt(palette.substr(k * wide + 2 * c, 2), 16);
    image.data[4 * k + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
}

function triangle(key) {
  const get = (i) => () => chosen()?.[key][i] ?? 0;
  const put = (i, sign = 1) => set((m, v) => { m[key] = m[key].with(i, sign * v); });
  const polarOf = () => polar(chosen()?.[key] ?? IDENTITY);
  const setPolar = (part) => set((m, v) => {
    const p = { ...polar(m[key]), [part]: v }, rad = Math.PI / 180, [, , , , c, f] = m[key];
    const x = [p.xl * Math.cos(p.xa * rad), -p.xl * Math.sin(p.xa * rad)], y = [p.yl * Math.cos(p.ya * rad), -p.yl * Math.sin(p.ya * rad)];
    m[key] = fromCorners({ o: [c, f], x: [c + x[0], f + x[1]], y: [c + y[0], f + y[1]] });
  });
  const names = key === "post" ? "move the post map" : "move a map";
  const rows = [
    slider({ label: "Right", min: -2, max: 2, step: 0.01, name: names, get: get(4), set: put(4), hint: "Where the origin goes, to the right" }),
    slider({ label: "Up", min: -2, max: 2, step: 0.01, name: names, get: () => -get(5)(), set: put(5, -1), hint: "Where the origin goes, upwards" }),
    slider({ label: "X length", min: 0.01, max: 2, step: 0.01, name: names, get: () => polarOf().xl, set: setPolar("xl") }),
    slider({ label: "X angle", min: -180, max: 180, step: 1, name: names, get: () => polarOf().xa, set: setPolar("xa") }),
    slider({ label: "Y length", min: 0.01, max: 2, step: 0.01, name: names, get: () => polarOf().yl, set: setPolar("yl") }),
    slider({ label: "Y angle", min: -180, max: 180, step: 1, name: names, get: () => polarOf().ya, set: setPolar("ya") }),
  ].map(track);
  const act = (label, change) => button(label, () => apply(label.toLowerCase(), () => { const m = chosen(); m[key] = change(m[key]); }), { class: "small" });
  rows.push(el("div", { class: "buttons" },
    act("Turn 15°", (c) => turned(c, -15)), act("Turn 90°", (c) => turned(c, -90)), act("Larger", (c) => turned(c, 0, 1.1)), act("Smaller", (c) => turned(c, 0, 1 / 1.1)),
    act("Flip", ([a, d, b, e, c, f]) => [-a, -d, b, e, c, f]), act("Reset", () => [...IDENTITY])));
  return rows;
}

/** A map of space as numbers: where the origin and the three axes go, y upwards. */
function body() {
  const flip = (i) => (i === 1 ? -1 : 1);
  const table = el("div", { class: "matrix", role: "group", "aria-label": "The map as numbers" }, el("span", {}), ...["X", "Y", "Z", "O"].map((n) => el("b", {}, n)));
  for (let i = 0; i < 3; i++) {
    const axis = ["right", "far", "up"][i];
    table.append(el("b", {}, axis));
    for (let j = 0; j < 4; j++) {
      const cell = el("input", { type: "number", step: "0.01", "aria-label": `${["X", "Y", "Z", "Origin"][j]}, ${axis}` });
      const sign = flip(i) * (j < 3 ? flip(j) : 1);
      const show = () => {
        const map = chosen();
        if (!map || document.activeElement === cell) return;
        const now = bodyOf(map);
        cell.value = String(Number((sign * (j < 3 ? now.columns[j][i] : now.o[i])).toFixed(4)) + 0);
      };
      cell.addEventListener("change", () => {
        const v = Number(cell.value);
        if (!Number.isFinite(v) || cell.value.trim() === "") return show();
        apply("move a map", () => {
          const now = bodyOf(chosen());
          if (j < 3) now.columns[j][i] = sign * v;
          else now.o[i] = sign * v;
          putBody(chosen(), now);
        });
      });
      syncs.push(show);
      show();
      table.append(cell);
    }
  }
  const scaled = (k) => () => apply(k > 1 ? "larger" : "smaller", () => {
    const now = bodyOf(chosen());
    putBody(chosen(), { ...now, columns: now.columns.map((v) => v.map((x) => x * k)) });
  });
  return [el("p", { class: "hint" }, "Columns are where the axes and the origin go. Drag the ground to walk around, with Shift to move it."), table,
    el("div", { class: "buttons" }, button("Larger", scaled(1.1), { class: "small" }), button("Smaller", scaled(1 / 1.1), { class: "small" }))];
}

function post() {
  return [el("p", { class: "hint" }, "A second affine map, after the variations. The button with two triangles shows it on the picture."), ...triangle("post")];
}

/** Factors of the chance that map j follows map i, as cells that one paints. */
function xaos() {
  const n = work.flame.xforms.length;
  const brief = (v) => String(Number(v.toPrecision(3)));
  let brush = 0;
  const get = (i, j) => work.flame.xforms[i]?.chaos[j] ?? 1;
  const put = (i, j, v) => {
    const x = work.flame.xforms[i];
    while (x.chaos.length < n) x.chaos.push(1);
    x.chaos[j] = v;
  };
  const cells = [];
  const table = el("div", { class: "xaos", style: { gridTemplateColumns: `auto repeat(${n}, minmax(22px, 1fr))` }, role: "group", "aria-label": "Xaos: from row to column" });
  table.append(el("span", { class: "corner" }, "from \\ to"), ...[...Array(n).keys()].map((j) => el("b", {}, String(j + 1))));
  for (let i = 0; i < n; i++) {
    table.append(el("b", {}, String(i + 1)));
    for (let j = 0; j < n; j++) {
      const cell = el("input", { type: "text", inputmode: "decimal", "aria-label": `From map ${i + 1} to map ${j + 1}` });
      const show = () => {
        const v = get(i, j);
        if (document.activeElement !== cell) cell.value = brief(v);
        cell.style.setProperty("--v", String(Math.min(1, v / 2)));
      };
      cell.addEventListener("pointerdown", (event) => {
        if (document.activeElement === cell) return;
        event.preventDefault();
        cell.releasePointerCapture?.(event.pointerId);
        brush = get(i, j) > 0 ? 0 : 1;
        paint();
      });
      const paint = () => edit(() => put(i, j, brush));
      cell.addEventListener("pointerenter", (event) => { if (event.buttons) paint(); });
      cell.addEventListener("dblclick", () => { cell.focus(); cell.select(); });
      cell.addEventListener("change", () => {
        const v = Number(cell.value);
        if (Number.isFinite(v) && v >= 0) { edit(() => put(i, j, v)); commit("xaos"); }
        show();
      });
      cells.push(show);
      show();
      table.append(cell);
    }
  }
  table.addEventListener("pointerup", () => commit("xaos"));
  syncs.push(() => cells.forEach((f) => f()));
  const clear = button("All one", () => apply("xaos", (flame) => flame.xforms.forEach((x) => { x.chaos = []; })), { class: "small" });
  return [el("p", { class: "hint" }, "How often a map follows another. Click or draw over cells for 0 or 1; double-click to type."), table, el("div", { class: "buttons" }, clear)];
}

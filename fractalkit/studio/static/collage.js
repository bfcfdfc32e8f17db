// The panel of collages: a photograph made of itself, or a `.fk` file, with sliders; the stage shows it while it is open.

import * as net from "./net.js";
import { button, el, iconButton, section, toast } from "./widgets.js";

const frame = document.querySelector("#collage");
const canvas = frame.querySelector("canvas");
const pen = canvas.getContext("2d", { alpha: false });
const FIRST = { tiles: 48, texture: 0.5, blend: 0.5, depth: 0, own: 1, turn: 0, flip: 0, detail: -1 };
export const collage = { photo: null, style: null, open: false, look: { x: 0.5, y: 0.5, zoom: 1 }, wish: { ...FIRST }, drawn: 0, undone: [] };
let place = { width: 3, height: 2, left: 0, top: 0 };
let asking = false, again = false, syncs = [];

const stored = () => collage.photo?.kind === "fk";
const deepest = () => (collage.wish.depth && !stored() ? 4 : 16384);

function layout() {
  const box = frame.getBoundingClientRect(), { width: w, height: h } = collage.photo;
  const margin = box.width < 620 ? 0 : 20;
  const k = Math.min((box.width - 2 * margin) / w, (box.height - 2 * margin) / h);
  place = { width: Math.max(16, Math.round(w * k)), height: Math.max(16, Math.round(h * k)) };
  Object.assign(canvas.style, { width: `${place.width}px`, height: `${place.height}px`, left: `${Math.round((box.width - place.width) / 2)}px`, top: `${Math.round((box.height - place.height) / 2)}px` });
}

/** Ask for the picture; while one is on its way, the latest wish waits. */
async function draw() {
  if (!collage.photo || !collage.open) return;
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    layout();
    const dense = Math.min(devicePixelRatio || 1, 1.5), k = Math.min(dense, Math.sqrt(2.4e6 / (place.width * place.height)));
    const { x, y, zoom } = collage.look;
    const size = { width: Math.max(16, Math.floor(place.width * k)), height: Math.max(16, Math.floor(place.height * k)) };
    const asked = new URLSearchParams({ ...collage.wish, ...size, x, y, zoom, style: collage.style?.id ?? 0 });
    const answer = await fetch(`photo/${collage.photo.id}.jpg?${asked}`);
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? "the studio does not answer");
    const image = await createImageBitmap(await answer.blob());
    canvas.width = image.width;
    canvas.height = image.height;
    pen.drawImage(image, 0, 0);
    image.close();
    collage.drawn++;
  } catch (error) {
    toast(error.message, "bad");
  }
  asking = false;
  if (again) {
    again = false;
    draw();
  }
}

export function showCollage(on) {
  collage.open = on;
  frame.hidden = !(on && collage.photo);
  document.body.classList.toggle("collaging", !frame.hidden);
  if (!frame.hidden) draw();
}

export async function collageFile(file, open) {
  toast(`Reading ${file.name} ...`);
  try {
    const photo = await net.post(`photo?name=${encodeURIComponent(file.name)}`, file);
    Object.assign(collage, { photo, style: null, look: { x: 0.5, y: 0.5, zoom: 1 }, wish: { ...FIRST } });
  } catch (error) {
    return toast(error.message, "bad");
  }
  fill();
  open();
  showCollage(true);
}

async function styleFile(file) {
  try {
    const style = await net.post(`photo?name=${encodeURIComponent(file.name)}`, file);
    if (style.kind === "fk") return toast(`${file.name}: is a .fk file; a style is a photograph.`, "bad");
    collage.style = style;
    collage.wish.own = 0.3;
  } catch (error) {
    return toast(error.message, "bad");
  }
  fill();
  draw();
}

// ---- looking around

function moveBy(dx, dy) {
  const { look } = collage;
  const half = 0.5 / look.zoom;
  look.x = Math.max(half, Math.min(1 - half, look.x - dx / (place.width * look.zoom)));
  look.y = Math.max(half, Math.min(1 - half, look.y - dy / (place.height * look.zoom)));
}

function zoomBy(factor, at = [0.5, 0.5]) {
  const { look } = collage, before = look.zoom;
  look.zoom = Math.max(1, Math.min(deepest(), look.zoom * factor));
  look.x += (at[0] - 0.5) * (1 / before - 1 / look.zoom);
  look.y += (at[1] - 0.5) * (1 / before - 1 / look.zoom);
  moveBy(0, 0);
  syncs.forEach((act) => act());
  draw();
}

const shareOf = (x, y) => {
  const box = canvas.getBoundingClientRect();
  return [(x - box.left) / box.width, (y - box.top) / box.height];
};
frame.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), shareOf(event.clientX, event.clientY));
}, { passive: false });
const fingers = new Map();
frame.addEventListener("pointerdown", (event) => {
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
  frame.setPointerCapture(event.pointerId);
});
frame.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const others = [...fingers.entries()].filter(([id]) => id !== event.pointerId).map(([, p]) => p);
  const now = [event.clientX, event.clientY];
  fingers.set(event.pointerId, now);
  moveBy((now[0] - before[0]) / fingers.size, (now[1] - before[1]) / fingers.size);
  if (others.length) {
    const far = (p) => Math.hypot(p[0] - others[0][0], p[1] - others[0][1]) || 1;
    zoomBy(far(now) / far(before), shareOf((now[0] + others[0][0]) / 2, (now[1] + others[0][1]) / 2));
  } else draw();
});
for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, (event) => fingers.delete(event.pointerId));
frame.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
  const zoom = { "+": 1.25, "=": 1.25, "-": 0.8 }[event.key];
  if (!step && !zoom) return;
  event.preventDefault();
  event.stopPropagation();
  if (zoom) zoomBy(zoom);
  else {
    moveBy(...step);
    draw();
  }
});
new ResizeObserver(() => draw()).observe(frame);

// ---- the panel

/** A slider of the collage's own: label, range and number. */
function pull(label, field, { min, max, step = 0.01, whole = false, hint = "" }) {
  const id = `collage-${field}`;
  const range = el("input", { type: "range", min: String(min), max: String(max), step: String(whole ? 1 : step), "aria-label": label, tabindex: "-1" });
  const number = el("input", { type: "number", id, min: String(min), max: String(max), step: String(whole ? 1 : step), inputmode: "decimal" });
  const row = el("div", { class: "slider" }, el("label", { for: id, title: hint || label }, label), range, number);
  const show = () => {
    const v = collage.wish[field];
    range.value = String(v);
    if (document.activeElement !== number) number.value = String(v);
    row.style.setProperty("--at", `${(100 * (v - min)) / (max - min)}%`);
  };
  const set = (v) => {
    if (!Number.isFinite(v)) return show();
    collage.wish[field] = Math.max(min, Math.min(max, whole ? Math.round(v) : v));
    show();
    collage.look.zoom = Math.min(collage.look.zoom, deepest());
    draw();
  };
  range.addEventListener("input", () => set(Number(range.value)));
  number.addEventListener("change", () => set(Number(number.value)));
  syncs.push(show);
  show();
  return row;
}

let sheet = null, choose = null;

export function collagePanel(chooseFile) {
  choose = chooseFile;
  sheet = el("div", { class: "sheet", id: "collage-panel" });
  fill();
  return sheet;
}

function fill() {
  syncs = [];
  const { photo } = collage;
  if (!photo) {
    sheet.replaceChildren(el("div", { class: "block" }, el("h3", {}, "A photograph made of itself"),
      el("p", { class: "hint" }, "Drop a photograph: every tile of it becomes a small copy of the whole, and each of those is made of tiles. Or drop a .fk file to look into it as far as you like."),
      button("Choose a photograph", () => choose(), { class: "strong wide", id: "collage-choose" })));
    return;
  }
  const zoom = el("p", { class: "hint" });
  syncs.push(() => { zoom.textContent = collage.look.zoom > 1 ? `Magnified ${collage.look.zoom < 10 ? collage.look.zoom.toFixed(1) : Math.round(collage.look.zoom)} times` : "Wheel or two fingers look closer"; });
  const head = [el("div", { class: "maphead" }, el("h3", {}, photo.name), iconButton("close", "Take it off", () => { collage.photo = null; fill(); showCollage(collage.open); })),
    el("p", { class: "hint" }, `${photo.width} x ${photo.height} pixels`), zoom,
    el("div", { class: "buttons" }, button("Closer", () => zoomBy(1.6), { class: "small" }), button("Farther", () => zoomBy(1 / 1.6), { class: "small" }), button("Whole", () => { collage.look = { x: 0.5, y: 0.5, zoom: 1 }; zoomBy(1); }, { class: "small" }))];
  sheet.replaceChildren(...head, ...(photo.kind === "fk" ? ofFile() : ofPhoto()), button("Another file", () => choose(), { class: "wide quiet" }));
  syncs.forEach((act) => act());
}

function ofFile() {
  const plain = el("input", { type: "checkbox", checked: collage.wish.detail >= 0, id: "collage-detailed" });
  const amount = pull("Detail", "detail", { min: 0, max: 2, hint: "0 adds none, 1 the likeliest, 2 the richest" });
  const show = () => { amount.hidden = collage.wish.detail < 0; };
  plain.addEventListener("change", () => {
    collage.wish.detail = plain.checked ? 1 : -1;
    syncs.forEach((act) => act());
    show();
    draw();
  });
  show();
  return [el("label", { class: "check" }, plain, el("span", {}, "Detail from the picture's own coarser scales")), amount,
    el("p", { class: "hint" }, "Without it you see the fixed point of the code itself, at any magnification.")];
}

function ofPhoto() {
  const { style } = collage;
  const turn = button("Turn", () => { collage.wish.turn = (collage.wish.turn + 1) % 4; draw(); }, { class: "small" });
  const flip = button("Mirror", () => { collage.wish.flip = 1 - collage.wish.flip; draw(); }, { class: "small" });
  const pick = el("input", { type: "file", hidden: true, accept: "image/*", "aria-label": "Choose a style" });
  pick.addEventListener("change", () => { if (pick.files[0]) styleFile(pick.files[0]); });
  const width = el("input", { type: "number", min: "64", max: "16384", step: "1", value: "6000", "aria-label": "Width" });
  return [
    section("Tiles", [
      pull("Tiles", "tiles", { min: 2, max: 128, whole: true, hint: "Along each side" }), pull("Texture", "texture", { min: 0, max: 0.9, hint: "More shows the tiles, less the picture" }),
      pull("Blend", "blend", { min: 0, max: 1, hint: "0 for flat tiles, 1 for tiles that follow the picture's shades" }), pull("Depth", "depth", { min: 0, max: 4, whole: true, hint: "Tiles within tiles; 0 without end" }),
    ]),
    section("Style", [
      style ? el("p", { class: "hint" }, `The tiles show ${style.name}.`) : el("p", { class: "hint" }, "The tiles show the picture itself. Choose another one for them to show."),
      style ? pull("Itself", "own", { min: 0, max: 2, hint: "Weight of the picture itself beside the style" }) : "",
      el("div", { class: "buttons" }, button(style ? "Another style" : "Choose a style", () => pick.click(), { class: "small", id: "collage-style" }), pick, ...(style ? [turn, flip, button("None", () => { collage.style = null; fill(); draw(); }, { class: "small" })] : [])),
    ]),
    section("Out", [
      el("label", { class: "field" }, el("span", {}, "Width"), width),
      button("Render", () => {
        const w = Math.max(64, Math.min(16384, Math.round(Number(width.value) || 6000)));
        const sent = net.send({ type: "task", work: "collage", photo: collage.photo.id, ...collage.wish, style: collage.style?.id ?? 0, width: w, height: Math.max(64, Math.round((w * collage.photo.height) / collage.photo.width)) });
        toast(sent ? "It is drawn in the background; find it under Out." : "The studio does not answer.", sent ? "" : "bad");
      }, { class: "strong wide", id: "collage-render" }),
    ]),
  ];
}

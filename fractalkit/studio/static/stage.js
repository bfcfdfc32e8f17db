// The stage: the picture, the camera by wheel, drag and fingers, and what is shown until the next picture comes.

import { camera, copy } from "./flame.js";
import { isSolid } from "./solid.js";
import { card, drawOnCard } from "./gpu.js";
import * as net from "./net.js";
import { toast } from "./widgets.js";
import { apply, changed, commit, edit, watch, work } from "./work.js";

const stage = document.querySelector("#stage");
const frame = document.querySelector("#frame");
const canvas = document.querySelector("#picture");
const progress = document.querySelector("#progress");
const pen = canvas.getContext("2d", { alpha: false });
export const place = { left: 0, top: 0, width: 4, height: 3 };
const cameras = new Map(); // of pictures that are on their way, by serial number
let shown = null; // the camera of the picture that is shown
let settle = 0;
export const last = { quality: 0, done: false, live: false, pictures: 0, first: 0 };

/** Where the picture lies on the stage: as large as its shape allows. */
export function layout() {
  if (!work.flame) return;
  const box = stage.getBoundingClientRect();
  const [w, h] = work.flame.settings.size;
  const margin = box.width < 620 ? 0 : 20;
  const k = Math.min((box.width - 2 * margin) / w, (box.height - 2 * margin) / h);
  place.width = Math.max(16, Math.round(w * k));
  place.height = Math.max(16, Math.round(h * k));
  place.left = Math.round((box.width - place.width) / 2);
  place.top = Math.round((box.height - place.height) / 2);
  Object.assign(frame.style, { left: `${place.left}px`, top: `${place.top}px`, width: `${place.width}px`, height: `${place.height}px` });
  const bg = work.flame.settings.background;
  frame.style.background = `rgb(${bg.map((v) => Math.round(255 * Math.max(0, Math.min(1, v)))).join(" ")})`;
}

export const view = () => camera(work.flame, place.width);

/** A point of the page in the plane that the camera sees. */
export function planePoint(event) {
  const box = stage.getBoundingClientRect();
  return view().from([event.clientX - box.left - place.left, event.clientY - box.top - place.top]);
}

export const screen = (point) => {
  const [u, v] = view().to(point);
  return [u + place.left, v + place.top];
};

/** Ask for a picture of the flame as it is. */
export function redraw() {
  if (!work.flame) return;
  clearTimeout(settle);
  const dense = Math.min(window.devicePixelRatio || 1, 1.5);
  const k = Math.min(dense, Math.sqrt(1.6e6 / (place.width * place.height)));
  const wish = {
    flame: copy(work.flame), width: Math.max(16, Math.round(place.width * k)), height: Math.max(16, Math.round(place.height * k)),
    live: work.dragging || work.refining, tag: snapshot(work.flame),
  };
  if (card.engine && work.flame.layers.length === 0) drawOnCard(wish, show);
  else {
    card.drawing = false;
    net.draw(wish);
  }
}

document.addEventListener("cardlost", () => redraw());

const snapshot = ({ settings }) => ({ settings: copy(settings) });

/** Move the picture that is there to where the camera is now. */
function follow() {
  if (!shown || !work.flame) return;
  const now = view(), then = camera(shown, place.width);
  const at = (p) => now.flat(then.from(p));
  const [o, x, y] = [at([0, 0]), at([1, 0]), at([0, 1])];
  const m = [x[0] - o[0], x[1] - o[1], y[0] - o[0], y[1] - o[1], ...o];
  const same = Math.abs(m[0] - 1) < 1e-6 && Math.abs(m[1]) < 1e-6 && Math.hypot(m[4], m[5]) < 0.01;
  canvas.style.transform = same ? "" : `matrix(${m.join(",")})`;
}

net.on("asked", ({ serial, tag }) => {
  cameras.set(serial, tag);
  for (const key of cameras.keys()) if (key < serial - 50) cameras.delete(key);
});

net.on("picture", (picture) => {
  const tag = cameras.get(picture.serial);
  if (tag && !card.drawing) show({ ...picture, tag });
  picture.image.close();
});

function show(picture) {
  if (work.flame && picture.tag.settings.size.join() !== work.flame.settings.size.join()) return;
  const { width, height } = picture.image;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  pen.drawImage(picture.image, 0, 0);
  shown = picture.tag;
  follow();
  tell(picture);
}

function tell(picture) {
  Object.assign(last, { quality: picture.quality, done: picture.done, live: picture.live });
  if (!last.pictures++) last.first = Date.now();
  stage.classList.add("drawn");
  const share = picture.done ? 1 : Math.min(1, Math.log1p(picture.quality) / Math.log1p(card.drawing ? 400 : 120));
  progress.firstElementChild.style.setProperty("--share", String(share));
  progress.lastElementChild.textContent = `${picture.quality < 10 ? picture.quality.toFixed(1) : Math.round(picture.quality)} samples a pixel${card.drawing ? " by the graphics card" : ""}`;
  progress.classList.toggle("done", picture.done && !picture.live);
}

watch((what) => {
  if (!work.flame) return;
  if (what === "state") layout();
  if (what === "live" || what === "state") {
    follow();
    redraw();
  }
});

new ResizeObserver(() => {
  layout();
  follow();
  changed("size");
  clearTimeout(settle);
  settle = setTimeout(redraw, 120);
}).observe(stage);

// ---- the camera

function zoomAt(point, factor) {
  edit((flame) => {
    const s = flame.settings;
    const k = Math.max(1e-6, Math.min(1e6, s.scale * factor)) / s.scale;
    s.scale *= k;
    s.center = s.center.map((c, i) => point[i] + (c - point[i]) / k);
  });
}

let wheelDone = 0;
stage.addEventListener("wheel", (event) => {
  if (!work.flame || event.target.closest("#collage")) return;
  event.preventDefault();
  if (event.shiftKey) edit((f) => { f.settings.rotate = (f.settings.rotate + (event.deltaY || event.deltaX) * 0.05) % 360; });
  else zoomAt(planePoint(event), Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)));
  clearTimeout(wheelDone);
  wheelDone = setTimeout(() => commit(event.shiftKey ? "turn the camera" : "zoom"), 260);
}, { passive: false });

/** Turn the camera about what is in space. */
export function orbit(yaw, pitch) {
  edit(({ settings }) => {
    settings.cam_yaw = Math.atan2(Math.sin(settings.cam_yaw + yaw), Math.cos(settings.cam_yaw + yaw));
    settings.cam_pitch = Math.max(-Math.PI, Math.min(Math.PI, settings.cam_pitch - pitch));
  });
}

const fingers = new Map();
let drag = null;
stage.addEventListener("pointerdown", (event) => {
  if (event.target.closest("#triangles .hit, #hud button, #collage") || event.button > 1 || !work.flame) return;
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
  stage.setPointerCapture(event.pointerId);
  drag = { moved: false, from: grip() };
});

function grip() {
  const points = [...fingers.values()];
  const middle = [0, 1].map((i) => points.reduce((s, p) => s + p[i], 0) / points.length);
  const spread = points.length > 1 ? Math.hypot(points[0][0] - points[1][0], points[0][1] - points[1][1]) : 0;
  const turn = points.length > 1 ? Math.atan2(points[1][1] - points[0][1], points[1][0] - points[0][0]) : 0;
  return { middle, spread, turn };
}

stage.addEventListener("pointermove", (event) => {
  if (!drag || !fingers.has(event.pointerId)) return;
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
  const now = grip(), from = drag.from;
  const move = [now.middle[0] - from.middle[0], now.middle[1] - from.middle[1]];
  if (!drag.moved && Math.hypot(...move) < 3 && fingers.size < 2) return;
  drag.moved = true;
  stage.classList.add("panning");
  if (fingers.size < 2 && !event.shiftKey && isSolid(work.flame)) {
    drag.label = "orbit";
    orbit(move[0] * 0.008, move[1] * 0.008);
  } else {
    const [dx, dy] = view().vector(move);
    edit((flame) => { flame.settings.center = [flame.settings.center[0] - dx, flame.settings.center[1] - dy]; });
  }
  if (fingers.size > 1 && from.spread > 10 && now.spread > 10) {
    zoomAt(planePoint({ clientX: now.middle[0], clientY: now.middle[1] }), now.spread / from.spread);
    edit((flame) => { flame.settings.rotate += ((now.turn - from.turn) * 180) / Math.PI; });
  }
  drag.from = now;
});

function release(event) {
  if (!fingers.delete(event.pointerId)) return;
  if (fingers.size) {
    drag.from = grip();
    return;
  }
  stage.classList.remove("panning");
  if (drag?.moved) commit(drag.label ?? "move the camera");
  drag = null;
}
/** End a drag of the camera, or forget it where nothing moved. */
export function letGo() {
  for (const pointerId of [...fingers.keys()]) release({ pointerId });
}

stage.addEventListener("pointerup", release);
stage.addEventListener("pointercancel", release);

/** Frame what is drawn: the server finds where the samples are. */
export async function frameAll() {
  if (!work.flame) return;
  try {
    const { settings } = await net.post("frame", JSON.stringify(work.flame));
    apply("frame the picture", (flame) => Object.assign(flame.settings, settings));
  } catch (error) {
    toast(error.message, "bad");
  }
}

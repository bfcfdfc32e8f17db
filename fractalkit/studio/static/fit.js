// The panel of fits: what is fitted, drawn over the picture; the search for maps, and refinement while one pulls at them.

import * as net from "./net.js";
import { copy, isAffine } from "./flame.js";
import { place, screen } from "./stage.js";
import { button, el, iconButton, toast } from "./widgets.js";
import { changed, chosen, commit, put, select, watch, work } from "./work.js";

const MOST = 24; // maps
const canvas = document.querySelector("#target");
const pen = canvas.getContext("2d");
export const fit = { subject: null, shown: 0.5, task: 0, key: 0, running: false, agreement: 0, follow: true };
let count = 0; // of maps; 0 lets the fit choose
let begun = false; // whether the maps are refined
let before = null; // the flame that was there before the best maps so far of a search were shown
const watchers = [];
const tell = () => {
  watchers.forEach((act) => act());
  document.body.classList.toggle("searching", searching());
};
const searching = () => fit.running && !begun && !before; // its points are all there is to see

// ---- what is fitted, as dots

let frame = 0;
function paint() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => {
    const box = canvas.parentElement.getBoundingClientRect(), dense = Math.min(devicePixelRatio || 1, 2);
    canvas.hidden = !fit.subject || fit.shown === 0 || !work.flame;
    if (canvas.hidden) return;
    if (canvas.width !== Math.round(box.width * dense) || canvas.height !== Math.round(box.height * dense)) {
      canvas.width = Math.round(box.width * dense);
      canvas.height = Math.round(box.height * dense);
    }
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, box.width, box.height);
    pen.fillStyle = `rgb(140 214 255 / ${fit.shown})`;
    const r = place.width > 1400 ? 2 : 1.4, k = Math.min(place.width, place.height) / 2.3;
    const whole = ([x, y, z]) => [place.left + place.width / 2 + k * x, place.top + place.height / 2 + k * (z === undefined ? y : -z)];
    const at = searching() ? whole : screen;
    for (const point of fit.subject.points) {
      const [u, v] = at(point);
      pen.fillRect(u - r / 2, v - r / 2, r, r);
    }
  });
}
watch(() => paint());

// ---- the search and the refinement

/** Take up a cloud, a mesh or a picture; its maps are searched at once. */
export async function fitFile(file, open) {
  open?.();
  toast(`Reading ${file.name} ...`);
  try {
    fit.subject = await net.post(`subject?name=${encodeURIComponent(file.name)}`, file);
  } catch (error) {
    toast(error.message, "bad");
    return;
  }
  for (const note of fit.subject.notes) toast(note);
  paint();
  find();
}


function find() {
  begun = false;
  restore();
  begin({ maps: count, seed: Math.floor(Math.random() * 2 ** 31), flame: null });
  paint();
}

function refine() {
  if (!fit.subject || fit.running) return;
  const bent = work.flame.xforms.findIndex((x) => !isAffine(x));
  if (bent >= 0) return toast(`Map ${bent + 1} has a variation that is not linear; a fit refines affine maps.`, "bad");
  begun = true;
  begin({ maps: 0, seed: 0, flame: work.flame });
}

function begin(options) {
  if (!fit.subject) return;
  if (fit.running) net.send({ type: "stop", id: fit.task });
  fit.key++;
  fit.running = net.send({ type: "task", work: "fit", key: fit.key, subject: fit.subject.id, ...options });
  fit.word = "waits";
  fit.share = 0;
  if (!fit.running) toast("The studio does not answer.", "bad");
  tell();
}

net.on("task", (task) => {
  if (task.work !== "fit" || task.key !== fit.key) return;
  Object.assign(fit, { task: task.id, word: task.word, share: task.share, running: task.state === "running" || task.state === "waiting" });
  if (task.state === "failed") {
    toast(task.error, "bad");
    restore();
  }
  if (task.result && task.state !== "failed") arrived(task);
  tell();
});

function restore() {
  if (!before) return;
  work.flame = before;
  before = null;
  changed("state");
}

/** The best maps so far; they are no state of the history. */
function preview(found) {
  if (work.dragging) return; // they are in one's hand, and about to be refined
  before ??= copy(work.flame);
  work.flame = copy(found);
  if (!chosen()) work.selected = 0;
  work.refining = true;
  changed("state");
  work.refining = false;
}

function arrived({ result, state, title }) {
  const found = result.flame;
  if (result.agreement === null) {
    if (state !== "stopped") return preview(found);
    if (!before) return;
    before = null;
    put(work.flame, `${title}, so far`); // what was found is kept; undo goes back
    return;
  }
  fit.agreement = result.agreement;
  if (!begun) {
    begun = true;
    before = null;
    if (!work.dragging && !pulled) put(found, title);
    pulled = false;
    return;
  }
  if (found.xforms.length !== work.flame.xforms.length) return;
  for (const [k, map] of found.xforms.entries()) {
    if (work.dragging && k === work.selected) continue; // it is in one's hand
    for (const field of ["coefs", "post", "yz_coefs", "zx_coefs", "yz_post", "zx_post", "weight", "variations"]) work.flame.xforms[k][field] = copy(map[field]);
  }
  if ((state === "done" || state === "stopped") && !work.dragging) commit("refine");
  else {
    work.refining = true;
    changed("live");
    work.refining = false;
  }
}

// ---- the hand

let sent = 0;
let pulled = false; // at a search, whose maps are then refined
watch((what) => {
  if (what === "edit" && fit.running && (begun || before) && performance.now() - sent > 60) {
    pulled = !begun;
    sent = performance.now();
    net.send({ type: "pull", id: fit.task, flame: work.flame, held: typeof work.selected === "number" ? [work.selected] : [] });
  }
  if (what === "committed" && fit.subject && (begun || before)) {
    if (fit.running) net.send({ type: "pull", id: fit.task, flame: work.flame, held: [] });
    else if (fit.follow && work.moved) refine();
  }
});

// ---- the panel

export function fitPanel(choose) {
  const sheet = el("div", { class: "sheet", id: "fit-panel" });
  const empty = el("div", { class: "block" },
    el("h3", {}, "Make a shape a fractal"),
    el("p", { class: "hint" }, "Drop a point cloud, a mesh, or a picture of something on a plain ground: a leaf, a letter, a scan. The studio finds maps that make it of small copies of itself, and you may pull at them while they are refined."),
    button("Choose a file", () => choose(), { class: "strong wide", id: "fit-choose" }));
  const title = el("h3", {}), about = el("p", { class: "hint" });
  const maps = el("select", { "aria-label": "Number of maps", id: "fit-maps" }, el("option", { value: "0" }, "as many as it takes"),
    [...Array(MOST - 1).keys()].map((k) => el("option", { value: String(k + 2) }, `${k + 2}`)));
  maps.addEventListener("change", () => { count = Number(maps.value); });
  const dots = el("input", { type: "range", min: "0", max: "1", step: "0.02", value: String(fit.shown), id: "fit-dots", "aria-label": "Its points" });
  dots.addEventListener("input", () => { fit.shown = Number(dots.value); paint(); });
  const follow = el("input", { type: "checkbox", checked: true });
  follow.addEventListener("change", () => { fit.follow = follow.checked; });
  const bar = el("div", { class: "bar", role: "progressbar", "aria-label": "Fit" }, el("i")), word = el("p", { class: "hint", "aria-live": "polite" });
  const meter = el("div", { class: "meter" }, el("b", {}), el("span", {}));
  const search = button("Find maps", find, { class: "strong wide", id: "fit-find" });
  const go = button("Refine these maps", refine, { class: "wide", id: "fit-refine" });
  const stop = button("Stop", () => net.send({ type: "stop", id: fit.task }), { class: "wide", id: "fit-stop" });
  const full = el("div", {},
    el("div", { class: "maphead" }, title, iconButton("close", "Take it off", () => { if (fit.running) net.send({ type: "stop", id: fit.task }); restore(); fit.subject = null; fit.agreement = 0; paint(); tell(); })),
    about, meter, bar, word,
    el("div", { class: "row" }, el("label", { for: "fit-maps" }, "Maps"), maps), search, go, stop,
    el("label", { class: "check" }, follow, el("span", {}, "Refine after I pull at a map")),
    el("div", { class: "row" }, el("label", { for: "fit-dots" }, "Its points"), dots),
    el("p", { class: "hint" }, "Drag a triangle: that map stays in your hand, and the others follow."),
    button("Another file", () => choose(), { class: "wide quiet" }));
  const show = () => {
    empty.hidden = Boolean(fit.subject);
    full.hidden = !fit.subject;
    if (!fit.subject) return;
    title.textContent = fit.subject.name;
    about.textContent = `${fit.subject.count.toLocaleString("en")} points ${fit.subject.dimension === 3 ? "in space" : fit.subject.kind === "picture" ? "of a picture" : "in the plane"}`;
    meter.children[0].textContent = fit.agreement ? `${(100 * fit.agreement).toFixed(1)} %` : "–";
    meter.children[1].textContent = fit.subject.kind === "picture" && fit.subject.dimension === 2 ? "of the shape's pixels agree" : "of what a sample of the true set would reach";
    bar.hidden = word.hidden = stop.hidden = !fit.running;
    search.disabled = go.disabled = fit.running;
    bar.firstChild.style.width = `${100 * (fit.share ?? 0)}%`;
    word.textContent = fit.running ? `${fit.word}, ${Math.round(100 * (fit.share ?? 0))} %` : "";
  };
  watchers.push(show);
  show();
  sheet.append(empty, full);
  sheet.shown = () => { net.send({ type: "warm" }); if (typeof work.selected !== "number") select(0); };
  return sheet;
}

// The studio's page: panels, keys, files, and what happens when the server goes and comes.

import * as net from "./net.js";
import { breedPanel } from "./breed.js";
import { collage, collageFile, collagePanel, showCollage } from "./collage.js";
import { fit, fitFile, fitPanel } from "./fit.js";
import { card, takeCard } from "./gpu.js";
import { colourPanel, paletteFrom } from "./colour.js";
import { toggleHistory } from "./history.js";
import { lookPanel } from "./look.js";
import "./menu.js";
import { addMap, doubleMap, mapsPanel, removeMap } from "./maps.js";
import { copyText, openData, outPanel, saveFlame } from "./out.js";
import { frameAll, last, layout, redraw } from "./stage.js";
import { showHelp, showStarts } from "./starts.js";
import { nudge, paint, show } from "./triangles.js";
import { dialog, el, toast } from "./widgets.js";
import { apply, chosen, select, watch, work } from "./work.js";
import { mapKeys } from "./flame.js";

const $ = (selector) => document.querySelector(selector);

// ---- panels

const panels = {
  Maps: mapsPanel(), Colour: colourPanel(), Look: lookPanel(), Breed: breedPanel(), Fit: fitPanel(() => chooseFor("fit")), Collage: collagePanel(() => chooseFor("collage")), Out: outPanel(),
};
const tabs = new Map();
for (const [name, panel] of Object.entries(panels)) {
  const tab = el("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": panel.id, onclick: () => open(name) }, name);
  panel.setAttribute("role", "tabpanel");
  panel.setAttribute("aria-labelledby", tab.id);
  panel.hidden = true;
  tabs.set(name, tab);
  $("#tabs").append(tab);
  $("#sheets").append(panel);
}
$("#tabs").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  const names = [...tabs.keys()], now = names.findIndex((n) => tabs.get(n) === document.activeElement);
  const next = names[(now + step + names.length) % names.length];
  open(next);
  tabs.get(next).focus();
});

function open(name) {
  for (const [other, tab] of tabs) {
    const on = other === name;
    tab.setAttribute("aria-selected", String(on));
    tab.tabIndex = on ? 0 : -1;
    panels[other].hidden = !on;
  }
  $("#sheets").scrollTop = 0;
  showCollage(name === "Collage");
  panels[name].shown?.();
}
open("Maps");

// ---- the bar

const name = $("#name");
name.addEventListener("change", () => apply("name", (flame) => { flame.settings.name = name.value.trim(); }));
$("#undo").addEventListener("click", () => net.send({ type: "undo" }));
$("#redo").addEventListener("click", () => net.send({ type: "redo" }));
$("#history-toggle").addEventListener("click", () => toggleHistory());
$("#new").addEventListener("click", () => showStarts());
$("#help").addEventListener("click", showHelp);
$("#open").addEventListener("click", () => $("#file").click());
$("#save").addEventListener("click", () => saveFlame());
$("#file").addEventListener("change", async (event) => {
  const file = event.target.files[0];
  event.target.value = "";
  const use = wanted;
  wanted = "";
  if (file && use) USES[use](file);
  else if (file) await openFile(file);
});
$("#theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "light" ? "dark" : "light"));

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
}
setTheme(localStorage.getItem("theme") ?? "dark");

watch((what) => {
  if (!work.flame) return;
  if (document.activeElement !== name) name.value = work.flame.settings.name;
  document.title = `${work.flame.settings.name || "untitled"} · FractalKit studio`;
  $("#undo").disabled = !work.undo;
  $("#redo").disabled = !work.redo;
  document.body.dataset.what = what;
});

// ---- the canvas's buttons

const pressed = (button, on) => button.setAttribute("aria-pressed", String(on));
const isPressed = (button) => button.getAttribute("aria-pressed") === "true";
function toggle(id, act) {
  const button = $(id);
  const run = () => { const on = !isPressed(button); pressed(button, on); act(on); };
  button.addEventListener("click", run);
  return run;
}
const toggleShow = toggle("#show", (on) => show(on));
const togglePost = toggle("#post", (on) => { work.post = on; paint(); });
const toggleSnap = toggle("#snap", (on) => { work.snap = on; });
$("#fit").addEventListener("click", () => frameAll());

// ---- keys

const keys = {
  t: toggleShow, p: togglePost, g: toggleSnap, f: () => frameAll(), h: () => toggleHistory(), a: addMap, d: doubleMap, "?": showHelp, Delete: removeMap, Backspace: removeMap,
  "[": () => nudge("turn", [1, 0], 0.02), "]": () => nudge("turn", [-1, 0], 0.02), "+": () => nudge("scale", [1, 0], 0.05), "=": () => nudge("scale", [1, 0], 0.05), "-": () => nudge("scale", [-1, 0], 0.05),
};
const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const typing = (target) => target.closest?.("input:not([type=range]):not([type=checkbox]):not([type=color]), select, textarea, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (!work.flame || document.querySelector("dialog[open]")) return;
  const control = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (control && key === "z") { event.preventDefault(); net.send({ type: event.shiftKey ? "redo" : "undo" }); return; }
  if (control && key === "y") { event.preventDefault(); net.send({ type: "redo" }); return; }
  if (control && key === "s") { event.preventDefault(); saveFlame(); return; }
  if (control && key === "o") { event.preventDefault(); $("#file").click(); return; }
  if (control && key === "c" && !typing(event.target) && !String(getSelection())) { event.preventDefault(); copyText(); return; }
  if (control || event.altKey || typing(event.target)) return;
  if (arrows[event.key] && !event.target.closest("[role=tab], input, .pin, .mark, summary, #collage") && chosen()) {
    event.preventDefault();
    nudge("move", arrows[event.key], event.shiftKey ? 0.1 : 0.02);
    return;
  }
  if (/^[1-9]$/.test(key)) {
    const found = mapKeys(work.flame)[Number(key) - 1];
    if (found !== undefined) select(found);
    return;
  }
  if (keys[key] && !event.target.closest("input[type=range]")) { event.preventDefault(); keys[key](); }
});

document.addEventListener("paste", (event) => {
  if (typing(event.target)) return;
  const file = event.clipboardData.files[0], text = event.clipboardData.getData("text/plain");
  if (file) openFile(file);
  else if (text.trim().startsWith("<") || text.trim().startsWith("{")) openData(text, "pasted text");
  else if (text.trim()) toast("What was pasted is no flame: that is text that begins with <flame.", "bad");
});

// ---- dropped files

const CLOUDS = new Set("ply pcd xyz xyzn xyzrgb pts txt csv npy npz las laz e57 splat bin obj off stl glb gltf 3mf".split(" "));
const PICTURES = new Set("png jpg jpeg webp avif tif tiff bmp gif jp2 ppm pgm".split(" "));
const USES = { fit: (file) => fitFile(file, () => open("Fit")), collage: (file) => collageFile(file, () => open("Collage")), colours: (file) => paletteFrom(file) };
let wanted = ""; // what the next chosen file is for

function chooseFor(use) {
  wanted = use;
  $("#file").click();
}

async function openFile(file) {
  if (file.size > 64 * 2 ** 20) return toast(`${file.name}: larger than 64 MiB; open it with the command line.`, "bad");
  const kind = file.name.split(".").pop().toLowerCase();
  if (kind === "fk") return USES.collage(file);
  if (CLOUDS.has(kind)) return USES.fit(file);
  if ((PICTURES.has(kind) || /^image\//.test(file.type)) && !(await holdsFlame(file))) return ask(file);
  return openData(file, file.name);
}

/** What shall become of a picture. */
function ask(file) {
  const choices = [
    ["collage", "A collage", "The photograph made of small copies of itself."],
    ["fit", "A fractal of its shape", "For a subject on a plain ground: a leaf, a letter. Maps that make it of itself."],
    ["colours", "Its colours", "A palette for the flame that is open."],
  ];
  const address = URL.createObjectURL(file);
  const box = dialog(file.name, el("div", { class: "asking" },
    el("img", { src: address, alt: "", onerror: (event) => event.target.remove() }),
    el("div", { class: "choices" }, choices.map(([use, title, words]) =>
      el("button", { type: "button", class: "choice", "data-use": use, onclick: () => { box.close(); USES[use](file); } }, el("b", {}, title), el("span", {}, words))))), { onclose: () => URL.revokeObjectURL(address) });
}

/** Whether a picture is a PNG that FractalKit made, with its code. */
async function holdsFlame(file) {
  if (file.type !== "image/png") return false;
  const bytes = new Uint8Array(await file.slice(0, 1 << 20).arrayBuffer());
  const text = new TextDecoder("latin1").decode(bytes);
  return text.includes("fractalkit:");
}

let depth = 0;
addEventListener("dragenter", (event) => { event.preventDefault(); if (!depth++) net.send({ type: "warm" }); document.body.classList.add("dropping"); });
addEventListener("dragleave", () => { if (--depth <= 0) document.body.classList.remove("dropping"); });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  document.body.classList.remove("dropping");
  const file = event.dataTransfer.files[0];
  if (file) openFile(file);
});

// ---- the server

let away = null;
net.on("online", (on) => {
  if (on) {
    if (away) toast("The studio is back; nothing was lost.");
    away = null;
    document.body.classList.remove("away");
    redraw();
  } else {
    away = true;
    document.body.classList.add("away");
    toast("The studio's server has stopped. Start it again: your work is on the disk.", "bad");
  }
});
net.on("error", ({ message }) => toast(message, "bad"));
let first = true, lost = "";
net.on("state", (message) => {
  if (message.lost && message.lost !== lost) toast(message.lost, "bad");
  lost = message.lost;
  if (first) {
    first = false;
    layout();
    if (localStorage.getItem("history")) toggleHistory(true);
    if (message.fresh) showStarts({ first: true });
  }
});
window.studio = { work, last, card, fit, collage, times: net.times }; // for tests, and for the curious
net.connect();
takeCard().then((has) => { if (has) redraw(); });

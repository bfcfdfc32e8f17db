// A menu at the pointer, for the map or the ground below it: by right click, a long press, or the menu key.

import { IDENTITY, chosenMap, nameOf } from "./flame.js";
import { addMap, doubleMap, removeMap } from "./maps.js";
import { copyText, pasteText } from "./out.js";
import { frameAll, letGo, planePoint } from "./stage.js";
import { drop } from "./triangles.js";
import { el } from "./widgets.js";
import { apply, select, work } from "./work.js";

const stage = document.querySelector("#stage");
const LONG = 550; // milliseconds of a press
const STILL = 9; // pixels that a finger may move meanwhile
let menu = null;

function items(key, event) {
  if (key === null) {
    return [["Add a map here", () => addMap(planePoint(event))], ["Frame the picture", frameAll], ["Copy as text", copyText], ["Paste text", pasteText]];
  }
  const map = chosenMap(work.flame, key), hidden = map.opacity === 0, which = work.post ? "post" : "coefs";
  const change = (label, act) => () => apply(label, (flame) => act(chosenMap(flame, key)));
  const own = typeof key === "number";
  return [
    ...(own ? [["Double", doubleMap]] : []),
    [hidden ? "Show its points" : "Hide its points", change(hidden ? "show a map" : "hide a map", (m) => { m.opacity = hidden ? 1 : 0; })],
    ["Reset its triangle", change("reset a triangle", (m) => { m[which] = [...IDENTITY]; })],
    ...(own && work.flame.xforms.length < 2 ? [] : [["Remove", removeMap]]),
  ];
}

function keyAt(target) {
  const raw = target.closest?.("#triangles g.map")?.dataset.key;
  return raw === undefined ? null : raw.startsWith("f") ? raw : Number(raw);
}

function close() {
  menu?.remove();
  menu = null;
}

function open(target, event) {
  close();
  if (!work.flame) return;
  const key = keyAt(target);
  if (key !== null) select(key);
  menu = el("div", { class: "menu", role: "menu", "aria-label": key === null ? "The picture" : `Map ${nameOf(key)}` },
    items(key, event).map(([label, act]) => el("button", { type: "button", role: "menuitem", onclick: () => { close(); act(); } }, label)));
  document.body.append(menu);
  const box = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(6, Math.min(event.clientX, innerWidth - box.width - 6))}px`;
  menu.style.top = `${Math.max(6, Math.min(event.clientY, innerHeight - box.height - 6))}px`;
  menu.firstChild.focus();
}

addEventListener("keydown", (event) => {
  if (!menu) return;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], all = [...menu.children];
  if (event.key === "Escape" || event.key === "Tab") close();
  else if (!step) return;
  else all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus();
  event.preventDefault();
  event.stopPropagation();
}, true);
addEventListener("pointerdown", (event) => { if (menu && !menu.contains(event.target)) close(); }, true);
addEventListener("blur", close);

stage.addEventListener("contextmenu", (event) => {
  if (event.target.closest("#collage, #hud")) return;
  event.preventDefault();
  if (event.pointerType === "touch") return; // the long press below, which all browsers have
  const box = event.target.getBoundingClientRect(), byKey = event.clientX === 0 && event.clientY === 0;
  open(event.target, byKey ? { clientX: box.right, clientY: box.bottom } : event);
});

let press = null;
const forget = () => { clearTimeout(press?.timer); press = null; };
stage.addEventListener("pointerdown", (event) => {
  const others = press !== null;
  forget();
  if (event.pointerType !== "touch" || others || event.target.closest("#collage, #hud")) return;
  const { target, clientX, clientY } = event;
  press = { clientX, clientY, timer: setTimeout(() => {
    press = null;
    letGo();
    drop();
    open(target, { clientX, clientY });
  }, LONG) };
}, true);
stage.addEventListener("pointermove", (event) => {
  if (press && Math.hypot(event.clientX - press.clientX, event.clientY - press.clientY) > STILL) forget();
}, true);
for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, forget, true);

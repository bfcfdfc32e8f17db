// Maps as triangles over the picture: corners, edges, the inside, and handles to turn and scale.

import { copy, corners, fromCorners, mapColour, mapKeys, nameOf, norm, chosenMap, turned } from "./flame.js";
import { bodyCorners, bodyOf, fromBodyCorners, isBody, putBody, stretch } from "./solid.js";
import { planePoint, screen, view } from "./stage.js";
import { chosen, commit, edit, select, watch, work } from "./work.js";

const svg = document.querySelector("#triangles");
const NS = "http://www.w3.org/2000/svg";
let showing = true;
let frame = 0;

const make = (tag, attributes, text) => {
  const made = document.createElementNS(NS, tag);
  for (const [k, v] of Object.entries(attributes)) made.setAttribute(k, v);
  if (text !== undefined) made.textContent = text;
  return made;
};
const path = (points) => points.map((p) => p.map((v) => v.toFixed(1)).join(",")).join(" ");
const grown = () => (innerWidth >= 3200 ? 1.7 : 1); // handles on a large screen
const which = () => (work.post ? "post" : "coefs");

export function show(on) {
  showing = on;
  paint();
}

export function paint() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => {
    svg.replaceChildren();
    if (!showing || !work.flame) return;
    const keys = mapKeys(work.flame);
    reference();
    for (const key of keys) if (key !== work.selected) triangle(key, false);
    if (chosen()) triangle(work.selected, true);
  });
}

/** The triangle of the identity, faint; in space with its third axis. */
function reference() {
  const c = corners([1, 0, 0, 1, 0, 0]);
  const at = [c.o, c.x, c.y].map(screen);
  svg.append(make("polygon", { points: path(at), class: "reference" }));
  if (!work.flame.xforms.some(isBody)) return;
  const up = screen([0, 0, 1]);
  svg.append(...at.map((p) => make("line", { x1: p[0], y1: p[1], x2: up[0], y2: up[1], class: "reference" })));
}

/** Whether a map is edited in space: where it is affine there, and its second maps are not shown by themselves. */
const inSpace = (map) => !work.post && isBody(map);

function triangle(key, active) {
  const map = chosenMap(work.flame, key), solid = inSpace(map);
  const c = solid ? bodyCorners(bodyOf(map)) : corners(map[which()]);
  const [o, x, y, z] = [c.o, c.x, c.y, c.z ?? c.o].map(screen);
  if (![...o, ...x, ...y, ...z].every((v) => Number.isFinite(v) && Math.abs(v) < 1e5)) return;
  const colour = mapColour(work.flame, map), bad = stretch(map) !== "";
  const group = make("g", { class: `map${active ? " active" : ""}${bad ? " stretches" : ""}`, style: `--c: ${colour}` });
  group.dataset.key = key;
  const faces = solid ? [[o, x, y], [o, y, z], [o, z, x], [x, y, z]] : [[o, x, y]];
  for (const face of faces) group.append(make("polygon", { points: path(face), class: "body hit", "data-part": "move" }));
  if (active) {
    const more = solid ? [["oz", o, z], ["xz", x, z], ["yz", y, z]] : [];
    for (const [part, p, q] of [["ox", o, x], ["oy", o, y], ["xy", x, y], ...more]) {
      group.append(make("line", { x1: p[0], y1: p[1], x2: q[0], y2: q[1], class: "edge hit", "data-part": part }));
    }
    handles(group, o, x, y);
  }
  for (const [part, p, letter] of [["o", o, "O"], ["x", x, "X"], ["y", y, "Y"], ...(solid ? [["z", z, "Z"]] : [])]) {
    const names = { o: "origin", x: "X corner", y: "Y corner", z: "Z corner" };
    const dot = make("circle", { cx: p[0], cy: p[1], r: (active ? 5.5 : 3) * grown(), class: `corner ${part} hit`, "data-part": part });
    if (active) {
      dot.setAttribute("tabindex", "0");
      dot.setAttribute("role", "button");
      dot.setAttribute("aria-label", `Map ${nameOf(key)}, ${names[part]}; arrow keys move it`);
      group.append(make("circle", { cx: p[0], cy: p[1], r: 17 * grown(), class: "halo hit", "data-part": part }));
      const out = outward(p, solid ? [o, x, y, z] : [o, x, y], 15 * grown());
      if (part !== "o") group.append(make("text", { x: out[0], y: out[1] + 4, class: "letter" }, letter));
    }
    group.append(dot);
  }
  if (!active) {
    const m = [0, 1].map((i) => (o[i] + x[i] + y[i]) / 3);
    group.append(make("text", { x: m[0], y: m[1] + 4, class: "number" }, nameOf(key)));
  }
  svg.append(group);
}

function outward(p, points, far) {
  const m = [0, 1].map((i) => points.reduce((s, q) => s + q[i], 0) / points.length);
  const d = Math.hypot(p[0] - m[0], p[1] - m[1]) || 1;
  return [0, 1].map((i) => p[i] + ((p[i] - m[i]) / d) * far);
}

/** Beyond X a handle that turns, beyond the middle of XY one that scales, in the middle one that moves. */
function handles(group, o, x, y) {
  const m = [0, 1].map((i) => (o[i] + x[i] + y[i]) / 3);
  const beyond = (p, far) => {
    const d = Math.hypot(p[0] - o[0], p[1] - o[1]) || 1;
    return [0, 1].map((i) => p[i] + ((p[i] - o[i]) / d) * far);
  };
  const k = grown(), turn = beyond(x, 36 * k);
  const middle = [0, 1].map((i) => (x[i] + y[i]) / 2);
  const scale = beyond(middle, 30 * k);
  group.append(
    make("line", { x1: x[0], y1: x[1], x2: turn[0], y2: turn[1], class: "stem" }),
    make("line", { x1: middle[0], y1: middle[1], x2: scale[0], y2: scale[1], class: "stem" }),
    make("circle", { cx: turn[0], cy: turn[1], r: 14 * k, class: "halo hit", "data-part": "turn" }),
    make("circle", { cx: turn[0], cy: turn[1], r: 5 * k, class: "handle hit", "data-part": "turn", tabindex: "0", role: "button", "aria-label": "Turn; left and right arrow keys" }),
    make("circle", { cx: scale[0], cy: scale[1], r: 14 * k, class: "halo hit", "data-part": "scale" }),
    make("rect", { x: scale[0] - 4.5 * k, y: scale[1] - 4.5 * k, width: 9 * k, height: 9 * k, class: "handle hit", "data-part": "scale", tabindex: "0", role: "button", "aria-label": "Scale; up and down arrow keys" }),
    make("path", { d: `M${m[0] - 5} ${m[1]}h10M${m[0]} ${m[1] - 5}v10`, class: "cross" }),
  );
}

// ---- dragging

const round = (v) => Math.round(v * 20) / 20;
const snapped = (p, on) => (on ? p.map(round) : p);
let drag = null;

svg.addEventListener("pointerdown", (event) => {
  const hit = event.target.closest(".hit");
  if (!hit || event.button !== 0) return;
  event.stopPropagation();
  event.preventDefault();
  const raw = hit.closest("g").dataset.key;
  const key = raw.startsWith("f") ? raw : Number(raw);
  // Alt picks the map below, where triangles lie over each other
  const fresh = key !== work.selected;
  select(key);
  const map = chosen(), body = inSpace(map) ? bodyOf(map) : null;
  drag = { part: hit.dataset.part, from: planePoint(event), coefs: [...map[which()]], body, moved: false, fresh };
  svg.setPointerCapture(event.pointerId);
});

svg.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const at = planePoint(event);
  const grid = work.snap !== event.ctrlKey;
  if (drag.body) {
    const next = movedBody(drag.body, drag.part, drag.from, at, grid);
    drag.moved = true;
    edit((flame) => putBody(chosenMap(flame, work.selected), next));
    return;
  }
  if (!["turn", "scale"].includes(drag.part)) {
    // in a plane that the camera has tilted
    const [dx, dy] = view().move([at[0] - drag.from[0], at[1] - drag.from[1]], [drag.coefs[4], drag.coefs[5], 0], true);
    at[0] = drag.from[0] + dx;
    at[1] = drag.from[1] + dy;
  }
  const next = moved(drag.coefs, drag.part, drag.from, at, grid || event.shiftKey && drag.part === "turn", event.shiftKey);
  if (!next || !next.every(Number.isFinite)) return;
  drag.moved = true;
  edit((flame) => { chosenMap(flame, work.selected)[which()] = next; });
});

const names = { o: "move a corner", x: "move a corner", y: "move a corner", z: "move a corner", ox: "move an edge", oy: "move an edge", oz: "move an edge", xy: "move an edge", xz: "move an edge", yz: "move an edge", move: "move a map", turn: "turn a map", scale: "scale a map" };

/** End a drag. */
export function drop() {
  if (drag?.moved) commit(names[drag.part]);
  drag = null;
}
svg.addEventListener("pointerup", drop);
svg.addEventListener("pointercancel", drop);

/** The affine map after a part of its triangle was dragged from one point of the plane to another. */
export function moved(coefs, part, from, to, grid, same = false) {
  const c = corners(coefs), d = [to[0] - from[0], to[1] - from[1]];
  const plus = (p) => [p[0] + d[0], p[1] + d[1]];
  if (part === "turn" || part === "scale") {
    const before = [from[0] - c.o[0], from[1] - c.o[1]], after = [to[0] - c.o[0], to[1] - c.o[1]];
    if (part === "scale") {
      let k = Math.hypot(...after) / (Math.hypot(...before) || 1e-9);
      if (grid) k = round(norm(coefs) * k) / (norm(coefs) || 1);
      return k > 1e-6 ? turned(coefs, 0, k) : null;
    }
    let angle = ((Math.atan2(after[1], after[0]) - Math.atan2(before[1], before[0])) * 180) / Math.PI;
    if (grid) {
      const old = (Math.atan2(coefs[1], coefs[0]) * 180) / Math.PI;
      angle = Math.round((old + angle) / 15) * 15 - old;
    }
    return turned(coefs, angle);
  }
  if (part === "move") {
    const o = snapped(plus(c.o), grid), e = [o[0] - c.o[0], o[1] - c.o[1]];
    return [...coefs.slice(0, 4), coefs[4] + e[0], coefs[5] + e[1]];
  }
  const next = copy(c);
  for (const corner of part) next[corner] = snapped(plus(c[corner]), grid);
  if (same && part.length === 1 && part !== "o") return likeness(c, part, next[part]);
  return fromCorners(next);
}

/** A body after a part of it was dragged over the picture, at its own depth; turns and scales are about its origin. */
export function movedBody(body, part, from, to, grid) {
  const c = bodyCorners(body), d = view().move([to[0] - from[0], to[1] - from[1]], c.o);
  const plus = (p) => snapped(p.map((v, i) => v + d[i]), grid);
  if (part === "move") return { ...body, o: plus(body.o) };
  if (part === "turn" || part === "scale") {
    const o = view().from(view().to(c.o)), before = [from[0] - o[0], from[1] - o[1]], after = [to[0] - o[0], to[1] - o[1]];
    const k = part === "scale" ? Math.hypot(...after) / (Math.hypot(...before) || 1e-9) : 1;
    let angle = part === "turn" ? Math.atan2(after[1], after[0]) - Math.atan2(before[1], before[0]) : 0;
    if (grid) angle = Math.round(angle / (Math.PI / 12)) * (Math.PI / 12);
    return { ...body, columns: body.columns.map((v) => spun(v, angle).map((x) => x * Math.max(k, 1e-6))) };
  }
  const next = { ...c };
  for (const corner of part) next[corner] = plus(c[corner]);
  return fromBodyCorners(next);
}

/** A vector turned about the line of sight (Rodrigues). */
function spun(v, angle) {
  const [x, y] = [view().move([1, 0], [0, 0, 0]), view().move([0, 1], [0, 0, 0])];
  const k = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]];
  const size = Math.hypot(...k) || 1, n = k.map((u) => u / size), c = Math.cos(angle), s = Math.sin(angle);
  const along = n[0] * v[0] + n[1] * v[1] + n[2] * v[2];
  const side = [n[1] * v[2] - n[2] * v[1], n[2] * v[0] - n[0] * v[2], n[0] * v[1] - n[1] * v[0]];
  return v.map((u, i) => u * c + side[i] * s + n[i] * along * (1 - c));
}

/** With Shift a corner turns and scales the whole triangle. */
function likeness(c, part, to) {
  const before = [c[part][0] - c.o[0], c[part][1] - c.o[1]], after = [to[0] - c.o[0], to[1] - c.o[1]];
  const k = Math.hypot(...after) / (Math.hypot(...before) || 1e-9);
  const angle = ((Math.atan2(after[1], after[0]) - Math.atan2(before[1], before[0])) * 180) / Math.PI;
  return turned(fromCorners(c), angle, k);
}

// ---- keys, for the corner or the handle that has the focus

svg.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const step = steps[event.key], part = event.target.dataset?.part;
  if (!step || !part || !chosen()) return;
  event.preventDefault();
  event.stopPropagation();
  nudge(part, step, event.shiftKey ? 0.1 : 0.02);
  requestAnimationFrame(() => requestAnimationFrame(() => svg.querySelector(`.active [tabindex][data-part="${part}"]`)?.focus()));
});

export function nudge(part, step, size) {
  edit((flame) => {
    const map = chosenMap(flame, work.selected), key = which();
    if (inSpace(map)) putBody(map, nudgedBody(bodyOf(map), part, step, size));
    else if (part === "turn") map[key] = turned(map[key], step[0] * size * 250);
    else if (part === "scale") map[key] = turned(map[key], 0, Math.exp((step[0] - step[1]) * size));
    else map[key] = moved(map[key], part, [0, 0], step.map((v) => v * size), false);
  });
  commit(names[part]);
}

function nudgedBody(body, part, step, size) {
  if (part === "turn") return { ...body, columns: body.columns.map((v) => spun(v, (step[0] * size * 250 * Math.PI) / 180)) };
  if (part === "scale") return { ...body, columns: body.columns.map((v) => v.map((x) => x * Math.exp((step[0] - step[1]) * size))) };
  return movedBody(body, part, [0, 0], step.map((v) => v * size), false);
}

watch(() => paint());

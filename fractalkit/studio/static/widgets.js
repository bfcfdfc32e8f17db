// Small controls: elements, sliders with a number beside them, dialogs, messages.

import { commit, edit } from "./work.js";

/** An element: tag, attributes (on... are listeners), children. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "style") Object.assign(made.style, value);
    else if (key in made && typeof value !== "string") made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return made;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

export const button = (label, act, attributes = {}) => el("button", { type: "button", onclick: act, ...attributes }, label);
export const iconButton = (name, label, act, attributes = {}) =>
  el("button", { type: "button", class: "icon", title: label, "aria-label": label, onclick: act, ...attributes }, icon(name));

export const short = (v) => (Number.isInteger(v) ? String(v) : Number(v.toPrecision(5)).toString());

let numbers = 0;

/**
 * A row with a label to scrub, a slider and a number. `get` and `set` read and write; `set` changes the flame.
 * The element's `sync` shows the present value.
 */
export function slider({ label, min, max, step = (max - min) / 200, get, set, name, log = false, whole = false, hint, hard }) {
  const id = `n${++numbers}`;
  const to = log ? (v) => Math.log(Math.max(v, min)) : (v) => v;
  const from = log ? Math.exp : (v) => v;
  const range = el("input", { type: "range", min: String(to(min)), max: String(to(max)), step: log ? "any" : whole ? "1" : String(step), "aria-label": label, tabindex: "-1" });
  const number = el("input", { type: "number", id, step: "any", value: "0", inputmode: "decimal" });
  const tag = el("label", { for: id, title: hint ?? `${label}; drag to change` }, label);
  const row = el("div", { class: "slider" }, tag, range, number);
  const clean = (v) => {
    if (whole) v = Math.round(v);
    if (hard) v = Math.max(hard[0], Math.min(hard[1], v));
    return v;
  };
  const put = (v) => edit((flame) => set(clean(v), flame));
  range.addEventListener("input", () => put(log ? Number(from(Number(range.value)).toPrecision(4)) : Number(Number(range.value).toFixed(5))));
  range.addEventListener("change", () => commit(name ?? label.toLowerCase()));
  range.addEventListener("dblclick", () => number.focus());
  number.addEventListener("change", () => {
    const v = Number(number.value);
    if (!Number.isFinite(v) || number.value.trim() === "") return row.sync();
    put(v);
    commit(name ?? label.toLowerCase());
  });
  number.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
    event.preventDefault();
    const size = (whole ? 1 : step) * (event.shiftKey ? 10 : 1) * (event.key === "ArrowUp" ? 1 : -1);
    put(Number((get() + size).toFixed(6)));
    commit(name ?? label.toLowerCase());
  });
  scrub(tag, () => get(), (v) => put(v), () => commit(name ?? label.toLowerCase()), whole ? 0.05 : step, log);
  row.sync = () => {
    const v = get();
    if (document.activeElement !== range || Number(range.value) !== to(v)) range.value = String(to(v));
    if (document.activeElement !== number) number.value = short(v);
    const share = (to(v) - to(min)) / (to(max) - to(min));
    row.style.setProperty("--at", `${Math.max(0, Math.min(1, share)) * 100}%`);
  };
  row.sync();
  return row;
}

/** Change a number by dragging its label. */
function scrub(tag, get, put, done, step, log) {
  let start = null;
  tag.addEventListener("pointerdown", (event) => {
    start = { x: event.clientX, value: get(), moved: false };
    tag.setPointerCapture(event.pointerId);
  });
  tag.addEventListener("pointermove", (event) => {
    if (!start) return;
    const dx = event.clientX - start.x;
    if (Math.abs(dx) > 3) start.moved = true;
    if (!start.moved) return;
    const fine = event.shiftKey ? 0.1 : 1;
    put(log ? start.value * Math.exp(dx * 0.005 * fine) : Number((start.value + dx * step * fine).toFixed(6)));
  });
  const end = (event) => {
    if (start?.moved) {
      event.preventDefault();
      done();
    }
    start = null;
  };
  tag.addEventListener("pointerup", end);
  tag.addEventListener("pointercancel", end);
  tag.addEventListener("click", (event) => { if (start?.moved) event.preventDefault(); });
}

/** A section that folds. */
export function section(title, children, { open = true, extra = null } = {}) {
  const made = el("details", { class: "section", open });
  made.append(el("summary", {}, el("span", {}, title), extra ?? "", icon("more")), el("div", { class: "body" }, children));
  if (open) made.open = true;
  return made;
}

export function toast(text, kind = "") {
  const made = el("div", { class: `toast ${kind}` }, text);
  document.querySelector("#toasts").append(made);
  setTimeout(() => made.classList.add("gone"), kind === "bad" ? 7000 : 3200);
  setTimeout(() => made.remove(), kind === "bad" ? 7600 : 3800);
}

/** A dialog over the page; closes by Escape, its button, or a click beside it. */
export function dialog(title, body, { wide = false, onclose } = {}) {
  const made = el("dialog", { class: wide ? "broad" : "", "aria-label": title });
  const close = () => made.close();
  made.append(el("div", { class: "head" }, el("h2", { tabindex: "-1", autofocus: true }, title), iconButton("close", "Close", close)), body);
  made.addEventListener("click", (event) => { if (event.target === made) close(); });
  made.addEventListener("close", () => { made.remove(); onclose?.(); });
  document.body.append(made);
  made.showModal();
  return made;
}

/** Save text or bytes as a file of the browser's. */
export function download(name, data, type = "text/plain") {
  const url = typeof data === "string" && data.startsWith("task/") ? data : URL.createObjectURL(new Blob([data], { type }));
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

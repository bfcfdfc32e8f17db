// The panel of relatives: mutants, children and strangers as pictures; a click goes there.

import * as net from "./net.js";
import { el, button, icon, toast } from "./widgets.js";
import { copy } from "./flame.js";
import { put, watch, work } from "./work.js";

let key = 0;
let partner = null;

export function breedPanel() {
  const grid = el("div", { class: "relatives", "aria-live": "polite" });
  const strength = el("input", { type: "range", min: "0.1", max: "2", step: "0.05", value: "0.7", "aria-label": "How far relatives may be" });
  const bar = el("div", { class: "bar", hidden: true }, el("i"));
  const mate = el("div", { class: "mate" });
  const ask = (kind) => {
    if (!work.flame) return;
    key++;
    bar.hidden = false;
    bar.firstChild.style.width = "0";
    grid.classList.add("old");
    const message = { type: "task", work: "relatives", kind, key, count: 9, seed: Math.floor(Math.random() * 2 ** 31), strength: Number(strength.value), flame: work.flame };
    if (kind === "cross") message.other = partner.flame;
    if (!net.send(message)) toast("The studio does not answer.", "bad");
  };
  const cross = button("Cross", () => ask("cross"), { class: "wide", disabled: true, title: "Children of this flame and the one you kept" });
  const keep = (item) => {
    partner = item;
    cross.disabled = !item;
    mate.replaceChildren(item ? el("img", { src: item.picture, alt: "The kept flame" }) : "", item ? el("span", {}, "kept for a cross") : el("span", {}, "Keep a flame with the heart, then cross it with another."));
  };
  net.on("task", (task) => {
    if (task.work !== "relatives" || task.key !== key) return;
    bar.firstChild.style.width = `${task.share * 100}%`;
    if (task.state === "failed") toast(task.error, "bad");
    if (task.state !== "running" && task.state !== "waiting") bar.hidden = true;
    const found = task.result ?? [];
    if (!found.length) return;
    grid.classList.remove("old");
    while (grid.children.length > found.length) grid.lastChild.remove();
    for (let k = 0; k < found.length; k++) if (grid.children[k]?.of !== found[k].picture) tile(found[k], k);
  });
  const tile = (item, k) => {
    const made = el("div", { class: "relative" },
      el("button", { type: "button", class: "go", "aria-label": `Relative ${k + 1}: go there` }, el("img", { src: item.picture, alt: "" })),
      el("button", { type: "button", class: "icon", "aria-label": `Keep relative ${k + 1} for a cross`, title: "Keep for a cross" }, icon("heart")));
    made.of = item.picture;
    const flame = { ...item.flame, settings: { ...item.flame.settings, name: work.flame.settings.name } };
    made.children[0].addEventListener("click", () => put(flame, "a relative"));
    made.children[1].addEventListener("click", () => keep({ flame: copy(item.flame), picture: item.picture }));
    if (grid.children[k]) grid.children[k].replaceWith(made);
    else grid.append(made);
  };
  keep(null);
  const near = el("label", { class: "row near" }, el("span", {}, "near"), strength, el("span", {}, "far"));
  const sheet = el("div", { class: "sheet", id: "breed" },
    el("div", { class: "buttons three" }, button("Mutants", () => ask("mutants"), { class: "strong" }), cross, button("Random", () => ask("random"), { class: "wide" })),
    near, bar, grid,
    el("p", { class: "hint" }, "Relatives of the flame you see, chosen by a taste that was learned from artists' flames. Click one to go there; undo comes back."), mate);
  watch((what) => { if (what === "state" && !grid.children.length && !sheet.closest("[hidden]")) ask("mutants"); });
  sheet.shown = () => { if (!grid.children.length) ask("mutants"); };
  return sheet;
}

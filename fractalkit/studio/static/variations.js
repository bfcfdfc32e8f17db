// Variations of a map: sliders for weights and parameters, and a list to choose from, with pictures.

import { el, iconButton, slider, dialog, toast } from "./widgets.js";
import * as net from "./net.js";
import { apply, changed, chosen, work } from "./work.js";

const unfolded = new Set();
let known = null; // name -> what is known of it
net.calm.then(() => net.offer("variations.json")).then((list) => {
  known = new Map(list.map((v) => [v.name, v]));
  if (work.flame) changed("select"); // their parameters are known now
}, () => {});

const base = (name) => name.replace(/^(pre_|post_)/, "").replace(/#\d+#$/, "");
export const about = (name) => known?.get(name) ?? known?.get(base(name));
const picture = (name) => `variation/${encodeURIComponent(about(name)?.name ?? base(name))}.png`;

export function variationRows(map, track) {
  return map.variations.map(([name], k) => {
    const find = () => chosen()?.variations.find(([n]) => n === name) ?? [name, 0];
    const weight = track(slider({ label: name, min: -2, max: 2, step: 0.01, name: `weight of ${name}`, get: () => find()[1], set: (v) => { find()[1] = v; }, hint: about(name)?.doc }));
    const parameters = Object.entries(about(name)?.parameters ?? {});
    const shown = () => chosen()?.parameters ?? {};
    const rows = parameters.map(([p, d]) => track(slider({
      label: p, ...span(p, d, shown()[`${name}_${p}`] ?? d), name: `${name} ${p}`,
      get: () => shown()[`${name}_${p}`] ?? d, set: (v) => { shown()[`${name}_${p}`] = v; },
    })));
    const small = el("img", { alt: "", width: 34, height: 34, loading: "lazy", title: about(name)?.doc ?? "" });
    if (known) small.src = picture(name);
    const box = el("div", { class: "variation" }, small, weight,
      iconButton("close", `Remove ${name}`, () => apply(`remove ${name}`, () => {
        const m = chosen();
        m.variations.splice(k, 1);
        for (const [p] of parameters) delete m.parameters[`${name}_${p}`];
      })));
    if (!rows.length) return box;
    const fold = el("details", { class: "parameters", open: unfolded.has(name) || rows.length <= 3 }, el("summary", {}, `${rows.length} parameter${rows.length > 1 ? "s" : ""}`), rows);
    fold.addEventListener("toggle", () => (fold.open ? unfolded.add(name) : unfolded.delete(name)));
    return el("div", {}, box, fold);
  });
}

/** A slider's range about a parameter's default. */
function span(name, d, v) {
  if (/angle|rotation|phase/i.test(name)) return { min: -Math.PI, max: Math.PI, step: 0.01 };
  if (/^(power|sides|n|count|petals|slices|num|depth)$/i.test(name) && Number.isInteger(d)) return { min: Math.min(-12, v), max: Math.max(12, v), step: 1 };
  const reach = Math.max(2, 2 * Math.abs(d), Math.abs(v - d) * 1.2);
  return { min: d - reach, max: d + reach, step: reach / 100 };
}

/** Let the user choose; `use` gets the name and the parameters' defaults. */
export async function chooseVariation(use) {
  let list;
  try {
    list = await net.offer("variations.json");
  } catch (error) {
    return toast(error.message, "bad");
  }
  const search = el("input", { type: "search", placeholder: `Search ${list.length} variations`, "aria-label": "Search variations", autocomplete: "off", spellcheck: "false" });
  const where = el("select", { "aria-label": "When it acts" },
    el("option", { value: "" }, "in the sum"), el("option", { value: "pre_" }, "before (pre_)"), el("option", { value: "post_" }, "after (post_)"));
  const families = ["all", ...new Set(list.map((v) => v.family))];
  const chips = el("div", { class: "families", role: "group", "aria-label": "Families" });
  const grid = el("div", { class: "variations" });
  const words = el("p", { class: "hint words" }, "What each does to a grid of lines and a circle.");
  let family = "all";
  const fill = () => {
    const text = search.value.trim().toLowerCase();
    const found = list.filter((v) => (family === "all" || v.family === family) && (!text || v.name.toLowerCase().includes(text) || v.doc.toLowerCase().includes(text) || v.also.some((a) => a.toLowerCase().includes(text))));
    found.sort((a, b) => Number(b.name.toLowerCase().startsWith(text)) - Number(a.name.toLowerCase().startsWith(text)));
    grid.replaceChildren(...found.map((v) => {
      const tile = el("button", { type: "button", title: v.doc }, el("img", { src: picture(v.name), alt: "", width: 96, height: 96, loading: "lazy" }), el("span", {}, v.name));
      tile.addEventListener("click", () => { box.close(); use(v.place ? v.name : where.value + v.name, v.parameters); });
      const tell = () => { words.textContent = `${v.name}: ${v.doc}`; };
      tile.addEventListener("focus", tell);
      tile.addEventListener("pointerenter", tell);
      return tile;
    }));
    if (!found.length) grid.replaceChildren(el("p", { class: "hint" }, "Nothing of that name. Try another word, such as julia, wave or blur."));
  };
  for (const name of families) {
    const chip = el("button", { type: "button", class: "small", "aria-pressed": String(name === family) }, name);
    chip.addEventListener("click", () => {
      family = name;
      for (const other of chips.children) other.setAttribute("aria-pressed", String(other === chip));
      fill();
    });
    chips.append(chip);
  }
  search.addEventListener("input", fill);
  search.addEventListener("keydown", (event) => { if (event.key === "Enter") grid.querySelector("button")?.click(); });
  const box = dialog("Add a variation", el("div", { class: "chooser" }, el("div", { class: "row" }, search, where), chips, grid, words), { wide: true });
  fill();
  search.focus();
}

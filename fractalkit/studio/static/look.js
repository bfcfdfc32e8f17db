// The panel of the look: tone, estimation, background, camera in the plane and in space, size, symmetry.

import { el, button, section, slider } from "./widgets.js";
import { hex, unhex } from "./flame.js";
import { apply, commit, edit, watch, work } from "./work.js";

const SIZES = [["4:3", 1600, 1200], ["16:9", 1920, 1080], ["1:1", 1400, 1400], ["3:4", 1200, 1600], ["9:16", 1080, 1920], ["21:9", 2520, 1080]];

export function lookPanel() {
  const sheet = el("div", { class: "sheet", id: "look" });
  const syncs = [];
  watch((what) => {
    if (!work.flame) return;
    if (!sheet.firstChild) build(sheet, syncs);
    if (what === "live" || what === "state") syncs.forEach((act) => act());
  });
  return sheet;
}

function build(sheet, syncs) {
  const row = (label, field, options) => {
    const made = slider({ label, get: () => work.flame.settings[field], set: (v, flame) => { flame.settings[field] = v; }, ...options });
    syncs.push(made.sync);
    return made;
  };
  const back = el("input", { type: "color", "aria-label": "Background", id: "background" });
  back.addEventListener("input", () => edit((f) => { f.settings.background = unhex(back.value).map((v) => v / 255); }));
  back.addEventListener("change", () => commit("background"));
  syncs.push(() => { back.value = hex(work.flame.settings.background.map((v) => v * 255)); });
  const center = (i) => {
    const made = slider({ label: i ? "Up" : "Right", min: -3, max: 3, step: 0.01, name: "move the camera", get: () => (i ? -1 : 1) * work.flame.settings.center[i], set: (v, f) => { f.settings.center[i] = (i ? -1 : 1) * v; } });
    syncs.push(made.sync);
    return made;
  };
  const sizes = el("div", { class: "buttons", role: "group", "aria-label": "Shape" }, SIZES.map(([name, w, h]) => button(name, () => apply(`shape ${name}`, (f) => reshape(f, w, h)), { class: "small", title: `${w} x ${h}` })));
  const symmetry = el("select", { id: "symmetry", "aria-label": "Symmetry" }, el("option", { value: "" }, "none"),
    [2, 3, 4, 5, 6, 7, 8, 9, 10, 12].map((k) => el("option", { value: String(k) }, `${k} turns`)),
    [-1, -2, -3, -4, -5, -6, -8].map((k) => el("option", { value: String(k) }, k === -1 ? "mirror" : `mirror, ${-k} turns`)));
  symmetry.addEventListener("change", () => apply("symmetry", (f) => { f.symmetry = symmetry.value ? [Number(symmetry.value)] : []; }));
  syncs.push(() => { symmetry.value = work.flame.symmetry.length ? String(work.flame.symmetry[0]) : ""; });
  const space = (label, field, options) => row(label, field, { min: -Math.PI, max: Math.PI, step: 0.01, ...options });
  sheet.append(
    section("Tone", [
      row("Brightness", "brightness", { min: 0.1, max: 60, log: true, hard: [0, 1e6] }), row("Gamma", "gamma", { min: 0.8, max: 10, step: 0.05, hard: [0.001, 1e6] }),
      row("Vibrancy", "vibrancy", { min: 0, max: 2, step: 0.01, hard: [-100, 100], hint: "1 keeps colours where it is bright, 0 lets them go to white" }),
      row("Threshold", "gamma_threshold", { min: 0, max: 0.5, step: 0.002, hard: [0, 1000], hint: "Below this the gamma is straight: less noise in the dark" }),
      row("Highlights", "highlight_power", { min: -1, max: 2, step: 0.02, hint: "How highlights lose their colour" }),
      el("div", { class: "row" }, el("label", { for: "background" }, "Background"), back),
    ]),
    section("Smoothing", [
      row("Radius", "estimator_radius", { min: 0, max: 16, step: 0.1, hard: [0, 50], hint: "Density estimation: thin places are blurred" }),
      row("Least", "estimator_minimum", { min: 0, max: 4, step: 0.05, hard: [0, 50] }), row("Curve", "estimator_curve", { min: 0.1, max: 1.5, step: 0.01, hard: [0.001, 100] }),
      row("Filter", "filter", { min: 0, max: 2, step: 0.02, hard: [0, 10] }),
    ], { open: false }),
    section("Camera", [
      row("Scale", "scale", { min: 10, max: 5000, log: true, hard: [1e-9, 1e9], name: "zoom", hint: "Pixels a unit at the full size" }), center(0), center(1), row("Turn", "rotate", { min: -180, max: 180, step: 1, name: "turn the camera" }),
    ]),
    section("Shape", [sizes, el("p", { class: "hint" }, "The frame's shape; the size in pixels is chosen when it is rendered.")]),
    section("Symmetry", [el("div", { class: "row" }, el("label", { for: "symmetry" }, "Symmetry"), symmetry)], { open: false }),
    section("In space", [
      space("Pitch", "cam_pitch"), space("Yaw", "cam_yaw"), row("Perspective", "cam_persp", { min: 0, max: 1, step: 0.005 }), row("Depth", "cam_zpos", { min: -2, max: 2, step: 0.01 }),
      row("Blur", "cam_dof", { min: 0, max: 2, step: 0.01 }),
      el("p", { class: "hint" }, "Tilts the plane, and shows the third dimension of variations that have one."),
    ], { open: false }),
  );
}

function reshape(flame, w, h) {
  const s = flame.settings, k = Math.min(w / s.size[0], h / s.size[1]);
  s.size = [w, h];
  s.scale *= k;
}

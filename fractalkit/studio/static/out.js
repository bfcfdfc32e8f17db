// The panel of what goes out: files and text, pictures, films, deep-zoom pages, with their bars.

import * as net from "./net.js";
import { el, button, iconButton, section, toast, download } from "./widgets.js";
import { copy } from "./flame.js";
import { put, watch, work } from "./work.js";

const fileName = () => (work.flame.settings.name || "flame").replace(/[^\p{L}\p{N}_-]+/gu, "-").slice(0, 60) || "flame";

export async function saveFlame(kind = "flame") {
  if (!work.flame) return;
  try {
    const { text } = await net.post(`export/${kind}`, JSON.stringify(work.flame));
    download(`${fileName()}.${kind}`, text);
  } catch (error) {
    toast(error.message, "bad");
  }
}

export async function copyText() {
  try {
    const { text } = await net.post("export/flame", JSON.stringify(work.flame));
    await navigator.clipboard.writeText(text);
    toast("Copied: paste it into any flame editor, or into a message.");
  } catch (error) {
    toast(error.message, "bad");
  }
}

/** Open a file or text: its first flame, the others as a choice. */
export async function openData(data, name) {
  try {
    const { flames, notes } = await net.post(`import?name=${encodeURIComponent(name)}`, data);
    put(flames[0], `open ${name}`);
    if (flames.length > 1) toast(`${name} holds ${flames.length} flames; this is the first.`);
    for (const note of notes) toast(note);
    return flames;
  } catch (error) {
    toast(error.message, "bad");
    return [];
  }
}

export async function pasteText() {
  try {
    const text = await navigator.clipboard.readText();
    if (text.trim()) await openData(text, "pasted text");
    else toast("The clipboard holds no text.", "bad");
  } catch {
    toast("The browser does not let the page read the clipboard; press Ctrl+V instead.", "bad");
  }
}

const number = (label, value, min, max, step = 1) => {
  const input = el("input", { type: "number", value: String(value), min: String(min), max: String(max), step: String(step), "aria-label": label });
  return { input, get: () => Math.max(min, Math.min(max, Number(input.value) || value)), row: el("label", { class: "field" }, el("span", {}, label), input) };
};
const choice = (label, options) => {
  const input = el("select", { "aria-label": label }, options.map(([value, text]) => el("option", { value }, text)));
  return { input, get: () => input.value, row: el("label", { class: "field" }, el("span", {}, label), input) };
};
const check = (label, on = false) => {
  const input = el("input", { type: "checkbox", checked: on });
  return { input, get: () => input.checked, row: el("label", { class: "check" }, input, el("span", {}, label)) };
};

/** Width and height with the frame's own shape. */
function sizes(first) {
  const width = number("Width", first, 16, 16384);
  const shown = el("span", { class: "unit" });
  const size = () => {
    const [w, h] = work.flame.settings.size;
    return [Math.round(width.get()), Math.max(16, Math.round((width.get() * h) / w))];
  };
  const show = () => { if (work.flame) shown.textContent = `x ${size()[1]}`; };
  width.input.addEventListener("input", show);
  watch((what) => { if (what === "state") show(); });
  width.row.append(shown);
  return { row: width.row, size, set: (v) => { width.input.value = String(v); show(); } };
}

export function outPanel() {
  return el("div", { class: "sheet", id: "out" }, files(), picture(), film(), zoom(), points(), tasks());
}

function files() {
  return section("Files", [
    el("div", { class: "buttons" }, button(".flame", () => saveFlame(), { class: "small", title: "For flam3, Apophysis, JWildfire, Fractorium" }), button(".ifs.json", () => saveFlame("ifs.json"), { class: "small", title: "A code: maps must be affine and contract" }),
      button("Copy as text", copyText, { class: "small" }), button("Paste text", pasteText, { class: "small" })),
    el("p", { class: "hint" }, "A rendered PNG holds its flame too: drop one on the page and it opens."),
  ]);
}

function begin(message) {
  if (!net.send({ type: "task", flame: work.flame, ...message })) toast("The studio does not answer.", "bad");
}

function picture() {
  const size = sizes(3840);
  const quality = choice("Quality", [["100", "draft, 100"], ["400", "good, 400"], ["1500", "fine, 1500"], ["4000", "finest, 4000"]]);
  quality.input.value = "400";
  const oversample = choice("Cells a pixel", [["1", "1"], ["2", "2 x 2"], ["3", "3 x 3"]]);
  const clear = check("Transparent"), deep = check("16 bits"), cluster = check("On the cluster");
  cluster.row.hidden = true;
  net.on("state", (message) => { if (message.cluster !== undefined) cluster.row.hidden = !message.cluster; });
  const presets = el("div", { class: "buttons" }, [["HD", 1920], ["4K", 3840], ["8K", 7680]].map(([name, w]) => button(name, () => size.set(w), { class: "small" })));
  return section("Picture", [
    el("div", { class: "fields" }, size.row, quality.row, oversample.row), presets, el("div", { class: "row" }, clear.row, deep.row, cluster.row),
    button("Render", () => {
      const [width, height] = size.size();
      begin({ work: "render", width, height, quality: Number(quality.get()), oversample: Number(oversample.get()), transparent: clear.get(), deep: deep.get(), cluster: cluster.get() });
    }, { class: "strong wide", id: "render" }),
  ]);
}

function film() {
  const keys = [];
  const line = el("div", { class: "keyframes", role: "list", "aria-label": "Keyframes" });
  const size = sizes(640);
  const frames = number("Frames", 60, 2, 3000), fps = number("Frames a second", 24, 1, 120), quality = number("Quality", 40, 1, 2000);
  const form = choice("Format", [["gif", "GIF"], ["webp", "WebP"], ["png", "animated PNG"], ["mp4", "MP4"]]);
  const loop = check("Loop, with a turn", true);
  const show = () => {
    line.replaceChildren(...keys.map((k, i) => el("div", { class: "keyframe", role: "listitem", draggable: true },
      el("button", { type: "button", class: "go", "aria-label": `Keyframe ${i + 1}: go there`, onclick: () => put(k.flame, `keyframe ${i + 1}`) }, el("img", { src: k.picture, alt: "" })),
      iconButton("close", `Remove keyframe ${i + 1}`, () => { keys.splice(i, 1); show(); }))));
    if (!keys.length) line.append(el("p", { class: "hint" }, "Without keyframes the maps of this flame turn once."));
  };
  const add = button("Add this flame", () => {
    const source = document.querySelector("#picture");
    const small = el("canvas", { width: 96, height: Math.round((96 * source.height) / source.width) });
    small.getContext("2d").drawImage(source, 0, 0, small.width, small.height);
    keys.push({ flame: copy(work.flame), picture: small.toDataURL("image/jpeg", 0.8) });
    show();
  }, { class: "small" });
  show();
  return section("Film", [
    line, el("div", { class: "buttons" }, add), el("div", { class: "fields" }, size.row, frames.row, fps.row, quality.row, form.row), loop.row,
    button("Film", () => {
      const [width, height] = size.size();
      begin({ work: "film", flames: keys.length ? keys.map((k) => k.flame) : [work.flame], width, height, frames: Math.round(frames.get()), fps: Math.round(fps.get()), quality: quality.get(), format: form.get(), loop: loop.get() });
    }, { class: "strong wide", id: "film" }),
  ], { open: false });
}

function zoom() {
  const depth = choice("Magnify up to", [["16", "16"], ["256", "256"], ["4096", "4,096"], ["65536", "65,536"]]);
  depth.input.value = "256";
  return section("Deep-zoom page", [
    el("p", { class: "hint" }, "One HTML file with tiles about the point where there is most to see; it opens anywhere."), el("div", { class: "fields" }, depth.row),
    button("Make the page", () => begin({ work: "zoom", depth: Number(depth.get()), quality: 12 }), { class: "strong wide", id: "zoom" }),
  ], { open: false });
}

function points() {
  const count = choice("Points", [["100000", "100,000"], ["1000000", "a million"], ["10000000", "10 million"]]);
  count.input.value = "1000000";
  const form = choice("File", [["ply", "PLY"], ["xyz", "XYZ"], ["csv", "CSV"], ["npy", "NumPy"]]);
  const mesh = choice("Mesh", [["stl", "STL"], ["glb", "GLB"], ["obj", "OBJ"]]);
  return section("Points and mesh", [
    el("p", { class: "hint" }, "Of a code, whose maps are affine and contract. A mesh is a closed surface, to print or to open in Blender; it needs a code in space."),
    el("div", { class: "fields" }, count.row, form.row), button("Points", () => begin({ work: "points", count: Number(count.get()), format: form.get() }), { class: "strong wide", id: "points" }),
    el("div", { class: "fields" }, mesh.row), button("Mesh", () => begin({ work: "mesh", format: mesh.get() }), { class: "strong wide", id: "mesh" }),
  ], { open: false });
}

function tasks() {
  const list = el("div", { class: "tasks", role: "log", "aria-label": "Tasks" });
  const rows = new Map();
  net.on("task", (task) => {
    if (task.work === "relatives" || task.work === "fit") return;
    if (!rows.has(task.id)) {
      const row = el("div", { class: "task" }, el("div", { class: "name" }), iconButton("close", "Stop", () => (task.over ? row.remove() : net.send({ type: "stop", id: task.id }))), el("div", { class: "bar" }, el("i")), el("div", { class: "word" }));
      rows.set(task.id, row);
      list.prepend(row);
    }
    const row = rows.get(task.id);
    row.dataset.state = task.state;
    row.children[0].textContent = task.title;
    row.children[1].hidden = task.state !== "running" && task.state !== "waiting";
    row.children[2].firstChild.style.width = `${task.share * 100}%`;
    row.children[3].textContent = task.state === "failed" ? task.error : task.state === "done" ? "" : `${task.word}, ${Math.round(task.share * 100)} %`;
    if (task.state === "done") {
      row.children[3].replaceChildren(...task.files.map((f) => el("a", { href: `task/${task.id}/${encodeURIComponent(f)}`, download: f }, f)));
      if (row.dataset.told !== "1") toast(`${task.title}: done`);
      row.dataset.told = "1";
    }
    if (task.state === "failed") toast(task.error, "bad");
  });
  return list;
}

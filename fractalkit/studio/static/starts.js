// Starting points: what one sees first, and the one minute that teaches.

import * as net from "./net.js";
import { el, button, dialog, toast } from "./widgets.js";
import { pasteText } from "./out.js";
import { put } from "./work.js";

const LESSONS = [
  ["Drag a triangle.", "Each is a map: a copy of the whole picture, moved and bent. The picture follows."],
  ["Bend it.", "Add variations to a map and pull their sliders."],
  ["Look around.", "Wheel or two fingers zoom, dragging the ground moves."],
  ["Breed.", "Nine relatives of what you see; click one to go there."],
  ["Drop something.", "A cloud or a silhouette becomes triangles, a photograph a mosaic of itself."],
];

export function lessons() {
  return el("ol", { class: "lessons" }, LESSONS.map(([what, why]) => el("li", {}, el("b", {}, what), " ", why)));
}

export async function showStarts({ first = false } = {}) {
  let list;
  try {
    list = await net.offer("starts.json");
  } catch (error) {
    return toast(error.message, "bad");
  }
  const use = async (name, title) => {
    box.close();
    try {
      put(await net.get(`start/${name}.json`), title);
    } catch (error) {
      toast(error.message, "bad");
    }
  };
  const grid = el("div", { class: "starts" }, list.map(({ name, title, lesson }) =>
    el("button", { type: "button", class: "start", onclick: () => use(name, title) },
      el("img", { src: `starts/${name}.jpg`, alt: "", width: 240, height: 180 }), el("b", {}, title), el("span", {}, lesson))));
  const others = el("div", { class: "buttons" }, button("Open a file", () => { box.close(); document.querySelector("#file").click(); }, { class: "quiet" }), button("Paste text", () => { box.close(); pasteText(); }, { class: "quiet" }),
    first ? "" : button("Keep what I have", () => box.close(), { class: "quiet" }));
  const box = dialog(first ? "Begin with one of these" : "Starting points", el("div", { class: "beginning" }, lessons(), grid, others), { wide: true });
  return box;
}

const KEYS = [
  ["T", "triangles"], ["P", "post triangles"], ["G", "snap"], ["F", "frame the picture"], ["H", "history"], ["A", "add a map"], ["D", "double the map"], ["Delete", "remove the map"],
  ["1 to 9", "select a map"], ["Arrows", "move the map; with Shift further"], ["[ and ]", "turn the map"], ["- and +", "scale the map"], ["Ctrl+Z, Ctrl+Shift+Z", "undo, redo"], ["Ctrl+S", "save as .flame"], ["Ctrl+C, Ctrl+V", "copy and paste the flame as text"], ["Wheel", "zoom; with Shift turn"], ["Shift while dragging a corner", "turn and scale"], ["Right click, long press, menu key", "what else can be done with a map"], ["In space", "drag the ground to walk around, with Shift to move"],
];

export function showHelp() {
  dialog("How it works", el("div", { class: "beginning" }, lessons(), el("dl", { class: "keys" }, KEYS.flatMap(([k, what]) => [el("dt", {}, k), el("dd", {}, what)]))), { wide: true });
}

// Drawing on this machine's graphics card by WebGPU, where the browser has one; else the server's pictures are shown.

import * as net from "./net.js";

const QUALITY = 400; // samples a pixel at which a picture is done
const BUDGET = 14; // milliseconds of a step
const canvas = document.createElement("canvas"); // beside the page: its pictures are copied
export const card = { engine: null, name: "", drawing: false };
let busy = false, waiting = null;

/** Take up the card; false where there is none that is worth it. `?gpu=software` takes one that a program plays, `?gpu=off` none. */
export async function takeCard() {
  const wish = new URL(location.href).searchParams.get("gpu");
  if (wish === "off" || !navigator.gpu) return false;
  try {
    const { Engine } = await import("../engine.js");
    card.engine = await Engine.create(canvas, { software: wish === "software" });
  } catch {
    return false;
  }
  card.name = card.engine.name;
  card.engine.lost.then(giveUp);
  return true;
}

function giveUp() {
  card.engine = null;
  card.drawing = false;
  document.dispatchEvent(new Event("cardlost"));
}

/** Draw a flame; the latest wish ends the one before. `show` is called with each picture, while the canvas holds it. */
export function drawOnCard(wish, show) {
  waiting = { wish, show };
  if (!busy) work();
}

// how pictures are taken from the canvas: "drawn", or "saved" where a browser without a card of its own draws nothing
let way = "";

function blank(image) {
  const small = document.createElement("canvas"), pen = small.getContext("2d", { willReadFrequently: true });
  small.width = small.height = 32;
  pen.drawImage(image, 0, 0, 32, 32);
  return pen.getImageData(0, 0, 32, 32).data.every((v, k) => k % 4 === 3 || v === 0);
}

const saved = async () => createImageBitmap(await new Promise((done) => canvas.toBlob(done)));

/** The canvas, or a copy of its picture; to be called in the turn in which it was drawn, as it is empty after that. */
async function taken() {
  if (way === "drawn") return canvas;
  if (way === "saved") return saved();
  if (!blank(canvas)) {
    way = "drawn";
    return canvas;
  }
  const image = await saved();
  if (!blank(image)) way = "saved";
  else if ((await card.engine.histogram()).some((v) => v > 0)) throw new Error("nothing to see");
  return image; // of nothing: the flame is elsewhere
}

async function work() {
  busy = true;
  try {
    while (waiting && card.engine) {
      const { wish, show } = waiting;
      waiting = null;
      await one(wish, show, performance.now());
    }
  } catch {
    if (card.engine) giveUp();
  }
  busy = false;
}

async function one(wish, show, since) {
  const made = await net.post(`structure?width=${wish.width}&height=${wish.height}`, JSON.stringify(wish.flame));
  const engine = card.engine;
  if (!engine.update(made)) await engine.load(made);
  let samples = engine.chains * 16;
  while (!waiting && card.engine && engine.quality < QUALITY) {
    const before = performance.now();
    engine.draw(samples);
    const image = way === "drawn" ? canvas : await taken();
    if (!card.engine) return;
    show({ image, quality: engine.quality, done: engine.quality >= QUALITY, live: wish.live, tag: wish.tag });
    await engine.settled();
    if (!card.drawing) net.send({ type: "rest" });
    card.drawing = true;
    if (since) net.times.push(performance.now() - since);
    since = 0;
    samples = Math.max(engine.chains, Math.min((samples * BUDGET) / Math.max(performance.now() - before, 0.5), 2 * samples, 6e7));
    await new Promise(requestAnimationFrame);
  }
}

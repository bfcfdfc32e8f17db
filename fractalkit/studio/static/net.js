// The connection to the studio's server: edits and wishes out, states, pictures and tasks in. It comes back by itself.

const listeners = new Map();
let socket = null, open = false, tries = 0;
let serial = 0, waiting = null, inFlight = 0, since = 0;
export const times = []; // milliseconds from an edit to its picture

export function on(type, act) {
  if (!listeners.has(type)) listeners.set(type, []);
  listeners.get(type).push(act);
}

const tell = (type, value) => (listeners.get(type) ?? []).forEach((act) => act(value));

export function connect() {
  const url = new URL("live", location.href);
  url.protocol = "ws:";
  socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { open = true; tries = 0; inFlight = 0; tell("online", true); };
  socket.onclose = () => {
    if (open) tell("online", false);
    open = false;
    setTimeout(connect, Math.min(4000, 300 * 1.6 ** tries++));
  };
  socket.onmessage = ({ data }) => (typeof data === "string" ? receive(JSON.parse(data)) : picture(data));
}

function receive(message) {
  if (message.type === "error") inFlight = 0;
  tell(message.type, message);
  flush();
}

async function picture(data) {
  const length = new DataView(data).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const asked = since;
  if (head.serial === inFlight) {
    inFlight = 0;
    head.first = true;
  }
  flush();
  if (head.serial < serial - 40) return;
  const image = await createImageBitmap(new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" }));
  if (head.first) times.push(performance.now() - asked);
  tell("picture", { ...head, image });
}

export function send(message) {
  if (!open) return false;
  socket.send(JSON.stringify(message));
  return true;
}

/** Ask for a picture; while one is on its way, the latest wish waits. */
export function draw(wish) {
  waiting = wish;
  flush();
}

function flush() {
  if (!waiting || inFlight || !open) return;
  const { flame, width, height, live, tag } = waiting;
  waiting = null;
  inFlight = ++serial;
  since = performance.now();
  tell("asked", { serial, tag });
  send({ type: "draw", flame, width, height, live, serial });
  const mine = serial;
  // a picture that never comes must not block those after it
  setTimeout(() => { if (inFlight === mine) { inFlight = 0; flush(); } }, 4000);
}

export async function get(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? "the studio does not answer");
  return answer.json();
}

export async function post(path, body) {
  const answer = await fetch(path, { method: "POST", body });
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(value.error ?? "the studio does not answer");
  return value;
}

/** Resolves once there is a picture, or there should be: what can wait is asked for after it. */
export const calm = new Promise((done) => {
  on("picture", done);
  on("online", () => setTimeout(done, 2500));
});

const kept = new Map();
/** A list that does not change while the page is open. */
export function offer(path) {
  if (!kept.has(path)) kept.set(path, get(path).catch((e) => { kept.delete(path); throw e; }));
  return kept.get(path);
}

// The flame that is being edited, what is selected, and who wants to know of changes.

import { chosenMap, copy } from "./flame.js";
import * as net from "./net.js";

export const work = { flame: null, selected: 0, post: false, snap: false, at: 0, undo: false, redo: false, states: [], dragging: false, refining: false, moved: false };

export const MOVES = new Set(["move a corner", "move an edge", "move a map", "turn a map", "scale a map"]);
const watchers = new Set();

/** Be called after every change: `what` is "live" (numbers moved), "state" (all may be new), "select", "edit"
 * (something is dragged) or "committed". */
export function watch(act) {
  watchers.add(act);
}

export function changed(what) {
  for (const act of watchers) act(what);
}

/** Change the flame while something is dragged; the picture follows, the history does not. */
export function edit(change) {
  change(work.flame);
  work.dragging = true;
  changed("live");
  changed("edit");
}

/** The change is done: into the history. */
export function commit(label) {
  work.dragging = false;
  work.moved = MOVES.has(label);
  net.send({ type: "commit", flame: work.flame, label });
  changed("live");
  changed("committed");
}

/** One whole change. */
export function apply(label, change) {
  change(work.flame);
  work.dragging = false;
  net.send({ type: "commit", flame: work.flame, label });
  changed("state");
}

/** Another flame in place of this one. */
export function put(flame, label) {
  work.flame = copy(flame);
  work.selected = 0;
  work.dragging = false;
  net.send({ type: "commit", flame: work.flame, label });
  changed("state");
}

export function select(key) {
  if (work.selected === key) return;
  work.selected = key;
  changed("select");
}

export const chosen = () => (work.flame ? chosenMap(work.flame, work.selected) : null);

net.on("state", (message) => {
  if (message.page) work.page = message.page;
  work.at = message.at;
  work.undo = message.undo;
  work.redo = message.redo;
  if (message.states) work.states = message.states;
  if (message.new && !work.states.some((s) => s.id === message.new.id)) work.states.push(message.new);
  const mine = work.flame && message.by === work.page && message.by > 0;
  if (message.flame && !mine && !work.dragging) work.flame = message.flame;
  if (work.flame && !chosen()) work.selected = 0;
  changed(mine ? "history" : "state");
});

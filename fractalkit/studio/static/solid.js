// Affine maps of space: a flame's map acts in three planes before its variations, and in three after them.

import { IDENTITY, isAffine, norm } from "./flame.js";

const PARTS = ["coefs", "yz_coefs", "zx_coefs", "post", "yz_post", "zx_post"];
const plain = (v) => v.every((x, i) => x === IDENTITY[i]);
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const minus = (a, b, k = 1) => a.map((v, i) => v - k * b[i]);
const weightOf = (map, name) => map.variations.find(([n]) => n === name)?.[1] ?? 0;

/** Whether a map moves points in all three dimensions and is affine: it is edited as a body. */
export const isBody = (map) => isAffine(map) && (weightOf(map, "linear3D") !== 0 || PARTS.some((p) => p.includes("_") && !plain(map[p])));

/** Whether all maps of a flame are such. */
export const isSolid = (flame) => flame.xforms.length > 0 && flame.xforms.every(isBody);

function through([x, y, z], [a, d, b, e, c, f], yz, zx) {
  [x, y] = [a * x + b * y, d * x + e * y];
  [y, z] = [yz[0] * y + yz[2] * z, yz[1] * y + yz[3] * z];
  [x, z] = [zx[0] * x + zx[2] * z, zx[1] * x + zx[3] * z];
  return [x + c + zx[4], y + f + yz[4], z + yz[5] + zx[5]];
}

/** The affine map of a body: images of the three axes as columns, and of the origin. */
export function bodyOf(map) {
  const gain = map.variations.reduce((s, [, w]) => s + w, 0), deep = weightOf(map, "linear3D");
  const image = (p) => {
    const [x, y, z] = through(p, map.coefs, map.yz_coefs, map.zx_coefs);
    return through([gain * x, gain * y, deep * z], map.post, map.yz_post, map.zx_post);
  };
  const o = image([0, 0, 0]);
  return { o, columns: [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map((p) => minus(image(p), o)) };
}

/** Make a map the affine map with these columns and this image of the origin: a triangular one, then a rotation. */
export function putBody(map, { o, columns }) {
  const unit = (v, other) => {
    const size = Math.hypot(...v);
    if (size > 1e-12) return v.map((x) => x / size);
    return other;
  };
  const first = unit(columns[0], [1, 0, 0]);
  const free = unit(cross(first, Math.abs(first[0]) < 0.9 ? [1, 0, 0] : [0, 1, 0]), [0, 1, 0]);
  const second = unit(minus(columns[1], first, dot(first, columns[1])), free);
  const third = cross(first, second);
  const [a, b, c] = columns;
  const [q02, q10, q11, q12, q20, q22, q00] = [third[0], first[1], second[1], third[1], first[2], third[2], first[0]];
  const level = Math.abs(q12) > 1 - 1e-12;
  const alpha = level ? Math.atan2(-q20, q00) : Math.atan2(q02, q22), gamma = level ? 0 : Math.atan2(q10, q11), beta = Math.asin(Math.max(-1, Math.min(1, -q12)));
  const [ca, sa, cb, sb, cg, sg] = [alpha, beta, gamma].flatMap((t) => [Math.cos(t), Math.sin(t)]);
  Object.assign(map, {
    coefs: [dot(first, a), 0, dot(first, b), dot(second, b), 0, 0], yz_coefs: [1, 0, dot(second, c), 1, 0, 0], zx_coefs: [1, 0, dot(first, c), dot(third, c), 0, 0],
    post: [cg, sg, -sg, cg, o[0], o[1]], yz_post: [cb, sb, -sb, cb, 0, o[2]], zx_post: [ca, -sa, sa, ca, 0, 0], variations: [["linear3D", 1]],
  });
}

/** The corners of a body: where the origin and the ends of the axes go; y upwards, as codes have it. */
export function bodyCorners({ o, columns: [a, b, c] }) {
  return { o, x: o.map((v, i) => v + a[i]), y: o.map((v, i) => v - b[i]), z: o.map((v, i) => v + c[i]) };
}

export function fromBodyCorners({ o, x, y, z }) {
  return { o: [...o], columns: [minus(x, o), minus(o, y), minus(z, o)] };
}

/** The largest singular value of the linear part, by power iteration. */
export function bodyNorm({ columns }) {
  let v = [0.6, 0.5, 0.62], size = 0;
  for (let k = 0; k < 60; k++) {
    const image = [0, 1, 2].map((i) => columns[0][i] * v[0] + columns[1][i] * v[1] + columns[2][i] * v[2]);
    size = Math.hypot(...image);
    const back = columns.map((column) => dot(column, image)), length = Math.hypot(...back);
    if (length < 1e-15) return size;
    v = back.map((x) => x / length);
  }
  return size;
}

/** Why a map does not contract, or "". */
export function stretch(map) {
  const gain = isAffine(map) ? Math.abs(map.variations.reduce((s, [, w]) => s + w, 0)) : 1;
  const n = isBody(map) ? bodyNorm(bodyOf(map)) : norm(map.coefs) * norm(map.post) * gain;
  if (n < 1) return "";
  const part = isAffine(map) ? "This map" : "The affine part of this map";
  return `${part} stretches: its norm is ${n.toFixed(3)}, and contraction needs less than 1. A flame may do that; a code (.ifs.json) may not.`;
}

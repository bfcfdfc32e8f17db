// Mathematics of a flame's plain form: affine maps (a, d, b, e, c, f), the camera, palettes, contraction.

export const IDENTITY = [1, 0, 0, 1, 0, 0];

/** The plain form of a map without anything special. */
export function plainMap(over = {}) {
  return {
    weight: 0.5, color: 0, color_speed: 0.5, opacity: 1, animate: 1, coefs: [...IDENTITY], post: [...IDENTITY],
    yz_coefs: [...IDENTITY], zx_coefs: [...IDENTITY], yz_post: [...IDENTITY], zx_post: [...IDENTITY],
    variations: [["linear", 1]], parameters: {}, chaos: [], motions: [], extras: {}, ...over,
  };
}

export const copy = (value) => structuredClone(value);

/** The map that the selection names: a number of a map, or "f0", "f1" ... of the final ones. */
export function chosenMap(flame, key) {
  return typeof key === "string" ? flame.finals[Number(key.slice(1))] : flame.xforms[key];
}

/** All keys of maps, final ones last. */
export function mapKeys(flame) {
  return [...flame.xforms.keys(), ...flame.finals.map((_, i) => `f${i}`)];
}

export const nameOf = (key) => (typeof key === "string" ? (key === "f0" ? "F" : `F${Number(key.slice(1)) + 1}`) : String(key + 1));

/** The corners O, X and Y of a map's triangle in the plane (y down); Y is drawn upwards, as in Apophysis. */
export function corners([a, d, b, e, c, f]) {
  return { o: [c, f], x: [c + a, f + d], y: [c - b, f - e] };
}

/** The affine map whose triangle has these corners. */
export function fromCorners({ o, x, y }) {
  return [x[0] - o[0], x[1] - o[1], o[0] - y[0], o[1] - y[1], o[0], o[1]];
}

/** The largest singular value of the linear part. */
export function norm([a, d, b, e]) {
  const s = (a * a + b * b + d * d + e * e) / 2;
  const det = a * e - b * d;
  return Math.sqrt(s + Math.sqrt(Math.max(0, s * s - det * det)));
}

/** The linear part after a turn by degrees and a scale, the offset kept. */
export function turned([a, d, b, e, c, f], degrees, scale = 1) {
  const t = (degrees * Math.PI) / 180, k = Math.cos(t) * scale, s = Math.sin(t) * scale;
  return [k * a - s * d, s * a + k * d, k * b - s * e, s * b + k * e, c, f];
}

/** Length, angle of X in degrees (counter-clockwise), and the like of Y, as artists read them. */
export function polar([a, d, b, e]) {
  const deg = 180 / Math.PI;
  return { xl: Math.hypot(a, d), xa: Math.atan2(-d, a) * deg, yl: Math.hypot(b, e), ya: Math.atan2(e, -b) * deg };
}

/** Whether a map's variations leave it affine. */
export const isAffine = (map) => map.variations.every(([n, w]) => w === 0 || n === "linear" || n === "linear3D");

// ---- the camera

/** Camera of a flame for a picture `width` wide: points of the plane or of space to pixels, from the picture's corner. */
export function camera(flame, width) {
  const s = flame.settings;
  const unit = (s.scale * 2 ** s.zoom * s.cam_zoom * width) / s.size[0];
  const t = (s.rotate * Math.PI) / 180, c = Math.cos(t), n = Math.sin(t);
  const [cx, cy] = s.center, height = (width * s.size[1]) / s.size[0];
  const flat = ([x, y]) => [unit * (c * (x - cx) - n * (y - cy)) + width / 2, unit * (n * (x - cx) + c * (y - cy)) + height / 2];
  const turn = turning(s);
  return {
    unit, width, height, flat,
    to: (point) => flat(turn.seen(point)),
    from: ([u, v]) => {
      const p = (u - width / 2) / unit, q = (v - height / 2) / unit;
      return [c * p + n * q + cx, -n * p + c * q + cy];
    },
    vector: ([du, dv]) => [(c * du + n * dv) / unit, (-n * du + c * dv) / unit],
    move: turn.move,
  };
}

/** The camera in space: what is seen of a point, and the move in space (or in the plane z = 0) behind one that is seen. */
function turning(s) {
  const [cw, sw, cp, sp, cr, sr] = [s.cam_yaw, s.cam_pitch, s.cam_roll].flatMap((v) => [Math.cos(v), Math.sin(v)]);
  // rows of the rotation: x, y and depth of what is seen
  const row = (f) => [f([1, 0, 0]), f([0, 1, 0]), f([0, 0, 1])];
  const spun = ([x, y, z]) => {
    const p = cw * x + sw * y, h = cw * y - sw * x;
    const q = cr * p + sr * z, d = cr * z - sr * p;
    return [q, cp * h - sp * d, sp * h + cp * d];
  };
  const [a, b, d] = [0, 1, 2].map((i) => row((p) => spun(p)[i]));
  const near = (z) => Math.max(1e-3, 1 - s.cam_persp * z);
  const along = (r, [x, y, z = 0]) => r[0] * x + r[1] * y + r[2] * (z - s.cam_zpos);
  return {
    seen: (point) => {
      const k = near(along(d, point));
      return [along(a, point) / k, along(b, point) / k];
    },
    move: ([dx, dy], at, flat = false) => {
      const k = near(along(d, at)), x = dx * k, y = dy * k;
      if (!flat) return [0, 1, 2].map((i) => a[i] * x + b[i] * y);
      const det = a[0] * b[1] - a[1] * b[0]; // seen from the side, a plane cannot be pulled at
      if (Math.abs(det) < 0.08) return [0, 0, 0];
      return [(b[1] * x - a[1] * y) / det, (a[0] * y - b[0] * x) / det, 0];
    },
  };
}

// ---- colours

/** Colour k of a palette, as [r, g, b] of 0 to 255. */
export function colourAt(palette, t) {
  const wide = palette.length === 2048 ? 8 : 6;
  const k = Math.max(0, Math.min(255, Math.round(t * 255))) * wide;
  return [0, 2, 4].map((i) => parseInt(palette.slice(k + i, k + i + 2), 16));
}

export const hex = (rgb) => "#" + rgb.map((v) => Math.max(0, Math.min(255, Math.round(v))).toString(16).padStart(2, "0")).join("");
export const unhex = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));

/** A map's colour, made light enough to be seen on a dark picture. */
export function mapColour(flame, map) {
  const rgb = colourAt(flame.palette, Math.max(0, Math.min(1, map.color)));
  const level = Math.max(...rgb, 1);
  const up = level < 170 ? 170 / level : 1;
  return hex(rgb.map((v) => Math.min(255, v * up * 0.88 + 28)));
}

const linear = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const display = (v) => 255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * Math.max(v, 0) ** (1 / 2.4) - 0.055);

/** sRGB to Oklab (B. Ottosson, 2020). */
export function oklab(rgb) {
  const [r, g, b] = rgb.map(linear);
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

export function fromOklab([L, a, b]) {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    display(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    display(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    display(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ].map((v) => Math.max(0, Math.min(255, v)));
}

/** 256 colours between stops [[place, "#rrggbb"], ...], in Oklab. */
export function gradient(stops) {
  const sorted = [...stops].sort((p, q) => p[0] - q[0]).map(([t, c]) => [t, oklab(unhex(c))]);
  let out = "";
  for (let k = 0; k < 256; k++) {
    const t = k / 255;
    let i = sorted.findIndex(([at]) => at >= t);
    if (i < 0) i = sorted.length - 1;
    const [t1, c1] = sorted[i], [t0, c0] = sorted[Math.max(0, i - 1)];
    const u = t1 > t0 ? Math.max(0, Math.min(1, (t - t0) / (t1 - t0))) : 1;
    out += hex(fromOklab(c0.map((v, j) => v + u * (c1[j] - v)))).slice(1);
  }
  return out;
}

/** A palette as a CSS gradient. */
export function cssGradient(palette, steps = 24) {
  const parts = [];
  for (let k = 0; k <= steps; k++) parts.push(`${hex(colourAt(palette, k / steps))} ${((100 * k) / steps).toFixed(1)}%`);
  return `linear-gradient(90deg, ${parts.join(", ")})`;
}

// Windows of a code of the plane by WebGPU, at any place and depth: copies of a cloud of points by the maps of the pieces
// in view, as fractalkit.render.zoom_ifs draws them. An ES module that needs engine.js alone.
//
//   const deep = await Deep.create(canvas, code, { software: true });
//       Opens the device; `code` is what IFSWindows.for_browser() gives. Throws as Engine.create does.
//   deep.draw(x, y, w, quality)
//       Shows the window about x, y, in shares of the whole's width, y down, that is w wide and has the canvas' shape,
//       by `quality` points a pixel. Places are float64, maps relative to the window float32. Returns how many pieces.
//   await deep.settled(), deep.lost, deep.name, deep.software
import { openDevice, presenter } from "./engine.js";

const GROUP = 64;
const POINTS = 1 << 18;
const FINE = 0.12; // size of the pieces as a share of the window
const WORDS = 6000; // at most
const DEPTH = 4000;

const COPY = `
struct Settings { points: u32, words: u32, cloud: u32, wide: u32, columns: u32, rows: u32, unit: f32, spare: u32 };
struct Word { x: vec4f, y: vec4f, tint: vec4f };  // rows of the map, to cells; colour, and the share of the point's
@group(0) @binding(0) var<uniform> settings: Settings;
@group(0) @binding(1) var<storage, read> words: array<Word>;
@group(0) @binding(2) var<storage, read> begins: array<u32>;
@group(0) @binding(3) var<storage, read> points: array<vec2f>;
@group(0) @binding(4) var<storage, read> colours: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> cells: array<atomic<u32>>;
@compute @workgroup_size(${GROUP})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x + id.y * settings.wide;
  if (i >= settings.points) { return; }
  var w = 0u;  // the last word that begins at i or before
  var end = settings.words - 1u;
  while (w < end) {
    let middle = (w + end + 1u) / 2u;
    if (begins[middle] <= i) { w = middle; } else { end = middle - 1u; }
  }
  let word = words[w];
  let j = i % settings.cloud;
  let p = vec4f(points[j], 1.0, 0.0);
  let at = vec2f(dot(word.x, p), dot(word.y, p));
  if (at.x >= 0.0 && at.y >= 0.0 && at.x < f32(settings.columns) && at.y < f32(settings.rows)) {
    let cell = 4u * (u32(at.y) * settings.columns + u32(at.x));
    let c = vec3u((word.tint.xyz + word.tint.w * colours[j].xyz) * settings.unit + 0.5);
    atomicAdd(&cells[cell], c.x);
    atomicAdd(&cells[cell + 1u], c.y);
    atomicAdd(&cells[cell + 2u], c.z);
    atomicAdd(&cells[cell + 3u], u32(settings.unit));
  }
}`;

// points of the chaos game and their colours, blended along the orbit; the same each time (mulberry32)
function cloud({ maps, chances, tints, speed }) {
  const points = new Float32Array(2 * POINTS), colours = new Float32Array(4 * POINTS);
  let s = 1, x = 0, y = 0, c = [0, 0, 0];
  const random = () => {
    s = (s + 0x6d2b79f5) | 0;
    let t = Math.imul(s ^ (s >>> 15), 1 | s);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  for (let i = -100; i < POINTS; i++) {
    let u = random(), k = 0;
    while (k < maps.length - 1 && u >= chances[k]) u -= chances[k++];
    const m = maps[k];
    [x, y] = [m[0] * x + m[1] * y + m[4], m[2] * x + m[3] * y + m[5]];
    c = c.map((v, j) => (1 - speed) * v + speed * tints[k][j]);
    if (i >= 0) {
      points.set([x, y], 2 * i);
      colours.set(c, 4 * i);
    }
  }
  return { points, colours };
}

// the larger singular value of a matrix of two rows
function norm(a, b, c, d) {
  const p = a * a + b * b + c * c + d * d, q = a * d - b * c;
  return Math.sqrt((p + Math.sqrt(Math.max(p * p - 4 * q * q, 0))) / 2);
}

export class Deep {
  static async create(canvas, code, options = {}) {
    const opened = await openDevice(options);
    const made = new Deep(canvas, code, opened);
    const module = opened.device.createShaderModule({ code: COPY });
    const flush = opened.device.createShaderModule({ code: code.flush });
    const compute = (m) => ({ layout: "auto", compute: { module: m, entryPoint: "main" } });
    made.copy = await opened.device.createComputePipelineAsync(compute(module));
    made.flush = await opened.device.createComputePipelineAsync(compute(flush));
    return made;
  }

  constructor(canvas, code, { device, software, name }) {
    Object.assign(this, { canvas, code, device, software, name });
    this.lost = device.lost.then((info) => info.message || "The graphics device was lost.");
    this.present = presenter(device, canvas);
    const { points, colours } = cloud(code);
    const use = GPUBufferUsage;
    const buffer = (size, usage) => device.createBuffer({ size, usage: usage | use.COPY_DST });
    this.settings = buffer(32, use.UNIFORM);
    this.flushed = buffer(16, use.UNIFORM);
    this.words = buffer(48 * WORDS, use.STORAGE);
    this.begins = buffer(4 * WORDS, use.STORAGE);
    this.points = buffer(points.byteLength, use.STORAGE);
    this.colours = buffer(colours.byteLength, use.STORAGE);
    device.queue.writeBuffer(this.points, 0, points);
    device.queue.writeBuffer(this.colours, 0, colours);
    this.size = [0, 0];
  }

  draw(x, y, w, quality) {
    const { device, code } = this, columns = this.canvas.width, rows = this.canvas.height;
    const unit = columns / (w * code.side);
    const middle = [code.corner[0] + code.side * x, code.corner[1] + code.side * (1 - y)];
    const found = this.pieces(middle, [columns / unit / 2, rows / unit / 2]);
    this.#sized(columns, rows);
    const n = Math.min(Math.round(quality * columns * rows), 4e8), mass = found.reduce((sum, p) => sum + p.mass, 0);
    const whole = Math.max(1, Math.min(256, Math.floor(4294967295 / Math.max(n, 1))));
    const data = new Float32Array(12 * found.length), begins = new Uint32Array(found.length);
    let before = 0, index = 0;
    for (const p of found) {
      data.set([unit * p.a, unit * p.b, unit * p.x + columns / 2, 0], 12 * index);
      data.set([-unit * p.c, -unit * p.d, -unit * p.y + rows / 2, 0], 12 * index + 4);
      data.set([...p.tint, p.rest], 12 * index + 8);
      begins[index++] = Math.round(before * n);
      before += p.mass / mass;
    }
    const encoder = device.createCommandEncoder();
    encoder.clearBuffer(this.sums);
    if (found.length) {
      const groups = Math.ceil(n / GROUP), wide = Math.min(groups, 32768);
      const head = new ArrayBuffer(32);
      new Uint32Array(head).set([n, found.length, POINTS, wide * GROUP, columns, rows]);
      new Float32Array(head)[6] = whole;
      device.queue.writeBuffer(this.settings, 0, head);
      device.queue.writeBuffer(this.words, 0, data);
      device.queue.writeBuffer(this.begins, 0, begins);
      const told = new ArrayBuffer(16);
      new Float32Array(told)[0] = 1 / whole;
      new Uint32Array(told)[1] = 4 * columns * rows;
      device.queue.writeBuffer(this.flushed, 0, told);
      this.#run(encoder, this.copy, this.bound.copy, wide, Math.ceil(groups / wide));
      const parts = Math.ceil((4 * columns * rows) / 256), most = Math.min(parts, 32768);
      this.#run(encoder, this.flush, this.bound.flush, most, Math.ceil(parts / most));
    }
    device.queue.submit([encoder.finish()]);
    this.present(this.sums, code.tone, Math.max(quality, 1e-9), columns);
    return found.length;
  }

  async settled() {
    await this.device.queue.onSubmittedWorkDone();
  }

  // the pieces that a window meets, each small beside it: maps relative to the middle, mass, colour, share of the point's
  pieces(middle, half) {
    const { maps, chances, tints, speed, centre, radius } = this.code, fine = 2 * FINE * Math.max(...half), done = [];
    let todo = [{ a: 1, b: 0, c: 0, d: 1, x: -middle[0], y: -middle[1], mass: 1, tint: [0, 0, 0], rest: 1 }];
    for (let length = 0; length < DEPTH && todo.length; length++) {
      const grown = [];
      for (const p of todo) {
        const reach = norm(p.a, p.b, p.c, p.d) * radius;
        const x = p.a * centre[0] + p.b * centre[1] + p.x, y = p.c * centre[0] + p.d * centre[1] + p.y;
        if (Math.abs(x) > half[0] + reach || Math.abs(y) > half[1] + reach) continue;
        (reach <= fine ? done : grown).push(p);
      }
      if (done.length + grown.length * maps.length > WORDS) return done.concat(grown).slice(0, WORDS);
      todo = [];
      for (const p of grown) {
        for (let k = 0; k < maps.length; k++) {
          if (!(chances[k] > 0)) continue;
          const [a, b, c, d, x, y] = maps[k];
          todo.push({
            a: p.a * a + p.b * c, b: p.a * b + p.b * d, c: p.c * a + p.d * c, d: p.c * b + p.d * d,
            x: p.a * x + p.b * y + p.x, y: p.c * x + p.d * y + p.y,
            mass: p.mass * chances[k], tint: p.tint.map((v, j) => v + p.rest * speed * tints[k][j]), rest: p.rest * (1 - speed),
          });
        }
      }
    }
    return done;
  }

  #sized(columns, rows) {
    if (this.size[0] === columns && this.size[1] === rows) return;
    this.size = [columns, rows];
    this.cells?.destroy();
    this.sums?.destroy();
    const size = 16 * columns * rows, usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
    this.cells = this.device.createBuffer({ size, usage });
    this.sums = this.device.createBuffer({ size, usage });
    const bind = (pipeline, buffers) => this.device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0), entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
    this.bound = {
      copy: bind(this.copy, [this.settings, this.words, this.begins, this.points, this.colours, this.cells]),
      flush: bind(this.flush, [this.flushed, this.cells, this.sums]),
    };
  }

  #run(encoder, pipeline, bound, ...groups) {
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bound);
    pass.dispatchWorkgroups(...groups);
    pass.end();
  }
}

// Flames by WebGPU on a canvas, from what fractalkit.web.structure() gives. An ES module without dependencies.
//
//   const engine = await Engine.create(canvas, { software: true });
//       Opens the device. Throws an Error with one sentence where there is no WebGPU, or only a program that plays a
//       card and `software` is not true: such a page should take pictures from the server.
//   await engine.load(structure)
//       Takes a structure up: compiles its shader unless it is kept (the last 16 are), sets the canvas' size and all
//       numbers, and begins anew. Throws an Error that names the line if the browser refuses the shader.
//   engine.update(structure) -> boolean
//       The same at once for a structure with the key of the present one; false, and nothing is done, for another key.
//   engine.set(name, value), engine.get(name)
//       One number by its name in structure.places, such as "0.coefs.2" or "1.variations.julian"; begins anew.
//   engine.setCamera(six numbers), engine.setTone({ brightness factor k1, gamma, ... })
//       The view, which begins anew, or the tone map, which does not.
//   engine.draw(samples)
//       Adds samples and shows the picture so far. Returns at once; `await engine.settled()` waits for the device.
//   engine.run({ quality, onprogress }), engine.stop()
//       Draws frame by frame, each about `budget` ms (12), until there are `quality` samples a pixel.
//   engine.restart(), engine.samples, engine.quality (samples a pixel so far), engine.software, engine.name
//   await engine.histogram() -> Float32Array of sums, four a cell
//   engine.lost -> Promise of a sentence, if the device goes away: the page should then take pictures from the server
//   engine.destroy()
//
// The same seed gives the same picture on one device. Random numbers, chains and their order of work are those of
// fractalkit.orbit.wgsl, which describes the shader.

const FUSE = 20; // steps of a chain that are not drawn
const RESTART = 10000; // steps after which chains begin anew
const KEPT = 16; // compiled shaders

const SHOW = `
struct Tone { k1: f32, k2: f32, glow: f32, cover: f32, gamma: f32, threshold: f32, vibrancy: f32, power: f32,
              gains: vec4f, background: vec3f, columns: u32 };
@group(0) @binding(0) var<uniform> tone: Tone;
@group(0) @binding(1) var<storage, read> sums: array<vec4f>;
@vertex fn corner(@builtin(vertex_index) i: u32) -> @builtin(position) vec4f {
  return vec4f(f32(i & 1u) * 4.0 - 1.0, f32(i >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}
fn power(x: f32, e: f32) -> f32 { return select(0.0, pow(max(x, 1e-30), e), x > 0.0); }
@fragment fn pixel(@builtin(position) at: vec4f) -> @location(0) vec4f {
  let cell = sums[u32(at.y) * tone.columns + u32(at.x)];
  let n = 255.0 * cell.w;
  var t = vec4f(0.0);
  if (n > 0.0) {
    let near = tone.k2 * n;
    let log1p = select(log(1.0 + near), near - 0.5 * near * near, near < 1e-3);
    t = cell * tone.gains * (255.0 * (tone.k1 * log1p + tone.glow / (1.0 + n / 255.0)) / n);
  }
  let d = t.w / 255.0;
  var alpha = 0.0;
  var gain = 0.0;
  if (d > 0.0) {
    var full = power(d, tone.gamma);
    if (d < tone.threshold) {
      let f = d / tone.threshold;
      full = (1.0 - f) * d * power(tone.threshold, tone.gamma - 1.0) + f * full;
    }
    gain = 256.0 * tone.vibrancy * full / d;
    alpha = clamp(full, 0.0, 1.0);
  }
  var rgb = t.xyz * (gain / 255.0);
  let top = max(max(rgb.x, rgb.y), rgb.z);
  if (top > 255.0 && gain > 0.0) {
    let down = 255.0 / top;
    if (tone.power >= 0.0) {
      let most = vec3f(top * down);
      rgb = most - (most - rgb * down) * pow(down, tone.power);
    } else {
      let plain = min(-tone.power, 1.0);
      rgb *= (1.0 - plain) * down + plain;
    }
  }
  let grey = max(t.xyz / 255.0, vec3f(0.0));
  rgb += (1.0 - tone.vibrancy) * 256.0 * vec3f(power(grey.x, tone.gamma), power(grey.y, tone.gamma), power(grey.z, tone.gamma));
  rgb += max(1.0 - alpha * tone.cover, 0.0) * 256.0 * tone.background;
  return vec4f(clamp(rgb / 255.0, vec3f(0.0), vec3f(1.0)), 1.0);
}`;

const floats = (text) => {
  if (typeof text !== "string") return Float32Array.from(text);
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Float32Array(bytes.buffer);
};

// keys, counts and numbers of chains; the keys are those of fractalkit.orbit.streams.chain_keys
const chainNames = (seed, chains, last) => {
  const mask = 0xffffffffffffffffn;
  const out = new Uint32Array(4 * chains);
  let at = (BigInt(seed) * 0xd1342543de82ef95n) & mask;
  for (let i = 0; i < chains; i++, at = (at + 1n) & mask) {
    let x = (at * 0x9e3779b97f4a7c15n + 0x9e3779b97f4a7c15n) & mask;
    x = ((x ^ (x >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
    x = ((x ^ (x >> 27n)) * 0x94d049bb133111ebn) & mask;
    x ^= x >> 31n;
    out[4 * i] = Number(x & 0xffffffffn);
    out[4 * i + 1] = Number(x >> 32n);
    out[4 * i + 3] = (last | (i << 13)) >>> 0;
  }
  return out;
};

// the device, whether it is a program, and its name; for this module and deep.js
export async function openDevice(options) {
  const gpu = globalThis.navigator?.gpu;
  if (!gpu) throw new Error("This browser has no WebGPU.");
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("This browser found no graphics card that it can use.");
  const info = adapter.info ?? {};
  const software =
    info.isFallbackAdapter || adapter.isFallbackAdapter ||
    /swiftshader|llvmpipe|lavapipe|software/i.test(`${info.architecture} ${info.device} ${info.description}`);
  if (software && !options.software) throw new Error("This browser only plays a graphics card by software.");
  const { maxStorageBufferBindingSize, maxBufferSize } = adapter.limits;
  const device = await adapter.requestDevice({ requiredLimits: { maxStorageBufferBindingSize, maxBufferSize } });
  const name = info.description || info.device || [info.vendor, info.architecture].filter(Boolean).join(" ");
  return { device, software: Boolean(software), name };
}

// a function (sums, tone, samples a pixel, columns) that shows sums on a canvas; for this module and deep.js
export function presenter(device, canvas) {
  const context = canvas.getContext("webgpu"), format = navigator.gpu.getPreferredCanvasFormat();
  context.configure({ device, format, alphaMode: "opaque" });
  const module = device.createShaderModule({ code: SHOW });
  const pipeline = device.createRenderPipeline({
    layout: "auto",
    vertex: { module, entryPoint: "corner" },
    fragment: { module, entryPoint: "pixel", targets: [{ format }] },
    primitive: { topology: "triangle-list" },
  });
  const toned = device.createBuffer({ size: 64, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  let bound, of;
  return (sums, t, quality, columns) => {
    if (of !== sums) {
      const entries = [toned, sums].map((buffer, binding) => ({ binding, resource: { buffer } }));
      bound = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
      of = sums;
    }
    const data = new ArrayBuffer(64);
    new Float32Array(data).set([
      t.k1, t.k2 / quality, t.glow / quality, t.cover, t.gamma, t.threshold, t.vibrancy, t.power,
      ...t.gains, ...t.background,
    ]);
    new Uint32Array(data)[15] = columns;
    device.queue.writeBuffer(toned, 0, data);
    const encoder = device.createCommandEncoder();
    const view = context.getCurrentTexture().createView();
    const pass = encoder.beginRenderPass({
      colorAttachments: [{ view, loadOp: "clear", storeOp: "store", clearValue: [0, 0, 0, 1] }],
    });
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bound);
    pass.draw(3);
    pass.end();
    device.queue.submit([encoder.finish()]);
  };
}

export class Engine {
  static async create(canvas, options = {}) {
    const { device, software, name } = await openDevice(options);
    return new Engine(canvas, device, software, name, options);
  }

  constructor(canvas, device, software, name, options) {
    Object.assign(this, { canvas, device, software, name });
    this.seed = options.seed ?? 0;
    this.chains = options.chains ?? (software ? 4096 : 65536);
    this.full = software ? 4e6 : 16e6; // samples between two flushes
    this.samples = 0;
    this.kept = new Map();
    this.lost = device.lost.then((info) => info.message || "The graphics device was lost.");
    this.show = presenter(device, canvas);
    const use = GPUBufferUsage;
    this.settings = device.createBuffer({ size: 96, usage: use.UNIFORM | use.COPY_DST });
    this.flushed = device.createBuffer({ size: 16, usage: use.UNIFORM | use.COPY_DST });
  }

  async load(structure) {
    const walk = await this.#compiled(structure.shader, structure.key);
    this.flush = await this.#compiled(structure.flush, "flush");
    this.walk = walk;
    this.key = structure.key;
    this.#take(structure);
  }

  update(structure) {
    if (structure.key !== this.key) return false;
    this.#take(structure);
    return true;
  }

  get(name) {
    return this.numbers[this.#place(name)];
  }

  set(name, value) {
    const place = this.#place(name);
    this.numbers[place] = value;
    this.device.queue.writeBuffer(this.buffers.numbers, 4 * place, this.numbers, place, 1);
    this.restart();
  }

  setCamera(camera) {
    this.camera = [...camera];
    this.restart();
  }

  setTone(changes) {
    Object.assign(this.tone, changes);
    this.#present();
  }

  restart() {
    this.samples = 0;
    this.t = 0;
    const encoder = this.device.createCommandEncoder();
    encoder.clearBuffer(this.buffers.counts);
    encoder.clearBuffer(this.buffers.sums);
    this.device.queue.submit([encoder.finish()]);
  }

  get quality() {
    return this.size ? this.samples / (this.size[0] * this.size[1]) : 0;
  }

  draw(samples) {
    let steps = Math.max(1, Math.ceil(samples / this.chains));
    while (steps > 0) {
      const fuse = Math.max(0, FUSE - this.t);
      const now = Math.min(steps + fuse, Math.max(fuse + 1, Math.floor(this.full / this.chains)), RESTART + FUSE - this.t);
      this.#walk(now);
      this.samples += Math.max(0, now - fuse) * this.chains;
      steps -= now - fuse;
      this.t = this.t + now >= RESTART + FUSE ? 0 : this.t + now;
    }
    this.#present();
  }

  async settled() {
    await this.device.queue.onSubmittedWorkDone();
  }

  run({ quality = 100, budget = 12, onprogress } = {}) {
    this.stop();
    const turn = (this.turn = {});
    let samples = this.chains * 16;
    const frame = async () => {
      if (this.turn !== turn) return;
      const before = performance.now();
      this.draw(samples);
      await this.settled();
      const took = performance.now() - before;
      samples = Math.max(this.chains, Math.min(samples * Math.min(2, budget / Math.max(took, 0.1)), 4 * this.full));
      if (this.turn !== turn) return;
      onprogress?.(Math.min(1, this.quality / quality), this);
      if (this.quality < quality) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  stop() {
    this.turn = null;
  }

  async histogram() {
    const size = this.buffers.sums.size;
    const copy = this.device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.buffers.sums, 0, copy, 0, size);
    this.device.queue.submit([encoder.finish()]);
    await copy.mapAsync(GPUMapMode.READ);
    const out = new Float32Array(copy.getMappedRange().slice(0));
    copy.destroy();
    return out;
  }

  destroy() {
    this.stop();
    this.device.destroy();
  }

  // ---- what follows is not for pages

  async #compiled(code, key) {
    if (!this.kept.has(key)) {
      const module = this.device.createShaderModule({ code });
      const problem = (await module.getCompilationInfo()).messages.find((m) => m.type === "error");
      if (problem) throw new Error(`The browser refuses the shader: line ${problem.lineNum}: ${problem.message}`);
      const compute = { module, entryPoint: "main" };
      const made = await this.device.createComputePipelineAsync({ layout: "auto", compute });
      while (this.kept.size >= KEPT) this.kept.delete([...this.kept.keys()].find((k) => k !== "flush"));
      this.kept.set(key, made);
    }
    return this.kept.get(key);
  }

  #place(name) {
    const place = this.places?.[name];
    if (place === undefined) throw new Error(`There is no number ${name} in this structure.`);
    return place;
  }

  #take(structure) {
    const [columns, rows] = structure.size;
    this.size = [columns, rows];
    this.places = structure.places;
    this.numbers = floats(structure.numbers);
    this.camera = [...structure.camera];
    this.tone = { ...structure.tone };
    this.maps = structure.maps;
    this.shades = structure.shades;
    this.group = structure.group;
    this.unit = 2 ** Math.floor(Math.log2((2 ** 32 / this.full - 1) / Math.max(structure.brightest, 1e-30)));
    if (this.canvas.width !== columns) this.canvas.width = columns;
    if (this.canvas.height !== rows) this.canvas.height = rows;
    const use = GPUBufferUsage;
    const made = (name, data, size, usage) => {
      const bytes = Math.max(16, data ? data.byteLength : size);
      if (this.buffers?.[name]?.size !== bytes || this.buffers[name].usage !== (usage | use.COPY_DST | use.COPY_SRC)) {
        this.buffers?.[name]?.destroy();
        this.buffers = { ...this.buffers };
        this.buffers[name] = this.device.createBuffer({ size: bytes, usage: usage | use.COPY_DST | use.COPY_SRC });
      }
      if (data) this.device.queue.writeBuffer(this.buffers[name], 0, data);
      return this.buffers[name];
    };
    const cells = 16 * columns * rows;
    const few = this.numbers.length <= 4 * 4096;
    const names = chainNames(this.seed, this.chains, this.maps);
    const walking = [
      this.settings,
      made("numbers", this.numbers, 0, few ? use.UNIFORM : use.STORAGE),
      made("palette", floats(structure.palette), 0, use.STORAGE),
      made("points", null, 16 * this.chains, use.STORAGE),
      made("names", names, 0, use.STORAGE),
      made("counts", null, cells, use.STORAGE),
    ];
    const sums = made("sums", null, cells, use.STORAGE);
    this.bound = {
      walk: this.#bind(this.walk, walking),
      flush: this.#bind(this.flush, [this.flushed, this.buffers.counts, sums]),
    };
    const flushed = new ArrayBuffer(16);
    new Float32Array(flushed)[0] = 1 / this.unit;
    new Uint32Array(flushed)[1] = 4 * columns * rows;
    this.device.queue.writeBuffer(this.flushed, 0, flushed);
    this.restart();
  }

  #bind(pipeline, buffers) {
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    return this.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  }

  #walk(steps) {
    const data = new ArrayBuffer(96);
    const [columns, rows] = this.size;
    new Uint32Array(data).set([this.t, steps, FUSE, this.chains, rows, columns, this.t === 0 ? 1 : 0, 0]);
    const c = this.camera;
    new Float32Array(data, 32).set([...this.shades, this.unit, 0, c[0], c[1], c[2], 0, c[3], c[4], c[5], 0]);
    this.device.queue.writeBuffer(this.settings, 0, data);
    const encoder = this.device.createCommandEncoder();
    const run = (pipeline, bound, groups) => {
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bound);
      const wide = Math.min(groups, 32768);
      pass.dispatchWorkgroups(wide, Math.ceil(groups / wide));
      pass.end();
    };
    run(this.walk, this.bound.walk, this.chains / this.group);
    run(this.flush, this.bound.flush, Math.ceil((4 * columns * rows) / 256));
    this.device.queue.submit([encoder.finish()]);
  }

  #present() {
    this.show(this.buffers.sums, this.tone, Math.max(this.quality, 1e-9), this.size[0]);
  }
}

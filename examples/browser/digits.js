/**
 * Trains the network that make.py exported: a WebAssembly library that imports nothing, in memory that is handed to it.
 *
 * Runs in browsers and in Node; who calls says how files are read.
 */

const SIDE = 8;
const PIXELS = SIDE * SIDE;
const CLASSES = 10;
const PAGE = 65536; // bytes that memory grows by
const ALIGNMENT = 64;

/** The digits in samples.bin: two counts, then pixels from 0 to 16, then labels, a byte each. */
export function parseSamples(buffer) {
  const view = new DataView(buffer);
  const [learnt, held] = [view.getUint32(0, true), view.getUint32(4, true)];
  const count = learnt + held;
  if (buffer.byteLength !== 8 + count * (PIXELS + 1)) throw new Error("samples.bin is damaged");
  const pixels = Float32Array.from(new Uint8Array(buffer, 8, count * PIXELS), (level) => level / 16);
  const labels = Int32Array.from(new Uint8Array(buffer, 8 + count * PIXELS, count));
  const part = (from, to) => ({ count: to - from, pixels: pixels.subarray(from * PIXELS, to * PIXELS), labels: labels.subarray(from, to) });
  return { training: part(0, learnt), held: part(learnt, count) };
}

/** Whole numbers below a limit, the same for equal seeds: xorshift (G. Marsaglia, "Xorshift RNGs", 2003). */
function random(seed) {
  let bits = seed | 1;
  return (limit) => {
    bits ^= bits << 13;
    bits ^= bits >>> 17;
    bits ^= bits << 5;
    return (bits >>> 0) % limit;
  };
}

/** A network in training. */
export class Digits {
  /**
   * @param {(name: string) => Promise<ArrayBuffer>} read gives a file of the export.
   * @param {{batch?: number, rate?: number, seed?: number}} [settings] digits per step, learning rate, order of digits.
   */
  static async load(read, settings = {}) {
    const [code, state, samples] = await Promise.all(["digits.wasm", "digits.safetensors", "samples.bin"].map(read));
    const { instance } = await WebAssembly.instantiate(code, {});
    return new Digits(instance.exports, new Uint8Array(state), parseSamples(samples), settings);
  }

  constructor(library, state, samples, { batch = 64, rate = 0.005, seed = 1 }) {
    Object.assign(this, samples, { library, batch, rate });
    this.initial = state;
    this.end = library.__heap_base.value;
    this.selftest();
    const largest = Math.max(batch, this.held.count);
    this.state = this.place(library.digits_state_size());
    this.arena = this.place(
      Math.max(library.digits_train_step_arena_size(BigInt(batch)), library.digits_predict_arena_size(BigInt(largest)))
    );
    this.images = this.place(4 * PIXELS * largest);
    this.labels = this.place(4 * largest);
    this.scores = this.place(4 * CLASSES * largest);
    this.cost = this.place(4);
    this.reset(seed);
  }

  /** Memory behind all that was placed before; the module's memory grows for it. */
  place(bytes) {
    const at = Math.ceil(this.end / ALIGNMENT) * ALIGNMENT;
    this.end = at + bytes;
    const { memory } = this.library;
    const lacking = this.end - memory.buffer.byteLength;
    if (lacking > 0) memory.grow(Math.ceil(lacking / PAGE));
    return at;
  }

  // Memory that has grown has another buffer, so that views of it are made when they are used.
  bytes(at, count) {
    return new Uint8Array(this.library.memory.buffer, at, count);
  }

  floats(at, count) {
    return new Float32Array(this.library.memory.buffer, at, count);
  }

  /** Throws what a status means, unless all went well. */
  check(status) {
    if (status === 0) return;
    const at = this.library.digits_error(status);
    const memory = new Uint8Array(this.library.memory.buffer);
    throw new Error(new TextDecoder().decode(memory.slice(at, memory.indexOf(0, at))));
  }

  /** Whether the library computes here what it did where it was made. */
  selftest() {
    const { end } = this;
    const size = this.library.digits_selftest_size();
    this.check(this.library.digits_selftest_run(this.place(size), size));
    this.end = end;
  }

  /** Begin anew, with the weights that were exported. */
  reset(seed = 1) {
    this.read(this.initial);
    this.below = random(seed);
    this.order = Int32Array.from({ length: this.training.count }, (_, at) => at);
  }

  /** Take the state from the bytes of a safetensors file, such as a checkpoint of the trainer in Python. */
  read(file) {
    const { end } = this;
    const at = this.place(file.length);
    this.bytes(at, file.length).set(file);
    this.check(this.library.digits_state_read(this.state, at, file.length));
    this.end = end;
  }

  /** The state as the bytes of a safetensors file, with which the trainer in Python can go on. */
  write() {
    const { end } = this;
    const size = this.library.digits_state_file_size();
    const at = this.place(size);
    this.check(this.library.digits_state_write(this.state, at, size));
    this.end = end;
    return this.bytes(at, size).slice();
  }

  /** One step with some digits; the cost before it. */
  step(chosen) {
    const images = this.floats(this.images, chosen.length * PIXELS);
    const labels = new Int32Array(this.library.memory.buffer, this.labels, chosen.length);
    chosen.forEach((digit, at) => {
      images.set(this.training.pixels.subarray(digit * PIXELS, (digit + 1) * PIXELS), at * PIXELS);
      labels[at] = this.training.labels[digit];
    });
    const count = BigInt(chosen.length);
    this.check(
      this.library.digits_train_step(this.state, this.arena, count, this.images, this.labels, this.rate, this.cost)
    );
    return this.floats(this.cost, 1)[0];
  }

  /** Every training digit once, in an order of its own; the mean cost. The last batch has what is left over. */
  epoch() {
    const { order, batch } = this;
    for (let last = order.length - 1; last > 0; --last) {
      const other = this.below(last + 1);
      [order[last], order[other]] = [order[other], order[last]];
    }
    let sum = 0;
    for (let from = 0; from < order.length; from += batch) {
      const chosen = order.subarray(from, from + batch);
      sum += this.step(chosen) * chosen.length;
    }
    return sum / order.length;
  }

  /** What the network takes the held-out digits for, and how sure it is. */
  predict() {
    const { count, pixels } = this.held;
    this.floats(this.images, count * PIXELS).set(pixels);
    this.check(this.library.digits_predict(this.state, this.arena, BigInt(count), this.images, this.scores));
    return Array.from({ length: count }, (_, digit) => {
      const scores = this.floats(this.scores + 4 * CLASSES * digit, CLASSES);
      const probability = Math.max(...scores);
      return { digit: scores.indexOf(probability), probability };
    });
  }

  /** The fraction of held-out digits that are taken for what they are. */
  accuracy(predicted = this.predict()) {
    const right = predicted.filter(({ digit }, at) => digit === this.held.labels[at]);
    return right.length / predicted.length;
  }
}

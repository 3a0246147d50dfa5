// train.mjs LIBRARY STATE BATCHES NEW_STATE: one step with each batch of a file; prints the bits of every cost.
import { readFileSync, writeFileSync } from "node:fs";

const FEATURES = 4 * 3;
const LARGEST = 64;
const [library, state, batches, kept] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(library), {});
const net = instance.exports;
let end = net.__heap_base.value;

/** Memory behind all that was placed before. */
function place(bytes) {
  const at = Math.ceil(end / 64) * 64;
  end = at + bytes;
  const lacking = end - net.memory.buffer.byteLength;
  if (lacking > 0) net.memory.grow(Math.ceil(lacking / 65536));
  return at;
}

/** A copy of bytes in the module's memory. */
function placed(bytes) {
  const at = place(bytes.length);
  new Uint8Array(net.memory.buffer).set(bytes, at);
  return at;
}

function check(status, expected = 0) {
  if (status === expected) return;
  const memory = new Uint8Array(net.memory.buffer);
  const at = net.net_error(status);
  throw new Error(new TextDecoder().decode(memory.slice(at, memory.indexOf(0, at))));
}

const size = net.net_selftest_size();
const memory = place(size);
check(net.net_selftest_run(memory, size - 1), 11);
check(net.net_selftest_run(memory, size));

const at = place(net.net_state_size());
const arena = place(net.net_train_step_arena_size(BigInt(LARGEST)));
const cost = place(4);
const file = readFileSync(state);
check(net.net_state_read(at, placed(file), file.length));

const data = readFileSync(batches);
for (let from = 0; from < data.length; ) {
  const batch = data.readBigInt64LE(from);
  const inputs = from + 8;
  const targets = inputs + 4 * FEATURES * Number(batch);
  from = targets + 4 * Number(batch);
  const kept = end;
  const [x, y] = [placed(data.subarray(inputs, targets)), placed(data.subarray(targets, from))];
  check(net.net_train_step(at, arena, batch, x, y, 0.01, cost));
  end = kept;
  console.log(new DataView(net.memory.buffer).getUint32(cost, true).toString(16).padStart(8, "0"));
}

const length = net.net_state_file_size();
const image = place(length);
check(net.net_state_write(at, image, length));
writeFileSync(kept, new Uint8Array(net.memory.buffer, image, length));

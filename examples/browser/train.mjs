// Trains in Node what the page trains in a browser: node train.mjs FOLDER [EPOCHS] [STATE]; writes a state if it is told where.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Digits } from "./digits.js";

const [folder, epochs = "10", kept] = process.argv.slice(2);
if (!folder) throw new Error("usage: node train.mjs FOLDER [EPOCHS] [STATE]");

const digits = await Digits.load(async (name) => {
  const file = await readFile(join(folder, name));
  return file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
});
for (let epoch = 1; epoch <= Number(epochs); ++epoch) {
  const loss = digits.epoch();
  console.log(JSON.stringify({ epoch, loss, accuracy: digits.accuracy() }));
}
if (kept) await writeFile(kept, digits.write());

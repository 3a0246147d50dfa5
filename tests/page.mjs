// Runs the script of the browser's page in Node with a document that only remembers: node page.mjs FOLDER.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const folder = resolve(process.argv[2]);
const html = readFileSync(join(folder, "index.html"), "utf8");

const pen = new Proxy({}, {
  get: (kept, name) => kept[name] ?? (name === "createImageData" ? image : () => undefined),
  set: (kept, name, value) => ((kept[name] = value), true),
});
const image = (width, height) => ({ data: new Uint8ClampedArray(4 * width * height) });

class Element {
  constructor(tag) {
    Object.assign(this, { tag, children: [], attributes: {}, listeners: {}, textContent: "", className: "", clientWidth: 640, clientHeight: 256 });
  }
  append(...children) {
    this.children.push(...children);
  }
  setAttribute(name, value) {
    this.attributes[name] = value;
  }
  addEventListener(name, work) {
    this.listeners[name] = work;
  }
  getContext() {
    return pen;
  }
  click() {
    if (this.disabled) return undefined;
    if (this.tag === "a") links.push(this);
    return this.listeners.click?.();
  }
}

// Only what the page has can be found.
const links = [];
const known = [...html.matchAll(/ id="(\w+)"/g)].map(([, id]) => [id, new Element("element")]);
const elements = new Map(known);
let saved = 0;
let frames = []; // what waits for the next picture
globalThis.document = {
  documentElement: new Element("html"),
  getElementById: (id) => elements.get(id) ?? null,
  createElement: (tag) => new Element(tag),
};
globalThis.window = { devicePixelRatio: 2, addEventListener() {}, matchMedia: () => new Element("query") };
globalThis.getComputedStyle = () => ({ getPropertyValue: () => " #000" });
globalThis.requestAnimationFrame = (work) => frames.push(work);
URL.createObjectURL = (blob) => ((saved = blob.size), "blob:state");
URL.revokeObjectURL = () => undefined;
globalThis.fetch = async (name) => {
  const path = join(folder, name);
  return existsSync(path) ? new Response(readFileSync(path)) : new Response(null, { status: 404, statusText: "Not Found" });
};

const script = join(folder, "page-script.mjs");
writeFileSync(script, /<script type="module">([^]*)<\/script>/.exec(html)[1]);
await import(pathToFileURL(script));

const text = (id) => elements.get(id).textContent;
const begun = text("status");
if (text("error")) {
  console.log(JSON.stringify({ begun, error: text("error"), disabled: elements.get("train").disabled }));
} else {
  const next = async () => {
    const waiting = frames;
    frames = [];
    for (const work of waiting) work();
    await new Promise(setImmediate);
  };
  elements.get("train").click(); // an epoch, then it waits for a picture
  elements.get("train").click(); // a pause and another start before the next picture: one goes on
  elements.get("train").click();
  await next();
  elements.get("train").click();
  await next();
  const figures = elements.get("digits").children;
  const wrong = figures.filter(({ children }) => children[1].textContent.includes("is")).length;
  const marked = figures.filter(({ className }) => className === "wrong").length;
  const [trained, loss] = [text("status"), elements.get("curve").attributes["aria-label"]];
  elements.get("save").click();
  await next();
  elements.get("restart").click();
  await next();
  const restarted = text("status");
  console.log(JSON.stringify({ begun, trained, loss, captions: figures.length, wrong, marked, saved, links: links.length, restarted, error: text("error") }));
}

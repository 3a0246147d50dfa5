"""Export the digits network as WebAssembly, with digits and programs that train it: ``python make.py runs/browser``."""

import shutil
import sys
from pathlib import Path

import numpy as np

import sigmagraph as sg
from sigmagraph import data, optimisers
from sigmagraph import layers as L

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/browser")
digits = data.datasets.digits()
train, held_out = digits.split(0.8, 0.2)

layers = (
    L.Input(8, 8)
    + L.Flatten()
    + L.Dropout(0.1)
    + L.Dense(64, activation="relu", name="fc")
    + L.Dense(10, name="out")
    + L.SoftmaxCrossEntropy()
)
trainer = sg.Environment("digits", seed=7).trainer(
    "trainer", sg.Network("mlp", layers), optimiser=optimisers.Adam(learning_rate=0.005), data=train.batches(64)
)
export = sg.export(folder, name="digits", trainer=trainer, target="wasm32")
print(export)

counts = np.array([len(train), len(held_out)], "<u4")
pixels = np.concatenate([train.inputs, held_out.inputs]) * 16  # whole numbers, a byte each
labels = np.concatenate([train.targets, held_out.targets])
samples = counts.tobytes() + pixels.astype(np.uint8).tobytes() + labels.astype(np.uint8).tobytes()
(folder / "samples.bin").write_bytes(samples)
for name in ("digits.js", "train.mjs", "index.html"):
    shutil.copyfile(Path(__file__).with_name(name), folder / name)
# Node takes modules from files called .js if it is told so.
(folder / "package.json").write_text('{"type": "module"}\n')

print(f"serve it: python -m http.server -d {folder}")
print(f"train it: node {folder / 'train.mjs'} {folder}")

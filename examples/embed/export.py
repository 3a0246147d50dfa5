"""Export the digits network as a library for C, with digits and a program: ``python export.py runs/embed``."""

import shutil
import sys
from pathlib import Path

import numpy as np

import sigmagraph as sg
from sigmagraph import data, optimisers
from sigmagraph import layers as L

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/embed")
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
trainer.run(epochs=2)  # C goes on from here, with Adam's moments and the masks of dropout that come next
print(sg.export(folder, name="digits", trainer=trainer))

counts = np.array([len(train), len(held_out)], "<u4")
pixels = np.concatenate([train.inputs, held_out.inputs]) * 16  # whole numbers, a byte each
labels = np.concatenate([train.targets, held_out.targets])
samples = counts.tobytes() + pixels.astype(np.uint8).tobytes() + labels.astype(np.uint8).tobytes()
(folder / "digits.bin").write_bytes(samples)
shutil.copyfile(Path(__file__).with_name("digits.c"), folder / "digits.c")

here = folder.resolve()
print(f"compile it: cc -O2 -I{here} -L{here} -Wl,-rpath,{here} {here / 'digits.c'} -ldigits -o {here / 'train'}")
print(f"run it: {here / 'train'} {here} 5")

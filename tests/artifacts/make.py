"""Made ``tests/artifacts/v1``: an artifact of the first ABI, with what its functions gave. It is not to be made again.

A later ABI gets a folder of its own; the old ones have to load, and to give the same numbers, for ever.
"""

import sys
from pathlib import Path

import numpy as np

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph import optimisers

folder = Path(sys.argv[1])
rng = np.random.default_rng(0)
x = rng.standard_normal((40, 6)).astype(np.float32)
y = (x[:, 0] > 0).astype(np.int32) + (x[:, 1] > 1)
network = sg.Network("net", L.Input(6) + L.Dense(10, activation="tanh") + L.Dense(3) + L.SoftmaxCrossEntropy())
data = sg.data.Dataset(x, y)
trainer = sg.Environment("e", seed=2).trainer("t", network, optimiser=optimisers.Adam(0.01), data=data.batches(8))
trainer.run(iterations=7, bar=False, lines=False)
sg.export(folder, name="net", trainer=trainer, target="x86_64-linux-gnu")

artifact = sg.load(folder)
before = artifact.predict(x)["prediction"]
costs = [artifact.train_step(x[n : n + 9], y[n : n + 9], learning_rate=0.02)["cost"] for n in (0, 9, 18)]
after = artifact.predict(x[:1])["prediction"]
np.savez(folder / "results.npz", x=x, y=y, before=before, costs=costs, after=after)

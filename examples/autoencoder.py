"""An autoencoder: handwritten digits of 64 pixels pressed through 8 numbers and drawn again.

The best that 8 numbers can do by linear means is the projection on the first 8 principal components, which NumPy finds.
The network is judged on digits that neither has seen. A part of it, the layers from the code on, is then used alone
to draw what lies between two digits.
"""

from typing import Any

import numpy as np

import sigmagraph as sg
from sigmagraph import layers as L

CODE, EPOCHS, BATCH = 8, 40, 50
Array = np.ndarray[Any, Any]

digits = sg.data.datasets.digits()
train, held_out = sg.data.Dataset(digits.inputs, digits.inputs, "digits").split(0.8, 0.2, seed=5)

encoder = L.Input(8, 8) + L.Dense(128, activation="gelu") + L.Dense(CODE, name="code") + L.Output(CODE, alias="code")
decoder = L.Dense(128, activation="gelu", name="draw") + L.Dense(64, activation="sigmoid", name="ink") + L.Reshape(8, 8)
network = sg.Network("autoencoder", encoder + decoder + L.SquaredDifference() + L.Output(8, 8, alias="image"), seed=5)
network.initialise("*.weights", sg.initialisers.He())
print(network.summary())

batches = train.batches(BATCH, seed=5)
rate = sg.optimisers.schedules.Cosine(0.003, EPOCHS * len(batches))
trainer = sg.Trainer(network, sg.optimisers.Adam(learning_rate=rate), batches, held_out)
history = trainer.run(EPOCHS, lines=False)
judged = [epoch.validation.cost for epoch in history.epochs if epoch.validation]
print("held-out error:", " -> ".join(f"{judged[number]:.4f}" for number in (0, 4, 9, 19, 39)))
print(f"{trainer.steps} steps of {1e6 * history.step_seconds:.0f} us; compiled in {trainer.step.compile_seconds:.1f} s")

# The decoder as a network of its own, with the same values.
drawing = sg.Network("drawing", L.Input(CODE) + decoder)
for identifier, values in drawing.parameters().items():
    values[...] = network.parameters()[identifier]


def shade(*images: Array) -> str:
    """Images side by side, darker characters for more ink."""
    rows = np.concatenate([np.pad(image, ((0, 0), (0, 2))) for image in images], axis=1)
    levels = (np.clip(rows, 0, 1) * 9.99).astype(int)
    return "\n".join("".join(2 * " .:-=+*#%@"[level] for level in row).rstrip() for row in levels)


def linear_error(seen: Array, new: Array) -> float:
    """The mean square of what is lost by the projection on the principal components of what was seen."""
    mean = seen.mean(axis=0)
    axes = np.linalg.svd(seen - mean, full_matrices=False)[2][:CODE]
    return float(np.square(new - mean - (new - mean) @ axes.T @ axes).mean())


out = network.predict(held_out.inputs)
print("three digits, and what is drawn of their codes:")
print(shade(*held_out.inputs[:3]), shade(*out["image"][:3]), sep="\n\n")
way = np.linspace(out["code"][0], out["code"][1], 5)
print("from the first to the second:", shade(*drawing.predict(way)), sep="\n")

error = float(np.square(out["image"] - held_out.inputs).mean())
linear = linear_error(train.inputs.reshape(-1, 64), held_out.inputs.reshape(-1, 64))
print(f"error {error:.4f}, of principal components {linear:.4f}: {100 * error / linear:.0f} % of it")

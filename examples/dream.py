"""Let a network dream: the inputs that it takes for each of the ten digits, found along the gradient of its cost."""

import time

import numpy as np

import sigmagraph as sg
from sigmagraph import data, optimisers
from sigmagraph import layers as L

train, held_out = data.datasets.digits().split(0.8, 0.2, seed=7)

# What is learnt from noisy images cannot hang on single pixels, so that what is dreamt has strokes.
rng = np.random.default_rng(7)
inputs = np.tile(train.inputs, (8, 1, 1))
inputs = inputs + 0.5 * rng.standard_normal(inputs.shape).astype(np.float32)
noisy = data.Dataset(inputs, np.tile(train.targets, 8), "noisy digits")

layers = L.Input(8, 8) + L.Dense(200, activation="relu") + L.Dropout(0.2) + L.Dense(10) + L.SoftmaxCrossEntropy()
network = sg.Network("dreamer", layers, seed=7)
optimiser = optimisers.AdamW(learning_rate=0.002, weight_decay=0.3)
sg.Trainer(network, optimiser, noisy.batches(100, seed=7), held_out).run(epochs=8)

start = time.perf_counter()
dream = network.maximise(
    target=list(range(10)),
    mean=train.inputs.mean(0),  # where all digits are alike
    optimiser=optimisers.SGD(learning_rate=0.05),
    total_variation=0.005,
    least=150,
)
seconds = time.perf_counter() - start
print(f"{dream.reached.sum()} of 10 digits reached their cost in {dream.steps} steps, {seconds:.2f} s")
print("costs:", " ".join(f"{cost:.3f}" for cost in dream.costs))
print("taken for:", *network.predict(dream.inputs).argmax(axis=-1))
for row in (range(5), range(5, 10)):
    print(sg.pictures.beside([sg.pictures.ascii_picture(dream.image(digit)) for digit in row]), end="\n\n")
sg.pictures.save_png("digits.png", dream.inputs, columns=5, scale=24)

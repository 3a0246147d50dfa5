"""Train a network the Sigma way: compose layers, give the trainer its data, run, predict, save."""

import tempfile

import numpy as np

import sigmagraph as sg
from sigmagraph import data, optimisers
from sigmagraph import layers as L

digits = data.datasets.digits()  # comes with the package; data.datasets.mnist(folder) reads IDX files
train, held_out = digits.split(0.8, 0.2, seed=7)

layers = (
    L.Input(8, 8)
    + L.Flatten()
    + L.Dropout(0.1)
    + 2 * (L.Dense(200, activation="relu", name="fc#") + L.Dropout(0.2))
    + L.Dense(10)
    + L.SoftmaxCrossEntropy()
)
network = sg.Network("mlp", layers, seed=7)
network.initialise("*.weights", sg.initialisers.Normal(0.1))
network.initialise("*.biases", sg.initialisers.Constant(0.0))
print(network.summary())

trainer = sg.Trainer(network, optimisers.Adagrad(learning_rate=0.05), train.batches(100, seed=7), held_out)
trainer.run(epochs=12)

print("predicted:", network.predict(held_out.inputs[:10]).argmax(axis=-1))
print("right:    ", held_out.targets[:10])
print("weights:  ", {name: array.shape for name, array in network.resolve("*.weights").items()})

with tempfile.TemporaryDirectory() as folder:
    network.save(f"{folder}/digits.safetensors")
    again = sg.Network("again", layers)
    again.load(f"{folder}/digits.safetensors")
same = np.array_equal(network.predict(held_out.inputs), again.predict(held_out.inputs))
print("the saved network predicts the same:", same)

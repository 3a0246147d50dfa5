"""Train a network the Sigma way: compose layers, give the trainer its data and hooks, run, dream, save.

Run it again in the same folder, and it goes on from where it was; remove ``runs/digits`` to begin anew.
"""

import numpy as np

import sigmagraph as sg
from sigmagraph import data, hooks, optimisers
from sigmagraph import layers as L

env = sg.Environment("digits", seed=7)
digits = data.datasets.digits()  # comes with the package; data.datasets.mnist(folder) reads IDX files
train, held_out = digits.split(0.8, 0.2)

layers = (
    L.Input(8, 8)
    + L.Flatten()
    + L.Dropout(0.1)
    + 2 * (L.Dense(200, activation="relu", name="fc#") + L.Dropout(0.2))
    + L.Dense(10)
    + L.SoftmaxCrossEntropy()
)
network = sg.Network("mlp", layers)
print(network.summary())

trainer = env.trainer(
    "mlp-trainer",
    network,
    optimiser=optimisers.Adagrad(learning_rate=0.05),
    data=train.batches(100),
    validation=held_out,
    operator="cpu",  # "cpu:4" for four workers
)
trainer.initialise("*.weights", sg.initialisers.Normal(0.1))
trainer.initialise("*.biases", sg.initialisers.Constant(0.0))

trainer.add(hooks.Report("optimiser.cost", every="10 iterations", accumulate="mean"))
trainer.add(hooks.Accuracy("validation", top=(1, 3), every="1 epoch"))
trainer.add(hooks.Checkpoint("runs/digits", best="validation.accuracy"))
trainer.add(hooks.EarlyStop("validation.accuracy", patience=5, restore_best=True))

if trainer.resume("runs/digits", missing_ok=True):
    print(f"going on after {trainer.epoch} epochs")
trainer.run(until=25, lines=False)  # a progress bar in a terminal; Ctrl-C pauses and saves

print("predicted:", network.predict(held_out.inputs[:10]).argmax(axis=-1))
print("right:    ", held_out.targets[:10])
print("weights:  ", {name: array.shape for name, array in network.resolve("*.weights").items()})
dream = network.maximise(target=3)  # the input that the network takes for a perfect 3
print(f"what it takes for a perfect 3, at a cost of {dream.costs[0]:.4f}:")
print(sg.pictures.ascii_picture(dream.image(0)))

network.save("runs/digits/network.safetensors")
again = sg.Network("again", layers)
again.load("runs/digits/network.safetensors")
same = np.array_equal(network.predict(held_out.inputs), again.predict(held_out.inputs))
print("the saved network predicts the same:", same)
print(f"accuracy after {trainer.epoch} epochs: {trainer.evaluate(held_out).accuracy:.1%}")

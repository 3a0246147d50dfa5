"""Fisher's irises: tell three species by four lengths, with ranges learnt from the training records alone."""

import sigmagraph as sg
from sigmagraph import data, hooks, optimisers
from sigmagraph import layers as L

train, held_out = data.datasets.iris().split(0.7, 0.3, seed=3)

# Each of the four lengths goes from 0 to 1, as far as the training records know; the others get the same scale.
ranges = data.PerIndexNormalise().fit(train)
train, held_out = train.preprocess(ranges), held_out.preprocess(ranges)
print("lengths from", ranges.low["inputs"], "to", ranges.high["inputs"], "cm")

network = sg.Network("iris", L.Input(4) + L.Dense(12, activation="tanh") + L.Dense(3) + L.SoftmaxCrossEntropy())
env = sg.Environment("iris", seed=1)
trainer = env.trainer(
    "species",
    network,
    optimiser=optimisers.Adam(learning_rate=0.02),
    data=train.batches(15),
    validation=held_out,
)
trainer.add(hooks.Accuracy("validation", top=(1, 2), every="5 epochs"))
trainer.add(hooks.Stop(on=hooks.Threshold("validation.accuracy", ">=", 0.98)))
trainer.add(hooks.ConfusionMatrix(every="stop"))
trainer.run(200, lines=False)

verdict = trainer.evaluate(held_out)
print(f"{trainer.epoch} epochs: {verdict.accuracy:.1%} of {len(held_out)} plants that it has never seen")

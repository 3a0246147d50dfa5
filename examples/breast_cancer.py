"""Breast cancer: tell malignant from benign tumours by thirty measures of their cells' nuclei."""

import sigmagraph as sg
from sigmagraph import data, hooks, optimisers
from sigmagraph import layers as L

train, held_out = data.datasets.breast_cancer().split(0.75, 0.25, seed=7)

# An area has thousands of square micrometres, a fractal dimension is 0.06: every measure gets mean 0 and deviation 1.
scale = data.Standardise().fit(train)
train, held_out = train.preprocess(scale), held_out.preprocess(scale)

network = sg.Network(
    "tumours",
    L.Input(30)
    + L.Dense(42, activation="tanh")
    + L.Dense(24, activation="tanh")
    + L.Dense(1)
    + L.BinaryCrossEntropy(),  # whose prediction is the probability of "benign"
)
env = sg.Environment("tumours", seed=1)
trainer = env.trainer(
    "diagnosis",
    network,
    optimiser=optimisers.Adam(learning_rate=0.002),
    data=train.batches(32),
    validation=held_out,
)
trainer.add(hooks.BinaryAccuracy("validation", every="5 epochs"))
trainer.add(hooks.EarlyStop("validation.cost", patience=5))
trainer.run(50, lines=False)

verdict = trainer.evaluate(held_out)
benign = verdict.probability > 0.5
missed = int((benign & (verdict.labels == 0)).sum())
right = 100 * (verdict.labels == benign).mean()
print(f"{trainer.epoch} epochs: {right:.1f} % of {len(benign)} tumours are told right")
print(f"{missed} of {int((verdict.labels == 0).sum())} malignant ones are taken for benign")

"""Exclusive or with five neurons: the smallest problem that no linear model solves, trained until it is solved."""

import sigmagraph as sg
from sigmagraph import data, hooks, optimisers
from sigmagraph import layers as L

table = data.datasets.logic("xor")  # four records: (0, 0), (0, 1), (1, 0), (1, 1)
network = sg.Network("xor", L.Input(2) + L.Dense(4, activation="tanh") + L.Dense(1) + L.BinaryCrossEntropy())
print(network.summary())

env = sg.Environment("xor", seed=1)
trainer = env.trainer(
    "gate",
    network,
    optimiser=optimisers.Adam(learning_rate=0.1),
    data=table.unified(),  # all records in one batch
)
solved = hooks.Threshold("optimiser.cost", "<", 0.01)
trainer.add(hooks.Stop(on=solved.repeated(3, in_a_row=True)))
trainer.add(hooks.Report("optimiser.cost", every="50 epochs"))
history = trainer.run(2000, lines=False)

print(f"stopped after {trainer.epoch} epochs at a cost of {history.costs[-1]:.4f}")
for (a, b), answer, right in zip(table.inputs, network.predict(table.inputs)[:, 0], table.targets, strict=True):
    print(f"{a:.0f} xor {b:.0f} = {answer:.3f}, which is {right}")

"""Merge networks: two that have learnt from halves of the digits, and four workers after every epoch."""

import sigmagraph as sg
from sigmagraph import data, optimisers
from sigmagraph import layers as L

train, held_out = data.datasets.digits().split(0.8, 0.2, seed=5)
halves = train.split(0.5, 0.5, seed=5)


def network(seed: int = 1) -> sg.Network:
    """Equal first values: means of networks that began apart are worth little."""
    layers = L.Input(8, 8) + L.Flatten() + L.Dense(64, activation="relu") + L.Dense(10) + L.SoftmaxCrossEntropy()
    return sg.Network("digits", layers, seed)


def accuracy(of: sg.Network) -> float:
    """On digits that none of them has seen, in per cent."""
    return 100 * float((of.predict(held_out.inputs).argmax(-1) == held_out.targets).mean())


parts = []
for half in halves:
    trainer = sg.Trainer(network(), optimisers.Adam(0.003), half.batches(32))
    trainer.run(12, lines=False)
    parts.append(trainer.network)
merged = network()
sg.operators.merge_networks(merged, parts)
print("each half alone:  ", ", ".join(f"{accuracy(part):.1f} %" for part in parts))
print(f"their mean:        {accuracy(merged):.1f} %")

# A rule for each parameter: the most specific pattern counts, what none names is averaged.
sg.operators.merge_networks(merged, parts, {"*.weights": sg.operators.Weighted(3, 1), "2-*": sg.operators.Average()})
print(f"weights 3 to 1:    {accuracy(merged):.1f} %")

operator = sg.operators.Operator(workers=4, merge="epoch")
trainer = sg.Trainer(network(), optimisers.Adam(0.003), train.batches(16), held_out, operator=operator)
trainer.run(12, lines=False)
print(f"four workers:      {accuracy(trainer.network):.1f} %, {operator}, {trainer.iteration} iterations")

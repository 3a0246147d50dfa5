"""A network with two named inputs, two outputs and two weighted costs: it learns digits from what is said of pairs.

Of two images it is told the sum of their digits, and whether the first one is the greater. What a single digit is,
nobody says. Both images go through one encoder, whose weights are shared. The network is a function that calls layers.
"""

from typing import Any

import numpy as np

import sigmagraph as sg
from sigmagraph import layers as L

EPOCHS, BATCH = 8, 100
Array = np.ndarray[Any, Any]


def pairs() -> sg.Tensor:
    """Two images -> the sum, among 19 classes, and whether the first digit is the greater one."""
    encode = L.Shared(
        L.Flatten() + L.Dense(128, activation="relu", name="look") + L.Dense(32, activation="relu", name="see")
    )
    left, right = encode(L.Input(8, 8, alias="left")()), encode(L.Input(8, 8, alias="right")())
    both = L.Concat()(left, right)

    added = L.Dense(64, activation="relu", name="add")(both)
    total = L.Dense(19, name="total")(added)
    total = L.SoftmaxCrossEntropy(targets="total", name="cost-of-total")(total)
    L.Output(19, alias="total")(total)

    compared = L.Dense(32, activation="relu", name="compare")(both)
    greater = L.Dense(1, name="greater")(compared)
    greater = L.BinaryCrossEntropy(importance=0.5, targets="greater", name="cost-of-greater")(greater)
    return L.Output(1, alias="greater")(greater)


def paired(digits: sg.data.Dataset, times: int, seed: int) -> sg.data.Dataset:
    """Every digit beside others of the same dataset, so many times."""
    rng = np.random.default_rng(seed)
    first = np.concatenate([rng.permutation(len(digits)) for _ in range(times)])
    second = np.concatenate([rng.permutation(len(digits)) for _ in range(times)])
    a, b = digits.targets[first], digits.targets[second]
    return sg.data.Dataset(
        {"left": digits.inputs[first], "right": digits.inputs[second]},
        {"total": a + b, "greater": (a > b).astype(np.float32)[:, None]},
        "pairs of digits",
    )


train, held_out = sg.data.datasets.digits().split(0.8, 0.2, seed=4)
learnt, judged = paired(train, 10, seed=1), paired(held_out, 5, seed=2)
print(learnt)

network = sg.Network("pairs", pairs, seed=4)
network.initialise("*.weights", sg.initialisers.He())
print(network.summary())

batches = learnt.batches(BATCH, seed=4)
rate = sg.optimisers.schedules.Cosine(0.003, EPOCHS * len(batches))
trainer = sg.Trainer(network, sg.optimisers.Adam(learning_rate=rate), batches, judged)
history = trainer.run(EPOCHS)
print(f"{trainer.steps} steps of {1e6 * history.step_seconds:.0f} us; compiled in {trainer.step.compile_seconds:.1f} s")

out = network.predict(left=judged.inputs["left"], right=judged.inputs["right"])
totals = out["total"].argmax(axis=1)
for number in range(5):
    order = "greater" if out["greater"][number, 0] > 0.5 else "not greater"
    print(f"the sum is {totals[number]}, the first is {order}; the right sum is {judged.targets['total'][number]}")
right = 100 * (totals == judged.targets["total"]).mean()
ordered = 100 * ((out["greater"] > 0.5) == (judged.targets["greater"] > 0.5)).mean()
print(f"pairs of digits never seen: the sum is right in {right:.1f} %, the order in {ordered:.1f} %")

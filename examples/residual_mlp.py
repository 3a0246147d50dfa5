"""A residual network: layers called on tensors inside a function, which is itself a part of the network."""

import sigmagraph as sg
from sigmagraph import layers as L


def block(x: sg.Tensor) -> sg.Tensor:
    """``x + dense(relu(dense(x)))``."""
    hidden = L.Dense(64, activation="relu", name="#-widen")(x)
    return x + L.Dense(32, name="#-narrow")(hidden)


train, held_out = sg.data.datasets.digits().split(0.8, 0.2, seed=2)
network = sg.Network(
    "residual",
    L.Input(8, 8) + L.Flatten() + L.Dense(32) + block + block + block + L.Activation("relu") + L.Dense(10)
    + L.SoftmaxCrossEntropy(),
    seed=2,
)  # fmt: skip
network.initialise("*.weights", sg.initialisers.He())
print(network.summary())

trainer = sg.Trainer(network, sg.optimisers.Adam(learning_rate=0.003), train.batches(50, seed=2), held_out)
trainer.run(8)
trainer.hyperparameters["optimiser.learning_rate"] = 0.0003  # a scalar of the program: nothing is compiled again
trainer.run(4)

"""A layer of one's own: a gate that lets each unit choose between what comes in and what a dense layer makes of it.

A layer is a frozen record that says its forward graph. Everything else follows: gradients, names, saving, freezing.
"""

from dataclasses import dataclass

import numpy as np

import sigmagraph as sg
from sigmagraph import data, optimisers
from sigmagraph import layers as L


@dataclass(frozen=True)
class Highway(L.Layer):
    """``t * tanh(x @ weights + biases) + (1 - t) * x``, where ``t = sigmoid(x @ gate + gate_biases)``.

    Source: R. K. Srivastava, K. Greff, J. Schmidhuber, "Highway networks", arXiv 1505.00387 (2015).
    """

    open: float = -1.0  # how open gates are at first: little, so that a deep network begins as a shallow one
    name: str = "#-highway"

    def forward(self, x: sg.Tensor, site: L.Site, /) -> sg.Tensor:
        units = x.shape[-1]
        if not isinstance(units, int):
            raise sg.errors.ShapeError("the number of units must be known", expected="an int", got=units)
        weights, gate = (site.parameter(name, (units, units), x.dtype) for name in ("weights", "gate"))
        made = sg.tanh(x @ weights + site.parameter("biases", (units,), x.dtype))
        t = sg.sigmoid(x @ gate + site.parameter("gate_biases", (units,), x.dtype, self.open))
        return t * made + (1 - t) * x


train, held_out = data.datasets.digits().split(0.8, 0.2, seed=2)
network = sg.Network(
    "highway",
    L.Input(8, 8)
    + L.Flatten()
    + L.Dense(48, activation="tanh")
    + 6 * Highway()
    + L.Dense(10)
    + L.SoftmaxCrossEntropy(),
)
print(network.summary())
trainer = sg.Trainer(network, optimisers.Adam(0.003), train.batches(50), held_out)
trainer.run(12, lines=False)

# What a layer asks for has an identifier, like everything else.
biases = network.resolve("*.gate_biases")
print("gates have come to be open by", {name: f"{(1 / (1 + np.exp(-b))).mean():.2f}" for name, b in biases.items()})
print(f"accuracy on held-out digits: {trainer.evaluate(held_out).accuracy:.1%}")

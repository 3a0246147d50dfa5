"""The networks of the examples in miniature, and their training steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.optimisers import Adagrad, Adam, AdamW, ClipByNorm, Optimiser
from sigmagraph.optimisers.schedules import Cosine, Warmup
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.capture import capture

CLASSES = 5
SIZES = {"batch": 6, "time": 7}  # numbers for the dims of their steps


def perceptron() -> sg.Network:
    chain = L.Input(20) + L.Dropout(0.2) + L.Dense(33, activation="relu") + L.Dense(CLASSES)
    return sg.Network("perceptron", chain + L.SoftmaxCrossEntropy(), seed=1)


def lenet() -> sg.Network:
    images = L.Input(8, 8) + L.Reshape(8, 8, 1)
    for filters in (3, 5):
        images += L.Conv2d(filters, 3, padding="same", activation="relu", name="conv#") + L.MaxPool(2)
    dense = L.Flatten() + L.Dense(11, activation="relu") + L.Dropout(0.5) + L.Dense(CLASSES)
    return sg.Network("lenet", images + dense + L.SoftmaxCrossEntropy(), seed=1)


def normalised() -> sg.Network:
    images = L.Input(9, 8, 2) + L.Conv2d(6, 3, name="conv") + L.BatchNorm(name="norm") + L.Activation("relu")
    return sg.Network("normalised", images + L.Dense(CLASSES, name="fc") + L.SoftmaxCrossEntropy(), seed=1)


def char_lstm() -> sg.Network:
    chain = L.Input(sg.Dim("time"), dtype="int32") + L.Embedding(CLASSES, 6) + L.LSTM(8, name="lstm")
    return sg.Network("char-lstm", chain + L.Dense(CLASSES, flatten=False) + L.SoftmaxCrossEntropy(), seed=1)


def small_gpt() -> sg.Network:
    chain = L.Input(sg.Dim("time"), dtype="int32") + L.Embedding(CLASSES, 8) + L.PositionalEncoding()
    chain += L.TransformerBlock(heads=2, causal=True, name="block") + L.LayerNorm(name="norm")
    return sg.Network("small-gpt", chain + L.Dense(CLASSES, flatten=False) + L.SoftmaxCrossEntropy(), seed=1)


def residual_mlp() -> sg.Network:
    def block(x: sg.Tensor) -> sg.Tensor:
        return x + L.Dense(7, name="#-narrow")(L.Dense(12, activation="relu", name="#-widen")(x))

    chain = L.Input(4, 3) + L.Flatten() + L.Dense(7) + block + block + L.Activation("relu") + L.Dense(CLASSES)
    return sg.Network("residual", chain + L.SoftmaxCrossEntropy(), seed=1)


def autoencoder() -> sg.Network:
    encoder = L.Input(4, 5) + L.Dense(18, activation="gelu") + L.Dense(3, name="code") + L.Output(3, alias="code")
    decoder = L.Dense(18, activation="gelu", name="draw") + L.Dense(20, activation="sigmoid") + L.Reshape(4, 5)
    return sg.Network("autoencoder", encoder + decoder + L.SquaredDifference() + L.Output(4, 5, alias="image"), seed=1)


def two_costs() -> sg.Network:
    def pairs() -> sg.Tensor:
        encode = L.Shared(L.Flatten() + L.Dense(9, activation="relu", name="look"))
        both = L.Concat()(encode(L.Input(4, 3, alias="left")()), encode(L.Input(4, 3, alias="right")()))
        total = L.Dense(CLASSES, name="total")(L.Dense(10, activation="relu", name="add")(both))
        L.Output(CLASSES, alias="total")(L.SoftmaxCrossEntropy(targets="sum", name="cost-of-total")(total))
        greater = L.Dense(1, name="greater")(both)
        greater = L.BinaryCrossEntropy(importance=0.5, targets="order", name="cost-of-greater")(greater)
        return L.Output(1, alias="greater")(greater)

    return sg.Network("pairs", pairs, seed=1)


class MakeSmall(L.CostLayer):
    """The mean square of what it is given."""

    def cost(self, x: sg.Tensor, site: L.Site) -> sg.Tensor:
        return sg.square(x).mean()


def physics() -> sg.Network:
    def spring() -> sg.Tensor:
        t = L.Input(1, alias="t")()
        u = 1 + sg.square(1 - sg.exp(-2 * t)) * (2 * L.Dense(9, activation="tanh", name="hidden#") + L.Dense(1))(t)
        velocity = sg.gradients(L.Output(alias="u")(u).sum(), [t])[0]
        acceleration = sg.gradients(velocity.sum(), [t])[0]
        return MakeSmall(name="equation")((acceleration + velocity + 20 * u) / 20)

    return sg.Network("spring", spring, seed=1)


def adam() -> Optimiser:
    return Adam(learning_rate=Cosine(0.004, 20))


def clipped() -> Optimiser:
    return Adagrad(learning_rate=0.02, clip=ClipByNorm(1))


def adam_w() -> Optimiser:
    rate = Warmup(2, Cosine(0.005, 20))
    return AdamW(learning_rate=rate, weight_decay=0.01, undecayed=["*.biases"], clip=ClipByNorm(1.0))


NETWORKS: Mapping[str, tuple[Callable[[], sg.Network], Callable[[], Optimiser]]] = {
    "perceptron": (perceptron, clipped),
    "lenet": (lenet, adam),
    "normalised": (normalised, adam),
    "char_lstm": (char_lstm, clipped),
    "small_gpt": (small_gpt, adam_w),
    "residual_mlp": (residual_mlp, adam),
    "autoencoder": (autoencoder, adam),
    "two_costs": (two_costs, adam),
    "physics": (physics, adam),
}


def step_of(name: str) -> tuple[Graph, Mapping[str, Variable]]:
    """The training step of one of them, and its variables at the start."""
    network, optimiser = NETWORKS[name]
    step = network().train_graph(optimiser())
    return capture(step.inputs, step.outputs, step.updates)

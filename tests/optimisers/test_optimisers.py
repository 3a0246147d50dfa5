from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tensor_value import Program, run

from sigmagraph.errors import AttributeValueError, DTypeError, GraphError, ShapeError
from sigmagraph.optimisers import SGD, Adagrad, Adam, Momentum, Optimiser, OptimiserGraph
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.functions import parameter, placeholder

START = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
GRADIENTS = [np.random.default_rng(i).normal(size=(2, 3)) for i in range(5)]


def build(optimiser: Optimiser, dtype: str = "float64") -> tuple[OptimiserGraph, Program]:
    w, bias = parameter("1-dense.weights", START.astype(dtype)), parameter("1-dense.biases", np.ones(3, dtype))
    g, h = placeholder("g", (2, 3), dtype), placeholder("h", (3,), dtype)
    step = optimiser.updates(
        {"1-dense.weights": w, "1-dense.biases": bias}, {"1-dense.weights": g, "1-dense.biases": h}
    )
    inputs = [g, h, *(tensor for _, tensor in step.hyperparameters.values())]
    return step, capture(inputs, {}, step.updates)


def train(optimiser: Optimiser, dtype: str = "float64") -> Iterator[np.ndarray[Any, Any]]:
    """The weights after each step; the biases have no gradient and stay."""
    step, program = build(optimiser, dtype)
    scalars = {name: known.default for name, (known, _) in step.hyperparameters.items()}
    _, variables = program
    for g in GRADIENTS:
        run(program, {"g": g, "h": np.zeros(3), **scalars})
        np.testing.assert_array_equal(variables["1-dense.biases"].value, np.ones(3))
        yield variables["1-dense.weights"].value.copy()


def sgd(rate: float) -> Iterator[np.ndarray[Any, Any]]:
    w = START
    for g in GRADIENTS:
        w = w - rate * g
        yield w


def momentum(rate: float, mu: float) -> Iterator[np.ndarray[Any, Any]]:
    w, v = START, np.zeros_like(START)
    for g in GRADIENTS:
        v = mu * v - rate * g
        w = w + v
        yield w


def adagrad(rate: float, epsilon: float) -> Iterator[np.ndarray[Any, Any]]:
    w, s = START, np.zeros_like(START)
    for g in GRADIENTS:
        s = s + g * g
        w = w - rate * g / (np.sqrt(s) + epsilon)
        yield w


def adam(rate: float, b1: float, b2: float, epsilon: float) -> Iterator[np.ndarray[Any, Any]]:
    w, m, v = START, np.zeros_like(START), np.zeros_like(START)
    for t, g in enumerate(GRADIENTS, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        w = w - rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + epsilon)
        yield w


CASES = [
    (SGD(0.5), sgd(0.5)),
    (Momentum(0.5, 0.75), momentum(0.5, 0.75)),
    (Adagrad(0.25, 1e-3), adagrad(0.25, 1e-3)),
    (Adam(0.125, 0.75, 0.875, 1e-3), adam(0.125, 0.75, 0.875, 1e-3)),
]


@pytest.mark.parametrize(("optimiser", "reference"), CASES, ids=[type(c[0]).__name__ for c in CASES])
def test_steps_follow_the_formulas(optimiser: Optimiser, reference: Iterator[np.ndarray[Any, Any]]) -> None:
    for got, expected in zip(train(optimiser), reference, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("optimiser", [SGD(), Momentum(), Adagrad(), Adam()])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_values_keep_their_dtype(optimiser: Optimiser, dtype: str) -> None:
    step, _ = build(optimiser, dtype)
    assert all(target.type == new.type for target, new in step.updates.items())
    *_, last = train(optimiser, dtype)
    assert last.dtype == dtype
    assert np.isfinite(last).all()


def test_hyperparameters_are_inputs_and_memory_is_state() -> None:
    step, (graph, _) = build(Adam())
    names = ["optimiser.learning_rate", "optimiser.beta1", "optimiser.beta2", "optimiser.epsilon"]
    assert list(step.hyperparameters) == names
    assert [graph.node(v).name for v in graph.inputs][2:] == names
    assert list(step.memory) == [
        "optimiser.beta1_power",
        "optimiser.beta2_power",
        "optimiser.1-dense.weights.mean",
        "optimiser.1-dense.weights.squares",
        "optimiser.1-dense.biases.mean",
        "optimiser.1-dense.biases.squares",
    ]
    assert len(step.updates) == 8
    assert not any(memory.trainable for memory in step.memory.values())
    assert {node.location.scope for node in graph.nodes() if node.inputs} == {"optimiser"}


def test_a_rate_of_zero_changes_nothing() -> None:
    for optimiser in (SGD(0), Momentum(0), Adagrad(0), Adam(0)):
        *_, last = train(optimiser)
        np.testing.assert_array_equal(last, START)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SGD(-0.1),
        lambda: SGD(math.nan),
        lambda: SGD(math.inf),
        lambda: SGD("0.1"),  # type: ignore[arg-type]
        lambda: Momentum(momentum=1),
        lambda: Momentum(momentum=math.nan),
        lambda: Adagrad(epsilon=0),
        lambda: Adam(beta1=1),
        lambda: Adam(beta2=-0.1),
        lambda: Adam(epsilon=-1e-8),
    ],
)
def test_bad_numbers_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(AttributeValueError, match=r"optimiser\."):
        make()


def test_parameters_and_gradients_fit_together() -> None:
    w, g = parameter("w", [1.0, 2.0]), placeholder("g", (2,))
    with pytest.raises(GraphError, match="not those of the parameters"):
        SGD().updates({"w": w}, {"v": g})
    with pytest.raises(GraphError, match="'g' is no parameter"):
        SGD().updates({"g": g}, {"g": g})
    with pytest.raises(ShapeError, match="gradient of 'w'"):
        SGD().updates({"w": w}, {"w": g.sum()})
    with pytest.raises(DTypeError, match="cannot be optimised"):
        SGD().updates({"n": parameter("n", [1, 2])}, {"n": g})

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tensor_value import Program, run

from sigmagraph.driver import compile
from sigmagraph.errors import AttributeValueError, DTypeError, GraphError, ShapeError
from sigmagraph.optimisers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Clamp,
    ClipByNorm,
    Lion,
    Momentum,
    Nesterov,
    Optimiser,
    OptimiserGraph,
    RMSprop,
    SigmaAdagrad,
)
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
    scalars = {name: known.first for name, (known, _) in step.hyperparameters.items()}
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


def nesterov(rate: float, mu: float) -> Iterator[np.ndarray[Any, Any]]:
    """The original form: x moves, the gradient is taken at x + mu * v, which is what the optimiser calls w."""
    x, v = START, np.zeros_like(START)
    for g in GRADIENTS:
        v = mu * v - rate * g
        x = x + v
        yield x + mu * v


def adagrad(rate: float, epsilon: float, inside: bool = False) -> Iterator[np.ndarray[Any, Any]]:
    w, s = START, np.zeros_like(START)
    for g in GRADIENTS:
        s = s + g * g
        w = w - rate * g / (np.sqrt(s + epsilon) if inside else np.sqrt(s) + epsilon)
        yield w


def adadelta(rate: float, rho: float, epsilon: float) -> Iterator[np.ndarray[Any, Any]]:
    w, s, u = START, np.zeros_like(START), np.zeros_like(START)
    for g in GRADIENTS:
        s = rho * s + (1 - rho) * g**2
        step = -np.sqrt(u + epsilon) / np.sqrt(s + epsilon) * g
        u = rho * u + (1 - rho) * step**2
        w = w + rate * step
        yield w


def rmsprop(rate: float, rho: float, epsilon: float, mu: float, centred: bool) -> Iterator[np.ndarray[Any, Any]]:
    w, s, m, v = START, np.zeros_like(START), np.zeros_like(START), np.zeros_like(START)
    for g in GRADIENTS:
        s = rho * s + (1 - rho) * g**2
        m = rho * m + (1 - rho) * g
        v = mu * v + g / (np.sqrt(s - m**2 * centred) + epsilon)
        w = w - rate * v
        yield w


def lion(rate: float, b1: float, b2: float, decay: float) -> Iterator[np.ndarray[Any, Any]]:
    w, m = START, np.zeros_like(START)
    for g in GRADIENTS:
        w = w - rate * (np.sign(b1 * m + (1 - b1) * g) + decay * w)
        m = b2 * m + (1 - b2) * g
        yield w


def adam(rate: float, b1: float, b2: float, epsilon: float, decay: float = 0) -> Iterator[np.ndarray[Any, Any]]:
    w, m, v = START, np.zeros_like(START), np.zeros_like(START)
    for t, g in enumerate(GRADIENTS, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        w = w - rate * ((m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + epsilon) + decay * w)
        yield w


CASES = [
    (SGD(0.5), sgd(0.5)),
    (Momentum(0.5, 0.75), momentum(0.5, 0.75)),
    (Adagrad(0.25, 1e-3), adagrad(0.25, 1e-3)),
    (Nesterov(0.5, 0.75), nesterov(0.5, 0.75)),
    (SigmaAdagrad(0.25), adagrad(0.25, 1e-6, inside=True)),
    (Adadelta(0.5, 0.75, 1e-3), adadelta(0.5, 0.75, 1e-3)),
    (RMSprop(0.125, 0.75, 1e-3), rmsprop(0.125, 0.75, 1e-3, 0, centred=False)),
    (RMSprop(0.125, 0.75, 1e-3, 0.5), rmsprop(0.125, 0.75, 1e-3, 0.5, centred=False)),
    (RMSprop(0.125, 0.75, 1e-3, 0.5, True), rmsprop(0.125, 0.75, 1e-3, 0.5, centred=True)),
    (Adam(0.125, 0.75, 0.875, 1e-3), adam(0.125, 0.75, 0.875, 1e-3)),
    (AdamW(0.125, 0.75, 0.875, 1e-3, undecayed=["*.biases"]), adam(0.125, 0.75, 0.875, 1e-3, 0.01)),
    (Lion(0.125, 0.75, 0.875), lion(0.125, 0.75, 0.875, 0)),
    (Lion(0.125, 0.75, 0.875, weight_decay=0.5, undecayed=["*.biases"]), lion(0.125, 0.75, 0.875, 0.5)),
]
ALL = [SGD(), Momentum(), Nesterov(), Adagrad(), SigmaAdagrad(), Adadelta(), RMSprop(), Adam(), AdamW(), Lion()]


def name(optimiser: object) -> str:
    return type(optimiser).__name__


@pytest.mark.parametrize(("optimiser", "reference"), CASES, ids=[name(c[0]) for c in CASES])
def test_steps_follow_the_formulas(optimiser: Optimiser, reference: Iterator[np.ndarray[Any, Any]]) -> None:
    for got, expected in zip(train(optimiser), reference, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("optimiser", [replace(o, weight_decay=None) for o in ALL], ids=name)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_values_keep_their_dtype(optimiser: Optimiser, dtype: str) -> None:
    step, _ = build(optimiser, dtype)
    assert all(target.type == new.type for target, new in step.updates.items())
    *_, last = train(optimiser, dtype)
    assert last.dtype == dtype
    assert np.isfinite(last).all()


@pytest.mark.parametrize("optimiser", [*ALL, RMSprop(momentum=0.5, centred=True)], ids=name)
def test_compiled_steps_are_the_interpreted_ones(optimiser: Optimiser) -> None:
    optimiser = replace(optimiser, clip=ClipByNorm(1), weight_decay=0.1, modifiers={"*": Clamp(-2, 2)})
    w, g = parameter("w", START), placeholder("g", (2, 3), "float64")
    step = optimiser.updates({"w": w}, {"w": g})
    scalars = {name: known.first for name, (known, _) in step.hyperparameters.items()}
    inputs = [g, *(tensor for _, tensor in step.hyperparameters.values())]
    compiled, program = compile(inputs, step.outputs, step.updates), capture(inputs, step.outputs, step.updates)
    start = {key: variable.value.copy() for key, variable in program[1].items()}
    results = []
    for call in (lambda arrays: compiled(**arrays), lambda arrays: run(program, arrays)):
        for key, variable in program[1].items():
            variable.assign(start[key])
        norms = [call({"g": gradient, **scalars})["gradient_norm"] for gradient in GRADIENTS]
        results.append([*norms, *(variable.value.copy() for variable in program[1].values())])
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)


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
    for optimiser in ALL:
        *_, last = train(replace(optimiser, learning_rate=0, undecayed=()))  # type: ignore[call-arg]
        np.testing.assert_array_equal(last, START)


def test_a_variance_is_never_less_than_nothing() -> None:
    w, g = parameter("w", START), placeholder("g", (2, 3), "float64")
    step = RMSprop(0.1, 0.5, 1e-8, centred=True).updates({"w": w}, {"w": g})
    inputs = [g, *(tensor for _, tensor in step.hyperparameters.values())]
    scalars = {known.name: known.first for known, _ in step.hyperparameters.values()}
    program = capture(inputs, {}, step.updates)
    for _ in range(60):  # the mean of the squares comes to be the square of the mean
        run(program, {"g": np.full((2, 3), 1 / 3), **scalars})
    assert np.isfinite(w.value).all()


def test_a_gradient_that_is_no_number_stays_visible() -> None:
    for optimiser in ALL:
        step, program = build(replace(optimiser, undecayed=()))
        scalars = {known.name: known.first for known, _ in step.hyperparameters.values()}
        run(program, {"g": np.full((2, 3), np.nan), "h": np.zeros(3), **scalars})
        assert np.isnan(program[1]["1-dense.weights"].value).all()


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
        lambda: Nesterov(0.1, -0.5),
        lambda: SigmaAdagrad(epsilon=0),
        lambda: Adadelta(decay=1),
        lambda: Adadelta(epsilon=0),
        lambda: RMSprop(decay=-0.1),
        lambda: RMSprop(momentum=1),
        lambda: RMSprop(epsilon=math.inf),
        lambda: RMSprop(centred=1),  # type: ignore[arg-type]
        lambda: AdamW(beta1=-1),
        lambda: AdamW(weight_decay=-0.01),
        lambda: Lion(-1),
        lambda: Lion(beta2=1),
        lambda: SGD(lambda step, epoch: -1.0),
        lambda: SGD(lambda step, epoch: "0.1"),  # type: ignore[arg-type, return-value]
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

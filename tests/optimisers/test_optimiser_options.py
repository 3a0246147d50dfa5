"""What all optimisers can do besides their rule: decay, clipping, factors of the rate, modifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensor_value import run

from sigmagraph.errors import AttributeValueError, IdentifierError
from sigmagraph.optimisers import (
    SGD,
    Adam,
    AdamW,
    Clamp,
    ClipByNorm,
    ClipByValue,
    Lion,
    MaxNorm,
    Optimiser,
    OptimiserGraph,
    Scale,
)
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.functions import parameter, placeholder
from sigmagraph.tensor.tensor import Parameter

NDArray = np.ndarray[Any, Any]
WEIGHTS = np.array([[3.0, -2.0, 0.5], [4.0, 1.0, -1.5]])
BIASES = np.array([1.0, -1.0, 2.0])
G, H = np.array([[0.5, -3.0, 0.0], [2.0, 0.25, -0.5]]), np.array([1.0, -0.5, 6.0])


def graph_of(optimiser: Optimiser, dtype: str = "float64") -> tuple[OptimiserGraph, Parameter, Parameter, Any]:
    weights, biases = (
        parameter("1-dense.weights", WEIGHTS.astype(dtype)),
        parameter("1-dense.biases", BIASES.astype(dtype)),
    )
    g, h = placeholder("g", (2, 3), dtype), placeholder("h", (3,), dtype)
    step = optimiser.updates({p.name: p for p in (weights, biases)}, {weights.name: g, biases.name: h})
    inputs = [g, h, *(tensor for _, tensor in step.hyperparameters.values())]
    return step, weights, biases, capture(inputs, step.outputs, step.updates)


def after(optimiser: Optimiser, g: NDArray = G, h: NDArray = H, **changed: Any) -> tuple[NDArray, NDArray, Any]:
    """Weights and biases after one step, and what it reports; ``changed`` are hyperparameters."""
    step, weights, biases, program = graph_of(optimiser)
    scalars = {name: known.first for name, (known, _) in step.hyperparameters.items()}
    out = run(program, {"g": g, "h": h, **scalars, **{f"optimiser.{k}": v for k, v in changed.items()}})
    return weights.value, biases.value, out


# ---- weight decay


def test_coupled_decay_is_part_of_the_gradient() -> None:
    weights, biases, _ = after(SGD(0.5, weight_decay=0.25))
    np.testing.assert_allclose(weights, WEIGHTS - 0.5 * (G + 0.25 * WEIGHTS))
    np.testing.assert_allclose(biases, BIASES - 0.5 * (H + 0.25 * BIASES))
    # Adam divides by the size of the gradient, the part of the decay included.
    weights, _, _ = after(Adam(0.5, epsilon=1e-12, weight_decay=0.25))
    np.testing.assert_allclose(weights, WEIGHTS - 0.5 * np.sign(G + 0.25 * WEIGHTS), atol=1e-6)


@pytest.mark.parametrize("optimiser", [AdamW(0.5, epsilon=1e-12, weight_decay=0.25), Lion(0.5, weight_decay=0.25)])
def test_decoupled_decay_stands_beside_the_step(optimiser: Optimiser) -> None:
    weights, _, _ = after(optimiser)
    np.testing.assert_allclose(weights, WEIGHTS - 0.5 * np.sign(G) - 0.5 * 0.25 * WEIGHTS, rtol=1e-4)


def test_decay_spares_what_is_named_and_changes_at_run_time() -> None:
    weights, biases, _ = after(SGD(0.5, weight_decay=0.25, undecayed=["*.biases"]), weight_decay=0.5)
    np.testing.assert_allclose(weights, WEIGHTS - 0.5 * (G + 0.5 * WEIGHTS))
    np.testing.assert_allclose(biases, BIASES - 0.5 * H)
    assert "optimiser.weight_decay" not in graph_of(SGD())[0].hyperparameters
    assert "optimiser.weight_decay" in graph_of(SGD(weight_decay=0))[0].hyperparameters


# ---- clipping


def test_values_are_clipped_one_by_one() -> None:
    weights, biases, out = after(SGD(1.0, clip=ClipByValue(0.75)))
    np.testing.assert_array_equal(weights, WEIGHTS - np.clip(G, -0.75, 0.75))
    np.testing.assert_array_equal(biases, BIASES - np.clip(H, -0.75, 0.75))
    assert out == {}


def test_the_norm_is_that_of_all_gradients() -> None:
    norm = np.sqrt((G**2).sum() + (H**2).sum())
    weights, biases, out = after(SGD(1.0, clip=ClipByNorm(1.5)))
    assert out["gradient_norm"] == pytest.approx(norm, rel=1e-12)
    np.testing.assert_allclose(weights, WEIGHTS - G * 1.5 / norm)
    np.testing.assert_allclose(biases, BIASES - H * 1.5 / norm)
    moved = np.concatenate([(weights - WEIGHTS).ravel(), biases - BIASES])
    assert np.linalg.norm(moved) == pytest.approx(1.5)
    weights, _, _ = after(SGD(1.0, clip=ClipByNorm(1.5)), **{"clip.limit": 100.0})
    np.testing.assert_array_equal(weights, WEIGHTS - G)  # to the bit


def test_clipping_comes_before_decay() -> None:
    weights, _, _ = after(SGD(1.0, weight_decay=0.5, clip=ClipByValue(0.75)))
    np.testing.assert_allclose(weights, WEIGHTS - (np.clip(G, -0.75, 0.75) + 0.5 * WEIGHTS))


def test_a_norm_of_nothing_and_one_that_is_no_number() -> None:
    weights, _, out = after(SGD(1.0, clip=ClipByNorm(1)), np.zeros((2, 3)), np.zeros(3))
    np.testing.assert_array_equal(weights, WEIGHTS)
    assert out["gradient_norm"] == 0
    weights, biases, out = after(SGD(1.0, clip=ClipByNorm(1)), np.full((2, 3), np.nan))
    assert np.isnan(out["gradient_norm"])
    assert np.isnan(weights).all()
    assert np.isnan(biases).all()


def test_a_norm_in_half_precision_does_not_overflow() -> None:
    step, weights, _, program = graph_of(SGD(1.0, clip=ClipByNorm(1)), "float16")
    scalars = {name: known.first for name, (known, _) in step.hyperparameters.items()}
    g = np.full((2, 3), 1000, np.float16)  # whose square is no number of half precision
    out = run(program, {"g": g, "h": np.zeros(3, np.float16), **scalars})
    assert out["gradient_norm"].dtype == np.float32
    np.testing.assert_allclose(weights.value, WEIGHTS - 1 / np.sqrt(6), rtol=2e-3, atol=1e-3)


# ---- factors of the learning rate


def test_the_most_specific_factor_counts() -> None:
    factors = {"1-dense.biases": 2.0, "*": 0.5}
    weights, biases, _ = after(SGD(0.5, rate_factors=factors, weight_decay=0.0))
    np.testing.assert_allclose(weights, WEIGHTS - 0.25 * G)
    np.testing.assert_allclose(biases, BIASES - 1.0 * H)
    weights, biases, _ = after(SGD(0.5, rate_factors=factors), **{"rate_factors.*": 0.0})
    np.testing.assert_array_equal(weights, WEIGHTS)
    # Decoupled decay is multiplied with the learning rate of the parameter.
    weights, biases, _ = after(Lion(0.5, rate_factors={"*.biases": 2.0}, weight_decay=0.5))
    np.testing.assert_allclose(weights, WEIGHTS - 0.5 * (np.sign(G) + 0.5 * WEIGHTS))
    np.testing.assert_allclose(biases, BIASES - 1.0 * (np.sign(H) + 0.5 * BIASES))


# ---- modifiers


def test_modifiers_change_new_values() -> None:
    new = WEIGHTS - 0.5 * G
    weights, biases, _ = after(SGD(0.5, modifiers={"*.weights": Clamp(-1.5, 2.0)}))
    np.testing.assert_array_equal(weights, np.clip(new, -1.5, 2.0))
    np.testing.assert_array_equal(biases, BIASES - 0.5 * H)
    weights, biases, _ = after(SGD(0.5, modifiers={"*": Scale(0.5)}))
    np.testing.assert_array_equal(weights, new / 2)
    np.testing.assert_array_equal(biases, (BIASES - 0.5 * H) / 2)
    weights, _, _ = after(SGD(0.5, modifiers={"*": Clamp(), "*.weights": Scale(-3.0)}), **{"modifiers.*.high": 0.25})
    np.testing.assert_array_equal(weights, -3 * np.clip(new, -1, 0.25))  # one after the other


def test_the_greatest_norm_is_that_of_the_weights_to_one_unit() -> None:
    new = WEIGHTS - 0.5 * G
    weights, biases, _ = after(SGD(0.5, modifiers={"*": MaxNorm(2.0)}))
    norms = np.linalg.norm(new, axis=0)
    assert (norms > 2).any()
    assert (norms < 2).any()
    np.testing.assert_allclose(weights, new * np.minimum(1, 2 / norms))
    np.testing.assert_allclose(biases, np.clip(BIASES - 0.5 * H, -2, 2))


def test_all_numbers_are_inputs() -> None:
    optimiser = SGD(
        weight_decay=0.1,
        clip=ClipByNorm(1),
        rate_factors={"*.biases": 2.0},
        modifiers={"*": Clamp(), "*.weights": Scale(1)},
    )
    assert list(graph_of(optimiser)[0].hyperparameters) == [
        "optimiser.learning_rate",
        "optimiser.weight_decay",
        "optimiser.clip.limit",
        "optimiser.rate_factors.*.biases",
        "optimiser.modifiers.*.low",
        "optimiser.modifiers.*.high",
        "optimiser.modifiers.*.weights.factor",
    ]


# ---- wrong use


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: SGD(weight_decay=-0.1), "weight_decay"),
        (lambda: SGD(weight_decay="0.1"), "weight_decay"),
        (lambda: SGD(undecayed="*.biases"), "undecayed"),
        (lambda: SGD(undecayed=[3]), "undecayed"),
        (lambda: SGD(undecayed=None), "undecayed"),
        (lambda: SGD(clip=1.0), "clip"),
        (lambda: ClipByNorm(0), r"clip\.limit"),
        (lambda: ClipByNorm(np.nan), r"clip\.limit"),
        (lambda: ClipByValue(-1), r"clip\.limit"),
        (lambda: SGD(rate_factors={"*": -1}), r"rate_factors\.\*"),
        (lambda: SGD(rate_factors=[("*", 1)]), "rate_factors"),
        (lambda: SGD(modifiers={"*": 3.0}), "modifiers"),
        (lambda: SGD(modifiers=Clamp()), "modifiers"),
        (lambda: Clamp(1, -1), "cross"),
        (lambda: Clamp(-np.inf, 1), "low"),
        (lambda: Scale(np.nan), "factor"),
        (lambda: MaxNorm(0), "limit"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], name: str) -> None:
    with pytest.raises(AttributeValueError, match=name) as caught:
        make()
    assert caught.value.expected or "cross" in name
    assert caught.value.got


@pytest.mark.parametrize(
    "optimiser",
    [
        SGD(undecayed=["*.scale"]),
        SGD(weight_decay=0.1, undecayed=["2-dense.*"]),
        SGD(rate_factors={"*.kernel": 1.0}),
        SGD(modifiers={"weights": Clamp()}),
    ],
)
def test_patterns_that_name_nothing_are_refused(optimiser: Optimiser) -> None:
    with pytest.raises(IdentifierError, match="names nothing") as caught:
        graph_of(optimiser)
    assert "1-dense.weights" in str(caught.value)
    w, g = parameter("w", WEIGHTS), placeholder("g", (2, 3), "float64")
    frozen = ["0.scale", "2-dense.biases", "0.kernel", "weights"]
    assert list(optimiser.updates({"w": w}, {"w": g}, frozen=frozen).updates) == [w]

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sigmagraph import layers as L
from sigmagraph.autodiff.numeric import directional_derivative
from sigmagraph.data.dataset import Dataset
from sigmagraph.errors import (
    AttributeValueError,
    DTypeError,
    GraphError,
    IdentifierError,
    InputError,
    ShapeError,
    SigmaError,
)
from sigmagraph.optimisers import SGD, Adam
from sigmagraph.runtime.profile import snapshot
from sigmagraph.training.network import Network
from sigmagraph.training.trainer import Trainer

NDArray = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def network() -> Network:
    layers = L.Input(3, 2) + L.Dense(6, "tanh") + L.Dropout(0.5) + L.Dense(3) + L.SoftmaxCrossEntropy()
    return Network("small", layers, seed=3)


@pytest.fixture(scope="module")
def regression() -> Network:
    """A network of two inputs, one of whole numbers, and two outputs."""

    def body() -> None:
        x, kind = L.Input(3, alias="x")(), L.Input(2, alias="kind", dtype="int32")()
        joined = L.Dense(2, name="hidden")(x) + L.Dense(2, name="chosen")(kind.astype("f32"))
        L.Output(alias="sum")(joined)
        L.Output(alias="other")(joined * 2.0)

    return Network("several", body, seed=1)  # type: ignore[arg-type]


def one_step(network: Network, **options: Any) -> NDArray:
    """How far a step of plain descent at rate 1 goes from the mean: the slope, its sign turned."""
    found = network.maximise(
        1,
        steps=1,
        attempts=1,
        cost=0.0,
        mean=0.3,
        deviation=0.0,
        clip=None,
        optimiser=SGD(learning_rate=1.0),
        **options,
    )
    return np.asarray(found.input - np.float32(0.3))


def test_the_step_is_the_slope_of_cost_and_priors(network: Network) -> None:
    p = {name: array.astype(np.float64) for name, array in network.parameters().items()}
    names = sorted(p)
    first, last = (name.rsplit(".", 1)[0] for name in (names[0], names[-1]))

    def cost(point: Any) -> float:
        hidden = np.tanh(point[0].reshape(-1) @ p[f"{first}.weights"] + p[f"{first}.biases"])
        scores = np.exp(hidden @ p[f"{last}.weights"] + p[f"{last}.biases"])
        return float(((scores / scores.sum() - np.eye(3)[1]) ** 2).sum() + 0.5 * (point[0] ** 2).sum())

    step = one_step(network, l2=0.5)
    for place in np.ndindex(3, 2):
        way = np.zeros((3, 2))
        way[place] = 1.0
        slope = directional_derivative(cost, [np.full((3, 2), 0.3)], [way])
        assert step[place] == pytest.approx(-slope.value, abs=1e-5)


def test_each_target_of_a_batch_is_found_as_if_alone(network: Network) -> None:
    together = network.maximise([2, 1, 2], clip=(-9, 9), steps=300)
    alone = [network.maximise(target, clip=(-9, 9), steps=300) for target in (2, 1)]
    assert together.reached.all()
    assert (together.costs <= 0.06).all()
    assert together.predictions.argmax(-1).tolist() == [2, 1, 2]
    np.testing.assert_allclose(together.inputs[:2], [found.input for found in alone], atol=1e-4)
    assert not np.array_equal(together.inputs[0], together.inputs[2])  # equal targets start elsewhere
    np.testing.assert_allclose(network.predict(together.inputs), together.predictions, atol=1e-6)


def test_nothing_of_the_network_changes_and_nothing_is_compiled_twice() -> None:
    layers = L.Input(4) + L.Dense(5) + L.BatchNorm() + L.Dropout(0.3) + L.Dense(2) + L.SoftmaxCrossEntropy()
    rng = np.random.default_rng(0)
    data = Dataset(rng.standard_normal((8, 4)).astype(np.float32), rng.integers(0, 2, 8).astype(np.int32))

    def trained(dreaming: bool) -> tuple[dict[str, NDArray], list[NDArray]]:
        network = Network("frozen", layers, seed=5)
        trainer = Trainer(network, Adam(), data.batches(4))
        inputs = []
        for _ in range(2):
            trainer.run(1, lines=False)
            if dreaming:
                inputs.append(network.maximise([0, 1], steps=5, attempts=1, cost=0.0, clip=None).inputs)
        kept = {name: memory.value for name, memory in trainer.memory.items()}
        return network.parameters() | network.states() | kept, inputs

    plain, dreamt = trained(False)[0], trained(True)
    assert all(np.array_equal(array, plain[name]) for name, array in dreamt[0].items())
    assert not np.array_equal(*dreamt[1])  # the second one used the newer parameters


def test_a_second_call_compiles_nothing_and_gives_the_same(network: Network) -> None:
    first = network.maximise(1, clip=(-2, 2), steps=20, l2=0.1)
    before = snapshot()
    again = network.maximise(1, clip=(-2, 2), steps=20, l2=0.1)
    other = network.maximise(2, clip=(-1, 1), steps=20, total_variation=0.1)
    counted = snapshot().since(before)
    assert (counted.compilations, counted.cache_hits) == (0, 0)
    assert np.array_equal(first.inputs, again.inputs)
    assert np.abs(other.inputs).max() <= 1


def test_priors_do_what_they_say(network: Network) -> None:
    def found(**options: Any) -> NDArray:
        options = {"clip": None, "steps": 100, "least": 100, "attempts": 1} | options
        return network.maximise(0, **options).input

    def variation(x: NDArray) -> float:
        return float(np.abs(np.diff(x, axis=0)).sum() + np.abs(np.diff(x, axis=1)).sum())

    plain = found()
    assert (found(l2=0.1) ** 2).sum() < (plain**2).sum()
    assert variation(found(total_variation=0.1)) < variation(plain)
    assert np.abs(found(clip=(-0.25, 0.5))).max() <= 0.5
    assert found(clip=(-0.25, 0.5)).min() == -0.25


def test_what_cannot_be_reached_is_tried_again_and_said(network: Network) -> None:
    seen: list[int] = []
    options: dict[str, Any] = {"clip": (-1e-3, 1e-3), "steps": 4, "callback": lambda step, costs: seen.append(step)}
    found = network.maximise([0, 1], attempts=3, **options)
    assert seen == 3 * [1, 2, 3, 4]
    assert found.steps == 12
    assert not found.reached.any()
    with pytest.raises(InputError, match="several inputs"):
        _ = found.input
    with pytest.raises(InputError, match="no such input"):
        found.image(2)


@pytest.mark.parametrize(
    ("target", "options", "error", "says"),
    [
        (3, {}, AttributeValueError, "no such class"),
        ([0, -1], {}, AttributeValueError, "no such class"),
        ([[0, 1]], {}, ShapeError, "no classes to name"),
        ([0.0, float("nan"), 1.0], {}, AttributeValueError, "finite numbers"),
        ([0.0, 1.0], {}, ShapeError, "another shape"),
        ("three", {}, DTypeError, "cannot dream"),
        (True, {}, DTypeError, "cannot dream"),
        ([], {}, DTypeError, "cannot dream"),
        (1, {"input": "image"}, IdentifierError, "no such input"),
        (1, {"output": "labels"}, IdentifierError, "no such output"),
        (1, {"fixed": {"more": [1.0]}}, InputError, "are fixed"),
        (1, {"steps": 0}, AttributeValueError, "'steps'"),
        (1, {"least": 2000}, AttributeValueError, "'least'"),
        (1, {"cost": float("nan")}, AttributeValueError, "'cost'"),
        (1, {"clip": (1, 0)}, AttributeValueError, "'clip'"),
        (1, {"mean": [0.0, 1.0]}, ShapeError, "the mean"),
        (1, {"mean": "grey"}, AttributeValueError, "'mean'"),
        (1, {"l2": -1}, AttributeValueError, "'l2'"),
        (1, {"optimiser": "adam"}, AttributeValueError, "'optimiser'"),
    ],
)
def test_wrong_uses(network: Network, target: Any, options: Any, error: type[SigmaError], says: str) -> None:
    with pytest.raises(error, match=says):
        network.maximise(target, **options)


def test_several_inputs_and_outputs(regression: Network) -> None:
    kind = np.array([1, 2], np.int32)
    wanted = np.array([[1.0, -1.0], [0.5, 2.0]], np.float32)
    options: dict[str, Any] = {"input": "x", "output": "sum", "fixed": {"kind": kind}, "clip": None}
    found = regression.maximise(wanted, cost=1e-3, **options)
    assert found.reached.all()
    both = regression.predict(x=found.inputs, kind=np.stack([kind, kind]))
    assert np.abs(both["sum"] - wanted).max() <= 0.04
    with pytest.raises(IdentifierError, match="several inputs"):
        regression.maximise(0, output="sum")
    with pytest.raises(IdentifierError, match="several outputs"):
        regression.maximise(0, input="x", fixed={"kind": kind})
    with pytest.raises(DTypeError, match="cannot be dreamt"):
        regression.maximise(0, input="kind", output="sum", fixed={"x": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match="another shape"):
        regression.maximise(0, **{**options, "fixed": {"kind": np.zeros(3, np.int32)}})


def test_a_network_that_gives_nothing_dreams_nothing() -> None:
    def body() -> None:
        L.Input(2)()

    with pytest.raises(GraphError, match="cannot dream"):
        Network("silent", body).maximise(0)  # type: ignore[arg-type]

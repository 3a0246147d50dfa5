"""Frozen parameters are not trained, and cost nothing."""

from __future__ import annotations

import numpy as np
import pytest

from sigmagraph import layers as L
from sigmagraph.data.dataset import Dataset
from sigmagraph.driver import build
from sigmagraph.errors import GraphError, IdentifierError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.plan import Launch
from sigmagraph.optimisers import SGD, Adam, Momentum
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.options import CompileOptions, Target
from sigmagraph.runtime.profile import counters, snapshot
from sigmagraph.tensor.capture import capture
from sigmagraph.training.network import Network
from sigmagraph.training.trainer import Trainer


def network() -> Network:
    layers = (
        L.Input(6) + 2 * L.Dense(5, activation="tanh", name="fc#") + L.Dense(4, name="fc#") + L.SoftmaxCrossEntropy()
    )
    return Network("mlp", layers, seed=1)


def records() -> Dataset:
    inputs = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    return Dataset(inputs, inputs[:, :4].argmax(-1).astype(np.int32))


def values(of: Network) -> dict[str, bytes]:
    return {identifier: array.tobytes() for identifier, array in of.parameters().items()}


def step_of(of: Network, optimiser: Optimiser) -> Graph:
    graph = of.train_graph(optimiser)
    return capture(graph.inputs, graph.outputs, graph.updates)[0]


def test_patterns_say_what_is_frozen() -> None:
    mlp = network()
    mlp.freeze("fc2.*")
    mlp.freeze("*.biases")
    assert mlp.frozen == ("fc1.biases", "fc2.weights", "fc2.biases", "fc3.biases")
    mlp.unfreeze("fc2.*")
    assert mlp.frozen == ("fc1.biases", "fc3.biases")
    mlp.unfreeze()
    assert mlp.frozen == ()
    for change in (mlp.freeze, mlp.unfreeze):
        with pytest.raises(IdentifierError, match="names nothing") as caught:
            change("fc4.*")
        assert "fc" in str(caught.value.expected)


def test_what_only_frozen_parameters_need_drops_out() -> None:
    nodes, launches = [], []
    for pattern in (None, "fc1.*", "fc2.*"):  # from the input on, one layer more each time
        if pattern is None:
            mlp = network()
        else:
            mlp.freeze(pattern)
        graph = step_of(mlp, SGD(0.1))
        assert [o.updates for o in graph.outputs if o.updates] == [i for i in mlp.parameters() if i not in mlp.frozen]
        backward = [n.location.scope for n in graph.nodes() if n.location.gradient]
        assert not any(f"mlp/{identifier.split('.')[0]}" in backward for identifier in mlp.frozen)
        nodes.append(len(graph))
        plan = build(graph, CompileOptions(Target(cpu="haswell", features="+avx2,+fma")))[0].main
        launches.append(sum(isinstance(s, Launch) for s in plan.steps))
    # A layer's backward pass is the products for weights and input, and the sum for biases; the first has no input.
    assert nodes[0] > nodes[1] > nodes[2]
    assert launches[0] - launches[1] >= 2
    assert launches[1] - launches[2] >= 3


def test_frozen_parameters_keep_every_bit() -> None:
    mlp = network()
    mlp.freeze("fc2.*")
    before = values(mlp)
    Trainer(mlp, Momentum(0.1, weight_decay=0.1), records().batches(10)).run(2, bar=False, lines=False)
    after = values(mlp)
    assert [i for i in after if after[i] == before[i]] == ["fc2.weights", "fc2.biases"]


def test_a_trainer_takes_notice() -> None:
    mlp = network()
    trainer = Trainer(mlp, Momentum(0.1), records().batches(10))
    trainer.run(1, bar=False, lines=False)
    velocity = trainer.memory["optimiser.fc3.weights.velocity"].value
    before, counted = values(mlp), snapshot()
    assert velocity.any()

    mlp.freeze("fc1.*")
    trainer.run(1, bar=False, lines=False)
    frozen = values(mlp)
    assert [i for i in frozen if frozen[i] == before[i]] == ["fc1.weights", "fc1.biases"]
    assert np.shares_memory(trainer.memory["optimiser.fc3.weights.velocity"].value, velocity)  # which goes on
    assert "optimiser.fc1.weights.velocity" not in trainer.memory

    mlp.unfreeze()
    trainer.run(1, bar=False, lines=False)
    trained = values(mlp)
    assert not [i for i in trained if trained[i] == frozen[i]]
    new = counters().since(counted)
    assert new.compilations + new.cache_hits == 2
    assert trainer.steps == 9


def test_an_optimiser_starts_anew_when_parameters_join() -> None:
    """Adam's first step has the length of the learning rate for every parameter, whenever it joins."""
    mlp = network()
    mlp.freeze("fc1.biases")
    trainer = Trainer(mlp, Adam(0.001, epsilon=1e-30), records().batches(30))
    trainer.run(5, bar=False, lines=False)
    mlp.unfreeze()
    before = mlp.parameters()["fc1.biases"].copy()
    trainer.run(1, bar=False, lines=False)
    np.testing.assert_allclose(np.abs(mlp.parameters()["fc1.biases"] - before), 0.001, rtol=1e-3)


def test_something_must_be_left_to_train() -> None:
    mlp = network()
    trainer = Trainer(mlp, SGD(0.1), records().batches(10))
    mlp.freeze("*")
    before = values(mlp)
    with pytest.raises(GraphError, match="cannot be trained") as caught:
        trainer.run(1, bar=False, lines=False)
    assert "fc1.weights" in str(caught.value.got)
    assert values(mlp) == before
    mlp.unfreeze("fc3.*")
    trainer.run(1, bar=False, lines=False)


def test_patterns_of_the_optimiser_may_name_what_is_frozen() -> None:
    mlp = network()
    mlp.freeze("fc1.*")
    optimiser = SGD(0.1, weight_decay=0.1, undecayed=["fc1.biases"], rate_factors={"fc1.*": 2.0})
    trainer = Trainer(mlp, optimiser, records().batches(10))
    trainer.hyperparameters["optimiser.rate_factors.fc1.*"] = 0.0  # an input that nothing reads
    before = values(mlp)
    trainer.run(1, bar=False, lines=False)
    after = values(mlp)
    assert [i for i in after if after[i] == before[i]] == ["fc1.weights", "fc1.biases"]
    mlp.unfreeze()
    trainer.run(1, bar=False, lines=False)
    assert values(mlp)["fc1.weights"] == before["fc1.weights"]  # by the factor

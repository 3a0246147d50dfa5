"""Hooks that change a network's parameters, or predict with it while it is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acting_runs import HandmadeTraining

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.errors import AttributeValueError, IdentifierError, InputError
from sigmagraph.optimisers.modifiers import Clamp, MaxNorm, Scale
from sigmagraph.training.hooks.change import Modify
from sigmagraph.training.hooks.maximise import Maximise
from sigmagraph.training.hooks.pass_network import PassNetwork
from sigmagraph.training.network import Network

RECORDS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 6)


@pytest.fixture(scope="module")
def shared_network() -> Network:
    return sg.Network("small", L.Input(6) + L.Dense(3) + L.BatchNorm() + L.Dense(2) + L.SoftmaxCrossEntropy())


@pytest.fixture
def network(shared_network: Network) -> Network:
    shared_network.unfreeze()
    shared_network.reset(1)
    return shared_network


# ---- modifiers


def modify(network: Network, hook: Modify, times: int = 1) -> None:
    """Let a hook fire, and do what it asks the trainer for."""
    training = HandmadeTraining(network)
    hook.attached(training)
    for _ in range(times):
        training.epochs(hook, [{}])
        while training.changes:
            identifier, value = training.changes.pop()
            network.parameters()[identifier.removeprefix("network.layers.")][...] = value


def test_modify_applies_the_modifier_to_what_the_pattern_names(network: Network) -> None:
    before = {name: value.copy() for name, value in network.parameters().items()}
    modify(network, Modify("*.weights", Scale(0.5)), times=2)
    for name, value in network.parameters().items():
        assert np.array_equal(value, before[name] * (0.25 if name.endswith("weights") else 1.0)), name


def test_modify_limits_norms_by_the_formula_of_the_optimiser(network: Network) -> None:
    weights = network.parameters()["1-dense.weights"]
    weights *= 10
    expected = weights * np.minimum(1, 3 / np.linalg.norm(weights, axis=0))
    modify(network, Modify("1-dense.*", MaxNorm(3.0)))
    np.testing.assert_allclose(network.parameters()["1-dense.weights"], expected, rtol=1e-6)


def test_modify_leaves_frozen_parameters_as_they_are(network: Network) -> None:
    network.freeze("1-dense.*")
    frozen, free = (network.parameters()[f"{name}.weights"].copy() for name in ("1-dense", "3-dense"))
    modify(network, Modify("*.weights", Scale(0.5)))
    assert np.array_equal(network.parameters()["1-dense.weights"], frozen)
    assert np.array_equal(network.parameters()["3-dense.weights"], free / 2)
    assert network.modified("1-dense.*", Scale(0.5)) == {}


def test_modify_asks_schedules_for_the_step(network: Network) -> None:
    network.parameters()["1-dense.biases"][:] = 1.0
    modify(network, Modify("1-dense.biases", Scale(lambda step, epoch: step + epoch)))
    assert network.parameters()["1-dense.biases"].tolist() == [11.0] * 3


def test_modify_compiles_once(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    network.modified("*.biases", Clamp(-1.0, 1.0))
    monkeypatch.setattr("sigmagraph.training.network.compile", None)
    assert network.modified("*.biases", Clamp(-1.0, 1.0)).keys() == network.modified("*.b*s", Clamp(-1.0, 1.0)).keys()


def test_modify_refuses_what_it_cannot_do(network: Network) -> None:
    with pytest.raises(AttributeValueError, match="no modifier"):
        Modify("*.weights", 0.5)  # type: ignore[arg-type]
    with pytest.raises(AttributeValueError, match="no modifier"):
        network.modified("*.weights", 0.5)  # type: ignore[arg-type]
    with pytest.raises(IdentifierError, match="names nothing"):
        Modify("*.wieghts", Scale(0.5)).attached(HandmadeTraining(network))


# ---- copies


def test_a_copy_has_the_same_values_and_goes_its_own_way(network: Network) -> None:
    network.states()["2-batchnorm.mean"][:] = 3.0
    network.freeze("3-*")
    copy = network.copy()
    values, original = copy.parameters() | copy.states(), network.parameters() | network.states()
    assert values.keys() == original.keys()
    assert all(np.array_equal(values[name], original[name]) for name in values)
    assert copy.frozen == network.frozen
    values["1-dense.weights"][:] = 0.0
    assert network.parameters()["1-dense.weights"].any()


# ---- predictions


def snapshot(network: Network) -> dict[str, Any]:
    values = network.parameters() | network.states()
    return {f"network.layers.{name}": value.copy() for name, value in values.items()}


def test_pass_network_predicts_with_the_values_of_the_event(network: Network) -> None:
    taken: list[Any] = []
    training, hook = HandmadeTraining(network), PassNetwork(RECORDS, taken.append)
    hook.attached(training)
    expected, values = network.predict(RECORDS), snapshot(network)
    network.parameters()["1-dense.weights"][:] = 7.0  # training goes on while the hook is on its way
    network.states()["2-batchnorm.mean"][:] = 7.0
    training.epochs(hook, [values])
    assert np.array_equal(taken[0], expected)
    assert not np.array_equal(network.predict(RECORDS), expected)


def test_pass_network_reads_what_it_predicts_with_and_nothing_that_a_step_would_have_to_keep(network: Network) -> None:
    from sigmagraph.identifiers import path_pattern

    patterns = [path_pattern(text) for text in PassNetwork(RECORDS, print).reads()]
    lstm = sg.Network("lstm", L.Input(3, 2) + L.LSTM(2) + L.BatchNorm())
    for name in (*snapshot(network), *snapshot(lstm)):
        assert any(pattern.matches(name) for pattern in patterns), name
    for name in ("_inputs.default.activations", "_outputs.default.activations"):
        assert not any(pattern.matches(f"network.layers.1-dense.{name}") for pattern in patterns)


def test_pass_network_in_the_place_of_training_reads_nothing(network: Network) -> None:
    taken: list[Any] = []
    hook = PassNetwork({"inputs": RECORDS}, taken.append, background=False)
    assert hook.reads() == ()
    HandmadeTraining(network).epochs(hook, [{}])
    network.parameters()["1-dense.weights"][:] = 7.0
    HandmadeTraining(network).epochs(hook, [{}])
    assert not np.array_equal(taken[0], taken[1])
    assert np.array_equal(taken[1], network.predict(RECORDS))


def test_pass_network_leaves_carried_states_alone() -> None:
    network = sg.Network("carried", L.Input(3, 2) + L.LSTM(2, carry=1))
    records = np.ones((1, 3, 2), np.float32)
    states = {name: value.copy() for name, value in network.states().items()}
    taken: list[Any] = []
    HandmadeTraining(network).epochs(PassNetwork(records, taken.append, background=False), [{}, {}])
    assert states
    assert all(np.array_equal(states[name], value) for name, value in network.states().items())
    assert np.array_equal(taken[0], taken[1])


def test_pass_network_refuses_other_records_before_training(network: Network) -> None:
    with pytest.raises(InputError):
        PassNetwork(RECORDS[:, :5], print).attached(HandmadeTraining(network))
    with pytest.raises(AttributeValueError, match="nobody takes"):
        PassNetwork(RECORDS, None)  # type: ignore[arg-type]
    with pytest.raises(AttributeValueError, match="global"):
        PassNetwork(RECORDS, print, scope="local")


def test_pass_networks_are_equal_if_they_pass_the_same_to_the_same() -> None:
    assert PassNetwork(RECORDS, print) == PassNetwork(RECORDS.copy(), print)
    assert PassNetwork(RECORDS, print) != PassNetwork(RECORDS + 1, print)
    assert PassNetwork(RECORDS, print) != PassNetwork(RECORDS, repr)
    mine = RECORDS.copy()
    hook = PassNetwork(mine, print)
    mine[:] = 0
    assert hook == PassNetwork(RECORDS, print)


# ---- dreams


@pytest.fixture(scope="module")
def dreamer() -> Network:
    """Its first class is a dark image, its second one a bright one."""
    network = sg.Network("dreamer", L.Input(3, 2) + L.Flatten() + L.Dense(2) + L.SoftmaxCrossEntropy())
    network.parameters()["2-dense.weights"][:] = [[-3.0, 3.0]] * 6
    network.parameters()["2-dense.biases"][:] = [6.0, -6.0]
    return network


def test_maximise_shares_what_the_network_dreams_and_shows_it(dreamer: Network) -> None:
    training, hook = HandmadeTraining(dreamer), Maximise((1, 0))
    before = snapshot(dreamer)
    training.epochs(hook, [{}])
    assert set(training.shared) == set(hook.provides())
    for target, bright in ((0, False), (1, True)):
        assert training.shared[f"shared.target_maximisation_result_{target}_success"] is True
        found = training.shared[f"shared.target_maximisation_result_{target}_input"]
        assert found.shape == (3, 2)
        assert dreamer.predict(found[None]).argmax() == target
        assert (found.mean() > 1 / 3) == bright
    assert training.lines[0] == "epoch 1: 2 of 2 dreams have reached their cost"
    assert [len(line) for line in training.lines[1].split("\n")] == [10, 10, 10]
    assert all(np.array_equal(value, before[name]) for name, value in snapshot(dreamer).items())


def test_maximise_writes_pictures(dreamer: Network, tmp_path: Path) -> None:
    from PIL import Image

    training, hook = HandmadeTraining(dreamer), Maximise((1, 0), path=tmp_path / "dreams" / "e{epoch:03}.png")
    hook.attached(training)
    training.epochs(hook, [{}, {}])
    assert [path.name for path in sorted((tmp_path / "dreams").iterdir())] == ["e001.png", "e002.png"]
    with Image.open(tmp_path / "dreams" / "e001.png") as picture:
        assert picture.size == (5 * 8, 3 * 8)
    assert len(training.lines) == 2


def test_maximise_in_the_background_dreams_with_the_values_of_the_event(dreamer: Network) -> None:
    training, hook = HandmadeTraining(dreamer), Maximise((1, 0), background=True)
    values = snapshot(dreamer)
    values["network.layers.2-dense.weights"] *= -1
    values["network.layers.2-dense.biases"] *= -1
    training.epochs(hook, [values])
    assert training.shared["shared.target_maximisation_result_0_input"].mean() > 1 / 3
    assert hook.reads() == PassNetwork(RECORDS, print).reads()
    assert Maximise(0).reads() == ()


def test_maximise_says_what_did_not_come_about(dreamer: Network) -> None:
    training = HandmadeTraining(dreamer)
    training.epochs(Maximise((1, 0), steps=1, attempts=1, cost=0.0), [{}])
    assert training.shared["shared.target_maximisation_result_1_success"] is False
    assert training.lines[0] == "epoch 1: 0 of 2 dreams have reached their cost"


@pytest.mark.parametrize(
    ("targets", "options"),
    [
        ((), {}),
        ((1, 1), {}),
        (0.5, {}),
        (1, {"steps": 0}),
        (1, {"path": "{shape}/a{b.png"}),
        (1, {"every": "often"}),
    ],
)
def test_maximise_refuses_what_makes_no_sense(targets: Any, options: dict[str, Any]) -> None:
    with pytest.raises(AttributeValueError):
        Maximise(targets, **options)


def test_maximisations_are_equal_if_they_dream_the_same() -> None:
    assert Maximise(range(3), cost=0.1) == Maximise((0, 1, 2), cost=0.1)
    assert Maximise(range(3), cost=0.1) != Maximise(range(3), cost=0.2)
    assert Maximise(0) == Maximise((0,))
    assert len({Maximise(0), Maximise(1), Maximise(0)}) == 2

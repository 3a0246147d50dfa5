"""Several workers: with merged gradients they do what one does, otherwise each learns for itself between merges."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from training.wedge import QUIET, bits, classifier, trainer, wedge

from sigmagraph import layers as L
from sigmagraph.data.batches import Batch
from sigmagraph.errors import AttributeValueError, GraphError, IdentifierError, ShapeError, TargetError
from sigmagraph.optimisers.sgd import SGD
from sigmagraph.options import Target
from sigmagraph.tensor.functions import maximum
from sigmagraph.training.hooking.hook import Moment, hook
from sigmagraph.training.network import Network
from sigmagraph.training.operators.crew import combined
from sigmagraph.training.operators.mergers import Average, Custom, Maximum, Weighted, merge_networks
from sigmagraph.training.operators.operator import Operator, as_operator, placed
from sigmagraph.training.operators.synchronous import shards
from sigmagraph.training.trainer import Trainer


def weights(of: Trainer) -> np.ndarray:
    return np.concatenate([array.ravel() for array in of.network.parameters().values()])


@pytest.mark.parametrize("workers", [2, 3])
def test_merged_gradients_are_those_of_one_worker(workers: int) -> None:
    alone, together = trainer(dropout=0.0), trainer(dropout=0.0, operator=f"cpu:{workers}")
    alone.run(3, **QUIET)
    together.run(3, **QUIET)
    assert together.iteration == alone.iteration == 12
    np.testing.assert_allclose(weights(together), weights(alone), rtol=2e-4, atol=2e-6)
    np.testing.assert_allclose(together.history.costs, alone.history.costs, rtol=1e-5)


def test_workers_end_with_the_same_bits_every_time() -> None:
    operators = [Operator(workers=2), Operator(workers=2, merge=3), Operator(workers=2, merge="epoch")]
    for operator in operators:
        first, second = trainer(operator=operator), trainer(operator=operator)
        first.run(2, **QUIET)
        second.run(2, **QUIET)
        assert bits(first) == bits(second)


def test_each_worker_draws_its_own_dropout() -> None:
    of = trainer(operator=Operator(workers=2, merge="epoch"))
    keys = [of.crew.own(number)["rng"].value[0] for number in range(2)]
    assert keys[0] == of.network.seed
    assert keys[0] != keys[1]


def test_an_epoch_takes_half_the_iterations_where_two_have_batches_of_their_own() -> None:
    of = trainer(operator=Operator(workers=2, merge="epoch"))
    of.run(2, **QUIET)
    assert of.iteration == 2 * 2


def test_what_is_learnt_in_an_epoch_is_in_the_network_at_its_end() -> None:
    """In Sigma.Core workers took the global network over before they had given what they had learnt to it."""
    seen = []

    @hook("1 iteration", reads=["network.layers.1-dense.weights"])
    def look(now: Moment) -> None:
        seen.append(now["network.layers.1-dense.weights"].copy())

    of = trainer(SGD(0.1), dropout=0.0, operator=Operator(workers=2, merge="epoch"))
    before = of.network.parameters()["1-dense.weights"].copy()
    of.add(look)
    of.run(1, **QUIET)
    assert all(np.array_equal(array, before) for array in seen)  # only merges change it
    after = of.network.parameters()["1-dense.weights"]
    own = [of.crew.own(number)["1-dense.weights"].value for number in range(2)]
    assert np.array_equal(own[0], after)
    assert np.array_equal(own[1], after)
    # The mean of two workers, each of which has seen half of the records in two plain steps.
    expected = np.zeros(before.shape, np.float64)
    batches = list(of.data.epoch(0))
    for number in range(2):
        alone = trainer(SGD(0.1), dropout=0.0)
        mine = batches[number::2]
        for batch in mine:
            alone.step(inputs=batch.inputs, targets=batch.targets, **alone.hyperparameters)
        share = sum(len(batch.inputs) for batch in mine) / 96
        expected += share * alone.network.parameters()["1-dense.weights"]
    np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-7)


def test_training_with_workers_learns() -> None:
    for merge in ("gradients", 2, "epoch"):
        of = trainer(operator=Operator(workers=2, merge=merge))  # type: ignore[arg-type]
        of.run(40, **QUIET)
        accuracy = of.evaluate(wedge(1000)).accuracy
        assert accuracy is not None
        assert accuracy > 0.88, merge


def test_local_hooks_see_their_worker_and_global_ones_all() -> None:
    seen: dict[object, list[float]] = {0: [], 1: [], None: []}
    rows = []

    def note(now: Moment) -> None:
        seen[now.worker].append(float(now["optimiser.cost"]))

    local = hook("1 iteration", reads=["optimiser.cost"], scope="local")(note)
    whole = hook("1 iteration", reads=["optimiser.cost"], priority=1)(note)

    @hook("1 iteration", reads=["network.layers.0-input._outputs.default.activations", "optimiser.gradients.**"])
    def fetched(now: Moment) -> None:
        rows.append(now["network.layers.0-input._outputs.default.activations"])
        assert now["optimiser.gradients.1-dense.weights"].shape == (2, 16)

    of = trainer(operator="cpu:2")
    for one in (local, whole, fetched):
        of.add(one)
    of.run(1, **QUIET)
    records = np.array([[13, 12]] * 3 + [[11, 10]])
    means = (records * np.array([seen[0], seen[1]]).T).sum(1) / records.sum(1)
    np.testing.assert_allclose(seen[None], means, rtol=1e-6)
    for batch, array in zip(of.data.epoch(0), rows, strict=True):
        assert np.array_equal(batch.inputs, array)


def test_gradients_of_one_length_with_the_batch_are_not_taken_for_rows() -> None:
    a, b = np.full(3, 1.0, np.float32), np.full(3, 5.0, np.float32)
    mean = combined([{"g": a}, {"g": b}], [3, 3], by_row=())
    rows = combined([{"g": a}, {"g": b}], [3, 3], by_row=("g",))
    np.testing.assert_array_equal(mean["g"], np.full(3, 3.0))
    np.testing.assert_array_equal(rows["g"], np.concatenate([a, b]))


def test_a_batch_is_cut_into_parts_that_are_as_equal_as_can_be() -> None:
    for records in range(1, 9):
        for count in range(1, 5):
            batch = Batch({"x": np.arange(records), "y": np.arange(records)}, np.arange(records))
            parts = shards(batch, count)
            lengths = [len(part.targets) for part in parts]
            assert max(lengths) - min(lengths) <= 1
            assert np.array_equal(np.concatenate([part.inputs["y"] for part in parts]), np.arange(records))


def test_workers_without_records_do_no_harm() -> None:
    """The last batch has one record for three workers."""
    data = wedge(76)
    alone, together = (
        Trainer(classifier(dropout=0.0), SGD(0.1), data.batches(25), operator=operator) for operator in ("cpu", "cpu:3")
    )
    for of in (alone, together):
        of.run(2, **QUIET)
    np.testing.assert_allclose(weights(together), weights(alone), rtol=2e-4, atol=2e-6)


def test_running_means_of_workers_are_merged() -> None:
    def normed() -> Network:
        layers = L.Input(2) + L.Dense(4) + L.BatchNorm() + L.Dense(2) + L.SoftmaxCrossEntropy()
        return Network("normed", layers)

    for operator in (Operator(workers=2), Operator(workers=2, merge="epoch")):
        of = Trainer(normed(), SGD(0.0), wedge().batches(60), operator=operator)
        of.run(1, **QUIET)
        states = of.network.states()
        assert np.abs(states["2-batchnorm.mean"]).max() > 0
        if operator.merge == "epoch":
            for number in range(2):
                own = of.crew.own(number)["2-batchnorm.mean"].value
                np.testing.assert_array_equal(own, states["2-batchnorm.mean"])


def test_frozen_parameters_stay_and_memory_goes_on_with_workers() -> None:
    for operator in (Operator(workers=2), Operator(workers=2, merge=2)):
        of = trainer(operator=operator)
        of.run(1, **QUIET)
        of.freeze("1-dense.*")
        before = of.network.parameters()["1-dense.weights"].copy()
        last = of.network.parameters()["3-dense.weights"].copy()
        memory = of.memory["optimiser.3-dense.weights.mean"].value.copy()
        assert np.abs(memory).max() > 0
        of.run(1, **QUIET)
        np.testing.assert_array_equal(of.network.parameters()["1-dense.weights"], before)
        assert not np.array_equal(of.network.parameters()["3-dense.weights"], last)


def test_values_that_are_set_reach_all_workers() -> None:
    of = trainer(operator=Operator(workers=2, merge="epoch"))
    of.registry["network.layers.1-dense.biases"] = np.full(16, 0.5, np.float32)
    for number in range(2):
        np.testing.assert_array_equal(of.crew.own(number)["1-dense.biases"].value, np.full(16, 0.5))


# ---- mergers


def three() -> list[Network]:
    networks = [classifier(seed) for seed in range(3)]
    networks[0].parameters()["3-dense.biases"][:] = [1.0, 0.0]
    return networks


def test_networks_are_merged() -> None:
    networks = three()
    values = [network.parameters()["1-dense.weights"].copy() for network in networks]
    into = classifier(9)
    merge_networks(into, networks)
    np.testing.assert_allclose(into.parameters()["1-dense.weights"], np.mean(values, 0), rtol=1e-6, atol=1e-7)
    merge_networks(into, networks, {"*.weights": Weighted(2, 1, 1), "*.biases": Maximum()})
    np.testing.assert_allclose(
        into.parameters()["1-dense.weights"], (2 * values[0] + values[1] + values[2]) / 4, rtol=1e-6, atol=1e-7
    )
    np.testing.assert_array_equal(into.parameters()["3-dense.biases"], [1.0, 0.0])
    merge_networks(networks[0], networks, Custom(lambda v, _: maximum(v[0], -v[1])))
    np.testing.assert_array_equal(networks[0].parameters()["1-dense.weights"], np.maximum(values[0], -values[1]))


def test_wrong_merges_are_refused() -> None:
    networks = three()
    with pytest.raises(GraphError, match="nothing to merge"):
        merge_networks(networks[0], [])
    with pytest.raises(GraphError, match=r"differ in '1-dense\.weights'"):
        merge_networks(networks[0], [Network("other", L.Input(2) + L.Dense(3) + L.Dense(2) + L.SoftmaxCrossEntropy())])
    with pytest.raises(IdentifierError, match="names nothing"):
        merge_networks(networks[0], networks, {"*.wieghts": Average()})
    with pytest.raises(AttributeValueError, match="a weight for each worker"):
        merge_networks(networks[0], networks, Weighted(1, 2))
    with pytest.raises(ShapeError, match="gives something else"):
        merge_networks(networks[0], networks, Custom(lambda v, _: v[0].sum()))
    for wrong in ((), (-1.0,), (0.0, 0.0), (float("nan"),)):
        with pytest.raises(AttributeValueError, match="no weights of a mean"):
            Weighted(*wrong)


def test_wrong_operators_are_refused() -> None:
    for wrong in ("cpu:0", "cpu:", "CPU", "cpu:two", 3):
        with pytest.raises(AttributeValueError, match="no operator"):
            as_operator(wrong)  # type: ignore[arg-type]
    for device in ("mpi", "cud:2"):
        with pytest.raises(TargetError, match="no operator for"):
            as_operator(device)
    for options in ({"workers": 0}, {"merge": 0}, {"merge": "never"}, {"threads": -1}, {"mergers": "mean"}):
        with pytest.raises(AttributeValueError):
            Operator(**options)  # type: ignore[arg-type]
    for options in ({"device": "gpu"}, {"device": "cuda:x"}, {"device": None}):
        with pytest.raises(AttributeValueError, match="'device' makes no sense"):
            Operator(**options)  # type: ignore[arg-type]
    for options in ({"workers": 2}, {"threads": 1}, {"merge": 3}, {"merge": "epoch"}, {"mergers": Maximum()}):
        (name,) = options
        with pytest.raises(AttributeValueError, match=f"'{name}' makes no sense on a GPU"):
            Operator(device="cuda:1", **options)  # type: ignore[arg-type]
    with pytest.raises(IdentifierError, match="names nothing"):
        trainer(operator=Operator(workers=2, mergers={"*.nothing": Average()}))
    assert str(as_operator("cpu:4")) == "cpu:4, merged gradients"


def test_no_threads_are_left_behind() -> None:
    of = trainer(operator="cpu:3")
    of.run(1, **QUIET)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("sigmagraph-worker")]


def test_a_batch_that_does_not_fit_names_what_is_wrong_and_changes_nothing() -> None:
    of = trainer(operator="cpu:2")
    before = bits(of)
    bad = Batch(np.zeros((10, 3), np.float32), np.zeros(10, np.int32))
    with pytest.raises(Exception, match="inputs"):
        of.crew.run([bad], ())
    assert bits(of) == before


def test_operator_and_target_are_one_device() -> None:
    for operator, target, expected in (
        (None, None, ("cpu", Target())),
        ("cpu:2", "cpu:1", ("cpu:2, merged gradients", Target(threads=1))),
        ("cuda:1", None, ("cuda:1", Target("cuda", device=1))),
        (None, "cuda:1", ("cuda:1", Target("cuda", device=1))),
        ("cuda", "cuda:sm_80", ("cuda", Target("cuda", cpu="sm_80"))),
        ("cuda:0", "cuda", ("cuda:0", Target("cuda"))),
        (None, "aarch64-linux-gnu", ("cpu", Target(triple="aarch64-linux-gnu"))),
    ):
        chosen, made_for = placed(operator, target)
        assert (str(chosen), made_for) == expected
    for operator, target in (("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda:1"), ("cuda:1", "cuda:sm_80")):
        with pytest.raises(TargetError, match="not the same device"):
            placed(operator, target)

"""Hooks of a real training: what they read is what the step hands out, when they fire, and what they may break."""

from __future__ import annotations

import logging
import threading
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np
import pytest
from training.wedge import QUIET, bits, trainer

from sigmagraph.errors import AttributeValueError, HookError, IdentifierError
from sigmagraph.runtime.profile import counters, snapshot
from sigmagraph.training.hooking.criteria import Threshold
from sigmagraph.training.hooking.hook import Hook, Moment, hook
from sigmagraph.training.hooking.timing import TimeScale, TimeStep

ACTIVATIONS = "network.layers.1-dense._outputs.default.activations"
GRADIENT = "optimiser.gradients.1-dense.weights"


@dataclass(frozen=True)
class Note(Hook):
    """Keeps what it reads."""

    names: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    needs: tuple[Hook, ...] = ()
    label_: str = "note"
    _: KW_ONLY
    kept: list[Any] = field(default_factory=list, compare=False)

    @property
    def label(self) -> str:
        return self.label_

    def reads(self) -> tuple[str, ...]:
        return self.names

    def provides(self) -> tuple[str, ...]:
        return self.offers

    def requires(self) -> tuple[Hook, ...]:
        return self.needs

    def invoke(self, now: Moment, /) -> None:
        self.kept.append((self.label_, now.iteration, dict(now.values)))
        for offer in self.offers:
            now.share(offer, now.iteration)


def outputs(of: Any) -> list[set[str]]:
    """What the programs hand out that the trainer has compiled."""
    return [set(fetch) for fetch in of.crew._worker._steps._known]


def test_the_step_hands_out_what_hooks_read_and_nothing_else() -> None:
    of = trainer()
    of.run(1, **QUIET)
    assert outputs(of) == [set()]
    norms = Note(("optimiser.gradient_norm",), every="2 iterations")
    ends = Note((GRADIENT, ACTIVATIONS, "optimiser.cost"), every="1 epoch")
    for each in (norms, ends):
        of.add(each)
    of.run(2, **QUIET)
    norm = "optimiser.gradient_norm"
    # Iterations at which nothing is read are those of the program that there was; 4 is the last one of an epoch.
    assert outputs(of) == [set(), {norm}, {norm, GRADIENT, ACTIVATIONS}]
    assert [iteration for _, iteration, _ in norms.kept] == [6, 8, 10, 12]
    assert [iteration for _, iteration, _ in ends.kept] == [8, 12]


def test_what_is_handed_out_is_what_the_step_computes_and_changes_no_bit() -> None:
    silent, of = trainer(), trainer()
    update = "optimiser.updates.1-dense.weights"
    names = (GRADIENT, ACTIVATIONS, update, "optimiser.gradient_norm", "optimiser.gradients.**", "optimiser.cost")
    note = Note(names, every="1 iteration")
    of.add(note)
    weights = [of.network.parameters()["1-dense.weights"].copy()]
    of.add(hook("1 iteration")(lambda now: weights.append(of.network.parameters()["1-dense.weights"].copy())))
    for each in (silent, of):
        each.run(2, **QUIET)
    assert bits(silent) == bits(of)
    costs = [values["optimiser.cost"] for _, _, values in note.kept]
    assert [sum(costs[:4]) / 4, sum(costs[4:]) / 4] == pytest.approx(silent.history.costs)
    batches = [*of.data.epoch(0), *of.data.epoch(1)]
    biases = np.zeros(16, np.float32)
    for number, (_, _, values) in enumerate(note.kept):
        np.testing.assert_allclose(values[update], weights[number + 1] - weights[number], atol=1e-6)
        slopes = [array for name, array in values.items() if name.startswith("optimiser.gradients.")]
        assert len(slopes) == 4
        norm = np.sqrt(sum((slope.astype(np.float64) ** 2).sum() for slope in slopes))
        assert values["optimiser.gradient_norm"] == pytest.approx(norm, rel=1e-5)
        if number == 0:
            expected = np.tanh(batches[0].inputs @ weights[0] + biases)
            np.testing.assert_allclose(values[ACTIVATIONS], expected, atol=1e-6)


def test_hooks_fire_after_those_they_depend_on_and_then_by_priority() -> None:
    order: list[str] = []

    def noted(name: str, **more: Any) -> Note:
        return Note(label_=name, every="1 epoch", kept=Order(order, name), **more)

    of = trainer()
    of.add(noted("late", priority=50))
    of.add(noted("reader", names=("shared.a",), priority=-100))
    of.add(noted("middle"))
    of.add(noted("provider", offers=("shared.a",), priority=10))
    required = noted("required", priority=90)
    of.add(noted("needy", needs=(required,), priority=-200))
    of.run(1, **QUIET)
    assert order == ["middle", "provider", "reader", "late", "required", "needy"]


class Order(list[Any]):
    """Notes the name of whoever appends to it."""

    def __init__(self, order: list[str], name: str) -> None:
        super().__init__()
        self._order, self._name = order, name

    def append(self, item: Any) -> None:
        self._order.append(self._name)
        super().append(item)


def test_required_hooks_come_and_go_with_those_that_need_them() -> None:
    of = trainer()
    shared = Note(label_="shared")
    first, second = Note(label_="first", needs=(shared,)), Note(label_="second", needs=(shared,))
    of.add(first)
    of.add(second)
    of.add(first)
    assert [h.label for h in of.hooks] == ["shared", "first", "second"]
    of.remove(second)
    of.remove(first)
    assert [h.label for h in of.hooks] == ["shared", "first"]  # it was added twice
    of.remove(first)
    assert of.hooks == []
    with pytest.raises(IdentifierError, match="not attached"):
        of.remove(first)


def test_two_hooks_that_differ_in_their_criterion_alone_are_two() -> None:
    """In Sigma.Core the second one was refused in silence."""
    of = trainer()
    low, high = (Note(every="1 iteration", on=Threshold("iteration", ">", n)) for n in (1, 3))
    of.add(low)
    of.add(high)
    of.run(1, **QUIET)
    assert [len(low.kept), len(high.kept)] == [3, 1]


def test_circles_and_hooks_that_cannot_work_together_are_refused() -> None:
    of = trainer()
    of.add(Note(("shared.a",), ("shared.b",), label_="one"))
    with pytest.raises(HookError, match="read what the others of them provide"):
        of.add(Note(("shared.b",), ("shared.a",), label_="two"))
    assert len(of.hooks) == 1
    coarse = Note(label_="coarse", every="2 iterations")
    with pytest.raises(HookError, match="fires at other times"):
        of.add(Note(needs=(coarse,), label_="fine", every="3 iterations"))
    behind = Note(label_="behind", background=True)
    with pytest.raises(HookError, match="runs elsewhere"):
        of.add(Note(needs=(behind,), label_="before"))
    of.add(Note(offers=("shared.late",), label_="slow", background=True))
    with pytest.raises(HookError, match="in the background"):
        of.add(Note(("shared.late",), label_="quick"))
    with pytest.raises(AttributeValueError, match="no hook"):
        of.add(print)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["optimiser.gradients.1-dense.wieghts", "shared.nothing", "network.layers.*.nothing", "test.accuracy"]
)
def test_reading_what_there_is_not_is_refused_before_training_begins(name: str) -> None:
    of = trainer()
    of.add(Note((name,)))
    with pytest.raises(IdentifierError, match="the hook note reads what nothing offers"):
        of.run(1, **QUIET)
    assert of.iteration == 0


def test_reading_what_was_not_declared_is_refused_with_the_name() -> None:
    of = trainer()
    of.add(hook("1 iteration", reads=["optimiser.cost"])(lambda now: now["iteration"]))
    with pytest.raises(HookError, match="has not declared"):
        of.run(1, **QUIET)


def test_a_hook_that_fails_names_itself_and_training_goes_on_from_there() -> None:
    through, of = trainer(), trainer()

    @hook("1 iteration")
    def fails_once(now: Moment) -> None:
        if now.iteration == 3:
            raise ZeroDivisionError("of no use")

    of.add(fails_once)
    with pytest.raises(HookError, match="fails_once failed") as caught:
        of.run(2, **QUIET)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "ZeroDivisionError: of no use" in str(caught.value)
    assert of.iteration == 3
    of.run(until=2, **QUIET)
    through.run(2, **QUIET)
    assert bits(of) == bits(through)


@pytest.mark.parametrize("background", [False, True])
def test_a_hook_that_fails_can_be_logged_instead(background: bool, caplog: pytest.LogCaptureFixture) -> None:
    of = trainer(on_hook_error="log")

    @hook("1 epoch", background=background)
    def fails(now: Moment) -> None:
        raise ZeroDivisionError

    of.add(fails)
    with caplog.at_level(logging.ERROR, "sigmagraph.training"):
        of.run(2, **QUIET)
    assert of.epoch == 2
    assert sum("fails failed" in record.message for record in caplog.records) == 2


def test_a_hook_that_fails_in_the_background_ends_training_too() -> None:
    of = trainer()

    @hook("1 epoch", background=True)
    def fails(now: Moment) -> None:
        raise ZeroDivisionError

    of.add(fails)
    with pytest.raises(HookError, match="fails failed"):
        of.run(50, **QUIET)


def test_values_are_read_only_and_those_in_the_background_are_copies() -> None:
    of = trainer()
    weights = "network.layers.1-dense.weights"
    kept: dict[str, np.ndarray] = {}
    names: list[str] = []

    def spoil(now: Moment) -> None:
        now[weights][:] = 0

    @hook("1 iteration", reads=[weights], background=True)
    def behind(now: Moment) -> None:
        names.append(threading.current_thread().name)
        kept[str(now.iteration)] = now[weights]

    of.add(behind)
    snapshots = {}
    of.add(
        hook("1 iteration", reads=[weights])(lambda now: snapshots.__setitem__(str(now.iteration), now[weights].copy()))
    )
    of.run(1, **QUIET)
    assert kept.keys() == snapshots.keys()
    for number, array in snapshots.items():
        np.testing.assert_array_equal(kept[number], array)
    assert set(names) == {names[0]}
    assert names[0].startswith("sigmagraph-hooks")
    of.add(hook("1 iteration", reads=[weights])(spoil))
    with pytest.raises(HookError, match="read-only"):
        of.run(1, **QUIET)


def test_hooks_in_the_background_that_depend_on_each_other_keep_their_order() -> None:
    of = trainer()
    found: list[tuple[int, int]] = []

    @hook("1 iteration", provides=["shared.slow"], background=True)
    def first(now: Moment) -> None:
        now.share("shared.slow", now.iteration)

    @hook("1 iteration", reads=["shared.slow"], background=True)
    def second(now: Moment) -> None:
        found.append((now.iteration, now["shared.slow"]))

    of.add(second)
    of.add(first)
    of.run(2, **QUIET)
    assert found == [(n, n) for n in range(1, 9)]
    assert of.registry["shared.slow"] == 8


def test_a_hook_in_the_background_may_ask_for_something() -> None:
    of = trainer()

    @hook("1 iteration", background=True)
    def slower(now: Moment) -> None:
        now.set("optimiser.learning_rate", 0.001)

    of.add(slower)
    of.run(1, **QUIET)
    assert of.hyperparameters["optimiser.learning_rate"] == pytest.approx(0.001)


def test_hooks_that_have_done_their_work_are_taken_off() -> None:
    """In Sigma.Core dead global hooks stayed attached for ever."""
    of = trainer()
    needed = Note(label_="needed", every=TimeStep(1, TimeScale.ITERATION))
    twice = Note(label_="twice", every=TimeStep(2, TimeScale.ITERATION, live=2), needs=(needed,))
    local = Note(label_="local", every=TimeStep(1, TimeScale.EPOCH, live=1), scope="local")
    for each in (twice, local):
        of.add(each)
    of.run(2, **QUIET)
    assert [iteration for _, iteration, _ in twice.kept] == [2, 4]
    assert of.hooks == []
    assert len(needed.kept) == 4


def test_verdicts_are_found_once_for_each_state_of_the_network() -> None:
    of = trainer()
    for number in range(3):
        of.add(Note(("validation.accuracy", "validation.cost"), label_=f"reader{number}"))
    before = snapshot()
    of.run(1, **QUIET)
    assert counters().since(before).runs == 4 + 1
    every = Note(("validation.cost",), label_="often", every="2 iterations")
    of.add(every)
    before = snapshot()
    of.run(1, **QUIET)
    assert counters().since(before).runs == 4 + 1 + 2
    costs = [values["validation.cost"] for _, _, values in every.kept]
    assert costs[0] != costs[1]
    assert costs[1] == of.history.epochs[-1].validation.cost  # type: ignore[union-attr]


def test_the_contract_of_identifiers() -> None:
    of = trainer()
    of.run(iterations=1, **QUIET)
    names = {
        "epoch", "iteration", "runtime_millis", "network.self", "network.name", "network.initialised",
        "network.parameter_count", "network.architecture.type", "network.architecture.layercount",
        "network.layers.1-dense.size", "network.layers.1-dense.activation", "network.layers.1-dense.weights",
        "network.layers.1-dense.biases", "network.layers.2-dropout.rate",
        "network.layers.1-dense._inputs.default.activations", "network.layers.1-dense._outputs.default.activations",
        "optimiser.self", "optimiser.cost", "optimiser.cost_total", "optimiser.cost_partials.total",
        "optimiser.cost_partials.partial_4-softmaxcrossentropy",
        "optimiser.cost_partials.partial_4-softmaxcrossentropy_importance", "optimiser.gradients.1-dense.weights",
        "optimiser.updates.1-dense.weights", "optimiser.filtered_identifiers", "optimiser.learning_rate",
        "optimiser.memory.1-dense.weights.mean", "trainer.self", "trainer.name", "trainer.initialised",
        "trainer.network", "trainer.optimiser", "iterator.minibatch_size", "validation.cost", "validation.accuracy",
    }  # fmt: skip
    known = {name for name, _ in of.registry.walk()}
    assert names - known == set()
    assert of.registry["optimiser.cost_total"] == of.registry["optimiser.cost_partials.total"]
    with pytest.raises(IdentifierError, match="did not hand out"):
        _ = of.registry["optimiser.gradients.1-dense.weights"]
    assert of.registry.describe("optimiser.learning_rate").settable
    assert not of.registry.describe("optimiser.cost").settable

"""What the training steps of the benchmarks may cost at most, in counted things; what runs allocates and compiles nothing.

The bytes are those of all launches over those of every input, parameter, update and output once. What is above 1 is
activations: written once forth, read forth and back. Whoever makes a step dearer has to say so here.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sparse import some

from benchmarks import networks
from benchmarks.networks import Network
from benchmarks.peers import sigma
from benchmarks.workloads import Training
from sigmagraph.codegen.targets import backend_for
from sigmagraph.codegen.traffic import floor, moved
from sigmagraph.dims import evaluate
from sigmagraph.driver import planned
from sigmagraph.ir.plan import Copy, Launch, flat_steps
from sigmagraph.options import CompileOptions, Target
from sigmagraph.runtime.profile import snapshot
from sigmagraph.tensor.capture import capture

# Tiles and what is written to scratch memory depend on the machine, so it must be a fixed one.
AVX2 = CompileOptions(Target(cpu="haswell", features="+avx2,+fma"))
only_x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="counts for an x86-64 machine")


@dataclass(frozen=True)
class Budget:
    """The most that a step may cost."""

    ratio: float
    launches: int
    kernels: int
    copies: int
    arena: int


BUDGETS = {
    Training("MLP", networks.perceptron(784, 512, 512, 10), 128): Budget(1.5, 16, 15, 0, 1_485_952),
    Training("LeNet", networks.lenet(), 64): Budget(5.1, 24, 24, 0, 10_318_080),
    Training("CNN", networks.batch_normalised(), 64): Budget(18.2, 60, 52, 4, 66_691_904),
    Training("LSTM", networks.character_lstm(64, 65, 128, 256), 32): Budget(34.5, 32, 31, 7, 39_424_576),
    Training("GPT", networks.gpt(64, 65, 128, 4, 1), 16): Budget(15.5, 57, 47, 0, 15_393_344),
}


@only_x86
@pytest.mark.parametrize("training", some({t.name: t for t in BUDGETS}, ("MLP", "LeNet", "LSTM")))
def test_a_step_keeps_to_its_budget(training: Training) -> None:
    budget = BUDGETS[training]
    step = sigma.step_of(training)
    graph, _ = capture(step.inputs, step.outputs, step.updates)
    made = planned(graph, AVX2, backend_for(AVX2.target))
    kernels = {kernel.name: kernel for kernel in made.legal}
    dims = {"batch": training.batch}
    steps = list(flat_steps(made.plan.steps))
    whole, least = (evaluate(size, dims) for size in (moved(made.plan.steps, kernels), floor(made.plan, kernels)))
    found = Budget(
        whole / least,
        sum(isinstance(s, Launch) for s in steps),
        len(kernels),
        sum(isinstance(s, Copy) for s in steps),
        evaluate(made.plan.arena_bytes(1), dims),
    )
    names = [name for name in Budget.__dataclass_fields__ if getattr(found, name) > getattr(budget, name)]
    assert (names, made.guarded) == ([], 0), found


SMALL = {
    "perceptron": networks.perceptron(12, 8, 5),
    "convolutions": Network(
        (8, 8, 3), (*networks.batch_normalised().layers[:4], networks.Flatten(), networks.Dense("fc", 4))
    ),
    "LSTM": networks.character_lstm(5, 11, 8, 6),
    "GPT": networks.gpt(6, 11, 8, 2, 1),
}


@pytest.mark.parametrize("network", some(SMALL, ("perceptron", "convolutions")))
def test_a_step_is_compiled_once_and_allocates_nothing_after_the_first(network: Network) -> None:
    """For a full batch and a smaller one."""
    training = Training("step", network, 6)
    before = snapshot()
    made = sigma.compiled(training, 1)
    feeds = [*made.feeds, *({n: _part(a) for n, a in feed.items()} for feed in made.feeds)]
    made.function(**feeds[0])
    first = snapshot()
    for feed in feeds:
        made.function(**feed)
    later = snapshot().since(first)
    assert first.since(before).compilations == 1
    assert (later.compilations, later.arena_allocations, later.result_allocations) == (0, 0, 0)
    assert later.runs == len(feeds)


def _part(value: Any) -> Any:
    return value[:4] if isinstance(value, np.ndarray) else value

"""What training steps cost, in counted things: launches, copies, kernels, bytes. A change shows here before it is felt."""

from __future__ import annotations

import platform

import pytest

from sigmagraph.dims import evaluate
from sigmagraph.driver import build
from sigmagraph.ir.plan import Copy, Launch, Plan
from sigmagraph.optimisers.adagrad import Adagrad
from sigmagraph.optimisers.adam import Adam
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.options import CompileOptions, Target
from sigmagraph.tensor.capture import capture
from sigmagraph.training.demo import readme_network

# Packed panels have the height of the register tile, so the machine must be a fixed one.
AVX2 = Target(cpu="haswell", features="+avx2,+fma")

pytestmark = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="counts for an x86-64 machine")


def plan_of(optimiser: Optimiser, fuse: bool = True) -> Plan:
    graph = readme_network(8, 8).train_graph(optimiser)
    captured, _ = capture(graph.inputs, graph.outputs, graph.updates)
    return build(captured, CompileOptions(AVX2, fuse=fuse))[0]


def counts(plan: Plan) -> dict[str, int]:
    launches = [s for s in plan.steps if isinstance(s, Launch)]
    return {
        "launches": len(launches),
        "kernels": len({s.kernel for s in launches}),
        "copies": sum(isinstance(s, Copy) for s in plan.steps),
        "arena": evaluate(plan.arena_bytes(1), {"batch": 100}),
        "state": plan.param_bytes,
    }


def test_the_step_of_the_demo() -> None:
    found = counts(plan_of(Adagrad(learning_rate=0.02)))
    weights = 64 * 1000 + 1000 + 1000 * 800 + 800 + 800 * 10 + 10
    assert found.pop("state") == 2 * 4 * weights + 16  # parameters, Adagrad's sums, seed and step
    assert found == {"launches": 19, "kernels": 19, "copies": 0, "arena": 2_476_736}


def test_adam_keeps_two_numbers_a_weight_and_copies_nothing() -> None:
    found = counts(plan_of(Adam()))
    assert found["copies"] == 0
    assert found["launches"] == 21
    assert found["state"] >= 3 * 4 * (64 * 1000 + 1000 * 800)


def test_fusion_saves_most_launches_and_most_of_the_arena() -> None:
    fused, unfused = counts(plan_of(Adagrad())), counts(plan_of(Adagrad(), fuse=False))
    assert 4 * fused["launches"] < unfused["launches"]
    assert 3 * fused["arena"] < unfused["arena"]

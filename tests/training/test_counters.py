"""What training steps cost, in counted things: launches, copies, kernels, bytes. A change shows here before it is felt."""

from __future__ import annotations

import platform

import pytest

from sigmagraph import layers as L
from sigmagraph.codegen.targets import backend_for
from sigmagraph.dims import Dim, evaluate, names, product
from sigmagraph.driver import Planned, build, planned
from sigmagraph.ir.kernel.kernel import Role
from sigmagraph.ir.plan import Copy, Launch, Loop, Plan, flat_steps
from sigmagraph.optimisers import SGD, Adagrad, Adam, Clamp, ClipByNorm, ClipByValue, Lion, Nesterov, RMSprop
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.options import CompileOptions, Target
from sigmagraph.tensor.capture import capture
from sigmagraph.training.demo import readme_network
from sigmagraph.training.network import Network

# Tiles and what is written to scratch memory depend on the machine, so it must be a fixed one.
AVX2 = Target(cpu="haswell", features="+avx2,+fma")

pytestmark = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="counts for an x86-64 machine")


def plan_of(optimiser: Optimiser, fuse: bool = True) -> Plan:
    graph = readme_network(8, 8).train_graph(optimiser)
    captured, _ = capture(graph.inputs, graph.outputs, graph.updates)
    return build(captured, CompileOptions(AVX2, fuse=fuse))[0].main


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
    assert found == {"launches": 16, "kernels": 16, "copies": 0, "arena": 2_130_688}


def test_adam_keeps_two_numbers_a_weight_and_copies_nothing() -> None:
    found = counts(plan_of(Adam()))
    assert found["copies"] == 0
    assert found["launches"] == 18
    assert found["state"] >= 3 * 4 * (64 * 1000 + 1000 * 800)


@pytest.mark.extended
def test_fusion_saves_most_launches_and_most_of_the_arena() -> None:
    fused, unfused = counts(plan_of(Adagrad())), counts(plan_of(Adagrad(), fuse=False))
    assert 4 * fused["launches"] < unfused["launches"]
    assert 3 * fused["arena"] < unfused["arena"]


@pytest.mark.extended
def test_what_an_optimiser_costs() -> None:
    """The rule is part of the kernels that make the gradients; only what it shares, or needs all of them, is not."""

    def launches(optimiser: Optimiser) -> int:
        return counts(plan_of(optimiser))["launches"]

    parameters, least = 6, launches(SGD())
    decayed = {"weight_decay": 0.1, "undecayed": ["*.biases"], "rate_factors": {"*.weights": 0.5}}
    assert launches(Nesterov(clip=ClipByValue(1), modifiers={"*": Clamp()}, **decayed)) == least  # type: ignore[arg-type]
    assert launches(RMSprop(momentum=0.9, centred=True)) == least
    assert launches(Adam()) <= least + 2  # the powers of the betas
    assert launches(Lion()) <= least + parameters  # weights and memory do not stand in one kernel
    assert launches(SGD(clip=ClipByNorm(1))) <= least + 2 * parameters  # a sum and an update each


def planned_step(layers: L.Chain, optimiser: Optimiser) -> Planned:
    """A training step before code is made of it."""
    step = Network("network", layers, seed=1).train_graph(optimiser)
    options = CompileOptions(AVX2)
    return planned(capture(step.inputs, step.outputs, step.updates)[0], options, backend_for(options.target))


def characters(layer: L.Layer | L.Chain) -> L.Chain:
    """A guess of each next character."""
    head = L.Dense(40, flatten=False, name="next") + L.SoftmaxCrossEntropy()
    return L.Input(Dim("time"), dtype="int32") + L.Embedding(40, 48, name="embedding") + layer + head


def test_the_step_of_a_recurrent_network() -> None:
    """Inside its loops are products of a batch only: those by which weights are learnt run over all turns at once."""
    made = planned_step(characters(L.LSTM(128)), Adam())
    loops = [step for step in made.plan.steps if isinstance(step, Loop)]
    inside = [[s.kernel for s in flat_steps((loop,)) if isinstance(s, Launch)] for loop in loops]
    assert [len(found) for found in inside] == [2, 6]
    products = {k.name for k in made.legal if k.callees}
    assert [sum(name in products for name in found) for found in inside] == [1, 1]
    outputs = {k.name: [b.shape for b in k.params if b.role is not Role.IN] for k in made.legal}
    shapes = [shape for found in inside for name in found if name in products for shape in outputs[name]]
    assert all("batch" in names(product(shape)) for shape in shapes)
    assert made.guarded == 0


@pytest.mark.extended
def test_the_step_of_a_transformer_has_few_micro_kernels() -> None:
    blocks = 2 * L.TransformerBlock(heads=4, causal=True, name="block#")
    made = planned_step(characters(blocks + L.LayerNorm()), Adam())
    assert len({callee.name for kernel in made.legal for callee in kernel.callees}) <= 5
    assert made.guarded == 0


def test_the_step_of_a_convolutional_network_keeps_no_windows() -> None:
    """The largest slot is an activation, and there are few of that size."""
    layers: L.Layer | L.Chain = L.Input(12, 10, 3)
    for _ in range(3):
        layers += L.Conv2d(8, 3, padding="same") + L.BatchNorm() + L.Activation("silu")
    made = planned_step(layers + L.Flatten() + L.Dense(10) + L.SoftmaxCrossEntropy(), SGD())
    activation = 4 * 12 * 10 * 8
    sizes = [evaluate(slot, {"batch": 100}) for slot in made.plan.slots]
    assert max(sizes) == 100 * activation
    assert sizes.count(100 * activation) <= 8
    assert sum(isinstance(s, Launch) for s in made.plan.steps) == 36
    assert made.guarded == 0

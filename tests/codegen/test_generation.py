"""Code of programs is made module by module, beside what else there is to do, and is the same in any case."""

from __future__ import annotations

from dataclasses import replace

import pytest

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.codegen.llvm.archive import pack, unpack
from sigmagraph.codegen.llvm.compile import processor
from sigmagraph.codegen.llvm.generation import Generation
from sigmagraph.codegen.llvm.units import Units
from sigmagraph.codegen.targets import backend_for
from sigmagraph.codegen.transform import legalize, secure
from sigmagraph.driver import Planned, build, planned
from sigmagraph.errors import CompileError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.options import CompileOptions, Target
from sigmagraph.tensor.capture import capture
from sigmagraph.training.demo import readme_network

OPTIONS = CompileOptions(Target(cpu="haswell", features="+avx2,+fma"))


def captured(network: sg.Network) -> Graph:
    step = network.train_graph(sg.optimisers.Adam())
    return capture(step.inputs, step.outputs, step.updates)[0]


def made(network: sg.Network) -> Planned:
    return planned(captured(network), OPTIONS, backend_for(OPTIONS.target))


def transformer(depth: int) -> sg.Network:
    blocks = depth * L.TransformerBlock(heads=2, causal=True, name="block#")
    codes = L.Input(sg.Dim("time"), dtype="int32") + L.Embedding(20, 32)
    return sg.Network("transformer", codes + blocks + L.Dense(20, flatten=False) + L.SoftmaxCrossEntropy())


@pytest.mark.parametrize("members", [[], [b"a"], [b"ab", b"", b"abc"]])
def test_an_archive_gives_back_its_members(members: list[bytes]) -> None:
    assert list(unpack(pack(members))) == members


def test_an_archive_is_the_one_that_linkers_know() -> None:
    archive = pack([b"one", b"two"])
    assert archive.startswith(b"!<arch>\n0.o/            0           0     0     644     3         `\none\n1.o/")
    with pytest.raises(CompileError, match="cannot be loaded"):
        list(unpack(b"not an archive"))


@pytest.mark.extended
def test_it_does_not_matter_when_kernels_are_handed_in() -> None:
    early = build(captured(readme_network()), OPTIONS)[1].object  # each as soon as it is legal
    parts = made(readme_network())
    with Generation(processor(OPTIONS.target), listing=False) as generation:
        generation.enter(parts.plan, parts.legal, [array.data for array in parts.parts.arrays()])
        late = generation.finish()
    assert late.object == early
    callees = {callee.name for kernel in parts.legal for callee in kernel.callees}
    assert len(list(unpack(early))) == len(parts.legal) + len(callees) + 1


@pytest.fixture(scope="module")
def two_blocks() -> tuple[Planned, dict[str, tuple[int, int]]]:
    """A network of two blocks, and how many callees were made and found for it."""
    caches = {"secure": secure._callee, "legalize": legalize._callee}
    for known in caches.values():
        known.cache_clear()
    network = made(transformer(2))
    counted = {name: known.cache_info() for name, known in caches.items()}
    return network, {name: (info.misses, info.hits) for name, info in counted.items()}


def test_equal_layers_share_their_kernels(two_blocks: tuple[Planned, object]) -> None:
    shallow, deep = two_blocks[0], made(transformer(3))
    assert len(deep.parts.tasks) > len(shallow.parts.tasks) + 25
    assert len(deep.legal) == len(shallow.legal)


def test_a_callee_is_verified_and_made_legal_once(two_blocks: tuple[Planned, dict[str, tuple[int, int]]]) -> None:
    network, counted = two_blocks
    callees = {callee for kernel in network.scheduled for callee in kernel.callees}
    calls = sum(len(kernel.callees) for kernel in network.scheduled)
    assert calls > 3 * len(callees)
    once = len(callees), calls - len(callees)
    assert counted == {"secure": once, "legalize": once}


def test_callees_of_one_name_are_one() -> None:
    kernel = next(k for k in made(readme_network()).legal if k.callees)
    other = replace(kernel, name="other", callees=tuple(replace(c, body=()) for c in kernel.callees))
    with Generation(processor(OPTIONS.target), listing=False) as generation:
        generation.begin(kernel)
        with pytest.raises(CompileError, match="two different kernels are called"):
            generation.begin(other)


def test_what_llvm_refuses_is_an_error_of_its_user() -> None:
    units = Units(processor(Target()), listing=False)
    units.add("define void @f() { ret i32 0 }")
    with pytest.raises(CompileError, match="refuses"):
        units.codes()
    units.close()

"""The same programs for other processors: their objects need nothing, and compute what the graphs say where they can run.

Code for aarch64 runs under QEMU, where that and a linker are installed; code for lesser x86-64 processors runs here.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from elf import read_object
from emulated import Emulated, missing
from ladder import Program, point
from sparse import some

import sigmagraph as sg
from sigmagraph.codegen.llvm.archive import unpack
from sigmagraph.codegen.llvm.backend import CpuBackend
from sigmagraph.codegen.llvm.compile import processor
from sigmagraph.codegen.llvm.systems import LEVELS
from sigmagraph.codegen.schedule.machine import (
    AVX2,
    AVX512,
    BASELINE,
    CORTEX_M4,
    CORTEX_M7,
    NEON,
    SCALAR,
    SIMD128,
    Machine,
)
from sigmagraph.codegen.targets import backend_for
from sigmagraph.driver import build
from sigmagraph.errors import CompileError, TargetError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.parser import parse_graph
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions, Target, as_target
from sigmagraph.tensor.capture import capture

CORPUS = Path(__file__).parent.parent / "corpus"
N = sg.Dim("n")
HASWELL = "+avx2,+fma,+f16c"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


# ---- programs


def product() -> Graph:
    """A product with its epilogue: several tiles and edges of rows, columns and sums."""
    x, w, b = sg.placeholder("x", (N, 70)), sg.placeholder("w", (70, 53)), sg.placeholder("b", (53,))
    return capture([x, w, b], {"y": sg.gelu(x @ w + b)})[0]


def convolution() -> Graph:
    """A convolution with strides, padding and an epilogue, and its gradients."""
    x, w = sg.placeholder("x", (N, 9, 10, 5)), sg.placeholder("w", (3, 3, 5, 18))
    y = sg.convolution(x, w, padding=1, strides=(1, 2))
    g = sg.placeholder("g", y.shape)
    dx, dw = sg.gradients((y * g).sum(), [x, w])
    return capture([x, w, g], {"y": sg.relu(y), "dx": dx, "dw": dw})[0]


def rows() -> Graph:
    """Softmax and layer norm, and their gradients."""
    x, s, b = sg.placeholder("x", (N, 37)), sg.placeholder("s", (37,)), sg.placeholder("b", (37,))
    y, z = sg.softmax(x), sg.layer_norm(x, s, b)
    dx, ds = sg.gradients((y * z).sum(), [x, s])
    return capture([x, s, b], {"y": y, "z": z, "dx": dx, "ds": ds})[0]


def committed(name: str) -> Graph:
    return parse_graph((CORPUS / f"{name}.sg").read_text(encoding="utf-8"), OPS, name)


STEPS = ("perceptron_step", "lstm_step", "convolution_step", "attention_step", "random_step", "halves", "integers")
PROGRAMS: Mapping[str, Callable[[], Graph]] = {
    "product": product,
    "convolution": convolution,
    "rows": rows,
    **{name: partial(committed, name) for name in STEPS},
}


def with_casts(machine: Machine) -> Machine:
    return replace(machine, instructions=replace(machine.instructions, f16_casts=True))


every_program = pytest.mark.parametrize("name", PROGRAMS)
# What other processors run by default; training steps of larger networks are run there, too, by `make extended`.
_SMALL = ("product", "rows", "halves", "integers", "perceptron_step")
small_programs = pytest.mark.parametrize("name", some(tuple(PROGRAMS), _SMALL))


# ---- they are run

NATIVE = {"haswell": Target(cpu="haswell", features=HASWELL), "any x86-64": Target(cpu="x86-64")}


@small_programs
@pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")
def test_programs_for_aarch64_compute_what_the_graph_says(name: str, tmp_path: Path) -> None:
    graph = PROGRAMS[name]()
    program = Emulated(graph, tmp_path)
    for seed, (m, n) in enumerate(((3, 4), (5, 19))):
        at = point(graph, {"m": m, "n": n}, seed)
        at.check(program.results(at), f"aarch64 for {at.sizes}")


# The one that lacks most is tried by default.
@small_programs
@pytest.mark.parametrize("target", some(NATIVE, ["any x86-64"]))
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="code for x86-64")
def test_programs_for_lesser_processors_compute_what_the_graph_says(name: str, target: Target) -> None:
    lacks = set(filter(None, target.features.split(","))) - set(processor(Target()).features.split(","))
    if lacks:
        pytest.skip(f"this processor has no {', '.join(sorted(lacks))}")
    graph = PROGRAMS[name]()
    program = Program(graph, CompileOptions(target, cache=False, checks=False))
    for seed, (m, n) in enumerate(((3, 4), (5, 19))):
        program.check(point(graph, {"m": m, "n": n}, seed), f"{target} for {m}, {n}")


# ---- their objects

OBJECTS = {
    "any aarch64": (Target(triple="aarch64-linux-gnu"), "aarch64"),
    "haswell": (Target(cpu="haswell", features=HASWELL, triple="x86_64-linux-gnu"), "x86-64"),
    "any x86-64": (Target(triple="x86_64-linux-gnu"), "x86-64"),
}


# The one that lacks most is asked for all of them; what other systems need is in test_needs.py.
NEEDS = [("any x86-64", name) for name in (*STEPS, "second_derivatives", "top_k_gather")]
NEEDS += [(kind, name) for kind in ("any aarch64", "haswell") for name in ("perceptron_step", "halves", "integers")]


@pytest.mark.extended
@pytest.mark.parametrize(("kind", "name"), NEEDS)
def test_objects_need_no_library(kind: str, name: str) -> None:
    target, machine = OBJECTS[kind]
    program, code = build(committed(name), CompileOptions(target, verify=False))
    objects = [read_object(data) for data in unpack(code.object)]
    assert {found.machine for found in objects} == {machine}
    defined, needed = ({s for found in objects for s in getattr(found, kind)} for kind in ("defined", "needed"))
    assert program.main.name in defined
    assert needed <= defined


# ---- what LLVM cannot do


@pytest.mark.parametrize(
    ("target", "error", "match"),
    [
        (as_target("bpf-unknown-none"), CompileError, "no code for this target"),  # LLVM ends the process
        (as_target("nvptx64-nvidia-cuda"), CompileError, "no code for this target"),
        (as_target("what-is-this"), TargetError, "does not know the target"),
        (Target(triple="aarch64-linux-gnu", cpu="abacus"), TargetError, "does not know the processor"),
        (Target(triple="aarch64-linux-gnu", features="+beads"), TargetError, "does not know the processor"),
    ],
    ids=lambda value: str(value) if isinstance(value, Target) else "",
)
def test_what_llvm_cannot_do_is_an_error(target: Target, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        build(product(), CompileOptions(target))


def test_code_for_other_systems_is_not_loaded() -> None:
    x = sg.placeholder("x", (3,))
    with pytest.raises(TargetError, match="cannot run here"):
        sg.compile([x], {"y": x + 1}, target="aarch64-linux-gnu")


@pytest.mark.parametrize(
    ("short", "triple"),
    [
        ("aarch64-linux-gnu", "aarch64-unknown-linux-gnu"),
        ("x86_64-windows-gnu", "x86_64-unknown-windows-gnu"),
        ("x86_64-windows", "x86_64-unknown-windows-gnu"),
        ("aarch64-macos", "arm64-apple-macosx11.0.0"),
        ("arm64-apple-darwin", "arm64-apple-macosx11.0.0"),
        ("arm64-apple-macosx13.0", "arm64-apple-macosx13.0"),
        ("wasm32", "wasm32-unknown-unknown"),
        ("wasm32-wasi", "wasm32-unknown-wasi"),
        ("riscv64-linux-gnu", "riscv64-unknown-linux-gnu"),
        ("thumbv7em-none-eabihf", "thumbv7em-unknown-none-eabihf"),
    ],
)
def test_triples_have_short_forms(short: str, triple: str) -> None:
    assert processor(as_target(short)).triple == triple
    assert processor(as_target(short)) == processor(as_target(triple))
    assert str(as_target(short)) == short


def test_names_of_processors_mean_features() -> None:
    linux = "x86_64-linux-gnu"
    have = {cpu: set(processor(Target(cpu=cpu, triple=linux)).features.split(",")) for cpu in LEVELS}
    assert have["x86-64"] < {""} | have["x86-64-v2"]
    assert have["x86-64-v2"] < have["x86-64-v3"] < have["x86-64-v4"]
    assert "+sse4.1" in have["x86-64-v2"]
    assert {"+avx2", "+fma", "+f16c"} <= have["x86-64-v3"]
    assert {f"+avx512{part}" for part in ("f", "bw", "cd", "dq", "vl")} <= have["x86-64-v4"]
    assert processor(Target(cpu="x86-64-v2", features="-ssse3")).features.endswith("+ssse3,-ssse3")
    assert processor(Target(cpu="native")) == processor(Target())
    assert {backend_for(Target(cpu=cpu)).key for cpu in LEVELS}.isdisjoint({backend_for(Target()).key})
    assert len({backend_for(Target(cpu=cpu)).key for cpu in LEVELS}) == len(LEVELS)


def test_the_processor_at_hand_is_of_one_kind() -> None:
    with pytest.raises(TargetError, match="none of this system"):
        processor(Target(cpu="native", triple="riscv64-linux-gnu"))


@pytest.mark.parametrize(
    ("target", "machine"),
    [
        (Target(cpu="x86-64-v2", triple="x86_64-linux-gnu"), SIMD128),  # as many registers of that width
        (Target(cpu="x86-64-v3", triple="x86_64-linux-gnu"), with_casts(AVX2)),
        (Target(cpu="x86-64-v4", triple="x86_64-linux-gnu"), with_casts(AVX512)),
        (Target(triple="x86_64-windows-gnu"), BASELINE),
        (Target(triple="aarch64-macos"), NEON),
        (Target(triple="wasm32"), SIMD128),
        (Target(triple="riscv64-linux-gnu"), SCALAR),
        (Target(triple="thumbv7em-none-eabihf"), CORTEX_M4),
        (Target(triple="thumbv7em-none-eabihf", cpu="cortex-m7"), CORTEX_M7),
    ],
    ids=str,
)
def test_targets_have_the_machines_that_they_name(target: Target, machine: Machine) -> None:
    backend = CpuBackend(target)
    assert backend.machine == machine

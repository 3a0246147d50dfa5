"""How many bytes a thread has on their way: read from machine code, and made more by turns that stand side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import cuda_shim
import numpy as np
import pytest
from cuda_programs import ARCH, on_shim

import sigmagraph as sg
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.codegen.cuda.compile import Compiled, compile_text, compiler_name
from sigmagraph.codegen.cuda.emit import blocks_at_a_time
from sigmagraph.codegen.cuda.flight import Flight, flight
from sigmagraph.codegen.cuda.nests import nests_of
from sigmagraph.codegen.cuda.program import Generation
from sigmagraph.codegen.cuda.sass import Sass, find_disassembler, read_sass
from sigmagraph.dims import Dim
from sigmagraph.driver import planned, write_program
from sigmagraph.errors import CompileError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.kernel.expr import Load, walk
from sigmagraph.ir.kernel.kernel import Block, For, If, Let, LoopKind, Space, Store
from sigmagraph.options import CompileOptions, Target
from sigmagraph.tensor.capture import capture

OPTIONS = CompileOptions(target=Target("cuda", cpu=ARCH), cache=False)


def listing(*lines: str) -> list[str]:
    """Instructions with their addresses, and labels between them."""
    out: list[str] = []
    address = 0
    for line in lines:
        if line.endswith(":"):
            out.append(line)
            continue
        out.append(f"        /*{address:04x}*/                   {line} ;")
        address += 16
    return out


def test_loads_are_on_their_way_up_to_the_first_use() -> None:
    two = listing("LDG.E.128.CONSTANT R4, desc[UR4][R2.64]", "LDG.E R8, desc[UR4][R2.64+0x10]", "FADD R9, R8, R1")
    assert flight(two) == Flight(20, 0)
    # The second one is asked for when the first has come.
    one = listing("LDG.E.128 R4, desc[UR4][R2.64]", "FADD R9, R7, R1", "@P0 LDG.E.U8 R8, desc[UR4][R2.64+0x10]")
    assert flight(one) == Flight(16, 0)
    # What was asked for before something that has come has come as well; what was asked for later has not.
    three = [f"LDG.E.64 R{at}, [R2.64]" for at in (4, 6, 8)]
    assert flight(listing(*three, "FADD R1, R7, R7", "LDG.E.128 R12, [R2.64]")) == Flight(24, 0)
    # An address is a use, of both of its registers.
    assert flight(listing("LDG.E R5, [R2.64]", "LDG.E R6, [R4.64]")) == Flight(4, 0)
    assert flight(listing("LDG.E R4, [R2.64]", "STG.E.128 [R8.64], R2", "LDG.E R6, [R2.64]")) == Flight(4, 0)
    # But of no more: the other two of a vector are somebody else's.
    assert flight(listing("LDG.E R6, [R2.64]", "LDG.E.128 R12, desc[UR4][R4.64]")) == Flight(20, 0)
    assert flight(listing("LDG.E R5, [R2.64]", "LDG.E.128.SYS R12, [R4]")) == Flight(16, 0)
    assert flight(listing("LDG.E.64 R4, [R2.64]", "DADD R8, R4, R6", "LDG.E R9, [R2.64]")) == Flight(8, 0)
    assert flight([]) == Flight(0, 0)


def test_loops_are_told_apart_and_come_round() -> None:
    loop = (".L_x_1:", "LDG.E.128 R4, desc[UR4][R2.64]", "FADD R8, R8, R4", "@P0 BRA `(.L_x_1)")
    assert flight(listing("LDG.E R9, [R2.64]", *loop, "FADD R9, R9, R8", "EXIT")) == Flight(4, 20)
    assert flight(listing("MOV R1, R2", *loop, "EXIT")) == Flight(0, 16)
    # The next turn's load is issued before this turn's use: two are on their way.
    ahead = ("LDG.E R4, [R2.64]", ".L_x_1:", "LDG.E R5, [R2.64]", "FADD R8, R8, R4", "MOV R4, R5", "@P0 BRA `(.L_x_1)")
    assert flight(listing(*ahead, "EXIT")).loops == 8
    carried = ("LDG.E R4, [R2.64]", ".L_x_1:", "FADD R8, R8, R9", "LDG.E.64 R6, [R2.64]", "@P0 BRA `(.L_x_1)")
    assert flight(listing(*carried, "EXIT")) == Flight(4, 12)
    # A loop that loads nothing is none, nor is the trap behind the end; cuobjdump writes addresses.
    assert flight(listing("LDG.E R4, [R2.64]", "FADD R5, R5, R5", "@P0 BRA 0x10", "EXIT", "BRA 0x40")) == Flight(4, 0)
    # Of two ways one is taken.
    ways = ("@P0 BRA `(.L_x_1)", "LDG.E.128 R4, [R2.64]", "BRA `(.L_x_2)", ".L_x_1:", "LDG.E R4, [R2.64]", ".L_x_2:")
    assert flight(listing(*ways, "LDG.E R9, [R2.64]", "EXIT")) == Flight(20, 0)


def test_copies_are_on_their_way_until_their_group_is_waited_for() -> None:
    copy = "LDGSTS.E.BYPASS.128 [R5], desc[UR4][R2.64]"
    three = (copy, copy, "LDGDEPBAR", copy, "LDGDEPBAR", copy, "LDGDEPBAR")
    assert flight(listing(*three)) == Flight(64, 0)
    assert flight(listing(*three, "DEPBAR.LE SB0, 0x1", copy, copy)) == Flight(64, 0)
    assert flight(listing(*three, "DEPBAR.LE SB0, 0x1", copy, copy, copy, copy)) == Flight(80, 0)
    assert flight(listing(*three, "DEPBAR.LE SB0, 0x0", *[copy] * 5)) == Flight(80, 0)


def machine() -> None:
    """Skip where there is no machine code to be had."""
    try:
        compiler_name()
    except CompileError:
        pytest.skip("there is no compiler of CUDA C on this machine")
    if not find_disassembler():
        pytest.skip("there is no disassembler on this machine")


def test_compiled_loops_have_as_many_bytes_on_their_way_as_turns_are_unrolled() -> None:
    machine()
    text = """
extern "C" __global__ void __launch_bounds__(256, 4) one(const float4* __restrict__ x, float* y, int n) {{
  float s = 0.0f;
#pragma unroll {}
  for (int i = 0; i < 64; ++i) {{
    const float4 v = x[256 * i + threadIdx.x];
    s += v.x * v.y + v.z * v.w;
  }}
  y[threadIdx.x] = s;
}}
"""
    (plain,) = read_sass(compile_text(text.format(1), "sm_90").cubin)
    (four,) = read_sass(compile_text(text.format(4), "sm_90").cubin)
    assert plain.flight is not None
    assert four.flight is not None
    assert (plain.flight.loops, four.flight.loops) == (16, 64)


def code_of(graph: Graph, arch: str) -> Mapping[str, Sass]:
    """The instructions of a graph's functions, by name."""
    cubins: list[bytes] = []

    def compile(text: str) -> Compiled:
        compiled = compile_text(text, arch)
        cubins.append(compiled.cubin)
        return compiled

    options = CompileOptions(target=Target("cuda", cpu=arch), cache=False)
    with Generation(arch, compile) as generation:
        write_program(graph, options, CudaBackend(options.target), generation)
        generation.finish()
    return {sass.symbol: sass for sass in read_sass(cubins[0])}


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((1 << 22,), (0,)), ((1 << 9, 1 << 17), (0,)), ((1 << 14, 32), (0,)), ((64, 9, 129, 32), (0, 1, 2))],
)
def test_long_sums_have_64_bytes_a_thread_on_their_way(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """A vector; many columns; few columns; and several axes."""
    machine()
    x = sg.placeholder("x", shape)
    code = code_of(capture([x], {"y": x.sum(axes)})[0], "sm_90a")
    first = code["k0_reduce_sum_0"]
    assert first.flight is not None
    assert max(first.flight.straight, first.flight.loops) >= 64
    assert first.local == 0


@pytest.mark.skipif(not cuda_shim.available(), reason="needs g++")
def test_sums_of_any_length_are_exact() -> None:
    """Numbers of turns that are no multiple of those side by side, or none, and of lines that are walked over as one."""
    n = Dim("n")
    shapes: dict[str, tuple[Dim | int, ...]] = {"vector": (n,), "rows": (3, n), "few": (n, 40), "lines": (n, 3, 5, 9)}
    inputs = [sg.placeholder(name, shape, "int32") for name, shape in shapes.items()]
    sums = {"vector": (0,), "rows": (1,), "few": (0,), "lines": (0, 1, 3)}
    outputs = {f"{x.name}_sum": x.sum(sums[str(x.name)]) for x in inputs}
    runner = on_shim(capture(inputs, outputs)[0], {}, OPTIONS)
    rng = np.random.default_rng(1)
    for count in (0, 1, 15, 16, 17, 127, 129, 511, 513, 2047, 2049, 8191, 8192, 8193, 40007):
        feed = {
            name: rng.integers(-99, 99, tuple(size if isinstance(size, int) else count for size in shape), np.int32)
            for name, shape in shapes.items()
        }
        got = runner.run([feed[port.name] for port in runner.plan.inputs])
        for name, axes in sums.items():
            np.testing.assert_array_equal(got[f"{name}_sum"], feed[name].sum(axes, dtype=np.int32), f"{name}, {count}")


@pytest.mark.skipif(not cuda_shim.available(), reason="needs g++")
def test_sums_of_indices_that_are_cut_are_exact() -> None:
    n = Dim("n")
    shapes = {"whole": (n, 150, 200), "lines": (n, 33, 40, 32), "long": (n, 200, 1, 100)}
    inputs = [sg.placeholder(name, shape, "int32") for name, shape in shapes.items()]
    sums = {"whole": (0, 1, 2), "lines": (0, 1, 2), "long": (0, 1, 2)}
    outputs = {f"{x.name}_sum": sg.pad(x, 1).sum(sums[str(x.name)]) for x in inputs}
    runner = on_shim(capture(inputs, outputs)[0], {}, OPTIONS)
    for count in (1, 3):
        rng = np.random.default_rng(count)
        feed = {name: rng.integers(-99, 99, (count, *shape[1:]), np.int32) for name, shape in shapes.items()}
        got = runner.run([feed[port.name] for port in runner.plan.inputs])
        for name, axes in sums.items():
            wanted = np.pad(feed[name], 1).sum(axes, dtype=np.int32)
            np.testing.assert_array_equal(got[f"{name}_sum"], wanted, f"{name}, {count}")


@pytest.mark.skipif(not cuda_shim.available(), reason="needs g++")
def test_what_a_thread_adds_up_keeps_its_order() -> None:
    x = sg.placeholder("x", (61, 1 << 17))
    runner = on_shim(capture([x], {"y": x.sum(0)})[0], {}, OPTIONS)
    value = np.random.default_rng(1).standard_normal((61, 1 << 17)).astype(np.float32)
    one_after_the_other = np.add.accumulate(value, 0)[-1]
    np.testing.assert_array_equal(runner.run([value])["y"], one_after_the_other)


@pytest.mark.parametrize(
    ("shape", "blocks"),
    [
        ((16, 33, 40, 64), 16 * 12 * 2),  # 3 lines of 40 are near to a task, for 2 x 32 columns
        ((16, 256, 1, 512), 16 * 5 * 16),  # of many columns 64 are walked down at least, as each has a result
    ],
)
def test_an_index_that_is_more_than_a_task_is_cut_too(shape: tuple[int, ...], blocks: int) -> None:
    x = sg.placeholder("x", shape)
    graph = capture([x], {"y": sg.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0))).sum((0, 1, 2))})[0]
    (kernel,) = planned(graph, OPTIONS, CudaBackend(OPTIONS.target)).legal
    first, _ = nests_of(kernel)
    assert first.blocks == blocks


@pytest.mark.parametrize(
    ("shape", "axes", "at_a_time"), [((1 << 22,), (0,), 4), ((1 << 14, 64), (0,), 4), ((1 << 13, 4), (1,), 0)]
)
def test_compilers_are_told_that_half_of_the_threads_are_enough(
    shape: tuple[int, ...], axes: tuple[int, ...], at_a_time: int
) -> None:
    x = sg.placeholder("x", shape)
    (kernel,) = planned(capture([x], {"y": x.sum(axes)})[0], OPTIONS, CudaBackend(OPTIONS.target)).legal
    nest = nests_of(kernel)[0]
    assert blocks_at_a_time([nest], nest.threads) == at_a_time


def test_what_keeps_much_is_left_to_compilers_even_beside_a_walk() -> None:
    x, row = sg.placeholder("x", (1 << 14, 64)), sg.placeholder("row", (1 << 10, 1 << 13))
    adds, keeps = (
        planned(capture([t], {"y": y})[0], OPTIONS, CudaBackend(OPTIONS.target)).legal
        for t, y in ((x, x.sum(0)), (row, sg.softmax(row)))
    )
    nests = [nests_of(adds[0])[0], nests_of(keeps[0])[0]]
    assert nests[1].memory(Space.SHARED) < 8192
    assert blocks_at_a_time(nests[:1], 256) == blocks_at_a_time([nests[0], nests[0]], 256) == 4
    assert blocks_at_a_time(nests, 256) == 0


def test_tiles_are_left_to_compilers_even_beside_a_walk() -> None:
    x = sg.placeholder("x", (1 << 14, 64))
    a, b = sg.placeholder("a", (100, 784)), sg.placeholder("b", (784, 10))
    options = replace(OPTIONS, precision="highest")
    adds, tiles = (
        nests_of(planned(capture(inputs, {"y": y})[0], options, CudaBackend(OPTIONS.target)).legal[0])[0]
        for inputs, y in (([x], x.sum(0)), ([a, b], a @ b))
    )
    assert tiles.memory(Space.LOCAL) <= 4 * 24  # so little that it is the tiles that make the difference
    assert tiles.memory(Space.SHARED) >= 8192
    assert blocks_at_a_time([adds, tiles], 256) == 0


def test_turns_of_the_loop_around_are_side_by_side_where_there_are_few_inside() -> None:
    x = sg.placeholder("x", (16, 32, 32, 64))
    graph = capture([x], {"y": sg.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0))).sum((0, 1, 2))})[0]
    (kernel,) = planned(graph, OPTIONS, CudaBackend(OPTIONS.target)).legal

    def most(block: Block, turns: int) -> int:
        """The largest number of copies of a load that there are if all loops are unrolled that are to be."""
        found = [0]
        for stmt in block:
            if isinstance(stmt, For):
                copies = stmt.extent if stmt.kind is LoopKind.UNROLLED else 1
                assert isinstance(copies, int)
                found.append(most(stmt.body, turns * copies))
            elif isinstance(stmt, If):
                found.append(most(stmt.then, turns))
            elif isinstance(stmt, (Let, Store)):
                loads = [part for part in walk(stmt.value) if isinstance(part, Load) and part.buffer == "%a0"]
                found.append(turns if loads else 0)
        return max(found)

    (first, _) = nests_of(kernel)
    assert most((first.loop,), 1) == 16


def test_a_loop_around_turns_is_not_unrolled_as_well() -> None:
    x = sg.placeholder("x", (Dim("n"),))
    texts: list[str] = []

    def compile(text: str) -> Compiled:
        texts.append(text)
        return Compiled(b"", "", (), "", 0.0)

    with Generation(ARCH, compile) as generation:
        write_program(capture([x], {"y": x.sum()})[0], OPTIONS, CudaBackend(OPTIONS.target), generation)
        generation.finish()
    loops = re.findall(r"(.*)\n.*for \(sg_index k_all = 0, ", texts[0])
    assert [line.strip() for line in loops] == ["#pragma unroll 1"] * len(loops)
    assert loops

"""Contractions on GPUs as they are scheduled: tiles, parts and factors that are chosen, memory, bounds, results."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evaluators import kernels, lower

import sigmagraph as sg
from sigmagraph.codegen.cuda import contraction as scheduling
from sigmagraph.codegen.cuda.arrangement import Cores
from sigmagraph.codegen.cuda.chip import Chip
from sigmagraph.codegen.cuda.contraction import factors_for
from sigmagraph.codegen.cuda.schedule import schedule
from sigmagraph.codegen.cuda.staging import Slab
from sigmagraph.codegen.cuda.tensor_cores import MMA_BF16, MMA_F16, TF32, TF32_EVEN, Instruction, rounding_on
from sigmagraph.codegen.cuda.tiles import (
    PLAIN,
    Tile,
    _plain,
    below,
    by_groups,
    by_warps,
    choose,
    lines_read,
    parts,
    tiles_of,
)
from sigmagraph.codegen.cuda.warpgroup import PUBLISH, GroupProduct, GroupWait, OlderWait, of_group
from sigmagraph.codegen.partition import Control, partition
from sigmagraph.codegen.schedule.flat import flat
from sigmagraph.codegen.templates import contraction as templates
from sigmagraph.codegen.templates.contraction import as_contraction
from sigmagraph.codegen.transform.secure import secure
from sigmagraph.dims import Dim, Size, evaluate
from sigmagraph.dtypes import BF16, F32, DType
from sigmagraph.errors import VerifyError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.kernel.compute import Compute
from sigmagraph.ir.kernel.expr import Index, Load, walk
from sigmagraph.ir.kernel.kernel import Alloc, Barrier, Call, For, Kernel, Let, LoopKind, Space, Store, statements
from sigmagraph.ir.kernel.scalar import SCALARS
from sigmagraph.passes.pipelines import STANDARD
from sigmagraph.tensor.capture import capture

EXACT, NARROW = Chip(80, narrow=False), Chip(80, narrow=True)  # precision "highest" and ""
OLD = Chip(75, narrow=True)
GROUPS = Chip.of("sm_90a", narrow=True)
CHIPS = {"exact": EXACT, "narrow": NARROW, "groups": GROUPS}
Shape = tuple[int | str, ...]


def graph_of(function: Callable[..., Any], *shapes: Shape, dtype: str = "float32") -> Graph:
    """The graph of a function of tensors; strings are symbolic sizes."""
    sizes = [[sg.Dim(d) if isinstance(d, str) else d for d in shape] for shape in shapes]
    xs = [sg.placeholder(f"x{number}", size, dtype) for number, size in enumerate(sizes)]
    return capture(xs, {"y": function(*xs)}, {})[0]


def works(graph: Graph) -> list[Any]:
    tasks = partition(lower(graph, STANDARD)).tasks
    return [task.work for task in tasks if not isinstance(task, Control)]


def kernels_of(graph: Graph, chip: Chip) -> list[Kernel]:
    return [schedule(work, chip) for work in works(graph)]


def product_of(function: Callable[..., Any], *shapes: Shape, dtype: str = "float32") -> Any:
    (work,) = works(graph_of(function, *shapes, dtype=dtype))
    assert isinstance(work, Compute)
    found = as_contraction(flat(work))
    assert found is not None
    return found


def in_half(dtype: str) -> Callable[..., Any]:
    return lambda a, b: sg.matmul(a.astype(dtype), b.astype(dtype))


def called(kernel: Kernel) -> set[str]:
    return {s.kernel for s in statements(kernel.body) if isinstance(s, Call)}


# ---- what is chosen


def sides(instruction: Instruction | None, rows: Size, columns: Size, others: Size = 1) -> tuple[int, int]:
    tile = choose(tiles_of(instruction), rows, columns, others)
    return tile.rows, tile.columns


@pytest.mark.parametrize("instruction", [None, TF32, MMA_BF16], ids=["threads", "tf32", "bf16"])
def test_tiles_grow_with_the_result(instruction: Instruction | None) -> None:
    assert sides(instruction, 4096, 4096) == (128, 128)
    assert sides(instruction, Dim("n"), 4096, 8)[1] >= 32
    areas = [np.prod(sides(instruction, n, n)) for n in (64, 256, 512, 1024, 2048, 4096)]
    assert areas == sorted(areas)
    assert max(sides(instruction, 32, 32)) <= 32


@pytest.mark.parametrize("instruction", [None, TF32, MMA_F16], ids=["threads", "tf32", "f16"])
def test_narrow_results_take_narrow_tiles(instruction: Instruction | None) -> None:
    rows, columns = sides(instruction, 16, 4096)
    assert rows < columns
    assert rows <= 32
    assert sides(instruction, 64, 64, 4096) == max(
        ((t.rows, t.columns) for t in tiles_of(instruction) if t.rows <= 64 >= t.columns), key=lambda s: s[0] * s[1]
    )


@pytest.mark.parametrize(
    "tile",
    [*PLAIN, *tiles_of(TF32), *tiles_of(MMA_F16), *tiles_of(MMA_BF16, groups=True)[:4]],
    ids=lambda t: f"{t.rows}x{t.columns}x{t.depth}",
)
def test_threads_share_the_sums_of_a_tile(tile: Tile) -> None:
    """Each sum has one thread, and each number of a thread's sums one place."""
    layout, found, places = tile.layout, Counter[tuple[int, int]](), set()
    walks = [(w.var, w.extent, w.step, w.sums) for w in (*layout.rows, *layout.columns)]
    rows = len(layout.rows)
    for thread in range(layout.threads):
        row, column = (evaluate(size, {"%thread": thread}) for size in (layout.row, layout.column))
        for index in np.ndindex(*(extent for _, extent, _, _ in walks)):
            r = row + sum(i * w[2] for i, w in zip(index[:rows], walks, strict=False))
            c = column + sum(i * w[2] for i, w in zip(index[rows:], walks[rows:], strict=True))
            place = sum(i * w[3] for i, w in zip(index, walks, strict=True))
            places.update(range(place, place + layout.lanes))
            found.update((r, c + lane) for lane in range(layout.lanes))
    assert places == set(range(layout.sums))
    assert found == Counter(dict.fromkeys(np.ndindex(tile.rows, tile.columns), 1))


def tiles_in_order(kernel: Kernel) -> list[tuple[int, int]]:
    """Row and column of the tile of each block, by the numbers of blocks."""
    axes: list[tuple[str, int]] = []
    names: dict[str, Size] = {}
    block = kernel.body
    while isinstance(block[-1], For) and block[-1].kind.is_block:
        loop = block[-1]
        axes.append((loop.var, evaluate(loop.extent, {})))
        block = loop.body
    names = {s.name: s.value.value for s in block if isinstance(s, Let) and isinstance(s.value, Index)}
    found = []
    for numbers in itertools.product(*(range(extent) for _, extent in axes)):  # the innermost one is counted first
        values = dict(zip((var for var, _ in axes), numbers, strict=True))
        row, column = (evaluate(names.get(name, Dim(name)), values) for name in ("%row", "%column"))
        found.append((row, column))
    return found


def lines_a_turn(tiles: list[tuple[int, int]], tile: Tile, blocks: int) -> list[int]:
    """The rows and columns that so many blocks read at a time."""
    turns = [tiles[n : n + blocks] for n in range(0, len(tiles) - blocks + 1, blocks)]
    return [tile.rows * len({r for r, _ in t}) + tile.columns * len({c for _, c in t}) for t in turns]


@pytest.mark.parametrize(("n", "m", "high"), [(8192, 8192, 16), (4096, 4096, 1), (16384, 512, 1), (6144, 12288, 16)])
def test_blocks_at_work_have_tiles_in_a_square(n: int, m: int, high: int) -> None:
    """Where that saves a fifth of what they read: 4762 instead of 8832 numbers for each summed index of 8192 x 8192."""
    (kernel,) = kernels_of(graph_of(sg.matmul, (n, 256), (256, m), dtype="bfloat16"), GROUPS)
    secure(kernel)
    tile, processors = tiles_of(MMA_BF16, groups=True)[0], GROUPS.processors
    tiles = tiles_in_order(kernel)
    down, across = n // tile.rows, m // tile.columns
    assert tile.resident == 1
    assert sorted(tiles) == list(itertools.product(range(down), range(across)))
    assert below(tile, n, m, processors) == high
    before, after = (
        lines_a_turn(order, tile, processors) for order in (list(itertools.product(range(down), range(across))), tiles)
    )
    assert [lines_read(tile, across, high, processors, turn) for turn in range(len(after))] == after
    assert [lines_read(tile, across, 1, processors, turn) for turn in range(len(before))] == before
    assert (tiles[:2] == [(0, 0), (1, 0)]) == (high > 1) == (5 * sum(after) <= 4 * sum(before))
    if n == m == 8192:
        assert (sum(before) // len(before), sum(after) // len(after)) == (8832, 4761)


def test_what_is_not_known_or_small_is_taken_row_by_row() -> None:
    tile = tiles_of(MMA_BF16, groups=True)[0]
    for rows, columns in ((Dim("n"), 8192), (8192, Dim("n")), (2048, 4096), (127 * 128, 8192)):
        assert below(tile, rows, columns, GROUPS.processors) == 1


def test_long_sums_of_few_blocks_are_cut() -> None:
    for instruction in (None, TF32, MMA_BF16):
        small = choose(tiles_of(instruction), 32, 32, 1)
        assert parts(small, 32, 32, 1, 64) == 1
        assert parts(small, 4096, 4096, 1, 1 << 16) == 1
        assert parts(small, 32, 32, 1, Dim("n")) >= 1
        long = small.depth * 16 * 24
        assert parts(small, 32, 32, 1, long) == 24
        assert 1 < parts(small, 32, 32, 1, 1 << 20) <= 108
        for summed in (1000, 5000, 12345, 1 << 17):
            count, steps = parts(small, 32, 32, 1, summed), -(-summed // small.depth)
            assert count == 1 or steps // count >= 16


MATMUL: tuple[Shape, Shape] = ((64, 64), (64, 64))


def test_f32_is_rounded_for_tensor_cores_unless_the_precision_is_the_highest() -> None:
    product = product_of(sg.matmul, *MATMUL)
    narrow = factors_for(product, NARROW)
    assert (narrow.instruction, narrow.rounding) == (TF32, "round_tf32")
    newer = factors_for(product, GROUPS)
    assert (newer.instruction, newer.rounding) == (TF32_EVEN, "round_tf32_even")  # one instruction there
    for chip in (EXACT, OLD):
        plain = factors_for(product, chip)
        assert (plain.instruction, plain.rounding) == (None, "")
        assert (plain.left, plain.right) == (product.left.value, product.right.value)


@pytest.mark.parametrize(("dtype", "instruction"), [("bfloat16", MMA_BF16), ("float16", MMA_F16)])
def test_halves_are_multiplied_as_they_are(dtype: str, instruction: Instruction) -> None:
    product = product_of(sg.matmul, *MATMUL, dtype=dtype)
    for chip in (NARROW, EXACT):
        factors = factors_for(product, chip)
        assert factors.instruction is instruction
        assert factors.left.dtype is factors.right.dtype is instruction.dtype
    assert factors_for(product, OLD).instruction is None


@pytest.mark.parametrize("dtype", ["float64", "int32"])
def test_other_types_have_no_instruction(dtype: str) -> None:
    assert factors_for(product_of(sg.matmul, *MATMUL, dtype=dtype), NARROW).instruction is None


def test_factors_of_two_types_are_rounded() -> None:
    product = product_of(lambda a, b: sg.matmul(a.astype("bfloat16").astype("float32"), b), *MATMUL)
    assert factors_for(product, NARROW).instruction is TF32
    assert factors_for(product, EXACT).instruction is None


def test_kernels_call_what_they_multiply_with() -> None:
    names = {
        "float32": {"mma_tf32", "ldmatrix_f32", "fetch_f32_4"},
        "bfloat16": {"mma_bf16", "ldmatrix_bf16", "ldmatrix_bf16_trans", "fetch_bf16_8"},
        "float16": {"mma_f16", "ldmatrix_f16", "ldmatrix_f16_trans", "fetch_f16_8"},
    }
    for dtype, expected in names.items():
        (kernel,) = kernels_of(graph_of(sg.matmul, *MATMUL, dtype=dtype), NARROW)
        assert called(kernel) == {c.name for c in kernel.callees} == expected | WAITS
    (kernel,) = kernels_of(graph_of(sg.matmul, *MATMUL), EXACT)
    assert called(kernel) == {c.name for c in kernel.callees} == {"fetch_f32_4"} | WAITS
    (kernel,) = kernels_of(graph_of(sg.matmul, *MATMUL), OLD)
    assert called(kernel) == set()
    assert kernel.callees == ()


def test_warpgroups_multiply_large_matrices() -> None:
    for n, columns in ((64, 0), (1024, 64), (4096, 256)):
        for dtype in ("float32", "bfloat16", "float16"):
            (kernel,) = kernels_of(graph_of(sg.matmul, (n, 256), (256, n), dtype=dtype), GROUPS)
            products = [p for p in map(of_group, called(kernel)) if isinstance(p, GroupProduct)]
            assert [p.columns for p in products] == ([columns] if columns else [])
            assert (PUBLISH.name in called(kernel)) == bool(columns)
            # What lies with rows side by side is multiplied so, but for f32.
            assert all((p.first_by_rows, p.second_by_rows) == (False, dtype != "float32") for p in products)


def test_the_next_step_is_written_while_warpgroups_multiply() -> None:
    """A product is begun, what threads have read of the next step is rounded and written, and then it is waited for."""
    (kernel,) = kernels_of(graph_of(sg.matmul, (1024, 256), (256, 1024)), GROUPS)
    (step,) = (s for s in statements(kernel.body) if isinstance(s, For) and s.var == "%step")
    calls = [number for number, s in enumerate(step.body) if isinstance(s, Call) and of_group(s.kernel)]
    assert len(calls) == 2
    assert calls[1] == len(step.body) - 1
    between = statements(step.body[calls[0] + 1 : calls[1]])
    assert {s.buffer for s in between if isinstance(s, Store)} == {"%left", "%right"}


def of_256_columns(instruction: Instruction | None, groups: bool) -> tuple[Tile, ...]:
    """The tile that has a multiprocessor for itself."""
    return tiles_of(instruction, groups)[:1]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_products_last_into_the_next_step(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step waits for the products of the one before, and for all only behind the last one.

    Steps that are fetched have four rooms: of two that are multiplied, and of two that are on their way.
    """
    monkeypatch.setattr(scheduling, "tiles_of", of_256_columns)
    (kernel,) = kernels_of(graph_of(sg.matmul, (512, 1024), (1024, 512), dtype=dtype), GROUPS)
    secure(kernel)
    (thread,) = (s for s in statements(kernel.body) if isinstance(s, For) and s.var == "%thread")
    number = next(n for n, s in enumerate(thread.body) if isinstance(s, For) and s.var == "%step")
    step, behind = thread.body[number : number + 2]
    assert isinstance(step, For)
    assert isinstance(behind, Call)
    found = [of_group(s.kernel) for s in step.body if isinstance(s, Call)]
    product, wait = (f for f in found if f is not None)
    assert isinstance(product, GroupProduct)
    assert wait == OlderWait(product.dtype)
    assert of_group(behind.kernel) == GroupWait(256, behind=True)
    rooms = {s.buffer.name: s.buffer.size for s in statements(kernel.body) if isinstance(s, Alloc)}
    form = Cores(product.dtype, 256, product.depth, deep=dtype == "float32")
    assert rooms["%right"] == (4 if dtype == "bfloat16" else 3) * form.size
    assert ("await_fetches_1" in called(kernel)) == (dtype == "bfloat16")


# What is multiplied, and how many factors are read by threads.
OPERANDS: dict[str, tuple[Callable[..., Any], tuple[Shape, ...], str, int]] = {
    "both are fetched": (sg.matmul, ((512, 1024), (1024, 512)), "bfloat16", 0),
    "both are read": (sg.matmul, ((512, 1024), (1024, 512)), "float32", 2),
    "one is read": (
        lambda x, w: sg.convolution(x, w, padding=1),
        ((2, 32, 32, 64), (3, 3, 64, 256)),
        "bfloat16",
        1,
    ),
}


@pytest.mark.parametrize("name", OPERANDS)
@pytest.mark.parametrize("tile", range(4))
def test_nobody_writes_to_what_products_still_read(name: str, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verifier sees that they read until they are waited for: with one room less it finds that in the next step."""
    function, shapes, dtype, read = OPERANDS[name]

    def lasting(instruction: Instruction | None, groups: bool) -> tuple[Tile, ...]:
        return (replace(tiles_of(instruction, groups)[tile], ahead=2, lasting=1),)

    monkeypatch.setattr(scheduling, "tiles_of", lasting)
    graph = graph_of(function, *shapes, dtype=dtype)
    (kernel,) = kernels_of(graph, GROUPS)
    assert secure(kernel)[1] == 0
    assert sum(isinstance(s, Alloc) and s.buffer.name.endswith(".held") for s in statements(kernel.body)) == read
    begin = Slab.__init__

    def with_less_room(slab: Slab, *args: Any) -> None:
        begin(slab, *args)
        slab.stages -= 1
        slab.shared = replace(slab.shared, shape=(slab.stages * slab.form.size,))

    monkeypatch.setattr(Slab, "__init__", with_less_room)
    (kernel,) = kernels_of(graph, GROUPS)
    with pytest.raises(VerifyError, match=r"may meet in an element(.|\n)*reads it in 'call @wgmma_wait_older"):
        secure(kernel)


@pytest.mark.parametrize(("dtype", "deep"), [(F32, True), (BF16, True), (BF16, False)])
def test_matrices_of_warpgroups_are_written_to_all_banks(dtype: DType, deep: bool) -> None:
    """Eight threads write 128 bytes at a time; there are 32 banks of 4 bytes."""
    form = Cores(dtype, 128, 128 // dtype.itemsize, deep)
    if deep:
        places = [form.at(0, form.line * lane) for lane in range(8)]
    else:
        places = [form.at(form.line * lane, 0) for lane in range(8)]
    assert len({evaluate(place, {}) * dtype.itemsize // 16 % 8 for place in places}) == 8
    elements = {form.at(row, k) for row in range(form.rows) for k in range(form.depth)}
    assert len(elements) == form.rows * form.depth
    assert max(evaluate(place, {}) for place in elements) < form.size


WAITS = {"commit_fetches", "await_fetches_2"}
FETCHED: dict[str, tuple[Callable[..., Any], tuple[Shape, ...], str, set[str]]] = {
    "vectors of both": (sg.matmul, ((128, 64), (64, 96)), "bfloat16", {"fetch_bf16_8"}),
    "no whole vectors": (sg.matmul, ((128, 67), (67, 96)), "float32", {"fetch_f32_1", "fetch_f32_4"}),
    "halves that are no words": (sg.matmul, ((128, 67), (67, 99)), "float16", set()),
    "what is computed": (lambda a, b: sg.matmul(sg.gelu(a), b), ((128, 64), (64, 96)), "float32", {"fetch_f32_4"}),
    "pairs": (sg.matmul, ((128, 66), (66, 98)), "bfloat16", {"fetch_bf16_2"}),
    "images and their edge": (
        lambda x, w: sg.convolution(x, w, padding=1),
        ((2, 16, 16, 64), (3, 3, 64, 64)),
        "bfloat16",
        {"fetch_bf16_8"},
    ),
}


@pytest.mark.parametrize("name", FETCHED)
def test_what_is_multiplied_as_it_lies_in_memory_is_fetched(name: str) -> None:
    function, shapes, dtype, expected = FETCHED[name]
    kernel = kernels_of(graph_of(function, *shapes, dtype=dtype), NARROW)[-1]
    assert {name for name in called(kernel) if name.startswith("fetch")} == expected
    assert called(kernel) >= WAITS or not expected


def test_threads_wait_for_each_other_once_a_step() -> None:
    for dtype in ("float32", "bfloat16", "float64"):
        for chip in (OLD, NARROW):
            (kernel,) = kernels_of(graph_of(sg.matmul, *MATMUL, dtype=dtype), chip)
            assert sum(isinstance(s, Barrier) for s in statements(kernel.body)) == 1


# ---- memory

LARGE: tuple[tuple[Shape, Shape], ...] = (
    *(((n, 64), (64, n)) for n in (32, 200, 512, 2048)),
    ((16, 64), (64, 4096)),
    ((4096, 64), (64, 16)),
)


def shared_in(kernel: Kernel) -> int:
    buffers = [s.buffer for s in statements(kernel.body) if isinstance(s, Alloc)]
    return sum(evaluate(b.size, {}) * b.dtype.itemsize for b in buffers if b.space is Space.SHARED)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_slabs_fit_into_shared_memory(dtype: str) -> None:
    """A block has 64 KB of sm_75; of all with fetches 99 KB or more, and two blocks are in the 164 KB of sm_80.

    Of sm_90a it has 227 KB.
    """
    for left, right in LARGE:
        for chip, most in ((OLD, 48), (EXACT, 81), (NARROW, 81), (GROUPS, 227)):
            (kernel,) = kernels_of(graph_of(sg.matmul, left, right, dtype=dtype), chip)
            assert 0 < shared_in(kernel) <= most << 10


def conflicts(kernel: Kernel) -> dict[str, int]:
    """By slab the greatest number of words that threads want from one bank at a time, when they read what they multiply.

    32 banks have a word of 4 bytes each; words of 8 and 16 bytes are read by half and by quarter warps.
    """
    local = {s.buffer.name for s in statements(kernel.body) if isinstance(s, Alloc) and s.buffer.space is Space.LOCAL}
    lanes = {s.var: s.extent for s in statements(kernel.body) if isinstance(s, For) and s.kind is LoopKind.VECTORIZED}
    out: Counter[str] = Counter()
    for stmt in statements(kernel.body):
        if isinstance(stmt, Call) and stmt.kernel.startswith("ldmatrix"):
            slab = stmt.args[0].buffer
            out[slab] = max(out[slab], matrix_conflicts(kernel, stmt))
        loads = [e for e in walk(stmt.value) if isinstance(e, Load)] if isinstance(stmt, Store) else []
        if not (isinstance(stmt, Store) and stmt.buffer in local and len(loads) == 1):
            continue
        (load,) = loads
        if load.buffer not in ("%left", "%right"):
            continue
        inner = at_start(kernel)
        beside = [v for v in lanes if evaluate(load.index[0], {**inner, v: 1}) == evaluate(load.index[0], inner) + 1]
        width = load.dtype.itemsize * (int(lanes[beside[0]]) if beside else 1)  # type: ignore[call-overload]
        at_once = min(32, 128 // max(width, 4))
        for first in range(0, 32, at_once):
            where = [
                evaluate(load.index[0], {**inner, "%thread": t}) * load.dtype.itemsize
                for t in range(first, first + at_once)
            ]
            words = {w for start in where for w in range(start // 4, (start + width - 1) // 4 + 1)}
            out[load.buffer] = max(out[load.buffer], *Counter(w % 32 for w in words).values())
    return dict(out)


def at_start(kernel: Kernel) -> dict[str, int]:
    """All loops in their first turn, and the first step in the first place."""
    return dict.fromkeys(
        ("%left.now", "%right.now", *(s.var for s in statements(kernel.body) if isinstance(s, For))), 0
    )


def matrix_conflicts(kernel: Kernel, call: Call) -> int:
    """The same for the eight rows of 16 bytes of one matrix, which are read at a time."""
    size = kernel.callee(call.kernel).params[0].dtype.itemsize
    inner = at_start(kernel)
    start, pitch = evaluate(call.args[0].index[0], inner) * size, evaluate(call.dims[1], inner) * size
    assert start % 16 == pitch % 16 == 0
    return max(Counter((start + row * pitch) // 4 + w & 31 for row in range(8) for w in range(4)).values())


@pytest.mark.parametrize("shapes", LARGE, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("turned", [False, True])
def test_reads_of_fragments_meet_in_no_bank(shapes: tuple[Shape, Shape], dtype: str, turned: bool) -> None:
    function = (lambda a, b: sg.matmul(sg.transpose(a), sg.transpose(b))) if turned else sg.matmul
    left, right = (tuple(reversed(s)) for s in shapes) if turned else shapes
    (kernel,) = kernels_of(graph_of(function, left, right, dtype=dtype), NARROW)
    assert conflicts(kernel) == {"%left": 1, "%right": 1}


# ---- bounds

PRODUCTS: dict[str, tuple[Callable[..., Any], tuple[Shape, ...]]] = {
    "matrices": (sg.matmul, ((130, 67), (67, 140))),
    "even": (sg.matmul, ((128, 64), (64, 128))),
    "vectors": (sg.matmul, ((8, 1024), (1024, 256))),
    "rows": (sg.matmul, (("B", 67), (67, 140))),
    "all symbolic": (sg.matmul, (("B", "K"), ("K", "N"))),
    "batch": (lambda a, b: sg.relu(sg.matmul(a, b) + 1.0), ((3, "B", 40, 20), (3, "B", 20, 36))),
    "turned": (lambda a, b: sg.matmul(sg.transpose(a), sg.transpose(b)), ((64, "B"), (70, 64))),
    "long": (sg.matmul, ((40, 1 << 14), (1 << 14, 36))),
    "long symbolic": (lambda a, b: sg.matmul(sg.transpose(a), b), (("B", 40), ("B", 36))),
    "convolution": (lambda x, w: sg.convolution(x, w, padding=1), (("B", 9, 9, 5), (3, 3, 5, 40))),
    "strides": (
        lambda x, w: sg.relu(sg.convolution(x, w, strides=2, padding=1)),
        (("B", 11, 11, 8), (3, 3, 8, 40)),
    ),
    "channels first": (
        lambda x, w: sg.convolution(x, w, padding=1, data_format="channels_first"),
        ((2, 8, 9, 9), (3, 3, 8, 40)),
    ),
    "dilation and groups": (
        lambda x, w: sg.convolution(x, w, padding=2, dilation=2, groups=2),
        ((2, 9, 11, 8), (3, 2, 4, 32)),
    ),
    "windows without guards": (sg.convolution, (("B", 9, 9, 16), (3, 3, 16, 32))),
    "columns around rows": (
        lambda a, b: sg.einsum("abcd,dcef->aefb", a, b),
        ((5, "B", 16, 16), (16, 16, 16, 8)),
    ),
    "rows and columns in turn": (
        lambda a, b: sg.einsum("abcd,aefd->abecf", a, b),
        ((3, 8, "C", 5), (3, "E", 8, 5)),
    ),
    "any image": (lambda x, w: sg.convolution(x, w, padding=1), (("B", "H", "W", 8), (3, 3, 8, 32))),
}


@pytest.mark.parametrize("chip", [pytest.param("exact", marks=pytest.mark.extended), "narrow", "groups"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_nothing_has_to_be_guarded(name: str, chip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, shapes = PRODUCTS[name]
    if chip == "groups":  # at any size
        monkeypatch.setattr(scheduling, "tiles_of", lambda instruction, _: tiles_of(instruction, groups=True)[:1])
    for kernel in kernels_of(graph_of(function, *shapes), CHIPS[chip]):
        assert secure(kernel)[1] == 0


# ---- results

SMALL: dict[str, tuple[Callable[..., Any], tuple[Shape, ...]]] = {
    "matrices": (lambda a, b: sg.relu(sg.matmul(a, b) + 0.5), ((18, 6), (6, 21))),
    "even": (sg.matmul, ((16, 8), (8, 32))),
    "batch, turned": (lambda a, b: sg.matmul(turned(a), turned(b)), ((2, 3, 5), (2, 18, 3))),
    "symbolic": (sg.matmul, (("B", 5), (5, 17))),
    "convolution": (lambda x, w: sg.convolution(x, w, padding=1, strides=2), ((2, 5, 4, 2), (3, 2, 2, 5))),
    "groups": (lambda x, w: sg.convolution(x, w, dilation=2, groups=2), ((1, 5, 6, 4), (2, 2, 2, 6))),
}


def turned(x: sg.Tensor) -> sg.Tensor:
    """The transposes of matrices."""
    return sg.transpose(x, (0, 2, 1))


def tiny(instruction: Instruction | None, groups: bool) -> tuple[Tile, ...]:
    """Tiles of 16 rows, and of 16 or 8 columns; of 64 rows where warpgroups multiply."""
    if instruction is None:
        return (_plain(4, 4, 4, 4, 4, 1.0),)
    if groups:
        columns = 64 if instruction.rounding else 8  # of what they read, 128 threads have four elements each
        return (by_groups(instruction.dtype, 1, columns, 1, 1.0, 2),)
    return (by_warps(instruction, 1, 1, 1, 1, instruction.depth, 1.0),)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contractions of all sizes, in the smallest tiles that there could be."""
    monkeypatch.setattr(templates, "SMALL", 0)
    monkeypatch.setattr(scheduling, "tiles_of", tiny)


def check(function: Callable[..., Any], shapes: tuple[Shape, ...], chip: Chip, dtype: str = "float32") -> None:
    graph = graph_of(function, *shapes, dtype=dtype)
    rng = np.random.default_rng(1)
    inputs = {}
    for value in graph.inputs:
        shape = [evaluate(size, {"B": 9}) for size in graph.type(value).shape]
        numpy = graph.type(value).dtype.numpy
        inputs[graph.node(value).name] = (3 * rng.standard_normal(shape)).astype(numpy)
    got = kernels(STANDARD, lambda work: schedule(work, chip))(graph, inputs)["y"]
    instruction = rounding_on(chip.arch) if chip.narrow and dtype == "float32" else None
    if instruction:
        inputs = {name: SCALARS[instruction.rounding].evaluate(value) for name, value in inputs.items()}
    want = interpret(graph, inputs)["y"]
    tolerance = {"float16": 2e-3, "int32": 0}.get(dtype, 2e-6)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * float(np.abs(want).max()))


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("name", SMALL)
def test_threads_compute_what_the_graph_says(name: str) -> None:
    check(*SMALL[name], EXACT)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(("dtype", "shapes"), [("float32", ((17, 9), (9, 8))), ("float16", ((9, 17), (17, 7)))])
def test_warps_compute_what_the_graph_says(dtype: str, shapes: tuple[Shape, ...]) -> None:
    check(sg.matmul, shapes, NARROW, dtype)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("lasting", [0, 1])
def test_warpgroups_compute_what_the_graph_says(lasting: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    instruction = MMA_F16 if dtype == "float16" else TF32_EVEN
    tiles = [replace(tile, lasting=lasting) for tile in tiny(instruction, groups=True)]
    monkeypatch.setattr(scheduling, "tiles_of", lambda *_: tiles)
    check(sg.matmul, ((9, 50), (50, 7)), GROUPS, dtype)


@pytest.mark.usefixtures("small_tiles")
def test_parts_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "parts", lambda *_: 3)
    check(lambda a, b: sg.relu(sg.matmul(a, b)), ((17, 29), (29, 6)), EXACT)


@pytest.mark.usefixtures("small_tiles")
def test_integers_are_exact() -> None:
    check(sg.matmul, ((17, 6), (6, 11)), NARROW, "int32")


@pytest.mark.extended
@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("name", SMALL)
def test_warps_compute_all_of_them(name: str) -> None:
    check(*SMALL[name], NARROW)

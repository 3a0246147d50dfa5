"""Contractions on the CUDA shim: the text of tiles, warps and parts computes what the graph says.

Sums of f32 may differ from the reference by rounding: each of the ``K`` additions of an element rounds by at most 2^-24 of
a partial sum, which is hardly ever greater than the greatest result, and roundings are independent, so they add up to some
2^-24 sqrt(K) of it. Both sides do so; :func:`check` takes twice that. Where factors are rounded to tf32, the reference is
computed from inputs that are rounded likewise, and the tolerance is the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cuda_shim
import numpy as np
import pytest
from cuda_programs import ARCH, Together, on_shim

import sigmagraph as sg
from sigmagraph.codegen.cuda import contraction as tiling
from sigmagraph.codegen.cuda import schedule as scheduling
from sigmagraph.codegen.cuda.chip import Chip
from sigmagraph.codegen.cuda.staging import Slab
from sigmagraph.codegen.cuda.tensor_cores import Instruction, rounding_on
from sigmagraph.codegen.cuda.tiles import Tile, tiles_of
from sigmagraph.codegen.templates import contraction as templates
from sigmagraph.codegen.transform import secure
from sigmagraph.dims import evaluate
from sigmagraph.errors import DeviceError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.kernel.scalar import SCALARS
from sigmagraph.options import CompileOptions
from sigmagraph.tensor.capture import capture

pytestmark = pytest.mark.skipif(not cuda_shim.available(), reason="needs g++")
HIGHEST = CompileOptions(cache=False, precision="highest")
NARROW = CompileOptions(cache=False)
HALVES = {"bfloat16": 2.0**-8, "float16": 2.0**-11}  # half a unit in the last place, of 1
Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Case:
    """A contraction.

    Attributes:
        function: of tensors.
        shapes: of these; strings are symbolic.
        summed: the longest of its sums.
        factors: so many of the tensors, the first ones, are factors.
        dtype: of the tensors.
    """

    function: Callable[..., Any]
    shapes: tuple[Shape, ...]
    summed: int
    factors: int = 2
    dtype: str = "float32"


def turned(x: sg.Tensor) -> sg.Tensor:
    """The transposes of matrices."""
    return sg.transpose(x, (0, 2, 1))


def derived(**how: Any) -> Callable[..., Any]:
    """The gradients of a convolution by tensor and kernel."""

    def gradients(x: sg.Tensor, w: sg.Tensor, g: sg.Tensor) -> Any:
        return sg.gradients((sg.convolution(x, w, **how) * g).sum(), [x, w])

    return gradients


def dense(x: sg.Tensor, w: sg.Tensor, b: sg.Tensor) -> sg.Tensor:
    return sg.gelu(sg.matmul(sg.relu(x), w) + b)


MATRICES = {
    "odd": Case(sg.matmul, ((37, 19), (19, 45)), 19),
    "even": Case(sg.matmul, ((32, 32), (32, 32)), 32),
    "one row": Case(sg.matmul, ((1, 40), (40, 36)), 40, factors=0),  # no contraction: nothing is rounded
    "any batch": Case(sg.matmul, (("B", 20), (20, 33)), 20),
    "turned": Case(lambda a, b: sg.matmul(sg.transpose(a), sg.transpose(b)), ((24, 33), (40, 24)), 24),
    "batches": Case(lambda a, b: sg.matmul(turned(a), b), ((3, 12, 20), (3, 12, 34)), 12),
    "long": Case(lambda a, b: sg.relu(sg.matmul(a, b)), ((9, 1100), (1100, 10)), 1100),
    "dense": Case(dense, ((21, 24), (24, 35), (35,)), 24),
}
CONVOLUTIONS = {
    "padded": Case(lambda x, w: sg.convolution(x, w, padding=1), (("B", 5, 6, 5), (3, 3, 5, 9)), 45),
    "first": Case(
        lambda x, w: sg.convolution(x, w, strides=2, padding=1, data_format="channels_first"),
        ((2, 4, 7, 5), (3, 3, 4, 10)),
        36,
    ),
    "groups": Case(
        lambda x, w: sg.convolution(x, w, dilation=2, groups=2, padding=2), ((1, 6, 7, 8), (3, 2, 4, 6)), 24
    ),
    "no padding": Case(lambda x, w: sg.relu(sg.convolution(x, w)), ((2, 6, 6, 8), (3, 3, 8, 16)), 72),
}
GRADIENTS = {
    "gradients": Case(derived(padding=1), ((2, 5, 6, 4), (3, 3, 4, 9), (2, 5, 6, 9)), 81, factors=3),
    "strided": Case(derived(strides=2), ((2, 7, 7, 4), (3, 3, 4, 5), (2, 3, 3, 5)), 45, factors=3),
}
TYPES = {
    "int32": Case(sg.matmul, ((17, 19), (19, 21)), 19, dtype="int32"),
    "float64": Case(sg.matmul, ((17, 19), (19, 21)), 19, dtype="float64"),
    "bfloat16": Case(sg.matmul, ((17, 24), (24, 22)), 24, dtype="bfloat16"),
    "float16": Case(lambda a, b: sg.matmul(a, sg.transpose(b)), ((34, 40), (33, 40)), 40, dtype="float16"),
    "half conv": Case(lambda x, w: sg.convolution(x, w, padding=1), ((2, 4, 5, 8), (3, 3, 8, 9)), 72, dtype="bfloat16"),
}


def graph_of(cases: Mapping[str, Case]) -> Graph:
    """One graph of all cases."""
    inputs, outputs = [], {}
    for name, case in cases.items():
        sizes = [[sg.Dim(d) if isinstance(d, str) else d for d in shape] for shape in case.shapes]
        own = [sg.placeholder(f"{name}.{n}".replace(" ", "_"), size, case.dtype) for n, size in enumerate(sizes)]
        inputs += own
        result = case.function(*own)
        results = result if isinstance(result, Sequence) else [result]
        outputs |= {f"{name}.{n}": tensor for n, tensor in enumerate(results)}
    return capture(inputs, outputs, {})[0]


def arrays_for(graph: Graph, batch: int) -> dict[str, NDArray]:
    rng = np.random.default_rng(batch)
    arrays = {}
    for value in graph.inputs:
        shape = [evaluate(size, {"B": batch}) for size in graph.type(value).shape]
        array = 3 * rng.standard_normal(shape)
        arrays[graph.node(value).name] = array.astype(graph.type(value).dtype.numpy)
    return arrays


def rounded(cases: Mapping[str, Case], arrays: Mapping[str, NDArray], arch: str = ARCH) -> dict[str, NDArray]:
    """The factors as tensor cores take them."""
    out, instruction = dict(arrays), rounding_on(Chip.of(arch, narrow=True).arch)
    assert instruction
    for name, case in cases.items():
        for number in range(case.factors if case.dtype == "float32" else 0):
            key = f"{name}.{number}".replace(" ", "_")
            out[key] = SCALARS[instruction.rounding].evaluate(arrays[key])
    return out


def check(case: Case, got: NDArray, want: NDArray, what: str) -> None:
    assert got.dtype == want.dtype, what
    if want.dtype.kind in "iu":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    wide = want.astype(np.float64)
    greatest = float(np.abs(wide[np.isfinite(wide)]).max())
    unit = 2.0**-53 if case.dtype == "float64" else 2.0**-24
    # The interpreter multiplies f32 sums of halves; what is stored may be the neighbour of what it gives.
    np.testing.assert_allclose(
        got.astype(np.float64),
        wide,
        rtol=2 * HALVES.get(case.dtype, 0.0),
        atol=2 * unit * case.summed**0.5 * greatest,
        err_msg=what,
    )


@pytest.fixture
def scheduled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Contractions of all sizes are carried out in tiles; those that are, are noted."""
    noted: list[Any] = []
    launches = scheduling.contraction_launches

    def note(*args: Any) -> Any:
        noted.append(args)
        return launches(*args)

    monkeypatch.setattr(templates, "SMALL", 0)
    monkeypatch.setattr(scheduling, "contraction_launches", note)
    return noted


def compare(
    cases: Mapping[str, Case],
    options: CompileOptions,
    scheduled: list[Any],
    batches: Sequence[int] = (9,),
    arch: str = ARCH,
) -> None:
    """Compare a program with the interpreter of graphs, for some sizes of what is symbolic."""
    graph = graph_of(cases)
    runner = on_shim(graph, {}, options, cuda_shim.HostDriver(seed=len(cases), arch=arch), arch)
    assert len(scheduled) >= len(graph.outputs) - ("one row" in cases)  # that is a sum for each column
    for batch in batches:
        arrays = arrays_for(graph, batch)
        got = runner.run([arrays[port.name] for port in runner.plan.inputs])
        want = interpret(graph, rounded(cases, arrays, arch) if options.precision == "" else arrays)
        for key, value in want.items():
            check(cases[key.rpartition(".")[0]], got[key], value, f"{key} of batch {batch}")


def some(cases: Mapping[str, Case], *names: str) -> dict[str, Case]:
    return {name: cases[name] for name in names}


def test_threads_multiply(scheduled: list[Any]) -> None:
    """Products in f32, in f64 and of integers; epilogues, parts, windows."""
    cases = some(MATRICES, "odd", "any batch", "long", "dense") | some(CONVOLUTIONS, "padded") | some(TYPES, "int32")
    compare(cases, HIGHEST, scheduled, (1, 5))


def test_warps_multiply(scheduled: list[Any]) -> None:
    """Products of f32 rounded to tf32, and of halves."""
    cases = some(MATRICES, "odd", "batches", "dense") | some(CONVOLUTIONS, "no padding") | some(TYPES, "float16")
    compare(cases, NARROW, scheduled)


def test_tiles_in_stripes_are_all_there(scheduled: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles below each other are taken before those beside them if a device has few processors: each of them once."""
    monkeypatch.setattr(Chip, "processors", 2)
    monkeypatch.setattr(tiling, "tiles_of", lambda instruction, _: tiles_of(instruction)[-2:-1])
    cases = {
        "even": Case(sg.matmul, ((256, 40), (40, 256)), 40),
        "odd": Case(lambda a, b: sg.relu(sg.matmul(a, b)), ((250, 40), (40, 231)), 40),
        "images": Case(lambda x, w: sg.convolution(x, w, padding=1), ((2, 8, 16, 8), (3, 3, 8, 240)), 72),
    }
    graph, together = graph_of(cases), Together()
    text = together.text_of(together.add(graph, NARROW))
    assert text.count("const sg_index stripe") == len(scheduled) == len(cases)
    scheduled.clear()
    compare(cases, NARROW, scheduled)


LINES = {
    "no pairs": Case(sg.matmul, ((70, 67), (67, 131)), 67, dtype="bfloat16"),
    "pairs": Case(sg.matmul, ((70, 66), (66, 130)), 66, dtype="float16"),
    "fours": Case(sg.matmul, ((70, 68), (68, 132)), 68, dtype="bfloat16"),
    "turned fours": Case(
        lambda a, b: sg.matmul(sg.transpose(a), sg.transpose(b)), ((68, 132), (260, 68)), 68, dtype="bfloat16"
    ),
    "turned": Case(lambda a, b: sg.matmul(sg.transpose(a), sg.transpose(b)), ((67, 131), (259, 67)), 67),
}
TILES = ("128x256", "128x128", "128x64", "64x128")
OF_GROUPS: dict[str, Mapping[str, Case]] = {
    "some": {
        **some(MATRICES, "odd", "any batch", "long", "dense"),
        **some(CONVOLUTIONS, "padded", "no padding"),
        **some(TYPES, "bfloat16", "half conv"),
        **some(LINES, "no pairs", "fours", "turned"),
    },
    "matrices": MATRICES,
    "convolutions": CONVOLUTIONS,
    "gradients": GRADIENTS,
    "types": TYPES,
    "lines": LINES,
}


@pytest.mark.parametrize(
    ("tile", "lasting", "cases"),
    [
        ("128x256", 1, "some"),
        *(
            pytest.param(t, lasting, c, marks=pytest.mark.extended)
            for t in TILES
            for lasting in (0, 1)
            for c in OF_GROUPS
            if c != "some"
        ),
    ],
)
def test_warpgroups_multiply(
    tile: str, lasting: int, cases: str, scheduled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products of everything that they can multiply, in a tile that they have, whatever its size.

    They are waited for in their step, or may last into the next one.
    """
    only(tile, monkeypatch, lasting)
    compare(OF_GROUPS[cases], NARROW, scheduled, (5,), "sm_90a")


def only(tile: str, monkeypatch: pytest.MonkeyPatch, lasting: int | None = None) -> None:
    """Have warpgroups multiply, in one tile."""

    def chosen(instruction: Instruction | None, groups: bool) -> Sequence[Tile]:
        assert groups
        tiles = [t for t in tiles_of(instruction, groups) if t.group is None or f"{t.rows}x{t.columns}" == tile]
        found = tiles[0]
        return [found if lasting is None or found.group is None else replace(found, ahead=2, lasting=lasting)]

    monkeypatch.setattr(tiling, "tiles_of", chosen)


def test_what_warpgroups_do_not_see_is_found(scheduled: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What threads have written has to be published; what they fetch has to be waited for before."""
    only("128x128", monkeypatch)
    a, b = (sg.placeholder(name, (128, 128), "bfloat16") for name in "ab")
    graph, together = capture([a, b], {"y": a @ b})[0], Together("sm_90a")
    number = together.add(graph, NARROW)
    text = together.text_of(number)
    assert len(scheduled) == text.count("sg_wgmma_bf16<") == text.count("sg_publish();") == 1
    copies = [
        text,
        text.replace("sg_publish();", ""),
        re.sub(r"(sg_await_fetches_\d)\(\);\n(.*)\n", r"\2\n\1();\n", text),
    ]
    assert len(set(copies)) == 3
    numbers = [together.altered(number, copy) for copy in copies]
    arrays = arrays_for(graph, 1)
    want = interpret(graph, arrays)["y"]
    case = Case(sg.matmul, (), 128, dtype="bfloat16")

    def finds(number: int, seed: int) -> bool:
        try:
            check(case, together.run(number, arrays, cuda_shim.HostDriver(seed, "sm_90a"))["y"], want, "y")
        except (DeviceError, AssertionError):
            return True
        return False

    assert [any(finds(n, seed) for seed in range(4)) for n in numbers] == [False, True, True]


def one_room_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have steps brought into the room of the step before, and have the verifier say nothing."""
    begin = Slab.__init__

    def less(slab: Slab, *args: Any) -> None:
        begin(slab, *args)
        slab.stages -= 1
        slab.shared = replace(slab.shared, shape=(slab.stages * slab.form.size,))

    monkeypatch.setattr(Slab, "__init__", less)
    monkeypatch.setattr(secure, "verify_kernels", lambda *_, **__: None)


WAIT_BEHIND = r"sg_wgmma_wait_behind<256>\(sums\);"
# What is wrong with the products of steps that follow each other: what stands in a text, and what is put there.
UNDER_WAY = {
    "nothing": ("", ""),
    "no wait behind the last step": (WAIT_BEHIND, ""),
    "a wait for older products there": (WAIT_BEHIND, "sg_wgmma_wait_older(left, right, 1, 1);"),
    "no wait in a step": (r"sg_wgmma_wait_older\(.*\);", ""),
}
FETCHED_BEFORE_OTHERS_WAITED = (r"(__syncthreads\(\);\n)((?:.*\n)*?)(.*sg_commit)", r"\2\1\3")


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_what_is_done_too_early_while_products_are_under_way_is_found(
    dtype: str, scheduled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums that are taken, and memory that is written to, before they are done."""
    only("128x256", monkeypatch)
    shapes: tuple[Shape, Shape] = ((128, 448), (448, 256))
    case = Case(sg.matmul, shapes, 448, dtype=dtype)
    graph, together = graph_of({"y": case}), Together("sm_90a")
    number = together.add(graph, NARROW)
    assert len(scheduled) == 1
    text = together.text_of(number)
    numbers = {}
    early = {} if dtype == "float32" else {"a fetch before others have waited": FETCHED_BEFORE_OTHERS_WAITED}
    for defect, (what, instead) in (UNDER_WAY | early).items():
        copy, places = re.subn(what, instead, text, count=1) if what else (text, 1)
        assert places == 1, defect
        numbers[defect] = together.altered(number, copy)
    with pytest.MonkeyPatch.context() as patch:
        one_room_less(patch)
        numbers["a step is brought one step too early"] = together.add(graph, NARROW)
    arrays = arrays_for(graph, 1)
    want = interpret(graph, rounded({"y": case}, arrays, "sm_90a"))["y.0"]

    def finds(number: int, seed: int) -> bool:
        try:
            got = together.run(number, arrays, cuda_shim.HostDriver(seed, "sm_90a"))["y.0"]
            check(case, got, want, "y")
        except (DeviceError, AssertionError):
            return True
        return False

    found = {defect: sum(finds(n, seed) for seed in range(6)) for defect, n in numbers.items()}
    assert found.pop("nothing") == 0
    assert all(found.values()), found


def test_what_is_not_aligned_is_copied_by_elements(scheduled: list[Any]) -> None:
    cases = some(MATRICES, "odd", "even", "any batch")
    graph, together = graph_of(cases), Together()
    number = together.add(graph, NARROW)
    text, fetches = re.subn(r"(sg_fetch_\w+)\(", r"\1_by_element(", together.text_of(number))
    assert fetches >= 2 * len(scheduled)
    arrays = arrays_for(graph, 7)
    got, want = together.run(together.altered(number, text), arrays), interpret(graph, rounded(cases, arrays))
    for key, value in want.items():
        check(cases[key.rpartition(".")[0]], got[key], value, key)


@pytest.mark.extended
@pytest.mark.parametrize("options", [HIGHEST, NARROW], ids=["highest", "narrow"])
@pytest.mark.parametrize(
    "cases", [MATRICES, CONVOLUTIONS, GRADIENTS, TYPES], ids=["matrices", "convolutions", "gradients", "types"]
)
def test_all_of_them(cases: Mapping[str, Case], options: CompileOptions, scheduled: list[Any]) -> None:
    compare(cases, options, scheduled, (1, 3, 34) if cases is MATRICES else (2,))


SPECIAL = {
    "first": Case(sg.matmul, ((5, 18), (18, 9)), 18),
    "second": Case(lambda a, b: sg.relu(sg.matmul(a, b)), ((35, 7), (7, 36)), 7),
}


@pytest.mark.parametrize(
    "options", [pytest.param(HIGHEST, id="highest", marks=pytest.mark.extended), pytest.param(NARROW, id="narrow")]
)
def test_what_is_not_finite_stays_so(options: CompileOptions, scheduled: list[Any]) -> None:
    """NaN and infinities reach the elements that they reach in the interpreter, and no others."""
    graph = graph_of(SPECIAL)
    arrays = arrays_for(graph, 1)
    arrays["first.0"][1, 3], arrays["first.0"][2, 17], arrays["first.1"][4, 5] = np.nan, np.inf, -np.inf
    arrays["second.0"][33, 6], arrays["second.1"][2, 35] = -np.inf, np.nan
    runner = on_shim(graph, {}, options)
    got = runner.run([arrays[port.name] for port in runner.plan.inputs])
    with np.errstate(invalid="ignore"):
        want = interpret(graph, rounded(SPECIAL, arrays) if options is NARROW else arrays)
    for key, value in want.items():
        assert 0 < np.isnan(value).sum() + np.isinf(value).sum() < value.size
        check(SPECIAL[key.rpartition(".")[0]], got[key], value, key)
    assert len(scheduled) == 2


@pytest.mark.extended
def test_f32_is_rounded_only_where_that_is_allowed(scheduled: list[Any]) -> None:
    """1 + 2^-12 is 1 for tensor cores."""
    graph = graph_of({"odd": MATRICES["odd"]})
    arrays = {"odd.0": np.full((37, 19), 1 + 2.0**-12, np.float32), "odd.1": np.ones((19, 45), np.float32)}
    for options, value in ((HIGHEST, 19 + 19 * 2.0**-12), (NARROW, 19.0)):
        runner = on_shim(graph, {}, options)
        got = runner.run([arrays[port.name] for port in runner.plan.inputs])["odd.0"]
        np.testing.assert_array_equal(got, np.full((37, 45), value, np.float32))
    assert len(scheduled) == 2

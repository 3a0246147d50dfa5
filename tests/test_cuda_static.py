"""The static facts of kernels for GPUs: what the tables say, and what is counted in PTX where nothing disassembles."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import cuda_static
from benchmarks.cuda_chips import CHIPS
from benchmarks.gpu_workloads import GROUPS, WORKLOADS, kind_of, tolerance
from benchmarks.peers import sigma
from benchmarks.ptx import count_ptx
from benchmarks.roofline import Work
from benchmarks.workloads import KINDS, Operation
from sigmagraph.codegen.cuda.compile import compiler_name
from sigmagraph.codegen.cuda.cubin import Resources
from sigmagraph.codegen.cuda.occupancy import architectures, occupancy
from sigmagraph.codegen.cuda.sass import find_disassembler
from sigmagraph.errors import CompileError

PTX = """.visible .entry two(
	.param .u64 .ptr .align 1 two_param_0
)
{
	ld.param.b64 	%rd1, [two_param_0];
	@%p1 bra 	$L__BB0_2;
	ld.global.nc.v4.f32 	{%f1, %f2, %f3, %f4}, [%rd1];
	@%p1 ld.global.u8 	%rs1, [%rd1+16];
	fma.rn.f32 	%f5, %f1, %f2, %f3;
	mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 	{%f1}, {%r1}, {%r2}, {%f1};
	cp.async.cg.shared.global 	[%r1], [%rd1], 16;
	ld.shared.v4.b32 	{%r1, %r2, %r3, %r4}, [%r5];
	bar.sync 	0;
	shfl.sync.bfly.b32 	%r1, %r2, 1, 31, -1;
	st.global.v2.f32 	[%rd1], {%f1, %f2};
	ret;
}
.visible .entry one(
)
{
	ret;
}
"""


def test_instructions_are_counted_in_ptx() -> None:
    one, two = count_ptx(PTX)
    assert (one.symbol, one.total, one.load_widths) == ("one", 1, ())
    assert (two.symbol, two.total, two.tensor, two.fma, two.copies) == ("two", 12, 1, 1, 1)
    assert (two.load_widths, two.store_widths) == (((1, 1), (16, 1)), ((8, 1),))
    assert (two.loads, two.wide_loads, two.stores, two.wide_stores) == (2, 1, 1, 0)
    assert (two.shared_loads, two.wide_shared_loads, two.barriers, two.shuffles) == (1, 1, 1, 1)


def test_a_chip_needs_the_longer_time() -> None:
    chip = CHIPS["sm_80"]
    assert chip.seconds(19.5e9, 1, "f32") == (pytest.approx(1e-3), "compute")
    assert chip.seconds(19.5e9, 2039e7, "f32") == (pytest.approx(1e-2), "memory")
    assert chip.seconds(312e9, 1, "bf16") == (pytest.approx(1e-3), "compute")
    assert {arch.rstrip("a") for arch in CHIPS} <= set(architectures())


def test_workloads_for_gpus_are_like_those_for_processors() -> None:
    assert set(cuda_static.ON_THE_PAGE) <= WORKLOADS.keys()
    for workload in WORKLOADS.values():
        assert bool(workload.flops) != bool(workload.bytes)
        assert workload.group in GROUPS
        assert not isinstance(workload, Operation) or workload.kind in KINDS
        assert tolerance(workload.name) == (1e-3 if kind_of(workload) == "f32" else 1e-2)
    assert [kind_of(WORKLOADS[f"matmul 512 {kind}"]) for kind in ("f32", "tf32", "bf16")] == [*("f32", "tf32", "bf16")]


def fact(blocks: int, launches: int, bytes: int) -> cuda_static.Fact:
    resources = Resources("k", 32, 0, 0, 0, 0, 0)
    occupied = occupancy("sm_80", 256, 32, 0, 1)
    code = count_ptx(PTX)[0]
    return cuda_static.Fact("sm_80", "k", blocks, 256, 0, launches, resources, occupied, code, Work(0, bytes), 0, "f32")


def test_a_launch_with_few_blocks_takes_longer() -> None:
    least, memory = 2e-6, 2039e9  # seconds a launch, bytes a second
    assert fact(1080, 1, int(1e-3 * memory)).idle == pytest.approx(1e-3)
    assert fact(27, 1, int(1e-3 * memory)).idle == pytest.approx(4e-3)  # on a quarter of the multiprocessors
    assert fact(27, 10, 0).idle == pytest.approx(10 * least)
    page = cuda_static.document({"two": [fact(27, 1, 2039000), replace(fact(108, 1, 0), symbol="l")]}, "2020-01-01")
    assert "1 us on A100 80 GB SXM (6 us in 2 launches)" in page
    page = cuda_static.document({cuda_static.SUMS[0]: [fact(27, 1, 2039000)]}, "2020-01-01")
    assert page.endswith(f"| {cuda_static.SUMS[0]} | 1 | 1 | 4 |\n")


def test_the_page_has_what_the_kernels_are() -> None:
    try:
        compiler_name()
    except CompileError:
        pytest.skip("there is no compiler of CUDA C on this machine")
    name = "softmax 4096 x 1024"
    (found,) = cuda_static.facts(WORKLOADS[name], ("sm_80",))
    assert (found.arch, found.launches, found.between) == ("sm_80", 1, 0)
    assert found.work is not None
    assert found.work.bytes == WORKLOADS[name].bytes
    assert found.work.flops > 3 * 4096 * 1024
    assert found.floor == (found.work.bytes / 2039e9, "memory")
    assert found.resources.spill_stores == found.resources.spill_loads == 0
    assert found.blocks * found.threads >= 4096 * 32
    assert found.code.load_widths
    page = cuda_static.document({name: [found]}, "2020-01-01")
    assert f"## {name}\n\n| function | for |" in page
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {found.symbol} |")]
    assert "| 33.6 | 0.0" in row
    # As many threads as a multiprocessor has, with two vectors each.
    assert found.together == 2048
    assert ("| 65.5 | 33.6 |" if find_disassembler() else "| ? | 33.6 |") in row
    assert row.endswith("| 16.5 (memory) |")
    assert "{" not in page


def test_nothing_is_computed_for_the_page() -> None:
    workload = cuda_static.unfilled(WORKLOADS["matmul 512 bf16"])
    (feed,) = sigma.written(workload).feeds
    assert {array.dtype.name for array in feed.values()} == {"bfloat16"}
    assert not any(array.astype("float32").any() for array in feed.values())

"""Products of warpgroups: what they mean, and that the text for sm_90a does that and is compiled without waits in between."""

from __future__ import annotations

from dataclasses import replace

import cuda_shim
import numpy as np
import pytest
from cuda_warpgroups import (
    LARGE,
    NUMPY,
    OTHERS,
    RUNS,
    SMALL,
    Array,
    Case,
    generated,
    held,
    kernel_of,
    laid_out,
    shared_bytes,
    text_of,
    wrong,
)

from sigmagraph.codegen.cuda.callees import called
from sigmagraph.codegen.cuda.chip import Chip
from sigmagraph.codegen.cuda.compile import compile_text, compiler_name
from sigmagraph.codegen.cuda.cubin import read_resources
from sigmagraph.codegen.cuda.nvcc import find_nvcc, run_nvcc
from sigmagraph.codegen.cuda.warpgroup import THREADS, GroupProduct, GroupWait, OlderWait, of_group
from sigmagraph.dims import Dim
from sigmagraph.dtypes import BF16, F16, F32, I32
from sigmagraph.errors import CompileError, DeviceError, VerifyError
from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.kernel.kernel import Call, For, If
from sigmagraph.ir.kernel.verify import verify_kernel


def name_of(product: GroupProduct) -> str:
    return product.name


@pytest.mark.parametrize(
    ("product", "groups"), [*((p, 1) for p in SMALL), (SMALL[1], 2), (GroupProduct(F32, 256, 1), 1)]
)
def test_what_a_product_means(product: GroupProduct, groups: int) -> None:
    kernel, case = kernel_of(product, groups), Case(product, groups)
    verify_kernel(kernel)
    interpret_kernel(kernel, case.arrays, {}, shuffle=3)
    np.testing.assert_array_equal(case.arrays[2], case.wanted)


@pytest.mark.parametrize("product", [*SMALL, *LARGE, *OTHERS], ids=name_of)
def test_names_say_which_product_it_is(product: GroupProduct) -> None:
    assert of_group(product.name) == product
    (kernel,) = called((Call(product.name, (), ()),))
    assert kernel == product.kernel()
    verify_kernel(kernel)


@pytest.mark.parametrize("product", SMALL, ids=name_of)
def test_places_are_those_of_the_layout(product: GroupProduct) -> None:
    """What writes factors goes by `place`."""
    depth, near, far = product.depth, 1000, 100
    for by_rows in {product.first_by_rows, product.second_by_rows}:
        numbers = np.arange(16 * depth, dtype=np.int32).reshape(16, depth).astype(NUMPY[product.dtype])
        lying = laid_out(numbers, by_rows, near, far, 10000)
        for row, deep in ((0, 0), (3, 5), (9, 0), (15, depth - 1)):
            place = product.place(row, deep, near, far, by_rows)
            assert lying[place] == numbers[row, deep]


def test_there_are_no_other_products() -> None:
    for dtype, first in ((I32, False), (F32, True)):
        with pytest.raises(CompileError, match="do not multiply this"):
            GroupProduct(dtype, 64, 1, first)
    for columns, slices in ((12, 1), (512, 1), (64, 0)):
        with pytest.raises(CompileError, match="no product of this size"):
            GroupProduct(BF16, columns, slices)
    for wait in (GroupWait(64), GroupWait(64, behind=True), OlderWait(BF16), OlderWait(F32)):
        assert of_group(wait.name) == wait
        assert called((Call(wait.name, (), ()),)) == (wait.kernel(),)
        verify_kernel(wait.kernel())
    for name in ("wgmma", "mma_bf16", "wgmma_f64_8x8_ss", "wgmma_wait", "publish"):
        assert of_group(name) is None


def test_reads_are_bounded_by_the_distances() -> None:
    """The last element that is read is the last one that a factor has to have."""
    product = GroupProduct(F16, 64, 2, False, True)
    kernel = product.kernel()
    for number in range(2):
        params = list(kernel.params)
        (size,) = params[number].shape
        params[number] = replace(params[number], shape=(size - 1,))
        with pytest.raises(VerifyError, match="could not be shown to be in bounds"):
            verify_kernel(replace(kernel, params=tuple(params)))


def test_all_threads_come() -> None:
    kernel = kernel_of(SMALL[0])
    (block,) = kernel.body
    assert isinstance(block, For)
    *allocs, threads = block.body
    assert isinstance(threads, For)
    some = If((Dim("%thread") - 3,), threads.body[2:3])
    body = (*threads.body[:2], some, *threads.body[3:])
    broken = replace(kernel, body=(replace(block, body=(*allocs, replace(threads, body=body))),))
    with pytest.raises(VerifyError, match="threads wait for each other under a condition"):
        verify_kernel(broken)


# ---- its text


def run(image: cuda_shim.HostImage, name: str, product: GroupProduct, groups: int, steps: int, seed: int) -> Array:
    return wrong(cuda_shim.HostDriver(seed), image, name, product, groups, steps)


@pytest.mark.skipif(not cuda_shim.available(), reason="there is no g++")
def test_texts_do_what_they_mean() -> None:
    """Shared memory holds NaN but for the factors, of which some are stale in later steps."""
    text, names = text_of(RUNS)
    image = cuda_shim.HostDriver().load(cuda_shim.build(text))
    for name, (product, groups, steps) in zip(names, RUNS, strict=True):
        for seed in range(3):
            assert not run(image, name, product, groups, steps, seed).any(), (product.name, groups, steps, seed)


@pytest.mark.skipif(not cuda_shim.available(), reason="there is no g++")
def test_the_last_bits_of_tf32_are_not_looked_at() -> None:
    product = GroupProduct(F32, 16, 1)
    text, (name,) = text_of([(product, 1, 1)])
    case, image = Case(product), cuda_shim.HostDriver().load(cuda_shim.build(text))
    arrays = [(array.view(np.uint32) | 0x1FFF).view(np.float32) for array in case.arrays[:2]]
    launch = 1, THREADS, shared_bytes(product, 1)
    got = cuda_shim.call(image, name, *launch, [*arrays, case.arrays[2]])[2]
    np.testing.assert_array_equal(got, case.wanted)


PUBLISHED, COME = "sg_publish();\n    __syncthreads();", "sg_wgmma_bf16<"
PLANTED = GroupProduct(BF16, 64, 2, False, True)  # of which one factor lies this way and one that way

# A defect: of how many groups, what stands there and what is put there; and what is told, or nothing where numbers are wrong.
DEFECTS: dict[str, tuple[int, str, str, str]] = {
    "distances": (1, "(near >> 4 & 0x3fffull) << 16 | (far >>", "(far >> 4 & 0x3fffull) << 16 | (near >>", "wgmma reads at"),
    "swapped": (1, "2 * i * a_near, a_near, a_far)", "2 * i * a_near, a_far, a_near)", ""),
    "slices": (1, "sg_descriptor(b + 2 * i *", "sg_descriptor(b + i *", ""),
    "ways": (1, "_slice<columns, rows, beside>(", "_slice<columns, beside, rows>(", ""),
    "place": (1, "(place >> 4 &", "((place >> 4) + 0x3000 &", "wgmma reads at"),
    "swizzled": (1, "<< 16 | (far", "<< 16 | 1ull << 62 | (far", "wgmma is told of swizzled factors"),
    "publish": (1, "sg_publish();\n", ";\n", "wgmma does not see what was written"),
    "late": (1, PUBLISHED, "__syncthreads();\n    sg_publish();", "wgmma does not see what was written"),
    "stale": (1, PUBLISHED, "if (step == 0) sg_publish();\n    __syncthreads();", "wgmma does not see what was"),
    "one": (1, PUBLISHED, "if (thread != 77) sg_publish();\n    __syncthreads();", "wgmma does not see what was"),
    "unwaited": (1, "sg_wgmma_wait<64>(sums);", ";", ""),
    "early": (1, "sg_wgmma_wait<64>(sums);", "sums[3] += 1.0f; sg_wgmma_wait<64>(sums); sums[3] -= 1.0f;", ""),
    "barrier": (1, PUBLISHED, "sg_publish();", "wgmma does not see what was written"),
    "missing": (1, COME, f"if (thread != 5) {COME}", "1 for other lanes of their warp"),
    "half": (2, COME, f"if (thread % 128 < 64) {COME}", "of 256 threads 128 wait at __syncthreads"),
    "ended": (1, COME, f"if (thread == 5) return;\n{COME}", "127 for others of their warpgroup, 1 have ended"),
    "places": (1, "(left, right", "(left + thread / 64 * 8, right", "threads of a warpgroup bring different products"),
    "number": (1, "sums, thread + 1", "sums, thread + 2", "the thread takes itself for number"),
    "odd": (1, "(left, right", "(left + 1, right", "is no multiple of 16"),
}  # fmt: skip


@pytest.mark.skipif(not cuda_shim.available(), reason="there is no g++")
@pytest.mark.parametrize("defect", DEFECTS)
def test_defects_are_found(defect: str) -> None:
    groups, what, instead, told = DEFECTS[defect]
    text, (name,) = text_of([(PLANTED, groups, 2)])
    assert text.count(what) == 1
    image = cuda_shim.HostDriver().load(cuda_shim.build(text.replace(what, instead)))
    for seed in range(2):
        if told:
            with pytest.raises(DeviceError) as caught:
                run(image, name, PLANTED, groups, 2, seed)
            assert told in str(caught.value)
        else:
            assert run(image, name, PLANTED, groups, 2, seed).any()


@pytest.mark.skipif(not cuda_shim.available(), reason="there is no g++")
def test_too_small_blocks_are_told() -> None:
    text, (name,) = text_of([(PLANTED, 1, 1)])
    image = cuda_shim.HostDriver().load(cuda_shim.build(text))
    with pytest.raises(DeviceError, match="of a warpgroup of 128 threads there are 64"):
        cuda_shim.call(image, name, 1, 64, shared_bytes(PLANTED, 1), Case(PLANTED).arrays)


@pytest.mark.skipif(not cuda_shim.available(), reason="there is no g++")
@pytest.mark.parametrize("groups", [1, 2])
def test_what_others_overwrite_is_found(groups: int) -> None:
    """Without the barrier behind a product, the next step's factor is there before other warps have multiplied."""
    text, (name,) = text_of([(PLANTED, groups, 3)])
    start = text.index(COME)
    text = text[:start] + text[start:].replace("__syncthreads();", ";", 1)
    image = cuda_shim.HostDriver().load(cuda_shim.build(text))

    def is_wrong(seed: int) -> bool:
        try:
            return bool(run(image, name, PLANTED, groups, 3, seed).any())
        except DeviceError as error:
            return "wgmma does not see" in str(error)

    assert any(map(is_wrong, range(6)))


COPYING = """
extern "C" __global__ void __launch_bounds__(128)
    copying(const unsigned short* a, const unsigned short* b, float* c) {
  SG_SHARED(sg_shared);
  unsigned short *left = (unsigned short*)sg_shared, *right = left + 1024;
  const sg_index thread = threadIdx.x;
  shim::copy_async(left + 8 * thread, a + 8 * thread, 16, true);
  if (thread < 16) shim::copy_async(right + 8 * thread, b + 8 * thread, 16, true);
  shim::commit_async();
  shim::wait_async(0);
  sg_publish();
  __syncthreads();
  float sums[4] = {0, 0, 0, 0};
  sg_wgmma_f16<8, 1, false, false>(left, right, sums, thread + 1, 64, 128, 64, 128);
  sg_wgmma_wait<8>(sums);
  for (int i = 0; i < 4; ++i) c[4 * thread + i] = sums[i];
}
"""


@pytest.mark.skipif(not cuda_shim.available(), reason="there is no g++")
def test_asynchronous_copies_are_published_when_they_have_arrived() -> None:
    rng = np.random.default_rng(4)
    a, b = (rng.integers(-8, 9, (rows, 16)).astype(np.float16) for rows in (64, 8))
    wanted = held(a.astype(np.float32) @ b.astype(np.float32).T).reshape(-1)
    arrays = [*(laid_out(m, False, 64, 128, m.size).view(np.uint16) for m in (a, b)), (wanted.shape, "f4")]
    prelude = generated([]).text()
    image = cuda_shim.HostDriver().load(cuda_shim.build(prelude + COPYING))
    for seed in range(3):
        np.testing.assert_array_equal(cuda_shim.call(image, "copying", 1, 128, 2304, arrays, (), seed)[2], wanted)
    early = COPYING.replace("  shim::wait_async(0);\n  sg_publish();", "  sg_publish();\n  shim::wait_async(0);")
    image = cuda_shim.HostDriver().load(cuda_shim.build(prelude + early))
    with pytest.raises(DeviceError, match="wgmma does not see what was written"):
        cuda_shim.call(image, "copying", 1, 128, 2304, arrays)


# ---- its code

OPTIONS = ("-arch", "sm_90a", "-O3", "-std=c++17", "--fmad=false", "-Xptxas", "-v")
COMPILED = [*((p, 1, 4) for p in (*SMALL, *LARGE, *OTHERS)), *((GroupProduct(d, 256, 4), 2, 4) for d in (BF16, F32))]
SERIALIZED = "wgmma.mma_async instructions are serialized"


@pytest.mark.skipif(not find_nvcc()[0], reason="there is no nvcc")
def test_sums_stay_in_registers_and_products_follow_each_other() -> None:
    text, names = text_of(COMPILED)
    made = run_nvcc(text, "cubin", OPTIONS)
    assert made.made is not None, made.said
    assert SERIALIZED not in made.said
    assert "warning" not in made.said
    found = {r.symbol: r for r in read_resources(made.made, made.said)}
    for name, (product, *_) in zip(names, COMPILED, strict=True):
        assert found[name].spill_stores == found[name].stack == 0
        assert product.sums < found[name].registers <= max(48, product.sums + 40)


@pytest.mark.skipif(not find_nvcc()[0], reason="there is no nvcc")
def test_ptxas_says_when_products_wait_for_each_other() -> None:
    """So that the test above would find it."""
    text, _ = text_of([(GroupProduct(F16, 64, 2), 1, 2)])
    what = "sg_wgmma_begin<columns>(sums);"
    broken = text.replace(what, f"sums[0] += 1.0f; {what}")
    assert broken != text
    assert SERIALIZED in run_nvcc(broken, "cubin", OPTIONS).said


def compilers() -> list[str]:
    found = []
    for name in ("nvrtc", "nvcc"):
        try:
            found.append(compiler_name(name) and name)
        except CompileError:
            continue
    return found


@pytest.mark.parametrize("compiler", compilers())
def test_other_architectures_refuse_it(compiler: str) -> None:
    text, _ = text_of([(SMALL[0], 1, 1)])
    assert compile_text(text, "sm_90a", compiler).cubin
    for arch in ("sm_80", "sm_90", "sm_100"):
        with pytest.raises(CompileError, match="warpgroups multiply on sm_90a only"):
            compile_text(text, arch, compiler)


@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_100", "sm_100a", "sm_120"])
def test_no_text_is_written_for_them(arch: str) -> None:
    with pytest.raises(CompileError, match="no products of warpgroups") as caught:
        text_of([(SMALL[0], 1, 1)], arch)
    assert (caught.value.expected, caught.value.got) == ("cuda:sm_90a", arch)


def test_chips_say_whether_warpgroups_multiply() -> None:
    archs = ("sm_75", "sm_80", "sm_90", "sm_90a", "sm_100", "sm_100a")
    assert [Chip.of(arch, narrow=True).groups for arch in archs] == [False, False, False, True, False, False]
    assert Chip.of("sm_90a", narrow=True).arch == 90

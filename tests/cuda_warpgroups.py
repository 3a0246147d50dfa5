"""Programs that multiply by warpgroups, what they are run on, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np

from sigmagraph.codegen.cuda.callees import called
from sigmagraph.codegen.cuda.compile import Compiled
from sigmagraph.codegen.cuda.legalize import legalize
from sigmagraph.codegen.cuda.program import Generation
from sigmagraph.codegen.cuda.warpgroup import PUBLISH, ROWS, THREADS, WIDTHS, GroupProduct, GroupWait
from sigmagraph.dims import Dim
from sigmagraph.dtypes import BF16, F16, F32
from sigmagraph.ir.kernel.expr import Load
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    Call,
    For,
    If,
    Kernel,
    KernelStage,
    LoopKind,
    Role,
    Space,
    Store,
    View,
)
from sigmagraph.ir.kernel.verify import verify_kernel
from sigmagraph.ir.plan import Launch, Place, Plan

Array = np.ndarray[Any, Any]
NUMPY = {BF16: ml_dtypes.bfloat16, F16: np.float16, F32: np.float32}
PAD = 16  # bytes between core matrices that nothing is in
WAYS = [(False, False), (False, True), (True, False), (True, True)]
KINDS = [(BF16, *ways) for ways in WAYS] + [(F16, *ways) for ways in WAYS] + [(F32, False, False)]
SMALL = [GroupProduct(dtype, 8, 2, first, second) for dtype, first, second in KINDS]
LARGE = [GroupProduct(dtype, n, 2, first, second) for dtype, first, second in KINDS for n in (64, 128, 256)]
OTHERS = [GroupProduct(BF16, n, 1) for n in WIDTHS if n not in {8, 64, 128, 256}]


# Products in so many groups and steps.
RUNS = [*((p, 1, 1) for p in (*SMALL, *LARGE, *OTHERS)), *((p, 2, 3) for p in SMALL), (LARGE[0], 2, 2)]


@dataclass(frozen=True)
class Distances:
    """From one core matrix to the next of a factor, in elements: those along summed indices lie closer, or those along rows."""

    near: int
    far: int


def distances(product: GroupProduct, rows: int, near_first: bool) -> Distances:
    """Different ones for both directions, with nothing in some places between."""
    item = product.dtype.itemsize
    step, matrices = (128 + PAD) // item, product.depth // product.line
    return Distances(step, matrices * step + PAD // item) if near_first else Distances(rows // 8 * step, step)


def sizes(product: GroupProduct) -> tuple[int, int]:
    """Elements of both factors as they lie in shared memory."""
    first, second = distances(product, ROWS, True), distances(product, product.columns, False)
    spans = product.span(ROWS, first.near, first.far), product.span(product.columns, second.near, second.far)
    assert isinstance(spans[0], int)
    assert isinstance(spans[1], int)
    return spans[0], spans[1]


def kernel_of(product: GroupProduct, groups: int = 1, steps: int = 1) -> Kernel:
    """A block of so many warpgroups, each of which has rows of its own, goes through some steps of the summed indices."""
    threads, thread, step = THREADS * groups, Dim("%thread"), Dim("%step")
    first, second = distances(product, ROWS, True), distances(product, product.columns, False)
    one, other = sizes(product)
    left, right = (
        Buffer(name, product.dtype, (size,), Role.TEMP, Space.SHARED)
        for name, size in (("%left", groups * one), ("%right", other))
    )
    sums = Buffer("%sums", F32, (product.sums,), Role.TEMP, Space.LOCAL)
    params = (
        Buffer("%a", product.dtype, (steps * groups * one,), Role.IN),
        Buffer("%b", product.dtype, (steps * other,), Role.IN),
        Buffer("%c", F32, (threads * product.sums,), Role.INOUT),
    )

    def copied(target: Buffer, source: Buffer, size: int) -> For:
        place = threads * Dim("%i") + thread
        value = Load(source.name, (step * size + place,), product.dtype)
        body = (If((size - 1 - place,), (Store(target.name, (place,), value),)),)
        return For("%i", -(-size // threads), LoopKind.SERIAL, body)

    own = product.sums * thread + Dim("%i")
    multiply = Call(
        product.name,
        (thread % THREADS + 1, first.near, first.far, second.near, second.far),
        (View("%left", (one * (thread // THREADS),)), View("%right", (0,)), View("%sums", (0,))),
    )
    body: Block = (
        copied(left, params[0], groups * one),
        copied(right, params[1], other),
        Call(PUBLISH.name, (), ()),
        Barrier(),
        multiply,
        GroupWait(product.columns).call(sums),
        Barrier(),
    )
    every = product.sums
    fetch = Store("%sums", (Dim("%i"),), Load("%c", (own,), F32))
    thread_body: Block = (
        Alloc(sums),
        For("%i", every, LoopKind.UNROLLED, (fetch,)),
        For("%step", steps, LoopKind.SERIAL, body),
        For("%i", every, LoopKind.UNROLLED, (Store("%c", (own,), Load("%sums", (Dim("%i"),), F32)),)),
    )
    nest = (Alloc(left), Alloc(right), For("%thread", threads, LoopKind.THREAD_X, thread_body))
    block = For("%block", 1, LoopKind.BLOCK_X, nest)
    return Kernel("multiply", (), params, (block,), KernelStage.SCHEDULED, called((block,)))


def laid_out(matrix: Array, by_rows: bool, near: int, far: int, size: int) -> Array:
    """A factor (rows, summed indices) in core matrices of 8 rows of 16 bytes, and NaN where nothing lies."""
    rows, depth = matrix.shape
    per = 16 // matrix.itemsize
    row, deep = np.mgrid[:rows, :depth]
    inner = deep % 8 * 8 + row % 8 if by_rows else row % 8 * per + deep % per
    out = np.full(size, np.nan, matrix.dtype)
    out[row // 8 * far + (deep // 8 if by_rows else deep // per) * near + inner] = matrix
    return out


def held(sums: Array) -> Array:
    """The sums of a tile of 64 rows by threads: PTX ISA, the figure of D of wgmma.m64nN."""
    thread = np.arange(THREADS)[:, None]
    part = np.arange(sums.shape[1] // 2)[None, :]
    row = 16 * (thread // 32) + thread % 32 // 4 + 8 * (part // 2 % 2)
    return sums[row, 8 * (part // 4) + 2 * (thread % 4) + part % 2]


class Case:
    """Random factors and sums, and what comes out; small integers, whose sums are exact in every order."""

    def __init__(self, product: GroupProduct, groups: int = 1, steps: int = 1) -> None:
        rng, depth = np.random.default_rng(product.columns + groups), steps * product.depth
        a = rng.integers(-8, 9, (groups * ROWS, depth)).astype(NUMPY[product.dtype])
        b = rng.integers(-8, 9, (product.columns, depth)).astype(NUMPY[product.dtype])
        c = rng.integers(-8, 9, (groups * ROWS, product.columns)).astype(np.float32)
        total = c + a.astype(np.float32) @ b.astype(np.float32).T
        first, second = distances(product, ROWS, True), distances(product, product.columns, False)
        one, other = sizes(product)
        cut = [slice(n * product.depth, (n + 1) * product.depth) for n in range(steps)]
        left = [
            laid_out(a[ROWS * n : ROWS * (n + 1), k], product.first_by_rows, first.near, first.far, one)
            for k in cut
            for n in range(groups)
        ]
        right = [laid_out(b[:, k], product.second_by_rows, second.near, second.far, other) for k in cut]
        self.arrays = [np.concatenate(left), np.concatenate(right), self._held(c)]
        self.wanted = self._held(total)

    def _held(self, sums: Array) -> Array:
        return np.concatenate([held(part) for part in np.split(sums, len(sums) // ROWS)]).reshape(-1)


def generated(kernels: Sequence[Kernel], arch: str = "sm_90a") -> Generation:
    generation = Generation(arch, lambda _: Compiled(b"", "", (), "", 0.0))
    launches = [Launch(k.name, tuple(Place("slot", n) for n in range(len(k.params))), k.dims) for k in kernels]
    plan = Plan("run_main", (), (), (), (), (), (), 0, (), (), tuple(launches))
    generation.enter(plan, kernels, [])
    return generation


def text_of(products: Sequence[tuple[GroupProduct, int, int]], arch: str = "sm_90a") -> tuple[str, list[str]]:
    """A text of a kernel for each of these, of so many warpgroups and steps; and what they are called."""
    kernels = []
    for number, (product, groups, steps) in enumerate(products):
        scheduled = replace(kernel_of(product, groups, steps), name=f"multiply_{number}")
        verify_kernel(scheduled)
        kernels.append(legalize(scheduled))
        verify_kernel(kernels[-1])
    return generated(kernels, arch).text(), [kernel.name for kernel in kernels]


def shared_bytes(product: GroupProduct, groups: int) -> int:
    one, other = sizes(product)
    return sum(-(-size * product.dtype.itemsize // 128) * 128 for size in (groups * one, other))


def wrong(driver: Any, image: Any, name: str, product: GroupProduct, groups: int, steps: int) -> Array:
    """How far the sums are off that a function of an image gives on a device."""
    case = Case(product, groups, steps)
    memories = []
    for number, array in enumerate(case.arrays):
        memories.append(driver.allocate(array.nbytes, f"buffer {number}"))
        driver.upload(memories[-1].address, array)
    function = image.function(name, "PPP", THREADS * groups, shared_bytes(product, groups))
    driver.launch(function, 1, [memory.address for memory in memories])
    got = np.empty_like(case.wanted)
    driver.download([(got, memories[-1].address)])
    return np.asarray(got - case.wanted)

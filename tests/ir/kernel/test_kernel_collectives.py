"""Functions of a warp: what they compute from all lanes' values, and where they may be called."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from sigmagraph.codegen.cuda.legalize import legalize
from sigmagraph.codegen.cuda.tensor_cores import INSTRUCTIONS, ROWS, SUMS, TF32, Instruction
from sigmagraph.dims import Dim
from sigmagraph.dtypes import F32
from sigmagraph.errors import CompileError, VerifyError
from sigmagraph.ir.kernel.collective import is_collective
from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.kernel.kernel import Buffer, Call, For, Kernel, KernelStage, LoopKind, Role, View
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.verify import verify_kernel

LANES = np.arange(32)
G, T = LANES // 4, LANES % 4  # "groupID" and "threadID_in_group" of the PTX ISA
NUMPY = {"mma_tf32": np.float32, "mma_bf16": ml_dtypes.bfloat16, "mma_f16": np.float16}

# Where lanes have elements of the matrices, by register and lane: PTX ISA, "Matrix Fragments for mma.m16n8k8" (.tf32) and
# "... mma.m16n8k16 with floating point type" (.f16, .bf16).
WORDS = {"A": [(G, T), (G + 8, T), (G, T + 4), (G + 8, T + 4)], "B": [(T, G), (T + 4, G)]}
HALVES = {
    "A": [
        *((G, 2 * T), (G, 2 * T + 1), (G + 8, 2 * T), (G + 8, 2 * T + 1)),
        *((G, 2 * T + 8), (G, 2 * T + 9), (G + 8, 2 * T + 8), (G + 8, 2 * T + 9)),
    ],
    "B": [(2 * T, G), (2 * T + 1, G), (2 * T + 8, G), (2 * T + 9, G)],
}
SUMS_OF = [(G, 2 * T), (G, 2 * T + 1), (G + 8, 2 * T), (G + 8, 2 * T + 1)]


def held(matrix, places):
    """What each lane has in its registers."""
    return np.stack([matrix[place] for place in places], axis=1)


def caller(instruction: Instruction, warps: int) -> Kernel:
    """Each warp multiplies matrices of its own."""
    callee, thread = instruction.kernel(), Dim("%t")
    params = tuple(
        Buffer(name, dtype, (warps * 32, size), role)
        for name, dtype, size, role in (
            ("%a", instruction.dtype, instruction.first, Role.IN),
            ("%b", instruction.dtype, instruction.second, Role.IN),
            ("%c", F32, SUMS, Role.INOUT),
        )
    )
    views = tuple(View(p.name, (thread, 0)) for p in params)
    body = (For("%t", 32 * warps, LoopKind.THREAD_X, (Call(callee.name, (thread % 32 + 1,), views),)),)
    return Kernel("k", (), params, body, KernelStage.SCHEDULED, (callee,))


@pytest.mark.parametrize("instruction", [TF32, *INSTRUCTIONS], ids=lambda i: i.name)
def test_the_lanes_of_a_warp_multiply_their_matrices(instruction: Instruction) -> None:
    rng, places = np.random.default_rng(3), WORDS if instruction is TF32 else HALVES
    dtype = NUMPY[instruction.name]
    a = rng.integers(-8, 9, (2, 16, instruction.depth)).astype(dtype)
    b = rng.integers(-8, 9, (2, instruction.depth, 8)).astype(dtype)
    c = rng.integers(-8, 9, (2, 16, 8)).astype(np.float32)
    arrays = [
        np.ascontiguousarray(np.concatenate([held(m, where) for m in matrices]))
        for matrices, where in ((a, places["A"]), (b, places["B"]), (c, SUMS_OF))
    ]
    kernel = caller(instruction, 2)
    verify_kernel(kernel)
    assert is_collective(kernel.body, kernel)
    interpret_kernel(kernel, arrays, {}, shuffle=5)
    wanted = c + a.astype(np.float32) @ b.astype(np.float32)  # small integers: exact in every order
    np.testing.assert_array_equal(arrays[2], np.concatenate([held(m, SUMS_OF) for m in wanted]))


@pytest.mark.parametrize("instruction", [TF32, *INSTRUCTIONS], ids=lambda i: i.name)
def test_an_instruction_says_where_elements_are(instruction: Instruction) -> None:
    """What contractions read by: rows `lane // 4` and eight below it, and `deep_of`, are the places of the PTX ISA."""
    places, pair = WORDS if instruction is TF32 else HALVES, instruction.pair
    for register in range(2):
        for element in range(pair):
            deep = [instruction.deep_of(int(lane), register, element) for lane in LANES]
            assert deep == places["B"][pair * register + element][0].tolist()
            for half in range(2):
                where = places["A"][pair * (2 * register + half) + element]
                assert deep == where[1].tolist()
                assert [int(lane) // 4 + ROWS // 2 * half for lane in LANES] == where[0].tolist()


# ---- where they may be called

FIRST = "let %v: f32 = %a[0] let %w: f32 = shuffle(%v, 0:i32) %a[0] = %w"
CALL = "call @c(%t+1) (%o[0])"


def text(body: str, callee: str = FIRST) -> Kernel:
    return parse_kernel(
        f"sigmagraph 1 kernel @c stage(scheduled) dims(lane) params(%a: inout f32[1]) {{ {callee} }}"
        f" kernel @k stage(scheduled) dims(n) params(%y: out f32[32*n]) {{ {body} }}"
    )


def block(body: str, threads: int = 32) -> str:
    first = "alloc %o: f32[4] local %o[0] = cast(index(%t), f32)"
    last = "%y[32*%b+%t] when(31-%t) = %o[0]"
    return f"for %b in n block_x {{ for %t in {threads} thread_x {{ {first} {body} {last} }} }}"


@pytest.mark.parametrize("body", [CALL, f"for %i in n {{ {CALL} }}", f"for %i in 3 unrolled {{ {CALL} barrier }}"])
def test_all_lanes_call(body: str) -> None:
    kernel = text(block(body))
    verify_kernel(kernel)
    out = np.empty(64, np.float32)
    interpret_kernel(kernel, (out,), {"n": 2})
    assert out.tolist() == [0.0] * 64


@pytest.mark.parametrize("threads", [64, 96])
def test_every_warp_calls_for_itself(threads: int) -> None:
    """Lane 0 of the first warp holds 0, that of the second 32."""
    kernel = text(
        f"for %t in {threads} thread_x {{ alloc %o: f32[4] local %o[0] = cast(index(%t), f32) {CALL} %y[%t-32] when(%t-32, 63-%t) = %o[0] }}"
    )
    verify_kernel(kernel)
    out = np.empty(32, np.float32)
    interpret_kernel(kernel, (out,), {"n": 1}, shuffle=1)
    assert out.tolist() == [32.0] * 32


LOOP = "for %i in lane { let %v: f32 = %a[0] let %w: f32 = shuffle(%v, 0:i32) %a[0] = %w }"


@pytest.mark.parametrize(
    ("body", "callee", "says"),
    [
        (block(f"if (%t-3) {{ {CALL} }}"), FIRST, "threads wait for each other under a condition"),
        (block(f"if (%b-3) {{ {CALL} }}"), FIRST, "threads wait for each other under a condition"),
        (block(f"if (%b-3) {{ }} else {{ {CALL} }}"), FIRST, "threads wait for each other under a condition"),
        (block(f"for %i in %t {{ {CALL} }}"), FIRST, "in a loop that may differ between them"),
        (block("for %i in 4 vectorized { call @c(%t+1) (%o[%i]) }"), FIRST, "a vectorized loop calls nothing"),
        (block(CALL, threads=48), FIRST, "not all warps are full"),
        (block(CALL), "barrier", "there are no threads to wait for"),
        (block(CALL), f"if (lane-3) {{ {FIRST} }}", "threads wait for each other under a condition"),
        (block(CALL), LOOP, "in a loop that may differ between them"),
        (
            "for %t in 32 parallel { alloc %o: f32[4] local %o[0] = 1.0:f32 call @c(1) (%o[0]) }",
            FIRST,
            "there are no threads to wait for",
        ),
        (block(CALL), "for %i in 2 parallel { let %w: f32 = shuffle(1.0:f32, 0:i32) }", "there are no threads to wait for"),
        (block(CALL), "%a[0] = shuffle(%a[0], 0:i32)", "a warp operation stands alone as the value of a let"),
    ],
)  # fmt: skip
def test_lanes_that_might_be_missing(body: str, callee: str, says: str) -> None:
    with pytest.raises(VerifyError) as caught:
        verify_kernel(text(body, callee))
    assert says in str(caught.value)


def test_a_function_of_a_warp_is_no_launch() -> None:
    for kernel in (
        TF32.kernel(),
        parse_kernel(f"sigmagraph 1 kernel @c stage(scheduled) dims(lane) params(%a: inout f32[1]) {{ {FIRST} }}"),
    ):
        verify_kernel(kernel)
        with pytest.raises(CompileError, match="a function that all lanes of a warp call has no launch"):
            legalize(kernel)
    assert legalize(text(block(CALL))).stage is KernelStage.LEGAL

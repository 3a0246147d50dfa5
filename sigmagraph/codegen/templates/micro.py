"""The register-tiled micro-kernel: a tile of sums of products of two strided operands."""

from __future__ import annotations

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.dims import Dim, Size, minimum, total
from sigmagraph.dtypes import DType
from sigmagraph.ir.kernel.expr import Const, Expr, Load, Var, apply
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Block,
    Buffer,
    For,
    If,
    Kernel,
    KernelStage,
    Let,
    LoopKind,
    Role,
    Space,
    Stmt,
    Store,
)

DEPTHS = 3  # nested loops over summed axes
DIMS = ("k", "j", "i", "a_k", "a_j", "a_i", "b_k", "b_j", "b_i", "pitch", "valid", "turn")


def micro_kernel(machine: Machine, dtype: DType, rows: int, vectors: int) -> Kernel:
    """``c[rows, columns] += sum of a[row, i, j, k] * b[i, j, k, column]`` with all sums in registers.

    Its dims are the extents ``k``, ``j`` and ``i`` of the loops over summed axes, innermost first, the strides of both
    operands along them, the distance ``pitch`` between rows, how many rows are ``valid`` (those behind repeat the last
    one, so that nothing else is read), and ``turn``: in the first one the sums start at 0.

    Args:
        machine: decides the width of a vector and how products are added.
        dtype: of everything.
        rows: of the tile.
        vectors: in a row of it.
    """
    lanes = machine.lanes(dtype)
    columns = vectors * lanes
    i, j, k = Dim("%i"), Dim("%j"), Dim("%k")
    row, column = Dim("%r"), lanes * Dim("%u") + Dim("%v")
    sums = Load("%acc", (row, column), dtype)
    place = {side: total(x * Dim(f"{side}_{n}") for x, n in ((i, "i"), (j, "j"), (k, "k"))) for side in "ab"}

    def across(store: Store) -> Stmt:
        """The store in every vector of a row."""
        return For("%u", vectors, LoopKind.UNROLLED, (For("%v", lanes, LoopKind.VECTORIZED, (store,)),))

    def products(count: int) -> Block:
        """The sums of so many rows, over everything."""
        # Row by row, each broadcast just before its use: any other order makes LLVM's scheduler spill accumulators.
        at = minimum(row, Dim("valid") - 1) * Dim("pitch") if count > 1 else 0
        left = Load("%a", (at + place["a"],), dtype)
        product = _multiply_add(machine, Var("%x", dtype), Load("%row", (column,), dtype), sums)
        step: Block = (
            across(Store("%row", (column,), Load("%b", (place["b"] + column,), dtype))),
            For("%r", count, LoopKind.UNROLLED, (Let("%x", left), across(Store("%acc", (row, column), product)))),
        )
        for name in ("k", "j", "i"):
            step = (For(f"%{name}", Dim(name), LoopKind.SERIAL, step),)
        return step

    zero, old = Const(0.0 if dtype.is_float else 0, dtype), Load("%c", (row, column), dtype)
    start, go_on = (
        (For("%r", rows, LoopKind.UNROLLED, (across(Store("%acc", (row, column), value)),)),) for value in (zero, old)
    )
    body: Block = (
        Alloc(Buffer("%acc", dtype, (rows, columns), Role.TEMP, Space.LOCAL)),
        Alloc(Buffer("%row", dtype, (columns,), Role.TEMP, Space.LOCAL)),
        If((1 - Dim("turn"),), start, go_on),
        *((If((1 - Dim("valid"),), products(1), products(rows)),) if rows > 1 else products(1)),
        For("%r", rows, LoopKind.UNROLLED, (across(Store("%c", (row, column), sums)),)),
    )
    params = (
        Buffer("%a", dtype, (_reach("a") + (Dim("valid") - 1) * Dim("pitch") + 1,), Role.IN),
        Buffer("%b", dtype, (_reach("b") + columns,), Role.IN),
        Buffer("%c", dtype, (rows, columns), Role.INOUT),
    )
    return Kernel(f"micro_{rows}x{columns}_{dtype}", DIMS, params, body, KernelStage.SCHEDULED)


def _reach(side: str) -> Size:
    """Index of the last product's element."""
    return total((Dim(n) - 1) * Dim(f"{side}_{n}") for n in "ijk")


def _multiply_add(machine: Machine, a: Expr, b: Expr, c: Expr) -> Expr:
    if machine.fuses(a.dtype):
        return apply("fma", a, b, c)
    return apply("add", c, apply("mul", a, b))

"""The register-tiled micro-kernel that all contractions of a type share."""

from __future__ import annotations

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.dims import Dim, Size
from sigmagraph.dtypes import DType
from sigmagraph.ir.kernel.expr import Const, Expr, Load, Var, apply
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Block,
    Buffer,
    For,
    Kernel,
    KernelStage,
    Let,
    LoopKind,
    Role,
    Space,
    Stmt,
    Store,
)

UNROLL = 4


def micro_kernel(machine: Machine, dtype: DType, pitch: int = 0, *, adds: bool = False) -> Kernel:
    """``c[rows, columns] = sum over k of a[k, rows] * b[k, columns]`` with all sums in registers.

    Args:
        machine: decides the tile.
        dtype: of everything.
        pitch: if not 0, the left panel lies row by row, ``a[rows, k]``, and this is the distance of its rows.
        adds: whether the sums start at what ``c`` holds instead of 0.
    """
    lanes = machine.lanes(dtype)
    rows, vectors = machine.tile_rows, machine.tile_vectors
    columns = vectors * lanes
    depth = Dim("k")
    i, column = Dim("%i"), lanes * Dim("%j") + Dim("%v")
    sums = Load("%acc", (i, column), dtype)

    def across(store: Store) -> Stmt:
        """The store in every vector of a row."""
        return For("%j", vectors, LoopKind.UNROLLED, (For("%v", lanes, LoopKind.VECTORIZED, (store,)),))

    def step(k: Size) -> Block:
        # Row by row, each broadcast just before its use: any other order makes LLVM's scheduler spill accumulators.
        product = _multiply_add(machine, Var("%x", dtype), Load("%row", (column,), dtype), sums)
        left = Load("%a", (pitch * i + k,) if pitch else (k, i), dtype)
        row: Block = (Let("%x", left), across(Store("%acc", (i, column), product)))
        return (
            across(Store("%row", (column,), Load("%b", (k, column), dtype))),
            For("%i", rows, LoopKind.UNROLLED, row),
        )

    whole = depth // UNROLL
    main = For("%u", UNROLL, LoopKind.UNROLLED, step(UNROLL * Dim("%k") + Dim("%u")))
    start = Load("%c", (i, column), dtype) if adds else Const(0.0 if dtype.is_float else 0, dtype)
    body: Block = (
        Alloc(Buffer("%acc", dtype, (rows, columns), Role.TEMP, Space.LOCAL)),
        Alloc(Buffer("%row", dtype, (columns,), Role.TEMP, Space.LOCAL)),
        For("%i", rows, LoopKind.UNROLLED, (across(Store("%acc", (i, column), start)),)),
        For("%k", whole, LoopKind.SERIAL, (main,)),
        For("%r", depth - UNROLL * whole, LoopKind.SERIAL, step(UNROLL * whole + Dim("%r"))),
        For("%i", rows, LoopKind.UNROLLED, (across(Store("%c", (i, column), sums)),)),
    )
    params = (
        Buffer("%a", dtype, (pitch * (rows - 1) + depth,) if pitch else (depth, rows), Role.IN),
        Buffer("%b", dtype, (depth, columns), Role.IN),
        Buffer("%c", dtype, (rows, columns), Role.INOUT if adds else Role.OUT),
    )
    name = f"micro_{rows}x{columns}_{dtype}" + (f"_by{pitch}" if pitch else "") + ("_adds" if adds else "")
    return Kernel(name, ("k",), params, body, KernelStage.SCHEDULED)


def _multiply_add(machine: Machine, a: Expr, b: Expr, c: Expr) -> Expr:
    if machine.fma and a.dtype.is_float:
        return apply("fma", a, b, c)
    return apply("add", c, apply("mul", a, b))

"""Writes scalar ops that machines lack in those that they have, and computes equal values once."""

from __future__ import annotations

from dataclasses import replace

from sigmagraph.codegen.transform.instructions import USUAL, Instructions
from sigmagraph.codegen.transform.rename import Names
from sigmagraph.codegen.transform.values import Values, is_trivial, reference
from sigmagraph.ir.kernel.expr import Expr, Var, rebuild
from sigmagraph.ir.kernel.kernel import Block, Kernel, Let, Stmt, Store, map_blocks


def expand(kernel: Kernel, has: Instructions = USUAL) -> Kernel:
    """The kernel in primitive scalar ops, none of which computes with 16-bit floats.

    In every block a value that is needed at several places, by the kernel or by the expansion of an op, becomes a let
    before its first use. Callees are left as they are.

    Args:
        kernel: a kernel.
        has: the instructions that there are; ops that are none of them do not count as primitive.
    """
    return replace(kernel, body=_expand(kernel.body, Names(kernel), has))


def _expand(block: Block, names: Names, has: Instructions) -> Block:
    values = Values(has)
    numbers = [_number(stmt, values) for stmt in block]
    writer = _Writer(values, names)
    for stmt, number in zip(block, numbers, strict=True):
        match stmt:
            case Let(name, _):
                writer.let(name, number)
            case Store(buffer, index, _, guard):
                writer.out.append(Store(buffer, index, writer.value(number), guard))
            case _:
                writer.out.append(map_blocks(stmt, lambda inner: _expand(inner, names, has)))
    return tuple(writer.out)


def _number(stmt: Stmt, values: Values) -> int:
    """The number of the value that a let or a store needs; -1 for other statements."""
    number = -1
    match stmt:
        case Let(name, value):
            number = values.use(value)
            values.bind(name, number)
        case Store(_, _, value, _):
            number = values.use(value)
        case _:
            pass
    values.write(stmt)
    return number


class _Writer:
    """Writes numbered values as expressions, and lets for those that are used more than once."""

    def __init__(self, values: Values, names: Names) -> None:
        self.values = values
        self.names = names
        self.out: list[Stmt] = []
        self.known: dict[int, Var] = {}

    def let(self, name: str, number: int) -> None:
        expr = self.known.get(number) or self.whole(number)
        if not is_trivial(expr):
            self.known[number] = Var(name, expr.dtype)
        self.out.append(Let(name, expr))

    def value(self, number: int) -> Expr:
        """The value as an operand."""
        if number in self.known:
            return self.known[number]
        expr = self.whole(number)
        if self.values.uses[number] < 2 or is_trivial(expr):
            return expr
        name = self.names.fresh("%e")
        self.known[number] = Var(name, expr.dtype)
        self.out.append(Let(name, expr))
        return self.known[number]

    def whole(self, number: int) -> Expr:
        """The value spelled out down to named ones."""
        return rebuild(self.values.exprs[number], self.operand)

    def operand(self, expr: Expr) -> Expr:
        number = reference(expr)
        return expr if number is None else self.value(number)

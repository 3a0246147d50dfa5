"""Numbers the values that a block computes, equal values alike, and expands the ops and types that machines lack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from sigmagraph.codegen.transform.fused import by_function, in_double, lacks_double, lacks_fma
from sigmagraph.codegen.transform.instructions import USUAL, Instructions
from sigmagraph.codegen.transform.whole import lacks_rounding, rounded
from sigmagraph.codegen.transform.widen import computes_narrow, converted, converts_narrow, widened
from sigmagraph.dtypes import DType
from sigmagraph.ir.kernel import math
from sigmagraph.ir.kernel.expr import Apply, Bitcast, Cast, Const, Expr, Index, Load, Var
from sigmagraph.ir.kernel.kernel import Barrier, Call, Stmt, Store, inner_blocks
from sigmagraph.ir.kernel.scalar import SCALARS


class Values:
    """The values of one block, in the order in which they are met.

    Loads from a buffer are equal as long as nothing is stored to it; a warp operation is equal to nothing.

    Attributes:
        exprs: each value as an expression whose operands are references to other values.
        uses: how often each value is an operand, or is asked for by a statement.
    """

    def __init__(self, has: Instructions = USUAL) -> None:
        self._has = has
        self._halves = has.halves
        self.exprs: list[Expr] = []
        self.uses: list[int] = []
        self._numbers: dict[Hashable, int] = {}
        self._lets: dict[str, int] = {}
        self._writes: Counter[str] = Counter()

    def use(self, expr: Expr) -> int:
        """The number of a value that a statement needs."""
        number = self._number(expr)
        self.uses[number] += 1
        return number

    def bind(self, name: str, number: int) -> None:
        """Say that a let holds a value."""
        if not is_trivial(self.exprs[number]):
            self._lets[name] = number

    def write(self, stmt: Stmt) -> None:
        """Forget what is known about memory that a statement, or one inside of it, may write."""
        match stmt:
            case Store(buffer, _, _, _):
                self._writes[buffer] += 1
            case Call(_, _, args):
                self._writes.update(view.buffer for view in args)
            case Barrier():
                self._writes[""] += 1
            case _:
                for block in inner_blocks(stmt):
                    for inner in block:
                        self.write(inner)

    def _number(self, expr: Expr) -> int:
        match expr:
            case Var(name, _) if name.startswith(_REFERENCE):
                return int(name[len(_REFERENCE) :])
            case Var(name, _) if name in self._lets:
                return self._lets[name]
            case Load(buffer, index, _, guard):
                return self._new(expr, (buffer, index, guard, self._writes[buffer], self._writes[""]))
            case Apply(op, args, dtype):
                return self._apply(op, tuple(self._number(a) for a in args), dtype)
            case Cast(value, dtype) if converts_narrow(value.dtype, dtype, self._halves):
                return self._convert(self._number(value), dtype)
            case Cast(value, dtype) | Bitcast(value, dtype):
                operand = self._number(value)
                return self._new(type(expr)(self._refer(operand), dtype), (type(expr), operand, dtype), (operand,))
            case _:
                return self._new(expr, expr)

    def _apply(self, op: str, operands: tuple[int, ...], dtype: DType) -> int:
        key: Hashable = (op, operands, len(self.exprs)) if SCALARS[op].lanes else (op, operands)
        if key in self._numbers:
            return self._numbers[key]
        expr = Apply(op, tuple(self._refer(n) for n in operands), dtype)
        if computes_narrow(expr):
            self._numbers[key] = self._number(widened(expr))
        elif lacks_fma(expr, self._has):
            self._numbers[key] = self._number(in_double(expr, self._named))
        elif lacks_double(expr, self._has):
            self._numbers[key] = self._number(by_function(expr, self._has))
        elif lacks_rounding(expr, self._has):
            self._numbers[key] = self._number(rounded(expr, self._named))
        elif SCALARS[op].primitive:
            return self._new(expr, key, operands)
        else:
            self._numbers[key] = self._number(math.expand(op, expr.args, self._named))
        return self._numbers[key]

    def _convert(self, operand: int, dtype: DType) -> int:
        key = (Cast, operand, dtype)
        if key not in self._numbers:
            self._numbers[key] = self._number(converted(self._refer(operand), dtype, self._named, self._halves))
        return self._numbers[key]

    def _named(self, expr: Expr) -> Expr:
        return self._refer(self._number(expr))

    def _new(self, expr: Expr, key: Hashable, operands: tuple[int, ...] = ()) -> int:
        number = self._numbers.setdefault(key, len(self.exprs))
        if number == len(self.exprs):
            self.exprs.append(expr)
            self.uses.append(0)
            for operand in operands:
                self.uses[operand] += 1
        return number

    def _refer(self, number: int) -> Expr:
        expr = self.exprs[number]
        return expr if is_trivial(expr) else Var(f"{_REFERENCE}{number}", expr.dtype)


_REFERENCE = "#"


def reference(expr: Expr) -> int | None:
    """The number of the value that an operand in :attr:`Values.exprs` refers to; None when it is an expression."""
    return int(expr.name[1:]) if isinstance(expr, Var) and expr.name.startswith(_REFERENCE) else None


def is_trivial(expr: Expr) -> bool:
    """Whether an expression is as good as a name."""
    return isinstance(expr, (Const, Var, Index))

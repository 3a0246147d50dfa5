"""The instruction for each primitive scalar op: one table, from op and type to LLVM IR."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from sigmagraph.codegen.llvm.types import Register, literal, register_type, vector_of
from sigmagraph.dtypes import BF16, BOOL, F16, F32, U8, DType
from sigmagraph.errors import CompileError


class Instructions(Protocol):
    """Where instructions go."""

    def op(self, text: str, dtype: DType, lanes: int) -> Register:
        """Append ``%new = text`` and return the new register."""
        ...

    def intrinsic(self, name: str, result: str, arguments: Sequence[str], dtype: DType, lanes: int) -> Register:
        """Append a call of an intrinsic and declare it."""
        ...

    def splat(self, value: Register, lanes: int) -> Register:
        """The value in every lane."""
        ...

    def split_fma(self, arguments: Sequence[Register], dtype: DType) -> Register:
        """Append a call of multiply-add for whole vectors, which the module takes up."""
        ...

    def routine(self, name: str, arguments: Sequence[Register], dtype: DType) -> Register:
        """Append a call of a function that the module takes up, lane by lane."""
        ...


Emitter = Callable[[Instructions, Sequence[Register], DType], Register]


def _binary(for_float: str | None, for_signed: str | None, for_unsigned: str | None = None) -> Emitter:
    def emit(out: Instructions, args: Sequence[Register], dtype: DType) -> Register:
        a, b = args
        opcode = for_float if a.dtype.is_float else (for_unsigned or for_signed) if _unsigned(a.dtype) else for_signed
        if opcode is None:
            raise CompileError("there is no such instruction", got=a.dtype)
        return out.op(f"{opcode} {a.type} {a.name}, {b.name}", dtype, a.lanes)

    return emit


def _unsigned(dtype: DType) -> bool:
    return dtype in (U8, BOOL)


def _compare(name: str) -> Emitter:
    floats = {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"}[name]
    signed = name if name in ("eq", "ne") else "s" + name
    unsigned = name if name in ("eq", "ne") else "u" + name
    return _binary(f"fcmp {floats}", f"icmp {signed}", f"icmp {unsigned}")


def _intrinsic(for_float: str | None, for_signed: str | None = None, for_unsigned: str | None = None) -> Emitter:
    def emit(out: Instructions, args: Sequence[Register], dtype: DType) -> Register:
        a = args[0]
        name = for_float if a.dtype.is_float else (for_unsigned or for_signed) if _unsigned(a.dtype) else for_signed
        if name is None:
            raise CompileError("there is no such instruction", got=a.dtype)
        arguments = [str(r) for r in args] + (["i1 false"] if name == "abs" else [])
        return out.intrinsic(f"llvm.{name}.{suffix(dtype, a.lanes)}", a.type, arguments, dtype, a.lanes)

    return emit


def suffix(dtype: DType, lanes: int) -> str:
    """The type as it stands in names of intrinsics: ``f32``, ``v8f32``."""
    text = {"f16": "i16", "bf16": "i16", "bool": "i1", "u8": "i8"}.get(str(dtype), str(dtype))
    return text if lanes == 1 else f"v{lanes}{text}"


def _split(out: Instructions, args: Sequence[Register], dtype: DType) -> Register:
    return out.split_fma(args, dtype)


def _routine(name: str) -> Emitter:
    return lambda out, args, dtype: out.routine(name, args, dtype)


def _neg(out: Instructions, args: Sequence[Register], dtype: DType) -> Register:
    a = args[0]
    if dtype.is_float:
        return out.op(f"fneg {a}", dtype, a.lanes)
    return out.op(f"sub {a.type} {_constant(0, dtype, a.lanes)}, {a.name}", dtype, a.lanes)


def _abs(out: Instructions, args: Sequence[Register], dtype: DType) -> Register:
    if dtype is U8:
        return args[0]
    return _intrinsic("fabs", "abs")(out, args, dtype)


def _not(out: Instructions, args: Sequence[Register], dtype: DType) -> Register:
    a = args[0]
    return out.op(
        f"xor {a.type} {a.name}, {_constant(-1 if dtype is not BOOL else True, dtype, a.lanes)}", dtype, a.lanes
    )


def _divide(out: Instructions, args: Sequence[Register], dtype: DType) -> Register:
    """Integers: 0 for a zero divisor; a divisor of -1 negates, because the least number over -1 traps."""
    a, b = args
    if dtype.is_float:
        return out.op(f"fdiv {a.type} {a.name}, {b.name}", dtype, a.lanes)
    one, zero = _constant(1, dtype, a.lanes), _constant(0, dtype, a.lanes)

    def select(condition: Register, yes: str, no: str) -> Register:
        return out.op(f"select {condition}, {a.type} {yes}, {a.type} {no}", dtype, a.lanes)

    is_zero = out.op(f"icmp eq {a.type} {b.name}, {zero}", BOOL, a.lanes)
    safe = select(is_zero, one, b.name)
    if _unsigned(dtype):
        quotient = out.op(f"udiv {a.type} {a.name}, {safe.name}", dtype, a.lanes)
        return select(is_zero, zero, quotient.name)
    is_minus = out.op(f"icmp eq {a.type} {b.name}, {_constant(-1, dtype, a.lanes)}", BOOL, a.lanes)
    safe = select(is_minus, one, safe.name)
    quotient = out.op(f"sdiv {a.type} {a.name}, {safe.name}", dtype, a.lanes)
    negated = out.op(f"sub {a.type} {zero}, {a.name}", dtype, a.lanes)
    return select(is_zero, zero, select(is_minus, negated.name, quotient.name).name)


def _extreme(compare: str, for_signed: str, for_unsigned: str) -> Emitter:
    """Of floats by comparisons, which x86 has an instruction for that ``llvm.maximum`` adds five others to.

    NaN in either operand is the result. Of two zeros it is the second operand.
    """
    integers = _intrinsic(None, for_signed, for_unsigned)

    def emit(out: Instructions, args: Sequence[Register], dtype: DType) -> Register:
        if not dtype.is_float:
            return integers(out, args, dtype)
        a, b = args
        better = out.op(f"fcmp {compare} {a.type} {a.name}, {b.name}", BOOL, a.lanes)
        either = out.op(f"select {better}, {a}, {b}", dtype, a.lanes)
        unordered = out.op(f"fcmp uno {a.type} {a.name}, {a.name}", BOOL, a.lanes)
        return out.op(f"select {unordered}, {a}, {either}", dtype, a.lanes)

    return emit


def _select(out: Instructions, args: Sequence[Register], dtype: DType) -> Register:
    condition, yes, no = args
    return out.op(f"select {condition}, {yes}, {no}", dtype, yes.lanes)


def _constant(value: int | bool, dtype: DType, lanes: int) -> str:
    text = literal(value, dtype)
    scalar = register_type(dtype)
    return text if lanes == 1 else "<" + ", ".join([f"{scalar} {text}"] * lanes) + ">"


def convert(out: Instructions, a: Register, dtype: DType) -> Register:
    """A cast as :class:`~sigmagraph.ir.kernel.expr.Cast` says: saturating to integers, ``!= 0`` to bool."""
    target = register_type(dtype, a.lanes)
    if dtype is BOOL:
        opcode = "fcmp une" if a.dtype.is_float else "icmp ne"
        return out.op(f"{opcode} {a.type} {a.name}, {_zero(a)}", BOOL, a.lanes)
    if {F16, BF16} & {a.dtype, dtype}:
        return _convert_f16(out, a, dtype)
    if a.dtype.is_float and dtype.is_float:
        opcode = "fpext" if dtype.bits > a.dtype.bits else "fptrunc"
        return out.op(f"{opcode} {a} to {target}", dtype, a.lanes)
    if a.dtype.is_float:
        kind = "fptoui" if _unsigned(dtype) else "fptosi"
        name = f"llvm.{kind}.sat.{suffix(dtype, a.lanes)}.{suffix(a.dtype, a.lanes)}"
        return out.intrinsic(name, target, [str(a)], dtype, a.lanes)
    if dtype.is_float:
        return out.op(f"{'uitofp' if _unsigned(a.dtype) else 'sitofp'} {a} to {target}", dtype, a.lanes)
    from_bits = 1 if a.dtype is BOOL else a.dtype.bits
    if dtype.bits > from_bits:
        return out.op(f"{'zext' if _unsigned(a.dtype) else 'sext'} {a} to {target}", dtype, a.lanes)
    if dtype.bits < from_bits:
        return out.op(f"trunc {a} to {target}", dtype, a.lanes)
    return Register(a.name, dtype, a.lanes)


def _convert_f16(out: Instructions, a: Register, dtype: DType) -> Register:
    """Between f16, whose registers hold bits, and f32, by instructions that the processor must have."""
    bits, half, real = (vector_of(scalar, a.lanes) for scalar in ("i16", "half", "float"))
    if (a.dtype, dtype) == (F16, F32):
        number = out.op(f"bitcast {bits} {a.name} to {half}", dtype, a.lanes)
        return out.op(f"fpext {half} {number.name} to {real}", dtype, a.lanes)
    if (a.dtype, dtype) == (F32, F16):
        number = out.op(f"fptrunc {real} {a.name} to {half}", dtype, a.lanes)
        return out.op(f"bitcast {half} {number.name} to {bits}", dtype, a.lanes)
    raise CompileError(
        "there is no such conversion of 16-bit floats", expected="f16 and f32", got=f"{a.dtype}, {dtype}"
    )


def _lacking(name: str, instead: str) -> Emitter:
    def emit(_out: Instructions, _args: Sequence[Register], _dtype: DType) -> Register:
        raise CompileError("processors have no such instruction", expected=instead, got=name)

    return emit


def _zero(a: Register) -> str:
    return "zeroinitializer" if a.lanes > 1 else literal(0, a.dtype)


EMITTERS: Mapping[str, Emitter] = MappingProxyType(
    {
        "add": _binary("fadd", "add"),
        "sub": _binary("fsub", "sub"),
        "mul": _binary("fmul", "mul"),
        "div": _divide,
        "fma": _intrinsic("fma"),
        "neg": _neg,
        "abs": _abs,
        "min": _extreme("olt", "smin", "umin"),
        "max": _extreme("ogt", "smax", "umax"),
        "sqrt": _intrinsic("sqrt"),
        "floor": _intrinsic("floor"),
        "ceil": _intrinsic("ceil"),
        "round": _intrinsic("rint"),
        "and": _binary(None, "and"),
        "or": _binary(None, "or"),
        "xor": _binary(None, "xor"),
        "not": _not,
        "shl": _binary(None, "shl"),
        "shr": _binary(None, "lshr"),
        "select": _select,
        "split_fma": _split,
        "soft_fma": _routine("soft_fma"),
        "soft_sqrt": _routine("soft_sqrt"),
        "exp2_approx": _lacking("exp2_approx", "exp2"),
        "round_tf32_even": _lacking("round_tf32_even", "round_tf32"),
    }
    | {name: _compare(name) for name in ("lt", "le", "gt", "ge", "eq", "ne")}
)

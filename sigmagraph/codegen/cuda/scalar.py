"""The expression for each primitive scalar op: one table, from op and types to CUDA C."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from sigmagraph.codegen.cuda.types import (
    BITS,
    CHOICE,
    COMPARISON,
    PRODUCT,
    SUM,
    UNARY,
    Text,
    memory_type,
    register_type,
)
from sigmagraph.dtypes import BF16, BOOL, F16, F32, F64, I32, I64, DType
from sigmagraph.errors import CompileError

Writer = Callable[[Sequence[Text], DType], Text]
"""Takes operands and their type: of ``select`` that of the values, of warp operations that of the first."""

_ALL = "0xffffffffu"


def call(name: str, *args: Text | str) -> Text:
    """A call of a function."""
    return Text(f"{name}({', '.join(map(str, args))})")


def _arithmetic(operator: str, function: str, binds: int) -> Writer:
    """An operator on floats; a function that wraps on integers."""

    def write(args: Sequence[Text], dtype: DType) -> Text:
        a, b = args
        if not dtype.is_float:
            return call(function, a, b)
        _computes(dtype)
        return Text(f"{a.within(binds)} {operator} {b.within(binds + 1)}", binds)

    return write


def _computes(dtype: DType) -> None:
    if dtype in (F16, BF16):
        raise CompileError("there is no arithmetic of 16-bit floats", expected="f32, by legalize", got=dtype)


def _compare(operator: str) -> Writer:
    def write(args: Sequence[Text], dtype: DType) -> Text:
        _computes(dtype)
        a, b = args
        return Text(f"{a.within(SUM)} {operator} {b.within(SUM)}", COMPARISON)

    return write


def _float_function(for_f32: str, for_f64: str) -> Writer:
    def write(args: Sequence[Text], dtype: DType) -> Text:
        if dtype not in (F32, F64):
            raise CompileError("there is no such instruction", expected="f32 or f64", got=dtype)
        return call(for_f32 if dtype is F32 else for_f64, *args)

    return write


def _function(name: str) -> Writer:
    def write(args: Sequence[Text], dtype: DType) -> Text:
        _computes(dtype)
        return call(name, *args)

    return write


def _bits(operator: str, function: str) -> Writer:
    """An operator on bools; a function on integers, which C would widen."""

    def write(args: Sequence[Text], dtype: DType) -> Text:
        a, b = args
        if dtype is not BOOL:
            return call(function, a, b)
        return Text(f"{a.within(UNARY)} {operator} {b.within(UNARY)}", BITS)

    return write


def _not(args: Sequence[Text], dtype: DType) -> Text:
    return Text(f"!{args[0].within(UNARY)}", UNARY) if dtype is BOOL else call("sg_not", args[0])


def _neg(args: Sequence[Text], dtype: DType) -> Text:
    _computes(dtype)
    if not dtype.is_float:
        return call("sg_neg", args[0])
    inner = args[0].within(UNARY)
    return Text(f"-({inner})" if inner.startswith("-") else f"-{inner}", UNARY)


def _abs(args: Sequence[Text], dtype: DType) -> Text:
    _computes(dtype)
    return call("sg_absolute" if dtype.is_float else "sg_abs", args[0])


def _select(args: Sequence[Text], _dtype: DType) -> Text:
    condition, yes, no = args
    return Text(f"{condition.within(BITS)} ? {yes.within(BITS)} : {no.within(CHOICE)}", CHOICE)


def _shuffle(name: str) -> Writer:
    def write(args: Sequence[Text], dtype: DType) -> Text:
        value, distance = args
        if dtype in (F32, F64, I32, I64):
            return call(name, _ALL, value, distance)
        moved = call(name, _ALL, Text(f"(int){value.within(UNARY)}", UNARY), distance)
        return Text(f"({register_type(dtype)}){moved}", UNARY)

    return write


def _lacking(_args: Sequence[Text], dtype: DType) -> Text:
    raise CompileError("GPUs multiply and add in f64", expected="fma and sqrt", got=f"a routine of {dtype}")


WRITERS: Mapping[str, Writer] = MappingProxyType(
    {
        "add": _arithmetic("+", "sg_add", SUM),
        "sub": _arithmetic("-", "sg_sub", SUM),
        "mul": _arithmetic("*", "sg_mul", PRODUCT),
        "div": _arithmetic("/", "sg_div", PRODUCT),
        "fma": _float_function("fmaf", "fma"),
        "neg": _neg,
        "abs": _abs,
        "min": _function("sg_min"),
        "max": _function("sg_max"),
        "sqrt": _float_function("sqrtf", "sqrt"),
        "floor": _float_function("floorf", "floor"),
        "ceil": _float_function("ceilf", "ceil"),
        "round": _float_function("rintf", "rint"),
        "lt": _compare("<"),
        "le": _compare("<="),
        "gt": _compare(">"),
        "ge": _compare(">="),
        "eq": _compare("=="),
        "ne": _compare("!="),
        "and": _bits("&", "sg_and"),
        "or": _bits("|", "sg_or"),
        "xor": _bits("^", "sg_xor"),
        "not": _not,
        "shl": _function("sg_shl"),
        "shr": _function("sg_shr"),
        "select": _select,
        "split_fma": _lacking,
        "soft_fma": _lacking,
        "soft_sqrt": _lacking,
        "exp2_approx": _function("sg_exp2_approx"),
        "round_tf32_even": _function("sg_round_tf32_even"),
        "shuffle": _shuffle("__shfl_sync"),
        "shuffle_xor": _shuffle("__shfl_xor_sync"),
        "shuffle_down": _shuffle("__shfl_down_sync"),
    }
)


def convert(a: Text, source: DType, target: DType) -> Text:
    """A cast as :class:`~sigmagraph.ir.kernel.expr.Cast` says: saturating to integers, ``!= 0`` to bool.

    Raises:
        CompileError: of the types one is a 16-bit float, and the other is not f32.
    """
    if source is target:
        return a
    if {F16, BF16} & {source, target}:
        return _convert_half(a, source, target)
    if target is BOOL:
        return Text(f"{a.within(SUM)} != 0", COMPARISON)
    if source.is_float and not target.is_float:
        return call(f"sg_cast<{register_type(target)}>", a)
    return Text(f"({register_type(target)}){a.within(UNARY)}", UNARY)


def _convert_half(a: Text, source: DType, target: DType) -> Text:
    if F32 not in (source, target):
        raise CompileError(
            "there is no such conversion of 16-bit floats", expected="one from or to f32", got=f"{source}, {target}"
        )
    return call(f"sg_{source}_to_{target}", a)


def bitcast(a: Text, source: DType, target: DType) -> Text:
    """The same bits as another type."""
    if memory_type(source) == memory_type(target):
        return a
    return call(f"sg_bitcast<{register_type(target)}>", a)

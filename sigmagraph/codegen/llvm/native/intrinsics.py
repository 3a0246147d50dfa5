"""What the functions of :mod:`sigmagraph.codegen.llvm.native.memory` are in LLVM IR, as literal tables.

Offsets are i64 for pointers of any width: LLVM takes of them what an address has bits for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Intrinsic:
    """A function as instructions: ``{0}``, ``{1}`` ... are its arguments, ``%`` the result of the step before.

    Attributes:
        parameters, result: types in LLVM IR; an empty result is none.
        steps: instructions, each of which names a result but for a last one that is a store.
    """

    parameters: tuple[str, ...]
    result: str
    steps: tuple[str, ...]


_PLACE = "getelementptr i8, ptr {0}, i64 {1}"


def _load(memory: str, align: int, *widen: str, result: str = "i64") -> Intrinsic:
    return Intrinsic(("ptr", "i64"), result, (_PLACE, f"load {memory}, ptr %, align {align}", *widen))


def _store(memory: str, align: int, value: str = "i64") -> Intrinsic:
    if memory == value:
        return Intrinsic(("ptr", "i64", value), "", (_PLACE, f"store {value} {{2}}, ptr %, align {align}"))
    # The place comes last, for a store takes the result of the step before as its address.
    steps = (f"trunc i64 {{2}} to {memory}", _PLACE, f"store {memory} %0, ptr %, align {align}")
    return Intrinsic(("ptr", "i64", value), "", steps)


def _convert(source: str, result: str, *steps: str) -> Intrinsic:
    return Intrinsic((source,), result, steps)


INTRINSICS: Mapping[str, Intrinsic] = MappingProxyType(
    {
        "load_u8": _load("i8", 1, "zext i8 % to i64"),
        "load_i8": _load("i8", 1, "sext i8 % to i64"),
        "load_u16": _load("i16", 2, "zext i16 % to i64"),
        "load_i16": _load("i16", 2, "sext i16 % to i64"),
        "load_i32": _load("i32", 4, "sext i32 % to i64"),
        "load_i64": _load("i64", 8),
        "load_f32": _load("float", 4, result="float"),
        "load_f64": _load("double", 8, result="double"),
        "store_u8": _store("i8", 1),
        "store_u16": _store("i16", 2),
        "store_i32": _store("i32", 4),
        "store_i64": _store("i64", 8),
        "store_f32": _store("float", 4, "float"),
        "store_f64": _store("double", 8, "double"),
        "behind": Intrinsic(("ptr", "i64"), "ptr", (_PLACE,)),
        "pointer_bits": _convert("ptr", "i64", "ptrtoint ptr {0} to i64"),
        "wrapped": _convert("i64", "i64", "add i64 {0}, 0"),
        "shifted": Intrinsic(("i64", "i64"), "i64", ("lshr i64 {0}, {1}",)),
        "f32_of": _convert("i64", "float", "trunc i64 {0} to i32", "sitofp i32 % to float"),
        "f64_of": _convert("i64", "double", "trunc i64 {0} to i32", "sitofp i32 % to double"),
        "rounded": _convert("double", "float", "fptrunc double {0} to float"),
        "float_of": _convert("float", "double", "fpext float {0} to double"),
        "whole_of": _convert("double", "i64", "fptosi double {0} to i32", "sext i32 % to i64"),
        "f32_bits": _convert("float", "i64", "bitcast float {0} to i32", "zext i32 % to i64"),
        "f32_from_bits": _convert("i64", "float", "trunc i64 {0} to i32", "bitcast i32 % to float"),
        "f64_bits": _convert("double", "i64", "bitcast double {0} to i64"),
        "f64_from_bits": _convert("i64", "double", "bitcast i64 {0} to double"),
    }
)

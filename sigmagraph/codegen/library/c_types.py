"""What element types are called in C."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sigmagraph.dtypes import DType

C_TYPES: Mapping[DType, str] = MappingProxyType(
    {
        DType.F16: "uint16_t", DType.BF16: "uint16_t", DType.F32: "float", DType.F64: "double", DType.I8: "int8_t",
        DType.I16: "int16_t", DType.I32: "int32_t", DType.I64: "int64_t", DType.U8: "uint8_t", DType.BOOL: "uint8_t",
    }
)  # fmt: skip

"""What users hand to programs, as arrays that programs take."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from sigmagraph.errors import InputError
from sigmagraph.ir.plan import Port

NDArray: TypeAlias = "np.ndarray[Any, Any]"


def as_input(value: Any, port: Port) -> NDArray:
    """A value as a contiguous array of an input's dtype, if that changes no number's meaning.

    Raises:
        InputError: it is no array, of another kind of dtype, or has numbers that the dtype cannot hold.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"the input '{port.name}' is no array", expected=str(port.dtype), got=str(error)) from error
    dtype = port.dtype.numpy
    if array.dtype != dtype:
        kind = np.result_type(value).kind if isinstance(value, (bool, int, float)) else array.dtype.kind
        if not np.can_cast(array.dtype, dtype, "same_kind") and not (kind == "i" and dtype.kind == "u"):
            raise InputError(f"the input '{port.name}' has another kind of dtype", expected=port.dtype, got=array.dtype)
        if dtype.kind in "iu" and array.size and array.dtype.kind in "iu":
            _check_range(array, port)
    # ascontiguousarray turns scalars into vectors; require does not.
    return np.require(array, dtype, ["C", "ALIGNED"])


def _check_range(array: NDArray, port: Port) -> None:
    limits = np.iinfo(port.dtype.numpy)
    low, high = int(array.min()), int(array.max())
    if low < limits.min or high > limits.max:
        raise InputError(
            f"the input '{port.name}' has values that its dtype cannot hold",
            expected=f"{limits.min} .. {limits.max} ({port.dtype})",
            got=f"{low} .. {high}",
        )

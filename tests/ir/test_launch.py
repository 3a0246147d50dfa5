"""The code of GPU programs as bytes."""

from __future__ import annotations

import pytest

from sigmagraph.dims import Dim, ceildiv
from sigmagraph.errors import FileFormatError
from sigmagraph.ir.launch import DeviceCode, Grid, Launches, pack, unpack


def test_code_comes_back_from_its_bytes() -> None:
    grid = Grid("k0_dense", ceildiv(Dim("batch"), 32) * 4, 256, 1024, (0, 2, 1), ("batch",))
    plans = {
        "run_a": Launches({"k0_dense": (grid, Grid("k0_1", 1, 32, 0, (), ()))}, (b"abc", b""), True),
        "run_b": Launches({}, (b"\0\1",), False),
    }
    code = DeviceCode("sm_80", plans, b"\x7fELF...")
    assert unpack(pack(code)) == code


@pytest.mark.parametrize("data", [b"", b"\x05\0\0\0\0\0\0\0hello", pack(DeviceCode("sm_80", {}, b""))[:-4]])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(FileFormatError, match="not the code of a GPU program"):
        unpack(data)

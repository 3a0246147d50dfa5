"""The function that copies bytes does so for any size, from and to anywhere, be they the same memory."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import pytest

from sigmagraph.codegen.llvm.archive import pack
from sigmagraph.codegen.llvm.compile import Loaded, Processor, compile_module, processor
from sigmagraph.codegen.llvm.copying import COPY, copy_text
from sigmagraph.codegen.llvm.generation import module_text
from sigmagraph.options import Target

HERE = processor(Target())
# What other processors are given runs here as well.
TEXTS = {"here": copy_text(HERE), "elsewhere": copy_text(Processor("wasm32-unknown-unknown", "", ""))}
SIZES = (*range(35), 63, 64, 65, 127, 128, 129, 143, 144, 145, 255, 257, 1000, 8191, 8192, 8199, 20_005)


@pytest.fixture(scope="module", params=TEXTS)
def copy(request: pytest.FixtureRequest) -> Callable[[int, int, int], None]:
    text = TEXTS[request.param].replace("define internal", "define")
    library = Loaded(pack([compile_module(module_text(text, {}, HERE.attributes), HERE).object]), (COPY,), HERE, "copy")
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(library.address(COPY))

    def run(to: int, start: int, size: int, keep: object = library) -> None:
        function(to, start, size)

    return run


def test_it_copies_and_touches_nothing_else(copy: Callable[[int, int, int], None]) -> None:
    rng = np.random.default_rng(1)
    for size in SIZES:
        source = rng.integers(0, 256, size + 20).astype(np.uint8)
        target = rng.integers(0, 256, size + 20).astype(np.uint8)
        for begin in (0, 3, 16):
            want = target.copy()
            want[begin : begin + size] = source[7 : 7 + size]
            copy(target.ctypes.data + begin, source.ctypes.data + 7, size)
            np.testing.assert_array_equal(target, want, f"{size} bytes to {begin}")


def test_places_may_overlap(copy: Callable[[int, int, int], None]) -> None:
    rng = np.random.default_rng(2)
    for size in SIZES:
        for by in (-200, -129, -17, -16, -15, -8, -1, 0, 1, 7, 8, 9, 16, 130, 200):
            memory = rng.integers(0, 256, size + 400).astype(np.uint8)
            want = memory.copy()
            want[200 + by : 200 + by + size] = memory[200 : 200 + size]
            copy(memory.ctypes.data + 200 + by, memory.ctypes.data + 200, size)
            np.testing.assert_array_equal(memory, want, f"{size} bytes by {by}")

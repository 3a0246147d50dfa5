"""A program shows itself as code for a GPU that is not here: source, assembly, and what its kernels take."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph.codegen.cuda.compile import compiler_name
from sigmagraph.codegen.cuda.sass import find_disassembler
from sigmagraph.errors import CompileError, OptionError, TargetError
from sigmagraph.options import CompileOptions


@pytest.fixture(scope="module")
def program() -> sg.CompiledFunction:
    x = sg.placeholder("x", (sg.Dim("batch"), 12))
    return sg.compile([x], {"y": sg.softmax(sg.tanh(x))}, name="shown", options=CompileOptions(cache=False))


def has_compiler() -> bool:
    try:
        return bool(compiler_name())
    except CompileError:
        return False


@pytest.mark.skipif(not has_compiler(), reason="there is no compiler of CUDA C on this machine")
def test_code_for_an_architecture_is_shown(program: sg.CompiledFunction, tmp_path: Path) -> None:
    folder = program.dump(tmp_path, "cuda:sm_80")
    text, assembly, table = ((folder / name).read_text() for name in ("program.cu", "program.ptx", "resources.txt"))
    kernels = [path.name.removesuffix(".legal.sgk") for path in sorted(folder.glob("*.legal.sgk"))]
    assert kernels
    by, heading, *rows = table.splitlines()
    assert by == f"by {compiler_name()}"
    assert heading.split("  ")[0] == "kernel"
    for column in ("registers", "shared", "spills", "occupancy", "blocks/SM"):
        assert column in heading
    for kernel in kernels:
        assert re.search(rf"__global__ void __launch_bounds__\(256(, 4)?\) {kernel}\(", text)
        assert f".visible .entry {kernel}(" in assembly
        (row,) = [row.split() for row in rows if row.startswith(kernel) and "sm_80" in row]
        threads, registers, _shared, _stack, spills, blocks, _warps, share = row[2:10]
        assert (threads, spills) == ("256", "0")
        assert 8 <= int(registers) <= 64
        assert int(blocks) >= 4
        assert share.endswith("%")
    assert ("Instructions in the code" in table) == bool(find_disassembler())
    assert "resources.txt" in (folder / "index.html").read_text()
    assert program(np.zeros((2, 12), np.float32))["y"].shape == (2, 12)  # it is what it was


def test_wrong_targets_are_told(program: sg.CompiledFunction, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no target"):
        program.dump(tmp_path, "cuda:eighty")
    with pytest.raises(TargetError, match="no such target"):
        program.dump(tmp_path, "fpga")
    assert not list(tmp_path.iterdir())

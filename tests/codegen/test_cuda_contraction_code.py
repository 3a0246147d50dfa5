"""The machine code of contractions on GPUs: no registers are spilled, tensor cores are used, memory is read in vectors."""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

import sigmagraph as sg
from sigmagraph.codegen.cuda import contraction
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.codegen.cuda.compile import Compiled, compile_text, compiler_name
from sigmagraph.codegen.cuda.nvcc import find_nvcc, run_nvcc
from sigmagraph.codegen.cuda.program import Generation
from sigmagraph.codegen.cuda.sass import find_disassembler
from sigmagraph.codegen.cuda.tensor_cores import Instruction
from sigmagraph.codegen.cuda.tiles import Tile, tiles_of
from sigmagraph.driver import build
from sigmagraph.errors import CompileError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.options import CompileOptions, Target
from sigmagraph.tensor.capture import capture

pytestmark = pytest.mark.extended
ARCHES = ("sm_75", "sm_80", "sm_90", "sm_90a")
N = 1024
# Two blocks fit into a multiprocessor: of 256 threads with 128 registers each, or of the 128 threads that tensor cores
# are used by, with 255.
LIMITS = {True: 255, False: 128}


class Noting(CudaBackend):
    """The target as it is; what its compiler gives is kept."""

    made: Compiled | None = None
    text = ""

    def generation(self, listing: bool) -> Generation:
        def compile_it(text: str) -> Compiled:
            self.made, self.text = compile_text(text, self.arch), text
            return self.made

        return Generation(self.arch, compile_it, listing)


def graphs() -> dict[str, Graph]:
    """Products of 1024 x 1024 matrices of f32 and bf16, and a convolution of 3 x 3 windows."""
    a, b = sg.placeholder("a", (N, N)), sg.placeholder("b", (N, N))
    h, k = (sg.placeholder(name, (N, N), "bfloat16") for name in "hk")
    x, w = sg.placeholder("x", (16, 32, 32, 64)), sg.placeholder("w", (3, 3, 64, 128))
    outputs = {"f32": (a, b, a @ b), "bf16": (h, k, h @ k), "conv": (x, w, sg.convolution(x, w, padding=1))}
    return {name: capture([first, second], {"y": y})[0] for name, (first, second, y) in outputs.items()}


@functools.cache
def made(arch: str, precision: str) -> dict[str, Compiled]:
    """Each in a program of its own."""
    options = CompileOptions(cache=False, target=Target("cuda", cpu=arch), precision=precision)
    out = {}
    for name, graph in graphs().items():
        backend = Noting(options.target, precision)
        build(graph, options, backend)
        assert backend.made is not None
        out[name] = backend.made
    return out


@pytest.fixture(scope="module", autouse=True)
def compiler() -> str:
    try:
        return compiler_name()
    except CompileError:
        pytest.skip("this machine cannot compile CUDA C")


def is_own(symbol: Any) -> bool:
    return not str(symbol).startswith("sg_")  # those are of every program


@pytest.mark.parametrize("precision", ["", "highest"])
@pytest.mark.parametrize("arch", ARCHES)
def test_no_register_is_spilled(arch: str, precision: str) -> None:
    for name, compiled in made(arch, precision).items():
        (r,) = (r for r in compiled.resources if is_own(r.symbol))
        assert (r.spill_stores, r.spill_loads, r.local, r.stack) == (0, 0, 0, 0), r
        warps = arch != "sm_75" and (name == "bf16" or not precision)
        assert r.registers <= LIMITS[warps], r


def only(number: int) -> Callable[[Instruction | None, bool], Sequence[Tile]]:
    """Of the tiles that there are the one of a number; warpgroups have the first ones."""
    return lambda instruction, groups: tiles_of(instruction, groups)[number : number + 1]


def test_two_blocks_have_room_where_threads_keep_little_enough() -> None:
    """A tile of 128 x 128 by warpgroups has two blocks at a time; 128 x 256 have all registers that they want."""
    for number, two in ((0, False), (1, True)):
        for dtype in ("float32", "bfloat16"):
            x, w = sg.placeholder("x", (32, 28, 28, 128), dtype), sg.placeholder("w", (3, 3, 128, 256), dtype)
            graph = capture([x, w], {"y": sg.convolution(x, w, padding=1)})[0]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(contraction, "tiles_of", only(number))
                backend = Noting(Target("cuda", cpu="sm_90a"))
                build(graph, CompileOptions(cache=False, target=Target("cuda", cpu="sm_90a")), backend)
            assert ("__launch_bounds__(256, 2) k0" in backend.text) == two
            assert backend.made is not None
            (r,) = (r for r in backend.made.resources if is_own(r.symbol))
            assert (r.spill_stores, r.spill_loads) == (0, 0)
            assert r.registers <= (128 if two else 255)


def counted(arch: str, precision: str) -> dict[str, Counter[str]]:
    """By program how often the code of its kernel has each instruction."""
    return {name: instructions(compiled.cubin) for name, compiled in made(arch, precision).items()}


def instructions(cubin: bytes) -> Counter[str]:
    (own,) = listed(cubin)
    return Counter(line.split()[0] for line in own)


def listed(cubin: bytes) -> list[list[str]]:
    """The instructions of the program's own functions with what they are done to, as they lie in memory."""
    command = find_disassembler()
    if not command:
        pytest.skip("there is no disassembler")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        listing = subprocess.run([*command, file.name], capture_output=True, text=True, check=True).stdout
    found: dict[str, list[str]] = {}
    name = ""
    for line in listing.splitlines():
        if heading := re.match(r"\s*(?:\.text\.(\S+):|Function : (\S+))\s*$", line):
            name = heading[1] or heading[2]
        elif "@!PT" in line:  # never; ptxas puts such loads in front of copies
            continue
        elif instruction := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*[^;/]*)", line):
            found.setdefault(name, []).append(instruction[1])
    return [lines for name, lines in found.items() if is_own(name)]


def number(counts: Counter[str], *parts: str) -> int:
    """How many instructions have a name of these parts."""
    return sum(count for name, count in counts.items() if set(parts) <= set(name.split(".")))


@pytest.mark.parametrize("precision", ["", "highest"])
@pytest.mark.parametrize("arch", ARCHES)
def test_slabs_go_through_vectors(arch: str, precision: str) -> None:
    for name, counts in counted(arch, precision).items():
        halves_of_threads = name == "bf16" and arch == "sm_75"  # 4 elements of 2 bytes for each of 256 threads
        width = "64" if halves_of_threads else "128"
        assert number(counts, "LDG", width) + number(counts, "LDGSTS", width), name
        assert number(counts, "LDL") == number(counts, "STL") == 0, name
        assert number(counts, "BAR") == 1, name


@pytest.mark.parametrize("arch", ARCHES)
def test_factors_are_fetched_past_the_registers(arch: str) -> None:
    """By sm_80 and newer; what warpgroups take as tf32 is rounded before, and then read by threads."""
    for name, counts in counted(arch, "").items():
        fetched = arch != "sm_75" and (arch != "sm_90a" or name == "bf16")
        assert (number(counts, "LDGSTS", "128") > 0) == fetched, name
        assert (number(counts, "STS") > 0) == (not fetched or name == "conv"), name  # what is beyond the edge is zero


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_tensor_cores_multiply(arch: str) -> None:
    """Both steps of a slab's depth are there, and nothing of the kernel that says what an instruction means."""
    for name, counts in counted(arch, "").items():
        kind = ("16816", "BF16") if name == "bf16" else ("1688", "TF32")
        assert number(counts, "HMMA", "F32", *kind) == number(counts, "HMMA") == 64, name
        assert number(counts, "SHFL") == number(counts, "FFMA") == 0, name
    for name, counts in counted(arch, "highest").items():
        assert (number(counts, "HMMA") > 0) == (name == "bf16"), name


@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_90a"])
def test_rounding_is_one_instruction_where_there_is_one(arch: str) -> None:
    for name, counts in counted(arch, "").items():
        rounded, compared = number(counts, "F2FP", "TF32"), number(counts, "FSETP")
        assert (rounded > 0, compared > 0) == (
            name != "bf16" and arch != "sm_80",
            name != "bf16" and arch == "sm_80",
        ), name


def test_warpgroups_multiply() -> None:
    """A step is four products, none of which is parted by a wait from the next."""
    for name, counts in counted("sm_90a", "").items():
        found = {full: n for full, n in counts.items() if full.startswith("HGMMA")}
        assert sum(found.values()) == 4, name
        assert all(("BF16" in full, "TF32" in full) == (name == "bf16", name != "bf16") for full in found), found
        assert number(counts, "HMMA") == number(counts, "LDSM") == number(counts, "FFMA") == 0, name
    for name, counts in counted("sm_90a", "highest").items():
        assert any(full.startswith("HGMMA") for full in counts) == (name == "bf16"), name


def with_epilogue() -> Graph:
    """A product of bf16, a bias and a gelu: what is computed of sums before they are stored."""
    a, b, c = (sg.placeholder(name, shape, "bfloat16") for name, shape in (("a", (N, N)), ("b", (N, N)), ("c", (N,))))
    return capture([a, b, c], {"y": sg.gelu(a @ b + c)})[0]


def lasting(number: int, steps: int) -> Callable[[Instruction | None, bool], Sequence[Tile]]:
    """The tile of a number, whose products last into so many steps that follow."""
    return lambda instruction, groups: [replace(tiles_of(instruction, groups)[number], ahead=2, lasting=steps)]


@pytest.mark.skipif(not find_nvcc()[0], reason="there is no nvcc")
@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("number", range(4))
def test_no_product_waits_for_another_one(number: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what ptxas says, and by its code: a wait in a step, if need be one for all behind the loop.

    While products are under way nothing is done to their sums.
    """
    monkeypatch.setattr(contraction, "tiles_of", lasting(number, steps))
    options = CompileOptions(cache=False, target=Target("cuda", cpu="sm_90a"))
    for graph in (*graphs().values(), with_epilogue()):
        backend = Noting(options.target)
        build(graph, options, backend)
        assert bool(re.search(r"sg_wgmma_wait_behind<\d+>", backend.text)) == bool(steps)
        made = run_nvcc(backend.text, "cubin", ("-arch", "sm_90a", "-O3", "-std=c++17", "-Xptxas", "-v"))
        assert "Used" in made.said
        assert "serialized" not in made.said
        assert made.made is not None
        assert backend.made is not None
        for code in (made.made, backend.made.cubin):  # by nvcc, and by NVRTC where that is
            (own,) = (lines for lines in listed(code) if any("HGMMA" in line for line in lines))
            assert_products_follow_each_other(own, steps)


def assert_products_follow_each_other(lines: Sequence[str], steps: int) -> None:
    kinds = {"HGMMA": "p", "WARPGROUP.ARRIVE": "(", "0x0": "0", "0x1": "1"}
    found = [
        (number, next((kind for part, kind in kinds.items() if part in line), ""))
        for number, line in enumerate(lines)
        if "HGMMA" in line or line.startswith("WARPGROUP")
    ]
    assert "".join(kind for _, kind in found) == ("(pppp10" if steps else "(pppp0")
    barrier = next(number for number, line in enumerate(lines) if line.startswith("BAR."))
    first, wait = found[1][0], found[5][0]
    assert barrier < first
    sums = re.search(r"64x(\d+)x\d+\S* R(\d+),", lines[first])
    assert sums is not None
    touched = range(int(sums[2]), int(sums[2]) + int(sums[1]) // 2)
    for line in lines[barrier:wait]:
        named = {int(register) for register in re.findall(r"\bR(\d+)\b", line)}
        assert "HGMMA" in line or named.isdisjoint(touched), line


@pytest.mark.skipif(not find_nvcc()[0], reason="there is no nvcc")
def test_ptxas_says_so_if_sums_are_converted_before_they_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the loop ptxas moves this to before a plain wait: what is done against that is needed."""
    monkeypatch.setattr(contraction, "tiles_of", lasting(0, 1))
    options = CompileOptions(cache=False, target=Target("cuda", cpu="sm_90a"))
    backend = Noting(options.target)
    build(graphs()["bf16"], options, backend)
    plain = backend.text.replace("sg_wgmma_wait_behind<256>(sums);", "sg_wgmma_wait<256>(sums);")
    assert plain != backend.text
    assert "serialized" in run_nvcc(plain, "cubin", ("-arch", "sm_90a", "-O3", "-std=c++17", "-Xptxas", "-v")).said


@pytest.mark.parametrize(("arch", "precision"), [("sm_75", ""), ("sm_80", "highest"), ("sm_90", "highest")])
def test_threads_multiply_what_they_read_in_vectors(arch: str, precision: str) -> None:
    for name, counts in counted(arch, precision).items():
        if number(counts, "HMMA"):
            continue
        assert number(counts, "FFMA") >= 256, name
        assert number(counts, "LDS", "128") == number(counts, "LDS") == 32, name

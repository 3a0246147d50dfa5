"""GPU kernels as CUDA C: the text itself, how it is launched, and that nvcc takes it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from kernel_runs import golden

from sigmagraph.codegen.cuda import program
from sigmagraph.codegen.cuda.callees import called
from sigmagraph.codegen.cuda.compile import Compiled
from sigmagraph.codegen.cuda.cubin import Resources
from sigmagraph.codegen.cuda.emit import emit_nest
from sigmagraph.codegen.cuda.fetch import Fetch, commit, wait
from sigmagraph.codegen.cuda.launcher import alone
from sigmagraph.codegen.cuda.legalize import legalize
from sigmagraph.codegen.cuda.nests import nests_of
from sigmagraph.codegen.cuda.program import Generation
from sigmagraph.dims import Dim
from sigmagraph.dtypes import F32
from sigmagraph.errors import CompileError
from sigmagraph.ir.kernel.kernel import Alloc, Buffer, For, Kernel, KernelStage, LoopKind, Role, Space, View
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.verify import verify_kernel
from sigmagraph.ir.launch import Grid, unpack
from sigmagraph.ir.plan import Branch, Check, Launch, Place, Plan, Step

GOLDEN = Path(__file__).parents[1] / "golden" / "kernel"
NONE: frozenset[str] = frozenset()


def emit_kernel(
    kernel: Kernel, restrict: frozenset[str], controlled: bool, unaligned: frozenset[str] = frozenset()
) -> tuple[str, tuple[Grid, ...]]:
    """The functions of all nests of a kernel, and how they are launched, in order."""
    nests = nests_of(kernel)
    made = [emit_nest(nest, restrict, controlled, unaligned) for nest in nests]
    return "\n".join(f.text for f in made), tuple(f.grid(nest) for f, nest in zip(made, nests, strict=True))


RELU = """sigmagraph 1
kernel @relu stage(legal) dims(n) params(%x: in f32[4*n], %m: in bool[4*n], %b: in f32[n], %y: out f32[4*n]) {
  for %i in ((n+255)//256) block_x {
    for %t in 256 thread_x {
      if (-256*%i-%t+n-1) {
        for %l in 4 vectorized {
          let %v: f32 = %x[1024*%i+4*%t+%l]
          let %s: f32 = %b[256*%i+%t]
          let %r: f32 = max(add(%v, %s), 0.0:f32)
          %y[1024*%i+4*%t+%l] = select(%m[1024*%i+4*%t+%l], %r, mul(%r, 0.1:f32))
        }
      }
    }
  }
}
"""

# Casts, gathers, guards, barriers, callees, two nests, lanes around a loop, everything that texts are made of.
EVERYTHING = """sigmagraph 1
kernel @scale stage(legal) dims(n) params(%from: in f32[n], %int: inout f32[n]) {
  for %i in n {
    %int[%i] = mul(%from[%i], %int[%i])
  }
}
kernel @every.thing stage(legal) dims(n, m) params(%x: in f32[n,m], %h: in f16[4*n], %k: in i64[n], %y: out f32[n,m],
    %z: out bf16[4*n]) {
  for %r in n block_y {
    for %c in ((m+31)//32) block_x {
      alloc %tile: f32[32] shared
      alloc %flags: bool[3] shared
      for %u in 2 thread_y {
        for %t in 32 thread_x {
          alloc %acc: f32[] local
          alloc %own: f32[4] local
          %acc[] = nan:f32
          for %q in 4 unrolled {
            %own[%q] = cast(index(n*m+%q), f32)
          }
          for %q in 12 {
            %acc[] = fma(%own[%q-4*(%q//4)], 0.1:f32, %acc[])
          }
          let %row: i64 = %k[%r]
          let %value: f32 = %x[%row, 32*%c+%t] when(%row, -%row+n-1, -32*%c-%t+m-1)
          let %other: f32 = shuffle_xor(%value, 1:i32)
          %tile[%t] when(-%u) = add(%other, %acc[])
          %flags[min(%t, 2)] when(-%u, -%t+2) = lt(%other, inf:f32)
          barrier
          call @scale(4) (%tile[4*(%t//4)], %own[0])
          %y[%r, 32*%c+%t] when(-32*%c-%t+m-1, -%u) = select(%flags[2], sqrt(%own[0]), neg(%tile[%t]))
        }
      }
    }
  }
  for %b in n block_x {
    for %t in 1 thread_x {
      for %v in 4 vectorized {
        let %a: f32 = cast(%h[4*%b+%v], f32)
        let %w: f32 = mul(%a, 2.0:f32)
        for %s in m {
          %z[4*%b+%v] = cast(add(%w, cast(index(%s), f32)), bf16)
        }
      }
    }
  }
}
"""


def compiled(image: bytes) -> Compiled:
    return Compiled(image, "// assembly", (Resources("relu", 8, 0, 0, 0, 0, 0),), "nvcc 13.0", 1.0)


def plan(kernel: Kernel, *before: Step, places: Sequence[Place] | None = None) -> Plan:
    places = places or [Place("slot", n) for n in range(len(kernel.params))]
    steps = (*before, Launch(kernel.name, tuple(places), kernel.dims))
    return Plan("run_main", kernel.dims, (), (), (), (), (), 0, (), (), steps)


def text(kernel: Kernel, *before: Step, places: Sequence[Place] | None = None) -> str:
    generation = Generation("sm_75", lambda _: compiled(b""))
    generation.enter(plan(kernel, *before, places=places), [kernel], [])
    return generation.text()


@pytest.mark.parametrize("name", ["row_sums_gpu", "relu"])
def test_the_text_is_this(name: str) -> None:
    kernel = parse_kernel(RELU) if name == "relu" else golden(name)
    written, _ = emit_kernel(kernel, frozenset({"%x"}), name == "relu")
    assert written == (GOLDEN / f"{name}.cu").read_text(encoding="utf-8")


def test_how_kernels_are_launched() -> None:
    n = Dim("n")
    assert emit_kernel(golden("row_sums_gpu"), NONE, False)[1] == (
        Grid("row_sums", Dim("rows"), 256, 128, (0, 1), ("n",)),
    )
    assert emit_kernel(parse_kernel(EVERYTHING), NONE, False)[1] == (
        Grid("every_thing_0", n * ((Dim("m") + 31) // 32), 64, 256, (0, 2, 3), ("n", "m")),
        Grid("every_thing_1", n, 1, 0, (1, 4), ("m",)),
    )


def test_the_code_is_what_was_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "find_disassembler", tuple)  # it would refuse the image
    kernel = parse_kernel(RELU)
    seen: list[str] = []

    def compile(text: str) -> Compiled:
        seen.append(text)
        return compiled(b"image")

    with Generation("sm_80", compile, listing=True) as generation:
        generation.begin(kernel)
        generation.enter(plan(kernel), [kernel], [b"one", b"two"])
        code = generation.finish()
    unpacked = unpack(code.object)
    assert (unpacked.arch, unpacked.image) == ("sm_80", b"image")
    launches = unpacked.plans["run_main"]
    assert (launches.constants, launches.controlled) == ((b"one", b"two"), False)
    assert launches.grids["relu"] == emit_kernel(kernel, NONE, False)[1]
    assert seen == [code.listings["program.cu"]] == [text(kernel)]
    told = code.listings["resources.txt"]
    assert told.startswith("by nvcc 13.0\nkernel  for    threads  registers ")
    assert told.splitlines()[2].split()[:4] == ["relu", "sm_80", "256", "8"]
    assert "no disassembler here that could tell the instructions (pip install nvidia-cuda-nvdisasm)" in told


def test_the_head_says_what_kernels_compute() -> None:
    assert '//   row_sums: @row_sums, "loss" grad' in text(golden("row_sums_gpu"))


@pytest.mark.parametrize("step", [Check(Place("slot", 9), "no"), Branch(Place("slot", 9), (), ())])
def test_kernels_look_at_the_flow_where_there_is_one(step: Step) -> None:
    kernel = golden("row_sums_gpu")
    line = "int* flow, int level) {\n  if (flow[0] != 0 || flow[level] == 0) return;"
    assert line.replace(", int level", ",\n    int level").replace(", ", ",\n    ") in text(kernel, step)
    assert "flow" not in text(kernel).split("// rows blocks")[1]


def test_only_memory_of_its_own_is_restricted() -> None:
    kernel = parse_kernel(RELU)
    a, b, c = (Place("slot", n) for n in range(3))
    launches = [Launch("relu", (a, b, b, c), ("n",))]
    assert alone(kernel, launches) == {"%x", "%m", "%b", "%y"}
    launches.append(Launch("relu", (a, b, b, replace(a, offset=64)), ("n",)))
    assert alone(kernel, launches) == {"%m", "%b"}


def test_vectors_are_loaded_from_aligned_places_only() -> None:
    kernel = parse_kernel(RELU)
    places = [Place("slot", n) for n in range(4)]
    places[0] = Place("input", 0, 4 * Dim("%turn"))
    written = text(kernel, places=places)
    assert "sg_load<4>(x_lanes" not in written
    assert "sg_load<4>(m_lanes" in written


def test_vectors_are_fetched_from_aligned_places_only() -> None:
    fetch = Fetch(F32, 4)
    target = Buffer("%s", F32, (4,), Role.TEMP, Space.SHARED)
    copy = fetch.call(View("%x", (4 * Dim("%b"),)), View("%s", (0,)))
    threads = For("%t", 1, LoopKind.THREAD_X, (copy, commit(), wait(0)))
    nest = For("%b", Dim("n"), LoopKind.BLOCK_X, (Alloc(target), threads))
    params = (Buffer("%x", F32, (4 * Dim("n"),), Role.IN),)
    kernel = Kernel("copy", ("n",), params, (nest,), KernelStage.SCHEDULED, called((nest,)))
    verify_kernel(kernel)
    legal = legalize(kernel)
    aligned, _ = emit_kernel(legal, NONE, False)
    assert "sg_fetch_f32_4(x + 4 * b, s);" in aligned
    assert "sg_commit_fetches();\n  sg_await_fetches_0();" in aligned
    written, _ = emit_kernel(legal, NONE, False, frozenset({"%x"}))
    assert "sg_fetch_f32_4_by_element(x + 4 * b, s);" in written


def test_a_guarded_vector_is_not_touched_where_the_guard_forbids_it() -> None:
    source = RELU.replace("%t+%l]\n", "%t+%l] when(-%t+7)\n").replace(" = select", " when(-%t+7) = select")
    written, _ = emit_kernel(parse_kernel(source), NONE, False)
    assert "sg_load<4>(x_lanes, x + 1024 * i + 4 * t, t <= 7);" in written
    assert "if (t <= 7) sg_store<4>(y + 1024 * i + 4 * t, y_lanes);" in written


def test_what_stands_outside_of_nests_is_refused() -> None:
    source = "sigmagraph 1\nkernel @k stage(legal) params(%y: out f32[1]) {\n  %y[0] = 1.0:f32\n}\n"
    with pytest.raises(CompileError, match="outside of all loops"):
        emit_kernel(parse_kernel(source), NONE, False)


def test_two_functions_of_one_name_are_refused() -> None:
    kernel = parse_kernel(RELU.replace("@relu", "@a.b"))
    other = replace(kernel, name="a-b")
    launched = Launch(other.name, tuple(Place("slot", n) for n in range(4)), other.dims)
    with pytest.raises(CompileError, match="two functions"):
        Generation("sm_75", lambda _: compiled(b"")).enter(plan(kernel, launched), [kernel, other], [])


def test_names_that_c_lacks_are_others() -> None:
    source = RELU.replace("%r", "%float").replace("@relu", "@exp").replace("%s:", "%sg_add:").replace("%s)", "%sg_add)")
    written, grids = emit_kernel(parse_kernel(source), NONE, False)
    assert "const float v_float = sg_max(x_lanes[l] + v_sg_add, 0.0f);" in written
    assert grids[0].symbol == "k_exp"


def test_nvcc_takes_everything(tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("there is no nvcc")
    (tmp_path / "program.cu").write_text(text(parse_kernel(EVERYTHING), Check(Place("slot", 9), "no")))
    done = subprocess.run(
        [
            nvcc,
            "--cubin",
            "-arch=sm_75",
            "--fmad=false",
            "-Werror",
            "all-warnings",
            "program.cu",
            "-o",
            "program.cubin",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "program.cubin").read_bytes()[:4] == b"\x7fELF"

"""CUDA C is compiled by the compilers that are at hand; what the code says of itself is read; refusals say where."""

import functools

import pytest

from sigmagraph.codegen.cuda import compile as compilation
from sigmagraph.codegen.cuda.compile import compile_text, compiler_name
from sigmagraph.codegen.cuda.cubin import read_resources
from sigmagraph.codegen.cuda.sass import find_disassembler, read_sass
from sigmagraph.errors import CompileError, FileFormatError

TEXT = """
extern "C" __global__ void __launch_bounds__(256, 8) tight(const float* x, float* y, int n) {
  extern __shared__ __align__(128) unsigned char raw[];
  float a[64];
#pragma unroll
  for (int i = 0; i < 64; ++i) a[i] = x[i * n + threadIdx.x];
  for (int k = 0; k < n; ++k)
#pragma unroll
    for (int i = 0; i < 64; ++i) a[i] = a[i] * a[(i + 7) & 63] + x[k];
  ((float*)raw)[threadIdx.x] = a[3];
  __syncthreads();
  float s = ((float*)raw)[threadIdx.x ^ 1];
#pragma unroll
  for (int i = 0; i < 64; ++i) s += a[i] * i;
  y[threadIdx.x] = s;
}
extern "C" __global__ void wide(const float4* x, float4* y, int n) {
  __shared__ float4 s[32];
  float kept[24];
  for (int i = 0; i < n; ++i) kept[i % 24] = x[i].x;
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  float4 v = s[threadIdx.x ^ 1];
  v.x = v.x * v.y + kept[n];
  y[threadIdx.x] = v;
}
"""
WRONG = """__device__ float twice(float v) { return v + v; }
extern "C" __global__ void good(float* x) { x[0] = twice(x[1]); }
extern "C" __global__ void __launch_bounds__(64) bad(float* x) {
  if (x[0] > 0) {
    x[1] = missing;
  }
}
"""


def present(compiler: str) -> str:
    try:
        return compiler_name(compiler)
    except CompileError:
        return ""


@functools.cache
def made(compiler: str, arch: str, listing: bool = False) -> compilation.Compiled:
    return compile_text(TEXT, arch, compiler, listing=listing)


@pytest.fixture(params=["nvrtc", "nvcc"])
def compiler(request):
    if not present(request.param):
        pytest.skip(f"{request.param} is not on this machine")
    return request.param


def test_code_says_what_its_kernels_take(compiler):
    result = made(compiler, "sm_90")
    tight, wide = result.resources
    assert (tight.symbol, tight.registers, tight.shared, tight.barriers) == ("tight", 32, 0, 1)
    assert tight.spill_stores > 100
    assert tight.spill_loads > 100
    assert tight.stack == tight.local > 100
    assert (wide.symbol, wide.shared, wide.local, wide.spill_stores, wide.spill_loads) == ("wide", 512, 96, 0, 0)
    assert 16 <= wide.registers <= 64
    assert result.cubin.startswith(b"\x7fELF")
    assert result.ptx == ""
    assert result.compiler == compiler_name(compiler)
    assert result.seconds > 0


def test_contraction_is_off_and_equal_texts_give_equal_code(compiler):
    first = made(compiler, "sm_80", True)
    assert ".visible .entry wide(" in first.ptx
    assert "fma.rn.f32" not in first.ptx
    assert "mul" in first.ptx
    assert ".target sm_80" in first.ptx
    again = compile_text(TEXT, "sm_80", compiler)
    assert (again.cubin, again.resources) == (first.cubin, first.resources)


def test_a_refusal_names_the_line_and_the_kernel(compiler):
    with pytest.raises(CompileError) as told:
        compile_text(WRONG, "sm_80", compiler)
    assert 'line 5: identifier "missing" is undefined' in told.value.got
    assert told.value.location == "line 5 of the text in kernel bad: x[1] = missing;"
    assert str(told.value).startswith(f"{compiler_name(compiler)} does not compile the program for sm_80")


@pytest.mark.extended
def test_a_refusal_of_the_assembler_names_the_kernel(compiler):
    text = 'extern "C" __global__ void odd(float* x) {\n  asm("{\\nsg.nothing %0;\\n}" :: "r"(1));\n}\n'
    with pytest.raises(CompileError) as told:
        compile_text(text, "sm_80", compiler)
    assert "Not a name of any known instruction: 'sg'" in told.value.got
    assert "of the PTX in kernel odd: sg.nothing" in told.value.location


@pytest.mark.extended
def test_too_much_static_shared_memory_is_told(compiler):
    text = """extern "C" __global__ void big(float* x) {
      __shared__ float s[12800];
      s[threadIdx.x] = x[0];
      __syncthreads();
      x[1] = s[threadIdx.x ^ 1];
    }"""
    for arch in ("sm_80", "sm_90"):
        with pytest.raises(CompileError) as told:
            compile_text(text, arch, compiler)
        assert "big" in told.value.location


@pytest.mark.extended
@pytest.mark.parametrize("arch", ["sm_75", "sm_86", "sm_89", "sm_90a", "sm_100"])
def test_every_architecture_is_compiled_for(compiler, arch):
    tight, wide = made(compiler, arch).resources
    assert (tight.symbol, wide.symbol, tight.shared, wide.shared, wide.local) == ("tight", "wide", 0, 512, 96)


def test_instructions_are_read_from_the_code():
    if not find_disassembler():
        pytest.skip("there is no nvdisasm on this machine (pip install nvidia-cuda-nvdisasm)")
    compiler = next((name for name in ("nvrtc", "nvcc") if present(name)), "")
    if not compiler:
        pytest.skip("there is no compiler of CUDA C on this machine")
    tight, wide = read_sass(made(compiler, "sm_90").cubin)
    assert (tight.symbol, wide.symbol) == ("tight", "wide")
    assert wide.wide_loads >= 1
    assert wide.wide_stores >= 1
    assert wide.wide_shared_loads >= 1
    assert wide.barriers == 1
    assert wide.fma == 0
    assert tight.local > 10


def test_a_missing_compiler_is_told(monkeypatch):
    monkeypatch.setattr(compilation, "find_nvrtc", lambda: (None, "it is not installed"))
    monkeypatch.setattr(compilation, "find_nvcc", lambda: ("", ""))
    with pytest.raises(CompileError) as told:
        compile_text(TEXT, "sm_80")
    assert "NVRTC: it is not installed; nvcc: it is not on the path" in told.value.got
    assert 'pip install "sigmagraph[cuda]"' in told.value.hint
    for name, other in (("nvrtc", "nvcc"), ("nvcc", "NVRTC")):
        with pytest.raises(CompileError) as told:
            compiler_name(name)
        assert other not in told.value.got


def test_wrong_names_are_told():
    with pytest.raises(CompileError, match="no such compiler"):
        compile_text(TEXT, "sm_80", "clang")
    for arch in ("", "compute_80", "sm_8", "sm_80 -g"):
        with pytest.raises(CompileError, match="no architecture"):
            compile_text(TEXT, arch)


@pytest.mark.parametrize("image", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(200), bytes(4096)])
def test_bytes_that_are_no_code_are_told(image):
    with pytest.raises(FileFormatError, match="not machine code of a GPU"):
        read_resources(image)


def test_cut_code_is_told(compiler):
    image = made(compiler, "sm_90").cubin
    for size in (70, 500, len(image) // 2):
        with pytest.raises(FileFormatError):
            read_resources(image[:size])

"""Compiles a program's CUDA C to machine code of a GPU, by NVRTC or nvcc, and says what its kernels take."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from sigmagraph.codegen.cuda.cubin import Resources, read_resources
from sigmagraph.codegen.cuda.nvcc import find_nvcc, run_nvcc
from sigmagraph.codegen.cuda.nvrtc import find_nvrtc
from sigmagraph.errors import CompileError

__all__ = ["Compiled", "Resources", "compile_text", "compiler_name"]

HINT = 'pip install "sigmagraph[cuda]", or nvidia-cuda-nvrtc of the CUDA version that the driver has'
_NAME = "program.cu"
_ARCH = re.compile(r"sm_\d{2,3}[af]?")
_STATIC_SHARED = 48 << 10  # bytes that a kernel can declare; more has to be asked for at its launch
# Same text, same flags, same bytes: no paths, no times get into the code. Contraction is off: `fma` is explicit.
_NVRTC = ("--std=c++17", "--fmad=false", "--ptxas-options=-O3", "--ptxas-options=-v")
_NVCC = ("-O3", "-std=c++17", "--fmad=false", "-Xptxas", "-v")
_PART = re.compile(
    r"__global__\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(|\.entry\s+(\w+)"
)
_IN_TEXT = re.compile(r"^[^\n(]*\((\d+)\): (?:catastrophic )?error(?: #[\w-]+)?\s*: (.*)$", re.MULTILINE)
_IN_HEADERS = re.compile(r"^[^\n:]+\.cu:(\d+):\d+: (?:fatal )?error: (.*)$", re.MULTILINE)  # of the host's preprocessor
_IN_ASSEMBLY = re.compile(r"^ptxas .*line (\d+); (?:error|fatal)\s*: (.*)$", re.MULTILINE)
_ANYWHERE = re.compile(r"^.*\b(?:error|fatal)\b\s*:\s*(.*)$", re.MULTILINE)
_FUNCTION = re.compile(r"function '(\w+)'")
_TOLD = 3  # errors


@dataclass(frozen=True, slots=True)
class Compiled:
    """What came of a text.

    Attributes:
        cubin: machine code, which the driver loads; it can, if it is of the same CUDA version as the compiler or newer.
        ptx: assembly for architectures to come; empty if it was not asked for.
        resources: what each kernel takes, by name.
        compiler: who made it, and which version.
        seconds: how long that took.
    """

    cubin: bytes
    ptx: str
    resources: tuple[Resources, ...]
    compiler: str
    seconds: float


def compiler_name(compiler: str = "") -> str:
    """Which compiler :func:`compile_text` uses, with its version: code depends on it.

    Args:
        compiler: ``nvrtc`` or ``nvcc``; empty for NVRTC where it is installed, which takes less time, and else nvcc.

    Raises:
        CompileError: this machine does not have it.
    """
    if compiler not in {"", "nvrtc", "nvcc"}:
        raise CompileError("there is no such compiler of CUDA C", expected="nvrtc or nvcc", got=repr(compiler))
    nvrtc, why = find_nvrtc() if compiler != "nvcc" else (None, "")
    if nvrtc is not None:
        return f"nvrtc {nvrtc.version}"
    path, version = find_nvcc() if compiler != "nvrtc" else ("", "")
    if path:
        return f"nvcc {version}"
    missing = {
        "nvrtc": f"NVRTC: {why}",
        "nvcc": "nvcc: it is not on the path, or does not say its version",
        "": f"NVRTC: {why}; nvcc: it is not on the path, or does not say its version",
    }[compiler]
    raise CompileError(
        "this machine cannot compile CUDA C",
        expected={"": "NVRTC (the wheel nvidia-cuda-nvrtc) or nvcc (of a CUDA toolkit)"}.get(compiler, compiler),
        got=missing,
        hint=HINT,
    )


def compile_text(text: str, arch: str, compiler: str = "", *, listing: bool = False) -> Compiled:
    """Compile CUDA C that includes no files.

    Args:
        text: the whole program; equal texts give equal code.
        arch: what to compile for, such as ``sm_80`` or ``sm_90a``.
        compiler: ``nvrtc`` or ``nvcc``; empty for the one that :func:`compiler_name` tells.
        listing: whether assembly (PTX) is wanted too. With nvcc that is a second run.

    Raises:
        CompileError: there is no compiler, or it refuses the text; the error names the line, and the kernel it is in.
    """
    if not _ARCH.fullmatch(arch):
        raise CompileError("this is no architecture of a GPU", expected="sm_80, sm_90a, ...", got=repr(arch))
    name = compiler_name(compiler)
    begin = time.perf_counter()
    make = _by_nvrtc if name.startswith("nvrtc") else _by_nvcc
    cubin, ptx, log = make(text, arch, name, listing)
    resources = read_resources(cubin, log)
    for kernel in resources:
        if kernel.shared > _STATIC_SHARED:  # nvcc refuses this, NVRTC does not
            raise CompileError(
                "a kernel declares too much shared memory",
                expected=f"at most {_STATIC_SHARED} bytes, or dynamic shared memory",
                got=kernel.shared,
                location=f"kernel {kernel.symbol}",
            )
    return Compiled(cubin, ptx, resources, name, time.perf_counter() - begin)


def _by_nvrtc(text: str, arch: str, name: str, listing: bool) -> tuple[bytes, str, str]:
    nvrtc, why = find_nvrtc()
    if nvrtc is None:
        raise CompileError("NVRTC is gone", got=why)
    attempt = nvrtc.compile(text, _NAME, (f"--gpu-architecture={arch}", *_NVRTC))
    if not attempt.done:
        raise _refusal(name, arch, text, attempt.ptx, attempt.log)
    return attempt.cubin, attempt.ptx if listing else "", attempt.log


def _by_nvcc(text: str, arch: str, name: str, listing: bool) -> tuple[bytes, str, str]:
    options = ("-arch", arch, *_NVCC)
    run = run_nvcc(text, "cubin", options)
    # Where the assembler refuses, the kernel is found in what it was given.
    assembly = run_nvcc(text, "ptx", options) if listing or _IN_ASSEMBLY.search(run.said) else None
    ptx = (assembly.made or b"").decode(errors="replace") if assembly else ""
    if run.made is None:
        raise _refusal(name, arch, text, ptx, run.said)
    return run.made, ptx, run.said


def _refusal(name: str, arch: str, text: str, ptx: str, log: str) -> CompileError:
    """The first errors of a log, and where the first one is."""
    places = ((_IN_TEXT, text, "the text"), (_IN_HEADERS, text, "the text"), (_IN_ASSEMBLY, ptx, "the PTX"))
    for pattern, source, what in places:
        found = pattern.findall(log)
        if found:
            told = [f"line {line}: {said}" for line, said in found[:_TOLD]]
            return _error(name, arch, [*told, *_more(len(found))], _place(source, int(found[0][0]), what))
    said = _ANYWHERE.findall(log) or [log.strip() or "nothing"]
    kernel = _FUNCTION.search(said[0])
    return _error(name, arch, [*said[:_TOLD], *_more(len(said))], f"kernel {kernel[1]}" if kernel else "")


def _error(name: str, arch: str, told: list[str], location: str) -> CompileError:
    return CompileError(f"{name} does not compile the program for {arch}", got="; ".join(told), location=location)


def _more(count: int) -> list[str]:
    return [f"and {count - _TOLD} more"] if count > _TOLD else []


def _place(source: str, line: int, what: str) -> str:
    lines = source.splitlines()
    shown = f": {lines[line - 1].strip()}" if 0 < line <= len(lines) else ""
    kernel = _kernel_at(source, line)
    return f"line {line} of {what}{f' in kernel {kernel}' if kernel else ''}{shown}"


def _kernel_at(source: str, line: int) -> str:
    """The kernel that a line is in; empty where it is in none."""
    starts = [0]
    for part in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(part))
    begin, end = starts[min(line, len(starts)) - 1], starts[min(line, len(starts) - 1)]
    for match in _PART.finditer(source):
        if match.start() < end and _closing(source, match.end()) > begin:
            return str(match[1] or match[2])
    return ""


def _closing(source: str, start: int) -> int:
    """Where the first block behind a place ends."""
    depth = 0
    for match in re.compile(r"[{}]").finditer(source, start):
        depth += 1 if match[0] == "{" else -1
        if depth <= 0:
            return match.end()
    return len(source)

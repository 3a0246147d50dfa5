"""What the machine can do at best: fused multiply-adds from generated code, copies from NumPy."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from sigmagraph.codegen.llvm.archive import pack
from sigmagraph.codegen.llvm.compile import Loaded, compile_module, processor
from sigmagraph.codegen.llvm.emit import emit_kernel
from sigmagraph.codegen.llvm.generation import module_text
from sigmagraph.codegen.schedule.machine import machine_of
from sigmagraph.codegen.transform.legalize import legalize
from sigmagraph.dtypes import F32
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.verify import verify_kernel
from sigmagraph.options import Target

REPEATS = 40
CHAINS = 10  # independent accumulators: at least latency times throughput of the multiply-add
STEPS = 1 << 20
COPIED = 64 << 20  # bytes; many times the last cache

_PEAK = """sigmagraph 1
kernel @peak stage(scheduled) dims(k) params(%x: in f32[{lanes}], %o: out f32[{size}]) {{
  alloc %acc: f32[{size}] local
  for %i in {chains} unrolled {{ for %v in {lanes} vectorized {{ %acc[%i*{lanes}+%v] = 0.0:f32 }} }}
  for %k in k {{
    for %v in {lanes} vectorized {{
      let %a: f32 = %x[%v]
{updates}
    }}
  }}
  for %i in {chains} unrolled {{ for %v in {lanes} vectorized {{ %o[%i*{lanes}+%v] = %acc[%i*{lanes}+%v] }} }}
}}
"""


@dataclass(frozen=True, slots=True)
class Floors:
    """Limits of the machine for a number of threads.

    Attributes:
        threads: how many worked at the same time.
        gflops: 10^9 float32 operations a second in multiply-adds on registers.
        copy: 10^9 bytes a second read and written by copies of arrays that fit no cache.
    """

    threads: int
    gflops: float
    copy: float


def floors(threads: int) -> Floors:
    """Measure the machine."""
    work, flops = _multiply_adds()
    peak = flops * threads / _best(work, threads)
    sources = [np.ones(COPIED // 4, np.float32) for _ in range(threads)]
    targets = [np.empty_like(s) for s in sources]
    pairs = iter(list(zip(targets, sources, strict=True)) * (REPEATS + 1))
    copied = 2 * COPIED * threads / _best(lambda: np.copyto(*next(pairs)), threads)
    return Floors(threads, peak / 1e9, copied / 1e9)


def _best(work: Callable[[], object], threads: int) -> float:
    """The shortest time in seconds of doing work on all threads at the same time."""
    with ThreadPoolExecutor(threads) as pool:
        times = []
        for _ in range(REPEATS + 1):
            start = time.perf_counter()
            for done in [pool.submit(work) for _ in range(threads)]:
                done.result()
            times.append(time.perf_counter() - start)
    return min(times[1:])


def _multiply_adds() -> tuple[Callable[[], object], int]:
    """A function that keeps the multiply-add units busy, and how many operations it does."""
    host = processor(Target())
    lanes = machine_of(host.triple, host.features).lanes(F32)
    size = CHAINS * lanes
    updates = "\n".join(f"      %acc[{i * lanes}+%v] = fma(%acc[{i * lanes}+%v], %a, %a)" for i in range(CHAINS))
    kernel = parse_kernel(_PEAK.format(lanes=lanes, size=size, chains=CHAINS, updates=updates))
    verify_kernel(kernel)
    declarations: dict[str, str] = {}
    code = emit_kernel(legalize(kernel), declarations)
    text = module_text(code.text, declarations, host.attributes)
    symbol = code.phases[0].symbol
    loaded = Loaded(pack([compile_module(text, host).object]), (symbol,), host, "peak")
    entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)(
        loaded.address(symbol)
    )

    def work() -> object:
        x, o = np.full(lanes, 0.5, np.float32), np.empty(size, np.float32)
        context = np.array([x.ctypes.data, o.ctypes.data, STEPS], np.int64)
        entry(context.ctypes.data, 0, 1, None)
        return loaded, o  # the code must outlive its use

    return work, 2 * size * STEPS

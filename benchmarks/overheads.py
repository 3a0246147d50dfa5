"""What is paid besides the work itself: imports, compilation, loading from the cache, and the call of a program.

``python -m benchmarks.overheads`` prints one line each. Imports and compilations run in processes of their own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import sigmagraph as sg

STEP = """
import time
from sigmagraph.optimisers import Adagrad
from sigmagraph.training.demo import readme_network
import sigmagraph as sg
graph = readme_network(8, 8).train_graph(Adagrad(learning_rate=0.02))
step = sg.compile(graph.inputs, graph.outputs, graph.updates, name="demo")
print(step.compile_seconds, step.cached)
"""


def process(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | environment).stdout


def import_seconds(statement: str) -> float:
    """Seconds that a statement takes in a fresh interpreter; the median of seven."""
    code = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    return statistics.median(float(process(code)) for _ in range(7))


def compile_seconds() -> tuple[float, float]:
    """Seconds for the demo's training step, cold and from the cache; medians of five."""
    cold: list[float] = []
    cached: list[float] = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            for times, expected in ((cold, "False"), (cached, "True")):
                seconds, from_cache = process(STEP, SIGMAGRAPH_CACHE=folder).split()
                if from_cache != expected:
                    raise RuntimeError(f"the program was {'not ' * (expected == 'True')}taken from the cache")
                times.append(float(seconds))
    return statistics.median(cold), statistics.median(cached)


def call_microseconds() -> tuple[float, float]:
    """Microseconds of a call of a one-element program, and of its native function alone; the best of many rounds."""
    x = sg.placeholder("x", (1,))
    function = sg.compile([x], {"y": x + 1.0}, target="cpu:1")
    one = np.ones(1, np.float32)
    kept = function(x=one)  # its memory is written again below
    e: Any = function.executor  # the one of the CPU
    (binding,) = e._bindings.values()
    tables = (e._params_at, binding.table_at, e._inputs_at, e._outputs_at, 0)  # still point at the last call's arrays
    native = best(lambda: e._entry(e._arena_at, *tables))
    assert (kept["y"] == 2).all()
    return best(lambda: function(x=one)), native


def best(action: Callable[[], object], calls: int = 300, rounds: int = 1500) -> float:
    """Microseconds of a call: the least mean over some hundred calls, which other work disturbs least."""
    least = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            action()
        least = min(least, time.perf_counter() - start)
    return least / calls * 1e6


def main() -> None:
    """Print all figures."""
    print(f"import sigmagraph          {import_seconds('import sigmagraph'):8.3f} s")
    print(f"... with the compiler      {import_seconds('import sigmagraph; sigmagraph.compile'):8.3f} s")
    cold, cached = compile_seconds()
    print(f"demo's step, cold          {cold:8.3f} s")
    print(f"demo's step, from cache    {cached:8.3f} s")
    whole, native = call_microseconds()
    print(f"call of one element        {whole:8.2f} us, {native:.2f} us of it native")


if __name__ == "__main__":
    main()

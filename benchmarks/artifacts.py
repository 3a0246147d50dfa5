"""Exported libraries beside the programs that Python runs: the same steps, called from C, and what a small call costs.

``python -m benchmarks.artifacts`` exports the networks for the processor at hand, compiles a C program that calls them
(it needs a C compiler), and prints medians of one run, each way taking turns. The floor of a call is what the C program
takes to read the bytes of the weights.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import sigmagraph as sg
from benchmarks.machine import describe
from sigmagraph import layers as L

NDArray: TypeAlias = "np.ndarray[Any, Any]"

TURNS = 7
_SECONDS = 0.2  # of each turn

_CLIENT = """
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "net.h"

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + 1e-9 * t.tv_nsec; }

static float floor_of(const float *p, size_t n) {
    float s[64] = {0}, total = 0;
    size_t i; int k;
    for (i = 0; i + 64 <= n; i += 64) for (k = 0; k < 64; ++k) s[k] += p[i + k];
    for (k = 0; k < 64; ++k) total += s[k];
    return total;
}

int main(int argc, char **argv) {
    const int64_t batch = atoll(argv[1]);
    const double seconds = atof(argv[2]);
    const size_t weights = (size_t)atoll(argv[3]) / 4;
    size_t need = net_predict_arena_size(batch);
    void *state = aligned_alloc(64, (net_state_size() + 63) / 64 * 64), *arena;
    float *x = calloc(batch * 784, 4), *p = calloc(batch * 10, 4), *w = aligned_alloc(64, (weights + 64) * 4), cost = 0;
    int32_t *y = calloc(batch, 4);
    volatile float sink = 0;
    char line[16];
    (void)argc;
    if (net_train_step_arena_size(batch) > need) need = net_train_step_arena_size(batch);
    arena = aligned_alloc(64, (need + 63) / 64 * 64);
    if (net_state_load(state, "net.safetensors")) return 2;
    memset(w, 0, (weights + 64) * 4);
    while (fgets(line, sizeof line, stdin)) {
        double begin = now(), end = begin;
        long calls = 0;
        while (end - begin < seconds) {
            int k;
            for (k = 0; k < 8; ++k, ++calls) {
                if (line[0] == 'p' && net_predict(state, arena, batch, x, p)) return 3;
                if (line[0] == 't' && net_train_step(state, arena, batch, x, y, 0.0f, &cost)) return 4;
                if (line[0] == 'f') sink += floor_of(w, weights);
            }
            end = now();
        }
        printf("%.9g\\n", (end - begin) / calls);
        fflush(stdout);
        if (line[0] == 't' && net_state_prepare(state)) return 5;
    }
    return 0;
}
"""


@dataclass(frozen=True)
class Case:
    """A network, and how many records at a time."""

    name: str
    layers: L.Chain
    batch: int


def cases() -> list[Case]:
    """A perceptron as in the comparison with peers, and a convolutional network."""
    perceptron = L.Input(784) + L.Dense(128, "relu") + L.Dense(10) + L.SoftmaxCrossEntropy()
    image = L.Input(784) + L.Reshape(28, 28, 1) + L.Conv2d(20, 5, activation="relu") + L.MaxPool(2)
    network = image + L.Conv2d(50, 5, activation="relu") + L.MaxPool(2) + L.Flatten()
    lenet = network + L.Dense(500, "relu") + L.Dense(10) + L.SoftmaxCrossEntropy()
    return [Case("MLP 784-128-10", perceptron, 1), Case("MLP 784-128-10", perceptron, 64), Case("LeNet", lenet, 64)]


class Client:
    """The C program, which times what it is told to, one line after the other."""

    def __init__(self, folder: Path, batch: int, weights: int) -> None:
        (folder / "client.c").write_text(_CLIENT)
        compiler = shutil.which("cc")
        if compiler is None:
            raise SystemExit("there is no C compiler: cc")
        flags = ["-O3", "-march=native", "-I.", "-L.", "-Wl,-rpath,."]
        subprocess.run([compiler, *flags, "client.c", "-lnet", "-o", "client"], cwd=folder, check=True)
        command = [str(folder / "client"), str(batch), str(_SECONDS), str(weights)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, text=True)

    def seconds(self, what: str) -> float:
        """Of a call: ``predict``, ``train_step`` or ``floor``."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self.process.communicate()


def timed(function: Any, arrays: Mapping[str, Any]) -> float:
    """Seconds of a call from Python."""
    begin = end = time.perf_counter()
    calls = 0
    while end - begin < _SECONDS:
        for _ in range(8):
            function(**arrays)
        calls += 8
        end = time.perf_counter()
    return (end - begin) / calls


def run(case: Case) -> None:
    """Time a case and print its lines."""
    network = sg.Network("net", case.layers)
    data = sg.data.Dataset(np.zeros((case.batch, 784), np.float32), np.zeros(case.batch, np.int32))
    batches = data.batches(case.batch)
    trainer = sg.Environment("e").trainer("t", network, sg.optimisers.Adam(0.0), batches, target="cpu:1")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        begin = time.perf_counter()
        export = sg.export(folder, name="net", trainer=trainer, cpu="native")
        seconds = time.perf_counter() - begin
        artifact = sg.load(folder)
        weights = sum(v.bytes for name, v in network.variables.items() if name != "rng")
        client = Client(folder, case.batch, weights)
        x, y = data.inputs, data.targets
        predict = sg.compile(*_prediction(network), target="cpu:1")
        step_inputs: dict[str, Any] = {"inputs": x, "targets": y, **dict(trainer.hyperparameters)}
        ways: dict[str, Callable[[], float]] = {
            "predict, Python": lambda: timed(predict, {"inputs": x}),
            "predict, sg.load": lambda: timed(artifact.predict, {"inputs": x}),
            "predict, C": lambda: client.seconds("predict"),
            "floor: reading the weights": lambda: client.seconds("floor"),
            "train, Python": lambda: timed(trainer.step, step_inputs),
            "train, C": lambda: client.seconds("train_step"),
        }
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(TURNS):
            for way, measure in ways.items():
                found[way].append(measure())
        client.close()
    library = next(size for name, size in export.files.items() if name.endswith((".so", ".dylib", ".dll")))
    print(f"{case.name}, batch {case.batch}: library {library:,} bytes, exported in {seconds:.1f} s")
    for way, values in found.items():
        print(f"  {way:<28} {statistics.median(values) * 1e6:10.2f} us")


def _prediction(network: sg.Network) -> tuple[list[Any], dict[str, Any]]:
    forward = network.forward(training=False)
    return list(forward.inputs), forward.predictions


def main() -> None:
    """Time all cases."""
    machine = describe()
    print(f"{machine.processor}, {machine.system}, one thread, medians of {TURNS} turns")
    for case in cases():
        run(case)


if __name__ == "__main__":
    main()

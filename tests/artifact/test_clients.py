"""Programs that use an artifact: C, C++, Rust and JavaScript, on this machine and on emulated ones."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from emulated import missing
from test_export import HERE, trainer

import sigmagraph as sg
from sigmagraph.artifact.link import linkers
from sigmagraph.artifact.targets import artifact_target
from sigmagraph.codegen.llvm.apart import Apart
from sigmagraph.codegen.llvm.compile import processor
from sigmagraph.exporter import build_library
from sigmagraph.options import Target
from sigmagraph.training.portable import portable_training

BEFORE, STEPS = 5, 100
SIZES = (1, 7, 64, 10)


def needs(*programs: str) -> pytest.MarkDecorator:
    lacking = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(bool(lacking), reason=f"not installed: {', '.join(lacking)}")


needs_zig = pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="not installed: ziglang")
pytestmark = pytest.mark.skipif(not linkers(artifact_target(HERE)), reason="there is no linker: cc, ld or ziglang")


def run(command: Sequence[object], folder: Path, timeout: int = 60) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr or done.stdout}"
    return done.stdout


@dataclass(frozen=True)
class Started:
    """A training that was exported after some steps, and what Python makes of 100 more with batches in a file."""

    folder: Path
    batches: list[tuple[np.ndarray, np.ndarray]]  # type: ignore[type-arg]
    costs: list[str]
    state: dict[str, np.ndarray]  # type: ignore[type-arg]

    @property
    def file(self) -> Path:
        return self.folder / "batches.bin"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Started:
    folder = tmp_path_factory.mktemp("clients")
    trained = trainer()
    trained.run(iterations=BEFORE, bar=False)
    sg.export(folder, name="net", trainer=trained, cpu="native")
    rng = np.random.default_rng(9)
    batches = []
    for number in range(STEPS):
        size = SIZES[number % len(SIZES)]
        x, y = rng.standard_normal((size, 4, 3)).astype(np.float32), rng.integers(0, 3, size).astype(np.int32)
        batches.append((x, y))
    with (folder / "batches.bin").open("wb") as file:
        for x, y in batches:
            file.write(np.int64(len(x)).tobytes() + x.tobytes() + y.tobytes())
    values = list(trained.hyperparameters.values())
    costs = [trained.step(x, y, *values)["cost"].tobytes()[::-1].hex() for x, y in batches]
    state = {
        f"random/{k}" if k == "rng" else f"network/{k}": v.value.copy() for k, v in trained.network.variables.items()
    }
    return Started(folder, batches, costs, state)


# Reads batches from a file, makes a step of each, prints the bits of every cost, and saves the state.
TRAIN = r"""
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "net.h"

int main(int argc, char **argv) {
    static float records[64 * 12];
    static int32_t targets[64];
    const size_t room = net_train_step_arena_size(64);
    void *state = malloc(net_state_size()), *arena = malloc(room);
    FILE *file = argc == 4 ? fopen(argv[2], "rb") : NULL;
    int64_t batch = 0;
    net_options options = {sizeof(net_options), 0, NULL, NULL, NULL};
    if (net_abi_version() != NET_ABI_VERSION || net_selftest() != NET_OK) return 2;
    if (!file || !state || !arena || net_state_load(state, argv[1]) != NET_OK) return 3;
    options.arena_size = room;
    while (fread(&batch, sizeof batch, 1, file) == 1) {
        float cost = 0;
        uint32_t bits = 0;
        const size_t count = (size_t)batch;
        int32_t status;
        if (fread(records, 4 * 12, count, file) != count || fread(targets, 4, count, file) != count) return 4;
        status = net_train_step_with(&options, state, arena, batch, records, targets, 0.01f, &cost);
        if (status != NET_OK) { fprintf(stderr, "%s\n", net_error(status)); return 5; }
        memcpy(&bits, &cost, 4);
        printf("%08" PRIx32 "\n", bits);
    }
    /* Wrong calls are refused, and change nothing. */
    options.arena_size = 64;
    if (net_predict_with(&options, state, arena, 64, records, records) != NET_ERROR_ARENA) return 6;
    options.size = 8;
    if (net_predict_with(&options, state, arena, 64, records, records) != NET_ERROR_OPTIONS) return 7;
    if (net_predict(NULL, arena, 1, records, records) != NET_ERROR_NULL) return 8;
    if (net_predict(state, arena, -1, records, records) != NET_ERROR_DIMS) return 9;
    if (net_predict(arena, arena, 1, records, records) != NET_ERROR_STATE) return 10;
    if (net_state_load(state, argv[2]) != NET_ERROR_FILE) return 11;
    if (net_state_load(state, "missing") != NET_ERROR_IO) return 12;
    targets[0] = 77;
    if (net_train_step(state, arena, 1, records, targets, 0.01f, records) < 100) return 13;
    if (net_state_save(state, argv[3]) != NET_OK) return 14;
    fclose(file);
    free(arena);
    free(state);
    return 0;
}
"""
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-I.")


@needs("cc")
@pytest.mark.parametrize(("compiler", "standard", "suffix"), [("cc", "c99", "c"), ("c++", "c++17", "cpp")])
def test_a_hundred_steps_in_c_are_those_of_python(started: Started, compiler: str, standard: str, suffix: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"not installed: {compiler}")
    (started.folder / f"train.{suffix}").write_text(TRAIN)
    link = ("-L.", "-lnet", "-Wl,-rpath,$ORIGIN", "-o", f"train-{suffix}")
    run([compiler, f"-std={standard}", *WARNINGS, f"train.{suffix}", *link], started.folder)
    after = started.folder / f"after-{suffix}.safetensors"
    said = run([started.folder / f"train-{suffix}", "net.safetensors", started.file, after], started.folder)
    assert said.split() == started.costs
    artifact = sg.load(started.folder)
    artifact.load_state(after)
    state = artifact.state
    assert state["course/iteration"] == BEFORE + STEPS
    for name, expected in started.state.items():
        np.testing.assert_array_equal(state[name], expected, err_msg=name)
    back = trainer()
    back.resume(after)
    assert back.iteration == BEFORE + STEPS
    x, y = started.batches[0]
    theirs = back.step(x, y, *back.hyperparameters.values())["cost"]
    assert theirs == artifact.train_step(x, y, learning_rate=0.01)["cost"]


OPENED = r"""
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    size_t (*size)(void);
    int32_t (*test)(void *, size_t);
    void *library = dlopen("./libnet.so", RTLD_NOW), *memory;
    if (!library) { fprintf(stderr, "%s\n", dlerror()); return 2; }
    *(void **)&size = dlsym(library, "net_selftest_size");
    *(void **)&test = dlsym(library, "net_selftest_run");
    memory = malloc(size());
    return test(memory, size());
}
"""


@needs("cc")
@pytest.mark.skipif(sys.platform != "linux", reason="the client opens a .so")
def test_a_library_is_opened_at_run_time(started: Started) -> None:
    (started.folder / "opened.c").write_text(OPENED)
    run(["cc", "-std=c11", "-O1", "opened.c", "-ldl", "-o", "opened"], started.folder)
    run([started.folder / "opened"], started.folder)


RUST = r"""
use std::ffi::c_void;
#[link(name = "net")]
extern "C" {
    fn net_state_size() -> usize;
    fn net_state_read(state: *mut c_void, bytes: *const c_void, size: usize) -> i32;
    fn net_selftest_size() -> usize;
    fn net_selftest_run(memory: *mut c_void, size: usize) -> i32;
    fn net_predict_arena_size(batch: i64) -> usize;
    fn net_predict(state: *const c_void, arena: *mut c_void, batch: i64, x: *const f32, y: *mut f32) -> i32;
}
fn main() {
    let file = std::fs::read("net.safetensors").unwrap();
    unsafe {
        let mut memory = vec![0u64; net_selftest_size() / 8 + 1];
        assert_eq!(net_selftest_run(memory.as_mut_ptr().cast(), net_selftest_size()), 0);
        let mut state = vec![0u64; net_state_size() / 8 + 1];
        let state = state.as_mut_ptr().cast::<c_void>();
        assert_eq!(net_state_read(state, file.as_ptr().cast(), file.len()), 0);
        let mut arena = vec![0u64; net_predict_arena_size(2) / 8 + 1];
        let (x, mut y) = ([0.5f32; 24], [0f32; 6]);
        assert_eq!(net_predict(state, arena.as_mut_ptr().cast(), 2, x.as_ptr(), y.as_mut_ptr()), 0);
        for v in y { println!("{:08x}", v.to_bits()); }
    }
}
"""


@needs("rustc", "cc")
def test_rust_predicts_the_same_bits(started: Started) -> None:
    (started.folder / "client.rs").write_text(RUST)
    command = ["rustc", "-L.", "-C", "link-arg=-Wl,-rpath,$ORIGIN", "client.rs", "-o", "client-rs"]
    run(command, started.folder, 120)
    said = run([started.folder / "client-rs"], started.folder)
    expected = sg.load(started.folder).predict(np.full((2, 4, 3), 0.5, np.float32))["prediction"]
    assert said.split() == [f"{bits:08x}" for bits in expected.view(np.uint32).ravel()]


NODE = """
import { readFileSync } from "node:fs";
const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), {});
const net = instance.exports;
const at = net.__heap_base.value, size = net.net_selftest_size();
net.memory.grow(Math.ceil((at + size) / 65536));
console.log(net.net_selftest_run(at, size), net.net_predict_arena_size(3n) > 0, net.net_predict_arena_size(-1n));
"""


@needs("node")
@needs_zig
def test_webassembly_passes_its_own_test_under_node(tmp_path: Path) -> None:
    sg.export(tmp_path, name="net", trainer=trainer(), target="wasm32")
    (tmp_path / "client.mjs").write_text(NODE)
    assert run(["node", "client.mjs", "net.wasm"], tmp_path).split() == ["0", "true", "0"]


# A program without a C library: it hands static memory to the self-test, and leaves with its status.
ALONE = """
@words = constant [{count} x i32] [{words}], section ".text.words"
@memory = internal global [{size} x i8] zeroinitializer, align 64
declare i32 @net_selftest_run(ptr, i64)
define void @_start() {{
  %status = call i32 @net_selftest_run(ptr @memory, i64 {size})
  %wide = zext i32 %status to i64
  call i64 @words(i64 %wide, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0, i64 93)
  unreachable
}}
"""
# The system call whose number is the eighth argument: `mov x8, x7; svc 0; ret`, and `ecall; ret`, where it is in a7.
WORDS = {"aarch64": (0xAA0703E8, 0xD4000001, 0xD65F03C0), "riscv64": (0x00000073, 0x00008067)}


@pytest.mark.parametrize("machine", ["aarch64", "riscv64"])
def test_an_emulated_machine_passes_the_test(tmp_path: Path, machine: str) -> None:
    triple = f"{machine}-linux-gnu"
    found = [linker for linker in linkers(artifact_target(triple)) if not linker.driver]
    emulator = f"qemu-{machine}"
    if shutil.which(emulator) is None or not found:
        pytest.skip(f"not installed: {', '.join(missing()) or emulator}")
    built = build_library("net", portable_training(trainer()), triple)
    words = ", ".join(f"i32 u0x{word:08X}" for word in WORDS[machine])
    code = ALONE.format(count=len(WORDS[machine]), words=words, size=1 << 20)
    apart = Apart(processor(Target(triple=triple)))
    try:
        (tmp_path / "start.o").write_bytes(apart.compile(code).object)
    finally:
        apart.close()
    (tmp_path / "net.o").write_bytes(built.code)
    mode = artifact_target(triple).mode
    run([*found[0].command, "-m", mode, "-static", "-e", "_start", "-o", "alone", "start.o", "net.o"], tmp_path)
    run([emulator, tmp_path / "alone"], tmp_path)

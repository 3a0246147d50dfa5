"""Programs in other languages that use an exported artifact: they train and predict with the bits of Python."""

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
from safetensors.numpy import load_file

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph import optimisers
from sigmagraph.artifact.link import linkers
from sigmagraph.artifact.targets import artifact_target
from sigmagraph.codegen.llvm.apart import Apart
from sigmagraph.codegen.llvm.compile import processor
from sigmagraph.ir.interface import Status
from sigmagraph.options import Target

HERE = processor(Target()).triple
CLIENTS = Path(__file__).parent / "clients"
WARNINGS = ["-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
SIZES = (1, 7, 64)
STEPS = 100
RATE = np.float32(0.01)

pytestmark = [
    pytest.mark.skipif(not linkers(artifact_target(HERE)), reason="there is no linker: cc, ld or ziglang"),
    pytest.mark.skipif(not HERE.endswith("linux-gnu"), reason="how programs find a library is known for Linux"),
]
gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where a program is not installed, and say which."""
    missing = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is missing")


@dataclass(frozen=True)
class Batch:
    """What a step takes."""

    inputs: np.ndarray
    targets: np.ndarray


def records() -> sg.data.Dataset:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((70, 4, 3)).astype(np.float32)
    return sg.data.Dataset(x, (x.sum(axis=(1, 2)) > 0).astype(np.int32) + (x[:, 0, 0] > 1))


def trainer() -> sg.Trainer:
    """A network with batch norm, dropout and Adam: moments, states of layers, random numbers and counters."""
    chain = L.Input(4, 3) + L.Dense(9) + L.BatchNorm() + L.Dropout(0.3) + L.Dense(3) + L.SoftmaxCrossEntropy()
    rule = optimisers.Adam(learning_rate=float(RATE))
    data = records().batches(7)
    return sg.Environment("t", seed=3).trainer("trainer", sg.Network("net", chain), optimiser=rule, data=data)


def mixed(count: int) -> list[Batch]:
    """Batches of several sizes, in an order that changes between small and large ones."""
    rng = np.random.default_rng(11)
    found = []
    for size in rng.choice(SIZES, count):
        x = rng.standard_normal((size, 4, 3)).astype(np.float32)
        found.append(Batch(x, rng.integers(0, 3, size).astype(np.int32)))
    return found


def dealt(trained: sg.Trainer, number: int) -> Batch:
    """The batch that a trainer takes at an iteration."""
    epoch, start = divmod(number, len(trained.data))
    batch = next(iter(trained.data.epoch(epoch, start)))
    return Batch(batch.inputs, batch.targets)


def stepped(trained: sg.Trainer, batches: Sequence[Batch]) -> list[str]:
    """Steps of the compiled function in Python; the bits of the costs."""
    costs = []
    for batch in batches:
        values = trained.step(batch.inputs, batch.targets, *trained.hyperparameters.values())
        costs.append(np.float32(values["cost"]).view(np.uint32))
    return [f"{bits:08x}" for bits in costs]


def write_batches(path: Path, batches: Sequence[Batch]) -> None:
    """For each batch its size as int64, inputs and targets."""
    parts = [np.int64(len(b.targets)).tobytes() + b.inputs.tobytes() + b.targets.tobytes() for b in batches]
    path.write_bytes(b"".join(parts))


def run(*command: str | Path) -> list[str]:
    """The lines that a program prints; it has to end well."""
    done = subprocess.run([*command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout.split()


def assert_same_state(ours: Path, theirs: Path, iterations: int) -> None:
    """Every array of the first file is in the second, bit for bit; the trainer's own `run` counts iterations."""
    expected, found = load_file(theirs), load_file(ours)
    assert found.pop("course/iteration") == iterations
    assert {"random/rng", "network/2-batchnorm.mean", "optimiser/beta1_power"} < found.keys()
    assert expected.keys() - found.keys() <= {"course/iteration", "course/step_seconds", "value/cost"}
    for name, array in found.items():
        assert array.dtype == expected[name].dtype, name
        assert array.tobytes() == expected[name].tobytes(), name


@pytest.fixture(scope="module")
def trained() -> sg.Trainer:
    """A trainer that has not begun, to export from."""
    return trainer()


@dataclass(frozen=True)
class Straight:
    """A hundred steps in Python: the batches, the bits of the costs and the file of the state afterwards."""

    batches: list[Batch]
    costs: list[str]
    state: Path


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Straight:
    """Training by the compiler in this process, with batches of several sizes."""
    python, batches = trainer(), mixed(STEPS)
    costs = stepped(python, batches)
    assert len(set(costs)) > STEPS // 2
    path = tmp_path_factory.mktemp("python") / "state.safetensors"
    python.save(path)
    return Straight(batches, costs, path)


@pytest.fixture(scope="module")
def exported(trained: sg.Trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an artifact for this machine."""
    folder = tmp_path_factory.mktemp("clients") / "net"
    sg.export(folder, name="net", trainer=trained, cpu="native")
    return folder


def built(compiler: Sequence[str], source: Path, folder: Path, to: Path) -> Path:
    """A program that is linked with the library and finds it where it was exported."""
    program = to / source.stem
    flags: list[str | Path] = [f"-I{folder}", source, "-o", program, f"-L{folder}", "-lnet", f"-Wl,-rpath,{folder}"]
    subprocess.run([*compiler, *WARNINGS, *flags], check=True, timeout=60)
    return program


@pytest.fixture(scope="module")
def c_trainer(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train STATE BATCHES NEW_STATE`, in C99."""
    return built(["gcc", "-std=c99"], CLIENTS / "train.c", exported, tmp_path_factory.mktemp("c"))


# ---- C


@gcc
def test_c_trains_with_the_bits_of_python(exported: Path, c_trainer: Path, straight: Straight, tmp_path: Path) -> None:
    """A hundred steps with batches of several sizes: all costs and the whole state are Python's."""
    write_batches(tmp_path / "batches", straight.batches)
    costs = run(c_trainer, exported / "net.safetensors", tmp_path / "batches", tmp_path / "c.safetensors")
    assert costs == straight.costs
    assert_same_state(tmp_path / "c.safetensors", straight.state, STEPS)


@gcc
def test_python_and_c_take_turns(c_trainer: Path, tmp_path: Path) -> None:
    """13 steps in Python and 13 in C are 26 in Python; and Python goes on with what C wrote."""
    half = 13
    first, longer = trainer(), trainer()
    first.run(iterations=half, bar=False)
    first.save(tmp_path / "first.safetensors")
    write_batches(tmp_path / "batches", [dealt(first, n) for n in range(half, 2 * half)])
    run(c_trainer, tmp_path / "first.safetensors", tmp_path / "batches", tmp_path / "c.safetensors")
    longer.run(iterations=2 * half, bar=False)
    longer.save(tmp_path / "longer.safetensors")
    assert_same_state(tmp_path / "c.safetensors", tmp_path / "longer.safetensors", 2 * half)
    back = trainer()
    back.resume(tmp_path / "c.safetensors")
    assert back.iteration == 2 * half
    more = mixed(10)
    assert stepped(back, more) == stepped(longer, more)


@gcc
def test_wrong_use_from_c_is_said_and_changes_nothing(exported: Path, tmp_path: Path) -> None:
    program = built(["gcc", "-std=c99"], CLIENTS / "misuse.c", exported, tmp_path)
    whole = exported / "net.safetensors"
    (tmp_path / "cut").write_bytes(whole.read_bytes()[:-1])
    assert run(program, whole, tmp_path / "cut") == []


# ---- C++ and Rust


def predicted(folder: Path, records_path: Path) -> list[str]:
    """What Python predicts for new records, which are written; the bits."""
    x = np.resize(records().inputs, (17, 4, 3)).astype(np.float32)
    records_path.write_bytes(x.tobytes())
    trained = trainer()
    trained.resume(folder / "net.safetensors")
    return [f"{bits:08x}" for bits in trained.network.predict(x).view(np.uint32).ravel()]


@gcc
def test_a_library_is_opened_at_run_time(exported: Path, tmp_path: Path) -> None:
    run("gcc", "-std=c11", "-O1", CLIENTS / "opened.c", "-ldl", "-o", tmp_path / "opened")
    run(tmp_path / "opened", exported / "libnet.so")


@needs("g++")
def test_cpp_predicts_the_bits_of_python(exported: Path, tmp_path: Path) -> None:
    program = built(["g++", "-std=c++17"], CLIENTS / "predict.cpp", exported, tmp_path)
    expected = predicted(exported, tmp_path / "records")
    assert run(program, exported / "net.safetensors", tmp_path / "records") == expected


@needs("rustc")
def test_rust_predicts_the_bits_of_python(exported: Path, tmp_path: Path) -> None:
    program = tmp_path / "predict"
    options: list[str | Path] = [
        "--edition=2021",
        "-Dwarnings",
        f"-L{exported}",
        f"-Clink-arg=-Wl,-rpath,{exported}",
        "-o",
        program,
    ]
    subprocess.run(["rustc", *options, CLIENTS / "predict.rs"], check=True, timeout=60)
    expected = predicted(exported, tmp_path / "records")
    assert run(program, exported / "net.safetensors", tmp_path / "records") == expected


# ---- WebAssembly


@needs("node")
@pytest.mark.skipif(not linkers(artifact_target("wasm32")), reason="there is no linker for WebAssembly")
def test_javascript_trains_and_python_goes_on(trained: sg.Trainer, straight: Straight, tmp_path: Path) -> None:
    """100 steps are 50 and 50, bit for bit. Here they round otherwise than on this machine; random numbers are the same."""
    sg.export(tmp_path / "net", name="net", trainer=trained, target="wasm32")
    batches = straight.batches
    parts = {"whole": batches, "first": batches[: STEPS // 2], "second": batches[STEPS // 2 :]}
    for name, part in parts.items():
        write_batches(tmp_path / name, part)

    def javascript(name: str, state: Path, kept: str) -> list[str]:
        return run(
            "node", CLIENTS / "train.mjs", tmp_path / "net" / "net.wasm", state, tmp_path / name, tmp_path / kept
        )

    begin = tmp_path / "net" / "net.safetensors"
    costs = javascript("whole", begin, "straight")
    assert javascript("first", begin, "half") + javascript("second", tmp_path / "half", "resumed") == costs
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "straight").read_bytes()
    np.testing.assert_allclose(numbers(costs), numbers(straight.costs), rtol=1e-5)
    back = trainer()
    back.resume(tmp_path / "straight")
    assert back.iteration == STEPS
    np.testing.assert_array_equal(back.network.variables["rng"].value, load_file(straight.state)["random/rng"])


def numbers(bits: Sequence[str]) -> np.ndarray:
    """The costs with these bits."""
    return np.array([int(text, 16) for text in bits], np.uint32).view(np.float32)


# ---- machines without a system


# Exits with 64 if memory that is too small is refused and the self-test passes, else with the wrong status. The words
# make the call of the system whose number is the eighth argument (93 is exit) and return.
_START = """
@words = constant [{count} x i32] [{words}], section ".text.words"
@memory = internal global [4194304 x i8] zeroinitializer, align 64
declare i64 @net_selftest_size()
declare i32 @net_selftest_run(ptr, i64)

define void @_start() {{
  %size = call i64 @net_selftest_size()
  %fits = icmp ule i64 %size, 4194304
  br i1 %fits, label %small, label %end
small:
  %less = sub i64 %size, 1
  %refused = call i32 @net_selftest_run(ptr @memory, i64 %less)
  %right = icmp eq i32 %refused, {size_error}
  br i1 %right, label %whole, label %end
whole:
  %status = call i32 @net_selftest_run(ptr @memory, i64 %size)
  %shown = add i32 %status, 64
  br label %end
end:
  %code = phi i32 [ 1, %0 ], [ 2, %small ], [ %shown, %whole ]
  %wide = zext i32 %code to i64
  call i64 @words(i64 %wide, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0, i64 93)
  unreachable
}}
"""
_CALLS = {
    "aarch64": (0xAA0703E8, 0xD4000001, 0xD65F03C0),  # mov x8, x7; svc 0; ret
    "riscv64": (0x00000073, 0x00008067),  # ecall; ret
}


@pytest.mark.parametrize(
    "machine",
    [
        pytest.param("aarch64", marks=needs("qemu-aarch64")),
        pytest.param("riscv64", marks=needs("qemu-riscv64")),
    ],
)
def test_a_program_without_a_system_passes_the_self_test(machine: str, trained: sg.Trainer, tmp_path: Path) -> None:
    """Its object is linked with nothing but an entry point: no C library, and memory that is in the program."""
    linker = lld()
    target = f"{machine}-none-elf"
    sg.export(tmp_path / "net", name="net", trainer=trained, target=target)
    words = _CALLS[machine]
    listed = ", ".join(f"i32 {word}" for word in words)
    text = _START.format(count=len(words), words=listed, size_error=int(Status.SIZE))
    compiler = Apart(processor(Target(triple=target)))
    (tmp_path / "start.o").write_bytes(compiler.compile(text).object)
    compiler.close()
    program = tmp_path / "program"
    command: list[str | Path] = [
        *linker,
        "-static",
        "-e",
        "_start",
        "-o",
        program,
        tmp_path / "start.o",
        tmp_path / "net" / "libnet.a",
    ]
    subprocess.run(command, check=True, timeout=60)
    assert subprocess.run([f"qemu-{machine}", program], timeout=60, check=False).returncode == 64


def lld() -> list[str]:
    """LLVM's linker for ELF, for every machine; skips where there is none."""
    if found := shutil.which("ld.lld"):
        return [found]
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("ld.lld and ziglang are missing")
    return [sys.executable, "-m", "ziglang", "ld.lld"]

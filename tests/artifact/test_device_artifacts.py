"""Artifacts for GPUs: the C that comes out is compiled and run against a driver library that works on the processor."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cuda_shim
import numpy as np
import pytest
from cuda_programs import ShimExecution
from safetensors.numpy import load_file, save_file

import sigmagraph as sg
from sigmagraph import exporter, optimisers
from sigmagraph import layers as L
from sigmagraph.artifact import device_library
from sigmagraph.cli import main
from sigmagraph.codegen.cuda import compile as compile_module
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.codegen.cuda.compile import Compiled, compiler_name
from sigmagraph.codegen.cuda.program import Generation
from sigmagraph.errors import CompileError, InputError, TargetError
from sigmagraph.ir.interface import STATUS_TEXTS, Status
from sigmagraph.options import HIGHEST, Target
from sigmagraph.tensor.workspace import scope

HERE = Path(__file__).parent
CLIENTS = HERE / "clients"
STAND_IN = Path(__file__).parents[1] / "cuda" / "driver" / "libcuda.cpp"
WARNINGS = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
RATE = np.float32(0.01)
TARGET = "cuda:sm_80"
SOFTMAX = ' of the driver), at "test_device_artifacts.py":'  # the line and the layer are those of the network
LETTER = "ö"  # has two bytes
HIDDEN = 256  # columns of the largest value

pytestmark = [
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing"),
    pytest.mark.skipif(not cuda_shim.available(), reason="g++ is missing"),
]


def has_driver() -> bool:
    """Whether the system has a CUDA driver."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


class ShimBackend(CudaBackend):
    """The target in full precision, but what stands in the artifact as machine code is a library for the processor."""

    def __init__(self, target: Target, precision: str = "") -> None:
        super().__init__(target, precision or HIGHEST)

    def generation(self, listing: bool) -> Generation:
        return Generation(self.arch, _for_host, listing)


def _for_host(text: str) -> Compiled:
    return Compiled(cuda_shim.build(text).read_bytes(), "", (), "g++", 0.0)


class TextBackend(CudaBackend):
    """The target as it is, but nothing is compiled."""

    def generation(self, listing: bool) -> Generation:
        return Generation(self.arch, lambda text: Compiled(b"", "// assembly", (), "nobody", 0.0), listing)


@dataclass(frozen=True)
class Batch:
    """What a step takes."""

    inputs: np.ndarray
    targets: np.ndarray


def trainer(device: ShimExecution | None = None) -> sg.Trainer:
    """A small network with random numbers, and a rule with memory and counters; it trains on a device if there is one."""
    chain = L.Input(4, 3) + L.Dense(9, "relu") + L.Dropout(0.3) + L.Dense(3) + L.SoftmaxCrossEntropy()
    rng = np.random.default_rng(5)
    x = rng.standard_normal((70, 4, 3)).astype(np.float32)
    data = sg.data.Dataset(x, (x.sum(axis=(1, 2)) > 0).astype(np.int32) + (x[:, 0, 0] > 1))
    rule = optimisers.Adam(learning_rate=float(RATE))
    operator, target = ("cuda", device.target) if device else (None, None)
    return sg.Environment("t", seed=3).trainer(
        "trainer",
        sg.Network("net", chain),
        optimiser=rule,
        data=data.batches(7),
        operator=operator,
        target=target,
        options=sg.CompileOptions(precision="highest"),
    )


def batches(sizes: Sequence[int]) -> list[Batch]:
    rng = np.random.default_rng(11)
    found = []
    for size in sizes:
        x = rng.standard_normal((size, 4, 3)).astype(np.float32)
        found.append(Batch(x, rng.integers(0, 3, size).astype(np.int32)))
    return found


@dataclass(frozen=True)
class Shipped:
    """An artifact, and where it is run."""

    export: sg.Export
    driver: Path

    @property
    def folder(self) -> Path:
        return self.export.folder

    def build(self, client: str) -> Path:
        """A program of a client and the artifact, with the stand-in's runtime in it."""
        program, code = self.driver / client, self.driver / "net.o"
        command = ["gcc", *WARNINGS, f"-I{self.folder}"]
        if not code.exists():
            subprocess.run([*command, "-c", str(self.folder / "net.c"), "-o", str(code)], check=True)
        if not program.exists():
            link = ["-Wl,--no-as-needed", str(cuda_shim._runtime()._name), "-ldl"]
            sources = [str(CLIENTS / f"{client}.c"), str(code)]
            subprocess.run([*command, *sources, *link, "-o", str(program)], check=True)
        return program

    def run(self, client: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, "LD_LIBRARY_PATH": str(self.driver), **environment}
        command = [str(self.build(client)), *map(str, arguments)]
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    driver = tmp_path_factory.mktemp("driver")
    flags = ("-std=c++17", "-O0", "-shared", "-fPIC", "-ldl")
    library = cuda_shim._compiled("driver", STAND_IN.read_text(), ["-x", "c++", "-"], flags)
    shutil.copy(library, driver / "libcuda.so.1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "backend_for", ShimBackend)
        export = sg.export(tmp_path_factory.mktemp("dist"), name="net", trainer=trainer(), target=TARGET)
    return Shipped(export, driver)


def test_training_on_a_device_is_that_of_the_processor(shipped: Shipped, tmp_path: Path) -> None:
    """The first step with a size goes kernel by kernel, the second is captured, the third is done again as a whole."""
    steps = batches([7, 7, 7, 1, 7, 64, 7])
    parts = [np.int64(len(b.targets)).tobytes() + b.inputs.tobytes() + b.targets.tobytes() for b in steps]
    (tmp_path / "batches").write_bytes(b"".join(parts))
    done = shipped.run("train", shipped.folder / "net.safetensors", tmp_path / "batches", tmp_path / "new.safetensors")
    assert done.returncode == 0, done.stdout + done.stderr
    costs = np.array([int(word, 16) for word in done.stdout.split()], np.uint32).view(np.float32)
    here = trainer()
    wanted = [float(here.step(b.inputs, b.targets, *here.hyperparameters.values())["cost"]) for b in steps]
    np.testing.assert_allclose(costs, wanted, rtol=2e-5)
    back = trainer()
    back.resume(tmp_path / "new.safetensors")
    assert back.iteration == len(steps)
    for name, variable in here.network.variables.items():
        np.testing.assert_allclose(
            back.network.variables[name].value, variable.value, rtol=2e-5, atol=1e-6, err_msg=name
        )
    assert load_file(tmp_path / "new.safetensors")["course/iteration"] == len(steps)


def in_python(shipped: Shipped, client: str, *arguments: Path | str) -> None:
    """Run a program of Python's with the stand-in."""
    paths = os.pathsep.join(map(str, (Path(sg.__file__).parents[1], Path(cuda_shim.__file__).parent, HERE)))
    variables = {**os.environ, "LD_LIBRARY_PATH": str(shipped.driver), "PYTHONPATH": paths}
    command = [sys.executable, "-W", "error", str(CLIENTS / client), *map(str, arguments)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ended well" in done.stdout


def test_python_loads_it_with_a_c_compiler(shipped: Shipped, tmp_path: Path) -> None:
    in_python(shipped, "loaded.py", shipped.folder, tmp_path)
    rng = np.random.default_rng(3)
    x, targets = rng.standard_normal((5, 4, 3)).astype(np.float32), np.array([0, 1, 2, 2, 1])
    here = trainer()
    np.testing.assert_allclose(np.load(tmp_path / "before.npy"), here.network.predict(x), rtol=2e-5)
    cost = here.step(x, targets, *here.hyperparameters.values())["cost"]
    np.testing.assert_allclose(np.load(tmp_path / "cost.npy"), cost, rtol=2e-5)
    back = trainer()
    back.resume(tmp_path / "state.safetensors")
    np.testing.assert_allclose(back.network.predict(x), here.network.predict(x), rtol=2e-5)


@pytest.mark.extended
def test_functions_of_all_kinds_are_exported(shipped: Shipped, tmp_path: Path) -> None:
    """Loops, choices, checks, scalars of all types, embedded weights, and what is done ahead of calls."""
    in_python(shipped, "functions.py", tmp_path)


@pytest.mark.skipif(has_driver(), reason="there is a driver")
def test_without_a_driver_python_says_so(shipped: Shipped) -> None:
    assert not shipped.export.tested
    with pytest.raises(TargetError, match=r"CUDA devices(.|\n)*NVIDIA's driver"):
        sg.load(shipped.folder)


def test_without_a_c_compiler_python_says_so(shipped: Shipped, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(device_library.ctypes, "CDLL", lambda name: None)  # as if there were a driver
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(TargetError, match=r"net\.c has to be compiled(.|\n)*a C compiler(.|\n)*none of cc, gcc, clang"):
        sg.load(shipped.folder)
    monkeypatch.undo()
    monkeypatch.setattr(device_library.ctypes, "CDLL", lambda name: None)
    (shipped.folder / "net.h").rename(tmp_path / "net.h")
    with pytest.raises(InputError, match=r"net\.h cannot be read"):
        sg.load(shipped.folder)
    (tmp_path / "net.h").rename(shipped.folder / "net.h")


def test_wrong_calls_are_refused(shipped: Shipped, tmp_path: Path) -> None:
    whole = shipped.folder / "net.safetensors"
    (tmp_path / "cut").write_bytes(whole.read_bytes()[:-1])
    done = shipped.run("device", "misuse", whole, tmp_path / "cut")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("environment", "status", "parts"),
    [
        ({"LD_LIBRARY_PATH": ""}, "DEVICE", ["there is no CUDA driver: libcuda.so.1: cannot open shared object"]),
        ({"STAND_IN_DEVICES": "0"}, "DEVICE", ["the CUDA driver finds no device", "no CUDA-capable device", "100"]),
        ({"STAND_IN_ARCH": "75"}, "DEVICE", ["stand-in, is sm_75; the library has code for sm_80 and newer ones"]),
        ({"STAND_IN_ARCH": "90"}, "DEVICE", ["does not take the assembly of 'predict' for sm_80: invalid image"]),
        (
            {"STAND_IN_MEMORY": "100"},
            "MEMORY",
            [
                "the device has no 2368 bytes for the state of 'net'; 100 of 100 are free: out of memory",
                "; the largest of 16 values is 'network/1-dense.weights': 432 bytes",
            ],
        ),
        (
            {"STAND_IN_MEMORY": "4000"},
            "MEMORY",
            [
                "for the arena, inputs and outputs of 'predict' with batch = 7; 80 of 4000 are free: out of memory",
                "; the arena alone has 384 bytes; with every dim at 1 the smallest plan is 768 bytes, beside 3920 for ",
                "; the largest buffer is the input 'inputs': 336 bytes",
            ],
        ),
        (
            {"STAND_IN_FAILS": "softmax"},
            "LAUNCH",
            ["failed in the kernel '", "softmax", "' of 'predict'", "launch failure", SOFTMAX],
        ),
        ({"STAND_IN_REFUSES": "softmax"}, "LAUNCH", ["the device refuses the kernel '", "invalid argument", SOFTMAX]),
        (
            {"STAND_IN_LACKS": "softmax"},
            "DEVICE",
            ["the device does not have the kernel '", "softmax", " (", ", 0 bytes of shared memory): ", SOFTMAX],
        ),
    ],
)
def test_a_device_that_cannot_is_told_of(
    shipped: Shipped, environment: dict[str, str], status: str, parts: list[str]
) -> None:
    done = shipped.run("device", "predict", shipped.folder / "net.safetensors", "", **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{int(Status[status])}: {STATUS_TEXTS[Status[status]]}: ")
    assert [part for part in parts if part not in done.stdout] == [], done.stdout


# A program in a file whose name and whose layer's have what means something in C, in formats or in comments.
ODD = f'''
def odd(x, w):
    with scope('"{LETTER}"\\n%s */ ??/'):
        return sg.softmax(x @ w, axis=0).sum(axis=1)
'''
ODD_FILE = f'/nowhere/{LETTER}"d\\e %n\n.py'
ODD_NODES = f'"{LETTER}"d/e %n .py":4 ""{LETTER}" %s */ ??/"'  # on one line, as comments of the text have it, too


def odd_function() -> sg.CompiledFunction:
    """A function of ODD_FILE, with a value that is larger than what goes in and comes out."""
    names: dict[str, Any] = {"sg": sg, "scope": scope}
    exec(compile(ODD, ODD_FILE, "exec"), names)  # the file is not there
    x, w = sg.placeholder("x", (sg.Dim("n"), 4)), sg.parameter("w", np.ones((4, HIDDEN), np.float32))
    return sg.compile([x], {"y": names["odd"](x, w)})


def with_work_ahead() -> sg.CompiledFunction:
    """A product with what depends on a parameter alone."""
    x, w = sg.placeholder("x", (sg.Dim("n"), 4)), sg.parameter("v", np.ones((4, 3), np.float32))
    return sg.compile([x], {"y": x @ sg.tanh(w)})


def many_kernels() -> sg.CompiledFunction:
    """A kernel for each of some layers, and two inputs with long names."""
    n, extra = sg.Dim("n"), [sg.placeholder(name, (1,)) for name in (3000 * LETTER, f"a{3000 * LETTER}")]
    x = y = sg.placeholder("x", (n, 4))
    for number in range(15):
        with scope(f"{number}-{LETTER}"):
            w = sg.parameter(f"w{number}", np.eye(4 + number, 5 + number, dtype=np.float32))
            y = sg.softmax(y @ w, axis=0)  # of other sizes each: layers that are alike have one kernel
    return sg.compile([x, *extra], {"y": y, "sum": extra[0] + extra[1]})


@pytest.fixture(scope="module")
def faulty(shipped: Shipped, tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """An artifact with odd names in it."""
    place = tmp_path_factory.mktemp("faulty")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "backend_for", ShimBackend)
        functions = {"odd": odd_function(), "many": many_kernels(), "ahead": with_work_ahead()}
        export = sg.export(place, name="f", functions=functions, target=TARGET, embed_weights=True)
    return Shipped(export, shipped.driver)


@pytest.mark.parametrize(
    "what",
    ["named_at_once", "found_later", "failed_ahead", "refused_later", "too_little_memory", "cut_between_letters"],
)
def test_failures_name_kernels_lines_and_layers(faulty: Shipped, what: str) -> None:
    in_python(faulty, "faults.py", faulty.folder, what)


def test_odd_names_are_literals_of_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "backend_for", TextBackend)
    sg.export(tmp_path, name="f", functions={"odd": odd_function()}, target=TARGET)
    text = (tmp_path / "f.c").read_text("ascii")
    assert text.count(r'"\"\303\266\"d/e %n .py\":4 \"\"\303\266\" %s */ \?\?/\""') > 1
    subprocess.run(["gcc", *WARNINGS, "-fsyntax-only", str(tmp_path / "f.c")], check=True)


def test_loops_choices_and_checks_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop of the plan is one in C; a choice in it and an index that is looked at are kernels, which know their level."""
    m = sg.Dim("m")
    x, index = sg.placeholder("x */ \\", (m, 4)), sg.placeholder("index", (m,), dtype="int32")
    table = sg.parameter("table", np.zeros((5, 4), np.float32))

    def turn(state: sg.Tensor, row: sg.Tensor) -> tuple[sg.Tensor, sg.Tensor]:
        chosen = sg.cond(row.sum() > 0, lambda s, r: s * 0.5 + r, lambda s, r: s - r * r, state, row)
        return chosen, chosen * 2

    last, all_turns = sg.scan(turn, sg.take(table, index, axis=0).sum(axis=0), x)
    function = sg.compile([x, index], {"last": last, "all": all_turns})
    monkeypatch.setattr(exporter, "backend_for", TextBackend)
    export = sg.export(tmp_path, name="f", functions={"loops": function}, target="cuda:sm_90a", embed_weights=True)
    text = (tmp_path / "f.c").read_text("ascii")
    (loop,) = re.findall(
        r"^    for \(int64_t t1 = 0; t1 < d0; \+\+t1\) \{$(.*?)^    \}$", text, re.MULTILINE | re.DOTALL
    )
    assert re.search(
        r"sg_launch\(s, \d+, 1, SG_WORDS\([^;]*, 2, 3, SG_AT\(s->constants, 0\), 1\)\)\); /\* sg_branch \*/", loop
    )
    assert set(re.findall(r"SG_AT\(s->constants, 0\), (\d)\)\)", loop)) == {"1", "2", "3"}
    assert "sg_check */" in text[: text.index(loop)]
    assert export.interface.functions[0].checks
    for compiler in ("gcc", "clang"):
        if shutil.which(compiler):
            subprocess.run([compiler, *WARNINGS, "-fsyntax-only", str(tmp_path / "f.c")], check=True)
            subprocess.run([compiler, *WARNINGS, "-fsyntax-only", "-DF_LINK_DRIVER", str(tmp_path / "f.c")], check=True)


def constants_of(text: str) -> dict[str, bytes]:
    """The constants of a library that are words, by name."""
    found = re.findall(r"uint64_t (sg_\w+)\[\] = \{(.*?)\};", text, re.DOTALL)
    words = {name: re.findall(r"0x([0-9a-f]+)u", body) for name, body in found}
    return {name: b"".join(int(word, 16).to_bytes(8, "little") for word in body) for name, body in words.items()}


@pytest.mark.parametrize(("arch", "alone"), [("sm_90", False), ("sm_90a", True), ("sm_100f", True)])
def test_code_for_one_architecture_alone_comes_without_assembly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arch: str, alone: bool
) -> None:
    monkeypatch.setattr(exporter, "backend_for", TextBackend)
    x = sg.placeholder("x", (sg.Dim("n"), 4))
    sg.export(tmp_path, name="f", functions={"twice": sg.compile([x], {"y": x + x})}, target=f"cuda:{arch}")
    text = (tmp_path / "f.c").read_text("ascii")
    assert f"#define SG_ARCH_ALONE {int(alone)}" in text
    assert constants_of(text)["sg_ptx0"].rstrip(b"\0") == (b"" if alone else b"// assembly")


def test_an_export_leaves_the_values_on_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are fetched once, and no step has to bring them there again; the file has them as they were at the export."""
    monkeypatch.setattr(exporter, "backend_for", TextBackend)
    of = trainer(ShimExecution(driver := cuda_shim.HostDriver(seed=1)))
    of.run(iterations=2, lines=False)
    before = driver.counts["uploaded"]
    of.run(iterations=3, lines=False)
    usual = driver.counts["uploaded"] - before  # the batch and the hyperparameters
    export = sg.export(tmp_path, name="net", trainer=of, target=TARGET, embed_weights=True)
    wanted = {name: of.network.variables[name].read().copy() for name in ("1-dense.weights", "3-dense.biases")}
    before = driver.counts["uploaded"]
    of.run(iterations=3, lines=False)
    assert driver.counts["uploaded"] - before == usual
    stored = load_file(export.folder / "net.safetensors")
    assert stored["course/iteration"] == 5
    for name, value in wanted.items():
        np.testing.assert_array_equal(stored[f"network/{name}"], value, err_msg=name)
        assert (of.network.variables[name].read() != value).any(), name  # that have changed since


GRAPH = """sigmagraph 1
graph @scale(%x: input f32[n,3], %w: param f32[3]) -> (y: %1) {
  %0 = broadcast(%w) {shape = [n, 3]} : f32[n,3]
  %1 = mul(%x, %0) : f32[n,3]
}
"""


def built(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> object:
    """How ``sigmagraph build`` of a graph ends."""
    save_file({"w": np.ones(3, np.float32)}, folder / "w.safetensors")
    (folder / "scale.sg").write_text(GRAPH)
    command = ["sigmagraph", "build", str(folder / "scale.sg"), "-o", str(folder / "dist"), "--target", TARGET]
    monkeypatch.setattr("sys.argv", [*command, "--state", str(folder / "w.safetensors"), *more])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


def can_compile() -> bool:
    """Whether there is a compiler of CUDA C."""
    try:
        return bool(compiler_name())
    except CompileError:
        return False


@pytest.mark.skipif(not can_compile(), reason="there is neither NVRTC nor nvcc")
def test_the_command_line_builds_what_a_compiler_of_cuda_c_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert built(tmp_path, monkeypatch) == 0
    dist = tmp_path / "dist"
    names = {path.name for path in dist.iterdir()}
    assert names == {"scale.c", "scale.h", "scale.json", "scale.safetensors", "scale_scale.cu"}
    text = (dist / "scale.c").read_text("ascii")
    code, assembly = (constants_of(text)[name] for name in ("sg_cubin0", "sg_ptx0"))
    assert code.startswith(b"\x7fELF")
    assert b".target sm_80" in assembly
    assert b".entry k0_" in assembly
    subprocess.run(["gcc", *WARNINGS, "-c", "scale.c", "-o", os.devnull], cwd=dist, check=True)


def test_without_a_compiler_of_cuda_c_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compile_module, "find_nvrtc", lambda: (None, "the wheel is not installed"))
    monkeypatch.setattr(compile_module, "find_nvcc", lambda: ("", ""))
    assert built(tmp_path, monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "this machine cannot compile CUDA C" in said
    assert 'pip install "sigmagraph[cuda]"' in said
    assert not (tmp_path / "dist").exists()


def test_wrong_arguments_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for more, what in (
        (["--threads", "2"], "GPUs take neither a processor nor threads"),
        (["--cpu", "native"], "GPUs take neither a processor nor threads"),
        (["--target", "cuda"], "the architecture of the GPU is not known"),
        (["--target", "cuda:banana"], "this is no target"),
    ):
        assert built(tmp_path, monkeypatch, *more) == 1
        assert what in " ".join(capsys.readouterr().err.split())

"""Exported artifacts: what lies in the folder, the same bits as in Python, and a training that goes back and forth."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import textwrap
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph import optimisers
from sigmagraph.artifact.formats import inspect_library
from sigmagraph.artifact.link import linkers
from sigmagraph.artifact.manifest import info_text, manifest_text, read_manifest
from sigmagraph.artifact.targets import artifact_target
from sigmagraph.codegen.llvm.compile import processor
from sigmagraph.errors import (
    AttributeValueError,
    DimError,
    FileFormatError,
    GraphError,
    IdentifierError,
    IndexRangeError,
    InputError,
    TargetError,
)
from sigmagraph.ir.interface import Status
from sigmagraph.options import Target

HERE = processor(Target()).triple
pytestmark = pytest.mark.skipif(not linkers(artifact_target(HERE)), reason="there is no linker: cc, ld or ziglang")

RECORDS = 70
SIZE = 7


def records() -> sg.data.Dataset:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((RECORDS, 4, 3)).astype(np.float32)
    return sg.data.Dataset(x, (x.sum(axis=(1, 2)) > 0).astype(np.int32) + (x[:, 0, 0] > 1))


def trainer(name: str = "t") -> sg.Trainer:
    """A network with dropout and batch norm: states of layers, and random numbers."""
    chain = L.Input(4, 3) + L.Dense(9) + L.BatchNorm() + L.Dropout(0.3) + L.Dense(3) + L.SoftmaxCrossEntropy()
    network = sg.Network("net", chain)
    environment = sg.Environment(name, seed=3)
    rule = optimisers.Adam(learning_rate=0.01)
    return environment.trainer("trainer", network, optimiser=rule, data=records().batches(SIZE))


def dealt(trained: sg.Trainer, number: int) -> sg.data.Batch:
    """The batch of an iteration."""
    epoch, start = divmod(number, len(trained.data))
    return next(iter(trained.data.epoch(epoch, start)))


def go_on(artifact: sg.Artifact, trained: sg.Trainer, first: int, count: int) -> list[float]:
    """Steps of an artifact with the batches that a trainer would take."""
    costs = []
    for number in range(first, first + count):
        batch = dealt(trained, number)
        values = artifact.train_step(batch.inputs, batch.targets, learning_rate=0.01)
        costs.append(float(values["cost"]))
    return costs


@dataclass(frozen=True)
class Shipped:
    """A trainer after some steps, and what was exported of it."""

    trained: sg.Trainer
    export: sg.Export

    def load(self) -> sg.Artifact:
        return sg.load(self.export.folder)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    trained = trainer()
    trained.run(iterations=8, bar=False)
    export = sg.export(tmp_path_factory.mktemp("dist") / "new" / "net", name="net", trainer=trained, cpu="native")
    return Shipped(trained, export)


# ---- what is written


def test_the_folder_holds_library_header_manifest_and_state(shipped: Shipped) -> None:
    names = {path.name for path in shipped.export.folder.iterdir()}
    target = artifact_target(HERE)
    assert names == {target.library("net"), "net.h", "net.json", "net.safetensors"} == set(shipped.export.files)
    assert shipped.export.linker
    assert shipped.export.tested
    assert shipped.export.why == ""
    assert "net.h" in str(shipped.export)


def test_a_library_needs_nothing_and_shows_nothing_else(shipped: Shipped) -> None:
    found = inspect_library((shipped.export.folder / artifact_target(HERE).library("net")).read_bytes())
    assert not found.needed
    assert not found.undefined
    assert sorted(found.exports) == sorted(shipped.export.interface.symbols)


def test_equal_trainings_give_equal_bytes(tmp_path: Path, shipped: Shipped) -> None:
    exports = [sg.export(tmp_path / str(n), name="net", trainer=shipped.trained, cpu="native") for n in range(2)]
    for name in exports[0].files:
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes(), name


def test_the_manifest_says_what_there_is(shipped: Shipped) -> None:
    text = (shipped.export.folder / "net.json").read_text()
    manifest = read_manifest(text, "net.json")
    assert manifest.interface == shipped.export.interface
    assert manifest_text(manifest.interface, manifest.files) == text
    step = json.loads(text)["functions"]["train_step"]
    assert step["inputs"]["inputs"] == "f32[batch,4,3]"
    assert list(step["inputs"]) == ["inputs", "targets", "optimiser.learning_rate"]
    assert json.loads(info_text(manifest.interface))["stored_values"] == len(manifest.interface.stored)


DAMAGED = {
    "no JSON": lambda d: "{",
    "a list": lambda d: "[]",
    "another program's": lambda d: json.dumps(d | {"format": "other 1"}),
    "newer": lambda d: json.dumps(d | {"format": "sigmagraph artifact 2"}),
    "a newer ABI": lambda d: json.dumps(d | {"abi": 2}),
    "no state": lambda d: json.dumps({k: v for k, v in d.items() if k != "state"}),
    "no type": lambda d: json.dumps(d | {"state": {"w": {"type": "f32[2", "offset": 0}}}),
    "a symbolic value": lambda d: json.dumps(d | {"state": {"w": {"type": "f32[n]", "offset": 0}}}),
    "a negative size": lambda d: json.dumps(d | {"state_bytes": -1}),
    "text for a number": lambda d: json.dumps(d | {"threads": "1"}),
    "a list of functions": lambda d: json.dumps(d | {"functions": []}),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_manifest_is_refused(shipped: Shipped, damage: Any) -> None:
    data = json.loads((shipped.export.folder / "net.json").read_text())
    with pytest.raises(FileFormatError):
        read_manifest(damage(data), "net.json")


# ---- the same bits


def test_an_artifact_predicts_the_same_bits_for_every_batch(shipped: Shipped) -> None:
    artifact = shipped.load()
    network = shipped.trained.network
    for count in (1, 7, 64, 0):
        x = np.resize(records().inputs, (count, 4, 3)).astype(np.float32)
        np.testing.assert_array_equal(artifact.predict(inputs=x)["prediction"], network.predict(x))


def test_training_goes_to_an_artifact_and_back(shipped: Shipped, tmp_path: Path) -> None:
    """8 steps in Python and 20 in the artifact are 28 in Python; and 8, 8 there and 12 here are 28, too."""
    straight = trainer()
    straight.run(iterations=28, bar=False)
    artifact = shipped.load()
    costs = go_on(artifact, straight, 8, 8)
    artifact.save_state(tmp_path / "half.safetensors")
    costs += go_on(artifact, straight, 16, 12)
    assert costs[-1] == last_cost(straight)
    state = artifact.state
    assert state["course/iteration"] == 28
    expected = straight.network.variables
    for name, variable in expected.items():
        stored = state[f"random/{name}" if name == "rng" else f"network/{name}"]
        np.testing.assert_array_equal(stored, variable.value, err_msg=name)
    back = trainer()
    back.resume(tmp_path / "half.safetensors")
    assert back.iteration == 16
    # Batches go on where Python left them, so that it is told which ones come now.
    step = back.step
    for number in range(16, 28):
        batch = dealt(straight, number)
        step(batch.inputs, batch.targets, *back.hyperparameters.values())
    for name, variable in back.network.variables.items():
        np.testing.assert_array_equal(variable.value, expected[name].value, err_msg=name)


def last_cost(trained: sg.Trainer) -> float:
    return float(trained.course.costs[-1] if trained.course.costs else trained.history.costs[-1])


def test_an_artifact_takes_a_checkpoint_of_the_trainer(shipped: Shipped, tmp_path: Path) -> None:
    later = trainer()
    later.run(iterations=15, bar=False)
    later.save(tmp_path / "later.safetensors")
    artifact = shipped.load()
    artifact.load_state(tmp_path / "later.safetensors")
    x = records().inputs[:5]
    np.testing.assert_array_equal(artifact.predict(x)["prediction"], later.network.predict(x))
    assert artifact.state["course/iteration"] == 15


def test_evaluation_is_exported(shipped: Shipped) -> None:
    data = records()
    values = shipped.load().evaluate(inputs=data.inputs, targets=data.targets)
    assert float(values["cost"]) == pytest.approx(shipped.trained.evaluate(data).cost, rel=1e-6)


def test_an_artifact_passes_its_own_test(shipped: Shipped) -> None:
    shipped.load().selftest()


def test_a_wrong_library_fails_its_own_test(shipped: Shipped, tmp_path: Path) -> None:
    """One constant of the programs is another one: what comes out is not what should."""
    library = shipped.export.folder / artifact_target(HERE).library("net")
    data = library.read_bytes()
    rate = np.float32(0.3).tobytes()  # of dropout, which is no argument
    assert data.count(rate) == 1
    copy = copied(shipped.export.folder, tmp_path, {library.name: data.replace(rate, np.float32(0.8).tobytes())})
    with pytest.raises(TargetError, match="something else"):
        sg.load(copy).selftest()


def copied(folder: Path, to: Path, changed: Mapping[str, bytes]) -> Path:
    """A copy of an artifact with other files in it, of which the manifest tells."""
    import hashlib

    manifest = json.loads((folder / "net.json").read_text())
    for path in folder.iterdir():
        data = changed.get(path.name, path.read_bytes())
        if path.name in manifest["files"]:
            manifest["files"][path.name] = hashlib.sha256(data).hexdigest()
        (to / path.name).write_bytes(data)
    (to / "net.json").write_text(json.dumps(manifest))
    return to


# ---- functions


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, sg.CompiledFunction], sg.Artifact]:
    """A softmax regression, and a function of other types; weights are embedded, and two threads take part."""
    n = sg.Dim("n")
    x, label = sg.placeholder("x", (n, 12)), sg.placeholder("label", (n,), dtype="int32")
    rate = sg.placeholder("rate", ())
    w, b = sg.parameter("w", np.zeros((12, 3), np.float32)), sg.parameter("b", np.zeros(3, np.float32))
    logits = x @ w + b
    loss = sg.losses.softmax_cross_entropy(logits, label).mean()
    dw, db = sg.gradients(loss, [w, b])
    step = sg.compile([x, label, rate], {"loss": loss}, {w: w - rate * dw, b: b - rate * db})
    predict = sg.compile([x], {"p": sg.softmax(logits)})
    kinds = [sg.placeholder(str(d), (), dtype=d) for d in ("float16", "bfloat16", "bool", "uint8", "int8", "int64")]
    a = sg.placeholder("a", (n, n), dtype="float16")
    half, brain, flag, u8, i8, i64 = kinds
    mix = sg.where(flag, a * half, a + brain.astype("float16"))
    odd = sg.compile([a, *kinds], {"mix": mix, "sum": u8.astype("int64") + i8.astype("int64") + i64, "not": ~flag})
    compiled = {"train_step": step, "predict": predict, "odd": odd}
    folder = tmp_path_factory.mktemp("functions")
    sg.export(folder, name="fun", functions=compiled, cpu="native", embed_weights=True, threads=2)
    (folder / "fun.safetensors").unlink()
    manifest = json.loads((folder / "fun.json").read_text())
    del manifest["files"]["fun.safetensors"]
    (folder / "fun.json").write_text(json.dumps(manifest))
    return compiled, sg.load(folder, threads=2)


def test_functions_give_what_compiled_ones_do(functions: Any) -> None:
    compiled, artifact = functions
    rng = np.random.default_rng(1)
    for count in (3, 300):
        x, label = rng.standard_normal((count, 12)).astype(np.float32), rng.integers(0, 3, count)
        for _ in range(5):
            ours, theirs = artifact.train_step(x, label, 0.1), compiled["train_step"](x, label, 0.1)
            np.testing.assert_array_equal(ours["loss"], theirs["loss"])
        np.testing.assert_array_equal(artifact.predict(x=x)["p"], compiled["predict"](x=x)["p"])
    artifact.prepare()
    np.testing.assert_array_equal(artifact.predict(x=x)["p"], compiled["predict"](x=x)["p"])
    np.testing.assert_array_equal(artifact.state["w"], compiled["predict"].source.variables["w"].value)


@pytest.mark.parametrize("flag", [True, False])
def test_scalars_of_every_type_go_by_value(functions: Any, flag: bool) -> None:
    compiled, artifact = functions
    a = np.linspace(-2, 2, 16).astype(np.float16).reshape(4, 4)
    inputs = {"a": a, "float16": 0.3, "bfloat16": 1.7, "bool": flag, "uint8": 200, "int8": -100, "int64": 1 << 40}
    ours, theirs = artifact.odd(**inputs), compiled["odd"](**inputs)
    assert list(ours) == list(theirs)
    for name, array in theirs.items():
        assert ours[name].dtype == array.dtype
        np.testing.assert_array_equal(ours[name], array)


def test_calls_from_several_threads_are_safe(functions: Any) -> None:
    _, artifact = functions
    x = np.random.default_rng(2).standard_normal((50, 12)).astype(np.float32)
    expected = artifact.predict(x)["p"]
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(1 for _ in range(50) if not np.array_equal(artifact.predict(x)["p"], expected))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.parametrize("worker", [None, 2, -1])
def test_the_host_may_lend_its_own_threads(functions: Any, worker: int | None) -> None:
    """Pieces are done by whoever the host lets do them; a worker that there is not is refused."""
    compiled, artifact = functions
    x = np.random.default_rng(3).standard_normal((3000, 12)).astype(np.float32)
    seen: list[int] = []

    def spread(_context: Any, count: int, run: Any, task: Any) -> None:
        seen.append(count)
        for piece in range(count):
            run(task, piece, piece + 1, piece % 2 if worker is None else worker)

    run_type = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int32)
    loop = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, run_type, ctypes.c_void_p)(spread)
    words = (ctypes.c_size_t * 5)(40, 0, 0, ctypes.cast(loop, ctypes.c_void_p).value or 0, 0)
    out = np.zeros((3000, 3), np.float32)
    function = artifact.predict
    arena = np.zeros(function.memory(n=3000), np.uint8)
    places = [a.ctypes.data for a in (artifact._state, arena, x, out)]
    status = function._call(ctypes.addressof(words), *places[:2], 3000, *places[2:])
    assert seen
    if worker is None:
        assert status == Status.OK
        np.testing.assert_array_equal(out, compiled["predict"](x=x)["p"])
    else:
        assert status == Status.THREADS


@pytest.mark.extended
def test_libraries_are_small(tmp_path: Path) -> None:
    """The classifier of digits: at most 40 kB for inference, 150 kB for training, weights and state apart."""
    digits = sg.data.datasets.digits()
    chain = L.Input(8, 8) + L.Dropout(0.2) + 2 * (L.Dense(800, "relu", name="fc#") + L.Dropout(0.4))
    network = sg.Network("mlp", chain + L.Dense(10) + L.SoftmaxCrossEntropy())
    trained = sg.Environment("e").trainer("t", network, optimisers.Adagrad(0.02), digits.batches(100))
    for cpu in ("", "native"):
        sizes = [
            sum(size for name, size in export.files.items() if name.endswith((".so", ".dll", ".dylib")))
            for export in (
                sg.export(tmp_path / f"i{cpu}", name="digits", functions={"predict": network}, cpu=cpu),
                sg.export(tmp_path / f"t{cpu}", name="digits", trainer=trained, cpu=cpu),
            )
        ]
        assert 0 < sizes[0] <= 40_000
        assert sizes[0] < sizes[1] <= 150_000


def test_wrong_calls_are_refused_as_in_python(functions: Any) -> None:
    compiled, artifact = functions
    x = np.zeros((2, 12), np.float32)
    wrong: list[tuple[type[Exception], tuple[Any, ...], dict[str, Any]]] = [
        (InputError, (), {}),
        (InputError, (x, x, 1.0, 2), {}),
        (InputError, (x,), {"label": [0, 1], "rate": 0.1, "more": 1}),
        (InputError, (x[:, :5], [0, 1], 0.1), {}),
        (InputError, (x.astype(np.complex64), [0, 1], 0.1), {}),
        (InputError, (x, [0, 1], [0.1, 0.2]), {}),
        (DimError, (x, [0, 1, 2], 0.1), {}),
        (IndexRangeError, (x, [0, 3], 0.1), {}),
    ]
    for kind, positional, named in wrong:
        with pytest.raises(kind):
            compiled["train_step"](*positional, **named)
        with pytest.raises(kind):
            artifact.train_step(*positional, **named)
    with pytest.raises(InputError, match="twice"):
        artifact.predict(x, x=x)
    with pytest.raises(AttributeError, match="train_step"):
        artifact.forward(x)
    assert "predict" in dir(artifact)
    assert "f32[n,12]" in repr(artifact.predict)
    assert artifact.predict.memory(n=3) >= 64
    with pytest.raises(DimError):
        artifact.predict.memory(m=3)


# ---- loading


def test_what_is_no_artifact_is_refused(tmp_path: Path, shipped: Shipped) -> None:
    with pytest.raises(InputError, match="there is no artifact"):
        sg.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"one manifest, NAME\.json"):
        sg.load(tmp_path)
    assert sg.load(shipped.export.folder / "net.json").name == "net"
    with pytest.raises(AttributeValueError, match="number of threads"):
        sg.load(shipped.export.folder, threads=2)


def test_a_file_that_was_changed_is_refused(tmp_path: Path, shipped: Shipped) -> None:
    for name in json.loads((shipped.export.folder / "net.json").read_text())["files"]:
        folder = tmp_path / name
        folder.mkdir()
        copied(shipped.export.folder, folder, {})
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(bytes(data))
        with pytest.raises(FileFormatError, match="not the file that was exported"):
            sg.load(folder)
        (folder / name).unlink()
        with pytest.raises(InputError, match="cannot be read"):
            sg.load(folder)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("arena", "64"),
        ("outputs", {"prediction": "f32[batch,1]"}),
        ("inputs", {"inputs": "f32[batch,4,2]"}),
        ("updates", ["network/1-dense.weights"]),
    ],
)
def test_a_manifest_that_lies_is_refused(tmp_path: Path, shipped: Shipped, part: str, value: Any) -> None:
    """Arrays and arenas would be too small for what the library writes to them."""
    copied(shipped.export.folder, tmp_path, {})
    manifest = json.loads((tmp_path / "net.json").read_text())
    manifest["functions"]["predict"][part] = value
    (tmp_path / "net.json").write_text(json.dumps(manifest))
    with pytest.raises(FileFormatError, match=r"manifest of .* is not its own"):
        sg.load(tmp_path)


def test_a_library_of_another_system_is_refused(tmp_path: Path, shipped: Shipped) -> None:
    copied(shipped.export.folder, tmp_path, {})
    manifest = json.loads((tmp_path / "net.json").read_text()) | {"triple": "riscv64-unknown-linux-gnu"}
    (tmp_path / "net.json").write_text(json.dumps(manifest))
    with pytest.raises(TargetError, match="another system"):
        sg.load(tmp_path)


def test_another_library_is_refused(tmp_path: Path, shipped: Shipped, functions: Any) -> None:
    name = artifact_target(HERE).library("net")
    other = Path(functions[1]._library._loaded._name).read_bytes()
    with pytest.raises(FileFormatError, match="another library"):
        sg.load(copied(shipped.export.folder, tmp_path, {name: other}))


def test_a_state_of_another_model_leaves_the_state_as_it_was(shipped: Shipped, tmp_path: Path) -> None:
    artifact = shipped.load()
    before = {name: value.tobytes() for name, value in artifact.state.items()}
    whole = (shipped.export.folder / "net.safetensors").read_bytes()
    other = sg.Network("other", L.Input(2) + L.Dense(2))
    other.save(tmp_path / "other.safetensors")
    for name, data in {"cut": whole[:-1], "empty": b"", "other": (tmp_path / "other.safetensors").read_bytes()}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FileFormatError):
            artifact.load_state(tmp_path / name)
    assert {name: value.tobytes() for name, value in artifact.state.items()} == before
    with pytest.raises(InputError, match="cannot be read"):
        artifact.load_state(tmp_path / "missing")


def test_an_artifact_runs_where_the_compiler_is_not_installed(shipped: Shipped) -> None:
    code = textwrap.dedent("""
        import sys
        class Refuse:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in ("llvmlite", "networkx", "safetensors", "rich", "typer", "platformdirs"):
                    raise ImportError(name)
        sys.meta_path.insert(0, Refuse())
        import numpy as np
        import sigmagraph as sg
        artifact = sg.load(sys.argv[1])
        artifact.selftest()
        print(artifact.predict(inputs=np.zeros((2, 4, 3), np.float32))["prediction"].shape)
        heavy = [m for m in sys.modules if m.startswith(("sigmagraph.codegen", "sigmagraph.ops", "sigmagraph.ir.graph"))]
        print(heavy)
    """)
    command = [sys.executable, "-c", code, str(shipped.export.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "(2, 3)\n[]\n", done.stderr


def test_another_export_to_the_same_folder_is_loaded_anew(tmp_path: Path) -> None:
    """The system gives back the library that it opened by that name before."""
    x = sg.placeholder("x", (3,))
    for factor in (2, 3):
        sg.export(tmp_path, name="again", functions={"scale": sg.compile([x], {"y": x * factor})})
        np.testing.assert_array_equal(sg.load(tmp_path).scale(np.ones(3, np.float32))["y"], [factor] * 3)


def test_functions_may_be_called_like_parts_of_a_library(tmp_path: Path) -> None:
    x = sg.placeholder("STATE", (3,))
    names = ("state", "begin", "call0", "SIZE", "NAME", "run")
    functions = {name: sg.compile([x], {"WORD": x + n}) for n, name in enumerate(names)}
    assert sg.export(tmp_path, name="names", functions=functions).tested
    artifact = sg.load(tmp_path)
    for number, name in enumerate(names):
        found = artifact.functions[name](np.zeros(3, np.float32))
        np.testing.assert_array_equal(found["WORD"], [number] * 3)


@pytest.mark.skipif(not HERE.startswith("x86_64-"), reason="levels are of x86-64")
@pytest.mark.parametrize("cpu", ["", "x86-64-v2", "x86-64-v3", "multi"])
def test_a_library_of_every_level_runs_or_says_that_it_cannot(tmp_path: Path, cpu: str) -> None:
    """The same bits as the JIT for that level; of several levels the best is chosen that this processor has."""
    a, b = (sg.placeholder(name, (40, 40)) for name in "ab")
    function = sg.compile([a, b], {"y": a @ b})
    export = sg.export(tmp_path, name="level", functions={"product": function}, cpu=cpu)
    values = np.random.default_rng(0).standard_normal((2, 40, 40)).astype(np.float32)
    if cpu == "multi":
        assert export.interface.levels == ("x86-64", "x86-64-v3", "x86-64-v4")
        assert export.tested
        flags = Path("/proc/cpuinfo").read_text().split()
        cpu = "x86-64-v4" if "avx512bw" in flags else "x86-64-v3" if "avx2" in flags else "x86-64"
    if export.tested:
        expected = sg.compile([a, b], {"y": a @ b}, target=Target(cpu=cpu or "x86-64"))(*values)
        np.testing.assert_array_equal(sg.load(tmp_path).product(*values)["y"], expected["y"])


# ---- what cannot be exported


def test_wrong_exports_are_refused(tmp_path: Path, shipped: Shipped, functions: Any) -> None:
    compiled, _ = functions
    trained = shipped.trained

    def refused(kind: type[Exception], match: str, **arguments: Any) -> None:
        with pytest.raises(kind, match=match):
            sg.export(tmp_path / "x", **({"name": "a"} | arguments))

    refused(GraphError, "nothing to export")
    refused(GraphError, "nothing to export", functions={})
    refused(GraphError, "nothing to export", functions=compiled, trainer=trained)
    refused(GraphError, "cannot be exported", functions={"f": lambda: 1})
    refused(GraphError, "cannot be called so", functions=compiled, name="a-b")
    refused(GraphError, "cannot be called so", functions={"a b": compiled["predict"]})
    refused(GraphError, "one name", functions={"state_size": compiled["predict"]})
    refused(AttributeValueError, "number of threads", functions=compiled, threads=0)
    refused(IdentifierError, "names nothing", trainer=trained, hyperparameters=["nothing.*"])
    refused(TargetError, "no such processors|levels", functions=compiled, target="aarch64-linux-gnu", cpu="multi")
    refused(TargetError, "made for levels", functions=compiled, cpu="haswell")
    refused(TargetError, "no artifacts|does not know", functions=compiled, target="z80-linux-gnu")
    other = sg.compile([x := sg.placeholder("x", (2,))], {"y": x * sg.parameter("w", np.ones(2, np.float32))})
    refused(GraphError, "two parameters", functions={"a": compiled["predict"], "b": other})
    assert not (tmp_path / "x").exists()

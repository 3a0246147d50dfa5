"""What has to hold on a CUDA device: checks that take nothing for granted but ``target="cuda"``.

`tests/cuda/test_gpu_*.py` make them on a device, `tests/cuda/test_gpu_checks.py` the cheaper ones on the shim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from cuda_warpgroups import RUNS, text_of, wrong
from evaluators import assert_agree
from op_cases import SUMS, Case

import sigmagraph as sg
from benchmarks import networks
from benchmarks.peers import sigma
from benchmarks.workloads import Training
from sigmagraph.driver import compile_graph
from sigmagraph.dtypes import DType
from sigmagraph.errors import DeviceMemoryError
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.options import HIGHEST, CompileOptions, Target
from sigmagraph.runtime.accelerator import Accelerator

OPTIONS = CompileOptions(target=Target("cuda"), cache=False, precision=HIGHEST)
BARE = replace(OPTIONS, checks=False)
STEPS = 3
# How far the costs of training steps may be apart, and what they change in a parameter, relative to the greatest change
# in it: where products are those of float32, and where they may be those of tf32, which has a 2^-11 for a unit.
TOLERANCES: Mapping[str, tuple[float, float]] = {HIGHEST: (1e-4, 2e-3), "": (5e-3, 0.1)}

# ---- ops


def tolerance(case: Case) -> str:
    """How near the results of a sample have to come to the interpreter's: what ``assert_agree`` says."""
    if case.sample.exact:
        return "equal"
    return "64 units of the greatest" if case.op.kind in SUMS else "8 units in the last place"


def op_agrees(case: Case, types: tuple[DType, DType]) -> None:
    """A sample in two types, done directly, captured, and replayed."""
    graph, inputs = case.single(*types)
    expected = interpret(graph, inputs)
    program = compile_graph(graph, {}, BARE)
    for _ in range(3):
        actual = program(**inputs)
        assert actual.keys() == expected.keys()
        for name, array in expected.items():
            assert_agree(actual[name], array, exact=case.sample.exact, sums=case.op.kind in SUMS)


# ---- training


_RESIDUAL = networks.Network(
    (9, 9, 3),
    (
        networks.Convolution("stem", 4, 3, 2, 1, bias=False),
        *(networks.BatchNorm("norm"), networks.Relu(), networks.MaxPool(3, 2, 1)),
        networks.Sum((networks.Convolution("main", 6, 3, 2, 1),), (networks.Convolution("around", 6, 1, 2),)),
        *(networks.MeanPool(), networks.Dense("fc", 4)),
    ),
)
TINY: Mapping[str, Training] = {
    training.name: training
    for training in (
        Training("tiny perceptron", networks.perceptron(12, 8, 5), 6),
        Training(
            "tiny dropout",
            replace(networks.readme(), shape=(20,), layers=(networks.Dropout(0.3), networks.Dense("fc", 5))),
            6,
        ),
        Training("tiny residual", _RESIDUAL, 3),
        Training("tiny LSTM", networks.character_lstm(5, 11, 8, 6), 3),
        Training("tiny GPT", networks.gpt(6, 11, 8, 2, 1), 2),
    )
}
LARGE: Mapping[str, Training] = {
    training.name: training
    for training in (
        Training("Sigma's README", networks.readme(), 100),
        Training("LeNet", networks.lenet(), 16),
        Training("batch normalised", networks.batch_normalised(), 16),
        Training("character LSTM", networks.character_lstm(64, 65, 128, 256), 8),
        Training("GPT", networks.gpt(64, 65, 128, 4, 4), 4),
        Training("ResNet-18", networks.resnet18(64, 10), 4),
    )
}


def steps_are_those_of_the_processor(training: Training, precision: str = HIGHEST) -> None:
    """Steps of gradient descent, dropout included, cost the same, and change every parameter by the same."""
    here, there = (_trained(training, target, precision) for target in ("cpu:1", "cuda"))
    costs, changes = TOLERANCES[precision]
    np.testing.assert_allclose(there[0], here[0], rtol=costs, err_msg="costs")
    for name, (before, after) in here[1].items():
        changed = after.astype(np.float64) - before
        other = there[1][name][1].astype(np.float64) - there[1][name][0]
        np.testing.assert_allclose(other, changed, rtol=0, atol=changes * np.abs(changed).max() + 1e-9, err_msg=name)


def _trained(training: Training, target: str, precision: str) -> tuple[list[float], dict[str, tuple[Any, Any]]]:
    """Costs of steps, and all parameters before and after them."""
    step = sigma.step_of(training, sg.optimisers.SGD(0.01))
    options = CompileOptions(cache=False, precision=precision)
    function = sg.compile(step.inputs, step.outputs, step.updates, target, options=options)
    scalars = {name: np.float32(value) for name, value in step.hyperparameters.items()}
    variables = {v.name: v for v in function.source.variables.values() if np.issubdtype(v.value.dtype, np.floating)}
    before = {name: v.value.copy() for name, v in variables.items()}
    batches = training.batches()
    costs = [
        float(function(**{step.records[0]: x, step.targets[0]: y}, **scalars)["cost"])
        for x, y in (batches[number % len(batches)] for number in range(STEPS))
    ]
    return costs, {name: (before[name], v.value.copy()) for name, v in variables.items()}


# ---- the device


def sizes_may_change() -> None:
    """A program with a symbolic size serves them all, grows, and comes back to what it captured."""
    n = sg.Dim("n")
    x, w = sg.placeholder("x", (n, 7)), sg.parameter("w", np.linspace(-1, 1, 35, dtype=np.float32).reshape(7, 5))
    y = sg.softmax(sg.tanh(x @ w))
    function = sg.compile([x], {"y": y, "sum": y.sum(0)}, target="cuda", options=OPTIONS)
    rng = np.random.default_rng(0)
    for size in (3, 1, 3, 3, 300, 3, 1, 0, 300, 300):
        array = rng.standard_normal((size, 7), np.float32)
        found, expected = function(array), interpret(function.graph, {"x": array}, {"w": w.value})
        for name, value in expected.items():
            assert_agree(found[name], value, sums=True)


def launches_are_replayed() -> None:
    """From the second run on a program is one graph, with the same bits."""
    x = sg.placeholder("x", (33, 65))
    function = sg.compile([x], {"y": sg.softmax(x) @ x.T}, target="cuda", options=OPTIONS)
    array = np.random.default_rng(0).standard_normal((33, 65), np.float32)
    first = function(array)["y"].tobytes()
    executor: Any = function.executor
    assert isinstance(executor, Accelerator)
    (binding,) = executor._bindings.values()
    assert binding.graph is None
    for _ in range(3):
        assert function(array)["y"].tobytes() == first
    assert binding.graph is not None


def values_follow_each_other() -> None:
    """A parameter has one value, whoever changes it: the user, a program there, a program here, another one there."""
    w, x = sg.parameter("w", np.zeros(4, np.float32)), sg.placeholder("x", (4,))
    there = sg.compile([x], {"y": w * 1.0}, {w: w + x}, target="cuda", options=OPTIONS)
    other = sg.compile([x], {"y": w * x}, target="cuda", options=OPTIONS)
    here = sg.compile([x], {"y": w * 1.0}, {w: w * x}, target="cpu:1", options=CompileOptions(cache=False))
    one = np.ones(4, np.float32)
    assert there(one)["y"].tolist() == [0] * 4
    assert there(2 * one)["y"].tolist() == [1] * 4
    assert w.value.tolist() == [3] * 4
    w.value = np.arange(4, dtype=np.float32)
    assert there(one)["y"].tolist() == [0, 1, 2, 3]
    assert here(3 * one)["y"].tolist() == [1, 2, 3, 4]
    assert other(one)["y"].tolist() == [3, 6, 9, 12]
    assert there(one)["y"].tolist() == [3, 6, 9, 12]
    assert w.value.tolist() == [4, 7, 10, 13]


def results_may_stay() -> None:
    """Results go into the next run without coming to the host."""
    x = sg.placeholder("x", (1000,))
    executor: Any = sg.compile([x], {"y": x * 2.0}, target="cuda", options=OPTIONS).executor
    result = np.ones(1000, np.float32)
    for _ in range(5):
        result = executor.run_on_device([result])["y"]
    np.testing.assert_array_equal(np.asarray(result), np.full(1000, 32, np.float32))


def products_are_exact(rows: int, columns: int, summed: int) -> None:
    """Sums of products of small integers are exact, whichever tiles they are formed in; stored is what is nearest."""
    rng = np.random.default_rng(rows)
    for dtype in ("float32", "bfloat16", "float16"):
        x, w = sg.placeholder("x", (rows, summed), dtype), sg.placeholder("w", (summed, columns), dtype)
        function = sg.compile([x, w], {"y": x @ w}, target="cuda", options=replace(OPTIONS, precision=""))
        integers = [rng.integers(-2, 3, shape).astype(np.float32) for shape in ((rows, summed), (summed, columns))]
        given = [array.astype(x.dtype.numpy) for array in integers]
        expected = (integers[0] @ integers[1]).astype(x.dtype.numpy)
        for _ in range(3):
            np.testing.assert_array_equal(function(*given)["y"], expected, err_msg=dtype)


def too_much_memory_is_told(rows: int, results: int) -> None:
    """What cannot be had is told, with sizes and what it is for; the device goes on working."""
    n, m = sg.Dim("n"), sg.Dim("m")
    a, b = sg.placeholder("a", (n, 1), "float64"), sg.placeholder("b", (1, m), "float64")
    outputs = {f"y{number}": a + float(number) * b for number in range(results)}
    function = sg.compile([a, b], outputs, target="cuda", name="large", options=OPTIONS)
    small = np.ones((2, 1)), np.ones((1, 3))
    assert function(*small)["y1"].tolist() == [[2.0] * 3] * 2
    try:
        function(np.ones((rows, 1)), np.ones((1, rows)))
    except DeviceMemoryError as error:
        told = str(error)
    else:
        raise AssertionError(f"the device has {8 * results * rows**2:,} bytes")
    for part in ("not enough memory", "'run_large'", f"n={rows}", f"{8 * results * rows**2 // 10**9:,}"):
        assert part in told, told
    assert function(*small)["y1"].tolist() == [[2.0] * 3] * 2


# ---- instructions


def warpgroups_multiply(driver: Any, compile: Callable[[str], Any]) -> None:
    """Products of warpgroups give what they mean: all of them, on small integers, which are exact.

    Args:
        driver: of a device that has them.
        compile: makes of a text what the driver loads.
    """
    text, names = text_of(RUNS)
    with driver.active():
        image = driver.load(compile(text))
        for name, run in zip(names, RUNS, strict=True):
            assert not wrong(driver, image, name, *run).any(), run

"""Calls that are like the one before are made by native code, and all others as if it were not there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph.dtypes import DType
from sigmagraph.errors import DimError, IndexRangeError, InputError
from sigmagraph.options import CompileOptions
from sigmagraph.runtime.executor import state_ranges
from sigmagraph.runtime.frame import IS_KNOWN
from sigmagraph.runtime.state import Variable

FRESH = CompileOptions(cache=False)


class Subclass(np.ndarray):
    """An array that NumPy would treat in another way."""


def ones(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, np.float32)


@pytest.fixture(scope="module")
def double() -> sg.CompiledFunction:
    x, y = sg.placeholder("x", (sg.Dim("n"), 3)), sg.placeholder("y", (sg.Dim("n"),))
    return sg.compile([x, y], {"a": 2 * x, "b": y + x.sum(1)}, options=FRESH)


def check(f: sg.CompiledFunction, x: Any, y: Any) -> None:
    out = f(x, y)
    np.testing.assert_array_equal(out["a"], 2 * np.asarray(x, np.float32))
    np.testing.assert_array_equal(out["b"], np.asarray(y) + np.asarray(x, np.float32).sum(1))


def test_this_python_and_this_numpy_are_known() -> None:
    assert IS_KNOWN


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.astype(np.float64),
        lambda x: x.astype(">f4"),
        lambda x: x.astype(np.int32),
        lambda x: x.tolist(),
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x[::-1],
        lambda x: np.frombuffer(b"\0" + x.tobytes(), np.float32, offset=1).reshape(x.shape),
        lambda x: x.view(Subclass),
        lambda x: x.copy(),
    ],
)
def test_an_array_of_another_kind_comes_after_others(
    double: sg.CompiledFunction, change: Callable[[np.ndarray[Any, Any]], Any]
) -> None:
    x, y = np.arange(12, dtype=np.float32).reshape(4, 3), np.arange(4, dtype=np.float32)
    for _ in range(2):
        check(double, x, y)
        check(double, x, y)
        check(double, change(x), y)
        check(double, x, y)


def test_shapes_take_turns(double: sg.CompiledFunction) -> None:
    for n in (1, 2, 2, 1, 0, 0, 7, 1):
        check(double, ones(n, 3), ones(n))


def test_what_is_wrong_is_refused_after_what_is_right(double: sg.CompiledFunction) -> None:
    check(double, ones(2, 3), ones(2))
    with pytest.raises(DimError):
        double(ones(2, 3), ones(3))
    with pytest.raises(InputError):
        double(ones(3, 2), ones(2))
    with pytest.raises(InputError):
        double(ones(2, 3)[0], ones(2))
    with pytest.raises(InputError):
        double("text", ones(2))
    with pytest.raises(InputError):
        double(None, ones(2))
    check(double, ones(2, 3), ones(2))


def test_results_are_arrays_of_their_own(double: sg.CompiledFunction) -> None:
    kept = [double(ones(2, 3) * n, ones(2))["a"] for n in range(5)]
    assert [float(a[0, 0]) for a in kept] == [0, 2, 4, 6, 8]


def test_a_view_of_a_parameter_goes_in_as_it_was() -> None:
    w, x = sg.parameter("w", np.arange(6, dtype=np.float32)), sg.placeholder("x", (6,))
    step = sg.compile([x], {"y": x + 0}, {w: w + 2 * x}, options=FRESH)
    step(ones(6))
    step(ones(6))
    before = w.value.copy()
    np.testing.assert_array_equal(step(w.value)["y"], before)
    np.testing.assert_array_equal(w.value, 3 * before)
    step(ones(6))
    np.testing.assert_array_equal(w.value, 3 * before + 2)


def test_an_index_out_of_range_is_refused_again_and_again() -> None:
    i = sg.placeholder("i", (2,), "int32")
    f = sg.compile([i], {"y": sg.constant(np.arange(5.0))[i]}, options=FRESH)
    good, bad = np.array([0, 4], np.int32), np.array([0, 5], np.int32)
    for _ in range(3):
        np.testing.assert_array_equal(f(good)["y"], [0, 4])
        with pytest.raises(IndexRangeError):
            f(bad)


def test_threads_with_shapes_of_their_own(double: sg.CompiledFunction) -> None:
    wrong: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for k in range(200):
                check(double, ones(n, 3) * k, ones(n))
        except BaseException as error:  # noqa: BLE001  # it is looked at by the test's own thread
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_only_the_memory_of_parameters_is_out_of_bounds_for_inputs() -> None:
    block = np.zeros(4096, np.uint8)
    variables = [Variable(f"v{n}", DType.F32, (16,)) for n in range(4)]
    for variable, start in zip(variables, (0, 64, 1024, 2048), strict=True):
        variable.place(block[start:])
    first = variables[0].address
    ranges = [(low - first, high - first) for low, high in state_ranges(variables)]
    assert ranges == [(0, 128), (1024, 1088), (2048, 2112)]

"""Calls of compiled functions: what is accepted, converted and refused."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph.errors import DimError, InputError
from sigmagraph.options import CompileOptions
from sigmagraph.runtime.profile import snapshot

FRESH = CompileOptions(cache=False)


@pytest.fixture(scope="module")
def function() -> sg.CompiledFunction:
    batch = sg.Dim("batch")
    x = sg.placeholder("x", (batch, 3))
    label = sg.placeholder("label", (batch,), dtype="int32")
    rate = sg.placeholder("rate", ())
    return sg.compile([x, label, rate], {"y": x * rate, "n": label + 1, "total": x.sum()}, name="calls", options=FRESH)


def test_arrays_are_taken_by_name_and_by_position(function: sg.CompiledFunction) -> None:
    x, label = np.ones((2, 3), np.float32), np.array([4, 5], np.int32)
    by_name = function(x=x, label=label, rate=2.0)
    by_position = function(x, label, 2.0)
    mixed = function(x, rate=2.0, label=label)
    for out in (by_name, by_position, mixed):
        np.testing.assert_array_equal(out["y"], np.full((2, 3), 2))
        np.testing.assert_array_equal(out["n"], [5, 6])
    assert by_name["y"].dtype == np.float32
    assert by_name["n"].dtype == np.int32


@pytest.mark.parametrize(
    "x",
    [
        np.ones((2, 3)),  # float64
        np.asfortranarray(np.ones((2, 3), np.float32)),
        np.ones((4, 6), np.float32)[::2, ::2],
        np.ones((2, 3), ">f4"),
        [[1, 1, 1], [1, 1, 1]],
        np.frombuffer(b"\0" + np.ones(6, np.float32).tobytes(), np.float32, offset=1).reshape(2, 3),
    ],
)
def test_whatever_means_the_same_is_converted(function: sg.CompiledFunction, x: object) -> None:
    out = function(x, np.array([1, 2]), 1)
    np.testing.assert_array_equal(out["y"], np.ones((2, 3)))
    assert out["total"] == 6


def test_results_are_fresh_arrays(function: sg.CompiledFunction) -> None:
    x, label = np.ones((2, 3), np.float32), np.zeros(2, np.int32)
    first = function(x, label, 1.0)["y"]
    second = function(x, label, 5.0)["y"]
    assert (first == 1).all()
    assert (second == 5).all()


@pytest.fixture
def large() -> sg.CompiledFunction:
    batch = sg.Dim("batch")
    x = sg.placeholder("x", (batch, 1024))
    return sg.compile([x], {"y": x + 1.0, "z": x * 2.0}, name="large", options=FRESH)


def test_memory_of_large_results_is_used_again_once_nobody_holds_them(large: sg.CompiledFunction) -> None:
    x = np.ones((64, 1024), np.float32)
    large(x), large(x)
    before = snapshot()
    for value in range(5):
        out = large(np.full_like(x, value))  # what the last turn gave is still held
        assert (out["y"] == value + 1).all()
        assert (out["z"] == value * 2).all()
        assert out["y"].ctypes.data % 64 == 0
    assert snapshot().since(before).result_allocations <= 2
    large(np.ones((40, 1024), np.float32))
    assert snapshot().since(before).result_allocations <= 2


def test_a_view_of_a_large_result_keeps_its_memory(large: sg.CompiledFunction) -> None:
    kept = [large(np.full((64, 1024), value, np.float32))["y"][5:, ::2].T for value in range(7)]
    for value, view in enumerate(kept):
        assert (view == value + 1).all()


def test_a_large_result_can_be_the_next_input(large: sg.CompiledFunction) -> None:
    y = np.zeros((64, 1024), np.float32)
    for _ in range(6):
        y = large(y)["y"]
    assert (y == 6).all()


def test_large_results_from_many_threads(large: sg.CompiledFunction) -> None:
    def work(value: int) -> bool:
        x = np.full((64, 1024), value, np.float32)
        return all((large(x)["y"] == value + 1).all() for _ in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_a_dim_that_two_inputs_disagree_about(function: sg.CompiledFunction) -> None:
    with pytest.raises(DimError) as caught:
        function(np.ones((2, 3)), np.zeros(5, np.int32), 1.0)
    text = str(caught.value)
    assert "batch" in text
    assert "label" in text
    assert "2" in text
    assert "5" in text


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"x": np.ones((2, 3)), "rate": 1.0}, "label"),
        ({"x": np.ones((2, 3)), "label": [1, 2], "rate": 1.0, "extra": 1}, "extra"),
        ({"x": np.ones((2, 4)), "label": [1, 2], "rate": 1.0}, "x"),
        ({"x": np.ones(3), "label": [1], "rate": 1.0}, "x"),
        ({"x": np.ones((2, 3)), "label": [0.5, 1.5], "rate": 1.0}, "label"),
        ({"x": np.ones((2, 3)), "label": [1, 2**40], "rate": 1.0}, "label"),
        ({"x": np.ones((2, 3)), "label": [1, 2], "rate": "fast"}, "rate"),
        ({"x": np.ones((2, 3)), "label": [1, 2], "rate": np.ones(2)}, "rate"),
        ({"x": np.ones((2, 3)) * 1j, "label": [1, 2], "rate": 1.0}, "x"),
        ({"x": None, "label": [1, 2], "rate": 1.0}, "x"),
        ({"x": [[1, 2], [3]], "label": [1, 2], "rate": 1.0}, "x"),
    ],
)
def test_wrong_inputs_are_named(function: sg.CompiledFunction, arguments: dict[str, object], match: str) -> None:
    with pytest.raises(InputError, match=match):
        function(**arguments)


def test_too_many_and_doubled_arguments(function: sg.CompiledFunction) -> None:
    with pytest.raises(InputError, match="fewer"):
        function(1, 2, 3, 4)
    with pytest.raises(InputError, match="twice"):
        function(np.ones((2, 3)), [1, 2], 1.0, x=1)


def test_memory_is_a_formula_and_a_number(function: sg.CompiledFunction) -> None:
    assert function.memory().inputs == 16 * sg.Dim("batch") + 4
    assert function.memory(batch=10).inputs == 164
    assert "bytes" in str(function.memory(batch=10))
    with pytest.raises(DimError, match="rows"):
        function.memory(rows=3)
    with pytest.raises(DimError, match="batch"):
        function.memory(batch=-1)


def test_one_function_called_from_many_threads() -> None:
    n = sg.Dim("n")
    x = sg.placeholder("x", (n, 64))
    w = sg.parameter("w", np.eye(64, dtype=np.float32))
    f = sg.compile([x], {"y": (x @ w + 1.0).sum(axis=1)}, target="cpu:2", options=FRESH)
    wrong: list[int] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(20):
            a = rng.random((int(rng.integers(1, 400)), 64)).astype(np.float32)
            if not np.allclose(f(a)["y"], a.sum(axis=1) + 64, rtol=1e-5):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_different_functions_share_the_pool() -> None:
    """While one program holds the pool, another does its work alone; both must be right."""
    x = sg.placeholder("x", (600, 300))
    w = sg.parameter("w", np.ones((300, 300), np.float32))
    functions = [sg.compile([x], {"y": x @ w * k}, target="cpu:2", options=FRESH) for k in (1.0, 2.0)]
    a = np.ones((600, 300), np.float32)
    wrong: list[float] = []

    def work(k: int) -> None:
        wrong.extend(k for _ in range(10) if not (functions[k](a)["y"] == 300 * (k + 1)).all())

    threads = [threading.Thread(target=work, args=(k,)) for k in (0, 1)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_a_parameter_may_be_handed_in_while_it_is_overwritten() -> None:
    """The new value is written element by element where the old one lies; a view of it as input must not change."""
    w = sg.parameter("w", np.arange(40_000, dtype=np.float32))
    x = sg.placeholder("x", (40_000,))
    total = sg.concatenate([x[20_000:], x[:20_000]], axis=0)
    f = sg.compile([x], {}, {w: w + total}, options=FRESH)
    f(w.value)
    np.testing.assert_array_equal(w.value, np.arange(40_000) + np.roll(np.arange(40_000), 20_000))

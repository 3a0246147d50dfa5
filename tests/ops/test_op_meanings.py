"""What single ops promise beyond what the matrix tests of all."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from sigmagraph.autodiff.vjp import gradients
from sigmagraph.dims import Dim
from sigmagraph.dtypes import BF16, F16, F32, F64, DType, as_dtype
from sigmagraph.errors import DimError, InputError
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.opdef import LowerContext, NDArray
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.kernel.expr import Expr, Load
from sigmagraph.ops.registry import OPS


def run(op: str, *operands: Any, **attrs: Any) -> NDArray:
    """One op on arrays."""
    graph = Graph()
    arrays = [np.asarray(o) for o in operands]
    values = [graph.add_input(f"x{i}", TensorType(as_dtype(a.dtype), a.shape)) for i, a in enumerate(arrays)]
    graph.add_output("y", Builder(graph, OPS).emit(op, *values, **attrs))
    return interpret(graph, {f"x{i}": a for i, a in enumerate(arrays)})["y"]


def slope(op: str, x: Any, *others: Any, **attrs: Any) -> NDArray:
    """The derivative of the sum of an op's result with respect to its first operand."""
    graph = Graph()
    arrays = [np.asarray(o) for o in (x, *others)]
    values = [graph.add_input(f"x{i}", TensorType(as_dtype(a.dtype), a.shape)) for i, a in enumerate(arrays)]
    result = Builder(graph, OPS).emit(op, *values, **attrs)
    y = Builder(graph, OPS).emit("reduce_sum", result, axes=tuple(range(graph.type(result).rank)))
    graph.add_output("dx", gradients(graph, OPS, y, values[:1])[0])
    return interpret(graph, {f"x{i}": a for i, a in enumerate(arrays)})["dx"]


# ---- meanings


def test_sums_of_narrow_floats_are_rounded_once() -> None:
    many = np.full(100_000, 0.1, np.float32)
    assert run("reduce_sum", many, axes=0) == np.float32(np.sum(many, dtype=np.float64))
    assert run("reduce_sum", np.full(4096, 1.0, np.float16), axes=0) == 4096
    row, column = np.full((1, 5000), 0.1, np.float16), np.full((5000, 1), 0.1, np.float16)
    assert run("matmul", row, column) == np.float16(np.float64(row[0, 0]) ** 2 * 5000)


def test_extremes_of_nothing_are_the_type_s_own() -> None:
    assert run("reduce_max", np.zeros((0,)), axes=0) == -np.inf
    assert run("reduce_min", np.zeros((0,), np.int32), axes=0) == 2**31 - 1
    assert run("reduce_max", np.zeros((0,), np.uint8), axes=0) == 0


def test_casts_saturate_and_nan_is_zero() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 300.7, -3.9])
    np.testing.assert_array_equal(run("cast", values, dtype="u8"), [0, 255, 0, 255, 0])
    np.testing.assert_array_equal(run("cast", values, dtype="i32"), [0, 2**31 - 1, -(2**31), 300, -3])
    np.testing.assert_array_equal(run("cast", values, dtype="i64")[1:3], [2**63 - 1, -(2**63)])
    np.testing.assert_array_equal(run("cast", np.array([256, -1], np.int32), dtype="i8"), [0, -1])


@pytest.mark.parametrize(
    ("dtype", "filling"), [("f4", np.nan), ("i4", -(2**31)), ("i8", -(2**63)), ("u1", 255), ("?", False)]
)
def test_gather_fills_what_does_not_exist(dtype: str, filling: float) -> None:
    table = np.ones(3, dtype)
    got = run("gather", table, np.array([2, 3, -1], np.int32), axis=0)
    np.testing.assert_array_equal(got, np.array([1, filling, filling], dtype))


def test_gather_accumulates_the_gradient_of_repeated_rows() -> None:
    indices = np.array([1, 1, 2, 7, -1], np.int32)
    np.testing.assert_array_equal(slope("gather", np.zeros((3, 2)), indices, axis=0), [[0, 0], [2, 2], [1, 1]])


def test_a_label_that_names_no_class_is_never_a_number() -> None:
    logits, labels = np.zeros((4, 3)), np.array([0, 3, -1, 2], np.int32)
    loss = run("softmax_cross_entropy", logits, labels)
    np.testing.assert_allclose(loss, np.log([3, np.nan, np.nan, 3]))
    rows = slope("softmax_cross_entropy", logits, labels)
    thirds = np.array([[-2, 1, 1], [0, 0, 0], [0, 0, 0], [1, 1, -2]])
    np.testing.assert_allclose(rows, thirds / 3)


def test_narrow_labels_reach_no_class_beyond_their_range() -> None:
    loss = run("softmax_cross_entropy", np.zeros((1, 300)), np.array([44], np.uint8))
    np.testing.assert_allclose(loss, [np.log(300)])  # as u8, class 300 - 256 = 44 would have been hit twice
    assert run("one_hot", np.array([44], np.uint8), depth=301).sum() == 1


def test_softmax_survives_large_numbers() -> None:
    np.testing.assert_allclose(run("softmax", np.array([1000.0, 1000.0])), [0.5, 0.5])
    np.testing.assert_allclose(run("log_softmax", np.array([1000.0, 0.0])), [0, -1000])
    np.testing.assert_allclose(slope("softmax_cross_entropy", [[1000.0, 0.0]], np.array([1])), [[1, -1]])


def test_sigmoid_has_finite_slopes_where_exp_overflows() -> None:
    np.testing.assert_allclose(slope("sigmoid", np.array([-800.0, 0.0, 800.0])), [0, 0.25, 0])


@pytest.mark.parametrize(
    ("values", "place"), [([1.0, 3.0, 3.0], 1), ([np.nan, 1.0, np.nan], 0), ([2.0, np.nan, 9.0], 1), ([-np.inf] * 3, 0)]
)
def test_argmax_takes_the_first_and_nan_wins(values: list[float], place: int) -> None:
    assert run("argmax", np.array(values), axis=0) == place


# ---- gradients at kinks


def test_equal_extremes_share_the_gradient() -> None:
    ones = np.ones(2)
    np.testing.assert_array_equal(slope("minimum", ones, ones), [0.5, 0.5])
    np.testing.assert_array_equal(slope("maximum", np.array([1.0, 2.0]), ones), [0.5, 1])
    np.testing.assert_array_equal(
        slope("reduce_max", np.array([3.0, 1.0, 3.0, 3.0]), axes=0), np.array([1, 0, 1, 1]) / 3
    )


@pytest.mark.parametrize(("op", "expected"), [("relu", 0), ("abs", 0), ("floor", 0)])
def test_slopes_at_zero(op: str, expected: float) -> None:
    assert slope(op, np.zeros(())) == expected


# ---- random numbers


def test_dropout_keeps_the_mean_and_the_mask_of_its_gradient() -> None:
    x, key, rate = np.ones((40, 50)), np.array([3, 8]), np.array(0.25)
    y = run("dropout", x, key, rate, stream=1)
    np.testing.assert_allclose(y[y != 0], 1 / 0.75)
    assert abs(np.mean(y != 0) - 0.75) < 0.03
    np.testing.assert_array_equal(slope("dropout", x, key, rate, stream=1), y)


@pytest.mark.parametrize(("rate", "kept"), [(0.0, 1), (1.0, 0)])
def test_dropout_at_the_ends_of_its_range(rate: float, kept: float) -> None:
    y = run("dropout", np.full(100, 2.0, np.float32), np.array([3, 8]), np.float32(rate), stream=1)
    np.testing.assert_array_equal(y, np.full(100, 2.0 * kept))


def test_the_mask_does_not_depend_on_the_element_type() -> None:
    key = np.array([3, 8])
    masks = [run("dropout", np.ones(99, t), key, t(0.5), stream=4) != 0 for t in (np.float16, np.float32, np.float64)]
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[1], masks[2])


@pytest.mark.parametrize("dtype", [F16, BF16, F32, F64])
def test_random_fractions_fill_their_range(dtype: DType) -> None:
    u = run("random_uniform", np.array([1, 2]), stream=0, shape=5000, dtype=dtype).astype(np.float64)
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 0.015
    assert abs(u.var() - 1 / 12) < 0.005


def test_random_bits_depend_on_seed_stream_and_step() -> None:
    def bits(seed: int, stream: int, step: int) -> tuple[int, ...]:
        return tuple(run("random_bits", np.array([seed, step]), stream=stream, shape=8).tolist())

    drawn = [bits(1, 2, 3), bits(2, 2, 3), bits(1, 3, 3), bits(1, 2, 4), bits(1 + 2**40, 2, 3), bits(1, 2, 3 + 2**32)]
    assert len(set(drawn)) == len(drawn)
    assert bits(1, 2, 3) == drawn[0]


# ---- symbolic dims


def test_requirements_name_the_op_and_both_sides() -> None:
    graph = Graph()
    n, m = Dim("n"), Dim("m")
    x = graph.add_input("x", TensorType(F32, (n, 2)))
    y = graph.add_input("y", TensorType(F32, (m, 2)))
    graph.add_output("z", Builder(graph, OPS).emit("add", x, y))
    three, four = np.zeros((3, 2), np.float32), np.zeros((4, 2), np.float32)
    assert interpret(graph, {"x": three, "y": three})["z"].shape == (3, 2)
    with pytest.raises(DimError, match="add: the sizes of axis 0 of the operands") as caught:
        interpret(graph, {"x": three, "y": four})
    assert caught.value.expected == "n == m"
    assert "3 and 4" in str(caught.value.got)


def test_a_slice_of_a_symbolic_axis_must_lie_inside() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType(F32, (Dim("n"),)))
    graph.add_output("y", Builder(graph, OPS).emit("slice", x, start=(2,), stop=(5,), step=(2,)))
    np.testing.assert_array_equal(interpret(graph, {"x": np.arange(6.0)})["y"], [2, 4])
    with pytest.raises(InputError, match="stops behind the axis"):
        interpret(graph, {"x": np.arange(4.0)})


class _Places:
    """A LowerContext that writes down where the operand is read."""

    def __init__(self, operand: tuple[Any, ...], result: tuple[Any, ...]) -> None:
        self.types = (TensorType(F32, operand),)
        self.result = TensorType(F32, result)
        self.places: tuple[str, ...] = ()

    def operand(self, number: int, index: Any, guard: Any = ()) -> Expr:
        self.places = tuple(map(str, index))
        return Load(f"%{number}", tuple(index), F32, tuple(guard))


N, M = Dim("n"), Dim("m")


@pytest.mark.parametrize(
    ("operand", "result", "places"),
    [
        ((N, 8, 8), (N, 64), ("%i0", "(%i1//8)", "%i1-8*(%i1//8)")),
        ((N, 64), (N, 8, 8), ("%i0", "8*%i1+%i2")),
        ((N * M, 3), (N, M, 3), ("%i0*m+%i1", "%i2")),
        ((N, 1, M), (1, N, M, 1), ("%i1", "0", "%i2")),
        ((4, 6, N), (24, N), ("(%i0//6)", "%i0-6*(%i0//6)", "%i1")),
        ((N, 6), (6, N), ("((%i0*n+%i1)//6)", "%i0*n+%i1-6*((%i0*n+%i1)//6)")),
    ],
)
def test_reshape_divides_only_where_axes_really_mix(operand: Any, result: Any, places: tuple[str, ...]) -> None:
    context, lower = _Places(operand, result), OPS["reshape"].lower
    assert lower is not None
    lower(cast(LowerContext, context), tuple(Dim(f"%i{i}") for i in range(len(result))))
    assert context.places == places

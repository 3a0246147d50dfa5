"""Symbolic gradients: what flows where, what is refused, and how it stands in the graph."""

from __future__ import annotations

import numpy as np
import pytest

from sigmagraph.autodiff.vjp import gradients, vjp
from sigmagraph.dims import Dim
from sigmagraph.dtypes import F32, F64, I32, I64, DType
from sigmagraph.errors import DifferentiationError
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.graph.verify import verify_graph
from sigmagraph.location import Location
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.cse import Cse
from sigmagraph.passes.dce import Dce
from sigmagraph.passes.decompose import Decompose
from sigmagraph.passes.manager import PassManager

HERE = Location("mlp.py", 7, "fc1")


class Net:
    """A graph under construction."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.builder = Builder(self.graph, OPS, HERE)
        self.emit = self.builder.emit

    def input(self, name: str, *shape: int | Dim, dtype: DType = F64) -> Value:
        return self.graph.add_input(name, TensorType(dtype, shape))

    def total(self, value: Value) -> Value:
        return self.emit("reduce_sum", value, axes=tuple(range(self.graph.type(value).rank)))

    def gradients(self, y: Value, *wrt: Value, seed: Value | None = None) -> tuple[Value, ...]:
        return gradients(self.graph, OPS, y, wrt, seed)

    def run(self, **arrays: object) -> dict[str, NDArray]:
        return interpret(self.graph, arrays)


def test_a_value_that_is_used_twice_receives_both_parts() -> None:
    net = Net()
    x = net.input("x", 3)
    y = net.emit("add", net.emit("mul", x, x), x)
    net.graph.add_output("dx", net.gradients(net.total(y), x)[0])
    np.testing.assert_array_equal(net.run(x=[1.0, 2.0, -3.0])["dx"], [3, 5, -5])


def test_gradients_of_intermediate_values_and_of_y_itself() -> None:
    net = Net()
    x = net.input("x")
    square = net.emit("square", x)
    y = net.emit("exp", square)
    for name, value in zip(("dx", "ds", "dy"), net.gradients(y, x, square, y), strict=True):
        net.graph.add_output(name, value)
    got = net.run(x=0.5)
    np.testing.assert_allclose([got["dx"], got["ds"], got["dy"]], [np.exp(0.25), np.exp(0.25), 1.0])


def test_zeros_where_nothing_flows() -> None:
    net = Net()
    x, other = net.input("x", 2), net.input("other", 4)
    steps = net.emit("cast", net.emit("gt", x, other_like(net, x)), dtype=F64)
    for name, value in zip(("dx", "do"), net.gradients(net.total(steps), x, other), strict=True):
        net.graph.add_output(name, value)
    got = net.run(x=[1.0, -1.0], other=np.zeros(4))
    np.testing.assert_array_equal(got["dx"], [0, 0])
    np.testing.assert_array_equal(got["do"], np.zeros(4))


def other_like(net: Net, value: Value) -> Value:
    return net.builder.full(0.0, net.graph.type(value))


def test_nothing_is_appended_off_the_path() -> None:
    net = Net()
    x, w = net.input("x", 2, 3), net.input("w", 3, 5)
    hidden = net.emit("exp", net.emit("tanh", x))
    y = net.total(net.emit("matmul", hidden, w))
    before = len(net.graph)
    net.gradients(y, w)
    appended = [n for n in net.graph.nodes() if n.id >= before]
    assert not {"tanh", "exp", "div", "sub"} & {n.op.name for n in appended}


def test_a_seed_stands_for_the_cotangent_of_y() -> None:
    net = Net()
    x, seed = net.input("x", 3), net.input("seed", 3)
    net.graph.add_output("dx", net.gradients(net.emit("square", x), x, seed=seed)[0])
    np.testing.assert_array_equal(net.run(x=[1.0, 2.0, 3.0], seed=[1.0, 0.0, -1.0])["dx"], [2, 0, -6])


def test_vjp_sums_over_outputs() -> None:
    net = Net()
    x = net.input("x", 2)
    outputs = (net.emit("square", x), net.emit("neg", x))
    net.graph.add_output("dx", vjp(net.graph, OPS, outputs, (x, x), (x,))[0])
    np.testing.assert_array_equal(net.run(x=[1.0, 3.0])["dx"], [1, 15])


def test_a_composite_without_a_rule_goes_through_its_decomposition() -> None:
    net = Net()
    x, w, b = net.input("x", 4, 3), net.input("w", 3, 5), net.input("b", 5)
    y = net.emit("dense", x, w, b, activation="tanh")
    dw, db = net.gradients(net.total(y), w, b)
    net.graph.add_output("dw", dw)
    net.graph.add_output("db", db)
    rng = np.random.default_rng(0)
    x_, w_, b_ = rng.standard_normal((4, 3)), rng.standard_normal((3, 5)), rng.standard_normal(5)
    got = net.run(x=x_, w=w_, b=b_)
    slope = 1 - np.tanh(x_ @ w_ + b_) ** 2
    np.testing.assert_allclose(got["dw"], x_.T @ slope)
    np.testing.assert_allclose(got["db"], slope.sum(0))


def test_operands_of_a_composite_that_depend_on_each_other_are_counted_once() -> None:
    net = Net()
    x, w = net.input("x", 2, 3), net.input("w", 3, 3)
    bias = net.emit("reduce_sum", x, axes=0)
    y = net.total(net.emit("dense", x, w, bias))
    net.graph.add_output("dx", net.gradients(y, x)[0])
    w_ = np.arange(9.0).reshape(3, 3)
    np.testing.assert_allclose(net.run(x=np.ones((2, 3)), w=w_)["dx"], w_.sum(1) + np.full((2, 3), 2.0))


def test_forward_and_backward_share_what_decomposition_repeats() -> None:
    """The mask of dropout and the copy of a dense layer are made once: cse finds them equal."""
    net = Net()
    x, w, b = net.input("x", 4, 3), net.input("w", 3, 5), net.input("b", 5)
    key, rate = net.input("key", 2, dtype=I64), net.input("rate")
    y = net.emit("dropout", net.emit("dense", x, w, b, activation="relu"), key, rate, stream=1)
    net.graph.add_output("y", y)
    net.graph.add_output("dw", net.gradients(net.total(y), w)[0])
    clean = PassManager((Decompose(), Cse(), Dce()), OPS, verify=True).run(net.graph)
    names = [n.op.name for n in clean.nodes()]
    assert names.count("random_bits") == 1
    assert names.count("maximum") == 1
    assert names.count("matmul") == 2  # forward, and for the gradient of the weights


def test_gradient_nodes_name_the_place_of_the_forward_node() -> None:
    net = Net()
    x = net.input("x", 3)
    y = net.total(net.emit("exp", x))
    before = len(net.graph)
    net.gradients(y, x)
    assert all(n.location == HERE.as_gradient() for n in net.graph.nodes() if n.id >= before)
    verify_graph(net.graph)


def test_symbolic_sizes_that_are_said_in_two_ways() -> None:
    net = Net()
    n = Dim("n")
    x, w = net.input("x", n, 3), net.input("w", 6, 3)
    y = net.total(net.emit("mul", x, w))
    dx, dw = net.gradients(y, x, w)
    assert net.graph.type(dx).shape == (n, 3)
    net.graph.add_output("dx", dx)
    net.graph.add_output("dw", dw)
    got = net.run(x=np.ones((6, 3)), w=np.full((6, 3), 2.0))
    np.testing.assert_array_equal(got["dx"], np.full((6, 3), 2.0))
    np.testing.assert_array_equal(got["dw"], np.ones((6, 3)))


def test_third_derivative() -> None:
    net = Net()
    x = net.input("x")
    value = net.emit("integer_power", x, exponent=4)
    for _ in range(3):
        (value,) = net.gradients(value, x)
    net.graph.add_output("d3", value)
    assert net.run(x=2.0)["d3"] == 48


def test_the_second_derivative_of_relu_is_zero() -> None:
    net = Net()
    x = net.input("x", 2)
    (first,) = net.gradients(net.total(net.emit("relu", x)), x)
    net.graph.add_output("d2", net.gradients(net.total(first), x)[0])
    np.testing.assert_array_equal(net.run(x=[1.0, -1.0])["d2"], [0, 0])


# ---- refusals


def test_only_scalars_have_gradients_without_a_seed() -> None:
    net = Net()
    x = net.input("x", 3)
    with pytest.raises(DifferentiationError, match="not a float scalar") as caught:
        net.gradients(net.emit("exp", x), x)
    assert caught.value.location == HERE
    assert "exp" in str(caught.value.node)


def test_integers_have_no_gradient() -> None:
    net = Net()
    x, i = net.input("x"), net.input("i", dtype=I32)
    with pytest.raises(DifferentiationError, match="only floats have derivatives"):
        net.gradients(x, i)
    with pytest.raises(DifferentiationError, match="not a float scalar"):
        net.gradients(i, x)


def test_a_seed_of_another_type_is_refused() -> None:
    net = Net()
    x, seed = net.input("x", 3), net.input("seed", 3, dtype=F32)
    with pytest.raises(DifferentiationError, match="seed is of another type"):
        net.gradients(x, x, seed=seed)


def test_a_path_that_is_blocked_is_named() -> None:
    net = Net()
    logits, labels = net.input("logits", 4, 3), net.input("labels", 4, dtype=I64)
    right = net.emit("eq", net.emit("argmax", logits, axis=1), labels)
    accuracy = net.emit("reduce_mean", net.emit("cast", right, dtype=F64), axes=0)
    with pytest.raises(DifferentiationError, match=r"'argmax', which has none: an index is a whole number") as caught:
        net.gradients(accuracy, logits)
    assert caught.value.location == HERE
    assert "argmax" in str(caught.value.node)


def test_a_blocked_path_beside_an_open_one_adds_nothing() -> None:
    net = Net()
    x = net.input("x", 3)
    greatest = net.emit("gather", x, net.emit("argmax", x, axis=0), axis=0)
    net.graph.add_output("dx", net.gradients(greatest, x)[0])
    np.testing.assert_array_equal(net.run(x=[1.0, 5.0, 2.0])["dx"], [0, 1, 0])

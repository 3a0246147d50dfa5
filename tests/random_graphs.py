"""Random well-typed graphs for property tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from sigmagraph.dims import Dim
from sigmagraph.dtypes import BOOL, F32, I32, I64, DType
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.location import Location
from sigmagraph.ops.registry import OPS

N = Dim("n")
NUMBERS = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0, float("inf"), float("nan"))
UNARY = ("neg", "abs", "tanh", "exp", "floor", "square", "relu", "sigmoid")
BINARY = ("add", "sub", "mul", "div", "minimum", "maximum")
COMPARE = ("lt", "le", "gt", "ge", "eq", "ne")

Draw = Callable[..., Any]


class _Grower:
    """Appends one random node after the other; every step names the values it may take."""

    def __init__(self, draw: Draw, composites: bool, params: bool) -> None:
        self.draw = draw
        self.graph = Graph("random")
        self.build = Builder(self.graph, OPS)
        add = self.graph.add_param if params else self.graph.add_input
        self.values = [
            self.graph.add_input("x", TensorType(F32, (N, 3))),
            self.graph.add_input("i", TensorType(I32, (N,))),
            add("1-dense.weights", TensorType(F32, (3, 5))),
            add("s", TensorType(F32, ())),
            add("v", TensorType(F32, (1, 3))),
            add("key", TensorType(I64, (2,))),
        ]
        self.steps = [
            self.unary, self.binary, self.binary, self.number, self.compare, self.select, self.cast, self.reduce,
            self.transpose, self.reshape, self.broadcast, self.slice, self.pad, self.concatenate, self.matmul,
            self.gather, self.random, self.iota, self.logic,
        ]  # fmt: skip
        self.composites = composites

    def step(self) -> None:
        """Append a node, or none if nothing fits."""
        self.build.location = self.draw(
            st.sampled_from((Location(), Location("m.py", 3, "a/b"), Location("m.py", 4, "", True)))
        )
        value = self.draw(st.sampled_from(self.steps))()
        if value is not None and self.graph.type(value).rank <= 4:
            self.values.append(value)

    def pick(self, fits: Callable[[TensorType], bool] = lambda _: True) -> Value | None:
        found = [v for v in self.values if fits(self.graph.type(v))]
        # Recent values more often, so that graphs grow deep.
        return self.draw(st.sampled_from(found[-4:] if self.draw(st.booleans()) else found)) if found else None

    def float(self) -> Value:
        value = self.pick(lambda t: t.dtype is F32)
        assert value is not None
        return value

    def like(self, value: Value) -> Value:
        """A value of the same type: another one, or a number."""
        type = self.graph.type(value)
        if self.draw(st.booleans()):
            other = self.pick(lambda t: t == type)
            assert other is not None
            return other
        return self.build.full(self.draw(st.sampled_from(NUMBERS if type.dtype.is_float else (0, 1, -1, 3))), type)

    def unary(self) -> Value:
        names = UNARY if self.composites else UNARY[:5]
        return self.build.emit(self.draw(st.sampled_from(names)), self.float())

    def binary(self) -> Value:
        a = self.pick(lambda t: t.dtype in (F32, I32))
        assert a is not None
        pair = (a, self.like(a)) if self.draw(st.booleans()) else (self.like(a), a)
        return self.build.emit(self.draw(st.sampled_from(BINARY)), *pair)

    def logic(self) -> Value | None:
        a = self.pick(lambda t: t.dtype is BOOL)
        if a is None or self.draw(st.booleans()):
            return None if a is None else self.build.emit("logical_not", a)
        other = self.pick(lambda t: t == self.graph.type(a))
        assert other is not None
        return self.build.emit(self.draw(st.sampled_from(("and", "or", "xor"))), a, other)

    def number(self) -> Value:
        shape = self.draw(st.sampled_from(((), (3,), (2, 3))))
        values = self.draw(st.lists(st.sampled_from(NUMBERS), min_size=6, max_size=6))
        return self.build.constant(np.resize(np.float32(values), shape), F32)

    def iota(self) -> Value:
        return self.build.emit("iota", axis=0, shape=self.draw(st.sampled_from(((3,), (N,), (2, 3)))), dtype=I32)

    def compare(self) -> Value:
        a = self.float()
        return self.build.emit(self.draw(st.sampled_from(COMPARE)), a, self.like(a))

    def select(self) -> Value | None:
        condition = self.pick(lambda t: t.dtype is BOOL)
        if condition is None:
            return None
        shape = self.graph.type(condition).shape
        a = self.pick(lambda t: t.shape == shape and t.dtype in (F32, I32))
        return None if a is None else self.build.emit("select", condition, a, self.like(a))

    def cast(self) -> Value:
        value = self.pick()
        assert value is not None
        return self.build.emit("cast", value, dtype=self.draw(st.sampled_from((F32, I32, BOOL, DType.F64, DType.I8))))

    def reduce(self) -> Value:
        x = self.pick(lambda t: t.dtype in (F32, I32))
        assert x is not None
        rank = self.graph.type(x).rank
        axes = self.draw(st.lists(st.integers(-rank, rank - 1), unique_by=lambda a: a % rank)) if rank else []
        name = self.draw(st.sampled_from(("reduce_sum", "reduce_max", "reduce_min")))
        return self.build.emit(name, x, axes=tuple(axes), keepdims=self.draw(st.booleans()))

    def transpose(self) -> Value:
        x = self.pick()
        assert x is not None
        return self.build.emit("transpose", x, axes=tuple(self.draw(st.permutations(range(self.graph.type(x).rank)))))

    def reshape(self) -> Value:
        x = self.pick()
        assert x is not None
        shape = self.graph.type(x).shape
        return self.build.emit(
            "reshape", x, shape=self.draw(st.sampled_from(((self.graph.type(x).size,), (1, *shape), (*shape, 1))))
        )

    def broadcast(self) -> Value:
        x = self.pick()
        assert x is not None
        shape = self.graph.type(x).shape
        wide = tuple(4 if size == 1 else size for size in shape)
        return self.build.emit("broadcast", x, shape=self.draw(st.sampled_from((wide, (2, *shape), (N, *wide)))))

    def slice(self) -> Value | None:
        x = self.pick(lambda t: t.rank > 0 and isinstance(t.shape[-1], int) and t.shape[-1] >= 2)
        if x is None:
            return None
        shape = self.graph.type(x).shape
        start, last = (0,) * len(shape), shape[-1]
        stop = (*shape[:-1], last - 1) if self.draw(st.booleans()) else shape
        return self.build.emit(
            "slice", x, start=start, stop=stop, step=(1,) * (len(shape) - 1) + (self.draw(st.integers(1, 2)),)
        )

    def pad(self) -> Value | None:
        x = self.pick(lambda t: t.dtype is F32 and t.rank > 0)
        if x is None:
            return None
        rank = self.graph.type(x).rank
        amounts = [self.draw(st.integers(0, 1)) for _ in range(3)]
        low, high, interior = (((0,) * (rank - 1)) + (a,) for a in amounts)
        return self.build.emit("pad", x, low=low, high=high, interior=interior, value=1.5)

    def concatenate(self) -> Value | None:
        a = self.pick(lambda t: t.rank > 0)
        if a is None:
            return None
        b = self.pick(lambda t: t == self.graph.type(a))
        assert b is not None
        return self.build.emit("concatenate", a, b, axis=-1)

    def matmul(self) -> Value | None:
        a = self.pick(lambda t: t.dtype is F32 and t.rank == 2 and t.shape[1] == 3)
        b = self.pick(lambda t: t.dtype is F32 and t.rank == 2 and t.shape[0] == 3)
        return None if a is None or b is None else self.build.emit("matmul", a, b)

    def gather(self) -> Value | None:
        table = self.pick(lambda t: t.rank > 0)
        index = self.pick(lambda t: t.dtype is I32 and t.rank <= 1)
        return None if table is None or index is None else self.build.emit("gather", table, index, axis=-1)

    def random(self) -> Value:
        key = self.graph.port("key").outputs[0]
        if self.composites and self.draw(st.booleans()):
            return self.build.emit("dropout", self.float(), key, self.graph.port("s").outputs[0], stream=1)
        return self.build.emit("random_bits", key, stream=1, shape=self.draw(st.sampled_from(((3,), (N, 3)))))


@st.composite
def graphs(draw: Draw, *, composites: bool = False, params: bool = True, nodes: int = 14) -> Graph:
    """A graph with symbolic dims, all kinds of ops, shared values, dead nodes and several outputs.

    Args:
        composites: whether there are composites.
        params: whether some ports are parameters; else all are inputs.
        nodes: greatest number of nodes besides ports.
    """
    grower = _Grower(draw, composites, params)
    for _ in range(draw(st.integers(1, nodes))):
        grower.step()
    graph = grower.graph
    for number in range(draw(st.integers(1, 3))):
        value = grower.pick()
        assert value is not None
        graph.add_output(f"y{number}", value)
    updated = grower.pick(lambda t: t == graph.type(graph.port("s").outputs[0]))
    if params and updated is not None and draw(st.booleans()):
        graph.add_output("s'", updated, "s")
    return graph

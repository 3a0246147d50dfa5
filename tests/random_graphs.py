"""Random well-typed graphs of all ops, grown from the samples of their records.

A new op takes part by itself: its samples say which operands and attributes go together, its inference says whether
others do. While a graph grows it is interpreted on one set of arrays, so that operands can be brought into the range
in which an op means something; a part of them is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from op_uses import Domain, Use, domain, renamed, retyped_attrs, uses

from sigmagraph.autodiff.vjp import gradients
from sigmagraph.dims import Dim, Size, evaluate, maximum
from sigmagraph.dtypes import BF16, BOOL, F16, F32, F64, I8, I16, I32, I64, U8, DType
from sigmagraph.errors import DifferentiationError, SigmaError
from sigmagraph.ir.graph.body import Body
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import run_node
from sigmagraph.ir.graph.opdef import NDArray, OpDef, OpKind
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.location import Location
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.base import PassContext
from sigmagraph.passes.decompose import Decompose

N, M = Dim("n"), Dim("m")
SIZES = {"n": 4, "m": 3}  # of the arrays that a graph is interpreted on while it grows
FLOATS, INTEGERS = (F32, F32, F32, F64, F16, BF16), (I32, I32, I64, U8, I8, I16)
NUMBERS = (0.0, 1.0, -1.0, 2.0, 0.5, -0.0, 3.0, -0.75)
LARGEST = 400  # elements of a value that nodes may read
# How often nodes of a kind are tried.
KINDS = (
    *(OpKind.ELEMENTWISE,) * 3, *(OpKind.MOVEMENT,) * 3, *(OpKind.COMPOSITE,) * 4, *(OpKind.REDUCTION,) * 2,
    OpKind.CONTRACTION, OpKind.INDEXING, OpKind.OPAQUE, OpKind.SOURCE, OpKind.CONTROL,
)  # fmt: skip

Draw = Callable[..., Any]


def examples(count: int) -> settings:
    """Settings of a property test: so many examples, ten times as many in the profile that looks for new ones."""
    return settings(max_examples=count if settings.default and settings.default.derandomize else 10 * count)


class Grower:
    """Appends random nodes to a graph.

    Args:
        draw: hypothesis's.
        graph: has ports already.
        arrays: an array for each port.
        dtypes: the element types that stand for float64 and int32 of the samples.
        depth: in how many bodies it may still go down.
    """

    def __init__(
        self, draw: Draw, graph: Graph, arrays: Mapping[Value, NDArray], dtypes: Mapping[DType, DType], depth: int
    ) -> None:
        self.draw = draw
        self.graph = graph
        self.build = Builder(graph, OPS)
        self.arrays = dict(arrays)
        self.dtypes = dtypes
        self.depth = depth
        self.values = list(arrays)  # those that nodes may read
        self.settled = len(graph)

    # ---- drawing

    def one_of(self, choices: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(choices))

    def seldom(self) -> bool:
        return bool(self.draw(st.integers(0, 7)) == 7)

    def pick(self, fits: Callable[[TensorType], bool] = lambda _: True) -> Value | None:
        """A value, recent ones more often, so that graphs grow deep."""
        found = [v for v in self.values if fits(self.graph.type(v))]
        return self.one_of(found[-4:] if self.draw(st.booleans()) else found) if found else None

    # ---- appending

    def settle(self) -> None:
        """Interpret the nodes that were appended."""
        while self.settled < len(self.graph):
            node = self.graph.node(self.settled)
            with np.errstate(all="ignore"):
                results = run_node(node, [self.arrays[v] for v in node.inputs], SIZES)
            self.arrays.update(zip(node.outputs, results, strict=True))
            self.settled += 1

    def emit(self, op: str | OpDef, *inputs: Value, **attrs: Any) -> Value:
        """Append a node that is known to fit."""
        value = self.build.emit(op, *inputs, **attrs)
        self.settle()
        return value

    def attempt(self, op: OpDef, operands: Sequence[Value], attrs: Mapping[str, Any]) -> tuple[Value, ...] | None:
        """Append a node if its inference takes it, and its results are not too large."""
        try:
            results, requirements = op.inference([self.graph.type(v) for v in operands], op.canonical_attrs(attrs))
            for requirement in requirements:
                requirement.check(SIZES)
            sizes = [evaluate(type.size, SIZES) for type in results]
        except SigmaError:
            return None
        if any(r.relation == "==" for r in requirements) or max(sizes) > LARGEST or any(t.rank > 5 for t in results):
            return None
        values = self.build.emit_all(op, *operands, **attrs)
        self.settle()
        self.values += values
        return values

    def step(self) -> None:
        """Append a node with what it needs, or nothing if nothing fits."""
        places = (Location(), Location("m.py", 3, "a/b"), Location("m.py", 4, "", True))
        self.build.location = self.one_of(places)
        kind = self.one_of(KINDS)
        if kind is not OpKind.CONTROL:
            self.operation(kind)
        elif self.depth:
            self.one_of((self.gradient, self.cond, self.scan, partial(self.operation, kind), self.call))()

    # ---- ops by their samples

    def operation(self, kind: OpKind) -> None:
        """A node as in a sample, with sizes of the graph in place of the sample's if that fits."""
        by_name = uses().get(kind, {})
        if not by_name:
            return
        use = self.one_of(by_name[self.one_of(sorted(by_name))])
        if self.draw(st.booleans()) or self.adapted(use) is None:
            self.literal(use)

    def literal(self, use: Use) -> tuple[Value, ...] | None:
        """A node with the very shapes of the sample."""
        types = [TensorType(self.dtypes.get(t.dtype, t.dtype), t.shape) for t in use.types]
        operands = [self.operand(type, use, number) for number, type in enumerate(types)]
        return self.attempt(use.op, operands, retyped_attrs(use, self.dtypes))

    def adapted(self, use: Use) -> tuple[Value, ...] | None:
        """A node around a value of the graph, whose sizes take the places of the sample's."""
        number = next((n for n, t in enumerate(use.types) if t.rank), 0)
        attrs = retyped_attrs(use, self.dtypes)
        if not use.types:
            value = self.pick()
            shape = () if value is None else self.graph.type(value).shape
            wanted = {spec.name for spec in use.op.attrs if spec.kind == "shape"}
            return self.attempt(use.op, (), {k: shape if k in wanted else v for k, v in attrs.items()})
        model = use.types[number]
        anchor = self.pick(lambda t: _alike(t, model) and (use.any_rank or t.rank == model.rank))
        if anchor is None:
            return None
        type = self.graph.type(anchor)
        dtypes = {**self.dtypes, model.dtype: type.dtype}
        sizes = _sizes(model.shape, type.shape) if model.rank == type.rank else None
        if sizes is None and not use.any_rank:
            return None
        operands = []
        for place, t in enumerate(use.types):
            shape = type.shape if sizes is None else renamed(t.shape, sizes)
            wanted_type = TensorType(dtypes.get(t.dtype, t.dtype), shape)
            given = self.tamed(anchor, use, place) if place == number else self.operand(wanted_type, use, place)
            operands.append(given)
        attrs = retyped_attrs(use, dtypes)
        return self.attempt(use.op, operands, self.attributes(use.op, attrs, sizes, model.rank, type.rank))

    def attributes(
        self, op: OpDef, attrs: Mapping[str, Any], sizes: Mapping[Size, Size] | None, rank: int, new: int
    ) -> dict[str, Any]:
        """Attributes of a sample with other sizes, and with other axes where the rank is another or by chance."""
        out = dict(attrs)
        for spec in op.attrs:
            if spec.name not in out:
                continue
            other = new != rank or self.seldom()
            if spec.kind in ("shape", "size"):
                out[spec.name] = renamed(out[spec.name], sizes or {})
            elif spec.kind == "axis" and other and new:
                out[spec.name] = self.draw(st.integers(-new, new - 1))
            elif spec.kind == "axes" and other:
                every = self.one_of(tuple(permutations(range(new))))
                out[spec.name] = tuple(every[: self.draw(st.integers(0, new))])
        return out

    # ---- operands

    def operand(self, type: TensorType, use: Use, number: int) -> Value:
        """A value of a type, within the range of the sample but for a few."""
        array = use.sample.inputs[number]
        if type.shape == array.shape and self.draw(st.integers(0, 3)) == 3:
            with np.errstate(all="ignore"):
                return self.constant(array.astype(type.dtype.numpy), type.dtype)
        return self.tamed(self.fit(type), use, number)

    def tamed(self, value: Value, use: Use, number: int) -> Value:
        """The value, or one made of it that an op has a meaning for."""
        wanted = domain(use, number)
        if use.sample.inputs[number].dtype == np.bool_ and use.op.kind is OpKind.CONTROL:
            return self.truth(value)  # what a guard asks for
        if wanted is None or self.graph.type(value).dtype is BOOL or self.seldom():
            return value
        type = self.graph.type(value)
        if wanted.square:
            return self.like_matrix(value, use.sample.inputs[number])
        if not wanted.holds(self.arrays[value]):
            value = self.bounded(value, wanted) if type.dtype.is_float else self.counted(value, wanted)
        if wanted.ascending and type.rank:
            value = self.emit("sort", value, axis=-1)
        return value

    def truth(self, value: Value) -> Value:
        return value if self.arrays[value].all() else self.build.full(True, self.graph.type(value))

    def bounded(self, value: Value, wanted: Domain) -> Value:
        """Floats squeezed into a range."""
        type = self.graph.type(value)
        half, middle = (wanted.high - wanted.low) * 0.45, (wanted.high + wanted.low) / 2
        if np.isnan(self.arrays[value].astype(np.float64)).any() and not self.seldom():
            finite = self.emit("is_finite", value)
            value = self.emit("select", finite, value, self.full(0.5, type))
        squeezed = self.emit("tanh", value)
        return self.emit("add", self.emit("mul", squeezed, self.full(half, type)), self.full(middle, type))

    def counted(self, value: Value, wanted: Domain) -> Value:
        """Integers brought into a range, if that says something."""
        if not wanted.strict:
            return value
        type = self.graph.type(value)
        count = min(wanted.high - wanted.low + 1, np.iinfo(type.dtype.numpy).max)
        rest = self.emit("remainder", value, self.full(count, type))
        return self.emit("add", rest, self.full(wanted.low, type)) if wanted.low else rest

    def like_matrix(self, value: Value, array: NDArray) -> Value:
        """A matrix of a sample and a small part of a value."""
        type = self.graph.type(value)
        if type.shape != array.shape:
            return value
        part = self.emit("mul", self.emit("tanh", value), self.full(0.05, type))
        base = self.constant(array.astype(type.dtype.numpy), type.dtype)
        safe = self.emit("select", self.emit("is_finite", part), part, self.full(0.0, type))
        return self.emit("add", base, safe)

    def full(self, number: float, type: TensorType) -> Value:
        if not type.dtype.is_float:
            number = bool(number) if type.dtype is BOOL else int(number)
        value = self.build.full(number, type)
        self.settle()
        return value

    def constant(self, array: Any, dtype: DType) -> Value:
        value = self.build.constant(array, dtype)
        self.settle()
        return value

    def fit(self, type: TensorType) -> Value:
        """A value of a type: one of the graph, one made of such a one, or numbers."""
        found = [v for v in self.values if self.graph.type(v) == type]
        ways: list[Callable[[TensorType], Value]] = [self.numbers, self.remade, self.remade]
        if found:
            ways = [lambda _: self.one_of(found)] * 3 + ways
        value: Value = self.one_of(ways)(type)
        return value

    def numbers(self, type: TensorType) -> Value:
        """Constants: different ones, if the shape is known and small."""
        shape = [size for size in type.shape if isinstance(size, int)]
        if len(shape) < type.rank or not shape or self.draw(st.booleans()):
            return self.full(self.one_of(NUMBERS if type.dtype.is_float else (0, 1, 2, 3)), type)
        rng = np.random.default_rng(self.draw(st.integers(0, 99)))
        if type.dtype.is_float:
            return self.constant(rng.standard_normal(shape), type.dtype)
        return self.constant(rng.integers(0, 2 if type.dtype is BOOL else 4, shape), type.dtype)

    def remade(self, type: TensorType) -> Value:
        """A value of the graph in another type."""
        value = self.pick(lambda t: t.dtype is type.dtype) if self.draw(st.booleans()) else self.pick()
        if value is None:
            return self.numbers(type)
        value = self.reshaped(value, type.shape)
        given = self.graph.type(value)
        if type.dtype is BOOL and given.dtype.is_float:  # a cast would nearly always be true
            return self.emit("gt", value, self.full(0.25, given))
        return value if given.dtype is type.dtype else self.emit("cast", value, dtype=type.dtype)

    def reshaped(self, value: Value, shape: tuple[Size, ...]) -> Value:
        """A value in another shape: its elements, a part of them, or one of them again and again."""
        given = self.graph.type(value)
        if given.shape == shape:
            return value
        if given.size == TensorType(given.dtype, shape).size:
            return self.emit("reshape", value, shape=shape)
        if _spreads(given.shape, shape):
            return self.emit("broadcast", value, shape=shape)
        if given.rank == len(shape) and all(isinstance(s, int) for s in (*given.shape, *shape)):
            return self.cut(value, shape)
        if not all(isinstance(size, int) and size for size in given.shape):
            axes = tuple(range(given.rank))
            name = "reduce_any" if given.dtype is BOOL else "reduce_sum"
            value = self.emit(name, value, axes=axes)
        else:
            start, none = (0,) * given.rank, (1,) * given.rank
            value = self.emit("slice", value, start=start, stop=none, step=none) if given.rank else value
            value = self.emit("reshape", value, shape=()) if given.rank else value
        return self.emit("broadcast", value, shape=shape) if shape else value

    def cut(self, value: Value, shape: tuple[Size, ...]) -> Value:
        """As many elements along each axis as asked for, zeros where there are not so many."""
        given = self.graph.type(value).shape
        zero, one = (0,) * len(shape), (1,) * len(shape)
        more = tuple(maximum(0, b - a) for a, b in zip(given, shape, strict=True))
        if any(more):
            value = self.emit("pad", value, low=zero, high=more, interior=zero)
        if self.graph.type(value).shape != shape:
            value = self.emit("slice", value, start=zero, stop=shape, step=one)
        return value

    # ---- ops with bodies, and gradients

    def inside(self, name: str, ports: Sequence[tuple[TensorType, NDArray]], states: int = 0) -> Grower:
        """A grower for a body whose ports have types and, while it grows, arrays; the first ones are its state."""
        graph, arrays = Graph(name), {}
        for number, (type, array) in enumerate(ports):
            add = graph.add_param if number < states else graph.add_input
            arrays[add(f"p{number}", type)] = array
        grower = Grower(self.draw, graph, arrays, self.dtypes, self.depth - 1)
        for _ in range(self.draw(st.integers(0, 4))):
            grower.step()
        return grower

    def some(self, least: int, most: int) -> list[Value]:
        """A few values."""
        return [self.one_of(self.values) for _ in range(self.draw(st.integers(least, most)))]

    def scan(self) -> None:
        """A loop over the rows of a value."""
        rows = self.pick(lambda t: t.rank > 0)
        if rows is None:
            return
        length = self.graph.type(rows).shape[0]
        starts, same = self.some(0, 2), self.some(0, 2)
        slices = [rows, *(v for v in self.some(0, 1) if self.graph.type(v).shape[:1] == (length,))]
        ports = [(self.graph.type(v), self.arrays[v]) for v in starts]
        for value in slices:
            type, array = self.graph.type(value), self.arrays[value]
            ports.append((TensorType(type.dtype, type.shape[1:]), array[0] if len(array) else _empty(array)))
        ports += [(self.graph.type(v), self.arrays[v]) for v in same]
        body = self.inside("turn", ports, len(starts))
        for param in body.graph.params:
            name = body.graph.node(param).name
            body.graph.add_output(name, body.calm(body.fit(body.graph.type(param))), name)
        for number, value in enumerate(body.some(0, 2)):
            body.graph.add_output(f"y{number}", value)
        if body.graph.outputs:
            attrs = {"sequences": len(slices), "length": length, "reverse": self.draw(st.booleans())}
            self.attempt(OPS["scan"], (*starts, *slices, *same), {"body": Body(body.graph), **attrs})

    def calm(self, value: Value) -> Value:
        """A state that does not grow from turn to turn."""
        return self.emit("tanh", value) if self.graph.type(value).dtype.is_float and not self.seldom() else value

    def cond(self) -> None:
        """A choice between two bodies."""
        operands = self.some(1, 3)
        flag = self.reshaped(self.fit(TensorType(BOOL, ())), ())
        ports = [(self.graph.type(v), self.arrays[v]) for v in operands]
        then, orelse = self.inside("then", ports), self.inside("orelse", ports)
        for number, value in enumerate(then.some(1, 2)):
            then.graph.add_output(f"y{number}", value)
            orelse.graph.add_output(f"y{number}", orelse.fit(then.graph.type(value)))
        self.attempt(OPS["cond"], (flag, *operands), {"then": Body(then.graph), "orelse": Body(orelse.graph)})

    def call(self) -> None:
        """A checkpoint, or a function with a gradient of its own."""
        operands = self.some(1, 3)
        ports = [(self.graph.type(v), self.arrays[v]) for v in operands]
        body = self.inside("body", ports)
        results = body.some(1, 2)
        for number, value in enumerate(results):
            body.graph.add_output(f"y{number}", value)
        if self.draw(st.booleans()):
            count = self.draw(st.integers(0, len(operands)))
            self.attempt(OPS["checkpoint"], operands, {"body": Body(body.graph), "arguments": count})
            return
        made = [(body.graph.type(v), body.arrays[v]) for v in results]
        back = self.inside("back", (*ports, *made, *((t, a) for t, a in made if t.dtype.is_float)))
        for number, (type, _) in enumerate(p for p in ports if p[0].dtype.is_float):
            back.graph.add_output(f"d{number}", back.fit(type))
        self.attempt(OPS["custom_gradient"], operands, {"body": Body(body.graph), "gradient": Body(back.graph)})

    def gradient(self) -> None:
        """The gradient of the sum of a value, with respect to a few others."""
        if len(self.graph) > 60:
            return
        y, wrt = (
            self.pick(lambda t: t.dtype.is_float),
            [v for v in self.some(1, 2) if self.graph.type(v).dtype.is_float],
        )
        if y is None or not wrt:
            return
        weighted = self.emit("mul", y, self.fit(self.graph.type(y)))
        total = self.emit("reduce_sum", weighted, axes=tuple(range(self.graph.type(y).rank)))
        try:
            found = gradients(self.graph, OPS, total, wrt)
        except DifferentiationError:
            found = ()
        self.settle()
        self.values += [total, *found]


def _alike(type: TensorType, model: TensorType) -> bool:
    """Whether a type may stand for one of a sample."""
    if model.dtype is F64:
        return type.dtype.is_float
    return type.dtype.is_integer if model.dtype is I32 else type.dtype is model.dtype


def _sizes(old: Sequence[Size], new: Sequence[Size]) -> dict[Size, Size] | None:
    """What each size becomes; None where one would become two, or a 1 (which often means just that) another."""
    sizes: dict[Size, Size] = {}
    for a, b in zip(old, new, strict=True):
        if sizes.setdefault(a, b) != b or (a == 1 and b != 1):
            return None
    return sizes


def _spreads(shape: Sequence[Size], to: Sequence[Size]) -> bool:
    return len(shape) <= len(to) and all(a in (1, b) for a, b in zip(reversed(shape), reversed(to), strict=False))


def _empty(array: NDArray) -> NDArray:
    return np.zeros(array.shape[1:], array.dtype)


def grown(draw: Draw, *, composites: bool = True, params: bool = True, nodes: int = 14) -> Graph:
    """A graph with symbolic dims, all kinds of ops, gradients, bodies, dead nodes and several outputs.

    Args:
        composites: whether there are composites; else what they decompose to stands there, without dead nodes.
        params: whether some ports are parameters; else all are inputs.
        nodes: greatest number of steps that append nodes.
    """
    graph = Graph("random")
    dtypes = {F64: draw(st.sampled_from(FLOATS)), I32: draw(st.sampled_from(INTEGERS))}
    floats, integers = dtypes.values()
    param = graph.add_param if params else graph.add_input
    ports = [
        graph.add_input("x", TensorType(floats, (N, 3))),
        graph.add_input("i", TensorType(integers, (N,))),
        param("1-dense.weights", TensorType(floats, (3, 5))),
        param("s", TensorType(floats, ())),
        param("v", TensorType(floats, (1, 3))),
        param("key", TensorType(I64, (2,))),
        graph.add_input("z", TensorType(floats, (M, 2, N))),
    ]
    rng = np.random.default_rng(1)
    arrays = {v: moderate(rng, graph.type(v), SIZES) for v in ports}
    grower = Grower(draw, graph, arrays, dtypes, depth=2)
    for _ in range(draw(st.integers(1, nodes))):
        grower.step()
    for number in range(draw(st.integers(1, 3))):
        graph.add_output(f"y{number}", grower.one_of(grower.values))
    updated = grower.pick(lambda t: t == TensorType(floats, ()))
    if params and updated is not None and draw(st.booleans()):
        graph.add_output("s'", updated, "s")
    if composites:
        return graph
    out = Decompose().run(graph, PassContext(OPS))
    out.stage = graph.stage
    return out


graphs = st.composite(grown)


def moderate(rng: np.random.Generator, type: TensorType, sizes: Mapping[str, int]) -> NDArray:
    """Numbers around zero, no two floats of which are equal."""
    shape = tuple(evaluate(size, sizes) for size in type.shape)
    if type.dtype.is_float:
        return np.asarray(rng.standard_normal(shape)).astype(type.dtype.numpy)
    low = -3 if np.issubdtype(type.dtype.numpy, np.signedinteger) else 0
    return np.asarray(
        rng.integers(low if type.dtype is not BOOL else 0, 9 if type.dtype is not BOOL else 2, shape)
    ).astype(type.dtype.numpy)

"""Writes graphs as text: the readable form, which the parser reads back, and the canonical form, which is hashed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from sigmagraph.dims import Dim
from sigmagraph.dtypes import BF16, F64, DType
from sigmagraph.ir.graph.attrs import Array, Attrs, AttrValue, Region
from sigmagraph.ir.graph.node import Node, Stage
from sigmagraph.ir.graph.opdef import Trait
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.text.lexer import VERSION
from sigmagraph.ir.text.writer import location, number, string

if TYPE_CHECKING:
    from sigmagraph.ir.graph.graph import Graph

WORDS = frozenset({"true", "false", "inf", "nan", "dense", "graph", *map(str, DType)})
"""Words that mean something else than a dim where an attribute stands."""

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
"""What a port may be called without quotes."""

_WIDTH = 120
_HASHED = 4096
_PORTS = frozenset({Trait.INPUT, Trait.PARAMETER})
_SYMBOL = re.compile(r"[A-Za-z0-9_.\-/]+\Z")


def print_graph(graph: Graph, *, locations: bool = True) -> str:
    """The graph as readable text, nodes in the order of ``graph.nodes()``, numbered from 0 in that order.

    ``parse_graph`` reads it back to an equal graph.
    """
    return f"sigmagraph {VERSION}\n{print_body(graph, locations=locations)}\n"


def print_body(graph: Graph, *, locations: bool = True) -> str:
    """The readable text without its header: how a graph stands among the attributes of a node."""
    return _Writer(graph, graph.nodes(), hints=True, locations=locations, digests=False).text()


def canonical_text(graph: Graph) -> str:
    """The text that equal graphs share, however they were put together.

    Nodes stand in post-order from the outputs; dead nodes, hints and locations are left out; large constants, and
    the graphs among attributes, are given by their SHA-256.
    """
    text = _Writer(graph, _post_order(graph), hints=False, locations=False, digests=True).text()
    return f"sigmagraph {VERSION}\n{text}\n"


def print_node(node: Node, names: Mapping[int, str] | None = None) -> str:
    """A node on one line, without its location; ``names`` says what values are called (by default ``%id``)."""
    return _statement(node, names or {}, digests=True)


def print_attr(value: AttrValue, *, digests: bool = False, locations: bool = True) -> str:
    """An attribute; graphs, and arrays of more than a few kilobytes, by their SHA-256 if ``digests``."""
    if isinstance(value, Region):
        text = f'graph sha256 "{hashlib.sha256(value.canonical.encode()).hexdigest()}"'
        return text if digests else value.readable(locations=locations).replace("\n", "\n  ")
    if isinstance(value, Array):
        digest = digests and len(value.data) > _HASHED
        body = f'sha256 "{hashlib.sha256(value.data).hexdigest()}"' if digest else f"[{_elements(value)}]"
        return f"dense<{value.dtype}[{','.join(map(str, value.shape))}]>{body}"
    if isinstance(value, tuple):
        return "[" + ", ".join(print_attr(v, digests=digests, locations=locations) for v in value) + "]"
    if isinstance(value, str):
        return string(value)
    if isinstance(value, Dim):
        text = str(value)
        return f"({text})" if re.split(r"\W", text.removeprefix("-"), maxsplit=1)[0] in WORDS else text
    return str(value) if isinstance(value, DType) else number(value)


def _elements(array: Array) -> str:
    """The elements in row-major order; one stands for all where all are the same."""
    return ", ".join(_number_texts(array.repeated or array))


def _number_texts(array: Array) -> Iterator[str]:
    values = array.numpy.reshape(-1)
    if not array.dtype.is_float:
        return map(number, values.tolist())
    with np.errstate(invalid="ignore"):  # NaN that signals
        has_nan = np.isnan(values).any()
        exact = values.astype(np.float64).tolist()
    shortest = array.dtype is not F64 and array.dtype is not BF16
    texts = map(str, values) if shortest else map(number, exact)
    if not has_nan:
        return texts
    bits = values.view(f"u{array.dtype.itemsize}")
    usual = np.array(np.nan, values.dtype).view(bits.dtype)[()]
    return (f"nan({b})" if v != v and b != usual else t for t, v, b in zip(texts, values, bits, strict=True))


def _post_order(graph: Graph) -> Sequence[Node]:
    done: dict[int, Node] = {}
    stack = [(o.value.node, False) for o in reversed(graph.outputs)]
    while stack:
        key, expanded = stack.pop()
        if key in done:
            continue
        node = graph.node(key)
        if expanded:
            done[key] = node
        else:
            stack.append((key, True))
            stack.extend((v.node, False) for v in reversed(node.inputs))
    return tuple(done.values())


@dataclass(frozen=True, slots=True)
class _Writer:
    graph: Graph
    nodes: Sequence[Node]
    hints: bool
    locations: bool
    digests: bool

    def text(self) -> str:
        names = self._names()
        body = [n for n in self.nodes if not n.op.traits & _PORTS]
        lines = [f"  {self._body_line(n, names)}" for n in body]
        order = {n.id: i for i, n in enumerate(body)}
        for group in self.graph.groups:
            members = sorted((n for n in group.nodes if n in order), key=order.__getitem__)
            lines.append(f"  fusion {_quoted('@', group.name, _SYMBOL)} {{ {' '.join(names[n] for n in members)} }}")
        return "\n".join((self._head(names), *lines, "}"))

    def _names(self) -> dict[int, str]:
        ports = (*self.graph.inputs, *self.graph.params)
        names = {v.node: _quoted("%", self.graph.node(v).name, NAME) for v in ports}
        body = (n.id for n in self.nodes if n.id not in names)
        return names | {key: f"%{number}" for number, key in enumerate(body)}

    def _head(self, names: Mapping[int, str]) -> str:
        graph = self.graph
        head = f"graph {_quoted('@', graph.name, _SYMBOL)}"
        if graph.stage is not Stage.CAPTURED:
            head += f" stage({graph.stage.value}) "
        ports = [self._port(graph.node(v), names) for v in (*graph.inputs, *graph.params)]
        outputs = [self._output(*o, names) for o in ((o.name, o.value, o.updates) for o in graph.outputs)]
        line = f"{head}({', '.join(ports)}) -> ({', '.join(outputs)}) {{"
        if len(line) <= _WIDTH and not any("loc(" in p for p in ports):
            return line
        return f"{head}({_rows(ports)}) -> ({_rows(outputs)}) {{"

    def _port(self, node: Node, names: Mapping[int, str]) -> str:
        return f"{names[node.id]}: {node.op.name} {node.types[0]}" + self._place(node)

    def _output(self, name: str, value: Value, updates: str | None, names: Mapping[int, str]) -> str:
        label = name if NAME.match(name) else string(name)
        change = "" if updates is None else f" updates {_quoted('%', updates, NAME)}"
        return f"{label}: {_value(value, names)}{change}"

    def _body_line(self, node: Node, names: Mapping[int, str]) -> str:
        hint = f" name {string(node.name)}" if self.hints and node.name else ""
        return _statement(node, names, self.digests, self.locations) + hint + self._place(node)

    def _place(self, node: Node) -> str:
        place = location(node.location) if self.locations else ""
        return f" {place}" if place else ""


def _rows(items: Sequence[str]) -> str:
    return "\n" + ",\n".join(f"    {i}" for i in items) + "\n" if items else ""


def _statement(node: Node, names: Mapping[int, str], digests: bool, locations: bool = False) -> str:
    result = names.get(node.id) or f"%{node.id}"
    if len(node.types) != 1:
        result += f":{len(node.types)}"
    operands = ", ".join(_value(v, names) for v in node.inputs)
    types = ", ".join(map(_type, node.types))
    return f"{result} = {node.op.name}({operands}){_attrs(node.attrs, digests, locations)} : {types}"


@lru_cache(maxsize=1 << 12)
def _type(type: TensorType) -> str:
    return str(type)


def _attrs(attrs: Attrs, digests: bool, locations: bool) -> str:
    if not attrs:
        return ""
    items: Iterable[str] = (
        f"{name} = {print_attr(value, digests=digests, locations=locations)}" for name, value in attrs.items()
    )
    return f" {{{', '.join(items)}}}"


def _value(value: Value, names: Mapping[int, str]) -> str:
    name = names.get(value.node) or f"%{value.node}"
    return f"{name}#{value.index}" if value.index else name


def _quoted(sign: str, name: str, plain: re.Pattern[str]) -> str:
    return sign + (name if plain.match(name) else string(name))

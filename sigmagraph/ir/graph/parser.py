"""Reads graphs from text; knows no op: types are inferred again and compared with what is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from sigmagraph.dims import Size, evaluate, names, product
from sigmagraph.dtypes import BOOL, DType
from sigmagraph.errors import ParseError, SigmaError, VerifyError
from sigmagraph.ir.graph.attrs import Array, AttrValue
from sigmagraph.ir.graph.body import Body
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Group, Stage
from sigmagraph.ir.graph.opdef import OpDef
from sigmagraph.ir.graph.printer import NAME, WORDS
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.graph.verify import verify_graph
from sigmagraph.ir.text.lexer import Token, TokenStream
from sigmagraph.location import UNKNOWN, Location

_Item = TypeVar("_Item")
_LARGEST = 1 << 31


def parse_graph(text: str, registry: Mapping[str, OpDef], file: str = "<text>") -> Graph:
    """The graph that a text describes, with ops of ``registry``; it has been verified.

    Raises:
        ParseError: the text is no graph; the error says where, and what was expected.
    """
    tokens = TokenStream(text, file)
    tokens.header()
    try:
        graph = _GraphParser(tokens, registry).graph()
    except RecursionError:
        raise tokens.error("the text is nested too deeply here") from None
    if tokens.next.kind != "end":
        raise tokens.error("there is more text behind the graph", expected="the end of the text")
    return graph


class _GraphParser:
    def __init__(self, tokens: TokenStream, registry: Mapping[str, OpDef]) -> None:
        self.tokens = tokens
        self.registry = registry
        self.out = Graph()
        self.ports: dict[str, Value] = {}
        self.nodes: dict[str, int] = {}

    def graph(self) -> Graph:
        """``graph @name stage(...) (ports) -> (outputs) { nodes groups }``."""
        tokens = self.tokens
        tokens.expect("graph")
        name = tokens.expect_kind("symbol", "the name of the graph: @name")
        self.out.name = name.label
        if tokens.accept("stage"):
            tokens.expect("(")
            self.out.stage = self._stage()
            tokens.expect(")")
        self._list(self._port)
        tokens.expect("->")
        outputs = self._list(self._output)
        tokens.expect("{")
        groups: list[Group] = []
        while not tokens.accept("}"):
            if tokens.accept("fusion"):
                groups.append(self._group())
            elif groups:
                raise tokens.error("a node stands behind the groups", expected="'fusion' or '}'")
            else:
                self._node()
        for output in outputs:
            self._add_output(*output)
        self.out.set_groups(groups)
        try:
            verify_graph(self.out)
        except VerifyError as error:
            raise tokens.error(str(error), name) from error
        return self.out

    # ---- signature

    def _stage(self) -> Stage:
        token = self.tokens.take()
        stages = {s.value: s for s in Stage}
        if token.text not in stages:
            raise self.tokens.error("there is no such stage", token, expected=", ".join(stages))
        return stages[token.text]

    def _port(self) -> None:
        tokens = self.tokens
        name = tokens.expect_kind("value", "the name of an input or parameter: %name")
        tokens.expect(":")
        kinds = {"input": self.out.add_input, "param": self.out.add_param}
        kind = tokens.expect_kind("name", "'input' or 'param'")
        if kind.text not in kinds:
            raise tokens.error("unexpected text", kind, expected="'input' or 'param'")
        type_, place = self._type(), self._location()
        with _At(tokens, name):
            self.ports[name.label] = kinds[kind.text](name.label, type_, place)

    def _output(self) -> tuple[Token, str, Token, str | None]:
        tokens = self.tokens
        start = tokens.next
        name = tokens.string() if start.kind == "string" else tokens.expect_kind("name", "the name of an output").text
        tokens.expect(":")
        value = tokens.expect_kind("value", "a value")
        if not tokens.accept("updates"):
            return start, name, value, None
        updated = tokens.expect_kind("value", "the name of a parameter")
        if self.ports.get(updated.label) not in self.out.params:
            names = ", ".join(self.out.node(v).name for v in self.out.params) or "none, there are no parameters"
            raise tokens.error("there is no such parameter", updated, expected=names)
        return start, name, value, updated.label

    def _add_output(self, start: Token, name: str, token: Token, updates: str | None) -> None:
        value = self._value(token)
        with _At(self.tokens, start):
            self.out.add_output(name, value, updates)
        if updates is None:
            return
        expected, got = self.out.port(updates).types[0], self.out.type(value)
        if expected != got:
            raise self._mismatch("the new value has another type than the parameter", token, expected, got)
        if [o.updates for o in self.out.outputs].count(updates) > 1:
            raise self.tokens.error("the parameter is updated twice", start, expected="one update for each parameter")

    # ---- body

    def _node(self) -> None:
        tokens = self.tokens
        label = tokens.expect_kind("value", "a node (%name = op(...)), 'fusion' or '}'")
        count = self._result_count(label)
        tokens.expect("=")
        op = tokens.expect_kind("name", "the name of an op")
        if op.text not in self.registry:
            raise tokens.error("there is no such op", op, expected="the name of an op")
        record = self.registry[op.text]
        operands = self._list(lambda: self._value(tokens.expect_kind("value", "an operand: %name")))
        with _At(tokens, op):
            attrs = record.canonical_attrs(self._attrs())
            types, _ = record.inference([self.out.type(v) for v in operands], attrs)
        self._check_types(op, types, count)
        hint = tokens.string() if tokens.accept("name") else "" if label.label.isdigit() else label.label
        self.nodes[label.label] = self.out.add(record, operands, attrs, types, hint, self._location()).id

    def _result_count(self, label: Token) -> int:
        tokens = self.tokens
        if label.result is not None or label.text.startswith('%"'):
            raise tokens.error("this cannot name a node", label, expected="% and letters, digits, _ or .")
        if label.label in self.nodes or self._port_of(label) is not None:
            raise tokens.error("this name is taken", label, expected="a new name")
        return tokens.integer() if tokens.accept(":") else 1

    def _check_types(self, op: Token, types: tuple[TensorType, ...], count: int) -> None:
        tokens = self.tokens
        if count != len(types):
            raise tokens.error("the op has another number of results", op, expected=len(types))
        if not tokens.accept(":"):
            return
        for number, expected in enumerate(types):
            if number:
                tokens.expect(",")
            token = tokens.next
            got = self._type()
            if got != expected:
                raise self._mismatch("the op gives another type", token, expected, got)

    def _value(self, token: Token) -> Value:
        """The value that a name stands for."""
        node = None if token.text.startswith('%"') else self.nodes.get(token.label)
        if node is None:
            port = self._port_of(token)
            if port is None or token.result is not None:
                raise self.tokens.error("there is no such value", token, expected="a value that stands above")
            return port
        index, count = token.result or 0, len(self.out.node(node).types)
        if index >= count:
            raise self.tokens.error("the node has no such result", token, expected=f"{count} results, counted from 0")
        return Value(node, index)

    def _port_of(self, token: Token) -> Value | None:
        """The input or parameter of a name; without quotes it can only be one that needs none."""
        plain = not token.text.startswith('%"')
        return None if plain and not NAME.match(token.label) else self.ports.get(token.label)

    def _group(self) -> Group:
        tokens = self.tokens
        name = tokens.expect_kind("symbol", "the name of a group: @name")
        tokens.expect("{")
        members = []
        while not tokens.accept("}"):
            members.append(self._value(tokens.expect_kind("value", "a node or '}'")).node)
        return Group(name.label, tuple(members))

    # ---- pieces

    def _list(self, item: Callable[[], _Item]) -> tuple[_Item, ...]:
        self.tokens.expect("(")
        out: list[_Item] = []
        while not self.tokens.accept(")"):
            if out:
                self.tokens.expect(",")
            out.append(item())
        return tuple(out)

    def _type(self) -> TensorType:
        start = self.tokens.next
        type_ = TensorType(self.tokens.dtype(), self.tokens.sizes("[", "]"))
        for size in type_.shape:
            if isinstance(size, int) and size < 0:
                raise self.tokens.error("a size is negative", start, expected="at least 0")
            _check_names(self.tokens, start, size)
        return type_

    def _location(self) -> Location:
        return self.tokens.location() if self.tokens.at("loc") else UNKNOWN

    def _attrs(self) -> dict[str, AttrValue]:
        tokens = self.tokens
        out: dict[str, AttrValue] = {}
        if not tokens.accept("{"):
            return out
        while not tokens.accept("}"):
            if out:
                tokens.expect(",")
            name = tokens.expect_kind("name", "the name of an attribute")
            if name.text in out:
                raise tokens.error("the attribute is given twice", name, expected="each attribute once")
            tokens.expect("=")
            out[name.text] = self._body() if tokens.at("graph") else parse_attr(tokens)
        return out

    def _body(self) -> Body:
        """A graph among the attributes of a node."""
        return Body(_GraphParser(self.tokens, self.registry).graph())

    def _mismatch(self, message: str, token: Token, expected: TensorType, got: TensorType) -> ParseError:
        error = self.tokens.error(message, token, expected=expected)
        error.got = got
        return error


class _At:
    """Points errors of the graph and of op records at a token."""

    def __init__(self, tokens: TokenStream, token: Token) -> None:
        self.tokens = tokens
        self.token = token

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SigmaError) and not isinstance(error, ParseError):
            placed = self.tokens.error(error.message, self.token, expected=error.expected)
            placed.got = error.got
            raise placed from error


def parse_attr(tokens: TokenStream) -> AttrValue:
    """Take an attribute: a number, a bool, a string, an element type, a size, a list or ``dense<f32[2]>[...]``.

    Raises:
        ParseError: something else comes next.
    """
    token = tokens.next
    if token.kind == "string":
        return tokens.string()
    if tokens.accept("["):
        return tuple(_items(tokens, parse_attr))
    if token.text == "dense" and tokens.ahead().text == "<":
        return _array(tokens)
    if token.kind == "name" and token.text in WORDS:
        return _word(tokens)
    number = tokens.ahead() if token.text == "-" else token
    if number.text in ("inf", "nan") or (number.kind == "number" and not number.text.isdigit()):
        return _float(tokens)
    size = tokens.size()
    _check_names(tokens, token, size)
    return size


def _check_names(tokens: TokenStream, start: Token, size: Size) -> None:
    """Refuse the loop variables of kernels."""
    if any(name.startswith("%") for name in names(size)):
        raise tokens.error("a size speaks of a value", start, expected="names of dims, without %")


def _word(tokens: TokenStream) -> AttrValue:
    text = tokens.next.text
    if text in ("true", "false"):
        return tokens.take().text == "true"
    return _float(tokens) if text in ("inf", "nan") else tokens.dtype()


def _float(tokens: TokenStream) -> float:
    sign = -1.0 if tokens.accept("-") else 1.0
    token = tokens.take()
    if token.kind != "number" and token.text not in ("inf", "nan"):
        raise tokens.error("unexpected text", token, expected="a number")
    return sign * float(token.text)


def _items(tokens: TokenStream, item: Callable[[TokenStream], _Item]) -> list[_Item]:
    """Items between commas up to the closing bracket."""
    out: list[_Item] = []
    while not tokens.accept("]"):
        if out:
            tokens.expect(",")
        out.append(item(tokens))
    return out


def _array(tokens: TokenStream) -> Array:
    start = tokens.take()
    tokens.expect("<")
    dtype, sizes = tokens.dtype(), tokens.sizes("[", "]")
    tokens.expect(">")
    if not all(isinstance(s, int) and s >= 0 for s in sizes):
        raise tokens.error("the shape of an array is fixed", start, expected="numbers that are at least 0")
    shape = tuple(evaluate(s, {}) for s in sizes)
    tokens.expect("[")
    count = evaluate(product(shape), {})
    if count * dtype.itemsize > _LARGEST:
        raise tokens.error("the array is too large", start, expected=f"at most {_LARGEST} bytes")
    values = _items(tokens, lambda t: _element(t, dtype))
    repeat = count if len(values) == 1 else 1
    if len(values) * repeat != count:
        raise tokens.error("the array has another number of elements", start, expected=count)
    return Array(dtype, shape, b"".join(values) * repeat)


def _element(tokens: TokenStream, dtype: DType) -> bytes:
    """The bytes of one element."""
    token = tokens.next
    if dtype.is_float:
        if token.text == "nan" and tokens.ahead().text == "(":
            return _nan_bits(tokens, dtype)
        return _bytes(tokens, token, dtype, _float(tokens))
    if dtype is BOOL:
        if token.text not in ("true", "false"):
            raise tokens.error("unexpected text", expected="true or false")
        return _bytes(tokens, token, dtype, tokens.take().text == "true")
    return _bytes(tokens, token, dtype, tokens.integer())


def _bytes(tokens: TokenStream, token: Token, dtype: DType, value: Any) -> bytes:
    with np.errstate(over="ignore"):
        try:
            out = np.asarray(value).astype(dtype.numpy) if dtype.is_float else np.asarray(value, dtype.numpy)
        except OverflowError:
            raise tokens.error(f"the number does not fit into {dtype}", token, expected=dtype) from None
        if np.isinf(out) and not np.isinf(value):
            raise tokens.error(f"the number does not fit into {dtype}", token, expected=dtype)
    return out.tobytes()


def _nan_bits(tokens: TokenStream, dtype: DType) -> bytes:
    """``nan(BITS)``: a NaN that is not the usual one."""
    token = tokens.take()
    tokens.expect("(")
    bits = tokens.integer()
    tokens.expect(")")
    data = bits.to_bytes(dtype.itemsize, "little") if 0 <= bits < 1 << dtype.bits else bytes(dtype.itemsize)
    with np.errstate(invalid="ignore"):
        is_nan = np.isnan(np.frombuffer(data, dtype.numpy)[0])
    if not is_nan:
        raise tokens.error(f"these are not the bits of a {dtype} NaN", token, expected=f"{dtype.bits} bits of a NaN")
    return data

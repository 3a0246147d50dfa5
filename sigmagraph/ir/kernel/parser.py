"""Reads kernels from text; types of loads and calls come from the buffers that are in scope."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import TypeVar

from sigmagraph.dims import Size
from sigmagraph.dtypes import DType
from sigmagraph.errors import DTypeError
from sigmagraph.ir.kernel.expr import Bitcast, Cast, Const, Expr, Index, Load, Var, apply
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    Call,
    For,
    If,
    Kernel,
    KernelStage,
    Let,
    LoopKind,
    Role,
    Space,
    Stmt,
    Store,
    View,
    is_kernel_name,
    is_local_name,
    statements,
)
from sigmagraph.ir.kernel.scalar import SCALARS
from sigmagraph.ir.text.lexer import DIGITS, Token, TokenStream

_Choice = TypeVar("_Choice", bound=Enum)
_Element = TypeVar("_Element")
_Scope = Mapping[str, Buffer | DType]


def parse_kernel(text: str, file: str = "<text>") -> Kernel:
    """The last kernel of a text, with its callees attached.

    Raises:
        ParseError: the text is not a kernel; the error says where and what was expected.
    """
    return parse_kernels(text, file)[-1]


def parse_kernels(text: str, file: str = "<text>") -> tuple[Kernel, ...]:
    """All kernels of a text, in order; a kernel may call those that stand before it.

    Raises:
        ParseError: the text is not a list of kernels; the error says where and what was expected.
    """
    tokens = TokenStream(text, file)
    tokens.header()
    kernels: dict[str, Kernel] = {}
    try:
        while tokens.next.kind != "end" or not kernels:
            kernel = _KernelParser(tokens, kernels).kernel()
            kernels[kernel.name] = kernel
    except RecursionError:
        raise tokens.error("the text is nested too deeply") from None
    return tuple(kernels.values())


class _KernelParser:
    """Reads one kernel; ``known`` holds those that it may call."""

    def __init__(self, tokens: TokenStream, known: Mapping[str, Kernel]) -> None:
        self.tokens = tokens
        self.known = known

    def kernel(self) -> Kernel:
        tokens = self.tokens
        tokens.expect("kernel")
        token = tokens.expect_kind("symbol", "the name of the kernel: @name")
        if token.text[1:] in self.known or not is_kernel_name(token.text[1:]):
            raise tokens.error("a kernel may not be called so", token, expected="a new name of letters and digits")
        tokens.expect("stage")
        tokens.expect("(")
        stage = self._choice(KernelStage)
        tokens.expect(")")
        dims = self._list(self._dim) if tokens.accept("dims") else ()
        tokens.expect("params")
        params = self._list(self._buffer)
        provenance = []
        while tokens.at("loc"):
            provenance.append(tokens.location())
        body = self._block({p.name: p for p in params})
        return Kernel(token.text[1:], dims, params, body, stage, self._callees(body), tuple(provenance))

    def _callees(self, body: Block) -> tuple[Kernel, ...]:
        called = [self.known[s.kernel] for s in statements(body) if isinstance(s, Call)]
        needed = {k.name for kernel in called for k in (*kernel.callees, kernel)}
        return tuple(k for k in self.known.values() if k.name in needed)

    # ---- statements

    def _block(self, outer: _Scope) -> Block:
        scope = dict(outer)
        out: list[Stmt] = []
        self.tokens.expect("{")
        while not self.tokens.accept("}"):
            out.append(self._statement(scope))
        return tuple(out)

    def _statement(self, scope: dict[str, Buffer | DType]) -> Stmt:
        tokens = self.tokens
        if tokens.next.kind == "value":
            return self._store(scope)
        if tokens.accept("for"):
            return self._for(scope)
        if tokens.accept("let"):
            return self._let(scope)
        if tokens.accept("if"):
            conditions = tokens.sizes("(", ")")
            then = self._block(scope)
            return If(conditions, then, self._block(scope) if tokens.accept("else") else ())
        if tokens.accept("alloc"):
            buffer = self._buffer()
            scope[buffer.name] = buffer
            return Alloc(buffer)
        if tokens.accept("call"):
            return self._call(scope)
        if tokens.accept("barrier"):
            return Barrier()
        raise tokens.error("unexpected text", expected="for, let, if, alloc, call, barrier, a store %x[..] = .. or '}'")

    def _for(self, scope: _Scope) -> For:
        var = self._name("the name of the loop variable: %name")
        self.tokens.expect("in")
        extent = self.tokens.size()
        kind = LoopKind.SERIAL if self.tokens.at("{") else self._choice(LoopKind)
        return For(var, extent, kind, self._block(scope))

    def _let(self, scope: dict[str, Buffer | DType]) -> Let:
        name = self._name("the name of the value: %name")
        self.tokens.expect(":")
        token = self.tokens.next
        dtype = self.tokens.dtype()
        self.tokens.expect("=")
        value = self._expr(scope)
        if value.dtype is not dtype:
            raise self.tokens.error("the value has another type", token, expected=value.dtype)
        scope[name] = dtype
        return Let(name, value)

    def _store(self, scope: _Scope) -> Store:
        buffer = self._known_buffer(scope)
        index = self.tokens.sizes("[", "]")
        guard = self._guard()
        self.tokens.expect("=")
        return Store(buffer.name, index, self._expr(scope), guard)

    def _call(self, scope: _Scope) -> Call:
        token = self.tokens.expect_kind("symbol", "the kernel to call: @name")
        if token.text[1:] not in self.known:
            raise self.tokens.error("no kernel of this name stands before", token, expected=_names(self.known))
        dims = self.tokens.sizes("(", ")")
        return Call(token.text[1:], dims, self._list(lambda: self._view(scope)))

    def _view(self, scope: _Scope) -> View:
        return View(self._known_buffer(scope).name, self.tokens.sizes("[", "]"))

    # ---- expressions

    def _expr(self, scope: _Scope) -> Expr:
        token = self.tokens.next
        if token.kind == "value":
            return self._variable(scope)
        if token.kind == "number" or token.text in ("-", "inf", "nan", "true", "false"):
            return self._const()
        if token.kind != "name":
            raise self.tokens.error("unexpected text", expected="a value: %x, %x[..], 1.0:f32, an operation")
        self.tokens.take()
        if token.text == "index":
            self.tokens.expect("(")
            out: Expr = Index(self.tokens.size())
            self.tokens.expect(")")
            return out
        if token.text in ("cast", "bitcast"):
            return self._conversion(token.text, scope)
        if token.text not in SCALARS:
            raise self.tokens.error("there is no such operation", token, expected=_names(SCALARS))
        args = self._list(lambda: self._expr(scope))
        return self._typed(token, lambda: apply(token.text, *args))

    def _variable(self, scope: _Scope) -> Expr:
        token = self.tokens.take()
        known = scope.get(token.text)
        if isinstance(known, Buffer):
            index = self.tokens.sizes("[", "]")
            return Load(known.name, index, known.dtype, self._guard())
        if known is None:
            raise self.tokens.error("no buffer or let of this name is in scope", token, expected=_names(scope))
        return Var(token.text, known)

    def _const(self) -> Const:
        tokens = self.tokens
        start = tokens.next
        sign = -1 if tokens.accept("-") else 1
        token = tokens.take()
        if token.kind != "number" and token.text not in ("inf", "nan", "true", "false"):
            raise tokens.error("unexpected text", token, expected="a number")
        tokens.expect(":")
        dtype = tokens.dtype()
        if token.text in ("true", "false"):
            if sign < 0 or dtype is not DType.BOOL:
                raise tokens.error("true and false are bools", start, expected=f"{token.text}:bool")
            return Const(token.text == "true", dtype)
        whole = token.text.isdigit() and len(token.text) <= DIGITS and not dtype.is_float
        value = int(token.text) if whole else float(token.text)
        if token.kind == "number" and math.isinf(value):
            raise tokens.error("the type has no such value", start, expected=f"inf:{dtype} for infinity")
        if dtype is DType.BOOL:
            raise tokens.error("a number is no bool", start, expected="true:bool or false:bool")
        return self._typed(start, lambda: Const(sign * value, dtype))

    def _conversion(self, kind: str, scope: _Scope) -> Expr:
        self.tokens.expect("(")
        value = self._expr(scope)
        self.tokens.expect(",")
        dtype = self.tokens.dtype()
        self.tokens.expect(")")
        return Cast(value, dtype) if kind == "cast" else Bitcast(value, dtype)

    def _typed(self, token: Token, make: Callable[[], _Element]) -> _Element:
        try:
            return make()
        except DTypeError as error:
            raise self.tokens.error(error.message, token, expected=error.expected) from None

    # ---- pieces

    def _buffer(self) -> Buffer:
        tokens = self.tokens
        name = self._name("the name of a buffer: %name")
        tokens.expect(":")
        role = self._choice(Role) if tokens.next.text in [r.value for r in Role] else Role.TEMP
        dtype = tokens.dtype()
        shape = tokens.sizes("[", "]")
        space = self._choice(Space) if tokens.next.text in [s.value for s in Space] else Space.GLOBAL
        return Buffer(name, dtype, shape, role, space)

    def _known_buffer(self, scope: _Scope) -> Buffer:
        token = self.tokens.expect_kind("value", "a buffer: %name")
        buffer = scope.get(token.text)
        if not isinstance(buffer, Buffer):
            buffers = [name for name, known in scope.items() if isinstance(known, Buffer)]
            raise self.tokens.error("no buffer of this name is in scope", token, expected=_names(buffers))
        return buffer

    def _guard(self) -> tuple[Size, ...]:
        return self.tokens.sizes("(", ")") if self.tokens.accept("when") else ()

    def _name(self, expected: str) -> str:
        token = self.tokens.expect_kind("value", expected)
        if not is_local_name(token.text):
            raise self.tokens.error("this is not the name of something local", token, expected=expected)
        return token.text

    def _dim(self) -> str:
        return self.tokens.expect_kind("name", "the name of a dim").text

    def _list(self, element: Callable[[], _Element]) -> tuple[_Element, ...]:
        self.tokens.expect("(")
        out: list[_Element] = []
        while not self.tokens.accept(")"):
            if out:
                self.tokens.expect(",")
            out.append(element())
        return tuple(out)

    def _choice(self, choices: type[_Choice]) -> _Choice:
        values = [c.value for c in choices]
        if self.tokens.next.kind != "name" or self.tokens.next.text not in values:
            raise self.tokens.error("unexpected text", expected="one of " + ", ".join(values))
        return choices(self.tokens.take().text)


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none is known here"

"""Translates routines, functions in a small subset of Python, to LLVM IR.

The subset: parameters and results of the types of :mod:`.memory`, local variables whose type is that of their first
value, assignments, ``while``, ``if``, ``break``, ``continue``, ``return``, comparisons, ``and``, ``or``, ``not``,
arithmetic, constants of the module in capitals, and calls of other routines and of the functions of :mod:`.memory`.
Integers have 64 bits and wrap around; ``//`` and ``%`` are for numbers that are not negative.
"""

from __future__ import annotations

import ast
import inspect
import struct
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from sigmagraph.codegen.llvm.native import memory
from sigmagraph.codegen.llvm.native.intrinsics import INTRINSICS, Intrinsic
from sigmagraph.errors import CompileError

Routine: TypeAlias = Callable[..., Any]

_TYPES = {"I64": "i64", "I32": "i32", "U8": "i8", "F32": "float", "F64": "double", "Ptr": "ptr", "None": "void"}
_FLOATS = ("float", "double")
_INTEGER = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.FloorDiv: "udiv", ast.Mod: "urem", ast.LShift: "shl",
    ast.RShift: "ashr", ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor",
}  # fmt: skip
_FLOAT = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_COMPARE = {
    ast.Eq: ("eq", "oeq"), ast.NotEq: ("ne", "une"), ast.Lt: ("slt", "olt"), ast.LtE: ("sle", "ole"),
    ast.Gt: ("sgt", "ogt"), ast.GtE: ("sge", "oge"),
}  # fmt: skip


def routines_text(routines: Sequence[Routine]) -> str:
    """Routines as internal functions of a module, each called as in Python.

    Raises:
        CompileError: one of them uses what is not in the subset; the error says where.
    """
    heads = {routine.__name__: Head(routine) for routine in routines}
    constants: dict[bytes, str] = {}
    texts = [_Translator(head, heads, constants).text() for head in heads.values()]
    for data, name in constants.items():
        escaped = "".join(f"\\{byte:02X}" for byte in data)
        texts.append(f'@{name} = internal constant [{len(data)} x i8] c"{escaped}", align 8')
    return "\n".join(texts) + "\n"


class Head:
    """A routine's source and signature."""

    def __init__(self, routine: Routine) -> None:
        source, self.first = inspect.getsourcelines(routine)
        self.name = routine.__name__
        self.file = inspect.getsourcefile(routine) or "?"
        (tree,) = ast.parse(textwrap.dedent("".join(source))).body
        assert isinstance(tree, ast.FunctionDef)
        self.tree = tree
        self.names: Mapping[str, Any] = routine.__globals__
        self.result = self._type(tree.returns)
        self.parameters = tuple((a.arg, self._type(a.annotation)) for a in tree.args.args)

    def _type(self, annotation: ast.expr | None) -> str:
        name = annotation.id if isinstance(annotation, ast.Name) else "None" if _is_none(annotation) else "?"
        if name not in _TYPES:
            raise self.error("a routine has no such type", annotation or self.tree)
        return _TYPES[name]

    def error(self, problem: str, node: ast.AST) -> CompileError:
        """The error about a piece of the source."""
        line = self.first + getattr(node, "lineno", 1) - 1
        return CompileError(f"{problem} ({self.file}:{line}, in {self.name})", got=ast.unparse(node))


def _is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


class _Value:
    """A register or a literal, and its type; a literal takes any type of its kind."""

    def __init__(self, text: str, type: str) -> None:
        self.text, self.type = text, type

    def __str__(self) -> str:
        return f"{self.type} {self.text}"


class _Translator:
    def __init__(self, head: Head, heads: Mapping[str, Head], constants: dict[bytes, str]) -> None:
        self.head, self.heads, self.constants = head, heads, constants
        self.locals: dict[str, str] = {}  # types, by name
        self.allocas: list[str] = []
        self.lines: list[str] = []
        self.count = 0
        self.loops: list[tuple[str, str]] = []  # labels to continue at and to break to

    def text(self) -> str:
        parameters = []
        for name, type in self.head.parameters:
            parameters.append(f"{type} %{name}.in")
            self._declare(name, type if type not in ("i32", "i8") else "i64")
            value = f"%{name}.in"
            if type in ("i32", "i8"):
                value = self._define(f"{'sext' if type == 'i32' else 'zext'} {type} {value} to i64")
            self._line(f"store {self.locals[name]} {value}, ptr %v.{name}")
        ended = self._block(self.head.tree.body)
        if not ended:
            if self.head.result != "void":
                raise self.head.error("a routine may end without a result", self.head.tree.body[-1])
            self._line("ret void")
        head = f"define internal {self.head.result} @{self.head.name}({', '.join(parameters)}) #0 {{"
        return "\n".join([head, "entry:", *self.allocas, *self.lines, "}"])

    # ---- text

    def _line(self, text: str) -> None:
        self.lines.append("  " + text)

    def _fresh(self) -> str:
        self.count += 1
        return f"t.{self.count}"

    def _define(self, text: str) -> str:
        name = f"%{self._fresh()}"
        self._line(f"{name} = {text}")
        return name

    def _label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def _declare(self, name: str, type: str) -> None:
        self.locals[name] = type
        self.allocas.append(f"  %v.{name} = alloca {type}")

    # ---- statements

    def _block(self, statements: Sequence[ast.stmt]) -> bool:
        """Whether control never comes to the end of it."""
        for number, statement in enumerate(statements):
            if self._statement(statement):
                if number + 1 < len(statements):
                    raise self.head.error("this is never reached", statements[number + 1])
                return True
        return False

    def _statement(self, node: ast.stmt) -> bool:
        match node:
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), _, value) if value is not None:
                self._assign(name, self._expression(value), node)
            case ast.AugAssign(ast.Name(name), op, value):
                right = self._expression(value)
                self._assign(name, self._binary(self._name(name, node), op, right, node), node)
            case ast.Expr(ast.Constant(str())):
                pass
            case ast.Expr(ast.Call() as call):
                self._call(call)
            case ast.If():
                return self._if(node)
            case ast.While(test, body, []):
                return self._while(test, body)
            case ast.Return(value):
                self._return(value, node)
                return True
            case ast.Break() | ast.Continue() if self.loops:
                self._line(f"br label %{self.loops[-1][isinstance(node, ast.Break)]}")
                return True
            case _:
                raise self.head.error("a routine has no such statement", node)
        return False

    def _assign(self, name: str, value: _Value, node: ast.AST) -> None:
        if name not in self.locals:
            self._declare(name, value.type)
        if self.locals[name] != value.type:
            raise self.head.error(f"'{name}' is of type {self.locals[name]}, not {value.type}", node)
        self._line(f"store {value}, ptr %v.{name}")

    def _if(self, node: ast.If) -> bool:
        then, orelse, join = (f"{kind}.{self._fresh()}" for kind in ("then", "else", "join"))
        self._condition(node.test, then, orelse)
        ends = []
        for label, block in ((then, node.body), (orelse, node.orelse)):
            self._label(label)
            ends.append(self._block(block))
            if not ends[-1]:
                self._line(f"br label %{join}")
        if all(ends):
            return True
        self._label(join)
        return False

    def _while(self, test: ast.expr, body: Sequence[ast.stmt]) -> bool:
        head, inside, after = (f"{kind}.{self._fresh()}" for kind in ("head", "body", "after"))
        self._line(f"br label %{head}")
        self._label(head)
        self._condition(test, inside, after)
        self._label(inside)
        self.loops.append((head, after))
        if not self._block(body):
            self._line(f"br label %{head}")
        self.loops.pop()
        endless = isinstance(test, ast.Constant) and not any(f"label %{after}" in line for line in self.lines)
        if not endless:
            self._label(after)
        return endless

    def _return(self, value: ast.expr | None, node: ast.stmt) -> None:
        if value is None:
            if self.head.result != "void":
                raise self.head.error("a routine ends without a result", node)
            self._line("ret void")
            return
        out = self._expression(value)
        if out.type == "i64" and self.head.result in ("i32", "i8"):
            out = _Value(self._define(f"trunc {out} to {self.head.result}"), self.head.result)
        if out.type != self.head.result:
            raise self.head.error(f"the result is of type {self.head.result}, not {out.type}", node)
        self._line(f"ret {out}")

    # ---- conditions

    def _condition(self, node: ast.expr, yes: str, no: str) -> None:
        """Go on at one label or another."""
        match node:
            case ast.BoolOp(op, values):
                for value in values[:-1]:
                    next_one = f"more.{self._fresh()}"
                    both = (next_one, no) if isinstance(op, ast.And) else (yes, next_one)
                    self._condition(value, *both)
                    self._label(next_one)
                self._condition(values[-1], yes, no)
            case ast.UnaryOp(ast.Not(), value):
                self._condition(value, no, yes)
            case ast.Compare(first, ops, others):
                left = self._expression(first)
                for number, (test, other) in enumerate(zip(ops, others, strict=True)):
                    right = self._expression(other)
                    after = yes if number + 1 == len(ops) else f"more.{self._fresh()}"
                    self._line(f"br i1 {self._compare(left, test, right, node)}, label %{after}, label %{no}")
                    if after != yes:
                        self._label(after)
                    left = right
            case ast.Constant(True):
                self._line(f"br label %{yes}")
            case _:
                raise self.head.error("a condition is no comparison", node)

    def _compare(self, left: _Value, op: ast.cmpop, right: _Value, node: ast.AST) -> str:
        if type(op) not in _COMPARE or left.type != right.type:
            raise self.head.error("this cannot be compared", node)
        for_integer, for_float = _COMPARE[type(op)]
        kind = f"fcmp {for_float}" if left.type in _FLOATS else f"icmp {for_integer}"
        return self._define(f"{kind} {left}, {right.text}")

    # ---- expressions

    def _expression(self, node: ast.expr) -> _Value:
        match node:
            case ast.Constant(value):
                return self._constant(value, node)
            case ast.Name(name):
                return self._name(name, node)
            case ast.BinOp(left, op, right):
                return self._binary(self._expression(left), op, self._expression(right), node)
            case ast.UnaryOp(ast.USub(), ast.Constant(value)) if isinstance(value, (int, float)):
                return self._constant(-value, node)
            case ast.UnaryOp(ast.USub(), operand):
                return self._negative(self._expression(operand))
            case ast.Call():
                result = self._call(node)
                if result is None:
                    raise self.head.error("this has no value", node)
                return result
            case ast.IfExp(test, yes, no):
                return self._choice(test, yes, no, node)
            case _:
                raise self.head.error("a routine has no such expression", node)

    def _negative(self, value: _Value) -> _Value:
        if value.type in _FLOATS:
            return _Value(self._define(f"fneg {value}"), value.type)
        return _Value(self._define(f"sub i64 0, {value.text}"), "i64")

    def _choice(self, test: ast.expr, yes: ast.expr, no: ast.expr, node: ast.expr) -> _Value:
        name = f"choice.{self._fresh()}"
        labels = [f"{kind}.{self._fresh()}" for kind in ("then", "else", "join")]
        self._condition(test, labels[0], labels[1])
        for label, part in zip(labels, (yes, no), strict=False):
            self._label(label)
            self._assign(name, self._expression(part), node)
            self._line(f"br label %{labels[2]}")
        self._label(labels[2])
        return self._name(name, node)

    def _name(self, name: str, node: ast.AST) -> _Value:
        if name in self.locals:
            type = self.locals[name]
            return _Value(self._define(f"load {type}, ptr %v.{name}"), type)
        if name.isupper() and name in self.head.names:
            return self._constant(self.head.names[name], node)
        raise self.head.error(f"'{name}' is not known here", node)

    def _constant(self, value: object, node: ast.AST) -> _Value:
        if isinstance(value, memory.Pointer):
            name = self.constants.setdefault(bytes(value.memory), f"{self.head.name}.bytes{len(self.constants)}")
            return _Value(f"@{name}", "ptr")
        if isinstance(value, float):
            return _Value(f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}", "double")
        if isinstance(value, int) and not isinstance(value, bool):
            return _Value(str(memory.wrapped(int(value))), "i64")
        raise self.head.error("a routine has no such constant", node)

    def _binary(self, left: _Value, op: ast.operator, right: _Value, node: ast.AST) -> _Value:
        table = _FLOAT if left.type in _FLOATS else _INTEGER if left.type == "i64" else {}
        if type(op) not in table or left.type != right.type:
            raise self.head.error(f"there is no such operation on {left.type} and {right.type}", node)
        return _Value(self._define(f"{table[type(op)]} {left}, {right.text}"), left.type)

    def _call(self, node: ast.Call) -> _Value | None:
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise self.head.error("this cannot be called", node)
        name = node.func.id
        if name == "stack":
            return self._stack(node)
        arguments = [self._expression(argument) for argument in node.args]
        if name in INTRINSICS and name not in self.heads:
            return self._intrinsic(INTRINSICS[name], arguments, node)
        if name not in self.heads:
            raise self.head.error(f"the routine '{name}' is not among those that are translated", node)
        return self._routine(self.heads[name], arguments, node)

    def _stack(self, node: ast.Call) -> _Value:
        match node.args:
            case [ast.Constant(int() as words)]:
                name = f"stack.{self._fresh()}"
                self.allocas.append(f"  %{name} = alloca [{words} x i64], align 8")
                return _Value(f"%{name}", "ptr")
            case _:
                raise self.head.error("memory on the stack has a constant size", node)

    def _routine(self, callee: Head, arguments: Sequence[_Value], node: ast.Call) -> _Value | None:
        passed = []
        if len(arguments) != len(callee.parameters):
            raise self.head.error(f"'{callee.name}' takes another number of arguments", node)
        for value, (_, type) in zip(arguments, callee.parameters, strict=True):
            if type in ("i32", "i8") and value.type == "i64":
                value = _Value(self._define(f"trunc {value} to {type}"), type)
            if value.type != type:
                raise self.head.error(f"'{callee.name}' takes {type}, not {value.type}", node)
            passed.append(str(value))
        call = f"call {callee.result} @{callee.name}({', '.join(passed)})"
        if callee.result == "void":
            self._line(call)
            return None
        out = self._define(call)
        if callee.result in ("i32", "i8"):
            return _Value(
                self._define(f"{'sext' if callee.result == 'i32' else 'zext'} {callee.result} {out} to i64"), "i64"
            )
        return _Value(out, callee.result)

    def _intrinsic(self, intrinsic: Intrinsic, arguments: Sequence[_Value], node: ast.Call) -> _Value | None:
        if tuple(a.type for a in arguments) != intrinsic.parameters:
            raise self.head.error(f"this takes {', '.join(intrinsic.parameters)}", node)
        registers: list[str] = []
        for step in intrinsic.steps:
            text = step.format(*(a.text for a in arguments))
            if registers:
                text = text.replace("%0", registers[0]) if "%0" in text else text
                text = _with_last(text, registers[-1])
            if text.startswith("store "):
                self._line(text)
            else:
                registers.append(self._define(text))
        return _Value(registers[-1], intrinsic.result) if intrinsic.result else None


def _with_last(text: str, register: str) -> str:
    """The result of the step before for a ``%`` that stands alone."""
    return " ".join(word.replace("%", register, 1) if word.rstrip(",") == "%" else word for word in text.split(" "))

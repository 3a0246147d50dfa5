"""Writes native routines, which libraries for processors have as LLVM IR, as C.

See :mod:`sigmagraph.codegen.llvm.native.translate` for the subset of Python that they are written in. Here a routine
becomes a static function, its name with ``rt_`` before it. C leaves open which operand comes first, so that what a
routine hands over or combines may contain one call of another routine at most.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from sigmagraph.codegen.cuda.library.text import words_text
from sigmagraph.codegen.llvm.native import memory
from sigmagraph.codegen.llvm.native.intrinsics import INTRINSICS
from sigmagraph.codegen.llvm.native.translate import Head, Routine

_Typed: TypeAlias = tuple[str, str]  # an expression in C and its type in LLVM IR

_TYPES = {"i64": "int64_t", "i32": "int32_t", "i8": "uint8_t", "float": "float", "double": "double",
          "ptr": "unsigned char *", "void": "void"}  # fmt: skip
_FLOATS = ("float", "double")
# Sums and products wrap around; what is divided is not negative; a shift to the right keeps the sign.
_WRAPPING = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "/", ast.Mod: "%", ast.LShift: "<<"}
_PLAIN = {ast.RShift: ">>", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^"}
_FLOAT = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_COMPARE = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


def _load(type: str, result: str = "int64_t") -> str:
    return f"{result} @(const unsigned char *p, int64_t at) {{ {type} v; memcpy(&v, p + at, sizeof v); return v; }}"


def _store(type: str, value: str = "int64_t") -> str:
    return (
        f"void @(unsigned char *p, int64_t at, {value} x) "
        f"{{ const {type} v = ({type})x; memcpy(p + at, &v, sizeof v); }}"
    )


def _convert(source: str, result: str, text: str) -> str:
    return f"{result} @({source} x) {{ {text} }}"


# What the functions of the module memory are in C; @ stands for the name.
_FUNCTIONS: Mapping[str, str] = MappingProxyType(
    {
        "load_u8": _load("uint8_t"),
        "load_i8": _load("int8_t"),
        "load_u16": _load("uint16_t"),
        "load_i16": _load("int16_t"),
        "load_i32": _load("int32_t"),
        "load_i64": _load("int64_t"),
        "load_f32": _load("float", "float"),
        "load_f64": _load("double", "double"),
        "store_u8": _store("uint8_t"),
        "store_u16": _store("uint16_t"),
        "store_i32": _store("int32_t"),
        "store_i64": _store("int64_t"),
        "store_f32": _store("float", "float"),
        "store_f64": _store("double", "double"),
        "behind": "unsigned char *@(unsigned char *p, int64_t at) { return p + at; }",
        "pointer_bits": "int64_t @(const unsigned char *p) { return (int64_t)(uintptr_t)p; }",
        "wrapped": _convert("int64_t", "int64_t", "return x;"),
        "shifted": "int64_t @(int64_t x, int64_t by) { return (int64_t)((uint64_t)x >> by); }",
        "f32_of": _convert("int64_t", "float", "return (float)(int32_t)x;"),
        "f64_of": _convert("int64_t", "double", "return (int32_t)x;"),
        "rounded": _convert("double", "float", "return (float)x;"),
        "float_of": _convert("float", "double", "return x;"),
        "whole_of": _convert("double", "int64_t", "return (int32_t)x;"),
        "f32_bits": _convert("float", "int64_t", "uint32_t v; memcpy(&v, &x, sizeof v); return v;"),
        "f32_from_bits": _convert(
            "int64_t", "float", "const uint32_t b = (uint32_t)x; float v; memcpy(&v, &b, sizeof v); return v;"
        ),
        "f64_bits": _convert("double", "int64_t", "int64_t v; memcpy(&v, &x, sizeof v); return v;"),
        "f64_from_bits": _convert("int64_t", "double", "double v; memcpy(&v, &x, sizeof v); return v;"),
    }
)


def routines_in_c(routines: Sequence[Routine]) -> str:
    """Routines as static functions, and what they call.

    Raises:
        CompileError: one of them uses what is not in the subset; the error says where.
    """
    heads = {routine.__name__: Head(routine) for routine in routines}
    constants: dict[bytes, str] = {}
    used: dict[str, None] = {}
    texts = [_Writer(head, heads, constants, used).text() for head in heads.values()]
    small = [f"static {_FUNCTIONS[name].replace('@', 'rt_' + name)}" for name in sorted(used)]
    data = [words_text(name, content) for content, name in constants.items()]
    declared = [f"{_signature(head)};" for head in heads.values()]
    return "\n".join(["\n".join([*small, *data, *declared]), "", *texts])


def _signature(head: Head) -> str:
    """A parameter of 32 bits holds what the 64 bits in the routine do."""
    parameters = [_declared(name, "i64" if type in ("i32", "i8") else type) for name, type in head.parameters]
    result = _TYPES[head.result]
    return f"static {result}{'' if result.endswith('*') else ' '}rt_{head.name}({', '.join(parameters)})"


def _declared(name: str, type: str) -> str:
    spelled = _TYPES[type]
    return f"{spelled}{'' if spelled.endswith('*') else ' '}{name}_"


def _called(node: ast.AST) -> list[str]:
    """The names of what is called within."""
    return [n.func.id for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]


def _ends(statements: Sequence[ast.stmt]) -> bool:
    """Whether control never comes to the end of them."""
    match statements[-1:]:
        case [ast.Return()]:
            return True
        case [ast.If(_, body, orelse)]:
            return _ends(body) and _ends(orelse)
        case [ast.While(ast.Constant(True), body)]:
            return not any(isinstance(node, ast.Break) for statement in body for node in ast.walk(statement))
        case _:
            return False


class _Writer:
    """One routine. Names in C have an underscore behind them, for some are words of the language."""

    def __init__(
        self, head: Head, heads: Mapping[str, Head], constants: dict[bytes, str], used: dict[str, None]
    ) -> None:
        self.head, self.heads, self.constants, self.used = head, heads, constants, used
        self.types = {name: "i64" if type in ("i32", "i8") else type for name, type in head.parameters}
        self.declarations: list[str] = []
        self.lines: list[str] = []
        self.depth = 1

    def text(self) -> str:
        self._block(self.head.tree.body)
        if self.head.result != "void" and not _ends(self.head.tree.body):
            raise self.head.error("a routine may end without a result", self.head.tree.body[-1])
        return "\n".join([f"{_signature(self.head)} {{", *self.declarations, *self.lines, "}\n"])

    def _line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    # ---- statements

    def _block(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            self._statement(statement)

    def _inside(self, statements: Sequence[ast.stmt]) -> None:
        self.depth += 1
        self._block(statements)
        self.depth -= 1

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), _, value) if value is not None:
                self._assign(name, self._expression(value), node)
            case ast.AugAssign(ast.Name(name), op, value):
                self._assign(name, self._binary(self._name(name, node), op, self._expression(value), node), node)
            case ast.Expr(ast.Constant(str())):
                pass
            case ast.Expr(ast.Call() as call):
                self._line(f"{self._call(call)[0]};")
            case ast.If():
                self._if(node, "if")
            case ast.While(test, body, []):
                self._line(f"while ({self._condition(test)}) {{")
                self._inside(body)
                self._line("}")
            case ast.Return(value):
                self._line(f"return{self._returned(value)};")
            case ast.Break() | ast.Continue():
                self._line(f"{type(node).__name__.lower()};")
            case _:
                raise self.head.error("a routine has no such statement", node)

    def _returned(self, value: ast.expr | None) -> str:
        if value is None:
            return ""
        text, type = self._expression(value)
        return f" {text}" if type == self.head.result else f" ({_TYPES[self.head.result]}){text}"

    def _if(self, node: ast.If, word: str) -> None:
        self._line(f"{word} ({self._condition(node.test)}) {{")
        self._inside(node.body)
        match node.orelse:
            case []:
                self._line("}")
            case [ast.If() as other]:
                self._if(other, "} else if")
            case _:
                self._line("} else {")
                self._inside(node.orelse)
                self._line("}")

    def _assign(self, name: str, value: _Typed, node: ast.AST) -> None:
        text, type = value
        if name not in self.types:
            self.types[name] = type
            self.declarations.append(f"    {_declared(name, type)} = 0;")
        if self.types[name] != type:
            raise self.head.error(f"'{name}' is of type {self.types[name]}, not {type}", node)
        self._line(f"{name}_ = {text};")

    # ---- conditions

    def _condition(self, node: ast.expr) -> str:
        match node:
            case ast.BoolOp(op, values):
                join = " && " if isinstance(op, ast.And) else " || "
                return join.join(f"({self._condition(value)})" for value in values)
            case ast.UnaryOp(ast.Not(), value):
                return f"!({self._condition(value)})"
            case ast.Compare(first, ops, others):
                return self._comparison([first, *others], ops, node)
            case ast.Constant(True):
                return "1"
            case _:
                raise self.head.error("a condition is no comparison", node)

    def _comparison(self, operands: Sequence[ast.expr], ops: Sequence[ast.cmpop], node: ast.expr) -> str:
        self._one_call(operands, node)
        if any(self._calls(operand) for operand in operands[1:-1]):
            raise self.head.error("what is compared twice is computed twice", node)
        values = [self._expression(operand) for operand in operands]
        if any(type != values[0][1] for _, type in values) or any(type(op) not in _COMPARE for op in ops):
            raise self.head.error("this cannot be compared", node)
        pairs = zip(values, ops, values[1:], strict=False)
        return " && ".join(f"{left} {_COMPARE[type(op)]} {right}" for (left, _), op, (right, _) in pairs)

    def _calls(self, node: ast.AST) -> bool:
        """Whether a routine is called within."""
        return any(name in self.heads for name in _called(node))

    def _one_call(self, operands: Sequence[ast.expr], node: ast.AST) -> None:
        """See that it does not matter which operand comes first."""
        if sum(map(self._calls, operands)) > 1 and not all(map(self._is_pure, operands)):
            raise self.head.error("C does not say which of these calls comes first", node)

    def _is_pure(self, node: ast.AST) -> bool:
        """Whether all that is called within only reads."""
        return all(self._only_reads(name) for name in _called(node))

    def _only_reads(self, name: str) -> bool:
        if name not in self.heads:
            return not name.startswith("store_")
        return all(other == name or self._only_reads(other) for other in _called(self.heads[name].tree))

    # ---- expressions

    def _expression(self, node: ast.expr) -> _Typed:
        match node:
            case ast.Constant(value):
                return self._constant(value, node)
            case ast.Name(name):
                return self._name(name, node)
            case ast.BinOp(left, op, right):
                self._one_call([left, right], node)
                return self._binary(self._expression(left), op, self._expression(right), node)
            case ast.UnaryOp(ast.USub(), ast.Constant(value)) if isinstance(value, (int, float)):
                return self._constant(-value, node)
            case ast.UnaryOp(ast.USub(), operand):
                text, type = self._expression(operand)
                return (f"(-{text})" if type in _FLOATS else f"(int64_t)(0 - (uint64_t){text})"), type
            case ast.Call():
                return self._call(node)
            case ast.IfExp(test, yes, no):
                (first, type), (second, _) = self._expression(yes), self._expression(no)
                return f"({self._condition(test)} ? {first} : {second})", type
            case _:
                raise self.head.error("a routine has no such expression", node)

    def _name(self, name: str, node: ast.AST) -> _Typed:
        if name in self.types:
            return f"{name}_", self.types[name]
        if name.isupper() and name in self.head.names:
            return self._constant(self.head.names[name], node)
        raise self.head.error(f"'{name}' is not known here", node)

    def _constant(self, value: object, node: ast.AST) -> _Typed:
        if isinstance(value, memory.Pointer):
            name = self.constants.setdefault(bytes(value.memory), f"rt_bytes{len(self.constants)}")
            return f"(unsigned char *){name}", "ptr"
        if isinstance(value, float):
            return value.hex(), "double"
        if isinstance(value, int) and not isinstance(value, bool):
            number = memory.wrapped(int(value))
            small = -(1 << 31) < number < 1 << 31
            return (f"{number}" if small else f"(int64_t)UINT64_C({number & (1 << 64) - 1})"), "i64"
        raise self.head.error("a routine has no such constant", node)

    def _binary(self, left: _Typed, op: ast.operator, right: _Typed, node: ast.AST) -> _Typed:
        (a, type_a), (b, type_b), kind = left, right, type(op)
        if type_a == type_b and type_a in _FLOATS and kind in _FLOAT:
            return f"({a} {_FLOAT[kind]} {b})", type_a
        if type_a == type_b == "i64" and kind in _PLAIN:
            return f"({a} {_PLAIN[kind]} {b})", type_a
        if type_a == type_b == "i64" and kind in _WRAPPING:
            return f"(int64_t)((uint64_t){a} {_WRAPPING[kind]} (uint64_t){b})", type_a
        raise self.head.error(f"there is no such operation on {type_a} and {type_b}", node)

    def _call(self, node: ast.Call) -> _Typed:
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise self.head.error("this cannot be called", node)
        name = node.func.id
        if name == "stack":
            return self._stack(node)
        self._one_call(node.args, node)
        arguments = [self._expression(argument) for argument in node.args]
        if name in self.heads:
            wanted = tuple("i64" if type in ("i32", "i8") else type for _, type in self.heads[name].parameters)
            result = self.heads[name].result
            result = "i64" if result in ("i32", "i8") else result
        elif name in INTRINSICS:
            wanted, result = INTRINSICS[name].parameters, INTRINSICS[name].result or "void"
            self.used[name] = None
        else:
            raise self.head.error(f"the routine '{name}' is not among those that are translated", node)
        if tuple(type for _, type in arguments) != wanted:
            raise self.head.error(f"this takes {', '.join(wanted)}", node)
        return f"rt_{name}({', '.join(text for text, _ in arguments)})", result

    def _stack(self, node: ast.Call) -> _Typed:
        match node.args:
            case [ast.Constant(int() as words)]:
                name = f"stack{len(self.declarations)}"
                self.declarations.append(f"    int64_t {name}[{words}];")
                return f"(unsigned char *){name}", "ptr"
            case _:
                raise self.head.error("memory on the stack has a constant size", node)

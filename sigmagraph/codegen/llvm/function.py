"""One LLVM function while it is written: scopes, registers, and index arithmetic placed as far out as it can stand.

Every scope (function, loop body, branch) collects its own lines; an inner scope is spliced into the outer one when it
is complete. So a pure instruction can still be appended to the scope where its operands are known, which moves whatever
does not change out of loops without an analysis, and an equal instruction is never written twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from sigmagraph.codegen.llvm.native.arithmetic import arithmetic_texts
from sigmagraph.codegen.llvm.native.split import split_name, split_text
from sigmagraph.codegen.llvm.types import Register, memory_type, register_type
from sigmagraph.dims import Dim, Func, Size, coefficient, names, of_term, substitute
from sigmagraph.dtypes import BOOL, I64, DType

_REGISTER_NAME = re.compile(r"%[\w.]+")


class Scope:
    """The lines of a region, the names bound in it and the registers computed in it."""

    def __init__(self, label: str) -> None:
        self.lines: list[str] = []
        self.label = label
        self.names: dict[str, Register] = {}
        self.computed: dict[str, Register] = {}
        self.sizes: dict[Size, Register] = {}


class Function:
    """Collects the text of one function.

    Attributes:
        declarations: intrinsics used, by name; shared by the module's functions.
        vector: variable and number of lanes of the vectorized loop being written, if any.
    """

    def __init__(self, declarations: dict[str, str]) -> None:
        self.declarations = declarations
        self.vector: tuple[str, int] | None = None
        self.scopes = [Scope("entry")]
        self._depth_of: dict[str, int] = {}
        self._count = 0

    # ---- scopes

    @property
    def scope(self) -> Scope:
        return self.scopes[-1]

    def fresh(self, hint: str = "t") -> str:
        """A new register name."""
        self._count += 1
        return f"%{hint}{self._count}"

    def line(self, text: str) -> None:
        """Append an instruction to the innermost scope."""
        self.scope.lines.append("  " + text)

    def label(self, name: str) -> None:
        """Start a basic block in the innermost scope."""
        self.scope.lines.append(f"{name}:")
        self.scope.label = name

    def enter(self, label: str) -> None:
        """Open a scope whose first block has this label."""
        self.scopes.append(Scope(label))

    def leave(self) -> Scope:
        """Close the innermost scope; the caller splices its lines."""
        return self.scopes.pop()

    def splice(self) -> None:
        """Close the innermost scope, which was entered on the way, and go on behind it."""
        inner = self.leave()
        self.scope.lines.extend(inner.lines)
        self.scope.label = inner.label

    def define(self, text: str, hint: str = "t") -> str:
        """Append an instruction with effects or memory reads at the place where it stands; returns its register."""
        name = self.fresh(hint)
        self.line(f"{name} = {text}")
        self._depth_of[name] = len(self.scopes) - 1
        return name

    def bind(self, name: str, register: Register) -> None:
        """Bind a name of the kernel in the innermost scope, perhaps anew."""
        if self.scope.names.get(name, register) != register:
            self.scope.sizes.clear()
        self.scope.names[name] = register
        if register.name.startswith("%"):
            self._depth_of.setdefault(register.name, len(self.scopes) - 1)

    def lookup(self, name: str) -> Register:
        """The register of a name of the kernel."""
        for scope in reversed(self.scopes):
            if name in scope.names:
                return scope.names[name]
        raise KeyError(name)

    # ---- control flow

    def loop(self, var: str, low: str, high: str, write: Callable[[], None]) -> None:
        """What ``write`` appends for every value of ``var`` in ``low .. high - 1``."""
        number = self.fresh("")[1:]
        head, inside, after = f"head{number}", f"body{number}", f"after{number}"
        variable = f"%i{number}"
        self.enter(inside)
        self.bind(var, Register(variable, I64))
        write()
        inner = self.leave()
        before = self.scope.label
        self.line(f"br label %{head}")
        self.label(head)
        self.line(f"{variable} = phi i64 [ {low}, %{before} ], [ {variable}.next, %{inner.label} ]")
        self.line(f"{variable}.more = icmp slt i64 {variable}, {high}")
        self.line(f"br i1 {variable}.more, label %{inside}, label %{after}")
        self.label(inside)
        self.scope.lines.extend(inner.lines)
        self.line(f"{variable}.next = add nsw i64 {variable}, 1")
        self.line(f"br label %{head}")
        self.label(after)

    def branch(self, test: Register, then: Callable[[], None], orelse: Callable[[], None] = lambda: None) -> None:
        """What ``then`` appends where the test holds, what ``orelse`` appends where it does not."""
        number = self.fresh("")[1:]
        labels = (f"then{number}", f"else{number}")
        scopes = []
        for label, write in zip(labels, (then, orelse), strict=True):
            self.enter(label)
            write()
            scopes.append(self.leave())
        # Only now: what the branches moved out of themselves stands before the jump.
        self.line(f"br {test}, label %{labels[0]}, label %{labels[1]}")
        for label, scope in zip(labels, scopes, strict=True):
            self.label(label)
            self.scope.lines.extend(scope.lines)
            self.line(f"br label %join{number}")
        self.label(f"join{number}")

    # ---- pure instructions

    def pure(self, text: str) -> str:
        """A pure instruction, written once, in the outermost scope that knows its operands."""
        depth = max((self._depth_of.get(n, 0) for n in _REGISTER_NAME.findall(text)), default=0)
        scope = self.scopes[depth]
        known = scope.computed.get(text)
        if known is None:
            name = self.fresh()
            scope.lines.append(f"  {name} = {text}")
            self._depth_of[name] = depth
            known = scope.computed[text] = Register(name, I64)
        return known.name

    def op(self, text: str, dtype: DType, lanes: int) -> Register:
        """A pure instruction as a typed register."""
        return Register(self.pure(text), dtype, lanes)

    def intrinsic(self, name: str, result: str, arguments: Sequence[str], dtype: DType, lanes: int) -> Register:
        """A pure call of an intrinsic."""
        types = ", ".join(a.split("> ")[0] + ">" if a.startswith("<") else a.split(" ")[0] for a in arguments)
        self.declarations[name] = f"declare {result} @{name}({types})"
        return self.op(f"call {result} @{name}({', '.join(arguments)})", dtype, lanes)

    def split_fma(self, arguments: Sequence[Register], dtype: DType) -> Register:
        """A pure call of multiply-add for whole vectors, which the module takes up."""
        lanes = arguments[0].lanes
        self.declarations.update(arithmetic_texts("soft_fma"))
        self.declarations[split_name(lanes)] = split_text(lanes)
        call = f"call {register_type(dtype, lanes)} @{split_name(lanes)}({', '.join(map(str, arguments))})"
        return self.op(call, dtype, lanes)

    def routine(self, name: str, arguments: Sequence[Register], dtype: DType) -> Register:
        """A pure call of a function that the module takes up, lane by lane."""
        self.declarations.update(arithmetic_texts(name))
        lanes = arguments[0].lanes
        if lanes == 1:
            return self.op(f"call {register_type(dtype)} @{name}({', '.join(map(str, arguments))})", dtype, 1)
        out = Register("poison", dtype, lanes)
        for lane in range(lanes):
            parts = [self.op(f"extractelement {a}, i32 {lane}", a.dtype, 1) for a in arguments]
            out = self.op(f"insertelement {out}, {self.routine(name, parts, dtype)}, i32 {lane}", dtype, lanes)
        return out

    def splat(self, value: Register, lanes: int) -> Register:
        """The value in every lane."""
        if value.lanes == lanes:
            return value
        if not value.name.startswith("%"):
            scalar = register_type(value.dtype)
            return Register("<" + ", ".join([f"{scalar} {value.name}"] * lanes) + ">", value.dtype, lanes)
        vector = register_type(value.dtype, lanes)
        first = self.pure(f"insertelement {vector} poison, {value}, i32 0")
        return self.op(
            f"shufflevector {vector} {first}, {vector} poison, <{lanes} x i32> zeroinitializer", value.dtype, lanes
        )

    def transposed(self, rows: Sequence[Register]) -> list[Register]:
        """A square of vectors, turned: in each stage two of them exchange halves of their blocks of lanes."""
        lanes, out = len(rows), list(rows)
        half = 1
        while half < lanes:
            low = [lane - half + lanes if lane & half else lane for lane in range(lanes)]
            high = [lane + lanes if lane & half else lane + half for lane in range(lanes)]
            for number in range(lanes):
                if not number & half:
                    a, b = out[number], out[number + half]
                    for at, picked in ((number, low), (number + half, high)):
                        mask = "<" + ", ".join(f"i32 {p}" for p in picked) + ">"
                        text = f"shufflevector {a}, {b.type} {b.name}, <{lanes} x i32> {mask}"
                        out[at] = self.op(text, a.dtype, lanes)
            half *= 2
        return out

    # ---- index expressions

    def size(self, size: Size) -> Register:
        """An index expression as an i64; the variable of the vectorized loop must not occur in it."""
        if isinstance(size, int):
            return Register(str(size), I64)
        known = next((scope.sizes[size] for scope in self.scopes if size in scope.sizes), None)
        if known is None:
            # Names mean the same until they are bound anew.
            known = self.scope.sizes[size] = self._sum(size)
        return known

    def _sum(self, size: Dim) -> Register:
        by_depth: dict[int, list[str]] = {}
        constant = 0
        for monomial, factor in size.terms:
            if not monomial:
                constant = factor
                continue
            text = self._product([self._atom(a) for a in monomial], factor)
            by_depth.setdefault(self._depth_of.get(text, 0), []).append(text)
        total = ""
        for depth in sorted(by_depth):
            for text in by_depth[depth]:
                total = text if not total else self.pure(f"add nsw i64 {total}, {text}")
        return Register(self.pure(f"add nsw i64 {total}, {constant}") if constant else total, I64)

    def _product(self, atoms: Sequence[str], factor: int) -> str:
        # Outer factors first, so that their product stays outside.
        ordered = sorted(atoms, key=lambda a: self._depth_of.get(a, 0))
        out = ordered[0]
        if factor != 1:
            out = self.pure(f"mul nsw i64 {out}, {factor}")
        for atom in ordered[1:]:
            out = self.pure(f"mul nsw i64 {out}, {atom}")
        return out

    def _atom(self, atom: str | Func) -> str:
        if isinstance(atom, str):
            return self.lookup(atom).name
        args = [self.size(a).name for a in atom.args]
        if atom.kind == "//":
            return self._floor_divide(args[0], args[1])
        out = args[0]
        name = "llvm.smin.i64" if atom.kind == "min" else "llvm.smax.i64"
        for other in args[1:]:
            out = self.intrinsic(name, "i64", [f"i64 {out}", f"i64 {other}"], I64, 1).name
        return out

    def _floor_divide(self, a: str, b: str) -> str:
        if _is_number(b) and int(b) & (int(b) - 1) == 0:
            return self.pure(f"ashr i64 {a}, {int(b).bit_length() - 1}")
        if not _is_number(b):  # the division may be moved out of a loop that does not run because the size is 0
            b = self.intrinsic("llvm.smax.i64", "i64", [f"i64 {b}", "i64 1"], I64, 1).name
        quotient = self.pure(f"sdiv i64 {a}, {b}")
        back = self.pure(f"mul i64 {quotient}, {b}")
        rest = self.pure(f"sub i64 {a}, {back}")
        negative = self.pure(f"icmp slt i64 {rest}, 0")
        fix = self.pure(f"sext i1 {negative} to i64")
        return self.pure(f"add i64 {quotient}, {fix}")

    def varies(self, size: Size) -> bool:
        """Whether an index expression differs between the lanes of the vectorized loop."""
        if self.vector is None or isinstance(size, int):
            return False
        return any(n == self.vector[0] or self._is_vector(n) for n in names(size))

    def _is_vector(self, name: str) -> bool:
        return name != (self.vector or ("",))[0] and self.lookup(name).lanes > 1

    def slope(self, size: Size) -> int | None:
        """By how much an index expression grows from lane to lane, if that is a constant."""
        if not self.varies(size):
            return 0
        assert self.vector is not None
        split = coefficient(size, self.vector[0])
        if split is None or not isinstance(split[0], int) or self.varies(split[1]):
            return None
        return split[0]

    def at_lane(self, size: Size, lane: int) -> Register:
        """An index expression in one lane."""
        if isinstance(size, int) or self.vector is None:
            return self.size(size)
        values: dict[str, Size] = {self.vector[0]: lane}
        for name in names(size):
            if self._is_vector(name):
                vector = self.lookup(name)
                picked = f"{name}.lane{lane}"
                self.bind(picked, Register(self.pure(f"extractelement {vector}, i32 {lane}"), I64))
                values[name] = Dim(picked)
        return self.size(substitute(size, values))

    def lanes_of(self, size: Size) -> Register:
        """An index expression in all lanes, as a vector of i64."""
        assert self.vector is not None
        variable, lanes = self.vector
        step = self.slope(size)
        if step is not None:
            base = self.splat(self.size(substitute(size, {variable: 0})), lanes)
            steps = "<" + ", ".join(f"i64 {step * lane}" for lane in range(lanes)) + ">"
            return self.op(f"add {base.type} {base.name}, {steps}", I64, lanes)
        vector = Register("poison", I64, lanes)
        for lane in range(lanes):
            element = self.at_lane(size, lane)
            vector = self.op(f"insertelement {vector}, {element}, i32 {lane}", I64, lanes)
        return vector

    def holds(self, conditions: Sequence[Size]) -> Register:
        """Whether all conditions are at least 0: an i1, or a vector of them when lanes differ."""
        lanes = self.vector[1] if self.vector and any(self.varies(c) for c in conditions) else 1
        out: Register | None = None
        for condition in conditions:
            value = self.size(condition) if lanes == 1 else self._condition_lanes(condition, lanes)
            zero = "0" if lanes == 1 else "zeroinitializer"
            test = self.op(f"icmp sge {value.type} {value.name}, {zero}", BOOL, lanes)
            out = test if out is None else self.op(f"and {out.type} {out.name}, {test.name}", BOOL, lanes)
        return out or Register("true", BOOL)

    def holds_at(self, conditions: Sequence[Size], lane: int) -> Register:
        """Whether all conditions are at least 0 in one lane."""
        out = Register("true", BOOL)
        for condition in conditions:
            test = self.op(f"icmp sge {self.at_lane(condition, lane)}, 0", BOOL, 1)
            out = self.op(f"and {out}, {test.name}", BOOL, 1) if out.name != "true" else test
        return out

    def _condition_lanes(self, condition: Size, lanes: int) -> Register:
        return self.lanes_of(condition) if self.varies(condition) else self.splat(self.size(condition), lanes)

    # ---- memory

    def address(self, base: str, dtype: DType, flat: Size) -> str:
        """The address of an element; terms that change further in are added further in."""
        element = memory_type(dtype)
        by_depth: dict[int, Size] = {}
        constant = 0
        terms: Mapping[tuple[str | Func, ...], int] = dict(flat.terms) if isinstance(flat, Dim) else {(): flat}
        for monomial, factor in terms.items():
            if not monomial:
                constant = factor
                continue
            term = of_term(monomial, factor)
            depth = self._depth_of.get(self.size(term).name, 0)
            by_depth[depth] = by_depth.get(depth, 0) + term
        pointer = base
        for depth in sorted(by_depth):
            offset = self.size(by_depth[depth])
            pointer = self.pure(f"getelementptr {element}, ptr {pointer}, {offset}")
        return self.pure(f"getelementptr {element}, ptr {pointer}, i64 {constant}") if constant else pointer


def _is_number(text: str) -> bool:
    return not text.startswith("%")
